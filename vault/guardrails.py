"""Which affected systems had a guardrail that was enabled and tested, by what a chain shows. Pure.

A registered detector was *enabled* on a system if a record has it report in the incident's window,
if nil returns for it cover the window, or if a snapshot of the configuration names it as a
guardrail. It was *tested* if the last test of it in the 30 days up to the end of the window passed:
that it found something there, by a record, or a validation that names it. A record that names no
system speaks for the only affected one, or for none; a validation for the detector wherever it was
enabled.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from verify.attestation import AttestationType
from verify.case import Case, instant, link
from verify.coverage import Interval, covered, gaps, united, within
from verify.statement import Kind

TESTED = timedelta(days=30)
"""How old a test may be at the end of the window."""

_ALERTS = (Kind.GUARDRAIL_ALERT, Kind.DLP_FINDING)
_CONFIGS = (Kind.CONFIG_SNAPSHOT, Kind.MODEL_CONFIG)


@dataclass(frozen=True, slots=True)
class Guard:
    """A registered detector on an affected system."""

    system: str
    detector: str
    enabled: tuple[str, ...]
    """The records that show that it was enabled: exhibits, or `link N`."""
    tested: str | None
    """The record of its last test, if that passed."""

    @property
    def counts(self) -> bool:
        """Whether it covers the system."""
        return bool(self.enabled) and self.tested is not None

    def __str__(self) -> str:
        if not self.enabled:
            return f"{self.detector} not shown enabled"
        told = f"{self.detector} enabled ({', '.join(self.enabled[:3])})"
        return f"{told}, tested ({self.tested})" if self.tested else f"{told}, not tested"


def guards_of(case: Case) -> list[Guard]:
    """Each registered detector on each affected system."""
    naming = _naming(case)
    return [
        _guard(case, system, detector, naming.get(detector, []))
        for system in case.incident.systems
        for detector in case.incident.scope.get("detectors") or ()
    ]


def _naming(case: Case) -> dict[str, list[str]]:
    """The alerts and configurations that name each detector."""
    result: dict[str, list[str]] = {}
    for name in case.of((*_ALERTS, *_CONFIGS)):
        facts = case.facts(name)
        named = {each.name for each in facts.detectors} | {each.detector for each in facts.findings}
        named |= {part.name for part in facts.configs if part.kind == "guardrail"}
        for detector in named:
            result.setdefault(detector, []).append(name)
    return result


def _guard(case: Case, system: str, detector: str, naming: list[str]) -> Guard:
    enabled, tests = [], list(_validations(case, detector))
    for name in _speaking(case, naming, _ALERTS, system):
        facts = case.facts(name)
        found = [each for each in facts.findings if each.detector == detector]
        times = [instant(each.at) for each in found if each.at is not None]
        spoken = [(at, at) for at in times]
        if not times and (found or detector in {each.name for each in facts.detectors}):
            spoken = covered(facts)
        if within(spoken, case.window):
            enabled.append(name)
        tests += [(at, True, name) for at in times]
    enabled += _nothing_found(case, system, detector)
    enabled += [
        name
        for name in _speaking(case, naming, _CONFIGS, system)
        if case.snapshot_times(name)[0] <= case.window[1]
        and any(
            (part.kind, part.name) == ("guardrail", detector) for part in case.facts(name).configs
        )
    ]
    end = case.window[1]
    recent = [each for each in tests if end - TESTED <= each[0] <= end]
    _, passed, record = max(recent, default=(end, False, ""))
    return Guard(system, detector, tuple(dict.fromkeys(enabled)), record if passed else None)


def _nothing_found(case: Case, system: str, detector: str) -> list[str]:
    """The nil returns for a detector on a system, if together they cover the window."""
    nothing = [
        each
        for each in case.nil_returns(_ALERTS, detector=detector)
        if each.system == system or (each.system is None and len(case.incident.systems) == 1)
    ]
    words: list[Interval] = united(each.interval for each in nothing)
    silent = gaps(words, longer_than=timedelta(0), window=case.window)
    return [] if silent else [each.record for each in nothing]


def _validations(case: Case, detector: str) -> Iterator[tuple[datetime, bool, str]]:
    """When a detector was tested, whether it passed, and the record of it."""
    for each in case.attested(AttestationType.VALIDATION):
        if each.at and detector in (each.fields.get("subject"), each.fields.get("action")):
            yield each.at, each.fields["result"] == "passed", link(each.sequence)
    for name in case.of((Kind.VALIDATION,)):
        for check in case.facts(name).validations:
            if check.at and detector in (check.subject, check.name):
                yield instant(check.at), check.result == "passed", name


def _speaking(case: Case, names: list[str], kinds: tuple[Kind, ...], system: str) -> Iterator[str]:
    """Those of some exhibits that are of these kinds, and speak of a system."""
    for name in names:
        if not set(kinds) & set(case.exhibit(name).kinds):
            continue
        nameless = case.exhibit(name).system is None and not case.facts(name).platforms
        if case.speaks_of(name, system) or (nameless and len(case.incident.systems) == 1):
            yield name
