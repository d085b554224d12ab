"""Times as they are written in the wild: to the nanosecond, and never a zone that was not there."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.parsers.times import NANO, Clock, Silences, Time, read_time, rfc3339


def at(value: object, **how: Any) -> tuple[str | None, bool, str, str]:
    time = read_time(value, **how)
    assert time is not None
    return time.text, time.zoned, time.unit, time.precision


@pytest.mark.parametrize(
    ("value", "text", "unit", "precision"),
    [
        (1763423917517000000, "2025-11-17T23:58:37.517Z", "ns", "ns"),
        ("1763423917517000123", "2025-11-17T23:58:37.517Z", "ns", "ns"),
        (1763423917517001, "2025-11-17T23:58:37.517001Z", "us", "us"),
        (1763423917517, "2025-11-17T23:58:37.517Z", "ms", "ms"),
        (1763423917, "2025-11-17T23:58:37Z", "s", "s"),
        (1763423917.5, "2025-11-17T23:58:37.500Z", "s", "ms"),
        ("1481077308.360:529", "2016-12-07T02:21:48.360Z", "s", "ms"),
        ("2023-07-10T11:42:18Z", "2023-07-10T11:42:18Z", "text", "s"),
        ("2023-07-10T11:42Z", "2023-07-10T11:42:00Z", "text", "min"),
        ("2023-04-04 09:30:17.5+00:00", "2023-04-04T09:30:17.500Z", "text", "ms"),
        ("2023-04-04T09:30:17.1234567Z", "2023-04-04T09:30:17.123456Z", "text", "ns"),
        ("2023-04-04T09:30:17.123456789+02:00", "2023-04-04T07:30:17.123456Z", "text", "ns"),
        ("2023-04-04T09:30:17.000+0000", "2023-04-04T09:30:17Z", "text", "ms"),
        ("2023-04-04 09:30:17 UTC", "2023-04-04T09:30:17Z", "text", "s"),
        ("10/Oct/2000:13:55:36 -0700", "2000-10-10T20:55:36Z", "text", "s"),
        ("[06/Feb/2019:00:00:38 +0000]", "2019-02-06T00:00:38Z", "text", "s"),
        ("31/1/2007 10:41:00 PM +01:00", "2007-01-31T21:41:00Z", "text", "s"),
        ("1/31/2007 12:41:00 AM +01:00", "2007-01-30T23:41:00Z", "text", "s"),
        ("5/5/2024 08:00:00 AM Z", "2024-05-05T08:00:00Z", "text", "s"),
        ("Tue, 15 Nov 1994 08:12:31 GMT", "1994-11-15T08:12:31Z", "text", "s"),
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z", "text", "s"),
    ],
)
def test_a_time_with_a_zone_is_an_instant(
    value: object, text: str, unit: str, precision: str
) -> None:
    assert at(value) == (text, True, unit, precision)


@pytest.mark.parametrize(
    ("value", "precision", "ambiguous"),
    [
        ("2026-07-22 19:42:02", "s", False),
        ("2025-11-17 23:58:37.517", "ms", False),
        ("2026-07-22", "day", False),
        ("1/31/2007 10:41", "min", False),
        ("1/9/2007 10:41:00 AM +01:00", "s", True),
    ],
)
def test_a_time_without_a_zone_or_with_two_readings_is_none(
    value: str, precision: str, ambiguous: bool
) -> None:
    time = read_time(value)
    assert time is not None
    assert (time.text, time.zoned, time.precision) == (None, False, precision)
    assert (time.ambiguous, time.raw) == (ambiguous, value)


def test_whoever_knows_the_order_of_day_and_month_says_so() -> None:
    text = "1/9/2007 10:41:00 AM +01:00"
    assert at(text, order="mdy")[0] == "2007-01-09T09:41:00Z"
    assert at(text, order="dmy")[0] == "2007-09-01T09:41:00Z"


def test_whoever_knows_the_unit_says_so() -> None:
    assert at(1763423917, unit="s") == ("2025-11-17T23:58:37Z", True, "s", "s")
    assert at("1763423917", unit="ms")[0] == "1970-01-21T09:50:23.917Z"


@pytest.mark.parametrize(
    "value",
    [
        None, True, 0, "0", "", "soon", "-", [], {}, float("nan"), float("inf"), 2.0**60, 10**30,
        "9" * 25, "2023-02-30T00:00:00Z", "2023-01-01T24:00:00Z", "2023-01-01T00:60:00Z",
        "0001-01-01T00:00:00+23:59", "2023-01-01T00:00:00+24:00", "10/Foo/2000:13:55:36 -0700",
        "13/13/2007 10:41:00 AM", "1/31/2007 13:41:00 PM", "2023-01-01T00:00:00Z" + " " * 60,
        "２０２３-01-01T00:00:00Z",
    ],
)  # fmt: skip
def test_what_is_no_time_is_none(value: object) -> None:
    assert read_time(value) is None


@given(st.integers(-(10**18), 10**19))
def test_a_nanosecond_is_not_lost(moment: int) -> None:
    for value in (moment, str(moment)):
        time = read_time(value, "ns")
        assert moment == 0 if time is None else time.nanoseconds == moment


@given(
    st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29)),  # noqa: DTZ001
    st.integers(-23 * 60, 23 * 60),
    st.sampled_from("T "),
)
def test_any_rfc3339_time_is_read_as_the_standard_library_reads_it(
    wall: datetime, offset: int, between: str
) -> None:
    moment = wall.replace(tzinfo=timezone(timedelta(minutes=offset)))
    time = read_time(moment.isoformat(between))
    assert time is not None
    assert time.text is not None
    assert datetime.fromisoformat(time.text) == moment
    since = moment.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    assert time.nanoseconds == since // timedelta(microseconds=1) * 1000


@given(st.text(max_size=30) | st.integers() | st.floats() | st.binary(max_size=9))
def test_any_value_is_a_time_or_none(value: object) -> None:
    time = read_time(value)
    assert time is None or time.text is None or rfc3339(time.nanoseconds) == time.text


TIMES = st.builds(
    Time,
    st.integers(0, 10**18),
    st.booleans(),
    st.sampled_from(["text", "ns"]),
    st.sampled_from(["s", "ms", "ns"]),
    st.sampled_from(["a", "b", "c"]),
)


@given(st.lists(TIMES, max_size=8), st.randoms())
def test_a_clock_says_the_same_in_any_order(times: list[Time], chance: Any) -> None:
    def said(times: list[Time]) -> tuple[object, ...]:
        clock = Clock()
        for time in times:
            clock.add(time)
        ends = clock.ends()
        raws = None if ends is None else [(each.nanoseconds, each.raw) for each in ends]
        return clock.quality, clock.unit, clock.precision, clock.unzoned, raws

    before = said(times)
    chance.shuffle(times)
    assert said(times) == before


@settings(max_examples=50)
@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=30))
def test_silences_are_those_between_sorted_moments(moments: list[int]) -> None:
    silences = Silences()
    for moment in moments:
        silences.add(*divmod(moment, 60))
    ordered = sorted(moments)
    assert silences.ends() == (ordered[0], ordered[-1])
    gaps, more = silences.gaps()
    expected = [rfc3339(a * NANO) for a, b in pairwise(ordered) if b - a >= 60]
    assert ([gap.start for gap in gaps], more) == (expected, False)


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("2024-05-01T10:00:59.5+02:00", 1_714_550_459_500_000_000),
        ("2024-05-01T10:00:01+02:00", 1_714_550_401_000_000_000),
        ("[01/May/2024:10:00:59 +0200]", 1_714_550_459_000_000_000),
        ("9999-12-31T23:59:59.999999999Z", 253_402_300_799_999_999_999),
    ],
)
def test_moments_of_one_minute_are_told_apart(text: str, nanoseconds: int) -> None:
    for _ in range(2):  # the second time its minute is known
        time = read_time(text)
        assert time is not None
        assert (time.nanoseconds, time.zoned, time.raw) == (nanoseconds, True, text)


@pytest.mark.parametrize(
    "text", ["2024-02-30T10:00:01Z", "2024-05-01T24:00:01Z", "0001-01-01T00:00:01+01:00"]
)
def test_a_minute_that_no_calendar_has_is_no_time(text: str) -> None:
    assert read_time(text) is None
    assert read_time(text) is None
