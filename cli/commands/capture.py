"""`evault capture`: run a command and seal what it wrote, how it ended, and that it ran."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Annotated, Optional

import typer

from cli.chains import chain_or_only, split_chain
from cli.intake import Wanted, check_open
from cli.options import AsJson, SpoolOption
from cli.sealing import answer_of, seal
from cli.session import Answer, UsageError, give, settings_of
from cli.spooling import reached, spool_and_deliver, way_to
from cli.times import read_time
from cli.vault import now
from ingest.source import SourceUnreadableError
from ingest.sources.command import CommandSource, Query
from verify.statement import Kind, check_kind

_LEAST_ROOM = 16 << 10
"""Bytes that a command's answer and the record of its run take at least, in a spool."""


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
    spool: SpoolOption = None,
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
    wanted = Wanted(
        host=settings_of(context).host,
        system=system,
        source=source,
        method="command run by evault",
        again=True,  # the same answer at another time is another sighting
    )
    command = partial(CommandSource, argv, query=query, clock=now, kinds=kinds)
    with way_to(context, spool, as_json=as_json) as way:
        if way.spool is not None:
            way.spool.check_room(_LEAST_ROOM)  # before: its answer cannot be asked for once more
            there = reached(way, given, as_json=as_json)
            with _running(command()) as run:
                answer = spool_and_deliver(way.spool, there, run, run.survey(), wanted, context)
            give(_ended(answer, run, "kept"), as_json=as_json)
        vault = way.vault
        assert vault is not None
        incident = chain_or_only(vault, given, as_json=as_json)
        check_open(vault, incident, None)
        with _running(command()) as run:
            outcome = seal(vault, incident, run, run.survey(), wanted)
        answer = answer_of(vault, incident, outcome, system)
        give(_ended(answer, run, "sealed"), as_json=as_json)


@contextmanager
def _running(run: CommandSource) -> Iterator[CommandSource]:
    try:
        run.start()
        yield run
    except SourceUnreadableError as error:
        raise UsageError(str(error)) from error
    finally:
        run.close()


def _ended(answer: Answer, run: CommandSource, kept: str) -> Answer:
    """The answer, with how the command ended."""
    ended = run.signal or f"exit code {run.exit_code}"
    failed = run.exit_code != 0
    lines = [*answer.lines, f"The command ended with {ended}; it is {kept} all the same."]
    data = answer.data | {"exit_code": run.exit_code, "signal": run.signal}
    return Answer(lines if failed else answer.lines, data, 1 if failed else answer.code)
