"""Tool calls seen from several sides: each counts once, whatever comes first."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.parsers.agentdojo import AgentDojoParser
from ingest.parsers.gathering import Gathered
from ingest.parsers.tool_calls import ToolCalls
from verify.facts import Facts

Step = tuple[str, str, str, str, bool]


def facts_of(*steps: Callable[[ToolCalls], None], most: int = 1000) -> Facts:
    calls, gathered = ToolCalls(most), Gathered()
    for step in steps:
        step(calls)
    calls.hand_over(gathered)
    return gathered.facts(AgentDojoParser())


def counts(facts: Facts) -> dict[str, tuple[int, int]]:
    return {tool.name: (tool.calls, tool.unfinished) for tool in facts.tools}


def take(calls: ToolCalls, step: Step) -> None:
    what, tool, trace, identity, ended = step
    if what == "span":
        calls.span(tool, trace=trace, span=f"{tool}{identity}", ended=ended)
    elif what == "span with id":
        calls.span(tool, trace=trace, span="s", identity=f"{tool}{identity}", ended=ended)
    elif what == "asked":
        calls.asked(tool, trace=trace, identity=f"{tool}{identity}")
    elif what == "asked without id":
        calls.asked(tool, trace=trace, identity=None)
    elif what == "repeated":
        calls.repeated(tool, trace=trace, identity=f"{tool}{identity}")
    elif what == "answered":
        calls.answered(f"{tool}{identity}", trace=trace)
    else:
        calls.answered_without_id(tool, trace=trace, count=len(identity))


STEPS = st.tuples(
    st.sampled_from(
        ("span", "span with id", "asked", "asked without id", "repeated", "answered", "results")
    ),
    st.sampled_from("ab"),
    st.just("t"),
    st.sampled_from(("1", "22", "333")),
    st.booleans(),
)


@pytest.mark.slow
@settings(max_examples=200)
@given(
    st.lists(STEPS, max_size=12).flatmap(
        lambda all_: st.tuples(st.just(all_), st.permutations(all_))
    )
)
def test_the_order_decides_nothing(both: tuple[list[Step], list[Step]]) -> None:
    one, other = (
        facts_of(*(lambda calls, step=step: take(calls, step) for step in steps)) for steps in both
    )
    assert counts(one) == counts(other)
    assert one.problems == other.problems
    assert all(tool.unfinished <= tool.calls for tool in one.tools)


def test_the_same_side_twice_is_one_call() -> None:
    facts = facts_of(
        lambda calls: calls.span("a", trace="t", span="1", ended=False),
        lambda calls: calls.span("a", trace="t", span="1", ended=True),
        lambda calls: calls.asked("b", trace="t", identity="i"),
        lambda calls: calls.asked("b", trace="u", identity="i"),
    )
    assert counts(facts) == {"a": (1, 0), "b": (1, 1)}


def test_a_later_trace_repeats_a_call_of_an_earlier_one() -> None:
    steps = (
        lambda calls: calls.repeated("a", trace="later", identity="i"),
        lambda calls: calls.asked("a", trace="first", identity="i"),
        lambda calls: calls.span("a", trace="first", span="s", ended=True),
    )
    assert counts(facts_of(*steps)) == counts(facts_of(*reversed(steps))) == {"a": (1, 0)}


def test_a_tool_named_by_one_side_only_has_that_name() -> None:
    facts = facts_of(
        lambda calls: calls.answered("i", trace="t"),
        lambda calls: calls.asked(None, trace="t", identity="i"),
        lambda calls: calls.span("a", trace="t", span="s", identity="i", ended=True),
        lambda calls: calls.asked({"x": 1}, trace="t", identity=None),
    )
    assert counts(facts) == {"(unnamed)": (1, 1), "a": (1, 0)}


def test_too_many_calls_are_told() -> None:
    many = [
        (lambda calls, n=n: calls.asked(f"tool {n}", trace=f"t{n}", identity=str(n)))
        for n in range(20)
    ]
    facts = facts_of(*many, most=10)
    assert sum(tool.calls for tool in facts.tools) <= 10
    assert facts.problems == ("more tool calls than are told apart; the counts are too low",)
