"""The checklist as a page: everything that a report tells, apart, and inert whatever it holds."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest
from telling import answered, facts, full_report, span
from test_pages import HOSTILE, UNSEEN, Outline

from vault.changes import Change, Changes, differences
from vault.completeness_page import checklist_page
from verify.incident import Incident
from verify.strictjson import Object

INCIDENT, _, _ = answered().fold()
SINCE = Changes(40, 39, "2026-03-02T10:00:00Z", (Change("state", "C1", "missing", "partial"),))


def page(report: Object, changes: Changes | None = SINCE, incident: Incident = INCIDENT) -> str:
    return checklist_page(incident, report, changes, evault="0").decode()


def section(text: str, title: str) -> str:
    found = [part for part in text.split("<section")[1:] if f">{title}" in part]
    assert len(found) == 1, title
    return found[0].split("</section>")[0]


def rects(text: str) -> list[list[tuple[str, int, int]]]:
    return [
        [
            (name, int(x), int(width))
            for name, x, width in re.findall(
                r'<rect class="(\w+)" x="(\d+)" width="(\d+)" height="10"/>', svg
            )
        ]
        for svg in re.findall(r"<svg.*?</svg>", text)
    ]


def bar(**changed: Any) -> Object:
    """An hour, covered in its first and its last quarter."""
    return {
        "exhibits": ["EV-0001"], "exhibits_count": 1, "from": "2026-03-02T09:00:00Z",
        "gaps": [{"from": "2026-03-02T09:15:00Z", "seconds": 1800, "to": "2026-03-02T09:45:00Z"}],
        "gaps_count": 1,
        "intervals": [
            {"from": "2026-03-02T09:00:00Z", "seconds": 900, "to": "2026-03-02T09:15:00Z"},
            {"from": "2026-03-02T09:45:00Z", "seconds": 900, "to": "2026-03-02T10:00:00Z"},
        ],
        "intervals_count": 2, "name": "crm", "to": "2026-03-02T10:00:00Z", "what": "system",
        **changed,
    }  # fmt: skip


def with_bars(*bars: Object) -> str:
    return page({**answered().report(), "coverage": list(bars)})


def test_what_was_stated_ahead_is_told_and_whether_it_counts_by_now() -> None:
    made = answered().report()
    assert "Stated ahead" not in page(made)
    entry = {"at": "2026-03-03T09:00:00Z", "link": 9, "recorded_at": "2026-03-02T09:08:00Z",
             "what": "kill_switch"}  # fmt: skip
    for counts, told in ((False, "not yet"), (True, "since its time came")):
        text = section(page({**made, "ahead": [{**entry, "counts": counts}]}), "Stated ahead")
        assert "kill switch" in text
        assert told in text


def test_every_part_of_a_full_report_has_its_place() -> None:
    report = full_report()
    text = page(report)
    assert report["contradictions"][0]["sides"][1]["says"] in section(text, "Contradictions")
    assert report["waivers"][0]["valid_to"][:10] in section(text, "Waivers")
    assert "late.postmortem" in section(text, "Deviations")
    assert "No sources were ever registered" in section(text, "Outside the registered scope")
    assert "erp" in section(text, "Outside the registered scope")
    owed = section(text, "What is owed, and by whom")
    assert all(each["title"][1:] in owed for each in report["owed"])
    assert len(rects(text)) == len(report["coverage"])
    assert "missing" in section(text, "What changed since the report of link 40")


def test_counts_have_their_denominators() -> None:
    report = full_report()
    counts = report["counts"]
    head = page(report).split('<section class="verdict">')[1].split("</section>")[0]
    for name, what in (("evidence", "evidence items"), ("duties", "duties")):
        assert f"{counts[name]['satisfied']} of {counts[name]['of']} {what} satisfied" in head
    assert "%" not in head


def test_late_unproven_and_breached_are_three_words_with_three_meanings() -> None:
    report = full_report()
    for clock, word in zip(report["clocks"], ("late", "unproven", "breached"), strict=False):
        clock["timeliness"] = word
    text = section(page(report), "Clocks")
    assert "the limit had run out even by the claimed time" in text
    assert "nothing here proves the claimed time" in text
    assert "not done, and the limit has run out" in text


def test_a_bar_is_drawn_to_scale() -> None:
    [drawn] = rects(with_bars(bar()))
    assert drawn == [("covered", 0, 250), ("covered", 750, 250), ("gap", 250, 500)]
    told = section(with_bars(bar()), "Coverage over time")
    assert "09:15:00" in told
    assert "(30 min)" in told


def test_the_shortest_silence_can_be_seen_at_both_ends() -> None:
    for start in ("2026-03-02T09:00:00Z", "2026-03-02T09:59:59Z"):
        gap = {"from": start, "seconds": 1, "to": "2026-03-02T10:00:00Z"}
        [drawn] = rects(with_bars(bar(gaps=[gap])))
        name, x, width = drawn[-1]
        assert (name, width) == ("gap", 3), "drawn last, over what is covered"
        assert 0 <= x <= 1000 - width


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"gaps": [], "gaps_count": 0}, "nowhere"),
        ({"intervals": [], "intervals_count": 0}, "throughout"),
        ({"from": None, "to": None, "intervals": [], "intervals_count": 0, "gaps": [],
          "gaps_count": 0}, "no times"),
    ],
)  # fmt: skip
def test_all_nothing_and_no_times_are_told_apart(changed: Object, told: str) -> None:
    assert told in section(with_bars(bar(**changed)), "Coverage over time")


def test_a_moment_has_no_bar_and_no_division_by_zero() -> None:
    text = with_bars(bar(to="2026-03-02T09:00:00Z"))
    assert rects(text) == []


def test_gaps_that_are_not_listed_are_counted() -> None:
    told = section(with_bars(bar(gaps=bar()["gaps"] * 12, gaps_count=500)), "Coverage over time")
    assert "and 490 more" in told


def test_a_long_name_goes_on_behind_its_seams_and_stays_whole_to_a_search() -> None:
    report = full_report()
    name = "arn:aws:iam::123837392027:user/stratus-red-team"
    report["outside_scope"] = [
        {"exhibits": [], "exhibits_count": 0, "name": name, "what": "principal"}
    ]
    report["evidence"][0]["reason"] = f"not registered: {name}; a/short:one"
    text = page(report)
    seamed = "arn:<wbr>aws:<wbr>iam::<wbr>123837392027:<wbr>user/<wbr>stratus-red-team"
    assert f"<bdi>{seamed}</bdi>" in text
    assert f"not registered: {seamed}; a/short:one" in text
    assert name in Outline(text.encode()).text


def test_without_an_earlier_report_it_says_so_and_one_that_cannot_be_read_is_told() -> None:
    report = answered().report()
    assert "No report about this incident was sealed before" in page(report, None)
    unread = Changes(4, 3, "2026-03-02T10:00:00Z", (), "it is not compared: disposed")
    assert "It is not compared: disposed." in page(report, unread)
    same = Changes(4, 3, "2026-03-02T10:00:00Z", ())
    assert "Nothing that the report tells" in page(report, same)


def test_an_incident_of_one_link_has_a_page() -> None:
    tell = answered()
    tell.steps = [tell.step("declared")]
    incident, _, _ = tell.fold()
    Outline(checklist_page(incident, tell.report(), None, evault="0"))


def test_how_to_recompute_it_names_the_prefix_and_the_time() -> None:
    text = page(full_report())
    assert "--at-sequence 38 --as-of 2026-03-06T09:00:00Z" in text
    assert "in this bundle" not in text


@pytest.mark.parametrize("evil", HOSTILE)
def test_a_hostile_value_stays_text_everywhere(evil: str) -> None:
    tell = answered()
    tell.exhibit("other", 710, "access_log", system=evil or "x", facts=facts(**span(0, 5)))
    bad = full_report()
    plain = {tag for tag, _ in Outline(checklist_page(INCIDENT, bad, SINCE, evault="0")).tags}
    bad["coverage"] = [bar(name=evil, what=evil)]
    bad["deviations"] = [{"approved_by": [3], "id": evil, "what": evil}]
    bad["outside_scope"] = [{"exhibits": [], "exhibits_count": 0, "name": evil, "what": evil}]
    bad["unregistered"] = [evil]
    bad["owed"][0] |= {"person": evil, "title": evil, "state": evil, "due_at": evil}
    bad["profile"]["newer"] = {"link": 1, "sha256": evil, "version": 2}
    incident = copy.copy(INCIDENT)
    incident.fields = {**INCIDENT.fields, "title": evil, "systems": [evil]}
    changes = Changes(4, 3, evil, (Change(evil, evil, evil, evil),))
    data = checklist_page(incident, bad, changes, evault=evil)
    outline = Outline(data)
    assert {tag for tag, _ in outline.tags} <= plain
    assert not UNSEEN.search(outline.text)
    names = {name for _, attrs in outline.tags for name in attrs}
    assert not {name for name in names if name.startswith("on")} | (names & {"style", "src"})


def test_the_same_report_gives_the_same_bytes() -> None:
    found = differences(answered().report(), full_report())
    changes = Changes(1, 0, "2026-03-02T10:00:00Z", tuple(found))
    assert page(full_report(), changes) == page(full_report(), changes)
