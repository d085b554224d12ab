"""YAML documents: plain data of them, nothing built, nothing grown, damage counted where it is."""

from __future__ import annotations

import base64
import io
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.parsers import yamldocs
from ingest.parsers.records import MAX_DEPTH
from ingest.parsers.yamldocs import (
    BAD_ALIAS,
    NOT_YAML,
    TOO_LONG,
    TOO_MANY,
    YamlReader,
    open_documents,
    yaml_library,
)

DATA = Path(__file__).parents[1] / "data"


def read(data: bytes) -> tuple[list[tuple[int, Any]], YamlReader]:
    reader = YamlReader(io.BytesIO(data), yaml)
    return list(reader), reader


def only(data: bytes) -> Any:
    documents, reader = read(data)
    assert reader.bad == 0, reader.problems()
    ((_, value),) = documents
    return value


def refused(data: bytes) -> tuple[str, ...]:
    documents, reader = read(data)
    assert documents == []
    assert (reader.bad, reader.bad_offsets) == (1, [0])
    return reader.problems()


def test_the_trap_of_on_and_the_norway_of_no() -> None:
    assert yaml.safe_load("on: no") == {True: False}
    assert only(b"on: no\noff: yes\ny: n\n") == {"on": "no", "off": "yes", "y": "n"}


def test_plain_values_are_null_truth_numbers_or_texts() -> None:
    value = only(
        b"a: 1\nb: -7\nc: 1.10\nd: 007\ne: 0x1F\nf: true\ng: False\nh: ~\ni:\nj: 2026-01-31\n"
        b"k: '1'\nl: \"true\"\nm: !!str 5\nn: 1_000\no: 12345678901234567890123\n1: one\ntrue: t\n"
    )
    assert value == {
        "a": 1,
        "b": -7,
        "c": "1.10",
        "d": "007",
        "e": "0x1F",
        "f": True,
        "g": False,
        "h": None,
        "i": None,
        "j": "2026-01-31",
        "k": "1",
        "l": "true",
        "m": "5",
        "n": "1_000",
        "o": "12345678901234567890123",
        "1": "one",
        "true": "t",
    }


def test_binary_values_are_bytes_and_those_that_are_none_texts() -> None:
    text = base64.b64encode(bytes(range(256))).decode()
    assert only(f"a: !!binary {text}\n".encode()) == {"a": bytes(range(256))}
    assert only(b"a: !!binary abc\n") == {"a": "abc"}


def test_a_tag_builds_nothing(tmp_path: Path) -> None:
    target = tmp_path / "made"
    hostile = f"a: !!python/object/apply:os.mkdir ['{target}']\nb: !own {{c: 1}}\nd: !t e\n"
    documents, reader = read(hostile.encode())
    assert documents == [(0, {"a": [str(target)], "b": {"c": 1}, "d": "e"})]
    assert reader.problems() == ("3 values with a tag of its own: read as plain",)
    assert not target.exists()


def test_documents_are_cut_apart_and_a_bad_one_costs_itself() -> None:
    data = (
        b"# first\na: 1\n---\nb: [\n--- # third\nc: 3\n...\n---\n# nothing\n---\nd: |\n  --- no\n"
    )
    documents, reader = read(data)
    assert documents == [
        (0, {"a": 1}),
        (data.index(b"--- #"), {"c": 3}),
        (data.index(b"---\nd"), {"d": "--- no\n"}),
    ]
    assert reader.bad_offsets == [data.index(b"---\nb")]
    assert reader.problems() == (f"1 bad record: {NOT_YAML}",)


def test_directives_belong_to_the_document_behind_them() -> None:
    documents, reader = read(b"%YAML 1.2\n---\na: 1\n...\n%TAG ! tag:x,2020:\n---\nb: 2\n")
    assert [value for _, value in documents] == [{"a": 1}, {"b": 2}]
    assert reader.problems() == ()


def test_a_last_line_without_end_is_said() -> None:
    assert read(b"a: 1")[1].problems() == ("the last line has no end: the file may be cut off",)
    assert read(b"a: 1\n")[1].problems() == ()


def test_offsets_count_the_byte_order_mark() -> None:
    documents, reader = read(b"\xef\xbb\xbf---\na: 1\n---\n\xff\n---\nb: 2\n")
    assert [offset for offset, _ in documents] == [3, 18]
    assert reader.bad_offsets == [12]


def test_aliases_repeat_and_merges_give_way() -> None:
    value = only(
        b"base: &b {x: 1, y: 2}\nmore: &m {y: 3, z: 4}\n"
        b"one: {<<: *b, x: 9}\ntwo: {<<: [*b, *m]}\nsame: *b\n'<<': text\n"
    )
    assert value["one"] == {"x": 9, "y": 2}
    assert value["two"] == {"x": 1, "y": 2, "z": 4}
    assert value["same"] is value["base"]
    assert value["<<"] == "text"
    loaded = yaml.safe_load(b"base: &b {x: 1, y: 2}\none: {<<: *b, x: 9}\n")
    assert loaded["one"] == value["one"]


def bomb(levels: int, fan: int) -> bytes:
    lines = [b"a0: &a0 [x]"]
    lines += [
        b"a%d: &a%d [%s]" % (each, each, b",".join([b"*a%d" % (each - 1)] * fan))
        for each in range(1, levels)
    ]
    return b"\n".join(lines) + b"\n"


def test_an_alias_bomb_is_a_bad_record() -> None:
    begun = time.monotonic()
    assert refused(bomb(30, 9)) == (f"1 bad record: {TOO_MANY}",)
    merging = b"a0: &a0 {k: v}\n" + b"".join(
        b"a%d: &a%d {<<: [%s]}\n" % (each, each, b",".join([b"*a%d" % (each - 1)] * 9))
        for each in range(1, 30)
    )
    assert refused(merging) == (f"1 bad record: {TOO_MANY}",)
    assert time.monotonic() - begun < 5


def test_aliases_that_stay_small_are_read() -> None:
    value = only(bomb(5, 9))
    assert len(value["a4"]) == 9


@pytest.mark.parametrize("text", ["a: &a [*a]\n", "a: *none\n", "&a {b: *a}\n", "&a [1, *a]\n"])
def test_an_alias_of_itself_or_of_nothing_is_a_bad_record(text: str) -> None:
    assert refused(text.encode())[0] in (f"1 bad record: {BAD_ALIAS}", f"1 bad record: {NOT_YAML}")


def test_depth_is_limited_also_through_aliases() -> None:
    assert refused(b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1) + b"\n")[0].endswith("levels")
    chain = b"a0: &a0 [x]\n" + b"".join(
        b"a%d: &a%d [*a%d]\n" % (each, each, each - 1) for each in range(1, MAX_DEPTH + 9)
    )
    assert refused(chain)[0].endswith("levels")
    for opening in (b"[", b"{a: ", b"- ", b"? "):
        assert read(opening * 100_000)[1].bad == 1


def test_a_document_of_many_values_or_bytes_is_a_bad_record(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(yamldocs, "MOST_NODES", 100)
    monkeypatch.setattr(yamldocs, "DOCUMENT_LIMIT", 1 << 20)
    assert refused(b"a: x\n" * 101) == (f"1 bad record: {TOO_MANY}",)
    data = b"a: 1\n---\nb: " + b"x" * (1 << 20) + b"\n---\nc: 3\n"
    documents, reader = read(data)
    assert documents == [(0, {"a": 1}), (data.index(b"---\nc"), {"c": 3})]
    assert reader.problems() == (f"1 bad record: {TOO_LONG}",)
    assert reader.bad_offsets == [5]


def test_only_so_much_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yamldocs, "TOTAL_LIMIT", 1 << 20)
    monkeypatch.setattr(yamldocs, "MOST_DOCUMENTS", 1000)
    documents, reader = read(b"---\na: 1\n" * 2000)
    assert len(documents) == 1000
    assert reader.problems() == ("only the first 1,000 documents were read",)
    documents, reader = read(b"---\na: " + b"x" * (600 << 10) + b"\n---\n" + b"# " * (1 << 20))
    assert len(documents) == 1
    assert reader.problems() == ("only the first 1 MiB were read",)


def test_reading_does_not_depend_on_how_the_stream_is_cut() -> None:
    class Dribble:
        def __init__(self, data: bytes) -> None:
            self._data = io.BytesIO(data)

        def read(self, size: int, /) -> bytes:
            return self._data.read(min(size, 7))

    data = (DATA / "argocd" / "diff-cache.yaml").read_bytes() * 2 + b"---\nb: [\n---\nc: 1\n"
    reader = YamlReader(Dribble(data), yaml)
    assert list(reader) == read(data)[0]
    assert reader.problems() == read(data)[1].problems()


@pytest.mark.parametrize("path", sorted(DATA.glob("*/*.y*ml")), ids=lambda path: path.name)
def test_real_files_are_what_the_safe_loader_makes_of_them(path: Path) -> None:
    """But for keys, truth values in words, times and fractions, which stay texts."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {"on" if key is True else str(key): plain(each) for key, each in value.items()}
        if isinstance(value, list):
            return [plain(each) for each in value]
        return value if isinstance(value, (bool, int, bytes)) or value is None else str(value)

    ours = [value for _, value in read(path.read_bytes())[0]]
    theirs = [plain(each) for each in yaml.safe_load_all(path.read_bytes())]
    assert ours == [each for each in theirs if each is not None]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-999, 999) | st.text(),
    lambda each: st.lists(each) | st.dictionaries(st.text(), each),
    max_leaves=20,
)


@given(VALUES)
@settings(max_examples=60, deadline=None)
def test_json_written_as_yaml_comes_back(value: Any) -> None:
    data = yaml.safe_dump({"v": value}, allow_unicode=False).encode()
    assert only(data) == {"v": value}


def test_without_the_library_nothing_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    assert yaml_library() is None
    assert open_documents(io.BytesIO(b"a: 1\n")) is None
    reader = open_documents(io.BytesIO(b'{"a": 1}'))
    assert reader is not None
    assert list(reader) == [(0, {"a": 1})]
