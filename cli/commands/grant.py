"""`evault grant …`: who holds which role of this vault, on which incidents, until when."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Optional

import typer

from cli.asking import ONLY_ASKED, waiting_text
from cli.chains import incident_or_only, is_chain
from cli.options import AsJson, CountsFrom, Reason, stated
from cli.render import columns, count_text, paragraph
from cli.session import Answer, UsageError, give, vault_of
from cli.times import read_end, read_time
from cli.vault import now
from vault.documents import grant_state, granted_json, grants_json
from vault.grants import Grants
from verify.grant import EVERY_CHAIN, Grant, GrantedRole
from verify.instant import format_instant
from verify.statement import VAULT_CHAIN
from verify.strictjson import Object

_app = typer.Typer(
    help="Give people roles in this vault, and take them back.", no_args_is_help=True
)

Person = Annotated[
    str,
    typer.Argument(
        metavar="PERSON", help="The identity as it signs in: ada@example.org.", callback=stated
    ),
]
RoleArgument = Annotated[
    str, typer.Argument(metavar="ROLE", help=f"One of {', '.join(GrantedRole)}.")
]
Chains = Annotated[
    Optional[list[str]],  # noqa: UP045 — read at run time by typer
    typer.Argument(metavar="[INCIDENT|STREAM]...", help="On which; vault is the vault itself."),
]
Everywhere = Annotated[
    bool, typer.Option("--all", help="On every incident and stream, also those to come.")
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(_app, name="grant")


@_app.command()
def add(
    context: typer.Context,
    person: Person,
    role: RoleArgument,
    reason: Reason,
    chains: Chains = None,
    everywhere: Everywhere = False,
    from_: CountsFrom = None,
    to: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--to",
            metavar="TIME",
            help="When it ends: RFC 3339 with zone, or +12h, +30d, +2w; until revoked if left out.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Give a person a role, sealed on the vault's own chain.

    It binds those who come through the server. Whoever has this machine's files needs no role.
    Through a server it is asked for: a steward approves it, who is neither you nor the person.
    """
    named, given = _chains(chains, everywhere=everywhere), _role(role)
    begins = read_time(from_)
    ends = None if to is None else read_end(to, option="--to")
    with vault_of(context) as vault:
        on = named or [incident_or_only(vault, None, as_json=as_json)]
        if vault.requests is not None:
            answer = vault.requests.ask_for_grant(
                person, given, on, reason=reason, valid_from=begins, valid_to=ends
            )
            give(_asked(person, given, on, answer), as_json=as_json)
        grant, receipt = vault.grants.grant(
            person, given, on, reason=reason, valid_from=begins, valid_to=ends
        )
        give(Answer(_held(grant, new=receipt is not None), granted_json(grant, receipt, now())),
             as_json=as_json)  # fmt: skip


def _held(grant: Grant, *, new: bool) -> list[str]:
    told = f"{grant.role.value} {_on(grant.chains)}, {_span(grant)}"
    if not new:
        told = f"holds that already: {told}"
    return paragraph(f"{grant.person}  ", f"{told} (chain vault link {grant.sequence})")


def _asked(person: str, role: GrantedRole, chains: Sequence[str], answer: Object | Grant) -> Answer:
    """That another is to approve it; or that the person holds it so already."""
    if isinstance(answer, Grant):
        return Answer(_held(answer, new=False), granted_json(answer, None, now()))
    lines = [
        *paragraph(
            f"{person}  ",
            f"NOT {role.value} {_on(chains)} yet: it takes a second person; {waiting_text(answer)}",
        ),
        f"  A steward, neither you nor {person}, approves it: evault request approve "
        f"{answer['id']}",
    ]
    return Answer(lines, {"request": answer}, ONLY_ASKED)


@_app.command()
def revoke(
    context: typer.Context,
    person: Person,
    role: RoleArgument,
    reason: Reason,
    chains: Chains = None,
    everywhere: Everywhere = False,
    as_json: AsJson = False,
) -> None:
    """Take a role back, at once: where it is named, or, if nothing is, wherever it was granted.

    What the person did while holding it stays as it is.
    """
    named, taken = _chains(chains, everywhere=everywhere), _role(role)
    with vault_of(context) as vault:
        gone, receipt = vault.grants.revoke(person, taken, named, reason=reason)
        lines = paragraph(
            f"{person}  ",
            f"is {taken.value} no more {_on(gone)} (chain vault link {receipt.sequence}, "
            f"log entry {receipt.index})",
        )
        left = [f"{each.role.value} {_on(each.chains)}" for each in vault.grants.of(person, now())]
        if left:
            lines += paragraph("  ", f"still holds: {'; '.join(left)}")
        data: Object = {
            "chains": list(gone),
            "person": person,
            "receipt": receipt.to_json(),
            "role": taken.value,
        }
        give(Answer(lines, data), as_json=as_json)


@_app.command("list")
def list_(
    context: typer.Context,
    person: Annotated[
        Optional[str],  # noqa: UP045
        typer.Argument(metavar="[PERSON]", help="Theirs alone; everyone's if left out."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List every grant that was ever given, and whether it counts now."""
    with vault_of(context) as vault:
        moment = now()
        found = vault.grants.all() if person is None else vault.grants.of(person)
        rows = [
            (
                each.person,
                each.role.value,
                grant_state(each, moment),
                _on(each.given),
                _history(each),
            )
            for each in found
        ]
        lines = columns(rows) or [
            f"No role was ever granted {f'to {person}' if person else 'here'}; "
            "see: evault grant add --help"
        ]
        data = grants_json(found, vault.grants.not_understood(), moment)
        if rows:
            lines.append(f"{count_text(len(rows), 'grant')}, {data['counts']['live']} live")
        lines += _not_understood(vault.grants)
        give(Answer(lines, data), as_json=as_json)


def _role(text: str) -> GrantedRole:
    try:
        return GrantedRole(text.replace("-", "_"))
    except ValueError:
        raise UsageError(f"{text!r} is no role; there are {', '.join(GrantedRole)}") from None


def _chains(given: Sequence[str] | None, *, everywhere: bool) -> list[str] | None:
    """The chains named; None where nothing is."""
    named = list(dict.fromkeys(given or ()))
    if everywhere and named:
        raise UsageError(f"--all is every incident, {named[0]} among them; name one or the other")
    for each in named:
        if each != VAULT_CHAIN and not is_chain(each):
            raise UsageError(f"{each!r} is no incident id like INC-2026-0001")
    return [EVERY_CHAIN] if everywhere else named or None


def _on(chains: Sequence[str]) -> str:
    if tuple(chains) == (EVERY_CHAIN,):
        return "on every chain"
    return f"on {', '.join('every chain' if each == EVERY_CHAIN else each for each in chains)}"


def _span(grant: Grant) -> str:
    begins = f"from {format_instant(grant.valid_from)}"
    return f"{begins} to {format_instant(grant.valid_to)}" if grant.valid_to else f"{begins} on"


def _history(grant: Grant) -> str:
    told = f'{_span(grant)}: "{grant.reason}"'
    if grant.approved_by is not None:
        told = f"{told}, approved by {grant.approved_by}"
    if grant.revoked_at is None:
        return told
    gone = tuple(each for each in grant.given if each not in grant.chains)
    return f'{told}; revoked {_on(gone)} by link {grant.revoked_sequence}: "{grant.revoked_reason}"'


def _not_understood(grants: Grants) -> list[str]:
    links = grants.not_understood()
    if not links:
        return []
    return paragraph(
        "",
        f"Not understood: {', '.join(f'link {each}' for each in links)} of the chain vault, made "
        "by a later evault. They give nothing here; whomever they may have taken something from "
        "holds nothing of before.",
    )
