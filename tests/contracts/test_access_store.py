"""What every `AccessStore` must do. To add an adapter, add a backend to `BACKENDS`."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier

import pytest
import sqlalchemy as sa
from servers.postgres import SERVICE, PostgresServer

from vault.adapters.access import SqlAccessStore, access_file, access_tables
from vault.adapters.database import PostgresDatabase
from vault.errors import ConflictError, UnavailableError
from vault.ports import AccessStore, IdentityKind, Request, RequestState, Token

NOW = datetime(2026, 3, 2, 9, 0, 0, 123_000, tzinfo=UTC)
HOUR = timedelta(hours=1)
Connect = Callable[[], SqlAccessStore]
Backend = Callable[[pytest.FixtureRequest], tuple[Connect, Callable[[], None]]]

TOKEN = Token(
    id="0123456789ab",
    secret_sha256="ab" * 32,
    identity="ada@example.org",
    kind=IdentityKind.PERSON,
    chains=("INC-2026-0001", "stream:web"),
    name="her laptop — Ünïcode",
    created=NOW,
    expires=NOW + 24 * HOUR,
)
REQUEST = Request(
    id="01KB0000000000000000000000",
    kind="hold_release",
    chain="INC-2026-0001",
    parameters={"matter": "Doe v. Acme — Ünïcode", "exhibits": ["EV-0001"], "n": 1, "x": None},
    requester="ada@example.org",
    requester_authenticated="token",
    reason="settled",
    created=NOW,
    expires=NOW + 24 * HOUR,
)


def sqlite_file(request: pytest.FixtureRequest) -> tuple[Connect, Callable[[], None]]:
    path = request.getfixturevalue("tmp_path") / "access.sqlite"
    return lambda: access_file(path), lambda: None


def postgresql(request: pytest.FixtureRequest) -> tuple[Connect, Callable[[], None]]:
    """As the service's own role, which may do no more than it needs."""
    server = request.getfixturevalue("postgres_server")
    name = server.database()
    made = access_tables(server.url(name))
    made.grant(SERVICE)
    made.close()
    return lambda: access_tables(server.url(name, SERVICE)), lambda: server.drop(name)


BACKENDS: dict[str, Backend] = {"sqlite": sqlite_file, "postgresql": postgresql}


@pytest.fixture(params=BACKENDS)
def connect(request: pytest.FixtureRequest) -> Iterator[Connect]:
    open_store, remove = BACKENDS[request.param](request)
    opened = []

    def connect_once() -> SqlAccessStore:
        opened.append(open_store())
        return opened[-1]

    yield connect_once
    for each in opened:
        each.close()
    remove()


@pytest.fixture
def store(connect: Connect) -> AccessStore:
    return connect()


# -- tokens ----------------------------------------------------------------------------------------


def test_a_token_is_kept_as_it_is_for_every_process(connect: Connect) -> None:
    other = replace(TOKEN, id="zzzzzzzzzzzz", kind=IdentityKind.COLLECTOR, chains=(), name="",
                    revoked=NOW, last_used=NOW, created=NOW - HOUR)  # fmt: skip
    first = connect()
    first.add_token(TOKEN)
    first.add_token(other)
    second = connect()
    assert second.token(TOKEN.id) == TOKEN
    assert second.token(other.id) == other
    assert second.token("000000000000") is None
    assert second.tokens() == [other, TOKEN], "the oldest first"


def test_tokens_of_one_identity(store: AccessStore) -> None:
    store.add_token(TOKEN)
    store.add_token(replace(TOKEN, id="b" * 12, identity="Ada@example.org"))
    assert [each.id for each in store.tokens("ada@example.org")] == [TOKEN.id]


def test_an_id_is_taken_once(store: AccessStore) -> None:
    store.add_token(TOKEN)
    with pytest.raises(ConflictError):
        store.add_token(replace(TOKEN, identity="eve@example.org"))
    assert store.token(TOKEN.id) == TOKEN


def test_the_first_revocation_stands(store: AccessStore) -> None:
    store.add_token(TOKEN)
    assert store.revoke_token(TOKEN.id, NOW + HOUR)
    assert not store.revoke_token(TOKEN.id, NOW + 2 * HOUR)
    assert not store.revoke_token("0" * 12, NOW)
    found = store.token(TOKEN.id)
    assert found == replace(TOKEN, revoked=NOW + HOUR)


def test_an_end_is_only_ever_brought_forward(store: AccessStore) -> None:
    store.add_token(TOKEN)
    assert not store.shorten_token(TOKEN.id, TOKEN.expires)
    assert not store.shorten_token(TOKEN.id, TOKEN.expires + HOUR)
    assert store.shorten_token(TOKEN.id, NOW + HOUR)
    assert store.token(TOKEN.id) == replace(TOKEN, expires=NOW + HOUR)


def test_the_last_use_never_goes_back(store: AccessStore) -> None:
    store.add_token(TOKEN)
    for moment in (NOW + HOUR, NOW):
        store.use_token(TOKEN.id, moment)
    assert store.token(TOKEN.id) == replace(TOKEN, last_used=NOW + HOUR)


# -- requests --------------------------------------------------------------------------------------


def test_a_request_is_kept_as_it_is_for_every_process(connect: Connect) -> None:
    settled = replace(
        REQUEST,
        id="another",
        chain="stream:web",
        created=NOW - HOUR,
        state=RequestState.DONE,
        approver="grace@example.org",
        approver_authenticated="oidc",
        claimed=NOW,
        result={"sequence": 7},
    )
    first = connect()
    first.add_request(REQUEST)
    first.add_request(settled)
    second = connect()
    assert second.request(REQUEST.id) == REQUEST
    assert second.request("another") == settled
    assert second.request("none") is None
    assert second.requests() == [REQUEST, settled]
    assert second.requests("stream:web") == [settled]
    with pytest.raises(ConflictError):
        second.add_request(replace(REQUEST, reason="other"))


def test_a_change_is_made_by_who_knows_how_it_stands(store: AccessStore) -> None:
    store.add_request(REQUEST)
    approved = replace(
        REQUEST, state=RequestState.APPROVED, approver="grace", approver_authenticated="token",
        claimed=NOW,
    )  # fmt: skip
    assert store.change_request(REQUEST, approved)
    assert not store.change_request(REQUEST, replace(REQUEST, state=RequestState.REFUSED))
    stale = replace(approved, claimed=NOW + HOUR)
    assert not store.change_request(stale, replace(approved, state=RequestState.DONE))
    assert not store.change_request(replace(approved, claimed=None), approved)
    assert store.request(REQUEST.id) == approved
    free = replace(approved, claimed=None)
    assert store.change_request(approved, free)
    assert store.change_request(free, replace(free, claimed=NOW))
    assert not store.change_request(replace(REQUEST, id="none"), approved)


def test_a_change_alters_nothing_of_what_was_asked(store: AccessStore) -> None:
    store.add_request(REQUEST)
    forged = replace(
        REQUEST, parameters={"matter": "another"}, requester="eve", chain="INC-2026-0002",
        reason="none", expires=NOW + 99 * HOUR, kind="waiver", state=RequestState.REFUSED,
    )  # fmt: skip
    assert store.change_request(REQUEST, forged)
    assert store.request(REQUEST.id) == replace(REQUEST, state=RequestState.REFUSED)


def test_of_many_at_once_one_claims(connect: Connect) -> None:
    stores = [connect() for _ in range(4)]
    stores[0].add_request(REQUEST)
    barrier = Barrier(len(stores))

    def claim(number: int) -> bool:
        barrier.wait()
        claimed = replace(REQUEST, state=RequestState.APPROVED, approver=f"p{number}", claimed=NOW)
        return stores[number].change_request(REQUEST, claimed)

    with ThreadPoolExecutor(len(stores)) as pool:
        won = list(pool.map(claim, range(len(stores))))
    assert won.count(True) == 1
    found = stores[0].request(REQUEST.id)
    assert found is not None
    assert found.approver == f"p{won.index(True)}"


def test_many_open_it_at_once_for_the_first_time(
    tmp_path: Path, postgres_server: PostgresServer
) -> None:
    name = postgres_server.database()
    url = postgres_server.url(name)
    makers: list[Connect] = [lambda: access_file(tmp_path / "a"), lambda: access_tables(url)]
    for make in makers:
        with ThreadPoolExecutor(4) as pool:
            stores = [each.result() for each in [pool.submit(make) for _ in range(4)]]
        stores[0].add_token(TOKEN)
        assert all(each.token(TOKEN.id) == TOKEN for each in stores)
        for each in stores:
            each.close()
    postgres_server.drop(name)


# -- what each adds --------------------------------------------------------------------------------


def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    access_file(tmp_path / "access.sqlite").close()
    assert stat.S_IMODE((tmp_path / "access.sqlite").stat().st_mode) == 0o600


@pytest.mark.parametrize("damage", ["no database at all, in so many words" * 30, "later"])
def test_a_file_that_is_none_of_ours_is_refused_and_left_alone(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "access.sqlite"
    if damage == "later":
        access_file(path).close()
        engine = sa.create_engine(f"sqlite:///{path}")
        with engine.begin() as connection:
            connection.execute(sa.text("UPDATE access_version SET version = 2"))
        engine.dispose()
    else:
        path.write_text(damage)
    before = path.read_bytes()
    with pytest.raises(UnavailableError, match=r"access\.sqlite"):
        access_file(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM evault_access.access_token",
        "DELETE FROM evault_access.access_request",
        "UPDATE evault_access.access_token SET identity = 'eve'",
        "UPDATE evault_access.access_token SET secret_sha256 = ''",
        "UPDATE evault_access.access_token SET chains = ''",
        "UPDATE evault_access.access_request SET requester = 'eve'",
        "UPDATE evault_access.access_request SET parameters = '{}'",
        "UPDATE evault_access.access_request SET expires = 0",
        "UPDATE evault_access.access_version SET version = 9",
        "DROP TABLE evault_access.access_token",
    ],
)
def test_the_service_may_neither_remove_nor_alter_whom_a_token_is_for(
    postgres_server: PostgresServer, statement: str
) -> None:
    name = postgres_server.database()
    made = access_tables(postgres_server.url(name))
    made.grant(SERVICE)
    made.close()
    url = sa.make_url(postgres_server.url(name, SERVICE)).set(drivername="postgresql+psycopg")
    engine = sa.create_engine(url)
    refusal = pytest.raises(sa.exc.ProgrammingError, match=r"permission denied|must be owner")
    with refusal, engine.begin() as connection:
        connection.exec_driver_sql(statement)
    engine.dispose()
    postgres_server.drop(name)


def test_a_role_that_may_make_no_tables_is_told_who_may(postgres_server: PostgresServer) -> None:
    name = postgres_server.database()
    with pytest.raises(UnavailableError, match="EVAULT_DATABASE"):
        access_tables(postgres_server.url(name, SERVICE))
    postgres_server.drop(name)


def test_a_rebuilt_index_leaves_the_access_tables_alone(postgres_server: PostgresServer) -> None:
    name = postgres_server.database()
    url = postgres_server.url(name)
    PostgresDatabase(url, create=True).close()
    store = access_tables(url)
    store.add_token(TOKEN)
    for _ in range(2):
        fresh = PostgresDatabase(url, fresh=True)
        fresh.install()
        fresh.close()
    assert store.token(TOKEN.id) == TOKEN
    PostgresDatabase(url).close()
    store.close()
    postgres_server.drop(name)


def test_a_database_that_fails_says_nothing_private(tmp_path: Path) -> None:
    store = access_file(tmp_path / "access.sqlite")
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'access.sqlite'}")
    with engine.begin() as connection:
        connection.execute(sa.text("DROP TABLE access_token"))
    engine.dispose()
    with pytest.raises(UnavailableError) as caught:
        store.add_token(TOKEN)
    assert TOKEN.secret_sha256 not in str(caught.value)
    assert caught.value.__cause__ is None
    store.close()
