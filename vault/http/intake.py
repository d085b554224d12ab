"""What is sent as evidence, and the port through which it is read into facts and sealed.

Parsers live in `ingest`, which the vault never imports: `cli.serving` brings them in.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

from vault.deposit import Receipt
from vault.opened import Vault
from verify.description import Description
from verify.facts import Facts
from verify.incident import Exhibit


@dataclass(frozen=True, slots=True)
class Sent:
    """One content on its way in, and what its sender says of it."""

    name: str
    """Its name at the sender's: a claim, and never a path here."""
    size: int | None
    """Bytes, as announced; None for unknown."""
    kinds: tuple[str, ...] = ()
    """What it is evidence of; where nobody says, its parser does."""
    system: str | None = None
    source: str | None = None
    method: str | None = None
    again: bool = False
    """Whether it is sealed also where the same sighting is, and nothing happened since."""
    deposit: str | None = None
    """The sender's own id of this deposit: repeating it gives the first receipt."""


@dataclass(frozen=True, slots=True)
class TakenIn:
    """What became of it."""

    exhibit: Exhibit
    description: Description
    receipt: Receipt
    """Of the link that claims the exhibit: `repeated` if nothing was added to the chain."""
    state: Literal["sealed", "repeated", "already"]
    """`repeated`: this deposit was sealed before. `already`: this same sighting was."""


@dataclass(frozen=True, slots=True)
class Described:
    """What a parser says of a content: its facts, and for people its format and a summary."""

    facts: Facts
    kinds: tuple[str, ...]
    label: str
    summary: str


class Intake(Protocol):
    """Reads the facts of what is sent, and seals it."""

    @property
    def host(self) -> str:
        """The machine that captures, as captures name it."""

    def describe(self, data: bytes, name: str) -> Described:
        """Read the facts of a content in memory; whatever the bytes are, it answers."""

    def take_in(self, vault: Vault, chain: str, sent: Sent, pieces: Iterator[bytes]) -> TakenIn:
        """Seal one content onto a chain; it is evidence only once its pieces came to their end.

        Raises what `pieces` raises, and as `Door.deposit`: then nothing of it is left.
        """
