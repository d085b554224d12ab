"""What a parser is: bytes in, facts out, nothing kept and nothing raised. No I/O of its own.

A parser is chosen by what the bytes look like, never by the name alone, and then reads the item
once, in order. Whatever the bytes are, it answers: damage is counted and described in the facts.
Only an error of the stream itself (`OSError`) passes through.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import BinaryIO, Protocol, runtime_checkable

from verify.facts import Facts

HEAD_SIZE = 64 << 10
"""How many bytes of an item (unpacked, where it is gzip) a parser sees before it is chosen."""


class Confidence(IntEnum):
    """How sure a parser is that the bytes are of its format; the surest one reads them."""

    NONE = 0
    WEAK = 1
    LIKELY = 2
    CERTAIN = 3


@dataclass(frozen=True, slots=True)
class Reading:
    """What a parser read out of one item.

    `facts` are sealed. `kinds` are the evidence kinds that the item has shown to be.
    `format_label` and `summary` are for people; `summary` may quote the item, so that views must
    escape it like any other content.
    """

    facts: Facts
    kinds: tuple[str, ...]
    format_label: str
    summary: str


@runtime_checkable
class Parser(Protocol):
    """A reader of one format. It holds no state: one instance serves every item."""

    @property
    def name(self) -> str:
        """The name that goes into `Facts.parser`."""
        ...

    @property
    def version(self) -> int:
        """Rises whenever the same bytes may give other facts."""
        ...

    @property
    def kinds(self) -> tuple[str, ...]:
        """Every evidence kind that a reading of this parser may have."""
        ...

    @property
    def whole(self) -> bool:
        """Whether it wants the whole item. If false, the first `HEAD_SIZE` bytes are enough."""
        ...

    def detect(self, head: bytes, name: str) -> Confidence:
        """How sure the parser is, given the first bytes (at most `HEAD_SIZE`) and the name."""
        ...

    def read(self, stream: BinaryIO, name: str) -> Reading:
        """Read the item from its first byte on. Raises only what `stream.read` raises."""
        ...
