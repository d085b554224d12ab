"""Settings, read once at start: where the home or the server is, and who acts."""

from __future__ import annotations

import importlib.metadata
import os
import pwd
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

from verify.errors import MalformedError
from verify.statement import Actor

TRUST = "trust.json"


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """A vault that is served elsewhere, as the environment names it; nothing of it is checked."""

    url: str
    """EVAULT_URL."""
    token: str = field(repr=False)
    """EVAULT_TOKEN."""
    token_file: Path | None
    """EVAULT_TOKEN_FILE, where there is no EVAULT_TOKEN."""
    trust: Path | None
    """EVAULT_TRUST: whom to believe, instead of what the server shows first."""
    insecure: bool
    """EVAULT_INSECURE: plain HTTP is allowed, also to another host."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the environment says."""

    home: Path
    """The vault's home; of a server, the folder where this user keeps what is known of it."""
    home_named: bool
    """Whether `--home` named it, so that a remedy has to name it too."""
    actor: Actor
    host: str
    debug: bool
    database: str | None = None
    """EVAULT_DATABASE: another database for one command, such as the owner's for a rebuild."""
    server: ServerSettings | None = None
    """Where the vault is served; None where its home is here."""

    @property
    def trust_file(self) -> Path:
        """Whom to believe, unless a command names another file."""
        if self.server is not None and self.server.trust is not None:
            return self.server.trust
        return self.home / TRUST


def read_settings(environment: Mapping[str, str], home: Path | None) -> Settings:
    """Settings from the environment; `home` is the `--home` option, which wins, also over a server.

    Raises `MalformedError` where nothing says where the home is.
    """
    host = socket.gethostname() or "unknown-host"
    server = _server(environment) if home is None else None
    own = _data_folder(environment) / "servers" / _folder_of(server.url) if server else None
    return Settings(
        home=home or own or _default_home(environment),
        home_named=home is not None,
        actor=Actor(
            id=f"{_account()}@{host}",
            kind="person",
            authenticated=f"uid {os.getuid()}, local",
            claimed=_text(environment.get("EVAULT_ACTOR", "")) or None,
        ),
        host=host,
        debug=bool(environment.get("EVAULT_DEBUG")),
        database=environment.get("EVAULT_DATABASE") or None,
        server=server,
    )


def _server(environment: Mapping[str, str]) -> ServerSettings | None:
    url = environment.get("EVAULT_URL")
    if not url:
        return None
    token_file, trust = environment.get("EVAULT_TOKEN_FILE"), environment.get("EVAULT_TRUST")
    return ServerSettings(
        url=url.rstrip("/"),
        token=environment.get("EVAULT_TOKEN", ""),
        token_file=Path(token_file) if token_file else None,
        trust=Path(trust) if trust else None,
        insecure=environment.get("EVAULT_INSECURE") == "1",
    )


def _folder_of(url: str) -> str:
    """The name of a server's folder: its host, and its port where one is named."""
    place = urlsplit(url).netloc.rpartition("@")[2]
    return re.sub(r"[^A-Za-z0-9.-]", "_", place).strip(".") or "unnamed"


def _default_home(environment: Mapping[str, str]) -> Path:
    named = environment.get("EVAULT_HOME")
    return Path(named) if named else _data_folder(environment)


def _data_folder(environment: Mapping[str, str]) -> Path:
    data = environment.get("XDG_DATA_HOME", "")
    if data.startswith("/"):  # the XDG specification: a relative path is to be ignored
        return Path(data) / "evault"
    try:
        return Path.home() / ".local" / "share" / "evault"
    except RuntimeError:
        raise MalformedError(
            "nothing says where your data folder is; name the vault's home with --home or "
            "EVAULT_HOME"
        ) from None


def _account() -> str:
    """The account of the process; what LOGNAME or USER say is a claim, and not asked."""
    uid = os.getuid()
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid{uid}"


def _text(name: str) -> str:
    return os.fsencode(name).decode("utf-8", "replace").strip()


@cache
def version() -> str:
    """The version of evault that runs."""
    return importlib.metadata.version("evidence-vault")
