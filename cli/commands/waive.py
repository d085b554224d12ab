"""`evault waive …`: named conditions of the checklist that need not hold for a time."""

from __future__ import annotations

from typing import Annotated, Optional

import typer

from cli.chains import incident_or_only, is_incident, split_incident
from cli.commands.request import asked, asks_for_approval
from cli.options import ApprovalExhibits, AsJson, CountsFrom, Reason, stated
from cli.render import count_text, paragraph, prose
from cli.session import Answer, UsageError, give, place_text, vault_of
from cli.times import read_end, read_time
from cli.vault import now
from vault.completeness import (
    UnknownConditionError,
    answers_of,
    built_in_profile,
    check_waivable,
    report_of,
)
from vault.custody import exhibit_ranges, waiver_text
from vault.documents import waived_json, waiver_state, waivers_json
from vault.waivers import Wanted, notes_on

_app = typer.Typer(help="Waive named conditions of the checklist for a time.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(_app, name="waive")


@_app.command()
def grant(
    context: typer.Context,
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="[INCIDENT] CONDITION...",
            help="Conditions like C2.models, each by its name; evault checklist --explain shows "
            "them.",
        ),
    ],
    reason: Reason,
    owner: Annotated[
        str,
        typer.Option("--owner", metavar="PERSON", help="Who bears the risk.", callback=stated),
    ],
    until: Annotated[
        str,
        typer.Option(
            "--until",
            metavar="TIME",
            help="When it ends: RFC 3339 with zone, or 30m, +12h, +14d, +2w.",
        ),
    ],
    approved_by: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--approved-by",
            metavar="PERSON",
            help="Who approved it, neither you nor who asked; attested by you, not authenticated. "
            "Through a server, leave it out: it is asked for, see evault request.",
            callback=stated,
        ),
    ] = None,
    exhibit: ApprovalExhibits = None,
    from_: CountsFrom = None,
    requested_by: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--requested-by", metavar="PERSON", help="Who asked; you if left out.", callback=stated
        ),
    ] = None,
    scope: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(
            "--scope",
            metavar="NAME",
            help="A system or principal that it is for; the whole incident if left out.",
        ),
    ] = None,
    compensating: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(
            "--compensating", metavar="EV", help="Evidence of what stands in its place; repeatable."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Waive conditions, each by its name; what is contradicted cannot be waived.

    It takes a second person's approval, sealed as an exhibit, and it ends.
    """
    given, conditions = split_incident(words)
    if not conditions:
        raise UsageError("name the conditions, like C2.models; see: evault checklist --explain")
    end, start = read_end(until, option="--until"), read_time(from_)
    exhibits = list(dict.fromkeys(exhibit or ()))
    asking = asks_for_approval(context, approved_by, exhibits)
    if asking and requested_by is not None:
        raise UsageError("a server takes you for who asks; leave out --requested-by")
    with vault_of(context) as vault:
        name = incident_or_only(vault, given, as_json=as_json)
        chain = vault.incidents.read(name)
        report = report_of(vault.incidents, chain, built_in_profile(), vault.clock())
        try:
            check_waivable(conditions, report)
        except UnknownConditionError as error:
            raise UsageError(str(error)) from error
        if asking and vault.requests:
            request = vault.requests.ask_for_waiver(
                name,
                conditions,
                reason=reason,
                owner=owner,
                exhibits=exhibits,
                valid_to=end,
                valid_from=start,
                scope=scope or (),
                compensating=compensating or (),
            )
            give(asked(name, "waived", request), as_json=as_json)
        assert approved_by is not None
        waiver, receipt = vault.waivers.grant(
            name,
            Wanted(
                conditions=conditions,
                reason=reason,
                owner=owner,
                approved_by=approved_by,
                exhibits=exhibits,
                valid_to=end,
                valid_from=start,
                requester=requested_by,
                scope=scope or (),
                compensating=compensating or (),
            ),
        )
        incident = vault.incidents.read(name).incident
        notes = notes_on(waiver, incident, answers_of(report, checks=False))
    lines = paragraph(f"{name}  ", f"{waiver_text(waiver)} {place_text(receipt)}")
    lines += paragraph(
        "  ",
        f"approved by {approved_by}, as you attest by {exhibit_ranges(waiver.exhibits)}; "
        "evault authenticated nobody but you",
    )
    for note in notes:
        lines += paragraph("Look at: ", note)
    give(Answer(lines, waived_json(name, waiver, notes, receipt, now())), as_json=as_json)


@_app.command()
def revoke(
    context: typer.Context,
    words: Annotated[
        list[str],
        typer.Argument(metavar="[INCIDENT] WAIVER", help="A waiver like W-0001."),
    ],
    reason: Reason,
    as_json: AsJson = False,
) -> None:
    """Revoke a waiver; it stays on the chain, and counts no more."""
    given, rest = split_incident(words)
    if len(rest) != 1:
        raise UsageError("expected [INCIDENT] WAIVER, one waiver like W-0001")
    with vault_of(context) as vault:
        name = incident_or_only(vault, given, as_json=as_json)
        waiver, receipt = vault.waivers.revoke(name, rest[0].upper(), reason)
        others = vault.incidents.read(name).incident.waivers.values()
    still = {
        condition
        for other in others
        if other.id != waiver.id and other.live_at(now())
        for condition in other.conditions
    }
    again = [each for each in waiver.conditions if each not in still]
    told = (
        f"{waiver.id} is revoked; "
        f"{', '.join(again) + ' must hold again' if again else 'another waiver covers the same'} "
        f"{place_text(receipt)}"
    )
    data = waived_json(name, waiver, [], receipt, now())
    give(Answer(paragraph(f"{name}  ", told), data), as_json=as_json)


@_app.command("list")
def list_(
    context: typer.Context,
    incident: Annotated[
        Optional[str],  # noqa: UP045
        typer.Argument(metavar="[INCIDENT]", help="One incident; all of them if left out."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List waivers: live, still to come, ended and revoked."""
    if incident is not None and not is_incident(incident):
        raise UsageError(f"{incident!r} is no incident id like INC-2026-0001")
    with vault_of(context) as vault:
        names = [incident] if incident else list(vault.index.chains("INC-"))
        moment = vault.clock()
        found = [
            (name, waiver)
            for name in names
            for waiver in vault.incidents.read(name).incident.waivers.values()
        ]
    live = sum(waiver_state(waiver, moment) == "live" for _, waiver in found)
    lines = [
        line
        for name, waiver in found
        for line in prose(f"{name}  {waiver_state(waiver, moment):<7}  ", waiver_text(waiver))
    ]
    if found:
        lines.append(f"{count_text(len(found), 'waiver')}, {live} live; each until the time shown")
    else:
        lines.append(
            f"Nothing was ever waived {f'in {incident}' if incident else 'here'}; "
            "see: evault waive grant --help"
        )
    give(Answer(lines, waivers_json(found, moment)), as_json=as_json)
