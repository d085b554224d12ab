"""Langfuse exports: a trace with its observations and scores. No I/O.

    {"trace": {"id", "sessionId", "userId", "scores": […], …}, "observations": [{"type", …}]}

What the facts mean here: an observation is a span; `runs` are traces. `input`, `output` and
`metadata` are JSON texts or JSON. A `model` counts as returned where the output, or an attribute of
OpenTelemetry in `metadata`, names it as well; else as asked for. Scores are findings; they make no
alert, and as they and `updatedAt` change later, an export of tomorrow has other bytes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from ingest.parsers.agent_traces import KINDS, Tally
from ingest.parsers.bounded import said
from ingest.parsers.parser import HEAD_SIZE, Confidence, Reading
from ingest.parsers.reach import first_records, has_marks
from ingest.parsers.records import (
    RECORD_LIMIT,
    RecordReader,
    Replayed,
    Shape,
    parse_embedded,
    read_fully,
    shape_of,
)
from ingest.parsers.span_attributes import Attributes, Span, parsed, returned_model
from ingest.parsers.times import read_time
from verify.facts import Config

_KEYS = ("observations",)
_MARK = re.compile(rb'"(traceId|parentObservationId|startTime|type|observations|trace)"\s*:')
_TRACE = re.compile(r'\ufeff?\s*\{\s*"trace"\s*:\s*(?=\{)')
_ENOUGH_MARKS = 4
_FIRST_RECORDS = 4
_OPERATIONS = {
    "AGENT": "invoke_agent",
    "CHAIN": "invoke_workflow",
    "EMBEDDING": "embeddings",
    "GENERATION": "chat",
    "GUARDRAIL": "apply_guardrail",
    "RETRIEVER": "retrieval",
    "TOOL": "execute_tool",
}
_NOT_OBSERVATION = "not an observation"


class LangfuseParser:
    """Reads traces exported from Langfuse."""

    name = "langfuse"
    version = 1
    kinds = KINDS
    whole = True

    def detect(self, head: bytes, name: str) -> Confidence:
        """Certain where one of the first records is an observation, or a trace with some."""
        del name
        if not has_marks(head, _MARK, _ENOUGH_MARKS) or shape_of(head, keys=_KEYS) is None:
            return Confidence.NONE
        text = head.decode("utf-8", "surrogateescape")
        if _TRACE.match(text) and b"parentObservationId" in head:
            return Confidence.CERTAIN
        first = first_records(head, keys=_KEYS, most=_FIRST_RECORDS)
        if any(_is_export(value) or _is_observation(value) for value in first):
            return Confidence.CERTAIN
        return Confidence.NONE

    def read(self, stream: BinaryIO, name: str) -> Reading:
        """Read the trace and every observation."""
        del name
        head = read_fully(stream, HEAD_SIZE)
        shape = shape_of(head)
        tally = Tally("observation")
        if shape is not Shape.LINES:
            # The trace stands beside the list of observations, which alone is read as a stream.
            shape = shape_of(head, keys=_KEYS) or Shape.SEQUENCE
            if b'"trace"' in head[:_MOST_BEFORE_TRACE]:
                head += read_fully(stream, RECORD_LIMIT - len(head))
                if (trace := _trace_of(head)) is not None:
                    _take_trace(trace, tally)
                    shape = Shape.KEYED
        reader = RecordReader(
            Replayed(head, stream), shape=shape, keys=_KEYS, resumes_at=_is_observation
        )
        for offset, value in reader:
            if _is_observation(value):
                _take(value, tally)
            elif _is_export(value):
                if isinstance(value.get("trace"), dict):
                    _take_trace(value["trace"], tally)
                for each in value["observations"]:
                    if _is_observation(each):
                        _take(each, tally)
                    else:
                        reader.note_bad(offset, _NOT_OBSERVATION)
            else:
                reader.note_bad(offset, _NOT_OBSERVATION)
        return tally.reading(self, "Langfuse export", reader)


_MOST_BEFORE_TRACE = 256


def _trace_of(head: bytes) -> dict[str, Any] | None:
    """The trace that the first member holds, as far as it can be read."""
    text = head.decode("utf-8", "surrogateescape")
    match = _TRACE.match(text)
    if match is None:
        return None
    try:
        value, _ = json.JSONDecoder().raw_decode(text, match.end())
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _is_export(value: object) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("observations"), list)
        and isinstance(value.get("trace"), (dict, type(None)))
    )


def _is_observation(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and "parentObservationId" in value
        and "traceId" in value
        and "startTime" in value
    )


def _take_trace(trace: dict[str, Any], tally: Tally) -> None:
    gathered = tally.gathered
    time = gathered.time(trace.get("timestamp"))
    gathered.add("traces", trace.get("id"))
    gathered.add("runs", trace.get("id"))
    gathered.add("sessions", trace.get("sessionId"))
    gathered.activity(trace.get("userId"), time)
    for kind in ("release", "version"):
        if value := said(trace.get(kind)):
            gathered.keep(Config(kind, said(trace.get("name")) or "trace", value))
    scores = trace.get("scores")
    for score in scores if isinstance(scores, list) else ():
        if isinstance(score, dict):
            # When it was scored is no time of the trace.
            scored = read_time(score.get("timestamp"))
            tally.finding(score.get("name"), score.get("stringValue"), score.get("value"), scored)


def _take(observation: dict[str, Any], tally: Tally) -> None:
    get, time = observation.get, tally.gathered.time
    metadata = parsed(get("metadata")) or {}
    if isinstance(resource := metadata.get("resourceAttributes"), dict):
        tally.resource(resource)
    tally.gathered.add("sessions", metadata.get("thread_id"))
    end = time(get("endTime"))
    tally.span(
        Span(
            said(get("traceId")),
            said(get("id")),
            get("parentObservationId"),
            get("name"),
            time(get("startTime")),
            end,
            end is not None or get("type") == "EVENT",
            _attributes(observation, metadata),
            get("level") == "ERROR",
        )
    )


def _attributes(observation: dict[str, Any], metadata: dict[str, Any]) -> Attributes:
    """The observation in the words of OpenTelemetry, over what OpenTelemetry itself said of it."""
    inner = metadata.get("attributes")
    attributes: Attributes = dict(inner) if isinstance(inner, dict) else {}
    get, kind = observation.get, observation.get("type")
    operation = _OPERATIONS.get(kind) if isinstance(kind, str) else None
    if operation is not None:
        attributes.pop("openinference.span.kind", None)
        attributes["gen_ai.operation.name"] = operation
    attributes["gen_ai.prompt.name"] = get("promptName")
    attributes["gen_ai.prompt.version"] = get("promptVersion")
    if kind == "TOOL":
        _add_tool(attributes, observation)
    elif kind == "GENERATION":
        _add_generation(attributes, observation, metadata)
    else:
        attributes["input.value"], attributes["output.value"] = get("input"), get("output")
    return attributes


def _add_tool(attributes: Attributes, observation: dict[str, Any]) -> None:
    attributes.setdefault("gen_ai.tool.name", observation.get("name"))
    attributes["gen_ai.tool.call.arguments"] = observation.get("input")
    attributes["gen_ai.tool.call.result"] = output = observation.get("output")
    if (answer := parsed(output)) and said(answer.get("tool_call_id")):
        attributes.setdefault("gen_ai.tool.call.id", answer["tool_call_id"])


def _add_generation(
    attributes: Attributes, observation: dict[str, Any], metadata: dict[str, Any]
) -> None:
    get, model = observation.get, observation.get("model")
    asked = attributes.get("gen_ai.request.model", metadata.get("ls_model_name"))
    answered = attributes.get("gen_ai.response.model") or returned_model(get("output"))
    if answered is None and asked is not None and model != asked:
        answered = model  # Langfuse names the answer's where it knows it
    elif asked is None and model != answered:
        asked = model
    for key, value in (("gen_ai.request.model", asked), ("gen_ai.response.model", answered)):
        if said(value):
            attributes[key] = value
    for key in [key for key in attributes if key.startswith(("llm.", "input.", "output."))]:
        del attributes[key]  # said again by the observation
    attributes["gen_ai.prompt"], attributes["gen_ai.completion"] = get("input"), get("output")
    attributes["gen_ai.input.messages"] = get("input")
    output = get("output")
    output = parse_embedded(output) if isinstance(output, str) else output
    attributes["gen_ai.output.messages"] = [output, {"tool_calls": [*_tool_calls(observation)]}]


def _tool_calls(observation: dict[str, Any]) -> Iterator[dict[str, object]]:
    """The calls that Langfuse itself found in an output: their texts and, beside these, names."""
    calls, names = observation.get("toolCalls"), observation.get("toolCallNames")
    if isinstance(calls, list) and isinstance(names, list):
        for call, name in zip(calls, names, strict=False):
            yield {"id": (parsed(call) or {}).get("id"), "name": name}


PARSERS = (LangfuseParser(),)
