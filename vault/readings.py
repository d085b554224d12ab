"""Content that reaches somebody: sealed before its first byte, once for each read session.

A session is one identity reading the same exhibits for the same purpose, for a quarter of an hour.
Whether one is under way is told by the chain alone, so that all processes and hosts agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from vault.deposit import Door, Draft, Receipt
from vault.errors import DepositConflictError, StaleHeadError
from vault.incidents import Chain, Incidents, subjects_of
from vault.ports import Clock, Index
from verify import strictjson
from verify.custody import MAX_ADDRESS, Viewed, ViewFailed, parse_viewed
from verify.digest import sha256_hex
from verify.incident import Exhibit
from verify.statement import Type
from verify.strictjson import Fields

SESSION = timedelta(minutes=15)
_ATTEMPTS = 5
_ID = 32


@dataclass(frozen=True, slots=True)
class Reading:
    """A read session that is kept: what it reads may go out."""

    chain: str
    sequence: int
    """Of the statement that it rides on."""
    session: str
    exhibits: tuple[Exhibit, ...]


@dataclass(frozen=True, slots=True)
class _Known:
    """The newest statement of one identity about the same exhibits and purpose."""

    sequence: int
    leaf: str
    recorded_at: datetime
    session: str


class Readings:
    """What one actor reads in one vault."""

    def __init__(self, *, incidents: Incidents, index: Index, door: Door, clock: Clock) -> None:
        self._incidents = incidents
        self._index = index
        self._door = door
        self._clock = clock

    def begin(
        self, chain_id: str, names: Sequence[str], purpose: str, *, address: str | None
    ) -> Reading:
        """Have it kept that these exhibits are read, unless the session under way says so already.

        Raises `NotFoundError` for an exhibit that is not there, and as `Door.deposit`.
        """
        for _ in range(_ATTEMPTS):
            chain = self._incidents.read(chain_id)
            exhibits = tuple(self._incidents.exhibits_named(chain, names))
            known = self._newest(chain, tuple(names), purpose)
            if known is not None and abs(self._clock() - known.recorded_at) < SESSION:
                if not self._index.is_covered([bytes.fromhex(known.leaf)]):
                    # Whoever sealed it may have died before it was kept.
                    self._door.receipts(chain_id, [known.sequence])
                return Reading(chain_id, known.sequence, known.session, exhibits)
            # The id follows from what came before, so that of several who begin at once one does.
            session = self._id(chain_id, names, purpose, known)
            seen_at = address[:MAX_ADDRESS] if address else None
            viewed = Viewed(tuple(names), purpose, session, seen_at)
            with suppress(DepositConflictError):  # begun by another process, from elsewhere
                sequence = self._seal(chain_id, viewed, exhibits).sequence
                return Reading(chain_id, sequence, session, exhibits)
        raise StaleHeadError(f"others keep reading {', '.join(names)}; ask again")

    def failed(self, reading: Reading, reason: str) -> None:
        """Have it said that the content was not given, or not whole. Raises as `Door.deposit`."""
        body = ViewFailed(reading.sequence, reason[:500]).to_json()
        deposit = f"view-failed-{sha256_hex(strictjson.dumps([reading.session, reason]))[:_ID]}"
        draft = Draft(Type.CUSTODY, body, deposit)
        self._door.deposit(reading.chain, [deposit], lambda _: [draft])

    def _newest(self, chain: Chain, names: tuple[str, ...], purpose: str) -> _Known | None:
        for manifest in reversed(chain.manifests):
            statement = manifest.statement
            body = statement.body
            if statement.type != Type.CUSTODY or body.get("event") != "viewed":
                continue
            if (statement.actor.id, statement.actor.kind) != (
                self._door.actor.id,
                self._door.actor.kind,
            ):
                continue
            fields = Fields(body, manifest.name)
            fields.text("event")
            viewed = parse_viewed(fields)
            if (viewed.exhibits, viewed.purpose) == (names, purpose) and viewed.session:
                where = statement.link.sequence
                return _Known(where, manifest.leaf, statement.recorded_at, viewed.session)
        return None

    def _id(self, chain_id: str, names: Sequence[str], purpose: str, known: _Known | None) -> str:
        actor = self._door.actor
        before = -1 if known is None else known.sequence
        told: list[strictjson.Json] = [chain_id, actor.id, actor.kind, list(names), purpose, before]
        return sha256_hex(strictjson.dumps(told))[:_ID]

    def _seal(self, chain_id: str, viewed: Viewed, exhibits: Sequence[Exhibit]) -> Receipt:
        deposit = f"viewed-{viewed.session}"
        draft = Draft(Type.CUSTODY, viewed.to_json(), deposit, subjects_of(exhibits))
        return self._door.deposit(chain_id, [deposit], lambda _: [draft])[0]
