"""OpenAI Agents SDK: what is asserted was read in the samples by eye."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from damage import check

from ingest.parsers import Confidence
from ingest.parsers.openai_agents import AgentsTraceParser, RunStateParser
from verify.facts import Approval, Config, Detector, Finding, Model, ToolUse

DATA = Path(__file__).parents[1] / "data"
TRACE = (DATA / "openai-agents-trace" / "trace.jsonl").read_bytes()
PENDING = (DATA / "openai-agents-runstate" / "pending.json").read_bytes()
DECIDED = (DATA / "openai-agents-runstate" / "decided.json").read_bytes()


# Traces.


def test_a_trace_tells_spans_tools_models_and_guardrails() -> None:
    reading = check(TRACE)
    facts = reading.facts
    items = [json.loads(line) for line in TRACE.splitlines()]
    spans = [item for item in items if item["object"] == "trace.span"]
    assert facts.parser == facts.format == "openai-agents-trace"
    assert (facts.records, facts.bad_records) == (len(items), 0) == (25, 0)
    assert (facts.spans, facts.unresolved_parents) == (len(spans), 0) == (22, 0)
    assert facts.traces == tuple(sorted({span["trace_id"] for span in spans}))
    assert facts.sessions == ("thread_1",)
    assert facts.first == "2026-11-25T21:03:34.632253Z"
    assert facts.last == "2026-11-25T21:03:34.805601Z"
    assert facts.raw_first == "2026-11-25T21:03:34.632253+00:00"
    assert facts.models == (Model("gpt-4o-mini", 1, 0, "floating"),)
    # Three deletions were held up and have no output; one of them ran later, as a span of its own.
    assert facts.tools == (ToolUse("delete_file", 4, 3), ToolUse("get_weather", 2, 0))
    assert facts.detectors == (Detector("no_secrets"), Detector("trip"))
    assert facts.findings == (
        Finding("trip", "guardrail", 1, "2026-11-25T21:03:34.682931Z", "tripped"),
    )
    assert [config.name for config in facts.configs] == ["File agent", "Guarded", "Weather agent"]
    assert facts.not_captured == ("returned model",)
    assert facts.problems == ()
    assert reading.kinds == ("prompt", "tool_trace", "guardrail_alert")
    assert reading.summary == "22 spans, 6 tool calls, 1 with an error, 1 guardrail tripped"


def test_a_trace_may_be_a_list_or_the_body_of_a_request() -> None:
    items = [json.loads(line) for line in TRACE.splitlines()]
    plain = check(TRACE).facts
    for form in (items, {"data": items}):
        assert check(json.dumps(form).encode()).facts == plain


def span(kind: str, **more: Any) -> dict[str, Any]:
    return {
        "object": "trace.span",
        "id": "span_1",
        "trace_id": "trace_1",
        "parent_id": "span_0",
        "started_at": "2025-03-10T12:09:38+00:00",
        "ended_at": None,
        "span_data": {"type": kind, **more},
        "error": None,
    }


@pytest.mark.parametrize(
    ("change", "unfinished"),
    [
        ({}, 1),
        ({"ended_at": "2025-03-10T12:09:39+00:00"}, 1),  # no output: held up, or it broke off
        ({"ended_at": "2025-03-10T12:09:39+00:00", "input": None}, 0),  # content is not captured
        ({"output": ""}, 0),
        ({"error": {"message": "no"}}, 0),
    ],
)
def test_a_call_is_finished_by_output_or_error(change: dict[str, Any], unfinished: int) -> None:
    data = {"name": "look", "input": "{}", "output": None}
    data |= {key: change[key] for key in ("input", "output") if key in change}
    item = {**span("function", **data), **{k: v for k, v in change.items() if k not in data}}
    facts = check(json.dumps(item).encode()).facts
    assert facts.tools == (ToolUse("look", 1, unfinished),)
    assert facts.unresolved_parents == 1


def test_a_trace_without_content_says_so() -> None:
    reading = check(json.dumps(span("response", response_id="resp_1", usage=None)).encode())
    assert reading.facts.not_captured == ("message content", "requested model", "returned model")
    assert reading.kinds == ("tool_trace",)
    assert reading.summary == "1 span, 0 tool calls; prompts not captured"


def test_what_is_no_item_is_a_bad_record() -> None:
    lines = TRACE.splitlines(keepends=True)
    data = b"".join((lines[0], b'{"object":"list"}\n', b"7\n", lines[1]))
    facts = check(data).facts
    assert (facts.records, facts.bad_records) == (2, 2)
    assert facts.bad_offsets == (len(lines[0]), len(lines[0]) + len(b'{"object":"list"}\n'))


def test_hostile_items_are_left_out() -> None:
    items = [
        span("agent", name=["x"]),
        span("guardrail", name={}, triggered=True),
        span("generation", model={}, input=7),
        {**span("function", name=7), "id": [], "trace_id": {}},
        {"object": "trace.span", "trace_id": 1, "span_data": []},
    ]
    facts = check(json.dumps(items).encode()).facts
    assert facts.records == 5
    assert facts.tools == (ToolUse("7", 1, 1),)


# States.


def test_a_state_that_waits_tells_for_what() -> None:
    reading = check(PENDING)
    facts = reading.facts
    assert facts.parser == facts.format == "openai-agents-runstate"
    assert (facts.records, facts.bad_records) == (1, 0)
    assert facts.approvals == (
        Approval(
            "historical_approval",
            "requested",
            requester="compat-agent",
            reference="historical-approval-1",
        ),
    )
    # The call stands in six lists of the state.
    assert facts.tools == (ToolUse("historical_approval", 1, 1),)
    assert facts.traces == ("trace_179a5e809d614cf89ac5a1f24b415704",)
    assert facts.configs == (Config("agent", "compat-agent"), Config("state", "RunState", "1.13"))
    assert facts.not_captured == ("requested model", "returned model", "times")
    assert reading.kinds == ("prompt", "tool_trace", "approval")
    assert reading.summary == "1 tool call, 1 waiting for approval"


def test_a_state_tells_what_was_decided_for_which_call() -> None:
    reading = check(DECIDED)
    requested = {"requester": "File agent"}
    assert reading.facts.approvals == (
        Approval("delete_file", "approved", reference="call_a"),
        Approval("delete_file", "rejected", reference="call_b"),
        Approval("delete_file", "requested", reference="call_a", **requested),
        Approval("delete_file", "requested", reference="call_b", **requested),
        Approval("delete_file", "requested", reference="call_c", **requested),
    )
    assert reading.facts.tools == (ToolUse("delete_file", 3, 3), ToolUse("get_weather", 1, 0))
    assert reading.facts.detectors == (Detector("no_secrets"),)
    assert reading.summary == "4 tool calls, 1 waiting for approval"


def changed(**members: Any) -> bytes:
    return json.dumps(json.loads(PENDING) | members).encode()


def test_decisions_of_older_states_and_for_a_tool_for_good() -> None:
    approvals = {
        "historical_approval": {"approved": ["historical-approval-1"], "rejected": []},
        "look": {"approved": True, "rejected": False},
        "touch": {"approved": [], "rejected": True},
        "odd": 7,
    }
    hosted = [
        {
            "identity": {"type": "server_tool", "server_label": "s", "tool_name": "roll"},
            "decision": {"approved": False, "rejected": ["mcpr_1", {}]},
        },
        {"identity": 7},
        7,
    ]
    reading = check(changed(context={"approvals": approvals, "hosted_mcp_approvals": hosted}))
    assert [
        (each.subject, each.state, each.reference)
        for each in reading.facts.approvals
        if each.state != "requested"
    ] == [
        ("historical_approval", "approved", "historical-approval-1"),
        ("look", "approved", None),
        ("roll", "rejected", None),
        ("roll", "rejected", "mcpr_1"),
        ("touch", "rejected", None),
    ]
    assert reading.summary == "1 tool call, 0 waiting for approval"


def test_guardrails_that_tripped_are_findings() -> None:
    results = [
        {"guardrail": {"name": "a"}, "output": {"tripwireTriggered": True}},
        {"guardrail": {"name": "b"}, "output": {"behavior": {"type": "reject_content"}}},
        {"guardrail": {"name": "c"}, "output": {"behavior": {"type": "allow"}}},
        {"guardrail": 7, "output": 7},
    ]
    reading = check(changed(tool_output_guardrail_results=results))
    assert reading.facts.findings == (
        Finding("a", "guardrail", 1, None, "tripped"),
        Finding("b", "guardrail", 1, None, "reject_content"),
    )
    assert [each.name for each in reading.facts.detectors] == ["a", "b", "c"]
    assert "guardrail_alert" in reading.kinds


def test_a_state_of_javascript_is_read_alike() -> None:
    call = {"type": "function_call", "name": "look", "callId": "c1", "arguments": "{}"}
    item = {"type": "tool_call_item", "rawItem": call, "agent": {"name": "A"}}
    held = {"type": "tool_approval_item", "rawItem": call, "agent": {"name": "A"}}
    result = {"type": "function_call_result", "callId": "c2", "name": "look", "output": "."}
    state = {
        "$schemaVersion": "1.0",
        "currentTurn": 1,
        "currentAgent": {"name": "A"},
        "originalInput": "hello",
        "modelResponses": [{"output": [call, {**call, "callId": "c2"}]}],
        "generatedItems": [item, held, {"type": "tool_call_output_item", "rawItem": result}],
        "currentStep": {"type": "next_step_interruption", "data": {"interruptions": [held]}},
        "context": {"approvals": {}},
    }
    reading = check(json.dumps(state).encode())
    assert reading.facts.tools == (ToolUse("look", 2, 1),)
    assert reading.facts.approvals == (
        Approval("look", "requested", requester="A", reference="c1"),
    )
    assert reading.summary == "2 tool calls, 1 waiting for approval"


def test_hostile_states_are_left_out() -> None:
    facts = check(
        changed(
            original_input=[7, {}],
            model_responses=[7, {"output": 7}],
            generated_items=[7, {"raw_item": 7}, {"raw_item": {"callId": {}}}],
            current_step={"data": {"interruptions": [7, {}]}},
            current_agent=7,
            trace=7,
        )
    ).facts
    assert facts.records == 1


def test_only_its_own_is_taken() -> None:
    assert AgentsTraceParser().detect(b'{"object":"trace.span"}', "x") is Confidence.NONE
    assert AgentsTraceParser().detect(b'{"a": {"object": "trace"}}', "x") is Confidence.NONE
    assert RunStateParser().detect(b'{"$schemaVersion": "1.0"}', "x") is Confidence.NONE
    assert RunStateParser().detect(b'{"$schemaVersion": 1, "current_agent": {}}', "x") is (
        Confidence.NONE
    )
    long = changed(original_input="x" * 70_000)[: 64 << 10]
    assert RunStateParser().detect(long, "x") is Confidence.LIKELY
