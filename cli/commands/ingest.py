"""`evault ingest`: seal files and folders as evidence."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Optional

import typer

from cli.compose import Vault, parsers, version
from cli.options import AsJson
from cli.render import ProgressLine, columns, count_text, folded, paragraph, size_text
from cli.session import (
    Answer,
    UsageError,
    give,
    incident_or_only,
    settings_of,
    split_incident,
    uninterrupted,
    vault_of,
)
from cli.summary import Sealed, exhibit_json, group_rows, look_at
from ingest.collector import Collected, Taken, collect
from ingest.source import Found, SourceUnreadableError
from ingest.sources.files import FileSource
from vault.capture import OpenCapture
from vault.deposit import Receipt
from vault.errors import RefusedError
from vault.incidents import Chain, last_turn
from vault.ulid import new_ulid
from verify.report import printable
from verify.statement import Kind, check_kind
from verify.strictjson import Object

_LINKS_SHOWN = 10


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("ingest")(ingest)


def ingest(
    context: typer.Context,
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="[INCIDENT] PATH...",
            help="Files and folders. The incident may be left out while only one is open.",
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
        name = incident_or_only(vault, given, as_json=as_json)
        chain = vault.incidents.read(name)
        repeated = _link_of(chain, deposit)
        if chain.incident.sealed and repeated is None:
            raise RefusedError(
                f"{name} is closed and sealed; to add to it, run: "
                f"evault incident reopen {name} --reason TEXT"
            )
        before = chain if repeated is None else vault.incidents.read(name, up_to=repeated - 1)
        files = FileSource([Path(word) for word in rest])
        found = _survey(files, rest)
        started = time.monotonic()
        policy = vault.retention.policy()
        capture = OpenCapture(
            store=vault.store,
            index=vault.index,
            door=vault.door,
            clock=vault.clock,
            chain=name,
            deposit=deposit or f"ingest-{new_ulid(vault.clock())}",
            system=system,
            source=source,
            method=method,
            collector={
                "host": settings_of(context).host,
                "name": "evault",
                "version": version(),
            },
            guard=partial(vault.retention.guard, name),
            pack=pack,
            turned_at=last_turn(before),
            repeats=repeated,
        )
        collected, receipts = _capture(vault, capture, files, found, kinds, again)
        if vault.retention.policy() != policy:
            vault.retention.apply(name)  # another policy came into force while the bytes came in
        seconds = time.monotonic() - started
        answer = _answer(vault, name, collected, receipts, seconds, system)
        give(answer, as_json=as_json)


def _survey(files: FileSource, words: Sequence[str]) -> list[Found]:
    try:
        found = list(files.survey())
    except SourceUnreadableError as error:
        raise UsageError(str(error)) from error
    if not found:
        raise UsageError(f"there is nothing in {', '.join(words)}; nothing sealed")
    return found


def _link_of(chain: Chain, deposit: str | None) -> int | None:
    """The first link of an earlier deposit with this id, which is then only repeated."""
    for manifest in chain.manifests if deposit is not None else ():
        statement = manifest.statement
        if statement.deposit in (deposit, f"{deposit}/1"):
            return statement.link.sequence
    return None


def _capture(
    vault: Vault,
    capture: OpenCapture,
    files: FileSource,
    found: Sequence[Found],
    kinds: Sequence[str],
    again: bool,
) -> tuple[Collected, list[Receipt]]:
    total = sum(each.size for each in found)
    progress = ProgressLine("sealing", total)
    progress.announce(f"{count_text(len(found), 'file')}, {size_text(total)} to read")
    try:
        collected = collect(
            files,
            found,
            capture,
            kinds=kinds,
            again=again,
            clock=vault.clock,
            progress=progress.advance,
            parsers=parsers(),
        )
        if collected.taken or collected.failed or collected.links:
            with uninterrupted():
                return collected, capture.commit()
        capture.abort()
        return collected, []
    except BaseException:
        capture.abort()
        raise
    finally:
        progress.close()


def _answer(
    vault: Vault,
    name: str,
    collected: Collected,
    receipts: Sequence[Receipt],
    seconds: float,
    system: str | None,
) -> Answer:
    chain = vault.incidents.read(name, up_to=receipts[-1].sequence if receipts else None)
    first = receipts[0].sequence if receipts else chain.incident.sequence + 1
    new = [exhibit for exhibit in chain.incident.exhibits.values() if exhibit.sequence >= first]
    taken = collected.taken
    if receipts and receipts[0].repeated:
        described = vault.incidents.descriptions(chain)
        taken = [
            Taken(described[each.item.exhibit], each.item.kinds, each.item.size) for each in new
        ]
    sealed = [Sealed(each.item.exhibit, what) for each, what in zip(new, taken, strict=True)]
    size = sum(each.size for each in taken)
    lines = [_headline(len(sealed), size, seconds, receipts)]
    lines += columns(group_rows(sealed))
    if sealed and chain.incident.live_holds:
        matters = ", ".join(hold.matter for hold in chain.incident.live_holds)
        lines += paragraph("On hold, as all of this incident: ", f"for {matters}")
    notes = look_at(sealed)
    if system is not None and system not in chain.incident.systems:
        notes.append(f"{system} is none of the systems of {name}; see: evault incident amend.")
    lines += folded("Look at: ", notes) if notes else []
    if collected.already:
        _, first_exhibit = collected.already[0]
        lines.append(
            f"{count_text(len(collected.already), 'file')} sealed before and unchanged since "
            f"({first_exhibit} …): nothing added; --again seals them all the same"
        )
    lines += [
        f"link, not followed: {printable(link)} -> {printable(target)}"
        for link, target in collected.links[:_LINKS_SHOWN]
    ]
    if len(collected.links) > _LINKS_SHOWN:
        lines.append(f"and {count_text(len(collected.links) - _LINKS_SHOWN, 'more link')}")
    lines += [
        f"NOT KEPT: {printable(path)}: {printable(reason)}" for path, reason in collected.failed
    ]
    if collected.failed:
        count = count_text(len(collected.failed), "file")
        lines.append(f"{count} could not be kept; sealed as not captured. The rest is kept.")
    data: Object = {
        "already": [{"exhibit": exhibit, "name": path} for path, exhibit in collected.already],
        "counts": {
            "already": len(collected.already),
            "bytes": size,
            "items": len(sealed),
            "links": len(collected.links),
            "not_kept": len(collected.failed),
        },
        "incident": name,
        "items": [
            exhibit_json(each, what.description) for each, what in zip(new, taken, strict=True)
        ],
        "links": [{"name": path, "target": target} for path, target in collected.links],
        "not_kept": [{"detail": reason, "name": path} for path, reason in collected.failed],
        "receipt": receipts[-1].to_json() if receipts else None,
        "receipts": [receipt.to_json() for receipt in receipts],
    }
    return Answer(lines, data, 1 if collected.failed else 0)


def _headline(count: int, size: int, seconds: float, receipts: Sequence[Receipt]) -> str:
    if not receipts:
        return "Nothing new: nothing was sealed."
    links = [receipt.sequence for receipt in receipts]
    entries = [receipt.index for receipt in receipts]
    what = f"{count_text(count, 'file')}, {size_text(size)}, sealed in {seconds:.1f} s"
    if not count:
        what = "No file was sealed; what was met besides is on record"
    if receipts[0].repeated:
        what = f"This deposit was sealed before: {count_text(count, 'file')}, nothing added"
    if len(links) == 1:
        return f"{what}: chain link {links[0]}, log entry {entries[0]}"
    return f"{what}: chain links {links[0]}-{links[-1]}, log entries {entries[0]}-{entries[-1]}"
