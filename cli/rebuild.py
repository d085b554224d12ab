"""Making a home's index anew from its store: `evault log rebuild`."""

from __future__ import annotations

import shutil
from pathlib import Path

from cli.compose import assemble
from cli.config import HomeConfig, read_config
from cli.home import INDEX, alone, check_home
from cli.settings import Settings
from cli.storage import grant_index, open_store
from cli.vault import let_go, now
from vault.adapters.database import Database, PostgresDatabase, SqliteDatabase
from vault.adapters.sql import SqlIndex
from vault.errors import UnavailableError

_INDEX_FILES = ("", "-wal", "-shm")


def rebuild_index(settings: Settings) -> str | None:
    """Make the index anew from the store; returns where the old one was put, if there was one.

    It is made beside the old one, and takes its place only when it is whole.
    """
    home = settings.home
    config = check_home(settings)
    rebuild = _rebuild_sqlite if config.database is None else _rebuild_postgresql
    try:
        with alone(home):
            return rebuild(settings, config)
    except OSError as error:
        raise UnavailableError(
            f"cannot make the index anew in {home}: {error.strerror}; make it writable first"
        ) from error


def _rebuild_sqlite(settings: Settings, config: HomeConfig) -> str | None:
    home = settings.home
    fresh = home / f"{INDEX}.new"
    _remove_index(fresh)
    _restore(settings, config, SqliteDatabase(fresh, create=True))
    old = home / f"{INDEX}.{now().strftime('%Y%m%dT%H%M%S')}.old"
    there = (home / INDEX).exists()
    # A write-ahead log goes too where its index was deleted: SQLite would play it into
    # the new one.
    for suffix in _INDEX_FILES:
        if Path(f"{home / INDEX}{suffix}").exists():
            shutil.move(f"{home / INDEX}{suffix}", f"{old}{suffix}")
    shutil.move(fresh, home / INDEX)
    return str(old) if there else None


def _rebuild_postgresql(settings: Settings, config: HomeConfig) -> str | None:
    assert config.database is not None
    database = PostgresDatabase(config.database, fresh=True)
    try:
        _restore(settings, config, database)
        aside = database.install()
        grant_index(database, read_config(settings.home).database or config.database)
    finally:
        database.close()
    return f"schema {aside} of {database.name}" if aside else None


def _restore(settings: Settings, config: HomeConfig, database: Database) -> None:
    """Fill a fresh index from the store."""
    store = open_store(settings.home, config)
    index = SqlIndex(database)
    try:
        vault = assemble(settings, config, store, index)
        vault.log.restore()
        vault.door.finish_captures()
        vault.retention.settle()
    finally:
        index.close()
        let_go(store)


def _remove_index(path: Path) -> None:
    for suffix in _INDEX_FILES:
        Path(f"{path}{suffix}").unlink(missing_ok=True)
