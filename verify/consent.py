"""The conditions of approvals: every deviation, by a second person, before it counted. Pure.

Approvals are told by statements, and by records of kind `approval`. What was approved by who asked
for it is made good when somebody else approves the same: a mistake is on record for good, and need
not count for good. FORMAT.md §15.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from verify.approval import same_person
from verify.attestation import Attestation, AttestationType
from verify.case import (
    Case,
    Result,
    Test,
    count_text,
    failed,
    instant,
    link,
    moment_of,
    passed,
    same_version,
    several,
    text_of,
    told,
    unknown,
)
from verify.statement import Kind

Parameters = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Consent:
    """Somebody's yes to something, by a statement or by a record."""

    of: str
    approver: str
    requester: str | None
    version: str | None
    """What exactly was approved: a digest or commit; None: it does not say."""
    at: datetime | None
    effective: datetime | None
    """From when it was to count, where that is said."""
    sequence: int
    """Of the link that tells of it."""
    record: str
    """An exhibit, or `link N`."""

    @property
    def own(self) -> bool:
        """Whether it was given by who asked for it."""
        return self.requester is not None and same_person(self.approver, self.requester)

    def makes_good(self, earlier: Consent) -> bool:
        """Whether it is the second person's yes that an earlier one lacked."""
        later = self.sequence > earlier.sequence or (
            self.at is not None and earlier.at is not None and self.at > earlier.at
        )
        same = self.version is None or earlier.version is None
        return (
            later
            and self.of == earlier.of
            and (same or same_version(self.version, earlier.version))
            and not self.own
            and not same_person(self.approver, earlier.approver)
        )


def deviations_approved(case: Case, _parameters: Parameters, _missing: str) -> Result:
    """Every deviation from policy that is on record was approved.

    While a clock has not been answered, that there is no deviation cannot be said.
    """
    approvals = approvals_of_deviations(case)
    bare = [id_ for id_, _ in case.deviations if not approvals[id_]]
    links = [each.sequence for given in approvals.values() for each in given]
    exhibits = dict.fromkeys(
        name for given in approvals.values() for each in given for name in each.exhibits
    )
    if bare:
        return failed(f"not approved: {told(bare)}", exhibits, links, lacking=bare)
    if case.open_clocks:
        open_ = case.open_clocks
        return unknown(f"{count_text(len(open_), 'clock')} not answered yet: {told(open_)}")
    found = len(case.deviations)
    return passed(
        exhibits, links, detail=f"{count_text(found, 'deviation')} at link {case.incident.sequence}"
    )


def approvals_by_second_person(case: Case, _parameters: Parameters, _missing: str) -> Result:
    """Nobody approved what they asked for; or somebody else approved it since."""
    attested, recorded = _attested(case), _recorded(case)
    links = [each.sequence for each in attested]
    exhibits = case.of((Kind.APPROVAL,))
    own, good = [], []
    for each in (*attested, *recorded):
        if not each.own:
            continue
        where = "" if each.record.startswith("link ") else f"{each.record}: "
        said = f"{where}{each.approver} approved their own {each.of}"
        second = next((one for one in (*attested, *recorded) if one.makes_good(each)), None)
        if second:
            good.append(f"{said}; {second.approver} did since ({second.record})")
        else:
            own.append(said)
    if own:
        return failed(several(own), exhibits, links)
    if exhibits or links or _none_needed(case):
        return passed(exhibits, links, detail=several(good))
    return unknown()


def approvals_in_time(case: Case, _parameters: Parameters, _missing: str) -> Result:
    """What was approved took effect only then: each effect had an approval by its time.

    An approval by who asked is not judged where another person approved the same.
    """
    attested = _attested(case)
    links = [each.sequence for each in attested]
    late = []
    for of in dict.fromkeys(each.of for each in attested):
        given = [each for each in attested if each.of == of]
        given = [each for each in given if not each.own] or given
        effects = [each.effective for each in given if each.effective]
        if any(each.effective is None for each in given):
            effects += [each.start for each in case.actions if each.name == of and each.start]
        times = [each.at for each in given if each.at is not None]
        if times and effects and min(times) > min(effects):
            late.append(f"{of} took effect before it was approved")
    if late:
        return failed(several(late), (), links)
    return passed((), links) if links or _none_needed(case) else unknown()


def approvals_of_deviations(case: Case) -> dict[str, list[Attestation]]:
    """For each deviation, the approvals that name it."""
    result: dict[str, list[Attestation]] = {id_: [] for id_, _ in case.deviations}
    for each in case.attested(AttestationType.APPROVAL):
        if each.fields["of"] in result:
            result[str(each.fields["of"])].append(each)
    return result


def _attested(case: Case) -> list[Consent]:
    return [
        Consent(
            of=str(each.fields["of"]),
            approver=str(each.fields["approver"]),
            requester=str(each.fields["requester"]),
            version=text_of(each.fields, "subject"),
            at=each.at,
            effective=moment_of(each.fields, "effective_from"),
            sequence=each.sequence,
            record=link(each.sequence),
        )
        for each in case.attested(AttestationType.APPROVAL)
    ]


def _recorded(case: Case) -> list[Consent]:
    return [
        Consent(
            of=given.subject,
            approver=given.approver,
            requester=given.requester,
            version=given.reference,
            at=instant(given.at) if given.at else None,
            effective=None,
            sequence=case.exhibit(name).sequence,
            record=name,
        )
        for name in case.of((Kind.APPROVAL,))
        for given in case.facts(name).approvals
        if given.state == "approved" and given.approver
    ]


def _none_needed(case: Case) -> bool:
    return not case.deviations and not case.open_clocks


TESTS: Mapping[str, Test] = {
    each.__name__: each
    for each in (approvals_by_second_person, approvals_in_time, deviations_approved)
}
"""The tests by the names that profiles give them."""
