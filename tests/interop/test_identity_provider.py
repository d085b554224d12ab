"""Tokens of a real identity provider, npm oidc-provider: from its login page to an identity."""

from __future__ import annotations

import base64
import hashlib
import http.cookiejar
import json
import os
import re
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

import pytest

from cli.vault import now
from vault.access import Identity
from vault.errors import UnauthenticatedError, UnavailableError
from vault.http.issuer_keys import IssuerKeys, fetch
from vault.http.oidc import Expected, Oidc

ROOT = Path(__file__).parent.parent.parent
CLIENTS = Path(os.environ.get("OIDC_PROVIDER_MODULES", ROOT / ".ci" / "clients" / "node_modules"))
PROVIDER = Path(__file__).with_name("oidc_provider.mjs")
BACK = "http://127.0.0.1:1/back"
VERIFIER = "v" * 43
ALGORITHMS = ["RS256", "PS256", "ES256", "EdDSA"]


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    """A provider of this module's own; it ends with its standard input."""
    if shutil.which("node") is None:
        pytest.skip("node is not here; install it by your system's package of that name")
    if not (CLIENTS / "oidc-provider").is_dir():
        pytest.skip(
            "npm oidc-provider is not here: npm install --prefix .ci/clients oidc-provider@9.13.3"
        )
    process = subprocess.Popen(
        ["node", PROVIDER, CLIENTS],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield json.loads(process.stdout.readline())["issuer"]
    finally:
        process.stdin.close()
        process.stdout.close()
        process.wait()


class Stop(urllib.request.HTTPRedirectHandler):
    """Follows the provider's redirects, and tells the one that leads back to us."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str
                         ) -> urllib.request.Request | None:  # fmt: skip
        if newurl.startswith(BACK):
            raise Arrived(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class Arrived(Exception):  # noqa: N818 — no error
    """The browser was sent back."""


@dataclass
class Browser:
    """Somebody at the provider's login page."""

    issuer: str

    def __post_init__(self) -> None:
        jar = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        nothing = urllib.request.ProxyHandler({})
        self.opener = urllib.request.build_opener(nothing, jar, Stop())

    def sign_in(self, person: str) -> dict[str, str]:
        """The tokens that the provider gives to us for this person (RFC 6749 §4.1, RFC 7636)."""
        challenge = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest())
        asked = {
            "client_id": "evault", "response_type": "code", "redirect_uri": BACK,
            "scope": "openid email", "code_challenge_method": "S256",
            "code_challenge": challenge.decode().rstrip("="),
        }  # fmt: skip
        url = f"{self.issuer}/auth?{urlencode(asked)}"
        data = None
        try:
            for _ in range(4):  # the login, then the consent
                with self.opener.open(url, data) as page:
                    text, url = page.read().decode(), page.geturl()
                action = re.search(r'<form[^>]* action="([^"]+)"', text)
                prompt = re.search(r'name="prompt" value="(\w+)"', text)
                assert action is not None, text
                assert prompt is not None, text
                url = urljoin(url, action[1])
                data = urlencode({"prompt": prompt[1], "login": person, "password": "any"}).encode()
        except Arrived as arrived:
            code = parse_qs(urlsplit(str(arrived)).query)["code"][0]
            return tokens(self.issuer, "evault", "evault-secret", grant_type="authorization_code",
                          code=code, redirect_uri=BACK, code_verifier=VERIFIER)  # fmt: skip
        raise AssertionError("the provider never sent the browser back")


def tokens(issuer: str, client: str, secret: str, **form: str) -> dict[str, str]:
    """What the provider's token endpoint gives."""
    basic = base64.b64encode(f"{client}:{secret}".encode()).decode()
    request = urllib.request.Request(
        f"{issuer}/token", urlencode(form).encode(), {"Authorization": f"Basic {basic}"}
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request) as answer:
        given: dict[str, str] = json.loads(answer.read())
        return given


def of_a_machine(issuer: str, algorithm: str) -> str:
    """An access token (RFC 9068) by client credentials."""
    return tokens(
        issuer, "robot", "robot-secret", grant_type="client_credentials", scope="read",
        resource=f"urn:evault:{algorithm.lower()}",
    )["access_token"]  # fmt: skip


def known_by(issuer: str, *, audience: str = "evault", late: int = 0, **changes: Any) -> Oidc:
    return Oidc(
        Expected(issuer, audience, **changes),
        IssuerKeys(issuer),
        clock=lambda: now() + timedelta(seconds=late),
    )


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_an_access_token_of_each_algorithm_signs_in(issuer: str, algorithm: str) -> None:
    text = of_a_machine(issuer, algorithm)
    assert known_by(issuer).identify(text, "127.0.0.1") == Identity(
        f"{issuer}#robot", "person", "oidc", address="127.0.0.1"
    )
    others = [each for each in ALGORITHMS if each != algorithm]
    with pytest.raises(UnauthenticatedError):
        known_by(issuer, algorithms=others).identify(text, "")
    with pytest.raises(UnauthenticatedError):
        known_by(issuer, audience="another-vault").identify(text, "")
    with pytest.raises(UnauthenticatedError, match="expired"):
        known_by(issuer, late=361).identify(text, "")
    head, body, signature = text.split(".")
    with pytest.raises(UnauthenticatedError):
        known_by(issuer).identify(f"{head}.{body}.{signature[::-1]}", "")


def test_a_person_who_signs_in_is_known_by_a_verified_address(issuer: str) -> None:
    given = Browser(issuer).sign_in("ada")
    assert known_by(issuer).identify(given["id_token"], "").id == "ada@example.org"
    assert known_by(issuer, claim="sub").identify(given["id_token"], "").id == "ada"
    with pytest.raises(UnauthenticatedError):  # opaque: only its provider could read it
        known_by(issuer).identify(given["access_token"], "")


def test_an_address_that_nobody_verified_names_nobody(issuer: str) -> None:
    given = Browser(issuer).sign_in("new-hire")
    assert known_by(issuer).identify(given["id_token"], "").id == f"{issuer}#new-hire"


def test_the_tokens_of_one_provider_open_nothing_for_another(issuer: str) -> None:
    text = of_a_machine(issuer, "RS256")
    with pytest.raises(UnavailableError):  # nobody listens there
        known_by("http://127.0.0.1:9").identify(text, "")
    with pytest.raises(UnavailableError, match="speaks for another issuer"):
        known_by(f"{issuer}/").identify(text, "")


def test_only_what_is_there_and_as_asked_for_is_fetched(issuer: str) -> None:
    assert json.loads(fetch(f"{issuer}/.well-known/openid-configuration"))["issuer"] == issuer
    with pytest.raises(UnavailableError, match="answers 404"):
        fetch(f"{issuer}/nothing")
    with pytest.raises(UnavailableError, match="answers 3"):  # to an error page, and not followed
        fetch(f"{issuer}/auth?client_id=evault&response_type=code&redirect_uri={BACK}&scope=openid"
              f"&code_challenge={'c' * 43}&code_challenge_method=S256")  # fmt: skip
