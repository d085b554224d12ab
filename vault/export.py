"""Exports: a bundle is a pure function of its export statement under the first checkpoint over it.

(1) seal an assessment; (2) render the pages over links 0…n-1 and bind them, with everything else
that the bundle will carry, in the export statement, link n; (3) only when that is kept, write the
first byte. Emitting the same link again gives the same bytes, or is refused.
"""

from __future__ import annotations

import os
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import IO

from vault import pages
from vault.changes import Changes, without_former_words
from vault.completeness import changes_since, last_sealed, report_of, seal_report
from vault.custody import CustodyRow, custody_rows, reading_rows
from vault.deposit import Draft, Receipt
from vault.errors import DepositConflictError, RefusedError, StaleHeadError, UnavailableError
from vault.evidence import content, side_document
from vault.incidents import Chain, Incidents
from vault.log import Log
from vault.ports import UNPROTECTED, Clock, ObjectStore
from vault.retention import Guard
from vault.timeline import timeline_csv, timeline_json, timeline_of
from vault.timeline_page import timeline_page
from vault.ulid import new_ulid
from verify import bundle as bundles
from verify import strictjson
from verify.approval import Approval, check_second_person
from verify.checklist import ENGINE
from verify.description import Description, parse_description, safe_name
from verify.digest import b64, digest_stream, sha256_hex
from verify.errors import EvidenceError, MalformedError
from verify.export import Export, SealedFile, Withheld, parse_export
from verify.incident import Exhibit, Incident
from verify.instant import format_instant
from verify.preserved import citations
from verify.profile import Profile
from verify.statement import Actor, Type, parse_assessment
from verify.strictjson import Fields, Object
from verify.trust import Trust

_ATTEMPTS = 5
_WRITE_BUFFER = 1 << 20
_COMPLETENESS_PAGE = "report/completeness.html"

Progress = Callable[[int], None]
"""Called with the number of evidence bytes just written."""


def _silent(_count: int) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Target:
    """Where a bundle goes, whether it is deflated, and who is told how far it is."""

    path: Path
    compress: bool = False
    progress: Progress = _silent


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An exhibit that a bundle does not hold: why, who decided it, and in which link."""

    exhibit: str
    reason: str
    actor: Actor
    sequence: int


@dataclass(frozen=True, slots=True)
class Exported:
    """A bundle that was written: its export's receipt, what it holds, and the file's digest."""

    receipt: Receipt | None
    sequence: int
    export: Export
    path: Path
    size: int
    sha256: str
    withheld: tuple[LeftOut, ...] = ()
    withdrawn: tuple[LeftOut, ...] = ()


def left_out(chain: Chain, export: Export) -> tuple[tuple[LeftOut, ...], tuple[LeftOut, ...]]:
    """What an export withheld, and apart from that what it left out because it was withdrawn.

    `chain` ends with the export.
    """
    by: dict[str, tuple[Actor, int]] = {}
    for manifest in chain.manifests:
        statement = manifest.statement
        if statement.type == Type.CUSTODY and statement.body.get("event") == "withdrawn":
            names = Fields(statement.body, manifest.name).texts("exhibits")
            by |= dict.fromkeys(names, (statement.actor, statement.link.sequence))
    last = chain.manifests[-1].statement
    withheld, withdrawn = [], []
    for each in export.withheld:
        reason = chain.incident.exhibits[each.exhibit].withdrawn
        if reason is not None and each.reason == f"withdrawn: {reason}":
            withdrawn.append(LeftOut(each.exhibit, reason, *by[each.exhibit]))
        else:
            withheld.append(LeftOut(each.exhibit, each.reason, last.actor, last.link.sequence))
    return tuple(withheld), tuple(withdrawn)


class Exporter:
    """Writes the bundles of one vault."""

    def __init__(
        self,
        *,
        incidents: Incidents,
        store: ObjectStore,
        log: Log,
        clock: Clock,
        trust: Trust,
        version: str,
        guard: Callable[[str], Guard] | None = None,
    ) -> None:
        """An exporter; `guard` says what evidence on a chain needs, and so do its reports."""
        self._incidents = incidents
        self._store = store
        self._log = log
        self._clock = clock
        self._trust = trust
        self._version = version
        self._guard = guard

    def export(
        self,
        incident_id: str,
        target: Target,
        *,
        profile: Profile,
        purpose: str,
        recipient: str | None,
        withheld: Mapping[str, str],
        approval: Approval | None = None,
        deposit: str | None = None,
    ) -> Exported:
        """Seal an assessment and an export statement, then write the bundle.

        `approval` is a second person's, whom the vault authenticated as it did who exports; without
        one it is made by one person alone. A `deposit` that was made before seals nothing: its
        bundle is written again. A failure after the statement is sealed is recorded on the chain,
        and raised.
        """
        check_target(target.path)
        receipt = self.seal(
            incident_id,
            profile=profile,
            purpose=purpose,
            recipient=recipient,
            withheld=withheld,
            approval=approval,
            deposit=deposit,
        )
        try:
            return self._emit(incident_id, receipt.sequence, target, receipt, profile)
        except BaseException as error:
            with suppress(EvidenceError):
                self._incidents.state(
                    incident_id,
                    Type.CUSTODY,
                    {
                        "event": "export_failed",
                        "export": receipt.sequence,
                        "reason": str(error)[:500] or type(error).__name__,
                    },
                )
            raise

    def seal(
        self,
        incident_id: str,
        *,
        profile: Profile,
        purpose: str,
        recipient: str | None,
        withheld: Mapping[str, str],
        approval: Approval | None = None,
        deposit: str | None = None,
    ) -> Receipt:
        """Seal an assessment and an export statement; its bundle is written by `emit_again`.

        Raises `DepositConflictError` for a deposit that was made before, with other words, and
        `RefusedError` for an approval that is no second person's.
        """
        if approval:
            _check_approval(self._incidents.actor, approval)
        said = purpose, recipient, dict(withheld)
        for _ in range(_ATTEMPTS):
            known = self._incidents.receipt_of(incident_id, deposit)
            if known is not None:
                self._check_same(incident_id, known, said)
                return known
            try:
                return self._seal(incident_id, profile, *said, approval, deposit)
            except StaleHeadError:
                continue
        raise StaleHeadError(f"others keep adding to {incident_id}; run the command again")

    def _check_same(
        self, incident_id: str, known: Receipt, said: tuple[str, str | None, dict[str, str]]
    ) -> None:
        purpose, recipient, withheld = said
        last = self._incidents.read(incident_id, up_to=known.sequence).manifests[-1].statement
        if last.type == Type.EXPORT and last.actor.id == self._incidents.actor.id:
            export = parse_export(last.body, where=f"{incident_id} link {known.sequence}")
            reasons = {each.exhibit: each.reason for each in export.withheld}
            if (export.purpose, export.recipient) == (purpose, recipient) and all(
                reasons.get(name) == reason for name, reason in withheld.items()
            ):
                return
        raise DepositConflictError(
            f"deposit {known.deposit} is link {known.sequence} of {incident_id} already, with "
            "other content; choose another deposit id"
        )

    def emit_again(
        self, incident_id: str, sequence: int, target: Target, *, profile: Profile
    ) -> Exported:
        """Write the bundle of an earlier export again, byte for byte. Raises `RefusedError`."""
        check_target(target.path)
        return self._emit(incident_id, sequence, target, None, profile)

    def _seal(
        self,
        incident_id: str,
        profile: Profile,
        purpose: str,
        recipient: str | None,
        withheld: Mapping[str, str],
        approval: Approval | None,
        deposit: str | None,
    ) -> Receipt:
        as_of = _to_milliseconds(self._clock())
        chain = self._incidents.read(incident_id)
        self._incidents.exhibits_named(chain, list(withheld))
        assessment = seal_report(
            incidents=self._incidents,
            store=self._store,
            clock=self._clock,
            chain=chain,
            profile=profile,
            report=report_of(self._incidents, chain, profile, as_of),
            as_of=as_of,
            protection=self._guard(incident_id).needs(()) if self._guard else UNPROTECTED,
        )
        chain = self._incidents.read(incident_id, up_to=assessment.sequence)
        reasons = {
            name: f"withdrawn: {exhibit.withdrawn}"
            for name, exhibit in chain.incident.exhibits.items()
            if exhibit.withdrawn is not None
        } | dict(withheld)
        export = Export(
            scope="incident",
            purpose=purpose,
            recipient=recipient,
            as_of=as_of,
            included=tuple(name for name in chain.incident.exhibits if name not in reasons),
            withheld=tuple(Withheld(name, reasons[name]) for name in sorted(reasons)),
            files=(),
            trust_sha256=self._trust.sha256,
            assessment=assessment.sequence,
            evault=self._version,
            approval=approval,
        )
        files = self._files(chain, export, profile.data)
        export = replace(
            export,
            files=tuple(
                SealedFile(name, sha256_hex(data), len(data)) for name, data in files.items()
            ),
        )
        deposit = deposit or f"export-{new_ulid(self._clock())}"
        draft = Draft(Type.EXPORT, export.to_json(), deposit, (chain.subject,))
        return self._incidents.deposit(incident_id, [draft], assessment.sequence)[0]

    def _files(self, before: Chain, export: Export, profile: bytes) -> dict[str, bytes]:
        """Everything that the export binds by digest; `before` is the chain up to link n-1."""
        incident = before.incident
        report = self._report(before, export)
        rows = custody_rows(before.manifests, before.indices)
        head = _page_head(incident, export, self._log.origin)
        described = self._incidents.descriptions(before)
        withheld = {each.exhibit for each in export.withheld}
        drawn = timeline_of(before.manifests, incident, described, withheld=withheld)
        completeness = strictjson.load_object(report, where="report")
        if completeness.get("engine") != ENGINE:
            raise RefusedError(
                f"evault {export.evault} judged this link with engine "
                f"{completeness.get('engine')}, this evault has engine {ENGINE}; "
                "use that version, or export anew"
            )
        return {
            "VERIFY.md": pages.verify_page(
                head, required=[step.value for step in self._trust.required]
            ),
            "profile.json": profile,
            _COMPLETENESS_PAGE: pages.completeness_page(
                head, completeness, self._changes(before, export, completeness)
            ),
            "report/completeness.json": report,
            "report/custody.csv": pages.custody_csv(rows),
            "report/custody.html": pages.custody_page(
                head,
                rows,
                _exhibit_lines(incident, export, described),
                reading_rows(before.manifests),
            ),
            "report/custody.json": _custody_json(incident, rows),
            "report/timeline.csv": timeline_csv(drawn),
            "report/timeline.html": timeline_page(
                incident, drawn, evault=export.evault, more=pages.export_facts(head)
            ),
            "report/timeline.json": timeline_json(incident, drawn),
            "trust/trust.json": self._trust.data,
        }

    def _changes(self, before: Chain, export: Export, report: Object) -> Changes | None:
        """What is not as in the report that was sealed before this export's own."""
        earlier = last_sealed(before.manifests[: export.assessment])
        changes = changes_since(self._incidents, earlier, report)
        return changes and without_former_words(changes)

    def _report(self, chain: Chain, export: Export) -> bytes:
        statement = chain.manifests[export.assessment].statement
        assessment = parse_assessment(statement.body, where="assessment")
        return side_document(self._store, assessment.report, (), what="completeness report")

    def _emit(
        self,
        incident_id: str,
        sequence: int,
        target: Target,
        receipt: Receipt | None,
        profile: Profile,
    ) -> Exported:
        chain = self._incidents.read(incident_id, up_to=sequence)
        last = chain.manifests[-1].statement
        if last.type != Type.EXPORT:
            raise RefusedError(
                f"link {sequence} of {incident_id} is no export but {last.type.value}; "
                f"see: evault custody {incident_id}"
            )
        export = parse_export(last.body, where=f"{incident_id} link {sequence}")
        bag = _Bag(incident_id, last.recorded_at)
        self._add_bound_files(bag, chain, export, profile)
        for position, manifest in enumerate(chain.manifests):
            bag.add(bundles.link_path(position), manifest.envelope.encode())
        self._add_proof(bag, chain)
        self._add_cited(bag, chain)
        self._add_evidence(bag, chain, export, target.progress)
        size, digest = bag.write(target.path, compress=target.compress)
        return Exported(
            receipt, sequence, export, target.path, size, digest, *left_out(chain, export)
        )

    def _add_bound_files(self, bag: _Bag, chain: Chain, export: Export, profile: Profile) -> None:
        before = self._incidents.read(chain.incident.id, up_to=chain.incident.sequence - 1)
        files = self._files(before, export, profile.data)
        sealed = {file.path: file.sha256 for file in export.files}
        for name, data in files.items():
            if sealed.get(name) != sha256_hex(data):
                if name == _COMPLETENESS_PAGE:
                    self._check_compared(before, export, files["report/completeness.json"])
                raise RefusedError(
                    f"evault {export.evault} sealed another {name} at this link than this "
                    f"evault {self._version} would write; use that version, or export anew"
                    + (" (or name the profile with --profile)" if name == "profile.json" else "")
                )
            bag.add(bundles.DATA + name, data)

    def _check_compared(self, before: Chain, export: Export, report: bytes) -> None:
        """Raise `RefusedError` if the page told changes since a report that is lost by now."""
        earlier = last_sealed(before.manifests[: export.assessment])
        told = strictjson.load_object(report, where="report")
        changes = changes_since(self._incidents, earlier, told)
        if changes and changes.unreadable:
            raise RefusedError(
                f"{_COMPLETENESS_PAGE} tells what changed since the report of link "
                f"{changes.sequence}, and of that {changes.unreadable}; export anew"
            )

    def _add_proof(self, bag: _Bag, chain: Chain) -> None:
        indices = [index for index in chain.indices if index is not None]
        if len(indices) != len(chain.indices):
            raise UnavailableError("the export is not in the log yet; run the command again")
        publication = self._log.covering(indices[-1])
        hashes = self._log.multi_inclusion(indices, publication.head.size)
        bag.add(bundles.CHECKPOINT, publication.note)
        bag.add(
            bundles.INCLUSION,
            bundles.format_inclusion(
                size=publication.head.size,
                indices=indices,
                hashes=[b64(each) for each in hashes],
            ),
        )

    def _add_cited(self, bag: _Bag, chain: Chain) -> None:
        """The stream manifests that the chain cites, and their proof under the same checkpoint."""
        cited = citations(chain.incident)
        if not cited:
            return
        indices: list[int] = []
        streams: dict[str, Chain] = {}
        for each in cited:
            if each.chain not in streams:
                streams[each.chain] = self._incidents.read(each.chain)
            stream = streams[each.chain]
            index = stream.indices[each.sequence]
            if index is None:
                raise UnavailableError(f"{each.name} is not in the log yet; run the command again")
            indices.append(index)
            manifest = stream.manifests[each.sequence]
            bag.add(bundles.cited_path(each.chain, each.sequence), manifest.envelope.encode())
        last = chain.indices[-1]
        assert last is not None
        size = self._log.covering(last).head.size
        hashes = [b64(each) for each in self._log.multi_inclusion(sorted(indices), size)]
        bag.add(
            bundles.STREAM_INCLUSION,
            bundles.format_inclusion(size=size, indices=indices, hashes=hashes),
        )

    def _add_evidence(self, bag: _Bag, chain: Chain, export: Export, progress: Progress) -> None:
        described = dict(self._incidents.description_bytes(chain))
        for name in export.included:
            exhibit = chain.incident.exhibits[name]
            data = described[name]
            bag.add(f"{bundles.DESCRIPTIONS}{name}.json", data)
            file = safe_name(parse_description(data, where=name).name)
            bag.add_stream(
                f"{bundles.EVIDENCE}{name}/{file}",
                exhibit.item.sha256,
                exhibit.item.size,
                partial(self._content, exhibit, progress),
            )

    def _content(self, exhibit: Exhibit, progress: Progress) -> Iterator[bytes]:
        return _counted(content(self._store, exhibit.item, exhibit.packs), progress)


class _Bag:
    """A BagIt bag being gathered, and written as one deterministic zip."""

    def __init__(self, incident_id: str, moment: datetime) -> None:
        self._base = f"{incident_id}/"
        self._incident = incident_id
        self._moment = moment
        self._files: dict[str, tuple[str, int, Callable[[], Iterable[bytes]]]] = {}

    def add(self, path: str, data: bytes) -> None:
        self._files[path] = (sha256_hex(data), len(data), lambda: (data,))

    def add_stream(
        self, path: str, sha256: str, size: int, pieces: Callable[[], Iterable[bytes]]
    ) -> None:
        self._files[path] = (sha256, size, pieces)

    def write(self, path: Path, *, compress: bool) -> tuple[int, str]:
        """Write beside the target, sync, then rename: no half bundle is ever seen."""
        self._add_tags()
        try:
            descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        except OSError as error:
            raise UnavailableError(f"cannot write {path}: {error.strerror}") from error
        try:
            with os.fdopen(descriptor, "w+b", buffering=_WRITE_BUFFER) as file:
                self._write_zip(file, compress)
                file.flush()
                os.fsync(file.fileno())
                file.seek(0)
                digest, size = digest_stream(file)
            Path(temporary).chmod(0o600)
            Path(temporary).replace(path)
        except OSError as error:
            raise UnavailableError(f"cannot write {path}: {error.strerror or error}") from error
        finally:
            with suppress(OSError):
                Path(temporary).unlink()
        return size, digest

    def _add_tags(self) -> None:
        payload = {path: entry[0] for path, entry in self._files.items()}
        sizes = [entry[1] for entry in self._files.values()]
        day = format_instant(self._moment)[:10]
        self.add("bag-info.txt", bundles.bag_info(incident=self._incident, day=day, payload=sizes))
        self.add("bagit.txt", bundles.BAGIT)
        self.add("manifest-sha256.txt", bundles.format_bag_manifest(payload))
        tags = {path: self._files[path][0] for path in bundles.TAG_FILES if path in self._files}
        self.add("tagmanifest-sha256.txt", bundles.format_bag_manifest(tags))

    def _write_zip(self, file: IO[bytes], compress: bool) -> None:
        method = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
        with zipfile.ZipFile(file, "w", method, allowZip64=True) as archive:
            for path in sorted(self._files):
                _, size, pieces = self._files[path]
                info = zipfile.ZipInfo(self._base + path, self._moment.timetuple()[:6])
                info.compress_type = method
                info.create_system = 3
                info.external_attr = 0o100644 << 16
                info.file_size = size
                with archive.open(info, "w", force_zip64=size >= 1 << 31) as entry:
                    for piece in pieces():
                        entry.write(piece)


def check_target(path: Path) -> None:
    """Raise `RefusedError` or `UnavailableError` unless a bundle can be written there."""
    if path.is_dir():
        raise RefusedError(f"{path} is a folder; name the file to write, like {path}/case.zip")
    if not path.parent.is_dir():
        raise RefusedError(f"there is no folder {path.parent} to write the bundle to")
    if not os.access(path.parent, os.W_OK):
        raise UnavailableError(f"cannot write to {path.parent}; choose another place with -o")


def _to_milliseconds(moment: datetime) -> datetime:
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def _page_head(incident: Incident, export: Export, origin: str) -> pages.PageHead:
    stated = incident.fields["tier"]
    return pages.PageHead(
        incident_id=incident.id,
        title=incident.title,
        severity=incident.fields["severity"],
        tier="4 (until someone decides)" if stated == "unknown" else stated,
        systems=tuple(incident.systems),
        detected_at=incident.fields["detected_at"],
        declared_at=incident.fields["declared_at"],
        as_of=format_instant(export.as_of),
        purpose=export.purpose,
        recipient=export.recipient,
        export_sequence=incident.sequence + 1,
        origin=origin,
        trust_sha256=export.trust_sha256,
        evault=export.evault,
        keeping=pages.keeping_of(incident),
        streams=tuple(dict.fromkeys(each.chain for each in citations(incident))),
        approval=f"{given.person} ({given.words})" if (given := export.approval) else None,
    )


def _check_approval(actor: Actor, approval: Approval) -> None:
    """Before anything is sealed: the report would stand without the export that it was for."""
    if approval.attested:
        raise RefusedError(
            f"nobody authenticated {approval.person}; who approves an export signs in to the vault"
        )
    try:
        check_second_person(actor, approval, where="export")
    except MalformedError as error:
        raise RefusedError(str(error)) from error


def _exhibit_lines(
    incident: Incident, export: Export, described: Mapping[str, Description]
) -> list[pages.ExhibitLine]:
    reasons = {each.exhibit: each.reason for each in export.withheld}
    lines = []
    for name, exhibit in incident.exhibits.items():
        description = described[name]
        withheld = name in reasons
        modified = description.modified_at
        lines.append(
            pages.ExhibitLine(
                exhibit=name,
                # What is withheld is withheld with its description: name, format and times.
                name="" if withheld else description.name,
                label="" if withheld else description.label,
                summary="" if withheld else "; ".join(_summary(exhibit, description)),
                kinds=exhibit.kinds,
                sha256=exhibit.item.sha256,
                size=exhibit.item.size,
                modified_at=None if withheld or modified is None else format_instant(modified),
                captured_at="" if withheld else format_instant(description.captured_at),
                received_at=format_instant(exhibit.received_at),
                sequence=exhibit.sequence,
                withheld=reasons.get(name),
                withdrawn=exhibit.withdrawn,
            )
        )
    return lines


def _summary(exhibit: Exhibit, description: Description) -> Iterator[str]:
    yield description.summary
    yield from description.remarks
    if origin := exhibit.item.origin:
        yield f"preserved from {origin.chain} {origin.exhibit} (its link {origin.sequence})"


def _custody_json(incident: Incident, rows: Iterable[CustodyRow]) -> bytes:
    return strictjson.dumps(
        {"incident": incident.id, "links": [row.to_json() for row in rows], "version": 1}
    )


def _counted(pieces: Iterable[bytes], progress: Progress) -> Iterator[bytes]:
    for piece in pieces:
        yield piece
        progress(len(piece))
