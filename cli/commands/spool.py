"""`evault spool …`: a collector's own store, for when the vault is out of reach."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Optional

import typer

from cli.delivery import SpoolDestination, destination_of, is_refusal
from cli.options import AsJson, Reason, size_limit
from cli.render import ProgressLine, columns, count_text, paragraph, size_text
from cli.session import Answer, UsageError, give, links_text, vault_of
from cli.spooling import detail_lines, spool_of, spool_path
from cli.vault import now
from ingest.delivery import Delivery, deliver
from ingest.entry import Entry, SpoolDamagedError, SpoolError, SpoolUnavailableError
from ingest.spool import PUBLIC_KEY, SET_ASIDE, Spool, create_spool
from vault.errors import UnavailableError
from verify.instant import format_instant
from verify.strictjson import Object

_app = typer.Typer(
    help="A collector's own store, for when the vault is out of reach.", no_args_is_help=True
)
_SHOWN = 20
_NUMBER = re.compile(r"[1-9][0-9]{0,14}\Z")

Own = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Argument(
        metavar="[DIR]", help="The spool; through a server, this collector's own if left out."
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(_app, name="spool")


@_app.command()
def init(
    context: typer.Context,
    given: Annotated[
        Optional[Path],  # noqa: UP045 — read at run time by typer
        typer.Argument(
            metavar="[DIR]",
            help="A new folder on a local disk; through a server, one beside its pinned trust file "
            "if left out, which evault ingest and capture take by themselves.",
        ),
    ] = None,
    limit: Annotated[
        str,
        typer.Option("--limit", metavar="SIZE", help="How much it may hold, like 500MB or 10GiB."),
    ] = "10GiB",
    as_json: AsJson = False,
) -> None:
    """Make a spool: a key of its own, and room for what waits. No vault is needed."""
    path = spool_path(context, given)
    spool = create_spool(path, limit=size_limit(limit))
    key = path / PUBLIC_KEY
    lines = [
        f"{path}  spool {spool.id}, at most {size_text(spool.limit)}",
        f"key  {spool.key.public.key_id}",
        *paragraph("", f"Copy {key} to the vault, and let the collector in there:"),
        f"  evault collector add NAME INCIDENT|STREAM --key {PUBLIC_KEY}",
        *paragraph(
            "",
            "The private key never leaves this folder. Whoever has it can sign as this collector: "
            "keep it out of backups that others read.",
        ),
    ]
    data: Object = {
        "id": spool.id,
        "key_id": spool.key.public.key_id,
        "limit": spool.limit,
        "path": str(path),
        "public_key": str(key),
    }
    give(Answer(lines, data), as_json=as_json)


@_app.command()
def limit(
    context: typer.Context,
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="[DIR] SIZE",
            help="The spool, which may be left out through a server; and a size like 500MB or "
            "10GiB.",
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Change how much a spool may hold."""
    given, size = _split(words, "SIZE")
    spool = spool_of(context, given, as_json=as_json)
    spool.set_limit(size_limit(size))
    lines = [
        f"{spool.title}  may hold {size_text(spool.limit)}; it holds {size_text(spool.used())}"
    ]
    data: Object = {
        "id": spool.id,
        "limit": spool.limit,
        "path": str(spool.root),
        "used": spool.used(),
    }
    give(Answer(lines, data), as_json=as_json)


@_app.command()
def status(context: typer.Context, given: Own = None, as_json: AsJson = False) -> None:
    """Say what waits in a spool, and whether it is whole.

    Signatures, sizes and order are checked; contents are read when they are delivered. Exit code 1
    where something is not as it was sealed.
    """
    spool = spool_of(context, given, as_json=as_json)
    path, waiting = spool.root, spool.waiting()
    kept, aside = spool.counts()
    rows, items, damaged = [], [], []
    for number in waiting:
        try:
            entry = spool.entry(number)
        except SpoolDamagedError as error:
            damaged.append((number, str(error)))
            items.append(_damaged_json(number, str(error)))
            rows.append((str(number), "DAMAGED", "", ""))
            continue
        items.append(_entry_json(entry))
        rows.append(
            (
                str(number),
                entry.collection.destination,
                f"{count_text(len(entry.collection.items), 'file')}, {size_text(entry.size)}",
                f"collected {format_instant(entry.collection.collected_at)}",
            )
        )
    used = spool.used()
    lines = [
        f"{path}  spool {spool.id}: {count_text(len(waiting), 'entry')} "
        f"{'waits' if len(waiting) == 1 else 'wait'}, {size_text(used)} of "
        f"{size_text(spool.limit)}; {kept:,} delivered"
        + (f", {aside:,} set aside" if aside else ""),
        *columns(rows[:_SHOWN]),
    ]
    if len(rows) > _SHOWN:
        lines.append(f"and {len(rows) - _SHOWN:,} more")
    for _, detail in damaged:
        lines += detail_lines(detail)
    if waiting and not damaged:
        lines.append(f"Deliver with: {spool.command('deliver')}")
    data: Object = {
        "counts": {
            "damaged": len(damaged),
            "delivered": kept,
            "set_aside": aside,
            "waiting": len(waiting),
        },
        "id": spool.id,
        "items": items,
        "key_id": spool.key.public.key_id,
        "limit": spool.limit,
        "path": str(path),
        "used": used,
    }
    give(Answer(lines, data, 1 if damaged else 0), as_json=as_json)


@_app.command("deliver")
def deliver_(context: typer.Context, given: Own = None, as_json: AsJson = False) -> None:
    """Deliver what waits to the vault: in order, each entry once, until one cannot be delivered.

    An entry leaves the spool when the vault's receipt is on this disk, and not before. One that the
    vault refuses stays, and so does what is behind it for the same incident or stream; the rest is
    delivered. Exit code 1 where an entry is damaged or refused, 2 where the vault went out of
    reach.
    """
    spool = spool_of(context, given, as_json=as_json)
    with vault_of(context) as vault:
        spool.waiting()
        progress = ProgressLine("delivering", spool.used())
        try:
            destination = destination_of(vault, progress=progress.advance)
            result = deliver(spool, destination, clock=now, refuses=is_refusal)
        finally:
            progress.close()
        give(_delivered(spool, result, destination), as_json=as_json)


@_app.command("set-aside")
def set_aside(
    context: typer.Context,
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="[DIR] NUMBER",
            help="The spool, which may be left out through a server; and the entry.",
        ),
    ],
    reason: Reason,
    as_json: AsJson = False,
) -> None:
    """Take an entry out of the queue, so that those behind it can be delivered.

    For an entry that is damaged beyond repair, or that the vault will never take. What is left of
    it is moved to set-aside/ in the spool, not removed, and its number is never given again.
    """
    given, word = _split(words, "NUMBER")
    if not _NUMBER.match(word):
        raise UsageError(f"{word!r} is no number of an entry; list them with: evault spool status")
    number = int(word)
    spool = spool_of(context, given, as_json=as_json)
    there = spool.set_aside(number, reason, now())
    where = f"its files are in {spool.root / SET_ASIDE}" if there else "nothing of it was there"
    lines = [f"entry {number} of {spool.title} is set aside; {where}. No vault has it."]
    data: Object = {
        "id": spool.id,
        "number": number,
        "path": str(spool.root),
        "reason": reason,
        "there": there,
        "waiting": len(spool.waiting()),
    }
    give(Answer(lines, data), as_json=as_json)


def _delivered(spool: Spool, result: Delivery, destination: SpoolDestination) -> Answer:
    rows, items = [], []
    for handed in result.handed:
        receipts = destination.receipts[handed.entry.number]
        incident = handed.entry.collection.destination
        again = ", as it was before" if receipts[0].repeated else ""
        rows.append(
            (
                f"entry {handed.entry.number}",
                incident,
                count_text(len(handed.entry.collection.items), "file"),
                f"{links_text(receipts)}, log entry {receipts[-1].index}{again}",
            )
        )
        items.append(
            {
                "incident": incident,
                "number": handed.entry.number,
                "receipts": [receipt.to_json() for receipt in receipts],
            }
        )
    lines = [
        f"{count_text(len(rows), 'entry')} delivered; "
        f"{count_text(result.waiting, 'entry')} {'waits' if result.waiting == 1 else 'wait'}",
        *columns(rows),
    ]
    if not rows and result.stopped is None and not result.refused:
        lines = ["Nothing waits: everything was delivered."]
    lines += _refused_lines(spool, result)
    stopped: Object | None = None
    code = 1 if result.refused else 0
    if result.stopped is not None:
        lines.append(f"STOPPED at entry {result.stopped_at}; it stays, and so do those behind it:")
        lines += detail_lines(str(result.stopped))
        if not isinstance(result.stopped, (UnavailableError, SpoolError)):
            aside = spool.command("set-aside", result.stopped_at, "--reason TEXT")
            lines += ["If the vault will never take it, go on without it:", f"  {aside}"]
        stopped = {
            "code": result.stopped.code,
            "detail": str(result.stopped),
            "number": result.stopped_at,
        }
        unknown = isinstance(result.stopped, (UnavailableError, SpoolUnavailableError))
        code = 2 if unknown else 1
    data: Object = {
        "counts": {"delivered": len(rows), "waiting": result.waiting},
        "id": spool.id,
        "items": items,
        "path": str(spool.root),
        "refused": [
            {
                "code": each.error.code,
                "detail": str(each.error),
                "incident": each.destination,
                "number": each.number,
            }
            for each in result.refused
        ],
        "stopped": stopped,
    }
    return Answer(lines, data, code)


def _refused_lines(spool: Spool, result: Delivery) -> list[str]:
    """What the vault does not take, why, and how to go on without it."""
    lines: list[str] = []
    for each in result.refused:
        lines += paragraph(
            "",
            f"REFUSED: entry {each.number}, for {each.destination}; it stays, and so does what is "
            "behind it for there:",
        )
        lines += detail_lines(str(each.error))
        lines.append("If the vault will never take it, go on without it:")
        lines.append(f"  {spool.command('set-aside', each.number, '--reason TEXT')}")
    return lines


def _split(words: list[str], last: str) -> tuple[Path | None, str]:
    """A spool that may be left out, and the word behind it. Raises `UsageError`."""
    if len(words) > 2:
        raise UsageError(f"expected [DIR] {last}; quote what has spaces")
    return (Path(words[0]) if len(words) == 2 else None), words[-1]


def _entry_json(entry: Entry) -> Object:
    return {
        "bytes": entry.size,
        "collected_at": format_instant(entry.collection.collected_at),
        "detail": None,
        "incident": entry.collection.destination,
        "items": len(entry.collection.items),
        "number": entry.number,
        "sha256": entry.sha256,
        "state": "waiting",
    }


def _damaged_json(number: int, detail: str) -> Object:
    return {
        "bytes": None,
        "collected_at": None,
        "detail": detail,
        "incident": None,
        "items": None,
        "number": number,
        "sha256": None,
        "state": "damaged",
    }
