"""`evault stream …`, `evault preserve`, and every command that takes a stream for an incident."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest
from cli_support import DEMO, Evault, run

STREAM = "stream:cloudtrail"
LOGS = sorted((DEMO / "cloudtrail").glob("*.json"))
WINDOW = ("--from", "2023-07-10T12:00Z", "--to", "2023-07-10T12:10Z")
START, END = "2023-07-10T12:00:00Z", "2023-07-10T12:10:00Z"


def times(path: Path) -> tuple[str, str]:
    """The first and last event of a CloudTrail file, read here."""
    found = sorted(each["eventTime"] for each in json.loads(path.read_bytes())["Records"])
    return found[0], found[-1]


WITHIN = [path.name for path in LOGS if times(path)[0] <= END and times(path)[1] >= START]


@pytest.fixture(scope="module")
def filled(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A vault with a stream: all logs in two captures, then a note without times."""
    home = tmp_path_factory.mktemp("filled") / "home"
    shutil.copytree(made, home)
    note = home.parent / "note.txt"
    note.write_text("no times here\n")
    for words in (LOGS[:30], LOGS, [note]):
        said = run("--home", home, "ingest", STREAM, *words, "--system", "aws", "--source", "trail")
        assert said.code == 0, said.err
    return home


@pytest.fixture
def collected(empty: Evault, filled: Path) -> Evault:
    shutil.copytree(filled, empty.home)
    return empty


def named(answer: Any) -> list[str]:
    return [each["name"].rpartition("/")[2] for each in answer["items"]]


def test_a_stream_needs_no_incident_and_takes_what_is_new(evault: Evault) -> None:
    first = evault("ingest", STREAM, *LOGS[:2])
    assert f"{STREAM} is new: this is its first capture" in first.lines
    assert first.lines[1].startswith("ST-0001  ")
    again = evault.answer("ingest", "ingest", STREAM, *LOGS[:3])
    assert (again["incident"], again["counts"]["already"]) == (STREAM, 2)
    assert [each["exhibit"] for each in again["items"]] == ["ST-0003"]
    assert "is new" not in evault("ingest", STREAM, LOGS[3]).out
    said = run("capture", "--json", STREAM, "--", "echo", "x").json
    assert [each["exhibit"] for each in said["items"]] == ["ST-0005", "ST-0006"]
    assert run("incident", "list", "--json").json["items"] == []
    evault("verify", STREAM)
    evault("log", "audit")


def test_streams_are_listed_and_shown(collected: Evault) -> None:
    (item,) = collected.answer("stream-list", "stream", "list")["items"]
    assert item["counts"] == {
        "bytes": sum(path.stat().st_size for path in LOGS) + 14,
        "captures": 3,
        "items": len(LOGS) + 1,
        "links": 3,
        "not_captured": 0,
    }
    shown = collected.answer("stream-show", "stream", "show", "cloudtrail")
    assert shown["covers"] == {
        "from": min(times(path)[0] for path in LOGS), "to": max(times(path)[1] for path in LOGS)
    }  # fmt: skip
    assert collected("stream", "show", STREAM).lines[0] == STREAM
    for words in (
        ("stream", "show", "nothing"), ("custody", "stream:nothing"),
        ("verify", "stream:nothing"), ("evidence", "list", "stream:nothing"),
    ):  # fmt: skip
        assert "there is no stream:nothing; list them with: evault stream list" in (
            collected.refused(*words)
        )


def test_a_first_deposit_repeated_is_sealed_once(evault: Evault) -> None:
    words = ("ingest", STREAM, LOGS[0], "--deposit", "hour-1")
    first = evault.answer("ingest", *words)
    again = evault.answer("ingest", *words)
    assert again["receipt"] == {**first["receipt"], "repeated": True}
    assert again["items"] == first["items"]
    assert run("stream", "show", STREAM, "--json").json["counts"]["items"] == 1


def test_what_is_destroyed_in_a_stream_does_not_hide_the_rest(collected: Evault) -> None:
    """The pack of the second capture is gone, with all descriptions in it."""
    case = collected.declare()
    packs = sorted((collected.home / "store" / "artifacts").iterdir())
    assert len(packs) == 3
    packs[1].unlink()
    said = collected.answer("preserve", "preserve", case, STREAM, *WINDOW, code=1)
    assert named(said) == [path.name for path in LOGS[:30] if path.name in WITHIN]
    assert said["lacks"]["unreadable"] == [f"ST-{n:04d}" for n in range(31, len(LOGS) + 1)]
    assert "NOT JUDGED: ST-0031..0055" in run("preserve", case, STREAM, *WINDOW).out
    collected("verify", case)
    assert collected.answer("stream-show", "stream", "show", STREAM)["counts"]["items"] == 56


def test_there_is_no_stream_yet(evault: Evault) -> None:
    assert evault.answer("stream-list", "stream", "list")["items"] == []
    assert "evault ingest stream:NAME PATH" in evault("stream", "list").out


def test_a_window_is_brought_in_by_the_times_that_items_claim(collected: Evault) -> None:
    case = collected.declare()
    said = collected.answer("preserve", "preserve", case, STREAM, *WINDOW)
    assert named(said) == WITHIN
    assert 0 < len(WITHIN) < len(LOGS)
    assert said["window"] == {"from": START, "to": END}
    assert (said["lacks"]["by_received_time"], said["lacks"]["untimed"]) == (
        [], [f"ST-{len(LOGS) + 1:04d}"]
    )  # fmt: skip
    for number, each in enumerate(said["items"], 1):
        assert each["exhibit"] == f"EV-{number:04d}"
        assert each["from"]["chain"] == STREAM
        assert (each["system"], each["source"]) == ("aws", "trail")
    listed = {
        each["exhibit"]: each for each in run("evidence", "list", STREAM, "--json").json["items"]
    }
    for each in said["items"]:
        there = listed[each["from"]["exhibit"]]
        assert each["from"]["sequence"] == there["sequence"]
        assert there["from"] is None
        for field in ("sha256", "size", "name", "facts", "kinds", "captured_at"):
            assert each[field] == there[field]
    collected.sound()


def test_the_same_window_twice_adds_nothing_and_a_wider_one_the_rest(collected: Evault) -> None:
    case = collected.declare()
    first = collected.answer("preserve", "preserve", case, STREAM, *WINDOW)
    link = collected.link(case)
    again = collected.answer("preserve", "preserve", case, STREAM, *WINDOW)
    assert (again["items"], again["receipt"]) == ([], None)
    assert [each["exhibit"] for each in again["already"]] == [
        each["exhibit"] for each in first["items"]
    ]
    assert "nothing added" in collected("preserve", case, STREAM, *WINDOW).out
    assert collected.link(case) == link
    wider = collected.answer(
        "preserve", "preserve", case, STREAM, "--from", "2023-07-10T11:00Z",
        "--to", "2023-07-10T13:00Z",
    )  # fmt: skip
    assert sorted(named(first) + named(wider)) == [path.name for path in LOGS]
    assert len(collected.answer("custody", "custody", STREAM)["items"]) == 5
    collected.sound()


def test_what_came_of_several_systems_stays_theirs(evault: Evault) -> None:
    """One link for each system and source, all in one go; the checklist asks for logs by system."""
    for path, system in zip(LOGS[:3], ("crm", "aws", "crm"), strict=True):
        evault("ingest", STREAM, path, "--system", system, "--source", "trail")
    case = evault.declare(systems=("crm", "aws"))
    wide = ("--from", "2023-07-10T11:00Z", "--to", "2023-07-10T13:00Z")
    said = evault.answer("preserve", "preserve", case, STREAM, *wide)
    assert [(each["from"]["exhibit"], each["system"]) for each in said["items"]] == [
        ("ST-0001", "crm"), ("ST-0003", "crm"), ("ST-0002", "aws"),
    ]  # fmt: skip
    assert [each["sequence"] for each in said["receipts"]] == [1, 2]
    assert "chain links 1-2" not in run("preserve", case, STREAM, *wide).out
    evault.sound()


def test_what_was_withdrawn_is_not_brought_in_nor_brought_back(collected: Evault) -> None:
    case = collected.declare()
    collected("evidence", "withdraw", STREAM, "ST-0015", "--reason", "of another case")
    said = collected.answer("preserve", "preserve", case, STREAM, *WINDOW)
    left_out = run("evidence", "show", STREAM, "ST-0015", "--json").json["items"][0]["name"]
    assert said["lacks"]["withdrawn"] == ["ST-0015"]
    assert named(said) == [name for name in WITHIN if name != left_out.rpartition("/")[2]]
    collected("evidence", "withdraw", case, "EV-0001", "--reason", "of another case")
    again = collected("preserve", case, STREAM, *WINDOW)
    assert f"EV-0001 had been withdrawn from {case}, and stays so." in again.out


def test_items_without_times_are_taken_by_when_they_were_received_and_that_is_said(
    collected: Evault,
) -> None:
    case = collected.declare()
    note = f"ST-{len(LOGS) + 1:04d}"
    said = collected.answer("preserve", "preserve", case, STREAM, "--from", "-1h", "--to", "now")
    assert (named(said), said["lacks"]["by_received_time"]) == (["note.txt"], [note])
    assert said["lacks"]["captures"]["within"] == 3
    told = run("preserve", case, STREAM, "--from", "-1h", "--to", "now").out
    assert f"{note}: taken because received in the window" in told


def test_a_window_says_what_it_lacks(collected: Evault) -> None:
    """The logs end at 12:37:50; nobody speaks for what comes after, and all came years later."""
    case = collected.declare()
    last = max(times(path)[1] for path in LOGS)
    said = collected.answer(
        "preserve", "preserve", case, STREAM, "--from", "2023-07-10T12:15Z",
        "--to", "2023-07-10T14:00Z",
    )  # fmt: skip
    assert said["lacks"]["uncovered"] == [
        {"start": last, "end": "2023-07-10T14:00:00Z", "seconds": 82 * 60 + 10}
    ]
    assert (last, said["lacks"]["captures"]["within"]) == ("2023-07-10T12:37:50Z", 0)
    told = collected("preserve", case, STREAM, "--from", "2023-07-10T12:15Z",
                     "--to", "2023-07-10T14:00Z").out  # fmt: skip
    assert "2023-07-10 12:37:50Z to 2023-07-10 14:00:00Z (1 h 22 min)" in told
    assert "after the window: what the sources still had by then" in told


def test_a_window_in_which_there_is_nothing_seals_nothing(collected: Evault) -> None:
    case = collected.declare()
    link = collected.link(case)
    said = collected("preserve", case, STREAM, "--from", "2020-01-01T00:00Z",
                     "--to", "2020-01-02T00:00Z")  # fmt: skip
    assert "nothing sealed" in " ".join(said.out.split())
    assert collected.link(case) == link


def test_kinds_corrected_in_the_stream_are_told(collected: Evault) -> None:
    case = collected.declare()
    collected("evidence", "classify", STREAM, "ST-0015", "--kind", "volatile")
    said = collected("preserve", case, STREAM, *WINDOW)
    assert "ST-0015 got other kinds in stream:cloudtrail" in said.out
    shown = run("evidence", "list", case, "--json").json["items"]
    assert {tuple(each["kinds"]) for each in shown} == {("access_log",)}


def test_a_bundle_with_preserved_exhibits_verifies_and_its_report_recomputes(
    collected: Evault,
) -> None:
    case = collected.declare()
    collected("preserve", case, STREAM, *WINDOW)
    bundle = collected.folder / "case.zip"
    made = collected.answer("export", "export", case, "-o", bundle, "--purpose", "p")
    again = collected.folder / "again.zip"
    collected("export", case, "-o", again, "--at", made["sequence"])
    assert again.read_bytes() == bundle.read_bytes()
    assert collected.answer("verify", "verify", bundle)["verdict"] == "passed"
    assert collected.answer("verify", "verify", bundle, "--facts")["verdict"] == "passed"
    with zipfile.ZipFile(bundle) as archive:
        told = archive.read(f"{case}/data/VERIFY.md").decode()
        pages = archive.read(f"{case}/data/report/custody.html").decode()
    assert f"- `data/streams/` the links of {STREAM} that first sealed" in told
    assert f"preserved from {STREAM} ST-" in pages
    shown = collected("evidence", "show", case, "EV-0001").out
    assert "restates" in shown
    assert "ST-" in shown


def test_holds_and_retention_of_streams(collected: Evault) -> None:
    case = collected.declare()
    assert (
        collected.answer("hold-set", "hold", "set", STREAM, "--matter", "M", "--reason", "r")[
            "counts"
        ]["exhibits"]
        == len(LOGS) + 1
    )
    collected("preserve", case, STREAM, *WINDOW)
    kept = collected.answer("evidence-show", "evidence", "show", case, "EV-0001")["kept"]
    assert kept["held"] is True
    assert "for others" in collected("evidence", "show", case, "EV-0001").out
    collected.answer("retention-extend", "retention", "extend", STREAM, "--until",
                     "2099-01-01T00:00Z", "--reason", "r")  # fmt: skip
    assert collected.answer("retention-show", "retention", "show", case)["drift"] == []
    approval = collected.file("approval.txt")
    collected("ingest", STREAM, approval)
    collected("hold", "set", case, "--matter", "M", "--reason", "r")
    words = ("hold", "release", STREAM, "--matter", "M", "--reason", "r", "--approved-by",
             "Grace", "--exhibit", f"ST-{len(LOGS) + 2:04d}")  # fmt: skip
    assert "shared with others stay on hold for them" in collected(*words).out
    collected("hold", "set", STREAM, "--matter", "M", "--reason", "r")
    released = collected.answer("hold-release", *words)
    assert released["live"] == []
    assert released["counts"]["still_held"] > 0
    assert released["counts"]["released"] > 0
    assert collected.answer("hold-list", "hold", "list")["counts"]["live"] == 1
    assert collected.answer("retention-apply", "retention", "apply", STREAM)["counts"]["objects"]
    assert collected.answer("sweep", "sweep")["verdict"] == "passed"
    collected.answer("log-proof", "log", "proof", STREAM)


def test_one_item_is_read_and_recorded_on_its_stream(collected: Evault) -> None:
    said = collected.answer("evidence-get", "evidence", "get", STREAM, "ST-0001", "-o",
                            collected.folder / "out")  # fmt: skip
    assert (collected.folder / "out").read_bytes() == LOGS[0].read_bytes()
    assert said["receipt"]["chain"] == STREAM
    assert collected("custody", STREAM, "ST-0001").lines[-1].split()[2:4] == ["viewed", "ST-0001"]


def test_a_rebuilt_index_knows_streams(collected: Evault) -> None:
    case = collected.declare()
    collected("preserve", case, STREAM, *WINDOW)
    before = collected.answer("stream-show", "stream", "show", STREAM)
    collected("log", "rebuild")
    assert collected.answer("stream-show", "stream", "show", STREAM) == before
    assert collected.answer("preserve", "preserve", case, STREAM, *WINDOW)["items"] == []
    collected.sound()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("preserve", STREAM, "--from", "-1h"), "Missing option '--to'"),
        (("preserve", "--from", "-1h", "--to", "now"), "Missing argument '[INCIDENT] STREAM'"),
        (("preserve", "cloudtrail", "--from", "-1h", "--to", "now"), "is no stream like stream:"),
        (
            ("preserve", STREAM, STREAM, "--from", "-1h", "--to", "now"),
            "expected [INCIDENT] STREAM",
        ),
        (("preserve", STREAM, "--from", "now", "--to", "-1h"), "--from is later than --to"),
        (("preserve", STREAM, "--from", "2026-01-01T00:00", "--to", "now"), "has no time zone"),
        (("preserve", "stream:nothing", "--from", "-1h", "--to", "now"), "no stream:nothing"),
        (("ingest", "stream:Web", "."), "'stream:Web' is no stream like stream:web-logs"),
        (("ingest", "stream:", "."), "'stream:' is no stream"),
        (("ingest", STREAM), "name at least one file or folder"),
        (("export", STREAM, "-o", "x.zip", "--purpose", "p"), "is a stream, and this is done with"),
        (("checklist", STREAM), "bring what matters into one: evault preserve INCIDENT"),
        (("incident", "close", STREAM), "is a stream, and this is done with incidents"),
        (("hold", "set", "stream:nothing", "--matter", "m", "--reason", "r"), "no stream:nothing"),
        (("evidence", "show", STREAM, "EV-0001"), f"{STREAM} has no exhibit EV-0001"),
        (("evidence", "show", "ST-0001"), "has no exhibit ST-0001"),
    ],
)
def test_what_makes_no_sense_is_refused_and_seals_nothing(
    collected: Evault, words: tuple[str, ...], said: str
) -> None:
    case = collected.declare()
    before = run("stream", "list", "--json").raw
    assert said in collected.refused(*words)
    assert run("stream", "list", "--json").raw == before
    assert collected.link(case) == 0


def test_a_closed_incident_takes_nothing_and_the_stream_says_nothing(collected: Evault) -> None:
    case = collected.declare()
    collected("incident", "close", case)
    assert "is closed and sealed" in collected.refused("preserve", case, STREAM, *WINDOW)
    assert collected.answer("stream-show", "stream", "show", STREAM)["preserved"] == []
