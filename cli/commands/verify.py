"""`evault verify`: audit an incident in this vault, or a bundle from anywhere."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated, BinaryIO, Optional, cast

import typer

from cli.chains import chain_or_only, split_chain
from cli.config import CONFIG
from cli.extras import parsers
from cli.home import load_trust
from cli.options import AsJson
from cli.session import Answer, UsageError, give, settings_of, vault_of
from cli.vault import Vault
from ingest.parsers import HEAD_SIZE, read_facts
from ingest.parsers.records import Replayed, read_fully
from verify.__main__ import audit_bundle
from verify.audit import audit
from verify.bundle import check_is_bundle
from verify.digest import digest_stream
from verify.errors import MalformedError
from verify.facts import Facts
from verify.recompute import ReadFacts
from verify.report import Report, Verdict, render
from verify.seen import join, read_seen
from verify.statement import DEPTHS
from verify.trust import read_trust

_SIGHTINGS = 3
_DEPTHS = {
    "bytes": "the evidence was read again",
    "checksums": "attested_by_store; --depth bytes reads the evidence again",
    "none": "nothing could be read",
    "structure": "no evidence was read again",
}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("verify")(verify)


def verify(
    context: typer.Context,
    words: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Argument(
            metavar="[INCIDENT|STREAM|BUNDLE] [EXHIBIT...]",
            help="An incident or stream of this vault, or a bundle; exhibits limit what is read.",
        ),
    ] = None,
    trust: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--trust", metavar="FILE", help="Whom to believe; else this vault's own."),
    ] = None,
    seen: Annotated[
        Optional[list[Path]],  # noqa: UP045
        typer.Option("--seen", metavar="FILE", help="An earlier receipt, checkpoint or bundle."),
    ] = None,
    head: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option("--head", metavar="N", help="Fail what ends before link N."),
    ] = None,
    depth: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--depth",
            metavar="|".join(DEPTHS),
            help="structure looks at no evidence, checksums asks the store (the default on S3), "
            "bytes reads every exhibit again (the default elsewhere).",
        ),
    ] = None,
    facts: Annotated[
        bool,
        typer.Option(
            "--facts", help="Read a bundle's evidence anew: do the signed facts come out again?"
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check that nothing was altered. Exit code 0 passed, 1 failed, 2 inconclusive."""
    if depth not in (None, *DEPTHS):
        raise UsageError(f"--depth is structure, checksums or bytes, not {depth!r}")
    given, rest = split_chain(words or [])
    is_bundle = given is None and bool(rest) and not rest[0].startswith("EV-")
    if is_bundle:
        _check_bundle(context, rest, depth)
    elif facts:
        raise UsageError("--facts is for bundles; make one with: evault export")
    settings = settings_of(context)
    own = settings.trust_file
    trust_file = trust or (own if own.is_file() else None)
    if trust_file == own and settings.server is None:
        load_trust(settings.home)  # where it cannot be believed, this says that a backup has it
    try:
        if is_bundle:
            report = audit_bundle(
                Path(rest[0]),
                trust_file=trust_file,
                seen_files=seen or [],
                head=head,
                facts=_facts_reader() if facts else None,
            )
        else:
            with vault_of(context) as vault:
                trust_file = trust or own  # a server's may have been pinned only now
                name = chain_or_only(vault, given, as_json=as_json)
                report = _audit_incident(vault, name, rest, trust_file, seen or [], head, depth)
                notes = [f"kept in {vault.config.store_words}"]
                if settings.server is not None:
                    notes.append("bytes and locks were looked up by the server: that is its word")
                report = replace(report, notes=(*report.notes, *notes))
    except OSError as error:
        raise UsageError(f"cannot read {error.filename}: {error.strerror or error}") from error
    shown = render(report, trust=trust_file.name if trust_file else None).rstrip("\n").split("\n")
    if report.verdict != Verdict.FAILED:
        shown.append(f"  Depth {report.depth}: {_DEPTHS[report.depth]}.")
    if trust is None and trust_file is not None:
        whose = "this vault's own trust file" if settings.server is None else str(trust_file)
        shown.append(f"  Judged by {whose}; a stranger needs it from you.")
    give(Answer(shown, report.to_json(), report.exit_code), as_json=as_json)


def _facts_reader() -> ReadFacts:
    """What reads facts here: the parsers of this installation."""
    known = parsers()

    def read(stream: BinaryIO, name: str) -> Facts:
        head = read_fully(stream, HEAD_SIZE)
        whole = cast("BinaryIO", Replayed(head, stream))
        return read_facts(whole, head=head, name=name, parsers=known).facts

    return read


def _check_bundle(context: typer.Context, words: list[str], depth: str | None) -> None:
    if len(words) > 1:
        raise UsageError("a bundle is verified whole; name no exhibits")
    if depth not in (None, "bytes"):
        raise UsageError("a bundle is always read whole; --depth is for incidents of this vault")
    if not os.path.lexists(words[0]):
        raise UsageError(f"{words[0]} is neither an incident like INC-2026-0001 nor a bundle here")
    try:
        check_is_bundle(Path(words[0]))
    except MalformedError as error:
        raise UsageError(f"{error}. {_known(context, Path(words[0]))}") from error
    except OSError as error:
        raise UsageError(f"cannot read {words[0]}: {error.strerror or error}") from error


def _known(context: typer.Context, path: Path) -> str:
    """Whether a file's bytes were sealed here: what may have been meant by verifying it."""
    settings = settings_of(context)
    if settings.server is not None:
        return "Whether the server has its bytes sealed: send it to POST /v1/verify/file"
    if not (settings.home / CONFIG).is_file():
        return "Whether a vault has its bytes sealed can be asked where there is one (--home DIR)"
    with path.open("rb") as file:
        sha256, _ = digest_stream(file)
    with vault_of(context) as vault:
        known = vault.lookup.known(sha256, lambda _chain: True, most=_SIGHTINGS)
    if not known.sightings:
        return f"No incident or stream here has its bytes (SHA-256 {sha256})"
    places = [f"{each.chain} {each.exhibit.item.exhibit}" for each in known.sightings]
    more = f" and {known.count - len(places):,} more" if known.count > len(places) else ""
    first = known.sightings[0].chain
    return f"Its bytes are sealed as {', '.join(places)}{more}; check these: evault verify {first}"


def _audit_incident(
    vault: Vault,
    name: str,
    exhibits: list[str],
    trust_file: Path | None,
    seen_files: list[Path],
    head: int | None,
    depth: str | None,
) -> Report:
    if exhibits:
        vault.incidents.exhibits_named(vault.incidents.read(name), exhibits)
    trusted = vault.trust
    if trust_file is not None:
        trusted = read_trust(trust_file)
    record = vault.record(name, depth)
    earlier = join([read_seen(path, trusted) for path in seen_files]) if seen_files else None
    return audit(
        record,
        trusted,
        trusted=True,
        seen=earlier,
        head=max(record.head, head or 0),
        exhibits=exhibits or None,
    )
