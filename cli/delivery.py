"""The vault of this process as the destination of a spool: `ingest.delivery.Destination`."""

from __future__ import annotations

import io
import secrets
from collections.abc import Callable
from functools import partial

from cli.compose import Vault, parsers
from cli.intake import check_open
from cli.session import uninterrupted
from ingest.entry import Entry
from ingest.parsers import HEAD_SIZE, read_facts
from vault.capture import OpenCapture
from vault.deposit import Receipt
from vault.errors import ConflictError, RefusedError
from vault.incidents import Chain
from verify.audit import check_delivery
from verify.collection import Collection, open_collection, signer_of
from verify.description import Description
from verify.errors import ChainError
from verify.incident import Delivery
from verify.statement import Delivered, Kind
from verify.strictjson import Object

LABEL = "collection"


class VaultDestination:
    """Seals what a spool delivers, as a capture whose first exhibit is the signed envelope."""

    def __init__(self, vault: Vault, *, progress: Callable[[int], None] = lambda _: None) -> None:
        self._vault = vault
        self._progress = progress
        self.receipts: dict[int, list[Receipt]] = {}
        """By the number of the entry."""

    def deliver(self, entry: Entry) -> tuple[Object, ...]:
        """Seal an entry. Raises `RefusedError`, `SpoolDamagedError`, and as `Door.deposit`."""
        check_collector(self._vault, signer_of(entry.data, where=f"entry {entry.number}"))
        # Not the spool's word for its key, but the vault's.
        collection = open_collection(
            entry.data, self._vault.collectors.keys(), where=f"entry {entry.number}"
        ).collection
        chain = self._vault.incidents.to_add_to(collection.destination)
        before = self._delivered(chain, entry)
        receipts = self._again(chain, before, entry) if before else self._seal(chain, entry)
        self.receipts[entry.number] = receipts
        return tuple(receipt.to_json() for receipt in receipts)

    def _delivered(self, chain: Chain, entry: Entry) -> Delivery | None:
        """This entry as it stands on the chain. Raises `RefusedError` if it cannot follow."""
        collection = entry.collection
        for delivery in reversed(chain.state.deliveries):
            told = delivery.delivered
            if told.spool != collection.spool or told.number > collection.number:
                continue
            known = chain.state.exhibits[told.exhibit].item.sha256
            if told.number == collection.number and known == entry.sha256:
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
            if each.delivered.spool == collection.spool
            and each.delivered.number > collection.number
        ]
        if later:
            raise ConflictError(
                f"{chain.state.id} has entry {later[0]} of spool {collection.spool} already; "
                f"entry {collection.number} cannot come behind it"
            )
        return None

    def _again(self, chain: Chain, delivery: Delivery, entry: Entry) -> list[Receipt]:
        """The first receipts: whoever delivered it before did not learn that it was kept."""
        try:
            check_delivery(entry.collection, delivery, chain=chain.state.id)
        except ChainError as error:
            raise RefusedError(
                f"entry {entry.number} was delivered before, and not whole: {error}. See "
                f"{delivery.delivered.exhibit} of {chain.state.id}"
            ) from error
        links = [delivery.sequence + part for part in range(len(delivery.captures))]
        return self._vault.door.receipts(chain.state.id, links)

    def _seal(self, chain: Chain, entry: Entry) -> list[Receipt]:
        vault, collection, name = self._vault, entry.collection, chain.state.id
        check_open(vault, name, None)
        policy = vault.retention.policy()
        capture = OpenCapture(
            store=vault.store,
            index=vault.index,
            door=vault.door,
            clock=vault.clock,
            chain=name,
            deposit=collection.deposit,
            system=collection.system,
            source=collection.source,
            method=collection.method,
            collector=collection.collector,
            guard=partial(vault.retention.guard, name),
            delivered=partial(_place, collection),
        )
        try:
            envelope = capture.keep([entry.data], size=len(entry.data))
            capture.claim(envelope, kinds=[Kind.OTHER], description=_described(entry))
            for number, (item, description) in enumerate(entry.items()):
                kept = capture.keep(entry.content(number), size=item.size)
                entry.check_content(number, kept.sha256)
                capture.claim(kept, kinds=item.kinds, description=description)
                self._progress(item.size)
            for missed in entry.missed():
                capture.missing(missed.name, missed.reason, missed.detail)
            with uninterrupted():
                receipts = capture.commit()
        except BaseException:
            capture.abort()
            raise
        if vault.retention.policy() != policy:
            vault.retention.apply(name)  # another policy came into force meanwhile
        return receipts


def check_collector(vault: Vault, key_id: str) -> None:
    """Raise `RefusedError` unless the vault takes collections under a key."""
    for collector in vault.collectors.all():
        if collector.key.key_id == key_id:
            if collector.removed is None:
                return
            raise RefusedError(
                f"this vault takes nothing more from the collector {collector.name}: "
                f"{collector.removed}"
            )
    raise RefusedError(
        f"this vault does not know the collector's key {key_id}; copy collector.pub of the spool "
        "to the vault, and run there: evault collector add NAME --key collector.pub"
    )


def _place(collection: Collection, exhibit: str) -> Delivered:
    return Delivered(exhibit, collection.spool, collection.number, collection.previous)


def _described(entry: Entry) -> Description:
    """The envelope as an exhibit: what it is, and when its collector signed it."""
    collection = entry.collection
    name = f"{LABEL}-{collection.spool}-{collection.number}.json"
    stream = io.BytesIO(entry.data)
    reading = read_facts(stream, head=entry.data[:HEAD_SIZE], name=name, parsers=parsers())
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
        facts=reading.facts,
    )
