"""Holds, retention, what people say, reports, streams, sweeps and collectors over HTTP."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from attestation_examples import FULL
from case_served import INCIDENT, STREAM, Case
from cli_support import check, run
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from serving import eventually

from vault.access import VaultRole
from vault.errors import UnavailableError
from vault.ports import RequestState
from vault.sweep import Sweeper
from verify.attestation import RULES, AttestationType
from verify.envelope import ManifestKey
from verify.instant import format_instant
from verify.statement import Actor, Type

AT = f"/v1/incidents/{INCIDENT}"
OF_STREAM = f"/v1/chains/{STREAM}"


def public_key() -> tuple[str, str]:
    """A new collector's public key: PEM, and base64 of its SPKI."""
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    pem = key.public_bytes(serialization.Encoding.PEM, spki).decode()
    return pem, base64.b64encode(key.public_bytes(serialization.Encoding.DER, spki)).decode()


@pytest.mark.parametrize("chain", [INCIDENT, STREAM])
def test_a_hold_binds_what_is_there_and_a_matter_holds_once(case: Case, chain: str) -> None:
    who = case.who("lea", VaultRole.LEGAL)
    path = f"/v1/chains/{chain}/holds"
    body = {"matter": "M-1", "reason": "a claim", "ordered_by": "Judge Ash"}
    told = case.told("hold-set", "POST", path, who, body)
    exhibits = {INCIDENT: 2, STREAM: 1}[chain]
    assert (told["incident"], told["counts"]["exhibits"]) == (chain, exhibits)
    assert told["receipt"]["sequence"] == case.last(chain).link.sequence
    assert case.last(chain).actor.id == "lea"
    case.refused(409, "refused", "POST", path, who, body)
    shown = case.told("hold-list", "GET", path, who)
    assert shown["counts"] == {"live": 1, "matters": 1, "released": 0}
    kept = case.told("retention-show", "GET", f"/v1/chains/{chain}/retention", who)
    assert [each["held"] for each in kept["items"]] == [True] * exhibits


def test_an_approver_in_a_body_is_refused_wherever_it_stands(case: Case) -> None:
    """Two persons are two who were authenticated: no body may name one of them."""
    who = case.who("eve", *VaultRole)
    sealed = case.last(INCIDENT).link.sequence
    for path, body in (
        ("holds", {"matter": "M", "reason": "r"}),
        ("attestations", {"type": "logging", "fields": {"at": "2026-03-01T09:00Z"}}),
        ("evidence/withdrawals", {"exhibits": ["EV-0001"], "reason": "r"}),
        ("retention/extensions", {"until": "2099-01-01T00:00Z", "reason": "r"}),
    ):
        for name in ("approved_by", "approver", "actor", "requested_by", "authenticated"):
            told = case.refused(
                400, "malformed", "POST", f"{AT}/{path}", who, {**body, name: "Grace"}
            )
            assert name in told
    assert case.last(INCIDENT).link.sequence == sealed


def test_retention_is_extended_and_never_shortened(case: Case) -> None:
    who = case.who("gus", VaultRole.GOVERNANCE_STEWARD)
    path = f"{AT}/retention/extensions"
    later = case.told(
        "retention-extend", "POST", path, who, {"until": "2090-01-01T00:00Z", "reason": "r"}
    )
    assert later["until"] == "2090-01-01T00:00:00Z"
    case.refused(409, "refused", "POST", path, who, {"until": "2089-01-01T00:00Z", "reason": "r"})
    told = case.refused(400, "malformed", "POST", path, who, {"until": "2095-01-01", "reason": "r"})
    assert "is not a time" in told
    shown = case.told("retention-show", "GET", f"{AT}/retention", who)
    assert shown["retained_until"] == "2090-01-01T00:00:00Z"
    assert [each["exhibit"] for each in shown["items"]] == ["EV-0001", "EV-0002"]
    policy = case.told("retention-show", "GET", "/v1/retention", who)
    assert (policy["incident"], policy["rules"]) == (None, shown["rules"])


@pytest.mark.parametrize(
    "type_", [each for each in AttestationType if not RULES[each].second_person]
)
def test_each_type_of_attestation_is_sealed_as_it_was_said(case: Case, type_: str) -> None:
    who = case.who("rea", VaultRole.REMEDIATION_LEAD)
    fields = FULL[type_]
    body = {"type": type_, "fields": fields, "exhibits": ["EV-0001"], "statement": "so it was"}
    told = case.told("attest", "POST", f"{AT}/attestations", who, body)
    assert told["attestation"]["fields"] == fields
    statement = case.last(INCIDENT)
    assert (statement.type, statement.actor.id) == (Type.ATTESTATION, "rea")
    assert statement.body["fields"] == fields
    assert statement.body["approved_by"] is None


def test_what_an_attestation_cannot_say_is_named_and_nothing_is_sealed(case: Case) -> None:
    who = case.who("rea", VaultRole.REMEDIATION_LEAD)
    before = case.last(INCIDENT).link.sequence
    at = "2026-03-01T09:00Z"
    for fields, type_, status, code, named in (
        ({"at": at, "mood": "bad"}, "logging", 400, "malformed", "mood"),
        ({"at": at}, "logging", 400, "malformed", "enhanced"),
        ({"at": at, "enhanced": ["on"]}, "logging", 400, "malformed", "enhanced"),
        ({"at": "9 o'clock", "enhanced": "on"}, "logging", 400, "malformed", "is not a time"),
        ({"at": at, "systems": [at] * 2, "principals": "p"}, "freeze", 400, "malformed",
         "principals"),
        ({"conflict": "C2.mood", "believed": "EV-0001", "reason": "r"}, "finding", 400,
         "unknown_condition", "C2.mood"),
        ({"at": at, "person": "Ada", "alert": "EV-0009"}, "acknowledgement", 404, "not_found",
         "EV-0009"),
    ):  # fmt: skip
        told = case.refused(
            status, code, "POST", f"{AT}/attestations", who, {"type": type_, "fields": fields}
        )
        assert named in told
    assert case.last(INCIDENT).link.sequence == before


def test_a_closed_incident_takes_no_more_statements(case: Case) -> None:
    case.vault.incidents.close(INCIDENT, "done")
    who = case.who("fay", VaultRole.FORENSICS_LEAD)
    body = {"type": "logging", "fields": {"at": "2026-03-01T09:00Z", "enhanced": "on"}}
    case.refused(409, "refused", "POST", f"{AT}/attestations", who, body)
    hold = {"matter": "M", "reason": "r"}
    case.told("hold-set", "POST", f"{AT}/holds", who, hold)  # a hold may come at any time


def test_a_waiver_is_revoked_once_and_by_who_may_approve_one(case: Case) -> None:
    said = run(
        "--home", case.vault.home, "waive", "grant", INCIDENT, "C2.models", "--reason", "r",
        "--owner", "Ada", "--approved-by", "Grace", "--exhibit", "EV-0001", "--until", "+2w",
    )  # fmt: skip
    assert said.code == 0, said.err
    fay, lea = case.who("fay", VaultRole.FORENSICS_LEAD), case.who("lea", VaultRole.LEGAL)
    shown = case.told("waive-list", "GET", f"{AT}/waivers", fay)
    assert [each["waiver"] for each in shown["items"]] == ["W-0001"]
    path, body = f"{AT}/waivers/W-0001/revocation", {"reason": "no more"}
    case.refused(403, "not_permitted", "POST", path, fay, body)
    assert case.told("waive", "POST", path, lea, body)["waiver"]["state"] == "revoked"
    case.refused(409, "refused", "POST", path, lea, body)
    case.refused(404, "not_found", "POST", f"{AT}/waivers/W-0002/revocation", lea, body)


def test_the_checklist_is_that_of_the_command_line(case: Case) -> None:
    who = case.who("pia", VaultRole.POSTMORTEM_AUTHOR)
    moment = "2026-06-01T00:00:00Z"
    told = case.told("checklist", "GET", f"{AT}/checklist?as_of={moment}&at_sequence=0", who)
    said = run(
        "--home", case.vault.home, "checklist", INCIDENT, "--as-of", moment, "--at-sequence", 0,
        "--json",
    )  # fmt: skip
    assert told == said.json
    case.refused(404, "not_found", "GET", f"{AT}/checklist?at_sequence=99", who, None)
    case.refused(400, "malformed", "GET", f"{AT}/checklist?as_of=yesterday", who, None)


def test_a_report_is_sealed_about_the_head_and_what_changed_is_told_since(case: Case) -> None:
    who = case.who("aki", VaultRole.AUDITOR)
    head = case.last(INCIDENT).link.sequence
    told = case.told("checklist", "POST", f"{AT}/assessments", who)
    assert (told["changes"], told["receipt"]["sequence"]) == (None, head + 1)
    assert case.last(INCIDENT).body["head"]["sequence"] == head
    again = case.told("checklist", "GET", f"{AT}/checklist", who)
    assert again["changes"]["sequence"] == head + 1


@pytest.mark.parametrize(
    ("what", "more"), [("withdrawals", {"reason": "r"}), ("classifications", {"kinds": ["ticket"]})]
)
def test_several_exhibits_are_corrected_by_one_link_all_or_none(
    case: Case, what: str, more: dict[str, Any]
) -> None:
    who = case.who("fay", VaultRole.FORENSICS_LEAD)
    before = case.last(INCIDENT).link.sequence
    where = f"{AT}/evidence/{what}"
    case.refused(404, "not_found", "POST", where, who, {"exhibits": ["EV-0001", "EV-0009"], **more})
    case.refused(400, "malformed", "POST", where, who, {"exhibits": [], **more})
    assert case.last(INCIDENT).link.sequence == before
    body = {"exhibits": ["EV-0001", "EV-0002", "EV-0001"], **more}
    told = case.told("evidence-correct", "POST", where, who, body)
    assert told["receipt"]["sequence"] == before + 1
    assert case.last(INCIDENT).body["exhibits"] == ["EV-0001", "EV-0002"]


def test_custody_is_told_by_exhibit_and_by_person(case: Case) -> None:
    who = case.who("fay", VaultRole.FORENSICS_LEAD)
    body = {"exhibits": ["EV-0002"], "reason": "of another case"}
    case.told("evidence-correct", "POST", f"{AT}/evidence/withdrawals", who, body)
    body = {"exhibits": ["EV-0001"], "kinds": ["ticket", "ticket", "approval"]}
    case.told("evidence-correct", "POST", f"{AT}/evidence/classifications", who, body)
    hers = case.told("custody", "GET", f"{AT}/custody?person=fay", who)["items"]
    assert [each["event"] for each in hers] == ["withdrawn", "classified"]
    of_it = case.told("custody", "GET", f"{AT}/custody?exhibit=EV-0002", who)["items"]
    assert [each["event"] for each in of_it] == ["captured", "withdrawn"]
    both = case.told("custody", "GET", f"{AT}/custody?exhibit=EV-0002&person=fay", who)["items"]
    assert both == [hers[0]]
    assert case.told("custody", "GET", f"{AT}/custody?person=fa", who)["items"] == []
    case.refused(404, "not_found", "GET", f"{AT}/custody?exhibit=EV-0003", who, None)
    exhibits = case.vault.incidents.read(INCIDENT).state.exhibits
    assert exhibits["EV-0001"].kinds == ("ticket", "approval")


def test_status_and_timeline_have_the_shape_of_the_command_line(case: Case) -> None:
    who = case.who("cleo", VaultRole.COMMS_LEAD)
    assert case.told("status", "GET", f"{AT}/status", who)["incident"] == INCIDENT
    drawn = case.told("timeline", "GET", f"{AT}/timeline", who)
    assert drawn["head"]["sequence"] == case.last(INCIDENT).link.sequence
    case.refused(404, "not_found", "GET", "/v1/incidents/INC-2026-9999/status", who, None)


def test_figures_are_of_what_the_asker_may_read_and_nothing_else(case: Case) -> None:
    said = run(
        "--home", case.vault.home, "incident", "declare", "--title", "Secret", "--severity",
        "sev1", "--tier", "1", "--system", "vpn", "--detected-at", "-1h",
    )  # fmt: skip
    other = said.out.split()[0]
    everyone = case.who("ida", VaultRole.INCIDENT_COMMANDER)
    one = case.who("otto", VaultRole.AUDITOR, chains=(INCIDENT,))
    nobody = case.who("nils")
    for who, incidents in ((everyone, 2), (one, 1), (nobody, 0)):
        assert case.told("metrics", "GET", "/v1/metrics", who)["counts"]["incidents"] == incidents
    assert other.encode() not in case.site.get("/v1/metrics", one).data
    case.refused(
        400, "malformed", "GET", "/v1/metrics?from=2026-03-02T00:00Z&to=2026-03-01T00:00Z", one,
        None,
    )  # fmt: skip
    later = case.told("metrics", "GET", "/v1/metrics?to=2020-01-01T00:00Z", everyone)
    assert later["counts"]["incidents"] == 0


def test_a_window_of_a_stream_is_brought_in_once_and_takes_the_right_on_both(case: Case) -> None:
    now = case.vault.clock()
    body = {
        "stream": STREAM,
        "from": format_instant(now - timedelta(hours=1)),
        "to": format_instant(now + timedelta(hours=1)),
    }
    path = f"{AT}/preservations"
    narrow = case.who("nan", VaultRole.FORENSICS_LEAD, chains=(INCIDENT,))
    hidden = case.refused(404, "not_found", "POST", path, narrow, body)
    absent = case.refused(404, "not_found", "POST", path, narrow, {**body, "stream": "stream:none"})
    assert hidden.replace(STREAM, "X") == absent.replace("stream:none", "X")
    reader = case.who("rob", VaultRole.AUDITOR, chains=(STREAM,))
    case.site.people.add("rob", VaultRole.FORENSICS_LEAD, chains=(INCIDENT,))
    case.refused(403, "not_permitted", "POST", path, reader, body)
    fay = case.who("fay", VaultRole.FORENSICS_LEAD)
    told = case.told("preserve", "POST", path, fay, body)
    assert [each["exhibit"] for each in told["items"]] == ["EV-0003"]
    again = case.told("preserve", "POST", path, fay, body)
    assert (again["items"], again["receipt"]) == ([], None)
    wrong = {**body, "from": body["to"], "to": body["from"]}
    case.refused(400, "malformed", "POST", path, fay, wrong)
    shown = case.told("stream-show", "GET", f"/v1/streams/{STREAM}", fay)
    assert shown["preserved"] == [{"incident": INCIDENT, "items": 1}]


def test_streams_are_listed_to_who_may_read_them(case: Case) -> None:
    for who, seen in (
        (case.who("aki", VaultRole.AUDITOR), [STREAM]),
        (case.who("otto", VaultRole.AUDITOR, chains=(INCIDENT,)), []),
    ):
        items = case.site.get("/v1/streams", who).json["items"]
        assert [each["stream"] for each in items] == seen
    edge = case.site.people.collector("edge", STREAM)
    case.refused(403, "not_permitted", "GET", "/v1/streams", edge, None)
    case.refused(
        409, "refused", "GET", f"/v1/streams/{INCIDENT}", case.who("aki", VaultRole.AUDITOR), None
    )


def swept(case: Case, who: Mapping[str, str], **body: Any) -> Any:
    """How a sweep that is begun stands at its end."""
    begun = case.site.post("/v1/sweeps", who, body)
    assert begun.status == 202, begun.data
    where = begun.headers["Location"]
    assert where == f"/v1/sweeps/{begun.json['id']}"
    eventually(lambda: case.site.get(where, who).json["state"] != "running")
    return case.site.get(where, who).json


def test_a_sweep_says_what_is_gone_and_is_sealed_with_who_asked(case: Case) -> None:
    who = case.who("aki", VaultRole.AUDITOR)
    told = swept(case, who)
    check("sweep", told["result"])
    assert (told["state"], told["requester"], told["failure"]) == ("done", "aki", None)
    assert told["receipt"]["deposit"] == f"sweep-{told['id']}"
    assert told["result"]["receipt"]["sequence"] == told["receipt"]["sequence"]
    assert (told["result"]["verdict"], told["depth"]) == ("passed", "bytes")
    for path in (case.vault.home / "store" / "artifacts").iterdir():
        path.chmod(0o600)
        path.unlink()
    told = swept(case, who, depth="bytes")["result"]
    assert told["verdict"] == "failed"
    assert told["counts"]["failed"] > 0
    listed = case.told("sweep", "GET", "/v1/sweeps", who)["items"]
    assert [each["failed"] > 0 for each in listed] == [False, True]
    assert {each["actor"].split(" ")[0] for each in listed} == {"aki"}
    assert case.site.get("/v1/requests", case.who("eve", *VaultRole)).json["items"] == []


def test_a_second_sweep_waits_for_nobody(case: Case) -> None:
    who = case.who("aki", VaultRole.AUDITOR)
    with case.vault.index.alone("sweep", patience=0) as alone:
        assert alone
        case.refused(409, "conflict", "POST", "/v1/sweeps", who, {})
    assert swept(case, who)["state"] == "done"
    case.refused(404, "not_found", "GET", "/v1/sweeps/01ARZ3NDEKTSV4RRFFQ69G5FAV", who, None)
    case.refused(404, "not_found", "GET", f"/v1/sweeps/{STREAM}", who, None)


def test_a_sweep_is_told_as_what_became_of_it_and_the_chain_decides(case: Case) -> None:
    who = case.who("aki", VaultRole.AUDITOR)
    sealed = swept(case, who)["id"]
    known = case.service.access.request(sealed)
    assert known is not None
    acting = case.vault.acting_as(Actor("aki", "person", "token", None))

    def noted(name: str, **changes: Any) -> Any:
        """A row as a process left it that is gone, or goes on."""
        row = replace(known, id=name, state=RequestState.APPROVED, result=None, **changes)
        case.service.access.add_request(row)
        return case.site.get(f"/v1/sweeps/{name}", who).json

    lost = noted("A1")
    assert (lost["state"], lost["result"], lost["receipt"]) == ("lost", None, None)
    assert "nothing was sealed" in lost["failure"]["detail"]
    with case.vault.index.alone("sweep", patience=0):
        assert case.site.get("/v1/sweeps/A1", who).json["state"] == "running"
    acting.sweeper.sweep("bytes", name="A1")  # it was sealed, and its process died then
    done = case.site.get("/v1/sweeps/A1", who).json
    assert (done["state"], done["result"], done["failure"]) == ("done", None, None)
    assert done["receipt"]["deposit"] == "sweep-A1"


def test_a_sweep_that_fails_or_is_stopped_says_why(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    who = case.who("aki", VaultRole.AUDITOR)
    with monkeypatch.context() as patched:
        patched.setattr(Sweeper, "claimed", _gone)
        told = swept(case, who)
    assert (told["state"], told["failure"]["code"]) == ("failed", "unavailable")
    assert told["failure"]["detail"] == "the store is gone"
    case.service.sweeps.close()
    told = swept(case, who, depth="bytes")
    assert (told["state"], told["receipt"]) == ("failed", None)
    assert "stopped before this was done" in told["failure"]["detail"]
    assert case.told("sweep", "GET", "/v1/sweeps", who)["items"] == []


def _gone(_sweeper: Sweeper) -> Any:
    raise UnavailableError("the store is gone")


def test_a_collector_is_let_in_by_pem_or_base64_and_the_trust_file_lists_it(case: Case) -> None:
    who = case.who("pat", VaultRole.PLATFORM_ADMIN)
    pem, spki = public_key()
    added = case.told("collector-add", "POST", "/v1/collectors", who, {"name": "edge", "key": pem})
    assert added["collector"]["listed"] is True
    again = case.told("collector-add", "POST", "/v1/collectors", who, {"name": "edge", "key": spki})
    assert again == {**added, "receipt": None}
    assert (added["token"], added["secret"], added["others"]) == (None, None, [])
    key = ManifestKey(base64.b64decode(spki))
    assert case.vault.collectors.keys()[0].spki == key.spki
    trust = case.site.get("/v1/trust", who).json
    assert trust["collector_keys"] == [spki]
    case.refused(
        409, "refused", "POST", "/v1/collectors", who, {"name": "edge", "key": public_key()[1]}
    )
    gone = case.told(
        "collector-remove", "POST", "/v1/collectors/edge/removal", who, {"reason": "stolen"}
    )
    assert (gone["collector"]["removed"], gone["collector"]["listed"]) == ("stolen", True)
    listed = case.told("collector-list", "GET", "/v1/collectors", who)
    assert listed["counts"] == {"delivering": 0, "removed": 1}
    case.refused(404, "not_found", "POST", "/v1/collectors/edge/removal", who, {"reason": "r"})


def test_what_is_no_collectors_key_is_refused(case: Case) -> None:
    who = case.who("pat", VaultRole.PLATFORM_ADMIN)
    curve = ec.generate_private_key(ec.SECP384R1()).public_key()
    private = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    wrong = curve.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    own = base64.b64encode(case.vault.foundation.signer.public).decode()
    for key, status, code, named in (
        ("nonsense", 400, "malformed", "no public key"),
        (private.decode(), 400, "malformed", "private key"),
        (wrong.decode(), 400, "malformed", "P-256"),
        (public_key()[1][:-8], 400, "malformed", "key"),
        (own, 409, "refused", "this vault's own"),
    ):
        told = case.refused(
            status, code, "POST", "/v1/collectors", who, {"name": "edge", "key": key}
        )
        assert named in told
        assert "PRIVATE" not in told
    body = {"name": "../edge", "key": public_key()[1]}
    case.refused(400, "malformed", "POST", "/v1/collectors", who, body)
    assert case.vault.collectors.all() == []


def test_a_trust_file_that_another_process_wrote_is_the_one_that_is_given(case: Case) -> None:
    pem, spki = public_key()
    path = case.vault.home.parent / "edge.pub"
    path.write_text(pem)
    said = run("--home", case.vault.home, "collector", "add", "edge", "--key", path)
    assert said.code == 0, said.err
    who = case.who("pat", VaultRole.PLATFORM_ADMIN)
    assert case.site.get("/v1/trust", who).json["collector_keys"] == [spki]
    listed = case.told("collector-list", "GET", "/v1/collectors", who)
    assert [each["listed"] for each in listed["items"]] == [True]


def test_a_severity_that_keeps_longer_reaches_the_store_at_once(case: Case) -> None:
    """The statement alone binds nobody who deletes: the locks must follow it."""
    who = case.who("ida", VaultRole.INCIDENT_COMMANDER)
    chain = case.vault.incidents.read(INCIDENT)
    stored = [stored for stored, _ in case.vault.retention.wanted(chain)]
    before = [case.vault.store.state(s.key, s.version_id).protection for s in stored]
    body = {"severity": "sev1", "reason": "worse than thought"}
    assert case.site.post(f"{AT}/amendments", who, body).status == 201
    after = [case.vault.store.state(s.key, s.version_id).protection for s in stored]
    assert list(case.vault.retention.drift(case.vault.incidents.read(INCIDENT))) == []
    # The policy keeps sev1 for seven years and sev2 for three.
    assert all(
        a.retain_until and b.retain_until and (a.retain_until - b.retain_until).days >= 1_460
        for a, b in zip(after, before, strict=True)
    )
    assert not list(case.vault.index.owing())


def test_the_vaults_own_chain_is_read_and_holds_no_evidence(case: Case) -> None:
    who = case.who("eve", *VaultRole)
    assert swept(case, who)["state"] == "done"
    assert case.site.get("/v1/chains/vault/manifests/0", who).status == 200
    assert case.site.get("/v1/chains/vault/manifests/0/proof", who).status == 200
    assert case.site.get("/v1/chains/vault/manifests/9", who).status == 404
    assert case.site.get("/v1/chains/vault/custody", who).status == 404
    hold = {"matter": "M", "reason": "r"}
    case.refused(403, "not_permitted", "POST", "/v1/chains/vault/holds", who, hold)
