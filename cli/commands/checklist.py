"""`evault checklist`: which evidence is there, which duties are done, what to fetch first."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Optional

import typer

from cli.newfile import write_new_file
from cli.options import AsJson, IncidentArgument
from cli.profile_source import read_profile
from cli.render import WIDTH, clip, columns, count_text, span_text
from cli.session import (
    Answer,
    UsageError,
    check_new_file,
    give,
    incident_or_only,
    read_time,
    vault_of,
)
from cli.settings import version
from vault.changes import Changes
from vault.completeness import (
    built_in_profile,
    changes_since_sealed,
    report_of,
    seal_report,
)
from vault.completeness_page import checklist_page
from verify.report import printable
from verify.strictjson import Object

_SLOTS = 24
_NAME = 28


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
    html: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--html", metavar="FILE", help="Write the report as a page to a new file."),
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
    if html is not None:
        check_new_file(html, option="--html")
    built_in = built_in_profile()
    used = read_profile(profile, built_in) if profile else built_in
    with vault_of(context) as vault:
        name = incident_or_only(vault, incident, as_json=as_json)
        chain = vault.incidents.read(name, up_to=at_sequence)
        moment = read_time(as_of) or vault.clock()
        report = report_of(vault.incidents, chain, used, moment)
        changes = changes_since_sealed(vault.incidents, chain, report)
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
    if html is not None:
        page = checklist_page(chain.incident, report, changes, evault=version())
        write_new_file(html, [page], option="--html")
    lines = _lines(report, explain, changes)
    if used.name == built_in.name and used.version < built_in.version:
        lines.append(f"A newer profile exists: {built_in.name} version {built_in.version}")
    if receipt:
        lines.append(f"Sealed as chain link {receipt.sequence}, log entry {receipt.index}")
    complete = report["verdict"] in ("complete", "complete_with_waivers")
    if html is not None:
        lines = [f"{html}  {told}" for told in lines[:1]] + lines[-1:] * (receipt is not None)
    data: Object = {
        "changes": changes.to_json() if changes else None,
        "counts": report["counts"],
        "incident": name,
        "items": report["evidence"] + report["duties"],
        "output": str(html) if html else None,
        "receipt": receipt.to_json() if receipt else None,
        "report": report,
        "verdict": report["verdict"],
    }
    give(Answer(lines, data, 1 if require and not complete else 0), as_json=as_json)


def _lines(report: Object, explain: bool, changes: Changes | None) -> list[str]:
    lines = []
    for label, name in (("Evidence", "evidence"), ("Duties", "duties")):
        lines.append(f"{label}: {_counted(report['counts'][name])}")
        lines += _rows(report[name], explain)
    lines += _timed(report["clocks"])
    lines += _covered(report["coverage"], explain)
    for each in report["contradictions"]:
        sides = "; ".join(f"{side['record']}: {side['says']}" for side in each["sides"][:4])
        settled = each["closed_by"]
        head = "Settled" if settled else "Contradicted"
        lines += _folded(f"{head}: ", f"{each['condition']}  {sides}")
    for each in report["deviations"]:
        links = ", ".join(f"link {link}" for link in each["approved_by"]) or "nobody"
        lines += _folded("Deviation: ", f"{each['id']}  {each['what']}; approved by {links}")
    for waiver in report["waivers"]:
        named = ", ".join(waiver["conditions"])
        whole = ", ".join(waiver["covers"])
        told = f"{waiver['standing']} until {waiver['valid_to']}: {named}; "
        told += f"{whole} waived by it" if whole else "no item is waived by it alone"
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
    return [*lines, *_changed(changes), *_steps(report["next"], explain)]


def _timed(clocks: Sequence[Object]) -> list[str]:
    """Clocks that were not kept, or cannot be shown to have been, each group by its own word."""
    lines = []
    for word in ("breached", "late", "unproven"):
        named = [each["title"] for each in clocks if each["timeliness"] == word]
        if named:
            lines += _folded(f"{word.capitalize()}: ", ", ".join(named))
    return lines


def _covered(bars: Sequence[Object], explain: bool) -> list[str]:
    """Coverage over time: # covered throughout, + in part, . not at all; explained, each gap."""
    if not bars:
        return []
    rows = columns(
        [
            (
                f"{each['what']} {clip(printable(each['name']), _NAME)}",
                f"[{_bar(each)}]",
                _silent(each),
            )
            for each in bars
        ]
    )
    lines = ["Coverage: # covered, + in part, . silent"]
    for row, bar in zip(rows, bars, strict=True):
        lines.append(f"  {row}")
        if explain:
            lines += [f"    silent {gap['from']} to {gap['to']}" for gap in bar["gaps"]]
            if bar["gaps_count"] > len(bar["gaps"]):
                lines.append(f"    and {bar['gaps_count'] - len(bar['gaps']):,} more")
    return lines


def _bar(bar: Object) -> str:
    """A silence shows in its slot, however short it is."""
    if bar["from"] is None or bar["to"] is None:
        return "." * _SLOTS
    start, end = (datetime.fromisoformat(bar[name]).timestamp() for name in ("from", "to"))
    step = (end - start) / _SLOTS
    if step <= 0:
        return "." * _SLOTS
    spoken, silent = (
        [(datetime.fromisoformat(each["from"]).timestamp() - start, each["seconds"])
         for each in bar[name]]
        for name in ("intervals", "gaps")
    )  # fmt: skip
    slots = []
    for place in range(_SLOTS):
        low, high = place * step, (place + 1) * step
        covered, gap = (
            any(begun < high and begun + length > low for begun, length in several)
            for several in (spoken, silent)
        )
        slots.append("+" if covered and gap else "#" if covered else ".")
    return "".join(slots)


def _silent(bar: Object) -> str:
    if not bar["intervals_count"]:
        return "throughout" if bar["from"] else "no times"
    if not bar["gaps_count"]:
        return "nowhere"
    longest = max(each["seconds"] for each in bar["gaps"])
    gaps = count_text(bar["gaps_count"], "gap")
    return f"{gaps}, the longest {span_text(timedelta(seconds=longest))}"


def _changed(changes: Changes | None) -> list[str]:
    """What is not as in the last sealed report; nothing if none was sealed."""
    if changes is None:
        return []
    label = f"Since the report of link {changes.sequence}: "
    if changes.unreadable:
        return _folded(label, changes.unreadable)
    # Conditions are told one by one in the page and in --json.
    conditions = sum(each.what == "condition" for each in changes.items)
    told = [
        f"{each.id} {_was(each.before)} -> {_was(each.after)}"
        for each in changes.items
        if each.what != "condition"
    ]
    if conditions:
        told.append(f"{count_text(conditions, 'condition')} answered otherwise")
    return _folded(label, "; ".join(told) or "nothing changed")


def _was(value: str | None) -> str:
    return "none" if value is None else value.replace("_", " ")


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
