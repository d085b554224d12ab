"""The one who wants evidence gone: holds dropped, released by oneself, sweeps that never were."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attacks.bundle_surgery import Bag, Case, History, Payload, detail, failures, sign_payload

from cli.compose import open_vault
from cli.home import load_trust
from cli.settings import read_settings
from vault import layout
from vault.adapters.directory import DirectoryStore
from vault.deposit import Draft
from vault.log_audit import audit_log
from verify.__main__ import audit_bundle
from verify.bundle import link_path
from verify.envelope import parse_envelope
from verify.report import Outcome, Report, Verdict, render
from verify.retention import BUILT_IN
from verify.statement import Type
from verify.strictjson import dumps
from verify.trust import Step

SET, RELEASED, EXTENDED = 4, 5, 7
"""The links of the story that are made a hold, its release, and an extension."""

HOLD = {"event": "set", "matter": "Smith v. Jones", "ordered_by": "Legal", "reason": "served"}
RELEASE = {
    "approved_by": {"authenticated": "attested", "person": "Grace Hopper"},
    "event": "released",
    "exhibits": ["EV-0001"],
    "matter": "Smith v. Jones",
    "reason": "settled",
}
EXTENSION = {"event": "extended", "reason": "a clock runs", "until": "2040-01-01T00:00:00Z"}


def held(case: Case) -> History:
    """The second export of a true story: a hold was set, released, and retention extended."""
    history = case.history(Bag.of(case.second))
    history.state(SET, "hold", HOLD)
    history.state(RELEASED, "hold", RELEASE)
    history.state(EXTENDED, "hold", EXTENSION)
    return history


@pytest.fixture
def bag(case: Case) -> Bag:
    """That export as it was handed out."""
    return held(case).seal(since=SET)


def test_a_true_story_with_holds_passes_and_says_what_an_approval_is(
    case: Case, bag: Bag, altered: Path
) -> None:
    """The control of all tests below."""
    report = case.audit(bag.write(altered))
    assert report.verdict == Verdict.PASSED
    assert (
        "who approved the release of a hold (link 5) is the word of who asked for it: attested, "
        "not authenticated" in report.notes
    )
    assert "attested" in render(report, trust="trust.json")
    assert all("attested" not in note for note in case.audit(case.second).notes)


def test_an_approval_by_who_signed_in_passes_and_is_called_the_vaults_own_word(
    case: Case, altered: Path
) -> None:
    history = held(case)
    history.predicate(RELEASED)["actor"]["authenticated"] = "token"
    history.body(RELEASED)["approved_by"]["authenticated"] = "oidc"
    report = case.audit(history.seal().write(altered))
    assert failures(report) == []
    (note,) = [each for each in report.notes if "who approved" in each]
    assert note == (
        "who approved in link 5 was authenticated by the vault: its own word, as that of who asked"
    )


# -- an outsider, who has no keys ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("link", "old", "new"),
    [
        (SET, b"Smith v. Jones", b"Smith v. Janes"),
        (SET, b"served", b"waived"),
        (SET, b'"event":"set"', b'"event":"sot"'),
        (RELEASED, b"Grace Hopper", b"Alice Hopper"),
        (RELEASED, b"attested", b"verified"),
        (RELEASED, b'"exhibits":["EV-0001"]', b'"exhibits":["EV-0003"]'),
        (EXTENDED, b"2040-01-01", b"2020-01-01"),
        (EXTENDED, b"urn:evidence-vault:hold:v1", b"urn:evidence-vault:seal:v1"),
    ],
)
def test_an_edited_hold_is_reported(
    case: Case, bag: Bag, altered: Path, link: int, old: bytes, new: bytes
) -> None:
    envelope = parse_envelope(bag.files[link_path(link)], where="")
    assert envelope.payload.count(old) == 1
    changed = type(envelope)(
        envelope.payload.replace(old, new), envelope.key_id, envelope.signature
    )
    bag.files[link_path(link)] = changed.encode()
    report = case.audit(bag.mend().write(altered))
    assert ("signatures", f"link {link}") in failures(report)
    assert detail(report, "signatures", f"link {link}") == "the signature does not verify"
    assert report.exit_code == 1


@pytest.mark.parametrize("link", [SET, RELEASED, EXTENDED])
def test_a_hold_dropped_from_the_bundle_is_reported(
    case: Case, bag: Bag, altered: Path, link: int
) -> None:
    del bag.files[link_path(link)]
    report = case.audit(bag.mend().write(altered))
    assert detail(report, "chain", f"link {link}") == "is absent"
    assert report.exit_code == 1


def test_a_release_put_before_its_hold_is_reported(case: Case, bag: Bag, altered: Path) -> None:
    report = case.audit(bag.swap(link_path(SET), link_path(RELEASED)).mend().write(altered))
    assert {("chain", f"link {SET}"), ("chain", f"link {RELEASED}")} <= set(failures(report))
    assert report.exit_code == 1


@pytest.mark.parametrize("link", [SET, RELEASED, EXTENDED])
def test_no_flipped_bit_of_a_hold_passes(case: Case, bag: Bag, altered: Path, link: int) -> None:
    source = random.Random(link)
    path, true = link_path(link), bag.files[link_path(link)]
    for _ in range(40):
        data = bytearray(true)
        data[source.randrange(len(data))] ^= 1 << source.randrange(8)
        bag.files[path] = bytes(data)
        report = case.audit(bag.mend().write(altered))
        assert (report.verdict, report.exit_code) == (Verdict.FAILED, 1)
        assert {("signatures", f"link {link}"), ("log", "")} <= set(failures(report))


# -- the vault itself, with all keys and a log of its own making ----------------------------------


def to(link: int, body: Payload, kind: str = "hold") -> Callable[[History], None]:
    return lambda history: history.state(link, kind, body)


def without(name: str) -> Payload:
    return {key: value for key, value in RELEASE.items() if key != name}


def approved_by(person: str) -> Payload:
    return {**RELEASE, "approved_by": {"authenticated": "attested", "person": person}}


def approved_by_who_asks(history: History) -> None:
    history.predicate(RELEASED)["actor"]["id"] = "Ada@laptop"
    history.body(RELEASED)["approved_by"]["person"] = " ADA @ another-host"


def approved_by_one_who_was_never_authenticated(history: History) -> None:
    """A vault without accounts says that somebody signed in."""
    history.body(RELEASED)["approved_by"]["authenticated"] = "token"


def approved_by_a_claimed_name(history: History) -> None:
    history.predicate(RELEASED)["actor"]["claimed_name"] = "Grace  HOPPER"


def shown_by_a_foreign_subject(history: History) -> None:
    history.payloads[RELEASED]["subject"][0]["digest"]["sha256"] = "00" * 32


def shown_by_nothing_signed(history: History) -> None:
    history.payloads[RELEASED]["subject"] = history.payloads[SET]["subject"]


def never_set(history: History) -> None:
    history.state(SET, "hold", EXTENSION)


def shortened(history: History) -> None:
    history.state(RELEASED, "hold", EXTENSION)
    history.state(EXTENDED, "hold", {**EXTENSION, "until": "2039-12-31T00:00:00Z"})


SWEEP = {
    "checked": 7, "depth": "bytes", "failed": 0, "findings": [], "not_checked": 0,
    "started_at": "2026-03-02T09:00:00Z", "unclaimed": 0,
}  # fmt: skip

LIES = [
    (to(RELEASED, without("approved_by")), RELEASED, "field 'approved_by' is missing"),
    (to(RELEASED, {**RELEASE, "approved_by": None}), RELEASED, "expected a JSON object"),
    (approved_by_one_who_was_never_authenticated, RELEASED, "did not authenticate"),
    (to(RELEASED, {**RELEASE, "exhibits": []}), RELEASED, "names the exhibit that shows it"),
    (to(RELEASED, without("exhibits")), RELEASED, "field 'exhibits' is missing"),
    (to(RELEASED, {**RELEASE, "exhibits": ["EV-0005"]}), RELEASED, "there is no exhibit EV-0005"),
    (to(RELEASED, approved_by("")), RELEASED, "says nothing"),
    (to(RELEASED, approved_by("...")), RELEASED, "names nobody"),
    (approved_by_who_asks, RELEASED, "asks and approves; it takes a second person"),
    (approved_by_a_claimed_name, RELEASED, "asks and approves; it takes a second person"),
    (to(RELEASED, {**RELEASE, "matter": "Smith v. Janes"}), RELEASED, "no matter 'Smith v. Janes'"),
    (to(RELEASED, {**RELEASE, "reason": " "}), RELEASED, "says nothing"),
    (to(RELEASED, {**RELEASE, "later": 1}), RELEASED, "unknown field 'later'"),
    (to(RELEASED, HOLD), RELEASED, "holds this incident already"),
    (to(SET, {**HOLD, "event": "lifted"}), SET, "unknown event 'lifted'"),
    (to(SET, {**HOLD, "matter": ["Smith v. Jones"]}), SET, "expected text"),
    (never_set, RELEASED, "no matter 'Smith v. Jones' holds this incident"),
    (to(EXTENDED, RELEASE), EXTENDED, "no matter 'Smith v. Jones' holds this incident"),
    (shortened, EXTENDED, "retention is only ever extended"),
    (to(EXTENDED, {**EXTENSION, "until": "9999-01-01T00:00:00Z"}), EXTENDED, "at most 36,500"),
    (shown_by_a_foreign_subject, RELEASED, "its subjects are not what its body speaks of"),
    (shown_by_nothing_signed, RELEASED, "its subjects are not what its body speaks of"),
    (to(EXTENDED, SWEEP, "sweep"), EXTENDED, "a sweep belongs on the chain vault"),
    (to(EXTENDED, BUILT_IN.to_json(), "policy"), EXTENDED, "a policy belongs on the chain vault"),
    (to(EXTENDED, {"exhibits": 4, "reason": None, "lock": "governance"}, "seal"), EXTENDED,
     "asks for the lock compliance, or for none"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "link", "reason"), LIES)
def test_a_lie_about_holds_that_the_vault_itself_signs_and_logs_is_reported(
    case: Case, altered: Path, change: Callable[[History], None], link: int, reason: str
) -> None:
    history = held(case)
    change(history)
    report = case.audit(history.seal().write(altered))
    assert ("chain", f"link {link}") in failures(report)
    assert reason in detail(report, "chain", f"link {link}")
    assert report.exit_code == 1
    assert report.outcome_of(Step.SIGNATURES) == Outcome.PASSED
    assert report.outcome_of(Step.LOG) == Outcome.PASSED


@pytest.mark.parametrize("claim", ["authenticated", "oidc https://id.example.org", "Attested"])
def test_an_approval_that_claims_more_than_attested_never_passes(
    case: Case, altered: Path, claim: str
) -> None:
    """A later version may know such approvals; this one can neither judge nor pass them."""
    history = held(case)
    history.body(RELEASED)["approved_by"]["authenticated"] = claim
    report = case.audit(history.seal().write(altered))
    assert report.outcome_of(Step.CHAIN) == Outcome.NOT_CHECKED
    assert (report.failures(), report.verdict) == ([], Verdict.INCONCLUSIVE)


def test_a_history_rewritten_without_its_hold_passes_but_not_beside_what_was_handed_out(
    case: Case, bag: Bag, altered: Path, tmp_path: Path
) -> None:
    """The owner's own limit: whoever kept the earlier bundle holds the proof against it."""
    before = bag.write(tmp_path / "before.zip")
    rewritten = case.history(Bag.of(case.second)).seal(since=SET).write(altered)
    assert case.audit(rewritten).verdict == Verdict.PASSED
    report = case.audit(rewritten, seen_files=[before])
    assert report.verdict == Verdict.FAILED
    assert "split view" in " ".join(finding.detail for finding in report.failures(Step.SEEN))


def test_a_bundle_does_not_speak_for_the_store(case: Case, tmp_path: Path) -> None:
    """Whoever requires that evidence is locked does not get a pass from a bundle."""
    trust = json.loads(case.trust.read_bytes())
    trust["required"].append("store")
    trust_file = tmp_path / "trust.json"
    trust_file.write_bytes(dumps(trust))
    report = audit_bundle(case.second, trust_file=trust_file)
    assert report.outcome_of(Step.STORE) == Outcome.NOT_CHECKED
    assert report.verdict == Verdict.INCONCLUSIVE


# -- the vault's own chain, in its store ----------------------------------------------------------


@pytest.fixture(scope="session")
def swept(case: Case, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the story's home, in which a policy and a sweep were sealed."""
    home = tmp_path_factory.mktemp("swept") / "home"
    shutil.copytree(case.home, home)
    vault = open_vault(read_settings({}, home))
    try:
        for kind, body in ((Type.POLICY, BUILT_IN.to_json()), (Type.SWEEP, SWEEP)):
            draft = Draft(kind, body, f"d-{kind.value}")
            vault.door.deposit("vault", [draft.deposit], lambda _, draft=draft: [draft])
    finally:
        vault.close()
    return home


@pytest.fixture
def home(swept: Path, tmp_path: Path) -> Path:
    """A copy of it, to be altered."""
    return Path(shutil.copytree(swept, tmp_path / "home"))


POLICY, SWEPT = layout.manifest("vault", 0), layout.manifest("vault", 1)


def audited(home: Path) -> Report:
    return audit_log(DirectoryStore(home / "store"), load_trust(home))


def said_of(report: Report, key: str) -> str:
    return " ".join(each.detail for each in report.failures() if each.subject == key)


def read(home: Path, key: str) -> Any:
    return json.loads(parse_envelope((home / "store" / key).read_bytes(), where=key).payload)


def overwrite(home: Path, key: str, data: bytes) -> None:
    path = home / "store" / key
    path.chmod(0o600)
    path.write_bytes(data)


def test_a_true_sweep_stands_in_the_log(home: Path) -> None:
    report = audited(home)
    assert report.failures() == []
    assert report.verdict == Verdict.PASSED
    assert read(home, SWEPT)["predicate"]["body"] == SWEEP


def test_a_sweep_edited_in_the_store_is_reported(home: Path) -> None:
    envelope = parse_envelope((home / "store" / SWEPT).read_bytes(), where="")
    assert envelope.payload.count(b'"depth":"bytes"') == 1
    payload = envelope.payload.replace(b'"depth":"bytes"', b'"depth":"bites"')
    overwrite(home, SWEPT, type(envelope)(payload, envelope.key_id, envelope.signature).encode())
    report = audited(home)
    assert "the signature does not verify" in said_of(report, SWEPT)
    assert report.exit_code == 1


@pytest.mark.parametrize("key", [POLICY, SWEPT])
def test_a_link_removed_from_the_vaults_chain_is_reported(home: Path, key: str) -> None:
    (home / "store" / key).unlink()
    report = audited(home)
    assert "has no manifest in the store" in " ".join(each.detail for each in report.failures())
    assert report.exit_code == 1


def test_a_sweep_forged_with_the_vaults_key_is_not_in_the_log(case: Case, home: Path) -> None:
    payload = read(home, SWEPT)
    payload["predicate"]["body"] |= {"checked": 1_000_000}
    overwrite(home, SWEPT, sign_payload(dumps(payload), case.keys.manifest).encode())
    report = audited(home)
    assert "has no manifest in the store" in " ".join(each.detail for each in report.failures())
    assert report.exit_code == 1


def test_a_sweep_forged_by_another_key_is_reported(case: Case, home: Path) -> None:
    stranger = type(case.keys).made_up(case.keys.origin).manifest
    overwrite(home, SWEPT, sign_payload(dumps(read(home, SWEPT)), stranger).encode())
    report = audited(home)
    assert "signed by a key that the trust file does not list" in said_of(report, SWEPT)
    assert report.exit_code == 1


REVOKED: Payload = {
    "chains": ["*"],
    "event": "revoked",
    "person": "ada",
    "reason": "left",
    "role": "legal",
}


def sealed_on_the_vaults_chain(home: Path, kind: Type, body: Payload) -> Report:
    """The audit of a store whose vault sealed this, in order and into its log."""
    vault = open_vault(read_settings({}, home))
    try:
        draft = Draft(kind, body, "d-another")
        vault.door.deposit("vault", [draft.deposit], lambda _: [draft])
    finally:
        vault.close()
    return audited(home)


@pytest.mark.parametrize(
    ("kind", "body", "reason"),
    [
        (Type.SWEEP, {**SWEEP, "failed": 1}, "lists other findings than it counts"),
        (Type.SWEEP, {**SWEEP, "depth": "structure"}, "depth checksums or bytes"),
        (Type.POLICY, {"policy": "retention", "rules": []}, "at least one rule"),
        (Type.HOLD, HOLD, "a hold has no place on the chain vault"),
        (Type.GRANT, {"to": "somebody"}, "field 'event' is missing"),
        (Type.GRANT, REVOKED, "does not hold the role legal"),
    ],
)
def test_what_the_vault_itself_seals_wrongly_on_its_own_chain_is_reported(
    home: Path, kind: Type, body: Payload, reason: str
) -> None:
    report = sealed_on_the_vaults_chain(home, kind, body)
    assert failures(report) == [("chain", layout.manifest("vault", 2))]
    assert reason in said_of(report, layout.manifest("vault", 2))
    assert report.exit_code == 1


def test_what_a_later_vault_seals_on_its_own_chain_is_not_accused(home: Path) -> None:
    later = {"event": "granted", "person": "ada", "role": "redactor", "chains": ["*"]}
    report = sealed_on_the_vaults_chain(home, Type.GRANT, later)
    assert report.failures() == []
    assert (report.outcome_of(Step.CHAIN), report.exit_code) == (Outcome.NOT_CHECKED, 2)
