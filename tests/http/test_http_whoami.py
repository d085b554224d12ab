"""`evault whoami`: who signed in, and what they hold; in a home, the account."""

from __future__ import annotations

import getpass
import os
from datetime import timedelta
from pathlib import Path

import pytest
from case_served import INCIDENT, STREAM
from cli_support import Said, check, run
from signed_in import ADA, Served

from cli.compose import now
from vault.ports import IdentityKind
from verify.grant import GrantedRole
from verify.instant import format_instant


@pytest.fixture(autouse=True)
def there(served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVAULT_URL", served.site.url)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


def asked(monkeypatch: pytest.MonkeyPatch, secret: str, *words: str) -> Said:
    monkeypatch.setenv("EVAULT_TOKEN", secret)
    said = run("whoami", *words)
    assert said.code == 0, said.err
    return said


def test_a_person_is_told_token_limits_and_roles(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = now() + timedelta(days=3)
    served.vault.grants.grant(
        ADA, GrantedRole.LEGAL, (INCIDENT, "stream:secret"), reason="r", valid_to=end
    )
    served.hold(ADA, GrantedRole.AUDITOR)
    whole = served.tokens.issue(ADA)
    told = asked(monkeypatch, whole.secret.reveal(), "--json").json
    check("whoami", told)
    assert (told["id"], told["kind"], told["authenticated"]) == (ADA, "person", "token")
    assert (told["token"], told["chains"]) == (whole.token.id, None)
    assert told["expires"] == format_instant(whole.token.expires)
    assert told["server"] == served.site.url
    held = {each["role"]: (each["chains"], each["to"]) for each in told["grants"]}
    assert held == {
        "legal": ([INCIDENT, "stream:secret"], format_instant(end)), "auditor": (["*"], None),
    }  # fmt: skip
    narrow = served.tokens.issue(ADA, chains=[INCIDENT])
    told = asked(monkeypatch, narrow.secret.reveal(), "--json").json
    assert told["chains"] == [INCIDENT]
    assert [each["chains"] for each in told["grants"]] == [[INCIDENT], [INCIDENT]]
    shown = asked(monkeypatch, narrow.secret.reveal()).out
    assert "stream:secret" not in shown
    for words in (ADA, narrow.token.id, format_instant(end), f"for {INCIDENT} alone", "legal"):
        assert words in " ".join(shown.split())


def test_who_holds_no_role_is_told_what_to_ask_for_and_whom(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = served.tokens.issue(ADA).secret.reveal()
    shown = " ".join(asked(monkeypatch, secret).out.split())
    assert "You hold no role here" in shown
    assert "Ask a governance_steward or platform_admin" in shown
    assert "a governance_steward approves it" in shown
    assert f"evault grant add {ADA} ROLE INCIDENT --reason TEXT" in shown
    assert asked(monkeypatch, secret, "--json").json["grants"] == []


def test_a_collector_is_told_where_it_appends(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    issued = served.tokens.issue("collector:e", kind=IdentityKind.COLLECTOR, chains=[STREAM])
    shown = asked(monkeypatch, issued.secret.reveal()).out
    assert f"appends to {STREAM}, and reads nothing" in shown
    assert "role" not in shown
    check("whoami", told := asked(monkeypatch, issued.secret.reveal(), "--json").json)
    assert (told["kind"], told["chains"], told["grants"]) == ("collector", [STREAM], [])


def test_in_a_home_it_is_the_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVAULT_ACTOR", "Ada")
    said = run("--home", tmp_path, "whoami", "--json")
    assert said.code == 0, said.err
    check("whoami", said.json)
    assert said.json["id"].startswith(f"{getpass.getuser()}@")
    assert said.json["authenticated"] == f"uid {os.getuid()}, local"
    assert (said.json["claimed"], said.json["server"]) == ("Ada", None)
    assert "account of the operating system" in run("--home", tmp_path, "whoami").out


def test_a_token_that_is_not_taken_is_told(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    issued = served.tokens.issue(ADA)
    served.tokens.revoke(issued.token.id)
    monkeypatch.setenv("EVAULT_TOKEN", issued.secret.reveal())
    said = run("whoami")
    assert (said.code, "was revoked" in said.err) == (2, True)
