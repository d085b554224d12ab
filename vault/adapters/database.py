"""The databases that an index can lie in, and how each is opened, migrated, locked and replaced.

SQLite: WAL, `synchronous=FULL` (a commit is on the disk when it returns), and every writing
transaction takes the one write lock at its start, so that what it reads cannot change under it.

PostgreSQL: one index a database, in a schema that is numbered anew by each rebuild. Who opened the
schema of before finds it gone, and starts again: nobody writes to the old index, or reads here and
writes there. Row locks are the writers' own (`SELECT … FOR UPDATE`); commits are synchronous
whatever the server's default; who hangs within a transaction is cut off, and who waits for him
too long is told so.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import random
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import resources
from pathlib import Path
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError, SQLAlchemyError

from vault.errors import IndexDamagedError, RefusedError, UnavailableError

HEAD = "0002"
"""The newest migration. Alembic is asked only where an index has another: importing it is slow."""

_WRITABLE = "make it writable, or copy the vault's home and name the copy with --home"
_GENERATION = re.compile(r"evault_[0-9]{6}\Z")
_FRESH = "evault_new"
_POLL = 0.003
"""Seconds between two looks at a lock that another process holds."""

GRANTS = (
    "GRANT USAGE ON SCHEMA {schema} TO {role}",
    "GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA {schema} TO {role}",
    "GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO {role}",
    "GRANT UPDATE ON {schema}.chain, {schema}.tree TO {role}",
    "GRANT UPDATE (state, owes) ON {schema}.manifest TO {role}",
    "GRANT DELETE ON {schema}.chain, {schema}.manifest, {schema}.sighting, {schema}.artifact "
    "TO {role}",
    "REVOKE INSERT ON {schema}.tree, {schema}.alembic_version FROM {role}",
)
"""What the service's own role may do, where the tables belong to another. It may not alter or
remove a log entry or a checkpoint; that log entries refer to manifests keeps it from removing a
manifest that was logged."""


class Database(Protocol):
    """A database with an index in it. Errors are `UnavailableError` or `IndexDamagedError`."""

    def read(self) -> Any:
        """A connection for one reading statement, as a context."""

    def write(self) -> Any:
        """A connection in a transaction, as a context: durable when it ends, or of no effect."""

    def change(self) -> Any:
        """A connection for one changing statement, a transaction of its own, as a context."""

    def alone(self, what: str, patience: float) -> Any:
        """Whether other processes and threads were kept out of `what`, as a context."""

    def wait(self, what: str, patience: float) -> None:
        """Wait until nobody is alone with `what`, or for `patience` seconds."""

    def close(self) -> None:
        """Let go of all connections."""


class SqliteDatabase:
    """An index in a file."""

    def __init__(self, path: Path, *, create: bool = False) -> None:
        """Open it. Raises `UnavailableError`, `IndexDamagedError`."""
        if not create and not path.is_file():
            raise IndexDamagedError(f"the index {path} is gone; run: evault log rebuild")
        self._path = path
        self._engine = sqlite_engine(path)
        _watch(self._engine, path)
        self._single = self._engine.execution_options(single=True)
        try:
            self._prepare(create=create)
        except BaseException:
            self.close()
            raise

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A connection for one statement."""
        with self._readable_errors(), self._single.connect() as connection:
            yield connection

    change = read

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """A connection that holds the write lock."""
        with self._readable_errors(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def alone(self, what: str, patience: float) -> Iterator[bool]:
        """A lock on a file beside the index; its holder's death ends it."""
        try:
            descriptor = self._open_lock(what)
        except OSError:  # a read-only home: then nobody writes
            yield False
            return
        try:
            yield _flock(descriptor, fcntl.LOCK_EX, patience)
        finally:
            os.close(descriptor)

    def wait(self, what: str, patience: float) -> None:
        """Wait until nobody holds that file."""
        try:
            descriptor = self._open_lock(what)
        except OSError:
            return
        try:
            _flock(descriptor, fcntl.LOCK_SH, patience)
        finally:
            os.close(descriptor)

    def _open_lock(self, what: str) -> int:
        # As many files as there may be locks held within one another.
        lock = f"{self._path}.{what.partition(' ')[0]}.lock"
        return os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def close(self) -> None:
        """Let go of all connections."""
        self._engine.dispose()

    def _prepare(self, *, create: bool) -> None:
        with self.read() as connection:
            if _version(connection) == HEAD:
                return
        with self.write() as connection:
            tables = sa.inspect(connection).get_table_names()
            if tables and "alembic_version" not in tables:
                raise IndexDamagedError(
                    f"{self._path} is no index of a vault that this evault knows; "
                    "run: evault log rebuild"
                )
            if not tables and not create:
                raise IndexDamagedError(f"{self._path} is empty; run: evault log rebuild")
            _migrate(connection, str(self._path), empty=not tables)

    @contextmanager
    def _readable_errors(self) -> Iterator[None]:
        name = self._path
        try:
            yield
        except SQLAlchemyError as error:
            text = str(error.orig) if isinstance(error, DBAPIError) else str(error)
            if isinstance(error, DBAPIError) and isinstance(error.orig, sqlite3.DatabaseError):
                damaged = (
                    "malformed",
                    "not a database",
                    "no such table",
                    "no such column",
                    "unsupported file format",
                    "constraint failed",
                )
                if any(word in text for word in damaged):
                    raise IndexDamagedError(
                        f"the index {name} is damaged ({text}); nothing is lost: "
                        "run: evault log rebuild"
                    ) from error
            remedy = {
                "database or disk is full": "the disk is full; free some space and run it again",
                "attempt to write a readonly database": f"its folder is read-only; {_WRITABLE}",
                "unable to open database file": f"its folder cannot be written; {_WRITABLE}",
                "disk I/O error": "the disk is full or fails; free some space and run it again",
                "database is locked": "another process holds it; run the command again",
            }.get(text, text)
            raise UnavailableError(f"the index {name} cannot be used: {remedy}") from error
        except UnicodeDecodeError as error:  # SQLite quotes what stands where a table should
            raise IndexDamagedError(
                f"the index {name} is damaged; nothing is lost: run: evault log rebuild"
            ) from error


class PostgresDatabase:
    """An index in a PostgreSQL database."""

    def __init__(self, url: str, *, create: bool = False, fresh: bool = False) -> None:
        """Open the index there; `create` makes one where there is none, `fresh` one beside it.

        A fresh one takes the other's place by `install`. Raises `UnavailableError`,
        `IndexDamagedError`, `RefusedError` for what is no such URL.
        """
        parsed = parse_url(url)
        self.name = without_password(parsed)
        self.user = parsed.username
        try:
            self._server = postgres_engine(parsed, isolation_level="READ COMMITTED")
            self._looks = postgres_engine(
                parsed, isolation_level="AUTOCOMMIT", pool_reset_on_return=None
            )
        except ModuleNotFoundError as error:
            raise UnavailableError(
                f"an index in PostgreSQL needs {error.name}; "
                "run: pip install 'evidence-vault[postgresql]'"
            ) from error
        try:
            self.schema = self._prepare(create=create, fresh=fresh)
        except BaseException:
            self.close()
            raise
        mapped: dict[str, Any] = {"schema_translate_map": {None: self.schema}}
        self._engine = self._server.execution_options(**mapped)
        # One statement is a transaction of its own: no BEGIN and ROLLBACK around each look, and
        # connections of their own, which need not be set anew each time.
        self._single = self._looks.execution_options(**mapped)

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A connection for one statement."""
        with self._readable_errors(), self._single.connect() as connection:
            yield connection

    change = read

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """A connection in a transaction."""
        with self._readable_errors(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def alone(self, what: str, patience: float) -> Iterator[bool]:
        """An advisory lock of a session; its holder's death ends it."""
        key = self._lock_key(what)
        with self._readable_errors():
            connection = self._single.connect()
        try:
            with self._readable_errors():
                got = _advisory_lock(connection, key, patience)
            yield got
            if got:
                with self._readable_errors():
                    connection.execute(sa.select(sa.func.pg_advisory_unlock(key)))
        except BaseException:
            connection.invalidate()  # its session ends, and with it the lock
            raise
        finally:
            connection.close()

    def wait(self, what: str, patience: float) -> None:
        """Share that lock for a moment: all who wait go on together."""
        milliseconds = max(1, int(patience * 1000))
        # Two statements in one go are one transaction, and the limit ends with it.
        statements = (
            f"SELECT set_config('lock_timeout', '{milliseconds}ms', true);"
            f"SELECT pg_advisory_xact_lock_shared({self._lock_key(what)})"
        )
        with self.read() as connection:
            try:
                connection.exec_driver_sql(statements)
            except OperationalError as error:
                if getattr(error.orig, "sqlstate", None) != _LOCK_TIMEOUT:
                    raise

    def _lock_key(self, what: str) -> int:
        digest = hashlib.sha256(f"{self.schema} {what}".encode()).digest()
        return int.from_bytes(digest[:8], "big", signed=True)

    def close(self) -> None:
        """Let go of all connections."""
        self._server.dispose()
        self._looks.dispose()

    def grant(self, role: str) -> None:
        """Let a role use the index, and no more than it needs (`GRANTS`)."""
        quoted = self._server.dialect.identifier_preparer.quote(role)
        with self.write() as connection:
            for each in GRANTS:
                connection.execute(sa.text(each.format(schema=self.schema, role=quoted)))

    def install(self) -> str | None:
        """Put this fresh index in the place of the one that is there; where that was put aside."""
        with self.write() as connection:
            old = _newest(connection)
            number = int(old.rpartition("_")[2]) if old else 0
            aside = None
            if old:
                tables = ", ".join(f"{old}.{name}" for name in sa.inspect(connection)
                                   .get_table_names(schema=old))  # fmt: skip
                # Waits for transactions that are under way; later ones find the schema gone.
                connection.execute(sa.text(f"LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE"))
                aside = f"{old}_old"
                connection.execute(sa.text(f"DROP SCHEMA IF EXISTS {aside} CASCADE"))
                connection.execute(sa.text(f"ALTER SCHEMA {old} RENAME TO {aside}"))
            schema = f"evault_{number + 1:06d}"
            connection.execute(sa.text(f"ALTER SCHEMA {self.schema} RENAME TO {schema}"))
        self.schema = schema
        return aside

    def _prepare(self, *, create: bool, fresh: bool) -> str:
        with self._readable_errors(), self._server.begin() as connection:
            if create or fresh:
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MAKING)))
            schema = _FRESH if fresh else _newest(connection)
            if fresh:
                connection.execute(sa.text(f"DROP SCHEMA IF EXISTS {_FRESH} CASCADE"))
            elif schema is None and not create:
                raise IndexDamagedError(
                    f"there is no index in {self.name}; run: evault log rebuild "
                    "(as the role that may make tables: EVAULT_DATABASE=URL)"
                )
            empty = fresh or schema is None
            schema = schema or "evault_000001"
            if empty:
                connection.execute(sa.text(f"CREATE SCHEMA {schema}"))
            connection.execute(sa.text(f"SET LOCAL search_path TO {schema}"))
            _migrate(connection, self.name, empty=empty)
            return schema

    @contextmanager
    def _readable_errors(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            state = getattr(getattr(error, "orig", None), "sqlstate", None) or ""
            text = first_line(error.orig if isinstance(error, DBAPIError) else error)
            if state.startswith("23"):
                raise IndexDamagedError(
                    f"the index {self.name} contradicts itself ({text}); nothing is lost: "
                    "run: evault log rebuild"
                ) from error
            remedy = _POSTGRES_REMEDIES.get(state) or _POSTGRES_REMEDIES.get(state[:2])
            if remedy is None and isinstance(error, OperationalError):
                remedy = (
                    "is the server up, and are database, role and password right (PGPASSWORD, "
                    "~/.pgpass)? Nothing is lost; run it again"
                )
            said = f"{text}; {remedy}" if remedy else text
            raise UnavailableError(f"the index {self.name} cannot be used: {said}") from error


_LOCK_TIMEOUT = "55P03"
_MAKING = 0x6576_6175_6C74
"""The advisory lock under which an index is made."""

_POSTGRES_REMEDIES = {
    "25006": "this server only reads: name the primary",
    "3F000": "the index was rebuilt while this command ran; run the command again",
    "40": "others were in the way; run the command again",
    "42501": "the role lacks a right; name the owner of the tables: EVAULT_DATABASE=URL",
    "42P01": "the index was rebuilt while this command ran; run the command again",
    "53": "the server has no room; free some, and run the command again",
    _LOCK_TIMEOUT: "another process holds a lock for a minute now; run the command again",
    "57": "the server is stopping or starting; run the command again",
}
"""By SQLSTATE, or its class."""


def sqlite_engine(path: Path) -> sa.Engine:
    """Connections to an SQLite file whose commits last, and whose writers wait for one another."""
    engine = sa.create_engine(
        sa.URL.create("sqlite", database=str(path)),
        connect_args={"timeout": 60, "isolation_level": None},
        # Writers wait for the one lock, each with its connection, which is but an open file: a
        # limit would keep out who only reads.
        pool_size=8,
        max_overflow=-1,
    )
    sa.event.listen(engine, "connect", _configure_sqlite)
    sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def postgres_engine(url: sa.URL, **options: Any) -> sa.Engine:
    """Connections to a PostgreSQL server whose commits last, and that wait for no one for ever."""
    engine = sa.create_engine(
        url,
        pool_size=8,
        max_overflow=56,
        connect_args={"connect_timeout": 10, "tcp_user_timeout": 30_000},
        **options,
    )
    sa.event.listen(engine, "connect", _configure_postgres)
    return engine


def parse_url(url: str) -> sa.URL:
    """A PostgreSQL URL. Raises `RefusedError` for any other."""
    try:
        parsed = sa.make_url(url)
    except ArgumentError:
        parsed = None
    if parsed is None or parsed.get_backend_name() not in ("postgresql", "postgres"):
        raise RefusedError(
            "a database is named like postgresql://user@host/name; what was given is no such URL"
        )
    return parsed.set(drivername="postgresql+psycopg")


def without_password(url: sa.URL) -> str:
    """A PostgreSQL URL as people name it, for messages."""
    return url.render_as_string(hide_password=True).replace("+psycopg", "")


def _newest(connection: sa.Connection) -> str | None:
    """The schema of the newest generation."""
    names = sa.inspect(connection).get_schema_names()
    return max((name for name in names if _GENERATION.match(name)), default=None)


def _version(connection: sa.Connection) -> str | None:
    """The version of the tables; None where there are none that Alembic made."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.execute(
        sa.text("SELECT version_num FROM alembic_version")
    ).scalar()
    return found


def _migrate(connection: sa.Connection, name: str, *, empty: bool) -> None:
    """Make the tables, or bring them up to the newest version, in this transaction."""
    found = None if empty else _version(connection)
    if found == HEAD:
        return
    # Imported only here: it is slow, and most commands find the tables as they should be.
    from alembic import command, config, script, util  # noqa: PLC0415

    with resources.as_file(resources.files("vault") / "migrations") as folder:
        settings = config.Config(attributes={"connection": connection})
        settings.set_main_option("script_location", str(folder).replace("%", "%%"))
        try:
            if not empty:
                script.ScriptDirectory.from_config(settings).get_revision(found or "")
        except util.CommandError as error:
            raise IndexDamagedError(
                f"the index {name} has version {found}, which this evault does not know; use a "
                "later evault, or run: evault log rebuild"
            ) from error
        command.upgrade(settings, "head")


def _watch(engine: sa.Engine, path: Path) -> None:
    """Use no connection to a file that is not at the path any more.

    Who rebuilds the index puts another file there. One process must not write to the old one, or
    read here and write there: what it was doing fails, and it goes on with the new one.
    """

    def identity() -> tuple[int, int] | None:
        try:
            status = path.stat()
        except FileNotFoundError:
            return None
        return status.st_dev, status.st_ino

    def remember(_connection: object, record: Any) -> None:
        record.info["file"] = identity()

    def compare(_connection: object, record: Any, _proxy: object) -> None:
        found = identity()
        if found is None:
            raise IndexDamagedError(f"the index {path} is gone; run: evault log rebuild")
        if record.info["file"] != found:
            raise UnavailableError(
                f"the index {path} was replaced while this command ran; run the command again"
            )

    sa.event.listen(engine, "connect", remember)
    sa.event.listen(engine, "checkout", compare)


def _configure_sqlite(connection: Any, _record: object) -> None:
    """Make commits last."""
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: sa.Connection) -> None:
    """Take the one write lock at once, unless a statement is to be a transaction of its own."""
    if not connection.get_execution_options().get("single"):
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _configure_postgres(connection: Any, _record: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT set_config('lock_timeout', '60s', false),"
            " set_config('idle_in_transaction_session_timeout', '30s', false),"
            " CASE WHEN current_setting('synchronous_commit') IN ('off', 'local')"
            " THEN set_config('synchronous_commit', 'on', false) END"
        )
    connection.commit()


def _flock(descriptor: int, kind: int, patience: float) -> bool:
    until = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= until:
                return False
        # Not all at once: who waits longest must not always be overtaken by who looks oftener.
        time.sleep(_POLL * (0.5 + random.random()))  # noqa: S311


def _advisory_lock(connection: sa.Connection, key: int, patience: float) -> bool:
    if connection.execute(sa.select(sa.func.pg_try_advisory_lock(key))).scalar():
        return True
    if patience <= 0:
        return False
    limit = sa.func.set_config("lock_timeout", f"{max(1, int(patience * 1000))}ms", sa.false())
    connection.execute(sa.select(limit))
    try:
        connection.execute(sa.select(sa.func.pg_advisory_lock(key)))
        return True
    except OperationalError as error:
        if getattr(error.orig, "sqlstate", None) != _LOCK_TIMEOUT:
            raise
        return False
    finally:
        with suppress(SQLAlchemyError):
            connection.execute(sa.select(sa.func.set_config("lock_timeout", "60s", sa.false())))


def first_line(error: object) -> str:
    """What a database says, without what follows it."""
    return (str(error).strip().splitlines() or ["no reason given"])[0]
