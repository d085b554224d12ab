"""Content codings of a body (RFC 9110 §8.4): undone within a limit, whatever the bytes claim."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable

from vault.http.problems import TooLargeError, UnsupportedMediaError
from verify.errors import MalformedError

_PIECE = 1 << 20
_GZIP = 16 + zlib.MAX_WBITS


def is_gzip(content_encoding: str) -> bool:
    """Whether a body was sent as gzip, False for as it is. Raises `UnsupportedMediaError`."""
    named = content_encoding.strip().lower()
    if named in ("", "identity"):
        return False
    if named in ("gzip", "x-gzip"):
        return True
    raise UnsupportedMediaError(
        f"Content-Encoding {content_encoding[:40]!r} is not known here; send gzip, or none"
    )


def gunzip(pieces: Iterable[bytes], *, limit: int, grown: Callable[[int], None]) -> bytes:
    """The bytes in a gzip body, of one member or several.

    `grown` is called with the size of each piece before more is unpacked, and may stop it by
    raising. Raises `TooLargeError` beyond `limit` bytes, `MalformedError` for anything that is not
    gzip from the first byte to the last.
    """
    found: list[bytes] = []
    size = 0
    member, ended = zlib.decompressobj(_GZIP), False
    for piece in pieces:
        rest, pending = piece, False
        while rest or pending:
            if ended:
                member, ended = zlib.decompressobj(_GZIP), False
            room = min(_PIECE, limit - size + 1)
            try:
                more = member.decompress(rest, room)
            except zlib.error as error:
                raise MalformedError(f"body: no gzip, as Content-Encoding says ({error})") from None
            size += len(more)
            if size > limit:
                raise TooLargeError(f"a body here is {limit:,} bytes at most, also unpacked")
            grown(len(more))
            found.append(more)
            ended = member.eof
            rest = member.unused_data if ended else member.unconsumed_tail
            # What was read may hold more than was asked for.
            pending = not ended and len(more) == room
    if not ended:
        raise MalformedError("body: the gzip data end before their end")
    return b"".join(found)
