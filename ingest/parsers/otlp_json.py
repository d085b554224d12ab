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
from ingest.parsers.records import ByteSource, RecordReader, Shape, read_fully, shape_of
from ingest.parsers.reopened import Reopened
from ingest.parsers.span_attributes import Attributes, Event, LogRecord, Span, hexadecimal

_KEYS = ("resourceSpans", "resourceLogs", "resourceMetrics")
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
    return RecordReader(Reopened(head, stream), shape=shape, keys=_KEYS, resumes_at=_is_part)


class _Export:
    """Takes requests, and whatever part of one is there."""

    def __init__(self) -> None:
        self.tally = Tally()
        self.metrics = 0

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
        if _is_export(value):
            parts = [each for key in _KEYS for each in _list(value.get(key))]
            return sum(map(self.take, parts))
        if _is_resource(value):
            if attributes := attributes_of(_member(value, "resource")):
                self.tally.resource(attributes)
            return sum(
                self._scope(each, key)
                for key in _SCOPES
                if key in value
                for each in _list(value[key])
            )
        if any(isinstance(value.get(key), list) for key in _SCOPES.values()):
            return self._scope(value, None)
        if _is_span(value):
            return self._span(value, None)
        return self._log(value, None) if _is_log(value) else 1

    def _scope(self, value: object, key: str | None) -> int:
        """Take the spans or records that one library wrote."""
        if not isinstance(value, dict):
            return 1
        scope = _member(value, "scope") or _member(value, "instrumentationLibrary")
        name = scope.get("name")
        bad = 0
        for lists in (_SCOPES[key],) if key else _SCOPES.values():
            entries = _list(value.get(lists))
            if lists == "metrics":
                self.metrics += len(entries)
                continue
            take = self._span if lists == "spans" else self._log
            bad += sum(take(each, name) for each in entries)
        return bad

    def _span(self, value: object, scope: object) -> int:
        if not isinstance(value, dict) or "spanId" not in value:
            return 1
        time = self.tally.gathered.time
        start, end = value.get("startTimeUnixNano"), value.get("endTimeUnixNano")
        self.tally.span(
            Span(
                hexadecimal(value.get("traceId")),
                hexadecimal(value["spanId"]),
                hexadecimal(value.get("parentSpanId")),
                value.get("name"),
                time(start, "ns"),
                time(end, "ns"),
                end not in (None, 0, "0", ""),
                attributes_of(value),
                _member(value, "status").get("code") in _ERROR,
                value.get("kind") in _SERVER,
                scope,
                [*self._events(value)] if value.get("events") else (),
            )
        )
        self._count_dropped("span", value)
        return 0

    def _events(self, span: dict[str, Any]) -> Iterator[Event]:
        time = self.tally.gathered.time
        for event in _list(span.get("events")):
            if isinstance(event, dict):
                yield event.get("name"), time(event.get("timeUnixNano"), "ns"), attributes_of(event)

    def _log(self, value: object, scope: object) -> int:
        if not isinstance(value, dict):
            return 1
        attributes = attributes_of(value)
        event, observed = value.get("timeUnixNano"), value.get("observedTimeUnixNano")
        # A record that says when it happened is not also dated by when somebody saw it.
        moment = event if event not in (None, 0, "0", "") else observed
        self.tally.log(
            LogRecord(
                hexadecimal(value.get("traceId")),
                hexadecimal(value.get("spanId")),
                self.tally.gathered.time(moment, "ns"),
                value.get("eventName") or attributes.get("event.name"),
                attributes,
                _any_value(value.get("body")),
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
        if isinstance(entry, dict) and isinstance(key := entry.get("key"), str):
            found[key] = _any_value(entry.get("value"))
    return found


def _any_value(value: object) -> Any:
    """The plain value of an AnyValue."""
    if not isinstance(value, dict):
        return None
    for kind, inner in value.items():
        if kind in ("stringValue", "boolValue", "doubleValue", "bytesValue"):
            return inner
        if kind == "intValue":
            return _integer(inner)
        if kind == "arrayValue":
            return [_any_value(each) for each in _list(_member(value, kind).get("values"))]
        if kind == "kvlistValue":
            return _pairs(_member(value, kind).get("values"))
    return None


def _integer(value: object) -> object:
    if isinstance(value, str) and len(value) <= 20:
        try:
            return int(value)
        except ValueError:
            return value
    return value


def _is_export(value: object) -> bool:
    return isinstance(value, dict) and any(isinstance(value.get(key), list) for key in _KEYS)


def _is_resource(value: object) -> bool:
    return isinstance(value, dict) and any(isinstance(value.get(key), list) for key in _SCOPES)


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
    return any(isinstance(value.get(key), list) for key in ("spans", "logRecords"))


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _member(value: object, key: str) -> dict[str, Any]:
    inner = value.get(key) if isinstance(value, dict) else None
    return inner if isinstance(inner, dict) else {}


PARSERS = (OtlpJsonParser(),)
