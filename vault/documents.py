"""What is told of incidents, exhibits and statements in JSON: by the command line and by the API.

One shape for both, specified by the schemas of the commands. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from vault.changes import Changes
from vault.collectors import Collector
from vault.custody import CustodyRow, actor_text
from vault.deposit import Receipt
from vault.enrolment import Enrolled
from vault.export import Exported, LeftOut
from vault.incidents import Chain
from vault.lookup import Known, Sighted
from vault.metrics import Figure, Unreadable
from vault.ports import LockMode, Protection, Request, Token
from vault.preserve import Preserved
from vault.retention import Drift, Laid, Released
from vault.sweep import EarlierSweep, Swept
from vault.timeline import Timeline
from vault.tokens import Issued, is_valid
from vault.window import Window
from verify.attestation import Attestation, attestation_body
from verify.coverage import Interval
from verify.description import Description
from verify.digest import b64
from verify.grant import Grant
from verify.incident import ChainState, Exhibit, Hold, Incident
from verify.instant import format_instant
from verify.profile import Profile
from verify.response import Assignment, Role, Update
from verify.retention import RetentionPolicy, floor_of
from verify.statement import Kind, Type
from verify.strictjson import Object
from verify.trust import Trust
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


def known_json(known: Known) -> Object:
    """What is known of a digest: each sighting with all that proves it."""
    return {
        "counts": {"known": known.count},
        "digest": known.sha256,
        "items": [sighted_json(each) for each in known.sightings],
        "state": "known" if known.count else "unknown",
    }


def sighted_json(sighted: Sighted) -> Object:
    """One sighting of some bytes: the claim, and the manifest, proof and checkpoint behind it."""
    exhibit, proof = sighted.exhibit, sighted.proof
    return {
        "chain": sighted.chain,
        "checkpoint": None if proof is None else str(proof.checkpoint),
        "envelope": sighted.envelope.decode(),
        "exhibit": exhibit.item.exhibit,
        "index": sighted.index,
        "leaf_hash": sighted.leaf_hash,
        "proof": None if proof is None else str(proof),
        "received_at": format_instant(exhibit.received_at),
        "sequence": exhibit.sequence,
        "size": exhibit.item.size,
        "withdrawn": exhibit.withdrawn,
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


def custody_json(name: str, rows: Sequence[CustodyRow]) -> Object:
    """Links of a chain, each with what happened, to what, by whom."""
    return {
        "counts": {"links": len(rows)},
        "incident": name,
        "items": [row.to_json() for row in rows],
    }


def attested_json(
    name: str, attestation: Attestation, notes: Sequence[str], receipt: Receipt
) -> Object:
    """An attestation that was sealed, and what is worth a look about it."""
    return {
        "attestation": attestation_json(attestation),
        "incident": name,
        "notes": list(notes),
        "receipt": receipt.to_json(),
    }


def waived_json(
    name: str, waiver: Waiver, notes: Sequence[str], receipt: Receipt, moment: datetime
) -> Object:
    """A waiver that was granted or revoked, and what is worth a look about it."""
    return {
        "incident": name,
        "notes": list(notes),
        "receipt": receipt.to_json(),
        "waiver": waiver_json(waiver, moment),
    }


def waivers_json(found: Sequence[tuple[str, Waiver]], moment: datetime) -> Object:
    """Waivers, each with the incident that it is of, as they stand at a moment."""
    live = sum(waiver_state(waiver, moment) == "live" for _, waiver in found)
    return {
        "counts": {"live": live, "waivers": len(found)},
        "items": [{"incident": name, **waiver_json(waiver, moment)} for name, waiver in found],
    }


def holds_json(
    states: Sequence[ChainState], found: Mapping[str, tuple[int, Sequence[Drift]]]
) -> Object:
    """The holds on some chains; `found`: of each that ever had one, its objects and their drift."""
    live = sum(len(state.live_holds) for state in states)
    return {
        "counts": {
            "live": live,
            "matters": len({hold.matter for state in states for hold in state.holds}),
            "released": sum(len(state.holds) for state in states) - live,
        },
        "items": [
            {
                "drift": drift_json(found[state.id][1]),
                "holds": [hold_json(hold) for hold in state.holds],
                "incident": state.id,
                "objects": found[state.id][0],
            }
            for state in states
            if state.holds
        ],
    }


def hold_set_json(name: str, matter: str, exhibits: int, laid: Laid, receipt: Receipt) -> Object:
    """A hold that was laid on a chain's evidence."""
    return {
        "counts": {"exhibits": exhibits, "objects": laid.objects},
        "gone": gone_json(laid),
        "incident": name,
        "matter": matter,
        "receipt": receipt.to_json(),
    }


def hold_released_json(state: ChainState, matter: str, done: Released, receipt: Receipt) -> Object:
    """A matter's hold that was released; `state` is the chain's after it."""
    released = [
        hold.released_by.approval
        for hold in state.holds
        if hold.released_sequence == receipt.sequence and hold.released_by
    ]
    return {
        "approval": released[0].authenticated if released and released[0] else None,
        "counts": {"released": done.released, "still_held": done.still_held},
        "gone": gone_json(done),
        "incident": state.id,
        "live": [hold.matter for hold in state.live_holds],
        "matter": matter,
        "receipt": receipt.to_json(),
    }


def gone_json(laid: Laid | Released) -> list[Object]:
    """What could not be protected, because it is not there any more."""
    return [
        {"exhibits": list(each.exhibits), "key": each.key, "version_id": each.version_id}
        for each in laid.gone
    ]


def drift_json(drift: Iterable[Drift]) -> list[Object]:
    """Where the store's own locks differ from what a chain demands."""
    return [
        {
            "detail": each.detail,
            "exhibits": list(each.stored.exhibits),
            "key": each.stored.key,
            "sense": each.sense.value,
            "version_id": each.stored.version_id,
        }
        for each in drift
    ]


def policy_json(policy: RetentionPolicy, sequence: int | None) -> Object:
    """A retention policy, and the link of the vault's chain that set it; None for the built-in."""
    return {
        **policy.to_json(),
        "floors": {kind.value: floor_of((kind,)) for kind in Kind},
        "sequence": sequence,
    }


NOTHING_KEPT: Object = {
    "drift": [],
    "holds": [],
    "incident": None,
    "items": [],
    "mode": None,
    "retained_until": None,
}
"""What stands beside a policy where no chain is asked about."""


def kept_json(
    state: ChainState, kept: Mapping[str, Protection], mode: LockMode, drift: Iterable[Drift]
) -> Object:
    """Until when a chain's evidence is kept, and by what."""
    return {
        "drift": drift_json(drift),
        "holds": [hold.matter for hold in state.live_holds],
        "incident": state.id,
        "items": [
            {
                "exhibit": name,
                "held": protection.held,
                "kinds": list(state.exhibits[name].kinds),
                "mode": protection.mode.value,
                "until": _instant(protection.retain_until),
            }
            for name, protection in kept.items()
        ],
        "mode": mode.value,
        "retained_until": _instant(state.retained_until),
    }


def extended_json(name: str, until: datetime, laid: Laid, receipt: Receipt) -> Object:
    """A retention that was extended."""
    return {
        "counts": {"objects": laid.objects},
        "gone": gone_json(laid),
        "incident": name,
        "receipt": receipt.to_json(),
        "until": format_instant(until),
    }


def checklist_json(
    name: str,
    report: Object,
    changes: Changes | None,
    receipt: Receipt | None,
    output: str | None = None,
) -> Object:
    """A completeness report, and what changed since one was sealed."""
    return {
        "changes": changes.to_json() if changes else None,
        "counts": report["counts"],
        "incident": name,
        "items": report["evidence"] + report["duties"],
        "output": output,
        "receipt": receipt.to_json() if receipt else None,
        "report": report,
        "verdict": report["verdict"],
    }


def statuses_json(found: Sequence[Object]) -> Object:
    """Where some incidents stand, each as `vault.status` tells it."""
    return {
        "counts": {
            "incidents": len(found),
            "overdue": sum(each["overdue"] for one in found for each in one["owed"]),
        },
        "incident": found[0]["incident"] if len(found) == 1 else None,
        "items": list(found),
    }


def timeline_json(incident: Incident, drawn: Timeline, output: str | None = None) -> Object:
    """A timeline, with what has no place on it."""
    return {
        "counts": {"lines": len(drawn.lines), "unplaced": len(drawn.unplaced)},
        "head": {"leaf_hash": incident.leaf, "sequence": incident.sequence},
        "incident": incident.id,
        "items": [line.to_json() for line in drawn.lines],
        "output": output,
        "unplaced": [each.to_json() for each in drawn.unplaced],
    }


def metrics_json(
    figures: Sequence[Figure],
    unreadable: Sequence[Unreadable],
    *,
    incidents: int,
    profile: Profile,
    as_of: datetime,
    start: datetime | None,
    end: datetime | None,
) -> Object:
    """Figures over incidents, and which incidents they lack."""
    return {
        "as_of": format_instant(as_of),
        "counts": {"incidents": incidents, "unreadable": len(unreadable)},
        "from": _instant(start),
        "items": [figure.to_json() for figure in figures],
        "profile": {"name": profile.name, "sha256": profile.sha256, "version": profile.version},
        "to": _instant(end),
        "unreadable": [{"detail": each.detail, "incident": each.incident} for each in unreadable],
    }


def preserved_json(incident: Incident, stream: str, done: Preserved) -> Object:
    """What a window of a stream came to in an incident, and what the window lacks."""
    window = done.window
    return {
        "already": [{"exhibit": exhibit, "item": item} for exhibit, item in done.already],
        "counts": {
            "already": len(done.already),
            "bytes": sum(chosen.exhibit.item.size for _, chosen in done.new),
            "chosen": len(window.chosen),
            "items": len(done.new),
            "not_kept": len(done.gone),
        },
        "incident": incident.id,
        "items": [
            exhibit_json(incident.exhibits[exhibit], chosen.description)
            for exhibit, chosen in done.new
        ],
        "lacks": _lacks_json(window),
        "not_kept": list(done.gone),
        "receipt": done.receipts[-1].to_json() if done.receipts else None,
        "receipts": [receipt.to_json() for receipt in done.receipts],
        "stream": stream,
        "window": {"from": format_instant(window.start), "to": format_instant(window.end)},
    }


def _lacks_json(window: Window) -> Object:
    captures = window.captures
    return {
        "by_received_time": window.by_received,
        "captures": {
            "first": format_instant(min(captures)),
            "last": format_instant(max(captures)),
            "pauses": [_span_json(each) for each in window.pauses()],
            "within": len(window.captured_within()),
        },
        "not_captured": window.not_captured,
        "uncovered": [_span_json(each) for each in window.uncovered()],
        "unreadable": list(window.unreadable),
        "untimed": list(window.untimed),
        "withdrawn": list(window.withdrawn),
    }


def _span_json(span: Interval) -> Object:
    start, end = (moment.astimezone(UTC) for moment in span)
    return {
        "end": format_instant(end),
        "seconds": int((end - start).total_seconds()),
        "start": format_instant(start),
    }


def stream_json(chain: Chain) -> Object:
    """A stream as a JSON object."""
    stream, captures = chain.stream, captures_of(chain)
    return {
        "counts": {
            "bytes": sum(exhibit.item.size for exhibit in stream.exhibits.values()),
            "captures": len(captures),
            "items": len(stream.exhibits),
            "links": stream.sequence + 1,
            "not_captured": stream.not_captured,
        },
        "first_received": captures[0],
        "head": {"leaf_hash": stream.leaf, "sequence": stream.sequence},
        "holds": [hold_json(hold) for hold in stream.holds],
        "last_received": captures[-1],
        "preserved": [
            {"incident": incident, "items": len(items)}
            for incident, items in sorted(stream.preserved.items())
        ],
        "retained_until": _instant(stream.retained_until),
        "stream": stream.id,
    }


def covering_json(chain: Chain, covers: Interval | None) -> Object:
    """A stream, with what its items claim to cover."""
    return {
        **stream_json(chain),
        "covers": (
            {"from": format_instant(covers[0]), "to": format_instant(covers[1])} if covers else None
        ),
    }


def captures_of(chain: Chain) -> list[str]:
    """When each capture was received, by the vault's clock."""
    return [
        format_instant(each.statement.recorded_at)
        for each in chain.manifests
        if each.statement.type == Type.CAPTURE
    ]


def swept_json(swept: Swept, unfinished: Sequence[Object], store: str) -> Object:
    """What a sweep found; `store` says in words how well the store keeps what it holds."""
    failed, unchecked = swept.failed, swept.not_checked
    assert swept.receipt is not None
    return {
        "counts": {
            "bytes": swept.size,
            "checked": swept.checked,
            "failed": len(failed),
            "not_checked": len(unchecked),
            "objects": swept.objects,
            "unclaimed": len(swept.unclaimed),
            "unfinished": len(unfinished),
        },
        "depth": swept.depth,
        "findings": [each.to_json() for each in (*failed, *unchecked)],
        "receipt": swept.receipt.to_json(),
        "started_at": format_instant(swept.started_at),
        "store": store,
        "unclaimed": [
            {"key": each.key, "size": each.size, "version_id": each.version_id}
            for each in swept.unclaimed
        ],
        "unfinished": list(unfinished),
        "verdict": "failed" if failed else "inconclusive" if unchecked else "passed",
    }


def sweeps_json(sweeps: Sequence[EarlierSweep]) -> Object:
    """The sweeps that were sealed."""
    return {
        "counts": {"sweeps": len(sweeps)},
        "items": [
            {
                **each.sweep.to_json(),
                "actor": each.actor,
                "recorded_at": format_instant(each.recorded_at),
                "sequence": each.sequence,
            }
            for each in sweeps
        ],
    }


def collector_json(collector: Collector, trust: Trust) -> Object:
    """A collector, and whether a trust file lists its key."""
    return {
        "added_at": format_instant(collector.added_at),
        "key": b64(collector.key.spki),
        "key_id": collector.key.key_id,
        "listed": any(each.spki == collector.key.spki for each in trust.collector_keys),
        "name": collector.name,
        "removed": collector.removed,
        "sequence": collector.sequence,
    }


def collectors_json(collectors: Sequence[Collector], trust: Trust) -> Object:
    """All collectors that were ever let in."""
    return {
        "counts": {
            "delivering": sum(each.removed is None for each in collectors),
            "removed": sum(each.removed is not None for each in collectors),
        },
        "items": [collector_json(each, trust) for each in collectors],
    }


def enrolled_json(enrolled: Enrolled, moment: datetime) -> Object:
    """A collector that was let in, with the secret of its token: for its holder, this once."""
    issued, receipt = enrolled.issued, enrolled.receipt
    made: Object = {"secret": None, "token": None}
    return {
        "collector": collector_json(enrolled.collector, enrolled.trust),
        "others": list(enrolled.others),
        "receipt": receipt.to_json() if receipt else None,
        **(made if issued is None else issued_json(issued, moment)),
    }


def exported_json(incident: str, made: Exported) -> Object:
    """An export that was sealed, and the bundle that it is."""
    assert made.receipt is not None
    return {
        **bundle_json(made),
        "incident": incident,
        "receipt": made.receipt.to_json(),
    }


def bundle_json(made: Exported) -> Object:
    """A bundle that was written: what it holds, what it does not, and why."""
    return {
        "counts": {
            "included": len(made.export.included),
            "withdrawn": len(made.withdrawn),
            "withheld": len(made.withheld),
        },
        "sequence": made.sequence,
        "sha256": made.sha256,
        "size": made.size,
        "withdrawn": [_left_out_json(each) for each in made.withdrawn],
        "withheld": [_left_out_json(each) for each in made.withheld],
    }


def _left_out_json(left_out: LeftOut) -> Object:
    return {
        "actor": actor_text(left_out.actor),
        "exhibit": left_out.exhibit,
        "reason": left_out.reason,
        "sequence": left_out.sequence,
    }


def request_json(request: Request) -> Object:
    """What one person asked for, and what became of it."""
    return {
        "approver": request.approver,
        "approver_authenticated": request.approver_authenticated,
        "chain": request.chain,
        "created": format_instant(request.created),
        "expires": format_instant(request.expires),
        "id": request.id,
        "kind": request.kind,
        "parameters": request.parameters,
        "reason": request.reason,
        "requester": request.requester,
        "requester_authenticated": request.requester_authenticated,
        "result": request.result,
        "state": request.state.value,
    }


def grant_json(grant: Grant, moment: datetime) -> Object:
    """A grant as a JSON object, with its state at a moment."""
    return {
        "approved_by": grant.approved_by,
        "chains": list(grant.chains),
        "given": list(grant.given),
        "person": grant.person,
        "reason": grant.reason,
        "recorded_at": format_instant(grant.recorded_at),
        "revoked_at": _instant(grant.revoked_at),
        "revoked_reason": grant.revoked_reason,
        "revoked_sequence": grant.revoked_sequence,
        "role": grant.role.value,
        "sequence": grant.sequence,
        "state": grant_state(grant, moment).replace(" ", "_"),
        "valid_from": format_instant(grant.valid_from),
        "valid_to": _instant(grant.valid_to),
    }


def granted_json(grant: Grant, receipt: Receipt | None, moment: datetime) -> Object:
    """A role that a person holds; no receipt if they held it so already."""
    return {
        "grant": grant_json(grant, moment),
        "receipt": receipt.to_json() if receipt else None,
    }


def grant_state(grant: Grant, moment: datetime) -> str:
    """`revoked`, `in doubt`, `ended`, `to come` or `live`, at a moment."""
    if not grant.chains:
        return "revoked"
    if grant.doubtful:
        return "in doubt"
    if grant.valid_to is not None and moment > grant.valid_to:
        return "ended"
    return "live" if moment >= grant.valid_from else "to come"


def grants_json(grants: Sequence[Grant], not_understood: Sequence[int], moment: datetime) -> Object:
    """Grants as they stand at a moment, and the links whose grants are not understood."""
    return {
        "counts": {
            "grants": len(grants),
            "live": sum(each.live_at(moment) for each in grants),
        },
        "items": [grant_json(each, moment) for each in grants],
        "not_understood": list(not_understood),
    }


def token_json(token: Token, moment: datetime) -> Object:
    """A token as it stands at a moment; its secret is not kept."""
    return {
        "chains": list(token.chains),
        "created": format_instant(token.created),
        "expires": format_instant(token.expires),
        "id": token.id,
        "identity": token.identity,
        "kind": token.kind.value,
        "last_used": _instant(token.last_used),
        "name": token.name,
        "revoked": _instant(token.revoked),
        "state": token_state(token, moment),
    }


def token_state(token: Token, moment: datetime) -> str:
    """`valid`, `revoked` or `expired`, at a moment."""
    if token.revoked is not None:
        return "revoked"
    return "valid" if is_valid(token, moment) else "expired"


def tokens_json(tokens: Sequence[Token], moment: datetime) -> Object:
    """Tokens as they stand at a moment."""
    return {
        "counts": {
            "tokens": len(tokens),
            "valid": sum(is_valid(each, moment) for each in tokens),
        },
        "items": [token_json(each, moment) for each in tokens],
    }


def issued_json(issued: Issued, moment: datetime) -> Object:
    """A token that was just made, with its secret: for its holder, this once."""
    return {"secret": issued.secret.reveal(), "token": token_json(issued.token, moment)}


def _instant(moment: datetime | None) -> str | None:
    return None if moment is None else format_instant(moment)
