"""A collector with a token: let in, it seals by the plain commands; nothing is lost."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from case_served import INCIDENT, STREAM
from cli_support import Said, check, run
from serving import listening
from signed_in import ADA, ADMIN, GUS, PAT, Served, bearing, code_of

from ingest.collector_key import read_public_key
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
        assert "\n  evault spool deliver\n" in said.out, "to be copied, and no longer than needed"
        assert folder not in said.out
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


def waiting(by: As, edge: str) -> int:
    told = by("edge", edge, "spool", "status", "--json").json
    return int(told["counts"]["waiting"])


def test_what_the_server_refuses_is_heard_before_anything_is_spooled(
    served: Served, by: As
) -> None:
    year = INCIDENT[4:8]
    edge = let_in(served, by, STREAM, INCIDENT)
    assert by("edge", edge, "ingest", STREAM, "a.log").code == 0
    served.vault.incidents.close(INCIDENT, "done")

    def refused(chain: str, says: str) -> None:
        for words in (
            ("ingest", chain, "b.log"),
            ("capture", chain, "--", "touch", "ran"),
        ):
            said = by("edge", edge, *words)
            assert (said.code, said.raw, says in said.err) == (2, b"", True), said.err
            assert not Path("ran").exists()
            assert waiting(by, edge) == 0

    refused(INCIDENT, "is closed and sealed")
    refused(f"INC-{year}-0099", f"there is no incident INC-{year}-0099")
    refused("stream:other", "there is no stream stream:other that collector:edge-1 may see")
    assert sizes(served, INCIDENT) == []
    served.vault.collectors.remove("edge-1", "broken into")
    refused(STREAM, "takes nothing more")
    assert sizes(served, STREAM) == [[9]]


def test_whose_key_it_is_is_heard_before_anything_is_spooled(
    served: Served, by: As, tmp_path: Path
) -> None:
    edge = let_in(served, by, STREAM)
    assert by("edge", edge, "spool", "init", tmp_path / "other").code == 0
    said = by("edge", edge, "ingest", STREAM, "a.log", "--spool", tmp_path / "other")
    assert (said.code, "does not know the collector's key" in said.err) == (2, True)
    key = read_public_key(tmp_path / "other" / "collector.pub")
    served.vault.collectors.add("edge-2", key)
    said = by("edge", edge, "ingest", STREAM, "a.log", "--spool", tmp_path / "other")
    assert (said.code, "delivers what it signed itself" in said.err) == (2, True)
    assert not any((tmp_path / "other" / "entries").iterdir())


def test_what_is_refused_keeps_no_other_chain_from_being_delivered(
    served: Served, by: As, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closed while it waited: the stream's evidence passes by, that of the incident waits."""
    with listening(create_app(served.service)) as url:
        monkeypatch.setenv("EVAULT_URL", url)
        edge = let_in(served, by, STREAM, INCIDENT)
        by("edge", edge, "status")
    for chain, name in ((INCIDENT, "a.log"), (STREAM, "b.log"), (INCIDENT, "b.log")):
        assert by("edge", edge, "ingest", chain, name).code == 1
    served.vault.incidents.close(INCIDENT, "done")
    with listening(create_app(served.service), port=int(url.rpartition(":")[2])):
        told = by("edge", edge, "spool", "deliver", "--json")
        assert told.code == 1, told.err
        check("spool-deliver", told.json)
        assert told.json["counts"] == {"delivered": 1, "waiting": 2}
        assert [(each["incident"], each["number"]) for each in told.json["items"]] == [(STREAM, 2)]
        (refused,) = told.json["refused"]
        assert (refused["number"], refused["incident"], refused["code"]) == (1, INCIDENT, "refused")
        assert told.json["stopped"] is None
        assert (sizes(served, STREAM), sizes(served, INCIDENT)) == ([[9]], [])
        said = by("edge", edge, "spool", "deliver")
        assert (said.code, f"REFUSED: entry 1, for {INCIDENT}" in said.out) == (1, True)
        assert "is closed and sealed" in " ".join(said.out.split())
        assert "\n  evault spool set-aside 1 --reason TEXT\n" in said.out
        assert by("edge", edge, "ingest", STREAM, "a.log").code == 0, "it waits for nobody"
        aside = by("edge", edge, "spool", "set-aside", 1, "--reason", "closed", "--json")
        assert aside.code == 0, aside.err
        check("spool-set-aside", aside.json)
        served.vault.incidents.reopen(INCIDENT, "more came")
        assert by("edge", edge, "spool", "deliver").code == 0
    assert (sizes(served, STREAM), sizes(served, INCIDENT)) == ([[9], [9]], [[9]])


def test_with_a_token_that_is_not_taken_any_more_evidence_is_kept(served: Served, by: As) -> None:
    edge = let_in(served, by, STREAM)
    assert by("edge", edge, "ingest", STREAM, "a.log").code == 0
    served.tokens.revoke_all("collector:edge-1")
    said = by("edge", edge, "ingest", STREAM, "b.log")
    assert (said.code, "SPOOLED, not sealed" in said.out) == (1, True), said.err
    assert "was revoked" in said.out
    assert "for another token" in " ".join(said.out.split())
    assert said.out.endswith("\n  evault spool deliver\n")
    ran = by("edge", edge, "capture", STREAM, "--json", "--", "echo", "short-lived")
    assert (ran.code, ran.json["state"]) == (1, "spooled"), ran.err
    assert "was revoked" in ran.json["spool"]["reason"]
    assert waiting(by, edge) == 2
    for typo in ("stream:Web", "INC-2026-1"):
        wrong = by("edge", edge, "ingest", typo, "b.log")
        assert (wrong.code, wrong.raw, repr(typo) in wrong.err) == (2, b"", True)
    assert waiting(by, edge) == 2
    elsewhere = by("elsewhere", edge, "ingest", STREAM, "b.log")
    assert (elsewhere.code, "was revoked" in elsewhere.err) == (2, True), "it has no spool"
    gus = served.tokens.issue(GUS).secret.reveal()
    key = Path(os.environ["XDG_DATA_HOME"]).parent / "edge"
    (public,) = key.rglob("collector.pub")
    again = by("office", gus, "collector", "add", "edge-1", STREAM, "--key", public, "--quiet")
    assert again.code == 0, again.err
    assert by("edge", again.out.strip(), "spool", "deliver").code == 0
    assert len(sizes(served, STREAM)) == 3


def test_a_person_is_told_what_keeps_evidence_while_the_server_is_away(
    by: As, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVAULT_URL", "http://127.0.0.1:1")
    for words in (("ingest", INCIDENT, "a.log"), ("capture", INCIDENT, "--", "true")):
        said = by("desk", "evt_x", *words)
        assert (said.code, "cannot reach the vault" in said.err) == (2, True)
        assert "--spool DIR" in said.err
        assert said.err.endswith("\nevault spool init DIR\n")
    for words in (("status",), ("spool", "deliver", "nowhere")):
        assert "--spool" not in by("desk", "evt_x", *words).err


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


def test_a_collector_is_told_that_it_reads_nothing_not_that_nothing_is_there(
    served: Served, by: As
) -> None:
    edge = let_in(served, by, INCIDENT, STREAM)
    for words in (
        ("status",), ("status", INCIDENT), ("incident", "list"), ("stream", "list"),
        ("stream", "show", STREAM), ("metrics",), ("checklist", INCIDENT), ("verify", INCIDENT),
    ):  # fmt: skip
        said = by("edge", edge, *words, "--json")
        assert (said.code, said.raw, "appends only" in said.err) == (2, b"", True), (words, said)
    assert "refused" not in acts(served, INCIDENT)
    for path in ("/v1/incidents", "/v1/streams", "/v1/chains", "/v1/metrics"):
        heard = served.site.get(path, bearing(edge))
        assert code_of(heard) == (403, "not_permitted")
        assert "may not read what is sealed" in heard.json["detail"]
    assert "refused" not in acts(served, INCIDENT)


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
