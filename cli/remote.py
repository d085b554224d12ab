"""Wiring of a vault that is served elsewhere: the same commands, through its API."""

from __future__ import annotations

import sys
from dataclasses import fields

from cli.compose import Vault, now
from cli.config import HomeConfig
from cli.settings import ServerSettings, Settings, version
from vault.errors import UnavailableError
from vault.http.client.connection import Connection, Server, check_server
from vault.http.client.opened import connected
from vault.http.client.trust import given_trust, pinned_trust
from verify.trust import Trust

_TOKEN_FILE_LIMIT = 1 << 16


def open_remote(settings: Settings) -> Vault:
    """The vault that a server serves, as commands use it.

    Raises `UnavailableError` where it is out of reach, and what the server says.
    """
    assert settings.server is not None
    connection = Connection(server_of(settings.server), user_agent=f"evault/{version()}")
    try:
        trust = trust_of(settings, connection)
        served = connected(connection, trust, clock=now)
        parts = {each.name: getattr(served.vault, each.name) for each in fields(served.vault)}
        config = HomeConfig(trust.origin, served=served.words)
        return Vault(**parts, home=settings.home, config=config)
    except BaseException:
        connection.close()
        raise


def trust_of(settings: Settings, connection: Connection) -> Trust:
    """Whom to believe: the file that was named, else the server's, pinned at first use."""
    assert settings.server is not None
    if settings.server.trust is not None:
        return given_trust(settings.server.trust)
    return pinned_trust(connection, settings.home, lambda told: print(told, file=sys.stderr))


def server_of(settings: ServerSettings) -> Server:
    """The server and its token. Raises `MalformedError`, `UnavailableError`."""
    token = settings.token
    if not token and settings.token_file is not None:
        try:
            with settings.token_file.open("rb") as file:
                token = file.read(_TOKEN_FILE_LIMIT).decode("utf-8", "replace").strip()
        except OSError as error:
            raise UnavailableError(
                f"cannot read EVAULT_TOKEN_FILE {settings.token_file}: {error.strerror}"
            ) from error
    return check_server(settings.url, token.strip(), insecure=settings.insecure)
