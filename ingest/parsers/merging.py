"""Merging: the facts of many contents as those of one. No I/O.

The result does not depend on the order of the parts. It is exact where nothing was capped, and says
where something was. Offsets are left out, since they count bytes of different contents. What a part
lacks is lacking only if all parts of its format lack it. Silences are those of all access logs
together; nothing else is expected to speak always.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields, replace
from datetime import datetime, timedelta
from typing import Any

from ingest.parsers.parser import Parser, Reading
from ingest.parsers.times import GAP_SECONDS, NANO, read_time, rfc3339
from verify.coverage import silences
from verify.facts import CAP, ENTRIES, PRECISIONS, Facts, Gap

_SUMMED = ("records", "bad_records", "spans", "unresolved_parents", "unfinished_calls")
_NUMBERS = ("calls", "count", "requested", "returned", "unfinished")
_OWN = ("parser", "version", "format", "bad_offsets", "gaps", "not_captured", "capped")


def merge(
    parts: Sequence[Reading], parser: Parser, form: str, *, problems: Iterable[str] = ()
) -> Facts:
    """The facts of all parts as those of one item that `parser` read; `problems` are added."""
    several = [part.facts for part in parts]
    full = {name for facts in several for name in facts.capped}
    known: dict[str, Any] = {name: sum(getattr(f, name) for f in several) for name in _SUMMED}
    known |= _times(several)
    for field in fields(Facts):
        name = field.name
        if name in known or name in _OWN:
            continue
        if name in ENTRIES:
            known[name] = _entries(each for facts in several for each in getattr(facts, name))
        elif name == "problems":
            known[name] = _texts([*problems, *(each for f in several for each in f.problems)])
        elif field.type == "tuple[str, ...]":
            known[name] = _texts(each for facts in several for each in getattr(facts, name))
    known["not_captured"] = _lacking(several)
    known["gaps"] = _gaps([part.facts for part in parts if "access_log" in part.kinds])
    for name, values in known.items():
        if isinstance(values, tuple) and len(values) > CAP:
            full.add(name)
            known[name] = values[:CAP]
    if len(known["gaps"]) == CAP and "gaps" in full:
        known["gaps"] = tuple(sorted(known["gaps"], key=lambda gap: gap.start))
    return Facts(parser.name, parser.version, form, capped=tuple(sorted(full)), **known)


def _times(several: Sequence[Facts]) -> dict[str, Any]:
    clocks = {facts.clock for facts in several} - {"none"}
    units = {facts.time_unit for facts in several} - {None}
    finest = [PRECISIONS.index(facts.precision) for facts in several if facts.precision]
    known: dict[str, Any] = {
        "clock": ("mixed" if len(clocks) > 1 else clocks.pop()) if clocks else "none",
        "time_unit": ("mixed" if len(units) > 1 else units.pop()) if units else None,
        "precision": PRECISIONS[max(finest)] if finest else None,
    }
    zoned = [facts for facts in several if facts.first]
    for name, raw, choose in (("first", "raw_first", min), ("last", "raw_last", max)):
        ends = [(getattr(each, name), getattr(each, raw)) for each in zoned or several]
        moments = [end for end in ends if any(end)]
        if moments:
            known[name], known[raw] = _choose(choose, moments)
    tools = [facts for facts in several if facts.last_tool]
    if tools:
        known["last_tool"] = max((_moment(f.last), f.last_tool or "") for f in tools)[1]
    return known


def _choose(
    choose: Callable[..., Any], ends: Sequence[tuple[str | None, str | None]]
) -> tuple[str | None, str | None]:
    """The earliest or latest of times, each as RFC 3339 and as it was written."""
    chosen: tuple[str | None, str | None] = choose(
        ends, key=lambda end: (_moment(end[0] or end[1]), end[0] or "", end[1] or "")
    )
    return chosen


def _moment(text: str | None) -> int:
    """A time as a number, for comparison only; 0 where it cannot be read."""
    time = read_time(text)
    return time.nanoseconds if time else 0


def _texts(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(texts)))


def _entries(entries: Iterable[Any]) -> tuple[Any, ...]:
    """Equal entries once; those that differ in counts and times only are joined."""
    joined: dict[tuple[Any, ...], Any] = {}
    for entry in entries:
        key = tuple(
            getattr(entry, field.name)
            for field in fields(entry)
            if field.name not in _NUMBERS and not _is_stretch(entry, field.name)
        )
        known = joined.get(key)
        joined[key] = entry if known is None else _join(known, entry)
    return tuple(joined[key] for key in sorted(joined, key=_rank))


def _is_stretch(entry: Any, name: str) -> bool:
    return name in ("first", "last") and hasattr(entry, "principal")


def _join(one: Any, other: Any) -> Any:
    changed: dict[str, Any] = {}
    for field in fields(one):
        name, mine, its = field.name, getattr(one, field.name), getattr(other, field.name)
        if name in _NUMBERS:
            changed[name] = mine + its
        elif _is_stretch(one, name):
            choose = min if name == "first" else max
            changed[name] = choose((mine, its), key=lambda text: (_moment(text), text))
    return replace(one, **changed)


def _rank(key: tuple[Any, ...]) -> tuple[str, ...]:
    return tuple("" if part is None else f"+{part}" for part in key)


def _lacking(several: Sequence[Facts]) -> tuple[str, ...]:
    lacks: dict[str, set[str]] = {}
    for facts in several:
        lacks.setdefault(facts.format, set(facts.not_captured)).intersection_update(
            facts.not_captured
        )
    return tuple(sorted(set().union(*lacks.values())))


def _gaps(logs: Sequence[Facts]) -> tuple[Gap, ...]:
    """The longest silences of all logs together, in order of time."""
    found = silences(logs, longer_than=timedelta(seconds=GAP_SECONDS - 1))
    longest = sorted(found, key=lambda each: (each[0] - each[1], each[0]))[: CAP + 1]
    gaps = [
        Gap(_whole(start), _whole(end), int((end - start).total_seconds()))
        for start, end in longest
        if (end - start).total_seconds() >= GAP_SECONDS
    ]
    return tuple(gaps if len(gaps) > CAP else sorted(gaps, key=lambda gap: gap.start))


def _whole(moment: datetime) -> str:
    return rfc3339(int(moment.timestamp()) * NANO)
