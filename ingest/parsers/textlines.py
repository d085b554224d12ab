"""Lines of a text, and server-sent events in them, each with its byte offset.

Memory stays flat, whatever the length of a line.

Bytes that are not UTF-8 become lone surrogates, which `bounded.clip` takes out again: in a log
that several programs write to, one of them in another encoding hides nothing of the others.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ingest.parsers.bounded import Damage
from ingest.parsers.records import CHUNK_SIZE, RECORD_LIMIT, TOO_LARGE, ByteSource, read_fully

_MARK = b"\xef\xbb\xbf"


class LineReader(Damage):
    """Iterates over `(byte offset, line)`, once; lines come without their ends.

    A line of more than `limit` bytes is a bad record, and is left out. Like
    `records.RecordReader` it has `bad`, `bad_offsets` and `problems()`.
    """

    def __init__(self, stream: ByteSource, *, limit: int = RECORD_LIMIT) -> None:
        self._stream = stream
        self._limit = limit
        super().__init__()

    def __iter__(self) -> Iterator[tuple[int, str]]:
        held, offset, skipping, first = b"", 0, False, True
        while data := read_fully(self._stream, CHUNK_SIZE):
            *lines, rest = (held + data).split(b"\n")
            for whole in lines:
                line = whole
                if first and whole.startswith(_MARK):
                    line, offset = whole[len(_MARK) :], len(_MARK)
                first = False
                if not skipping:
                    yield offset, _text(line)
                skipping = False
                offset += len(line) + 1
            held = rest
            if len(held) > self._limit:
                if not skipping:
                    self.note_bad(offset, TOO_LARGE)
                skipping, first = True, False
                offset, held = offset + len(held), b""
        if first and held.startswith(_MARK):
            held, offset = held[len(_MARK) :], len(_MARK)
        if held and not skipping:
            yield offset, _text(held)


def _text(line: bytes) -> str:
    return line.decode("utf-8", "surrogateescape").removesuffix("\r")


EVENTS = re.compile(
    rb"(?:\xef\xbb\xbf)?(?::[^\n]*\n|\r?\n){0,64}(?:event|data|id|retry):[^\n]{1,256}", re.ASCII
)
"""How a stream of server-sent events starts."""


def event_data(lines: LineReader) -> Iterator[tuple[int, str]]:
    """The data of server-sent events, each with the offset of its first line; `[DONE]` is none."""
    parts: list[str] = []
    start = size = 0
    for offset, line in lines:
        if line.startswith("data:"):
            start = start if parts else offset
            parts.append(line[len("data:") :].removeprefix(" "))
            size += len(line)
        if parts and (not line or size > RECORD_LIMIT):
            if size > RECORD_LIMIT:
                lines.note_bad(start, TOO_LARGE)
            elif parts != ["[DONE]"]:
                yield start, "\n".join(parts)
            parts, size = [], 0
    if parts and parts != ["[DONE]"]:
        yield start, "\n".join(parts)


class Replayed:
    """A stream from its start, although its head was read already."""

    def __init__(self, head: bytes, stream: ByteSource) -> None:
        self._head = head
        self._stream = stream

    def read(self, size: int, /) -> bytes:
        """What is left of the head, then the stream."""
        data, self._head = self._head[:size], self._head[size:]
        return data or self._stream.read(size)
