"""`evault collector add` with chains: the key is let in, and the token shown once."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from cli_served import ELSEWHERE, at_home
from cli_support import Evault, run
from test_cli_token import SECRET, signed_in

from vault.adapters.access import SqlAccessStore
from vault.errors import UnavailableError
from verify.instant import parse_instant


@pytest.fixture
def key(evault: Evault) -> Path:
    """The public key of a spool, which no vault knows."""
    evault("spool", "init", "spool")
    return Path("spool/collector.pub")


def letting_in(evault: Evault) -> list[str]:
    with at_home():
        return [
            each["name"] for each in evault.answer("collector-list", "collector", "list")["items"]
        ]


def test_a_collector_is_let_in_with_a_token_for_what_is_named(
    evault: Evault, case: str, key: Path
) -> None:
    said = evault.answer(
        "collector-add", "collector", "add", "edge-1", case, "stream:web", "--key", key,
        "--expires", "30d",
    )  # fmt: skip
    assert said["receipt"]["chain"] == "vault"
    assert said["others"] == []
    token = signed_in(evault.home, said["secret"])
    assert token is not None
    assert (token.identity, token.kind, token.chains) == (
        "collector:edge-1", "collector", (case, "stream:web"),
    )  # fmt: skip
    assert said["token"]["id"] == token.id
    life = token.expires - parse_instant(said["token"]["created"], where="created")
    assert 29 < life.total_seconds() / 86_400 <= 30


def test_the_answer_shows_the_secret_once_and_the_home_keeps_it_nowhere(
    evault: Evault, case: str, key: Path
) -> None:
    said = evault("collector", "add", "edge-1", "stream:web", "--key", key)
    (secret,) = SECRET.findall(said.out)
    assert "may deliver from now on (chain vault link 0" in said.out
    assert "signs in collector:edge-1 on stream:web alone" in " ".join(said.out.split())
    assert "It is shown this once" in said.out
    for path in evault.home.rglob("*"):
        assert not path.is_file() or secret[17:].encode() not in path.read_bytes(), path


def test_without_chains_it_gets_none_and_is_told_how(evault: Evault, case: str, key: Path) -> None:
    said = evault.answer("collector-add", "collector", "add", "edge-1", "--key", key)
    assert (said["token"], said["secret"], said["others"]) == (None, None, [])
    words = " ".join(evault("collector", "add", "edge-1", "--key", key).out.split())
    assert "It has no token" in words
    assert "evault collector add edge-1 --key FILE INCIDENT|STREAM" in words
    if ELSEWHERE not in os.environ:
        assert not (evault.home / "access.sqlite").exists()


def test_quiet_prints_the_secret_alone(evault: Evault, case: str, key: Path) -> None:
    said = evault("collector", "add", "edge-1", "stream:web", "--key", key, "--quiet")
    assert SECRET.fullmatch(said.out.removesuffix("\n"))
    assert said.err == ""


def test_asked_again_it_seals_nothing_and_makes_another_token(
    evault: Evault, case: str, key: Path
) -> None:
    """Whoever did not hear the answer has no other way to the secret."""
    first = evault.answer("collector-add", "collector", "add", "edge-1", case, "--key", key)
    again = evault.answer("collector-add", "collector", "add", "edge-1", case, "--key", key)
    assert again["receipt"] is None
    assert again["others"] == [first["token"]["id"]]
    assert signed_in(evault.home, first["secret"])
    assert signed_in(evault.home, again["secret"])
    told = evault("collector", "add", "edge-1", case, "--key", key).out
    assert "may deliver already" in told
    assert re.search(rf"valid still: .*{first['token']['id']}", " ".join(told.split()))
    assert "evault token revoke ID" in " ".join(told.split())


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("INC-1999-0001",), "there is no incident INC-1999-0001"),
        (("stream:Web",), "is no stream"),
        (("*",), "no incident id"),
        (("vault",), "no incident id"),
        (("stream:web", "--expires", "2020-01-01T00:00Z"), "is past"),
        (("stream:web", "--expires", "400d"), "at most 366 days"),
        (("--quiet",), "name what it may append to"),
        (("--expires", "1d"), "name what it may append to"),
        (tuple(f"stream:s{each}" for each in range(101)), "100"),
    ],
)
def test_what_makes_no_sense_lets_nobody_in(
    evault: Evault, case: str, key: Path, words: tuple[str, ...], says: str
) -> None:
    assert says in evault.refused("collector", "add", "edge-1", *words, "--key", key)
    assert letting_in(evault) == []


def test_a_name_that_is_anothers_gets_no_token(evault: Evault, case: str, key: Path) -> None:
    evault("collector", "add", "edge-1", case, "--key", key)
    evault("spool", "init", "other")
    said = evault.refused("collector", "add", "edge-1", case, "--key", "other/collector.pub")
    assert "with another key" in said
    evault("collector", "remove", "edge-1", "--reason", "broken into")
    said = evault.refused("collector", "add", "edge-1", case, "--key", key)
    assert "was taken back" in said
    with at_home():
        tokens = evault.answer("token-list", "token", "list", "collector:edge-1")
    assert tokens["counts"] == {"tokens": 1, "valid": 0}


def test_a_token_that_cannot_be_made_is_said_with_what_is_done_and_what_to_do(
    evault: Evault, case: str, key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise UnavailableError("the access database is full")

    with monkeypatch.context() as patched:
        patched.setattr(SqlAccessStore, "add_token", fails)
        said = run("collector", "add", "edge-1", case, "--key", key)
    assert (said.code, said.raw) == (2, b"")
    words = " ".join(said.err.split())
    assert "edge-1 is let in (chain vault link 0), but has no token" in words
    assert "the access database is full" in words
    assert "run the same command again" in words
    assert letting_in(evault) == ["edge-1"]
    again = run("collector", "add", "edge-1", case, "--key", key, "--json")
    assert again.code == 0, again.err
    assert signed_in(evault.home, again.json["secret"])
