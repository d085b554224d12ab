"""Truth tables: state × timeliness × integrity, waivers, findings, "does not apply", triggers.

Expected values are the fixed order of states and the interval model of time, written down by hand.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from telling import (
    AGENT,
    DEFAULT,
    Telling,
    answered,
    condition_of,
    facts,
    item_of,
    moment,
    span,
    time,
)

from verify.checklist import Answer, Grounds, Integrity, State, assess, decide, verdict
from verify.clocks import Timeliness, timeliness, worst
from verify.errors import MalformedError
from verify.facts import Activity, Covered, Finding, Model, Rollback, Ticket
from verify.incident import UsedProfile
from verify.statement import Type
from verify.strictjson import Object

DAY = 60 * 24

# -- state -----------------------------------------------------------------------------------------

P, F, U, C = Answer.PASS, Answer.FAIL, Answer.UNKNOWN, Answer.CONFLICT
NO, YES = False, True


@pytest.mark.parametrize(
    ("answers", "waived", "conflict", "trigger", "excused", "sound", "state"),
    [
        # 1 contradicted goes before everything, and cannot be waived
        ((P, P), (NO, NO), YES, P, NO, YES, "contradicted"),
        ((F, F), (YES, YES), YES, P, NO, YES, "contradicted"),
        ((P, C), (NO, YES), NO, P, NO, YES, "contradicted"),
        ((F, F), (NO, NO), YES, F, NO, YES, "contradicted"),
        ((F, F), (NO, NO), YES, P, YES, YES, "contradicted"),
        # 2 not applicable: provably, or by two people
        ((F, F), (NO, NO), NO, F, NO, YES, "not_applicable"),
        ((P, F), (NO, NO), NO, P, YES, YES, "not_applicable"),
        ((P, P), (NO, NO), NO, F, NO, YES, "not_applicable"),
        # 3 satisfied: all pass, on what is as it was received
        ((P, P), (NO, NO), NO, P, NO, YES, "satisfied"),
        ((P, P), (NO, NO), NO, U, NO, YES, "satisfied"),
        ((P, P), (YES, YES), NO, P, NO, YES, "satisfied"),
        ((P, P), (NO, NO), NO, P, NO, NO, "partial"),
        # 4 waived: every condition that does not pass, by name
        ((P, F), (NO, YES), NO, P, NO, YES, "waived"),
        ((F, U), (YES, YES), NO, P, NO, YES, "waived"),
        ((F, F), (YES, NO), NO, P, NO, YES, "missing"),
        ((P, F), (YES, NO), NO, P, NO, YES, "partial"),
        ((P, F), (NO, YES), NO, P, NO, NO, "partial"),
        # 5 partial; unknown counts as not passed, and an unknown trigger is never "not applicable"
        ((P, F), (NO, NO), NO, P, NO, YES, "partial"),
        ((P, U), (NO, NO), NO, P, NO, YES, "partial"),
        ((F, F), (NO, NO), NO, U, NO, YES, "partial"),
        ((U, U), (NO, NO), NO, U, NO, YES, "partial"),
        # 6 missing
        ((F, F), (NO, NO), NO, P, NO, YES, "missing"),
        ((F, U), (NO, NO), NO, P, NO, YES, "missing"),
    ],
)
def test_the_first_state_that_fits(
    answers: tuple[Answer, ...], waived: tuple[bool, ...], conflict: bool, trigger: Answer,
    excused: bool, sound: bool, state: str,
) -> None:  # fmt: skip
    grounds = Grounds(answers, waived, conflict, trigger, excused, sound)
    assert decide(grounds) == state


@pytest.mark.parametrize(
    ("states", "told"),
    [
        (["satisfied", "not_applicable"], "complete"),
        (["satisfied", "waived"], "complete_with_waivers"),
        (["satisfied", "partial"], "incomplete"),
        (["waived", "missing"], "incomplete"),
        (["missing", "contradicted"], "contradicted"),
    ],
)
def test_the_verdict_over_all_items(states: list[str], told: str) -> None:
    assert verdict(states) == told


# -- timeliness ------------------------------------------------------------------------------------

EARLY, ON, AFTER = moment(0), moment(15), moment(15) + timedelta(milliseconds=1)


@pytest.mark.parametrize(
    ("claimed", "recorded", "agrees", "told"),
    [
        (EARLY, ON, NO, "on_time"),
        (ON, ON, NO, "on_time"),
        (ON, AFTER, NO, "unproven"),
        (EARLY, AFTER, NO, "unproven"),
        (EARLY, AFTER, YES, "on_time"),
        (AFTER, AFTER, NO, "late"),
        (AFTER, AFTER, YES, "late"),
        (AFTER, EARLY, NO, "late"),
    ],
)
def test_an_event_lies_between_its_claim_and_its_record(
    claimed: Any, recorded: Any, agrees: bool, told: str
) -> None:
    found = timeliness(claimed=claimed, recorded=recorded, deadline=ON, corroborated=agrees)
    assert found == told


@pytest.mark.parametrize("size", [1, 2, 3])
def test_the_worst_of_several_clocks_counts(size: int) -> None:
    order = ["on_time", "pending", "unproven", "late", "breached"]
    for several in itertools.combinations(Timeliness, size):
        assert worst(several) == max(several, key=lambda each: order.index(each.value))
    assert worst([]) is None


def clock_of(report: Object, id_: str) -> Object:
    (found,) = [each for each in report["clocks"] if each["id"] == id_]
    return found


@pytest.mark.parametrize(
    ("at", "recorded", "as_of", "told"),
    [
        (35, 35, DAY, "on_time"),
        (35.1, 36, DAY, "late"),
        (25, 36, DAY, "unproven"),
        (None, None, 35, "pending"),
        (None, None, 35.1, "breached"),
    ],
)
def test_containment_has_30_minutes_from_the_declaration(
    at: float | None, recorded: float | None, as_of: float, told: str
) -> None:
    tell = answered()
    tell.change("log", recorded=22)
    tell.change("log", activities=(), clock="none", first=None, last=None)
    if at is None or recorded is None:
        tell.drop("contained")
    else:
        tell.change("contained", at=time(at), recorded=recorded)
    report = tell.report(as_of=as_of)
    assert clock_of(report, "contain")["timeliness"] == told
    assert item_of(report, "K2")["timeliness"] == told


def test_an_independent_record_that_agrees_proves_a_claimed_time() -> None:
    tell = answered()
    tell.change("contained", recorded=500)
    assert clock_of(tell.report(), "contain")["corroborated_by"] == ["EV-0006"]
    assert item_of(tell.report(), "K2")["timeliness"] == "on_time"
    tell.change("log", **span(-DAY, 19))
    assert item_of(tell.report(), "K2")["timeliness"] == "unproven"
    assert item_of(tell.report(), "K2")["state"] == "satisfied"


@pytest.mark.parametrize(
    ("name", "change", "clock", "early"),
    [
        # Detected 09:00, declared 09:05. On record at once, and confirmed by an exhibit.
        ("contained", {"at": time(4), "recorded": 27}, "contain", 60),
        ("freeze", {"at": time(-2)}, "freeze", 120),
        ("freeze", {"at": time(-0.001)}, "freeze", 1),
        ("declared", {"declared_at": time(-3)}, "declare", 180),
    ],
)
def test_what_is_claimed_before_its_clock_ran_is_never_quietly_on_time(
    name: str, change: dict[str, Any], clock: str, early: int
) -> None:
    tell = answered()
    tell.drop("kill")
    tell.change(name, **change)
    found = clock_of(tell.report(), clock)
    assert found["timeliness"] == "unproven"
    assert (found["seconds"], found["early_seconds"]) == (None, early)


def test_a_page_before_it_is_owed_is_in_time_and_is_told_as_early() -> None:
    tell = answered()
    tell.change("contained", at=time(38), recorded=39)
    tell.change("log", **span(-DAY, 38))
    for team in ("sre", "security"):
        tell.attest(f"page-{team}", 21, "page", at=time(20), team=team,
                    delivered_at=time(20), acknowledged_at=time(21))  # fmt: skip
    found = clock_of(tell.report(), "page")
    assert (found["timeliness"], found["seconds"], found["early_seconds"]) == ("on_time", None, 900)


def test_late_is_no_state_but_a_deviation() -> None:
    tell = answered()
    tell.change("contained", at=time(38), recorded=39)
    report = tell.report()
    assert (item_of(report, "K2")["state"], item_of(report, "K2")["timeliness"]) == (
        "satisfied", "late")  # fmt: skip
    assert [each["id"] for each in report["deviations"]] == ["late.contain"]


@pytest.mark.parametrize(
    ("updates", "as_of", "told", "seconds"),
    [
        # declared 09:05 as Sev-1, recovered 10:20
        ([50], DAY, "on_time", 2700),
        ([65], DAY, "on_time", 3600),
        ([65.1], DAY, "late", 3606),
        ([], DAY, "late", 4500),
        ([15, 25], DAY, "on_time", 3300),
    ],
)
def test_no_gap_between_updates_is_longer_than_an_hour_ends_included(
    updates: list[float], as_of: float, told: str, seconds: int
) -> None:
    clock = clock_of(with_updates(updates).report(as_of=as_of), "updates")
    assert (clock["timeliness"], clock["seconds"]) == (told, seconds)


@pytest.mark.parametrize(("as_of", "told"), [(110, "pending"), (110.1, "breached")])
def test_the_next_update_is_due_an_hour_after_the_last(as_of: float, told: str) -> None:
    tell = with_updates([50])
    tell.drop("recovered")
    clock = clock_of(tell.report(as_of=as_of), "updates")
    assert (clock["timeliness"], clock["deadline"]) == (told, time(110))


def with_updates(updates: list[float]) -> Telling:
    tell = answered()
    said = tell.step("update")
    tell.drop("update")
    for at in updates:
        tell.say(f"update-{at}", at, Type.INCIDENT, {**said.body, "at": time(at)})
    return tell


def test_updates_are_owed_while_it_was_sev1_and_no_longer() -> None:
    tell = answered()
    tell.change("declared", severity="sev2")
    tell.change("ticket", tickets=(Ticket("OPS-1", "x", severity="SEV-2", opened_at=time(4)),))
    tell.drop("update")
    report = tell.report()
    assert item_of(report, "K3")["state"] == "not_applicable"
    assert item_of(report, "K3")["timeliness"] is None
    assert "updates" not in [each["id"] for each in report["clocks"]]
    tell = answered()
    tell.drop("update")
    tell.amend("downgrade", 60, severity="sev2")
    assert clock_of(tell.report(), "updates")["seconds"] == 55 * 60


# -- what was stated ahead of its time ------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "change", "condition"),
    [
        ("freeze", {"at": time(DAY)}, "K1.frozen"),
        ("kill", {"at": time(DAY)}, "K2.switch"),
        ("contained", {"at": time(DAY)}, "K2.contained"),
        ("update", {"at": time(DAY)}, "K3.given"),
        ("notice-stewards", {"delivered_at": time(DAY)}, "X4.stewards"),
        ("forensics_lead", {"at": time(DAY)}, "K1.roles"),
    ],
)
def test_a_statement_ahead_of_its_record_counts_from_its_time_on(
    name: str, change: dict[str, Any], condition: str
) -> None:
    tell = answered()
    tell.drop("kill" if name == "freeze" else "freeze", "rollback", "validation")
    tell.change(name, **change)
    (told,) = tell.report(as_of=DAY - 1)["ahead"]
    assert (told["at"], told["counts"]) == (time(DAY), False)
    assert condition_of(tell.report(as_of=DAY - 1), condition)["answer"] == "fail"
    assert condition_of(tell.report(as_of=DAY), condition)["answer"] == "pass"
    (told,) = tell.report(as_of=DAY)["ahead"]
    assert told["counts"], "it counts, and is told for good"


def test_a_containment_to_come_keeps_its_clock_running_and_ends_no_window() -> None:
    tell = answered()
    tell.change("contained", at=time(DAY))
    report = tell.report(as_of=60)
    assert clock_of(report, "contain")["timeliness"] == "breached"
    assert report["window"]["to"] == time(640), "the last link"
    assert clock_of(tell.report(), "contain")["timeliness"] == "late"


@pytest.mark.parametrize(("minutes", "told"), [(5, 0), (5.01, 1)])
def test_clocks_may_differ_by_five_minutes(minutes: float, told: int) -> None:
    tell = answered()
    tell.change("freeze", at=time(8 + minutes))
    assert len(tell.report()["ahead"]) == told


def test_an_approval_may_take_effect_later() -> None:
    tell = answered()
    tell.attest("approval", 14, "approval", of="RB-1", approver="Edsger", requester="Barbara",
                role="governance_steward", approved_at=time(14),
                effective_from=time(DAY))  # fmt: skip
    assert tell.report()["ahead"] == []


def test_who_hands_over_tomorrow_holds_the_role_today() -> None:
    tell = answered()
    for name, event in (("offer", "offered"), ("taken", "accepted")):
        body = {"at": time(100), "event": event, "person": "Alan", "role": "comms_lead"}
        tell.say(name, 100, Type.INCIDENT, body)
    tell.change("taken", at=time(DAY))
    before, after = tell.report(as_of=DAY - 1), tell.report(as_of=DAY)
    assert item_of(before, "X4")["person"] == "Grace"
    assert condition_of(before, "K1.roles")["detail"] == "not accepted: comms_lead"
    assert item_of(after, "X4")["person"] == "Alan"
    assert condition_of(after, "K1.roles")["answer"] == "pass"


# -- the three axes are never mixed ----------------------------------------------------------------


@pytest.mark.parametrize("integrity", list(Integrity))
@pytest.mark.parametrize("timely", ["on_time", "late", "unproven", "breached"])
@pytest.mark.parametrize("state", ["satisfied", "partial"])
def test_state_timeliness_and_integrity_are_told_apart(
    state: str, timely: str, integrity: Integrity
) -> None:
    tell = answered()
    if state == "partial":
        tell.drop("isolation")
    if timely == "late":
        tell.change("contained", at=time(38), recorded=39)
    elif timely == "unproven":
        tell.change("contained", recorded=500)
        tell.change("log", **span(-DAY, 19))
    elif timely == "breached":
        tell.drop("contained")
        state = "partial"
    told = {"trace": integrity}
    item = item_of(tell.report(integrity=told), "K2")
    sound = integrity == Integrity.VERIFIED
    assert item["state"] == (state if sound else "partial")
    assert item["timeliness"] == timely
    assert item["integrity"] == integrity.value
    if not sound:
        assert "no longer as received: EV-" in item["reason"]


# -- waivers ---------------------------------------------------------------------------------------


def without_grants() -> Telling:
    tell = answered()
    tell.drop("grants")
    return tell


def test_a_waiver_covers_what_it_names_until_it_ends() -> None:
    tell = without_grants()
    tell.waive(700, "C3.permissions")
    item = item_of(tell.report(), "C3")
    assert (item["state"], item["underlying"]) == ("waived", "partial")
    assert tell.report()["verdict"] == "complete_with_waivers"
    assert tell.report()["waivers"][0]["covers"] == ["C3.permissions"]
    for as_of, state, standing in (
        (699.9, "partial", "not_yet"),
        (700, "waived", "live"),
        (700 + DAY * 90, "waived", "live"),
        (700.1 + DAY * 90, "partial", "expired"),
    ):
        report = tell.report(as_of=as_of)
        assert item_of(report, "C3")["state"] == state
        assert report["waivers"][0]["standing"] == standing


def test_a_revoked_waiver_covers_nothing_from_then_on() -> None:
    tell = without_grants()
    tell.waive(700, "C3.permissions")
    tell.say("revoked", 800, Type.WAIVER,
             {"event": "revoked", "reason": "they exist", "waiver": "W-0001"})  # fmt: skip
    assert item_of(tell.report(as_of=799), "C3")["state"] == "waived"
    assert item_of(tell.report(as_of=800), "C3")["state"] == "partial"
    assert tell.report()["waivers"][0]["standing"] == "revoked"


def test_every_condition_that_fails_must_be_named() -> None:
    tell = without_grants()
    tell.rescope(principals=[AGENT, "eve"])
    tell.waive(700, "C3.permissions")
    assert item_of(tell.report(), "C3")["state"] == "partial"
    assert tell.report()["waivers"][0]["covers"] == []
    tell.waive(701, "C3.principals", number=2)
    assert item_of(tell.report(), "C3")["state"] == "waived"


@pytest.mark.parametrize(
    ("scopes", "state"),
    [
        ([["mail"]], "waived"),
        ([["mail", "crm"]], "waived"),
        ([["crm"]], "partial"),
        ([["erp"]], "partial"),
        ([[]], "waived"),
    ],
)
def test_a_waiver_with_a_scope_covers_no_other_system(scopes: list[list[str]], state: str) -> None:
    tell = answered()
    tell.change("declared", systems=["crm", "mail"])
    for number, scope in enumerate(scopes, 1):
        tell.waive(700, "C3.systems", number=number, scope=scope)
    assert item_of(tell.report(), "C3")["state"] == state


def test_two_scopes_together_cover_two_systems() -> None:
    tell = answered()
    tell.change("declared", systems=["crm", "mail", "erp"])
    tell.waive(700, "C3.systems", scope=["mail"])
    assert item_of(tell.report(), "C3")["state"] == "partial"
    tell.waive(701, "C3.systems", number=2, scope=["erp"])
    assert item_of(tell.report(), "C3")["state"] == "waived"


def test_a_contradiction_cannot_be_waived() -> None:
    tell = answered()
    tell.change("trace", models=(Model("m-2025-06-01", returned=4),))
    tell.waive(700, *(each.id for each in DEFAULT.evidence[1].conditions), "C2.pinned")
    assert item_of(tell.report(), "C2")["state"] == "contradicted"


@pytest.mark.parametrize(
    ("minutes", "said"),
    [
        (-6, ["detected 09:00Z", "fired 08:54Z"]),
        (-6 - 24 * 60, ["detected 2026-03-02 09:00Z", "fired 2026-03-01 08:54Z"]),
    ],
)
def test_times_of_a_contradiction_have_dates_where_the_days_differ(
    minutes: float, said: list[str]
) -> None:
    tell = answered()
    (found,) = tell.step("alert").facts.findings  # type: ignore[union-attr]
    tell.change("alert", findings=(replace(found, at=time(minutes)),))
    (told,) = (e for e in tell.report()["contradictions"] if e["condition"] == "C1.first_alert")
    assert [side["says"] for side in told["sides"]] == said


# -- findings --------------------------------------------------------------------------------------


def contradicted() -> Telling:
    tell = answered()
    tell.change("trace", models=(Model("m-2025-06-01", returned=4),))
    return tell


def settle(tell: Telling, recorded: float = 700, **changes: Any) -> None:
    fields = {"conflict": "C2.pinned", "believed": "@trace", "reason": "the pin was not deployed",
              **changes}  # fmt: skip
    tell.attest("finding", recorded, "finding", **fields)


def test_a_finding_closes_the_conflict_that_it_names() -> None:
    tell = contradicted()
    (before,) = tell.report()["contradictions"]
    assert before["closed_by"] is None
    assert {side["record"] for side in before["sides"]} == {"EV-0003", "EV-0005"}
    settle(tell)
    report = tell.report()
    assert item_of(report, "C2")["state"] == "satisfied"
    (after,) = report["contradictions"]
    assert after["closed_by"]["believed"] == "EV-0005"
    assert "believes EV-0005" in condition_of(report, "C2.pinned")["detail"]


@pytest.mark.parametrize("change", [{"conflict": "C2.config"}, {"believed": "@ticket"}])
def test_a_finding_about_something_else_closes_nothing(change: dict[str, str]) -> None:
    tell = contradicted()
    settle(tell, **change)
    assert item_of(tell.report(), "C2")["state"] == "contradicted"


def test_later_evidence_in_the_same_conflict_opens_it_again() -> None:
    tell = contradicted()
    settle(tell)
    again = tell.step("trace")
    assert again.facts is not None
    tell.exhibit("trace-2", 800, "tool_trace", facts=again.facts, system="crm")
    assert item_of(tell.report(), "C2")["state"] == "contradicted"


def believing_the_chain(**changes: Any) -> Object:
    """The log has the agent act after containment; a finding believes the statements."""
    tell = answered()
    tell.change("log", activities=(Activity(AGENT, time(-9), time(30), 40),))
    tell.exhibit("ntp", 690, "other")
    settle(tell, conflict="K2.silent", believed="statement", reason="that clock was an hour off",
           **changes)  # fmt: skip
    return condition_of(tell.report(), "K2.silent")


def test_a_finding_may_believe_what_the_chain_says_if_an_exhibit_shows_why() -> None:
    assert believing_the_chain(exhibits=["@ntp"])["answer"] == "pass"


@pytest.mark.parametrize(
    "shown",
    [
        {},
        {"exhibits": ["@log"]},
        {"exhibits": ["@ntp"], "disbelieved": ["@ntp"]},
    ],
    ids=["by word alone", "by what contradicts it", "by what it disbelieves"],
)
def test_a_person_s_word_alone_settles_nothing_and_the_report_says_so(shown: Any) -> None:
    found = believing_the_chain(**shown)
    assert found["answer"] == "conflict"
    assert found["detail"].endswith("believes statement, and no exhibit shows why")


def test_a_withdrawn_exhibit_shows_no_finding() -> None:
    tell = contradicted()
    tell.attest("validated-early", 18, "validation", at=time(18), action="RB-1",
                checks=["rollback"], result="passed")  # fmt: skip
    tell.exhibit("ntp", 690, "other")
    settle(tell, conflict="C5.order", believed="statement", exhibits=["@ntp"])
    assert condition_of(tell.report(), "C5.order")["answer"] == "pass"
    tell.say("gone", 710, Type.CUSTODY, {"event": "withdrawn", "exhibits": ["@ntp"], "reason": "x"})
    assert condition_of(tell.report(), "C5.order")["answer"] == "conflict"


# -- does not apply --------------------------------------------------------------------------------


def no_rollback() -> Telling:
    tell = answered()
    tell.drop("rollback", "validation")
    tell.attest("none-needed", 500, "not_applicable", approved_by="Edsger", item="C5",
                reason="nothing was changed")  # fmt: skip
    return tell


def test_commander_and_steward_can_say_that_an_item_does_not_apply() -> None:
    item = item_of(no_rollback().report(), "C5")
    assert (item["state"], item["reason"]) == ("not_applicable", "nothing was changed")
    assert item["next"] == []


@pytest.mark.parametrize("name", ["Grace", "Somebody"])
def test_nobody_but_the_steward_can_be_the_second_person(name: str) -> None:
    tell = no_rollback()
    approval = {"authenticated": "attested", "person": name}
    tell.change("none-needed", body={**tell.step("none-needed").body, "approved_by": approval})
    item = item_of(tell.report(), "C5")
    assert item["state"] == "missing"
    assert "does not apply: whoever approved that was not governance steward" in item["reason"]


def test_evidence_to_the_contrary_reopens_it_as_contradicted() -> None:
    tell = no_rollback()
    tell.exhibit("deploy", 600, "rollback", facts=facts(rollbacks=(
        Rollback("mail", "succeeded", "back", started_at=time(15), at=time(16)),)))  # fmt: skip
    item = item_of(tell.report(), "C5")
    assert item["state"] == "contradicted"
    assert tell.report()["contradictions"]


def test_a_mistaken_word_that_it_does_not_apply_is_taken_back_by_a_later_one() -> None:
    tell = no_rollback()
    tell.attest("it-does", 550, "applies", item="C5", reason="the prompt was put back")
    item = item_of(tell.report(), "C5")
    assert (item["state"], item["next"] != []) == ("missing", True)
    assert "says that it does not apply: link" in item["reason"]
    assert item["reason"].endswith("takes that back")
    tell.attest("no-after-all", 560, "not_applicable", approved_by="Edsger", item="C5",
                reason="it was another prompt")  # fmt: skip
    assert item_of(tell.report(), "C5")["state"] == "not_applicable"


def test_taken_back_it_contradicts_nothing_any_more_and_only_for_its_own_item() -> None:
    tell = answered()
    tell.attest("none-needed", 500, "not_applicable", approved_by="Edsger", item="C5",
                reason="nothing was changed")  # fmt: skip
    tell.attest("another", 550, "applies", item="P3", reason="it was patched")
    assert item_of(tell.report(), "C5")["state"] == "contradicted"
    tell.attest("it-does", 560, "applies", item="C5", reason="the prompt was put back")
    report = tell.report()
    assert item_of(report, "C5")["state"] == "satisfied"
    assert report["contradictions"] == []


@pytest.mark.parametrize("id_", ["C1", "C2", "C6", "K1", "K2", "X4"])
def test_some_items_always_apply(id_: str) -> None:
    tell = Telling(answered().steps[:7])
    tell.exhibit("ticket", 7, "other")
    tell.attest("none-needed", 500, "not_applicable", approved_by="Edsger", item=id_, reason="x")
    item = item_of(tell.report(), id_)
    assert item["state"] in ("partial", "missing")
    assert "does not apply: it always applies" in item["reason"]


def test_a_voided_incident_owes_no_postmortem_and_its_clock_stops() -> None:
    tell = answered()
    tell.drop("published", "postmortem")
    tell.attest("voided", 500, "not_applicable", approved_by="Edsger", item="K4",
                reason="a false positive")  # fmt: skip
    report = tell.report(as_of=DAY * 9)
    assert item_of(report, "K4")["state"] == "not_applicable"
    assert "postmortem" not in [each["id"] for each in report["clocks"]]


# -- triggers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("item", "scope", "state"),
    [
        ("X2", {"exposure": "none"}, "not_applicable"),
        ("X2", {"exposure": "suspected"}, "partial"),
        ("X2", {"exposure": "unknown"}, "partial"),
        ("X2", {"exposure": None}, "partial"),
        ("X2", {"exposure": "confirmed"}, "missing"),
        ("C4", {"detectors": []}, "not_applicable"),
    ],
)
def test_an_unknown_trigger_is_partial_and_never_not_applicable(
    item: str, scope: dict[str, Any], state: str
) -> None:
    tell = answered()
    tell.rescope(**scope)
    assert item_of(tell.report(), item)["state"] == state


def test_what_nobody_registered_is_partial_even_without_any_evidence() -> None:
    tell = answered()
    tell.rescope(detectors=None)
    tell.drop("alert")
    assert item_of(tell.report(), "C4")["state"] == "partial"


@pytest.mark.parametrize(
    ("change", "state", "timely"),
    [
        ({}, "not_applicable", None),
        ({"at": time(38), "recorded": 39}, "missing", "breached"),
        ({"recorded": 500}, "partial", None),
    ],
)
def test_pages_are_owed_unless_containment_in_time_is_proven(
    change: dict[str, Any], state: str, timely: str | None
) -> None:
    tell = answered()
    tell.change("contained", **change)
    if change:
        tell.change("log", **span(-DAY, 19))
    item = item_of(tell.report(), "X1")
    assert (item["state"], item["timeliness"]) == (state, timely)


def test_uncontained_the_pages_are_pending_then_breached() -> None:
    tell = answered()
    tell.drop("contained")
    for as_of, timely in ((10, "pending"), (40, "pending"), (40.1, "breached")):
        item = item_of(tell.report(as_of=as_of), "X1")
        assert (item["state"], item["timeliness"]) == ("missing", timely)


# -- what the report tells besides -----------------------------------------------------------------


def test_coverage_is_told_with_its_gaps_as_intervals() -> None:
    tell = answered()
    tell.change("declared", systems=["crm", "mail"])
    tell.change("log", **span(-60 * 20, 25))
    bars = {(each["what"], each["name"]): each for each in tell.report()["coverage"]}
    assert bars["system", "crm"]["gaps"] == [
        {"from": time(-DAY), "seconds": 4 * 3600, "to": time(-60 * 20)}
    ]
    assert bars["system", "mail"]["intervals"] == []
    assert bars["system", "mail"]["gaps"][0]["seconds"] == (DAY + 25) * 60
    assert bars["principal", AGENT]["exhibits"] == ["EV-0006"]
    assert bars["run", "run-7"]["intervals"] == [
        {"from": time(-10), "seconds": 540, "to": time(-1)}
    ]


def test_evidence_never_defines_its_own_scope() -> None:
    tell = answered()
    tell.change("log", principals=(AGENT, "mallory"))
    tell.exhibit("erp", 28, "access_log", system="erp", facts=facts(**span(-5, 5)))
    tell.rescope(sources=None)
    report = tell.report()
    assert [(each["what"], each["name"]) for each in report["outside_scope"]] == [
        ("system", "erp"), ("principal", "mallory")]  # fmt: skip
    assert report["unregistered"] == ["sources"]
    assert item_of(report, "C3")["state"] == "partial", "erp is unregistered, mallory a bystander"


@pytest.mark.parametrize(
    ("source", "asked", "state"),
    [(None, None, "satisfied"), (None, "a trail", "partial"), ("trail", "trail", "satisfied")],
)
def test_a_captured_query_that_found_nothing_speaks_for_its_system(
    source: str | None, asked: str | None, state: str
) -> None:
    """And what covers one trail says nothing of the others."""
    tell = answered()
    tell.change("declared", systems=["crm", "erp"])
    tell.exhibit("asked", 28, "nil_return", system="erp", source=source,
                 facts=facts(coverage=(Covered(time(-DAY), time(25), asked),)))  # fmt: skip
    assert item_of(tell.report(), "C3")["state"] == state


def test_a_captured_query_speaks_for_the_detector_that_it_asked() -> None:
    tell = answered()
    tell.rescope(detectors=["dlp-1", "dlp-2"])
    assert item_of(tell.report(), "C4")["state"] == "partial"
    tell.exhibit("asked", 28, "nil_return", source="dlp-2",
                 facts=facts(coverage=(Covered(time(-DAY), time(25), "dlp-2"),)))  # fmt: skip
    assert item_of(tell.report(), "C4")["state"] == "satisfied"


def test_what_is_owed_is_told_with_its_owner_and_what_is_due_first() -> None:
    tell = answered()
    tell.drop("published", "isolation", "postmortem")
    owed = tell.report(as_of=DAY)["owed"]
    assert [(each["item"], each["person"], each["due_at"], each["overdue"]) for each in owed] == [
        ("K4", "Ada", time(5 + 72 * 60), False),
        ("C6", "Edsger", None, False),
        ("K2", "Ada", None, False),
    ]


def test_a_newer_version_of_the_profile_on_the_chain_is_told() -> None:
    tell = answered()
    incident, described, _ = tell.fold()
    incident.profiles[DEFAULT.name] = UsedProfile(DEFAULT.version + 1, "ab" * 32, 7)
    newer = assess(DEFAULT, incident, described, as_of=moment(DAY))["profile"]["newer"]
    assert newer == {"link": 7, "sha256": "ab" * 32, "version": DEFAULT.version + 1}
    assert tell.report()["profile"]["newer"] is None


def test_what_vanishes_first_comes_first_and_no_step_twice() -> None:
    steps = Telling(answered().steps[:1]).report()["next"]
    ranks = [each["vanishes"] for each in steps]
    assert ranks == sorted(ranks)
    commands = [tuple(each["command"]) for each in steps]
    assert len(set(commands)) == len(commands)
    assert commands[0][:2] == ("evault", "capture"), "volatile data vanishes first"


def test_a_failed_guardrail_that_found_nothing_still_reported() -> None:
    tell = answered()
    tell.change("alert", findings=())
    assert condition_of(tell.report(), "C4.detectors")["answer"] == "pass"
    assert condition_of(tell.report(), "C4.times")["answer"] == "pass", "nothing was found"


def test_a_time_that_is_none_is_told_with_its_exhibit_and_its_place() -> None:
    tell = answered()
    worse = Finding("dlp-1", "iban", 1, "2026-03-02T09:00:00", "blocked")
    tell.change("alert", findings=(*(tell.step("alert").facts or facts()).findings, worse))
    with pytest.raises(MalformedError) as caught:
        tell.report()
    assert str(caught.value) == (
        "EV-0002: facts.findings[1].at: '2026-03-02T09:00:00' is no time with a zone; "
        "classify or withdraw EV-0002"
    )
    tell.say("gone", 700, Type.CUSTODY,
             {"event": "withdrawn", "exhibits": ["@alert"], "reason": "no zone"})  # fmt: skip
    assert item_of(tell.report(), "C4")["state"] == "missing"


def test_states_are_words_of_one_list() -> None:
    assert {each.value for each in State} == {
        "satisfied", "partial", "missing", "waived", "not_applicable", "contradicted"}  # fmt: skip
