"""What a dead process left half done, others carry on; and nothing is told as kept before it is."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from crash.faults import Killed, Moment
from crash.world import INCIDENT, OTHER, Process, World, open_capture

from vault import layout
from vault.deposit import Draft, Receipt
from vault.errors import DepositConflictError, NotFoundError, RecordError
from vault.log import parse_published
from vault.log_audit import audit_log
from verify import strictjson
from verify.report import Verdict
from verify.statement import Capture, Type

SMALL = {"one.txt": b"one", "two.txt": b"two"}


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World.make(tmp_path)
    with made.opened() as process:
        made.declare(process)
        made.declare(process, OTHER)
    return made


def die(world: World, on: str, deposit: str, chain: str = INCIDENT) -> None:
    """A process dies before a call, in the middle of a small deposit."""
    moment = Moment(on=on)
    moment.act = moment.kill
    process = world.open(moment)
    with pytest.raises(Killed):
        world.look_at(process, deposit, chain)
    world.bury(process)


def fill(world: World, count: int) -> None:
    """Log so many entries more, in one deposit."""
    body = {"at": "2026-07-29T11:00:00Z", "event": "assigned", "person": "x", "role": "comms_lead"}
    drafts = [Draft(Type.INCIDENT, body, f"fill-{number}") for number in range(count)]
    with world.opened() as process:
        deposits = [draft.deposit for draft in drafts]
        world.promise(process.door.deposit(OTHER, deposits, lambda _: drafts))


# Nothing is told as kept before it is


@pytest.mark.parametrize(
    "on", ["put_once chains/", "mark_stored", "put_once log/tile", "put_once log/checkpoints"]
)
def test_a_second_look_is_answered_only_once_the_first_is_kept(world: World, on: str) -> None:
    """`already sealed as EV-0001` is a promise too, and the first look's process died."""
    moment = Moment(on=on)
    moment.act = moment.kill
    process = world.open(moment)
    with pytest.raises(Killed):
        world.capture(process, "first", SMALL)
    world.bury(process)
    with world.opened() as process:
        capture = open_capture(process, "second")
        kept = capture.keep([SMALL["one.txt"]], size=3)
        assert capture.already(kept, path="/evidence/one.txt") == "EV-0001"
        capture.abort()
    world.check()
    world.lose_index()
    world.rebuild()
    world.check()
    with world.opened() as process:
        assert list(process.incidents.read(INCIDENT).incident.exhibits) == ["EV-0001", "EV-0002"]


def test_a_second_look_that_cannot_be_answered_is_not(world: World) -> None:
    """The first look's manifest cannot be kept now: then nothing may be said of it."""
    moment = Moment(on="put_once chains/")
    moment.act = moment.kill
    process = world.open(moment)
    with pytest.raises(Killed):
        world.capture(process, "first", SMALL)
    world.bury(process)
    (world.folder / layout.manifest(INCIDENT, 1)).write_bytes(b"not ours")
    with world.opened() as process:
        capture = open_capture(process, "second")
        kept = capture.keep([SMALL["one.txt"]], size=3)
        assert capture.already(kept, path="/evidence/one.txt") is None
        capture.abort()


def test_a_checkpoint_that_only_the_index_holds_is_seen_and_shown_by_no_one(world: World) -> None:
    """Else its loss with the index would leave a statement about a log that never was."""
    die(world, "put_once log/checkpoints/", "first")
    with world.opened() as process:
        assert process.log.newest().head.size == 2
        with pytest.raises(NotFoundError):
            process.log.covering(2)
    die(world, "assign", "second")
    world.lose_index()
    world.rebuild()
    world.check()


def test_nobody_else_is_told_of_a_checkpoint_before_it_is_put(world: World) -> None:
    """A receipt covers what is in the store, whatever another process has committed meanwhile."""
    die(world, "put_once log/checkpoints/", "first")
    with world.opened() as process:
        receipt = world.look_at(process, "second", OTHER)
        published = world.folder / layout.publication(receipt.checkpoint_number)
        assert published.is_file()
    world.check()


# The order of what was never published


@pytest.fixture(scope="module")
def nearly_full(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A log of 254 entries: two more fill a tile."""
    made = World.make(tmp_path_factory.mktemp("nearly-full"))
    with made.opened() as process:
        made.declare(process)
        made.declare(process, OTHER)
    fill(made, 252)
    return made


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("on", ["advance", "put_once log/checkpoints/"])
def test_an_order_that_tiles_tell_survives_the_index(
    world: World, nearly_full: World, tmp_path: Path, full: bool, on: str
) -> None:
    """Tiles are written once, full ones under lock: a rebuild in another order would never end."""
    if full:
        shutil.copytree(nearly_full.home, tmp_path / "full" / "home")
        world = World(tmp_path / "full" / "home", list(nearly_full.promised))
    die(world, "put_once chains/", "first", OTHER)
    die(world, "put_once chains/", "second", INCIDENT)
    moment = Moment(on=on)
    moment.act = moment.kill
    process = world.open(moment)
    with pytest.raises(Killed):
        process.log.settle()  # as whoever opens the vault next
    world.bury(process)
    world.lose_index()
    world.rebuild()
    world.check()
    with world.opened() as process:
        for chain, deposit in ((OTHER, "first"), (INCIDENT, "second")):
            assert world.look_at(process, deposit, chain).repeated
        world.look_at(process, "fourth")
    world.check()
    world.check_rebuilt_is_same()


def test_a_tile_of_another_history_does_not_mislead_a_rebuild(world: World) -> None:
    for name, data in (("000.p/3", b"x" * 96), ("000.p/7", b"short"), ("000.p/9", b"y" * 288)):
        (world.folder / "log" / "tile" / "0" / name).write_bytes(data)
    world.rebuild()
    with pytest.raises(RecordError, match="evault log rebuild"), world.opened() as process:
        world.look_at(process, "first")


def in_parts(world: World, process: Process, deposit: str) -> list[Receipt]:
    """A capture of three parts, each of which could keep nothing: parts without their weight."""
    drafts = [
        Draft(
            Type.CAPTURE,
            Capture(
                system=None,
                source=None,
                method="by a test",
                collector={"name": "test"},
                capture_id=deposit,
                part=part,
                of=3,
                items=(),
                packs=(),
                not_captured=1,
                not_captured_list=None,
            ).to_json(),
            f"{deposit}/{part}",
        )
        for part in (1, 2, 3)
    ]
    receipts = process.door.deposit(INCIDENT, [each.deposit for each in drafts], lambda _: drafts)
    world.promise(receipts)
    return receipts


def die_in_parts(world: World, link: int) -> None:
    moment = Moment(on=f"put_once {layout.manifest(INCIDENT, link)}")
    moment.act = moment.kill
    process = world.open(moment)
    with pytest.raises(Killed):
        in_parts(world, process, "many")
    world.bury(process)


@pytest.mark.parametrize("link", [2, 3])
def test_a_capture_whose_last_parts_were_lost_with_the_index_is_closed_as_such(
    world: World, link: int
) -> None:
    """Its parts are one transaction in the index, and several objects in the store."""
    die_in_parts(world, link)
    world.lose_index()
    world.rebuild()
    world.check()
    with world.opened() as process:
        chain = process.incidents.read(INCIDENT)
        assert len(chain.manifests) == 4
        methods = [each.statement.body["method"] for each in chain.manifests[1:]]
        assert methods.count("by a test") == link - 1
        assert methods.count("none: this part was lost before it was kept") == 4 - link
        with pytest.raises(DepositConflictError, match="choose another deposit id"):
            in_parts(world, process, "many")
        in_parts(world, process, "again")
    world.check()
    world.check_rebuilt_is_same()


def test_a_capture_whose_last_parts_are_in_the_index_is_gone_on_with(world: World) -> None:
    die_in_parts(world, 2)
    with world.opened() as process:
        world.look_at(process, "next")
        assert [each.repeated for each in in_parts(world, process, "many")] == [True] * 3
    world.check()


def test_half_a_capture_that_the_index_never_knew_is_closed_before_anything_follows(
    world: World,
) -> None:
    before = world.home.parent / "before.sqlite"
    shutil.copy(world.index_path, before)
    die_in_parts(world, 3)
    world.lose_index()
    shutil.copy(before, world.index_path)
    with world.opened() as process:
        assert world.look_at(process, "next").sequence == 4
    world.check()
    world.check_rebuilt_is_same()


# Objects that nobody here made


@pytest.mark.parametrize("data", [b"", b"not ours", b"{}"])
@pytest.mark.parametrize("pending", [False, True])
def test_a_foreign_object_stops_its_chain_and_no_other(
    world: World, data: bytes, pending: bool
) -> None:
    if pending:
        die(world, "put_once chains/", "first")
    foreign = world.folder / layout.manifest(INCIDENT, 1)
    foreign.write_bytes(data)
    with world.opened() as process:
        for attempt in range(2):
            world.look_at(process, f"other-{attempt}", OTHER)
            with pytest.raises(RecordError, match="this chain stops, the others go on"):
                world.look_at(process, f"mine-{attempt}")
    world.rebuild()
    with world.opened() as process:
        world.look_at(process, "other-again", OTHER)
    foreign.unlink()
    with world.opened() as process:
        assert world.look_at(process, "mine-0").sequence == 1
    world.check()


def test_files_that_are_no_chains_are_no_obstacle(world: World) -> None:
    for name in ("chains/incident/INC-2026-0001x/00000000.json", "chains/00000000.json",
                 "chains/.DS_Store", "chains/incident/INC-2026-0001/readme"):  # fmt: skip
        path = world.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    world.rebuild()
    with world.opened() as process:
        world.look_at(process, "mine")


def test_a_link_that_verifies_is_adopted_and_the_next_stands_on_it(world: World) -> None:
    """The index was put back to before a commit whose manifest is in the store, unlogged."""
    before = world.home.parent / "before.sqlite"
    shutil.copy(world.index_path, before)
    die(world, "mark_stored", "first")
    world.lose_index()
    shutil.copy(before, world.index_path)
    with world.opened() as process:
        receipt = world.look_at(process, "second")
        assert (receipt.sequence, receipt.repeated) == (2, False)
        assert world.look_at(process, "first").repeated
    world.check()
    world.check_rebuilt_is_same()


def test_a_retry_finds_its_first_attempt_in_the_store_alone(world: World) -> None:
    before = world.home.parent / "before.sqlite"
    shutil.copy(world.index_path, before)
    die(world, "mark_stored", "first")
    world.lose_index()
    shutil.copy(before, world.index_path)
    with world.opened() as process:
        receipt = world.look_at(process, "first")
        assert (receipt.sequence, receipt.repeated) == (1, True)
    world.check()


def test_damaged_evidence_does_not_keep_the_index_from_being_rebuilt(world: World) -> None:
    with world.opened() as process:
        world.capture(process, "capture", SMALL)
    pack = next(iter((world.folder / "artifacts").iterdir()))
    pack.chmod(0o600)
    for data in (b"x" * pack.stat().st_size, b""):
        pack.write_bytes(data)
        world.rebuild()
    pack.unlink()
    world.rebuild()
    world.check_store()
    with world.opened() as process:
        world.look_at(process, "next")


# A store that went back, or was made to tell another story


def test_a_store_put_back_under_its_index_is_not_gone_on_with(world: World) -> None:
    shutil.copytree(world.folder, world.home.parent / "earlier")
    with world.opened() as process:
        for number in range(3):
            world.look_at(process, f"lost-{number}")
    shutil.move(world.folder, world.home.parent / "later")
    shutil.copytree(world.home.parent / "earlier", world.folder)
    with world.opened() as process:
        with pytest.raises(RecordError, match="the store was put back, is not mounted") as refused:
            world.look_at(process, "next")
        assert process.signed == 0
        assert refused.value.index
    shutil.rmtree(world.folder)
    shutil.move(world.home.parent / "later", world.folder)
    with world.opened() as process:
        world.look_at(process, "next")
    world.check()


def test_a_forged_next_checkpoint_is_shown_and_stops_the_log(world: World) -> None:
    forged = world.folder / layout.publication(3)
    first, second = ((world.folder / layout.publication(n)).read_bytes() for n in (1, 2))
    replayed = [
        each.replace(b'"number":%d' % n, b'"number":3') for n, each in ((1, first), (2, second))
    ]
    for data in (b"", b"{}", first, *replayed):
        forged.write_bytes(data)
        with world.opened() as process:
            with pytest.raises(RecordError, match="evault log audit"):
                world.look_at(process, "next")
            assert process.signed == 0
    forged.unlink()
    with world.opened() as process:
        world.look_at(process, "next")
    world.check()


def test_a_rebuild_signs_nothing_over_leaves_in_another_order(world: World) -> None:
    """Who can write to the store but not sign swaps two leaves, and takes away what shows it."""
    fill(world, 3)
    path = world.folder / layout.publication(3)
    published = parse_published(path.read_bytes(), number=3)
    swapped = strictjson.dumps(
        {
            "checkpoint": published.note,
            "leaf_hashes": [each.hex() for each in reversed(published.leaf_hashes)],
            "number": 3,
        }
    )
    path.unlink()
    path.write_bytes(swapped)
    shutil.rmtree(world.folder / "log" / "tile")
    world.lose_index()
    with pytest.raises(RecordError, match="lists other leaves than it signs"):
        world.rebuild()
    assert sorted(each.name for each in path.parent.iterdir())[-1] == path.name
    with world.stored() as store:
        report = audit_log(store, world.trust)
    assert report.verdict == Verdict.FAILED


MADE_IN_ORDER = (
    "keys/log.pem", "keys/manifest.pem", "trust.json", "index.sqlite", "evault.json"
)  # fmt: skip


@pytest.mark.parametrize("count", range(len(MADE_IN_ORDER)))
@pytest.mark.parametrize("half", [False, True])
def test_a_home_whose_making_was_interrupted_is_finished(
    tmp_path: Path, count: int, half: bool
) -> None:
    whole = World.make(tmp_path / "whole")
    home = tmp_path / "home"
    (home / "keys").mkdir(parents=True)
    for name in MADE_IN_ORDER[:count]:
        shutil.copy(whole.home / name, home / name)
    if half:
        path = home / MADE_IN_ORDER[count]
        if path.name == "index.sqlite":
            path.write_bytes(b"")
        else:
            path.with_name(f".{path.name}.new").write_bytes(b"half")
    world = World.make(tmp_path)
    assert list(home.rglob(".*.new")) == []
    with world.opened() as process:
        world.declare(process)
    world.check()
