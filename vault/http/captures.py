"""A capture as it comes in over the wire of `vault.http.frames`: hashed, stored, and compared.

Any difference refuses the whole, and says which content. A collection that a collector signed comes
first and binds what follows; what nobody signed is listed at the end by who sent it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from vault.capture import Capturing
from vault.delivery import Deliveries, Missed, ReadFacts
from vault.deposit import Receipt, check_chosen
from vault.errors import RefusedError
from vault.http.frames import Digested, FrameKind, FrameReader, SentList, parse_head
from vault.opened import Vault
from verify.collection import Collection
from verify.description import Description
from verify.digest import sha256_hex
from verify.errors import DigestMismatchError, MalformedError
from verify.strictjson import dumps


@dataclass(frozen=True, slots=True)
class Received:
    """What came of a capture: its receipts, none if there was nothing to claim."""

    receipts: Sequence[Receipt]
    items: int


def receive(vault: Vault, chain: str, body: Iterable[bytes], facts: ReadFacts) -> Received:
    """Take in a capture for a chain. Raises what `body` raises, and as `Door.deposit`.

    After an error nothing of it is left.
    """
    frames = FrameReader(body)
    head = parse_head(frames.take(FrameKind.HEAD))
    if frames.peek() == FrameKind.SIGNED:
        return _receive_signed(vault, chain, frames, facts)
    deposit = None if head.deposit is None else check_chosen(head.deposit)
    capture = vault.captures.open(
        chain,
        deposit=deposit,
        system=head.system,
        source=head.source,
        method=head.method,
        collector=head.collector,
        pack=head.pack,
    )
    try:
        sent = _take(capture, frames)
        if not sent.items and not sent.missed:
            capture.abort()
            return Received((), 0)
        return Received(capture.commit(), len(sent.items))
    except BaseException:
        capture.abort()
        raise


def _take(capture: Capturing, frames: FrameReader) -> SentList:
    sent = SentList()
    while frames.peek() in (FrameKind.CONTENT, FrameKind.MISSED):
        for missed in frames.missed():
            sent.missed.append(missed)
            capture.missing(missed["name"], missed["reason"], missed["detail"])
        if frames.peek() == FrameKind.CONTENT:
            _take_content(capture, frames, sent)
    if frames.take(FrameKind.LIST) != sent.encode():
        raise MalformedError(
            f"the list at the end is not of the {len(sent.items):,} items that came; "
            "nothing of it was kept"
        )
    frames.done()
    return sent


def _take_content(capture: Capturing, frames: FrameReader, sent: SentList) -> None:
    size, digest = frames.content_size(), Digested()
    kept = capture.keep(frames.pieces(digest), size=size)
    claimed = frames.end_of_content(digest)
    if claimed is None:
        capture.discard(kept)
        return
    sent.add(sha256=kept.sha256, size=kept.size, kinds=claimed.kinds, description=claimed.encoded)
    capture.claim(kept, kinds=claimed.kinds, description=claimed.description)


def _receive_signed(vault: Vault, chain: str, frames: FrameReader, facts: ReadFacts) -> Received:
    data = frames.take(FrameKind.SIGNED)
    deliveries = Deliveries(vault, facts=facts)
    collection = deliveries.open(data, where="the collection")
    if collection.destination != chain:
        raise RefusedError(
            f"the collection was signed for {collection.destination}, and sent to {chain}"
        )
    receipts = deliveries.repeated(collection, sha256_hex(data))
    if receipts is not None:
        frames.drain()
    else:
        receipts = deliveries.seal(collection, data, _SentContents(collection, frames))
    return Received(receipts, len(collection.items))


class _SentContents:
    """The contents of a signed collection as they come in; satisfies `vault.delivery.Contents`."""

    def __init__(self, collection: Collection, frames: FrameReader) -> None:
        self._collection = collection
        self._frames = frames
        self._digest = Digested()

    def pieces(self, number: int) -> Iterable[bytes]:
        """The bytes of an item, as they come; more than were signed are refused."""
        item = self._collection.items[number]
        if self._frames.content_size() != item.size:
            raise MalformedError(f"item {number + 1} is not of the size that was signed")
        self._digest = Digested()
        return self._frames.pieces(self._digest)

    def description(self, number: int, sha256: str) -> Description:
        """Its description, as the collector signed it. Raises `DigestMismatchError`."""
        item, claimed = self._collection.items[number], self._frames.end_of_content(self._digest)
        if sha256 != item.sha256:
            raise DigestMismatchError(f"item {number + 1}", sealed=item.sha256, found=sha256)
        found = None if claimed is None else sha256_hex(claimed.encoded)
        if claimed is None or found != item.description.sha256:
            raise DigestMismatchError(
                f"the description of item {number + 1}",
                sealed=item.description.sha256,
                found=found or "none",
            )
        return claimed.description

    def missed(self) -> Sequence[Missed]:
        """What was not captured, as the collector signed it. Raises `DigestMismatchError`."""
        values = list(self._frames.missed())
        listed = self._collection.not_captured_list
        data = dumps(values)
        if len(values) != self._collection.not_captured or (
            listed is not None and sha256_hex(data) != listed.sha256
        ):
            raise DigestMismatchError(
                "the list of what was not captured",
                sealed=listed.sha256 if listed else "none",
                found=sha256_hex(data),
            )
        if self._frames.take(FrameKind.LIST):
            raise MalformedError("a signed capture ends with an empty list: its list came first")
        self._frames.done()
        return [Missed(each["name"], each["reason"], each["detail"]) for each in values]
