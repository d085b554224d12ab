"""A body that streams in, for a core that is synchronous: memory stays flat, whatever its size.

The core asks for the next piece on its own thread; only then is more read from the network.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import anyio.from_thread
import anyio.to_thread
from fastapi import Request
from starlette.requests import ClientDisconnect

from vault.http.digests import declared_sha256
from vault.http.problems import BrokenOffError
from verify.errors import MalformedError, UnsupportedError, VerificationError

PIECE = 1 << 20
"""Bytes that are gathered before they are handed on."""
AT_ONCE = 32
"""Bodies that stream in at once in one process, each on a thread of its own; others wait."""

T = TypeVar("T")


class DeclaredDigestError(VerificationError):
    """A body is not what its sender declared it to be; nothing was kept of it."""

    code = "digest_mismatch"


class Incoming:
    """The body of one request."""

    def __init__(self, request: Request) -> None:
        """A body, and what its header declares of it.

        Raises `MalformedError`, `UnsupportedError` for a body that is not the bytes themselves.
        """
        header = request.headers
        if header.get("content-type", "").lower().startswith("multipart/"):
            raise UnsupportedError(
                "a form is no evidence: send the bytes themselves, for instance with "
                "curl --data-binary @FILE, or -T FILE -X POST"
            )
        if header.get("content-encoding", "identity").lower() != "identity":
            raise UnsupportedError(
                "Content-Encoding: send the bytes as they are to be sealed, not encoded anew"
            )
        digests = header.getlist("content-digest")
        self.sha256 = declared_sha256(",".join(digests) if digests else None)
        self.size = _size_of(header.get("content-length"))
        self._still_admitted: Callable[[], None] = request.state.still_admitted
        self._stream = request.stream()
        self._rest = b""

    async def read(self, work: Callable[[Iterator[bytes]], T], limiter: anyio.CapacityLimiter) -> T:
        """Do some work with the pieces, on a thread of its own; gives what it gives.

        Raises what it raises, `BrokenOffError` if the sender went away, and as the guard does where
        the sender's token or grant ended meanwhile.
        """
        try:
            return await anyio.to_thread.run_sync(work, self._pieces(), limiter=limiter)
        except ClientDisconnect as error:
            raise BrokenOffError("the sender went away; nothing was kept") from error

    def _pieces(self) -> Iterator[bytes]:
        pieces: Iterable[bytes] = iter(self._piece, b"")
        yield from as_declared(pieces, sha256=self.sha256, size=self.size)
        self._still_admitted()

    def _piece(self) -> bytes:
        return anyio.from_thread.run(self._gather)

    async def _gather(self) -> bytes:
        parts, size = [], 0
        async for part in self._stream:
            parts.append(part)
            size += len(part)
            if size >= PIECE:
                break
        return b"".join(parts)


def as_declared(
    pieces: Iterable[bytes], *, sha256: str | None, size: int | None
) -> Iterator[bytes]:
    """The same pieces; at their end they were what was declared, else `DeclaredDigestError`."""
    hasher = hashlib.sha256() if sha256 is not None else None
    count = 0
    for piece in pieces:
        count += len(piece)
        if size is not None and count > size:
            break
        if hasher is not None:
            hasher.update(piece)
        yield piece
    if size is not None and count != size:
        more = "more" if count > size else f"{count:,}"
        raise DeclaredDigestError(
            f"Content-Length said {size:,} bytes, and {more} came; nothing was kept"
        )
    if hasher is not None and hasher.hexdigest() != sha256:
        raise DeclaredDigestError(
            f"Content-Digest said {sha256}, and what came is {hasher.hexdigest()}; "
            "nothing was kept: send it again"
        )


def _size_of(field: str | None) -> int | None:
    if field is None:
        return None
    if not field.isascii() or not field.isdigit() or len(field) > 18:
        raise MalformedError("Content-Length: expected a number of bytes")
    return int(field)
