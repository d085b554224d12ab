"""Who would have a collector say what it never signed: the vault's owner, and who stole a spool.

The owner has every key of the vault, and signs links, log and checkpoint anew; the collector's key
never left its own host. So a bundle that is sound in every other step is caught by this one.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from attacks.bundle_surgery import Bag, Case, History, Keys, failures, sign_payload, spki_of
from attacks.conftest import Operator, _declare, _log_of
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from verify.__main__ import audit_bundle
from verify.digest import sha256_hex
from verify.envelope import ManifestKey, parse_envelope
from verify.report import Outcome, Report, Verdict
from verify.strictjson import dumps
from verify.trust import Step, parse_trust, with_collector

FIRST, SECOND = 1, 2
"""The links of the two deliveries: exhibits EV-0001 to EV-0003, and EV-0004 to EV-0005."""


@pytest.fixture(scope="session")
def delivered(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """A vault to which a spool delivered three entries: two to one incident, one to another."""
    folder = tmp_path_factory.mktemp("delivered")
    for name in ("a.log", "b.log", "c.log"):
        (folder / name).write_text(f"contents of {name}\n")
    operator = Operator(folder)
    operator.run("init")
    incident = _declare(operator, "declared.json", "Agent wrote to a stranger", "sev2")
    other = _declare(operator, "other-declared.json", "Another matter", "sev3")
    spool = folder / "spool"
    operator.run("spool", "init", spool)
    operator.run("collector", "add", "edge-1", "--key", spool / "collector.pub")
    for name, files in (
        (incident, ("a.log", "b.log")),
        (incident, ("c.log",)),
        (other, ("a.log",)),
    ):
        paths = [folder / each for each in files]
        operator.run("ingest", name, *paths, "--spool", spool, "--system", "aws")
    operator.run("export", incident, "-o", folder / "first.zip", "--purpose", "the court")
    operator.run("export", other, "-o", folder / "other.zip", "--purpose", "nobody")
    origin = json.loads((folder / "home" / "trust.json").read_bytes())["origin"]
    keys = Keys.of_home(folder / "home", origin)
    return Case(folder, incident, other, keys, _log_of(folder))


def envelope_of(bag: Bag, exhibit: str = "EV-0001") -> tuple[str, bytes]:
    """Path and bytes of a delivered envelope."""
    (path,) = [path for path in bag.files if path.startswith(f"data/evidence/{exhibit}/")]
    return path, bag.files[path]


def give(history: History, link: int, place: int, data: bytes) -> None:
    """Exchange an item's content, and everything that the vault says of it."""
    item = history.body(link)["items"][place]
    (path,) = [p for p in history.bag.files if p.startswith(f"data/evidence/{item['exhibit']}/")]
    history.bag.files[path] = data
    item["sha256"] = item["stored"]["sha256"] = sha256_hex(data)
    item["size"] = item["stored"]["size"] = len(data)
    if "length" in item["location"]:
        item["location"]["length"] = len(data)
        pack = history.body(link)["packs"][item["location"]["pack"]]
        pack["size"] = max(pack["size"], item["location"]["offset"] + len(data))
    history.payloads[link]["subject"][place]["digest"]["sha256"] = item["sha256"]


def describe(history: History, link: int, place: int, **changes: Any) -> None:
    """Change an item's description, and what the vault says of that."""
    item = history.body(link)["items"][place]
    path = f"data/descriptions/{item['exhibit']}.json"
    data = dumps(json.loads(history.bag.files[path]) | changes)
    history.bag.files[path] = data
    described = item["description"]
    described["sha256"], described["size"] = sha256_hex(data), len(data)
    described["location"]["length"] = len(data)
    pack = history.body(link)["packs"][described["location"]["pack"]]
    pack["size"] = max(pack["size"], described["location"]["offset"] + len(data))


def audited(case: Case, history: History, tmp_path: Path, trust: bytes | None = None) -> Report:
    path = history.seal().write(tmp_path / "forged.zip")
    trust_file = case.trust
    if trust is not None:
        trust_file = tmp_path / "trust.json"
        trust_file.write_bytes(trust)
    return audit_bundle(path, trust_file=trust_file)


def test_a_true_story_passes_also_when_it_is_signed_anew(delivered: Case, tmp_path: Path) -> None:
    """What is caught below is caught for its own sake."""
    history = delivered.history(Bag.of(delivered.first))
    report = audited(delivered, history, tmp_path)
    assert report.verdict == Verdict.PASSED, failures(report)
    assert report.outcome_of(Step.COLLECTION) == Outcome.PASSED


def swap_items(history: History) -> None:
    """Names stay, contents change places."""
    one, other = (history.body(FIRST)["items"][place] for place in (1, 2))
    for key in ("sha256", "size", "stored", "location"):
        one[key], other[key] = other[key], one[key]
    subjects = history.payloads[FIRST]["subject"]
    subjects[1]["digest"], subjects[2]["digest"] = subjects[2]["digest"], subjects[1]["digest"]
    files = history.bag.files
    a, b = (f"data/evidence/EV-000{n}/{name}.log" for n, name in ((2, "a"), (3, "b")))
    files[a], files[b] = files[b], files[a]


def another_spool(history: History) -> None:
    history.body(FIRST)["collection"]["spool"] = "0" * 16


def renumber(history: History) -> None:
    told = history.body(SECOND)["collection"]
    told["number"] = 7


def other_previous(history: History) -> None:
    history.body(SECOND)["collection"]["previous"] = "ab" * 32


def broken_signature(history: History) -> None:
    path, data = envelope_of(history.bag)
    envelope = parse_envelope(data, where=path)
    bent = bytearray(envelope.payload)
    at = envelope.payload.index(b'"method":"') + 10
    bent[at] ^= 1
    give(history, FIRST, 0, replace(envelope, payload=bytes(bent)).encode())


def earlier(history: History) -> None:
    describe(history, FIRST, 1, captured_at="2020-01-01T00:00:00Z")


def facts(history: History) -> None:
    path = "data/descriptions/EV-0002.json"
    value = json.loads(history.bag.files[path])["facts"]
    describe(history, FIRST, 1, facts=value | {"principals": ["mallory"]})


def misses(history: History) -> None:
    history.body(FIRST)["not_captured"]["count"] = 1


def method(history: History) -> None:
    history.body(FIRST)["method"] = "found on the desk"


def system(history: History) -> None:
    history.body(FIRST)["source"]["system"] = "gcp"


def host(history: History) -> None:
    history.body(FIRST)["collector"]["host"] = "another"


def kinds(history: History) -> None:
    history.body(FIRST)["items"][1]["kinds"] = ["approval"]


FORGERIES: dict[str, tuple[Callable[[History], None], str, str]] = {
    "another content": (
        lambda history: give(history, FIRST, 1, b"CONTENTS of a.log\n"),
        "EV-0001",
        "EV-0002 is not the item that the collector signed",
    ),
    "contents swapped": (swap_items, "EV-0001", "EV-0002 is not the item"),
    "another kind": (kinds, "EV-0001", "EV-0002 is not the item"),
    "another time of capture": (earlier, "EV-0001", "the description of EV-0002 is not the one"),
    "other facts": (facts, "EV-0001", "the description of EV-0002 is not the one"),
    "another method": (method, "EV-0001", "another source, method or collector"),
    "another system": (system, "EV-0001", "another source, method or collector"),
    "another host": (host, "EV-0001", "another source, method or collector"),
    "another spool": (another_spool, "EV-0001", "another place in its spool"),
    "another number": (renumber, "EV-0004", "another place in its spool"),
    "another predecessor": (other_previous, "EV-0004", "another place in its spool"),
    "a payload that was not signed": (broken_signature, "EV-0001", "does not verify"),
    "something missed": (misses, "EV-0001", "another list of what was not captured"),
    "the other delivery's envelope": (
        lambda history: give(history, FIRST, 0, envelope_of(history.bag, "EV-0004")[1]),
        "EV-0001",
        "another place in its spool",
    ),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_what_a_collector_did_not_sign_is_not_its_own(
    delivered: Case, tmp_path: Path, forgery: str
) -> None:
    forge, exhibit, told = FORGERIES[forgery]
    history = delivered.history(Bag.of(delivered.first))
    forge(history)
    report = audited(delivered, history, tmp_path)
    assert {step for step, _ in failures(report)} == {"collection"}, failures(report)
    details = [each.detail for each in report.failures() if each.subject == exhibit]
    assert any(told in detail for detail in details), details


def test_an_item_left_out_is_missed(delivered: Case, tmp_path: Path) -> None:
    """The last exhibit of the chain goes, with every trace of it but the collector's word."""
    history = delivered.history(Bag.of(delivered.first))
    history.body(SECOND)["items"].pop()
    history.payloads[SECOND]["subject"].pop()
    history.body(len(history.payloads) - 1)["included"].remove("EV-0005")
    for path in [path for path in history.bag.files if "/EV-0005" in path]:
        del history.bag.files[path]
    report = audited(delivered, history, tmp_path)
    assert failures(report) == [("collection", "EV-0004")]
    assert "signed 1 items, not 0" in report.failures()[0].detail


def test_evidence_collected_for_another_incident_is_none_here(
    delivered: Case, tmp_path: Path
) -> None:
    """The envelope is true; it was meant for the other chain."""
    theirs = envelope_of(Bag.of(delivered.other))[1]
    signed = json.loads(parse_envelope(theirs, where="theirs").payload)["predicate"]
    history = delivered.history(Bag.of(delivered.first))
    give(history, SECOND, 0, theirs)
    history.body(SECOND)["collection"] |= {
        "number": signed["spool"]["number"],
        "previous": signed["spool"]["previous"],
    }
    report = audited(delivered, history, tmp_path)
    assert ("collection", "EV-0004") in failures(report)
    assert any(f"meant it for {delivered.other_incident}" in f.detail for f in report.failures())


def test_numbers_that_fall_are_reported(delivered: Case, tmp_path: Path) -> None:
    """The two deliveries change places: each is true, their order is not."""
    history = delivered.history(Bag.of(delivered.first))
    history.body(FIRST)["collection"]["number"] = 3
    history.body(FIRST)["collection"]["previous"] = "ab" * 32
    report = audited(delivered, history, tmp_path)
    assert any("comes after its entry 3" in each.detail for each in report.failures())


def spool_key(case: Case) -> ec.EllipticCurvePrivateKey:
    pem = (case.folder / "spool" / "key.pem").read_bytes()
    key = serialization.load_pem_private_key(pem, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


def test_a_collectors_key_signs_no_link(delivered: Case, tmp_path: Path) -> None:
    """The trust file lists it, for collections alone."""
    history = delivered.history(Bag.of(delivered.first))
    history.signers[SECOND] = spool_key(delivered)
    report = audited(delivered, history, tmp_path)
    assert ("signatures", f"link {SECOND}") in failures(report)


def test_the_vaults_key_signs_no_collection(delivered: Case, tmp_path: Path) -> None:
    """The owner signs a collection in the collector's place: it is nobody's, not false."""
    history = delivered.history(Bag.of(delivered.first))
    _, data = envelope_of(history.bag)
    payload = parse_envelope(data, where="it").payload
    give(history, FIRST, 0, sign_payload(payload, history.keys.manifest).encode())
    report = audited(delivered, history, tmp_path)
    # The second delivery names the first one's envelope, which is not there any more.
    assert failures(report) == [("collection", "EV-0004")]
    assert report.outcome_of(Step.COLLECTION) == Outcome.FAILED
    assert any("1 of 2 unverified" in each.detail for each in report.findings)


def test_another_collectors_key_is_unverified_and_signs_for_no_spool_but_its_own(
    delivered: Case, tmp_path: Path
) -> None:
    stranger = ec.generate_private_key(ec.SECP256R1())
    history = delivered.history(Bag.of(delivered.other))
    _, data = envelope_of(history.bag)
    give(history, 1, 0, sign_payload(parse_envelope(data, where="it").payload, stranger).encode())
    report = audited(delivered, history, tmp_path)
    assert (report.verdict, failures(report)) == (Verdict.PASSED, [])
    assert report.outcome_of(Step.COLLECTION) == Outcome.NOT_CHECKED
    trust = parse_trust(delivered.trust.read_bytes(), where="trust")
    listed = with_collector(trust, ManifestKey(spki_of(stranger)))
    report = audited(delivered, history, tmp_path, listed)
    assert failures(report) == [("collection", "EV-0001")]
    assert "another key's spool is named" in report.failures()[0].detail


def test_a_withheld_envelope_is_not_checked(delivered: Case, tmp_path: Path) -> None:
    operator = Operator(delivered.folder)
    path = tmp_path / "withheld.zip"
    operator.run("export", delivered.incident, "-o", path, "--purpose", "p",
                 "--withhold", "EV-0001=privileged")  # fmt: skip
    report = audit_bundle(path, trust_file=delivered.trust)
    assert (report.verdict, failures(report)) == (Verdict.PASSED, [])
    assert report.outcome_of(Step.COLLECTION) == Outcome.NOT_CHECKED


STRUCTURE: dict[str, Callable[[History], None]] = {
    "the second exhibit": lambda h: h.body(FIRST)["collection"].update(exhibit="EV-0002"),
    "an exhibit of another capture": lambda h: h.body(SECOND)["collection"].update(
        exhibit="EV-0001"
    ),
    "number 0": lambda h: h.body(FIRST)["collection"].update(number=0),
    "a first entry with a predecessor": lambda h: h.body(FIRST)["collection"].update(
        previous="ab" * 32
    ),
    "a later one without": lambda h: h.body(SECOND)["collection"].update(previous=None),
    "no spool's id": lambda h: h.body(FIRST)["collection"].update(spool="../../etc"),
    "a further field": lambda h: h.body(FIRST)["collection"].update(trust="me"),
}


@pytest.mark.parametrize("what", STRUCTURE)
def test_a_delivery_that_does_not_read_breaks_the_chain(
    delivered: Case, tmp_path: Path, what: str
) -> None:
    history = delivered.history(Bag.of(delivered.first))
    STRUCTURE[what](history)
    report = audited(delivered, history, tmp_path)
    assert "chain" in {step for step, _ in failures(report)}
