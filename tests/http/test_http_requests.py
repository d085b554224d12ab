"""What takes two people over HTTP: one asks, another approves, and both were authenticated."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from case_served import INCIDENT, STREAM, Case
from cli_support import check, run
from serving import Heard

from vault.access import VaultRole
from vault.ports import IdentityKind, RequestState
from verify.collection import public_key_of
from verify.grant import GrantedRole

AT = f"/v1/incidents/{INCIDENT}"
RELEASES = f"{AT}/holds/releases"
RELEASE = {"matter": "M-1", "reason": "the claim was withdrawn"}
END = "2040-01-01T00:00Z"
WAIVER = {"conditions": ["C2.models"], "reason": "no such log", "owner": "Ada", "until": END}
NOT_APPLICABLE = {"type": "not_applicable", "fields": {"item": "C5", "reason": "nothing changed"}}


@pytest.fixture
def held(case: Case) -> Case:
    """That home, in which a matter holds the incident and the stream."""
    for chain in (INCIDENT, STREAM):
        case.vault.retention.set_hold(chain, "M-1", "a claim", None)
    return case


def last(case: Case, chain: str = INCIDENT) -> Any:
    return case.vault.incidents.read(chain).manifests[-1].statement


def asked(case: Case, who: Any, path: str = RELEASES, body: Any = RELEASE) -> str:
    """A request that waits; where it stands."""
    heard = case.site.post(path, who, body)
    assert heard.status == 202, heard.data
    assert heard.json["state"] == "pending"
    where = heard.headers["Location"]
    assert where == f"/v1/requests/{heard.json['id']}"
    return str(where)


def code_of(heard: Heard) -> tuple[int, str]:
    return heard.status, heard.json["type"].rpartition(":")[2]


@pytest.mark.parametrize("chain", [INCIDENT, STREAM])
def test_a_hold_is_released_by_two_and_the_statement_names_both(held: Case, chain: str) -> None:
    lea, gus = held.who("lea", VaultRole.LEGAL), held.who("gus", VaultRole.GOVERNANCE_STEWARD)
    before = last(held, chain).link.sequence
    where = asked(held, lea, f"/v1/chains/{chain}/holds/releases")
    assert last(held, chain).link.sequence == before, "asking seals nothing"
    done = held.site.post(f"{where}/approval", gus)
    assert (done.status, done.json["state"]) == (200, "done"), done.data
    check("hold-release", done.json["result"])
    assert (done.json["result"]["live"], done.json["result"]["approval"]) == ([], "token")
    statement = last(held, chain)
    assert (statement.actor.id, statement.actor.authenticated) == ("lea", "token")
    assert statement.body["approved_by"] == {"authenticated": "token", "person": "gus"}
    assert statement.deposit == f"request-{done.json['id']}"
    kept = held.vault.retention.kept(held.vault.incidents.read(chain)).values()
    assert not any(each.held for each in kept)
    again = held.site.post(f"{where}/approval", gus)
    assert again.json == done.json
    assert last(held, chain).link.sequence == before + 1


def test_nobody_approves_what_they_asked_for_under_whatever_name(held: Case) -> None:
    where = asked(held, held.who("lea@example.org", *VaultRole))
    for name in ("lea@example.org", "LEA@example.org", "lea", "Lea@other.example"):
        heard = held.site.post(f"{where}/approval", held.who(name, *VaultRole))
        assert code_of(heard) == (409, "refused"), name
    assert held.vault.incidents.read(INCIDENT).state.live_holds


def test_approving_takes_the_role_for_it_on_that_chain(held: Case) -> None:
    where = asked(held, held.who("lea", VaultRole.LEGAL))
    for name, role in (("fay", VaultRole.FORENSICS_LEAD), ("ida", VaultRole.INCIDENT_COMMANDER)):
        heard = held.site.post(f"{where}/approval", held.who(name, role))
        assert code_of(heard) == (403, "not_permitted"), name
        assert held.site.get(where, held.who(name, role)).status == 200
    for who in (
        held.who("otto", VaultRole.LEGAL, chains=("INC-2026-0099",)),
        held.who("nils"),
        held.site.people.collector("edge", INCIDENT),
    ):
        for method, path in (("POST", "/approval"), ("POST", "/refusal"), ("GET", "")):
            body = {"reason": "r"} if method == "POST" else None
            heard = held.site.ask(method, f"{where}{path}", who, body)
            missing = held.site.ask(method, f"/v1/requests/01ARZ3NDEKTSV4RRFFQ69G5FAV{path}", who,
                                    body)  # fmt: skip
            assert (heard.status, missing.status) == (404, 404)
            hidden = heard.json["detail"].replace(where.rpartition("/")[2], "X")
            assert hidden == missing.json["detail"].replace("01ARZ3NDEKTSV4RRFFQ69G5FAV", "X")
        assert held.site.get("/v1/requests", who).json["items"] == []
    assert held.vault.incidents.read(INCIDENT).state.live_holds


def test_asking_takes_the_role_for_it_and_something_to_ask_for(held: Case) -> None:
    assert (
        held.site.post(RELEASES, held.who("fay", VaultRole.FORENSICS_LEAD), RELEASE).status == 403
    )
    lea = held.who("lea", VaultRole.LEGAL)
    for body, told in (
        ({**RELEASE, "matter": "M-2"}, "M-2"),
        ({**RELEASE, "exhibits": ["EV-0099"]}, "EV-0099"),
    ):
        heard = held.site.post(RELEASES, lea, body)
        assert (heard.status, told in heard.json["detail"]) == (404, True)
    for name in ("approved_by", "approver", "requester"):
        heard = held.site.post(RELEASES, lea, {**RELEASE, name: "gus"})
        assert (heard.status, name in heard.json["detail"]) == (400, True)
    assert held.site.get("/v1/requests", lea).json == {"items": [], "next": None}


def test_a_role_that_was_lost_since_no_longer_asks(held: Case) -> None:
    people = held.site.people
    where = asked(held, held.who("lea", VaultRole.LEGAL))
    people.grants[:] = [each for each in people.grants if each.person != "lea"]
    gus = held.who("gus", VaultRole.GOVERNANCE_STEWARD)
    assert held.site.post(f"{where}/approval", gus).status in (403, 404)
    assert held.site.get(where, gus).json["state"] == "failed"
    assert held.vault.incidents.read(INCIDENT).state.live_holds


def test_a_request_that_was_refused_or_expired_is_done_no_more(held: Case) -> None:
    lea, gus = held.who("lea", VaultRole.LEGAL), held.who("gus", VaultRole.GOVERNANCE_STEWARD)
    where = asked(held, lea)
    refused = held.site.post(f"{where}/refusal", gus, {"reason": "not yet"})
    assert (refused.json["state"], refused.json["approver"]) == ("refused", "gus")
    assert code_of(held.site.post(f"{where}/approval", gus)) == (409, "refused")
    taken_back = asked(held, lea)
    assert held.site.post(f"{taken_back}/refusal", lea, {"reason": "a slip"}).json["state"] == (
        "refused"
    )
    store = held.service.access
    known = store.request(where.rpartition("/")[2])
    assert known is not None
    long_ago = known.created - timedelta(days=2)
    old = replace(
        known, id=f"7{known.id[1:]}", created=long_ago, expires=long_ago + timedelta(days=1),
        state=RequestState.PENDING, approver=None, approver_authenticated=None, result=None,
    )  # fmt: skip
    store.add_request(old)
    late = f"/v1/requests/{old.id}"
    assert held.site.get(late, lea).json["state"] == "expired"
    assert code_of(held.site.post(f"{late}/approval", gus)) == (409, "refused")
    states = [each["state"] for each in held.site.get("/v1/requests", gus).json["items"]]
    assert states == ["expired", "refused", "refused"]
    assert held.vault.incidents.read(INCIDENT).state.live_holds


def test_two_approvers_at_once_release_once(held: Case) -> None:
    where = asked(held, held.who("lea", VaultRole.LEGAL))
    before = last(held).link.sequence
    heard: list[Heard] = []
    people = [held.who(f"steward-{each}", VaultRole.GOVERNANCE_STEWARD) for each in range(6)]
    threads = [
        threading.Thread(
            target=lambda who=who: heard.append(held.site.post(f"{where}/approval", who))
        )
        for who in people
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert {each.status for each in heard} <= {200, 409}
    assert held.site.get(where, people[0]).json["state"] == "done"
    assert last(held).link.sequence == before + 1


def test_a_waiver_begins_with_the_second_persons_yes(case: Case) -> None:
    fay, lea = case.who("fay", VaultRole.FORENSICS_LEAD), case.who("lea", VaultRole.LEGAL)
    where = asked(case, fay, f"{AT}/waivers", WAIVER)
    assert case.told("waive-list", "GET", f"{AT}/waivers", fay)["items"] == []
    done = case.site.post(f"{where}/approval", lea)
    assert done.status == 200, done.data
    check("waive", done.json["result"])
    waiver = done.json["result"]["waiver"]
    assert (waiver["requester"], waiver["approved_by"], waiver["state"]) == (
        "fay", {"authenticated": "token", "person": "lea"}, "live"
    )  # fmt: skip
    assert last(case).actor.id == "fay"


def test_what_cannot_be_waived_is_not_asked_for(case: Case) -> None:
    fay = case.who("fay", VaultRole.FORENSICS_LEAD)
    for change, status, code in (
        ({"conditions": ["C2"]}, 400, "unknown_condition"),
        ({"conditions": ["C9.none"]}, 400, "unknown_condition"),
        ({"conditions": []}, 400, "malformed"),
        ({"until": "2020-01-01T00:00Z"}, 409, "refused"),
        ({"until": "2040-01-01T00:00Z", "from": "2041-01-01T00:00Z"}, 409, "refused"),
        ({"exhibits": ["EV-0099"]}, 404, "not_found"),
        ({"requested_by": "Ada"}, 400, "malformed"),
    ):
        case.refused(status, code, "POST", f"{AT}/waivers", fay, {**WAIVER, **change})
    assert case.site.get("/v1/requests", fay).json["items"] == []


def test_that_an_item_does_not_apply_takes_a_second_person(case: Case) -> None:
    pia, lea = case.who("pia", VaultRole.POSTMORTEM_AUTHOR), case.who("lea", VaultRole.LEGAL)
    where = asked(case, pia, f"{AT}/attestations", NOT_APPLICABLE)
    done = case.site.post(f"{where}/approval", lea)
    assert done.status == 200, done.data
    check("attest", done.json["result"])
    assert last(case).actor.id == "pia"
    assert last(case).body["approved_by"] == {"authenticated": "token", "person": "lea"}
    body = {**NOT_APPLICABLE, "fields": {"item": "C99", "reason": "r"}}
    case.refused(400, "unknown_item", "POST", f"{AT}/attestations", pia, body)


def test_what_was_approved_and_cannot_be_done_any_more_is_told(case: Case) -> None:
    fay, lea = case.who("fay", VaultRole.FORENSICS_LEAD), case.who("lea", VaultRole.LEGAL)
    where = asked(case, fay, f"{AT}/waivers", WAIVER)
    case.vault.incidents.close(INCIDENT, "done")
    heard = case.site.post(f"{where}/approval", lea)
    assert code_of(heard) == (409, "refused")
    shown = case.site.get(where, lea).json
    assert (shown["state"], shown["result"]["code"]) == ("failed", "refused")


def test_a_bundle_with_such_approvals_verifies(held: Case) -> None:
    lea, gus = held.who("lea", VaultRole.LEGAL), held.who("gus", VaultRole.GOVERNANCE_STEWARD)
    assert held.site.post(f"{asked(held, lea)}/approval", gus).status == 200
    said = run("--home", held.vault.home, "verify", INCIDENT)
    assert said.code == 0, said.out


def test_requests_are_paged(held: Case) -> None:
    lea = held.who("lea", VaultRole.LEGAL)
    made = [asked(held, lea).rpartition("/")[2] for _ in range(3)]
    read, cursor = [], ""
    while True:
        page = held.site.get(f"/v1/requests?limit=2{cursor}", lea).json
        read += [each["id"] for each in page["items"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert read == made


def test_a_request_is_settled_in_the_store_not_in_the_process(held: Case) -> None:
    """Another process of the same vault sees what this one asked for."""
    where = asked(held, held.who("lea", VaultRole.LEGAL))
    found = held.service.access.request(where.rpartition("/")[2])
    assert found is not None
    assert (found.state, found.requester) == (RequestState.PENDING, "lea")


def test_grants_are_shown_whole_to_who_grants_and_to_others_their_own(case: Case) -> None:
    for person in ("ada", "bob"):
        case.vault.grants.grant(person, GrantedRole.LEGAL, [INCIDENT], reason="on call")
    steward = case.who("gus", VaultRole.GOVERNANCE_STEWARD)
    told = case.told("grant-list", "GET", "/v1/grants", steward)
    assert [each["person"] for each in told["items"]] == ["ada", "bob"]
    for who, seen in (
        (case.who("ada"), ["ada"]),
        (case.who("gil", VaultRole.GOVERNANCE_STEWARD, chains=(INCIDENT,)), []),
        (case.site.people.collector("bob", INCIDENT), []),
    ):
        told = case.told("grant-list", "GET", "/v1/grants", who)
        assert [each["person"] for each in told["items"]] == seen


def test_a_collector_that_is_removed_loses_its_tokens(case: Case) -> None:
    issued = case.service.tokens.issue(
        "collector:edge", kind=IdentityKind.COLLECTOR, chains=(STREAM,), name="spans"
    )
    example = case.site.get("/v1/openapi.json", case.who("pat", VaultRole.PLATFORM_ADMIN)).json
    key = example["components"]["schemas"]["CollectorBody"]["examples"][0]["key"]
    case.vault.collectors.add("edge", public_key_of(key.encode(), where="key"))
    told = case.told(
        "collector-remove", "POST", "/v1/collectors/edge/removal",
        case.who("pat", VaultRole.PLATFORM_ADMIN), {"reason": "stolen"},
    )  # fmt: skip
    assert told["tokens"] == [issued.token.id]
