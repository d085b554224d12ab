"""Delivering a spool: in order, exactly once, and nothing goes before the vault has it.

The deposit id of an entry is made of spool and number, so that a retry after an outcome that nobody
learnt returns the first receipt. The first entry that is damaged or cannot be taken now stops the
delivery: what comes behind it waits. One that the vault refuses holds up its own chain alone: what
is for other chains is delivered, for order counts within a chain.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from ingest.entry import Entry, SpoolDamagedError, SpoolError
from ingest.spool import Spool, unavailable
from verify.errors import EvidenceError
from verify.strictjson import Object


class Destination(Protocol):
    """A vault, as a spool needs it: in this process, or behind a network."""

    def deliver(self, entry: Entry) -> tuple[Object, ...]:
        """Have an entry sealed, and return the receipts of its links, first to last.

        A repeated entry returns its first receipts. Raises `EvidenceError`, and then it may be
        delivered again.
        """


class NotKeptError(SpoolError):
    """A vault answered, but not that it has the entry."""

    code = "not_kept"


@dataclass(frozen=True, slots=True)
class Handed:
    """An entry that the vault has, with its receipts."""

    entry: Entry
    receipts: tuple[Object, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """An entry that a vault answered it will not take; it waits, with what is behind it there."""

    number: int
    destination: str
    error: EvidenceError


@dataclass(slots=True)
class Delivery:
    """What a delivery came to."""

    handed: list[Handed] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    """At most one of a chain: what is behind it there was not offered."""
    waiting: int = 0
    stopped_at: int | None = None
    """The number of the entry that could not be delivered."""
    stopped: EvidenceError | None = None
    """Why."""


def deliver(
    spool: Spool,
    destination: Destination,
    *,
    clock: Callable[[], datetime],
    up_to: int | None = None,
    begin: Callable[[Entry], None] = lambda _: None,
    refuses: Callable[[EvidenceError], bool] = lambda _: False,
) -> Delivery:
    """Deliver what waits, up to a number; `begin` is called before each entry.

    `refuses` tells the errors by which a vault refuses one entry, and others may go on.

    Raises `SpoolError` only where the spool itself cannot be used; all else is in the result.
    """
    delivery = Delivery()
    with spool.delivery():
        held: set[str] = set()
        number = _next(spool, 0, up_to)
        while number is not None:
            try:
                entry = spool.entry(number)
                if entry.collection.destination not in held:
                    begin(entry)
                    receipts = _offered(destination, entry, spool)
                    spool.settle(entry, receipts, clock())
                    delivery.handed.append(Handed(entry, receipts))
            except EvidenceError as error:
                if not refuses(error):
                    delivery.stopped, delivery.stopped_at = error, number
                    break
                held.add(entry.collection.destination)
                delivery.refused.append(Refused(number, entry.collection.destination, error))
            except OSError as error:
                delivery.stopped = unavailable(spool.root, "read", error)
                delivery.stopped_at = number
                break
            number = _next(spool, number, up_to)
        delivery.waiting = len(spool.waiting())
    return delivery


def _next(spool: Spool, behind: int, up_to: int | None) -> int | None:
    """The next number that waits; others may have sealed meanwhile."""
    following = (number for number in spool.waiting() if number > behind)
    return next((each for each in following if up_to is None or each <= up_to), None)


def _offered(destination: Destination, entry: Entry, spool: Spool) -> tuple[Object, ...]:
    try:
        return _receipts(destination, entry)
    except SpoolDamagedError as error:  # found while its contents were read
        raise SpoolDamagedError(f"{error}\n{spool.remedy(entry.number)}") from error


def _receipts(destination: Destination, entry: Entry) -> tuple[Object, ...]:
    """Only a receipt that says `kept`, for this entry, lets it go."""
    receipts = destination.deliver(entry)
    deposit = entry.collection.deposit
    named = [str(receipt.get("deposit", "")) for receipt in receipts]
    parts = [f"{deposit}/{part}" for part in range(1, len(receipts) + 1)]
    if not receipts or named not in ([deposit], parts):
        raise NotKeptError(f"the vault answered for another deposit than {deposit}")
    for receipt in receipts:
        if receipt.get("state") != "kept" or receipt.get("chain") != entry.collection.destination:
            raise NotKeptError(f"the vault does not say that it keeps {deposit}; it stays here")
    return receipts
