"""Pages: `?limit=&cursor=` in, `{items, next}` out. A cursor is opaque to who uses it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import Query

from verify.digest import b64, unb64
from verify.errors import MalformedError
from verify.strictjson import Object

Limit = Annotated[
    int | None, Query(ge=1, description="Items of this page; the server has a limit of its own.")
]
Cursor = Annotated[
    str | None, Query(max_length=512, description="`next` of the page before; leave out to begin.")
]


def page(items: Sequence[Object], after: str | None) -> Object:
    """A page; `after` is what the next one begins behind, None for the last."""
    return {"items": list(items), "next": None if after is None else b64(after.encode())}


def begin_after(cursor: str | None) -> str | None:
    """What a page begins behind. Raises `MalformedError`."""
    if cursor is None:
        return None
    try:
        return unb64(cursor, where="cursor").decode()
    except UnicodeDecodeError as error:
        raise MalformedError("cursor: it is none that this server gave") from error


def size_of(limit: int | None, most: int) -> int:
    """How many items a page has."""
    return most if limit is None else min(limit, most)
