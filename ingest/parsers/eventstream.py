"""AWS event streams (`application/vnd.amazon.eventstream`) out of a byte stream, checked by CRC.

A message is a prelude of 12 bytes (length of all, length of the headers, CRC-32 of these eight),
headers, a payload and a CRC-32 of everything before it. A message whose own CRC is wrong is one bad
record; where the prelude is wrong nobody knows where the next one begins, and reading stops.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from ingest.parsers.bounded import Damage
from ingest.parsers.records import CUT_OFF, ByteSource, read_fully

MOST = 24 << 20
"""The longest message that is read; AWS sends at most 16 MiB of payload."""

_PRELUDE = struct.Struct(">III")
_CRC = struct.Struct(">I")
_SIZES = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}  # header types of a fixed size
_BYTES, _TEXT = 6, 7


@dataclass(frozen=True, slots=True)
class Message:
    """One message: the headers that are texts, and the payload."""

    headers: dict[str, str]
    payload: bytes


class MessageReader(Damage):
    """Iterates over `(byte offset, message)`, once; tells what was wrong as other readers do."""

    def __init__(self, stream: ByteSource) -> None:
        self._stream = stream
        super().__init__()

    def __iter__(self) -> Iterator[tuple[int, Message]]:
        offset = 0
        while prelude := read_fully(self._stream, _PRELUDE.size):
            length = _length(prelude)
            if length is None:
                short = len(prelude) < _PRELUDE.size
                self.note_bad(offset, CUT_OFF if short else "no prelude of a message")
                return
            rest = read_fully(self._stream, length - _PRELUDE.size)
            data = prelude + rest
            if len(data) < length:
                self.note_bad(offset, CUT_OFF)
                return
            if zlib.crc32(data[: -_CRC.size]) != _CRC.unpack(data[-_CRC.size :])[0]:
                self.note_bad(offset, "its CRC is wrong")
            else:
                headers_end = _PRELUDE.size + _PRELUDE.unpack(prelude)[1]
                headers = _headers(data[_PRELUDE.size : headers_end])
                yield offset, Message(headers, data[headers_end : -_CRC.size])
            offset += length


def is_event_stream(head: bytes) -> bool:
    """Whether the first bytes are a prelude whose CRC is right."""
    return _length(head[: _PRELUDE.size]) is not None


def _length(prelude: bytes) -> int | None:
    if len(prelude) < _PRELUDE.size:
        return None
    length, headers, crc = _PRELUDE.unpack(prelude)
    least = _PRELUDE.size + headers + _CRC.size
    sound = least <= length <= MOST and crc == zlib.crc32(prelude[: -_CRC.size])
    return length if sound else None


def _headers(data: bytes) -> dict[str, str]:
    """The headers that hold texts; as far as they can be read."""
    found: dict[str, str] = {}
    position = 0
    while position < len(data):
        name_end = position + 1 + data[position]
        name = data[position + 1 : name_end].decode("utf-8", "replace")
        kind = data[name_end] if name_end < len(data) else -1
        position = name_end + 1
        if kind in _SIZES:
            position += _SIZES[kind]
        elif kind in (_BYTES, _TEXT) and position + 2 <= len(data):
            end = position + 2 + int.from_bytes(data[position : position + 2], "big")
            if kind == _TEXT:
                found[name] = data[position + 2 : end].decode("utf-8", "replace")
            position = end
        else:
            break
    return found
