"""`evault ingest`: seal files and folders as evidence."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Optional

import typer

from cli.chains import chain_or_only, split_chain
from cli.extras import bucket_source
from cli.intake import Wanted, check_open
from cli.options import AllVersionsOption, AsJson, EndpointOption, SpoolOption
from cli.sealing import answer_of, seal
from cli.session import Answer, UsageError, give, settings_of
from cli.spooling import reached, spool_and_deliver, way_to
from cli.trails import DigestKeysOption, proof_code, proof_json, proof_lines, read_keys
from ingest.source import Found, Source, SourceUnreadableError
from ingest.sources.files import FileSource
from ingest.sources.git import GitSource
from ingest.sources.joined import JoinedSource
from ingest.sources.stream import StreamSource
from ingest.trails import Proof, WatchedSource
from verify.statement import Kind, check_kind

S3 = "s3://"
STDIN = "-"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("ingest")(ingest)


def ingest(
    context: typer.Context,
    words: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Argument(
            metavar="[INCIDENT|STREAM] PATH...",
            help="Files and folders, s3://bucket/prefix, or - for standard input. The incident "
            "may be left out while only one is open; a stream, like stream:web, needs none.",
        ),
    ] = None,
    kind: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(
            "--kind",
            metavar="KIND",
            help="What it is evidence of, if the content does not say; repeatable: "
            f"{', '.join(Kind)}.",
        ),
    ] = None,
    source: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--source", metavar="NAME", help="Where it came from."),
    ] = None,
    method: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--method", metavar="TEXT", help="How it was obtained."),
    ] = None,
    system: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--system", metavar="NAME", help="The affected system it speaks of."),
    ] = None,
    name: Annotated[
        str, typer.Option("--name", metavar="NAME", help="What standard input is called.")
    ] = "standard input",
    git: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            "--git", metavar="REPO", help="Seal a revision of a git repository: see --rev."
        ),
    ] = None,
    revision: Annotated[
        str,
        typer.Option(
            "--rev", metavar="REV", help="The revision whose commit, tree and history are sealed."
        ),
    ] = "HEAD",
    endpoint: EndpointOption = None,
    all_versions: AllVersionsOption = False,
    digest_keys: DigestKeysOption = None,
    again: Annotated[
        bool,
        typer.Option(
            "--again",
            help="Seal also what was sealed before, unchanged, with no phase or attestation since.",
        ),
    ] = False,
    pack: Annotated[
        bool,
        typer.Option("--pack/--no-pack", help="Whether small files share an object in the store."),
    ] = True,
    deposit: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--deposit", metavar="ID", help="An id of your own; repeating it doubles nothing."
        ),
    ] = None,
    spool: SpoolOption = None,
    as_json: AsJson = False,
) -> None:
    """Seal files and folders, byte for byte, and say what they are and lack.

    Folders are walked in a fixed order; symbolic links are recorded, never followed. What could
    not be read is sealed as not captured, and makes exit code 1. So does what CloudTrail's own
    digests, where they are among it, prove not to be what was delivered; it is sealed all the same.
    By a collector's token it goes through the collector's own spool, see evault spool init.
    """
    given, rest = split_chain(words or [])
    if not rest and git is None:
        missing = "" if given else "Missing argument '[INCIDENT] PATH...': "
        raise UsageError(f"{missing}name at least one file or folder; see evault ingest --help")
    keys = read_keys(digest_keys)
    kinds = tuple(check_kind(each.replace("-", "_")) for each in dict.fromkeys(kind or ()))
    wanted = Wanted(
        host=settings_of(context).host,
        kinds=kinds,
        system=system,
        source=source,
        method=method or _method(rest, git),
        again=again,
        pack=pack,
        deposit=deposit,
    )

    def sources() -> tuple[WatchedSource, list[Found]]:
        places = _sources_of(rest, name, endpoint, all_versions=all_versions)
        places += [GitSource(git, revision)] if git is not None else []
        where = WatchedSource(JoinedSource(places))
        return where, _survey(where, rest)

    if spool is not None:
        _check_spooled(wanted, "--spool")
    with way_to(context, spool, as_json=as_json) as way:
        if way.spool is not None:
            _check_spooled(wanted, "a collector's token")
            there = reached(way, given, as_json=as_json)
            where, found = sources()
            answer = spool_and_deliver(way.spool, there, where, found, wanted, context)
        else:
            vault = way.vault
            assert vault is not None
            incident = chain_or_only(vault, given, as_json=as_json)
            check_open(vault, incident, deposit)
            where, found = sources()
            outcome = seal(vault, incident, where, found, wanted)
            answer = answer_of(vault, incident, outcome, system)
        give(_with_proof(answer, where.proof(keys)), as_json=as_json)


def _check_spooled(wanted: Wanted, by: str) -> None:
    """Raise `UsageError` for what does not go through a spool."""
    if wanted.deposit is not None:
        raise UsageError(f"--deposit goes without {by}: an entry of a spool has an id")
    if not wanted.pack:
        raise UsageError(f"--no-pack goes without {by}: the vault packs what is delivered")


def _with_proof(answer: Answer, proof: Proof | None) -> Answer:
    """An answer with what CloudTrail's digests prove of what was read."""
    lines = [*answer.lines, *proof_lines(proof)]
    data = {**answer.data, "digest_chain": proof_json(proof)}
    return Answer(lines, data, answer.code or proof_code(proof))


def _method(words: Sequence[str], git: Path | None) -> str:
    """How it was obtained, where nobody said."""
    told = [
        ("git objects", git is not None),
        ("objects of a bucket", any(word.startswith(S3) for word in words)),
        ("standard input", STDIN in words),
        ("files", any(word != STDIN and not word.startswith(S3) for word in words)),
    ]
    return f"{' and '.join(what for what, there in told if there)} read by evault"


def _sources_of(
    words: Sequence[str], name: str, endpoint: str | None, *, all_versions: bool
) -> list[Source]:
    """Files and folders in one source, then buckets, then standard input."""
    if words.count(STDIN) > 1:
        raise UsageError("standard input comes only once")
    buckets = [word for word in words if word.startswith(S3)]
    if all_versions and not buckets:
        raise UsageError("--all-versions is for s3://bucket/prefix")
    paths = [Path(word) for word in words if word != STDIN and word not in buckets]
    sources: list[Source] = [FileSource(paths)] if paths else []
    try:
        sources += [bucket_source(word, endpoint, all_versions=all_versions) for word in buckets]
    except SourceUnreadableError as error:
        raise UsageError(str(error)) from error
    if STDIN in words:
        sources.append(StreamSource(sys.stdin.buffer, name=name, path=STDIN))
    return sources


def _survey(source: Source, words: Sequence[str]) -> list[Found]:
    try:
        found = list(source.survey())
    except SourceUnreadableError as error:
        raise UsageError(str(error)) from error
    if not found:
        raise UsageError(f"there is nothing in {', '.join(words)}; nothing sealed")
    return found
