"""`evault log …`: the log's checkpoints and proofs, its audit, and making the index anew."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Optional

import typer

from cli.chains import chain_or_only
from cli.home import check_home, load_trust
from cli.options import AsJson, ChainArgument
from cli.rebuild import rebuild_index
from cli.render import count_text
from cli.session import Answer, UsageError, give, settings_of, vault_of
from cli.storage import open_store
from cli.vault import Vault, let_go
from vault.errors import NotFoundError, UnavailableError
from vault.log_audit import audit_log
from verify.checkpoint import Checkpoint, ConsistencyProof, open_checkpoint
from verify.errors import EvidenceError
from verify.report import render
from verify.sigstore import format_sigstore_bundle
from verify.strictjson import Object
from verify.trust import Trust

_app = typer.Typer(help="The append-only log under everything.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(_app, name="log")


@_app.command()
def checkpoint(context: typer.Context, as_json: AsJson = False) -> None:
    """Print the newest signed checkpoint; kept elsewhere, it pins everything before it."""
    with vault_of(context) as vault:
        newest = vault.log.newest()
        data: Object = {
            "checkpoint": str(newest),
            "origin": newest.origin,
            "root": newest.head.root.hex(),
            "size": newest.head.size,
        }
        give(Answer([str(newest).rstrip("\n")], data), as_json=as_json)


@_app.command()
def proof(
    context: typer.Context,
    incident: ChainArgument = None,
    link: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option("--link", metavar="N", help="The link to prove; else the last."),
    ] = None,
    from_: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option("--from", metavar="SIZE", help="Prove that the log extends this size."),
    ] = None,
    to: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option("--to", metavar="SIZE", help="Up to this published size; else the newest."),
    ] = None,
    sigstore: Annotated[
        bool,
        typer.Option("--sigstore", help="As a sigstore bundle v0.3; see: evault trust --sigstore."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Print a proof: that a link is in the log, or with --from that the log only grew."""
    if from_ is not None and (incident is not None or link is not None or sigstore):
        raise UsageError("--from speaks of the whole log; it takes no incident, link or --sigstore")
    with vault_of(context) as vault:
        if from_ is not None:
            consistency = _consistency(vault, from_, to)
            data: Object = {
                "from": from_,
                "proof": str(consistency),
                "to": consistency.newer.head.size,
            }
            give(Answer([str(consistency).rstrip("\n")], data), as_json=as_json)
        if to is not None:
            raise UsageError("--to belongs to --from; give both")
        name = chain_or_only(vault, incident, as_json=as_json)
        chain = vault.incidents.read(name)
        indices = chain.indices
        number = len(indices) - 1 if link is None else link
        if not 0 <= number < len(indices):
            raise NotFoundError(f"{name} has links 0 to {len(indices) - 1}, not {number}")
        index = indices[number]
        if index is None:
            raise UnavailableError(f"link {number} is not in the log yet; run the command again")
        inclusion = vault.log.inclusion(index, vault.log.covering(index))
        text = str(inclusion)
        if sigstore:
            manifest = chain.manifests[number]
            text = format_sigstore_bundle(
                manifest.envelope, manifest.key, inclusion, vault.log.verifier
            ).decode()
        data = {"incident": name, "index": index, "link": number, "proof": text}
        give(Answer([text.rstrip("\n")], data), as_json=as_json)


@_app.command()
def audit(
    context: typer.Context,
    since: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--since", metavar="FILE", help="An earlier checkpoint that must still hold."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check the whole log from the store alone: tiles, roots, checkpoints, every chain."""
    settings = settings_of(context)
    config = check_home(settings)
    trust = load_trust(settings.home)
    earlier = None if since is None else _earlier(since, trust)
    store = open_store(settings.home, config)
    try:
        report = replace(
            audit_log(store, trust, since=earlier), notes=(f"kept in {config.store_words}",)
        )
    finally:
        let_go(store)
    lines = render(report, trust="trust.json").rstrip("\n").split("\n")
    give(Answer(lines, report.to_json(), report.exit_code), as_json=as_json)


@_app.command()
def rebuild(context: typer.Context, as_json: AsJson = False) -> None:
    """Make the index anew from the store, which holds the record. Stop other writers first."""
    settings = settings_of(context)
    old = rebuild_index(settings)
    with vault_of(context) as vault:
        size = vault.index.log_state().tree.size
        chains = len(vault.index.chains(""))
    counted = f"{count_text(size, 'log entry')} on {count_text(chains, 'chain')}"
    lines = [f"The index was made anew: {counted}."]
    if old:
        lines.append(f"The old one was put aside as {old}")
    data: Object = {"counts": {"chains": chains, "entries": size}, "old": old}
    give(Answer(lines, data), as_json=as_json)


def _consistency(vault: Vault, older: int, newer: int | None) -> ConsistencyProof:
    size = vault.log.newest().head.size if newer is None else newer
    if not 1 <= older <= size:
        raise UsageError(f"--from is a size from 1 to {size}, not {older}")
    return vault.log.consistency(older, newer)


def _earlier(path: Path, trust: Trust) -> Checkpoint:
    try:
        return open_checkpoint(path.read_bytes(), trust.log)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except EvidenceError as error:
        raise UsageError(
            f"{path} is no checkpoint of this log ({error}); "
            "--since takes what evault log checkpoint printed earlier"
        ) from error
