"""The record on real servers: S3 with Object Lock (SeaweedFS) and PostgreSQL, both on this machine.

Beside it what a user would run instead against the same server: `aws`, `s5cmd`, `rclone`, and for
sealing the bare commit and the bare put. `tests/bench/tools.txt` lists them; `make bench` installs
them apart from the product.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import sys
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import boto3
import psycopg
from measuring import GIB, ROOM, ROUNDS, SIZE, Timed, declare, evault, line, make_file, run, timed

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from crash.world import World  # noqa: E402 — the vault's wiring, as the crash suite uses it
from servers import postgres, s3  # noqa: E402

from cli.config import S3Config  # noqa: E402
from vault.ports import LockMode  # noqa: E402

BUCKET = "bench"
WRITERS = (1, 4, 16)
WARM, SECONDS = 2.0, 8.0
ITEMS = int(os.environ.get("EVAULT_BENCH_ITEMS", "10000"))
ASKED = 200
"""How many heads the command line of AWS is asked for; its time is scaled to all."""


def measure() -> None:
    """All measurements of the record."""
    tools = Path(".venv-bench/bin").resolve()
    os.environ["PATH"] = f"{tools}:{os.environ['PATH']}"
    with (
        s3.running(ROOM / "s3") as server,
        postgres.running(durable=True) as database,
    ):
        os.environ.update(server.environment)
        os.environ["S3_ENDPOINT_URL"] = server.endpoint
        client = boto3.client("s3", endpoint_url=server.endpoint)
        client.create_bucket(Bucket=BUCKET, ObjectLockEnabledForBucket=True)
        large(server)
        small(server)
        heads(server)
        sealing(server, database)


class Home:
    """A home on the servers."""

    def __init__(self, name: str, server: s3.S3Server, database: str | None = None) -> None:
        self.path = ROOM / f"home-{name}"
        store = ["--store", f"s3://{BUCKET}/{name}", "--endpoint-url", server.endpoint]
        more = ["--database", database] if database else []
        self.evault("init", *store, *more)
        declare(self.path)

    def evault(self, *words: object) -> Timed:
        """Run evault here, timed."""
        return evault(self.path, *words)


def uploads(server: s3.S3Server, source: Path, name: str) -> dict[str, list[object]]:
    """How others put a file, or what is in a folder, into the bucket."""
    target = f"s3://{BUCKET}/{name}"
    folder = source.is_dir()
    aws = ["aws", "--endpoint-url", server.endpoint, "s3", "cp", "--quiet"]
    rclone = [
        "rclone", "copy" if folder else "copyto", source,
        f":s3,provider=Other,env_auth=true,endpoint='{server.endpoint}':{BUCKET}/{name}-rclone",
        "--s3-no-check-bucket", "--s3-upload-cutoff=64M",
    ]  # fmt: skip
    return {
        "aws s3 cp": [*aws, *(["--recursive"] if folder else []), source, f"{target}-aws"],
        "s5cmd": [
            "s5cmd", "--endpoint-url", server.endpoint, "cp",
            f"{source}/" if folder else source, f"{target}-s5cmd{'/' if folder else ''}",
        ],
        "rclone": rclone,
    }  # fmt: skip


def large(server: s3.S3Server) -> None:
    """A large file up, and down again with its digest checked."""
    source = ROOM / "large.bin"
    make_file(source, SIZE)
    home, ours = Home("large", server), []
    theirs: dict[str, list[Timed]] = {}
    for number in range(ROUNDS):
        ours.append(home.evault("ingest", source, "--again"))
        for name, words in uploads(server, source, f"large-{number}").items():
            theirs.setdefault(name, []).append(timed(*words))
    goals = {"aws s3 cp": "0.85", "s5cmd": "1.1"}
    for name, times in theirs.items():
        line(f"ingest {SIZE / GIB:g} GiB, S3 | {name}", ours, times, goals.get(name, "-"))
    source.unlink()
    ours, downloads = [], []
    copy = ROOM / "copy.bin"
    for number in range(ROUNDS):
        ours.append(
            home.evault("verify", "INC-2026-0001", f"EV-{number + 1:04d}", "--depth", "bytes")
        )
        started = time.perf_counter()
        run(
            "s5cmd",
            "--endpoint-url",
            server.endpoint,
            "cp",
            f"s3://{BUCKET}/large-{number}-s5cmd",
            copy,
        )
        run("openssl", "dgst", "-sha256", copy)
        downloads.append(Timed(time.perf_counter() - started, 0))
        copy.unlink()
    line(f"verify bytes of {SIZE / GIB:g} GiB, S3 | s5cmd + openssl", ours, downloads, "-")


def small(server: s3.S3Server) -> None:
    """A thousand files of ten kilobytes."""
    folder = ROOM / "small"
    folder.mkdir()
    for number in range(1000):
        (folder / f"{number:04}.bin").write_bytes(os.urandom(10_000))
    ours, theirs = [], dict[str, list[Timed]]()
    home = Home("small", server)
    for number in range(ROUNDS):
        ours.append(home.evault("ingest", folder, "--again"))
        for name, words in uploads(server, folder, f"small-{number}").items():
            theirs.setdefault(name, []).append(timed(*words))
    goals = {"aws s3 cp": "0.25", "s5cmd": "1.0"}
    for name, times in theirs.items():
        line(f"ingest 1,000 files of 10 KB, S3 | {name}", ours, times, goals.get(name, "-"))
    shutil.rmtree(folder)


def heads(server: s3.S3Server) -> None:
    """Asking the store for every object, each exhibit an object of its own; and packed."""
    folder = ROOM / "items"
    folder.mkdir()
    for number in range(ITEMS):
        (folder / f"{number:05}.txt").write_text(f"item {number}\n")
    apart, packed = Home("apart", server), Home("packed", server)
    apart.evault("ingest", folder, "--no-pack")
    packed.evault("ingest", folder)
    shutil.rmtree(folder)
    keys = objects_below("apart/artifacts/", server)
    listed = ROOM / "keys"
    listed.write_text("\n".join(keys[:ASKED]) + "\n")
    command = (
        f"aws --endpoint-url {server.endpoint} s3api head-object --bucket {BUCKET} "
        "--checksum-mode ENABLED --key"
    )
    asked = timed("xargs", "-a", listed, "-P", "4", "-n", "1", *command.split())
    theirs = Timed(asked.seconds * len(keys) / ASKED, 0)
    words = ("verify", "INC-2026-0001", "--depth", "checksums")
    ours = apart.evault(*words)
    line(
        f"checksum depth, {ITEMS:,} objects | aws head-object x 4, scaled", [ours], [theirs], "0.5"
    )
    line(f"checksum depth, {ITEMS:,} objects | boto3 HEAD, 16 threads", [ours],
         [bare_heads(server, keys)], "-")  # fmt: skip
    line(f"checksum depth, {ITEMS:,} items, packed | aws, scaled",
         [packed.evault(*words)], [theirs], "0.5")  # fmt: skip


def objects_below(prefix: str, server: s3.S3Server) -> list[str]:
    """All keys below a prefix."""
    client = boto3.client("s3", endpoint_url=server.endpoint)
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
    return [each["Key"] for page in pages for each in page.get("Contents", ())]


def bare_heads(server: s3.S3Server, keys: list[str]) -> Timed:
    """One HEAD each, by boto3 alone."""
    client = boto3.client("s3", endpoint_url=server.endpoint)
    started = time.perf_counter()

    def head(key: str) -> None:
        client.head_object(Bucket=BUCKET, Key=key, ChecksumMode="ENABLED")

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(head, keys))
    return Timed(time.perf_counter() - started, 0)


def sealing(server: s3.S3Server, database: postgres.PostgresServer) -> None:
    """Statements sealed and kept a second, beside a bare commit and a bare put of as many bytes."""
    store = S3Config(BUCKET, "sealing", server.endpoint, None, 16 << 20, 8, None,
                     LockMode.GOVERNANCE, locks=True, versions=True)  # fmt: skip
    world = World.make(ROOM / "sealing", store=store, database=database.url(database.database()))
    dsn = database.url(database.database())
    with psycopg.connect(dsn) as connection:
        connection.execute("CREATE TABLE bare (id bigserial PRIMARY KEY, data bytea)")
    for writers in WRITERS:
        ours = at_once(writers, partial(seal, world))
        commits = at_once(writers, lambda _, begin: commit(dsn, begin))
        puts = at_once(writers, partial(put, server))
        both = 1 / (1 / commits + 1 / puts)
        print(
            f"{f'sealed a second, {writers} writers | a commit and a put each':<56}"
            f"{ours:>8.0f}/s{both:>7.0f}/s{ours / both:>8.2f}{'0.7':>8}{'':>10}"
            f"   commits {commits:.0f}/s, puts {puts:.0f}/s",
            flush=True,
        )


def at_once(writers: int, work: Callable[[int, float], int]) -> float:
    """Work done a second by processes of their own, once all of them are warm."""
    begin = time.monotonic() + WARM + writers / 4
    children = []
    for number in range(writers):
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                os.write(write, json.dumps(work(number, begin)).encode())
                code = 0
            except BaseException:  # noqa: BLE001
                traceback.print_exc()
            finally:
                os._exit(code)
        os.close(write)
        children.append((pid, read))
    done = 0
    for pid, read in children:
        with os.fdopen(read, "rb") as file:
            done += json.loads(file.read())
        os.waitpid(pid, 0)
    return done / SECONDS


def seal(world: World, number: int, begin: float) -> int:
    """Seal small statements onto an incident of one's own; how many were kept in time."""
    incident = f"INC-2026-{number + 1:04d}"
    with world.opened(patience=30.0) as process:
        world.declare(process, incident)

        def one(turn: int) -> None:
            world.look_at(process, f"seal-{os.getpid()}-{turn}", incident)

        return in_time(one, begin)


def commit(dsn: str, begin: float) -> int:
    """Commit rows as large as a manifest."""
    data = os.urandom(2200)
    with psycopg.connect(dsn, autocommit=True) as connection:
        insert = "INSERT INTO bare (data) VALUES (%s)"
        return in_time(lambda _: connection.execute(insert, (data,)), begin)


def put(server: s3.S3Server, number: int, begin: float) -> int:
    """Put locked objects as large as a manifest."""
    client = boto3.client("s3", endpoint_url=server.endpoint)
    data = os.urandom(2200)
    digest = base64.b64encode(hashlib.sha256(data).digest()).decode()
    kept = datetime.now(UTC) + timedelta(days=300)

    def one(turn: int) -> None:
        client.put_object(
            Bucket=BUCKET, Key=f"bare/{os.getpid()}-{number}-{turn}", Body=data, IfNoneMatch="*",
            ChecksumSHA256=digest, ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate=kept,
        )  # fmt: skip

    return in_time(one, begin)


def in_time(work: Callable[[int], object], begin: float) -> int:
    """Do it until `begin`, to be warm, then count how often it is done in the time."""
    turn, first = 0, 0
    while (now := time.monotonic()) < begin + SECONDS:
        if now < begin:
            first = turn + 1
        work(turn)
        turn += 1
    return turn - first
