"""`evault token` through a server: a person's own, and what is done at the home is said."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_support import Said, check, run
from signed_in import ADA, GUS, Served

from vault.ports import IdentityKind

As = Callable[..., Said]
SECRET = re.compile(r"evt_[0-9a-hjkmnp-tv-z]{12}_[A-Za-z0-9_-]{43}")


@pytest.fixture
def by(served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> As:
    """A command of who has a token."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("EVAULT_URL", served.site.url)
    monkeypatch.chdir(tmp_path)

    def said(secret: str, *words: object) -> Said:
        monkeypatch.setenv("EVAULT_TOKEN", secret)
        return run(*words)

    return said


def test_a_person_makes_shows_rotates_and_ends_their_own(served: Served, by: As) -> None:
    own = served.tokens.issue(ADA).secret.reveal()
    made = by(own, "token", "add", "--chain", "stream:web", "--name", "laptop", "--json")
    assert made.code == 0, made.err
    check("token-add", made.json)
    assert (made.json["token"]["identity"], made.json["token"]["chains"]) == (ADA, ["stream:web"])
    listed = by(own, "token", "list", "--json")
    check("token-list", listed.json)
    assert listed.json["counts"] == {"tokens": 2, "valid": 2}
    quiet = by(made.json["secret"], "token", "rotate", made.json["token"]["id"], "--quiet")
    assert SECRET.fullmatch(quiet.out.strip())
    assert (
        by(quiet.out.strip(), "token", "list").code,
        "1 token" in by(own, "token", "list", GUS).out,
    ) == (0, False)
    # Named by the whole of it, what is sent is the id: a path stands in logs.
    gone = by(own, "token", "revoke", quiet.out.strip(), "--json")
    check("token-revoke", gone.json)
    assert gone.json["token"]["state"] == "revoked"
    assert by(quiet.out.strip(), "token", "list").code == 2
    rotated = by(own, "token", "rotate", own, "--overlap", "0h", "--json")
    check("token-rotate", rotated.json)
    assert (by(own, "token", "list").code, by(rotated.json["secret"], "token", "list").code) == (
        2,
        0,
    )


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("add", GUS), "one of gus@example.org is made where the vault's home is"),
        (("add", "--collector", "edge", "--chain", "stream:web"), "evault collector add edge"),
        (("add", "--incident", "INC-1999-0001"), "there is no incident INC-1999-0001"),
        (("revoke", "--all-of", ADA), "where the vault's home is"),
        (("revoke", "000000000000"), "there is no such token"),
        (("revoke", "evt_mistyped_x"), "there is no such token"),
        (("revoke",), "--all-of"),
        (("add", "--expires", "400d"), "at most 366 days"),
    ],
)
def test_what_is_not_done_here_is_said(
    served: Served, by: As, words: tuple[str, ...], told: str
) -> None:
    own = served.tokens.issue(ADA)
    said = by(own.secret.reveal(), "token", *words)
    assert (said.code, said.raw) == (2, b"")
    assert told in " ".join(said.err.split())
    assert "mistyped" not in said.err
    assert [each.id for each in served.tokens.list()] == [own.token.id]


def test_a_collector_is_told_who_gives_it_another(served: Served, by: As) -> None:
    edge = served.tokens.issue("collector:edge", kind=IdentityKind.COLLECTOR, chains=["stream:w"])
    said = by(edge.secret.reveal(), "token", "rotate", edge.token.id)
    assert (said.code, "evault collector add NAME" in said.err) == (2, True)


def test_all_of_somebody_are_revoked_at_the_home(served: Served, by: As) -> None:
    for _ in range(3):
        served.tokens.issue(ADA)
    other = served.tokens.issue(GUS)
    said = run("--home", served.vault.home, "token", "revoke", "--all-of", ADA, "--json")
    check("token-revoke", said.json)
    assert [each["state"] for each in said.json["items"]] == ["revoked"] * 3
    again = run("--home", served.vault.home, "token", "revoke", "--all-of", ADA)
    assert (again.code, again.out) == (0, f"No token of {ADA} was valid\n")
    assert by(other.secret.reveal(), "token", "list").code == 0
