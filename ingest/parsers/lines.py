"""Lines of text logs out of a byte stream, one at a time: flat memory, and damage is counted.

Bytes that are not UTF-8 become lone surrogates, so that a line with binary in it is still a line;
facts show them as U+FFFD. A line ends in a line feed, with or without a carriage return before it.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator

from ingest.parsers.bounded import Damage
from ingest.parsers.parser import Confidence
from ingest.parsers.records import ByteSource, read_fully

CHUNK_SIZE = 256 << 10
LINE_LIMIT = 1 << 20
"""The longest line, in bytes; a longer one is a bad record."""

TOO_LONG = f"longer than {LINE_LIMIT >> 20} MiB"
_FIRST_LINES = 200


class LineReader(Damage):
    """Iterates over `(byte offset, line)` of the lines of one stream that are not empty, once.

    After the iteration `bad`, `bad_offsets` (the first `CAP`) and `problems()` tell what was met.
    """

    def __init__(self, stream: ByteSource, *, chunk_size: int = CHUNK_SIZE) -> None:
        self._stream = stream
        self._chunk_size = chunk_size
        super().__init__()

    def __iter__(self) -> Iterator[tuple[int, str]]:
        offset = 0
        rest = b""
        too_long = False
        while chunk := read_fully(self._stream, self._chunk_size):
            if offset == 0 and not rest and chunk.startswith(codecs.BOM_UTF8):
                chunk = chunk[len(codecs.BOM_UTF8) :]
                offset = len(codecs.BOM_UTF8)
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                if too_long or len(line) > LINE_LIMIT:
                    if not too_long:
                        self.note_bad(offset, TOO_LONG)
                    too_long = False
                elif text := _text(line):
                    yield offset, text
                offset += len(line) + 1
            if len(rest) > LINE_LIMIT:
                if not too_long:
                    self.note_bad(offset, TOO_LONG)
                too_long = True
                offset += len(rest)
                rest = b""
        if not too_long and (text := _text(rest)):
            yield offset, text


def _text(line: bytes) -> str:
    return line.rstrip(b"\r").decode("utf-8", "surrogateescape")


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
