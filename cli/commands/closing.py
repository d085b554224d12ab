"""`evault incident close`: sealing an incident, after telling what is still open."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated

import typer

from cli.chains import incident_or_only
from cli.commands.retention import binding, gone_lines
from cli.options import AsJson, IncidentArgument, OptionalReason
from cli.render import ObjectLine, count_text, labelled, paragraph, prose, span_text
from cli.session import Answer, give, place_text, vault_of
from vault.completeness import built_in_profile, left_open
from verify.report import printable
from verify.strictjson import Object


def register(app: typer.Typer) -> None:
    """Add the command to those about incidents."""
    app.command()(close)


def close(
    context: typer.Context,
    incident: IncidentArgument = None,
    reason: OptionalReason = None,
    compliance: Annotated[
        bool,
        typer.Option(
            "--compliance",
            help="Lock its evidence in compliance mode: nobody can remove it before its "
            "retention ends, and this cannot be undone.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Close and seal an incident; afterwards only reading, holds and exports are recorded.

    What is still open is told before, on standard error, and stops nothing: clocks, offered
    roles, gaps of the checklist, holds.
    """
    with vault_of(context) as vault:
        name = incident_or_only(vault, incident, as_json=as_json)
        chain = vault.incidents.read(name)
        left = None
        if not chain.incident.sealed:
            left = left_open(vault.incidents, chain, built_in_profile(), vault.clock())
        # Who may not close it is told just that, by the closing itself.
        if left and not as_json and vault.incidents.may_close(name):
            for line in _open_lines(name, left):
                print(printable(line), file=sys.stderr, flush=True)
        if compliance and not chain.incident.sealed:
            vault.retention.check_compliance(name)
        receipt = vault.incidents.close(name, reason, compliance=compliance)
        lines, code = prose(f"{name}  ", f"closed and sealed {place_text(receipt)}"), 0
        if compliance:
            with ObjectLine("locking") as progress:
                laid = vault.retention.apply(name, progress.show)
            told = (
                f"{count_text(laid.objects, 'object')} locked in compliance mode: nobody can "
                "remove them before their retention ends"
            )
            lines += [*paragraph("  ", told), *binding(vault), *gone_lines(laid)]
            code = 1 if laid.gone else 0
    data: Object = {"incident": name, "open": left, "receipt": receipt.to_json()}
    give(Answer(lines, data, code), as_json=as_json)


def _open_lines(name: str, left: Object) -> list[str]:
    rows = [("clock", _clock(each)) for each in left["clocks"]]
    rows += [("offer", _offer(each)) for each in left["offers"]]
    rows += [("gap", _gap(each)) for each in left["gaps"]]
    rows += [("waived", each) for each in left["waived"]]
    rows += [("hold", f"for {each['matter']} (link {each['sequence']})") for each in left["holds"]]
    if left["unjudged"]:
        told = f"clocks and gaps are not known, the checklist cannot be judged: {left['unjudged']}"
        rows.append(("unknown", told))
    what = "this is open:" if rows else "nothing is open."
    lines = prose(f"{name}  ", f"before the seal, by links 0 to {left['head']['sequence']}, {what}")
    lines += labelled(rows)
    told = f"After the seal nobody can add {_listed(left['no_longer'])}, unless it is reopened: "
    return [*lines, *prose("", f"{told}evault incident reopen {name} --reason TEXT")]


_ADDED = {
    "attestation": "attestations",
    "capture": "evidence",
    "incident": "amendments, scope, roles, updates, phases",
    "waiver": "waivers",
}
"""What the statements are called that a person adds."""


def _listed(types: Sequence[str]) -> str:
    words = [_ADDED[each] for each in types]
    return f"{', '.join(words[:-1])} or {words[-1]}"


def _clock(each: Object) -> str:
    left = span_text(timedelta(seconds=each["left_seconds"]))
    if each["standing"] == "running":
        return f"{each['title']}: runs on, {left} left until {each['deadline']}"
    return f"{each['title']}: breached by {left}, due {each['deadline']} and without an end"


def _offer(each: Object) -> str:
    keeps = f"{each['holder']} keeps it" if each["holder"] else "nobody holds it"
    return f"{each['role']} is offered to {each['offered_to']}, who has not accepted; {keeps}"


def _gap(each: Object) -> str:
    reason = f": {each['reason']}" if each["reason"] else ""
    return f"{each['item']} {each['title']}, {each['state']}{reason}"
