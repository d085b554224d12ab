"""Closing an incident tells first what is open, stops nothing, and says what can follow no more."""

from __future__ import annotations

import pytest
from cli_support import Evault, run

from verify.incident import AFTER_SEAL
from verify.statement import Type


def spoken(text: str) -> str:
    return " ".join(text.split())


def test_what_is_open_is_told_on_standard_error_before_it_is_sealed_all_the_same(
    evault: Evault,
) -> None:
    case = evault.declare("--detected-at", "-2h", "--declared-at", "-115m")
    evault.file("yes.txt", "Grace: yes\n")
    evault("ingest", "yes.txt")
    evault("incident", "assign", "comms_lead", "Bob")
    evault("incident", "assign", "comms_lead", "Linus")
    evault("hold", "set", "--matter", "Smith v. Jones", "--reason", "served")
    evault(
        "waive", "grant", "C2.models", "--reason", "r", "--owner", "o", "--approved-by", "Grace",
        "--exhibit", "EV-0001", "--until", "2999-01-01T00:00Z",
    )  # fmt: skip
    said = evault("incident", "close", case)
    assert said.lines == [f"{case}  closed and sealed (chain link 6, log entry 6)"]
    told = spoken(said.err)
    assert told.startswith(f"{case} before the seal, by links 0 to 5, this is open:")
    # RUNBOOK: contain within 30 minutes of the declaration, publish the postmortem within 72 h.
    assert "clock Contained: breached by " in told
    assert "clock Postmortem published: runs on, " in told
    assert "Declared:" not in told, "what has an end is not open"
    assert "offer comms_lead is offered to Linus, who has not accepted; Bob keeps it" in told
    assert "gap C5 rollback and validation, missing: no rollback" in told
    assert (
        "waived C2.models waived until 2999-01-01T00:00:00Z, approved by Grace (attested)" in told
    )
    assert "hold for Smith v. Jones (link 4)" in told
    assert told.endswith(f"reopened: evault incident reopen {case} --reason TEXT")
    assert all(len(line) <= 80 for line in said.err.splitlines())


def test_json_tells_the_same_and_standard_error_stays_empty(evault: Evault, case: str) -> None:
    evault("incident", "assign", "comms_lead", "Bob")
    evault("incident", "assign", "comms_lead", "Linus")
    status = run("status", "--json").json["items"][0]
    left = evault.answer("incident-close", "incident", "close", case)["open"]
    assert [each["item"] for each in left["gaps"]] == sorted(
        (each["item"] for each in status["owed"]), key=lambda id_: "CKPX".index(id_[0])
    )
    running = {each["id"]: each["standing"] for each in status["clocks"]}
    assert {each["id"]: each["standing"] for each in left["clocks"]} == {
        id_: {"left": "running", "overrun": "breached"}[standing]
        for id_, standing in running.items()
        if standing != "done"
    }
    assert left["offers"] == [{"holder": "Bob", "offered_to": "Linus", "role": "comms_lead"}]
    assert (left["holds"], left["head"]["sequence"], left["unjudged"]) == ([], 2, None)


@pytest.mark.parametrize(
    ("type_", "words"),
    [
        ("capture", ("ingest", "{case}", "a.txt")),
        ("incident", ("incident", "phase", "{case}", "contained")),
        ("incident", ("incident", "scope", "{case}", "--run", "r")),
        ("incident", ("incident", "assign", "{case}", "comms_lead", "Bob")),
        ("attestation", ("attest", "{case}", "freeze", "at=now", "systems=aws")),
        (
            "waiver",
            ("waive", "grant", "{case}", "C2.models", "--reason", "r", "--owner", "o",
             "--approved-by", "Grace", "--exhibit", "EV-0001", "--until", "+2w"),
        ),
    ],
)  # fmt: skip
def test_what_is_said_to_follow_no_more_is_refused_after_the_seal(
    evault: Evault, case: str, type_: str, words: tuple[str, ...]
) -> None:
    evault.file("a.txt")
    evault.file("b.txt", "b\n")
    evault("ingest", "b.txt")
    left = evault.answer("incident-close", "incident", "close")["open"]
    assert type_ in left["no_longer"]
    assert not {Type(each) for each in left["no_longer"]} & AFTER_SEAL
    before = evault.link(case)
    evault.refused(*(word.format(case=case) for word in words))
    assert evault.link(case) == before
    evault("evidence", "get", case, "EV-0001", "--purpose", "look", "-o", "-")


def test_one_that_is_closed_is_refused_without_a_list(evault: Evault, case: str) -> None:
    evault("incident", "close", case)
    message = evault.refused("incident", "close", case)
    assert "evault incident reopen" in message
    assert "this is open" not in message


def test_a_checklist_that_cannot_be_judged_is_told_and_stops_no_seal(
    evault: Evault, case: str
) -> None:
    evault.file("a.txt")
    evault("ingest", "a.txt")
    evault("hold", "set", "--matter", "M", "--reason", "served")
    for path in (evault.home / "store" / "artifacts").rglob("*"):
        if path.is_file():
            path.parent.chmod(0o700)
            path.chmod(0o600)
            path.write_bytes(b"x" * path.stat().st_size)
    said = evault("incident", "close", case)
    assert "closed and sealed" in said.out
    told = spoken(said.err)
    assert "clocks and gaps are not known, the checklist cannot be judged: " in told
    assert "hold for M (link 2)" in told
