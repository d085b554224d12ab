"""LangSmith runs: what its SDK sends in one batch, or runs one by one. No I/O.

    {"post": [{"id", "run_type", "start_time", "inputs", …}], "patch": [{"end_time", "outputs", …}]}

A run is posted as it starts and patched as it ends; the two are one record, by `id`, or by the end
of `dotted_order` where a patch has no id. A run that was never patched is unfinished. Here a run is
a span, whose ancestors `dotted_order` names as well; where it names another parent, that is told.
Times are milliseconds, or texts, which may have no zone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from ingest.parsers.agent_traces import KINDS, Tally
from ingest.parsers.bounded import said
from ingest.parsers.gathering import digest_of
from ingest.parsers.parser import Confidence, Reading
from ingest.parsers.reach import first_records, has_marks
from ingest.parsers.records import RecordReader, shape_of
from ingest.parsers.span_attributes import Attributes, Span, returned_model
from verify.facts import Config

MOST_RUNS = 500_000
"""How many runs are remembered, to know a patch from a run that was posted elsewhere."""

_KEYS = ("post", "patch")
_MARK = re.compile(rb'"(dotted_order|trace_id|run_type|start_time|session_name)"\s*:')
_ENOUGH_MARKS = 3
_FIRST_RECORDS = 4
_DOTTED = re.compile(r"\d{8}T\d{6,14}Z([0-9a-fA-F-]{32,36})", re.ASCII)
_OPERATIONS = {
    "chain": "invoke_workflow",
    "embedding": "embeddings",
    "llm": "chat",
    "parser": "invoke_workflow",
    "prompt": "invoke_workflow",
    "retriever": "retrieval",
    "tool": "execute_tool",
}
_DEEPEST = 8


class LangSmithParser:
    """Reads batches of runs."""

    name = "langsmith"
    version = 1
    kinds = KINDS
    whole = True

    def detect(self, head: bytes, name: str) -> Confidence:
        """Certain where one of the first records is a run."""
        del name
        if not has_marks(head, _MARK, _ENOUGH_MARKS) or b"dotted_order" not in head:
            return Confidence.NONE
        if shape_of(head, keys=_KEYS) is None:
            return Confidence.NONE
        first = first_records(head, keys=_KEYS, resumes_at=_is_run, most=_FIRST_RECORDS)
        if any(_is_run(run) for value in first for run in _runs(value)):
            return Confidence.CERTAIN
        return Confidence.NONE if first else Confidence.LIKELY

    def read(self, stream: BinaryIO, name: str) -> Reading:
        """Read every run; what is none is a bad record."""
        del name
        reader = RecordReader.of_any_shape(stream, keys=_KEYS, resumes_at=_is_run)
        batch = _Batch()
        for offset, value in reader:
            for run in _runs(value):
                if _is_run(run):
                    batch.take(run)
                else:
                    reader.note_bad(offset, "not a run")
        return batch.tally.reading(self, "LangSmith runs", reader)


def _is_run(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    named = "dotted_order" in value or "run_type" in value
    return named and any(key in value for key in ("trace_id", "start_time", "end_time"))


def _runs(value: Any) -> Iterator[Any]:
    """The runs that one value holds: a batch on a line of its own, or a run."""
    lists = (
        [value[key] for key in _KEYS if isinstance(value.get(key), list)]
        if (isinstance(value, dict))
        else []
    )
    if not lists:
        yield value
    for each in lists:
        yield from each


class _Batch:
    """Joins posts and patches."""

    def __init__(self) -> None:
        self.tally = Tally("run")
        self._seen: dict[bytes, str] = {}

    def take(self, run: dict[str, Any], depth: int = 0) -> None:
        """Take a post or a patch, and the runs below it."""
        get, tally = run.get, self.tally
        line = _DOTTED.findall(str(get("dotted_order") or ""))
        identity = said(get("id")) or (line[-1] if line else None)
        trace = said(get("trace_id")) or (line[0] if line else None)
        parent = said(get("parent_run_id"))
        above = line[-2] if len(line) > 1 else None
        kind, again = self._kind(identity, get("run_type"))
        if parent and line and parent != above:
            tally.gathered.count_problem("run", "whose dotted_order names another parent")
        start, end = tally.gathered.time(get("start_time")), tally.gathered.time(get("end_time"))
        metadata = _member(_member(run, "extra"), "metadata")
        if project := said(get("session_name")):
            tally.gathered.keep(Config("project", project))
        for key in ("session_id", "thread_id", "conversation_id"):
            tally.gathered.add("sessions", metadata.get(key))
        tally.gathered.activity(metadata.get("user_id"), start or end)
        tally.span(
            Span(
                trace,
                identity,
                parent or above,
                get("name"),
                start,
                end,
                end is not None,
                _attributes(run, kind, metadata, again=again),
                bool(get("error")),
            ),
            again=again,
        )
        if kind == "tool":
            # Whose call it ran may be known from its answer only, so it names no span.
            for holder in (_member(run, "inputs"), *_answers(get("outputs"))):
                if called := said(holder.get("tool_call_id")):
                    tally.calls.repeated(get("name"), trace=trace, identity=called)
                    tally.calls.answered(called, trace=trace)
        below = get("child_runs")
        for child in below if isinstance(below, list) and depth < _DEEPEST else ():
            if _is_run(child):
                self.take(child, depth + 1)

    def _kind(self, identity: str | None, kind: object) -> tuple[str, bool]:
        """The type of a run, and whether it came before; a patch often does not say its type."""
        named = said(kind) or ""
        if identity is None:
            return named, False
        digest = digest_of(identity)
        before = self._seen.get(digest)
        if before is None or (named and not before):
            if before is not None or len(self._seen) < MOST_RUNS:
                self._seen[digest] = named
            return named, before is not None
        return before, True


def _attributes(
    run: dict[str, Any], kind: str, metadata: dict[str, Any], *, again: bool
) -> Attributes:
    """The run in the words of OpenTelemetry; of what was said before only what it ended in."""
    inputs, outputs = _member(run, "inputs"), run.get("outputs")
    answered = returned_model(outputs)
    attributes: Attributes = {}
    if kind or answered:
        attributes["gen_ai.operation.name"] = _OPERATIONS.get(kind or "llm", "invoke_workflow")
    if kind == "tool":
        attributes["gen_ai.tool.name"] = run.get("name")
        attributes["gen_ai.tool.call.arguments"] = inputs
        attributes["gen_ai.tool.call.result"] = outputs
    elif kind == "llm" or (not kind and answered):
        if not again:
            asked = inputs.get("model") or metadata.get("ls_model_name")
            attributes["gen_ai.request.model"] = asked
        attributes["gen_ai.input.messages"] = inputs.get("messages") or inputs.get("prompts")
        attributes["gen_ai.output.messages"] = outputs
        if answered:
            attributes["gen_ai.response.model"] = answered
    else:
        attributes["input.value"], attributes["output.value"] = inputs, outputs
    return attributes


def _answers(outputs: object) -> Iterator[dict[str, Any]]:
    if isinstance(outputs, dict):
        yield from (outputs, _member(outputs, "output"))


def _member(value: object, key: str) -> dict[str, Any]:
    inner = value.get(key) if isinstance(value, dict) else None
    return inner if isinstance(inner, dict) else {}


PARSERS = (LangSmithParser(),)
