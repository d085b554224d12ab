"""Attestations: what people say they did, saw or decided, in closed and typed fields. No I/O.

An attestation is a claim with a name under it. It is true that it was made, when the log dates it;
whether it holds is for the evidence that it cites. FORMAT.md §4.10.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import pairwise

from verify.approval import (
    Approval,
    check_second_person,
    check_shown,
    parse_approval,
    words_of,
)
from verify.errors import MalformedError
from verify.instant import format_instant, parse_instant
from verify.statement import Actor, Kind, Statement, exhibit_number
from verify.strictjson import Fields, Object

MAX_FIELD = 1_000
"""Characters of a text in a field."""
MAX_LISTED = 1_000
"""Entries of a list in a field."""
STATEMENT = "statement"
"""What a finding may believe, or not, besides exhibits: the statements on the chain."""

_HEX = re.compile(r"[0-9a-f]{64}\Z")
_ITEM = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,19}\Z")
_CONDITION = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,19}\.[a-z0-9][a-z0-9_-]{0,99}\Z")


class AttestationType(StrEnum):
    """What is attested."""

    ACKNOWLEDGEMENT = "acknowledgement"
    FREEZE = "freeze"
    KILL_SWITCH = "kill_switch"
    ISOLATION = "isolation"
    ROLLBACK = "rollback"
    VALIDATION = "validation"
    PERMISSIONS_REVALIDATED = "permissions_revalidated"
    RE_ENABLE = "re_enable"
    SLO_CHECK = "slo_check"
    LOGGING = "logging"
    PAGE = "page"
    NOTICE = "notice"
    APPROVAL = "approval"
    ALIGNMENT = "alignment"
    POSTMORTEM_PUBLISHED = "postmortem_published"
    NIL_RETURN = "nil_return"
    NOT_APPLICABLE = "not_applicable"
    APPLIES = "applies"
    FINDING = "finding"


class Shape(StrEnum):
    """How a field is written in JSON, and what is read from it."""

    INSTANT = "instant"
    TEXT = "text"
    """1 to 1,000 characters that say something."""
    TEXTS = "texts"
    """1 to 1,000 different texts."""
    CHOICE = "choice"
    CHOICES = "choices"
    """One or more different ones of the choices."""
    EXHIBIT = "exhibit"
    DOCUMENT = "document"
    """An exhibit, or the SHA-256 (hex) of a document that is none."""
    BELIEVED = "believed"
    """An exhibit, or `statement`."""
    BELIEVEDS = "believeds"
    """One or more different exhibits, or `statement`."""
    ITEM = "item"
    """An item of the checklist, like `C5`."""
    CONDITION = "condition"
    """A condition of the checklist, like `C2.models`."""


@dataclass(frozen=True, slots=True)
class FieldRule:
    """One field of one type of attestation."""

    name: str
    shape: Shape
    meaning: str
    """A few words for people."""
    required: bool = True
    choices: tuple[str, ...] = ()
    """What it may be; of a `TEXT`, the words that the runbook's profile knows."""


@dataclass(frozen=True, slots=True)
class TypeRule:
    """The fields of one type of attestation."""

    meaning: str
    fields: tuple[FieldRule, ...]
    one_of: tuple[str, ...] = ()
    """Of these optional fields at least one stands."""
    in_order: tuple[str, ...] = ()
    """Times of which none is before the one named before it."""
    second_person: bool = False
    """Whether it counts only with a second person's approval."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all fields."""
        return tuple(rule.name for rule in self.fields)


Value = str | tuple[str, ...] | datetime
"""What a field holds once read."""

_YES_NO = ("yes", "no")
_RESULT = ("passed", "failed")
_CHECKS = ("targeted_tests", "dry_run", "slo", "data_integrity", "user_path", "rollback")
_AT = FieldRule("at", Shape.INSTANT, "when it was done")
_ACTION = FieldRule("action", Shape.TEXT, "a name for the action, like RB-1")


def _may(name: str, shape: Shape, meaning: str, *choices: str) -> FieldRule:
    return FieldRule(name, shape, meaning, required=False, choices=choices)


def _must(name: str, shape: Shape, meaning: str, *choices: str) -> FieldRule:
    return FieldRule(name, shape, meaning, choices=choices)


RULES: Mapping[AttestationType, TypeRule] = {
    AttestationType.ACKNOWLEDGEMENT: TypeRule(
        "a person took notice of the alert",
        (
            FieldRule("at", Shape.INSTANT, "when they did"),
            _must("person", Shape.TEXT, "who"),
            _may("alert", Shape.EXHIBIT, "the alert, as an exhibit"),
        ),
    ),
    AttestationType.FREEZE: TypeRule(
        "agents were stopped, or tokens and permissions revoked",
        (
            _AT,
            _may("systems", Shape.TEXTS, "systems that are frozen"),
            _may("principals", Shape.TEXTS, "users, roles or tokens that are frozen"),
        ),
        one_of=("systems", "principals"),
    ),
    AttestationType.KILL_SWITCH: TypeRule(
        "a kill switch was thrown",
        (_AT, _must("systems", Shape.TEXTS, "systems that it stopped")),
    ),
    AttestationType.ISOLATION: TypeRule(
        "something compromised was cut off",
        (_AT, _must("targets", Shape.TEXTS, "connectors, datasets or environments")),
    ),
    AttestationType.ROLLBACK: TypeRule(
        "something was put back to an earlier version",
        (
            _ACTION,
            _must("started_at", Shape.INSTANT, "when it began"),
            _must("ended_at", Shape.INSTANT, "when it was done"),
            _must("target", Shape.TEXT, "what was rolled back"),
            _must("result", Shape.CHOICE, "how it ended", "succeeded", "failed"),
            _may("from_digest", Shape.TEXT, "digest, commit or version before"),
            _may("to_digest", Shape.TEXT, "digest, commit or version after"),
            _may("person", Shape.TEXT, "who did it"),
        ),
        in_order=("started_at", "ended_at"),
    ),
    AttestationType.VALIDATION: TypeRule(
        "a change, or what runs now, was tested",
        (
            FieldRule("at", Shape.INSTANT, "when the tests began"),
            _must("checks", Shape.CHOICES, "what was tested", *_CHECKS),
            _must("result", Shape.CHOICE, "how it ended", *_RESULT),
            _may("ended_at", Shape.INSTANT, "when they ended"),
            _may("action", Shape.TEXT, "the action that it validates, like RB-1"),
            _may("subject", Shape.TEXT, "digest, commit or version that was tested"),
        ),
        in_order=("at", "ended_at"),
    ),
    AttestationType.PERMISSIONS_REVALIDATED: TypeRule(
        "permissions were held against permission-tiers.md",
        (
            _AT,
            _must("document", Shape.DOCUMENT, "permission-tiers.md: an exhibit, or its SHA-256"),
            _must("tightened", Shape.CHOICE, "whether scopes were tightened", *_YES_NO),
            _may("principals", Shape.TEXTS, "whose permissions"),
        ),
    ),
    AttestationType.RE_ENABLE: TypeRule(
        "agents were let run again",
        (
            _AT,
            _must("systems", Shape.TEXTS, "systems that run again"),
            _must("stage", Shape.TEXT, "how far, like 10 percent of tenants"),
            _must("monitoring", Shape.CHOICE, "whether monitoring is heightened", *_YES_NO),
        ),
    ),
    AttestationType.SLO_CHECK: TypeRule(
        "service, data or user paths were checked after recovery",
        (
            _AT,
            _must("checks", Shape.CHOICES, "what was checked", *_CHECKS[2:5]),
            _must("result", Shape.CHOICE, "how it ended", *_RESULT),
            _may("systems", Shape.TEXTS, "of which systems; all of them if left out"),
        ),
    ),
    AttestationType.LOGGING: TypeRule(
        "enhanced logging was turned on or off",
        (
            _AT,
            _must("enhanced", Shape.CHOICE, "on or off", "on", "off"),
            _may("stable_at", Shape.INSTANT, "when stability was confirmed"),
        ),
    ),
    AttestationType.PAGE: TypeRule(
        "a team was paged",
        (
            FieldRule("at", Shape.INSTANT, "when it was sent"),
            _must("team", Shape.TEXT, "whom", "sre", "security"),
            _may("delivered_at", Shape.INSTANT, "when it arrived"),
            _may("acknowledged_at", Shape.INSTANT, "when someone took it"),
        ),
        in_order=("at", "delivered_at", "acknowledged_at"),
    ),
    AttestationType.NOTICE: TypeRule(
        "an audience was told",
        (
            FieldRule("at", Shape.INSTANT, "when it was sent"),
            _must(
                "audience", Shape.TEXT, "who",
                "stakeholders", "stewards", "oncall_sre", "oncall_secops", "comms", "legal",
                "privacy", "authority",
            ),
            _may("channel", Shape.TEXT, "where"),
            _may("delivered_at", Shape.INSTANT, "when it arrived"),
            _may("accepted_at", Shape.INSTANT, "when they took it on"),
        ),
        in_order=("at", "delivered_at", "accepted_at"),
    ),
    AttestationType.APPROVAL: TypeRule(
        "somebody approved a change or a deviation",
        (
            _must("of", Shape.TEXT, "what: a deviation, an action like RB-1, a commit, a change"),
            _must("approver", Shape.TEXT, "who approved"),
            _must("requester", Shape.TEXT, "who asked"),
            _must("role", Shape.TEXT, "the approver's role"),
            _must("approved_at", Shape.INSTANT, "when"),
            _may("effective_from", Shape.INSTANT, "from when it counts"),
            _may("subject", Shape.TEXT, "digest, commit or version that was approved"),
        ),
    ),
    AttestationType.ALIGNMENT: TypeRule(
        "the response was held against the Constitution or the Rulebook",
        (
            _AT,
            _must("document", Shape.CHOICE, "which of the two", "constitution", "rulebook"),
            _must("result", Shape.CHOICE, "what was found", "aligned", "deviates"),
            _may("deviation", Shape.TEXT, "how it deviates"),
        ),
    ),
    AttestationType.POSTMORTEM_PUBLISHED: TypeRule(
        "the postmortem was published",
        (
            FieldRule("at", Shape.INSTANT, "when"),
            _must("exhibit", Shape.EXHIBIT, "the postmortem, as an exhibit"),
            _must("author", Shape.TEXT, "who wrote it"),
            _must("reviewer", Shape.TEXT, "who reviewed it"),
        ),
    ),
    AttestationType.NIL_RETURN: TypeRule(
        "somebody looked, and there was nothing",
        (
            _must("kinds", Shape.CHOICES, "of which kinds of evidence", *Kind),
            _must("from", Shape.INSTANT, "start of the time looked at"),
            _must("to", Shape.INSTANT, "its end"),
            _must("query", Shape.TEXT, "what was asked, so that it can be asked again"),
            _may("system", Shape.TEXT, "in which system"),
            _may("detector", Shape.TEXT, "of which detector"),
        ),
        in_order=("from", "to"),
    ),
    AttestationType.NOT_APPLICABLE: TypeRule(
        "an item of the checklist does not apply",
        (
            _must("item", Shape.ITEM, "the item, like C5"),
            _must("reason", Shape.TEXT, "why"),
        ),
        second_person=True,
    ),
    AttestationType.APPLIES: TypeRule(
        "an item of the checklist applies after all; what was said against it is taken back",
        (
            _must("item", Shape.ITEM, "the item, like C5"),
            _must("reason", Shape.TEXT, "why"),
        ),
    ),
    AttestationType.FINDING: TypeRule(
        "of records that contradict each other, which is believed",
        (
            _must("conflict", Shape.CONDITION, "the condition in conflict, like C2.models"),
            _must("believed", Shape.BELIEVED, "an exhibit, or statement: what the chain says"),
            _must("reason", Shape.TEXT, "why"),
            _may("disbelieved", Shape.BELIEVEDS, "exhibits, or statement"),
        ),
    ),
}  # fmt: skip

_ACT = {AttestationType.ROLLBACK: "ended_at", AttestationType.APPROVAL: "approved_at"}


@dataclass(frozen=True, slots=True)
class Attestation:
    """One attestation, as it stands on a chain."""

    type: AttestationType
    fields: Mapping[str, Value]
    """As the type's rules name them; one that was left out is absent."""
    exhibits: tuple[str, ...]
    """What shows it, among them every exhibit that a field names."""
    statement: str | None
    approval: Approval | None
    actor: Actor
    """Who recorded it, as the vault knew them."""
    recorded_at: datetime
    sequence: int

    @property
    def at(self) -> datetime | None:
        """When it was done, as claimed: a rollback's end, an approval's time; None if not said."""
        value = self.fields.get(_ACT.get(self.type, "at"))
        return value if isinstance(value, datetime) else None


def attestation_body(
    type_: AttestationType,
    fields: Mapping[str, Value],
    *,
    exhibits: tuple[str, ...] = (),
    statement: str | None = None,
    approval: Approval | None = None,
) -> Object:
    """The body of an `attestation`; the exhibits that fields name are added to `exhibits`.

    Raises `MalformedError` for what could not be read back.
    """
    named = [*exhibits, *cited(type_, fields)]
    body: Object = {
        "approved_by": approval.to_json() if approval else None,
        "attestation": type_.value,
        "exhibits": list(dict.fromkeys(named)),
        "fields": {name: _to_json(value) for name, value in fields.items()},
        "statement": statement,
    }
    _parse(body, where=type_.value)
    return body


def parse_attestation(statement: Statement, *, where: str) -> Attestation:
    """Read an `attestation` strictly.

    Raises `MalformedError`, or `UnsupportedError` for an approval of a sort unknown here.
    """
    type_, fields, exhibits, said, approval = _parse(statement.body, where=f"{where}.body")
    if approval:
        check_second_person(statement.actor, approval, where=where)
    return Attestation(
        type=type_,
        fields=fields,
        exhibits=exhibits,
        statement=said,
        approval=approval,
        actor=statement.actor,
        recorded_at=statement.recorded_at,
        sequence=statement.link.sequence,
    )


def cited(type_: AttestationType, fields: Mapping[str, Value]) -> list[str]:
    """The exhibits that an attestation's fields name, in the order of the fields."""
    found: list[str] = []
    for rule in RULES[type_].fields:
        value = fields.get(rule.name)
        if value is None or rule.shape not in _CITING:
            continue
        found += [each for each in _listed(value) if not _HEX.match(each) and each != STATEMENT]
    return found


def check_condition(text: str, *, where: str) -> str:
    """Return `text` if it may name one condition, like `C2.models`; else raise `MalformedError`."""
    if not _CONDITION.match(text):
        raise MalformedError(
            f"{where}: {text[:130]!r} names no condition like C2.models; "
            "a whole item or a wildcard is none"
        )
    return text


def texts_of(reader: Fields, name: str, *, least: int = 1) -> tuple[str, ...]:
    """A list of different texts of 1 to 1,000 characters. Raises `MalformedError`."""
    values = reader.texts(name, limit=MAX_LISTED)
    where = f"{reader.where}.{name}"
    for value in values:
        if not value.strip() or len(value) > MAX_FIELD:
            raise MalformedError(f"{where}: expected texts of 1 to {MAX_FIELD:,} characters")
    if len(values) < least or len(set(values)) != len(values):
        raise MalformedError(f"{where}: expected {least} or more different ones")
    return tuple(values)


def exhibits_of(reader: Fields, name: str) -> tuple[str, ...]:
    """A list of different exhibits, perhaps none. Raises `MalformedError`."""
    values = texts_of(reader, name, least=0)
    for value in values:
        exhibit_number(value, where=f"{reader.where}.{name}")
    return values


def _parse(
    body: object, *, where: str
) -> tuple[AttestationType, dict[str, Value], tuple[str, ...], str | None, Approval | None]:
    reader = Fields(body, where)
    named = reader.text("attestation", limit=64)
    if named not in frozenset(AttestationType):
        raise MalformedError(f"{where}: {named!r} is none of {', '.join(AttestationType)}")
    type_ = AttestationType(named)
    fields = _fields(type_, reader.raw("fields"), f"{where}.fields")
    exhibits = exhibits_of(reader, "exhibits")
    said = None if reader.raw("statement") is None else words_of(reader, "statement")
    approval = None
    if reader.raw("approved_by") is not None:
        approval = parse_approval(reader.object("approved_by"))
    reader.done()
    for name in cited(type_, fields):
        if name not in exhibits:
            raise MalformedError(f"{where}: a field names {name}, which exhibits does not list")
    if approval:
        check_shown(approval, exhibits, where=where)
    if RULES[type_].second_person and not approval:
        raise MalformedError(f"{where}: {type_} takes a second person's approval")
    return type_, fields, exhibits, said, approval


def _fields(type_: AttestationType, value: object, where: str) -> dict[str, Value]:
    rule = RULES[type_]
    reader = Fields(value, where)
    if isinstance(value, dict):
        for name in sorted(set(value) - set(rule.names)):
            raise MalformedError(
                f"{where}: {type_} has no field {name!r}; it has {', '.join(rule.names)}"
            )
    fields = {
        each.name: read_field(each, reader)
        for each in rule.fields
        if each.required or reader.has(each.name)
    }
    if rule.one_of and not any(name in fields for name in rule.one_of):
        raise MalformedError(f"{where}: {type_} names {' or '.join(rule.one_of)}")
    _check_order(fields, rule.in_order, where)
    believed = fields.get("believed")
    if isinstance(believed, str) and believed in _listed(fields.get("disbelieved", ())):
        raise MalformedError(f"{where}: {believed} is believed and disbelieved")
    return fields


def _check_order(fields: Mapping[str, Value], names: tuple[str, ...], where: str) -> None:
    times = [(name, time) for name in names if isinstance(time := fields.get(name), datetime)]
    for (earlier, first), (later, then) in pairwise(times):
        if then < first:
            raise MalformedError(
                f"{where}: {later} {format_instant(then)} is before "
                f"{earlier} {format_instant(first)}"
            )


def read_field(rule: FieldRule, reader: Fields) -> Value:
    """Read one field by its rule. Raises `MalformedError`."""
    name, where = rule.name, f"{reader.where}.{rule.name}"
    if rule.shape == Shape.INSTANT:
        return parse_instant(reader.raw(name), where=where)
    if rule.shape in _LISTS:
        values = texts_of(reader, name)
        for value in values:
            _check_one(rule, value, where)
        return values
    value = words_of(reader, name, limit=MAX_FIELD)
    _check_one(rule, value, where)
    return value


def _check_one(rule: FieldRule, value: str, where: str) -> None:
    shape = rule.shape
    if shape in (Shape.CHOICE, Shape.CHOICES) and value not in rule.choices:
        raise MalformedError(f"{where}: {value!r} is none of {', '.join(rule.choices)}")
    if shape == Shape.ITEM and not _ITEM.match(value):
        raise MalformedError(f"{where}: {value!r} names no item like C5")
    if shape == Shape.CONDITION:
        check_condition(value, where=where)
    if shape == Shape.DOCUMENT and _HEX.match(value):
        return
    if shape in (Shape.BELIEVED, Shape.BELIEVEDS) and value == STATEMENT:
        return
    if shape in _CITING:
        exhibit_number(value, where=where)


def _listed(value: Value) -> tuple[str, ...]:
    if isinstance(value, datetime):
        return ()
    return (value,) if isinstance(value, str) else value


def _to_json(value: Value) -> str | list[str]:
    if isinstance(value, datetime):
        return format_instant(value)
    return value if isinstance(value, str) else list(value)


_LISTS = frozenset({Shape.TEXTS, Shape.CHOICES, Shape.BELIEVEDS})
_CITING = frozenset({Shape.EXHIBIT, Shape.DOCUMENT, Shape.BELIEVED, Shape.BELIEVEDS})
