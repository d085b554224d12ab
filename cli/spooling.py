"""Sealing through a spool: first on this host, signed by its collector; then at the vault.

With a spool named, evidence always goes through it. So nothing depends on what a vault that went
away in the middle did or did not commit: the entry has its number, and its deposit id, before the
vault is asked for the first time.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import typer

from cli.compose import open_vault
from cli.delivery import SpoolDestination, destination_of, is_refusal
from cli.extras import parsers, remote
from cli.intake import Wanted, check_open
from cli.render import ProgressLine, columns, count_text, paragraph, size_text
from cli.session import Answer, UsageError, links_text, settings_of, uninterrupted
from cli.settings import Settings, version
from cli.summary import Sealed, group_rows, look_at, taken_json
from cli.vault import Vault, now
from ingest.collector import Collected, Taken, collect
from ingest.delivery import Delivery, deliver
from ingest.entry import Entry
from ingest.source import Found, Source
from ingest.spool import PUBLIC_KEY, Spool
from ingest.spool_capture import SpoolCapture
from vault.delivery import check_collector
from vault.deposit import Receipt
from vault.documents import exhibit_json
from vault.errors import (
    NotFoundError,
    NotPermittedError,
    RefusedError,
    UnauthenticatedError,
    UnavailableError,
)
from verify.description import Description
from verify.incident import Incident
from verify.instant import format_instant
from verify.report import printable
from verify.strictjson import Object

OWN_SPOOL = "spool"
"""The folder of a collector's own spool, beside the trust file that is pinned for its server."""


_BACK = "When the vault is back, run:"
_ASK_ANEW = (
    "Ask who lets collectors in for another token: to let the same key in again gives one. Set it "
    "as EVAULT_TOKEN or EVAULT_TOKEN_FILE, and run:"
)


@dataclass(frozen=True, slots=True)
class Way:
    """The vault, or why it is out of reach; and the spool that leads there, if one does."""

    vault: Vault | None
    reason: str
    spool: Spool | None
    """None: evidence is sealed into the vault directly."""
    then: str = _BACK
    """What has to be before it can be delivered."""


@dataclass(frozen=True, slots=True)
class Reached:
    """The vault, or why it is out of reach; and the incident that is meant."""

    vault: Vault | None
    reason: str
    incident: str
    then: str = _BACK


def open_spool(path: Path, *, as_json: bool = False, named: bool = True) -> Spool:
    """A spool that tells a waiting person whom it waits for; `named` as `Spool` has it.

    Raises `SpoolError`.
    """

    def told(words: str) -> None:
        if not as_json:
            print(words, file=sys.stderr)

    return Spool(path, told=told, named=named)


def own_spool(settings: Settings) -> Path | None:
    """Where a collector's own spool is, for the server that is named; None where none is."""
    return None if settings.server is None else settings.home / OWN_SPOOL


def spool_path(context: typer.Context, named: Path | None) -> Path:
    """The spool that was named, else this collector's own. Raises `UsageError`."""
    path = named or own_spool(settings_of(context))
    if path is None:
        raise UsageError("name the spool: DIR may be left out only where EVAULT_URL names a server")
    return path


def spool_of(context: typer.Context, named: Path | None, *, as_json: bool) -> Spool:
    """That spool, opened; remedies name its folder only where a command needs it.

    Raises `SpoolError`.
    """
    path = spool_path(context, named)
    return open_spool(path, as_json=as_json, named=path != own_spool(settings_of(context)))


@contextmanager
def way_to(context: typer.Context, named: Path | None, *, as_json: bool) -> Iterator[Way]:
    """Try the vault, before anything is captured, and say how evidence gets there.

    Through the spool that was named, wherever the vault is. Without one, and through a server:
    through this collector's own where the vault takes from who signed in only what is appended, as
    a collector signs what it sends; and where it is out of reach, or does not take the token, if
    there is such a spool: the collector's key signs all the same. Raises `RefusedError` for a
    collector without one.
    """
    settings = settings_of(context)
    own = own_spool(settings)
    spool = None if named is None else spool_of(context, named, as_json=as_json)
    vault: Vault | None = None
    reason, then = "", _BACK
    try:
        vault = open_vault(settings)
    except NotFoundError:
        if spool is None:
            raise
        reason = f"this host has no vault ({settings.home} is none)"
    except UnavailableError as error:
        if spool is None and (own is None or not own.is_dir()):
            if settings.server is None or type(error) is not UnavailableError:
                raise
            raise UnavailableError(
                f"{error}\nFor evidence that will not wait, make a spool on this host, and add "
                "--spool DIR to this command:\nevault spool init DIR"
            ) from error
        reason = str(error)
    except UnauthenticatedError as error:
        if spool is None and (own is None or not own.is_dir()):
            raise
        reason, then = str(error), _ASK_ANEW
    try:
        if spool is None and own is not None and (vault is None or vault.appends_only):
            if not own.is_dir():
                raise RefusedError(
                    "a collector signs what it sends, and has no spool here for it; make one: "
                    "evault spool init, and have its key let in: evault collector add NAME --key "
                    f"{own / PUBLIC_KEY}. Or name yours with --spool"
                )
            spool = spool_of(context, None, as_json=as_json)
        yield Way(vault, reason, spool, then)
    finally:
        if vault is not None:
            vault.close()


def reached(way: Way, given: str | None, *, as_json: bool) -> Reached:
    """Who is meant, and whether a vault that answers would take it: it is heard before anything.

    Out of reach, or without a token that is taken, is not refused. Raises `RefusedError`,
    `NotFoundError` for an unknown incident, `NotPermittedError`, `UsageError` where nobody can tell
    which incident is meant.
    """
    vault, reason, name, then = way.vault, way.reason, given, way.then
    assert way.spool is not None
    if vault is not None and vault.appends_only and name is None:
        raise UsageError(
            "a collector's token reads nothing, so nobody can tell which incident is meant; "
            "name it, or stream:NAME"
        )
    if vault is not None:
        try:
            name = given or vault.incidents.the_only_open()
            _check_taken(vault, name, way.spool.key.public.key_id)
        except UnavailableError as error:
            reason = str(error)
        except UnauthenticatedError as error:  # it ended just now
            reason, then = str(error), _ASK_ANEW
    if name is None:
        raise UsageError(
            f"the vault cannot be asked, so nobody can tell which incident is meant; name it. "
            f"({reason})"
        )
    if given is None and not as_json:
        print(f"{name}, the one open incident:", file=sys.stderr)
    return Reached(None if reason else vault, reason, name, then)


def _check_taken(vault: Vault, name: str, key_id: str) -> None:
    """Raise what the vault would refuse a collection by, that this key signs for a chain."""
    if vault.config.served is not None:
        remote().check_taken_there(vault, name, key_id)
    else:
        check_open(vault, name, None)
        check_collector(vault, key_id)


def spool_and_deliver(
    spool: Spool, where: Reached, source: Source, found: Iterable[Found], wanted: Wanted,
    context: typer.Context,
) -> Answer:  # fmt: skip
    """Seal into the spool; then deliver up to there, if the vault can be reached."""
    actor = settings_of(context).actor
    sink = SpoolCapture(
        spool,
        destination=where.incident,
        clock=now,
        actor=actor,
        system=wanted.system,
        source=wanted.source,
        method=wanted.method,
        collector={"host": wanted.host, "name": "evault", "version": version()},
    )
    collected, entry = _collect(sink, source, found, wanted)
    if entry is None:
        return _nothing(where.incident)
    if where.vault is None:
        return _spooled(spool, entry, collected, where.incident, where.reason, where.then)
    destination = destination_of(where.vault)
    result = deliver(spool, destination, clock=now, up_to=entry.number, refuses=is_refusal)
    if entry.number in destination.receipts and result.stopped is None:
        return _sealed(spool, entry, collected, where, destination, len(result.handed) - 1)
    # Another process may have delivered it: then its receipt is here.
    settled = spool.settled(entry.number)
    if settled is not None and settled.kept:
        destination.deliver(entry)
        return _sealed(spool, entry, collected, where, destination)
    return _spooled(spool, entry, collected, where.incident, *_why(spool, entry, result))


def _why(spool: Spool, entry: Entry, result: Delivery) -> tuple[str, str]:
    """Why an entry was not delivered by a delivery up to it, and what has to be before it is."""
    same = [each for each in result.refused if each.destination == entry.collection.destination]
    if result.stopped is not None:
        number, error = result.stopped_at, result.stopped
    elif same:
        number, error = same[0].number, same[0].error
    else:
        return "another process is at it", _BACK
    then = _ASK_ANEW if isinstance(error, UnauthenticatedError) else _BACK
    if same and result.stopped is None:
        aside = spool.command("set-aside", number, "--reason TEXT")
        then = (
            f"If the vault will never take it, go on without it:\n{aside}\nElse mend that, and run:"
        )
    if number == entry.number:
        return str(error), then
    return f"entry {number} comes first, and cannot be delivered: {error}", then


def _collect(
    sink: SpoolCapture, source: Source, found: Iterable[Found], wanted: Wanted
) -> tuple[Collected, Entry | None]:
    total = sum(each.size for each in found) if isinstance(found, Sequence) else 0
    progress = ProgressLine("spooling", total)
    if isinstance(found, Sequence):
        progress.announce(f"{count_text(len(found), 'file')}, {size_text(total)} to read")
    try:
        collected = collect(
            source,
            found,
            sink,
            kinds=wanted.kinds,
            again=True,
            clock=now,
            progress=progress.advance,
            parsers=parsers(),
        )
        if collected.taken or collected.failed or collected.links:
            with uninterrupted():
                return collected, sink.commit()
        sink.abort()
        return collected, None
    except BaseException:
        sink.abort()
        raise
    finally:
        progress.close()


def _nothing(incident: str) -> Answer:
    data = taken_json(incident, "nothing", Collected(), size=0)
    return Answer(["Nothing new: nothing was sealed."], data)


def _spooled(
    spool: Spool, entry: Entry, collected: Collected, incident: str, reason: str, then: str
) -> Answer:
    """Kept here, and nowhere else: that is not done, and not lost."""
    waiting, used = len(spool.waiting()), spool.used()
    count = count_text(len(collected.taken), "file")
    lines = [
        f"SPOOLED, not sealed: {count}, {size_text(entry.size)}, for {incident}: "
        f"entry {entry.number} of {spool.title}",
        *columns(
            [
                (f"item {number}", name_of(each.description), each.description.label,
                 size_text(each.size))
                for number, each in enumerate(collected.taken[:_SHOWN], start=1)
            ]
        ),
    ]  # fmt: skip
    if len(collected.taken) > _SHOWN:
        lines.append(f"and {count_text(len(collected.taken) - _SHOWN, 'more file')}")
    lines += _misses(collected)
    why, *more = reason.split("\n")
    lines += paragraph("Why: ", why)
    lines += detail_lines("\n".join(more)) if more else []
    lines += paragraph(
        "",
        f"It is signed by this collector and on this disk; no vault has it. "
        f"{count_text(waiting, 'entry')} "
        f"{'waits' if waiting == 1 else 'wait'}, {size_text(used)} of {size_text(spool.limit)}.",
    )
    lines += detail_lines(f"{then}\n{spool.command('deliver')}", indent="")
    data = taken_json(
        incident,
        "spooled",
        collected,
        size=_size_of(collected),
        spool=_spool_json(spool, entry, collected, reason),
    )
    return Answer(lines, data, 1)


_SHOWN = 10


def name_of(description: Description) -> str:
    """The last part of a name, for a column."""
    return description.name.rpartition("/")[2] or description.name


def _sealed(
    spool: Spool,
    entry: Entry,
    collected: Collected,
    where: Reached,
    destination: SpoolDestination,
    before: int = 0,
) -> Answer:
    """Kept by the vault: exhibits as for any other capture, the envelope first."""
    assert where.vault is not None
    receipts = destination.receipts[entry.number]
    if where.vault.appends_only:  # what it asked to see would be sealed as an attempt to read
        return _sealed_unseen(spool, entry, collected, where.incident, receipts)
    try:
        chain = where.vault.incidents.read(where.incident, up_to=receipts[-1].sequence)
        described = where.vault.incidents.descriptions(chain)
    except NotPermittedError:  # who adds, and looks at nothing
        return _sealed_unseen(spool, entry, collected, where.incident, receipts)
    new = [each for each in chain.state.exhibits.values() if each.sequence >= receipts[0].sequence]
    envelope = new[0].item.exhibit
    sealed = [
        Sealed(
            each.item.exhibit,
            Taken(described[each.item.exhibit], each.item.kinds, each.item.size),
        )
        for each in new[1:]
    ]
    lines = [
        f"{count_text(len(sealed), 'file')}, {size_text(entry.size)}, sealed through the spool: "
        f"{links_text(receipts)}, log entry {receipts[-1].index}",
        *columns(group_rows(sealed)),
        f"{envelope} is the collection as this collector signed it, "
        f"entry {entry.number} of its spool",
    ]
    if before:
        verb = "was" if before == 1 else "were"
        lines.append(f"{count_text(before, 'entry')} that waited before it {verb} delivered first")
    notes = look_at(sealed)
    system = entry.collection.system
    incident = chain.state if isinstance(chain.state, Incident) else None
    if incident and system is not None and system not in incident.systems:
        notes.append(f"{system} is none of the systems of {where.incident}.")
    if notes:
        lines += paragraph("Look at: ", " ".join(notes))
    lines += _misses(collected)
    data = taken_json(
        where.incident,
        "sealed",
        collected,
        size=_size_of(collected),
        items=[exhibit_json(each, described[each.item.exhibit]) for each in new],
        receipts=receipts,
        spool=_spool_json(spool, entry, collected, None),
    )
    return Answer(lines, data, 1 if collected.failed else 0)


def _sealed_unseen(
    spool: Spool,
    entry: Entry,
    collected: Collected,
    incident: str,
    receipts: Sequence[Receipt],
) -> Answer:
    """Kept by a vault that shows nothing of it to who added it."""
    lines = [
        f"{count_text(len(collected.taken), 'file')}, {size_text(entry.size)}, sealed through the "
        f"spool: {links_text(receipts)}, log entry {receipts[-1].index}",
        "Which exhibits they are is told to who may read there.",
        *_misses(collected),
    ]
    data = taken_json(
        incident,
        "sealed",
        collected,
        size=_size_of(collected),
        receipts=receipts,
        spool=_spool_json(spool, entry, collected, None),
    )
    return Answer(lines, data, 1 if collected.failed else 0)


def detail_lines(text: str, *, indent: str = "  ") -> list[str]:
    """An error's lines, each folded; but digests stay below one another, and commands whole."""
    lines: list[str] = []
    for part in text.split("\n"):
        if part.startswith("evault "):
            lines.append(f"  {part}")
        else:
            digest = part.startswith(("sealed ", "found "))
            lines += [f"{indent}{part}"] if digest else paragraph(indent, part)
    return lines


def _misses(collected: Collected) -> list[str]:
    lines = [
        f"link, not followed: {printable(link)} -> {printable(target)}"
        for link, target in collected.links[:_SHOWN]
    ]
    return lines + [
        f"NOT KEPT: {printable(path)}: {printable(reason)}" for path, reason in collected.failed
    ]


def _size_of(collected: Collected) -> int:
    return sum(each.size for each in collected.taken)


def _spool_json(spool: Spool, entry: Entry, collected: Collected, reason: str | None) -> Object:
    return {
        "collected_at": format_instant(entry.collection.collected_at),
        "deposit": entry.collection.deposit,
        "id": spool.id,
        "items": [
            {
                "format": each.description.label,
                "kinds": list(item.kinds),
                "name": each.description.name,
                "sha256": item.sha256,
                "size": item.size,
            }
            for each, item in zip(collected.taken, entry.collection.items, strict=True)
        ],
        "number": entry.number,
        "path": str(spool.root),
        "reason": reason,
        "sha256": entry.sha256,
        "waiting": len(spool.waiting()),
    }
