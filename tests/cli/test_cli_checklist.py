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


def test_coverage_is_drawn_and_a_silence_never_vanishes_in_it(evault: Evault, case: str) -> None:
    evault("ingest", DEMO / "cloudtrail")
    evault("incident", "phase", "contained", "--at", "2023-07-10T12:58Z")
    lines = evault("checklist").lines
    bars = [line for line in lines if re.match(r"  system ", line)]
    assert [line.split()[1] for line in bars] == ["mail-agent", "aws"]
    assert re.search(r"\[\.{24}\]  throughout", bars[0])
    # A day before the detection is asked for; the demo's log starts 48 minutes before it.
    # In 24 slots of 61 minutes: records from 11:42:18 to 12:37:50, in slots 22 and 23.
    assert re.search(r"\[\.{22}\+\+\]  3 gaps, the longest 23 h 12 min", bars[1])
    explained = evault("checklist", "--explain").lines
    assert "    silent 2023-07-10T12:37:50Z to 2023-07-10T12:58:00Z" in explained


def test_breached_and_unproven_clocks_are_told_apart(evault: Evault, case: str) -> None:
    out = evault("checklist").out
    assert re.search(r"^Unproven: Declared$", out, re.MULTILINE), "claimed in time, recorded late"
    assert re.search(r"^Breached: .*Postmortem published", out, re.MULTILINE | re.DOTALL)


def test_what_changed_since_the_last_sealed_report_is_told(evault: Evault, case: str) -> None:
    first = evault.answer("checklist", "checklist", "--seal")
    assert first["changes"] is None
    same = evault("checklist")
    assert "Since the report of link 1: nothing changed" in same.out
    evault("incident", "amend", "--tier", "3", "--reason", "decided")
    shown = evault.answer("checklist", "checklist")
    assert (shown["changes"]["sequence"], shown["changes"]["head_sequence"]) == (1, 0)
    changed = {each["id"]: each["after"] for each in shown["changes"]["items"]}
    assert changed["C1.tier"] == "pass"
    assert "answered otherwise" in evault("checklist").out
    # What was known at link 0 knew no sealed report.
    assert evault.answer("checklist", "checklist", "--at-sequence", "0")["changes"] is None


def test_a_sealed_report_that_cannot_be_read_is_told_and_stops_nothing(
    evault: Evault, case: str
) -> None:
    before = {path for path in evault.home.rglob("*") if path.is_file()}
    evault("checklist", "--seal")
    made = [
        path
        for path in evault.home.rglob("*")
        if path.is_file() and path not in before and b'"contradictions"' in path.read_bytes()
    ]
    assert len(made) == 1
    made[0].chmod(0o600)
    made[0].write_bytes(made[0].read_bytes().replace(b"sev1", b"sev4"))
    shown = evault.answer("checklist", "checklist")
    assert "it is not compared: " in shown["changes"]["unreadable"]
    assert shown["changes"]["items"] == []
    assert "not compared" in evault("checklist").out


def test_the_report_is_written_as_a_page_and_never_over_another(evault: Evault, case: str) -> None:
    said = evault("checklist", "--html", "c.html")
    assert said.lines == [f"c.html  {evault('checklist').lines[0]}"]
    page = (evault.folder / "c.html").read_bytes()
    assert page.endswith(b"</html>\n")
    assert b"<script" not in page
    assert "c.html is there already" in evault.refused("checklist", "--html", "c.html", "--seal")
    assert evault.link() == 0, "nothing was sealed either"
    assert evault.answer("checklist", "checklist", "--html", "d.html")["output"] == "d.html"


def test_as_of_moves_the_clock_and_at_sequence_the_knowledge(evault: Evault, case: str) -> None:
    evault("incident", "amend", "--tier", "3", "--reason", "decided")

    def report(*words: object) -> dict[str, object]:
        return evault.answer("checklist", "checklist", *words)["report"]  # type: ignore[no-any-return]

    early = report("--as-of", "2023-07-10T12:45Z")
    assert (early["head"]["sequence"], early["incident"]["tier_stated"]) == (1, "3")  # type: ignore[index]
    clocks = {each["id"]: each["timeliness"] for each in early["clocks"]}  # type: ignore[attr-defined]
    assert (clocks["contain"], clocks["declare"]) == ("pending", "unproven")
    known = report("--at-sequence", "0")
    assert (known["head"]["sequence"], known["incident"]["tier_stated"]) == (0, "unknown")  # type: ignore[index]
