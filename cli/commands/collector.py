"""`evault collector …`: whose spools this vault takes deliveries from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.compose import Vault, has_access, list_here_or_there, open_access
from cli.options import AsJson, Reason
from cli.render import columns, paragraph
from cli.session import Answer, UsageError, give, settings_of, vault_of
from ingest.collector_key import read_public_key
from vault.collectors import Collector
from vault.documents import collector_json, collectors_json
from vault.tokens import COLLECTOR, Tokens
from verify.errors import MalformedError
from verify.strictjson import Object

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
    as_json: AsJson = False,
) -> None:
    """Let a collector in: its key may sign collections, and nothing else.

    Sealed on the vault's own chain. The trust file lists the key from then on; give `evault trust`
    anew to whoever checks bundles.
    """
    try:
        public = read_public_key(key)
    except OSError as error:
        raise UsageError(f"cannot read {key}: {error.strerror}") from error
    except MalformedError as error:
        raise UsageError(str(error)) from error
    with vault_of(context) as vault:
        collector, receipt = vault.collectors.add(name, public)
        # After the statement: a key in the trust file that no statement let in would be nobody's.
        # Whoever dies in between runs the command again.
        listed, trust = list_here_or_there(settings_of(context), vault, public)
        if receipt:
            place = f"chain vault link {receipt.sequence}, log entry {receipt.index}"
            lines = [f"{name}  may deliver from now on ({place})"]
        else:
            lines = [f"{name}  may deliver already, since link {collector.sequence} of chain vault"]
        lines.append(f"key  {public.key_id}")
        if listed:
            lines += paragraph(
                "", "trust.json lists the key now: hand over evault trust anew, by another way "
                "than bundles. Without it, what this collector signed is shown as unverified.",
            )  # fmt: skip
        data: Object = {
            "collector": collector_json(collector, trust),
            "receipt": receipt.to_json() if receipt else None,
        }
        give(Answer(lines, data), as_json=as_json)


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
