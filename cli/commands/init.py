"""`evault init` and `evault trust`."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from cli.commands.store import (
    findings_json,
    left_lines,
    notes_of,
    tried_bucket,
    tried_lines,
    unencrypted,
)
from cli.compose import open_vault
from cli.config import (
    CONCURRENCY,
    CONFIG,
    PART_MIB,
    HomeConfig,
    S3Config,
    and_text,
    read_config,
    s3_config,
)
from cli.home import ACCESS, INDEX, STORE, check_at_home, load_trust
from cli.new_home import init_home
from cli.options import (
    AsJson,
    ConcurrencyOption,
    EndpointOption,
    KmsOption,
    PartSizeOption,
    RegionOption,
    StoreOption,
    any_database_url,
    database_url,
)
from cli.render import paragraph
from cli.session import Answer, UsageError, give, settings_of
from cli.settings import TRUST, Settings
from vault.errors import RefusedError
from vault.ports import LockMode
from verify.digest import sha256_hex
from verify.report import printable
from verify.sigstore import format_trusted_root
from verify.strictjson import Object
from verify.trust import Trust

if TYPE_CHECKING:
    from vault.adapters.s3_check import BucketCheck, BucketReport

_NEVER_ACCEPTED = "plain reading and writing"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("init")(init)
    app.command("trust")(trust)


def init(
    context: typer.Context,
    origin: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--origin",
            metavar="NAME",
            help="The log's name, like vault.example.org/log; else one from its key's hash.",
        ),
    ] = None,
    store: StoreOption = None,
    endpoint_url: EndpointOption = None,
    region: RegionOption = None,
    lock: Annotated[
        Optional[LockMode],  # noqa: UP045
        typer.Option(
            "--lock",
            help="governance, if left out: a special right can lift a lock; compliance: nobody "
            "can, which cannot be undone.",
        ),
    ] = None,
    accept_unlocked: Annotated[
        bool,
        typer.Option(
            "--accept-unlocked",
            help="Use a bucket in which not all works that evault relies on; every report says so.",
        ),
    ] = False,
    part_size: PartSizeOption = None,
    concurrency: ConcurrencyOption = None,
    kms_key: KmsOption = None,
    database: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--database",
            metavar="URL",
            help="Keep the index in PostgreSQL, like postgresql://evault@host/evault; no password "
            "in it.",
            callback=database_url,
        ),
    ] = None,
    database_owner: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--database-owner",
            metavar="URL",
            help="Who makes the tables; the user of --database then gets only what it needs, and "
            "cannot alter log entries. Not kept.",
            callback=any_database_url,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a vault: keys, trust file, index and store. Running it again changes nothing.

    Without --store the record is a folder in the home, without --database the index a file there.
    A bucket is tried first, as by: evault store check.
    """
    check_at_home(settings_of(context))
    home = settings_of(context).home
    if store is None:
        given = {"--endpoint-url": endpoint_url, "--region": region, "--lock": lock,
                 "--part-size": part_size, "--concurrency": concurrency, "--kms-key": kms_key,
                 "--accept-unlocked": accept_unlocked}  # fmt: skip
        for name, value in given.items():
            if value:
                raise UsageError(f"{name} speaks of a bucket; it belongs to --store")
    if database_owner is not None and database is None:
        raise UsageError("--database-owner belongs to --database; give both")
    config, trial, report = None, None, None
    if store is not None:
        config = s3_config(
            store,
            endpoint_url=endpoint_url,
            region=region,
            part_mib=part_size or PART_MIB,
            concurrency=concurrency or CONCURRENCY,
            kms_key=kms_key,
            lock=lock or LockMode.GOVERNANCE,
        )
    with ExitStack() as stack:
        if (home / CONFIG).is_file():
            _check_same_index(home, database)
        elif config is not None:
            trial, report = stack.enter_context(tried_bucket(config))
            config = _accepted(config, report, accept_unlocked)
        made = init_home(home, origin=origin, store=config, database=database, owner=database_owner)
        known = load_trust(home)
        lines = [f"There is a vault in {home} already; nothing was changed."]
        if made:
            kept = read_config(home)
            lines = [
                *_made_lines(home, kept, known),
                *_trial_lines(kept, trial, report),
                *_index_lines(kept, database_owner),
                *_next_lines(home, kept, known),
            ]
        give(Answer(lines, _json(made, home, known, trial, report)), as_json=as_json)


def trust(
    context: typer.Context,
    sigstore: Annotated[
        bool, typer.Option("--sigstore", help="The log as a sigstore trusted root.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Print the trust file: whom a verifier should believe. Hand it over apart from bundles.

    On standard error, to be compared by telephone: its log, and the keys that sign statements. They
    stay as they are while collectors are let in; the digest of the file does not.
    """
    known = _own_trust(settings_of(context))
    if not as_json:
        for each in known.lasting:
            print(printable(each), file=sys.stderr)
    text = (format_trusted_root(known.log) if sigstore else known.data).decode()
    give(
        Answer(
            [text.rstrip("\n")],
            {
                "lasting": list(known.lasting),
                "origin": known.origin,
                "sha256": sha256_hex(text.encode()),
                "trust": text,
            },
        ),
        as_json=as_json,
    )


def _own_trust(settings: Settings) -> Trust:
    """The trust file of the home, or of the server, pinned if need be. Raises `EvidenceError`."""
    if settings.server is None:
        return load_trust(settings.home)
    vault = open_vault(settings)
    vault.close()
    return vault.trust


def _check_same_index(home: Path, database: str | None) -> None:
    known = read_config(home)
    if database is not None and known.database != database:
        where = known.database or home / INDEX
        raise RefusedError(f"{home} is a vault that keeps its index in {where}; it cannot change")


def _accepted(config: S3Config, report: BucketReport, accept: bool) -> S3Config:
    """The store, with what it lacks; refused unless that was accepted."""
    lacks = report.lacks
    if lacks and (not accept or _NEVER_ACCEPTED in lacks):
        again = f"evault store check --store {config.url}"
        again += f" --endpoint-url {config.endpoint_url}" if config.endpoint_url else ""
        needed = [each for each in report.tried if each.probe.ability is not None]
        remedy = paragraph("What to do: ", f"see {again}")
        if _NEVER_ACCEPTED not in lacks:
            told = "or use it all the same with --accept-unlocked; every report will say so"
            remedy += paragraph("            ", told)
        raise RefusedError(
            "\n".join(
                [
                    f"{config.url} was not found fit to keep evidence; it lacks {and_text(lacks)}",
                    *tried_lines(needed, all_of_them=False),
                    *remedy,
                ]
            )
        )
    return replace(
        config, lacks=lacks, locks="Object Lock" not in lacks, versions="versioning" not in lacks
    )


def _made_lines(home: Path, kept: HomeConfig, known: Trust) -> list[str]:
    lines = [f"A vault was made in {home}", f"Its log is {known.origin}"]
    if kept.store:
        at = f" at {kept.store.endpoint_url}" if kept.store.endpoint_url else ""
        lines += paragraph("Its record is in ", kept.store.words.replace(",", f"{at},", 1))
    return lines


def _trial_lines(
    kept: HomeConfig, trial: BucketCheck | None, report: BucketReport | None
) -> list[str]:
    if kept.store is None or trial is None or report is None:
        return []
    passed = sum(1 for each in report.tried if each.outcome == "passed")
    lines = [f"  {passed} of {len(report.tried)} trials passed there (evault store check)"]
    lines += [f"  {line}" for line in notes_of(report.tried)]
    if unencrypted(kept.store.endpoint_url):
        lines.append("  everything sent there crosses the network unencrypted: use https")
    return lines + [f"  {line}" for line in left_lines(trial)]


def _index_lines(kept: HomeConfig, owner: str | None) -> list[str]:
    if kept.database is None:
        return []
    told = "its user may add log entries and checkpoints there, not alter or remove any"
    if owner is None:
        told = "its user owns the tables, and could alter log entries; --database-owner avoids that"
    return [f"Its index is in {kept.database}", *paragraph("  ", told)]


def _next_lines(home: Path, kept: HomeConfig, known: Trust) -> list[str]:
    record = kept.store.url if kept.store else str(home / STORE)
    index, access = str(home / INDEX), str(home / ACCESS)
    if kept.database is not None:
        index, access = f"the rest of {kept.database}", f"{kept.database}, schema evault_access"
    rows = [
        (str(home / "keys"), "whoever has these can sign as this vault; losing them ends it"),
        (str(home / TRUST), "whom a verifier should believe"),
        (str(home / CONFIG), "where record and index are; no secrets"),
        (record, "the record itself: evidence, chains, log"),
        (access, "tokens and requests of a server, once there is one; no rebuild makes it"),
    ]
    width = max(len(place) for place, _ in rows)
    return [
        "",
        "Back up, apart from this machine:",
        *(f"  {place:<{width}}  {what}" for place, what in rows),
        f"  ({index} need not be saved: evault log rebuild makes it anew)",
        "",
        "Send to counsel now, so that later nobody can say these keys came after the facts:",
        "  evault trust > trust.json            of which these stay as collectors are let in:",
        *(f"    {each}" for each in known.lasting),
        "  evault log checkpoint > checkpoint   once something is sealed, and again each day",
        "",
        "Next: evault incident declare --help",
    ]


def _json(
    made: bool,
    home: Path,
    known: Trust,
    trial: BucketCheck | None,
    report: BucketReport | None,
) -> Object:
    kept = read_config(home)
    left = trial.remove() if trial else []
    return {
        "created": made,
        "database": kept.database,
        "findings": findings_json(report.tried) if report else [],
        "home": str(home),
        "lasting": list(known.lasting),
        "left": [{"key": each.key, "version_id": each.version_id} for each in left],
        "origin": known.origin,
        "store": {
            "kind": "s3" if kept.store else "directory",
            "lacks": list(kept.store.lacks) if kept.store else [],
            "lock": kept.store.lock.value if kept.store else None,
            "url": kept.store.url if kept.store else str(home / STORE),
        },
        "trust_file": str(home / TRUST),
        "trust_sha256": known.sha256,
    }
