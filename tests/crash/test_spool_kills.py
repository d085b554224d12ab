"""kill -9 at any instant, while a spool fills and while it delivers: nothing kept is lost."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_support import run
from spool.world import MemoryVault, clock, fill, new_spool

from ingest.delivery import deliver
from ingest.entry import Entry
from ingest.spool import Spool
from verify.strictjson import Object

ROUNDS = [4, pytest.param(150, marks=pytest.mark.soak)]


def killed(work: Callable[[int], None], *, after: float) -> list[str]:
    """Run `work` in a process, kill it some time after its first word; the words that it wrote."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            work(writing)
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as words:
        first = words.readline()
        time.sleep(after)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return [word.decode().strip() for word in (first, *words.readlines())]


def content(rng: random.Random) -> bytes:
    return rng.randbytes(rng.choice([0, 10, 5_000, 300_000]))


@pytest.mark.parametrize("rounds", ROUNDS)
def test_what_was_acknowledged_before_the_kill_is_delivered(tmp_path: Path, rounds: int) -> None:
    spool = new_spool(tmp_path / "s", limit=1 << 32)
    acknowledged: dict[int, str] = {}
    for seed in range(rounds):

        def filling(words: int, seed: int = seed) -> None:
            rng = random.Random(seed)
            os.write(words, b"ready\n")
            while True:
                data = [content(rng) for _ in range(rng.randrange(1, 4))]
                entry = fill(Spool(spool.root), *data)
                digest = hashlib.sha256(b"".join(data)).hexdigest()
                os.write(words, f"{entry.number} {digest}\n".encode())

        for word in killed(filling, after=random.Random(seed).uniform(0, 0.12))[1:]:
            number, _, digest = word.partition(" ")
            assert int(number) not in acknowledged, "a number was given twice"
            acknowledged[int(number)] = digest
    last = fill(Spool(spool.root), b"after all")
    vault = MemoryVault()
    result = deliver(Spool(spool.root), vault, clock=clock)
    assert (result.stopped, result.waiting) == (None, 0)
    assert vault.offered == list(range(1, last.number + 1)), "no gap, no disorder"
    for number, digest in acknowledged.items():
        kept = b"".join(vault.sealed[f"spool-{spool.id}-{number}"])
        assert hashlib.sha256(kept).hexdigest() == digest
    assert list((spool.root / "incoming").iterdir()) == []


class FolderVault(MemoryVault):
    """A vault on disk that keeps each deposit once, and writes down every one that it takes."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self.root = root

    def deliver(self, entry: Entry) -> tuple[Object, ...]:
        receipts = super().deliver(entry)
        path = self.root / entry.collection.deposit
        if not path.exists():
            with (self.root.parent / "order").open("a") as order:
                order.write(f"{entry.number}\n")
            path.with_suffix(".new").write_text(str(entry.number))
            path.with_suffix(".new").rename(path)
        return receipts


@pytest.mark.parametrize("rounds", ROUNDS)
def test_a_killed_delivery_goes_on_where_it_was(tmp_path: Path, rounds: int) -> None:
    kept = tmp_path / "vault"
    kept.mkdir()
    spool = new_spool(tmp_path / "s", limit=1 << 32)
    total = 0
    for seed in range(rounds):
        for _ in range(6):
            fill(spool, b"x" * 10_000)
            total += 1

        def delivering(words: int) -> None:
            os.write(words, b"ready\n")
            deliver(Spool(spool.root), FolderVault(kept), clock=clock)

        killed(delivering, after=random.Random(seed).uniform(0, 0.02))
        waiting = set(Spool(spool.root).waiting())
        for number in range(1, total + 1):
            there = (kept / f"spool-{spool.id}-{number}").exists()
            assert there or number in waiting, "gone before it was kept"
    result = deliver(Spool(spool.root), FolderVault(kept), clock=clock)
    assert (result.stopped, result.waiting) == (None, 0)
    assert len([path for path in kept.iterdir() if not path.suffix]) == total
    order = [int(number) for number in (tmp_path / "order").read_text().split()]
    assert list(dict.fromkeys(order)) == list(range(1, total + 1))


@pytest.mark.parametrize("rounds", [2, pytest.param(40, marks=pytest.mark.soak)])
def test_a_real_vault_has_each_entry_once_whenever_its_deliverer_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rounds: int
) -> None:
    monkeypatch.setenv("EVAULT_HOME", str(tmp_path / "home"))
    assert run("init").code == 0
    declared = run(
        "incident", "declare", "--title", "t", "--severity", "sev1", "--tier", "4",
        "--system", "aws", "--detected-at", "-5m", "--json",
    )  # fmt: skip
    incident = declared.json["incident"]
    root = tmp_path / "s"
    spool = new_spool(root, limit=1 << 32)
    assert run("collector", "add", "edge", "--key", root / "collector.pub").code == 0
    total = 0
    for seed in range(rounds):
        for _ in range(5):
            total += 1
            fill(spool, b"%d" % total, b"x" * 100_000, destination=incident)

        def delivering(words: int) -> None:
            os.write(words, b"ready\n")
            run("spool", "deliver", root)

        killed(delivering, after=random.Random(seed).uniform(0, 0.4))
    said = run("spool", "deliver", root)
    assert said.code == 0, said.out + said.err
    items = json.loads(run("evidence", "list", incident, "--json").raw)["items"]
    numbered = [item["sha256"] for item in items if item["size"] < 10]
    expected = [hashlib.sha256(b"%d" % number).hexdigest() for number in range(1, total + 1)]
    assert numbered == expected, "each once, in order"
    assert len(items) == 3 * total
    assert run("verify", incident).code == 0
    assert run("log", "audit").code == 0
