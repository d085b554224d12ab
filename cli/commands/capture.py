"""`evault capture`: run a command and seal what it wrote, how it ended, and that it ran."""

from __future__ import annotations

from typing import Annotated, Optional

import typer

from cli.options import AsJson
from cli.sealing import Wanted, answer_of, check_open, seal
from cli.session import (
    Answer,
    UsageError,
    chain_or_only,
    give,
    read_time,
    settings_of,
    split_chain,
    vault_of,
)
from ingest.source import SourceUnreadableError
from ingest.sources.command import CommandSource, Query
from verify.statement import Kind, check_kind


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("capture")(capture)


def capture(
    context: typer.Context,
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="[INCIDENT|STREAM] -- COMMAND...",
            help="The command and its words, behind --. It is run as it is, without a shell.",
        ),
    ],
    kind: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(
            "--kind",
            metavar="KIND",
            help="What its output is evidence of, if the content does not say; repeatable: "
            f"{', '.join(Kind)}.",
        ),
    ] = None,
    system: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--system", metavar="NAME", help="The affected system that is asked."),
    ] = None,
    source: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--source", metavar="NAME", help="The log or service that is asked."),
    ] = None,
    start: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--from", metavar="TIME", help="The time asked about: its start."),
    ] = None,
    end: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--to", metavar="TIME", help="The time asked about: its end."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run a command; seal its output, errors, exit code and times, and which program it was.

    The command line is sealed too: keep secrets out of it. An empty answer is sealed as a nil
    return. A command that fails is evidence all the same, and makes exit code 1.
    """
    given, argv = split_chain(words)
    if not argv:
        raise UsageError("name the command to run: evault capture INCIDENT -- COMMAND...")
    kinds = tuple(check_kind(each.replace("-", "_")) for each in dict.fromkeys(kind or ()))
    query = Query(system, source, read_time(start), read_time(end))
    if query.start and query.end and query.start > query.end:
        raise UsageError("--from is later than --to")
    with vault_of(context) as vault:
        incident = chain_or_only(vault, given, as_json=as_json)
        check_open(vault, incident, None)
        run = CommandSource(argv, query=query, clock=vault.clock, kinds=kinds)
        try:
            run.start()
            wanted = Wanted(
                host=settings_of(context).host,
                system=system,
                source=source,
                method="command run by evault",
                again=True,  # the same answer at another time is another sighting
            )
            outcome = seal(vault, incident, run, run.survey(), wanted)
        except SourceUnreadableError as error:
            raise UsageError(str(error)) from error
        finally:
            run.close()
        answer = answer_of(vault, incident, outcome, system)
        ended = run.signal or f"exit code {run.exit_code}"
        failed = run.exit_code != 0
        lines = [*answer.lines, f"The command ended with {ended}; it is sealed all the same."]
        data = answer.data | {"exit_code": run.exit_code, "signal": run.signal}
        code = 1 if failed else answer.code
        give(Answer(lines if failed else answer.lines, data, code), as_json=as_json)
