"""Evidence sent over HTTP: sealed as it came, or nothing of it is left."""

from __future__ import annotations

import base64
import hashlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from asked_over_http import BIG, HOSTILE, connect, declare, forensics, send
from serving import Heard, Site, eventually

from vault.access import VaultRole
from vault.evidence import content
from vault.opened import Vault
from verify.description import MAX_SAFE_NAME


def sha256_field(data: bytes) -> str:
    return f"sha-256=:{base64.b64encode(hashlib.sha256(data).digest()).decode()}:"


def stored(vault: Vault) -> set[Path]:
    return {path for path in (vault.home / "store").rglob("*") if path.is_file()}  # type: ignore[attr-defined]


@pytest.mark.parametrize("data", [b"", b"one\r\ntwo\x00", BIG], ids=["empty", "small", "big"])
def test_what_was_sent_is_what_is_sealed(site: Site, vault: Vault, data: bytes) -> None:
    name = declare(site)
    heard = send(site, name, data, Content_Digest=sha256_field(data))
    assert heard.status == 201, heard.data
    (item,) = heard.json["items"]
    assert (item["sha256"], item["size"]) == (hashlib.sha256(data).hexdigest(), len(data))
    assert heard.json["receipt"]["state"] == "kept"
    assert heard.headers["Location"] == f"/v1/incidents/{name}/evidence/EV-0001"
    exhibit = vault.incidents.read(name).state.exhibits["EV-0001"]
    assert b"".join(content(vault.store, exhibit.item, exhibit.packs)) == data
    actor = vault.incidents.read(name).manifests[-1].statement.actor
    assert (actor.id, actor.authenticated) == ("fay", "token")


def test_facts_are_read_here(site: Site) -> None:
    name = declare(site)
    data = b'{"timestamp":"2026-03-01T09:00:00Z"}\n{"timestamp":"2026-03-01T09:05:00Z"}\n'
    (item,) = send(site, name, data, "name=log.jsonl").json["items"]
    assert (item["facts"]["parser"], item["facts"]["records"]) == ("json", 2)


def test_what_the_sender_says_is_sealed_as_said(site: Site, vault: Vault) -> None:
    name = declare(site)
    query = (
        "name=a.bin&kind=tool-trace&kind=access_log&system=mail-agent&source=s3&method=by%20hand"
    )
    (item,) = send(site, name, b"x", query).json["items"]
    assert (item["kinds"], item["system"], item["source"]) == (
        ["tool_trace", "access_log"], "mail-agent", "s3",
    )  # fmt: skip
    assert vault.incidents.read(name).manifests[-1].statement.body["method"] == "by hand"


def test_a_body_of_unknown_length_is_taken_too(site: Site) -> None:
    name = declare(site)
    heard = site.pool.request(
        "POST", f"{site.url}/v1/incidents/{name}/evidence?name=a",
        body=(BIG[at : at + 7_000] for at in range(0, len(BIG), 7_000)),
        headers=forensics(site), chunked=True,
    )  # fmt: skip
    assert heard.status == 201
    assert heard.json()["items"][0]["sha256"] == hashlib.sha256(BIG).hexdigest()


@pytest.mark.parametrize("data", [b"small", BIG], ids=["small", "big"])
def test_other_bytes_than_declared_leave_nothing(site: Site, vault: Vault, data: bytes) -> None:
    name = declare(site)
    before, head = stored(vault), vault.index.head(name)
    heard = send(site, name, data, Content_Digest=sha256_field(data + b"!"))
    assert heard.status == 422
    assert heard.json["type"] == "urn:evidence-vault:problem:digest_mismatch"
    assert hashlib.sha256(data).hexdigest() in heard.json["detail"]
    assert (stored(vault), vault.index.head(name)) == (before, head)


@pytest.mark.parametrize(
    "field",
    [
        "sha-256=abc",
        "sha-256=:abc:",
        "sha-256=:YWJj:",
        "sha-512=:YWJj:",
        "",
        "sha-256=:" + "A" * 43 + "=:, nonsense",
    ],
)
def test_a_digest_that_cannot_be_checked_is_refused(site: Site, vault: Vault, field: str) -> None:
    name = declare(site)
    heard = send(site, name, b"x", Content_Digest=field)
    assert (heard.status, "Content-Digest" in heard.json["detail"]) == (400, True)
    assert not vault.incidents.read(name).state.exhibits


def test_a_retry_gives_the_first_receipt(site: Site, vault: Vault) -> None:
    name = declare(site)
    first = send(site, name, BIG, Idempotency_Key="upload-1")
    again = send(site, name, BIG, Idempotency_Key='"upload-1"')
    assert (first.status, again.status) == (201, 200)
    assert again.json["state"] == "repeated"
    assert again.json["receipt"] == {**first.json["receipt"], "repeated": True}
    assert again.headers["Location"] == first.headers["Location"]
    assert len(vault.incidents.read(name).manifests) == 2


def test_one_id_is_for_one_content(site: Site, vault: Vault) -> None:
    name = declare(site)
    send(site, name, b"one", Idempotency_Key="upload-1")
    heard = send(site, name, b"two", Idempotency_Key="upload-1")
    assert (heard.status, heard.json["type"].rpartition(":")[2]) == (409, "deposit_conflict")
    assert len(vault.incidents.read(name).state.exhibits) == 1


def test_two_at_once_with_one_id_are_one_link(site: Site, vault: Vault) -> None:
    name = declare(site)
    who = forensics(site)
    heard: list[Heard] = []

    def deliver() -> None:
        path = f"/v1/incidents/{name}/evidence?name=a"
        heard.append(site.post(path, who, BIG, Idempotency_Key="upload-1"))

    threads = [threading.Thread(target=deliver) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(each.status for each in heard) == [200, 200, 200, 201]
    assert len({each.json["receipt"]["leaf_hash"] for each in heard}) == 1
    assert len(vault.incidents.read(name).manifests) == 2


def test_the_same_sighting_adds_nothing_unless_asked(site: Site, vault: Vault) -> None:
    name = declare(site)
    first = send(site, name, b"same")
    again = send(site, name, b"same")
    assert (again.status, again.json["state"]) == (200, "already")
    assert again.json["receipt"]["leaf_hash"] == first.json["receipt"]["leaf_hash"]
    asked = send(site, name, b"same", "name=a.bin&again=true")
    assert (asked.status, asked.json["items"][0]["exhibit"]) == (201, "EV-0002")
    assert len(vault.incidents.read(name).state.exhibits) == 2


@pytest.mark.parametrize("given", HOSTILE)
def test_a_hostile_name_is_kept_as_a_claim_and_obeyed_by_nobody(
    site: Site, vault: Vault, given: str
) -> None:
    name = declare(site)
    outside = set(vault.home.parent.rglob("*"))  # type: ignore[attr-defined]
    heard = send(site, name, b"x", f"name={quote(given, safe='')}")
    assert heard.status == 201, heard.data
    assert heard.json["items"][0]["name"] == given
    assert "Set-Cookie" not in heard.headers
    new = set(vault.home.parent.rglob("*")) - outside  # type: ignore[attr-defined]
    assert all((vault.home / "store") in path.parents for path in new)  # type: ignore[attr-defined]
    assert all(len(path.name) <= MAX_SAFE_NAME for path in new)


@pytest.mark.parametrize(
    ("query", "headers", "status"),
    [
        ("", {}, 400),
        ("name=", {}, 400),
        (f"name={'x' * 1001}", {}, 400),
        ("name=a&kind=gossip", {}, 400),
        ("name=a", {"Idempotency_Key": "no spaces here"}, 400),
        ("name=a", {"Idempotency_Key": "x" * 129}, 400),
        ("name=a", {"Content_Type": "multipart/form-data; boundary=x"}, 422),
        ("name=a", {"Content_Encoding": "gzip"}, 422),
    ],
)
def test_what_makes_no_sense_is_refused(
    site: Site, vault: Vault, query: str, headers: dict[str, str], status: int
) -> None:
    name = declare(site)
    assert send(site, name, b"x", query, **headers).status == status
    assert not vault.incidents.read(name).state.exhibits


def test_who_may_not_add_adds_nothing(site: Site, vault: Vault) -> None:
    name = declare(site)
    path = f"/v1/incidents/{name}/evidence?name=a"
    assert site.post(path, None, b"x").status == 401
    assert site.post(path, site.people.add("ann", VaultRole.AUDITOR), b"x").status == 403
    other = site.people.add("otto", VaultRole.FORENSICS_LEAD, chains=("INC-2026-0099",))
    assert site.post(path, other, b"x").status == 404
    elsewhere = site.people.collector("web", "stream:web")
    assert site.post(path, elsewhere, b"x").status == 404
    assert not vault.incidents.read(name).state.exhibits


def test_a_collector_adds_to_its_stream_and_reads_nothing(site: Site, vault: Vault) -> None:
    who = site.people.collector("web", "stream:web")
    heard = site.post("/v1/chains/stream:web/evidence?name=a.log", who, b"x")
    assert (heard.status, heard.json["items"][0]["exhibit"]) == (201, "ST-0001")
    assert heard.headers["Location"] == "/v1/chains/stream:web/evidence/ST-0001"
    actor = vault.incidents.read("stream:web").manifests[0].statement.actor
    assert (actor.id, actor.kind) == ("web", "collector")
    assert site.get(heard.headers["Location"], who).status == 403
    assert site.get("/v1/chains/stream:web/evidence", who).status == 403


def test_a_stream_is_no_incident(site: Site) -> None:
    heard = site.post("/v1/incidents/stream:web/evidence?name=a", forensics(site), b"x")
    assert heard.status == 400


def test_nothing_enters_a_closed_incident(site: Site) -> None:
    name = declare(site)
    ida = {"Authorization": "Bearer secret-ida"}
    kept = send(site, name, b"x", Idempotency_Key="before")
    assert site.post(f"/v1/incidents/{name}/closing", ida, {}).status == 201
    heard = send(site, name, b"late")
    assert (heard.status, "reopen" in heard.json["detail"]) == (409, True)
    again = send(site, name, b"x", Idempotency_Key="before")
    assert again.json["receipt"]["leaf_hash"] == kept.json["receipt"]["leaf_hash"]


def head_of(site: Site, chain: str, size: int, *more: str) -> bytes:
    token = forensics(site)["Authorization"]
    lines = [
        f"POST /v1/incidents/{chain}/evidence?name=a HTTP/1.1", "Host: vault",
        f"Authorization: {token}", f"Content-Length: {size}", *more,
    ]  # fmt: skip
    return "\r\n".join([*lines, "", ""]).encode()


def test_who_goes_away_in_the_middle_leaves_nothing(site: Site, vault: Vault) -> None:
    name = declare(site)
    before, head = stored(vault), vault.index.head(name)
    with connect(site) as line:
        line.sendall(head_of(site, name, len(BIG)) + BIG[:-1])
        eventually(lambda: stored(vault) != before)  # it is under way into the store
    eventually(lambda: stored(vault) == before)
    assert vault.index.head(name) == head
    assert send(site, name, BIG).status == 201  # and nobody is stuck


def test_who_goes_away_at_the_end_finds_it_sealed(site: Site, vault: Vault) -> None:
    name = declare(site)
    with connect(site) as line:
        line.sendall(head_of(site, name, len(BIG), "Idempotency-Key: last") + BIG)
    eventually(lambda: bool(vault.incidents.read(name).state.exhibits))
    heard = send(site, name, BIG, "name=a", Idempotency_Key="last")
    assert (heard.status, heard.json["state"]) == (200, "repeated")


def test_a_length_that_is_no_number_is_turned_away(site: Site, vault: Vault) -> None:
    name = declare(site)
    with connect(site) as line:
        line.sendall(head_of(site, name, 1).replace(b"Content-Length: 1", b"Content-Length: -1"))
        assert b" 400 " in line.recv(4096).split(b"\r\n")[0]
    assert not vault.incidents.read(name).state.exhibits


@pytest.fixture
def served(vault: Vault) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The same home, served by another process."""
    program = Path(__file__).with_name("served_alone.py")
    folders = [str(program.parent), str(program.parent.parent), *sys.path]
    with subprocess.Popen(
        [sys.executable, program, vault.home],  # type: ignore[attr-defined]
        stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(folders)},
    ) as process:  # fmt: skip
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()
        process.kill()


def test_a_server_killed_in_the_middle_claimed_nothing(
    site: Site, vault: Vault, served: tuple[subprocess.Popen[str], str]
) -> None:
    name = declare(site)
    before, head = stored(vault), vault.index.head(name)
    process, url = served
    other = Site(url, site.people)
    with connect(other) as line:
        line.sendall(head_of(other, name, len(BIG)) + BIG[:-1])
        eventually(lambda: stored(vault) != before)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert vault.index.head(name) == head
    visible = list(vault.store.keys("artifacts/"))
    assert not visible
    assert send(site, name, BIG, "name=a", Idempotency_Key="k").status == 201


def test_exhibits_come_in_pages(site: Site) -> None:
    name = declare(site)
    for number in range(5):
        assert send(site, name, b"%d" % number, f"name=n{number}").status == 201
    who = site.people.add("ann", VaultRole.AUDITOR)
    read, cursor = [], ""
    while True:
        page = site.get(f"/v1/incidents/{name}/evidence?limit=2{cursor}", who).json
        read += [(each["exhibit"], each["name"]) for each in page["items"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert read == [(f"EV-{number + 1:04d}", f"n{number}") for number in range(5)]
    assert site.get(f"/v1/chains/{name}/evidence?limit=2", who).json["items"][0]["name"] == "n0"
    assert site.get(f"/v1/incidents/{name}/evidence?cursor=AAAA", who).status in (400, 404)


def test_what_is_sealed_about_an_exhibit_is_what_the_command_shows(
    site: Site, vault: Vault
) -> None:
    from cli_support import run

    name = declare(site)
    send(site, name, b"x")
    heard = site.get(f"/v1/incidents/{name}/evidence/EV-0001", forensics(site))
    said = run("--home", vault.home, "evidence", "show", name, "EV-0001", "--json")  # type: ignore[attr-defined]
    assert heard.json == said.json
    assert site.get(f"/v1/incidents/{name}/evidence/EV-0002", forensics(site)).status == 404
