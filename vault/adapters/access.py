"""Tokens and pending requests in a database: a file of the home, or tables beside the index.

They are no index: nothing can make them anew from the record. So they lie apart from it, in
`access.sqlite` or in a schema of their own, which no rebuild touches. Moments are milliseconds
since 1970, UTC.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError

from vault.adapters.database import (
    first_line,
    parse_url,
    postgres_engine,
    sqlite_engine,
    without_password,
)
from vault.adapters.prepared import Prepared
from vault.errors import ConflictError, UnavailableError
from vault.ports import IdentityKind, Request, RequestState, Token
from verify import strictjson

SCHEMA = "evault_access"
"""In PostgreSQL: beside the numbered schemas of the index."""
VERSION = 1

_metadata = sa.MetaData()

_version = sa.Table("access_version", _metadata, sa.Column("version", sa.Integer, primary_key=True))

_token = sa.Table(
    "access_token",
    _metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("secret_sha256", sa.String(64), nullable=False),
    sa.Column("identity", sa.String(512), nullable=False, index=True),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("chains", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("created", sa.BigInteger, nullable=False),
    sa.Column("expires", sa.BigInteger, nullable=False),
    sa.Column("revoked", sa.BigInteger, nullable=True),
    sa.Column("last_used", sa.BigInteger, nullable=True),
)

_request = sa.Table(
    "access_request",
    _metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("kind", sa.String(64), nullable=False),
    sa.Column("chain", sa.String(80), nullable=False, index=True),
    sa.Column("parameters", sa.Text, nullable=False),
    sa.Column("requester", sa.String(512), nullable=False),
    sa.Column("requester_authenticated", sa.String(64), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("created", sa.BigInteger, nullable=False),
    sa.Column("expires", sa.BigInteger, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("approver", sa.String(512), nullable=True),
    sa.Column("approver_authenticated", sa.String(64), nullable=True),
    sa.Column("claimed", sa.BigInteger, nullable=True),
    sa.Column("result", sa.Text, nullable=True),
)

_TOKEN = Prepared(sa.select(_token).where(_token.c.id == sa.bindparam("named")))
"""What every request asks."""

GRANTS = (
    "GRANT USAGE ON SCHEMA {schema} TO {role}",
    "GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {role}",
    "GRANT INSERT ON {schema}.access_token, {schema}.access_request TO {role}",
    "GRANT UPDATE (expires, revoked, last_used) ON {schema}.access_token TO {role}",
    "GRANT UPDATE (state, approver, approver_authenticated, claimed, result)"
    " ON {schema}.access_request TO {role}",
)
"""What the service's own role may do, where the tables belong to another: it removes nothing, and
alters neither whom a token authenticates nor what was asked for."""


class SqlAccessStore:
    """An `AccessStore` in SQLite or PostgreSQL."""

    def __init__(self, engine: sa.Engine, *, name: str, schema: str | None = None) -> None:
        """Use the tables there, and make them where there are none. Raises `UnavailableError`."""
        self.name = name
        self._schema = schema
        mapped: dict[str, Any] = {"schema_translate_map": {None: schema}}
        self._engine = engine.execution_options(**mapped)
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise

    def add_token(self, token: Token) -> None:
        """Keep a new token. Raises `ConflictError`."""
        self._add(_token, _token_row(token), f"there is a token {token.id} already")

    def token(self, token_id: str) -> Token | None:
        """One token."""
        with self._read() as connection:
            row = _TOKEN.first(connection, named=token_id)
        return _token_of(row) if row else None

    def tokens(self, identity: str | None = None) -> list[Token]:
        """All tokens, or one identity's, the oldest first."""
        query = sa.select(_token).order_by(_token.c.created, _token.c.id)
        if identity is not None:
            query = query.where(_token.c.identity == identity)
        with self._read() as connection:
            return [_token_of(row) for row in connection.execute(query)]

    def revoke_token(self, token_id: str, at: datetime) -> bool:
        """Note that a token is valid no more."""
        return self._change(
            sa.update(_token)
            .where(_token.c.id == token_id, _token.c.revoked.is_(None))
            .values(revoked=_milliseconds(at))
        )

    def shorten_token(self, token_id: str, expires: datetime) -> bool:
        """Have a token expire sooner."""
        moment = _milliseconds(expires)
        return self._change(
            sa.update(_token)
            .where(_token.c.id == token_id, _token.c.expires > moment)
            .values(expires=moment)
        )

    def use_token(self, token_id: str, minute: datetime) -> None:
        """Note when a token was used last."""
        moment = _milliseconds(minute)
        earlier = sa.or_(_token.c.last_used.is_(None), _token.c.last_used < moment)
        self._change(
            sa.update(_token).where(_token.c.id == token_id, earlier).values(last_used=moment)
        )

    def add_request(self, request: Request) -> None:
        """Keep a new request. Raises `ConflictError`."""
        self._add(_request, _request_row(request), f"there is a request {request.id} already")

    def request(self, request_id: str) -> Request | None:
        """One request."""
        with self._read() as connection:
            row = connection.execute(sa.select(_request).where(_request.c.id == request_id)).first()
        return _request_of(row) if row else None

    def requests(
        self, chain: str | None = None, *, after: str = "", limit: int | None = None
    ) -> list[Request]:
        """All requests, or those about one chain, the oldest first: by their ids."""
        query = sa.select(_request).where(_request.c.id > after).order_by(_request.c.id)
        query = query.limit(limit)
        if chain is not None:
            query = query.where(_request.c.chain == chain)
        with self._read() as connection:
            return [_request_of(row) for row in connection.execute(query)]

    def asked_since(self, requester: str, request_id: str) -> int:
        """How many requests of one person have this id or a later one."""
        query = sa.select(sa.func.count()).where(
            _request.c.id >= request_id, _request.c.requester == requester
        )
        with self._read() as connection:
            return int(connection.execute(query).scalar_one())

    def change_request(self, known: Request, changed: Request) -> bool:
        """Compare-and-swap on state and claim."""
        row = _request_row(changed)
        changing = ("state", "approver", "approver_authenticated", "claimed", "result")
        claimed = None if known.claimed is None else _milliseconds(known.claimed)
        return self._change(
            sa.update(_request)
            .where(
                _request.c.id == known.id,
                _request.c.state == known.state.value,
                _request.c.claimed.is_not_distinct_from(claimed),
            )
            .values({name: row[name] for name in changing})
        )

    def grant(self, role: str) -> None:
        """Let a role use the tables, and no more than it needs (`GRANTS`); PostgreSQL only."""
        quoted = self._engine.dialect.identifier_preparer.quote(role)
        with self._write() as connection:
            for each in GRANTS:
                connection.execute(sa.text(each.format(schema=self._schema, role=quoted)))

    def close(self) -> None:
        """Let go of all connections."""
        self._engine.dispose()

    def _prepare(self) -> None:
        with self._read() as connection:
            there = sa.inspect(connection).has_table(_version.name, schema=self._schema)
        if not there:
            with self._write() as connection:
                self._make(connection)
        with self._read() as connection:
            found = connection.execute(sa.select(sa.func.max(_version.c.version))).scalar()
        if found != VERSION:
            raise UnavailableError(
                f"{self.name} has version {found} of its tables, which this evault does not know; "
                "use a later evault"
            )

    def _make(self, connection: sa.Connection) -> None:
        """Make the tables, unless another process just did."""
        if self._schema:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MAKING)))
            connection.execute(sa.text(f"CREATE SCHEMA IF NOT EXISTS {self._schema}"))
        _metadata.create_all(connection)
        if connection.execute(sa.select(_version.c.version)).first() is None:
            connection.execute(sa.insert(_version).values(version=VERSION))

    def _add(self, table: sa.Table, row: dict[str, Any], taken: str) -> None:
        try:
            with self._write() as connection:
                connection.execute(sa.insert(table).values(row))
        except _TakenError as error:
            raise ConflictError(taken) from error

    def _change(self, statement: sa.Update) -> bool:
        with self._write() as connection:
            return connection.execute(statement).rowcount == 1

    @contextmanager
    def _read(self) -> Iterator[sa.Connection]:
        with (
            self._readable_errors(),
            self._engine.connect().execution_options(single=True) as connection,
        ):
            yield connection

    @contextmanager
    def _write(self) -> Iterator[sa.Connection]:
        with self._readable_errors(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def _readable_errors(self) -> Iterator[None]:
        try:
            yield
        except IntegrityError as error:
            raise _TakenError from error
        except SQLAlchemyError as error:
            # Not the statement: its parameters have what is private.
            text = first_line(error.orig if isinstance(error, DBAPIError) else error)
            state = getattr(getattr(error, "orig", None), "sqlstate", None)
            remedy = _REMEDIES.get(state or "", "mend that, and run it again")
            raise UnavailableError(f"{self.name} cannot be used: {text}; {remedy}") from None


class _TakenError(Exception):
    """A row with this key is there."""


_MAKING = 0x6576_6163_6373
"""The advisory lock under which the tables are made."""

_REMEDIES = {
    "42501": "the role lacks a right; once, run evault token list as the owner of the tables: "
    "EVAULT_DATABASE=URL",
}
"""By SQLSTATE."""


def access_file(path: Path) -> SqlAccessStore:
    """The access database in a file, made where there is none. Raises `UnavailableError`."""
    try:
        # Before SQLite makes it: hashes and requests are for nobody but the owner.
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise UnavailableError(
            f"{path} cannot be used: {error.strerror}; make it readable and writable for you"
        ) from error
    return SqlAccessStore(sqlite_engine(path), name=f"the access database {path}")


def access_tables(url: str) -> SqlAccessStore:
    """The access tables in a vault's PostgreSQL database. Raises `UnavailableError`."""
    parsed = parse_url(url)
    name = without_password(parsed)
    try:
        engine = postgres_engine(parsed, isolation_level="READ COMMITTED")
    except ModuleNotFoundError as error:
        raise UnavailableError(
            f"tables in PostgreSQL need {error.name}; run: pip install 'evidence-vault[postgresql]'"
        ) from error
    return SqlAccessStore(engine, name=f"the access tables in {name}", schema=SCHEMA)


def _token_row(token: Token) -> dict[str, Any]:
    return {
        "id": token.id,
        "secret_sha256": token.secret_sha256,
        "identity": token.identity,
        "kind": token.kind.value,
        "chains": " ".join(token.chains),
        "name": token.name,
        "created": _milliseconds(token.created),
        "expires": _milliseconds(token.expires),
        "revoked": _milliseconds_or_none(token.revoked),
        "last_used": _milliseconds_or_none(token.last_used),
    }


def _token_of(row: Any) -> Token:
    return Token(
        id=row.id,
        secret_sha256=row.secret_sha256,
        identity=row.identity,
        kind=IdentityKind(row.kind),
        chains=tuple(row.chains.split()),
        name=row.name,
        created=_moment(row.created),
        expires=_moment(row.expires),
        revoked=_moment_or_none(row.revoked),
        last_used=_moment_or_none(row.last_used),
    )


def _request_row(request: Request) -> dict[str, Any]:
    result = request.result
    return {
        "id": request.id,
        "kind": request.kind,
        "chain": request.chain,
        "parameters": strictjson.dumps(request.parameters).decode(),
        "requester": request.requester,
        "requester_authenticated": request.requester_authenticated,
        "reason": request.reason,
        "created": _milliseconds(request.created),
        "expires": _milliseconds(request.expires),
        "state": request.state.value,
        "approver": request.approver,
        "approver_authenticated": request.approver_authenticated,
        "claimed": _milliseconds_or_none(request.claimed),
        "result": None if result is None else strictjson.dumps(result).decode(),
    }


def _request_of(row: Any) -> Request:
    where = f"request {row.id}"
    return Request(
        id=row.id,
        kind=row.kind,
        chain=row.chain,
        parameters=strictjson.loads(row.parameters.encode(), where=where),
        requester=row.requester,
        requester_authenticated=row.requester_authenticated,
        reason=row.reason,
        created=_moment(row.created),
        expires=_moment(row.expires),
        state=RequestState(row.state),
        approver=row.approver,
        approver_authenticated=row.approver_authenticated,
        claimed=_moment_or_none(row.claimed),
        result=None if row.result is None else strictjson.loads(row.result.encode(), where=where),
    )


def _epoch() -> datetime:
    return datetime.fromtimestamp(0, UTC)


def _milliseconds(moment: datetime) -> int:
    return (moment - _epoch()) // timedelta(milliseconds=1)


def _milliseconds_or_none(moment: datetime | None) -> int | None:
    return None if moment is None else _milliseconds(moment)


def _moment(milliseconds: int) -> datetime:
    return _epoch() + timedelta(milliseconds=milliseconds)


def _moment_or_none(milliseconds: int | None) -> datetime | None:
    return None if milliseconds is None else _moment(milliseconds)
