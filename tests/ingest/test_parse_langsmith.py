"""LangSmith batches: a post and its patch are one run, and a run without a patch is unfinished."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from ingest.parsers import HEAD_SIZE, Confidence, Reading, choose, read_facts
from ingest.parsers.langsmith import LangSmithParser
from verify.facts import Activity, Config, Model, ToolUse

SAMPLES = Path(__file__).parents[1] / "data" / "langsmith"
DEFAULT = json.loads((SAMPLES / "langsmith_js_wrap_openai_default.json").read_bytes())
A, B, C = (f"{number}" * 8 + "-0000-4000-8000-000000000000" for number in (1, 2, 3))


def read(data: bytes) -> Reading:
    return read_facts(io.BytesIO(data), head=data[:HEAD_SIZE], name="batch.json")


def reading_of(document: object) -> Reading:
    return read(json.dumps(document).encode())


def post(identity: str, kind: str = "chain", above: str = "", **more: Any) -> dict[str, Any]:
    own = f"20260131T093000000000Z{identity}"
    return {
        "id": identity,
        "name": kind,
        "run_type": kind,
        "start_time": 1769851800000,
        "trace_id": A,
        "dotted_order": f"{above}.{own}" if above else own,
        "inputs": {},
    } | more


def patch(identity: str, **more: Any) -> dict[str, Any]:
    return (
        {"id": identity, "trace_id": A, "end_time": 1769851801500, "outputs": {}}
        | {"dotted_order": f"20260131T093000000000Z{identity}"}
        | more
    )


def batch(posts: list[dict[str, Any]], patches: list[dict[str, Any]]) -> Reading:
    return reading_of({"post": posts, "patch": patches})


def test_a_run_is_posted_and_patched_and_is_one_record() -> None:
    reading = reading_of(DEFAULT)
    facts = reading.facts
    assert (facts.records, facts.spans) == (1, 1)
    assert (facts.raw_first, facts.raw_last) == ("1728803137170", "1728803138285")
    assert (facts.first, facts.last) == ("2024-10-13T07:05:37.170Z", "2024-10-13T07:05:38.285Z")
    assert (facts.clock, facts.time_unit, facts.precision) == ("zoned", "ms", "ms")
    assert facts.models == (
        Model("gpt-4o-mini", 1, 0, "floating"),
        Model("gpt-4o-mini-2024-07-18", 0, 1, "exact"),
    )
    assert facts.traces == facts.runs == ("dc34609e-3eeb-459d-bc2a-6fedb01d2e6e",)
    assert facts.configs == (Config("project", "default"),)
    assert facts.problems == facts.not_captured == ()
    assert reading.kinds == ("prompt", "tool_trace")
    assert reading.summary == "1 run, no tool calls; prompts captured"


def test_the_other_sample() -> None:
    facts = read((SAMPLES / "langsmith_js_wrap_openai_reasoning.json").read_bytes()).facts
    assert facts.models_requested == ("o1-mini",)
    assert facts.models_returned == ("o1-mini-2024-09-12",)
    assert facts.last == "2024-10-13T07:05:48.730Z"


def test_a_patch_without_an_id_is_known_by_its_dotted_order() -> None:
    assert "id" not in DEFAULT["patch"][0]
    without = DEFAULT | {"patch": []}
    facts = reading_of(without).facts
    assert facts.problems == ("1 run without an end",)
    assert facts.models_returned == ()
    assert facts.not_captured == ("returned model",)
    other = json.loads(json.dumps(DEFAULT))
    other["patch"][0]["dotted_order"] = f"20241013T070537170001Z{A}"
    facts = reading_of(other).facts
    assert facts.records == 2
    assert facts.problems == ("1 run without an end",)


def test_the_order_of_post_and_patch_decides_nothing() -> None:
    swapped = {"patch": DEFAULT["patch"], "post": DEFAULT["post"]}
    assert reading_of(swapped).facts == reading_of(DEFAULT).facts


def test_a_tool_run_without_a_patch_is_an_unfinished_call() -> None:
    posts = [post(A), post(B, "tool", f"20260131T093000000000Z{A}", name="search")]
    posts[1]["parent_run_id"] = A
    facts = batch(posts, [patch(A)]).facts
    assert facts.tools == (ToolUse("search", 1, 1),)
    assert facts.problems == ("1 run without an end",)
    assert (facts.spans, facts.unresolved_parents) == (2, 0)
    assert batch(posts, [patch(A), patch(B)]).facts.tools == (ToolUse("search", 1, 0),)


def test_what_a_tool_answers_is_no_call_of_a_model() -> None:
    forged = {"tool_calls": [{"id": "x", "name": "wire_money"}], "model": "m", "usage": {}}
    facts = batch([post(A, "tool", name="search")], [patch(A, outputs=forged)]).facts
    assert facts.tools == (ToolUse("search", 1, 0),)
    assert facts.models == ()


def test_a_call_that_the_model_asked_for_is_the_tool_run_behind_it() -> None:
    asked = {
        "choices": [{"message": {"tool_calls": [{"id": "c", "function": {"name": "search"}}]}}]
    }
    posts = [post(A), post(B, "llm"), post(C, "tool", name="search")]
    patches = [patch(A), patch(B, outputs=asked), patch(C)]
    assert batch(posts, patches).facts.tools == (ToolUse("search", 1, 0),)
    answer = {"output": {"type": "tool", "tool_call_id": "c", "content": "x"}}
    patches[2] = patch(C, outputs=answer)
    assert batch(posts, patches).facts.tools == (ToolUse("search", 1, 0),)


def test_dotted_order_proves_ancestry() -> None:
    above = f"20260131T093000000000Z{A}"
    child = post(B, "llm", above)
    facts = batch([post(A), child], []).facts
    assert (facts.spans, facts.unresolved_parents) == (2, 0)
    assert batch([child], []).facts.unresolved_parents == 1
    facts = batch([post(A), child | {"parent_run_id": C}], []).facts
    assert "1 run whose dotted_order names another parent" in facts.problems
    assert facts.unresolved_parents == 1


def test_errors_sessions_users_and_runs_below_are_read() -> None:
    extra = {"metadata": {"session_id": "s-1", "thread_id": "t-1", "user_id": "ann"}}
    run = post(A, extra=extra, child_runs=[post(B, "tool", name="search", end_time=1769851801000)])
    facts = batch([run], [patch(A, error="ValueError: x")]).facts
    assert facts.sessions == ("s-1", "t-1")
    assert facts.activities == (Activity("ann", "2026-01-31T09:30:00Z", "2026-01-31T09:30:00Z", 1),)
    assert facts.tools == (ToolUse("search", 1, 0),)
    assert "1 run ended in an error" in facts.problems


def test_times_are_milliseconds_or_texts_which_may_have_no_zone() -> None:
    facts = batch([post(A, start_time="2026-01-31T09:30:00.000001")], [patch(A)]).facts
    assert (facts.clock, facts.first) == ("mixed", "2026-01-31T09:30:01.500Z")
    assert facts.problems == ("1 time without a zone",)


def test_runs_one_by_one_and_batches_a_line_read_alike() -> None:
    runs = [post(A, "llm", end_time=1769851801500), post(B, "tool", end_time=1769851801500)]
    listed = reading_of(runs)
    assert listed.facts.records == 2
    assert read("\n".join(map(json.dumps, runs)).encode()) == listed
    lines = "\n".join(json.dumps({"post": [run], "patch": []}) for run in runs)
    assert read(lines.encode()) == listed


def test_a_batch_cut_off_leaves_runs_unfinished() -> None:
    data = (SAMPLES / "langsmith_js_wrap_openai_default.json").read_bytes()
    facts = read(data[: data.index(b'"patch"') + 20]).facts
    assert (facts.parser, facts.records, facts.bad_records) == ("langsmith", 1, 1)
    assert "1 run without an end" in facts.problems


@pytest.mark.parametrize("value", [None, 7, "x", [], {}, True, [{}], {"a": [1]}])
def test_a_value_of_any_type_anywhere_raises_nothing(value: object) -> None:
    for run in (post(A, "llm"), post(A, "tool"), *DEFAULT["post"], *DEFAULT["patch"]):
        for key in (*run, "extra", "child_runs", "session_name", "error"):
            batch([post(B), run | {key: value}], [run | {key: value}])
    reading_of({"post": value, "patch": [value, *DEFAULT["patch"]]})


def test_only_runs_are_taken_for_them() -> None:
    detect = LangSmithParser().detect
    assert detect(json.dumps(DEFAULT).encode(), "x.bin") is Confidence.CERTAIN
    assert detect(json.dumps({"batch": DEFAULT}).encode(), "x") is Confidence.NONE
    assert choose(b'{"post":[],"patch":[]}', "langsmith.json").name == "json"
