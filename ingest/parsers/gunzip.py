"""Unpacking gzip for parsers: a stream that ends, and says why, where Python's would raise.

The packed bytes are what is sealed; facts come from what is inside. Damage and bombs end the
stream early: what was unpacked until then is read, and `problems` tells the rest.
"""

from __future__ import annotations

import io
import zlib
from typing import TYPE_CHECKING

from ingest.parsers.records import ByteSource, read_fully

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

MAGIC = b"\x1f\x8b\x08"

SIZE_LIMIT = 8 << 30
"""How many unpacked bytes are read at most."""

RATIO_LIMIT = 200
"""How many unpacked bytes a packed byte may give, once `RATIO_FREE` bytes were unpacked.

Logs reach 10 to 40; DEFLATE's own bound is 1,032.
"""

RATIO_FREE = 64 << 20

_BLOCK = 16 << 10
_PIECE = 256 << 10
_GZIP = 16 + zlib.MAX_WBITS


def is_gzip(head: bytes) -> bool:
    """Whether the bytes start as a gzip member does."""
    return head.startswith(MAGIC)


def unpack_head(head: bytes, size: int) -> bytes | None:
    """The first `size` unpacked bytes, or as many as `head` gives; None if it is no gzip."""
    unpacker = zlib.decompressobj(_GZIP)
    try:
        unpacked = unpacker.decompress(head, size)
    except zlib.error:
        # The error may lie beyond the part that can still be read.
        return _salvage(zlib.decompressobj(_GZIP), head, size)[:size] or None
    # A member that holds nothing is still gzip; one that ends before its first byte is not known.
    return unpacked if unpacked or unpacker.eof else None


class Unpacked(io.RawIOBase):
    """The unpacked bytes of a gzip stream, all its members after one another. Never seekable."""

    def __init__(
        self,
        packed: ByteSource,
        *,
        size_limit: int = SIZE_LIMIT,
        ratio_limit: int = RATIO_LIMIT,
        ratio_free: int = RATIO_FREE,
    ) -> None:
        super().__init__()
        self._packed = packed
        self._size_limit = size_limit
        self._ratio_limit = ratio_limit
        self._ratio_free = ratio_free
        self._unpacker = zlib.decompressobj(_GZIP)
        self._pending = b""
        self._piece = memoryview(b"")
        self._taken = 0
        self._given = 0
        self._ended = False
        self.problems: list[str] = []

    @property
    def given(self) -> int:
        """How many bytes were unpacked so far."""
        return self._given

    def readable(self) -> bool:
        """True."""
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fill the buffer with unpacked bytes; 0 at their end, whatever ended them."""
        target = memoryview(buffer).cast("B")
        while not self._piece and not self._ended:
            self._piece = memoryview(self._next_piece())
        count = min(len(target), len(self._piece))
        target[:count] = self._piece[:count]
        self._piece = self._piece[count:]
        return count

    def _next_piece(self) -> bytes:
        if not self._pending:
            self._pending = read_fully(self._packed, _BLOCK)
            self._taken += len(self._pending)
            if not self._pending:
                self._end(None if self._unpacker.eof else "gzip: cut off")
                return b"" if self._unpacker.eof else self._unpacker.flush()
        if self._unpacker.eof:
            return self._next_member()
        # A copy is kept, because an error swallows what the same call had already unpacked.
        before = self._unpacker.copy()
        try:
            piece = self._unpacker.decompress(self._pending, _PIECE)
        except zlib.error:
            piece = _salvage(before, self._pending, _PIECE)
            self._end(f"gzip: damaged; {self._given + len(piece)} unpacked bytes were read")
        else:
            self._pending = self._unpacker.unconsumed_tail or self._unpacker.unused_data
        self._given += len(piece)
        if self._given > self._size_limit:
            self._end(f"gzip: unpacks to more than {self._size_limit} bytes; read until there")
        elif self._given > max(self._ratio_free, self._taken * self._ratio_limit):
            self._end(
                f"gzip: unpacks to more than {self._ratio_limit} times its size; "
                f"{self._given} unpacked bytes were read"
            )
        return piece

    def _next_member(self) -> bytes:
        """Start the member that follows; tape and disk padding is zeros, and ends the stream."""
        rest = self._pending.lstrip(b"\0")
        self._pending = rest
        if not rest:
            return b""
        if rest[0] == MAGIC[0]:
            self._unpacker = zlib.decompressobj(_GZIP)
        else:
            self._end("gzip: other bytes follow its end; they were not read")
        return b""

    def _end(self, problem: str | None) -> None:
        self._ended = True
        if problem is not None and not self.problems:
            self.problems.append(problem)


def _salvage(unpacker: zlib._Decompress, data: bytes, limit: int) -> bytes:
    """What comes out before the error, byte by byte; little more than `limit` bytes of it."""
    unpacked = bytearray()
    try:
        for index in range(len(data)):
            unpacked += unpacker.decompress(data[index : index + 1])
            if len(unpacked) >= limit:
                break
    except zlib.error:
        pass
    return bytes(unpacked)
