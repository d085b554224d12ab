"""`evault grant` through a server: one asks, another approves; taken back and listed by one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from case_served import INCIDENT
from cli_support import Said, check, run
from signed_in import ADA, ADMIN, GRETA, GUS, PAT, STEWARD, Served

from verify.grant import GrantedRole

As = Callable[..., Said]
ADD = ("grant", "add", ADA, "legal", INCIDENT, "--reason", "on call")


@pytest.fixture
def by(served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> As:
    """A command of a person."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("EVAULT_URL", served.site.url)
    monkeypatch.chdir(tmp_path)
    secrets = {
        name: served.tokens.issue(name).secret.reveal()
        for name in (ADA, GUS, GRETA, PAT, "mail-agent")
    }
    served.hold(GUS, STEWARD)
    served.hold(GRETA, STEWARD)
    served.hold(PAT, ADMIN)

    def said(name: str, *words: object) -> Said:
        monkeypatch.setenv("EVAULT_TOKEN", secrets[name])
        return run(*words)

    return said


@pytest.mark.parametrize("asker", [GUS, PAT])
def test_a_role_is_asked_for_approved_held_and_taken_back(
    served: Served, by: As, asker: str
) -> None:
    said = by(asker, *ADD, "--to", "30d", "--json")
    assert said.code == 3, said.err
    check("grant-add", said.json)
    request = said.json["request"]["id"]
    listed = " ".join(by(GRETA, "request", "list").out.split())
    assert f"{ADA}: legal on {INCIDENT}, until 20" in listed, "what is said yes to is shown"
    approved = by(GRETA, "request", "approve", request)
    assert approved.code == 0, approved.err
    assert f"{ADA}: legal on {INCIDENT}" in " ".join(approved.out.split())
    for name in (asker, GRETA, ADA):
        book = by(name, "grant", "list", ADA, "--json")
        assert book.code == 0, book.err
        check("grant-list", book.json)
        (item,) = book.json["items"]
        assert (item["role"], item["chains"], item["state"]) == ("legal", [INCIDENT], "live")
        assert item["approved_by"] == GRETA
    assert "approved by greta@example.org" in " ".join(by(ADA, "grant", "list").out.split())
    assert by(ADA, "evidence", "list", INCIDENT).code == 0
    gone = by(asker, "grant", "revoke", ADA, "legal", "--reason", "left", "--json")
    assert gone.code == 0, gone.err
    check("grant-revoke", gone.json)
    assert gone.json["chains"] == [INCIDENT]
    assert by(ADA, "evidence", "list", INCIDENT).code == 2


def test_it_is_said_that_it_is_not_held_yet_and_who_may_approve(served: Served, by: As) -> None:
    said = by(GUS, *ADD)
    assert said.code == 3
    words = " ".join(said.out.split())
    request = by(GUS, "request", "list", "--json").json["items"][0]["id"]
    for told in (f"NOT legal on {INCIDENT} yet", f"neither you nor {ADA}",
                 f"evault request approve {request}"):  # fmt: skip
        assert told in words
    assert served.vault.grants.of(ADA) == ()


def test_a_grant_is_asked_for_once_however_often_it_is_typed(served: Served, by: As) -> None:
    first, again = by(GUS, *ADD, "--to", "30d", "--json"), by(GUS, *ADD, "--to", "30d", "--json")
    check("grant-add", again.json)
    assert again.json["request"] == {**first.json["request"], "repeated": True}
    for words in ((*ADD, "--to", "31d"), ADD):
        assert "repeated" not in by(GUS, *words, "--json").json["request"]
    assert len(by(GUS, "request", "list", "--json").json["items"]) == 3


def test_what_is_held_so_already_is_said(served: Served, by: As) -> None:
    served.hold(ADA, GrantedRole.LEGAL, INCIDENT)
    said = by(GUS, *ADD, "--json")
    check("grant-add", said.json)
    assert said.json["receipt"] is None
    assert "holds that already: legal" in by(GUS, *ADD).out


def test_a_name_that_only_looks_like_another_is_shown_as_it_is_written(
    served: Served, by: As
) -> None:
    said = by(GUS, "grant", "add", "\u0430da@example.org", "legal", "--all", "--reason", "r")
    assert said.code == 3, said.err
    assert "\\u0430da@example.org" in by(GRETA, "request", "list").out


@pytest.mark.parametrize(
    ("name", "words", "told"),
    [
        (ADA, ADD, "may not grant"),
        (GUS, ("grant", "add", GUS, "legal", INCIDENT, "--reason", "r"), "themselves"),
        (GUS, ("grant", "add", "mail-agent", "legal", INCIDENT, "--reason", "r"), "a system that"),
        (GUS, ("grant", "revoke", ADA, "legal", "--reason", "r"), "does not hold the role"),
        (ADA, ("grant", "revoke", GUS, "governance_steward", "--reason", "r"), "may not grant"),
    ],
)
def test_what_may_not_be_is_refused_in_one_line(
    served: Served, by: As, name: str, words: tuple[str, ...], told: str
) -> None:
    head = served.vault.index.head("vault")
    assert by(name, "request", "list").code == 0  # pins the trust file, and says so
    said = by(name, *words)
    assert (said.code, said.raw) == (2, b"")
    assert told in " ".join(said.err.split())
    assert served.vault.index.head("vault") == head


def test_the_last_two_who_grant_are_told_where_it_is_done(served: Served, by: As) -> None:
    assert by(GUS, "grant", "revoke", PAT, "platform_admin", "--reason", "r").code == 0
    said = by(GUS, "grant", "revoke", GRETA, "governance_steward", "--reason", "r")
    assert (said.code, "where the vault's home is" in " ".join(said.err.split())) == (2, True)
    done = run("--home", served.vault.home, "grant", "revoke", GRETA, "governance_steward",
               "--reason", "r")  # fmt: skip
    assert done.code == 0, done.err


@pytest.mark.parametrize(
    "words",
    [
        ("incident", "show", INCIDENT),
        ("evidence", "show", INCIDENT, "EV-0001"),
        ("evidence", "list", INCIDENT),
        ("retention", "show"),
        ("retention", "show", INCIDENT),
        ("hold", "list", INCIDENT),
        ("stream", "show", "stream:web"),
        ("status", INCIDENT),
        ("checklist", INCIDENT),
        ("custody", INCIDENT),
        ("timeline", INCIDENT),
        ("verify", INCIDENT),
    ],
)
def test_a_role_on_one_incident_is_enough_to_look_at_it(
    served: Served, by: As, words: tuple[str, ...]
) -> None:
    """It does not show the vault's own chain, on which the policy of retention is."""
    served.hold(ADA, GrantedRole.LEGAL, INCIDENT, "stream:web")
    assert by(ADA, "trust").code == by(GUS, "trust").code == 0
    narrow, wide = by(ADA, *words, "--json"), by(GUS, *words, "--json")
    assert narrow.code == wide.code, narrow.err
    if words[0] in ("incident", "evidence", "retention", "hold", "stream"):
        assert narrow.json == wide.json
