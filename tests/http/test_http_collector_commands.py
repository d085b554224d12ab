"""A collector with a token: let in, it seals by the plain commands; nothing is lost."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from case_served import INCIDENT, STREAM
from cli_support import Said, check, run
from serving import listening
from signed_in import ADA, ADMIN, GUS, PAT, Served

from vault.access import Permission
from vault.http.app import create_app
from verify.grant import GrantedRole

As = Callable[..., Said]


@pytest.fixture
def by(served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> As:
    """A command of who has a token, on a host of its own for each name."""
    monkeypatch.setenv("EVAULT_URL", served.site.url)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    Path("a.log").write_text("GET /one\n")
    Path("b.log").write_text("GET /two\n")

    def said(host: str, secret: str, *words: object) -> Said:
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / host))
        monkeypatch.setenv("EVAULT_TOKEN", secret)
        return run(*words)

    return said


def let_in(served: Served, by: As, *chains: str) -> str:
    """A collector on the host `edge`, let in by a steward elsewhere; its token."""
    made = by("edge", "", "spool", "init", "--json")
    assert made.code == 0, made.err
    check("spool-init", made.json)
    assert made.json["path"].startswith(str(Path(os.environ["XDG_DATA_HOME"]) / "evault"))
    served.hold(GUS, GrantedRole.GOVERNANCE_STEWARD)
    gus = served.tokens.issue(GUS).secret.reveal()
    said = by("office", gus, "collector", "add", "edge-1", *chains, "--key",
              made.json["public_key"], "--quiet")  # fmt: skip
    assert said.code == 0, said.err
    return said.out.strip()


def sizes(served: Served, chain: str) -> list[list[int]]:
    state = served.vault.incidents.read(chain).state
    return [[each.size for each in one.items] for one in state.deliveries]


def acts(served: Served, chain: str) -> list[str]:
    found = served.vault.incidents.read(chain).manifests
    return [str(each.statement.body.get("event", each.statement.type)) for each in found]


@pytest.mark.parametrize("chain", [INCIDENT, STREAM, "stream:new"])
def test_plain_ingest_signs_and_delivers_at_once(served: Served, by: As, chain: str) -> None:
    edge = let_in(served, by, chain)
    said = by("edge", edge, "ingest", chain, "a.log", "--json")
    assert said.code == 0, said.err
    check("ingest", said.json)
    assert said.json["state"] == "sealed"
    told = by("edge", edge, "ingest", chain, "b.log")
    assert (told.code, "1 file, 9 B, sealed through the spool" in told.out) == (0, True)
    assert sizes(served, chain) == [[9], [9]]
    waiting = by("edge", edge, "spool", "status", "--json").json
    assert waiting["counts"] == {"damaged": 0, "delivered": 2, "set_aside": 0, "waiting": 0}
    assert "refused" not in acts(served, chain), "it looked at nothing that it may not see"


def test_plain_capture_too(served: Served, by: As) -> None:
    edge = let_in(served, by, INCIDENT)
    said = by("edge", edge, "capture", INCIDENT, "--json", "--", "echo", "twelve chars")
    assert said.code == 0, said.err
    check("capture", said.json)
    assert said.json["state"] == "sealed"
    (delivery,) = sizes(served, INCIDENT)
    assert 13 in delivery
    failed = by("edge", edge, "capture", INCIDENT, "--", "false")
    assert (failed.code, "it is kept all the same" in failed.out) == (1, True)


def test_while_the_server_is_away_evidence_stays_in_the_spool(
    served: Served, by: As, monkeypatch: pytest.MonkeyPatch
) -> None:
    with listening(create_app(served.service)) as url:
        monkeypatch.setenv("EVAULT_URL", url)
        edge = let_in(served, by, STREAM)
        assert by("edge", edge, "ingest", STREAM, "a.log").code == 0
        folder = by("edge", edge, "spool", "status", "--json").json["path"]
    for words in (("ingest", STREAM, "b.log"), ("capture", STREAM, "--", "true")):
        said = by("edge", edge, *words)
        assert (said.code, "SPOOLED, not sealed" in said.out) == (1, True), said.err
        assert "cannot reach the vault" in said.out
        assert f"evault spool deliver {folder}" in " ".join(said.out.split())
    unnamed = by("edge", edge, "ingest", "b.log")
    assert (unnamed.code, "name it" in unnamed.err) == (2, True)
    elsewhere = by("elsewhere", edge, "ingest", STREAM, "b.log")
    assert (elsewhere.code, "cannot reach the vault" in elsewhere.err) == (2, True)
    assert sizes(served, STREAM) == [[9]]
    with listening(create_app(served.service), port=int(url.rpartition(":")[2])):
        delivered = by("edge", edge, "spool", "deliver", "--json")
        assert delivered.code == 0, delivered.err
        assert delivered.json["counts"] == {"delivered": 2, "waiting": 0}
    assert len(sizes(served, STREAM)) == 3


def test_what_the_server_refuses_stays_in_the_spool_and_is_said(served: Served, by: As) -> None:
    edge = let_in(served, by, STREAM)
    assert by("edge", edge, "ingest", STREAM, "a.log").code == 0
    said = by("edge", edge, "ingest", INCIDENT, "b.log")
    assert (said.code, "SPOOLED, not sealed" in said.out) == (1, True)
    assert f"there is no incident {INCIDENT} that collector:edge-1 may see" in " ".join(
        said.out.split()
    )
    assert sizes(served, INCIDENT) == []
    served.vault.collectors.remove("edge-1", "broken into")
    stopped = by(
        "edge",
        edge,
        "spool",
        "set-aside",
        by("edge", edge, "spool", "status", "--json").json["path"],
        2,
        "--reason",
        "wrong",
    )
    assert stopped.code == 0, stopped.err
    said = by("edge", edge, "ingest", STREAM, "b.log")
    assert (said.code, "takes nothing more" in said.out) == (1, True)
    assert sizes(served, STREAM) == [[9]]


def test_a_collector_without_a_spool_is_told_how_to_come_to_one(served: Served, by: As) -> None:
    edge = let_in(served, by, STREAM, INCIDENT)
    for words in (
        ("ingest", STREAM, "a.log"), ("ingest", "a.log"), ("capture", INCIDENT, "--", "true"),
    ):  # fmt: skip
        said = by("elsewhere", edge, *words)
        assert (said.code, said.raw) == (2, b"")
        assert "evault spool init" in said.err
        assert "evault collector add NAME --key" in said.err
    assert sizes(served, STREAM) == sizes(served, INCIDENT) == []
    assert "refused" not in acts(served, INCIDENT)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("ingest", "a.log"), "name it, or stream:NAME"),
        (("ingest", INCIDENT, "a.log", "--deposit", "mine-1"), "--deposit goes without"),
        (("ingest", INCIDENT, "a.log", "--no-pack"), "--no-pack goes without"),
    ],
)
def test_what_does_not_go_through_a_spool_is_refused(
    served: Served, by: As, words: tuple[str, ...], says: str
) -> None:
    edge = let_in(served, by, INCIDENT)
    said = by("edge", edge, *words)
    assert (said.code, said.raw, says in said.err) == (2, b"", True), said.err
    assert sizes(served, INCIDENT) == []
    assert by("edge", edge, "spool", "status", "--json").json["counts"]["waiting"] == 0
    assert "refused" not in acts(served, INCIDENT)


def test_a_person_on_that_host_seals_directly(served: Served, by: As) -> None:
    let_in(served, by, INCIDENT)
    served.hold(ADA, GrantedRole.FORENSICS_LEAD, INCIDENT)
    ada = served.tokens.issue(ADA).secret.reveal()
    said = by("edge", ada, "ingest", INCIDENT, "a.log", "--json")
    assert (said.code, said.json["spool"]) == (0, None), said.err
    assert sizes(served, INCIDENT) == []


def test_where_no_server_is_named_a_spool_is(by: As, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EVAULT_URL")
    for words in (("init",), ("status",), ("deliver",)):
        said = by("edge", "", "spool", *words)
        assert (said.code, "name the spool" in said.err) == (2, True)


def test_a_platform_admin_who_sees_no_chain_lets_in_lists_and_removes(
    served: Served, by: As
) -> None:
    key = by("edge", "", "spool", "init", "--json").json["public_key"]
    served.hold(PAT, ADMIN)
    pat = served.tokens.issue(PAT).secret.reveal()
    seen = by("office", pat, "stream", "list", "--json")
    assert (seen.code, seen.json["items"]) == (0, [])
    added = by("office", pat, "collector", "add", "edge-1", STREAM, "--key", key, "--json")
    assert added.code == 0, added.err
    check("collector-add", added.json)
    assert added.json["collector"]["listed"] is True
    listed = by("office", pat, "collector", "list", "--json")
    check("collector-list", listed.json)
    assert [each["name"] for each in listed.json["items"]] == ["edge-1"]
    gone = by("office", pat, "collector", "remove", "edge-1", "--reason", "stolen", "--json")
    assert gone.code == 0, gone.err
    check("collector-remove", gone.json)
    assert Permission.READ_CHAIN not in served.site.get("/v1/whoami", {
        "Authorization": f"Bearer {pat}"}).json["permissions"]  # fmt: skip
