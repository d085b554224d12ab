"""Spans dumped one object each, attributes as a flat map: of any convention, or of OpenInference.

    {"trace_id", "span_id", "parent_span_id", "name", "start_time", "end_time", "attributes": {…},
     "scope": {"name"}, "status": {"code"}, "span_events": [{"event_name", "timestamp", …}]}

This is what test suites and evaluation tools keep of a run: a list of such objects, also under
`spans`, or one on each line. Times are nanoseconds as whole numbers, or texts. No I/O.

OpenInference writes lists as one attribute for each value (`llm.output_messages.0.message.role`)
and has spans of its own for guardrails, evaluators and retrievers. `tool.parameters` is a schema by
its rules, and holds actual arguments where the Claude agent SDK writes it: nothing rests on it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from ingest.parsers.agent_traces import KINDS, Tally
from ingest.parsers.parser import Confidence, Reading
from ingest.parsers.reach import first_records, has_marks, surest
from ingest.parsers.records import RecordReader, shape_of
from ingest.parsers.span_attributes import Event, Span, hexadecimal

_MARK = re.compile(rb'"(trace_id|span_id|parent_span_id|start_time|attributes)"\s*:')
_ENOUGH_MARKS = 4
_KEYS = ("spans",)
_OPEN_INFERENCE = re.compile(rb'"openinference\.(?:span\.kind|instrumentation[.\w]*)"')
_FIRST_RECORDS = 4
_ERRORS = ("ERROR", "StatusCode.ERROR", "STATUS_CODE_ERROR", 2)


class SpanDumpParser:
    """Reads dumped spans."""

    name = "otel-genai-spans"
    version = 1
    kinds = KINDS
    whole = True
    _label = "OpenTelemetry spans"

    def detect(self, head: bytes, name: str) -> Confidence:
        """Certain where one of the first records is such a span."""
        del name
        return Confidence.NONE if _OPEN_INFERENCE.search(head) else _detect(head)

    def read(self, stream: BinaryIO, name: str) -> Reading:
        """Read every span; what is none is a bad record."""
        del name
        reader = RecordReader.of_any_shape(
            stream, keys=_KEYS, keep=("session_id",), resumes_at=_is_span
        )
        tally = Tally()
        for offset, value in reader:
            if _is_span(value):
                _take(value, tally)
            else:
                reader.note_bad(offset, "not a span")
        for document in reader.documents:
            tally.gathered.add("sessions", document.get("session_id"))
        return tally.reading(self, self._label, reader)


class OpenInferenceParser(SpanDumpParser):
    """Reads dumped spans of OpenInference."""

    name = "openinference"
    _label = "OpenInference spans"

    def detect(self, head: bytes, name: str) -> Confidence:
        """Certain where one of the first records is a span, and some span is of OpenInference."""
        del name
        return _detect(head) if _OPEN_INFERENCE.search(head) else Confidence.NONE


def _detect(head: bytes) -> Confidence:
    if not has_marks(head, _MARK, _ENOUGH_MARKS) or shape_of(head, keys=_KEYS) is None:
        return Confidence.NONE
    return surest(
        first_records(head, keys=_KEYS, resumes_at=_is_span, most=_FIRST_RECORDS), _is_span
    )


def _is_span(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("attributes"), dict)
        and all(key in value for key in ("trace_id", "span_id", "start_time"))
    )


def _take(value: dict[str, Any], tally: Tally) -> None:
    time = tally.gathered.time
    start, end = time(value.get("start_time")), time(value.get("end_time"))
    status, scope = value.get("status"), value.get("scope")
    code = status.get("code", status.get("status_code")) if isinstance(status, dict) else status
    resource = value.get("resource")
    if isinstance(resource, dict) and isinstance(resource.get("attributes"), dict):
        tally.resource(resource["attributes"])
    tally.span(
        Span(
            hexadecimal(value["trace_id"]),
            hexadecimal(value["span_id"]),
            hexadecimal(value.get("parent_span_id")),
            value.get("name"),
            start,
            end,
            end is not None,
            value["attributes"],
            code in _ERRORS,
            False,
            scope.get("name") if isinstance(scope, dict) else scope,
            [*_events(value.get("span_events"), tally)],
        )
    )


def _events(events: object, tally: Tally) -> Iterator[Event]:
    for event in events if isinstance(events, list) else ():
        if isinstance(event, dict):
            parts = (event.get("attributes"), event.get("body"))
            yield (
                event.get("event_name", event.get("name")),
                tally.gathered.time(event.get("timestamp")),
                {
                    key: value
                    for part in parts
                    if isinstance(part, dict)
                    for key, value in part.items()
                },
            )


PARSERS = (OpenInferenceParser(), SpanDumpParser())
