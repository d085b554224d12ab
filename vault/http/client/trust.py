"""Whom to believe about a served vault: a file from elsewhere, or the server's, pinned at once.

A pinned trust file is believed as it was first seen. What it says of the log, of the keys that sign
statements and of what an audit requires may not change under it. Collectors' keys are added as
collectors are let in: they are taken over, and told.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from vault.errors import NotFoundError, UnavailableError
from vault.http.client.connection import Connection
from verify.checkpoint import open_checkpoint
from verify.errors import EvidenceError, VerificationError
from verify.trust import Trust, parse_trust

TRUST = "trust.json"


class TrustChangedError(VerificationError):
    """A server shows another trust file than the one that was pinned."""

    code = "trust_changed"


def given_trust(path: Path) -> Trust:
    """The trust file that somebody named. Raises `UnavailableError`, `EvidenceError`."""
    try:
        return parse_trust(path.read_bytes(), where=str(path))
    except OSError as error:
        raise UnavailableError(
            f"cannot read the trust file {path}: {error.strerror}; name another with EVAULT_TRUST"
        ) from error


def check_before_token(connection: Connection, trust: Trust) -> None:
    """That the server's public checkpoint is of the trusted log, asked before it sees the token.

    A log without entries has none, and is taken to be the one. Raises `VerificationError`, and
    `UnavailableError` where the server answers otherwise.
    """
    try:
        shown = connection.get_public("/v1/log/checkpoint").data
    except NotFoundError:
        return
    try:
        open_checkpoint(shown, trust.log)
    except EvidenceError as error:
        raise VerificationError(
            f"{connection.server.url} shows no checkpoint of the log that the trust file names: "
            f"{error}. It was not shown the token. Is EVAULT_URL right? Else ask who runs the "
            "vault, by another way"
        ) from error


def pinned_trust(connection: Connection, folder: Path, told: Callable[[str], None]) -> Trust:
    """The server's trust file, as it was first seen; `told` is called where it is taken over.

    The server is asked for it without the token, which no command shows before this returns. Raises
    `TrustChangedError` where the server shows another one now.
    """
    path = folder / TRUST
    known = _known(path)
    if known is not None:
        check_before_token(connection, known)
    answer = connection.get_public("/v1/trust")
    shown = parse_trust(answer.data, where=f"{connection.server.url}/v1/trust")
    if known is None:
        check_before_token(connection, shown)
        _write(path, shown.data)
        told(
            f"pinned the trust file of {connection.server.url} in {path}; compare this with what "
            "evault trust prints where the vault is, by another way:"
        )
        for each in shown.lasting:
            told(f"  {each}")
        return shown
    if known.data == shown.data:
        return shown
    if not _only_collectors_added(known, shown):
        raise TrustChangedError(
            f"{connection.server.url} shows another trust file (sha256 {shown.sha256}) than the "
            f"one pinned in {path} (sha256 {known.sha256}); nothing of it is believed. Ask who "
            "runs the vault, by another way; where it is right, remove that file"
        )
    _write(path, shown.data)
    more = len(shown.collector_keys) - len(known.collector_keys)
    told(f"the vault lists {more} more collector{'' if more == 1 else 's'}; pinned anew in {path}")
    return shown


def _known(path: Path) -> Trust | None:
    """The trust file as it was pinned; None before the first use."""
    try:
        return parse_trust(path.read_bytes(), where=str(path))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UnavailableError(f"cannot read {path}: {error.strerror}") from error
    except EvidenceError as error:
        raise UnavailableError(f"{error}; remove the file, and compare the new one") from error


def _only_collectors_added(known: Trust, shown: Trust) -> bool:
    begun = shown.collector_keys[: len(known.collector_keys)]
    if [each.spki for each in begun] != [each.spki for each in known.collector_keys]:
        return False
    # Keys compare by what they are, not by where they lie.
    return _without_collectors(known) == _without_collectors(shown)


def _without_collectors(trust: Trust) -> tuple[object, ...]:
    bare = replace(trust, collector_keys=(), data=b"")
    keys = [(each.key.spki, each.start, each.end) for each in bare.manifest_keys]
    return (
        bare.origin,
        str(bare.log),
        keys,
        bare.witness_policy,
        bare.timestamp_certificates,
        bare.required,
    )


def _write(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except OSError as error:
        raise UnavailableError(
            f"cannot keep the server's trust file as {path}: {error.strerror}; "
            "or name one with EVAULT_TRUST"
        ) from error
