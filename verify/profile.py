"""Checklist profiles: what an incident is held against, in a closed vocabulary. No I/O.

A profile is strict JSON: it names tests and gives their parameters, and holds no code. It has two
sorts of items, counted apart: `evidence` (what must be on record) and `duties` (what must have been
done), and `clocks` that time some of them. FORMAT.md §15.1.

An item has *conditions*, all of which must pass, and *checks*, which only look for contradictions:
a check that finds nothing to compare takes nothing away.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from verify import strictjson
from verify.attestation import RULES, AttestationType
from verify.declaration import Severity
from verify.digest import sha256_hex
from verify.errors import MalformedError, UnsupportedError
from verify.response import Phase, Role
from verify.statement import Kind, check_kinds
from verify.strictjson import Fields

FORMAT = 2
"""Of compiled profiles. The first had no number, and no duties."""

MAX_PROFILE = 1 << 20

CONDITIONS: Mapping[str, tuple[str, ...]] = {
    "action_described": (),
    "action_preceded": ("kinds",),
    "action_recorded": (),
    "action_validated": (),
    "agents_frozen": (),
    "aligned": (),
    "approvals_by_second_person": (),
    "approvals_in_time": (),
    "calls_finished": ("kinds",),
    "change_preceded": ("kinds",),
    "change_recorded": ("kinds",),
    "channel_named": (),
    "check_passed": ("check",),
    "content_whole": ("kinds",),
    "detection_confirmed": ("kinds", "tolerance_seconds"),
    "detectors_heard": ("kinds",),
    "deviations_approved": (),
    "findings_disposed": ("kinds",),
    "findings_timed": ("kinds",),
    "isolated": (),
    "kind_present": ("kinds",),
    "kind_timed": ("kinds",),
    "logging_enhanced": (),
    "models_returned": ("kinds",),
    "notified": ("audience", "accepted"),
    "notified_of_impact": ("audience", "accepted"),
    "paged": ("team",),
    "parents_resolved": ("kinds",),
    "permissions_revalidated": (),
    "phase_shown": ("phase",),
    "playbook_updated": ("file",),
    "postmortem_published": (),
    "postmortem_reviewed": (),
    "principals_seen": ("kinds",),
    "re_enabled": ("stages",),
    "role_held": ("role",),
    "roles_held": (),
    "rows_complete": ("kinds",),
    "runs_covered": ("kinds",),
    "silences_short": ("kinds", "silence_seconds"),
    "snapshot_after": ("kinds",),
    "snapshot_before": ("kinds",),
    "switch_thrown": (),
    "systems_covered": ("kinds", "silence_seconds"),
    "ticket_captured": ("kinds",),
    "tier_decided": (),
    "tier_escalated": (),
    "times_known": ("kinds",),
    "trigger_stated": (),
    "updates_given": (),
    "updates_in_channel": (),
    "updates_tell_containment": (),
}
"""The tests of conditions, and the parameters of each."""

CHECKS: Mapping[str, tuple[str, ...]] = {
    "access_is_traced": ("kinds", "trace_kinds", "tolerance_seconds"),
    "alert_before_detection": ("kinds", "tolerance_seconds"),
    "approval_of_same_change": (),
    "approver_had_role": (),
    "calls_are_logged": ("kinds", "trace_kinds"),
    "commander_is_not_steward": (),
    "config_is_snapshot": ("kinds", "trace_kinds"),
    "contained_stays_silent": ("kinds", "trace_kinds"),
    "detected_before_declared": (),
    "dispositions_agree": ("kinds",),
    "exposure_fits_findings": ("kinds",),
    "frozen_stays_silent": ("kinds", "trace_kinds"),
    "live_is_target": ("kinds",),
    "logging_kept": (),
    "nil_return_holds": (),
    "page_after_detection": (),
    "postmortem_after_containment": (),
    "re_enabled_after_tests": (),
    "returned_model_is_pinned": ("kinds", "trace_kinds"),
    "severity_agrees": ("kinds",),
    "update_fits_evidence": ("kinds", "trace_kinds"),
    "validation_after_action": (),
}
"""The tests of checks, and the parameters of each."""

TRIGGERS: Mapping[str, tuple[str, ...]] = {
    "containment_failed": ("seconds",),
    "exposure_confirmed": (),
    "in_doubt": (),
    "scope_lists": ("list",),
    "severity_reached": ("severity",),
}
"""The tests of triggers, and the parameters of each."""

ANCHORS = ("detected_at", "declared_at", "recovered_at", "uncontained_at")
"""What a clock may run from; `uncontained_at` is `declared_at` and the time to contain."""

EVENTS = (
    "contained",
    "declared",
    "frozen",
    "paged",
    "postmortem_published",
    "roles_held",
    "updated",
)
"""What a clock may wait for; `updated` is each of the updates that one severity asks for."""

_MAY_BE_LEFT_OUT = ("contrary", "missing", "next", "vanishes")
"""Of a condition, check or trigger."""

_ITEM = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,19}\Z")
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,99}\Z")


class Applies(StrEnum):
    """Who may say that an item does not apply."""

    ALWAYS = "always"
    """Nobody: it always applies."""
    UNLESS_ATTESTED = "unless_attested"
    """Two people may, by an attestation."""
    ON_TRIGGER = "on_trigger"
    """Its trigger decides, and people cannot."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition, check or trigger: a test of the vocabulary with its parameters."""

    id: str
    """With its item: `C2.models`."""
    asks: str
    """What must hold, in words for people."""
    test: str
    parameters: Mapping[str, Any]
    missing: str
    """The reason that some tests give if nothing is there."""
    next: tuple[str, ...]
    """The command that would help; `{incident}` and `{subject}` stand for what it is run on."""
    vanishes: int
    """Rank of what the command fetches: what vanishes first has the smallest."""
    contrary: bool
    """Whether it contradicts "does not apply" if it passes."""


@dataclass(frozen=True, slots=True)
class Item:
    """One item of a profile."""

    id: str
    title: str
    owner: str
    """The role that owes it."""
    applies: Applies
    trigger: Condition | None
    conditions: tuple[Condition, ...]
    checks: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Clock:
    """How many seconds an event may come after another."""

    id: str
    title: str
    item: str
    """The item whose timeliness it is; empty: shown, and no item's."""
    owner: str
    after: str
    event: str
    seconds: int
    tolerance: int
    """Seconds by which an independent record may differ from the claimed time, and confirm it."""
    severity: str
    """The severity that asks for updates; empty for all other events."""


@dataclass(frozen=True, slots=True)
class Profile:
    """A compiled checklist profile."""

    name: str
    version: int
    clocks: tuple[Clock, ...]
    evidence: tuple[Item, ...]
    duties: tuple[Item, ...]
    data: bytes
    """Its canonical JSON."""

    @property
    def sha256(self) -> str:
        """Digest of the canonical JSON: what reports name the profile by."""
        return sha256_hex(self.data)

    @property
    def items(self) -> tuple[Item, ...]:
        """Evidence, then duties."""
        return self.evidence + self.duties

    @property
    def conditions(self) -> tuple[str, ...]:
        """The ids of all conditions that a waiver may name."""
        return tuple(each.id for item in self.items for each in item.conditions)


def parse_profile(data: bytes, *, where: str = "profile") -> Profile:
    """Read a compiled profile strictly. Raises `MalformedError`, `UnsupportedError`."""
    value = strictjson.load_object(data, where=where, limit=MAX_PROFILE)
    if value.get("format", FORMAT) != FORMAT:
        raise UnsupportedError(f"{where}: not of format {FORMAT}, the one that is known here")
    reader = Fields(value, where)
    reader.expect(("format", "name", "version", "clocks", "evidence", "duties"))
    reader.raw("format")
    profile = Profile(
        name=_said(reader, "name", limit=100),
        version=reader.count("version"),
        clocks=tuple(_clock(each) for each in _objects(reader, "clocks")),
        evidence=tuple(_item(each) for each in _objects(reader, "evidence")),
        duties=tuple(_item(each) for each in _objects(reader, "duties")),
        data=strictjson.dumps(value),
    )
    reader.done()
    _check_ids(profile, where)
    return profile


def _check_ids(profile: Profile, where: str) -> None:
    items = [item.id for item in profile.items]
    for ids, what in ((items, "items"), ([clock.id for clock in profile.clocks], "clocks")):
        doubled = sorted({each for each in ids if ids.count(each) > 1})
        if doubled:
            raise MalformedError(f"{where}: two {what} have the id {doubled[0]!r}")
    if not items:
        raise MalformedError(f"{where}: a profile has at least one item")
    for number, clock in enumerate(profile.clocks):
        if clock.item and clock.item not in items:
            raise MalformedError(f"{where}.clocks[{number}].item: there is no item {clock.item!r}")


def _objects(reader: Fields, name: str, *, limit: int = 200) -> list[Fields]:
    """The entries of a list, each named by its place: an error is told by line where it is YAML."""
    return [
        Fields(each, f"{reader.where}.{name}[{number}]")
        for number, each in enumerate(reader.entries(name, limit=limit))
    ]


def _item(reader: Fields) -> Item:
    reader.expect(("id", "title", "owner", "conditions"), ("applies", "checks", "trigger"))
    id_ = _name(reader, "id", _ITEM)
    applies = _choice(reader, "applies", Applies) if reader.has("applies") else Applies.ALWAYS
    trigger = reader.object("trigger") if reader.has("trigger") else None
    item = Item(
        id=id_,
        title=_said(reader, "title", limit=200),
        owner=_choice(reader, "owner", Role),
        applies=Applies(applies),
        trigger=_condition(trigger, id_, TRIGGERS, id_="trigger") if trigger else None,
        conditions=tuple(
            _condition(each, id_, CONDITIONS) for each in _objects(reader, "conditions")
        ),
        checks=tuple(_condition(each, id_, CHECKS) for each in _objects(reader, "checks"))
        if reader.has("checks")
        else (),
    )
    reader.done()
    if not item.conditions:
        raise MalformedError(f"{reader.where}.conditions: an item has at least one condition")
    if (item.applies == Applies.ON_TRIGGER) and item.trigger is None:
        raise MalformedError(f"{reader.where}.applies: on_trigger needs a trigger")
    ids = [each.id for each in (*item.conditions, *item.checks)]
    doubled = sorted({each for each in ids if ids.count(each) > 1})
    if doubled:
        raise MalformedError(f"{reader.where}: two conditions have the id {doubled[0]!r}")
    return item


def _condition(
    reader: Fields, item: str, vocabulary: Mapping[str, tuple[str, ...]], id_: str | None = None
) -> Condition:
    if not reader.has("test"):
        known = {each for parameters in vocabulary.values() for each in parameters}
        reader.expect(
            ("test", "asks") if id_ else ("id", "test", "asks"), {*_MAY_BE_LEFT_OUT, *known}
        )
    test = reader.text("test", limit=100)
    if test not in vocabulary:
        raise MalformedError(
            f"{reader.where}.test: there is no test {test!r} here; "
            f"known: {', '.join(sorted(vocabulary))}"
        )
    named = () if id_ else ("id",)
    reader.expect((*named, "test", "asks", *vocabulary[test]), _MAY_BE_LEFT_OUT)
    own = id_ or _name(reader, "id", _NAME)
    condition = Condition(
        id=f"{item}.{own}",
        asks=_said(reader, "asks", limit=200),
        test=test,
        parameters={name: _PARAMETERS[name](reader, name) for name in vocabulary[test]},
        missing=reader.text("missing", limit=200) if reader.has("missing") else "",
        next=tuple(reader.texts("next", limit=40)) if reader.has("next") else (),
        vanishes=reader.count("vanishes") if reader.has("vanishes") else 99,
        contrary=_yes(reader, "contrary") if reader.has("contrary") else False,
    )
    reader.done()
    return condition


def _clock(reader: Fields) -> Clock:
    event = _choice(reader, "event", EVENTS) if reader.has("event") else ""
    updates = ("severity",) if event == "updated" else ()
    reader.expect(
        ("id", "title", "owner", "after", "event", "limit_seconds", *updates),
        ("item", "tolerance_seconds"),
    )
    clock = Clock(
        id=_name(reader, "id", _NAME),
        title=_said(reader, "title", limit=200),
        item=reader.text("item", limit=20) if reader.has("item") else "",
        owner=_choice(reader, "owner", Role),
        after=_choice(reader, "after", ANCHORS),
        event=event,
        seconds=_seconds(reader, "limit_seconds"),
        tolerance=_seconds(reader, "tolerance_seconds") if reader.has("tolerance_seconds") else 0,
        severity=_choice(reader, "severity", Severity) if event == "updated" else "",
    )
    reader.done()
    return clock


def _said(reader: Fields, name: str, *, limit: int) -> str:
    text = reader.text(name, limit=limit)
    if not text.strip():
        raise MalformedError(f"{reader.where}.{name}: says nothing")
    return text


def _name(reader: Fields, name: str, pattern: re.Pattern[str]) -> str:
    text = reader.text(name, limit=100)
    if not pattern.match(text):
        example = "C2" if pattern is _ITEM else "models"
        raise MalformedError(f"{reader.where}.{name}: {text!r} is no id like {example}")
    return text


def _choice(reader: Fields, name: str, choices: Any) -> str:
    text = reader.text(name, limit=100)
    if text not in tuple(choices):
        raise MalformedError(f"{reader.where}.{name}: {text!r} is none of {', '.join(choices)}")
    return text


def _yes(reader: Fields, name: str) -> bool:
    value = reader.raw(name)
    if not isinstance(value, bool):
        raise MalformedError(f"{reader.where}.{name}: expected true or false")
    return value


def _seconds(reader: Fields, name: str) -> int:
    value = reader.count(name)
    if value > 10 * 366 * 86_400:
        raise MalformedError(f"{reader.where}.{name}: longer than ten years")
    return value


def _kinds(reader: Fields, name: str) -> tuple[str, ...]:
    where = f"{reader.where}.{name}"
    texts = reader.texts(name, limit=20)
    for place, text in enumerate(texts):
        if text not in tuple(Kind):
            known = ", ".join(Kind)
            raise MalformedError(
                f"{where}[{place}]: {text!r} is no kind of evidence; known: {known}"
            )
    return check_kinds(texts, where=where)


def _of(type_: AttestationType, field: str) -> tuple[str, ...]:
    """The words that a field of an attestation may be, or that are known for it."""
    (rule,) = [rule for rule in RULES[type_].fields if rule.name == field]
    return rule.choices


_PARAMETERS: Mapping[str, Callable[[Fields, str], Any]] = {
    "accepted": _yes,
    "audience": lambda reader, name: _choice(reader, name, _of(AttestationType.NOTICE, "audience")),
    "check": lambda reader, name: _choice(reader, name, _of(AttestationType.VALIDATION, "checks")),
    "file": lambda reader, name: _said(reader, name, limit=100),
    "kinds": _kinds,
    "list": lambda reader, name: _choice(reader, name, ("detectors", "principals", "runs")),
    "phase": lambda reader, name: _choice(reader, name, Phase),
    "role": lambda reader, name: _choice(reader, name, Role),
    "seconds": _seconds,
    "severity": lambda reader, name: _choice(reader, name, Severity),
    "silence_seconds": _seconds,
    "stages": lambda reader, name: reader.count(name),
    "team": lambda reader, name: _choice(reader, name, _of(AttestationType.PAGE, "team")),
    "tolerance_seconds": _seconds,
    "trace_kinds": _kinds,
}

__all__ = [
    "CHECKS",
    "CONDITIONS",
    "TRIGGERS",
    "Applies",
    "Clock",
    "Condition",
    "Item",
    "Profile",
    "parse_profile",
]
