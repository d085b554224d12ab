"""Bundles of an evidence vault, as `evault export` writes them: audited, their verdict as facts.

The audit is `verify.audit` under the bundle's own copy of its trust file, so that it is at most
inconclusive as a whole: nobody from outside has said whom to believe. Each step that passed or
failed is a verdict too, and each thing that failed, by name. What another vault's exhibits say is
not read; they are sealed in the bundle.

An audit has to go back and forth in the file, so that this parser, alone of all, puts a copy of the
item on disk, and removes it. A bundle of more than `MOST` bytes is not audited, and where there is
no room for the copy that is said without claiming anything.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, BinaryIO

from ingest.parsers.bounded import clip, counted
from ingest.parsers.gathering import Gathered
from ingest.parsers.parser import Confidence, Reading
from ingest.parsers.records import read_fully
from verify.audit import BundleRecord, audit
from verify.bundle import TRUST, Bundle, open_bundle
from verify.chain import read_manifest
from verify.errors import EvidenceError
from verify.facts import Config, Facts, Verdict
from verify.instant import format_instant
from verify.report import Outcome, Report
from verify.trust import Step, Trust, parse_trust

MOST = 4 << 30
"""The longest bundle that is audited."""

RATIO = 20
"""How many times its size a bundle may unpack to, if that is more than `MOST`."""

_PIECE = 1 << 20
_LABEL = "evidence vault bundle"
_ZIP = b"PK\x03\x04"
_BAG = re.compile(rb"(?:/|[^\x20-\x7e])bagit\.txt")
_VAULT = re.compile(rb"data/(?:VERIFY\.md|chain/00000000\.json)")
_RESULTS = {Outcome.PASSED: "passed", Outcome.FAILED: "failed", Outcome.NOT_CHECKED: "inconclusive"}


class EvaultBundleParser:
    """Audits a bundle."""

    name = "evault-bundle"
    version = 1
    kinds = ("reference",)
    whole = True

    def detect(self, head: bytes, name: str) -> Confidence:
        """Certain where a zip begins like a bag of ours."""
        del name
        ours = head.startswith(_ZIP) and _BAG.search(head) and _VAULT.search(head)
        return Confidence.CERTAIN if ours else Confidence.NONE

    def read(self, stream: BinaryIO, name: str) -> Reading:
        """Copy the bundle and audit the copy."""
        del name
        try:
            with tempfile.NamedTemporaryFile(prefix="evault-bundle-") as copy:
                if not _copied(stream, copy):
                    return self._unread(
                        "inconclusive", f"larger than {MOST >> 30} GiB: not audited"
                    )
                return self._audited(Path(copy.name), copy.tell())
        except _NoRoomError as error:
            # Version 0: these are no facts of the parser; elsewhere there may be room.
            facts = Facts(self.name, 0, self.name, problems=(clip(f"not audited: {error}"),))
            return Reading(facts, self.kinds, _LABEL, "not audited: no room for a copy")

    def _audited(self, path: Path, size: int) -> Reading:
        try:
            with open_bundle(path) as bundle:
                if sum(bundle.files.values()) > max(MOST, RATIO * size):
                    return self._unread(
                        "inconclusive", "unpacks to far more than it is: not audited"
                    )
                trust = parse_trust(bundle.read(TRUST), where=TRUST)
                record = _Links(bundle, trust)
                report = audit(record, trust, trusted=False, workers=1)
                return self._reading(report, trust, record)
        except EvidenceError:
            return self._unread("failed", "not an intact bundle, or without a trust file")

    def _reading(self, report: Report, trust: Trust, record: _Links) -> Reading:
        gathered = record.gathered
        incident = clip(report.incident) if report.incident else None
        gathered.keep(Config("trust", trust.origin, None, trust.sha256))
        gathered.keep(Verdict("audit", report.verdict.value, incident))
        for step in Step:
            outcome = report.outcome_of(step)
            if outcome is not Outcome.NOT_CHECKED:
                gathered.keep(Verdict(f"audit: {step.value}", _RESULTS[outcome], incident))
        for failure in report.failures():
            if failure.subject:
                named = clip(failure.subject)
                gathered.keep(Verdict(f"audit: {failure.step.value}", "failed", named))
        gathered.add("runs", incident)
        gathered.problem("judged by its own copy of the keys: compare the trust file's digest")
        failed = {failure.step.value: None for failure in report.failures()}
        told = f"failed: {', '.join(failed)}" if failed else "nothing failed"
        links = f"{counted(report.links, 'link')}, {counted(report.exhibits, 'exhibit')}"
        facts = gathered.facts(self)
        return Reading(facts, self.kinds, _LABEL, f"{incident or 'no incident'}: {links}; {told}")

    def _unread(self, result: str, reason: str) -> Reading:
        gathered = Gathered()
        gathered.keep(Verdict("audit", result))
        gathered.problem(reason)
        return Reading(gathered.facts(self), self.kinds, _LABEL, reason)


class _NoRoomError(Exception):
    """The copy cannot be written."""


class _Links(BundleRecord):
    """A bundle as a record, whose links are counted, with their times, as the audit reads them."""

    def __init__(self, bundle: Bundle, trust: Trust) -> None:
        super().__init__(bundle)
        self._trust = trust
        self.gathered = Gathered()

    def links(self) -> Iterator[tuple[int, bytes | EvidenceError]]:
        """The links, each noted on its way."""
        for sequence, data in super().links():
            self.gathered.record()
            if isinstance(data, bytes):
                try:
                    manifest = read_manifest(data, self._trust.keys, where="link")
                    self.gathered.time(format_instant(manifest.statement.recorded_at))
                except EvidenceError:
                    pass  # the audit finds out, and says so
            yield sequence, data


def _copied(stream: BinaryIO, copy: IO[bytes]) -> bool:
    """Copy the item; False if it is longer than that. Raises `_NoRoomError`."""
    size = 0
    while data := read_fully(stream, _PIECE):
        size += len(data)
        if size > MOST:
            return False
        try:
            copy.write(data)
        except OSError as error:
            raise _NoRoomError(error.strerror or "cannot be copied") from error
    try:
        copy.flush()
    except OSError as error:
        raise _NoRoomError(error.strerror or "cannot be copied") from error
    return True


PARSERS = (EvaultBundleParser(),)
