"""OpenAI Agents SDK: its traces, and the state of a run that waits for a person.

Traces are the items that the SDK exports: `trace`, and `trace.span` with a `span_data` of some
`type`; as a list, one a line, or under `data` as its own endpoint gets them.

- Tool calls have no ids here: each `function` span is one, and unfinished if it has an input, but
  neither output nor error, as while a person is asked. With the SDK's content capture off it has
  no input either: then its end counts.
- A `response` span names a response, not its model; only `generation` spans name models, as asked
  for.
- Guardrails are `detectors`; one that tripped is a finding.

A serialised `RunState` (of the SDK in Python or JavaScript) repeats its items in several lists:
each tool call counts once. `approvals`: each tool call that was held up is `requested`, by its
agent, with the call's id as `reference`; decisions have that id too, or none where they were given
for the tool for good. Who decided, and when, the state does not hold; nor any model.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from ingest.parsers.bounded import counted, said
from ingest.parsers.conversation import Conversation
from ingest.parsers.gathering import Gathered
from ingest.parsers.parser import Confidence, Reading
from ingest.parsers.reach import first_records
from ingest.parsers.records import RecordReader, shape_of
from verify.facts import Config, Detector

_LIST = ("data",)
_FIRST_RECORDS = 4
_MARK = re.compile(rb'"object"\s*:\s*"trace(?:\.span)?"')
_STATE_MARKS = tuple(
    re.compile(mark)
    for mark in (
        rb'"\$schemaVersion"\s*:\s*"\d{1,4}\.\d{1,4}"',
        rb'"(?:current_agent|currentAgent|current_turn|currentTurn)"\s*:',
    )
)
_CONTENT_SPANS = ("generation", "transcription", "speech", "speech_group")


class AgentsTraceParser:
    """Reads the SDK's traces."""

    name = "openai-agents-trace"
    version = 1
    kinds = ("prompt", "tool_trace", "guardrail_alert")
    whole = True

    def detect(self, head: bytes, name: str) -> Confidence:
        """Certain where one of the first records is an item of a trace."""
        del name
        if not _MARK.search(head) or shape_of(head, keys=_LIST) is None:
            return Confidence.NONE
        first = first_records(head, keys=_LIST, resumes_at=_is_item, most=_FIRST_RECORDS)
        if any(_is_item(each) for value in first for each in _items(value)):
            return Confidence.CERTAIN
        return Confidence.NONE if first else Confidence.LIKELY

    def read(self, stream: BinaryIO, name: str) -> Reading:
        """Read every item; what is none is a bad record."""
        del name
        reader = RecordReader.of_any_shape(stream, keys=_LIST, resumes_at=_is_item)
        trace = _Trace()
        for offset, value in reader:
            for item in _items(value):
                if _is_item(item):
                    trace.take(item)
                else:
                    reader.note_bad(offset, "no trace and no span")
        return trace.reading(self, reader)


def _is_item(value: object) -> bool:
    if not isinstance(value, dict):
        return False
    if value.get("object") == "trace":
        return "workflow_name" in value or "group_id" in value
    return value.get("object") == "trace.span" and "trace_id" in value


def _items(value: Any) -> Iterator[Any]:
    """What one value holds: an item, a list of them, or a body that was not read as one."""
    if isinstance(value, dict) and "object" not in value and isinstance(value.get("data"), list):
        yield from value["data"]
    elif isinstance(value, list):
        yield from value
    else:
        yield value


class _Trace:
    """What the items taken so far add up to."""

    def __init__(self) -> None:
        self.gathered = Gathered()
        self.calls = 0
        self.failed = 0
        self.tripped = 0
        self.spans = 0
        self.modelled = False
        self.answered = False
        self.content = False

    def take(self, item: dict[str, Any]) -> None:
        """Take a trace or a span."""
        gathered = self.gathered
        gathered.record(item.get("id"))
        if item["object"] == "trace":
            gathered.add("traces", item.get("id"))
            gathered.add("sessions", item.get("group_id"))
            return
        self.spans += 1
        gathered.span(item["trace_id"], item.get("id", item.get("span_id")), item.get("parent_id"))
        start, end = gathered.time(item.get("started_at")), gathered.time(item.get("ended_at"))
        failed = item.get("error") is not None
        self.failed += failed
        data = item.get("span_data")
        if not isinstance(data, dict):
            return
        kind, name = data.get("type"), data.get("name")
        if data.get("input") or data.get("output"):
            self.content = self.content or kind in _CONTENT_SPANS
        if kind == "function":
            self.calls += 1
            identity = f"{said(item['trace_id'])}/{said(item.get('id'))}"
            gathered.call(name, identity, start)
            captured = data.get("input") is not None
            if failed or data.get("output") is not None or (end is not None and not captured):
                gathered.result(identity)
        elif kind == "agent":
            gathered.keep(Config("agent", said(name) or ""))
        elif kind == "guardrail":
            gathered.keep(Detector(said(name) or ""))
            if data.get("triggered") is True:
                self.tripped += 1
                gathered.finding(name, "guardrail", time=end or start, disposition="tripped")
        elif kind == "response":
            self.answered = True
        elif data.get("model"):
            self.modelled = True
            gathered.model(requested=data["model"])

    def reading(self, parser: AgentsTraceParser, damage: RecordReader) -> Reading:
        """The reading of these items."""
        add = self.gathered.add
        if not self.content:
            add("not_captured", "message content")
        if not self.modelled:
            add("not_captured", "requested model")
        add("not_captured", "returned model")
        shown = (
            ("prompt", self.content),
            ("tool_trace", True),
            ("guardrail_alert", bool(self.tripped)),
        )
        parts = [counted(self.spans, "span"), counted(self.calls, "tool call")]
        if self.failed:
            parts.append(f"{self.failed:,} with an error")
        if self.tripped:
            parts.append(f"{counted(self.tripped, 'guardrail')} tripped")
        return Reading(
            self.gathered.facts(parser, damage=damage),
            tuple(kind for kind, there in shown if there),
            "OpenAI Agents trace",
            ", ".join(parts) + ("" if self.content else "; prompts not captured"),
        )


# The state of a run.


class RunStateParser:
    """Reads serialised states of runs, several in a file too."""

    name = "openai-agents-runstate"
    version = 1
    kinds = ("prompt", "tool_trace", "approval", "guardrail_alert", "other")
    whole = True

    def detect(self, head: bytes, name: str) -> Confidence:
        """Certain where the first record is a state; likely where it goes on beyond the head."""
        del name
        if shape_of(head) is None or not _STATE_MARKS[0].search(head):
            return Confidence.NONE
        first = first_records(head, most=1)
        if any(map(_is_state, first)):
            return Confidence.CERTAIN
        likely = not first and _STATE_MARKS[1].search(head)
        return Confidence.LIKELY if likely else Confidence.NONE

    def read(self, stream: BinaryIO, name: str) -> Reading:
        """Read every state; what is none is a bad record."""
        del name
        reader = RecordReader.of_any_shape(stream)
        state = _State()
        for offset, value in reader:
            if _is_state(value):
                state.take(value)
            else:
                reader.note_bad(offset, "no state of a run")
        return state.reading(self, reader)


def _is_state(value: object) -> bool:
    if not isinstance(value, dict) or not isinstance(value.get("$schemaVersion"), str):
        return False
    return bool(_member(value, "current_agent") or _member(value, "model_responses") is not None)


def _member(value: dict[str, Any], name: str) -> Any:
    """A member by its name in Python, or in JavaScript."""
    if name in value:
        return value[name]
    first, *others = name.split("_")
    return value.get(first + "".join(word.capitalize() for word in others))


class _State:
    """What the states taken so far add up to."""

    def __init__(self) -> None:
        self.gathered = Gathered()
        self.talk = Conversation(self.gathered)
        self.pending = 0
        self.tripped = 0

    def take(self, state: dict[str, Any]) -> None:
        """Take a state."""
        gathered = self.gathered
        self.talk.begin()
        gathered.record()
        gathered.keep(Config("agent", _agent(state, "current_agent") or ""))
        gathered.keep(Config("state", "RunState", state["$schemaVersion"]))
        gathered.add("sessions", _member(state, "conversation_id"))
        if isinstance(trace := state.get("trace"), dict):
            gathered.add("traces", trace.get("id"))
            gathered.add("sessions", _member(trace, "group_id"))
        asked = _member(state, "original_input")
        self.talk.spoken |= isinstance(asked, str) and bool(asked)
        for item in _list(asked):
            self.talk.item(item)
        self.talk.begin()
        for response in _list(_member(state, "model_responses")):
            for item in _list(response.get("output") if isinstance(response, dict) else None):
                self._raw(item)
        for name in ("session_items", "generated_items"):
            self.talk.begin()
            for item in _list(_member(state, name)):
                self._item(item)
        step = _member(state, "current_step")
        data = step.get("data") if isinstance(step, dict) else None
        decided = set()
        if isinstance(context := state.get("context"), dict):
            decided = set(self._decisions(context))
        for item in _list(data.get("interruptions") if isinstance(data, dict) else None):
            self._item(item)
            raw = _member(item, "raw_item") if isinstance(item, dict) else None
            self.pending += isinstance(raw, dict) and said(_call_id(raw)) not in decided
        for name in ("input", "output", "tool_input", "tool_output"):
            for result in _list(_member(state, f"{name}_guardrail_results")):
                self._guardrail(result)

    def _item(self, item: object) -> None:
        if not isinstance(item, dict) or not isinstance(raw := _member(item, "raw_item"), dict):
            return
        if item.get("type") == "tool_approval_item":
            subject = _member(item, "tool_name") or raw.get("name")
            self.talk.approval(subject, "requested", _call_id(raw), requester=_agent(item, "agent"))
        else:
            self._raw(raw)

    def _raw(self, raw: object) -> None:
        """An item of Responses, which JavaScript writes in its own way."""
        if isinstance(raw, dict) and "callId" in raw:
            kind = raw.get("type")
            kind = f"{kind}_output" if kind == "function_call_result" else kind
            if isinstance(kind, str) and kind.endswith(("_result", "_output")):
                self.talk.result(raw["callId"])
            else:
                self.talk.call(raw.get("name"), raw["callId"])
        else:
            self.talk.item(raw)

    def _decisions(self, context: dict[str, Any]) -> Iterator[str | None]:
        """Take what was decided; the ids of the calls that it was decided for."""
        given: list[tuple[object, object]] = []
        if isinstance(tools := context.get("approvals"), dict):
            given += tools.items()
        for entry in _list(context.get("function_tool_approvals")):
            if isinstance(entry, dict):
                given.append((entry.get("tool_key"), entry.get("decision")))
        for entry in _list(context.get("hosted_mcp_approvals")):
            identity = entry.get("identity") if isinstance(entry, dict) else None
            if isinstance(identity, dict):
                name = identity.get("tool_name", identity.get("request_id"))
                given.append((name, entry.get("decision")))
        for tool, decision in given:
            for state in ("approved", "rejected"):
                calls = decision.get(state) if isinstance(decision, dict) else None
                if calls is True:
                    self.talk.approval(tool, state, None)
                for call in _list(calls):
                    self.talk.approval(tool, state, call)
                    yield said(call)

    def _guardrail(self, result: object) -> None:
        guardrail = result.get("guardrail") if isinstance(result, dict) else None
        output = result.get("output") if isinstance(result, dict) else None
        if not isinstance(guardrail, dict) or not isinstance(output, dict):
            return
        name = guardrail.get("name")
        self.gathered.keep(Detector(said(name) or ""))
        behavior = output.get("behavior")
        behavior = behavior.get("type") if isinstance(behavior, dict) else None
        if output.get("tripwireTriggered") is True or behavior not in (None, "allow"):
            self.tripped += 1
            self.gathered.finding(name, "guardrail", disposition=behavior or "tripped")

    def reading(self, parser: RunStateParser, damage: RecordReader) -> Reading:
        """The reading of these states."""
        self.gathered.add("not_captured", "times", "requested model", "returned model")
        shown = (
            ("prompt", self.talk.spoken),
            ("tool_trace", bool(self.talk.calls)),
            ("approval", bool(self.talk.approvals)),
            ("guardrail_alert", bool(self.tripped)),
        )
        parts = [
            counted(self.talk.calls, "tool call"),
            f"{self.pending:,} waiting for approval",
        ]
        return Reading(
            self.gathered.facts(parser, damage=damage),
            tuple(kind for kind, there in shown if there) or ("other",),
            "OpenAI Agents RunState",
            ", ".join(parts),
        )


def _agent(value: dict[str, Any], name: str) -> str | None:
    agent = _member(value, name)
    return said(agent.get("name")) if isinstance(agent, dict) else None


def _call_id(raw: dict[str, Any]) -> object:
    return _member(raw, "call_id") or raw.get("id")


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


PARSERS = (RunStateParser(), AgentsTraceParser())
