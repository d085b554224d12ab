"""What people are told whom a role is lacking: what they may not do, who may, and who gives it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from case_served import INCIDENT, STREAM, Case
from cli_support import Said, run

from vault.access import VaultRole

As = Callable[..., Said]
ABSENT = "INC-2019-0042"


@pytest.fixture
def by(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> As:
    """A command of a person who is known to the server; its words in one line."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("EVAULT_URL", case.site.url)
    monkeypatch.chdir(tmp_path)
    case.who("fay", VaultRole.FORENSICS_LEAD)
    case.who("otto", VaultRole.LEGAL, chains=("INC-2020-0001",))

    def said(name: str, *words: object) -> Said:
        monkeypatch.setenv("EVAULT_TOKEN", f"secret-{name}")
        return run(*words)

    return said


REFUSED = [
    (("incident", "close", INCIDENT), f"may not close an incident on {INCIDENT}",
     "incident_commander"),
    (("hold", "release", INCIDENT, "--matter", "M-1", "--reason", "r"),
     "may not ask for a hold's release", "legal or governance_steward"),
    (("grant", "add", "bob@example.org", "legal", "--all", "--reason", "r"),
     "may not grant roles", "governance_steward or platform_admin"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "deed", "roles"), REFUSED)
def test_who_lacks_a_role_is_told_which_have_it_and_who_gives_it(
    by: As, words: tuple[str, ...], deed: str, roles: str
) -> None:
    said = by("fay", *words)
    told = " ".join(said.err.split())
    assert said.code == 2
    assert f"fay {deed}" in told
    assert "forensics_lead" in told
    assert f"Who may: {roles}." in told
    assert "ask a governance_steward or platform_admin; another governance_steward approves" in told
    assert "evault grant add" not in told, "a command that this person may not run"


def test_who_may_not_close_is_told_so_before_anything_else(by: As) -> None:
    by("fay", "status")  # which pins the server's trust file, and says so
    said = by("fay", "incident", "close", INCIDENT)
    assert said.err.startswith("evault: fay may not close")
    assert "before the seal" not in said.err


@pytest.mark.parametrize(
    "words", [("incident", "show"), ("custody",), ("checklist",), ("verify",), ("evidence", "list")]
)
@pytest.mark.parametrize("name", ["nils", "otto"])
def test_an_incident_that_is_hidden_and_one_that_is_absent_are_told_alike(
    case: Case, by: As, name: str, words: tuple[str, ...]
) -> None:
    if name == "nils":
        case.who("nils")
    told = []
    by(name, "incident", "list")  # which pins the server's trust file, and says so
    for incident in (INCIDENT, ABSENT):
        said = by(name, *words, incident)
        assert (said.code, said.out) == (2, "")
        told.append(" ".join(said.err.split()).replace(incident, "X"))
    assert told[0] == told[1]
    assert f"there is no incident X that {name} may see" in told[0]
    assert "no role of theirs, or not this token, is for it" in told[0]
    assert "evault incident list" not in told[0]


def test_a_stream_that_is_hidden_is_told_as_one_that_is_absent(by: As) -> None:
    by("otto", "stream", "list")
    told = [
        " ".join(by("otto", "stream", "show", each).err.split()).replace(each, "X")
        for each in (STREAM, "stream:nothing")
    ]
    assert told[0] == told[1]
    assert "no role of theirs, or not this token, is for it" in told[0]
