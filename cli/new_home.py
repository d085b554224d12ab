"""Making a home: keys, trust file, index, store; `evault init`."""

from __future__ import annotations

from pathlib import Path

from cli.config import CONFIG, HomeConfig, S3Config, read_config
from cli.home import INDEX, LOG_KEY, MANIFEST_KEY, STORE, alone, unfinished, write_file
from cli.settings import TRUST
from cli.storage import access_for_service, grant_index, open_store
from cli.vault import let_go
from vault import layout
from vault.adapters.database import PostgresDatabase, SqliteDatabase
from vault.adapters.pem import (
    create_log_key,
    create_manifest_key,
    load_log_key,
    load_manifest_key,
)
from vault.adapters.sql import SqlIndex
from vault.errors import RefusedError, UnavailableError
from verify.digest import sha256_hex
from verify.envelope import ManifestKey
from verify.errors import EvidenceError
from verify.note import VerifierKey, check_name
from verify.trust import format_trust


def init_home(
    home: Path,
    *,
    origin: str | None,
    store: S3Config | None = None,
    database: str | None = None,
    owner: str | None = None,
) -> bool:
    """Make a home: keys, trust file, index, store. False if there is one, which is left as it is.

    Without `store` evidence is kept in a folder of the home, without `database` the index is.
    `owner` is the URL by which the database's tables are made, if not by `database`: then the user
    of `database` gets only what the service needs.

    A half-made home of an interrupted `init` is finished. Raises `RefusedError` for a folder that
    holds other things, `UnavailableError`.
    """
    if _is_made(home, origin, store):
        return False
    if origin is not None:
        try:
            check_name(origin)
        except EvidenceError as error:
            raise RefusedError(f"--origin {origin!r}: {error}") from error
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        with alone(home):
            if _is_made(home, origin, store):  # by another process, in between
                return False
            _make_home(home, origin, store, database, owner)
    except OSError as error:
        raise UnavailableError(
            f"cannot make a vault in {home}: {error.strerror}; choose another place with --home"
        ) from error
    return True


def _is_made(home: Path, origin: str | None, store: S3Config | None) -> bool:
    if not (home / CONFIG).is_file():
        return False
    known = read_config(home)
    if origin is not None and known.origin != origin:
        raise RefusedError(f"{home} is a vault of log {known.origin}; its origin cannot change")
    if store is not None and (known.store is None or known.store.url != store.url):
        raise RefusedError(
            f"{home} is a vault that keeps its record in {known.store_words}; "
            "its store cannot change"
        )
    return True


def _make_home(
    home: Path,
    origin: str | None,
    store: S3Config | None,
    database: str | None,
    owner: str | None,
) -> None:
    expected = {Path(name).parts[0] for name in (LOG_KEY, TRUST, INDEX, STORE)}
    expected |= {unfinished(home / name).name for name in (TRUST, CONFIG)}
    foreign = {entry.name for entry in home.iterdir()} - expected
    foreign = {name for name in foreign if not name.startswith(INDEX)}
    if foreign:
        raise RefusedError(
            f"{home} holds other things ({sorted(foreign)[0]}); name an empty folder with --home"
        )
    if store is not None:
        _refuse_a_record_of_others(home, store)
    for folder in (home / "keys", *(() if store else (home / STORE,))):
        folder.mkdir(mode=0o700, exist_ok=True)
    if not (home / LOG_KEY).is_file():
        create_log_key(home / LOG_KEY)
    if not (home / MANIFEST_KEY).is_file():
        create_manifest_key(home / MANIFEST_KEY)
    log_key, manifest_key = load_log_key(home / LOG_KEY), load_manifest_key(home / MANIFEST_KEY)
    name = origin or f"evault.invalid/{sha256_hex(log_key.public)[:16]}"
    trust = format_trust(
        log=VerifierKey(name, log_key.public),
        manifest_keys=[ManifestKey(manifest_key.public)],
    )
    write_file(home / TRUST, trust)
    config = HomeConfig(name, store, database)
    _make_index(home, config, owner)
    # Written last: a home with a configuration is a whole home.
    write_file(home / CONFIG, config.encode())


def _refuse_a_record_of_others(home: Path, config: S3Config) -> None:
    """Two vaults on one prefix would be two logs in one; the second must not begin."""
    store = open_store(home, HomeConfig("", config))
    try:
        if next(store.keys(layout.CHAINS), None) or store.exists(layout.publication(1)):
            raise RefusedError(
                f"{config.url} holds the record of a vault already; name another prefix, or "
                "bring that vault's keys, trust.json and evault.json here and run: "
                "evault log rebuild"
            )
    finally:
        let_go(store)


def _make_index(home: Path, config: HomeConfig, owner: str | None) -> None:
    if config.database is None:
        SqlIndex(SqliteDatabase(home / INDEX, create=True)).close()
        return
    database = PostgresDatabase(owner or config.database, create=True)
    index = SqlIndex(database)
    try:
        if index.chains(""):
            raise RefusedError(
                f"{database.name} holds the index of a vault already; name another database"
            )
        grant_index(database, config.database)
    finally:
        index.close()
    access_for_service(owner or config.database, config.database).close()
