"""The pages of a bundle: deterministic, inert, whole, and honest about what they do not say."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import re
import subprocess
import sys
import zipfile
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import verify.checklist
from cli.main import execute
from vault.custody import CustodyRow, ReadingRow
from vault.pages import (
    ExhibitLine,
    HoldLine,
    Keeping,
    PageHead,
    ReleaseLine,
    completeness_page,
    custody_csv,
    custody_page,
    keeping_of,
    verify_page,
)
from verify.checklist import Answer, State, Timeliness, assess
from verify.declaration import Setting
from verify.incident import Hold, Incident
from verify.profile import parse_profile
from verify.retention import parse_hold
from verify.statement import Actor
from verify.strictjson import Object
from verify.trust import DEFAULT_REQUIRED, Step

LONG = "218007301253_CloudTrail_us-east-1_20230710T1205Z_86g9Vok9HiUCgSI7.json"
HOSTILE = (
    "<script>alert(1)</script>",
    "</title></style><img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)',
    "a\x00b\x1b[31m\r\n\tc\x7f\x9b",
    "evil\u202egnp.exe\u2066\u200b\ufeff",
    "\ud800 lone",
    "tag\U000e0041",
    "A" * 5_000,
    "{0} {facts} %s %(x)s \\g<0>",
)
UNSEEN = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
VOID = {"meta", "br", "wbr"}


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


HEAD = PageHead(
    incident_id="INC-2023-0007",
    title="Agent copied a customer export",
    severity="sev1",
    tier="4 (until someone decides)",
    systems=("aws:218007301253", "agent:banking"),
    detected_at="2023-07-10T12:05:00Z",
    declared_at="2023-07-10T12:14:30Z",
    as_of="2023-07-10T13:02:09.250Z",
    purpose="production, request no. 14",
    recipient="Harper & Voss LLP",
    export_sequence=3,
    origin="evault.invalid/9f3c41d7a6b20e55",
    trust_sha256=digest("trust"),
    evault="0.1.0",
)
ROWS = [
    CustodyRow(
        0, "2023-07-10T12:31:07Z", "declared", "sev1, tier 2", (), "ada@lab", digest("0"), 7
    ),
    CustodyRow(
        1,
        "2023-07-10T12:31:44Z",
        "captured",
        "EV-0001..0002",
        ("EV-0001", "EV-0002"),
        'ada@lab (uid 1000, local), calling themselves "Ada"',
        digest("1"),
        9,
    ),
    CustodyRow(2, "2023-07-10T13:02:09Z", "assessed", "0 of 6", (), "ada@lab", digest("2"), None),
]
LINE = ExhibitLine(
    exhibit="EV-0001",
    name=f"cloudtrail/{LONG}",
    label="AWS CloudTrail",
    summary="412 events, 3 principals",
    kinds=("access_log",),
    sha256=digest("EV-0001"),
    size=1_234_567,
    modified_at="2023-07-10T12:10:00Z",
    captured_at="2023-07-10T12:31:43.118Z",
    received_at="2023-07-10T12:31:44Z",
    sequence=1,
    withheld=None,
    withdrawn=None,
)
RELEASE = ReleaseLine(
    at="2023-07-12T09:00:11Z",
    sequence=9,
    actor="bob@lab (uid 1001, local)",
    reason="settled, see EV-0001",
    approved_by="Grace Hopper",
    shown_by=("EV-0001", "EV-0002"),
)
HOLDS = (
    HoldLine("Smith v. Jones", "served", "Legal", "2023-07-10T12:40:00Z", 5, "ada@lab", None),
    HoldLine("Inquiry 77", "a letter", None, "2023-07-10T12:45:00Z", 6, "ada@lab", RELEASE),
)
HELD = replace(HEAD, keeping=Keeping(HOLDS, "2033-07-10T00:00:00Z", 7, compliance=True))


def report() -> Object:
    """A real report, of an incident that was only declared."""
    incident = Incident("INC-2023-0007", sequence=1, leaf=digest("1"))
    incident.fields = {
        "title": HEAD.title,
        "severity": "sev1",
        "tier": "unknown",
        "systems": list(HEAD.systems),
        "trigger": "egress",
        "detected_at": HEAD.detected_at,
        "declared_at": HEAD.declared_at,
    }
    declared = datetime(2023, 7, 10, 12, 31, 7, tzinfo=UTC)
    incident.declared_recorded_at = incident.recorded_at = declared
    incident.settings = [
        Setting(name, value, incident.declared_at, declared, 0, None)
        for name, value in incident.fields.items()
    ]
    profile = Path(verify.checklist.__file__).with_name("profile.json")
    as_of = datetime(2023, 7, 10, 13, 2, tzinfo=UTC)
    return assess(parse_profile(profile.read_bytes()), incident, {}, as_of=as_of)


def condition(id_: str, answer: str, exhibits: list[str], *, detail: str = "") -> Object:
    return {"answer": answer, "asks": f"asks {id_}", "detail": detail, "exhibits": exhibits,
            "exhibits_count": len(exhibits), "id": id_, "links": [], "waivers": []}  # fmt: skip


def contradiction(**changed: Any) -> Object:
    sides = [{"record": "EV-0001", "says": "a"}, {"record": "link 3", "says": "b"}]
    return {"asks": "one", "closed_by": None, "condition": "C1.one", "detail": "x", "item": "C1",
            "sides": sides, **changed}  # fmt: skip


def waiver(**changed: Any) -> Object:
    return {"approved_by": "Grace", "authenticated": "attested", "covers": [], "scope": [],
            "conditions": ["C1.two"], "id": "W-0001", "owner": "CTO",
            "reason": "none to be had", "standing": "live", "valid_to": "2023-08-01T00:00:00Z",
            **changed}  # fmt: skip


def item(**changed: Any) -> Object:
    return {
        "checks": [],
        "conditions": [
            condition("C1.one", "pass", ["EV-0001"]),
            condition("C1.two", "fail", [], detail="no x"),
        ],
        "exhibits": ["EV-0001", "EV-0002", "EV-0003"],
        "exhibits_count": 3,
        "id": "C1",
        "integrity": "verified",
        "next": [],
        "owner": "forensics_lead",
        "person": "Ada",
        "reason": "no x",
        "state": "partial",
        "timeliness": None,
        "title": "first. second",
        "trigger": None,
        "underlying": None,
        **changed,
    }


class Outline(HTMLParser):
    """Checks that every element is closed in order, and gathers what the page is made of."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.headings: list[int] = []
        self.text = ""
        self.style = ""
        self.feed(page.decode("utf-8"))
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        assert len(dict(attrs)) == len(attrs)
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "style":
            self.style += data
        else:
            self.text += data


def all_pages(head: PageHead = HEAD, **changed: Any) -> list[bytes]:
    return [
        completeness_page(head, report(), None),
        custody_page(head, ROWS, [replace(LINE, **changed)]),
    ]


# --- structure ---------------------------------------------------------------------------------


def test_the_pages_are_whole_and_in_order() -> None:
    for page in (*all_pages(), *all_pages(HELD)):
        outline = Outline(page)
        assert page.startswith(b"<!DOCTYPE html>\n")
        assert page.endswith(b"</html>\n")
        assert b"\r" not in page
        assert ("html", {"lang": "en"}) in outline.tags
        assert outline.headings[0] == 1
        assert outline.headings.count(1) == 1
        assert all(b - a <= 1 for a, b in zip(outline.headings, outline.headings[1:], strict=False))
        heads = [attrs for tag, attrs in outline.tags if tag == "th"]
        assert heads
        assert {attrs["scope"] for attrs in heads} == {"col", "row"}


def test_every_row_of_a_table_is_as_wide_as_its_head() -> None:
    for page in all_pages(HELD):
        for table in re.findall(r"<table.*?</table>", page.decode(), re.DOTALL):
            widths = [
                sum(int(span or 1) for span in re.findall(r'<t[hd]\b(?: colspan="(\d)")?', row))
                for row in re.findall(r"<tr>.*?</tr>", table, re.DOTALL)
            ]
            assert len(set(widths)) == 1, table


def test_nothing_runs_and_nothing_is_fetched() -> None:
    for page in all_pages():
        outline = Outline(page)
        for word in (b"http://", b"https://", b"src=", b"href=", b"url(", b"@import", b"<script"):
            assert word not in page
        names = {name for _, attrs in outline.tags for name in attrs}
        assert not {name for name in names if name.startswith("on")} | (names & {"style", "src"})
        style = base64.b64encode(hashlib.sha256(outline.style.encode()).digest()).decode()
        (policy,) = [a["content"] for _, a in outline.tags if "http-equiv" in a]
        assert policy is not None
        assert "default-src 'none'" in policy
        assert f"'sha256-{style}'" in policy


@pytest.mark.slow
def test_the_same_arguments_give_the_same_bytes_in_any_process() -> None:
    first = hashlib.sha256(b"".join(all_pages(HELD))).hexdigest()
    code = (
        "import hashlib, sys; sys.path[:0] = sys.argv[1:]; import test_pages as t;"
        "print(hashlib.sha256(b''.join(t.all_pages(t.HELD))).hexdigest())"
    )
    for seed, zone in (("1", "Asia/Kathmandu"), ("2", "UTC")):
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                code,
                str(Path(__file__).parent),
                str(Path(__file__).parents[2]),
            ],
            env={"PYTHONHASHSEED": seed, "TZ": zone, "LC_ALL": "C"},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == first


# --- hostile values ----------------------------------------------------------------------------


@pytest.mark.parametrize("evil", HOSTILE)
def test_a_hostile_value_stays_text_everywhere(evil: str) -> None:
    plain = [tag for page in all_pages(HELD) for tag, _ in Outline(page).tags]
    head = replace(HEAD, title=evil, systems=(evil, "b"), purpose=evil, recipient=evil, tier=evil)
    bad = report()
    bad["evidence"][0] = item(title=evil, reason=evil, state=evil[:9], integrity=evil)
    bad["evidence"][0]["conditions"][0] |= {"detail": evil, "asks": evil, "answer": evil}
    bad["evidence"][0] |= {"person": evil}
    sides = [{"record": evil, "says": evil}]
    closed = {"believed": evil, "link": 1, "reason": evil}
    bad["contradictions"] = [contradiction(condition=evil, detail=evil, sides=sides,
                                           closed_by=closed)]  # fmt: skip
    bad["waivers"] = [waiver(approved_by=evil, conditions=[evil], id=evil, owner=evil,
                             reason=evil, standing=evil)]  # fmt: skip
    bad["next"][0]["command"] = ["evault", evil]
    bad["verdict"] = bad["clocks"][0]["timeliness"] = bad["profile"]["name"] = evil
    line = replace(LINE, name=evil, label=evil, summary=evil, kinds=(evil,), modified_at=evil)
    line = replace(line, withdrawn=evil)
    row = replace(ROWS[0], event=evil, detail=evil, actor=evil, recorded_at=evil)
    release = replace(RELEASE, at=evil, actor=evil, reason=evil, approved_by=evil)
    hold = HoldLine(evil, evil, evil, evil, 5, evil, release)
    live = replace(hold, release=None)
    head = replace(head, keeping=Keeping((hold, live), evil, 7, compliance=True))
    pages = [completeness_page(head, bad, None), custody_page(head, [row], [line])]
    for page in pages:
        outline = Outline(page)
        assert {tag for tag, _ in outline.tags} <= set(plain)
        assert not UNSEEN.search(outline.text)
        assert b"<script" not in page
        assert b"<img" not in page
        assert evil in outline.text or ("[U+" in outline.text and not evil.isprintable())


def test_what_cannot_be_seen_is_spelled_out() -> None:
    outline = Outline(all_pages(name="a\x1bb\u202ec\u2066d\n\ud800\U000e0041 \u00e9\u4e16")[1])
    shown = "a[U+001B]b[U+202E]c[U+2066]d[U+000A][U+D800][U+E0041] \u00e9\u4e16"
    assert shown in outline.text


def test_an_incident_id_cannot_leave_the_footer() -> None:
    page = all_pages(replace(HEAD, incident_id='x"; } body { display: none } /* </style>'))[0]
    assert "display: none } /*" not in Outline(page).style


@given(st.text(st.characters(exclude_categories=()), max_size=60))
def test_any_name_gives_a_page_that_parses(name: str) -> None:
    Outline(custody_page(HEAD, ROWS, [replace(LINE, name=name, withheld=None)]))
    verify_page(replace(HEAD, title=name), required=[])


# --- completeness ------------------------------------------------------------------------------


def test_the_summary_counts_with_denominators() -> None:
    text = Outline(completeness_page(HEAD, report(), None)).text
    assert "0 of 6 evidence items satisfied, 2 partial, 4 missing." in text
    assert "0 of 10 duties satisfied, 1 partial, 9 missing." in text
    assert "At least one item is neither satisfied nor waived." in text
    assert re.search(r"\d of 5 met", text)


@pytest.mark.parametrize("state", list(State))
def test_every_state_is_told_by_a_word(state: State) -> None:
    made = report()
    made["evidence"] = [item(state=state.value)]
    made["counts"]["evidence"] |= {"of": 1, "satisfied": 0, state.value: 1}
    text = Outline(completeness_page(HEAD, made, None)).text
    word = state.value.replace("_", " ")
    assert text.count(word.capitalize()) >= 2
    assert re.search(rf"\b1 {word}|1 of 1 evidence items {word}", text)
    assert "first. second" in text.lower()


@pytest.mark.parametrize("answer", list(Answer))
def test_every_answer_is_told_by_a_word(answer: Answer) -> None:
    made = report()
    made["evidence"] = [item()]
    made["evidence"][0]["conditions"][0]["answer"] = answer.value
    words = {"pass": "Yes", "fail": "No", "unknown": "Unknown", "conflict": "Conflict"}
    assert words[answer.value] in Outline(completeness_page(HEAD, made, None)).text


@pytest.mark.parametrize("timeliness", list(Timeliness))
def test_every_clock_outcome_is_explained(timeliness: Timeliness) -> None:
    made = report()
    made["clocks"][0]["timeliness"] = timeliness.value
    text = Outline(completeness_page(HEAD, made, None)).text
    explained = {
        "on_time": "recorded by the vault before the limit ran out",
        "late": "the limit had run out even by the claimed time",
        "unproven": "nothing here proves the claimed time",
        "pending": "not yet done, and the limit has not run out",
        "breached": "not done, and the limit has run out",
    }
    assert explained[timeliness.value] in text
    assert "9 min 30 s" in text
    assert "15 min" in text


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0, "0 s"),
        (59, "59 s"),
        (3600, "1 h"),
        (3_605_430, "1,001 h 30 min 30 s"),
    ],
)
def test_durations_are_exact(seconds: int, told: str) -> None:
    made = report()
    made["clocks"][0]["seconds"] = seconds
    assert told in Outline(completeness_page(HEAD, made, None)).text


def test_what_is_claimed_before_its_clock_ran_is_told_so_and_not_as_a_duration() -> None:
    made = report()
    made["clocks"][0] |= {"early_seconds": 60, "seconds": None}
    assert "1 min before it ran" in Outline(completeness_page(HEAD, made, None)).text


@pytest.mark.parametrize(
    "verdict", ["complete", "complete_with_waivers", "incomplete", "contradicted"]
)
def test_every_verdict_is_a_sentence(verdict: str) -> None:
    made = report()
    made["verdict"] = verdict
    told = Outline(completeness_page(HEAD, made, None)).text.split(". ", 1)[0]
    assert verdict.replace("_", " ").capitalize() in told


def test_the_next_steps_stand_in_order_and_are_quoted_for_a_shell() -> None:
    made = report()
    made["next"] = [
        {"item": "C3", "command": ["evault", "ingest", "--system", "a b; rm"], "vanishes": 1},
        {"item": "C1", "command": ["evault", "incident"], "vanishes": 2},
    ]
    text = Outline(completeness_page(HEAD, made, None)).text
    assert 0 < text.index("evault ingest --system 'a b; rm'") < text.index("evault incident")
    made["next"] = []
    assert "no further step" in Outline(completeness_page(HEAD, made, None)).text


def test_a_condition_goes_by_what_its_profile_asks() -> None:
    made = report()
    assert "Detection comes before declaration" in Outline(completeness_page(HEAD, made, None)).text
    made["evidence"][0]["conditions"][0]["asks"] = "The moon is full"
    assert "The moon is full C1.ticket" in Outline(completeness_page(HEAD, made, None)).text


def test_duties_are_shown_and_who_owes_them() -> None:
    made = report()
    made["duties"] = [item(id="K1", title="contained", person=None)]
    text = Outline(completeness_page(HEAD, made, None)).text
    assert "K1 Contained" in text
    assert "Forensics lead: nobody yet" in text


def test_contradictions_stand_side_by_side_with_what_settles_them() -> None:
    made = report()
    assert "Contradictions" not in Outline(completeness_page(HEAD, made, None)).text
    closed = {"believed": "EV-0001", "link": 9, "reason": "the clock was off"}
    made["contradictions"] = [contradiction(), contradiction(closed_by=closed)]
    text = Outline(completeness_page(HEAD, made, None)).text
    assert "EV-0001: a" in text
    assert "link 3: b" in text
    assert "link 9 believes EV-0001: the clock was off" in text


def test_waivers_are_told_with_who_why_and_until_when() -> None:
    made = report()
    made["waivers"] = [waiver()]
    text = Outline(completeness_page(HEAD, made, None)).text
    lifted = "C1.two waived until 2023-08-01T00:00:00Z, approved by Grace (attested)"
    for told in ("W-0001", "Live", "none to be had", "CTO", lifted, "No item counts as waived"):
        assert told in text
    assert text.count(lifted) == 1, "no condition says that it is covered"
    signed_in = {**made, "waivers": [waiver(authenticated="oidc")]}
    told = Outline(completeness_page(HEAD, signed_in, None)).text
    assert "approved by Grace (authenticated by the vault: oidc)" in told
    waived = condition("C1.two", "fail", [], detail="no x") | {"waivers": ["W-0001"]}
    made["evidence"] = [item(state="waived", underlying="missing", conditions=[waived])]
    made["waivers"] = [waiver(covers=["C1.two"])]
    text = Outline(completeness_page(HEAD, made, None)).text
    assert "Without waivers" in text
    assert "C1 counts as waived" in text
    assert text.count(lifted) == 3, "by item, by condition, and among the waivers"


def test_the_report_says_what_it_is_and_is_not() -> None:
    made = report()
    text = Outline(completeness_page(HEAD, made, None)).text
    for told in (
        "We cannot know about sources that were never registered.",
        "facts signed, not recomputed",
        "python -m verify BUNDLE --trust trust.json --checklist",
        f"{made['profile']['name']}, version {made['profile']['version']}",
        made["profile"]["sha256"],
        made["head"]["leaf_hash"],
        "links 0 to 1",
        "2023-07-10 13:02:00 UTC",
        "2023-07-09 12:05:00 UTC to 2023-07-10 12:31:07 UTC",
    ):
        assert told in text


def test_no_page_promises_too_much() -> None:
    pages = [*all_pages(HELD), verify_page(HEAD, required=DEFAULT_REQUIRED)]
    for page in pages:
        text = page.decode()
        shown = re.sub(r"<style>.*?</style>", "", text, flags=re.DOTALL)
        assert "admissible" not in shown.lower()
        assert "as of now" not in shown.lower()
        assert not re.search(r"\d\s*(%|percent|per cent)", shown.replace("DSSEv1 %d", ""))


# --- custody -----------------------------------------------------------------------------------


def test_the_links_are_told_and_the_last_is_pointed_to() -> None:
    text = Outline(custody_page(HEAD, ROWS, [LINE])).text
    assert "3 links before this export" in text
    assert "links 0 to 3 of the signed chain" in text
    assert text.count("data/chain/00000003.json") == 2
    for row in ROWS:
        assert row.leaf_hash in text
        assert row.actor in text
    assert "log entry 9" in text
    assert "not yet in the log" in text
    assert "its owner" in text


def test_a_link_of_its_own_is_not_told_twice() -> None:
    own = replace(ROWS[2], sequence=3, event="exported")
    assert "this bundle</div>" not in custody_page(HEAD, [*ROWS, own], []).decode()


def test_an_exhibit_is_told_with_its_times_apart() -> None:
    page = custody_page(HEAD, ROWS, [LINE])
    text = Outline(page).text
    assert LINE.sha256.encode() in page
    for told in (LINE.name, "access log: AWS CloudTrail; 412 events", "1,234,567"):
        assert told in text
    for time in ("12:10:00", "12:31:43.118", "12:31:44"):
        assert f'<span class="once">{time}</span>' in page.decode()
    assert "Modified (claimed)" in text
    assert "Captured (collector\u2019s clock)" in text
    assert "Received (vault\u2019s clock)" in text
    assert "not stated" in Outline(all_pages(modified_at=None)[1]).text


def test_a_withheld_exhibit_gives_nothing_of_its_description_away() -> None:
    page = all_pages(withheld="privileged")[1]
    assert b"Withheld:</strong> privileged" in page
    assert b"0 in this bundle, 1 withheld; 0 withdrawn" in page
    for told in (LONG, LINE.label, LINE.summary, "12:10:00", "12:31:43.118"):
        assert told not in Outline(page).text
    for told in (LINE.sha256, "1,234,567", "EV-0001", "access log"):
        assert told in Outline(page).text


def test_a_withdrawn_exhibit_is_marked_once() -> None:
    page = all_pages(withdrawn="twice", withheld="withdrawn: twice")[1]
    assert b"Withdrawn, and so withheld:</strong> twice" in page
    assert page.count(b'class="told"') == 1
    assert all_pages(withdrawn="twice", withheld="privileged")[1].count(b'class="told"') == 2


def test_an_incident_without_exhibits_has_a_page() -> None:
    assert "No exhibit was captured." in Outline(custody_page(HEAD, ROWS, [])).text


# --- holds and retention -----------------------------------------------------------------------


def between(text: str, start: str, end: str) -> str:
    return text.split(start)[1].split(end, maxsplit=1)[0]


def test_a_live_hold_is_told_at_the_head_of_both_pages() -> None:
    for page in all_pages(HELD):
        told = between(Outline(page).text, "Legal hold", "Kept until at least")
        assert told.strip() == "Smith v. Jones, since 2023-07-10 12:40:00 UTC (link 5)"
        assert "Kept until at least2033-07-10 00:00:00 UTC" in Outline(page).text


def test_a_head_without_a_live_hold_says_so_and_promises_no_date() -> None:
    released = replace(HEAD, keeping=Keeping(HOLDS[1:]))
    for head, told in ((HEAD, "none on this chain"), (released, "none any more")):
        for page in all_pages(head):
            assert f"Legal hold{told}" in Outline(page).text
            assert "Kept until at least" not in Outline(page).text


def test_many_holds_do_not_fill_the_head() -> None:
    many = tuple(replace(HOLDS[0], matter=f"M-{number}") for number in range(7))
    for page in all_pages(replace(HEAD, keeping=Keeping(many))):
        told = between(Outline(page).text, "Legal hold", "UTC (link 5)and 2 more")
        assert "M-4" in told
        assert "M-5" not in told


def test_every_hold_is_told_with_matter_order_and_state() -> None:
    text = Outline(custody_page(HELD, ROWS, [LINE])).text
    told = between(text, "Legal holds and retention", "The store")
    assert "2 holds, 1 live." in told
    live, released = told.split("Ordered by, as stated")[1].split("Inquiry 77")
    for word in ("Smith v. Jones", "Live", "2023-07-10 12:40:00", "5", "Legal", "served"):
        assert word in live
    assert "Released" not in live
    for word in ("Released", "nobody named", "Recorded by ada@lab", "Reason: a letter"):
        assert word in released
    assert "Live" not in released


def test_an_approval_is_called_attested_and_by_whom() -> None:
    text = Outline(custody_page(HELD, ROWS, [LINE])).text
    told = between(text, "Inquiry 77", "The store")
    assert (
        "Released 2023-07-12 09:00:11 UTC (link 9) by bob@lab (uid 1001, local). "
        "Reason: settled, see EV-0001" in told
    )
    assert (
        "Approved by Grace Hopper: attested, by the word of who released it, "
        "shown by EV-0001..0002; nobody authenticated it." in told
    )
    assert told.count("authenticated") == 1


def test_an_approval_that_the_vault_authenticated_is_called_that_and_no_more() -> None:
    for shown_by, more in (((), ""), (("EV-0001",), ", and shown by EV-0001")):
        signed_in = replace(RELEASE, attested=False, shown_by=shown_by)
        keeping = Keeping((replace(HOLDS[1], release=signed_in),), None, None, compliance=False)
        page = custody_page(replace(HELD, keeping=keeping), ROWS, [LINE])
        told = between(Outline(page).text, "Inquiry 77", "The store")
        assert f"Approved by Grace Hopper: authenticated by the vault{more}." in told
        assert "nobody authenticated it" not in told


def test_the_custody_page_tells_what_the_chain_asks_of_the_store_and_no_more() -> None:
    asked = Outline(custody_page(HELD, ROWS, [LINE])).text
    plain = Outline(custody_page(HEAD, ROWS, [LINE])).text
    assert "2033-07-10 00:00:00 UTC at least, by link 7; longer where" in asked
    assert "asked for in compliance mode when the incident was closed" in asked
    assert "No legal hold was set on this chain." in plain
    assert "as long as the vault\u2019s retention policy says" in plain
    assert "compliance" not in plain
    for text in (asked, plain):
        assert "really locks does not stand on this chain" in text


def test_what_the_pages_tell_of_holds_is_what_the_chain_says() -> None:
    ada, bob = (Actor(f"{name}@lab", "person", "local", None) for name in ("ada", "bob"))
    moment = datetime(2023, 7, 10, 12, 40, tzinfo=UTC)
    said = parse_hold(
        {"event": "set", "matter": "M", "ordered_by": "Legal", "reason": "sued"}, where="hold"
    )
    release = parse_hold(
        {
            "approved_by": {"authenticated": "attested", "person": "Grace"},
            "event": "released",
            "exhibits": ["EV-0003"],
            "matter": "M",
            "reason": "settled",
        },
        where="hold",
    )
    incident = Incident("INC-2023-0007")
    assert keeping_of(incident) == Keeping()
    incident.holds = [
        Hold("M", said, moment, 5, ada, release, moment.replace(hour=13), 6, bob),
        Hold("M", said, moment, 7, ada),
    ]
    incident.retained_until, incident.retained_sequence = moment.replace(year=2033), 8
    incident.compliance = True
    told = ReleaseLine(
        "2023-07-10T13:40:00Z", 6, "bob@lab (local)", "settled", "Grace", ("EV-0003",)
    )
    line = HoldLine("M", "sued", "Legal", "2023-07-10T12:40:00Z", 5, "ada@lab (local)", told)
    live = replace(line, sequence=7, release=None)
    assert keeping_of(incident) == Keeping((line, live), "2033-07-10T12:40:00Z", 8, True)
    assert keeping_of(incident).live == [live]


def test_an_export_tells_the_holds_of_its_chain(tmp_path: Path) -> None:
    approval = tmp_path / "approval.txt"
    approval.write_text("yes\n")
    for words in (
        "init",
        "incident declare --title T --severity sev1 --tier 2 --system s --detected-at now",
        f"ingest {approval} --kind approval",
        "hold set --matter M-1 --reason served --ordered-by Legal",
        "hold set --matter M-2 --reason asked",
        "hold release --matter M-2 --reason settled --approved-by Grace --exhibit EV-0001",
        f"export -o {tmp_path / 'case.zip'} --purpose court",
    ):
        assert execute(["--home", str(tmp_path / "home"), *words.split()]) == 0
    with zipfile.ZipFile(tmp_path / "case.zip") as bundle:
        pages = {
            Path(name).name: Outline(bundle.read(name)).text
            for name in bundle.namelist()
            if name.endswith(".html")
        }
    for text in pages.values():
        told = between(text, "Legal hold", "UTC (link 2)")
        assert "M-1, since" in told
        assert "M-2" not in told
    told = between(pages["custody.html"], "Legal holds and retention", "The store")
    assert "2 holds, 1 live." in told
    assert "Approved by Grace: attested" in told


# --- CSV ---------------------------------------------------------------------------------------


def read(data: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode("utf-8"), newline=""), strict=True))


def test_the_csv_reads_back() -> None:
    header, *rows = read(custody_csv(ROWS))
    assert [dict(zip(header, row, strict=True)) for row in rows] == [
        {
            "sequence": str(row.sequence),
            "recorded_at": row.recorded_at,
            "event": row.event,
            "detail": row.detail,
            "exhibits": "EV-0001..0002" if row.exhibits else "",
            "actor": row.actor,
            "leaf_hash": row.leaf_hash,
            "log_index": "" if row.log_index is None else str(row.log_index),
        }
        for row in ROWS
    ]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "\uff1d"])
def test_a_cell_that_a_spreadsheet_would_run_is_defused(start: str) -> None:
    evil = f'{start}HYPERLINK("x")'
    ((_, _, _, detail, _, actor, _, _),) = read(
        custody_csv([replace(ROWS[0], detail=evil, actor=evil)])
    )[1:]
    assert detail.startswith("'")
    assert detail == actor


@given(st.text(st.characters(exclude_categories=()), max_size=40))
def test_any_text_is_one_line_of_csv(text: str) -> None:
    data = custody_csv([replace(ROWS[0], event=text, detail=text, actor=text)])
    assert data.count(b"\r\n") == data.count(b"\n") == data.count(b"\r") == 2
    assert len(read(data)[1]) == 8


# --- VERIFY.md ---------------------------------------------------------------------------------


def test_verify_md_fits_a_terminal() -> None:
    evil = replace(HEAD, title="T" * 900, origin="o/" * 250, purpose="p\n# not a heading\u202e")
    for head in (HEAD, evil):
        text = verify_page(head, required=list(Step)).decode()
        assert max(map(len, text.splitlines())) <= 80
        assert text.endswith("\n")
        assert "\r" not in text
    assert "\n# not" not in text


def test_verify_md_names_what_to_run_and_to_compare() -> None:
    text = verify_page(HEAD, required=DEFAULT_REQUIRED).decode()
    for told in (
        "sha256sum -c --quiet manifest-sha256.txt",
        "sha256sum -c --quiet tagmanifest-sha256.txt",
        "bagit.py --validate",
        "openssl dgst -sha256 -verify",
        "python -m verify BUNDLE --trust trust.json\n",
        "--seen FILE",
        "--head N",
        HEAD.trust_sha256,
        "cd unpacked/INC-2023-0007",
        "self-asserted",
        "| 0         | passed",
        "| 1         | failed",
        "| 2         | inconclusive",
    ):
        assert told in text


def test_verify_md_says_which_steps_are_required() -> None:
    text = verify_page(HEAD, required=["package", "time", "novel"]).decode()
    for step in Step:
        need = "required" if step in ("package", "time") else "not required"
        assert f"- `{step}` ({need})." in text
    assert "- `novel` (required). Unknown to this version." in text


READ = ReadingRow(
    sequence=4,
    recorded_at="2023-07-11T08:00:00Z",
    person="lea (oidc)",
    exhibits=("EV-0001", "EV-0002"),
    purpose="privilege review",
    address="192.0.2.7",
    result="given out",
)


def test_the_custody_page_tells_who_read_what_by_person_and_by_exhibit() -> None:
    other = replace(READ, sequence=5, person="fay (token)", exhibits=("EV-0002",), address=None)
    text = Outline(custody_page(HEAD, ROWS, [LINE], [READ, other])).text
    for told in ("lea (oidc)", "EV-0001..0002", "privilege review", "192.0.2.7", "given out"):
        assert told in text
    by_exhibit = text.split("By exhibit")[1]
    assert "link 4, lea (oidc); link 5, fay (token)" in by_exhibit
    assert text.index("fay (token)") < text.index("lea (oidc)")


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_reader_writes_nothing_into_the_page(text: str) -> None:
    row = replace(READ, person=text, purpose=text, address=text, result=text)
    page = custody_page(HEAD, ROWS, [LINE], [row])
    Outline(page)
    assert b"<script" not in page
    assert b"<img" not in page
    assert not UNSEEN.search(page.decode())
