"""What must hold of every report, whatever the incident: properties over random tellings."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from telling import (
    AGENT,
    BAD,
    DEFAULT,
    GOOD,
    MODEL,
    RUN,
    TABLE,
    Telling,
    answered,
    facts,
    moment,
    span,
    time,
)

from verify.checklist import assess, encode_report
from verify.facts import Activity, Config, Decision, Detector, Facts, Finding, Model, ToolUse
from verify.profile import parse_profile
from verify.statement import Type
from verify.strictjson import Object, load_object

ORDER = ["missing", "partial", "waived", "satisfied"]
KINDS = ["prompt", "tool_trace", "access_log", "guardrail_alert", "dlp_finding", "config_snapshot",
         "model_config", "permission_grant", "ticket", "volatile"]  # fmt: skip
SLOW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])

NAMES = [step.name for step in answered().steps if step.name != "declared"]
CITED = {"log", "ticket", "postmortem", "tiers"}
"""Exhibits that statements name: these are changed, never dropped."""


@st.composite
def tellings(draw: st.DrawFn) -> Telling:
    """The answered incident with some of its steps left out, and some evidence made worse."""
    tell = answered()
    dropped = draw(st.sets(st.sampled_from([name for name in NAMES if name not in CITED])))
    tell.drop(*(name for name in NAMES if name in dropped and name != "scope"))
    if "scope" in dropped:
        tell.rescope(**{draw(st.sampled_from(["runs", "principals", "detectors", "exposure",
                                              "channel"])): None})  # fmt: skip
    if "trace" not in dropped and draw(st.booleans()):
        tell.change("trace", unfinished_calls=1, models=())
    if draw(st.booleans()):
        tell.change("log", **span(-60 * 20, 25))
    if draw(st.booleans()):
        tell.waive(700, *draw(st.sets(st.sampled_from(DEFAULT.conditions), min_size=1, max_size=5)))
    return tell


@st.composite
def evidence(draw: st.DrawFn) -> tuple[tuple[str, ...], Facts, float | None]:
    """An exhibit that names no system, principal, run, detector, finding or action that is new.

    A word of a run hours away from its others is new too: it shows that the run went on.
    """
    kinds = tuple(draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=2, unique=True)))
    values: dict[str, Any] = {}
    if draw(st.booleans()):
        first = draw(st.integers(-60 * 30, 30))
        values |= span(first, draw(st.integers(first, 60)))
    if draw(st.booleans()):
        if values:
            first = draw(st.integers(-60, 30))
            values |= span(first, draw(st.integers(first, 58)))
        values |= {"runs": (RUN,), "unfinished_calls": draw(st.integers(0, 2)),
                   "unresolved_parents": draw(st.integers(0, 2)),
                   "tools": (ToolUse("send_email", 2, 0),),
                   "not_captured": draw(st.sampled_from([(), ("tool results",)]))}  # fmt: skip
    if draw(st.booleans()):
        values["models"] = (Model(draw(st.sampled_from([MODEL, "m-0"])), returned=1),)
    if draw(st.booleans()):
        values |= {"principals": (AGENT,), "decisions": (Decision("allowed", 1),),
                   "activities": (Activity(AGENT, time(-5), time(draw(st.integers(-5, 90))), 2),),
                   "datasets": (TABLE,)}  # fmt: skip
    if draw(st.booleans()):
        at = draw(st.sampled_from([None, time(0), time(-30)]))
        disposition = draw(st.sampled_from([None, "blocked", "true_positive", "false_positive"]))
        found = Finding("dlp-1", "customer list", 1, at, disposition)
        values |= {"detectors": (Detector("dlp-1"),), "findings": (found,)}
    if draw(st.booleans()):
        digest = draw(st.sampled_from([BAD, GOOD, "ee" * 32]))
        values["configs"] = (Config("prompt", "mail", digest=digest),)
    return kinds, facts(**values), draw(st.sampled_from([None, -600.0, 20.0]))


def states(report: Object) -> dict[str, str]:
    return {item["id"]: item["state"] for item in (*report["evidence"], *report["duties"])}


@SLOW
@given(tellings(), evidence(), st.sampled_from(["crm", None]))
def test_evidence_that_brings_nothing_new_lowers_nothing_but_to_contradicted(
    tell: Telling, more: tuple[tuple[str, ...], Facts, float | None], system: str | None
) -> None:
    before = states(tell.report())
    registered = set(tell.scoped())
    kinds, added, modified = more
    # What nobody registered is new, and so is a trace or an alert of nobody in particular.
    if not {"runs", "principals", "detectors"} <= registered:
        return
    if added.findings and not any(step.name == "alert" for step in tell.steps):
        return
    tell.exhibit("more", 5_000, *kinds, facts=added, system=system, modified=modified)
    after = states(tell.report(as_of=60 * 24 * 5))
    for id_, state in before.items():
        if after[id_] == "contradicted" or "contradicted" in (state, before["C2"]):
            continue
        if id_ == "X3" and "contradicted" in after.values():
            continue  # there is doubt now, and so a duty
        if state == "not_applicable":
            assert after[id_] == "not_applicable"
        else:
            assert ORDER.index(after[id_]) >= ORDER.index(state), id_


@pytest.mark.slow
@SLOW
@given(tellings(), st.randoms(use_true_random=False))
def test_the_order_of_ingestion_changes_nothing_but_numbers(tell: Telling, random: Any) -> None:
    captures = [step for step in tell.steps if step.facts is not None]
    rest = [step for step in tell.steps if step.facts is None]
    reports = []
    for _ in range(2):
        random.shuffle(captures)
        # All are received at once, before anything is said of them; read when they were read.
        steps = [rest[0], *(replace(each, recorded=5.0) for each in captures), *rest[1:]]
        other = Telling(steps)
        _, _, names = other.fold()
        reports.append(_renamed(other.report(), {value: key for key, value in names.items()}))
    assert reports[0] == reports[1]


def _renamed(report: Object, names: dict[str, str]) -> Object:
    """What a report says of each item and condition, exhibits by the step that captured them."""
    return {
        "items": [
            {
                "answers": {
                    each["id"]: (each["answer"], sorted(names[name] for name in each["exhibits"]))
                    for each in (*item["conditions"], *item["checks"])
                },
                "id": item["id"],
                "state": item["state"],
                "timeliness": item["timeliness"],
            }
            for item in (*report["evidence"], *report["duties"])
        ],
        "coverage": [(each["name"], each["gaps"]) for each in report["coverage"]],
        "verdict": report["verdict"],
    }


@SLOW
@given(tellings(), st.integers(0, 60 * 24 * 9), st.integers(0, 60 * 24 * 9))
def test_a_later_as_of_changes_timeliness_and_expiries_only(
    tell: Telling, one: int, other: int
) -> None:
    first, second = (tell.report(as_of=as_of) for as_of in (one, other))
    live = [{each["id"] for each in report["waivers"] if each["standing"] == "live"}
            for report in (first, second)]  # fmt: skip
    if live[0] != live[1]:
        return
    for report in (first, second):
        for item in (*report["evidence"], *report["duties"]):
            item.pop("timeliness")
        for name in ("as_of", "clocks", "owed"):
            report.pop(name)
        for waiver in report["waivers"]:
            waiver.pop("standing")
    assert first == second


@SLOW
@given(tellings(), st.sets(st.sampled_from(DEFAULT.conditions), min_size=1, max_size=6))
def test_a_waiver_touches_nothing_that_it_does_not_name(tell: Telling, named: set[str]) -> None:
    if any(step.name == "waiver-1" for step in tell.steps):
        return
    before, head = tell.report(), f"link {len(tell.steps) - 1}"
    tell.waive(5_000, *sorted(named))
    after = tell.report()
    for item in after["evidence"]:  # "0 deviations at link 40" speaks of the head
        for condition in item["conditions"]:
            condition["detail"] = condition["detail"].replace(f"link {len(tell.steps) - 1}", head)
    concerned = {each.partition(".")[0] for each in named}
    for name in ("evidence", "duties"):
        for old, new in zip(before[name], after[name], strict=True):
            if old["id"] not in concerned:
                assert old == new
            for a, b in zip(old["conditions"], new["conditions"], strict=True):
                assert (a["answer"], a["detail"]) == (b["answer"], b["detail"])
                if a["id"] not in named:
                    assert a == b


@SLOW
@given(tellings())
def test_the_same_inputs_give_the_same_bytes_and_are_left_alone(tell: Telling) -> None:
    incident, described, _ = tell.fold()
    first = encode_report(assess(DEFAULT, incident, described, as_of=moment(999)))
    again = encode_report(
        assess(parse_profile(DEFAULT.data), incident, described, as_of=moment(999))
    )
    assert first == again
    anew, redescribed, _ = tell.fold()
    assert encode_report(assess(DEFAULT, anew, redescribed, as_of=moment(999))) == first
    assert load_object(first, where="report")["engine"] == 4


@pytest.mark.parametrize("more", [0, 1])
def test_what_comes_later_never_alters_a_sealed_report(more: int) -> None:
    """A report speaks of a prefix: links after it are no input, however many."""
    tell = answered()
    sealed = encode_report(tell.report())
    incident, described, _ = tell.fold()
    for number in range(more):
        tell.say(f"later-{number}", 9_000, Type.INCIDENT, {
            "at": time(9_000), "event": "phase", "exhibits": [], "phase": "triaged"})  # fmt: skip
    assert encode_report(assess(DEFAULT, incident, described, as_of=moment(60 * 24 * 4))) == sealed
