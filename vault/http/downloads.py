"""Bytes on their way out: ranges (RFC 9110), and names that cannot harm (RFC 8187)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import quote

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from vault.http.digests import digest_field, tag_of
from vault.http.problems import RangeError
from verify.description import MAX_SAFE_NAME, safe_name

_RANGE = re.compile(r"bytes=(?:([0-9]{1,18})-([0-9]{0,18})|-([0-9]{1,18}))\Z")
_ATTR_CHAR = "!#$&+-.^_`|~"
"""RFC 8187, section 3.2.1: what stands as it is, besides letters and digits."""

_FOR_NOBODY_ELSE: Mapping[str, str] = {
    "Accept-Ranges": "bytes",
    "Cache-Control": "private, no-store",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True, slots=True)
class Slice:
    """What of a representation is given: `start` to `stop`, all of it or a part that was asked."""

    start: int
    stop: int
    size: int
    partial: bool

    @property
    def length(self) -> int:
        """Bytes that are given."""
        return self.stop - self.start


class Outgoing(StreamingResponse):
    """Bytes that stream out; what they come from is let go of, also where who asked goes away."""

    def __init__(
        self,
        pieces: Generator[bytes, None, None],
        status: int,
        headers: Mapping[str, str],
        *,
        media_type: str,
        close: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(pieces, status, headers, media_type=media_type)
        self._pieces = pieces
        self._close = close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send them."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._pieces.close()
            self._close()


def slice_of(field: str | None, size: int, *, current: bool = True) -> Slice:
    """What a `Range` asks for; raises `RangeError` where there is nothing of it.

    A range that is malformed, or several at once, or one of bytes that are not `current` any more
    (`If-Range`), is passed over, as RFC 9110, section 14.2, allows: then it is all.
    """
    whole = Slice(0, size, size, partial=False)
    asked = _RANGE.match(field) if field is not None and current else None
    if asked is None:
        return whole
    first, last, suffix = asked.groups()
    if suffix is not None:
        start, stop = max(size - int(suffix), 0), size
        if not int(suffix):
            start = size
    else:
        start, stop = int(first), int(last) + 1 if last else size
        if last and int(last) < int(first):
            return whole
    if start >= size:
        raise RangeError(f"it has {size:,} bytes; {field} asks for none of them", size=size)
    return Slice(start, min(stop, size), size, partial=True)


def headers_of(name: str, sha256: str, part: Slice) -> dict[str, str]:
    """The fields of an answer that gives bytes to keep, never to show."""
    fields = {
        **_FOR_NOBODY_ELSE,
        "Content-Disposition": disposition(name),
        "Content-Length": str(part.length),
        "ETag": tag_of(sha256),
        "Repr-Digest": digest_field(sha256),
    }
    if part.partial:
        fields["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{part.size}"
    return fields


def disposition(name: str) -> str:
    """`attachment`, with the last component of a name that anybody may have chosen."""
    last = PurePosixPath(name.replace("\\", "/")).name
    # What cannot be seen could turn a name round, or break a line of the header.
    seen = "".join("_" if unicodedata.category(each)[0] == "C" else each for each in last)
    told = quote(seen[:MAX_SAFE_NAME] or "unnamed", safe=_ATTR_CHAR)
    return f"attachment; filename=\"{safe_name(name)}\"; filename*=UTF-8''{told}"


def begun(pieces: Iterator[bytes]) -> Generator[bytes, None, None]:
    """The same pieces; the first is verified before this returns: its error still is an answer."""
    first = next(pieces, None)

    def rest() -> Generator[bytes, None, None]:
        if first is not None:
            yield first
            yield from pieces

    return rest()
