"""Where a vault keeps its record, its index and its tokens: ports meet adapters here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cli.config import RECORD_DAYS, HomeConfig, S3Config, read_config
from cli.extras import s3_adapter
from cli.home import ACCESS, INDEX, STORE
from cli.vault import now
from vault.adapters.access import SqlAccessStore, access_file, access_tables
from vault.adapters.database import PostgresDatabase, SqliteDatabase, parse_url
from vault.adapters.directory import DirectoryStore
from vault.adapters.sql import SqlIndex
from vault.errors import UnavailableError
from vault.ports import ObjectStore

if TYPE_CHECKING:
    from vault.adapters.s3 import S3Place
    from vault.adapters.s3_check import BucketCheck


def open_store(home: Path, config: HomeConfig) -> ObjectStore:
    """The store that a home's configuration names. Raises `UnavailableError`."""
    if config.store is None:
        if not (home / STORE).is_dir():
            raise UnavailableError(
                f"the store {home / STORE} is gone; mount it, or restore it from your backup"
            )
        return DirectoryStore(home / STORE)
    s3 = s3_adapter()
    known = config.store
    place = _place(known)
    store: ObjectStore = s3.S3Store(
        place,
        s3.connect(place),
        clock=now,
        locks=known.locks,
        versions=known.versions,
        checksums="checksums" not in known.lacks,
        mode=known.lock,
        record_days=RECORD_DAYS,
    )
    return store


def bucket_check(config: S3Config) -> BucketCheck:
    """A trial of a bucket, by what is known of it. Raises `UnavailableError`."""
    place = _place(config)
    check: BucketCheck = s3_adapter("s3_check").BucketCheck(
        place, s3_adapter().connect(place), clock=now
    )
    return check


def _place(config: S3Config) -> S3Place:
    place: S3Place = s3_adapter().S3Place(
        bucket=config.bucket,
        prefix=config.prefix,
        endpoint_url=config.endpoint_url,
        region=config.region,
        part_size=config.part_size,
        concurrency=config.concurrency,
        kms_key=config.kms_key,
    )
    return place


def open_index(home: Path, config: HomeConfig) -> SqlIndex:
    """The index that a home's configuration names. Raises `UnavailableError`."""
    if config.database is not None:
        return SqlIndex(PostgresDatabase(config.database))
    return SqlIndex(SqliteDatabase(home / INDEX))


def grant_index(database: PostgresDatabase, service: str) -> None:
    """Let the user of the service's URL use an index whose tables belong to another."""
    user = parse_url(service).username
    if user and user != database.user:
        database.grant(user)


def open_access(home: Path, config: HomeConfig) -> SqlAccessStore:
    """Where tokens and pending requests are kept, made where there is none yet.

    A file of the home, or tables beside the index. Raises `UnavailableError`.
    """
    if config.database is None:
        return access_file(home / ACCESS)
    return access_for_service(config.database, read_config(home).database or config.database)


def has_access(home: Path, config: HomeConfig) -> bool:
    """Whether a token or a request may ever have been made here."""
    return config.database is not None or (home / ACCESS).exists()


def access_for_service(url: str, service: str) -> SqlAccessStore:
    """The tables as one user has them; those of the service's URL may use them from then on."""
    store = access_tables(url)
    user = parse_url(service).username
    if user and user != parse_url(url).username:
        store.grant(user)
    return store
