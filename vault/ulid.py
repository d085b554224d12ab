"""ULIDs: names that sort by time and never collide. 48 bits of milliseconds, 80 random bits."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def new_ulid(moment: datetime) -> str:
    """26 characters of Crockford's base 32."""
    number = int(moment.timestamp() * 1000) << 80 | secrets.randbits(80)
    return "".join(_ALPHABET[number >> shift & 31] for shift in range(125, -5, -5))


def ulid_time(text: str) -> datetime | None:
    """The moment in a ULID, to the millisecond; None for what is none."""
    if len(text) != 26 or not set(text) <= set(_ALPHABET):
        return None
    number = 0
    for character in text[:10]:
        number = number << 5 | _ALPHABET.index(character)
    return datetime.fromtimestamp(number / 1000, UTC) if number < 1 << 48 else None
