"""`evault incident …`: declaring an incident, and the statements that people make about it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Any, Optional

import typer

from cli.chains import check_reads, incident_or_only, split_words
from cli.commands import closing, response
from cli.commands.response import response_rows
from cli.commands.retention import owed_lines
from cli.options import AsJson, IncidentArgument, OptionalReason, Reason, stated
from cli.render import (
    columns,
    count_text,
    labelled,
    paragraph,
    prose,
    span_text,
)
from cli.session import Answer, UsageError, acknowledge, give, place_text, settings_of, vault_of
from cli.times import read_time
from cli.vault import Vault, now
from vault.custody import exhibit_ranges, value_text
from vault.documents import incident_json
from vault.incidents import Chain
from verify.ahead import stated_ahead
from verify.clocks import Timeliness, timeliness
from verify.declaration import Change, Exposure, Severity, Tier, Trigger, YesNo
from verify.incident import Incident
from verify.instant import format_instant
from verify.response import Phase
from verify.strictjson import Object

DECLARE_LIMIT = timedelta(minutes=15)

_app = typer.Typer(help="Declare incidents and say what happens in them.", no_args_is_help=True)

SystemOption = Annotated[
    list[str],
    typer.Option("--system", metavar="NAME", help="An affected system; repeat for several."),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(_app, name="incident")


@_app.command()
def declare(
    context: typer.Context,
    title: Annotated[
        str,
        typer.Option("--title", metavar="TEXT", help="What happened, in a line.", callback=stated),
    ],
    severity: Annotated[Severity, typer.Option("--severity", help="sev1 is the worst.")],
    tier: Annotated[
        Tier,
        typer.Option("--tier", help="Suspected tier; unknown counts as Tier 4."),
    ],
    system: SystemOption,
    detected_at: Annotated[
        str,
        typer.Option("--detected-at", metavar="TIME", help="RFC 3339 with zone, now, or -12m."),
    ],
    declared_at: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--declared-at", metavar="TIME", help="If it was declared before now."),
    ] = None,
    trigger: Annotated[
        Trigger,
        typer.Option(
            "--trigger",
            help="egress: data left or was reached; policy: a guardrail; change: production; "
            "deviation: outputs.",
        ),
    ] = Trigger.UNKNOWN,
    as_json: AsJson = False,
) -> None:
    """Declare an incident; the runbook allows 15 minutes from detection."""
    detected, declared = read_time(detected_at), read_time(declared_at)
    with vault_of(context) as vault:
        assert detected is not None
        values = {
            "declared_at": format_instant(declared or vault.clock()),
            "detected_at": format_instant(detected),
            "severity": severity,
            "systems": list(dict.fromkeys(system)),
            "tier": tier,
            "title": title,
            "trigger": trigger,
        }
        incident_id, receipt = vault.incidents.declare(values)
        incident = vault.incidents.read(incident_id).incident
        label = f"{incident_id}  "
        words = f"{_tier_text(incident)}. {_declared_text(incident)}"
        lines = paragraph(label, words)
        give(
            Answer(lines, {**incident_json(incident, now()), "receipt": receipt.to_json()}),
            as_json=as_json,
        )


@_app.command("list")
def list_(context: typer.Context, as_json: AsJson = False) -> None:
    """List all incidents."""
    with vault_of(context) as vault:
        check_reads(vault)
        incidents = vault.incidents.all()
        rows = [
            (
                incident.id,
                str(incident.fields["severity"]),
                f"tier {incident.tier}",
                _phase_text(incident),
                count_text(len(incident.exhibits), "exhibit"),
                incident.title,
            )
            for incident in incidents
        ]
        none = (
            "No incident yet; see: evault incident declare --help"
            if settings_of(context).server is None
            else "There is no incident that you may see"
        )
        lines = columns(rows) or [none]
        items = [incident_json(incident, now()) for incident in incidents]
        give(Answer(lines, {"counts": {"incidents": len(items)}, "items": items}), as_json=as_json)


@_app.command()
def show(
    context: typer.Context, incident: IncidentArgument = None, as_json: AsJson = False
) -> None:
    """Show an incident as its chain tells it."""
    with vault_of(context) as vault:
        name = incident_or_only(vault, incident, as_json=as_json)
        chain = vault.incidents.read(name)
        lines = _show_lines(chain, vault)
        give(Answer(lines, incident_json(chain.incident, now())), as_json=as_json)


@_app.command()
def amend(
    context: typer.Context,
    reason: Reason,
    incident: IncidentArgument = None,
    title: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--title", metavar="TEXT", help="What happened, in a line.", callback=stated),
    ] = None,
    severity: Annotated[
        Optional[Severity],  # noqa: UP045
        typer.Option("--severity", help="sev1 is the worst."),
    ] = None,
    tier: Annotated[
        Optional[Tier],  # noqa: UP045
        typer.Option("--tier", help="Decided or suspected tier; unknown counts as Tier 4."),
    ] = None,
    system: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option("--system", metavar="NAME", help="The whole new list of systems."),
    ] = None,
    trigger: Annotated[
        Optional[Trigger],  # noqa: UP045
        typer.Option("--trigger", help="What set it off, as in declare."),
    ] = None,
    detected_at: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--detected-at", metavar="TIME", help="RFC 3339 with zone, now, or -12m."),
    ] = None,
    declared_at: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--declared-at", metavar="TIME", help="RFC 3339 with zone, now, or -12m."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Correct what was declared; the old value stays on the chain beside the new."""
    detected, declared = read_time(detected_at), read_time(declared_at)
    new: dict[str, Any] = {
        "title": title,
        "severity": severity,
        "tier": tier,
        "systems": list(dict.fromkeys(system)) if system else None,
        "trigger": trigger,
        "detected_at": None if detected is None else format_instant(detected),
        "declared_at": None if declared is None else format_instant(declared),
    }
    wanted = {key: value for key, value in new.items() if value is not None}
    _change(context, incident, "amended", wanted, {}, reason, as_json)


@_app.command()
def scope(
    context: typer.Context,
    incident: IncidentArgument = None,
    from_: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--from", metavar="TIME", help="Start of the window of interest."),
    ] = None,
    to: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--to", metavar="TIME", help="End of the window of interest."),
    ] = None,
    principal: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option("--principal", metavar="NAME", help="Add a user, role or token."),
    ] = None,
    run: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option("--run", metavar="ID", help="Add an agent run."),
    ] = None,
    detector: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option("--detector", metavar="NAME", help="Add a guardrail or DLP detector."),
    ] = None,
    no_detectors: Annotated[
        bool, typer.Option("--no-detectors", help="State that there is no detector at all.")
    ] = False,
    source: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option("--source", metavar="NAME", help="Add a source of evidence."),
    ] = None,
    channel: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--channel", metavar="NAME", help="The incident channel."),
    ] = None,
    exposure: Annotated[
        Optional[Exposure],  # noqa: UP045
        typer.Option("--exposure", help="Was data exposed?"),
    ] = None,
    customer_impact: Annotated[
        Optional[YesNo],  # noqa: UP045
        typer.Option("--customer-impact", help="Are customers affected?"),
    ] = None,
    ticket: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--ticket", metavar="ID", help="The ticket's id or address."),
    ] = None,
    cause: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--cause",
            metavar="KEY",
            help="A key that incidents of one cause share.",
            callback=stated,
        ),
    ] = None,
    recurrence_of: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--recurrence-of", metavar="INCIDENT", help="The incident that it repeats."),
    ] = None,
    reason: OptionalReason = None,
    as_json: AsJson = False,
) -> None:
    """State what the incident covers; without a scope completeness cannot be judged.

    The window is from 24 h before detection to containment (or now) unless stated.
    """
    start, end = read_time(from_), read_time(to)
    if start and end and start >= end:
        raise UsageError("--from must be before --to")
    if detector and no_detectors:
        raise UsageError("--no-detectors says that there is none; leave out --detector")
    values: dict[str, Any] = {
        "detectors": [] if no_detectors else None,
        "from": None if start is None else format_instant(start),
        "to": None if end is None else format_instant(end),
        "channel": channel,
        "exposure": exposure,
        "customer_impact": customer_impact,
        "ticket": ticket,
        "cause": cause,
        "recurrence_of": recurrence_of,
    }
    added = {
        "principals": principal,
        "runs": run,
        "detectors": detector,
        "sources": source,
    }
    wanted = {key: value for key, value in values.items() if value is not None}
    _change(
        context,
        incident,
        "scoped",
        wanted,
        {key: value for key, value in added.items() if value},
        reason,
        as_json,
    )


@_app.command()
def phase(
    context: typer.Context,
    words: Annotated[
        list[str],
        typer.Argument(metavar="[INCIDENT] PHASE", help=f"Phases: {', '.join(Phase)}."),
    ],
    at: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--at", metavar="TIME", help="When it was reached; now if left out."),
    ] = None,
    exhibit: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option("--exhibit", metavar="EV", help="Evidence that shows it; repeatable."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say that a phase of the response was reached."""
    given, (reached,) = split_words(words, "PHASE")
    exhibits = list(dict.fromkeys(exhibit or []))
    if reached not in set(Phase):
        raise UsageError(f"{reached!r} is no phase; the phases are {', '.join(Phase)}")
    with vault_of(context) as vault:
        name = incident_or_only(vault, given, as_json=as_json)
        moment = read_time(at) or vault.clock()
        receipt = vault.incidents.enter_phase(name, reached, moment, exhibits)
        told = f"{reached} at {format_instant(moment)}"
        if exhibits:
            told += f", shown by {exhibit_ranges(exhibits)}"
        incident = vault.incidents.read(name, up_to=receipt.sequence).incident
        more = [
            "Look at: it lies after this vault's clock, and counts for nothing until then."
            for each in stated_ahead(incident)
            if each.sequence == receipt.sequence
        ]
        acknowledge(name, told, receipt, as_json, more)


@_app.command()
def reopen(
    context: typer.Context,
    incident: Annotated[str, typer.Argument(metavar="INCIDENT", help="The closed incident.")],
    reason: Reason,
    as_json: AsJson = False,
) -> None:
    """Reopen a closed incident."""
    with vault_of(context) as vault:
        name = incident_or_only(vault, incident)
        receipt = vault.incidents.reopen(name, reason)
        acknowledge(name, "reopened", receipt, as_json)


def _change(
    context: typer.Context,
    given: str | None,
    event: str,
    wanted: dict[str, Any],
    added: dict[str, list[str]],
    reason: str | None,
    as_json: bool,
) -> None:
    if not wanted and not added:
        verb = "amend" if event == "amended" else "scope"
        raise UsageError(f"nothing to change was named; see: evault incident {verb} --help")
    with vault_of(context) as vault:
        name = incident_or_only(vault, given, as_json=as_json)

        def new(incident: Incident) -> dict[str, Any]:
            values = dict(wanted)
            for field, more in added.items():
                values[field] = list(dict.fromkeys([*(incident.scope.get(field) or []), *more]))
            return values

        changes, receipt = vault.incidents.change(name, event, new, reason=reason)
        told = f"{event} {place_text(receipt)}" if receipt else "nothing to change; nothing sealed"
        lines = [f"{name}  {told}", *labelled(_change_rows(changes))]
        data: Object = {
            "changes": [change.to_json() for change in changes],
            "incident": name,
            "receipt": receipt.to_json() if receipt else None,
        }
        owed = owed_lines(vault) if any(each.name == "severity" for each in changes) else []
        give(Answer([*lines, *owed], data, 1 if owed else 0), as_json=as_json)


def _change_rows(changes: Sequence[Change]) -> list[tuple[str, str]]:
    return [
        (change.name, f"{value_text(change.old)} -> {value_text(change.new)}") for change in changes
    ]


def _tier_text(incident: Incident) -> str:
    if incident.fields["tier"] == "unknown":
        return "Tier 4 until someone decides"
    return f"Tier {incident.tier}"


def _declared_text(incident: Incident) -> str:
    """How long after detection it was declared, and whether that is proven."""
    detected, declared = incident.detected_at, incident.declared_at
    recorded = incident.declared_recorded_at or declared
    state = timeliness(claimed=declared, recorded=recorded, deadline=detected + DECLARE_LIMIT)
    if declared < detected:
        return "Declared before it was detected: one of the two times is wrong."
    told = f"Declared {span_text(declared - detected)} after detection, limit 15"
    if state == Timeliness.ON_TIME:
        return f"{told}: on time."
    if state == Timeliness.LATE:
        return f"{told}: late."
    return f"{told}: unproven (claimed; sealed {span_text(recorded - declared)} later)."


def _phase_text(incident: Incident) -> str:
    if incident.sealed:
        return "closed"
    return incident.phases[-1].phase if incident.phases else "declared"


def _show_lines(chain: Chain, vault: Vault) -> list[str]:
    incident = chain.incident
    fields = incident.fields
    start, end = incident.window(as_of=vault.clock())
    rows = [
        ("severity", f"{fields['severity']}, {_tier_text(incident)}"),
        ("systems", value_text(fields["systems"])),
        ("trigger", fields["trigger"]),
        ("detected", f"{fields['detected_at']} (claimed)"),
        ("declared", f"{fields['declared_at']}. {_declared_text(incident)}"),
        ("phase", _phase_text(incident)),
        ("window", f"{format_instant(start)} to {format_instant(end)}"),
    ]
    rows += [
        (name, value_text(value))
        for name, value in sorted(incident.scope.items())
        if name not in ("from", "to")  # the window's
    ]
    rows += [
        (
            f"phase {entry.phase}",
            f"{format_instant(entry.at)} (claimed) {exhibit_ranges(entry.exhibits)}",
        )
        for entry in incident.phases
    ]
    rows += response_rows(incident)
    withdrawn = sum(1 for exhibit in incident.exhibits.values() if exhibit.withdrawn)
    kept = f"{len(incident.exhibits)}" + (f", {withdrawn} withdrawn" if withdrawn else "")
    missed = f"; {incident.not_captured} met and not captured" if incident.not_captured else ""
    rows.append(("exhibits", f"{kept}{missed}"))
    rows += _kept_rows(chain, vault)
    rows.append(("chain", f"links 0-{incident.sequence}, head {incident.leaf}"))
    return [*prose(f"{incident.id}  ", incident.title), *labelled(rows)]


def _kept_rows(chain: Chain, vault: Vault) -> list[tuple[str, str]]:
    """Until when all of it is kept at least, how firmly, and for whom it is on hold."""
    dates = [each.retain_until for each in vault.retention.kept(chain).values()]
    rows = []
    if dates and all(dates):
        until = min(date for date in dates if date)
        firmly = f", locked in {vault.retention.mode_of(chain.incident)} mode"
        rows.append(("kept", f"until {until:%Y-%m-%d}{firmly if vault.store.traits.locks else ''}"))
    rows += [
        ("on hold", f"for {hold.matter} (link {hold.sequence})")
        for hold in chain.incident.live_holds
    ]
    return rows


closing.register(_app)
response.register(_app)
