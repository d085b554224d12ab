"""CloudTrail's digests among what is read: the word for the logs beside them, and why."""

from __future__ import annotations

import gzip
import hashlib
import json
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from cli_support import Evault, run
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

BUCKET = "trail-bucket"
ACCOUNT = "111122223333"
KEY = rsa.generate_private_key(65537, 2048)
DER = KEY.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.PKCS1)
FINGERPRINT = hashlib.md5(DER).hexdigest()
# As the command prints it; times are floats in older versions of it.
ANSWER = {
    "PublicKeyList": [
        {
            "Value": b64encode(DER).decode(),
            "ValidityStartTime": 1767225600.0,
            "ValidityEndTime": "2026-12-31T00:00:00+00:00",
            "Fingerprint": FINGERPRINT,
        }
    ]
}
EVENT = {
    "eventVersion": "1.08",
    "eventName": "GetObject",
    "eventSource": "s3.amazonaws.com",
    "eventTime": "2026-03-01T00:10:00Z",
    "awsRegion": "eu-west-1",
    "eventID": "",
}


class Trail:
    """Objects as CloudTrail puts them, two digests of an hour each: key, bytes, metadata."""

    def __init__(self) -> None:
        self.objects: dict[str, tuple[bytes, dict[str, str]]] = {}
        previous: tuple[str, bytes, str] | None = None
        for hour in (1, 2):
            log = json.dumps({"Records": [EVENT | {"eventID": f"id-{hour}"}]}).encode()
            self.objects[self.log(hour)] = gzip.compress(log, mtime=0), {}
            previous = self._digest(hour, log, previous)

    def _digest(
        self, hour: int, log: bytes, previous: tuple[str, bytes, str] | None
    ) -> tuple[str, bytes, str]:
        before = previous or (None, b"", None)
        members: dict[str, Any] = {
            "awsAccountId": ACCOUNT,
            "digestStartTime": f"2026-03-01T0{hour - 1}:00:00Z",
            "digestEndTime": f"2026-03-01T0{hour}:00:00Z",
            "digestS3Bucket": BUCKET,
            "digestS3Object": self.digest(hour),
            "digestPublicKeyFingerprint": FINGERPRINT,
            "digestSignatureAlgorithm": "SHA256withRSA",
            "previousDigestS3Bucket": previous and BUCKET,
            "previousDigestS3Object": before[0],
            "previousDigestHashValue": previous and hashlib.sha256(before[1]).hexdigest(),
            "previousDigestHashAlgorithm": previous and "SHA-256",
            "previousDigestSignature": before[2],
            "logFiles": [
                {
                    "s3Bucket": BUCKET,
                    "s3Object": self.log(hour),
                    "hashValue": hashlib.sha256(log).hexdigest(),
                    "hashAlgorithm": "SHA-256",
                }
            ],
        }
        data = json.dumps(members).encode()
        # The four lines of AWS's own description of how a digest is signed.
        text = "\n".join(
            (
                members["digestEndTime"],
                f"{BUCKET}/{self.digest(hour)}",
                hashlib.sha256(data).hexdigest(),
                before[2] or "null",
            )
        )
        signature = KEY.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()).hex()
        metadata = {"signature": signature, "signature-algorithm": "SHA256withRSA"}
        self.objects[self.digest(hour)] = gzip.compress(data, mtime=0), metadata
        return self.digest(hour), data, signature

    @staticmethod
    def log(hour: int) -> str:
        day = f"AWSLogs/{ACCOUNT}/CloudTrail/eu-west-1/2026/03/01"
        return f"{day}/{ACCOUNT}_CloudTrail_eu-west-1_20260301T0{hour}00Z_abc.json.gz"

    @staticmethod
    def digest(hour: int) -> str:
        day = f"AWSLogs/{ACCOUNT}/CloudTrail-Digest/eu-west-1/2026/03/01"
        name = f"{ACCOUNT}_CloudTrail-Digest_eu-west-1_main_eu-west-1_20260301T0{hour}0000Z"
        return f"{day}/{name}.json.gz"

    def in_folder(self, evault: Evault) -> str:
        for key, (data, _) in self.objects.items():
            evault.file(f"trail/{key}", data)
        return "trail"

    def in_bucket(self, trail_bucket: Any) -> str:
        for key, (data, metadata) in self.objects.items():
            trail_bucket.put_object(Bucket=BUCKET, Key=key, Body=data, Metadata=metadata)
        return f"s3://{BUCKET}/AWSLogs"


@pytest.fixture
def trail() -> Trail:
    return Trail()


@pytest.fixture
def keys(evault: Evault) -> Path:
    return evault.file("keys.json", json.dumps(ANSWER).encode())


def chain_of(evault: Evault, *words: object, code: int = 0) -> Any:
    chain = evault.answer("inspect", "inspect", *words, code=code)["digest_chain"]
    said = run("inspect", *words)
    assert said.code == code
    word = None if chain is None else chain["verdict"]
    assert [
        each
        for each in ("FAILED", "unverified", "verified")
        if f"CloudTrail digests {each}:" in said.out
    ] == ([] if word is None else [word.upper() if word == "failed" else word])
    return chain


def test_a_bucket_with_its_key_is_verified(
    evault: Evault, case: str, trail_bucket: Any, trail: Trail, keys: Path
) -> None:
    where = trail.in_bucket(trail_bucket)
    chain = chain_of(evault, where, "--digest-keys", keys)
    assert (chain["verdict"], chain["reasons"], chain["unlisted"]) == ("verified", [], [])
    assert {each["result"] for each in chain["verdicts"]} == {"passed"}
    assert [(each["start"], each["end"]) for each in chain["coverage"]] == [
        ("2026-03-01T00:00:00Z", "2026-03-01T02:00:00Z")
    ]
    said = evault.answer("ingest", "ingest", case, where, "--digest-keys", keys)
    assert said["digest_chain"] == chain
    assert len(said["items"]) == 4
    evault.sound()


def test_without_a_key_nothing_is_called_verified(
    evault: Evault, case: str, trail_bucket: Any, trail: Trail
) -> None:
    where = trail.in_bucket(trail_bucket)
    chain = chain_of(evault, where)
    assert chain["verdict"] == "unverified"
    assert chain["reasons"] == ["2 digests without proof: no public keys were given"]
    told = evault("ingest", case, where).out
    assert "CloudTrail digests unverified: 2 digests without proof" in told
    assert "verified: 2 digests, " not in told


def test_in_a_folder_the_last_digest_has_no_signature(
    evault: Evault, trail: Trail, keys: Path
) -> None:
    chain = chain_of(evault, trail.in_folder(evault), "--digest-keys", keys)
    assert chain["verdict"] == "unverified"
    assert chain["reasons"] == ["1 digest without proof: its key or its signature is not here"]
    logs = [each for each in chain["verdicts"] if each["name"] == "log file"]
    assert [each["result"] for each in logs] == ["passed", "passed"]


def test_a_log_with_an_event_changed_fails_with_its_place_and_is_kept(
    evault: Evault, case: str, trail_bucket: Any, trail: Trail, keys: Path
) -> None:
    forged = json.dumps({"Records": [EVENT | {"eventID": "forged"}]}).encode()
    trail.objects[trail.log(2)] = gzip.compress(forged, mtime=0), {}
    where = trail.in_bucket(trail_bucket)
    for more in ([], ["--digest-keys", keys]):
        chain = chain_of(evault, where, *more, code=1)
        assert chain["verdict"] == "failed"
        assert chain["reasons"] == [f"log file {BUCKET}/{trail.log(2)}"]
    said = evault.answer("ingest", "ingest", case, where, "--digest-keys", keys, code=1)
    assert said["digest_chain"]["verdict"] == "failed"
    assert len(said["items"]) == 4
    evault.sound()


def test_a_log_put_in_beside_the_others_is_told(
    evault: Evault, trail_bucket: Any, trail: Trail, keys: Path
) -> None:
    trail.objects[trail.log(3)] = trail.objects[trail.log(1)]
    chain = chain_of(evault, trail.in_bucket(trail_bucket), "--digest-keys", keys)
    assert chain["verdict"] == "unverified"
    assert chain["reasons"] == ["1 log file that no digest lists"]
    assert chain["unlisted"] == [trail.log(3)]


def test_a_log_taken_away_is_told(
    evault: Evault, trail_bucket: Any, trail: Trail, keys: Path
) -> None:
    del trail.objects[trail.log(1)]
    chain = chain_of(evault, trail.in_bucket(trail_bucket), "--digest-keys", keys)
    assert (chain["verdict"], chain["reasons"]) == (
        "unverified",
        ["1 log file listed, and not here"],
    )


def test_another_key_under_the_same_fingerprint_fails(
    evault: Evault, trail_bucket: Any, trail: Trail
) -> None:
    other = rsa.generate_private_key(65537, 2048).public_key()
    der = other.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.PKCS1)
    [listed] = ANSWER["PublicKeyList"]
    answer = {"PublicKeyList": [listed | {"Value": b64encode(der).decode()}]}
    keys = evault.file("other.json", json.dumps(answer).encode())
    chain = chain_of(evault, trail.in_bucket(trail_bucket), "--digest-keys", keys, code=1)
    assert chain["verdict"] == "failed"
    assert len(chain["reasons"]) == 2


def test_without_digests_there_is_nothing_to_say(evault: Evault, trail: Trail) -> None:
    trail.objects = {key: each for key, each in trail.objects.items() if "Digest" not in key}
    assert chain_of(evault, trail.in_folder(evault)) is None


@pytest.mark.parametrize("data", [b"", b"{}", b"[", b'{"PublicKeyList": [{"Value": "!"}]}'])
def test_a_file_without_keys_is_refused(evault: Evault, case: str, data: bytes) -> None:
    evault.file("keys.json", data)
    evault.file("a", b"x")
    before = evault.link(case)
    said = evault.refused("ingest", case, "a", "--digest-keys", "keys.json")
    assert "list-public-keys" in said
    assert "cannot read" in evault.refused("inspect", "a", "--digest-keys", "absent")
    assert evault.link(case) == before


def test_all_versions_of_a_log_are_taken_and_the_false_one_is_told(
    evault: Evault, case: str, trail_bucket: Any, trail: Trail, keys: Path
) -> None:
    where = trail.in_bucket(trail_bucket)
    first = trail_bucket.head_object(Bucket=BUCKET, Key=trail.log(2))["VersionId"]
    forged = gzip.compress(json.dumps({"Records": [EVENT | {"eventID": "x"}]}).encode(), mtime=0)
    second = trail_bucket.put_object(Bucket=BUCKET, Key=trail.log(2), Body=forged)["VersionId"]
    assert chain_of(evault, where, "--digest-keys", keys, code=1)["verdict"] == "failed"
    said = evault.answer("ingest", "ingest", case, where, "--all-versions", "--digest-keys", keys)
    base = f"s3://{BUCKET}/{trail.log(2)}"
    items = [item for item in said["items"] if item["path"].startswith(base)]
    assert [item["path"] for item in items] == [
        f"{base}?versionId={second}",
        f"{base}?versionId={first}",
    ]
    assert items[0]["sha256"] == hashlib.sha256(forged).hexdigest()
    assert f"s3 version id {first}" in items[1]["remarks"]
    chain = said["digest_chain"]
    assert chain["verdict"] == "unverified"
    assert chain["unlisted"] == [trail.log(2)]


def test_a_deleted_log_is_found_again_and_its_deletion_is_on_record(
    evault: Evault, case: str, trail_bucket: Any, trail: Trail, keys: Path
) -> None:
    where = trail.in_bucket(trail_bucket)
    marker = trail_bucket.delete_object(Bucket=BUCKET, Key=trail.log(1))["VersionId"]
    said = evault.answer(
        "ingest", "ingest", case, where, "--all-versions", "--digest-keys", keys, code=1
    )
    [missed] = said["not_kept"]
    assert f"version id {marker}" in missed["detail"]
    assert said["digest_chain"]["verdict"] == "verified"
    assert "s3://" in evault.refused("ingest", case, "trail", "--all-versions")
