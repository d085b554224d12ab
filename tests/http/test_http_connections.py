"""Connections that say nothing, or half a thing, do not stay, and keep nobody out."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace

import pytest
from serving import People, Site, line_to, listening

from cli.serving import service_of
from cli.vault import Vault
from vault.access import VaultRole
from vault.http.app import create_app
from vault.http.connections import BoundedConnection

HEAD = b"GET /healthz HTTP/1.1\r\nHost: vault\r\n"


class Impatient(BoundedConnection):
    head_seconds = 0.3


class Few(BoundedConnection):
    most = 3


class Tight(BoundedConnection):
    head = 2_000


@pytest.fixture
def lines() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def _rest(line: socket.socket) -> bytes:
    """What comes until the other side has closed; fails where it does not."""
    parts = []
    try:
        while part := line.recv(65_536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


@pytest.mark.parametrize("said", [b"", b"G", HEAD, HEAD + b"X-Slow: "])
def test_who_sends_no_whole_head_is_let_go(vault: Vault, lines: ExitStack, said: bytes) -> None:
    with listening(create_app(service_of(vault)), Impatient) as url:
        line = line_to(url, lines)
        line.sendall(said)
        assert _rest(line) == b""


def test_a_head_that_drips_is_let_go(vault: Vault, lines: ExitStack) -> None:
    with listening(create_app(service_of(vault)), Impatient) as url:
        line = line_to(url, lines)
        line.sendall(HEAD + b"X-Slow: ")
        line.settimeout(0.02)
        try:
            while True:
                line.sendall(b".")
                try:
                    assert line.recv(1) == b""
                    break
                except TimeoutError:
                    continue
        except (BrokenPipeError, ConnectionResetError):
            pass


def test_half_a_second_head_on_a_kept_connection_is_let_go(vault: Vault, lines: ExitStack) -> None:
    with listening(create_app(service_of(vault)), Impatient) as url:
        line = line_to(url, lines)
        line.sendall(HEAD + b"\r\n")
        assert line.recv(4096).startswith(b"HTTP/1.1 200 ")
        line.sendall(HEAD)
        assert _rest(line) == b""


def test_a_kept_connection_outlasts_the_time_for_a_head(vault: Vault, lines: ExitStack) -> None:
    with listening(create_app(service_of(vault)), Impatient) as url:
        line = line_to(url, lines)
        line.sendall(HEAD + b"\r\n")
        assert line.recv(4096).startswith(b"HTTP/1.1 200 ")
        line.settimeout(3 * Impatient.head_seconds)
        with pytest.raises(TimeoutError):
            line.recv(1)
        line.settimeout(30)
        line.sendall(HEAD + b"\r\n")
        assert line.recv(4096).startswith(b"HTTP/1.1 200 ")


def test_the_rest_of_a_body_that_was_answered_is_not_read_for_ever(
    vault: Vault, people: People, lines: ExitStack
) -> None:
    service = replace(service_of(vault), authenticator=people)
    with listening(create_app(service), Impatient) as url:
        line = line_to(url, lines)
        line.sendall(
            b"POST /v1/incidents/INC-2026-0001/evidence?name=x HTTP/1.1\r\nHost: vault\r\n"
            b"Content-Length: 1000000\r\n\r\n."
        )
        assert line.recv(4096).startswith(b"HTTP/1.1 401 ")
        line.sendall(b".")
        _rest(line)


def test_a_request_at_work_is_not_hurried_by_the_time_for_a_head(
    vault: Vault, people: People, lines: ExitStack
) -> None:
    service = replace(service_of(vault), authenticator=people, grants=lambda: tuple(people.grants))
    people.add("ida", VaultRole.INCIDENT_COMMANDER)
    with listening(create_app(service), Impatient) as url:
        line = line_to(url, lines)
        line.sendall(
            b"POST /v1/incidents HTTP/1.1\r\nHost: vault\r\nContent-Length: 2\r\n"
            b"Authorization: Bearer secret-ida\r\n\r\n{"
        )
        line.settimeout(3 * Impatient.head_seconds)
        with pytest.raises(TimeoutError):
            line.recv(1)
        line.settimeout(30)
        line.sendall(b"}")
        assert line.recv(4096).startswith(b"HTTP/1.1 400 ")


def test_silent_connections_give_way_the_longest_silent_first(
    vault: Vault, people: People, lines: ExitStack
) -> None:
    with listening(create_app(service_of(vault)), Few) as url:
        silent = [line_to(url, lines) for _ in range(Few.most)]
        for line in silent[1:]:  # in this order they are known to have been taken in
            line.sendall(HEAD + b"\r\n")
            assert line.recv(4096).startswith(b"HTTP/1.1 200 ")
        assert Site(url, people).get("/healthz").status == 200
        assert _rest(silent[0]) == b""
        silent[2].sendall(HEAD + b"\r\n")
        assert silent[2].recv(4096).startswith(b"HTTP/1.1 200 ")


def test_requests_at_work_do_not_give_way(vault: Vault, people: People, lines: ExitStack) -> None:
    service = replace(service_of(vault), authenticator=people, grants=lambda: tuple(people.grants))
    people.add("ida", VaultRole.INCIDENT_COMMANDER)
    with listening(create_app(service), Few) as url:
        at_work = [line_to(url, lines) for _ in range(Few.most)]
        for line in at_work:
            line.sendall(
                b"POST /v1/incidents HTTP/1.1\r\nHost: vault\r\nContent-Length: 2\r\n"
                b"Expect: 100-continue\r\nAuthorization: Bearer secret-ida\r\n\r\n"
            )
            assert line.recv(4096).startswith(b"HTTP/1.1 100 ")  # its body is waited for
        assert _rest(line_to(url, lines)) == b""
        for line in at_work:
            line.sendall(b"{}")
            assert line.recv(4096).startswith(b"HTTP/1.1 400 ")


def test_a_head_without_end_is_refused_before_it_fills_memory(
    vault: Vault, lines: ExitStack
) -> None:
    with listening(create_app(service_of(vault)), Tight) as url:
        line = line_to(url, lines)
        line.sendall(HEAD + b"X-Fits: " + b"x" * 1_500 + b"\r\n\r\n")
        assert line.recv(4096).startswith(b"HTTP/1.1 200 ")
        line.sendall(HEAD + b"X-Long: " + b"x" * 2_000)
        answer = _rest(line)
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b"too large" in answer
