"""Merged facts: the same in any order, sums that a naive count confirms, lists that stay capped."""

from __future__ import annotations

import io
import json
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.parsers import BUILT_IN, HEAD_SIZE, Reading, read_facts
from ingest.parsers.merging import merge
from ingest.parsers.times import rfc3339
from verify.facts import (
    CAP,
    DECISIONS,
    ENTRIES,
    Activity,
    Decision,
    Facts,
    Finding,
    Gap,
    Model,
    ToolUse,
)
from verify.strictjson import dumps, load_object

PARSER = BUILT_IN[-1]
NAMES = st.sampled_from(["a", "b", "c", "d"])
SOME = st.sets(NAMES).map(sorted)
DECIDED = st.sampled_from(DECISIONS)
TIMES = st.integers(0, 5000).map(lambda each: rfc3339(each * 500_000_000 + 10**18))
COUNTS = st.integers(0, 9)


@st.composite
def parts(draw: st.DrawFn) -> Reading:
    """The reading of some member, consistent as parsers make them."""
    clock = draw(st.sampled_from(["zoned", "none", "unzoned"]))
    times = sorted(draw(st.lists(TIMES, min_size=2, max_size=2)), key=moment)
    start = moment(times[0]) // 10**9 + 1
    gaps = ()
    if clock == "zoned" and moment(times[1]) // 10**9 - start > 70 and draw(st.booleans()):
        gaps = (Gap(rfc3339(start * 10**9), rfc3339((start + 65) * 10**9), 65),)
    facts = Facts(
        "p", 1, draw(NAMES),
        records=draw(COUNTS), bad_records=draw(COUNTS), spans=draw(COUNTS),
        clock=clock, time_unit=draw(st.sampled_from([None, "text", "ns"])),
        precision=draw(st.sampled_from([None, "s", "ms"])),
        first=times[0] if clock == "zoned" else None, last=times[1] if clock == "zoned" else None,
        raw_first=times[0] if clock != "none" else None,
        raw_last=times[1] if clock != "none" else None,
        gaps=gaps,
        principals=tuple(sorted(draw(st.sets(NAMES)))),
        models=tuple(Model(name, draw(COUNTS), draw(COUNTS)) for name in draw(SOME)),
        tools=tuple(ToolUse(name, 3, draw(st.integers(0, 3))) for name in draw(SOME)),
        decisions=tuple(Decision(word, 1) for word in sorted(draw(st.sets(DECIDED)))),
        activities=tuple(
            Activity(name, times[0], times[1], 1 + draw(COUNTS)) for name in draw(SOME)
        ),
        findings=tuple(
            Finding(name, "l", 1, draw(TIMES | st.none()), None) for name in draw(SOME)
        ),
        last_tool=draw(NAMES | st.none()),
        not_captured=tuple(sorted(draw(st.sets(NAMES)))),
        capped=tuple(sorted(draw(st.sets(st.sampled_from(["tools", "runs"]))))),
    )  # fmt: skip
    return Reading(facts, draw(st.sampled_from([("access_log",), ("prompt",)])), "f", "s")


def moment(text: str) -> int:
    from ingest.parsers.times import read_time

    time = read_time(text)
    assert time is not None
    return time.nanoseconds


def merged(readings: list[Reading]) -> Facts:
    return merge(readings, PARSER, "archive")


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(st.lists(parts(), max_size=6), st.randoms(use_true_random=False))
def test_the_order_of_parts_decides_nothing(readings: list[Reading], chance: Any) -> None:
    shuffled = list(readings)
    chance.shuffle(shuffled)
    facts = merged(readings)
    assert merged(shuffled) == facts
    assert Facts.from_json(load_object(dumps(facts.to_json()), where="f"), where="f") == facts


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(st.lists(parts(), min_size=1, max_size=6))
def test_what_is_merged_is_what_a_plain_count_gives(readings: list[Reading]) -> None:
    facts, several = merged(readings), [reading.facts for reading in readings]
    assert facts.records == sum(each.records for each in several)
    assert facts.bad_records == sum(each.bad_records for each in several)
    assert set(facts.principals) == {name for each in several for name in each.principals}
    for name in "abcd":
        asked = [model for each in several for model in each.models if model.name == name]
        got = [model for model in facts.models if model.name == name]
        assert len(got) == bool(asked)
        assert sum(model.requested for model in got) == sum(model.requested for model in asked)
        acted = [each for part in several for each in part.activities if each.principal == name]
        if acted:
            [one] = [each for each in facts.activities if each.principal == name]
            assert one.count == sum(each.count for each in acted)
            assert moment(one.first) == min(moment(each.first) for each in acted)
            assert moment(one.last) == max(moment(each.last) for each in acted)
    zoned = [each for each in several if each.first]
    if zoned:
        assert moment(facts.first or "") == min(moment(each.first or "") for each in zoned)
        assert moment(facts.last or "") == max(moment(each.last or "") for each in zoned)
    assert set(facts.capped) == {name for each in several for name in each.capped}
    for form in {each.format for each in several}:
        common = set.intersection(*(set(f.not_captured) for f in several if f.format == form))
        assert common <= set(facts.not_captured)


@settings(max_examples=100, deadline=None)
@given(parts())
def test_one_part_alone_stays_as_it_is(reading: Reading) -> None:
    facts = merged([reading])
    kept = {"parser", "version", "format", "gaps", "bad_offsets"}
    for field in fields(Facts):
        if field.name not in kept:
            assert getattr(facts, field.name) == getattr(reading.facts, field.name), field.name
    assert facts.gaps == (reading.facts.gaps if "access_log" in reading.kinds else ())


def test_silences_are_those_of_all_logs_together() -> None:
    def log(first: int, last: int, kinds: tuple[str, ...] = ("access_log",)) -> Reading:
        ends = [rfc3339(each * 10**9) for each in (first, last)]
        facts = Facts("p", 1, "f", clock="zoned", first=ends[0], last=ends[1])
        return Reading(facts, kinds, "f", "s")

    apart = [log(1000, 1100), log(1160, 1200), log(1259, 1300), log(9000, 9999, ("prompt",))]
    assert [gap.seconds for gap in merged(apart).gaps] == [60]
    assert merged([*apart, log(1000, 1300)]).gaps == ()


def test_long_lists_are_cut_and_told() -> None:
    several = [
        Reading(
            Facts("p", 1, "f", principals=tuple(f"{i:03}" for i in range(start, start + CAP))),
            ("prompt",), "f", "s",
        )
        for start in (0, 150)
    ]  # fmt: skip
    facts = merged(several)
    assert facts.principals == tuple(f"{i:03}" for i in range(CAP))
    assert facts.capped == ("principals",)
    many = [
        replace(each, facts=replace(each.facts, problems=(f"{n}",), principals=()))
        for n in range(CAP + 1)
        for each in several[:1]
    ]
    assert merged(many).capped == ("problems",)


def test_every_field_of_the_facts_is_thought_of() -> None:
    """A field that merging forgot would be dropped in silence."""
    text, number = "2026-01-31T09:30:00Z", 3
    full: dict[str, Any] = {}
    for field in fields(Facts):
        if field.name in ENTRIES:
            entry = ENTRIES[field.name]
            values = {
                each.name: (each.metadata["words"][0] if "words" in each.metadata else text)
                if each.type != "int" else number
                for each in fields(entry)
            }  # fmt: skip
            full[field.name] = (entry(**values),)
        elif field.type == "int":
            full[field.name] = number
        elif field.type == "tuple[int, ...]":
            full[field.name] = (number,)
        elif field.type == "tuple[str, ...]":
            full[field.name] = (text,)
        else:
            full[field.name] = field.metadata["words"][0] if field.metadata else text
    facts = Facts(**(full | {"gaps": (Gap(text, text, number),)}))
    said = merged([Reading(facts, ("access_log",), "f", "s")])
    for field in fields(Facts):
        if field.name not in ("bad_offsets", "gaps"):
            assert getattr(said, field.name), field.name


def test_a_list_of_events_in_parts_merges_to_the_whole() -> None:
    def event(number: int) -> dict[str, Any]:
        return {
            "eventVersion": "1", "eventName": f"Get{number % 3}", "eventSource": "s3.amazonaws.com",
            "eventTime": f"2026-01-31T09:{number:02}:00Z", "eventID": str(number),
            "userIdentity": {"type": "IAMUser", "arn": f"arn:aws:iam::1:user/{number % 2}"},
        }  # fmt: skip

    def reading(numbers: range) -> Reading:
        data = json.dumps({"Records": [event(number) for number in numbers]}).encode()
        return read_facts(io.BytesIO(data), head=data[:HEAD_SIZE], name="x")

    whole, several = reading(range(40)), [reading(range(15)), reading(range(15, 40))]
    facts = merge(several, PARSER, "cloudtrail")
    assert replace(facts, parser="cloudtrail", version=whole.facts.version) == whole.facts
