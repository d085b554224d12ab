"""The inspector: what each thing found is, by the same parsers that the collector asks. Keeps none.

A content is read no further than its parser wants.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, cast

from ingest.parsers import BUILT_IN, HEAD_SIZE, Confidence, Parser, Reading, read_facts, recognise
from ingest.source import Found, Source, SourceUnreadableError


@dataclass(frozen=True, slots=True)
class Inspected:
    """A thing found, and what its bytes say; `obstacle` where they could not be read."""

    found: Found
    confidence: Confidence = Confidence.NONE
    reading: Reading | None = None
    obstacle: str | None = None


def inspect(source: Source, found: Found, *, parsers: Sequence[Parser] = BUILT_IN) -> Inspected:
    """Look at one thing found. Raises nothing that the source raises."""
    if found.obstacle:
        return Inspected(found, obstacle=found.obstacle[1])
    try:
        reader = source.open(found)
    except SourceUnreadableError as error:
        return Inspected(found, obstacle=str(error))
    try:
        stream = _buffered(iter(reader.pieces()))
        head = _head(stream)
        confidence = recognise(head, found.name, parsers)[1]
        replayed = _buffered(_again(head, stream))
        reading = read_facts(replayed, head=head, name=found.name, parsers=parsers)
        return Inspected(found, confidence, reading)
    except (SourceUnreadableError, OSError) as error:
        return Inspected(found, obstacle=str(error))
    finally:
        reader.close()


def _buffered(pieces: Iterator[bytes]) -> BinaryIO:
    return cast("BinaryIO", io.BufferedReader(_Pieces(pieces), HEAD_SIZE))


def _head(stream: BinaryIO) -> bytes:
    head = b""
    while len(head) < HEAD_SIZE and (more := stream.read(HEAD_SIZE - len(head))):
        head += more
    return head


def _again(head: bytes, stream: BinaryIO) -> Iterator[bytes]:
    yield head
    while piece := stream.read(HEAD_SIZE):
        yield piece


class _Pieces(io.RawIOBase):
    """A stream over pieces."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        super().__init__()
        self._source = pieces
        self._piece = memoryview(b"")

    def readable(self) -> bool:
        """True."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill the buffer from the next piece."""
        while not self._piece:
            piece = next(self._source, None)
            if piece is None:
                return 0
            self._piece = memoryview(piece)
        count = min(len(buffer), len(self._piece))
        buffer[:count] = self._piece[:count]
        self._piece = self._piece[count:]
        return count
