"""An object store in an S3 bucket with versioning and Object Lock, through boto3.

Every write carries the SHA-256 of what it writes, which the server checks on receipt, and its own
retention: a bucket default would also lock what must change. `If-None-Match: *` makes a key
write-once, but it sees the newest version alone, and anyone who may delete can lay a marker over
it. So nothing here trusts absence without looking at all versions of the key.

An answer may be lost although the call was carried out. Every write is therefore one that can be
repeated: what stands in its way is looked at, and if that is what was to be written, it was.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    EndpointConnectionError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    SSLError,
    SSOError,
    TokenRetrievalError,
)

from vault import layout
from vault.errors import NotFoundError, ObjectConflictError, RefusedError, UnavailableError
from vault.hashing import part_size_for
from vault.ports import (
    UNPROTECTED,
    Clock,
    LockMode,
    ObjectState,
    Protection,
    StoreTraits,
    Version,
    extended,
)
from verify.digest import b64, unb64
from verify.errors import MalformedError
from verify.statement import MAX_PARTS, Stored

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

DEFAULT_PART_SIZE = 8 << 20
DEFAULT_CONCURRENCY = 8
DEFAULT_MEMORY = 96 << 20
"""What all uploads together may hold: parts on their way, being filled, or waiting to be put."""
MIN_PART_SIZE = 5 << 20
"""S3 takes no smaller part, but for the last."""

_PIECE = 1 << 20
_WAITING = 32 << 20
"""Small objects wait in memory for `publish` while uploads hold no more than this."""
_ATTEMPTS = 5
_FEW = 10
"""How many versions of one key are listed at a time."""
_ABSENT = frozenset({"404", "NoSuchKey", "NoSuchVersion"})

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class S3Place:
    """Where a store lies, and how to write to it."""

    bucket: str
    prefix: str = ""
    """Without slashes at its ends; empty for the whole bucket."""
    endpoint_url: str | None = None
    region: str | None = None
    part_size: int = DEFAULT_PART_SIZE
    concurrency: int = DEFAULT_CONCURRENCY
    kms_key: str | None = None

    @property
    def url(self) -> str:
        """`s3://bucket/prefix`."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")


def connect(place: S3Place, *, timeout: float = 60, attempts: int = _ATTEMPTS) -> S3Client:
    """A client for a place, with credentials by AWS's usual chain.

    Each call waits for its answer for `timeout` seconds, and is made so many times before it is
    given up. Raises `UnavailableError`.
    """
    config = Config(
        connect_timeout=10,
        read_timeout=timeout,
        retries={"mode": "standard", "total_max_attempts": attempts},
        max_pool_connections=4 * place.concurrency,
        # Each write carries its SHA-256 already, in a signed header that the server checks.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={
            "payload_signing_enabled": False,
            "addressing_style": "path" if place.endpoint_url else "auto",
        },
    )
    with readable_errors(f"use {place.url}"):
        try:
            # A session of its own: boto3's default one may not be used by several threads.
            return boto3.session.Session().client(
                "s3",
                endpoint_url=place.endpoint_url,
                # A server of one's own has no regions; AWS's own chain finds one for AWS.
                region_name=place.region or ("us-east-1" if place.endpoint_url else None),
                config=config,
            )
        except ValueError as error:
            raise UnavailableError(
                f"cannot use {place.url}: {error}; an endpoint is given as https://HOST:PORT"
            ) from error


class S3Store:
    """`ObjectStore` in a bucket, below a prefix.

    `locks` says whether the bucket has Object Lock; without it nothing is retained or held.
    `record_days` is how long chains and log are retained from when they are written; `memory` is
    how many bytes all uploads together may hold, though one is never kept from filling a part.
    """

    def __init__(
        self,
        place: S3Place,
        client: S3Client,
        *,
        clock: Clock,
        locks: bool,
        versions: bool,
        mode: LockMode,
        record_days: int,
        checksums: bool = True,
        memory: int = DEFAULT_MEMORY,
    ) -> None:
        self.place = place
        self.memory = _Memory(memory)
        self._client = client
        self._clock = clock
        self._mode = mode
        self._record_days = record_days
        self._traits = StoreTraits(
            "s3", locks=locks, versions=versions, checksums=checksums, parallel=place.concurrency
        )
        self._pool = ThreadPoolExecutor(place.concurrency, "s3")

    @property
    def traits(self) -> StoreTraits:
        """What the bucket can do, as it was found when the vault was made."""
        return self._traits

    def close(self) -> None:
        """Let go of threads and connections."""
        self._pool.shutdown()
        self._client.close()

    def upload(
        self, key: str, *, size: int | None, protection: Protection = UNPROTECTED
    ) -> S3Upload:
        """Begin an object under a fresh key."""
        part_size = part_size_for(size, self.place.part_size) if size is not None else None
        return S3Upload(self, key, part_size, self._protected(protection))

    def put_once(self, key: str, data: bytes) -> None:
        """Write a key once; identical bytes succeed, also under a later version or a marker."""
        arguments: dict[str, Any] = {}
        if layout.is_locked(key):
            until = self._clock() + timedelta(days=self._record_days)
            arguments = self._protected(Protection(until, self._mode))
        version_id = self.write_once(key, data, hashlib.sha256(data).digest(), arguments)
        if self._traits.versions and layout.is_fence(key):
            # Under a marker the write succeeds, and is not the first. Asked afterwards, so that
            # no marker can come in between.
            with readable_errors(f"write {key}"):
                first = next(iter(self._version_ids(key)), version_id)
            if first != version_id and self.get(key, version_id=first) != data:
                raise ObjectConflictError(key)

    def put_latest(self, key: str, data: bytes) -> None:
        """Put a new version over a key's others."""
        with readable_errors(f"write {key}"):
            self._put(key, data, hashlib.sha256(data).digest())

    def get(self, key: str, *, version_id: str | None = None) -> bytes:
        """The whole object."""
        return b"".join(self.read(key, version_id=version_id))

    def read(
        self, key: str, *, version_id: str | None = None, offset: int = 0, length: int | None = None
    ) -> Iterator[bytes]:
        """The bytes of an object or of a slice; a broken connection is taken up where it broke."""
        end = None if length is None else offset + length
        if offset == end:
            self.state(key, version_id)  # what is absent has no slices, not even empty ones
            return
        asked: dict[str, Any] = {} if version_id is None else {"VersionId": version_id}
        failures = 0
        with readable_errors(f"read {key}"):
            while end is None or offset < end:
                try:
                    answer = self._open(key, offset, end, asked)
                except ClientError as error:
                    if _code(error) == "InvalidRange":
                        return  # the object ends here; whoever reads sees that bytes are missing
                    below = self._version_ids(key) if _code(error) in _ABSENT and not asked else []
                    if not below:
                        raise
                    asked = {"VersionId": below[-1]}  # it lies under a delete marker
                    continue
                # What is taken up again is the same version, or nothing.
                asked = asked or _pinned(answer)
                try:
                    with closing(answer["Body"]) as body:
                        for piece in body.iter_chunks(_PIECE):
                            offset += len(piece)
                            failures = 0
                            yield piece
                        return
                except (BotoCoreError, OSError):
                    failures += 1
                    if failures == _ATTEMPTS:
                        raise
                    _pause(failures)

    def exists(self, key: str) -> bool:
        """Whether the key is there, be it under a delete marker."""
        # Not by HEAD: absence, which is asked for as often, would have to be listed all the same.
        with readable_errors(f"look for {key}"):
            return any(not each.marker for each in self._versions_of(key))

    def keys(self, prefix: str) -> Iterator[str]:
        """All keys below a prefix, be they under delete markers."""
        last = None
        for version in self.versions(prefix):
            if version.key != last and not version.marker:
                last = version.key
                yield last

    def versions(self, prefix: str) -> Iterator[Version]:
        """All versions and delete markers below a prefix; by key, the oldest version first."""
        group: list[Version] = []
        with readable_errors(f"list {prefix or 'the store'}"):
            for version in self._listed(prefix):
                if group and group[0].key != version.key:
                    yield from _oldest_first(group)
                    group = []
                group.append(version)
            yield from _oldest_first(group)

    def state(self, key: str, version_id: str | None) -> ObjectState:
        """What the bucket says of one version, and whether another lies over it."""
        with readable_errors(f"look at {key}"):
            try:
                newest = self._head(key, None)
            except ClientError as error:
                # Listed also where the version is known: HEAD does not tell a missing key from a
                # missing bucket.
                below = self._version_ids(key) if _code(error) in _ABSENT else []
                if not below:
                    raise
                return _state(self._head(key, version_id or below[-1]), "a delete marker")
            if version_id is None or newest.get("VersionId") == version_id:
                return _state(newest)
            covered_by = newest.get("VersionId") or "another version"
            return _state(self._head(key, version_id), covered_by)

    def protect(self, key: str, version_id: str | None, protection: Protection) -> None:
        """Extend retention and mode, and set the hold; nothing is asked for twice."""
        if not self._traits.locks:
            self.state(key, version_id)
            return
        with readable_errors(f"protect {key}"):
            try:
                self._protect(key, version_id, protection)
            except ClientError as error:
                # If another extended it further in between, ours was refused as a shortening.
                if _status(error) != 403:
                    raise
                self._protect(key, version_id, protection)

    def unfinished(self) -> list[tuple[str, str, datetime]]:
        """Key, id and start of multipart uploads that were neither completed nor aborted."""
        with readable_errors("list unfinished uploads"):
            return list(self._unfinished(""))

    # For uploads

    def submit(self, work: Callable[[], Result]) -> Future[Result]:
        """Run something on the store's threads. What was submitted first is begun first."""
        return self._pool.submit(work)

    def write_once(
        self, key: str, data: bytes | bytearray, digest: bytes, arguments: dict[str, Any]
    ) -> str | None:
        """Put the first version of a key; its id, also where it was there with these bytes.

        Raises `ObjectConflictError`, `UnavailableError`.
        """
        with readable_errors(f"write {key}"):
            for attempt in range(1, _ATTEMPTS + 1):
                try:
                    return self._put(key, data, digest, IfNoneMatch="*", **arguments)
                except ClientError as error:
                    if _status(error) not in (409, 412):
                        raise
                    failed = error
                if _status(failed) == 412:
                    for first in self._version_ids(key)[:1]:
                        if self.get(key, version_id=first) != data:
                            raise ObjectConflictError(key)
                        return first
                _pause(attempt)  # two conditional writes met: S3 asks for another try
            raise failed

    def begin_parts(self, key: str, arguments: dict[str, Any]) -> str:
        """Begin a multipart upload; its id. Raises what boto3 raises."""
        answer = self._client.create_multipart_upload(
            Bucket=self.place.bucket,
            Key=self._key(key),
            ChecksumAlgorithm="SHA256",
            **self._encryption(),
            **arguments,
        )
        upload = answer["UploadId"]
        if answer["ResponseMetadata"]["RetryAttempts"]:  # a lost answer leaves an upload behind
            self.abort_parts(key, [each for each in self.begun(key) if each != upload])
        return upload

    def put_part(
        self, key: str, upload: str, number: int, data: bytes | bytearray, digest: bytes
    ) -> str:
        """Put one part; its ETag. Raises what boto3 raises."""
        answer = self._client.upload_part(
            Bucket=self.place.bucket,
            Key=self._key(key),
            UploadId=upload,
            PartNumber=number,
            Body=_body(data),
            ChecksumAlgorithm="SHA256",
            ChecksumSHA256=b64(digest),
        )
        return answer["ETag"]

    def complete(
        self, key: str, upload: str, tags: list[str], digests: list[bytes], sha256: str
    ) -> str | None:
        """Make the parts one object; its version id. An answer that was lost is looked up.

        Raises `ObjectConflictError`, and what boto3 raises.
        """
        parts: list[Any] = [
            {"ChecksumSHA256": b64(digest), "ETag": tag, "PartNumber": number}
            for number, (tag, digest) in enumerate(zip(tags, digests, strict=True), 1)
        ]
        composite = hashlib.sha256(b"".join(digests)).hexdigest(), len(digests)
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                answer = self._client.complete_multipart_upload(
                    Bucket=self.place.bucket,
                    Key=self._key(key),
                    UploadId=upload,
                    MultipartUpload={"Parts": parts},
                    IfNoneMatch="*",
                )
                return answer.get("VersionId")
            except (ClientError, HTTPClientError) as error:
                failed = error
            found = self._version_ids(key)
            for version_id in found:
                if self._holds(key, version_id, sha256, composite):
                    return version_id
            status = _status(failed) if isinstance(failed, ClientError) else 0
            if status == 412 and found:
                raise ObjectConflictError(key)
            if status not in (409, 412):
                break
            _pause(attempt)
        raise failed

    def begun(self, key: str) -> list[str]:
        """The ids of the unfinished multipart uploads of a key, as far as they can be listed."""
        with suppress(ClientError, BotoCoreError):
            return [upload for found, upload, _ in self._unfinished(key) if found == key]
        return []

    def abort_parts(self, key: str, uploads: Iterable[str]) -> None:
        """Give multipart uploads up. What cannot be given up now is listed by `unfinished`."""
        for upload in uploads:
            with suppress(ClientError, BotoCoreError):
                self._client.abort_multipart_upload(
                    Bucket=self.place.bucket, Key=self._key(key), UploadId=upload
                )

    # Calls of S3, which raise what boto3 raises

    def _put(
        self, key: str, data: bytes | bytearray, digest: bytes, **arguments: Any
    ) -> str | None:
        answer = self._client.put_object(
            Bucket=self.place.bucket,
            Key=self._key(key),
            Body=_body(data),
            ChecksumAlgorithm="SHA256",
            ChecksumSHA256=b64(digest),
            **self._encryption(),
            **arguments,
        )
        return answer.get("VersionId")

    def _open(self, key: str, offset: int, end: int | None, asked: dict[str, Any]) -> Any:
        if offset or end is not None:
            last = "" if end is None else end - 1
            asked = {**asked, "Range": f"bytes={offset}-{last}"}
        return self._client.get_object(Bucket=self.place.bucket, Key=self._key(key), **asked)

    def _head(self, key: str, version_id: str | None) -> Any:
        return self._client.head_object(**self._where(key, version_id), ChecksumMode="ENABLED")

    def _holds(
        self, key: str, version_id: str | None, sha256: str, composite: tuple[str, int]
    ) -> bool:
        """Whether a version has these bytes, by the store's own digest if it has one."""
        state = _state(self._head(key, version_id))
        if state.composite or state.sha256:
            return composite == state.composite or sha256 == state.sha256
        digest = hashlib.sha256()
        for piece in self.read(key, version_id=version_id):
            digest.update(piece)
        return digest.hexdigest() == sha256

    def _protect(self, key: str, version_id: str | None, protection: Protection) -> None:
        state = self.state(key, version_id)
        known, wanted = state.protection, extended(state.protection, protection)
        where = self._where(key, state.version_id)
        until = wanted.retain_until and _up_to_second(wanted.retain_until)
        if (
            until
            and until > self._clock()  # what is over protects nothing, and S3 refuses it
            and (until, wanted.mode) != (known.retain_until, known.mode)
        ):
            # S3 takes the step from governance to compliance for a bypass of governance.
            firmer = known.retain_until is not None and wanted.mode != known.mode
            more: dict[str, Any] = {"BypassGovernanceRetention": True} if firmer else {}
            try:
                self._client.put_object_retention(
                    **where,
                    **more,
                    Retention={"Mode": _mode(wanted.mode), "RetainUntilDate": until},
                )
            except ClientError as error:
                if not firmer or _status(error) != 403:
                    raise
                raise RefusedError(
                    f"cannot protect {key} in compliance mode: permission denied; it is locked in "
                    "governance mode, and to make that firmer the credentials need "
                    "s3:BypassGovernanceRetention"
                ) from error
        if known.held != wanted.held:
            self._client.put_object_legal_hold(
                **where, LegalHold={"Status": "ON" if wanted.held else "OFF"}
            )

    def _versions_of(self, key: str) -> Iterator[Version]:
        """The versions and markers of one key, as they are listed.

        Longer keys are looked for, too: not every server lists a key before those that go on after
        it. Those below it as below a folder are left out.
        """
        found = self._listed(key, PaginationConfig={"PageSize": _FEW}, Delimiter="/")
        return (each for each in found if each.key == key)

    def _version_ids(self, key: str) -> list[str | None]:
        """The version ids of a key, the oldest first, without those of delete markers."""
        found = _oldest_first(list(self._versions_of(key)))
        return [each.version_id for each in found if not each.marker]

    def _listed(self, prefix: str, **more: Any) -> Iterator[Version]:
        """Versions and markers in the order of their keys, those of one key together."""
        where: dict[str, Any] = {"Bucket": self.place.bucket, "Prefix": self._key(prefix), **more}
        if not self._traits.versions:
            for listed in self._client.get_paginator("list_objects_v2").paginate(**where):
                for found in listed.get("Contents", ()):
                    yield Version(self._own(found["Key"]), None, False, True, found["Size"])
            return
        for each in self._client.get_paginator("list_object_versions").paginate(**where):
            versions = [
                Version(self._own(it["Key"]), it["VersionId"], False, it["IsLatest"], it["Size"])
                for it in each.get("Versions", ())
            ]
            markers = [
                Version(self._own(it["Key"]), it["VersionId"], True, it["IsLatest"], 0)
                for it in each.get("DeleteMarkers", ())
            ]
            yield from sorted([*versions, *markers], key=lambda each: each.key.encode())

    def _unfinished(self, prefix: str) -> Iterator[tuple[str, str, datetime]]:
        pages = self._client.get_paginator("list_multipart_uploads").paginate(
            Bucket=self.place.bucket, Prefix=self._key(prefix)
        )
        for page in pages:
            for each in page.get("Uploads", ()):
                yield self._own(each["Key"]), each["UploadId"], each["Initiated"]

    def _protected(self, protection: Protection) -> dict[str, Any]:
        if not self._traits.locks:
            return {}
        arguments: dict[str, Any] = {}
        if protection.retain_until:
            firm = LockMode.COMPLIANCE in (protection.mode, self._mode)
            arguments["ObjectLockMode"] = "COMPLIANCE" if firm else "GOVERNANCE"
            arguments["ObjectLockRetainUntilDate"] = _up_to_second(protection.retain_until)
        if protection.held:
            arguments["ObjectLockLegalHoldStatus"] = "ON"
        return arguments

    def _encryption(self) -> dict[str, Any]:
        if self.place.kms_key is None:
            return {}
        return {"SSEKMSKeyId": self.place.kms_key, "ServerSideEncryption": "aws:kms"}

    def _where(self, key: str, version_id: str | None) -> dict[str, Any]:
        where = {"Bucket": self.place.bucket, "Key": self._key(key)}
        return where if version_id is None else {**where, "VersionId": version_id}

    def _key(self, key: str) -> str:
        return f"{self.place.prefix}/{key}" if self.place.prefix else key

    def _own(self, key: str) -> str:
        return key.removeprefix(f"{self.place.prefix}/") if self.place.prefix else key


class S3Upload:
    """`Upload` into an `S3Store`: parts go up while later bytes still come in.

    What fits one part is put whole by `publish`, under its own digest, as long as such objects
    find room in memory; else it becomes an upload of one part.
    """

    def __init__(
        self, store: S3Store, key: str, part_size: int | None, arguments: dict[str, Any]
    ) -> None:
        self._store = store
        self._key = key
        self._arguments = arguments
        self._part_size = part_size or part_size_for(None)
        self._size = 0
        self._whole = hashlib.sha256()
        self._buffer = bytearray()
        """The part that is being filled; it counts as held."""
        self._upload: Future[str] | None = None
        self._digests: list[Future[bytes]] = []
        self._tags: list[Future[str]] = []
        self._failed = self._given_up = False
        self._stored: Stored | None = None

    def write(self, data: bytes) -> None:
        """Add bytes; waits while all uploads together hold too much."""
        if self._failed:
            self._raise_failure()
        if self._size + len(data) > self._part_size * MAX_PARTS:
            raise UnavailableError(
                f"an object in parts of {self._part_size >> 20} MiB may come to "
                f"{self._part_size * MAX_PARTS >> 30} GiB, and this input goes on; give its size "
                "beforehand, or cut it"
            )
        view = memoryview(data)
        while view:
            if len(self._buffer) == self._part_size:
                self._send()
            taken = view[: self._part_size - len(self._buffer)]
            self._store.memory.hold(len(taken))
            self._buffer += taken
            self._size += len(taken)
            view = view[len(taken) :]

    def finish(self) -> Stored:
        """The digests; parts may still be on their way."""
        parts: tuple[str, ...] = ()
        if self._tags:
            self._send()
            parts = tuple(each.result().hex() for each in self._digests)
        else:
            self._whole.update(self._buffer)
            if self._store.memory.held > _WAITING:
                self._send(self._whole.digest())
        self._stored = Stored(
            "identity", self._whole.hexdigest(), self._size, self._part_size, parts
        )
        return self._stored

    def publish(self) -> str | None:
        """Make it one visible object; its version id."""
        if self._stored is None:
            raise AssertionError("publish comes after finish")
        if self._upload is None:
            digest = self._whole.digest()
            version_id = self._store.write_once(self._key, self._buffer, digest, self._arguments)
        else:
            with readable_errors(f"write {self._key}"):
                tags = [each.result() for each in self._tags]
                digests = [each.result() for each in self._digests]
                version_id = self._store.complete(
                    self._key, self._upload.result(), tags, digests, self._stored.sha256
                )
        self._upload = None
        self._drop()
        return version_id

    def abort(self) -> None:
        """Wait for what is on its way, and give it up."""
        self._given_up = True
        self._drop()
        for each in self._tags:
            each.exception()
        if self._upload:
            # Where beginning failed its answer may have been lost, and the upload be there.
            lost = self._upload.exception()
            uploads = self._store.begun(self._key) if lost else [self._upload.result()]
            self._store.abort_parts(self._key, uploads)
        self._upload = None

    def _send(self, known: bytes | None = None) -> None:
        """Hash the full buffer, and put it as a part, on the store's threads.

        No thread waits for work that was submitted after its own, so they cannot all be waiting.
        """
        data, self._buffer = self._buffer, bytearray()
        self._store.memory.fly(len(data))
        if self._upload is None:
            self._upload = self._store.submit(
                partial(self._store.begin_parts, self._key, self._arguments)
            )
        before = self._digests[-1] if self._digests else None
        digest = self._store.submit(partial(self._hash, data, before, known))
        self._digests.append(digest)
        number = len(self._digests)
        self._tags.append(
            self._store.submit(partial(self._put, self._upload, number, data, digest))
        )

    def _hash(self, data: bytearray, before: Future[bytes] | None, known: bytes | None) -> bytes:
        if known is not None:
            return known  # the only part: its digest is that of the whole
        digest = hashlib.sha256(data).digest()
        if before:
            before.result()  # the digest of the whole takes the parts in their order
        self._whole.update(data)
        return digest

    def _put(self, upload: Future[str], number: int, data: bytearray, digest: Future[bytes]) -> str:
        try:
            checksum = digest.result()
            if self._given_up:
                return ""
            return self._store.put_part(self._key, upload.result(), number, data, checksum)
        except BaseException:
            self._failed = True
            raise
        finally:
            self._store.memory.land(len(data))

    def _raise_failure(self) -> None:
        with readable_errors(f"write {self._key}"):
            for each in self._tags:
                if each.done():
                    each.result()

    def _drop(self) -> None:
        self._store.memory.drop(len(self._buffer))
        self._buffer = bytearray()


class _Memory:
    """The bytes that all uploads hold: being filled or waiting, and on their way."""

    def __init__(self, limit: int) -> None:
        self.held = 0
        self._flying = 0
        self._limit = limit
        self._changed = threading.Condition()

    def hold(self, size: int) -> None:
        """Hold more; waits for room as long as there is something on its way that makes some."""
        with self._changed:
            self._changed.wait_for(
                lambda: not self._flying or self.held + self._flying + size <= self._limit
            )
            self.held += size

    def fly(self, size: int) -> None:
        """What was held is on its way."""
        with self._changed:
            self.held -= size
            self._flying += size

    def land(self, size: int) -> None:
        """It is no longer on its way."""
        with self._changed:
            self._flying -= size
            self._changed.notify_all()

    def drop(self, size: int) -> None:
        """What was held is held no more."""
        with self._changed:
            self.held -= size
            self._changed.notify_all()


@contextmanager
def readable_errors(action: str) -> Iterator[None]:
    """Turn what boto3 raises into errors that say what to do."""
    try:
        yield
    except ClientError as error:
        code = _code(error)
        if code in _ABSENT:
            raise NotFoundError(f"cannot {action}: the bucket has no such object") from error
        message = error.response.get("Error", {}).get("Message", "")
        remedy = _REMEDIES.get(code, f"{code}: {message}")
        raise UnavailableError(f"cannot {action}: {remedy}") from error
    except (NoCredentialsError, PartialCredentialsError) as error:
        raise UnavailableError(
            f"cannot {action}: no AWS credentials were found; set AWS_PROFILE, or "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        ) from error
    except (CredentialRetrievalError, TokenRetrievalError, SSOError) as error:
        raise UnavailableError(
            f"cannot {action}: {error}; sign in anew, for example: aws sso login"
        ) from error
    except ProfileNotFound as error:
        raise UnavailableError(f"cannot {action}: {error}; check AWS_PROFILE") from error
    except EndpointConnectionError as error:
        raise UnavailableError(
            f"cannot {action}: nothing answers at {error.kwargs.get('endpoint_url')}; is the "
            "server up, and the address right?"
        ) from error
    except SSLError as error:
        raise UnavailableError(
            f"cannot {action}: {error}; AWS_CA_BUNDLE names a file with the server's authority"
        ) from error
    except (HTTPClientError, IncompleteReadError, OSError) as error:
        raise UnavailableError(f"cannot {action}: {error}; run the command again") from error
    except BotoCoreError as error:
        raise UnavailableError(f"cannot {action}: {error}") from error


_DENIED = "permission denied; the credentials lack a right to this bucket, or are wrong"
_DAMAGED = "what arrived is not what was sent; run the command again"
_EXPIRED = "the credentials have expired; get new ones"
_REMEDIES = {
    "403": _DENIED,
    "AccessDenied": _DENIED,
    "BadDigest": _DAMAGED,
    "ExpiredToken": _EXPIRED,
    "InvalidAccessKeyId": "the access key is not known there; check the credentials",
    "NoSuchBucket": "there is no such bucket; make it with Object Lock first",
    "NoSuchUpload": "the unfinished upload was removed there; run the command again",
    "RequestTimeTooSkewed": "this machine's clock is wrong; set it",
    "SignatureDoesNotMatch": "the secret key is wrong; check the credentials",
    "SlowDown": "the server asks to slow down, again and again; try later",
    "TokenRefreshRequired": _EXPIRED,
    "XAmzContentChecksumMismatch": _DAMAGED,
}


def _state(head: Any, covered_by: str | None = None) -> ObjectState:
    until = head.get("ObjectLockRetainUntilDate")
    compliance = head.get("ObjectLockMode") == "COMPLIANCE"
    sha256, composite = _checksum(head)
    return ObjectState(
        version_id=head.get("VersionId"),
        size=head["ContentLength"],
        sha256=sha256,
        composite=composite,
        protection=Protection(
            until.astimezone(UTC) if until else None,
            LockMode.COMPLIANCE if compliance else LockMode.GOVERNANCE,
            head.get("ObjectLockLegalHoldStatus") == "ON",
        ),
        covered_by=covered_by,
    )


def _checksum(head: Any) -> tuple[str | None, tuple[str, int] | None]:
    """The digest of the whole, or that over the parts' digests; none that is not understood."""
    text, _, count = head.get("ChecksumSHA256", "").partition("-")
    kind = head.get("ChecksumType", "COMPOSITE" if count else "FULL_OBJECT")
    with suppress(MalformedError):
        digest = unb64(text, where="the store's checksum", size=32).hex()
        if kind == "FULL_OBJECT" and not count:
            return digest, None
        if kind == "COMPOSITE" and count.isascii() and count.isdigit():
            return None, (digest, int(count))
    return None, None


def _body(data: bytes | bytearray) -> bytes:
    """A bytearray, which boto3 sends as it is.

    Of bytes it makes a file, which it announces (`Expect: 100-continue`) and sends in small pieces.
    """
    return cast("bytes", data if isinstance(data, bytearray) else bytearray(data))


def _pinned(answer: Any) -> dict[str, Any]:
    """What asks for the same version once more."""
    if answer.get("VersionId"):
        return {"VersionId": answer["VersionId"]}
    return {"IfMatch": answer["ETag"]}


def _oldest_first(group: list[Version]) -> Iterator[Version]:
    """S3 lists the newest version of a key first."""
    yield from reversed([each for each in group if not each.marker])
    yield from (each for each in group if each.marker)


def _up_to_second(moment: datetime) -> datetime:
    """S3 keeps whole seconds; cut off, it would protect for less than was asked."""
    return moment + timedelta(microseconds=-moment.microsecond % 1_000_000)


def _mode(mode: LockMode) -> Literal["COMPLIANCE", "GOVERNANCE"]:
    return "COMPLIANCE" if mode == LockMode.COMPLIANCE else "GOVERNANCE"


def _pause(attempt: int) -> None:
    time.sleep(0.05 * 2**attempt)


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
