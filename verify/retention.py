"""How long evidence is kept: the retention policy, and holds that matters lay upon it. No I/O.

A policy is a table of rules; the longest that fits an item wins, and none may fall below the
floors. What was promised once is only ever extended: a later, shorter policy binds later items.
FORMAT.md §4.7, §4.8.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from verify.approval import MAX_PERSON, Approval, check_shown, parse_approval, words_of
from verify.errors import ChainError, MalformedError, UnsupportedError
from verify.instant import format_instant, parse_instant
from verify.statement import Kind, check_kind
from verify.strictjson import Fields, Object

FLOOR_DAYS = 30
"""No item is kept for less."""
LOG_FLOOR_DAYS = 184
"""Six months: the floor of what the AI Act calls logs (Articles 19(1) and 26(6))."""
LOG_KINDS = frozenset(
    {
        Kind.PROMPT,
        Kind.TOOL_TRACE,
        Kind.ACCESS_LOG,
        Kind.GUARDRAIL_ALERT,
        Kind.DLP_FINDING,
        Kind.NIL_RETURN,
    }
)
MAX_DAYS = 36_500
"""A hundred years: no store promises more."""
MAX_RULES = 200
MAX_MATTER = 200


@dataclass(frozen=True, slots=True)
class Rule:
    """Items of this kind, in incidents of this severity, are kept so many days; None is any."""

    kind: str | None
    severity: str | None
    days: int

    def to_json(self) -> Object:
        """The JSON object."""
        return {"days": self.days, "kind": self.kind, "severity": self.severity}


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """The rules in force."""

    rules: tuple[Rule, ...]

    def days(self, kinds: Iterable[str], severity: str | None) -> int:
        """For how many days an item of these kinds is kept: the longest rule, or the floor."""
        kinds = frozenset(kinds)
        fitting = [
            rule.days
            for rule in self.rules
            if rule.kind in (None, *kinds) and rule.severity in (None, severity)
        ]
        return max([floor_of(kinds), *fitting])

    def to_json(self) -> Object:
        """The body of a `policy` statement."""
        return {"policy": "retention", "rules": [rule.to_json() for rule in self.rules]}


BUILT_IN = RetentionPolicy(
    (
        Rule(None, None, 365),
        Rule(None, "sev2", 3 * 365 + 1),
        Rule(None, "sev1", 7 * 365 + 2),
    )
)
"""In force until a `policy` statement on the vault's chain replaces it."""


def floor_of(kinds: Iterable[str]) -> int:
    """The fewest days that an item of these kinds may be kept."""
    return LOG_FLOOR_DAYS if LOG_KINDS.intersection(kinds) else FLOOR_DAYS


def parse_policy(body: object, *, where: str, severities: Iterable[str]) -> RetentionPolicy:
    """Read the body of a `policy` strictly.

    Raises `MalformedError`, or `UnsupportedError` for another policy than retention.
    """
    reader = Fields(body, where)
    policy = reader.text("policy")
    if policy != "retention":
        raise UnsupportedError(f"{where}: the policies known here are retention, not {policy!r}")
    known = frozenset(severities)
    rules = tuple(
        _rule(Fields(each, f"{where}.rules"), known)
        for each in reader.entries("rules", limit=MAX_RULES)
    )
    reader.done()
    if not rules:
        raise MalformedError(f"{where}: a retention policy has at least one rule")
    if len({(rule.kind, rule.severity) for rule in rules}) != len(rules):
        raise MalformedError(f"{where}: two rules are for one kind and severity")
    return RetentionPolicy(rules)


def _rule(reader: Fields, severities: frozenset[str]) -> Rule:
    kind, severity = reader.text_or_none("kind"), reader.text_or_none("severity")
    rule = Rule(None if kind is None else check_kind(kind), severity, reader.count("days"))
    reader.done()
    if severity is not None and severity not in severities:
        raise MalformedError(f"{reader.where}: {severity!r} is no severity")
    floor = floor_of(() if kind is None else (kind,))
    if not floor <= rule.days <= MAX_DAYS:
        raise MalformedError(
            f"{reader.where}: {rule.days} days for {kind or 'every kind'}; "
            f"from {floor} to {MAX_DAYS:,} are allowed"
        )
    return rule


@dataclass(frozen=True, slots=True)
class HoldEvent:
    """The body of a `hold`: `set` and `released` for a matter, or retention `extended`."""

    event: str
    matter: str | None
    reason: str
    ordered_by: str | None
    """Who ordered it, by the word of who recorded it."""
    approval: Approval | None
    exhibits: tuple[str, ...]
    """What shows the approval."""
    until: datetime | None

    def to_json(self) -> Object:
        """The JSON object: what every event has, and what its own has besides."""
        body: Object = {"event": self.event, "reason": self.reason}
        if self.event == "set":
            body |= {"matter": self.matter, "ordered_by": self.ordered_by}
        if self.approval:
            body |= {
                "approved_by": self.approval.to_json(),
                "exhibits": list(self.exhibits),
                "matter": self.matter,
            }
        if self.until:
            body["until"] = format_instant(self.until)
        return body


def parse_hold(body: object, *, where: str) -> HoldEvent:
    """Read the body of a `hold` strictly.

    Raises `MalformedError`, or `UnsupportedError` for an approval of a sort unknown here.
    """
    reader = Fields(body, where)
    event, reason = reader.text("event"), words_of(reader, "reason")
    matter, ordered_by, approval, until = None, None, None, None
    exhibits: tuple[str, ...] = ()
    if event == "set":
        matter = words_of(reader, "matter", limit=MAX_MATTER)
        if reader.raw("ordered_by") is not None:
            ordered_by = words_of(reader, "ordered_by", limit=MAX_PERSON)
    elif event == "released":
        matter = words_of(reader, "matter", limit=MAX_MATTER)
        approval = parse_approval(reader.object("approved_by"))
        exhibits = tuple(reader.texts("exhibits"))
        check_shown(approval, exhibits, where=where)
    elif event == "extended":
        until = parse_instant(reader.raw("until"), where=f"{where}.until")
    else:
        raise MalformedError(f"{where}: unknown event {event!r} of a hold")
    reader.done()
    return HoldEvent(event, matter, reason, ordered_by, approval, exhibits, until)


def check_extension(
    until: datetime, *, known: datetime | None, recorded_at: datetime, where: str
) -> None:
    """Retention is only ever extended, and by no more than a store can promise.

    Raises `ChainError`.
    """
    if known and until <= known:
        raise ChainError(
            f"{where}: retention is only ever extended; it lasts until {format_instant(known)}"
        )
    if until - recorded_at > timedelta(days=MAX_DAYS):
        raise ChainError(f"{where}: retention ends at most {MAX_DAYS:,} days from its statement")


def retained_until(received_at: datetime, days: int, extended: datetime | None) -> datetime:
    """Until when an item received at a moment is kept, in whole seconds: stores know no finer."""
    until = received_at + timedelta(days=days)
    until = max(until, extended) if extended else until
    return until + timedelta(microseconds=-until.microsecond % 1_000_000)
