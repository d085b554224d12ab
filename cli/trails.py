"""CloudTrail's own proof, as `inspect` and `ingest` tell it: by which keys, a word, the reasons."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Annotated, Optional

import typer

from cli.render import count_text, folded
from cli.session import UsageError
from ingest.trails import FAILED, Proof
from verify.report import printable
from verify.strictjson import Object

KEYS_LIMIT = 1 << 20
_SHOWN = 5
_FETCH = "aws cloudtrail list-public-keys --start-time TIME --end-time TIME > FILE"

DigestKeysOption = Annotated[
    Optional[Path],  # noqa: UP045 — read at run time by typer
    typer.Option(
        "--digest-keys",
        metavar="FILE",
        help="CloudTrail's public keys, to verify digests by: what aws cloudtrail "
        "list-public-keys answered.",
    ),
]


def read_keys(path: Path | None) -> dict[str, bytes]:
    """The public keys of a file, by fingerprint; none without a file. Raises `UsageError`."""
    if path is None:
        return {}
    from ingest.parsers.digest_chain import public_keys  # noqa: PLC0415 — most commands need none

    try:
        with path.open("rb") as file:
            data = file.read(KEYS_LIMIT + 1)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from error
    try:
        # Not strictly: times are floats in what some versions of that command print.
        keys = public_keys(json.loads(data)) if len(data) <= KEYS_LIMIT else {}
    except (ValueError, RecursionError):
        keys = {}
    if not keys:
        raise UsageError(f"{path} holds no public keys; make it with: {_FETCH}")
    return keys


def proof_lines(proof: Proof | None) -> list[str]:
    """The word and its reasons."""
    if proof is None:
        return []
    counts = Counter((each.name, each.result) for each in proof.checked.verdicts)
    what = f"{count_text(proof.digests, 'digest')}, " + count_text(
        counts["log file", "passed"], "log file"
    )
    word = proof.verdict.upper() if proof.verdict == FAILED else proof.verdict
    spans = [f"{each.start} to {each.end}" for each in proof.checked.coverage[:_SHOWN]]
    told = [f"{what} as delivered", *(spans if proof.verdict != FAILED else ())]
    if proof.reasons:
        told = [*map(printable, proof.reasons[:_SHOWN])]
        if len(proof.reasons) > _SHOWN:
            told.append(f"and {len(proof.reasons) - _SHOWN:,} more")
    label = f"CloudTrail digests {word}: "
    return list(folded(label, [f"{each};" for each in told[:-1]] + told[-1:]))


def proof_json(proof: Proof | None) -> Object | None:
    """The object of `terms.json`."""
    if proof is None:
        return None
    checked = proof.checked
    return {
        "coverage": [
            {"end": each.end, "source": each.source, "start": each.start}
            for each in checked.coverage
        ],
        "digests": proof.digests,
        "gaps": [{"end": each.end, "start": each.start} for each in checked.gaps],
        "reasons": list(proof.reasons),
        "unlisted": list(checked.unlisted),
        "verdict": proof.verdict,
        "verdicts": [
            {"name": each.name, "result": each.result, "subject": each.subject}
            for each in checked.verdicts
        ],
    }


def proof_code(proof: Proof | None) -> int:
    """Exit code 1 where something is not what CloudTrail delivered."""
    return 1 if proof is not None and proof.verdict == FAILED else 0
