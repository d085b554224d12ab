"""Langfuse exports: observations, models, scores, read by eye and anew from the same files."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from ingest.parsers import HEAD_SIZE, Confidence, Reading, choose, read_facts
from ingest.parsers.langfuse import LangfuseParser
from verify.facts import Activity, Config, Detector, Finding, Model, ToolUse

SAMPLES = Path(__file__).parents[1] / "data" / "langfuse"
PATHS = sorted(SAMPLES.glob("*.json"))


def read(data: bytes) -> Reading:
    return read_facts(io.BytesIO(data), head=data[:HEAD_SIZE], name="trace.json")


def sample(name: str) -> dict[str, Any]:
    (path,) = SAMPLES.glob(f"{name}*")
    document: dict[str, Any] = json.loads(path.read_bytes())
    return document


def reading_of(document: object) -> Reading:
    return read(json.dumps(document).encode())


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name[:24])
def test_a_plain_reading_of_the_file_says_the_same(path: Path) -> None:
    document = json.loads(path.read_bytes())
    trace, observations = document["trace"], document["observations"]
    reading = read(path.read_bytes())
    facts = reading.facts
    starts = [each["startTime"] for each in observations]
    assert (facts.records, facts.spans) == (len(observations), len(observations))
    assert facts.traces == facts.runs == (trace["id"],)
    assert facts.raw_first == min(*starts, trace["timestamp"])
    assert facts.raw_last == max(each["endTime"] for each in observations)
    assert (facts.clock, facts.time_unit, facts.precision) == ("zoned", "text", "ms")
    assert facts.unresolved_parents == facts.unfinished_calls == 0
    assert {(each.detector, each.at) for each in facts.findings} == {
        (score["name"], score["timestamp"]) for score in trace["scores"]
    }
    assert reading.kinds == ("prompt", "tool_trace")
    assert facts.problems == ()
    assert reading.format_label == "Langfuse export"


# Read by eye.


def test_calls_in_answers_and_observations_of_tools_are_the_same_calls() -> None:
    facts = reading_of(sample("claude-agent")).facts
    assert facts.tools == (ToolUse("mcp__weather__get_weather", 2, 0),)
    assert facts.models == (Model("claude-sonnet-4-5-20250929", 4, 0, "exact"),)
    assert facts.not_captured == ("returned model",)
    assert facts.sessions == ("6fb9b4b8-dd4d-4d41-8d4f-c0c0799a6559",)
    assert facts.detectors == (
        Detector("correctness"),
        Detector("hallucination"),
        Detector("toxicity"),
    )
    assert facts.findings[-1] == Finding(
        "correctness", "score 0", 1, "2026-02-10T17:15:56.965Z", None
    )
    assert facts.last == "2025-12-22T10:46:22.888Z"  # no score moves it


def test_a_model_beside_the_one_that_was_asked_for_is_the_one_that_answered() -> None:
    facts = reading_of(sample("langgraph")).facts
    assert facts.models == (
        Model("gpt-4o", 2, 0, "floating"),
        Model("gpt-4o-2024-08-06", 0, 2, "exact"),
    )
    assert facts.tools == (ToolUse("Web-Search", 1, 0),)
    assert facts.sessions == ("demo-thread-1",)
    assert facts.not_captured == ()


def test_a_model_that_the_answer_names_is_returned() -> None:
    facts = reading_of(sample("openai-agents")).facts
    assert facts.models == (Model("gpt-4.1-2025-04-14", 0, 2, "exact"),)
    assert facts.tools == (ToolUse("get_weather", 1, 0),)
    assert facts.last_tool == "get_weather"


# Traps.


def test_input_and_metadata_may_be_json_or_its_text() -> None:
    document = sample("openai-agents")
    texts = reading_of(document)
    for observation in document["observations"]:
        for key in ("input", "output", "metadata"):
            try:
                observation[key] = json.loads(observation[key] or "null")
            except ValueError:
                continue
    assert reading_of(document).facts == texts.facts


def test_what_changes_later_changes_no_fact_but_the_scores() -> None:
    document = sample("claude-agent")
    before = reading_of(document).facts
    document["trace"] |= {"bookmarked": False, "updatedAt": "2031-01-01T00:00:00Z", "tags": ["x"]}
    assert reading_of(document).facts == before
    document["trace"]["scores"].pop()
    assert len(reading_of(document).facts.findings) == len(before.findings) - 1


def test_people_prompts_releases_and_sessions_are_named() -> None:
    document = sample("openai-agents")
    document["trace"] |= {"userId": "ann", "sessionId": "s-1", "release": "r7", "version": "2"}
    document["observations"][2] |= {"promptName": "tutor", "promptVersion": 3}
    facts = reading_of(document).facts
    assert facts.activities == (
        Activity("ann", "2025-09-30T09:03:59.962Z", "2025-09-30T09:03:59.962Z", 1),
    )
    assert facts.sessions == ("s-1",)
    assert set(facts.configs) >= {
        Config("release", "Agent workflow", "r7"),
        Config("version", "Agent workflow", "2"),
        Config("prompt", "tutor", "3"),
    }


def test_an_observation_without_an_end_is_unfinished_unless_it_is_an_event() -> None:
    document = sample("openai-agents")
    (tool,) = [each for each in document["observations"] if each["type"] == "TOOL"]
    tool["endTime"] = None
    facts = reading_of(document).facts
    assert "1 observation without an end" in facts.problems
    tool["type"] = "EVENT"
    assert reading_of(document).facts.problems == ()


def test_errors_and_guardrails_are_told() -> None:
    document = sample("openai-agents")
    document["observations"][0]["level"] = "ERROR"
    document["observations"][1] |= {"type": "GUARDRAIL", "name": "pii", "output": "blocked"}
    reading = reading_of(document)
    assert "1 observation ended in an error" in reading.facts.problems
    assert "guardrail_alert" in reading.kinds
    assert Finding("pii", "blocked", 1, "2025-09-30T09:04:02.152Z", None) in reading.facts.findings


def test_many_traces_one_a_line_are_all_read() -> None:
    lines = "\n".join(json.dumps(json.loads(path.read_bytes())) for path in PATHS)
    facts = read(lines.encode()).facts
    assert (facts.records, len(facts.traces)) == (21, 3)
    assert {each.name for each in facts.tools} == {
        "Web-Search",
        "get_weather",
        "mcp__weather__get_weather",
    }


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name[:24])
def test_an_export_cut_off_gives_what_is_there(path: Path) -> None:
    data = path.read_bytes()
    whole = read(data).facts
    half = read(data[: len(data) * 3 // 4]).facts
    assert half.parser == "langfuse"
    assert 0 < half.records < whole.records
    assert half.findings == whole.findings
    assert half.bad_records == 1
    early = read(data[: data.index(b'"observations"') + len(data) // 8]).facts
    assert early.records < whole.records
    assert early.bad_records


@pytest.mark.parametrize("value", [None, 7, "x", "{", [], {}, True, [{}], {"a": [1]}])
def test_a_value_of_any_type_anywhere_raises_nothing(value: object) -> None:
    document = sample("openai-agents")
    document["observations"] = document["observations"][3:]
    document["trace"] |= {"observations": [], "metadata": "{}"}
    for key in document["trace"]:
        reading_of(document | {"trace": document["trace"] | {key: value}})
    for observation in document["observations"]:
        for key in observation:
            reading_of(
                document | {"observations": [observation, observation | {key: value}, value]}
            )
    reading_of(document | {"trace": value})
    reading_of(document | {"observations": value})


def test_only_an_export_is_taken_for_one() -> None:
    detect = LangfuseParser().detect
    for path in PATHS:
        assert detect(path.read_bytes()[:HEAD_SIZE], "x.bin") is Confidence.CERTAIN
    assert detect(json.dumps({"run": sample("claude-agent")}).encode(), "x") is Confidence.NONE
    assert choose(b'{"trace":{},"observations":[]}', "trace.json").name == "json"
