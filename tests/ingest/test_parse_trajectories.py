"""Trajectories of benchmarks: what is asserted was read in the samples by eye."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from damage import check

from ingest.parsers import Confidence
from ingest.parsers.trajectories import AtifParser, SweAgentParser, TauBenchParser
from verify.facts import Config, Model, ToolUse

DATA = Path(__file__).parents[1] / "data"
TAU = (DATA / "tau-bench" / "gpt-4o-airline.json").read_bytes()
SWE = (DATA / "swe-agent" / "test-repo.traj").read_bytes()
FLASH = (DATA / "swe-agent" / "flash.traj").read_bytes()
ATIF = (DATA / "atif" / "harbor_openhands.json").read_bytes()


# tau-bench.


def whole_runs(data: bytes) -> tuple[list[Any], int]:
    """The runs that the cut sample holds whole, and where the next one starts."""
    text = data.decode()
    decoder = json.JSONDecoder()
    runs, position = [], text.index("{")
    while True:
        try:
            run, position = decoder.raw_decode(text, position)
        except json.JSONDecodeError:
            return runs, len(text[:position].encode())
        runs.append(run)
        position = text.index("{", position)


def test_runs_of_tau_bench_have_tasks_and_tools_but_no_model() -> None:
    runs, broken = whole_runs(TAU)
    reading = check(TAU)
    facts = reading.facts
    calls: dict[str, int] = {}
    for run in runs:
        for message in run["traj"]:
            for call in message.get("tool_calls") or ():
                name = call["function"]["name"]
                calls[name] = calls.get(name, 0) + 1
    assert facts.parser == facts.format == "tau-bench"
    assert (facts.records, facts.bad_records, facts.bad_offsets) == (len(runs), 1, (broken,))
    assert facts.runs == tuple(f"{run['task_id']}/{run['trial']}" for run in runs)
    assert facts.runs[0] == "0/0"
    assert facts.tools == tuple(ToolUse(name, calls[name], 0) for name in sorted(calls))
    assert facts.models == ()
    assert facts.not_captured == ("requested model", "returned model", "times")
    assert facts.principals == ()  # mia_li_3668 is whom the task is about
    assert reading.kinds == ("prompt", "tool_trace")


def test_an_id_that_two_calls_of_a_run_share_is_two_calls() -> None:
    # get_user_details and calculate of task 0 both are call_oIHazX6yQrB8hUwl4cRilFKj.
    run = whole_runs(TAU)[0][0]
    ids = [call["id"] for each in run["traj"] for call in each.get("tool_calls") or ()]
    assert len(ids) > len(set(ids))
    assert sum(tool.calls for tool in check(json.dumps([run]).encode()).facts.tools) == len(ids)


# SWE-agent.


def test_a_trajectory_of_swe_agent_names_its_configuration() -> None:
    reading = check(SWE)
    facts = reading.facts
    assert facts.parser == facts.format == "swe-agent"
    assert facts.models == (Model("gpt-4o", 1, 0, "floating"),)
    assert facts.runs == ("SWE-agent__test-repo-i1",)
    assert facts.configs[:3] == (
        Config("agent", "main"),
        Config("commit", "https://github.com/SWE-agent/test-repo/", "HEAD"),
        Config("image", "tiny"),
    )
    assert facts.configs[3].kind == "prompt"
    # find_file …, open …, edit …, python3 …, submit
    assert [tool.name for tool in facts.tools] == ["edit", "find_file", "open", "python3", "submit"]
    assert facts.unfinished_calls == 0
    assert facts.last_tool == "submit"
    assert facts.not_captured == ("returned model", "times")
    assert reading.kinds == ("prompt", "tool_trace", "config_snapshot")
    assert reading.summary == "1 run, 5 steps, 5 tool calls"


def test_an_older_trajectory_has_no_configuration() -> None:
    reading = check(FLASH)
    assert reading.facts.tools == (
        ToolUse("strings", 2, 0),
        ToolUse("submit", 1, 0),
        ToolUse("unzip", 1, 0),
    )
    assert reading.facts.configs == reading.facts.models == ()
    assert reading.facts.not_captured == ("requested model", "returned model", "times")
    assert reading.kinds == ("prompt", "tool_trace")


def test_a_configuration_may_be_json_in_a_text() -> None:
    run = json.loads(SWE)
    run["replay_config"] = json.dumps(run["replay_config"])
    assert check(json.dumps(run).encode()).facts == check(SWE).facts
    run["replay_config"] = "{"
    assert check(json.dumps(run).encode()).facts.models == ()


# ATIF.


def test_a_trajectory_in_atif_names_agent_and_tools() -> None:
    reading = check(ATIF)
    facts = reading.facts
    assert facts.parser == facts.format == "atif"
    assert facts.sessions == ("harbor-openhands-hello-world",)
    assert facts.configs == (Config("agent", "openhands", "1.1.0"),)
    assert facts.tools == (ToolUse("finish", 1, 1), ToolUse("str_replace_editor", 1, 0))
    assert facts.not_captured == ("requested model", "returned model", "times")
    assert reading.summary == "1 run, 6 steps, 2 tool calls"


def test_models_times_and_subagents_of_atif_are_read() -> None:
    step = {
        "step_id": 1,
        "timestamp": "2026-04-20T10:00:01.500Z",
        "source": "agent",
        "message": "",
        "model_name": "gpt-4.1-mini",
        "tool_calls": [{"tool_call_id": "c", "function_name": "ask"}],
    }
    inner = {"agent": {"name": "b", "model_name": "gpt-4.1"}, "steps": [step, step, 7]}
    run = {
        "schema_version": "ATIF-v1.7",
        "agent": {"name": "a", "model_name": "gpt-4.1"},
        "steps": [{**step, "observation": {"results": [{"source_call_id": "c"}, {}, 7]}}],
        "subagent_trajectories": [inner, 7],
    }
    facts = check(json.dumps(run).encode()).facts
    assert facts.models == (
        Model("gpt-4.1", 2, 0, "floating"),
        Model("gpt-4.1-mini", 3, 0, "floating"),
    )
    assert facts.first == facts.last == "2026-04-20T10:00:01.500Z"
    assert facts.tools == (ToolUse("ask", 3, 2),)


def test_hostile_runs_are_left_out() -> None:
    runs: list[Any] = [
        {"task_id": {}, "reward": 0, "traj": [7, {"tool_calls": 7}]},
        {"trajectory": [7, {"action": 7}, {"action": " \n"}], "history": [7], "replay_config": 7},
        {"trajectory": [], "info": {}, "replay_config": {"agent": 7, "env": {"repo": [1]}}},
        {"schema_version": "ATIF-v1", "agent": 7, "steps": [{"observation": 7, "tool_calls": 7}]},
        {"schema_version": "ATIF-v1", "steps": 7, "subagent_trajectories": {}},
    ]
    for run in runs:
        assert check(json.dumps(run).encode()).facts.records == 1


def test_only_its_own_is_taken() -> None:
    for parser, data in ((TauBenchParser(), TAU), (SweAgentParser(), SWE), (AtifParser(), ATIF)):
        assert parser.detect(data, "x") is Confidence.CERTAIN
        assert parser.detect(data[: len(data) // 8], "x") >= Confidence.LIKELY
        assert parser.detect(b'{"task_id": 1, "trajectory": 2, "steps": []}', "x") is (
            Confidence.NONE
        )
