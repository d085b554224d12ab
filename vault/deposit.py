"""The one door: every statement enters a chain through `Door.deposit`.

(1) refuse what may not follow; (2) the bytes it relies on are in the store already; (3) under the
chain's lock, build and sign against the head, and commit: this is the commit point; (4–5) settle
the log; (6) give the receipt, which means: the manifest is in the store, and its index is under a
signed checkpoint in the store.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from vault.errors import ConflictError, DepositConflictError, RefusedError, UnavailableError
from vault.log import Log, content_digest, indexed, next_head, open_row
from vault.ports import ChainHead, Clock, Index, NewManifest, Row, Sighting, Signer
from verify.chain import Manifest, open_manifest
from verify.envelope import Envelope, ManifestKey, leaf_hash_of, pae
from verify.errors import MalformedError
from verify.incident import AFTER_SEAL
from verify.statement import (
    ON_STREAM,
    Actor,
    Link,
    Seen,
    Statement,
    Subject,
    Type,
    chain_subject,
    check_chain_id,
    check_deposit,
    is_stream,
    parse_capture,
)
from verify.strictjson import Object

_ATTEMPTS = 5
_PART = re.compile(r"/[0-9]+\Z")
_FORESEEN = ("refused-", "request-", "spool-", "view-failed-", "viewed-")
"""How deposit ids begin that follow from what others can know, and so may not be chosen."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A statement before it has a place: what it says, and the deposit id chosen for it."""

    type: Type
    body: Object
    deposit: str
    subject: tuple[Subject, ...] = ()
    """Exhibits or manifests concerned; empty for the chain itself."""
    sightings: tuple[Sighting, ...] = ()


Build = Callable[[ChainHead], Sequence[Draft]]
"""Gives the drafts for a head; it runs under the chain's lock, and may run again."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """Proof of keeping: the link, its log index, and the first checkpoint that covers it."""

    chain: str
    sequence: int
    deposit: str
    leaf_hash: str
    index: int
    proof: str
    """The C2SP tlog-proof of that index; its checkpoint stands in it."""
    checkpoint_number: int
    repeated: bool
    """True if this deposit id was on the chain before: nothing was added."""

    def to_json(self) -> Object:
        """The JSON object; `verify --seen` reads it."""
        return {
            "chain": self.chain,
            "checkpoint_number": self.checkpoint_number,
            "deposit": self.deposit,
            "index": self.index,
            "leaf_hash": self.leaf_hash,
            "proof": self.proof,
            "repeated": self.repeated,
            "sequence": self.sequence,
            "state": "kept",
        }


def check_chosen(deposit: str) -> str:
    """Return a deposit id that a sender chose, if it is one; else raise `MalformedError`.

    Whoever took an id that the vault, or a spool, will come to would keep that statement out.
    """
    if check_deposit(deposit).startswith(_FORESEEN):
        raise MalformedError(
            f"{deposit[:40]!r} begins as the vault's own deposit ids do; choose another"
        )
    return deposit


class Door:
    """Admission to the chains of one vault, for one actor."""

    def __init__(
        self, *, index: Index, log: Log, signer: Signer, clock: Clock, actor: Actor
    ) -> None:
        self._index = index
        self._log = log
        self._signer = signer
        self._clock = clock
        self._key = ManifestKey(signer.public)
        self.actor = actor

    def deposit(self, chain: str, deposits: Sequence[str], build: Build) -> list[Receipt]:
        """Seal statements onto a chain, all or none; a repeated deposit gives its first receipts.

        Raises `RefusedError`, `DepositConflictError`, `ConflictError`, `RecordError`,
        `UnavailableError`. After an error nothing was acknowledged; the same deposit ids may be
        used again, and never double anything.
        """
        check_chain_id(chain)
        for each in deposits:
            check_deposit(each)
        seen = self._log.check_record()
        for _ in range(_ATTEMPTS):
            rows, new = self._index.append(
                chain, deposits, lambda head: self._seal(chain, head, seen, deposits, build)
            )
            if not new:
                self._check_repeated(chain, rows, build)
            # Who repeats a deposit met trouble: then all that is owed is seen to, not only this.
            stopped = self._log.settle(rows if new else None).get(chain)
            # Asked in any case: the process that met the conflict may have been another.
            kept = self._reread(chain, rows)
            if [row.leaf_hash for row in kept] == [row.leaf_hash for row in rows]:
                ours = [row for row in kept if row.deposit in deposits]
                return [self._receipt(row, repeated=not new) for row in ours]
            if stopped is not None and not isinstance(stopped, ConflictError):
                raise stopped
        raise ConflictError(f"other writers keep adding to {chain}; run the command again")

    def receipts(self, chain: str, sequences: Sequence[int]) -> list[Receipt]:
        """The receipts of links that are on a chain already, once they are kept.

        For a retry by another actor, after an outcome that nobody learnt. Raises as `deposit`.
        """
        self._log.check_record()
        stopped = self._log.settle().get(chain)
        if stopped is not None:
            raise stopped
        rows = [row for row in self._index.rows(chain) if row.sequence in sequences]
        if len(rows) != len(sequences):
            raise ConflictError(f"{chain} changed meanwhile; run the command again")
        return [self._receipt(row, repeated=True) for row in rows]

    def receipt_of(self, chain: str, deposit: str) -> Receipt | None:
        """The receipt of a deposit that is on a chain already, None if it is not.

        For who repeats what depends on the chain as it stood then. Raises as `deposit`.
        """
        for row in self._index.rows(chain):
            if row.deposit == deposit:
                return self.receipts(chain, [row.sequence])[0]
        return None

    def check_store(self) -> None:
        """Raise unless the store, as it is now, lets more be signed. Raises as `deposit`."""
        self._log.check_store()

    def settle(self) -> None:
        """Have everything kept that is committed, by whomever. Raises as `deposit`."""
        self._log.settle()

    def finish_captures(self) -> None:
        """Close the captures that a lost index left without their last parts. Raises as `deposit`.

        A capture in parts is one transaction in the index, but several objects in the store: who
        dies between two of them and loses the index leaves parts that nobody can read on from.
        """
        for chain in self._index.chains(""):
            lost = [each.deposit for each in self._lost_parts(chain, self._index.head(chain))]
            if lost:
                self.deposit(chain, lost, lambda _: [])

    def _lost_parts(self, chain: str, head: ChainHead | None) -> list[Draft]:
        """The parts still missing from the capture that a chain ends with, as empty captures."""
        last = next(self._index.rows(chain, start=head.sequence), None) if head else None
        if last is None or last.type != Type.CAPTURE or not _PART.search(last.deposit):
            return []
        where = f"{chain} link {last.sequence}"
        body = open_row(last, (self._key,)).statement.body
        known = parse_capture(body, where=where)
        return [
            Draft(
                Type.CAPTURE,
                replace(
                    known,
                    method="none: this part was lost before it was kept",
                    part=part,
                    items=(),
                    packs=(),
                    not_captured=1,
                    not_captured_list=None,
                ).to_json(),
                f"{known.capture_id}/{part}",
            )
            for part in range(known.part + 1, known.of + 1)
        ]

    def _seal(
        self, chain: str, head: ChainHead, seen: Seen, deposits: Sequence[str], build: Build
    ) -> list[NewManifest]:
        """Step 3, under the lock."""
        sealed: list[NewManifest] = []
        lost, drafts = self._lost_parts(chain, head), build(head)
        announced = [draft.deposit for draft in drafts] or [draft.deposit for draft in lost]
        if announced != list(deposits):
            raise DepositConflictError(f"{chain}: the drafts are not those announced")
        for draft in (*lost, *drafts):
            _check_may_follow(head, draft, chain)
            manifest = self._sign(
                Statement(
                    type=draft.type,
                    subject=draft.subject or (chain_subject(chain),),
                    log=self._log.origin,
                    link=Link(chain, head.sequence + 1, head.leaf),
                    deposit=draft.deposit,
                    actor=self.actor,
                    recorded_at=self._clock(),
                    salt=secrets.token_hex(32),
                    seen=seen if seen.size >= head.seen.size else head.seen,
                    body=draft.body,
                )
            )
            head = next_head(head, manifest)
            sealed.append(indexed(manifest, manifest.envelope.encode(), head, draft.sightings))
        return sealed

    def _sign(self, statement: Statement) -> Manifest:
        payload = statement.encode()
        envelope = Envelope(payload, self._key.key_id, self._signer.sign(pae(payload)))
        # What was signed is read back as a verifier will, so that nothing unreadable is sealed.
        leaf = leaf_hash_of(envelope, self._key.spki).hex()
        name = f"{statement.link.chain} link {statement.link.sequence}"
        parsed = open_manifest(envelope.encode(), (self._key,), where=name)
        return Manifest(envelope, parsed.statement, self._key, leaf)

    def _check_repeated(self, chain: str, rows: Sequence[Row], build: Build) -> None:
        """A repeated deposit must have the content of the first."""
        first = open_row(rows[0], (self._key,))
        link = first.statement.link
        head = ChainHead(link.sequence - 1, link.previous, 0, False, first.statement.seen)
        for row, draft in zip(rows, build(head), strict=True):
            repeated = Statement(
                type=draft.type,
                subject=first.statement.subject,
                log=first.statement.log,
                link=link,
                deposit=draft.deposit,
                actor=self.actor,
                recorded_at=first.statement.recorded_at,
                salt=first.statement.salt,
                seen=first.statement.seen,
                body=draft.body,
            )
            if content_digest(repeated) != row.content:
                raise DepositConflictError(
                    f"deposit {row.deposit} is link {row.sequence} of {chain} already, with other "
                    "content; choose another deposit id"
                )

    def _reread(self, chain: str, rows: Sequence[Row]) -> list[Row]:
        last = rows[-1].sequence
        found = []
        for row in self._index.rows(chain, start=rows[0].sequence):
            if row.sequence > last:
                break
            found.append(row)
        return found

    def _receipt(self, row: Row, *, repeated: bool) -> Receipt:
        if row.index is None:
            raise UnavailableError(
                f"link {row.sequence} of {row.chain} is committed but not in the log yet; "
                "run the command again with the same deposit id"
            )
        publication = self._log.covering(row.index)
        return Receipt(
            chain=row.chain,
            sequence=row.sequence,
            deposit=row.deposit,
            leaf_hash=row.leaf_hash.hex(),
            index=row.index,
            proof=str(self._log.inclusion(row.index, publication)),
            checkpoint_number=publication.number,
            repeated=repeated,
        )


def _check_may_follow(head: ChainHead, draft: Draft, chain: str) -> None:
    """Step 1: what the fold would refuse must not be sealed."""
    if is_stream(chain):
        if draft.type not in ON_STREAM:
            raise RefusedError(f"{chain} is a stream: a {draft.type.value} belongs to an incident")
        if head.sequence < 0 and draft.type != Type.CAPTURE:
            raise RefusedError(f"there is no {chain}; list them with: evault stream list")
    if not chain.startswith("INC-"):
        return
    event = draft.body.get("event")
    if (draft.type == Type.INCIDENT and event == "declared") != (head.sequence < 0):
        raise RefusedError(
            f"{chain} exists already"
            if event == "declared"
            else f"there is no incident {chain}; list them with: evault incident list"
        )
    if event == "reopened" and not head.sealed:
        raise RefusedError(f"{chain} is not closed")
    if head.sealed and event != "reopened" and draft.type not in AFTER_SEAL:
        raise RefusedError(
            f"{chain} is closed and sealed; to add to it, run: "
            f"evault incident reopen {chain} --reason TEXT"
        )
