"""A served vault whose people sign in with its own tokens, and hold what its own chain says."""

from __future__ import annotations

from serving import Heard, People, Site

from cli.serving import service_of
from cli.sign_in import bearers_of
from cli.vault import Vault, now
from vault.adapters.access import SqlAccessStore
from vault.http.served import Service
from vault.tokens import Issued, Tokens
from verify.grant import GrantedRole

ADA, GUS, GRETA, PAT = "ada@example.org", "gus@example.org", "greta@example.org", "pat@example.org"
STEWARD, ADMIN = GrantedRole.GOVERNANCE_STEWARD, GrantedRole.PLATFORM_ADMIN


def shows(issued: Issued) -> dict[str, str]:
    """What the holder of a token sends."""
    return {"Authorization": f"Bearer {issued.secret.reveal()}"}


def bearing(secret: str) -> dict[str, str]:
    """What the holder of a secret sends."""
    return {"Authorization": f"Bearer {secret}"}


def code_of(heard: Heard) -> tuple[int, str]:
    """The status of a problem, and what it is."""
    return heard.status, heard.json["type"].rpartition(":")[2]


class Served:
    """Its server, and what stands behind it."""

    def __init__(self, vault: Vault, store: SqlAccessStore) -> None:
        self.vault = vault
        self.tokens = Tokens(store=store, clock=now)
        self.service: Service = service_of(vault, bearers_of(store, now, {}), store)
        self.site = Site("", People(now()))

    def who(self, person: str, *chains: str) -> dict[str, str]:
        """What a person sends, by a new token, limited to some chains if they are named."""
        return shows(self.tokens.issue(person, chains=chains))

    def hold(self, person: str, role: GrantedRole, *chains: str) -> None:
        """Give a person a role, everywhere if no chain is named."""
        self.vault.grants.grant(person, role, chains or ("*",), reason="r")

    def steward(self, person: str) -> dict[str, str]:
        """What a steward of the whole vault sends."""
        self.hold(person, STEWARD)
        return self.who(person)
