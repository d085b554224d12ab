"""What is told of incidents, exhibits and statements in JSON: by the command line and by the API.

One shape for both, specified by the schemas of the commands. Pure.
"""

from __future__ import annotations

from datetime import datetime

from vault.ports import Protection
from verify.attestation import Attestation, attestation_body
from verify.description import Description
from verify.incident import Exhibit, Hold, Incident
from verify.instant import format_instant
from verify.response import Assignment, Role, Update
from verify.strictjson import Object
from verify.waiver import Waiver


def incident_json(incident: Incident, moment: datetime) -> Object:
    """An incident as its chain tells it, as a JSON object; waivers as they stand at a moment."""
    return {
        **response_json(incident, moment),
        "counts": {
            "exhibits": len(incident.exhibits),
            "links": incident.sequence + 1,
            "not_captured": incident.not_captured,
        },
        "declared": dict(incident.fields),
        "governing_tier": incident.tier,
        "head": {"leaf_hash": incident.leaf, "sequence": incident.sequence},
        "holds": [hold_json(hold) for hold in incident.holds],
        "incident": incident.id,
        "lock": "compliance" if incident.compliance else None,
        "phases": [
            {"at": format_instant(entry.at), "exhibits": list(entry.exhibits), "phase": entry.phase}
            for entry in incident.phases
        ],
        "retained_until": (
            format_instant(incident.retained_until) if incident.retained_until else None
        ),
        "roles": {str(role): incident.holder(role) for role in Role},
        "scope": dict(incident.scope),
        "sealed": incident.sealed,
    }


def exhibit_json(exhibit: Exhibit, description: Description) -> Object:
    """What every command says of an exhibit in JSON."""
    modified = description.modified_at
    return {
        "captured_at": format_instant(description.captured_at),
        "exhibit": exhibit.item.exhibit,
        "facts": description.facts.to_json(),
        "format": description.label,
        "from": exhibit.item.origin.to_json() if exhibit.item.origin else None,
        "kinds": list(exhibit.kinds),
        "modified_at": None if modified is None else format_instant(modified),
        "name": description.name,
        "path": description.path,
        "received_at": format_instant(exhibit.received_at),
        "remarks": list(description.remarks),
        "sequence": exhibit.sequence,
        "sha256": exhibit.item.sha256,
        "size": exhibit.item.size,
        "source": exhibit.source,
        "summary": description.summary,
        "system": exhibit.system,
        "withdrawn": exhibit.withdrawn,
    }


def shown_json(chain: str, exhibit: Exhibit, description: Description, kept: Protection) -> Object:
    """What is sealed about one exhibit, and how its object is kept."""
    until = kept.retain_until
    return {
        "incident": chain,
        "items": [exhibit_json(exhibit, description)],
        "kept": {
            "held": kept.held,
            "mode": kept.mode.value,
            "until": format_instant(until) if until else None,
        },
    }


def hold_json(hold: Hold) -> Object:
    """A hold as a JSON object."""
    released = hold.released_by
    approval = released.approval if released else None
    return {
        "approved_by": approval.to_json() if approval else None,
        "exhibits": list(released.exhibits) if released else [],
        "live": released is None,
        "matter": hold.matter,
        "ordered_by": hold.set_by.ordered_by,
        "reason": hold.set_by.reason,
        "released_reason": released.reason if released else None,
        "released_sequence": hold.released_sequence,
        "sequence": hold.sequence,
        "set_at": format_instant(hold.recorded_at),
    }


def response_json(incident: Incident, moment: datetime) -> Object:
    """What people said of an incident, as members of its JSON object."""
    return {
        "assignments": [assignment_json(each) for each in incident.assignments],
        "attestations": [attestation_json(each) for each in incident.attestations],
        "updates": [update_json(each) for each in incident.updates],
        "waivers": [waiver_json(each, moment) for each in incident.waivers.values()],
    }


def assignment_json(assignment: Assignment) -> Object:
    """A role's assignment as a JSON object."""
    times = {
        "accepted_at": assignment.accepted_at,
        "at": assignment.at,
        "since": assignment.since,
        "until": assignment.until,
    }
    return {
        **{name: format_instant(time) if time else None for name, time in times.items()},
        "accepted_sequence": assignment.accepted_sequence,
        "person": assignment.person,
        "role": assignment.role,
        "sequence": assignment.sequence,
    }


def update_json(update: Update) -> Object:
    """An update as a JSON object."""
    return {
        "at": format_instant(update.at),
        "channel": update.channel,
        "containment": update.containment,
        "exhibits": list(update.exhibits),
        "next_steps": update.next_steps,
        "note": update.note,
        "recorded_at": format_instant(update.recorded_at),
        "sequence": update.sequence,
    }


def attestation_json(attestation: Attestation) -> Object:
    """An attestation as a JSON object."""
    return {
        **attestation_body(
            attestation.type,
            attestation.fields,
            exhibits=attestation.exhibits,
            statement=attestation.statement,
            approval=attestation.approval,
        ),
        "recorded_at": format_instant(attestation.recorded_at),
        "sequence": attestation.sequence,
    }


def waiver_json(waiver: Waiver, moment: datetime) -> Object:
    """A waiver as a JSON object, with its state at a moment."""
    body = waiver.to_json()
    del body["event"]
    revoked = waiver.revoked_at
    return {
        **body,
        "recorded_at": format_instant(waiver.recorded_at),
        "revoked_at": format_instant(revoked) if revoked else None,
        "revoked_reason": waiver.revoked_reason,
        "revoked_sequence": waiver.revoked_sequence,
        "sequence": waiver.sequence,
        "state": waiver_state(waiver, moment).replace(" ", "_"),
    }


def waiver_state(waiver: Waiver, moment: datetime) -> str:
    """`revoked`, `ended`, `to come` or `live`, at a moment."""
    if waiver.revoked_at:
        return "revoked"
    if moment > waiver.valid_to:
        return "ended"
    return "live" if moment >= waiver.valid_from else "to come"
