"""Facts: what a parser said is read back as it was said, and nothing else is read."""

from __future__ import annotations

from dataclasses import Field, fields
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from verify.errors import MalformedError
from verify.facts import (
    CAP,
    ENTRIES,
    TEXT_CAP,
    Approval,
    Decision,
    Facts,
    Finding,
    Gap,
    Model,
    Rollback,
    ToolUse,
    check_times,
)
from verify.strictjson import MAX_SAFE_INTEGER, dumps, loads

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
COUNT = st.integers(0, MAX_SAFE_INTEGER)
TEXTS = st.lists(TEXT, max_size=3).map(tuple)
TEXT_LISTS = tuple(field.name for field in fields(Facts) if field.type == "tuple[str, ...]")
WORDS = {field.name: field.metadata["words"] for field in fields(Facts) if field.metadata}


def drawn(field: Field[Any]) -> st.SearchStrategy[Any]:
    """Any value of a field."""
    if field.metadata:
        words = st.sampled_from(field.metadata["words"])
        return st.none() | words if field.default is None else words
    if field.name in ENTRIES:
        return st.lists(entry(ENTRIES[field.name]), max_size=2).map(tuple)
    return {
        "int": COUNT,
        "str": TEXT,
        "str | None": st.none() | TEXT,
        "tuple[int, ...]": st.lists(COUNT, max_size=3).map(tuple),
        "tuple[str, ...]": TEXTS,
    }[str(field.type)]


def entry(kind: type[Any]) -> st.SearchStrategy[Any]:
    return st.builds(kind, **{field.name: drawn(field) for field in fields(kind)})


FACTS = st.builds(Facts, **{field.name: drawn(field) for field in fields(Facts)})

SMALL = {"parser": "access-log", "version": 1, "format": "csv"}
NESTED = {
    "gaps": {"start": "2026-01-01T00:00:00Z", "end": "2026-01-01T01:00:00Z", "seconds": 3600},
    "tools": {"name": "shell", "calls": 3, "unfinished": 1},
    "findings": {
        "detector": "dlp",
        "label": "secret",
        "count": 2,
        "at": None,
        "disposition": "blocked",
    },
    "decisions": {"decision": "denied", "count": 4},
    "models": {"name": "gpt-4o"},
    "approvals": {"subject": "deploy 7", "state": "approved"},
    "rollbacks": {"target": "web", "state": "succeeded"},
}
"""Entries with the fields that may not be absent."""


def read(**changes: Any) -> Facts:
    return Facts.from_json({**SMALL, **changes}, where="facts")


def test_every_list_of_entries_has_its_type() -> None:
    named = {field.name for field in fields(Facts) if str(field.type).startswith("tuple[")}
    plain = {
        field.name
        for field in fields(Facts)
        if str(field.type) in ("tuple[str, ...]", "tuple[int, ...]")
    }
    assert named - plain == ENTRIES.keys()
    for field in fields(Facts):
        if field.name in ENTRIES:
            assert field.type == f"tuple[{ENTRIES[field.name].__name__}, ...]"


@settings(deadline=None, max_examples=100)
@given(FACTS)
def test_facts_are_read_back_as_they_were_written(facts: Facts) -> None:
    written = dumps(facts.to_json())
    again = Facts.from_json(loads(written, where="facts"), where="facts")
    assert again == facts
    assert dumps(again.to_json()) == written


def test_fields_that_say_nothing_are_not_written() -> None:
    assert Facts("access-log", 0, "csv").to_json() == {
        "parser": "access-log",
        "version": 0,
        "format": "csv",
        "clock": "none",
    }
    assert read() == Facts("access-log", 1, "csv")


def test_nested_facts_are_written_field_by_field() -> None:
    facts = Facts(
        "access-log",
        1,
        "csv",
        gaps=(Gap("2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z", 3600),),
        tools=(ToolUse("shell", 3, 1),),
        findings=(Finding("dlp", "secret", 2, None, "blocked"),),
        decisions=(Decision("denied", 4),),
        models=(Model("gpt-4o"),),
        approvals=(Approval("deploy 7", "approved"),),
        rollbacks=(Rollback("web", "succeeded"),),
    )
    assert facts.to_json() == {
        **SMALL,
        "clock": "none",
        **{name: [value] for name, value in NESTED.items()},
    }
    assert read(**{name: [value] for name, value in NESTED.items()}) == facts


def test_what_an_entry_may_leave_out_is_written_only_where_it_says_something() -> None:
    full = {
        "models": {"name": "o3-2025-04-16", "requested": 2, "returned": 1, "exact": "exact"},
        "rollbacks": {
            "target": "web",
            "state": "failed",
            "direction": "back",
            "from": "v2",
            "to": "v1",
            "actor": "ada",
            "started_at": "2026-01-01T00:00:00Z",
            "at": "2026-01-01T00:01:00Z",
        },
        "tickets": {"id": "7", "title": "leak", "severity": "P1", "severity_norm": "critical"},
    }
    facts = read(**{name: [value] for name, value in full.items()})
    assert facts.rollbacks[0].from_ == "v2"
    written = facts.to_json()
    assert {name: written[name][0] for name in full} == full


def test_models_asked_for_and_models_that_answered_are_told_apart() -> None:
    facts = Facts("p", 1, "f", models=(Model("a", 1), Model("b", 0, 2), Model("c", 1, 1)))
    assert facts.models_requested == ("a", "c")
    assert facts.models_returned == ("b", "c")


@pytest.mark.parametrize(
    ("name", "key"),
    [(name, None) for name in WORDS]
    + [(name, field.name) for name in NESTED for field in fields(ENTRIES[name]) if field.metadata],
)
def test_a_word_that_is_not_on_the_list_is_refused(name: str, key: str | None) -> None:
    wrong: Any = "perhaps" if key is None else [{**NESTED[name], key: "perhaps"}]
    with pytest.raises(MalformedError, match=rf"{key or name}: expected one of "):
        read(**{name: wrong})


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(MalformedError, match="facts: unknown field 'mood'"):
        read(mood="good")


@pytest.mark.parametrize("name", NESTED)
def test_an_unknown_field_further_in_is_refused(name: str) -> None:
    with pytest.raises(MalformedError, match="unknown field 'mood'"):
        read(**{name: [{**NESTED[name], "mood": "good"}]})


@pytest.mark.parametrize("name", SMALL)
def test_facts_without_their_parser_version_or_format_are_refused(name: str) -> None:
    with pytest.raises(MalformedError, match=f"field '{name}' is missing"):
        Facts.from_json({key: SMALL[key] for key in SMALL if key != name}, where="facts")


@pytest.mark.parametrize(("name", "field"), [(n, f) for n, value in NESTED.items() for f in value])
def test_a_missing_field_further_in_is_refused(name: str, field: str) -> None:
    value = {key: NESTED[name][key] for key in NESTED[name] if key != field}
    with pytest.raises(MalformedError, match=f"field '{field}' is missing"):
        read(**{name: [value]})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("parser", None),
        ("parser", "x" * (TEXT_CAP + 1)),
        ("version", "1"),
        ("version", -1),
        ("version", True),
        ("format", 1),
        ("format", "x" * (TEXT_CAP + 1)),
        ("records", -1),
        ("records", None),
        ("bad_records", True),
        ("bad_offsets", ["1"]),
        ("bad_offsets", [True]),
        ("bad_offsets", [-1]),
        ("bad_offsets", {}),
        ("clock", "utc"),
        ("clock", None),
        ("first", None),
        ("first", 0),
        ("last", "x" * (TEXT_CAP + 1)),
        ("last_tool", ["shell"]),
        ("platforms", "linux"),
        ("runs", [1]),
        ("gaps", ["x"]),
        ("gaps", [{**NESTED["gaps"], "seconds": -1}]),
        ("gaps", [{**NESTED["gaps"], "start": None}]),
        ("tools", [{**NESTED["tools"], "calls": True}]),
        ("tools", [{**NESTED["tools"], "unfinished": None}]),
        ("findings", [{**NESTED["findings"], "count": "2"}]),
        ("findings", [{**NESTED["findings"], "at": 0}]),
        ("findings", [{**NESTED["findings"], "label": None}]),
    ],
)
def test_a_fact_of_another_kind_is_refused(name: str, value: Any) -> None:
    with pytest.raises(MalformedError, match=r"\Afacts\."):
        read(**{name: value})


@pytest.mark.parametrize(
    ("name", "entry"),
    [
        *((name, "x") for name in TEXT_LISTS),
        ("bad_offsets", 1),
        *NESTED.items(),
    ],
)
def test_a_list_is_read_up_to_its_cap_and_refused_beyond(name: str, entry: Any) -> None:
    assert len(getattr(read(**{name: [entry] * CAP}), name)) == CAP
    with pytest.raises(MalformedError, match=f"at most {CAP}"):
        read(**{name: [entry] * (CAP + 1)})


@pytest.mark.parametrize("value", [None, [], "facts", 1])
def test_facts_that_are_no_object_are_refused(value: object) -> None:
    with pytest.raises(MalformedError, match="facts: expected a JSON object"):
        Facts.from_json(value, where="facts")


GOOD = "2026-03-02T09:12:40.123456+02:00"
EVERY_TIME = {
    "first": GOOD,
    "last": GOOD,
    "gaps": [{"start": GOOD, "end": GOOD, "seconds": 1}],
    "coverage": [{"start": GOOD, "end": GOOD}],
    "activities": [{"principal": "p", "first": GOOD, "last": GOOD, "count": 1}],
    "findings": [
        {"detector": "d", "label": "l", "count": 1, "at": None, "disposition": None},
        {"detector": "d", "label": "l", "count": 1, "at": GOOD, "disposition": None},
    ],
    "approvals": [{"subject": "s", "state": "approved", "at": GOOD}],
    "rollbacks": [{"target": "t", "state": "started", "started_at": GOOD, "at": GOOD}],
    "validations": [{"name": "n", "result": "passed", "at": GOOD}],
    "tickets": [
        {"id": "i", "title": "t", "opened_at": GOOD, "acknowledged_at": GOOD, "resolved_at": GOOD}
    ],
}
"""Facts in which every time of FORMAT.md §5 stands."""


def places(value: Any, path: str = "facts") -> list[tuple[str, Any, Any]]:
    """Each time with its place, what holds it, and under which key."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    found = []
    for key, each in pairs:
        here = f"{path}[{key}]" if isinstance(key, int) else f"{path}.{key}"
        if isinstance(each, dict | list):
            found += places(each, here)
        elif each == GOOD:
            found.append((here, value, key))
    return found


@pytest.mark.parametrize("bad", ["2026-03-02T09:12:40", "noon", "", "2026-13-01T00:00:00Z"])
def test_a_time_that_is_none_is_named_with_its_place(bad: str) -> None:
    stated = {"parser": "p", "version": 1, "format": "f", **EVERY_TIME}
    check_times(Facts.from_json(stated, where="facts"), where="facts")
    assert len(places(stated)) == 16
    for place, holder, key in places(stated):
        holder[key] = bad
        facts = Facts.from_json(stated, where="facts")
        with pytest.raises(MalformedError) as caught:
            check_times(facts, where="facts")
        assert str(caught.value) == f"{place}: {bad!r} is no time with a zone"
        holder[key] = GOOD
