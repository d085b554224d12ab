"""Exhibits: looking at them, taking them out, correcting them by statement."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_support import SAMPLES, Evault, run, unprivileged

TRACE = SAMPLES / "agentdojo" / "attacked.json"


@pytest.fixture
def exhibit(evault: Evault, case: str) -> bytes:
    """One exhibit, EV-0001; its bytes."""
    evault("ingest", TRACE)
    return TRACE.read_bytes()


def events(evault: Evault) -> list[str]:
    return [item["event"] for item in run("custody", "--json").json["items"]]


def test_the_list_shows_name_size_format_kinds_and_digest(evault: Evault, exhibit: bytes) -> None:
    [line] = evault("evidence", "list").lines
    assert line.split() == [
        "EV-0001", "attacked.json", "7.8", "kB", "AgentDojo", "prompt,", "tool_trace",
        run("evidence", "list", "--json").json["items"][0]["sha256"][:12],
    ]  # fmt: skip
    assert events(evault) == ["declared", "captured"], "looking at what is sealed reads nothing"


def test_an_empty_list_says_what_to_do(evault: Evault, case: str) -> None:
    assert evault("evidence", "list").out == (
        f"{case} has no exhibits yet; see: evault ingest --help\n"
    )


def test_show_keeps_claimed_captured_and_received_times_apart(
    evault: Evault, exhibit: bytes
) -> None:
    shown = evault("evidence", "show", "EV-0001").out
    for word in ("(claimed)", "(collector's clock)", "(vault's clock)", "not in it  times"):
        assert word in shown
    assert events(evault) == ["declared", "captured"]


def test_get_gives_the_bytes_and_records_the_reading_first(evault: Evault, exhibit: bytes) -> None:
    said = evault("evidence", "get", "EV-0001", "--purpose", "root cause")
    assert said.out == "EV-0001 -> attacked.json: 7.8 kB, as sealed; recorded as link 2\n"
    assert Path("attacked.json").read_bytes() == exhibit
    assert Path("attacked.json").stat().st_mode & 0o777 == 0o600
    assert 'viewed    EV-0001 "root cause"' in evault("custody").out
    assert [path.name for path in evault.folder.iterdir()] == ["attacked.json"]
    evault.sound()


def test_get_to_standard_output_gives_the_bytes_alone(evault: Evault, exhibit: bytes) -> None:
    said = evault("evidence", "get", "EV-0001", "--purpose", "look", "-o", "-")
    assert said.raw == exhibit
    assert events(evault)[-1] == "viewed"
    assert (
        "would both write to standard output"
        in run("evidence", "get", "EV-0001", "--purpose", "look", "-o", "-", "--json").err
    )


@pytest.mark.parametrize("obstacle", ["file", "folder", "dangling link"])
def test_get_never_writes_over_anything(evault: Evault, exhibit: bytes, obstacle: str) -> None:
    path = evault.folder / "out"
    if obstacle == "file":
        path.write_text("mine")
    elif obstacle == "folder":
        path.mkdir()
    else:
        path.symlink_to("nowhere")
    message = evault.refused("evidence", "get", "EV-0001", "--purpose", "look", "-o", "out")
    assert message == "evault: out is there already; name another file with -o\n"
    assert events(evault) == ["declared", "captured"], "nothing left, so nothing is recorded"
    assert obstacle != "file" or path.read_text() == "mine"


def test_get_to_a_folder_that_is_not_there_is_refused_before_anything_is_recorded(
    evault: Evault, exhibit: bytes
) -> None:
    message = evault.refused("evidence", "get", "EV-0001", "--purpose", "look", "-o", "no/such/out")
    assert "there is no folder no/such; make it, or name another with -o" in message
    assert events(evault) == ["declared", "captured"]


def test_get_to_a_folder_without_permission_is_refused_before_anything_is_recorded(
    reachable: tuple[Evault, str],
) -> None:
    evault, _ = reachable
    evault("ingest", evault.file("a"))
    locked = evault.folder / "locked"
    locked.mkdir(mode=0o500)
    with unprivileged(evault.home.parent):
        message = evault.refused(
            "evidence", "get", "EV-0001", "--purpose", "look", "-o", locked / "out"
        )
        assert f"cannot write to {locked}; name another place with -o" in message
        assert events(evault) == ["declared", "captured"]
        evault.sound()


def test_bytes_that_were_altered_in_the_store_do_not_leave_it(
    evault: Evault, exhibit: bytes
) -> None:
    [pack] = (evault.home / "store" / "artifacts").iterdir()
    pack.chmod(0o600)
    data = bytearray(pack.read_bytes())
    data[10] ^= 1
    pack.write_bytes(data)
    message = evault.refused("evidence", "get", "EV-0001", "--purpose", "look", "-o", "out", code=1)
    assert "EV-0001: sealed 62399800c0d0" in message
    assert "see what else is not: evault verify" in message
    assert not list(evault.folder.iterdir()), "not a byte is left behind"
    piped = run("evidence", "get", "EV-0001", "--purpose", "look", "-o", "-")
    assert (piped.code, piped.raw) == (1, b"")
    assert evault.problem("evidence", "get", "EV-0001", "--purpose", "look", "-o", "out", code=1)[
        "code"
    ] == ("digest_mismatch")
    assert run("verify").code == 1


def test_withdraw_keeps_the_exhibit_and_takes_it_out_of_the_count(
    evault: Evault, exhibit: bytes
) -> None:
    def trace() -> str:
        return next(line for line in evault("checklist").lines if line.startswith("C2"))

    assert "model named, not confirmed" in evault("checklist").out
    said = evault("evidence", "withdraw", "EV-0001", "EV-0001", "--reason", "another case")
    assert "EV-0001 withdrawn (chain link 2, log entry 2)" in said.out
    assert "missing" in trace()
    assert " withdrawn " in evault("evidence", "list").out
    assert "withdrawn  another case" in evault("evidence", "show", "EV-0001").out
    assert 'withdrawn  EV-0001 "another case"' in evault("custody").out
    assert evault("evidence", "get", "EV-0001", "--purpose", "look", "-o", "-").raw == exhibit
    evault.sound()


def test_classify_changes_what_counts_and_keeps_what_the_parser_said(
    evault: Evault, case: str
) -> None:
    evault.file("notes.txt", "restored build 41, tests pass\n")
    evault("ingest", "notes.txt")
    assert "C1  ticket, severity, detection     missing" in evault("checklist").out
    said = evault(
        "evidence", "classify", "EV-0001", "--kind", "rollback", "--kind", "ticket",
        "--reason", "it is the operator's note",
    )  # fmt: skip
    assert "EV-0001 classified as rollback, ticket (chain link 2" in said.out
    told = evault("checklist", "--explain").out
    assert "C1  ticket, severity, detection     partial" in told
    # Of a rollback a record must show that something went back.
    assert "A rollback is on record: EV-0001 shows nothing going back" in " ".join(told.split())
    item = run("evidence", "show", "EV-0001", "--json").json["items"][0]
    assert item["kinds"] == ["rollback", "ticket"]
    assert item["facts"]["parser"] == "text"
    evault.sound()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("withdraw", "EV-0001"), "Missing option '--reason'"),
        (("withdraw", "EV-0001", "--reason", ""), "'--reason'"),
        (
            ("withdraw", "EV-0009", "--reason", "r"),
            "has no exhibit EV-0009; list them with:",
        ),
        (("classify", "EV-0001"), "Missing option '--kind'"),
        (("classify", "EV-0001", "--kind", "gossip"), "'gossip' is no kind of evidence; known:"),
        (("show",), "Missing argument '[INCIDENT|STREAM] EXHIBIT'"),
        (("show", "EV-0001", "EV-0002"), "expected [INCIDENT] EXHIBIT"),
        (("get", "EV-0001", "--purpose", " "), "'--purpose'"),
    ],
)
def test_what_makes_no_sense_is_refused(
    evault: Evault, exhibit: bytes, words: tuple[str, ...], told: str
) -> None:
    assert told in evault.refused("evidence", *words)
    assert evault.link() == 1
