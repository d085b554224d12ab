"""`evault timeline`: in words, as a table, as a page."""

from __future__ import annotations

import csv
import io
import re

from cli_support import DEMO, Evault, run


def test_an_incident_without_exhibits_has_a_timeline(evault: Evault, case: str) -> None:
    lines = evault("timeline", case).lines
    assert [line.split()[-3:] for line in lines[1:3]] == [
        ["Mail", "went", "out"],
        ["sev1,", "tier", "unknown"],
    ]
    assert lines[-1].startswith("2 lines. ")


def test_what_is_stated_recorded_and_received_is_told_apart(evault: Evault, case: str) -> None:
    evault("ingest", DEMO / "agent", DEMO / "cloudtrail")
    evault("incident", "phase", "contained", "--at", "2023-07-10T12:50Z")
    said = evault("timeline", case)
    rows = {re.split(r" {2,}", line)[-2]: line for line in said.lines if "stated" in line}
    assert "12:30:00Z" in rows["detected"]
    assert " vault " in next(line for line in said.lines if " captured " in line)
    first = next(line for line in said.lines if " observed " in line)
    # The earliest record of the demo's CloudTrail, see its SOURCE.md: seconds, written as text.
    assert first.startswith("2023-07-10 11:42:18Z-11:43:35Z  text s")
    beside = said.out.split("Without a place")[1]
    assert all(f"EV-000{number}  no times were read from it" in beside for number in (1, 2, 3))


def test_what_happened_stands_under_each_other_and_days_in_one_form(
    evault: Evault, case: str
) -> None:
    for day in (10, 12):
        line = '192.0.2.7 - - [%d/Jul/2023:08:00:00 +0000] "GET /a HTTP/1.1" 200 12 "-" "curl/8"\n'
        evault.file("web.log", line % 10 + line % day)
        evault("ingest", "web.log", "--again")
    lines = evault("timeline", case).lines
    assert any(" 08:00:00Z to 2023-07-12 08:00:00Z" in line for line in lines)
    what = lines[0].index("what")
    assert not any("T08:00" in line[:what] for line in lines)
    events = [line[what:].split()[0] for line in lines[1:-1]]
    assert {"detected", "declared", "observed", "captured"} <= set(events)
    details = {len(re.match(r"\S+ +", line[what:])[0]) for line in lines[1:-1]}  # type: ignore[index]
    assert len(details) == 1, "texts begin in one column"


def test_the_table_has_as_many_rows_as_the_axis_and_what_stands_beside_it(
    evault: Evault, case: str
) -> None:
    evault("ingest", DEMO / "agent")
    shown = run("timeline", case, "--json").json
    rows = list(csv.DictReader(io.StringIO(evault("timeline", case, "--csv").out, newline="")))
    assert len(rows) == shown["counts"]["lines"] + shown["counts"]["unplaced"]
    assert [row["event"] for row in rows[-3:]] == ["not placed"] * 3
    assert rows[0]["claimed_from"] == "2023-07-10T12:30:00Z"
    assert rows[0]["received_at"] != rows[0]["claimed_from"]


def test_a_page_is_written_whole_to_a_new_file_and_never_over_another(
    evault: Evault, case: str
) -> None:
    evault("timeline", case, "--html", "t.html")
    page = (evault.folder / "t.html").read_bytes()
    assert page.startswith(b"<!DOCTYPE html>")
    assert page.endswith(b"</html>\n")
    assert "t.html is there already; name another file with --html" in evault.refused(
        "timeline", case, "--html", "t.html"
    )
    assert (evault.folder / "t.html").read_bytes() == page
    assert [path.name for path in evault.folder.iterdir()] == ["t.html"]


def test_looking_seals_nothing(evault: Evault, case: str) -> None:
    evault("timeline", case)
    evault("timeline", case, "--csv")
    assert evault.link(case) == 0
