"""A vault's own store as a record under audit: nothing is taken from the index but the proof."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from vault import layout
from vault.errors import NotFoundError
from vault.evidence import (
    MAX_SIDE_DOCUMENT,
    StoredObject,
    choose,
    object_at,
    read_place,
    read_whole,
)
from vault.incidents import Incidents, absent
from vault.log import Log
from vault.ports import Index, ObjectState, ObjectStore, Protection, Row
from vault.retention import Retention, Sense, compare
from verify.bundle import hash_of
from verify.digest import b64
from verify.errors import EvidenceError, MalformedError
from verify.incident import Exhibit
from verify.preserved import Citation
from verify.report import Finding, Outcome
from verify.statement import Place
from verify.trust import Step

_PACK_IN_MEMORY = 64 << 20


class StoreRecord:
    """One incident's or stream's chain as the store holds it; satisfies `verify.audit.Record`."""

    def __init__(
        self,
        *,
        store: ObjectStore,
        index: Index,
        log: Log,
        incidents: Incidents,
        retention: Retention,
        chain: str,
        depth: str = "bytes",
    ) -> None:
        self.depth = depth
        self._store = store
        self._log = log
        self._incidents = incidents
        self._retention = retention
        self._chain = chain
        self._rows = {row.sequence: row for row in index.rows(chain)}
        if not self._rows:
            raise absent(chain)
        self._index = index
        self._pack = threading.Lock()
        self._pack_key: tuple[str, str | None] | None = None
        self._pack_bytes = b""

    @property
    def head(self) -> int:
        """The last link that the index knows."""
        return len(self._rows) - 1

    def links(self) -> Iterator[tuple[int, bytes]]:
        """Sequence and bytes of every manifest object."""
        prefix = layout.chain_prefix(self._chain)
        for key in self._store.keys(prefix):
            number = key.removeprefix(prefix).removesuffix(".json")
            if number.isascii() and number.isdigit():
                row = self._rows.get(int(number))
                expected = row.envelope if row else b""
                # The index only tells which of several versions to judge.
                yield int(number), choose(self._store, key, expected.__eq__)

    def checkpoint(self) -> bytes:
        """The first published checkpoint that covers the chain, as the store holds it."""
        return self._log.published(self._log.covering(self._last_index()).number).note.encode()

    def inclusion(self) -> tuple[int, list[int], list[str]]:
        """One proof for all links."""
        size = self._log.covering(self._last_index()).head.size
        indices = [row.index for row in self._rows.values() if row.index is not None]
        hashes = self._log.multi_inclusion(indices, size)
        return size, indices, [b64(each) for each in hashes]

    def cited(self, citation: Citation) -> bytes:
        """A stream's manifest object."""
        row = self._cited_row(citation)
        expected = row.envelope if row else b""
        key = layout.manifest(citation.chain, citation.sequence)
        return choose(self._store, key, expected.__eq__)

    def cited_inclusion(self, cited: Sequence[Citation]) -> tuple[int, list[int], list[str]]:
        """One proof for all manifests cited."""
        size = self._log.covering(self._last_index()).head.size
        rows = [self._cited_row(each) for each in cited]
        indices = [row.index for row in rows if row and row.index is not None]
        hashes = self._log.multi_inclusion(sorted(indices), size)
        return size, indices, [b64(each) for each in hashes]

    def content(self, exhibit: Exhibit) -> str:
        """SHA-256 of an exhibit's bytes, read again from the store."""
        place = exhibit.item.place
        if place.pack is None:
            return hash_of(read_whole(self._store, object_at(place, exhibit)))[0]
        return hash_of(self._slice(place, exhibit))[0]

    def description(self, exhibit: Exhibit) -> bytes:
        """An exhibit's description, read again from the store."""
        return b"".join(self._slice(exhibit.item.description.place, exhibit))

    def document(self, exhibit: Exhibit) -> bytes:
        """An exhibit's bytes, whole: for those that are read as documents."""
        if exhibit.item.size > MAX_SIDE_DOCUMENT:
            raise MalformedError(f"{exhibit.item.size:,} bytes are over the limit of a document")
        place = exhibit.item.place
        if place.pack is None:
            return b"".join(read_whole(self._store, object_at(place, exhibit)))
        return b"".join(self._slice(place, exhibit))

    def attested(self, exhibits: Sequence[Exhibit]) -> Iterable[Finding]:
        """What the store says of the objects behind exhibits: one HEAD an object, in parallel."""
        if not self._store.traits.versions and not self._store.traits.checksums:
            if self.depth == "checksums":
                yield Finding(
                    Step.EVIDENCE,
                    "",
                    Outcome.NOT_CHECKED,
                    "this store keeps no digests of its own; --depth bytes reads everything again",
                )
            return
        needed = {
            (each.key, each.version_id)
            for exhibit in exhibits
            for each in (
                object_at(exhibit.item.place, exhibit),
                object_at(exhibit.item.description.place, exhibit),
            )
        }
        wanted = [
            (stored, protection)
            for stored, protection in self._retention.wanted(self._incidents.read(self._chain))
            if (stored.key, stored.version_id) in needed
        ]
        count = 0
        for finding in attest(self._store, wanted, checksums=self.depth == "checksums"):
            count += finding.step == Step.STORE
            yield finding
        if not self._store.traits.locks:
            detail = "this bucket locks nothing: whoever may write to it can remove evidence"
            yield Finding(Step.STORE, "", Outcome.NOT_CHECKED, detail)
        elif not count:
            what = "1 object is" if len(wanted) == 1 else f"{len(wanted):,} objects are"
            detail = f"{what} locked and held as the chain demands"
            yield Finding(Step.STORE, "", Outcome.PASSED, detail)

    def _slice(self, place: Place, exhibit: Exhibit) -> Iterable[bytes]:
        """A slice of a pack; a pack is fetched once for all its items, where fetching costs."""
        if place.pack is None or self._store.traits.parallel == 1:
            return read_place(self._store, place, exhibit.packs)
        pack = exhibit.packs[place.pack]
        if pack.size > _PACK_IN_MEMORY:
            return read_place(self._store, place, exhibit.packs)
        with self._pack:
            if self._pack_key != (pack.key, pack.version_id):
                whole = Place(key=pack.key, version_id=pack.version_id)
                self._pack_bytes = b"".join(read_place(self._store, whole, exhibit.packs))
                self._pack_key = (pack.key, pack.version_id)
            return [self._pack_bytes[place.offset : place.offset + place.length]]

    def _cited_row(self, citation: Citation) -> Row | None:
        row = next(self._index.rows(citation.chain, start=citation.sequence), None)
        return row if row and row.sequence == citation.sequence else None

    def _last_index(self) -> int:
        last = self._rows[self.head].index
        if last is None:
            raise MalformedError("the last link is not in the log yet")
        return last


def attest(
    store: ObjectStore,
    wanted: Sequence[tuple[StoredObject, Protection]],
    *,
    checksums: bool = True,
) -> Iterator[Finding]:
    """Hold what a store says of its objects against what is sealed; findings only where it differs.

    With `checksums` off, a missing digest is no finding: the bytes are read by someone else.
    """

    def look(each: tuple[StoredObject, Protection]) -> list[Finding]:
        stored, protection = each
        name = _named(stored)
        try:
            state = store.state(stored.key, stored.version_id)
        except NotFoundError:
            detail = f"the store has no version {stored.version_id} of {stored.key} any more"
            return [Finding(Step.EVIDENCE, name, Outcome.FAILED, detail)]
        except EvidenceError as error:
            return [Finding(Step.EVIDENCE, name, Outcome.NOT_CHECKED, str(error))]
        return [*_judged(stored, state, protection, name, checksums, store.traits.locks)]

    with ThreadPoolExecutor(2 * store.traits.parallel) as pool:
        for findings in pool.map(look, wanted):
            yield from findings


def _judged(
    stored: StoredObject,
    state: ObjectState,
    protection: Protection,
    name: str,
    checksums: bool,
    locks: bool,
) -> Iterator[Finding]:
    if state.covered_by:
        detail = f"{state.covered_by} lies over the version sealed in {stored.key}: an alarm"
        yield Finding(Step.EVIDENCE, name, Outcome.FAILED, detail)
    if state.size != stored.size:
        detail = f"sealed with {stored.size:,} bytes, the store has {state.size:,}"
        yield Finding(Step.EVIDENCE, name, Outcome.FAILED, detail)
    same = _same_digest(stored, state)
    if same is False:
        detail = "the store recorded another digest than the one sealed"
        yield Finding(Step.EVIDENCE, name, Outcome.FAILED, detail)
    elif same is None and checksums:
        detail = "the store has no digest that could be compared; --depth bytes reads it again"
        yield Finding(Step.EVIDENCE, name, Outcome.NOT_CHECKED, detail)
    if locks:
        for sense, words in compare(state.protection, protection):
            # More than is demanded takes nothing from anyone.
            outcome = Outcome.FAILED if sense == Sense.LACKS else Outcome.NOT_CHECKED
            yield Finding(Step.STORE, name, outcome, words)


def _same_digest(stored: StoredObject, state: ObjectState) -> bool | None:
    """Whether the store's digest is the sealed one; None where the two cannot be compared."""
    if state.sha256 is not None:
        return state.sha256 == stored.sha256
    if state.composite is not None:
        parts = stored.parts or (stored.sha256,)
        if state.composite[1] != len(parts):
            return None
        return state.composite[0] == composite_of(parts)
    return None


def composite_of(parts: Sequence[str]) -> str:
    """S3's COMPOSITE checksum: SHA-256 over the raw digests of the parts, as hex."""
    return hashlib.sha256(b"".join(bytes.fromhex(part) for part in parts)).hexdigest()


def _named(stored: StoredObject) -> str:
    if len(stored.exhibits) == 1:
        return stored.exhibits[0]
    return stored.key
