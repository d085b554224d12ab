"""CloudTrail digests: what they say alone, and what several items prove of each other."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from samples import DATA

from ingest.parsers import HEAD_SIZE, Confidence, Reading, read_facts
from ingest.parsers.cloudtrail_digest import NO_SIGNATURE, CloudTrailDigestParser, source_of
from ingest.parsers.digest_chain import Checked, Stored, check_chain, public_keys, signed_text
from verify.facts import Covered, Gap, Verdict

SAMPLES = DATA / "cloudtrail-digest"
REAL = "327878933619_CloudTrail-Digest_sample.json"
BUCKET = "trail"
LOG = "AWSLogs/111122223333/CloudTrail/eu-west-1/2026/03/01/log-{}.json.gz"
KEY = rsa.generate_private_key(65537, 2048)
FINGERPRINT = "ab" * 16
KEYS = {
    FINGERPRINT: KEY.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.PKCS1
    )
}


def read(data: bytes, name: str = "digest") -> Reading:
    return read_facts(io.BytesIO(data), head=data[:HEAD_SIZE], name=name)


def sample(name: str) -> bytes:
    return (SAMPLES / name).read_bytes()


# One digest.


def test_a_real_digest_lists_its_log_files_and_covers_its_hour() -> None:
    reading = read(sample(REAL), REAL)
    facts = reading.facts
    assert (reading.format_label, reading.kinds) == ("CloudTrail digest", ("reference",))
    assert reading.summary == ("5 log files delivered 2023-10-15T22:04:04Z to 2023-10-15T23:04:04Z")
    assert (facts.records, facts.bad_records, facts.problems) == (5, 0, ())
    assert facts.coverage == (
        Covered(
            "2023-10-15T22:04:04Z",
            "2023-10-15T23:04:04Z",
            "327878933619/ap-northeast-1/llm-guard-trail",
        ),
    )
    assert (facts.first, facts.last) == ("2023-10-15T22:04:51Z", "2023-10-15T22:58:17Z")
    assert (facts.accounts, facts.platforms) == (("327878933619",), ("aws",))
    assert facts.not_captured == (NO_SIGNATURE,)


def test_a_digest_without_log_files_is_a_nil_return() -> None:
    reading = read(sample("cloudtrail_digest_empty.json"))
    assert reading.kinds == ("nil_return",)
    assert reading.summary == (
        "no log files delivered 2015-08-20T17:01:31Z to 2015-08-20T18:01:31Z"
    )
    facts = reading.facts
    assert (facts.records, facts.clock, facts.problems) == (0, "none", ())
    assert facts.coverage == (
        Covered(
            "2015-08-20T17:01:31Z",
            "2015-08-20T18:01:31Z",
            "111122223333/us-east-2/example-trail-name",
        ),
    )


def test_malformed_times_and_hashes_are_told() -> None:
    facts = read(sample("cloudtrail_digest.json")).facts
    assert facts.problems == ("2 times that cannot be read",)
    assert facts.coverage[0].source == "111122223333"
    document = json.loads(sample("cloudtrail_digest.json"))
    document["logFiles"][0]["hashValue"] = "a" * 63
    document["previousDigestHashValue"] = "z" * 64
    document["logFiles"] += [{"s3Object": 7, "hashValue": 7, "hashAlgorithm": "MD5"}, 7]
    document["digestSignatureAlgorithm"] = "none"
    document["digestEndTime"] = "2025-10-20T00:00:00Z"
    facts = read(json.dumps(document).encode()).facts
    assert (facts.records, facts.bad_records, facts.coverage) == (2, 1, ())
    assert set(facts.problems) == {
        "1 bad record: not a log file of a digest",
        "1 digest not signed by SHA256withRSA",
        "1 digest without a readable interval",
        "1 hash of a log file of 63 digits instead of 64",
        "1 hash of a log file that is no text",
        "1 hash of a previous digest that is not hexadecimal",
        "1 log file hashed by another algorithm than SHA-256",
        "2 times that cannot be read",
    }


def test_several_digests_in_one_file_and_a_first_one() -> None:
    first = json.loads(sample(REAL))
    first |= {key: None for key in first if key.startswith("previous")}
    data = json.dumps(first).encode() + b"\n" + sample("cloudtrail_digest_empty.json")
    reading = read(data)
    assert reading.summary == (
        "2 digests, 5 log files delivered 2 intervals, the first of its trail"
    )
    assert reading.kinds == ("reference",)
    assert reading.facts.problems == ()


def test_only_a_digest_is_taken_for_one() -> None:
    detect = CloudTrailDigestParser().detect
    assert detect(sample(REAL), "x.png") is Confidence.CERTAIN
    assert detect(sample(REAL)[:700], "x") is Confidence.LIKELY
    log = b'{"Records":[{"eventVersion":"1.08","eventName":"x","eventSource":"y"}]}'
    assert detect(log, "327878933619_CloudTrail-Digest_x.json.gz") is Confidence.NONE
    assert detect(b"digestStartTime digestEndTime digestS3Object", "x") is Confidence.NONE


def test_the_source_is_what_the_key_says() -> None:
    key = (
        "prefix/AWSLogs/o-org/111122223333/CloudTrail-Digest/eu-west-1/2026/03/01/"
        "111122223333_CloudTrail-Digest_eu-west-1_a_trail_eu-west-1_20260301T010000Z{}.json.gz"
    )
    assert source_of(None, key.format("")) == "111122223333/eu-west-1/a_trail"
    assert source_of(None, key.format("_backfill")) == "111122223333/eu-west-1/a_trail/backfill"
    assert source_of("444455556666", "digest.json.gz") == "444455556666"
    assert source_of(7, 7) is None


# A chain.


class Trail:
    """A chain of digests, one an hour, as CloudTrail would have made it."""

    def __init__(self, suffix: str = "") -> None:
        self.suffix = suffix
        self.items: list[tuple[str, bytes, str]] = []  # key, bytes, signature
        self.logs: dict[str, bytes] = {}

    def key(self, hour: int) -> str:
        return (
            "AWSLogs/111122223333/CloudTrail-Digest/eu-west-1/2026/03/01/111122223333_"
            f"CloudTrail-Digest_eu-west-1_main_eu-west-1_20260301T{hour:02}0000Z{self.suffix}.json.gz"
        )

    def add(self, hour: int, *logs: str, **changes: Any) -> None:
        members: dict[str, Any] = {
            "awsAccountId": "111122223333",
            "digestStartTime": f"2026-03-01T{hour - 1:02}:00:00Z",
            "digestEndTime": f"2026-03-01T{hour:02}:00:00Z",
            "digestS3Bucket": BUCKET,
            "digestS3Object": self.key(hour),
            "digestPublicKeyFingerprint": FINGERPRINT,
            "digestSignatureAlgorithm": "SHA256withRSA",
            "previousDigestS3Bucket": None,
            "previousDigestS3Object": None,
            "previousDigestHashValue": None,
            "previousDigestHashAlgorithm": None,
            "previousDigestSignature": None,
            "logFiles": [],
        }
        if self.items:
            key, data, signature = self.items[-1]
            members |= {
                "previousDigestS3Bucket": BUCKET,
                "previousDigestS3Object": key,
                "previousDigestHashValue": hashlib.sha256(data).hexdigest(),
                "previousDigestHashAlgorithm": "SHA-256",
                "previousDigestSignature": signature,
            }
        for name in logs:
            content = b'{"Records":[%s]}' % name.encode()
            self.logs[LOG.format(name)] = content
            members["logFiles"].append(
                {
                    "s3Bucket": BUCKET,
                    "s3Object": LOG.format(name),
                    "hashValue": hashlib.sha256(content).hexdigest(),
                    "hashAlgorithm": "SHA-256",
                }
            )
        data = json.dumps(members | changes).encode()
        text = "\n".join(
            (
                members["digestEndTime"],
                f"{BUCKET}/{members['digestS3Object']}",
                hashlib.sha256(data).hexdigest(),
                members["previousDigestSignature"] or "null",
            )
        )
        signature = KEY.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()).hex()
        self.items.append((self.key(hour), data, signature))

    def stored(self, *, metadata: bool = True) -> list[Stored]:
        digests = [
            Stored(
                key.rpartition("/")[2],
                io.BytesIO(gzip.compress(data)),
                BUCKET if metadata else None,
                key if metadata else None,
                signature if metadata else None,
            )
            for key, data, signature in self.items
        ]
        logs = [
            Stored(key.rpartition("/")[2], io.BytesIO(gzip.compress(data)), BUCKET, key)
            for key, data in self.logs.items()
        ]
        return digests + logs


@pytest.fixture
def trail() -> Trail:
    made = Trail()
    made.add(1, "a")
    made.add(2, "b", "c")
    made.add(3)
    return made


def results(checked: Checked, name: str) -> list[str]:
    return [each.result for each in checked.verdicts if each.name == name]


def failures(checked: Checked) -> list[Verdict]:
    return [each for each in checked.verdicts if each.result not in ("passed", "unknown")]


def test_a_whole_chain_passes_in_any_order(trail: Trail) -> None:
    checked = check_chain(trail.stored(), KEYS)
    assert checked == check_chain(reversed(trail.stored()), KEYS)
    assert {each.result for each in checked.verdicts} == {"passed"}
    assert results(checked, "digest signature") == ["passed"] * 3
    assert results(checked, "digest place") == ["passed"] * 3
    assert results(checked, "previous digest") == ["passed"] * 2
    assert results(checked, "log file") == ["passed"] * 3
    assert checked.coverage == (
        Covered("2026-03-01T00:00:00Z", "2026-03-01T03:00:00Z", "111122223333/eu-west-1/main"),
    )
    assert (checked.gaps, checked.problems) == ((), ())


def test_without_metadata_a_digest_is_proven_by_the_one_behind_it(trail: Trail) -> None:
    checked = check_chain(trail.stored(metadata=False), KEYS)
    assert results(checked, "digest signature") == ["passed", "passed", "unknown"]
    assert results(checked, "digest place") == []
    assert results(checked, "log file") == ["passed"] * 3
    assert not failures(checked)


def test_without_the_key_nothing_is_claimed(trail: Trail) -> None:
    assert results(check_chain(trail.stored(), {}), "digest signature") == ["unknown"] * 3
    for key in (b"no key", KEYS[FINGERPRINT][:-1]):
        wrong = check_chain(trail.stored(), {FINGERPRINT: key})
        assert results(wrong, "digest signature") == ["inconclusive"] * 3
    other = rsa.generate_private_key(65537, 2048).public_key()
    public = other.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    wrong = check_chain(trail.stored(), {FINGERPRINT: public})
    assert results(wrong, "digest signature") == ["failed"] * 3
    assert wrong.coverage == ()


def test_a_changed_log_file_is_reported_and_no_other(trail: Trail) -> None:
    key = LOG.format("b")
    trail.logs[key] += b" "
    checked = check_chain(trail.stored(), KEYS)
    assert failures(checked) == [Verdict("log file", "failed", f"{BUCKET}/{key}")]


def test_a_log_file_that_is_not_there_is_no_failure(trail: Trail) -> None:
    del trail.logs[LOG.format("c")]
    checked = check_chain(trail.stored(), KEYS)
    assert results(checked, "log file") == ["passed", "passed", "unknown"]


def _changed(trail: Trail, hour: int, old: bytes, new: bytes) -> None:
    key, data, signature = trail.items[hour]
    assert old in data
    trail.items[hour] = key, data.replace(old, new), signature


@pytest.mark.parametrize(
    ("change", "signature", "previous"),
    [
        # a line of a log file taken out of the digest
        (lambda t: _changed(t, 1, b"log-b", b"log-x"), ["passed", "failed", "passed"], 1),
        # a digest made anew and signed with no key
        (lambda t: _changed(t, 0, b"111122223333", b"999922223333"), None, 0),
    ],
)
def test_a_changed_digest_breaks_signature_and_link(
    trail: Trail, change: Callable[[Trail], None], signature: list[str] | None, previous: int
) -> None:
    change(trail)
    checked = check_chain(trail.stored(), KEYS)
    if signature is not None:
        assert results(checked, "digest signature") == signature
        assert results(checked, "previous digest")[previous] == "failed"
    assert failures(checked)


def test_a_digest_taken_out_leaves_a_gap(trail: Trail) -> None:
    del trail.items[1]
    checked = check_chain(trail.stored(), KEYS)
    assert results(checked, "previous digest") == ["unknown"]
    source = "111122223333/eu-west-1/main"
    assert checked.coverage == (
        Covered("2026-03-01T00:00:00Z", "2026-03-01T01:00:00Z", source),
        Covered("2026-03-01T02:00:00Z", "2026-03-01T03:00:00Z", source),
    )
    assert checked.gaps == (Gap("2026-03-01T01:00:00Z", "2026-03-01T02:00:00Z", 3600),)


def test_a_moved_digest_is_told(trail: Trail) -> None:
    stored = trail.stored()
    moved = Stored(stored[0].name, stored[0].content, "other", stored[0].key, stored[0].signature)
    checked = check_chain([moved, *stored[1:]], KEYS)
    assert results(checked, "digest place") == ["failed", "passed", "passed"]
    assert checked.coverage[0].start == "2026-03-01T01:00:00Z"


def test_backfilled_digests_are_a_chain_of_their_own(trail: Trail) -> None:
    backfill = Trail("_backfill")
    backfill.add(1, "late")
    backfill.add(2)
    checked = check_chain([*trail.stored(), *backfill.stored()], KEYS)
    assert {each.result for each in checked.verdicts} == {"passed"}
    assert [each.source for each in checked.coverage] == [
        "111122223333/eu-west-1/main",
        "111122223333/eu-west-1/main/backfill",
    ]


def test_malformed_digests_prove_nothing_and_raise_nothing() -> None:
    short = Trail()
    short.add(1, "a")
    short.add(2, previousDigestHashValue="a" * 63, digestEndTime="yesterday")
    short.add(3, logFiles=[7, {"s3Object": LOG.format("a"), "hashValue": "b" * 63}, {}])
    short.add(4, logFiles="none", digestS3Bucket=None, digestS3Object=["x"])
    checked = check_chain(short.stored(), KEYS)
    assert "inconclusive" in results(checked, "previous digest")
    assert results(checked, "log file") == ["passed", "inconclusive"]
    assert any("63 digits" in each for each in checked.problems)
    assert any("without a key" in each for each in checked.problems)
    broken = [
        Stored("a", io.BytesIO(sample(REAL)[:700])),
        Stored("b", io.BytesIO(b"\x1f\x8bnothing")),
        Stored("c", io.BytesIO(b"")),
        Stored("d", io.BytesIO(b"[" * 100_000)),
        Stored("e", io.BytesIO(sample(REAL) + b"}")),
    ]
    checked = check_chain(broken, KEYS)
    assert checked.verdicts == ()
    assert checked.problems == (
        "a: a digest that is not JSON",
        "e: a digest that is not JSON",
    )


def test_real_digests_are_checked_as_far_as_they_go() -> None:
    real = [Stored(path.name, io.BytesIO(path.read_bytes())) for path in SAMPLES.glob("*.json")]
    checked = check_chain(real, KEYS)
    assert {each.result for each in checked.verdicts} == {"unknown"}
    assert len(results(checked, "log file")) == 6


def test_the_keys_are_taken_from_the_answer_of_the_service() -> None:
    value = b64encode(KEYS[FINGERPRINT]).decode()
    answer = {
        "PublicKeyList": [
            {"Fingerprint": FINGERPRINT, "Value": value, "ValidityStartTime": 1453076702.0},
            {"Fingerprint": "other", "Value": "not base64!"},
            {"Fingerprint": 7},
            7,
        ]
    }
    assert public_keys(answer) == KEYS
    assert public_keys([answer]) == public_keys({"PublicKeyList": 7}) == {}


def test_the_signed_text_is_as_the_service_writes_it() -> None:
    members = {
        "digestEndTime": "2026-03-01T01:00:00Z",
        "digestS3Bucket": "b",
        "digestS3Object": "k",
        "previousDigestSignature": None,
    }
    assert signed_text(members, "ff") == b"2026-03-01T01:00:00Z\nb/k\nff\nnull"
    members["previousDigestSignature"] = "00"
    assert signed_text(members, "ff").endswith(b"\nff\n00")
