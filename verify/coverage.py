"""Coverage over time: when several logs together speak, and when all of them are silent. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import pairwise

from verify.facts import Facts

Interval = tuple[datetime, datetime]
"""From and to, both zoned."""


def spoken(facts: Facts) -> list[Interval]:
    """The intervals in which one log speaks: from first to last record, without its gaps."""
    if facts.clock != "zoned" or facts.first is None or facts.last is None:
        return []
    intervals = []
    start = datetime.fromisoformat(facts.first)
    for gap in sorted(facts.gaps, key=lambda gap: gap.start):
        intervals.append((start, datetime.fromisoformat(gap.start)))
        start = datetime.fromisoformat(gap.end)
    intervals.append((start, datetime.fromisoformat(facts.last)))
    return intervals


def silences(logs: Sequence[Facts], *, longer_than: timedelta) -> list[Interval]:
    """Where all logs together are silent between their first and last word, longest first.

    Parsers list gaps of a minute or more, so shorter silences inside one log are not seen here.
    """
    intervals = sorted(interval for facts in logs for interval in spoken(facts))
    found: list[Interval] = []
    reached: datetime | None = None
    for start, end in intervals:
        if reached is not None and start - reached > longer_than:
            found.append((reached, start))
        reached = end if reached is None else max(reached, end)
    return sorted(found, key=lambda silence: silence[0] - silence[1])


def extent(logs: Sequence[Facts]) -> Interval | None:
    """From the first word of all logs to their last; None if none has a zoned time."""
    intervals = [interval for facts in logs for interval in spoken(facts)]
    if not intervals:
        return None
    return min(start for start, _ in intervals), max(end for _, end in intervals)


def covered(facts: Facts) -> list[Interval]:
    """Where one item speaks, and what it claims to cover: a query's own time, a digest's."""
    claimed = [
        (datetime.fromisoformat(each.start), datetime.fromisoformat(each.end))
        for each in facts.coverage
    ]
    return claimed + spoken(facts)


def united(intervals: Iterable[Interval]) -> list[Interval]:
    """The same time as intervals that are sorted, and neither touch nor overlap."""
    result: list[Interval] = []
    for start, end in sorted(intervals):
        if result and start <= result[-1][1]:
            result[-1] = result[-1][0], max(result[-1][1], end)
        elif start <= end:
            result.append((start, end))
    return result


def within(intervals: Iterable[Interval], window: Interval) -> list[Interval]:
    """What of united intervals lies in a window."""
    start, end = window
    return [(max(a, start), min(b, end)) for a, b in intervals if a <= end and b >= start]


def gaps(
    words: Sequence[Interval], *, longer_than: timedelta, window: Interval | None = None
) -> list[Interval]:
    """Where nothing speaks for longer than a tolerance, in order of time; `words` are united.

    In a window its ends count too: silence before the first word and after the last.
    """
    if window is None:
        edges = [(one[1], next_[0]) for one, next_ in pairwise(words)]
    else:
        inside = within(words, window)
        ends = [window[0], *(end for _, end in inside)]
        starts = [*(start for start, _ in inside), window[1]]
        edges = list(zip(ends, starts, strict=True))
    return [(start, end) for start, end in edges if end - start > longer_than]
