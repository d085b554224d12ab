"""Lines of text logs out of a byte stream, one at a time: flat memory, and damage is counted.

Bytes that are not UTF-8 become lone surrogates, so that a line with binary in it is still a line;
facts show them as U+FFFD. A line ends in a line feed, with or without a carriage return before it.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator
from typing import Self

from ingest.parsers.bounded import Damage
from ingest.parsers.parser import Confidence
from ingest.parsers.records import RECORD_LIMIT, ByteSource, read_fully

CHUNK_SIZE = 256 << 10
LINE_LIMIT = 1 << 20
"""The longest line, in bytes; a longer one is a bad record."""

_FIRST_LINES = 200


class LineReader(Damage):
    """Iterates over `(byte offset, line)` of the lines of one stream, once.

    Empty lines are left out, and a line of more than `limit` bytes is a bad record; `verbatim`
    keeps empty ones. After the iteration `bad`, `bad_offsets` (the first `CAP`) and `problems()`
    tell what was met.
    """

    def __init__(
        self, stream: ByteSource, *, limit: int = LINE_LIMIT, chunk_size: int = CHUNK_SIZE
    ) -> None:
        self._stream = stream
        self._limit = limit
        self._chunk_size = chunk_size
        self._verbatim = False
        self._end = b"\n"
        super().__init__()

    @classmethod
    def verbatim(cls, stream: ByteSource, *, limit: int = RECORD_LIMIT) -> Self:
        """Every line as it is but for its end: also an empty one."""
        reader = cls(stream, limit=limit)
        reader._verbatim = True
        return reader

    @classmethod
    def ended_by_nul(cls, stream: ByteSource, *, limit: int = RECORD_LIMIT) -> Self:
        """What ends in a NUL byte, as it is: a line feed is one of its characters."""
        reader = cls.verbatim(stream, limit=limit)
        reader._end = b"\0"
        return reader

    def __iter__(self) -> Iterator[tuple[int, str]]:
        text_of = _verbatim_text if self._verbatim else _text
        if self._end == b"\0":
            text_of = _bare_text
        empty_too = self._verbatim
        too_long_is = f"longer than {self._limit >> 20} MiB"
        offset = 0
        rest = b""
        too_long = False
        while chunk := read_fully(self._stream, self._chunk_size):
            if offset == 0 and not rest and chunk.startswith(codecs.BOM_UTF8):
                chunk = chunk[len(codecs.BOM_UTF8) :]
                offset = len(codecs.BOM_UTF8)
            *lines, rest = (rest + chunk).split(self._end)
            for line in lines:
                if too_long or len(line) > self._limit:
                    if not too_long:
                        self.note_bad(offset, too_long_is)
                    too_long = False
                elif (text := text_of(line)) or empty_too:
                    yield offset, text
                offset += len(line) + 1
            if len(rest) > self._limit:
                if not too_long:
                    self.note_bad(offset, too_long_is)
                too_long = True
                offset += len(rest)
                rest = b""
        if rest and not too_long and ((text := text_of(rest)) or empty_too):
            yield offset, text


def _text(line: bytes) -> str:
    return line.rstrip(b"\r").decode("utf-8", "surrogateescape")


def _verbatim_text(line: bytes) -> str:
    return line.removesuffix(b"\r").decode("utf-8", "surrogateescape")


def _bare_text(line: bytes) -> str:
    return line.decode("utf-8", "surrogateescape")


def first_lines(head: bytes) -> list[str]:
    """The first lines of a head that are not empty; the last may be cut off, unless it is alone."""
    lines = head.removeprefix(codecs.BOM_UTF8).split(b"\n", _FIRST_LINES)
    found = [text for line in lines[:_FIRST_LINES] if (text := _text(line)[:LINE_LIMIT])]
    whole = len(found) < 2 or len(lines) > _FIRST_LINES or head.endswith(b"\n")
    return found if whole else found[:-1]


def recognised(head: bytes, is_line: Callable[[str], object]) -> Confidence:
    """How sure it is that the head holds lines of a format: certain where half of them are.

    Likely where a fifth of them are: damaged. Fewer may be quoted in any text.
    """
    lines = first_lines(head)
    found = sum(1 for line in lines if is_line(line))
    if not found or found * 5 < len(lines):
        return Confidence.NONE
    return Confidence.CERTAIN if found * 2 >= len(lines) else Confidence.LIKELY
