"""Damage to CloudTrail and AgentDojo invents nothing; hostile JSON of any kind gives facts."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from damage import check, read
from hypothesis import given, settings
from hypothesis import strategies as st

SAMPLES = Path(__file__).parents[1] / "data"
PATHS = sorted(SAMPLES.glob("agentdojo/*")) + sorted(SAMPLES.glob("cloudtrail/*"))
each_sample = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name[-24:])


@each_sample
def test_a_sample_cut_anywhere_gives_no_more_than_the_whole(path: Path) -> None:
    data = path.read_bytes()
    whole = read(data, path.name).facts
    for fiftieth in range(51):
        facts = check(data[: len(data) * fiftieth // 50], path.name).facts
        assert facts.records <= max(whole.records, facts.records if facts.format == "text" else 0)
        if facts.format == whole.format and facts.parser != "binary":
            assert set(facts.principals) <= set(whole.principals)
            assert set(facts.actions) <= set(whole.actions)


@each_sample
def test_a_flipped_bit_makes_no_records(path: Path) -> None:
    data = path.read_bytes()
    whole = read(data, path.name).facts
    chance = random.Random(path.name)
    for _ in range(200):
        broken = bytearray(data)
        place = chance.randrange(len(broken))
        broken[place] ^= 1 << chance.randrange(8)
        facts = check(bytes(broken), path.name).facts
        # One bit cannot make records appear; a CloudTrail record can be split, and then one is bad.
        if facts.format == whole.format == "cloudtrail":
            assert facts.records <= whole.records
            assert facts.records + facts.bad_records >= 1


TOKENS = rb"""
{ } [ ] , : " \ 1 - e9 null "Records" "messages" "eventVersion" "eventName" "eventSource"
"eventTime":"2026-01-01T00:00:00Z" "userIdentity" "role":"tool" "content" "suite_name":1
"pipeline_name":"p" "CloudTrailEvent":"{}" {"eventVersion":1,"eventName":2} \ud800
""".split()
RAW = [b" ", b"\n", b"\x00", b"\xff", b"\xef\xbb\xbf", b"\xf0\x9f\x98\x80"]
JSON_BYTES = st.lists(st.sampled_from([*TOKENS, *RAW]), max_size=40).map(b"".join)


@settings(max_examples=400, deadline=None)
@given(JSON_BYTES | st.binary(max_size=200))
def test_any_bytes_give_facts(data: bytes) -> None:
    check(data)


@settings(max_examples=250, deadline=None)
@given(JSON_BYTES, JSON_BYTES)
def test_any_damage_inside_a_known_format_gives_facts(left: bytes, right: bytes) -> None:
    event = b'{"eventVersion":"1","eventName":"n","eventSource":"s","eventTime":"t","eventID":"i"}'
    check(b'{"Records":[' + event + b"," + left + b"," + event + right)
    check(event + b"\n" + left + b"\n" + event + b"\n" + right)
    message = b'{"role":"assistant","content":"c","tool_calls":[{"function":"f","id":"1"}]}'
    head = b'{"suite_name":"s","pipeline_name":"p","messages":['
    check(head + message + b"," + left + b"," + message + right)
