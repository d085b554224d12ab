"""`evault grant`: roles given and taken back, and what the vault does with those of others."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from cli_support import Evault, run

from cli.compose import open_vault
from cli.settings import read_settings
from cli.vault import Vault, now
from vault.deposit import Draft
from vault.errors import RefusedError
from verify.approval import Approval
from verify.grant import GrantedRole
from verify.instant import format_instant
from verify.statement import Type

ADA, GRACE = "ada@example.org", "grace@example.org"


def opened(evault: Evault) -> Vault:
    return open_vault(read_settings({}, evault.home))


def live(evault: Evault, *words: object) -> list[tuple[str, str, list[str]]]:
    said = evault.answer("grant-list", "grant", "list", *words)
    return [
        (each["person"], each["role"], each["chains"])
        for each in said["items"]
        if each["state"] == "live"
    ]


def test_a_role_is_given_shown_and_taken_back(evault: Evault, case: str) -> None:
    given = evault.answer(
        "grant-add", "grant", "add", ADA, "forensics-lead", case, "stream:web", "--reason", "r",
        "--to", "30d",
    )  # fmt: skip
    assert given["receipt"]["chain"] == "vault"
    assert given["grant"]["state"] == "live"
    assert live(evault) == [(ADA, "forensics_lead", [case, "stream:web"])]
    taken = evault.answer(
        "grant-revoke", "grant", "revoke", ADA, "forensics_lead", "stream:web", "--reason", "left"
    )
    assert taken["chains"] == ["stream:web"]
    assert live(evault) == [(ADA, "forensics_lead", [case])]
    evault("grant", "revoke", ADA, "forensics_lead", "--reason", "left")
    (item,) = evault.answer("grant-list", "grant", "list", ADA)["items"]
    assert (item["state"], item["given"], item["chains"]) == ("revoked", [case, "stream:web"], [])
    assert item["revoked_reason"] == "left"
    assert run("log", "audit").code == 0
    evault("log", "rebuild")
    assert evault.answer("grant-list", "grant", "list")["counts"] == {"grants": 1, "live": 0}


def test_a_role_for_every_chain_and_for_one_are_taken_back_together(
    evault: Evault, case: str
) -> None:
    evault("grant", "add", ADA, "legal", "--all", "--reason", "r")
    evault("grant", "add", ADA, "legal", case, "--reason", "r")
    assert "--all, and grant the rest" in evault.refused(
        "grant", "revoke", ADA, "legal", "INC-2026-9999", "--reason", "r"
    )
    taken = evault.answer("grant-revoke", "grant", "revoke", ADA, "legal", "--reason", "r")
    assert sorted(taken["chains"]) == ["*", case]
    assert live(evault) == []
    assert run("log", "audit").code == 0


def test_the_same_grant_again_adds_nothing(evault: Evault, case: str) -> None:
    evault("grant", "add", ADA, "legal", case, "--reason", "r")
    again = evault.answer("grant-add", "grant", "add", ADA, "legal", case, "--reason", "other")
    assert again["receipt"] is None
    assert evault.answer("grant-list", "grant", "list")["counts"]["grants"] == 1
    evault("grant", "add", ADA, "legal", "--all", "--reason", "more")
    assert evault.answer("grant-list", "grant", "list")["counts"]["grants"] == 2


def test_the_one_open_incident_need_not_be_named(evault: Evault, case: str) -> None:
    said = evault("grant", "add", ADA, "auditor", "--reason", "r")
    assert f"{case}, the one open incident" in said.err
    assert live(evault) == [(ADA, "auditor", [case])]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("chief", "--all"), "is no role; there are forensics_lead"),
        (("legal", "INC-2026-0999"), "there is no incident INC-2026-0999"),
        (("legal", "INC-26-1"), "no incident id"),
        (("legal", "everything"), "no incident id"),
        (("legal", "stream:Web"), "is no stream"),
        (("legal", "--all", "vault"), "one or the other"),
        (("legal", "--all", "--to", "2020-01-01T00:00Z"), "is past"),
        (("legal", "--all", "--from", "-2d"), "permits nothing that was done before"),
        (("legal", "--all", "--to", "soon"), "+2w"),
        (("legal", "--all", "--from", "2099-01-02T00:00Z", "--to", "2099-01-01T00:00Z"),
         "not after it starts"),
    ],
)  # fmt: skip
def test_a_grant_that_makes_no_sense_is_refused(
    evault: Evault, case: str, words: tuple[str, ...], says: str
) -> None:
    assert says in evault.refused("grant", "add", ADA, *words, "--reason", "r")
    assert live(evault) == []


@pytest.mark.parametrize("role", GrantedRole)
def test_the_system_under_investigation_never_holds_a_role(
    evault: Evault, case: str, role: str
) -> None:
    for agent in ("mail-agent", "Mail-AGENT", "\uff4dail-agent"):
        for on in ("--all", "stream:web"):
            message = evault.refused("grant", "add", agent, role, on, "--reason", "r")
            assert f"a system that {case} is about" in message
    assert live(evault) == []


def test_an_id_of_an_agent_or_a_collector_is_refused(evault: Evault, case: str) -> None:
    for each in ("agent:helper", "AGENT:helper", "collector:edge-1"):
        message = evault.refused("grant", "add", each, "legal", case, "--reason", "r")
        assert "only people hold roles" in message


def test_a_principal_of_an_incident_holds_no_role_there_but_elsewhere(
    evault: Evault, case: str
) -> None:
    evault("incident", "scope", case, "--principal", ADA, "--reason", "the agent used it")
    other = evault.declare(systems=("crm",))
    for words in ((case,), ("--all",), (other, case)):
        message = evault.refused("grant", "add", ADA, "legal", *words, "--reason", "r")
        assert f"a principal of {case}" in message
    evault("grant", "add", ADA, "legal", other, "--reason", "r")
    assert live(evault) == [(ADA, "legal", [other])]


def test_a_grant_to_come_counts_from_its_moment(evault: Evault, case: str) -> None:
    begins = now() + timedelta(days=1)
    evault("grant", "add", ADA, "legal", case, "--reason", "r", "--from", format_instant(begins))
    assert live(evault) == []
    vault = opened(evault)
    try:
        assert vault.grants.live(begins - timedelta(milliseconds=1)) == ()
        assert [each.person for each in vault.grants.live(begins)] == [ADA]
        assert vault.grants.of(GRACE) == ()
        assert len(vault.grants.of(ADA)) == 1
        assert vault.grants.of(ADA, now()) == ()
    finally:
        vault.close()


def test_what_another_process_grants_and_revokes_is_seen_at_the_next_look(
    evault: Evault, case: str
) -> None:
    first, second = opened(evault), opened(evault)
    try:
        assert first.grants.all() == ()
        second.grants.grant(ADA, GrantedRole.LEGAL, [case], reason="r")
        assert [each.person for each in first.grants.live(now())] == [ADA]
        first.grants.grant(GRACE, GrantedRole.AUDITOR, ["*"], reason="r")
        second.grants.revoke(ADA, GrantedRole.LEGAL, None, reason="r")
        assert [each.person for each in first.grants.live(now())] == [GRACE]
    finally:
        first.close()
        second.close()


def test_what_a_later_evault_granted_gives_nothing_and_is_told(evault: Evault, case: str) -> None:
    later: dict[str, Any] = {"event": "granted", "role": "redactor", "person": GRACE, "level": 3}
    vault = opened(evault)
    try:
        vault.grants.grant(ADA, GrantedRole.LEGAL, [case], reason="r")
        draft = Draft(Type.GRANT, later, "d-later")
        vault.door.deposit("vault", [draft.deposit], lambda _: [draft])
        assert [each.person for each in vault.grants.live(now())] == [ADA]
        suspended = Draft(Type.GRANT, {"event": "suspended", "person": ADA, "role": "legal"}, "d-s")
        vault.door.deposit("vault", [suspended.deposit], lambda _: [suspended])
        assert vault.grants.live(now()) == ()
    finally:
        vault.close()
    said = evault.answer("grant-list", "grant", "list")
    assert said["not_understood"] == [1, 2]
    assert said["items"][0]["state"] == "in_doubt"
    assert "link 1, link 2" in evault("grant", "list").out
    assert run("log", "audit").code == 2
    evault("grant", "add", ADA, "legal", case, "--reason", "anew")
    assert live(evault) == [(ADA, "legal", [case])]


def test_a_server_acts_as_who_asked(evault: Evault, case: str) -> None:
    vault = opened(evault)
    try:
        actor = vault.door.actor
        other = vault.acting_as(type(actor)(GRACE, "person", "token", None))
        yes = Approval("gus@example.org", "token")
        _, receipt = other.grants.grant(ADA, GrantedRole.LEGAL, [case], reason="r", approval=yes)
        assert receipt is not None
        assert [each.person for each in vault.grants.live(now())] == [ADA]
        with pytest.raises(RefusedError, match="is past"):
            other.grants.grant(ADA, GrantedRole.LEGAL, [case], reason="r",
                               valid_to=now() - timedelta(seconds=1))  # fmt: skip
    finally:
        vault.close()
