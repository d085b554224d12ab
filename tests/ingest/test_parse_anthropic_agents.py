"""Managed agents: what is asserted was read in the sample by eye.

The sample asks nobody; the captures below that do are in its form, with the fields of the API.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from damage import check

from ingest.parsers import Confidence
from ingest.parsers.anthropic_agents import ManagedAgentParser
from verify.facts import Approval, Config, Decision, Model, Permission, ToolUse

SAMPLE = (
    Path(__file__).parents[1] / "data" / "anthropic-managed-agent-events" / "builtin_tools.jsonl"
).read_bytes()
STREAM = "client.beta.sessions.events.stream"
SEND = "client.beta.sessions.events.send"


def lines(*values: Any) -> bytes:
    return "".join(json.dumps(value) + "\n" for value in values).encode()


def event(kind: str, identity: str, second: int, **more: Any) -> dict[str, Any]:
    stamp = f"2026-07-06T17:00:{second:02}.212414Z"
    return {"type": kind, "id": identity, "processed_at": stamp, **more}


def test_the_sample_is_told_as_it_is() -> None:
    reading = check(SAMPLE)
    facts = reading.facts
    assert facts.parser == facts.format == "anthropic-managed-agent-events"
    assert (facts.records, facts.bad_records, facts.problems) == (14, 0, ())
    assert facts.sessions == ("sesn_01UunETy25dNCWyPpkXe27t5",)
    assert facts.runs == ("sthr_019EELAZnKFJUYxagbUMmE52",)
    assert facts.models == (Model("claude-sonnet-5", 1, 0, "floating"),)
    prompt = b"You are a helpful coding assistant. Write clean, well-documented code."
    assert facts.configs == (
        Config("agent", "Coding Assistant", "1"),
        Config("prompt", "Coding Assistant", digest=f"sha256:{hashlib.sha256(prompt).hexdigest()}"),
    )
    assert facts.permissions == (
        Permission("always_allow", "Coding Assistant", "agent_toolset_20260401", "granted"),
    )
    assert facts.decisions == (Decision("allowed", 1),)
    assert facts.tools == (ToolUse("bash", 1, 0),)
    assert facts.approvals == ()
    assert (facts.first, facts.last) == (
        "2026-07-06T16:26:33.279196Z",
        "2026-07-06T16:26:39.903786Z",
    )
    assert facts.not_captured == ("returned model",)
    assert reading.kinds == ("prompt", "tool_trace", "model_config", "permission_grant")
    assert reading.summary == "2 model requests, 1 tool call"


def asking(result: str | None) -> list[Any]:
    """A capture in which a tool is held up, and what the user answered."""
    use = event(
        "agent.mcp_tool_use",
        "sevt_1",
        1,
        evaluated_permission="ask",
        name="web_search",
        mcp_server_name="exa",
        input={},
    )
    idle = event("session.thread_status_idle", "sevt_2", 2, agent_name="Exa assistant")
    calls = [[STREAM, event("session.thread_status_running", "sevt_0", 0)], [STREAM, use]]
    calls.insert(1, [STREAM, {**idle, "id": "sevt_3"}])
    if result:
        answer = {
            "type": "user.tool_confirmation",
            "tool_use_id": "sevt_1",
            "result": result,
            "deny_message": "not here",
        }
        calls += [
            [SEND, ["sesn_1", {"events": [answer]}]],
            [STREAM, event(id_ := "user.tool_confirmation", "sevt_4", 3, **answer | {"type": id_})],
        ]
        done = {"mcp_tool_use_id": "sevt_1", "is_error": result == "deny", "content": []}
        calls.append([STREAM, event("agent.mcp_tool_result", "sevt_5", 4, **done)])
    return calls


REQUESTED = Approval(
    "web_search", "requested", None, "2026-07-06T17:00:01.212414Z", "Exa assistant", "sevt_1"
)


def test_a_denied_call_is_asked_for_and_rejected() -> None:
    reading = check(lines(*asking("deny")))
    facts = reading.facts
    # The answer is there twice, as sent and as streamed: it is one, with the time of the stream.
    assert facts.approvals == (
        Approval("web_search", "rejected", None, "2026-07-06T17:00:03.212414Z", None, "sevt_1"),
        REQUESTED,
    )
    assert facts.decisions == (Decision("asked", 1),)
    assert facts.tools == (ToolUse("web_search", 1, 0),)
    assert facts.sessions == ("sesn_1",)
    assert facts.not_captured == ("permissions", "requested model", "returned model")
    assert reading.kinds == ("tool_trace", "approval")
    assert reading.summary == "0 model requests, 1 tool call, 1 held for approval, 1 rejected"


def test_an_allowed_call_is_approved_and_an_open_one_is_not() -> None:
    approved = check(lines(*asking("allow"))).facts
    assert [each.state for each in approved.approvals] == ["approved", "requested"]
    open_call = check(lines(*asking(None))).facts
    assert open_call.approvals == (REQUESTED,)
    assert open_call.tools == (ToolUse("web_search", 1, 1),)


def test_an_answer_that_was_only_sent_has_no_time() -> None:
    facts = check(lines(*[line for line in asking("allow") if "sevt_4" not in str(line)])).facts
    assert facts.approvals[0] == Approval("web_search", "approved", reference="sevt_1")


def test_an_answer_before_its_question_and_a_changed_mind_are_told() -> None:
    capture = asking("deny")
    facts = check(lines(*reversed(capture))).facts
    assert [each.subject for each in facts.approvals] == ["web_search", "web_search"]
    capture[-3][1][1]["events"][0]["result"] = "allow"
    facts = check(lines(*capture)).facts
    assert "a tool call was both allowed and denied" in facts.problems


def test_policies_of_single_tools_and_of_what_is_switched_off() -> None:
    agent = {
        "id": "agent_1",
        "name": "A",
        "model": "claude-opus-4-8",
        "mcp_servers": [{"name": "exa"}, 7],
        "tools": [
            {
                "type": "mcp_toolset",
                "mcp_server_name": "exa",
                "default_config": {
                    "enabled": True,
                    "permission_policy": {"type": "always_ask"},
                },
                "configs": [
                    {"name": "fetch", "permission_policy": {"type": "always_allow"}},
                    {"name": "buy", "enabled": False},
                ],
            },
            {"type": "custom", "name": "weather"},
            7,
        ],
    }
    session = {"type": "session", "id": "sesn_1", "agent": agent}
    facts = check(lines(["client.beta.sessions.create", session])).facts
    assert facts.permissions == (
        Permission("always_allow", "A", "exa/fetch", "granted"),
        Permission("always_ask", "A", "exa", "unknown"),
        Permission("always_ask", "A", "exa/buy", "denied"),
    )
    assert facts.models_requested == ("claude-opus-4-8",)
    assert Config("mcp server", "exa") in facts.configs


def test_own_tools_answer_and_errors_are_told() -> None:
    capture = [
        [STREAM, event("agent.custom_tool_use", "sevt_1", 1, name="weather", input={})],
        [SEND, ["sesn_1", {"events": [
            {"type": "user.custom_tool_result", "custom_tool_use_id": "sevt_1", "content": []}
        ]}]],
        [STREAM, event("user.custom_tool_result", "sevt_2", 2, custom_tool_use_id="sevt_1")],
        [STREAM, event("session.error", "sevt_3", 3, error={"type": "unknown_error"})],
        [STREAM, event("session.error", "sevt_3", 3, error=7)],
    ]  # fmt: skip
    facts = check(lines(*capture)).facts
    assert facts.tools == (ToolUse("weather", 1, 0),)
    assert facts.problems == (
        "1 duplicate record",
        "the session had an error: unknown_error",
        "the session had an error: unnamed",
    )


def test_events_may_stand_alone_or_in_a_list() -> None:
    events = [payload for method, payload in asking("deny") if method == STREAM]
    alone = check(lines(*events)).facts
    assert alone.approvals[0].state == "rejected"
    assert check(json.dumps({"data": events, "next_page": None}).encode()).facts == alone


def test_what_is_no_event_is_a_bad_record() -> None:
    data = lines(*asking("deny")[:2], ["other.method", {}], {"type": "agent.x"}, 7, [STREAM, 7])
    facts = check(data).facts
    assert (facts.records, facts.bad_records) == (2, 4)


def test_hostile_events_are_left_out() -> None:
    hostile = [
        [STREAM, event("agent.tool_use", "sevt_1", 1, name={}, evaluated_permission=[])],
        [STREAM, event("user.tool_confirmation", "sevt_2", 1, tool_use_id=[], result={})],
        [STREAM, event("agent.tool_result", "sevt_3", 1, tool_use_id={})],
        ["client.beta.sessions.create", {"type": "session", "agent": {"tools": 7, "model": []}}],
        [SEND, [[["sesn", {"events": [7, {"type": 7}]}]]]],
    ]
    facts = check(lines(*hostile)).facts
    assert facts.records == 5
    assert facts.tools == (ToolUse("(unnamed)", 1, 1),)


def test_only_its_own_is_taken() -> None:
    detect = ManagedAgentParser().detect
    assert detect(SAMPLE, "x") is Confidence.CERTAIN
    assert detect(b'[["sessions.events", 1]]', "x") is Confidence.NONE
    assert detect(b'{"type": "user.message"}', "x") is Confidence.NONE
    assert detect(b'["GET /sessions.x", {}]', "x") is Confidence.NONE
