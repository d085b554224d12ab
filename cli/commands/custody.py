"""`evault custody`: the chain of custody of an incident, or of one exhibit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Optional

import typer

from cli.chains import chain_or_only, split_chain
from cli.options import AsJson
from cli.render import prose
from cli.session import Answer, UsageError, give, vault_of
from vault.custody import CustodyRow, custody_rows
from vault.documents import custody_json

_DAY_CHARACTERS = 11  # "2026-11-23T"
_WHEN = 20  # "2026-11-23 09:30:00Z"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("custody")(custody)


def custody(
    context: typer.Context,
    words: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Argument(
            metavar="[INCIDENT|STREAM] [EXHIBIT]",
            help="The incident may be left out while only one is open; an exhibit shows only "
            "its links.",
        ),
    ] = None,
    person: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--person", metavar="NAME", help="Only what this person did, tried to, or approved."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show who did what, link by link: declared, captured, read, exported, closed."""
    given, rest = split_chain(words or [])
    if len(rest) > 1:
        raise UsageError("expected [INCIDENT] [EXHIBIT]")
    with vault_of(context) as vault:
        name = chain_or_only(vault, given, as_json=as_json)
        chain = vault.incidents.read(name)
        rows = custody_rows(chain.manifests, chain.indices)
        if rest:
            vault.incidents.exhibits_named(chain, rest)
            rows = [row for row in rows if rest[0] in row.exhibits]
        known = list(dict.fromkeys(each for row in rows for each in row.people))
        if person is not None:
            rows = [row for row in rows if person in row.people]
        give(
            Answer(
                _lines(rows) if rows or person is None else _nothing_by(person, known, name),
                custody_json(name, rows),
            ),
            as_json=as_json,
        )


def _nothing_by(person: str, known: Sequence[str], where: str) -> list[str]:
    """That a person is not on a chain, and who is: the name may be written in another way."""
    told = f"; on it are {', '.join(known)}" if known else ""
    return prose("", f"Nothing on {where} is by {person}{told}")


def _lines(rows: Sequence[CustodyRow]) -> list[str]:
    """A line a link under its actor; the day and the actor only where they change."""
    lines: list[str] = []
    digits = max((len(str(row.sequence)) for row in rows), default=1)
    events = max((len(row.event) for row in rows), default=0)
    day = actor = ""
    for row in rows:
        if row.actor != actor:
            lines += prose("", row.actor)
        date, moment = row.recorded_at[:_DAY_CHARACTERS], row.recorded_at[_DAY_CHARACTERS:]
        when = f"{date[:-1]} {_seconds(moment)}" if date != day else _seconds(moment)
        head = f"{row.sequence:>{digits + 2}}  {when:>{_WHEN}}  {row.event:<{events}}  "
        lines += prose(head, row.detail)
        day, actor = date, row.actor
    return lines


def _seconds(moment: str) -> str:
    return f"{moment[:8]}Z"
