"""`evault incident assign|update`: who answers an incident, and what they tell everyone."""

from __future__ import annotations

import shlex
from typing import Annotated, Optional

import typer

from cli.chains import incident_or_only, split_words
from cli.options import AsJson, IncidentArgument, stated
from cli.render import count_text, paragraph
from cli.session import UsageError, acknowledge, vault_of
from cli.times import read_time
from vault.custody import attestation_text, update_text, waiver_text
from vault.documents import update_json
from verify.approval import same_person
from verify.incident import Incident
from verify.response import Containment, Role, current, offer

_ATTESTED_SHOWN = 10


def register(app: typer.Typer) -> None:
    """Add the commands to those about incidents."""
    app.command()(assign)
    app.command()(update)


def assign(
    context: typer.Context,
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="[INCIDENT] ROLE PERSON",
            help=f"Roles: {', '.join(Role)}.",
        ),
    ],
    at: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--at", metavar="TIME", help="Since when; now if left out."),
    ] = None,
    accept: Annotated[
        bool,
        typer.Option("--accept", help="The person says yes to the role; a handover is done then."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Assign one of the runbook's five roles to a person, or hand it over.

    A role that another person holds is offered; they keep it until the new one accepts. The
    incident commander must not be the governance steward.
    """
    given, (role, person) = split_words(words, "ROLE PERSON")
    role = role.replace("-", "_")
    stated(person)
    if role not in set(Role):
        raise UsageError(f"{role!r} is no role; the roles are {', '.join(Role)}")
    with vault_of(context) as vault:
        name = incident_or_only(vault, given, as_json=as_json)
        moment = read_time(at) or vault.clock()
        if accept:
            receipt = vault.incidents.accept(name, role, person, moment)
        else:
            receipt = vault.incidents.assign(name, role, person, moment)
        incident = vault.incidents.read(name, up_to=receipt.sequence).incident
        told, more = _role_told(incident, role, person, accepted=accept)
        acknowledge(name, told, receipt, as_json, paragraph("  ", more) if more else ())


def update(
    context: typer.Context,
    containment: Annotated[
        Containment,
        typer.Option("--containment", help="How far it is contained."),
    ],
    next_steps: Annotated[
        str,
        typer.Option("--next", metavar="TEXT", help="The next steps.", callback=stated),
    ],
    incident: IncidentArgument = None,
    note: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--note", metavar="TEXT", help="What else was said.", callback=stated),
    ] = None,
    channel: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--channel",
            metavar="NAME",
            help="Where it was given, like the incident's channel.",
            callback=stated,
        ),
    ] = None,
    at: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--at", metavar="TIME", help="When it was given; now if left out."),
    ] = None,
    exhibit: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option("--exhibit", metavar="EV", help="The message itself; repeatable."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Record an update to everyone: how far it is contained, and what comes next.

    The runbook wants one every hour, or faster, while the incident is Sev-1.
    """
    with vault_of(context) as vault:
        name = incident_or_only(vault, incident, as_json=as_json)
        receipt = vault.incidents.update(
            name,
            at=read_time(at) or vault.clock(),
            containment=containment,
            next_steps=next_steps,
            note=note,
            channel=channel,
            names=list(dict.fromkeys(exhibit or [])),
        )
        incident_now = vault.incidents.read(name, up_to=receipt.sequence).incident
        told = paragraph("  ", update_text(update_json(incident_now.updates[-1])))
        if channel is None:
            known = incident_now.scope.get("channel")
            hint = f"; the incident's channel is {known}" if known else ""
            told += paragraph("Look at: ", f"it does not say where it was given{hint}: --channel.")
        acknowledge(name, "updated", receipt, as_json, told)


def response_rows(incident: Incident) -> list[tuple[str, str]]:
    """Who holds which role, what everyone was told last, what people attested and waived."""
    rows = []
    for role in Role:
        held, waiting = current(incident.assignments, role), offer(incident.assignments, role)
        told = [held.person] if held else []
        told += [f"offered to {waiting.person}, not accepted"] if waiting else []
        if told:
            rows.append((str(role), "; ".join(told)))
    if incident.updates:
        last = incident.updates[-1]
        count = count_text(len(incident.updates), "update")
        rows.append(("updates", f"{count}, the last: {update_text(update_json(last))}"))
    for attestation in incident.attestations[-_ATTESTED_SHOWN:]:
        rows.append((f"link {attestation.sequence}", attestation_text(attestation)))
    hidden = len(incident.attestations) - _ATTESTED_SHOWN
    if hidden > 0:
        rows.append(
            ("attested", f"{count_text(hidden, 'attestation')} before these: evault custody")
        )
    for waiver in incident.waivers.values():
        revoked = f" (revoked by link {waiver.revoked_sequence})" if waiver.revoked_at else ""
        rows.append(("waiver", f"{waiver_text(waiver)}{revoked}"))
    return rows


def _role_told(incident: Incident, role: str, person: str, *, accepted: bool) -> tuple[str, str]:
    """Who holds the role now, and what is still to be done."""
    holder = incident.holder(Role(role))
    if accepted:
        return f"{role} is {person}, who accepted it", ""
    if holder and not same_person(holder, person):
        return (
            f"{role} is offered to {person}",
            f"{holder} keeps it until {person} accepts: evault incident assign {incident.id} "
            f"{role} {shlex.quote(person)} --accept",
        )
    return f"{role} is {person}", ""
