"""OTLP as JSON: what an exporter or a Collector writes, one request or one on every line. No I/O.

Enumerations are whole numbers and 64-bit integers are texts, of which the encoders of this world
know little: either is read either way. Ids are hexadecimal, in any case; where they are Base64, as
a protobuf library writes them unless told otherwise, they are read as such. Unknown members are
passed over, metrics are counted and not read.

Damage inside a request costs the span that it hits: reading goes on with the next one, in a list of
its own, and then the span's resource may be unknown. A damaged line is one bad record.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from itertools import islice
from typing import Any, BinaryIO

from ingest.parsers.agent_traces import KINDS, Tally
from ingest.parsers.bounded import counted
from ingest.parsers.parser import HEAD_SIZE, Confidence, Reading
from ingest.parsers.records import ByteSource, RecordReader, Replayed, Shape, read_fully, shape_of
from ingest.parsers.span_attributes import (
    MESSAGE_EVENTS,
    Attributes,
    Event,
    LogRecord,
    Span,
    hexadecimal,
)

_KEYS = ("resourceSpans", "resourceLogs", "resourceMetrics")
_EXPORTS = frozenset(_KEYS)
_SCOPES = {
    "scopeSpans": "spans",
    "instrumentationLibrarySpans": "spans",
    "scopeLogs": "logRecords",
    "instrumentationLibraryLogs": "logRecords",
    "scopeMetrics": "metrics",
}
_MARK = re.compile(rb'"resource(?:Spans|Logs|Metrics)"\s*:\s*\[')
_ERROR = (2, "2", "STATUS_CODE_ERROR")
_SERVER = (2, "2", "SPAN_KIND_SERVER")
_FIRST_RECORDS = 4
_LISTS = ("spans", "logRecords")
_NOT_SET = (None, 0, "0", "")
_PLAIN = frozenset(("stringValue", "boolValue", "doubleValue", "bytesValue"))
_TALK = ("input", "output")
_NOT_OTLP = "not of OTLP"


class OtlpJsonParser:
    """Reads traces and logs of OTLP JSON."""

    name = "otlp-json"
    version = 1
    kinds = KINDS
    whole = True

    def detect(self, head: bytes, name: str) -> Confidence:
        """Certain where a resource with its scopes can be read, likely where only parts can be."""
        del name
        shape = shape_of(head, keys=_KEYS) if _MARK.search(head) else None
        if shape is None:
            return Confidence.NONE
        first = [value for _, value in islice(_reader(io.BytesIO(head)), _FIRST_RECORDS)]
        if any(_is_export(value) or _is_resource(value) for value in first):
            return Confidence.CERTAIN
        # A resource is often longer than the head, or damaged there.
        partial = not first or (shape is Shape.KEYED and any(map(_is_part, first)))
        return Confidence.LIKELY if partial else Confidence.NONE

    def read(self, stream: BinaryIO, name: str) -> Reading:
        """Read every span and log record."""
        del name
        reader = _reader(stream)
        export = _Export()
        for offset, value in reader:
            for _ in range(export.take(value)):
                reader.note_bad(offset, _NOT_OTLP)
        if export.metrics:
            export.tally.gathered.problem(f"{counted(export.metrics, 'metric')} not read")
        return export.tally.reading(self, export.label, reader)


def _reader(stream: ByteSource) -> RecordReader:
    """One request on every line is read line by line; all else resource by resource."""
    head = read_fully(stream, HEAD_SIZE)
    shape = shape_of(head)
    if shape is not Shape.LINES:
        shape = shape_of(head, keys=_KEYS) or Shape.SEQUENCE
    return RecordReader(Replayed(head, stream), shape=shape, keys=_KEYS, resumes_at=_is_part)


class _Export:
    """Takes requests, and whatever part of one is there."""

    def __init__(self) -> None:
        self.tally = Tally()
        self.metrics = 0
        self._last_resource: object = None

    @property
    def label(self) -> str:
        """What the file is, for people."""
        kinds = [
            word
            for word, count in (("traces", self.tally.spans), ("logs", self.tally.logs))
            if count
        ]
        return f"OTLP JSON {' and '.join(kinds)}".rstrip()

    def take(self, value: object) -> int:
        """Take a value; how many parts of it were not what they should be."""
        if not isinstance(value, dict):
            return 1
        # A request, and a resource in it: nearly all that there is, and asked for in few steps.
        bad = found = 0
        for key in value:
            if key in _EXPORTS and isinstance(several := value[key], list):
                found = 1
                for each in several:
                    bad += self.take(each)
        if found:
            return bad
        for key in value:
            lists = _SCOPES.get(key)
            if lists is not None and isinstance(several := value[key], list):
                if not found:
                    found = 1
                    self._resource(value.get("resource"))
                for scope in several:
                    bad += self._scope(scope, lists)
        if found:
            return bad
        if any(isinstance(value.get(lists), list) for lists in _LISTS):
            return sum(self._scope(value, lists) for lists in _LISTS if lists in value)
        if _is_span(value):
            return self._span(value, None)
        return self._log(value, None) if _is_log(value) else 1

    def _resource(self, resource: object) -> None:
        if resource != self._last_resource:  # of most requests it is the same
            self._last_resource = resource
            self.tally.resource(attributes_of(resource))

    def _scope(self, value: object, lists: str) -> int:
        """Take the spans or records that one library wrote."""
        if not isinstance(value, dict):
            return 1
        scope = value.get("scope", value.get("instrumentationLibrary"))
        name = scope.get("name") if isinstance(scope, dict) else None
        entries = _list(value.get(lists))
        if lists == "metrics":
            self.metrics += len(entries)
            return 0
        take = self._span if lists == "spans" else self._log
        bad = 0
        for entry in entries:
            bad += take(entry, name)
        return bad

    def _span(self, value: object, scope: object) -> int:
        if not isinstance(value, dict) or "spanId" not in value:
            return 1
        get, moment = value.get, self.tally.moment
        end, status = get("endTimeUnixNano"), get("status")
        self.tally.span(
            Span(
                hexadecimal(get("traceId")),
                hexadecimal(value["spanId"]),
                hexadecimal(get("parentSpanId")),
                get("name"),
                moment(get("startTimeUnixNano")),
                moment(end),
                end not in _NOT_SET,
                attributes_of(value),
                isinstance(status, dict) and status.get("code") in _ERROR,
                get("kind") in _SERVER,
                scope,
                [*self._events(value)] if get("events") else (),
            )
        )
        self._count_dropped("span", value)
        return 0

    def _events(self, span: dict[str, Any]) -> Iterator[Event]:
        for event in _list(span.get("events")):
            if isinstance(event, dict):
                moment = self.tally.moment(event.get("timeUnixNano"))
                yield event.get("name"), moment, attributes_of(event)

    def _log(self, value: object, scope: object) -> int:
        if not isinstance(value, dict):
            return 1
        get = value.get
        attributes = _pairs(entries) if (entries := get("attributes")) else {}
        event, body, name = get("timeUnixNano"), get("body"), get("eventName")
        name = name or attributes.get("event.name")
        # Of most bodies, lines of a log, nothing is read.
        spoken = isinstance(body, dict) and (
            (isinstance(name, str) and name in MESSAGE_EVENTS)
            or ("kvlistValue" in body and _speaks(body))
        )
        # A record that says when it happened is not also dated by when somebody saw it.
        moment = event if event not in _NOT_SET else get("observedTimeUnixNano")
        self.tally.log(
            LogRecord(
                hexadecimal(get("traceId")),
                self.tally.moment(moment),
                name,
                attributes,
                _any_value(body) if spoken else None,
                scope,
            )
        )
        self._count_dropped("log record", value)
        return 0

    def _count_dropped(self, noun: str, value: dict[str, Any]) -> None:
        if value.get("droppedAttributesCount") or value.get("droppedEventsCount"):
            self.tally.gathered.count_problem(noun, "of which something was dropped")


def attributes_of(value: object) -> Attributes:
    """The attributes of a span, record, event or resource, as plain values."""
    entries = value.get("attributes") if isinstance(value, dict) else None
    return _pairs(entries) if entries else {}


def _pairs(entries: object) -> Attributes:
    found: Attributes = {}
    for entry in _list(entries):
        try:
            key, value = entry["key"], entry["value"]
            plain = value["stringValue"] if "stringValue" in value else _any_value(value)
        except (KeyError, TypeError):
            continue  # no attribute
        if isinstance(key, str):
            found[key] = plain
    return found


def _speaks(body: dict[str, Any]) -> bool:
    """Whether a map has what is read of a record of any name: what was said, and answered."""
    values = body["kvlistValue"].get("values") if isinstance(body["kvlistValue"], dict) else None
    return any(isinstance(each, dict) and each.get("key") in _TALK for each in _list(values))


def _any_value(value: object) -> Any:
    """The plain value of an AnyValue."""
    if not isinstance(value, dict):
        return None
    for kind, inner in value.items():
        if kind in _PLAIN:
            return inner
        if kind == "intValue":
            return _integer(inner)
        values = inner.get("values") if isinstance(inner, dict) else None
        if kind == "arrayValue":
            return [_any_value(each) for each in _list(values)]
        if kind == "kvlistValue":
            return _pairs(values)
    return None


def _integer(value: object) -> object:
    if isinstance(value, str) and len(value) <= 20:
        try:
            return int(value)
        except ValueError:
            return value
    return value


def _is_export(value: object) -> bool:
    if isinstance(value, dict):
        for key in _KEYS:
            if key in value and isinstance(value[key], list):
                return True
    return False


def _is_resource(value: object) -> bool:
    if isinstance(value, dict):
        for key in _SCOPES:
            if key in value and isinstance(value[key], list):
                return True
    return False


def _is_span(value: dict[str, Any]) -> bool:
    return "spanId" in value and ("startTimeUnixNano" in value or "name" in value)


def _is_log(value: dict[str, Any]) -> bool:
    timed = "timeUnixNano" in value or "observedTimeUnixNano" in value
    return timed and any(key in value for key in ("body", "severityNumber", "eventName"))


def _is_part(value: Any) -> bool:
    """Whether reading can go on here after damage: at anything that is or holds spans or logs."""
    if not isinstance(value, dict):
        return False
    if _is_export(value) or _is_resource(value) or _is_span(value) or _is_log(value):
        return True
    return any(isinstance(value.get(key), list) for key in _LISTS)


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


PARSERS = (OtlpJsonParser(),)
