"""`evault status`: clocks that run out, who owes what, and what to do next, in 80 columns."""

from __future__ import annotations

import re
import shlex

import pytest
from cli_support import Evault, run

LIVE = ("--detected-at", "-4m", "--declared-at", "-2m")


def test_without_an_open_incident_it_says_so_and_succeeds(evault: Evault) -> None:
    assert evault("status").lines == [
        "No incident is open; declare one: evault incident declare --help"
    ]
    assert evault.answer("status", "status")["items"] == []


def test_a_clock_that_runs_tells_what_is_left_and_one_that_ran_out_by_how_much(
    evault: Evault,
) -> None:
    evault.declare(*LIVE)
    shown = evault.answer("status", "status")["items"][0]
    clocks = {each["id"]: each for each in shown["clocks"]}
    # Contain within 30 minutes of the declaration, two minutes ago (RUNBOOK: Contain ≤30 minutes).
    assert clocks["contain"]["standing"] == "left"
    assert 27 * 60 <= clocks["contain"]["left_seconds"] <= 28 * 60
    assert clocks["declare"]["standing"] == "done"
    assert re.search(r"left +2[78] min.*  Contained  ", evault("status").out)
    old = evault.declare()
    overrun = {each["id"]: each for each in run("status", old, "--json").json["items"][0]["clocks"]}
    assert overrun["contain"]["standing"] == "overrun"
    assert overrun["contain"]["left_seconds"] < 0
    assert re.search(r"overrun  .*  Contained +due 2023-07-10 13:11:00Z", evault("status", old).out)


def test_what_is_claimed_before_its_clock_ran_is_told_in_words(evault: Evault, case: str) -> None:
    evault("incident", "phase", case, "contained", "--at", "2023-07-10T12:40Z")  # declared 12:41
    said = evault("status").out
    assert re.search(r"done +1 min early +Contained +limit 30 min, unproven$", said, re.MULTILINE)
    assert "Claimed before its clock ran: Contained by 1 min" in evault("checklist").out
    shown = evault.answer("status", "status")["items"][0]["clocks"]
    (contain,) = [each for each in shown if each["id"] == "contain"]
    assert (contain["seconds"], contain["early_seconds"]) == (None, 60)


def test_a_phase_that_is_still_to_come_is_not_reached(evault: Evault, case: str) -> None:
    said = evault("incident", "phase", case, "contained", "--at", "2999-01-01T00:00Z")
    assert "it lies after this vault's clock, and counts for nothing until then" in said.out
    assert evault("status").lines[1].startswith("declared, since 2023-07-10 12:41:00Z")
    assert (
        "Stated ahead: link 1, phase contained, for 2999-01-01T00:00:00Z" in evault("checklist").out
    )
    figures = {each["id"]: each for each in evault.answer("metrics", "metrics")["items"]}
    assert (figures["mttc"]["n"], len(figures["mttc"]["open"])) == (0, 1)


def test_what_is_overdue_comes_first_and_names_who_owes_it(evault: Evault, case: str) -> None:
    evault("incident", "assign", "comms_lead", "Grace Hopper")
    lines = evault("status").lines
    owed = lines[next(i for i, line in enumerate(lines) if line.startswith("Owed: ")) :]
    assert re.fullmatch(r"Owed: \d+, of which [1-9]\d* overdue", owed[0])
    assert owed[1] == "  nobody (incident commander)"
    assert re.match(r"    overdue  2023-07-10 12:45:00Z  K1 ", owed[2])
    grace = next(i for i, line in enumerate(owed) if line == "  Grace Hopper (comms lead)")
    # Sev-1: an update within an hour of the declaration at 12:41.
    assert re.match(r"    overdue  2023-07-10 13:41:00Z  K3 ", owed[grace + 1])


def test_a_role_that_is_offered_is_still_owed_by_who_holds_it(evault: Evault, case: str) -> None:
    evault("incident", "assign", "comms_lead", "Grace")
    evault("incident", "assign", "comms_lead", "Linus")
    assert "  Grace (comms lead, offered to Linus)" in evault("status").lines


def test_the_steps_are_those_of_the_checklist_in_its_order_and_a_shell_reads_them(
    evault: Evault, case: str
) -> None:
    steps = [each["command"] for each in run("checklist", "--json").json["report"]["next"]]
    lines = evault("status", "--all").lines
    start = next(i for i, line in enumerate(lines) if line.startswith("Next, "))
    told = "\n".join(lines[start + 1 :]).replace("\\\n", " ")
    assert [shlex.split(line)[2:] for line in told.split("\n")] == steps
    few = evault("status").lines
    assert few[-1] == f"{len(steps) - 5} more steps: evault status {case} --all"


def test_several_open_ones_have_a_line_each(evault: Evault, case: str) -> None:
    other = evault.declare(*LIVE)
    closed = evault.declare(*LIVE)
    evault("incident", "close", closed)
    lines = evault("status").lines
    assert [line.split()[0] for line in lines[1:-1]] == [case, other]
    assert lines[-1] == "2 open; each in full: evault status INCIDENT"
    assert evault("status", closed).lines[1].startswith("closed, last phase declared, ")


@pytest.mark.parametrize(
    "evil", ["\x1b[2J\x1b[31mred", "a\u202eb", "x" * 300, "two\nlines", "é" * 120]
)
def test_hostile_names_stay_text_and_within_80_columns(evault: Evault, evil: str) -> None:
    said = evault(
        "incident", "declare", "--title", evil, "--severity", "sev1", "--tier", "unknown",
        "--system", evil, "--detected-at", "-4m",
    )  # fmt: skip
    name = said.out.split()[0]
    evault("incident", "assign", "comms_lead", evil)
    evault("incident", "assign", "comms_lead", f"{evil}2")
    shown = evault("status", name, "--all")
    assert all(char.isprintable() or char == "\n" for char in shown.out)
    # A word that is longer than a line stands alone on one.
    long = [line for line in shown.lines if len(line) > 80]
    assert all(len(line.split()) <= 3 for line in long)
    evault.declare(*LIVE)
    assert all(len(line) <= 80 for line in evault("status").lines)


def test_looking_seals_nothing(evault: Evault, case: str) -> None:
    evault("status")
    assert evault.link(case) == 0
