"""Incidents over HTTP: declared, read, changed; and chains as the bytes that were sealed."""

from __future__ import annotations

from asked_over_http import DECLARED, declare
from cli_support import check
from serving import Site

from vault.access import VaultRole
from vault.opened import Vault
from verify.chain import open_manifest
from verify.checkpoint import open_checkpoint, parse_tlog_proof
from verify.envelope import ManifestKey


def test_who_declares_is_the_actor_of_the_link(site: Site, vault: Vault) -> None:
    name = declare(site)
    actor = vault.incidents.read(name).manifests[0].statement.actor
    assert (actor.id, actor.kind, actor.authenticated) == ("ida", "person", "token")


def test_without_a_token_nothing_is_told(site: Site) -> None:
    heard = site.get("/v1/incidents")
    assert heard.status == 401
    assert heard.headers["WWW-Authenticate"].startswith("Bearer")
    assert heard.headers["Content-Type"] == "application/problem+json"


def test_absent_and_forbidden_look_alike(site: Site) -> None:
    name = declare(site)
    other = site.people.add("otto", VaultRole.LEGAL, chains=("INC-2026-0099",))
    hidden = site.get(f"/v1/incidents/{name}", other)
    absent = site.get("/v1/incidents/INC-2026-0077", other)
    assert (hidden.status, absent.status) == (404, 404)
    assert hidden.json["detail"].replace(name, "X") == absent.json["detail"].replace(
        "INC-2026-0077", "X"
    )
    assert site.get("/v1/incidents", other).json == {"items": [], "next": None}


def test_a_role_that_may_not_is_told_so(site: Site) -> None:
    name = declare(site)
    comms = site.people.add("cleo", VaultRole.COMMS_LEAD)
    heard = site.post(f"/v1/incidents/{name}/phases", comms, {"phase": "contained"})
    assert heard.status == 403
    assert heard.json["type"] == "urn:evidence-vault:problem:not_permitted"


def test_a_change_against_a_state_that_is_gone_is_refused(site: Site) -> None:
    name = declare(site)
    who = {"Authorization": "Bearer secret-ida"}
    read = site.get(f"/v1/incidents/{name}", who)
    body = {"severity": "sev2", "reason": "one mailbox"}
    first = site.post(f"/v1/incidents/{name}/amendments", who, body, If_Match=read.headers["ETag"])
    again = site.post(
        f"/v1/incidents/{name}/amendments",
        who,
        {**body, "severity": "sev3"},
        If_Match=read.headers["ETag"],
    )
    assert (first.status, again.status) == (201, 412)
    assert site.get(f"/v1/incidents/{name}", who).json["declared"]["severity"] == "sev2"


def test_manifests_are_the_sealed_bytes_and_prove_themselves(site: Site, vault: Vault) -> None:
    name = declare(site)
    who = {"Authorization": "Bearer secret-ida"}
    (item,) = site.get(f"/v1/chains/{name}/manifests", who).json["items"]
    stored = site.get(f"/v1/chains/{name}/manifests/0", who).data
    assert item["envelope"].encode() == stored
    key = ManifestKey(vault.foundation.signer.public)
    assert open_manifest(stored, (key,), where="link 0").leaf == item["leaf_hash"]
    proof = parse_tlog_proof(site.get(f"/v1/chains/{name}/manifests/0/proof", who).data)
    assert proof.index == item["index"]
    newest = open_checkpoint(site.get("/v1/log/checkpoint").data, vault.trust.log)
    assert newest.head.size == item["index"] + 1


def test_pages_lead_on_to_the_end_and_no_further(site: Site) -> None:
    name = declare(site)
    who = {"Authorization": "Bearer secret-ida"}
    for phase in ("triaged", "contained"):
        site.post(f"/v1/incidents/{name}/phases", who, {"phase": phase})
    read, cursor = [], ""
    while True:
        page = site.get(f"/v1/chains/{name}/manifests?limit=2{cursor}", who).json
        read += [each["sequence"] for each in page["items"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert read == [0, 1, 2]


def test_a_body_that_is_too_large_is_cut_off(site: Site) -> None:
    who = site.people.add("ida", VaultRole.INCIDENT_COMMANDER)
    heard = site.post("/v1/incidents", who, {**DECLARED, "title": "x" * (2 << 20)})
    assert heard.status == 413


def test_a_body_with_a_member_too_many_is_refused(site: Site) -> None:
    who = site.people.add("ida", VaultRole.INCIDENT_COMMANDER)
    heard = site.post("/v1/incidents", who, {**DECLARED, "mood": "bad"})
    assert (heard.status, "mood" in heard.json["detail"]) == (400, True)


def test_an_index_that_no_log_can_have_is_refused_and_breaks_nothing(site: Site) -> None:
    declare(site)
    for index, status in ((0, 200), (1, 404), (2**63 - 2, 404), (2**63 - 1, 400), (-1, 400)):
        assert site.get(f"/v1/log/proof?index={index}").status == status, index
    for older, status in ((0, 400), (1, 200), (2, 422), (2**63 - 1, 400)):
        assert site.get(f"/v1/log/consistency?older={older}").status == status, older


def test_a_person_accepts_their_own_role_and_nobody_elses(site: Site, vault: Vault) -> None:
    name = declare(site)
    ida = site.people.add("ida", VaultRole.INCIDENT_COMMANDER)
    cleo = site.people.add("cleo@corp.example", VaultRole.COMMS_LEAD)
    like = site.people.add("cleo@elsewhere.example", VaultRole.COMMS_LEAD)
    path = f"/v1/incidents/{name}/roles"
    own = f"{path}/comms_lead/acceptance"
    early = site.post(own, cleo, {})
    assert (early.status, "was not given to cleo" in early.json["detail"]) == (409, True)
    given = {"role": "comms_lead", "person": "cleo@corp.example", "at": "2026-03-01T09:15:00Z"}
    assert site.post(path, ida, given).status == 201
    before = vault.incidents.read(name).incident.sequence
    for who in (ida, like):
        assert site.post(own, who, {}).status == 409
    assert site.post(own, cleo, {"person": "ida"}).status in (400, 422), "nobody is named"
    assert site.post(f"{path}/forensics_lead/acceptance", cleo, {}).status == 409
    assert vault.incidents.read(name).incident.sequence == before
    heard = site.post(own, cleo, {"at": "2026-03-01T09:16:00Z"})
    assert heard.status == 201, heard.data
    check("incident-act", heard.json)
    statement = vault.incidents.read(name).manifests[-1].statement
    assert statement.actor.id == "cleo@corp.example"
    told = {each: statement.body[each] for each in ("event", "role", "person", "at")}
    assert told == {
        "event": "accepted",
        "role": "comms_lead",
        "person": "cleo@corp.example",
        "at": "2026-03-01T09:16:00Z",
    }
    assert site.post(own, cleo, {}).status == 409, "once"
    other = site.post(path, cleo, {**given, "event": "accepted"})
    assert other.status == 403, "what another did is said by who may declare"
