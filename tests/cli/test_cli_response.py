"""`evault incident assign` and `update`: handovers that take two, and what everyone was told."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from cli_support import Evault, run

from cli.compose import open_vault
from cli.settings import read_settings
from verify.errors import MalformedError


def assign(evault: Evault, *words: str) -> str:
    return " ".join(evault("incident", "assign", *words).out.split())


def shown(evault: Evault) -> Any:
    return evault.answer("incident-show", "incident", "show")


def holders(evault: Evault) -> Any:
    return {role: person for role, person in shown(evault)["roles"].items() if person}


def test_a_role_is_handed_over_when_it_is_accepted(evault: Evault, case: str) -> None:
    assert "incident_commander is Ada (" in assign(evault, "incident_commander", "Ada")
    said = assign(evault, "incident-commander", "Grace Hopper")
    assert "incident_commander is offered to Grace Hopper (" in said
    assert (
        "Ada keeps it until Grace Hopper accepts: evault incident assign "
        f"{case} incident_commander 'Grace Hopper' --accept"
    ) in said
    assert holders(evault) == {"incident_commander": "Ada"}
    text = evault("incident", "show").out
    assert "Ada; offered to Grace Hopper, not accepted" in text
    said = assign(evault, case, "incident_commander", "grace hopper", "--accept")
    assert "incident_commander is grace hopper, who accepted it (" in said
    assert holders(evault) == {"incident_commander": "Grace Hopper"}
    ada, grace = shown(evault)["assignments"]
    assert ada["until"] == grace["since"] == grace["accepted_at"]
    assert (ada["accepted_at"], grace["accepted_sequence"]) == (None, 3)
    rows = [(row["event"], row["detail"]) for row in run("custody", "--json").json["items"]]
    assert rows[1:3] == [
        ("assigned", "incident_commander to Ada"),
        ("offered", "incident_commander to Grace Hopper"),
    ]
    assert rows[3][0] == "accepted"
    assert rows[3][1].startswith("incident_commander by grace hopper, at ")
    evault.sound()


def test_a_handover_that_nobody_accepted_is_none(evault: Evault, case: str) -> None:
    assign(evault, "comms_lead", "Ada")
    assign(evault, "comms_lead", "Grace")
    assign(evault, "comms_lead", "Linus")
    message = evault.refused("incident", "assign", "comms_lead", "Grace", "--accept")
    assert "comms_lead was not given to Grace; offer it first: evault incident assign" in message
    assert holders(evault) == {"comms_lead": "Ada"}
    lapsed = shown(evault)["assignments"][1]
    assert lapsed["since"] is None
    assert lapsed["until"] is not None


def test_a_role_is_accepted_once_and_not_before_it_was_given(evault: Evault, case: str) -> None:
    message = evault.refused("incident", "assign", "comms_lead", "Ada", "--accept")
    assert "comms_lead was not given to Ada" in message
    assign(evault, "comms_lead", "Ada", "--at", "2023-07-10T13:00Z")
    message = evault.refused(
        "incident", "assign", "comms_lead", "Ada", "--accept", "--at", "2023-07-10T12:59Z"
    )
    assert "cannot have accepted it at 2023-07-10T12:59:00Z" in message
    assign(evault, "comms_lead", "Ada", "--accept", "--at", "2023-07-10T13:00Z")
    message = evault.refused("incident", "assign", "comms_lead", "Ada", "--accept")
    assert "Ada accepted comms_lead at 2023-07-10T13:00:00Z already" in message
    assert evault.link() == 2


@pytest.mark.parametrize(
    ("first", "second"),
    [("incident_commander", "governance_steward"), ("governance_steward", "incident_commander")],
)
@pytest.mark.parametrize("person", ["Ada", "ADA@lab", " \u00c1da"])
def test_the_commander_is_not_the_steward(
    evault: Evault, case: str, first: str, second: str, person: str
) -> None:
    assign(evault, first, "Ada")
    message = evault.refused("incident", "assign", second, person)
    assert f"holds {first}, and the commander must not be the steward" in message
    assert f"evault incident assign {case} {first} PERSON" in message
    assign(evault, second, "Grace")
    message = evault.refused("incident", "assign", second, person)
    assert "the commander must not be the steward" in message
    assert evault.link() == 2


def test_nor_is_who_was_offered_the_other_role(evault: Evault, case: str) -> None:
    assign(evault, "governance_steward", "Grace")
    assign(evault, "governance_steward", "Ada")
    message = evault.refused("incident", "assign", "incident_commander", "Ada")
    assert "Ada is offered governance_steward" in message
    assign(evault, "governance_steward", "Linus")
    assign(evault, "incident_commander", "Ada")
    assert holders(evault) == {"governance_steward": "Grace", "incident_commander": "Ada"}
    for role in ("comms_lead", "forensics_lead", "remediation_lead"):
        assign(evault, role, "Ada")


def test_an_update_says_how_far_and_what_next(evault: Evault, case: str) -> None:
    evault.file("message.txt", "all hands\n")
    evault("ingest", "message.txt")
    evault("incident", "scope", "--channel", "#inc-1")
    said = evault(
        "incident", "update", "--containment", "partly_contained", "--next", "isolate mail",
        "--note", "one tenant", "--channel", "#inc-1", "--at", "2023-07-10T13:30Z",
        "--exhibit", "EV-0001",
    )  # fmt: skip
    assert said.out == (
        f"{case}  updated (chain link 3, log entry 3)\n"
        "  partly contained at 2023-07-10T13:30:00Z, in #inc-1, shown by EV-0001; next:\n"
        '  isolate mail "one tenant"\n'
    )
    said = evault("incident", "update", "--containment", "contained", "--next", "watch")
    assert " ".join(said.out.split()).endswith(
        "Look at: it does not say where it was given; the incident's channel is #inc-1: --channel."
    )
    first, second = shown(evault)["updates"]
    assert first == {
        "at": "2023-07-10T13:30:00Z",
        "channel": "#inc-1",
        "containment": "partly_contained",
        "exhibits": ["EV-0001"],
        "next_steps": "isolate mail",
        "note": "one tenant",
        "recorded_at": first["recorded_at"],
        "sequence": 3,
    }
    assert (second["channel"], second["note"], second["exhibits"]) == (None, None, [])
    assert "2 updates, the last: contained at" in evault("incident", "show").out
    evault.sound()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--next", "n"), "Missing option '--containment'"),
        (("--containment", "contained"), "Missing option '--next'"),
        (("--containment", "mostly", "--next", "n"), "'mostly'"),
        (("--containment", "contained", "--next", " "), "expected a few words, not nothing"),
        (("--containment", "contained", "--next", "n", "--exhibit", "EV-0001"), "no exhibit EV-0"),
        (("--containment", "contained", "--next", "n", "--at", "13:30"), "is not a time"),
        (("--containment", "contained", "--next", "n", "--channel", "x" * 1_001), "1000"),
    ],
)
def test_an_update_that_says_less_is_refused(
    evault: Evault, case: str, words: tuple[str, ...], told: str
) -> None:
    assert told in evault.refused("incident", "update", *words)
    assert evault.link() == 0


def test_words_that_no_reader_would_take_are_never_sealed(evault: Evault, case: str) -> None:
    """A statement that the fold refuses would make the whole incident unreadable."""
    long = "x" * 65_537
    at = datetime(2023, 7, 10, 13, tzinfo=UTC)
    vault = open_vault(read_settings({}, evault.home))
    try:
        for refused in (
            lambda: vault.incidents.assign(case, "comms_lead", long, at),
            lambda: vault.incidents.update(case, at=at, containment="contained", next_steps=long),
            lambda: vault.incidents.update(case, at=at, containment="mostly", next_steps="n"),
            lambda: vault.incidents.update(case, at=at, containment="contained", next_steps=" "),
        ):
            with pytest.raises(MalformedError):
                refused()
    finally:
        vault.close()
    for words in (
        ("assign", "comms_lead", long),
        ("update", "--containment", "contained", "--next", long),
        ("update", "--containment", "contained", "--next", "n", "--note", long),
        ("close", "--reason", long),
        ("scope", "--run", "r", "--reason", long),
        ("amend", "--tier", "3", "--reason", long),
    ):
        assert "expected at most 65,536 characters" in evault.refused("incident", *words)
    assert evault.link() == 0


def test_nobody_is_told_anything_in_a_closed_incident(evault: Evault, case: str) -> None:
    evault("incident", "close")
    for words in (
        ("update", case, "--containment", "contained", "--next", "n"),
        ("assign", case, "comms_lead", "Ada"),
    ):
        assert f"evault incident reopen {case}" in evault.refused("incident", *words)
