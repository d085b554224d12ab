"""The whole argument that a record was not altered, as numbered steps.

    1  package     the files are those of one bag, all listed, none besides
    2  signatures  every link is signed by a key that the trust file lists
    3  chain       links 0…n, each naming the one before; a bundle is closed by its export;
                   what was taken over from streams is as the manifests cited have it
    4  log         every link is in the signed log, in order, while its key was valid
    5  evidence    every exhibit included is, byte for byte, what was sealed
    6  pages       report, pages, profile and trust copy are those that the export binds
    7  checklist   on request: the completeness report recomputes (`verify.recompute`)
    8  seen        nothing seen before contradicts it
    9  witness     independent parties saw the same log
   10  time        a time authority dates it
   11  store       a vault's own store still protects what its chains demand; not for bundles
   12  collection  what collectors sealed first, off-line, was taken in as they signed it

Steps collect findings rather than stop at the first, so that one broken link never hides the
next. Nothing in the record chooses a key, an algorithm or a limit: they come with `Trust`.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import (
    BrokenExecutor,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
)
from functools import partial
from typing import Protocol

from verify import bundle as bundles
from verify.bundle import Bundle
from verify.chain import LinkChecker, Manifest, open_manifest, read_manifest
from verify.checkpoint import Checkpoint, check_same_log, open_checkpoint
from verify.collection import Collection, open_collection, signer_of
from verify.description import parse_description, safe_name
from verify.digest import check_hex, sha256_hex, unb64
from verify.envelope import ManifestKey, check_envelope, leaf_hash_of, pae, parse_envelope
from verify.errors import (
    ChainError,
    EvidenceError,
    MalformedError,
    SplitViewError,
    UnsupportedError,
)
from verify.export import Export, SealedFile, parse_export
from verify.incident import ChainState, Delivery, Exhibit, Incident, state_of
from verify.instant import format_instant
from verify.merkle import check_multi_inclusion
from verify.preserved import Citation, check_cited, check_restated, citations
from verify.report import Finding, Outcome, Report
from verify.seen import SeenBefore, SeenLink, bridge
from verify.statement import Assessment, Type, parse_assessment
from verify.trust import Step, Trust

BATCH = 256
BATCH_SIZE = 8 << 20
THREADED_BATCHES = 16
"""After so many batches of links a chain is long enough to pay for the start of processes."""

_Signed = tuple[int, bytes, bytes, bytes]
"""Sequence, public key, signature and payload of a link."""


class Record(Protocol):
    """What is audited: a bundle, or a vault's own store."""

    depth: str
    """How far evidence is read: bytes, checksums or structure."""

    def links(self) -> Iterator[tuple[int, bytes | EvidenceError]]:
        """Sequence and bytes of every link, in order, or why it cannot be read."""

    def checkpoint(self) -> bytes:
        """The signed head of the log."""

    def inclusion(self) -> tuple[int, list[int], list[str]]:
        """Tree size, every link's log index, and the hashes of one proof for all (base64)."""

    def cited(self, citation: Citation) -> bytes:
        """A stream's manifest that the chain cites. Raises `EvidenceError`."""

    def cited_inclusion(self, cited: Sequence[Citation]) -> tuple[int, list[int], list[str]]:
        """As `inclusion`, for the manifests cited, in the order given."""

    def content(self, exhibit: Exhibit) -> str:
        """SHA-256 of an exhibit's bytes, recomputed. Raises `EvidenceError`."""

    def description(self, exhibit: Exhibit) -> bytes:
        """An exhibit's description. Raises `EvidenceError`."""

    def document(self, exhibit: Exhibit) -> bytes:
        """The bytes of an exhibit that is read as a document. Raises `EvidenceError`."""

    def attested(self, exhibits: Sequence[Exhibit]) -> Iterable[Finding]:
        """What the store itself says of the objects behind exhibits; nothing for a bundle.

        Findings of the steps evidence and store. Raises `EvidenceError` if it cannot be asked.
        """


class BundleRecord:
    """A bundle as a record."""

    depth = "bytes"

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle

    def links(self) -> Iterator[tuple[int, bytes | EvidenceError]]:
        """The files below `data/chain/`."""
        for path in self.bundle.below(bundles.CHAIN):
            number = path.removeprefix(bundles.CHAIN).removesuffix(".json")
            if number.isascii() and number.isdigit() and bundles.link_path(int(number)) == path:
                try:
                    data: bytes | EvidenceError = self.bundle.read(path)
                except EvidenceError as error:
                    data = error
                yield int(number), data

    def checkpoint(self) -> bytes:
        """`proof/checkpoint`."""
        return self.bundle.read(bundles.CHECKPOINT)

    def inclusion(self) -> tuple[int, list[int], list[str]]:
        """`proof/inclusion.json`."""
        return bundles.parse_inclusion(self.bundle.read(bundles.INCLUSION))

    def cited(self, citation: Citation) -> bytes:
        """`streams/<name>/<sequence>.json`."""
        return self.bundle.read(bundles.cited_path(citation.chain, citation.sequence))

    def cited_inclusion(self, cited: Sequence[Citation]) -> tuple[int, list[int], list[str]]:
        """`proof/streams.json`, which says its order by itself."""
        del cited
        path = bundles.STREAM_INCLUSION
        return bundles.parse_inclusion(self.bundle.read(path), where=path)

    def content(self, exhibit: Exhibit) -> str:
        """The one file in the exhibit's folder."""
        path = self.evidence_path(exhibit.item.exhibit)
        if self.bundle.files[path] != exhibit.item.size:
            # A wrong size needs no hashing: a bomb is not unpacked to learn that it is one.
            raise MalformedError(
                f"sealed with {exhibit.item.size:,} bytes, found {self.bundle.files[path]:,}"
            )
        return self.bundle.digest(path)

    def description(self, exhibit: Exhibit) -> bytes:
        """`descriptions/<exhibit>.json`."""
        return self.bundle.read(f"{bundles.DESCRIPTIONS}{exhibit.item.exhibit}.json")

    def document(self, exhibit: Exhibit) -> bytes:
        """The one file in the exhibit's folder, whole."""
        return self.bundle.read(self.evidence_path(exhibit.item.exhibit))

    def attested(self, exhibits: Sequence[Exhibit]) -> Iterable[Finding]:
        """A bundle has no store that could say anything."""
        del exhibits
        return ()

    def evidence_path(self, name: str) -> str:
        """The path of an exhibit's bytes. Raises `MalformedError`."""
        found = list(self.bundle.below(f"{bundles.EVIDENCE}{name}/"))
        if len(found) != 1:
            raise MalformedError("absent" if not found else "several files in its folder")
        return found[0]


def audit(
    record: Record,
    trust: Trust,
    *,
    trusted: bool,
    seen: SeenBefore | None = None,
    head: int | None = None,
    exhibits: Sequence[str] | None = None,
    workers: int | None = None,
) -> Report:
    """Audit a record under a trust file.

    `trusted` says whether the trust file came from outside the record. `seen` holds earlier
    documents, `head` a link that the record must reach, `exhibits` limits step 5 to some. Never
    raises `EvidenceError`: what is wrong with the record is a finding.
    """
    return _Audit(record, trust, workers or os.cpu_count() or 1).run(trusted, seen, head, exhibits)


class _Audit:
    def __init__(self, record: Record, trust: Trust, workers: int) -> None:
        self.record = record
        self.bundle = record.bundle if isinstance(record, BundleRecord) else None
        self.trust = trust
        self.workers = workers
        self.findings: list[Finding] = []
        self.incident: ChainState | None = None
        """What the chain tells: an incident's state, or, in a store, a stream's."""
        self.folded = False
        self.sequences: list[int] = []
        self.leaves: list[str | None] = []
        self.signers: list[tuple[ManifestKey, int] | None] = []
        """Each link's key, and the size of the log it claims to have seen."""
        self.cited: dict[Citation, Manifest | None] = {}
        """The stream manifests that the chain cites; None where one could not be read."""
        self.assessments: dict[int, Assessment] = {}
        self.last: Manifest | None = None
        self.export: Export | None = None
        self.checkpoint: Checkpoint | None = None
        self.indices: list[int] = []
        self.checked = 0
        self.stepped_back: list[int] = []
        """Links recorded earlier, by the vault's clock, than the link before them."""

    def run(
        self,
        trusted: bool,
        seen: SeenBefore | None,
        head: int | None,
        exhibits: Sequence[str] | None,
    ) -> Report:
        self.package()
        self.signatures_and_chain(head)
        self.log()
        self.evidence(exhibits)
        self.pages()
        self.package_contents()
        self.seen(seen)
        self.witness()
        self.time()
        self.store()
        self.collections()
        order = list(Step)
        self.findings.sort(key=lambda finding: order.index(finding.step))
        return Report(
            incident=self.incident.id if self.incident else None,
            findings=tuple(self.findings),
            required=tuple(
                step
                for step in self.trust.required
                if self.bundle or step not in (Step.PACKAGE, Step.PAGES)
            )
            # Whoever gives earlier documents wants them held against the record.
            + ((Step.SEEN,) if seen is not None and Step.SEEN not in self.trust.required else ()),
            trusted=trusted,
            depth=self.record.depth,
            links=len(self.sequences),
            exhibits=self.checked,
            complete_to=self.complete_to(),
            notes=tuple(self.notes()),
        )

    # -- 1 ---------------------------------------------------------------------------------------

    def package(self) -> None:
        """The tag files are the four of our bags, and list every payload file and no other."""
        if self.bundle is None:
            return
        bundle = self.bundle
        tags = {path for path in bundle.files if not path.startswith(bundles.DATA)}
        for path in sorted(tags.symmetric_difference(bundles.TAG_FILES)):
            known = path in bundles.TAG_FILES
            self.fail(Step.PACKAGE, path, "is absent" if known else "does not belong in the bag")
        for name, prefix in (("manifest-sha256.txt", bundles.DATA), ("tagmanifest-sha256.txt", "")):
            self.guard(Step.PACKAGE, name, partial(self._bag, name, prefix))
        self.guard(Step.PACKAGE, "bagit.txt", self._bag_declaration)

    def _bag(self, name: str, prefix: str) -> None:
        assert self.bundle is not None
        listed = bundles.read_bag_manifest(self.bundle, name)
        if prefix:
            there = set(self.bundle.below(prefix))
        else:
            there = {path for path in bundles.TAG_FILES if path != name} & set(self.bundle.files)
            for path in sorted(there & set(listed)):
                self.guard(Step.PACKAGE, path, partial(self._tag_file, path, listed[path], name))
        for path in sorted(there - set(listed)):
            self.fail(Step.PACKAGE, path, f"is not listed in {name}")
        for path in sorted(set(listed) - there):
            self.fail(Step.PACKAGE, path, f"is listed in {name}, and absent")

    def _tag_file(self, path: str, digest: str, name: str) -> None:
        assert self.bundle is not None
        if sha256_hex(self.bundle.read(path)) != digest:
            raise MalformedError(f"is not as {name} lists it")

    def _bag_declaration(self) -> None:
        assert self.bundle is not None
        if self.bundle.read("bagit.txt") != bundles.BAGIT:
            raise MalformedError("declares another version or encoding than BagIt 1.0, UTF-8")

    def package_contents(self) -> None:
        """Step 1, concluded: the digests listed, and no file that no signed statement names."""
        if self.bundle is None:
            return
        bundle = self.bundle
        expected = self._expected()
        if expected is not None:
            for path in sorted(set(bundle.below(bundles.DATA)) - expected):
                self.fail(Step.PACKAGE, path, "is named by no signed statement")
            self.guard(Step.PACKAGE, "manifest-sha256.txt", lambda: self._bag_digests(expected))
        else:
            self.note(Step.PACKAGE, "the chain does not say which files belong here")
        self.guard(Step.PACKAGE, "bag-info.txt", self._bag_info)
        self.conclude(Step.PACKAGE, "every file listed, none besides")

    def _expected(self) -> set[str] | None:
        """The payload files that signed statements name; None while the chain is not understood."""
        if self.export is None or self.incident is None or self.bundle is None:
            return None
        expected = {bundles.link_path(sequence) for sequence in self.sequences}
        expected |= {bundles.CHECKPOINT, bundles.INCLUSION}
        if self.cited:
            expected.add(bundles.STREAM_INCLUSION)
            expected |= {bundles.cited_path(each.chain, each.sequence) for each in self.cited}
        expected |= {bundles.DATA + file.path for file in self.export.files}
        for name in self.export.included:
            expected.add(f"{bundles.DESCRIPTIONS}{name}.json")
            expected |= set(self.bundle.below(f"{bundles.EVIDENCE}{name}/"))
        return expected

    def _bag_digests(self, expected: set[str]) -> None:
        """What other steps refused or found wrong is not read again, and not reported twice."""
        assert self.bundle is not None
        name = "manifest-sha256.txt"
        listed = bundles.read_bag_manifest(self.bundle, name)
        unsound = {
            finding.subject.split(" ")[0]
            for finding in self.findings
            if finding.outcome == Outcome.FAILED
        }
        for path in sorted(expected & set(listed)):
            exhibit = path.removeprefix(bundles.EVIDENCE).split("/")[0]
            found = self.bundle.known_digest(path)
            if found not in (None, listed[path]) and unsound.isdisjoint((path, exhibit)):
                self.fail(Step.PACKAGE, path, f"is not as {name} lists it")

    def _bag_info(self) -> None:
        assert self.bundle is not None
        if self.last is None:
            raise MalformedError("no link says what it should hold")
        moment = format_instant(self.last.statement.recorded_at)
        sizes = [self.bundle.files[path] for path in self.bundle.below(bundles.DATA)]
        chain = self.last.statement.link.chain
        if self.bundle.read("bag-info.txt") != bundles.bag_info(
            incident=chain, day=moment[:10], payload=sizes
        ):
            raise MalformedError("does not describe this bag")

    # -- 2 and 3 ---------------------------------------------------------------------------------

    def signatures_and_chain(self, head: int | None) -> None:
        """Read every link once; signatures are checked beside, on other threads."""
        checker: LinkChecker | None = None
        with _SignatureChecks(self.workers) as signatures:
            for sequence, data in self.record.links():
                where = f"link {sequence}"
                self._gap(sequence)
                self.sequences.append(sequence)
                try:
                    if isinstance(data, EvidenceError):
                        raise data
                    manifest = read_manifest(data, self.trust.keys, where=where)
                except EvidenceError as error:
                    leaf = self._unread(data, error, where)
                    if checker:
                        checker.skip(sequence, leaf)
                    self.folded = self.folded or self.incident is not None
                    continue
                signatures.add(sequence, manifest)
                chain = manifest.statement.link.chain
                checker = checker or LinkChecker(chain=chain, log=self.trust.origin)
                self._take(manifest, checker, where)
            for sequence, detail in signatures.failures():
                self.fail(Step.SIGNATURES, f"link {sequence}", detail)
            if signatures.broken:
                self.note(Step.SIGNATURES, "a process that checked them was ended; run it again")
        if not self.sequences:
            self.fail(Step.CHAIN, "", "there is no link at all")
        self._close(head)
        restated = self._restated()
        count = len(self.sequences)
        keys = "key" if len(self.trust.keys) == 1 else "keys"
        self.conclude(Step.SIGNATURES, f"{count:,} of {count:,} by the {keys} in the trust file")
        closed = ", closed by the export" if self.export else ""
        self.conclude(Step.CHAIN, f"links 0-{count - 1} unbroken{closed}{restated}")

    def _restated(self) -> str:
        """Hold what was taken over from streams against the manifests cited; says how much."""
        cited = citations(self.incident) if self.incident else {}
        for citation, exhibits in cited.items():
            self.cited[citation] = None
            try:
                data = self.record.cited(citation)
                manifest = open_manifest(data, self.trust.keys, where=citation.name)
            except EvidenceError as error:
                self.fail(Step.SIGNATURES, citation.name, _without(error, citation.name))
                continue
            self.cited[citation] = manifest
            try:
                capture = check_cited(citation, manifest, log=self.trust.origin)
            except EvidenceError as error:
                self.fail(Step.CHAIN, citation.name, _without(error, citation.name))
                continue
            items = {item.exhibit: item for item in capture.items}
            for exhibit in exhibits:
                check = partial(check_restated, exhibit, manifest, capture, items)
                self.guard(Step.CHAIN, exhibit.item.exhibit, check)
        if not cited:
            return ""
        count = sum(map(len, cited.values()))
        streams = ", ".join(dict.fromkeys(each.chain for each in cited))
        return f"; {count:,} of its exhibits as {streams} sealed them"

    def _unread(self, data: bytes | EvidenceError, error: EvidenceError, where: str) -> str | None:
        """A link that cannot be read failed, unless a trusted key signed what is unknown here.

        Returns its leaf hash in the second case: the links behind it can still be judged.
        """
        detail = _without(error, where)
        if isinstance(error, UnsupportedError) and isinstance(data, bytes):
            try:
                envelope = parse_envelope(data, where=where)
                key = check_envelope(envelope, self.trust.keys)
            except EvidenceError as worse:
                detail = _without(worse, where)
            else:
                self.note(Step.CHAIN, f"{where}: {detail}: sealed by a later version")
                self.leaves.append(leaf_hash_of(envelope, key.spki).hex())
                self.signers.append((key, 0))
                return self.leaves[-1]
        self.fail(Step.SIGNATURES, where, detail)
        self.leaves.append(None)
        self.signers.append(None)
        return None

    def _gap(self, sequence: int) -> None:
        expected = self.sequences[-1] + 1 if self.sequences else 0
        for absent in range(expected, min(sequence, expected + 3)):
            self.fail(Step.CHAIN, f"link {absent}", "is absent")

    def _take(self, manifest: Manifest, checker: LinkChecker, where: str) -> None:
        self.leaves.append(manifest.leaf)
        self.signers.append((manifest.key, manifest.statement.seen.size))
        before, self.last = self.last, manifest
        if before and manifest.statement.recorded_at < before.statement.recorded_at:
            self.stepped_back.append(manifest.statement.link.sequence)
        try:
            checker.take(manifest)
        except EvidenceError as error:
            self.fail(Step.CHAIN, where, str(error))
        statement = manifest.statement
        if self.incident is None:
            self.incident = state_of(statement.link.chain)
        if self.folded:
            return
        try:
            self.incident.apply(manifest)
            if statement.type == Type.ASSESSMENT:
                assessment = parse_assessment(statement.body, where=where)
                self.assessments[statement.link.sequence] = assessment
                if assessment.head_leaf != self.leaves[assessment.head_sequence]:
                    raise ChainError("assesses another history than this chain")
        except UnsupportedError as error:
            self.note(Step.CHAIN, f"{_without(error, manifest.name)}: sealed by a later version")
            self.folded = True
        except EvidenceError as error:
            # What a link means cannot be told apart from there on; its signature still can.
            self.fail(Step.CHAIN, where, _without(error, manifest.name))
            self.folded = True

    def _close(self, head: int | None) -> None:
        last = self.sequences[-1] if self.sequences else -1
        if head is not None and last < head:
            self.fail(Step.CHAIN, "", f"ends at link {last}, before link {head}")
        if self.incident and self.incident.unfinished and not self.folded:
            self.fail(Step.CHAIN, f"link {last}", "a capture in parts ends before its last part")
        if self.bundle is None or self.last is None:
            return
        if self.signers[-1] is None:
            self.fail(Step.CHAIN, f"link {last}", "a bundle ends with its export; this is unread")
            return
        if self.last.statement.type != Type.EXPORT:
            self.fail(Step.CHAIN, f"link {last}", "a bundle ends with its export; this is none")
            return
        try:
            self.export = parse_export(self.last.statement.body, where=f"link {last}")
        except EvidenceError as error:
            self.fail(Step.CHAIN, f"link {last}", str(error))

    # -- 4 ---------------------------------------------------------------------------------------

    def log(self) -> None:
        """Every link's rebuilt leaf is under the signed root, at rising indices."""
        self.guard(Step.LOG, "", self._log)
        size = self.checkpoint.head.size if self.checkpoint else 0
        count = len(self.sequences)
        links = "link" if len(self.cited) == 1 else "links"
        cited = f"; {len(self.cited):,} cited {links} too" if self.cited else ""
        self.conclude(
            Step.LOG,
            f"{count:,} of {count:,} included in a signed tree of {size:,}, in order{cited}",
        )

    def _log(self) -> None:
        self.checkpoint = open_checkpoint(self.record.checkpoint(), self.trust.log)
        size, indices, hashes = self.record.inclusion()
        if size != self.checkpoint.head.size:
            raise MalformedError(
                f"the proof is for a tree of {size}, the checkpoint of {self.checkpoint.head.size}"
            )
        if len(indices) != len(self.leaves):
            raise MalformedError(f"{len(indices)} indices for {len(self.leaves)} links")
        if None in self.leaves:
            raise MalformedError("a link could not be read, so its leaf cannot be rebuilt")
        check_multi_inclusion(
            [unb64(each, where="inclusion proof", size=32) for each in hashes],
            leaves=[
                (index, bytes.fromhex(leaf))
                for index, leaf in zip(indices, self.leaves, strict=True)
                if leaf is not None
            ],
            head=self.checkpoint.head,
        )
        self.indices = indices  # proven: until here they were anybody's
        for sequence, index, signer in zip(self.sequences, indices, self.signers, strict=True):
            if signer is None:
                continue
            key, seen_size = signer
            if not self.trust.covers(key, index):
                self.fail(Step.LOG, f"link {sequence}", f"its key is not valid at index {index}")
            if seen_size > index:
                self.fail(Step.LOG, f"link {sequence}", "claims to have seen its own future")
        if self.cited:
            self.guard(Step.LOG, bundles.STREAM_INCLUSION, self._log_cited)

    def _log_cited(self) -> None:
        """The manifests cited are under the same root, each before the link that cites it."""
        assert self.checkpoint is not None
        assert self.incident is not None
        size, indices, hashes = self.record.cited_inclusion(tuple(self.cited))
        if size != self.checkpoint.head.size:
            raise MalformedError(
                f"the proof is for a tree of {size}, the checkpoint of {self.checkpoint.head.size}"
            )
        if len(indices) != len(self.cited):
            raise MalformedError(f"{len(indices)} indices for {len(self.cited)} links cited")
        placed = list(zip(indices, self.cited.values(), strict=True))
        if any(manifest is None for _, manifest in placed):
            raise MalformedError("a link cited could not be read, so its leaf cannot be rebuilt")
        check_multi_inclusion(
            [unb64(each, where="inclusion proof", size=32) for each in hashes],
            leaves=sorted((at, bytes.fromhex(each.leaf)) for at, each in placed if each),
            head=self.checkpoint.head,
        )
        exhibits = citations(self.incident)
        for index, (citation, manifest) in zip(indices, self.cited.items(), strict=True):
            if manifest and not self.trust.covers(manifest.key, index):
                self.fail(Step.LOG, citation.name, f"its key is not valid at index {index}")
            if manifest and manifest.statement.seen.size > index:
                self.fail(Step.LOG, citation.name, "claims to have seen its own future")
            for exhibit in exhibits[citation]:
                at = bisect_left(self.sequences, exhibit.sequence)
                if self.indices[at] <= index:
                    self.fail(
                        Step.LOG, exhibit.item.exhibit, f"cites {citation.name} before it was"
                    )

    # -- 5 ---------------------------------------------------------------------------------------

    def evidence(self, exhibits: Sequence[str] | None) -> None:
        """Recompute digests, several exhibits at a time."""
        if self.incident is None or (self.bundle is not None and self.export is None):
            self.note(Step.EVIDENCE, "the chain does not say what the evidence is")
            return
        if self.record.depth == "structure":
            self.note(Step.EVIDENCE, "not read again at depth structure")
            return
        named = self.export.included if self.export else tuple(self.incident.exhibits)
        if exhibits is not None:
            named = tuple(name for name in named if name in exhibits)
        known = [self.incident.exhibits[name] for name in named if name in self.incident.exhibits]
        self._attested(known)
        if self.record.depth == "bytes":
            with ThreadPoolExecutor(self.workers) as pool:
                for failures in pool.map(self._check_exhibit, known):
                    self.findings.extend(failures)
        self.checked = len(known)
        if len(known) < len(named):
            lost = len(named) - len(known)
            self.note(Step.EVIDENCE, f"{lost:,} stand on links that could not be followed")
        withheld = len(self.export.withheld) if self.export else 0
        more = f"; {withheld} withheld, by signed statement" if withheld else ""
        done = (
            "digests recomputed" if self.record.depth == "bytes" else "exhibits attested_by_store"
        )
        self.conclude(Step.EVIDENCE, f"{len(known):,} of {len(known):,} {done}{more}")

    def _attested(self, known: Sequence[Exhibit]) -> None:
        """Ask the store; what it says is its own word, and never that the bytes are the same."""
        try:
            self.findings.extend(self.record.attested(known))
        except EvidenceError as error:
            step = Step.EVIDENCE if self.record.depth == "checksums" else Step.STORE
            self.note(step, f"the store cannot be asked: {error}")

    def _check_exhibit(self, exhibit: Exhibit) -> list[Finding]:
        name, item = exhibit.item.exhibit, exhibit.item
        failures: list[Finding] = []
        shown = name
        try:
            data = self.record.description(exhibit)
            if sha256_hex(data) != item.description.sha256:
                raise MalformedError(_mismatch(item.description.sha256, sha256_hex(data)))
            shown = f"{name} {safe_name(parse_description(data, where=name).name)}"
        except EvidenceError as error:
            failures.append(_failed(Step.EVIDENCE, f"{name} description", str(error)))
        try:
            found = self.record.content(exhibit)
            if found != item.sha256:
                raise MalformedError(_mismatch(item.sha256, found))
            if isinstance(self.record, BundleRecord) and not failures:
                path = self.record.evidence_path(name)
                if path != f"{bundles.EVIDENCE}{shown.replace(' ', '/')}":
                    raise MalformedError("its file has another name than the one sealed")
        except EvidenceError as error:
            failures.append(_failed(Step.EVIDENCE, shown, str(error)))
        return failures

    # -- 6 ---------------------------------------------------------------------------------------

    def pages(self) -> None:
        """What the export binds by digest, and what the assessment does."""
        if self.bundle is None:
            return
        if self.export is None:
            self.note(Step.PAGES, "no export says what the pages are")
            return
        export = self.export
        listed = {bundles.DATA + file.path: file for file in export.files}
        for path, file in listed.items():
            self.guard(Step.PAGES, path, partial(self._page, path, file))
        assessment = self.assessments.get(export.assessment)
        bound = {bundles.TRUST: export.trust_sha256}
        if assessment is None and self.folded:
            self.note(Step.PAGES, "the chain could not be followed to its assessment")
        elif assessment is None:
            self.fail(Step.PAGES, bundles.COMPLETENESS, "no assessment on the chain stands for it")
        else:
            bound[bundles.COMPLETENESS] = assessment.report.sha256
            bound[bundles.PROFILE] = assessment.profile_sha256
        for path, digest in bound.items():
            if path not in listed or listed[path].sha256 != digest:
                self.fail(Step.PAGES, path, "two statements name two different digests")
        self.conclude(Step.PAGES, f"{len(listed)} of {len(listed)} as the export sealed them")

    def _page(self, path: str, file: SealedFile) -> None:
        assert self.bundle is not None
        if path not in self.bundle.files:
            raise MalformedError("is absent")
        if self.bundle.files[path] != file.size or self.bundle.digest(path) != file.sha256:
            raise MalformedError("is not what the export sealed")

    # -- 8, 9, 10, 11 ---------------------------------------------------------------------------

    def seen(self, seen: SeenBefore | None) -> None:
        """Earlier receipts, checkpoints and bundles agree with this record."""
        if seen is None:
            return
        if seen.links and not self.indices:
            self.note(Step.SEEN, "no link of this record is proven to be in the log")
        for link in seen.links if self.indices else ():
            self._seen_link(link)
        for source, checkpoint in seen.checkpoints:
            self._seen_checkpoint(source, checkpoint, seen)
        self.conclude(Step.SEEN, "agrees with everything given")

    def _seen_link(self, link: SeenLink) -> None:
        """One statement has one place in its chain and in the log, and one place one statement."""
        at = bisect_left(self.indices, link.index)
        if self.indices[at : at + 1] == [link.index]:
            # Leaf and index are proven by the log; chain and sequence are the document's word.
            if self.leaves[at] != link.leaf:
                self.fail(
                    Step.SEEN,
                    f"link {at}",
                    f"split view: {link.source} has link {link.sequence} of {link.chain} "
                    f"at log index {link.index}",
                )
        elif self.incident is not None and link.chain == self.incident.id:
            if link.sequence < len(self.leaves):
                self.fail(
                    Step.SEEN,
                    f"link {link.sequence}",
                    f"split view: {link.source} has it at log index {link.index}",
                )
            else:
                self.note(
                    Step.SEEN,
                    f"{link.source} knows link {link.sequence}; this record ends before it",
                )

    def _seen_checkpoint(self, source: str, theirs: Checkpoint, seen: SeenBefore) -> None:
        if self.checkpoint is None:
            self.note(Step.SEEN, f"{source}: this record has no believable checkpoint")
            return
        try:
            if check_same_log(self.checkpoint, theirs):
                return
        except SplitViewError as error:
            self.fail(Step.SEEN, source, str(error))
            return
        joined = bridge(self.checkpoint, theirs, seen.proofs)
        sizes = sorted((self.checkpoint.head.size, theirs.head.size))
        if joined is None:
            self.note(
                Step.SEEN,
                f"{source}: give also the output of: evault log proof "
                f"--from {sizes[0]} --to {sizes[1]}",
            )
        elif not joined:
            self.fail(Step.SEEN, source, f"no proof leads from its tree of {theirs.head.size}")

    def witness(self) -> None:
        """Cosignatures are not read by this version."""
        if self.trust.witness_policy is not None or Step.WITNESS in self.trust.required:
            self.note(Step.WITNESS, "cosignatures are not read by this version")
        elif self.checkpoint and len(self.checkpoint.note.signatures) > 1:
            others = len(self.checkpoint.note.signatures) - 1
            self.note(Step.WITNESS, f"signatures of others on the checkpoint, not read: {others}")

    def time(self) -> None:
        """Time-stamp tokens are not read by this version."""
        if self.trust.timestamp_certificates:
            self.note(Step.TIME, "time-stamp tokens are not read by this version")
        else:
            self.note(Step.TIME, "no time authority: times are the vault's own word")

    def store(self) -> None:
        """What a store says of its locks is heard beside step 5; a bundle has no store."""
        if self.bundle is not None and Step.STORE in self.trust.required:
            self.note(Step.STORE, "a bundle has no store; only the vault itself can look at it")

    # -- 12 --------------------------------------------------------------------------------------

    def collections(self) -> None:
        """A collector's own signature covers what the vault says that it delivered."""
        deliveries = self.incident.deliveries if self.incident else []
        if not deliveries:
            if Step.COLLECTION in self.trust.required:
                self.conclude(Step.COLLECTION, "nothing was delivered from a spool")
            return
        if self.record.depth != "bytes":
            self.note(Step.COLLECTION, f"not read at depth {self.record.depth}")
            return
        unverified: list[str] = []
        withheld: list[str] = []
        for delivery in deliveries:
            name = delivery.delivered.exhibit
            if self.export and name not in self.export.included:
                withheld.append(name)
            else:
                self.guard(Step.COLLECTION, name, partial(self._collection, delivery, unverified))
        self._spool_order(deliveries)
        if unverified:
            self.note(
                Step.COLLECTION,
                f"{len(unverified)} of {len(deliveries)} unverified: signed by keys that the trust "
                f"file does not list as collectors' ({', '.join(unverified[:3])})",
            )
        if withheld:
            self.note(Step.COLLECTION, f"withheld: {', '.join(withheld[:3])}")
        if self.folded:
            self.note(Step.COLLECTION, "the chain could not be followed to its end")
        count = len(deliveries)
        self.conclude(Step.COLLECTION, f"{count:,} of {count:,} taken in as collectors signed them")

    def _collection(self, delivery: Delivery, unverified: list[str]) -> None:
        assert self.incident is not None
        name = delivery.delivered.exhibit
        exhibit = self.incident.exhibits[name]
        data = self.record.document(exhibit)
        if sha256_hex(data) != exhibit.item.sha256:
            raise MalformedError(_mismatch(exhibit.item.sha256, sha256_hex(data)))
        keys = self.trust.collector_keys
        if signer_of(data, where=name) not in {key.key_id for key in keys}:
            unverified.append(name)
            return
        signed = open_collection(data, keys, where=name)
        check_delivery(signed.collection, delivery, chain=self.incident.id)

    def _spool_order(self, deliveries: Sequence[Delivery]) -> None:
        """On one chain a spool's numbers rise, and neighbours name each other."""
        assert self.incident is not None
        last: dict[str, Delivery] = {}
        for delivery in deliveries:
            told = delivery.delivered
            before = last.get(told.spool)
            last[told.spool] = delivery
            if before is None:
                continue
            if told.number <= before.delivered.number:
                self.fail(
                    Step.COLLECTION,
                    told.exhibit,
                    f"entry {told.number} of spool {told.spool} comes after its entry "
                    f"{before.delivered.number}: its numbers were used twice, or reordered",
                )
            elif told.number == before.delivered.number + 1:
                known = self.incident.exhibits[before.delivered.exhibit].item.sha256
                if told.previous != known:
                    self.fail(
                        Step.COLLECTION,
                        told.exhibit,
                        f"entry {told.number} of spool {told.spool} continues another entry "
                        f"{before.delivered.number} than the one on this chain",
                    )

    # -- what it all amounts to ------------------------------------------------------------------

    def complete_to(self) -> str:
        """How far the record goes: never "as of now"."""
        if self.last is None:
            return "nothing"
        link = self.last.statement.link
        moment = format_instant(self.last.statement.recorded_at)
        if self.export:
            return (
                f"complete to link {link.sequence}, when exported ({moment} by the vault's clock)"
            )
        return f"links 0-{link.sequence}, the last recorded {moment} by the vault's clock"

    def notes(self) -> Iterator[str]:
        """What a reader must know besides."""
        # Not what the trust file names, but what was checked, takes this back.
        if all(
            finding.outcome != Outcome.PASSED
            for finding in self.findings
            if finding.step in (Step.WITNESS, Step.TIME)
        ):
            yield (
                "no witness and no time authority: whoever held the vault's keys could have "
                "written this history anew before handing it over"
            )
        released, signed_in = self._releases()
        if released:
            yield (
                f"who approved the release of a hold ({_links(released)}) is the word of who asked "
                "for it: attested, not authenticated"
            )
        if self.cited:
            streams = ", ".join(dict.fromkeys(each.chain for each in self.cited))
            yield f"of {streams} only the links cited are here; nothing is said of the rest"
        if isinstance(self.incident, Incident):
            approvals = [
                *((each.sequence, each.approval) for each in self.incident.attestations),
                *((each.sequence, each.approval) for each in self.incident.waivers.values()),
            ]
            attested = sorted(link for link, given in approvals if given and given.attested)
            signed_in += [link for link, given in approvals if given and not given.attested]
            signed_in += self.incident.approved_exports
            if attested:
                yield (
                    f"who approved a waiver or an attestation ({_links(attested)}) is the word of "
                    "who recorded it: attested, not authenticated"
                )
        if signed_in:
            yield (
                f"who approved in {_links(sorted(signed_in))} was authenticated by the vault: its "
                "own word, as that of who asked"
            )
        yield from self._absent_entries()
        if self.stepped_back:
            shown = ", ".join(str(each) for each in self.stepped_back[:5])
            more = ", and more" if len(self.stepped_back) > 5 else ""
            yield f"the vault's clock had stepped back at link {shown}{more}"
        if self.export and self.export.trust_sha256 != self.trust.sha256:
            yield "the trust file given is not the one that the bundle carries a copy of"

    def _releases(self) -> tuple[list[int], list[int]]:
        """The links that released holds: by an attested approval, and by an authenticated one."""
        attested: list[int] = []
        signed_in: list[int] = []
        for hold in self.incident.holds if self.incident else ():
            said, link = hold.released_by, hold.released_sequence
            if said and said.approval and link is not None:
                (attested if said.approval.attested else signed_in).append(link)
        return attested, signed_in

    def _absent_entries(self) -> Iterator[str]:
        """Entries of a spool between those delivered here: nobody here knows where they are."""
        numbers: dict[str, list[int]] = {}
        for delivery in self.incident.deliveries if self.incident else ():
            numbers.setdefault(delivery.delivered.spool, []).append(delivery.delivered.number)
        for spool, here in numbers.items():
            known = sorted(set(here))
            absent = [
                f"{one + 1}" if one + 2 == other else f"{one + 1}-{other - 1}"
                for one, other in itertools.pairwise(known)
                if other > one + 1
            ]
            if absent:
                more = ", and more" if len(absent) > 5 else ""
                yield (
                    f"of spool {spool}, entries {', '.join(absent[:5])}{more} are not on this "
                    "chain: for other chains, delivered or not, or set aside"
                )

    def guard(self, step: Step, subject: str, check: Callable[[], None]) -> None:
        """Run a check; what it raises is a finding."""
        try:
            check()
        except EvidenceError as error:
            self.fail(step, subject, str(error))

    def fail(self, step: Step, subject: str, detail: str) -> None:
        self.findings.append(_failed(step, subject, detail))

    def note(self, step: Step, detail: str) -> None:
        self.findings.append(Finding(step, "", Outcome.NOT_CHECKED, detail))

    def conclude(self, step: Step, detail: str) -> None:
        """Say that a step passed, unless something in it did not."""
        if all(finding.step != step for finding in self.findings):
            self.findings.append(Finding(step, "", Outcome.PASSED, detail))


def check_delivery(collection: Collection, delivery: Delivery, *, chain: str) -> None:
    """Raise `ChainError` unless a capture says of a collection what its collector signed."""
    told, captures = delivery.delivered, delivery.captures
    place = (collection.spool, collection.number, collection.previous)
    if place != (told.spool, told.number, told.previous):
        raise ChainError("the collector signed another place in its spool")
    if collection.destination != chain:
        raise ChainError(f"the collector meant it for {collection.destination}")
    first = captures[0]
    if (first.system, first.source, first.method, first.collector) != (
        collection.system,
        collection.source,
        collection.method,
        collection.collector,
    ):
        raise ChainError("the collector signed another source, method or collector")
    items = delivery.items
    if len(items) != len(collection.items):
        raise ChainError(f"the collector signed {len(collection.items)} items, not {len(items)}")
    for item, signed in zip(items, collection.items, strict=True):
        if (item.sha256, item.size, item.kinds) != (signed.sha256, signed.size, signed.kinds):
            raise ChainError(f"{item.exhibit} is not the item that the collector signed")
        described = signed.description
        if (item.description.sha256, item.description.size) != (described.sha256, described.size):
            raise ChainError(f"the description of {item.exhibit} is not the one signed")
    missing = [capture.not_captured_list for capture in captures if capture.not_captured_list]
    listed = collection.not_captured_list
    if sum(capture.not_captured for capture in captures) != collection.not_captured or [
        (each.sha256, each.size) for each in missing
    ] != ([(listed.sha256, listed.size)] if listed else []):
        raise ChainError("the collector signed another list of what was not captured")


class _SignatureChecks:
    """Checks signatures beside the reading of links: on threads, and for long chains on processes.

    P-256 leaves the interpreter lock alone for most of its time, but a thread that has to win it
    back from the reading one for each signature gets little done; another process does.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._pool: Executor = ThreadPoolExecutor(workers)
        self._batch: list[_Signed] = []
        self._size = 0
        self._jobs: list[Future[list[tuple[int, str]]]] = []
        self._broken = False

    def __enter__(self) -> _SignatureChecks:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def add(self, sequence: int, manifest: Manifest) -> None:
        """Take a link's signature; returns before it is checked."""
        envelope = manifest.envelope
        self._batch.append((sequence, manifest.key.spki, envelope.signature, envelope.payload))
        self._size += len(envelope.payload)
        if len(self._batch) == BATCH or self._size >= BATCH_SIZE:
            self._submit()

    def failures(self) -> list[tuple[int, str]]:
        """Wait for all; sequence and reason of each that does not verify."""
        self._submit()
        return [failure for job in self._jobs for failure in self._result(job)]

    @property
    def broken(self) -> bool:
        """Whether a helper process died, so that signatures are left unchecked."""
        return self._broken

    def _submit(self) -> None:
        if len(self._jobs) == THREADED_BATCHES and self._workers > 1:
            self._grow()
        try:
            self._jobs.append(self._pool.submit(_check_signatures, self._batch))
        except BrokenExecutor:
            self._broken = True
        self._batch, self._size = [], 0
        if len(self._jobs) > 2 * self._workers:
            # Waiting here keeps memory flat however long the chain.
            self._result(self._jobs[-1 - 2 * self._workers])

    def _result(self, job: Future[list[tuple[int, str]]]) -> list[tuple[int, str]]:
        try:
            return job.result()
        except BrokenExecutor:
            self._broken = True
            return []

    def _grow(self) -> None:
        """Go on with processes, where the system lets us have them."""
        try:
            pool = ProcessPoolExecutor(self._workers, multiprocessing.get_context("spawn"))
            pool.submit(_check_signatures, ()).result()
        except (OSError, NotImplementedError, BrokenExecutor):
            return
        self._pool.shutdown()
        self._pool = pool


def _check_signatures(batch: Sequence[_Signed]) -> list[tuple[int, str]]:
    keys = {spki: ManifestKey(spki) for spki in {each[1] for each in batch}}
    failures = []
    for sequence, spki, signature, payload in batch:
        try:
            keys[spki].check(signature, pae(payload))
        except EvidenceError as error:
            failures.append((sequence, str(error)))
    return failures


def _links(sequences: Sequence[int]) -> str:
    """`link 3, 7`: the first five."""
    more = ", and more" if len(sequences) > 5 else ""
    return f"link {', '.join(map(str, sequences[:5]))}{more}"


def _failed(step: Step, subject: str, detail: str) -> Finding:
    return Finding(step, subject, Outcome.FAILED, detail)


def _mismatch(sealed: str, found: str) -> str:
    check_hex(sealed, where="sealed digest")
    return f"sealed {sealed}\nfound  {found}"


def _without(error: EvidenceError, where: str) -> str:
    return str(error).removeprefix(f"{where}: ").removeprefix(f"{where}.")
