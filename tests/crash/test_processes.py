"""Real processes on one home: at once, killed, interrupted."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from crash.world import INCIDENT, World

from vault import layout
from verify.statement import Type

ROOT = Path(__file__).parents[2]
LARGE = 200 << 20
DECLARE = (
    "incident", "declare", "--title", "t", "--severity", "sev1", "--tier", "4",
    "--system", "agents-prod", "--detected-at", "2026-07-29T10:00:00Z", "--json",
)  # fmt: skip


def start(home: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "cli", "--home", str(home), *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip


def finish(processes: Sequence[subprocess.Popen[str]]) -> list[dict[str, Any]]:
    """The answers of commands that must all succeed."""
    ended = [(process, *process.communicate(timeout=100)) for process in processes]
    for process, _, complaint in ended:
        assert process.returncode == 0, complaint
    return [json.loads(answer) for _, answer, _ in ended]


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World.make(tmp_path)
    with made.opened() as process:
        made.declare(process)
    return made


# At once


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 6, pytest.param(24, marks=pytest.mark.soak)])
def test_processes_that_ingest_at_once_all_succeed_on_one_chain(
    world: World, tmp_path: Path, count: int
) -> None:
    folders = []
    for number in range(count):
        folder = tmp_path / f"evidence-{number}"
        folder.mkdir()
        for name in range(4):
            (folder / f"{name}.txt").write_text(f"process {number}, file {name}")
        (folder / "memory.dump").write_bytes(bytes([number]) * 1_200_000)
        folders.append(folder)
    answers = finish(
        [start(world.home, "ingest", INCIDENT, str(folder), "--json") for folder in folders]
    )
    receipts = [answer["receipt"] for answer in answers]
    assert sorted(each["sequence"] for each in receipts) == list(range(1, count + 1))
    exhibits = sorted(item["exhibit"] for answer in answers for item in answer["items"])
    assert exhibits == [f"EV-{number:04d}" for number in range(1, 5 * count + 1)]
    world.check()
    world.check_rebuilt_is_same()
    assert world.leftovers == []


@pytest.mark.slow
def test_processes_that_declare_at_once_get_ids_of_their_own(world: World) -> None:
    answers = finish([start(world.home, *DECLARE) for _ in range(4)])
    assert len({answer["incident"] for answer in answers}) == 4
    world.check()


@pytest.mark.slow
def test_processes_that_make_one_home_at_once_make_one_vault(tmp_path: Path) -> None:
    home = tmp_path / "home"
    finish([start(home, "init", "--json") for _ in range(4)])
    answers = finish([start(home, *DECLARE) for _ in range(2)])
    assert len({answer["incident"] for answer in answers}) == 2
    World(home).check()


@pytest.mark.slow
def test_rebuilds_at_once_leave_one_whole_index(world: World) -> None:
    finish([start(world.home, "log", "rebuild", "--json") for _ in range(3)])
    world.check()
    world.check_rebuilt_is_same()


# Killed


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A large file that costs no disk: a few random bytes, and holes between them."""
    path = tmp_path_factory.mktemp("large") / "memory.dump"
    rng = random.Random(1)
    with path.open("wb") as file:
        file.truncate(LARGE)
        for _ in range(50):
            file.seek(rng.randrange(LARGE - 1000))
            file.write(rng.randbytes(1000))
    return path


def kill_when(process: subprocess.Popen[str], reached: Callable[[], bool], sent: int) -> None:
    """Send a signal once something is reached, or let the process end before it."""
    while process.poll() is None and not reached():
        os.sched_yield()
    process.send_signal(sent)
    process.communicate(timeout=100)


def written(world: World) -> int:
    """How many bytes an ingest has written so far, published or not."""
    size = 0
    for folder in (world.folder / "tmp", world.folder / "artifacts"):
        for path in folder.glob("*"):
            try:
                size += path.stat().st_size
            except FileNotFoundError:
                continue  # linked to its key in between
    return size


def moments(world: World, rng: random.Random, turn: int) -> Callable[[], bool]:
    """A random moment: while bytes are written mostly, else close to the commit."""
    artifacts = len(list((world.folder / "artifacts").glob("*")))
    links = len(list((world.folder / layout.chain_prefix(INCIDENT)).glob("*")))
    size, polls = written(world), iter(range(rng.randrange(2000)))
    if turn % 3 == 0:
        threshold = size + rng.randrange(LARGE)
        return lambda: written(world) > threshold
    if turn % 3 == 1:
        return lambda: (
            len(list((world.folder / "artifacts").glob("*"))) > artifacts
            and next(polls, None) is None
        )
    return lambda: len(list((world.folder / layout.chain_prefix(INCIDENT)).glob("*"))) > links


@pytest.mark.slow
@pytest.mark.parametrize("turns", [4, pytest.param(60, marks=pytest.mark.soak)])
def test_killed_at_any_moment_nothing_is_claimed_without_its_bytes(
    world: World, large: Path, turns: int
) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    for turn in range(turns):
        killed = start(world.home, "ingest", INCIDENT, str(large), "--again", "--json")
        kill_when(killed, moments(world, rng, turn), signal.SIGKILL)
        world.check_store()
        before = set(world.leftovers)
        with world.opened() as process:
            receipt = world.look_at(process, f"after-{turn}")
            world.check()
            chain = process.incidents.read(INCIDENT)
        assert receipt.sequence == chain.incident.sequence
        assert set(world.leftovers) == before, "what is nobody's evidence is nobody's to use"
        for path in before:
            path.unlink()
    print(f"{len(chain.incident.exhibits)} of {turns} were claimed before the end")


# Interrupted


@pytest.mark.parametrize("threshold", [0, LARGE // 2])
def test_interrupted_nothing_is_claimed_and_nothing_left(
    world: World, large: Path, threshold: int
) -> None:
    process = start(world.home, "ingest", INCIDENT, str(large))
    while process.poll() is None and written(world) <= threshold:
        os.sched_yield()
    process.send_signal(signal.SIGINT)
    answer, complaint = process.communicate(timeout=100)
    assert process.returncode == 130, complaint
    assert answer == ""
    assert complaint.startswith("evault: interrupted; ")
    assert complaint.count("\n") == 1
    assert world.leftovers == []
    assert list((world.folder / "artifacts").glob("*")) == []
    with world.opened() as opened:
        chain = opened.incidents.read(INCIDENT)
        assert [each.statement.type for each in chain.manifests] == [Type.INCIDENT]
    world.check()
