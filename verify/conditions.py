"""The conditions of evidence: what must be on record of an incident. Pure; one function each.

FORMAT.md §15.2. Evidence that brings no new system, principal, detector, finding, action, run or
stretch of a run can turn no pass into a failure: whatever is asked of several records is met by
one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from verify.attestation import AttestationType
from verify.case import (
    Action,
    Case,
    NilReturn,
    Result,
    Test,
    clock_time,
    count_text,
    failed,
    instant,
    link,
    passed,
    records,
    same_version,
    several,
    text_of,
    told,
    unknown,
)
from verify.coverage import gaps, united
from verify.facts import Facts
from verify.response import Phase, Role
from verify.statement import Kind

Parameters = Mapping[str, Any]

OWN_LACKS = frozenset(
    {"times", "message times", "requested model", "returned model", "data events"}
)
"""What records lack that other conditions ask for."""


def kind_present(case: Case, parameters: Parameters, missing: str) -> Result:
    """There is an exhibit of these kinds."""
    names = case.of(parameters["kinds"])
    return passed(names) if names else failed(missing)


def kind_timed(case: Case, parameters: Parameters, missing: str) -> Result:
    """There is an exhibit of these kinds with times of the incident.

    Times with a zone that reach into the window; or, of volatile data, a capture since detection.
    """
    names = case.of(parameters["kinds"])
    start, end = case.window
    timed = [name for name in names if case.facts(name).clock == "zoned"]

    def fits(name: str) -> bool:
        if Kind.VOLATILE in case.exhibit(name).kinds:
            return case.snapshot_times(name)[1] >= case.incident.detected_at
        facts = case.facts(name)
        if facts.clock != "zoned" or facts.first is None:
            return False
        return instant(facts.last or facts.first) >= start and instant(facts.first) <= end

    fitting = [name for name in names if fits(name)]
    if fitting:
        return passed(fitting)
    if timed:
        return failed(f"{told(timed)}: of another time", timed)
    return failed(f"no times in {told(names)}" if names else missing, names)


def role_held(case: Case, parameters: Parameters, missing: str) -> Result:
    """Somebody holds a role."""
    return passed() if case.holder(Role(parameters["role"])) else failed(missing)


def tier_decided(case: Case, _parameters: Parameters, missing: str) -> Result:
    """The tier is stated, and not unknown."""
    return unknown(missing) if case.incident.fields["tier"] == "unknown" else passed()


def trigger_stated(case: Case, _parameters: Parameters, missing: str) -> Result:
    """It is stated what triggered the incident."""
    return unknown(missing) if case.incident.fields["trigger"] == "unknown" else passed()


def ticket_captured(case: Case, parameters: Parameters, missing: str) -> Result:
    """The ticket's content is here: its number or address alone is none."""
    names = [name for name in case.of(parameters["kinds"]) if case.exhibit(name).item.size]
    if names:
        return passed(names)
    named = case.incident.scope.get("ticket")
    return failed(f"{named} is named, its content is not here" if named else missing)


def detection_confirmed(case: Case, parameters: Parameters, _missing: str) -> Result:
    """An independent record has a time close to the stated detection."""
    detected = case.incident.detected_at
    names = case.corroborates(
        case.of(parameters["kinds"]), detected, parameters["tolerance_seconds"]
    )
    return passed(names) if names else unknown(f"nothing confirms {clock_time(detected)}")


# -- traces ----------------------------------------------------------------------------------------


def runs_covered(case: Case, parameters: Parameters, _missing: str) -> Result:
    """Every registered run has a trace, and every run that traces name is registered."""
    names = case.of(parameters["kinds"])
    registered = case.incident.scope.get("runs")
    if not registered:
        return unknown("no run registered" if names else "")
    absent = [run for run, own in case.by_run(parameters["kinds"]).items() if not own]
    strange = {
        run: name
        for name in names
        for run in case.facts(name).runs
        if not case.runs_in(name) & set(registered)
    }
    problems = []
    if absent:
        problems.append(f"no trace of run {told(absent)}")
    if strange:
        problems.append(f"not registered: run {told(sorted(strange))}")
    if problems:
        return failed("; ".join(problems), names, lacking=[*absent, *sorted(strange)])
    return passed(names)


def times_known(case: Case, parameters: Parameters, missing: str) -> Result:
    """Every run has a trace whose times have a zone."""
    return _every_run(case, parameters, lambda facts: facts.clock == "zoned", missing, some=missing)


def models_returned(case: Case, parameters: Parameters, _missing: str) -> Result:
    """Every run has a trace that says which model answered, not only which was asked for."""
    names = case.of(parameters["kinds"])
    asked = any(case.facts(name).models_requested for name in names)
    return _every_run(
        case,
        parameters,
        lambda facts: bool(facts.models_returned),
        "model named, not confirmed" if asked else "no model named",
        some="model not confirmed",
    )


def calls_finished(case: Case, parameters: Parameters, _missing: str) -> Result:
    """Every run has a trace in which each tool call has a result or an error."""
    return _fewest(
        case, parameters, lambda facts: facts.unfinished_calls, "tool call without result"
    )


def parents_resolved(case: Case, parameters: Parameters, _missing: str) -> Result:
    """Every run has a trace in which each span's parent is there."""
    return _fewest(case, parameters, lambda facts: facts.unresolved_parents, "span without parent")


def content_whole(case: Case, parameters: Parameters, _missing: str) -> Result:
    """What one trace of a run leaves out, another one has."""
    names = case.of(parameters["kinds"])
    if not names:
        return unknown()
    problems, lacking, cited = [], [], []
    for run, own in case.by_run(parameters["kinds"]).items():
        left_out = [set(case.facts(name).not_captured) - OWN_LACKS for name in own]
        common = set.intersection(*left_out) if left_out else set()
        if common:
            problems.append(f"{run}: without {told(sorted(common))}")
            lacking.append(run)
            cited += own
    if problems:
        return failed(several(problems), dict.fromkeys(cited), lacking=lacking)
    return passed(names)


def silences_short(case: Case, parameters: Parameters, _missing: str) -> Result:
    """No run is silent for longer than the tolerance between its first word and its last."""
    names = case.of(parameters["kinds"])
    limit = timedelta(seconds=parameters["silence_seconds"])
    spoken, problems, lacking, cited = False, [], [], []
    for run, own in case.by_run(parameters["kinds"]).items():
        words = case.covered(own)
        spoken = spoken or bool(words)
        silent = gaps(words, longer_than=limit)
        if silent:
            problems.append(f"{run}: {count_text(len(silent), 'silence')}")
            lacking.append(run)
            cited += own
    if problems:
        return failed(several(problems), dict.fromkeys(cited), lacking=lacking)
    return passed(names) if spoken else unknown()


def _every_run(
    case: Case, parameters: Parameters, holds: Callable[[Facts], bool], nowhere: str, *, some: str
) -> Result:
    """Every run has an exhibit of which something holds."""
    names = case.of(parameters["kinds"])
    if not names:
        return failed("")
    good = {name for name in names if holds(case.facts(name))}
    if not good:
        return failed(nowhere, names)
    runs = case.by_run(parameters["kinds"])
    lacking = [run for run, own in runs.items() if own and not good & set(own)]
    if lacking:
        cited = dict.fromkeys(name for run in lacking for name in runs[run])
        return failed(f"{some}: {told(lacking)}", cited, lacking=lacking)
    return passed(sorted(good, key=names.index) if len(good) < len(names) else names)


def _fewest(case: Case, parameters: Parameters, count: Callable[[Facts], int], what: str) -> Result:
    """Of each run, the exhibit in which something happens least often counts; it must be never."""
    names = case.of(parameters["kinds"])
    if not names:
        return unknown()
    total, lacking, cited = 0, [], []
    for run, own in case.by_run(parameters["kinds"]).items():
        counts = {name: count(case.facts(name)) for name in own}
        least = min(counts.values(), default=0)
        if least:
            total += least
            lacking.append(run)
            cited += [name for name, each in counts.items() if each == least]
    if total:
        shown = dict.fromkeys(cited)
        return failed(f"{count_text(total, what)} in {told(shown)}", shown, lacking=lacking)
    return passed(names)


# -- configuration ---------------------------------------------------------------------------------


def snapshot_before(case: Case, parameters: Parameters, missing: str) -> Result:
    """A snapshot shows the configuration as it stood before the stated detection."""
    names = case.of(parameters["kinds"])
    before = [name for name in names if case.snapshot_times(name)[0] <= case.incident.detected_at]
    if before:
        return passed(before)
    return failed("none from before detection" if names else missing, names)


def snapshot_after(case: Case, parameters: Parameters, _missing: str) -> Result:
    """A snapshot was taken after containment."""
    names = case.of(parameters["kinds"])
    contained = case.incident.phase_at(Phase.CONTAINED)
    if contained is None:
        return unknown("not contained yet" if names else "")
    after = [name for name in names if case.snapshot_times(name)[1] >= contained]
    return passed(after) if after else failed("none from after containment" if names else "", names)


# -- access logs -----------------------------------------------------------------------------------


def systems_covered(case: Case, parameters: Parameters, _missing: str) -> Result:
    """Every affected system has logs over the window, without a long silence.

    A nil return speaks for its system in its own time; silence does not.
    """
    limit = timedelta(seconds=parameters["silence_seconds"])
    problems, lacking, cited = [], [], []
    known = case.by_system(parameters["kinds"])
    for system, logs in known.items():
        nothing = case.nil_returns(parameters["kinds"], system=system)
        cited += [*logs, *(each.record for each in nothing)]
        problem = _log_problem(case, logs, nothing, limit)
        if problem:
            problems.append(f"{system}: {problem}")
            lacking.append(system)
    stated = {case.exhibit(name).system for name in case.of(parameters["kinds"])}
    strange = [each for each in stated if each is not None and each not in known]
    if strange:
        problems.append(f"not registered: system {told(sorted(strange))}")
        lacking += sorted(strange)
    exhibits, links = records(dict.fromkeys(cited))
    if problems:
        return failed("; ".join(problems), exhibits, links, lacking=lacking)
    return passed(exhibits, links)


def _log_problem(case: Case, logs: list[str], nothing: list[NilReturn], limit: timedelta) -> str:
    if not logs and not nothing:
        return "none"
    facts = [case.facts(name) for name in logs]
    problems = []
    if logs and all(any("data events" in lack for lack in each.not_captured) for each in facts):
        problems.append("no data events")
    words = united([*case.covered(logs), *(each.interval for each in nothing)])
    window = case.window
    if not words:
        problems.append("no times")
    elif window[0] >= window[1]:
        problems.append("the window ends before it starts")
    else:
        inner = gaps(words, longer_than=limit)
        edges = [
            each for each in gaps(words, longer_than=limit, window=window) if each not in inner
        ]
        silent = [each for each in inner if each[1] > window[0] and each[0] < window[1]]
        if edges:
            problems.append("part of the window")
        if silent:
            problems.append(count_text(len(silent), "silence"))
    return ", ".join(problems)


def rows_complete(case: Case, parameters: Parameters, _missing: str) -> Result:
    """Of every system the logs say who did what, to which data, with what scope and outcome."""
    problems, lacking, cited = [], [], []
    for system, logs in case.by_system(parameters["kinds"]).items():
        facts = [case.facts(name) for name in logs]
        if not logs:
            continue
        cited += logs
        said = {
            "principals": any(each.principals for each in facts),
            "actions": any(each.actions for each in facts),
            "datasets": any(each.datasets for each in facts),
            "decisions": any(each.decisions for each in facts),
            "scopes": any(each.scopes or each.permissions for each in facts),
        }
        absent = [name for name, there in said.items() if not there]
        if absent:
            problems.append(f"{system}: no {', '.join(absent)}")
            lacking.append(system)
    if problems:
        return failed("; ".join(problems), dict.fromkeys(cited), lacking=lacking)
    if cited or case.nil_returns(parameters["kinds"]):
        return passed(dict.fromkeys(cited))
    return unknown()


def principals_seen(case: Case, parameters: Parameters, _missing: str) -> Result:
    """Every registered principal is in a log, or in the query of a nil return."""
    names = case.of(parameters["kinds"])
    registered = case.incident.scope.get("principals")
    if not registered:
        return unknown("no principal registered" if names else "")
    wanted = set(registered)
    where: dict[str, list[str]] = {}
    for name in names:
        facts = case.facts(name)
        for principal in wanted & {
            *facts.principals,
            *(each.principal for each in facts.activities),
        }:
            where.setdefault(principal, []).append(name)
    for each in case.nil_returns(parameters["kinds"]):
        for principal in wanted:
            if principal in each.query:
                where.setdefault(principal, []).append(each.record)
    exhibits, links = records(dict.fromkeys(name for own in where.values() for name in own))
    absent = [principal for principal in registered if principal not in where]
    if absent:
        return failed(f"nothing of {told(absent)}", exhibits, links, lacking=absent)
    return passed(exhibits, links)


# -- alerts ----------------------------------------------------------------------------------------


def detectors_heard(case: Case, parameters: Parameters, _missing: str) -> Result:
    """Every registered detector reported, or a nil return speaks for it over the whole window."""
    names = case.of(parameters["kinds"])
    registered = case.incident.scope.get("detectors")
    if not registered:
        return unknown("no detector registered" if names else "")
    heard = {
        detector
        for name in names
        for detector in (
            *(each.name for each in case.facts(name).detectors),
            *(each.detector for each in case.facts(name).findings),
        )
    }
    silent, part, nil = [], [], []
    for detector in registered:
        if detector in heard:
            continue
        nothing = case.nil_returns(parameters["kinds"], detector=detector)
        nil += [each.record for each in nothing]
        words = united(each.interval for each in nothing)
        if not nothing:
            silent.append(detector)
        elif gaps(words, longer_than=timedelta(0), window=case.window):
            part.append(detector)
    strange = sorted(heard - set(registered))
    problems = []
    if silent:
        problems.append(f"nothing from {told(silent)}")
    if part:
        problems.append(f"nil return for part of the window: {told(part)}")
    if strange:
        problems.append(f"not registered: detector {told(strange)}")
    exhibits, links = records(dict.fromkeys([*names, *nil]))
    if problems:
        return failed("; ".join(problems), exhibits, links, lacking=[*silent, *part, *strange])
    return passed(exhibits, links)


def findings_timed(case: Case, parameters: Parameters, _missing: str) -> Result:
    """Of everything that detectors found, one record has the time."""
    return _of_findings(case, parameters, "without time", lambda finding: finding.at is not None)


def findings_disposed(case: Case, parameters: Parameters, _missing: str) -> Result:
    """Of everything that detectors found, one record says what became of it."""
    return _of_findings(
        case, parameters, "without disposition", lambda finding: finding.disposition is not None
    )


def _of_findings(
    case: Case, parameters: Parameters, lacks: str, holds: Callable[[Any], bool]
) -> Result:
    names = case.of(parameters["kinds"])
    good: set[tuple[str, str]] = set()
    bad: dict[tuple[str, str], list[tuple[str, int]]] = {}
    for name in names:
        for finding in case.facts(name).findings:
            key = finding.detector, finding.label
            if holds(finding):
                good.add(key)
            else:
                bad.setdefault(key, []).append((name, finding.count))
    counts: dict[str, int] = {}
    for key, hits in bad.items():
        if key not in good:
            for name, count in hits:
                counts[name] = counts.get(name, 0) + count
    if counts:
        told_of = [f"{name}: {count_text(count, 'hit')} {lacks}" for name, count in counts.items()]
        return failed(several(told_of), counts)
    if good:
        return passed(names)
    # That nothing was found is an answer only if everyone who looks was heard.
    heard = detectors_heard(case, parameters, "")
    if heard.answer == "pass":
        return passed(heard.exhibits, heard.links)
    return unknown("no finding was read from the alerts" if names else "")


# -- rollback --------------------------------------------------------------------------------------


def action_recorded(case: Case, _parameters: Parameters, missing: str) -> Result:
    """There is a rollback: by a record that shows something going back, or by a person's word."""
    actions = case.rollbacks
    if actions:
        return passed(*_records(actions))
    names = case.of((Kind.ROLLBACK,))
    return failed(f"{told(names)} shows nothing going back" if names else missing, names)


def action_described(case: Case, _parameters: Parameters, _missing: str) -> Result:
    """Of every rollback it is known who, when, from what, to what, and how it ended."""
    return _of_actions(
        case.rollbacks,
        lambda action: f"no {', '.join(action.described)}" if action.described else "",
    )


def action_preceded(case: Case, parameters: Parameters, _missing: str) -> Result:
    """Before every rollback the configuration was captured."""
    return _preceded(case, parameters, case.rollbacks)


def change_preceded(case: Case, parameters: Parameters, _missing: str) -> Result:
    """Before every change of what runs, back or forward, the configuration was captured."""
    return _preceded(case, parameters, case.actions)


def action_validated(case: Case, _parameters: Parameters, _missing: str) -> Result:
    """After every rollback what then ran was tested, and passed."""
    cited: list[str] = []
    links: list[int] = []

    def problem(action: Action) -> str:
        if action.result == "failed":
            return "" if _made_good(case, action) else "the rollback failed"
        found, why = _validations(case, action)
        for record in found:
            if record.startswith("link "):
                links.append(int(record[5:]))
            else:
                cited.append(record)
        return "" if found else why

    result = _of_actions(case.rollbacks, problem)
    if result.answer != "pass":
        return result
    return passed(dict.fromkeys([*result.exhibits, *cited]), dict.fromkeys([*result.links, *links]))


def _made_good(case: Case, failed: Action) -> bool:
    """Whether what a rollback failed to put back was put back later."""
    return any(
        each.target == failed.target
        and each.result == "succeeded"
        and failed.end is not None
        and each.end is not None
        and each.end > failed.end
        for each in case.rollbacks
    )


def _validations(case: Case, action: Action) -> tuple[list[str], str]:
    """The records of passed validations of an action; else why there is none."""
    found, why = [], "not validated"
    for each in case.attested(AttestationType.VALIDATION):
        subject = text_of(each.fields, "subject")
        named = each.fields.get("action") == action.name
        fits = same_version(subject, action.to) if subject and action.to else named
        if not fits:
            if named:
                why = "another version was validated"
            continue
        if action.end is None or each.at is None or each.at < action.end:
            why = "validated before it ended"
        elif not _is_newest(case, action, each.at, subject):
            why = f"validated only after {action.name} was rolled back again"
        elif each.fields["result"] != "passed":
            why = "validation failed"
        else:
            found.append(link(each.sequence))
    for name in case.of((Kind.VALIDATION,)):
        for check in case.facts(name).validations:
            if not (check.subject and action.to and same_version(check.subject, action.to)):
                continue
            at = instant(check.at) if check.at else None
            late = action.end and at and at >= action.end
            if late and not _is_newest(case, action, at, check.subject):
                why = f"validated only after {action.name} was rolled back again"
            elif late and check.result == "passed":
                found.append(name)
            elif check.result == "failed":
                why = "validation failed"
    return found, why


def _is_newest(case: Case, action: Action, at: datetime | None, subject: str | None) -> bool:
    """Whether a validation speaks of this rollback: by then no later one had its name.

    Where the validation names a version, only those that went to it are meant.
    """
    ends = [
        each.end
        for each in case.rollbacks_by_name[action.name]
        if each.end is not None
        and (at is None or each.end <= at)
        and (subject is None or each.to is None or same_version(subject, each.to))
    ]
    return not ends or max(ends) == action.end


def _preceded(case: Case, parameters: Parameters, actions: list[Action]) -> Result:
    snapshots = [(case.snapshot_times(name)[1], name) for name in case.of(parameters["kinds"])]

    def problem(action: Action) -> str:
        if action.start is None:
            return "start unknown"
        if any(taken <= action.start for taken, _ in snapshots):
            return ""
        return "no snapshot before it"

    result = _of_actions(actions, problem)
    if result.answer != "pass":
        return result
    first = min(snapshots)[1]
    return passed(dict.fromkeys([first, *result.exhibits]), result.links)


def _of_actions(actions: list[Action], problem: Callable[[Action], str]) -> Result:
    if not actions:
        return unknown()
    problems = [(action, text) for action in actions if (text := problem(action))]
    exhibits, links = _records(actions)
    if problems:
        names = [action.name for action in actions]
        told_of = [
            f"{action.name}{f' ({action.record})' if names.count(action.name) > 1 else ''}: {text}"
            for action, text in problems
        ]
        lacking = dict.fromkeys(action.name for action, _ in problems)
        return failed(several(told_of), exhibits, links, lacking=lacking)
    return passed(exhibits, links)


def _records(actions: Iterable[Action]) -> tuple[list[str], list[int]]:
    exhibits = dict.fromkeys(name for action in actions for name in action.exhibits)
    links = [int(action.record[5:]) for action in actions if action.record.startswith("link ")]
    return list(exhibits), links


TESTS: Mapping[str, Test] = {
    each.__name__: each
    for each in (
        action_described,
        action_preceded,
        action_recorded,
        action_validated,
        calls_finished,
        change_preceded,
        content_whole,
        detection_confirmed,
        detectors_heard,
        findings_disposed,
        findings_timed,
        kind_present,
        kind_timed,
        models_returned,
        parents_resolved,
        principals_seen,
        role_held,
        rows_complete,
        runs_covered,
        silences_short,
        snapshot_after,
        snapshot_before,
        systems_covered,
        ticket_captured,
        tier_decided,
        times_known,
        trigger_stated,
    )
}
"""The tests by the names that profiles give them."""
