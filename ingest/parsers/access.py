"""What the parsers of access logs share: recognising, datasets, decisions, the summary. No I/O."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from typing import Any

from ingest.parsers.bounded import Distinct, counted
from ingest.parsers.parser import Confidence
from ingest.parsers.records import RecordReader, shape_of
from verify.facts import CAP, Facts

_FIRST_RECORDS = 4


def recognised(
    head: bytes,
    marks: re.Pattern[bytes],
    enough: int,
    is_record: Callable[[Any], bool],
    keys: tuple[str, ...] = (),
) -> Confidence:
    """How sure it is that the head holds JSON records of a format.

    `marks` finds the format's own keys as its first group; fewer than `enough` different ones, and
    nothing more is looked at. Certain where one of the first records is one; likely where the keys
    are there but no record can be read that far, being long or damaged.
    """
    if len({match[1] for match in marks.finditer(head)}) < enough:
        return Confidence.NONE
    if shape_of(head, keys=keys) is None:
        return Confidence.NONE
    reader = RecordReader.of_any_shape(io.BytesIO(head), keys=keys, resumes_at=is_record)
    first = [value for _, value in islice(reader, _FIRST_RECORDS)]
    if any(is_record(value) for value in first):
        return Confidence.CERTAIN
    return Confidence.NONE if first else Confidence.LIKELY


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
