"""What all measurements share: running a command timed, and one line of the table."""

from __future__ import annotations

import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

GIB = 1 << 30
SIZE = int(float(os.environ.get("EVAULT_BENCH_GIB", "1")) * GIB)
ROOM = Path(os.environ.get("EVAULT_BENCH_DIR", ".bench")).resolve()
ROUNDS = int(os.environ.get("EVAULT_BENCH_ROUNDS", "3"))


@dataclass(frozen=True)
class Timed:
    """Seconds of a run, and the peak resident memory of the process that did it, in MB."""

    seconds: float
    memory: float


def evault(home: Path, *words: object) -> Timed:
    """Run evault, timed."""
    return timed(sys.executable, "-m", "cli", "--home", home, *words)


def evault_output(home: Path, *words: object) -> str:
    """Run evault for what it prints."""
    return run(sys.executable, "-m", "cli", "--home", home, *words)[0]


def declare(home: Path) -> None:
    """Open an incident."""
    words = "incident declare --title T --severity sev1 --tier 2 --system s --detected-at now"
    evault(home, *words.split())


def make_file(path: Path, size: int) -> None:
    """A file that does not compress, written and synced."""
    block = secrets.token_bytes(16 << 20)
    with path.open("wb") as file:
        for number in range(size // len(block)):
            file.write(number.to_bytes(8, "big") + block[8:])
        file.write(block[: size % len(block)])
        file.flush()
        os.fsync(file.fileno())


def timed(*words: object) -> Timed:
    """Run a command; its seconds and its own peak memory."""
    started = time.perf_counter()
    with tempfile.TemporaryFile() as complaint:
        process = subprocess.Popen(
            [str(word) for word in words], stdout=subprocess.DEVNULL, stderr=complaint
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            complaint.seek(0)
            told = complaint.read().decode(errors="replace")
            raise SystemExit(f"{' '.join(map(str, words))} ended with {process.returncode}\n{told}")
    return Timed(seconds, usage.ru_maxrss / 1000)


def run(*words: object) -> tuple[str, str]:
    """Run a command that must succeed."""
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=True)
    return done.stdout, done.stderr


def median(runs: list[Timed]) -> float:
    """Seconds of the run in the middle."""
    return statistics.median(each.seconds for each in runs)


def line(name: str, ours: list[Timed], theirs: list[Timed], goal: str) -> None:
    """One line of the table: medians."""
    memory = max(each.memory for each in ours)
    shown = f"{memory:.0f} MB" if memory else "-"
    print(
        f"{name:<56}{median(ours):>8.2f}s{median(theirs):>8.2f}s"
        f"{median(ours) / median(theirs):>8.2f}{goal:>8}{shown:>10}",
        flush=True,
    )
