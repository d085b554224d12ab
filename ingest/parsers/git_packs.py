"""Git packs out of a byte stream, in one pass: every object's id, computed from its bytes. No I/O.

Objects come one after another, each packed by zlib; some only as differences to another one, by
where that stands or by its id. Those are rebuilt while their base is in memory, which holds the
last `HELD_TOTAL` bytes of objects. The pack ends in a checksum over all of it.

Hostile packs cost no more than others: what objects unpack to, and what differences build, has a
budget that grows with the bytes read. Nobody knows where an object ends that cannot be unpacked, so
that damage ends the reading.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ingest.parsers.bounded import counted
from ingest.parsers.records import CHUNK_SIZE, CUT_OFF, ByteSource, read_fully
from verify.facts import CAP

HELD = 4 << 20
"""The longest object that is kept to read it, or to build others from it."""

HELD_TOTAL = 64 << 20
MOST_HELD = 100_000
"""How many bytes of objects, and how many objects, are kept at a time."""

BUDGET = 1 << 30
RATIO = 20
"""What objects may unpack to in all: the larger of `BUDGET` and so many times the bytes read."""

TOO_MUCH = "unpacks to far more than it is: not read to its end"

_KINDS = {1: "commit", 2: "tree", 3: "blob", 4: "tag"}
_BY_PLACE, _BY_ID = 6, 7
_PIECE = 1 << 20


@dataclass(slots=True)
class PackDamage:
    """What was wrong, told as other readers tell it."""

    bad: int = 0
    bad_offsets: list[int] = field(default_factory=list)
    reasons: dict[str, int] = field(default_factory=dict)

    def note_bad(self, offset: int, reason: str) -> None:
        """Count an object as bad."""
        self.bad += 1
        self.reasons[reason] = self.reasons.get(reason, 0) + 1
        if len(self.bad_offsets) < CAP:
            self.bad_offsets.append(offset)

    def problems(self) -> tuple[str, ...]:
        """What was wrong, in words for people."""
        return tuple(
            f"{counted(number, 'bad record')}: {reason}"
            for reason, number in sorted(self.reasons.items())
        )


class Allowance:
    """How much may be unpacked, which grows with what was read."""

    def __init__(self) -> None:
        self._read = 0
        self._spent = 0

    def read(self, size: int) -> None:
        """So many bytes came."""
        self._read += size

    def spend(self, size: int) -> bool:
        """So many bytes were made of them; False if that is too much."""
        self._spent += size
        return self._spent <= max(BUDGET, RATIO * self._read)


class PackReader:
    """Iterates over the kind, id and content of each object, once.

    A difference whose base is not at hand has neither kind nor id; content is empty where an object
    is longer than `HELD`, and of blobs. `alone` says that nothing but the pack says how ids are
    made. After the iteration `objects`, `unresolved`, `checksum` (None if there is none) and
    `is_sha256` tell what was met.
    """

    def __init__(
        self, stream: ByteSource, damage: PackDamage, algorithm: str, *, alone: bool
    ) -> None:
        self._input = _Input(stream, ("sha1", "sha256") if alone else (algorithm,))
        self._damage = damage
        self._algorithm = algorithm
        self._id_size = hashlib.new(algorithm, usedforsecurity=False).digest_size
        self._held = _Held()
        self.objects = 0
        self.unresolved = 0
        self.checksum: bool | None = None
        self.is_sha256 = algorithm == "sha256"

    def __iter__(self) -> Iterator[tuple[str, str, bytes]]:
        start = 0
        try:
            header = self._input.exactly(12)
            if header[:4] != b"PACK":
                self._damage.note_bad(0, "no pack behind the header")
                return
            for _ in range(int.from_bytes(header[8:], "big")):
                start = self._input.position
                yield self._object(start)
                self.objects += 1
        except (_StopError, zlib.error) as stop:
            reason = str(stop) if isinstance(stop, _StopError) else "cannot be unpacked"
            self._damage.note_bad(start, reason)
            return
        self._end()

    def _object(self, start: int) -> tuple[str, str, bytes]:
        byte = self._input.exactly(1)[0]
        kind, size, shift = byte >> 4 & 7, byte & 15, 4
        while byte & 0x80:
            byte = self._input.exactly(1)[0]
            size |= (byte & 0x7F) << shift
            shift += 7
            if shift > 64:
                raise _StopError("no size of an object")
        if kind in _KINDS:
            return self._plain(start, _KINDS[kind], size)
        if kind == _BY_PLACE:
            base = self._held.at(start - self._distance())
        elif kind == _BY_ID:
            base = self._held.named(self._input.exactly(self._id_size).hex())
        else:
            raise _StopError("no type of an object")
        return self._difference(start, base, size)

    def _distance(self) -> int:
        """How far back the base stands, in the form of its own that Git has for it."""
        byte = self._input.exactly(1)[0]
        distance = byte & 0x7F
        while byte & 0x80:
            byte = self._input.exactly(1)[0]
            distance = (distance + 1) << 7 | byte & 0x7F
            if distance >> 64:
                raise _StopError("no place of an object")
        return distance

    def _plain(self, start: int, kind: str, size: int) -> tuple[str, str, bytes]:
        hasher = hashlib.new(self._algorithm, f"{kind} {size}\0".encode(), usedforsecurity=False)
        parts: list[bytes] = []
        total = 0
        for piece in self._input.inflated():
            hasher.update(piece)
            total += len(piece)
            if total <= HELD:
                parts.append(piece)
            else:
                parts.clear()
        if total != size:
            raise _StopError("not as long as it says")
        content = b"".join(parts)
        identifier = hasher.hexdigest()
        if total <= HELD:
            self._held.add(start, identifier, kind, content)
        return kind, identifier, b"" if kind == "blob" else content

    def _difference(
        self, start: int, base: tuple[str, bytes] | None, size: int
    ) -> tuple[str, str, bytes]:
        parts: list[bytes] = []
        total = 0
        for piece in self._input.inflated():
            total += len(piece)
            if total <= HELD:
                parts.append(piece)
        if total != size:
            raise _StopError("not as long as it says")
        content = None
        if base is not None and total <= HELD:
            content = _applied(base[1], b"".join(parts))
        if base is None or content is None or not self._input.building.spend(len(content)):
            self.unresolved += 1
            return "", "", b""
        kind = base[0]
        header = f"{kind} {len(content)}\0".encode()
        identifier = hashlib.new(
            self._algorithm, header + content, usedforsecurity=False
        ).hexdigest()
        self._held.add(start, identifier, kind, content)
        return kind, identifier, b"" if kind == "blob" else content

    def _end(self) -> None:
        """Hold the checksum against the bytes."""
        digests = self._input.digests()
        rest = self._input.rest(65)
        for algorithm, digest in digests.items():
            if len(rest) == len(digest):
                self.checksum = rest == digest
                self.is_sha256 = algorithm == "sha256"
                return
        self._damage.note_bad(self._input.position, CUT_OFF if len(rest) < 20 else "no checksum")


class _StopError(Exception):
    """Why reading ends here."""


class _Input:
    """The bytes of a pack, counted and hashed as they are used up."""

    def __init__(self, stream: ByteSource, algorithms: tuple[str, ...]) -> None:
        self._stream = stream
        self._buffer = b""
        self._hashers = {name: hashlib.new(name, usedforsecurity=False) for name in algorithms}
        self.unpacking = Allowance()
        self.building = Allowance()
        self.position = 0

    def exactly(self, size: int) -> bytes:
        """So many bytes. Raises `_StopError` if there are fewer."""
        if len(self._buffer) < size:
            self._buffer += read_fully(self._stream, CHUNK_SIZE)
        if len(self._buffer) < size:
            raise _StopError(CUT_OFF)
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        self._used(data)
        return data

    def inflated(self) -> Iterator[bytes]:
        """What the zlib stream that begins here unpacks to, in pieces."""
        inflater: Any = zlib.decompressobj()
        while not inflater.eof:
            data = self._buffer or read_fully(self._stream, CHUNK_SIZE)
            self._buffer = b""
            if not data:
                raise _StopError(CUT_OFF)
            left = data
            while left and not inflater.eof:
                piece = inflater.decompress(left, _PIECE)
                left = inflater.unconsumed_tail
                if not self.unpacking.spend(len(piece)):
                    raise _StopError(TOO_MUCH)
                yield piece
            unused = inflater.unused_data
            self._used(data[: len(data) - len(unused)])
            self._buffer = unused

    def digests(self) -> dict[str, bytes]:
        """The hashes of all that was used up so far."""
        return {name: hasher.digest() for name, hasher in self._hashers.items()}

    def rest(self, most: int) -> bytes:
        """What is left, at most so much."""
        if len(self._buffer) < most:
            self._buffer += read_fully(self._stream, most - len(self._buffer))
        return self._buffer[:most]

    def _used(self, data: bytes) -> None:
        self.position += len(data)
        self.unpacking.read(len(data))
        self.building.read(len(data))
        for hasher in self._hashers.values():
            hasher.update(data)


class _Held:
    """The objects that others may be built from: the last ones, by place and by id."""

    def __init__(self) -> None:
        self._objects: dict[int, tuple[str, str, bytes]] = {}
        self._places: dict[str, int] = {}
        self._size = 0

    def add(self, place: int, identifier: str, kind: str, content: bytes) -> None:
        self._objects[place] = (identifier, kind, content)
        self._places[identifier] = place
        self._size += len(content)
        while self._size > HELD_TOTAL or len(self._objects) > MOST_HELD:
            oldest = next(iter(self._objects))
            gone, _, old = self._objects.pop(oldest)
            self._size -= len(old)
            if self._places.get(gone) == oldest:
                del self._places[gone]

    def at(self, place: int) -> tuple[str, bytes] | None:
        known = self._objects.get(place)
        return None if known is None else known[1:]

    def named(self, identifier: str) -> tuple[str, bytes] | None:
        place = self._places.get(identifier)
        return None if place is None else self.at(place)


def _applied(base: bytes, delta: bytes) -> bytes | None:
    """The object that a difference makes of its base; None if it makes none (pack-format)."""
    base_size, position = _size(delta, 0)
    size, position = _size(delta, position)
    if base_size != len(base) or size > HELD:
        return None
    parts: list[bytes] = []
    total = 0
    while position < len(delta):
        command = delta[position]
        position += 1
        if not command:
            return None
        if command & 0x80:
            offset = length = 0
            for bit in range(7):
                if command >> bit & 1:
                    if position >= len(delta):
                        return None
                    if bit < 4:
                        offset |= delta[position] << 8 * bit
                    else:
                        length |= delta[position] << 8 * (bit - 4)
                    position += 1
            length = length or 0x10000
            part = base[offset : offset + length]
        else:
            length = command
            part = delta[position : position + length]
            position += length
        total += length
        if len(part) != length or total > size:
            return None
        parts.append(part)
    return b"".join(parts) if total == size else None


def _size(delta: bytes, position: int) -> tuple[int, int]:
    """A size in seven bits a byte, and where it ends."""
    value = shift = 0
    while position < len(delta) and shift < 64:
        byte = delta[position]
        position += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            break
    return value, position
