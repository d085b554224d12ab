"""A home with an incident, two exhibits and a stream, served to people with tokens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cli_support import check
from fastapi import FastAPI
from serving import Heard, People, Site, listening

from cli.compose import open_vault
from cli.serving import service_of
from cli.settings import read_settings
from cli.vault import Vault
from vault.access import VaultRole
from vault.http.app import create_app
from vault.http.served import Limits, Service
from verify.statement import Statement

INCIDENT = f"INC-{datetime.now(UTC).year}-0001"
STREAM = "stream:web"


@dataclass(frozen=True)
class Case:
    """A running server over that home."""

    site: Site
    vault: Vault
    service: Service
    app: FastAPI

    def who(self, name: str, *roles: VaultRole, chains: tuple[str, ...] = ("*",)) -> Any:
        """A person with roles; the headers that they send."""
        return self.site.people.add(name, *roles, chains=chains)

    def last(self, chain: str = INCIDENT) -> Statement:
        """The newest statement of a chain."""
        return self.vault.incidents.read(chain).manifests[-1].statement

    def told(
        self, schema: str, method: str, path: str, who: Mapping[str, str], body: Any = None
    ) -> Any:
        """What a request that succeeds is answered, held against a schema of the command line."""
        heard = self.site.ask(method, path, who, body)
        assert heard.status in (200, 201), (heard.status, heard.data)
        assert heard.headers["Content-Type"] == "application/json"
        check(schema, heard.json)
        return heard.json

    def refused(
        self, status: int, code: str, method: str, path: str, who: Mapping[str, str], body: Any
    ) -> str:
        """The detail of a request that is refused with one problem."""
        heard: Heard = self.site.ask(method, path, who, body)
        assert (heard.status, heard.json["type"]) == (
            status,
            f"urn:evidence-vault:problem:{code}",
        ), heard.data
        check("problem", {"code": code, "detail": heard.json["detail"]})
        return str(heard.json["detail"])


@contextmanager
def serving_copy(home: Path, people: People, *, limits: Limits | None = None) -> Iterator[Case]:
    """A home, served to people."""
    vault = open_vault(read_settings({}, home))
    try:
        service = replace(
            service_of(vault),
            authenticator=people,
            grants=lambda: tuple(people.grants),
            limits=limits or Limits(),
        )
        app = create_app(service)
        with listening(app) as url:
            yield Case(Site(url, people), vault, service, app)
    finally:
        vault.close()
