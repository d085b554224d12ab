"""Agents' own records: every real file is recognised, and a plain reading of it gives the same.

Files are the copied samples, always, and those of `../shared/data`, where that folder is.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from damage import check

from ingest.parsers.agentdojo import WITHHELD

ROOT = Path(__file__).parents[2]
FOLDERS = (ROOT / "tests" / "data", ROOT.parent / "shared" / "data")

FORMATS = {
    "agentdojo/**/*.json": "agentdojo",
    "anthropic-managed-agent-events/*.jsonl": "anthropic-managed-agent-events",
    "atif/*.json": "atif",
    "claude-code/*.jsonl": "claude-code",
    "fast-agent/*.json": "fast-agent",
    "mcp-jsonrpc/**/*.json": "mcp-jsonrpc",
    "openai-agents-runstate/*.json": "openai-agents-runstate",
    "openai-agents-trace/*.jsonl": "openai-agents-trace",
    "provider-messages/*.yaml": "vcr-cassette",
    "provider-messages/anthropic_request.json": "anthropic-messages",
    "provider-messages/anthropic_stream.jsonl": "anthropic-messages",
    "provider-messages/anthropic*/request.json": "anthropic-messages",
    "provider-messages/anthropic*/stream.jsonl": "anthropic-messages",
    "provider-messages/openresponses*/request.json": "openai-responses",
    "provider-messages/openresponses*/stream.jsonl": "openai-responses",
    "provider-messages/*/meta.json": "fast-agent",
    "provider-messages/*/result.json": "fast-agent",
    "provider-messages/responses_request.json": "openai-responses",
    "provider-messages/responses_stream.jsonl": "openai-responses",
    "swe-agent/*.traj": "swe-agent",
    "tau-bench/*.json": "tau-bench",
    "vcr-cassette/*.yaml": "vcr-cassette",
}


def files(*patterns: str) -> list[Any]:
    return [
        pytest.param(path, id=str(path.relative_to(folder))[-60:])
        for folder in FOLDERS
        for pattern in patterns
        for path in sorted(folder.glob(pattern))
    ]


EVERY = [
    pytest.param(param.values[0], form, id=param.id)
    for pattern, form in FORMATS.items()
    for param in files(pattern)
]


@pytest.mark.parametrize(("path", "form"), EVERY)
def test_every_file_is_recognised_whatever_its_name(path: Path, form: str) -> None:
    assert check(path.read_bytes(), "file").facts.format == form


def test_no_file_was_forgotten() -> None:
    known = {param.values[0] for param in EVERY}
    folders = {pattern.partition("/")[0] for pattern in FORMATS}
    every = {
        path
        for folder in FOLDERS
        for name in folders
        for path in (folder / name).rglob("*")
        if path.is_file() and path.name != "SOURCE.md"
    }
    assert every == known


def blocks(message: Any) -> list[dict[str, Any]]:
    content = message.get("content") if isinstance(message, dict) else None
    content = content if isinstance(content, list) else []
    return [block for block in content if isinstance(block, dict)]


@pytest.mark.parametrize("path", files("claude-code/*.jsonl"))
def test_sessions_of_claude_code(path: Path) -> None:
    values = [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]
    plain = [value for value in values if isinstance(value, dict) and "type" in value]
    calls, tokens, models = Counter[str](), {}, {}
    results = set()
    for value in plain:
        message = value.get("message")
        for block in blocks(message):
            if block.get("type") == "tool_use":
                calls[block["name"]] += 1
            elif block.get("type") == "tool_result":
                results.add(block["tool_use_id"])
        if value["type"] == "assistant":
            models[message["id"]] = message["model"]
            if usage := message.get("usage"):
                before = tokens.get(message["id"], 0)
                tokens[message["id"]] = max(before, usage["output_tokens"])
    reading = check(path.read_bytes())
    facts = reading.facts
    assert (facts.records, facts.bad_records) == (len(plain), len(values) - len(plain))
    assert {tool.name: tool.calls for tool in facts.tools} == calls
    assert facts.unfinished_calls == sum(calls.values()) - len(results)
    assert {model.name: model.returned for model in facts.models} == Counter(models.values())
    times = sorted(value["timestamp"] for value in plain if "timestamp" in value)
    assert (facts.raw_first, facts.raw_last) == (times[0], times[-1])
    uuids = {value["uuid"] for value in plain if "uuid" in value}
    assert facts.spans == len(uuids)
    parents = {value["uuid"]: value.get("parentUuid") for value in plain if "uuid" in value}
    missing = sum(1 for parent in parents.values() if parent and parent not in uuids)
    assert facts.unresolved_parents == missing
    assert f"{sum(tokens.values()):,} output tokens" in reading.summary
    aside = sum(value.get("isSidechain") is True for value in plain)
    assert (f"{aside:,} of subagents" in reading.summary) == bool(aside)


@pytest.mark.parametrize("path", files("agentdojo/**/*.json"))
def test_runs_of_agentdojo(path: Path) -> None:
    run = json.loads(path.read_bytes())
    facts = check(path.read_bytes()).facts
    calls = Counter(
        call["function"] for message in run["messages"] for call in message.get("tool_calls") or ()
    )
    assert facts.records == len(run["messages"])
    assert {tool.name: tool.calls for tool in facts.tools} == calls
    assert facts.models_requested == ("gpt-4o-2024-05-13",)
    withheld = sum(message["content"] == WITHHELD for message in run["messages"])
    assert sum(finding.count for finding in facts.findings) == withheld
    assert (facts.clock, facts.problems) == ("none", ())


@pytest.mark.parametrize("path", files("tau-bench/*.json"))
def test_runs_of_tau_bench(path: Path) -> None:
    facts = check(path.read_bytes()).facts
    try:
        runs = json.loads(path.read_bytes())
    except json.JSONDecodeError:  # the copied sample is cut
        assert (facts.bad_records, facts.records) == (1, 3)
        return
    calls = Counter(
        call["function"]["name"]
        for run in runs
        for message in run["traj"]
        for call in message.get("tool_calls") or ()
    )
    assert (facts.records, facts.bad_records) == (len(runs), 0)
    assert {tool.name: tool.calls for tool in facts.tools} == calls
    assert facts.unfinished_calls == 0
    assert facts.problems == ()


@pytest.mark.parametrize("path", files("swe-agent/*.traj"))
def test_trajectories_of_swe_agent(path: Path) -> None:
    run = json.loads(path.read_bytes())
    facts = check(path.read_bytes()).facts
    words = Counter(step["action"].split()[0] for step in run["trajectory"])
    assert {tool.name: tool.calls for tool in facts.tools} == words
    named = ("gpt-4o",) if "replay_config" in run else ()
    assert facts.models_requested == named
