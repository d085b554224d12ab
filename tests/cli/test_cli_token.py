"""`evault token`: made and shown once, listed without their secrets, rotated, revoked."""

from __future__ import annotations

import json
import re
import stat
from datetime import timedelta
from pathlib import Path

import pytest
from cli_support import Evault, run

from cli.compose import open_vault
from cli.settings import read_settings
from cli.storage import open_access
from cli.vault import now
from vault.errors import UnauthenticatedError
from vault.ports import Token
from vault.tokens import Tokens
from verify.instant import parse_instant

SECRET = re.compile(r"evt_[0-9a-hjkmnp-tv-z]{12}_[A-Za-z0-9_-]{43}")
ADA = "ada@example.org"


def signed_in(home: Path, text: str) -> Token | None:
    """Whom a server over this home would take a text for."""
    vault = open_vault(read_settings({}, home))
    store = open_access(vault.home, vault.config)
    try:
        return Tokens(store=store, clock=now).check(text)
    except UnauthenticatedError:
        return None
    finally:
        store.close()
        vault.close()


def test_a_token_is_shown_once_and_signs_in(evault: Evault, case: str) -> None:
    made = evault.answer(
        "token-add", "token", "add", ADA, "--incident", case, "--chain", "stream:web",
        "--expires", "30d", "--name", "laptop",
    )  # fmt: skip
    token = signed_in(evault.home, made["secret"])
    assert token is not None
    assert (token.id, token.identity, token.chains) == (
        made["token"]["id"], ADA, (case, "stream:web")
    )  # fmt: skip
    listed = evault.answer("token-list", "token", "list")
    assert listed["items"][0]["last_used"] is not None
    assert listed["items"][0]["name"] == "laptop"
    assert made["secret"][17:] not in json.dumps(listed) + evault("token", "list").out


def test_quiet_prints_the_token_alone(evault: Evault, case: str) -> None:
    said = evault("token", "add", "--collector", "edge-1", "--chain", "stream:x", "--quiet")
    assert SECRET.fullmatch(said.out.removesuffix("\n"))
    assert said.err == ""
    token = signed_in(evault.home, said.out.strip())
    assert token is not None
    assert (token.identity, token.kind, token.chains) == (
        "collector:edge-1", "collector", ("stream:x",)
    )  # fmt: skip
    said = evault("token", "rotate", token.id, "--quiet")
    assert SECRET.fullmatch(said.out.removesuffix("\n"))


def test_a_secret_is_printed_once_and_kept_nowhere(evault: Evault, case: str) -> None:
    said = evault("token", "add", ADA)
    (secret,) = SECRET.findall(said.out)
    for path in evault.home.rglob("*"):
        assert not path.is_file() or secret[17:].encode() not in path.read_bytes(), path
    assert stat.S_IMODE((evault.home / "access.sqlite").stat().st_mode) == 0o600


def test_init_names_the_file_of_tokens_among_what_to_back_up(evault: Evault) -> None:
    told = evault("--home", evault.folder / "other", "init").out
    (backed_up,) = re.findall(r"^Back up.*?^  \(", told, re.MULTILINE | re.DOTALL)
    assert f"{evault.folder / 'other' / 'access.sqlite'} " in backed_up


def test_a_rotated_token_overlaps_and_a_revoked_one_does_not(evault: Evault, case: str) -> None:
    first = evault.answer("token-add", "token", "add", ADA)
    second = evault.answer(
        "token-rotate", "token", "rotate", first["token"]["id"], "--overlap", "2h"
    )
    assert second["old"]["state"] == "valid"
    assert signed_in(evault.home, first["secret"])
    assert signed_in(evault.home, second["secret"])
    third = evault.answer(
        "token-rotate", "token", "rotate", second["token"]["id"], "--overlap", "0h"
    )
    assert third["old"]["state"] == "revoked"
    assert signed_in(evault.home, second["secret"]) is None
    gone = evault.answer("token-revoke", "token", "revoke", third["token"]["id"])
    assert gone["token"]["state"] == "revoked"
    assert signed_in(evault.home, third["secret"]) is None
    assert evault.answer("token-list", "token", "list", ADA)["counts"] == {"tokens": 3, "valid": 1}
    assert evault.answer("token-list", "token", "list", "eve")["items"] == []
    assert "not valid any more" in evault.refused("token", "rotate", third["token"]["id"])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "name whom the token is for"),
        ((ADA, "--collector", "edge-1"), "name whom the token is for"),
        (("--collector", "edge-1"), "names what it may append to"),
        (("--collector", "Edge", "--chain", "stream:x"), "no name for a collector"),
        (("--collector", "edge-1", "--chain", "vault"), "no incident id"),
        ((ADA, "--incident", "INC-2026-0999"), "there is no incident INC-2026-0999"),
        ((ADA, "--incident", "INC-1"), "no incident id"),
        ((ADA, "--chain", "stream:X"), "is no stream"),
        ((ADA, "--expires", "2020-01-01T00:00Z"), "is past"),
        ((ADA, "--expires", "0d"), "is past"),
        ((ADA, "--expires", "400d"), "at most 366 days"),
        ((ADA, "--expires", "never"), "how long from now is understood too: 30m, +12h"),
        ((" ",), "not nothing"),
        (("agent:mailer",), "only people hold roles"),
        (("collector:edge-1",), "only people hold roles"),
        ((ADA, "--name", "x" * 201), "at most 200"),
        ((ADA, "--name", "\x1b[31m"), "at most 200"),
    ],
)
def test_a_token_that_makes_no_sense_is_refused(
    evault: Evault, case: str, words: tuple[str, ...], says: str
) -> None:
    assert says in evault.refused("token", "add", *words)
    assert evault.answer("token-list", "token", "list")["items"] == []


@pytest.mark.parametrize(
    ("given", "life"),
    [
        ("5m", timedelta(minutes=5)),
        ("30m", timedelta(minutes=30)),
        ("12h", timedelta(hours=12)),
        ("30d", timedelta(days=30)),
        ("8w", timedelta(weeks=8)),
    ],
)
def test_how_long_a_token_lives_is_said_from_now(
    evault: Evault, given: str, life: timedelta
) -> None:
    before = now()
    token = evault.answer("token-add", "token", "add", ADA, "--expires", given)["token"]
    ends = parse_instant(token["expires"], where="expires")
    assert before + life <= ends <= now() + life


def test_what_is_no_token_is_not_repeated(evault: Evault, case: str) -> None:
    for command in ("rotate", "revoke"):
        message = evault.refused("token", command, "evt_000000000000_mistyped")
        assert "mistyped" not in message
    assert "--overlap" in evault.refused("token", "rotate", "x", "--overlap", "soon")


def test_who_loses_a_collectors_key_loses_its_tokens(evault: Evault, case: str) -> None:
    evault("spool", "init", "spool")
    evault("collector", "add", "edge-1", "--key", "spool/collector.pub")
    made = evault.answer("token-add", "token", "add", "--collector", "edge-1", "--incident", case)
    other = evault.answer("token-add", "token", "add", "--collector", "edge-2", "--incident", case)
    gone = evault.answer(
        "collector-remove", "collector", "remove", "edge-1", "--reason", "broken into"
    )
    assert gone["tokens"] == [made["token"]["id"]]
    assert signed_in(evault.home, made["secret"]) is None
    assert signed_in(evault.home, other["secret"])


def test_a_rebuilt_index_keeps_the_tokens(evault: Evault, case: str) -> None:
    made = evault.answer("token-add", "token", "add", ADA)
    evault("log", "rebuild")
    assert signed_in(evault.home, made["secret"])


def test_a_vault_without_tokens_has_no_access_database(evault: Evault, case: str) -> None:
    """The embedded vault stays free of ceremony."""
    run("evidence", "list")
    assert not (evault.home / "access.sqlite").exists()
