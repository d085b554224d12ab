"""Objects below a prefix of an S3 bucket, with what the bucket says of them.

Taken is the newest version of each object, or each version where all are asked for: then their
paths end in `?versionId=…`, and a delete marker, which has no content, is noted as not captured.
Its version id, ETag, user metadata and stored checksum
become remarks of the exhibit: CloudTrail's digest files are signed in their metadata, and could not
be checked without it. What changes between listing and reading is not taken.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from ingest.source import Found, Reader, SourceUnreadableError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

PIECE = 1 << 20
DELETED = "delete_marker"
REMARK = "s3 "
"""What every remark of this source begins with."""

_CHECKSUMS = (
    "ChecksumSHA256",
    "ChecksumSHA1",
    "ChecksumCRC64NVME",
    "ChecksumCRC32C",
    "ChecksumCRC32",
)
_URL = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(.*))?\Z", re.DOTALL)
_MOST_REMARKS = 90


class S3Source:
    """`Source` over the objects below `s3://bucket/prefix`."""

    def __init__(
        self,
        url: str,
        *,
        client: S3Client | None = None,
        endpoint_url: str | None = None,
        all_versions: bool = False,
    ) -> None:
        match = _URL.match(url)
        if match is None:
            raise SourceUnreadableError(f"{url!r} is not like s3://bucket/prefix; nothing sealed")
        self._bucket, self._prefix = match[1], match[2] or ""
        self._given = client
        self._endpoint_url = endpoint_url
        self._all_versions = all_versions
        self._conditions: dict[str, dict[str, str]] = {}  # by path: what makes it the one listed

    def survey(self) -> Iterator[Found]:
        """All objects, in the order of their keys; of one key the newest version comes first.

        Raises `SourceUnreadableError`.
        """
        listing: Any = "list_object_versions" if self._all_versions else "list_objects_v2"
        pages = self._asked(lambda: self._client().get_paginator(listing))
        try:
            for page in pages.paginate(Bucket=self._bucket, Prefix=self._prefix):
                # A page lists versions apart from markers; both are in the order of keys.
                versions = [(each, False) for each in page.get("Versions", ())]
                versions += [(each, True) for each in page.get("DeleteMarkers", ())]
                versions.sort(key=lambda version: version[0]["Key"].encode())
                for each in page.get("Contents", ()):
                    yield from self._found(each, deleted=False)
                for each, deleted in versions:
                    yield from self._found(each, deleted=deleted)
        except (BotoCoreError, ClientError) as error:
            raise SourceUnreadableError(f"s3://{self._bucket}: {_said(error)}") from error

    def open(self, found: Found) -> Reader:
        """Begin to read the object, if it is still the one that was listed."""
        condition: Any = self._conditions[found.path]
        answer = self._asked(
            lambda: self._client().get_object(
                Bucket=self._bucket, ChecksumMode="ENABLED", **condition
            )
        )
        return _ObjectReader(answer)

    def _found(self, listed: Any, *, deleted: bool) -> Iterator[Found]:
        key, version = listed["Key"], listed.get("VersionId")
        if key.endswith("/") and not listed.get("Size"):
            return  # a folder, as consoles draw them
        condition = {"Key": key}
        if etag := listed.get("ETag"):
            condition["IfMatch"] = etag
        path = f"s3://{self._bucket}/{key}"
        name = f"{self._bucket}/{key[self._prefix.rfind('/') + 1 :]}"
        if version is not None:
            condition["VersionId"] = version
            path += f"?versionId={version}"
            name += "" if listed.get("IsLatest") else f"?versionId={version}"
        marker = f"a delete marker, version id {version}: what it hides are earlier versions"
        self._conditions[path] = condition
        yield Found(
            name=_text(name),
            name_bytes=None,
            path=path,
            size=listed.get("Size", 0),
            modified_at=listed.get("LastModified"),
            obstacle=(DELETED, marker) if deleted else None,
        )

    def _client(self) -> S3Client:
        if self._given is None:
            self._given = boto3.client("s3", endpoint_url=self._endpoint_url)
        return self._given

    def _asked(self, ask: Callable[[], Any]) -> Any:
        try:
            return ask()
        except (BotoCoreError, ClientError, ValueError) as error:
            if getattr(error, "response", {}).get("Error", {}).get("Code") == "PreconditionFailed":
                raise SourceUnreadableError("changed while it was read") from error
            raise SourceUnreadableError(f"s3://{self._bucket}: {_said(error)}") from error


class _ObjectReader:
    """`Reader` of one object; what the bucket says of it becomes remarks."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer
        self._body = answer["Body"]
        self.size: int = answer["ContentLength"]

    def pieces(self) -> Iterator[bytes]:
        """The object's bytes. Raises `SourceUnreadableError`."""
        read = 0
        try:
            while piece := self._body.read(PIECE):
                read += len(piece)
                yield piece
        except (BotoCoreError, OSError) as error:
            raise SourceUnreadableError(_said(error)) from error
        if read != self.size:
            raise SourceUnreadableError("became shorter while it was read")

    def settle(self, sha256: str) -> tuple[str, ...]:
        """What the bucket said of the object that was read."""
        del sha256
        answer = self._answer
        told = [("etag", answer.get("ETag")), ("version id", answer.get("VersionId"))]
        told += [(name, answer.get(name)) for name in _CHECKSUMS]
        remarks = [f"{name} {value}" for name, value in told if value]
        metadata = sorted(answer.get("Metadata", {}).items())
        remarks += [f"metadata {name}={value}" for name, value in metadata]
        return tuple(_text(REMARK + remark) for remark in remarks[:_MOST_REMARKS])

    def close(self) -> None:
        """Close the connection."""
        self._body.close()


def _said(error: BaseException) -> str:
    answer = getattr(error, "response", {})
    return str(answer.get("Error", {}).get("Message") or error) if answer else str(error)


def _text(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
