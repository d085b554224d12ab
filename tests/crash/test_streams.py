"""Streams under faults and rivals: no claim without its bytes, its protection, or its stream.

An incident shares objects with a stream, and with other incidents that took the same window: they
are held while a hold lives on any of them, whoever dies or runs at once.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest
from crash.conftest import Serve
from crash.faults import Killed, Moment, fail
from crash.world import INCIDENT, OTHER, Process, World, description, open_capture

from vault.errors import ConflictError, UnavailableError
from vault.evidence import objects_of
from vault.preserve import Preserved, Preserver
from vault.record import StoreRecord
from vault.retention import VAULT_CHAIN
from vault.window import names_of
from verify.audit import audit
from verify.report import Verdict
from verify.retention import RetentionPolicy, Rule

STREAM, TAIL = "stream:web", "stream:tail"
SMALL = {"one.txt": b"one", "approval.txt": b"I agree"}
LARGE = {"memory.dump": bytes(range(256)) * 5000}
"""Larger than a pack takes: an object of its own."""
MATTER, OTHER_MATTER = "Doe v. Acme", "Regulator 7"
FROM, TO = datetime(2026, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
"""Nothing in these streams has times: all of it was received in this window."""


def collect(world: World, process: Process, deposit: str, contents: dict[str, bytes]) -> None:
    world.capture(process, deposit, contents, STREAM)


def preserve(
    world: World, process: Process, incident: str = INCIDENT, stream: str = STREAM
) -> Preserved:
    preserver = Preserver(
        door=process.door, incidents=process.incidents, retention=process.retention,
        clock=process.clock,
    )  # fmt: skip
    done = preserver.preserve(incident, stream, FROM, TO, collector={"name": "test"})
    world.promise(done.receipts)
    return done


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A stream of two captures and three items; two incidents, the second one with a hold."""
    world = World.make(tmp_path_factory.mktemp("collected"))
    with world.opened() as process:
        collect(world, process, "first", SMALL)
        collect(world, process, "second", LARGE)
        world.declare(process)
        world.declare(process, OTHER)
    return world


def live(process: Process, chain: str) -> set[str]:
    return {hold.matter for hold in process.incidents.read(chain).state.live_holds}


def set_hold(world: World, process: Process, chain: str, matter: str = MATTER) -> None:
    if matter not in live(process, chain):
        world.promise([process.retention.set_hold(chain, matter, "expected", "Counsel")[0]])


def release(world: World, process: Process, chain: str, shown: str, matter: str = MATTER) -> None:
    if matter in live(process, chain):
        receipt, _ = process.retention.release_hold(chain, matter, "settled", "Grace", [shown])
        world.promise([receipt])


def check_held(world: World, process: Process, *, settled: bool) -> None:
    """Every object is held while a hold lives on any chain that claims it; settled, only then."""
    claimed: dict[tuple[str, str | None], bool] = {}
    for chain in process.incidents.evidence_chains():
        state = process.incidents.read(chain).state
        for exhibit in state.exhibits.values():
            for stored in objects_of(exhibit):
                place = stored.key, stored.version_id
                claimed[place] = claimed.get(place, False) or bool(state.live_holds)
    with world.stored() as store:
        for (key, version_id), wanted in claimed.items():
            held = store.state(key, version_id).protection.held
            assert held or not wanted, f"{key} is claimed to be held, and is not"
            assert not settled or held == wanted, f"{key} is held for no one"


def check_streams(world: World, process: Process) -> None:
    """What `World.check` does for incidents, for streams."""
    for chain in process.index.chains("stream:"):
        record = StoreRecord(
            store=process.store, index=process.index, log=process.log, chain=chain,
            incidents=process.incidents, retention=process.retention,
        )  # fmt: skip
        report = audit(record, world.trust, trusted=True)
        assert report.verdict == Verdict.PASSED, report.failures()


def restated(process: Process, incident: str = INCIDENT) -> list[str]:
    state = process.incidents.read(incident).state
    return [each.item.origin.exhibit for each in state.exhibits.values() if each.item.origin]


# -- one at a time --------------------------------------------------------------------------------


def test_a_window_taken_twice_adds_nothing_twice(collected: World, tmp_path: Path) -> None:
    world = collected.copy(tmp_path)
    with world.opened() as process:
        first = preserve(world, process)
        assert [name for name, _ in first.new] == ["EV-0001", "EV-0002", "EV-0003"]
        head = process.incidents.read(STREAM).state.sequence
        again = preserve(world, process)
        assert (again.new, again.receipts) == ([], [])
        assert again.already == [
            ("EV-0001", "ST-0001"), ("EV-0002", "ST-0002"), ("EV-0003", "ST-0003"),
        ]  # fmt: skip
        assert process.incidents.read(STREAM).state.sequence == head
        collect(world, process, "third", {"three.txt": b"three"})
        assert names_of([each for _, each in preserve(world, process).new]) == ["ST-0004"]
        check_streams(world, process)
    world.check()
    world.check_rebuilt_is_same()


def test_no_byte_is_copied(collected: World, tmp_path: Path) -> None:
    world = collected.copy(tmp_path)
    before = sorted((world.folder / "artifacts").iterdir())
    with world.opened() as process:
        preserve(world, process)
        stream, incident = (process.incidents.read(each).state for each in (STREAM, INCIDENT))
        for mine, theirs in zip(incident.exhibits.values(), stream.exhibits.values(), strict=True):
            assert [each.key for each in objects_of(mine)] == [
                each.key for each in objects_of(theirs)
            ]
    assert sorted((world.folder / "artifacts").iterdir()) == before


def test_a_hold_stays_on_what_others_hold(collected: World, tmp_path: Path) -> None:
    """Released on one chain, then on the next: the bytes are let go with the last."""
    world = collected.copy(tmp_path)
    with world.opened() as process:
        set_hold(world, process, OTHER)
        preserve(world, process, OTHER)
        check_held(world, process, settled=True)
        preserve(world, process)
        set_hold(world, process, INCIDENT)
        set_hold(world, process, STREAM)
        for chain, shown in ((STREAM, "ST-0002"), (INCIDENT, "EV-0002"), (OTHER, "EV-0002")):
            release(world, process, chain, shown)
            check_held(world, process, settled=True)
        for chain in process.incidents.evidence_chains():
            assert list(process.retention.drift(process.incidents.read(chain))) == []
    world.check()


def test_what_a_held_incident_takes_is_held_before_it_is_claimed(
    collected: World, tmp_path: Path
) -> None:
    world = collected.copy(tmp_path)
    with world.opened() as process:
        set_hold(world, process, INCIDENT)
        moment = Moment(on=f"put_once chains/incident/{INCIDENT}")
    moment.act = moment.kill
    process = world.open(moment)
    with pytest.raises(Killed):
        preserve(world, process)
    world.bury(process)
    with world.opened() as process:
        check_held(world, process, settled=False)
        assert restated(process) == ["ST-0001", "ST-0002", "ST-0003"], "committed, not yet stored"
        process.log.settle()
    world.check()


def test_retention_is_the_longest_of_all_who_claim(collected: World, tmp_path: Path) -> None:
    """sev1 keeps for 2557 days, a stream for 365 (FORMAT.md §4.8); and nothing is shortened."""
    world = collected.copy(tmp_path)

    def is_kept_for(process: Process, days: int) -> bool:
        """Since it was received, and not a week more."""
        stream = process.incidents.read(STREAM)
        received = [each.received_at for each in stream.state.exhibits.values()]
        for stored, _ in process.retention.wanted(stream):
            until = process.store.state(stored.key, stored.version_id).protection.retain_until
            if until is None or not (
                min(received) + timedelta(days) <= until <= max(received) + timedelta(days + 7)
            ):
                return False
        return True

    with world.opened() as process:
        assert is_kept_for(process, 365)
        preserve(world, process)
        assert is_kept_for(process, 2557)
        process.retention.apply(STREAM)
        assert is_kept_for(process, 2557)
        process.retention.set_policy(RetentionPolicy((Rule(None, None, 3000),)))
        assert is_kept_for(process, 3000)
        for chain in (STREAM, INCIDENT, OTHER):
            assert list(process.retention.drift(process.incidents.read(chain))) == []
        assert process.index.owing() == []
        assert process.index.head(VAULT_CHAIN) is not None


def test_what_is_gone_from_the_store_is_not_claimed(collected: World, tmp_path: Path) -> None:
    world = collected.copy(tmp_path)
    with world.opened() as process:
        third = process.incidents.read(STREAM).state.exhibits["ST-0003"]
        assert third.item.place.key is not None
        (world.folder / third.item.place.key).unlink()
        done = preserve(world, process)
        assert done.gone == ["ST-0003"]
        assert names_of([each for _, each in done.new]) == ["ST-0001", "ST-0002"]
        stream = process.incidents.read(STREAM).stream
        assert stream.preserved == {INCIDENT: {"ST-0001", "ST-0002"}}


def test_a_severity_that_changes_meanwhile_is_seen(collected: World, tmp_path: Path) -> None:
    """Between what the incident needs and the claim, somebody makes it worse."""
    world = collected.copy(tmp_path)

    def rival() -> None:
        with world.opened() as other:
            other.incidents.change(OTHER, "amended", lambda _: {"severity": "sev1"}, reason="worse")

    with world.opened() as process:
        process.incidents.change(OTHER, "amended", lambda _: {"severity": "sev4"}, reason="less")
    moment = Moment(on=f"put_once chains/stream/web/{2:08d}")
    moment.act = rival
    with world.opened(moment) as process:
        preserve(world, process, OTHER)
        assert moment.happened
        process.retention.settle()
        assert list(process.retention.drift(process.incidents.read(OTHER))) == []
    world.check()


# -- faults ---------------------------------------------------------------------------------------

Step = Callable[[World, Process], object]

STORY: list[Step] = [
    lambda world, process: set_hold(world, process, INCIDENT),
    preserve,
    lambda world, process: collect(world, process, "third", {"three.txt": b"three"}),
    lambda world, process: preserve(world, process, OTHER),
    lambda world, process: release(world, process, INCIDENT, "EV-0002"),
]


def tell(world: World, moment: Moment) -> None:
    """The story with one fault; then what is owed, as whoever opens the vault next; the rest."""
    world.tell(moment, STORY)
    with world.opened() as process:
        process.log.settle()
        check_held(world, process, settled=False)
        process.retention.settle()
        assert process.index.owing() == []
        for step in STORY[1:4]:
            step(world, process)
        ended = process.incidents.read(INCIDENT).incident.holds
        if not ended:
            set_hold(world, process, INCIDENT)
        release(world, process, INCIDENT, "EV-0002")
        # Who died between protecting and claiming left too much, which is told as drift.
        process.retention.apply(INCIDENT)
        check_held(world, process, settled=True)
        # The window was taken once or twice: before the third capture, and after it.
        assert restated(process) in (["ST-0001", "ST-0002", "ST-0003"], restated(process, OTHER))
        assert restated(process, OTHER) == ["ST-0001", "ST-0002", "ST-0003", "ST-0004"]
        for chain in process.incidents.evidence_chains():
            assert list(process.retention.drift(process.incidents.read(chain))) == []
        check_streams(world, process)
    world.check()


@pytest.mark.slow
@pytest.mark.parametrize("way", ["dies", "fails", "fails after its effect"])
@pytest.mark.parametrize("every", [13, pytest.param(1, marks=pytest.mark.soak)])
def test_a_fault_at_any_call_leaves_nothing_half_brought_in(
    collected: World, tmp_path: Path, way: str, every: int
) -> None:
    """Every thirteenth call, from a random one on; all of them under soak."""
    start = random.randrange(1, every + 1)
    print(f"from call {start}")
    for k in count(start, every):
        world = collected.copy(tmp_path / f"{k}")
        moment = Moment(k, fail, after=way.endswith("effect"))
        if way == "dies":
            moment.act = moment.kill
        try:
            tell(world, moment)
            if moment.happened and "put_once" in moment.done:
                world.check_rebuilt_is_same()
        except BaseException as error:
            error.add_note(f"the fault was {moment.happened}")
            raise
        if not moment.happened:
            assert k > 50
            return
        shutil.rmtree(world.home)


@pytest.mark.parametrize("on", ["put_once chains/stream/web/00000002", "put_once log/checkpoints"])
def test_the_index_lost_between_stream_and_incident_loses_no_claim(
    collected: World, tmp_path: Path, on: str
) -> None:
    """The stream says where its items go before the incident has them; a rebuild reads that."""
    world, moment = collected.copy(tmp_path), Moment(on=on)
    moment.act = moment.kill
    process = world.open(moment)
    with pytest.raises(Killed):
        preserve(world, process)
    world.bury(process)
    world.lose_index()
    world.rebuild()
    with world.opened() as process:
        assert restated(process) == []
        preserve(world, process)
        assert restated(process) == ["ST-0001", "ST-0002", "ST-0003"]
        check_streams(world, process)
    world.check()
    world.check_rebuilt_is_same()


@pytest.mark.slow
def test_a_rival_release_at_any_moment_takes_no_protection_from_what_is_brought_in(
    collected: World, tmp_path: Path
) -> None:
    """At every third call of a preserve into a held incident, the stream's own hold is released."""
    for k in count(1, 3):
        world = collected.copy(tmp_path / f"{k}")
        with world.opened() as process:
            set_hold(world, process, INCIDENT, OTHER_MATTER)
            set_hold(world, process, STREAM)
        told: list[Exception] = []

        def rival(world: World = world, told: list[Exception] = told) -> None:
            with world.opened() as other:
                try:
                    release(world, other, STREAM, "ST-0002")
                except UnavailableError as error:  # the preserve has the objects to itself
                    told.append(error)

        moment = Moment(k, rival)
        with world.opened(moment) as process:
            preserve(world, process)
        if not moment.happened:
            return
        with world.opened() as process:
            if told:
                rival()
            check_held(world, process, settled=True)
            assert live(process, STREAM) == set()
            assert live(process, INCIDENT) == {OTHER_MATTER}
        shutil.rmtree(world.home)


# -- many at once ---------------------------------------------------------------------------------


def forked(world: World, work: Callable[[Process], None]) -> int:
    """A process of its own that opens the vault and does something."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        process = world.open(patience=20.0)
        work(process)
        code = 0
    except BaseException:  # noqa: BLE001 — a forked test must not return into the runner
        traceback.print_exc()
    finally:
        os._exit(code)


def collector(world: World, name: str, turns: int) -> Callable[[Process], None]:
    def work(process: Process) -> None:
        for turn in range(turns):
            for attempt in count(1):
                capture = open_capture(process, f"{name}-{turn}", STREAM)
                try:
                    data = f"{name} {turn}".encode()
                    kept = capture.keep([data], size=len(data))
                    capture.claim(kept, kinds=("other",), description=description(f"{name}-{turn}"))
                    capture.commit()
                    break
                except (ConflictError, UnavailableError):
                    capture.abort()
                    assert attempt < 20
                    time.sleep(0.02)

    return work


def preserving(world: World, incident: str, stop: Path) -> Callable[[Process], None]:
    def work(process: Process) -> None:
        while not stop.exists():
            with suppress(ConflictError, UnavailableError):
                preserve(world, process, incident)

    return work


def run_at_once(world: World, folder: Path, collectors: int, turns: int, *, kill: bool) -> None:
    stop = folder / "stop"
    with world.opened(patience=20.0) as process:
        collect(world, process, "begin", {"begin.txt": b"begin"})
        world.declare(process)
        world.declare(process, OTHER)
        set_hold(world, process, OTHER)
    writers = [forked(world, collector(world, f"c{n}", turns)) for n in range(collectors)]
    takers = [forked(world, preserving(world, each, stop)) for each in (INCIDENT, INCIDENT, OTHER)]
    if kill:
        time.sleep(random.random())
        os.kill(takers[0], signal.SIGKILL)
    codes = [os.waitstatus_to_exitcode(os.waitpid(each, 0)[1]) for each in writers]
    stop.touch()
    codes += [os.waitstatus_to_exitcode(os.waitpid(each, 0)[1]) for each in takers]
    assert set(codes) <= ({0, -signal.SIGKILL} if kill else {0}), codes
    with world.opened(patience=20.0) as process:
        items = list(process.incidents.read(STREAM).state.exhibits)
        assert len(items) == collectors * turns + 1
        for incident in (INCIDENT, OTHER):
            preserve(world, process, incident)
            taken = restated(process, incident)
            assert sorted(taken) == sorted(items), "all of it, and nothing twice"
        process.retention.settle()
        check_held(world, process, settled=False)
        check_streams(world, process)
    world.check()
    world.check_rebuilt_is_same()


@pytest.mark.slow
@pytest.mark.parametrize("kill", [False, True])
@pytest.mark.parametrize(
    ("collectors", "turns"), [(3, 6), pytest.param(8, 40, marks=pytest.mark.soak)]
)
def test_collectors_append_to_one_stream_while_others_preserve_it(
    tmp_path: Path, collectors: int, turns: int, kill: bool
) -> None:
    run_at_once(World.make(tmp_path), tmp_path, collectors, turns, kill=kill)


@pytest.mark.slow
def test_collectors_and_preservers_on_real_servers(serve: Serve, tmp_path: Path) -> None:
    run_at_once(serve(tmp_path), tmp_path, 2, 4, kill=True)


@pytest.mark.slow
@pytest.mark.parametrize("turns", [2, pytest.param(25, marks=pytest.mark.soak)])
def test_the_bits_of_a_real_bucket_follow_all_chains_that_share(
    serve: Serve, tmp_path: Path, turns: int
) -> None:
    rng = random.Random(seed := random.randrange(1 << 32))
    print(f"seed {seed}")
    for turn in range(turns):
        world, moment = serve(tmp_path / f"{turn}"), Moment(rng.randrange(1, 90))
        moment.act = moment.kill
        with world.opened() as process:
            collect(world, process, "first", SMALL)
            collect(world, process, "second", LARGE)
            world.declare(process)
            world.declare(process, OTHER)
        tell(world, moment)
