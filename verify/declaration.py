"""What is declared about an incident, amended, and said of its scope: names and values. No I/O.

FORMAT.md §4.2.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from verify.errors import MalformedError
from verify.instant import parse_instant
from verify.strictjson import Object

_INCIDENT = re.compile(r"INC-[0-9]{4}-[0-9]{4,8}\Z")


class Severity(StrEnum):
    """How bad it is; sev1 is the worst."""

    SEV1 = "sev1"
    SEV2 = "sev2"
    SEV3 = "sev3"
    SEV4 = "sev4"


class Tier(StrEnum):
    """The suspected tier; unknown counts as Tier 4."""

    TIER_1 = "1"
    TIER_2 = "2"
    TIER_3 = "3"
    TIER_4 = "4"
    UNKNOWN = "unknown"


class Trigger(StrEnum):
    """The runbook's four triggers, and that none is known yet."""

    EGRESS = "egress"
    POLICY = "policy"
    CHANGE = "change"
    DEVIATION = "deviation"
    UNKNOWN = "unknown"


class Exposure(StrEnum):
    """Whether data was exposed."""

    NONE = "none"
    SUSPECTED = "suspected"
    CONFIRMED = "confirmed"
    UNKNOWN = "unknown"


class YesNo(StrEnum):
    """An answer that may not be known."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Change:
    """One field of an incident or of its scope, before and after; values as in JSON."""

    name: str
    old: Any
    new: Any

    def to_json(self) -> Object:
        """The JSON object."""
        return {"field": self.name, "new": self.new, "old": self.old}


@dataclass(frozen=True, slots=True)
class Setting:
    """What a field of an incident or of its scope was set to, when, and why."""

    name: str
    value: Any
    """As in JSON."""
    at: datetime
    """From when it counts: the claimed time of declaring, else `recorded_at`."""
    recorded_at: datetime
    sequence: int
    reason: str | None


def check_value(name: str, value: object, *, where: str) -> None:
    """Raise `MalformedError` unless `value` may stand in the field of an incident or its scope."""
    try:
        rule = {**INCIDENT_FIELDS, **SCOPE_FIELDS}[name]
    except KeyError:
        raise MalformedError(f"{where}: there is no field {name!r}") from None
    rule(value, where=f"{where}.{name}")


def declared_body(values: dict[str, Any]) -> Object:
    """The body that declares an incident; `values` has the fields of `INCIDENT_FIELDS`."""
    for name, rule in INCIDENT_FIELDS.items():
        rule(values[name], where=name)
    return {"event": "declared", **values}


def _text(value: object, *, where: str) -> None:
    if not isinstance(value, str) or not 0 < len(value) <= 1_000:
        raise MalformedError(f"{where}: expected 1 to 1,000 characters")


def _texts(value: object, *, where: str) -> None:
    if not isinstance(value, list) or len(value) > 1_000:
        raise MalformedError(f"{where}: expected a list of at most 1,000 different texts")
    for each in value:
        _text(each, where=where)
    if len(set(value)) != len(value):
        raise MalformedError(f"{where}: expected a list of at most 1,000 different texts")


def _some_texts(value: object, *, where: str) -> None:
    _texts(value, where=where)
    if not value:
        raise MalformedError(f"{where}: at least one is needed")


def _instant(value: object, *, where: str) -> None:
    parse_instant(value, where=where)


def _incident(value: object, *, where: str) -> None:
    if not isinstance(value, str) or not _INCIDENT.match(value):
        raise MalformedError(f"{where}: expected the id of an incident, like INC-2026-0001")


def _one_of(enumeration: type[StrEnum]) -> Callable[..., None]:
    values = frozenset(enumeration)

    def check(value: object, *, where: str) -> None:
        if not isinstance(value, str) or value not in values:
            raise MalformedError(f"{where}: {value!r} is none of {', '.join(enumeration)}")

    return check


INCIDENT_FIELDS: dict[str, Callable[..., None]] = {
    "title": _text,
    "severity": _one_of(Severity),
    "tier": _one_of(Tier),
    "systems": _some_texts,
    "trigger": _one_of(Trigger),
    "detected_at": _instant,
    "declared_at": _instant,
}

SCOPE_FIELDS: dict[str, Callable[..., None]] = {
    "from": _instant,
    "to": _instant,
    "principals": _texts,
    "runs": _texts,
    "detectors": _texts,
    "sources": _texts,
    "channel": _text,
    "exposure": _one_of(Exposure),
    "customer_impact": _one_of(YesNo),
    "ticket": _text,
    "cause": _text,
    "recurrence_of": _incident,
}
