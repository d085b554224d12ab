"""`evault evidence …`: list, show and get exhibits; withdraw and classify them by statement."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Optional

import typer

from cli.chains import chain_or_only, split_chain
from cli.commands.retention import owed_lines
from cli.newfile import check_new_file, write_new_file
from cli.options import AsJson, ChainArgument, OptionalReason, Reason, stated
from cli.render import clip, columns, size_text
from cli.session import Answer, UsageError, give, vault_of
from cli.summary import facts_rows
from cli.vault import Vault
from vault.custody import exhibit_ranges
from vault.documents import exhibit_json, shown_json
from vault.ports import Protection
from verify.description import Description, safe_name
from verify.incident import ChainState, Exhibit
from verify.instant import format_instant
from verify.report import printable
from verify.statement import Kind, check_kind
from verify.strictjson import Object

_app = typer.Typer(help="Look at exhibits, take them out, correct them.", no_args_is_help=True)

OneExhibit = Annotated[
    list[str],
    typer.Argument(
        metavar="[INCIDENT|STREAM] EXHIBIT",
        help="An exhibit like EV-0001; its incident may be left out while only one is open.",
    ),
]
SomeExhibits = Annotated[
    list[str],
    typer.Argument(
        metavar="[INCIDENT|STREAM] EXHIBIT...",
        help="Exhibits like EV-0001; the incident may be left out while only one is open.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(_app, name="evidence")


@_app.command("list")
def list_(
    context: typer.Context,
    incident: ChainArgument = None,
    as_json: AsJson = False,
) -> None:
    """List the exhibits of an incident, or the items of a stream."""
    with vault_of(context) as vault:
        chain = vault.incidents.read(chain_or_only(vault, incident, as_json=as_json))
        described = vault.incidents.descriptions(chain)
        rows, items = [], []
        for name, exhibit in chain.state.exhibits.items():
            description = described[name]
            state = "withdrawn" if exhibit.withdrawn is not None else ", ".join(exhibit.kinds)
            rows.append(
                (
                    name,
                    clip(description.name, 48),
                    size_text(exhibit.item.size),
                    description.label,
                    state,
                    exhibit.item.sha256[:12],
                )
            )
            items.append(exhibit_json(exhibit, description))
        lines = columns(rows) or [
            f"{chain.state.id} has no exhibits yet; see: evault ingest --help"
        ]
        data: Object = {
            "counts": {"items": len(items)},
            "incident": chain.state.id,
            "items": items,
        }
        give(Answer(lines, data), as_json=as_json)


@_app.command()
def show(
    context: typer.Context,
    words: OneExhibit,
    as_json: AsJson = False,
) -> None:
    """Show what is sealed about an exhibit; its content is not read."""
    with vault_of(context) as vault:
        name, (exhibit_id,) = _one_exhibit(words)
        chain = vault.incidents.read(chain_or_only(vault, name, as_json=as_json))
        exhibit = vault.incidents.exhibits_named(chain, [exhibit_id])[0]
        description = vault.incidents.descriptions(chain)[exhibit_id]
        kept = vault.retention.kept(chain)[exhibit_id]
        rows = [
            *_show_rows(exhibit, description),
            *_origin_rows(vault, exhibit),
            *_kept_rows(chain.state, kept),
        ]
        lines = [f"{chain.state.id} {exhibit_id}", *(f"  {row}" for row in columns(rows))]
        data = shown_json(chain.state.id, exhibit, description, kept)
        give(Answer(lines, data), as_json=as_json)


@_app.command()
def get(
    context: typer.Context,
    words: OneExhibit,
    output: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="A new file; - is standard output; else the exhibit's name, here.",
        ),
    ] = None,
    purpose: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--purpose", metavar="TEXT", help="Why it is read; it is sealed.", callback=stated
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Take out an exhibit's bytes, checked; the reading is recorded before the first byte."""
    if as_json and str(output) == "-":
        raise UsageError("--json and -o - would both write to standard output")
    with vault_of(context) as vault:
        given, (exhibit_id,) = _one_exhibit(words)
        name = chain_or_only(vault, given, as_json=as_json)
        chain = vault.incidents.read(name)
        exhibit = vault.incidents.exhibits_named(chain, [exhibit_id])[0]
        description = vault.incidents.descriptions(chain)[exhibit_id]
        target = output or Path(safe_name(description.name))
        if str(target) != "-":
            check_new_file(target)
        receipt, pieces = vault.contents.take_out(name, exhibit_id, purpose)
        if str(target) == "-":
            for piece in pieces:
                sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()
            return
        write_new_file(target, pieces)
        line = (
            f"{exhibit_id} -> {printable(str(target))}: {size_text(exhibit.item.size)}, "
            f"as sealed; recorded as link {receipt.sequence}"
        )
        data: Object = {
            "incident": name,
            "items": [exhibit_json(exhibit, description)],
            "output": str(target),
            "receipt": receipt.to_json(),
        }
        give(Answer([line], data), as_json=as_json)


@_app.command()
def withdraw(
    context: typer.Context,
    words: SomeExhibits,
    reason: Reason,
    as_json: AsJson = False,
) -> None:
    """Say that exhibits were sealed by mistake; they stay, and no longer count."""
    _correct(context, words, "withdrawn", {"reason": reason}, as_json)


@_app.command()
def classify(
    context: typer.Context,
    words: SomeExhibits,
    kind: Annotated[
        list[str],
        typer.Option("--kind", metavar="KIND", help=f"What it is, repeatable: {', '.join(Kind)}."),
    ],
    reason: OptionalReason = None,
    as_json: AsJson = False,
) -> None:
    """Say what exhibits are evidence of; what the parser said stays on the chain."""
    kinds = [check_kind(each.replace("-", "_")) for each in dict.fromkeys(kind)]
    _correct(context, words, "classified", {"kinds": kinds, "reason": reason}, as_json)


def _correct(
    context: typer.Context, words: list[str], event: str, details: Object, as_json: bool
) -> None:
    given, exhibits = _exhibits(words)
    with vault_of(context) as vault:
        name = chain_or_only(vault, given, as_json=as_json)
        receipt = vault.incidents.custody(name, event, exhibits, details)
        told = f" as {', '.join(details['kinds'])}" if "kinds" in details else ""
        line = (
            f"{name}  {exhibit_ranges(exhibits)} {event}{told} "
            f"(chain link {receipt.sequence}, log entry {receipt.index})"
        )
        owed = owed_lines(vault) if event == "classified" else []
        data: Object = {"incident": name, "receipt": receipt.to_json()}
        give(Answer([line, *owed], data, 1 if owed else 0), as_json=as_json)


def _exhibits(words: list[str]) -> tuple[str | None, list[str]]:
    given, exhibits = split_chain(words)
    if not exhibits:
        raise UsageError("name at least one exhibit like EV-0001")
    return given, list(dict.fromkeys(exhibits))


def _one_exhibit(words: list[str]) -> tuple[str | None, list[str]]:
    given, exhibits = _exhibits(words)
    if len(exhibits) != 1:
        raise UsageError("expected [INCIDENT] EXHIBIT")
    return given, exhibits


_LISTED = ("lacks", "wrong")  # these have rows of their own


def _show_rows(exhibit: Exhibit, description: Description) -> list[tuple[str, str]]:
    modified = description.modified_at
    rows = [
        ("name", description.name),
        ("path", description.path),
        ("format", f"{description.label}: {description.summary}"),
        ("kinds", ", ".join(exhibit.kinds)),
        ("size", f"{exhibit.item.size:,} bytes"),
        ("sha256", exhibit.item.sha256),
        ("modified", f"{format_instant(modified)} (claimed)" if modified else "not known"),
        ("captured", f"{format_instant(description.captured_at)} (collector's clock)"),
        ("received", f"{format_instant(exhibit.received_at)} (vault's clock)"),
        ("link", str(exhibit.sequence)),
        ("method", exhibit.method),
    ]
    rows += [("system", exhibit.system)] if exhibit.system else []
    rows += [("source", exhibit.source)] if exhibit.source else []
    rows += [("remark", remark) for remark in description.remarks]
    rows += [(label, text) for label, text in facts_rows(description.facts) if label not in _LISTED]
    rows += [("problem", problem) for problem in description.facts.problems]
    rows += [("not in it", missing) for missing in description.facts.not_captured]
    if exhibit.withdrawn is not None:
        rows.append(("withdrawn", exhibit.withdrawn))
    return rows


def _origin_rows(vault: Vault, exhibit: Exhibit) -> list[tuple[str, str]]:
    """Of what was preserved: the item that it restates, and since when the vault has had that."""
    origin = exhibit.item.origin
    if origin is None:
        return []
    cited = vault.incidents.read(origin.chain, up_to=origin.sequence).manifests[-1].statement
    received = format_instant(cited.recorded_at)
    told = f"{origin.chain} {origin.exhibit}, received there {received} (link {origin.sequence})"
    return [("restates", told)]


def _kept_rows(state: ChainState, kept: Protection) -> list[tuple[str, str]]:
    """Until when it is kept, and for whom it is on hold."""
    rows = []
    if kept.retain_until:
        rows.append(("kept", f"until {format_instant(kept.retain_until)} at least"))
    rows += [("on hold", f"for {hold.matter}") for hold in state.live_holds]
    if kept.held and not state.live_holds:
        rows.append(("on hold", "for others, whose evidence lies in the same object"))
    return rows
