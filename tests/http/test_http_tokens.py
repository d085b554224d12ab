"""Tokens over HTTP: each person's own, and nobody else's; a limit is never outgrown."""

from __future__ import annotations

import json
import logging
import threading
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from case_served import INCIDENT, STREAM, Case
from cli_support import check
from serving import Site, listening
from signed_in import ADA, ADMIN, GUS, PAT, Served, bearing, code_of, shows

from cli.vault import now
from vault.access import Identity
from vault.errors import UnauthenticatedError
from vault.http import own_tokens
from vault.http.app import create_app
from vault.http.audit_log import LOGGER
from vault.http.bearers import Bearers
from vault.ports import IdentityKind, Token
from vault.tokens import Tokens
from verify.grant import GrantedRole
from verify.instant import format_instant, parse_instant

TOKENS = "/v1/tokens"
SECRETS = "secret_sha256"


def made(served: Served, who: dict[str, str], **body: Any) -> Any:
    heard = served.site.post(TOKENS, who, body)
    assert heard.status == 201, heard.data
    check("token-add", heard.json)
    assert "no-store" in heard.headers["Cache-Control"]
    return heard.json


def valid(served: Served, identity: str) -> set[str]:
    return {
        each.id
        for each in served.tokens.list(identity)
        if each.revoked is None and each.expires > now()
    }


def signs_in(served: Served, secret: str) -> bool:
    return served.site.get("/v1/whoami", bearing(secret)).status == 200


def test_a_person_makes_lists_rotates_and_ends_tokens_of_their_own(served: Served) -> None:
    who = served.who(ADA)
    first = made(served, who, name="laptop", chains=["stream:own"])
    assert first["token"]["identity"] == ADA
    told = served.site.get("/v1/whoami", bearing(first["secret"])).json
    assert (told["id"], told["kind"], told["chains"]) == (ADA, "person", ["stream:own"])
    listed = served.site.get(TOKENS, who).json
    check("token-list", listed)
    assert {each["id"] for each in listed["items"]} == valid(served, ADA)
    assert first["secret"][17:] not in json.dumps(listed)
    at = f"{TOKENS}/{first['token']['id']}"
    second = served.site.post(f"{at}/rotation", who, {"overlap_seconds": 0})
    assert second.status == 201, second.data
    check("token-rotate", second.json)
    assert "no-store" in second.headers["Cache-Control"]
    assert second.json["token"]["chains"] == ["stream:own"]
    assert second.json["old"]["state"] == "revoked"
    assert (signs_in(served, first["secret"]), signs_in(served, second.json["secret"])) == (
        False, True,
    )  # fmt: skip
    gone = f"{TOKENS}/{second.json['token']['id']}/removal"
    for _ in range(2):
        heard = served.site.post(gone, who)
        check("token-revoke", heard.json)
        assert (heard.status, heard.json["token"]["state"]) == (200, "revoked")
    assert not signs_in(served, second.json["secret"])


def test_the_old_token_lasts_for_the_overlap(served: Served) -> None:
    old = served.tokens.issue(ADA)
    heard = served.site.post(f"{TOKENS}/{old.token.id}/rotation", shows(old), {})
    assert heard.status == 201
    ends = parse_instant(heard.json["old"]["expires"], where="old")
    assert now() + timedelta(hours=23) < ends < now() + timedelta(hours=25)
    assert signs_in(served, old.secret.reveal())


def test_nobody_sees_makes_or_ends_anothers(served: Served) -> None:
    """Also not who grants roles, or a name that looks alike; unknown and foreign look the same."""
    gus = served.steward(GUS)
    theirs = served.tokens.issue(ADA).token.id
    before = valid(served, ADA)
    for who in (
        gus, served.who(PAT), served.who("Ada@example.org"), served.who("ａda@example.org"),
        served.who("ada@example.com"),
    ):  # fmt: skip
        assert theirs not in json.dumps(served.site.get(TOKENS, who).json)
        for act, body in (("rotation", {}), ("removal", None)):
            heard = served.site.post(f"{TOKENS}/{theirs}/{act}", who, body)
            missing = served.site.post(f"{TOKENS}/000000000000/{act}", who, body)
            assert (heard.status, missing.status) == (404, 404)
            assert heard.json["detail"] == missing.json["detail"]
    for name in ("identity", "person", "kind", "id"):
        heard = served.site.post(TOKENS, gus, {name: ADA})
        assert (heard.status, name in heard.json["detail"]) == (400, True)
    assert valid(served, ADA) == before


def test_a_limited_token_comes_to_no_more_than_its_chains(served: Served) -> None:
    wide, narrow = served.tokens.issue(ADA), served.tokens.issue(ADA, chains=[STREAM, "stream:b"])
    other = served.tokens.issue(ADA, chains=[STREAM, "stream:c"])
    served.hold(ADA, GrantedRole.FORENSICS_LEAD)
    who = shows(narrow)
    for chains in ([], [INCIDENT], [STREAM, INCIDENT], ["stream:c"], ["vault"]):
        heard = served.site.post(TOKENS, who, {"chains": chains})
        assert code_of(heard) == (403, "not_permitted"), chains
        assert "limited to" in heard.json["detail"]
    for each in (wide.token.id, other.token.id):
        for act, body in (("rotation", {}), ("removal", None)):
            heard = served.site.post(f"{TOKENS}/{each}/{act}", who, body)
            assert code_of(heard) == (404, "not_found"), "a wider token is out of its reach"
    listed = served.site.get(TOKENS, who).json["items"]
    assert [each["id"] for each in listed] == [narrow.token.id]
    fewer = made(served, who, chains=[STREAM])
    assert fewer["token"]["chains"] == [STREAM]
    again = served.site.post(f"{TOKENS}/{narrow.token.id}/rotation", who, {})
    assert again.json["token"]["chains"] == [STREAM, "stream:b"]
    assert valid(served, ADA) >= {wide.token.id, other.token.id}


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ({"chains": ["*"]}, 400, "*"),
        ({"chains": ["INC-2026"]}, 404, "INC-2026"),
        ({"chains": ["INC-1999-0001"]}, 404, "there is no incident INC-1999-0001"),
        ({"chains": ["stream:Web"]}, 400, "stream:Web"),
        ({"chains": ["stream:a\u0000"]}, 400, ""),
        ({"chains": ["ѕtream:web"]}, 400, ""),
        ({"name": "x" * 201}, 400, "name"),
        ({"name": "a\u0000b"}, 400, "U+0000"),
        ({"name": "\x1b[31m"}, 400, "what a token is for"),
        ({"expires": "2020-01-01T00:00Z"}, 409, "is past"),
        ({"expires": "2099-01-01T00:00Z"}, 409, "at most 366 days"),
        ({"expires": "soon"}, 400, "not a time"),
    ],
)
def test_a_token_that_makes_no_sense_is_refused(
    served: Served, body: Any, status: int, told: str
) -> None:
    who = served.who(ADA)
    before = valid(served, ADA)
    heard = served.site.post(TOKENS, who, body)
    assert (heard.status, told in heard.json["detail"]) == (status, True), heard.data
    assert valid(served, ADA) == before


def test_an_incident_that_one_does_not_see_is_as_one_that_is_not_there(served: Served) -> None:
    who = served.who(ADA)
    heard = served.site.post(TOKENS, who, {"chains": [INCIDENT]})
    missing = served.site.post(TOKENS, who, {"chains": ["INC-1999-0001"]})
    assert heard.status == missing.status == 404
    assert heard.json["detail"].replace(INCIDENT, "INC-1999-0001") == missing.json["detail"]
    served.hold(ADA, GrantedRole.AUDITOR, INCIDENT)
    assert made(served, who, chains=[INCIDENT])["token"]["chains"] == [INCIDENT]


def test_a_collector_makes_and_ends_no_token_and_is_told_who_does(served: Served) -> None:
    """Whoever took its host would else never be rid of; and would keep it out."""
    edge = served.tokens.issue("collector:edge", kind=IdentityKind.COLLECTOR, chains=[STREAM])
    wider = served.tokens.issue(
        "collector:edge", kind=IdentityKind.COLLECTOR, chains=[STREAM, INCIDENT]
    )
    who, at = shows(edge), f"{TOKENS}/{edge.token.id}"
    for path, body in (
        (TOKENS, {"chains": [STREAM]}),
        (f"{at}/rotation", {}),
        (f"{at}/removal", None),
    ):
        heard = served.site.post(path, who, body)
        assert code_of(heard) == (403, "not_permitted"), path
        assert "evault collector add" in heard.json["detail"]
    assert valid(served, "collector:edge") == {edge.token.id, wider.token.id}
    listed = served.site.get(TOKENS, who).json["items"]
    assert [each["id"] for each in listed] == [edge.token.id], "nor is it told of other chains"


def test_who_lets_collectors_in_ends_their_tokens_and_has_none_made_anew(served: Served) -> None:
    served.hold(PAT, ADMIN)
    pat = served.who(PAT)
    edge = served.tokens.issue("collector:edge", kind=IdentityKind.COLLECTOR, chains=[STREAM])
    ada = served.tokens.issue(ADA).token.id
    listed = {each["id"] for each in served.site.get(TOKENS, pat).json["items"]}
    assert edge.token.id in listed
    assert ada not in listed
    heard = served.site.post(f"{TOKENS}/{edge.token.id}/rotation", pat, {})
    assert code_of(heard) == (403, "not_permitted")
    limited = served.who(PAT, STREAM)
    assert served.site.post(f"{TOKENS}/{edge.token.id}/removal", limited).status == 404
    served.hold(GUS, GrantedRole.GOVERNANCE_STEWARD, INCIDENT)
    assert served.site.post(f"{TOKENS}/{edge.token.id}/removal", served.who(GUS)).status == 404
    assert signs_in(served, edge.secret.reveal())
    assert served.site.post(f"{TOKENS}/{edge.token.id}/removal", pat).status == 200
    assert not signs_in(served, edge.secret.reveal())


def test_a_token_that_ended_makes_none(served: Served) -> None:
    gone = served.tokens.issue(ADA)
    served.tokens.revoke(gone.token.id)
    short = served.tokens.issue(ADA, expires=now() + timedelta(milliseconds=1))
    before = valid(served, ADA) - {short.token.id}
    for each in (gone, short):
        while not each.token.revoked and now() < each.token.expires and each is short:
            pass
        assert served.site.post(TOKENS, shows(each), {}).status == 401
        at = f"{TOKENS}/{each.token.id}/rotation"
        assert served.site.post(at, shows(each), {}).status == 401
        assert served.site.post(at, served.who(ADA), {}).status == 409, "it is not brought back"
    assert before == set()


class Ends:
    """An authenticator that ends a token once who shows it was let in: `identify` saw it valid."""

    def __init__(self, served: Served) -> None:
        self.served = served
        self.bearers = Bearers(served.tokens)
        self.end: Token | None = None

    def identify(self, bearer: str, address: str) -> Any:
        found = self.bearers.identify(bearer, address)
        if self.end is not None and found.token == self.end.id:
            self.served.tokens.revoke_all(found.id)
        return found


def test_what_was_made_by_a_token_that_ended_meanwhile_ended_with_it(served: Served) -> None:
    """Who revokes all tokens of somebody is not outrun by one that is being made."""
    ends = Ends(served)
    service = replace(served.service, authenticator=ends)
    with listening(create_app(service)) as url:
        site = Site(url, served.site.people)
        for path in ("", "/{}/rotation"):
            acting, target = served.tokens.issue(ADA), served.tokens.issue(ADA)
            ends.end = acting.token
            heard = site.post(f"{TOKENS}{path}".format(target.token.id), shows(acting), {})
            assert heard.status in (401, 409), heard.data
            assert "secret" not in heard.json
            assert valid(served, ADA) == set()


def test_tokens_that_are_made_while_all_are_revoked_do_not_outlive_it(served: Served) -> None:
    who = served.who(ADA)
    seen: list[str] = []
    stop = threading.Event()

    def make() -> None:
        shown = who
        while not stop.is_set():
            heard = served.site.post(TOKENS, shown, {"chains": []})
            if heard.status == 201:
                seen.append(heard.json["secret"])
                shown = bearing(heard.json["secret"])
            elif heard.status in (401, 409):
                return

    threads = [threading.Thread(target=make) for _ in range(3)]
    for each in threads:
        each.start()
    while len(seen) < 3:
        pass
    served.tokens.revoke_all(ADA)
    stop.set()
    for each in threads:
        each.join()
    assert valid(served, ADA) == set()
    assert not any(signs_in(served, each) for each in seen)


def test_a_rotation_of_what_was_revoked_meanwhile_leaves_nothing(served: Served) -> None:
    class Slow(Tokens):
        def make(self, plan: Token) -> Any:
            issued = super().make(plan)
            served.tokens.revoke(plan_of.token.id)
            return issued

    plan_of = served.tokens.issue(ADA)
    slow = Slow(store=served.service.access, clock=now)
    with pytest.raises(Exception, match="was revoked meanwhile"):
        slow.rotate(plan_of.token.id)
    assert valid(served, ADA) == set()


def test_there_are_only_so_many(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_tokens, "AT_ONCE", 3)
    who = served.who(ADA)
    kept = [made(served, who)["token"]["id"] for _ in range(2)]
    heard = served.site.post(TOKENS, who, {})
    assert (heard.status, "revoke those that nobody uses" in heard.json["detail"]) == (409, True)
    assert served.site.post(f"{TOKENS}/{kept[0]}/rotation", who, {}).status == 409
    monkeypatch.setattr(own_tokens, "A_DAY", 3)
    assert served.site.post(f"{TOKENS}/{kept[0]}/removal", who).status == 200
    heard = served.site.post(TOKENS, who, {})
    assert (heard.status, "within a day" in heard.json["detail"]) == (409, True)


def test_a_secret_is_kept_and_logged_nowhere(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger(LOGGER).propagate = True
    who = served.who(ADA)
    first = made(served, who, name="n")
    rotated = served.site.post(f"{TOKENS}/{first['token']['id']}/rotation", who, {}).json
    secrets = [each["secret"][17:] for each in (first, rotated)]
    assert caplog.records
    for each in caplog.records:
        assert not any(secret in f"{each.getMessage()}{each.__dict__}" for secret in secrets)
    for path in served.vault.home.rglob("*"):
        data = path.read_bytes() if path.is_file() else b""
        assert not any(secret.encode() in data for secret in secrets), path
    # A path stands in logs of others: a secret is no name of a token there.
    heard = served.site.post(f"{TOKENS}/{first['secret']}/removal", who)
    assert heard.status == 400
    assert signs_in(served, first["secret"])


def test_when_a_token_ends_may_be_said(served: Served) -> None:
    end = now().replace(microsecond=0) + timedelta(days=7)
    told = made(served, served.who(ADA), expires=format_instant(end))
    assert told["token"]["expires"] == format_instant(end)


def test_nobody_known_makes_none(served: Served) -> None:
    for method, path in (
        ("GET", TOKENS),
        ("POST", TOKENS),
        ("POST", f"{TOKENS}/000000000000/removal"),
    ):
        assert served.site.ask(method, path).status == 401
    with pytest.raises(UnauthenticatedError):
        served.tokens.check("evt_x")


def test_who_signs_in_by_a_provider_makes_tokens_too(case: Case) -> None:
    """As whom the provider says they are, and with what limits a role gives: none of its own."""
    ola = case.site.people.enrol("ola", Identity("ola@example.org", "person", "oidc"), (), ())
    heard = case.site.post(TOKENS, ola, {"name": "laptop"})
    assert heard.status == 201, heard.data
    token = case.service.tokens.check(heard.json["secret"])
    assert (token.identity, token.kind, token.chains) == ("ola@example.org", "person", ())
    for name in ("agent:helper", "collector:edge"):
        who = case.site.people.enrol(name, Identity(name, "person", "oidc"), (), ())
        refused = case.site.post(TOKENS, who, {})
        assert code_of(refused) == (400, "malformed"), "whatever a provider calls a person"
