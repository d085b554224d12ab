"""What the two databases add to the index: who may do what, migrations, being cut off, replaced."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from contracts.test_index_contract import A, append, manifest, publication, stored
from servers.postgres import OWNER, SERVICE, PostgresServer

from vault.adapters.database import HEAD, PostgresDatabase, SqliteDatabase, parse_url
from vault.adapters.sql import SqlIndex
from vault.adapters.statements import LOG_STATE
from vault.adapters.tables import metadata
from vault.errors import IndexDamagedError, RefusedError, UnavailableError
from vault.ports import Claim


@pytest.fixture
def name(postgres_server: PostgresServer) -> Iterator[str]:
    """A database with an index, which the service may use and the owner owns."""
    made = postgres_server.database()
    database = PostgresDatabase(postgres_server.url(made), create=True)
    database.grant(SERVICE)
    database.close()
    yield made
    postgres_server.drop(made)


Open = Callable[..., PostgresDatabase]


@pytest.fixture
def open_as(postgres_server: PostgresServer, name: str) -> Iterator[Open]:
    opened = []

    def connect(user: str = SERVICE, **more: bool) -> PostgresDatabase:
        opened.append(PostgresDatabase(postgres_server.url(name, user), **more))
        return opened[-1]

    yield connect
    for each in opened:
        each.close()


def execute(database: PostgresDatabase, *statements: str) -> None:
    """Run statements in one transaction, past the index."""
    with database.write() as connection:
        for each in statements:
            connection.exec_driver_sql(each)


# Rights


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE log_entry SET log_index = log_index + 1",
        "DELETE FROM log_entry",
        "TRUNCATE log_entry",
        "UPDATE publication SET note = ''",
        "DELETE FROM publication",
        "UPDATE subtree SET root = ''",
        "DELETE FROM subtree",
        "UPDATE manifest SET envelope = ''",
        "UPDATE manifest SET leaf = ''",
        "UPDATE manifest SET leaf_hash = ''",
        "UPDATE manifest SET sequence = 9",
        "DELETE FROM tree",
        "INSERT INTO tree VALUES (2, 0, '', 0)",
        "UPDATE alembic_version SET version_num = 'x'",
        "DROP TABLE log_entry",
        "ALTER TABLE log_entry DROP CONSTRAINT log_entry_manifest",
        "CREATE TABLE mine ()",
    ],
)
def test_the_service_may_neither_alter_nor_remove_the_log(open_as: Open, statement: str) -> None:
    service = open_as()
    index = SqlIndex(service)
    stored(index, A, "one")
    index.assign()
    index.add_publication(publication(1, 1))
    with pytest.raises(UnavailableError, match=r"permission denied|must be owner"):
        execute(service, f"SET LOCAL search_path TO {service.schema}", statement)
    assert index.leaf_hashes(0, 9) == [manifest(A, 0, "one").leaf_hash]


def test_the_service_may_remove_no_manifest_that_was_logged(open_as: Open) -> None:
    service = open_as()
    index = SqlIndex(service)
    stored(index, A, "logged")
    index.assign()
    append(index, A, "pending")
    delete = f"DELETE FROM {service.schema}.manifest WHERE deposit = "
    with pytest.raises(IndexDamagedError, match="log_entry_manifest"):
        execute(service, f"{delete}'logged'")
    execute(service, f"{delete}'pending'")
    assert [row.deposit for row in index.rows(A)] == ["logged"]


# Migrations


def test_the_migrations_make_the_tables_that_the_program_knows(
    tmp_path: Path, open_as: Open
) -> None:
    owner = open_as(OWNER)
    for database in (SqliteDatabase(tmp_path / "index.sqlite", create=True), owner):
        with database.write() as connection:
            if database is owner:
                connection.exec_driver_sql(f"SET LOCAL search_path TO {owner.schema}")
            context = MigrationContext.configure(connection, opts={"compare_type": True})
            # The schema is in the search path, not in the metadata.
            assert compare_metadata(context, metadata) == []
            assert context.get_current_revision() == HEAD
        if database is not owner:
            database.close()


def test_a_later_version_of_the_tables_is_not_touched(tmp_path: Path, open_as: Open) -> None:
    owner, path = open_as(OWNER), tmp_path / "index.sqlite"
    SqliteDatabase(path, create=True).close()
    for database, table in (
        (SqliteDatabase(path), "alembic_version"),
        (owner, f"{owner.schema}.alembic_version"),
    ):
        with database.write() as connection:
            connection.exec_driver_sql(f"UPDATE {table} SET version_num = '9999'")
        database.close()
    for again in (lambda: SqliteDatabase(path), open_as):
        with pytest.raises(
            IndexDamagedError, match="version 9999, which this evault does not know"
        ):
            again()


def test_what_is_no_index_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite"
    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE accounts (name TEXT)")
    engine.dispose()
    before = path.read_bytes()
    for create in (False, True):
        with pytest.raises(IndexDamagedError, match="is no index of a vault"):
            SqliteDatabase(path, create=create)
    assert path.read_bytes()[100:] == before[100:]


# Cut off, replaced, absent


def test_a_cut_connection_is_one_clear_error_and_then_all_is_well(
    open_as: Open, postgres_server: PostgresServer, name: str
) -> None:
    index = SqlIndex(open_as())
    append(index, A, "one")
    cut = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
    postgres_server.execute("postgres", cut)
    with pytest.raises(UnavailableError, match=r"run it again|run the command again"):
        append(index, A, "two")
    append(index, A, "two")
    assert [row.deposit for row in index.rows(A)] == ["one", "two"]


def test_the_end_of_a_session_ends_its_being_alone(
    open_as: Open, postgres_server: PostgresServer, name: str
) -> None:
    one, other = SqlIndex(open_as()), SqlIndex(open_as())
    cut = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
    with pytest.raises(UnavailableError), one.alone("log", patience=0):
        postgres_server.execute("postgres", cut)
    # `other` lost its session too, and is told so once.
    for _ in range(2):
        try:
            with other.alone("log", patience=5) as alone:
                assert alone
                break
        except UnavailableError:
            continue
    else:
        raise AssertionError("the lock outlived its session")


def test_who_has_the_old_index_open_is_told_that_it_was_replaced(open_as: Open) -> None:
    index = SqlIndex(open_as())
    for turn in range(8):  # often enough that the statements are prepared
        append(index, A, f"{turn}")
    fresh = open_as(OWNER, fresh=True)
    SqlIndex(fresh).adopt(A, [manifest(A, 0, "kept")])
    assert fresh.install() == "evault_000001_old"
    fresh.grant(SERVICE)
    for attempt in (
        lambda: append(index, A, "late"),
        lambda: index.head(A),
        index.assign,
        index.log_state,
    ):
        with pytest.raises(UnavailableError, match="was rebuilt while this command ran"):
            attempt()
    again = SqlIndex(open_as())
    assert [row.deposit for row in again.rows(A)] == ["kept"]
    append(again, A, "next")


def test_a_half_made_rebuild_is_no_obstacle(open_as: Open) -> None:
    open_as(OWNER, fresh=True)
    assert open_as(OWNER, fresh=True).install() == "evault_000001_old"
    assert open_as(OWNER, fresh=True).install() == "evault_000002_old"
    assert open_as(OWNER).schema == "evault_000003"


def test_commits_are_synchronous_whatever_the_default(
    open_as: Open, postgres_server: PostgresServer, name: str
) -> None:
    postgres_server.execute(name, f"ALTER DATABASE {name} SET synchronous_commit = off")
    with open_as().read() as connection:
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"
        # Who hangs within a transaction holds a chain up no longer than this.
        assert connection.exec_driver_sql("SHOW lock_timeout").scalar() == "1min"
        limit = connection.exec_driver_sql("SHOW idle_in_transaction_session_timeout").scalar()
        assert limit == "30s"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://evault_owner@127.0.0.1:1/none?connect_timeout=1", "refused"),
        ("postgresql://evault_owner@{socket}", 'database "absent" does not exist'),
        ("postgresql://nobody_here@{socket}", 'role "nobody_here" does not exist'),
    ],
)
def test_a_database_that_cannot_be_used_says_why(
    postgres_server: PostgresServer, url: str, said: str
) -> None:
    socket = f"/absent?host={postgres_server.folder}"
    with pytest.raises(UnavailableError, match=f"{said}.*is the server up"):
        PostgresDatabase(url.replace("{socket}", socket))


@pytest.mark.parametrize(
    "url", ["", "index.sqlite", "mysql://host/name", "postgresql//x", "sqlite://"]
)
def test_what_is_no_postgresql_url_is_refused(url: str) -> None:
    with pytest.raises(RefusedError, match="postgresql://user@host/name"):
        parse_url(url)


def test_a_database_without_an_index_says_how_to_make_one(postgres_server: PostgresServer) -> None:
    name = postgres_server.database()
    with pytest.raises(IndexDamagedError, match="evault log rebuild"):
        PostgresDatabase(postgres_server.url(name))
    postgres_server.drop(name)


def test_no_password_is_shown(postgres_server: PostgresServer) -> None:
    url = postgres_server.url("absent").replace(f"{OWNER}@", f"{OWNER}:geheim@")
    with pytest.raises(UnavailableError) as refused:
        PostgresDatabase(url)
    assert "geheim" not in str(refused.value)


def test_an_index_of_before_learns_where_each_artifact_is_claimed(
    tmp_path: Path, open_as: Open
) -> None:
    """Version 0001 had no table of artifacts; its service still may add to the new one."""
    items = [
        {"exhibit": "EV-0001", "sha256": "ab" * 32},
        {"exhibit": "EV-0002", "sha256": "cd" * 32},
    ]
    statement = json.dumps({"predicate": {"body": {"items": items}}}).encode()
    envelope = json.dumps({"payload": base64.b64encode(statement).decode()}).encode()
    old = replace(manifest(A, 0), type="capture", envelope=envelope)
    owner, path = open_as(OWNER), tmp_path / "index.sqlite"
    for database, schema in (
        (SqliteDatabase(path, create=True), ""),
        (owner, f"{owner.schema}."),
    ):
        SqlIndex(database).append(A, [old.deposit], lambda _: [old])
        with database.write() as connection:
            connection.exec_driver_sql(f"DROP TABLE {schema}artifact")
            connection.exec_driver_sql(f"UPDATE {schema}alembic_version SET version_num = '0001'")
        database.close()
    for again in (lambda: SqliteDatabase(path), lambda: open_as(OWNER)):
        index = SqlIndex(again())
        assert index.claims("ab" * 32) == [Claim(A, 0, "EV-0001")]
        assert index.claims("cd" * 32) == [Claim(A, 0, "EV-0002")]
        index.close()
    service = SqlIndex(open_as(SERVICE))
    more = manifest(A, 1, items=[("EV-0003", "ab" * 32)])
    service.append(A, [more.deposit], lambda _: [more])
    assert service.claims("ab" * 32)[-1] == Claim(A, 1, "EV-0003")


def test_many_who_wait_keep_out_none_who_reads(tmp_path: Path) -> None:
    """As in a server with as many requests at work as it takes."""
    database = SqliteDatabase(tmp_path / "index.sqlite", create=True)
    with ExitStack() as stack:
        for _ in range(100):
            connection = stack.enter_context(database.read())
            assert connection.execute(sa.select(sa.literal(1))).scalar() == 1
    database.close()


def test_how_far_the_log_is_is_found_without_reading_all_checkpoints(tmp_path: Path) -> None:
    """It is asked several times for each capture; of checkpoints there is one a capture."""
    database = SqliteDatabase(tmp_path / "index.sqlite", create=True)
    try:
        with database.read() as connection:
            text = LOG_STATE._for(connection).text
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}").all()
    finally:
        database.close()
    scanned = [each.detail for each in plan if "SCAN" in each.detail]
    assert scanned == ["SCAN tree"]
