"""A vault in a folder, served by one server under mixed load, and killed every few seconds."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from load import BROKEN, Load, check, told
from servers.evault import EvaultServer, free_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3_000)]
DURATIONS = [30, pytest.param(600, marks=pytest.mark.soak)]


@pytest.fixture
def server(made: Path, tmp_path: Path) -> Iterator[EvaultServer]:
    """A server of a new home, with two workers."""
    shutil.copytree(made, tmp_path / "home")
    server = EvaultServer(tmp_path / "home", free_port(), workers=2)
    try:
        server.start()
        yield server
    finally:
        server.end()


@pytest.mark.parametrize("seconds", DURATIONS)
def test_killed_every_few_seconds_nothing_is_lost_or_doubled(
    server: EvaultServer, seconds: float
) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    kills = 0
    with Load(server.home, [server], seed) as load:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            time.sleep(rng.uniform(1, 6))
            load.check_alive()
            if kills and rng.random() < 0.3:
                server.kill_worker(rng)
            else:
                server.kill()
                server.start()
            kills += 1
    print(f"{kills} kills; {told(load.account)}")
    server.stop()
    account = load.account
    check(server.home, account)
    assert kills
    assert min(len(account.sent), len(account.exported), account.checked, account.read) > 0
    assert any(status == BROKEN for _, status in account.answers), "no kill was ever noticed"
