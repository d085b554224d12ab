"""Protobuf's wire format: the fields of a message in memory, and of one too large for it. No I/O.

Of the format only what is read: no groups, no packed fields. A message in memory is right or wrong
as a whole; `Wire` walks through a stream of nested messages with flat memory.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator

from ingest.parsers.bounded import counted
from ingest.parsers.records import ByteSource, read_fully
from verify.facts import CAP

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5

_CHUNK = 256 << 10
_MOST_NUMBER = 10_000  # of a field: what is larger is no field but damage
_SIZES = {FIXED64: 8, FIXED32: 4}


class WireError(Exception):
    """Bytes that are no message."""


class WireEnd(Exception):  # noqa: N818 — not an error: streams end
    """The stream ends within a message."""


def fields_of(
    data: bytes, start: int = 0, end: int | None = None
) -> Iterator[tuple[int, int, int]]:
    """The fields of a message: key, and where its value starts and ends.

    The key is number and wire type as they stand on the wire (`number << 3 | type`). A varint's
    start is its value. Raises `WireError`.
    """
    end = len(data) if end is None else end
    position = start
    while position < end:
        key = data[position]
        position += 1
        if key > 0x7F:
            key, position = varint(data, position - 1, end)
        kind = key & 7
        if kind == BYTES:
            if position < end and data[position] < 0x80:
                length, position = data[position], position + 1
            else:
                length, position = varint(data, position, end)
            following = position + length
        elif kind == VARINT:
            value, following = varint(data, position, end)
            position = value
        else:
            following = position + _SIZES.get(kind, end + 1)
        if following > end or not 8 <= key <= _MOST_NUMBER << 3:
            raise WireError
        yield key, position, following
        position = following


def varint(data: bytes, position: int, end: int) -> tuple[int, int]:
    """A varint, and where it ends. Raises `WireError`."""
    value = shift = 0
    while position < end and shift < 64:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    raise WireError


def text(data: bytes, start: int, end: int) -> str:
    """A string field. Raises `WireError`."""
    try:
        return data[start:end].decode()
    except UnicodeDecodeError:
        raise WireError from None


def fixed64(data: bytes, start: int) -> int:
    """A fixed64 field."""
    return int.from_bytes(data[start : start + 8], "little")


def double(data: bytes, start: int) -> float:
    """A double field."""
    return float(struct.unpack_from("<d", data, start)[0])


def signed(value: int) -> int:
    """An int64 field, whose varint is unsigned."""
    return value - (1 << 64) if value >> 63 else value


class Wire:
    """A position in a stream of bytes, with as much ahead of it as is asked for."""

    def __init__(self, stream: ByteSource) -> None:
        self._stream = stream
        self._data = b""
        self._at = 0
        self._before = 0  # what was dropped from the front
        self._ended = False

    @property
    def position(self) -> int:
        """The offset in the stream."""
        return self._before + self._at

    @property
    def at_end(self) -> bool:
        """Whether nothing follows."""
        return not self.ahead(1)

    def ahead(self, size: int) -> int:
        """Have so many bytes ahead, if there are; how many there are, at most `size`."""
        missing = self._at + size - len(self._data)
        if missing > 0 and not self._ended:
            more = read_fully(self._stream, max(missing, _CHUNK))
            self._ended = not more
            self._before += self._at
            self._data = self._data[self._at :] + more
            self._at = 0
        return min(size, len(self._data) - self._at)

    def peek(self, size: int) -> bytes:
        """The next bytes, at most `size`; the position stays."""
        self.ahead(size)
        return self._data[self._at : self._at + size]

    def take(self, size: int) -> bytes:
        """The next `size` bytes. Raises `WireEnd`, and then stands at the end."""
        data = self.peek(size)
        self._at += len(data)
        if len(data) < size:
            raise WireEnd
        return data

    def back(self, size: int) -> None:
        """Move back over what was taken last."""
        assert size <= self._at
        self._at -= size

    def skip(self, size: int) -> None:
        """Move on. Raises `WireEnd`."""
        while size > 0:
            step = self.ahead(min(size, _CHUNK))
            if not step:
                raise WireEnd
            self._at += step
            size -= step

    def varint(self) -> int:
        """Take a varint. Raises `WireError` and `WireEnd`."""
        data = self.peek(10)
        try:
            value, length = varint(data, 0, len(data))
        except WireError:
            if len(data) < 10:
                raise WireEnd from None
            raise
        self._at += length
        return value

    def skip_field(self, kind: int, end: int) -> None:
        """Move past the value of a field that ends by `end`. Raises `WireError` and `WireEnd`."""
        size = self.varint() if kind in (VARINT, BYTES) else _SIZES.get(kind, -1)
        if kind == VARINT:
            size = 0
        if size < 0 or self.position + size > end:
            raise WireError
        self.skip(size)


class WireDamage:
    """What was wrong with the messages of a stream, as `gathering.Damage` asks for it."""

    def __init__(self) -> None:
        self.bad = 0
        self.bad_offsets: list[int] = []
        self._reasons: Counter[str] = Counter()
        self._notes: list[str] = []

    def note_bad(self, offset: int, reason: str) -> None:
        """Count a bad record."""
        self.bad += 1
        self._reasons[reason] += 1
        if len(self.bad_offsets) < CAP:
            self.bad_offsets.append(offset)

    def note(self, what: str) -> None:
        """Something else is wrong, in words for people."""
        if what not in self._notes and len(self._notes) < CAP:
            self._notes.append(what)

    def problems(self) -> tuple[str, ...]:
        """What was wrong, in words for people."""
        reasons = [
            f"{counted(number, 'bad record')}: {reason}"
            for reason, number in sorted(self._reasons.items())
        ]
        return (*reasons, *self._notes)
