"""The runbook's clocks: what was to happen by when, and what can be said of when it did. Pure.

An event is not a moment but an interval: it was claimed for one time, and was on record by another.
`on_time` is proven where the record itself was made in time, or an independent one agrees with the
claim; within the limit by the claim alone is `unproven`; `late` is what was itself claimed for too
late. What is claimed for before its clock ran took no time at all, and is told. FORMAT.md §15.6.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from verify.attestation import AttestationType
from verify.case import Case, moment_of, texts_of
from verify.coverage import Interval
from verify.profile import Clock, Profile
from verify.response import Phase, Role
from verify.statement import Kind

TEAMS = ("sre", "security")
"""Who is paged if containment fails."""


class Timeliness(StrEnum):
    """Whether a deadline was kept; a claim alone does not prove it."""

    ON_TIME = "on_time"
    PENDING = "pending"
    UNPROVEN = "unproven"
    LATE = "late"
    BREACHED = "breached"


_WORST = (
    Timeliness.BREACHED,
    Timeliness.LATE,
    Timeliness.UNPROVEN,
    Timeliness.PENDING,
    Timeliness.ON_TIME,
)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened: when by the claim, when it was on record, and what shows it."""

    claimed: datetime
    recorded: datetime
    exhibits: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Timed:
    """A clock as it stands."""

    clock: Clock
    after: datetime
    deadline: datetime
    event: Event | None
    """None while it has not happened."""
    corroborated: tuple[str, ...]
    """Exhibits whose own time agrees with the claim."""
    timeliness: Timeliness
    seconds: int | None
    """How long it took by the claim; of updates, the longest gap; None before the clock ran."""
    early: int | None = None
    """By how many seconds it is claimed for before the clock ran; None if it is not."""
    overruns: tuple[Interval, ...] = ()
    """Of updates: the gaps that were too long."""

    @property
    def open(self) -> bool:
        """Whether it still waits for its event: a matter of the chain, not of as-of."""
        return self.event is None


def timeliness(
    *, claimed: datetime, recorded: datetime, deadline: datetime, corroborated: bool = False
) -> Timeliness:
    """An event lies between its claimed time and the record of it; the deadline is in time."""
    if claimed > deadline:
        return Timeliness.LATE
    proven = recorded <= deadline or corroborated
    return Timeliness.ON_TIME if proven else Timeliness.UNPROVEN


def worst(several: Iterable[Timeliness]) -> Timeliness | None:
    """The worst of several; None of none."""
    found = set(several)
    return next((each for each in _WORST if each in found), None)


def read_clocks(case: Case, profile: Profile) -> list[Timed]:
    """The clocks that run, or ran, in the profile's order."""
    contain = next((clock for clock in profile.clocks if clock.event == "contained"), None)
    read = []
    for clock in profile.clocks:
        timed = _updates(case, clock) if clock.event == "updated" else _one(case, clock, contain)
        if timed is not None:
            read.append(timed)
    return read


def _one(case: Case, clock: Clock, contain: Clock | None) -> Timed | None:
    after = _anchor(case, clock.after, contain)
    if after is None:
        return None
    deadline = after + timedelta(seconds=clock.seconds)
    event = _EVENTS[clock.event](case)
    if event is None:
        waiting = Timeliness.PENDING if case.as_of <= deadline else Timeliness.BREACHED
        return Timed(clock, after, deadline, None, (), waiting, None)
    agreeing = (
        tuple(case.corroborates(event.exhibits, event.claimed, clock.tolerance))
        if event.claimed <= deadline
        else ()
    )
    answer = timeliness(
        claimed=event.claimed,
        recorded=event.recorded,
        deadline=deadline,
        corroborated=bool(agreeing),
    )
    seconds = (event.claimed - after).total_seconds()
    if seconds >= 0:
        return Timed(clock, after, deadline, event, agreeing, answer, int(seconds))
    if clock.after != "uncontained_at":
        # One of the two times is wrong, and nothing says which. Only a page may well come before
        # it is owed: that moment is reckoned, not observed.
        answer = Timeliness.UNPROVEN
    early = math.ceil(-seconds)
    return Timed(clock, after, deadline, event, agreeing, answer, None, early)


def _anchor(case: Case, after: str, contain: Clock | None) -> datetime | None:
    if after == "recovered_at":
        return case.first(Phase.RECOVERED)
    if after == "uncontained_at":
        limit = timedelta(seconds=contain.seconds if contain else 0)
        due, contained = case.incident.declared_at + limit, case.first(Phase.CONTAINED)
        return due if contained is None or contained > due else None
    return case.incident.detected_at if after == "detected_at" else case.incident.declared_at


def _declared(case: Case) -> Event:
    incident = case.incident
    recorded = incident.declared_recorded_at or incident.declared_at
    return Event(incident.declared_at, recorded, tuple(case.of((Kind.TICKET,))))


def _frozen(case: Case) -> Event | None:
    done, lacking = case.freezes()
    if lacking:
        return None
    moments = []
    for system in case.incident.systems:
        naming = [each for each in done if system in texts_of(each.fields, "systems")]
        events = [
            Event(each.at, each.recorded_at, each.exhibits) for each in naming or done if each.at
        ]
        # Where principals are named instead, the last of them had to be stopped.
        choose = min if naming else max
        moments += [choose(events, key=_claimed)] if events else []
    return max(moments, key=_claimed, default=None)


def _claimed(event: Event) -> datetime:
    return event.claimed


def _contained(case: Case) -> Event | None:
    entered = next((each for each in case.incident.phases if each.phase == Phase.CONTAINED), None)
    return Event(entered.at, entered.recorded_at, entered.exhibits) if entered else None


def _roles_held(case: Case) -> Event | None:
    first = {}
    for each in case.incident.assignments:
        if each.since is not None and each.role not in first:
            first[each.role] = each.since, each.recorded_at
    if len(first) < len(Role):
        return None
    return Event(max(at for at, _ in first.values()), max(seen for _, seen in first.values()))


def _paged(case: Case) -> Event | None:
    first: dict[Any, Event] = {}
    for each in case.attested(AttestationType.PAGE):
        at = moment_of(each.fields, "delivered_at") or each.at
        team = each.fields["team"]
        if at is not None and team in TEAMS and (team not in first or at < first[team].claimed):
            first[team] = Event(at, each.recorded_at, each.exhibits)
    if len(first) < len(TEAMS):
        return None
    return max(first.values(), key=lambda event: event.claimed)


def _postmortem(case: Case) -> Event | None:
    several = case.attested(AttestationType.POSTMORTEM_PUBLISHED)
    return _earliest(Event(each.at, each.recorded_at, each.exhibits) for each in several if each.at)


def _earliest(events: Iterable[Event]) -> Event | None:
    return min(events, key=lambda event: event.claimed, default=None)


_EVENTS: Mapping[str, Callable[[Case], Event | None]] = {
    "contained": _contained,
    "declared": _declared,
    "frozen": _frozen,
    "paged": _paged,
    "postmortem_published": _postmortem,
    "roles_held": _roles_held,
}


def severity_intervals(case: Case, severity: str) -> list[tuple[datetime, datetime | None]]:
    """When the incident had a severity, up to its recovery; None is "until now"."""
    recovered = case.first(Phase.RECOVERED)
    history = case.incident.severity_history
    result: list[tuple[datetime, datetime | None]] = []
    for place, setting in enumerate(history):
        if setting.value != severity:
            continue
        after = history[place + 1].at if place + 1 < len(history) else None
        ends = [each for each in (after, recovered) if each is not None]
        end = min(ends, default=None)
        if end is None or end > setting.at:
            result.append((setting.at, end))
    return result


def _updates(case: Case, clock: Clock) -> Timed | None:
    """Every gap between updates, from the start of the severity to its end, is within the limit."""
    intervals = severity_intervals(case, clock.severity)
    if not intervals:
        return None
    limit = timedelta(seconds=clock.seconds)
    gaps: list[Interval] = []
    answers: list[Timeliness] = []
    last = intervals[0][0]
    end: datetime | None = None
    for start, end in intervals:
        updates = sorted(
            (each.at, each.recorded_at)
            for each in case.incident.updates
            if each.at >= start and (end is None or each.at <= end)
        )
        points: Sequence[tuple[datetime, datetime]] = [*updates, *([(end, end)] if end else [])]
        last = start
        for at, recorded in points:
            gaps.append((last, at))
            answers.append(timeliness(claimed=at, recorded=recorded, deadline=last + limit))
            last = at
    if end is None:
        late = case.as_of > last + limit
        answers.append(Timeliness.BREACHED if late else Timeliness.PENDING)
    longest = max((b - a for a, b in gaps), default=None)
    return Timed(
        clock,
        last,
        last + limit,
        None if end is None else Event(end, end),
        (),
        worst(answers) or Timeliness.PENDING,
        None if longest is None else int(longest.total_seconds()),
        overruns=tuple(each for each in gaps if each[1] - each[0] > limit),
    )
