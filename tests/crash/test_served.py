"""On real servers, S3 with Object Lock and PostgreSQL; and many writers at once on either kind."""

from __future__ import annotations

import random
import shutil
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from crash.conftest import Serve
from crash.faults import Killed, Moment, fail
from crash.stress import Stress
from crash.world import CONTENTS, INCIDENT, OTHER, Process, World
from servers.postgres import PostgresServer

from cli.config import CONFIG
from cli.storage import open_index
from vault import layout
from vault.adapters.tables import metadata
from vault.errors import RecordError, UnavailableError

SEED = random.randrange(1 << 32)


@pytest.mark.slow
def test_a_whole_story_is_kept_and_its_index_can_be_made_anew(serve: Serve, tmp_path: Path) -> None:
    world = serve(tmp_path)
    with world.opened() as process:
        for step in world.story:
            step(process)
    world.check()
    world.check_rebuilt_is_same()


# A fault at any write


def calls_of_a_story(serve: Serve, folder: Path) -> int:
    world, moment = serve(folder), Moment()
    with world.opened(moment) as process:
        for step in world.story:
            step(process)
    return moment.count


@pytest.fixture(scope="module")
def calls(serve: Serve, tmp_path_factory: pytest.TempPathFactory) -> int:
    return calls_of_a_story(serve, tmp_path_factory.mktemp("calls"))


def tell(world: World, moment: Moment) -> None:
    """The story up to the fault, by a process that dies of it or not; then whole, by the next."""
    process = world.open(moment)
    with suppress(Killed, UnavailableError):
        for step in world.story:
            step(process)
    assert moment.happened
    if moment.dead:
        world.bury(process)
    else:
        process.close()
    world.check_store()
    with world.opened() as process:
        process.log.settle()
        chain = process.incidents.read(INCIDENT).incident if process.index.head(INCIDENT) else None
        for step in world.story if chain is None or not chain.sealed else ():
            step(process)
        world.check(process)
        chain = process.incidents.read(INCIDENT).incident
        assert len(chain.exhibits) == len(CONTENTS)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["dies", "fails", "fails after its effect"])
@pytest.mark.parametrize("turns", [3, pytest.param(0, marks=pytest.mark.soak)])
def test_a_fault_at_any_write_loses_nothing(
    serve: Serve, tmp_path: Path, calls: int, way: str, turns: int
) -> None:
    """A few moments at random; all of them under soak."""
    print(f"seed {SEED}")
    rng = random.Random(f"{SEED} {way}")
    chosen = rng.sample(range(1, calls), turns) if turns else range(1, calls)
    for k in chosen:
        moment = Moment(k, fail, after=way.endswith("effect"))
        if way == "dies":
            moment.act = moment.kill
        world = serve(tmp_path / f"{k}")
        try:
            tell(world, moment)
            world.check_rebuilt_is_same()
        except BaseException as error:
            error.add_note(f"the fault was {moment.happened}")
            raise


# Many writers, and kills


@pytest.fixture(params=["embedded", "served"])
def busy(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    if request.param == "embedded":
        return World.make(tmp_path)
    return request.getfixturevalue("serve")(tmp_path)  # type: ignore[no-any-return]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_twenty_processes_write_to_fifty_incidents_at_once(busy: World, tmp_path: Path) -> None:
    stress = Stress(busy, tmp_path / "promises", 20, 50, random.Random(1))
    stress.start()
    stress.wait(100)
    promised = stress.stop()
    assert len({receipt.chain for receipt in promised}) > 5
    with busy.opened() as process:
        process.log.settle()
    busy.promised = promised
    busy.check_store()
    with busy.opened() as process:
        for chain in process.index.chains(""):
            rows = list(process.index.rows(chain))
            assert [row.sequence for row in rows] == list(range(len(rows)))
            assert all(row.index is not None for row in rows)
    busy.check_rebuilt_is_same()


@pytest.mark.slow
@pytest.mark.parametrize("busy", ["embedded", "served"], indirect=True)
@pytest.mark.parametrize("whole", [False, pytest.param(True, marks=pytest.mark.soak)])
@pytest.mark.timeout(10_000)
def test_killed_at_random_nothing_promised_is_lost(
    busy: World, tmp_path: Path, whole: bool
) -> None:
    """An audit after each kill: thirty on both kinds of vault together, five hundred under soak."""
    kills = 250 if whole else 8 if busy.config.store else 22
    print(f"seed {SEED}")
    stress = Stress(busy, tmp_path / "promises", 4, 6, random.Random(SEED))
    for _ in range(kills):
        stress.start()
        stress.kill_one()
        promised = stress.stop()
        with busy.opened() as process:
            process.log.settle()
        busy.check_store(promised)
        busy.promised += promised
    busy.check()
    busy.check_rebuilt_is_same()


# The database goes back, or there are two


def refused(world: World, process: Process, deposit: str) -> RecordError:
    with pytest.raises(RecordError) as raised:
        world.look_at(process, deposit)
    error = raised.value
    assert str(error).count("vault.example/log\n") == 2, "both checkpoints are shown"
    assert "evault log rebuild" in str(error)
    return error


@pytest.mark.slow
def test_a_database_put_back_under_a_running_process_signs_nothing(
    serve: Serve, tmp_path: Path
) -> None:
    """As after a failover to a standby that lagged: the connection lives, the past is another."""
    world = serve(tmp_path)
    with world.opened() as process:
        world.declare(process)
        earlier = world.tables(whole=True)
        for number in range(3):
            world.look_at(process, f"{number}")
        put_back(world, earlier)
        signed = process.signed
        refused(world, process, "after")
        assert process.signed == signed
    with world.opened() as process:
        refused(world, process, "also-after-a-restart")
    world.check_store()
    world.rebuild()
    with world.opened() as process:
        world.look_at(process, "after")
    world.check()


def put_back(world: World, earlier: dict[str, list[tuple[Any, ...]]]) -> None:
    index = open_index(world.home, world.config)
    with index._database.write() as connection:
        for table in reversed(metadata.sorted_tables):
            connection.execute(table.delete())
        for table in metadata.sorted_tables:
            names = [each.name for each in table.columns]
            for row in earlier[table.name]:
                connection.execute(table.insert().values(dict(zip(names, row, strict=True))))
    index.close()


@pytest.mark.slow
def test_of_two_databases_on_one_bucket_one_is_stopped(
    serve: Serve, tmp_path: Path, postgres_server: PostgresServer
) -> None:
    world = serve(tmp_path)
    with world.opened() as process:
        world.declare(process)
        world.declare(process, OTHER)
    assert world.config.database is not None
    name = sa.make_url(world.config.database).database or ""
    second = World(tmp_path / "second" / "home")
    shutil.copytree(world.home, second.home)
    database = postgres_server.url(postgres_server.copy(name))
    (second.home / CONFIG).write_bytes(replace(world.config, database=database).encode())
    with world.opened() as first, second.opened() as other:
        world.look_at(first, "by-the-first")
        refused(second, other, "by-the-second")
        world.look_at(first, "by-the-first-again")
        refused(second, other, "by-the-second-again")
    world.check()
    second.rebuild()
    with second.opened() as other:
        second.look_at(other, "by-the-second", OTHER)


@pytest.mark.slow
def test_an_index_rebuilt_under_a_running_process_is_told_and_loses_nothing(
    serve: Serve, tmp_path: Path
) -> None:
    world = serve(tmp_path)
    with world.opened() as process:
        world.declare(process)
        world.rebuild()
        with pytest.raises(UnavailableError, match="was rebuilt while this command ran"):
            world.look_at(process, "mine")
    with world.opened() as process:
        world.look_at(process, "mine")
    world.check()
    world.check_rebuilt_is_same()


@pytest.mark.slow
def test_a_store_that_was_put_back_or_is_another_is_not_written_to(
    serve: Serve, tmp_path: Path
) -> None:
    """The index is newer than the record: going on would publish over a gap."""
    world, empty = serve(tmp_path / "a"), serve(tmp_path / "b")
    with world.opened() as process:
        world.declare(process)
        for number in range(3):
            world.look_at(process, f"{number}")
    (world.home / CONFIG).write_bytes(replace(world.config, store=empty.config.store).encode())
    with world.opened() as process, pytest.raises(RecordError, match="is another vault's"):
        world.look_at(process, "after")
    with empty.stored() as store:
        assert list(store.keys(layout.CHAINS)) == []
