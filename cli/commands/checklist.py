"""`evault checklist`: which evidence is there, what is missing, what to fetch first."""

from __future__ import annotations

import shlex
import textwrap
from typing import Annotated, Optional

import typer

from cli.options import AsJson, IncidentArgument
from cli.render import WIDTH, columns, count_text
from cli.session import Answer, UsageError, give, incident_or_only, vault_of
from vault.completeness import built_in_profile, report_of, seal_report
from verify.report import printable
from verify.strictjson import Object


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("checklist")(checklist)


def checklist(
    context: typer.Context,
    incident: IncidentArgument = None,
    require: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--require", metavar="complete", help="Make gaps exit code 1."),
    ] = None,
    seal: Annotated[bool, typer.Option("--seal", help="Seal the report onto the chain.")] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show every condition with its exhibits.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Hold the evidence against the runbook's checklist, as of now."""
    if require not in (None, "complete"):
        raise UsageError(f"--require knows only: complete, not {require!r}")
    with vault_of(context) as vault:
        name = incident_or_only(vault, incident, as_json=as_json)
        chain = vault.incidents.read(name)
        profile, as_of = built_in_profile(), vault.clock()
        report = report_of(vault.incidents, chain, profile, as_of)
        receipt = None
        if seal:
            receipt = seal_report(
                incidents=vault.incidents,
                store=vault.store,
                clock=vault.clock,
                chain=chain,
                profile=profile,
                report=report,
                as_of=as_of,
                protection=vault.retention.guard(chain.incident.id).needs(()),
            )
    lines = _lines(report, explain)
    if receipt:
        lines.append(f"Sealed as chain link {receipt.sequence}, log entry {receipt.index}")
    complete = report["verdict"] in ("complete", "complete_with_waivers")
    data: Object = {
        "counts": report["counts"],
        "incident": name,
        "items": report["evidence"],
        "receipt": receipt.to_json() if receipt else None,
        "report": report,
        "verdict": report["verdict"],
    }
    give(Answer(lines, data, 1 if require and not complete else 0), as_json=as_json)


def _lines(report: Object, explain: bool) -> list[str]:
    counts = report["counts"]["evidence"]
    told = [f"{counts['satisfied']} of {counts['of']} satisfied"]
    told += [
        f"{counts[state]} {state.replace('_', ' ')}"
        for state in ("partial", "missing", "contradicted", "waived", "not_applicable")
        if counts[state]
    ]
    lines = [f"Evidence: {', '.join(told)}"]
    heads = columns([(item["id"], item["title"], item["state"]) for item in report["evidence"]])
    widest = max(len(head) for head in heads)
    for head, item in zip(heads, report["evidence"], strict=True):
        reason = printable(item["reason"]) if item["state"] != "missing" or explain else ""
        wrapped = textwrap.wrap(reason, WIDTH - widest - 2) or [""]
        lines.append(f"{head.ljust(widest)}  {wrapped[0]}".rstrip())
        lines += [f"{'':<{widest}}  {more}" for more in wrapped[1:]]
        if explain:
            lines += [
                f"     {condition['answer']:<8} {condition['id']}"
                f"{': ' if condition['detail'] else ''}{printable(condition['detail'])}"
                for condition in item["conditions"]
            ]
    steps = report["next"]
    if steps:
        shown = steps if explain else steps[:1]
        label = "Next (vanishes first): "
        for step in shown:
            lines.append(f"{label}{printable(shlex.join(step['command']))}")
            label = " " * len(label)
        if not explain and len(steps) > 1:
            more = count_text(len(steps) - 1, "more step")
            lines.append(f"{more}: evault checklist --explain")
    return lines
