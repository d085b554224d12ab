"""Every parser under every damage: facts come back, the same each time, never a traceback."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from damage import (
    FALSE_NAMES,
    check,
    cut,
    flipped,
    is_packed,
    packed,
    read,
    with_mark,
    with_returns,
)
from samples import PATTERNS, paths_of, samples

from ingest.parsers import BUILT_IN, HEAD_SIZE, read_facts

SAMPLES = samples()
each_sample = pytest.mark.parametrize(
    ("parser", "name", "data"),
    SAMPLES,
    ids=[f"{parser}-{name[-24:]}" for parser, name, _ in SAMPLES],
)


class Dribble(io.RawIOBase):
    """A stream that gives a few bytes at a time, as a pipe does."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        return self._data.read(min(size, 997) if size >= 0 else size)


def test_every_parser_has_samples_and_every_line_of_the_table_a_parser() -> None:
    assert {parser for parser, _, _ in SAMPLES} == {parser.name for parser in BUILT_IN}
    for parser in PATTERNS:
        assert paths_of(parser), parser


@each_sample
def test_a_sample_is_read_by_its_parser_alike_each_time(
    parser: str, name: str, data: bytes
) -> None:
    reading = check(data, name)
    assert reading.facts.parser == parser
    assert read(data, name) == reading
    assert set(reading.kinds) <= {
        kind for each in BUILT_IN if each.name == parser for kind in each.kinds
    }
    dribbled = read_facts(Dribble(data), head=data[:HEAD_SIZE], name=name)  # type: ignore[arg-type]
    assert dribbled == reading


@each_sample
def test_a_sample_cut_anywhere_gives_facts(parser: str, name: str, data: bytes) -> None:
    whole = read(data, name).facts
    for number, part in enumerate(cut(data)):
        reading = check(part, name)
        if number % 10 == 5:
            assert read(part, name) == reading
        if reading.facts.parser == whole.parser == parser and parser in PATTERNS:
            assert reading.facts.records <= whole.records + whole.bad_records


@each_sample
def test_a_sample_cut_in_the_middle_is_not_read_as_whole(
    parser: str, name: str, data: bytes
) -> None:
    if parser in PATTERNS:
        whole, half = read(data, name).facts, read(data[: len(data) // 2], name).facts
        assert half.records < whole.records or half.bad_records or half.problems


@pytest.mark.slow
@each_sample
def test_a_sample_with_a_flipped_bit_gives_facts(parser: str, name: str, data: bytes) -> None:
    for number, broken in enumerate(flipped(data, seed=f"{parser}/{name}")):
        reading = check(broken, name)
        if number % 50 == 0:
            assert read(broken, name) == reading


@each_sample
def test_a_sample_under_a_false_name_reads_alike(parser: str, name: str, data: bytes) -> None:
    readings = [check(data, false) for false in FALSE_NAMES]
    assert all(reading == readings[0] for reading in readings)
    assert readings[0].facts.parser == parser


@each_sample
def test_a_packed_sample_gives_the_same_facts(parser: str, name: str, data: bytes) -> None:
    plain, inside = read(data, name), check(packed(data), f"{name}.gz")
    if is_packed(data):
        assert inside.facts.parser == "binary"
        return
    told = ("gzip: the offsets of bad records count unpacked bytes",)
    problems = plain.facts.problems + (told if plain.facts.bad_offsets else ())
    assert inside.facts == replace(plain.facts, problems=problems)
    assert inside.format_label == f"{plain.format_label}, gzip"


@each_sample
def test_a_byte_order_mark_or_other_line_ends_hide_no_record(
    parser: str, name: str, data: bytes
) -> None:
    changed = [check(with_mark(data), name), check(with_returns(data), name)]
    try:
        data.decode()
    except UnicodeDecodeError:
        return
    plain = read(data, name)
    for reading in changed:
        if parser in PATTERNS:
            facts = replace(reading.facts, bad_offsets=plain.facts.bad_offsets)
            assert replace(reading, facts=facts) == plain
