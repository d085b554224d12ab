"""Every write call of a whole story fails once, in every way; afterwards nothing promised is lost.

The story: declare, capture, phase, assessment and export, close.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path

import pytest
from crash.faults import Killed, Moment, fail
from crash.world import CONTENTS, INCIDENT, OTHER, Process, World

from vault.errors import UnavailableError

STEPS = ("declare", "capture", "phase", "export", "seal")
ONCE = (f"declare-{INCIDENT}", "capture", "phase", "seal")
FEWEST_CALLS = {"": 70, "export": 45}


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> list[World]:
    """The vault as it stands before each step of the story, and at its end."""
    folder = tmp_path_factory.mktemp("stages")
    world = World.make(folder / "0")
    made = [world]
    for number, step in enumerate(STEPS, 1):
        world = world.copy(folder / f"{number}")
        with world.opened() as process:
            getattr(world, step)(process)
        made.append(world)
    world.check()
    return made


def every_moment(
    stages: list[World], folder: Path, make: Callable[[int], Moment], *, without: str = ""
) -> Iterator[tuple[World, str, Process]]:
    """The vault after each way to fall, the step that fell, and the process that it fell in."""
    calls = 0
    for before, step in zip(stages, STEPS, strict=False):
        if step == without:
            continue
        for k in count(1):
            world, moment = before.copy(folder / f"{step}-{k}"), make(k)
            process = world.open(moment)
            try:
                getattr(world, step)(process)
            except (Killed, UnavailableError):
                assert moment.happened
            if not moment.happened:
                process.close()
                break
            calls += 1
            try:
                yield world, step, process
            except BaseException as error:
                error.add_note(f"{step}: the fault was {moment.happened}")
                raise
            shutil.rmtree(world.home)
    assert calls >= FEWEST_CALLS[without]


def check_told_once(world: World, process: Process, step: str) -> None:
    world.check(process)
    chain = process.incidents.read(INCIDENT)
    told = [each.statement.deposit for each in chain.manifests]
    assert all(told.count(deposit) <= 1 for deposit in ONCE), told
    assert len(chain.incident.exhibits) == (0 if step == "declare" else len(CONTENTS))


def go_on(world: World, step: str) -> None:
    """The next process does something else first, then the step again, under its deposit ids."""
    world.check_store()
    with world.opened() as process:
        world.declare(process, OTHER)
        getattr(world, step)(process)
        check_told_once(world, process, step)


def dying(k: int) -> Moment:
    moment = Moment(k)
    moment.act = moment.kill
    return moment


def failing(k: int, *, after: bool) -> Moment:
    return Moment(k, fail, after=after)


def test_the_process_dies_at_each_write(stages: list[World], tmp_path: Path) -> None:
    """Before call k+1 is after call k: for one who dies that is every moment there is.

    Whoever comes next finds the index as it was left, or has to make it anew.
    """
    for world, step, process in every_moment(stages, tmp_path, dying):
        world.bury(process)
        # Without its index a vault is what its objects are: look again where they changed.
        if process.moment.done.startswith(("put_", "publish")):
            without_index = world.copy(tmp_path / "without")
            without_index.lose_index()
            without_index.rebuild()
            go_on(without_index, step)
            without_index.check_rebuilt_is_same()
            shutil.rmtree(tmp_path / "without")
        go_on(world, step)


@pytest.mark.parametrize(
    ("after", "without"),
    [
        pytest.param(False, "export", id="not persisted"),
        pytest.param(True, "", id="persisted anyway", marks=pytest.mark.slow),
        pytest.param(False, "", id="not persisted, export too", marks=pytest.mark.soak),
    ],
)
def test_each_write_fails_and_the_process_tries_again(
    stages: list[World], tmp_path: Path, after: bool, without: str
) -> None:
    make = partial(failing, after=after)
    for world, step, process in every_moment(stages, tmp_path, make, without=without):
        # Who is told that an upload could not be begun has nothing in hand to clean up.
        if "upload" not in process.moment.happened:
            assert world.leftovers == [], "a failed command leaves nothing"
        world.check_store()
        getattr(world, step)(process)
        check_told_once(world, process, step)
        process.close()
