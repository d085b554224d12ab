"""Figures by their formula: what is open is counted, and what is not known is never nought."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from chain_story import START
from hypothesis import given
from hypothesis import strategies as st
from telling import DEFAULT, Telling, answered, facts, moment, span, time
from told_story import Told

from vault.metrics import EARLY, Figure, Measured, Sample, figures_of, measured_of
from verify.checklist import assess
from verify.facts import Detector, Finding
from verify.incident import Incident
from verify.statement import Type

DAY = 60 * 24


def measured(
    tell: Telling, *, as_of: float = 4 * DAY, id_: str | None = None, peers: Sequence[Incident] = ()
) -> Measured:
    incident, described, _ = tell.fold()
    incident.id = id_ or incident.id
    report = assess(DEFAULT, incident, described, as_of=moment(as_of))
    return Measured(incident, described, report, None, moment(as_of), peers)


def figure(id_: str, *cases: Measured) -> Figure:
    [found] = [each for each in figures_of(cases) if each.id == id_]
    return found


def acknowledged(at: float = 3, recorded: float = 8) -> Telling:
    tell = answered()
    tell.attest("ack", recorded, "acknowledgement", at=time(at), person="Ada")
    return tell


def bare() -> Telling:
    """Declared, and nothing else."""
    tell = Telling()
    tell.steps = [answered().step("declared")]
    return tell


def closed(tell: Telling) -> Measured:
    case = measured(tell)
    case.incident.sealed = True
    return case


# -- none, one, and some that are open -------------------------------------------------------------


def test_without_an_incident_every_figure_is_empty_and_none_is_nought() -> None:
    figures = figures_of([])
    assert figures
    for each in figures:
        shown = each.to_json()
        assert (shown["n"], shown["mean"], shown["median"], shown["p90"], shown["pooled"]) == (
            0, None, None, None, None,
        )  # fmt: skip


def test_one_incident_is_its_own_mean_median_and_ninetieth_percentile() -> None:
    # answered(): alert at 0, declared at 5, contained at 25, recovered at 80 minutes.
    case = measured(acknowledged(at=3))
    for id_, minutes in (("mtta", 3), ("mttc", 25 - 5), ("mttr_recover", 80)):
        found = figure(id_, case)
        assert (found.mean, found.median, found.p90) == (minutes * 60,) * 3
        fed = found.to_json()["fed_by"][0]
        assert (fed["incident"], fed["sequence"], fed["leaf_hash"]) == (
            case.incident.id, case.incident.sequence, case.incident.leaf,
        )  # fmt: skip


def test_an_open_incident_is_counted_and_does_not_move_the_mean() -> None:
    done, running = measured(acknowledged()), measured(bare(), id_="INC-2026-0002")
    for id_ in ("mtta", "mttc", "mttr_recover", "recurrence"):
        alone, both = figure(id_, done), figure(id_, done, running)
        assert both.mean == alone.mean
        assert "INC-2026-0002" in [each.measured.incident.id for each in both.open]
        assert both.unknown == []


def test_what_a_closed_incident_never_said_is_not_known_instead_of_open() -> None:
    case = closed(bare())
    for id_ in ("mtta", "mttc", "mttr_recover"):
        found = figure(id_, case)
        assert (found.open, len(found.unknown), found.mean) == ([], 1, None)


def test_what_the_chains_cannot_say_is_never_a_number() -> None:
    for each in figures_of([measured(bare())]):
        if each.id in (
            "false_discovery",
            "caught_by_guardrail",
            "detectors_heard",
            "capture_lag",
            "guardrail_coverage",
        ):
            assert (len(each.unknown), each.mean) == (1, None)


def test_guardrail_coverage_is_of_affected_systems_and_none_stated_is_a_nought() -> None:
    [sample] = figure("guardrail_coverage", measured(answered())).samples
    assert (sample.part, sample.of) == (1, 1)
    assert sample.detail == "crm: dlp-1 enabled (EV-0002), tested (EV-0002)"
    tell = answered()
    tell.change("declared", systems=["crm", "mail"])
    tell.rescope(detectors=[])
    [left] = figure("detectors_heard", measured(tell)).unknown
    assert left.reason == "there is no detector, as stated"
    found = figure("guardrail_coverage", measured(tell))
    assert (found.pooled, found.samples[0].detail) == (
        (0, 2),
        "crm: no detector. mail: no detector",
    )


def test_no_title_says_mttr_bare() -> None:
    titles = [each.title for each in figures_of([])]
    assert any(title.startswith("MTTR-recover: detected to recovered") for title in titles)
    assert not any(title.startswith("MTTR:") or title == "MTTR" for title in titles)


# -- the formulas ----------------------------------------------------------------------------------


def alert_at(tell: Telling, *minutes: float, name: str = "later", recorded: float = 8.5) -> None:
    tell.exhibit(name, recorded, "guardrail_alert", facts=facts(
        findings=tuple(Finding("g", f"x{m}", 1, time(m), None) for m in minutes)))  # fmt: skip


def test_acknowledging_is_timed_from_the_newest_alert_that_it_can_answer() -> None:
    tell = acknowledged(at=8)
    alert_at(tell, 6, 8.5)
    [sample] = figure("mtta", measured(tell)).samples
    assert sample.value == 2 * 60, "alert at 6: not at 0, not at 8.5; not declared at 5"
    assert sample.detail == (
        "EV-0003, 2026-03-02T09:06:00Z, to link 10 2026-03-02T09:08:00Z; left out: 1 not the alert "
        "that it answers (first EV-0002 2026-03-02T09:00:00Z), 1 after the acknowledgement "
        "(first EV-0003 2026-03-02T09:08:30Z)"
    )


def test_an_acknowledgement_that_names_its_alert_answers_that_one() -> None:
    tell = acknowledged(at=8)
    alert_at(tell, 6, name="newer", recorded=7.5)
    tell.change("ack", alert="@alert")
    assert figure("mtta", measured(tell)).mean == 8 * 60
    tell.change("ack", alert="@ticket")
    [sample] = figure("mtta", measured(tell)).samples
    assert sample.detail.startswith(
        "stated detection, for want of the alert that it names (EV-0001) with a time"
    )


def test_an_alert_of_years_ago_is_left_out_and_told() -> None:
    tell = acknowledged()
    alert_at(tell, -1008 * DAY)
    [sample] = figure("mtta", measured(tell)).samples
    assert sample.value == 3 * 60
    assert sample.detail.endswith(
        "; left out: 1 before the window from 2026-03-01T09:00:00Z (first EV-0003 "
        "2023-05-29T09:00:00Z)"
    )
    tell.drop("alert")
    [sample] = figure("mtta", measured(tell)).samples
    assert sample.value == 3 * 60
    assert sample.detail.startswith(
        "stated detection, for want of an alert with a time in the window, "
    )
    assert "left out: 1 before the window" in sample.detail
    [left] = figure("caught_by_guardrail", measured(tell)).unknown
    assert left.reason == (
        "no guardrail alert with a time in the window is on record; 1 outside it"
    )


def test_without_an_alerts_time_it_is_timed_from_the_stated_detection_and_says_so() -> None:
    tell = acknowledged()
    tell.drop("alert")
    [sample] = figure("mtta", measured(tell)).samples
    assert sample.value == 3 * 60
    assert sample.detail.startswith("stated detection, for want of an alert with a time")


def test_an_acknowledgement_before_its_alert_is_no_negative_time() -> None:
    found = figure("mtta", measured(acknowledged(at=-1)))
    assert found.samples == []
    assert "before its first alert (EV-0002 2026-03-02T09:00:00Z)" in found.unknown[0].reason
    tell = acknowledged(at=-1)
    tell.drop("alert")
    found = figure("mtta", measured(tell))
    assert found.samples == []
    assert "before the stated detection" in found.unknown[0].reason


def test_containment_before_the_declaration_is_no_negative_time() -> None:
    tell = answered()
    tell.change("contained", at=time(4))
    found = figure("mttc", measured(tell))
    assert (found.samples, len(found.unknown)) == ([], 1)


def test_a_recovery_that_did_not_last_is_none() -> None:
    tell = answered()
    tell.say("again", 95, Type.INCIDENT, {
        "at": time(95), "event": "phase", "exhibits": [], "phase": "recovering"})  # fmt: skip
    assert len(figure("mttr_recover", measured(tell)).open) == 1
    tell.say("at-last", 120, Type.INCIDENT, {
        "at": time(110), "event": "phase", "exhibits": [], "phase": "recovered"})  # fmt: skip
    assert figure("mttr_recover", measured(tell)).mean == 110 * 60


def alerts(*dispositions: str | None, at: Sequence[float] | None = None) -> Telling:
    tell = answered()
    tell.drop("alert")
    for number, disposition in enumerate(dispositions):
        when = time(at[number]) if at else time(number)
        tell.exhibit(f"a{number}", 7.2, "dlp_finding", facts=facts(
            findings=(Finding("dlp-1", "pii", 1, when, disposition),)))  # fmt: skip
    return tell


@pytest.mark.parametrize(
    ("dispositions", "pooled"),
    [
        (("false_positive", "true_positive", "confirmed", "blocked"), (1, 3)),
        (("False Positive", "benign"), (2, 2)),
        (("blocked", None, "archived"), None),
    ],
)
def test_false_discoveries_are_counted_of_what_was_judged(
    dispositions: tuple[str | None, ...], pooled: tuple[int, int] | None
) -> None:
    found = figure("false_discovery", measured(alerts(*dispositions)))
    assert found.pooled == pooled
    [part] = found.parts
    undetermined = len(dispositions) - (pooled[1] if pooled else 0)
    assert part["undetermined"] == undetermined
    if pooled is None:
        assert found.mean is None


def test_two_records_of_one_alert_are_one_and_where_they_disagree_none() -> None:
    same = figure("false_discovery", measured(alerts("benign", "benign", at=(1, 1))))
    assert same.pooled == (1, 1)
    apart = figure("false_discovery", measured(alerts("benign", "confirmed", at=(1, 1))))
    assert (apart.pooled, apart.parts[0]["undetermined"]) == (None, 1)


def test_a_withdrawn_alert_counts_for_nothing() -> None:
    tell = alerts("benign")
    tell.say("gone", 8, Type.CUSTODY, {"event": "withdrawn", "exhibits": ["@a0"], "reason": "no"})
    assert figure("false_discovery", measured(tell)).samples == []


@pytest.mark.parametrize(("minutes", "caught"), [(-60, 1), (5, 1), (5.1, 0)])
def test_an_incident_is_caught_by_a_guardrail_that_fired_in_time(
    minutes: float, caught: int
) -> None:
    tell = answered()
    tell.exhibit("g", 7.2, "guardrail_alert", facts=facts(
        findings=(Finding("g", "x", 1, time(minutes), None),)))  # fmt: skip
    assert figure("caught_by_guardrail", measured(tell)).pooled == (caught, 1)


def test_a_detector_is_heard_by_a_report_or_a_nil_return() -> None:
    tell = answered()
    tell.rescope(detectors=["dlp-1", "quiet", "nil"])
    tell.attest("nil", 60, "nil_return", kinds=["dlp_finding"], detector="nil", from_=time(-60),
                to=time(30), query="all")  # fmt: skip
    [sample] = figure("detectors_heard", measured(tell)).samples
    assert (sample.part, sample.of, sample.detail) == (2, 3, "silent: quiet")


def test_lag_is_from_an_exhibits_last_record_to_its_receipt() -> None:
    tell = bare()
    tell.exhibit("log", 65, "access_log", facts=facts(**span(-10, 5)))
    tell.exhibit("other", 65, "access_log", facts=facts(**span(0, 35)))
    tell.exhibit("unzoned", 65, "access_log", facts=facts(clock="unzoned", first=time(0)))
    assert [each.value for each in figure("capture_lag", measured(tell)).samples] == [3600, 1800]


def test_records_of_the_future_give_no_negative_lag() -> None:
    tell = bare()
    tell.exhibit("log", 65, "access_log", facts=facts(**span(0, 70)))
    found = figure("capture_lag", measured(tell))
    assert found.samples == []
    assert "later than their receipt" in found.unknown[0].reason


def test_what_is_owed_and_past_its_time_is_counted_and_0_is_a_figure_here() -> None:
    assert figure("overdue", measured(answered())).mean == 0
    late = figure("overdue", measured(bare(), as_of=100))
    [sample] = late.samples
    assert sample.value == len(sample.detail.split(", ")) > 0
    assert "K2 (incident_commander)" in sample.detail, "contain within 30 minutes of 09:05"
    early = figure("overdue", measured(bare(), as_of=6)).samples[0]
    assert "K2" not in early.detail


# -- recurrence ------------------------------------------------------------------------------------


def with_cause(cause: str | None, day: int, number: int, **scope: Any) -> Incident:
    tell = bare()
    if cause or scope:
        tell.scope("scope", 6, **({"cause": cause} if cause else {}), **scope)
    case = closed(tell)
    case.incident.id = f"INC-2026-{number:04d}"
    case.incident.fields["declared_at"] = time(day * DAY)
    return case.incident


def recurrence(*incidents: Incident) -> Figure:
    case = closed(bare())
    return figure(
        "recurrence", *(replace(case, incident=each, peers=incidents) for each in incidents)
    )


@pytest.mark.parametrize(("days", "again"), [(0, 1), (90, 1), (91, 0)])
def test_a_like_cause_within_90_days_is_a_recurrence(days: int, again: int) -> None:
    found = recurrence(with_cause("k", 0, 1), with_cause("k", days, 2))
    if days == 0:
        assert found.pooled == (2, 2), "each within 90 days of the other"
    else:
        assert found.pooled == (again, 2)


def test_nothing_repeats_itself_and_another_cause_is_another() -> None:
    assert recurrence(with_cause("k", 0, 1), with_cause("l", 1, 2)).pooled == (0, 2)


def test_a_stated_recurrence_counts_whenever_it_was() -> None:
    first, second = with_cause(None, 0, 1), with_cause(None, 400, 2, recurrence_of="INC-2026-0001")
    found = recurrence(first, second)
    assert (found.pooled, len(found.unknown)) == ((1, 1), 1)


# -- completeness at 24 h --------------------------------------------------------------------------


def early(hours: float, as_of: float) -> Measured:
    told = Told()
    told.now = START + timedelta(hours=hours)
    told.exhibit(clock="none")
    return measured_of(
        told.chain(), told.described(), DEFAULT, as_of=START + timedelta(hours=as_of)
    )


@pytest.mark.parametrize(("hours", "head"), [(23, 1), (24, 1), (25, 0)])
def test_evidence_at_24_hours_is_what_the_vault_had_recorded_by_then(
    hours: float, head: int
) -> None:
    case = early(hours, as_of=48)
    assert case.early
    assert case.early["as_of"] == "2026-03-03T09:00:00Z"
    [sample] = figure("complete_24h", case).samples
    assert sample.detail == f"links 0 to {head}"
    assert sample.of == 6 - case.early["counts"]["evidence"]["not_applicable"]


def test_before_24_hours_are_over_it_is_open() -> None:
    assert len(figure("complete_24h", early(1, as_of=23.9)).open) == 1


def test_an_incident_that_the_vault_heard_of_later_is_not_known_and_not_0() -> None:
    told = Told()
    told.links[0] = replace(
        told.links[0],
        statement=replace(
            told.links[0].statement, recorded_at=START + EARLY + timedelta(seconds=1)
        ),
    )
    case = measured_of(told.chain(), {}, DEFAULT, as_of=START + timedelta(days=3))
    found = figure("complete_24h", case)
    assert (found.samples, len(found.unknown)) == ([], 1)


# -- statistics ------------------------------------------------------------------------------------


def of_values(values: Sequence[float]) -> Figure:
    case = measured(bare())
    return Figure("x", "x", "x", "seconds", [Sample(case, value, "") for value in values])


@pytest.mark.parametrize(
    ("values", "mean", "median", "p90"),
    [
        ([7], 7, 7, 7),
        ([3, 1], 2, 2, 3),
        (range(1, 11), 5.5, 5.5, 9),
        (range(1, 12), 6, 6, 10),
        ([10] * 9 + [1000], 109, 10, 10),
    ],
)
def test_mean_median_and_nearest_rank(
    values: Sequence[float], mean: float, median: float, p90: float
) -> None:
    found = of_values(list(values))
    assert (found.mean, found.median, found.p90) == (mean, median, p90)


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=60))
def test_nine_in_ten_do_not_exceed_the_ninetieth_percentile_and_less_would_not_do(
    values: list[int],
) -> None:
    found = of_values(values)
    assert found.p90 in values
    reached = [value for value in values if value <= (found.p90 or 0)]
    assert 10 * len(reached) >= 9 * len(values)
    below = [value for value in values if value < (found.p90 or 0)]
    assert 10 * len(below) < 9 * len(values)


def test_the_order_of_incidents_changes_no_figure() -> None:
    one, two = measured(acknowledged()), measured(bare(), id_="INC-2026-0002")
    for forth, back in zip(figures_of([one, two]), figures_of([two, one]), strict=True):
        assert (forth.mean, forth.median, forth.p90, len(forth.left)) == (
            back.mean, back.median, back.p90, len(back.left),
        )  # fmt: skip


def test_a_detector_without_a_finding_is_heard() -> None:
    tell = answered()
    tell.change("alert", findings=(), detectors=(Detector("dlp-1"),))
    assert figure("detectors_heard", measured(tell)).pooled == (1, 1)
