"""The source: where evidence is found, as the collector needs it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from verify.errors import EvidenceError


class SourceUnreadableError(EvidenceError):
    """Something was met at the source that cannot be taken as it is."""

    code = "source_unreadable"


@dataclass(frozen=True, slots=True)
class Found:
    """Something met at the source, in its fixed order."""

    name: str
    """Its path below what was named, for people; undecodable bytes as U+FFFD."""
    name_bytes: bytes | None
    """The exact bytes of that path, only where they are not UTF-8."""
    path: str
    """Where it is: an absolute path."""
    size: int
    modified_at: datetime | None
    obstacle: tuple[str, str] | None = None
    """Why it cannot be taken, as reason and detail; None if it can."""
    kinds: tuple[str, ...] = ()
    """What it is evidence of, where the source knows that better than any parser."""


class Reader(Protocol):
    """One content being read; `size` is its length in bytes when it was opened, None if unknown."""

    @property
    def size(self) -> int | None:
        """The length, where it is known before the end."""

    def pieces(self) -> Iterable[bytes]:
        """The bytes, once, in order. Raises `SourceUnreadableError`."""

    def settle(self, sha256: str) -> tuple[str, ...]:
        """Look again after reading: remarks about harmless changes.

        Raises `SourceUnreadableError` if what was read is not what is there.
        """

    def close(self) -> None:
        """Let go of it."""


class Source(Protocol):
    """A place that holds evidence."""

    def survey(self) -> Iterator[Found]:
        """Everything there, in a fixed order, without reading contents."""

    def open(self, found: Found) -> Reader:
        """Begin to read. Raises `SourceUnreadableError`."""
