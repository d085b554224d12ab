"""Which incident or stream the words of a command mean."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence

from cli.session import UsageError
from cli.vault import Vault
from vault.errors import RefusedError
from verify.statement import STREAM

_INCIDENT = re.compile(r"INC-[0-9]{4}-[0-9]{4,8}\Z")
_STREAM = re.compile(r"stream:[a-z0-9][a-z0-9-]{0,62}\Z")
_MEANT_AS_INCIDENT = re.compile(r"inc-[0-9]", re.IGNORECASE)


def check_reads(vault: Vault) -> None:
    """Raise `RefusedError` for a collector: what it asked would be sealed as an attempt to read."""
    if vault.appends_only:
        raise RefusedError(
            "a collector's token appends only (evault ingest, capture and spool deliver); use a "
            "person's token"
        )


def incident_or_only(vault: Vault, given: str | None, *, as_json: bool = False) -> str:
    """The incident named, or the one open incident, which is then said on standard error.

    Raises as `check_reads`.
    """
    check_reads(vault)
    if given is None:
        name = vault.incidents.the_only_open()
        if not as_json:
            print(f"{name}, the one open incident:", file=sys.stderr)
        return name
    if given.startswith(STREAM):
        raise UsageError(
            f"{check_stream(given)} is a stream, and this is done with incidents; bring what "
            f"matters into one: evault preserve INCIDENT {given} --from TIME --to TIME"
        )
    if not _INCIDENT.match(given):
        raise UsageError(f"{given!r} is no incident id like INC-2026-0001")
    return given


def chain_or_only(vault: Vault, given: str | None, *, as_json: bool = False) -> str:
    """The incident or stream named, or the one open incident. Raises as `check_reads`."""
    check_reads(vault)
    if given is not None and given.startswith(STREAM):
        return check_stream(given)
    return incident_or_only(vault, given, as_json=as_json)


def check_stream(text: str) -> str:
    """The word, if it names a stream. Raises `UsageError`."""
    if not _STREAM.match(text):
        raise UsageError(
            f"{text!r} is no stream like stream:web-logs: small letters, digits and -, at most 63"
        )
    return text


def split_chain(words: Sequence[str]) -> tuple[str | None, list[str]]:
    """An optional incident or stream before the words that a command needs."""
    if words and words[0].startswith(STREAM):
        return check_stream(words[0]), list(words[1:])
    return split_incident(words)


def check_chain(given: str | None) -> None:
    """Raise `UsageError` for an argument that names no chain; none is given, none is wrong."""
    if given is not None and not is_chain(given):
        raise UsageError(f"{given!r} is no incident id like INC-2026-0001")


def is_chain(text: str) -> bool:
    """Whether a word names a stream or an incident. Raises `UsageError` as `is_incident` does."""
    return bool(check_stream(text)) if text.startswith(STREAM) else is_incident(text)


def is_incident(text: str) -> bool:
    """Whether a word is an incident id rather than something else.

    Raises `UsageError` for a word that was meant as one, and is none.
    """
    if _INCIDENT.match(text):
        return True
    if _MEANT_AS_INCIDENT.match(text) and not os.path.lexists(text):
        raise UsageError(f"{text!r} is no incident id like INC-2026-0001")
    return False


def split_incident(words: Sequence[str]) -> tuple[str | None, list[str]]:
    """An optional incident before the words that a command needs."""
    if words and is_incident(words[0]):
        return words[0], list(words[1:])
    return None, list(words)


def split_words(words: list[str], usage: str) -> tuple[str | None, list[str]]:
    """An optional incident before the words of `usage`."""
    given, rest = split_incident(words)
    if len(rest) != len(usage.split()):
        raise UsageError(f"expected [INCIDENT] {usage}; quote what has spaces")
    return given, rest
