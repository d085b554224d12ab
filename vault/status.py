"""Where an incident stands: phase, clocks, what is owed by whom, and what to do next. Pure.

Everything is taken from the incident's fold and its completeness report; nothing is judged anew.
"""

from __future__ import annotations

from collections.abc import Sequence

from vault.report_words import reported_waiver_text
from verify.ahead import counted
from verify.incident import AFTER_SEAL, Incident
from verify.instant import format_instant, parse_instant
from verify.response import Role, offer
from verify.standing import Standing
from verify.statement import Type
from verify.strictjson import Object

_STANDING = ("overrun", "left", "done")


def status_of(incident: Incident, report: Object) -> Object:
    """The status of a folded chain prefix, `report` being the completeness report over it."""
    # What was stated for a time to come has not come to pass, here as in the report.
    incident = counted(incident, parse_instant(report["as_of"], where="as_of"))
    entered = incident.phases[-1] if incident.phases else None
    return {
        "as_of": report["as_of"],
        "clocks": _clocks(report["clocks"]),
        "counts": report["counts"],
        "detected_at": incident.fields["detected_at"],
        "head": report["head"],
        "incident": incident.id,
        "next": report["next"],
        "owed": report["owed"],
        "phase": entered.phase if entered else "declared",
        "phase_recorded_at": format_instant(entered.recorded_at)
        if entered
        else _declared_recorded(incident),
        "phase_since": format_instant(entered.at) if entered else incident.fields["declared_at"],
        "roles": [_role(incident, role) for role in Role],
        "sealed": incident.sealed,
        "severity": incident.fields["severity"],
        "tier": incident.tier,
        "tier_stated": incident.fields["tier"],
        "title": incident.title,
        "verdict": report["verdict"],
        "waivers": [
            {
                name: each[name]
                for name in (
                    "approved_by",
                    "authenticated",
                    "conditions",
                    "id",
                    "scope",
                    "valid_to",
                )
            }
            for each in report["waivers"]
            if each["standing"] == Standing.LIVE
        ],
    }


def open_at_seal(
    incident: Incident, report: Object | None, *, unjudged: str | None = None
) -> Object:
    """What a seal of this chain prefix would leave open, and what could not follow it.

    Without a report clocks and gaps are not known; `unjudged` says why there is none.
    """
    clocks = [] if report is None else _clocks(report["clocks"])
    owed = set() if report is None else {each["item"] for each in report["owed"]}
    items = [] if report is None else [*report["evidence"], *report["duties"]]
    return {
        "as_of": report["as_of"] if report else None,
        "clocks": [
            {
                **{
                    name: each[name] for name in ("deadline", "id", "item", "left_seconds", "title")
                },
                "standing": "running" if each["standing"] == "left" else "breached",
            }
            for each in clocks
            if each["standing"] != "done"
        ],
        "gaps": [
            {
                "item": each["id"],
                "reason": each["reason"],
                "state": each["state"],
                "title": each["title"],
            }
            for each in items
            if each["id"] in owed
        ],
        "head": {"leaf_hash": incident.leaf, "sequence": incident.sequence},
        "holds": [
            {"matter": each.matter, "sequence": each.sequence} for each in incident.live_holds
        ],
        "no_longer": [each.value for each in _ADDED_BY_PEOPLE if each not in AFTER_SEAL],
        "offers": [
            {"holder": held["person"], "offered_to": held["offered_to"], "role": held["role"]}
            for held in (_role(incident, role) for role in Role)
            if held["offered_to"]
        ],
        "unjudged": unjudged,
        "waived": [
            reported_waiver_text(each)
            for each in (report["waivers"] if report else ())
            if each["standing"] == Standing.LIVE
        ],
    }


_ADDED_BY_PEOPLE = (Type.CAPTURE, Type.INCIDENT, Type.ATTESTATION, Type.WAIVER)


def _declared_recorded(incident: Incident) -> str:
    return format_instant(incident.declared_recorded_at or incident.declared_at)


def _clocks(clocks: Sequence[Object]) -> list[Object]:
    """What has run out first, the longest ago first; then what runs out next; then what is done."""
    told = [
        {
            "deadline": clock["deadline"],
            "early_seconds": clock["early_seconds"],
            "id": clock["id"],
            "item": clock["item"],
            "left_seconds": clock["left_seconds"],
            "limit_seconds": clock["limit_seconds"],
            "owner": clock["owner"],
            "overruns": len(clock["overruns"]),
            "seconds": clock["seconds"],
            "standing": _standing(clock),
            "timeliness": clock["timeliness"],
            "title": clock["title"],
        }
        for clock in clocks
    ]
    return sorted(told, key=lambda each: (_STANDING.index(each["standing"]), each["deadline"]))


def _standing(clock: Object) -> str:
    if clock["left_seconds"] is None:
        return "done"
    return "left" if clock["left_seconds"] >= 0 else "overrun"


def _role(incident: Incident, role: Role) -> Object:
    waiting = offer(incident.assignments, role)
    return {
        "offered_to": waiting.person if waiting else None,
        "person": incident.holder(role),
        "role": role.value,
    }
