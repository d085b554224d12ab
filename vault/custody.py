"""The chain of custody as rows that people read: one row a link. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from verify.chain import Manifest
from verify.instant import format_instant
from verify.retention import HoldEvent, parse_hold
from verify.statement import (
    Actor,
    Capture,
    Statement,
    Type,
    exhibit_number,
    parse_assessment,
    parse_capture,
    parse_export,
)
from verify.strictjson import Object


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
    leaf_hash: str
    log_index: int | None

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
                actor=actor_text(statement.actor),
                leaf_hash=manifest.leaf,
                log_index=index,
            )
        )
    return rows


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
            and exhibit_number(name, where=name) == exhibit_number(runs[-1][-1], where=name) + 1
        ):
            runs[-1].append(name)
        else:
            runs.append([name])
    return ", ".join(
        run[0] if len(run) == 1 else f"{run[0]}..{run[-1].removeprefix('EV-')}" for run in runs
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
        return "exported", detail, export.included
    if statement.type == Type.SEAL:
        lock = ", locked in compliance mode" if body.get("lock") == "compliance" else ""
        return "closed", f"sealed with {body['exhibits']} exhibits{lock}", ()
    if statement.type == Type.HOLD:
        return _hold_told(parse_hold(body, where=where))
    if statement.type == Type.CUSTODY and "exhibits" in body:
        exhibits = tuple(body["exhibits"])
        reason = body.get("reason") or body.get("purpose")
        detail = exhibit_ranges(exhibits)
        if body["event"] == "classified":
            detail += f" as {', '.join(body['kinds'])}"
        return str(body["event"]), f'{detail} "{reason}"' if reason else detail, exhibits
    if statement.type == Type.CUSTODY and body.get("event") == "export_failed":
        return "export failed", f"link {body['export']}: {body['reason']}", ()
    return statement.type.value, "", ()


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
    return "captured", detail, exhibits


def _hold_told(hold: HoldEvent) -> tuple[str, str, tuple[str, ...]]:
    if hold.event == "set":
        ordered = f", ordered by {hold.ordered_by}" if hold.ordered_by else ""
        return "hold set", f'for {hold.matter}{ordered} "{hold.reason}"', ()
    if hold.event == "released" and hold.approval:
        approval = f"{hold.approval.person} ({hold.approval.authenticated})"
        shown = f", shown by {exhibit_ranges(hold.exhibits)}" if hold.exhibits else ""
        detail = f'for {hold.matter}, approved by {approval}{shown} "{hold.reason}"'
        return "hold released", detail, hold.exhibits
    until = format_instant(hold.until) if hold.until else ""
    return "kept longer", f'all exhibits, until {until} at least "{hold.reason}"', ()


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
    if event == "assigned":
        return "assigned", f"{body['role']} to {body['person']}", ()
    if event == "phase":
        exhibits = tuple(body["exhibits"])
        shown = f", shown by {exhibit_ranges(exhibits)}" if exhibits else ""
        return str(body["phase"]), f"at {body['at']}{shown}", exhibits
    return str(event), f'"{body["reason"]}"', ()


def value_text(value: object) -> str:
    """A field's value for people: lists joined, null as none."""
    if value is None:
        return "none"
    if isinstance(value, (list, tuple)):
        return ", ".join(str(each) for each in value) or "none"
    return str(value)
