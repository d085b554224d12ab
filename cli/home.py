"""A home: what lies in it, who may be at it, and its trust file."""

from __future__ import annotations

import fcntl
import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cli.config import CONFIG, HomeConfig, read_config
from cli.settings import TRUST, Settings
from vault.errors import NotFoundError, RefusedError, UnavailableError
from verify.envelope import ManifestKey
from verify.errors import EvidenceError
from verify.trust import Trust, parse_trust, with_collector

INDEX = "index.sqlite"
ACCESS = "access.sqlite"
STORE = "store"
LOG_KEY = "keys/log.pem"
MANIFEST_KEY = "keys/manifest.pem"


def check_home(settings: Settings) -> HomeConfig:
    """A home's configuration. Raises `NotFoundError` unless there is a vault."""
    check_at_home(settings)
    home = settings.home
    try:
        there = (home / CONFIG).is_file()
    except OSError as error:
        raise UnavailableError(
            f"cannot look into {home}: {error.strerror}; it must belong to you"
        ) from error
    if not there:
        named = f"--home {shlex.quote(str(home))} " if settings.home_named else ""
        raise NotFoundError(
            f"there is no vault in {home}; make one with: evault {named}init\n"
            "(or name another home with --home or EVAULT_HOME)"
        )
    return read_config(home, database=settings.database)


def check_at_home(settings: Settings) -> None:
    """Raise `RefusedError` where the vault is served elsewhere: this is done in its home."""
    if settings.server is not None:
        raise RefusedError(
            "this is done where the vault's home is, and EVAULT_URL names a server; run it there, "
            "or name a home with --home"
        )


def load_trust(home: Path) -> Trust:
    """The home's own trust file. Raises `UnavailableError`."""
    try:
        return parse_trust((home / TRUST).read_bytes(), where=str(home / TRUST))
    except OSError as error:
        raise UnavailableError(
            f"cannot read {home / TRUST}: {error.strerror}; restore it from your backup"
        ) from error
    except EvidenceError as error:
        raise UnavailableError(f"{error}; restore it from your backup") from error


def list_collector(home: Path, key: ManifestKey) -> bool:
    """Have the home's own trust file list a collector's key; False if it does already.

    Raises `UnavailableError`, `MalformedError`.
    """
    try:
        with alone(home):
            trust = load_trust(home)
            data = with_collector(trust, key)
            if data == trust.data:
                return False
            write_file(home / TRUST, data)
    except OSError as error:
        raise UnavailableError(
            f"cannot write {home / TRUST}: {error.strerror}; make it writable, and run the "
            "command again"
        ) from error
    return True


@contextmanager
def alone(home: Path) -> Iterator[None]:
    """One process at a time makes a home, or its index; the others wait for it."""
    descriptor = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
        os.fsync(descriptor)  # the names in it too: a lost key or configuration ends a vault
    finally:
        os.close(descriptor)


def write_file(path: Path, data: bytes) -> None:
    """Have a file of the home say this, wholly or not at all. Call it within `alone`."""
    temporary = unfinished(path)
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def unfinished(path: Path) -> Path:
    """Where a file of the home is written before it takes its name."""
    return path.with_name(f".{path.name}.new")
