"""CloudTrail digests: which log files were delivered in an hour, and their hashes. Checks none.

A digest lists the log files of one region and trail and names the digest before it. What that
proves is checked over several items, by `digest_chain`: one digest alone proves nothing, and its
own signature is not in the file but in the metadata of the S3 object.

- `coverage` is the digest's own interval. Its `source` is `<account>/<region>/<trail>`.
- `records` are the log files; first and last are the oldest and newest event in them.
- A digest without log files asserts that nothing was logged in its interval: that is a nil return.
- The first digest of a trail has no previous one. Those of `_backfill` form a chain of their own.
- Digests with hashes of 63 digits exist. They are told, and match nothing.
"""

from __future__ import annotations

import re
from typing import Any, BinaryIO

from ingest.parsers.access import marked
from ingest.parsers.bounded import counted
from ingest.parsers.gathering import Gathered
from ingest.parsers.parser import Confidence, Reading
from ingest.parsers.reach import has_marks
from ingest.parsers.records import RecordReader, Shape, shape_of
from ingest.parsers.times import Time, read_time
from verify.facts import Covered, Facts

SIGNED_BY = "SHA256withRSA"
NO_SIGNATURE = "its own signature (kept in the object's metadata)"

_LIST = ("logFiles",)
_MARKS = marked(
    "digestStartTime",
    "digestEndTime",
    "digestS3Object",
    "digestSignatureAlgorithm",
    "digestPublicKeyFingerprint",
    "previousDigestHashValue",
)
_ENOUGH_MARKS = 3
_KEPT = (
    "awsAccountId",
    "digestStartTime",
    "digestEndTime",
    "digestS3Bucket",
    "digestS3Object",
    "digestSignatureAlgorithm",
    "newestEventTime",
    "oldestEventTime",
    "previousDigestS3Object",
    "previousDigestHashValue",
    "previousDigestSignature",
)
_KEY = re.compile(
    r"(?:.*/)?CloudTrail-Digest/(?P<region>[a-z0-9-]+)/\d+/\d+/\d+/"
    r"(?P<account>\d{12})_CloudTrail-Digest_[a-z0-9-]+_(?P<trail>.+)_[a-z0-9-]+"
    r"_\d{8}T\d{6}Z(?P<backfill>_backfill)?\.json(?:\.gz)?",
    re.ASCII,
)


def source_of(account: object, key: object) -> str | None:
    """Whose digest it is, as its S3 key says: `<account>/<region>/<trail>`, and if backfilled."""
    match = _KEY.fullmatch(key[:1024]) if isinstance(key, str) else None
    if match is None:
        return account if isinstance(account, str) and account else None
    backfill = "/backfill" if match["backfill"] else ""
    return f"{match['account']}/{match['region']}/{match['trail']}{backfill}"


def malformed(value: object) -> str | None:
    """What is wrong with a hash, None if nothing is: 64 hexadecimal digits."""
    if not isinstance(value, str):
        return "that is no text"
    if not re.fullmatch(r"[0-9a-fA-F]*", value[:1024]):
        return "that is not hexadecimal"
    return None if len(value) == 64 else f"of {len(value)} digits instead of 64"


class CloudTrailDigestParser:
    """Reads a digest; several in one file, one after another, are read as one item."""

    name = "cloudtrail-digest"
    version = 1
    kinds = ("nil_return", "reference")
    whole = True

    def detect(self, head: bytes, name: str) -> Confidence:
        """Certain where the keys of a digest are there, and the list of log files begins."""
        del name
        if not has_marks(head, _MARKS, _ENOUGH_MARKS):
            return Confidence.NONE
        shape = shape_of(head, keys=_LIST)
        if shape is Shape.KEYED:
            return Confidence.CERTAIN
        return Confidence.NONE if shape is None else Confidence.LIKELY

    def read(self, stream: BinaryIO, name: str) -> Reading:
        """Read the digests and what they list."""
        del name
        reader = RecordReader(
            stream, shape=Shape.KEYED, keys=_LIST, keep=_KEPT, resumes_at=_is_log_file
        )
        gathered = Gathered()
        for offset, value in reader:
            if _is_log_file(value):
                _take_log_file(gathered, value)
            else:
                reader.note_bad(offset, "not a log file of a digest")
        digests = [each for each in reader.documents if "digestS3Object" in each]
        for digest in digests:
            _take_digest(gathered, digest)
        gathered.add("platforms", "aws")
        if digests:
            gathered.add("not_captured", NO_SIGNATURE)
        facts = gathered.facts(self, damage=reader)
        silent = bool(digests) and not facts.records and not facts.bad_records
        kinds = ("nil_return",) if silent else ("reference",)
        return Reading(facts, kinds, "CloudTrail digest", _summary(facts, digests))


def _is_log_file(value: object) -> bool:
    return isinstance(value, dict) and "s3Object" in value and "hashValue" in value


def _take_log_file(gathered: Gathered, value: dict[str, Any]) -> None:
    gathered.record()
    gathered.time(value.get("oldestEventTime"))
    gathered.time(value.get("newestEventTime"))
    if wrong := malformed(value.get("hashValue")):
        gathered.count_problem("hash of a log file", wrong)
    algorithm = value.get("hashAlgorithm")
    if algorithm != "SHA-256":
        gathered.count_problem("log file", "hashed by another algorithm than SHA-256")


def _take_digest(gathered: Gathered, digest: dict[str, object]) -> None:
    gathered.add("accounts", digest.get("awsAccountId"))
    for key in ("oldestEventTime", "newestEventTime"):
        gathered.time(digest.get(key))
    start, end = (read_time(digest.get(f"digest{each}Time")) for each in ("Start", "End"))
    if _names_an_interval(start, end):
        source = source_of(digest.get("awsAccountId"), digest.get("digestS3Object"))
        gathered.keep(Covered(start, end, source))  # type: ignore[arg-type]  # texts are made of both
    else:
        gathered.count_problem("digest", "without a readable interval")
    if digest.get("digestSignatureAlgorithm") != SIGNED_BY:
        gathered.count_problem("digest", f"not signed by {SIGNED_BY}")
    wrong = malformed(digest.get("previousDigestHashValue"))
    if wrong and digest.get("previousDigestS3Object") is not None:
        gathered.count_problem("hash of a previous digest", wrong)


def _names_an_interval(start: Time | None, end: Time | None) -> bool:
    if start is None or end is None or not start.zoned or not end.zoned:
        return False
    return start.nanoseconds <= end.nanoseconds


def _summary(facts: Facts, digests: list[dict[str, object]]) -> str:
    files = counted(facts.records, "log file") if facts.records else "no log files"
    covered = [f"{each.start} to {each.end}" for each in facts.coverage[:2]]
    when = covered[0] if len(covered) == 1 else counted(len(facts.coverage), "interval")
    first = any(each.get("previousDigestS3Object") is None for each in digests)
    parts = (
        counted(len(digests), "digest") if len(digests) > 1 else "",
        f"{files} delivered {when}",
        "the first of its trail" if first else "",
    )
    return ", ".join(part for part in parts if part)


PARSERS = (CloudTrailDigestParser(),)
