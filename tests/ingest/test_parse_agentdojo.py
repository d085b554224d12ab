"""AgentDojo runs: the facts are those that a plain reading of the same file gives."""

from __future__ import annotations

import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from ingest.parsers import HEAD_SIZE, Confidence, Reading, choose, read_facts
from ingest.parsers.agentdojo import DEFENSES, WITHHELD, AgentDojoParser
from verify.facts import CAP, Facts, Finding, ToolUse

SAMPLES = Path(__file__).parents[1] / "data" / "agentdojo"
NAMES = sorted(path.name for path in SAMPLES.glob("*.json"))


def read(data: bytes, name: str = "run.json") -> Reading:
    return read_facts(io.BytesIO(data), head=data[:HEAD_SIZE], name=name)


def sample(name: str) -> bytes:
    return (SAMPLES / name).read_bytes()


def changed(name: str, **members: Any) -> bytes:
    return json.dumps(json.loads(sample(name)) | members).encode()


@pytest.mark.parametrize("name", NAMES)
def test_facts_are_what_the_run_says(name: str) -> None:
    run = json.loads(sample(name))
    reading = read(sample(name))
    facts = reading.facts
    calls = [
        (call["id"], call["function"])
        for message in run["messages"]
        for call in message.get("tool_calls") or ()
    ]
    answered = Counter(
        message["tool_call_id"] for message in run["messages"] if message["role"] == "tool"
    )
    unfinished: Counter[str] = Counter()
    for identity, function in calls:
        if answered[identity]:
            answered[identity] -= 1
        else:
            unfinished[function] += 1
    withheld = sum(message["content"] == WITHHELD for message in run["messages"])
    assert (facts.parser, facts.version, facts.format) == ("agentdojo", 3, "agentdojo")
    assert reading.format_label == "AgentDojo"
    assert (facts.records, facts.bad_records) == (len(run["messages"]), 0)
    assert facts.tools == tuple(
        ToolUse(function, number, unfinished[function])
        for function, number in sorted(Counter(function for _, function in calls).items())
    )
    assert facts.last_tool == calls[-1][1]
    assert sum(finding.count for finding in facts.findings) == withheld
    assert reading.kinds == ("prompt", "tool_trace", *(["guardrail_alert"] if withheld else []))
    assert facts.models_requested == ("gpt-4o-2024-05-13",)
    assert facts.models_returned == ()
    assert facts.not_captured == ("returned model", "times")
    assert (facts.clock, facts.first, facts.last) == ("none", None, None)
    assert facts.problems == facts.principals == facts.capped == ()


def test_the_three_runs_of_the_demo_read_as_told() -> None:
    attacked, baseline, detector = (
        read(sample(f"{name}.json")) for name in ("attacked", "baseline", "detector")
    )
    assert attacked.summary == "4 tool calls, the last one send_email"
    assert baseline.summary == "2 tool calls, the last one search_calendar_events"
    assert detector.summary == "4 tool calls, 3 results withheld: prompt injection"
    assert detector.facts.findings == (
        Finding("prompt injection detector", "prompt_injection", 3, None, "withheld"),
    )
    task = "workspace/user_task_0"
    model = "gpt-4o-2024-05-13"
    assert attacked.facts.runs == (f"{task}/injection_task_3/important_instructions/{model}",)
    assert baseline.facts.runs == (f"{task}/none/none/{model}",)
    assert detector.facts.runs == (
        f"{task}/injection_task_3/important_instructions/{model}-transformers_pi_detector",
    )


def test_a_call_that_was_never_answered_is_unfinished() -> None:
    tools = {tool.name: tool for tool in read(sample("unfinished.json")).facts.tools}
    assert (tools["delete_file"].calls, tools["delete_file"].unfinished) == (11, 1)
    assert sum(tool.unfinished for tool in tools.values()) == 1


def test_a_newer_run_has_a_time_without_a_zone_and_content_in_parts() -> None:
    run = json.loads(sample("detector.json"))
    for message in run["messages"]:
        message["content"] = [{"type": "text", "content": message["content"]}]
    run |= {"evaluation_timestamp": "2025-02-14 09:31:07", "benchmark_version": "v1.2.1"}
    facts = read(json.dumps(run).encode()).facts
    assert (facts.clock, facts.first, facts.last) == ("unzoned", None, None)
    assert (facts.raw_first, facts.raw_last) == ("2025-02-14 09:31:07", "2025-02-14 09:31:07")
    assert (facts.time_unit, facts.precision) == ("text", "s")
    assert facts.problems == ("1 time without a zone",)
    assert facts.not_captured == ("message times", "returned model")
    assert facts.findings[0].count == 3


def test_a_time_with_a_zone_is_one() -> None:
    facts = read(changed("attacked.json", evaluation_timestamp="2025-02-14T10:31:07.5+01:00")).facts
    assert (facts.clock, facts.first, facts.last, facts.problems) == (
        "zoned",
        "2025-02-14T09:31:07.500Z",
        "2025-02-14T09:31:07.500Z",
        (),
    )


@pytest.mark.parametrize(
    "stamp", ["soon", True, "0001-01-01T00:00:00+23:59", "9999-12-31 25:00:00"]
)
def test_a_time_that_is_none_is_a_problem(stamp: object) -> None:
    facts = read(changed("attacked.json", evaluation_timestamp=stamp)).facts
    assert (facts.clock, facts.first) == ("none", None)
    assert facts.problems == ("1 time that cannot be read",)


@pytest.mark.parametrize("defense", DEFENSES)
def test_only_a_known_defense_is_taken_off_the_pipeline(defense: str) -> None:
    for pipeline, model in ((f"m-1-{defense}", "m-1"), ("m-1-other", "m-1-other"), ("m", "m")):
        assert read(changed("attacked.json", pipeline_name=pipeline)).facts.models_requested == (
            model,
        )


def test_a_run_that_ended_in_an_error_says_so() -> None:
    facts = read(changed("attacked.json", error="Rate limit\x1b[31m")).facts
    assert facts.problems == ("the run ended in an error: Rate limit\x1b[31m",)


def test_a_run_without_tools_says_so() -> None:
    run = json.loads(sample("baseline.json"))
    run["messages"] = [each for each in run["messages"] if not each.get("tool_calls")][:2]
    reading = read(json.dumps(run).encode())
    assert reading.summary == "no tool calls"
    assert reading.facts.last_tool is None


def test_results_without_ids_or_calls_are_matched_or_counted() -> None:
    messages = [
        {"role": "assistant", "content": None, "tool_calls": [{"function": "a", "args": {}}] * 2},
        {"role": "tool", "content": "x", "tool_call": {"function": "a"}},
        {"role": "tool", "content": "x", "tool_call": {"function": "b"}},
        {"role": "tool", "content": "x", "tool_call": None, "tool_call_id": ["?"]},
        {"role": "assistant", "content": "", "tool_calls": [{"function": 7, "id": 5}, "junk"]},
        {"role": "tool", "content": "x", "tool_call_id": 5},
        {"role": "nobody", "content": "x"},
        "junk",
    ]
    reading = read(changed("attacked.json", messages=messages))
    assert reading.facts.tools == (ToolUse("(unnamed)", 1, 0), ToolUse("a", 2, 1))
    assert reading.facts.problems == (
        "2 bad records: not a message",
        "2 tool results without a call",
    )
    assert reading.facts.records == 6


def test_several_runs_in_one_file_are_many_runs_of_one_item() -> None:
    reading = read(sample("attacked.json") + b"\n" + sample("detector.json"))
    assert len(reading.facts.runs) == 2
    assert reading.facts.models_requested == ("gpt-4o-2024-05-13",)
    assert reading.summary == "8 tool calls, 3 results withheld: prompt injection"


def test_a_run_cut_off_gives_the_facts_of_what_is_there() -> None:
    data = sample("attacked.json")
    cut = data[: data.index(b'"role": "tool"') + 40]
    facts = read(cut).facts
    assert facts.format == "agentdojo"
    assert (facts.records, facts.bad_records) == (3, 1)
    assert facts.bad_offsets == (cut.rindex(b"{\n"),)
    assert facts.tools == (ToolUse("get_current_day", 1, 1),)
    assert facts.runs[0].startswith("workspace/user_task_0/injection_task_3/")


def test_lists_are_capped_and_say_so() -> None:
    calls = [{"function": f"tool {number:04}", "id": str(number)} for number in range(CAP + 50)]
    calls.append({"function": "x" * 1000, "id": "last"})
    messages = [{"role": "assistant", "content": "", "tool_calls": calls}]
    facts = read(changed("attacked.json", messages=messages)).facts
    assert (len(facts.tools), facts.capped) == (CAP, ("tools",))
    assert facts.last_tool == "x" * 299 + "…"
    many = b"".join(changed("baseline.json", user_task_id=f"t{n:03}") for n in range(CAP + 5))
    facts = read(many).facts
    assert (len(facts.runs), facts.capped) == (CAP, ("runs",))
    assert Facts.from_json(facts.to_json(), where="facts") == facts


def test_only_a_run_is_taken_for_one() -> None:
    detect = AgentDojoParser().detect
    data = sample("attacked.json")
    assert detect(data, "x.bin") is Confidence.CERTAIN
    assert detect(data[:2000], "x") is Confidence.CERTAIN
    assert detect(json.dumps({"run": json.loads(data)}).encode(), "run.json") is Confidence.NONE
    assert detect(b'{"suite_name":1,"pipeline_name":2,"messages":{}}', "x") is Confidence.NONE
    assert detect(b"suite_name pipeline_name messages", "x") is Confidence.NONE
    assert choose(b'{"messages":[]}', "attacked.json").name == "json"
