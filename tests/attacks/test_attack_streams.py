"""What an incident took over from a stream, told otherwise: by outsiders, and by the vault's owner.

An outsider can mend a bag. The owner signs everything anew: links, cited links, log and checkpoint,
so that nothing is wrong but the one thing that a test is about.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attacks.bundle_surgery import (
    Bag,
    Case,
    History,
    Keys,
    Payload,
    failures,
    sign_payload,
    spki_of,
)
from attacks.conftest import DATA, INPUTS, Operator, _declare, _log_of

from verify.bundle import STREAM_INCLUSION, format_inclusion, parse_inclusion
from verify.digest import b64
from verify.envelope import leaf_hash_of, parse_envelope
from verify.merkle import multi_inclusion_hashes, root_of
from verify.report import Verdict
from verify.strictjson import dumps
from verify.trust import Step

STREAM = "stream:trail"
FIRST, SECOND = (f"data/streams/trail/{number:08d}.json" for number in (0, 1))
CAPTURE = 2
"""The link that preserves: after the declaration and a capture of the incident's own."""


@pytest.fixture(scope="module")
def streamed(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """An incident that took ST-0002 and ST-0004 of a stream, out of two of its three links.

    They have no times, and were received in the window; ST-0001 and ST-0005 are of 2023 and 2017,
    and ST-0003 was withdrawn. EV-0001 is the incident's own, EV-0002 and EV-0003 are preserved.
    Exported twice, once with EV-0003 withheld. Another incident's link lies between in the log.
    """
    folder = tmp_path_factory.mktemp("streamed")
    for name, source in INPUTS.items():
        (folder / name).write_bytes((DATA / source).read_bytes())
    (folder / "note.txt").write_text("nothing that has a time\n")
    operator = Operator(folder)
    run, keep = operator.run, operator.keep
    run("init")
    run("ingest", STREAM, folder / "access.json", folder / "note.txt", "--system", "aws")
    incident = _declare(operator, "declared.json", "Keys used from a new place", "sev2")
    run("ingest", incident, folder / "attacked.json")
    run("ingest", STREAM, folder / "detector.json", folder / "baseline.json", "--system", "aws")
    run("ingest", STREAM, folder / "late.json.gz", "--system", "aws")
    run("evidence", "withdraw", STREAM, "ST-0003", "--reason", "of another case")
    keep("preserved.json", "preserve", incident, STREAM, "--from", "-2h", "--to", "now", "--json")
    other = _declare(operator, "other-declared.json", "Another matter", "sev3")
    run("export", incident, "-o", folder / "first.zip", "--purpose", "the insurer")
    run("export", incident, "-o", folder / "second.zip", "--purpose", "the court",
        "--withhold", "EV-0003=privileged")  # fmt: skip
    origin = json.loads((folder / "home" / "trust.json").read_bytes())["origin"]
    return Case(folder, incident, other, Keys.of_home(folder / "home", origin), _log_of(folder))


@pytest.fixture
def bag(streamed: Case) -> Bag:
    return Bag.of(streamed.first)


@pytest.fixture
def altered(tmp_path: Path) -> Path:
    return tmp_path / "altered.zip"


def item_of(history: History, exhibit: str) -> Payload:
    (item,) = [each for each in history.body(CAPTURE)["items"] if each["exhibit"] == exhibit]
    return item


def cited(bag: Bag, path: str) -> Payload:
    payload: Payload = json.loads(parse_envelope(bag.files[path], where=path).payload)
    return payload


def prove_cited(history: History) -> None:
    """Make `streams.json` fit the log as it is now."""
    size, indices, _ = parse_inclusion(history.bag.files[STREAM_INCLUSION], where="it")
    tree = _tree(history)
    hashes = multi_inclusion_hashes(sorted(indices), size, lambda a, b: root_of(tree[a:b]))
    history.bag.files[STREAM_INCLUSION] = format_inclusion(
        size=size, indices=indices, hashes=[b64(each) for each in hashes]
    )


def _tree(history: History) -> list[bytes]:
    """The leaves of the log as `History.relog` signed it."""
    tree = list(history.log[: history.size])
    for link, index in zip(history.bag.links(), history.indices, strict=True):
        envelope = parse_envelope(history.bag.files[link], where=link)
        tree[index] = leaf_hash_of(envelope, spki_of(history.keys.manifest))
    return tree


def seal(history: History) -> Bag:
    """Sign the chain and the log anew, prove the cited links in it, and mend the bag."""
    history.seal()
    prove_cited(history)
    return history.bag.mend()


def reseal_cited(
    history: History, path: str, change: Callable[[Payload], object], *, key: Any = None
) -> None:
    """Change a cited link, sign it, put it in the log, and have the chain cite it as it is now."""
    payload = cited(history.bag, path)
    change(payload["predicate"])
    envelope = sign_payload(dumps(payload), key or history.keys.manifest)
    _, indices, _ = parse_inclusion(history.bag.files[STREAM_INCLUSION], where="it")
    index = indices[[FIRST, SECOND].index(path)]
    old = history.log[index].hex()
    leaf = leaf_hash_of(envelope, spki_of(key or history.keys.manifest))
    history.log = [*history.log[:index], leaf, *history.log[index + 1 :]]
    history.bag.files[path] = envelope.encode()
    for item in history.body(CAPTURE)["items"]:
        if item["from"]["leaf_hash"] == old:
            item["from"]["leaf_hash"] = leaf.hex()


# -- the true bundle ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["first", "second"])
def test_the_true_bundle_carries_the_links_it_cites_and_no_others(
    streamed: Case, name: str
) -> None:
    bundle = getattr(streamed, name)
    report = streamed.audit(bundle)
    assert (report.verdict, report.failures()) == (Verdict.PASSED, [])
    streams = sorted(path for path in Bag.of(bundle).files if path.startswith("data/streams/"))
    assert streams == [FIRST, SECOND]
    assert any("only the links cited" in note for note in report.notes)


def test_what_is_restated_names_what_it_was(streamed: Case, bag: Bag) -> None:
    history = streamed.history(bag)
    told = [(each["exhibit"], each["from"]["exhibit"], each["from"]["sequence"])
            for each in history.body(CAPTURE)["items"]]  # fmt: skip
    assert told == [("EV-0002", "ST-0002", 0), ("EV-0003", "ST-0004", 1)]


def test_everything_signed_anew_and_nothing_changed_passes(
    streamed: Case, bag: Bag, altered: Path
) -> None:
    """So that what the attacks below find is what they are about."""
    history = streamed.history(bag)
    reseal_cited(history, FIRST, lambda predicate: None)
    report = streamed.audit(seal(history).write(altered))
    assert (report.verdict, report.failures()) == (Verdict.PASSED, [])


# -- an outsider ----------------------------------------------------------------------------------


def test_a_cited_link_left_out_is_reported(bag: Bag, streamed: Case, altered: Path) -> None:
    del bag.files[SECOND]
    report = streamed.audit(bag.mend().write(altered))
    assert (Step.SIGNATURES.value, f"{STREAM} link 1") in failures(report)
    assert report.verdict == Verdict.FAILED


def test_the_proof_of_the_cited_links_left_out_is_reported(
    bag: Bag, streamed: Case, altered: Path
) -> None:
    del bag.files[STREAM_INCLUSION]
    report = streamed.audit(bag.mend().write(altered))
    assert failures(report) == [("log", STREAM_INCLUSION)]


def test_two_cited_links_exchanged_are_reported(bag: Bag, streamed: Case, altered: Path) -> None:
    report = streamed.audit(bag.swap(FIRST, SECOND).mend().write(altered))
    found = failures(report)
    assert ("chain", f"{STREAM} link 0") in found
    assert ("chain", f"{STREAM} link 1") in found


def test_a_link_of_the_stream_that_nobody_cites_does_not_belong(
    bag: Bag, streamed: Case, altered: Path
) -> None:
    third = streamed.home / "store" / "chains" / "stream" / "trail" / "00000002.json"
    bag.files["data/streams/trail/00000002.json"] = third.read_bytes()
    report = streamed.audit(bag.mend().write(altered))
    assert failures(report) == [("package", "data/streams/trail/00000002.json")]


@pytest.mark.parametrize("path", [FIRST, SECOND, STREAM_INCLUSION])
def test_any_bit_of_what_is_cited_counts(
    bag: Bag, streamed: Case, tmp_path: Path, path: str
) -> None:
    size = len(bag.files[path])
    for position in range(0, size, max(1, size // 40)):
        bent = Bag(bag.base, dict(bag.files)).flip(path, position).mend()
        report = streamed.audit(bent.write(tmp_path / f"{position}.zip"))
        assert report.verdict == Verdict.FAILED, position


# -- the owner of the keys ------------------------------------------------------------------------


def item_change(field: str, value: Any) -> Callable[[Payload], None]:
    def change(item: Payload) -> None:
        where = item
        *way, last = field.split(".")
        for step in way:
            where = where[step]
        assert where[last] != value
        where[last] = value

    return change


OTHER_DIGEST = "00" * 32


def other_content(item: Payload) -> None:
    for where in (item, item["stored"]):
        where["sha256"] = OTHER_DIGEST


@pytest.mark.parametrize(
    ("change", "differing"),
    [
        (other_content, "sha256, stored differ"),
        (item_change("description.sha256", OTHER_DIGEST), "description differ"),
        (item_change("kinds", ["ticket"]), "kinds differ"),
        (item_change("location.offset", 1), "location differ"),
    ],
)
def test_an_item_restated_otherwise_is_reported(
    streamed: Case, bag: Bag, altered: Path, change: Callable[[Payload], None], differing: str
) -> None:
    history = streamed.history(bag)
    change(item_of(history, "EV-0002"))
    for each in history.payloads[CAPTURE]["subject"]:
        if each["name"] == "EV-0002":
            each["digest"]["sha256"] = item_of(history, "EV-0002")["sha256"]
    report = streamed.audit(seal(history).write(altered))
    (found,) = [each for each in report.failures(Step.CHAIN) if each.subject == "EV-0002"]
    assert differing in found.detail
    assert report.verdict == Verdict.FAILED


@pytest.mark.parametrize("field", ["system", "name"])
def test_a_restated_item_of_another_source_is_reported(
    streamed: Case, bag: Bag, altered: Path, field: str
) -> None:
    """Else a log of one system would become the evidence of another."""
    history = streamed.history(bag)
    history.body(CAPTURE)["source"][field] = "mail-agent"
    report = streamed.audit(seal(history).write(altered))
    assert {each.subject for each in report.failures(Step.CHAIN)} == {
        each["exhibit"] for each in history.body(CAPTURE)["items"]
    }


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("sequence", 1, "cites stream:trail link 1 as"),
        ("leaf_hash", OTHER_DIGEST, f"as {OTHER_DIGEST}, which is"),
        ("exhibit", "ST-0099", "cites ST-0099, which link 0 does not have"),
        ("exhibit", "ST-0001", "is not ST-0001"),
    ],
)
def test_another_item_cited_is_reported(
    streamed: Case, bag: Bag, altered: Path, field: str, value: Any, reason: str
) -> None:
    history = streamed.history(bag)
    exhibit = next(each["exhibit"] for each in history.body(CAPTURE)["items"]
                   if each["from"]["exhibit"] == "ST-0002")  # fmt: skip
    item_change(f"from.{field}", value)(item_of(history, exhibit))
    report = streamed.audit(seal(history).write(altered))
    said = " ".join(each.detail for each in report.failures(Step.CHAIN) if each.subject == exhibit)
    assert reason in said
    assert report.verdict == Verdict.FAILED


def test_a_stream_that_is_not_there_is_reported(streamed: Case, bag: Bag, altered: Path) -> None:
    history = streamed.history(bag)
    item_change("from.chain", "stream:other")(item_of(history, "EV-0002"))
    report = streamed.audit(seal(history).write(altered))
    assert ("signatures", "stream:other link 0") in failures(report)


@pytest.mark.parametrize("chain", ["INC-2026-0001", "vault", "stream:Trail"])
def test_only_a_stream_is_cited(streamed: Case, bag: Bag, altered: Path, chain: str) -> None:
    history = streamed.history(bag)
    item_change("from.chain", chain)(item_of(history, "EV-0002"))
    report = streamed.audit(seal(history).write(altered))
    assert ("chain", f"link {CAPTURE}") in failures(report)


def test_the_stream_link_of_another_log_is_reported(
    streamed: Case, bag: Bag, altered: Path
) -> None:
    history = streamed.history(bag)
    reseal_cited(history, FIRST, lambda predicate: predicate.update(log="evault.invalid/other"))
    report = streamed.audit(seal(history).write(altered))
    (found,) = report.failures()
    assert (found.step, found.subject) == (Step.CHAIN, f"{STREAM} link 0")
    assert "was made for log evault.invalid/other" in found.detail


def test_a_stream_link_by_a_key_that_is_not_listed_is_reported(
    streamed: Case, bag: Bag, altered: Path
) -> None:
    history = streamed.history(bag)
    stranger = Keys.made_up(streamed.keys.origin).manifest
    reseal_cited(history, FIRST, lambda predicate: None, key=stranger)
    report = streamed.audit(seal(history).write(altered))
    assert ("signatures", f"{STREAM} link 0") in failures(report)


def test_a_stream_link_that_is_no_capture_is_reported(
    streamed: Case, bag: Bag, altered: Path
) -> None:
    history = streamed.history(bag)

    def viewed(predicate: Payload) -> None:
        predicate["body"] = {"event": "viewed", "exhibits": ["ST-0001"], "purpose": None}

    payload = cited(bag, FIRST)
    viewed(payload["predicate"])
    payload["predicateType"] = "urn:evidence-vault:custody:v1"
    bag.files[FIRST] = sign_payload(dumps(payload), streamed.keys.manifest).encode()
    report = streamed.audit(seal(history).write(altered))
    said = [each.detail for each in report.failures(Step.CHAIN)]
    assert any("is no capture but a custody" in each for each in said)


def test_a_stream_link_made_up_and_never_logged_is_reported(
    streamed: Case, bag: Bag, altered: Path
) -> None:
    """The owner cites what the log does not hold: signed well, restated well, and too late."""
    history = streamed.history(bag)
    log = history.log
    reseal_cited(history, FIRST, lambda predicate: predicate.update(salt="11" * 32))
    history.log = log
    report = streamed.audit(seal(history).write(altered))
    assert failures(report) == [("log", STREAM_INCLUSION)]


def test_a_link_cited_before_it_was_in_the_log_is_reported(
    streamed: Case, bag: Bag, altered: Path
) -> None:
    """The stream's link gets a place behind the link that cites it."""
    history = streamed.history(bag)
    size, indices, _ = parse_inclusion(bag.files[STREAM_INCLUSION], where="it")
    free = next(index for index in range(history.indices[CAPTURE] + 1, size)
                if index not in history.indices)  # fmt: skip
    log = list(history.log)
    log[free], log[indices[0]] = log[indices[0]], log[free]
    history.log = log
    history.seal()
    tree = _tree(history)
    moved = [free, indices[1]]
    hashes = multi_inclusion_hashes(sorted(moved), size, lambda a, b: root_of(tree[a:b]))
    bag.files[STREAM_INCLUSION] = format_inclusion(
        size=size, indices=moved, hashes=[b64(each) for each in hashes]
    )
    report = streamed.audit(bag.mend().write(altered))
    assert {step for step, _ in failures(report)} == {"log"}
    assert any("before it was" in each.detail for each in report.failures())


def test_a_stream_is_no_bundle(streamed: Case, tmp_path: Path) -> None:
    """A chain that ends with no export hands nothing over, whoever signed it."""
    bag = Bag.of(streamed.first)
    history = streamed.history(bag)
    for payload in history.payloads:
        payload["predicate"]["chain"]["id"] = STREAM
    report = streamed.audit(seal(history).write(tmp_path / "stream.zip"))
    assert report.verdict == Verdict.FAILED
    assert any("has no place on a stream's chain" in each.detail for each in report.failures())


# -- in the store ---------------------------------------------------------------------------------


def test_an_audit_of_the_store_finds_a_stream_link_gone_or_altered(
    streamed: Case, tmp_path: Path
) -> None:
    import shutil

    home = tmp_path / "home"
    shutil.copytree(streamed.home, home)
    operator = Operator(tmp_path)
    assert "PASSED" in operator.run("verify", streamed.incident)
    link = home / "store" / "chains" / "stream" / "trail" / "00000000.json"
    true = link.read_bytes()
    link.chmod(0o600)
    for data in (None, true[:-1], true.replace(b'"sig":"M', b'"sig":"N')):
        link.unlink()
        if data is not None:
            link.write_bytes(data)
        with pytest.raises(
            AssertionError, match=f"FAILED.*{STREAM} link 0|{STREAM} link 0.*FAILED"
        ):
            operator.run("verify", streamed.incident)
        link.write_bytes(true)
