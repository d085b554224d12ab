"""`evault preserve`: bring a window of a stream into an incident, and say what the window lacks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

import typer

from cli.chains import check_stream, incident_or_only, split_incident
from cli.options import AsJson
from cli.render import ObjectLine, columns, count_text, folded, paragraph, size_text, span_text
from cli.session import Answer, UsageError, give, links_text, settings_of, uninterrupted, vault_of
from cli.settings import version
from cli.summary import Sealed, group_rows, look_at
from cli.times import read_time
from cli.vault import Vault
from ingest.collector import Taken
from vault.custody import exhibit_ranges
from vault.documents import preserved_json
from vault.preserve import Preserved
from vault.window import Window
from verify.coverage import Interval
from verify.instant import format_instant
from verify.strictjson import Object

_SHOWN = 5


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("preserve")(preserve)


def preserve(
    context: typer.Context,
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="[INCIDENT] STREAM",
            help="A stream like stream:web; the incident may be left out while only one is open.",
        ),
    ],
    start: Annotated[
        str, typer.Option("--from", metavar="TIME", help="RFC 3339 with zone, now, or -12m.")
    ],
    end: Annotated[str, typer.Option("--to", metavar="TIME", help="The window's end, included.")],
    as_json: AsJson = False,
) -> None:
    """Bring a window of a stream into an incident as exhibits, and say what the window lacks.

    Items belong by the times that they claim; those without readable times by when they were
    received. Retention and holds of the incident cover the same bytes from then on. What the
    incident has already is not taken twice. Exit code 1 if an item's bytes or description are gone.
    """
    given, rest = split_incident(words)
    if len(rest) != 1:
        raise UsageError(
            "expected [INCIDENT] STREAM, like: evault preserve INC-2026-0001 stream:web"
        )
    stream = check_stream(rest[0])
    first, last = read_time(start), read_time(end)
    assert first is not None
    assert last is not None
    if first > last:
        raise UsageError("--from is later than --to")
    with vault_of(context) as vault:
        incident = incident_or_only(vault, given, as_json=as_json)
        collector: Object = {
            "host": settings_of(context).host, "name": "evault", "version": version()
        }  # fmt: skip
        with ObjectLine("reading", noun="link") as line, uninterrupted():
            done = vault.preserver.preserve(
                incident, stream, first, last, collector=collector, progress=line.show
            )
        give(_answer(vault, incident, stream, done), as_json=as_json)


def _answer(vault: Vault, name: str, stream: str, done: Preserved) -> Answer:
    incident = vault.incidents.read(name).incident
    window = done.window
    sealed = [
        Sealed(
            exhibit,
            Taken(chosen.description, chosen.exhibit.item.kinds, chosen.exhibit.item.size),
        )
        for exhibit, chosen in done.new
    ]
    size = sum(each.taken.size for each in sealed)
    lines = paragraph(f"{name}  ", _headline(stream, done, size))
    lines += columns(group_rows(sealed))
    if sealed and incident.live_holds:
        matters = ", ".join(hold.matter for hold in incident.live_holds)
        lines += paragraph("On hold, as all of this incident: ", f"for {matters}")
    notes = look_at(sealed)
    lines += folded("Look at: ", notes) if notes else []
    if done.already and sealed:
        known = count_text(len(done.already), "item")
        lines.append(f"{known} of the window preserved before ({done.already[0][0]} …): not again")
    withdrawn = [exhibit for exhibit, _ in done.already if incident.exhibits[exhibit].withdrawn]
    if withdrawn:
        lines += paragraph(
            "", f"{exhibit_ranges(withdrawn)} had been withdrawn from {name}, and stays so."
        )
    if done.classified:
        lines += paragraph(
            "",
            f"{exhibit_ranges(done.classified)} got other kinds in {stream} after they were "
            "sealed; they are restated as sealed. To say the same here: evault evidence classify",
        )
    lines += _lack_lines(window, stream)
    if window.unreadable:
        lines += paragraph(
            "NOT JUDGED: ",
            f"{exhibit_ranges(window.unreadable)}: the store has their descriptions no more, or "
            "others; see: evault sweep --depth bytes",
        )
    if done.gone:
        lines += paragraph(
            "NOT KEPT: ",
            f"{exhibit_ranges(done.gone)}: the store has their bytes no more; see: evault sweep",
        )
    data = preserved_json(incident, stream, done)
    return Answer(lines, data, 1 if done.gone or window.unreadable else 0)


def _headline(stream: str, done: Preserved, size: int) -> str:
    window = f"{format_instant(done.window.start)} to {format_instant(done.window.end)}"
    if done.new:
        names = exhibit_ranges([exhibit for exhibit, _ in done.new])
        return (
            f"{count_text(len(done.new), 'item')} of {stream} preserved, {size_text(size)}: "
            f"{names} ({links_text(done.receipts)}), what overlaps {window}"
        )
    if done.already:
        names = exhibit_ranges([exhibit for exhibit, _ in done.already])
        return f"has all of this window of {stream} already, as {names}: nothing added"
    if done.gone:
        return f"nothing of {stream} could be preserved for {window}"
    extent = done.window.extent
    covers = f"; its items claim {_plain(extent[0])} to {_plain(extent[1])}" if extent else ""
    return f"nothing in {stream} overlaps {window}: nothing sealed{covers}"


def _lack_lines(window: Window, stream: str) -> list[str]:
    """What the window lacks, as far as times and captures tell."""
    rows: list[tuple[str, str]] = []
    if window.chosen:
        rows += [("  no item speaks for", text) for text in _spans(window.uncovered())]
        rows += _capture_rows(window, stream)
    if window.by_received:
        rows.append(
            (
                "  no readable times",
                f"{exhibit_ranges(window.by_received)}: taken because received in the window",
            )
        )
    if window.untimed:
        rows.append(
            (
                "  left out",
                f"{exhibit_ranges(window.untimed)}: no readable times, received outside the window",
            )
        )
    if window.withdrawn:
        rows.append(("  left out", f"{exhibit_ranges(window.withdrawn)}: withdrawn from {stream}"))
    if window.not_captured:
        counted = count_text(window.not_captured, "thing")
        rows.append(("  not captured", f"{counted}, met when the stream was collected"))
    if not rows:
        return ["The window lacks nothing that times and captures could tell."] * bool(
            window.chosen
        )
    return ["What the window lacks, or cannot say:", *columns(rows)]


def _capture_rows(window: Window, stream: str) -> list[tuple[str, str]]:
    if window.captured_within():
        return [("  no capture in", text) for text in _spans(window.pauses())]
    after = [moment for moment in window.captures if moment > window.end]
    if not after:
        return [("  not collected", f"{stream} was last captured {_plain(max(window.captures))}")]
    late = f"{span_text(min(after) - window.end)} after the window"
    return [("  collected late", f"{late}: what the sources still had by then")]


def _spans(spans: Sequence[Interval]) -> list[str]:
    shown = [f"{_plain(start)} to {_plain(end)} ({span_text(end - start)})"
             for start, end in spans[:_SHOWN]]  # fmt: skip
    if len(spans) > _SHOWN:
        shown.append(f"{len(spans) - _SHOWN:,} more; --json tells all")
    return shown


def _plain(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"
