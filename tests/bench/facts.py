"""Facts beside `orjson.loads` of the same bytes, and a folder of small files beside openssl.

Inputs are built from the real samples of `tests/data`, repeated with new times and ids, 256 MB
for each GiB of EVAULT_BENCH_GIB. Lines are loaded and dropped one by one, a document whole.
Each side is a process of its own, timed from its first byte read; memory is that process's peak.
"""

from __future__ import annotations

import io
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

DATA = Path(__file__).parents[1] / "data"
SIZE = int(float(os.environ.get("EVAULT_BENCH_GIB", "1")) * (256 << 20))
SMALL_FILES = 10_000
ROUNDS = 3


@dataclass(frozen=True)
class Timed:
    """Seconds, and peak memory in MB."""

    seconds: float
    memory: float


def measure() -> None:
    """Run all and print a line for each."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("EVAULT_BENCH_DIR")) as name:
        room = Path(name)
        for label, glob, wrap in (
            ("CloudTrail, {Records: [...]}", "cloudtrail/*.json", "Records"),
            ("CloudTrail, NDJSON", "cloudtrail/*.json", None),
            ("OTLP JSON, one request a line", "otlp-json/*.json", None),
            ("Kubernetes audit, NDJSON", "k8s-audit/*.json", None),
        ):
            path = room / "large.json"
            if not make(path, glob, wrap):
                print(f"{label}: no samples in tests/data")
                continue
            how = "whole" if wrap else "lines"
            ours, theirs = [], []
            for _ in range(ROUNDS):
                ours.append(child("facts", path))
                theirs.append(child(how, path))
            size = f"{path.stat().st_size >> 20} MB"
            line(f"facts, {size} {label} | orjson.loads", ours, theirs, "2.5")
            path.unlink()
        small_files(room)


def small_files(room: Path) -> None:
    """Ten thousand small files: what choosing a parser and reading costs each."""
    folder = room / "small"
    folder.mkdir()
    records = cycle(records_of("cloudtrail/*.json"))
    for number in range(SMALL_FILES):
        few = [json.loads(again(next(records), number)) for _ in range(3)]
        (folder / f"{number:05}.json").write_text(json.dumps({"Records": few}))
    files = sorted(folder.iterdir())
    ours, theirs = [], []
    for _ in range(ROUNDS):
        ours.append(child("facts", folder))
        started = time.perf_counter()
        subprocess.run(["openssl", "dgst", "-sha256", *files], check=True, capture_output=True)
        theirs.append(Timed(time.perf_counter() - started, 0))
    line(f"facts of {SMALL_FILES:,} small files | openssl dgst -sha256", ours, theirs, "-")


# What is measured.


def make(path: Path, glob: str, wrap: str | None) -> bool:
    """A file of `SIZE` bytes of the samples' records; False if there are none."""
    records = records_of(glob)
    if not records:
        return False
    with path.open("w") as file:
        file.write(f'{{"{wrap}":[' if wrap else "")
        written = 0
        separator = ""
        for number, record in enumerate(cycle(records), start=1):
            written += file.write(separator + again(record, number))
            separator = "," if wrap else "\n"
            if written >= SIZE:
                break
        file.write("]}" if wrap else "\n")
    return True


def records_of(glob: str) -> list[str]:
    """The records of the samples as texts; a document without `Records` is one record."""
    records: list[str] = []
    for path in sorted(DATA.glob(glob)):
        document = json.loads(path.read_text())
        whole = isinstance(document, list)
        several = document if whole else document.get("Records", [document])
        records += [json.dumps(each, separators=(",", ":")) for each in several]
    return records


def again(record: str, number: int) -> str:
    """The record at another second, and with another id."""
    seconds = f"{number // 3600 % 24:02}:{number // 60 % 60:02}:{number % 60:02}Z"
    for key in ('"eventTime":"', '"requestReceivedTimestamp":"'):
        start = record.find(key)
        end = record.find('Z"', start)
        if 0 <= start < end:
            start += len(key) + len("2026-01-31T")
            record = f"{record[:start]}{seconds}{record[end + 1 :]}"
    for key in ('"eventID":"', '"auditID":"', '"spanId":"'):
        start = record.find(key)
        if start >= 0:
            start += len(key)
            record = f"{record[:start]}{number:08x}{record[start + 8 :]}"
    return record


def child(how: str, path: Path) -> Timed:
    """Run one side in a process of its own."""
    words = [sys.executable, __file__, how, str(path)]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    seconds, memory = done.stdout.split()
    return Timed(float(seconds), float(memory))


def run(how: str, path: Path) -> None:
    """One side, in the child: print seconds and peak memory."""
    sys.path.insert(0, str(Path(__file__).parents[2]))
    import orjson

    from ingest.parsers import HEAD_SIZE, read_facts

    started = time.perf_counter()
    if how == "whole":
        orjson.loads(path.read_bytes())
    elif how == "lines":
        with path.open("rb") as file:
            for each in file:
                orjson.loads(each)
    else:
        for each in files_of(path):
            with each.open("rb") as file:
                head = file.read(HEAD_SIZE)
                file.seek(0, io.SEEK_SET)
                reading = read_facts(file, head=head, name=each.name)
            if reading.facts.parser in ("json", "text", "binary") or reading.facts.bad_records:
                raise SystemExit(f"{each.name} was read as {reading.format_label}")
    seconds = time.perf_counter() - started
    print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000)


def files_of(path: Path) -> Iterator[Path]:
    """A file, or those of a folder."""
    return iter(sorted(path.iterdir()) if path.is_dir() else [path])


def line(name: str, ours: list[Timed], theirs: list[Timed], goal: str) -> None:
    """One line of the table, as `run.py` prints them: medians."""
    mine, other = (statistics.median(each.seconds for each in runs) for runs in (ours, theirs))
    memory = [max(each.memory for each in runs) for runs in (ours, theirs)]
    beside = f" (theirs {memory[1]:.0f})" if memory[1] else ""
    print(
        f"{name:<64}{mine:>8.2f}s{other:>8.2f}s{mine / other:>8.2f}{goal:>8}"
        f"{memory[0]:>7.0f} MB{beside}",
        flush=True,
    )


if __name__ == "__main__":
    if len(sys.argv) == 3:
        run(sys.argv[1], Path(sys.argv[2]))
    else:
        measure()
