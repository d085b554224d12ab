"""The one who wants words changed: attestations, waivers and handovers that nobody made so."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from attacks.bundle_surgery import Bag, Case, History, Payload, detail, failures

from verify.bundle import link_path
from verify.envelope import parse_envelope
from verify.report import Outcome, Verdict, render
from verify.trust import Step

ATTESTED, GRANTED, REVOKED = 4, 5, 8
"""The links of the story that become an attestation, a waiver and its revocation."""

GRACE = {"authenticated": "attested", "person": "Grace Hopper"}
FREEZE: Payload = {
    "approved_by": GRACE,
    "attestation": "freeze",
    "exhibits": ["EV-0001"],
    "fields": {"at": "2026-03-02T09:10:00Z", "systems": ["crm"]},
    "statement": "tokens revoked",
}
WAIVER: Payload = {
    "approved_by": GRACE,
    "compensating": ["EV-0003"],
    "conditions": ["C2.models"],
    "event": "granted",
    "exhibits": ["EV-0001"],
    "owner": "Head of Platform",
    "reason": "the provider keeps no versions",
    "requester": "Linus",
    "scope": ["crm"],
    "valid_from": "2026-03-02T09:00:00Z",
    "valid_to": "2027-03-02T09:00:00Z",
    "waiver": "W-0001",
}
REVOCATION: Payload = {"event": "revoked", "reason": "answered", "waiver": "W-0001"}
GIVEN: Payload = {
    "at": "2026-03-02T09:10:00Z",
    "event": "assigned",
    "person": "Ada",
    "role": "incident_commander",
}
UPDATE: Payload = {
    "at": "2026-03-02T10:00:00Z",
    "channel": None,
    "containment": "contained",
    "event": "updated",
    "exhibits": [],
    "next_steps": "watch",
    "note": None,
}


def said(case: Case) -> History:
    """The second export of a true story: something was attested, waived, and the waiver revoked."""
    history = case.history(Bag.of(case.second))
    # The capture of EV-0005 gives way to the revocation, and the export knows four exhibits.
    history.body(10)["included"].remove("EV-0005")
    for path in [path for path in history.bag.files if "EV-0005" in path]:
        del history.bag.files[path]
    history.state(ATTESTED, "attestation", FREEZE)
    history.state(GRANTED, "waiver", WAIVER)
    history.state(REVOKED, "waiver", REVOCATION)
    return history


@pytest.fixture
def bag(case: Case) -> Bag:
    """That export as it was handed out."""
    return said(case).seal(since=ATTESTED)


def test_a_true_story_passes_and_says_what_an_approval_is(
    case: Case, bag: Bag, altered: Path
) -> None:
    """The control of all tests below."""
    report = case.audit(bag.write(altered))
    assert report.verdict == Verdict.PASSED
    assert (
        "who approved a waiver or an attestation (link 4, 5) is the word of who recorded it: "
        "attested, not authenticated" in report.notes
    )
    assert "authenticated by" not in render(report, trust="trust.json")
    assert all("waiver" not in note for note in case.audit(case.second).notes)


# -- an outsider, who has no keys ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("link", "old", "new"),
    [
        (ATTESTED, b"09:10:00Z", b"09:01:00Z"),
        (ATTESTED, b'"systems":["crm"]', b'"systems":["erp"]'),
        (ATTESTED, b"tokens revoked", b"tokens remain."),
        (ATTESTED, b"Grace Hopper", b"Alice Hopper"),
        (ATTESTED, b'"attestation":"freeze"', b'"attestation":"notice"'),
        (GRANTED, b"C2.models", b"C4.models"),
        (GRANTED, b"2027-03-02", b"2037-03-02"),
        (GRANTED, b'"scope":["crm"]', b'"scope":[]     '),
        (GRANTED, b"Head of Platform", b"Head of Security"),
        (REVOKED, b"W-0001", b"W-0002"),
        (REVOKED, b'"event":"revoked"', b'"event":"granted"'),
    ],
)
def test_an_edited_statement_is_reported(
    case: Case, bag: Bag, altered: Path, link: int, old: bytes, new: bytes
) -> None:
    envelope = parse_envelope(bag.files[link_path(link)], where="")
    assert envelope.payload.count(old) == 1
    changed = type(envelope)(
        envelope.payload.replace(old, new), envelope.key_id, envelope.signature
    )
    bag.files[link_path(link)] = changed.encode()
    report = case.audit(bag.mend().write(altered))
    assert detail(report, "signatures", f"link {link}") == "the signature does not verify"
    assert report.exit_code == 1


@pytest.mark.parametrize("link", [ATTESTED, GRANTED, REVOKED])
def test_a_statement_dropped_from_the_bundle_is_reported(
    case: Case, bag: Bag, altered: Path, link: int
) -> None:
    del bag.files[link_path(link)]
    report = case.audit(bag.mend().write(altered))
    assert detail(report, "chain", f"link {link}") == "is absent"
    assert report.exit_code == 1


def test_a_revocation_put_before_its_waiver_is_reported(
    case: Case, bag: Bag, altered: Path
) -> None:
    report = case.audit(bag.swap(link_path(GRANTED), link_path(REVOKED)).mend().write(altered))
    assert {("chain", f"link {GRANTED}"), ("chain", f"link {REVOKED}")} <= set(failures(report))
    assert report.exit_code == 1


@pytest.mark.parametrize("link", [ATTESTED, GRANTED, REVOKED])
def test_no_flipped_bit_passes(case: Case, bag: Bag, altered: Path, link: int) -> None:
    source = random.Random(link)
    path, true = link_path(link), bag.files[link_path(link)]
    for _ in range(40):
        data = bytearray(true)
        data[source.randrange(len(data))] ^= 1 << source.randrange(8)
        bag.files[path] = bytes(data)
        report = case.audit(bag.mend().write(altered))
        assert (report.verdict, report.exit_code) == (Verdict.FAILED, 1)


# -- the vault itself, with all keys and a log of its own making ----------------------------------


def to(link: int, kind: str, body: Payload, **changes: object) -> Callable[[History], None]:
    return lambda history: history.state(link, kind, {**body, **changes})


def fields(**changes: object) -> Payload:
    return {**FREEZE, "fields": {**FREEZE["fields"], **changes}}


def approved_by_the_actor(history: History) -> None:
    history.predicate(GRANTED)["actor"]["claimed_name"] = "grace hopper"


def compensation_is_no_subject(history: History) -> None:
    history.payloads[GRANTED]["subject"].pop()


def exhibit_of_other_bytes(history: History) -> None:
    history.payloads[ATTESTED]["subject"][0]["digest"]["sha256"] = "00" * 32


def revoked_twice(history: History) -> None:
    history.state(ATTESTED, "waiver", WAIVER)
    history.state(GRANTED, "waiver", REVOCATION)


def taken_by_nobody(history: History) -> None:
    history.state(ATTESTED, "incident", GIVEN)
    history.state(GRANTED, "incident", {**GIVEN, "event": "accepted", "person": "Grace"})


def waived_after_the_seal(history: History) -> None:
    history.state(ATTESTED, "seal", {"exhibits": 4, "reason": None})


LIES = [
    (to(GRANTED, "waiver", WAIVER, conditions=["*"]), GRANTED, "names no condition like C2.models"),
    (to(GRANTED, "waiver", WAIVER, conditions=["C2.*"]), GRANTED, "a whole item or a wildcard"),
    (to(GRANTED, "waiver", WAIVER, conditions=["C2"]), GRANTED, "a whole item or a wildcard"),
    (to(GRANTED, "waiver", WAIVER, conditions=[]), GRANTED, "expected 1 or more different ones"),
    (to(GRANTED, "waiver", WAIVER, items=["C2"]), GRANTED, "unknown field 'items'"),
    (to(GRANTED, "waiver", WAIVER, requester="Grace Hopper"), GRANTED, "takes a second person"),
    (approved_by_the_actor, GRANTED, "it takes a second person"),
    (to(GRANTED, "waiver", WAIVER, approved_by=None), GRANTED, "expected a JSON object"),
    (to(GRANTED, "waiver", WAIVER, exhibits=[]), GRANTED, "names the exhibit that shows it"),
    (to(GRANTED, "waiver", WAIVER, exhibits=["EV-0005"]), GRANTED, "there is no exhibit EV-0005"),
    (to(GRANTED, "waiver", WAIVER, compensating=["EV-0005"]), GRANTED, "no exhibit EV-0005"),
    (to(GRANTED, "waiver", WAIVER, valid_to="2026-03-02T08:00:00Z"), GRANTED, "not after it start"),
    (to(GRANTED, "waiver", WAIVER, waiver="W-0002"), GRANTED, "expected waiver W-0001"),
    (to(REVOKED, "waiver", WAIVER), REVOKED, "expected waiver W-0002, found W-0001"),
    (to(REVOKED, "waiver", REVOCATION, waiver="W-0002"), REVOKED, "no waiver W-0002 was granted"),
    (revoked_twice, REVOKED, "waiver W-0001 is revoked already"),
    (compensation_is_no_subject, GRANTED, "its subjects are not what its body speaks of"),
    (waived_after_the_seal, GRANTED, "a waiver may not follow the seal"),
    (to(ATTESTED, "attestation", fields(colour="red")), ATTESTED, "freeze has no field 'colour'"),
    (to(ATTESTED, "attestation", fields(at="09:10")), ATTESTED, "expected a UTC time"),
    (to(ATTESTED, "attestation", fields(systems="crm")), ATTESTED, "expected a list"),
    (to(ATTESTED, "attestation", FREEZE, fields={}), ATTESTED, "field 'at' is missing"),
    (to(ATTESTED, "attestation", FREEZE, exhibits=["EV-0009"]), ATTESTED, "no exhibit EV-0009"),
    (to(ATTESTED, "attestation", FREEZE, exhibits=[]), ATTESTED, "names the exhibit that shows it"),
    (to(ATTESTED, "attestation", FREEZE, attestation="pardon"), ATTESTED, "'pardon' is none of"),
    (exhibit_of_other_bytes, ATTESTED, "its subjects are not what its body speaks of"),
    (to(ATTESTED, "incident", {**GIVEN, "event": "accepted"}), ATTESTED, "was not given to Ada"),
    (taken_by_nobody, GRANTED, "incident_commander was not given to Grace"),
    (to(ATTESTED, "incident", UPDATE, containment="mostly"), ATTESTED, "'mostly' is none of"),
    (to(ATTESTED, "incident", UPDATE, next_steps=" "), ATTESTED, "says nothing"),
]


@pytest.mark.parametrize(("change", "link", "reason"), LIES)
def test_a_lie_that_the_vault_itself_signs_and_logs_is_reported(
    case: Case, altered: Path, change: Callable[[History], None], link: int, reason: str
) -> None:
    history = said(case)
    change(history)
    report = case.audit(history.seal().write(altered))
    assert reason in detail(report, "chain", f"link {link}")
    assert report.exit_code == 1
    assert report.outcome_of(Step.SIGNATURES) == Outcome.PASSED
    assert report.outcome_of(Step.LOG) == Outcome.PASSED


@pytest.mark.parametrize("link", [ATTESTED, GRANTED])
@pytest.mark.parametrize("claim", ["authenticated", "oidc https://id.example.org", "Attested"])
def test_an_approval_that_claims_more_than_attested_never_passes(
    case: Case, altered: Path, claim: str, link: int
) -> None:
    history = said(case)
    history.body(link)["approved_by"]["authenticated"] = claim
    report = case.audit(history.seal().write(altered))
    assert report.outcome_of(Step.CHAIN) == Outcome.NOT_CHECKED
    assert (report.failures(), report.verdict) == ([], Verdict.INCONCLUSIVE)


def test_a_history_rewritten_without_its_waiver_passes_but_not_beside_what_was_handed_out(
    case: Case, bag: Bag, altered: Path, tmp_path: Path
) -> None:
    """The owner's own limit: whoever kept the earlier bundle holds the proof against it."""
    before = bag.write(tmp_path / "before.zip")
    history = said(case)
    history.state(GRANTED, "incident", GIVEN)
    history.state(REVOKED, "incident", UPDATE)
    rewritten = history.seal(since=ATTESTED).write(altered)
    assert case.audit(rewritten).verdict == Verdict.PASSED
    report = case.audit(rewritten, seen_files=[before])
    assert report.verdict == Verdict.FAILED
    assert "split view" in " ".join(finding.detail for finding in report.failures(Step.SEEN))
