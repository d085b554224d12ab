"""`evault ingest`: seal files and folders as evidence."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Optional

import typer

from cli.options import AsJson
from cli.sealing import Wanted, answer_of, check_open, seal
from cli.session import (
    UsageError,
    give,
    incident_or_only,
    settings_of,
    split_incident,
    vault_of,
)
from ingest.source import Found, Source, SourceUnreadableError
from ingest.sources.files import FileSource
from ingest.sources.joined import JoinedSource
from ingest.sources.stream import StreamSource
from verify.statement import Kind, check_kind

STDIN = "-"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("ingest")(ingest)


def ingest(
    context: typer.Context,
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="[INCIDENT] PATH...",
            help="Files and folders; - is standard input. The incident may be left out while "
            "only one is open.",
        ),
    ],
    kind: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(
            "--kind",
            metavar="KIND",
            help="What it is evidence of, if the content does not say; repeatable: "
            f"{', '.join(Kind)}.",
        ),
    ] = None,
    source: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--source", metavar="NAME", help="Where it came from."),
    ] = None,
    method: Annotated[
        str, typer.Option("--method", metavar="TEXT", help="How it was obtained.")
    ] = "files read by evault",
    system: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--system", metavar="NAME", help="The affected system it speaks of."),
    ] = None,
    name: Annotated[
        str, typer.Option("--name", metavar="NAME", help="What standard input is called.")
    ] = "standard input",
    again: Annotated[
        bool, typer.Option("--again", help="Seal also what was sealed before, unchanged.")
    ] = False,
    pack: Annotated[
        bool,
        typer.Option("--pack/--no-pack", help="Whether small files share an object in the store."),
    ] = True,
    deposit: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--deposit", metavar="ID", help="An id of your own; repeating it doubles nothing."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Seal files and folders, byte for byte, and say what they are and lack.

    Folders are walked in a fixed order; symbolic links are recorded, never followed. What could
    not be read is sealed as not captured, and makes exit code 1.
    """
    given, rest = split_incident(words)
    if not rest:
        raise UsageError("name at least one file or folder to seal")
    kinds = tuple(check_kind(each.replace("-", "_")) for each in dict.fromkeys(kind or ()))
    with vault_of(context) as vault:
        incident = incident_or_only(vault, given, as_json=as_json)
        check_open(vault, incident, deposit)
        where = _source_of(rest, name)
        found = _survey(where, rest)
        wanted = Wanted(
            host=settings_of(context).host,
            kinds=kinds,
            system=system,
            source=source,
            method=method,
            again=again,
            pack=pack,
            deposit=deposit,
        )
        outcome = seal(vault, incident, where, found, wanted)
        give(answer_of(vault, incident, outcome, system), as_json=as_json)


def _source_of(words: Sequence[str], name: str) -> Source:
    """Files and folders in one source, and standard input where it is named."""
    if words.count(STDIN) > 1:
        raise UsageError("standard input comes only once")
    paths = [Path(word) for word in words if word != STDIN]
    sources: list[Source] = [FileSource(paths)] if paths else []
    if STDIN in words:
        sources.append(StreamSource(sys.stdin.buffer, name=name, path=STDIN))
    return JoinedSource(sources)


def _survey(source: Source, words: Sequence[str]) -> list[Found]:
    try:
        found = list(source.survey())
    except SourceUnreadableError as error:
        raise UsageError(str(error)) from error
    if not found:
        raise UsageError(f"there is nothing in {', '.join(words)}; nothing sealed")
    return found
