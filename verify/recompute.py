"""Recomputing what is sealed from a bundle: the completeness report, and its exhibits' facts.

Reads the bundle; no other I/O. The verifier has no parsers: who recomputes facts brings them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import BinaryIO

from verify.audit import BundleRecord
from verify.bundle import CHAIN, COMPLETENESS, DESCRIPTIONS, PROFILE, Bundle
from verify.chain import read_manifest
from verify.checklist import assess, check_engine, check_recomputed
from verify.description import parse_description
from verify.errors import EvidenceError, MalformedError, UnsupportedError
from verify.export import parse_export
from verify.facts import Facts
from verify.incident import Exhibit, Incident
from verify.profile import parse_profile
from verify.report import Finding, Outcome, Report
from verify.statement import Assessment, Type, parse_assessment
from verify.strictjson import dumps
from verify.trust import Step, Trust

ReadFacts = Callable[[BinaryIO, str], Facts]
"""Reads the facts of a content, given its bytes in order and its name."""


def recompute_report(report: Report, bundle: Bundle, trust: Trust) -> Report:
    """The audit's report with one more finding: whether the checklist recomputes to its bytes."""
    try:
        outcome, detail = _recompute(bundle, trust)
    except UnsupportedError as error:
        outcome, detail = Outcome.NOT_CHECKED, str(error)
    except EvidenceError as error:
        outcome, detail = Outcome.FAILED, str(error)
    except (ArithmeticError, TypeError, ValueError) as error:
        # Facts and limits are the vault's words: years and seconds that no clock can hold.
        outcome, detail = Outcome.FAILED, f"a time or number in it makes no sense: {error}"
    finding = Finding(Step.CHECKLIST, "", outcome, detail)
    # Whoever asks for the step wants it passed.
    required = tuple(dict.fromkeys((*report.required, Step.CHECKLIST)))
    return replace(report, findings=(*report.findings, finding), required=required)


def _recompute(bundle: Bundle, trust: Trust) -> tuple[Outcome, str]:
    manifests = [
        read_manifest(bundle.read(path), trust.keys, where=path) for path in bundle.below(CHAIN)
    ]
    if not manifests or manifests[-1].statement.type != Type.EXPORT:
        raise MalformedError("the bundle does not end with its export")
    export = parse_export(manifests[-1].statement.body, where="export")
    if export.assessment >= len(manifests):
        raise MalformedError("no assessment on the chain stands for the report")
    assessment: Assessment = parse_assessment(
        manifests[export.assessment].statement.body, where="assessment"
    )
    if export.withheld:
        return Outcome.NOT_CHECKED, "not recomputable here: descriptions are withheld"
    # Another engine has other profiles: its report is superseded before its profile is read.
    check_engine(bundle.read(COMPLETENESS))
    incident = Incident(manifests[0].statement.link.chain)
    for manifest in manifests[: assessment.head_sequence + 1]:
        incident.apply(manifest)
    described = {
        name: parse_description(bundle.read(f"{DESCRIPTIONS}{name}.json"), where=name)
        for name in incident.exhibits
    }
    recomputed = assess(
        parse_profile(bundle.read(PROFILE)), incident, described, as_of=assessment.as_of
    )
    same, detail = check_recomputed(assessment, bundle.read(COMPLETENESS), recomputed)
    return (Outcome.PASSED if same else Outcome.FAILED), detail


def recompute_facts(report: Report, bundle: Bundle, trust: Trust, read: ReadFacts) -> Report:
    """The audit's report with findings on whether exhibits' facts recompute to the signed ones.

    Only the same parser in the same version passes or fails. What another one made is superseded:
    not checked, since it may rightly have read the bytes in another way.
    """
    try:
        findings = _recompute_facts(bundle, trust, read)
    except EvidenceError as error:
        findings = [Finding(Step.FACTS, "", Outcome.FAILED, str(error))]
    required = tuple(dict.fromkeys((*report.required, Step.FACTS)))
    return replace(report, findings=(*report.findings, *findings), required=required)


def _recompute_facts(bundle: Bundle, trust: Trust, read: ReadFacts) -> list[Finding]:
    manifests = [
        read_manifest(bundle.read(path), trust.keys, where=path) for path in bundle.below(CHAIN)
    ]
    if not manifests:
        raise MalformedError("the bundle has no links")
    incident = Incident(manifests[0].statement.link.chain)
    for manifest in manifests:
        incident.apply(manifest)
    record, findings, same, unread = BundleRecord(bundle), [], 0, Counter[str]()
    for name, exhibit in incident.exhibits.items():
        try:
            outcome, detail = _compare(record, exhibit, read)
        except EvidenceError as error:
            outcome, detail = Outcome.FAILED, str(error)
        if outcome == Outcome.FAILED:
            findings.append(Finding(Step.FACTS, name, outcome, detail))
        elif outcome == Outcome.PASSED:
            same += 1
        else:
            unread[detail] += 1
    if unread:
        told = "; ".join(f"{count:,} {detail}" for detail, count in sorted(unread.items()))
        findings.append(
            Finding(Step.FACTS, "", Outcome.NOT_CHECKED, f"{same:,} recomputed; {told}")
        )
    elif not findings:
        detail = f"{same:,} recomputed from their bytes to the signed ones"
        findings.append(Finding(Step.FACTS, "", Outcome.PASSED, detail))
    return findings


def _compare(record: BundleRecord, exhibit: Exhibit, read: ReadFacts) -> tuple[Outcome, str]:
    """What became of one exhibit's facts. Raises `EvidenceError` where they cannot be read."""
    name, bundle = exhibit.item.exhibit, record.bundle
    path = f"{DESCRIPTIONS}{name}.json"
    if path not in bundle.files:
        return Outcome.NOT_CHECKED, "withheld"
    description = parse_description(bundle.read(path), where=name)
    content = record.evidence_path(name)
    if bundle.files[content] != exhibit.item.size:
        raise MalformedError("its bytes are not those that were sealed")
    with bundle.opened(content) as file:
        found = read(file, description.name)
    sealed = description.facts
    if dumps(found.to_json()) == dumps(sealed.to_json()) and sealed.version:
        return Outcome.PASSED, ""
    if (found.parser, found.version) == (sealed.parser, sealed.version) and sealed.version:
        mine, theirs = found.to_json(), sealed.to_json()
        differing = [key for key in sorted(mine | theirs) if mine.get(key) != theirs.get(key)]
        return Outcome.FAILED, f"signed facts differ from recomputed ones in {', '.join(differing)}"
    made, here = (f"{each.parser} {each.version}" for each in (sealed, found))
    return Outcome.NOT_CHECKED, f"superseded: made by {made}, here {here}"
