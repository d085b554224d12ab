"""A server that is told to stop, or whose parent is gone: what was acknowledged is kept."""

from __future__ import annotations

import os
import shutil
import signal
import socket
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import urllib3
from case_served import INCIDENT, STREAM
from exports import spans
from servers.evault import EvaultServer, free_port, let_in
from serving import People, eventually, listening

from cli.compose import open_vault
from cli.serving import service_of
from cli.settings import read_settings
from vault.access import VaultRole
from vault.http.app import create_app


@pytest.fixture
def home(lived: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(lived, tmp_path / "home"))


@pytest.fixture
def server(home: Path) -> Iterator[EvaultServer]:
    made = EvaultServer(home, free_port())
    yield made
    made.end()


def _upload(url: str, who: Mapping[str, str], name: str, begun: bytes, size: int) -> socket.socket:
    """A line on which a body was begun, and is waited for."""
    place = urlsplit(url)
    assert place.hostname
    assert place.port
    line = socket.create_connection((place.hostname, place.port), timeout=60)
    head = (
        f"POST /v1/incidents/{INCIDENT}/evidence?name={name} HTTP/1.1\r\nHost: vault\r\n"
        f"Authorization: {who['Authorization']}\r\nContent-Length: {size}\r\n"
        "Expect: 100-continue\r\n\r\n"
    )
    line.sendall(head.encode())
    assert line.recv(4096).startswith(b"HTTP/1.1 100 ")
    line.sendall(begun)
    return line


def _names(home: Path) -> list[str]:
    vault = open_vault(read_settings({}, home))
    try:
        exhibits = vault.incidents.read(INCIDENT).incident.exhibits
        return [
            described.name for _, described in vault.incidents.described(list(exhibits.values()))
        ]
    finally:
        vault.close()


@pytest.mark.parametrize("workers", [1, 2])
def test_told_to_stop_it_finishes_what_is_at_work_and_ends_well(
    server: EvaultServer, home: Path, workers: int
) -> None:
    server.workers = workers
    who = let_in(home, {"fay": "forensics_lead"}, {"edge": STREAM})
    server.start()
    with (
        _upload(server.url, who["fay"], "whole.txt", b"half ", 10) as line,
        ThreadPoolExecutor(1) as pool,
    ):
        export = pool.submit(
            urllib3.PoolManager(retries=False).request,
            "POST",
            f"{server.url}/v1/traces",
            body=spans(1, 2),
            headers={**who["edge"], "Content-Type": "application/x-protobuf"},
        )
        server.tell()
        line.sendall(b"other")
        assert line.recv(4096).startswith(b"HTTP/1.1 201 ")
        assert export.exception() is not None or export.result().status == 200
    assert server.ended() == 0
    assert "whole.txt" in _names(home)


@pytest.mark.parametrize("workers", [1, 2])
def test_told_twice_it_ends_at_once_and_keeps_nothing_half(
    server: EvaultServer, home: Path, workers: int
) -> None:
    server.workers = workers
    who = let_in(home, {"fay": "forensics_lead"}, {})
    server.start()
    with _upload(server.url, who["fay"], "half.txt", b"half ", 10) as line:
        server.tell()
        server.tell()
        assert server.ended() == 128 + signal.SIGTERM
        with suppress(ConnectionError):
            assert line.recv(1) == b""
    assert "half.txt" not in _names(home)


def test_workers_end_when_their_parent_is_gone(server: EvaultServer, home: Path) -> None:
    server.workers = 2
    who = let_in(home, {"fay": "forensics_lead"}, {})
    server.start()
    with _upload(server.url, who["fay"], "whole.txt", b"half ", 10) as line:
        workers = server.kill_parent()
        assert len(workers) == 2
        eventually(lambda: not server.listens)
        line.sendall(b"other")
        assert line.recv(4096).startswith(b"HTTP/1.1 201 ")
    eventually(lambda: not any(map(_runs, workers)))
    assert "whole.txt" in _names(home)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def test_a_body_that_does_not_end_is_refused_when_the_time_to_stop_is_over(
    home: Path, people: People
) -> None:
    vault = open_vault(read_settings({}, home))
    service = replace(service_of(vault), authenticator=people, grants=lambda: tuple(people.grants))
    fay = people.add("fay", VaultRole.FORENSICS_LEAD)
    with listening(create_app(service), grace=1) as url:
        line = _upload(url, fay, "half.txt", b"half ", 10)
    with line:
        answer = line.recv(65_536)
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"Idempotency-Key" in answer
    assert b"retry-after" in answer.lower()
    vault.close()
    assert "half.txt" not in _names(home)
