"""What is too much, too large or too slow is turned away with a word."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
from serving import People, Site, line_to, listening

from cli.serving import read_limits, service_of
from cli.vault import Vault
from vault.access import VaultRole
from vault.http.app import create_app
from vault.http.pace import Flow, Pace
from vault.http.problems import TooManyRequestsError
from vault.http.served import Limits
from verify.errors import MalformedError


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
        # Who was let in before is no stranger.
        assert [site.get("/v1/whoami", each).status for each in (ida, otto)] == [200, 200]
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


UPLOAD = (
    b"POST /v1/incidents/INC-2026-0001/evidence?name=drip HTTP/1.1\r\nHost: vault\r\n"
    b"Authorization: Bearer secret-%b\r\nContent-Length: %d\r\n\r\n"
)


def _status(line: socket.socket) -> bytes:
    return line.recv(4096).split(b" ", 2)[1]


def _declared(site: Site, who: Mapping[str, str]) -> None:
    said = site.post(
        "/v1/incidents",
        who,
        {"title": "t", "severity": "sev2", "tier": "3", "systems": ["s"],
         "detected_at": "2026-01-01T00:00:00Z", "declared_at": "2026-01-01T00:01:00Z"},
    )  # fmt: skip
    assert said.status == 201, said.data


def test_a_body_that_drips_is_cut_off_and_told_what_to_do(vault: Vault, people: People) -> None:
    service = replace(
        service_of(vault),
        authenticator=people,
        grants=lambda: tuple(people.grants),
        limits=Limits(least_rate=10_000, rate_seconds=0.3),
    )
    ida = people.add("ida", VaultRole.INCIDENT_COMMANDER)
    with listening(create_app(service)) as url, ExitStack() as lines:
        _declared(Site(url, people), ida)
        line = line_to(url, lines)
        line.sendall(UPLOAD % (b"ida", 1 << 20))
        line.settimeout(0.02)
        answer = b""
        while not answer:  # never silent for long, and never whole
            line.sendall(b".")
            with suppress(TimeoutError):
                answer = line.recv(4096)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"EVAULT_LEAST_RATE" in answer
        fast = Site(url, people).post(
            "/v1/incidents/INC-2026-0001/evidence?name=whole", ida, b"x" * (1 << 20)
        )
        assert fast.status == 201


def test_one_sender_leaves_others_a_turn_and_waits_for_its_own(
    vault: Vault, people: People
) -> None:
    service = replace(
        service_of(vault),
        authenticator=people,
        grants=lambda: tuple(people.grants),
        limits=Limits(streams_of_one=1),
    )
    ida, otto = (people.add(name, VaultRole.INCIDENT_COMMANDER) for name in ("ida", "otto"))
    with listening(create_app(service)) as url, ExitStack() as lines:
        site = Site(url, people)
        _declared(site, ida)
        first, second = line_to(url, lines), line_to(url, lines)
        first.sendall(UPLOAD % (b"ida", 2) + b"1")
        first.settimeout(0.2)
        with pytest.raises(TimeoutError):  # it has its turn, and is waited for
            first.recv(1)
        second.sendall(UPLOAD % (b"ida", 6) + b"second")
        second.settimeout(0.2)
        with pytest.raises(TimeoutError):
            second.recv(1)
        whole = site.post("/v1/incidents/INC-2026-0001/evidence?name=o", otto, b"otto")
        assert whole.status == 201
        for line in (first, second):
            line.settimeout(30)
        first.sendall(b"2")
        assert [_status(first), _status(second)] == [b"201", b"201"]


@pytest.mark.parametrize(
    ("rate", "window", "pieces", "too_slow"),
    [
        (100, 60, [(1, 100)] * 200, False),
        (100, 60, [(1, 99)] * 200, True),
        (100, 60, [(1, 0)] * 59, False),  # until a whole window was waited
        (100, 60, [(1, 0)] * 60, True),
        (100, 60, [(0, 10_000)] + [(1, 0)] * 60, True),  # what came long ago is no excuse
        (100, 60, [(30, 6_000)] * 9, False),  # in bursts
        (100, 60, [(0, 1)] * 10_000, False),  # at once: nothing was waited for
        (0, 60, [(50, 0)] * 100, False),
    ],
)
def test_a_flow_is_what_came_over_what_was_waited(
    rate: int, window: int, pieces: list[tuple[float, int]], too_slow: bool
) -> None:
    flow = Flow(rate, window)
    assert any(flow.too_slow(waited, size) for waited, size in pieces) == too_slow


@pytest.mark.parametrize("given", ["fast", "-1", "1e3", "٣", "9" * 13])
def test_a_least_rate_that_is_none_is_named(given: str) -> None:
    with pytest.raises(MalformedError, match="EVAULT_LEAST_RATE"):
        read_limits({"EVAULT_LEAST_RATE": given})


def test_a_least_rate_may_be_set_and_the_default_stands_else() -> None:
    assert read_limits({"EVAULT_LEAST_RATE": "4096"}).least_rate == 4096
    assert read_limits({"EVAULT_LEAST_RATE": "0"}).least_rate == 0
    assert read_limits({}) == Limits()
