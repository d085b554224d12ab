"""Many processes on one vault, one of them killed at a random moment, round after round.

The writers are forked, so that a kill costs no second of imports; each notes what it was promised
in a file of its own, and a kill is a real `SIGKILL`.
"""

from __future__ import annotations

import json
import os
import random
import signal
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from crash.world import Process, World

from vault.deposit import Receipt
from vault.errors import ConflictError, UnavailableError

_TRIES = 20


@dataclass
class Stress:
    """A vault under many writers."""

    world: World
    folder: Path
    writers: int
    incidents: int
    rng: random.Random
    pids: dict[int, Path] = field(default_factory=dict)
    turn: int = 0

    def start(self) -> None:
        """Fork all writers; each goes on until it is told to stop, or is killed."""
        self.folder.mkdir(exist_ok=True)
        self.turn += 1
        for number in range(self.writers):
            promises = self.folder / f"{self.turn}-{number}"
            seed = self.rng.randrange(1 << 32)
            pid = os.fork()
            if pid == 0:
                self._write(promises, f"{self.turn}-{number}", random.Random(seed))
            self.pids[pid] = promises

    def kill_one(self) -> None:
        """Kill a writer at a random moment after the first promise of all."""
        self.wait(1)
        time.sleep(self.rng.random() * 0.2)
        os.kill(self.rng.choice(list(self.pids)), signal.SIGKILL)

    def wait(self, promises: int) -> None:
        """Wait until so many promises were made."""
        until = time.monotonic() + 120
        while time.monotonic() < until:
            told = (path.read_bytes() for path in self.pids.values() if path.exists())
            if sum(each.count(b"\n") for each in told) >= promises:
                return
            time.sleep(0.05)
        raise AssertionError("the writers hang")

    def stop(self) -> list[Receipt]:
        """Let every writer finish what it is at; what all of this round were promised."""
        for pid in self.pids:
            os.kill(pid, signal.SIGTERM)
        codes = {pid: os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in self.pids}
        promised = [receipt for path in self.pids.values() for receipt in _promises(path)]
        self.pids.clear()
        assert set(codes.values()) <= {0, -signal.SIGKILL}, codes
        return promised

    def _write(self, promises: Path, name: str, rng: random.Random) -> None:
        code = 1
        try:
            stopped: list[int] = []
            signal.signal(signal.SIGTERM, lambda sent, _frame: stopped.append(sent))
            descriptor = os.open(promises, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            process = self.world.open(patience=5.0)
            number = 0
            while not stopped:
                number += 1
                incident = f"INC-2026-{1 + rng.randrange(self.incidents):04d}"
                for receipt in self._one(process, incident, f"{name}-{number}", rng.random()):
                    os.write(descriptor, json.dumps(receipt.to_json()).encode() + b"\n")
            code = 0
        except BaseException:  # noqa: BLE001 — a forked test must not return into the runner
            traceback.print_exc()
        finally:
            os._exit(code)

    def _one(
        self, process: Process, incident: str, deposit: str, chance: float
    ) -> Iterator[Receipt]:
        """A small deposit or a capture; tried again under its id where others were in the way."""
        for turn in range(_TRIES):
            try:
                yield self.world.declare(process, incident)
                if chance < 0.8:
                    yield self.world.look_at(process, deposit, incident)
                else:
                    data = {"one.txt": deposit.encode(), "two.bin": b"x" * 2000}
                    yield from self.world.capture(process, deposit, data, incident)
                return
            except (ConflictError, UnavailableError):
                if turn == _TRIES - 1:
                    raise
                time.sleep(0.02)


def _promises(path: Path) -> Iterator[Receipt]:
    lines = path.read_bytes().split(b"\n") if path.exists() else []
    for line in lines[:-1]:  # the last one ends where the writer was killed
        told = json.loads(line)
        assert told.pop("state") == "kept"
        yield Receipt(**told)
