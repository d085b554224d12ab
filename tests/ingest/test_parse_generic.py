"""What can be said of any file, and that a parser is chosen by content, not by name."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from damage import read

from ingest.parsers import BUILT_IN, HEAD_SIZE, choose, read_facts
from verify.facts import CLOCKS, Facts

SAMPLES = Path(__file__).parents[1] / "data"


class Untouchable(io.RawIOBase):
    """A stream that must not be read."""

    def read(self, size: int = -1) -> bytes:
        raise AssertionError(f"{size} bytes were asked for")


@pytest.mark.parametrize(
    ("data", "label", "summary", "records", "bad"),
    [
        (b"", "empty", "empty", 0, 0),
        (b"{}", "JSON", "1 record", 1, 0),
        (b'{"a": [1, 2]}\n', "JSON", "1 record", 1, 0),
        (b'{\n  "a": [1, 2]\n}\n', "JSON", "1 record", 1, 0),
        (b'[{"a":1},{"a":2},3]', "JSON", "3 records", 3, 0),
        (b"[]", "JSON", "0 records", 0, 0),
        (b'{"a":1}\n{"a":2}\n', "JSON", "2 records", 2, 0),
        (b'{"a":1}\n{"a":\n{"a":3}\n', "JSON", "2 records, 1 bad", 2, 1),
        (b'{"a":1}\n{"a":2', "JSON", "1 record, 1 bad", 1, 1),
        (b'{"a":1}{"a":2}', "JSON", "2 records", 2, 0),
        (b'[{"a":1},{"a":2', "JSON", "1 record, 1 bad", 1, 1),
        (b"one\ntwo\n", "text", "2 lines", 2, 0),
        (b"one\r\ntwo", "text", "2 lines", 2, 0),
        (b"\n", "text", "1 line", 1, 0),
        (b"\xef\xbb\xbfwith a mark", "text", "1 line", 1, 0),
        ("schön\x1b[31m\n".encode(), "text", "1 line", 1, 0),
        (b"123\n456\n", "text", "2 lines", 2, 0),
        (b"[info] started\n[info] ended\n", "text", "2 lines", 2, 0),
        (b"schon in latin-1: sch\xf6n", "binary", "unknown binary", 0, 0),
        (b"with a \x00 byte", "binary", "unknown binary", 0, 0),
        (b"\x1f\x8b\x08", "binary", "unknown binary", 0, 0),
        (b"PK\x03\x04\x14\x00", "binary", "unknown binary", 0, 0),
    ],
)
def test_any_file_gives_facts(
    data: bytes, label: str, summary: str, records: int, bad: int
) -> None:
    for name in ("file", "file.json", "file.gz", "a/b.exe", "", "\x00"):
        reading = read(data, name)
        assert (reading.format_label, reading.summary) == (label, summary)
        assert (reading.facts.records, reading.facts.bad_records) == (records, bad)
        assert reading.facts.format == label.lower()
        assert (reading.kinds, reading.facts.clock) == (("other",), "none")
        assert len(reading.facts.bad_offsets) == bad


def test_what_needs_only_its_head_is_not_read() -> None:
    dump = b"\x7fELF" + bytes(HEAD_SIZE - 4)
    assert choose(dump, "memory.raw").whole is False
    assert read_facts(Untouchable(), head=dump, name="memory.raw").summary == "unknown binary"
    assert read_facts(Untouchable(), head=b"", name="nil").summary == "empty"
    assert choose(b"text", "x").whole is choose(b"{}", "x").whole is True


def test_a_text_that_stops_being_text_says_where() -> None:
    for size in (HEAD_SIZE + 1, HEAD_SIZE + 2, 256 << 10, (256 << 10) + 3):
        data = b"a" * (size - 2) + "é".encode()[:1] + b"\n" + b"b\n" * 9
        reading = read(data)
        assert reading.summary == "10 lines"
        assert reading.facts.problems == (f"not UTF-8 from byte {size - 2}",)
    cut = b"a" * HEAD_SIZE + "é".encode()[:1]
    assert read(cut).facts.problems == (f"not UTF-8 from byte {HEAD_SIZE}",)
    assert read(b"a" * (HEAD_SIZE - 1) + "é".encode()).facts.problems == ()


def test_a_line_of_any_length_is_one_line() -> None:
    assert read(b"x" * (5 << 20)).summary == "1 line"


def test_a_name_never_makes_a_format() -> None:
    attacked = (SAMPLES / "agentdojo" / "attacked.json").read_bytes()
    for name in ("x.txt", "x.gz", "218007301253_CloudTrail_x.json", "x"):
        assert read(attacked, name).format_label == "AgentDojo"
    assert read(b"hello", "attacked.json").format_label == "text"


def test_parsers_are_distinct_and_keep_to_their_kinds() -> None:
    assert len({parser.name for parser in BUILT_IN}) == len(BUILT_IN)
    for path in sorted(SAMPLES.rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            reading = read(data, path.name)
            parser = choose(data[:HEAD_SIZE], path.name)
            assert (reading.facts.parser, reading.facts.version) == (parser.name, parser.version)
            assert set(reading.kinds) <= set(parser.kinds)
            assert reading.facts.clock in CLOCKS
            assert Facts.from_json(json.loads(json.dumps(reading.facts.to_json())), where="f")
            assert reading == read(data, path.name)
