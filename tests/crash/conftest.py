"""Vaults on real servers: evidence in a locked bucket, the index in PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
from crash.world import World
from servers.postgres import PostgresServer
from servers.s3 import S3Bucket

from cli.config import S3Config
from vault.ports import LockMode

Serve = Callable[[Path], World]
"""Makes a vault with its home in a folder, its store and its database new."""


@pytest.fixture(scope="module")
def serve(s3_bucket: S3Bucket, postgres_server: PostgresServer) -> Serve:
    """How to make a vault on servers."""
    numbers = count(1)

    def make(folder: Path) -> World:
        store = S3Config(
            bucket=s3_bucket.name,
            prefix=f"vault-{next(numbers)}",
            endpoint_url=s3_bucket.server.endpoint,
            region=None,
            part_size=16 << 20,
            concurrency=4,
            kms_key=None,
            lock=LockMode.GOVERNANCE,
            locks=True,
            versions=True,
        )
        database = postgres_server.url(postgres_server.database())
        return World.make(folder, store=store, database=database)

    return make
