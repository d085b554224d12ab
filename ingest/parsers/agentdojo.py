"""AgentDojo runs: one agent's conversation in a prompt-injection benchmark. Judges nothing.

A run is one JSON object with `suite_name`, `pipeline_name` and `messages`. What it does not hold:

- the model that answered. `pipeline_name` names the model asked for, followed by `-<defense>` where
  one of AgentDojo's own four defenses is on (`AgentPipeline.from_config`); that suffix is taken
  off, nothing else is;
- times, before `evaluation_timestamp` came (0.1.35). That one has no zone, so that it names no
  instant; messages have none in either.

The benchmark's verdicts (`utility`, `security`) are no facts here: `security: true` means that the
attack succeeded only where `attack_type` is set, and clean runs carry it too. Whom a mail was sent
to, or who a calendar entry invites, is content, not a principal.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, BinaryIO

from ingest.parsers.bounded import clip, counted, said
from ingest.parsers.gathering import Gathered
from ingest.parsers.parser import Confidence, Reading
from ingest.parsers.records import RecordReader, Shape, shape_of
from verify.facts import CAP

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
_ROLES = ("system", "user", "assistant", "tool")


class AgentDojoParser:
    """Reads a run; several in one file, one after another, are read as one item of many runs."""

    name = "agentdojo"
    version = 3
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
        gathered = Gathered()
        withheld = 0
        for offset, value in reader:
            if _is_message(value):
                gathered.record()
                withheld += _take(gathered, value)
            else:
                reader.note_bad(offset, "not a message")
        for document in reader.documents[:CAP]:
            if "pipeline_name" in document or "suite_name" in document:
                _take_run(gathered, document)
        untimed = gathered.clock.quality == "none"
        gathered.add("not_captured", "returned model", "times" if untimed else "message times")
        if withheld:
            gathered.finding(
                "prompt injection detector",
                "prompt_injection",
                disposition="withheld",
                count=withheld,
            )
        facts = gathered.facts(self, damage=reader)
        if len(reader.documents) > CAP:
            facts = replace(facts, capped=tuple(sorted({*facts.capped, "runs"})))
        calls = sum(tool.calls for tool in facts.tools)
        summary = counted(calls, "tool call") if calls else "no tool calls"
        if withheld:
            summary += f", {counted(withheld, 'result')} withheld: prompt injection"
        elif calls:
            summary += f", the last one {facts.last_tool}"
        return Reading(facts, self.kinds if withheld else self.kinds[:2], "AgentDojo", summary)


def _take_run(gathered: Gathered, document: dict[str, object]) -> None:
    gathered.add("runs", _run_id(document))
    gathered.model(requested=_model(_text(document, "pipeline_name")))
    gathered.time(document.get("evaluation_timestamp"))
    if error := document.get("error"):
        gathered.problem(clip(f"the run ended in an error: {error}"))


def _take(gathered: Gathered, message: dict[str, Any]) -> bool:
    """Take the next message; whether it is a result that was withheld."""
    if message["role"] != "tool":
        calls = message.get("tool_calls")
        for call in calls if isinstance(calls, list) else ():
            if isinstance(call, dict):
                gathered.call(_tool_name(call), call.get("id"))
        return False
    call = message.get("tool_call")
    call = call if isinstance(call, dict) else {}
    identity = said(message.get("tool_call_id")) or said(call.get("id"))
    gathered.result(identity, _tool_name(call))
    return _is_withheld(message.get("content"))


def _is_message(value: object) -> bool:
    return isinstance(value, dict) and value.get("role") in _ROLES and "content" in value


def _is_withheld(content: object) -> bool:
    """Content is a text, or since 0.1.35 a list of parts of which any may be withheld."""
    if isinstance(content, list):
        return any(isinstance(part, dict) and part.get("content") == WITHHELD for part in content)
    return content == WITHHELD


def _tool_name(call: dict[str, Any]) -> object:
    name = call.get("function")
    return name if isinstance(name, str) else None


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


PARSERS = (AgentDojoParser(),)
