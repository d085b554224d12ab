"""Attestations: what people say they did, saw or decided, sealed onto an incident's chain.

The form is `verify.attestation`'s; here it is held against the incident as it stands.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vault.deposit import Receipt
from vault.errors import RefusedError
from vault.incidents import Incidents, subjects_of
from verify.ahead import stated_ahead
from verify.approval import ATTESTED, Approval, check_second_person, same_person
from verify.attestation import (
    RULES,
    STATEMENT,
    Attestation,
    AttestationType,
    Shape,
    Value,
    attestation_body,
)
from verify.case import texts_of
from verify.errors import MalformedError
from verify.incident import Incident
from verify.instant import format_instant, read_given_instant
from verify.statement import Actor, Type


@dataclass(frozen=True, slots=True)
class Attested:
    """An attestation as it was sealed, and what a reader should look at."""

    attestation: Attestation
    receipt: Receipt
    notes: tuple[str, ...]


class Attestations:
    """The attestations of one vault's incidents, made by one actor."""

    def __init__(self, *, incidents: Incidents, actor: Actor) -> None:
        self._incidents = incidents
        self._actor = actor

    def attest(
        self,
        incident_id: str,
        type_: AttestationType,
        fields: Mapping[str, Value],
        *,
        exhibits: Sequence[str] = (),
        statement: str | None = None,
        approved_by: str | None = None,
        authenticated: str = ATTESTED,
        deposit: str | None = None,
    ) -> Attested:
        """Seal an attestation; `authenticated` is how the vault knows that a second one approved.

        Under one `deposit` id it is sealed once.
        Raises `MalformedError` for fields that it cannot have, `RefusedError` for a second person
        who is none or whom no exhibit shows, `NotFoundError` for exhibits that do not exist.
        """
        approval = None if approved_by is None else Approval(approved_by, authenticated)
        if approval:
            check_attested(self._actor, approval, exhibits)
        body = attestation_body(
            type_,
            fields,
            exhibits=tuple(exhibits),
            statement=statement,
            approval=approval,
        )
        chain = self._incidents.read(incident_id)
        shown = self._incidents.exhibits_named(chain, body["exhibits"])
        receipt = self._incidents.state(
            incident_id, Type.ATTESTATION, body, subject=subjects_of(shown), deposit=deposit
        )
        incident = self._incidents.read(incident_id, up_to=receipt.sequence).incident
        sealed = incident.attestations[-1]
        return Attested(sealed, receipt, tuple(notes_on(sealed, incident)))


def values_of(type_: AttestationType, given: Mapping[str, object]) -> dict[str, Value]:
    """Fields as they come in JSON, with times as people write them.

    Raises `MalformedError`, also for fields that the type has not; what else a field may hold is
    judged where it is sealed.
    """
    rules = {rule.name: rule for rule in RULES[type_].fields}
    values: dict[str, Value] = {}
    for name, value in given.items():
        if name not in rules:
            raise MalformedError(
                f"fields: {type_} has no field {name!r}; it has {', '.join(rules)}"
            )
        texts = value if isinstance(value, list) else [value]
        if not all(isinstance(each, str) for each in texts):
            raise MalformedError(f"fields.{name}: expected a text, or a list of texts")
        if isinstance(value, list):
            values[name] = tuple(dict.fromkeys(value))
        elif rules[name].shape == Shape.INSTANT:
            moment = read_given_instant(str(value))
            values[name] = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
        else:
            values[name] = str(value)
    return values


def check_attested(
    actor: Actor, approval: Approval, exhibits: Sequence[str], *, requester: str | None = None
) -> None:
    """A second person is another person, whom the vault authenticated or an exhibit shows.

    Raises `RefusedError`.
    """
    try:
        check_second_person(actor, approval, requester=requester, where="--approved-by")
    except MalformedError as error:
        raise RefusedError(str(error)) from error
    if approval.attested and not exhibits:
        raise RefusedError(
            f"nothing shows that {approval.person} approved; seal the message, ticket or review "
            "that does, and name it with --exhibit EV-…"
        )


_MAY_COME_FIRST = (AttestationType.ACKNOWLEDGEMENT, AttestationType.LOGGING)
"""What may well have happened before anyone detected the incident."""


def notes_on(attestation: Attestation, incident: Incident) -> list[str]:
    """What is well-formed, sealed as it was said, and still worth a look."""
    fields, notes = attestation.fields, []
    at = attestation.at
    notes += [
        f"{format_instant(each.at)} lies after this vault's clock; "
        "what has not happened yet shows nothing until then."
        for each in stated_ahead(incident)
        if each.sequence == attestation.sequence
    ]
    for one, other, told in (
        ("approver", "requester", "asked for what they approved; another person's approval counts"),
        ("reviewer", "author", "reviewed what they wrote; another person's review counts"),
    ):
        person, second = fields.get(one), fields.get(other)
        if isinstance(person, str) and isinstance(second, str) and same_person(person, second):
            notes.append(f"{person} {told}.")
    for name, known, where in (
        ("systems", incident.systems, "the systems"),
        ("principals", incident.scope.get("principals") or [], "the scope's principals"),
    ):
        value = fields.get(name)
        for each in value if isinstance(value, tuple) else ():
            if each not in known:
                notes.append(f"{each} is none of {where} of {incident.id}.")
    if at and at < incident.detected_at and attestation.type not in _MAY_COME_FIRST:
        notes.append(f"{format_instant(at)} lies before the stated detection of {incident.id}.")
    for rule in RULES[attestation.type].fields:
        value = fields.get(rule.name)
        # Of free text these are the words that profiles ask for; of the rest nothing else is left.
        if rule.choices and isinstance(value, str) and value not in rule.choices:
            notes.append(f"{value}: profiles know the {rule.name} {', '.join(rule.choices)}.")
    action = fields.get("action")
    known_actions = [
        each.fields.get("action")
        for each in incident.attestations
        if each.type == AttestationType.ROLLBACK and each.sequence != attestation.sequence
    ]
    if attestation.type == AttestationType.VALIDATION and action and action not in known_actions:
        notes.append(f"no rollback {action} is attested on {incident.id}.")
    if attestation.type == AttestationType.FINDING and fields["believed"] == STATEMENT:
        doubted = texts_of(fields, "disbelieved")
        if all(name in doubted for name in attestation.exhibits):
            notes.append("no exhibit shows why statements are believed; it settles nothing so.")
    withdrawn = [name for name in attestation.exhibits if incident.exhibits[name].withdrawn]
    notes += [f"{name} was withdrawn; it shows nothing." for name in withdrawn]
    return notes
