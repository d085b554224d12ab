"""What is too much, too large or too slow is turned away with a word."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
from serving import People, Site, listening

from cli.compose import Vault
from cli.serving import service_of
from vault.access import VaultRole
from vault.http.app import create_app
from vault.http.pace import Pace
from vault.http.problems import TooManyRequestsError
from vault.http.served import Limits


@pytest.fixture
def narrow(vault: Vault, people: People) -> Iterator[Site]:
    """A served vault with little patience."""
    service = replace(
        service_of(vault),
        authenticator=people,
        grants=lambda: tuple(people.grants),
        limits=Limits(body_seconds=0.2, requests_a_minute=5),
    )
    with listening(create_app(service)) as url:
        yield Site(url, people)


def test_a_body_that_does_not_come_is_not_waited_for(narrow: Site) -> None:
    narrow.people.add("ida", VaultRole.INCIDENT_COMMANDER)
    place = urlsplit(narrow.url)
    with socket.create_connection((place.hostname, place.port), timeout=10) as line:
        line.sendall(
            b"POST /v1/incidents HTTP/1.1\r\nHost: vault\r\n"
            b"Authorization: Bearer secret-ida\r\nContent-Length: 100\r\n\r\n{"
        )
        assert line.recv(4096).startswith(b"HTTP/1.1 408 ")


def test_who_asks_too_often_is_told_to_come_back_and_others_are_not(narrow: Site) -> None:
    ida, otto = (narrow.people.add(name, VaultRole.LEGAL) for name in ("ida", "otto"))
    statuses = [narrow.get("/v1/whoami", ida).status for _ in range(6)]
    assert statuses == [200] * 5 + [429]
    assert narrow.get("/v1/whoami", ida).headers["Retry-After"]
    assert narrow.get("/v1/whoami", otto).status == 200


def test_a_pace_is_refilled() -> None:
    now = 0.0
    pace = Pace(60, clock=lambda: now)
    for _ in range(60):
        pace.check("ida")
    with pytest.raises(TooManyRequestsError):
        pace.check("ida")
    now = 1.0
    pace.check("ida")
    with pytest.raises(TooManyRequestsError):
        pace.check("ida")


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP"])
def test_nobody_names_their_own_address(
    site: Site, header: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    known = site.people.identify

    def identify(bearer: str, address: str) -> object:
        seen.append(address)
        return known(bearer, address)

    monkeypatch.setattr(site.people, "identify", identify)
    ida = site.people.add("ida", VaultRole.LEGAL)
    site.get("/v1/whoami", {**ida, header: "203.0.113.9"})
    assert seen == ["127.0.0.1"]


def test_one_who_lets_answers_wait_leaves_room_for_others(vault: Vault, people: People) -> None:
    service = replace(
        service_of(vault),
        authenticator=people,
        grants=lambda: tuple(people.grants),
        limits=Limits(concurrent=4, concurrent_of_one=2, body_seconds=20),
    )
    ida, otto = (people.add(name, VaultRole.INCIDENT_COMMANDER) for name in ("ida", "otto"))
    with listening(create_app(service)) as url, ExitStack() as lines:
        site, place = Site(url, people), urlsplit(url)
        for _ in range(2):  # each waits for a body that does not come
            line = lines.enter_context(
                socket.create_connection((place.hostname, place.port), timeout=10)
            )
            line.sendall(
                b"POST /v1/incidents HTTP/1.1\r\nHost: vault\r\n"
                b"Authorization: Bearer secret-ida\r\nContent-Length: 9\r\n\r\n{"
            )
        while site.get("/v1/whoami", ida).status == 200:
            pass
        assert site.get("/v1/whoami", ida).status == 429
        assert site.get("/v1/whoami", otto).status == 200
        assert site.get("/v1/whoami").status == 401


def test_who_watches_is_answered_whatever_those_without_a_token_do(
    vault: Vault, people: People
) -> None:
    service = replace(service_of(vault), authenticator=people, limits=Limits(concurrent_of_one=0))
    with listening(create_app(service)) as url:
        site = Site(url, people)
        assert site.get("/v1/log/checkpoint").status == 429
        assert [site.get(path).status for path in ("/healthz", "/readyz")] == [200, 200]
