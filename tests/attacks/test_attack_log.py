"""The one who alters proof and checkpoint, or has another log sign them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attacks.bundle_surgery import Bag, Case, Keys, detail, failures, filler_leaf

from verify.bundle import CHECKPOINT, INCLUSION
from verify.digest import b64
from verify.merkle import TreeHead, root_of
from verify.report import Outcome, Verdict
from verify.strictjson import dumps
from verify.trust import Step

Proof = dict[str, Any]


def audited(case: Case, bag: Bag, altered: Path) -> Any:
    report = case.audit(bag.mend().write(altered))
    assert report.exit_code == (0 if report.verdict == Verdict.PASSED else 1)
    return report


def test_the_proof_has_hashes_of_its_own(bag: Bag) -> None:
    """Else the attacks on them below would prove nothing."""
    proof = json.loads(bag.files[INCLUSION])
    assert len(proof["hashes"]) >= 2
    assert proof["indices"] != list(range(len(proof["indices"])))


def index_moved(proof: Proof) -> None:
    proof["indices"][3] -= 1


def indices_equal(proof: Proof) -> None:
    proof["indices"][3] = proof["indices"][2]


def indices_fall(proof: Proof) -> None:
    proof["indices"][3], proof["indices"][4] = proof["indices"][4], proof["indices"][3]


def index_outside(proof: Proof) -> None:
    proof["indices"][-1] = proof["size"]


def index_negative(proof: Proof) -> None:
    proof["indices"][0] = -1


def index_huge(proof: Proof) -> None:
    proof["indices"][-1] = 2**53 - 1


def index_lacking(proof: Proof) -> None:
    proof["indices"].pop()


def index_added(proof: Proof) -> None:
    proof["indices"].append(proof["size"])


def a_million_indices(proof: Proof) -> None:
    proof["indices"] = list(range(1_000_000))


def more_than_the_limit(proof: Proof) -> None:
    proof["indices"] = [0] * 1_000_001


def hash_altered(proof: Proof) -> None:
    proof["hashes"][0] = b64(filler_leaf(1))


def hash_short(proof: Proof) -> None:
    proof["hashes"][0] = b64(filler_leaf(1)[:31])


def hash_empty(proof: Proof) -> None:
    proof["hashes"][0] = ""


def hash_added(proof: Proof) -> None:
    proof["hashes"].append(b64(filler_leaf(1)))


def hash_removed(proof: Proof) -> None:
    proof["hashes"].pop()


def hashes_swapped(proof: Proof) -> None:
    proof["hashes"][0], proof["hashes"][1] = proof["hashes"][1], proof["hashes"][0]


def size_smaller(proof: Proof) -> None:
    proof["size"] -= 1


def size_vast(proof: Proof) -> None:
    proof["size"] = 2**53 - 1


def later_version(proof: Proof) -> None:
    proof["version"] = 2


def field_added(proof: Proof) -> None:
    proof["note"] = "please"


def size_in_text(proof: Proof) -> None:
    proof["size"] = str(proof["size"])


def index_true(proof: Proof) -> None:
    proof["indices"][0] = False


PROOFS = [
    (index_moved, "the listed leaves do not lead to the root"),
    (indices_equal, "leaf indices must rise"),
    (indices_fall, "leaf indices must rise"),
    (index_outside, "leaf indices must lie in a tree of"),
    (index_negative, "leaf indices must lie in a tree of"),
    (index_huge, "leaf indices must lie in a tree of"),
    (index_lacking, "10 indices for 11 links"),
    (index_added, "12 indices for 11 links"),
    (a_million_indices, "1000000 indices for 11 links"),
    (more_than_the_limit, "expected a list of at most 1,000,000"),
    (hash_altered, "the listed leaves do not lead to the root"),
    (hash_short, "expected 32 bytes, found 31"),
    (hash_empty, "expected 32 bytes, found 0"),
    (hash_added, "inclusion proof is too long"),
    (hash_removed, "inclusion proof is too short"),
    (hashes_swapped, "the listed leaves do not lead to the root"),
    (size_smaller, "the proof is for a tree of"),
    (size_vast, "the proof is for a tree of"),
    (later_version, "unknown version 2"),
    (field_added, "unknown field 'note'"),
    (size_in_text, "expected a whole number"),
    (index_true, "indices are whole numbers"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("change", "reason"), PROOFS)
def test_an_altered_proof_is_reported(
    case: Case, bag: Bag, altered: Path, change: Callable[[Proof], None], reason: str
) -> None:
    proof = json.loads(bag.files[INCLUSION])
    change(proof)
    bag.files[INCLUSION] = dumps(proof)
    report = audited(case, bag, altered)
    assert failures(report) == [("log", "")]  # no link is blamed for an index that nobody proved
    assert reason in detail(report, "log", "")
    assert report.verdict == Verdict.FAILED


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b'"version":1', b'"version":1,"version":1', "duplicate key 'version'"),
        (b'"version":1', b'"version":1.0', "is not an integer"),
        (b'"version":1', b'"version":NaN', "NaN is not JSON"),
        (b'"version":1', b'"version":01', "not JSON"),
        (b'"version":1', b'"version":1e0', "is not an integer"),
        (b'"version":1', b'"version": 1', "not in canonical form"),
        (b'"version":1}', b'"version":1}\n', "not in canonical form"),
        (b'"version":1', b'"version":' + b"[" * 100_000, "nested too deeply"),
        (b'{"hashes"', b'\xef\xbb\xbf{"hashes"', "byte order mark"),
        (b'{"hashes"', b'{"hash\\u0065s"', "not in canonical form"),
        (b'{"hashes":["', b'{"hashes":["\xff', "not valid UTF-8"),
    ],
)
def test_a_proof_that_two_parsers_could_read_differently_is_refused(
    case: Case, bag: Bag, altered: Path, old: bytes, new: bytes, reason: str
) -> None:
    report = audited(case, bag.edit(INCLUSION, old, new), altered)
    assert failures(report) == [("log", "")]
    assert reason in detail(report, "log", "")


def test_loose_base64_in_a_proof_is_refused(case: Case, bag: Bag, altered: Path) -> None:
    """The last digit before the padding carries two bits that a lenient decoder drops."""
    proof = json.loads(bag.files[INCLUSION])
    digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    text = proof["hashes"][0]
    proof["hashes"][0] = text[:-2] + digits[digits.index(text[-2]) | 1] + "="
    bag.files[INCLUSION] = dumps(proof)
    report = audited(case, bag, altered)
    assert failures(report) == [("log", "")]
    assert "base64 is not canonical" in detail(report, "log", "")


# -- the checkpoint -------------------------------------------------------------------------------


def line(number: int, text: str) -> Callable[[bytes], bytes]:
    def act(checkpoint: bytes) -> bytes:
        lines = checkpoint.decode().split("\n")
        lines[number] = text
        return "\n".join(lines).encode()

    return act


CHECKPOINTS = [
    (line(0, "elsewhere.example/log"), "the checkpoint is of log elsewhere.example/log"),
    (line(1, "13"), "does not verify"),
    (line(1, "014"), "canonical decimal"),
    (line(1, "+14"), "canonical decimal"),
    (line(1, "\u0661\u0664"), "canonical decimal"),
    (line(1, str(2**60)), "canonical decimal"),
    (line(1, "0"), "SHA-256 of nothing"),
    (line(2, b64(filler_leaf(1))), "does not verify"),
    (line(2, b64(b"short")), "expected 32 bytes, found 5"),
    (line(2, b64(filler_leaf(1)) + "\nextension"), "three lines"),
    (line(4, ""), "signature line"),
    (lambda note: note.replace(b"\n", b"\r\n"), "control character"),
    (lambda note: b"\xef\xbb\xbf" + note, "the checkpoint is of log"),
    (lambda note: note[:-1], "a note is a text, a blank line and signature lines"),
    (lambda note: note + b"\n", "a note is a text, a blank line and signature lines"),
    (lambda note: note[:-8] + b"AAAAAAA\n", "does not verify"),
    (lambda note: note[:-3] + b"!=\n", "not base64"),
    (lambda _: b"", "a note is a text, a blank line and signature lines"),
    (lambda _: b"\xff" * 200, "UTF-8"),
]


@pytest.mark.parametrize(("change", "reason"), CHECKPOINTS)
def test_an_altered_checkpoint_is_reported(
    case: Case, bag: Bag, altered: Path, change: Callable[[bytes], bytes], reason: str
) -> None:
    bag.files[CHECKPOINT] = change(bag.files[CHECKPOINT])
    report = audited(case, bag, altered)
    assert failures(report) == [("log", "")]
    assert reason in detail(report, "log", "")


def test_a_checkpoint_by_another_key_under_the_same_name_is_reported(
    case: Case, bag: Bag, altered: Path
) -> None:
    head = TreeHead(14, root_of(case.log[:14]))
    bag.files[CHECKPOINT] = Keys.made_up(case.keys.origin).checkpoint(head)
    report = audited(case, bag, altered)
    assert failures(report) == [("log", "")]
    assert detail(report, "log", "").startswith(f"no signature by {case.keys.origin}+")


def test_a_forged_line_beside_the_true_one_condemns_the_checkpoint(
    case: Case, bag: Bag, altered: Path
) -> None:
    """A line that bears the trusted key's name and id, and does not verify."""
    forged = bag.files[CHECKPOINT].split(b"\n")[4]
    other = Bag.of(case.first).files[CHECKPOINT].split(b"\n")[4]
    assert forged != other
    bag.files[CHECKPOINT] += other + b"\n"
    report = audited(case, bag, altered)
    assert failures(report) == [("log", "")]
    assert detail(report, "log", "") == f"the signature of {case.keys.origin} does not verify"


def test_an_older_checkpoint_does_not_cover_the_last_links(
    case: Case, bag: Bag, altered: Path
) -> None:
    bag.files[CHECKPOINT] = Bag.of(case.first).files[CHECKPOINT]
    report = audited(case, bag, altered)
    assert failures(report) == [("log", "")]
    assert "the proof is for a tree of" in detail(report, "log", "")


def test_the_log_of_another_vault_is_no_log_of_ours(case: Case, bag: Bag, altered: Path) -> None:
    """Everything is consistent, only the log is signed by somebody else."""
    history = case.history(bag, Keys.made_up("elsewhere.example/log"))
    history.relog([case.log[index] for index in history.indices])
    report = audited(case, bag, altered)
    assert failures(report) == [("log", "")]
    assert "the checkpoint is of log elsewhere.example/log" in detail(report, "log", "")


def test_a_cosignature_that_nobody_checked_is_not_passed_over_in_silence(
    case: Case, bag: Bag, altered: Path
) -> None:
    """Lines by unknown keys are ignored, as the note format demands; a reader must be told."""
    witness = "\u2014 witness.example/w " + b64(bytes(4) + filler_leaf(1) + filler_leaf(2))
    bag.files[CHECKPOINT] += witness.encode() + b"\n"
    report = audited(case, bag, altered)
    assert failures(report) == []
    assert report.outcome_of(Step.WITNESS) == Outcome.NOT_CHECKED
    assert any(
        finding.step == Step.WITNESS and finding.detail.endswith("not read: 1")
        for finding in report.findings
    )


@pytest.mark.parametrize("path", [CHECKPOINT, INCLUSION])
def test_a_missing_proof_is_reported(case: Case, bag: Bag, altered: Path, path: str) -> None:
    del bag.files[path]
    report = audited(case, bag, altered)
    assert failures(report) == [("log", "")]
    assert detail(report, "log", "") == f"{path} is absent"
