"""What takes two people over HTTP: one asks, another approves, and both were authenticated."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from asked_over_http import changed
from case_served import INCIDENT, STREAM, Case
from cli_support import check, run
from serving import Heard

from vault.access import VaultRole
from vault.http.routes import exports
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
    before = held.last(chain).link.sequence
    where = asked(held, lea, f"/v1/chains/{chain}/holds/releases")
    assert held.last(chain).link.sequence == before, "asking seals nothing"
    done = held.site.post(f"{where}/approval", gus)
    assert (done.status, done.json["state"]) == (200, "done"), done.data
    check("hold-release", done.json["result"])
    assert (done.json["result"]["live"], done.json["result"]["approval"]) == ([], "token")
    statement = held.last(chain)
    assert (statement.actor.id, statement.actor.authenticated) == ("lea", "token")
    assert statement.body["approved_by"] == {"authenticated": "token", "person": "gus"}
    assert statement.deposit == f"request-{done.json['id']}"
    kept = held.vault.retention.kept(held.vault.incidents.read(chain)).values()
    assert not any(each.held for each in kept)
    again = held.site.post(f"{where}/approval", gus)
    assert again.json == done.json
    assert held.last(chain).link.sequence == before + 1


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
        known, id=f"00{known.id[2:]}", created=long_ago, expires=long_ago + timedelta(days=1),
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
    before = held.last().link.sequence
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
    assert held.last().link.sequence == before + 1


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
    assert case.last().actor.id == "fay"


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
    assert case.last().actor.id == "pia"
    assert case.last().body["approved_by"] == {"authenticated": "token", "person": "lea"}
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
    bodies = [{**RELEASE, "reason": f"reason {number}"} for number in range(3)]
    made = [asked(held, lea, RELEASES, each).rpartition("/")[2] for each in bodies]
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


EXPORTS = f"{AT}/exports/requests"
EXPORT = {"purpose": "audit of the third quarter", "recipient": "Harper & Voss"}


def audited(case: Case, data: bytes, folder: Path) -> subprocess.CompletedProcess[str]:
    """A bundle, held against the vault's trust by the verifier that stands alone."""
    (folder / "case.zip").write_bytes(data)
    (folder / "trust.json").write_bytes(case.vault.trust.data)
    return subprocess.run(
        [sys.executable, "-m", "verify", folder / "case.zip", "--trust", folder / "trust.json"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("role", [VaultRole.GOVERNANCE_STEWARD, VaultRole.AUDITOR])
def test_who_may_not_export_alone_does_so_with_a_second_person(
    case: Case, role: VaultRole, tmp_path: Path
) -> None:
    gus, lea = case.who("gus", role), case.who("lea", VaultRole.LEGAL)
    assert case.site.post(f"{AT}/exports", gus, EXPORT).status == 403
    where = asked(case, gus, EXPORTS, {**EXPORT, "withhold": {"EV-0002": "privileged"}})
    assert case.last().type != "export", "asking seals nothing of an export"
    done = case.site.post(f"{where}/approval", lea)
    assert (done.status, done.json["state"]) == (200, "done"), done.data
    made = done.json["result"]
    statement = case.last()
    assert (statement.type, statement.link.sequence) == ("export", made["sequence"])
    assert (statement.actor.id, statement.actor.authenticated) == ("gus", "token")
    assert statement.body["approval"] == {"authenticated": "token", "person": "lea"}
    assert (statement.body["purpose"], statement.body["recipient"]) == tuple(EXPORT.values())
    assert [each["exhibit"] for each in statement.body["withheld"]] == ["EV-0002"]
    assert made["counts"] == {"included": 1, "withdrawn": 0, "withheld": 1}
    got = case.site.get(f"{AT}/exports/{made['sequence']}", gus)
    assert (got.status, len(got.data)) == (200, made["size"])
    assert hashlib.sha256(got.data).hexdigest() == made["sha256"]
    assert case.last() == statement, "the export itself tells of who asked for it"
    said = audited(case, got.data, tmp_path)
    assert said.returncode == 0, said.stdout + said.stderr
    told = " ".join(said.stdout.split())
    assert f"who approved in link {made['sequence']} was authenticated by the vault" in told


def test_an_export_is_done_once_however_often_it_is_approved(case: Case) -> None:
    gus, lea = case.who("gus", VaultRole.AUDITOR), case.who("lea", VaultRole.LEGAL)
    where = asked(case, gus, EXPORTS, EXPORT)
    first = case.site.post(f"{where}/approval", lea)
    links = case.last().link.sequence
    for name in ("lea", "otto"):
        again = case.site.post(f"{where}/approval", case.who(name, VaultRole.LEGAL))
        assert again.json == first.json
    assert case.last().link.sequence == links


def test_nobody_approves_an_export_that_they_asked_for(case: Case) -> None:
    where = asked(case, case.who("gus@example.org", VaultRole.GOVERNANCE_STEWARD), EXPORTS, EXPORT)
    for name in ("gus@example.org", "GUS@example.org", "Gus@other.example"):
        heard = case.site.post(f"{where}/approval", case.who(name, *VaultRole))
        assert code_of(heard) == (409, "refused"), name
    for name, role in (("ann", VaultRole.AUDITOR), ("fay", VaultRole.FORENSICS_LEAD)):
        heard = case.site.post(f"{where}/approval", case.who(name, role))
        assert code_of(heard) == (403, "not_permitted"), name
    assert "export" not in {each.statement.type for each in manifests(case)}


def manifests(case: Case) -> Any:
    return case.vault.incidents.read(INCIDENT).manifests


def test_an_export_that_was_refused_expired_or_is_asked_for_no_more_is_not_made(
    case: Case,
) -> None:
    gus, lea = case.who("gus", VaultRole.AUDITOR), case.who("lea", VaultRole.LEGAL)
    refused, lost = (
        asked(case, gus, EXPORTS, {**EXPORT, "purpose": each}) for each in ("audit", "review")
    )
    assert case.site.post(f"{refused}/refusal", lea, {"reason": "too wide"}).status == 200
    store = case.service.access
    known = store.request(lost.rpartition("/")[2])
    assert known is not None
    begun = known.created - timedelta(days=2)
    old = replace(
        known, id=f"7{known.id[1:]}", created=begun, expires=begun + timedelta(days=1)
    )  # fmt: skip
    store.add_request(old)
    for where in (refused, f"/v1/requests/{old.id}"):
        assert code_of(case.site.post(f"{where}/approval", lea)) == (409, "refused")
    people = case.site.people
    people.grants[:] = [each for each in people.grants if each.person != "gus"]
    assert case.site.post(f"{lost}/approval", lea).status in (403, 404)
    assert case.site.get(lost, lea).json["state"] == "failed"
    assert "export" not in {each.statement.type for each in manifests(case)}


def test_an_export_that_makes_no_sense_is_not_asked_for(case: Case) -> None:
    gus = case.who("gus", VaultRole.AUDITOR)
    for change, status in (
        ({"withhold": {"EV-0099": "x"}}, 404),
        ({"withhold": {"EV-0001": " "}}, 400),
        ({"purpose": ""}, 400),
        ({"approval": {"authenticated": "token", "person": "lea"}}, 400),
        ({"approved_by": "lea"}, 400),
    ):
        assert case.site.post(EXPORTS, gus, {**EXPORT, **change}).status == status, change
    assert case.site.post(EXPORTS, case.who("lea", VaultRole.LEGAL), EXPORT).status == 403
    assert case.site.get("/v1/requests", gus).json["items"] == []


def test_a_bundle_is_fetched_by_who_asked_and_by_who_may_export(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    gus, lea = case.who("gus", VaultRole.AUDITOR), case.who("lea", VaultRole.LEGAL)
    done = case.site.post(f"{asked(case, gus, EXPORTS, EXPORT)}/approval", lea)
    bundle = f"{AT}/exports/{done.json['result']['sequence']}"
    links = len(manifests(case))
    assert case.site.get(bundle, gus).status == 200
    for name, roles in (
        ("gil", (VaultRole.GOVERNANCE_STEWARD,)),
        ("ann", (VaultRole.AUDITOR,)),
        ("cleo", (VaultRole.COMMS_LEAD,)),
    ):
        assert code_of(case.site.get(bundle, case.who(name, *roles))) == (403, "not_permitted")
    viewed = [each for each in manifests(case) if each.statement.body.get("event") == "viewed"]
    assert (viewed, len(manifests(case))) == ([], links + 3), "three refusals, and no reading"
    nils = case.who("nils", *VaultRole, chains=("INC-2026-0099",))
    absent = f"/v1/incidents/INC-2026-0098/exports/{done.json['result']['sequence']}"
    hidden, missing = case.site.get(bundle, nils), case.site.get(absent, nils)
    assert (hidden.status, missing.status) == (404, 404)
    assert hidden.json["detail"].replace(INCIDENT, "INC-2026-0098") == missing.json["detail"]
    # Who approved it may export, and is told of as any other reader.
    assert case.site.get(bundle, lea).status == 200
    assert (case.last().actor.id, case.last().body["event"]) == ("lea", "viewed")
    monkeypatch.setattr(exports, "OWN", timedelta(0))
    assert code_of(case.site.get(bundle, gus)) == (403, "not_permitted")


def test_who_lost_the_role_fetches_what_they_asked_for_no_more(case: Case) -> None:
    gus, lea = case.who("gus", VaultRole.AUDITOR), case.who("lea", VaultRole.LEGAL)
    done = case.site.post(f"{asked(case, gus, EXPORTS, EXPORT)}/approval", lea)
    bundle = f"{AT}/exports/{done.json['result']['sequence']}"
    people = case.site.people
    people.grants[:] = [each for each in people.grants if each.person != "gus"]
    assert case.site.get(bundle, gus).status == 404
    case.who("gus", VaultRole.COMMS_LEAD)
    assert code_of(case.site.get(bundle, gus)) == (403, "not_permitted")


def test_a_damaged_exhibit_fails_the_request_and_that_is_sealed(case: Case) -> None:
    gus, lea = case.who("gus", VaultRole.AUDITOR), case.who("lea", VaultRole.LEGAL)
    where = asked(case, gus, EXPORTS, EXPORT)
    with changed(case.vault, INCIDENT, 1):
        assert case.site.post(f"{where}/approval", lea).status >= 400
    assert case.site.get(where, gus).json["state"] == "failed"
    assert case.last().body["event"] == "export_failed"
