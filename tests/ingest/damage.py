"""Damage done to any sample, and what must hold whatever was done: the harness of all parsers."""

from __future__ import annotations

import gzip
import io
import random
from collections.abc import Iterator
from dataclasses import fields

from ingest.parsers import HEAD_SIZE, Reading, read_facts
from ingest.parsers.choice import FAILED
from verify.facts import CAP, ENTRIES, TEXT_CAP, Facts
from verify.statement import check_kind
from verify.strictjson import dumps, load_object

FALSE_NAMES = ("x.exe", "x.gz", "x.json", "x.log", "", "/", "..", "x\x00\n", "é" * 999)


def read(data: bytes, name: str = "file") -> Reading:
    """Read a content as the collector does."""
    return read_facts(io.BytesIO(data), head=data[:HEAD_SIZE], name=name)


def check(data: bytes, name: str = "file") -> Reading:
    """Read a content; its facts hold to their limits and are read back from the sealed bytes."""
    reading = read(data, name)
    facts = reading.facts
    assert not any(problem.startswith(FAILED) for problem in facts.problems), facts.problems
    text = dumps(facts.to_json())
    assert Facts.from_json(load_object(text, where="facts"), where="facts") == facts
    for field in fields(Facts):
        values = getattr(facts, field.name)
        if isinstance(values, tuple):
            assert len(values) <= CAP
            assert all(len(each) <= TEXT_CAP for each in values if isinstance(each, str))
        if field.name in ENTRIES:
            for entry in values:
                parts = [getattr(entry, part.name) for part in fields(entry)]
                assert all(len(part) <= TEXT_CAP for part in parts if isinstance(part, str))
    assert facts.bad_records >= len(facts.bad_offsets)
    assert list(facts.bad_offsets) == sorted(facts.bad_offsets)
    assert reading.kinds
    assert reading.kinds == tuple(check_kind(kind) for kind in reading.kinds)
    assert reading.format_label
    assert len(reading.summary) <= TEXT_CAP
    return reading


def cut(data: bytes) -> Iterator[bytes]:
    """The content, ended at every fiftieth of its length."""
    return (data[: len(data) * part // 50] for part in range(51))


def flipped(data: bytes, *, seed: str, times: int = 200) -> Iterator[bytes]:
    """The content with one bit flipped, at places that the seed decides."""
    chance = random.Random(seed)
    for _ in range(times if data else 0):
        broken = bytearray(data)
        broken[chance.randrange(len(broken))] ^= 1 << chance.randrange(8)
        yield bytes(broken)


def packed(data: bytes) -> bytes:
    """The content as gzip."""
    return gzip.compress(data, mtime=0)


def is_packed(data: bytes) -> bool:
    """Whether the content is gzip already."""
    return data.startswith(b"\x1f\x8b")


def with_mark(data: bytes) -> bytes:
    """The content behind a byte order mark."""
    return b"\xef\xbb\xbf" + data


def with_returns(data: bytes) -> bytes:
    """The content with line ends of another system."""
    return data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
