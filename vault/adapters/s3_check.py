"""Trying on a bucket what the vault relies on, before anything is trusted to it.

Nothing is taken from the bucket's configuration alone, and nothing from an answer alone: after
each refusal the scratch object is looked at again. The scratch keys lie below `check/` under the
store's prefix; what was locked there can be removed when its minute is over, by `remove`, or by
the next check. Versioning is never switched, nor any other setting of the bucket: where the
attempt succeeded, it would harm.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from vault.adapters.s3 import S3Place, readable_errors
from vault.errors import UnavailableError
from vault.ports import Clock
from vault.ulid import new_ulid, ulid_time
from verify.digest import b64
from verify.report import Outcome, Verdict

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

SCRATCH = "check/"
LOCK_FOR = timedelta(seconds=60)
MAX_SKEW = timedelta(seconds=60)

RIGHTS = (
    "s3:ListBucket", "s3:ListBucketVersions", "s3:ListBucketMultipartUploads",
    "s3:GetObject", "s3:GetObjectVersion", "s3:GetObjectRetention", "s3:GetObjectLegalHold",
    "s3:PutObject", "s3:PutObjectRetention", "s3:PutObjectLegalHold", "s3:AbortMultipartUpload",
)  # fmt: skip
"""What the vault needs to be allowed; a check also needs `s3:DeleteObjectVersion`."""

_EXTENSION = timedelta(seconds=5)
_ROUNDS = 5
_PART = 5 << 20
_REFUSED = ("412", "PreconditionFailed", "ConditionalRequestConflict", "409")
_ABSENT = ("404", "NoSuchKey", "NoSuchVersion")


class Ability(StrEnum):
    """What a bucket must be able to do; without one of these it is refused, or accepted as such."""

    ACCESS = "plain reading and writing"
    VERSIONS = "versioning"
    LOCKS = "Object Lock"
    CONDITIONS = "conditional writes"
    CHECKSUMS = "checksums"


@dataclass(frozen=True, slots=True)
class Probe:
    """One thing that is tried."""

    name: str
    ability: Ability | None
    """What it belongs to; None where the vault works without it."""
    claim: str
    """What holds where it passed."""
    risk: str
    """What follows where it did not."""
    remedy: str


@dataclass(frozen=True, slots=True)
class Tried:
    """A probe and what came of it."""

    probe: Probe
    outcome: Outcome
    detail: str = ""
    """What was seen where it did not pass."""
    remedy: str = ""
    """What to do about that."""
    advice: str = ""
    """What to consider although it passed."""


@dataclass(frozen=True, slots=True)
class BucketReport:
    """All probes of one check."""

    tried: tuple[Tried, ...]

    @property
    def verdict(self) -> Verdict:
        """Failed if anything failed, inconclusive if anything could not be tried."""
        outcomes = {each.outcome for each in self.tried}
        if Outcome.FAILED in outcomes:
            return Verdict.FAILED
        return Verdict.INCONCLUSIVE if Outcome.NOT_CHECKED in outcomes else Verdict.PASSED

    @property
    def lacks(self) -> tuple[str, ...]:
        """What the vault relies on and was not shown to work, the gravest first."""
        found = {each.probe.ability for each in self.tried if each.outcome != Outcome.PASSED}
        return tuple(each.value for each in Ability if each in found)


@dataclass(frozen=True, slots=True)
class Remaining:
    """A scratch object that is still there."""

    key: str
    version_id: str | None


class _FailedError(Exception):
    """A probe showed that something does not work."""


class _UntriedError(Exception):
    """A probe could not be judged: why, and what to do."""

    def __init__(self, why: str, remedy: str) -> None:
        super().__init__(why)
        self.remedy = remedy


class BucketCheck:
    """One check of one bucket: `run`, then `remove`."""

    def __init__(
        self, place: S3Place, client: S3Client, *, clock: Clock, lock_for: timedelta = LOCK_FOR
    ) -> None:
        self.place = place
        self._client = client
        self._clock = clock
        self._lock_for = lock_for
        self._run = f"{SCRATCH}{new_ulid(clock())}/"
        self._skew = timedelta(0)
        self._may_delete: bool | None = None
        self._made: list[Remaining] = []
        self.locked_until: datetime | None = None
        """When the last scratch lock ends, by this machine's clock."""

    def run(self, progress: Callable[[str], None] = lambda _: None) -> BucketReport:
        """Try everything, and remove what is not locked. Raises `UnavailableError`."""
        with readable_errors(f"check {self.place.url}"):
            self._remove_earlier()
            tried: list[Tried] = []
            for probe, attempt in self._attempts():
                if any(each.probe is _NO_DEFAULT and _is_bad(each) for each in tried):
                    # Whatever is put there now would stay for as long as that default says.
                    why = "what is tried now would stay locked for as long as the default says"
                    remedy = "see no default lock; then check again"
                    tried.append(Tried(probe, Outcome.NOT_CHECKED, why, remedy))
                    continue
                progress(probe.name)
                tried.append(_outcome(probe, attempt))
            self.remove()
            return BucketReport(tuple(tried))

    def remove(self) -> list[Remaining]:
        """Remove this check's scratch objects; those that are still there, being locked."""
        with ThreadPoolExecutor(self.place.concurrency) as pool:
            gone = list(pool.map(self._remove, self._made))
        self._made = [each for each, removed in zip(self._made, gone, strict=True) if not removed]
        return list(self._made)

    def close(self) -> None:
        """Let go of connections."""
        self._client.close()

    def _attempts(self) -> list[tuple[Probe, Callable[[], str | None]]]:
        """The probes in the order in which they are tried."""
        return [
            (_CLOCK, self._clock_agrees),
            (_NO_DEFAULT, self._no_default_retention),
            (_VERSIONS, self._versions),
            (_MARKER, self._marker),
            (_LISTING, self._listing),
            (_RANGES, self._ranges),
            (_ONCE, self._once),
            (_ONCE_PARTS, self._once_in_parts),
            (_RACE, self._race),
            (_CHECKSUM, self._checksum),
            (_CHECKSUM_PARTS, self._checksum_of_part),
            (_CHECKSUM_KEPT, self._checksum_kept),
            (_UNFINISHED, self._unfinished),
            (_GOVERNANCE, self._governance),
            (_COMPLIANCE, self._compliance),
            (_LOCKED_PARTS, self._locked_in_parts),
            (_HOLD, self._hold),
        ]

    # The probes. Each returns advice or nothing, or raises _FailedError or _UntriedError.

    def _clock_agrees(self) -> None:
        before = self._clock()
        try:
            answer = self._client.head_bucket(Bucket=self.place.bucket)
        except ClientError as error:
            if _status(error) == 404:
                raise UnavailableError(
                    f"there is no bucket {self.place.bucket}; make it with Object Lock: "
                    f"aws s3api create-bucket --bucket {self.place.bucket} "
                    "--object-lock-enabled-for-bucket"
                ) from error
            if _status(error) == 403:
                raise UnavailableError(
                    f"cannot use {self.place.url}: permission denied; check the credentials, and "
                    f"give them {', '.join(RIGHTS)}"
                ) from error
            raise
        middle = before + (self._clock() - before) / 2
        stated = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
        if stated is None:
            raise _UntriedError("the server does not say what time it is", "compare the clocks")
        # The header has whole seconds.
        self._skew = parsedate_to_datetime(stated) + timedelta(seconds=0.5) - middle
        if abs(self._skew) > MAX_SKEW:
            seconds = round(abs(self._skew).total_seconds())
            word = "ahead of" if self._skew > timedelta(0) else "behind"
            raise _FailedError(f"the server's clock is {seconds:,} s {word} this machine's")

    def _no_default_retention(self) -> None:
        with suppress(ClientError):  # few are allowed to ask; the object below tells as well
            known = self._client.get_object_lock_configuration(Bucket=self.place.bucket)
            rule = known["ObjectLockConfiguration"].get("Rule", {}).get("DefaultRetention")
            if rule:
                length = f"{rule['Days']} days" if "Days" in rule else f"{rule.get('Years')} years"
                raise _FailedError(f"the bucket's default is {rule.get('Mode')} for {length}")
        made = self._put("unlocked", b"written without retention")
        head = self._head(made)
        if head.get("ObjectLockMode"):
            raise _FailedError(
                f"what was put without retention is locked ({head['ObjectLockMode']}) "
                f"until {head.get('ObjectLockRetainUntilDate')}"
            )

    def _versions(self) -> None:
        first, second = self._put("versions", b"first"), self._put("versions", b"second")
        if not first.version_id or not second.version_id or first.version_id == "null":
            raise _FailedError("the bucket gives no version ids: versioning is off")
        if first.version_id == second.version_id:
            raise _FailedError("two writes got the same version id")
        if (self._get(first), self._get(second)) != (b"first", b"second"):
            raise _FailedError("a version was read that is not the one that was named")

    def _marker(self) -> None:
        made = self._put("marker", b"under a marker")
        answer = self._delete_key(made.key)
        if answer.get("VersionId"):
            self._made.append(Remaining(made.key, answer["VersionId"]))
        if not self._is_there(made):
            raise _FailedError("a deletion without a version destroyed the object")
        if not answer.get("DeleteMarker"):
            raise _FailedError("the deletion laid no delete marker")
        if self._get(made) != b"under a marker":
            raise _FailedError("the version under the marker reads otherwise than before")

    def _listing(self) -> None:
        key = "listing"
        expected = [self._put(key, bytes([number])).version_id for number in range(3)]
        self._put(f"{key}-neighbour", b"another key")
        pages = self._client.get_paginator("list_object_versions").paginate(
            Bucket=self.place.bucket,
            Prefix=self._key(f"{self._run}{key}"),
            PaginationConfig={"PageSize": 2},
        )
        found = [each for page in pages for each in page.get("Versions", ())]
        names = [each["Key"].rpartition("/")[2] for each in found]
        if names != [key, key, key, f"{key}-neighbour"]:
            raise _FailedError(f"3 versions and a neighbour were put, {len(found)} were listed")
        if [each["VersionId"] for each in found[:3]] != expected[::-1]:
            raise _FailedError("versions are not listed with the newest first")
        if [each["IsLatest"] for each in found] != [True, False, False, True]:
            raise _FailedError("the list does not say rightly which version is the newest")
        try:
            self._client.head_object(Bucket=self.place.bucket, Key=self._key(f"{self._run}absent"))
        except ClientError as error:
            if _code(error) not in _ABSENT:
                raise
        else:
            raise _FailedError("a key that was never written is said to be there")

    def _ranges(self) -> None:
        made = self._put("ranges", b"0123456789")
        if made.version_id:
            self._put("ranges", b"another ten")
        if self._get(made, "bytes=2-4") != b"234" or self._get(made, "bytes=8-") != b"89":
            raise _FailedError("other bytes came than the range asked for")
        try:
            self._get(made, "bytes=10-")
        except ClientError as error:
            if _code(error) != "InvalidRange":
                raise
        else:
            raise _FailedError("a range beyond the end is not refused")

    def _once(self) -> None:
        made = self._put("once", b"first", IfNoneMatch="*")
        self._expect_refused(
            lambda: self._put("once", b"second", IfNoneMatch="*"), _REFUSED, "the second write"
        )
        if self._get(Remaining(made.key, None)) != b"first":
            raise _FailedError("the second write was refused, and yet changed the object")

    def _once_in_parts(self) -> None:
        made = self._put_parts("once-parts", [b"first"], IfNoneMatch="*")
        self._expect_refused(
            lambda: self._put_parts("once-parts", [b"second"], IfNoneMatch="*"),
            _REFUSED,
            "the second completion",
        )
        if self._get(Remaining(made.key, None)) != b"first":
            raise _FailedError("the second write was refused, and yet changed the object")

    def _race(self) -> None:
        winners = 0
        for number in range(_ROUNDS):
            name = f"race-{number}"
            won = self._race_once(name)
            winners += len(won)
            if len(won) > 1:
                raise _FailedError("both of two writers at once were told that they were first")
            if won and self._get(Remaining(f"{self._run}{name}", None)) != won[0]:
                raise _FailedError("the bytes of the writer that lost are there")
        # Both may be told to try again (409), but not always.
        if not winners:
            raise _FailedError(f"neither of two writers was first, {_ROUNDS} times in a row")

    def _race_once(self, name: str) -> list[bytes]:
        """What those wrote who were told that they were first."""
        start = threading.Barrier(2)

        def write(data: bytes) -> bytes | None:
            start.wait()
            try:
                self._put(name, data, IfNoneMatch="*")
            except ClientError as error:
                if not _is_one_of(error, _REFUSED):
                    raise
                return None
            return data

        with ThreadPoolExecutor(2) as pool:
            found = [each.result() for each in [pool.submit(write, each) for each in (b"1", b"2")]]
        return [each for each in found if each is not None]

    def _checksum(self) -> None:
        wrong = hashlib.sha256(b"what was meant").digest()
        self._expect_refused(
            lambda: self._put("checksum", b"what was sent", digest=wrong),
            None,
            "bytes under another SHA-256 than theirs",
        )
        if self._is_there(Remaining(f"{self._run}checksum", None)):
            raise _FailedError("the wrong bytes were refused, and yet are there")

    def _checksum_of_part(self) -> None:
        upload = self._begin("checksum-part")
        try:
            wrong = hashlib.sha256(b"what was meant").digest()
            self._expect_refused(
                lambda: self._put_part("checksum-part", upload, 1, b"what was sent", wrong),
                None,
                "a part under another SHA-256 than its own",
            )
        finally:
            self._abort("checksum-part", upload)

    def _checksum_kept(self) -> None:
        data = b"one piece"
        found = self._head(self._put("kept", data)).get("ChecksumSHA256")
        if found != b64(hashlib.sha256(data).digest()):
            raise _FailedError(
                f"an object put whole comes with {'another' if found else 'no'} SHA-256"
            )
        parts = [bytes(_PART), b"the last part"]
        digests = b"".join(hashlib.sha256(each).digest() for each in parts)
        expected = f"{b64(hashlib.sha256(digests).digest())}-2"
        found = self._head(self._put_parts("kept-parts", parts)).get("ChecksumSHA256")
        if found != expected:
            raise _FailedError(
                f"an object put in parts comes with {'another' if found else 'no'} SHA-256"
            )

    def _unfinished(self) -> None:
        upload = self._begin("unfinished")
        try:
            if upload not in self._uploads("unfinished"):
                raise _FailedError("an upload that was begun is not listed")
        finally:
            self._abort("unfinished", upload)
        if upload in self._uploads("unfinished"):
            raise _FailedError("an upload that was given up is still listed")

    def _governance(self) -> str | None:
        made, until = self._put_locked("governance", "GOVERNANCE")
        self._expect_kept(made, bypass=False)
        self._retain(made, "GOVERNANCE", until - self._lock_for / 2)
        self._expect_lock(made, "GOVERNANCE", until, "shortened")
        # Who may pass a governance lock is for the bucket's owner to say; it is told, not judged.
        self._try_to_delete(made, bypass=True)
        if self._is_there(made):
            return None
        self._made.remove(made)
        return (
            "these credentials may lift it (s3:BypassGovernanceRetention): give evault some that "
            "may not, or lock in compliance mode"
        )

    def _compliance(self) -> None:
        made, until = self._put_locked("compliance", "COMPLIANCE")
        for bypass in (False, True):
            self._expect_kept(made, bypass=bypass)
            self._retain(made, "COMPLIANCE", until - self._lock_for / 2, bypass=bypass)
            self._expect_lock(made, "COMPLIANCE", until, "shortened")
            self._retain(made, "GOVERNANCE", until, bypass=bypass)
            self._expect_lock(made, "COMPLIANCE", until, "turned into a weaker one")
        longer = until + _EXTENSION
        self._note_lock(longer)
        self._client.put_object_retention(
            **self._where(made), Retention={"Mode": "COMPLIANCE", "RetainUntilDate": longer}
        )
        self._expect_lock(made, "COMPLIANCE", longer, "not extended")

    def _locked_in_parts(self) -> None:
        self._check_control()
        until = self._lock_end()
        made = self._put_parts(
            "locked-parts", [b"in parts"], lock={
                "ObjectLockLegalHoldStatus": "ON",
                "ObjectLockMode": "GOVERNANCE",
                "ObjectLockRetainUntilDate": until,
            },
        )  # fmt: skip
        self._expect_lock(made, "GOVERNANCE", until, "not there")
        self._expect_hold(made, "ON")
        self._expect_kept(made, bypass=True)
        self._set_hold(made, on=False)
        self._expect_kept(made, bypass=False)

    def _hold(self) -> None:
        self._check_control()
        made = self._put("hold", b"on hold", ObjectLockLegalHoldStatus="ON")
        self._expect_hold(made, "ON")
        self._expect_kept(made, bypass=True)
        self._set_hold(made, on=False)
        self._expect_hold(made, "OFF")
        self._set_hold(made, on=True)
        self._expect_hold(made, "ON")
        self._expect_kept(made, bypass=True)
        self._set_hold(made, on=False)
        self._try_to_delete(made, bypass=False)
        if self._is_there(made):
            raise _FailedError("the object cannot be deleted although its hold was released")
        self._made.remove(made)

    # What the probes are made of

    def _put_locked(self, name: str, mode: str) -> tuple[Remaining, datetime]:
        """An object with a lock set in the write itself, read back."""
        self._check_control()
        until = self._lock_end()
        made = self._put(name, b"locked", ObjectLockMode=mode, ObjectLockRetainUntilDate=until)
        self._expect_lock(made, mode, until, "not there")
        return made, until

    def _lock_end(self) -> datetime:
        """By the server's clock: where the two differ, the lock must still be short."""
        now = (self._clock() + self._skew).astimezone(UTC)
        until = (now + self._lock_for).replace(microsecond=0) + timedelta(seconds=1)
        self._note_lock(until)
        return until

    def _note_lock(self, until: datetime) -> None:
        local = until - self._skew
        self.locked_until = max(local, self.locked_until or local)

    def _check_control(self) -> None:
        """A refused deletion shows a lock only to someone who may delete what is not locked."""
        if self._may_delete is None:
            made = self._put("control", b"not locked")
            self._try_to_delete(made, bypass=False)
            self._may_delete = not self._is_there(made)
            if self._may_delete:
                self._made.remove(made)
        if not self._may_delete:
            raise _UntriedError(
                "these credentials may not delete what is not locked either, so that a refusal "
                "shows nothing",
                _MAY_DELETE,
            )

    def _expect_kept(self, made: Remaining, *, bypass: bool) -> None:
        self._try_to_delete(made, bypass=bypass)
        if not self._is_there(made):
            self._made.remove(made)
            if self.locked_until and self._clock() >= self.locked_until:
                raise _UntriedError("the server is so slow that the lock ended", "check again")
            raise _FailedError("a locked version could be deleted")

    def _expect_lock(self, made: Remaining, mode: str, until: datetime, what: str) -> None:
        head = self._head(made)
        found, end = head.get("ObjectLockMode"), head.get("ObjectLockRetainUntilDate")
        if found is None or end is None:
            raise _FailedError("the lock that was put cannot be read back")
        if found != mode or end < until:
            raise _FailedError(f"the lock was {what}: it is {found} until {_instant(end)}")

    def _expect_hold(self, made: Remaining, status: str) -> None:
        found = self._head(made).get("ObjectLockLegalHoldStatus", "OFF")
        if found != status:
            raise _FailedError(f"the hold was set {status}, and reads {found}")

    def _expect_refused(
        self, attempt: Callable[[], object], codes: Sequence[str] | None, what: str
    ) -> None:
        """`codes` of the refusal, None for any that is about the request."""
        try:
            attempt()
        except ClientError as error:
            about_the_request = 400 <= _status(error) < 500 and _status(error) != 403
            if _is_one_of(error, codes) if codes else about_the_request:
                return
            raise
        raise _FailedError(f"accepted was {what}")

    def _try_to_delete(self, made: Remaining, *, bypass: bool) -> None:
        """Ask for a version's deletion; whether it is gone is looked up afterwards."""
        more: dict[str, Any] = {"BypassGovernanceRetention": True} if bypass else {}
        with _refusals_ignored():
            self._client.delete_object(**self._where(made), **more)

    def _delete_key(self, key: str) -> Any:
        try:
            return self._client.delete_object(Bucket=self.place.bucket, Key=self._key(key))
        except ClientError as error:
            if _status(error) == 403:
                raise _UntriedError("these credentials may not delete", _MAY_DELETE) from error
            raise

    def _retain(self, made: Remaining, mode: Any, until: datetime, *, bypass: bool = False) -> None:
        """Ask for another retention; what it is now is looked up afterwards."""
        more: dict[str, Any] = {"BypassGovernanceRetention": True} if bypass else {}
        with _refusals_ignored():
            self._client.put_object_retention(
                **self._where(made), Retention={"Mode": mode, "RetainUntilDate": until}, **more
            )

    def _set_hold(self, made: Remaining, *, on: bool) -> None:
        self._client.put_object_legal_hold(
            **self._where(made), LegalHold={"Status": "ON" if on else "OFF"}
        )

    def _put(
        self, name: str, data: bytes, *, digest: bytes | None = None, **arguments: Any
    ) -> Remaining:
        key = f"{self._run}{name}"
        answer = self._client.put_object(
            Bucket=self.place.bucket,
            Key=self._key(key),
            Body=data,
            ChecksumAlgorithm="SHA256",
            ChecksumSHA256=b64(digest or hashlib.sha256(data).digest()),
            **self._encryption(),
            **arguments,
        )
        return self._note(key, answer.get("VersionId"))

    def _put_parts(
        self, name: str, parts: Sequence[bytes], *, lock: dict[str, Any] | None = None,
        **arguments: Any,
    ) -> Remaining:  # fmt: skip
        upload = self._begin(name, **(lock or {}))
        try:
            digests = [hashlib.sha256(each).digest() for each in parts]
            tags = [
                self._put_part(name, upload, number, data, digest)
                for number, (data, digest) in enumerate(zip(parts, digests, strict=True), 1)
            ]
            answer = self._client.complete_multipart_upload(
                Bucket=self.place.bucket,
                Key=self._key(f"{self._run}{name}"),
                UploadId=upload,
                MultipartUpload={
                    "Parts": [
                        {"ChecksumSHA256": b64(digest), "ETag": tag, "PartNumber": number}
                        for number, (tag, digest) in enumerate(zip(tags, digests, strict=True), 1)
                    ]
                },
                **arguments,
            )
        except BaseException:
            self._abort(name, upload)
            raise
        return self._note(f"{self._run}{name}", answer.get("VersionId"))

    def _begin(self, name: str, **arguments: Any) -> str:
        answer = self._client.create_multipart_upload(
            Bucket=self.place.bucket,
            Key=self._key(f"{self._run}{name}"),
            ChecksumAlgorithm="SHA256",
            **self._encryption(),
            **arguments,
        )
        return answer["UploadId"]

    def _put_part(self, name: str, upload: str, number: int, data: bytes, digest: bytes) -> str:
        answer = self._client.upload_part(
            Bucket=self.place.bucket,
            Key=self._key(f"{self._run}{name}"),
            UploadId=upload,
            PartNumber=number,
            Body=data,
            ChecksumSHA256=b64(digest),
        )
        return answer["ETag"]

    def _abort(self, name: str, upload: str) -> None:
        with suppress(ClientError, BotoCoreError):
            self._client.abort_multipart_upload(
                Bucket=self.place.bucket, Key=self._key(f"{self._run}{name}"), UploadId=upload
            )

    def _uploads(self, name: str) -> list[str]:
        pages = self._client.get_paginator("list_multipart_uploads").paginate(
            Bucket=self.place.bucket, Prefix=self._key(f"{self._run}{name}")
        )
        return [each["UploadId"] for page in pages for each in page.get("Uploads", ())]

    def _get(self, made: Remaining, asked: str | None = None) -> bytes:
        more: dict[str, Any] = {} if asked is None else {"Range": asked}
        return self._client.get_object(**self._where(made), **more)["Body"].read()

    def _head(self, made: Remaining) -> Any:
        return self._client.head_object(**self._where(made), ChecksumMode="ENABLED")

    def _is_there(self, made: Remaining) -> bool:
        try:
            self._head(made)
        except ClientError as error:
            if _status(error) == 404:
                return False
            if _status(error) != 405:  # a delete marker has nothing to look at
                raise
        return True

    def _note(self, key: str, version_id: str | None) -> Remaining:
        made = Remaining(key, version_id)
        self._made.append(made)
        return made

    def _where(self, made: Remaining) -> dict[str, Any]:
        where = {"Bucket": self.place.bucket, "Key": self._key(made.key)}
        return where if made.version_id is None else {**where, "VersionId": made.version_id}

    def _encryption(self) -> dict[str, Any]:
        if self.place.kms_key is None:
            return {}
        return {"SSEKMSKeyId": self.place.kms_key, "ServerSideEncryption": "aws:kms"}

    def _key(self, key: str) -> str:
        return f"{self.place.prefix}/{key}" if self.place.prefix else key

    def _remove(self, made: Remaining) -> bool:
        """Whether it is gone now."""
        with suppress(ClientError, BotoCoreError):
            self._try_to_delete(made, bypass=False)
            if self._is_there(made):
                with _refusals_ignored():  # a check that died left it on hold
                    self._set_hold(made, on=False)
                self._try_to_delete(made, bypass=True)
            return not self._is_there(made)
        return False

    def _remove_earlier(self) -> None:
        """Remove what earlier checks left, once their locks are over."""
        start = self._key(SCRATCH)
        over = self._clock() - self._lock_for - _EXTENSION - timedelta(seconds=5)

        def is_over(key: str) -> bool:
            made = ulid_time(key.removeprefix(start).partition("/")[0])
            return made is not None and made < over

        # Who may not list or delete is told so by the probes.
        with suppress(ClientError):
            pages = self._client.get_paginator("list_object_versions").paginate(
                Bucket=self.place.bucket, Prefix=start
            )
            for page in pages:
                for each in [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]:
                    if is_over(each["Key"]):
                        key = each["Key"].removeprefix(self._key(""))
                        self._remove(Remaining(key, each["VersionId"]))
        with suppress(ClientError):
            uploads = self._client.get_paginator("list_multipart_uploads").paginate(
                Bucket=self.place.bucket, Prefix=start
            )
            for found in uploads:
                for each_upload in found.get("Uploads", ()):
                    if is_over(each_upload["Key"]):
                        self._client.abort_multipart_upload(
                            Bucket=self.place.bucket,
                            Key=each_upload["Key"],
                            UploadId=each_upload["UploadId"],
                        )


def _is_bad(tried: Tried) -> bool:
    return tried.outcome != Outcome.PASSED


def _outcome(probe: Probe, attempt: Callable[[], str | None]) -> Tried:
    try:
        return Tried(probe, Outcome.PASSED, advice=attempt() or "")
    except _FailedError as error:
        return Tried(probe, Outcome.FAILED, str(error), probe.remedy)
    except _UntriedError as error:
        return Tried(probe, Outcome.NOT_CHECKED, str(error), error.remedy)
    except ClientError as error:
        status, message = _status(error), error.response.get("Error", {}).get("Message", "")
        said = f"{error.operation_name}: {status} {_code(error)}"
        said = f"{said} ({message.rstrip('.')})" if message else said
        if status == 403:
            return Tried(probe, Outcome.FAILED, said, f"allow these: {', '.join(RIGHTS)}")
        if status >= 500 and status != 501:
            return Tried(probe, Outcome.NOT_CHECKED, said, "check again when the server is well")
        return Tried(probe, Outcome.FAILED, said, probe.remedy)


@contextmanager
def _refusals_ignored() -> Iterator[None]:
    """What is refused is looked at afterwards; a server that fails has refused nothing."""
    try:
        yield
    except ClientError as error:
        if _status(error) >= 500:
            raise


def _is_one_of(error: ClientError, codes: Sequence[str]) -> bool:
    return _code(error) in codes or str(_status(error)) in codes


def _instant(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


_MAY_DELETE = (
    "check once with credentials that may also delete (s3:DeleteObject, s3:DeleteObjectVersion); "
    "afterwards evault needs no such right"
)
_OTHER_SERVER = "use a server that does this (AWS does), or update the one you have"
_NEW_BUCKET = (
    "make a bucket with Object Lock, which has versioning too: aws s3api create-bucket --bucket "
    "NAME --object-lock-enabled-for-bucket; if this is one, its server does not do what it should: "
    "use another (AWS does)"
)

_CLOCK = Probe(
    "clock",
    None,
    "the server's clock and ours agree within a minute",
    "locks end earlier or later than evault says, and requests may be refused",
    "set the clock that is wrong (NTP)",
)
_NO_DEFAULT = Probe(
    "no default lock",
    Ability.ACCESS,
    "what is written without a lock has none",
    "the log's newest checkpoint and partial tiles, which change, would be kept for years",
    "switch the default off: aws s3api put-object-lock-configuration --bucket BUCKET "
    "--object-lock-configuration ObjectLockEnabled=Enabled; evault locks each object itself",
)
_VERSIONS = Probe(
    "versions",
    Ability.VERSIONS,
    "a second write to a key keeps the first version",
    "whoever may write can destroy evidence by writing over it",
    _NEW_BUCKET,
)
_MARKER = Probe(
    "delete marker",
    Ability.VERSIONS,
    "a deletion that names no version destroys nothing",
    "whoever may delete can destroy evidence",
    _NEW_BUCKET,
)
_LISTING = Probe(
    "listing",
    Ability.VERSIONS,
    "all versions are listed, page by page, the newest first",
    "what was laid over evidence could go unnoticed",
    _NEW_BUCKET,
)
_RANGES = Probe(
    "ranges",
    Ability.ACCESS,
    "a range of one version is read, and no more",
    "exhibits in packs could not be read",
    _OTHER_SERVER,
)
_ONCE = Probe(
    "write once",
    Ability.CONDITIONS,
    "If-None-Match: * refuses a second write",
    "two writers could write over each other's links and checkpoints unnoticed",
    _OTHER_SERVER,
)
_ONCE_PARTS = Probe(
    "write once (parts)",
    Ability.CONDITIONS,
    "the same for objects put in parts",
    "large evidence could be written over unnoticed",
    _OTHER_SERVER,
)
_RACE = Probe(
    "two writers",
    Ability.CONDITIONS,
    "of two writers at once, one wins",
    "two writers could write over each other's links and checkpoints unnoticed",
    _OTHER_SERVER,
)
_CHECKSUM = Probe(
    "checksum",
    Ability.CHECKSUMS,
    "bytes of another SHA-256 than was sent are refused",
    "what is damaged on its way is kept as evidence",
    _OTHER_SERVER,
)
_CHECKSUM_PARTS = Probe(
    "checksum (parts)",
    Ability.CHECKSUMS,
    "the same for each part of an object",
    "what is damaged on its way is kept as evidence",
    _OTHER_SERVER,
)
_CHECKSUM_KEPT = Probe(
    "checksum kept",
    Ability.CHECKSUMS,
    "the SHA-256 of an object, or of its parts, is given back",
    "verify and sweep at depth checksums cannot tell anything; use --depth bytes",
    f"{_OTHER_SERVER}; under SSE-KMS the credentials need kms:Decrypt",
)
_UNFINISHED = Probe(
    "unfinished uploads",
    Ability.ACCESS,
    "are listed, and can be given up",
    "uploads that died would cost space unseen",
    _OTHER_SERVER,
)
_GOVERNANCE = Probe(
    "governance lock",
    Ability.LOCKS,
    "a locked version is neither deleted nor released early",
    "whoever may delete can destroy evidence",
    _NEW_BUCKET,
)
_COMPLIANCE = Probe(
    "compliance lock",
    Ability.LOCKS,
    "not even who may bypass deletes, shortens or weakens it",
    "evidence that was promised to nobody's reach is within somebody's",
    _NEW_BUCKET,
)
_LOCKED_PARTS = Probe(
    "locks (parts)",
    Ability.LOCKS,
    "the same for objects put in parts",
    "large evidence is not protected",
    _NEW_BUCKET,
)
_HOLD = Probe(
    "legal hold",
    Ability.LOCKS,
    "a version on hold is not deleted until it is released",
    "whoever may delete can destroy evidence that a court asked to keep",
    _NEW_BUCKET,
)
