"""Every condition and check of the default profile, violated by one change each.

`telling.answered` satisfies all of them. A scenario changes it in a line or two; the one condition
that the runbook then finds wanting must say so, and its item come to the state that the table of
states gives. Expected states are from the runbook, not from the engine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from telling import (
    AGENT,
    BAD,
    DEFAULT,
    GOOD,
    MODEL,
    TABLE,
    Telling,
    answered,
    condition_of,
    facts,
    item_of,
    span,
    time,
)

from verify.facts import (
    Activity,
    Approval,
    Config,
    Covered,
    Decision,
    Detector,
    Finding,
    Model,
    Rollback,
    Ticket,
    Validation,
)
from verify.statement import Type

Change = Callable[[Telling], object]


@dataclass(frozen=True)
class Scenario:
    decides: str
    """The condition or check that must not pass."""
    change: Change
    state: str = "partial"
    """Of its item."""
    answer: str = "fail"
    name: str = ""

    def __str__(self) -> str:
        return f"{self.decides} {self.name}".strip().replace(" ", "-")


def conflict(decides: str, change: Change, name: str = "") -> Scenario:
    return Scenario(decides, change, "contradicted", "conflict", name)


def several(*changes: Change) -> Change:
    def change(tell: Telling) -> None:
        for each in changes:
            each(tell)

    return change


def drop(*names: str) -> Change:
    return lambda tell: tell.drop(*names)


def facts_of(name: str, **changes: object) -> Change:
    return lambda tell: tell.change(name, **changes)


def contained_late(tell: Telling) -> None:
    """Contained 33 minutes after the declaration, as claimed: X1 applies."""
    tell.change("contained", at=time(38), recorded=39)
    tell.change("log", **span(-60 * 24, 38))
    tell.attest(
        "approval-late", 660, "approval", of="late.contain", approver="Edsger", requester="Ada",
        role="governance_steward", approved_at=time(660),
    )  # fmt: skip
    for team in ("sre", "security"):
        tell.attest(f"page-{team}", 37, "page", at=time(36), team=team,
                    delivered_at=time(36), acknowledged_at=time(37))  # fmt: skip


def exposed(tell: Telling) -> None:
    """Exposure is confirmed: X2 applies."""
    tell.rescope(exposure="confirmed")
    for audience in ("legal", "privacy"):
        tell.attest(f"notice-{audience}", 31, "notice", at=time(31), audience=audience,
                    delivered_at=time(31), accepted_at=time(32))  # fmt: skip


def impact(tell: Telling) -> None:
    """Customers are concerned: comms and Legal must be told."""
    tell.rescope(customer_impact="yes")
    for audience in ("comms", "legal"):
        tell.attest(f"notice-{audience}", 31, "notice", at=time(31), audience=audience,
                    delivered_at=time(31))  # fmt: skip


def late_and_approved(tell: Telling) -> None:
    """Declared 20 minutes after detection: a deviation, and the steward approved it."""
    tell.change("declared", declared_at=time(20))
    tell.attest(
        "approval", 650, "approval", of="late.declare", approver="Edsger", requester="Ada",
        role="governance_steward", approved_at=time(650),
    )  # fmt: skip


def handed_over(tell: Telling, *, accepted: bool) -> None:
    for name, event in (("offer", "offered"), ("taken", "accepted"))[: 1 + accepted]:
        body = {"at": time(100), "event": event, "person": "Alan", "role": "comms_lead"}
        tell.say(name, 100, Type.INCIDENT, body)


def deployed(tell: Telling, **changes: object) -> None:
    """A deployment record of the rollback, in place of a person's word."""
    back = {"target": "mail", "state": "succeeded", "direction": "back", "from_": "c1" * 20,
            "to": "c0" * 20, "actor": "ci", "started_at": time(15), "at": time(20)}  # fmt: skip
    tell.drop("rollback")
    tell.exhibit("deploy", 20.5, "rollback",
                 facts=facts(rollbacks=(Rollback(**{**back, **changes}),)))  # type: ignore[arg-type]  # fmt: skip
    tell.change("validation", action=None, subject="c0" * 20)
    tell.change("config-after", configs=(Config("prompt", "mail", digest="c0" * 20),))


def again(tell: Telling, **changes: object) -> None:
    """The same rollback by name, half an hour later, to the same version."""
    fields = {"action": "RB-1", "started_at": time(30), "ended_at": time(32), "target": "mail",
              "result": "succeeded", "from_digest": BAD, "to_digest": GOOD, **changes}  # fmt: skip
    tell.attest("rollback-2", 33, "rollback",
                **{key: value for key, value in fields.items() if value is not None})  # fmt: skip


def validated_again(tell: Telling, at: float = 34) -> None:
    tell.attest("validation-2", 36, "validation", at=time(at), action="RB-1",
                checks=["rollback"], result="passed")  # fmt: skip


def told_again(tell: Telling) -> None:
    """The versions of the rollback were forgotten, and told later."""
    tell.change("rollback", from_digest=None, to_digest=None)
    again(tell, started_at=time(15), ended_at=time(20))


def failed_first(tell: Telling) -> None:
    """The rollback failed, and succeeded under its own name half an hour later."""
    tell.change("rollback", result="failed")
    tell.drop("validation")
    again(tell)
    tell.attest("validation", 36, "validation", at=time(34), action="RB-1",
                checks=["rollback", "targeted_tests", "dry_run"], result="passed")  # fmt: skip


def approve(tell: Telling, recorded: float, at: float, **changes: object) -> None:
    """Another approval of the rollback; of Barbara, who asked, by Edsger."""
    fields = {"of": "RB-1", "approver": "Edsger", "requester": "Barbara",
              "role": "governance_steward", "approved_at": time(at), **changes}  # fmt: skip
    tell.attest(f"approval-{recorded}", recorded, "approval", **fields)


def approved_alone(tell: Telling) -> None:
    approve(tell, 14, 14, approver="barbara@lab", role="engineer")


def nil(tell: Telling, **changes: object) -> None:
    fields = {"kinds": ["dlp_finding"], "from_": time(-60 * 24), "to": time(25),
              "query": "detector:dlp-2", "detector": "dlp-2", **changes}  # fmt: skip
    tell.attest("nil", 45, "nil_return",
                **{key: value for key, value in fields.items() if value is not None})  # fmt: skip


def finding(**changes: object) -> Finding:
    values = {"detector": "dlp-1", "label": "customer list", "count": 1, "at": time(0),
              "disposition": "blocked", **changes}  # fmt: skip
    return Finding(**values)  # type: ignore[arg-type]


SCENARIOS = [
    # C1: run ticket, severity, time of detection
    Scenario("C1.ticket", drop("ticket")),
    Scenario("C1.ticket", facts_of("ticket", content=""), name="empty"),
    Scenario("C1.detection", several(
        facts_of("alert", findings=(finding(at=time(9)),), first=time(9), last=time(9)),
        facts_of("ticket", tickets=())), answer="unknown", name="nothing near"),
    Scenario("C1.tier", facts_of("declared", tier="unknown"), answer="unknown"),
    Scenario("C1.trigger", facts_of("declared", trigger="unknown"), answer="unknown"),
    Scenario("C1.commander", drop("incident_commander")),
    conflict("C1.order", facts_of("declared", detected_at=time(6))),
    conflict("C1.first_alert", facts_of("alert", findings=(finding(at=time(-6)),))),
    conflict("C1.severity", facts_of("ticket", tickets=(
        Ticket("OPS-1", "x", severity="P3", opened_at=time(4)),)), "own word"),
    conflict("C1.severity", facts_of("ticket", tickets=(
        Ticket("OPS-1", "x", severity="Major", severity_norm="high", opened_at=time(4)),)), "norm"),
    # C2: full prompt/tool trace, model versions, configuration snapshots
    Scenario("C2.trace", drop("trace")),
    Scenario("C2.times", facts_of("trace", clock="unzoned", first=None, last=None)),
    Scenario("C2.models", facts_of("trace", models=(Model(MODEL, requested=4),))),
    Scenario("C2.calls", facts_of("trace", unfinished_calls=1)),
    Scenario("C2.parents", facts_of("trace", unresolved_parents=2)),
    Scenario("C2.whole", facts_of("trace", not_captured=("tool results",))),
    Scenario("C2.silences", lambda t: t.exhibit("early", 13.5, "tool_trace", system="crm",
             facts=facts(runs=("run-7",), **span(-90, -80)))),
    Scenario("C2.before", facts_of("config", modified=None)),
    Scenario("C2.after", drop("config-after")),
    Scenario("C2.after", facts_of("config-after", captured=24), name="taken earlier"),
    Scenario("C2.runs", lambda t: t.rescope(runs=["run-7", "run-8"]), name="no trace"),
    Scenario("C2.runs", lambda t: t.exhibit("other", 14, "tool_trace", facts=facts(
        runs=("run-9",), **span(-5, -4))), name="unregistered"),
    Scenario("C2.runs", lambda t: t.rescope(runs=None), answer="unknown", name="never stated"),
    conflict("C2.pinned", facts_of("trace", models=(Model("m-2025-06-01", returned=4),))),
    conflict("C2.config", facts_of("trace", configs=(Config("prompt", "mail", digest="ee" * 32),))),
    conflict("C2.traced", facts_of("log", activities=(Activity(AGENT, time(-9), time(6), 40),),
                                   **span(-60 * 24, 25))),
    # C3: access logs showing datasets, scopes and permissions used
    Scenario("C3.log", several(drop("log"), lambda t: t.change("contained", exhibits=["@trace"]))),
    Scenario("C3.systems", facts_of("log", **span(-60 * 20, 25)), name="begins late"),
    Scenario("C3.systems", facts_of("log", **span(-60 * 24, 19)), name="ends early"),
    Scenario("C3.systems", lambda t: t.change("declared", systems=["crm", "mail"]),
             name="one absent"),
    Scenario("C3.systems", lambda t: t.exhibit("erp", 28, "access_log", system="erp",
             facts=facts(**span(-5, 5))), name="unregistered"),
    Scenario("C3.systems", facts_of("log", not_captured=("S3 object reads (no data events)",)),
             name="no data events"),
    Scenario("C3.rows", facts_of("log", scopes=())),
    Scenario("C3.principals", lambda t: t.rescope(principals=[AGENT, "eve"])),
    Scenario("C3.permissions", drop("grants")),
    conflict("C3.frozen", facts_of("log", activities=(Activity(AGENT, time(-9), time(9), 40),))),
    conflict("C3.logged", facts_of("trace", datasets=(TABLE, "s3://crm/salaries"))),
    conflict("C3.nil", lambda t: nil(t, detector=None, system="crm", kinds=["access_log"])),
    # C4: guardrail alerts and DLP findings with timestamps
    Scenario("C4.detectors", lambda t: t.rescope(detectors=["dlp-1", "dlp-2"]), name="silent"),
    Scenario("C4.detectors", several(lambda t: t.rescope(detectors=["dlp-1", "dlp-2"]),
             lambda t: nil(t, from_=time(-60))), name="nil for part of it"),
    Scenario("C4.detectors", facts_of("alert", detectors=(Detector("dlp-1"), Detector("dlp-9"))),
             name="unregistered"),
    Scenario("C4.times", facts_of("alert", findings=(finding(), finding(label="iban", at=None)))),
    Scenario("C4.dispositions", facts_of("alert", findings=(finding(disposition=None),))),
    conflict("C4.agree", facts_of("alert", findings=(
        finding(disposition="true_positive"), finding(disposition="False positive")))),
    # C5: rollback actions taken and their validation results
    Scenario("C5.action", drop("rollback"), "missing"),
    Scenario("C5.action", lambda t: deployed(t, direction="forward"), "missing",
             name="a deployment forward is none"),
    Scenario("C5.action", lambda t: deployed(t, direction="unknown"), "missing",
             name="unknown direction"),
    Scenario("C5.described", facts_of("rollback", to_digest=None)),
    Scenario("C5.before", facts_of("config", captured=16, recorded=16)),
    Scenario("C5.validated", facts_of("validation", result="failed"), name="failed"),
    Scenario("C5.validated", facts_of("validation", action="RB-9", subject=None), name="another"),
    Scenario("C5.described", several(again, validated_again, lambda t: t.change(
        "rollback", to_digest=None)), name="the first of one name"),
    Scenario("C5.described", several(lambda t: again(t, to_digest=None), validated_again),
             name="the second of one name"),
    Scenario("C5.validated", again, name="only the first of one name"),
    Scenario("C5.validated", several(again, validated_again, lambda t: t.change(
        "validation", at=time(35), ended_at=time(35))), name="only the second of one name"),
    Scenario("C5.validated", facts_of("rollback", result="failed"), name="the rollback failed"),
    conflict("C5.order", facts_of("validation", at=time(18), ended_at=time(23))),
    conflict("C5.live", facts_of("config-after", configs=(
        Config("prompt", "mail", digest="77" * 32),))),
    conflict("C5.approved", lambda t: t.attest(
        "approval", 14, "approval", of="RB-1", approver="Edsger", requester="Barbara",
        role="governance_steward", approved_at=time(14), subject="ab" * 32)),
    # C6: approvals and waivers for any deviations
    Scenario("C6.deviations", facts_of("declared", declared_at=time(20)), "missing"),
    Scenario("C6.deviations", drop("published"), "missing", "unknown", name="a clock is open"),
    Scenario("C6.second_person", several(late_and_approved, facts_of("approval", approver="Ada",
             role="incident_commander"))),
    Scenario("C6.second_person", lambda t: t.exhibit("review", 14, "approval", facts=facts(
        approvals=(Approval("PR 7", "approved", approver="ada", requester="Ada"),))),
        name="in a record"),
    Scenario("C6.second_person", several(approved_alone, lambda t: approve(
        t, 14.5, 14.2, of="RB-2")), name="another action was approved"),
    Scenario("C6.second_person", several(approved_alone, lambda t: approve(
        t, 14.5, 14.2, approver="Barbara", requester="Edsger", role="engineer")),
        name="the same person again"),
    Scenario("C6.second_person", several(approved_alone, lambda t: approve(t, 13, 13)),
             name="the second person came before"),
    Scenario("C6.in_time", several(approved_alone, lambda t: approve(t, 30, 16)),
             name="the second person came late"),
    Scenario("C6.in_time", several(late_and_approved,
                                   facts_of("approval", effective_from=time(20)))),
    Scenario("C6.in_time", lambda t: t.attest(
        "approval", 30, "approval", of="RB-1", approver="Edsger", requester="Barbara",
        role="governance_steward", approved_at=time(16)), name="after the fact"),
    conflict("C6.role", several(late_and_approved, facts_of("approval", approver="Grace"))),
    # K1: declare and triage
    Scenario("K1.ticket", drop("ticket")),
    Scenario("K1.frozen", drop("freeze", "kill")),
    Scenario("K1.frozen", several(drop("kill"), lambda t: t.change(
        "freeze", systems=["crn"], principals=None)), name="another system"),
    Scenario("K1.channel", lambda t: t.rescope(channel=None)),
    Scenario("K1.roles", drop("forensics_lead")),
    Scenario("K1.roles", lambda t: handed_over(t, accepted=False), name="nobody accepted"),
    conflict("K1.silent", facts_of("trace", **span(-10, 9))),
    conflict("K1.separate", facts_of("governance_steward", person="ADA@lab")),
    # K2: contain
    Scenario("K2.contained", drop("contained")),
    Scenario("K2.contained", lambda t: t.change("contained", exhibits=[]), name="by word alone"),
    Scenario("K2.switch", drop("kill", "rollback")),
    Scenario("K2.switch", several(drop("kill"), lambda t: t.change(
        "rollback", from_digest="v7", to_digest="v7")), name="back to the same"),
    Scenario("K2.isolated", drop("isolation")),
    Scenario("K2.volatile", several(facts_of("log", clock="none", first=None, last=None),
                                    facts_of("trace", clock="none", first=None, last=None))),
    Scenario("K2.volatile", several(facts_of("log", **span(-9000, -8000)),
                                    facts_of("trace", **span(-9000, -8000))), name="years ago"),
    conflict("K2.silent", lambda t: t.change("update", containment="not_contained")),
    conflict("K2.silent", facts_of("log", activities=(Activity(AGENT, time(-9), time(30), 40),))),
    # K3: hourly updates for Sev-1
    Scenario("K3.given", drop("update"), "missing"),
    Scenario("K3.containment", lambda t: t.change("update", containment="unknown")),
    Scenario("K3.channel", lambda t: t.change("update", channel="a direct message")),
    conflict("K3.fits", facts_of("log", activities=(Activity(AGENT, time(-9), time(55), 40),))),
    # K4: postmortem
    Scenario("K4.published", drop("published")),
    Scenario("K4.reviewed", facts_of("published", reviewer="ada@lab", author="Ada")),
    Scenario("K4.aligned", drop("aligned-rulebook")),
    Scenario("K4.playbook", drop("playbook")),
    Scenario("K4.playbook", facts_of("playbook", modified=-600), name="unchanged"),
    conflict("K4.order", lambda t: t.change("published", at=time(24))),
    # P3: eradicate and remediate
    Scenario("P3.changed", drop("rollback")),
    Scenario("P3.before", facts_of("config", captured=16, recorded=16)),
    Scenario("P3.before", lambda t: t.exhibit("hotfix", 9.2, "rollback", facts=facts(rollbacks=(
        Rollback("gateway", "succeeded", "forward", started_at=time(8), at=time(9)),))),
        name="a change forward"),
    Scenario("P3.permissions", drop("permissions")),
    Scenario("P3.tests", facts_of("validation", checks=["rollback", "dry_run"])),
    Scenario("P3.dry_run", facts_of("validation", checks=["rollback", "targeted_tests"])),
    conflict("P3.order", facts_of("stage-1", at=time(22))),
    # P4: recover
    Scenario("P4.stages", drop("stage-2"), name="one stage"),
    Scenario("P4.stages", facts_of("stage-2", monitoring="no"), name="unwatched"),
    Scenario("P4.slo", facts_of("slo", checks=["data_integrity", "user_path"])),
    Scenario("P4.data_integrity", facts_of("slo", checks=["slo", "user_path"])),
    Scenario("P4.user_path", facts_of("slo", checks=["slo", "data_integrity"])),
    Scenario("P4.slo", lambda t: t.attest("again", 78, "slo_check", at=time(78), checks=["slo"],
                                          result="failed"), name="failed later"),
    Scenario("P4.logging", facts_of("logging", at=time(65)), name="after agents came back"),
    conflict("P4.kept", facts_of("logging-off", at=time(84))),
    # X1: page SRE and Security if containment fails within 30 minutes
    Scenario("X1.sre", several(contained_late, drop("page-sre"))),
    Scenario("X1.security", several(contained_late,
                                    facts_of("page-security", acknowledged_at=None))),
    Scenario("X1.sre", several(contained_late, drop("page-sre", "page-security")), "missing",
             name="nobody"),
    conflict("X1.order", several(contained_late, facts_of("page-sre", at=time(-1)))),
    # X2: Legal and Privacy on confirmed exposure
    Scenario("X2.legal", several(exposed, drop("notice-legal"))),
    Scenario("X2.privacy", several(exposed, facts_of("notice-privacy", accepted_at=None))),
    conflict("X2.findings", facts_of("alert", findings=(finding(disposition="true_positive"),))),
    # X3: if in doubt, Tier 4
    Scenario("X3.escalated", facts_of("declared", tier="unknown"), "missing"),
    Scenario("X3.escalated", facts_of("trace", models=(Model("m-0", returned=1),)), "missing",
             name="contradicted evidence"),
    Scenario("X3.escalated", lambda t: t.amend("retier", 300, tier="2"), "missing",
             name="disputed"),
    # X4: notify stakeholders, Stewards, on-call, comms and Legal if customers are concerned
    Scenario("X4.stakeholders", drop("notice-stakeholders")),
    Scenario("X4.stewards", drop("notice-stewards")),
    Scenario("X4.sre", drop("notice-oncall_sre")),
    Scenario("X4.secops", facts_of("notice-oncall_secops", delivered_at=None)),
    Scenario("X4.comms", several(impact, drop("notice-comms"))),
    Scenario("X4.legal", several(impact, drop("notice-legal"))),
    Scenario("X4.comms", lambda t: t.rescope(customer_impact="unknown"), answer="unknown",
             name="impact unknown"),
]  # fmt: skip


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_the_condition_that_decides(scenario: Scenario) -> None:
    tell = answered()
    scenario.change(tell)
    report = tell.report()
    assert condition_of(report, scenario.decides)["answer"] == scenario.answer
    item = item_of(report, scenario.decides.partition(".")[0])
    assert item["state"] == scenario.state
    assert item["reason"]


SATISFIED: list[Change] = [
    lambda t: None,
    contained_late,
    exposed,
    impact,
    late_and_approved,
    deployed,
    several(again, validated_again),
    told_again,
    failed_first,
    lambda t: handed_over(t, accepted=True),
    lambda t: t.change("declared", tier="4"),
    several(lambda t: t.change("declared", tier="unknown"),
            lambda t: t.amend("retier", 300, tier="4")),
    several(lambda t: t.rescope(detectors=["dlp-1", "dlp-2"]), nil),
    facts_of("alert", findings=(finding(disposition="false_positive"),)),
    lambda t: nil(t, detector=None, system="erp", kinds=["access_log"]),
    several(lambda t: t.change("declared", systems=["crm", "erp"]),
            lambda t: t.exhibit("asked", 28, "nil_return", system="erp", facts=facts(
                coverage=(Covered(time(-60 * 24), time(25)),)))),
    lambda t: t.attest("approval", 14, "approval", of="RB-1", approver="Edsger",
                       requester="Barbara", role="governance_steward", approved_at=time(14),
                       subject="d0" * 32),
    several(approved_alone, lambda t: approve(t, 14.5, 14.2)),
    several(lambda t: approve(t, 14, 14), lambda t: approve(t, 30, 16)),
    lambda t: t.exhibit("review", 14, "approval", facts=facts(approvals=(
        Approval("PR 7", "approved", approver="ada", requester="Ada", at=time(10)),
        Approval("PR 7", "approved", approver="grace", requester="Ada", at=time(12))))),
    lambda t: t.exhibit("tests", 24.5, "validation", facts=facts(validations=(
        Validation("unit", "passed", time(22), "d0" * 32),))),
    lambda t: t.exhibit("denied", 29, "access_log", system="crm", facts=facts(
        **span(9, 12), principals=(AGENT,), decisions=(Decision("denied", 3),),
        activities=(Activity(AGENT, time(9), time(12), 3),))),
]  # fmt: skip
"""Other ways to follow the runbook: nothing may be wanting in any of them."""


def passed_by(change: Change) -> set[str]:
    tell = answered()
    change(tell)
    report = tell.report()
    items = [*report["evidence"], *report["duties"]]
    states = {item["id"]: (item["state"], item["reason"]) for item in items}
    wanting = {id_: why for id_, why in states.items()
               if why[0] not in ("satisfied", "not_applicable")}  # fmt: skip
    assert wanting == {}
    assert report["verdict"] == "complete"
    return {
        each["id"]
        for item in items
        for each in (*item["conditions"], *item["checks"])
        if each["answer"] == "pass"
    }


@pytest.mark.parametrize("change", SATISFIED)
def test_the_runbook_can_be_followed_in_more_than_one_way(change: Change) -> None:
    assert passed_by(change)


def test_every_condition_and_check_is_both_satisfied_and_violated_in_some_scenario() -> None:
    known = {each.id for item in DEFAULT.items for each in (*item.conditions, *item.checks)}
    assert {scenario.decides for scenario in SCENARIOS} == known
    passed = set().union(*(passed_by(change) for change in SATISFIED))
    assert known - passed == set()
