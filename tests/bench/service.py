"""The service: what `evault serve` does a second, on S3 and PostgreSQL, and on a folder and SQLite.

Uploads of 10 KB, OTLP exports of some 4 KB and verification by digest, each by 1, 8 and 32
connections for EVAULT_BENCH_SECONDS (default 3) after half a second to warm up; then one upload of
EVAULT_BENCH_GIB. Uploads go to four incidents, exports come from four collectors. Beside them the
same bytes put bare by as many connections: by boto3 into the same bucket, locked, or into a folder,
synced; and for verification the same server's empty endpoint. Server, database, store and clients
share this machine; memory is the peak of one worker of two.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import itertools
import json
import os
import secrets
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
from botocore.config import Config
from measuring import GIB, ROOM, SIZE, Timed, evault, line, make_file, run

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "http")]

from exports import PROTOBUF, spans  # noqa: E402
from servers import postgres, s3  # noqa: E402
from servers.evault import EvaultServer, free_port, let_in  # noqa: E402

BUCKET = "service"
CONNECTIONS = (1, 8, 32)
INCIDENTS = 4
WARM, SECONDS = 0.5, float(os.environ.get("EVAULT_BENCH_SECONDS", "3"))
SMALL = 10_000
SPANS = 55
"""That many are an export of some four kilobytes."""
DECLARED = {
    "title": "Mail went out", "severity": "sev2", "tier": "3", "trigger": "egress",
    "systems": ["mail-agent"], "detected_at": "2026-03-01T09:00:00Z",
}  # fmt: skip

Ask = Callable[[int], Callable[[], None]]
"""Gives, for the connection of a number, what one request does; an answer that is no success ends
the measurement."""


@dataclass(frozen=True)
class Pace:
    """What many requests took: how many were answered a second, and half and 99 % within."""

    a_second: float
    p50: float
    p99: float


def measure() -> None:
    """All measurements of the service."""
    with s3.running(ROOM / "s3") as server, postgres.running(durable=True) as database:
        os.environ.update(server.environment)
        client = boto3.client("s3", endpoint_url=server.endpoint)
        client.create_bucket(Bucket=BUCKET, ObjectLockEnabledForBucket=True)
        on_servers = [
            "--store", f"s3://{BUCKET}/vault", "--endpoint-url", server.endpoint,
            "--database", database.url(database.database()),
        ]  # fmt: skip
        with serving("servers", on_servers) as site:
            of_one_kind(site, "S3", into_bucket(server), partial_put(server))
    with serving("embedded", []) as site:
        of_one_kind(site, "folder", into_folder(), copy_and_sync)


@dataclass(frozen=True)
class Site:
    """A running server, and the headers of those who ask it."""

    server: EvaultServer
    people: list[Mapping[str, str]]
    collectors: list[Mapping[str, str]]
    incidents: list[str]


@contextmanager
def serving(name: str, where: list[str]) -> Iterator[Site]:
    """A new vault, served, with as many people and collectors as connections."""
    home = ROOM / f"home-{name}"
    evault(home, "init", *where)
    most = max(CONNECTIONS)
    people = {f"person-{n}": "incident_commander" for n in range(most)}
    # Each has a pace of its own that it may not go beyond.
    collectors = {f"edge-{n}": f"stream:edge-{n}" for n in range(INCIDENTS)}
    who = let_in(home, people, collectors)
    server = EvaultServer(home, free_port(), workers=2)
    server.start()
    try:
        asked = Connection(server, who["person-0"])
        incidents = [
            json.loads(asked("POST", "/v1/incidents", json.dumps(DECLARED).encode()))["incident"]
            for _ in range(INCIDENTS)
        ]
        yield Site(
            server, [who[name] for name in people], [who[name] for name in collectors], incidents
        )
        server.stop()
    finally:
        server.end()
        shutil.rmtree(home, ignore_errors=True)


def of_one_kind(
    site: Site, store: str, bare: Callable[[bytes], None], bare_file: Callable[[Path], None]
) -> None:
    """All requests to a vault of one kind."""
    server = site.server
    empty = {n: paced(n, healthz(server)) for n in CONNECTIONS}
    for n in CONNECTIONS:
        one = f"{n} connection{'s' if n > 1 else ''}"
        for what, ask, data in (
            (f"uploads of 10 KB, {one}, {store}", uploads(site), SMALL),
            (f"OTLP of 4 KB, {one}, {store}", exports(site), len(spans(*range(SPANS)))),
        ):
            server.forget_peak()
            ours = paced(n, ask)
            told(f"{what} | bare", ours, paced(n, puts(bare, data)), server.memory)
        server.forget_peak()
        ours = paced(n, digests(site))
        told(f"verify by digest, {one}, {store} | empty", ours, empty[n], server.memory)
    source = ROOM / "large.bin"
    make_file(source, SIZE)
    server.forget_peak()
    started = time.perf_counter()
    upload_file(site, source)
    ours = Timed(time.perf_counter() - started, server.memory)
    started = time.perf_counter()
    bare_file(source)
    theirs = Timed(time.perf_counter() - started, 0)
    line(f"upload of {SIZE / GIB:g} GiB, {store} | bare", [ours], [theirs], "-")
    source.unlink()


def told(name: str, ours: Pace, theirs: Pace, memory: float) -> None:
    """One line of the table."""
    print(
        f"{name:<56}{ours.a_second:>7.1f}/s{theirs.a_second:>7.0f}/s"
        f"{ours.a_second / theirs.a_second:>8.2f}{'-':>8}{memory:>7.0f} MB"
        f"   p50 {ours.p50 * 1e3:,.0f} ms, p99 {ours.p99 * 1e3:,.0f} ms;"
        f" theirs {theirs.p50 * 1e3:,.1f}, {theirs.p99 * 1e3:,.1f}",
        flush=True,
    )


# Requests


class Connection:
    """One connection to a server, kept open."""

    def __init__(self, server: EvaultServer, headers: Mapping[str, str] | None = None) -> None:
        self._line = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
        self._headers = dict(headers or {})

    def __call__(self, method: str, path: str, body: object = None, **more: str) -> bytes:
        """The body of an answer that is a success."""
        kind = {"Content-Type": "application/json"} if body else {}
        headers = {**self._headers, **kind}
        headers |= {name.replace("_", "-"): value for name, value in more.items()}
        self._line.request(method, path, body, headers)
        answer = self._line.getresponse()
        data = answer.read()
        if answer.status // 100 != 2:
            raise SystemExit(f"{method} {path} was answered {answer.status}: {data[:500]!r}")
        return data


def healthz(server: EvaultServer) -> Ask:
    """The endpoint that does nothing."""

    def connect(_number: int) -> Callable[[], None]:
        ask = Connection(server)
        return lambda: ask("GET", "/healthz") and None

    return connect


def uploads(site: Site) -> Ask:
    """Ten kilobytes that were never there."""

    def connect(number: int) -> Callable[[], None]:
        ask = Connection(site.server, site.people[number])
        path = f"/v1/incidents/{site.incidents[number % INCIDENTS]}/evidence?name=part.bin"
        return lambda: ask("POST", path, secrets.token_bytes(SMALL)) and None

    return connect


def exports(site: Site) -> Ask:
    """Spans that were never sent."""
    first = itertools.count(secrets.randbelow(1 << 33), SPANS)

    def connect(number: int) -> Callable[[], None]:
        ask = Connection(site.server, site.collectors[number % INCIDENTS])

        def export() -> None:
            start = next(first)
            data = spans(*range(start, start + SPANS))
            ask("POST", "/v1/traces", data, Content_Type=PROTOBUF)

        return export

    return connect


def digests(site: Site) -> Ask:
    """What is known of one of a few sealed contents."""
    data = secrets.token_bytes(SMALL)
    path = f"/v1/incidents/{site.incidents[0]}/evidence?name=known.bin"
    Connection(site.server, site.people[0])("POST", path, data)
    body = json.dumps({"digest": hashlib.sha256(data).hexdigest()}).encode()

    def connect(number: int) -> Callable[[], None]:
        ask = Connection(site.server, site.people[number])
        return lambda: ask("POST", "/v1/verify", body) and None

    return connect


def upload_file(site: Site, source: Path) -> None:
    """A file, streamed."""
    ask = Connection(site.server, site.people[0])
    path = f"/v1/incidents/{site.incidents[0]}/evidence?name=large.bin"
    with source.open("rb") as file:
        ask("POST", path, file, Content_Length=str(source.stat().st_size))


# The same bytes without us


def puts(bare: Callable[[bytes], None], size: int) -> Ask:
    """Bytes that were never there, put bare."""
    return lambda _number: lambda: bare(secrets.token_bytes(size))


def into_bucket(server: s3.S3Server) -> Callable[[bytes], None]:
    """A locked object each, its digest checked by the store."""
    config = Config(max_pool_connections=max(CONNECTIONS))
    client = boto3.client("s3", endpoint_url=server.endpoint, config=config)
    kept = datetime.now(UTC) + timedelta(days=300)

    def put(data: bytes) -> None:
        client.put_object(
            Bucket=BUCKET, Key=f"bare/{secrets.token_hex(16)}", Body=data, IfNoneMatch="*",
            ChecksumSHA256=base64.b64encode(hashlib.sha256(data).digest()).decode(),
            ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate=kept,
        )  # fmt: skip

    return put


def partial_put(server: s3.S3Server) -> Callable[[Path], None]:
    """A file in parts, by boto3's own transfer."""
    client = boto3.client("s3", endpoint_url=server.endpoint)
    return lambda source: client.upload_file(str(source), BUCKET, "bare-large")


def into_folder() -> Callable[[bytes], None]:
    """A file each, it and its folder synced."""
    folder = ROOM / "bare"
    folder.mkdir()

    def put(data: bytes) -> None:
        with (folder / secrets.token_hex(16)).open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        descriptor = os.open(folder, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)

    return put


def copy_and_sync(source: Path) -> None:
    """A copy, synced, and its digest."""
    copy = ROOM / "copy.bin"
    run("cp", source, copy)
    run("sync", copy)
    run("openssl", "dgst", "-sha256", copy)
    copy.unlink()


def paced(connections: int, connect: Ask) -> Pace:
    """Requests of so many connections at once, each one after the other."""
    taken: list[float] = []
    failed: list[BaseException] = []
    asks = [connect(number) for number in range(connections)]
    begin = time.perf_counter() + WARM

    def work(ask: Callable[[], None]) -> None:
        try:
            while (started := time.perf_counter()) < begin + SECONDS and not failed:
                ask()
                if begin <= (now := time.perf_counter()) < begin + SECONDS:
                    taken.append(now - started)
        except BaseException as error:  # noqa: BLE001
            failed.append(error)

    threads = [threading.Thread(target=work, args=(each,)) for each in asks]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    if failed:
        raise failed[0]
    if not taken:
        raise SystemExit(f"nothing was answered in {SECONDS:g} s; try EVAULT_BENCH_SECONDS=30")
    taken.sort()
    return Pace(len(taken) / SECONDS, taken[len(taken) // 2], taken[int(len(taken) * 0.99)])
