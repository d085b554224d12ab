"""`evault waive`: conditions by name, a second person, an end, one revocation."""

from __future__ import annotations

import getpass
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cli_support import Evault, run

from vault.completeness import answers_of

ME = getpass.getuser()


@pytest.fixture
def shown(evault: Evault, case: str) -> str:
    """An incident with two exhibits."""
    evault.file("approval.txt", "Grace: yes\n")
    evault.file("monitoring.txt", "watched by hand\n")
    evault("ingest", "approval.txt", "monitoring.txt")
    return case


def words(*more: str, conditions: tuple[str, ...] = ("C2.models",), **changes: str) -> list[str]:
    options = {
        "reason": "the provider keeps no versions",
        "owner": "Head of Platform",
        "approved-by": "Grace Hopper",
        "exhibit": "EV-0001",
        "until": "+14d",
        **changes,
    }
    named = [word for name, value in options.items() for word in (f"--{name}", value) if value]
    return ["waive", "grant", *conditions, *named, *more]


def grant(evault: Evault, *more: str, **changes: Any) -> Any:
    return evault.answer("waive", *words(*more, **changes))


def test_a_waiver_is_sealed_as_it_was_asked_for(evault: Evault, shown: str) -> None:
    said = grant(
        evault, "--scope", "aws", "--compensating", "EV-0002", "--from", "2026-03-02T09:00Z",
        "--requested-by", "Linus", conditions=("C2.models", "C2.calls"), until="2999-01-01T00:00Z",
    )  # fmt: skip
    waiver = said["waiver"]
    assert waiver["conditions"] == ["C2.models", "C2.calls"]
    assert (waiver["waiver"], waiver["state"], waiver["scope"]) == ("W-0001", "live", ["aws"])
    assert (waiver["owner"], waiver["requester"]) == ("Head of Platform", "Linus")
    assert waiver["approved_by"] == {"authenticated": "attested", "person": "Grace Hopper"}
    assert (waiver["exhibits"], waiver["compensating"]) == (["EV-0001"], ["EV-0002"])
    assert waiver["valid_from"] == "2026-03-02T09:00:00Z"
    assert waiver["valid_to"] == "2999-01-01T00:00:00Z"
    assert said["notes"] == []
    assert run("incident", "show", "--json").json["waivers"] == [waiver]
    (row,) = [row for row in run("custody", "--json").json["items"] if row["event"] == "waived"]
    assert row["exhibits"] == ["EV-0001", "EV-0002"]
    assert (
        "C2.models, C2.calls for aws waived until 2999-01-01T00:00:00Z, "
        "approved by Grace Hopper (attested); counts from 2026-03-02T09:00:00Z" in row["detail"]
    )
    evault.sound()


def test_who_asks_is_who_runs_the_command_unless_another_is_named(
    evault: Evault, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert grant(evault)["waiver"]["requester"].startswith(f"{ME}@")
    monkeypatch.setenv("EVAULT_ACTOR", "Ada Lovelace")
    assert grant(evault)["waiver"]["requester"] == "Ada Lovelace"


@pytest.mark.parametrize(("end", "hours"), [("+12h", 12), ("+14d", 336), ("+2w", 336)])
def test_an_end_may_be_said_from_now(evault: Evault, shown: str, end: str, hours: int) -> None:
    ends = datetime.fromisoformat(grant(evault, until=end)["waiver"]["valid_to"])
    expected = datetime.now(UTC) + timedelta(hours=hours)
    assert abs(ends - expected) < timedelta(seconds=30)


def test_the_approval_is_called_attested_and_never_authenticated(
    evault: Evault, shown: str
) -> None:
    told = " ".join(evault(*words()).out.split())
    assert "approved by Grace Hopper, as you attest by EV-0001; evault authenticated nobody" in told
    told = " ".join(evault("verify").out.split())
    assert "who approved a waiver or an attestation (link 2) is the word of who recorded it" in told


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"conditions": ("C2",)}, "C2 is a whole item; name its conditions one by one: C2.trace, "),
        ({"conditions": ("C2.*",)}, "the checklist has no condition 'C2.*'; it has C2.trace"),
        ({"conditions": ("*",)}, "the checklist has no condition '*'"),
        ({"conditions": ("all",)}, "the checklist has no condition 'all'"),
        ({"conditions": ("C2.models", "C2.modles")}, "no condition 'C2.modles'; it has C2.trace"),
        ({"conditions": ("C9.models",)}, "no condition 'C9.models'; it has "),
        ({"conditions": ()}, "Missing argument"),
        ({"approved-by": ME}, "asks and approves; it takes a second person"),
        ({"approved-by": f"{ME}@elsewhere"}, "asks and approves; it takes a second person"),
        ({"approved-by": "linus", "requested-by": "Linus@corp"}, "it takes a second person"),
        ({"approved-by": "---"}, "names nobody"),
        ({"approved-by": ""}, "Missing option '--approved-by'"),
        ({"exhibit": ""}, "Missing option '--exhibit'"),
        ({"exhibit": "EV-0009"}, "has no exhibit EV-0009; list them with"),
        ({"compensating": "EV-0009"}, "has no exhibit EV-0009; list them with"),
        ({"reason": ""}, "Missing option '--reason'"),
        ({"owner": " "}, "expected a few words, not nothing"),
        ({"owner": "x" * 513}, "owner: expected text of at most 512 characters"),
        ({"reason": "x" * 65_537}, "expected at most 65,536 characters"),
        ({"scope": " "}, "scope: expected texts of 1 to 1,000 characters"),
        ({"until": ""}, "Missing option '--until'"),
        ({"until": "-1d"}, "is past; name a moment to come"),
        ({"until": "2026-13-01"}, "--until: '2026-13-01' is not a time"),
        ({"until": "soon"}, "from now is understood too: 30m, +12h, +14d, +2w"),
        ({"until": "2999-01-01T00:00Z", "from": "2999-01-01T00:00Z"}, "not after it starts"),
        ({"until": "2999-01-01T00:00Z", "from": "2999-01-02T00:00Z"}, "name a later end"),
    ],
)
def test_what_cannot_be_waived_so_is_refused_and_nothing_is_sealed(
    evault: Evault, shown: str, changes: Any, told: str
) -> None:
    assert told in evault.refused(*words(**changes))
    assert evault.link() == 1
    assert run("waive", "list", "--json").json["items"] == []


def test_a_waiver_is_revoked_once_and_stays_on_record(evault: Evault, shown: str) -> None:
    grant(evault)
    said = evault.answer("waive", "waive", "revoke", "w-0001", "--reason", "answered")
    assert said["waiver"]["state"] == "revoked"
    assert (said["waiver"]["revoked_reason"], said["waiver"]["revoked_sequence"]) == ("answered", 3)
    message = evault.refused("waive", "revoke", "W-0001", "--reason", "again")
    assert "waiver W-0001 was revoked by link 3 already" in message
    message = evault.refused("waive", "revoke", "W-0002", "--reason", "r")
    assert f"{shown} has no waiver W-0002; those granted: W-0001" in message
    assert "one waiver like W-0001" in evault.refused("waive", "revoke", shown, "--reason", "r")
    long = evault.refused("waive", "revoke", "W-0001", "--reason", "x" * 65_537)
    assert "expected at most 65,536 characters" in long
    assert evault.link() == 3
    assert grant(evault)["waiver"]["waiver"] == "W-0002"
    evault.sound()


def test_the_list_tells_live_ended_revoked_and_to_come(evault: Evault, shown: str) -> None:
    empty = evault("waive", "list").out
    assert empty == "Nothing was ever waived here; see: evault waive grant --help\n"
    grant(evault)
    grant(evault, **{"from": "2998-01-01T00:00Z"}, until="2999-01-01T00:00Z")
    grant(evault)
    evault("waive", "revoke", "W-0003", "--reason", "r")
    said = evault.answer("waive-list", "waive", "list")
    assert [each["state"] for each in said["items"]] == ["live", "to_come", "revoked"]
    assert said["counts"] == {"live": 1, "waivers": 3}
    assert {each["incident"] for each in said["items"]} == {shown}
    shown_text = evault("waive", "list", shown).out
    assert "3 waivers, 1 live" in shown_text
    assert "there is no incident" in evault.refused("waive", "list", "INC-1999-0001")


def test_what_a_waiver_does_not_do_is_told(evault: Evault, shown: str) -> None:
    evault("incident", "assign", "incident_commander", "Ada")
    said = grant(evault, "--scope", "erp", conditions=("C1.commander",))
    assert said["notes"] == [
        "C1.commander holds as it is; the waiver counts once it does not.",
        f"erp is none of the systems and principals of {shown}.",
    ]
    evault("incident", "amend", "--declared-at", "2023-07-10T12:00Z", "--reason", "the clock")
    answers = answers_of(run("checklist", "--json").json["report"])
    contradicted = next(name for name, answer in answers.items() if answer == "conflict")
    said = run(*words(conditions=(contradicted,)))
    told = " ".join((said.out + said.err).split())
    assert "no waiver touches that, a finding of which record is believed does" in told
    assert f"evault attest {shown} finding" in told
    evault("evidence", "withdraw", "EV-0001", "--reason", "wrong case")
    assert grant(evault)["notes"] == ["EV-0001 was withdrawn; it shows nothing."]


def test_what_only_looks_for_contradictions_is_told_apart() -> None:
    condition, check = {"answer": "fail", "id": "C2.models"}, {"answer": "pass", "id": "C2.pinned"}
    report = {"evidence": [{"checks": [check], "conditions": [condition]}],
              "duties": [{"conditions": [{"answer": "conflict", "id": "K1.frozen"}]}]}  # fmt: skip
    conditions = {"C2.models": "fail", "K1.frozen": "conflict"}
    assert answers_of(report, checks=False) == conditions
    assert answers_of(report) == {**conditions, "C2.pinned": "pass"}


def test_nothing_is_waived_in_a_closed_incident(evault: Evault, shown: str) -> None:
    grant(evault)
    evault("incident", "close")
    for each in (words(conditions=(shown, "C2.models")),
                 ["waive", "revoke", shown, "W-0001", "--reason", "r"]):  # fmt: skip
        assert f"evault incident reopen {shown} --reason TEXT" in evault.refused(*each)


@pytest.mark.slow
def test_many_at_once_are_numbered_without_gaps(evault: Evault, shown: str) -> None:
    codes: list[int] = []

    def grant_one() -> None:
        done = evault.process(*words())
        codes.append(done.returncode)

    threads = [threading.Thread(target=grant_one) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    granted = [each["waiver"] for each in run("waive", "list", "--json").json["items"]]
    assert granted == [f"W-{number:04d}" for number in range(1, codes.count(0) + 1)]
    assert 0 in codes
    evault.sound()
