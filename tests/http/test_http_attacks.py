"""Attacks on the service by people whom it knows, and by who only reaches it: a story a test."""

from __future__ import annotations

import hashlib
import logging
import shutil
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import pytest
import urllib3
from case_served import INCIDENT, STREAM, Case, serving_copy
from serving import People, eventually, listening

from cli.compose import Vault, now
from cli.serving import service_of
from vault.access import Identity, VaultRole
from vault.http.app import create_app
from vault.http.frames import MAGIC, FrameKind, Head, SentList, framed, missed_frame
from vault.http.served import Limits
from vault.opened import assemble
from vault.ports import ObjectStore
from verify import strictjson
from verify.grant import GrantedRole

AT = f"/v1/incidents/{INCIDENT}"
WHY = "purpose=to%20see%20it"


def told(case: Case, event: str) -> list[Any]:
    """The statements of one event on the incident's chain."""
    return [
        each.statement
        for each in case.vault.incidents.read(INCIDENT).manifests
        if each.statement.body.get("event") == event
    ]


def id_of(prefix: str, *said: Any) -> str:
    """A deposit id of the vault's own, which anyone can compute who knows what it follows from."""
    return f"{prefix}-{hashlib.sha256(strictjson.dumps(list(said))).hexdigest()[:32]}"


def claimed(case: Case, who: Any, deposit: str) -> int:
    """The status of evidence that is sent under a deposit id of the sender's choice."""
    path = f"{AT}/evidence?name=junk-{deposit}.txt"
    return case.site.post(path, who, b"junk", Idempotency_Key=deposit).status


def test_nobody_takes_the_deposit_id_under_which_their_refusal_is_going_to_be_sealed(
    case: Case,
) -> None:
    rex = case.who("rex", VaultRole.REMEDIATION_LEAD)
    status = claimed(case, rex, id_of("refused", INCIDENT, "rex", -1))
    assert case.site.get(f"{AT}/evidence/EV-0001/content?{WHY}", rex).status == 403
    assert [each.body["identity"] for each in told(case, "refused")] == ["rex"]
    assert status == 400


def test_nobody_keeps_another_from_reading_by_taking_the_deposit_id_of_the_reading(
    case: Case,
) -> None:
    rex, fay = case.who("rex", VaultRole.REMEDIATION_LEAD), case.who("fay", VaultRole.LEGAL)
    session = id_of("viewed", INCIDENT, "fay", "person", ["EV-0001"], "to see it", -1)
    status = claimed(case, rex, session)
    assert case.site.get(f"{AT}/evidence/EV-0001/content?{WHY}", fay).status == 200
    assert [each.actor.id for each in told(case, "viewed")] == ["fay"]
    assert status == 400


def test_nobody_makes_a_release_look_done_by_taking_the_deposit_id_of_the_request(
    case: Case,
) -> None:
    case.vault.retention.set_hold(INCIDENT, "M-1", "a claim", None)
    lea, gus = case.who("lea", VaultRole.LEGAL), case.who("gus", VaultRole.GOVERNANCE_STEWARD)
    rex = case.who("rex", VaultRole.REMEDIATION_LEAD)
    body = {"matter": "M-1", "reason": "the claim was withdrawn"}
    asked = case.site.post(f"{AT}/holds/releases", lea, body).json
    statuses = [claimed(case, rex, each) for each in (asked["id"], f"request-{asked['id']}")]
    done = case.site.post(f"/v1/requests/{asked['id']}/approval", gus)
    assert (done.status, done.json["state"]) == (200, "done")
    assert [each.body["approved_by"]["person"] for each in told(case, "released")] == ["gus"]
    assert not case.vault.incidents.read(INCIDENT).state.live_holds
    assert statuses == [201, 400]  # an id like any other, and one of the vault's own


def test_nobody_shuts_a_collector_out_by_taking_the_deposit_ids_of_its_spool(case: Case) -> None:
    rex = case.who("rex", VaultRole.REMEDIATION_LEAD)
    assert claimed(case, rex, "spool-0123456789abcdef-1") == 400


@pytest.mark.parametrize("role", VaultRole)
def test_who_may_read_one_incident_learns_of_no_other_from_the_chain_of_grants(
    case: Case, role: VaultRole
) -> None:
    elsewhere = case.vault.grants
    elsewhere.grant("ada", GrantedRole.LEGAL, [STREAM], reason="of another team")
    cleo = case.who("cleo", role, chains=(INCIDENT,))
    narrow = case.who("nia", role)
    case.site.people.known["secret-nia"] = Identity("nia", "person", "token", "t", (INCIDENT,))
    for who in (cleo, narrow):
        for path in ("", "/manifests", "/manifests/0", "/manifests/0/receipt"):
            heard = case.site.get(f"/v1/chains/vault{path}", who)
            assert heard.status == 403, heard.data
        chains = case.site.get("/v1/chains", who).json["items"]
        assert {each["chain"] for each in chains} <= {INCIDENT}
        verified = case.site.post("/v1/verify", who, {"incident": "vault"})
        assert verified.status == 403


def test_a_body_that_drips_is_not_waited_for_longer_than_one_that_stops(
    vault: Vault, people: People
) -> None:
    people.add("ida", VaultRole.INCIDENT_COMMANDER)
    service = replace(
        service_of(vault),
        authenticator=people,
        grants=lambda: tuple(people.grants),
        limits=Limits(body_seconds=1.0),
    )
    with listening(create_app(service)) as url:
        place = urlsplit(url)
        with socket.create_connection((place.hostname, place.port), timeout=0.1) as line:
            line.sendall(
                b"POST /v1/incidents HTTP/1.1\r\nHost: vault\r\n"
                b"Authorization: Bearer secret-ida\r\nContent-Length: 1000\r\n\r\n{"
            )
            for _ in range(300):  # each byte comes long before its second is over
                with suppress(TimeoutError):
                    assert line.recv(4096).startswith(b"HTTP/1.1 408 ")
                    return
                line.sendall(b" ")
    raise AssertionError("it was waited for")


@pytest.mark.slow
def test_who_takes_bytes_slowly_gets_all_of_them(lived: Path, tmp_path: Path) -> None:
    shutil.copytree(lived, tmp_path / "lived")
    people = People(now())
    fay = people.add("fay", VaultRole.FORENSICS_LEAD)
    data = bytes(range(256)) * (128 << 10)  # more than lies on the way
    with serving_copy(tmp_path / "lived", people, limits=Limits(body_seconds=0.2)) as case:
        sent = case.site.post(f"{AT}/evidence?name=big.bin", fay, data)
        assert sent.status == 201
        exhibit = sent.json["items"][0]["exhibit"]
        answer = case.site.pool.request(
            "GET",
            f"{case.site.url}{AT}/evidence/{exhibit}/content?{WHY}",
            headers=fay,
            preload_content=False,
        )
        began, taken = time.monotonic(), answer.read(1 << 16)
        eventually(lambda: time.monotonic() > began + 1)
        assert taken + answer.read() == data


def test_refusals_on_chains_that_are_none_are_not_remembered_nor_put_into_the_log(
    case: Case, caplog: pytest.LogCaptureFixture
) -> None:
    rex = case.who("rex", VaultRole.REMEDIATION_LEAD)
    with caplog.at_level(logging.INFO, logger="evault.http"):
        for number in range(3):
            forged = f"x{number}%0A%7B%22identity%22:%22ada%22%7D"
            assert case.site.post(f"/v1/chains/{forged}/holds", rex, {}).status == 403
            assert case.site.post(f"/v1/chains/INC-2026-999{number}/holds", rex, {}).status == 403
    assert not case.service.refusals._waiting
    assert not [each for each in caplog.messages if "\n" in each]


def test_private_answers_are_kept_by_no_cache(case: Case) -> None:
    fay = case.who("fay", VaultRole.FORENSICS_LEAD)
    paths = (AT, f"{AT}/evidence", f"{AT}/evidence/EV-0001", f"{AT}/custody", f"{AT}/evidence/EV-9")
    chain = f"/v1/chains/{INCIDENT}"
    for path in (*paths, f"{chain}/manifests/0", f"{chain}/descriptions", "/v1/whoami"):
        heard = case.site.get(path, fay)
        assert heard.headers["Cache-Control"] == "private, no-store", path
        assert heard.headers["X-Content-Type-Options"] == "nosniff", path


def test_nobody_is_sent_on_to_a_host_of_the_senders_choice(case: Case) -> None:
    fay = case.who("fay", VaultRole.FORENSICS_LEAD)
    heard = case.site.get("/v1/incidents/", {**fay, "Host": "evil.example"})
    assert (heard.status, heard.headers.get("Location")) == (404, None)


@pytest.mark.parametrize("lost", ["token", "grant"])
@pytest.mark.parametrize("kind", ["evidence", "captures"])
def test_what_was_begun_before_a_token_or_grant_ended_is_not_sealed_after(
    case: Case, lost: str, kind: str
) -> None:
    case.who("rex", VaultRole.REMEDIATION_LEAD)
    before = case.vault.incidents.read(INCIDENT).state.sequence
    body = whole_capture() if kind == "captures" else b"0123456789"
    place = urlsplit(case.site.url)
    with socket.create_connection((place.hostname, place.port), timeout=60) as line:
        line.sendall(
            f"POST /v1/chains/{INCIDENT}/{kind}?name=late.txt HTTP/1.1\r\nHost: vault\r\n"
            f"Authorization: Bearer secret-rex\r\nContent-Length: {len(body)}\r\n"
            "Expect: 100-continue\r\n\r\n".encode()
        )
        assert line.recv(4096).startswith(b"HTTP/1.1 100 ")  # it was let in
        if lost == "token":
            case.site.people.known.clear()
        else:
            case.site.people.grants.clear()
        line.sendall(body)
        status = b"401" if lost == "token" else b"404"
        assert line.recv(4096).startswith(b"HTTP/1.1 " + status)
    assert case.vault.incidents.read(INCIDENT).state.sequence == before


def whole_capture() -> bytes:
    """A capture that only tells of something that could not be kept."""
    sent = SentList()
    sent.missed.append({"detail": "it was gone", "name": "a.txt", "reason": "unreadable"})
    head = Head(None, "by hand", None, None, {"name": "me"}, pack=True)
    return b"".join(
        (
            MAGIC,
            framed(FrameKind.HEAD, head.encode()),
            missed_frame("a.txt", "unreadable", "it was gone"),
            framed(FrameKind.LIST, sent.encode()),
        )
    )


class Stuck:
    """A store that answers nothing once it is stuck, until it is let go."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self.answers = threading.Event()
        self.answers.set()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if not callable(found):
            return found

        def late(*given: Any, **named: Any) -> Any:
            self.answers.wait()
            return found(*given, **named)

        return late


@dataclass
class Counted:
    """Knows who people know, and how often it was asked."""

    people: People
    asked: int = 0

    def identify(self, bearer: str, address: str) -> Identity:
        self.asked += 1
        return self.people.identify(bearer, address)


def test_one_who_verifies_again_and_again_keeps_nobody_else_waiting(case: Case) -> None:
    stuck, counted = Stuck(case.vault.store), Counted(case.site.people)
    foundation = replace(case.vault.foundation, store=cast("ObjectStore", stuck))
    slow = replace(
        case.service,
        vault=assemble(foundation, case.vault.door.actor),
        authenticator=counted,
        limits=Limits(concurrent_of_one=64),  # as many as several people would ask together
    )
    ann = case.who("ann", VaultRole.AUDITOR)
    sent = {"incident": INCIDENT, "depth": "bytes"}
    with listening(create_app(slow)) as url:
        pool = urllib3.PoolManager(maxsize=60, retries=False, timeout=None)

        def verify() -> None:
            pool.request("POST", f"{url}/v1/verify", json=sent, headers=ann)

        stuck.answers.clear()
        verifying = [threading.Thread(target=verify) for _ in range(60)]  # more than all threads
        for each in verifying:
            each.start()
        try:
            eventually(lambda: counted.asked >= 40)
            # A server whose threads all wait would never answer.
            assert pool.request("GET", f"{url}/v1/whoami", headers=ann, timeout=30).status == 200
        finally:
            stuck.answers.set()
            for each in verifying:
                each.join()
