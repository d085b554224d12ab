"""`evault store check`: whether a bucket does what the vault relies on, by trying it."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING, Annotated, Any, Optional
from urllib.parse import urlsplit

import typer

from cli.config import S3Config, and_text, s3_config
from cli.home import STORE, check_home
from cli.options import AsJson, EndpointOption, KmsOption, RegionOption, store_url
from cli.render import StatusLine, columns, count_text, paragraph
from cli.session import Answer, UsageError, give, settings_of
from cli.storage import bucket_check
from cli.vault import now
from verify.instant import format_instant
from verify.report import Outcome, Verdict, printable
from verify.strictjson import Object

if TYPE_CHECKING:
    from vault.adapters.s3_check import BucketCheck, BucketReport, Tried

_app = typer.Typer(help="Where the record is kept.", no_args_is_help=True)

_CODES = {Verdict.PASSED: 0, Verdict.FAILED: 1, Verdict.INCONCLUSIVE: 2}
_SHOWN = {"passed": "passed", "failed": "FAILED", "not_checked": "not checked", "weaker": "weaker"}
_INDENT = 20
_PATIENCE = timedelta(seconds=15)
"""How long after the end of a lock a server may take to let go of it."""

_FOLDER = (
    ("write once", "passed", "a file is synced, then linked to its name, which fails if it exists"),
    ("versions", "weaker", "what its owner writes over or removes is gone"),
    ("locks and holds", "weaker", "noted beside the files; they bind evault, and nobody else"),
    ("checksums", "weaker", "a folder keeps none: verify and sweep read every byte again"),
)
_FOLDER_ADVICE = (
    "What was changed is found by verify, by the log, and by whoever has a checkpoint; what was "
    "removed is gone. Back it up, or make a vault with: evault init --store s3://BUCKET/PREFIX"
)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(_app, name="store")


@_app.callback()
def _store() -> None:
    """Where the record is kept."""


@_app.command()
def check(
    context: typer.Context,
    store: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--store",
            metavar="s3://BUCKET/PREFIX",
            help="The bucket to try; else this vault's own store.",
            callback=store_url,
        ),
    ] = None,
    endpoint_url: EndpointOption = None,
    region: RegionOption = None,
    kms_key: KmsOption = None,
    wait: Annotated[
        bool,
        typer.Option(
            "--wait/--no-wait",
            help="Whether to wait for the scratch locks to end (a minute), and remove what was "
            "locked; else the next check removes it.",
        ),
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Try on scratch keys whether a bucket does what evault relies on; without --store, its own.

    Exit code 0 if all works, 1 if something does not, 2 if something could not be tried.
    """
    if store is None:
        if endpoint_url or region or kms_key:
            raise UsageError("--endpoint-url, --region and --kms-key belong to --store; give both")
        settings = settings_of(context)
        config = check_home(settings).store
        if config is None:
            _give_folder(str(settings.home / STORE), as_json)
            return
    else:
        config = s3_config(store, endpoint_url=endpoint_url, region=region, kms_key=kms_key)
    with tried_bucket(config) as (trial, report):
        tried = report.tried
        if not as_json:
            head = [*_header(config), *tried_lines(tried), _conclusion(report)]
            _say([*head, *remedies(tried)])
        left = trial.remove()
        if left and wait:
            _wait(trial)
            left = trial.remove()
        tail = left_lines(trial) or ["The scratch objects were removed."]
        data: Object = {
            "counts": _counts([each.outcome.value for each in tried]),
            "findings": findings_json(tried),
            "kind": "s3",
            "lacks": list(report.lacks),
            "left": [{"key": each.key, "version_id": each.version_id} for each in left],
            "locked_until": _until(trial) if left else None,
            "store": config.url,
            "verdict": report.verdict.value,
        }
        give(Answer(tail, data, _CODES[report.verdict]), as_json=as_json)


@contextmanager
def tried_bucket(config: S3Config) -> Iterator[tuple[BucketCheck, BucketReport]]:
    """Try everything, with a line that says how far it is. Raises `UnavailableError`."""
    trial = bucket_check(config)
    status = StatusLine()
    try:
        report = trial.run(lambda name: status.show(f"trying {config.url}: {name}"))
        status.close()
        yield trial, report
    finally:
        status.close()
        trial.close()


def tried_lines(tried: Sequence[Tried], *, all_of_them: bool = True) -> list[str]:
    """A line a probe; below it what was seen, and what follows, where it did not pass."""
    lines = []
    rows = columns(
        (each.probe.name, each.probe.claim, _SHOWN[each.outcome.value]) for each in tried
    )
    for each, row in zip(tried, rows, strict=True):
        if each.outcome == Outcome.PASSED and not all_of_them:
            continue
        lines.append(row)
        if each.outcome != Outcome.PASSED:
            lines += _indented(f"{each.detail}.")
            lines += _indented(f"{each.probe.risk}.") if each.outcome == Outcome.FAILED else []
        lines += _indented(f"{each.advice}.") if each.advice else []
    return lines


def remedies(tried: Sequence[Tried]) -> list[str]:
    """What to do, each once, with the probes that ask for it."""
    asked: dict[str, list[str]] = {}
    for each in tried:
        if each.remedy:
            asked.setdefault(each.remedy, []).append(each.probe.name)
    if not asked:
        return []
    lines = ["What to do:"]
    for remedy, names in asked.items():
        lines += paragraph("  ", f"{', '.join(names)}: {remedy}.")
    return lines


def left_lines(trial: BucketCheck) -> list[str]:
    """What a check had to leave behind, and until when."""
    left = trial.remove()
    if not left:
        return []
    count = count_text(len(left), "scratch object")
    where = f"({left[0].key.rpartition('/')[0]}/ below the prefix)"
    until = _until(trial)
    told = (
        f"{count} {where} could not be removed: these credentials may not delete."
        if until is None
        else f"{count} {where} locked until {until}; the next check removes what is left."
    )
    return paragraph("", told)


def notes_of(tried: Sequence[Tried]) -> list[str]:
    """A line for each probe that did not pass, or that asks to consider something."""
    lines = []
    for each in tried:
        told = each.advice if each.outcome == Outcome.PASSED else each.detail
        if told:
            lines += paragraph("", f"{each.probe.name}: {told}")
    return lines


def findings_json(tried: Sequence[Tried]) -> list[Object]:
    """The probes as JSON objects."""
    return [
        {
            "advice": each.advice,
            "claim": each.probe.claim,
            "detail": each.detail,
            "name": each.probe.name,
            "outcome": each.outcome.value,
            "remedy": each.remedy,
            "risk": each.probe.risk if each.outcome != Outcome.PASSED else "",
        }
        for each in tried
    ]


def unencrypted(endpoint: str | None) -> bool:
    """Whether evidence would cross a network in clear."""
    if endpoint is None:
        return False
    parts = urlsplit(endpoint)
    host = parts.hostname or ""
    try:
        local = host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        local = False
    return parts.scheme == "http" and not local


def _header(config: S3Config) -> list[str]:
    at = f" at {config.endpoint_url}" if config.endpoint_url else ""
    lines = [f"{config.url}{at}, tried on scratch keys below check/"]
    if unencrypted(config.endpoint_url):
        lines.append("Everything sent there crosses the network unencrypted: use https.")
    return lines


def _conclusion(report: BucketReport) -> str:
    missing, verdict = report.lacks, report.verdict
    if verdict == Verdict.PASSED:
        text = f"PASSED: all {len(report.tried)}; evault can rely on this bucket"
    elif verdict == Verdict.INCONCLUSIVE:
        text = f"INCONCLUSIVE: not shown: {and_text(missing)}" if missing else "INCONCLUSIVE"
    elif missing:
        text = f"FAILED: not to be relied on for {and_text(missing)}"
    else:
        text = "FAILED"
    return f"{text:<66}exit {_CODES[verdict]}"


def _indented(text: str) -> list[str]:
    return paragraph(" " * _INDENT, f"{text[:1].upper()}{text[1:]}")


def _counts(outcomes: Sequence[str]) -> Object:
    return {name: outcomes.count(name) for name in ("failed", "not_checked", "passed", "weaker")}


def _until(trial: BucketCheck) -> str | None:
    return format_instant(trial.locked_until.replace(microsecond=0)) if trial.locked_until else None


def _wait(trial: BucketCheck) -> None:
    """Until the locks have ended and everything is gone, or a server does not let go."""
    if trial.locked_until is None:
        return
    status = StatusLine()
    try:
        while (left := trial.locked_until - now()) > timedelta(0):
            seconds = int(left.total_seconds()) + 1
            status.show(
                f"{seconds} s until the scratch locks end and can be removed; Ctrl-C: leave"
            )
            time.sleep(min(1.0, left.total_seconds()))
        while trial.remove() and now() < trial.locked_until + _PATIENCE:
            time.sleep(1.0)
    finally:
        status.close()


def _say(lines: Sequence[str]) -> None:
    for line in lines:
        print(printable(line))
    sys.stdout.flush()


def _give_folder(path: str, as_json: bool) -> None:
    findings: list[dict[str, Any]] = [
        {
            "advice": "", "claim": claim, "detail": "", "name": name, "outcome": outcome,
            "remedy": "", "risk": "",
        }
        for name, outcome, claim in _FOLDER
    ]  # fmt: skip
    lines = [
        f"{path}, a folder",
        *columns((name, claim, _SHOWN[outcome]) for name, outcome, claim in _FOLDER),
        "WEAKER than a bucket with Object Lock: its owner can change and remove everything.",
        *paragraph("  ", _FOLDER_ADVICE),
    ]
    data: Object = {
        "counts": _counts([outcome for _, outcome, _ in _FOLDER]),
        "findings": findings,
        "kind": "directory",
        "lacks": [],
        "left": [],
        "locked_until": None,
        "store": path,
        "verdict": Verdict.PASSED.value,
    }
    give(Answer(lines, data), as_json=as_json)
