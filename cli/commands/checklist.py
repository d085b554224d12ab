"""`evault checklist`: which evidence is there, which duties are done, what to fetch first."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Optional

import typer

from cli.options import AsJson, IncidentArgument
from cli.profile_source import read_profile
from cli.render import WIDTH, columns, count_text
from cli.session import Answer, UsageError, give, incident_or_only, read_time, vault_of
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
    as_of: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--as-of", metavar="TIME", help="Judge clocks and expiries at this time."),
    ] = None,
    at_sequence: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option("--at-sequence", metavar="N", help="Judge by what links 0 to N said."),
    ] = None,
    profile: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--profile", metavar="FILE", help="Another profile than the runbook's."),
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show every condition with its exhibits.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Hold evidence and duties against the runbook's checklist, as of now."""
    if require not in (None, "complete"):
        raise UsageError(f"--require knows only: complete, not {require!r}")
    if seal and (as_of is not None or at_sequence is not None):
        raise UsageError("--seal seals what is known now; it takes no --as-of and no --at-sequence")
    built_in = built_in_profile()
    used = read_profile(profile, built_in) if profile else built_in
    with vault_of(context) as vault:
        name = incident_or_only(vault, incident, as_json=as_json)
        chain = vault.incidents.read(name, up_to=at_sequence)
        moment = read_time(as_of) or vault.clock()
        report = report_of(vault.incidents, chain, used, moment)
        receipt = None
        if seal:
            receipt = seal_report(
                incidents=vault.incidents,
                store=vault.store,
                clock=vault.clock,
                chain=chain,
                profile=used,
                report=report,
                as_of=moment,
                protection=vault.retention.guard(chain.incident.id).needs(()),
            )
    lines = _lines(report, explain)
    if used.name == built_in.name and used.version < built_in.version:
        lines.append(f"A newer profile exists: {built_in.name} version {built_in.version}")
    if receipt:
        lines.append(f"Sealed as chain link {receipt.sequence}, log entry {receipt.index}")
    complete = report["verdict"] in ("complete", "complete_with_waivers")
    data: Object = {
        "counts": report["counts"],
        "incident": name,
        "items": report["evidence"] + report["duties"],
        "receipt": receipt.to_json() if receipt else None,
        "report": report,
        "verdict": report["verdict"],
    }
    give(Answer(lines, data, 1 if require and not complete else 0), as_json=as_json)


def _lines(report: Object, explain: bool) -> list[str]:
    lines = []
    for label, name in (("Evidence", "evidence"), ("Duties", "duties")):
        lines.append(f"{label}: {_counted(report['counts'][name])}")
        lines += _rows(report[name], explain)
    for each in report["contradictions"]:
        sides = "; ".join(f"{side['record']}: {side['says']}" for side in each["sides"][:4])
        settled = each["closed_by"]
        head = "Settled" if settled else "Contradicted"
        lines += _folded(f"{head}: ", f"{each['condition']}  {sides}")
    for waiver in report["waivers"]:
        covers = ", ".join(waiver["covers"]) or "nothing"
        told = f"{waiver['standing']} until {waiver['valid_to']}, covers {covers}"
        lines += _folded(f"Waiver {waiver['id']}: ", told)
    if report["outside_scope"]:
        outside = [f"{each['what']} {each['name']}" for each in report["outside_scope"]]
        more = f" and {len(outside) - 3} more" if len(outside) > 3 else ""
        lines += _folded("Not registered, and in evidence: ", f"{', '.join(outside[:3])}{more}")
    if report["unregistered"]:
        lines += _folded("Never registered: ", ", ".join(report["unregistered"]))
    newer = report["profile"]["newer"]
    if newer:
        told = f"link {newer['link']} was judged by version {newer['version']} of this profile"
        lines += _folded("Profile: ", told)
    return lines + _steps(report["next"], explain)


def _counted(counts: Object) -> str:
    told = [f"{counts['satisfied']} of {counts['of']} satisfied"]
    told += [
        f"{counts[state]} {state.replace('_', ' ')}"
        for state in ("partial", "missing", "contradicted", "waived", "not_applicable")
        if counts[state]
    ]
    return ", ".join(told)


def _rows(items: Sequence[Object], explain: bool) -> list[str]:
    lines = []
    heads = columns([(item["id"], item["title"], _state(item)) for item in items])
    widest = max((len(head) for head in heads), default=0)
    for head, item in zip(heads, items, strict=True):
        reason = printable(item["reason"]) if item["state"] != "missing" or explain else ""
        wrapped = textwrap.wrap(reason, WIDTH - widest - 2) or [""]
        lines.append(f"{head.ljust(widest)}  {wrapped[0]}".rstrip())
        lines += [f"{'':<{widest}}  {more}" for more in wrapped[1:]]
        if explain:
            lines += [
                f"     {condition['answer']:<8} {condition['id']}"
                f"{': ' if condition['detail'] else ''}{printable(condition['detail'])}"
                for condition in (*item["conditions"], *item["checks"])
            ]
    return lines


def _state(item: Object) -> str:
    """The state, and whether it was in time where that is not plain: two axes, never one word."""
    state = item["state"].replace("_", " ")
    if item["underlying"]:
        state += f" ({item['underlying']})"
    late = item["timeliness"] not in (None, "on_time")
    return f"{state}, {item['timeliness']}" if late else state


def _folded(label: str, text: str) -> list[str]:
    width = WIDTH - len(label)
    wrapped = textwrap.wrap(printable(text), width, break_on_hyphens=False) or [""]
    indent = " " * len(label)
    return [f"{label}{wrapped[0]}", *(f"{indent}{more}" for more in wrapped[1:])]


def _steps(steps: Sequence[Object], explain: bool) -> list[str]:
    if not steps:
        return []
    lines = []
    label = "Next (vanishes first): "
    for step in steps if explain else steps[:1]:
        lines.append(f"{label}{printable(shlex.join(step['command']))}")
        label = " " * len(label)
    if not explain and len(steps) > 1:
        more = count_text(len(steps) - 1, "more step")
        lines.append(f"{more}: evault checklist --explain")
    return lines
