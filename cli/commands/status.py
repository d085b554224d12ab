"""`evault status`: where incidents stand, what is due, and what to do next."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from itertools import groupby
from typing import Annotated

import typer

from cli.chains import check_reads, is_incident
from cli.options import AsJson, IncidentArgument
from cli.render import clip, columns, count_text, folded, prose, span_text, typed
from cli.session import Answer, UsageError, give, settings_of, vault_of
from vault.completeness import built_in_profile, report_of
from vault.documents import statuses_json
from vault.report_words import reported_waiver_text
from vault.status import status_of
from verify.report import printable
from verify.strictjson import Object

_WIDTH = 80
_SHOWN = 5
_PERSON = 30


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("status")(status)


def status(
    context: typer.Context,
    incident: IncidentArgument = None,
    all_: Annotated[
        bool, typer.Option("--all", help="Show every step, not the first few.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show where an incident stands: its phase, each clock's time left or overrun, what is owed.

    Next come the commands that would help, what vanishes first coming first. While several are
    open and none is named, each has a line.
    """
    if incident is not None and not is_incident(incident):
        raise UsageError(f"{incident!r} is no incident id like INC-2026-0001")
    profile = built_in_profile()
    with vault_of(context) as vault:
        check_reads(vault)
        names = [incident] if incident else vault.incidents.open()
        moment, found = vault.clock(), []
        for name in names:
            chain = vault.incidents.read(name)
            report = report_of(vault.incidents, chain, profile, moment)
            found.append(status_of(chain.incident, report))
    if not found:
        lines = [
            "No incident is open; declare one: evault incident declare --help"
            if settings_of(context).server is None
            else "There is no open incident that you may see"
        ]
    else:
        lines = _whole(found[0], all_) if len(found) == 1 else _overview(found)
    give(Answer(lines, statuses_json(found)), as_json=as_json)


def _overview(found: Sequence[Object]) -> list[str]:
    """A line an incident; what its most urgent clock says."""
    rows = [("", "", "phase", "overdue", "most urgent")]
    for each in found:
        overdue = sum(owed["overdue"] for owed in each["owed"])
        urgent = next((clock for clock in each["clocks"] if clock["standing"] != "done"), None)
        told = f"{_amount(urgent)} {urgent['standing']}: {urgent['title']}" if urgent else "none"
        rows.append((each["incident"], each["severity"], each["phase"], f"{overdue:,}", told))
    return [
        *(clip(line, _WIDTH) for line in columns(rows)),
        f"{len(found):,} open; each in full: evault status INCIDENT",
    ]


def _whole(told: Object, all_: bool) -> list[str]:
    lines = folded(f"{told['incident']}  ", told["title"].split(" "), width=_WIDTH)
    tier = "4 until someone decides" if told["tier_stated"] == "unknown" else told["tier"]
    phase = "closed" if told["sealed"] else told["phase"]
    since = f"since {_time(told['phase_since'])} as claimed"
    if told["sealed"]:
        since = f"last phase {told['phase']}, to add to it: evault incident reopen"
    lines.append(f"{phase}, {since}")
    lines.append(f"{told['severity']}, tier {tier}; as of {_time(told['as_of'])}")
    counts = told["counts"]
    lines.append(
        f"{counts['evidence']['satisfied']} of {counts['evidence']['of']} items of evidence and "
        f"{counts['duties']['satisfied']} of {counts['duties']['of']} duties are satisfied"
    )
    for waiver in told["waivers"]:
        lines += prose(f"{waiver['id']}: ", reported_waiver_text(waiver))
    lines += ["", "Clocks", *_clocks(told["clocks"])]
    lines += ["", *_owed(told)]
    lines += ["", *_steps(told, all_)]
    return lines


def _clocks(clocks: Sequence[Object]) -> list[str]:
    rows = []
    for clock in clocks:
        if clock["standing"] == "done":
            limit = span_text(timedelta(seconds=clock["limit_seconds"]))
            when = f"limit {limit}, {clock['timeliness'].replace('_', ' ')}"
        else:
            when = f"due {_time(clock['deadline'])}"
        if clock["overruns"]:
            when += f", {count_text(clock['overruns'], 'gap')} too long"
        rows.append((f"  {clock['standing']}", _amount(clock), clock["title"], when))
    return [clip(line, _WIDTH) for line in columns(rows)] or ["  none runs"]


def _amount(clock: Object) -> str:
    """Time left, overrun, or taken; or by how much it is claimed before its clock ran."""
    if clock["early_seconds"] is not None:
        return f"{span_text(timedelta(seconds=clock['early_seconds']))} early"
    seconds = clock["seconds"] if clock["standing"] == "done" else clock["left_seconds"]
    if seconds is None:
        return ""
    return span_text(timedelta(seconds=seconds))


def _owed(told: Object) -> list[str]:
    """By who owes it; whose is due first comes first."""
    owed = told["owed"]
    overdue = sum(each["overdue"] for each in owed)
    lines = [f"Owed: {len(owed):,}, of which {overdue:,} overdue" if owed else "Owed: nothing"]
    first = {each["owner"]: place for place, each in reversed(list(enumerate(owed)))}
    ranked = sorted(owed, key=lambda each: first[each["owner"]])
    offered = {each["role"]: each["offered_to"] for each in told["roles"]}
    rows = columns([_owed_row(each) for each in ranked])
    for owner, several in groupby(
        zip(ranked, rows, strict=True), key=lambda pair: pair[0]["owner"]
    ):
        mine = list(several)
        person = clip(printable(mine[0][0]["person"] or "nobody"), _PERSON)
        waiting = offered.get(owner)
        more = f", offered to {clip(printable(waiting), 20)}" if waiting else ""
        lines.append(clip(f"  {person} ({owner.replace('_', ' ')}{more})", _WIDTH))
        lines += [clip(f"    {row}", _WIDTH) for _, row in mine]
    return lines


def _owed_row(each: Object) -> tuple[str, str, str, str]:
    mark = "overdue" if each["overdue"] else "due" if each["due_at"] else ""
    due = _time(each["due_at"]) if each["due_at"] else "no date"
    return mark, due, each["item"], f"{each['title']}, {each['state'].replace('_', ' ')}"


def _steps(told: Object, all_: bool) -> list[str]:
    steps = told["next"]
    if not steps:
        return ["Next: the checklist knows of no further step"]
    lines = ["Next, what vanishes first coming first"]
    for number, step in enumerate(steps if all_ else steps[:_SHOWN], 1):
        lines += typed(f"{number:>4}  {step['item']:<3} ", step["command"])
    if not all_ and len(steps) > _SHOWN:
        more = count_text(len(steps) - _SHOWN, "more step")
        lines.append(f"{more}: evault status {told['incident']} --all")
    return lines


def _time(text: str) -> str:
    """`2026-03-02 09:30:00Z`: to the second."""
    return f"{text[:10]} {text[11:19]}Z"
