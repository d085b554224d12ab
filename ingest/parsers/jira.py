"""Jira: issues as the REST API and webhooks give them, with their history where it was asked for.

Read are answers of a search or an agile board (`issues`), single issues, webhooks (`issue` beside
`webhookEvent`), and, by name only, the transitions that a workflow offers. Times carry offsets such
as `-0800`, webhooks milliseconds.

- Severity is the priority, unless a field called 'Severity' is there: custom fields are named by
  number, and only `names` (of `expand=names`) says which is which. Only answers for a single issue
  are read with their `names`.
- Nothing in Jira says that somebody took notice, so that no ticket has a time of acknowledgement;
  the history (`expand=changelog`) gives who changed an issue, and when.
- Creators and authors of changes act. Assignees and watchers do not.
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
from verify.facts import Ticket

_KEYS = ("issues", "transitions")
_MARKS = re.compile(rb'"fields"\s*:')
_MORE = re.compile(
    rb'"(?:issuetype|statusCategory|webhookEvent|customfield_\d+|changelog)"\s*:'
    rb"|/rest/(?:api|agile)/"
)
_KEY = re.compile(r"[A-Z][A-Z0-9_]*-\d+", re.ASCII)


class JiraParser:
    """Reads issues; of transitions it counts them."""

    name = "jira"
    version = 1
    kinds = ("ticket", "other")
    whole = True

    def detect(self, head: bytes, name: str) -> Confidence:
        """Certain where one of the first records is an issue or a transition."""
        del name
        if not _MARKS.search(head) or not _MORE.search(head):
            return Confidence.NONE
        if shape_of(head, keys=_KEYS) is None:
            return Confidence.NONE
        return surest(first_records(head, keys=_KEYS), _is_record)

    def read(self, stream: BinaryIO, name: str) -> Reading:
        """Read every issue; what is none counts as a bad record."""
        del name
        reader = RecordReader.of_any_shape(stream, keys=_KEYS, resumes_at=_is_record)
        issues = _Issues()
        for offset, value in reader:
            if not issues.take(value):
                reader.note_bad(offset, "not an issue")
        gathered = issues.gathered
        issues.tickets.tell(gathered)
        told = counted(len(issues.tickets), "issue")
        if issues.transitions:
            told += f", {counted(issues.transitions, 'transition')} of a workflow"
        if len(issues.tickets) and not issues.histories:
            gathered.add("not_captured", "history of changes")
        kinds = self.kinds[:1] if len(issues.tickets) else self.kinds[1:]
        return Reading(gathered.facts(self, damage=reader), kinds, "Jira", told)


def _issue(value: Any) -> Any:
    """The issue in a record: itself, or what a webhook is about."""
    inner = reach(value, "issue")
    return inner if isinstance(inner, dict) else value


def _is_issue(value: Any) -> bool:
    key = reach(value, "key")
    named = isinstance(key, str) and _KEY.fullmatch(key) is not None
    return named and isinstance(reach(value, "fields"), dict)


def _is_transition(value: Any) -> bool:
    return isinstance(reach(value, "to"), dict) and isinstance(reach(value, "name"), str)


def _is_record(value: Any) -> bool:
    return _is_issue(_issue(value)) or _is_transition(value)


class _Issues:
    """What the issues taken so far say."""

    def __init__(self) -> None:
        self.gathered = Gathered()
        self.gathered.add("platforms", "jira")
        self.tickets = Tickets()
        self.transitions = 0
        self.histories = 0

    def take(self, value: Any) -> bool:
        """Take one record; False if it is neither issue nor transition."""
        issue, gathered = _issue(value), self.gathered
        if not _is_issue(issue):
            if _is_transition(value):
                gathered.record()
                self.transitions += 1
                return True
            return False
        gathered.record()
        fields = issue["fields"]
        opened = gathered.time(fields.get("created"))
        at = gathered.time(fields.get("updated"))
        resolved = gathered.time(fields.get("resolutiondate"))
        gathered.activity(_person(fields.get("creator") or fields.get("reporter")), opened)
        given = _severity(value, issue)
        ticket = Ticket(
            issue["key"],
            word(fields.get("summary")) or "(no summary)",
            given,
            normalised(given),
            said(reach(fields, "status", "name")),
        )
        self._take_histories(reach(issue, "changelog", "histories"))
        if issue is not value:
            self._take_webhook(value)
        self.tickets.add(State(ticket, at, opened, None, resolved))
        return True

    def _take_histories(self, histories: Any) -> None:
        for history in objects(histories):
            self.histories += 1
            when = self.gathered.time(history.get("created"))
            self.gathered.activity(_person(history.get("author")), when)

    def _take_webhook(self, event: dict[str, Any]) -> None:
        when = self.gathered.time(event.get("timestamp"), "ms")
        self.gathered.add("actions", event.get("webhookEvent"))
        self.gathered.activity(_person(event.get("user")), when)
        self.histories += isinstance(event.get("changelog"), dict)


def _person(person: Any) -> str | None:
    """Cloud names an account, a server of one's own a name."""
    for key in ("accountId", "name", "key", "displayName"):
        if named := said(reach(person, key)):
            return named
    return None


def _severity(value: Any, issue: dict[str, Any]) -> str | None:
    """The field that is called severity, else the priority."""
    fields = issue["fields"]
    names = reach(issue, "names") or reach(value, "names")
    for key, name in names.items() if isinstance(names, dict) else ():
        if isinstance(name, str) and name.strip().lower() == "severity":
            own = fields.get(key)
            if given := said(reach(own, "value") or reach(own, "name") or own):
                return given
    return said(reach(fields, "severity", "name") or reach(fields, "priority", "name"))


PARSERS = (JiraParser(),)
