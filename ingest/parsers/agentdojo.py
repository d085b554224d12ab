"""AgentDojo runs: one agent's conversation in a prompt-injection benchmark. Judges nothing.

A run is one JSON object with `suite_name`, `pipeline_name` and `messages`. What it does not hold:

- the model that answered. `pipeline_name` names the model asked for, followed by `-<defense>` where
  one of AgentDojo's own four defenses is on (`AgentPipeline.from_config`); that suffix is taken
  off, nothing else is;
- times, before `evaluation_timestamp` came (0.1.35). That one has no zone, so it stays a problem
  and becomes no time; messages have none in either.

The benchmark's verdicts (`utility`, `security`) are no facts here: `security: true` means that the
attack succeeded only where `attack_type` is set, and clean runs carry it too. Whom a mail was sent
to, or who a calendar entry invites, is content, not a principal.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any, BinaryIO

from ingest.parsers.bounded import Distinct, clip, counted
from ingest.parsers.models import exactness
from ingest.parsers.parser import Confidence, Reading
from ingest.parsers.records import RecordReader, Shape, shape_of
from verify.errors import MalformedError
from verify.facts import CAP, Facts, Finding, Model, ToolUse
from verify.instant import format_instant, read_given_instant

WITHHELD = "<Data omitted because a prompt injection was detected>"
"""What AgentDojo's inline detector puts in place of a tool's result (`pi_detector.py`)."""

DEFENSES = (
    "tool_filter",
    "transformers_pi_detector",
    "spotlighting_with_delimiting",
    "repeat_user_prompt",
)
"""AgentDojo's own defenses, as they end a pipeline's name."""

_LIST = ("messages",)
_KEPT = (
    "suite_name",
    "pipeline_name",
    "user_task_id",
    "injection_task_id",
    "attack_type",
    "evaluation_timestamp",
    "error",
)
_MARKS = tuple(re.compile(rb'"' + key + rb'"\s*:') for key in (b"suite_name", b"pipeline_name"))
_MOST_TOOLS = 10_000
_MOST_OPEN = 100_000
_ROLES = ("system", "user", "assistant", "tool")


class AgentDojoParser:
    """Reads a run; several in one file, one after another, are read as one item of many runs."""

    name = "agentdojo"
    version = 2
    kinds = ("prompt", "tool_trace", "guardrail_alert")
    whole = True

    def detect(self, head: bytes, name: str) -> Confidence:
        """Certain where all three keys are there; `messages` must be a top-level list."""
        del name
        if not all(mark.search(head) for mark in _MARKS):
            return Confidence.NONE
        keyed = shape_of(head, keys=_LIST) is Shape.KEYED
        return Confidence.CERTAIN if keyed else Confidence.NONE

    def read(self, stream: BinaryIO, name: str) -> Reading:
        """Read the runs; a run that breaks off gives the facts of what is there."""
        del name
        reader = RecordReader(
            stream, shape=Shape.KEYED, keys=_LIST, keep=_KEPT, resumes_at=_is_message
        )
        conversation = _Conversation()
        messages = 0
        for offset, value in reader:
            if _is_message(value):
                messages += 1
                conversation.take(value)
            else:
                reader.note_bad(offset, "not a message")
        return _reading(self, reader, conversation, messages)


def _reading(
    parser: AgentDojoParser, reader: RecordReader, conversation: _Conversation, messages: int
) -> Reading:
    runs, problems = Distinct(), list(reader.problems())
    models: Counter[str] = Counter()  # as many as documents, which are few
    moments: list[str] = []
    unzoned = False
    for document in reader.documents:
        if "pipeline_name" not in document and "suite_name" not in document:
            continue
        runs.add(_run_id(document))
        models[clip(_model(_text(document, "pipeline_name")))] += 1
        if error := document.get("error"):
            problems.append(clip(f"the run ended in an error: {error}"))
        if (stamp := document.get("evaluation_timestamp")) is not None:
            if moment := _instant(str(stamp)):
                moments.append(moment)
            elif _instant(f"{stamp}Z"):
                unzoned = True
                problems.append(f"evaluation_timestamp has no time zone: {stamp}")
            else:
                problems.append(clip(f"evaluation_timestamp is not a time: {stamp}"))
    problems += conversation.problems()
    tools, run_ids = conversation.tools(), runs.sorted()
    kinds: tuple[str, ...] = ("prompt", "tool_trace")
    findings: tuple[Finding, ...] = ()
    if conversation.withheld:
        kinds = parser.kinds
        findings = (
            Finding(
                "prompt injection detector",
                "prompt_injection",
                conversation.withheld,
                None,
                "withheld",
            ),
        )
    capped = [
        name
        for name, full in (
            ("models", len(models) > CAP),
            ("problems", len(problems) > CAP),
            ("runs", runs.overflowed or len(reader.documents) > CAP),
            ("tools", len(tools) > CAP or conversation.overflowed),
        )
        if full
    ]
    facts = Facts(
        parser.name,
        parser.version,
        "agentdojo",
        records=messages,
        bad_records=reader.bad,
        bad_offsets=tuple(reader.bad_offsets),
        clock=_clock(zoned=bool(moments), unzoned=unzoned),
        first=min(moments, default=None),
        last=max(moments, default=None),
        runs=run_ids,
        models=tuple(
            Model(name, number, exact=exactness(name))
            for name, number in sorted(models.items())[:CAP]
        ),
        tools=tools[:CAP],
        unfinished_calls=sum(tool.unfinished for tool in tools),
        last_tool=conversation.last_tool,
        findings=findings,
        not_captured=("returned model", "message times" if moments or unzoned else "times"),
        problems=tuple(problems[:CAP]),
        capped=tuple(capped),
    )
    return Reading(facts, kinds, "AgentDojo", conversation.summary())


class _Conversation:
    """The tool calls of the messages taken so far, and what became of them."""

    def __init__(self) -> None:
        self.withheld = 0
        self.last_tool: str | None = None
        self.overflowed = False
        self._calls: Counter[str] = Counter()
        self._finished: Counter[str] = Counter()
        self._open: dict[str, list[str]] = {}
        self._strays = 0

    def take(self, message: dict[str, Any]) -> None:
        """Take the next message."""
        if message["role"] == "tool":
            self._take_result(message)
            return
        calls = message.get("tool_calls")
        for call in calls if isinstance(calls, list) else ():
            if isinstance(call, dict):
                self._take_call(call)

    def _take_call(self, call: dict[str, Any]) -> None:
        tool = self.last_tool = _tool_name(call)
        if len(self._calls) >= _MOST_TOOLS or len(self._open) >= _MOST_OPEN:
            self.overflowed = True
            return
        self._calls[tool] += 1
        self._open.setdefault(_call_key(call.get("id"), tool), []).append(tool)

    def _take_result(self, message: dict[str, Any]) -> None:
        call = message.get("tool_call")
        call = call if isinstance(call, dict) else {}
        identity = message.get("tool_call_id")
        key = _call_key(call.get("id") if identity is None else identity, _tool_name(call))
        if key in self._open:
            waiting = self._open[key]
            self._finished[waiting.pop(0)] += 1
            if not waiting:
                del self._open[key]
        else:
            self._strays += 1
        if _is_withheld(message.get("content")):
            self.withheld += 1

    def tools(self) -> tuple[ToolUse, ...]:
        """Each tool, by name, with its calls and those that have neither result nor error."""
        return tuple(
            ToolUse(name, calls, calls - self._finished[name])
            for name, calls in sorted(self._calls.items())
        )

    def problems(self) -> list[str]:
        """Results that answer no call, and calls that were too many to follow."""
        if self.overflowed:
            return ["more tool calls than are followed; the counts are too low"]
        return [f"{counted(self._strays, 'tool result')} without a call"] if self._strays else []

    def summary(self) -> str:
        """One short line: the calls, and what was withheld or came last."""
        total = sum(self._calls.values())
        if self.withheld:
            results = counted(self.withheld, "result")
            return f"{counted(total, 'tool call')}, {results} withheld: prompt injection"
        if not total:
            return "no tool calls"
        return f"{counted(total, 'tool call')}, the last one {self.last_tool}"


def _is_message(value: object) -> bool:
    return isinstance(value, dict) and value.get("role") in _ROLES and "content" in value


def _is_withheld(content: object) -> bool:
    """Content is a text, or since 0.1.35 a list of parts of which any may be withheld."""
    if isinstance(content, list):
        return any(isinstance(part, dict) and part.get("content") == WITHHELD for part in content)
    return content == WITHHELD


def _call_key(identity: object, tool: str) -> str:
    """What a call and its result share: the id, or the tool where there is no id."""
    return clip(f"id {identity}" if isinstance(identity, (str, int)) else f"tool {tool}")


def _tool_name(call: dict[str, Any]) -> str:
    name = call.get("function")
    return clip(name) if isinstance(name, str) else "(unnamed)"


def _text(document: dict[str, object], key: str) -> str:
    value = document.get(key)
    return "none" if value is None else str(value)


def _run_id(document: dict[str, object]) -> str:
    """Suite, user task, injection task, attack, pipeline; 'none' as in AgentDojo's own paths."""
    keys = ("suite_name", "user_task_id", "injection_task_id", "attack_type", "pipeline_name")
    return "/".join(_text(document, key) for key in keys)


def _model(pipeline: str) -> str:
    for defense in DEFENSES:
        if pipeline.endswith(f"-{defense}"):
            return pipeline[: -len(defense) - 1]
    return pipeline


def _instant(text: str) -> str | None:
    """RFC 3339 in UTC, whole seconds; None without a zone, and for what is no time."""
    try:
        return format_instant(read_given_instant(text))[:19] + "Z"
    except (MalformedError, OverflowError):
        return None


def _clock(*, zoned: bool, unzoned: bool) -> str:
    if zoned and unzoned:
        return "mixed"
    return "zoned" if zoned else "unzoned" if unzoned else "none"


PARSERS = (AgentDojoParser(),)
