"""Incidents and streams: reading them as folds over their chains, and what people state of them."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from threading import Lock
from typing import Any

from vault.deposit import Door, Draft, Receipt
from vault.errors import NotFoundError, RefusedError, StaleHeadError, UnavailableError
from vault.evidence import MAX_SIDE_DOCUMENT, content, descriptions, side_document
from vault.log import open_row
from vault.ports import ChainHead, Clock, Index, ObjectStore, Row
from vault.ulid import new_ulid
from verify.approval import same_person
from verify.chain import Manifest
from verify.declaration import INCIDENT_FIELDS, SCOPE_FIELDS, Change, check_value, declared_body
from verify.description import Description, parse_description
from verify.envelope import ManifestKey
from verify.errors import EvidenceError
from verify.incident import ChainState, Exhibit, Incident, Stream, fold, state_of
from verify.instant import format_instant
from verify.response import Role, current, offer, parse_role, parse_update
from verify.statement import (
    STREAM,
    VAULT_CHAIN,
    Actor,
    Capture,
    Kind,
    Subject,
    Type,
    check_chain_id,
    is_stream,
    parse_assessment,
    parse_capture,
)
from verify.strictjson import Fields, Object

_ATTEMPTS = 5
_CHAINS_KNOWN = 4
_BYTES_KNOWN = 16 << 20


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain as read at one moment: its manifests, each verified, and the state they tell."""

    manifests: tuple[Manifest, ...]
    indices: tuple[int | None, ...]
    """Of each link in the log; the last ones may not be there yet."""
    state: ChainState

    @property
    def logged(self) -> int:
        """How many of its links are in the log: the first so many."""
        return len(self.indices) - self.indices.count(None)

    @property
    def is_logged(self) -> bool:
        """Whether all of its links are in the log."""
        return not self.indices or self.indices[-1] is not None

    @property
    def incident(self) -> Incident:
        """The incident that it tells. Raises `RefusedError` for a stream, which is none."""
        if not isinstance(self.state, Incident):
            raise RefusedError(f"{self.state.id} is no incident; name one like INC-2026-0001")
        return self.state

    @property
    def stream(self) -> Stream:
        """The stream that it tells. Raises `RefusedError` for an incident, which is none."""
        if not isinstance(self.state, Stream):
            raise RefusedError(f"{self.state.id} is no stream; name one like stream:NAME")
        return self.state

    @property
    def subject(self) -> Subject:
        """The chain's last manifest, as the subject of a statement about the whole prefix."""
        return Subject(f"{self.state.id}/{self.state.sequence}", self.state.leaf)


def nothing_of(chain_id: str) -> Chain:
    """A chain as it is before its first link."""
    return Chain((), (), state_of(chain_id))


class KnownChains:
    """The chains that were read last, for all who read: a command asks for one several times.

    What is known of a chain is used only while the index names the same last link.
    """

    def __init__(self, limit: int = _CHAINS_KNOWN, size: int = _BYTES_KNOWN) -> None:
        """Remember `limit` chains, and more while their statements have `size` bytes in all."""
        self._limit = limit
        self._most = size
        self._lock = Lock()
        self._chains: dict[str, tuple[Chain, int]] = {}
        self._size = 0

    def get(self, chain_id: str) -> Chain | None:
        """A chain as it was read last."""
        with self._lock:
            found = self._chains.get(chain_id)
            return found[0] if found else None

    def add(self, chain: Chain) -> None:
        """Remember a chain, and forget those that were read first where there is no room."""
        with self._lock:
            before, size = self._chains.get(chain.state.id, (None, 0))
            if before is None or chain.manifests[: len(before.manifests)] != before.manifests:
                before, size = None, 0
            new = chain.manifests[len(before.manifests) if before else 0 :]
            size += sum(len(each.envelope.payload) for each in new)
            self._forget(chain.state.id)
            self._chains[chain.state.id] = chain, size
            self._size += size
            while len(self._chains) > self._limit and self._size > self._most:
                self._forget(next(iter(self._chains)))

    def _forget(self, chain_id: str) -> None:
        _, size = self._chains.pop(chain_id, (None, 0))
        self._size -= size


class Incidents:
    """The incidents of one vault."""

    def __init__(
        self,
        *,
        store: ObjectStore,
        index: Index,
        door: Door,
        clock: Clock,
        key: ManifestKey,
        known: KnownChains | None = None,
    ) -> None:
        self._store = store
        self._index = index
        self._door = door
        self._clock = clock
        self._keys: tuple[ManifestKey, ...] = (key,)
        self._known = KnownChains() if known is None else known

    @property
    def actor(self) -> Actor:
        """In whose name it is stated."""
        return self._door.actor

    def all(self) -> Sequence[Incident]:
        """All incidents, oldest number first."""
        return [self.read(chain).incident for chain in self._index.chains("INC-")]

    def streams(self) -> Sequence[Chain]:
        """All streams, by name."""
        return [self.read(chain) for chain in self._index.chains(STREAM)]

    def evidence_chains(self) -> list[str]:
        """The ids of all chains that claim evidence: incidents and streams."""
        return [*self._index.chains("INC-"), *self._index.chains(STREAM)]

    def open(self) -> list[str]:
        """The ids of all open incidents, oldest number first."""
        return [
            chain
            for chain in self._index.chains("INC-")
            if (head := self._index.head(chain)) and not head.sealed
        ]

    def the_only_open(self) -> str:
        """The id of the one open incident. Raises `NotFoundError` if there is none, or several."""
        opened = self.open()
        if len(opened) == 1:
            return opened[0]
        if not opened:
            raise NotFoundError(self._none_open())
        raise NotFoundError(f"several incidents are open ({', '.join(opened)}); name one")

    def _none_open(self) -> str:
        """That no incident is open, and what whoever asks can do about it."""
        return "there is no open incident; declare one with: evault incident declare --help"

    def read(self, incident_id: str, *, up_to: int | None = None) -> Chain:
        """Read and verify an incident's or a stream's chain, or its prefix up to a sequence.

        Raises `NotFoundError`.
        """
        if check_chain_id(incident_id) == VAULT_CHAIN:
            raise NotFoundError("the vault's own chain is no incident and no stream")
        head = self._index.head(incident_id)
        known = self._known.get(incident_id)
        if up_to is None and known and head and head.leaf == known.state.leaf and known.is_logged:
            return known
        begun, links = self._going_on(incident_id)
        if up_to is not None and up_to < begun.state.sequence:
            kept = begun.manifests[: up_to + 1]
            return Chain(kept, begun.indices[: up_to + 1], fold(kept, chain=incident_id))
        state = begun.state.continued()
        manifests: list[Manifest] = []
        indices: list[int | None] = []
        for manifest, index in links:
            if up_to is not None and manifest.statement.link.sequence > up_to:
                break
            state.apply(manifest)
            manifests.append(manifest)
            indices.append(index)
        chain = Chain((*begun.manifests, *manifests), (*begun.indices, *indices), state)
        if not chain.manifests:
            raise self.absent(incident_id)
        if up_to is not None and state.sequence != up_to:
            raise NotFoundError(f"{incident_id} has no link {up_to}; its last is {state.sequence}")
        if up_to is None:
            self._known.add(chain)
        return chain

    def _going_on(self, chain_id: str) -> tuple[Chain, Iterator[tuple[Manifest, int | None]]]:
        """What is known of a chain and still stands, and the links that follow it, in order.

        Each comes with its index in the log; their signatures are checked.
        """
        known = self._known.get(chain_id)
        if known:
            # Each link names the one before by its leaf hash: an index that still has the last one
            # that was read has all before it, and they need not be verified again. Those that had
            # no place in the log yet are looked at for that.
            start = min(known.logged, known.state.sequence)
            rows = self._index.rows(chain_id, start=start)
            indices = list(known.indices[:start])
            for manifest, row in zip(known.manifests[start:], rows, strict=False):
                if row.leaf_hash.hex() != manifest.leaf:
                    break
                indices.append(row.index)
            if len(indices) == len(known.indices):
                return Chain(known.manifests, tuple(indices), known.state), self._opened(rows)
        return nothing_of(chain_id), self._opened(self._index.rows(chain_id))

    def _opened(self, rows: Iterator[Row]) -> Iterator[tuple[Manifest, int | None]]:
        for row in rows:
            yield open_row(row, self._keys), row.index

    def to_add_to(self, chain_id: str) -> Chain:
        """A chain that evidence is added to: a stream that is not there yet is an empty one."""
        if is_stream(chain_id) and self._index.head(chain_id) is None:
            return nothing_of(check_chain_id(chain_id))
        return self.read(chain_id)

    def before(self, chain: Chain, sequence: int) -> Chain:
        """A chain as it was before one of its links; a stream may have been empty."""
        if sequence == 0:
            return nothing_of(chain.state.id)
        return self.read(chain.state.id, up_to=sequence - 1)

    def descriptions(self, chain: Chain) -> dict[str, Description]:
        """The descriptions of all exhibits, each checked against its manifest."""
        return {
            name: parse_description(data, where=f"description of {name}")
            for name, data in self.description_bytes(chain)
        }

    def description_bytes(self, chain: Chain) -> Iterator[tuple[str, bytes]]:
        """Exhibit and description bytes of all exhibits, in order."""
        for manifest in chain.manifests:
            if manifest.statement.type == Type.CAPTURE:
                yield from self.described_by(chain, manifest.statement.link.sequence)

    def described_by(self, chain: Chain, sequence: int) -> Iterator[tuple[str, bytes]]:
        """Exhibit and description bytes of the items of one capture, in order."""
        manifest = chain.manifests[sequence]
        capture = parse_capture(manifest.statement.body, where=manifest.name)
        for item, data in descriptions(self._store, capture.items, capture.packs):
            yield item.exhibit, data

    def described(self, exhibits: Sequence[Exhibit]) -> Iterator[tuple[Exhibit, Description]]:
        """Some exhibits of one chain, in order, each with its description, checked."""
        for _, group in groupby(exhibits, key=lambda each: each.sequence):
            some = list(group)
            items = [each.item for each in some]
            found = descriptions(self._store, items, some[0].packs)
            for each, (_, data) in zip(some, found, strict=True):
                where = f"description of {each.item.exhibit}"
                yield each, parse_description(data, where=where)

    def description_attempts(self, chain: Chain) -> Iterator[tuple[str, bytes | EvidenceError]]:
        """The same, or why one cannot be read: what is destroyed must not hide the rest.

        Raises `UnavailableError` where the store cannot be used at all.
        """
        for manifest in chain.manifests:
            if manifest.statement.type != Type.CAPTURE:
                continue
            capture = parse_capture(manifest.statement.body, where=manifest.name)
            try:
                found = list(descriptions(self._store, capture.items, capture.packs))
            except UnavailableError:
                raise
            except EvidenceError:
                yield from self._one_by_one(capture)
            else:
                yield from ((item.exhibit, data) for item, data in found)

    def _one_by_one(self, capture: Capture) -> Iterator[tuple[str, bytes | EvidenceError]]:
        for item in capture.items:
            what = f"description of {item.exhibit}"
            try:
                data = side_document(self._store, item.description, capture.packs, what=what)
            except UnavailableError:
                raise
            except EvidenceError as error:
                yield item.exhibit, error
            else:
                yield item.exhibit, data

    def bound_document(self, chain: Chain, sequence: int) -> bytes:
        """What a link binds beside itself, checked: a report, or a collection's envelope.

        Of an assessment its report, of a capture the collection that it took in. Raises
        `NotFoundError` where it binds neither.
        """
        manifest = chain.manifests[sequence]
        if manifest.statement.type == Type.ASSESSMENT:
            return self.sealed_report(manifest)
        exhibit = self._collection_of(chain, sequence)
        if exhibit is None or exhibit.item.size > MAX_SIDE_DOCUMENT:
            raise NotFoundError(f"{manifest.name} binds no document")
        return b"".join(content(self._store, exhibit.item, exhibit.packs))

    def sealed_report(self, manifest: Manifest) -> bytes:
        """The report that an assessment sealed, checked."""
        report = parse_assessment(manifest.statement.body, where=manifest.name).report
        return side_document(self._store, report, (), what="completeness report")

    def _collection_of(self, chain: Chain, sequence: int) -> Exhibit | None:
        """The exhibit that is the collection's envelope, where a link begins to take one in."""
        for delivery in chain.state.deliveries:
            if delivery.sequence == sequence:
                return chain.state.exhibits[delivery.delivered.exhibit]
        return None

    def declare(self, values: Mapping[str, Any]) -> tuple[str, Receipt]:
        """Declare an incident under the next free number of the year (UTC)."""
        body = declared_body(dict(values))
        deposit = f"declare-{new_ulid(self._clock())}"
        year = self._clock().year
        taken = [int(chain.rsplit("-", 1)[1]) for chain in self._index.chains(f"INC-{year:04d}-")]
        number = max(taken, default=0) + 1
        while True:
            incident_id = f"INC-{year:04d}-{number:04d}"
            try:
                receipts = self._door.deposit(
                    incident_id, [deposit], lambda _: [Draft(Type.INCIDENT, body, deposit)]
                )
            except RefusedError:
                number += 1  # declared by another process in between
                continue
            return incident_id, receipts[0]

    def change(
        self,
        incident_id: str,
        event: str,
        new: Callable[[Incident], Mapping[str, Any]],
        *,
        reason: str | None,
    ) -> tuple[list[Change], Receipt | None]:
        """Amend an incident (`amended`) or its scope (`scoped`); old and new are both sealed.

        `new` gives the wanted values for a state. Nothing is sealed if nothing would change.
        """
        known = INCIDENT_FIELDS if event == "amended" else SCOPE_FIELDS
        for _ in range(_ATTEMPTS):
            incident = self.read(incident_id).incident
            current = incident.fields if event == "amended" else incident.scope
            changes = [
                Change(name, current.get(name), value)
                for name, value in new(incident).items()
                if current.get(name) != value
            ]
            for change in changes:
                if change.name not in known:
                    raise RefusedError(f"{event} has no field {change.name!r}")
                check_value(change.name, change.new, where=incident_id)
            if not changes:
                return [], None
            body: Object = {
                "changes": [change.to_json() for change in changes],
                "event": event,
                "reason": reason,
            }
            try:
                return changes, self.state(
                    incident_id, Type.INCIDENT, body, expect=incident.sequence
                )
            except StaleHeadError:
                continue
        raise StaleHeadError(f"others keep changing {incident_id}; run the command again")

    def state(
        self,
        incident_id: str,
        kind: Type,
        body: Object,
        *,
        subject: Sequence[Subject] = (),
        expect: int | None = None,
        deposit: str | None = None,
    ) -> Receipt:
        """Seal one statement onto an incident's chain, under a new deposit id unless one is given.

        `expect` is the sequence that the head must have, else `StaleHeadError`.
        """
        deposit = deposit or f"{kind.value}-{new_ulid(self._clock())}"
        return self.deposit(incident_id, [Draft(kind, body, deposit, tuple(subject))], expect)[0]

    def deposit(
        self, incident_id: str, drafts: Sequence[Draft], expect: int | None
    ) -> Sequence[Receipt]:
        """Seal ready drafts onto an incident's chain, if its head is as expected."""

        def build(head: ChainHead) -> Sequence[Draft]:
            if expect is not None and head.sequence != expect:
                raise StaleHeadError(f"{incident_id} has grown to link {head.sequence}")
            return drafts

        return self._door.deposit(incident_id, [draft.deposit for draft in drafts], build)

    def receipt_of(self, chain: str, deposit: str | None) -> Receipt | None:
        """The receipt of a deposit that was made before; None if it was not, or none is named."""
        return self._door.receipt_of(chain, deposit) if deposit else None

    def exhibits_named(self, chain: Chain, names: Sequence[str]) -> list[Exhibit]:
        """The exhibits with these names. Raises `NotFoundError`."""
        found = []
        for name in names:
            exhibit = chain.state.exhibits.get(name)
            if exhibit is None:
                raise NotFoundError(
                    f"{chain.state.id} has no exhibit {name}; "
                    f"list them with: evault evidence list {chain.state.id}"
                )
            found.append(exhibit)
        return found

    def assign(self, incident_id: str, role: str, person: str, at: datetime) -> Receipt:
        """Give a free role to a person, or offer them one that another holds.

        Raises `RefusedError` if the commander were the steward, or the steward the commander.
        """
        return self._role(incident_id, "assigned", role, person, at)

    def accept(self, incident_id: str, role: str, person: str, at: datetime) -> Receipt:
        """Record that a person accepts a role; one that was offered changes hands.

        Raises `RefusedError` if it was not given to them, or they have accepted it already.
        """
        return self._role(incident_id, "accepted", role, person, at)

    def accept_own(self, incident_id: str, role: str, person: str, at: datetime) -> Receipt:
        """Record that who signed in as `person` accepts a role. Raises as `accept`.

        A name that was given with another host is another person's: here it is not the word of
        somebody who may assign roles that tells whom it means.
        """
        return self._role(incident_id, "accepted", role, person, at, own=True)

    def _role(
        self,
        incident_id: str,
        event: str,
        role: str,
        person: str,
        at: datetime,
        *,
        own: bool = False,
    ) -> Receipt:
        body: Object = {
            "at": format_instant(at),
            "event": event,
            "person": person,
            "role": role,
        }
        parse_role(Fields(body, incident_id))  # what could not be read is never sealed
        for _ in range(_ATTEMPTS):
            incident = self.read(incident_id).incident
            held = current(incident.assignments, role)
            if event != "accepted":
                free = held is None or same_person(held.person, person)
                body["event"] = "assigned" if free else "offered"
            _check_apart(incident, role, person)
            if event == "accepted":
                _check_given(incident, role, person, at, own=own)
            try:
                return self.state(incident_id, Type.INCIDENT, body, expect=incident.sequence)
            except StaleHeadError:
                continue
        raise StaleHeadError(f"others keep adding to {incident_id}; run the command again")

    def update(
        self,
        incident_id: str,
        *,
        at: datetime,
        containment: str,
        next_steps: str,
        note: str | None = None,
        channel: str | None = None,
        names: Sequence[str] = (),
    ) -> Receipt:
        """Record what everyone was told: how far it is contained, and what comes next."""
        body: Object = {
            "at": format_instant(at),
            "channel": channel,
            "containment": containment,
            "event": "updated",
            "exhibits": list(names),
            "next_steps": next_steps,
            "note": note,
        }
        parse_update(Fields(body, incident_id), recorded_at=at, sequence=0)
        exhibits = self.exhibits_named(self.read(incident_id), names)
        return self.state(incident_id, Type.INCIDENT, body, subject=subjects_of(exhibits))

    def enter_phase(
        self, incident_id: str, phase: str, at: datetime, names: Sequence[str]
    ) -> Receipt:
        """Record that a phase was entered, and the exhibits that show it."""
        exhibits = self.exhibits_named(self.read(incident_id), names)
        return self.state(
            incident_id,
            Type.INCIDENT,
            {
                "at": format_instant(at),
                "event": "phase",
                "exhibits": list(names),
                "phase": phase,
            },
            subject=subjects_of(exhibits),
        )

    def close(self, incident_id: str, reason: str | None, *, compliance: bool = False) -> Receipt:
        """Seal the incident: only custody, holds, assessments, exports may follow.

        With `compliance`, its evidence is to be locked so that nobody can lift it.
        """
        for _ in range(_ATTEMPTS):
            incident = self.read(incident_id).incident
            body: Object = {"exhibits": len(incident.exhibits), "reason": reason}
            if compliance:
                body["lock"] = "compliance"
            try:
                return self.state(incident_id, Type.SEAL, body, expect=incident.sequence)
            except StaleHeadError:
                continue
        raise StaleHeadError(f"others keep adding to {incident_id}; run the command again")

    def reopen(self, incident_id: str, reason: str) -> Receipt:
        """Reopen a sealed incident."""
        return self.state(incident_id, Type.INCIDENT, {"event": "reopened", "reason": reason})

    def may_close(self, incident_id: str) -> bool:
        """Whether who acts may close an incident; whoever has the vault's files may."""
        del incident_id
        return True

    def absent(self, chain_id: str) -> NotFoundError:
        """What is told of a chain that is not there, as far as who acts may know."""
        return absent(chain_id)

    def custody(
        self, incident_id: str, event: str, names: Sequence[str], details: Mapping[str, Any]
    ) -> Receipt:
        """Seal a custody statement about exhibits: viewed, withdrawn, classified."""
        exhibits = self.exhibits_named(self.read(incident_id), names)
        return self.state(
            incident_id,
            Type.CUSTODY,
            {"event": event, "exhibits": list(names), **details},
            subject=subjects_of(exhibits),
        )


def absent(chain_id: str) -> NotFoundError:
    """There is no such incident, or stream, and where to look."""
    if is_stream(chain_id):
        return NotFoundError(f"there is no {chain_id}; list them with: evault stream list")
    return NotFoundError(f"there is no incident {chain_id}; list them with: evault incident list")


def _check_apart(incident: Incident, role: str, person: str) -> None:
    """The commander is not the steward: nobody confirms their own response."""
    apart = (Role.INCIDENT_COMMANDER, Role.GOVERNANCE_STEWARD)
    if role not in apart:
        return
    other = apart[1 - apart.index(Role(role))]
    for each in (current(incident.assignments, other), offer(incident.assignments, other)):
        if each and same_person(each.person, person):
            held = "holds" if each.since else "is offered"
            raise RefusedError(
                f"{person} {held} {other}, and the commander must not be the steward: nobody "
                f"confirms their own response. Give {role} to another person, or first hand over "
                f"{other}: evault incident assign {incident.id} {other} PERSON"
            )


def _check_given(
    incident: Incident, role: str, person: str, at: datetime, *, own: bool = False
) -> None:
    """A role is accepted by whom it was given to, once, and not before."""
    held, waiting = current(incident.assignments, role), offer(incident.assignments, role)
    given = [each for each in (waiting, held) if each and same_person(each.person, person)]
    if own:
        given = [
            each
            for each in given
            if "@" not in each.person or each.person.casefold() == person.casefold()
        ]
    if not given:
        raise RefusedError(
            f"{role} was not given to {person}; offer it first: "
            f"evault incident assign {incident.id} {role} {shlex.quote(person)}"
        )
    if given[0].accepted_at:
        raise RefusedError(
            f"{person} accepted {role} at {format_instant(given[0].accepted_at)} already"
        )
    if at < given[0].at:
        raise RefusedError(
            f"{person} was given {role} at {format_instant(given[0].at)}, "
            f"and cannot have accepted it at {format_instant(at)}"
        )


def last_turn(chain: Chain) -> int:
    """The last link after which the same bytes are evidence anew, -1 if there is none.

    A phase, an attestation, the capture of a rollback: to be unchanged since then is proof too.
    """
    state = chain.state
    turns = [entry.sequence for entry in state.phases] if isinstance(state, Incident) else []
    turns += [
        exhibit.sequence
        for exhibit in state.exhibits.values()
        if Kind.ROLLBACK in exhibit.kinds and exhibit.withdrawn is None
    ]
    turns += [
        manifest.statement.link.sequence
        for manifest in chain.manifests
        if manifest.statement.type == Type.ATTESTATION
    ]
    return max(turns, default=-1)


def subjects_of(exhibits: Sequence[Exhibit]) -> tuple[Subject, ...]:
    """The exhibits as subjects of a statement."""
    return tuple(Subject(exhibit.item.exhibit, exhibit.item.sha256) for exhibit in exhibits)
