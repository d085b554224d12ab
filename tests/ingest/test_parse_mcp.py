"""MCP: messages of the specification's examples, and logs made of them in the forms seen in logs.

No log of a host is under a licence that allows a copy. The lines here have the forms that Claude
Desktop writes; their messages are those of the specification.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from damage import check, cut, flipped, read, with_mark, with_returns

from ingest.parsers import Confidence
from ingest.parsers.mcp_messages import McpParser
from verify.facts import Approval, Config, Model, ToolUse

SAMPLES = Path(__file__).parents[1] / "data" / "mcp-jsonrpc"
CALL = json.loads((SAMPLES / "call-tool-request.json").read_bytes())
LISTED = json.loads((SAMPLES / "list-tools-result-response.json").read_bytes())
READ = json.loads((SAMPLES / "read-resource-request.json").read_bytes())
QUESTION = json.loads((SAMPLES / "elicit-multiple-fields.json").read_bytes())
INFO = [Config("mcp client", "ExampleClient", "1.0.0"), Config("protocol", "mcp", "2026-07-28")]


def lines(*values: Any) -> bytes:
    return "".join(json.dumps(value) + "\n" for value in values).encode()


def request(identity: object, method: str = "tools/call", **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": identity, "method": method, "params": params}


def answer(identity: object, **result: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": identity, "result": result}


def initialize(identity: object = 0) -> dict[str, Any]:
    return request(
        identity,
        "initialize",
        protocolVersion="2025-06-18",
        clientInfo={"name": "claude-ai", "version": "0.1.0"},
    )


DONE = {"content": [{"type": "text", "text": "."}], "isError": False}


# Messages.


def test_a_request_names_its_tool_and_who_asks() -> None:
    reading = check(lines(CALL))
    facts = reading.facts
    assert facts.parser == facts.format == "mcp-jsonrpc"
    assert (facts.records, facts.bad_records) == (1, 0)
    assert facts.tools == (ToolUse("get_weather", 1, 1),)
    assert list(facts.configs) == INFO
    assert facts.not_captured == ("times", "tool results")
    assert reading.kinds == ("tool_trace",)


def test_what_was_read_is_a_dataset_and_what_is_offered_is_not() -> None:
    reading = check(lines(READ))
    assert reading.facts.datasets == ("file:///project/src/main.rs",)
    assert reading.kinds == ("tool_trace", "access_log")
    offered = {"resources": [{"uri": "file:///etc/passwd", "name": "x"}]}
    facts = check(lines(LISTED, request(1, "resources/list"), answer(1, **offered))).facts
    assert facts.datasets == ()
    assert facts.tools == ()  # offered, not called
    read = {"contents": [{"uri": "db://rows", "text": ""}, 7]}
    assert check(lines(answer(1, **read))).facts.datasets == ("db://rows",)


def test_ids_start_again_and_zero_is_one() -> None:
    session = [initialize(0), answer(0, serverInfo={"name": "s", "version": "1"}), request(1)]
    session[2]["params"]["name"] = "look"
    facts = check(lines(*session, answer(1, **DONE), *session)).facts
    assert facts.tools == (ToolUse("look", 2, 1),)  # the second session ends before its result
    assert facts.problems == ()
    assert Config("mcp server", "s", "1") in facts.configs
    zero = check(lines(request(0, name="look"), answer(0, **DONE))).facts
    assert zero.tools == (ToolUse("look", 1, 0),)
    # Without `initialize`, an id that comes again tells that the connection is another.
    again = [request(1, name="look"), answer(1, **DONE), request(1, name="look")]
    assert check(lines(*again)).facts.tools == (ToolUse("look", 2, 1),)


def test_both_sides_count_from_the_same_number() -> None:
    ask = request(1, "elicitation/create", message="May I?", requestedSchema={})
    traffic = [request(1, name="look"), ask, answer(1, action="decline"), answer(1, **DONE)]
    reading = check(lines(*traffic))
    assert reading.facts.tools == (ToolUse("look", 1, 0),)
    assert reading.facts.approvals == (
        Approval("May I?", "rejected", reference="1"),
        Approval("May I?", "requested", reference="1"),
    )
    assert reading.kinds == ("tool_trace", "approval")


@pytest.mark.parametrize(
    ("action", "state"), [("accept", "approved"), ("decline", "rejected"), ("cancel", "dismissed")]
)
def test_answers_of_the_person_are_told(action: str, state: str) -> None:
    ask = request("e", "elicitation/create", **QUESTION)
    facts = check(lines(ask, answer("e", action=action, content={"name": "secret"}))).facts
    assert [each.state for each in facts.approvals if each.state != "requested"] == [state]
    assert facts.approvals[0].subject == "Please provide your contact information"
    assert "secret" not in json.dumps(facts.to_json())


def test_a_question_may_come_as_a_result_and_its_answer_with_the_next_request() -> None:
    held = {
        "resultType": "input_required",
        "inputRequests": {"q1": {"method": "elicitation/create", "params": {"message": "Env?"}}},
    }
    again = request(8, name="deploy", inputResponses={"q1": {"action": "accept"}})
    facts = check(lines(request(7, name="deploy"), answer(7, **held), again)).facts
    assert facts.approvals == (
        Approval("Env?", "approved", reference="q1"),
        Approval("Env?", "requested", reference="q1"),
    )


def test_errors_are_answers_and_cancelled_requests_are_told() -> None:
    error = {"jsonrpc": "2.0", "id": 1, "error": {"code": -32602, "message": "no"}}
    cancelled = {
        "jsonrpc": "2.0",
        "method": "notifications/cancelled",
        "params": {"requestId": 2},
    }
    reading = check(lines(request(1, name="a"), error, request(2, name="b"), cancelled))
    assert reading.facts.tools == (ToolUse("a", 1, 0), ToolUse("b", 1, 1))
    assert reading.facts.problems == ("1 request cancelled",)
    assert reading.summary == "4 messages, 2 tool calls, 1 failed"


def test_sampling_names_the_model_that_answered() -> None:
    asked = request(1, "sampling/createMessage", messages=[], maxTokens=9)
    made = answer(1, role="assistant", content={"type": "text"}, model="claude-3-sonnet-20240307")
    reading = check(lines(asked, made))
    assert reading.facts.models == (Model("claude-3-sonnet-20240307", 0, 1, "exact"),)
    assert reading.kinds == ("tool_trace", "prompt")


def test_batches_and_events_hold_messages_too() -> None:
    both = [request(1, name="look"), answer(1, **DONE)]
    plain = check(lines(*both)).facts
    assert plain.tools == (ToolUse("look", 1, 0),)
    assert check(json.dumps(both).encode()).facts == plain
    sent = "".join(f"event: message\r\ndata: {json.dumps(each)}\r\n\r\n" for each in both)
    assert check(sent.encode()).facts == plain
    broken = check(sent.encode() + b"data: {\n\ndata: {}\n\n").facts
    assert (broken.records, broken.bad_records) == (2, 2)


@pytest.mark.parametrize(
    ("part", "told"),
    [
        ({"content": [{"type": "text", "text": "x"}], "isError": True}, "tool result"),
        ({"name": "t", "arguments": {}, "_meta": CALL["params"]["_meta"]}, "tool call"),
        ({"code": -32602, "message": "Invalid cursor"}, "error"),
        ({"messages": [], "maxTokens": 10, "modelPreferences": {}}, "sampling request"),
        ({"role": "assistant", "content": {"type": "text"}, "model": "m"}, "sampling result"),
        (QUESTION, "question"),
        ({"mode": "url", "url": "https://x", "message": "m"}, "question"),
        ({"action": "accept", "content": {}}, "answer"),
        ({"level": "error", "logger": "db", "data": {}}, "log message"),
        ({"progressToken": 1, "progress": 50, "total": 100}, "progress"),
    ],
)
def test_a_lone_part_is_told_as_one(part: dict[str, Any], told: str) -> None:
    reading = check(json.dumps(part, indent=2).encode())
    assert reading.format_label == "MCP, part of a message"
    assert reading.summary == f"{told}; no message around it"
    other = check(json.dumps({**part, "other": 1}).encode())
    assert other.facts.parser == "json"


@pytest.mark.parametrize(
    "value",
    [
        {"content": [{"type": "text"}]},
        {"content": "x", "isError": False},
        {"code": 404, "message": "x"},
        {"action": "open"},
        {"action": []},
        {"level": "INFO", "data": 1},
        {"name": "x", "arguments": {}, "_meta": {}},
        {"message": 7, "requestedSchema": {}},
        {"progressToken": 1, "progress": "x"},
        {"messages": [], "maxTokens": "x"},
    ],
)
def test_what_only_looks_like_a_part_is_none(value: Any) -> None:
    assert check(json.dumps(value).encode()).facts.parser == "json"


def test_only_its_own_is_taken() -> None:
    detect = McpParser().detect
    assert detect(lines(CALL), "x") is Confidence.CERTAIN
    assert detect(lines(answer(1)), "x") is Confidence.LIKELY
    other = {"jsonrpc": "2.0", "id": 1, "method": "eth_call", "params": []}
    assert detect(lines(other), "x") is Confidence.LIKELY
    assert detect(b'{"jsonrpc": "1.0", "id": 1, "method": "tools/call"}', "x") is Confidence.NONE
    assert detect(b'{"id": 1, "method": "tools/call"}', "x") is Confidence.NONE


def test_hostile_messages_are_left_out() -> None:
    facts = check(
        lines(
            request(1, name={}),
            request([], name="x"),
            {"jsonrpc": "2.0", "id": {}, "method": "resources/read", "params": [1]},
            request(2, "resources/read", uri=["x"]),
            {"jsonrpc": "2.0", "id": 1, "result": [1]},
            answer(3, action=[], contents=7, content=[7], model={}, role=[], inputRequests=[1]),
            request(4, inputResponses={"q": 7}, _meta=[], clientInfo=7, protocolVersion={}),
            answer(4, inputRequests={"q": 7, "r": {"method": "elicitation/create", "params": 7}}),
            {"jsonrpc": "2.0", "method": 7},
            7,
        )
    ).facts
    assert (facts.records, facts.bad_records) == (8, 2)


# Logs.

START = "2025-07-20T13:44:16.367Z [weather] [info] Initializing server... { metadata: undefined }\n"


def entry(
    message: Any, *, second: int, sender: str = "client", host: bool = False, indent: bool = False
) -> str:
    text = json.dumps(message, indent=2 if indent else None)
    names = "[info] [weather]" if host else "[weather] [info]"
    suffix = "" if host else ("\n" if indent else " ") + "{ metadata: undefined }"
    return f"2025-07-20T13:45:{second:02}.500Z {names} Message from {sender}: {text}{suffix}\n"


def log(*parts: str) -> bytes:
    return "".join(parts).encode()


def test_a_log_of_a_server_is_read_with_its_times() -> None:
    reading = check(
        log(
            START,
            "2025-07-20T13:44:16.378Z [weather] [info] Using MCP server command: uv with args: {\n"
            "  metadata: {\n    args: [\n      'weather.py',\n      [length]: 4\n    ]\n  }\n",
            "} %o\n",
            "\n",
            entry(initialize(), second=1),
            entry(
                answer(
                    0,
                    protocolVersion="2025-06-18",
                    serverInfo={"name": "weather", "version": "1.12.0"},
                ),
                second=2,
                sender="server",
            ),
            entry({"jsonrpc": "2.0", "method": "notifications/initialized"}, second=3),
            entry(request(1, "tools/list"), second=3),
            "[07/20/25 19:14:18] INFO     Processing request of type            server.py:625\n",
            "                             ListToolsRequest\n",
            entry(answer(1, tools=LISTED["result"]["tools"]), second=4, sender="server"),
            entry(request(13, name="get_forecast", arguments={}), second=5),
            "2025-07-20 19:14:19,700 - weather - INFO - local time, no zone\n",
            entry(answer(13, **DONE), second=6, sender="server"),
        )
    )
    facts = reading.facts
    assert (facts.parser, facts.format) == ("mcp-jsonrpc", "mcp-log")
    # Two events and seven messages; what the server wrote itself is no record, nor a time.
    assert (facts.records, facts.bad_records) == (9, 0)
    assert (facts.first, facts.last) == ("2025-07-20T13:44:16.367Z", "2025-07-20T13:45:06.500Z")
    assert (facts.clock, facts.precision) == ("zoned", "ms")
    assert facts.tools == (ToolUse("get_forecast", 1, 0),)
    assert facts.configs == (
        Config("mcp client", "claude-ai", "0.1.0"),
        Config("mcp server", "weather", "1.12.0"),
        Config("protocol", "mcp", "2025-06-18"),
    )
    assert facts.not_captured == facts.problems == ()
    assert reading.format_label == "MCP log"
    assert reading.summary.startswith("7 messages, 1 tool call, ")
    assert reading.kinds == ("tool_trace",)


def test_both_orders_and_headers_of_tail_are_read() -> None:
    data = log(
        "==> /Users/x/Library/Logs/Claude/mcp.log <==\n",
        entry(request(13, name="look"), second=8, host=True),
        "\n\n==> /Users/x/Library/Logs/Claude/mcp-server-weather.log <==\n",
        "   INFO     HTTP Request: GET\n",
        entry(answer(13, **DONE), second=9, sender="server"),
        "2025-07-20T13:46:00.000Z [info] Message from client: "
        '{"jsonrpc":"2.0","id":14,"method":"tools/call","params":{"name":"look"}}\n',
    )
    facts = check(data).facts
    assert facts.records == 3
    assert facts.tools == (ToolUse("look", 2, 1),)
    # The file names the server where a line does not.
    last = entry(answer(14, **DONE), second=10, sender="server", host=True)
    assert check(data + last.encode()).facts.tools == (ToolUse("look", 2, 0),)


def test_messages_over_several_lines_are_whole() -> None:
    doubled = entry(answer(2, **DONE), second=5, sender="server", indent=True)
    doubled = doubled.replace("server: {", "server: {\n{").replace("{ metadata: undefined }\n", "")
    facts = check(
        log(
            START,
            entry(request(1, name="look"), second=1, indent=True),
            entry(answer(1, **DONE), second=2, sender="server", indent=True).replace(
                "server: {", "server:  \n{"
            ),
            entry(request(2, name="look"), second=4),
            doubled,
            entry(request(3, name="touch"), second=6),
        )
    ).facts
    assert (facts.records, facts.bad_records) == (6, 0)
    assert facts.tools == (ToolUse("look", 2, 0), ToolUse("touch", 1, 1))


def test_an_answer_that_is_cut_off_is_a_bad_record_that_came() -> None:
    whole = entry(answer(18, **DONE), second=2, sender="server")
    data = log(START, entry(request(18, name="look"), second=1), whole[:110])
    facts = check(data).facts
    assert (facts.bad_records, facts.bad_offsets) == (1, (data.index(whole[:110].encode()),))
    assert facts.tools == (ToolUse("look", 1, 0),)
    asked = entry(request(19, name="look"), second=3)[:110]
    facts = check(data + b"\n" + asked.encode() + b"\n```\n" + START.encode()).facts
    assert facts.bad_records == 2
    assert facts.tools == (ToolUse("look", 1, 0),)


def test_connections_start_again_and_end() -> None:
    closed = (
        "2025-07-20T13:50:00.000Z [weather] [info] Server transport closed unexpectedly, this is "
        "likely due to the process exiting early. { metadata: undefined }\n"
    )
    call = entry(request(1, name="look"), second=1)
    later = entry(request(1, name="look"), second=9)
    facts = check(log(START, call, closed, START.replace("16.367", "55.000"), later)).facts
    assert facts.tools == (ToolUse("look", 2, 2),)
    assert facts.problems == ("1 connection that ended unexpectedly",)


def test_two_logs_of_one_host_count_once() -> None:
    traffic = [(initialize(), "client"), (answer(0), "server"), (request(1, name="look"), "client")]
    both = [
        entry(message, second=second, sender=sender, host=host)
        for host in (True, False)
        for second, (message, sender) in enumerate(traffic)
    ]
    facts = check(log(START, *both, START.replace("[weather] [info]", "[info] [weather]"))).facts
    assert facts.tools == (ToolUse("look", 1, 1),)
    assert facts.problems == ("3 messages in two logs",)


def test_a_log_among_notes_is_read() -> None:
    notes = "# How it went\n\n```\ntail -f mcp*.log\n```\n\n"
    parts = [entry(request(number, name="look"), second=number) for number in range(3)]
    data = log(notes, "```\n", *parts, "```\n")
    assert McpParser().detect(data, "notes.md") is Confidence.LIKELY
    assert check(data).facts.tools == (ToolUse("look", 3, 3),)
    assert check(log(notes, parts[0])).facts.parser == "text"
    assert check(b"2025-07-20T13:44:16.367Z [web] [info] hello\n").facts.parser == "text"


def test_hostile_logs_cost_little_and_claim_nothing() -> None:
    start = "2025-07-20T13:45:00.500Z [weather] [info] Message from client: "
    data = log(start + '{"a": "\n', "}\n" * 50_000, start + "{\n" * 100_000, "\n", START)
    facts = check(data).facts
    assert facts.bad_records == 2
    assert facts.bad_offsets == (0, data.index(b"{\n{\n") - len(start))
    odd = check(log(START, start + "7\n", start + '{"jsonrpc":"2.0"}\n')).facts
    assert odd.problems == ("2 messages outside the protocol",)


def test_a_damaged_log_gives_facts() -> None:
    data = log(
        "==> /x/mcp.log <==\n",
        START,
        entry(initialize(), second=1),
        entry(request(1, name="look"), second=2, indent=True),
        "server output\n",
        entry(answer(1, **DONE), second=3, sender="server", indent=True),
        entry(request(2, "elicitation/create", **QUESTION), second=4, sender="server", host=True),
        entry(answer(2, action="accept"), second=5, host=True),
    )
    whole = check(data)
    assert whole.facts.unfinished_calls == 0
    assert read(with_mark(data)).facts == whole.facts
    assert read(with_returns(data)).facts == whole.facts
    for part in cut(data):
        assert check(part).facts.records <= whole.facts.records
    for broken in flipped(data, seed="log"):
        check(broken)
