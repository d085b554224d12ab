"""Collectors: whose keys a vault takes collections from. Read from, and sealed on, its own chain.

A `key` statement lets a collector in, another lets it go. What it delivered in between stays
evidence: the trust file goes on listing its key, for those who check it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from vault.deposit import Door, Draft, Receipt
from vault.errors import NotFoundError, RefusedError, StaleHeadError
from vault.log import open_row
from vault.ports import ChainHead, Clock, Index
from vault.ulid import new_ulid
from verify.collection import (
    ADDED,
    REMOVED,
    KeyEvent,
    check_collector_name,
    parse_key_event,
)
from verify.envelope import ManifestKey
from verify.errors import UnsupportedError
from verify.statement import VAULT_CHAIN, Type
from verify.trust import MAX_KEYS

MOST = MAX_KEYS
"""Collectors that are ever let in: the trust file lists every one, for what it delivered."""

_ATTEMPTS = 4

Done = TypeVar("Done")


@dataclass(frozen=True, slots=True)
class Collector:
    """A collector as it stands now."""

    name: str
    key: ManifestKey
    added_at: datetime
    sequence: int
    """The link of the vault's own chain that let it in."""
    removed: str | None = None
    """Why it may deliver no more; None while it may."""


class Collectors:
    """The collectors of one vault."""

    def __init__(self, *, index: Index, door: Door, clock: Clock, key: ManifestKey) -> None:
        self._index = index
        self._door = door
        self._clock = clock
        self._keys: tuple[ManifestKey, ...] = (key,)

    def all(self) -> Sequence[Collector]:
        """Everyone who was ever let in, in that order."""
        return list(self._read()[0].values())

    def keys(self) -> tuple[ManifestKey, ...]:
        """The keys that may deliver now."""
        return tuple(each.key for each in self.all() if each.removed is None)

    def named(self, name: str) -> Collector:
        """The collector that is called so now. Raises `NotFoundError`."""
        for each in self.all():
            if each.name == name and each.removed is None:
                return each
        raise NotFoundError(f"there is no collector {name}; list them with: evault collector list")

    def add(self, name: str, key: ManifestKey) -> tuple[Collector, Receipt | None]:
        """Let a collector in; no receipt if it is in already under this name and key.

        Raises `RefusedError` where the name or the key is another's, or was taken back, and where
        no trust file could list one more.
        """
        check_collector_name(name)
        return _again(lambda: self._add(name, key))

    def _add(self, name: str, key: ManifestKey) -> tuple[Collector, Receipt | None]:
        if any(key.spki == each.spki for each in self._keys):
            raise RefusedError("that key signs this vault's own statements")
        collectors, seen = self._read()
        for each in collectors.values():
            if each.key.spki == key.spki:
                if each.removed is not None:
                    raise RefusedError(
                        f"this key was taken back from {each.name}; make a new one: "
                        "evault spool init"
                    )
                if each.name == name:
                    return each, None
                raise RefusedError(f"this key is the collector {each.name} already")
            if each.name == name and each.removed is None:
                raise RefusedError(
                    f"{name} is a collector with another key; choose another name, or first run: "
                    f"evault collector remove {name} --reason TEXT"
                )
        if len(collectors) >= MOST:
            raise RefusedError(
                f"{MOST:,} collectors were let in, removed ones among them: a trust file lists no "
                "more; begin another vault"
            )
        receipt = self._seal(KeyEvent(ADDED, name, key), seen)
        return self.named(name), receipt

    def remove(self, name: str, reason: str) -> tuple[Collector, Receipt]:
        """Take no more from a collector. Raises `NotFoundError`."""

        def remove() -> tuple[Collector, Receipt]:
            seen = self._read()[1]
            collector = self.named(name)
            return collector, self._seal(KeyEvent(REMOVED, name, collector.key, reason), seen)

        return _again(remove)

    def _seal(self, event: KeyEvent, seen: int) -> Receipt:
        """Seal an event, if nothing came between it and what was read."""
        deposit = f"key-{new_ulid(self._clock())}"

        def build(head: ChainHead) -> Sequence[Draft]:
            if head.sequence != seen:
                raise StaleHeadError(
                    f"the chain {VAULT_CHAIN} grew meanwhile; run the command again"
                )
            return [Draft(Type.KEY, event.to_json(), deposit)]

        return self._door.deposit(VAULT_CHAIN, [deposit], build)[0]

    def _read(self) -> tuple[dict[bytes, Collector], int]:
        """Collectors by key, and the last link that was looked at."""
        found: dict[bytes, Collector] = {}
        last = -1
        for row in self._index.rows(VAULT_CHAIN):
            last = row.sequence
            if row.type != Type.KEY:
                continue
            where = f"{row.chain} link {row.sequence}"
            statement = open_row(row, self._keys).statement
            try:
                event = parse_key_event(statement.body, where=where)
            except UnsupportedError:
                continue  # keys of another sort: not ours to judge
            before = found.get(event.key.spki)
            found[event.key.spki] = Collector(
                event.name,
                event.key,
                before.added_at if before else statement.recorded_at,
                before.sequence if before else row.sequence,
                event.reason,
            )
        return found, last


def _again(act: Callable[[], Done]) -> Done:
    """Read and seal, anew if something else came in between: a grant, or a sweep."""
    for _ in range(_ATTEMPTS):
        try:
            return act()
        except StaleHeadError:
            continue
    return act()
