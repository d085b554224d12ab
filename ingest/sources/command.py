"""A command of the user's own: run without a shell, its output taken as it comes.

Taken are what it wrote to standard output and standard error, each unless empty, and a record of
the run: the command line, the program that ran (path, size and digest), when, what it ended with,
and what was asked: of which system and source, for which time. A run that ended well and wrote
nothing is a nil return: its record is the evidence.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

from ingest.source import Found, Reader, SourceUnreadableError
from ingest.sources.stream import StreamReader
from verify.instant import format_instant

VERSION = 1
_LARGEST_PROGRAM = 512 << 20


@dataclass(frozen=True, slots=True)
class Query:
    """What a command asks: of which system and source, for which time; None where not said."""

    system: str | None = None
    source: str | None = None
    start: datetime | None = None
    end: datetime | None = None


class CommandSource:
    """`Source` over one run of a command. `start` it first; `close` ends it whatever happened."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        query: Query,
        clock: Callable[[], datetime],
        kinds: tuple[str, ...] = (),
    ) -> None:
        self.argv = list(argv)
        self.exit_code: int | None = None
        self.signal: str | None = None
        self._query = query
        self._clock = clock
        self._kinds = kinds
        self._process: subprocess.Popen[bytes] | None = None
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 — `close` does
        self._program: dict[str, Any] | None = None
        self._sums = {"stdout": _Sum(), "stderr": _Sum()}
        self._readers: dict[str, Reader] = {}
        self._started: datetime | None = None

    def start(self) -> None:
        """Run it. Raises `SourceUnreadableError` where it cannot be run."""
        path = shutil.which(self.argv[0])
        self._program = None if path is None else _program(Path(path))
        self._started = self._clock()
        try:
            self._process = subprocess.Popen(  # noqa: S603 — the user's own command
                self.argv, stdout=subprocess.PIPE, stderr=self._errors
            )
        except OSError as error:
            raise SourceUnreadableError(
                f"cannot run {self.argv[0]}: {error.strerror or error}; nothing sealed"
            ) from error
        except ValueError as error:
            raise SourceUnreadableError(
                f"cannot run {self.argv[0]}: {error}; nothing sealed"
            ) from error

    def survey(self) -> Iterator[Found]:
        """What it left, each after the one before was taken: the run ends on the way."""
        process = self._process
        assert process is not None
        assert process.stdout is not None
        output = self._summed("stdout", StreamReader(cast("BinaryIO", process.stdout)))
        if output.size != 0:
            yield self._found("stdout", self._kinds)
        for _ in output.pieces():
            pass  # what nobody took is counted all the same
        process.wait()
        ended = self._clock()
        self.exit_code = process.returncode if process.returncode >= 0 else None
        if process.returncode < 0:
            self.signal = signal.Signals(-process.returncode).name
        self._errors.seek(0)
        errors = self._summed("stderr", StreamReader(cast("BinaryIO", self._errors)))
        if errors.size != 0:
            yield self._found("stderr", ())
        for _ in errors.pieces():
            pass
        self._readers["run.json"] = StreamReader(io.BytesIO(self._record(ended)))
        yield self._found("run.json", ())

    def open(self, found: Found) -> Reader:
        """What was found last."""
        return self._readers[found.name.rpartition("/")[2]]

    def close(self) -> None:
        """End the command if it still runs."""
        if self._process is not None:
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait()
            if self._process.stdout is not None:
                self._process.stdout.close()
        self._errors.close()

    def _summed(self, name: str, reader: StreamReader) -> _Summed:
        summed = _Summed(reader, self._sums[name])
        self._readers[name] = summed
        return summed

    def _found(self, what: str, kinds: tuple[str, ...]) -> Found:
        program = _text(Path(self.argv[0]).name or "command")
        return Found(
            name=f"{program}/{what}",
            name_bytes=None,
            path=f"{what} of {_text(' '.join(self.argv))[:500]}",
            size=0,
            modified_at=None,
            kinds=kinds,
        )

    def _record(self, ended: datetime) -> bytes:
        query = self._query
        assert self._started is not None
        record = {
            "argv": [_text(word) for word in self.argv],
            "ended_at": format_instant(ended),
            "evault_command": VERSION,
            "exit_code": self.exit_code,
            "folder": _text(str(Path.cwd())),
            "program": self._program,
            "query": {
                "from": None if query.start is None else format_instant(query.start),
                "source": query.source,
                "system": query.system,
                "to": None if query.end is None else format_instant(query.end),
            },
            "signal": self.signal,
            "started_at": format_instant(self._started),
            "stderr": self._sums["stderr"].to_json(),
            "stdout": self._sums["stdout"].to_json(),
        }
        return json.dumps(record, indent=1, sort_keys=True).encode() + b"\n"


class _Sum:
    """Size and digest of bytes that passed."""

    def __init__(self) -> None:
        self._hasher = hashlib.sha256()
        self._size = 0

    def add(self, piece: bytes) -> None:
        """More bytes."""
        self._hasher.update(piece)
        self._size += len(piece)

    def to_json(self) -> dict[str, Any]:
        """As the record of a run holds it."""
        return {"sha256": self._hasher.hexdigest(), "size": self._size}


class _Summed:
    """A reader whose bytes are summed up on their way."""

    def __init__(self, reader: StreamReader, total: _Sum) -> None:
        self._reader = reader
        self._sum = total
        self.size = reader.size

    def pieces(self) -> Iterator[bytes]:
        """The same bytes."""
        for piece in self._reader.pieces():
            self._sum.add(piece)
            yield piece

    def settle(self, sha256: str) -> tuple[str, ...]:
        """A pipe cannot be looked at again."""
        return self._reader.settle(sha256)

    def close(self) -> None:
        """The source closes what it opened."""


def _program(path: Path) -> dict[str, Any] | None:
    """The program that a name stands for: which version it is, its digest tells for ever."""
    try:
        real = path.resolve()
        size = real.stat().st_size
        digest = None
        if size <= _LARGEST_PROGRAM:
            with real.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
    return {"path": _text(str(real)), "sha256": digest, "size": size}


def _text(word: str) -> str:
    return os.fsencode(word).decode("utf-8", "replace")
