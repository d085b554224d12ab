"""One axis, and times that are never merged: what is placed, by whose word, and what is not."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any

import pytest
from attestation_examples import FULL
from chain_story import INCIDENT, START
from cli_support import check
from hypothesis import given
from hypothesis import strategies as st
from told_story import Told

from vault.timeline import Claimant, timeline_csv
from vault.timeline_page import timeline_page
from verify.attestation import AttestationType
from verify.facts import Approval, Finding, Rollback, Ticket, Validation
from verify.statement import Type
from verify.strictjson import Object

GRACE = {"authenticated": "attested", "person": "Grace"}


def at(hour: int, minute: int = 0) -> str:
    return f"2026-03-02T{hour:02d}:{minute:02d}:00Z"


def moment(hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 3, 2, hour, minute, tzinfo=UTC)


def phase(hour: int) -> Object:
    return {"at": at(hour), "event": "phase", "exhibits": [], "phase": "contained"}


def test_an_incident_of_one_link_has_its_detection_and_its_declaration() -> None:
    lines = Told().timeline().lines
    assert [(line.event, line.cites) for line in lines] == [
        ("detected", "link 0"),
        ("declared", "link 0"),
    ]
    assert all(line.claim and line.claim.by == Claimant.PERSON for line in lines)


def test_a_claim_places_a_line_and_the_vaults_clock_stands_beside_it_unmerged() -> None:
    told = Told()
    told.say(Type.INCIDENT, phase(7))
    line = told.line("contained")
    assert (line.start, line.received) == (moment(7), START + timedelta(minutes=1))
    shown = line.to_json()
    assert (shown["claimed"]["from"], shown["received_at"], shown["stamped_at"]) == (
        at(7), at(9, 1), None,
    )  # fmt: skip
    assert shown["placed_by"] == "claimed"
    assert told.timeline().lines[0] == line, "two hours before it was declared"


def test_what_claims_nothing_stands_where_it_was_received() -> None:
    told = Told().exhibit(clock="none")
    line = told.line("captured")
    assert (line.claim, line.start) == (None, START + timedelta(minutes=1))
    assert line.to_json()["placed_by"] == "received"


def test_an_exhibit_stands_from_its_first_record_to_its_last_with_its_clocks_quality() -> None:
    told = Told().exhibit(
        clock="zoned", time_unit="ns", precision="ms", first="2026-03-02T10:00:00+02:00",
        last=at(11),
    )  # fmt: skip
    line = told.line("observed")
    assert line.claim
    assert (line.claim.start, line.claim.end) == (moment(8), moment(11))
    assert line.exhibits == ("EV-0001",)
    claimed = line.to_json()["claimed"]
    assert (claimed["by"], claimed["zone"], claimed["unit"], claimed["precision"]) == (
        "records", "zoned", "ns", "ms",
    )  # fmt: skip
    assert claimed["from"] == at(8)


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"clock": "none"}, "no times"),
        ({"clock": "unzoned", "raw_first": "10:00", "raw_last": "11:00"}, "no zone"),
        # What a parser of somebody else may claim: a place is not given for the asking.
        ({"clock": "unzoned", "first": at(8), "last": at(9)}, "no zone"),
        ({"clock": "zoned"}, "could not be read"),
        ({"clock": "zoned", "first": "2026-03-02T10:00:00", "last": at(11)}, "could not be read"),
        ({"clock": "zoned", "first": "yesterday", "last": at(11)}, "could not be read"),
        (
            {"clock": "zoned", "first": "0001-01-01T00:00:00+14:00", "last": at(11)},
            "could not be read",
        ),
    ],
)
def test_an_exhibit_whose_times_name_no_instant_is_listed_beside_the_axis(
    facts: dict[str, Any], reason: str
) -> None:
    timeline = Told().exhibit(**facts).timeline()
    assert "observed" not in [line.event for line in timeline.lines]
    [beside] = timeline.unplaced
    assert (beside.exhibit, beside.raw_first) == ("EV-0001", facts.get("raw_first"))
    assert reason in beside.reason


def test_what_records_put_at_a_time_has_lines_of_its_own_and_the_rest_has_none() -> None:
    told = Told().exhibit(
        clock="mixed",
        first=at(8),
        last=at(12),
        findings=(
            Finding("macie", "pii", 2, at(8), "blocked"),
            Finding("macie", "without a time", 1, None, None),
        ),
        rollbacks=(
            Rollback("crm", "succeeded", "back", "v2", "v1", None, at(9), at(10)),
            Rollback("crm", "succeeded", "unknown", None, None, None, None, at(11)),
        ),
        validations=(Validation("smoke", "passed", at(11)),),
        approvals=(Approval("PR 7", "approved", "Grace", at(12)),),
        tickets=(Ticket("T-1", "Mail", opened_at=at(8), acknowledged_at=at(8, 5)),),
    )
    lines = [line for line in told.timeline().lines if line.exhibits and line.event != "captured"]
    assert {(line.event, line.start, line.claim.end if line.claim else None) for line in lines} == {
        ("observed", moment(8), moment(12)),
        ("alert", moment(8), moment(8)),
        ("rollback", moment(9), moment(10)),
        ("change", moment(11), moment(11)),
        ("check", moment(11), moment(11)),
        ("approval", moment(12), moment(12)),
        ("ticket opened", moment(8), moment(8)),
        ("ticket acknowledged", moment(8, 5), moment(8, 5)),
    }
    assert told.line("alert").detail == "2 x pii by macie, blocked"
    assert all(line.claim and line.claim.quality.zone == "mixed" for line in lines)


@pytest.mark.parametrize("type_", AttestationType)
def test_every_attestation_stands_where_the_act_is_claimed_to_have_been(
    type_: AttestationType,
) -> None:
    told = Told().exhibit(clock="none")
    fields = FULL[type_]
    told.say(
        Type.ATTESTATION,
        {
            "approved_by": GRACE if type_ == AttestationType.NOT_APPLICABLE else None,
            "attestation": type_.value,
            "exhibits": ["EV-0001"],
            "fields": fields,
            "statement": None,
        },
    )
    line = told.line("attested")
    start = fields.get("started_at") or fields.get("approved_at") or fields.get("at")
    if start is None:
        assert line.claim is None, "what it looked at, or nothing: not when it was done"
        return
    assert line.claim
    assert line.claim.start == datetime.fromisoformat(start)
    assert line.claim.end == datetime.fromisoformat(fields.get("ended_at", start))


def test_lines_are_in_order_whatever_the_order_of_the_chain() -> None:
    told = Told()
    told.say(Type.INCIDENT, phase(15))
    told.exhibit(clock="zoned", first=at(14), last=at(23))
    told.say(Type.INCIDENT, phase(3))
    starts = [line.start for line in told.timeline().lines]
    assert starts == sorted(starts)
    assert (starts[0], starts[-1]) == (moment(3), moment(15))


def test_a_withdrawn_exhibit_is_marked_and_stays() -> None:
    told = Told().exhibit(clock="zoned", first=at(8), last=at(9))
    told.say(
        Type.CUSTODY, {"event": "withdrawn", "exhibits": ["EV-0001"], "reason": "another case"}
    )
    assert told.line("observed").detail.startswith("[exhibit withdrawn: another case]")


HOSTILE = [
    '=HYPERLINK("http://x","y")', "+1", "-1", "@SUM(1)", "\t=1", "\r=1", "\uff1d1",
    "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "a\x00b\x1b[2Jc", "x\u202ey",
    "two\nlines", "&lt;", "\ud800",
]  # fmt: skip


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        assert not any(name.startswith("on") or name in ("src", "href") for name, _ in attrs)


def hostile(evil: str) -> Told:
    told = Told().exhibit(
        name=evil, clock="zoned", first=at(8), last=at(9), time_unit="text",
        findings=(Finding(evil, evil, 1, at(8), evil),),
    )  # fmt: skip
    return told.exhibit(name=evil, clock="unzoned", raw_first=evil, raw_last=evil)


def check_hostile(evil: str) -> None:
    told = hostile(evil)
    timeline = told.timeline()
    rows = list(csv.reader(io.StringIO(timeline_csv(timeline).decode("utf-8"), newline="")))
    assert {len(row) for row in rows} == {12}
    assert len(rows) == 1 + len(timeline.lines) + len(timeline.unplaced), "a line is a line"
    for cell in (cell for row in rows for cell in row if cell):
        assert cell[0] not in "=+-@\t\r\n\uff1d\uff0b\uff0d\uff20"
        assert "\x1b" not in cell
    page = timeline_page(told.incident, timeline, evault="0")
    tags = Tags()
    tags.feed(page.decode("utf-8"))
    assert not tags.seen & {"script", "img", "a", "link", "iframe"}
    assert b"default-src 'none'" in page
    json.dumps([line.to_json() for line in timeline.lines], ensure_ascii=True)


@pytest.mark.parametrize("evil", HOSTILE)
def test_a_hostile_value_is_text_in_every_view(evil: str) -> None:
    check_hostile(evil)


@given(st.text(min_size=1, max_size=40))
def test_any_value_is_text_in_every_view(evil: str) -> None:
    check_hostile(evil)


def test_the_page_tells_the_three_clocks_apart_and_what_has_no_place() -> None:
    told = Told().exhibit(clock="unzoned", raw_first="10:00", raw_last="11:00")
    page = timeline_page(told.incident, told.timeline(), evault="0").decode()
    for words in ("Received by the vault (UTC)", "Claimed (UTC)", "no time authority dates",
                  "10:00 to 11:00", told.incident.leaf):  # fmt: skip
        assert words in page


def test_the_answer_has_the_shape_of_the_schema() -> None:
    timeline = hostile("=1").timeline()
    check(
        "timeline",
        {
            "counts": {"lines": len(timeline.lines), "unplaced": len(timeline.unplaced)},
            "head": {"leaf_hash": "0" * 64, "sequence": 1},
            "incident": INCIDENT,
            "items": [line.to_json() for line in timeline.lines],
            "output": None,
            "unplaced": [each.to_json() for each in timeline.unplaced],
        },
    )
