"""Dumped spans, of OpenTelemetry and of OpenInference: what the samples say, by eye and anew."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from ingest.parsers import HEAD_SIZE, Confidence, Reading, choose, read_facts
from ingest.parsers.span_dumps import OpenInferenceParser, SpanDumpParser
from verify.facts import Config, Facts, Model, ToolUse

DATA = Path(__file__).parents[1] / "data"
PATHS = sorted(
    path for name in ("openinference", "otel-genai-spans") for path in (DATA / name).glob("*.json")
)


def read(data: bytes, name: str = "spans.json") -> Reading:
    return read_facts(io.BytesIO(data), head=data[:HEAD_SIZE], name=name)


def sample(name: str) -> Facts:
    return read(next(path for path in PATHS if path.name.startswith(name)).read_bytes()).facts


def dumped(**more: Any) -> dict[str, Any]:
    return {
        "trace_id": "a" * 32,
        "span_id": "b" * 16,
        "parent_span_id": None,
        "name": "x",
        "start_time": 1700000000000000000,
        "end_time": 1700000001000000000,
        "attributes": {},
        "scope": {"name": "x"},
        "status": {"code": "OK"},
        "span_events": [],
    } | more


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name[:24])
def test_a_plain_reading_of_the_file_says_the_same(path: Path) -> None:
    spans = json.loads(path.read_bytes())
    reading = read(path.read_bytes())
    facts = reading.facts
    ids = {span["span_id"] for span in spans}
    assert facts.parser == facts.format == path.parent.name
    assert (facts.records, facts.spans) == (len(spans), len(ids))
    assert facts.unresolved_parents == sum(
        span["parent_span_id"] not in ids for span in spans if span["parent_span_id"]
    )
    assert facts.traces == tuple(sorted({span["trace_id"] for span in spans}))
    assert facts.raw_first == str(min(span["start_time"] for span in spans))
    assert facts.raw_last == str(max(span["end_time"] for span in spans))
    assert (facts.clock, facts.time_unit) == ("zoned", "ns")
    assert reading.kinds == ("prompt", "tool_trace")
    assert facts.bad_records == facts.unfinished_calls == 0
    assert facts.capped == ()


# Read by eye.


def test_adk_captures_content_in_attributes_of_its_own() -> None:
    facts = sample("adk_live")
    assert facts.tools == (ToolUse("calculator", 1, 0),)
    assert facts.models == (Model("gemini-3.5-flash", 4, 2, "floating"),)
    assert facts.sessions == ("b4866a2a-a3d4-4d2f-8f40-6bb0d03d135c",)
    assert facts.runs == (
        "97847cb33dff13e46483685930f4e236",
        "e-5742fbee-9bb9-4445-b224-7ae0041d6631",
    )
    assert facts.configs == (Config("agent", "math_agent"), Config("tool", "calculator"))
    assert (facts.first, facts.last) == (
        "2026-07-25T16:09:25.227135Z",
        "2026-07-25T16:09:28.672840Z",
    )
    assert facts.not_captured == facts.problems == ()
    assert facts.unresolved_parents == 0


def test_openai_agents_calls_have_other_ids_in_each_place() -> None:
    """Spans have none, answers `call_…`, and the history `fc_…`: five calls, not fifteen."""
    facts = sample("openai_agents_genai")
    assert facts.tools == (
        ToolUse("ask_math_specialist", 1, 0),
        ToolUse("ask_research_specialist", 1, 0),
        ToolUse("lookup_stock_price", 1, 0),
        ToolUse("multiply_numbers", 2, 0),
    )
    assert facts.models == (Model("gpt-4o-mini-2024-07-18", 0, 8, "exact"),)
    assert facts.last_tool == "multiply_numbers"
    agents = [each.name for each in facts.configs if each.kind == "agent"]
    assert agents == ["coordinator", "math_specialist", "research_specialist"]
    assert facts.unresolved_parents == 1
    assert facts.problems == ()


def test_the_conventions_own_spans() -> None:
    facts = sample("otel_genai_convention")
    assert facts.tools == (ToolUse("get_weather", 2, 0),)
    assert facts.models == (Model("gpt-4o", 3, 0, "floating"),)
    assert facts.sessions == ("conv_otel_test_001",)
    assert facts.not_captured == ("returned model",)
    assert facts.problems == ("1 span ended in an error: TimeoutError",)
    assert (facts.first, facts.last) == ("2023-11-14T22:13:20Z", "2023-11-14T22:13:26Z")


def test_openinference_of_the_claude_agent_sdk() -> None:
    facts = sample("claude_live")
    assert facts.tools == (ToolUse("Agent", 3, 0), ToolUse("Bash", 3, 0))
    assert facts.models == (
        Model("claude-sonnet-4-6", 3, 0, "floating"),
        Model("us.anthropic.claude-sonnet-4-6", 1, 0, "floating"),
    )
    assert facts.sessions == ("mock-session-001",)
    assert facts.not_captured == ("returned model",)
    assert facts.unresolved_parents == 1
    # The last to start; `tool.parameters` are arguments here, and name no tool.
    assert facts.last_tool == "Bash"


def test_openinference_of_the_openai_agents_sdk() -> None:
    facts = sample("openai_agents_openinference")
    assert facts.tools == (
        ToolUse("ask_math_specialist", 1, 0),
        ToolUse("divide_numbers", 2, 0),
        ToolUse("multiply_numbers", 1, 0),
    )
    assert facts.models == (Model("gpt-4o-mini-2024-07-18", 0, 5, "exact"),)
    assert facts.unresolved_parents == 1
    assert facts.not_captured == ()
    assert {each.name for each in facts.configs if each.kind == "tool"} >= {"multiply_numbers"}


# Shapes and traps.


def test_lines_lists_and_lists_under_a_key_read_alike() -> None:
    spans = json.loads(PATHS[0].read_bytes())
    listed = read(json.dumps(spans).encode())
    assert read("\n".join(map(json.dumps, spans)).encode()) == listed
    keyed = json.dumps({"session_id": "s-1", "span_count": len(spans), "spans": spans})
    facts = read(keyed.encode()).facts
    assert facts.tools == listed.facts.tools
    assert facts.sessions == (*listed.facts.sessions, "s-1")


def test_times_may_be_texts_and_a_zone_may_be_missing() -> None:
    span = dumped(start_time="2026-01-31T09:30:00Z", end_time="2026-01-31T09:30:01.5Z")
    assert read(json.dumps([span]).encode()).facts.last == "2026-01-31T09:30:01.500Z"
    span = dumped(start_time="2026-01-31T09:30:00", end_time="2026-01-31T09:30:01")
    facts = read(json.dumps([span]).encode()).facts
    assert (facts.clock, facts.first) == ("unzoned", None)
    assert facts.problems == ("2 times without a zone",)


def test_a_span_without_an_end_is_unfinished() -> None:
    facts = read(json.dumps([dumped(end_time=None)]).encode()).facts
    assert facts.problems == ("1 span without an end",)


def test_messages_may_stand_in_the_body_of_an_event() -> None:
    answer = {"generations": [[{"message": {"tool_calls": [{"name": "f", "id": "c"}]}}]]}
    result = {"type": "tool", "name": "f", "content": "x", "tool_call_id": "c"}
    asked = {"role": "user", "content": '{"tool_calls":[{"name":"forged","id":"g"}]}'}
    library = "openinference.instrumentation.langchain"

    def span(identity: str, said: object) -> dict[str, Any]:
        output = {"messages": [{"content": json.dumps(said), "role": "assistant"}]}
        event = {"event_name": library, "timestamp": 1700000000000000000, "attributes": {}}
        event["body"] = {"input": {"messages": [asked]}, "output": output}
        return dumped(span_id=identity, scope={"name": library}, span_events=[event])

    data = json.dumps([span("1" * 16, answer), span("2" * 16, result)]).encode()
    reading = read(data)
    assert reading.format_label == "OpenInference spans"
    assert reading.kinds == ("prompt", "tool_trace")
    assert reading.facts.tools == (ToolUse("f", 1, 0),)


def test_a_damaged_span_costs_itself_only() -> None:
    data = PATHS[0].read_bytes()
    at = data.index(b'"span_id"', len(data) // 2)
    broken = data[:at] + b"\x00" + data[at + 1 :]
    whole, facts = read(data).facts, read(broken).facts
    assert facts.parser == whole.parser
    assert facts.records == whole.records - 1
    assert facts.bad_records == 1


@pytest.mark.parametrize("value", [None, 7, "x", [], {}, True, [{}], {"a": [1]}])
def test_a_value_of_any_type_anywhere_raises_nothing(value: object) -> None:
    for key in dumped():
        read(json.dumps([dumped(), dumped(**{key: value}), value]).encode())


def test_only_dumped_spans_are_taken_for_them() -> None:
    plain, inference = SpanDumpParser().detect, OpenInferenceParser().detect
    for path in PATHS:
        head = path.read_bytes()[:HEAD_SIZE]
        ours, theirs = (
            (inference, plain) if path.parent.name == "openinference" else (plain, inference)
        )
        assert ours(head, "x.bin") is Confidence.CERTAIN
        assert theirs(head, "x") is Confidence.NONE
    nested = json.dumps({"run": dumped()}).encode()
    assert plain(nested, "spans.json") is Confidence.NONE
    assert plain(b'"trace_id":"span_id":"start_time":"attributes":', "x") is Confidence.NONE
    assert choose(b'[{"trace_id":1,"span_id":2}]', "spans.json").name == "json"
