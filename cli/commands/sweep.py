"""`evault sweep`: looking over every object of the vault, and sealing what was found."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock
from typing import Annotated, Optional

import typer

from cli.options import AsJson
from cli.render import ProgressLine, columns, count_text, paragraph, size_text
from cli.session import Answer, UsageError, give, vault_of
from cli.vault import Vault
from vault.custody import exhibit_ranges
from vault.documents import sweeps_json, swept_json
from vault.ports import Version
from vault.sweep import EarlierSweep, Sweeper, Swept
from vault.ulid import ulid_time
from verify.report import Finding
from verify.statement import DEPTHS
from verify.strictjson import Object

_DEPTHS = DEPTHS[1:]
_DONE = {
    "bytes": "read again and as sealed",
    "checksums": "attested_by_store as sealed; no bytes were read",
}
_SHOWN = 10


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("sweep")(sweep)


def sweep(
    context: typer.Context,
    depth: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--depth",
            metavar="|".join(_DEPTHS),
            help="checksums asks the store about each object (the default on S3); bytes reads "
            "every object again (the default elsewhere).",
        ),
    ] = None,
    earlier: Annotated[
        bool, typer.Option("--list", help="Show the sweeps that were sealed; looks at nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Look over the evidence of all incidents, and seal the result onto the vault's chain.

    Exit code 1 where something is not as sealed, or not locked as demanded; 2 where something
    could not be checked, and nothing failed. Chains and log are checked by: evault log audit.
    """
    if depth not in (None, *_DEPTHS):
        raise UsageError(f"--depth is {' or '.join(_DEPTHS)}, not {depth!r}")
    if earlier and depth:
        raise UsageError("--list looks at nothing; it takes no --depth")
    with vault_of(context) as vault:
        if earlier:
            give(_earlier(vault.sweeper.earlier()), as_json=as_json)
        chosen = depth or ("checksums" if vault.store.traits.checksums else "bytes")
        swept = _sweep(vault.sweeper, chosen)
        unfinished = vault.sweeper.unfinished(swept.started_at)
        give(_answer(vault, swept, unfinished), as_json=as_json)


def _sweep(sweeper: Sweeper, depth: str) -> Swept:
    line: list[ProgressLine] = []
    lock = Lock()

    def announce(objects: int, size: int) -> None:
        total, unit = (size, size_text) if depth == "bytes" else (objects, _objects)
        verb = "reading" if depth == "bytes" else "asking the store about"
        line.append(ProgressLine(verb, total, unit=unit))
        line[0].announce(f"{count_text(objects, 'object')}, {size_text(size)}")

    def progress(amount: int) -> None:
        with lock:
            line[0].advance(amount)

    try:
        return sweeper.sweep(depth, announce=announce, progress=progress)
    finally:
        for each in line:
            each.close()


def _objects(count: int) -> str:
    return count_text(count, "object")


def _answer(vault: Vault, swept: Swept, unfinished: Sequence[Object]) -> Answer:
    failed, unchecked = swept.failed, swept.not_checked
    lines = paragraph(
        "",
        f"{swept.checked:,} of {count_text(swept.objects, 'object')} "
        f"({size_text(swept.size)}) {_DONE[swept.depth]}",
    )
    lines += _finding_lines("NOT AS SEALED", failed, swept)
    lines += _finding_lines("Not checked", unchecked, swept)
    lines += _unclaimed_lines(vault, swept.unclaimed)
    lines += _unfinished_lines(unfinished)
    receipt = swept.receipt
    assert receipt is not None
    lines.append(
        f"Sealed as link {receipt.sequence} of the vault's chain, log entry {receipt.index}; "
        f"depth {swept.depth}"
    )
    lines += paragraph("", f"Kept in {vault.config.store_words}")
    data = swept_json(swept, unfinished, vault.config.store_words)
    return Answer(lines, data, 1 if failed else 2 if unchecked else 0)


def _finding_lines(head: str, findings: Sequence[Finding], swept: Swept) -> list[str]:
    if not findings:
        return []
    lines = [f"{head}: {count_text(len(findings), 'finding')}"]
    for each in findings[:_SHOWN]:
        holds = swept.contents.get(each.subject, ())
        subject = each.subject + (f" ({_ranges(holds)})" if holds else "")
        first, *rest = each.detail.split("\n")
        lines += paragraph("  ", f"{subject}: {first}" if subject else first)
        lines += [f"    {more}" for more in rest]
    if len(findings) > _SHOWN:
        lines.append(f"  and {len(findings) - _SHOWN:,} more; --json tells all")
    return lines


def _ranges(names: Sequence[str]) -> str:
    """`INC-2026-0001 EV-0001..0003` for names that each carry their incident."""
    incidents: dict[str, list[str]] = {}
    for name in names:
        incident, _, exhibit = name.partition(" ")
        incidents.setdefault(incident, []).append(exhibit)
    return "; ".join(f"{each} {exhibit_ranges(found)}" for each, found in incidents.items())


def _unclaimed_lines(vault: Vault, unclaimed: Sequence[Version]) -> list[str]:
    if not unclaimed:
        return []
    size = sum(each.size for each in unclaimed)
    count = count_text(len(unclaimed), "object")
    lines = paragraph(
        "",
        f"Claimed by no statement: {count}, {size_text(size)}: captures that died before they "
        "were sealed, or are going on now",
    )
    rows = []
    for each in unclaimed[:_SHOWN]:
        made = ulid_time(each.key.rpartition("/")[2])
        since = f"since {made:%Y-%m-%d %H:%M}Z" if made else "of unknown age"
        rows.append((f"  {each.key}", size_text(each.size), since))
    lines += columns(rows)
    if len(unclaimed) > _SHOWN:
        lines.append(f"  and {len(unclaimed) - _SHOWN:,} more; --json tells all")
    locked = " once their locks have ended" if vault.store.traits.locks else ""
    return lines + paragraph(
        "  ", f"Nothing refers to them: what is older than any capture may be removed{locked}."
    )


def _unfinished_lines(unfinished: Sequence[Object]) -> list[str]:
    if not unfinished:
        return []
    lines = paragraph(
        "",
        f"{count_text(len(unfinished), 'upload')} begun and not finished: captures that died, or "
        "are going on now",
    )
    rows = [(f"  {each['key']}", f"since {each['started_at']}" if each["started_at"] else "")
            for each in unfinished[:_SHOWN]]  # fmt: skip
    lines += columns(rows)
    if len(unfinished) > _SHOWN:
        lines.append(f"  and {len(unfinished) - _SHOWN:,} more; --json tells all")
    how = (
        "Give the old ones up by the bucket's lifecycle rule AbortIncompleteMultipartUpload, or "
        "aws s3api abort-multipart-upload."
        if unfinished[0]["upload_id"]
        else "Remove them while no capture is going on."
    )
    return lines + paragraph("  ", how)


def _earlier(sweeps: Sequence[EarlierSweep]) -> Answer:
    rows = [
        (
            str(each.sequence),
            f"{each.recorded_at:%Y-%m-%d %H:%M:%S}Z",
            each.sweep.depth,
            f"{each.sweep.checked:,} as sealed",
            f"{each.sweep.failed:,} failed",
            f"{each.sweep.not_checked:,} not checked",
            each.actor.split(" ")[0],
        )
        for each in sweeps
    ]
    lines = columns(rows) or ["No sweep was sealed yet; see: evault sweep --help"]
    return Answer(lines, sweeps_json(sweeps))
