"""Completeness reports: computed by `verify.checklist` over the chain, sealed as assessments."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path

import verify.checklist
from vault import layout
from vault.changes import Changes, differences
from vault.deposit import Draft, Receipt
from vault.errors import UnavailableError
from vault.incidents import Chain, Incidents
from vault.ports import UNPROTECTED, Clock, ObjectStore, Protection
from vault.retention import Retention
from vault.status import open_at_seal
from vault.ulid import new_ulid
from vault.waivers import closed_by_finding
from verify import strictjson
from verify.attestation import AttestationType, Value
from verify.chain import Manifest
from verify.checklist import check_engine, encode_report
from verify.errors import EvidenceError, MalformedError
from verify.instant import format_instant
from verify.profile import Profile, parse_profile
from verify.statement import Assessment, Described, Place, Type, parse_assessment
from verify.strictjson import Object


class UnknownItemError(MalformedError):
    """The checklist has no such item; nothing was sealed."""

    code = "unknown_item"


class UnknownConditionError(MalformedError):
    """The checklist has no such condition, or none that can be waived; nothing was sealed."""

    code = "unknown_condition"


def built_in_profile() -> Profile:
    """The runbook's checklist, as shipped."""
    path = Path(verify.checklist.__file__).with_name("profile.json")
    return parse_profile(path.read_bytes(), where="built-in profile")


def report_of(incidents: Incidents, chain: Chain, profile: Profile, as_of: datetime) -> Object:
    """The completeness report over a chain prefix, as of a time."""
    return verify.checklist.assess(
        profile, chain.incident, incidents.descriptions(chain), as_of=as_of
    )


def changes_since_sealed(incidents: Incidents, chain: Chain, report: Object) -> Changes | None:
    """What changed since the last report that a link of this prefix sealed; None if none did."""
    return changes_since(incidents, last_sealed(chain.manifests), report)


def last_sealed(manifests: Sequence[Manifest]) -> Manifest | None:
    """The last of these links that sealed a completeness report."""
    sealing = (each for each in reversed(manifests) if each.statement.type == Type.ASSESSMENT)
    return next(sealing, None)


def changes_since(
    incidents: Incidents, manifest: Manifest | None, report: Object
) -> Changes | None:
    """What a report says otherwise than the one that a link sealed; None if there is none.

    One that cannot be read, or that another engine made, is told, and compared with nothing.
    Raises `UnavailableError` where the store cannot be used: that says nothing of the report.
    """
    if manifest is None:
        return None
    sequence = manifest.statement.link.sequence
    sealed = parse_assessment(manifest.statement.body, where=manifest.name)
    told = partial(Changes, sequence, sealed.head_sequence, format_instant(sealed.as_of))
    try:
        data = incidents.sealed_report(manifest)
        check_engine(data)
        before = strictjson.load_object(data, where=f"report of link {sequence}")
    except UnavailableError:
        raise
    except EvidenceError as error:
        return told((), f"it is not compared: {error}")
    return told(tuple(differences(before, report)))


def left_open(incidents: Incidents, chain: Chain, profile: Profile, as_of: datetime) -> Object:
    """What is open at an incident's seal.

    A checklist that cannot be judged hides nothing else, and stops no seal.
    """
    try:
        report = report_of(incidents, chain, profile, as_of)
    except EvidenceError as error:
        return open_at_seal(chain.incident, None, unjudged=str(error))
    return open_at_seal(chain.incident, report)


def answers_of(report: Object, *, checks: bool = True) -> dict[str, str]:
    """Each condition of a report by its id, like `C2.models`, and how it was answered.

    With `checks`, also what only looks for contradictions, and so cannot be waived.
    """
    return {
        each["id"]: each["answer"]
        for part in ("evidence", "duties")
        for item in report.get(part, ())
        for each in (*item["conditions"], *(item.get("checks", ()) if checks else ()))
    }


class Assessments:
    """Completeness reports sealed onto the chains of one vault."""

    def __init__(
        self, *, incidents: Incidents, store: ObjectStore, clock: Clock, retention: Retention
    ) -> None:
        self._incidents = incidents
        self._store = store
        self._clock = clock
        self._retention = retention

    def seal(self, chain: Chain, profile: Profile, report: Object, as_of: datetime) -> Receipt:
        """Seal a report about a chain's head. Raises `StaleHeadError` if the chain has grown."""
        return seal_report(
            incidents=self._incidents,
            store=self._store,
            clock=self._clock,
            chain=chain,
            profile=profile,
            report=report,
            as_of=as_of,
            protection=self._retention.guard(chain.incident.id).needs(()),
        )


def check_known_condition(condition: str, answers: Mapping[str, str]) -> None:
    """Raise `UnknownConditionError` unless the checklist has this one condition."""
    if condition in answers:
        return
    item = condition.partition(".")[0]
    of_item = [name for name in answers if name.partition(".")[0] == item]
    if condition == item and of_item:
        raise UnknownConditionError(
            f"{item} is a whole item; name its conditions one by one: {', '.join(of_item)}"
        )
    near = difflib.get_close_matches(condition, list(answers), 3)
    known = of_item or near or list(answers)
    raise UnknownConditionError(
        f"the checklist has no condition {condition!r}; it has {', '.join(known)}"
    )


def check_waivable(conditions: Sequence[str], report: Object) -> None:
    """Raise `UnknownConditionError` unless each is a condition of a report that can be waived."""
    every, answers = answers_of(report), answers_of(report, checks=False)
    for condition in conditions:
        if condition in every and condition not in answers:
            closes = closed_by_finding(report["incident"]["id"])
            raise UnknownConditionError(f"{condition} only looks for contradictions; {closes}")
        check_known_condition(condition, answers)


ON_CHECKLIST = (
    AttestationType.FINDING,
    AttestationType.NOT_APPLICABLE,
    AttestationType.APPLIES,
)
"""What is attested of the checklist itself, and so is held against it first."""


def check_on_checklist(
    type_: AttestationType, fields: Mapping[str, Value], answers: Mapping[str, str]
) -> list[str]:
    """Items and conditions are those of the checklist; a finding that closes nothing is told.

    Raises `UnknownItemError`, `UnknownConditionError`.
    """
    if type_ != AttestationType.FINDING:
        items = list(dict.fromkeys(name.partition(".")[0] for name in answers))
        if fields["item"] not in items:
            raise UnknownItemError(f"{fields['item']!r} is no item; there are {', '.join(items)}")
        return []
    conflict = str(fields["conflict"])
    check_known_condition(conflict, answers)
    if answers[conflict] == "conflict":
        return []
    return [f"{conflict} is not contradicted as it stands; the finding closes nothing now."]


def seal_report(
    *,
    incidents: Incidents,
    store: ObjectStore,
    clock: Clock,
    chain: Chain,
    profile: Profile,
    report: Object,
    as_of: datetime,
    protection: Protection = UNPROTECTED,
) -> Receipt:
    """Seal a report about a chain's head. Raises `StaleHeadError` if the chain has grown.

    `protection` is what evidence of no particular kind needs on this chain: `Guard.needs(())`.
    """
    data = encode_report(report)
    key = layout.artifact(new_ulid(clock()))
    upload = store.upload(key, size=len(data), protection=protection)
    try:
        upload.write(data)
        stored = upload.finish()
        version_id = upload.publish()
    except BaseException:
        upload.abort()
        raise
    counts = report["counts"]["evidence"]
    body = Assessment(
        report=Described(stored.sha256, stored.size, Place(key=key, version_id=version_id)),
        profile_name=profile.name,
        profile_version=profile.version,
        profile_sha256=profile.sha256,
        head_sequence=chain.incident.sequence,
        head_leaf=chain.incident.leaf,
        as_of=as_of,
        verdict=report["verdict"],
        satisfied=counts["satisfied"],
        of=counts["of"],
    ).to_json()
    deposit = f"assessment-{new_ulid(clock())}"
    draft = Draft(Type.ASSESSMENT, body, deposit, (chain.subject,))
    return incidents.deposit(chain.incident.id, [draft], chain.incident.sequence)[0]
