"""The timeline: what the chain tells and what the exhibits cover, on one axis. Pure.

Every line has its times apart, and they are never merged: claimed (by a person, or by the exhibit's
own records), received (the vault's clock), stamped (by a time authority). A line stands on the axis
by what it claims; where it claims nothing, by when it was received. An exhibit without a time that
names an instant has no place on the axis, and is listed beside it with the reason.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from vault.custody import CustodyRow, custody_rows, exhibit_ranges
from vault.hypertext import comma_separated
from verify import strictjson
from verify.attestation import Attestation, Value, parse_attestation
from verify.chain import Manifest
from verify.description import Description
from verify.facts import Facts
from verify.incident import Exhibit, Incident
from verify.instant import format_instant, parse_instant
from verify.statement import Type, exhibit_number
from verify.strictjson import Object

_PLACED = ("zoned", "mixed")
_BEGUN = ("started_at", "approved_at")
_ENDED = "ended_at"


class Claimant(StrEnum):
    """Whose word a claimed time is."""

    PERSON = "person"
    RECORDS = "records"
    """The exhibit's own."""


@dataclass(frozen=True, slots=True)
class ClockQuality:
    """How far a claimed time can be trusted to name an instant."""

    zone: str
    """`zoned`, or `mixed`: some records of the exhibit have a zone, others have none."""
    unit: str | None
    """How the exhibit writes times: text, or a number of s, ms, us, ns since 1970; None: unsaid."""
    precision: str | None
    """The finest part of a second that is written: day, min, s, ms, us, ns; None: unsaid."""


@dataclass(frozen=True, slots=True)
class Claim:
    """When something was, by the word of a person or of a record; `start` may equal `end`."""

    start: datetime
    end: datetime
    by: Claimant
    quality: ClockQuality = ClockQuality("zoned", None, None)
    """A person's time has a zone, or it would have been refused; more is not known of it."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the timeline."""

    event: str
    detail: str
    exhibits: tuple[str, ...]
    """What the line rests on; empty where only the statement itself is its source."""
    sequence: int
    """The link that says it, or that took in the exhibit."""
    claim: Claim | None
    received: datetime
    """The vault's clock at that link."""
    stamped: datetime | None = None
    """When a time authority says that it existed; None: nothing was stamped."""

    @property
    def start(self) -> datetime:
        """Where it stands on the axis."""
        return self.claim.start if self.claim else self.received

    @property
    def cites(self) -> str:
        """`EV-0004`, or `link 3`."""
        return exhibit_ranges(self.exhibits) or f"link {self.sequence}"

    def to_json(self) -> Object:
        """The JSON object."""
        claim = self.claim
        return {
            "claimed": None
            if claim is None
            else {
                "by": claim.by.value,
                "from": format_instant(claim.start),
                "precision": claim.quality.precision,
                "to": format_instant(claim.end),
                "unit": claim.quality.unit,
                "zone": claim.quality.zone,
            },
            "detail": self.detail,
            "event": self.event,
            "exhibits": list(self.exhibits),
            "placed_by": "claimed" if claim else "received",
            "received_at": format_instant(self.received),
            "sequence": self.sequence,
            "stamped_at": format_instant(self.stamped) if self.stamped else None,
        }


@dataclass(frozen=True, slots=True)
class Unplaced:
    """An exhibit that has no place on the axis."""

    exhibit: str
    sequence: int
    received: datetime
    reason: str
    raw_first: str | None
    """Its earliest time as it is written there; it names no instant."""
    raw_last: str | None

    def to_json(self) -> Object:
        """The JSON object."""
        return {
            "exhibit": self.exhibit,
            "raw_first": self.raw_first,
            "raw_last": self.raw_last,
            "reason": self.reason,
            "received_at": format_instant(self.received),
            "sequence": self.sequence,
        }


@dataclass(frozen=True, slots=True)
class Timeline:
    """All lines in order, and the exhibits that are not among them."""

    lines: tuple[Line, ...]
    unplaced: tuple[Unplaced, ...]


def timeline_of(
    manifests: Sequence[Manifest],
    incident: Incident,
    descriptions: Mapping[str, Description],
    *,
    withheld: Collection[str] = (),
) -> Timeline:
    """The timeline of a chain prefix, `incident` being its fold.

    Of a withheld exhibit only what links say of it is told: its description is withheld with it,
    and so are name, times and all that its records put at a time.
    """
    lines: list[Line] = []
    for manifest, row in zip(
        manifests, custody_rows(manifests, [None] * len(manifests)), strict=True
    ):
        lines += _told(manifest, row)
    unplaced: list[Unplaced] = []
    for name, exhibit in incident.exhibits.items():
        if name in withheld:
            unplaced.append(_absent(exhibit))
            continue
        facts = descriptions[name].facts
        placed = list(_observed(exhibit, descriptions[name]))
        lines += placed
        lines += _reported(exhibit, facts)
        if not placed:
            unplaced.append(_unplaced(exhibit, facts))
    lines.sort(key=_order)
    return Timeline(tuple(lines), tuple(unplaced))


def timeline_json(incident: Incident, timeline: Timeline) -> bytes:
    """`report/timeline.json`: the same lines, as canonical JSON."""
    return strictjson.dumps(
        {
            "incident": incident.id,
            "lines": [line.to_json() for line in timeline.lines],
            "unplaced": [each.to_json() for each in timeline.unplaced],
            "version": 1,
        }
    )


def timeline_csv(timeline: Timeline) -> bytes:
    """One line of the timeline a row, exhibits without a place at the end; cells are defused."""
    rows = [_cells(line) for line in timeline.lines]
    for each in timeline.unplaced:
        raw = f" ({each.raw_first} to {each.raw_last})" if each.raw_first else ""
        rows.append([
            *[""] * 6, format_instant(each.received), "", "not placed", f"{each.reason}{raw}",
            each.exhibit, str(each.sequence),
        ])  # fmt: skip
    return comma_separated(_CSV_HEADER, rows)


_CSV_HEADER = (
    "claimed_from", "claimed_to", "claimed_by", "zone", "unit", "precision",
    "received_at", "stamped_at", "event", "detail", "exhibits", "link",
)  # fmt: skip


def _cells(line: Line) -> list[str]:
    claimed = [""] * 6
    if line.claim:
        quality = line.claim.quality
        claimed = [
            format_instant(line.claim.start),
            format_instant(line.claim.end),
            line.claim.by.value,
            quality.zone,
            quality.unit or "",
            quality.precision or "",
        ]
    return [
        *claimed,
        format_instant(line.received),
        format_instant(line.stamped) if line.stamped else "",
        line.event,
        line.detail,
        exhibit_ranges(line.exhibits),
        str(line.sequence),
    ]


def _order(line: Line) -> tuple[datetime, datetime, int, int]:
    """By the axis; what stands at one moment, as it was received."""
    first = exhibit_number(line.exhibits[0], where="timeline") if line.exhibits else 0
    return line.start, line.received, line.sequence, first


def _told(manifest: Manifest, row: CustodyRow) -> Iterator[Line]:
    """The lines of one link: one for each thing that it says was at a time of its own."""
    statement, body = manifest.statement, manifest.statement.body
    claim: Claim | None = None
    if statement.type == Type.ATTESTATION:
        claim = _attested(parse_attestation(statement, where=manifest.name))
    elif statement.type == Type.INCIDENT and row.sequence == 0:
        detected = parse_instant(body["detected_at"], where=manifest.name)
        yield _link_line(manifest, "detected", body["title"], (), _moment(detected))
        claim = _moment(parse_instant(body["declared_at"], where=manifest.name))
    elif statement.type == Type.INCIDENT and "at" in body:
        claim = _moment(parse_instant(body["at"], where=manifest.name))
    yield _link_line(manifest, row.event, row.detail, row.exhibits, claim)


def _link_line(
    manifest: Manifest, event: str, detail: str, exhibits: tuple[str, ...], claim: Claim | None
) -> Line:
    statement = manifest.statement
    return Line(event, detail, exhibits, statement.link.sequence, claim, statement.recorded_at)


def _moment(at: datetime) -> Claim:
    return Claim(at, at, Claimant.PERSON)


def _attested(attestation: Attestation) -> Claim | None:
    """When the act was; a nil return's interval is what was looked at, not when."""
    fields: Mapping[str, Value] = attestation.fields
    end = fields.get(_ENDED, attestation.at)
    begun = next((fields[name] for name in _BEGUN if name in fields), attestation.at)
    if not isinstance(begun, datetime) or not isinstance(end, datetime):
        return None
    return Claim(begun, end, Claimant.PERSON)


def _observed(exhibit: Exhibit, description: Description) -> Iterator[Line]:
    """From the exhibit's first record to its last, by the records' own word."""
    facts = description.facts
    start, end = instant_of(facts.first), instant_of(facts.last)
    if facts.clock not in _PLACED or start is None or end is None:
        return
    told = (description.label, description.summary, description.name)
    detail = "; ".join(text for text in told if text)
    yield _exhibit_line(exhibit, "observed", detail, _recorded(start, end, facts))


def _reported(exhibit: Exhibit, facts: Facts) -> Iterator[Line]:
    """What its records put at a time of its own: alerts, changes, checks, approvals, tickets."""
    for event, detail, begun, ended in _moments(facts):
        start, end = instant_of(begun) or instant_of(ended), instant_of(ended) or instant_of(begun)
        if start and end:
            yield _exhibit_line(exhibit, event, detail, _recorded(start, end, facts))


def _moments(facts: Facts) -> Iterator[tuple[str, str, str | None, str | None]]:
    for finding in facts.findings:
        count = f"{finding.count:,} x " if finding.count > 1 else ""
        outcome = f", {finding.disposition}" if finding.disposition else ""
        yield "alert", f"{count}{finding.label} by {finding.detector}{outcome}", finding.at, None
    for change in facts.rollbacks:
        version = f" from {change.from_ or '?'} to {change.to or '?'}"
        detail = f"{change.target}{version if change.from_ or change.to else ''}, {change.state}"
        yield _CHANGES.get(change.direction, "change"), detail, change.started_at, change.at
    for check in facts.validations:
        yield "check", f"{check.name}, {check.result}", check.at, None
    for approval in facts.approvals:
        by = f" by {approval.approver}" if approval.approver else ""
        yield "approval", f"{approval.subject}, {approval.state}{by}", approval.at, None
    for ticket in facts.tickets:
        detail = f"{ticket.id} {ticket.title}"
        yield "ticket opened", detail, ticket.opened_at, None
        yield "ticket acknowledged", detail, ticket.acknowledged_at, None
        yield "ticket resolved", detail, ticket.resolved_at, None


_CHANGES = {"back": "rollback"}
"""Of a change that is not shown to go back, no more is said than that it is one."""


def _exhibit_line(exhibit: Exhibit, event: str, detail: str, claim: Claim) -> Line:
    told = detail
    if exhibit.withdrawn is not None:
        told = f"[exhibit withdrawn: {exhibit.withdrawn}] {detail}"
    return Line(event, told, (exhibit.item.exhibit,), exhibit.sequence, claim, exhibit.received_at)


def _recorded(start: datetime, end: datetime, facts: Facts) -> Claim:
    zone = facts.clock if facts.clock in _PLACED else "zoned"  # a fact's own time always has one
    quality = ClockQuality(zone, facts.time_unit, facts.precision)
    return Claim(start, end, Claimant.RECORDS, quality)


def _unplaced(exhibit: Exhibit, facts: Facts) -> Unplaced:
    reason = _REASONS.get(facts.clock, "its times could not be read as instants")
    return Unplaced(
        exhibit=exhibit.item.exhibit,
        sequence=exhibit.sequence,
        received=exhibit.received_at,
        reason=reason,
        raw_first=facts.raw_first,
        raw_last=facts.raw_last,
    )


def _absent(exhibit: Exhibit) -> Unplaced:
    return Unplaced(
        exhibit=exhibit.item.exhibit,
        sequence=exhibit.sequence,
        received=exhibit.received_at,
        reason=_WITHHELD,
        raw_first=None,
        raw_last=None,
    )


_WITHHELD = "withheld, and its description and times with it"
_REASONS = {
    "none": "no times were read from it",
    "unzoned": "its times have no zone, and name no instant",
}


def instant_of(text: str | None) -> datetime | None:
    """A time out of facts; None if it says nothing, or names no instant."""
    try:
        moment = None if text is None else datetime.fromisoformat(text)
        # Near the ends of the calendar a zone leads out of it.
        return None if moment is None or moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
