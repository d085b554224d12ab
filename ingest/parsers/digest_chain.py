"""Checking CloudTrail's proof over several items: digests, their chain, log files. No network.

A digest names the SHA-256 of each log file and of the digest before it, both over the unpacked
bytes, and is signed with a key of its region (SHA256withRSA, PKCS #1 v1.5) over four lines:

    digestEndTime
    <bucket>/<key>
    <SHA-256 of the unpacked digest>
    <previousDigestSignature, or the word null>

The signature is in the metadata of the digest's object. Where that was not exported, the digest
behind it repeats it as `previousDigestSignature`. Which key it was says its fingerprint.

Verdicts, by name, their subject being `<bucket>/<key>`; `unknown` is what there was nothing to
check with, `inconclusive` what could not prove anything, being malformed:

- "digest signature", for each digest;
- "digest place": it is the object that it says it is, for each whose key is known;
- "previous digest": the one before it has the hash that it names. A first digest has none;
- "log file": it has the hash that a digest names; where several items are it, one of them has.

`unlisted` are items named as CloudTrail names log files whose bytes no digest vouches for: no
verdict speaks of them, and whoever adds an event of his own makes one.

`coverage` are the intervals of digests of which nothing failed, whether or not they are proven.

Steps, numbered in the code: (1) sort the items; (2) signatures and places; (3) links; (4) log
files; (5) intervals and the gaps between them.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from ingest.parsers.bounded import clip
from ingest.parsers.cloudtrail_digest import (
    SIGNED_BY,
    CloudTrailDigestParser,
    malformed,
    source_of,
)
from ingest.parsers.gunzip import Unpacked, is_gzip
from ingest.parsers.parser import HEAD_SIZE, Confidence
from ingest.parsers.records import read_fully
from ingest.parsers.times import NANO, read_time, rfc3339
from ingest.parsers.trail_names import DIGEST_LIMIT, LOG_NAME
from verify.facts import Covered, Gap, Verdict

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Stored:
    """One item: its bytes, packed or not, and what its store said of it, as far as that is known.

    Without a key, a log file is known by its name.
    """

    name: str
    content: BinaryIO
    bucket: str | None = None
    key: str | None = None
    signature: str | None = None
    """Hexadecimal, from the metadata of the object."""
    sha256: str | None = None
    """Of the unpacked bytes of a log file, where somebody computed it; they are then not read."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What the items prove: verdicts in order of time, the intervals vouched for, and the gaps."""

    verdicts: tuple[Verdict, ...]
    coverage: tuple[Covered, ...]
    gaps: tuple[Gap, ...]
    problems: tuple[str, ...]
    unlisted: tuple[str, ...] = ()


@dataclass(slots=True)
class _Digest:
    """A digest that was read."""

    stored: Stored
    sha256: str
    members: dict[str, Any]
    signature: str | None
    start: int | None
    end: int | None
    broken: bool = False

    def text(self, key: str) -> str | None:
        value = self.members.get(key)
        return value if isinstance(value, str) else None

    @property
    def place(self) -> str:
        return f"{self.text('digestS3Bucket')}/{self.text('digestS3Object')}"

    @property
    def previous(self) -> str | None:
        key = self.text("previousDigestS3Object")
        return None if key is None else f"{self.text('previousDigestS3Bucket')}/{key}"


@dataclass(slots=True)
class _Items:
    digests: list[_Digest] = field(default_factory=list)
    logs: dict[str, set[str]] = field(default_factory=dict)  # hashes by key if known, or by name
    problems: list[str] = field(default_factory=list)


def public_keys(answer: object) -> dict[str, bytes]:
    """The keys of an answer of `aws cloudtrail list-public-keys`, by fingerprint."""
    listed = answer.get("PublicKeyList") if isinstance(answer, dict) else None
    keys: dict[str, bytes] = {}
    for each in listed if isinstance(listed, list) else ():
        if not isinstance(each, dict):
            continue
        fingerprint, value = each.get("Fingerprint"), each.get("Value")
        if isinstance(fingerprint, str) and isinstance(value, str):
            try:
                keys[fingerprint] = base64.b64decode(value, validate=True)
            except binascii.Error:
                continue
    return keys


def check_chain(items: Iterable[Stored], keys: Mapping[str, bytes]) -> Checked:
    """Check all that these items prove of each other, in any order. Raises only what reading does.

    `keys` are RSA public keys in DER (PKCS #1 or SubjectPublicKeyInfo), by fingerprint.
    """
    sorted_items = _sorted(items)  # 1
    digests = sorted(sorted_items.digests, key=lambda each: (each.end or 0, each.place))
    by_place = {each.place: each for each in digests}
    for each in digests:
        previous = by_place.get(each.previous or "")
        if previous is not None and previous.signature is None:
            previous.signature = each.text("previousDigestSignature")
    verdicts: list[Verdict] = []
    for digest in digests:
        verdicts += _signature_and_place(digest, keys)  # 2
    for digest in digests:
        verdicts += _link(digest, by_place)  # 3
    problems = sorted_items.problems
    for digest in digests:
        verdicts += _log_files(digest, sorted_items.logs, problems)  # 4
    if len(by_place) < len(digests):
        problems.append("two digests say that they are the same object")
    coverage, gaps = _intervals([each for each in digests if not each.broken])  # 5
    unlisted = _unlisted(digests, sorted_items.logs)
    return Checked(tuple(verdicts), coverage, gaps, tuple(dict.fromkeys(problems)), unlisted)


# 1. Sorting: a digest is told from a log file by its content.


def _sorted(items: Iterable[Stored]) -> _Items:
    found = _Items()
    parser = CloudTrailDigestParser()
    for item in items:
        logged = item.key or _base(item.name)
        if item.sha256 is not None:
            found.logs.setdefault(logged, set()).add(item.sha256)
            continue
        first = read_fully(item.content, 16)
        whole = io.BufferedReader(_Joined(first, item.content), _CHUNK)
        packed = is_gzip(first)
        replayed = io.BufferedReader(Unpacked(whole), _CHUNK) if packed else whole
        head = read_fully(replayed, HEAD_SIZE)
        if parser.detect(head, item.name) is Confidence.NONE:
            digest = hashlib.sha256(head)
            while chunk := replayed.read(_CHUNK):
                digest.update(chunk)
            found.logs.setdefault(logged, set()).add(digest.hexdigest())
            continue
        data = head + read_fully(replayed, DIGEST_LIMIT)
        read = _read_digest(item, data)
        if isinstance(read, str):
            found.problems.append(clip(f"{item.name}: {read}"))
        else:
            found.digests.append(read)
    return found


def _read_digest(item: Stored, data: bytes) -> _Digest | str:
    if len(data) > DIGEST_LIMIT:
        return "too large for a digest"
    try:
        members = json.loads(data)
    except (ValueError, RecursionError):
        return "a digest that is not JSON"
    if not isinstance(members, dict):
        return "not one digest"
    times = [read_time(members.get(f"digest{each}Time")) for each in ("Start", "End")]
    start, end = (each.nanoseconds if each and each.zoned else None for each in times)
    return _Digest(item, hashlib.sha256(data).hexdigest(), members, item.signature, start, end)


class _Joined(io.RawIOBase):
    """A stream whose first bytes were read already."""

    def __init__(self, first: bytes, rest: BinaryIO) -> None:
        self._first = first
        self._rest = rest

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        if not self._first:
            return self._rest.read(size)
        data, self._first = self._first[:size], self._first[size:]
        return data

    def readinto(self, buffer: Any, /) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _base(name: str) -> str:
    return name.replace("\\", "/").rpartition("/")[2].removesuffix(".gz")


# 2. Signatures and places.


def _signature_and_place(digest: _Digest, keys: Mapping[str, bytes]) -> list[Verdict]:
    result = _signature(digest, keys)
    verdicts = [_verdict("digest signature", result, digest.place)]
    stored = digest.stored
    if stored.key is not None:
        here = digest.text("digestS3Object") == stored.key and (
            stored.bucket is None or digest.text("digestS3Bucket") == stored.bucket
        )
        digest.broken |= not here
        verdicts.append(_verdict("digest place", "passed" if here else "failed", digest.place))
    return verdicts


def _signature(digest: _Digest, keys: Mapping[str, bytes]) -> str:
    key = keys.get(digest.text("digestPublicKeyFingerprint") or "")
    if digest.signature is None or key is None:
        return "unknown"
    if digest.text("digestSignatureAlgorithm") != SIGNED_BY:
        return "inconclusive"
    try:
        public = serialization.load_der_public_key(key)
        signature = bytes.fromhex(digest.signature)
    except (ValueError, UnsupportedAlgorithm):
        return "inconclusive"
    if not isinstance(public, rsa.RSAPublicKey):
        return "inconclusive"
    try:
        public.verify(signature, signed_text(digest.members, digest.sha256), _PADDING, _HASH)
    except InvalidSignature:
        digest.broken = True
        return "failed"
    return "passed"


_PADDING = padding.PKCS1v15()
_HASH = hashes.SHA256()


def signed_text(members: Mapping[str, Any], sha256: str) -> bytes:
    """What the signature of a digest is over, given its members and the hash of its bytes."""
    previous = members.get("previousDigestSignature")
    place = f"{members.get('digestS3Bucket')}/{members.get('digestS3Object')}"
    lines = (members.get("digestEndTime"), place, sha256, "null" if previous is None else previous)
    return "\n".join(map(str, lines)).encode("utf-8", "surrogatepass")


# 3. Links.


def _link(digest: _Digest, by_place: Mapping[str, _Digest]) -> list[Verdict]:
    if digest.previous is None:
        return []
    named = digest.members.get("previousDigestHashValue")
    previous = by_place.get(digest.previous)
    if malformed(named):
        result = "inconclusive"
    elif previous is None:
        result = "unknown"
    elif previous.sha256 == str(named).lower():
        result = "passed"
    else:
        result = "failed"
        previous.broken = True
    return [_verdict("previous digest", result, digest.previous)]


# 4. Log files.


def _log_files(digest: _Digest, logs: Mapping[str, set[str]], problems: list[str]) -> list[Verdict]:
    listed = digest.members.get("logFiles")
    verdicts = []
    for each in listed if isinstance(listed, list) else ():
        if not isinstance(each, dict) or not isinstance(key := each.get("s3Object"), str):
            problems.append(clip(f"{digest.place}: a log file without a key"))
            continue
        named = each.get("hashValue")
        found = logs.get(key, logs.get(_base(key)))
        if wrong := malformed(named):
            problems.append(clip(f"{key}: a hash {wrong}"))
            result = "inconclusive"
        elif each.get("hashAlgorithm") != "SHA-256":
            result = "inconclusive"
        elif found is None:
            result = "unknown"
        else:
            result = "passed" if str(named).lower() in found else "failed"
            if result == "passed" and len(found) > 1:
                problems.append(clip(f"{key}: one of {len(found)} items is what was delivered"))
        verdicts.append(_verdict("log file", result, f"{each.get('s3Bucket')}/{key}"))
    return verdicts


def _unlisted(digests: list[_Digest], logs: Mapping[str, set[str]]) -> tuple[str, ...]:
    listed: dict[str, set[str]] = {}
    for digest in digests:
        files = digest.members.get("logFiles")
        for each in files if isinstance(files, list) else ():
            if isinstance(each, dict) and isinstance(key := each.get("s3Object"), str):
                for name in (key, _base(key)):
                    listed.setdefault(name, set()).add(str(each.get("hashValue")).lower())
    named = (name for name in logs if LOG_NAME.search(name))
    # A log file of which no item is right has failed; a verdict says so.
    return tuple(
        sorted(
            clip(name)
            for name in named
            if name not in listed or (logs[name] & listed[name] and logs[name] - listed[name])
        )
    )


# 5. Intervals.


def _intervals(digests: list[_Digest]) -> tuple[tuple[Covered, ...], tuple[Gap, ...]]:
    """What digests speak for, joined where one follows another, and what lies between them."""
    chains: dict[str, list[tuple[int, int]]] = {}
    for digest in digests:
        source = source_of(digest.members.get("awsAccountId"), digest.text("digestS3Object"))
        if digest.start is not None and digest.end is not None and digest.start <= digest.end:
            chains.setdefault(source or "", []).append((digest.start, digest.end))
    coverage: list[Covered] = []
    gaps: list[Gap] = []
    for source, intervals in sorted(chains.items()):
        intervals.sort()
        start, end = intervals[0]
        for each in intervals[1:]:
            if each[0] <= end:
                end = max(end, each[1])
                continue
            coverage.append(Covered(rfc3339(start), rfc3339(end), clip(source) or None))
            gaps.append(Gap(rfc3339(end), rfc3339(each[0]), (each[0] - end) // NANO))
            start, end = each
        coverage.append(Covered(rfc3339(start), rfc3339(end), clip(source) or None))
    return tuple(coverage), tuple(gaps)


def _verdict(name: str, result: str, subject: str) -> Verdict:
    return Verdict(name, result, clip(subject))
