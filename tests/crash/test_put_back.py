"""The index goes back, is lost or is damaged: nothing is signed, and a rebuild mends it."""

from __future__ import annotations

import random
import shutil
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest
from crash.faults import Moment
from crash.test_rivals import both_shown
from crash.world import INCIDENT, OTHER, World, copy_index

from cli.home import INDEX
from vault.errors import IndexDamagedError, RecordError, UnavailableError, VaultError

SMALL = {"one.txt": b"one", "two.txt": b"two"}


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A vault, and beside it its index as it was a while ago."""
    world = World.make(tmp_path_factory.mktemp("grown"))
    with world.opened() as process:
        world.declare(process)
        world.declare(process, OTHER)
        world.capture(process, "early", SMALL)
        copy_index(world.index_path, world.home.parent / "earlier.sqlite")
        for number in range(3):
            world.look_at(process, f"a{number}")
            world.look_at(process, f"b{number}", OTHER)
        world.capture(process, "late", {"three.txt": b"three"})
    world.check()
    return world


@pytest.fixture
def world(grown: World, tmp_path: Path) -> World:
    return copy_of(grown, tmp_path)


def copy_of(world: World, folder: Path) -> World:
    shutil.copytree(world.home.parent, folder, dirs_exist_ok=True)
    return World(folder / "home", list(world.promised))


def put_back(world: World) -> None:
    copy_index(world.home.parent / "earlier.sqlite", world.index_path)


def test_an_index_put_back_under_a_running_process_signs_nothing(world: World) -> None:
    with world.opened() as process:
        world.look_at(process, "just-before")
        put_back(world)
        signed = process.signed
        for deposit, chain in (("next", INCIDENT), ("other", OTHER)):
            with pytest.raises(RecordError) as refused:
                world.look_at(process, deposit, chain)
            assert both_shown(refused.value)
        objects = list(process.store.keys("artifacts/"))
        with pytest.raises(RecordError):
            world.capture(process, "next-capture", SMALL)
        assert list(process.store.keys("artifacts/")) == objects
        assert world.leftovers == []
        assert process.signed == signed
    world.check_store()
    with world.opened() as process, pytest.raises(RecordError):
        world.look_at(process, "after-a-restart-too")
    world.rebuild()
    world.check()
    with world.opened() as process:
        world.look_at(process, "next")
        world.capture(process, "next-capture", SMALL)
    world.check()


@pytest.mark.slow
@pytest.mark.parametrize("what", ["small", pytest.param("capture", marks=pytest.mark.soak)])
def test_an_index_put_back_at_each_moment_of_a_deposit_forks_nothing(
    grown: World, tmp_path: Path, what: str
) -> None:
    for k in count(1):
        world = copy_of(grown, tmp_path / f"{k}")
        moment = Moment(k, lambda world=world: put_back(world))

        def step(process, world=world):  # type: ignore[no-untyped-def]
            if what == "small":
                world.look_at(process, "mine")
            else:
                world.capture(process, "mine", SMALL)

        try:
            with world.opened(moment) as process:
                try:
                    step(process)
                except VaultError as error:
                    ended: VaultError | None = error
                else:
                    ended = None
                if not moment.happened:
                    assert k > 8
                    return
                assert ended is None or isinstance(ended, RecordError), repr(ended)
                with pytest.raises(RecordError):
                    world.look_at(process, "later")
            world.check_store()
            world.rebuild()
            world.check()
            with world.opened() as process:
                step(process)
                world.look_at(process, "later", OTHER)
            world.check()
            world.check_rebuilt_is_same()
        except BaseException as error:
            error.add_note(f"put back {moment.happened}")
            raise
        shutil.rmtree(tmp_path / f"{k}")


@pytest.mark.slow
def test_an_index_rebuilt_under_a_running_process_loses_nothing(
    grown: World, tmp_path: Path
) -> None:
    """It says to stop other writers first; this is for those who did not. A process that holds
    the index of before must not go on with it, nor with both by turns."""
    for k in count(1):
        world = copy_of(grown, tmp_path / f"{k}")
        moment = Moment(k, world.rebuild)
        with world.opened(moment) as process:
            with suppress(UnavailableError):
                world.look_at(process, "mine")
            if not moment.happened:
                assert k > 8
                return
            with world.opened() as other:
                world.look_at(other, "theirs")
            with suppress(UnavailableError):
                world.look_at(process, "mine-again")
        world.check_store()
        world.rebuild()
        with world.opened() as other:
            for deposit in ("mine", "theirs", "mine-again"):
                world.look_at(other, deposit)
        world.check()
        shutil.rmtree(tmp_path / f"{k}")


def test_an_index_put_back_to_just_before_the_last_publication_goes_on(world: World) -> None:
    """It lacks nothing but what the store tells: that is no fork, and no reason to stop."""
    before = world.home.parent / "before.sqlite"
    moment = Moment(on="add_publication", act=lambda: copy_index(world.index_path, before))
    with world.opened(moment) as process:
        world.look_at(process, "mine")
    assert moment.happened
    copy_index(before, world.index_path)
    with world.opened() as process:
        world.look_at(process, "next")
    world.check()
    world.check_rebuilt_is_same()


def test_a_lost_index_says_what_to_do(world: World) -> None:
    world.lose_index()
    with pytest.raises(IndexDamagedError, match="evault log rebuild"):
        world.open()
    world.rebuild()
    world.check()


def test_an_index_lost_without_its_write_ahead_log_is_not_mended_with_it(world: World) -> None:
    """A process was killed, its `-wal` stays, someone deletes the index alone: SQLite would play
    the old log into the new index."""
    with world.opened() as process:
        world.look_at(process, "unfinished")
        for suffix in ("-wal", "-shm"):
            shutil.copy(f"{world.index_path}{suffix}", f"{world.index_path}{suffix}.kept")
    world.index_path.unlink()
    for suffix in ("-wal", "-shm"):
        shutil.move(f"{world.index_path}{suffix}.kept", f"{world.index_path}{suffix}")
    world.rebuild()
    world.check()
    world.check_rebuilt_is_same()


@pytest.mark.parametrize(
    "seed", [pytest.param(seed, marks=() if seed < 10 else pytest.mark.soak) for seed in range(200)]
)
def test_a_damaged_index_says_what_to_do_and_is_mended(
    grown: World, tmp_path: Path, seed: int
) -> None:
    world, rng = copy_of(grown, tmp_path), random.Random(seed)
    data = bytearray(world.index_path.read_bytes())
    for _ in range(rng.choice([1, 3, 40])):
        start = rng.randrange(len(data))
        length = min(rng.choice([1, 16, 4096]), len(data) - start)
        data[start : start + length] = rng.randbytes(length)
    if seed == 0:
        data = bytearray(rng.randbytes(len(data)))
    elif seed == 1:
        data = bytearray()
    elif seed == 2:
        del data[len(data) // 2 :]
    world.index_path.write_bytes(data)
    told = ""
    try:
        with world.opened() as process:
            world.look_at(process, "next")
            world.capture(process, "next-capture", SMALL)
    except (IndexDamagedError, RecordError) as error:
        told = str(error)
    assert not told or "evault log rebuild" in told
    world.check_store()
    world.rebuild()
    world.check()


@pytest.mark.slow
def test_a_rebuild_while_nothing_is_published(tmp_path: Path) -> None:
    """The first deposit died between its manifest and its checkpoint."""
    world = World.make(tmp_path)
    world.rebuild()
    world.check()
    for k in range(1, 12):
        fresh = World.make(tmp_path / f"{k}")
        moment = Moment(k)
        moment.act = moment.kill
        process = fresh.open(moment)
        try:
            fresh.declare(process)
        except BaseException:
            if not moment.happened:
                raise
        fresh.bury(process)
        fresh.lose_index()
        fresh.rebuild()
        fresh.check()
        with fresh.opened() as process:
            fresh.declare(process)
        fresh.check()


def test_a_clock_that_steps_back_is_a_note_and_no_failure(tmp_path: Path) -> None:
    world = World.make(tmp_path)
    moments = iter(datetime(2026, 7, 29, 12, tzinfo=UTC) - timedelta(minutes=n) for n in count())
    with world.opened(clock=lambda: next(moments)) as process:
        for step in world.story:
            step(process)
        recorded = [
            each.statement.recorded_at for each in process.incidents.read(INCIDENT).manifests
        ]
    assert recorded == sorted(recorded, reverse=True)
    assert len(set(recorded)) > 3
    world.check()
    world.check_rebuilt_is_same()


def test_leftovers_of_an_interrupted_rebuild_are_no_obstacle(world: World) -> None:
    for suffix in ("", "-wal", "-shm"):
        (world.home / f"{INDEX}.new{suffix}").write_bytes(b"half")
    world.rebuild()
    world.check()
