"""A chain that was read before is read on from where it ended, if that still stands."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from crash.faults import Moment, fail
from crash.world import INCIDENT, Process, World

from vault.errors import NotFoundError, UnavailableError
from vault.incidents import Chain, Incidents, KnownChains
from vault.log import next_head
from vault.ports import ChainHead
from verify.statement import SEEN_NOTHING


def reading(process: Process, world: World, known: KnownChains | None = None) -> Incidents:
    return Incidents(
        store=process.store, index=process.index, door=process.door, clock=process.clock,
        key=world.key, known=known,
    )  # fmt: skip


def told(chain: Chain) -> object:
    return [each.leaf for each in chain.manifests], chain.indices, chain.state


def test_what_was_added_since_is_read_as_if_all_were_read(tmp_path: Path) -> None:
    world = World.make(tmp_path)
    with world.opened() as process:
        world.declare(process)
        again = reading(process, world, KnownChains())
        for number in range(3):
            again.read(INCIDENT)
            world.capture(process, f"{number}")
            world.look_at(process, f"look-{number}")
        assert told(again.read(INCIDENT)) == told(reading(process, world).read(INCIDENT))
        for last in range(7):
            fresh = reading(process, world).read(INCIDENT, up_to=last)
            assert told(again.read(INCIDENT, up_to=last)) == told(fresh)
            assert len(fresh.manifests) == last + 1
        with pytest.raises(NotFoundError):
            again.read(INCIDENT, up_to=7)


@pytest.mark.parametrize("committed_by_a_process_that_died", [1, 2])
def test_what_had_no_place_in_the_log_yet_is_looked_at_for_that(
    tmp_path: Path, committed_by_a_process_that_died: int
) -> None:
    world, known = World.make(tmp_path), KnownChains()
    with world.opened() as process:
        world.declare(process)
    for number in range(committed_by_a_process_that_died):
        with world.opened(Moment(on="assign", act=fail)) as dying:
            with pytest.raises(UnavailableError, match="the plug was pulled"):
                world.look_at(dying, f"look-{number}")
            read = reading(dying, world, known).read(INCIDENT)
            assert read.logged == 1
            assert read.indices[1:] == (None,) * (number + 1)
            assert told(read) == told(reading(dying, world).read(INCIDENT))
    with world.opened() as process:
        process.door.settle()
        read = reading(process, world, known).read(INCIDENT)
        assert read.is_logged
        assert told(read) == told(reading(process, world).read(INCIDENT))


def test_a_link_that_gave_way_to_another_is_known_no_more(tmp_path: Path) -> None:
    world, known = World.make(tmp_path), KnownChains()
    with world.opened() as process:
        world.declare(process)
    with world.opened(Moment(on="put_once", act=fail)) as dying:
        with pytest.raises(UnavailableError, match="the plug was pulled"):
            world.look_at(dying, "gone")
        lost = reading(dying, world, known).read(INCIDENT)
        (row,) = dying.index.unstored()
        before = reading(dying, world).read(INCIDENT, up_to=0)
        assert dying.index.drop_from(row, head_of(before))
        world.look_at(dying, "instead")
        found = reading(dying, world, known).read(INCIDENT)
    assert [each.statement.deposit for each in found.manifests][1:] == ["instead"]
    assert lost.manifests[1] not in found.manifests


def head_of(chain: Chain) -> ChainHead:
    head = ChainHead(-1, None, 0, False, SEEN_NOTHING)
    for manifest in chain.manifests:
        head = next_head(head, manifest)
    return head


@pytest.mark.parametrize("more", [0, 1, 3])
def test_of_another_history_nothing_is_taken_from_the_one_that_was_read(
    tmp_path: Path, more: int
) -> None:
    """As where an index is put back under a running process: shorter, as long, longer."""
    world = World.make(tmp_path)
    with world.opened() as process:
        world.declare(process)
    other = World(tmp_path / "other")
    shutil.copytree(world.home, other.home)
    known = KnownChains()
    with world.opened() as process, other.opened() as elsewhere:
        world.look_at(process, "one")
        reading(process, world, known).read(INCIDENT)
        for number in range(more):
            other.look_at(elsewhere, f"other-{number}")
        found = reading(elsewhere, other, known).read(INCIDENT)
        assert told(found) == told(reading(elsewhere, other).read(INCIDENT))
        assert [each.statement.deposit for each in found.manifests] == [
            f"declare-{INCIDENT}", *(f"other-{number}" for number in range(more)),
        ]  # fmt: skip


def test_few_chains_are_known_however_large_and_more_while_they_are_small(tmp_path: Path) -> None:
    world = World.make(tmp_path)
    names = [f"INC-2026-{number:04d}" for number in range(1, 6)]
    with world.opened() as process:
        for name in names:
            world.declare(process, name)
        for known, expected in ((KnownChains(2, 1), names[3:]), (KnownChains(2), names)):
            incidents = reading(process, world, known)
            for name in (names[0], *names):
                incidents.read(name)
            assert [name for name in names if known.get(name)] == expected
