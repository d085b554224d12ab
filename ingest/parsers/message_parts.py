"""Messages as traces carry them: which tools they call, and which calls they answer. Pure.

Providers and generations of the conventions spell a tool call differently; shapes are told apart by
their keys. Only the frame of a message is read. What a person, a model or a tool wrote inside it is
never taken for structure, so that no text can claim a tool call.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ingest.parsers.records import parse_embedded

REDACTED = "__REDACTED__"
"""What OpenInference writes in place of content that it was told to hide."""

_CALLS = frozenset(
    ("tool_call", "tool_use", "function_call", "custom_tool_call", "mcp_tool_use",
     "server_tool_call", "server_tool_use")
)  # fmt: skip
_RESULTS = frozenset(
    ("tool_call_response", "tool_result", "function_call_output", "custom_tool_call_output",
     "mcp_tool_result", "server_tool_call_response", "server_tool_result")
)  # fmt: skip
_DEEPEST = 8
_MEMBERS = (
    "message", "parts", "content", "contents", "output", "tool.result", "choices", "generations",
    "kwargs", "messages", "inputs", "outputs",
)  # fmt: skip

Reference = tuple[object, object]
"""The id and the tool's name of a call or result, each as it stands in the message."""


@dataclass(slots=True)
class Messages:
    """What messages came to."""

    content: bool = False
    """Whether any says something, be it a text, a call or a result."""
    calls: list[Reference] = field(default_factory=list)
    results: list[Reference] = field(default_factory=list)


def read_messages(value: object, *, encoded: bool = False) -> Messages:
    """Read a message, a list of them, or their JSON text.

    `encoded` says that a content which is a text holds blocks or messages as JSON, as Strands and
    LangChain write them.
    """
    found = Messages()
    if isinstance(value, str):
        value = parse_embedded(value) if value.lstrip()[:1] in ("[", "{") else None
    if isinstance(value, dict) and isinstance(value.get("messages"), list):
        value = value["messages"]
    _content(value if isinstance(value, list) else [value], found, encoded, 0)
    return found


def says(value: object) -> bool:
    """Whether a captured value is there: not empty, not `{}`, not redacted."""
    if isinstance(value, str):
        return value.strip() not in ("", "{}", "[]", "null", '""', REDACTED)
    return value is not None and value not in ({}, [])


def tool_names(definitions: object) -> list[object]:
    """The names of the tools that a list of definitions, or its JSON text, offers."""
    if isinstance(definitions, str):
        definitions = parse_embedded(definitions)
    names: list[object] = []
    for each in definitions if isinstance(definitions, list) else (definitions,):
        if isinstance(each, str):
            names.append(each)
        elif isinstance(each, dict):
            names.append(each.get("name") or _member(each.get("function"), "name"))
            declared = each.get("function_declarations")
            for one in declared if isinstance(declared, list) else ():
                names.append(_member(one, "name"))
    return names


def _message(message: dict[str, Any], found: Messages, encoded: bool, depth: int) -> None:
    if depth > _DEEPEST:
        return
    _tool_calls(message, found)
    if message.get("tool_call_id") is not None:
        found.results.append((message["tool_call_id"], message.get("name")))
        found.content = True
    for key in _MEMBERS:
        if (value := message.get(key)) is not None:
            _content(value, found, encoded, depth)


def _tool_calls(message: dict[str, Any], found: Messages) -> None:
    calls = message.get("tool_calls") or _member(message.get("additional_kwargs"), "tool_calls")
    for call in calls if isinstance(calls, list) else ():
        if isinstance(call, dict):
            name = call.get("name") or _member(call.get("function"), "name")
            found.calls.append((call.get("id"), name))
            found.content = True


def _content(value: object, found: Messages, encoded: bool, depth: int) -> None:
    if isinstance(value, str):
        blocks = parse_embedded(value) if encoded and value.startswith(("[", "{")) else None
        if isinstance(blocks, (list, dict)):
            _content(blocks, found, False, depth)
        elif says(value):
            found.content = True
    elif isinstance(value, dict):
        if not _block(value, found):
            _message(value, found, encoded, depth + 1)
    elif isinstance(value, list) and depth <= _DEEPEST:
        for each in value:
            if isinstance(each, (dict, list)):
                _content(each, found, encoded, depth + 1)
            elif isinstance(each, str) and says(each):
                found.content = True


def _block(block: dict[str, Any], found: Messages) -> bool:
    """Take a part of a message; whether it was one."""
    kind = block.get("type")
    if isinstance(kind, str):
        if kind in _CALLS:
            name = block.get("name") or _member(block.get("function"), "name")
            found.calls.append((block.get("call_id") or block.get("id"), name))
            found.content = True
            return True
        if kind in _RESULTS:
            keys = ("call_id", "tool_use_id", "tool_call_id", "id")
            identity = next((block[key] for key in keys if block.get(key) is not None), None)
            found.results.append((identity, block.get("name")))
            found.content = True
            return True
    for key, called in _NAMED_BLOCKS:
        inner = block.get(key)
        if isinstance(inner, dict):
            reference = (inner.get("toolUseId") or inner.get("id"), inner.get("name"))
            (found.calls if called else found.results).append(reference)
            found.content = True
            return True
    text = block.get("text")
    if isinstance(text, str):
        found.content = found.content or says(text)
        return True
    return False


_NAMED_BLOCKS = (
    ("toolUse", True),
    ("toolResult", False),
    ("functionCall", True),
    ("function_call", True),
    ("functionResponse", False),
    ("function_response", False),
)


def _member(value: object, key: str) -> Any:
    return value.get(key) if isinstance(value, dict) else None
