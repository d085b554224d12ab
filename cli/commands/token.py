"""`evault token …`: by what people and collectors sign in to this vault's server."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from cli.chains import is_chain
from cli.options import AsJson, Expires, Quiet, stated
from cli.render import columns, count_text
from cli.session import Answer, UsageError, give, settings_of, vault_of
from cli.storage import open_access
from cli.times import read_end
from cli.tokens import SHOWN_ONCE, issued_lines, limits_text
from cli.vault import Vault, now
from vault.documents import issued_json, token_json, token_state, tokens_json
from vault.errors import NotFoundError
from vault.ports import IdentityKind, Token
from vault.tokens import COLLECTOR, OVERLAP, Issued, Tokens, is_valid
from verify.errors import MalformedError
from verify.instant import format_instant
from verify.strictjson import Object

if TYPE_CHECKING:
    from vault.http.client.tokens import RemoteTokens

_app = typer.Typer(
    help="Tokens by which people and collectors sign in to the server.", no_args_is_help=True
)
_LENGTH = re.compile(r"(\d{1,4})([mhd])\Z")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}

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
            metavar="[PERSON]",
            help="Whom it signs in: ada@example.org; through a server, you.",
            callback=stated,
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
    append to the chains that its token names, and read nothing. Through a server, you make tokens
    of your own.
    """
    served = settings_of(context).server is not None
    if (person is None) == (collector is None) and not (served and person is None):
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
        whom = person or vault.signed_in or ""
        for each in () if served else limits:  # a server looks by itself
            if each.startswith("INC-") and vault.index.head(each) is None:
                raise NotFoundError(
                    f"there is no incident {each}; list them with: evault incident list"
                )
        try:
            issued = tokens.issue(
                whom if collector is None else f"{COLLECTOR}{collector}",
                kind=IdentityKind.PERSON if collector is None else IdentityKind.COLLECTOR,
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
        data: Object = {"old": token_json(old, now())}
        _give_issued(issued, more, data, quiet=quiet, as_json=as_json)


@_app.command()
def revoke(
    context: typer.Context,
    token_id: Annotated[
        Optional[str],  # noqa: UP045
        typer.Argument(
            metavar="[ID]", help="The token's id, as evault token list shows it.", callback=stated
        ),
    ] = None,
    all_of: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--all-of",
            metavar="IDENTITY",
            help="Or all that are valid of a person, or of collector:NAME: whoever found one token "
            "may have made others with it.",
            callback=stated,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Have a token be valid no more, at once. What was done with it stays."""
    if (token_id is None) == (all_of is None):
        raise UsageError("name one token by its ID, or all of somebody by --all-of IDENTITY")
    with _tokens(context) as (_, tokens):
        if token_id is None:
            assert all_of is not None
            gone = tokens.revoke_all(all_of)
            lines = [f"{each.id}  of {each.identity}: valid no more" for each in gone]
            told: Object = {"identity": all_of, "items": [token_json(each, now()) for each in gone]}
            give(Answer(lines or [f"No token of {all_of} was valid"], told), as_json=as_json)
        assert token_id is not None
        token = tokens.revoke(token_id)
        assert token.revoked is not None
        lines = [
            f"{token.id}  of {token.identity}: valid no more since {format_instant(token.revoked)}"
        ]
        give(Answer(lines, {"token": token_json(token, now())}), as_json=as_json)


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
    """List the tokens that were ever made, and whether they are valid. No secret is kept.

    Through a server, your own, and, if you let collectors in, theirs.
    """
    with _tokens(context) as (vault, tokens):
        found = tokens.list(identity)
        moment = now()
        rows = [
            (
                each.id,
                each.identity,
                token_state(each, moment),
                limits_text(each.chains),
                _history(each),
            )
            for each in found
        ]
        data = tokens_json(found, moment)
        lines = columns(rows) or [
            f"No token {'that you may see ' if vault.signed_in else ''}was ever made "
            f"{f'for {identity}' if identity else 'here'}; "
            "see: evault token add --help"
        ]
        if rows:
            lines.append(f"{count_text(len(rows), 'token')}, {data['counts']['valid']} valid")
        give(Answer(lines, data), as_json=as_json)


@contextmanager
def _tokens(context: typer.Context) -> Iterator[tuple[Vault, Tokens | RemoteTokens]]:
    """All tokens of a home's vault; through a server, those that who signed in may see."""
    with vault_of(context) as vault:
        if vault.tokens is not None:
            yield vault, vault.tokens
            return
        store = open_access(vault.home, vault.config)
        try:
            yield vault, Tokens(store=store, clock=now)
        finally:
            store.close()


def _give_issued(
    issued: Issued, more: Sequence[str], data: Object, *, quiet: bool, as_json: bool
) -> None:
    if quiet:
        give(Answer([issued.secret.reveal()], {}), as_json=False)
    lines = [*issued_lines(issued), *more, SHOWN_ONCE]
    give(Answer(lines, {**issued_json(issued, now()), **data}), as_json=as_json)


def _history(token: Token) -> str:
    used = f"last used {token.last_used:%Y-%m-%d %H:%MZ}" if token.last_used else "never used"
    told = f"until {token.expires:%Y-%m-%d %H:%MZ}, {used}"
    return f'{told}: "{token.name}"' if token.name else told
