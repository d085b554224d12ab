"""The collector: source → parser → sink, each content read once.

A content streams into the sink while a parser reads the same bytes on another thread; both are
done when the content ends. What cannot be taken is noted and never stops the rest.
"""

from __future__ import annotations

import io
import queue
import secrets
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import BinaryIO, Generic, cast

from ingest.parsers import BUILT_IN, HEAD_SIZE, Parser, Reading, choose, read_facts
from ingest.sink import K, Sink
from ingest.source import Found, Source, SourceUnreadableError
from ingest.sources.files import CHANGED, SYMBOLIC_LINK, UNREADABLE
from verify.description import Description

_QUEUED = 16

Progress = Callable[[int], None]
"""Called with the number of bytes just read."""


@dataclass(frozen=True, slots=True)
class Taken:
    """An item that was claimed: its description, kinds and size, in the order of claiming."""

    description: Description
    kinds: tuple[str, ...]
    size: int


@dataclass(slots=True)
class Collected:
    """What a collection came to."""

    taken: list[Taken] = field(default_factory=list)
    already: list[tuple[str, str]] = field(default_factory=list)
    """Name and exhibit of what was sealed before and has not changed."""
    links: list[tuple[str, str]] = field(default_factory=list)
    """Name and target of symbolic links: recorded, not followed."""
    failed: list[tuple[str, str]] = field(default_factory=list)
    """Name and reason of what could not be kept."""


def collect(
    source: Source,
    found: Iterable[Found],
    sink: Sink[K],
    *,
    kinds: Sequence[str] = (),
    again: bool = False,
    clock: Callable[[], datetime],
    progress: Progress = lambda _: None,
    parsers: Sequence[Parser] = BUILT_IN,
) -> Collected:
    """Take everything found. `kinds` overrides what the parsers say; `again` takes unchanged items.

    Raises what the sink raises; the source's troubles are noted in the result and in the sink.
    """
    collection = _Collection(source, sink, tuple(kinds), again, clock, progress, parsers)
    for each in found:
        collection.take(each)
    return collection.collected


@dataclass(slots=True)
class _Collection(Generic[K]):
    source: Source
    sink: Sink[K]
    kinds: tuple[str, ...]
    again: bool
    clock: Callable[[], datetime]
    progress: Progress
    parsers: Sequence[Parser]
    collected: Collected = field(default_factory=Collected)

    def take(self, found: Found) -> None:
        """Take one thing found, or note why not."""
        if found.obstacle:
            reason, detail = found.obstacle
            self.sink.missing(found.name, reason, detail)
            met = self.collected.links if reason == SYMBOLIC_LINK else self.collected.failed
            met.append((found.name, detail))
            return
        try:
            self._take(found)
        except SourceUnreadableError as error:
            reason = CHANGED if "while it was read" in str(error) else UNREADABLE
            self.sink.missing(found.name, reason, str(error))
            self.collected.failed.append((found.name, str(error)))

    def _take(self, found: Found) -> None:
        kept, reading, remarks = self._read(found)
        path = found.path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        exhibit = None if self.again else self.sink.already(kept, path=path)
        if exhibit is not None:
            self.sink.discard(kept)
            self.collected.already.append((found.name, exhibit))
            return
        description = Description(
            salt=secrets.token_hex(32),
            name=found.name,
            name_bytes=found.name_bytes,
            path=path,
            label=reading.format_label,
            summary=reading.summary,
            modified_at=found.modified_at,
            captured_at=self.clock(),
            remarks=remarks,
            facts=reading.facts,
        )
        kinds = found.kinds or self.kinds or reading.kinds
        self.sink.claim(kept, kinds=kinds, description=description)
        self.collected.taken.append(Taken(description, kinds, kept.size))

    def _read(self, found: Found) -> tuple[K, Reading, tuple[str, ...]]:
        reader = self.source.open(found)
        try:
            pieces = _counted(reader.pieces(), self.progress)
            tap = _Tap(pieces, found.name, reader.size, self.parsers)
            try:
                kept = self.sink.keep(tap.pieces(), size=reader.size)
            finally:
                tap.finish()
            try:
                return kept, tap.reading, reader.settle(kept.sha256)
            except BaseException:
                self.sink.discard(kept)
                raise
        finally:
            reader.close()


def _counted(pieces: Iterable[bytes], progress: Progress) -> Iterator[bytes]:
    for piece in pieces:
        progress(len(piece))
        yield piece


class _Tap:
    """Lets a parser read a content while it passes on its way to the sink."""

    def __init__(
        self, pieces: Iterator[bytes], name: str, size: int | None, parsers: Sequence[Parser]
    ) -> None:
        self._source = pieces
        self._parsers = parsers
        self._name = name
        self._size = size
        self._queue: queue.Queue[bytes] = queue.Queue(_QUEUED)
        self._thread: threading.Thread | None = None
        self._done = threading.Event()
        self._failure: BaseException | None = None
        self._reading: Reading | None = None

    @property
    def reading(self) -> Reading:
        """What the parser read; only after `finish`."""
        if self._failure:
            raise self._failure
        assert self._reading is not None
        return self._reading

    def pieces(self) -> Iterator[bytes]:
        """The content's bytes, for the sink."""
        head = b""
        started: list[bytes] = []
        for piece in self._source:
            if self._thread is None and self._reading is None:
                head += piece
                started.append(piece)
                if len(head) < (HEAD_SIZE if self._size is None else min(HEAD_SIZE, self._size)):
                    continue
                self._start(head, started)
                yield from started
                continue
            self._pass_on(piece)
            yield piece
        if self._thread is None and self._reading is None:
            self._read(io.BytesIO(head), head[:HEAD_SIZE])
            yield from started

    def finish(self) -> None:
        """Wait for the parser; called whether or not the content came to its end."""
        if self._thread:
            self._pass_on(b"")
            self._thread.join()
            self._thread = None

    def _start(self, first: bytes, pieces: Sequence[bytes]) -> None:
        head = first[:HEAD_SIZE]
        complete = self._size is not None and len(first) >= self._size
        if complete or not choose(head, self._name, self._parsers).whole:
            self._read(io.BytesIO(first), head)
            return
        stream = io.BufferedReader(_QueueReader(self._queue, pieces), HEAD_SIZE)
        self._thread = threading.Thread(
            target=self._read, args=(cast("BinaryIO", stream), head), name="parser", daemon=True
        )
        self._thread.start()

    def _read(self, stream: BinaryIO, head: bytes) -> None:
        try:
            self._reading = read_facts(stream, head=head, name=self._name, parsers=self._parsers)
        except BaseException as error:  # noqa: BLE001 — raised again on the collecting thread
            self._failure = error
        finally:
            self._done.set()

    def _pass_on(self, piece: bytes) -> None:
        """Give the parser a piece, unless it is done before the content is."""
        while self._thread and not self._done.is_set():
            with suppress(queue.Full):
                self._queue.put(piece, timeout=0.1)
                return


class _QueueReader(io.RawIOBase):
    """A stream over pieces that another thread puts into a queue; an empty piece ends it."""

    def __init__(self, pieces: queue.Queue[bytes], first: Sequence[bytes]) -> None:
        super().__init__()
        self._pieces = pieces
        self._first = list(first)
        self._piece = memoryview(b"")
        self._ended = False

    def readable(self) -> bool:
        """True."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill the buffer from the next piece."""
        while not self._piece and not self._ended:
            data = self._first.pop(0) if self._first else self._pieces.get()
            self._ended = not data
            self._piece = memoryview(data)
        count = min(len(buffer), len(self._piece))
        buffer[:count] = self._piece[:count]
        self._piece = self._piece[count:]
        return count
