"""Which items belong to a window, and what it lacks: cases counted out by hand."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from vault.window import SILENCE, Window, claimed, names_of
from verify.description import Description
from verify.digest import EMPTY
from verify.facts import Covered, Facts, Gap
from verify.incident import Exhibit
from verify.statement import Described, Item, Place, Stored

RECEIVED = datetime(2026, 7, 10, 15, 0, tzinfo=UTC)


def at(clock: str) -> datetime:
    return datetime.fromisoformat(f"2026-07-10T{clock}+00:00")


def text(clock: str) -> str:
    return f"2026-07-10T{clock}Z"


def facts(first: str = "", last: str = "", **more: object) -> Facts:
    known: dict[str, object] = {"parser": "test", "version": 1, "format": "test"}
    if first:
        known |= {"clock": "zoned", "first": text(first), "last": text(last)}
    return Facts(**{**known, **more})  # type: ignore[arg-type]


def exhibit(name: str, received_at: datetime = RECEIVED, withdrawn: str | None = None) -> Exhibit:
    place = Place(key="artifacts/01KB0000000000000000000000")
    item = Item(
        name, ("other",), EMPTY, 0, Stored("identity", EMPTY, 0, 64 << 20, ()), place,
        Described(EMPTY, 0, place),
    )  # fmt: skip
    return Exhibit(item, (), 0, None, None, "test", received_at, ("other",), withdrawn)


def description(of: Facts) -> Description:
    return Description(EMPTY, "x", None, "/x", "x", "", None, RECEIVED, (), of)


def window(
    items: Sequence[Facts | tuple[Facts, datetime]], start: str = "12:00:00", end: str = "13:00:00"
) -> Window:
    made = Window(at(start), at(end))
    for number, each in enumerate(items, 1):
        said, received = each if isinstance(each, tuple) else (each, RECEIVED)
        made.add(exhibit(f"ST-{number:04d}", received), description(said))
    return made


@pytest.mark.parametrize(
    ("first", "last", "belongs"),
    [
        ("11:00:00", "11:59:59", False),
        ("11:00:00", "12:00:00", True),  # the ends belong to the window
        ("11:00:00", "14:00:00", True),
        ("12:30:00", "12:30:00", True),
        ("13:00:00", "14:00:00", True),
        ("13:00:01", "14:00:00", False),
    ],
)
def test_an_item_belongs_by_the_times_that_it_claims(first: str, last: str, belongs: bool) -> None:
    # That it was received within says nothing against its own times.
    made = window([(facts(first, last), at("12:30:00"))])
    assert names_of(made.chosen) == (["ST-0001"] if belongs else [])
    assert (made.by_received, made.untimed) == ([], [])


@pytest.mark.parametrize(
    ("received", "belongs"),
    [("11:59:59", False), ("12:00:00", True), ("13:00:00", True), ("13:00:01", False)],
)
def test_an_item_without_times_belongs_by_when_it_was_received_and_that_is_said(
    received: str, belongs: bool
) -> None:
    for untimed in (facts(), facts(clock="unzoned", raw_first="12:10", raw_last="12:20")):
        made = window([(untimed, at(received))])
        assert made.by_received == (["ST-0001"] if belongs else [])
        assert made.untimed == ([] if belongs else ["ST-0001"])


def test_what_an_item_says_it_covers_is_its_time_too() -> None:
    """A nil return has no record, and speaks for the time it was asked about."""
    nil = facts(coverage=(Covered(text("12:10:00"), text("12:20:00")),))
    assert claimed(nil) == [(at("12:10:00"), at("12:20:00"))]
    made = window([nil])
    assert (names_of(made.chosen), made.by_received) == (["ST-0001"], [])
    assert made.uncovered() == [(at("12:00:00"), at("12:10:00")), (at("12:20:00"), at("13:00:00"))]


def test_what_lies_between_a_query_and_the_time_it_asked_about_is_not_claimed() -> None:
    late = facts("20:00:00", "20:00:05", coverage=(Covered(text("10:00:00"), text("11:00:00")),))
    assert window([late]).chosen == []
    assert names_of(window([late], "10:30:00", "10:40:00").chosen) == ["ST-0001"]
    assert names_of(window([late], "19:00:00", "21:00:00").chosen) == ["ST-0001"]


def test_some_times_without_zone_leave_the_received_time_to_decide_too() -> None:
    mixed = facts("10:00:00", "11:00:00", clock="mixed")
    assert window([(mixed, at("12:30:00"))]).by_received == ["ST-0001"]
    assert window([(mixed, at("14:30:00"))]).chosen == []


def test_times_that_are_none_are_not_believed() -> None:
    for first, last in (("yesterday", "today"), ("2026-07-10T12:00:00", "2026-07-10T12:10:00")):
        broken = facts(clock="zoned", first=first, last=last)
        assert claimed(broken) == []
        assert window([(broken, at("12:30:00"))]).by_received == ["ST-0001"]
        assert window([(broken, at("12:30:00"))]).uncovered() == [(at("12:00:00"), at("13:00:00"))]


def test_what_was_withdrawn_is_left_out_and_named() -> None:
    made = Window(at("12:00:00"), at("13:00:00"))
    said = description(facts("12:10:00", "12:20:00"))
    made.add(exhibit("ST-0001", withdrawn="of another case"), said)
    made.add(exhibit("ST-0002", withdrawn="of another case"), description(facts()))
    assert (made.chosen, made.withdrawn, made.untimed) == ([], ["ST-0001"], [])


def test_the_window_lacks_what_no_item_speaks_for() -> None:
    gap = Gap(text("12:20:00"), text("12:40:00"), 1200)
    made = window(
        [
            facts("11:50:00", "12:10:00"),
            facts("12:15:00", "12:50:00", gaps=(gap,)),
            facts("12:25:00", "12:26:00"),
        ]
    )
    # 12:10-12:15 is not longer than five minutes, and no silence worth telling.
    assert timedelta(minutes=5) == SILENCE
    assert made.uncovered() == [(at("12:26:00"), at("12:40:00")), (at("12:50:00"), at("13:00:00"))]
    assert window([]).uncovered() == [(at("12:00:00"), at("13:00:00"))]


def test_pauses_between_captures_are_told_where_there_was_a_capture_within() -> None:
    made = window([])
    made.captures = [at("11:58:00"), at("12:04:00"), at("12:30:00"), at("15:00:00")]
    assert made.captured_within() == [at("12:04:00"), at("12:30:00")]
    # Longest first. From 12:00 to 12:04 is no pause.
    assert made.pauses() == [(at("12:30:00"), at("13:00:00")), (at("12:04:00"), at("12:30:00"))]
    made.captures = [at("15:00:00")]
    assert made.pauses() == []


def test_the_extent_is_that_of_all_items_also_of_those_outside() -> None:
    made = window([facts("01:00:00", "02:00:00"), facts("12:10:00", "12:20:00"), facts()])
    assert made.extent == (at("01:00:00"), at("12:20:00"))
    assert window([facts()]).extent is None
