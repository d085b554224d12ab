"""A bucket of the real S3 server, as its owner sees it: past the vault."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Any

from servers.s3 import S3Bucket

from vault.adapters.s3 import S3Place

_NUMBERS = itertools.count(1)


@dataclass(frozen=True)
class Bucket:
    """A bucket of the real server, as its owner sees it: past the vault."""

    insider: S3Bucket
    client: Any
    place: S3Place

    @property
    def name(self) -> str:
        return self.place.bucket

    @property
    def url(self) -> str:
        return self.place.url

    @property
    def options(self) -> tuple[str, ...]:
        """What names it to a command."""
        return ("--store", self.url, "--endpoint-url", str(self.place.endpoint_url))

    def fresh(self) -> Bucket:
        """The same bucket, under a prefix that nobody used."""
        return replace(self, place=replace(self.place, prefix=f"p{next(_NUMBERS)}"))

    def versions(self, below: str = "") -> list[Any]:
        """All versions and delete markers below a key of this prefix."""
        pages = self.client.get_paginator("list_object_versions").paginate(
            Bucket=self.name, Prefix=f"{self.place.prefix}/{below}"
        )
        return [
            each
            for page in pages
            for each in (*page.get("Versions", ()), *page.get("DeleteMarkers", ()))
        ]

    def where(self, version: Any) -> dict[str, str]:
        """What names a version to the client."""
        return {"Bucket": self.name, "Key": version["Key"], "VersionId": version["VersionId"]}

    def heads(self, below: str) -> list[Any]:
        """What the server says of each version below a key."""
        return [self.client.head_object(**self.where(each)) for each in self.versions(below)]
