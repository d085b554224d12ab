"""What parsers of access logs share: many records in little time, datasets, the summary. No I/O.

Logs hold millions of records in which times, principals and calls come again and again. `Requests`
looks at each of these once; what it gives is what `Gathered` would.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ingest.parsers.bounded import Distinct, counted, said
from ingest.parsers.gathering import MOST_IDS, Damage, Gathered, Ids
from ingest.parsers.parser import Confidence, Parser
from ingest.parsers.reach import first_records, has_marks, surest
from ingest.parsers.records import shape_of
from ingest.parsers.times import NANO, Time
from verify.facts import CAP, PRECISIONS, Facts

MOST_KNOWN = 10_000
"""How many different calls, minutes or principals are remembered before they are added up."""

_FIRST_RECORDS = 4
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_UUIDS = re.compile(rf"(?:{_UUID.pattern})*")
_SECONDS = {f"{second:02d}Z": second * NANO for second in range(60)}
_BITS = {second * NANO: 1 << second for second in range(60)}
_TO_THE_MINUTE = len("2026-01-31T09:30:")
_NEVER = 1 << 80


class Actor:
    """A principal, and when it acted, in nanoseconds since 1970."""

    __slots__ = ("count", "first", "last", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.first = _NEVER
        self.last = -_NEVER
        self.count = 0


class Identities:
    """How many ids came twice. UUIDs, which most are, are kept as they are, others as a hash."""

    def __init__(self, most: int = MOST_IDS) -> None:
        self._most = most
        self._fresh: list[str] = []
        self._uuids = bytearray()
        self._count = 0
        self._others = Ids(most)

    def add(self, identity: str) -> None:
        """Add one id."""
        self._fresh.append(identity)
        if len(self._fresh) >= 1000:
            self._pack()

    def _pack(self) -> None:
        fresh = self._fresh[: max(self._most - self._count, 0)]
        self._count += len(self._fresh)
        self._fresh.clear()
        text = "".join(fresh)
        if set(map(len, fresh)) != {36} or not _UUIDS.fullmatch(text):
            for each in fresh:
                if not _UUID.fullmatch(each):
                    self._others.add(each)
            text = "".join(each for each in fresh if _UUID.fullmatch(each))
        self._uuids += bytes.fromhex(text.replace("-", ""))

    @property
    def full(self) -> bool:
        """Whether there were more than are remembered."""
        return self._count + len(self._fresh) > self._most

    def duplicates(self) -> int:
        """How many ids had been there before."""
        self._pack()
        words = memoryview(self._uuids).cast("Q")
        highs, lows = words[::2], words[1::2]
        # Where either half never comes again, no id does. A set of all would take a hundred bytes
        # for each, so that one part at a time is looked at.
        parts = range(len(highs) // 500_000 + 1)
        number = len(parts)
        for half in (highs, lows):
            different = sum(len({each for each in half if each % number == p}) for p in parts)
            if different == len(half):
                return self._others.duplicates()
        different = sum(
            len({pair for pair in zip(highs, lows, strict=True) if pair[0] % number == p})
            for p in parts
        )
        return len(highs) - different + self._others.duplicates()


class Requests(Gathered):
    """Gathered, for logs of very many records. `facts` closes it."""

    def __init__(self, *, gaps: bool = False) -> None:
        super().__init__(gaps=gaps)
        self._identities = Identities()
        self._gaps = gaps
        self._minutes: dict[str, int] = {}  # 2026-01-31T09:30: and its nanoseconds since 1970
        self._spoken: dict[int, int] = {}  # a minute, and a bit for each second that has records
        self._actors: dict[str, Actor] = {}
        self._first = _NEVER
        self._last = -_NEVER
        self._raw_first = self._raw_last = ""
        self._digits = 0

    def record(self, identity: object = None) -> None:
        """Count a record; the same `identity` twice is a duplicate, counted all the same."""
        self.records += 1
        if isinstance(identity, str):
            self._identities.add(identity)

    def actor(self, name: object) -> Actor | None:
        """The principal of that name; until the next `add_up`."""
        text = said(name)
        if text is None:
            return None
        actor = self._actors.get(text)
        if actor is None:
            actor = self._actors[text] = Actor(text)
            self.add("principals", text)
        return actor

    def happened(self, when: object, actor: Actor | None = None) -> None:
        """A record has this time, and a principal acted then."""
        text = when if isinstance(when, str) else ""
        minute = self._minutes.get(text[:_TO_THE_MINUTE])
        tail = text[_TO_THE_MINUTE:]
        second = _SECONDS.get(tail)
        more = 0
        if second is None and minute is not None and (parts := _fraction(tail)) is not None:
            second, more, digits = parts
            self._digits = max(self._digits, digits)
        if minute is None or second is None:
            moment = self._slowly(when)
            if moment is None:
                return
        else:
            moment = minute + second + more
            if self._gaps:
                self._spoken[minute] = self._spoken.get(minute, 0) | _BITS[second]
            # Of times that are equal the text decides, so that their order does not.
            if moment >= self._last and (moment > self._last or text > self._raw_last):
                self._last, self._raw_last = moment, text
            if moment <= self._first and (moment < self._first or text < self._raw_first):
                self._first, self._raw_first = moment, text
        if actor is not None:
            actor.count += 1
            if moment < actor.first:  # noqa: PLR1730
                actor.first = moment
            if moment > actor.last:  # noqa: PLR1730
                actor.last = moment

    def acted(self, actor: Actor | None, time: Time | None) -> None:
        """A principal acted, at a time that was taken already."""
        if actor is not None and time is not None and time.zoned:
            actor.count += 1
            actor.first = min(actor.first, time.nanoseconds)
            actor.last = max(actor.last, time.nanoseconds)

    def _slowly(self, when: object) -> int | None:
        time = self.time(when)
        if time is None or not time.zoned:
            return None
        raw = time.raw
        ordinary = len(raw) > _TO_THE_MINUTE and raw[-1] == "Z" and raw[4] == "-"
        if ordinary and raw == when and raw[_TO_THE_MINUTE:][:2] != "60":  # the next minute's first
            if len(self._minutes) >= MOST_KNOWN:
                self._minutes.clear()
                self._end_silences()
            self._minutes[raw[:_TO_THE_MINUTE]] = time.nanoseconds // NANO // 60 * 60 * NANO
        return time.nanoseconds

    def _end_silences(self) -> None:
        if self._silences is not None:
            for minute, seconds in self._spoken.items():
                number = minute // NANO // 60
                self._silences.add(number, (seconds & -seconds).bit_length() - 1)
                self._silences.add(number, seconds.bit_length() - 1)
        self._spoken.clear()

    def add_up(self) -> None:
        """Forget the actors, what they did being added up."""
        for actor in self._actors.values():
            if actor.count:
                self._activities.add((actor.name,), (actor.first, actor.last, actor.count))
        self._actors.clear()

    def facts(self, parser: Parser, form: str | None = None, damage: Damage | None = None) -> Facts:
        """The facts."""
        self.add_up()
        self._end_silences()
        self._ids.full = self._identities.full
        if duplicates := self._identities.duplicates():
            self.count_problem("duplicate record", "", duplicates)
        self._identities = Identities()
        if self._raw_first:
            precision = PRECISIONS[PRECISIONS.index("s") + (self._digits + 2) // 3]
            for moment, raw in ((self._first, self._raw_first), (self._last, self._raw_last)):
                self.clock.add(Time(moment, True, "text", precision, raw))
        return super().facts(parser, form, damage)


def _fraction(tail: str) -> tuple[int, int, int] | None:
    """The second of `34.867116Z` and the rest, in nanoseconds, and how many digits the rest has."""
    digits = tail[3:-1]
    if tail[2:3] != "." or tail[-1:] != "Z" or not tail.isascii() or not 0 < len(digits) < 10:
        return None
    if not digits.isdecimal() or not tail[:2].isdecimal() or tail[0] > "5":
        return None
    return int(tail[:2]) * NANO, int(digits.ljust(9, "0")), len(digits)


def recognised(
    head: bytes,
    marks: re.Pattern[bytes],
    enough: int,
    is_record: Callable[[Any], bool],
    keys: tuple[str, ...] = (),
    own: re.Pattern[bytes] | None = None,
) -> Confidence:
    """How sure it is that the head holds JSON records of a format.

    `marks` finds keys of its records as its first group; fewer than `enough` different ones, and
    nothing more is looked at. Certain where one of the first records is one; likely where the keys
    are there but no record can be read that far, being long or damaged. What all formats have, a
    time or a category, must not be enough for that: such keys need `own`, found beside them.
    """
    if own is not None and not own.search(head):
        return Confidence.NONE
    if not has_marks(head, marks, enough):
        return Confidence.NONE
    if shape_of(head, keys=keys) is None:
        return Confidence.NONE
    return surest(
        first_records(head, keys=keys, resumes_at=is_record, most=_FIRST_RECORDS), is_record
    )


def marked(*keys: str) -> re.Pattern[bytes]:
    """What finds these JSON keys, also where their object lies in a text of another one."""
    return re.compile(rb'"(' + b"|".join(re.escape(key.encode()) for key in keys) + rb')\\?"\s*:')


class Datasets:
    """Datasets, some with parts (a bucket and its keys): whole ones are kept before parts."""

    def __init__(self, cap: int = CAP) -> None:
        self._cap = cap
        self._whole = Distinct(cap)
        self._parts = Distinct(cap)

    def add(self, name: str, part: object = None) -> None:
        """Add a dataset, and a part of it, if there is one."""
        self._whole.add(name)
        if isinstance(part, str) and part:
            self._parts.add(f"{name}/{part}")

    def into(self, facts: Facts) -> Facts:
        """The facts with these datasets."""
        whole, parts = self._whole.sorted(), self._parts.sorted()
        room = self._cap - len(whole)
        full = self._whole.overflowed or self._parts.overflowed or len(parts) > room
        capped = {*facts.capped, "datasets"} if full else facts.capped
        datasets = tuple(sorted({*whole, *parts[:room]}))
        return replace(facts, datasets=datasets, capped=tuple(sorted(capped)))


def of_status(code: int | None) -> str:
    """What an HTTP status says became of a request, in the words of `verify.facts.DECISIONS`."""
    if code is None or not 100 <= code < 600:
        return "unknown"
    if code in (401, 403, 407):
        return "denied"
    return "allowed" if code < 400 else "failed"


def summary(facts: Facts, noun: str, *more: str) -> str:
    """One short line: how many records by how many principals, when, and what was refused."""
    if not facts.records:
        return f"no {noun}s"
    parts = [counted(facts.records, noun), _principals(facts), _when(facts), *more]
    denied = sum(each.count for each in facts.decisions if each.decision == "denied")
    if denied:
        parts.append(f"{denied:,} denied")
    return ", ".join(part for part in parts if part)


def _principals(facts: Facts) -> str:
    if "principals" in facts.capped:
        return f"more than {CAP} principals"
    return counted(len(facts.principals), "principal") if facts.principals else "no principals"


def _when(facts: Facts) -> str:
    first, last = facts.first, facts.last
    if first is None or last is None:
        if facts.raw_first is None:
            return "no times"
        ends = (facts.raw_first, facts.raw_last)
        return f"{' to '.join(dict.fromkeys(str(each) for each in ends))} without a zone"
    if first == last:
        return first[11:]
    return f"{first[11:]}-{last[11:]}" if first[:10] == last[:10] else f"{first} to {last}"
