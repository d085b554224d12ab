"""A vault as the destination of a spool: `ingest.delivery.Destination`, here or behind a server."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

from cli.extras import parsers, remote
from cli.session import uninterrupted
from cli.vault import Vault
from ingest.entry import Entry
from ingest.parsers import HEAD_SIZE, read_facts
from vault.delivery import Deliveries, Missed
from vault.deposit import Receipt
from vault.errors import (
    ConflictError,
    NotFoundError,
    NotPermittedError,
    RefusedError,
    StaleHeadError,
)
from verify.collection import CollectedItem
from verify.description import Description
from verify.errors import EvidenceError
from verify.facts import Facts
from verify.strictjson import Object


class SpoolDestination(Protocol):
    """Where a spool delivers to, and the receipts that it got."""

    receipts: dict[int, list[Receipt]]
    """By the number of the entry."""

    def deliver(self, entry: Entry) -> tuple[Object, ...]:
        """Have an entry sealed; its receipts."""


def destination_of(
    vault: Vault, *, progress: Callable[[int], None] = lambda _: None
) -> SpoolDestination:
    """The destination that a vault is: this process seals, or its server does."""
    if vault.config.served is not None:
        there: SpoolDestination = remote().RemoteDestination(vault, progress=progress)
        return there
    return VaultDestination(vault, progress=progress)


def is_refusal(error: EvidenceError) -> bool:
    """Whether a vault says by it that it does not take this entry, and no more than that."""
    refusals = (RefusedError, NotFoundError, NotPermittedError, ConflictError)
    return isinstance(error, refusals) and not isinstance(error, StaleHeadError)


class VaultDestination:
    """Seals what a spool delivers, as a capture whose first exhibit is the signed envelope."""

    def __init__(self, vault: Vault, *, progress: Callable[[int], None] = lambda _: None) -> None:
        self._deliveries = Deliveries(vault, facts=facts_of, committing=uninterrupted)
        self._progress = progress
        self.receipts: dict[int, list[Receipt]] = {}

    def deliver(self, entry: Entry) -> tuple[Object, ...]:
        """Seal an entry. Raises `RefusedError`, `SpoolDamagedError`, and as `Door.deposit`."""
        collection = self._deliveries.open(entry.data, where=f"entry {entry.number}")
        receipts = self._deliveries.repeated(collection, entry.sha256)
        if receipts is None:
            contents = _EntryContents(entry)
            receipts = self._deliveries.seal(collection, entry.data, contents, self._progress)
        self.receipts[entry.number] = receipts
        return tuple(receipt.to_json() for receipt in receipts)


class _EntryContents:
    """The contents of a spool's entry, read from disk; satisfies `vault.delivery.Contents`."""

    def __init__(self, entry: Entry) -> None:
        self._entry = entry
        self._items: Iterator[tuple[CollectedItem, Description]] = entry.items()

    def pieces(self, number: int) -> Iterable[bytes]:
        """The bytes of an item."""
        return self._entry.content(number)

    def description(self, number: int, sha256: str) -> Description:
        """Its description. Raises `SpoolDamagedError`."""
        self._entry.check_content(number, sha256)
        return next(self._items)[1]

    def missed(self) -> Sequence[Missed]:
        """What was not captured. Raises `SpoolDamagedError`."""
        return [Missed(each.name, each.reason, each.detail) for each in self._entry.missed()]


def facts_of(data: bytes, name: str) -> Facts:
    """The facts of a small content, by the parsers of this installation."""
    stream = io.BytesIO(data)
    return read_facts(stream, head=data[:HEAD_SIZE], name=name, parsers=parsers()).facts
