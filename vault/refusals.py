"""Refusals of people who are known: on the chain, counted, one statement an identity and minute.

That somebody asked for what they may not is part of an incident's custody, but must not let them
fill its chain: the first refusal is sealed, those of the minute after it are counted, and the count
is sealed when the minute is over. The vault states it, not who asked.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from vault.deposit import Draft
from vault.errors import DepositConflictError, NotFoundError, RefusedError
from vault.incidents import Chain, Incidents
from vault.ports import Clock
from verify import strictjson
from verify.custody import MAX_ADDRESS, Refused, parse_refused
from verify.digest import sha256_hex
from verify.errors import EvidenceError
from verify.statement import Type, is_chain_id
from verify.strictjson import Fields

EVERY = timedelta(minutes=1)
_log = logging.getLogger("evault.http")

_Key = tuple[str, str]
"""Chain and identity."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    """Refusals that no statement tells yet; permission and address are those of the first."""

    refused: Refused
    due: datetime | None = None
    """When they may be sealed; None for at once."""


class Refusals:
    """The refusals that one process met. Several processes agree by what is on the chain."""

    def __init__(self, *, incidents: Incidents, clock: Clock) -> None:
        """Refusals; `incidents` acts for the vault itself."""
        self._incidents = incidents
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting: dict[_Key, _Waiting] = {}
        self._timer: threading.Timer | None = None
        self._closed = False

    def note(self, chain: str, identity: str, permission: str, address: str | None) -> None:
        """Count a refusal; the first of a minute is sealed before this returns, if it can be."""
        if not is_chain_id(chain):  # whatever stood in the path: no chain can tell of it
            return
        moment = self._clock()
        key = (chain, identity)
        with self._lock:
            known = self._waiting.get(key)
            if known is not None:
                more = replace(known.refused, count=known.refused.count + 1)
                self._waiting[key] = replace(known, refused=more)
                return
            where = address[:MAX_ADDRESS] if address else None
            self._waiting[key] = _Waiting(Refused(identity, permission, where, 1, moment))
        self._seal(key)

    def seal_due(self) -> None:
        """Seal what has waited for its minute to end."""
        moment = self._clock()
        with self._lock:
            self._timer = None
            waiting = [
                key
                for key, each in self._waiting.items()
                if each.due is not None and each.due <= moment
            ]
        for key in waiting:
            self._seal(key)
        self._wait()

    def close(self) -> None:
        """Seal what is counted, its minute over or not: nobody would do it later."""
        with self._lock:
            self._closed = True
            if self._timer is not None:
                self._timer.cancel()
            waiting = list(self._waiting)
        for key in waiting:
            self._seal(key, hurry=True)

    def _seal(self, key: _Key, *, hurry: bool = False) -> None:
        chain_id, identity = key
        try:
            chain = self._incidents.read(chain_id)
            last, recorded_at = _newest(chain, identity)
            moment = self._clock()
            if recorded_at is not None and abs(moment - recorded_at) < EVERY and not hurry:
                return self._postpone(key, recorded_at + EVERY)
            with self._lock:
                told = self._waiting.pop(key, None)
            if told is None:
                return None
            try:
                if self._state(chain_id, told.refused, last):
                    return None
                # Another was first: ours wait for its minute to end.
                self._put_back(key, told.refused)
                return self._postpone(key, moment + EVERY)
            except EvidenceError:
                self._put_back(key, told.refused)
                raise
        except (NotFoundError, RefusedError) as error:  # a chain that is not there
            with self._lock:
                self._waiting.pop(key, None)
            _log.info("a refusal on %s is not sealed: %s", chain_id, error)
        except EvidenceError as error:
            _log.error("a refusal on %s cannot be sealed now: %s", chain_id, error)
            self._postpone(key, self._clock() + EVERY)
        return None

    def _state(self, chain_id: str, refused: Refused, last: int) -> bool:
        """Seal one statement; False where another has stated the same one meanwhile."""
        # The id follows from the statement before, so that of several processes one is first.
        told: list[strictjson.Json] = [chain_id, refused.identity, last]
        deposit = f"refused-{sha256_hex(strictjson.dumps(told))[:32]}"
        draft = Draft(Type.CUSTODY, refused.to_json(), deposit)
        try:
            return not self._incidents.deposit(chain_id, [draft], None)[0].repeated
        except DepositConflictError:
            return False

    def _put_back(self, key: _Key, refused: Refused) -> None:
        with self._lock:
            known = self._waiting.get(key)
            count = refused.count + (known.refused.count if known else 0)
            self._waiting[key] = _Waiting(replace(refused, count=count))

    def _postpone(self, key: _Key, due: datetime) -> None:
        with self._lock:
            known = self._waiting.get(key)
            if known is not None:
                self._waiting[key] = replace(known, due=due)
        self._wait()

    def _wait(self) -> None:
        """Come back when the next of them is due."""
        with self._lock:
            dues = [each.due for each in self._waiting.values() if each.due is not None]
            if not dues or self._timer is not None or self._closed:
                return
            seconds = max((min(dues) - self._clock()).total_seconds(), 0.05)
            self._timer = threading.Timer(seconds, self.seal_due)
            self._timer.daemon = True
            self._timer.start()


def _newest(chain: Chain, identity: str) -> tuple[int, datetime | None]:
    """The newest statement of refusals of an identity: its sequence, -1 for none, and its time."""
    for manifest in reversed(chain.manifests):
        statement = manifest.statement
        if statement.type == Type.CUSTODY and statement.body.get("event") == "refused":
            fields = Fields(statement.body, manifest.name)
            fields.text("event")
            if parse_refused(fields).identity == identity:
                return statement.link.sequence, statement.recorded_at
    return -1, None
