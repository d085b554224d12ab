"""The checklist's counts and next steps, and the chain of custody as rows."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from cli_support import DEMO, Evault, run


def test_it_counts_with_denominators_and_says_what_vanishes_first(
    evault: Evault, case: str
) -> None:
    evault("ingest", DEMO / "agent", DEMO / "cloudtrail")
    lines = evault("checklist").lines
    assert lines[0] == "Evidence: 0 of 6 satisfied, 3 partial, 3 missing"
    assert [line[:2] for line in lines if re.match(r"C\d", line)] == [f"C{n}" for n in range(1, 7)]
    assert lines[-2] == (
        f"Next (vanishes first): evault ingest {case} FILE --kind access_log --system mail-agent"
    )
    assert re.fullmatch(r"\d+ more steps: evault checklist --explain", lines[-1])
    assert all(len(line) <= 92 for line in lines[:-2])


def test_nothing_sealed_is_nothing_satisfied(evault: Evault, case: str) -> None:
    assert evault("checklist").lines[0] == "Evidence: 0 of 6 satisfied, 1 partial, 5 missing"


def test_explain_shows_every_condition_and_every_step(evault: Evault, case: str) -> None:
    evault("ingest", DEMO / "agent")
    report = run("checklist", "--json").json
    shown = evault("checklist", "--explain").out
    for item in report["items"]:
        for condition in item["conditions"]:
            assert f"{condition['answer']:<8} {condition['id']}" in shown
    for step in report["report"]["next"]:
        assert " ".join(step["command"]) in shown.replace("'", "")
    assert "more step" not in shown


def test_gaps_are_an_exit_code_only_where_they_are_asked_for(evault: Evault, case: str) -> None:
    assert run("checklist").code == 0
    assert run("checklist", "--require", "complete").code == 1
    assert "--require knows only: complete, not 'all'" in evault.refused(
        "checklist", "--require", "all"
    )


def test_looking_seals_nothing_and_seal_seals(evault: Evault, case: str) -> None:
    evault("checklist")
    assert evault.link() == 0
    said = evault("checklist", "--seal")
    assert said.lines[-1] == "Sealed as chain link 1, log entry 1"
    assert re.search(r"assessed +0 of 6 satisfied", evault("custody").out)
    evault.sound()


def test_custody_shows_the_day_and_the_actor_where_they_change(evault: Evault, case: str) -> None:
    evault.file("a")
    evault("ingest", "a")
    evault("incident", "assign", "comms_lead", "Ada")
    evault("evidence", "get", "EV-0001", "-o", "-")
    evault("export", "-o", "b.zip", "--purpose", "counsel", "--recipient", "Lovelace LLP")
    lines = evault("custody").lines
    day = f"{datetime.now(UTC):%Y-%m-%d}"
    assert day in lines[0]
    assert sum(day in line for line in lines) == 1
    assert sum("(uid " in line for line in lines) == 1
    told = [re.split(r"\d\d:\d\d:\d\dZ  ", line)[1].rsplit("  ", 1)[0].strip() for line in lines]
    assert [re.sub(" +", " ", each) for each in told] == [
        "declared sev1, tier unknown",
        "captured EV-0001",
        "assigned comms_lead to Ada",
        "viewed EV-0001",
        "assessed 0 of 6 satisfied",
        'exported EV-0001 "counsel" to Lovelace LLP',
    ]


def test_custody_of_an_exhibit_shows_only_its_links(evault: Evault, case: str) -> None:
    evault.file("a")
    evault.file("b", "other\n")
    evault("ingest", "a")
    evault("ingest", "b")
    evault("evidence", "get", "EV-0002", "-o", "-")
    rows = run("custody", "EV-0002", "--json").json["items"]
    assert [(row["sequence"], row["event"]) for row in rows] == [(2, "captured"), (3, "viewed")]
    assert len(evault("custody", case, "EV-0001").lines) == 1


@pytest.mark.parametrize("words", [("EV-0001", "EV-0002"), ("what", "is", "this")])
def test_custody_takes_one_exhibit(evault: Evault, case: str, words: tuple[str, ...]) -> None:
    assert "expected [INCIDENT] [EXHIBIT]" in evault.refused("custody", *words)
