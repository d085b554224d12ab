"""Sealing files and folders: what is said of them, and when the same bytes are sealed again."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from cli_support import DEMO, SAMPLES, Evault, run

import cli


def told(text: str) -> str:
    """Output without the one figure that differs from run to run."""
    return re.sub(r"sealed in \d+\.\d s", "sealed in N s", text)


def exhibits(evault: Evault, *words: object) -> list[str]:
    return [item["exhibit"] for item in run("ingest", *words, "--json").json["items"]]


def test_files_are_grouped_by_folder_and_format_and_singly_where_few(
    evault: Evault, case: str
) -> None:
    said = evault("ingest", case, DEMO / "agent", DEMO / "cloudtrail")
    assert told(said.out).splitlines() == [
        "58 files, 3.7 MB, sealed in N s: chain link 1, log entry 1",
        "EV-0001        1-attacked.json   AgentDojo   4 tool calls, the last one send_email",
        "EV-0002        2-baseline.json   AgentDojo   2 tool calls, the last one "
        "search_calendar_events",
        "EV-0003        3-after-fix.json  AgentDojo   4 tool calls, 3 results withheld: "
        "prompt injection",
        "EV-0004..0058  cloudtrail/       CloudTrail  2,900 events, 13 principals, "
        "11:42:18Z-12:37:50Z",
        "Look at: EV-0001..0003 carry no times. CloudTrail: no S3 object reads (no data events);",
        "         longest silence 5 min 1 s; 1 event without a principal's ARN;",
        "         account 218007301253 in the file name, 123837392027 in the records.",
    ]
    assert said.err == "", "progress is quiet in a pipe"


def test_a_group_that_spans_days_is_told_with_its_dates(evault: Evault, case: str) -> None:
    for at in ("10/Jul/2023:23:20:57", "10/Jul/2023:23:40:00", "11/Jul/2023:07:00:00",
               "12/Jul/2023:08:04:28"):  # fmt: skip
        line = f'192.0.2.7 - - [{at} +0000] "GET /a HTTP/1.1" 200 12 "-" "curl/8"\n'
        evault.file(f"web/{at.replace('/', '-').replace(':', '-')}.log", line)
    said = " ".join(evault("ingest", case, "web").out.split())
    assert "2023-07-10 23:20:57Z to 2023-07-12 08:04:28Z" in said


def test_like_files_of_many_folders_are_told_apart_or_together(evault: Evault, case: str) -> None:
    run_ = (DEMO / "agent" / "2-baseline.json").read_bytes()
    for number in range(4):
        evault.file(f"few/user_task_{number}/injection_task_3.json", run_ + b" " * number)
    said = evault("ingest", case, "few")
    for number in range(4):
        assert f"EV-000{number + 1}  user_task_{number}/injection_task_3.json" in said.out
    for number in range(20):
        evault.file(f"many/user_task_{number:02}/injection_task_3.json", run_ + b" " * (9 + number))
    (line,) = evault("ingest", case, "many").lines[1:-1]
    assert line.split()[:3] == ["EV-0005..0024", "many/", "AgentDojo"]


def test_a_long_path_is_cut_where_it_tells_least(evault: Evault, case: str) -> None:
    evault.file(f"{'a' * 60}/x/same.txt", b"one")
    evault.file(f"{'b' * 60}/y/same.txt", b"two")
    said = evault("ingest", case, "a" * 60, "b" * 60)
    assert "a/x/same.txt" in said.out
    assert "b/y/same.txt" in said.out


def test_what_needs_a_look_is_named(evault: Evault, case: str) -> None:
    evault.file("empty.log", b"")
    evault.file("bad.jsonl", '{"a":1}\n{"a":\n{"a":3}\n')
    said = evault("ingest", "empty.log", "bad.jsonl", "--system", "mail_agent")
    assert "Look at: EV-0001: empty, 0 bytes. EV-0002: 1 record could not be read." in said.out
    assert f"mail_agent is none of the systems of {case}; see: evault incident amend." in " ".join(
        said.out.split()
    )
    assert re.search(r"EV-0001  empty\.log +empty", said.out)


def test_a_many_linked_folder_is_told_with_one_line_a_link(evault: Evault, case: str) -> None:
    folder = evault.folder / "d"
    folder.mkdir()
    for number in range(12):
        (folder / f"l{number:02}").symlink_to("nowhere")
    said = evault("ingest", "d")
    assert said.lines[0] == (
        "No file was sealed; what was met besides is on record: chain link 1, log entry 1"
    )
    assert said.lines[1] == "link, not followed: d/l00 -> nowhere"
    assert said.lines[-1] == "and 2 more links"
    assert "captured  nothing; 12 not captured" in evault("custody").out


def test_folders_are_walked_in_bytewise_order(evault: Evault, case: str) -> None:
    for name in ("d/b", "d/a/z", "d/B", "d/a.txt", "d/é", "c"):
        evault.file(name, name)
    answer = run("ingest", "d", "c", "--json").json
    assert [item["name"] for item in answer["items"]] == [
        "d/B", "d/a/z", "d/a.txt", "d/b", "d/é", "c",
    ]  # fmt: skip


def test_options_are_sealed(evault: Evault, case: str) -> None:
    evault.file("a")
    evault(
        "ingest", "a", "--kind", "config-snapshot", "--kind", "rollback", "--source", "the wiki",
        "--method", "copied by hand", "--system", "aws",
    )  # fmt: skip
    shown = evault("evidence", "show", "EV-0001").out
    for row in ("kinds     config_snapshot, rollback", "source    the wiki", "system    aws",
                "method    copied by hand"):  # fmt: skip
        assert re.sub(" +", " ", row) in re.sub(" +", " ", shown)


def test_unchanged_files_add_nothing(evault: Evault, case: str) -> None:
    evault.file("a", "one\n")
    evault.file("b", "two\n")
    evault("ingest", "a", "b")
    again = evault("ingest", "a", "b")
    assert again.lines == [
        "Nothing new: nothing was sealed.",
        "2 files sealed before and unchanged since (EV-0001 …): nothing added; "
        "--again seals them all the same",
    ]
    assert evault.link() == 1
    evault.file("b", "changed\n")
    said = evault("ingest", "a", "b")
    assert said.lines[1].startswith("EV-0003  b  text")
    assert "1 file sealed before" in said.out
    evault.sound()


def test_again_seals_unchanged_files_all_the_same(evault: Evault, case: str) -> None:
    evault.file("a")
    assert exhibits(evault, "a") == ["EV-0001"]
    assert exhibits(evault, "a") == []
    assert exhibits(evault, "a", "--again") == ["EV-0002"]


def test_after_a_phase_the_same_file_is_evidence_anew(evault: Evault, case: str) -> None:
    evault.file("agent.yaml", "tools: [mail]\n")
    assert exhibits(evault, "agent.yaml") == ["EV-0001"]
    evault("incident", "phase", "contained")
    assert exhibits(evault, "agent.yaml") == ["EV-0002"], "unchanged after containment is proof"
    assert exhibits(evault, "agent.yaml") == []


def test_after_a_rollback_the_same_file_is_evidence_anew(evault: Evault, case: str) -> None:
    evault.file("agent.yaml", "tools: [mail]\n")
    evault.file("rollback.log", "rolled back\n")
    assert exhibits(evault, "agent.yaml") == ["EV-0001"]
    assert exhibits(evault, "rollback.log", "--kind", "rollback") == ["EV-0002"]
    assert exhibits(evault, "agent.yaml", "rollback.log") == ["EV-0003"]
    assert exhibits(evault, "agent.yaml", "rollback.log") == []


def test_other_statements_do_not_make_the_same_file_new(evault: Evault, case: str) -> None:
    evault.file("a")
    assert exhibits(evault, "a") == ["EV-0001"]
    evault("incident", "assign", "comms_lead", "Ada")
    evault("incident", "scope", "--run", "r")
    evault("incident", "amend", "--tier", "1", "--reason", "r")
    assert exhibits(evault, "a") == []


def test_the_same_file_from_another_source_or_path_is_another_sighting(
    evault: Evault, case: str
) -> None:
    evault.file("a")
    evault.file("b")
    assert exhibits(evault, "a") == ["EV-0001"]
    assert exhibits(evault, "a", "--source", "backup") == ["EV-0002"]
    assert exhibits(evault, "a", "--system", "aws") == ["EV-0003"]
    assert exhibits(evault, "b") == ["EV-0004"]


def test_equal_bytes_under_two_names_are_two_exhibits(evault: Evault, case: str) -> None:
    evault.file("query-1.json", "[]")
    evault.file("query-2.json", "[]")
    answer = run("ingest", "query-1.json", "query-2.json", "--kind", "nil-return", "--json").json
    first, second = answer["items"]
    assert (first["exhibit"], second["exhibit"]) == ("EV-0001", "EV-0002")
    assert first["sha256"] == second["sha256"]
    assert first["name"] != second["name"]
    evault.sound()


def test_a_path_named_twice_is_sealed_once(evault: Evault, case: str) -> None:
    evault.file("d/a")
    assert exhibits(evault, "d/a", "d", evault.folder / "d") == ["EV-0001"]


def test_a_deposit_repeated_adds_nothing(evault: Evault, case: str) -> None:
    evault.file("d/a", "one\n")
    evault.file("d/b", "two\n")
    (evault.folder / "d" / "link").symlink_to("a")
    first = run("ingest", "d", "--deposit", "pipeline-7", "--json").json
    assert (first["counts"]["items"], first["receipt"]["repeated"]) == (2, False)
    second = run("ingest", "d", "--deposit", "pipeline-7", "--json").json
    assert second["receipt"] == {**first["receipt"], "repeated": True}
    said = evault("ingest", "d", "--deposit", "pipeline-7")
    assert said.lines[0] == (
        "This deposit was sealed before: 2 files, nothing added: chain link 1, log entry 1"
    )
    assert evault.link() == 1
    evault.sound()


@pytest.mark.slow
def test_a_deposit_that_left_out_what_was_sealed_before_can_be_repeated(
    evault: Evault, case: str
) -> None:
    evault.file("d/a", "one\n")
    evault("ingest", "d")
    evault.file("d/b", "two\n")
    first = run("ingest", "d", "--deposit", "x", "--json").json
    assert [item["name"] for item in first["items"]] == ["d/b"]
    evault("incident", "phase", "contained")
    second = run("ingest", "d", "--deposit", "x", "--json").json
    assert second["receipt"]["repeated"] is True
    assert second["items"] == first["items"]
    evault("incident", "close")
    assert run("ingest", case, "d", "--deposit", "x", "--json").json["receipt"]["repeated"] is True
    assert evault.link(case) == 4


def test_a_deposit_repeated_with_other_content_is_refused(evault: Evault, case: str) -> None:
    evault.file("a", "one\n")
    evault("ingest", "a", "--deposit", "x")
    evault.file("a", "two\n")
    assert (
        f"deposit x is link 1 of {case} already, with other content; choose another deposit id"
        in evault.refused("ingest", "a", "--deposit", "x")
    )
    assert "is no deposit id" in evault.refused("ingest", "a", "--deposit", "my id")
    assert evault.link() == 1
    evault.sound()


def test_an_unknown_kind_is_refused_with_those_that_exist(evault: Evault, case: str) -> None:
    evault.file("a")
    message = evault.refused("ingest", "a", "--kind", "gossip")
    assert "'gossip' is no kind of evidence; known: ticket, prompt, tool_trace" in message
    assert evault.link() == 0


def test_nothing_to_seal_is_said(evault: Evault, case: str) -> None:
    (evault.folder / "hollow").mkdir()
    assert "there is nothing in hollow; nothing sealed" in evault.refused("ingest", "hollow")
    assert "name at least one file or folder" in evault.refused("ingest", case)
    assert evault.link() == 0


def test_a_link_is_recorded_and_never_followed_even_where_it_is_named(
    evault: Evault, case: str
) -> None:
    evault.file("secret", "not for sealing\n")
    (evault.folder / "named").symlink_to("secret")
    said = evault("ingest", "named")
    assert "link, not followed: named -> secret" in said.out
    assert run("evidence", "list", "--json").json["items"] == []


def test_two_processes_that_ingest_at_once_both_succeed(evault: Evault, case: str) -> None:
    for number in (1, 2):
        evault.file(f"d{number}/a", f"{number}\n")
    command = [sys.executable, "-m", "cli", "ingest", case]
    running = [
        subprocess.Popen(
            [*command, str(evault.folder / f"d{number}")],
            cwd=Path(cli.__file__).parent.parent,
            stdout=subprocess.DEVNULL,
        )
        for number in (1, 2)
    ]
    assert [each.wait() for each in running] == [0, 0]
    assert run("incident", "show", "--json").json["counts"]["exhibits"] == 2
    evault.sound()


@pytest.mark.slow
def test_ctrl_c_leaves_nothing_claimed(evault: Evault, case: str) -> None:
    large = evault.folder / "large"
    with large.open("wb") as file:
        file.truncate(4 << 30)
    running = subprocess.Popen(
        [sys.executable, "-m", "cli", "ingest", case, str(large)],
        cwd=Path(cli.__file__).parent.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    temporary = evault.home / "store" / "tmp"
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and running.poll() is None:
        with suppress(OSError):
            if any(path.stat().st_size for path in temporary.iterdir()):
                break
        time.sleep(0.005)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert (running.returncode, out) == (130, b"")
    assert err.decode() == "evault: interrupted; nothing half-made was claimed\n"
    assert evault.link() == 0
    assert not list(temporary.iterdir()), "what was copied is taken away again"
    evault.sound()


def test_a_deep_folder_is_walked_to_its_end(evault: Evault, case: str) -> None:
    here = Path.cwd()
    try:
        for _ in range(1_100):
            Path("d").mkdir()
            os.chdir("d")
        Path("leaf").write_text("x")
    finally:
        os.chdir(here)
    try:
        answer = run("ingest", "d", "--json").json
        assert [item["name"].count("/") for item in answer["items"]] == [1_100]
    finally:  # pytest's own clean-up recurses, and would warn
        subprocess.run(["rm", "-rf", str(here / "d")], check=True)


@pytest.mark.parametrize("sample", sorted(path.name for path in (SAMPLES / "agentdojo").iterdir()))
def test_every_sample_is_sealed_as_it_is(evault: Evault, case: str, sample: str) -> None:
    path = SAMPLES / "agentdojo" / sample
    evault("ingest", path)
    assert (
        evault("evidence", "get", "EV-0001", "--purpose", "look", "-o", "-").raw
        == path.read_bytes()
    )


def test_a_log_of_which_nothing_is_to_be_remarked_is_told(evault: Evault, case: str) -> None:
    line = '10.0.0.{} - ada [13/Jan/2016:19:31:16 +0000] "GET /{} HTTP/1.1" 200 494 "-" "curl/8"\n'
    Path("access.log").write_text("".join(line.format(n, n) for n in range(1, 4)))
    said = run("ingest", case, "access.log")
    assert (said.code, said.err) == (0, "")
    assert "access.log" in said.out
    assert "Look at" not in said.out
