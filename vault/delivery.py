"""Taking in what a collector signed elsewhere: its collection's envelope, then each item of it.

(1) the envelope must be signed by a collector whom the vault lets in, and name this chain; (2) it
follows the entries of its spool that the chain has; what was delivered before gives its first
receipts; (3) each content and description is held against the signed digests as it comes; (4) all
is claimed at once, the envelope as the capture's first exhibit. Who delivers, from this host or
over a network, brings the contents.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from vault.capture import Capturing
from vault.deposit import Receipt
from vault.errors import ConflictError, RefusedError
from vault.incidents import Chain
from vault.opened import Vault
from vault.ports import IdentityKind
from vault.tokens import COLLECTOR
from verify.audit import check_delivery
from verify.collection import Collection, open_collection, signer_of
from verify.description import Description
from verify.errors import ChainError
from verify.facts import Facts
from verify.incident import Delivery
from verify.statement import Delivered, Kind

LABEL = "collection"

ReadFacts = Callable[[bytes, str], Facts]
"""Reads the facts of a small content with a name; parsers are brought in from outside."""


@dataclass(frozen=True, slots=True)
class Missed:
    """Something that the collector met and could not take."""

    name: str
    reason: str
    detail: str


class Contents(Protocol):
    """What a collection claims, as whoever delivers it brings it: item by item, in its order."""

    def pieces(self, number: int) -> Iterable[bytes]:
        """The bytes of an item, by its place from 0."""

    def description(self, number: int, sha256: str) -> Description:
        """Its description, once its bytes came and had this digest.

        Raises `EvidenceError` where either is not what was signed.
        """

    def missed(self) -> Sequence[Missed]:
        """What was not captured, once all items came. Raises `EvidenceError` likewise."""


class Deliveries:
    """Admission of collections to the chains of one vault."""

    def __init__(
        self,
        vault: Vault,
        *,
        facts: ReadFacts,
        committing: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        """`committing` is what stands around the moment in which all is claimed."""
        self._vault = vault
        self._facts = facts
        self._committing = committing

    def open(self, data: bytes, *, where: str) -> Collection:
        """Step 1: a collection under a key that this vault takes, not under the sender's word.

        Of a collector, by its token, only its own: people may bring those of any. Raises
        `RefusedError`, `SignatureError`, `MalformedError`.
        """
        check_sender(self._vault, signer_of(data, where=where))
        keys = self._vault.collectors.keys()
        return open_collection(data, keys, where=where).collection

    def repeated(self, collection: Collection, sha256: str) -> list[Receipt] | None:
        """Step 2: the first receipts, if it was delivered before. Raises `ConflictError`.

        Whoever delivered it before did not learn that it was kept.
        """
        chain = self._vault.incidents.to_add_to(collection.destination)
        delivery = _delivered(chain, collection, sha256)
        if delivery is None:
            return None
        try:
            check_delivery(collection, delivery, chain=chain.state.id)
        except ChainError as error:
            raise RefusedError(
                f"entry {collection.number} was delivered before, and not whole: {error}. See "
                f"{delivery.delivered.exhibit} of {chain.state.id}"
            ) from error
        links = [delivery.sequence + part for part in range(len(delivery.captures))]
        return self._vault.door.receipts(chain.state.id, links)

    def seal(
        self,
        collection: Collection,
        data: bytes,
        contents: Contents,
        progress: Callable[[int], None] = lambda _: None,
    ) -> list[Receipt]:
        """Steps 3 and 4. Raises what `contents` raises, and as `Door.deposit`: nothing is left."""
        vault = self._vault
        capture = vault.captures.open(
            collection.destination,
            deposit=collection.deposit,
            system=collection.system,
            source=collection.source,
            method=collection.method,
            collector=collection.collector,
            delivered=partial(_place, collection),
        )
        try:
            self._take(capture, collection, data, contents, progress)
            with self._committing():
                return capture.commit()
        except BaseException:
            capture.abort()
            raise

    def _take(
        self,
        capture: Capturing,
        collection: Collection,
        data: bytes,
        contents: Contents,
        progress: Callable[[int], None],
    ) -> None:
        envelope = capture.keep([data], size=len(data))
        described = self._described(collection, data)
        capture.claim(envelope, kinds=[Kind.OTHER], description=described)
        for number, item in enumerate(collection.items):
            kept = capture.keep(contents.pieces(number), size=item.size)
            description = contents.description(number, kept.sha256)
            capture.claim(kept, kinds=item.kinds, description=description)
            progress(item.size)
        for missed in contents.missed():
            capture.missing(missed.name, missed.reason, missed.detail)

    def _described(self, collection: Collection, data: bytes) -> Description:
        """The envelope as an exhibit: what it is, and when its collector signed it."""
        name = f"{LABEL}-{collection.spool}-{collection.number}.json"
        count = len(collection.items)
        return Description(
            salt=secrets.token_hex(32),
            name=name,
            name_bytes=None,
            path=f"spool {collection.spool}, entry {collection.number}",
            label=LABEL,
            summary=f"{count:,} {'item' if count == 1 else 'items'} signed by {collection.actor}, "
            f"entry {collection.number} of spool {collection.spool}",
            modified_at=None,
            captured_at=collection.collected_at,
            remarks=(),
            facts=self._facts(data, name),
        )


def check_collector(vault: Vault, key_id: str) -> str:
    """The collector under whose key the vault takes collections. Raises `RefusedError`."""
    for collector in vault.collectors.all():
        if collector.key.key_id == key_id:
            if collector.removed is None:
                return collector.name
            raise RefusedError(
                f"this vault takes nothing more from the collector {collector.name}: "
                f"{collector.removed}"
            )
    raise RefusedError(
        f"this vault does not know the collector's key {key_id}; copy collector.pub of the spool "
        "to the vault, and run there: evault collector add NAME --key collector.pub"
    )


def check_sender(vault: Vault, key_id: str) -> str:
    """The collector whose key it is, if who acts may bring what it signed. Raises `RefusedError`.

    A collector brings its own alone.
    """
    name, actor = check_collector(vault, key_id), vault.door.actor
    if actor.kind == IdentityKind.COLLECTOR and actor.id.removeprefix(COLLECTOR) != name:
        raise RefusedError(
            f"the collection was signed by the collector {name}, and sent by the token of "
            f"{actor.id}; a collector delivers what it signed itself"
        )
    return name


def _delivered(chain: Chain, collection: Collection, sha256: str) -> Delivery | None:
    """This entry as it stands on the chain. Raises `ConflictError` if it cannot follow."""
    for delivery in reversed(chain.state.deliveries):
        told = delivery.delivered
        if told.spool != collection.spool or told.number > collection.number:
            continue
        known = chain.state.exhibits[told.exhibit].item.sha256
        if told.number == collection.number and known == sha256:
            return delivery
        if told.number == collection.number or (
            told.number == collection.number - 1 and known != collection.previous
        ):
            raise ConflictError(
                f"{chain.state.id} has another entry {told.number} of spool "
                f"{collection.spool} ({told.exhibit}): the spool was restored from a copy, or "
                "somebody else has its key. Nothing of it is taken"
            )
        break
    later = [
        each.delivered.number
        for each in chain.state.deliveries
        if each.delivered.spool == collection.spool and each.delivered.number > collection.number
    ]
    if later:
        raise ConflictError(
            f"{chain.state.id} has entry {later[0]} of spool {collection.spool} already; "
            f"entry {collection.number} cannot come behind it"
        )
    return None


def _place(collection: Collection, exhibit: str) -> Delivered:
    return Delivered(exhibit, collection.spool, collection.number, collection.previous)
