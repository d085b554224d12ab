"""`evault custody`: the chain of custody of an incident, or of one exhibit."""

from __future__ import annotations

from typing import Annotated, Optional

import typer

from cli.options import AsJson
from cli.render import columns
from cli.session import Answer, UsageError, chain_or_only, give, split_chain, vault_of
from vault.custody import CustodyRow, custody_rows
from vault.documents import custody_json

_DAY_CHARACTERS = 11  # "2026-11-23T"


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
        give(
            Answer(
                columns(_lines(rows)),
                custody_json(name, rows),
            ),
            as_json=as_json,
        )


def _lines(rows: list[CustodyRow]) -> list[tuple[str, str, str, str, str]]:
    """The day where it changes, the actor in full where it changes."""
    lines = []
    day = actor = ""
    for row in rows:
        date, moment = row.recorded_at[:_DAY_CHARACTERS], row.recorded_at[_DAY_CHARACTERS:]
        when = f"{date[:-1]} {_seconds(moment)}" if date != day else _seconds(moment)
        who = row.actor if row.actor != actor else row.actor.split("@")[0]
        lines.append((str(row.sequence), when.rjust(20), row.event, row.detail, who))
        day, actor = date, row.actor
    return lines


def _seconds(moment: str) -> str:
    return f"{moment[:8]}Z"
