"""Checks across evidence: what one record says and another denies. Pure; one function each.

A check passes if it compared and found nothing; it is unknown if there was nothing to compare,
which takes nothing away. What it calls a conflict must follow from the records alone: where lists
were cut, or clocks have no zone, it does not judge. FORMAT.md §15.3.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from verify.approval import same_person
from verify.attestation import AttestationType
from verify.case import (
    Action,
    Case,
    Result,
    Side,
    Test,
    conflict,
    instant,
    link,
    moment_of,
    passed,
    records,
    same_version,
    text_of,
    texts_of,
    told,
    unknown,
)
from verify.facts import Facts
from verify.response import Containment, Phase, Role
from verify.statement import Kind

Parameters = Mapping[str, Any]

_SEVERITIES = {"critical": "sev1", "high": "sev2", "medium": "sev3", "low": "sev4"}
"""What a source's word on the scale of facts stands for; `info` and `unknown` for nothing."""

_TRUE = frozenset({"true_positive", "truepositive", "confirmed"})
_FALSE = frozenset({"false_positive", "falsepositive", "benign"})

DECLARATION = link(0)


# -- detection and severity ------------------------------------------------------------------------


def detected_before_declared(case: Case, _parameters: Parameters, _missing: str) -> Result:
    """It was not declared before it was detected."""
    detected, declared = case.incident.detected_at, case.incident.declared_at
    if detected <= declared:
        return passed()
    return conflict(
        "declared before it was detected",
        [
            Side(DECLARATION, "declared", (declared,)),
            Side(_last(case, "detected_at"), "detected", (detected,)),
        ],
    )


def alert_before_detection(case: Case, parameters: Parameters, _missing: str) -> Result:
    """No alert fired before the stated detection."""
    detected = case.incident.detected_at
    tolerance = timedelta(seconds=parameters["tolerance_seconds"])
    compared, earlier = [], {}
    for name in case.of(parameters["kinds"]):
        times = [instant(each.at) for each in case.facts(name).findings if each.at is not None]
        if times:
            compared.append(name)
            if min(times) < detected - tolerance:
                earlier[name] = min(times)
    if earlier:
        return conflict(
            f"{told(earlier)} fired before the stated detection",
            [
                Side(_last(case, "detected_at"), "detected", (detected,)),
                *(Side(name, "fired", (at,)) for name, at in earlier.items()),
            ],
        )
    return passed(compared) if compared else unknown()


def severity_agrees(case: Case, parameters: Parameters, _missing: str) -> Result:
    """Every ticket has a severity that the incident has, or once had."""
    ever = {str(each.value): each.sequence for each in case.incident.severity_history}
    compared, sides = [], []
    for name in case.of(parameters["kinds"]):
        for ticket in case.facts(name).tickets:
            severity = _severity(ticket.severity, ticket.severity_norm)
            if severity is None:
                continue
            compared.append(name)
            if severity not in ever:
                sides.append(Side(name, f"{ticket.id} says {ticket.severity or severity}"))
    if sides:
        stated = case.incident.fields["severity"]
        return conflict(
            f"severity {stated} here, another in {told(side.record for side in sides)}",
            [Side(_last(case, "severity"), f"severity {stated}"), *sides],
        )
    return passed(compared) if compared else unknown()


def _severity(text: str | None, norm: str) -> str | None:
    """A source's severity on our scale; its own word goes first."""
    plain = "".join(each for each in (text or "").casefold() if each.isalnum())
    for prefix in ("severity", "sev", "p", "s", ""):
        rest = plain.removeprefix(prefix)
        if plain.startswith(prefix) and rest in ("1", "2", "3", "4"):
            return f"sev{rest}"
    return _SEVERITIES.get(norm)


def dispositions_agree(case: Case, parameters: Parameters, _missing: str) -> Result:
    """Of one finding no two records say that it was true, and that it was false."""
    said: dict[tuple[str, str, str | None], dict[bool, str]] = {}
    compared = []
    for name in case.of(parameters["kinds"]):
        for finding in case.facts(name).findings:
            truth = truth_of(finding.disposition)
            if truth is not None:
                compared.append(name)
                said.setdefault((finding.detector, finding.label, finding.at), {})[truth] = name
    for (detector, label, _), both in said.items():
        if len(both) > 1:
            return conflict(
                f"{detector} {label}: called true and false",
                [Side(both[True], "true positive"), Side(both[False], "false positive")],
            )
    return passed(dict.fromkeys(compared)) if compared else unknown()


def truth_of(disposition: str | None) -> bool | None:
    """Whether a disposition calls a finding true or false; None: it does not say."""
    plain = (disposition or "").casefold().replace(" ", "_").replace("-", "_")
    if plain in _TRUE:
        return True
    return False if plain in _FALSE else None


def exposure_fits_findings(case: Case, parameters: Parameters, _missing: str) -> Result:
    """Exposure is not called none while a finding was confirmed."""
    if case.incident.scope.get("exposure") != "none":
        return unknown()
    names = case.of(parameters["kinds"])
    confirmed = {
        name: finding.label
        for name in names
        for finding in case.facts(name).findings
        if truth_of(finding.disposition)
    }
    if confirmed:
        return conflict(
            f"exposure none, confirmed in {told(confirmed)}",
            [
                Side(_last(case, "exposure"), "exposure: none"),
                *(Side(name, f"{label}: true positive") for name, label in confirmed.items()),
            ],
        )
    return passed(names)


# -- traces against configuration and access logs --------------------------------------------------


def returned_model_is_pinned(case: Case, parameters: Parameters, _missing: str) -> Result:
    """The models that answered are those that the configuration pins.

    Only a name that stands for one version for ever is a pin; beside names that float, anything
    that begins like one of them is allowed.
    """
    pins: dict[str, str] = {}
    floating: set[str] = set()
    for name in case.of(parameters["kinds"]):
        for model in case.facts(name).models:
            if model.exact == "exact":
                pins[model.name] = name
            else:
                floating.add(model.name)
    traces = case.of(parameters["trace_kinds"])
    compared, sides = [], []
    for name in traces:
        returned = case.facts(name).models_returned
        if not pins or not returned:
            continue
        compared.append(name)
        others = [
            model
            for model in returned
            if model not in pins and not any(model.startswith(each) for each in floating)
        ]
        if others:
            sides.append(Side(name, f"{told(others)} answered"))
    if sides:
        return conflict(
            f"another model answered than is pinned: {told(side.record for side in sides)}",
            [*(Side(record, f"{model} is pinned") for model, record in pins.items()), *sides],
        )
    return passed(compared) if compared else unknown()


def config_is_snapshot(case: Case, parameters: Parameters, _missing: str) -> Result:
    """What a trace says of a part of its configuration is what some snapshot has."""
    known: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for name in case.of(parameters["kinds"]):
        for part in case.facts(name).configs:
            value = part.digest or part.version
            if value:
                known.setdefault((part.kind, part.name), []).append((value, name))
    compared, sides = [], []
    for name in case.of(parameters["trace_kinds"]):
        for part in case.facts(name).configs:
            value, held = part.digest or part.version, known.get((part.kind, part.name))
            if not value or not held or name in {record for _, record in held}:
                continue
            compared.append(name)
            if not any(same_version(value, each) for each, _ in held):
                sides.append(Side(name, f"{part.kind} {part.name} is {value}"))
                sides += [
                    Side(record, f"{part.kind} {part.name} is {each}") for each, record in held
                ]
    if sides:
        return conflict("a trace ran with another configuration than any snapshot has", sides)
    return passed(dict.fromkeys(compared)) if compared else unknown()


def calls_are_logged(case: Case, parameters: Parameters, _missing: str) -> Result:
    """Data that a trace touched is in the access logs of its time, if they log its sort."""
    logs = _comparable(case, parameters["kinds"])
    traces = _comparable(case, parameters["trace_kinds"])
    logged = {dataset for name in logs for dataset in case.facts(name).datasets}
    sorts = {sort_of(dataset) for dataset in logged}
    words = case.covered(logs)
    compared, sides = [], []
    for name in traces:
        facts = case.facts(name)
        start, end = _extent(facts)
        if not any(a <= start and end <= b for a, b in words):
            continue
        touched = [each for each in facts.datasets if sort_of(each) in sorts]
        if not touched:
            continue
        compared.append(name)
        absent = [each for each in touched if each not in logged]
        if absent:
            sides.append(Side(name, f"touched {told(absent)}"))
    if sides:
        return conflict(
            f"touched data that no access log has: {told(side.record for side in sides)}",
            [*sides, *(Side(name, "has no line for it") for name in logs[:3])],
            *logs,
        )
    return passed([*compared, *logs]) if compared else unknown()


def access_is_traced(case: Case, parameters: Parameters, _missing: str) -> Result:
    """A registered principal acts in the access logs only while a trace of a run covers it."""
    registered = set(case.incident.scope.get("principals") or ())
    tolerance = timedelta(seconds=parameters["tolerance_seconds"])
    traces = _comparable(case, parameters["trace_kinds"])
    extents = [_extent(case.facts(name)) for name in traces]
    if not extents:
        return unknown()
    start = min(a for a, _ in extents) - tolerance
    end = max(b for _, b in extents) + tolerance
    window = case.window
    compared, sides = [], []
    for name, principal, first, last in case.acts(parameters["kinds"]):
        if principal not in registered or last < window[0] or first > window[1]:
            continue
        compared.append(name)
        outside = [each for each in (first, last) if window[0] <= each <= window[1]]
        outside = [each for each in outside if not start <= each <= end]
        if outside:
            sides.append(Side(name, f"{principal} acted", (outside[0],)))
    if sides:
        reach = start + tolerance, end - tolerance
        return conflict(
            f"access that no trace has: {told(side.record for side in sides)}",
            [*sides, *(Side(name, "traces go from", reach) for name in traces[:3])],
            *traces,
        )
    return passed(dict.fromkeys([*compared, *traces])) if compared else unknown()


def sort_of(dataset: str) -> str:
    """What sort of name a dataset has: its scheme or service; no log has all sorts."""
    if "://" in dataset:
        return dataset.split("://", 1)[0]
    parts = dataset.split(":")
    if parts[0] == "arn" and len(parts) > 2:
        return f"arn:{parts[2]}"
    return parts[0] if len(parts) > 1 else "path" if "/" in dataset else "name"


def _comparable(case: Case, kinds: Sequence[str]) -> list[str]:
    """Exhibits with zoned times whose lists were not cut."""
    return [
        name
        for name in case.of(kinds)
        if case.facts(name).clock == "zoned"
        and case.facts(name).first is not None
        and "datasets" not in case.facts(name).capped
    ]


def _extent(facts: Facts) -> tuple[datetime, datetime]:
    assert facts.first is not None
    return instant(facts.first), instant(facts.last or facts.first)


# -- what was to be silent -------------------------------------------------------------------------


def frozen_stays_silent(case: Case, parameters: Parameters, _missing: str) -> Result:
    """Nobody who was frozen acted after it, until agents were let run again."""
    sides = []
    compared: list[str] = []
    frozen = [*case.attested(AttestationType.FREEZE), *case.attested(AttestationType.KILL_SWITCH)]
    for each in frozen:
        if each.at is None:
            continue
        systems = set(texts_of(each.fields, "systems"))
        until = _re_enabled(case, each.at, systems)
        found = _active(
            case, parameters, each.at, until, set(texts_of(each.fields, "principals")), systems
        )
        compared += found[0]
        if found[1]:
            sides += [Side(link(each.sequence), "frozen", (each.at,)), *found[1]]
    if sides:
        records = [side.record for side in sides if not side.record.startswith("link ")]
        return conflict(f"active after the freeze: {told(records)}", sides)
    return passed(dict.fromkeys(compared)) if compared else unknown()


def contained_stays_silent(case: Case, parameters: Parameters, _missing: str) -> Result:
    """No registered principal or run acted after containment, and no update denies it."""
    contained = case.incident.phase_at(Phase.CONTAINED)
    if contained is None:
        return unknown()
    compared, found = _after_containment(case, parameters, contained)
    denied = case.denied_containment(contained)
    if denied:
        found.append(Side(link(denied.sequence), "not contained, as of", (denied.at,)))
    if found:
        entered = [each for each in case.incident.phases if each.phase == Phase.CONTAINED][-1]
        said = Side(link(entered.sequence), "contained", (contained,))
        return conflict(
            f"{'called not contained' if denied else 'active'} after containment: "
            f"{told(side.record for side in found)}",
            [said, *found],
        )
    return passed(dict.fromkeys(compared)) if compared else unknown()


def update_fits_evidence(case: Case, parameters: Parameters, _missing: str) -> Result:
    """No update says contained while evidence shows activity after it."""
    compared: list[str] = []
    for update in case.incident.updates:
        if update.containment != Containment.CONTAINED:
            continue
        seen, found = _after_containment(case, parameters, update.at)
        compared += seen
        if found:
            said = Side(link(update.sequence), "contained, as of", (update.at,))
            return conflict(
                f"called contained, active in {told(side.record for side in found)}", [said, *found]
            )
    return passed(dict.fromkeys(compared)) if compared else unknown()


def _after_containment(
    case: Case, parameters: Parameters, moment: datetime
) -> tuple[list[str], list[Side]]:
    principals = set(case.incident.scope.get("principals") or ())
    systems = set(case.incident.systems)
    return _active(
        case, parameters, moment, _re_enabled(case, moment, systems), principals, systems
    )


def _re_enabled(case: Case, after: datetime, systems: set[str]) -> datetime | None:
    """When agents were first let run again; of some systems, if these are known."""
    return min(
        (
            each.at
            for each in case.attested(AttestationType.RE_ENABLE)
            if each.at is not None
            and each.at > after
            and (not systems or systems & set(texts_of(each.fields, "systems")))
        ),
        default=None,
    )


def _active(
    case: Case,
    parameters: Parameters,
    after: datetime,
    until: datetime | None,
    principals: set[str],
    systems: set[str],
) -> tuple[list[str], list[Side]]:
    """What was compared; and who acted between two moments: principals, and runs on systems.

    Of a stretch of activity its first and last time are known, and nothing in between.
    """

    def between(moments: Iterable[datetime]) -> datetime | None:
        return next(
            (each for each in moments if each > after and (until is None or each < until)), None
        )

    compared, sides = [], []
    if principals:
        for name, principal, first, last in case.acts(parameters["kinds"]):
            if principal in principals:
                if _reaches(case, name):
                    compared.append(name)
                moment = between((last, first))
                if moment is not None:
                    sides.append(Side(name, f"{principal} acted", (moment,)))
    registered = set(case.incident.scope.get("runs") or ())
    for name in case.of(parameters["trace_kinds"]):
        facts = case.facts(name)
        if facts.clock != "zoned" or facts.first is None:
            continue
        if not registered & case.runs_in(name):
            continue
        if not any(case.speaks_of(name, system) for system in systems):
            continue
        if _reaches(case, name):
            compared.append(name)
        moment = between(reversed(_extent(facts)))
        if moment is not None:
            sides.append(Side(name, "a run was active", (moment,)))
    return compared, sides


def _reaches(case: Case, name: str) -> bool:
    """Whether a record reaches into the incident's window; else its silence says nothing."""
    facts = case.facts(name)
    return (
        facts.clock == "zoned" and facts.first is not None and _extent(facts)[1] >= case.window[0]
    )


# -- nil returns, rollbacks, approvals -------------------------------------------------------------


def nil_return_holds(case: Case, _parameters: Parameters, _missing: str) -> Result:
    """Where somebody attests that there was nothing, no record shows something."""
    returns = [each for each in case.nil_returns(Kind) if each.record.startswith("link ")]
    for each in returns:
        if each.system is None and each.detector is None:
            continue
        of = each.detector or each.system
        for name in case.of(each.kinds):
            if each.system is not None and not case.speaks_of(name, each.system):
                continue
            moment = _first_within(case.facts(name), each.start, each.end, each.detector)
            if moment is not None:
                return conflict(
                    f"nil return of {of}, yet {name} has something",
                    [
                        Side(each.record, f"nothing of {of}"),
                        Side(name, "something at", (moment,)),
                    ],
                )
    return passed((), records(each.record for each in returns)[1]) if returns else unknown()


def _first_within(
    facts: Facts, start: datetime, end: datetime, detector: str | None
) -> datetime | None:
    if detector is not None:
        times = [
            instant(each.at)
            for each in facts.findings
            if each.detector == detector and each.at is not None
        ]
    elif facts.clock == "zoned" and facts.records and facts.first is not None:
        times = list(_extent(facts))
    else:
        times = []
    return next((each for each in times if start <= each <= end), None)


def validation_after_action(case: Case, _parameters: Parameters, _missing: str) -> Result:
    """What is said to validate an action did not begin before the action ended.

    Of several rollbacks of one name it may validate the first.
    """
    compared = []
    for each in case.attested(AttestationType.VALIDATION):
        named = case.rollbacks_by_name.get(str(each.fields.get("action")), [])
        ends = {action.end: action for action in reversed(named) if action.end}
        if not ends or each.at is None:
            continue
        compared.append(each.sequence)
        ended = ends[min(ends)]
        if each.at < min(ends):
            return conflict(
                f"validation predates {ended.name}",
                [
                    Side(ended.record, f"{ended.name} ended", (min(ends),)),
                    Side(link(each.sequence), "validated", (each.at,)),
                ],
            )
    return passed((), compared) if compared else unknown()


def live_is_target(case: Case, parameters: Parameters, _missing: str) -> Result:
    """After the last rollback of something, what runs is what it was rolled back to."""
    last: dict[str, Action] = {}
    for action in case.rollbacks:
        if action.to and action.end and action.result == "succeeded":
            known = last.get(action.target)
            if known is None or known.end is None or action.end > known.end:
                last[action.target] = action
    forward = [each for each in case.actions if not each.back]
    compared = []
    for action in last.values():
        assert action.end is not None
        if any(
            each.target == action.target and (each.end or each.start or action.end) > action.end
            for each in forward
        ):
            continue
        for name in case.of(parameters["kinds"]):
            if case.descriptions[name].captured_at < action.end:
                continue
            for part in case.facts(name).configs:
                value = part.digest or part.version
                if part.name != action.target or not value:
                    continue
                compared.append(name)
                if not same_version(value, action.to):
                    return conflict(
                        f"{action.name} went to another version than runs",
                        [
                            Side(action.record, f"rolled back to {action.to}"),
                            Side(name, f"{part.name} is {value}"),
                        ],
                    )
    return passed(dict.fromkeys(compared)) if compared else unknown()


def approver_had_role(case: Case, _parameters: Parameters, _missing: str) -> Result:
    """Who approved held, at that time, the role that they approved by."""
    compared = []
    for each in case.attested(AttestationType.APPROVAL):
        role, approver = str(each.fields["role"]), str(each.fields["approver"])
        if role not in tuple(Role) or each.at is None:
            continue
        compared.append(each.sequence)
        if not case.held_role(approver, role, each.at):
            holders = [
                given for given in case.incident.assignments if given.role == role and given.since
            ]
            return conflict(
                f"{approver} was not {role.replace('_', ' ')} when approving {each.fields['of']}",
                [
                    Side(link(each.sequence), f"approved by {approver} as {role}"),
                    *(Side(link(given.sequence), f"{role} is {given.person}") for given in holders),
                ],
            )
    return passed((), compared) if compared else unknown()


def approval_of_same_change(case: Case, _parameters: Parameters, _missing: str) -> Result:
    """What was approved is what was done: the same version."""
    compared = []
    for each in case.attested(AttestationType.APPROVAL):
        subject = text_of(each.fields, "subject")
        done = [action for action in case.actions if action.name == each.fields["of"] and action.to]
        if not done or subject is None:
            continue
        compared.append(each.sequence)
        action = done[-1]
        if not any(same_version(subject, one.to) for one in done):
            return conflict(
                f"{action.name}: another version was approved than was rolled out",
                [
                    Side(link(each.sequence), f"approved {subject}"),
                    Side(action.record, f"{action.name} went to {action.to}"),
                ],
            )
    return passed((), compared) if compared else unknown()


# -- people ----------------------------------------------------------------------------------------


def commander_is_not_steward(case: Case, _parameters: Parameters, _missing: str) -> Result:
    """Nobody was commander and steward at once."""
    given = [each for each in case.incident.assignments if each.since is not None]
    commanders = [each for each in given if each.role == Role.INCIDENT_COMMANDER]
    stewards = [each for each in given if each.role == Role.GOVERNANCE_STEWARD]
    for one in commanders:
        for other in stewards:
            if (
                not same_person(one.person, other.person)
                or one.since is None
                or other.since is None
            ):
                continue
            if (one.until is None or other.since < one.until) and (
                other.until is None or one.since < other.until
            ):
                return conflict(
                    f"{one.person} is commander and steward",
                    [
                        Side(link(one.sequence), f"{one.person} is incident commander"),
                        Side(link(other.sequence), f"{other.person} is governance steward"),
                    ],
                )
    return passed() if commanders and stewards else unknown()


def re_enabled_after_tests(case: Case, _parameters: Parameters, _missing: str) -> Result:
    """Agents did not come back before targeted tests passed."""
    tests = [
        each
        for each in case.attested(AttestationType.VALIDATION)
        if "targeted_tests" in texts_of(each.fields, "checks") and each.fields["result"] == "passed"
    ]
    steps = [each for each in case.attested(AttestationType.RE_ENABLE) if each.at is not None]
    if not tests or not steps:
        return unknown()
    first_test = min(tests, key=lambda each: each.at or each.recorded_at)
    first_step = min(steps, key=lambda each: each.at or each.recorded_at)
    tested = moment_of(first_test.fields, "ended_at") or first_test.at or first_test.recorded_at
    came_back = first_step.at or first_step.recorded_at
    if came_back < tested:
        return conflict(
            "agents came back before tests passed",
            [
                Side(link(first_step.sequence), "re-enabled", (came_back,)),
                Side(link(first_test.sequence), "tests passed", (tested,)),
            ],
        )
    return passed((), [first_test.sequence, first_step.sequence])


def logging_kept(case: Case, _parameters: Parameters, _missing: str) -> Result:
    """Enhanced logging was not turned off before stability was confirmed."""
    switched = case.attested(AttestationType.LOGGING)
    stable = [at for each in switched if (at := moment_of(each.fields, "stable_at"))]
    off = [each for each in switched if each.fields["enhanced"] == "off" and each.at is not None]
    for each in off:
        if each.at is None or (stable and min(stable) <= each.at):
            continue
        said = "stable" if stable else "stability never confirmed"
        record = next((one for one in switched if moment_of(one.fields, "stable_at")), each)
        return conflict(
            "enhanced logging turned off before it was stable",
            [
                Side(link(each.sequence), "turned off", (each.at,)),
                Side(link(record.sequence), said, (min(stable),) if stable else ()),
            ],
        )
    return passed((), [each.sequence for each in off]) if off else unknown()


def page_after_detection(case: Case, _parameters: Parameters, _missing: str) -> Result:
    """No page was sent before there was anything to page about."""
    detected = case.incident.detected_at
    pages = [each for each in case.attested(AttestationType.PAGE) if each.at is not None]
    for each in pages:
        if each.at is not None and each.at < detected:
            return conflict(
                "paged before it was detected",
                [
                    Side(link(each.sequence), "paged", (each.at,)),
                    Side(_last(case, "detected_at"), "detected", (detected,)),
                ],
            )
    return passed((), [each.sequence for each in pages]) if pages else unknown()


def postmortem_after_containment(case: Case, _parameters: Parameters, _missing: str) -> Result:
    """The postmortem was not published before the incident was contained."""
    contained = case.first(Phase.CONTAINED)
    published = [
        each for each in case.attested(AttestationType.POSTMORTEM_PUBLISHED) if each.at is not None
    ]
    if contained is None or not published:
        return unknown()
    for each in published:
        if each.at is not None and each.at < contained:
            entered = next(one for one in case.incident.phases if one.phase == Phase.CONTAINED)
            return conflict(
                "postmortem published before containment",
                [
                    Side(link(each.sequence), "published", (each.at,)),
                    Side(link(entered.sequence), "contained", (contained,)),
                ],
            )
    return passed((), [each.sequence for each in published])


def _last(case: Case, field: str) -> str:
    """The statement that last set a field of the incident or of its scope."""
    set_by = [each.sequence for each in case.incident.settings if each.name == field]
    return link(set_by[-1] if set_by else 0)


TESTS: Mapping[str, Test] = {
    each.__name__: each
    for each in (
        access_is_traced,
        alert_before_detection,
        approval_of_same_change,
        approver_had_role,
        calls_are_logged,
        commander_is_not_steward,
        config_is_snapshot,
        contained_stays_silent,
        detected_before_declared,
        dispositions_agree,
        exposure_fits_findings,
        frozen_stays_silent,
        live_is_target,
        logging_kept,
        nil_return_holds,
        page_after_detection,
        postmortem_after_containment,
        re_enabled_after_tests,
        returned_model_is_pinned,
        severity_agrees,
        update_fits_evidence,
        validation_after_action,
    )
}
"""The tests by the names that profiles give them."""
