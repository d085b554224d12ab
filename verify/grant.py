"""Grants: who holds which of the vault's roles, on which chains, from when to when. No I/O.

A grant is a statement on the vault's own chain, and so is its revocation. What a role allows is for
the vault that serves it; here stands who was given it. FORMAT.md §4.14.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from verify.approval import (
    AUTHENTICATED,
    MAX_PERSON,
    Approval,
    check_second_person,
    parse_approval,
    same_person,
    words_of,
)
from verify.errors import ChainError, MalformedError, UnsupportedError
from verify.instant import format_instant, parse_instant
from verify.statement import Actor, check_chain_id
from verify.strictjson import Fields, Object

GRANTED = "granted"
REVOKED = "revoked"
EVERY_CHAIN = "*"
"""Stands alone in `chains`: every chain, also those still to come."""
MAX_CHAINS = 1_000

_NO_PEOPLE = frozenset({"agent", "collector"})
"""What stands before the colon in the ids of AI agents and of machines that collect."""


class GrantedRole(StrEnum):
    """The roles that a vault knows; what each may do is the vault's own table."""

    FORENSICS_LEAD = "forensics_lead"
    INCIDENT_COMMANDER = "incident_commander"
    POSTMORTEM_AUTHOR = "postmortem_author"
    LEGAL = "legal"
    GOVERNANCE_STEWARD = "governance_steward"
    COMMS_LEAD = "comms_lead"
    REMEDIATION_LEAD = "remediation_lead"
    AUDITOR = "auditor"
    PLATFORM_ADMIN = "platform_admin"


@dataclass(frozen=True, slots=True)
class GrantEvent:
    """The body of a `grant`: a role is given to a person on some chains, or taken back."""

    event: str
    person: str
    """The identity as it is authenticated; compared character by character."""
    role: GrantedRole
    chains: tuple[str, ...]
    """Chain ids, or `*` alone."""
    reason: str
    valid_from: datetime | None = None
    """Of a grant alone."""
    valid_to: datetime | None = None
    """None: until it is revoked."""
    approval: Approval | None = None
    """The second person's yes to a grant that its actor asked for; of a grant alone."""

    def to_json(self) -> Object:
        """The JSON object."""
        body: Object = {
            "chains": list(self.chains),
            "event": self.event,
            "person": self.person,
            "reason": self.reason,
            "role": self.role.value,
        }
        if self.valid_from is None:
            return body
        ends = None if self.valid_to is None else format_instant(self.valid_to)
        body |= {"valid_from": format_instant(self.valid_from), "valid_to": ends}
        return body | {"approval": self.approval.to_json()} if self.approval else body


def parse_grant(body: object, *, where: str) -> GrantEvent:
    """Read the body of a `grant` strictly.

    Raises `MalformedError`, or `UnsupportedError` for an event or a role of a later version.
    """
    reader = Fields(body, where)
    event, role = reader.text("event", limit=64), reader.text("role", limit=64)
    # Before anything else: the fields of what is not known here are not known either.
    if event not in (GRANTED, REVOKED):
        raise UnsupportedError(f"{where}: the event {event!r} of a grant is not known here")
    if role not in frozenset(GrantedRole):
        raise UnsupportedError(f"{where}: the role {role!r} is not known here")
    given = event == GRANTED
    ends = reader.raw("valid_to") if given else None
    read = GrantEvent(
        event=event,
        person=check_holder(words_of(reader, "person", limit=MAX_PERSON), where=where),
        role=GrantedRole(role),
        chains=check_chains(reader.texts("chains", limit=MAX_CHAINS), where=where),
        reason=words_of(reader, "reason"),
        valid_from=(
            parse_instant(reader.raw("valid_from"), where=f"{where}.valid_from") if given else None
        ),
        valid_to=None if ends is None else parse_instant(ends, where=f"{where}.valid_to"),
        approval=(
            parse_approval(reader.object("approval")) if given and reader.has("approval") else None
        ),
    )
    reader.done()
    if read.approval and read.approval.authenticated not in AUTHENTICATED:
        # Nothing in a grant would show an approval that is somebody's word.
        raise UnsupportedError(
            f"{where}.approval: a grant's approval is known here as "
            f"{', '.join(sorted(AUTHENTICATED))}"
        )
    if read.valid_from and read.valid_to and read.valid_to <= read.valid_from:
        raise MalformedError(
            f"{where}: the grant ends {format_instant(read.valid_to)}, not after it starts "
            f"{format_instant(read.valid_from)}"
        )
    return read


def check_granted_by(event: GrantEvent, actor: Actor, *, where: str) -> None:
    """Who signs in to a vault gives no role alone, and none to themselves. Raises `MalformedError`.

    Who asked, who approved and who holds the role are three, in whatever spelling (FORMAT.md §4.7).
    What is granted where the vault's files are is its owner's word, and has no approval.
    """
    if event.event != GRANTED:
        return
    if event.approval is None:
        if actor.authenticated in AUTHENTICATED:
            raise MalformedError(
                f"{where}: {actor.id} signed in to the vault, and granted a role that no second "
                "person approved"
            )
        return
    check_second_person(actor, event.approval, where=where)
    for each, did in ((actor.id, "asked for"), (event.approval.person, "approved")):
        if same_person(event.person, each):
            raise MalformedError(
                f"{where}: {each} {did} a role that {event.person} is to hold; nobody gives one to "
                "themselves"
            )


def check_chains(chains: Sequence[str], *, where: str) -> tuple[str, ...]:
    """The chains if a grant may name them so: ids, or `*` alone. Raises `MalformedError`."""
    if not chains or len(set(chains)) != len(chains):
        raise MalformedError(f"{where}.chains: expected at least one, and none twice")
    if EVERY_CHAIN in chains:
        if len(chains) > 1:
            raise MalformedError(f"{where}.chains: {EVERY_CHAIN} stands alone")
        return (EVERY_CHAIN,)
    return tuple(check_chain_id(each) for each in chains)


def check_holder(person: str, *, where: str) -> str:
    """Return the id if a role may be held under it. Raises `MalformedError`.

    What begins with `agent:` is an AI agent by its own name, with `collector:` a machine.
    """
    if person != person.strip() or any(unicodedata.category(each) == "Cc" for each in person):
        raise MalformedError(
            f"{where}: {person!r} has white space at an end or control characters; no id has"
        )
    kind, colon, _ = person.partition(":")
    if colon and kind.isascii() and kind.lower() in _NO_PEOPLE:
        raise MalformedError(f"{where}: {person!r} is no person's id: only people hold roles")
    return person


@dataclass(frozen=True, slots=True)
class Grant:
    """A grant as it stands at one head of the vault's own chain."""

    person: str
    role: GrantedRole
    chains: tuple[str, ...]
    """Those it still counts on: what was revoked is gone from here."""
    valid_from: datetime
    valid_to: datetime | None
    reason: str
    recorded_at: datetime
    sequence: int
    """Its link of the chain `vault`: no two grants have one."""
    given: tuple[str, ...]
    """The chains that it was given for."""
    revoked_at: datetime | None = None
    """The vault's clock at the last revocation that took something of it."""
    revoked_reason: str | None = None
    revoked_sequence: int | None = None
    approved_by: str | None = None
    """Who approved it, if it was asked for through the vault's server."""
    doubtful: bool = False
    """A later link that is not understood speaks of this person: nothing is to rest on it."""

    def live_at(self, moment: datetime) -> bool:
        """Whether it counts at a moment, by all that is sealed; both ends count.

        What is revoked does not, whenever that was: a clock that falls brings nothing back.
        """
        begun = self.valid_from <= moment
        ended = self.valid_to is not None and self.valid_to < moment
        return begun and not ended and bool(self.chains) and not self.doubtful

    def covers(self, chain: str) -> bool:
        """Whether it counts on a chain."""
        return EVERY_CHAIN in self.chains or chain in self.chains


class GrantRoll:
    """All grants of a vault: the fold over the `grant` statements of its own chain."""

    def __init__(self, before: GrantRoll | None = None) -> None:
        """Begin with nothing, or go on from another, which stays as it is."""
        self.grants: list[Grant] = list(before.grants) if before else []
        self.unknown: list[int] = list(before.unknown) if before else []
        """Links that are not understood, or could not be read."""

    def take(
        self,
        body: object,
        *,
        recorded_at: datetime,
        sequence: int,
        where: str,
        actor: Actor | None = None,
    ) -> None:
        """Take one statement; `actor` is who stated it, None where that is not looked at.

        Raises `MalformedError`; `ChainError` for a revocation of what was not granted;
        `UnsupportedError` for what is not known here, or follows from something that is not.
        """
        try:
            event = parse_grant(body, where=where)
        except UnsupportedError:
            self._doubt(body, sequence)
            raise
        if actor is not None:
            check_granted_by(event, actor, where=where)
        if event.event == GRANTED:
            assert event.valid_from is not None
            self.grants.append(
                Grant(
                    person=event.person,
                    role=event.role,
                    chains=event.chains,
                    valid_from=event.valid_from,
                    valid_to=event.valid_to,
                    reason=event.reason,
                    recorded_at=recorded_at,
                    sequence=sequence,
                    given=event.chains,
                    approved_by=event.approval.person if event.approval else None,
                )
            )
            return
        held = [
            each for each in self.grants if (each.person, each.role) == (event.person, event.role)
        ]
        missing = [
            chain for chain in event.chains if not any(chain in each.chains for each in held)
        ]
        if missing and self.unknown:
            raise UnsupportedError(
                f"{where}: what it revokes may stand in link {self.unknown[-1]}, which is not "
                "understood here"
            )
        if missing:
            raise ChainError(
                f"{where}: {event.person} does not hold the role {event.role} for {missing[0]}"
            )
        self.grants = [
            replace(
                each,
                chains=tuple(one for one in each.chains if one not in event.chains),
                revoked_at=recorded_at,
                revoked_reason=event.reason,
                revoked_sequence=sequence,
            )
            if each in held and set(each.chains) & set(event.chains)
            else each
            for each in self.grants
        ]

    def skip(self, sequence: int) -> None:
        """Note that a link could not be read: any grant may stand in it, or its end."""
        self._doubt(None, sequence)

    def _doubt(self, body: object, sequence: int) -> None:
        self.unknown.append(sequence)
        person = body.get("person") if isinstance(body, dict) else None
        if isinstance(body, dict) and body.get("event") in (GRANTED, REVOKED):
            return  # it is about a role of a later version, and about no other
        # Of another event nobody here knows what it does, nor of whom if it names nobody.
        self.grants = [
            replace(each, doubtful=True)
            if each.person == person or not isinstance(person, str)
            else each
            for each in self.grants
        ]
