"""Delivering: in order, exactly once, and nothing goes before the vault said that it keeps it."""

from __future__ import annotations

import errno
import json
import multiprocessing
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spool.world import (
    INCIDENT,
    START,
    FailingFiles,
    Killed,
    MemoryVault,
    clock,
    fill,
    new_spool,
)

from ingest.delivery import Delivery, deliver
from ingest.entry import Entry, SpoolDamagedError, SpoolError
from ingest.spool import Spool
from verify.errors import EvidenceError
from verify.strictjson import Object


def filled(root: Path, count: int = 4) -> Spool:
    """A spool with entries 1 … count, of two contents each."""
    spool = new_spool(root)
    for number in range(1, count + 1):
        fill(spool, b"%d" % number, b"more of %d" % number, missing=number % 2)
    return spool


def ids(spool: Spool, *numbers: int) -> list[str]:
    return [f"spool-{spool.id}-{number}" for number in numbers]


def test_entries_go_in_order_and_leave_a_receipt(tmp_path: Path) -> None:
    spool = filled(tmp_path / "s")
    vault = MemoryVault()
    result = deliver(spool, vault, clock=clock)
    assert vault.offered == [1, 2, 3, 4]
    assert (len(result.handed), result.waiting, result.stopped) == (4, 0, None)
    assert list((spool.root / "entries").iterdir()) == []
    for number in range(1, 5):
        kept = json.loads((spool.root / "receipts" / f"{number:08d}.json").read_bytes())
        assert kept["state"] == "kept"
        assert [each["deposit"] for each in kept["receipts"]] == ids(spool, number)
    assert deliver(spool, vault, clock=clock).handed == []
    assert vault.offered == [1, 2, 3, 4], "and are never offered again"


class ClosedError(EvidenceError):
    """What the vaults below refuse by."""

    code = "closed"


def test_a_refusal_holds_up_its_own_chain_alone(tmp_path: Path) -> None:
    spool = new_spool(tmp_path / "s")
    here, there = INCIDENT, "stream:web"
    for number, chain in enumerate((there, here, here, there, here), start=1):
        fill(spool, b"%d" % number, destination=chain)

    @dataclass
    class OneIsClosed(MemoryVault):
        closed: bool = True

        def deliver(self, entry: Entry) -> tuple[Object, ...]:
            if self.closed and entry.collection.destination == here:
                self.offered.append(entry.number)
                raise ClosedError("closed")
            return super().deliver(entry)

    vault = OneIsClosed()

    def delivered() -> Delivery:
        return deliver(
            Spool(spool.root),
            vault,
            clock=clock,
            refuses=lambda error: isinstance(error, ClosedError),
        )

    result = delivered()
    assert vault.offered == [1, 2, 4], "what is behind a refused one of its chain is not offered"
    assert [(each.number, each.destination) for each in result.refused] == [(2, here)]
    assert (result.stopped, result.waiting) == (None, 3)
    assert Spool(spool.root).waiting() == [2, 3, 5]
    assert fill(spool, b"6", destination=there).number == 6, "numbers go on"
    assert [each.entry.number for each in delivered().handed] == [6]
    vault.closed = False
    assert [each.entry.number for each in delivered().handed] == [2, 3, 5]
    assert list(vault.sealed) == ids(spool, 1, 4, 6, 2, 3, 5)


def test_damage_stops_all_of_it_also_behind_a_refusal(tmp_path: Path) -> None:
    spool = new_spool(tmp_path / "s")
    for number, chain in enumerate((INCIDENT, INCIDENT, "stream:web"), start=1):
        fill(spool, b"%d" % number, destination=chain)

    class Refusing(MemoryVault):
        def deliver(self, entry: Entry) -> tuple[Object, ...]:
            raise ClosedError("closed")

    shutil.rmtree(spool.root / "entries" / "00000002")
    result = deliver(
        spool, Refusing(), clock=clock, refuses=lambda each: isinstance(each, ClosedError)
    )
    assert ([each.number for each in result.refused], result.stopped_at) == ([1], 2)
    assert isinstance(result.stopped, SpoolDamagedError)
    assert result.waiting == 3


@pytest.mark.parametrize("fate", ["before", "after"])
def test_a_vault_that_dies_is_asked_again_and_keeps_it_once(tmp_path: Path, fate: str) -> None:
    """It may have died before it kept the entry, or after: nobody knows, so it is offered again."""
    spool = filled(tmp_path / "s")
    vault = MemoryVault(dies=["", fate])
    result = deliver(spool, vault, clock=clock)
    assert (len(result.handed), result.stopped_at, result.waiting) == (1, 2, 3)
    assert "connection reset" in str(result.stopped)
    result = deliver(Spool(spool.root), vault, clock=clock)
    assert (len(result.handed), result.waiting) == (3, 0)
    assert vault.offered == [1, 2, 2, 3, 4]
    assert list(vault.sealed) == ids(spool, 1, 2, 3, 4)
    assert result.handed[0].receipts[0]["repeated"] is (fate == "after")


ANSWERS: dict[str, Callable[[Object], tuple[Object, ...]]] = {
    "nothing": lambda _: (),
    "committed, not kept": lambda told: (told | {"state": "committed"},),
    "no state": lambda told: ({k: v for k, v in told.items() if k != "state"},),
    "another deposit": lambda told: (told | {"deposit": "spool-0000000000000000-1"},),
    "another chain": lambda told: (told | {"chain": "INC-2026-0002"},),
    "part 2 alone": lambda told: (told | {"deposit": f"{told['deposit']}/2"},),
    "one of two not kept": lambda told: (
        told | {"deposit": f"{told['deposit']}/1"},
        told | {"deposit": f"{told['deposit']}/2", "state": "committed"},
    ),
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_no_other_answer_than_kept_lets_an_entry_go(tmp_path: Path, answer: str) -> None:
    spool = filled(tmp_path / "s")

    class Vague(MemoryVault):
        def deliver(self, entry: Entry) -> tuple[Object, ...]:
            return ANSWERS[answer](super().deliver(entry)[0])

    result = deliver(spool, Vague(), clock=clock)
    assert (result.handed, result.stopped_at, result.waiting) == ([], 1, 4)
    assert (spool.root / "entries" / "00000001" / "contents").is_file()


def test_receipts_of_all_parts_let_it_go(tmp_path: Path) -> None:
    spool = filled(tmp_path / "s", 1)

    class Parts(MemoryVault):
        def deliver(self, entry: Entry) -> tuple[Object, ...]:
            (told,) = super().deliver(entry)
            return tuple(told | {"deposit": f"{told['deposit']}/{part}"} for part in (1, 2, 3))

    assert deliver(spool, Parts(), clock=clock).waiting == 0


# -- faults ----------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("done", [False, True], ids=["not done", "done all the same"])
@pytest.mark.parametrize("killed", [False, True], ids=["error", "killed"])
def test_whatever_fails_here_the_vault_has_each_once(
    tmp_path: Path, done: bool, killed: bool
) -> None:
    counted = FailingFiles()
    spool = filled(tmp_path / "counted", 3)
    spool.files = counted
    deliver(spool, MemoryVault(), clock=clock)
    assert len(counted.calls) > 20
    for at in range(len(counted.calls)):
        spool = filled(tmp_path / f"s{at}", 3)
        error: type[BaseException] = Killed if killed else OSError
        spool.files = FailingFiles(
            at=at,
            done=done,
            error=lambda error=error: error(errno.EIO, "the disk failed"),  # type: ignore[misc]
        )
        vault = MemoryVault()
        try:
            result = deliver(spool, vault, clock=clock)
            assert not killed
            assert result.stopped is None or "the disk failed" in str(result.stopped)
        except Killed:
            assert killed
        on_disk = {path.name for path in (spool.root / "entries").iterdir()}
        for number in range(1, 4):
            waits = f"{number:08d}" in on_disk
            assert waits or ids(spool, number)[0] in vault.sealed, "gone before it was kept"
        again = Spool(spool.root)
        result = deliver(again, vault, clock=clock)
        assert (result.stopped, result.waiting) == (None, 0)
        assert list(vault.sealed) == ids(spool, 1, 2, 3)
        assert vault.offered == sorted(vault.offered), "in order, whatever failed"
        assert fill(again, b"later").number == 4
        assert list((spool.root / "incoming").iterdir()) == []
        assert {path.name for path in (spool.root / "entries").iterdir()} == {"00000004"}


def test_a_full_disk_is_not_told_as_if_the_vault_had_nothing(tmp_path: Path) -> None:
    spool = filled(tmp_path / "s", 2)
    spool.files = FailingFiles(at=1, error=lambda: OSError(errno.ENOSPC, "No space left on device"))
    vault = MemoryVault()
    result = deliver(spool, vault, clock=clock)
    assert (list(vault.sealed), result.waiting) == (ids(spool, 1), 2)
    assert "the vault keeps entry 1" in str(result.stopped)
    assert "No space left on device; mend that, and deliver again" in str(result.stopped)


def _deliver_into(root: Path, target: Path) -> None:
    class Folder(MemoryVault):
        def deliver(self, entry: Entry) -> tuple[Object, ...]:
            receipts = super().deliver(entry)
            with (target / "offered").open("a") as file:  # one small append is one write
                file.write(f"{entry.number}\n")
            return receipts

    result = deliver(Spool(root), Folder(), clock=clock)
    assert result.stopped is None


def test_two_deliverers_at_once_deliver_once_and_in_order(tmp_path: Path) -> None:
    spool = filled(tmp_path / "s", 12)
    fork = multiprocessing.get_context("fork")
    workers = [fork.Process(target=_deliver_into, args=(spool.root, tmp_path)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    offered = (tmp_path / "offered").read_text().split()
    assert offered == [str(number) for number in range(1, 13)]


def test_what_is_sealed_during_a_delivery_goes_with_it(tmp_path: Path) -> None:
    spool = filled(tmp_path / "s", 1)

    class Busy(MemoryVault):
        def deliver(self, entry: Entry) -> tuple[Object, ...]:
            if entry.number < 3:
                fill(Spool(spool.root), b"meanwhile")
            return super().deliver(entry)

    vault = Busy()
    deliver(spool, vault, clock=clock)
    assert vault.offered == [1, 2, 3]


# -- damage ----------------------------------------------------------------------------------------

FILES = ("collection.json", "contents", "descriptions")


def stopped_at(spool: Spool, number: int) -> str:
    """Delivery stops exactly there, and removes nothing from there on; what it said."""
    before = {path for path in (spool.root / "entries").rglob("*") if path.is_file()}
    vault = MemoryVault()
    result = deliver(Spool(spool.root), vault, clock=clock)
    assert result.stopped_at == number
    assert list(vault.sealed) == ids(spool, *range(1, number))
    after = {path for path in (spool.root / "entries").rglob("*") if path.is_file()}
    assert after == {path for path in before if int(path.parent.name) >= number}
    assert isinstance(result.stopped, SpoolDamagedError), result.stopped
    return str(result.stopped)


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_one_flipped_bit_stops_delivery_there(tmp_path: Path, name: str) -> None:
    spool = filled(tmp_path / "s", 3)
    path = spool.root / "entries" / "00000002" / name
    whole = path.read_bytes()
    for place in range(0, len(whole), max(1, len(whole) // 150)):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        root = tmp_path / "copy"
        shutil.copytree(spool.root, root)
        said = stopped_at(Spool(root), 2)
        assert "00000002" in said
        assert "not what was sealed" in said or "cannot" in said, said
        shutil.rmtree(root)


@pytest.mark.slow
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data(), name=st.sampled_from(FILES))
def test_cut_or_longer_files_stop_it_too(tmp_path: Path, data: st.DataObject, name: str) -> None:
    root = tmp_path / "s"
    shutil.rmtree(root, ignore_errors=True)
    spool = filled(root, 2)
    path = root / "entries" / "00000001" / name
    whole = path.read_bytes()
    if data.draw(st.booleans()):
        path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    else:
        path.write_bytes(whole + data.draw(st.binary(min_size=1, max_size=9)))
    stopped_at(spool, 1)


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_gone_stops_it(tmp_path: Path, name: str) -> None:
    spool = filled(tmp_path / "s", 3)
    (spool.root / "entries" / "00000002" / name).unlink()
    assert "is gone" in stopped_at(spool, 2)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_dropped_entry_is_missed_even_the_last(tmp_path: Path, number: int) -> None:
    spool = filled(tmp_path / "s", 3)
    shutil.rmtree(spool.root / "entries" / f"{number:08d}")
    said = stopped_at(spool, number)
    assert f"entry {number} of" in said
    assert "was acknowledged, and is gone" in said
    assert f"evault spool set-aside {spool.root} {number}" in said


def test_exchanged_entries_are_noticed(tmp_path: Path) -> None:
    spool = filled(tmp_path / "s", 3)
    entries = spool.root / "entries"
    (entries / "00000002").rename(entries / "other")
    (entries / "00000003").rename(entries / "00000002")
    (entries / "other").rename(entries / "00000003")
    assert "holds entry 3" in stopped_at(spool, 2)


def test_an_entry_of_another_spool_is_noticed(tmp_path: Path) -> None:
    spool, other = filled(tmp_path / "s", 2), filled(tmp_path / "o", 2)
    shutil.rmtree(spool.root / "entries" / "00000002")
    shutil.copytree(other.root / "entries" / "00000002", spool.root / "entries" / "00000002")
    assert "another key" in stopped_at(spool, 2)


def test_an_entry_sealed_anew_by_who_has_the_key_breaks_the_chain(tmp_path: Path) -> None:
    """A thief of the host rewrites entry 1, which waits; entry 2 still names the old one."""
    spool = filled(tmp_path / "s", 2)
    root = tmp_path / "forged"
    shutil.copytree(spool.root, root)
    shutil.rmtree(root / "entries")
    (root / "entries").mkdir()
    (root / "head.json").unlink()
    fill(Spool(root), b"never happened")
    shutil.rmtree(spool.root / "entries" / "00000001")
    shutil.copytree(root / "entries" / "00000001", spool.root / "entries" / "00000001")
    assert "does not continue entry 1" in stopped_at(spool, 2)


def test_a_restored_old_copy_is_noticed_when_the_head_is_newer(tmp_path: Path) -> None:
    spool = filled(tmp_path / "s", 1)
    shutil.copytree(spool.root, tmp_path / "copy")
    fill(spool, b"2")
    shutil.copytree(tmp_path / "copy" / "entries", spool.root / "entries", dirs_exist_ok=True)
    (spool.root / "head.json").write_bytes((tmp_path / "copy" / "head.json").read_bytes())
    assert fill(Spool(spool.root), b"3").number == 3, "an old head is followed to the last entry"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["head.json", "spool.json"])
def test_every_flipped_bit_of_small_files_is_refused_or_harmless(tmp_path: Path, name: str) -> None:
    spool = filled(tmp_path / "s", 2)
    deliver(spool, MemoryVault(), clock=clock, up_to=1)
    whole = (spool.root / name).read_bytes()
    for place in range(len(whole)):
        root = tmp_path / "copy"
        shutil.copytree(spool.root, root)
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 7
        (root / name).write_bytes(damaged)
        try:
            entry = fill(Spool(root), b"3")
        except SpoolError:
            pass
        else:  # the number of the head, or the limit: no number is ever given twice
            assert entry.number >= 3
            if entry.number == 3:
                result = deliver(Spool(root), MemoryVault(), clock=clock)
                assert (result.stopped, result.waiting) == (None, 0)
        shutil.rmtree(root)


def test_a_damaged_receipt_never_delivers_twice(tmp_path: Path) -> None:
    spool = filled(tmp_path / "s", 3)
    deliver(spool, MemoryVault(), clock=clock, up_to=2)
    path = spool.root / "receipts" / "00000002.json"
    path.write_bytes(path.read_bytes()[:-20])
    vault = MemoryVault()
    result = deliver(Spool(spool.root), vault, clock=clock)
    assert vault.sealed == {}
    assert "00000002.json is damaged" in str(result.stopped)


# -- setting aside ---------------------------------------------------------------------------------


def test_a_damaged_entry_can_be_set_aside_and_is_not_removed(tmp_path: Path) -> None:
    spool = filled(tmp_path / "s", 3)
    path = spool.root / "entries" / "00000002" / "contents"
    path.write_bytes(b"?" * path.stat().st_size)
    stopped_at(spool, 2)
    assert spool.set_aside(2, "a bad sector", START) is True
    vault = MemoryVault()
    assert deliver(spool, vault, clock=clock).waiting == 0
    assert list(vault.sealed) == ids(spool, 3)
    assert (spool.root / "set-aside" / "00000002" / "contents").is_file()
    assert fill(spool, b"4").number == 4
    assert spool.counts() == (2, 1)


@pytest.mark.parametrize("lost", [(2,), (2, 3), (3, 4), (4,), (1, 2, 3, 4)])
def test_lost_entries_can_be_set_aside_in_any_order(tmp_path: Path, lost: tuple[int, ...]) -> None:
    spool = filled(tmp_path / "s", 4)
    for number in lost:
        shutil.rmtree(spool.root / "entries" / f"{number:08d}")
    for number in lost:
        assert spool.set_aside(number, "gone", START) is False
    later = fill(Spool(spool.root), b"5")
    assert later.number == 5
    vault = MemoryVault()
    result = deliver(Spool(spool.root), vault, clock=clock)
    assert (result.stopped, result.waiting) == (None, 0)
    rest = [number for number in range(1, 6) if number not in lost]
    assert list(vault.sealed) == ids(spool, *rest)


def test_only_what_waits_can_be_set_aside(tmp_path: Path) -> None:
    spool = filled(tmp_path / "s", 1)
    deliver(spool, MemoryVault(), clock=clock)
    with pytest.raises(SpoolError, match=r"entry 1 of .* was delivered or set aside already"):
        spool.set_aside(1, "oops", START)
    with pytest.raises(SpoolError, match=r"entry 2 of .* does not exist"):
        spool.set_aside(2, "oops", START)
