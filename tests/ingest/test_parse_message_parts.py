"""Messages of every provider: calls, results, and that no text claims any."""

from __future__ import annotations

import json

import pytest

from ingest.parsers.message_parts import read_messages, says, tool_names

CALLS = [
    {"role": "assistant", "parts": [{"type": "tool_call", "id": "c", "name": "f"}]},
    {"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "f", "input": {}}]},
    {"role": "assistant", "content": [{"toolUse": {"toolUseId": "c", "name": "f"}}]},
    {"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "f"}}]},
    {"role": "assistant", "additional_kwargs": {"tool_calls": [{"id": "c", "name": "f"}]}},
    {"type": "function_call", "call_id": "c", "id": "fc_c", "name": "f", "arguments": "{}"},
    {"output": [{"type": "function_call", "call_id": "c", "name": "f"}]},
    {"choices": [{"message": {"tool_calls": [{"id": "c", "function": {"name": "f"}}]}}]},
    {"role": "model", "parts": [{"function_call": {"id": "c", "name": "f", "args": {}}}]},
    {"role": "model", "parts": [{"functionCall": {"id": "c", "name": "f", "args": {}}}]},
    {"generations": [[{"message": {"kwargs": {"tool_calls": [{"id": "c", "name": "f"}]}}}]]},
    {"message": {"content": [{"toolUse": {"toolUseId": "c", "name": "f"}}]}, "index": 0},
]
RESULTS = [
    {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c", "response": "x"}]},
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": "x"}]},
    {"role": "user", "content": [{"toolResult": {"toolUseId": "c", "content": []}}]},
    {"role": "tool", "tool_call_id": "c", "content": "x"},
    {"type": "function_call_output", "call_id": "c", "output": "x"},
    {"role": "user", "parts": [{"function_response": {"id": "c", "name": "f"}}]},
    {"kwargs": {"type": "tool", "content": "x", "tool_call_id": "c"}},
]


@pytest.mark.parametrize("message", CALLS, ids=range(len(CALLS)))
def test_every_spelling_of_a_call_is_one(message: dict[str, object]) -> None:
    for value in (message, [message], json.dumps([message]), {"messages": [message]}):
        found = read_messages(value)
        assert found.calls == [("c", "f")]
        assert found.results == []
        assert found.content


@pytest.mark.parametrize("message", RESULTS, ids=range(len(RESULTS)))
def test_every_spelling_of_a_result_is_one(message: dict[str, object]) -> None:
    found = read_messages([message])
    assert [identity for identity, _ in found.results] == ["c"]
    assert found.calls == []


@pytest.mark.parametrize("forged", CALLS + RESULTS, ids=range(len(CALLS + RESULTS)))
def test_no_text_claims_a_call(forged: dict[str, object]) -> None:
    """What a person or a tool wrote may look like a call, or like a whole conversation."""
    text = json.dumps([forged])
    for message in (
        {"role": "user", "content": text},
        {"role": "user", "content": [{"text": text}]},
        {"role": "user", "parts": [{"type": "text", "content": text}]},
        {"role": "user", "parts": [{"type": "text", "text": text, "parts": [forged]}]},
        {"role": "tool", "tool_call_id": "real", "content": text},
        {"type": "function_call_output", "call_id": "real", "output": [forged]},
        {"role": "user", "content": [{"toolResult": {"toolUseId": "real", "content": [forged]}}]},
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": "real", "content": [forged]}],
        },
        {"role": "assistant", "parts": [{"type": "tool_call", "id": "real", "arguments": forged}]},
    ):
        found = read_messages([message])
        assert "c" not in [identity for identity, _ in (*found.calls, *found.results)]
        assert found.content


def test_contents_that_are_json_texts_are_read_only_where_the_library_writes_them_so() -> None:
    message = {"role": "assistant", "content": json.dumps([{"toolUse": {"toolUseId": "c"}}])}
    assert read_messages(message).calls == []
    assert read_messages(message, encoded=True).calls == [("c", None)]
    twice = {"role": "user", "content": json.dumps([{"text": message["content"]}])}
    assert read_messages(twice, encoded=True).calls == []


@pytest.mark.parametrize(
    "nothing", [None, 7, "", "text", "[", [], {}, [{}], [None], [{"role": "x"}]]
)
def test_where_nothing_is_said_there_is_no_content(nothing: object) -> None:
    found = read_messages(nothing)
    assert (found.content, found.calls, found.results) == (False, [], [])


def test_nesting_ends_somewhere() -> None:
    deep: dict[str, object] = {"content": "x"}
    for _ in range(150):
        deep = {"message": deep}
    assert not read_messages(deep).content
    nested: list[object] = ["x"]
    for _ in range(150):
        nested = [nested]
    assert not read_messages(nested).content


def test_what_says_nothing() -> None:
    assert not any(map(says, ("", " ", "{}", "[]", "null", "__REDACTED__", None, {}, [])))
    assert all(map(says, ("x", "{ }x", 0, False, ["x"], {"a": 1})))


def test_names_of_tools() -> None:
    assert tool_names('["a"]') == ["a"]
    assert tool_names([{"name": "a"}, {"function": {"name": "b"}}, 7, None]) == ["a", "b"]
    declared = [{"function_declarations": [{"name": "a"}, "x"]}]
    assert [name for name in tool_names(declared) if name] == ["a"]
    assert tool_names("not json") == tool_names(7) == []
