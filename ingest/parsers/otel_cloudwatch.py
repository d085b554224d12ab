"""Spans and runtime logs as AWS's OpenTelemetry distribution writes them to CloudWatch. No I/O.

Bedrock AgentCore, for one: not OTLP. Attributes are a flat map, enumerations are words, nanoseconds
are whole numbers:

    {"timestamp": "2025-11-17 23:58:37.517",
     "raw_otel_json": {"resource", "scope", "traceId", "spanId", "kind": "SERVER", "attributes": …}}

Records come in that wrapping, bare, or as the text `message` of CloudWatch's own exports; in a
list, under `events`, or one on each line. Spans and runtime logs are two log groups: spans have no
prompts, which stand in the runtime logs under the same trace and span. Beside records of telemetry
these hold lines of the application's own.

The wrapping's time has no zone and is none of the record's: the record's own is taken.
"""

from __future__ import annotations

import re
from typing import Any, BinaryIO

from ingest.parsers.agent_traces import KINDS, Tally
from ingest.parsers.parser import Confidence, Reading
from ingest.parsers.reach import first_records
from ingest.parsers.records import RecordReader, parse_embedded, shape_of
from ingest.parsers.span_attributes import LogRecord, Span, hexadecimal
from ingest.parsers.times import Time

_KEYS = ("events",)
_MARK = re.compile(rb'(startTimeUnixNano|observedTimeUnixNano|timeUnixNano)\\*"\s*:\s*\d')
_WRAPPED = ("raw_otel_json", "message", "@message")
_FIRST_RECORDS = 8
_ZONED = re.compile(r"(?:Z|[+-]\d\d:?\d\d)\Z", re.ASCII)


class CloudWatchParser:
    """Reads spans and runtime logs of ADOT."""

    name = "otel-genai-cloudwatch"
    version = 1
    kinds = KINDS
    whole = True

    def detect(self, head: bytes, name: str) -> Confidence:
        """Certain where one of the first records is a span or log record of this kind."""
        del name
        if not _MARK.search(head) or shape_of(head, keys=_KEYS) is None:
            return Confidence.NONE
        first = [
            _unwrapped(value)
            for value in first_records(head, keys=_KEYS, resumes_at=_is_record, most=_FIRST_RECORDS)
        ]
        if any(map(_is_telemetry, first)):
            return Confidence.CERTAIN
        if first or b"raw_otel_json" not in head:
            return Confidence.NONE
        return Confidence.LIKELY

    def read(self, stream: BinaryIO, name: str) -> Reading:
        """Read every span and log record; lines of the application count as log records."""
        del name
        reader = RecordReader.of_any_shape(stream, keys=_KEYS, resumes_at=_is_record)
        tally = Tally()
        for offset, value in reader:
            inner = _unwrapped(value)
            if _is_telemetry(inner):
                _take(inner, tally)
            elif isinstance(inner, dict) and any(key in value for key in _WRAPPED):
                _take_line(value, inner, tally)
            else:
                reader.note_bad(offset, "not a span or log record")
                continue
            written = value.get("timestamp", value.get("@timestamp"))
            if inner is not value and isinstance(written, str) and not _ZONED.search(written):
                tally.gathered.count_problem("CloudWatch time", "without a zone, not used")
        words = [
            word for word, count in (("spans", tally.spans), ("logs", tally.logs)) if count
        ] or ["spans"]
        return tally.reading(self, f"OpenTelemetry {' and '.join(words)}, CloudWatch", reader)


def _unwrapped(value: Any) -> Any:
    """The record inside CloudWatch's wrapping; a line that is no JSON stays in it."""
    if not isinstance(value, dict):
        return value
    for key in _WRAPPED:
        inner = value.get(key)
        if isinstance(inner, str) and inner[:1] == "{":
            inner = parse_embedded(inner)
        if isinstance(inner, dict):
            return inner
    return value


def _is_telemetry(value: Any) -> bool:
    """A span or log record whose attributes are a map."""
    return (
        isinstance(value, dict)
        and isinstance(value.get("attributes"), dict)
        and any(
            key in value for key in ("startTimeUnixNano", "timeUnixNano", "observedTimeUnixNano")
        )
        and isinstance(value.get("resource", {}), dict)
    )


def _is_record(value: Any) -> bool:
    wrapped = isinstance(value, dict) and ("raw_otel_json" in value or "ingestionTime" in value)
    return wrapped or _is_telemetry(value)


def _take(value: dict[str, Any], tally: Tally) -> None:
    resource = value.get("resource")
    if isinstance(resource, dict) and isinstance(resource.get("attributes"), dict):
        tally.resource(resource["attributes"])
    scope = value.get("scope")
    name = scope.get("name") if isinstance(scope, dict) else None
    attributes, time = value["attributes"], tally.gathered.time
    trace, span = hexadecimal(value.get("traceId")), hexadecimal(value.get("spanId"))
    if "startTimeUnixNano" not in value:
        event = value.get("timeUnixNano") or value.get("observedTimeUnixNano")
        tally.log(
            LogRecord(
                trace,
                time(event, "ns"),
                value.get("eventName", attributes.get("event.name")),
                attributes,
                value.get("body"),
                name,
            )
        )
        return
    start, end = time(value["startTimeUnixNano"], "ns"), time(value.get("endTimeUnixNano"), "ns")
    status = value.get("status")
    tally.span(
        Span(
            trace,
            span,
            hexadecimal(value.get("parentSpanId")),
            value.get("name"),
            start,
            end,
            end is not None,
            attributes,
            isinstance(status, dict) and status.get("code") == "ERROR",
            value.get("kind") == "SERVER",
            name,
            [*_events(value.get("events"), tally)],
        )
    )


def _events(events: object, tally: Tally) -> list[tuple[object, Time | None, dict[str, Any]]]:
    return [
        (
            event.get("name"),
            tally.gathered.time(event.get("timeUnixNano"), "ns"),
            event["attributes"] if isinstance(event.get("attributes"), dict) else {},
        )
        for event in (events if isinstance(events, list) else ())
        if isinstance(event, dict)
    ]


def _take_line(value: dict[str, Any], line: dict[str, Any], tally: Tally) -> None:
    """Take a line of the application itself."""
    time = tally.gathered.time(line.get("timestamp", value.get("timestamp")))
    tally.gathered.add("sessions", line.get("sessionId"))
    tally.log(LogRecord(None, time, None, {}, None))


PARSERS = (CloudWatchParser(),)
