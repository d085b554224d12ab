"""Completeness: which evidence is there, which duties are done, what is missing or contradicted.

    report = f(profile, chain prefix up to head H, descriptions, as-of T)

The same inputs give the same bytes. No I/O. Facts are taken as the vault's signed claims. FORMAT.md
§15. An item has three axes, which are never mixed: its *state*, its *timeliness*, and the
*integrity* of what it rests on. The state is decided in a fixed order (`decide`):

1. contradicted     records contradict each other, and no finding says which is believed
2. not_applicable   its trigger is provably false, or two people attest it
3. satisfied        all conditions pass, on exhibits that are as they were received
4. waived           live waivers name every condition that does not pass
5. partial          some condition passes, or it is unknown whether the item applies
6. missing          nothing does

Unknown counts as not passed. A later as-of over the same chain changes only timeliness, expiries,
and what was stated ahead of its time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from verify import conditions, consent, crosscheck, duties, strictjson
from verify.ahead import Ahead, counted, stated_ahead
from verify.attestation import STATEMENT, Attestation, AttestationType
from verify.case import Answer, Case, Result, number, texts_of
from verify.clocks import Timed, Timeliness, read_clocks, timeliness, worst
from verify.description import Description
from verify.errors import UnsupportedError
from verify.incident import Incident
from verify.instant import format_instant
from verify.profile import Applies, Condition, Item, Profile, parse_profile
from verify.response import Role
from verify.standing import Standing, coverage_bars, outside_scope, standing_of, unregistered
from verify.statement import Assessment
from verify.strictjson import Object
from verify.waiver import Waiver

ENGINE = 4
"""Raised whenever the same inputs give other bytes."""

REPORT = 3
"""The version of the report's shape."""

CITED = 200
"""So many exhibits and links are listed in one place; `exhibits_count` counts all of them."""
STEPS = 50
"""So many systems, runs or principals get a step of their own from one condition."""

_TESTS = {**conditions.TESTS, **consent.TESTS, **duties.TESTS}


class State(StrEnum):
    """What an item of the checklist has come to."""

    SATISFIED = "satisfied"
    PARTIAL = "partial"
    MISSING = "missing"
    WAIVED = "waived"
    NOT_APPLICABLE = "not_applicable"
    CONTRADICTED = "contradicted"


class Integrity(StrEnum):
    """What signed statements say of an exhibit's bytes, from best to worst."""

    VERIFIED = "verified"
    """Hashed on receipt, and no later statement says otherwise."""
    UNVERIFIED = "unverified"
    DISPOSED = "disposed"
    ERASED = "erased"
    DAMAGED = "damaged"


_WORST_INTEGRITY = tuple(reversed(Integrity))


@dataclass(frozen=True, slots=True)
class Grounds:
    """All that the state of an item rests on."""

    answers: tuple[Answer, ...]
    """Of its conditions."""
    waived: tuple[bool, ...]
    """Of each condition, whether a live waiver covers it."""
    contradicted: bool = False
    """Whether a conflict is open; among its conditions, its checks, or with "does not apply"."""
    trigger: Answer = Answer.PASS
    """Pass: the item applies; fail: it provably does not."""
    excused: bool = False
    """Whether two people attest that it does not apply."""
    sound: bool = True
    """Whether everything it rests on is as it was received."""


def decide(grounds: Grounds) -> State:
    """The state of an item; the first that fits, in the fixed order."""
    passes = [answer == Answer.PASS for answer in grounds.answers]
    if grounds.contradicted or Answer.CONFLICT in grounds.answers:
        return State.CONTRADICTED
    if grounds.excused or grounds.trigger == Answer.FAIL:
        return State.NOT_APPLICABLE
    if all(passes) and grounds.sound:
        return State.SATISFIED
    if grounds.sound and all(
        ok or waived for ok, waived in zip(passes, grounds.waived, strict=True)
    ):
        return State.WAIVED
    if any(passes) or grounds.trigger == Answer.UNKNOWN:
        return State.PARTIAL
    return State.MISSING


def verdict(states: Iterable[str]) -> str:
    """What several items come to together."""
    states = set(states)
    if State.CONTRADICTED in states:
        return "contradicted"
    if not states <= {State.SATISFIED, State.WAIVED, State.NOT_APPLICABLE}:
        return "incomplete"
    return "complete_with_waivers" if State.WAIVED in states else "complete"


def assess(
    profile: Profile,
    incident: Incident,
    descriptions: Mapping[str, Description],
    *,
    as_of: datetime,
    integrity: Mapping[str, Integrity] | None = None,
) -> Object:
    """The completeness report of a folded chain prefix, as of a time, as a JSON object.

    `integrity` is what statements in the prefix say of exhibits whose bytes are no longer as they
    were received. No statement that is known here does.
    """
    case = Case(counted(incident, as_of), descriptions, as_of)
    case.tolerance = next(
        (each.tolerance for each in profile.clocks if each.event == "contained"), 0
    )
    excused = {item.id: each for item in profile.items if (each := _excuse(case, item))}
    clocks = [each for each in read_clocks(case, profile) if each.clock.item not in excused]
    case.deviations = _deviations(case, clocks)
    case.open_clocks = [each.clock.id for each in clocks if each.open]
    judge = _Judge(case, integrity or {}, clocks, excused)
    evidence = [judge.item(item) for item in profile.evidence]
    # Whether there is doubt depends on the evidence; so duties come second.
    case.contradicted = [each["id"] for each in evidence if each["state"] == State.CONTRADICTED]
    done = [judge.item(item) for item in profile.duties]
    items = evidence + done
    shown = [each for each in clocks if each.clock.item not in judge.not_applicable]
    start, end = case.window
    return {
        "ahead": [_ahead(each, as_of) for each in stated_ahead(incident)],
        "as_of": format_instant(as_of),
        "clocks": [_clock(case, each) for each in shown],
        "contradictions": judge.contradictions,
        "counts": {"duties": _counts(done), "evidence": _counts(evidence)},
        "coverage": coverage_bars(case, profile),
        "deviations": _told_deviations(case),
        "duties": done,
        "engine": ENGINE,
        "evidence": evidence,
        "head": {"leaf_hash": incident.leaf, "sequence": incident.sequence},
        "incident": {
            "declared_at": incident.fields["declared_at"],
            "detected_at": incident.fields["detected_at"],
            "id": incident.id,
            "severity": incident.fields["severity"],
            "systems": incident.systems,
            "tier": incident.tier,
            "tier_stated": incident.fields["tier"],
            "title": incident.title,
        },
        "next": _next(items),
        "outside_scope": outside_scope(case, profile),
        "owed": _owed(case, items, shown),
        "profile": {
            "name": profile.name,
            "newer": _newer(incident, profile),
            "sha256": profile.sha256,
            "version": profile.version,
        },
        "stamps": [],
        "unregistered": unregistered(case),
        "verdict": verdict(each["state"] for each in items),
        "version": REPORT,
        "waivers": [
            _waiver(standing_of(each, as_of), each, judge.waived_by[each.id])
            for each in incident.waivers.values()
        ],
        "window": {"from": format_instant(start), "to": format_instant(end)},
    }


def encode_report(report: Object) -> bytes:
    """The bytes that are sealed (RFC 8785)."""
    return strictjson.dumps(report)


def check_engine(sealed: bytes) -> None:
    """Raise `UnsupportedError` if another engine made a sealed report."""
    engine = strictjson.load_object(sealed, where="sealed report").get("engine")
    if engine != ENGINE:
        raise UnsupportedError(f"made by engine {engine}, this is engine {ENGINE}: superseded")


def check_recomputed(assessment: Assessment, sealed: bytes, recomputed: Object) -> tuple[bool, str]:
    """Hold a recomputed report against a sealed one: whether they agree, and why in words.

    Raises `UnsupportedError` if another engine version made the sealed one.
    """
    check_engine(sealed)
    if encode_report(recomputed) == sealed:
        if not _states(assessment, recomputed):
            return False, "the assessment states another result than its report"
        return True, (
            f"the report over links 0-{assessment.head_sequence} recomputes to the same bytes; "
            "facts are signed, not recomputed"
        )
    return False, "the report recomputes to other bytes than were sealed"


def _states(assessment: Assessment, report: Object) -> bool:
    """Whether an assessment says in its own fields what its report says."""
    counts, profile = report["counts"]["evidence"], report["profile"]
    return (
        assessment.verdict,
        assessment.satisfied,
        assessment.of,
        assessment.profile_name,
        assessment.profile_version,
    ) == (report["verdict"], counts["satisfied"], counts["of"], profile["name"], profile["version"])


# -- items -----------------------------------------------------------------------------------------


class _Judge:
    """Judges items, and remembers what several of them have to say together."""

    def __init__(
        self,
        case: Case,
        integrity: Mapping[str, Integrity],
        clocks: Sequence[Timed],
        excused: Mapping[str, Attestation],
    ) -> None:
        self._case = case
        self._integrity = integrity
        self._clocks = clocks
        self._excused = excused
        self._live = [each for each in case.incident.waivers.values() if each.live_at(case.as_of)]
        self.waived_by: dict[str, list[str]] = {id_: [] for id_ in case.incident.waivers}
        self.contradictions: list[Object] = []
        self.not_applicable: set[str] = set()

    def item(self, item: Item) -> Object:
        """An item of the report."""
        case = self._case
        trigger = None
        if item.trigger:
            trigger = duties.TRIGGERS[item.trigger.test](case, item.trigger.parameters, "")
        results = [
            (each, _TESTS[each.test](case, each.parameters, each.missing))
            for each in item.conditions
        ]
        checks = [
            (each, self._closed(item, each, crosscheck.TESTS[each.test](case, each.parameters, "")))
            for each in item.checks
        ]
        excuse = self._excused.get(item.id)
        contrary = excuse is not None and self._contrary(item, excuse, results)
        cited = _by_number(name for _, result in results for name in result.exhibits)
        unsound = [
            name
            for name in cited
            if self._integrity.get(name, Integrity.VERIFIED) != Integrity.VERIFIED
        ]
        waivers = [self._waivers(each, result) for each, result in results]
        grounds = Grounds(
            answers=tuple(result.answer for _, result in results),
            waived=tuple(bool(each) for each in waivers),
            contradicted=contrary or any(result.answer == Answer.CONFLICT for _, result in checks),
            trigger=trigger.answer if trigger else Answer.PASS,
            excused=excuse is not None,
            sound=not unsound,
        )
        state = decide(grounds)
        if state == State.NOT_APPLICABLE:
            self.not_applicable.add(item.id)
        if state == State.WAIVED:
            for (each, result), several in zip(results, waivers, strict=True):
                if result.answer != Answer.PASS:
                    for waiver in several:
                        self.waived_by[waiver.id].append(each.id)
        own = [each.timeliness for each in self._clocks if each.clock.item == item.id]
        applies = state != State.NOT_APPLICABLE
        return {
            "checks": [self._condition(each, result, ()) for each, result in checks],
            "conditions": [
                self._condition(each, result, several)
                for (each, result), several in zip(results, waivers, strict=True)
            ],
            "exhibits": cited[:CITED],
            "exhibits_count": len(cited),
            "id": item.id,
            "integrity": self._worst(cited),
            "next": [
                step
                for (each, result), several in zip(results, waivers, strict=True)
                if applies and result.answer != Answer.PASS and not several
                for step in _steps(case, each, result)
            ],
            "owner": item.owner,
            "person": case.holder(Role(item.owner)),
            "reason": _reason(
                state, trigger, excuse, results, checks, unsound, _unheeded(case, item, excuse)
            ),
            "state": state.value,
            "timeliness": worst(own) if applies else None,
            "title": item.title,
            "trigger": {"answer": trigger.answer.value, "detail": trigger.detail}
            if trigger
            else None,
            "underlying": decide(replace(grounds, waived=(False,) * len(results))).value
            if state == State.WAIVED
            else None,
        }

    def _condition(self, each: Condition, result: Result, waivers: Sequence[Waiver]) -> Object:
        exhibits = _by_number(result.exhibits)
        links = sorted(set(result.links))
        return {
            "answer": result.answer.value,
            "asks": each.asks,
            "detail": result.detail,
            "exhibits": exhibits[:CITED],
            "exhibits_count": len(exhibits),
            "id": each.id,
            "links": links[:CITED],
            "waivers": [waiver.id for waiver in waivers] if result.answer != Answer.PASS else [],
        }

    def _closed(self, item: Item, check: Condition, result: Result) -> Result:
        """A conflict, unless a finding closes it. It is told either way."""
        if result.answer != Answer.CONFLICT:
            return result
        finding, bare = _finding(self._case, check, result)
        self.contradictions.append(
            {
                "asks": check.asks,
                "closed_by": {
                    "believed": str(finding.fields["believed"]),
                    "link": finding.sequence,
                    "reason": str(finding.fields["reason"]),
                }
                if finding
                else None,
                "condition": check.id,
                "detail": result.detail,
                "item": item.id,
                "sides": [
                    {"record": side.record, "says": side.says} for side in result.sides[:CITED]
                ],
            }
        )
        if finding is None:
            return replace(result, detail="; ".join([result.detail, *bare]))
        detail = f"{result.detail}; link {finding.sequence} believes {finding.fields['believed']}"
        return Result(Answer.PASS, detail, result.exhibits, (*result.links, finding.sequence))

    def _contrary(
        self, item: Item, excuse: Attestation, results: Sequence[tuple[Condition, Result]]
    ) -> bool:
        """Whether evidence denies that the item does not apply."""
        against = [
            (each, result)
            for each, result in results
            if each.contrary and result.answer == Answer.PASS
        ]
        if not against:
            return False
        self.contradictions.append(
            {
                "asks": "The item does not apply",
                "closed_by": None,
                "condition": against[0][0].id,
                "detail": f"{item.id} is said not to apply, and there is evidence of it",
                "item": item.id,
                "sides": [
                    {"record": f"link {excuse.sequence}", "says": f"{item.id} does not apply"},
                    *(
                        {"record": name, "says": each.asks}
                        for each, result in against
                        for name in (*result.exhibits, *(f"link {n}" for n in result.links))
                    ),
                ][:CITED],
            }
        )
        return True

    def _waivers(self, condition: Condition, result: Result) -> list[Waiver]:
        """The live waivers that together cover what a condition fails for; a conflict has none."""
        if result.answer in (Answer.PASS, Answer.CONFLICT):
            return []
        naming = [each for each in self._live if condition.id in each.conditions]
        whole = [each for each in naming if not each.scope]
        if whole:
            return whole
        covered = {name for each in naming for name in each.scope}
        lacking = set(result.lacking)
        if lacking and lacking <= covered:
            return [each for each in naming if lacking & set(each.scope)]
        return []

    def _worst(self, cited: Sequence[str]) -> str | None:
        if not cited:
            return None
        found = {self._integrity.get(name, Integrity.VERIFIED) for name in cited}
        return next(each for each in _WORST_INTEGRITY if each in found).value


def _excuse(case: Case, item: Item) -> Attestation | None:
    """The attestation that an item does not apply, if the steward is its second person.

    None if it was said later that the item applies; one person may say so, as more is owed then.
    """
    if item.applies != Applies.UNLESS_ATTESTED:
        return None
    back = _taken_back(case, item)
    for each in case.attested(AttestationType.NOT_APPLICABLE):
        if each.fields["item"] != item.id or each.approval is None or each.sequence < back:
            continue
        if case.held_role(each.approval.person, Role.GOVERNANCE_STEWARD, each.recorded_at):
            return each
    return None


def _taken_back(case: Case, item: Item) -> int:
    """The link that last said that an item applies after all; -1 if none did."""
    said = case.attested(AttestationType.APPLIES)
    return max((each.sequence for each in said if each.fields["item"] == item.id), default=-1)


def _unheeded(case: Case, item: Item, excuse: Attestation | None) -> str:
    """Why an attestation that an item does not apply does not count; empty if there is none."""
    said = [
        each.sequence
        for each in case.attested(AttestationType.NOT_APPLICABLE)
        if each.fields["item"] == item.id
    ]
    back = _taken_back(case, item)
    if excuse or not said:
        return ""
    if said[-1] < back:
        return f"link {said[-1]} says that it does not apply: link {back} takes that back"
    if item.applies == Applies.UNLESS_ATTESTED:
        why = "whoever approved that was not governance steward then"
    elif item.applies == Applies.ON_TRIGGER:
        why = "its trigger decides that"
    else:
        why = "it always applies"
    return f"link {said[-1]} says that it does not apply: {why}"


def _finding(
    case: Case, check: Condition, result: Result
) -> tuple[Attestation | None, Sequence[str]]:
    """The last finding that closes a conflict; without one, why the last that would is not enough.

    It was made after all that is in conflict was on record, and an exhibit shows it: the one that
    it believes or, where it believes statements, one that is itself no part of the conflict.
    """
    records = {side.record for side in result.sides}
    stated = any(record.startswith("link ") for record in records)
    newest = max(
        [*result.links, *(case.exhibit(name).sequence for name in result.exhibits)], default=0
    )
    bare = ""
    for each in reversed(case.attested(AttestationType.FINDING)):
        believed = each.fields["believed"]
        if each.fields["conflict"] != check.id or each.sequence <= newest:
            continue
        if believed in records:
            return each, ()
        if believed != STATEMENT or not stated:
            continue
        doubted = {*records, *texts_of(each.fields, "disbelieved")}
        if any(name not in doubted for name in case.live(each.exhibits)):
            return each, ()
        bare = bare or f"link {each.sequence} believes statement, and no exhibit shows why"
    return None, [bare] if bare else []


def _reason(
    state: State,
    trigger: Result | None,
    excuse: Attestation | None,
    results: Sequence[tuple[Condition, Result]],
    checks: Sequence[tuple[Condition, Result]],
    unsound: Sequence[str],
    unheeded: str,
) -> str:
    """What keeps an item from being satisfied, or why it does not apply."""
    if state == State.NOT_APPLICABLE:
        return str(excuse.fields["reason"]) if excuse else (trigger.detail if trigger else "")
    conflicts = [each.detail for _, each in checks if each.answer == Answer.CONFLICT]
    if state == State.CONTRADICTED and excuse and not conflicts:
        conflicts = ["said not to apply, and there is evidence of it"]
    told = conflicts + [each.detail for _, each in results if each.answer != Answer.PASS]
    if unsound:
        told.append(f"no longer as received: {', '.join(unsound[:3])}")
    if state != State.SATISFIED:
        told.append(unheeded)
    if trigger and trigger.answer == Answer.UNKNOWN and state != State.SATISFIED:
        told.insert(0, trigger.detail)
    return "; ".join(dict.fromkeys(each for each in told if each))


def _steps(case: Case, condition: Condition, result: Result) -> list[Object]:
    """The commands that would help, with what each stands for."""
    if not condition.next:
        return []
    subjects: Sequence[str] = ("",)
    if any("{subject}" in word for word in condition.next):
        subjects = result.lacking[:STEPS]
    return [
        {
            "command": [
                word.replace("{incident}", case.incident.id).replace("{subject}", subject)
                for word in condition.next
            ],
            "vanishes": condition.vanishes,
        }
        for subject in subjects
    ]


def _next(items: Sequence[Object]) -> list[Object]:
    """All steps, what vanishes first coming first, none twice."""
    steps = [{"item": item["id"], **step} for item in items for step in item["next"]]
    steps.sort(key=lambda step: step["vanishes"])
    result = {tuple(step["command"]): step for step in reversed(steps)}
    return [step for step in steps if result[tuple(step["command"])] is step]


def _counts(items: Sequence[Object]) -> Object:
    states = [item["state"] for item in items]
    return {"of": len(items), **{state.value: states.count(state.value) for state in State}}


def _by_number(names: Iterable[str]) -> list[str]:
    return sorted(set(names), key=number)


# -- clocks, deviations, what is owed --------------------------------------------------------------


def _clock(case: Case, timed: Timed) -> Object:
    event = timed.event
    left = int((timed.deadline - case.as_of).total_seconds())
    return {
        "after": format_instant(timed.after),
        "anchor": timed.clock.after,
        "at": format_instant(event.claimed) if event else None,
        "corroborated_by": list(timed.corroborated[:CITED]),
        "deadline": format_instant(timed.deadline),
        "early_seconds": timed.early,
        "event": timed.clock.event,
        "id": timed.clock.id,
        "item": timed.clock.item or None,
        "left_seconds": left if timed.open else None,
        "limit_seconds": timed.clock.seconds,
        "overruns": [
            {"from": format_instant(start), "seconds": int((end - start).total_seconds()),
             "to": format_instant(end)}
            for start, end in timed.overruns[:CITED]
        ],
        "owner": timed.clock.owner,
        "recorded_at": format_instant(event.recorded) if event else None,
        "seconds": timed.seconds,
        "timeliness": timed.timeliness.value,
        "title": timed.clock.title,
    }  # fmt: skip


def _deviations(case: Case, clocks: Sequence[Timed]) -> list[tuple[str, str]]:
    """What departed from policy, by the id under which it is approved.

    A deadline that passed with nothing done is none yet: it will be, once the event comes late.
    """
    found = [
        (f"late.{each.clock.id}", f"{each.clock.title}: late")
        for each in clocks
        if each.clock.item
        and (each.overruns or (each.event is not None and each.timeliness == Timeliness.LATE))
    ]
    for each in case.attested(AttestationType.ALIGNMENT):
        if each.fields["result"] == "deviates":
            what = str(each.fields.get("deviation") or "deviates")
            found.append(
                (f"alignment.{each.fields['document']}", f"{each.fields['document']}: {what}")
            )
    return list(dict(found).items())


def _ahead(each: Ahead, as_of: datetime) -> Object:
    return {
        "at": format_instant(each.at),
        "counts": each.at <= as_of,
        "link": each.sequence,
        "recorded_at": format_instant(each.recorded_at),
        "what": each.what,
    }


def _told_deviations(case: Case) -> list[Object]:
    approvals = consent.approvals_of_deviations(case)
    return [
        {"approved_by": [each.sequence for each in approvals[id_]], "id": id_, "what": what}
        for id_, what in case.deviations
    ]


def _owed(case: Case, items: Sequence[Object], clocks: Sequence[Timed]) -> list[Object]:
    """What is still to be done, by whom, and by when: what is due first comes first."""
    owed = []
    for item in items:
        if item["state"] in (State.SATISFIED, State.WAIVED, State.NOT_APPLICABLE):
            continue
        due = [each.deadline for each in clocks if each.open and each.clock.item == item["id"]]
        owed.append(
            {
                "due_at": format_instant(min(due)) if due else None,
                "item": item["id"],
                "overdue": bool(due) and min(due) < case.as_of,
                "owner": item["owner"],
                "person": item["person"],
                "state": item["state"],
                "title": item["title"],
            }
        )
    owed.sort(key=lambda each: (each["due_at"] is None, each["due_at"] or ""))
    return owed


def _newer(incident: Incident, profile: Profile) -> Object | None:
    """A later version of the profile that this chain was judged by before."""
    known = incident.profiles.get(profile.name)
    if known is None or known.version <= profile.version:
        return None
    return {"link": known.sequence, "sha256": known.sha256, "version": known.version}


def _waiver(standing: Standing, waiver: Waiver, covers: Sequence[str]) -> Object:
    return {
        "approved_by": waiver.approval.person,
        "authenticated": waiver.approval.authenticated,
        "compensating": list(waiver.compensating),
        "conditions": list(waiver.conditions),
        "covers": list(covers),
        "id": waiver.id,
        "link": waiver.sequence,
        "owner": waiver.owner,
        "reason": waiver.reason,
        "requester": waiver.requester,
        "revoked_reason": waiver.revoked_reason,
        "scope": list(waiver.scope),
        "standing": standing.value,
        "valid_from": format_instant(waiver.valid_from),
        "valid_to": format_instant(waiver.valid_to),
    }


__all__ = [
    "ENGINE",
    "Answer",
    "Grounds",
    "Integrity",
    "Profile",
    "State",
    "Timeliness",
    "assess",
    "check_engine",
    "check_recomputed",
    "decide",
    "encode_report",
    "parse_profile",
    "timeliness",
    "verdict",
]
