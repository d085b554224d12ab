"""Vaults on real servers: evidence in a locked bucket, the index in PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path

import boto3
import pytest
from crash.world import World
from servers.postgres import PostgresServer
from servers.s3 import S3Server

from cli.config import S3Config
from vault.ports import LockMode

Serve = Callable[[Path], World]
"""Makes a vault with its home in a folder, its store and its database new."""


@pytest.fixture(scope="module")
def bucket(s3_server: S3Server, request: pytest.FixtureRequest) -> str:
    """A bucket with Object Lock for one module: each takes room on the server."""
    name = request.module.__name__.rpartition(".")[2].replace("_", "-")
    client = boto3.client("s3", endpoint_url=s3_server.endpoint)
    client.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    client.close()
    return name


@pytest.fixture(scope="module")
def serve(s3_server: S3Server, postgres_server: PostgresServer, bucket: str) -> Serve:
    """How to make a vault on servers."""
    numbers = count(1)

    def make(folder: Path) -> World:
        store = S3Config(
            bucket=bucket,
            prefix=f"vault-{next(numbers)}",
            endpoint_url=s3_server.endpoint,
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
