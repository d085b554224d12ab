"""Grants: who holds which role of this vault, and on which chains. Read from its own chain.

A grant is sealed before it counts, and counts from the next look on. What an incident names as the
system or the principal that it is about is granted nothing: no AI agent under investigation holds a
role. That a vault's owner may do everything on the machine itself is no grant, and none takes it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from threading import Lock

from vault.deposit import Door, Draft, Receipt
from vault.errors import NotFoundError, RefusedError, StaleHeadError
from vault.incidents import Incidents
from vault.log import open_row
from vault.ports import ChainHead, Clock, Index
from vault.ulid import new_ulid
from verify.approval import Approval
from verify.envelope import ManifestKey
from verify.errors import EvidenceError, UnsupportedError
from verify.grant import (
    EVERY_CHAIN,
    GRANTED,
    REVOKED,
    Grant,
    GrantedRole,
    GrantEvent,
    GrantRoll,
    check_granted_by,
    parse_grant,
)
from verify.instant import format_instant
from verify.statement import VAULT_CHAIN, Type

_ATTEMPTS = 5
_CLOCKS_APART = timedelta(minutes=5)
"""How far two clocks that mean the same moment may differ."""


@dataclass(frozen=True, slots=True)
class _Read:
    """The grants as of one link of the vault's own chain."""

    sequence: int
    leaf_hash: bytes
    roll: GrantRoll


class UnderInvestigationError(RefusedError):
    """What an incident is about holds no role."""

    def __init__(self, incident: str, message: str) -> None:
        super().__init__(message)
        self.incident = incident


class KnownGrants:
    """The grants that were read last, for all who ask: each request does.

    What is known is gone on from only while the index has the same link at that place.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._read: _Read | None = None

    def get(self) -> _Read | None:
        """What was read last."""
        with self._lock:
            return self._read

    def keep(self, read: _Read) -> None:
        """Remember this instead."""
        with self._lock:
            self._read = read


class Grants:
    """The grants of one vault, given and taken by one actor."""

    def __init__(
        self,
        *,
        index: Index,
        door: Door,
        incidents: Incidents,
        clock: Clock,
        key: ManifestKey,
        known: KnownGrants | None = None,
    ) -> None:
        self._index = index
        self._door = door
        self._incidents = incidents
        self._clock = clock
        self._keys: tuple[ManifestKey, ...] = (key,)
        self._known = KnownGrants() if known is None else known

    def all(self) -> Sequence[Grant]:
        """Every grant that was ever given, in that order, as it stands now."""
        return tuple(self._roll().grants)

    def live(self, at: datetime) -> Sequence[Grant]:
        """Those that count at a moment, by all that is sealed by now."""
        return tuple(each for each in self._roll().grants if each.live_at(at))

    def of(self, person: str, at: datetime | None = None) -> Sequence[Grant]:
        """Those of one person: every one ever given, or those that count at a moment."""
        return tuple(
            each
            for each in self._roll().grants
            if each.person == person and (at is None or each.live_at(at))
        )

    def not_understood(self) -> Sequence[int]:
        """Links of the vault's own chain whose grants a later evault made: they give nothing."""
        return tuple(self._roll().unknown)

    def grant(
        self,
        person: str,
        role: GrantedRole,
        chains: Sequence[str],
        *,
        reason: str,
        valid_from: datetime | None = None,
        valid_to: datetime | None = None,
        approval: Approval | None = None,
        deposit: str | None = None,
    ) -> tuple[Grant, Receipt | None]:
        """Give a person a role on some chains; no receipt if they hold it there so already.

        `valid_from` None is now, `valid_to` None is until it is revoked. `approval` is the second
        person's, where who acts signed in to a server; a `deposit` that was made before gives its
        grant again. Raises as `planned`.
        """
        if deposit is not None and (made := self._door.receipt_of(VAULT_CHAIN, deposit)):
            return self._at(made), made
        event = self.planned(
            person,
            role,
            chains,
            reason=reason,
            valid_from=valid_from,
            valid_to=valid_to,
            approval=approval,
        )
        if valid_from is None and (held := self.held(person, role, event.chains, valid_to)):
            return held, None
        receipt = self._seal([event], deposit=deposit)[0]
        return self._at(receipt), receipt

    def held(
        self, person: str, role: GrantedRole, chains: Sequence[str], valid_to: datetime | None
    ) -> Grant | None:
        """The grant by which a person holds a role now, on just these chains and until then."""
        ends = None if valid_to is None else _whole(valid_to)
        for each in self.of(person, self._clock()):
            if (each.role, each.valid_to, set(each.chains)) == (role, ends, set(chains)):
                return each
        return None

    def planned(
        self,
        person: str,
        role: GrantedRole,
        chains: Sequence[str],
        *,
        reason: str,
        valid_from: datetime | None = None,
        valid_to: datetime | None = None,
        approval: Approval | None = None,
    ) -> GrantEvent:
        """The statement by which `grant` would give it now; nothing is sealed.

        Raises `MalformedError`, `NotFoundError` for an incident that is not there, `RefusedError`
        for an end that is past, `UnderInvestigationError`.
        """
        now = self._clock()
        begins = _whole(valid_from or now)
        ends = None if valid_to is None else _whole(valid_to)
        if begins < now - _CLOCKS_APART:
            raise RefusedError(
                f"{format_instant(begins)} is past, and a grant permits nothing that was done "
                "before it; leave the beginning out"
            )
        if ends is not None and ends <= now:
            raise RefusedError(f"{format_instant(ends)} is past; name a moment to come")
        # Read as a verifier will, so that nothing is sealed that it refuses.
        event = parse_grant(
            GrantEvent(
                GRANTED, person, role, tuple(chains), reason, begins, ends, approval
            ).to_json(),
            where="the grant",
        )
        if approval is not None:
            check_granted_by(event, self._door.actor, where="the grant")
        self._check_chains(event.chains)
        self._check_not_investigated(person, event.chains)
        return event

    def revoke(
        self,
        person: str,
        role: GrantedRole,
        chains: Sequence[str] | None,
        *,
        reason: str,
        allowed: Callable[[Sequence[Grant], Sequence[Grant]], None] = lambda _before, _after: None,
    ) -> tuple[tuple[str, ...], Receipt]:
        """Take a role back, on some chains or, for None, on all that it was granted for.

        Gives the chains that it was taken back on. `allowed` is called with all grants as they
        stand and as they would, and raises where that may not be; nothing comes in between. Raises
        `NotFoundError` where the person does not hold it, `RefusedError` for one chain of a grant
        for all.
        """
        for _ in range(_ATTEMPTS):
            read = self._read()
            wanted = _taken(read.roll.grants, person, role, chains)
            # A statement names all chains by a star alone, or each by its id; both together hold.
            rest = tuple(each for each in wanted if each != EVERY_CHAIN)
            named = [(EVERY_CHAIN,)] * (EVERY_CHAIN in wanted) + [rest] * bool(rest)
            events = [
                parse_grant(
                    GrantEvent(REVOKED, person, role, each, reason).to_json(),
                    where="the revocation",
                )
                for each in named
            ]
            allowed(read.roll.grants, self._without(read.roll, events).grants)
            try:
                return wanted, self._seal(events, after=read.sequence)[-1]
            except StaleHeadError:
                continue
        raise StaleHeadError(f"others keep adding to {VAULT_CHAIN}; run the command again")

    def _without(self, roll: GrantRoll, events: Iterable[GrantEvent]) -> GrantRoll:
        """All grants once something was revoked."""
        left = GrantRoll(roll)
        for each in events:
            left.take(each.to_json(), recorded_at=self._clock(), sequence=0, where="the revocation")
        return left

    def _at(self, receipt: Receipt) -> Grant:
        """The grant that a link made."""
        return next(each for each in self.all() if each.sequence == receipt.sequence)

    def _check_chains(self, chains: Iterable[str]) -> None:
        """An incident that is not there is a slip of the pen; a stream may still come."""
        for chain in chains:
            if chain.startswith("INC-") and self._index.head(chain) is None:
                raise NotFoundError(
                    f"there is no incident {chain}; list them with: evault incident list"
                )

    def _check_not_investigated(self, person: str, chains: Sequence[str]) -> None:
        """No role for what an incident is about: its systems nowhere, its principals not there.

        A principal may be a person's own account, which an agent used: that bars them from that
        incident, and from none else.
        """
        name = _spelling(person)
        for incident_id in self._index.chains("INC-"):
            try:
                incident = self._incidents.read(incident_id).incident
            except EvidenceError:
                if incident_id in chains:
                    raise
                continue  # another incident's damage is told by its own audit
            if name in map(_spelling, incident.systems):
                raise UnderInvestigationError(
                    incident_id,
                    f"{person} is a system that {incident_id} is about; what is under "
                    "investigation never holds a role",
                )
            principals = incident.scope.get("principals") or ()
            if name in map(_spelling, principals) and {incident_id, EVERY_CHAIN} & set(chains):
                raise UnderInvestigationError(
                    incident_id,
                    f"{person} is a principal of {incident_id}, and holds no role on it; name the "
                    "incidents that the grant is for, without that one",
                )

    def _seal(
        self, events: Sequence[GrantEvent], *, after: int | None = None, deposit: str | None = None
    ) -> list[Receipt]:
        """Seal events, all or none; `after` is the link that must still be the last.

        `deposit` is the id of one event; their own, if it is None.
        """
        ulid = new_ulid(self._clock())
        drafts = [
            Draft(Type.GRANT, each.to_json(), deposit or f"grant-{ulid}/{number}")
            for number, each in enumerate(events, start=1)
        ]

        def build(head: ChainHead) -> Sequence[Draft]:
            if after is not None and head.sequence != after:
                raise StaleHeadError(
                    f"the chain {VAULT_CHAIN} grew meanwhile; run the command again"
                )
            return drafts

        return self._door.deposit(VAULT_CHAIN, [each.deposit for each in drafts], build)

    def _roll(self) -> GrantRoll:
        return self._read().roll

    def _read(self) -> _Read:
        """All grants, from where the last look ended if that still stands."""
        known = self._known.get()
        rows = self._index.rows(VAULT_CHAIN, start=known.sequence if known else 0)
        if known:
            first = next(rows, None)
            if first is None or first.leaf_hash != known.leaf_hash:
                known, rows = None, self._index.rows(VAULT_CHAIN)
        roll = GrantRoll(known.roll if known else None)
        read = known or _Read(-1, b"", roll)
        for row in rows:
            where = f"{row.chain} link {row.sequence}"
            if row.type == Type.GRANT:
                statement = open_row(row, self._keys).statement
                with suppress(UnsupportedError):  # the roll notes it, and what is in doubt by it
                    roll.take(
                        statement.body,
                        recorded_at=statement.recorded_at,
                        sequence=row.sequence,
                        where=where,
                        actor=statement.actor,
                    )
            read = _Read(row.sequence, row.leaf_hash, roll)
        if read is not known:
            self._known.keep(read)
        return read


def within(grant: Grant, chains: Sequence[str]) -> Grant | None:
    """What of a grant concerns some chains; None for nothing. A grant for every chain does."""
    given = tuple(each for each in grant.given if each in (EVERY_CHAIN, *chains))
    if not given:
        return None
    left = tuple(each for each in grant.chains if each in given)
    if left == given:  # what was revoked of it concerns others
        return replace(
            grant,
            chains=left,
            given=given,
            revoked_at=None,
            revoked_reason=None,
            revoked_sequence=None,
        )
    return replace(grant, chains=left, given=given)


def _taken(
    grants: Iterable[Grant], person: str, role: GrantedRole, chains: Sequence[str] | None
) -> tuple[str, ...]:
    """The chains to revoke: those named, or all; each is one that the person was granted."""
    granted = tuple(
        dict.fromkeys(
            chain
            for each in grants
            if (each.person, each.role) == (person, role)
            for chain in each.chains
        )
    )
    if not granted:
        raise NotFoundError(f"{person} does not hold the role {role.value}; see: evault grant list")
    for chain in chains or ():
        if chain not in granted and EVERY_CHAIN in granted:
            raise RefusedError(
                f"{person} holds the role {role.value} for every chain, {chain} among them; "
                "revoke that with --all, and grant the rest anew"
            )
        if chain not in granted:
            raise NotFoundError(
                f"{person} does not hold the role {role.value} for {chain}, but for "
                f"{', '.join(granted)}"
            )
    return granted if chains is None else tuple(dict.fromkeys(chains))


def _spelling(name: str) -> str:
    """A name without what does not tell names apart: case, width, white space around it."""
    return unicodedata.normalize("NFKC", name).casefold().strip()


def _whole(moment: datetime) -> datetime:
    """A moment as it is sealed: to the millisecond."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
