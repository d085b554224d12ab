"""The log: from committed manifests to signed checkpoints in the store.

Everything after the commit is deterministic replay, in this order, by any process at any time:

1. put each committed manifest in the store, in chain order;
2. give stored manifests their indices, durably and contiguously;
3. read the store's newest checkpoint, then the index: they must be one history, else stop;
4. put tiles and entry bundles, then compare-and-swap size and root;
5. commit a new checkpoint under the next number, put it once in the store, show it to outsiders.

3 comes before 4 because full tiles are locked: those of another history could never be mended.

A crash anywhere is continued by the next call of `settle`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from vault import layout
from vault.errors import (
    ConflictError,
    IndexDamagedError,
    NotFoundError,
    ObjectConflictError,
    RecordError,
    StaleHeadError,
    UnavailableError,
    VaultError,
)
from vault.evidence import choose, sightings
from vault.ports import (
    ChainHead,
    Index,
    LogState,
    NewManifest,
    ObjectStore,
    Publication,
    Row,
    Sighting,
    Signer,
)
from verify import note as notes
from verify import strictjson
from verify.chain import Manifest, open_manifest
from verify.checkpoint import (
    Checkpoint,
    ConsistencyProof,
    TlogProof,
    checkpoint_text,
    open_checkpoint,
    parse_checkpoint,
)
from verify.digest import check_hex, sha256_hex
from verify.envelope import ManifestKey, leaf_of
from verify.errors import (
    EvidenceError,
    MalformedError,
    ProofError,
    UnsupportedError,
    VerificationError,
)
from verify.merkle import (
    EMPTY_HEAD,
    HASH_SIZE,
    Frontier,
    TreeHead,
    consistency_path,
    inclusion_path,
    leaf_hash,
    multi_inclusion_hashes,
    root_of,
)
from verify.statement import SEEN_NOTHING, Seen, Statement, Type
from verify.strictjson import Fields

WIDTH = layout.TILE_WIDTH
MAX_PUBLICATION = 64 << 20
ADOPT_TOGETHER = 500

_ROUNDS = 100
_LATELY = 1.0
"""Seconds."""
_EMPTY_CHAIN = ChainHead(-1, None, 0, False, SEEN_NOTHING)
_NO_EVIDENCE = (MalformedError, UnsupportedError, VerificationError)
"""Bytes that are not what they should be, as opposed to a store that cannot be read now."""


@dataclass(frozen=True, slots=True)
class PublishedCheckpoint:
    """An object `log/checkpoints/<number>`: a checkpoint, and the leaf hashes since the last."""

    number: int
    note: str
    leaf_hashes: tuple[bytes, ...]

    def encode(self) -> bytes:
        """The object's bytes (RFC 8785)."""
        return strictjson.dumps(
            {
                "checkpoint": self.note,
                "leaf_hashes": [each.hex() for each in self.leaf_hashes],
                "number": self.number,
            }
        )


def parse_published(data: bytes, *, number: int) -> PublishedCheckpoint:
    """Read `log/checkpoints/<number>` strictly. Raises `MalformedError`."""
    where = layout.publication(number)
    reader = Fields(strictjson.loads(data, where=where, limit=MAX_PUBLICATION), where)
    published = PublishedCheckpoint(
        reader.count("number"),
        reader.text("checkpoint", limit=notes.MAX_NOTE_SIZE),
        tuple(
            bytes.fromhex(check_hex(each, where=where))
            for each in reader.entries("leaf_hashes", limit=10_000_000)
        ),
    )
    reader.done()
    if published.number != number:
        raise MalformedError(f"{where}: calls itself number {published.number}")
    return published


def next_head(head: ChainHead, manifest: Manifest) -> ChainHead:
    """The head of a chain once `manifest` is its last link."""
    statement = manifest.statement
    exhibits, sealed = head.exhibits, head.sealed
    if statement.type == Type.CAPTURE:
        exhibits += len(statement.body["items"])
    elif statement.type == Type.SEAL:
        sealed = True
    elif statement.type == Type.INCIDENT and statement.body.get("event") == "reopened":
        sealed = False
    sequence = statement.link.sequence
    guarded = sequence if changes_protection(statement) else head.guarded
    return ChainHead(sequence, manifest.leaf, exhibits, sealed, statement.seen, guarded)


def open_row(row: Row, keys: Sequence[ManifestKey]) -> Manifest:
    """The manifest in a row of the index, its signature checked.

    Raises `UnsupportedError`, or `IndexDamagedError` where it is none that we signed: what is in
    the store is put in its place by a rebuild.
    """
    try:
        return open_manifest(row.envelope, keys, where=f"{row.chain} link {row.sequence}")
    except (MalformedError, VerificationError) as error:
        raise IndexDamagedError(
            f"the index is damaged: {error}; nothing is lost: run: evault log rebuild"
        ) from error


def changes_protection(statement: Statement) -> bool:
    """Whether stored evidence must be protected otherwise once this is kept."""
    body = statement.body
    if statement.type == Type.SEAL:
        return "lock" in body
    if statement.type == Type.CUSTODY:
        return body.get("event") == "classified"
    if statement.type == Type.INCIDENT and body.get("event") == "amended":
        return any(change["field"] == "severity" for change in body["changes"])
    return statement.type in (Type.HOLD, Type.POLICY)


class Log:
    """The one log of a vault. Several processes may hold one each, over one store and index."""

    def __init__(
        self,
        store: ObjectStore,
        index: Index,
        signer: Signer,
        origin: str,
        key: ManifestKey,
        *,
        patience: float = 30.0,
    ) -> None:
        """A log on a store and an index.

        `patience` is how many seconds to wait for another process that publishes: it may hang,
        and then we go on beside it.
        """
        self._patience = patience
        self._store = store
        self._index = index
        self._signer = signer
        self._manifest_key = key
        self._looked = -_LATELY
        """When this process last found store and index to tell the same, on the monotonic clock."""
        self._in_store = 0
        """The highest number of a checkpoint that this process knows to be in the store."""
        self._verified: Publication | None = None
        """The newest checkpoint of the store that this process found the index to tell too."""
        self.verifier = notes.VerifierKey(origin, signer.public)

    @property
    def origin(self) -> str:
        """The log's name in checkpoints and statements."""
        return self.verifier.name

    def settle(self, rows: Sequence[Row] | None = None) -> dict[str, VaultError]:
        """Do everything that is owed, up to a checkpoint in the store over all that is committed.

        With `rows`, just committed: over those, and what stands before them on their chains; the
        rest is for whoever committed it, or for the next who opens the vault. Writers that meet
        here let one publish for all.

        Gives the chains that stopped because the store holds another link than ours, and why:
        what was ours there is dropped, and was acknowledged to no one; the other chains went on.
        Raises `RecordError` if going on would fork the log, `UnavailableError`.
        """
        stopped = self._store_manifests(None if rows is None else {row.chain for row in rows})
        mine = None if rows is None else [row.leaf_hash for row in rows]
        until = time.monotonic() + self._patience
        # One publishes for all who wait. That saves work, and no more: without it, racing
        # processes do the same twice.
        while True:
            with self._index.alone("log", patience=0) as alone:
                if alone or time.monotonic() >= until:
                    self._carry_on(mine)
                    return stopped
            self._index.wait("log", patience=until - time.monotonic())
            if mine is not None and self._index.is_covered(mine):
                return stopped

    def _carry_on(self, mine: Sequence[bytes] | None) -> None:
        """Steps 2 to 5 for all that is stored, unless `mine` was published in between."""
        if mine is not None and self._index.is_covered(mine):
            return
        end, new = self._index.assign(), False
        # Racing processes may publish less than what we integrate; then it is ours to go on.
        for _ in range(_ROUNDS):
            state = self._index.log_state()
            newest = self._check(state)
            try:
                self._integrate(state.tree, end)
            except ProofError as error:
                raise self._two_histories(f"{error}: it went back while it was read") from error
            shown = self._publish(newest)
            new = new or shown != newest
            if (shown.head.size if shown else 0) >= end:
                if shown is not None:
                    self._show(shown, new=new)
                return
        raise UnavailableError("others keep writing to the log; run the command again")

    def restore(self) -> None:
        """Fill an empty index from the store, which holds the record. Raises `RecordError`."""
        for chain in chains_in(self._store):
            adopt_from_store(self._store, self._index, chain, _EMPTY_CHAIN, self.open_manifest)
        number, frontier = 0, Frontier()
        while self._store.exists(layout.publication(number + 1)):
            number += 1
            published, head = self._open_published(number)
            self._index.place(published.leaf_hashes, start=frontier.size)
            for each in published.leaf_hashes:
                frontier.append(each)
            # Else the next checkpoint would be signed over leaves that this one never covered.
            if frontier.head() != head or not published.leaf_hashes:
                raise RecordError(
                    f"{layout.publication(number)} lists other leaves than it signs; "
                    "run: evault log audit",
                    store=published.note,
                )
            self._index.add_publication(Publication(number, head, published.note.encode()))
        self._index.mark_published(number)
        self._integrate(self._index.log_state().tree, self._restore_tail(frontier.size))
        self.settle()

    def check_record(self) -> Seen:
        """The store's newest checkpoint. Raises `RecordError` unless the index tells it too.

        A statement may name this one as seen: a checkpoint that only the index holds can be lost
        with it, and would then never have been published.
        """
        known = self._verified
        # An index that still tells what it told has not gone back; the store is asked before
        # each signing of a checkpoint, and by whoever begins.
        if known is None or self._index.publication(known.number) != known:
            known = self._check()
        return Seen(known.head.size, known.head.root.hex()) if known else SEEN_NOTHING

    def check_store(self) -> None:
        """Raise `RecordError` unless the index tells the checkpoint that is the store's newest now.

        Nobody is waited for: what others are publishing may be there already, or not yet. It is
        asked so that nothing becomes visible in vain; a look at the store of the last second serves
        for that, where the next signing of a checkpoint looks for itself.
        """
        if time.monotonic() - self._looked > _LATELY:
            self._check()
        else:
            self.check_record()

    def covering(self, index: int) -> Publication:
        """The first published checkpoint that covers a log index. Raises `NotFoundError`."""
        publication = self._index.first_publication_covering(index + 1)
        if publication is None or not self._is_in_store(publication):
            raise NotFoundError(f"no checkpoint covers log index {index} yet; run it again")
        return publication

    def published(self, number: int) -> PublishedCheckpoint:
        """A published checkpoint as the store holds it. Raises `RecordError`, `NotFoundError`."""
        return self._open_published(number)[0]

    def newest(self) -> Checkpoint:
        """The newest published checkpoint. Raises `NotFoundError` for a log without entries."""
        known = self._check()
        if known is None:
            raise NotFoundError("the log is empty: nothing has been sealed yet")
        return open_checkpoint(known.note, self.verifier)

    def inclusion(self, index: int, publication: Publication) -> TlogProof:
        """The proof that the entry at `index` is under a publication's checkpoint."""
        path = inclusion_path(index, publication.head.size, Nodes(self._index).range_hash)
        return TlogProof(index, tuple(path), parse_checkpoint(publication.note))

    def multi_inclusion(self, indices: Sequence[int], size: int) -> list[bytes]:
        """One proof for many entries in the tree of `size`."""
        return multi_inclusion_hashes(indices, size, Nodes(self._index).range_hash)

    def consistency(self, older: int, newer: int | None = None) -> ConsistencyProof:
        """The proof that the tree at one size extends that at another. Raises `ProofError`."""
        if newer is None:
            publication = self._check()
        else:
            publication = self._index.first_publication_covering(newer)
        if (
            publication is None
            or (newer is not None and publication.head.size != newer)
            or not self._store.exists(layout.publication(publication.number))
        ):
            raise ProofError(f"no checkpoint of size {newer} was ever published by this log")
        path = consistency_path(older, publication.head.size, Nodes(self._index).range_hash)
        return ConsistencyProof(older, tuple(path), parse_checkpoint(publication.note))

    def _is_in_store(self, publication: Publication) -> bool:
        """Whether a publication's object is there; what was there once is locked."""
        if publication.number > self._in_store:
            self._in_store = max(self._in_store, self._index.log_state().published)
        if publication.number > self._in_store:
            if not self._store.exists(layout.publication(publication.number)):
                return False
            self._in_store = publication.number
        return True

    def _store_manifests(self, chains: Collection[str] | None) -> dict[str, VaultError]:
        """Step 1. Gives the chains that stopped; the others go on."""
        done: list[Row] = []
        stopped: dict[str, VaultError] = {}
        for row in self._index.unstored(None if chains is None else sorted(chains)):
            if row.chain in stopped:
                continue
            try:
                self._store.put_once(layout.manifest(row.chain, row.sequence), row.envelope)
            except ObjectConflictError as error:
                stopped[row.chain] = self._resolve(row, error)
            else:
                done.append(row)
        if done:
            self._index.mark_stored(done)
        return stopped

    def _resolve(self, row: Row, error: ObjectConflictError) -> VaultError:
        """Another manifest stands where ours should: give way, and adopt it if it is a link."""
        head = _EMPTY_CHAIN
        for each in self._index.rows(row.chain):
            if each.sequence == row.sequence:
                break
            head = next_head(head, open_row(each, (self._manifest_key,)))
        first = ConflictError(
            f"another writer added link {row.sequence} to {row.chain} first; "
            "nothing of this command was acknowledged: run it again"
        )
        if not self._index.drop_from(row, None if head.leaf is None else head):
            return first  # another process has given way already
        try:
            found = adopt_from_store(self._store, self._index, row.chain, head, self.open_manifest)
        except StaleHeadError:
            return first  # a third was quicker still, and will meet the same conflict
        if found.sequence >= row.sequence:
            return first
        return RecordError(
            f"{error.key} in the store is no link that continues {row.chain} as the index knows "
            "it; this chain stops, the others go on. Nothing acknowledged is lost. Run: "
            "evault log audit; if it passes, the index was put back: evault log rebuild"
        )

    def _restore_tail(self, size: int) -> int:
        """Give the entries after `size` the indices that tiles in the store give them; the new end.

        They were assigned before a crash, and never published; but tiles are written once, and
        another order would never fit into them.
        """
        number, tail = size // WIDTH, list[bytes]()
        while True:
            full = layout.tile(0, number)
            prefix = layout.tile(0, number, 1).removesuffix("1")
            widths = [int(key.removeprefix(prefix)) for key in self._store.keys(prefix)]
            if not widths and not self._store.exists(full):
                break
            whole = self._store.exists(full)
            data = self._store.get(full if whole else f"{prefix}{max(widths)}")
            listed = [data[at : at + HASH_SIZE] for at in range(0, len(data), HASH_SIZE)]
            known = self._index.leaf_hashes(number * WIDTH, size)
            if listed[: len(known)] != known:
                return size  # a tile of another history, which the audit shows
            tail += listed[len(known) :]
            if not whole:
                break
            number += 1
        with suppress(UnavailableError):  # lists what is no manifest: the same
            return self._index.place(tail, start=size)
        return size

    def open_manifest(self, chain: str, sequence: int, data: bytes) -> Manifest:
        """Open a manifest object, which must be signed by our key and be where it belongs."""
        where = layout.manifest(chain, sequence)
        manifest = open_manifest(data, (self._manifest_key,), where=where)
        link = manifest.statement.link
        if (link.chain, link.sequence) != (chain, sequence):
            raise MalformedError(f"{where}: holds {manifest.name}")
        return manifest

    def _integrate(self, older: TreeHead, end: int) -> None:
        """Step 4. Tiles are a pure function of size and entries, so racing writers agree.

        Raises `ProofError` if the index lacks entries that it had a moment ago.
        """
        if end <= older.size:
            return
        nodes = Nodes(self._index)
        if nodes.range_hash(0, older.size) != older.root:
            raise IndexDamagedError(
                f"the index's first {older.size} log entries are not those of its tree; nothing is "
                "lost: run: evault log rebuild"
            )
        for number in range(older.size // WIDTH, (end - 1) // WIDTH + 1):
            start, stop = number * WIDTH, min((number + 1) * WIDTH, end)
            entries = self._index.entries(start, stop)
            hashes = _whole([entry.leaf_hash for entry in entries], stop - start)
            if [leaf_hash(entry.leaf) for entry in entries] != hashes:
                raise IndexDamagedError(
                    f"the index's log entries from {start} on are damaged; nothing is lost: "
                    "run: evault log rebuild"
                )
            leaves = [entry.leaf for entry in entries]
            bundle = b"".join(len(each).to_bytes(2, "big") + each for each in leaves)
            self._put_tiles(
                {
                    layout.tile(0, number, stop - start): b"".join(hashes),
                    layout.entry_bundle(number, stop - start): bundle,
                }
            )
            if stop - start == WIDTH:
                self._index.add_subtree(1, number, root_of(hashes))
        self._integrate_levels(older.size, end)
        if end // WIDTH != older.size // WIDTH:
            nodes = Nodes(self._index)  # it has the roots of tiles that were filled since
        self._index.advance(older, TreeHead(end, nodes.range_hash(0, end)))

    def _integrate_levels(self, older: int, newer: int) -> None:
        level, before, after = 1, older // WIDTH, newer // WIDTH
        while after > before:
            for number in range(before // WIDTH, (after - 1) // WIDTH + 1):
                start, stop = number * WIDTH, min((number + 1) * WIDTH, after)
                hashes = _whole(self._index.subtrees(level, start, stop), stop - start)
                self._put_tiles({layout.tile(level, number, stop - start): b"".join(hashes)})
                if stop - start == WIDTH:
                    self._index.add_subtree(level + 1, number, root_of(hashes))
            level, before, after = level + 1, before // WIDTH, after // WIDTH

    def _put_tiles(self, tiles: Mapping[str, bytes]) -> None:
        if self._store.traits.parallel == 1 or len(tiles) == 1:
            for key, data in tiles.items():
                self._put_tile(key, data)
            return
        with ThreadPoolExecutor(len(tiles)) as pool:
            for done in [pool.submit(self._put_tile, *each) for each in tiles.items()]:
                done.result()

    def _put_tile(self, key: str, data: bytes) -> None:
        try:
            self._store.put_once(key, data)
        except ObjectConflictError as error:
            raise self._two_histories(
                f"{key} in the store was made of other entries than the index has: a second vault "
                "writes to this store, or the index was put back",
            ) from error

    def _publish(self, newest: Publication | None) -> Publication | None:
        """Step 5; `newest` is the store's newest checkpoint. The one that then is, if any.

        A number is added to the index only by one who put, or found, the one before it in the
        store: so the index is at most one ahead, and what it has is owed and put again.
        """
        state = self._index.log_state()
        tree, last, shown = state.tree, state.last, newest
        for number in range((newest.number if newest else 0) + 1, (last.number if last else 0) + 1):
            shown = self._put_publication(self._index.publication(number), before=shown)
        covered = last.head if last else EMPTY_HEAD
        if tree.size < covered.size or (newest and not (last and last.number >= newest.number)):
            raise self._two_histories("the index went back while it was read")
        if tree.size > covered.size:
            signed = notes.sign(
                checkpoint_text(self.origin, tree),
                self.origin,
                self._signer.public,
                self._signer.sign,
            )
            number = last.number + 1 if last else 1
            ours = Publication(number, tree, str(signed).encode())
            shown = self._put_publication(self._index.add_publication(ours), before=shown)
        if shown is not None and shown != newest:
            self._index.mark_published(shown.number)
            self._in_store = max(self._in_store, shown.number)
            self._verified = shown
        return shown

    def _put_publication(
        self, publication: Publication | None, *, before: Publication | None
    ) -> Publication:
        start = before.head.size if before else 0
        size = publication.head.size if publication else 0
        hashes = self._index.leaf_hashes(start, size)
        if publication is None or len(hashes) != size - start:
            raise self._two_histories("the index went back while it was read")
        published = PublishedCheckpoint(
            publication.number, publication.note.decode(), tuple(hashes)
        )
        key = layout.publication(publication.number)
        try:
            self._store.put_once(key, published.encode())
        except ObjectConflictError as error:
            theirs, _ = self._open_published(publication.number)
            raise self._two_histories(
                f"{key} holds another checkpoint than ours: a second vault signs this log",
                note=theirs.note,
            ) from error
        return publication

    def _show(self, publication: Publication, *, new: bool) -> None:
        """Put `log/checkpoint`, which outsiders read and nothing here trusts."""
        while True:
            if new or self._shown_size() < publication.head.size:
                self._store.put_latest(layout.CHECKPOINT, publication.note)
            # Another may have shown a later one just before our put: show it again.
            last = self._index.log_state().last
            if last is None or last.number <= publication.number:
                return
            if not self._is_in_store(last):
                return  # whoever puts it will show it
            publication, new = last, False

    def _shown_size(self) -> int:
        try:
            return parse_checkpoint(self._store.get(layout.CHECKPOINT)).head.size
        except EvidenceError:
            return 0

    def _newest_in_store(self, last: Publication | None) -> int:
        """The number of the newest checkpoint in the store; 0 if there is none.

        Numbers have no gaps, so existence is probed from `last`, the newest of the index.
        """
        number = last.number if last else 0
        if last and not self._is_in_store(last):
            number -= 1  # committed before a crash, and owed to the store: that can be one
            if number and not self._store.exists(layout.publication(number)):
                raise self._lost(number)
        step = 1
        while self._was_put(number + step):
            number += step
            step *= 2
        while step > 1:
            step //= 2
            if self._was_put(number + step):
                number += step
        return number

    def _was_put(self, number: int) -> bool:
        """Whether a checkpoint is in the store, where it most likely is not: one list tells."""
        key = layout.publication(number)
        return any(each.key == key and not each.marker for each in self._store.versions(key))

    def _check(self, state: LogState | None = None) -> Publication | None:
        """Step 3: the store's newest checkpoint is signed by our key, over our own tree.

        Gives it; the index knows it then, and all before it. `state` is the index's, as just read.
        """
        state = state or self._index.log_state()
        known, looking = state.last, time.monotonic()
        newest = self._newest_in_store(known)
        if newest == 0:
            self._looked = looking
            return None
        # What was put or read here once is locked, and need not be read again.
        is_verified = known is not None and known == self._verified and known.number == newest
        if known and is_verified and self._root(known.head.size, state.tree) == known.head.root:
            self._looked = looking
            return known
        try:
            published, head = self._open_published(newest)
        except NotFoundError as error:
            raise self._lost(newest) from error
        # The index is read after the store, so it cannot lawfully be behind it.
        own, tree = self._index.publication(newest), self._index.log_state().tree
        if (own and own.note.decode() != published.note) or (
            self._root(head.size, tree) != head.root
        ):
            raise self._two_histories(
                f"the store holds checkpoint {newest} of {head.size} entries, which the index "
                f"(tree of {tree.size}) does not know: the index was put back, or "
                "belongs to another vault",
                note=published.note,
            )
        size = known.head.size if known else 0
        for number in range((known.number if known else 0) + 1, newest + 1):
            published, head = self._open_published(number)
            # A checkpoint of ours under a later number is signed too, and still a forgery.
            if head.size <= size or self._root(head.size, tree) != head.root:
                raise RecordError(
                    f"{layout.publication(number)} does not continue this log. Nothing is signed. "
                    f"Run: evault log audit\n--- in the store\n{published.note}",
                    store=published.note,
                )
            size = head.size
            self._index.add_publication(Publication(number, head, published.note.encode()))
        self._looked = looking
        self._verified = Publication(newest, head, published.note.encode())
        return self._verified

    def _root(self, size: int, tree: TreeHead) -> bytes | None:
        """Our own root at a size; None for a size that our tree has not reached."""
        if size >= tree.size:
            return tree.root if size == tree.size else None
        try:
            return Nodes(self._index).range_hash(0, size)
        except ProofError:
            return None

    def _open_published(self, number: int) -> tuple[PublishedCheckpoint, TreeHead]:
        """A checkpoint in the store, which must be signed by our key. Raises `RecordError`."""
        key = layout.publication(number)
        data, note = choose(self._store, key, lambda data: self._is_ours(data, number)), ""
        try:
            published = parse_published(data, number=number)
            note = published.note
            return published, open_checkpoint(note.encode(), self.verifier).head
        except _NO_EVIDENCE as error:
            raise RecordError(
                f"{key} was not signed by this vault's log key ({error}); "
                "nothing is signed until this is understood. Run: evault log audit",
                store=note,
            ) from error

    def _is_ours(self, data: bytes, number: int) -> bool:
        try:
            note = parse_published(data, number=number).note.encode()
            open_checkpoint(note, self.verifier)
        except _NO_EVIDENCE:
            return False
        return True

    def _lost(self, number: int) -> RecordError:
        last = self._index.log_state().last
        index = last.note.decode() if last else ""
        return RecordError(
            f"{layout.publication(number)} was published, and is not in the store: the store was "
            "put back, is not mounted, or is another vault's. Nothing is signed. Give this vault "
            f"its own store again\n--- in the index\n{index}",
            index=index,
        )

    def _two_histories(self, what: str, *, note: str = "") -> RecordError:
        """An error that shows the store's checkpoint, by default the newest, and the index's."""
        store, last = note, self._index.log_state().last
        if not store and (newest := self._newest_in_store(last)):
            store = self._open_published(newest)[0].note
        index = last.note.decode() if last else ""
        return RecordError(
            f"{what}. Nothing more is signed, nothing acknowledged is lost. Stop other writers, "
            "keep the two checkpoints below, and run: evault log rebuild\n"
            f"--- in the store\n{store or '(none)'}--- in the index\n{index or '(none)'}",
            store=store,
            index=index,
        )


class TreeHashes(Protocol):
    """Where the hashes of the tree are looked up: the index, or a log's tiles."""

    def leaf_hashes(self, start: int, end: int) -> list[bytes]:
        """Leaf hashes [start, end), as far as the tree goes."""

    def subtrees(self, level: int, start: int, end: int) -> list[bytes]:
        """Roots of the full subtrees of 256^level leaves numbered [start, end), likewise."""


class Nodes:
    """Nodes of the tree out of the index, 256 at a time, for one question about one moment."""

    def __init__(self, index: TreeHashes) -> None:
        self._index = index
        self._blocks: dict[tuple[int, int], list[bytes]] = {}

    def range_hash(self, start: int, end: int) -> bytes:
        """Root of the leaves [start, end), where the RFC 6962 tree has such a subtree.

        Raises `ProofError` if the index lacks some of them.
        """
        level, width = 0, 1
        while width * WIDTH < end - start:
            level, width = level + 1, width * WIDTH
        nodes = self._nodes(level, start // width, end // width)
        if end % width:
            nodes.append(self.range_hash(end - end % width, end))
        return root_of(nodes)

    def _nodes(self, level: int, start: int, end: int) -> list[bytes]:
        """The roots of the subtrees of 256^level leaves numbered [start, end), at most 256."""
        found: list[bytes] = []
        for number in range(start // WIDTH, (end - 1) // WIDTH + 1):
            block = self._block(level, number)
            first = number * WIDTH
            found += block[max(start - first, 0) : end - first]
        if len(found) != end - start:
            raise ProofError(f"the index lacks tree nodes of level {level}, {start} to {end}")
        return found

    def _block(self, level: int, number: int) -> list[bytes]:
        if (level, number) not in self._blocks:
            start, end = number * WIDTH, (number + 1) * WIDTH
            self._blocks[level, number] = (
                self._index.subtrees(level, start, end)
                if level
                else self._index.leaf_hashes(start, end)
            )
        return self._blocks[level, number]


def _whole(hashes: list[bytes], count: int) -> list[bytes]:
    """So that a tile is never put short: it is put once."""
    if len(hashes) != count:
        raise ProofError("the index lacks log entries")
    return hashes


def chains_in(store: ObjectStore) -> list[str]:
    """The ids of all chains whose first link is in the store; what is named otherwise is none."""
    found = []
    for key in store.keys(layout.CHAINS):
        if key.endswith("/00000000.json"):
            with suppress(MalformedError):
                found.append(layout.chain_of(key.removesuffix("00000000.json")))
    return sorted(found)


def adopt_from_store(
    store: ObjectStore,
    index: Index,
    chain: str,
    head: ChainHead,
    read: Callable[[str, int, bytes], Manifest],
) -> ChainHead:
    """Take in the manifests that the store holds after `head`, as far as they extend it.

    What comes after is no link, and none of its business: a logged one would be missed by
    `Index.place`, and the audit shows it. One foreign object must not stop a vault for ever.
    """
    batch: list[NewManifest] = []
    while store.exists(layout.manifest(chain, head.sequence + 1)):
        data, manifest = _link_after(store, chain, head, read)
        if manifest is None:
            break
        head = next_head(head, manifest)
        batch.append(indexed(manifest, data, head, _sightings(store, manifest)))
        if len(batch) == ADOPT_TOGETHER:
            index.adopt(chain, batch)
            batch = []
    if batch:
        index.adopt(chain, batch)
    return head


def _link_after(
    store: ObjectStore,
    chain: str,
    head: ChainHead,
    read: Callable[[str, int, bytes], Manifest],
) -> tuple[bytes, Manifest | None]:
    """The manifest in the store that continues a chain, and its bytes; None if none does."""
    sequence = head.sequence + 1

    def link(data: bytes) -> Manifest | None:
        try:
            manifest = read(chain, sequence, data)
        except _NO_EVIDENCE:
            return None
        return manifest if manifest.statement.link.previous == head.leaf else None

    data = choose(store, layout.manifest(chain, sequence), lambda data: link(data) is not None)
    return data, link(data)


def _sightings(store: ObjectStore, manifest: Manifest) -> tuple[Sighting, ...]:
    """What a second look is held against. Damaged evidence has none, and is sealed anew."""
    try:
        return sightings(store, manifest)
    except (*_NO_EVIDENCE, NotFoundError):
        return ()


def indexed(
    manifest: Manifest, data: bytes, head: ChainHead, seen_as: tuple[Sighting, ...]
) -> NewManifest:
    """What the index keeps of a manifest."""
    statement = manifest.statement
    leaf = leaf_of(manifest.envelope, manifest.key.spki)
    return NewManifest(
        sequence=statement.link.sequence,
        deposit=statement.deposit,
        type=statement.type.value,
        content=content_digest(statement),
        leaf=leaf,
        leaf_hash=leaf_hash(leaf),
        envelope=data,
        head=head,
        sightings=seen_as,
        items=tuple(
            (str(item["exhibit"]), str(item["sha256"])) for item in statement.body.get("items", ())
        ),
        owes=changes_protection(statement),
    )


def content_digest(statement: Statement) -> str:
    """What a retry under the same deposit id must repeat: all that the vault did not generate.

    Type, actor, the items' digests and sizes, and the body without its generated fields.
    """
    body = {
        name: value
        for name, value in statement.body.items()
        if name not in _GENERATED.get(statement.type, ())
    }
    items = [[item["sha256"], item["size"]] for item in statement.body.get("items", ())]
    return sha256_hex(
        strictjson.dumps(
            {
                "actor": statement.actor.id,
                "body": body,
                "items": items,
                "type": statement.type.value,
            }
        )
    )


_GENERATED = {
    Type.CAPTURE: ("collection", "items", "packs", "not_captured"),
    Type.ASSESSMENT: ("as_of", "counts", "head", "report", "verdict"),
    Type.EXPORT: ("as_of", "assessment", "evault", "files", "included", "trust", "withheld"),
}
