"""Archives: zip and tar, read through without being unpacked to anywhere. Sealed as they are.

Members are read in the order in which they lie, each by the parser that its bytes ask for, and
their facts are merged. Where any member is of a known format, the others say nothing. Limits hold
for an archive with all that lies in it: members, unpacked bytes, their ratio to packed ones, depth.
Whatever ends the reading early is said in one problem, and what was read until then stands. Names
that lead out of the archive harm nobody here; they are told, because they harm whoever unpacks it.

The version is that of this module and of all parsers that may read a member, added up.
"""

from __future__ import annotations

import io
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, BinaryIO, ClassVar, cast

from ingest.parsers.bounded import clip, counted
from ingest.parsers.gathering import digest_of
from ingest.parsers.gunzip import RATIO_FREE, RATIO_LIMIT, SIZE_LIMIT, Unpacked
from ingest.parsers.merging import merge
from ingest.parsers.parser import HEAD_SIZE, Confidence, Parser, Reading
from ingest.parsers.reading import read_with
from ingest.parsers.records import ByteSource, read_fully
from verify.facts import CAP
from verify.statement import Kind

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

VERSION = 1
MOST_MEMBERS = 10_000
MOST_DEPTH = 3
"""How many archives may lie in one another and still be read."""

_GENERIC = ("empty", "json", "text", "binary")
_BLOCK = 16 << 10
_LONGEST_NAME = 64 << 10
_LABELS_SHOWN = 3
_MERGED_AT = 64

_LOCAL = b"PK\x03\x04"
_CENTRAL = b"PK\x01\x02"
_END = b"PK\x05\x06"
_END_64 = b"PK\x06\x06"
_LOCATOR = b"PK\x06\x07"
_DESCRIPTOR = b"PK\x07\x08"


def over(readers: Sequence[Parser]) -> tuple[Parser, ...]:
    """Parsers of archives whose members `readers` read."""
    return ZipParser(tuple(readers)), TarParser(tuple(readers))


class _StopError(Exception):
    """The reading of an archive ends here; the text says why, "" if all is read."""


@dataclass(slots=True)
class _Budget:
    """What an archive may cost, with all archives in it."""

    members: int = MOST_MEMBERS
    size: int = SIZE_LIMIT
    given: int = 0
    taken: Callable[[], int] = lambda: 0

    def spend(self, size: int) -> None:
        """Unpacked bytes. Raises `_StopError`."""
        self.given += size
        if self.given > self.size:
            raise _StopError(f"unpacks to more than {self.size} bytes; read until there")
        if self.given > max(RATIO_FREE, self.taken() * RATIO_LIMIT):
            raise _StopError(
                f"unpacks to more than {RATIO_LIMIT} times its size; "
                f"{self.given} unpacked bytes were read"
            )

    def enter(self) -> None:
        """One more member. Raises `_StopError`."""
        if not self.members:
            raise _StopError("too many members; the rest was not read")
        self.members -= 1


@dataclass(frozen=True, eq=True)
class _ArchiveParser:
    """What zip and tar have in common."""

    readers: tuple[Parser, ...]
    depth: int = 1
    budget: _Budget | None = field(default=None, compare=False)

    name: ClassVar[str]
    label: ClassVar[str]
    kinds: ClassVar[tuple[str, ...]] = tuple(str(kind) for kind in Kind)
    whole: ClassVar[bool] = True

    @property
    def version(self) -> int:
        """Rises with that of any parser of members."""
        return VERSION + sum(parser.version for parser in self.readers)

    def detect(self, head: bytes, name: str) -> Confidence:
        """Whether it is one."""
        raise NotImplementedError

    def read(self, stream: BinaryIO, name: str) -> Reading:
        """Read all members."""
        del name
        source = _Source(stream)
        budget = self.budget or _Budget(taken=lambda: source.taken)
        archive = _Archive(self.name, self._members_read_by(budget), budget)
        try:
            self._walk(source, archive)
        except _StopError as stop:
            archive.problem(str(stop))
        return archive.reading(self, self.label)

    def _members_read_by(self, budget: _Budget) -> tuple[Parser, ...]:
        if self.depth >= MOST_DEPTH:
            deeper: tuple[Parser, ...] = (_TooDeep(),)
        else:
            deeper = tuple(
                kind(self.readers, depth=self.depth + 1, budget=budget)
                for kind in (ZipParser, TarParser)
            )
        known = (parser for parser in self.readers if parser.name not in _GENERIC)
        generic = (parser for parser in self.readers if parser.name in _GENERIC)
        return (*known, *deeper, *generic)

    def _walk(self, source: _Source, archive: _Archive) -> None:
        raise NotImplementedError


class ZipParser(_ArchiveParser):
    """Reads a zip from its first member on; its directory, at the end, is compared with that."""

    name = "zip"
    label = "zip"

    def detect(self, head: bytes, name: str) -> Confidence:
        """Certain where a member, or the end of an empty archive, opens the file."""
        del name
        if head.startswith(_LOCAL) and len(head) > 30 and head[5] == 0:
            return Confidence.CERTAIN
        return Confidence.CERTAIN if head.startswith(_END) else Confidence.NONE

    def _walk(self, source: _Source, archive: _Archive) -> None:
        held: Counter[bytes] = Counter()
        while (signature := source.exactly(4)) == _LOCAL:
            member = _zip_member(source)
            held[digest_of(member.name)] += 1
            archive.budget.enter()
            archive.name(member.name)
            _read_zip_member(source, member, archive)
        listed: Counter[bytes] = Counter()
        for _ in range(MOST_MEMBERS + 1):
            if signature != _CENTRAL:
                break
            fixed = source.exactly(42)
            raw = source.exactly(_number(fixed, 24, 2))
            listed[digest_of(_zip_name(raw, _number(fixed, 4, 2)))] += 1
            source.skip(_number(fixed, 26, 2) + _number(fixed, 28, 2))
            signature = source.exactly(4)
        if signature == _END_64:
            source.skip(_number(source.exactly(8), 0, 8))
            signature = source.exactly(4)
        if signature == _LOCATOR:
            source.skip(16)
            signature = source.exactly(4)
        if signature != _END:
            raise _StopError(f"damaged at byte {source.taken - 4}; what follows was not read")
        source.skip(_number(source.exactly(18), 16, 2))
        if source.up_to(1):
            archive.problem("other bytes follow its end; they were not read")
        if listed != held:
            archive.problem("its directory lists other members than it holds")
        if any(number > 1 for number in held.values()):
            archive.problem("several members have one name")


class TarParser(_ArchiveParser):
    """Reads a tar: ustar, and the long names of GNU and pax."""

    name = "tar"
    label = "tar"

    def detect(self, head: bytes, name: str) -> Confidence:
        """Certain where the first block is a header with a right checksum."""
        del name
        return Confidence.CERTAIN if _tar_sum_fits(head[:512]) else Confidence.NONE

    def _walk(self, source: _Source, archive: _Archive) -> None:
        long_name: str | None = None
        long_size: int | None = None
        while True:
            block = source.up_to(512)
            if len(block) < 512:
                raise _StopError("cut off" if block else "ends without its last block")
            if not block.strip(b"\0"):
                return
            if not _tar_sum_fits(block):
                raise _StopError(f"damaged at byte {source.taken - 512}; what follows was not read")
            kind = block[156:157]
            size = _tar_size(block)
            if kind in b"LKxg":  # what stands before a member whose name or size is long
                if size > _LONGEST_NAME:
                    raise _StopError(f"a header of {size} bytes; what follows was not read")
                data = source.exactly(size)
                source.skip(-size % 512)
                if kind == b"L":
                    long_name = data.split(b"\0")[0].decode("utf-8", "replace")
                elif kind == b"x":
                    records = _pax(data)
                    long_name = records.get("path", long_name)
                    if (text := records.get("size", "")).isascii() and text.isdigit():
                        long_size = int(text[:20])
                continue
            name, size = long_name or _tar_name(block), size if long_size is None else long_size
            long_name = long_size = None
            archive.budget.enter()
            archive.name(name)
            if kind in (b"0", b"\0", b"7"):
                _read_tar_member(source, name, size, archive)
            elif kind == b"S":
                archive.problem(f"{name}: a sparse file, not read")
                source.skip(size)
            else:  # folders, links and devices hold nothing
                size = 0 if kind in b"123456" else size
                source.skip(size)
            source.skip(-size % 512)


class _TooDeep:
    """Stands for an archive that lies too deep in others to be read."""

    name = "archive"
    version = 1
    kinds = ("other",)
    whole = False

    def detect(self, head: bytes, name: str) -> Confidence:
        """Certain where it would be an archive."""
        return max(kind(()).detect(head, name) for kind in (ZipParser, TarParser))

    def read(self, stream: BinaryIO, name: str) -> Reading:
        """Say so."""
        del stream, name
        problem = f"an archive more than {MOST_DEPTH} deep, not read"
        facts = merge([], self, "archive", problems=[problem])
        return Reading(facts, self.kinds, "archive", "not read")


@dataclass(slots=True)
class _Archive:
    """What was read of one archive so far."""

    form: str
    parsers: tuple[Parser, ...]
    budget: _Budget
    names: int = 0
    leading_out: list[str] = field(default_factory=list)
    _known: bool = False
    _groups: dict[tuple[str, ...], list[Reading]] = field(default_factory=dict)
    _labels: Counter[str] = field(default_factory=Counter)
    _problems: dict[str, None] = field(default_factory=dict)
    _told: dict[str, list[str]] = field(default_factory=dict)

    def name(self, name: str) -> None:
        """A member's name was met."""
        self.names += 1
        if name.startswith(("/", "\\")) or ".." in name.replace("\\", "/").split("/"):
            self.leading_out.append(clip(name))

    def problem(self, text: str) -> None:
        """Something is wrong with the archive; only so many are kept."""
        if text and len(self._problems) <= CAP:
            self._problems[clip(text)] = None

    def take(self, reading: Reading, name: str, parser: Parser) -> None:
        """A member was read. Now and then those of a kind are merged: memory stays flat."""
        facts = reading.facts
        for problem in facts.problems:
            if problem in self._told or len(self._told) <= CAP:
                self._told.setdefault(problem, []).append(clip(name))
        self._labels[reading.format_label] += 1
        known = facts.parser not in _GENERIC
        if known and not self._known:
            self._known = True
            self._groups.clear()
        if known or not self._known:
            group = self._groups.setdefault((facts.format, *reading.kinds), [])
            group.append(replace(reading, facts=replace(facts, problems=())))
            if len(group) >= _MERGED_AT:
                group[:] = [replace(reading, facts=merge(group, parser, facts.format))]

    def reading(self, parser: Parser, label: str) -> Reading:
        """What all members come to."""
        if self.leading_out:
            count = counted(len(self.leading_out), "name")
            self.problem(f"{count} leading out of the archive: {min(self.leading_out)}")
        for problem, names in self._told.items():
            where = names[0] if len(names) == 1 else f"{len(names):,} members, {min(names)} first"
            self.problem(f"{where}: {problem}")
        readings = [reading for group in self._groups.values() for reading in group]
        facts = merge(readings, parser, self.form, problems=self._problems)
        met = {kind for reading in readings for kind in reading.kinds} - {"other"}
        kinds = tuple(kind for kind in parser.kinds if kind in met)
        labels = sorted(self._labels.items(), key=lambda each: (-each[1], each[0]))
        parts = [f"{number:,} {name}" for name, number in labels[:_LABELS_SHOWN]]
        if labels[_LABELS_SHOWN:]:
            parts.append(f"{sum(number for _, number in labels[_LABELS_SHOWN:]):,} more")
        summary = counted(self.names, "member") + (f": {', '.join(parts)}" if parts else "")
        return Reading(facts, kinds or ("other",), label, summary)


def _read_member(pieces: Iterator[bytes], name: str, archive: _Archive) -> None:
    """Let a parser read a member; then read what it left."""
    content = _Content(pieces, archive.budget)
    head = read_fully(content, HEAD_SIZE)
    stream = io.BufferedReader(_Content(_again(head, content), None), HEAD_SIZE)
    packed: list[Unpacked] = []

    def gunzip(source: ByteSource) -> Unpacked:
        left = max(archive.budget.size - archive.budget.given, 0)
        packed.append(Unpacked(source, size_limit=left))
        return packed[0]

    reading = read_with(
        archive.parsers, cast("BinaryIO", stream), head=head, name=name, gunzip=gunzip
    )
    if content.stopped is None:
        archive.take(reading, name, archive.parsers[-1])
        while content.read(_BLOCK):
            pass
    if content.stopped is not None:
        raise content.stopped
    for each in packed:
        archive.budget.spend(each.given)


def _again(head: bytes, content: _Content) -> Iterator[bytes]:
    yield head
    while piece := content.read(_BLOCK):
        yield piece


class _Content(io.RawIOBase):
    """The bytes of one member; they end where reading must stop, and `stopped` says why."""

    def __init__(self, pieces: Iterator[bytes], budget: _Budget | None) -> None:
        super().__init__()
        self._pieces = pieces
        self._budget = budget
        self._piece = memoryview(b"")
        self.stopped: _StopError | None = None

    def readable(self) -> bool:
        """True."""
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fill the buffer."""
        target = memoryview(buffer).cast("B")
        while not self._piece and self.stopped is None:
            try:
                piece = next(self._pieces, None)
                if piece is None:
                    return 0
                if self._budget is not None:
                    self._budget.spend(len(piece))
            except _StopError as stop:
                self.stopped = stop
                return 0
            self._piece = memoryview(piece)
        count = min(len(target), len(self._piece))
        target[:count] = self._piece[:count]
        self._piece = self._piece[count:]
        return count


class _Source:
    """The archive's bytes in order; what was read too far can be put back."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._back = b""
        self.taken = 0

    def up_to(self, size: int) -> bytes:
        """So many bytes, fewer only at the end."""
        data, self._back = self._back[:size], self._back[size:]
        if len(data) < size:
            data += read_fully(self._stream, size - len(data))
        self.taken += len(data)
        return data

    def exactly(self, size: int) -> bytes:
        """So many bytes. Raises `_StopError`."""
        data = self.up_to(size)
        if len(data) < size:
            raise _StopError("cut off")
        return data

    def pieces(self, size: int) -> Iterator[bytes]:
        """So many bytes, piece by piece. Raises `_StopError`."""
        while size > 0:
            piece = self.exactly(min(size, _BLOCK))
            size -= len(piece)
            yield piece

    def skip(self, size: int) -> None:
        """Move on. Raises `_StopError`."""
        for _ in self.pieces(size):
            pass

    def put_back(self, data: bytes) -> None:
        """These bytes were not wanted."""
        self._back = data + self._back
        self.taken -= len(data)


# Zip (APPNOTE 6.3).


@dataclass(slots=True)
class _ZipMember:
    name: str
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    long: bool

    @property
    def open_ended(self) -> bool:
        """Whether its sizes stand behind it only."""
        return bool(self.flags & 8)


def _number(data: bytes, start: int, size: int) -> int:
    return int.from_bytes(data[start : start + size], "little")


def _zip_member(source: _Source) -> _ZipMember:
    fixed = source.exactly(26)
    raw = source.exactly(_number(fixed, 22, 2))
    extra = source.exactly(_number(fixed, 24, 2))
    flags = _number(fixed, 2, 2)
    packed, size = _number(fixed, 14, 4), _number(fixed, 18, 4)
    wide = _zip_extra(extra, 1)
    if wide is not None and size == packed == 0xFFFFFFFF and len(wide) >= 16:
        size, packed = _number(wide, 0, 8), _number(wide, 8, 8)
    name, method = _zip_name(raw, flags), _number(fixed, 4, 2)
    return _ZipMember(name, flags, method, _number(fixed, 10, 4), packed, size, wide is not None)


def _zip_name(raw: bytes, flags: int) -> str:
    return raw.decode("utf-8", "replace") if flags & 0x800 else raw.decode("cp437")


def _zip_extra(extra: bytes, wanted: int) -> bytes | None:
    while len(extra) >= 4:
        identity, size = _number(extra, 0, 2), _number(extra, 2, 2)
        if identity == wanted:
            return extra[4 : 4 + size]
        extra = extra[4 + size :]
    return None


def _read_zip_member(source: _Source, member: _ZipMember, archive: _Archive) -> None:
    unread = None
    if member.flags & 1:
        unread = "encrypted, not read"
    elif member.method not in (0, 8):
        unread = f"packed by method {member.method}, not read"
    elif member.method == 0 and member.open_ended and not member.packed:
        unread = "of unknown length, not read"
    if unread:
        archive.problem(f"{member.name}: {unread}")
        if member.open_ended and not member.packed:
            raise _StopError("what follows a member of unknown length was not read")
        source.skip(member.packed)
        if member.open_ended:
            _zip_descriptor(source, member)
        return
    checked = _Checked()
    if member.name.endswith("/") and not member.packed and not member.open_ended:
        return
    pieces = source.pieces(member.packed) if member.method == 0 else _inflated(source, member)
    _read_member(checked.pieces(pieces), member.name, archive)
    crc, size = member.crc, member.size
    if member.open_ended:
        crc, size = _zip_descriptor(source, member)
    if (crc, size) != (checked.crc, checked.size):
        archive.problem(f"{member.name}: its bytes are not those that were packed")


class _Checked:
    """Counts and sums up bytes that pass."""

    def __init__(self) -> None:
        self.crc = 0
        self.size = 0

    def pieces(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """The same pieces."""
        for piece in pieces:
            self.crc = zlib.crc32(piece, self.crc)
            self.size += len(piece)
            yield piece


def _inflated(source: _Source, member: _ZipMember) -> Iterator[bytes]:
    """The unpacked bytes of a member. Raises `_StopError`."""
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    left = None if member.open_ended else member.packed
    while not unpacker.eof:
        data = unpacker.unconsumed_tail
        if not data:
            data = source.up_to(_BLOCK if left is None else min(_BLOCK, left))
            left = None if left is None else left - len(data)
            if not data:
                raise _StopError("cut off" if left is None or left else f"{member.name}: cut off")
        try:
            piece = unpacker.decompress(data, _BLOCK << 4)
        except zlib.error:
            raise _StopError(f"{member.name}: damaged; what follows was not read") from None
        if piece:
            yield piece
    rest = unpacker.unused_data
    if left is None:
        source.put_back(rest)
    else:
        source.skip(left)


def _zip_descriptor(source: _Source, member: _ZipMember) -> tuple[int, int]:
    """The checksum and size behind a member; its form is known by what comes after it."""
    data = source.up_to(28)
    start = 4 if data.startswith(_DESCRIPTOR) else 0
    for width in (8, 4) if member.long else (4, 8):
        end = start + 4 + 2 * width
        if data[end : end + 2] == b"PK":
            source.put_back(data[end:])
            return _number(data, start, 4), _number(data, start + 4 + width, width)
    raise _StopError("cut off" if len(data) < 28 else f"{member.name}: damaged behind its end")


# Tar (POSIX ustar and pax, GNU).


def _tar_sum_fits(block: bytes) -> bool:
    if len(block) < 512 or not block[:100].strip(b"\0"):
        return False
    given = block[148:156].strip(b" \0")
    if not given or any(each not in b"01234567" for each in given):
        return False
    return int(given, 8) == sum(block[:148]) + 8 * 32 + sum(block[156:])


def _tar_size(block: bytes) -> int:
    """A member's size. Raises `_StopError`."""
    text = block[124:136]
    if text[0] & 0x80:
        return int.from_bytes(text[1:], "big")
    digits = text.strip(b" \0")
    if any(each not in b"01234567" for each in digits):
        raise _StopError("a member without a size; what follows was not read")
    return int(digits or b"0", 8)


def _tar_name(block: bytes) -> str:
    name = block[:100].split(b"\0")[0]
    prefix = block[345:500].split(b"\0")[0] if block[257:263] == b"ustar\0" else b""
    return (prefix + b"/" + name if prefix else name).decode("utf-8", "replace")


def _pax(data: bytes) -> dict[str, str]:
    """The records of a pax header, as far as they can be read."""
    records: dict[str, str] = {}
    while data:
        digits, _, _ = data[:20].partition(b" ")
        if not digits.isdigit() or not len(digits) + 1 < int(digits) <= len(data):
            break
        record, data = data[len(digits) + 1 : int(digits)], data[int(digits) :]
        key, _, value = record.rstrip(b"\n").partition(b"=")
        records[key.decode("utf-8", "replace")] = value.decode("utf-8", "replace")
    return records


def _read_tar_member(source: _Source, name: str, size: int, archive: _Archive) -> None:
    _read_member(source.pieces(size), name, archive)
