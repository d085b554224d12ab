"""From a token and a grant to what a request may do: nothing in between is made up."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta

import pytest
from cli_support import run
from serving import People, Site, listening

from cli.serving import service_of
from cli.sign_in import bearers_of, live_grants, read_provider
from cli.storage import open_access
from cli.vault import Vault, now
from vault.access import VaultRole
from vault.adapters.access import SqlAccessStore
from vault.errors import UnauthenticatedError
from vault.http.app import create_app
from vault.http.oidc import Expected
from vault.ports import IdentityKind
from vault.tokens import Issued, Tokens
from verify.errors import MalformedError
from verify.grant import GrantedRole

ADA, CASE = "ada@example.org", "INC-2026-0001"
ISSUER = {"EVAULT_OIDC_ISSUER": "https://idp.example.org", "EVAULT_OIDC_AUDIENCE": "evault"}


@pytest.fixture
def store(vault: Vault) -> Iterator[SqlAccessStore]:
    opened = open_access(vault.home, vault.config)
    yield opened
    opened.close()


@pytest.fixture
def tokens(store: SqlAccessStore) -> Tokens:
    return Tokens(store=store, clock=now)


@pytest.fixture
def case(vault: Vault) -> str:
    said = run(
        "--home", vault.home, "incident", "declare", "--title", "T", "--severity", "sev1",
        "--tier", "2", "--system", "crm", "--detected-at", "now",
    )  # fmt: skip
    assert said.code == 0, said.err
    return said.out.split()[0]


@pytest.fixture
def served(vault: Vault, store: SqlAccessStore) -> Iterator[Site]:
    service = service_of(vault, bearers_of(store, now, {}))
    with listening(create_app(service)) as url:
        yield Site(url, People(now()))


def bearer(issued: Issued) -> dict[str, str]:
    return {"Authorization": f"Bearer {issued.secret.reveal()}"}


def test_a_grant_opens_its_incident_and_its_revocation_closes_it(
    vault: Vault, case: str, served: Site, tokens: Tokens
) -> None:
    ada = bearer(tokens.issue(ADA))
    path = f"/v1/incidents/{case}"
    assert served.get(path).status == 401
    assert served.get(path, {"Authorization": "Bearer evt_x"}).status == 401
    assert served.get(path, ada).status == 404, "who holds nothing there does not see it"
    vault.grants.grant(ADA, GrantedRole.AUDITOR, [case], reason="r")
    assert served.get(path, ada).status == 200
    vault.grants.revoke(ADA, GrantedRole.AUDITOR, None, reason="r")
    assert served.get(path, ada).status == 404


def test_a_token_ends_at_once_and_narrows_what_a_grant_gives(
    vault: Vault, case: str, served: Site, tokens: Tokens
) -> None:
    vault.grants.grant(ADA, GrantedRole.AUDITOR, ["*"], reason="r")
    wide, narrow = tokens.issue(ADA), tokens.issue(ADA, chains=["INC-2026-9999"])
    path = f"/v1/incidents/{case}"
    assert served.get(path, bearer(wide)).status == 200
    assert served.get(path, bearer(narrow)).status == 404
    tokens.revoke(wide.token.id)
    assert served.get(path, bearer(wide)).status == 401


def test_a_collector_reads_nothing(case: str, served: Site, tokens: Tokens) -> None:
    issued = tokens.issue("collector:edge-1", kind=IdentityKind.COLLECTOR, chains=[case])
    assert served.get(f"/v1/incidents/{case}", bearer(issued)).status == 403


def test_what_a_grant_says_is_what_requests_are_judged_by(vault: Vault, case: str) -> None:
    ends = now() + timedelta(days=1)
    vault.grants.grant(ADA, GrantedRole.LEGAL, [case], reason="r", valid_to=ends)
    (found,) = live_grants(vault.grants, now)
    assert (found.person, found.role, found.chains) == (ADA, VaultRole.LEGAL, (case,))
    assert found.valid_to == ends
    assert live_grants(vault.grants, lambda: ends + timedelta(milliseconds=1)) == ()


def test_the_roles_of_grants_and_of_requests_are_the_same() -> None:
    assert [each.value for each in GrantedRole] == [each.value for each in VaultRole]


def test_a_token_names_its_holder_and_its_limits(store: SqlAccessStore, tokens: Tokens) -> None:
    known = bearers_of(store, now, {})
    issued = tokens.issue(ADA, chains=["stream:web"])
    found = known.identify(issued.secret.reveal(), "10.0.0.7")
    assert (found.id, found.kind, found.authenticated) == (ADA, "person", "token")
    assert (found.token, found.chains, found.address) == (
        issued.token.id, ("stream:web",), "10.0.0.7"
    )  # fmt: skip
    assert known.identify(tokens.issue(ADA).secret.reveal(), "").chains is None
    for text in ("", "x", "a.b.c", "evt_x"):
        with pytest.raises(UnauthenticatedError):
            known.identify(text, "")


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"EVAULT_HOME": "/x", "EVAULT_OIDC_CLAIM": " "}, None),
        (ISSUER, Expected("https://idp.example.org", "evault")),
        (
            {**ISSUER, "EVAULT_OIDC_ALGORITHMS": "RS256, ES256", "EVAULT_OIDC_CLAIM": "upn"},
            Expected("https://idp.example.org", "evault", ["RS256", "ES256"], "upn"),
        ),
    ],
)
def test_a_provider_is_named_by_the_environment(
    environment: dict[str, str], expected: Expected | None
) -> None:
    assert read_provider(environment) == expected


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"EVAULT_OIDC_ISSUER": "https://idp.example.org"}, "EVAULT_OIDC_AUDIENCE is missing"),
        ({"EVAULT_OIDC_AUDIENCE": "evault"}, "EVAULT_OIDC_ISSUER is missing"),
        ({"EVAULT_OIDC_CLAIM": "email"}, "EVAULT_OIDC_ISSUER is missing"),
        ({**ISSUER, "EVAULT_OIDC_ISSUER": "http://idp.example.org"}, "is not https"),
        ({**ISSUER, "EVAULT_OIDC_ALGORITHMS": "RS256 HS256"}, "the algorithms known here"),
        ({**ISSUER, "EVAULT_OIDC_ALGORITHM": "RS256"}, "EVAULT_OIDC_ALGORITHM is not known"),
    ],
)
def test_half_a_provider_is_none(environment: dict[str, str], says: str) -> None:
    with pytest.raises(MalformedError, match=says):
        read_provider(environment)


@pytest.mark.slow
def test_evault_serve_knows_the_vaults_own_tokens(vault: Vault, case: str, tokens: Tokens) -> None:
    """The program itself, as it is started; it is stopped by its own pid."""
    ada = bearer(tokens.issue(ADA))
    vault.grants.grant(ADA, GrantedRole.AUDITOR, [case], reason="r")
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        port = place.getsockname()[1]
    program = [sys.executable, "-m", "cli", "--home", vault.home, "serve", "--port", str(port)]
    process = subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    site = Site(f"http://127.0.0.1:{port}", People(now()))
    said = b""
    try:
        while b"running on" not in said:  # said once it listens
            line = process.stderr.readline()
            assert line, said.decode()
            said += line
        assert site.get(f"/v1/incidents/{case}", ada).status == 200
        assert site.get(f"/v1/incidents/{case}").status == 401
    finally:
        process.terminate()
        said += process.stderr.read()
        process.stderr.close()
        process.wait()
        site.pool.clear()
    assert ada["Authorization"][-43:].encode() not in said, "no secret is logged"


def test_evault_serve_does_not_start_on_half_a_provider(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVAULT_OIDC_ISSUER", "https://idp.example.org")
    said = run("--home", vault.home, "serve", "--port", "0")
    assert (said.code, said.raw) == (2, b"")
    assert "EVAULT_OIDC_AUDIENCE is missing" in said.err
