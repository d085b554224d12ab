"""Statements of what had not happened when they were made: they count from its time on. Pure.

A time that lies after the vault's own clock at the link is a plan, or a clock that is wrong.
Whoever states it knows no more of what will be than anybody else, so it counts for nothing until
then; and it is told for good. FORMAT.md §15.2.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from verify.attestation import Attestation
from verify.incident import Incident
from verify.response import Assignment

SKEW = timedelta(minutes=5)
"""So far the clock that a time was read from may be ahead of the vault's."""

_PLANNED = frozenset({"effective_from"})
"""Fields of attestations that may well name a time to come."""


@dataclass(frozen=True, slots=True)
class Ahead:
    """A statement that claims a time after its own record."""

    sequence: int
    what: str
    """In a few words: `freeze`, `phase contained`, `update`, `role comms_lead`."""
    at: datetime
    """The latest time that it claims."""
    recorded_at: datetime


def stated_ahead(incident: Incident) -> list[Ahead]:
    """All such statements of an incident, in the order of its chain."""
    told = [
        *((each.sequence, each.type.value, _latest(each), each.recorded_at)
          for each in incident.attestations),
        *((each.sequence, f"phase {each.phase}", each.at, each.recorded_at)
          for each in incident.phases),
        *((each.sequence, "update", each.at, each.recorded_at) for each in incident.updates),
        *((_given(each)[0], f"role {each.role}", each.since, _given(each)[1])
          for each in incident.assignments),
    ]  # fmt: skip
    found = [
        Ahead(sequence, what, at, recorded_at)
        for sequence, what, at, recorded_at in told
        if at is not None and at > recorded_at + SKEW
    ]
    return sorted(found, key=lambda each: each.sequence)


def counted(incident: Incident, as_of: datetime) -> Incident:
    """The incident without the statements whose time has not come as of a time."""
    early = {each.sequence for each in stated_ahead(incident) if each.at > as_of}
    if not early:
        return incident
    return replace(
        incident,
        assignments=list(_held(incident.assignments, early)),
        attestations=[each for each in incident.attestations if each.sequence not in early],
        phases=[each for each in incident.phases if each.sequence not in early],
        updates=[each for each in incident.updates if each.sequence not in early],
    )


def _latest(attestation: Attestation) -> datetime | None:
    times = (
        value
        for name, value in attestation.fields.items()
        if isinstance(value, datetime) and name not in _PLANNED
    )
    return max(times, default=None)


def _given(assignment: Assignment) -> tuple[int, datetime]:
    """The link since which a role is held, and when that was recorded."""
    taken = assignment.accepted_sequence, assignment.accepted_recorded_at
    if assignment.since != assignment.at and taken[0] is not None and taken[1] is not None:
        return taken[0], taken[1]
    return assignment.sequence, assignment.recorded_at


def _held(assignments: list[Assignment], early: set[int]) -> Iterator[Assignment]:
    """Who holds what until the time comes: an offer still waits, and who held the role holds it."""
    to_come = [each for each in assignments if _given(each)[0] in early]
    for each in assignments:
        if each in to_come:
            if each.since != each.at:
                yield replace(
                    each, since=None, until=None,
                    accepted_at=None, accepted_recorded_at=None, accepted_sequence=None,
                )  # fmt: skip
            continue
        next_ = next(
            (one for one in to_come if one.role == each.role and one.since == each.until), None
        )
        yield replace(each, until=next_.until) if next_ else each
