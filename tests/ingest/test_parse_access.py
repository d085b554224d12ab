"""What access logs share: as quick as it is, it says what the plain way says; lines are lines."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.parsers import HEAD_SIZE, read_facts
from ingest.parsers.access import Datasets, Identities, Requests, of_status, summary
from ingest.parsers.gathering import Gathered
from ingest.parsers.generic import JsonParser
from ingest.parsers.lines import LINE_LIMIT, LineReader, first_lines
from verify.facts import CAP, Activity, Decision, Facts

PARSER = JsonParser()
FRACTIONS = st.sampled_from(["", ".5", ".50", ".123", ".123456", ".123456789", ".1234567891", "."])
SECONDS = st.sampled_from(["00", "07", "30", "59", "60", "61", "6", "x1", "٣٠", "-1", " 5"])
ZONES = st.sampled_from(["Z", "Z", "Z", "z", "", "+00:00", "+02:00", "ZZ"])
DAYS = st.sampled_from(
    ["2026-03-01T10:00:", "2026-03-01T10:07:", "2026-03-01 10:00:", "1969-12-31T23:59:"]
)
TIMES = st.builds(lambda *parts: "".join(parts), DAYS, SECONDS, FRACTIONS, ZONES)
WHEN = TIMES | st.sampled_from([1772359200, 1772359200123, None, "", "soon", [], 1.5])
WHO = st.sampled_from(["a", "b", "", None, 7])


def quick(steps: list[tuple[Any, Any]], *, gaps: bool) -> Facts:
    requests = Requests(gaps=gaps)
    for number, (when, who) in enumerate(steps):
        requests.happened(when, requests.actor(who))
        if number % 5 == 4:
            requests.add_up()
    return requests.facts(PARSER)


def plain(steps: list[tuple[Any, Any]], *, gaps: bool) -> Facts:
    gathered = Gathered(gaps=gaps)
    for when, who in steps:
        gathered.activity(who, gathered.time(when))
    return gathered.facts(PARSER)


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(WHEN, WHO), max_size=30), st.booleans(), st.randoms())
def test_requests_say_what_gathered_says(
    steps: list[tuple[Any, Any]], gaps: bool, chance: Any
) -> None:
    facts = quick(steps, gaps=gaps)
    assert facts == plain(steps, gaps=gaps)
    chance.shuffle(steps)
    assert quick(steps, gaps=gaps) == facts


UUIDS = st.builds(
    lambda number, text: text.format(number, number * 7 % 5),
    st.integers(0, 6),
    st.sampled_from(
        [
            "{0:}1111111-1111-1111-{0:}111-{0:}11111111111",
            "{:08x}-0000-4000-8000-{:012x}",
            "{:08X}-aaaa-4000-8000-{:012x}",
            "id{}",
        ]
    ),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(UUIDS | st.sampled_from(["", "\ud800", "a" * 36, "-" * 36]), max_size=40))
def test_duplicates_are_those_that_a_set_finds(ids: list[str]) -> None:
    identities = Identities()
    for each in ids * 60:
        identities.add(each)
    assert identities.duplicates() == len(ids) * 60 - len(set(ids))
    assert not identities.full
    requests, gathered = Requests(), Gathered()
    for each in (*ids, None, 7):
        requests.record(each)
        gathered.record(each)
    assert requests.facts(PARSER) == gathered.facts(PARSER)


@pytest.mark.slow
def test_many_ids_are_counted_in_parts_and_too_many_are_told() -> None:
    identities = Identities(most=600_000)
    for number in range(300_000):
        identities.add(f"{number:08x}-0000-4000-8000-{number * 7919:012x}")
    for number in range(300_000):
        identities.add(f"{number:08x}-0000-4000-8000-{number * 7919:012x}")
    assert not identities.full
    assert identities.duplicates() == 300_000
    identities.add("one more")
    assert identities.full
    assert identities.duplicates() == 300_000


def test_whole_datasets_come_before_their_parts() -> None:
    datasets = Datasets(cap=3)
    for name in ("b", "a"):
        for part in range(9):
            datasets.add(name, f"{part}")
    facts = datasets.into(Facts("p", 1, "f"))
    assert facts.datasets == ("a", "a/0", "b")
    assert facts.capped == ("datasets",)
    few = Datasets()
    few.add("x", 7)
    assert few.into(Facts("p", 1, "f", capped=("gaps",))).datasets == ("x",)


def test_a_status_is_a_decision() -> None:
    said = {
        code: of_status(code) for code in (None, 0, 101, 200, 304, 401, 403, 404, 407, 500, 600)
    }
    assert said == {
        None: "unknown",
        0: "unknown",
        101: "allowed",
        200: "allowed",
        304: "allowed",
        401: "denied",
        403: "denied",
        404: "failed",
        407: "denied",
        500: "failed",
        600: "unknown",
    }


def test_the_summary_is_one_line() -> None:
    facts = Facts("p", 1, "f", records=2, principals=("a",), decisions=(Decision("denied", 1234),))
    assert summary(Facts("p", 1, "f"), "event") == "no events"
    assert summary(facts, "event") == "2 events, 1 principal, no times, 1,234 denied"
    walls = replace(facts, raw_first="10:00", raw_last="11:00", decisions=())
    assert summary(walls, "event", "x", "") == (
        "2 events, 1 principal, 10:00 to 11:00 without a zone, x"
    )
    many = replace(facts, capped=("principals",), first="2026-03-01T10:00:00Z")
    many = replace(many, last="2026-03-02T10:00:00Z", decisions=())
    assert summary(many, "event") == (
        f"2 events, more than {CAP} principals, 2026-03-01T10:00:00Z to 2026-03-02T10:00:00Z"
    )


def test_many_actors_are_added_up() -> None:
    requests = Requests()
    for number in range(30_000):
        requests.happened(f"2026-03-01T{number // 3600:02}:{number // 60 % 60:02}:00Z",
                          requests.actor("a" if number % 2 else "b"))  # fmt: skip
    assert requests.facts(PARSER).activities == (
        Activity("a", "2026-03-01T00:00:00Z", "2026-03-01T08:19:00Z", 15_000),
        Activity("b", "2026-03-01T00:00:00Z", "2026-03-01T08:19:00Z", 15_000),
    )


# Lines.


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.sampled_from([b"a", b"\n", b"\r\n", b"\xff", b"\xc3\xa9", b"\xef\xbb\xbf", b"b c"])
    ),
    st.integers(3, 9),
)
def test_lines_do_not_depend_on_how_they_are_read(parts: list[bytes], chunk: int) -> None:
    data = b"".join(parts)
    found = list(LineReader(io.BytesIO(data), chunk_size=chunk))
    assert found == list(LineReader(io.BytesIO(data)))
    begins = 3 if data.startswith(b"\xef\xbb\xbf") else 0
    expected = []
    for line in data[begins:].split(b"\n"):
        if text := line.rstrip(b"\r"):
            expected.append((begins, text.decode("utf-8", "surrogateescape")))
        begins += len(line) + 1
    assert found == expected


@pytest.mark.slow
def test_a_line_that_is_too_long_is_one_bad_record() -> None:
    long = b"x" * (LINE_LIMIT + 1)
    data = b"a\n" + long + b"\nb\n" + long + long
    for chunk in (1000, 1 << 18, 1 << 22):
        reader = LineReader(io.BytesIO(data), chunk_size=chunk)
        assert [text for _, text in reader] == ["a", "b"]
        assert (reader.bad, reader.bad_offsets) == (2, [2, 2 + len(long) + 3])
        assert reader.problems() == ("2 bad records: longer than 1 MiB",)


def test_the_last_line_of_a_head_may_be_cut_off() -> None:
    assert first_lines(b"\xef\xbb\xbfa\r\n\nb\nc") == ["a", "b"]
    assert first_lines(b"a\nb\n") == ["a", "b"]
    assert first_lines(b"only") == ["only"]
    assert first_lines(b"") == []


def test_keys_that_all_formats_have_claim_no_document() -> None:
    keys = (
        "category time identity resourceId correlationId operationName caller claims Operation "
        "UserId Workload OrganizationId logger session_id backend_type log_time stage verb level "
        "requestURI metadata severity_id type_uid activity_id protoPayload logName timestamp"
    )
    document = {key: {"x": "y"} for key in keys.split(" ")} | {"text": "z" * HEAD_SIZE}
    for form in (document, [document], {"records": [document]}, {"value": [document]}):
        data = json.dumps(form).encode()
        facts = read_facts(io.BytesIO(data), head=data[:HEAD_SIZE], name="x.json").facts
        assert facts.parser == "json"
