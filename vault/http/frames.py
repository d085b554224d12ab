"""The wire of captures: how contents, what is said of them, and the list travel in one body.

`CAPTURE.md` beside this module specifies it. Written by who sends and read by who receives; both
hold one content at a time, a piece of it in memory. Nothing here is about HTTP.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum

from verify import strictjson
from verify.collection import MAX_COLLECTED, CollectedDocument, CollectedItem
from verify.description import Description, parse_description
from verify.digest import check_hex, sha256_hex
from verify.errors import DigestMismatchError, MalformedError
from verify.statement import Kind, check_kinds
from verify.strictjson import Fields, Object

MAGIC = b"evault-capture-1\n"
PIECE = 1 << 20
"""Bytes of a content in one frame at most."""

MAX_DESCRIBED = 256 << 20
"""Bytes of all descriptions of one capture: they are held until its links are made."""
CUT_DESCRIBED = 64 << 20
"""After so many a sender ends one capture and begins the next."""

_HEADER = 5
_MAX_DESCRIPTION = 8 << 20
_MAX_ENVELOPE = 24 << 20


class FrameKind(Enum):
    """What a frame holds: its letter, and how many bytes at most."""

    HEAD = (b"H", 1 << 16)
    SIGNED = (b"S", _MAX_ENVELOPE)
    CONTENT = (b"C", 20)
    DATA = (b"D", PIECE)
    ITEM = (b"I", 2 * _MAX_DESCRIPTION)
    DROPPED = (b"X", 1 << 10)
    MISSED = (b"M", 1 << 18)
    LIST = (b"L", _MAX_ENVELOPE)

    @property
    def letter(self) -> bytes:
        """The byte that a frame of this kind begins with."""
        return self.value[0]

    @property
    def limit(self) -> int:
        """The most bytes that it may hold."""
        return self.value[1]


_KINDS = {kind.letter: kind for kind in FrameKind}


@dataclass(frozen=True, slots=True)
class Head:
    """What is said of a capture as a whole, before anything of it comes."""

    deposit: str | None
    """The sender's id of it; None in a capture that a collector signed, which has one."""
    method: str
    source: str | None
    system: str | None
    collector: Object
    pack: bool

    def encode(self) -> bytes:
        """The frame's JSON."""
        return strictjson.dumps(
            {
                "collector": self.collector,
                "deposit": self.deposit,
                "method": self.method,
                "pack": self.pack,
                "source": self.source,
                "system": self.system,
            }
        )


def parse_head(data: bytes) -> Head:
    """Read a head strictly. Raises `MalformedError`."""
    reader = Fields(strictjson.loads(data, where="head"), "head")
    collector = reader.raw("collector")
    if not isinstance(collector, dict):
        raise MalformedError("head.collector: expected a JSON object")
    pack = reader.raw("pack")
    if not isinstance(pack, bool):
        raise MalformedError("head.pack: expected true or false")
    head = Head(
        deposit=reader.text_or_none("deposit"),
        method=reader.text("method"),
        source=reader.text_or_none("source"),
        system=reader.text_or_none("system"),
        collector=collector,
        pack=pack,
    )
    reader.done()
    return head


@dataclass(slots=True)
class SentList:
    """What a capture holds, as its sender lists it at the end: what came is held against it."""

    items: list[CollectedItem] = field(default_factory=list)
    missed: list[Object] = field(default_factory=list)
    described: int = 0
    """Bytes of all descriptions."""

    def add(
        self, *, sha256: str, size: int, kinds: Sequence[str], description: bytes
    ) -> CollectedItem:
        """Note an item. Raises `MalformedError` for one too many."""
        if self.is_full:
            raise MalformedError(f"a capture is {MAX_COLLECTED:,} items at most; send several")
        self.described += len(description)
        document = CollectedDocument(sha256_hex(description), len(description))
        self.items.append(CollectedItem(sha256, size, tuple(kinds), document))
        return self.items[-1]

    @property
    def is_full(self) -> bool:
        """Whether another item would be one too many."""
        return len(self.items) >= MAX_COLLECTED

    def encode(self) -> bytes:
        """The list, in the members that a collection has."""
        listed: Object | None = None
        if self.missed:
            data = strictjson.dumps(self.missed)
            listed = CollectedDocument(sha256_hex(data), len(data)).to_json()
        return strictjson.dumps(
            {
                "items": [item.to_json() for item in self.items],
                "not_captured": {"count": len(self.missed), "description": listed},
            }
        )


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame, read whole."""

    kind: FrameKind
    data: bytes


def framed(kind: FrameKind, data: bytes = b"") -> bytes:
    """A frame. Raises `MalformedError` for more than it may hold."""
    if len(data) > kind.limit:
        raise MalformedError(
            f"{len(data):,} bytes are more than a frame {kind.name.lower()} holds: {kind.limit:,}"
        )
    return kind.letter + len(data).to_bytes(4, "big") + data


def content_frames(pieces: Iterable[bytes], size: int | None, digest: Digested) -> Iterator[bytes]:
    """The frames of a content's bytes, which `digest` sees."""
    yield framed(FrameKind.CONTENT, b"" if size is None else str(size).encode())
    for piece in pieces:
        digest.update(piece)
        for start in range(0, len(piece), PIECE):
            yield framed(FrameKind.DATA, piece[start : start + PIECE])


def item_frame(digest: Digested, kinds: Sequence[str], description: bytes) -> bytes:
    """The frame that ends a content, and claims it."""
    value: Object = {**digest.to_json(), "description": description.decode(), "kinds": list(kinds)}
    return framed(FrameKind.ITEM, strictjson.dumps(value))


def dropped_frame(digest: Digested) -> bytes:
    """The frame that ends a content that is not claimed."""
    return framed(FrameKind.DROPPED, strictjson.dumps(digest.to_json()))


def missed_frame(name: str, reason: str, detail: str) -> bytes:
    """The frame of something that was met and could not be kept."""
    value: Object = {"detail": detail, "name": name, "reason": reason}
    return framed(FrameKind.MISSED, strictjson.dumps(value))


class Digested:
    """Digest and size of a content on its way."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.size = 0

    def update(self, piece: bytes) -> None:
        """Count a piece in."""
        self._hash.update(piece)
        self.size += len(piece)

    @property
    def sha256(self) -> str:
        """The digest of what came."""
        return self._hash.hexdigest()

    def to_json(self) -> Object:
        """As frames state it."""
        return {"sha256": self.sha256, "size": self.size}


@dataclass(frozen=True, slots=True)
class Claimed:
    """What ends a content: its kinds and description, or that it is dropped."""

    kinds: tuple[str, ...]
    description: Description
    encoded: bytes


class FrameReader:
    """Reads frames out of a body's pieces, strictly; a body that ends early is refused."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._buffer = bytearray()
        self._next: Frame | None = None
        self._item = 0
        self._announced: int | None = None
        self._described = 0
        if self._take(len(MAGIC)) != MAGIC:
            raise MalformedError(f"a capture begins with {MAGIC.decode().strip()}; see CAPTURE.md")

    def peek(self) -> FrameKind:
        """What comes next. Raises `MalformedError` at the end of the body."""
        if self._next is None:
            header = self._take(_HEADER)
            kind = _KINDS.get(header[:1])
            if kind is None:
                raise MalformedError(f"a frame begins with {header[:1]!r}, which is none")
            size = int.from_bytes(header[1:], "big")
            if size > kind.limit:
                raise MalformedError(
                    f"a frame {kind.name.lower()} of {size:,} bytes; the limit is {kind.limit:,}"
                )
            self._next = Frame(kind, self._take(size))
        return self._next.kind

    def take(self, kind: FrameKind) -> bytes:
        """The next frame, which has to be of this kind. Raises `MalformedError`."""
        if self.peek() != kind:
            raise MalformedError(
                f"a frame {kind.name.lower()} was to come, and {self.peek().name.lower()} came"
            )
        assert self._next is not None
        data, self._next = self._next.data, None
        return data

    def content_size(self) -> int | None:
        """Open the next content; the size that is announced."""
        text = self.take(FrameKind.CONTENT)
        self._item += 1
        self._announced = None
        if not text:
            return None
        if not text.isdigit() or (text[:1] == b"0" and text != b"0"):
            raise MalformedError(f"content {self._item}: its size is no number")
        self._announced = int(text)
        return self._announced

    def pieces(self, digest: Digested) -> Iterator[bytes]:
        """The bytes of the content that was opened; `digest` sees them.

        Raises `MalformedError` for more than was announced: who is told a size prepares for it.
        """
        while self.peek() == FrameKind.DATA:
            piece = self.take(FrameKind.DATA)
            digest.update(piece)
            if self._announced is not None and digest.size > self._announced:
                raise MalformedError(
                    f"content {self._item} is longer than announced: {self._announced:,} bytes"
                )
            yield piece

    def end_of_content(self, digest: Digested) -> Claimed | None:
        """What is said of the content that just came; None if it is dropped.

        Raises `DigestMismatchError` where it is not what was sent, `MalformedError`.
        """
        kind = FrameKind.ITEM if self.peek() == FrameKind.ITEM else FrameKind.DROPPED
        where = f"content {self._item}"
        reader = Fields(strictjson.loads(self.take(kind), where=where, limit=kind.limit), where)
        sha256, size = check_hex(reader.raw("sha256"), where=where), reader.count("size")
        if (sha256, size) != (digest.sha256, digest.size):
            raise DigestMismatchError(
                f"{where} as it was sent, of {size:,} bytes, and as {digest.size:,} came",
                sealed=sha256,
                found=digest.sha256,
            )
        if kind == FrameKind.DROPPED:
            reader.done()
            return None
        kinds = check_kinds(reader.texts("kinds", limit=len(Kind)), where=where)
        data = reader.text("description", limit=_MAX_DESCRIPTION).encode()
        reader.done()
        self._described += len(data)
        if self._described > MAX_DESCRIBED:
            raise MalformedError(
                f"descriptions of one capture are {MAX_DESCRIBED:,} bytes at most; send several"
            )
        what = f"the description of {where}"
        description = parse_description(data, where=what)
        if description.encode() != data:
            raise MalformedError(f"{what} is not canonical")
        return Claimed(kinds, description, data)

    def missed(self) -> Iterator[Object]:
        """What was met and could not be kept, as far as that is what comes next."""
        while self.peek() == FrameKind.MISSED:
            where = "what was not captured"
            reader = Fields(strictjson.loads(self.take(FrameKind.MISSED), where=where), where)
            value = {name: reader.text(name) for name in ("detail", "name", "reason")}
            reader.done()
            yield value

    def done(self) -> None:
        """Raise `MalformedError` if anything follows."""
        if self._next is not None or self._buffer or next(self._pieces, b""):
            raise MalformedError("something follows the end of the capture")

    def drain(self) -> None:
        """Let the rest go by."""
        self._next = None
        self._buffer.clear()
        for _ in self._pieces:
            pass

    def _take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            piece = next(self._pieces, None)
            if piece is None:
                raise MalformedError("the capture broke off before its end; nothing of it was kept")
            self._buffer += piece
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data
