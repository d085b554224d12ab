"""PostgreSQL server logs, and pgAudit's records in them: who ran what on which table.

Read are log lines with any prefix, csvlog, jsonlog, CloudNativePG's JSON (`record.audit`), and what
psql prints. The format is `pgaudit` where there is an audit record, else `postgresql`: such a log
tells who was refused, and no statements.

pgAudit writes CSV behind `AUDIT: `: type, statement and substatement number, class, command, object
type and name, statement, parameters. Statements span lines, and are then quoted.

- `records` are log entries. A line that begins none belongs to the one before.
- `principals` are database users, where the line prefix or a column names them.
- `actions` are `<class>:<command>` of audit records; `datasets` the tables, views and
  the like that they name: `postgresql:<object>`.
- `decisions` are only of what was refused: pgAudit logs what is about to run, not how it ends.
- Times are in the zone that the prefix writes; an abbreviation other than UTC and GMT names none.
- `<not logged>` for all parameters means that they were not captured.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from ingest.parsers.access import Datasets, Requests, marked, recognised, summary
from ingest.parsers.bounded import counted
from ingest.parsers.lines import LINE_LIMIT, LineReader, first_lines
from ingest.parsers.parser import HEAD_SIZE, Confidence, Reading
from ingest.parsers.records import CUT_OFF, RecordReader, Replayed, read_fully, shape_of

NO_STATEMENTS = "statements (no audit records)"
NO_PARAMETERS = "statement parameters"
NO_USERS = "users (not in the line prefix)"
NO_TIMES = "times"
NOT_CSV = "not a line of a csvlog"

MOST_LINES = 2_000
"""How many lines one entry may span."""

_TIME = r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d{1,6})?)(?: ?([A-Z]{2,5}|[+-]\d\d(?::?\d\d)?))?"
_LEVEL = (
    r"(LOG|ERROR|FATAL|PANIC|WARNING|NOTICE|INFO|DEBUG[1-5]?"
    r"|DETAIL|HINT|STATEMENT|CONTEXT|QUERY)"
)
_TIMED = re.compile(_TIME, re.ASCII)
_ENTRY = re.compile(rf"{_TIME}(.{{0,400}}?)\b{_LEVEL}:  ?", re.ASCII)
_PRINTED = re.compile(rf"()()()(?:psql:\S{{0,200}} )?{_LEVEL}:  (?=\S)", re.ASCII)
_COLUMNS = re.compile(rf'{_TIME},(?:"[^"]*"|[^,"]*),(?:"[^"]*"|[^,"]*),\d+,', re.ASCII)
_AUDIT = re.compile(r"AUDIT: (?:SESSION|OBJECT),\d+,\d+,")
_USER = re.compile(r"(?:^|[\s:,\[(=])([^\s:@,\[\](=]{1,63})@([^\s:@,\[\](]{1,63})")
_NAMED_USER = re.compile(r"\b(?:user|u)=([^\s,@]{1,63})")
_REFUSED = re.compile(
    r"permission denied|must be (?:owner|superuser)"
    r"|authentication failed for user \"([^\"]{1,63})\""
    r"|no pg_hba\.conf entry for .{0,200}?user \"([^\"]{1,63})\"|role \"[^\"]*\" does not exist"
)
_REFUSAL_CODES = ("42501", "28000", "28P01")
_MARKS = marked("logger", "log_time", "audit_type", "error_severity", "session_id", "backend_type")
_OWN = marked("error_severity")
_AUDITED = (
    "audit_type", "statement_id", "substatement_id", "class", "command", "object_type",
    "object_name", "statement", "parameter",
)  # fmt: skip
_LEAST_FIELDS = 8
_DATA = frozenset(
    ("TABLE", "VIEW", "MATERIALIZED VIEW", "FOREIGN TABLE", "SEQUENCE", "PROPERTY GRAPH",
     "TOAST TABLE")
)  # fmt: skip
_CSV_USER, _CSV_SESSION, _CSV_SEVERITY, _CSV_CODE, _CSV_MESSAGE = 1, 5, 11, 12, 13


class PostgresqlParser:
    """Reads server logs as text, CSV or JSON; tells those with audit records apart."""

    name = "postgresql"
    version = 1
    kinds = ("access_log", "other")
    whole = True

    def detect(self, head: bytes, name: str) -> Confidence:
        """Certain where entries begin as those of PostgreSQL do, or audit records are there."""
        del name
        if shape_of(head) is not None:
            return recognised(head, _MARKS, 2, _is_record, own=_OWN)
        lines = first_lines(head)
        audits = sum(1 for line in lines if _AUDIT.search(line, 0, 2000) and _begins(line))
        entries = sum(1 for line in lines if _ENTRY.match(line) or _COLUMNS.match(line))
        if audits * 50 >= len(lines) > 0 and audits:
            return Confidence.CERTAIN
        if entries * 2 >= len(lines) > 0:
            return Confidence.CERTAIN
        return Confidence.LIKELY if entries * 5 >= len(lines) > 0 and entries else Confidence.NONE

    def read(self, stream: BinaryIO, name: str) -> Reading:
        """Read every entry."""
        del name
        head = read_fully(stream, HEAD_SIZE)
        whole = Replayed(head, stream)
        log = _Log()
        if (shape := shape_of(head)) is not None:
            records = RecordReader(whole, shape=shape, resumes_at=_is_record)
            for offset, value in records:
                if isinstance(value, dict):
                    log.take_json(value)
                else:
                    records.note_bad(offset, "not a log entry")
            return log.reading(self, records)
        reader = LineReader(whole)
        for entry in _entries(reader):
            log.take(entry)
        return log.reading(self, reader)


def _is_record(value: object) -> bool:
    if not isinstance(value, dict):
        return False
    if value.get("logger") in ("pgaudit", "postgres"):
        return isinstance(value.get("record"), dict)
    return {"error_severity", "session_id"} <= value.keys()


# Entries.


@dataclass(slots=True)
class _Entry:
    """One entry, whatever it was written as; empty where it does not say."""

    level: str
    message: str
    time: str = ""
    user: str = ""
    session: str = ""
    code: str = ""
    audit: list[str] | None = None
    """The fields of an audit record; an empty list is one that cannot be read."""


_MORE = frozenset(("DETAIL", "HINT", "STATEMENT", "CONTEXT", "QUERY"))


def _begins(line: str) -> re.Match[str] | None:
    return _ENTRY.match(line) or _PRINTED.match(line)


def _entries(reader: LineReader) -> Iterator[_Entry]:
    """The entries of a text; lines that begin none belong to the one before, if it is not done."""
    lines = _Lines(reader)
    while (found := lines.next()) is not None:
        offset, line = found
        if _COLUMNS.match(line):
            row = lines.until_quotes_close(line)
            entry = None if row is None else _of_columns(row)
        elif match := _begins(line):
            if match[4] in _MORE:
                continue
            message = line[match.end() :]
            if _AUDIT.match(message):
                whole = lines.until_quotes_close(message)
                message = CUT_OFF if whole is None else whole
            entry = _of_line(match, message)
        else:
            continue
        if entry is None or entry.audit == []:
            reader.note_bad(offset, "an audit record that breaks off" if entry else NOT_CSV)
        else:
            yield entry


class _Lines:
    """Lines, of which several may be one entry."""

    def __init__(self, reader: LineReader) -> None:
        self._lines = iter(reader)
        self._kept: tuple[int, str] | None = None

    def next(self) -> tuple[int, str] | None:
        """The next line, and where it begins."""
        kept, self._kept = self._kept, None
        return kept or next(self._lines, None)

    def until_quotes_close(self, text: str) -> str | None:
        """The text with the lines behind it, until its quotes are even; None if they never are.

        The first line that begins another entry is kept for it: what was open is damaged.
        """
        parts, size = [text], len(text)
        even = text.count('"') % 2 == 0
        while not even:
            found = self.next()
            if found is None:
                return None
            begins_another = _ENTRY.match(found[1]) or _COLUMNS.match(found[1])
            if begins_another or len(parts) >= MOST_LINES or size > LINE_LIMIT:
                self._kept = found
                return None
            parts.append(found[1])
            size += len(found[1])
            even = even == (found[1].count('"') % 2 == 0)
        return "\n".join(parts)


def _of_line(match: re.Match[str], message: str) -> _Entry:
    entry = _Entry(match[4], message, _when(match[1], match[2]))
    prefix = match[3] or ""
    if user := _NAMED_USER.search(prefix) or _USER.search(prefix):
        entry.user = user[1]
    if message == CUT_OFF:
        entry.audit = []
    elif message.startswith("AUDIT: "):
        entry.audit = _audit(message)
    return entry


def _of_columns(row: str) -> _Entry | None:
    fields = _csv(row)
    if len(fields) <= _CSV_MESSAGE:
        return None
    time = _TIMED.match(fields[0])
    message = fields[_CSV_MESSAGE]
    entry = _Entry(
        fields[_CSV_SEVERITY],
        message,
        _when(time[1], time[2]) if time else fields[0],
        fields[_CSV_USER],
        fields[_CSV_SESSION],
        fields[_CSV_CODE],
    )
    if _AUDIT.match(message):
        entry.audit = _audit(message)
    return entry


def _audit(message: str) -> list[str]:
    fields = _csv(message.removeprefix("AUDIT: "))
    return fields if len(fields) >= _LEAST_FIELDS else []


def _csv(text: str) -> list[str]:
    try:
        return next(csv.reader(io.StringIO(text, newline="")), [])
    except csv.Error:
        return []


def _when(time: str, zone: str | None) -> str:
    """The time as it can be read: `AEST` is a zone on several continents."""
    known = zone in ("UTC", "GMT") or (zone or " ")[0] in "+-"
    return f"{time} {zone}" if zone and known else time


# What entries say.


class _Log:
    def __init__(self) -> None:
        self._requests = Requests()
        self._datasets = Datasets()
        self._audits = 0
        self._parameters = self._users = self._times = False

    def take(self, entry: _Entry) -> None:
        """Take one entry."""
        requests = self._requests
        requests.records += 1
        self._times |= bool(entry.time)
        refusal = None
        if entry.level in ("ERROR", "FATAL"):
            refusal = _REFUSED.search(entry.message[:2000])
            refused = refusal is not None or entry.code in _REFUSAL_CODES
            requests.decision("denied" if refused else "failed")
        user = entry.user or (refusal and (refusal[1] or refusal[2])) or None
        self._users |= user is not None
        actor = requests.actor(user)
        if entry.time:
            requests.happened(entry.time, actor)
        if user is not None:
            requests.add("sessions", entry.session)
        if entry.audit:
            self._take_audit(entry.audit)

    def _take_audit(self, fields: list[str]) -> None:
        self._audits += 1
        _, _, _, group, command, kind, name, _, *more = fields
        self._requests.add("actions", f"{group}:{command}")
        if name and kind in _DATA:
            self._datasets.add(f"postgresql:{name}")
        self._parameters |= bool(more) and more[0] not in ("<not logged>", "<previously logged>")

    def take_json(self, value: dict[str, Any]) -> None:
        """Take one entry of jsonlog, or of CloudNativePG; its other lines are only counted."""
        record = value.get("record")
        if not isinstance(record, dict):
            record = value
        texts = {key: each for key, each in record.items() if isinstance(each, str)}
        if not {"error_severity", "log_time"} & texts.keys():
            self._requests.records += 1
            if "ts" in value:
                self._requests.time(value["ts"])
            return
        time = texts.get("log_time") or texts.get("timestamp") or ""
        match = _TIMED.fullmatch(time)
        message = texts.get("message", "")
        entry = _Entry(
            texts.get("error_severity", ""),
            message,
            _when(match[1], match[2]) if match else time,
            texts.get("user_name") or texts.get("user") or "",
            texts.get("session_id", ""),
            texts.get("sql_state_code") or texts.get("state_code") or "",
        )
        audit = record.get("audit")
        if isinstance(audit, dict):
            fields = [each if isinstance(each := audit.get(key), str) else "" for key in _AUDITED]
            entry.audit = fields
        elif _AUDIT.match(message):
            entry.audit = _audit(message)
            if not entry.audit:
                self._requests.count_problem("audit record", "that breaks off")
        self.take(entry)

    def reading(self, parser: PostgresqlParser, damage: LineReader | RecordReader) -> Reading:
        """What all this says of the item."""
        requests = self._requests
        requests.add("platforms", "postgresql")
        for known, lack in (
            (self._audits, NO_STATEMENTS),
            (self._parameters or not self._audits, NO_PARAMETERS),
            (self._users, NO_USERS),
            (self._times, NO_TIMES),
        ):
            if requests.records and not known:
                requests.add("not_captured", lack)
        form = "pgaudit" if self._audits else "postgresql"
        facts = self._datasets.into(requests.facts(parser, form, damage))
        audits = counted(self._audits, "audit record") if self._audits else ""
        label = "PostgreSQL log with pgAudit" if self._audits else "PostgreSQL log"
        kinds = ("access_log",) if self._audits or facts.decisions else ("other",)
        return Reading(facts, kinds, label, summary(facts, "log line", audits))


PARSERS = (PostgresqlParser(),)
