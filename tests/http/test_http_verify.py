"""Verification over HTTP: what is known of bytes, proved; and audits, by whose trust is said."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from asked_over_http import BIG, auditor, changed, connect, declare, exhibit_of, forensics, send
from cli_support import run
from serving import Heard, Site, eventually, listening

from cli.serving import service_of
from cli.vault import Vault
from vault.access import VaultRole
from vault.http.app import create_app
from verify.chain import open_manifest
from verify.checkpoint import open_checkpoint, parse_tlog_proof
from verify.statement import parse_capture

DATA = b"what the agent was told"
DIGEST = hashlib.sha256(DATA).hexdigest()

pytestmark = pytest.mark.usefixtures("place_of_its_own")


def asked(site: Site, digest: str = DIGEST, who: Mapping[str, str] | None = None) -> Heard:
    return site.post("/v1/verify", who or auditor(site), {"digest": digest})


def test_a_known_digest_comes_with_its_whole_proof(site: Site, vault: Vault) -> None:
    """Whoever asks needs nothing else to check it but the trust file."""
    name = declare(site)
    send(site, name, DATA)
    heard = asked(site)
    (item,) = heard.json["items"]
    assert (heard.json["state"], heard.json["digest"]) == ("known", DIGEST)
    assert (item["chain"], item["exhibit"], item["sequence"]) == (name, "EV-0001", 1)
    trust = vault.trust
    manifest = open_manifest(item["envelope"].encode(), trust.keys, where="it")
    (sealed,) = parse_capture(manifest.statement.body, where="it").items
    assert (sealed.exhibit, sealed.sha256) == ("EV-0001", DIGEST)
    assert manifest.leaf == item["leaf_hash"]
    proof = parse_tlog_proof(item["proof"].encode())
    checkpoint = open_checkpoint(item["checkpoint"].encode(), trust.log)
    assert str(proof.checkpoint) == item["checkpoint"]
    assert proof.index == item["index"] < checkpoint.head.size
    proof.check(bytes.fromhex(manifest.leaf))
    assert item["received_at"] == json.loads(manifest.envelope.payload)["predicate"]["recorded_at"]
    assert heard.json["trust"] == {
        "origin": trust.origin, "sha256": trust.sha256, "whose": "server",
    }  # fmt: skip


def test_every_sighting_is_told_and_what_is_withdrawn_is_told_as_that(
    site: Site, vault: Vault
) -> None:
    first, second = declare(site), declare(site)
    for name in (first, first, second):
        send(site, name, DATA, "name=a&again=true")
    vault.incidents.custody(first, "withdrawn", ["EV-0001"], {"reason": "of another case"})
    items = asked(site).json["items"]
    assert [(each["chain"], each["exhibit"], each["withdrawn"]) for each in items] == [
        (first, "EV-0001", "of another case"),
        (first, "EV-0002", None),
        (second, "EV-0001", None),
    ]


def test_absent_and_forbidden_are_one_answer(site: Site) -> None:
    name = declare(site)
    send(site, name, DATA)
    other = site.people.add("otto", VaultRole.LEGAL, chains=("INC-2026-0099",))
    hidden, absent = asked(site, DIGEST, other), asked(site, "0" * 64, other)
    assert hidden.status == absent.status == 200
    assert hidden.json == {**absent.json, "digest": DIGEST}
    assert hidden.json["state"] == "unknown"
    assert {name.lower() for name in hidden.headers} == {name.lower() for name in absent.headers}


def test_who_may_not_verify_learns_nothing(site: Site) -> None:
    name = declare(site)
    send(site, name, DATA)
    comms = site.people.add("cleo", VaultRole.COMMS_LEAD)
    web = site.people.collector("web", name)
    for who in (comms, web):
        known, unknown = asked(site, DIGEST, who), asked(site, "0" * 64, who)
        assert known.json == {**unknown.json, "digest": DIGEST}
        assert known.json["state"] == "unknown"
        assert site.post("/v1/verify", who, {"incident": name}).status == 403
    assert site.post("/v1/verify", None, {"digest": DIGEST}).status == 401


def test_an_index_that_lies_makes_no_sighting(site: Site, vault: Vault) -> None:
    name = declare(site)
    send(site, name, DATA)
    made_up = hashlib.sha256(b"never sealed").digest()
    with vault.index._database.write() as connection:  # type: ignore[attr-defined]
        connection.exec_driver_sql(
            "INSERT INTO artifact (sha256, chain, exhibit, sequence) VALUES (?, ?, 'EV-0001', 1)",
            (made_up, name),
        )
    assert asked(site, made_up.hex()).json["state"] == "unknown"


def test_an_index_made_anew_knows_as_much(site: Site, vault: Vault) -> None:
    name = declare(site)
    send(site, name, DATA)
    before = vault.index.claims(DIGEST)
    assert run("--home", vault.home, "log", "rebuild").code == 0
    from cli.compose import open_vault
    from cli.settings import read_settings

    again = open_vault(read_settings({}, vault.home))
    assert again.index.claims(DIGEST) == before != []
    again.close()


@pytest.mark.parametrize("data", [DATA, BIG], ids=["small", "big"])
def test_a_file_is_hashed_and_not_kept(site: Site, vault: Vault, data: bytes) -> None:
    name = declare(site)
    send(site, name, data)
    before = {path for path in vault.home.rglob("*") if path.is_file()}
    heard = site.post("/v1/verify/file", auditor(site), data)
    assert (heard.json["state"], heard.json["size"]) == ("known", len(data))
    assert heard.json["items"][0]["chain"] == name
    other = site.post("/v1/verify/file", auditor(site), data + b"!")
    assert (other.json["state"], other.json["digest"]) == (
        "unknown", hashlib.sha256(data + b"!").hexdigest(),
    )  # fmt: skip
    assert {path for path in vault.home.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"digest": "xyz"},
        {"digest": DIGEST.upper()},
        {"digest": DIGEST, "incident": "INC-2026-0001"},
        {"digest": DIGEST, "depth": "bytes"},
        {"incident": "INC-2026-0001", "depth": "thorough"},
        {"incident": "INC-2026-0001", "head": -1},
        {"incident": "INC-2026-0001", "trust": "mine"},
    ],
)
def test_a_question_that_is_none_is_refused(site: Site, body: dict[str, object]) -> None:
    assert site.post("/v1/verify", auditor(site), body).status == 400


def test_an_incident_is_audited_as_the_command_does(site: Site, vault: Vault) -> None:
    name = declare(site)
    send(site, name, DATA)
    heard = site.post("/v1/verify", auditor(site), {"incident": name})
    said = run("--home", vault.home, "verify", name, "--json").json
    told = {**heard.json}
    assert told.pop("trust")["whose"] == "server"
    for each in (told, said):
        del each["notes"]
    assert told == said
    assert told["verdict"] == "passed"


def test_a_failed_audit_is_an_answer(site: Site, vault: Vault) -> None:
    name = declare(site)
    send(site, name, DATA)
    with changed(vault, name, 3):
        heard = site.post("/v1/verify", auditor(site), {"incident": name, "depth": "bytes"})
        assert (heard.status, heard.json["verdict"]) == (200, "failed")
        assert "EV-0001 a.bin" in {each["subject"] for each in heard.json["findings"]}
        shallow = site.post("/v1/verify", auditor(site), {"incident": name, "depth": "structure"})
        assert (shallow.json["verdict"], shallow.json["depth"]) == (
            "inconclusive", "structure",  # no evidence was read again, and the trust file wants it
        )  # fmt: skip
    short = site.post("/v1/verify", auditor(site), {"incident": name, "head": 99})
    assert short.json["verdict"] == "failed"


def test_an_audit_is_within_the_grants(site: Site) -> None:
    name = declare(site)
    other = site.people.add("otto", VaultRole.LEGAL, chains=("INC-2026-0099",))
    for body in ({"incident": name}, {"incident": "INC-2026-0077"}):
        assert site.post("/v1/verify", other, body).status == 404
    both = site.people.add("cleo", VaultRole.COMMS_LEAD, chains=(name,))
    site.people.add("cleo", VaultRole.LEGAL, chains=("INC-2026-0099",))
    assert site.post("/v1/verify", both, {"incident": name}).status == 403
    exhibit = {"incident": name, "exhibits": ["EV-0009"]}
    assert site.post("/v1/verify", auditor(site), exhibit).status == 404


@pytest.fixture
def bundle(site: Site, vault: Vault, tmp_path: Path) -> Path:
    name = declare(site)
    send(site, name, DATA)
    target = tmp_path / "case.zip"
    said = run("--home", vault.home, "export", name, "-o", target, "--purpose", "handover")
    assert said.code == 0
    assert exhibit_of(vault, name)
    return target


def left_over() -> list[Path]:
    return list(Path(tempfile.gettempdir()).glob("evault-verify-*"))


def test_a_bundle_is_audited_by_this_servers_trust_and_not_kept(
    site: Site, vault: Vault, bundle: Path
) -> None:
    before = left_over()
    heard = site.post("/v1/verify/bundle?checklist=true", auditor(site), bundle.read_bytes())
    assert (heard.status, heard.json["verdict"]) == (200, "passed")
    assert heard.json["trust"]["sha256"] == vault.trust.sha256
    assert heard.json["counts"]["exhibits"] == 1
    assert left_over() == before


def test_a_bundle_of_another_vault_does_not_pass_here(
    site: Site, bundle: Path, tmp_path: Path
) -> None:
    stranger = ("--home", tmp_path / "stranger")
    run(*stranger, "init")
    run(*stranger, "incident", "declare", "--title", "t", "--severity", "sev1", "--tier", "unknown",
        "--system", "s", "--trigger", "unknown", "--detected-at", "2026-03-01T09:00Z",
        "--declared-at", "2026-03-01T09:10Z")  # fmt: skip
    target = tmp_path / "stranger.zip"
    assert run(*stranger, "export", "-o", target, "--purpose", "x").code == 0
    heard = site.post("/v1/verify/bundle", auditor(site), target.read_bytes())
    assert (heard.status, heard.json["verdict"]) == (200, "failed")


@pytest.mark.parametrize("cut", [0, 1, 100, -1])
def test_what_is_no_bundle_fails_and_breaks_nothing(site: Site, bundle: Path, cut: int) -> None:
    heard = site.post("/v1/verify/bundle", auditor(site), bundle.read_bytes()[:cut])
    assert (heard.status, heard.json["verdict"]) == (200, "failed")
    assert tempfile.gettempdir() not in heard.data.decode()


def test_a_bundle_over_the_limit_is_cut_off(site: Site, vault: Vault, bundle: Path) -> None:
    service = service_of(vault)
    service = replace(
        service,
        authenticator=site.people,
        grants=lambda: tuple(site.people.grants),
        limits=replace(service.limits, bundle=1_000),
    )
    before = left_over()
    with listening(create_app(service)) as url:
        other = Site(url, site.people)
        heard = other.post("/v1/verify/bundle", auditor(site), bundle.read_bytes())
        assert heard.status == 413
        answer = other.pool.request(
            "POST", f"{url}/v1/verify/bundle", body=iter([b"x" * 600] * 2),
            headers=auditor(site), chunked=True,
        )  # fmt: skip
        assert (answer.status, answer.json()["status"]) == (413, 413)
    assert left_over() == before


def test_who_goes_away_leaves_no_bundle_behind(site: Site, vault: Vault) -> None:
    before = left_over()
    token = forensics(site)["Authorization"]
    head = f"POST /v1/verify/bundle HTTP/1.1\r\nHost: v\r\nAuthorization: {token}\r\n"
    with connect(site) as line:
        line.sendall(f"{head}Content-Length: {4 << 20}\r\n\r\n".encode() + os.urandom(2 << 20))
        eventually(lambda: left_over() != before)
    eventually(lambda: left_over() == before)
