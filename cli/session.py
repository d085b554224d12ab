"""What every command shares: settings, the opened vault, and how an answer is given."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import typer

from cli.compose import open_vault
from cli.render import prose
from cli.settings import Settings
from cli.vault import Vault
from vault.deposit import Receipt
from verify.errors import EvidenceError
from verify.report import printable
from verify.strictjson import Object


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
