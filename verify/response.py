"""Who answers an incident and how far they are: roles and their handover, phases, updates. No I/O.

A role is *assigned*, and held from then on, or *offered*: then whoever holds it keeps it until the
offer is accepted. A vault offers what another person holds. FORMAT.md §4.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from verify.approval import same_person, words_of
from verify.attestation import exhibits_of
from verify.errors import ChainError, MalformedError
from verify.instant import parse_instant
from verify.strictjson import Fields


class Role(StrEnum):
    """The runbook's five roles."""

    INCIDENT_COMMANDER = "incident_commander"
    COMMS_LEAD = "comms_lead"
    FORENSICS_LEAD = "forensics_lead"
    REMEDIATION_LEAD = "remediation_lead"
    GOVERNANCE_STEWARD = "governance_steward"


class Phase(StrEnum):
    """The phases after declaring, each entered by a statement."""

    TRIAGED = "triaged"
    CONTAINED = "contained"
    REMEDIATED = "remediated"
    RECOVERING = "recovering"
    RECOVERED = "recovered"


class Containment(StrEnum):
    """How far an incident is contained, by the word of an update."""

    CONTAINED = "contained"
    PARTLY_CONTAINED = "partly_contained"
    NOT_CONTAINED = "not_contained"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Assignment:
    """A role given to a person; `at` is claimed, `recorded_at` the vault's clock."""

    role: str
    person: str
    at: datetime
    recorded_at: datetime
    sequence: int
    since: datetime | None = None
    """From when the person holds the role; None while an offered role is not accepted."""
    until: datetime | None = None
    """To when: the successor's acceptance. Set with `since` None: the offer lapsed."""
    accepted_at: datetime | None = None
    """When the person said yes, as claimed; None if that was never recorded."""
    accepted_recorded_at: datetime | None = None
    accepted_sequence: int | None = None

    @property
    def offered(self) -> bool:
        """Whether it waits for acceptance."""
        return self.since is None and self.until is None

    def holds_at(self, moment: datetime) -> bool:
        """Whether the person held the role at a moment, by the claimed times."""
        if self.since is None or moment < self.since:
            return False
        return self.until is None or moment < self.until


@dataclass(frozen=True, slots=True)
class PhaseEntry:
    """A phase entered; `at` is claimed, `recorded_at` the vault's clock."""

    phase: str
    at: datetime
    exhibits: tuple[str, ...]
    recorded_at: datetime
    sequence: int


@dataclass(frozen=True, slots=True)
class Update:
    """What the responders told everyone: how far it is contained, and what comes next."""

    at: datetime
    """When it was given, as claimed."""
    containment: str
    next_steps: str
    note: str | None
    channel: str | None
    """Where it was given; None: not said."""
    exhibits: tuple[str, ...]
    recorded_at: datetime
    sequence: int


_ROLES = frozenset(Role)
_CONTAINMENTS = frozenset(Containment)


def parse_role(body: Fields) -> tuple[str, str, datetime]:
    """Role, person and claimed time of `assigned`, `offered` and `accepted`.

    Raises `MalformedError`.
    """
    body.text("event")
    role, person = body.text("role"), body.text("person")
    at = parse_instant(body.raw("at"), where=f"{body.where}.at")
    body.done()
    if role not in _ROLES:
        raise MalformedError(f"{body.where}: {role!r} is none of {', '.join(Role)}")
    return role, person, at


def parse_update(body: Fields, *, recorded_at: datetime, sequence: int) -> Update:
    """Read the body of an `updated` strictly. Raises `MalformedError`."""
    body.text("event")
    containment = body.text("containment")
    if containment not in _CONTAINMENTS:
        raise MalformedError(f"{body.where}: {containment!r} is none of {', '.join(Containment)}")
    update = Update(
        at=parse_instant(body.raw("at"), where=f"{body.where}.at"),
        containment=containment,
        next_steps=words_of(body, "next_steps"),
        note=None if body.raw("note") is None else words_of(body, "note"),
        channel=None if body.raw("channel") is None else words_of(body, "channel", limit=1_000),
        exhibits=exhibits_of(body, "exhibits"),
        recorded_at=recorded_at,
        sequence=sequence,
    )
    body.done()
    return update


def current(assignments: Sequence[Assignment], role: str) -> Assignment | None:
    """The assignment by which a role is held now."""
    held = [each for each in assignments if each.role == role and each.since and not each.until]
    return held[-1] if held else None


def offer(assignments: Sequence[Assignment], role: str) -> Assignment | None:
    """The assignment of a role that waits for acceptance."""
    waiting = [each for each in assignments if each.role == role and each.offered]
    return waiting[-1] if waiting else None


def assign(assignments: list[Assignment], new: Assignment) -> None:
    """Take in an assignment: the role is held from its time, by nobody else any more.

    An offer that still waits lapses. The holder's own name again keeps what they accepted.
    """
    held, waiting = current(assignments, new.role), offer(assignments, new.role)
    for each in (waiting, held):
        if each:
            _become(assignments, each, replace(each, until=new.at))
    new = replace(new, since=new.at)
    if held and same_person(held.person, new.person):
        new = replace(
            new,
            accepted_at=held.accepted_at,
            accepted_recorded_at=held.accepted_recorded_at,
            accepted_sequence=held.accepted_sequence,
        )
    assignments.append(new)


def offer_role(assignments: list[Assignment], new: Assignment, *, where: str) -> None:
    """Take in an offer, which changes nothing until it is accepted; one that waits lapses.

    Raises `ChainError` if the person holds the role.
    """
    held, waiting = current(assignments, new.role), offer(assignments, new.role)
    if held and same_person(held.person, new.person):
        raise ChainError(f"{where}: {new.person} holds {new.role} already")
    if waiting:
        _become(assignments, waiting, replace(waiting, until=new.at))
    assignments.append(new)


def accept(
    assignments: list[Assignment],
    role: str,
    person: str,
    *,
    at: datetime,
    recorded_at: datetime,
    sequence: int,
    where: str,
) -> None:
    """Take in an acceptance; a handed-over role changes hands here. Raises `ChainError`."""
    held, waiting = current(assignments, role), offer(assignments, role)
    taken = next(
        (each for each in (waiting, held) if each and same_person(each.person, person)), None
    )
    if taken is None:
        raise ChainError(f"{where}: {role} was not given to {person}")
    if taken.accepted_sequence is not None:
        raise ChainError(f"{where}: {person} has accepted {role} already")
    said = replace(
        taken,
        accepted_at=at,
        accepted_recorded_at=recorded_at,
        accepted_sequence=sequence,
        since=taken.since or at,
    )
    _become(assignments, taken, said)
    if taken.since is None and held:
        _become(assignments, held, replace(held, until=at))


def _become(assignments: list[Assignment], old: Assignment, new: Assignment) -> None:
    assignments[assignments.index(old)] = new
