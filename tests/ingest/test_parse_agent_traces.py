"""What traces say of agents, in every dialect: models, tools, content, guardrails, data, people."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from made_otlp import START, TRACE, logs, record, span, traces

from ingest.parsers import HEAD_SIZE, Reading, read_facts
from verify.facts import CAP, Activity, Config, Detector, Facts, Finding, Model, ToolUse

SECOND = "2023-11-14T22:13:22Z"
"""When the made span 1 ends."""


def read(*documents: object) -> Reading:
    data = "\n".join(json.dumps(each) for each in documents).encode()
    return read_facts(io.BytesIO(data), head=data[:HEAD_SIZE], name="x")


def reading_of(*about: dict[str, object], **more: Any) -> Reading:
    """Spans 1, 2, … with these attributes, each the child of the one before."""
    return read(traces(*(span(at, each, **more) for at, each in enumerate(about, 1))))


def facts_of(*about: dict[str, object], **more: Any) -> Facts:
    return reading_of(*about, **more).facts


def events_of(*events: tuple[str, dict[str, object], object]) -> Reading:
    """Log records with these names, attributes and bodies."""
    return read(logs(*(record(about | {"event.name": name}, said) for name, about, said in events)))


def messages(*parts: dict[str, object], role: str = "assistant") -> str:
    return json.dumps([{"role": role, "parts": [*parts]}])


ASKED = {"type": "tool_call", "id": "call_1", "name": "search", "arguments": {"q": "x"}}
GIVEN = {"type": "tool_call_response", "id": "call_1", "response": "found"}
CHAT = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o"}
TOOL = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search"}


# The three generations.


def test_before_1_37_messages_are_attributes_or_events() -> None:
    old = {
        "gen_ai.system": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.response.model": "gpt-4o-2024-08-06",
        "gen_ai.usage.prompt_tokens": 9,
        "gen_ai.prompt.0.role": "user",
        "gen_ai.prompt.0.content": "find it",
        "gen_ai.completion.0.role": "assistant",
        "gen_ai.completion.0.finish_reason": "tool_calls",
        "gen_ai.completion.0.tool_calls.0.id": "call_1",
        "gen_ai.completion.0.tool_calls.0.name": "search",
        "gen_ai.completion.0.tool_calls.0.arguments": "{}",
    }
    next_one = {
        "gen_ai.system": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.prompt.0.role": "tool",
        "gen_ai.prompt.0.tool_call_id": "call_1",
        "gen_ai.prompt.0.content": "found",
    }
    reading = reading_of(old)
    assert reading.kinds == ("prompt", "tool_trace")
    assert reading.facts.tools == (ToolUse("search", 1, 1),)
    assert reading.facts.platforms == ("openai",)
    assert reading.facts.models == (
        Model("gpt-4o", 1, 0, "floating"),
        Model("gpt-4o-2024-08-06", 0, 1, "exact"),
    )
    assert reading.summary == "1 span, 1 tool call (1 unfinished); prompts captured"
    assert facts_of(old, next_one).tools == (ToolUse("search", 1, 0),)


def test_before_1_37_events_are_log_records() -> None:
    asked = {"tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "search"}}]}
    first = events_of(
        ("gen_ai.system.message", {"gen_ai.system": "openai"}, {"content": "be kind"}),
        ("gen_ai.user.message", {"gen_ai.system": "openai"}, {"content": "find it"}),
        ("gen_ai.choice", {}, {"index": 0, "finish_reason": "tool_calls", "message": asked}),
    )
    assert first.kinds == ("prompt", "tool_trace")
    assert first.facts.tools == (ToolUse("search", 1, 1),)
    assert first.facts.runs == (TRACE,)
    assert first.facts.actions == ()
    assert first.summary == "3 log records, 1 tool call (1 unfinished); prompts captured"
    later = events_of(
        ("gen_ai.assistant.message", {}, asked),
        ("gen_ai.tool.message", {}, {"id": "call_1", "content": "found"}),
        ("gen_ai.choice", {}, {"index": 0, "finish_reason": "stop", "message": {"content": "so"}}),
    )
    assert later.facts.tools == (ToolUse("search", 1, 0),)


def test_events_of_a_time_when_capture_was_off_hold_no_content() -> None:
    reading = events_of(
        ("gen_ai.user.message", {"gen_ai.system": "openai"}, {}),
        ("gen_ai.choice", {}, {"index": 0, "finish_reason": "stop", "message": {}}),
    )
    assert reading.kinds == ("tool_trace",)


def test_span_events_of_1_27_hold_whole_prompts() -> None:
    event = {
        "name": "gen_ai.content.prompt",
        "timeUnixNano": str(START),
        "attributes": [{"key": "gen_ai.prompt", "value": {"stringValue": "find it"}}],
    }
    assert reading_of(CHAT, events=[event]).kinds == ("prompt", "tool_trace")
    event["attributes"] = []
    assert reading_of(CHAT, events=[event]).kinds == ("tool_trace",)


def test_since_1_37_messages_are_json_texts_or_structures() -> None:
    new = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.response.model": "gpt-4o-2024-08-06",
        "gen_ai.conversation.id": "conv_1",
        "gen_ai.system_instructions": '[{"type":"text","content":"be kind"}]',
    }
    text = new | {"gen_ai.output.messages": messages(ASKED)}
    structure = new | {"gen_ai.output.messages": json.loads(messages(ASKED))}
    for about in (text, structure):
        facts = facts_of(about)
        assert facts.tools == (ToolUse("search", 1, 1),)
        assert facts.sessions == ("conv_1",)
        assert facts.models_returned == ("gpt-4o-2024-08-06",)
        assert facts.not_captured == ("tool results",)
    answered = CHAT | {"gen_ai.input.messages": messages(GIVEN, role="tool")}
    assert facts_of(text, answered).tools == (ToolUse("search", 1, 0),)


def test_since_1_37_messages_may_stand_in_one_event_instead() -> None:
    details = {"gen_ai.request.model": "gpt-4o", "gen_ai.output.messages": messages(ASKED)}
    reading = events_of(("gen_ai.client.inference.operation.details", details, None))
    assert reading.kinds == ("prompt", "tool_trace")
    assert reading.facts.tools == (ToolUse("search", 1, 1),)
    assert reading.facts.models_requested == ("gpt-4o",)


def test_what_vendors_add_is_read() -> None:
    traceloop = {
        "traceloop.span.kind": "tool",
        "traceloop.entity.name": "search",
        "traceloop.entity.input": '{"q":"x"}',
        "traceloop.entity.output": '"found"',
        "traceloop.association.properties.session_id": "s1",
    }
    workflow = {"traceloop.span.kind": "workflow", "traceloop.entity.input": '{"x":1}'}
    reading = reading_of(workflow, traceloop)
    assert reading.facts.tools == (ToolUse("search", 1, 0),)
    assert reading.facts.sessions == ("s1",)
    assert reading.facts.not_captured == ()
    adk = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "search",
        "gcp.vertex.agent.tool_call_args": "{}",
        "gcp.vertex.agent.tool_response": "{}",
        "gcp.vertex.agent.invocation_id": "e-1",
    }
    facts = facts_of(adk)
    assert facts.not_captured == ("tool arguments", "tool results")
    assert facts.runs == (TRACE, "e-1")
    assert facts_of({"aws.genai.span_kind": "TOOL", "tool.name": "t"}).tools[0].calls == 1
    guarded = CHAT | {"aws.bedrock.guardrail.id": "g-1"}
    assert Config("guardrail", "g-1") in facts_of(guarded).configs


def test_names_of_spans_decide_nothing() -> None:
    named = span(1, {}, name="execute_tool search")
    assert read(traces(named)).facts.tools == ()
    plain = span(1, {"gen_ai.tool.name": "search", "gen_ai.tool.call.id": "c"}, name="x.tool")
    assert read(traces(plain)).facts.tools == (ToolUse("search", 1, 0),)


# Models.


def test_a_model_is_returned_only_where_the_answer_names_it() -> None:
    answer = json.dumps({"model": "m-2024-05-13", "choices": [], "usage": {}})
    kind = {"openinference.span.kind": "LLM"}
    for about, requested, returned in (
        ({"llm.model_name": "m"}, ("m",), ()),
        ({"llm.model_name": "m-2024-05-13", "output.value": answer}, (), ("m-2024-05-13",)),
        ({"llm.model_name": "m", "output.value": answer}, ("m",), ("m-2024-05-13",)),
        ({"llm.model_name": "m", "output.value": '{"model":"other"}'}, ("m",), ()),
        ({"llm.request.model_name": "m", "llm.response.model_name": "n"}, ("m",), ("n",)),
        ({"llm.model_name": 7, "output.value": "{"}, ("7",), ()),
    ):
        facts = facts_of(kind | about)
        assert (facts.models_requested, facts.models_returned) == (requested, returned)
        assert ("returned model" in facts.not_captured) is not bool(returned)


# Tool calls.


def test_a_span_without_a_calls_id_is_the_call_that_the_model_asked_for() -> None:
    asking = CHAT | {"gen_ai.output.messages": messages(ASKED)}
    assert facts_of(asking, TOOL).tools == (ToolUse("search", 1, 0),)
    assert facts_of(asking, TOOL, TOOL).tools == (ToolUse("search", 2, 0),)
    with_id = TOOL | {"gen_ai.tool.call.id": "call_1"}
    assert facts_of(asking, with_id).tools == (ToolUse("search", 1, 0),)
    elsewhere = [span(1, asking), span(2, TOOL, traceId="f" * 32)]
    assert read(traces(*elsewhere)).facts.tools == (ToolUse("search", 2, 1),)


def test_calls_without_any_ids_are_finished_by_results_without_ids() -> None:
    asked = {"functionCall": {"name": "search", "args": {}}}
    given = {"functionResponse": {"name": "search", "response": {}}}
    asking = CHAT | {"gen_ai.output.messages": messages(asked)}
    history = messages(asked, given, asked, given)
    again = CHAT | {"gen_ai.input.messages": history, "gen_ai.output.messages": messages(asked)}
    facts = facts_of(asking, asking, again)
    assert facts.tools == (ToolUse("search", 3, 1),)


def test_a_call_of_the_history_counts_if_its_result_is_there_too() -> None:
    whole = CHAT | {"gen_ai.input.messages": messages(ASKED, GIVEN)}
    assert facts_of(whole).tools == (ToolUse("search", 1, 0),)
    half = CHAT | {"gen_ai.input.messages": messages(ASKED)}
    assert facts_of(half).tools == ()
    result_only = CHAT | {"gen_ai.input.messages": messages(GIVEN)}
    facts = facts_of(result_only)
    assert facts.problems == ("1 tool result without a call",)
    assert facts.tools == ()


def test_a_span_that_never_ended_is_a_call_that_never_finished() -> None:
    facts = facts_of(CHAT, TOOL, endTimeUnixNano="0")
    assert facts.tools == (ToolUse("search", 1, 1),)
    assert facts.unfinished_calls == 1
    assert "2 spans without an end" in facts.problems


def test_an_error_ends_a_call_too() -> None:
    failed = TOOL | {"error.type": "TimeoutError"}
    facts = facts_of(failed, failed, status={"code": 2})
    assert facts.tools == (ToolUse("search", 2, 0),)
    assert facts.problems == ("2 spans ended in an error: TimeoutError",)
    exception = {
        "name": "exception",
        "attributes": [{"key": "exception.type", "value": {"stringValue": "ValueError"}}],
    }
    facts = facts_of(TOOL, status={"code": 2}, events=[exception])
    assert facts.problems == ("1 span ended in an error: ValueError",)


def test_kinds_of_errors_are_capped() -> None:
    facts = facts_of(*({"error.type": f"error {number:03}"} for number in range(60)))
    assert "10 spans ended in an error: of other kinds" in facts.problems
    assert len(facts.problems) == 51


def test_a_call_over_mcp_is_one_call_however_many_spans_it_has() -> None:
    mcp = {
        "mcp.method.name": "tools/call",
        "gen_ai.tool.name": "search",
        "mcp.session.id": "m-1",
        "jsonrpc.request.id": "7",
    }
    client, server = span(2, mcp, kind=3), span(3, mcp, kind=2)
    facts = read(traces(span(1, TOOL), client, server)).facts
    assert facts.tools == (ToolUse("search", 1, 0),)
    assert facts.sessions == ("m-1",)
    assert facts.actions == ("execute_tool", "tools/call")
    assert read(traces(client, span(4, mcp, kind=3), server)).facts.tools[0].calls == 2
    listing = {"mcp.method.name": "tools/list"}
    reading = reading_of(listing)
    assert reading.facts.tools == ()
    assert reading.kinds == ("tool_trace",)
    resource = {"mcp.method.name": "resources/read", "mcp.resource.uri": "file:///etc/passwd"}
    assert facts_of(resource).datasets == ("file:///etc/passwd",)


def test_the_last_tool_is_the_last_by_time() -> None:
    early = span(2, TOOL, startTimeUnixNano=str(START + 5))
    late = span(1, TOOL | {"gen_ai.tool.name": "send"}, startTimeUnixNano=str(START + 10**12))
    for order in ((early, late), (late, early)):
        assert read(traces(*order)).facts.last_tool == "send"


def test_a_handoff_of_the_openai_agents_sdk_is_the_tool_that_the_model_called() -> None:
    handoff = span(1, {"openinference.span.kind": "TOOL"}, name="handoff to math")
    assert read(traces(handoff)).facts.tools == ()


def test_offered_tools_are_named_and_not_called() -> None:
    definitions = '[{"type":"function","function":{"name":"search"}},{"name":"send"}]'
    facts = facts_of(CHAT | {"gen_ai.tool.definitions": definitions})
    assert facts.configs == (Config("tool", "search"), Config("tool", "send"))
    assert facts.tools == ()


# What was not captured.


def test_prompts_not_captured_are_told() -> None:
    reading = reading_of(CHAT, CHAT)
    assert reading.kinds == ("tool_trace",)
    assert reading.facts.not_captured == ("message content", "returned model")
    assert reading.summary == "2 spans, no tool calls; prompts not captured"


@pytest.mark.parametrize("nothing", ["", "[]", "{}", "null", "__REDACTED__"])
def test_what_was_hidden_was_not_captured(nothing: str) -> None:
    about = {"openinference.span.kind": "LLM", "input.value": nothing, "output.value": nothing}
    about["llm.input_messages.0.message.role"] = "user"
    about["llm.input_messages.0.message.content"] = nothing
    about["gen_ai.input.messages"] = nothing
    assert reading_of(about).kinds == ("tool_trace",)


def test_prompts_captured_in_some_traces_only_are_told() -> None:
    said = CHAT | {"gen_ai.input.messages": messages({"type": "text", "content": "hi"})}
    silent = span(1, CHAT, traceId="a" * 32), span(2, CHAT, traceId="b" * 32)
    reading = read(traces(span(3, said), *silent))
    assert "message content (2 of 3 traces)" in reading.facts.not_captured
    assert reading.summary == "3 spans, no tool calls; prompts captured in part"
    assert reading.kinds == ("prompt", "tool_trace")


def test_content_of_the_span_below_counts_for_its_trace() -> None:
    below = {"gen_ai.request.model": "m", "gcp.vertex.agent.llm_request": '{"contents":["x"]}'}
    assert "message content" not in facts_of(CHAT, below).not_captured


# Guardrails and evaluations.


@pytest.mark.parametrize(
    ("output", "label"),
    [
        ("fail", "fail"),
        ("Blocked", "blocked"),
        ('{"tripwire_triggered": true}', "triggered"),
        ('{"passed": false}', "failed"),
        ('{"action": "GUARDRAIL_INTERVENED"}', "guardrail_intervened"),
    ],
)
def test_what_a_guardrail_stopped_is_an_alert(output: str, label: str) -> None:
    about = {
        "openinference.span.kind": "GUARDRAIL",
        "guardrail.name": "pii",
        "output.value": output,
    }
    reading = reading_of(about)
    assert reading.facts.findings == (Finding("pii", label, 1, SECOND, None),)
    assert reading.facts.detectors == (Detector("pii"),)
    assert reading.kinds == ("tool_trace", "guardrail_alert")
    assert "1 guardrail alert" in reading.summary


@pytest.mark.parametrize("output", ["pass", "ok", '{"triggered": false}', '{"is_valid": true}'])
def test_a_guardrail_that_let_pass_reported_nothing(output: str) -> None:
    reading = reading_of({"openinference.span.kind": "GUARDRAIL", "output.value": output})
    assert reading.facts.findings == ()
    assert reading.facts.detectors == (Detector("span 1"),)
    assert reading.kinds == ("tool_trace",)
    assert reading.facts.not_captured == ()


def test_a_guardrail_that_does_not_say_is_told() -> None:
    facts = facts_of({"openinference.span.kind": "GUARDRAIL", "output.value": "a long text"})
    assert facts.findings == ()
    assert facts.not_captured == ("guardrail verdicts",)


def test_a_guardrail_that_raised_is_an_alert() -> None:
    facts = facts_of({"openinference.span.kind": "GUARDRAIL"}, status={"code": 2})
    assert facts.findings == (Finding("span 1", "error", 1, SECOND, None),)


def test_validators_and_policies_are_guardrails() -> None:
    validator = {"validator_name": "toxic", "validator_on_fail": "fix", "output.value": "fail"}
    assert facts_of(validator).findings == (Finding("toxic", "fail", 1, SECOND, "fix"),)
    policy = {
        "gen_ai.operation.name": "apply_guardrail",
        "gen_ai.security.policy.name": "screen",
        "gen_ai.security.policy.version": "3",
        "gen_ai.security.decision.type": "deny",
        "gen_ai.security.risk.category": "prompt_injection",
        "gen_ai.security.risk.severity": "high",
    }
    facts = facts_of(policy)
    assert facts.findings == (
        Finding("screen", "prompt_injection", 1, SECOND, "deny", "high", "high"),
    )
    assert facts.detectors == (Detector("screen", "3"),)
    allowed = policy | {"gen_ai.security.decision.type": "allow"}
    assert facts_of(allowed).findings == ()


def test_evaluations_are_findings_and_no_alert() -> None:
    about = {
        "gen_ai.evaluation.name": "Relevance",
        "gen_ai.evaluation.score.label": "not_relevant",
        "gen_ai.evaluation.score.value": 0.25,
    }
    expected = (Finding("Relevance", "not_relevant", 1, "2023-11-14T22:13:20Z", None),)
    reading = events_of(("gen_ai.evaluation.result", about, None))
    assert reading.facts.findings == expected
    assert reading.facts.detectors == (Detector("Relevance"),)
    assert "guardrail_alert" not in reading.kinds
    del about["gen_ai.evaluation.score.label"]
    facts = facts_of(CHAT | about)
    assert facts.findings == (Finding("Relevance", "score 0.25", 1, SECOND, None),)


def test_evaluations_of_openinference_are_indexed() -> None:
    facts = facts_of(
        {
            "openinference.span.kind": "EVALUATOR",
            "evaluations.0.evaluation.name": "relevance",
            "evaluations.0.evaluation.score": 0.5,
            "trace.annotations.1.annotation.name": "harm",
            "trace.annotations.1.annotation.label": "harmful",
            "annotations.9999999.annotation.name": "never",
        }
    )
    assert {(each.detector, each.label) for each in facts.findings} == {
        ("relevance", "score 0.5"),
        ("harm", "harmful"),
    }


# People, data, what ran.


def test_users_and_keys_are_principals_and_what_content_mentions_is_not() -> None:
    signed = {"aws.auth.account.access_key": "ASIAEXAMPLE", "rpc.service": "S3"}
    facts = facts_of(
        CHAT | {"user.id": "ann", "gen_ai.prompt": "user.id: bob"},
        signed | {"rpc.method": "GetObject", "aws.s3.bucket": "b", "aws.s3.key": "k/1"},
    )
    assert facts.principals == ("ann", "aws-access-key:ASIAEXAMPLE")
    assert facts.activities[0] == Activity("ann", "2023-11-14T22:13:21Z", "2023-11-14T22:13:21Z", 1)
    assert facts.actions == ("S3:GetObject", "chat")
    assert facts.datasets == ("s3://b/k/1",)


def test_data_is_named_as_access_logs_name_it_where_they_do() -> None:
    facts = facts_of(
        {"gen_ai.operation.name": "retrieval", "gen_ai.data_source.id": "kb-1"},
        {"gen_ai.operation.name": "retrieval", "gen_ai.retrieval.documents": '[{"id":"d1"},7]'},
        {
            "openinference.span.kind": "RETRIEVER",
            "retrieval.documents.0.document.id": "d2",
            "retrieval.documents.1.document.id": 3,
            "retrieval.documents.1.document.content": "never this",
        },
        {"db.system.name": "postgresql", "db.namespace": "crm", "db.collection.name": "people"},
        {"db.system": "redis", "db.name": "0"},
        {"aws.dynamodb.table_names": ["orders"]},
        {"gen_ai.memory.store.id": "m1"},
    )
    assert facts.datasets == (
        "data_source:kb-1",
        "document:3",
        "document:d1",
        "document:d2",
        "dynamodb:orders",
        "memory:m1",
        "postgresql:crm/people",
        "redis:0",
    )


def test_what_ran_is_named_with_its_version() -> None:
    resource = {
        "service.name": "crm-agent",
        "service.version": "1.4.2",
        "cloud.provider": "aws",
        "cloud.resource_id": "arn:aws:bedrock-agentcore:eu-west-1:123456789012:runtime/r-1",
    }
    agent = {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": "Math Tutor",
        "gen_ai.agent.version": "7",
        "gen_ai.prompt.name": "tutor",
        "gen_ai.prompt.version": 3,
    }
    facts = read(traces(span(1, agent), resource=resource)).facts
    assert facts.configs == (
        Config("agent", "Math Tutor", "7"),
        Config("prompt", "tutor", "3"),
        Config("runtime", "arn:aws:bedrock-agentcore:eu-west-1:123456789012:runtime/r-1"),
        Config("service", "crm-agent", "1.4.2"),
    )
    assert facts.platforms == ("aws", "crm-agent")
    assert facts.accounts == ("123456789012",)
    assert facts.runs == (TRACE,)
    unknown = read(traces(span(1, agent), resource={"service.name": "unknown_service"})).facts
    assert unknown.platforms == ()


def test_lists_are_capped_and_say_so() -> None:
    many = [TOOL | {"gen_ai.tool.name": f"tool {number:04}"} for number in range(CAP + 50)]
    facts = facts_of(*many)
    assert (len(facts.tools), facts.capped) == (CAP, ("tools",))
    assert Facts.from_json(facts.to_json(), where="facts") == facts
