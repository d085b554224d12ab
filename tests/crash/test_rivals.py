"""Others write at every moment: on the same index, and, as never should be, on a copy of it."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import count
from pathlib import Path
from queue import Queue
from threading import Event

import pytest
from crash.faults import Killed, Moment
from crash.world import INCIDENT, OTHER, Process, World, copy_index

from vault.errors import ConflictError, RecordError

SMALL = {"one.txt": b"one", "two.txt": b"two"}


@pytest.fixture(scope="module")
def declared(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Two incidents with something on their chains."""
    world = World.make(tmp_path_factory.mktemp("declared"))
    with world.opened() as process:
        for chain in (INCIDENT, OTHER):
            world.declare(process, chain)
        world.capture(process, "before", SMALL)
    return world


Step = Callable[[World, Process], object]


def small(world: World, process: Process) -> None:
    world.look_at(process, "mine")


def capture(world: World, process: Process) -> None:
    world.capture(process, "mine", SMALL)


def export(world: World, process: Process) -> None:
    world.export(process)


def every_moment(
    start: World, folder: Path, step: Step, act: Callable[[World], None], *, index: str = ""
) -> Iterator[tuple[World, Process, Exception | None]]:
    """The vault after a step during which something happened once, and how the step ended."""
    for k in count(1):
        shutil.rmtree(folder / f"{k - 2}", ignore_errors=True)
        world = start.copy(folder / f"{k}")
        if index:
            copy_index(world.index_path, world.home / index)
        moment = Moment(k, lambda world=world: act(world))
        process = world.open(moment, index=world.home / index if index else None)
        error = None
        try:
            step(world, process)
        except (RecordError, ConflictError) as raised:
            error = raised
        except BaseException as unexpected:
            unexpected.add_note(f"it happened {moment.happened}")
            raise
        if not moment.happened:
            process.close()
            assert error is None
            return
        try:
            yield world, process, error
        except BaseException as unexpected:
            unexpected.add_note(f"it happened {moment.happened}; the step ended with {error!r}")
            raise
        process.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("step", "chain"),
    [
        (small, INCIDENT),
        (small, OTHER),
        (capture, INCIDENT),
        pytest.param(export, INCIDENT, marks=pytest.mark.soak),
    ],
)
def test_another_process_writes_at_each_moment_and_both_succeed(
    declared: World, tmp_path: Path, step: Step, chain: str
) -> None:
    def rival(world: World) -> None:
        with world.opened() as other:
            world.look_at(other, "theirs", chain)

    for world, _, error in every_moment(declared, tmp_path, step, rival):
        assert error is None
        world.check()
    world.check_rebuilt_is_same()


def rival_dies(world: World, at: int, chain: str) -> None:
    moment = Moment(at)
    moment.act = moment.kill
    other = world.open(moment)
    with suppress(Killed):
        world.look_at(other, "theirs", chain)
    world.bury(other)


@pytest.mark.slow
@pytest.mark.parametrize("at", [pytest.param(at, marks=() if at % 3 == 0 else pytest.mark.soak)
                                for at in range(1, 12)])  # fmt: skip
def test_another_process_dies_in_the_middle_and_its_work_is_carried_on(
    declared: World, tmp_path: Path, at: int
) -> None:
    chain = random.Random(at).choice([INCIDENT, OTHER])
    for world, process, error in every_moment(
        declared, tmp_path, small, lambda world: rival_dies(world, at, chain)
    ):
        assert error is None
        world.look_at(process, "after")
        world.check()


class Paused:
    """A process on a thread of its own, which stops before its k-th write until it is let go."""

    def __init__(self, world: World, at: int, deposit: str, chain: str) -> None:
        self.moment = Moment(at, self._stop)
        self._news: Queue[str] = Queue()
        self._go = Event()
        self._pool = ThreadPoolExecutor(1)
        self._result = self._pool.submit(self._run, world, deposit, chain)
        self._news.get(timeout=60)

    def _stop(self) -> None:
        self._news.put("stopped")
        assert self._go.wait(timeout=60)

    def _run(self, world: World, deposit: str, chain: str) -> None:
        try:
            with world.opened(self.moment) as process:
                world.look_at(process, deposit, chain)
        finally:
            self._news.put("done")

    def finish(self) -> None:
        """Let it go on to its end, which must be a good one."""
        self._go.set()
        self._result.result(timeout=60)
        self._pool.shutdown()


CALLS = 11
"""Write calls of a small deposit: append, manifest, mark, assign, tile, entries, advance, number,
checkpoint, noted, shown."""
PAIRS = [(first, second) for first in range(1, CALLS + 1) for second in range(1, CALLS + 1)]
QUICK = {pair for pair in PAIRS if pair[0] == pair[1] or 8 in pair}
"""The others under soak. 8: the tree is read, the number is not taken yet."""


@pytest.mark.parametrize(
    ("first", "second"),
    [pytest.param(*pair, marks=() if pair in QUICK else pytest.mark.soak) for pair in PAIRS],
)
def test_two_stop_at_any_two_moments_and_both_succeed(
    declared: World, tmp_path: Path, first: int, second: int
) -> None:
    """The first stops, the second stops, the first goes on to its end, then the second."""
    world = declared.copy(tmp_path)
    one = Paused(world, first, "one", INCIDENT)
    two = Paused(world, second, "two", OTHER if (first + second) % 2 else INCIDENT)
    one.finish()
    two.finish()
    world.check()


# Two indices on one store: a mistake that must stop one of them, and lose nothing


COPY = "copy.sqlite"


def both_shown(error: Exception | None) -> bool:
    """Whether an error shows two checkpoints and a way out."""
    text = str(error)
    return (
        isinstance(error, RecordError)
        and text.count("vault.example/log\n") == 2
        and "--- in the store\n" in text
        and "--- in the index\n" in text
        and "evault log rebuild" in text
        and bool(error.store)
        and bool(error.index)
    )


@pytest.mark.parametrize(
    ("step", "chain"),
    [(small, INCIDENT), (small, OTHER), pytest.param(capture, INCIDENT, marks=pytest.mark.soak)],
)
def test_a_second_vault_on_a_copied_index_is_stopped_at_each_moment(
    declared: World, tmp_path: Path, step: Step, chain: str
) -> None:
    def first_vault(world: World) -> None:
        with world.opened() as other:
            world.look_at(other, "theirs", chain)

    stopped = 0
    for world, copy, error in every_moment(declared, tmp_path, step, first_vault, index=COPY):
        world.check_store()
        with world.opened() as first:
            outcomes = []
            for process, deposit in ((first, "first-again"), (copy, "copy-again")):
                try:
                    world.look_at(process, deposit)
                    outcomes.append(None)
                except (RecordError, ConflictError) as raised:
                    outcomes.append(raised)
        shown = [each for each in (error, *outcomes) if each is not None]
        assert shown, "both went on"
        assert any(both_shown(each) for each in shown), shown
        stopped += 1
        world.check_store()
        world.rebuild()
        with world.opened() as process:
            step(world, process)
        world.check()
    assert stopped >= 10
