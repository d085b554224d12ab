"""`evault stream …`: what is collected before there is an incident."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.chains import check_reads, check_stream
from cli.options import AsJson
from cli.render import columns, count_text, size_text
from cli.session import Answer, give, vault_of
from cli.vault import Vault
from vault.documents import captures_of, covering_json, stream_json
from vault.incidents import Chain
from vault.preserve import claimed_by
from verify.coverage import Interval
from verify.instant import format_instant
from verify.statement import STREAM
from verify.strictjson import Object

_app = typer.Typer(
    help="Streams: evidence collected before there is an incident. evault ingest stream:NAME PATH "
    "begins one; evault preserve brings a window of it into an incident.",
    no_args_is_help=True,
)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(_app, name="stream")


@_app.command("list")
def list_(context: typer.Context, as_json: AsJson = False) -> None:
    """List all streams."""
    with vault_of(context) as vault:
        check_reads(vault)
        streams = vault.incidents.streams()
        rows = []
        for chain in streams:
            last = captures_of(chain)[-1]
            rows.append(
                (
                    chain.state.id,
                    count_text(len(captures_of(chain)), "capture"),
                    count_text(len(chain.state.exhibits), "item"),
                    size_text(_size(chain)),
                    f"last {last[:16].replace('T', ' ')}Z",
                )
            )
        lines = columns(rows) or [
            "There is no stream yet; begin one: evault ingest stream:NAME PATH"
        ]
        data: Object = {
            "counts": {"streams": len(streams)},
            "items": [stream_json(chain) for chain in streams],
        }
        give(Answer(lines, data), as_json=as_json)


@_app.command()
def show(
    context: typer.Context,
    stream: Annotated[str, typer.Argument(metavar="STREAM", help="A stream, like stream:web.")],
    as_json: AsJson = False,
) -> None:
    """Show a stream: since when it collects, what its items cover, where they were brought in."""
    name = check_stream(stream if stream.startswith(STREAM) else f"{STREAM}{stream}")
    with vault_of(context) as vault:
        check_reads(vault)
        chain = vault.incidents.read(name)
        covers = claimed_by(vault.incidents, chain)
        data = covering_json(chain, covers)
        lines = [name, *(f"  {row}" for row in columns(_rows(vault, chain, covers)))]
        give(Answer(lines, data), as_json=as_json)


def _rows(vault: Vault, chain: Chain, covers: Interval | None) -> list[tuple[str, str]]:
    stream, captures = chain.stream, captures_of(chain)
    ends = captures[0] if len(captures) == 1 else f"{captures[0]} to {captures[-1]}"
    withdrawn = sum(1 for each in stream.exhibits.values() if each.withdrawn is not None)
    kept = count_text(len(stream.exhibits), "item")
    kept += f", {withdrawn} withdrawn" if withdrawn else ""
    missed = f"; {stream.not_captured} met and not captured" if stream.not_captured else ""
    times = f"{format_instant(covers[0])} to {format_instant(covers[1])}" if covers else "no times"
    rows = [
        ("received", f"{count_text(len(captures), 'capture')}, {ends} (vault's clock)"),
        ("items", f"{kept}, {size_text(_size(chain))}{missed}"),
        ("covers", f"{times} (claimed)"),
    ]
    dates = [each.retain_until for each in vault.retention.kept(chain).values()]
    if dates and all(dates):
        rows.append(("kept", f"until {min(date for date in dates if date):%Y-%m-%d} at least"))
    rows += [("on hold", f"for {hold.matter} (link {hold.sequence})") for hold in stream.live_holds]
    rows += [
        ("preserved", f"{count_text(len(items), 'item')} into {incident}")
        for incident, items in sorted(stream.preserved.items())
    ]
    rows.append(("chain", f"links 0-{stream.sequence}, head {stream.leaf}"))
    return rows


def _size(chain: Chain) -> int:
    return sum(exhibit.item.size for exhibit in chain.state.exhibits.values())
