"""Waivers: granting and revoking them on an incident's chain, numbered without gaps.

The form is `verify.waiver`'s; which conditions there are is for who asks to say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from vault.attestations import check_attested
from vault.deposit import Receipt
from vault.errors import NotFoundError, RefusedError, StaleHeadError
from vault.incidents import Incidents, subjects_of
from vault.ports import Clock
from verify.approval import ATTESTED, Approval
from verify.incident import Incident
from verify.instant import format_instant
from verify.statement import Actor, Type
from verify.waiver import Waiver, revocation_body, waiver_body, waiver_name

_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a waiver is to be; who asks for it is the actor, unless another is named."""

    conditions: Sequence[str]
    reason: str
    owner: str
    approved_by: str
    """The second person."""
    exhibits: Sequence[str]
    valid_to: datetime
    valid_from: datetime | None = None
    """Now, if None."""
    requester: str | None = None
    scope: Sequence[str] = ()
    compensating: Sequence[str] = ()
    authenticated: str = ATTESTED
    """How the vault knows that they approved; what is not attested needs no exhibit."""
    deposit: str | None = None
    """Under which deposit id, so that it is granted once; a new one, if None."""


class Waivers:
    """The waivers of one vault's incidents, recorded by one actor."""

    def __init__(self, *, incidents: Incidents, actor: Actor, clock: Clock) -> None:
        self._incidents = incidents
        self._actor = actor
        self._clock = clock

    def grant(self, incident_id: str, wanted: Wanted) -> tuple[Waiver, Receipt]:
        """Seal a waiver under the next number of its chain.

        Raises `MalformedError` for a condition that names no single one, `RefusedError` for an
        approver who asks, an approval that nothing shows, or an end that is no end;
        `NotFoundError` for exhibits that do not exist.
        """
        repeated = self._incidents.receipt_of(incident_id, wanted.deposit)
        if repeated:
            return self._sealed(incident_id, repeated), repeated
        now = self._clock()
        approval = Approval(wanted.approved_by, wanted.authenticated)
        requester = wanted.requester or self._actor.claimed or self._actor.id
        check_attested(self._actor, approval, wanted.exhibits, requester=requester)
        valid_from, valid_to = _whole(wanted.valid_from or now), _whole(wanted.valid_to)
        if valid_to <= now:
            raise RefusedError(f"{format_instant(valid_to)} is past; name a moment to come")
        if valid_to <= valid_from:
            raise RefusedError(
                f"the waiver would end {format_instant(valid_to)}, not after it starts "
                f"{format_instant(valid_from)}; name a later end"
            )
        for _ in range(_ATTEMPTS):
            chain = self._incidents.read(incident_id)
            named = dict.fromkeys([*wanted.exhibits, *wanted.compensating])
            shown = self._incidents.exhibits_named(chain, list(named))
            waiver = Waiver(
                id=waiver_name(len(chain.incident.waivers) + 1),
                conditions=tuple(dict.fromkeys(wanted.conditions)),
                reason=wanted.reason,
                owner=wanted.owner,
                requester=requester,
                approval=approval,
                exhibits=tuple(dict.fromkeys(wanted.exhibits)),
                scope=tuple(dict.fromkeys(wanted.scope)),
                valid_from=valid_from,
                valid_to=valid_to,
                compensating=tuple(dict.fromkeys(wanted.compensating)),
                recorded_at=now,
                sequence=chain.incident.sequence + 1,
            )
            body = waiver_body(waiver)
            try:
                receipt = self._incidents.state(
                    incident_id,
                    Type.WAIVER,
                    body,
                    subject=subjects_of(shown),
                    expect=chain.incident.sequence,
                    deposit=wanted.deposit,
                )
            except StaleHeadError:
                continue
            return self._sealed(incident_id, receipt), receipt
        raise StaleHeadError(f"others keep adding to {incident_id}; run the command again")

    def _sealed(self, incident_id: str, receipt: Receipt) -> Waiver:
        """The waiver that a link granted."""
        incident = self._incidents.read(incident_id, up_to=receipt.sequence).incident
        return next(each for each in incident.waivers.values() if each.sequence == receipt.sequence)

    def revoke(self, incident_id: str, waiver_id: str, reason: str) -> tuple[Waiver, Receipt]:
        """Seal that a waiver counts no more. Raises `NotFoundError`, `RefusedError`."""
        for _ in range(_ATTEMPTS):
            incident = self._incidents.read(incident_id).incident
            waiver = incident.waivers.get(waiver_id)
            if waiver is None:
                known = ", ".join(incident.waivers) or "none"
                raise NotFoundError(
                    f"{incident_id} has no waiver {waiver_id}; those granted: {known}"
                )
            if waiver.revoked_at:
                raise RefusedError(
                    f"waiver {waiver_id} was revoked by link {waiver.revoked_sequence} already"
                )
            body = revocation_body(waiver_id, reason)
            try:
                receipt = self._incidents.state(
                    incident_id, Type.WAIVER, body, expect=incident.sequence
                )
            except StaleHeadError:
                continue
            sealed = self._incidents.read(incident_id, up_to=receipt.sequence).incident
            return sealed.waivers[waiver_id], receipt
        raise StaleHeadError(f"others keep adding to {incident_id}; run the command again")


def notes_on(waiver: Waiver, incident: Incident, answers: Mapping[str, str]) -> list[str]:
    """What a waiver does not do, although it was granted; `answers` by condition, before it."""
    notes = []
    for condition in waiver.conditions:
        if answers.get(condition) == "conflict":
            notes.append(f"{condition} is contradicted; {closed_by_finding(incident.id)}")
        elif answers.get(condition) == "pass":
            notes.append(f"{condition} holds as it is; the waiver counts once it does not.")
    known = {*incident.systems, *(incident.scope.get("principals") or ())}
    notes += [
        f"{each} is none of the systems and principals of {incident.id}."
        for each in waiver.scope
        if each not in known
    ]
    withdrawn = [name for name, exhibit in incident.exhibits.items() if exhibit.withdrawn]
    notes += [f"{e} was withdrawn; it shows nothing." for e in waiver.shown_by if e in withdrawn]
    return notes


def closed_by_finding(incident: str) -> str:
    """What helps where records contradict each other, which no waiver does."""
    return (
        "no waiver touches that, a finding of which record is believed does: "
        f"evault attest {incident} finding"
    )


def _whole(moment: datetime) -> datetime:
    """A moment as it is sealed: to the millisecond."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
