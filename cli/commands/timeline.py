"""`evault timeline`: what the chain tells and what the exhibits cover, on one axis."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Optional

import typer

from cli.chains import incident_or_only
from cli.newfile import check_new_file, print_bytes, write_new_file
from cli.options import AsJson, IncidentArgument
from cli.render import clip, columns, count_text, span_text
from cli.session import Answer, UsageError, give, vault_of
from cli.settings import version
from vault.documents import timeline_json
from vault.timeline import Claimant, Line, Timeline, Unplaced, timeline_csv, timeline_of
from vault.timeline_page import timeline_page
from verify.instant import format_instant

_DETAIL_WIDTH = 72
_CITES_WIDTH = 20
_DAY = 11  # characters of "2026-11-23T"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("timeline")(timeline)


def timeline(
    context: typer.Context,
    incident: IncidentArgument = None,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Print comma-separated values; formulas are defused.")
    ] = False,
    html: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--html", metavar="FILE", help="Write a page to a new file."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show on one axis what people stated, what exhibits cover, and what the vault received.

    Claimed, received and stamped times stand apart; each line cites an exhibit or a link.
    """
    if as_csv and (as_json or html):
        raise UsageError("--csv prints a table and nothing else; leave out --json and --html")
    if html is not None:
        check_new_file(html, option="--html")
    with vault_of(context) as vault:
        name = incident_or_only(vault, incident, as_json=as_json)
        chain = vault.incidents.read(name)
        drawn = timeline_of(chain.manifests, chain.incident, vault.incidents.descriptions(chain))
        if html is not None:
            page = timeline_page(chain.incident, drawn, evault=version())
            write_new_file(html, [page], option="--html")
    if as_csv:
        print_bytes(timeline_csv(drawn))
        return
    data = timeline_json(chain.incident, drawn, str(html) if html else None)
    lines = [f"{html}  {_counted(drawn)}"] if html else _text(drawn)
    give(Answer(lines, data), as_json=as_json)


def _text(drawn: Timeline) -> list[str]:
    rows = [("UTC", "clock", "received", "cites", "what", ""), *_rows(drawn.lines)]
    lines = columns(rows)
    if drawn.unplaced:
        lines.append("Without a place, as their records name no instant:")
        lines += [f"  {each}" for each in columns([_beside(each) for each in drawn.unplaced])]
    lines.append(
        f"{_counted(drawn)}. Claimed, unless the clock is vault; received so much later; "
        "nothing is stamped"
    )
    return lines


def _counted(drawn: Timeline) -> str:
    beside = f", {count_text(len(drawn.unplaced), 'exhibit')} without a place"
    return f"{count_text(len(drawn.lines), 'line')}{beside if drawn.unplaced else ''}"


def _rows(lines: Sequence[Line]) -> list[tuple[str, str, str, str, str, str]]:
    rows, day = [], ""
    for line in lines:
        start = format_instant(line.start)
        end = format_instant(line.claim.end) if line.claim else start
        when = start[_DAY:] if start[:_DAY] == day else f"{start[: _DAY - 1]} {start[_DAY:]}"
        if end != start:
            one_day = end[:_DAY] == start[:_DAY]
            when += f"-{end[_DAY:]}" if one_day else f" to {end[: _DAY - 1]} {end[_DAY:]}"
        # Starts stand under each other; the day only where it changes.
        when = when if start[:_DAY] != day else f"{'':<{_DAY}}{when}"
        day = start[:_DAY]
        cites = clip(line.cites, _CITES_WIDTH)
        detail = clip(line.detail, _DETAIL_WIDTH)
        rows.append((when, _clock(line), _later(line), cites, line.event, detail))
    return rows


def _clock(line: Line) -> str:
    """Whose clock, and how good: `vault`, `stated`, `text s`, `mixed ns ns`."""
    if line.claim is None:
        return "vault"
    if line.claim.by == Claimant.PERSON:
        return "stated"
    quality = line.claim.quality
    zone = "" if quality.zone == "zoned" else quality.zone  # else it would stand elsewhere
    return " ".join(each for each in (zone, quality.unit, quality.precision) if each)


def _later(line: Line) -> str:
    if line.claim is None:
        return ""
    delay = line.received - line.claim.end
    return f"{'+' if delay >= timedelta(0) else '-'}{span_text(delay)}"


def _beside(each: Unplaced) -> tuple[str, str]:
    raw = f": {each.raw_first} to {each.raw_last}" if each.raw_first else ""
    return each.exhibit, clip(f"{each.reason}{raw}", _DETAIL_WIDTH)
