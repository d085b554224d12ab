"""Gzip around an item: seen through, and bounded; damage keeps what came before it."""

from __future__ import annotations

import gzip
import io
import json
import tracemalloc
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.parsers import HEAD_SIZE, Reading, choose, read_facts
from ingest.parsers.gunzip import RATIO_FREE, Unpacked, unpack_head

LINES = b"".join(json.dumps({"id": number}).encode() + b"\n" for number in range(5000))


class Drip(io.RawIOBase):
    """A stream that gives at most a few bytes a read."""

    def __init__(self, data: bytes, most: int) -> None:
        self._inner = io.BytesIO(data)
        self._most = most

    def read(self, size: int = -1) -> bytes:
        return self._inner.read(min(size, self._most))


def read(data: bytes, name: str = "file.gz") -> Reading:
    return read_facts(io.BytesIO(data), head=data[:HEAD_SIZE], name=name)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.binary(max_size=3000), min_size=1, max_size=4),
    st.integers(0, 600),
    st.sampled_from([1, 7, 1 << 20]),
)
def test_members_and_padding_unpack_to_what_was_packed(
    members: list[bytes], padding: int, most: int
) -> None:
    packed = b"".join(gzip.compress(member) for member in members) + bytes(padding)
    stream = Unpacked(Drip(packed, most))
    assert io.BufferedReader(stream, 64).read() == b"".join(members)
    assert stream.problems == []


def test_what_is_inside_decides() -> None:
    reading = read(gzip.compress(LINES))
    assert (reading.format_label, reading.summary) == ("JSON, gzip", "5,000 records")
    assert reading.facts.problems == ()
    for inside, label in ((b"", "empty"), (b"text\n", "text"), (b"\x00", "binary")):
        assert read(gzip.compress(inside)).format_label == f"{label}, gzip"
    twice = gzip.compress(gzip.compress(LINES))
    assert read(twice).format_label == "binary, gzip"
    assert choose(twice, "x").whole is False


def test_offsets_say_that_they_count_unpacked_bytes() -> None:
    facts = read(gzip.compress(LINES + b"{\n")).facts
    assert facts.bad_offsets == (len(LINES),)
    assert facts.problems[-1] == "gzip: the offsets of bad records count unpacked bytes"


def test_a_cut_keeps_what_came_before_it() -> None:
    packed = gzip.compress(LINES)
    for cut in range(20, len(packed), 499):
        facts = read(packed[:cut]).facts
        assert facts.format in ("json", "text", "binary")
        if facts.format == "json":
            assert facts.problems[0] == "gzip: cut off"
            assert facts.records <= 5000
    facts = read(packed[:-1]).facts
    assert (facts.records, facts.bad_records, facts.problems) == (5000, 0, ("gzip: cut off",))


def test_a_wrong_check_sum_loses_nothing() -> None:
    packed = bytearray(gzip.compress(LINES))
    packed[-6] ^= 1
    facts = read(bytes(packed)).facts
    assert (facts.records, facts.bad_records) == (5000, 0)
    assert facts.problems == (f"gzip: damaged; {len(LINES)} unpacked bytes were read",)


def test_damage_is_found_at_the_same_place_however_it_is_read() -> None:
    packed = bytearray(gzip.compress(LINES, 1) * 3)
    packed[len(packed) // 2] ^= 0x55
    results = set()
    for most in (1, 100, 1 << 20):
        stream = Unpacked(Drip(bytes(packed), most))
        unpacked = io.BufferedReader(stream, 4096).read()
        assert (LINES * 3).startswith(unpacked[: len(LINES)])
        results.add((unpacked, tuple(stream.problems)))
    assert len(results) == 1


def test_other_bytes_behind_the_end_are_a_problem() -> None:
    facts = read(gzip.compress(LINES) + b"trailer").facts
    assert facts.records == 5000
    assert facts.problems == ("gzip: other bytes follow its end; they were not read",)


def bomb(size: int) -> bytes:
    packer = zlib.compressobj(9, wbits=31)
    block = b" " * (1 << 20)
    return b"".join(packer.compress(block) for _ in range(size >> 20)) + packer.flush()


@pytest.mark.slow
def test_a_bomb_is_given_up() -> None:
    packed = b"".join([gzip.compress(b'{"id":1}\n'), bomb(2 * RATIO_FREE), gzip.compress(b"{}")])
    tracemalloc.start()
    try:
        facts = read(packed).facts
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert facts.records == 1
    assert facts.problems[0].startswith("gzip: unpacks to more than 200 times its size; ")
    assert peak < 160 << 20


def test_the_limits_hold() -> None:
    packed = gzip.compress(LINES * 50)
    stream = Unpacked(io.BytesIO(packed), size_limit=1 << 20)
    assert 1 << 20 < len(io.BufferedReader(stream).read()) <= (1 << 20) + (256 << 10)
    assert stream.problems == ["gzip: unpacks to more than 1048576 bytes; read until there"]
    stream = Unpacked(io.BytesIO(packed), ratio_limit=3, ratio_free=1000)
    assert len(io.BufferedReader(stream).read()) < len(LINES) * 50
    assert stream.problems[0].startswith("gzip: unpacks to more than 3 times its size")


@pytest.mark.parametrize(
    "head", [b"\x1f\x8b\x08", b"\x1f\x8b\x08\x00" + bytes(6), b"\x1f\x8b\x08\xff" + b"\xff" * 50]
)
def test_what_unpacks_to_nothing_is_not_gzip(head: bytes) -> None:
    assert unpack_head(head, 100) is None
    assert read(head).format_label == "binary"


def test_the_head_is_unpacked_no_further_than_asked() -> None:
    assert unpack_head(gzip.compress(LINES), 100) == LINES[:100]
    packed = bytearray(gzip.compress(LINES))
    packed[-1] ^= 1
    assert unpack_head(bytes(packed), 1000) == LINES[:1000]
