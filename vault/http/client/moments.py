"""Moments in what a server tells."""

from __future__ import annotations

from datetime import datetime

from verify.instant import parse_instant
from verify.strictjson import Fields


def moment(reader: Fields, name: str) -> datetime:
    """A member that is a moment. Raises `MalformedError`."""
    return parse_instant(reader.raw(name), where=f"{reader.where}.{name}")


def moment_or_none(reader: Fields, name: str) -> datetime | None:
    """A member that is a moment, or null. Raises `MalformedError`."""
    return None if reader.raw(name) is None else moment(reader, name)
