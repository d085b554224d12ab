"""`evault capture` and `evault ingest -`: what a command or a pipe gives is sealed as it came."""

from __future__ import annotations

import hashlib
import io
import json
import sys
from typing import Any

import pytest
from cli_support import DEMO, Evault, check, run
from test_cli_hostile_files import shows_nothing_raw

PYTHON = sys.executable


def content(evault: Evault, exhibit: str) -> bytes:
    target = evault.folder / f"out-{exhibit}"
    evault("evidence", "get", exhibit, "--purpose", "look", "-o", target)
    return target.read_bytes()


def capture(*words: object, code: int = 0) -> Any:
    """The answer to --json, which must stand before the command."""
    said = run("capture", "--json", *words)
    assert (said.code, said.err) == (code, ""), said.err or said.out
    check("capture", said.json)
    return said.json


def items(evault: Evault) -> dict[str, Any]:
    listed = run("evidence", "list", "--json").json["items"]
    return {item["name"].rpartition("/")[2]: item for item in listed}


def test_a_command_is_sealed_with_its_output_and_how_it_ended(evault: Evault, case: str) -> None:
    script = "import sys; print('out'); print('err', file=sys.stderr)"
    said = capture(case, "--system", "aws", "--", PYTHON, "-c", script)
    assert (said["exit_code"], said["signal"]) == (0, None)
    assert list(items(evault)) == ["stdout", "stderr", "run.json"]
    assert content(evault, "EV-0001") == b"out\n"
    assert content(evault, "EV-0002") == b"err\n"
    record = json.loads(content(evault, "EV-0003"))
    assert record["argv"] == [PYTHON, "-c", script]
    assert record["stdout"] == {"sha256": hashlib.sha256(b"out\n").hexdigest(), "size": 4}
    assert record["exit_code"] == 0
    assert record["started_at"] <= record["ended_at"]
    with open(PYTHON, "rb") as file:  # noqa: PTH123
        assert record["program"]["sha256"] == hashlib.file_digest(file, "sha256").hexdigest()
    evault.sound()


def test_output_is_read_as_what_it_is(evault: Evault, case: str) -> None:
    evault("capture", "--", "cat", DEMO / "agent" / "1-attacked.json")
    assert items(evault)["stdout"]["format"] == "AgentDojo"
    evault("capture", "--kind", "permission-grant", "--", "echo", "admin")
    assert run("evidence", "list", "--json").json["items"][2]["kinds"] == ["permission_grant"]


def test_an_empty_answer_is_a_nil_return_with_its_query(evault: Evault, case: str) -> None:
    ask = ("capture", case, "--system", "mail-agent", "--source", "gateway",
           "--from", "2026-01-31T09:00Z", "--to", "2026-01-31T10:00Z", "--", "true")  # fmt: skip
    evault(*ask)
    evault(*ask)
    both = run("evidence", "list", "--json").json["items"]
    assert [item["kinds"] for item in both] == [["nil_return"], ["nil_return"]]
    for item in both:
        assert item["facts"]["coverage"] == [
            {"end": "2026-01-31T10:00:00Z", "source": "gateway", "start": "2026-01-31T09:00:00Z"}
        ]
        assert (item["system"], item["source"]) == ("mail-agent", "gateway")
        assert item["summary"] == "true: exit code 0, wrote nothing"


def test_a_command_that_fails_is_evidence_and_makes_the_exit_code_1(
    evault: Evault, case: str
) -> None:
    said = capture("--", PYTHON, "-c", "exit(7)", code=1)
    assert said["exit_code"] == 7
    assert items(evault)["run.json"]["kinds"] == ["other"]
    assert "exit code 7" in items(evault)["run.json"]["facts"]["problems"]
    kill = "import os; print('x', flush=True); os.kill(os.getpid(), 9)"
    said = capture("--", PYTHON, "-c", kill, code=1)
    assert (said["exit_code"], said["signal"]) == (None, "SIGKILL")
    assert "ended with SIGKILL" in run("capture", "--", PYTHON, "-c", kill).out
    evault.sound()


def test_no_shell_looks_at_the_words(evault: Evault, case: str) -> None:
    evault("capture", "--", "echo", "$(id)", "a;b", "*", "--json", "-o")
    assert content(evault, "EV-0001") == b"$(id) a;b * --json -o\n"


def test_what_cannot_be_run_seals_nothing(evault: Evault, case: str) -> None:
    before = evault.link(case)
    assert "cannot run" in evault.refused("capture", case, "--", "/nowhere/at/all", "--json")
    assert "name the command" in evault.refused("capture", case)
    late = ("--from", "2026-01-31T10:00Z", "--to", "2026-01-31T09:00Z")
    assert "later than" in evault.refused("capture", case, *late, "--", "true")
    assert evault.link(case) == before


def test_a_large_output_streams_and_errors_do_not_block_it(evault: Evault, case: str) -> None:
    script = (
        "import sys\n"
        "for _ in range(300): sys.stdout.write('x' * 9999 + chr(10)); sys.stderr.write('e' * 9999)"
    )
    evault("capture", "--", PYTHON, "-c", script)
    sizes = {name: item["size"] for name, item in items(evault).items()}
    assert (sizes["stdout"], sizes["stderr"]) == (3_000_000, 2_999_700)
    evault.sound()


def test_hostile_output_and_words_are_shown_escaped(evault: Evault, case: str) -> None:
    hostile = "\x1b[2J\u202e<script>"
    said = evault("capture", "--", "printf", "%s", hostile)
    for each in (said, evault("evidence", "list"), evault("evidence", "show", "EV-0002")):
        assert shows_nothing_raw(each.out + each.err)
    assert content(evault, "EV-0001") == hostile.encode()


@pytest.mark.parametrize("size", [0, 11, 1 << 20, (3 << 20) + 5])
def test_standard_input_is_sealed_as_it_came(
    evault: Evault, case: str, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    data = (b"0123456789\n" * (size // 11 + 1))[:size]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    evault.file("a")
    said = evault.answer("ingest", "ingest", case, "a", "-", "--name", "answer.log")
    assert [item["name"] for item in said["items"]] == ["a", "answer.log"]
    assert [item["size"] for item in said["items"]] == [14, size]
    assert content(evault, "EV-0002") == data
    assert "comes only once" in evault.refused("ingest", "-", "-")
    evault.sound()
