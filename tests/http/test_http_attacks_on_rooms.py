"""Attacks on what all share: places of requests, the trust file, the list of requests."""

from __future__ import annotations

import logging
import select
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
import urllib3
from case_served import INCIDENT, STREAM
from serving import Site, eventually, listening
from signed_in import ADA, ADMIN, GRETA, GUS, PAT, STEWARD, Served, code_of, shows
from test_http_collectors import EDGE, new_spki

from cli.compose import now
from vault.http.app import create_app
from vault.http.connections import BoundedConnection
from vault.http.served import Limits
from vault.ports import IdentityKind, RequestState
from vault.requests import Requests
from verify import strictjson
from verify.digest import b64
from verify.envelope import ManifestKey
from verify.errors import MalformedError
from verify.grant import GrantedRole
from verify.trust import MAX_KEYS, with_collector

GRANT = {"person": "new@example.org", "role": "auditor", "chains": ["*"], "reason": "r"}


class Hurried(BoundedConnection):
    taking_seconds = 1.0


@contextmanager
def serving(
    served: Served, connection: type[BoundedConnection] = BoundedConnection, **limits: Any
) -> Iterator[Site]:
    """The same vault, with other limits."""
    service = replace(served.service, limits=Limits(**limits))
    with listening(create_app(service), connection) as url:
        yield Site(url, served.site.people)


def line_to(site: Site, lines: ExitStack) -> socket.socket:
    place = urlsplit(site.url)
    line = lines.enter_context(socket.socket())
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    line.settimeout(10)
    line.connect((place.hostname, place.port))
    return line


def all_but_two_are_answered(lines: list[socket.socket]) -> bool:
    return len(select.select(lines, [], [], 0)[0]) == len(lines) - 2


def status(site: Site, who: dict[str, str]) -> int:
    """What somebody is answered on a connection of their own."""
    pool = urllib3.PoolManager(retries=False, timeout=20)
    return int(pool.request("GET", f"{site.url}/v1/whoami", headers=who).status)


def fill_trust(served: Served) -> None:
    """Have the trust file list as many collectors as one may."""
    path = served.vault.home / "trust.json"
    value = strictjson.loads(path.read_bytes(), where="trust", limit=1 << 20)
    value["collector_keys"] = [b64(new_spki()) for _ in range(MAX_KEYS)]
    path.chmod(0o600)
    path.write_bytes(strictjson.dumps(value) + b"\n")


def test_nobody_makes_the_vault_unreadable_by_letting_collectors_in(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    served.hold(PAT, ADMIN)
    pat, gus = served.who(PAT), served.steward(GUS)
    monkeypatch.setattr("vault.collectors.MOST", 1)
    assert served.site.post("/v1/collectors", pat, EDGE).status == 201
    links = served.vault.index.head("vault")
    more = {"name": "edge-2", "key": b64(new_spki())}
    assert code_of(served.site.post("/v1/collectors", pat, more)) == (409, "refused")
    assert served.vault.index.head("vault") == links
    assert served.site.post("/v1/collectors", pat, EDGE).status == 200
    monkeypatch.undo()
    fill_trust(served)
    served.site.post("/v1/collectors", pat, more)
    assert served.site.get("/v1/incidents", gus).status == 200
    assert served.site.get("/v1/trust").status == 200
    with pytest.raises(MalformedError, match="at most 1,000"):
        with_collector(served.service.trust_file.now(), ManifestKey(new_spki()))


def test_a_limited_token_is_told_of_no_roles_elsewhere_by_naming_the_vaults_chain(
    served: Served,
) -> None:
    served.hold(ADA, GrantedRole.LEGAL, INCIDENT)
    served.hold(ADA, GrantedRole.AUDITOR, "stream:secret")
    told = served.site.get("/v1/whoami?chain=vault", served.who(ADA, INCIDENT)).json
    assert told["roles"] == ["legal"]
    asked = served.site.get("/v1/collectors", served.who(ADA, INCIDENT))
    assert (asked.status, "auditor" in asked.json["detail"]) == (403, False)


def test_one_person_asks_for_so_much_a_day(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vault.requests.A_DAY", 3)
    gus, greta = served.steward(GUS), served.steward(GRETA)
    asked = [served.site.post("/v1/grants", gus, for_another(n)) for n in range(3)]
    assert [each.status for each in asked] == [202] * 3
    refused = f"/v1/requests/{asked[0].json['id']}/refusal"
    assert served.site.post(refused, gus, {"reason": "a mistake"}).status == 200
    assert code_of(served.site.post("/v1/grants", gus, for_another(3))) == (409, "refused")
    assert served.site.post("/v1/grants", greta, GRANT).status == 202
    monkeypatch.setattr(served.service.requests, "_clock", lambda: now() + timedelta(days=1))
    assert served.site.post("/v1/grants", gus, for_another(3)).status == 202


def for_another(number: int) -> Any:
    """The same asked for another person: what is asked for again is not asked for twice."""
    return {**GRANT, "person": f"new-{number}@example.org"}


def test_requests_are_read_page_by_page_whoever_lists_them(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vault.requests._PAGE", 2)
    gus = served.steward(GUS)
    asked = [served.site.post("/v1/grants", gus, for_another(n)).json["id"] for n in range(5)]
    read: list[int] = []
    store = served.service.access
    everything = store.requests

    def few(*given: Any, **named: Any) -> Any:
        found = everything(*given, **named)
        read.append(len(found))
        return found

    monkeypatch.setattr(store, "requests", few)
    assert served.site.get("/v1/requests", served.who("nobody@example.org")).json["items"] == []
    assert max(read) == 2
    first = served.site.get("/v1/requests?limit=3", gus).json
    second = served.site.get(f"/v1/requests?limit=3&cursor={first['next']}", gus).json
    assert [each["id"] for each in (*first["items"], *second["items"])] == asked
    assert second["next"] is None


def test_who_lost_the_role_while_they_approved_gives_none(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    gus, greta = served.steward(GUS), served.steward(GRETA)
    served.steward(PAT)
    asked = served.site.post("/v1/grants", gus, GRANT).json["id"]
    approve = Requests.approve

    def late(self: Requests, *given: Any) -> Any:
        served.vault.grants.revoke(GRETA, STEWARD, None, reason="left")
        return approve(self, *given)

    monkeypatch.setattr(Requests, "approve", late)
    heard = served.site.post(f"/v1/requests/{asked}/approval", greta)
    assert code_of(heard) == (409, "refused")
    assert served.vault.grants.of("new@example.org") == ()
    assert served.site.get(f"/v1/requests/{asked}", gus).json["state"] == "failed"


def test_what_was_approved_and_could_not_be_done_is_not_done_days_later(served: Served) -> None:
    gus, greta = served.steward(GUS), served.steward(GRETA)
    store = served.service.access
    known = store.request(served.site.post("/v1/grants", gus, GRANT).json["id"])
    assert known is not None
    long_ago = known.created - timedelta(days=2)
    left = replace(
        known, id=f"00{known.id[2:]}", created=long_ago, expires=long_ago + timedelta(days=1),
        state=RequestState.APPROVED, approver=GRETA, approver_authenticated="token",
    )  # fmt: skip
    store.add_request(left)
    assert code_of(served.site.post(f"/v1/requests/{left.id}/approval", greta)) == (409, "refused")
    assert served.vault.grants.of("new@example.org") == ()


def test_a_person_with_many_tokens_has_no_more_places_than_with_one(served: Served) -> None:
    """Tokens that were shown before, and such as are new."""
    gus, old = served.steward(GUS), [served.who(ADA) for _ in range(3)]
    with serving(served, concurrent=6, concurrent_of_one=2, body_seconds=20) as site:
        assert {status(site, each) for each in (gus, *old)} == {200}
        with ExitStack() as lines:
            held = []
            for who in (*old, *(served.who(ADA) for _ in range(6))):
                held.append(line_to(site, lines))
                held[-1].sendall(
                    b"POST /v1/tokens HTTP/1.1\r\nHost: vault\r\nContent-Length: 9\r\n"
                    b"Authorization: %b\r\n\r\n{" % who["Authorization"].encode()
                )
            eventually(lambda: all_but_two_are_answered(held))
            assert (status(site, old[0]), status(site, gus)) == (429, 200)


def test_who_takes_no_answer_does_not_keep_a_place(served: Served) -> None:
    """By pipelining what needs no token, and reading nothing, under tokens that are made up."""
    fill_trust(served)  # a long answer, for all
    gus = served.steward(GUS)
    with serving(served, Hurried, concurrent=6, concurrent_of_one=3) as site:
        assert status(site, gus) == 200
        stranger = {"Authorization": "Bearer another"}
        with ExitStack() as lines:
            for number in range(8):
                ask = b"GET /v1/trust HTTP/1.1\r\nHost: vault\r\nAuthorization: Bearer x%d\r\n\r\n"
                with suppress(OSError):
                    line_to(site, lines).sendall(ask % number * 100)
            for _ in range(10):
                assert status(site, gus) == 200
                time.sleep(0.05)
            eventually(lambda: status(site, stranger) == 401)
            time.sleep(Hurried.taking_seconds)
            eventually(lambda: status(site, stranger) == 401)


def test_who_goes_away_from_several_requests_at_once_fills_no_log(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    """The one at work is told, not only the last that came."""
    fill_trust(served)
    with ExitStack() as lines:
        for _ in range(4):
            line = line_to(served.site, lines)
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            line.sendall(b"GET /v1/trust HTTP/1.1\r\nHost: vault\r\n\r\n" * 100)
            line.recv(1)
    # Whoever asks now is answered after those are done with.
    eventually(lambda: status(served.site, {"Authorization": "Bearer x"}) == 401)
    time.sleep(0.5)
    assert [each.message for each in caplog.records if each.levelno >= logging.ERROR] == []


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_who_floods_what_watches_the_process_takes_nobodys_place(served: Served, path: str) -> None:
    gus = served.steward(GUS)
    place, stopped = urlsplit(served.site.url), threading.Event()

    def flood() -> None:
        ask = f"GET {path} HTTP/1.1\r\nHost: vault\r\n\r\n".encode() * 5
        with suppress(OSError), socket.create_connection((place.hostname, place.port)) as line:
            while not stopped.is_set():
                line.sendall(ask)
                line.recv(65_536)

    with serving(served, concurrent=4) as site:
        place = urlsplit(site.url)
        threads = [threading.Thread(target=flood) for _ in range(30)]
        for each in threads:
            each.start()
        try:
            assert {status(site, gus) for _ in range(20)} == {200}
        finally:
            stopped.set()
            for each in threads:
                each.join()


def test_a_collector_is_given_so_many_tokens_a_day(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vault.enrolment.A_DAY", 2)
    served.hold(PAT, ADMIN)
    pat = served.who(PAT)
    given = [served.site.post("/v1/collectors", pat, EDGE).status for _ in range(4)]
    assert given == [201, 200, 409, 409]
    other = {**EDGE, "name": "edge-2", "key": b64(new_spki())}
    assert served.site.post("/v1/collectors", pat, other).status == 201


def test_one_collector_leaves_room_for_the_telemetry_of_others(served: Served) -> None:
    one, other = (
        shows(
            served.tokens.issue(f"collector:{name}", kind=IdentityKind.COLLECTOR, chains=[STREAM])
        )
        for name in ("one", "other")
    )
    with serving(served, exports=4, exports_of_one=2) as site, ExitStack() as lines:

        def sends(who: dict[str, str]) -> int:
            sent = {**who, "Content-Type": "application/json"}
            return site.ask("POST", "/v1/logs", sent, b'{"resourceLogs":[]}').status

        assert (sends(one), sends(other)) == (200, 200)
        held = [line_to(site, lines) for _ in range(6)]
        for line in held:  # each waits for a body that does not come
            line.sendall(
                b"POST /v1/logs HTTP/1.1\r\nHost: vault\r\nContent-Type: application/json\r\n"
                b"Content-Length: 9\r\nAuthorization: %b\r\n\r\n{" % one["Authorization"].encode()
            )
        eventually(lambda: all_but_two_are_answered(held))
        assert (sends(one), sends(other)) == (429, 200)
