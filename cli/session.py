"""What every command shares: settings, the opened vault, and how an answer is given."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import typer

from cli.compose import open_vault
from cli.render import prose
from cli.settings import Settings
from cli.vault import Vault, now
from vault.deposit import Receipt
from vault.errors import RefusedError, UnavailableError
from verify.errors import EvidenceError, MalformedError
from verify.instant import read_given_instant
from verify.report import printable
from verify.statement import STREAM
from verify.strictjson import Object

_RELATIVE = re.compile(r"-(\d{1,5})([smhd])\Z")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_AHEAD = re.compile(r"\+?(\d{1,4})([mhdw])\Z")
_AHEAD_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_INCIDENT = re.compile(r"INC-[0-9]{4}-[0-9]{4,8}\Z")
_STREAM = re.compile(r"stream:[a-z0-9][a-z0-9-]{0,62}\Z")
_MEANT_AS_INCIDENT = re.compile(r"inc-[0-9]", re.IGNORECASE)


class UsageError(EvidenceError):
    """The command was asked for something that makes no sense; nothing was done."""

    code = "usage"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command has to say: lines for people, an object for programs, and an exit code."""

    lines: Sequence[str]
    data: Object
    code: int = 0


def settings_of(context: typer.Context) -> Settings:
    """The settings that the program read at its start."""
    settings = context.find_root().obj
    if not isinstance(settings, Settings):
        raise TypeError("the program was not started through cli.main")
    return settings


@contextmanager
def vault_of(context: typer.Context) -> Iterator[Vault]:
    """The vault of the settings' home, opened and closed again."""
    vault = open_vault(settings_of(context))
    try:
        yield vault
    finally:
        vault.close()


def give(answer: Answer, *, as_json: bool) -> None:
    """Print an answer and leave with its exit code. Nothing raw reaches a terminal from here."""
    try:
        if as_json:
            print(json.dumps(answer.data, indent=2, sort_keys=True, ensure_ascii=True))
        else:
            for line in answer.lines:
                for each in line.split("\n"):
                    print(printable(each))
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has seen enough; what was done stands
        let_go_of_output()
    raise typer.Exit(answer.code)


def let_go_of_output() -> None:
    """What cannot be written is dropped, or the interpreter would try once more at its end."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


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


def acknowledge(
    name: str,
    told: str,
    receipt: Receipt,
    as_json: bool,
    more: Sequence[str] = (),
) -> None:
    """Say that one statement about an incident was sealed, and where."""
    data: Object = {"incident": name, "receipt": receipt.to_json()}
    lines = prose(f"{name}  ", f"{told} {place_text(receipt)}")
    give(Answer([*lines, *more], data), as_json=as_json)


def place_text(receipt: Receipt) -> str:
    """`(chain link 3, log entry 7)`: where a statement was sealed."""
    return f"(chain link {receipt.sequence}, log entry {receipt.index})"


def links_text(receipts: Sequence[Receipt]) -> str:
    """`chain link 3`, `chain links 3-5`: where the statements of one deposit were sealed."""
    first, last = receipts[0].sequence, receipts[-1].sequence
    return f"chain link {first}" if first == last else f"chain links {first}-{last}"


def check_new_file(path: Path, *, option: str = "-o") -> None:
    """Raise unless a new file can be written there; called before anything is sealed.

    `option` is what names another file.
    """
    if os.path.lexists(path):
        raise UsageError(f"{path} is there already; name another file with {option}")
    if not path.parent.is_dir():
        raise UsageError(
            f"there is no folder {path.parent}; make it, or name another with {option}"
        )
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise UnavailableError(f"cannot write to {path.parent}; name another place with {option}")


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Ctrl-C does nothing inside the block: what is claimed there is claimed whole, and said."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def read_time(text: str | None) -> datetime | None:
    """A time option: RFC 3339 with a zone, `now`, or `-12m`. Raises `UsageError`."""
    if text is None:
        return None
    if text == "now":
        return now()
    relative = _RELATIVE.match(text)
    if relative:
        return now() - timedelta(**{_UNITS[relative.group(2)]: int(relative.group(1))})
    try:
        return read_given_instant(text)
    except MalformedError as error:
        raise UsageError(f"{error}; now and -12m are understood too") from error


def read_end(text: str, *, option: str) -> datetime:
    """A time to come: RFC 3339 with a zone, or `30m`, `+12h`, `30d`, `+2w`. Raises `UsageError`."""
    ahead = _AHEAD.match(text)
    if ahead:
        return now() + timedelta(**{_AHEAD_UNITS[ahead.group(2)]: int(ahead.group(1))})
    try:
        moment = read_time(text)
    except UsageError as error:
        told = str(error).partition(";")[0]
        raise UsageError(
            f"{option}: {told}; how long from now is understood too: 30m, +12h, +14d, +2w"
        ) from error
    assert moment is not None
    return moment
