"""The gatherer: OTLP exports that arrive together become one capture, sealed once, then answered.

An agent sends small requests often; a manifest for each would make chains of little else. What
waits is only in memory, and nobody was told anything of it: the sender still has it, and sends it
again if this process dies. So an answer is given only after the receipt.

The same bytes from the same collector within `AGAIN` are taken for what they are, a retry after an
outcome that was never learnt: exporters repeat a request byte for byte, and two different exports
are never the same bytes, since spans bear random ids and log records their times.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from types import TracebackType

from vault.capture import OpenCapture
from vault.errors import (
    ConflictError,
    NotFoundError,
    RecordError,
    RefusedError,
    UnavailableError,
)
from vault.evidence import fingerprint
from vault.http.intake import Described
from vault.http.problems import TooManyRequestsError
from vault.http.served import Gathering
from vault.log import open_row
from vault.opened import Vault
from vault.retention import VAULT_CHAIN, Guard
from vault.ulid import new_ulid
from verify.description import Description
from verify.envelope import ManifestKey
from verify.statement import Actor

METHOD = "OTLP/HTTP received"
"""The method that captures of received exports state."""
AGAIN = timedelta(hours=24)
"""How long the same bytes of one collector are a retry of what was sealed."""

_AT_ONCE = 4
_PATIENCE = 30.0
_OF_ALL = (ConflictError, NotFoundError, RecordError, RefusedError, UnavailableError)
"""Errors that are about the chain or the vault, not about one of the exports."""

_log = logging.getLogger("evault.http")


@dataclass(frozen=True, slots=True)
class Received:
    """One export, read and described, on its way into a chain."""

    chain: str
    actor: Actor
    """The collector that sent it."""
    path: str
    """Where it came in: with source and digest, what makes a second sending the same sighting."""
    name: str
    data: bytes
    """The body, without its transport coding."""
    sha256: str
    source: str | None
    described: Described
    remarks: tuple[str, ...]
    received_at: datetime

    @property
    def sighting(self) -> str:
        """What the same export sent again has in common with this one."""
        return fingerprint(path=self.path, system=None, source=self.source, sha256=self.sha256)


@dataclass(frozen=True, slots=True)
class Sealed:
    """Where an export is kept: under a link that has its receipt."""

    sequence: int
    repeated: bool
    """Whether it was there already."""


@dataclass(slots=True)
class _Waiting:
    received: Received
    answer: Future[Sealed] = field(default_factory=Future)


class Room:
    """What one request takes of the memory that all share; given back when it is left."""

    def __init__(self, gatherer: Gatherer) -> None:
        self._gatherer = gatherer
        self._taken = 0

    def take(self, size: int) -> None:
        """Take `size` bytes more. Raises `TooManyRequestsError` where they are not there."""
        self._gatherer.reserve(size)
        self._taken += size

    def give(self, size: int) -> None:
        """Give back what is needed no more."""
        self._gatherer.reserve(-size)
        self._taken -= size

    def __enter__(self) -> Room:
        """The room itself, empty."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        """Give back everything."""
        self.give(self._taken)


class Gatherer:
    """Seals what is received, chain by chain: a thread for each chain on which something waits."""

    def __init__(self, vault: Vault, gathering: Gathering, host: str) -> None:
        """A gatherer of one process. Others of other processes may seal onto the same chains."""
        self._vault = vault
        self._gathering = gathering
        self._host = host
        self._key = ManifestKey(vault.foundation.signer.public)
        self._changed = threading.Condition()
        self._queues: dict[str, deque[_Waiting]] = {}
        self._began: dict[str, float] = {}
        """When the last batch of each chain was taken, on the monotonic clock."""
        self._threads: set[threading.Thread] = set()
        self._memory = 0
        self._closing = False
        self._sealing = threading.BoundedSemaphore(_AT_ONCE)
        self._guards: dict[str, tuple[tuple[int, int], Guard]] = {}

    def room(self) -> Room:
        """Room for one request, to be used as a context."""
        return Room(self)

    def reserve(self, size: int) -> None:
        """Count bytes that are held. Raises `TooManyRequestsError` beyond the limit."""
        with self._changed:
            if size > 0 and self._memory + size > self._gathering.memory:
                raise TooManyRequestsError(
                    f"{self._memory:,} bytes of exports are being received or wait to be sealed "
                    "here; send it again in a moment"
                )
            self._memory += size

    def hand_over(self, received: Received) -> Future[Sealed]:
        """Have an export sealed; the answer comes when it is kept, or with why it is not.

        Raises `UnavailableError`.
        """
        waiting = _Waiting(received)
        waiting.answer.set_running_or_notify_cancel()  # who no longer waits does not undo it
        chain = received.chain
        with self._changed:
            if self._closing:
                raise UnavailableError("this server is being stopped; send it again in a moment")
            if chain not in self._queues:
                self._begin(chain)
            self._queues[chain].append(waiting)
            self._changed.notify_all()
        return waiting.answer

    def close(self) -> None:
        """Seal what waits, at once, and take no more."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            threads = list(self._threads)
        for each in threads:
            each.join()

    def _begin(self, chain: str) -> None:
        thread = threading.Thread(target=self._work, args=(chain,), name=f"gather {chain}")
        try:
            thread.start()  # it waits for the lock that is held here
        except RuntimeError as error:
            raise UnavailableError("too many threads here; send it again in a moment") from error
        self._queues[chain] = deque()
        self._threads.add(thread)

    def _work(self, chain: str) -> None:
        """Seal onto one chain, batch by batch, until nothing waits for it."""
        while batch := self._next(chain):
            self._answer(batch)

    def _next(self, chain: str) -> list[_Waiting]:
        """What is sealed next, once it is due; nothing where nothing waits."""
        with self._changed:
            queue = self._queues[chain]
            while queue and (left := self._left(chain, queue)) > 0:
                self._changed.wait(left)
            if not queue:
                del self._queues[chain]
                self._threads.discard(threading.current_thread())
                return []
            self._began[chain] = time.monotonic()
            return self._take(queue)

    def _left(self, chain: str, queue: deque[_Waiting]) -> float:
        """Seconds until a queue is due: at once, unless its chain was sealed onto just now."""
        limits = self._gathering
        if self._closing or len(queue) >= limits.count:
            return 0.0
        if sum(len(each.received.data) for each in queue) >= limits.size:
            return 0.0
        return self._began.get(chain, -limits.seconds) + limits.seconds - time.monotonic()

    def _take(self, queue: deque[_Waiting]) -> list[_Waiting]:
        """Take the oldest and what can be sealed with it: of one collector, and one source."""
        first = queue[0].received
        taken: list[_Waiting] = []
        others: list[_Waiting] = []
        size = 0
        while queue:
            each = queue.popleft()
            same = (each.received.actor, each.received.source) == (first.actor, first.source)
            fits = len(taken) < self._gathering.count and (
                not taken or size + len(each.received.data) <= self._gathering.size
            )
            if same and fits:
                taken.append(each)
                size += len(each.received.data)
            else:
                others.append(each)
        queue.extend(others)
        return taken

    def _answer(self, batch: Sequence[_Waiting]) -> None:
        """Seal a batch, and tell each that waits what became of it."""
        try:
            sealed = self._seal([each.received for each in batch])
        except BaseException as error:  # noqa: BLE001 — told to who waits, whatever it is
            if len(batch) > 1 and not isinstance(error, _OF_ALL):
                # What is the matter with one must not keep the others out.
                for each in batch:
                    self._answer([each])
                return
            if not isinstance(error, _OF_ALL):
                _log.error("an export cannot be sealed", exc_info=error)
            for each in batch:
                each.answer.set_exception(error)
            return
        for each in batch:
            each.answer.set_result(sealed[each.received.sighting])

    def _seal(self, batch: Sequence[Received]) -> dict[str, Sealed]:
        """Seal what is not there yet, each once, and say where each of them is."""
        chain = batch[0].chain
        vault = self._vault.acting_as(batch[0].actor)
        with (
            self._sealing,
            # Another process may have the same export in hand, from a sender that lost patience.
            vault.index.alone(f"gather {chain}", patience=_PATIENCE) as alone,
        ):
            if not alone:
                raise UnavailableError(f"others keep sealing onto {chain}; send it again")
            sealed = self._known(vault, batch)
            fresh = {each.sighting: each for each in batch if each.sighting not in sealed}
            if fresh:
                sequence = self._capture(vault, list(fresh.values()))
                sealed |= dict.fromkeys(fresh, Sealed(sequence, repeated=False))
            return sealed

    def _known(self, vault: Vault, batch: Sequence[Received]) -> dict[str, Sealed]:
        """Which of these are sealed and kept already, and where."""
        chain, wanted = batch[0].chain, [each.sighting for each in batch]
        if not vault.index.sightings(chain, among=wanted):
            return {}
        # To call it sealed is a promise, and whoever committed it may have died there.
        vault.door.settle()
        known: dict[str, Sealed] = {}
        recent: dict[int, bool] = {}
        for sighting, (_, sequence) in vault.index.sightings(chain, among=wanted).items():
            if sequence not in recent:
                recent[sequence] = self._is_recent(vault, chain, sequence)
            if recent[sequence]:
                known[sighting] = Sealed(sequence, repeated=True)
        return known

    def _is_recent(self, vault: Vault, chain: str, sequence: int) -> bool:
        """Whether a link is young enough to be what is retried. Raises unless it is kept."""
        row = next(iter(vault.index.rows(chain, start=sequence)))
        if row.index is None:
            raise UnavailableError(f"link {sequence} of {chain} is not in the log yet; try again")
        vault.log.covering(row.index)
        statement = open_row(row, (self._key,)).statement
        return vault.clock() - statement.recorded_at <= AGAIN

    def _capture(self, vault: Vault, batch: Sequence[Received]) -> int:
        """Seal exports as one capture, an item each; the link."""
        chain = batch[0].chain
        capture = OpenCapture(
            store=vault.store,
            index=vault.index,
            door=vault.door,
            clock=vault.clock,
            chain=chain,
            deposit=f"otlp-{new_ulid(vault.clock())}",
            system=None,
            source=batch[0].source,
            method=METHOD,
            collector={
                "host": self._host,
                "name": "evault",
                "version": vault.foundation.version,
            },
            guard=lambda: self._guard(vault, chain),
        )
        try:
            for each in batch:
                kept = capture.keep([each.data], size=len(each.data))
                capture.claim(kept, kinds=each.described.kinds, description=_description(each))
            receipts = capture.commit()
        except BaseException:
            capture.abort()
            raise
        before = self._guards[chain][1].policy
        if self._guard(vault, chain).policy != before:
            vault.retention.apply(chain)  # another policy came into force meanwhile
        return receipts[-1].sequence

    def _guard(self, vault: Vault, chain: str) -> Guard:
        """What evidence on a chain needs now.

        To read it takes the whole chain, which grows by every capture; only links that change it,
        and the policies on the vault's chain, make it be read anew.
        """
        head, rules = vault.index.head(chain), vault.index.head(VAULT_CHAIN)
        stand = (head.guarded if head else -1, rules.sequence if rules else -1)
        known = self._guards.get(chain)
        if known is None or known[0] != stand:
            known = self._guards[chain] = (stand, vault.retention.guard(chain))
        return replace(known[1], opened_at=vault.clock())


def _description(received: Received) -> Description:
    described = received.described
    return Description(
        salt=secrets.token_hex(32),
        name=received.name,
        name_bytes=None,
        path=received.path,
        label=described.label,
        summary=described.summary,
        modified_at=None,
        captured_at=received.received_at,
        remarks=received.remarks,
        facts=described.facts,
    )
