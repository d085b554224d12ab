"""Claude Code: session files against a plain reading of the same file, and each trap."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from damage import check

from ingest.parsers import Confidence
from ingest.parsers.claude_code import ClaudeCodeParser
from verify.facts import Approval, Config, Decision, Model, ToolUse

SAMPLES = Path(__file__).parents[1] / "data" / "claude-code"
SESSION = (SAMPLES / "session.jsonl").read_bytes()
EDGES = (SAMPLES / "edge_cases.jsonl").read_bytes()


def lines(*values: Any) -> bytes:
    return "".join(json.dumps(value) + "\n" for value in values).encode()


def line(number: int, kind: str = "user", **more: Any) -> dict[str, Any]:
    return {
        "type": kind,
        "uuid": f"u{number}",
        "parentUuid": f"u{number - 1}" if number > 1 else None,
        "isSidechain": False,
        "sessionId": "s1",
        "version": "2.1.207",
        "cwd": "/home/x",
        "gitBranch": "main",
        "timestamp": f"2025-09-03T00:47:{number:02}.293Z",
        **more,
    }


def said_by_model(number: int, *blocks: Any, tokens: int = 1, identity: str = "msg_1") -> Any:
    message = {
        "id": identity,
        "role": "assistant",
        "model": "claude-sonnet-4-20250514",
        "content": list(blocks),
        "usage": {"output_tokens": tokens},
    }
    return line(number, "assistant", message=message, requestId="req_1")


def use(identity: str, tool: str = "Bash", **given: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": identity, "name": tool, "input": given}


def result(number: int, identity: str, **more: Any) -> dict[str, Any]:
    block = {"type": "tool_result", "tool_use_id": identity, "content": "."}
    return line(number, message={"role": "user", "content": [block]}, **more)


def test_a_session_is_what_a_plain_reading_gives() -> None:
    reading = check(SESSION)
    facts = reading.facts
    plain = [json.loads(text) for text in SESSION.splitlines()]
    calls: Counter[str] = Counter()
    for each in plain:
        content = each["message"]["content"]
        for block in content if isinstance(content, list) else ():
            if block["type"] == "tool_use":
                calls[block["name"]] += 1
    messages = {each["message"]["id"] for each in plain if each["type"] == "assistant"}
    assert facts.parser == facts.format == "claude-code"
    assert (facts.records, facts.bad_records, facts.problems) == (29, 0, ())
    assert facts.records == len(plain)
    assert (facts.first, facts.last) == ("2025-09-03T00:47:19.293Z", "2025-09-03T00:47:52.264Z")
    assert (facts.clock, facts.precision) == ("zoned", "ms")
    assert facts.sessions == ("1af7fc5e-8455-4414-9ccd-011d40f70b2a",)
    assert (facts.spans, facts.unresolved_parents) == (29, 0)
    assert facts.tools == tuple(ToolUse(name, calls[name], 0) for name in sorted(calls))
    assert facts.last_tool == "TodoWrite"
    # 15 lines of the assistant are 7 messages.
    assert facts.models == (Model("claude-sonnet-4-20250514", 0, len(messages), "exact"),)
    assert facts.configs == (
        Config("directory", "/path/to/Demo"),
        Config("software", "claude-code", "1.0.98"),
    )
    assert facts.datasets == ("file:/path/to/Demo/CLAUDE.md",)
    assert facts.not_captured == ("requested model",)
    assert reading.kinds == ("prompt", "tool_trace")
    # The last word of each message: 104 + 285 + 146 + …, not the sum over lines.
    last = {
        each["message"]["id"]: each["message"]["usage"]["output_tokens"]
        for each in plain
        if each["type"] == "assistant"
    }
    assert reading.summary == f"29 lines, 12 tool calls, {sum(last.values())} output tokens"


def test_broken_lines_are_counted_where_they_are() -> None:
    facts = check(EDGES).facts
    assert (facts.records, facts.bad_records) == (15, 4)
    # "massive error", {"silly": …}, 42 and [1] stand one after another.
    start = EDGES.index(b'"massive error"')
    assert facts.bad_offsets == (
        start,
        EDGES.index(b'{"silly"'),
        EDGES.index(b"\n42\n") + 1,
        EDGES.index(b"\n[1]\n") + 1,
    )
    assert facts.sessions == ("edge_cases", "todowrite_session")
    # One line has `timesstamp`; two have the uuid of another; one leads on from a line elsewhere.
    assert facts.problems == (
        "4 bad records: no line of a session",
        "2 duplicate records",
        "1 line without a time",
    )
    assert (facts.spans, facts.unresolved_parents) == (12, 1)
    # `contenst` hides the result of MultiEdit; TodoWrite has none.
    assert facts.tools == (
        ToolUse("FailingTool", 1, 0),
        ToolUse("MultiEdit", 1, 1),
        ToolUse("TodoWrite", 1, 1),
    )
    assert facts.models == (
        Model("claude-3-sonnet-20240229", 0, 3, "exact"),
        Model("claude-sonnet-4", 0, 1, "floating"),
    )


def test_lines_without_time_are_bookkeeping() -> None:
    summary = {"type": "summary", "summary": "words", "leafUuid": "u9"}
    snapshot = {"type": "file-history-snapshot", "messageId": "u1", "snapshot": {}}
    mode = {"type": "permission-mode", "permissionMode": "bypassPermissions", "sessionId": "s1"}
    reading = check(lines(summary, snapshot, mode, line(1, message={"content": "hi"})))
    facts = reading.facts
    assert (facts.records, facts.bad_records, facts.problems) == (4, 0, ())
    assert Config("permission mode", "bypassPermissions") in facts.configs
    assert Config("branch", "main") in facts.configs
    assert check(lines(summary)).facts.format == "claude-code"


def test_a_message_of_several_lines_counts_once_and_its_last_word_counts() -> None:
    reading = check(
        lines(
            line(1, message={"role": "user", "content": "hi"}),
            said_by_model(2, {"type": "text", "text": "."}, tokens=3),
            said_by_model(3, use("t1"), tokens=3),
            said_by_model(4, use("t2"), tokens=172),
            result(5, "t2"),
            said_by_model(6, {"type": "text", "text": "."}, tokens=5, identity="msg_2"),
        )
    )
    assert reading.facts.models_returned == ("claude-sonnet-4-20250514",)
    assert reading.facts.models[0].returned == 2
    assert reading.facts.tools == (ToolUse("Bash", 2, 1),)
    assert reading.summary == "6 lines, 2 tool calls, 177 output tokens"


def test_messages_that_the_program_wrote_itself_name_no_model() -> None:
    made_up = line(1, "assistant", message={"model": "<synthetic>", "content": []})
    assert check(lines(made_up)).facts.models == ()


def test_subagents_are_told_or_missed() -> None:
    called = said_by_model(1, use("t1", "Task"))
    assert check(lines(called)).facts.not_captured == (
        "messages of subagents",
        "requested model",
    )
    aside = line(2, isSidechain=True, message={"role": "user", "content": "do"})
    reading = check(lines(called, aside))
    assert reading.facts.not_captured == ("requested model",)
    assert reading.summary.endswith("1 of subagents")


def test_missing_lines_leave_parents_unresolved() -> None:
    plain = SESSION.splitlines(keepends=True)
    assert check(b"".join(plain[:10] + plain[12:])).facts.unresolved_parents == 1
    compacted = line(5, "system", parentUuid=None, logicalParentUuid="u4")
    assert check(lines(line(1), compacted)).facts.unresolved_parents == 1
    assert check(lines(line(1), line(2), line(3), line(4), compacted)).facts.unresolved_parents == 0


def test_what_the_user_refused_is_rejected_and_what_a_tool_says_is_not() -> None:
    refused = result(2, "t1", toolUseResult="User rejected tool use")
    denied = result(3, "t2", toolUseResult="x", toolDenialKind="user-rejected")
    hook = result(4, "t3", toolUseResult="User rejected tool use", toolDenialKind="hook")
    forged = result(5, "t4", toolUseResult="Error: The user doesn't want to proceed with this")
    calls = said_by_model(1, use("t1"), use("t2", "Write"), use("t3"), use("t4"))
    reading = check(lines(calls, refused, denied, hook, forged))
    assert reading.facts.approvals == (
        Approval("Bash", "rejected", None, "2025-09-03T00:47:02.293Z", None, "t1"),
        Approval("Write", "rejected", None, "2025-09-03T00:47:03.293Z", None, "t2"),
    )
    assert reading.kinds == ("prompt", "tool_trace", "approval")


def test_files_that_tools_were_given_are_datasets() -> None:
    calls = said_by_model(
        1, use("t1", "Read", file_path="/a"), use("t2", "NotebookEdit", notebook_path="/b.ipynb")
    )
    assert check(lines(calls)).facts.datasets == ("file:/a", "file:/b.ipynb")


# The stream.

INIT = {
    "type": "system",
    "subtype": "init",
    "session_id": "s1",
    "cwd": "/x",
    "model": "claude-sonnet-4-5",
    "permissionMode": "default",
    "claude_code_version": "2.0.1",
    "mcp_servers": [{"name": "exa", "status": "connected"}, 7],
}
SPOKEN = {
    "type": "assistant",
    "session_id": "s1",
    "parent_tool_use_id": None,
    "message": {
        "role": "assistant",
        "model": "claude-sonnet-4-5-20250929",
        "content": [use("t1", "Write", file_path="/a")],
    },
}
ASKED = {
    "type": "control_request",
    "request_id": "r1",
    "request": {"subtype": "can_use_tool", "tool_name": "Write", "tool_use_id": "t1"},
}
DENIED = {
    "type": "control_response",
    "response": {"subtype": "success", "request_id": "r1", "response": {"behavior": "deny"}},
}
ENDED = {"type": "result", "session_id": "s1", "permission_denials": [{"tool_name": "Write"}, 7]}


def test_a_stream_tells_who_was_asked_for_what() -> None:
    reading = check(lines(INIT, SPOKEN, ASKED, DENIED, ENDED))
    facts = reading.facts
    assert (facts.parser, facts.format) == ("claude-code", "claude-agent-sdk")
    assert (facts.records, facts.bad_records) == (5, 0)
    assert facts.models == (
        Model("claude-sonnet-4-5", 1, 0, "floating"),
        Model("claude-sonnet-4-5-20250929", 0, 1, "exact"),
    )
    assert facts.approvals == (
        Approval("Write", "rejected", reference="t1"),
        Approval("Write", "requested", reference="t1"),
    )
    assert facts.decisions == (Decision("asked", 1), Decision("denied", 1))
    assert facts.configs == (
        Config("directory", "/x"),
        Config("mcp server", "exa"),
        Config("permission mode", "default"),
        Config("software", "claude-code", "2.0.1"),
    )
    assert facts.not_captured == ("times",)
    assert reading.format_label == "Claude Agent SDK stream"


def test_a_recording_with_directions_is_read_alike() -> None:
    messages = [
        {"direction": direction, "message": message}
        for direction, message in (("recv", INIT), ("send", ASKED), ("recv", SPOKEN))
    ]
    recording = {"metadata": {"cli_version": "1.0.100"}, "messages": messages}
    facts = check(json.dumps(recording, indent=2).encode()).facts
    assert facts.format == "claude-agent-sdk"
    assert facts.records == 3
    assert Config("software", "claude-code", "1.0.100") in facts.configs
    assert facts.tools == (ToolUse("Write", 1, 1),)


def test_hostile_lines_are_left_out() -> None:
    facts = check(
        lines(
            line(1, message={"id": [], "model": {}, "content": [7, {"type": []}], "usage": 7}),
            {**line(2), "uuid": {}, "sessionId": [], "timestamp": {}, "cwd": 7},
            {**line(3), "message": {"usage": {"output_tokens": 10**400}}},
            {**line(4), "message": {"content": [use("t1") | {"input": 7}, use({})]}},  # type: ignore[arg-type]
            {"type": "control_request", "request_id": [], "request": 7},
            {"type": "control_response", "response": {"response": {"behavior": []}}},
            {"type": "system", "subtype": "init", "session_id": 7, "mcp_servers": 7},
        )
    ).facts
    assert (facts.records, facts.bad_records) == (7, 0)


def test_only_its_own_is_taken() -> None:
    detect = ClaudeCodeParser().detect
    assert detect(SESSION, "x") is Confidence.CERTAIN
    assert detect(b'{"type": "user", "message": {}}', "x.jsonl") is Confidence.NONE
    assert detect(b'{"type": "result", "sessionId": "x"}', "x") is Confidence.NONE
    long = {key: line(1)[key] for key in ("parentUuid", "isSidechain", "sessionId")}
    long |= {"message": {"content": "x" * 70_000}, "type": "user", "uuid": "u1"}
    assert detect(json.dumps(long).encode()[: 64 << 10], "x") is Confidence.LIKELY
    assert check(lines(long)).facts.spans == 1
