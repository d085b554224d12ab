"""`evault inspect`: no vault, every file told, nothing raw on a terminal whatever is in it."""

from __future__ import annotations

import gzip
import io
import json
import os
import sys
from pathlib import Path

import pytest
from cli_support import DEMO, SAMPLES, Evault, run, unprivileged
from test_cli_hostile_files import NAMES, shows_nothing_raw

WIDTH = 92
ESCAPES = "\x1b[2J\x1b]0;owned\x07\u202e\u200b<script>alert(1)</script>=cmd|' /C calc'!A0 "


def test_it_needs_no_vault_and_makes_none(empty: Evault) -> None:
    said = empty.answer("inspect", "inspect", DEMO / "agent" / "1-attacked.json")
    [item] = said["items"]
    assert (item["format"], item["confidence"]) == ("AgentDojo", "certain")
    assert {"prompt", "tool_trace"} <= set(item["kinds"])
    assert item["facts"]["parser"] == "agentdojo"
    assert item["path"] == str(DEMO / "agent" / "1-attacked.json")
    assert not empty.home.exists()


def test_a_file_is_told_with_what_it_gives_and_lacks(empty: Evault) -> None:
    said = empty("inspect", DEMO / "agent" / "1-attacked.json")
    told = " ".join(said.out.split())
    assert "is AgentDojo (certain):" in told
    assert "kinds prompt, tool_trace" in told
    assert "gives C2 prompts, tools, models, config: trace" in told
    assert "lacks returned model, " in told


def test_the_checklist_is_told_by_condition(empty: Evault) -> None:
    said = empty.answer("inspect", "inspect", DEMO / "cloudtrail")
    gives = [gift for item in said["items"] for gift in item["gives"]]
    assert {gift["item"] for gift in gives} == {"C3"}
    assert all(gift["gives"][:2] == ["log", "systems"] for gift in gives)
    trace = empty.answer("inspect", "inspect", DEMO / "agent" / "2-baseline.json")["items"][0]
    [gift] = [gift for gift in trace["gives"] if gift["item"] == "C2"]
    assert "models" in gift["lacks"], "AgentDojo names no model that answered"
    assert "times" in gift["lacks"]


def test_a_folder_is_walked_and_links_are_not_followed(empty: Evault) -> None:
    empty.file("d/a.json", b'{"a":1}\n')
    empty.file("d/b/c.txt", b"words\n")
    (empty.folder / "d" / "link").symlink_to("/etc/passwd")
    said = empty.answer("inspect", "inspect", "d", "d/a.json")
    assert [item["name"] for item in said["items"]] == ["d/a.json", "d/b/c.txt", "d/link"]
    assert said["items"][2]["facts"] is None
    assert said["items"][2]["problems"] == ["/etc/passwd"]
    assert said["counts"] == {"bytes": 14, "items": 3, "recognised": 0, "unread": 0}


def test_standard_input_is_read_once(empty: Evault, monkeypatch: pytest.MonkeyPatch) -> None:
    data = gzip.compress((DEMO / "agent" / "1-attacked.json").read_bytes() + b" " * (3 << 20))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    [item] = empty.answer("inspect", "inspect", "-", "--name", "run.json")["items"]
    assert (item["name"], item["path"], item["format"]) == ("run.json", "-", "AgentDojo, gzip")
    assert "comes only once" in empty.refused("inspect", "-", "-")


def test_what_is_damaged_is_told_with_its_place(empty: Evault) -> None:
    lines = (SAMPLES / "cloudtrail" / "aws_cloudtrail.jsonl").read_bytes().split(b"\n")
    broken = empty.file("log.jsonl", lines[0] + b"\n{broken\n" + lines[1] + b"\n")
    said = empty("inspect", broken)
    assert "1 bad record: not JSON" in said.out
    assert f"bad at byte {len(lines[0]) + 1:,}" in said.out
    [item] = run("inspect", broken, "--json").json["items"]
    assert item["facts"]["bad_offsets"] == [len(lines[0]) + 1]


@pytest.mark.parametrize("name", NAMES, ids=[repr(name[:20])[2:-1] for name in NAMES])
def test_a_hostile_name_is_shown_escaped(empty: Evault, name: bytes) -> None:
    folder = empty.folder / "d"
    folder.mkdir()
    Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_bytes(b"x\n")
    said = empty("inspect", folder)
    assert shows_nothing_raw(said.out + said.err)
    assert all(len(line) <= WIDTH for line in said.lines)
    [item] = empty.answer("inspect", "inspect", folder)["items"]
    assert item["name"] == f"d/{name.decode('utf-8', 'replace')}"


def test_hostile_contents_are_shown_escaped_and_folded(empty: Evault) -> None:
    events = [
        {
            "eventVersion": "1",
            "eventName": f"{ESCAPES}{number}",
            "eventSource": f"{ESCAPES}.amazonaws.com",
            "eventTime": "2026-01-31T09:30:00Z",
            "userIdentity": {"arn": f"arn:{ESCAPES}{'x' * 500}{number}", "type": "IAMUser"},
            "requestParameters": {"bucketName": ESCAPES},
        }
        for number in range(9)
    ]
    call = {"function": ESCAPES, "args": {}, "id": "1"}
    run_ = {
        "suite_name": ESCAPES,
        "pipeline_name": ESCAPES * 20,
        "messages": [{"role": "assistant", "content": None, "tool_calls": [call]}],
    }
    for data in (json.dumps({"Records": events}), json.dumps(run_), ESCAPES, ESCAPES * 9999):
        for inner in (data, data[: len(data) // 2]):
            path = empty.file("hostile", inner)
            said = empty("inspect", path)
            assert shows_nothing_raw(said.out + said.err)
            assert all(len(line) <= WIDTH for line in said.lines), said.out
            empty.answer("inspect", "inspect", path)


def test_what_cannot_be_read_is_told_and_makes_the_exit_code_1(empty: Evault) -> None:
    os.mkfifo(empty.folder / "pipe")
    empty.file("a")
    said = empty.answer("inspect", "inspect", ".", code=1)
    assert said["counts"]["unread"] == 1
    assert said["items"][1]["problems"] == ["a named pipe"]
    assert "nothing sealed" not in empty.refused("inspect", "absent")
    (empty.folder / "nothing").mkdir()
    assert "there is nothing in" in empty.refused("inspect", "nothing")


def test_a_file_without_permission_stops_nothing(reachable: tuple[Evault, str]) -> None:
    evault, _ = reachable
    evault.file("a").chmod(0)
    evault.file("b", b"words\n")
    with unprivileged(evault.home, evault.folder):
        said = run("inspect", evault.folder, "--json")
    assert said.code == 1
    assert [item["problems"] for item in said.json["items"]] == [["Permission denied"], []]
