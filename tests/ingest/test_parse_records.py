"""Records out of byte streams: every shape, every cut, exact offsets, damage that is counted."""

from __future__ import annotations

import io
import json
import sys
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.parsers.records import (
    CUT_OFF,
    MAX_DEPTH,
    NOT_JSON,
    NOT_UTF8,
    RECORD_LIMIT,
    TOO_DEEP,
    TOO_LARGE,
    RecordReader,
    Shape,
    parse_embedded,
    shape_of,
)

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=12),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=6), inner, max_size=4)
    ),
    max_leaves=12,
)
SPACE = st.sampled_from(["", " ", "\n", "\r\n", " \t\n  "])
GAP = st.sampled_from([" ", "\n", "\r\n", "\n\n\t"])
CHUNKS = st.sampled_from([1, 2, 3, 7, 16, 61, 4096, 65536])
BOM = b"\xef\xbb\xbf"


class Drip(io.RawIOBase):
    """A stream that gives what it likes, as sockets and pipes do."""

    def __init__(self, data: bytes, most: int) -> None:
        self._inner = io.BytesIO(data)
        self._most = most

    def read(self, size: int = -1) -> bytes:
        return self._inner.read(min(size, self._most))


def recognised(value: Any) -> bool:
    return isinstance(value, dict) and "id" in value


def read(data: bytes, shape: Shape, **options: Any) -> tuple[list[tuple[int, Any]], RecordReader]:
    reader = RecordReader(io.BytesIO(data), shape=shape, **options)
    return list(reader), reader


@st.composite
def laid_out(draw: st.DrawFn) -> tuple[Shape, bytes, list[tuple[int, Any]]]:
    """A file of some shape, and the records and offsets that it is built from."""
    shape = draw(st.sampled_from(list(Shape)))
    values = draw(st.lists(VALUES, max_size=6))
    ascii_only = draw(st.booleans())
    indent = None if shape is Shape.LINES else draw(st.sampled_from([None, 2]))
    data = bytearray(draw(st.sampled_from([b"", BOM])))
    expected: list[tuple[int, Any]] = []

    def space(choice: st.SearchStrategy[str] = SPACE) -> None:
        data.extend(draw(choice).encode())

    def put(value: Any) -> None:
        expected.append((len(data), value))
        data.extend(json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode())

    if shape is Shape.KEYED:
        data.extend(b'{"before": {"Records": [1]}, "Records":')
        space()
    if shape in (Shape.LIST, Shape.KEYED):
        data.extend(b"[")
        space()
        for number, value in enumerate(values):
            if number:
                data.extend(b",")
                space()
            put(value)
            space()
        data.extend(b"]")
        space()
    else:
        for value in values:
            put(value)
            space(st.sampled_from(["\n", "\r\n", " \n", "\n\n"]) if indent is None else GAP)
    if shape is Shape.KEYED:
        data.extend(b', "after": [{}]}\n')
    return shape, bytes(data), expected


@pytest.mark.slow
@settings(max_examples=250, deadline=None)
@given(laid_out(), CHUNKS, st.sampled_from([1, 5, 1 << 20]))
def test_every_record_comes_back_at_its_offset_however_it_is_read(
    file: tuple[Shape, bytes, list[tuple[int, Any]]], chunk_size: int, most: int
) -> None:
    shape, data, expected = file
    reader = RecordReader(Drip(data, most), shape=shape, keys=("Records",), chunk_size=chunk_size)
    assert list(reader) == expected
    assert (reader.bad, reader.problems()) == (0, ())


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(
    laid_out(),
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=3),
    CHUNKS,
    st.booleans(),
)
def test_what_damage_costs_does_not_depend_on_how_the_file_is_read(
    file: tuple[Shape, bytes, list[tuple[int, Any]]],
    blows: list[tuple[int, int]],
    chunk_size: int,
    resumes: bool,
) -> None:
    shape, data, _ = file
    broken = bytearray(data or b" ")
    for place, byte in blows:
        broken[place % len(broken)] = byte
    results = []
    for size in (chunk_size, 65536):
        found, reader = read(
            bytes(broken),
            shape,
            keys=("Records",),
            chunk_size=size,
            resumes_at=(lambda value: isinstance(value, dict)) if resumes else None,
        )
        results.append((repr(found), reader.bad, reader.bad_offsets, reader.problems()))
    assert results[0] == results[1]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.dictionaries(st.text(max_size=5), SCALARS, max_size=3), min_size=2), st.data())
def test_a_bad_line_is_one_bad_record_and_harms_no_other(
    values: list[dict[str, Any]], data: st.DataObject
) -> None:
    lines = [json.dumps(value).encode() for value in values]
    victim = data.draw(st.integers(0, len(lines) - 1))
    lines[victim] = data.draw(st.sampled_from([b"{", b'{"a": tru}', b"}", b"\x00", b'{"a":"\t"}']))
    found, reader = read(b"\n".join(lines) + b"\n", Shape.LINES)
    assert [value for _, value in found] == [v for i, v in enumerate(values) if i != victim]
    assert reader.bad_offsets == [sum(len(line) + 1 for line in lines[:victim])]


@pytest.mark.parametrize(
    ("data", "shape"),
    [
        (b'[{"a":1},{"a":2}]', Shape.LIST),
        (b'[\n {"a":1}\n ,{"a":2}\n]', Shape.LIST),
        (b"[1, 2]\n", Shape.LIST),
        (b"[]", Shape.LIST),
        (b'[{"a":1},{"a', Shape.LIST),
        (b'[{"a":1} {"a":2}]', Shape.LIST),
        (b'{"a":1}\n{"a":2}\n', Shape.LINES),
        (b'{"a":1}\r\n{"a":2}', Shape.LINES),
        (b"[1]\n[2]\n", Shape.LINES),
        (b'{"a":\n{"b":1}\n{"b":2}\n', Shape.LINES),
        (b'{"a":1}', Shape.LINES),
        (b'{"a":1}{"a":2}\n', Shape.SEQUENCE),
        (b'{\n "a":1\n}\n{\n "a":2\n}\n', Shape.SEQUENCE),
        (b'{"a":"' + b"x" * 100, Shape.SEQUENCE),
        (b'{"v":1,"Records":[{"a":1}', Shape.KEYED),
        (BOM + b' \n{ "Records" :\r\n[', Shape.KEYED),
        (b'{"Records":{}}', Shape.LINES),
        (b'{"x":{"Records":[]}}', Shape.LINES),
        (b"", None),
        (b"  \n", None),
        (b"hello {}", None),
        (b"[section]\nkey = 1\n", None),
        (b"[2024-05-01 10:00:00] started, with more words\n", None),
        (b"[1] see below", None),
        (b"12\n13\n", None),
        (b'"a"\n"b"\n', None),
        (b"{% raw %} some template that goes on {% end %}", None),
        (b"\xff\xfe{\x00}\x00", None),
    ],
)
def test_the_shape_is_seen_in_the_head(data: bytes, shape: Shape | None) -> None:
    assert shape_of(data, keys=("Records",)) is shape


def test_records_go_on_behind_a_damaged_one_where_a_record_can_be_recognised() -> None:
    parts = [b'{"id":1}', b'{"id":2,"in":{"x":1},"y":tru}', b'{"id":3}', b'{"id":4}']
    data = b'{"Records":[' + b",".join(parts) + b"]}"
    found, reader = read(data, Shape.KEYED, keys=("Records",), resumes_at=recognised)
    assert [value["id"] for _, value in found] == [1, 3, 4]
    assert reader.bad_offsets == [data.index(parts[1])]
    assert reader.problems() == (f"1 bad record: {NOT_JSON}",)


def test_records_end_at_damage_where_none_can_be_recognised() -> None:
    data = b'[{"id":1},{"id":2,,},{"id":3}]'
    found, reader = read(data, Shape.LIST)
    assert found == [(1, {"id": 1})]
    assert (reader.bad, reader.bad_offsets) == (1, [10])
    assert reader.problems() == (f"1 bad record: {NOT_JSON}", "damaged: stopped at byte 10")


def test_a_missing_comma_is_damage_that_costs_no_record() -> None:
    found, reader = read(b'[{"id":1} {"id":2}]', Shape.LIST, resumes_at=recognised)
    assert [value["id"] for _, value in found] == [1, 2]
    assert reader.bad_offsets == [10]


@pytest.mark.parametrize(
    ("data", "shape", "offset"),
    [
        (b'[{"id":1},{"id":2', Shape.LIST, 10),
        (b'[{"id":1},{"id":"ab', Shape.LIST, 10),
        (b'[{"id":1},{"id":tru', Shape.LIST, 10),
        (b'[{"id":1},{"id":-', Shape.LIST, 10),
        (b'[{"id":1},{"id":"a\\u00', Shape.LIST, 10),
        (b'{"id":1}\n{"id":', Shape.LINES, 9),
        (b'{"id":1}\n{"id":', Shape.SEQUENCE, 9),
    ],
)
def test_a_file_that_was_cut_off_has_one_bad_record_where_it_starts(
    data: bytes, shape: Shape, offset: int
) -> None:
    found, reader = read(data, shape, resumes_at=recognised)
    assert len(found) == 1
    assert reader.bad_offsets == [offset]
    assert reader.problems() == (f"1 bad record: {CUT_OFF}",)


@pytest.mark.parametrize("data", [b'[{"id":1}', b'[{"id":1},', b"[", b'{"Records":[{"id":1}]'])
def test_a_file_that_ends_between_records_says_so(data: bytes) -> None:
    _, reader = read(data, Shape.KEYED, keys=("Records",))
    assert (reader.bad, reader.problems()) == (0, ("ends before its list is closed",))


def test_bytes_that_are_not_utf8_spoil_their_record_alone() -> None:
    for shape, left, between, right in (
        (Shape.LIST, b"[", b",", b"]"),
        (Shape.LINES, b"", b"\n", b"\n"),
        (Shape.SEQUENCE, b"", b"  ", b""),
    ):
        data = left + between.join([b'{"id":"\xc3\xa9"}', b'{"id":"\xe9"}', b'{"id":3}']) + right
        found, reader = read(data, shape)
        assert [value["id"] for _, value in found] == ["é", 3]
        assert [offset for offset, _ in found] == [len(left), data.index(b'{"id":3')]
        assert reader.problems() == (f"1 bad record: {NOT_UTF8}",)
        assert reader.bad_offsets == [data.index(b'{"id":"\xe9')]


def test_surrogates_numbers_and_constants_are_read_without_harm() -> None:
    digits = b"9" * 5000
    data = b'{"s":"\\ud800","n":[NaN,-Infinity,1e999,' + digits + b",-" + digits + b"]}\n"
    for shape in (Shape.LINES, Shape.SEQUENCE):
        [(_, value)], reader = read(data * 1, shape)
        assert value["s"] == "\ud800"
        assert value["n"][3:] == [digits.decode(), "-" + digits.decode()]
        assert reader.bad == 0


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 990, 1010, 100_000])
def test_deep_nesting_is_a_bad_record_at_any_depth(depth: int) -> None:
    deep = b"[" * depth + b"]" * depth
    found, reader = read(b'[{"id":1},' + deep + b',{"id":2}]', Shape.LIST, resumes_at=recognised)
    assert [value["id"] for _, value in found] == [1, 2]
    assert reader.problems() == (f"1 bad record: {TOO_DEEP}",)
    found, reader = read(b'{"id":1}\n' + deep + b'\n{"id":2}\n', Shape.LINES)
    assert [value["id"] for _, value in found] == [1, 2]
    assert reader.problems() == (f"1 bad record: {TOO_DEEP}",)


def test_nesting_up_to_the_limit_is_read() -> None:
    deep = b"[" * MAX_DEPTH + b"]" * MAX_DEPTH
    found, reader = read(deep + b"\n", Shape.LINES)
    assert (len(found), reader.bad) == (1, 0)
    assert parse_embedded(deep.decode()) is not None
    assert parse_embedded("[" + deep.decode() + "]") is None


class Endless(io.RawIOBase):
    """A file of any length that is never in memory: a start, a filling, an end."""

    def __init__(self, start: bytes, filling: bytes, length: int, end: bytes) -> None:
        self._start, self._filling, self._left, self._end = start, filling, length, end
        self.read_bytes = 0

    def read(self, size: int = -1) -> bytes:
        if self._start:
            data, self._start = self._start[:size], self._start[size:]
        elif self._left:
            data = self._filling * (min(size, self._left) // len(self._filling) or 1)
            self._left = max(0, self._left - len(data))
        else:
            data, self._end = self._end[:size], self._end[size:]
        self.read_bytes += len(data)
        return data


@pytest.mark.parametrize(
    ("shape", "start", "end"),
    [
        (Shape.LINES, b'{"id":1}\n{"id":"', b'"}\n{"id":2}\n'),
        (Shape.LIST, b'[{"id":1},{"id":"', b'"},{"id":2}]'),
        (Shape.SEQUENCE, b'{"id":1}\n{"id":"', b'"}\n{"id":2}\n'),
        (Shape.LINES, b'{"id":1}\n', b'\n{"id":2}\n'),
        (Shape.LIST, b'[{"id":1},', b',{"id":2}]'),
    ],
)
def test_a_record_of_100_mb_costs_no_memory(shape: Shape, start: bytes, end: bytes) -> None:
    stream = Endless(start, b"1" * 65536, 100 << 20, end)
    tracemalloc.start()
    try:
        reader = RecordReader(stream, shape=shape, resumes_at=recognised)
        found = [value["id"] for _, value in reader]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found == [1, 2]
    assert reader.problems() == (f"1 bad record: {TOO_LARGE}",)
    assert stream.read_bytes > 100 << 20
    assert peak < 6 * RECORD_LIMIT


@pytest.mark.slow
def test_a_long_file_of_short_records_costs_a_window() -> None:
    record = b'{"id":1,"text":"' + b"x" * 100 + b'"},'
    stream = Endless(b"[", record * 500, 8 << 20, b'{"id":2}]')
    tracemalloc.start()
    try:
        count = sum(1 for _ in RecordReader(stream, shape=Shape.LIST))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count > 60_000
    assert peak < 1 << 20


MEBI = 1 << 20


@pytest.mark.slow
@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("shape", "data"),
    [
        (Shape.LIST, b'[{"a":x' + b'{"a":x' * MEBI),
        (Shape.LIST, b'[{"a":[' + b'{"a":[' * MEBI),
        (Shape.LIST, b'[x{"a":"' + b'{"a":"' * MEBI),
        (Shape.LIST, b"[" + b"{" * 4 * MEBI),
        (Shape.LIST, b"[" + (b'{"a":[' + b"1," * 4000) * 500),
        (Shape.LIST, b"[" + b"," * MEBI),
        (Shape.SEQUENCE, b"{x\n" * MEBI),
        (Shape.SEQUENCE, (b"[" + b"1," * 4000 + b"\n") * 250),
        (Shape.LINES, b"{x\n" * MEBI),
        (Shape.KEYED, b'{"Records":[' * MEBI),
    ],
)
def test_hostile_damage_is_given_up_in_time(shape: Shape, data: bytes) -> None:
    _, reader = read(data, shape, keys=("Records",), resumes_at=recognised)
    assert reader.bad
    assert len(reader.bad_offsets) <= 200


def test_members_beside_the_list_are_kept_small() -> None:
    data = (
        b'{"a":"' + b"x" * 1000 + b'","n":7,"o":{"deep":1},"Records":[1,2],"z":null,"other":3}'
        b'{"a":"second","Records":[3]}'
    )
    found, reader = read(data, Shape.KEYED, keys=("Records",), keep=("a", "n", "o", "z"))
    assert [value for _, value in found] == [1, 2, 3]
    first, second = reader.documents
    assert (first["n"], first["o"], first["z"]) == (7, None, None)
    assert len(str(first["a"])) == 300
    assert second == {"a": "second"}
    assert "other" not in first


PIECES = st.sampled_from(
    [
        *(b'{"a":1}', b'{"a":"\xc3\xa9"}', b"[1,2]", b'{"a":1}{"b":2}', b'"x"', b"12", b"tru"),
        *(b"\n", b"\r\n", b" ", b"\x00", b"\x0c", b"{", b"}", b"[", b'"', b"\xef\xbb\xbf"),
        *(b'{"a":NaN}', b'{"a":"\\ud800"}', b'{"a":"\xff"}', b"1e999", b"-0", b"\xf0\x9f"),
        *(b'{"a":' + b"9" * 700 + b"}", b"[" * 150 + b"]" * 150, b"[" * 250 + b"]" * 250),
    ]
)


@settings(max_examples=400, deadline=None)
@given(st.lists(PIECES | st.binary(max_size=4), max_size=12).map(b"".join), CHUNKS)
def test_lines_are_read_alike_with_and_without_msgspec(data: bytes, chunk_size: int) -> None:
    results = []
    with pytest.MonkeyPatch.context() as patch:
        for size in (chunk_size, 65536):
            found, reader = read(data, Shape.LINES, chunk_size=size)
            results.append((repr(found), reader.bad, reader.bad_offsets, reader.problems()))
            patch.setitem(sys.modules, "msgspec", None)  # as where it is not installed
    assert results[0] == results[1]


@settings(max_examples=400, deadline=None)
@given(VALUES.map(json.dumps) | st.floats().map(repr) | st.integers().map(str) | st.text())
def test_what_msgspec_reads_the_standard_library_reads_alike(text: str) -> None:
    import msgspec

    try:
        value = msgspec.json.decode(text.encode("utf-8", "surrogatepass"))
    except (ValueError, msgspec.MsgspecError):
        return
    assert repr(value) == repr(json.loads(text))


@pytest.mark.parametrize("chunk_size", [1 << 10, 1 << 16, 40 << 20])
def test_a_line_too_long_for_a_record_is_read_list_by_list(chunk_size: int) -> None:
    filler = "x" * (1 << 20)
    several = [{"id": number, "text": filler} for number in range(10, 30)]
    long = json.dumps({"note": 1, "Records": several})
    assert len(long) > RECORD_LIMIT
    text = f'{{"id": 100}}\n{long}\n{{"id": 101}}\n{{"id": 102}}'
    reader = RecordReader(
        io.BytesIO(text.encode()), shape=Shape.LINES, keys=("Records",), chunk_size=chunk_size
    )
    found = list(reader)
    assert [value["id"] for _, value in found] == [100, *range(10, 30), 101, 102]
    assert [offset for offset, _ in found] == [text.index(json.dumps(value)) for _, value in found]
    assert (reader.bad, reader.problems()) == (0, ())


def test_damage_inside_a_long_line_has_its_place_and_ends_with_the_line() -> None:
    filler = "x" * (17 << 20)
    broken = f'{{"Records": [{{"id": 1}}, {{"id": ?}}, "{filler}", {{"id": 2}}]}}'
    text = f'{{"id": 0}}\n{broken}\n{{"id": 3}}\n'
    reader = RecordReader(
        io.BytesIO(text.encode()), shape=Shape.LINES, keys=("Records",), resumes_at=recognised
    )
    assert [value["id"] for _, value in reader] == [0, 1, 2, 3]
    assert reader.bad_offsets == [text.index('{"id": ?')]


@pytest.mark.parametrize("keys", [(), ("Records",)])
def test_a_long_line_without_such_a_list_is_one_bad_record(keys: tuple[str, ...]) -> None:
    long = json.dumps({"id": 1, "several": ["x" * (1 << 20)] * 20})
    text = f'{{"id": 0}}\n{long}\n{{"id": 2}}\n{long}'
    reader = RecordReader(io.BytesIO(text.encode()), shape=Shape.LINES, keys=keys)
    assert [value["id"] for _, value in reader] == [0, 2]
    # With keys, its members are looked at, and the place is that of the one that is too long.
    place = text.index('["x') if keys else text.index(long)
    assert (reader.bad, reader.bad_offsets[0]) == (2, place)
    assert reader.problems()[0] == f"2 bad records: {TOO_LARGE}"
    assert all(note.endswith(", until the end of its line") for note in reader.problems()[1:])
