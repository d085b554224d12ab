"""Completeness: which evidence is there, what is missing, and what would close the gap. No I/O.

    report = f(profile, chain prefix up to head H, descriptions, as-of T)

The same inputs give the same bytes. Facts are taken as the vault's signed claims. A profile is
strict JSON over a closed vocabulary of tests (`_TESTS`): there is no code in profiles. An item is

    contradicted   if a condition found a conflict,
    satisfied      if all conditions pass,
    partial        if something passes,
    missing        if nothing does.

Unknown counts as not passed. Timeliness and integrity are axes of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from verify import strictjson
from verify.coverage import extent, silences
from verify.description import Description
from verify.digest import sha256_hex
from verify.errors import MalformedError, UnsupportedError
from verify.incident import Exhibit, Incident
from verify.instant import format_instant
from verify.response import Role
from verify.statement import Assessment, check_kind
from verify.strictjson import Fields, Object

ENGINE = 1
"""Raised whenever the same inputs give other bytes."""


class State(StrEnum):
    """What an item of the checklist has come to."""

    SATISFIED = "satisfied"
    PARTIAL = "partial"
    MISSING = "missing"
    WAIVED = "waived"
    NOT_APPLICABLE = "not_applicable"
    CONTRADICTED = "contradicted"


class Answer(StrEnum):
    """What a condition has come to."""

    PASS = "pass"  # noqa: S105 — an outcome, not a password
    FAIL = "fail"
    UNKNOWN = "unknown"
    CONFLICT = "conflict"


class Timeliness(StrEnum):
    """Whether a deadline was kept; a claim alone does not prove it."""

    ON_TIME = "on_time"
    LATE = "late"
    UNPROVEN = "unproven"


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition of a profile: a test of the closed vocabulary and its parameters."""

    id: str
    test: str
    parameters: Mapping[str, Any]
    missing: str
    next: tuple[str, ...]
    vanishes: int


@dataclass(frozen=True, slots=True)
class Requirement:
    """One item of a profile."""

    id: str
    title: str
    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Limit:
    """A clock of a profile: how many seconds an event may come after another."""

    id: str
    title: str
    after: str
    event: str
    seconds: int


@dataclass(frozen=True, slots=True)
class Profile:
    """A compiled checklist profile."""

    name: str
    version: int
    clocks: tuple[Limit, ...]
    evidence: tuple[Requirement, ...]
    data: bytes

    @property
    def sha256(self) -> str:
        """Digest of the profile's canonical JSON: what reports name it by."""
        return sha256_hex(self.data)


@dataclass(frozen=True, slots=True)
class Result:
    """What a test found: answer, reason in a few words, exhibits it rests on, systems it misses."""

    answer: Answer
    detail: str = ""
    exhibits: tuple[str, ...] = ()
    systems: tuple[str, ...] = ()


@dataclass(slots=True)
class _Case:
    """What the tests look at: the incident, its live exhibits, their facts."""

    incident: Incident
    descriptions: Mapping[str, Description]
    as_of: datetime
    by_kind: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, exhibit in self.incident.exhibits.items():
            if exhibit.withdrawn is None:
                for kind in exhibit.kinds:
                    self.by_kind.setdefault(kind, []).append(name)

    def of(self, parameters: Mapping[str, Any]) -> list[str]:
        """Live exhibits of the condition's kinds, in order."""
        names = {name for kind in parameters["kinds"] for name in self.by_kind.get(kind, ())}
        return sorted(names, key=lambda name: (len(name), name))

    def exhibit(self, name: str) -> Exhibit:
        return self.incident.exhibits[name]


def parse_profile(data: bytes, *, where: str = "profile") -> Profile:
    """Read a compiled profile strictly. Raises `MalformedError`, `UnsupportedError`."""
    value = strictjson.load_object(data, where=where, limit=1 << 20)
    reader = Fields(value, where)
    if reader.entries("duties"):
        raise UnsupportedError(f"{where}.duties: this engine knows no duties yet")
    profile = Profile(
        name=reader.text("name", limit=100),
        version=reader.count("version"),
        clocks=tuple(_limit(Fields(each, f"{where}.clocks")) for each in reader.entries("clocks")),
        evidence=tuple(
            _requirement(Fields(each, f"{where}.evidence")) for each in reader.entries("evidence")
        ),
        data=strictjson.dumps(value),
    )
    reader.done()
    ids = [item.id for item in profile.evidence]
    if len(set(ids)) != len(ids):
        raise MalformedError(f"{where}.evidence: two items have one id")
    return profile


def assess(
    profile: Profile,
    incident: Incident,
    descriptions: Mapping[str, Description],
    *,
    as_of: datetime,
) -> Object:
    """The completeness report of a folded chain prefix, as of a time, as a JSON object."""
    case = _Case(incident, descriptions, as_of)
    items = [_assess_item(case, item) for item in profile.evidence]
    states = [item["state"] for item in items]
    start, end = incident.window(as_of=as_of)
    return {
        "as_of": format_instant(as_of),
        "clocks": [_clock(incident, limit) for limit in profile.clocks],
        "counts": {
            "evidence": {
                "of": len(items),
                **{state.value: states.count(state.value) for state in State},
            }
        },
        "duties": [],
        "engine": ENGINE,
        "evidence": items,
        "head": {"leaf_hash": incident.leaf, "sequence": incident.sequence},
        "incident": {
            "declared_at": incident.fields["declared_at"],
            "detected_at": incident.fields["detected_at"],
            "id": incident.id,
            "severity": incident.fields["severity"],
            "systems": incident.systems,
            "tier": incident.tier,
            "tier_stated": incident.fields["tier"],
            "title": incident.title,
        },
        "next": _next(items),
        "profile": {
            "name": profile.name,
            "sha256": profile.sha256,
            "version": profile.version,
        },
        "stamps": [],
        "verdict": _verdict(states),
        "version": 1,
        "window": {"from": format_instant(start), "to": format_instant(end)},
    }


def encode_report(report: Object) -> bytes:
    """The bytes that are sealed (RFC 8785)."""
    return strictjson.dumps(report)


def check_recomputed(assessment: Assessment, sealed: bytes, recomputed: Object) -> tuple[bool, str]:
    """Hold a recomputed report against a sealed one: whether they agree, and why in words.

    Raises `UnsupportedError` if another engine version made the sealed one.
    """
    engine = strictjson.load_object(sealed, where="sealed report").get("engine")
    if engine != ENGINE:
        raise UnsupportedError(f"made by engine {engine}, this is engine {ENGINE}: superseded")
    if encode_report(recomputed) == sealed:
        if not _states(assessment, recomputed):
            return False, "the assessment states another result than its report"
        return True, (
            f"the report over links 0-{assessment.head_sequence} recomputes to the same bytes; "
            "facts are signed, not recomputed"
        )
    return False, "the report recomputes to other bytes than were sealed"


def _states(assessment: Assessment, report: Object) -> bool:
    """Whether an assessment says in its own fields what its report says."""
    counts, profile = report["counts"]["evidence"], report["profile"]
    return (
        assessment.verdict,
        assessment.satisfied,
        assessment.of,
        assessment.profile_name,
        assessment.profile_version,
    ) == (report["verdict"], counts["satisfied"], counts["of"], profile["name"], profile["version"])


def timeliness(*, claimed: datetime, recorded: datetime, deadline: datetime) -> Timeliness:
    """An event lies between its claimed time and the vault's record of it; inclusive."""
    if claimed > deadline:
        return Timeliness.LATE
    return Timeliness.ON_TIME if recorded <= deadline else Timeliness.UNPROVEN


def _assess_item(case: _Case, item: Requirement) -> Object:
    results = [(each, _TESTS[each.test](case, each)) for each in item.conditions]
    answers = [result.answer for _, result in results]
    if Answer.CONFLICT in answers:
        state = State.CONTRADICTED
    elif all(answer == Answer.PASS for answer in answers):
        state = State.SATISFIED
    elif Answer.PASS in answers:
        state = State.PARTIAL
    else:
        state = State.MISSING
    exhibits = sorted(
        {name for _, result in results for name in result.exhibits},
        key=lambda name: (len(name), name),
    )
    reasons = [result.detail for _, result in results if result.answer != Answer.PASS]
    return {
        "conditions": [
            {
                "answer": result.answer.value,
                "detail": result.detail,
                "exhibits": list(result.exhibits),
                "id": f"{item.id}.{condition.id}",
            }
            for condition, result in results
        ],
        "exhibits": exhibits,
        "id": item.id,
        # Bytes were hashed on receipt and are signed; damage is told by statements that come later.
        "integrity": "verified" if exhibits else None,
        "next": [
            step
            for condition, result in results
            if result.answer != Answer.PASS
            for step in _steps(case.incident, condition, result)
        ],
        "reason": "; ".join(reason for reason in reasons if reason),
        "state": state.value,
        "timeliness": None,
        "title": item.title,
    }


def _steps(incident: Incident, condition: Condition, result: Result) -> list[Object]:
    """The commands that would help, with what each stands for."""
    if not condition.next:
        return []
    systems = result.systems if "{system}" in condition.next else ("",)
    return [
        {
            "command": [
                word.replace("{incident}", incident.id).replace("{system}", system)
                for word in condition.next
            ],
            "vanishes": condition.vanishes,
        }
        for system in systems
    ]


def _next(items: Sequence[Object]) -> list[Object]:
    """All steps, what vanishes first coming first, none twice."""
    steps = [{"item": item["id"], **step} for item in items for step in item["next"]]
    steps.sort(key=lambda step: step["vanishes"])
    seen: list[list[str]] = []
    result = []
    for step in steps:
        if step["command"] not in seen:
            seen.append(step["command"])
            result.append(step)
    return result


def _verdict(states: Sequence[str]) -> str:
    if State.CONTRADICTED in states:
        return "contradicted"
    if not set(states) <= {State.SATISFIED, State.WAIVED, State.NOT_APPLICABLE}:
        return "incomplete"
    return "complete_with_waivers" if State.WAIVED in states else "complete"


def _clock(incident: Incident, limit: Limit) -> Object:
    start, claimed = incident.detected_at, incident.declared_at
    recorded = incident.declared_recorded_at or claimed
    deadline = start + timedelta(seconds=limit.seconds)
    return {
        "after": format_instant(start),
        "at": format_instant(claimed),
        "id": limit.id,
        "limit_seconds": limit.seconds,
        "recorded_at": format_instant(recorded),
        "seconds": int((claimed - start).total_seconds()),
        "timeliness": timeliness(claimed=claimed, recorded=recorded, deadline=deadline).value,
        "title": limit.title,
    }


def _field_stated(case: _Case, condition: Condition) -> Result:
    value = case.incident.fields[condition.parameters["field"]]
    if value in ("unknown", [], ""):
        return Result(Answer.UNKNOWN, condition.missing)
    return Result(Answer.PASS)


def _kind_present(case: _Case, condition: Condition) -> Result:
    names = case.of(condition.parameters)
    if not names:
        return Result(Answer.FAIL, condition.missing)
    return Result(Answer.PASS, "", tuple(names))


def _role_held(case: _Case, condition: Condition) -> Result:
    if case.incident.holder(Role(condition.parameters["role"])) is None:
        return Result(Answer.FAIL, condition.missing)
    return Result(Answer.PASS)


def _detected_before_declared(case: _Case, _condition: Condition) -> Result:
    if case.incident.detected_at > case.incident.declared_at:
        return Result(Answer.CONFLICT, "declared before it was detected")
    return Result(Answer.PASS)


def _detection_confirmed(case: _Case, condition: Condition) -> Result:
    detected = case.incident.detected_at
    tolerance = timedelta(seconds=condition.parameters["tolerance_seconds"])
    confirming, earlier = [], []
    for name in case.of(condition.parameters):
        facts = case.descriptions[name].facts
        for finding in facts.findings:
            if finding.at is None:
                continue
            moment = datetime.fromisoformat(finding.at)
            if abs(moment - detected) <= tolerance:
                confirming.append(name)
            elif moment < detected:
                earlier.append(name)
    if earlier:
        return Result(
            Answer.CONFLICT,
            f"{_names(earlier)} fired before the stated detection",
            tuple(dict.fromkeys(earlier)),
        )
    if confirming:
        return Result(Answer.PASS, "", tuple(dict.fromkeys(confirming)))
    return Result(Answer.UNKNOWN, f"nothing confirms {_clock_time(detected)}")


def _times_present(case: _Case, condition: Condition) -> Result:
    names = case.of(condition.parameters)
    timed = [name for name in names if case.descriptions[name].facts.clock == "zoned"]
    if not names or not timed:
        return Result(Answer.FAIL, condition.missing if names else "")
    if len(timed) < len(names):
        without = [name for name in names if name not in timed]
        return Result(Answer.FAIL, f"no times in {_names(without)}", tuple(without))
    return Result(Answer.PASS, "", tuple(timed))


def _models_confirmed(case: _Case, condition: Condition) -> Result:
    names = case.of(condition.parameters)
    if not names:
        return Result(Answer.FAIL)
    facts = [case.descriptions[name].facts for name in names]
    if any(each.models_returned for each in facts):
        return Result(Answer.PASS, "", tuple(names))
    if any(each.models_requested for each in facts):
        return Result(Answer.FAIL, "model named, not confirmed", tuple(names))
    return Result(Answer.FAIL, "no model named", tuple(names))


def _calls_finished(case: _Case, condition: Condition) -> Result:
    names = case.of(condition.parameters)
    if not names:
        return Result(Answer.UNKNOWN)
    open_calls = {
        name: sum(tool.unfinished for tool in case.descriptions[name].facts.tools) for name in names
    }
    unfinished = [name for name, count in open_calls.items() if count]
    if unfinished:
        count = sum(open_calls.values())
        return Result(
            Answer.FAIL,
            f"{count} tool calls without result in {_names(unfinished)}",
            tuple(unfinished),
        )
    return Result(Answer.PASS, "", tuple(names))


def _snapshots(case: _Case, condition: Condition) -> Result:
    names = case.of(condition.parameters)
    if not names:
        return Result(Answer.FAIL, "no snapshot")
    if len(names) < condition.parameters["needed"]:
        return Result(Answer.FAIL, "one snapshot only", tuple(names))
    return Result(Answer.PASS, "", tuple(names))


def _runs_covered(case: _Case, condition: Condition) -> Result:
    registered = case.incident.scope.get("runs") or []
    names = case.of(condition.parameters)
    if not registered:
        return Result(Answer.UNKNOWN, "no run registered" if names else "")
    found = {run for name in names for run in case.descriptions[name].facts.runs}
    absent = [run for run in registered if run not in found]
    if absent:
        return Result(Answer.FAIL, f"no trace of run {', '.join(absent[:3])}", tuple(names))
    return Result(Answer.PASS, "", tuple(names))


def _systems_covered(case: _Case, condition: Condition) -> Result:
    """Every registered system has a log over the window, without a long silence."""
    names = case.of(condition.parameters)
    details, lacking, cited = [], [], []
    for system in case.incident.systems:
        logs = [name for name in names if _speaks_of(case, name, system)]
        cited += logs
        problems = _log_problems(case, logs, condition.parameters["silence_seconds"])
        if problems:
            details.append(f"{system}: {', '.join(problems)}")
            lacking.append(system)
    if lacking:
        return Result(Answer.FAIL, "; ".join(details), tuple(dict.fromkeys(cited)), tuple(lacking))
    return Result(Answer.PASS, "", tuple(dict.fromkeys(cited)))


def _speaks_of(case: _Case, name: str, system: str) -> bool:
    stated = case.exhibit(name).system
    if stated is not None:
        return stated == system
    return system in case.descriptions[name].facts.platforms


def _log_problems(case: _Case, logs: Sequence[str], silence_seconds: int) -> list[str]:
    if not logs:
        return ["none"]
    facts = [case.descriptions[name].facts for name in logs]
    problems = []
    if all(any("data events" in lack for lack in each.not_captured) for each in facts):
        problems.append("no data events")
    covered = extent(facts)
    if covered is None:
        return [*problems, "no times"]
    start, end = case.incident.window(as_of=case.as_of)
    if covered[0] > start or covered[1] < end:
        problems.append("part of the window")
    count = len(silences(facts, longer_than=timedelta(seconds=silence_seconds)))
    if count:
        problems.append(f"{count} silence{'s' if count > 1 else ''}")
    return problems


def _findings_timed(case: _Case, condition: Condition) -> Result:
    names = case.of(condition.parameters)
    untimed = {
        name: sum(each.count for each in case.descriptions[name].facts.findings if each.at is None)
        for name in names
    }
    details = [f"{name}: {count} hits without time" for name, count in untimed.items() if count]
    if details:
        return Result(Answer.FAIL, "; ".join(details), tuple(n for n, c in untimed.items() if c))
    if not any(case.descriptions[name].facts.findings for name in names):
        return Result(Answer.UNKNOWN, "no finding was read from the alerts" if names else "")
    return Result(Answer.PASS, "", tuple(names))


def _detectors_reported(case: _Case, condition: Condition) -> Result:
    registered = case.incident.scope.get("detectors") or []
    names = case.of(condition.parameters)
    if not registered:
        return Result(Answer.UNKNOWN, "no detector registered" if names else "")
    heard = {
        finding.detector for name in names for finding in case.descriptions[name].facts.findings
    }
    silent = [detector for detector in registered if detector not in heard]
    if silent:
        return Result(Answer.FAIL, f"nothing from {', '.join(silent[:3])}", tuple(names))
    return Result(Answer.PASS, "", tuple(names))


def _names(names: Sequence[str]) -> str:
    unique = list(dict.fromkeys(names))
    shown = ", ".join(unique[:3])
    return shown if len(unique) <= 3 else f"{shown} and {len(unique) - 3} more"


def _clock_time(moment: datetime) -> str:
    return moment.strftime("%H:%M:%SZ" if moment.second else "%H:%MZ")


_Test = Callable[[_Case, Condition], Result]

_TESTS: dict[str, _Test] = {
    "calls_finished": _calls_finished,
    "detected_before_declared": _detected_before_declared,
    "detection_confirmed": _detection_confirmed,
    "detectors_reported": _detectors_reported,
    "field_stated": _field_stated,
    "findings_timed": _findings_timed,
    "kind_present": _kind_present,
    "models_confirmed": _models_confirmed,
    "role_held": _role_held,
    "runs_covered": _runs_covered,
    "snapshots": _snapshots,
    "systems_covered": _systems_covered,
    "times_present": _times_present,
}

_PARAMETERS: dict[str, tuple[str, ...]] = {
    "calls_finished": ("kinds",),
    "detected_before_declared": (),
    "detection_confirmed": ("kinds", "tolerance_seconds"),
    "detectors_reported": ("kinds",),
    "field_stated": ("field",),
    "findings_timed": ("kinds",),
    "kind_present": ("kinds",),
    "models_confirmed": ("kinds",),
    "role_held": ("role",),
    "runs_covered": ("kinds",),
    "snapshots": ("kinds", "needed"),
    "systems_covered": ("kinds", "silence_seconds"),
    "times_present": ("kinds",),
}


def _requirement(reader: Fields) -> Requirement:
    item = Requirement(
        reader.text("id", limit=20),
        reader.text("title", limit=200),
        tuple(
            _condition(Fields(each, f"{reader.where}.conditions"))
            for each in reader.entries("conditions", limit=100)
        ),
    )
    reader.done()
    if not item.conditions:
        raise MalformedError(f"{reader.where} {item.id}: an item has at least one condition")
    return item


def _condition(reader: Fields) -> Condition:
    test = reader.text("test", limit=100)
    if test not in _TESTS:
        raise MalformedError(
            f"{reader.where}: there is no test {test!r}; known: {', '.join(sorted(_TESTS))}"
        )
    parameters: dict[str, Any] = {}
    for name in _PARAMETERS[test]:
        if name == "kinds":
            parameters[name] = tuple(check_kind(kind) for kind in reader.texts(name, limit=20))
        elif name in ("field", "role"):
            parameters[name] = reader.text(name, limit=100)
        else:
            parameters[name] = reader.count(name)
    if parameters.get("field", "severity") not in ("severity", "systems", "tier", "trigger"):
        raise MalformedError(f"{reader.where}: {parameters['field']!r} is no field of an incident")
    if parameters.get("role", Role.COMMS_LEAD) not in set(Role):
        raise MalformedError(f"{reader.where}: {parameters['role']!r} is no role")
    condition = Condition(
        id=reader.text("id", limit=100),
        test=test,
        parameters=parameters,
        missing=reader.text("missing", limit=200) if reader.has("missing") else "",
        next=tuple(reader.texts("next", limit=40)) if reader.has("next") else (),
        vanishes=reader.count("vanishes") if reader.has("vanishes") else 99,
    )
    reader.done()
    return condition


def _limit(reader: Fields) -> Limit:
    limit = Limit(
        reader.text("id", limit=100),
        reader.text("title", limit=200),
        reader.text("after", limit=100),
        reader.text("event", limit=100),
        reader.count("limit_seconds"),
    )
    reader.done()
    if (limit.after, limit.event) != ("detected_at", "declared_at"):
        raise UnsupportedError(f"{reader.where}: this engine times the declaration only")
    return limit
