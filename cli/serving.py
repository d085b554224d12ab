"""Wiring of the service: a home's vault, who may use it, and the server that listens.

One process is one vault with its own connections; several processes and hosts share a store and a
database. Each worker builds its own application, from settings that it reads once.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from cli.compose import open_vault
from cli.home import list_collector, load_trust
from cli.intake import ServerIntake
from cli.listening import GRACE_SECONDS, end_with_parent, listen
from cli.settings import TRUST, read_settings
from cli.sign_in import bearers_of, live_grants
from cli.storage import open_access
from cli.vault import Vault
from vault.access import Identity
from vault.completeness import built_in_profile
from vault.errors import UnauthenticatedError, UnavailableError
from vault.http.app import create_app
from vault.http.audit_log import LOGGER
from vault.http.connections import BoundedConnection
from vault.http.served import Authenticator, Limits, Service
from vault.ports import AccessStore
from verify.envelope import ManifestKey
from verify.errors import MalformedError
from verify.strictjson import Object
from verify.trust import Trust

LEAST_RATE = "EVAULT_LEAST_RATE"


@dataclass(frozen=True, slots=True)
class Listening:
    """Where to listen, and with how many processes."""

    host: str
    port: int
    workers: int = 1
    proxies: tuple[str, ...] = ()
    """Addresses of proxies whose X-Forwarded-For is believed."""


class NobodyKnown:
    """Knows nobody: what is served without tokens answers with."""

    def identify(self, bearer: str, address: str) -> Identity:
        """Refuse. Raises `UnauthenticatedError`."""
        raise UnauthenticatedError("no token is known here; issue one with: evault token add")


class HomeTrust:
    """A home's trust file; read again once it is another. Satisfies `TrustFile`."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._read: tuple[tuple[int, int, int], Trust] | None = None

    def now(self) -> Trust:
        """What it says. Raises `UnavailableError`."""
        path = self._home / TRUST
        try:
            found = path.stat()
        except OSError as error:
            raise UnavailableError(
                f"cannot read {path}: {error.strerror}; restore it from your backup"
            ) from error
        version = (found.st_ino, found.st_size, found.st_mtime_ns)
        if self._read is None or self._read[0] != version:
            self._read = version, load_trust(self._home)
        return self._read[1]

    def list_collector(self, key: ManifestKey) -> Trust:
        """What it says once it lists a collector's key. Raises `UnavailableError`."""
        list_collector(self._home, key)
        return self.now()


def service_of(
    vault: Vault,
    authenticator: Authenticator | None = None,
    access: AccessStore | None = None,
    limits: Limits | None = None,
) -> Service:
    """The service of an opened vault, for those whom `authenticator` knows; None knows nobody.

    `access` is where its requests wait; the vault's own, opened here, for None.
    """
    return Service(
        vault=vault,
        authenticator=authenticator or NobodyKnown(),
        grants=lambda: live_grants(vault.grants, vault.clock),
        profile=built_in_profile(),
        intake=ServerIntake(socket.gethostname() or "unknown-host"),
        access=open_access(vault.home, vault.config) if access is None else access,
        trust_file=HomeTrust(vault.home),
        store_words=vault.config.store_words,
        schemas=_schemas(),
        limits=limits or Limits(),
    )


def read_limits(environment: Mapping[str, str]) -> Limits:
    """The limits that the environment sets, the rest as they are.

    `EVAULT_LEAST_RATE`: bytes a second that a streamed body comes at, at least. Raises
    `MalformedError`.
    """
    given = environment.get(LEAST_RATE, "").strip()
    if not given:
        return Limits()
    if not (given.isascii() and given.isdigit() and len(given) <= 12):
        raise MalformedError(
            f"{LEAST_RATE} {given!r} is no number of bytes a second, such as 4096; 0 asks for none"
        )
    return Limits(least_rate=int(given))


def _schemas() -> dict[str, Object]:
    """The schemas of the commands' documents, which are those of the API."""
    folder = Path(__file__).parent / "schemas"
    return {path.stem: json.loads(path.read_bytes()) for path in sorted(folder.glob("*.json"))}


def application() -> FastAPI:
    """The application of one worker, from the environment; uvicorn calls it."""
    end_with_parent()
    write_audit_log()
    vault = open_vault(read_settings(os.environ, None))
    access = open_access(vault.home, vault.config)
    bearers = bearers_of(access, vault.clock, os.environ)

    def close() -> None:
        access.close()
        vault.close()

    return create_app(service_of(vault, bearers, access, read_limits(os.environ)), close=close)


def write_audit_log() -> None:
    """Have the audit log written to standard output: a line of JSON for each request."""
    log = logging.getLogger(LOGGER)
    if not log.handlers:
        handler = logging.StreamHandler(sys.stdout)
        handler.setFormatter(logging.Formatter("%(message)s"))
        log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False


def is_free(host: str, port: int) -> bool:
    """Whether nobody listens there yet."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host, port))
        except OSError:
            return False
    return True


def serve(place: Listening) -> None:
    """Serve until told to stop; requests at work are finished first."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    config = uvicorn.Config(
        "cli.serving:application",
        factory=True,
        host=place.host,
        port=place.port,
        workers=place.workers,
        http=BoundedConnection,
        ws="none",
        loop="uvloop",
        lifespan="on",
        access_log=False,
        server_header=False,
        # Who is named by a header is believed only of a proxy that was named to us.
        proxy_headers=bool(place.proxies),
        forwarded_allow_ips=list(place.proxies),
        date_header=True,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=GRACE_SECONDS,
        log_config=None,
    )
    listen(config)
