"""Waivers: conditions of the checklist that need not hold for a time, by name. No I/O.

A waiver names conditions one by one, has an owner, a second person and an end. It is never taken
back, only revoked by a later statement. Whether it touches anything is for the checklist: what is
contradicted cannot be waived. FORMAT.md §4.11.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from itertools import chain

from verify.approval import (
    MAX_PERSON,
    Approval,
    check_second_person,
    check_shown,
    parse_approval,
    words_of,
)
from verify.attestation import check_condition, exhibits_of, texts_of
from verify.errors import MalformedError
from verify.instant import format_instant, parse_instant
from verify.statement import Statement
from verify.strictjson import Fields, Object


@dataclass(frozen=True, slots=True)
class Waiver:
    """A waiver as it stands at one head of its chain."""

    id: str
    """`W-0001` and on, without gaps within its chain."""
    conditions: tuple[str, ...]
    reason: str
    owner: str
    """Who bears the risk."""
    requester: str
    approval: Approval
    exhibits: tuple[str, ...]
    """What shows the approval; at least one, unless the vault authenticated who approved."""
    scope: tuple[str, ...]
    """Systems and principals that it is for; empty: the whole incident."""
    valid_from: datetime
    valid_to: datetime
    compensating: tuple[str, ...]
    """Exhibits of what stands in for what is waived."""
    recorded_at: datetime
    sequence: int
    revoked_at: datetime | None = None
    """The vault's clock at the revocation."""
    revoked_reason: str | None = None
    revoked_sequence: int | None = None

    def live_at(self, moment: datetime) -> bool:
        """Whether it is valid at a moment, and not revoked by then; both ends count."""
        revoked = self.revoked_at is not None and self.revoked_at <= moment
        return not revoked and self.valid_from <= moment <= self.valid_to

    def to_json(self) -> Object:
        """The body that grants it."""
        return {
            "approved_by": self.approval.to_json(),
            "compensating": list(self.compensating),
            "conditions": list(self.conditions),
            "event": "granted",
            "exhibits": list(self.exhibits),
            "owner": self.owner,
            "reason": self.reason,
            "requester": self.requester,
            "scope": list(self.scope),
            "valid_from": format_instant(self.valid_from),
            "valid_to": format_instant(self.valid_to),
            "waiver": self.id,
        }

    @property
    def shown_by(self) -> tuple[str, ...]:
        """All exhibits that it names, each once."""
        return tuple(dict.fromkeys(chain(self.exhibits, self.compensating)))


@dataclass(frozen=True, slots=True)
class Revocation:
    """A waiver that counts no more, from its statement on."""

    waiver: str
    reason: str


def waiver_name(number: int) -> str:
    """W-0001 for 1; waivers are numbered from 1 within a chain, and never reused."""
    return f"W-{number:04d}"


def parse_waiver(statement: Statement, *, where: str) -> Waiver | Revocation:
    """Read a `waiver` strictly.

    Raises `MalformedError`, or `UnsupportedError` for an approval of a sort unknown here.
    """
    reader = Fields(statement.body, f"{where}.body")
    event = reader.text("event")
    if event == "revoked":
        return _revoked(reader)
    if event != "granted":
        raise MalformedError(f"{where}: unknown event {event!r} of a waiver")
    waiver = _granted(reader, where, statement.recorded_at, statement.link.sequence)
    check_second_person(statement.actor, waiver.approval, requester=waiver.requester, where=where)
    return waiver


def waiver_body(waiver: Waiver) -> Object:
    """The body that grants a waiver. Raises `MalformedError` for what could not be read back."""
    body = waiver.to_json()
    reader = Fields(body, waiver.id)
    reader.text("event")
    _granted(reader, waiver.id, waiver.recorded_at, waiver.sequence)
    return body


def revocation_body(waiver: str, reason: str) -> Object:
    """The body that revokes a waiver. Raises `MalformedError` for what could not be read back."""
    body: Object = {"event": "revoked", "reason": reason, "waiver": waiver}
    reader = Fields(body, waiver)
    reader.text("event")
    _revoked(reader)
    return body


def _revoked(reader: Fields) -> Revocation:
    revocation = Revocation(reader.text("waiver", limit=20), words_of(reader, "reason"))
    reader.done()
    return revocation


def _granted(reader: Fields, where: str, recorded_at: datetime, sequence: int) -> Waiver:
    waiver = Waiver(
        id=reader.text("waiver", limit=20),
        conditions=tuple(
            check_condition(each, where=f"{where}.conditions")
            for each in texts_of(reader, "conditions")
        ),
        reason=words_of(reader, "reason"),
        owner=words_of(reader, "owner", limit=MAX_PERSON),
        requester=words_of(reader, "requester", limit=MAX_PERSON),
        approval=parse_approval(reader.object("approved_by")),
        exhibits=exhibits_of(reader, "exhibits"),
        scope=texts_of(reader, "scope", least=0),
        valid_from=parse_instant(reader.raw("valid_from"), where=f"{where}.valid_from"),
        valid_to=parse_instant(reader.raw("valid_to"), where=f"{where}.valid_to"),
        compensating=exhibits_of(reader, "compensating"),
        recorded_at=recorded_at,
        sequence=sequence,
    )
    reader.done()
    if waiver.valid_to <= waiver.valid_from:
        raise MalformedError(
            f"{where}: the waiver ends {format_instant(waiver.valid_to)}, "
            f"not after it starts {format_instant(waiver.valid_from)}"
        )
    check_shown(waiver.approval, waiver.exhibits, where=where)
    return waiver
