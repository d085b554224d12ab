"""Exports over HTTP: sealed first, the same bytes each time, and told to whom they went."""

from __future__ import annotations

import hashlib
import tempfile
import threading
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from asked_over_http import changed, connect, declare, legal, send, views
from cli_support import run
from serving import Heard, Site, eventually

from cli.vault import Vault
from vault.access import VaultRole
from vault.http.routes import exports
from verify.__main__ import audit_bundle_by
from verify.bundle import open_bundle
from verify.report import Verdict

BODY: dict[str, Any] = {"purpose": "production, request no. 14", "recipient": "Harper & Voss"}

pytestmark = pytest.mark.usefixtures("place_of_its_own")


def with_evidence(site: Site) -> str:
    name = declare(site)
    send(site, name, b"the first", "name=a.txt")
    send(site, name, b"privileged", "name=b.txt")
    return name


def make(site: Site, name: str, body: Mapping[str, Any] = BODY, **headers: str) -> Heard:
    return site.post(f"/v1/incidents/{name}/exports", legal(site), dict(body), **headers)


def left_over() -> list[Path]:
    return list(Path(tempfile.gettempdir()).glob("evault-export-*"))


def test_a_bundle_is_sealed_fetched_and_verifies(site: Site, vault: Vault, tmp_path: Path) -> None:
    name = with_evidence(site)
    before = left_over()
    made = make(site, name, {**BODY, "withhold": {"EV-0002": "privileged"}})
    assert made.status == 201, made.data
    assert made.json["withheld"] == [
        {"actor": "lea (token)", "exhibit": "EV-0002", "reason": "privileged",
         "sequence": made.json["sequence"]}
    ]  # fmt: skip
    assert made.json["withdrawn"] == []
    statement = vault.incidents.read(name).manifests[-1].statement
    assert (statement.type, statement.actor.id) == ("export", "lea")
    assert (statement.body["purpose"], statement.body["recipient"]) == tuple(BODY.values())
    got = site.get(made.headers["Location"], legal(site))
    assert (got.status, len(got.data)) == (200, made.json["size"])
    assert hashlib.sha256(got.data).hexdigest() == made.json["sha256"]
    assert got.headers["Content-Type"] == "application/zip"
    assert got.headers["Content-Disposition"].startswith(
        f'attachment; filename="{name}-link-{made.json["sequence"]}.zip"'
    )
    path = tmp_path / "case.zip"
    path.write_bytes(got.data)
    assert audit_bundle_by(path, trust=vault.trust).verdict == Verdict.PASSED
    with open_bundle(path) as bundle:
        assert bundle.read("data/evidence/EV-0001/a.txt") == b"the first"
        assert not list(bundle.below("data/evidence/EV-0002/"))
    assert left_over() == before


def test_it_is_the_bundle_that_the_command_writes(site: Site, vault: Vault, tmp_path: Path) -> None:
    name = with_evidence(site)
    made = make(site, name)
    said = run("--home", vault.home, "export", name, "--at", made.json["sequence"],
               "-o", tmp_path / "again.zip", "--json")  # fmt: skip
    assert (said.code, said.json["sha256"]) == (0, made.json["sha256"])
    assert (
        site.get(made.headers["Location"], legal(site)).data
        == (tmp_path / "again.zip").read_bytes()
    )


def test_who_made_it_fetches_it_under_the_export_itself(site: Site, vault: Vault) -> None:
    name = with_evidence(site)
    made = make(site, name)
    links = len(vault.incidents.read(name).manifests)
    for _ in range(2):
        assert site.get(made.headers["Location"], legal(site)).status == 200
    assert len(vault.incidents.read(name).manifests) == links


def test_another_person_is_told_of_before_the_first_byte(site: Site, vault: Vault) -> None:
    name = with_evidence(site)
    made = make(site, name, {**BODY, "withhold": {"EV-0002": "privileged"}})
    fay = site.people.add("fay", VaultRole.FORENSICS_LEAD)
    assert site.get(f"{made.headers['Location']}?purpose=second%20look", fay).status == 200
    assert site.get(made.headers["Location"], fay).status == 200
    statement = vault.incidents.read(name).manifests[-1].statement
    assert (statement.actor.id, statement.body["exhibits"]) == ("fay", ["EV-0001"])
    assert [each["purpose"] for each in views(vault, name)] == [
        "second look",
        f"the bundle of export link {made.json['sequence']}",
    ]


def test_a_day_later_it_is_a_reading_like_any_other(
    site: Site, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = with_evidence(site)
    made = make(site, name)
    monkeypatch.setattr(exports, "OWN", timedelta(0))
    assert site.get(made.headers["Location"], legal(site)).status == 200
    assert len(views(vault, name)) == 1


def test_a_range_of_it_is_what_was_asked(site: Site) -> None:
    name = with_evidence(site)
    made = make(site, name)
    whole = site.get(made.headers["Location"], legal(site)).data
    part = site.get(made.headers["Location"], legal(site), Range="bytes=100-299")
    assert (part.status, part.data) == (206, whole[100:300])
    assert part.headers["ETag"] == f'"{made.json["sha256"]}"'
    over = site.get(made.headers["Location"], legal(site), Range=f"bytes={len(whole)}-")
    assert (over.status, over.headers["Content-Range"]) == (416, f"bytes */{len(whole)}")


def test_a_retry_gives_the_first_export(site: Site, vault: Vault) -> None:
    name = with_evidence(site)
    first, again = (make(site, name, Idempotency_Key="hand-over") for _ in range(2))
    assert (first.status, again.status) == (201, 200)
    assert again.json["sha256"] == first.json["sha256"]
    assert again.json["receipt"] == {**first.json["receipt"], "repeated": True}
    types = [each.statement.type for each in vault.incidents.read(name).manifests]
    assert types.count("export") == types.count("assessment") == 1
    other = make(site, name, {"purpose": "another"}, Idempotency_Key="hand-over")
    assert (other.status, other.json["type"].rpartition(":")[2]) == (409, "deposit_conflict")
    fay = site.people.add("fay", VaultRole.FORENSICS_LEAD)
    path = f"/v1/incidents/{name}/exports"
    assert site.post(path, fay, BODY, Idempotency_Key="hand-over").status == 409


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"purpose": ""}, 400),
        ({**BODY, "compress": True}, 400),
        ({**BODY, "withhold": {"EV-0009": "x"}}, 404),
        ({**BODY, "withhold": {"EV-0001": ""}}, 400),
        ({**BODY, "withhold": ["EV-0001"]}, 400),
    ],
)
def test_an_export_that_makes_no_sense_seals_nothing(
    site: Site, vault: Vault, body: Mapping[str, Any], status: int
) -> None:
    name = with_evidence(site)
    links = len(vault.incidents.read(name).manifests)
    assert make(site, name, body).status == status
    assert len(vault.incidents.read(name).manifests) == links


def test_who_may_not_export_neither_makes_nor_fetches(site: Site, vault: Vault) -> None:
    name = with_evidence(site)
    made = make(site, name)
    where = made.headers["Location"]
    for role, status in ((VaultRole.AUDITOR, 403), (VaultRole.COMMS_LEAD, 403)):
        who = site.people.add(role.value, role)
        assert site.post(f"/v1/incidents/{name}/exports", who, BODY).status == status
        assert site.get(where, who).status == status
    other = site.people.add("otto", VaultRole.LEGAL, chains=("INC-2026-0099",))
    assert site.get(where, other).status == 404
    assert site.get(where).status == 401


@pytest.mark.parametrize("sequence", ["0", "1", "99", "9007199254740991"])
def test_what_is_no_export_is_not_there(site: Site, vault: Vault, sequence: str) -> None:
    name = with_evidence(site)
    links = len(vault.incidents.read(name).manifests)
    assert site.get(f"/v1/incidents/{name}/exports/{sequence}", legal(site)).status == 404
    assert len(vault.incidents.read(name).manifests) == links


def test_a_damaged_exhibit_gives_no_bundle_and_that_is_sealed(site: Site, vault: Vault) -> None:
    name = with_evidence(site)
    before = left_over()
    with changed(vault, name, 2):
        heard = make(site, name, Idempotency_Key="later")
        assert heard.status >= 400
        assert b"the first" not in heard.data
    events = [each.statement.body.get("event") for each in vault.incidents.read(name).manifests]
    assert events[-1] == "export_failed"
    assert left_over() == before
    mended = make(site, name, Idempotency_Key="later")
    assert mended.json["receipt"]["repeated"] is True
    assert site.get(mended.headers["Location"], legal(site)).status == 200


def test_many_at_once_are_told_to_come_back_and_lose_nothing(site: Site, vault: Vault) -> None:
    name = with_evidence(site)
    made = make(site, name)
    who = legal(site)
    heard: list[Heard] = []
    threads = [
        threading.Thread(target=lambda: heard.append(site.get(made.headers["Location"], who)))
        for _ in range(6)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert {each.status for each in heard} <= {200, 429}
    digests = {hashlib.sha256(each.data).hexdigest() for each in heard if each.status == 200}
    assert digests == {made.json["sha256"]}
    assert all(each.headers["Retry-After"] for each in heard if each.status == 429)
    assert site.get(made.headers["Location"], who).status == 200  # and nobody is stuck


def test_who_goes_away_leaves_no_bundle_behind(site: Site, vault: Vault) -> None:
    name = declare(site)
    send(site, name, b"x" * (8 << 20))
    made = make(site, name)
    before = left_over()
    token = legal(site)["Authorization"]
    with connect(site) as line:
        line.sendall(
            f"GET {made.headers['Location']} HTTP/1.1\r\nHost: v\r\nAuthorization: {token}\r\n\r\n"
            .encode()
        )  # fmt: skip
        assert line.recv(1024).startswith(b"HTTP/1.1 200")
    eventually(lambda: left_over() == before)
    assert site.get(made.headers["Location"], legal(site)).status == 200
