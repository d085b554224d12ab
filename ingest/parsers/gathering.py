"""Gathered: what a parser collects while it reads, and the facts that it comes to. No I/O.

Parsers hand over values as they stand in the record; what is of the wrong type says nothing and is
left out. The facts do not depend on the order of records (`last_tool` of records without times
does), stay small whatever the input, and name each list that had no room for all.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import fields
from typing import Any, Literal, Protocol

from ingest.parsers.bounded import Distinct, Ranked, clip, counted, said
from ingest.parsers.models import exactness
from ingest.parsers.parser import Parser
from ingest.parsers.severity import Scale, normalised
from ingest.parsers.times import NANO, Clock, DayOrder, Silences, Time, Unit, read_time, rfc3339
from verify.facts import (
    CAP,
    Activity,
    Approval,
    Config,
    Covered,
    Decision,
    Detector,
    Facts,
    Finding,
    Model,
    Permission,
    Rollback,
    Ticket,
    ToolUse,
    Validation,
    Verdict,
)

MOST_SPANS = 2_000_000
"""How many spans of one item are remembered, to know whose parent is missing."""

MOST_OPEN_CALLS = 100_000
"""How many tool calls may wait for their result at the same time."""

MOST_IDS = 4_000_000
"""How many ids are remembered for duplicates, eight bytes each."""

TextList = Literal[
    "platforms", "accounts", "principals", "datasets", "actions", "scopes", "runs", "sessions",
    "traces", "not_captured",
]  # fmt: skip
Entry = (
    Approval | Config | Covered | Detector | Permission | Rollback | Ticket | Validation | Verdict
)
_LISTS: dict[type[Any], str] = {
    Approval: "approvals",
    Config: "configs",
    Covered: "coverage",
    Detector: "detectors",
    Permission: "permissions",
    Rollback: "rollbacks",
    Ticket: "tickets",
    Validation: "validations",
    Verdict: "verdicts",
}


class Damage(Protocol):
    """What a reader of records met: `ingest.parsers.records.RecordReader` has this shape."""

    bad: int
    bad_offsets: list[int]

    def problems(self) -> tuple[str, ...]:
        """What was wrong, in words for people."""
        ...


class Gathered:
    """Collects facts of one item. `gaps` asks for silences: only of logs that always speak."""

    def __init__(self, *, gaps: bool = False, cap: int = CAP) -> None:
        self._cap = cap
        self.records = 0
        self.clock = Clock()
        self.last_tool: str | None = None
        self._last_tool_at: tuple[int, str] | None = None
        self._silences = Silences() if gaps else None
        self._unread = 0
        self._texts: dict[str, Distinct] = {}
        self._entries: dict[str, Ranked[Any]] = {}
        self._activities: Ranked[tuple[int, int, int]] = Ranked(_joined_activity, cap)
        self._decisions: Counter[str] = Counter()
        self._findings: Ranked[int] = Ranked(_sum, cap)
        self._models: Ranked[tuple[int, int]] = Ranked(_sums, cap)
        self._tools: Ranked[int] = Ranked(_sum, cap)
        self._calls = _Calls()
        self._spans = _Spans()
        self._ids = Ids()
        self._counts: Counter[tuple[str, str]] = Counter()
        self._problems: Distinct = Distinct(cap)

    # Records, times, names.

    def record(self, identity: object = None) -> None:
        """Count a record; the same `identity` twice is a duplicate, counted all the same."""
        self.records += 1
        if isinstance(identity, str):
            self._ids.add(identity)

    def time(
        self, value: object, unit: Unit | None = None, *, order: DayOrder | None = None
    ) -> Time | None:
        """Take a time of a record as one of the item's own; it, or None if it is no time.

        For times that are not the record's own (a token's expiry), call `read_time`.
        """
        time = value if isinstance(value, Time) else read_time(value, unit, order=order)
        if time is None:
            if value not in (None, "", 0, "0"):
                self._unread += 1
            return None
        self.clock.add(time)
        if self._silences is not None and time.zoned:
            self._silences.add(*divmod(time.nanoseconds // NANO, 60))
        return time

    def add(self, name: TextList, *values: object) -> None:
        """Add texts to a list of the facts."""
        for value in values:
            if text := said(value):
                texts = self._texts.get(name)
                if texts is None:
                    texts = self._texts[name] = Distinct(self._cap)
                texts.add(text)

    def activity(self, principal: object, time: Time | None) -> None:
        """A principal acted; without a zoned time only its name is kept."""
        self.add("principals", principal)
        name = said(principal)
        if name and time and time.zoned:
            self._activities.add((name,), (time.nanoseconds, time.nanoseconds, 1))

    def decision(self, decision: str, count: int = 1) -> None:
        """What became of a request, in the words of `verify.facts.DECISIONS`."""
        self._decisions[decision] += count

    def keep(self, *entries: Entry) -> None:
        """Keep entries of the facts as they are; equal ones once. Empty ones are left out.

        Fields may hold whatever the record has: texts are clipped, whole numbers become texts,
        anything else says nothing.
        """
        for entry in entries:
            values = _clean(entry)
            if values is not None:
                name = _LISTS[type(entry)]
                ranked = self._entries.get(name)
                if ranked is None:
                    ranked = self._entries[name] = Ranked(_either, self._cap)
                ranked.add(values, None)

    # Agents: models, spans, tools.

    def model(self, *, requested: object = None, returned: object = None) -> None:
        """A record asks for a model, or names the one that answered."""
        if name := said(requested):
            self._models.add((name,), (1, 0))
        if name := said(returned):
            self._models.add((name,), (0, 1))

    def span(self, trace: object, span: object, parent: object = None) -> None:
        """A span of a trace, with its parent's id if it has one."""
        self.add("traces", trace)
        self._spans.add(str(trace), span, parent)

    def call(self, tool: object, identity: object = None, time: Time | None = None) -> None:
        """A tool was called. Without an id, the tool's next result answers it."""
        name = said(tool) or "(unnamed)"
        self._tools.add((name,), 1)
        self._calls.open(name, said(identity))
        if time is not None:
            at = (time.nanoseconds, name)
            if self._last_tool_at is None or at >= self._last_tool_at:
                self._last_tool_at, self.last_tool = at, name
        elif self._last_tool_at is None:
            self.last_tool = name

    def result(self, identity: object = None, tool: object = None) -> None:
        """A call was answered, by a result or an error; it may come before the call itself."""
        self._calls.close(said(identity), said(tool))

    # Detectors.

    def finding(
        self,
        detector: object,
        label: object,
        *,
        time: Time | None = None,
        disposition: object = None,
        severity: object = None,
        scale: Scale = "words",
        count: int = 1,
    ) -> None:
        """A detector reported something; equal reports of one moment are counted together."""
        given = str(severity) if isinstance(severity, float) else said(severity)
        key = (
            time.text if time else None,
            said(detector) or "(unnamed)",
            said(label) or "(unnamed)",
            said(disposition),
            given,
            normalised(severity, scale),
        )
        self._findings.add(key, count)

    # What is wrong.

    def problem(self, text: str) -> None:
        """Something is wrong with the item, in words for people; said once."""
        self._problems.add(text)

    def count_problem(self, noun: str, what: str, count: int = 1) -> None:
        """Something is wrong with so many things: ('event', 'without a principal')."""
        self._counts[noun, what] += count

    # The facts.

    def facts(self, parser: Parser, form: str | None = None, damage: Damage | None = None) -> Facts:
        """The facts. `form` is the format's name, the parser's own unless given."""
        full: set[str] = set()
        known: dict[str, Any] = {}
        for name, texts in self._texts.items():
            known[name] = texts.sorted()
            if texts.overflowed:
                full.add(name)
        for kind, name in _LISTS.items():
            if name in self._entries:
                known[name] = tuple(kind(*key) for key, _ in self._entries[name].sorted())
        known |= self._counted_lists()
        for name, ranked in (
            *self._entries.items(),
            ("activities", self._activities),
            ("findings", self._findings),
            ("models", self._models),
            ("tools", self._tools),
        ):
            if ranked.overflowed:
                full.add(name)
        if self._silences is not None:
            known["gaps"], more = self._silences.gaps()
            full |= {"gaps"} if more else set()
        if self._calls.overflowed:
            full.add("tools")
        if self._spans.full:
            full.add("spans")
        problems = (*(damage.problems() if damage else ()), *self._told())
        if len(problems) > CAP or self._problems.overflowed:
            full.add("problems")
        return Facts(
            parser.name,
            parser.version,
            form or parser.name,
            records=self.records,
            bad_records=damage.bad if damage else 0,
            bad_offsets=tuple(damage.bad_offsets[:CAP]) if damage else (),
            spans=self._spans.count,
            unresolved_parents=self._spans.unresolved(),
            unfinished_calls=sum(self._calls.unfinished().values()),
            last_tool=self.last_tool,
            problems=problems[:CAP],
            capped=tuple(sorted(full)),
            **self._clock_facts(),
            **known,
        )

    def _clock_facts(self) -> dict[str, Any]:
        known: dict[str, Any] = {
            "clock": self.clock.quality,
            "time_unit": self.clock.unit,
            "precision": self.clock.precision,
        }
        if ends := self.clock.ends():
            first, last = ends
            known |= {"raw_first": clip(first.raw), "raw_last": clip(last.raw)}
            if first.zoned:
                known |= {"first": first.text, "last": last.text}
        return known

    def _counted_lists(self) -> dict[str, Any]:
        unfinished = self._calls.unfinished()
        return {
            "activities": tuple(
                Activity(str(key[0]), rfc3339(first), rfc3339(last), count)
                for key, (first, last, count) in self._activities.sorted()
            ),
            "decisions": tuple(Decision(*item) for item in sorted(self._decisions.items())),
            "findings": tuple(
                Finding(str(detector), str(label), count, at, disposition, given, str(norm))
                for (at, detector, label, disposition, given, norm), count in (
                    self._findings.sorted()
                )
            ),
            "models": tuple(
                Model(str(key[0]), requested, returned, exactness(str(key[0])))
                for key, (requested, returned) in self._models.sorted()
            ),
            "tools": tuple(
                ToolUse(str(key[0]), calls, unfinished[str(key[0])])
                for key, calls in self._tools.sorted()
            ),
        }

    def _told(self) -> tuple[str, ...]:
        counts = self._counts.copy()
        if duplicates := self._ids.duplicates():
            counts["duplicate record", ""] = duplicates
        for what, number in (
            ("that cannot be read", self._unread),
            ("without a zone", self.clock.unzoned),
            ("whose day and month could be swapped", self.clock.ambiguous),
        ):
            if number:
                counts["time", what] = number
        if self._calls.strays():
            counts["tool result", "without a call"] += self._calls.strays()
        told = [
            f"{counted(number, noun)} {what}".rstrip()
            for (noun, what), number in sorted(counts.items())
            if number
        ]
        if self._calls.overflowed:
            told.append("more open tool calls than are followed; which are unfinished is not known")
        if self._spans.full:
            told.append(f"only the first {MOST_SPANS:,} spans were looked through for parents")
        if self._ids.full:
            told.append(f"only the first {MOST_IDS:,} ids were compared for duplicates")
        return (*map(clip, told), *self._problems.sorted())


def _sum(one: int, other: int) -> int:
    return one + other


def _sums(one: tuple[int, int], other: tuple[int, int]) -> tuple[int, int]:
    return one[0] + other[0], one[1] + other[1]


def _either(one: None, other: None) -> None:
    del one, other


def _joined_activity(
    one: tuple[int, int, int], other: tuple[int, int, int]
) -> tuple[int, int, int]:
    return min(one[0], other[0]), max(one[1], other[1]), one[2] + other[2]


def _clean(entry: Entry) -> tuple[Any, ...] | None:
    """The fields of an entry as facts hold them; None if a text that must be there is not."""
    values: list[str | None] = []
    for field in fields(entry):
        value = getattr(entry, field.name)
        if isinstance(value, Time):
            value = value.text
        if (words := field.metadata.get("words")) and value not in words:
            value = "unknown" if "unknown" in words else None
        text = said(value)
        if text is None and field.type != "str | None":
            return None
        values.append(text)
    return tuple(values)


def digest_of(text: str) -> bytes:
    """Eight bytes that stand for a text: enough to tell some millions apart."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()


class Ids:
    """How many ids came twice, from eight bytes of each, in a few bytes apiece."""

    def __init__(self, most: int = MOST_IDS) -> None:
        self._most = most
        # Spread by the first byte, so that counting needs a set of a small part at a time.
        self._digests: dict[int, bytearray] = {}
        self._count = 0
        self.full = False

    def add(self, identifier: str) -> None:
        """Add one id."""
        if self._count >= self._most:
            self.full = True
            return
        self._count += 1
        digest = digest_of(identifier)
        part = self._digests.get(digest[0])
        if part is None:
            self._digests[digest[0]] = bytearray(digest)
        else:
            part += digest

    def duplicates(self) -> int:
        """How many ids had been there before."""
        parts = (memoryview(digests).cast("Q") for digests in self._digests.values())
        return sum(len(part) - len(set(part)) for part in parts)


class _Spans:
    """Which spans there are, and whose parents are not among them."""

    def __init__(self, most: int = MOST_SPANS) -> None:
        self._most = most
        self._known: set[bytes] = set()
        self._parents: dict[bytes, bytes] = {}
        self._unnamed = 0
        self.full = False

    @property
    def count(self) -> int:
        """How many different spans there are."""
        return len(self._known) + self._unnamed

    def add(self, trace: str, span: object, parent: object) -> None:
        """Add a span; ids are texts, in any case."""
        name = said(span)
        if name is None:
            self._unnamed += 1
            return
        own = digest_of(f"{trace}/{name}".lower())
        if own not in self._known:
            if len(self._known) >= self._most:
                self.full = True
                self._unnamed += 1
                return
            self._known.add(own)
        above = said(parent)
        if above is not None and above.strip("0"):  # a parent of zeros is none
            told = digest_of(f"{trace}/{above}".lower())
            # Told twice, with two parents: one of them counts, whichever came first.
            self._parents[own] = min(told, self._parents.get(own, told))

    def unresolved(self) -> int:
        """How many spans have a parent that is not there; 0 if not all spans are known."""
        if self.full:
            return 0
        return sum(parent not in self._known for parent in self._parents.values())


class _Calls:
    """Tool calls and results that still wait for each other, by what they share."""

    def __init__(self, most: int = MOST_OPEN_CALLS) -> None:
        self._most = most
        self._waiting: dict[str, list[str]] = {}
        self._early: Counter[str] = Counter()
        self.overflowed = False

    def open(self, tool: str, identity: str | None) -> None:
        """A call."""
        key = f"tool {tool}" if identity is None else f"id {identity}"
        if self._early[key]:
            self._early[key] -= 1
            if not self._early[key]:
                del self._early[key]
        elif len(self._waiting) >= self._most and key not in self._waiting:
            self.overflowed = True
        else:
            self._waiting.setdefault(key, []).append(tool)

    def close(self, identity: str | None, tool: str | None) -> None:
        """A result."""
        key = f"tool {tool or '(unnamed)'}" if identity is None else f"id {identity}"
        if waiting := self._waiting.get(key):
            waiting.pop(0)
            if not waiting:
                del self._waiting[key]
        elif len(self._early) >= self._most and key not in self._early:
            self.overflowed = True
        else:
            self._early[key] += 1

    def unfinished(self) -> Counter[str]:
        """Calls with neither result nor error, by tool; none are claimed after an overflow."""
        if self.overflowed:
            return Counter()
        return Counter(tool for tools in self._waiting.values() for tool in tools)

    def strays(self) -> int:
        """Results that answer no call."""
        return 0 if self.overflowed else self._early.total()
