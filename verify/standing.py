"""How an incident stands apart from its items: coverage, scope, and whether waivers are live. Pure.

Evidence never defines its own scope: what it names besides the registered scope is told, and what
was never registered is told too. FORMAT.md §15.5, §15.7.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from verify.case import Case, number
from verify.coverage import Interval, gaps, united, within
from verify.instant import format_instant
from verify.profile import Profile
from verify.strictjson import Object
from verify.waiver import Waiver

INTERVALS = 200
OUTSIDE = 200
SHOWN = 20
"""So many exhibits are listed beside a name outside the scope."""


class Standing(StrEnum):
    """Whether a waiver counts."""

    LIVE = "live"
    NOT_YET = "not_yet"
    EXPIRED = "expired"
    REVOKED = "revoked"


def standing_of(waiver: Waiver, moment: datetime) -> Standing:
    """Whether a waiver counts at a moment; what was revoked counts no more, at any later one."""
    if waiver.live_at(moment):
        return Standing.LIVE
    if waiver.revoked_at is not None and waiver.revoked_at <= moment:
        return Standing.REVOKED
    return Standing.NOT_YET if moment < waiver.valid_from else Standing.EXPIRED


def coverage_bars(case: Case, profile: Profile) -> list[Object]:
    """For each system, principal and run of the scope: where evidence speaks, and the gaps."""
    logs = _parameters(profile, "systems_covered")
    traces = _parameters(profile, "silences_short")
    bars = []
    if logs:
        limit = timedelta(seconds=logs["silence_seconds"])
        for system, names in case.by_system(logs["kinds"]).items():
            nothing = [each.interval for each in case.nil_returns(logs["kinds"], system=system)]
            bars.append(_bar(case, "system", system, names, nothing, limit, case.window))
        for principal, names in _by_principal(case, logs["kinds"]).items():
            bars.append(_bar(case, "principal", principal, names, [], limit, case.window))
    if traces:
        limit = timedelta(seconds=traces["silence_seconds"])
        for run in case.incident.scope.get("runs") or []:
            names = case.by_run(traces["kinds"])[run]
            bars.append(_bar(case, "run", run, names, [], limit, None))
    return bars


def _by_principal(case: Case, kinds: Sequence[str]) -> dict[str, list[str]]:
    result: dict[str, list[str]] = {
        each: [] for each in case.incident.scope.get("principals") or []
    }
    if result:
        for name in case.of(kinds):
            facts = case.facts(name)
            named = {*facts.principals, *(each.principal for each in facts.activities)}
            for principal in named & result.keys():
                result[principal].append(name)
    return result


def _bar(
    case: Case,
    what: str,
    name: str,
    exhibits: Sequence[str],
    nothing: Sequence[Interval],
    limit: timedelta,
    window: Interval | None,
) -> Object:
    """One bar: a run speaks from its own first word to its last, all else against the window."""
    words = united([*case.covered(exhibits), *nothing])
    inside = words if window is None else within(words, window)
    silent = gaps(words, longer_than=limit, window=window)
    start, end = window or (words[0][0], words[-1][1]) if words or window else (None, None)
    return {
        "exhibits": list(exhibits[:SHOWN]),
        "exhibits_count": len(exhibits),
        "from": format_instant(start) if start else None,
        "gaps": [_stretch(each) for each in silent[:INTERVALS]],
        "gaps_count": len(silent),
        "intervals": [_stretch(each) for each in inside[:INTERVALS]],
        "intervals_count": len(inside),
        "name": name,
        "to": format_instant(end) if end else None,
        "what": what,
    }


def _stretch(interval: Interval) -> Object:
    start, end = interval
    return {
        "from": format_instant(start),
        "seconds": int((end - start).total_seconds()),
        "to": format_instant(end),
    }


def _parameters(profile: Profile, test: str) -> Mapping[str, Any] | None:
    found = (
        each.parameters for item in profile.items for each in item.conditions if each.test == test
    )
    return next(found, None)


def unregistered(case: Case) -> list[str]:
    """The parts of the scope that nobody stated: what they would ask for cannot be known."""
    scope = case.incident.scope
    return [name for name in ("detectors", "principals", "runs", "sources") if name not in scope]


def outside_scope(case: Case, profile: Profile) -> list[Object]:
    """What evidence names and nobody registered, with where it stands; at most 200."""
    found: dict[tuple[str, str], list[str]] = {}
    incident = case.incident

    def note(what: str, names: Iterable[str], registered: Iterable[str], exhibit: str) -> None:
        for name in set(names) - set(registered):
            found.setdefault((what, name), []).append(exhibit)

    systems = set(incident.systems)
    for name, exhibit in incident.exhibits.items():
        if (
            exhibit.withdrawn is None
            and exhibit.system is not None
            and exhibit.system not in systems
        ):
            found.setdefault(("system", exhibit.system), []).append(name)
    scope = {
        each: set(incident.scope.get(each) or ()) for each in ("principals", "runs", "detectors")
    }
    for name in case.of((_parameters(profile, "principals_seen") or {}).get("kinds", ())):
        note("principal", case.facts(name).principals, scope["principals"], name)
    for name in case.of((_parameters(profile, "runs_covered") or {}).get("kinds", ())):
        if not case.runs_in(name) & scope["runs"]:
            note("run", case.facts(name).runs, scope["runs"], name)
    for name in case.of((_parameters(profile, "detectors_heard") or {}).get("kinds", ())):
        facts = case.facts(name)
        heard = [each.name for each in facts.detectors] + [each.detector for each in facts.findings]
        note("detector", heard, scope["detectors"], name)
    order = ("system", "principal", "run", "detector")
    named = sorted(found, key=lambda key: (order.index(key[0]), key[1]))
    return [
        {
            "exhibits": sorted(found[key], key=number)[:SHOWN],
            "exhibits_count": len(found[key]),
            "name": key[1],
            "what": key[0],
        }
        for key in named[:OUTSIDE]
    ]
