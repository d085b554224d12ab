"""`evault metrics`: none, one and several incidents; open, not known and unreadable ones."""

from __future__ import annotations

import csv
import io
import sqlite3

import pytest
from cli_support import Evault, run


def figures(evault: Evault, *words: object) -> dict[str, dict[str, object]]:
    return {each["id"]: each for each in evault.answer("metrics", "metrics", *words)["items"]}


def test_a_vault_without_incidents_has_figures_of_nothing(evault: Evault) -> None:
    shown = figures(evault)
    assert {each["n"] for each in shown.values()} == {0}
    assert {each["mean"] for each in shown.values()} == {None}
    lines = evault("metrics").lines
    assert lines[0].startswith("0 incidents, as of ")
    assert not [line for line in lines[2:-1] if " 0 %" in line or "0 s" in line]


def test_open_ones_are_counted_and_left_out(evault: Evault, case: str) -> None:
    evault("attest", case, "acknowledgement", "at=2023-07-10T12:34Z", "person=Ada")
    evault("incident", "phase", case, "contained", "--at", "2023-07-10T12:51Z")
    other = evault.declare()
    shown = figures(evault)
    # Detected 12:30, declared 12:41, by the words of the declaration.
    assert (shown["mtta"]["mean"], shown["mttc"]["mean"]) == (240, 600)
    for name in ("mtta", "mttc"):
        assert [each["incident"] for each in shown[name]["fed_by"]] == [case]  # type: ignore[attr-defined]
        assert [each["incident"] for each in shown[name]["open"]] == [other]  # type: ignore[attr-defined]
    row = next(line for line in evault("metrics").lines if line.startswith("MTTC"))
    assert row.split()[-9:] == ["1", "10", "min", "10", "min", "10", "min", "1", "0"]


def test_a_period_is_by_declaration_from_and_before(evault: Evault, case: str) -> None:
    def counted(*words: str) -> int:
        return int(evault.answer("metrics", "metrics", *words)["counts"]["incidents"])

    assert counted("--from", "2023-07-10T12:41Z") == 1
    assert counted("--to", "2023-07-10T12:41Z") == 0
    assert counted("--from", "2023-07-10T12:42Z") == 0
    assert "--from must be before --to" in evault.refused(
        "metrics", "--from", "2024-01-01T00:00Z", "--to", "2023-01-01T00:00Z"
    )
    assert "has no time zone" in evault.refused("metrics", "--from", "2024-01-01T00:00")


def test_causes_make_a_recurrence_across_incidents(evault: Evault, case: str) -> None:
    evault("incident", "scope", case, "--cause", "prompt injection by calendar")
    other = evault.declare()
    evault("incident", "scope", other, "--cause", "prompt injection by calendar")
    evault("incident", "close", other)
    shown = figures(evault)["recurrence"]
    assert shown["pooled"] == {"of": 1, "part": 1}
    assert [each["incident"] for each in shown["open"]] == [case]  # type: ignore[attr-defined]
    assert "expected the id of an incident" in evault.refused(
        "incident", "scope", case, "--recurrence-of", "INC-1"
    )


def test_the_table_has_empty_cells_and_no_noughts_where_nothing_is_known(evault: Evault) -> None:
    rows = list(csv.DictReader(io.StringIO(evault("metrics", "--csv").out, newline="")))
    assert [row["metric"] for row in rows] == list(figures(evault))
    assert {row["mean"] for row in rows} == {""}
    assert {row["n"] for row in rows} == {"0"}


@pytest.mark.parametrize("evil", ["=1+1", "\x1b[2J<b>", "a\u202eb", '@x,"y\n'])
def test_a_hostile_name_is_text_in_every_view(evault: Evault, case: str, evil: str) -> None:
    evault("incident", "scope", case, "--detector", evil)
    for words in (("metrics", "--explain"), ("metrics", "--csv"), ("metrics", "--json")):
        said = run(*words)
        assert said.code == 0
        assert all(char.isprintable() or char in "\r\n" for char in said.out)
    for row in csv.reader(io.StringIO(evault("metrics", "--csv").out, newline="")):
        assert not [cell for cell in row if cell.startswith(("=", "+", "-", "@"))]
    assert "silent: " in evault("metrics", "--explain").out


def test_an_incident_that_cannot_be_read_is_told_and_makes_the_exit_code_2(
    evault: Evault, case: str
) -> None:
    other = evault.declare()
    [database] = [path for path in evault.home.iterdir() if path.name.endswith((".db", ".sqlite"))]
    with sqlite3.connect(database) as connection:
        found = connection.execute(
            "select name from sqlite_master where type = 'table' and sql like '%envelope%'"
        )
        tables = [row[0] for row in found]
        assert tables
        for table in tables:
            connection.execute(f"update {table} set envelope = ? where chain = ?", (b"{}", other))
    connection.close()
    said = run("metrics", "--json")
    assert said.code == 2
    assert said.json["counts"] == {"incidents": 1, "unreadable": 1}
    assert said.json["unreadable"][0]["incident"] == other
    text = run("metrics")
    assert text.code == 2
    assert f"UNREADABLE: {other}" in text.out


def test_measuring_seals_nothing(evault: Evault, case: str) -> None:
    evault("metrics")
    assert evault.link(case) == 0
