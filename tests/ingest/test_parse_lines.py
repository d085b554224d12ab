"""Lines with their offsets, and the events in them."""

from __future__ import annotations

import io

import pytest

from ingest.parsers.conversation import Once
from ingest.parsers.gathering import Gathered
from ingest.parsers.lines import CHUNK_SIZE, LineReader
from ingest.parsers.mcp_messages import McpParser
from ingest.parsers.records import Replayed
from ingest.parsers.server_events import EVENTS, event_data


def lines(data: bytes, limit: int = 1 << 20) -> tuple[list[tuple[int, str]], LineReader]:
    reader = LineReader.verbatim(io.BytesIO(data), limit=limit)
    return list(reader), reader


def test_lines_come_with_their_offsets() -> None:
    assert lines(b"a\n\nbc\r\n\xc3\xa9\xff\nlast")[0] == [
        (0, "a"),
        (2, ""),
        (3, "bc"),
        (7, "é\udcff"),
        (11, "last"),
    ]
    assert lines(b"")[0] == []
    assert lines(b"\n")[0] == [(0, "")]


def test_a_byte_order_mark_is_no_text() -> None:
    assert lines(b"\xef\xbb\xbfa\nb")[0] == [(3, "a"), (5, "b")]
    assert lines(b"\xef\xbb\xbfa")[0] == [(3, "a")]


@pytest.mark.parametrize("size", [CHUNK_SIZE, CHUNK_SIZE * 3 + 5])
def test_a_line_beyond_the_limit_is_a_bad_record(size: int) -> None:
    data = b"a\n" + b"x" * size + b"\nb\n"
    read, reader = lines(data, limit=1000)
    assert read == [(0, "a"), (size + 3, "b")]
    assert (reader.bad, reader.bad_offsets) == (1, [2])
    assert len(reader.problems()) == 1


def test_lines_longer_than_a_chunk_are_whole() -> None:
    data = b"x" * (CHUNK_SIZE + 10) + b"\n" + b"y" * CHUNK_SIZE
    assert [len(text) for _, text in lines(data)[0]] == [CHUNK_SIZE + 10, CHUNK_SIZE]


def test_events_are_their_data() -> None:
    text = b": hi\n\nevent: a\ndata: 1\ndata:2\nid: 7\n\ndata: [DONE]\n\n\ndata: last"
    assert EVENTS.match(text)
    assert list(event_data(LineReader.verbatim(io.BytesIO(text)))) == [(15, "1\n2"), (52, "last")]
    assert not EVENTS.match(b"the data: x")
    assert not EVENTS.match(b'{"data": 1}')


def test_a_stream_is_read_from_its_start_again() -> None:
    replayed = Replayed(b"abc", io.BytesIO(b"def"))
    assert [replayed.read(2) for _ in range(4)] == [b"ab", b"c", b"de", b"f"]


def test_once_remembers_only_so_much() -> None:
    gathered = Gathered()
    once = Once(gathered, most=2)
    assert [once.new(text) for text in ("a", "b", "a", "c", "c", "b")] == [
        True,
        True,
        False,
        True,
        True,
        False,
    ]
    facts = gathered.facts(McpParser())
    assert facts.problems == ("only the first 2 ids were told apart",)
