"""All wiring: the one place where ports meet adapters."""

from __future__ import annotations

import fcntl
import importlib
import importlib.metadata
import os
import shlex
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from cli.config import CONFIG, RECORD_DAYS, HomeConfig, S3Config, read_config
from cli.settings import TRUST, Settings, version
from ingest.parsers import GROUP, Parser, with_third_parties
from ingest.source import Source
from vault import layout, opened
from vault.adapters.access import SqlAccessStore, access_file, access_tables
from vault.adapters.database import Database, PostgresDatabase, SqliteDatabase, parse_url
from vault.adapters.directory import DirectoryStore
from vault.adapters.pem import (
    Ed25519Signer,
    P256Signer,
    create_log_key,
    create_manifest_key,
    load_log_key,
    load_manifest_key,
)
from vault.adapters.sql import SqlIndex
from vault.enrolment import Enrolled, enrol
from vault.errors import NotFoundError, RefusedError, UnavailableError
from vault.grants import KnownGrants
from vault.incidents import KnownChains
from vault.log import Log
from vault.opened import Foundation
from vault.ports import Index, LockMode, ObjectStore
from vault.tokens import Tokens
from verify.digest import sha256_hex
from verify.envelope import ManifestKey
from verify.errors import EvidenceError
from verify.note import VerifierKey, check_name
from verify.trust import Trust, format_trust, parse_trust, with_collector

if TYPE_CHECKING:
    from vault.adapters.s3 import S3Place
    from vault.adapters.s3_check import BucketCheck
    from vault.http.client.requests import RemoteRequests
    from vault.http.client.tokens import RemoteTokens

INDEX = "index.sqlite"
ACCESS = "access.sqlite"
STORE = "store"
LOG_KEY = "keys/log.pem"
MANIFEST_KEY = "keys/manifest.pem"

_INDEX_FILES = ("", "-wal", "-shm")


def now() -> datetime:
    """The clock: the present moment in UTC, to the millisecond."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def parsers() -> tuple[Parser, ...]:
    """The parsers of this package, and those that installed packages offer as entry points.

    One that cannot be loaded, or is none, is left out: evidence is sealed all the same.
    """
    others: list[Parser] = []
    for entry in sorted(importlib.metadata.entry_points(group=GROUP)):
        with suppress(Exception):
            loaded = entry.load()
            if isinstance(loaded, Parser):
                others.append(loaded)
    return with_third_parties(others)


@dataclass(frozen=True, slots=True)
class Vault(opened.Vault):
    """An opened vault, and the home that it was opened from."""

    home: Path
    config: HomeConfig
    appends_only: bool = False
    """Whether whoever opened it is a collector, to whom a server shows nothing."""

    signed_in: str | None = None
    """Who signed in to a server; None in a home, where nobody does."""

    @property
    def requests(self) -> RemoteRequests | None:
        """What takes two people who sign in to a server; None in a home."""
        return None

    @property
    def tokens(self) -> RemoteTokens | None:
        """The tokens that who signed in to a server may see; None in a home, which has them all."""
        return None

    def close(self) -> None:
        """Let go of it."""
        close_index(self.index)
        close_store(self.store)


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
        with _alone(home):
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
    expected |= {_unfinished(home / name).name for name in (TRUST, CONFIG)}
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
    _write(home / TRUST, trust)
    config = HomeConfig(name, store, database)
    _make_index(home, config, owner)
    # Written last: a home with a configuration is a whole home.
    _write(home / CONFIG, config.encode())


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
        _grant(database, config.database)
    finally:
        index.close()
    _access_tables(owner or config.database, config.database).close()


def open_access(home: Path, config: HomeConfig) -> SqlAccessStore:
    """Where tokens and pending requests are kept, made where there is none yet.

    A file of the home, or tables beside the index. Raises `UnavailableError`.
    """
    if config.database is None:
        return access_file(home / ACCESS)
    return _access_tables(config.database, read_config(home).database or config.database)


def has_access(home: Path, config: HomeConfig) -> bool:
    """Whether a token or a request may ever have been made here."""
    return config.database is not None or (home / ACCESS).exists()


def _access_tables(url: str, service: str) -> SqlAccessStore:
    """The tables as one user has them; those of the service's URL may use them from then on."""
    store = access_tables(url)
    user = parse_url(service).username
    if user and user != parse_url(url).username:
        store.grant(user)
    return store


def _grant(database: PostgresDatabase, service: str) -> None:
    """Let the user of the service's URL use an index whose tables belong to another."""
    user = parse_url(service).username
    if user and user != database.user:
        database.grant(user)


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
        close_store(store)


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


def close_store(store: ObjectStore) -> None:
    """Let go of a store's threads and connections, where it has any."""
    close = getattr(store, "close", None)
    if close is not None:
        close()


def close_index(index: Index) -> None:
    """Let go of an index's connections, where it has any."""
    close = getattr(index, "close", None)
    if close is not None:
        close()


def open_index(home: Path, config: HomeConfig) -> SqlIndex:
    """The index that a home's configuration names. Raises `UnavailableError`."""
    if config.database is not None:
        return SqlIndex(PostgresDatabase(config.database))
    return SqlIndex(SqliteDatabase(home / INDEX))


def s3_adapter(name: str = "s3") -> ModuleType:
    """The S3 adapter, imported only by who needs it: boto3 takes half a second to import."""
    try:
        return importlib.import_module(f"vault.adapters.{name}")
    except ModuleNotFoundError as error:
        raise UnavailableError(
            f"a store in S3 needs {error.name}; run: pip install 'evidence-vault[s3]'"
        ) from error


def bucket_source(url: str, endpoint_url: str | None, *, all_versions: bool = False) -> Source:
    """Evidence in a bucket, as `ingest.sources.s3` reads it. Raises `SourceUnreadableError`."""
    try:
        module = importlib.import_module("ingest.sources.s3")
    except ModuleNotFoundError as error:
        raise UnavailableError(
            f"reading a bucket needs {error.name}; run: pip install 'evidence-vault[s3]'"
        ) from error
    source: Source = module.S3Source(url, endpoint_url=endpoint_url, all_versions=all_versions)
    return source


def open_vault(settings: Settings) -> Vault:
    """Open a home, or the server that is named instead of one.

    Raises `NotFoundError` that says where it looked and what to run.
    """
    if settings.server is not None:
        vault: Vault = remote().open_remote(settings)
        return vault
    config = check_home(settings)
    index = open_index(settings.home, config)
    store = None
    try:
        store = open_store(settings.home, config)
        vault = _assemble(settings, config, store, index)
        _check_store(vault)
        # What a dead process committed is carried on before anyone is told of it. Whatever stands
        # in the way is said by the next deposit; it must not keep others from reading.
        with suppress(EvidenceError):
            vault.log.settle()
            vault.retention.settle()
        return vault
    except BaseException:
        index.close()
        if store is not None:
            close_store(store)
        raise


def remote() -> ModuleType:
    """Wiring of a vault that is served elsewhere, imported only by who uses one."""
    try:
        return importlib.import_module("cli.remote")
    except ModuleNotFoundError as error:
        raise UnavailableError(
            f"a vault behind EVAULT_URL needs {error.name}; run: "
            "pip install 'evidence-vault[client]'"
        ) from error


def rebuild_index(settings: Settings) -> str | None:
    """Make the index anew from the store; returns where the old one was put, if there was one.

    It is made beside the old one, and takes its place only when it is whole.
    """
    home = settings.home
    config = check_home(settings)
    rebuild = _rebuild_sqlite if config.database is None else _rebuild_postgresql
    try:
        with _alone(home):
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
        _grant(database, read_config(settings.home).database or config.database)
    finally:
        database.close()
    return f"schema {aside} of {database.name}" if aside else None


def _restore(settings: Settings, config: HomeConfig, database: Database) -> None:
    """Fill a fresh index from the store."""
    store = open_store(settings.home, config)
    index = SqlIndex(database)
    try:
        vault = _assemble(settings, config, store, index)
        vault.log.restore()
        vault.door.finish_captures()
        vault.retention.settle()
    finally:
        index.close()
        close_store(store)


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


def own_trust(settings: Settings) -> Trust:
    """The trust file of the home, or of the server, pinned if need be. Raises `EvidenceError`."""
    if settings.server is None:
        return load_trust(settings.home)
    vault = open_vault(settings)
    vault.close()
    return vault.trust


def enrol_here_or_there(
    settings: Settings,
    vault: Vault,
    name: str,
    key: ManifestKey,
    chains: Sequence[str],
    expires: datetime | None,
) -> Enrolled:
    """Let a collector in, and, for some chains, make a token for it, here or by the server."""
    if settings.server is not None:
        there: Enrolled = remote().enrol_there(vault, name, key, chains, expires)
        with suppress(EvidenceError):  # the next command says it; this one has a secret to show
            there = replace(there, trust=remote().trust_now(settings))
        return there

    def list_key(key: ManifestKey) -> Trust:
        list_collector(vault.home, key)
        return load_trust(vault.home)

    store = open_access(vault.home, vault.config) if chains else None
    try:
        return enrol(
            vault.collectors,
            name,
            key,
            index=vault.index,
            clock=vault.clock,
            list_key=list_key,
            tokens=None if store is None else Tokens(store=store, clock=vault.clock),
            chains=chains,
            expires=expires,
        )
    finally:
        if store is not None:
            store.close()


def list_collector(home: Path, key: ManifestKey) -> bool:
    """Have the home's own trust file list a collector's key; False if it does already.

    Raises `UnavailableError`, `MalformedError`.
    """
    try:
        with _alone(home):
            trust = load_trust(home)
            data = with_collector(trust, key)
            if data == trust.data:
                return False
            _write(home / TRUST, data)
    except OSError as error:
        raise UnavailableError(
            f"cannot write {home / TRUST}: {error.strerror}; make it writable, and run the "
            "command again"
        ) from error
    return True


def _assemble(settings: Settings, config: HomeConfig, store: ObjectStore, index: SqlIndex) -> Vault:
    home = settings.home
    trust = load_trust(home)
    log_signer: Ed25519Signer = load_log_key(home / LOG_KEY)
    signer: P256Signer = load_manifest_key(home / MANIFEST_KEY)
    if log_signer.public != trust.log.public:
        raise UnavailableError(
            f"{home / LOG_KEY} is not the log key of {home / TRUST}; restore both from one backup"
        )
    key = ManifestKey(signer.public)
    if all(key.spki != each.spki for each in trust.keys):
        raise UnavailableError(
            f"{home / MANIFEST_KEY} is not a key of {home / TRUST}; restore both from one backup"
        )
    foundation = Foundation(
        store=store,
        index=index,
        log=Log(store, index, log_signer, trust.origin, key),
        signer=signer,
        trust=trust,
        clock=now,
        version=version(),
        mode=config.store.lock if config.store else LockMode.GOVERNANCE,
        known=KnownChains(),
        granted=KnownGrants(),
    )
    services = opened.assemble(foundation, settings.actor)
    parts = {each.name: getattr(services, each.name) for each in fields(services)}
    return Vault(**parts, home=home, config=config)


def check_at_home(settings: Settings) -> None:
    """Raise `RefusedError` where the vault is served elsewhere: this is done in its home."""
    if settings.server is not None:
        raise RefusedError(
            "this is done where the vault's home is, and EVAULT_URL names a server; run it there, "
            "or name a home with --home"
        )


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


def _check_store(vault: Vault) -> None:
    """An emptied store under a full index is a disk that is not mounted, not a log to go on with.

    The first checkpoint alone may be owed to the store, by a process that was killed.
    """
    last = vault.index.log_state().last
    if last and last.number > 1 and not vault.store.exists(layout.publication(1)):
        where = vault.config.store.url if vault.config.store else vault.home / STORE
        raise UnavailableError(
            f"the store {where} holds nothing of the {last.head.size:,} log entries "
            "that the index knows; mount it, or restore it from your backup"
        )


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """One process at a time makes a home, or its index; the others wait for it."""
    descriptor = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
        os.fsync(descriptor)  # the names in it too: a lost key or configuration ends a vault
    finally:
        os.close(descriptor)


def _remove_index(path: Path) -> None:
    for suffix in _INDEX_FILES:
        Path(f"{path}{suffix}").unlink(missing_ok=True)


def _unfinished(path: Path) -> Path:
    return path.with_name(f".{path.name}.new")


def _write(path: Path, data: bytes) -> None:
    temporary = _unfinished(path)
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
