"""`evault collector …`: whose spools this vault takes deliveries from."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, Optional

import typer

from cli.chains import is_chain
from cli.extras import remote
from cli.home import list_collector, load_trust
from cli.options import AsJson, Expires, Quiet, Reason
from cli.render import columns, paragraph
from cli.session import Answer, UsageError, give, settings_of, vault_of
from cli.settings import Settings
from cli.storage import has_access, open_access
from cli.times import read_end
from cli.tokens import SHOWN_ONCE, issued_lines
from cli.vault import Vault, now
from ingest.collector_key import read_public_key
from vault.collectors import Collector
from vault.documents import collector_json, collectors_json, enrolled_json
from vault.enrolment import Enrolled, enrol
from vault.tokens import COLLECTOR, Tokens
from verify.envelope import ManifestKey
from verify.errors import EvidenceError, MalformedError
from verify.strictjson import Object
from verify.trust import Trust

_app = typer.Typer(help="Whose spools this vault takes deliveries from.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="What you call it: a-z, 0-9 and -.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(_app, name="collector")


@_app.command()
def add(
    context: typer.Context,
    name: Name,
    key: Annotated[
        Path,
        typer.Option("--key", metavar="FILE", help="Its collector.pub, as `spool init` made it."),
    ],
    chains: Annotated[
        Optional[list[str]],  # noqa: UP045 — read at run time by typer
        typer.Argument(
            metavar="[INCIDENT|STREAM]...", help="What its token may append to, and nothing else."
        ),
    ] = None,
    expires: Expires = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Let a collector in: its key may sign collections, and nothing else.

    Sealed on the vault's own chain. The trust file lists the key from then on; give `evault trust`
    anew to whoever checks bundles. For the chains that are named it gets a token, which is printed
    this once. Repeated, it makes another: no secret is kept.
    """
    named = list(dict.fromkeys(chains or ()))
    for each in named:
        if not is_chain(each):
            raise UsageError(f"{each!r} is no incident id like INC-2026-0001")
    if not named and (quiet or expires is not None):
        option = "--quiet" if quiet else "--expires"
        raise UsageError(f"{option} is of a token: name what it may append to, INCIDENT or STREAM")
    ends = None if expires is None else read_end(expires, option="--expires")
    try:
        public = read_public_key(key)
    except OSError as error:
        raise UsageError(f"cannot read {key}: {error.strerror}") from error
    except MalformedError as error:
        raise UsageError(str(error)) from error
    with vault_of(context) as vault:
        known = any(each.spki == public.spki for each in vault.trust.collector_keys)
        enrolled = _enrol(settings_of(context), vault, name, public, named, ends)
        if quiet:
            assert enrolled.issued is not None
            give(Answer([enrolled.issued.secret.reveal()], {}), as_json=False)
        lines = _enrolled_lines(enrolled, new_key=not known)
        give(Answer(lines, enrolled_json(enrolled, now())), as_json=as_json)


def _enrol(
    settings: Settings,
    vault: Vault,
    name: str,
    key: ManifestKey,
    chains: Sequence[str],
    expires: datetime | None,
) -> Enrolled:
    """Let a collector in, and, for some chains, make a token for it, here or by the server."""
    if settings.server is not None:
        there: Enrolled = remote().enrol_there(vault, name, key, chains, expires)
        with suppress(EvidenceError):  # the next command says it; this one has a secret to show
            there = replace(there, trust=remote().trust_now(settings))
        return there

    def list_key(key: ManifestKey) -> Trust:
        list_collector(vault.home, key)
        return load_trust(vault.home)

    store = open_access(vault.home, vault.config) if chains else None
    try:
        return enrol(
            vault.collectors,
            name,
            key,
            index=vault.index,
            clock=vault.clock,
            list_key=list_key,
            tokens=None if store is None else Tokens(store=store, clock=vault.clock),
            chains=chains,
            expires=expires,
        )
    finally:
        if store is not None:
            store.close()


def _enrolled_lines(enrolled: Enrolled, *, new_key: bool) -> list[str]:
    collector, receipt, issued = enrolled.collector, enrolled.receipt, enrolled.issued
    name = collector.name
    told = f"may deliver already, since link {collector.sequence} of chain vault"
    if receipt:
        place = f"chain vault link {receipt.sequence}, log entry {receipt.index}"
        told = f"may deliver from now on ({place})"
    lines = [f"{name}  {told}", f"key  {collector.key.key_id}"]
    if new_key:
        lines += paragraph(
            "", "trust.json lists the key now: hand over evault trust anew, by another way "
            "than bundles. Without it, what this collector signed is shown as unverified.",
        )  # fmt: skip
    if issued is None:
        return lines + paragraph(
            "",
            "It has no token, and delivers where the home is. For one, with which it delivers "
            f"through a server: evault collector add {name} --key FILE INCIDENT|STREAM",
        )
    lines += issued_lines(issued)
    if enrolled.others:
        lines += paragraph(
            "",
            f"Others of {name} are valid still: {', '.join(enrolled.others)}; end those that "
            "nobody holds: evault token revoke ID",
        )
    return [*lines, SHOWN_ONCE]


@_app.command("list")
def list_(context: typer.Context, as_json: AsJson = False) -> None:
    """List the collectors that were ever let in."""
    with vault_of(context) as vault:
        collectors = vault.collectors.all()
        rows = [
            (
                each.name,
                each.key.key_id,
                f"since {each.added_at:%Y-%m-%d} (link {each.sequence})",
                f'may deliver no more: "{each.removed}"' if each.removed else "may deliver",
            )
            for each in collectors
        ]
        lines = columns(rows) or ["No collector was let in; see: evault collector add --help"]
        data = collectors_json(collectors, vault.trust)
        for each, item in zip(collectors, data["items"], strict=True):
            if not item["listed"]:
                lines += paragraph(
                    "",
                    f"{each.name} is not in this home's trust.json; run here: evault collector "
                    f"add {each.name} --key FILE",
                )
        give(Answer(lines, data), as_json=as_json)


@_app.command()
def remove(context: typer.Context, name: Name, reason: Reason, as_json: AsJson = False) -> None:
    """Take nothing more from a collector, for instance because its host was broken into.

    What it delivered stays evidence, and the trust file goes on listing its key: judge yourself
    which of it to believe. What still waits in its spool is refused.
    """
    with vault_of(context) as vault:
        collector, receipt = vault.collectors.remove(name, reason)
        tokens = _revoke_tokens(vault, name)
        place = f"chain vault link {receipt.sequence}, log entry {receipt.index}"
        lines = [
            f"{name}  may deliver no more ({place})",
            "What it delivered before stays; nothing tells what a stolen key signed from the rest.",
            *(f"token {each}  valid no more" for each in tokens),
        ]
        removed = Collector(
            collector.name, collector.key, collector.added_at, collector.sequence, reason
        )
        data: Object = {
            "collector": collector_json(removed, vault.trust),
            "receipt": receipt.to_json(),
            "tokens": list(tokens),
        }
        give(Answer(lines, data), as_json=as_json)


def _revoke_tokens(vault: Vault, name: str) -> list[str]:
    """Whoever took its key took its tokens too; the ids of those that were valid."""
    if not has_access(vault.home, vault.config):
        return []
    store = open_access(vault.home, vault.config)
    try:
        gone = Tokens(store=store, clock=vault.clock).revoke_all(f"{COLLECTOR}{name}")
        return [each.id for each in gone]
    finally:
        store.close()
