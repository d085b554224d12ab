"""`evault hold …`: legal holds, laid on an incident by matters, and released by two persons."""

from __future__ import annotations

from typing import Annotated, Optional

import typer

from cli.chains import chain_or_only, check_chain
from cli.commands.request import asked, asks_for_approval
from cli.commands.retention import (
    binding,
    drift_lines,
    gone_lines,
    looked_up,
    worst,
)
from cli.options import ApprovalExhibits, AsJson, ChainArgument, Reason, stated
from cli.render import ObjectLine, count_text, paragraph
from cli.session import Answer, give, vault_of
from cli.vault import Vault
from vault.custody import exhibit_ranges
from vault.documents import hold_released_json, hold_set_json, holds_json
from vault.incidents import Chain
from verify.incident import ChainState

_app = typer.Typer(help="Legal holds on an incident's evidence.", no_args_is_help=True)

MatterOption = Annotated[
    str,
    typer.Option("--matter", metavar="NAME", help="The matter whose hold it is.", callback=stated),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(_app, name="hold")


@_app.command("set")
def set_(
    context: typer.Context,
    matter: MatterOption,
    reason: Reason,
    incident: ChainArgument = None,
    ordered_by: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--ordered-by",
            metavar="PERSON",
            help="Who ordered it; recorded as your word.",
            callback=stated,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Lay a matter's hold on all evidence of an incident, also on what is still to come.

    It acts at once, before and after the retention ends, until every matter has released its own.
    """
    with vault_of(context) as vault:
        name = chain_or_only(vault, incident, as_json=as_json)
        with ObjectLine("holding") as line:
            receipt, laid = vault.retention.set_hold(name, matter, reason, ordered_by, line.show)
        exhibits = len(vault.incidents.read(name).state.exhibits)
        told = (
            f"on hold for {matter}: {count_text(exhibits, 'exhibit')} in "
            f"{count_text(laid.objects, 'object')}, and all still to come "
            f"(chain link {receipt.sequence}, log entry {receipt.index})"
        )
        lines = [*paragraph(f"{name}  ", told), *binding(vault), *gone_lines(laid)]
        data = hold_set_json(name, matter, exhibits, laid, receipt)
        give(Answer(lines, data, 1 if laid.gone else 0), as_json=as_json)


@_app.command()
def release(
    context: typer.Context,
    matter: MatterOption,
    reason: Reason,
    approved_by: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--approved-by",
            metavar="PERSON",
            help="Who approved it, not you; attested by you, not authenticated. Through a server, "
            "leave it out: it is asked for, see evault request.",
            callback=stated,
        ),
    ] = None,
    exhibit: ApprovalExhibits = None,
    incident: ChainArgument = None,
    as_json: AsJson = False,
) -> None:
    """Release a matter's hold; it takes a second person's approval, sealed as an exhibit.

    Evidence stays on hold while another matter holds it, and is retained as before in any case.
    """
    exhibits = list(dict.fromkeys(exhibit or ()))
    asking = asks_for_approval(context, approved_by, exhibits)
    with vault_of(context) as vault:
        name = chain_or_only(vault, incident, as_json=as_json)
        if asking and vault.requests:
            request = vault.requests.ask_for_release(name, matter, reason, exhibits)
            give(asked(name, "released", request), as_json=as_json)
        assert approved_by is not None
        with ObjectLine("releasing") as line:
            receipt, done = vault.retention.release_hold(
                name, matter, reason, approved_by, exhibits, line.show
            )
        state = vault.incidents.read(name).state
        live = [hold.matter for hold in state.live_holds]
        lines = paragraph(
            f"{name}  ",
            f"released for {matter} (chain link {receipt.sequence}, log entry {receipt.index})",
        )
        lines += paragraph(
            "  ",
            f"approved by {approved_by}, as you attest by {exhibit_ranges(exhibits)}; "
            "evault authenticated nobody but you",
        )
        lines += paragraph(
            "  ",
            f"still on hold for {', '.join(live)}: {count_text(done.still_held, 'object')}"
            if live
            else f"no matter holds it any more: {count_text(done.released, 'object')} released; "
            "what is retained stays retained",
        )
        if done.still_held and not live:
            lines += paragraph(
                "  ",
                f"{count_text(done.still_held, 'object')} shared with others stay on hold for them",
            )
        lines += gone_lines(done)
        data = hold_released_json(state, matter, done, receipt)
        give(Answer(lines, data, 1 if done.gone else 0), as_json=as_json)


@_app.command("list")
def list_(
    context: typer.Context,
    incident: Annotated[
        Optional[str],  # noqa: UP045
        typer.Argument(metavar="[INCIDENT|STREAM]", help="One of them; all if left out."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List live and released holds, and whether the store's own locks agree with them.

    Exit code 1 where the store lacks what the chain demands, 2 where it could not say.
    """
    check_chain(incident)
    with vault_of(context) as vault:
        chains = _chains(vault, incident)
        found = looked_up(vault, [chain for chain in chains if chain.state.holds])
        lines = []
        for chain in chains:
            if chain.state.holds:
                objects, drift = found[chain.state.id]
                lines += _hold_lines(chain.state, objects)
                lines += drift_lines(vault, drift)
        lines = lines or [_nothing(incident)]
        data = holds_json([chain.state for chain in chains], found)
        give(Answer(lines, data, worst(found.values())), as_json=as_json)


def _chains(vault: Vault, incident: str | None) -> list[Chain]:
    if incident is not None:
        return [vault.incidents.read(incident)]
    return [vault.incidents.read(each) for each in vault.incidents.evidence_chains()]


def _nothing(incident: str | None) -> str:
    return f"No matter ever held {incident or 'anything here'}; see: evault hold set --help"


def _hold_lines(state: ChainState, objects: int) -> list[str]:
    live = len(state.live_holds)
    told_state = (
        f"on hold: {count_text(len(state.exhibits), 'exhibit')} in {count_text(objects, 'object')}"
        if live
        else "not on hold any more"
    )
    lines = [f"{state.id}  {told_state}"]
    for hold in state.holds:
        label = "  live      " if hold.released_by is None else "  released  "
        told = f"{hold.matter}, since {hold.recorded_at:%Y-%m-%d} (link {hold.sequence})"
        if hold.set_by.ordered_by:
            told += f", ordered by {hold.set_by.ordered_by}"
        told += f': "{hold.set_by.reason}"'
        if hold.released_by and hold.released_by.approval:
            approval, exhibits = hold.released_by.approval, hold.released_by.exhibits
            shown = f", {exhibit_ranges(exhibits)}" if exhibits else ""
            told += (
                f"; released by link {hold.released_sequence}, approved by {approval.person} "
                f"({approval.words}{shown}): "
                f'"{hold.released_by.reason}"'
            )
        lines += paragraph(label, told)
    return lines
