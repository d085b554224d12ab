"""What every `Index` must do. To add an adapter, add a backend to `BACKENDS`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from threading import Barrier

import pytest
from servers.postgres import SERVICE

from vault.adapters.database import Database, PostgresDatabase, SqliteDatabase
from vault.adapters.sql import SqlIndex
from vault.errors import DepositConflictError, StaleHeadError, UnavailableError
from vault.ports import ChainHead, Claim, Entry, Index, NewManifest, Publication, Row, Sighting
from verify.digest import EMPTY, sha256_hex
from verify.merkle import EMPTY_HEAD, TreeHead, leaf_hash
from verify.statement import SEEN_NOTHING, Seen

Connect = Callable[[], SqlIndex]
"""Another connection to the same index, as another process would have it."""

A, B = "INC-2026-0001", "INC-2026-0002"
WRITERS = 4
Backend = Callable[[pytest.FixtureRequest], tuple[Callable[[], Database], Callable[[], None]]]
"""Makes an index; gives how to connect to it, and how to remove it."""


def sqlite_file(
    request: pytest.FixtureRequest,
) -> tuple[Callable[[], Database], Callable[[], None]]:
    path = request.getfixturevalue("tmp_path") / "index.sqlite"
    SqliteDatabase(path, create=True).close()
    return lambda: SqliteDatabase(path), lambda: None


def postgresql(request: pytest.FixtureRequest) -> tuple[Callable[[], Database], Callable[[], None]]:
    """As the service's own role, which may do no more than it needs."""
    server = request.getfixturevalue("postgres_server")
    name = server.database()
    made = PostgresDatabase(server.url(name), create=True)
    made.grant(SERVICE)
    made.close()
    return lambda: PostgresDatabase(server.url(name, SERVICE)), lambda: server.drop(name)


BACKENDS: dict[str, Backend] = {"sqlite": sqlite_file, "postgresql": postgresql}


@pytest.fixture(params=BACKENDS)
def connect(request: pytest.FixtureRequest) -> Iterator[Connect]:
    open_database, remove = BACKENDS[request.param](request)
    opened = []

    def open_index() -> SqlIndex:
        opened.append(SqlIndex(open_database()))
        return opened[-1]

    yield open_index
    for each in opened:
        each.close()
    remove()


@pytest.fixture
def index(connect: Connect) -> Index:
    return connect()


def manifest(
    chain: str,
    sequence: int,
    deposit: str | None = None,
    *,
    sightings: Sequence[Sighting] = (),
    items: Sequence[tuple[str, str]] = (),
    sealed: bool = False,
    exhibits: int = 0,
    seen: Seen = SEEN_NOTHING,
    guarded: int = -1,
    owes: bool = False,
) -> NewManifest:
    deposit = deposit or f"deposit-{sequence}"
    leaf = f"{chain}/{sequence}/{deposit}".encode()
    return NewManifest(
        sequence=sequence,
        deposit=deposit,
        type="custody",
        content=sha256_hex(leaf),
        leaf=leaf,
        leaf_hash=leaf_hash(leaf),
        envelope=b"envelope of " + leaf,
        head=ChainHead(sequence, leaf_hash(leaf).hex(), exhibits, sealed, seen, guarded),
        sightings=tuple(sightings),
        items=tuple(items),
        owes=owes,
    )


def append(index: Index, chain: str, *deposits: str) -> list[Row]:
    def build(head: ChainHead) -> list[NewManifest]:
        return [manifest(chain, head.sequence + n, each) for n, each in enumerate(deposits, 1)]

    return index.append(chain, deposits, build)[0]


def stored(index: Index, chain: str, *deposits: str) -> list[Row]:
    rows = append(index, chain, *deposits)
    index.mark_stored(rows)
    return rows


def places(index: Index, chain: str) -> list[int | None]:
    return [row.index for row in index.rows(chain)]


def unreachable(_head: ChainHead) -> list[NewManifest]:
    raise AssertionError("nothing is built for a deposit that is on the chain")


# Append: the commit point


def test_the_first_manifest_is_built_on_an_empty_head(index: Index) -> None:
    heads = []
    assert index.head(A) is None

    def build(head: ChainHead) -> list[NewManifest]:
        heads.append(head)
        return [manifest(A, 0, "first")]

    rows, new = index.append(A, ["first"], build)
    assert heads == [ChainHead(-1, None, 0, False, SEEN_NOTHING)]
    expected = manifest(A, 0, "first")
    assert new
    assert rows == [
        Row(A, 0, "first", "custody", expected.content, expected.leaf_hash, expected.envelope,
            stored=False, index=None)
    ]  # fmt: skip
    assert index.head(A) == expected.head


def test_a_head_is_kept_whole(connect: Connect) -> None:
    given = manifest(
        A, 0, sealed=True, exhibits=12_345, seen=Seen(7, sha256_hex(b"root")), guarded=3
    )
    connect().append(A, ["deposit-0"], lambda _: [given])
    assert connect().head(A) == given.head


def test_a_repeated_deposit_builds_nothing_and_gives_the_first_rows(connect: Connect) -> None:
    first = append(connect(), A, "one", "two")
    append(connect(), A, "later")
    rows, new = connect().append(A, ["one", "two"], unreachable)
    assert (rows, new) == (first, False)
    assert [row.deposit for row in connect().rows(A)] == ["one", "two", "later"]


def test_a_repeated_deposit_is_found_in_whatever_state_it_is(index: Index) -> None:
    rows = append(index, A, "one")
    index.mark_stored(rows)
    index.assign()
    again, new = index.append(A, ["one"], unreachable)
    assert (again[0].stored, again[0].index, new) == (True, 0, False)


def test_a_deposit_that_is_there_in_part_is_refused(index: Index) -> None:
    append(index, A, "one")
    with pytest.raises(DepositConflictError):
        index.append(A, ["one", "two"], unreachable)


def test_one_deposit_id_may_stand_on_two_chains(index: Index) -> None:
    assert append(index, A, "same")[0].chain == A
    assert append(index, B, "same")[0].chain == B


def test_what_fails_while_it_is_built_leaves_no_trace_and_no_lock(connect: Connect) -> None:
    index = connect()
    append(index, A, "one")
    before = index.head(A)

    def fail(_head: ChainHead) -> list[NewManifest]:
        raise UnavailableError("the key is away")

    with pytest.raises(UnavailableError, match="the key is away"):
        index.append(A, ["two"], fail)
    assert index.head(A) == before
    assert len(append(connect(), A, "two")) == 1


def test_several_manifests_are_committed_all_or_none(index: Index) -> None:
    with pytest.raises(UnavailableError):
        index.append(A, ["x", "y"], lambda _: [manifest(A, 0, "x"), manifest(A, 0, "y")])
    assert index.head(A) is None
    assert list(index.rows(A)) == []
    assert index.unstored() == []


def test_racing_writers_each_build_on_the_one_before(connect: Connect) -> None:
    barrier, rounds = Barrier(WRITERS), 8

    def write(number: int) -> list[tuple[int, str | None]]:
        mine, built = connect(), []
        barrier.wait()
        for turn in range(rounds):
            deposit = f"{number}-{turn}"

            def build(head: ChainHead, deposit: str = deposit) -> list[NewManifest]:
                built.append((head.sequence + 1, head.leaf))
                return [manifest(A, head.sequence + 1, deposit)]

            mine.append(A, [deposit], build)
        return built

    with ThreadPoolExecutor(WRITERS) as pool:
        built = sorted(each for found in pool.map(write, range(WRITERS)) for each in found)
    rows = list(connect().rows(A))
    assert [row.sequence for row in rows] == list(range(WRITERS * rounds))
    leaves = [None, *(row.leaf_hash.hex() for row in rows)]
    assert built == [(number, leaves[number]) for number in range(len(rows))]


# Rows


def test_rows_are_paged_without_loss_at_any_start(connect: Connect) -> None:
    count = 1203
    connect().adopt(A, [manifest(A, number) for number in range(count)])
    connect().adopt(B, [manifest(B, number) for number in range(3)])
    index = connect()
    for start in (0, 1, 499, 500, 703, 1202, 1203):
        sequences = [row.sequence for row in index.rows(A, start=start)]
        assert sequences == list(range(start, count))


def test_a_reader_of_rows_neither_blocks_a_writer_nor_misses_a_row(connect: Connect) -> None:
    connect().adopt(A, [manifest(A, number) for number in range(600)])
    reading = connect().rows(A)
    first = next(reading)
    append(connect(), A, "meanwhile")
    assert [first.sequence, *(row.sequence for row in reading)] == list(range(601))


def test_chains_are_those_with_the_prefix_as_it_is_written(index: Index) -> None:
    for chain in ("vault", "stream:a-b", "stream:a", B, A, "INC-2025-0001"):
        append(index, chain, "x")
    assert index.chains("") == [
        "INC-2025-0001", A, B, "stream:a", "stream:a-b", "vault"
    ]  # fmt: skip
    assert index.chains("INC-2026-") == [A, B]
    assert index.chains("INC_2026") == []
    assert index.chains("%") == []


# From pending to logged


def test_unstored_comes_in_commit_order_until_it_is_stored(connect: Connect) -> None:
    index = connect()
    rows = [append(index, chain, f"{n}")[0] for n, chain in enumerate((B, A, B, A))]
    assert connect().unstored() == rows
    index.mark_stored(rows[1:3])
    index.mark_stored(rows[1:3])
    assert connect().unstored() == [rows[0], rows[3]]


def test_indices_are_contiguous_and_stay(connect: Connect) -> None:
    for turn in range(3):
        stored(connect(), A, f"a{turn}")
        stored(connect(), B, f"b{turn}")
        assert connect().assign() == 2 * turn + 2
        assert connect().assign() == 2 * turn + 2
    index = connect()
    assert places(index, A) == [0, 2, 4]
    assert places(index, B) == [1, 3, 5]
    leaves = [f"{chain}/{n}/{c}{n}".encode() for n in range(3) for chain, c in ((A, "a"), (B, "b"))]
    assert index.entries(0, 6) == [Entry(each, leaf_hash(each)) for each in leaves]
    assert index.leaf_hashes(1, 4) == [leaf_hash(each) for each in leaves[1:4]]
    assert [entry.leaf for entry in index.entries(4, 100)] == leaves[4:]
    assert index.leaf_hashes(6, 9) == []


def test_a_link_waits_for_its_predecessor_and_holds_up_no_other_chain(index: Index) -> None:
    first = append(index, A, "first")
    stored(index, A, "second")
    stored(index, B, "other")
    assert index.assign() == 1
    assert (places(index, A), places(index, B)) == ([None, None], [0])
    index.mark_stored(first)
    assert index.assign() == 3
    assert places(index, A) == [1, 2]


def test_racing_processes_assign_every_index_once(connect: Connect) -> None:
    barrier = Barrier(WRITERS)

    def work(number: int) -> None:
        mine, chain = connect(), f"INC-2026-{number:04d}"
        barrier.wait()
        for turn in range(6):
            stored(mine, chain, f"{turn}")
            mine.assign()

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(work, range(WRITERS)))
    index = connect()
    given = [places(index, chain) for chain in index.chains("INC-")]
    assert sorted(each for chain in given for each in chain) == list(range(WRITERS * 6))
    assert all(chain == sorted(chain) for chain in given)


def test_place_gives_the_indices_that_the_store_tells(index: Index) -> None:
    a = [manifest(A, number) for number in range(3)]
    b = [manifest(B, number) for number in range(2)]
    index.adopt(A, a)
    index.adopt(B, b)
    order = [b[0], a[0], b[1], a[1]]
    assert index.place([each.leaf_hash for each in order[:1]], start=0) == 1
    assert index.place([each.leaf_hash for each in order[1:]], start=1) == 4
    assert index.leaf_hashes(0, 10) == [each.leaf_hash for each in order]
    assert index.assign() == 5
    assert places(index, A) == [1, 3, 4]


def test_place_refuses_a_leaf_that_no_manifest_has(index: Index) -> None:
    index.adopt(A, [manifest(A, 0)])
    with pytest.raises(UnavailableError, match="index 1"):
        index.place([manifest(A, 0).leaf_hash, bytes(32)], start=0)
    assert places(index, A) == [None], "all or nothing"


def test_unstored_of_some_chains_leaves_out_the_others(index: Index) -> None:
    rows = [append(index, chain, "x")[0] for chain in (B, A, "vault")]
    assert index.unstored([A, "vault"]) == rows[1:]
    assert index.unstored([]) == []


def test_what_is_logged_does_not_become_merely_stored_again(connect: Connect) -> None:
    """A slow process notes what a quick one has carried on long since."""
    rows = append(connect(), A, "one")
    connect().mark_stored(rows)
    connect().assign()
    connect().mark_stored(rows)
    assert places(connect(), A) == [0]
    assert connect().assign() == 1


def test_a_leaf_is_covered_once_it_is_under_a_publication_in_the_store(index: Index) -> None:
    hashes = [row.leaf_hash for chain in (A, B) for row in stored(index, chain, "x")]
    for step in (
        index.assign,
        lambda: index.add_publication(publication(1, 1)),
        lambda: index.add_publication(publication(2, 2)),
    ):
        assert not index.is_covered(hashes[:1])
        step()
    index.mark_published(1)
    assert [index.is_covered([each]) for each in hashes] == [True, False]
    assert not index.is_covered(hashes)
    index.mark_published(2)
    assert index.is_covered([*hashes, *hashes])
    assert not index.is_covered([*hashes, bytes(32)])


# What is owed to stored objects


def test_what_a_link_owes_is_listed_until_it_is_paid(connect: Connect) -> None:
    owing = [manifest(A, 0, owes=True), manifest(A, 1), manifest(A, 2, owes=True)]
    connect().append(A, [each.deposit for each in owing], lambda _: owing)
    connect().adopt(B, [manifest(B, 0, owes=True)])
    assert connect().owing() == [(A, 0), (A, 2), (B, 0)]
    connect().paid(A, 1)
    assert connect().owing() == [(A, 2), (B, 0)]
    connect().paid(A, 2)
    connect().paid(A, 2)
    assert connect().owing() == [(B, 0)]


# Alone


def test_one_at_a_time_is_alone_and_the_other_waits_or_is_told(connect: Connect) -> None:
    index, other = connect(), connect()
    with index.alone("log", patience=1) as first:
        with other.alone("log", patience=0.05) as second:
            assert (first, second) == (True, False)
        with other.alone(f"protection of {A}", patience=0) as elsewhere:
            assert elsewhere
    with other.alone("log", patience=0) as second:
        assert second


def test_who_waits_to_be_alone_is_when_the_other_has_ended(connect: Connect) -> None:
    order, entered = [], Barrier(2)

    def first() -> None:
        with connect().alone("log", patience=0) as alone:
            entered.wait()
            order.append(("first", alone))

    def second() -> None:
        mine = connect()
        entered.wait()
        with mine.alone("log", patience=60) as alone:
            order.append(("second", alone))

    with ThreadPoolExecutor(2) as pool:
        for each in [pool.submit(first), pool.submit(second)]:
            each.result()
    assert order == [("first", True), ("second", True)]


def test_being_alone_ends_with_an_error_inside(connect: Connect) -> None:
    with pytest.raises(UnavailableError, match="inside"), connect().alone("log", patience=0):
        raise UnavailableError("inside")
    with connect().alone("log", patience=0) as alone:
        assert alone


def test_who_waits_goes_on_when_nobody_is_alone_any_more(connect: Connect) -> None:
    order, entered = [], Barrier(3)

    def first() -> None:
        with connect().alone("log", patience=0) as alone:
            entered.wait()
            order.append(f"alone {alone}")

    def waiting() -> None:
        mine = connect()
        entered.wait()
        mine.wait("log", patience=60)
        order.append("waited")

    with ThreadPoolExecutor(3) as pool:
        for each in [pool.submit(first), pool.submit(waiting), pool.submit(waiting)]:
            each.result()
    assert order == ["alone True", "waited", "waited"]


def test_a_wait_ends_with_patience_and_holds_nobody_up(connect: Connect) -> None:
    index = connect()
    index.wait("log", patience=0.05)
    with index.alone("log", patience=0) as alone:
        assert alone
        connect().wait("log", patience=0.05)
    with connect().alone("log", patience=0) as alone:
        assert alone


# Giving way to another writer


def test_dropping_takes_the_row_all_after_it_and_what_they_saw(index: Index) -> None:
    kept = stored(index, A, "kept")
    index.assign()
    lost = index.append(
        A,
        ["lost", "lost/2"],
        lambda _: [
            manifest(A, 1, "lost", sightings=[Sighting("f", "EV-0001")], exhibits=1),
            manifest(A, 2, "lost/2"),
        ],
    )[0]
    other = append(index, B, "other")
    head = manifest(A, 0, "kept").head
    assert index.drop_from(lost[0], head)
    assert list(index.rows(A)) == [replace(kept[0], stored=True, index=0)]
    assert index.head(A) == head
    assert index.sightings(A) == {}
    assert index.unstored() == other
    assert append(index, A, "lost")[0].sequence == 1, "its deposit id is free again"


def test_dropping_a_whole_chain_leaves_none(index: Index) -> None:
    row = append(index, A, "only")[0]
    assert index.drop_from(row, None)
    assert index.head(A) is None
    assert index.chains("") == []


def test_what_is_logged_or_was_dropped_by_another_is_not_dropped(connect: Connect) -> None:
    """Two processes meet the same conflict: the slower must not undo what the faster did."""
    index = connect()
    ours = append(index, A, "ours")[0]
    assert index.drop_from(ours, None)
    theirs = manifest(A, 0, "theirs", sightings=[Sighting("f", "EV-0001")])
    index.adopt(A, [theirs])
    assert not connect().drop_from(ours, None)
    assert index.head(A) == theirs.head
    assert index.sightings(A) == {"f": ("EV-0001", 0)}
    index.assign()
    logged = next(iter(index.rows(A)))
    assert not index.drop_from(logged, None)
    assert places(index, A) == [0]


def test_a_few_sightings_are_asked_for_by_their_fingerprints(index: Index) -> None:
    seen = [[Sighting("f", "EV-0001"), Sighting("g", "EV-0002")], [Sighting("f", "EV-0003")]]
    index.adopt(A, [manifest(A, n, f"d{n}", sightings=each) for n, each in enumerate(seen)])
    index.adopt(B, [manifest(B, 0, "other", sightings=[Sighting("h", "EV-0001")])])
    assert index.sightings(A, among=["f", "h"]) == {"f": ("EV-0003", 1)}
    assert index.sightings(A, among=["f"], before=1) == {"f": ("EV-0001", 0)}
    assert index.sightings(A, among=[]) == {}


def test_adopting_again_changes_nothing(connect: Connect) -> None:
    found = [manifest(A, n, sightings=[Sighting(f"f{n}", f"EV-{n:04d}")]) for n in range(4)]
    connect().adopt(A, found[:2])
    connect().adopt(A, found)
    stored(connect(), A, "after")
    connect().adopt(A, found[1:3])
    index = connect()
    assert [row.deposit for row in index.rows(A)] == [*(each.deposit for each in found), "after"]
    assert all(row.stored for row in index.rows(A))
    head = index.head(A)
    assert head is not None
    assert head.sequence == 4


@pytest.mark.parametrize("start", [0, 1, 3])
def test_what_does_not_continue_the_chain_is_not_adopted(index: Index, start: int) -> None:
    rows = append(index, A, "own", "own/2")
    theirs = [manifest(A, number, f"theirs-{number}") for number in range(start, start + 3)]
    with pytest.raises(StaleHeadError):
        index.adopt(A, theirs)
    assert list(index.rows(A)) == rows


# Tree and publications


def test_an_empty_index_has_an_empty_tree_and_no_publication(index: Index) -> None:
    assert index.log_state().tree == EMPTY_HEAD
    assert index.log_state().last is None
    assert index.publication(1) is None
    assert index.first_publication_covering(1) is None
    assert EMPTY_HEAD.root.hex() == EMPTY


def test_advance_compares_size_and_root(connect: Connect) -> None:
    one, other, two = (TreeHead(size, leaf_hash(b"%d" % n)) for n, size in enumerate((1, 1, 2)))
    assert connect().advance(EMPTY_HEAD, one)
    assert not connect().advance(EMPTY_HEAD, other)
    assert not connect().advance(other, two)
    assert connect().log_state().tree == one
    assert connect().advance(one, two)
    assert connect().log_state().tree == two


def test_of_racing_processes_one_advances(connect: Connect) -> None:
    barrier = Barrier(WRITERS)

    def advance(number: int) -> bool:
        mine = connect()
        barrier.wait()
        return mine.advance(EMPTY_HEAD, TreeHead(number + 1, leaf_hash(b"%d" % number)))

    with ThreadPoolExecutor(WRITERS) as pool:
        assert sum(pool.map(advance, range(WRITERS))) == 1


def publication(number: int, size: int, note: bytes = b"note") -> Publication:
    return Publication(number, TreeHead(size, leaf_hash(b"%d" % size)), note)


def test_the_first_publication_of_a_number_wins_and_comes_back(connect: Connect) -> None:
    first = publication(1, 3, b"first")
    assert connect().add_publication(first) == first
    assert connect().add_publication(publication(1, 4, b"second")) == first
    assert connect().publication(1) == first
    assert connect().log_state().last == first


def test_of_racing_publications_all_are_told_the_same(connect: Connect) -> None:
    barrier = Barrier(WRITERS)

    def publish(number: int) -> Publication:
        mine = connect()
        barrier.wait()
        return mine.add_publication(publication(7, number + 1, b"by %d" % number))

    with ThreadPoolExecutor(WRITERS) as pool:
        assert set(pool.map(publish, range(WRITERS))) == {connect().publication(7)}


def test_the_first_publication_that_covers_a_size_is_found(index: Index) -> None:
    for each in (publication(1, 3), publication(2, 4), publication(3, 9)):
        index.add_publication(each)
    covering = [index.first_publication_covering(size) for size in (1, 3, 4, 5, 9, 10)]
    assert [each.number if each else None for each in covering] == [1, 1, 2, 3, 3, None]
    last = index.log_state().last
    assert last is not None
    assert last.number == 3


def test_what_is_published_is_noted_and_never_less(connect: Connect) -> None:
    assert connect().log_state().published == 0
    for number, expected in ((3, 3), (2, 3), (3, 3), (9, 9)):
        connect().mark_published(number)
        assert connect().log_state().published == expected
    head = TreeHead(1, leaf_hash(b"x"))
    assert connect().advance(EMPTY_HEAD, head)
    assert (connect().log_state().published, connect().log_state().tree) == (9, head)


def test_subtrees_are_kept_once_and_given_in_order(index: Index) -> None:
    for number in (2, 0, 1):
        index.add_subtree(1, number, bytes([number]) * 32)
    index.add_subtree(1, 1, bytes([1]) * 32)
    index.add_subtree(2, 0, bytes([9]) * 32)
    assert index.subtrees(1, 0, 3) == [bytes([n]) * 32 for n in range(3)]
    assert index.subtrees(1, 1, 2) == [bytes([1]) * 32]
    assert index.subtrees(1, 2, 9) == [bytes([2]) * 32]
    assert index.subtrees(2, 0, 9) == [bytes([9]) * 32]
    assert index.subtrees(3, 0, 9) == []


# Sightings


def test_the_newest_sighting_before_a_link_is_found(index: Index) -> None:
    for sequence in range(3):
        index.append(
            A,
            [f"{sequence}"],
            lambda head: [
                manifest(
                    A, head.sequence + 1, f"{head.sequence + 1}",
                    sightings=[Sighting("same", f"EV-{head.sequence + 2:04d}")],
                )
            ],
        )  # fmt: skip
    assert index.sightings(A) == {"same": ("EV-0003", 2)}
    assert index.sightings(A, before=2) == {"same": ("EV-0002", 1)}
    assert index.sightings(A, before=0) == {}
    assert index.sightings(B) == {}, "nothing is known across incidents"


def test_closing_twice_is_no_error(connect: Connect) -> None:
    with closing(connect()) as index:
        index.close()


def test_an_artifact_is_found_on_every_chain_that_claims_it(index: Index) -> None:
    one, other = "ab" * 32, "cd" * 32
    claims = ((A, 0, [("EV-0001", one), ("EV-0002", other)]), (B, 0, [("EV-0001", one)]),
              (A, 1, [("EV-0003", one)]))  # fmt: skip
    for chain, sequence, items in claims:
        made = manifest(chain, sequence, items=items)
        index.append(chain, [made.deposit], lambda _, made=made: [made])
    assert index.claims(one) == [
        Claim(A, 0, "EV-0001"),
        Claim(A, 1, "EV-0003"),
        Claim(B, 0, "EV-0001"),
    ]
    assert index.claims(other) == [Claim(A, 0, "EV-0002")]
    assert index.claims("ef" * 32) == []


def test_what_was_dropped_claims_nothing(index: Index) -> None:
    made = [manifest(A, n, items=[(f"EV-{n + 1:04d}", f"{n:064x}")]) for n in range(2)]
    rows, _ = index.append(A, [each.deposit for each in made], lambda _: made)
    assert index.drop_from(rows[1], made[0].head)
    assert index.claims(f"{0:064x}") == [Claim(A, 0, "EV-0001")]
    assert index.claims(f"{1:064x}") == []
