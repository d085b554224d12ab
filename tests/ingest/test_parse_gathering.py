"""Gathered facts: the same in any order, small whatever comes, and nothing of the wrong type."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.parsers.bounded import FACTS_LIMIT, Ranked, within_limit
from ingest.parsers.gathering import Gathered, _Calls
from ingest.parsers.generic import JsonParser
from ingest.parsers.models import exactness
from ingest.parsers.severity import normalised
from verify.facts import (
    CAP,
    Activity,
    Approval,
    Config,
    Decision,
    Facts,
    Finding,
    Model,
    Permission,
    Rollback,
    ToolUse,
)
from verify.strictjson import dumps, load_object

PARSER = JsonParser()
WORD = st.sampled_from(["a", "b", "c"])
ANY = WORD | st.none() | st.integers(-5, 5) | st.booleans() | st.lists(WORD, max_size=1)
WHEN = st.sampled_from(["2026-01-01T00:00:00Z", "2026-01-01T00:05:00.5Z", "2026-01-01", 7, "x"])
STEPS = st.one_of(
    st.tuples(st.just("time"), WHEN),
    st.tuples(st.just("principals"), ANY),
    st.tuples(st.just("activity"), ANY, WHEN),
    st.tuples(st.just("model"), ANY, ANY),
    st.tuples(st.just("span"), ANY, ANY, ANY),
    st.tuples(st.just("finding"), ANY, ANY, WHEN),
    st.tuples(st.just("permission"), ANY, ANY, ANY),
    st.tuples(st.just("approval"), ANY, st.sampled_from(["approved", "perhaps"]), ANY),
    st.tuples(st.just("record"), ANY),
    st.tuples(st.just("problem"), WORD),
)


def gathered(steps: list[tuple[Any, ...]], cap: int = CAP) -> Facts:
    """The facts of these steps."""
    g = Gathered(gaps=True, cap=cap)
    for name, *values in steps:
        match name:
            case "time":
                g.time(values[0])
            case "principals":
                g.add("principals", *values)
            case "activity":
                g.activity(values[0], g.time(values[1]))
            case "model":
                g.model(requested=values[0], returned=values[1])
            case "span":
                g.span(*values)
            case "finding":
                g.finding(values[0], values[1], time=g.time(values[2]), severity=values[0])
            case "permission":
                g.keep(Permission(values[0], values[1], values[2]))
            case "approval":
                g.keep(Approval(values[0], values[1], values[2]))
            case "record":
                g.record(values[0])
            case "problem":
                g.count_problem("thing", values[0])
                g.problem(values[0])
    return g.facts(PARSER)


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(st.lists(STEPS, max_size=25), st.randoms(), st.sampled_from([1, 2, CAP]))
def test_facts_do_not_depend_on_the_order_of_records(
    steps: list[tuple[Any, ...]], chance: Any, cap: int
) -> None:
    before = gathered(steps, cap)
    text = dumps(before.to_json())
    assert Facts.from_json(load_object(text, where="facts"), where="facts") == before
    chance.shuffle(steps)
    assert gathered(steps, cap) == before


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(WORD, st.integers(0, 6)), max_size=12), st.randoms())
def test_calls_and_results_meet_in_any_order(ids: list[tuple[str, int]], chance: Any) -> None:
    calls = {identity: tool for tool, identity in ids}
    steps = [("call", identity) for identity in calls] + [("result", each) for each in range(3)]
    chance.shuffle(steps)
    g = Gathered()
    for step, identity in steps:
        if step == "call":
            g.call(calls[identity], f"id{identity}")
        else:
            g.result(f"id{identity}")
    facts = g.facts(PARSER)
    unfinished = [identity for identity in calls if identity >= 3]
    assert facts.unfinished_calls == len(unfinished)
    assert facts.tools == tuple(
        ToolUse(
            tool,
            sum(each == tool for each in calls.values()),
            sum(calls[each] == tool for each in unfinished),
        )
        for tool in sorted(set(calls.values()))
    )
    strays = sum(each not in calls for each in range(3))
    assert any("without a call" in each for each in facts.problems) == bool(strays)


def test_what_is_gathered_is_what_the_facts_say() -> None:
    g = Gathered(gaps=True)
    g.record("one")
    g.record("one")
    early, late = g.time("2026-01-01T10:00:00+01:00"), g.time("2026-01-01T09:10:00.25Z")
    g.time("2026-01-01 08:00:00")
    g.time("yesterday")
    g.activity("ada", early)
    g.activity("ada", late)
    g.activity("bob", None)
    g.model(requested="gpt-4o", returned="gpt-4o-2024-05-13")
    g.model(requested="gpt-4o")
    g.span("t", "1")
    g.span("t", "2", "1")
    g.span("t", "3", "9")
    g.span("t", "4", "0000000000000000")
    g.call("mail", "c1", late)
    g.call("read", "c2", early)
    g.result("c2")
    g.decision("denied")
    g.finding("dlp", "secret", time=late, severity=8.5, scale="guardduty", disposition="blocked")
    g.finding("dlp", "secret", time=late, severity=8.5, scale="guardduty", disposition="blocked")
    g.keep(
        Approval("deploy", "approved", "ada", at=late),  # type: ignore[arg-type]
        Rollback("web", "strange", from_="v2", to="v1", direction="back"),
        Config("prompt", "system", digest="ab"),
        Config("prompt", "system", digest="ab"),
        Config(None, "nameless"),  # type: ignore[arg-type]
        Approval("deploy", "perhaps"),
    )
    assert g.facts(PARSER, "form") == Facts(
        "json",
        1,
        "form",
        records=2,
        clock="mixed",
        time_unit="text",
        precision="ms",
        first="2026-01-01T09:00:00Z",
        last="2026-01-01T09:10:00.250Z",
        raw_first="2026-01-01T10:00:00+01:00",
        raw_last="2026-01-01T09:10:00.25Z",
        gaps=g.facts(PARSER).gaps,
        principals=("ada", "bob"),
        activities=(Activity("ada", "2026-01-01T09:00:00Z", "2026-01-01T09:10:00.250Z", 2),),
        decisions=(Decision("denied", 1),),
        traces=("t",),
        spans=4,
        unresolved_parents=1,
        models=(Model("gpt-4o", 2, 0, "floating"), Model("gpt-4o-2024-05-13", 0, 1, "exact")),
        tools=(ToolUse("mail", 1, 1), ToolUse("read", 1, 0)),
        unfinished_calls=1,
        last_tool="mail",
        findings=(
            Finding("dlp", "secret", 2, "2026-01-01T09:10:00.250Z", "blocked", "8.5", "high"),
        ),
        approvals=(Approval("deploy", "approved", "ada", at="2026-01-01T09:10:00.250Z"),),
        rollbacks=(Rollback("web", "unknown", "back", "v2", "v1"),),
        configs=(Config("prompt", "system", digest="ab"),),
        problems=(
            "1 duplicate record",
            "1 time that cannot be read",
            "1 time without a zone",
        ),
    )
    assert [gap.seconds for gap in g.facts(PARSER).gaps] == [600]


def test_the_smallest_keys_are_kept_with_all_their_counts() -> None:
    ranked: Ranked[int] = Ranked(lambda one, other: one + other, 3)
    for number in [*range(50), *range(50)]:
        ranked.add((f"{number:02}", None), 1)
    assert [(key[0], count) for key, count in ranked.sorted()] == [("00", 2), ("01", 2), ("02", 2)]
    assert ranked.overflowed


def test_more_open_calls_than_are_followed_claim_nothing() -> None:
    calls = _Calls(most=3)
    for number in range(5):
        calls.open("t", str(number))
    assert calls.overflowed
    assert not calls.unfinished()


def test_facts_stay_within_their_limit_and_say_what_was_cut() -> None:
    wide = tuple(f"{number:03}" + "é" * 290 for number in range(CAP))
    facts = Facts("p", 1, "f", runs=wide, traces=wide, sessions=wide, accounts=("one",))
    small = within_limit(facts)
    assert len(dumps(small.to_json())) <= FACTS_LIMIT
    assert small.accounts == ("one",)
    assert set(small.capped) <= {"runs", "sessions", "traces"}
    assert small.runs == facts.runs[: len(small.runs)]
    assert within_limit(small) is small


@pytest.mark.parametrize(
    ("name", "exact"),
    [
        ("gpt-4o-2024-05-13", "exact"),
        ("gpt-4-0613", "exact"),
        ("claude-sonnet-4-20250514", "exact"),
        ("anthropic.claude-3-sonnet-20240229-v1:0", "exact"),
        ("claude-3-5-sonnet@20241022", "exact"),
        ("gemini-1.5-pro-002", "exact"),
        ("amazon.nova-pro-v1:0", "exact"),
        ("openai/gpt-4o-mini-2024-07-18", "exact"),
        (
            "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-haiku-20240307-v1:0",
            "exact",
        ),
        ("us.anthropic.claude-3-7-sonnet-20250219-v1:0", "floating"),
        ("arn:aws:bedrock:us-east-1:1:inference-profile/us.anthropic.claude-x", "floating"),
        ("gpt-4o", "floating"),
        ("gpt-4", "floating"),
        ("o3", "floating"),
        ("claude-3-5-sonnet-latest", "floating"),
        ("models/gemini-2.0-flash", "floating"),
        ("my-deployment", "unknown"),
        ("llama-3-8b", "unknown"),
        ("", "unknown"),
        ("a" * 100_000, "unknown"),
    ],
)
def test_a_model_is_exact_only_where_its_name_says_a_version(name: str, exact: str) -> None:
    assert exactness(name) == exact


@pytest.mark.parametrize(
    ("value", "scale", "norm"),
    [
        ("High", "words", "high"),
        ("SEV-1", "words", "critical"),
        ("P2", "words", "high"),
        ("Highest", "words", "critical"),
        (5, "words", "unknown"),
        (4, "ocsf", "high"),
        (99, "ocsf", "unknown"),
        ("Informational", "ocsf", "info"),
        ("warning", "sarif", "medium"),
        (8.0, "guardduty", "high"),
        (3.9, "guardduty", "low"),
        (3, "macie", "high"),
        ("3.0", "macie", "high"),
        ("low", "pagerduty", "low"),
        ("1 - Critical", "servicenow_priority", "critical"),
        ("1", "servicenow_severity", "high"),
        (0, "asff", "info"),
        (90, "asff", "critical"),
        (9.8, "cvss", "critical"),
        (True, "ocsf", "unknown"),
        ({}, "words", "unknown"),
        ("-1", "cvss", "unknown"),
        ("1e300", "cvss", "unknown"),
    ],
)
def test_severities_of_all_scales_come_to_one(value: object, scale: Any, norm: str) -> None:
    assert normalised(value, scale) == norm
