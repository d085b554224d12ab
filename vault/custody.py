"""The chain of custody as rows that people read: one row a link. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from verify.approval import Approval, known_by
from verify.attestation import RULES, Attestation, Value, parse_attestation
from verify.chain import Manifest
from verify.custody import Refused, parse_refused, parse_viewed
from verify.export import Export, parse_export
from verify.instant import format_instant
from verify.retention import HoldEvent, parse_hold
from verify.statement import (
    Actor,
    Capture,
    Item,
    Statement,
    Type,
    exhibit_number,
    parse_assessment,
    parse_capture,
)
from verify.strictjson import Fields, Object
from verify.waiver import Revocation, Waiver, parse_waiver


@dataclass(frozen=True, slots=True)
class CustodyRow:
    """One link in words: when recorded, what happened, to what, by whom."""

    sequence: int
    recorded_at: str
    event: str
    detail: str
    exhibits: tuple[str, ...]
    """All exhibits concerned; empty where the statement concerns the incident as a whole."""
    actor: str
    """Who did it, or, of a refusal, who was refused: the vault alone states that, and says so."""
    leaf_hash: str
    log_index: int | None
    people: tuple[str, ...] = ()
    """Who did it, or tried to, and who is named in it as having approved it."""

    def to_json(self) -> Object:
        """The JSON object."""
        return {
            "actor": self.actor,
            "detail": self.detail,
            "event": self.event,
            "exhibits": list(self.exhibits),
            "leaf_hash": self.leaf_hash,
            "log_index": self.log_index,
            "recorded_at": self.recorded_at,
            "sequence": self.sequence,
        }


def custody_rows(manifests: Sequence[Manifest], indices: Sequence[int | None]) -> list[CustodyRow]:
    """The rows of a chain prefix."""
    rows = []
    for manifest, index in zip(manifests, indices, strict=True):
        statement = manifest.statement
        event, detail, exhibits = _told(statement, manifest.name)
        rows.append(
            CustodyRow(
                sequence=statement.link.sequence,
                recorded_at=format_instant(statement.recorded_at),
                event=event,
                detail=detail,
                exhibits=exhibits,
                actor=_under(statement, manifest.name),
                leaf_hash=manifest.leaf,
                log_index=index,
                people=_people_of(statement, manifest.name),
            )
        )
    return rows


@dataclass(frozen=True, slots=True)
class ReadingRow:
    """Content that somebody was given, with what became of it."""

    sequence: int
    recorded_at: str
    person: str
    exhibits: tuple[str, ...]
    purpose: str | None
    address: str | None
    result: str


def reading_rows(manifests: Sequence[Manifest]) -> list[ReadingRow]:
    """Who was given content of which exhibits, or refused, by a chain prefix; in order."""
    failures = {
        manifest.statement.body["view"]: str(manifest.statement.body["reason"])
        for manifest in manifests
        if _is_custody(manifest, "view_failed")
    }
    rows = []
    for manifest in manifests:
        statement, told = manifest.statement, None
        sequence = statement.link.sequence
        if _is_custody(manifest, "viewed"):
            viewed = parse_viewed(_event_of(statement, manifest.name))
            failed = failures.get(sequence)
            result = "given out" if failed is None else f"not given out whole: {failed}"
            told = viewed.exhibits, viewed.purpose, viewed.address, result
        elif _is_custody(manifest, "refused"):
            refused = parse_refused(_event_of(statement, manifest.name))
            result = f"refused: may not {_plain(refused.permission)} ({refused.count:,} times)"
            when = format_instant(statement.recorded_at)
            rows.append(
                ReadingRow(sequence, when, refused.identity, (), None, refused.address, result)
            )
        elif statement.type == Type.EXPORT:
            export = parse_export(statement.body, where=manifest.name)
            result = f"exported to {export.recipient}" if export.recipient else "exported"
            result += _export_approval(export)
            told = export.included, export.purpose, None, result
        if told is not None:
            when = format_instant(statement.recorded_at)
            rows.append(ReadingRow(sequence, when, actor_text(statement.actor), *told))
    return rows


def _under(statement: Statement, where: str) -> str:
    """Under whom a link stands."""
    if statement.type == Type.CUSTODY and statement.body.get("event") == "refused":
        return parse_refused(_event_of(statement, where)).identity
    return actor_text(statement.actor)


def _people_of(statement: Statement, where: str) -> tuple[str, ...]:
    """Who did it, or, of a refusal, who tried to; then who approved it."""
    body = statement.body
    if statement.type == Type.CUSTODY and body.get("event") == "refused":
        return (str(body["identity"]),)
    approval: Approval | None = None
    if statement.type == Type.EXPORT:
        approval = parse_export(body, where=where).approval
    elif statement.type == Type.HOLD:
        approval = parse_hold(body, where=where).approval
    elif statement.type == Type.ATTESTATION:
        attestation = parse_attestation(statement, where=where)
        approval = attestation.approval
        if "approver" in attestation.fields:
            return (statement.actor.id, str(attestation.fields["approver"]))
    elif statement.type == Type.WAIVER:
        waiver = parse_waiver(statement, where=where)
        approval = waiver.approval if isinstance(waiver, Waiver) else None
    return (statement.actor.id, *((approval.person,) if approval else ()))


def _is_custody(manifest: Manifest, event: str) -> bool:
    statement = manifest.statement
    return statement.type == Type.CUSTODY and statement.body.get("event") == event


def _event_of(statement: Statement, where: str) -> Fields:
    """A body whose event is known already."""
    fields = Fields(statement.body, where)
    fields.text("event")
    return fields


def actor_text(actor: Actor) -> str:
    """`ada@host (uid 1000, local)`, with a claimed name said to be claimed."""
    text = f"{actor.id} ({actor.authenticated})"
    return f'{text}, calling themselves "{actor.claimed}"' if actor.claimed else text


def exhibit_ranges(names: Sequence[str]) -> str:
    """`EV-0001..0058, EV-0060` for a list of exhibits in order."""
    if not names:
        return ""
    runs: list[list[str]] = []
    for name in names:
        if (
            runs
            and name[:2] == runs[-1][-1][:2]
            and exhibit_number(name, where=name) == exhibit_number(runs[-1][-1], where=name) + 1
        ):
            runs[-1].append(name)
        else:
            runs.append([name])
    return ", ".join(
        run[0] if len(run) == 1 else f"{run[0]}..{run[-1][len('EV-') :]}" for run in runs
    )


def _told(statement: Statement, where: str) -> tuple[str, str, tuple[str, ...]]:
    body = statement.body
    if statement.type == Type.CAPTURE:
        return _capture_told(parse_capture(body, where=where))
    if statement.type == Type.INCIDENT:
        return _incident_told(body)
    if statement.type == Type.ASSESSMENT:
        assessment = parse_assessment(body, where=where)
        told = f"{assessment.satisfied} of {assessment.of} satisfied"
        return "assessed", told, ()
    if statement.type == Type.EXPORT:
        export = parse_export(body, where=where)
        detail = f'{exhibit_ranges(export.included) or "no exhibit"} "{export.purpose}"'
        if export.recipient:
            detail += f" to {export.recipient}"
        if export.withheld:
            detail += f"; {len(export.withheld)} withheld"
        return "exported", detail + _export_approval(export), export.included
    if statement.type == Type.SEAL:
        lock = ", locked in compliance mode" if body.get("lock") == "compliance" else ""
        return "closed", f"sealed with {body['exhibits']} exhibits{lock}", ()
    if statement.type == Type.HOLD:
        return _hold_told(parse_hold(body, where=where))
    if statement.type == Type.ATTESTATION:
        attestation = parse_attestation(statement, where=where)
        return "attested", attestation_text(attestation), attestation.exhibits
    if statement.type == Type.WAIVER:
        return _waiver_told(parse_waiver(statement, where=where))
    if statement.type == Type.CUSTODY:
        return _custody_told(statement, where)
    return statement.type.value, "", ()


def _export_approval(export: Export) -> str:
    given = export.approval
    return f", approved by {given.person} ({given.words})" if given else ""


def _custody_told(statement: Statement, where: str) -> tuple[str, str, tuple[str, ...]]:
    body = statement.body
    if body["event"] == "viewed":
        viewed = parse_viewed(_event_of(statement, where))
        purpose = f' "{viewed.purpose}"' if viewed.purpose else ""
        place = f", from {viewed.address}" if viewed.address else ""
        return "viewed", f"{exhibit_ranges(viewed.exhibits)}{place}{purpose}", viewed.exhibits
    if body["event"] == "refused":
        told = _refused_text(parse_refused(_event_of(statement, where)))
        return "refused", f"{told}; stated by {actor_text(statement.actor)}", ()
    if body["event"] == "view_failed":
        return "viewing failed", f"link {body['view']}: {body['reason']}", ()
    if body["event"] == "export_failed":
        return "export failed", f"link {body['export']}: {body['reason']}", ()
    exhibits = tuple(body["exhibits"])
    if body["event"] == "preserved":
        told = f"{exhibit_ranges(exhibits)} into {body['incident']}"
        return "preserved", f"{told}: {body['from']} to {body['to']}", exhibits
    reason = body.get("reason")
    detail = exhibit_ranges(exhibits)
    if body["event"] == "classified":
        detail += f" as {', '.join(body['kinds'])}"
    return str(body["event"]), f'{detail} "{reason}"' if reason else detail, exhibits


def _refused_text(refused: Refused) -> str:
    often = f", {refused.count:,} times" if refused.count > 1 else ""
    place = f", from {refused.address}" if refused.address else ""
    return f"{refused.permission}{often}{place}, at {format_instant(refused.since)}"


def _capture_told(capture: Capture) -> tuple[str, str, tuple[str, ...]]:
    exhibits = tuple(item.exhibit for item in capture.items)
    detail = exhibit_ranges(exhibits) or "nothing"
    if capture.of > 1:
        detail += f" (part {capture.part} of {capture.of})"
    if capture.not_captured:
        detail += f"; {capture.not_captured} not captured"
    if capture.delivered:
        place = capture.delivered
        detail += f"; collected before, entry {place.number} of spool {place.spool}"
    if any(item.origin for item in capture.items):
        return "preserved", f"{detail} from {_origins(capture.items)}", exhibits
    return "captured", detail, exhibits


def _origins(items: Iterable[Item]) -> str:
    """`stream:web ST-0003..0007`: what these items restate."""
    named: dict[str, list[str]] = {}
    for item in items:
        if item.origin:
            named.setdefault(item.origin.chain, []).append(item.origin.exhibit)
    return ", ".join(f"{stream} {exhibit_ranges(names)}" for stream, names in named.items())


def _hold_told(hold: HoldEvent) -> tuple[str, str, tuple[str, ...]]:
    if hold.event == "set":
        ordered = f", ordered by {hold.ordered_by}" if hold.ordered_by else ""
        return "hold set", f'for {hold.matter}{ordered} "{hold.reason}"', ()
    if hold.event == "released" and hold.approval:
        approval = f"{hold.approval.person} ({hold.approval.words})"
        shown = f", shown by {exhibit_ranges(hold.exhibits)}" if hold.exhibits else ""
        detail = f'for {hold.matter}, approved by {approval}{shown} "{hold.reason}"'
        return "hold released", detail, hold.exhibits
    until = format_instant(hold.until) if hold.until else ""
    return "kept longer", f'all exhibits, until {until} at least "{hold.reason}"', ()


def attestation_text(attestation: Attestation) -> str:
    """An attestation in a line: `rollback: action RB-1; started …; shown by EV-0004`."""
    told = [
        f"{_plain(rule.name)} {_field_text(attestation.fields[rule.name])}"
        for rule in RULES[attestation.type].fields
        if rule.name in attestation.fields
    ]
    if attestation.approval:
        approval = attestation.approval
        told.append(f"approved by {approval.person} ({approval.words})")
    if attestation.exhibits:
        told.append(f"shown by {exhibit_ranges(attestation.exhibits)}")
    said = f' "{attestation.statement}"' if attestation.statement else ""
    return f"{_plain(attestation.type)}: {'; '.join(told)}{said}"


def waived_text(
    conditions: Sequence[str],
    *,
    scope: Sequence[str],
    until: str,
    approved_by: str,
    authenticated: str,
) -> str:
    """What a waiver lifts, until when, by whose approval: in these words wherever it is told.

    `until` is the instant as it is sealed.
    """
    named = ", ".join(conditions) + (f" for {', '.join(scope)}" if scope else "")
    return f"{named} waived until {until}, approved by {approved_by} ({known_by(authenticated)})"


def waiver_text(waiver: Waiver) -> str:
    """A waiver in a line: what it lifts and how long, who bears it, who asked, what shows it."""
    lifted = waived_text(
        waiver.conditions,
        scope=waiver.scope,
        until=format_instant(waiver.valid_to),
        approved_by=waiver.approval.person,
        authenticated=waiver.approval.authenticated,
    )
    told = [
        lifted,
        f"counts from {format_instant(waiver.valid_from)}",
        f"owner {waiver.owner}",
        f"asked for by {waiver.requester}",
    ]
    if waiver.exhibits:
        told.append(f"shown by {exhibit_ranges(waiver.exhibits)}")
    if waiver.compensating:
        told.append(f"in its place {exhibit_ranges(waiver.compensating)}")
    return f'{waiver.id}: {"; ".join(told)} "{waiver.reason}"'


def update_text(update: Object) -> str:
    """What everyone was told: how far it is contained, where, and what comes next."""
    where = f", in {update['channel']}" if update["channel"] else ""
    shown = f", shown by {exhibit_ranges(update['exhibits'])}" if update["exhibits"] else ""
    note = f' "{update["note"]}"' if update["note"] else ""
    told = f"{_plain(update['containment'])} at {update['at']}{where}{shown}"
    return f"{told}; next: {update['next_steps']}{note}"


def _plain(name: str) -> str:
    """`started` of `started_at`, `kill switch` of `kill_switch`."""
    return name.removesuffix("_at").removesuffix("_digest").replace("_", " ")


def _field_text(value: Value) -> str:
    if isinstance(value, datetime):
        return format_instant(value)
    return value if isinstance(value, str) else ", ".join(value)


def _waiver_told(waiver: Waiver | Revocation) -> tuple[str, str, tuple[str, ...]]:
    if isinstance(waiver, Revocation):
        return "waiver revoked", f'{waiver.waiver} "{waiver.reason}"', ()
    return "waived", waiver_text(waiver), waiver.shown_by


def _incident_told(body: Object) -> tuple[str, str, tuple[str, ...]]:
    event = body["event"]
    if event == "declared":
        return "declared", f"{body['severity']}, tier {body['tier']}", ()
    if event in ("amended", "scoped"):
        changes = ", ".join(
            f"{change['field']} {value_text(change['old'])} -> {value_text(change['new'])}"
            for change in body["changes"]
        )
        return event, f'{changes} "{body["reason"]}"' if body["reason"] else changes, ()
    if event in ("assigned", "offered"):
        return event, f"{body['role']} to {body['person']}", ()
    if event == "accepted":
        return "accepted", f"{body['role']} by {body['person']}, at {body['at']}", ()
    if event == "updated":
        return "updated", update_text(body), tuple(body["exhibits"])
    if event == "phase":
        exhibits = tuple(body["exhibits"])
        shown = f", shown by {exhibit_ranges(exhibits)}" if exhibits else ""
        return str(body["phase"]), f"at {body['at']}{shown}", exhibits
    return str(event), f'"{body["reason"]}"', ()


def value_text(value: object) -> str:
    """A field's value for people: lists joined; null is what nobody stated, an empty list was."""
    if value is None:
        return "not stated"
    if isinstance(value, (list, tuple)):
        return ", ".join(str(each) for each in value) or "none, as stated"
    return str(value)
