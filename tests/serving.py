"""A vault served over real HTTP in this process, and people with tokens who ask it things."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import urllib3
import uvicorn
from fastapi import FastAPI

from vault.access import EVERYWHERE, Grant, Identity, VaultRole
from vault.errors import UnauthenticatedError
from vault.http.connections import BoundedConnection

LONG_AGO = timedelta(days=1)


@dataclass
class People:
    """Who is known, by token; satisfies `Authenticator`."""

    now: datetime
    known: dict[str, Identity] = field(default_factory=dict)
    grants: list[Grant] = field(default_factory=list)

    def add(
        self, name: str, *roles: VaultRole, chains: tuple[str, ...] = (EVERYWHERE,)
    ) -> Mapping[str, str]:
        """A person with roles; the headers that they send."""
        return self.enrol(name, Identity(name, "person", "token", f"t-{name}"), roles, chains)

    def collector(self, name: str, *chains: str) -> Mapping[str, str]:
        """A collector for some chains; the headers that it sends."""
        return self.enrol(name, Identity(name, "collector", "token", f"t-{name}", chains), (), ())

    def enrol(
        self,
        name: str,
        identity: Identity,
        roles: tuple[VaultRole, ...],
        chains: tuple[str, ...],
    ) -> Mapping[str, str]:
        self.known[f"secret-{name}"] = identity
        self.grants += [Grant(name, role, chains, self.now - LONG_AGO, None) for role in roles]
        return {"Authorization": f"Bearer secret-{name}"}

    def identify(self, bearer: str, address: str) -> Identity:
        """Who shows this token."""
        if bearer not in self.known:
            raise UnauthenticatedError("this token is not known")
        return replace(self.known[bearer], address=address)


@dataclass(frozen=True)
class Heard:
    """What a server answered."""

    status: int
    headers: Mapping[str, str]
    data: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.data)


@dataclass(frozen=True)
class Site:
    """A running server."""

    url: str
    people: People
    pool: urllib3.PoolManager = field(default_factory=lambda: urllib3.PoolManager(retries=False))

    def ask(
        self,
        method: str,
        path: str,
        who: Mapping[str, str] | None = None,
        body: Any = None,
        **headers: str,
    ) -> Heard:
        """One request; a body that is no bytes is sent as JSON."""
        sent = {**(who or {}), **{name.replace("_", "-"): value for name, value in headers.items()}}
        if body is not None and not isinstance(body, bytes):
            body, sent["Content-Type"] = json.dumps(body).encode(), "application/json"
        answer = self.pool.request(method, f"{self.url}{path}", body=body, headers=sent)
        return Heard(answer.status, answer.headers, answer.data)

    def get(self, path: str, who: Mapping[str, str] | None = None, **headers: str) -> Heard:
        return self.ask("GET", path, who, **headers)

    def post(
        self, path: str, who: Mapping[str, str] | None = None, body: Any = None, **headers: str
    ) -> Heard:
        return self.ask("POST", path, who, body, **headers)


@contextmanager
def listening(
    app: FastAPI,
    connection: type[BoundedConnection] = BoundedConnection,
    grace: int | None = None,
    port: int = 0,
) -> Iterator[str]:
    """An application on a port of 127.0.0.1, a free one if none is named; its URL.

    `grace`: seconds for work at its end.
    """
    with socket.socket() as place:
        place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        place.bind(("127.0.0.1", port))
        port = place.getsockname()[1]
        server = uvicorn.Server(
            uvicorn.Config(
                app,
                http=connection,
                ws="none",
                loop="uvloop",
                lifespan="off",
                log_config=None,
                proxy_headers=False,
                timeout_graceful_shutdown=grace,
            )
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [place]})
        thread.start()
        try:
            while not server.started:
                thread.join(0.005)
                assert thread.is_alive(), "the server did not start"
            yield f"http://127.0.0.1:{port}"
        finally:
            server.should_exit = True
            thread.join()


def line_to(url: str, lines: ExitStack) -> socket.socket:
    """A raw connection to a server, closed with the stack."""
    place = urlsplit(url)
    assert place.hostname
    assert place.port
    return lines.enter_context(socket.create_connection((place.hostname, place.port), timeout=30))


def eventually(holds: Callable[[], bool]) -> None:
    """Wait until something holds; fails if it does not within a generous time."""
    for _ in range(2_000):
        if holds():
            return
        time.sleep(0.01)
    raise AssertionError("it never came to hold")
