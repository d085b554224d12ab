"""`evault token …`: by what people and collectors sign in to this vault's server."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Annotated, Optional

import typer

from cli.compose import Vault, check_at_home, now, open_access
from cli.options import AsJson, stated
from cli.render import columns, count_text, paragraph
from cli.session import Answer, UsageError, give, is_chain, read_end, settings_of, vault_of
from vault.errors import NotFoundError
from vault.ports import IdentityKind, Token
from vault.tokens import COLLECTOR, LIFE, OVERLAP, Issued, Tokens, is_valid
from verify.errors import MalformedError
from verify.instant import format_instant
from verify.strictjson import Object

_app = typer.Typer(
    help="Tokens by which people and collectors sign in to the server.", no_args_is_help=True
)
_LENGTH = re.compile(r"(\d{1,4})([mhd])\Z")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}

Quiet = Annotated[
    bool, typer.Option("--quiet", help="Print the token alone, for a script that keeps it.")
]
Expires = Annotated[
    Optional[str],  # noqa: UP045 — read at run time by typer
    typer.Option(
        "--expires",
        metavar="TIME",
        help=f"When it ends: RFC 3339 with zone, or 5m, 12h, 30d, 8w; {LIFE.days}d if left out, "
        "366d at most.",
    ),
]
TokenArgument = Annotated[
    str, typer.Argument(metavar="ID", help="The token's id, as evault token list shows it.")
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(_app, name="token")


@_app.command()
def add(
    context: typer.Context,
    person: Annotated[
        Optional[str],  # noqa: UP045
        typer.Argument(
            metavar="[PERSON]", help="Whom it signs in: ada@example.org.", callback=stated
        ),
    ] = None,
    collector: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--collector", metavar="NAME", help="Or a collector, which only appends."),
    ] = None,
    chain: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(
            "--chain", metavar="CHAIN", help="Only for this incident or stream:NAME; repeatable."
        ),
    ] = None,
    incident: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option("--incident", metavar="INCIDENT", help="The same, for an incident."),
    ] = None,
    name: Annotated[
        str, typer.Option("--name", metavar="TEXT", help="What it is for, for evault token list.")
    ] = "",
    expires: Expires = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Make a token, and print it this once: only its digest is kept.

    It says who asks. What they may do, grants say: evault grant add. A collector needs none; it may
    append to the chains that its token names, and read nothing.
    """
    if (person is None) == (collector is None):
        raise UsageError("name whom the token is for: PERSON, or --collector NAME")
    limits = [*(incident or ()), *(chain or ())]
    for each in limits:
        if not is_chain(each):
            raise UsageError(f"{each!r} is no incident id like INC-2026-0001")
    if collector is not None and not limits:
        raise UsageError(
            "a collector's token names what it may append to: --chain stream:NAME, or --incident"
        )
    ends = None if expires is None else read_end(expires, option="--expires")
    with _tokens(context) as (vault, tokens):
        for each in limits:
            if each.startswith("INC-") and vault.index.head(each) is None:
                raise NotFoundError(
                    f"there is no incident {each}; list them with: evault incident list"
                )
        try:
            issued = tokens.issue(
                f"{COLLECTOR}{collector}" if person is None else person,
                kind=IdentityKind.COLLECTOR if person is None else IdentityKind.PERSON,
                chains=limits,
                name=name,
                expires=ends,
            )
        except MalformedError as error:
            raise UsageError(str(error)) from error
        _give_issued(issued, [], {}, quiet=quiet, as_json=as_json)


@_app.command()
def rotate(
    context: typer.Context,
    token_id: TokenArgument,
    overlap: Annotated[
        str,
        typer.Option(
            "--overlap",
            metavar="TIME",
            help="How long the old one stays valid: 30m, 24h, 2d; 0h ends it at once.",
        ),
    ] = f"{OVERLAP.days * 24}h",
    expires: Expires = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Make a token in another's place, for the same holder and chains, and print it this once."""
    length = _LENGTH.match(overlap)
    if length is None:
        raise UsageError(f"--overlap: {overlap!r} is no time like 30m, 24h or 2d")
    lasting = timedelta(**{_UNITS[length.group(2)]: int(length.group(1))})
    ends = None if expires is None else read_end(expires, option="--expires")
    with _tokens(context) as (_, tokens):
        issued, old = tokens.rotate(token_id, overlap=lasting, expires=ends)
        told = (
            f"is valid until {format_instant(old.expires)} beside it"
            if is_valid(old, now())
            else "is valid no more"
        )
        more = [f"{old.id}  {told}"]
        _give_issued(issued, more, {"old": _json(old)}, quiet=quiet, as_json=as_json)


@_app.command()
def revoke(context: typer.Context, token_id: TokenArgument, as_json: AsJson = False) -> None:
    """Have a token be valid no more, at once. What was done with it stays."""
    with _tokens(context) as (_, tokens):
        token = tokens.revoke(token_id)
        assert token.revoked is not None
        lines = [
            f"{token.id}  of {token.identity}: valid no more since {format_instant(token.revoked)}"
        ]
        give(Answer(lines, {"token": _json(token)}), as_json=as_json)


@_app.command("list")
def list_(
    context: typer.Context,
    identity: Annotated[
        Optional[str],  # noqa: UP045
        typer.Argument(
            metavar="[IDENTITY]", help="A person's, or collector:NAME's, alone; all if left out."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the tokens that were ever made, and whether they are valid. No secret is kept."""
    with _tokens(context) as (_, tokens):
        found = tokens.list(identity)
        moment = now()
        rows = [
            (each.id, each.identity, _state(each, moment), _limits(each.chains), _history(each))
            for each in found
        ]
        valid = sum(is_valid(each, moment) for each in found)
        lines = columns(rows) or [
            f"No token was ever made {f'for {identity}' if identity else 'here'}; "
            "see: evault token add --help"
        ]
        if rows:
            lines.append(f"{count_text(len(rows), 'token')}, {valid} valid")
        data: Object = {
            "counts": {"tokens": len(found), "valid": valid},
            "items": [_json(each) for each in found],
        }
        give(Answer(lines, data), as_json=as_json)


@contextmanager
def _tokens(context: typer.Context) -> Iterator[tuple[Vault, Tokens]]:
    check_at_home(settings_of(context))
    with vault_of(context) as vault:
        store = open_access(vault.home, vault.config)
        try:
            yield vault, Tokens(store=store, clock=now)
        finally:
            store.close()


def _give_issued(
    issued: Issued, more: Sequence[str], data: Object, *, quiet: bool, as_json: bool
) -> None:
    """The one place where a secret is shown."""
    token, secret = issued.token, issued.secret.reveal()
    if quiet:
        give(Answer([secret], {}), as_json=False)
    lines = [
        secret,
        *paragraph(
            f"{token.id}  ",
            f"signs in {token.identity} {_limits(token.chains)}, until "
            f"{format_instant(token.expires)}",
        ),
        *more,
        "It is shown this once: keep it where secrets are kept, and give it as EVAULT_TOKEN.",
    ]
    give(Answer(lines, {"secret": secret, "token": _json(token), **data}), as_json=as_json)


def _json(token: Token) -> Object:
    return {
        "chains": list(token.chains),
        "created": format_instant(token.created),
        "expires": format_instant(token.expires),
        "id": token.id,
        "identity": token.identity,
        "kind": token.kind.value,
        "last_used": format_instant(token.last_used) if token.last_used else None,
        "name": token.name,
        "revoked": format_instant(token.revoked) if token.revoked else None,
        "state": _state(token, now()),
    }


def _state(token: Token, moment: datetime) -> str:
    """`valid`, `revoked` or `expired`, at a moment."""
    if token.revoked is not None:
        return "revoked"
    return "valid" if is_valid(token, moment) else "expired"


def _limits(chains: Sequence[str]) -> str:
    return f"on {', '.join(chains)} alone" if chains else "wherever a role is held"


def _history(token: Token) -> str:
    used = f"last used {token.last_used:%Y-%m-%d %H:%MZ}" if token.last_used else "never used"
    told = f"until {token.expires:%Y-%m-%d %H:%MZ}, {used}"
    return f'{told}: "{token.name}"' if token.name else told
