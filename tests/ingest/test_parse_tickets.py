"""Jira, PagerDuty and ServiceNow: tickets, their severity as given, and times that are none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from damage import check

from ingest.parsers import Confidence, Reading
from ingest.parsers.gathering import Gathered
from ingest.parsers.jira import JiraParser
from ingest.parsers.pagerduty import PagerDutyParser
from ingest.parsers.servicenow import ServiceNowParser
from ingest.parsers.tickets import MOST, State, Tickets
from ingest.parsers.times import Time, read_time
from verify.facts import Activity, Approval, Ticket

DATA = Path(__file__).parents[1] / "data"
JIRA = (DATA / "jira" / "issues_in_sprint.json").read_bytes()
TRANSITIONS = (DATA / "jira" / "transitions.json").read_bytes()
PAGERDUTY = (DATA / "pagerduty" / "GetIncidentById_JsonResult_example.json").read_bytes()
SERVICENOW = (DATA / "servicenow" / "made.log").read_bytes()


def read(value: Any) -> Reading:
    return check(json.dumps(value).encode())


def at(text: str) -> Time:
    time = read_time(text)
    assert time is not None
    return time


# Several states of a ticket.


def test_the_newest_state_stands_whatever_the_order() -> None:
    early = State(
        Ticket("T-1", "old title", "low", "low", "open"),
        at("2026-01-01T10:00:00Z"),
        at("2026-01-01T09:00:00Z"),
        at("2026-01-01T09:30:00Z"),
        at("2026-01-01T09:45:00Z"),
    )
    late = State(
        Ticket("T-1", "new title", "high", "high", "reopened"),
        at("2026-01-02T10:00:00Z"),
        at("2026-01-01T09:00:00Z"),
        at("2026-01-02T09:30:00Z"),
    )
    for states in ((early, late), (late, early), (late, early, late)):
        tickets, gathered = Tickets(), Gathered()
        for state in states:
            tickets.add(state)
        tickets.tell(gathered)
        assert len(tickets) == 1
        assert gathered.facts(JiraParser()).tickets == (
            Ticket(
                "T-1",
                "new title",
                "high",
                "high",
                "reopened",
                "2026-01-01T09:00:00Z",
                "2026-01-01T09:30:00Z",
                None,
            ),
        )


def test_more_tickets_than_are_told_apart_are_said() -> None:
    tickets, gathered = Tickets(), Gathered()
    for number in range(MOST + 1):
        tickets.add(State(Ticket(f"T-{number:06}", "x")))
    tickets.tell(gathered)
    facts = gathered.facts(JiraParser())
    assert facts.problems == ("more than 10,000 tickets; only the first were read",)
    assert (len(facts.tickets), facts.capped) == (200, ("tickets",))


# Jira.


def issue(**fields: Any) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(JIRA)["issues"][0]
    value["fields"] |= fields
    return value


def test_an_issue_of_a_sprint() -> None:
    reading = check(JIRA)
    facts = reading.facts
    assert facts.tickets == (
        Ticket(
            "AR-86",
            "(no summary)",
            "Major",
            "high",
            "Ready",
            "2015-12-02T15:39:15Z",
            None,
            "2015-12-07T22:19:13Z",
        ),
    )
    assert facts.raw_first == "2015-12-02T07:39:15.000-0800"
    assert (facts.first, facts.last) == ("2015-12-02T15:39:15Z", "2016-02-01T16:17:04Z")
    assert facts.principals == ()  # the only person named is the assignee
    assert facts.not_captured == ("history of changes",)
    assert reading.kinds == ("ticket",)


@pytest.mark.parametrize("offset", ["+0000", "+00:00", "Z"])
def test_offsets_come_with_and_without_a_colon(offset: str) -> None:
    value = issue(created=f"2026-01-31T09:30:00.000{offset}")
    assert read(value).facts.tickets[0].opened_at == "2026-01-31T09:30:00Z"


def test_severity_hides_in_a_numbered_field() -> None:
    value = issue(customfield_10200={"value": "SEV-2"})
    assert read(value).facts.tickets[0].severity == "Major"
    named = value | {"names": {"customfield_10200": "Severity", "customfield_1": "severity "}}
    (ticket,) = read(named).facts.tickets
    assert (ticket.severity, ticket.severity_norm) == ("SEV-2", "high")


def test_the_history_says_who_changed_an_issue() -> None:
    histories = [
        {
            "author": {"accountId": "5b10ac8d", "displayName": "Ada"},
            "created": "2026-01-31T09:35:00.000+0000",
            "items": [{"field": "status", "fromString": "Open", "toString": "In Progress"}],
        }
    ]
    value = issue(creator={"name": "grace"}) | {"changelog": {"histories": histories}}
    facts = read(value).facts
    moment = "2026-01-31T09:35:00Z"
    opened = "2015-12-02T15:39:15Z"
    assert facts.activities == (
        Activity("5b10ac8d", moment, moment, 1),
        Activity("grace", opened, opened, 1),
    )
    assert facts.not_captured == ()
    assert facts.tickets[0].acknowledged_at is None


def test_a_webhook_holds_an_issue_and_a_time_in_milliseconds() -> None:
    event = {
        "timestamp": 1769851800123,
        "webhookEvent": "jira:issue_updated",
        "user": {"name": "ada"},
        "issue": issue(),
        "changelog": {"id": "1", "items": []},
    }
    facts = read(event).facts
    assert facts.actions == ("jira:issue_updated",)
    moment = "2026-01-31T09:30:00.123Z"
    assert facts.activities == (Activity("ada", moment, moment, 1),)
    assert facts.tickets[0].id == "AR-86"
    assert facts.time_unit == "mixed"


def test_transitions_are_counted_and_are_no_ticket() -> None:
    reading = check(TRANSITIONS)
    assert (reading.facts.parser, reading.facts.records) == ("jira", 2)
    assert reading.facts.tickets == ()
    assert reading.kinds == ("other",)
    assert reading.summary == "0 issues, 2 transitions of a workflow"


# PagerDuty.


def incident(**members: Any) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(PAGERDUTY)
    return value | members


TRIGGERED = Ticket(
    "Q1C5WQ0U8TSCXE",
    "TEST TEST server under attack",
    "high",
    "high",
    "triggered",
    "2023-04-03T09:33:53Z",
)
ACKNOWLEDGEMENT = {
    "at": "2023-04-03T09:40:00Z",
    "acknowledger": {"type": "user_reference", "summary": "Ada"},
}


@pytest.mark.parametrize(
    "value",
    [incident(), [incident()], {"incident": incident()}, {"incidents": [incident()]}],
    ids=["bare", "list", "one", "many"],
)
def test_an_incident_in_every_answer_of_the_api(value: Any) -> None:
    reading = read(value)
    assert reading.facts.tickets == (TRIGGERED,)
    assert (reading.facts.records, reading.facts.bad_records) == (1, 0)
    assert reading.facts.principals == ()  # who is assigned does not act
    assert reading.summary == "1 incident, 0 acknowledged, 0 resolved"
    assert reading.kinds == ("ticket",)


def test_who_acknowledged_first_and_when() -> None:
    later = ACKNOWLEDGEMENT | {"at": "2023-04-03T10:00:00Z"}
    facts = read(incident(acknowledgements=[later, ACKNOWLEDGEMENT], status="acknowledged")).facts
    assert facts.tickets[0].acknowledged_at == "2023-04-03T09:40:00Z"
    assert facts.activities == (Activity("Ada", "2023-04-03T09:40:00Z", "2023-04-03T10:00:00Z", 2),)


def test_resolved_is_when_it_says_or_when_its_status_changed() -> None:
    value = incident(status="resolved", last_status_change_at="2023-04-03T11:00:00Z")
    assert read(value).facts.tickets[0].resolved_at == "2023-04-03T11:00:00Z"
    value["resolved_at"] = "2023-04-03T10:59:00Z"
    assert read(value).facts.tickets[0].resolved_at == "2023-04-03T10:59:00Z"


@pytest.mark.parametrize(
    ("members", "given", "norm"),
    [
        ({"priority": {"summary": "P1"}}, "P1", "critical"),
        ({"priority": {"summary": "Odd"}}, "Odd", "unknown"),
        ({"urgency": "low"}, "low", "low"),
        ({"urgency": None}, None, "unknown"),
    ],
)
def test_priority_goes_before_urgency(members: Any, given: str | None, norm: str) -> None:
    (ticket,) = read(incident(**members)).facts.tickets
    assert (ticket.severity, ticket.severity_norm) == (given, norm)


def test_webhooks_of_version_3_tell_one_incident() -> None:
    def event(kind: str, when: str, status: str) -> dict[str, Any]:
        return {
            "event": {
                "id": kind,
                "event_type": f"incident.{kind}",
                "resource_type": "incident",
                "occurred_at": when,
                "agent": {"type": "user_reference", "summary": "Ada"},
                "data": incident(status=status, last_status_change_at=when),
            }
        }

    events = [
        event("triggered", "2023-04-03T09:33:53Z", "triggered"),
        event("acknowledged", "2023-04-03T09:41:00Z", "acknowledged"),
        event("resolved", "2023-04-03T10:30:00Z", "resolved"),
    ]
    data = b"\n".join(json.dumps(each).encode() for each in events)
    facts = check(data).facts
    (ticket,) = facts.tickets
    assert (ticket.status, ticket.acknowledged_at, ticket.resolved_at) == (
        "resolved",
        "2023-04-03T09:41:00Z",
        "2023-04-03T10:30:00Z",
    )
    assert facts.actions == ("incident.acknowledged", "incident.resolved", "incident.triggered")
    assert read(events[::-1]).facts == facts
    assert read(events + events).facts.problems == ("3 duplicate records",)


def test_webhooks_of_version_2_come_in_messages() -> None:
    message = {
        "id": "m1",
        "event": "incident.acknowledge",
        "created_on": "2023-04-03T09:42:00Z",
        "incident": incident(
            acknowledgers=[
                {"at": "2023-04-03T09:42:00Z", "object": {"type": "user", "summary": "Ada"}}
            ]
        ),
        "log_entries": [
            {
                "id": "l1",
                "type": "acknowledge_log_entry",
                "created_at": "2023-04-03T09:41:30Z",
                "agent": {"type": "user_reference", "summary": "Ada"},
                "incident": {"id": "Q1C5WQ0U8TSCXE"},
            }
        ],
    }
    facts = read({"messages": [message]}).facts
    (ticket,) = facts.tickets
    assert (ticket.title, ticket.acknowledged_at) == (
        "TEST TEST server under attack",
        "2023-04-03T09:41:30Z",
    )
    assert facts.principals == ("Ada",)


def test_log_entries_alone_name_the_incident() -> None:
    entry = {
        "id": "l1",
        "type": "resolve_log_entry",
        "created_at": "2023-04-03T12:00:00Z",
        "agent": {"type": "service_reference", "summary": "Nagios"},
        "incident": {"id": "Q1", "summary": "[#1] Down"},
        "self": "https://api.pagerduty.com/log_entries/l1",
    }
    facts = read({"log_entries": [entry]}).facts
    assert facts.tickets[0].resolved_at == "2023-04-03T12:00:00Z"
    assert facts.principals == ()  # a service does not act


# ServiceNow.


def test_records_with_and_without_display_values() -> None:
    reading = check(SERVICENOW)
    facts = reading.facts
    assert facts.tickets == (
        Ticket(
            "CHG0030123",
            "Roll the support agent back to prompt set 41",
            "2 - High",
            "high",
            "Implement",
        ),
        Ticket(
            "INC0009005",
            "Support agent answered with another customer's address",
            "1 - Critical",
            "critical",
            "In Progress",
        ),
        Ticket("INC0009006", "Second report of the same answer", "3", "low", "1"),
    )
    assert facts.approvals == (Approval("CHG0030123", "approved"),)
    assert reading.kinds == ("ticket", "approval")


def test_its_times_are_never_taken_for_utc() -> None:
    facts = check(SERVICENOW).facts
    assert (facts.clock, facts.first, facts.last) == ("unzoned", None, None)
    # 03/02/2026 twice; 13/02/2026 can only be read one way.
    assert facts.problems == (
        "2 times whose day and month could be swapped",
        "9 times without a zone",
    )


def test_the_table_api_answers_with_one_or_many() -> None:
    record = json.loads(SERVICENOW.splitlines()[2])
    for value in ({"result": [record]}, {"result": record}, [record], record):
        facts = read(value).facts
        assert (facts.parser, [each.id for each in facts.tickets]) == ("servicenow", ["INC0009006"])


@pytest.mark.parametrize(
    ("given", "state"),
    [("requested", "requested"), ("rejected", "rejected"), ("not requested", None), ("", None)],
)
def test_only_an_approval_is_one(given: str, state: str | None) -> None:
    record = json.loads(SERVICENOW.splitlines()[0])
    record["approval"] = {"display_value": given, "value": given}
    reading = read(record)
    assert [each.state for each in reading.facts.approvals] == ([state] if state else [])
    assert ("approval" in reading.kinds) == (state is not None)


# All.

OWN = {"jira": JIRA, "pagerduty": PAGERDUTY, "servicenow": SERVICENOW}


@pytest.mark.parametrize("parser", [JiraParser(), PagerDutyParser(), ServiceNowParser()])
def test_only_their_own_are_claimed(parser: Any) -> None:
    for name, data in OWN.items():
        expected = Confidence.CERTAIN if name == parser.name else Confidence.NONE
        assert parser.detect(data, "x") is expected
    for data in (b"", b"{", b'{"fields": {}, "number": "INC1", "sys_id": 7}', b"pagerduty"):
        assert parser.detect(data, f"{parser.name}.json") in (Confidence.NONE, Confidence.LIKELY)


def test_a_record_of_another_kind_is_a_bad_one() -> None:
    other = {"id": "x", "key": "low-1"}
    for value in (issue(), incident(), json.loads(SERVICENOW.splitlines()[2])):
        facts = read([value, other, 7]).facts
        assert (facts.records, facts.bad_records) == (1, 2)


def test_hostile_values_are_left_out() -> None:
    hostile: tuple[Any, ...] = ([], {}, 7, None, True, "x" * 9999, [[{}]], {"value": [1]})
    for base in (issue(), incident(), *map(json.loads, SERVICENOW.splitlines())):
        for key in base:
            read([base, *(base | {key: bad} for bad in hostile)])
    read([issue(), *(issue(**{key: bad}) for key in issue()["fields"] for bad in hostile)])
    for bad in hostile:
        read([incident(), {"event": {"event_type": "incident.x", "data": {"incident": bad}}}])
        read([incident(), {"event": {"event_type": "x", "data": {}, "occurred_at": bad}}])
        entry = {"type": "acknowledge_log_entry", "created_at": bad, "incident": bad}
        read([incident(acknowledgements=[bad, {"at": bad}]), entry])
