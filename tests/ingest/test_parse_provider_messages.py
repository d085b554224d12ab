"""Payloads of model providers: what is asserted was read in the samples by eye."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from damage import check

from ingest.parsers import Confidence, Reading
from ingest.parsers.provider_messages import ProviderParser, api_of
from verify.facts import Approval, Config, Finding, Model, ToolUse

DATA = Path(__file__).parents[1] / "data"
SAMPLES = DATA / "provider-messages"


def sample(name: str) -> bytes:
    return (SAMPLES / name).read_bytes()


def read(*values: Any) -> Reading:
    reading = check("\n".join(json.dumps(value) for value in values).encode())
    assert reading.facts.parser == "provider-messages"
    return reading


CALL = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}}


def asked(*messages: Any, model: str = "gpt-4o") -> dict[str, Any]:
    return {"model": model, "messages": list(messages)}


def answered(message: dict[str, Any], *, number: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion",
        "created": 1731456245,
        "model": "gpt-4o-mini-2024-07-18",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        **more,
    }


# The samples.


def test_a_request_to_anthropic_names_a_model_and_has_its_clients_time() -> None:
    reading = check(sample("anthropic_request.json"))
    facts = reading.facts
    assert (facts.format, facts.records, facts.bad_records) == ("anthropic-messages", 1, 0)
    assert facts.models == (Model("claude-sonnet-4-6", 1, 0, "floating"),)
    assert (facts.clock, facts.first) == ("unzoned", None)
    assert facts.raw_first == facts.raw_last == "2026-03-14T23:05:39.635144"
    assert (facts.time_unit, facts.precision) == ("text", "us")
    assert facts.not_captured == ("returned model",)
    assert facts.tools == ()  # offered, not called
    assert reading.kinds == ("prompt",)
    assert reading.format_label == "Anthropic Messages, request"


def test_a_stream_of_anthropic_is_one_answer() -> None:
    reading = check(sample("anthropic_stream.jsonl"))
    facts = reading.facts
    assert facts.format == "anthropic-messages"
    # 19 events of the API; 12 more that the SDK adds, which repeat them.
    assert (facts.records, facts.bad_records) == (31, 0)
    assert facts.models == (Model("claude-sonnet-4-6", 0, 1, "floating"),)
    assert facts.tools == (ToolUse("weather", 1, 1),)  # started, stopped, and in the whole: one
    assert facts.not_captured == ("requests", "times", "tool results")
    assert reading.kinds == ("prompt", "tool_trace")
    assert reading.summary == "1 answer in 19 events, 1 tool call"


def test_a_request_to_responses_has_no_time() -> None:
    reading = check(sample("responses_request.json"))
    facts = reading.facts
    assert (facts.format, facts.records) == ("openai-responses", 1)
    assert facts.models == (Model("unsloth/Qwen3.5-9B-GGUF", 1, 0, "unknown"),)
    assert facts.not_captured == ("returned model", "times")
    assert reading.kinds == ("prompt",)


def test_a_stream_of_responses_names_its_model_in_the_end() -> None:
    facts = check(sample("responses_stream.jsonl")).facts
    assert (facts.format, facts.records, facts.bad_records) == ("openai-responses", 66, 0)
    assert facts.models == (Model("unsloth/Qwen3.5-9B-GGUF", 0, 1, "unknown"),)
    assert facts.tools == (ToolUse("weather", 1, 1),)
    assert facts.clock == "none"  # created_at is 0 there: not set


def test_a_stream_cut_before_its_end_does_not_name_a_model() -> None:
    lines = sample("responses_stream.jsonl").splitlines(keepends=True)
    facts = check(b"".join(lines[:-1])).facts
    assert facts.models == ()
    assert facts.tools == (ToolUse("weather", 1, 1),)


# What a request repeats, and what it answers.


def test_a_conversation_told_again_and_again_counts_once() -> None:
    question = {"role": "user", "content": "?"}
    calling = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    result = {"role": "tool", "tool_call_id": "call_1", "content": "."}
    reading = read(
        asked(question),
        answered(calling),
        asked(question, calling, result),
        answered({"role": "assistant", "content": "done"}, number=2, system_fingerprint="fp_1"),
        asked(question, calling, result, question),
    )
    facts = reading.facts
    assert facts.tools == (ToolUse("look", 1, 0),)
    assert facts.problems == ()
    assert facts.models == (
        Model("gpt-4o", 3, 0, "floating"),
        Model("gpt-4o-mini-2024-07-18", 0, 2, "exact"),
    )
    assert facts.configs == (Config("model", "gpt-4o-mini-2024-07-18", "fp_1"),)
    assert (facts.first, facts.clock, facts.time_unit) == ("2024-11-13T00:04:05Z", "zoned", "s")
    assert facts.not_captured == ()
    assert reading.summary == "3 requests, 2 answers, 1 tool call"


def test_two_calls_with_one_id_are_two_calls() -> None:
    other = {**CALL, "function": {"name": "touch", "arguments": "{}"}}
    history: list[Any] = []
    for call in (CALL, other):
        history += [
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "content": "."},
        ]
    facts = read(asked(*history), asked(*history)).facts
    assert facts.tools == (ToolUse("look", 1, 0), ToolUse("touch", 1, 0))


def test_chunks_of_a_chat_are_one_answer() -> None:
    def chunk(delta: Any, finish: str | None = None) -> dict[str, Any]:
        return {
            "id": "chatcmpl-9",
            "object": "chat.completion.chunk",
            "created": 1731456245,
            "model": "gpt-4o-2024-08-06",
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        }

    part = {"index": 0, "function": {"arguments": '{"a":'}}
    events = [
        chunk({"role": "assistant", "content": None, "tool_calls": [{"index": 0, **CALL}]}),
        chunk({"tool_calls": [part]}),
        chunk({}, "tool_calls"),
        {**chunk({}), "choices": []},
    ]
    reading = read(*events)
    assert reading.facts.tools == (ToolUse("look", 1, 1),)
    assert reading.facts.models == (Model("gpt-4o-2024-08-06", 0, 1, "exact"),)
    assert reading.summary == "1 answer in 4 events, 1 tool call"
    assert reading.format_label == "OpenAI Chat Completions, stream"
    sent = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
    assert check(sent.encode()).facts == reading.facts
    assert check(sent.replace("\n", "\r\n").encode()).facts == reading.facts


def test_server_sent_events_have_offsets_too() -> None:
    start = b'event: message_start\ndata: {"type":"message_start","message":{"model":"m"}}\n\n'
    broken = start + b'event: x\ndata: {"type":\n\nevent: y\ndata: {"type":"ping"}\n\n'
    facts = check(broken).facts
    assert (facts.records, facts.bad_records) == (2, 1)
    assert facts.bad_offsets == (broken.index(b'data: {"type":\n'),)
    assert facts.models_returned == ("m",)


def test_hosted_tools_answer_in_their_own_item_and_approvals_are_told() -> None:
    output = [
        {"type": "web_search_call", "id": "ws_1", "status": "completed"},
        {"type": "mcp_call", "id": "mcp_1", "name": "roll", "output": None, "status": "calling"},
        {"type": "function_call", "call_id": "call_1", "name": "look", "status": "completed"},
        {"type": "mcp_approval_request", "id": "mcpr_1", "name": "roll", "arguments": "{}"},
    ]
    answer = {
        "id": "resp_1",
        "object": "response",
        "created_at": 1741608578,
        "model": "gpt-4o-2024-08-06",
        "output": output,
        "incomplete_details": {"reason": "content_filter"},
    }
    approval = {
        "type": "mcp_approval_response",
        "approval_request_id": "mcpr_1",
        "approve": False,
    }
    reading = read(answer, {"model": "gpt-4o", "input": [approval], "previous_response_id": "r"})
    facts = reading.facts
    assert facts.tools == (
        ToolUse("look", 1, 1),
        ToolUse("roll", 1, 1),
        ToolUse("web_search", 1, 0),
    )
    assert facts.approvals == (
        Approval("MCP tool call", "rejected", reference="mcpr_1"),
        Approval("roll", "requested", reference="mcpr_1"),
    )
    assert facts.findings == (
        Finding("content filter", "content_filter", 1, "2025-03-10T12:09:38Z", "stopped"),
    )
    assert reading.kinds == ("tool_trace", "guardrail_alert", "approval")


def test_blocks_of_anthropic_are_calls_and_results() -> None:
    history = [
        {"role": "user", "content": "?"},
        {
            "role": "assistant",
            "content": [
                {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}},
                {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search"},
                {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []},
            ],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1"}]},
    ]
    answer = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-20250514",
        "content": [{"type": "tool_use", "id": "toolu_2", "name": "look", "input": {}}],
        "stop_reason": "tool_use",
        "usage": {},
    }
    reading = read({"model": "claude-sonnet-4-0", "max_tokens": 9, "messages": history}, answer)
    assert reading.facts.format == "anthropic-messages"
    assert reading.facts.tools == (ToolUse("look", 2, 1), ToolUse("web_search", 1, 0))
    assert reading.facts.models == (
        Model("claude-sonnet-4-0", 1, 0, "floating"),
        Model("claude-sonnet-4-20250514", 0, 1, "exact"),
    )
    assert reading.facts.not_captured == ("times",)


def test_old_function_calls_are_matched_by_name() -> None:
    facts = read(
        asked(
            {"role": "user", "content": "?"},
            {"role": "assistant", "content": None, "function_call": {"name": "look"}},
            {"role": "function", "name": "look", "content": "."},
        )
    ).facts
    assert facts.tools == (ToolUse("look", 1, 0),)


def test_an_error_instead_of_an_answer_is_told() -> None:
    error = {"error": {"message": "slow down", "type": "rate_limit_error"}}
    reading = read(asked({"role": "user", "content": "?"}), error)
    assert reading.facts.problems == ("the provider answered with an error: rate_limit_error",)
    assert (reading.facts.records, reading.facts.bad_records) == (2, 0)


# What is a payload.


@pytest.mark.parametrize(
    ("value", "api"),
    [
        ({"model": "m", "messages": [{"role": "user", "content": ""}]}, "openai-chat"),
        (
            {"model": "claude-x", "max_tokens": 1, "messages": [{"role": "user", "content": ""}]},
            "anthropic-messages",
        ),
        (
            {"model": "claude-x", "messages": [{"role": "system", "content": ""}]},
            "openai-chat",
        ),
        (
            {
                "model": "m",
                "messages": [{"role": "user"}],
                "tools": [{"name": "t", "input_schema": {}}],
            },
            "anthropic-messages",
        ),
        (
            {
                "model": "claude-x",
                "max_tokens": 1,
                "messages": [{"role": "user"}],
                "tools": [{"type": "function", "function": {"name": "t"}}],
            },
            "openai-chat",
        ),
        ({"anthropic_version": "v", "messages": [{"role": "user"}]}, "anthropic-messages"),
        ({"model": "m", "input": "hello", "stream": True}, "openai-responses"),
        ({"model": "m", "input": [{"role": "user", "content": "x"}]}, "openai-responses"),
        ({"model": "text-embedding-3-small", "input": "hello"}, None),
        ({"model": "text-embedding-3-small", "input": ["hello"]}, None),
        ({"messages": [{"role": "user", "content": ""}]}, None),  # training data
        ({"model": "m", "messages": ["hello"]}, None),
        ({"model": "m", "messages": {"role": "user"}}, None),
        ({"model": ["m"], "messages": [{"role": "user"}]}, None),
        ({"type": "message", "role": "assistant", "content": []}, None),
        ({"type": "content_block_delta", "index": 0}, None),
        ({"type": "response.completed"}, None),
        ({"object": "response"}, None),
        ({"object": ["chat.completion"], "type": {}}, None),
        ([], None),
        (None, None),
    ],
)
def test_only_a_payload_is_one(value: Any, api: str | None) -> None:
    assert api_of(value) == api


def test_a_client_may_wrap_request_and_answer() -> None:
    request = asked({"role": "user", "content": "?"})
    pair = {
        "timestamp": "2025-01-31T09:30:00Z",
        "request": request,
        "response": json.dumps(answered({"role": "assistant", "content": "!"})),
    }
    batch = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": request}
    answer = answered({"role": "assistant", "content": "!"}, number=2)
    done = {"custom_id": "a", "response": {"status_code": 200, "body": answer}}
    facts = read(pair, {"request": 7, "response": None}, batch, done).facts
    assert (facts.records, facts.bad_records) == (3, 1)
    assert facts.models[0] == Model("gpt-4o", 2, 0, "floating")
    assert facts.models[1].returned == 2
    assert facts.models_returned == ("gpt-4o-mini-2024-07-18",)
    assert facts.last == "2025-01-31T09:30:00Z"


def test_a_long_request_is_likely_one() -> None:
    request = asked({"role": "user", "content": "x" * 70_000})
    head = json.dumps(request).encode()[: 64 << 10]
    assert ProviderParser().detect(head, "x") is Confidence.LIKELY
    assert read(request).facts.models_requested == ("gpt-4o",)


def test_hostile_values_are_left_out() -> None:
    deep: Any = []
    for _ in range(150):
        deep = [deep]
    facts = read(
        asked(None, {"role": ["user"], "content": deep, "tool_calls": {}}, {"role": "user"}),
        answered({"role": "assistant", "content": [7, {"type": deep}], "tool_calls": [deep]}),
        {"object": "chat.completion", "id": deep, "model": {}, "choices": [7, {"delta": []}]},
        {"object": "response", "output": [7, {"type": "x_call"}, {"type": 7}], "error": deep},
        {"type": "message_start", "message": deep},
        asked({"role": "tool", "tool_call_id": deep}),
    ).facts
    assert facts.bad_records == 0
    assert facts.problems == ("1 tool result without a call",)


# fast-agent.


def test_the_notes_of_fast_agent_tell_alias_and_model() -> None:
    reading = check((DATA / "fast-agent" / "anthropic_meta.json").read_bytes())
    facts = reading.facts
    assert facts.parser == facts.format == "fast-agent"
    assert facts.configs == (Config("model alias", "sonnet", "claude-sonnet-4-6"),)
    assert facts.models == (Model("claude-sonnet-4-6", 1, 0, "floating"),)
    assert facts.problems == ("2 times that cannot be read",)  # they are "<TIMESTAMP>" there
    assert reading.kinds == ("model_config",)


def test_a_message_of_fast_agent_has_its_call_and_time() -> None:
    reading = check((DATA / "fast-agent" / "anthropic_result.json").read_bytes())
    facts = reading.facts
    assert facts.tools == (ToolUse("weather", 1, 1),)
    assert facts.raw_first == "1773529541.4984925"
    assert facts.first == "2026-03-14T23:05:41.498492Z"
    assert facts.models_requested == ("claude-sonnet-4-6",)
    assert reading.kinds == ("tool_trace",)
