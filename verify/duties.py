"""The conditions of duties: what responders must have done, by statements and what they cite. Pure.

A duty rests on people's words; where records can bear them out, they must. What the words say and
records deny is for the checks (`verify.crosscheck`). FORMAT.md §15.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any

from verify.approval import same_person
from verify.attestation import Attestation, AttestationType
from verify.case import (
    Case,
    Result,
    Test,
    clock_time,
    count_text,
    failed,
    instant,
    moment_of,
    passed,
    texts_of,
    told,
    unknown,
)
from verify.response import Containment, Phase, Role, offer
from verify.statement import Kind

Parameters = Mapping[str, Any]


def agents_frozen(case: Case, _parameters: Parameters, missing: str) -> Result:
    """Agents, tokens or permissions were frozen in every affected system."""
    done, lacking = case.freezes()
    if done and lacking:
        return failed(f"not frozen: {told(lacking)}", (), [each.sequence for each in done])
    return _by_statement(done, missing)


def channel_named(case: Case, _parameters: Parameters, missing: str) -> Result:
    """There is one channel for the incident."""
    return passed() if case.incident.scope.get("channel") else failed(missing)


def roles_held(case: Case, _parameters: Parameters, missing: str) -> Result:
    """All five roles are held, and no handover waits for its acceptance."""
    empty = [role.value for role in Role if case.holder(role) is None]
    waiting = [role.value for role in Role if offer(case.incident.assignments, role)]
    problems = []
    if empty:
        problems.append(f"{missing}: {', '.join(empty)}" if len(empty) < len(Role) else missing)
    if waiting:
        problems.append(f"not accepted: {', '.join(waiting)}")
    links = [each.sequence for each in case.incident.assignments]
    if problems:
        return failed("; ".join(problems), (), links, lacking=[*empty, *waiting])
    return passed((), links)


def phase_shown(case: Case, parameters: Parameters, missing: str) -> Result:
    """A phase was entered, and exhibits show it."""
    entered = [each for each in case.incident.phases if each.phase == parameters["phase"]]
    links = [each.sequence for each in entered]
    shown = dict.fromkeys(name for each in entered for name in case.live(each.exhibits))
    if not entered:
        return failed(missing)
    if not shown:
        return failed(f"{parameters['phase']} by word alone, no exhibit shows it", (), links)
    return passed(shown, links)


def switch_thrown(case: Case, _parameters: Parameters, missing: str) -> Result:
    """A kill switch was thrown, or something was rolled back."""
    back = [each for each in case.rollbacks if each.result == "succeeded" and each.changes]
    exhibits = [name for each in back for name in each.exhibits]
    links = [int(each.record[5:]) for each in back if each.record.startswith("link ")]
    thrown = case.attested(AttestationType.KILL_SWITCH)
    if not thrown and not back:
        return failed(missing)
    exhibits += [name for each in thrown for name in each.exhibits]
    return passed(dict.fromkeys(exhibits), [*links, *(each.sequence for each in thrown)])


def isolated(case: Case, _parameters: Parameters, missing: str) -> Result:
    """What was compromised was cut off."""
    return _by_statement(case.attested(AttestationType.ISOLATION), missing)


# -- updates ---------------------------------------------------------------------------------------


def updates_given(case: Case, _parameters: Parameters, missing: str) -> Result:
    """Updates were given; how often is for the clock."""
    updates = case.incident.updates
    return passed((), [each.sequence for each in updates]) if updates else failed(missing)


def updates_tell_containment(case: Case, _parameters: Parameters, _missing: str) -> Result:
    """Every update says how far it is contained, and what comes next."""
    updates = case.incident.updates
    silent = [each.sequence for each in updates if each.containment == Containment.UNKNOWN]
    if silent:
        return failed(f"{count_text(len(silent), 'update')} say nothing of containment", (), silent)
    return passed((), [each.sequence for each in updates]) if updates else unknown()


def updates_in_channel(case: Case, _parameters: Parameters, _missing: str) -> Result:
    """Every update was given in the incident's channel."""
    updates, channel = case.incident.updates, case.incident.scope.get("channel")
    if not updates or not channel:
        return unknown("no channel named" if updates else "")
    elsewhere = [each.sequence for each in updates if each.channel != channel]
    if elsewhere:
        return failed(f"{count_text(len(elsewhere), 'update')} not in {channel}", (), elsewhere)
    return passed((), [each.sequence for each in updates])


# -- remediation and recovery ----------------------------------------------------------------------


def change_recorded(case: Case, parameters: Parameters, missing: str) -> Result:
    """A record shows that prompts, guardrails, policies or workflows were changed after detection.

    A change of what runs; or two snapshots of one source that differ, the later one taken after
    detection.
    """
    changed = [
        each for each in case.actions if each.result in ("succeeded", "started") and each.changes
    ]
    if changed:
        exhibits = dict.fromkeys(name for each in changed for name in each.exhibits)
        links = [int(each.record[5:]) for each in changed if each.record.startswith("link ")]
        return passed(exhibits, links)
    detected = case.incident.detected_at
    by_name: dict[str, list[str]] = {}
    for name in case.of(parameters["kinds"]):
        by_name.setdefault(case.descriptions[name].name, []).append(name)
    for names in by_name.values():
        later = [name for name in names if case.snapshot_times(name)[1] > detected]
        digests = {case.exhibit(name).item.sha256 for name in names}
        if later and len(digests) > 1:
            return passed(names)
    return failed(missing)


def permissions_revalidated(case: Case, _parameters: Parameters, missing: str) -> Result:
    """Permissions were held against permission-tiers.md."""
    return _by_statement(case.attested(AttestationType.PERMISSIONS_REVALIDATED), missing)


def check_passed(case: Case, parameters: Parameters, missing: str) -> Result:
    """The last check of this sort passed."""
    check = parameters["check"]
    done = [
        each
        for type_ in (AttestationType.VALIDATION, AttestationType.SLO_CHECK)
        for each in case.attested(type_)
        if check in texts_of(each.fields, "checks")
    ]
    if not done:
        return failed(missing)
    last = max(done, key=lambda each: (each.at or each.recorded_at, each.sequence))
    if last.fields["result"] != "passed":
        return failed(f"{check.replace('_', ' ')} failed", last.exhibits, [last.sequence])
    return passed(last.exhibits, [last.sequence])


def re_enabled(case: Case, parameters: Parameters, missing: str) -> Result:
    """Agents came back in stages, under heightened monitoring."""
    steps = case.attested(AttestationType.RE_ENABLE)
    links = [each.sequence for each in steps]
    exhibits = dict.fromkeys(name for each in steps for name in each.exhibits)
    if not steps:
        return failed(missing)
    problems = []
    stages = len({each.fields["stage"] for each in steps})
    if stages < parameters["stages"]:
        problems.append(f"{count_text(stages, 'stage')} of at least {parameters['stages']}")
    unwatched = [each for each in steps if each.fields["monitoring"] != "yes"]
    if unwatched:
        problems.append("without heightened monitoring")
    return failed(", ".join(problems), exhibits, links) if problems else passed(exhibits, links)


def logging_enhanced(case: Case, _parameters: Parameters, missing: str) -> Result:
    """Enhanced logging was on when agents came back, and stability was confirmed."""
    switched = case.attested(AttestationType.LOGGING)
    links = [each.sequence for each in switched]
    turned_on = [each for each in switched if each.fields["enhanced"] == "on" and each.at]
    steps = [each.at for each in case.attested(AttestationType.RE_ENABLE) if each.at]
    if not turned_on:
        return failed(missing, (), links)
    first = min(each.at for each in turned_on if each.at)
    if steps and first > min(steps):
        return failed("turned on after agents came back", (), links)
    if not any(moment_of(each.fields, "stable_at") for each in switched):
        return failed("stability not confirmed", (), links)
    return passed((), links)


# -- postmortem ------------------------------------------------------------------------------------


def postmortem_published(case: Case, _parameters: Parameters, missing: str) -> Result:
    """The postmortem is an exhibit, and was published."""
    published = _live_postmortems(case)
    if not published:
        drafts = case.of((Kind.POSTMORTEM,))
        return failed("a draft only" if drafts else missing, drafts)
    exhibits = dict.fromkeys(str(each.fields["exhibit"]) for each in published)
    return passed(exhibits, [each.sequence for each in published])


def postmortem_reviewed(case: Case, _parameters: Parameters, _missing: str) -> Result:
    """Somebody else than its author reviewed the postmortem, and answers for its content."""
    published = _live_postmortems(case)
    if not published:
        return unknown()
    last = published[-1]
    author, reviewer = str(last.fields["author"]), str(last.fields["reviewer"])
    cited, links = [str(last.fields["exhibit"])], [last.sequence]
    if same_person(author, reviewer):
        return failed(f"{author} reviewed their own", cited, links)
    return passed(cited, links)


def aligned(case: Case, _parameters: Parameters, missing: str) -> Result:
    """The Governance Steward held the response against the Constitution and the Rulebook."""
    done = case.attested(AttestationType.ALIGNMENT)
    links = [each.sequence for each in done]
    absent = [
        document
        for document in ("constitution", "rulebook")
        if not any(each.fields["document"] == document for each in done)
    ]
    if absent:
        said = missing if len(absent) > 1 else f"not held against the {absent[0]}"
        return failed(said, (), links, lacking=absent)
    return passed((), links)


def playbook_updated(case: Case, parameters: Parameters, missing: str) -> Result:
    """What was learnt went into a playbook: it was captured again, or changed, after detection."""
    wanted, detected = parameters["file"], case.incident.detected_at
    versions = [
        name
        for name in case.of((Kind.REFERENCE, Kind.CONFIG_SNAPSHOT))
        if PurePosixPath(case.descriptions[name].name).name == wanted
    ]
    changed = [name for name in versions if _changed_after(case, name, detected)]
    if changed:
        return passed(changed)
    return failed(f"{wanted} is as it was" if versions else missing, versions)


def _changed_after(case: Case, name: str, moment: datetime) -> bool:
    description = case.descriptions[name]
    if description.modified_at is not None:
        return description.modified_at > moment
    facts = case.facts(name)
    return facts.last is not None and facts.clock == "zoned" and instant(facts.last) > moment


def _live_postmortems(case: Case) -> list[Attestation]:
    return [
        each
        for each in case.attested(AttestationType.POSTMORTEM_PUBLISHED)
        if case.live([str(each.fields["exhibit"])])
    ]


# -- pages and notices -----------------------------------------------------------------------------


def paged(case: Case, parameters: Parameters, missing: str) -> Result:
    """A team was paged, and someone took the page."""
    pages = [
        each
        for each in case.attested(AttestationType.PAGE)
        if each.fields["team"] == parameters["team"]
    ]
    return _taken(pages, "acknowledged_at", "not acknowledged", missing)


def notified(case: Case, parameters: Parameters, missing: str) -> Result:
    """An audience was told; where acceptance is asked for, it took it on."""
    notices = [
        each
        for each in case.attested(AttestationType.NOTICE)
        if each.fields["audience"] == parameters["audience"]
    ]
    if parameters["accepted"]:
        return _taken(notices, "accepted_at", "not accepted", missing)
    return _taken(notices, "delivered_at", "not delivered", missing)


def notified_of_impact(case: Case, parameters: Parameters, missing: str) -> Result:
    """As `notified`, unless customers are not concerned; unknown while nobody said."""
    impact = case.incident.scope.get("customer_impact", "unknown")
    done = notified(case, parameters, missing)
    if done.answer == "pass" or impact == "yes":
        return done
    if impact == "no":
        return passed(detail="customer impact: no")
    return unknown("customer impact unknown")


def tier_escalated(case: Case, _parameters: Parameters, missing: str) -> Result:
    """In doubt, Tier 4 was stated; or who decides about it refused."""
    stated = [each for each in case.incident.tier_history if each.value == "4"]
    if case.incident.fields["tier"] == "4":
        return passed((), [stated[-1].sequence])
    refused = [
        each
        for each in case.attested(AttestationType.APPROVAL)
        if each.fields["of"] == "tier"
        and not same_person(str(each.fields["approver"]), str(each.fields["requester"]))
    ]
    if refused:
        return passed(refused[-1].exhibits, [refused[-1].sequence])
    return failed(missing)


def _taken(done: list[Attestation], by: str, not_yet: str, missing: str) -> Result:
    links = [each.sequence for each in done]
    exhibits = dict.fromkeys(name for each in done for name in each.exhibits)
    if not done:
        return failed(missing)
    if not any(moment_of(each.fields, by) for each in done):
        return failed(not_yet, exhibits, links)
    return passed(exhibits, links)


def _by_statement(done: list[Attestation], missing: str) -> Result:
    if not done:
        return failed(missing)
    exhibits = dict.fromkeys(name for each in done for name in each.exhibits)
    return passed(exhibits, [each.sequence for each in done])


# -- triggers: pass, the item applies; fail, it does not; unknown ----------------------------------


def containment_failed(case: Case, parameters: Parameters, _missing: str) -> Result:
    """Containment within so many seconds of the declaration is not proven."""
    entered = next((each for each in case.incident.phases if each.phase == Phase.CONTAINED), None)
    if entered is None:
        return passed(detail="not contained")
    limit = parameters["seconds"]
    declared = case.incident.declared_at
    if (entered.at - declared).total_seconds() > limit:
        return passed(entered.exhibits, [entered.sequence], detail="contained too late")
    if denied := case.denied_containment(entered.at):
        return unknown(f"called not contained at {clock_time(denied.at)}", entered.exhibits)
    proven = (entered.recorded_at - declared).total_seconds() <= limit
    if proven or case.corroborates(entered.exhibits, entered.at, case.tolerance):
        return failed("contained in time", entered.exhibits, [entered.sequence])
    return unknown("contained in time by claim alone", entered.exhibits)


def exposure_confirmed(case: Case, _parameters: Parameters, _missing: str) -> Result:
    """Data was exposed."""
    exposure = case.incident.scope.get("exposure", "unknown")
    if exposure == "confirmed":
        return passed(detail="exposure confirmed")
    return failed("exposure: none") if exposure == "none" else unknown(f"exposure {exposure}")


def in_doubt(case: Case, _parameters: Parameters, _missing: str) -> Result:
    """The tier is unknown, was stated differently, or evidence is contradicted."""
    stated = list(dict.fromkeys(each.value for each in case.incident.tier_history))
    known = [f"{value}" for value in stated if value != "unknown"]
    if case.incident.fields["tier"] == "unknown":
        return passed(detail="tier unknown")
    if case.contradicted:
        return passed(detail=f"contradicted: {told(case.contradicted)}")
    if len(known) > 1:
        return passed(detail=f"tier was stated as {' and '.join(known)}")
    return failed("tier agreed")


def scope_lists(case: Case, parameters: Parameters, _missing: str) -> Result:
    """Something was registered; an empty list says that there is none."""
    listed = case.incident.scope.get(parameters["list"])
    if listed is None:
        return unknown(f"no {parameters['list'][:-1]} registered")
    return passed() if listed else failed(f"{parameters['list']}: none, as stated")


def severity_reached(case: Case, parameters: Parameters, _missing: str) -> Result:
    """The incident had this severity at some time."""
    wanted = parameters["severity"]
    reached = [each for each in case.incident.severity_history if each.value == wanted]
    if reached:
        return passed((), [each.sequence for each in reached])
    return failed(f"never {wanted}")


TESTS: Mapping[str, Test] = {
    each.__name__: each
    for each in (
        agents_frozen,
        aligned,
        change_recorded,
        channel_named,
        check_passed,
        isolated,
        logging_enhanced,
        notified,
        notified_of_impact,
        paged,
        permissions_revalidated,
        phase_shown,
        playbook_updated,
        postmortem_published,
        postmortem_reviewed,
        re_enabled,
        roles_held,
        switch_thrown,
        tier_escalated,
        updates_given,
        updates_in_channel,
        updates_tell_containment,
    )
}
"""The tests by the names that profiles give them."""

TRIGGERS: Mapping[str, Test] = {
    each.__name__: each
    for each in (
        containment_failed,
        exposure_confirmed,
        in_doubt,
        scope_lists,
        severity_reached,
    )
}
"""The tests of triggers by the names that profiles give them."""
