"""Times as records write them: read to the nanosecond, with zone, unit and precision. No I/O.

A time without a zone is no instant. It is kept as written, orders among its like, and is never
taken for UTC. A time whose day and month could be swapped is treated alike. Epoch numbers stay
whole numbers: nothing passes through a float.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from itertools import pairwise
from typing import Literal, NamedTuple

from verify.facts import CAP, PRECISIONS, Gap

Unit = Literal["s", "ms", "us", "ns"]
DayOrder = Literal["mdy", "dmy"]

GAP_SECONDS = 60
"""The shortest silence that is reported."""

MOST_MINUTES = 1_000_000
"""How many different minutes with records are remembered for gaps: nearly two years of them."""

NANO = 1_000_000_000
_SECONDS_END = len("2026-01-31T09:30:00")
_SCALE: dict[str, int] = {"s": NANO, "ms": 1_000_000, "us": 1_000, "ns": 1}
_GUESSES: tuple[tuple[int, Unit], ...] = ((10**11, "s"), (10**14, "ms"), (10**17, "us"))
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_FIRST = (date.min.toordinal() - _EPOCH_DAY) * 86_400 * NANO
_END = (date.max.toordinal() - _EPOCH_DAY + 1) * 86_400 * NANO
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_EXACT_FLOAT = 2.0**53
_LONGEST = 64

_ZONE = r"(?P<zone>[Zz]|UTC|GMT|[+-]\d\d(?::?\d\d)?)?"
_CLOCK = r"(?P<h>\d{1,2}):(?P<m>\d\d)(?::(?P<s>\d\d)(?:[.,](?P<f>\d{1,9}))?)?"
_ISO = re.compile(
    rf"(?P<y>\d{{4}})-(?P<mo>\d\d)-(?P<d>\d\d)(?:[Tt ]\s?{_CLOCK}\s?{_ZONE})?", re.ASCII
)
_CLF = re.compile(
    rf"\[?(?P<d>\d\d)/(?P<mon>[A-Za-z]{{3}})/(?P<y>\d{{4}}):{_CLOCK} {_ZONE}\]?", re.ASCII
)
_HTTP = re.compile(
    rf"(?:[A-Za-z]{{3}}, )?(?P<d>\d\d?) (?P<mon>[A-Za-z]{{3}}) (?P<y>\d{{4}}) {_CLOCK} ?{_ZONE}",
    re.ASCII,
)
_SLASHED = re.compile(
    rf"(?P<a>\d\d?)/(?P<b>\d\d?)/(?P<y>\d{{4}}),?\s{_CLOCK}\s?(?P<half>[AaPp][Mm])?\s?{_ZONE}",
    re.ASCII,
)
_NUMBER = re.compile(r"(-?\d{1,20})(?:\.(\d{1,9}))?(?::\d+)?", re.ASCII)
_TO_THE_SECOND = re.compile(
    r"(\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d|\[?\d\d/[A-Za-z]{3}/\d{4}:\d\d:\d\d)"
    r":([0-5]\d)(?:[.,](\d{1,9}))?( ?(?:[Zz]|[+-]\d\d:?\d\d)\]?)?",
    re.ASCII,
)
_STEPS = {unit: step for step, unit in enumerate(PRECISIONS)}


class Time(NamedTuple):
    """One time. Without a zone, `nanoseconds` are those of its wall clock read as if in UTC."""

    nanoseconds: int
    """Since 1970."""
    zoned: bool
    unit: str
    """In the words of `verify.facts.TIME_UNITS`."""
    precision: str
    """In the words of `verify.facts.PRECISIONS`."""
    raw: str
    ambiguous: bool = False
    """Whether day and month could be swapped."""

    @property
    def text(self) -> str | None:
        """RFC 3339 in UTC, cut to the microsecond; None where it names no instant."""
        return rfc3339(self.nanoseconds) if self.zoned else None


def read_time(
    value: object, unit: Unit | None = None, *, order: DayOrder | None = None
) -> Time | None:
    """Read a time as it stands in a record; None if it is none.

    Numbers, also as texts, count from 1970 in `unit`, or in the one that gives a year before 5138;
    zero is how records write "not set". `order` says how `1/9/2007` is meant, where that is known.
    """
    if isinstance(value, str):
        return _read_text(value, unit, order)
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return _epoch(value, "", unit, str(value)) if abs(value) < 10**20 else None
    if isinstance(value, float) and abs(value) < _EXACT_FLOAT:
        raw = repr(value)
        whole, _, fraction = format(Decimal(raw), "f").partition(".")
        return _epoch(int(whole), fraction[:9].rstrip("0"), unit, raw)
    return None


def rfc3339(nanoseconds: int) -> str:
    """An instant as facts write it: `2026-01-31T09:30:00Z`, with milli- or microseconds if any."""
    seconds, rest = divmod(nanoseconds, NANO)
    when = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    micros = rest // 1000
    fraction = ""
    if micros:
        fraction = f".{micros:06d}" if micros % 1000 else f".{micros // 1000:03d}"
    return f"{when.isoformat()[:_SECONDS_END]}{fraction}Z"


def _epoch(whole: int, fraction: str, unit: Unit | None, raw: str) -> Time | None:
    unit = _guessed(whole) if unit is None else unit
    scale = _SCALE[unit]
    part = int(fraction.ljust(9, "0")) * scale // NANO if fraction else 0
    nanoseconds = whole * scale + (-part if raw.startswith("-") else part)
    if nanoseconds == 0 or not _FIRST <= nanoseconds < _END:
        return None
    return Time(nanoseconds, True, unit, _finest(unit, len(fraction)), raw)


def _guessed(whole: int) -> Unit:
    for most, unit in _GUESSES:
        if abs(whole) < most:
            return unit
    return "ns"


def _finest(unit: str, digits: int) -> str:
    """The precision that so many digits behind a unit give."""
    if not digits:
        return unit
    return PRECISIONS[min(_STEPS[unit] + (digits + 2) // 3, len(PRECISIONS) - 1)]


def _read_text(text: str, unit: Unit | None, order: DayOrder | None) -> Time | None:
    if len(text) > _LONGEST:
        return None
    stripped = text.strip()
    if match := _TO_THE_SECOND.fullmatch(stripped):
        # Logs have many moments of one minute: all but the second is then known.
        minute, second, fraction, zone = match.groups()
        start = _minute(f"{minute}:00{zone or ''}")
        if start is None:
            return None
        parts = int(second) * NANO + (int(fraction.ljust(9, "0")) if fraction else 0)
        finest = _finest("s", len(fraction)) if fraction else "s"
        return Time(start.nanoseconds + parts, start.zoned, "text", finest, stripped)
    if number := _NUMBER.fullmatch(stripped):
        return _epoch(int(number[1]), number[2] or "", unit, stripped)
    for pattern in (_ISO, _CLF, _SLASHED, _HTTP):
        if match := pattern.fullmatch(stripped):
            return _dated(match.groupdict(), stripped, order)
    return None


@lru_cache(maxsize=4096)
def _minute(text: str) -> Time | None:
    """The start of a minute, written in one of the forms whose day and month cannot be swapped."""
    match = _ISO.fullmatch(text) or _CLF.fullmatch(text)
    return _dated(match.groupdict(), text, None) if match else None


def _dated(parts: dict[str, str | None], raw: str, order: DayOrder | None) -> Time | None:
    year, month, day, ambiguous = _day(parts, order)
    try:
        days = date(year, month, day).toordinal() - _EPOCH_DAY
    except ValueError:
        return None
    hour, minute, second = (int(parts[name] or 0) for name in ("h", "m", "s"))
    if half := parts.get("half"):
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if half.lower() == "pm" else 0)
    if hour > 23 or minute > 59 or second > 60:  # 60 is a leap second: the next minute's first
        return None
    fraction = parts["f"] or ""
    seconds = days * 86_400 + hour * 3600 + minute * 60 + second
    zone = parts["zone"]
    shift = None if zone is None else _offset(zone)
    if zone is not None and shift is None:
        return None
    nanoseconds = (seconds - (shift or 0)) * NANO + int(fraction.ljust(9, "0") or 0)
    if not _FIRST <= nanoseconds < _END:
        return None
    coarse = "day" if parts["h"] is None else "min" if parts["s"] is None else "s"
    zoned = zone is not None and not ambiguous
    return Time(nanoseconds, zoned, "text", _finest(coarse, len(fraction)), raw, ambiguous)


def _day(parts: dict[str, str | None], order: DayOrder | None) -> tuple[int, int, int, bool]:
    """Year, month, day, and whether the latter two could be swapped."""
    year = int(parts["y"] or 0)
    if (name := parts.get("mon")) is not None:
        known = name.lower() in _MONTHS
        return year, _MONTHS.index(name.lower()) + 1 if known else 0, int(parts["d"] or 0), False
    if parts.get("mo") is not None:
        return year, int(parts["mo"] or 0), int(parts["d"] or 0), False
    first, second = int(parts["a"] or 0), int(parts["b"] or 0)
    day_first = order == "dmy" or (order is None and first > 12)
    ambiguous = order is None and first <= 12 and second <= 12 and first != second
    return (year, second, first, ambiguous) if day_first else (year, first, second, ambiguous)


def _offset(zone: str) -> int | None:
    """Seconds east of UTC; None if no clock is that far."""
    if zone[0] not in "+-":
        return 0
    hours, minutes = int(zone[1:3]), int(zone[3:].lstrip(":") or 0)
    if hours > 23 or minutes > 59:
        return None
    seconds = hours * 3600 + minutes * 60
    return seconds if zone[0] == "+" else -seconds


class Silences:
    """The silences of a minute and more between records, and their ends, in whole seconds.

    They need only the first and last second of each minute that has records, which makes memory
    depend on the time covered, not on the number of records.
    """

    def __init__(self, most_minutes: int = MOST_MINUTES) -> None:
        self._most_minutes = most_minutes
        self._minutes: dict[int, int] = {}  # minute: its first second * 64 + its last second
        self._beyond: list[int] = []  # the ends of what `_minutes` had no room for

    def add(self, minute: int, second: int) -> None:
        """Add a moment, as its minute since 1970 and the second in it."""
        span = self._minutes.get(minute)
        if span is None:
            if len(self._minutes) >= self._most_minutes:
                moments = (*self._beyond, minute * 60 + second)
                self._beyond = [min(moments), max(moments)]
            else:
                self._minutes[minute] = second << 6 | second
        elif second < span >> 6:
            self._minutes[minute] = second << 6 | span & 63
        elif second > span & 63:
            self._minutes[minute] = span & ~63 | second

    def ends(self) -> tuple[int | None, int | None]:
        """The first and the last moment; None and None if there is none."""
        moments = list(self._beyond)
        if self._minutes:
            early, late = min(self._minutes), max(self._minutes)
            moments.append(early * 60 + (self._minutes[early] >> 6))
            moments.append(late * 60 + (self._minutes[late] & 63))
        return min(moments, default=None), max(moments, default=None)

    def gaps(self) -> tuple[tuple[Gap, ...], bool]:
        """The longest silences in order of time, and whether there were more than are kept."""
        if self._beyond:
            return (), True  # between times that are not all known, a silence proves nothing
        minutes = sorted(self._minutes.items())
        silences = [
            (minute * 60 + (span & 63), following * 60 + (its_span >> 6))
            for (minute, span), (following, its_span) in pairwise(minutes)
        ]
        silences = [each for each in silences if each[1] - each[0] >= GAP_SECONDS]
        longest = sorted(silences, key=lambda each: (each[0] - each[1], each[0]))[:CAP]
        gaps = tuple(
            Gap(rfc3339(start * NANO), rfc3339(end * NANO), end - start)
            for start, end in sorted(longest)
        )
        return gaps, len(silences) > CAP


class Clock:
    """What the times taken so far say of an item's clock; the same whatever their order."""

    def __init__(self) -> None:
        self.unzoned = 0
        self.ambiguous = 0
        self._units: set[str] = set()
        self._precision = -1
        self._zoned: tuple[Time, Time] | None = None
        self._wall: tuple[Time, Time] | None = None

    def add(self, time: Time) -> None:
        """Take one time."""
        self._units.add(time.unit)
        self._precision = max(self._precision, _STEPS[time.precision])
        if time.zoned:
            self._zoned = _widened(self._zoned, time)
            return
        self._wall = _widened(self._wall, time)
        if time.ambiguous:
            self.ambiguous += 1
        else:
            self.unzoned += 1

    @property
    def quality(self) -> str:
        """In the words of `verify.facts.CLOCKS`."""
        if self._zoned:
            return "mixed" if self._wall else "zoned"
        return "unzoned" if self._wall else "none"

    @property
    def unit(self) -> str | None:
        """In the words of `verify.facts.TIME_UNITS`."""
        return (
            ("mixed" if len(self._units) > 1 else next(iter(self._units))) if self._units else None
        )

    @property
    def precision(self) -> str | None:
        """In the words of `verify.facts.PRECISIONS`."""
        return PRECISIONS[self._precision] if self._precision >= 0 else None

    def ends(self) -> tuple[Time, Time] | None:
        """The first and last time: of those with a zone, if there are any."""
        return self._zoned or self._wall


def _widened(ends: tuple[Time, Time] | None, time: Time) -> tuple[Time, Time]:
    if ends is None:
        return time, time
    first, last = ends
    moment = time.nanoseconds
    if first.nanoseconds < moment < last.nanoseconds:
        return ends
    # Of times that are equal the text decides, so that their order does not.
    if (moment, time.raw) < (first.nanoseconds, first.raw):
        first = time
    if (moment, time.raw) > (last.nanoseconds, last.raw):
        last = time
    return first, last
