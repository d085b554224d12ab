"""Where the home is, who acts, and what `init` leaves."""

from __future__ import annotations

import os
import pwd
import socket
import stat
from pathlib import Path

import pytest
from cli_support import Evault, run

WHO = f"{pwd.getpwuid(os.getuid()).pw_name}@{socket.gethostname()} (uid {os.getuid()}, local)"


def actors(evault: Evault) -> list[str]:
    return [row["actor"] for row in run("custody", "--json").json["items"]]


def test_the_actor_is_the_account_uid_and_host(evault: Evault) -> None:
    evault.declare()
    assert actors(evault) == [WHO]


@pytest.mark.parametrize("name", ["LOGNAME", "USER", "LNAME", "USERNAME"])
def test_an_environment_variable_does_not_change_the_account(
    evault: Evault, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "someone-else")
    evault.declare()
    assert actors(evault) == [WHO]


def test_a_claimed_name_appears_as_claimed(evault: Evault, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVAULT_ACTOR", "Ada Lovelace")
    evault.declare()
    assert actors(evault) == [f'{WHO}, calling themselves "Ada Lovelace"']
    assert 'calling themselves "Ada Lovelace"' in evault("custody").out


def test_a_claimed_name_cannot_write_to_the_terminal(
    evault: Evault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVAULT_ACTOR", os.fsdecode(b"\x1b[31mroot\n\xff"))
    evault.declare()
    shown = evault("custody").out
    assert "\x1b" not in shown
    assert len(shown.splitlines()) == 2, "the actor and the link"
    assert "\\x1b[31mroot\\n\ufffd" in shown
    evault.sound()


def test_home_option_wins_over_evault_home_over_the_data_folder(
    empty: Evault, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def home(*words: object) -> Path:
        return Path(run(*words, "init", "--json").json["home"])

    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    monkeypatch.setenv("EVAULT_HOME", str(tmp_path / "named"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert home("--home", tmp_path / "option") == tmp_path / "option"
    assert home() == tmp_path / "named"
    monkeypatch.delenv("EVAULT_HOME")
    assert home() == tmp_path / "data" / "evault"
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    assert home() == tmp_path / "me" / ".local" / "share" / "evault"
    monkeypatch.delenv("XDG_DATA_HOME")
    assert home() == tmp_path / "me" / ".local" / "share" / "evault"


def test_home_stands_before_the_command_and_the_error_says_so(empty: Evault) -> None:
    message = empty.refused("init", "--home", "x")
    assert "--home stands before the command: evault --home DIR COMMAND" in message


def test_init_says_what_to_back_up_and_to_send_and_its_keys_are_private(empty: Evault) -> None:
    said = empty("init")
    assert said.lines[0] == f"A vault was made in {empty.home}"
    for word in (
        "Back up, apart from this machine:", str(empty.home / "keys"), str(empty.home / "store"),
        "Send to counsel now", "evault trust > trust.json", "evault log checkpoint > checkpoint",
        "Next: evault incident declare --help",
    ):  # fmt: skip
        assert word in said.out
    for told in empty("trust").err.splitlines():
        assert f"    {told}" in said.lines
    keys = list((empty.home / "keys").iterdir())
    assert [stat.S_IMODE(key.stat().st_mode) for key in keys] == [0o600, 0o600]
    assert stat.S_IMODE(empty.home.stat().st_mode) == 0o700


def test_init_again_changes_nothing(empty: Evault) -> None:
    empty("init")
    before = {path: path.read_bytes() for path in empty.home.rglob("*") if path.is_file()}
    said = empty("init")
    assert said.out == f"There is a vault in {empty.home} already; nothing was changed.\n"
    after = {path: path.read_bytes() for path in empty.home.rglob("*") if path.is_file()}
    assert after == before


def test_init_finishes_what_an_interrupted_init_began(empty: Evault) -> None:
    empty("init")
    key = (empty.home / "keys" / "log.pem").read_bytes()
    (empty.home / "evault.json").unlink()
    (empty.home / "index.sqlite").unlink()
    assert "A vault was made" in empty("init").out
    assert (empty.home / "keys" / "log.pem").read_bytes() == key
    empty.declare()
    empty.sound()


def test_an_origin_is_the_logs_name_and_cannot_change(empty: Evault) -> None:
    assert "--origin 'two words': a key name" in empty.refused("init", "--origin", "two words")
    assert not empty.home.exists(), "a wrong name leaves nothing behind"
    empty("init", "--origin", "vault.example.org/log")
    assert run("trust", "--json").json["origin"] == "vault.example.org/log"
    empty("init", "--origin", "vault.example.org/log")
    assert "its origin cannot change" in empty.refused("init", "--origin", "other.example.org/log")


def test_init_refuses_a_folder_that_holds_other_things(empty: Evault) -> None:
    empty.home.mkdir()
    (empty.home / "thesis.tex").write_text("mine")
    message = empty.refused("init")
    assert "holds other things (thesis.tex); name an empty folder with --home" in message
    assert [path.name for path in empty.home.iterdir()] == ["thesis.tex"]
