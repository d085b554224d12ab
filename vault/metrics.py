"""Metrics over incidents: each by its formula, with what fed it and what could not.

A figure is made of samples, one or more from an incident. What still runs is *open*: it is left
out, and counted. What the chain does not hold is *not known*: it is left out with the reason, and
never taken for nought. The 90th percentile is the smallest sample that at least nine in ten do not
exceed. Pure, but for `measure`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from statistics import fmean, median

from vault.custody import exhibit_ranges
from vault.guardrails import guards_of
from vault.incidents import Chain, Incidents
from vault.timeline import instant_of
from verify.ahead import counted
from verify.attestation import AttestationType
from verify.case import Case
from verify.checklist import State, Timeliness, assess
from verify.crosscheck import truth_of
from verify.description import Description
from verify.errors import EvidenceError
from verify.facts import Facts
from verify.incident import Incident, fold
from verify.instant import format_instant, parse_instant
from verify.profile import Profile
from verify.response import Phase
from verify.statement import Kind
from verify.strictjson import Object

EARLY = timedelta(hours=24)
"""After the declaration: when evidence should be complete."""
RECURRENCE = timedelta(days=90)
"""Within which a like cause counts as the same incident again."""
CAUGHT = timedelta(minutes=5)
"""So much after the stated detection an alert may have fired and still be what caught it."""

_ALERTS = (Kind.GUARDRAIL_ALERT, Kind.DLP_FINDING)


@dataclass(frozen=True, slots=True)
class Measured:
    """An incident, and what the checklist says of it."""

    incident: Incident
    descriptions: Mapping[str, Description]
    report: Object
    """As of the time of measuring, over the whole chain."""
    early: Object | None
    """As of 24 h after the declaration, over the links that were there by then."""
    as_of: datetime
    peers: Sequence[Incident] = ()
    """All incidents of the vault that could be read, itself among them."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An incident whose chain could not be read; every figure lacks it."""

    incident: str
    detail: str


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of one incident: seconds, a count, or a share of a whole."""

    measured: Measured
    value: float
    detail: str
    """What it was computed from."""
    part: int | None = None
    of: int | None = None
    """Of a share: so many of so many."""


@dataclass(frozen=True, slots=True)
class Left:
    """Why an incident feeds no sample: what is measured is still to come, or is not known."""

    measured: Measured
    reason: str
    open: bool = False


@dataclass(slots=True)
class Figure:
    """One metric over all incidents measured."""

    id: str
    title: str
    definition: str
    unit: str
    """`seconds`, `count` or `share`."""
    samples: list[Sample] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)
    parts: list[Object] = field(default_factory=list)
    """The same, broken down by detector."""

    @property
    def values(self) -> list[float]:
        """All samples, in order of size."""
        return sorted(sample.value for sample in self.samples)

    @property
    def mean(self) -> float | None:
        """The arithmetic mean; None of no samples."""
        return fmean(self.values) if self.samples else None

    @property
    def median(self) -> float | None:
        """The middle sample, or the mean of the middle two; None of no samples."""
        return median(self.values) if self.samples else None

    @property
    def p90(self) -> float | None:
        """The 90th percentile by nearest rank; None of no samples."""
        values = self.values
        return values[math.ceil(len(values) * 9 / 10) - 1] if values else None

    @property
    def pooled(self) -> tuple[int, int] | None:
        """Of shares: all parts together, of all wholes together."""
        if self.unit != "share" or not self.samples:
            return None
        return sum(each.part or 0 for each in self.samples), sum(
            each.of or 0 for each in self.samples
        )

    @property
    def open(self) -> list[Left]:
        """What is still to come."""
        return [each for each in self.left if each.open]

    @property
    def unknown(self) -> list[Left]:
        """What the chains do not hold."""
        return [each for each in self.left if not each.open]

    @property
    def fed_by(self) -> list[Incident]:
        """The incidents with a sample, each once."""
        return list(
            {each.measured.incident.id: each.measured.incident for each in self.samples}.values()
        )

    def to_json(self) -> Object:
        """The JSON object."""
        pooled = self.pooled
        return {
            "by_detector": self.parts,
            "definition": self.definition,
            "fed_by": [
                {
                    "detail": each.detail,
                    "incident": each.measured.incident.id,
                    "leaf_hash": each.measured.incident.leaf,
                    "of": each.of,
                    "part": each.part,
                    "sequence": each.measured.incident.sequence,
                    "value": _rounded(each.value),
                }
                for each in self.samples
            ],
            "id": self.id,
            "mean": _rounded(self.mean),
            "median": _rounded(self.median),
            "n": len(self.samples),
            "open": [_left_json(each) for each in self.open],
            "p90": _rounded(self.p90),
            "pooled": {"of": pooled[1], "part": pooled[0]} if pooled else None,
            "title": self.title,
            "unit": self.unit,
            "unknown": [_left_json(each) for each in self.unknown],
        }


def measure(
    incidents: Incidents,
    names: Iterable[str],
    profile: Profile,
    *,
    as_of: datetime,
    start: datetime | None = None,
    end: datetime | None = None,
) -> tuple[list[Measured], list[Unreadable]]:
    """Read the incidents that were declared, as claimed, from `start` on and before `end`.

    One that cannot be read is told beside the others, whenever it may have been declared.
    """
    measured, unreadable = [], []
    peers: list[Incident] = []
    for name in names:
        try:
            chain = incidents.read(name)
            peers.append(chain.incident)
            declared = chain.incident.declared_at
            if (start and declared < start) or (end and declared >= end):
                continue
            described = incidents.descriptions(chain)
            measured.append(measured_of(chain, described, profile, as_of=as_of, peers=peers))
        except EvidenceError as error:
            unreadable.append(Unreadable(name, str(error)))
    return measured, unreadable


def measured_of(
    chain: Chain,
    descriptions: Mapping[str, Description],
    profile: Profile,
    *,
    as_of: datetime,
    peers: Sequence[Incident] = (),
) -> Measured:
    """What is measured of one incident; `peers` may still grow while others are read."""
    incident = chain.incident
    early = None
    moment = incident.declared_at + EARLY
    known = []
    for manifest in chain.manifests:
        if manifest.statement.recorded_at > moment:
            break
        known.append(manifest)
    if known and moment <= as_of:
        then = fold(known, chain=incident.id)
        assert isinstance(then, Incident)
        early = assess(profile, then, descriptions, as_of=moment)
    return Measured(
        incident=counted(incident, as_of),
        descriptions=descriptions,
        report=assess(profile, incident, descriptions, as_of=as_of),
        early=early,
        as_of=as_of,
        peers=peers,
    )


def figures_of(measured: Sequence[Measured]) -> list[Figure]:
    """All metrics of some incidents, in the order in which they are told."""
    figures = []
    for id_, title, definition, unit, read in _FIGURES:
        figure = Figure(id_, title, definition, unit)
        for each in measured:
            for found in read(each):
                if isinstance(found, Sample):
                    figure.samples.append(found)
                else:
                    figure.left.append(found)
        figures.append(figure)
        if id_ == "false_discovery":
            figure.parts = _by_detector(measured)
    return figures


Found = Iterator[Sample | Left]


def _acknowledged(case: Measured) -> Found:
    incident = case.incident
    acts = [
        (each.at, each)
        for each in incident.attestations
        if each.type == AttestationType.ACKNOWLEDGEMENT and each.at
    ]
    if not acts:
        # Once it is closed, nobody will.
        reason = "nobody's acknowledgement is attested"
        yield Left(case, reason, open=not incident.sealed)
        return
    at, first = min(acts, key=lambda act: act[0])
    acknowledged = f"link {first.sequence} {format_instant(at)}"
    alerts = list(_alerts(case))
    named = first.fields.get("alert")
    # Whoever names an alert answers that one; else it is the newest that there was.
    own = [each for each in alerts if named in (None, each[1])]
    inside = [each for each in own if _in_window(case, each[0])]
    answered = max((each for each in inside if each[0] <= at), default=None)
    aside = _aside(case, alerts, answered, at)
    if answered is None and inside:
        start, name = min(inside)
        reason = f"acknowledged ({acknowledged}) before its first alert ({name} "
        yield Left(case, f"{reason}{format_instant(start)}){aside}")
        return
    if answered is None:
        which = f"the alert that it names ({named})" if named else "an alert"
        basis = f"stated detection, for want of {which} with a time in the window"
        start = incident.detected_at
    else:
        start, basis = answered
    if at < start:
        yield Left(case, f"acknowledged ({acknowledged}) before the {basis}{aside}")
        return
    detail = f"{basis}, {format_instant(start)}, to {acknowledged}{aside}"
    yield _seconds(case, start, at, detail)


def _aside(
    case: Measured,
    alerts: Sequence[tuple[datetime, str]],
    taken: tuple[datetime, str] | None,
    acknowledged: datetime,
) -> str:
    """Which alerts an acknowledgement does not answer, and why: the first of each reason named."""
    start, end = _window(case)
    left: dict[str, list[tuple[datetime, str]]] = {}
    for each in sorted(alerts):
        if each == taken:
            continue
        if each[0] < start:
            why = f"before the window from {format_instant(start)}"
        elif each[0] > end:
            why = f"after the window to {format_instant(end)}"
        elif each[0] > acknowledged:
            why = "after the acknowledgement"
        else:
            why = "not the alert that it answers"
        left.setdefault(why, []).append(each)
    told = [
        f"{len(several):,} {why} (first {several[0][1]} {format_instant(several[0][0])})"
        for why, several in left.items()
    ]
    return f"; left out: {', '.join(told)}" if told else ""


def _window(case: Measured) -> tuple[datetime, datetime]:
    """The incident's window as its report has it."""
    window = case.report["window"]
    start, end = (parse_instant(window[name], where=name) for name in ("from", "to"))
    return start, end


def _in_window(case: Measured, moment: datetime) -> bool:
    start, end = _window(case)
    return start <= moment <= end


def _alerts(case: Measured, kinds: Sequence[str] = _ALERTS) -> Iterator[tuple[datetime, str]]:
    """When each alert fired, and its exhibit; one that two exhibits have comes twice."""
    for name, facts in _facts(case, kinds):
        for finding in facts.findings:
            moment = instant_of(finding.at)
            if moment:
                yield moment, name


def _facts(case: Measured, kinds: Sequence[str]) -> Iterator[tuple[str, Facts]]:
    """Live exhibits of some kinds, and what was read out of them."""
    for name, exhibit in case.incident.exhibits.items():
        if exhibit.withdrawn is None and set(kinds) & set(exhibit.kinds):
            yield name, case.descriptions[name].facts


def _contained(case: Measured) -> Found:
    incident = case.incident
    entered = [each for each in incident.phases if each.phase == Phase.CONTAINED]
    if not entered:
        yield Left(case, "not stated as contained", open=not incident.sealed)
        return
    first = entered[0]
    yield from _since(
        case, "declared", incident.declared_at, f"contained (link {first.sequence})", first.at
    )


def _recovered(case: Measured) -> Found:
    incident = case.incident
    entered = [each for each in incident.phases if each.phase == Phase.RECOVERED]
    if not entered:
        yield Left(case, "not stated as recovered", open=not incident.sealed)
        return
    last, now = entered[-1], incident.phases[-1]
    if now.phase != Phase.RECOVERED:
        after = f"recovered (link {last.sequence}), then {now.phase} again (link {now.sequence})"
        yield Left(case, after, open=not incident.sealed)
        return
    yield from _since(
        case, "detected", incident.detected_at, f"recovered (link {last.sequence})", last.at
    )


def _since(case: Measured, begun: str, start: datetime, ended: str, end: datetime) -> Found:
    if end < start:
        yield Left(case, f"{ended} before it was {begun}")
        return
    detail = f"{begun} {format_instant(start)} to {ended} {format_instant(end)}"
    yield _seconds(case, start, end, detail)


def _seconds(case: Measured, start: datetime, end: datetime, detail: str) -> Sample:
    return Sample(case, (end - start).total_seconds(), detail)


def _discovered(case: Measured) -> Found:
    judged = [truth for _, truth, _ in _adjudicated(case)]
    false, true, open_ = (judged.count(each) for each in (False, True, None))
    if not false + true:
        alerts = f"none of {open_:,} alerts is adjudicated" if open_ else "no alert was read"
        yield Left(case, alerts)
        return
    detail = f"{false:,} false, {true:,} true, {open_:,} undetermined"
    yield _share(case, false, false + true, detail)


def _adjudicated(case: Measured) -> Iterator[tuple[str, bool | None, str]]:
    """Detector, truth and exhibit of each alert; two records of one alert are one.

    An alert without a time is told apart by its exhibit. Where records of one disagree, or none
    judges it, its truth is not determined.
    """
    said: dict[tuple[str, str, str], set[bool]] = {}
    shown: dict[tuple[str, str, str], str] = {}
    for name, facts in _facts(case, _ALERTS):
        for finding in facts.findings:
            key = (finding.detector, finding.label, finding.at or name)
            truth = truth_of(finding.disposition)
            said.setdefault(key, set()).update({truth} if truth is not None else ())
            shown[key] = name
    for key, truths in said.items():
        yield key[0], truths.pop() if len(truths) == 1 else None, shown[key]


def _by_detector(measured: Sequence[Measured]) -> list[Object]:
    told: dict[str, list[bool | None]] = {}
    for case in measured:
        for detector, truth, _ in _adjudicated(case):
            told.setdefault(detector, []).append(truth)
    return [
        {
            "detector": detector,
            "false": judged.count(False),
            "true": judged.count(True),
            "undetermined": judged.count(None),
        }
        for detector, judged in sorted(told.items())
    ]


def _recurred(case: Measured) -> Found:
    incident = case.incident
    if not incident.sealed:
        yield Left(case, "not closed", open=True)
        return
    stated, cause = incident.scope.get("recurrence_of"), incident.scope.get("cause")
    earlier = [
        peer.id
        for peer in case.peers
        if cause is not None
        and peer.id != incident.id
        and peer.scope.get("cause") == cause
        and timedelta(0) <= incident.declared_at - peer.declared_at <= RECURRENCE
    ]
    if stated is None and cause is None:
        yield Left(case, "neither its cause nor which incident it repeats is stated")
        return
    repeats = list(dict.fromkeys([*([stated] if stated else []), *earlier]))
    yield _share(case, int(bool(repeats)), 1, f"repeats {', '.join(repeats) or 'none'}")


def _caught(case: Measured) -> Found:
    alerts = list(_alerts(case, (Kind.GUARDRAIL_ALERT,)))
    first = min((each for each in alerts if _in_window(case, each[0])), default=None)
    if first is None:
        other = f"; {len(alerts):,} outside it" if alerts else ""
        yield Left(case, f"no guardrail alert with a time in the window is on record{other}")
        return
    at, name = first
    caught = at <= case.incident.detected_at + CAUGHT
    yield _share(case, int(caught), 1, f"{name} {format_instant(at)}")


def _heard(case: Measured) -> Found:
    registered = set(case.incident.scope.get("detectors") or ())
    if not registered:
        stated = "detectors" in case.incident.scope
        yield Left(
            case, "there is no detector, as stated" if stated else "no detector is registered"
        )
        return
    heard = {
        str(each.fields["detector"])
        for each in case.incident.attestations
        if each.type == AttestationType.NIL_RETURN and "detector" in each.fields
    }
    for _, facts in _facts(case, _ALERTS):
        heard.update(each.name for each in facts.detectors)
        heard.update(each.detector for each in facts.findings)
    silent = sorted(registered - heard)
    detail = f"silent: {', '.join(silent)}" if silent else "all of them"
    yield _share(case, len(registered & heard), len(registered), detail)


def _guarded(case: Measured) -> Found:
    incident = case.incident
    if incident.scope.get("detectors") is None:
        yield Left(case, "no detector is registered, nor that there is none")
        return
    if not incident.systems:
        yield Left(case, "no system is affected")
        return
    guards = guards_of(Case(incident, case.descriptions, case.as_of))
    covered = {each.system for each in guards if each.counts}
    told = [
        f"{system}: "
        + ("; ".join(str(each) for each in guards if each.system == system) or "no detector")
        for system in incident.systems
    ]
    yield _share(case, len(covered), len(incident.systems), ". ".join(told))


def _complete_early(case: Measured) -> Found:
    incident = case.incident
    if case.as_of < incident.declared_at + EARLY:
        yield Left(case, "declared less than 24 h ago", open=True)
        return
    if case.early is None:
        recorded = incident.declared_recorded_at or incident.declared_at
        reason = f"the vault first heard of it {format_instant(recorded)}, more than 24 h later"
        yield Left(case, reason)
        return
    counts, head = case.early["counts"]["evidence"], case.early["head"]["sequence"]
    of = counts["of"] - counts[State.NOT_APPLICABLE]
    if not of:
        yield Left(case, "no item of evidence applied")
        return
    yield _share(case, counts[State.SATISFIED], of, f"links 0 to {head}")


def _lagged(case: Measured) -> Found:
    lags, ahead = [], []
    for name, exhibit in case.incident.exhibits.items():
        facts = case.descriptions[name].facts
        last = instant_of(facts.last) if facts.clock == "zoned" else None
        if exhibit.withdrawn is not None or last is None:
            continue
        if last > exhibit.received_at:
            ahead.append(name)
        else:
            lags.append(_seconds(case, last, exhibit.received_at, name))
    yield from lags
    if ahead:
        yield Left(case, f"records later than their receipt: {exhibit_ranges(ahead)}")
    elif not lags:
        yield Left(case, "no exhibit has times with a zone")


def _overdue(case: Measured) -> Found:
    due = [each for each in case.report["owed"] if each["overdue"]]
    detail = ", ".join(f"{each['item']} ({each['owner']})" for each in due) or "none"
    yield Sample(case, len(due), detail)


def _unproven(case: Measured) -> Found:
    timed = [each for each in case.report["clocks"] if each["item"] and each["at"]]
    if not timed:
        yield Left(case, "no clock has its event yet", open=not case.incident.sealed)
        return
    unproven = [each["id"] for each in timed if each["timeliness"] == Timeliness.UNPROVEN]
    yield _share(case, len(unproven), len(timed), ", ".join(unproven) or "none")


def _uncovered(case: Measured) -> Found:
    bars = [each for each in case.report["coverage"] if each["what"] == "system"]
    if not bars or any(each["gaps_count"] > len(each["gaps"]) for each in bars):
        reason = "more gaps than the report lists" if bars else "the profile asks for no coverage"
        yield Left(case, reason)
        return
    silent = {each["name"]: sum(gap["seconds"] for gap in each["gaps"]) for each in bars}
    detail = ", ".join(f"{name}: {seconds:,} s" for name, seconds in silent.items())
    yield Sample(case, sum(silent.values()), detail)


def _share(case: Measured, part: int, of: int, detail: str) -> Sample:
    return Sample(case, part / of, detail, part, of)


_FIGURES: Sequence[tuple[str, str, str, str, Callable[[Measured], Found]]] = (
    (
        "mtta",
        "MTTA: alert to acknowledgement",
        "From the alert that is answered to the first attested acknowledgement by a person, both "
        "as claimed. It answers the alert that it names; else the newest one in the incident's "
        "window that is no later. Without one the stated detection is taken, and that is told.",
        "seconds",
        _acknowledged,
    ),
    (
        "mttc",
        "MTTC: declared to contained",
        "From the declaration to the first entry into the phase contained, both as claimed.",
        "seconds",
        _contained,
    ),
    (
        "mttr_recover",
        "MTTR-recover: detected to recovered",
        "From the stated detection to the last entry into the phase recovered, both as claimed; "
        "not to repair, to respond or to resolve.",
        "seconds",
        _recovered,
    ),
    (
        "false_discovery",
        "False-discovery share of detectors",
        "Alerts called false, of those called true or false; undetermined ones are counted apart. "
        "No false-positive rate: that would need to know what was rightly not alerted.",
        "share",
        _discovered,
    ),
    (
        "recurrence",
        "Recurrence within 90 days",
        "Closed incidents that are stated to repeat another, or have the cause of one declared at "
        "most 90 days before, of the closed ones of which either is stated.",
        "share",
        _recurred,
    ),
    (
        "caught_by_guardrail",
        "First caught by a guardrail",
        "Incidents with a guardrail alert no later than 5 minutes after the stated detection, of "
        "those with a guardrail alert that has a time in the incident's window.",
        "share",
        _caught,
    ),
    (
        "detectors_heard",
        "Registered detectors heard",
        "Detectors that reported, or of which a nil return is attested, of those registered.",
        "share",
        _heard,
    ),
    (
        "guardrail_coverage",
        "Guardrail coverage",
        "Affected systems with a registered detector that was enabled in the incident's window and "
        "tested in the 30 days up to its end, of all affected systems. Enabled: it reported, or "
        "nil returns cover the window, or a configuration names it. Tested: it found something, or "
        "the last validation that names it passed. Which risks a detector covers no chain says.",
        "share",
        _guarded,
    ),
    (
        "complete_24h",
        "Evidence satisfied 24 h after declaring",
        "Items of evidence satisfied, of those that apply, as of 24 hours after the claimed "
        "declaration and by the links that the vault had recorded by then.",
        "share",
        _complete_early,
    ),
    (
        "capture_lag",
        "Capture lag: last record to receipt",
        "Of each exhibit with times: from its last record, as claimed, to the vault's receipt.",
        "seconds",
        _lagged,
    ),
    (
        "overdue",
        "Overdue obligations",
        "Items and duties still owed whose time has run out.",
        "count",
        _overdue,
    ),
    (
        "unproven_times",
        "Times kept by claim alone",
        "Clocks within their limit by the claimed time only, of those whose event is stated.",
        "share",
        _unproven,
    ),
    (
        "uncovered",
        "Window without access logs",
        "Silences in the window, longer than the profile allows, over all affected systems.",
        "seconds",
        _uncovered,
    ),
)


def _left_json(each: Left) -> Object:
    incident = each.measured.incident
    return {
        "incident": incident.id,
        "leaf_hash": incident.leaf,
        "reason": each.reason,
        "sequence": incident.sequence,
    }


def _rounded(value: float | None) -> float | int | None:
    """Seconds and counts to the millisecond; shares to four digits; whole numbers as such."""
    if value is None:
        return None
    return int(value) if value == int(value) else round(value, 4)
