"""Settings, read once at start: where the home is, and who acts."""

from __future__ import annotations

import importlib.metadata
import os
import pwd
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from verify.errors import MalformedError
from verify.statement import Actor


@dataclass(frozen=True, slots=True)
class Settings:
    """What the environment says."""

    home: Path
    home_named: bool
    """Whether `--home` named it, so that a remedy has to name it too."""
    actor: Actor
    host: str
    debug: bool
    database: str | None = None
    """EVAULT_DATABASE: another database for one command, such as the owner's for a rebuild."""


def read_settings(environment: Mapping[str, str], home: Path | None) -> Settings:
    """Settings from the environment; `home` is the `--home` option, which wins.

    Raises `MalformedError` where nothing says where the home is.
    """
    host = socket.gethostname() or "unknown-host"
    return Settings(
        home=home or _default_home(environment),
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
    )


def _default_home(environment: Mapping[str, str]) -> Path:
    named = environment.get("EVAULT_HOME")
    if named:
        return Path(named)
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


def version() -> str:
    """The version of evault that runs."""
    return importlib.metadata.version("evidence-vault")
