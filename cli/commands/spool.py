"""`evault spool …`: a collector's own store, for when the vault is out of reach."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from cli.delivery import SpoolDestination, destination_of
from cli.options import AsJson, Reason, size_limit
from cli.render import ProgressLine, columns, count_text, paragraph, size_text
from cli.session import Answer, give, links_text, vault_of
from cli.spooling import open_spool, spool_path
from cli.vault import now
from ingest.delivery import Delivery, deliver
from ingest.entry import Entry, SpoolDamagedError, SpoolError, SpoolUnavailableError
from ingest.spool import PUBLIC_KEY, Spool, create_spool
from vault.errors import UnavailableError
from verify.instant import format_instant
from verify.strictjson import Object

_app = typer.Typer(
    help="A collector's own store, for when the vault is out of reach.", no_args_is_help=True
)
_SHOWN = 20

Directory = Annotated[Path, typer.Argument(metavar="DIR", help="The spool.")]
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
    path: Directory,
    size: Annotated[str, typer.Argument(metavar="SIZE", help="Like 500MB or 10GiB.")],
    as_json: AsJson = False,
) -> None:
    """Change how much a spool may hold."""
    spool = open_spool(path, as_json=as_json)
    spool.set_limit(size_limit(size))
    lines = [f"{path}  may hold {size_text(spool.limit)}; it holds {size_text(spool.used())}"]
    data: Object = {
        "id": spool.id,
        "limit": spool.limit,
        "path": str(path),
        "used": spool.used(),
    }
    give(Answer(lines, data), as_json=as_json)


@_app.command()
def status(context: typer.Context, given: Own = None, as_json: AsJson = False) -> None:
    """Say what waits in a spool, and whether it is whole.

    Signatures, sizes and order are checked; contents are read when they are delivered. Exit code 1
    where something is not as it was sealed.
    """
    path = spool_path(context, given)
    spool = open_spool(path, as_json=as_json)
    waiting = spool.waiting()
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
        lines.append(f"Deliver with: evault spool deliver {path}")
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

    An entry leaves the spool when the vault's receipt is on this disk, and not before. Exit code 1
    where an entry is damaged or refused, 2 where the vault went out of reach.
    """
    path = spool_path(context, given)
    spool = open_spool(path, as_json=as_json)
    with vault_of(context) as vault:
        spool.waiting()
        progress = ProgressLine("delivering", spool.used())
        try:
            destination = destination_of(vault, progress=progress.advance)
            result = deliver(spool, destination, clock=now)
        finally:
            progress.close()
        give(_delivered(spool, result, destination), as_json=as_json)


@_app.command("set-aside")
def set_aside(
    path: Directory,
    number: Annotated[int, typer.Argument(metavar="NUMBER", help="The entry.", min=1)],
    reason: Reason,
    as_json: AsJson = False,
) -> None:
    """Take an entry out of the queue, so that those behind it can be delivered.

    For an entry that is damaged beyond repair, or that the vault will never take. What is left of
    it is moved to set-aside/ in the spool, not removed, and its number is never given again.
    """
    spool = open_spool(path, as_json=as_json)
    there = spool.set_aside(number, reason, now())
    where = f"its files are in {path / 'set-aside'}" if there else "nothing of it was there"
    lines = [f"entry {number} of {path} is set aside; {where}. No vault has it."]
    data: Object = {
        "id": spool.id,
        "number": number,
        "path": str(path),
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
    if not rows and result.stopped is None:
        lines = ["Nothing waits: everything was delivered."]
    stopped: Object | None = None
    code = 0
    if result.stopped is not None:
        lines.append(f"STOPPED at entry {result.stopped_at}; it stays, and so do those behind it:")
        lines += detail_lines(str(result.stopped))
        if not isinstance(result.stopped, (UnavailableError, SpoolError)):
            lines += paragraph(
                "",
                "If the vault will never take it, go on without it: evault spool set-aside "
                f"{spool.root} {result.stopped_at} --reason TEXT",
            )
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
        "stopped": stopped,
    }
    return Answer(lines, data, code)


def detail_lines(text: str) -> list[str]:
    """An error's lines, each folded; but digests stay below one another."""
    lines: list[str] = []
    for part in text.split("\n"):
        digest = part.startswith(("sealed ", "found "))
        lines += [f"  {part}"] if digest else paragraph("  ", part)
    return lines


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
