"""PagerDuty: incidents from the REST API, from webhooks of version 2 and 3, and log entries.

- Severity is the priority where the account has priorities, else the urgency (high or low).
- Acknowledged is when the first acknowledgement was made, by what the incident lists, by a webhook
  that says so, or by a log entry. Several states of one incident are one ticket, the newest's.
- Who acknowledges, resolves or causes an event acts; who is assigned does not.
"""

from __future__ import annotations

import re
from typing import Any, BinaryIO

from ingest.parsers.bounded import counted, said
from ingest.parsers.gathering import Gathered
from ingest.parsers.parser import Confidence, Reading
from ingest.parsers.reach import first_records, objects, reach, surest, word
from ingest.parsers.records import RecordReader, shape_of
from ingest.parsers.severity import normalised
from ingest.parsers.tickets import State, Tickets
from ingest.parsers.times import Time
from verify.facts import Ticket

_KEYS = ("incidents", "messages", "log_entries")
_MARKS = (b'"incident_number"', b'"incident_key"', b'"escalation_policy"', b"pagerduty")
_MORE = (b'"incident', b'_log_entry"', b'"resource_type"')
_ACKNOWLEDGED = (("acknowledgements", "acknowledger"), ("acknowledgers", "object"))
"""Where an incident lists who acknowledged it: in the REST API, in webhooks of version 2."""

_ENTRY = re.compile(r"(\w+)_log_entry(?:_reference)?", re.ASCII)


class PagerDutyParser:
    """Reads incidents and what happened to them."""

    name = "pagerduty"
    version = 1
    kinds = ("ticket",)
    whole = True

    def detect(self, head: bytes, name: str) -> Confidence:
        """Certain where one of the first records is an incident, an event or a log entry."""
        del name
        if not all(any(mark in head for mark in marks) for marks in (_MARKS, _MORE)):
            return Confidence.NONE
        if shape_of(head, keys=_KEYS) is None:
            return Confidence.NONE
        return surest(first_records(head, keys=_KEYS), _is_record)

    def read(self, stream: BinaryIO, name: str) -> Reading:
        """Read every record; what is none of the three counts as a bad one."""
        del name
        reader = RecordReader.of_any_shape(stream, keys=_KEYS, resumes_at=_is_record)
        incidents = _Incidents()
        for offset, value in reader:
            if not incidents.take(value):
                reader.note_bad(offset, "not an incident, event or log entry")
        gathered = incidents.gathered
        incidents.tickets.tell(gathered)
        facts = gathered.facts(self, damage=reader)
        told = counted(len(incidents.tickets), "incident")
        acknowledged = sum(1 for ticket in facts.tickets if ticket.acknowledged_at)
        resolved = sum(1 for ticket in facts.tickets if ticket.resolved_at)
        told += f", {acknowledged:,} acknowledged, {resolved:,} resolved"
        return Reading(facts, self.kinds, "PagerDuty", told)


def _is_incident(value: Any) -> bool:
    if not isinstance(value, dict) or not isinstance(value.get("id"), str):
        return False
    named = value.get("type") in ("incident", "incident_reference") or "incident_number" in value
    return named and ("status" in value or "incident_number" in value)


def _is_entry(value: Any) -> bool:
    kind = reach(value, "type")
    return isinstance(kind, str) and _ENTRY.fullmatch(kind) is not None and "created_at" in value


def _is_record(value: Any) -> bool:
    if _is_incident(value) or _is_entry(value) or _is_incident(reach(value, "incident")):
        return True
    event = reach(value, "event")
    return isinstance(reach(event, "event_type"), str) and isinstance(reach(event, "data"), dict)


class _Incidents:
    """What the records taken so far say."""

    def __init__(self) -> None:
        self.gathered = Gathered()
        self.gathered.add("platforms", "pagerduty")
        self.tickets = Tickets()

    def take(self, value: Any) -> bool:
        """Take one record; False if it is none."""
        if not _is_record(value):
            return False
        event = reach(value, "event")
        if isinstance(event, dict):
            self.gathered.record(event.get("id"))
            self._take_event(event)
        elif _is_entry(value):
            self.gathered.record(value.get("id"))
            self._take_entry(value)
        elif _is_incident(value):
            self.gathered.record()
            self._take_incident(value)
        else:
            self.gathered.record(value.get("id"))
            self._take_message(value)
        return True

    def _take_message(self, message: dict[str, Any]) -> None:
        """A webhook of version 2, or the answer for one incident."""
        named = said(message.get("event"))
        self.gathered.add("actions", named)
        at = self.gathered.time(message.get("created_on"))
        acknowledged = at if named == "incident.acknowledge" else None
        self._take_incident(message["incident"], at, acknowledged)
        for entry in objects(message.get("log_entries")):
            if _is_entry(entry):
                self._take_entry(entry)

    def _take_event(self, event: dict[str, Any]) -> None:
        """A webhook of version 3."""
        named, data = word(event.get("event_type")), event["data"]
        self.gathered.add("actions", named)
        at = self.gathered.time(event.get("occurred_at"))
        self.gathered.activity(_person(event.get("agent")), at)
        incident = data if _is_incident(data) else reach(data, "incident")
        if isinstance(incident, dict) and isinstance(incident.get("id"), str):
            acknowledged = at if named == "incident.acknowledged" else None
            resolved = at if named == "incident.resolved" else None
            self._take_incident(incident, at, acknowledged, resolved)

    def _take_entry(self, entry: dict[str, Any]) -> None:
        match = _ENTRY.fullmatch(entry["type"])
        named = match[1] if match else "unknown"
        self.gathered.add("actions", f"{named}_log_entry")
        at = self.gathered.time(entry.get("created_at"))
        self.gathered.activity(_person(entry.get("agent")), at)
        incident = entry.get("incident")
        if isinstance(incident, dict) and isinstance(incident.get("id"), str):
            acknowledged = at if named == "acknowledge" else None
            self._take_incident(incident, at, acknowledged, at if named == "resolve" else None)

    def _take_incident(
        self,
        incident: dict[str, Any],
        at: Time | None = None,
        acknowledged: Time | None = None,
        resolved: Time | None = None,
    ) -> None:
        gathered = self.gathered
        opened = gathered.time(incident.get("created_at"))
        changed = gathered.time(incident.get("last_status_change_at"))
        for key, who in _ACKNOWLEDGED:
            for each in objects(incident.get(key)):
                moment = gathered.time(each.get("at"))
                gathered.activity(_person(each.get(who)), moment)
                acknowledged = _first(acknowledged, moment)
        status = said(incident.get("status"))
        if status == "resolved" and resolved is None:
            resolved = gathered.time(incident.get("resolved_at")) or changed
        priority = incident.get("priority")
        given = said(reach(priority, "summary") or reach(priority, "name"))
        urgency = said(incident.get("urgency"))
        norm = normalised(given) if given else normalised(urgency, "pagerduty")
        title = word(incident.get("title")) or word(incident.get("summary")) or "(no title)"
        ticket = Ticket(incident["id"], title, given or urgency, norm, status)
        self.tickets.add(State(ticket, at or changed or opened, opened, acknowledged, resolved))


def _person(agent: Any) -> str | None:
    """A user; services and integrations do not act."""
    if "user" not in str(reach(agent, "type")):
        return None
    return said(reach(agent, "summary") or reach(agent, "name") or reach(agent, "id"))


def _first(one: Time | None, other: Time | None) -> Time | None:
    if one is None or other is None:
        return one or other
    return min(one, other, key=lambda time: time.nanoseconds)


PARSERS = (PagerDutyParser(),)
