"""`evault checklist`: which evidence is there, which duties are done, what to fetch first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Optional

import typer

from cli.chains import incident_or_only
from cli.newfile import check_new_file, write_new_file
from cli.options import AsJson, IncidentArgument
from cli.profile_source import read_profile
from cli.render import clip, columns, count_text, line_width, prose, silence_text, span_text, typed
from cli.session import Answer, UsageError, give, vault_of
from cli.settings import version
from cli.times import read_time
from vault.changes import Changes
from vault.completeness import (
    built_in_profile,
    changes_since_sealed,
    report_of,
)
from vault.completeness_page import checklist_page
from vault.documents import checklist_json
from vault.report_words import (
    cited_text,
    reported_waiver_text,
    upheld_text,
    waived_texts,
    waivers_of,
)
from verify.report import printable
from verify.strictjson import Object

_SLOTS = 24
_NAME = 28
_OUTSIDE = 3
_BESIDE = 28
"""With less room than this beside a bar, what is said of it stands below."""
_UNDER = " " * 4
_UNSAID = {"fail": "nothing shows it", "unknown": "cannot be told from what is here"}
_UNCOMPARED = {"unknown": "nothing to compare"}
"""Why a condition, and a check, was answered so, where the report leaves it at the answer."""


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
            receipt = vault.assessments.seal(chain, used, report, moment)
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
    data = checklist_json(name, report, changes, receipt, str(html) if html else None)
    give(Answer(lines, data, 1 if require and not complete else 0), as_json=as_json)


def _lines(report: Object, explain: bool, changes: Changes | None) -> list[str]:
    lines = []
    waivers = waivers_of(report)
    for label, name in (("Evidence", "evidence"), ("Duties", "duties")):
        lines.append(f"{label}: {_counted(report['counts'][name])}")
        lines += _rows(report[name], waivers, explain)
    lines += _timed(report["clocks"])
    lines += _covered(report["coverage"], explain)
    for each in report["contradictions"]:
        sides = "; ".join(f"{side['record']}: {side['says']}" for side in each["sides"][:4])
        settled = each["closed_by"]
        head = "Settled" if settled else "Contradicted"
        lines += prose(f"{head}: ", f"{each['condition']}: {sides}")
    for each in report["deviations"]:
        links = ", ".join(f"link {link}" for link in each["approved_by"]) or "nobody"
        lines += prose(f"Deviation {each['id']}: ", f"{each['what']}; approved by {links}")
    for each in report["ahead"]:
        told = f"link {each['link']}, {each['what'].replace('_', ' ')}, for {each['at']}; "
        told += "counts since then" if each["counts"] else "counts for nothing until then"
        lines += prose("Stated ahead: ", told)
    for waiver in report["waivers"]:
        told = f"{reported_waiver_text(waiver)}; {upheld_text(waiver)}"
        lines += prose(f"{waiver['id']}, {waiver['standing'].replace('_', ' ')}: ", told)
    if report["outside_scope"]:
        lines += _outside(report["outside_scope"], explain)
    if report["unregistered"]:
        lines += prose("Never registered: ", ", ".join(report["unregistered"]))
    newer = report["profile"]["newer"]
    if newer:
        told = f"link {newer['link']} was judged by version {newer['version']} of this profile"
        lines += prose("Profile: ", told)
    return [*lines, *_changed(changes), *_steps(report["next"], explain)]


def _outside(outside: Sequence[Object], explain: bool) -> list[str]:
    """What evidence names and nobody registered, a name a line."""
    shown = outside if explain else outside[:_OUTSIDE]
    lines = ["Not registered, and in evidence:"]
    for each in shown:
        lines += prose(_UNDER, f"{each['what']} {each['name']}")
    if len(outside) > len(shown):
        lines.append(f"{_UNDER}and {len(outside) - len(shown)} more")
    return lines


def _timed(clocks: Sequence[Object]) -> list[str]:
    """Clocks that were not kept, or cannot be shown to have been, each group by its own word."""
    lines = []
    for word in ("breached", "late", "unproven"):
        named = [each["title"] for each in clocks if each["timeliness"] == word]
        if named:
            lines += prose(f"{word.capitalize()}: ", ", ".join(named))
    early = [
        f"{each['title']} by {span_text(timedelta(seconds=each['early_seconds']))}"
        for each in clocks
        if each["early_seconds"] is not None
    ]
    if early:
        lines += prose("Claimed before its clock ran: ", ", ".join(early))
    return lines


def _covered(bars: Sequence[Object], explain: bool) -> list[str]:
    """Coverage over time: # covered throughout, + in part, . not at all; explained, each gap."""
    if not bars:
        return []
    names = [f"{each['what']} {clip(printable(each['name']), _NAME)}" for each in bars]
    widest = max(map(len, names))
    lines = ["Coverage: # covered, + in part, . silent"]
    for name, bar in zip(names, bars, strict=True):
        head = f"  {name:<{widest}}  [{_bar(bar)}]  "
        if line_width() - len(head) < _BESIDE:
            lines.append(head.rstrip())
            head = " " * 6
        lines += prose(head, _silent(bar))
        if explain:
            lines += [f"      silent {gap['from']} to {gap['to']}" for gap in bar["gaps"]]
            if bar["gaps_count"] > len(bar["gaps"]):
                lines.append(f"      and {bar['gaps_count'] - len(bar['gaps']):,} more")
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
    """For how long its own logs or traces say nothing: of this system alone, or this run."""
    if not bar["gaps_count"]:
        return "nowhere silent" if bar["intervals_count"] else "no times"
    if not bar["intervals_count"]:
        return f"silent throughout, {silence_text(bar)}"
    longest = timedelta(seconds=max(each["seconds"] for each in bar["gaps"]))
    gaps = f"{count_text(bar['gaps_count'], 'gap')}, the longest {span_text(longest)}"
    return f"silent for {silence_text(bar)}: {gaps}"


def _changed(changes: Changes | None) -> list[str]:
    """What is not as in the last sealed report; nothing if none was sealed."""
    if changes is None:
        return []
    label = f"Since the report of link {changes.sequence}: "
    if changes.unreadable:
        return prose(label, changes.unreadable)
    # Conditions are told one by one in the page and in --json.
    conditions = sum(each.what == "condition" for each in changes.items)
    told = [
        f"{each.id} {_was(each.before)} -> {_was(each.after)}"
        for each in changes.items
        if each.what != "condition"
    ]
    if conditions:
        told.append(f"{count_text(conditions, 'condition')} answered otherwise")
    return prose(label, "; ".join(told) or "nothing changed")


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


def _rows(items: Sequence[Object], waivers: Mapping[str, Object], explain: bool) -> list[str]:
    """An item and its state in a line; under it why, and what of it is waived."""
    lines = []
    heads = columns([(item["id"], item["title"], _state(item)) for item in items])
    for head, item in zip(heads, items, strict=True):
        lines.append(head)
        if item["reason"]:
            lines += prose(_UNDER, item["reason"])
        if explain:
            lines += _conditions(item, waivers)
            continue
        for waived in waived_texts(item["conditions"], waivers):
            lines += prose(_UNDER, waived)
    return lines


def _conditions(item: Object, waivers: Mapping[str, Object]) -> list[str]:
    """How each condition was answered, what it asks, why it was answered so, what it cites."""
    lines = []
    told = [(each, _UNSAID) for each in item["conditions"]]
    told += [(each, _UNCOMPARED) for each in item["checks"]]
    widest = max((len(each["id"]) for each, _ in told), default=0)
    for condition, unsaid in told:
        head = f"{_UNDER}{condition['answer']:<8} {condition['id']:<{widest}}  "
        why = condition["detail"] or unsaid.get(condition["answer"], "")
        lines += prose(head, f"{condition['asks']}: {why}" if why else condition["asks"])
        lines += _beneath(condition, waivers, " " * len(head))
    return lines


def _beneath(condition: Object, waivers: Mapping[str, Object], under: str) -> list[str]:
    """What a condition cites, and whether it is waived."""
    cited = cited_text(condition)
    lines = prose(under, f"cites {cited}") if cited else []
    for waived in waived_texts((condition,), waivers):
        lines += prose(under, waived)
    return lines


def _state(item: Object) -> str:
    """The state, and whether it was in time where that is not plain: two axes, never one word."""
    state = item["state"].replace("_", " ")
    if item["underlying"]:
        state += f" ({item['underlying']})"
    late = item["timeliness"] not in (None, "on_time")
    return f"{state}, {item['timeliness']}" if late else state


def _steps(steps: Sequence[Object], explain: bool) -> list[str]:
    if not steps:
        return []
    lines = []
    label = "Next (vanishes first): "
    for step in steps if explain else steps[:1]:
        lines += typed(label, step["command"])
        label = " " * len(label)
    if not explain and len(steps) > 1:
        more = count_text(len(steps) - 1, "more step")
        lines.append(f"{more}: evault checklist --explain")
    return lines
