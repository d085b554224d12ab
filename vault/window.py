"""Which items of a stream belong to a window of time, and what the window lacks. Pure.

An item belongs by the times that it claims for itself: from the first to the last in its facts, and
what it says that it covers. Where facts have no time that names an instant, the time at which the
vault received it decides, and that is said. Which items belong is the vault's choice: no verifier
judges it (FORMAT.md §9.6).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from verify.coverage import Interval, spoken
from verify.description import Description
from verify.facts import Facts
from verify.incident import Exhibit

SILENCE = timedelta(minutes=5)
"""What is shorter is no gap worth telling."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """An item that belongs to the window."""

    exhibit: Exhibit
    description: Description
    by_received: bool
    """Whether only the time at which it was received says so."""


@dataclass(slots=True)
class Window:
    """A window of time over one stream."""

    start: datetime
    end: datetime
    chosen: list[Chosen] = field(default_factory=list)
    untimed: list[str] = field(default_factory=list)
    """Items without a readable time that were received outside the window: nobody can tell."""
    withdrawn: list[str] = field(default_factory=list)
    """Items that would belong, and were withdrawn from the stream."""
    unreadable: list[str] = field(default_factory=list)
    """Items whose descriptions are gone or altered in the store: they could not be judged."""
    captures: list[datetime] = field(default_factory=list)
    """When each capture of the stream was received, in the vault's order."""
    extent: Interval | None = None
    """From the first to the last time that any item of the stream claims, withdrawn or not."""
    not_captured: int = 0
    """What captures of the window, or of its items, met and could not keep."""

    def add(self, exhibit: Exhibit, description: Description) -> None:
        """Take an item of the stream, if it belongs to the window."""
        name, claims = exhibit.item.exhibit, claimed(description.facts)
        for start, end in claims:
            known = self.extent or (start, end)
            self.extent = min(known[0], start), max(known[1], end)
        received = self.holds(exhibit.received_at)
        overlaps = any(start <= self.end and end >= self.start for start, end in claims)
        # Some of its times have no zone, so that what it claims may not be all that it has.
        partly = description.facts.clock == "mixed"
        if not overlaps and not (received and (not claims or partly)):
            if not claims and exhibit.withdrawn is None:
                self.untimed.append(name)
            return
        if exhibit.withdrawn is not None:
            self.withdrawn.append(name)
            return
        self.chosen.append(Chosen(exhibit, description, by_received=not overlaps))

    def holds(self, moment: datetime) -> bool:
        """Whether a moment lies in the window, ends included."""
        return self.start <= moment <= self.end

    @property
    def by_received(self) -> list[str]:
        """The items that were chosen by when they were received."""
        return [each.exhibit.item.exhibit for each in self.chosen if each.by_received]

    def uncovered(self) -> list[Interval]:
        """Stretches of the window, longer than `SILENCE`, for which no chosen item speaks."""
        facts = [each.description.facts for each in self.chosen]
        speaking = [interval for each in facts for interval in (*_spoken(each), *covered(each))]
        return _between(speaking, self.start, self.end)

    def captured_within(self) -> list[datetime]:
        """When captures were received inside the window."""
        return sorted(moment for moment in self.captures if self.holds(moment))

    def pauses(self) -> list[Interval]:
        """Stretches of the window, longer than `SILENCE`, without any capture, longest first.

        Only if there was a capture within: else what it has was collected at another time.
        """
        moments = self.captured_within()
        if not moments:
            return []
        found = _between([(each, each) for each in moments], self.start, self.end)
        return sorted(found, key=lambda pause: pause[0] - pause[1])


def claimed(facts: Facts) -> list[Interval]:
    """The stretches that an item claims: from its first to its last time, and what it covers.

    They may lie far apart: a query of today speaks for the time that it asked about.
    """
    first, last = (_moment(text) if text else None for text in (facts.first, facts.last))
    own = [(min(first, last), max(first, last))] if first and last else []
    return [*own, *covered(facts)]


def covered(facts: Facts) -> list[Interval]:
    """The stretches that an item says it speaks for, whether or not it has records there."""
    found = []
    for each in facts.coverage:
        start, end = _moment(each.start), _moment(each.end)
        if start and end and start <= end:
            found.append((start, end))
    return found


def _spoken(facts: Facts) -> list[Interval]:
    with suppress(ValueError, TypeError):
        return spoken(facts)
    return []


def _moment(text: str) -> datetime | None:
    """The instant of a time in facts; None for what names none."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else None


def _between(intervals: Iterable[Interval], start: datetime, end: datetime) -> list[Interval]:
    """What intervals leave open between two moments, longer than `SILENCE`, in order."""
    found: list[Interval] = []
    reached = start
    for first, last in sorted(intervals):
        if last < start or first > end:
            continue
        if first - reached > SILENCE:
            found.append((reached, first))
        reached = max(reached, last)
    if end - reached > SILENCE:
        found.append((reached, end))
    return found


def names_of(chosen: Sequence[Chosen]) -> list[str]:
    """The items' names in their stream."""
    return [each.exhibit.item.exhibit for each in chosen]
