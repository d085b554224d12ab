"""A capture on its way in: bytes go to the store at once, claims are made only at the end.

Small contents and all descriptions of one manifest share an object, a pack; a large content has an
object of its own. Nothing is visible before `commit`, and `abort` leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Protocol

from vault import layout
from vault.deposit import Door, Draft, Receipt
from vault.errors import RefusedError, StaleHeadError
from vault.evidence import fingerprint
from vault.hashing import part_size_for
from vault.incidents import Chain, Incidents, last_turn
from vault.ports import (
    UNPROTECTED,
    ChainHead,
    Clock,
    Index,
    ObjectStore,
    Protection,
    Sighting,
    Upload,
    extended,
)
from vault.retention import Guard, Retention
from vault.ulid import new_ulid
from verify import strictjson
from verify.description import Description
from verify.digest import sha256_hex
from verify.errors import EvidenceError
from verify.statement import (
    MAX_ITEMS,
    Capture,
    Delivered,
    Described,
    Item,
    Pack,
    Place,
    Stored,
    Subject,
    Type,
    exhibit_name,
)
from verify.strictjson import Object

PACK_BELOW = 1 << 20
"""Contents smaller than this share a pack."""
PACK_SIZE = 64 << 20
"""One part: where a store takes objects in parts, a pack is put whole, under its own digest."""
PAYLOAD_BUDGET = 6 << 20
"""Items are counted at their JSON size plus their subject; the payload limit is 8 MiB."""

FEW_LOOKS = 8
"""Sightings of a chain that are looked up one by one; whoever asks for more reads all at once."""

_SUBJECT_SIZE = 130
_ATTEMPTS = 5


@dataclass(slots=True)
class Kept:
    """Bytes in the store that nobody claims yet."""

    sha256: str
    size: int
    data: bytes | None
    """The bytes themselves, while they wait for a pack."""
    upload: Upload | None = None
    stored: Stored | None = None
    key: str = ""
    protection: Protection = UNPROTECTED
    """What its object is protected by from its first moment on."""


class Capturing(Protocol):
    """Evidence being captured onto one chain; satisfies `ingest.sink.Sink`."""

    def keep(self, pieces: Iterable[bytes], *, size: int | None) -> Kept:
        """Take in a content whole; `size` is what is expected, None for unknown."""

    def discard(self, kept: Kept) -> None:
        """Let go of bytes that will not be claimed."""

    def already(self, kept: Kept, *, path: str) -> str | None:
        """The exhibit that is this same sighting: path, source and digest, and nothing since."""

    def claim(self, kept: Kept, *, kinds: Sequence[str], description: Description) -> None:
        """Make an item of kept bytes; it becomes an exhibit at `commit`."""

    def missing(self, name: str, reason: str, detail: str) -> None:
        """Note something that was met and could not be kept."""

    def commit(self) -> list[Receipt]:
        """Claim everything."""

    def abort(self) -> None:
        """Leave nothing behind."""


@dataclass(slots=True)
class _Claim:
    kept: Kept
    kinds: tuple[str, ...]
    description: bytes
    path: str
    protection: Protection
    pack: int | None = None
    offset: int = 0
    description_pack: int = 0
    description_offset: int = 0
    version_id: str | None = None


@dataclass(slots=True)
class _OpenPack:
    key: str
    upload: Upload
    protection: Protection
    size: int = 0
    stored: Stored | None = None
    version_id: str | None = None


@dataclass(slots=True)
class _Group:
    """What becomes one manifest."""

    claims: list[_Claim] = field(default_factory=list)
    packs: list[_OpenPack] = field(default_factory=list)
    payload: int = 0


class OpenCapture:
    """Evidence being captured onto one chain; satisfies `ingest.sink.Sink`."""

    def __init__(
        self,
        *,
        store: ObjectStore,
        index: Index,
        door: Door,
        clock: Clock,
        chain: str,
        deposit: str,
        system: str | None,
        source: str | None,
        method: str,
        collector: Object,
        guard: Callable[[], Guard],
        pack: bool = True,
        turned_at: Callable[[], int] = lambda: -1,
        repeats: int | None = None,
        delivered: Callable[[str], Delivered] | None = None,
        kept: Callable[[], None] = lambda: None,
    ) -> None:
        """Open a capture; only `commit` claims anything.

        `guard` reads what evidence on this chain needs now; without `pack` every content has an
        object of its own. `turned_at` gives the last link after which the same bytes are evidence
        anew; `repeats` is the first link of an earlier attempt with this deposit id, of which this
        is then a retry. `delivered` says which collection is taken in, for the first exhibit of
        the capture, which is the collection's envelope and has to be claimed first. `kept` is
        called once everything is.
        """
        self._store = store
        self._index = index
        self._door = door
        self._clock = clock
        self._chain = chain
        self._deposit = deposit
        self._system = system
        self._source = source
        self._method = method
        self._collector = collector
        self._read_guard = guard
        self._guard = guard()
        self._pack_below = PACK_BELOW if pack else 0
        self._turned_at = turned_at
        self._repeats = repeats
        self._delivered = delivered
        self._then = kept
        self._groups = [_Group()]
        self._uploads: list[Upload] = []
        self._missing: list[Object] = []
        self._looks = 0
        self._sightings: dict[str, tuple[str, int]] | None = None
        self._kept_to = -1

    def keep(self, pieces: Iterable[bytes], *, size: int | None) -> Kept:
        """Stream a content into the store, or into memory if it will share a pack."""
        if size is not None and size < self._pack_below:
            data = b"".join(pieces)
            if len(data) < self._pack_below:
                return Kept(sha256_hex(data), len(data), data)
            pieces = [data]
            size = len(data)
        key = layout.artifact(new_ulid(self._clock()))
        # What it is evidence of is not known before it is read: locked for what all need, and
        # for longer at `commit`, before it is claimed.
        protection = self._guard.needs(())
        upload = self._begin(key, size, protection)
        try:
            for piece in pieces:
                upload.write(piece)
            stored = upload.finish()
        except BaseException:
            upload.abort()
            self._uploads.remove(upload)
            raise
        return Kept(stored.sha256, stored.size, None, upload, stored, key, protection)

    def discard(self, kept: Kept) -> None:
        """Let go of bytes that will not be claimed."""
        if kept.upload:
            kept.upload.abort()
            self._uploads.remove(kept.upload)

    def already(self, kept: Kept, *, path: str) -> str | None:
        """The exhibit that is this same sighting: path, source and digest, and nothing since.

        A phase, an attestation or a rollback in between makes the same bytes evidence anew. A retry
        looks at the chain as the first attempt found it, and so comes to the same content.
        """
        found = self._sighting(kept, path)
        if found is not None and found[1] > self._kept_to:
            # To call it sealed is a promise, and whoever committed it may have died there.
            self._door.settle()
            self._kept_to = found[1]
            self._sightings = None
            found = self._sighting(kept, path)
        if found is None:
            return None
        exhibit, sequence = found
        return exhibit if sequence >= self._turned_at() else None

    def claim(self, kept: Kept, *, kinds: Sequence[str], description: Description) -> None:
        """Make an item of kept bytes; it becomes an exhibit at `commit`."""
        data = description.encode()
        needs = self._guard.needs(kinds)
        claim = _Claim(kept, tuple(kinds), data, description.path, needs)
        cost = 700 + _SUBJECT_SIZE + (70 * len(kept.stored.parts) if kept.stored else 0)
        group = self._groups[-1]
        if group.claims and (
            len(group.claims) >= MAX_ITEMS or group.payload + cost > PAYLOAD_BUDGET
        ):
            self._close(group)
            group = _Group()
            self._groups.append(group)
        if kept.data is not None:
            pack = self._pack(group, len(kept.data), needs)
            claim.pack = group.packs.index(pack)
            claim.offset = pack.size
            pack.upload.write(kept.data)
            pack.size += len(kept.data)
            kept.data = b""
        group.claims.append(claim)
        group.payload += cost

    def missing(self, name: str, reason: str, detail: str) -> None:
        """Note something that was met and could not be kept."""
        self._missing.append({"detail": detail, "name": name, "reason": reason})

    def commit(self) -> list[Receipt]:
        """Claim everything: one manifest a group, in one transaction. Raises as `Door.deposit`."""
        listed = self._close(self._groups[-1])
        # Asked before the bytes become visible: a vault that may not sign is left as it was.
        self._door.check_store()
        self._publish()
        deposits = [
            self._deposit if len(self._groups) == 1 else f"{self._deposit}/{number}"
            for number in range(1, len(self._groups) + 1)
        ]

        def build(head: ChainHead) -> list[Draft]:
            if head.guarded > self._guard.at:
                raise _GuardChangedError(f"{self._chain} came to need other protection")
            drafts: list[Draft] = []
            exhibits = head.exhibits
            first = exhibit_name(exhibits + 1, chain=self._chain)
            for number, (deposit, group) in enumerate(
                zip(deposits, self._groups, strict=True), start=1
            ):
                last = number == len(self._groups)
                drafts.append(
                    self._draft(group, number, deposit, exhibits, listed if last else None, first)
                )
                exhibits += len(group.claims)
            return drafts

        for _ in range(_ATTEMPTS):
            try:
                receipts = self._door.deposit(self._chain, deposits, build)
                self._then()
                return receipts
            except _GuardChangedError:
                # A hold was set or released, or the severity changed, while the bytes came in.
                self._guard = self._read_guard()
                self._protect_anew()
        raise StaleHeadError(f"others keep changing {self._chain}; run the command again")

    def abort(self) -> None:
        """Leave nothing behind."""
        for upload in self._uploads:
            upload.abort()
        self._uploads.clear()

    @property
    def count(self) -> int:
        """How many items were claimed."""
        return sum(len(group.claims) for group in self._groups)

    def _publish(self) -> None:
        """Make everything visible, protected for as long as its kinds need."""
        uploads: list[tuple[_Claim | _OpenPack, Upload]] = []
        for group in self._groups:
            uploads += [(pack, pack.upload) for pack in group.packs]
            uploads += [(each, each.kept.upload) for each in group.claims if each.kept.upload]

        def publish(each: tuple[_Claim | _OpenPack, Upload]) -> None:
            owner, upload = each
            owner.version_id = upload.publish()
            if isinstance(owner, _Claim) and owner.protection != owner.kept.protection:
                self._store.protect(owner.kept.key, owner.version_id, owner.protection)

        self._in_parallel([partial(publish, each) for each in uploads])
        self._uploads.clear()

    def _protect_anew(self) -> None:
        changed = []
        for group in self._groups:
            for claim in group.claims:
                claim.protection = self._guard.needs(claim.kinds)
                if claim.kept.upload:
                    where = claim.kept.key, claim.version_id
                    changed.append(partial(self._store.protect, *where, claim.protection))
            for number, pack in enumerate(group.packs):
                for each in group.claims:
                    if number in (each.pack, each.description_pack):
                        pack.protection = extended(pack.protection, each.protection)
                where = pack.key, pack.version_id
                changed.append(partial(self._store.protect, *where, pack.protection))
        self._in_parallel(changed)

    def _in_parallel(self, work: Sequence[Callable[[], None]]) -> None:
        if self._store.traits.parallel == 1 or len(work) < 2:
            for each in work:
                each()
            return
        with ThreadPoolExecutor(self._store.traits.parallel) as pool:
            for done in [pool.submit(each) for each in work]:
                done.result()

    def _sighting(self, kept: Kept, path: str) -> tuple[str, int] | None:
        wanted = self._fingerprint(path, kept.sha256)
        self._looks += 1
        if self._looks <= FEW_LOOKS:
            found = self._index.sightings(self._chain, before=self._repeats, among=[wanted])
            return found.get(wanted)
        if self._sightings is None:  # all at once: a second look at a folder asks for every file
            self._sightings = self._index.sightings(self._chain, before=self._repeats)
        return self._sightings.get(wanted)

    def _begin(self, key: str, size: int | None, protection: Protection) -> Upload:
        upload = self._store.upload(key, size=size, protection=protection)
        self._uploads.append(upload)
        return upload

    def _pack(self, group: _Group, size: int, protection: Protection) -> _OpenPack:
        """The open pack of this retention class: what is in one pack is locked and held as one."""
        # Packs are filled in memory where they are put whole: together they get no larger than one.
        opened = [pack for pack in group.packs if pack.stored is None]
        if opened and sum(pack.size for pack in opened) + size > PACK_SIZE:
            largest = max(opened, key=lambda pack: pack.size)
            largest.stored = largest.upload.finish()
        for pack in opened:
            if pack.protection == protection and pack.stored is None:
                return pack
        key = layout.artifact(new_ulid(self._clock()))
        group.packs.append(_OpenPack(key, self._begin(key, None, protection), protection))
        return group.packs[-1]

    def _close(self, group: _Group) -> Described | None:
        """Add the descriptions behind the contents, then finish the packs."""
        listing = b""
        if group is self._groups[-1] and self._missing:
            listing = strictjson.dumps(self._missing)
        by_class: dict[Protection, list[_Claim]] = {}
        for claim in group.claims:
            by_class.setdefault(claim.protection, []).append(claim)
        if listing and not by_class:
            by_class[self._guard.needs(())] = []
        described = None
        for protection, claims in by_class.items():
            total = sum(len(claim.description) for claim in claims) + len(listing)
            pack = self._pack(group, 0 if total > PACK_SIZE else total, protection)
            number = group.packs.index(pack)
            for claim in claims:
                claim.description_pack = number
                claim.description_offset = pack.size
                pack.upload.write(claim.description)
                pack.size += len(claim.description)
            if listing:
                place = Place(pack=number, offset=pack.size, length=len(listing))
                described = Described(sha256_hex(listing), len(listing), place)
                pack.upload.write(listing)
                pack.size += len(listing)
                listing = b""
        for pack in group.packs:
            if pack.stored is None:
                pack.stored = pack.upload.finish()
        return described

    def _draft(
        self,
        group: _Group,
        number: int,
        deposit: str,
        exhibits: int,
        listed: Described | None,
        first: str,
    ) -> Draft:
        items = tuple(
            _item(claim, exhibit_name(exhibits + position, chain=self._chain))
            for position, claim in enumerate(group.claims, start=1)
        )
        body = Capture(
            system=self._system,
            source=self._source,
            method=self._method,
            collector=self._collector,
            capture_id=self._deposit,
            part=number,
            of=len(self._groups),
            items=items,
            packs=tuple(_pack(pack) for pack in group.packs),
            not_captured=len(self._missing) if number == len(self._groups) else 0,
            not_captured_list=listed,
            delivered=self._delivered(first) if self._delivered else None,
        )
        return Draft(
            type=Type.CAPTURE,
            body=body.to_json(),
            deposit=deposit,
            subject=tuple(Subject(item.exhibit, item.sha256) for item in items),
            sightings=tuple(
                Sighting(self._fingerprint(claim.path, item.sha256), item.exhibit)
                for claim, item in zip(group.claims, items, strict=True)
            ),
        )

    def _fingerprint(self, path: str, sha256: str) -> str:
        return fingerprint(path=path, system=self._system, source=self._source, sha256=sha256)


class Captures:
    """Captures onto the chains of one vault."""

    def __init__(
        self,
        *,
        store: ObjectStore,
        index: Index,
        door: Door,
        clock: Clock,
        incidents: Incidents,
        retention: Retention,
    ) -> None:
        self._store = store
        self._index = index
        self._door = door
        self._clock = clock
        self._incidents = incidents
        self._retention = retention

    def open(
        self,
        chain_id: str,
        *,
        deposit: str | None,
        system: str | None,
        source: str | None,
        method: str,
        collector: Object,
        pack: bool = True,
        delivered: Callable[[str], Delivered] | None = None,
    ) -> Capturing:
        """Begin one; `deposit` may repeat that of an earlier attempt, None chooses a new one.

        Raises `NotFoundError`, and as `check_open`.
        """
        chain = self._incidents.to_add_to(chain_id)
        check_open(chain, deposit)
        repeated = link_of(chain, deposit)
        before = chain if repeated is None else self._incidents.before(chain, repeated)
        policy = self._retention.policy()

        def kept() -> None:
            if self._retention.policy() != policy:
                self._retention.apply(chain_id)  # another came into force while bytes came in

        return OpenCapture(
            store=self._store,
            index=self._index,
            door=self._door,
            clock=self._clock,
            chain=chain_id,
            deposit=deposit or f"ingest-{new_ulid(self._clock())}",
            system=system,
            source=source,
            method=method,
            collector=collector,
            guard=partial(self._retention.guard, chain_id),
            pack=pack,
            turned_at=cache(partial(last_turn, before)),
            repeats=repeated,
            delivered=delivered,
            kept=kept,
        )


def check_open(chain: Chain, deposit: str | None = None) -> None:
    """Raise `RefusedError` unless something may be sealed there, or was by this deposit."""
    if chain.state.sealed and link_of(chain, deposit) is None:
        name = chain.state.id
        raise RefusedError(
            f"{name} is closed and sealed; to add to it, run: "
            f"evault incident reopen {name} --reason TEXT"
        )


def link_of(chain: Chain, deposit: str | None) -> int | None:
    """The first link of an earlier deposit with this id, which is then only repeated."""
    for manifest in chain.manifests if deposit is not None else ():
        statement = manifest.statement
        if statement.deposit in (deposit, f"{deposit}/1"):
            return statement.link.sequence
    return None


class _GuardChangedError(StaleHeadError):
    """What evidence on the chain needs changed since the capture last looked."""


def _item(claim: _Claim, exhibit: str) -> Item:
    kept = claim.kept
    if kept.stored is None:
        stored = Stored("identity", kept.sha256, kept.size, part_size_for(kept.size), ())
        place = Place(pack=claim.pack, offset=claim.offset, length=kept.size)
    else:
        stored = kept.stored
        place = Place(key=kept.key, version_id=claim.version_id)
    return Item(
        exhibit=exhibit,
        kinds=claim.kinds,
        sha256=kept.sha256,
        size=kept.size,
        stored=stored,
        place=place,
        description=Described(
            sha256_hex(claim.description),
            len(claim.description),
            Place(
                pack=claim.description_pack,
                offset=claim.description_offset,
                length=len(claim.description),
            ),
        ),
    )


def _pack(pack: _OpenPack) -> Pack:
    if pack.stored is None:
        raise EvidenceError("a pack was claimed before it was finished")
    return Pack(pack.key, pack.version_id, pack.stored.size, pack.stored.sha256, pack.stored.parts)
