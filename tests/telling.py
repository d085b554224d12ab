"""A small incident told in steps: each has a name, so that a scenario can drop or change one.

`answered()` tells one in which the whole runbook was followed. Times are minutes from 09:00, the
detection; a text that begins with `@` names the exhibit that another step captured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from chain_story import INCIDENT, exhibit_subject, manifest_of

import verify.profile
from verify.checklist import Integrity, assess
from verify.description import Description
from verify.digest import sha256_hex
from verify.facts import (
    Activity,
    Config,
    Decision,
    Detector,
    Facts,
    Finding,
    Model,
    Permission,
    Ticket,
    ToolUse,
)
from verify.incident import Incident
from verify.instant import format_instant
from verify.profile import Profile, parse_profile
from verify.statement import (
    MIN_PART_SIZE,
    Capture,
    Described,
    Item,
    Link,
    Place,
    Stored,
    Type,
)
from verify.strictjson import Object

START = datetime(2026, 3, 2, 9, tzinfo=UTC)
DEFAULT = parse_profile(Path(verify.profile.__file__).with_name("profile.json").read_bytes())
PLACE = Place(key="artifacts/01KB0000000000000000000000")
PEOPLE = {
    "incident_commander": "Ada",
    "comms_lead": "Grace",
    "forensics_lead": "Linus",
    "remediation_lead": "Barbara",
    "governance_steward": "Edsger",
}
AGENT = "agent@crm"
RUN = "run-7"
TABLE = "s3://crm/customers"


def moment(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def time(minutes: float) -> str:
    return format_instant(moment(minutes))


def span(first: float, last: float) -> dict[str, str]:
    """The fields of facts that say from when to when."""
    return {"clock": "zoned", "first": time(first), "last": time(last)}


@dataclass(frozen=True)
class Step:
    """A statement, or the capture of one exhibit if it has facts."""

    name: str
    recorded: float
    type: Type
    body: Object
    facts: Facts | None = None
    kinds: tuple[str, ...] = ()
    system: str | None = None
    source: str | None = None
    captured: float | None = None
    modified: float | None = None
    file: str = ""
    content: str = ""


@dataclass
class Telling:
    """Steps in order; changed by scenarios, then folded."""

    steps: list[Step] = field(default_factory=list)

    # -- telling -----------------------------------------------------------------------------------

    def exhibit(self, name: str, recorded: float, *kinds: str, facts: Facts | None = None,
                **more: Any) -> None:  # fmt: skip
        facts = facts or Facts("test", 1, "test")
        more = {"captured": recorded, "file": name, "content": name, **more}
        self._put(Step(name, recorded, Type.CAPTURE, {}, facts, kinds, **more))

    def say(self, name: str, recorded: float, type_: Type, body: Object) -> None:
        self._put(Step(name, recorded, type_, body))

    def attest(
        self, name: str, recorded: float, type_: str, *, exhibits: Sequence[str] = (),
        approved_by: str | None = None, **fields: Any,
    ) -> None:  # fmt: skip
        approval = approved_by and {"authenticated": "attested", "person": approved_by}
        body = {
            "approved_by": approval or None,
            "attestation": type_,
            "exhibits": list(exhibits) or (["@ticket"] if approved_by else []),
            "fields": {key.rstrip("_"): value for key, value in fields.items()},
            "statement": None,
        }
        self.say(name, recorded, Type.ATTESTATION, body)

    def scope(self, name: str, recorded: float, **values: Any) -> None:
        known = self.scoped()
        changes = [
            {"field": key, "new": value, "old": known.get(key)} for key, value in values.items()
        ]
        body = {"changes": changes, "event": "scoped", "reason": None}
        self.say(name, recorded, Type.INCIDENT, body)

    def amend(self, name: str, recorded: float, **values: Any) -> None:
        changes = [
            {"field": key, "new": value, "old": self.steps[0].body[key]}
            for key, value in values.items()
        ]
        body = {"changes": changes, "event": "amended", "reason": "learnt"}
        self.say(name, recorded, Type.INCIDENT, body)

    def waive(self, recorded: float, *conditions: str, number: int = 1, **changes: Any) -> None:
        body = {
            "approved_by": {"authenticated": "attested", "person": "Edsger"},
            "compensating": [], "conditions": list(conditions), "event": "granted",
            "exhibits": ["@ticket"], "owner": "Head of Platform", "reason": "not to be had",
            "requester": "Linus", "scope": [], "valid_from": time(recorded),
            "valid_to": time(recorded + 60 * 24 * 90), "waiver": f"W-{number:04d}", **changes,
        }  # fmt: skip
        self.say(f"waiver-{number}", recorded, Type.WAIVER, body)

    def _put(self, step: Step) -> None:
        """In place of the step of this name; else where it belongs by time."""
        for place, each in enumerate(self.steps):
            if each.name == step.name:
                self.steps[place] = step
                return
        later = [place for place, each in enumerate(self.steps) if each.recorded > step.recorded]
        self.steps.insert(later[0] if later else len(self.steps), step)

    # -- changing ----------------------------------------------------------------------------------

    def step(self, name: str) -> Step:
        (found,) = [each for each in self.steps if each.name == name]
        return found

    def drop(self, *names: str) -> None:
        for name in names:
            self.steps.remove(self.step(name))

    def change(self, name: str, **changes: Any) -> None:
        """Change a step, or the facts of its exhibit, or the fields of its attestation or body."""
        step = self.step(name)
        own = {key: changes.pop(key) for key in list(changes) if hasattr(step, key)}
        if step.facts is not None:
            own["facts"] = replace(step.facts, **changes)
        elif step.type == Type.ATTESTATION and changes:
            fields = {**step.body["fields"], **changes}
            own["body"] = {
                **step.body,
                "fields": {k: v for k, v in fields.items() if v is not None},
            }
        elif changes:
            own["body"] = {**step.body, **changes}
        self.steps[self.steps.index(step)] = replace(step, **own)

    def rescope(self, **values: Any) -> None:
        """Change what the scope was stated as; None leaves a field out."""
        step = self.step("scope")
        known = {each["field"]: each["new"] for each in step.body["changes"]} | values
        changes = [{"field": k, "new": v, "old": None} for k, v in known.items() if v is not None]
        self.change("scope", changes=changes)

    def scoped(self) -> Object:
        known: Object = {}
        for step in self.steps:
            if step.body.get("event") == "scoped":
                known |= {each["field"]: each["new"] for each in step.body["changes"]}
        return known

    # -- folding -----------------------------------------------------------------------------------

    def fold(self) -> tuple[Incident, dict[str, Description], dict[str, str]]:
        """The incident, the descriptions of its exhibits, and their names by step."""
        incident = Incident(INCIDENT)
        names: dict[str, str] = {}
        described: dict[str, Description] = {}
        for step in self.steps:
            sequence = incident.sequence + 1
            link = Link(INCIDENT, sequence, incident.leaf or None)
            recorded = {"recorded_at": moment(step.recorded)}
            if step.facts is None:
                body = _resolved(step.body, names)
                if step.type == Type.ATTESTATION:
                    cited = [v for v in body["fields"].values()
                             if isinstance(v, str) and v.startswith("EV-")]  # fmt: skip
                    body["exhibits"] = list(dict.fromkeys([*body["exhibits"], *cited]))
                incident.apply(_manifest(incident, step.type, body, link, recorded))
                continue
            name = names[step.name] = f"EV-{len(incident.exhibits) + 1:04d}"
            described[name] = _description(step)
            body, subject = _capture(name, step)
            incident.apply(manifest_of(Type.CAPTURE, body, link, subject=(subject,), **recorded))
        return incident, described, names

    def report(
        self, *, as_of: float = 60 * 24 * 4, profile: Profile = DEFAULT,
        integrity: dict[str, Integrity] | None = None,
    ) -> Object:  # fmt: skip
        incident, described, names = self.fold()
        told = {names[name]: value for name, value in (integrity or {}).items()}
        return assess(profile, incident, described, as_of=moment(as_of), integrity=told)


def _manifest(incident: Incident, type_: Type, body: Object, link: Link, recorded: Object) -> Any:
    listed = dict.fromkeys([*body.get("exhibits", ()), *body.get("compensating", ())])
    subject = tuple(
        replace(exhibit_subject(name), sha256=incident.exhibits[name].item.sha256)
        for name in listed
    )
    more = {"subject": subject} if subject else {}
    return manifest_of(type_, body, link, **more, **recorded)


def _resolved(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, str) and value.startswith("@"):
        return names[value[1:]]
    if isinstance(value, list):
        return [_resolved(each, names) for each in value]
    if isinstance(value, dict):
        return {key: _resolved(each, names) for key, each in value.items()}
    return value


def _capture(name: str, step: Step) -> tuple[Object, Any]:
    digest = sha256_hex(step.content.encode())
    stored = Stored("identity", digest, len(step.content), MIN_PART_SIZE, ())
    item = Item(name, step.kinds, digest, len(step.content), stored, PLACE,
                Described(digest, 1, PLACE))  # fmt: skip
    body = Capture(
        step.system, step.source, "files", {}, step.name, 1, 1, (item,), (), 0, None
    ).to_json()
    return body, replace(exhibit_subject(name), sha256=digest)


def _description(step: Step) -> Description:
    assert step.facts is not None
    captured = step.recorded if step.captured is None else step.captured
    return Description(
        salt="00" * 32, name=step.file, name_bytes=None, path=f"/evidence/{step.file}",
        label="test", summary="",
        modified_at=None if step.modified is None else moment(step.modified),
        captured_at=moment(captured), remarks=(), facts=step.facts,
    )  # fmt: skip


def facts(**values: Any) -> Facts:
    return Facts("test", 1, "test", **values)


BAD, GOOD = "d1" * 32, "d0" * 32
MODEL = "m-2026-01-01"


def answered() -> Telling:
    """An incident in which the whole runbook was followed, in time, and nothing contradicts."""
    tell = Telling()
    tell.say("declared", 5, Type.INCIDENT, {
        "declared_at": time(5), "detected_at": time(0), "event": "declared", "severity": "sev1",
        "systems": ["crm"], "tier": "3", "title": "Mail went out", "trigger": "egress",
    })  # fmt: skip
    tell.scope(
        "scope", 6, runs=[RUN], principals=[AGENT], detectors=["dlp-1"], sources=["crm"],
        channel="#inc-1", exposure="none", customer_impact="no", ticket="OPS-1",
    )  # fmt: skip
    for number, (role, person) in enumerate(PEOPLE.items()):
        tell.say(role, 6 + number / 10, Type.INCIDENT,
                 {"at": time(6), "event": "assigned", "person": person, "role": role})  # fmt: skip
    tell.exhibit("ticket", 7, "ticket", facts=facts(tickets=(
        Ticket("OPS-1", "Mail went out", severity="SEV-1", opened_at=time(4)),)))  # fmt: skip
    tell.exhibit("alert", 7.1, "dlp_finding", facts=facts(
        detectors=(Detector("dlp-1"),), **span(0, 0),
        findings=(Finding("dlp-1", "customer list", 1, time(0), "blocked"),)))  # fmt: skip
    tell.attest("freeze", 8, "freeze", at=time(8), systems=["crm"], principals=[AGENT])
    tell.exhibit("config", 9, "config_snapshot", "model_config", modified=-60 * 30, facts=facts(
        configs=(Config("prompt", "mail", digest=BAD),),
        models=(Model(MODEL, requested=1, exact="exact"),)))  # fmt: skip
    tell.exhibit("grants", 9.5, "permission_grant", facts=facts(
        permissions=(Permission("crm:read", AGENT, granted="granted"),)))  # fmt: skip
    tell.attest("kill", 10, "kill_switch", at=time(10), systems=["crm"])
    tell.attest("isolation", 12, "isolation", at=time(12), targets=["mail connector"])
    tell.exhibit("trace", 13, "prompt", "tool_trace", system="crm", facts=facts(
        **span(-10, -1), runs=(RUN,), models=(Model(MODEL, returned=4),), spans=5,
        tools=(ToolUse("send_email", 2, 0),), datasets=(TABLE,),
        configs=(Config("prompt", "mail", digest=BAD),)))  # fmt: skip
    tell.attest(
        "rollback", 20, "rollback", action="RB-1", started_at=time(15), ended_at=time(20),
        target="mail", result="succeeded", from_digest=BAD, to_digest=GOOD, person="Barbara",
    )  # fmt: skip
    tell.attest(
        "validation", 24, "validation", at=time(21), ended_at=time(23), action="RB-1",
        subject=GOOD, checks=["rollback", "targeted_tests", "dry_run"], result="passed",
    )  # fmt: skip
    tell.exhibit("log", 26, "access_log", system="crm", facts=facts(
        **span(-60 * 24, 25), records=40, principals=(AGENT,), datasets=(TABLE,),
        actions=("GetObject",), decisions=(Decision("allowed", 40),), scopes=("eu-west-1",),
        activities=(Activity(AGENT, time(-9), time(-2), 40),)))  # fmt: skip
    tell.say("contained", 27, Type.INCIDENT, {
        "at": time(25), "event": "phase", "exhibits": ["@log"], "phase": "contained"})  # fmt: skip
    tell.exhibit("config-after", 40, "config_snapshot", facts=facts(
        configs=(Config("prompt", "mail", digest=GOOD),)))  # fmt: skip
    for audience in ("stakeholders", "stewards", "oncall_sre", "oncall_secops"):
        tell.attest(f"notice-{audience}", 30, "notice", at=time(30), audience=audience,
                    delivered_at=time(30))  # fmt: skip
    tell.exhibit("tiers", 41, "reference", file="permission-tiers.md")
    tell.attest("permissions", 42, "permissions_revalidated", at=time(42), document="@tiers",
                tightened="yes")  # fmt: skip
    tell.say("update", 50, Type.INCIDENT, {
        "at": time(50), "channel": "#inc-1", "containment": "contained", "event": "updated",
        "exhibits": [], "next_steps": "re-enable", "note": None})  # fmt: skip
    tell.attest("logging", 55, "logging", at=time(55), enhanced="on")
    tell.attest("stage-1", 60, "re_enable", at=time(60), systems=["crm"], stage="10 percent",
                monitoring="yes")  # fmt: skip
    tell.attest("stage-2", 70, "re_enable", at=time(70), systems=["crm"], stage="everyone",
                monitoring="yes")  # fmt: skip
    tell.attest("slo", 75, "slo_check", at=time(75), checks=["slo", "data_integrity", "user_path"],
                result="passed")  # fmt: skip
    tell.say("recovered", 80, Type.INCIDENT, {
        "at": time(80), "event": "phase", "exhibits": [], "phase": "recovered"})  # fmt: skip
    tell.attest("logging-off", 90, "logging", at=time(90), enhanced="off", stable_at=time(85))
    tell.exhibit("postmortem", 600, "postmortem")
    tell.attest("published", 610, "postmortem_published", at=time(605), exhibit="@postmortem",
                author="Ada", reviewer="Edsger")  # fmt: skip
    for document in ("constitution", "rulebook"):
        tell.attest(f"aligned-{document}", 620, "alignment", at=time(620), document=document,
                    result="aligned")  # fmt: skip
    tell.exhibit("playbook", 640, "reference", file="agent-ops.md", modified=630)
    return tell


def item_of(report: Object, id_: str) -> Object:
    (found,) = [each for each in (*report["evidence"], *report["duties"]) if each["id"] == id_]
    return found


def condition_of(report: Object, id_: str) -> Object:
    item = item_of(report, id_.split(".", maxsplit=1)[0])
    (found,) = [each for each in (*item["conditions"], *item["checks"]) if each["id"] == id_]
    return found


def full_report() -> Object:
    """A report in which no list is empty."""
    tell = answered()
    tell.change("ticket", tickets=(Ticket("OPS-1", "x", severity="SEV-3"),))
    tell.change("published", at=time(60 * 80))
    tell.drop("grants")
    tell.waive(700, "C3.permissions")
    tell.exhibit("other", 710, "access_log", system="erp", facts=facts(**span(0, 5)))
    tell.rescope(sources=None)
    return tell.report()
