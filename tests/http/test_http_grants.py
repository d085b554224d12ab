"""Roles over HTTP: asked for by one, approved by another, held by a third; and taken back."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from case_served import INCIDENT, STREAM
from serving import People, Site, listening

from cli.compose import Vault, now, open_access, open_vault
from cli.serving import service_of
from cli.settings import read_settings
from cli.sign_in import bearers_of
from vault.adapters.access import SqlAccessStore
from vault.http.app import create_app
from vault.http.served import Service
from vault.tokens import Tokens
from verify.grant import GrantedRole

ADA, GUS, GRETA, PAT = "ada@example.org", "gus@example.org", "greta@example.org", "pat@example.org"
STEWARD, ADMIN = GrantedRole.GOVERNANCE_STEWARD, GrantedRole.PLATFORM_ADMIN


class Served:
    """A served vault whose people sign in with its own tokens, and hold what its chain says."""

    def __init__(self, vault: Vault, store: SqlAccessStore) -> None:
        self.vault = vault
        self.store = store
        self.tokens = Tokens(store=store, clock=now)
        self.service: Service = service_of(vault, bearers_of(store, now, {}), store)
        self.url = ""

    @property
    def site(self) -> Site:
        return Site(self.url, People(now()))

    def who(self, person: str, *chains: str) -> dict[str, str]:
        """What a person sends by a new token, limited to some chains if they are named."""
        return {
            "Authorization": f"Bearer {self.tokens.issue(person, chains=chains).secret.reveal()}"
        }

    def hold(self, person: str, role: GrantedRole, *chains: str) -> None:
        self.vault.grants.grant(person, role, chains or ("*",), reason="r")

    def steward(self, person: str) -> dict[str, str]:
        self.hold(person, STEWARD)
        return self.who(person)


@pytest.fixture
def served(lived: Path, tmp_path: Path) -> Iterator[Served]:
    shutil.copytree(lived, tmp_path / "lived")
    vault = open_vault(read_settings({}, tmp_path / "lived"))
    store = open_access(vault.home, vault.config)
    found = Served(vault, store)
    try:
        with listening(create_app(found.service)) as url:
            found.url = url
            yield found
    finally:
        store.close()
        vault.close()


def test_a_limited_token_is_told_of_its_own_grants_on_its_chains_alone(served: Served) -> None:
    book = served.vault.grants
    book.grant(ADA, GrantedRole.LEGAL, [INCIDENT, STREAM], reason="both")
    book.grant(ADA, GrantedRole.AUDITOR, ["stream:secret"], reason="a stream")
    book.grant(ADA, GrantedRole.COMMS_LEAD, ["*"], reason="everywhere")
    book.revoke(ADA, GrantedRole.LEGAL, [STREAM], reason="told of the stream")

    def told(*chains: str) -> dict[str, tuple[list[str], list[str], str | None]]:
        heard = served.site.get("/v1/grants", served.who(ADA, *chains))
        assert heard.status == 200
        return {
            each["role"]: (each["chains"], each["given"], each["revoked_reason"])
            for each in heard.json["items"]
        }

    assert set(told()) == {"legal", "auditor", "comms_lead"}
    assert told(INCIDENT) == {
        "legal": ([INCIDENT], [INCIDENT], None), "comms_lead": (["*"], ["*"], None),
    }  # fmt: skip
    assert told(STREAM)["legal"] == ([], [STREAM], "told of the stream")
    heard = served.site.get("/v1/grants", served.who(ADA, INCIDENT))
    assert "stream" not in json.dumps(heard.json)


def test_a_limited_token_of_who_grants_is_told_of_no_others(served: Served) -> None:
    served.steward(GUS)
    served.hold(ADA, GrantedRole.LEGAL, INCIDENT)
    assert len(served.site.get("/v1/grants", served.who(GUS)).json["items"]) == 2
    limited = served.site.get("/v1/grants", served.who(GUS, INCIDENT)).json["items"]
    assert [each["person"] for each in limited] == [GUS]
