"""What takes two people, by command: each with a token of their own, against one server."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from case_served import INCIDENT, STREAM, Case, serving_copy
from cli_support import Said, check, run
from serving import People

from cli.vault import now
from vault.access import VaultRole
from vault.http.served import Limits

As = Callable[..., Said]


@pytest.fixture
def by(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> As:
    """A command of a person who is known to the server."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("EVAULT_URL", case.site.url)
    monkeypatch.chdir(tmp_path)
    case.who("gus", VaultRole.GOVERNANCE_STEWARD)
    case.who("ann", VaultRole.AUDITOR)
    case.who("lea", VaultRole.LEGAL)

    def said(name: str, *words: object) -> Said:
        monkeypatch.setenv("EVAULT_TOKEN", f"secret-{name}")
        return run(*words)

    return said


def types(case: Case) -> list[str]:
    found = case.vault.incidents.read(INCIDENT).manifests
    return [str(each.statement.body.get("event", each.statement.type)) for each in found]


def asked(by: As, name: str = "ann") -> Any:
    said = by(name, "export", INCIDENT, "-o", "case.zip", "--purpose", "audit", "--json")
    assert said.code == 3, said.err
    check("export", said.json)
    assert not os.path.lexists("case.zip")
    return said.json["request"]


@pytest.mark.parametrize("name", ["ann", "gus"])
def test_who_may_not_export_alone_asks_is_approved_and_fetches(
    case: Case, by: As, name: str
) -> None:
    request = asked(by, name)
    assert (request["state"], request["requester"], request["reason"]) == ("pending", name, "audit")
    assert not {"refused", "export"} & set(types(case)), "asking is no attempt that is refused"
    listed = by("lea", "request", "list", "--json")
    check("request-list", listed.json)
    assert listed.json == {"counts": {"pending": 1, "requests": 1}, "items": [request]}
    approved = by("lea", "request", "approve", request["id"], "--json")
    assert approved.code == 0, approved.err
    check("request", approved.json)
    link = approved.json["result"]["sequence"]
    shown = by(name, "request", "list")
    assert f"export link {link}" in shown.out
    fetched = by(name, "export", INCIDENT, "--at", link, "-o", "case.zip", "--json")
    assert fetched.code == 0, fetched.err
    check("export", fetched.json)
    assert fetched.json["sha256"] == approved.json["result"]["sha256"]
    told = by(name, "verify", "case.zip")
    assert told.code == 0, told.out
    custody = " ".join(by(name, "custody", INCIDENT).out.split())
    assert "approved by lea (authenticated by the vault: token)" in custody


def test_what_was_asked_for_is_said_with_how_it_goes_on(by: As) -> None:
    said = by("ann", "export", INCIDENT, "-o", "case.zip", "--purpose", "audit")
    words = " ".join(said.out.split())
    request = by("ann", "request", "list", "--json").json["items"][0]["id"]
    for told in (
        "NOT written yet", f"evault request approve {request}",
        f"evault export {INCIDENT} --at N -o FILE",
    ):  # fmt: skip
        assert told in words
    approved = by("lea", "request", "approve", request)
    assert (approved.code, f"evault export {INCIDENT} --at" in approved.out) == (0, True)


def test_who_may_export_alone_asks_nobody(case: Case, by: As) -> None:
    said = by("lea", "export", INCIDENT, "-o", "case.zip", "--purpose", "production", "--json")
    assert said.code == 0, said.err
    assert Path("case.zip").stat().st_size == said.json["size"]
    assert by("lea", "request", "list", "--json").json["items"] == []


def test_a_request_is_refused_and_not_approved_any_more(case: Case, by: As) -> None:
    request = asked(by)["id"]
    refused = by("lea", "request", "refuse", request, "--reason", "too wide", "--json")
    check("request", refused.json)
    assert (refused.json["state"], refused.json["approver"]) == ("refused", "lea")
    again = by("lea", "request", "approve", request, "--json")
    assert (again.code, "too wide" in again.err) == (2, True)
    shown = by("ann", "request", "list").out
    assert "refused by lea" in shown
    assert "too wide" in shown
    assert "export" not in types(case)


def test_nobody_approves_their_own_request(case: Case, by: As) -> None:
    request = asked(by, "gus")["id"]
    said = by("gus", "request", "approve", request)
    assert (said.code, "second person" in said.err) == (2, True)
    assert "export" not in types(case)


def test_what_a_server_does_not_export_by_is_refused_before_it_is_asked_for(by: As) -> None:
    said = by("ann", "export", INCIDENT, "-o", "case.zip", "--purpose", "p", "--compress")
    assert (said.code, "--compress" in said.err) == (2, True)
    assert by("ann", "request", "list", "--json").json["items"] == []


def test_in_a_home_there_are_no_requests(case: Case, by: As) -> None:
    for words in (("list",), ("show", "X"), ("approve", "X"), ("refuse", "X", "--reason", "r")):
        said = by("ann", "--home", case.vault.home, "request", *words)
        assert (said.code, "EVAULT_URL" in said.err) == (2, True)


HOLD = ("hold", "release", INCIDENT, "--matter", "M-1", "--reason", "settled")
WAIVE = (
    "waive", "grant", INCIDENT, "C2.models", "--reason", "no versions are kept", "--owner", "Ida",
    "--until", "+2w",
)  # fmt: skip
ATTEST = ("attest", INCIDENT, "not_applicable", "item=C5", "reason=nothing was changed")
COMMANDS = [
    ("gus", HOLD, "hold-release", "hold_release", "NOT released yet"),
    ("aut", WAIVE, "waive", "waiver", "NOT waived yet"),
    ("aut", ATTEST, "attest", "attestation", "NOT attested yet"),
]


@pytest.fixture
def held(case: Case, by: As) -> As:
    case.who("aut", VaultRole.POSTMORTEM_AUTHOR)
    case.vault.retention.set_hold(INCIDENT, "M-1", "a claim", None)
    return by


@pytest.mark.parametrize(("name", "words", "schema", "kind", "told"), COMMANDS)
def test_what_takes_two_people_is_asked_for_and_done_when_the_second_approves(
    case: Case, held: As, name: str, words: tuple[str, ...], schema: str, kind: str, told: str
) -> None:
    before = types(case)
    said = held(name, *words, "--json")
    assert said.code == 3, said.err
    check(schema, said.json)
    request = said.json["request"]
    found = (said.json["incident"], request["kind"], request["requester"], request["state"])
    assert found == (INCIDENT, kind, name, "pending")
    assert types(case) == before, "asking seals nothing"
    own = held(name, "request", "approve", request["id"])
    assert (own.code, [each for each in types(case) if each != "refused"]) == (2, before)
    approved = held("lea", "request", "approve", request["id"], "--json")
    assert approved.code == 0, approved.err
    assert approved.json["state"] == "done"
    statement = case.vault.incidents.read(INCIDENT).manifests[-1].statement
    body = statement.body
    assert (statement.actor.id, body["approved_by"]["person"]) == (name, "lea")
    assert body["approved_by"]["authenticated"] == "token"
    assert len([each for each in types(case) if each != "refused"]) == len(before) + 1


@pytest.mark.parametrize(("name", "words", "schema", "kind", "told"), COMMANDS)
def test_how_a_request_is_approved_is_said(
    held: As, name: str, words: tuple[str, ...], schema: str, kind: str, told: str
) -> None:
    del schema, kind
    said = held(name, *words)
    assert said.code == 3, said.err
    request = held(name, "request", "list", "--json").json["items"][0]["id"]
    assert told in said.out
    assert f"evault request approve {request}" in " ".join(said.out.split())


@pytest.mark.parametrize(("name", "words", "schema", "kind", "told"), COMMANDS)
def test_nobody_is_named_as_the_second_person_to_a_server(
    case: Case, held: As, name: str, words: tuple[str, ...], schema: str, kind: str, told: str
) -> None:
    del schema, kind, told
    before = types(case)
    said = held(name, *words, "--approved-by", "lea", "--exhibit", "EV-0001")
    assert said.code == 2
    err = " ".join(said.err.split())
    assert "leave it out: a second person approves with: evault request approve ID" in err
    assert held(name, "request", "list", "--json").json["items"] == []
    assert types(case) == before


def test_a_server_takes_nobody_else_for_who_asks_for_a_waiver(held: As) -> None:
    said = held("aut", *WAIVE, "--requested-by", "Linus")
    assert (said.code, "--requested-by" in said.err) == (2, True)
    assert held("aut", "request", "list", "--json").json["items"] == []


def test_what_of_a_request_makes_no_sense_is_said_and_nothing_is_asked_for(held: As) -> None:
    for name, words, told in (
        ("gus", (*HOLD[:4], "M-2", *HOLD[5:]), "M-2"),
        ("gus", (*HOLD, "--exhibit", "EV-0404"), "EV-0404"),
        ("aut", (*WAIVE[:3], "C2.modles", *WAIVE[4:]), "C2.modles"),
        ("aut", (*ATTEST[:3], "item=C99", ATTEST[4]), "C99"),
        ("ann", ATTEST, "may not attest"),
        ("aut", HOLD, "may not ask for a hold's release"),
    ):
        said = held(name, *words)
        assert (said.code, told in said.err) == (2, True), said.err + said.out
        assert held(name, "request", "list", "--json").json["items"] == []


@pytest.mark.parametrize("words", [HOLD, WAIVE, ATTEST])
def test_in_a_home_who_approved_is_named_as_ever(
    case: Case, held: As, words: tuple[str, ...]
) -> None:
    said = held("gus", "--home", case.vault.home, *words)
    assert (said.code, "--approved-by" in said.err) == (2, True)
    assert "request" not in types(case)


def test_a_person_accepts_their_own_role_by_command(case: Case, by: As) -> None:
    case.who("ida", VaultRole.INCIDENT_COMMANDER)
    case.who("cleo", VaultRole.COMMS_LEAD)
    assert by("ida", "incident", "assign", INCIDENT, "comms_lead", "cleo").code == 0
    said = by("cleo", "incident", "assign", INCIDENT, "comms_lead", "cleo", "--accept", "--json")
    assert said.code == 0, said.err
    check("incident-act", said.json)
    statement = case.vault.incidents.read(INCIDENT).manifests[-1].statement
    found = (statement.actor.id, statement.body["event"], statement.body["person"])
    assert found == ("cleo", "accepted", "cleo")
    offered = by("ida", "incident", "assign", INCIDENT, "comms_lead", "dora")
    assert offered.code == 0, offered.err
    said = by("cleo", "incident", "assign", INCIDENT, "comms_lead", "dora", "--accept")
    assert (said.code, "may not assign roles" in said.err) == (2, True)


def test_custody_of_a_person_shows_what_they_approved_and_what_they_were_refused(
    case: Case, held: As
) -> None:
    lea, ann = case.who("lea", VaultRole.LEGAL), case.who("ann", VaultRole.AUDITOR)
    expected = []
    for name, words, *_ in COMMANDS:
        request = held(name, *words, "--json").json["request"]["id"]
        assert held("lea", "request", "approve", request).code == 0
        expected.append(case.vault.incidents.read(INCIDENT).incident.sequence)
    export = asked(held)["id"]
    assert held("lea", "request", "approve", export).code == 0
    expected.append(case.vault.incidents.read(INCIDENT).incident.sequence)
    assert held("ann", *ATTEST).code == 2
    refused = case.vault.incidents.read(INCIDENT).incident.sequence
    home = ("--home", case.vault.home, "custody", INCIDENT, "--person")
    for name, links in (("lea", expected), ("ann", [expected[-1] - 1, expected[-1], refused])):
        said = held(name, *home, name, "--json")
        assert said.code == 0, said.err
        path = f"/v1/incidents/{INCIDENT}/custody?person={name}"
        heard = case.told("custody", "GET", path, lea if name == "lea" else ann)
        assert [each["sequence"] for each in said.json["items"]] == links
        assert heard["items"] == said.json["items"]


def test_who_may_see_no_incident_is_not_told_that_there_is_none(case: Case, by: As) -> None:
    case.who("nils")
    for words in (("status",), ("incident", "list")):
        said = by("nils", *words)
        assert (said.code, "incident that you may see" in said.out) == (0, True)
        assert "declare" not in said.out


@pytest.mark.parametrize("chain", [INCIDENT, STREAM])
def test_several_exhibits_are_withdrawn_by_one_link(case: Case, by: As, chain: str) -> None:
    case.who("fay", VaultRole.FORENSICS_LEAD)
    exhibits = list(case.vault.incidents.read(chain).state.exhibits)
    before = len(case.vault.incidents.read(chain).manifests)
    said = by("fay", "evidence", "withdraw", chain, *exhibits, "--reason", "by mistake")
    assert said.code == 0, said.err
    after = case.vault.incidents.read(chain).manifests
    assert len(after) == before + 1
    assert after[-1].statement.body["exhibits"] == exhibits


def test_where_none_is_open_only_who_may_declare_is_told_to(case: Case, by: As) -> None:
    case.who("cleo", VaultRole.INCIDENT_COMMANDER)
    case.who("carl", VaultRole.INCIDENT_COMMANDER, chains=("INC-2020-0001",))
    said = by("carl", "custody")
    assert (said.code, "declare --help" in said.err) == (2, False), said.err
    assert "there is no open incident that you may see, and your roles declare none" in said.err
    assert by("cleo", "incident", "close", INCIDENT).code == 0
    assert (
        "that you may see; declare one with: evault incident declare" in by("cleo", "custody").err
    )
    assert "your roles declare none" in by("ann", "custody").err


def test_what_a_command_makes_slowly_is_read_before_it_is_sent(
    lived: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A body that drips is cut off: here one of less than 4 MB in two seconds."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    limits = Limits(least_rate=2_000_000, rate_seconds=2)
    slow = "import time; print('1' * 2_000_000, flush=True); time.sleep(2.5); print('2' * 300_000)"
    home = shutil.copytree(lived, tmp_path / "home")
    with serving_copy(home, People(now()), limits=limits) as case:
        case.who("fay", VaultRole.FORENSICS_LEAD)
        monkeypatch.setenv("EVAULT_URL", case.site.url)
        monkeypatch.setenv("EVAULT_TOKEN", "secret-fay")
        said = run("capture", INCIDENT, "--", sys.executable, "-c", slow)
        assert said.code == 0, said.err
        sealed = {each.item.sha256 for each in exhibits_of(case)}
    whole = b"1" * 2_000_000 + b"\n" + b"2" * 300_000 + b"\n"
    assert hashlib.sha256(whole).hexdigest() in sealed


def exhibits_of(case: Case) -> list[Any]:
    return list(case.vault.incidents.read(INCIDENT).state.exhibits.values())


ASKED = [
    ("gus", HOLD, ("matter M-1",)),
    ("aut", (*WAIVE, "--scope", "mail-agent", "--exhibit", "EV-0001"),
     ("conditions C2.models", "owner Ida", "from its approval", "until 20", "scope mail-agent",
      "shown by EV-0001")),
    ("aut", ATTEST, ("attests not_applicable", "item C5", "reason nothing was changed")),
    ("ann", ("export", INCIDENT, "-o", "case.zip", "--purpose", "audit", "--recipient",
             "Court of Appeal", "--withhold", "EV-0001=privileged"),
     ("recipient Court of Appeal", 'withholds EV-0001 "privileged"')),
]  # fmt: skip


@pytest.mark.parametrize(("name", "words", "told"), ASKED)
def test_who_approves_sees_what_they_approve(
    held: As, name: str, words: tuple[str, ...], told: tuple[str, ...]
) -> None:
    held(name, *words)
    request = held("lea", "request", "list", "--json").json["items"][0]
    listed = " ".join(held("lea", "request", "list").out.split())
    shown = held("lea", "request", "show", request["id"])
    assert shown.code == 0, shown.err
    as_json = held("lea", "request", "show", request["id"], "--json").json
    check("request", as_json)
    assert as_json == request
    approved = held("lea", "request", "approve", request["id"])
    assert approved.code == 0, approved.err
    for text in (listed, " ".join(shown.out.split()), " ".join(approved.out.split())):
        for each in told:
            assert each in text
        assert request["reason"] in text
    settled = " ".join(held("lea", "request", "show", request["id"]).out.split())
    assert "approved by lea" in settled
    assert "request approve" not in settled


def test_a_name_that_looks_like_another_is_spelled_out_to_who_approves(by: As) -> None:
    recipient = "C\u043eurt"  # with a Cyrillic letter
    by("ann", "export", INCIDENT, "-o", "c.zip", "--purpose", "audit", "--recipient", recipient)
    assert "\\u043e" in by("lea", "request", "list").out


@pytest.mark.parametrize(("name", "words", "told"), ASKED)
def test_what_is_asked_for_twice_waits_once(
    held: As, name: str, words: tuple[str, ...], told: tuple[str, ...]
) -> None:
    del told
    first, again = held(name, *words, "--json"), held(name, *words, "--json")
    assert (first.code, again.code) == (3, 3)
    assert again.json["request"] == {**first.json["request"], "repeated": True}
    check(_SCHEMAS[words[0]], again.json)
    assert "already" in held(name, *words).out
    assert held("lea", "request", "list", "--json").json["counts"]["requests"] == 1
    other = [*words]
    other[-1] = "EV-0001=another reason" if words[0] == "export" else other[-1]
    for each in ("reason=nothing was changed", "settled", "no versions are kept"):
        if each in other:
            other[other.index(each)] = f"{each}, as was said"
    assert "repeated" not in held(name, *other, "--json").json["request"]
    assert held("lea", "request", "list", "--json").json["counts"]["requests"] == 2


_SCHEMAS = {"hold": "hold-release", "waive": "waive", "attest": "attest", "export": "export"}
