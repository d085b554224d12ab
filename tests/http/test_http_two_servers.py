"""Two servers on one database and one bucket, under load, one of them killed again and again."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_support import run
from load import BROKEN, Load, check, told
from servers.evault import EvaultServer, free_port
from servers.postgres import PostgresServer
from servers.s3 import S3Bucket

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3_000)]
DURATIONS = [25, pytest.param(600, marks=pytest.mark.soak)]


@pytest.fixture
def home(tmp_path: Path, s3_bucket: S3Bucket, postgres_server: PostgresServer) -> Path:
    """A vault of several hosts, in which nothing happened yet."""
    home = tmp_path / "home"
    said = run(
        "--home", home, "init", "--store", f"s3://{s3_bucket.name}/{tmp_path.name}",
        "--endpoint-url", s3_bucket.server.endpoint,
        "--database", postgres_server.url(postgres_server.database()),
    )  # fmt: skip
    assert said.code == 0, said.err
    return home


@pytest.fixture
def servers(home: Path) -> Iterator[list[EvaultServer]]:
    """Two, of two workers each."""
    servers = [EvaultServer(home, free_port(), workers=2) for _ in range(2)]
    try:
        for each in servers:
            each.start()
        yield servers
    finally:
        for each in servers:
            each.end()


@pytest.mark.parametrize("seconds", DURATIONS)
def test_of_two_servers_one_is_killed_and_nothing_is_lost_or_doubled(
    home: Path, servers: list[EvaultServer], seconds: float
) -> None:
    """Whole servers and single workers, at random; the other goes on, the killed one comes back."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    kills = 0
    with Load(home, servers, seed) as load:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            time.sleep(rng.uniform(1, 4))
            load.check_alive()
            victim = rng.choice(servers)
            if kills and rng.random() < 0.3:
                victim.kill_worker(rng)
            else:
                victim.kill()
                time.sleep(rng.uniform(0, 1))
                victim.start()
            kills += 1
    print(f"{kills} kills; {told(load.account)}")
    for each in servers:
        each.stop()
    account = load.account
    check(home, account)
    assert kills
    assert min(len(account.sent), len(account.exported), account.checked, account.read) > 0
    assert any(status == BROKEN for _, status in account.answers), "no kill was ever noticed"
