"""Which moment the word of an option means."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from cli.session import UsageError
from cli.vault import now
from verify.errors import MalformedError
from verify.instant import read_given_instant

_RELATIVE = re.compile(r"-(\d{1,5})([smhd])\Z")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_AHEAD = re.compile(r"\+?(\d{1,4})([mhdw])\Z")
_AHEAD_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def read_time(text: str | None) -> datetime | None:
    """A time option: RFC 3339 with a zone, `now`, or `-12m`. Raises `UsageError`."""
    if text is None:
        return None
    if text == "now":
        return now()
    relative = _RELATIVE.match(text)
    if relative:
        return now() - timedelta(**{_UNITS[relative.group(2)]: int(relative.group(1))})
    try:
        return read_given_instant(text)
    except MalformedError as error:
        raise UsageError(f"{error}; now and -12m are understood too") from error


def read_end(text: str, *, option: str) -> datetime:
    """A time to come: RFC 3339 with a zone, or `30m`, `+12h`, `30d`, `+2w`. Raises `UsageError`."""
    ahead = _AHEAD.match(text)
    if ahead:
        return now() + timedelta(**{_AHEAD_UNITS[ahead.group(2)]: int(ahead.group(1))})
    try:
        moment = read_time(text)
    except UsageError as error:
        told = str(error).partition(";")[0]
        raise UsageError(
            f"{option}: {told}; how long from now is understood too: 30m, +12h, +14d, +2w"
        ) from error
    assert moment is not None
    return moment
