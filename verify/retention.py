"""How long evidence is kept: the retention policy, and holds that matters lay upon it. No I/O.

A policy is a table of rules; the longest that fits an item wins, and none may fall below the
floors. What was promised once is only ever extended: a later, shorter policy binds later items.
FORMAT.md §4.7, §4.8.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from verify.errors import ChainError, MalformedError, UnsupportedError
from verify.instant import format_instant, parse_instant
from verify.statement import Actor, Kind, check_kind
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
MAX_PERSON = 512
ATTESTED = "attested"
"""How a vault knows of an approval that it has only the word of who asked for, and an exhibit."""

_category = unicodedata.ucd_3_2_0.category


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
class Approval:
    """A second person's yes: who, and how the vault knew."""

    person: str
    authenticated: str
    """`attested`: by the word of who asked, and by the exhibit that is named beside it."""

    def to_json(self) -> Object:
        """The JSON object."""
        return {"authenticated": self.authenticated, "person": self.person}


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

    Raises `MalformedError`, or `UnsupportedError` for an approval that is more than attested.
    """
    reader = Fields(body, where)
    event, reason = reader.text("event"), _words(reader, "reason")
    matter, ordered_by, approval, until = None, None, None, None
    exhibits: tuple[str, ...] = ()
    if event == "set":
        matter = _words(reader, "matter", limit=MAX_MATTER)
        if reader.raw("ordered_by") is not None:
            ordered_by = _words(reader, "ordered_by", limit=MAX_PERSON)
    elif event == "released":
        matter = _words(reader, "matter", limit=MAX_MATTER)
        approval = _approval(reader.object("approved_by"))
        exhibits = tuple(reader.texts("exhibits"))
        if not exhibits:
            raise MalformedError(f"{where}: an attested approval names the exhibit that shows it")
    elif event == "extended":
        until = parse_instant(reader.raw("until"), where=f"{where}.until")
    else:
        raise MalformedError(f"{where}: unknown event {event!r} of a hold")
    reader.done()
    return HoldEvent(event, matter, reason, ordered_by, approval, exhibits, until)


def _approval(reader: Fields) -> Approval:
    approval = Approval(_words(reader, "person", limit=MAX_PERSON), reader.text("authenticated"))
    reader.done()
    if approval.authenticated != ATTESTED:
        # Here nobody but who asks is authenticated; to say more of the other takes a server.
        raise UnsupportedError(f"{reader.where}: an approval is known here as {ATTESTED} alone")
    return approval


def _words(reader: Fields, name: str, *, limit: int = 65_536) -> str:
    text = reader.text(name, limit=limit)
    if not text.strip():
        raise MalformedError(f"{reader.where}.{name}: says nothing")
    return text


def check_second_person(actor: Actor, approval: Approval, *, where: str) -> None:
    """Who approves is not who asks, in whatever spelling (FORMAT.md §4.7). Raises `MalformedError`.

    It keeps people from approving for themselves by habit. Against a vault that names people as
    it likes it proves nothing: the approval is attested.
    """
    asking = {name_key(actor.id), name_key(actor.claimed or "")}
    approving = name_key(approval.person)
    if not approving:
        raise MalformedError(f"{where}: {approval.person!r} names nobody")
    if approving in asking:
        raise MalformedError(
            f"{where}: {approval.person} asks and approves; it takes a second person"
        )


def name_key(name: str) -> str:
    """What is left of a name without host, case, spaces, accents and signs: `Ada@lab` is `ada`."""
    return _letters(name.partition("@")[0]) or _letters(name)


def _letters(text: str) -> str:
    # What Unicode 3.2 did not assign stands as it is: no two Pythons must differ about a name.
    plain = "".join(
        each if _category(each) == "Cn" else unicodedata.normalize("NFKD", each).casefold()
        for each in text
    )
    return "".join(each for each in plain if _category(each)[0] in "LN" or _category(each) == "Cn")


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
