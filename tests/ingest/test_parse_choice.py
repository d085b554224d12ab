"""The door: parsers of other packages go through it like our own, and can break nothing."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, BinaryIO

import pytest

from cli import extras
from ingest.parsers import BUILT_IN, Confidence, Parser, Reading, choose, read_facts
from ingest.parsers import with_third_parties as joined
from ingest.parsers.library import NEEDS, library, unread
from verify.facts import CAP, Facts


class Foreign:
    """A parser as another package would have it."""

    version = 3
    kinds = ("ticket",)
    whole = True

    def __init__(
        self,
        name: str = "foreign",
        answer: Callable[[], Any] | None = None,
        sure: Confidence = Confidence.CERTAIN,
    ) -> None:
        self.name = name
        self._answer = answer
        self._sure = sure

    def detect(self, head: bytes, name: str) -> Confidence:
        del name
        return self._sure if head.startswith(b"FOREIGN") else Confidence.NONE

    def read(self, stream: BinaryIO, name: str) -> Reading:
        del name
        lines = len(stream.read().splitlines())
        facts = Facts(self.name, self.version, "foreign", records=lines)
        given = self._answer() if self._answer else facts
        return Reading(replace(facts, **given) if isinstance(given, dict) else given,
                       self.kinds, "Foreign", "fine")  # fmt: skip


DATA = b"FOREIGN\nline\n"


def read(*parsers: Parser) -> Reading:
    return read_facts(io.BytesIO(DATA), head=DATA, name="x", parsers=joined(parsers))


def test_a_parser_of_another_package_reads_its_format() -> None:
    assert isinstance(Foreign(), Parser)
    reading = read(Foreign())
    assert (reading.facts.parser, reading.facts.records) == ("foreign", 2)
    assert read().facts.parser == "text"


def test_the_order_in_which_others_come_decides_nothing() -> None:
    one, other = Foreign("b"), Foreign("a")
    assert joined([one, other]) == joined([other, one])
    assert read(one, other).facts.parser == "a"


def test_a_taken_name_is_left_out_and_generic_parsers_come_last() -> None:
    parsers = joined([Foreign("cloudtrail"), Foreign("x", sure=Confidence.WEAK)])
    assert [each.name for each in parsers if isinstance(each, Foreign)] == ["x"]
    assert {each.name for each in BUILT_IN} <= {each.name for each in parsers}
    assert choose(DATA, "x", parsers).name == "x"


def raising() -> Any:
    raise RuntimeError("never shown")


@pytest.mark.parametrize(
    "answer",
    [
        raising,
        lambda: None,
        lambda: "facts",
        lambda: {"principals": ("x",) * (CAP + 1)},
        lambda: {"principals": (7,)},
        lambda: {"clock": "sundial"},
        lambda: {"records": 2**60},
        lambda: {"first": "\ud800"},
        lambda: {"records": -1},
        lambda: {"first": "2026-03-02T09:00:00"},
    ],
)
def test_a_parser_that_fails_costs_its_facts_and_nothing_else(answer: Callable[[], Any]) -> None:
    reading = read(Foreign(answer=answer))
    assert reading.facts.parser == "foreign"
    assert reading.facts.problems[0].startswith("the parser failed: ")
    assert "never shown" not in str(reading)
    assert reading.kinds == ("other",)
    assert Facts.from_json(reading.facts.to_json(), where="facts") == reading.facts


def test_a_parser_that_cannot_tell_is_not_chosen() -> None:
    class Lost(Foreign):
        def detect(self, head: bytes, name: str) -> Confidence:
            raise KeyError(name)

    assert read(Lost()).facts.parser == "text"


def test_an_error_of_the_stream_passes_through() -> None:
    class Broken(io.RawIOBase):
        def read(self, size: int = -1, /) -> bytes:
            raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        read_facts(Broken(), head=DATA, name="x", parsers=joined([Foreign()]))  # type: ignore[arg-type]


def test_the_command_line_loads_entry_points_and_survives_bad_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Entry(SimpleNamespace):
        def __lt__(self, other: Any) -> bool:
            return bool(self.name < other.name)

    entries = [
        Entry(name="b", load=raising),
        Entry(name="a", load=lambda: "no parser"),
        Entry(name="c", load=Foreign),
    ]
    monkeypatch.setattr(extras.importlib.metadata, "entry_points", lambda group: entries)
    assert [each.name for each in extras.parsers() if isinstance(each, Foreign)] == ["foreign"]


def test_a_format_whose_library_is_absent_says_what_it_needs() -> None:
    assert library("json") is not None
    assert library("no_such_library_at_all") is None
    reading = unread(Foreign(), "protobuf", "OTLP", ("tool_trace",))
    assert reading.facts.version == 0
    assert NEEDS in reading.facts.problems[0]
    assert Facts.from_json(reading.facts.to_json(), where="facts") == reading.facts
