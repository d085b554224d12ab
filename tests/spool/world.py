"""Spools for tests: filled without a vault, with every change of the disk made to fail in turn."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ingest.durable import Files
from ingest.entry import Entry
from ingest.spool import Spool, create_spool
from ingest.spool_capture import SpoolCapture
from verify.description import Description
from verify.facts import Facts
from verify.statement import Actor
from verify.strictjson import Object

INCIDENT = "INC-2026-0001"
ACTOR = Actor("ada@edge", "person", "uid 1000, local", None)
START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
LIMIT = 1 << 20


class Killed(BaseException):
    """The process ends here: no handler of errors may run its course on it."""


@dataclass
class FailingFiles(Files):
    """Lets the n-th change of the disk fail: instead of it, or after it was done all the same."""

    at: int = -1
    done: bool = False
    error: Callable[[], BaseException] = lambda: OSError(errno.EIO, "the disk failed")
    after: bool = True
    """Whether everything behind it fails as well, as where a disk is gone."""
    calls: list[str] = field(default_factory=list)

    def _meet(self, name: str, change: Callable[[], object]) -> object:
        number = len(self.calls)
        self.calls.append(name)
        if number == self.at and self.done:
            change()
        if number == self.at or (self.after and 0 <= self.at < number):
            raise self.error()
        return change()

    def make_folder(self, path: Path) -> None:
        self._meet("make_folder", lambda: Files.make_folder(self, path))

    def create(self, path: Path) -> int:
        made = self._meet("create", lambda: Files.create(self, path))
        assert isinstance(made, int)
        return made

    def write(self, descriptor: int, data: bytes) -> None:
        self._meet("write", lambda: Files.write(self, descriptor, data))

    def cut(self, descriptor: int, size: int) -> None:
        self._meet("cut", lambda: Files.cut(self, descriptor, size))

    def sync(self, descriptor: int) -> None:
        self._meet("sync", lambda: Files.sync(self, descriptor))

    def sync_folder(self, path: Path) -> None:
        self._meet("sync_folder", lambda: Files.sync_folder(self, path))

    def rename(self, path: Path, target: Path) -> None:
        self._meet("rename", lambda: Files.rename(self, path, target))

    def remove(self, path: Path) -> None:
        self._meet("remove", lambda: Files.remove(self, path))


def described(name: str) -> Description:
    """The description of a file that does not matter."""
    return Description(
        salt="ab" * 32,
        name=name,
        name_bytes=None,
        path=f"/var/log/{name}",
        label="text",
        summary="",
        modified_at=None,
        captured_at=START,
        remarks=(),
        facts=Facts(parser="text", version=1, format="text"),
    )


def new_spool(root: Path, *, limit: int = LIMIT) -> Spool:
    return create_spool(root, limit=limit)


def fill(
    spool: Spool,
    *contents: bytes,
    at: datetime = START,
    destination: str = INCIDENT,
    missing: int = 0,
) -> Entry:
    """Seal one entry with these contents."""
    capture = SpoolCapture(
        spool,
        destination=destination,
        clock=lambda: at,
        actor=ACTOR,
        system="aws",
        source=None,
        method="files read by evault",
        collector={"host": "edge", "name": "evault", "version": "0"},
    )
    try:
        for number, content in enumerate(contents):
            half = len(content) // 2
            kept = capture.keep([content[:half], content[half:]], size=len(content))
            capture.claim(kept, kinds=["other"], description=described(f"{number}.log"))
        for number in range(missing):
            capture.missing(f"lost-{number}", "unreadable", "permission denied")
        return capture.commit()
    except BaseException:
        capture.abort()
        raise


@dataclass
class MemoryVault:
    """A destination that keeps entries in memory, once each; it can die before or after that."""

    sealed: dict[str, list[bytes]] = field(default_factory=dict)
    dies: list[str] = field(default_factory=list)
    """What becomes of the next calls: `before` or `after` it keeps; anything else: it lives."""
    offered: list[int] = field(default_factory=list)

    def deliver(self, entry: Entry) -> tuple[Object, ...]:
        self.offered.append(entry.number)
        fate = self.dies.pop(0) if self.dies else ""
        if fate == "before":
            raise OSError(errno.ECONNRESET, "connection reset")
        deposit = entry.collection.deposit
        contents = []
        for number, _ in enumerate(entry.items()):
            content = b"".join(entry.content(number))
            entry.check_content(number, hashlib.sha256(content).hexdigest())
            contents.append(content)
        entry.missed()
        repeated = deposit in self.sealed
        if repeated:
            assert self.sealed[deposit] == contents
        self.sealed[deposit] = contents
        if fate == "after":
            raise OSError(errno.ECONNRESET, "connection reset")
        return (
            {
                "chain": entry.collection.destination,
                "deposit": deposit,
                "repeated": repeated,
                "state": "kept",
            },
        )


def clock() -> datetime:
    """A clock that stands."""
    return START + timedelta(days=1)
