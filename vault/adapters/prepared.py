"""Statements that are compiled once, and run on the driver's own cursor.

SQLAlchemy Core takes some ten times as long over a statement as SQLite or PostgreSQL does: building
it, finding its text, wrapping what comes back. What every capture and every request asks is
prepared. Pool, transactions, dialects and errors stay SQLAlchemy's.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

Executable = sa.sql.expression.ClauseElement


@dataclass(slots=True)
class _Compiled:
    """A statement's text for one dialect and schema, and its values that are always the same."""

    text: str
    order: Sequence[str] | None
    """The names of its values in order, where the driver takes them so; None: by name."""
    values: Mapping[str, Any]
    row: Any = None
    """The type of its rows, known once it ran."""


class Prepared:
    """A statement whose values are named by `bindparam`; one connection at a time runs it.

    Values and columns are as the driver has them: SQLite's booleans are numbers. Raises what
    SQLAlchemy raises.
    """

    def __init__(
        self, statement: Executable | Callable[[str], Executable], *, columns: Sequence[str] = ()
    ) -> None:
        """A statement, or one for each dialect's name.

        `columns` are those that an insert or an update sets, each to the value of its name.
        """
        self._statement = statement
        self._columns = list(columns) or None
        self._compiled: dict[tuple[str, str | None], _Compiled] = {}

    def rows(self, connection: sa.Connection, **values: Any) -> list[Any]:
        """All rows, as named tuples."""
        made = self._for(connection)
        with _cursor(connection, made) as cursor:
            cursor.execute(made.text, _arguments(made, values))
            found = cursor.fetchall()
            if made.row is None:
                names = [each[0] for each in cursor.description]
                made.row = namedtuple("row", names, rename=True)  # type: ignore[misc]
            return [made.row._make(each) for each in found]

    def first(self, connection: sa.Connection, **values: Any) -> Any | None:
        """The first row, None if there is none."""
        return next(iter(self.rows(connection, **values)), None)

    def change(self, connection: sa.Connection, **values: Any) -> int:
        """Change rows; gives how many."""
        made = self._for(connection)
        with _cursor(connection, made) as cursor:
            cursor.execute(made.text, _arguments(made, values))
            return int(cursor.rowcount)

    def change_each(self, connection: sa.Connection, many: Sequence[Mapping[str, Any]]) -> None:
        """Change rows by each of several sets of values, in order."""
        if len(many) == 1:
            self.change(connection, **many[0])
        elif many:
            made = self._for(connection)
            with _cursor(connection, made) as cursor:
                cursor.executemany(made.text, [_arguments(made, each) for each in many])

    def _for(self, connection: sa.Connection) -> _Compiled:
        mapped = connection.get_execution_options().get("schema_translate_map")
        key = connection.dialect.name, mapped.get(None) if mapped else None
        made = self._compiled.get(key)
        if made is None:
            text = self._statement
            compiled: Any = (text(key[0]) if callable(text) else text).compile(
                dialect=connection.dialect,
                column_keys=self._columns,
                schema_translate_map=mapped,
                render_schema_translate=bool(mapped),
            )
            order = tuple(compiled.positiontup) if compiled.positional else None
            made = self._compiled[key] = _Compiled(str(compiled), order, dict(compiled.params))
        return made


def _arguments(made: _Compiled, values: Mapping[str, Any]) -> Any:
    every = {**made.values, **values}
    return every if made.order is None else [every[name] for name in made.order]


@contextmanager
def _cursor(connection: sa.Connection, made: _Compiled) -> Iterator[Any]:
    """A cursor of the driver's. What it raises is raised as SQLAlchemy's; what is lost, let go."""
    dbapi = connection.dialect.loaded_dbapi
    with closing(connection.connection.cursor()) as cursor:
        try:
            yield cursor
        except dbapi.Error as error:
            lost = connection.dialect.is_disconnect(error, connection.connection, cursor)
            if lost:
                connection.invalidate(error)
            raise DBAPIError.instance(
                made.text,
                None,
                error,
                dbapi.Error,
                connection_invalidated=lost,
                dialect=connection.dialect,
            ) from error
