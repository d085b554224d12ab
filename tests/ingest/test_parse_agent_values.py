"""Agents' own records with anything in place of any value: facts come back, never a traceback."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from damage import check
from samples import samples

PARSERS = (
    "agentdojo",
    "anthropic-managed-agent-events",
    "atif",
    "claude-code",
    "fast-agent",
    "mcp-jsonrpc",
    "openai-agents-runstate",
    "openai-agents-trace",
    "provider-messages",
    "swe-agent",
)
HOSTILE: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    1 << 70,
    1e300,
    "",
    "x" * 2000,
    "\x1b[2J\ud800\x00</script>=cmd|' /C calc'!A0",
    "9999-99-99T99:99:99Z",
    [],
    {},
    [[]],
    {"type": []},
    [None, 7, {"id": {}}],
    {"id": [], "name": {}, "content": 7, "message": []},
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of the value, and of each inside."""
    inner: Any = ()
    if isinstance(value, (dict, list)):
        inner = value.items() if isinstance(value, dict) else enumerate(value)
    return [path, *(found for key, each in inner for found in places(each, (*path, key)))]


def with_value(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """A copy with another value at the path."""
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = with_value(value[path[0]], path[1:], new)
    return copy


def documents(data: bytes) -> list[Any] | None:
    try:
        return [json.loads(data)]
    except ValueError:
        pass
    try:
        return [json.loads(line) for line in data.splitlines() if line.strip()]
    except ValueError:
        return None


FOUND = [
    pytest.param(values, id=f"{parser}-{name[-24:]}")
    for parser, name, data in samples()
    if parser in PARSERS and (values := documents(data)) is not None
]


@pytest.mark.slow
@pytest.mark.parametrize("values", FOUND)
def test_any_value_may_be_anything(values: list[Any]) -> None:
    chance = random.Random("values")
    nodes = [(number, path) for number, each in enumerate(values) for path in places(each)]
    for _ in range(250):
        number, path = chance.choice(nodes)
        changed = list(values)
        changed[number] = with_value(values[number], path, chance.choice(HOSTILE))
        check("\n".join(json.dumps(each) for each in changed).encode())
