"""Facts: what a parser read out of one item, in one shape for all formats. No I/O.

Facts are deterministic, small and signed through the item's description. They are the vault's
claim about the bytes, not the bytes: recomputing them needs the same parser and version. Every
list is capped, sorted where order means nothing, and `capped` names the lists that hit the cap.
Absent means "this format does not say", never "none".

All times in facts are RFC 3339 with a zone. A time without a zone is no instant: it is told by
`clock`, `raw_first` and `raw_last` only. `check_times` demands it of what is sealed, and of what a
checklist looks at. Reading facts does not: a description with a bad time that is sealed already
must still be shown, exported and withdrawn.
"""

from __future__ import annotations

from dataclasses import MISSING, dataclass, field, fields
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

from verify.errors import MalformedError
from verify.strictjson import Fields, Object

CAP = 200
TEXT_CAP = 300

CLOCKS = ("zoned", "unzoned", "none", "mixed")
"""How far an item's times can be trusted to name an instant: zone given, zone missing, no times."""

TIME_UNITS = ("text", "s", "ms", "us", "ns", "mixed")
"""How an item writes its times: as text, or as a number of these since 1970."""

PRECISIONS = ("day", "min", "s", "ms", "us", "ns")
"""The finest part of a second that an item's times are written to, from coarse to fine."""

EXACTNESS = ("exact", "floating", "unknown")
"""Whether a model's name stands for one version for ever, or for whatever the provider runs."""

SEVERITIES = ("unknown", "info", "low", "medium", "high", "critical")
"""One scale for all sources; the source's own word stands beside it."""

GRANTS = ("granted", "denied", "unknown")
DECISIONS = ("allowed", "denied", "failed", "asked", "unknown")
"""What became of a request: `failed` for other reasons than permission, `asked` of a person."""

APPROVAL_STATES = ("requested", "approved", "rejected", "dismissed", "commented")
ROLLBACK_STATES = ("started", "succeeded", "failed", "unknown")
DIRECTIONS = ("back", "forward", "unknown")
RESULTS = ("passed", "failed", "pending", "inconclusive", "unknown")


def _words(words: tuple[str, ...], *, default: str | None) -> Any:
    """A field that holds one of these words, unless it says nothing."""
    return field(metadata={"words": words}, default=default)


@dataclass(frozen=True, slots=True)
class Gap:
    """A silence between two neighbouring records: RFC 3339 times with zone, whole seconds."""

    start: str
    end: str
    seconds: int


@dataclass(frozen=True, slots=True)
class Covered:
    """A stretch of time that the item itself claims to speak for; `source` is whose it is."""

    start: str
    end: str
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Activity:
    """When a principal acted, first and last, and in how many records."""

    principal: str
    first: str
    last: str
    count: int


@dataclass(frozen=True, slots=True)
class Model:
    """A model, and how many records ask for it or say that it answered."""

    name: str
    requested: int = 0
    returned: int = 0
    exact: str = _words(EXACTNESS, default="unknown")


@dataclass(frozen=True, slots=True)
class ToolUse:
    """A tool and how often it was called; `unfinished` calls have neither result nor error."""

    name: str
    calls: int
    unfinished: int


@dataclass(frozen=True, slots=True)
class Permission:
    """A permission that a principal asked for, has, or was refused, on a resource."""

    permission: str
    principal: str | None = None
    resource: str | None = None
    granted: str = _words(GRANTS, default="unknown")


@dataclass(frozen=True, slots=True)
class Decision:
    """How many records ended in a decision."""

    decision: str = field(metadata={"words": DECISIONS})
    count: int


@dataclass(frozen=True, slots=True)
class Detector:
    """A guardrail, scanner or rule engine that reported, found something or not."""

    name: str
    version: str | None = None
    ruleset: str | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """What a detector reported: `at` is null where the record has no time with a zone."""

    detector: str
    label: str
    count: int
    at: str | None
    disposition: str | None
    severity: str | None = None
    """As the source gives it, whatever its scale."""
    severity_norm: str = _words(SEVERITIES, default="unknown")


@dataclass(frozen=True, slots=True)
class Approval:
    """A decision of a person, or a request for one, about `subject`."""

    subject: str
    state: str = field(metadata={"words": APPROVAL_STATES})
    approver: str | None = None
    at: str | None = None
    requester: str | None = None
    reference: str | None = None
    """What exactly it was given for: a commit, an environment, the id of a tool call."""


@dataclass(frozen=True, slots=True)
class Rollback:
    """A change of what runs at `target`; `direction` says whether the record shows it going back.

    `from_` and `to` are revisions, commits or digests, as the source names them.
    """

    target: str
    state: str = field(metadata={"words": ROLLBACK_STATES})
    direction: str = _words(DIRECTIONS, default="unknown")
    from_: str | None = None
    to: str | None = None
    actor: str | None = None
    started_at: str | None = None
    at: str | None = None
    """When it ended."""


@dataclass(frozen=True, slots=True)
class Validation:
    """A check or test that ran, and on what: a commit, revision or digest."""

    name: str
    result: str = field(metadata={"words": RESULTS})
    at: str | None = None
    subject: str | None = None


@dataclass(frozen=True, slots=True)
class Ticket:
    """A ticket or incident of another system."""

    id: str
    title: str
    severity: str | None = None
    severity_norm: str = _words(SEVERITIES, default="unknown")
    status: str | None = None
    opened_at: str | None = None
    acknowledged_at: str | None = None
    resolved_at: str | None = None


@dataclass(frozen=True, slots=True)
class Config:
    """A named part of a configuration: prompt, guardrail, image, commit; its version or digest.

    A trace and a snapshot that name the same part use the same `kind` and `name`.
    """

    kind: str
    name: str
    version: str | None = None
    digest: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What checking the item's own proof came to, for instance a bundle's audit."""

    name: str
    result: str = field(metadata={"words": RESULTS})
    subject: str | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything a parser may say about one item. See the module text for the rules."""

    parser: str
    version: int
    """The parser's; 0 means that it could not read the item here, a library being absent."""
    format: str
    records: int = 0
    bad_records: int = 0
    bad_offsets: tuple[int, ...] = ()
    clock: str = _words(CLOCKS, default="none")
    time_unit: str | None = _words(TIME_UNITS, default=None)
    precision: str | None = _words(PRECISIONS, default=None)
    first: str | None = None
    last: str | None = None
    raw_first: str | None = None
    """The earliest time as it stands in the record; of times with a zone, if there are any."""
    raw_last: str | None = None
    gaps: tuple[Gap, ...] = ()
    coverage: tuple[Covered, ...] = ()
    platforms: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()
    principals: tuple[str, ...] = ()
    activities: tuple[Activity, ...] = ()
    datasets: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    permissions: tuple[Permission, ...] = ()
    decisions: tuple[Decision, ...] = ()
    runs: tuple[str, ...] = ()
    sessions: tuple[str, ...] = ()
    traces: tuple[str, ...] = ()
    spans: int = 0
    unresolved_parents: int = 0
    """Spans whose parent is not in the item."""
    models: tuple[Model, ...] = ()
    tools: tuple[ToolUse, ...] = ()
    unfinished_calls: int = 0
    """Of all tools together, also of those that `tools` has no room for."""
    last_tool: str | None = None
    detectors: tuple[Detector, ...] = ()
    findings: tuple[Finding, ...] = ()
    approvals: tuple[Approval, ...] = ()
    rollbacks: tuple[Rollback, ...] = ()
    validations: tuple[Validation, ...] = ()
    tickets: tuple[Ticket, ...] = ()
    configs: tuple[Config, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    not_captured: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    capped: tuple[str, ...] = ()

    @property
    def models_requested(self) -> tuple[str, ...]:
        """The models that were asked for."""
        return tuple(model.name for model in self.models if model.requested)

    @property
    def models_returned(self) -> tuple[str, ...]:
        """The models that answered, by their own word."""
        return tuple(model.name for model in self.models if model.returned)

    def to_json(self) -> Object:
        """The JSON object, without fields that say nothing."""
        result: Object = {}
        for each in _FIELDS[Facts]:
            value = getattr(self, each.name)
            if value is None or value == () or (value == 0 and each.name != "version"):
                continue
            if isinstance(value, tuple):
                value = [_plain(entry) for entry in value]
            result[each.name] = value
        return result

    @classmethod
    def from_json(cls, value: object, *, where: str) -> Facts:
        """Read facts strictly. Raises `MalformedError`."""
        reader = Fields(value, where)
        known: dict[str, Any] = {}
        for each in _FIELDS[Facts]:
            name = each.name
            if not reader.has(name) and each.default is not MISSING:
                continue
            if name in ENTRIES:
                known[name] = tuple(
                    _entry(ENTRIES[name], entry, f"{where}.{name}")
                    for entry in reader.entries(name, limit=CAP)
                )
            elif each.type == "int":
                known[name] = reader.count(name)
            elif each.type == "tuple[int, ...]":
                known[name] = _counts(reader.entries(name, limit=CAP), f"{where}.{name}")
            elif each.type == "tuple[str, ...]":
                known[name] = tuple(reader.texts(name, limit=CAP))
            else:
                known[name] = reader.text(name, limit=TEXT_CAP)
            _check_word(known[name], each.words, f"{where}.{name}")
        reader.done()
        return cls(**known)


ENTRIES: dict[str, type[Any]] = {
    "activities": Activity,
    "approvals": Approval,
    "configs": Config,
    "coverage": Covered,
    "decisions": Decision,
    "detectors": Detector,
    "findings": Finding,
    "gaps": Gap,
    "models": Model,
    "permissions": Permission,
    "rollbacks": Rollback,
    "tickets": Ticket,
    "tools": ToolUse,
    "validations": Validation,
    "verdicts": Verdict,
}
"""The lists of facts whose entries are objects, and what these are."""

_TIMES: dict[str, tuple[str, ...]] = {
    "activities": ("first", "last"),
    "approvals": ("at",),
    "coverage": ("start", "end"),
    "findings": ("at",),
    "gaps": ("start", "end"),
    "rollbacks": ("started_at", "at"),
    "tickets": ("opened_at", "acknowledged_at", "resolved_at"),
    "validations": ("at",),
}
"""The fields of entries that are times, by list."""


def check_times(facts: Facts, *, where: str) -> None:
    """Raise `MalformedError`, which names the place, unless all times in facts have a zone."""
    for name in ("first", "last"):
        _check_time(getattr(facts, name), f"{where}.{name}")
    for listed, names in _TIMES.items():
        for place, entry in enumerate(getattr(facts, listed)):
            for name in names:
                _check_time(getattr(entry, name), f"{where}.{listed}[{place}].{name}")


def _check_time(text: str | None, where: str) -> None:
    if text is None:
        return
    try:
        zoned = datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        zoned = False
    if not zoned:
        raise MalformedError(f"{where}: {text!r} is no time with a zone")


T = TypeVar("T")


class _Field(NamedTuple):
    """A field of facts or of an entry: its name here and in JSON, and what it may hold."""

    name: str
    key: str
    type: object
    default: object
    words: tuple[Any, ...] | None


def _fields_of(kind: type[Any]) -> tuple[_Field, ...]:
    return tuple(
        _Field(
            each.name, each.name.rstrip("_"), each.type, each.default, each.metadata.get("words")
        )
        for each in fields(kind)
    )


_FIELDS: dict[type[Any], tuple[_Field, ...]] = {Facts: _fields_of(Facts)}
_FIELDS |= {kind: _fields_of(kind) for kind in ENTRIES.values()}
# Looked up once: asking `dataclasses` each time was most of what facts of a small file cost.


def _plain(value: Any) -> object:
    """An entry as JSON: fields that hold their default are left out."""
    if isinstance(value, (str, int)):
        return value
    plain = {}
    for each in _FIELDS[type(value)]:
        member = getattr(value, each.name)
        if each.default is MISSING or member != each.default:
            plain[each.key] = member
    return plain


def _entry(kind: type[T], value: object, where: str) -> T:
    reader = Fields(value, where)
    known: dict[str, Any] = {}
    for each in _FIELDS[kind]:
        name = each.key
        if not reader.has(name) and each.default is not MISSING:
            continue
        if each.type == "int":
            known[each.name] = reader.count(name)
        elif each.type == "str | None":
            known[each.name] = reader.text_or_none(name)
        else:
            known[each.name] = reader.text(name)
        _check_word(known[each.name], each.words, f"{where}.{name}")
    reader.done()
    return kind(**known)


def _check_word(value: object, words: tuple[Any, ...] | None, where: str) -> None:
    if words and value not in words:
        raise MalformedError(f"{where}: expected one of {', '.join(words)}")


def _counts(entries: list[Any], where: str) -> tuple[int, ...]:
    if not all(type(each) is int and each >= 0 for each in entries):
        raise MalformedError(f"{where}: expected whole numbers")
    return tuple(entries)
