"""Who held which role when, what everyone was told, and every value that a field ever had."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from chain_story import DECLARED, INCIDENT, START, Story, manifest_of

from verify.errors import ChainError, MalformedError
from verify.incident import Incident
from verify.response import Role
from verify.statement import Link, Type
from verify.strictjson import Object

COMMANDER = Role.INCIDENT_COMMANDER


def time(minutes: int) -> str:
    return f"2026-03-02T{9 + minutes // 60:02d}:{minutes % 60:02d}:00Z"


def moment(minutes: int) -> datetime:
    return START + timedelta(minutes=minutes)


def role(event: str, person: str, at: int, name: str = COMMANDER) -> Object:
    return {"at": time(at), "event": event, "person": person, "role": name}


def update(**changes: Any) -> Object:
    return {"at": time(60), "channel": "#inc-1", "containment": "partly_contained",
            "event": "updated", "exhibits": [], "next_steps": "isolate mail", "note": None,
            **changes}  # fmt: skip


def told(story: Story, *bodies: Object) -> Story:
    for body in bodies:
        story.say(Type.INCIDENT, body)
    return story


@pytest.fixture
def story() -> Story:
    return Story()


# -- roles -----------------------------------------------------------------------------------------


def test_a_free_role_is_held_at_once(story: Story) -> None:
    (given,) = told(story, role("assigned", "Ada", 5)).incident.assignments
    assert (given.since, given.until, given.accepted_at) == (moment(5), None, None)
    assert story.incident.holder(COMMANDER) == "Ada"
    assert not given.offered


def test_an_offered_role_changes_hands_when_it_is_accepted(story: Story) -> None:
    told(story, role("assigned", "Ada", 5), role("offered", "Grace", 30))
    ada, grace = story.incident.assignments
    assert (grace.offered, grace.since, ada.until) == (True, None, None)
    assert story.incident.holder(COMMANDER) == "Ada"
    told(story, role("accepted", "Grace", 40))
    assert story.incident.holder(COMMANDER) == "Grace"
    ada, grace = story.incident.assignments
    assert (ada.since, ada.until) == (moment(5), moment(40))
    assert (grace.since, grace.until, grace.accepted_at) == (moment(40), None, moment(40))
    assert (grace.accepted_sequence, grace.accepted_recorded_at) == (4, moment(4))
    for at, holders in ((4, []), (5, [ada]), (39, [ada]), (40, [grace]), (999, [grace])):
        assert [each for each in (ada, grace) if each.holds_at(moment(at))] == holders


def test_a_handover_that_nobody_accepted_leaves_the_role_where_it_was(story: Story) -> None:
    told(story, role("assigned", "Ada", 5), role("offered", "Grace", 30))
    told(story, role("offered", "Linus", 35))
    ada, grace, linus = story.incident.assignments
    assert story.incident.holder(COMMANDER) == "Ada"
    assert (grace.since, grace.until, grace.offered) == (None, moment(35), False)
    assert linus.offered
    with pytest.raises(ChainError, match="incident_commander was not given to Grace"):
        told(story, role("accepted", "Grace", 40))
    assert not any(grace.holds_at(moment(at)) for at in range(100))
    assert ada.holds_at(moment(99))


@pytest.mark.parametrize("person", ["Linus", "Ada Lovelace", "?"])
def test_only_who_was_offered_a_role_accepts_it(story: Story, person: str) -> None:
    told(story, role("assigned", "Ada", 5), role("offered", "Grace", 30))
    with pytest.raises(ChainError, match="was not given to"):
        told(story, role("accepted", person, 40))
    with pytest.raises(ChainError, match="comms_lead was not given to Grace"):
        told(story, role("accepted", "Grace", 40, Role.COMMS_LEAD))


def test_a_role_is_accepted_once(story: Story) -> None:
    told(story, role("assigned", "Ada", 5), role("accepted", "ada@lab", 6))
    assert story.incident.assignments[0].accepted_at == moment(6)
    assert story.incident.assignments[0].since == moment(5)
    with pytest.raises(ChainError, match="Ada has accepted incident_commander already"):
        told(story, role("accepted", "Ada", 7))


def test_the_holders_own_name_again_withdraws_an_offer(story: Story) -> None:
    told(story, role("assigned", "Ada", 5), role("accepted", "Ada", 6))
    told(story, role("offered", "Grace", 30), role("assigned", "Ada", 35))
    first, grace, again = story.incident.assignments
    assert (first.until, again.since, grace.offered) == (moment(35), moment(35), False)
    assert again.accepted_at == moment(6)
    assert story.incident.holder(COMMANDER) == "Ada"


def test_who_is_assigned_takes_over_at_once_and_without_acceptance(story: Story) -> None:
    """What chains said before there were offers keeps its meaning."""
    told(story, role("assigned", "Ada", 5), role("offered", "Grace", 20))
    told(story, role("assigned", "Linus", 30))
    ada, grace, linus = story.incident.assignments
    assert story.incident.holder(COMMANDER) == "Linus"
    assert (ada.until, linus.since, linus.accepted_at) == (moment(30), moment(30), None)
    assert (grace.since, grace.until) == (None, moment(30))


def test_a_free_role_that_is_offered_is_held_once_it_is_accepted(story: Story) -> None:
    told(story, role("offered", "Ada", 5))
    assert story.incident.holder(COMMANDER) is None
    told(story, role("accepted", "Ada", 9))
    assert story.incident.assignments[0].since == moment(9)


def test_nobody_is_offered_what_they_hold(story: Story) -> None:
    told(story, role("assigned", "Ada", 5))
    with pytest.raises(ChainError, match="ADA@lab holds incident_commander already"):
        told(story, role("offered", "ADA@lab", 6))
    assert len(story.incident.assignments) == 1


def test_roles_are_kept_apart(story: Story) -> None:
    told(story, role("assigned", "Ada", 5))
    told(story, role("assigned", "Grace", 6, Role.GOVERNANCE_STEWARD))
    assert story.incident.holder(Role.GOVERNANCE_STEWARD) == "Grace"
    assert story.incident.holder(COMMANDER) == "Ada"
    assert story.incident.holder(Role.COMMS_LEAD) is None


def test_a_chain_may_hold_a_commander_who_is_the_steward(story: Story) -> None:
    """The fold tells it; to refuse it is for the vault, to judge it for the checklist."""
    told(story, role("assigned", "Ada", 5))
    told(story, role("assigned", "Ada", 5, Role.GOVERNANCE_STEWARD))
    assert story.incident.holder(Role.GOVERNANCE_STEWARD) == story.incident.holder(COMMANDER)


@pytest.mark.parametrize("event", ["assigned", "offered", "accepted"])
def test_bodies_of_roles_are_closed(story: Story, event: str) -> None:
    with pytest.raises(MalformedError, match="'captain' is none of incident_commander"):
        told(story, role(event, "Ada", 5, "captain"))
    with pytest.raises(MalformedError, match="unknown field 'reason'"):
        told(story, {**role(event, "Ada", 6), "reason": "shift"})


# -- updates ---------------------------------------------------------------------------------------


def test_an_update_says_how_far_and_what_next(story: Story) -> None:
    told(story, update(exhibits=["EV-0001"], note="mail only"), update(channel=None))
    first, second = story.incident.updates
    assert (first.at, first.recorded_at, first.sequence) == (moment(60), moment(2), 2)
    assert (first.containment, first.next_steps) == ("partly_contained", "isolate mail")
    assert (first.note, first.channel, first.exhibits) == ("mail only", "#inc-1", ("EV-0001",))
    assert (second.note, second.channel, second.exhibits) == (None, None, ())


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"containment": "mostly"}, MalformedError, "none of contained, partly_contained"),
        ({"next_steps": " "}, MalformedError, "next_steps: says nothing"),
        ({"next_steps": None}, MalformedError, "next_steps: expected text"),
        ({"note": ""}, MalformedError, "note: says nothing"),
        ({"channel": "x" * 1_001}, MalformedError, "channel: expected text of at most 1000"),
        ({"exhibits": ["EV-0002"]}, ChainError, "there is no exhibit EV-0002"),
        ({"exhibits": ["EV-0001", "EV-0001"]}, MalformedError, "different ones"),
        ({"at": "now"}, MalformedError, "expected a UTC time"),
        ({"severity": "sev2"}, MalformedError, "unknown field 'severity'"),
    ],
)
def test_an_update_that_says_less_is_refused(
    story: Story, changes: Object, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        told(story, update(**changes))
    assert story.incident.updates == []


# -- what fields were before -----------------------------------------------------------------------


def change(event: str, name: str, old: Any, new: Any, reason: str | None = None) -> Object:
    return {"changes": [{"field": name, "new": new, "old": old}], "event": event, "reason": reason}


def test_every_severity_and_tier_is_remembered_with_its_time_and_reason(story: Story) -> None:
    told(story, change("amended", "severity", "sev1", "sev2", "one tenant"))
    told(story, change("amended", "tier", "3", "unknown"))
    told(story, change("amended", "severity", "sev2", "sev1", "more tenants"))
    assert [
        (each.value, each.at, each.sequence, each.reason)
        for each in story.incident.severity_history
    ] == [
        ("sev1", START, 0, None),
        ("sev2", moment(2), 2, "one tenant"),
        ("sev1", moment(4), 4, "more tenants"),
    ]
    assert [(each.value, each.sequence) for each in story.incident.tier_history] == [
        ("3", 0),
        ("unknown", 3),
    ]


def test_what_was_declared_counts_from_the_claimed_time() -> None:
    incident = Incident(INCIDENT)
    body = {**DECLARED, "declared_at": "2026-03-02T08:45:00Z"}
    incident.apply(manifest_of(Type.INCIDENT, body, Link(INCIDENT, 0, None)))
    (first,) = incident.severity_history
    assert first.at == datetime(2026, 3, 2, 8, 45, tzinfo=UTC)
    assert first.recorded_at == START


def test_the_scope_is_remembered_field_by_field(story: Story) -> None:
    told(story, change("scoped", "principals", None, ["agent-7"]))
    told(story, change("scoped", "exposure", None, "suspected", "a screenshot"))
    told(story, change("scoped", "principals", ["agent-7"], ["agent-7", "svc-mail"]))
    assert [(each.name, each.value, each.sequence) for each in story.incident.scope_history] == [
        ("principals", ["agent-7"], 2),
        ("exposure", "suspected", 3),
        ("principals", ["agent-7", "svc-mail"], 4),
    ]
