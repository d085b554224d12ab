"""ServiceNow: incidents, changes and other numbered records. Takes no time for UTC.

All values are texts. With `sysparm_display_value=all` each is an object of `value`, as stored, and
`display_value`, in the zone and format of whoever asked; documentation says that `value` is UTC,
but exports hold values in a user's format too, with day and month in either order. So times here
have no zone, and where they could be swapped that is said.

A change's `approval` is kept as it stands; who gave it lies in another table (`sysapproval`).
"""

from __future__ import annotations

import re
from typing import Any, BinaryIO

from ingest.parsers.bounded import counted, said
from ingest.parsers.gathering import Gathered
from ingest.parsers.parser import Confidence, Reading
from ingest.parsers.reach import first_records, reach, word
from ingest.parsers.records import RecordReader, shape_of
from ingest.parsers.severity import normalised
from verify.facts import Approval, Ticket

_KEYS = ("result", "records")
_MARKS = (re.compile(rb'"sys_id"\s*:'), re.compile(rb'"number"\s*:'))
_NUMBER = re.compile(
    r"(?:CHG|CTASK|INC|PRB|PTASK|RITM|REQ|SCTASK|TASK|SIR|CS|KB)\w{4,20}", re.ASCII
)
_TIMES = (
    "opened_at", "resolved_at", "closed_at", "work_start", "work_end", "approval_set",
    "sys_created_on", "sys_updated_on",
)  # fmt: skip
_APPROVALS = {
    "approved": "approved",
    "rejected": "rejected",
    "requested": "requested",
    "cancelled": "dismissed",
}


class ServiceNowParser:
    """Reads records of tables that have numbers."""

    name = "servicenow"
    version = 1
    kinds = ("ticket", "approval")
    whole = True

    def detect(self, head: bytes, name: str) -> Confidence:
        """Certain where one of the first records has a `sys_id` and a number of ServiceNow's."""
        del name
        if not all(mark.search(head) for mark in _MARKS) or shape_of(head, keys=_KEYS) is None:
            return Confidence.NONE
        first = [_inner(value) for value in first_records(head, keys=_KEYS)]
        if any(map(_is_record, first)):
            return Confidence.CERTAIN
        return Confidence.LIKELY if not first and b'"sys_created_on"' in head else Confidence.NONE

    def read(self, stream: BinaryIO, name: str) -> Reading:
        """Read every record; what has no number counts as a bad one."""
        del name
        reader = RecordReader.of_any_shape(stream, keys=_KEYS, resumes_at=_is_record)
        gathered = Gathered()
        gathered.add("platforms", "servicenow")
        approvals = 0
        for offset, value in reader:
            record = _inner(value)
            if not _is_record(record):
                reader.note_bad(offset, "not a numbered record")
                continue
            gathered.record()
            for key in _TIMES:
                gathered.time(_value(record, key))
            gathered.add(
                "actions", _value(record, "table_name") or _value(record, "sys_class_name")
            )
            number = word(_value(record, "number"))
            given, norm = _severity(record)
            title = word(_value(record, "short_description")) or "(no description)"
            status = said(_shown(record, "state") or _shown(record, "incident_state"))
            gathered.keep(Ticket(number, title, given, norm, status))
            if state := _APPROVALS.get(word(_value(record, "approval")).lower()):
                approvals += 1
                gathered.keep(Approval(number, state))
        kinds = self.kinds if approvals else self.kinds[:1]
        facts = gathered.facts(self, damage=reader)
        return Reading(facts, kinds, "ServiceNow", counted(gathered.records, "record"))


def _inner(value: Any) -> Any:
    """The record in the answer for a single one."""
    result = reach(value, "result")
    return result if isinstance(result, dict) else value


def _value(record: Any, key: str) -> Any:
    """A field as it is stored."""
    value = reach(record, key)
    return value.get("value") if isinstance(value, dict) else value


def _shown(record: Any, key: str) -> Any:
    """A field as it is shown, where the record says how."""
    return reach(record, key, "display_value") or _value(record, key)


def _is_record(value: Any) -> bool:
    number, own = _value(value, "number"), _value(value, "sys_id")
    named = isinstance(number, str) and _NUMBER.fullmatch(number) is not None
    return named and isinstance(own, str)


def _severity(record: Any) -> tuple[str | None, str]:
    """The priority, else the severity, on ServiceNow's scales."""
    if given := said(_shown(record, "priority")):
        return given, normalised(_value(record, "priority"), "servicenow_priority")
    given = said(_shown(record, "severity"))
    return given, normalised(_value(record, "severity"), "servicenow_severity")


PARSERS = (ServiceNowParser(),)
