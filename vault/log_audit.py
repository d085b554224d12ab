"""Auditing the whole log from the store alone: tiles, roots, checkpoints, and every chain.

1. checkpoints `log/checkpoints/1…n`: numbered without gaps, signed, growing, each root recomputed
2. tiles and entry bundles: what the leaves demand
3. every chain: each link signed, in order; each leaf in the log once, each entry one manifest
4. every checkpoint that a link claims to have seen was really published
5. with an earlier checkpoint: the log of today extends it
6. nothing lies over what is written once: no other version, no delete marker
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from vault import layout
from vault.evidence import choose, strays
from vault.log import PublishedCheckpoint, chains_in, parse_published
from vault.ports import ObjectStore
from verify.chain import LinkChecker, Manifest, read_manifest
from verify.checkpoint import Checkpoint, open_checkpoint
from verify.envelope import leaf_of
from verify.errors import EvidenceError, ProofError, UnsupportedError, VerificationError
from verify.grant import GrantRoll
from verify.incident import check_vault_link
from verify.merkle import EMPTY_ROOT, Frontier, leaf_hash, root_of
from verify.report import Finding, Outcome, Report
from verify.statement import VAULT_CHAIN
from verify.trust import Step, Trust

WIDTH = layout.TILE_WIDTH


def audit_log(store: ObjectStore, trust: Trust, *, since: Checkpoint | None = None) -> Report:
    """Audit the store's log under a trust file; `since` is an earlier, believed checkpoint.

    What is wrong is a finding; only an unusable store raises.
    """
    return _LogAudit(store, trust).run(since)


class _LogAudit:
    def __init__(self, store: ObjectStore, trust: Trust) -> None:
        self.store = store
        self.trust = trust
        self.findings: list[Finding] = []
        self.leaf_hashes: list[bytes] = []
        self.roots: dict[int, bytes] = {0: EMPTY_ROOT}
        self.newest: Checkpoint | None = None
        self.links = 0

    def run(self, since: Checkpoint | None) -> Report:
        if since is not None:
            self.roots[since.head.size] = b""  # wanted: filled in while the tree grows
        self.checkpoints()
        self.tiles()
        self.chains()
        self.since(since)
        self.strays()
        size = len(self.leaf_hashes)
        return Report(
            incident=None,
            findings=tuple(self.findings),
            required=(Step.SIGNATURES, Step.CHAIN, Step.LOG),
            trusted=True,
            depth="bytes",
            links=self.links,
            exhibits=0,
            complete_to=f"the log holds {size:,} entries, as published in this store",
        )

    def checkpoints(self) -> None:
        """Step 1."""
        frontier = Frontier()
        number = 0
        while self.store.exists(layout.publication(number + 1)):
            number += 1
            key = layout.publication(number)
            try:
                data = choose(self.store, key, partial(self._is_ours, number=number))
                published = parse_published(data, number=number)
                self._checkpoint(published, frontier)
            except EvidenceError as error:
                self.fail(Step.LOG, key, str(error))
                break
        listed = sum(1 for _ in self.store.keys(layout.PUBLICATIONS))
        if listed != number:
            self.fail(Step.LOG, layout.PUBLICATIONS, f"{listed} objects, {number} without a gap")
        self.conclude(
            Step.LOG,
            f"{number:,} checkpoints signed, each extending the last, to {frontier.size:,} entries",
        )

    def _is_ours(self, data: bytes, *, number: int) -> bool:
        try:
            note = parse_published(data, number=number).note.encode()
            open_checkpoint(note, self.trust.log)
        except EvidenceError:
            return False
        return True

    def _checkpoint(self, published: PublishedCheckpoint, frontier: Frontier) -> None:
        checkpoint = open_checkpoint(published.note.encode(), self.trust.log)
        for each in published.leaf_hashes:
            frontier.append(each)
            self.leaf_hashes.append(each)
            if frontier.size in self.roots:
                self.roots[frontier.size] = frontier.root()
        if frontier.head() != checkpoint.head:
            raise ProofError(
                f"lists leaves of a tree of {frontier.size} with another root or size than it signs"
            )
        if not published.leaf_hashes:
            raise VerificationError("adds nothing to the checkpoint before it")
        self.roots[frontier.size] = frontier.root()
        self.newest = checkpoint

    def tiles(self) -> None:
        """Step 2: full tiles, and the partial ones of the newest size."""
        size = len(self.leaf_hashes)
        level, hashes = 0, self.leaf_hashes
        while hashes:
            for number in range((len(hashes) - 1) // WIDTH + 1):
                part = hashes[number * WIDTH : (number + 1) * WIDTH]
                self._object(layout.tile(level, number, len(part)), b"".join(part))
                if level == 0:
                    self._bundle(layout.entry_bundle(number, len(part)), part)
            full = len(hashes) // WIDTH
            hashes = [root_of(hashes[i * WIDTH : (i + 1) * WIDTH]) for i in range(full)]
            level += 1
        self.conclude(Step.LOG, f"tiles and entry bundles are those of {size:,} entries")

    def _object(self, key: str, expected: bytes) -> None:
        try:
            if choose(self.store, key, expected.__eq__) != expected:
                self.fail(Step.LOG, key, "is not what the log's leaves demand")
        except EvidenceError as error:
            self.fail(Step.LOG, key, str(error))

    def _bundle(self, key: str, leaf_hashes: Sequence[bytes]) -> None:
        try:
            data = choose(self.store, key, lambda data: _entries_are(data, leaf_hashes))
            parse_entry_bundle(data)
        except EvidenceError as error:
            self.fail(Step.LOG, key, str(error))
            return
        if not _entries_are(data, leaf_hashes):
            self.fail(Step.LOG, key, "is not what the log's leaves demand")

    def chains(self) -> None:
        """Steps 3 and 4."""
        places = {leaf: index for index, leaf in enumerate(self.leaf_hashes)}
        if len(places) != len(self.leaf_hashes):
            self.fail(Step.LOG, "", "one leaf stands in the log twice")
        unclaimed = set(places)
        chains = chains_in(self.store)
        waiting = 0
        for chain in chains:
            waiting += self._chain(chain, places, unclaimed)
        for leaf in sorted(unclaimed, key=places.__getitem__)[:10]:
            self.fail(Step.LOG, f"entry {places[leaf]}", "has no manifest in the store")
        more = f"; {waiting} committed and not logged yet" if waiting else ""
        self.conclude(Step.SIGNATURES, f"{self.links:,} of {self.links:,} manifests")
        self.conclude(Step.CHAIN, f"{len(chains):,} chains unbroken, each entry one manifest{more}")

    def _chain(self, chain: str, places: dict[bytes, int], unclaimed: set[bytes]) -> int:
        checker = LinkChecker(chain=chain, log=self.trust.origin)
        prefix = layout.chain_prefix(chain)
        waiting, last_index = 0, -1
        grants = GrantRoll()
        for number, key in enumerate(self.store.keys(prefix)):
            self.links += 1
            try:
                data = choose(self.store, key, partial(self._is_logged, key, places))
                manifest = read_manifest(data, self.trust.keys, where=key)
            except EvidenceError as error:
                self.fail(Step.SIGNATURES, key, str(error))
                grants.skip(number)
                continue
            self.guard(Step.SIGNATURES, key, manifest.check)
            self.guard(Step.CHAIN, key, partial(checker.take, manifest))
            if chain == VAULT_CHAIN:
                self._on_vault(key, manifest, grants)
            sequence = manifest.statement.link.sequence
            if key != layout.manifest(chain, sequence):
                self.fail(Step.CHAIN, key, f"holds link {sequence}")
            leaf = bytes.fromhex(manifest.leaf)
            index = places.get(leaf)
            if index is None:
                waiting += 1
                continue
            unclaimed.discard(leaf)
            if waiting or index < last_index:
                self.fail(Step.CHAIN, key, "is in the log before a link that precedes it")
            if not self.trust.covers(manifest.key, index):
                self.fail(Step.LOG, key, f"its key is not valid at index {index}")
            last_index = index
            seen = manifest.statement.seen
            if seen.size > index or self.roots.get(seen.size, b"").hex() != seen.root:
                self.fail(Step.LOG, key, f"claims a checkpoint of {seen.size} never published")
            if len(leaf_of(manifest.envelope, manifest.key.spki)) > 0xFFFF:
                self.fail(Step.LOG, key, "its entry is too long for a bundle")
        return waiting

    def _on_vault(self, key: str, manifest: Manifest, grants: GrantRoll) -> None:
        """Each link of the vault's own chain is read by itself, but for what grants give."""
        try:
            check_vault_link(manifest, grants)
        except UnsupportedError as error:
            self.findings.append(Finding(Step.CHAIN, key, Outcome.NOT_CHECKED, str(error)))
        except EvidenceError as error:
            self.fail(Step.CHAIN, key, str(error))

    def _is_logged(self, key: str, places: dict[bytes, int], data: bytes) -> bool:
        try:
            manifest = read_manifest(data, self.trust.keys, where=key)
        except EvidenceError:
            return False
        return bytes.fromhex(manifest.leaf) in places

    def strays(self) -> None:
        """Step 6."""
        if not self.store.traits.versions:
            return
        for prefix in (layout.CHAINS, "log/"):
            for key, words in strays(self.store.versions(prefix)):
                self.fail(Step.STORE, key, words)
        self.conclude(Step.STORE, "nothing lies over what is written once")

    def since(self, since: Checkpoint | None) -> None:
        """Step 5."""
        if since is None:
            return
        size = since.head.size
        if size > len(self.leaf_hashes):
            self.fail(
                Step.SEEN, "", f"an earlier checkpoint has {size} entries; this log has fewer"
            )
        elif self.roots.get(size) != since.head.root:
            self.fail(
                Step.SEEN, "", f"split view: the log of {size} entries had another root earlier"
            )
        else:
            detail = f"today's log extends the given checkpoint of {size:,}"
            self.findings.append(Finding(Step.SEEN, "", Outcome.PASSED, detail))

    def guard(self, step: Step, subject: str, check: Callable[[], None]) -> None:
        try:
            check()
        except EvidenceError as error:
            self.fail(step, subject, str(error))

    def fail(self, step: Step, subject: str, detail: str) -> None:
        self.findings.append(Finding(step, subject, Outcome.FAILED, detail))

    def conclude(self, step: Step, detail: str) -> None:
        failed = any(
            finding.step == step and finding.outcome == Outcome.FAILED for finding in self.findings
        )
        if not failed:
            self.findings.append(Finding(step, "", Outcome.PASSED, detail))


def _entries_are(data: bytes, leaf_hashes: Sequence[bytes]) -> bool:
    try:
        return [leaf_hash(entry) for entry in parse_entry_bundle(data)] == list(leaf_hashes)
    except ProofError:
        return False


def parse_entry_bundle(data: bytes) -> list[bytes]:
    """Split an entry bundle (tlog-tiles): big-endian 16-bit lengths. Raises `ProofError`."""
    entries, position = [], 0
    while position < len(data):
        size = int.from_bytes(data[position : position + 2], "big")
        entry = data[position + 2 : position + 2 + size]
        if position + 2 > len(data) or len(entry) != size:
            raise ProofError("an entry bundle ends within an entry")
        entries.append(entry)
        position += 2 + size
    return entries
