"""What every `ObjectStore` must do. To add an adapter, add a backend to `BACKENDS` and `TRAITS`.

A case that not every store can hold is run where the backend's traits promise it. moto promises
neither locks nor checksums: it gets both wrong.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import count
from pathlib import Path
from threading import Barrier
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from botocore.exceptions import ClientError
from contracts.memory_store import Memory, MemoryStore
from moto import mock_aws
from servers.s3 import S3Bucket, send_bytes

from vault.adapters.directory import DirectoryStore
from vault.adapters.s3 import MIN_PART_SIZE as S3_PART_SIZE
from vault.adapters.s3 import S3Place, S3Store, connect
from vault.errors import NotFoundError, ObjectConflictError
from vault.ports import (
    UNPROTECTED,
    LockMode,
    ObjectStore,
    Protection,
    StoreTraits,
    Upload,
    Version,
)
from verify.statement import MAX_PARTS, MIN_PART_SIZE, Stored

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

KEY = "artifacts/01ARZ3NDEKTSV4RRFFQ69G5FAV"
WRITERS = 6
NOW = datetime.now(UTC).replace(microsecond=0)
SOON, LATER = NOW + timedelta(days=1), NOW + timedelta(days=2)


class Insider(Protocol):
    """Someone who may write and delete in the store, past the vault."""

    def lay(self, key: str, data: bytes) -> str:
        """Lay a version over whatever the key has; its id."""

    def mark(self, key: str) -> None:
        """Lay a delete marker over it."""

    def remove(self, key: str, version_id: str, *, bypass: bool = False) -> bool:
        """Try to remove a version; with `bypass` also what is locked in governance mode."""


@dataclass(frozen=True)
class Backend:
    """A store under test, and ways to look at it from outside."""

    traits: StoreTraits
    connect: Callable[[], ObjectStore]
    """Another client of the same store, as another process would have it."""
    residue: Callable[[], list[str]]
    """What takes room in the store and is not visible under a key."""
    part_size: int
    """The smallest part of an object whose size is known."""
    insider: Insider


class Nobody:
    """A folder has no versions to lay over one another."""

    def lay(self, key: str, data: bytes) -> str:
        raise NotImplementedError

    def mark(self, key: str) -> None:
        raise NotImplementedError

    def remove(self, key: str, version_id: str, *, bypass: bool = False) -> bool:
        raise NotImplementedError


class MemoryInsider:
    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def lay(self, key: str, data: bytes) -> str:
        return self._memory.add(key, data)

    def mark(self, key: str) -> None:
        self._memory.add(key, None)

    def remove(self, key: str, version_id: str, *, bypass: bool = False) -> bool:
        return self._memory.remove(key, version_id, bypass=bypass)


class S3Insider:
    def __init__(self, place: S3Place, client: S3Client) -> None:
        self._place = place
        self._client = client

    def lay(self, key: str, data: bytes) -> str:
        return self._client.put_object(**self._where(key), Body=data)["VersionId"]

    def mark(self, key: str) -> None:
        self._client.delete_object(**self._where(key))

    def remove(self, key: str, version_id: str, *, bypass: bool = False) -> bool:
        try:
            self._client.delete_object(
                **self._where(key), VersionId=version_id, BypassGovernanceRetention=bypass
            )
        except ClientError as error:
            assert error.response["Error"]["Code"] == "AccessDenied"  # noqa: PT017
            return False
        return True

    def _where(self, key: str) -> dict[str, Any]:
        return {"Bucket": self._place.bucket, "Key": f"{self._place.prefix}/{key}"}


@contextmanager
def memory(_request: pytest.FixtureRequest) -> Iterator[Backend]:
    shared = Memory()
    yield Backend(
        TRAITS["memory"],
        lambda: MemoryStore(shared),
        lambda: [str(each) for each in shared.uploads],
        MIN_PART_SIZE,
        MemoryInsider(shared),
    )


@contextmanager
def directory(request: pytest.FixtureRequest) -> Iterator[Backend]:
    folder: Path = request.getfixturevalue("tmp_path")

    def residue() -> list[str]:
        store = DirectoryStore(folder)
        files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
        keys = set(store.keys(""))
        return sorted(files - keys - {"locks/.lock"} - {f"locks/{key}" for key in keys})

    yield Backend(
        TRAITS["directory"], lambda: DirectoryStore(folder), residue, MIN_PART_SIZE, Nobody()
    )


@contextmanager
def moto(_request: pytest.FixtureRequest) -> Iterator[Backend]:
    place = S3Place("bucket", "below/a/prefix", part_size=S3_PART_SIZE, region="us-east-1")
    with mock_aws():
        client = connect(place)
        client.create_bucket(Bucket=place.bucket)
        client.put_bucket_versioning(
            Bucket=place.bucket, VersioningConfiguration={"Status": "Enabled"}
        )
        send_bytes(client)
        with in_bucket(TRAITS["moto"], place, client) as made:
            yield made


@contextmanager
def s3(request: pytest.FixtureRequest) -> Iterator[Backend]:
    bucket: S3Bucket = request.getfixturevalue("s3_bucket")
    place = S3Place(
        bucket.name,
        f"test-{next(_NUMBERS)}",
        endpoint_url=bucket.server.endpoint,
        part_size=S3_PART_SIZE,
    )
    with in_bucket(TRAITS["s3"], place, _client_of(bucket)) as made:
        yield made


@cache
def _client_of(bucket: S3Bucket) -> S3Client:
    """One for all tests: it takes a third of a second to make, and threads may share it."""
    return connect(S3Place(bucket.name, endpoint_url=bucket.server.endpoint))


@contextmanager
def in_bucket(traits: StoreTraits, place: S3Place, client: S3Client) -> Iterator[Backend]:
    made: list[S3Store] = []

    def another() -> S3Store:
        made.append(
            S3Store(
                place, client, clock=lambda: datetime.now(UTC), locks=traits.locks,
                versions=traits.versions, checksums=traits.checksums, mode=LockMode.GOVERNANCE,
                record_days=1,
            )
        )  # fmt: skip
        return made[-1]

    def residue() -> list[str]:
        return [str(each) for each in made[0].unfinished()]

    another()
    try:
        yield Backend(traits, another, residue, S3_PART_SIZE, S3Insider(place, client))
    finally:
        for each in made:
            each.close()


BACKENDS = {"directory": directory, "memory": memory, "moto": moto, "s3": s3}
TRAITS = {
    "directory": StoreTraits("directory", locks=False, versions=False, checksums=False),
    "memory": StoreTraits("memory", locks=True, versions=True, checksums=True),
    "moto": StoreTraits("s3", locks=False, versions=True, checksums=False, parallel=8),
    "s3": StoreTraits("s3", locks=True, versions=True, checksums=True, parallel=8),
}
_NUMBERS = count(1)


def where(trait: Callable[[StoreTraits], bool]) -> pytest.MarkDecorator:
    """Run a case on the backends that have a trait."""
    names = [name for name, traits in TRAITS.items() if trait(traits)]
    return pytest.mark.parametrize("backend", names, indirect=True)


versioned = where(lambda traits: traits.versions)
locking = where(lambda traits: traits.locks)
checksummed = where(lambda traits: traits.checksums)
protecting = where(lambda traits: traits.locks or traits.kind == "directory")
"""Where protection is at least kept in mind."""


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    with BACKENDS[request.param](request) as made:
        yield made
        assert made.residue() == [], "every test leaves the store as a finished command must"


@pytest.fixture
def store(backend: Backend) -> ObjectStore:
    return backend.connect()


def upload(
    store: ObjectStore,
    key: str,
    *pieces: bytes,
    size: int | None = None,
    protection: Protection = UNPROTECTED,
) -> tuple[Stored, str | None]:
    made = store.upload(key, size=size, protection=protection)
    for piece in pieces:
        made.write(piece)
    stored = made.finish()
    return stored, made.publish()


def test_a_store_says_what_it_can_do(backend: Backend) -> None:
    assert backend.connect().traits == backend.traits


# Written once


def test_what_was_put_is_there_for_every_client(backend: Backend) -> None:
    backend.connect().put_once("log/checkpoints/000000000001", b"one")
    other = backend.connect()
    assert other.get("log/checkpoints/000000000001") == b"one"
    assert other.exists("log/checkpoints/000000000001")


@pytest.mark.parametrize("data", [b"", b"x", b"manifest" * 1000])
def test_identical_bytes_succeed_again(backend: Backend, data: bytes) -> None:
    for _ in range(2):
        backend.connect().put_once(KEY, data)
    assert backend.connect().get(KEY) == data


@pytest.mark.parametrize("other", [b"", b"firsT", b"first and more", b"firs"])
def test_other_bytes_are_refused_and_the_first_stay(store: ObjectStore, other: bytes) -> None:
    store.put_once(KEY, b"first")
    with pytest.raises(ObjectConflictError) as refused:
        store.put_once(KEY, other)
    assert refused.value.key == KEY
    assert store.get(KEY) == b"first"


@pytest.mark.slow
def test_of_racing_writers_with_other_bytes_one_wins(backend: Backend) -> None:
    barrier = Barrier(WRITERS)

    def put(number: int) -> list[bytes]:
        client, data, won = backend.connect(), b"writer %d" % number, []
        for turn in range(5):
            barrier.wait()
            try:
                client.put_once(f"chains/vault/0000000{turn}.json", data)
            except ObjectConflictError:
                continue
            won.append(b"%d by %s" % (turn, data))
        return won

    with ThreadPoolExecutor(WRITERS) as pool:
        winners = sorted(each for won in pool.map(put, range(WRITERS)) for each in won)
    store = backend.connect()
    kept = [store.get(key) for key in store.keys("chains/vault/")]
    assert winners == [b"%d by %s" % (turn, data) for turn, data in enumerate(kept)]


def test_racing_writers_of_identical_bytes_all_succeed(backend: Backend) -> None:
    barrier = Barrier(WRITERS)

    def put(_number: int) -> None:
        client = backend.connect()
        barrier.wait()
        client.put_once("log/tile/0/000.p/5", b"tile")

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(put, range(WRITERS)))
    assert backend.connect().get("log/tile/0/000.p/5") == b"tile"


# The one key that changes


def test_the_latest_replaces_as_a_whole(backend: Backend) -> None:
    for data in (b"one", b"", b"a longer checkpoint" * 100, b"two"):
        backend.connect().put_latest("log/checkpoint", data)
        assert backend.connect().get("log/checkpoint") == data


def test_a_reader_sees_the_old_or_the_new_never_a_mixture(backend: Backend) -> None:
    versions = [bytes([65 + number]) * (1000 * number + 1) for number in range(8)]
    backend.connect().put_latest("log/checkpoint", versions[0])
    barrier = Barrier(2)

    def write() -> None:
        client = backend.connect()
        barrier.wait()
        for _ in range(10):
            for version in versions:
                client.put_latest("log/checkpoint", version)

    def read() -> set[bytes]:
        client = backend.connect()
        barrier.wait()
        return {client.get("log/checkpoint") for _ in range(200)}

    with ThreadPoolExecutor(2) as pool:
        writing, reading = pool.submit(write), pool.submit(read)
        writing.result()
        assert reading.result() <= set(versions)


# Uploads


def test_nothing_is_visible_before_publish(backend: Backend) -> None:
    store, other = backend.connect(), backend.connect()

    def unseen() -> None:
        assert not other.exists(KEY)
        assert list(other.keys("artifacts/")) == []
        with pytest.raises(NotFoundError):
            other.get(KEY)

    made = store.upload(KEY, size=9)
    unseen()
    made.write(b"evid")
    made.write(b"ence.")
    unseen()
    made.finish()
    unseen()
    made.publish()
    assert other.get(KEY) == b"evidence."
    assert list(other.keys("artifacts/")) == [KEY]


def _begun(_upload: Upload) -> None:
    pass


def _written(upload: Upload) -> None:
    upload.write(b"half")


def _finished(upload: Upload) -> None:
    upload.write(b"whole")
    upload.finish()


@pytest.mark.parametrize("stage", [_begun, _written, _finished])
@pytest.mark.parametrize("times", [1, 2])
def test_abort_leaves_nothing(
    backend: Backend, stage: Callable[[Upload], None], times: int
) -> None:
    made = backend.connect().upload(KEY, size=None)
    stage(made)
    for _ in range(times):
        made.abort()
    assert not backend.connect().exists(KEY)
    assert backend.residue() == []


def test_abort_after_publish_changes_nothing(store: ObjectStore) -> None:
    made = store.upload(KEY, size=3)
    made.write(b"yes")
    made.finish()
    made.publish()
    made.abort()
    assert store.get(KEY) == b"yes"


def test_an_upload_never_replaces_an_object(backend: Backend) -> None:
    store = backend.connect()
    store.put_once(KEY, b"first")
    made = store.upload(KEY, size=6)
    made.write(b"second")
    made.finish()
    with pytest.raises(ObjectConflictError):
        made.publish()
    made.abort()
    assert store.get(KEY) == b"first"


def test_many_uploads_at_once_do_not_mix(backend: Backend) -> None:
    store = backend.connect()
    made = [store.upload(f"artifacts/{number}", size=None) for number in range(WRITERS)]
    for _ in range(20):
        for number, each in enumerate(made):
            each.write(bytes([number]) * 777)
    for number, each in enumerate(made):
        expected = bytes([number]) * 777 * 20
        assert each.finish().sha256 == hashlib.sha256(expected).hexdigest()
        each.publish()
        assert store.get(f"artifacts/{number}") == expected


# Digests and parts

_EDGES = [(0, 0), (0, 1), (0, (4 << 20) - 1), (0, (4 << 20) + 1), (1, -1), (1, 0), (1, 1), (2, 7)]


def sample(size: int) -> bytes:
    return (bytes(range(256)) * (size // 256 + 1))[:size]


@pytest.mark.parametrize(("parts", "more"), _EDGES)
def test_digest_and_parts_are_those_of_the_bytes(
    backend: Backend, store: ObjectStore, parts: int, more: int
) -> None:
    data, piece = memoryview(sample(parts * backend.part_size + more)), (1 << 20) + 3
    pieces = [bytes(data[start : start + piece]) for start in range(0, len(data), piece)]
    stored, version_id = upload(store, KEY, *pieces, size=len(data))
    cut = [data[at : at + backend.part_size] for at in range(0, len(data), backend.part_size)]
    expected = tuple(hashlib.sha256(part).hexdigest() for part in cut) if len(cut) > 1 else ()
    assert stored == Stored(
        "identity", hashlib.sha256(data).hexdigest(), len(data), backend.part_size, expected
    )
    read = hashlib.sha256()
    for each in store.read(KEY, version_id=version_id):
        read.update(each)
    assert read.hexdigest() == stored.sha256


@pytest.mark.parametrize(
    ("parts", "more", "doubled"),
    [(0, 0, 1), (1, 0, 1), (MAX_PARTS, 0, 1), (MAX_PARTS, 1, 2), (4 * MAX_PARTS, 1, 8)],
)
def test_the_part_size_follows_the_hint_and_the_size_the_bytes(
    backend: Backend, store: ObjectStore, parts: int, more: int, doubled: int
) -> None:
    """A hint is no promise: a file that shrank or grew is what was read of it."""
    stored, _ = upload(store, KEY, b"only this", size=parts * backend.part_size + more)
    assert stored == Stored(
        "identity",
        hashlib.sha256(b"only this").hexdigest(),
        9,
        doubled * backend.part_size,
        (),
    )


def test_an_input_of_unknown_length_takes_parts_of_64_mib(store: ObjectStore) -> None:
    data = sample(MIN_PART_SIZE + 1)
    stored, _ = upload(store, KEY, data)
    cut = data[:MIN_PART_SIZE], data[MIN_PART_SIZE:]
    assert stored.part_size == MIN_PART_SIZE
    assert stored.parts == tuple(hashlib.sha256(part).hexdigest() for part in cut)


# Reading


@pytest.mark.parametrize(
    ("offset", "length"),
    [(0, None), (0, 0), (0, 1), (3, 5), (3, None), (99, 1), (100, 5), (95, 50), (200, 5), (9, 0)],
)
def test_a_slice_is_what_python_slices(store: ObjectStore, offset: int, length: int | None) -> None:
    data = bytes(range(100))
    store.put_once(KEY, data)
    end = None if length is None else offset + length
    assert b"".join(store.read(KEY, offset=offset, length=length)) == data[offset:end]


def test_pieces_stay_small_and_slices_cross_them(store: ObjectStore) -> None:
    data = sample(9 << 20) + b"tail"
    upload(store, KEY, data, size=len(data))
    pieces = list(store.read(KEY))
    assert b"".join(pieces) == data
    assert max(map(len, pieces)) <= 8 << 20
    for offset, length in ((1, len(data) - 2), ((4 << 20) - 1, 3), ((8 << 20) - 5, 2 << 20)):
        read = b"".join(store.read(KEY, offset=offset, length=length))
        assert read == data[offset : offset + length]


def test_an_absent_key_is_not_found(store: ObjectStore) -> None:
    store.put_once("chains/vault/00000000.json", b"{}")
    for key in ("chains/vault/00000001.json", "nowhere/at/all"):
        assert not store.exists(key)
        with pytest.raises(NotFoundError):
            store.get(key)
        for length in (1, 0):
            with pytest.raises(NotFoundError):
                list(store.read(key, offset=1, length=length))
        with pytest.raises(NotFoundError):
            store.state(key, None)
        with pytest.raises(NotFoundError):
            store.protect(key, None, Protection(SOON))
        assert list(store.versions(key)) == []


def test_a_prefix_is_no_object(store: ObjectStore) -> None:
    store.put_once("chains/vault/00000000.json", b"{}")
    assert not store.exists("chains/vault")
    assert not store.exists("chains")
    for key in ("chains", "chains/vault", "chains/vault/00000000.json/below"):
        with pytest.raises(NotFoundError):
            store.get(key)


def test_keys_come_in_bytewise_order_and_only_below_the_prefix(store: ObjectStore) -> None:
    """`-` and `.` sort before `/`: a walk folder by folder would give another order."""
    keys = [
        "chains/incident/INC-2026-0001/00000000.json",
        "chains/incident/INC-2026-0001/00000001.json",
        "chains/incident/INC-2026-00010/00000000.json",
        "chains/stream/a-b/00000000.json",
        "chains/stream/a/00000000.json",
        "chains/stream/a0/00000000.json",
        "chains/vault/00000000.json",
        "log/checkpoint",
        "log/checkpoints/000000000001",
        "log/tile/0/000",
        "log/tile/0/000.p/5",
        "log/tile/0/x001/000",
    ]
    for key in reversed(keys):
        store.put_once(key, key.encode())
    for prefix in ("chains/", "chains/stream/", "chains/stream/a/", "log/", "log/checkpoints/"):
        expected = sorted((key for key in keys if key.startswith(prefix)), key=str.encode)
        assert list(store.keys(prefix)) == expected
    assert list(store.keys("stamps/")) == []


def test_all_keys_are_below_the_empty_prefix(store: ObjectStore) -> None:
    """And nothing else is: what a store keeps for itself has no key."""
    upload(store, KEY, b"evidence", protection=Protection(SOON))
    store.put_once("log/checkpoints/000000000001", b"one")
    store.put_latest("log/checkpoint", b"note")
    expected = [KEY, "log/checkpoint", "log/checkpoints/000000000001"]
    assert list(store.keys("")) == expected
    assert [each.key for each in store.versions("")] == expected


# What the store says of an object


def test_the_state_of_an_object_is_its_version_and_size(store: ObjectStore) -> None:
    _, version_id = upload(store, KEY, b"evidence", size=8)
    for asked in (version_id, None):
        state = store.state(KEY, asked)
        assert (state.version_id, state.size, state.covered_by) == (version_id, 8, None)
        assert state.protection == UNPROTECTED
    assert list(store.versions(KEY)) == [Version(KEY, version_id, False, True, 8)]
    assert list(store.versions("artifacts/")) == [Version(KEY, version_id, False, True, 8)]


@checksummed
@pytest.mark.parametrize("data", [b"", b"evidence"])
def test_what_is_put_whole_has_the_digest_of_the_whole(store: ObjectStore, data: bytes) -> None:
    digest = hashlib.sha256(data).hexdigest()
    _, version_id = upload(store, KEY, data, size=len(data))
    store.put_once("chains/vault/00000000.json", data)
    for state in (store.state(KEY, version_id), store.state("chains/vault/00000000.json", None)):
        assert (state.sha256, state.composite) == (digest, None)


@checksummed
def test_what_is_put_in_parts_has_the_digest_over_their_digests(
    backend: Backend, store: ObjectStore
) -> None:
    data = sample(2 * backend.part_size + 1)
    stored, version_id = upload(store, KEY, data, size=len(data))
    digests = b"".join(bytes.fromhex(each) for each in stored.parts)
    state = store.state(KEY, version_id)
    assert state.sha256 is None
    assert state.composite == (hashlib.sha256(digests).hexdigest(), 3)
    assert state.size == len(data)


# Protection

_PROTECTIONS = [
    Protection(SOON),
    Protection(SOON, LockMode.COMPLIANCE),
    Protection(SOON, held=True),
    Protection(held=True),
    Protection(LATER, LockMode.COMPLIANCE, held=True),
]


@protecting
@pytest.mark.parametrize("protection", _PROTECTIONS)
@pytest.mark.parametrize("parts", [0, 1])
def test_an_object_is_protected_from_its_first_moment(
    backend: Backend, store: ObjectStore, protection: Protection, parts: int
) -> None:
    data = sample(parts * backend.part_size + 1)
    _, version_id = upload(store, KEY, data, size=len(data), protection=protection)
    assert backend.connect().state(KEY, version_id).protection == protection


@protecting
def test_protection_is_only_ever_extended(store: ObjectStore) -> None:
    _, version_id = upload(store, KEY, b"evidence", protection=Protection(SOON))

    def protect(until: datetime | None, mode: LockMode = LockMode.GOVERNANCE) -> Protection:
        store.protect(KEY, version_id, Protection(until, mode))
        return store.state(KEY, version_id).protection

    for until in (None, SOON - timedelta(hours=1), SOON):
        assert protect(until) == Protection(SOON)
    assert protect(LATER) == Protection(LATER)
    assert protect(SOON) == Protection(LATER)
    # Firmer, and yet not shorter; and then never softer again.
    assert protect(SOON, LockMode.COMPLIANCE) == Protection(LATER, LockMode.COMPLIANCE)
    assert protect(None) == Protection(LATER, LockMode.COMPLIANCE)
    longer = LATER + timedelta(days=1)
    assert protect(longer) == Protection(longer, LockMode.COMPLIANCE)


@protecting
def test_what_was_not_protected_can_be_later(store: ObjectStore) -> None:
    _, version_id = upload(store, KEY, b"evidence")
    store.protect(KEY, version_id, Protection(SOON, held=True))
    assert store.state(KEY, version_id).protection == Protection(SOON, held=True)


@protecting
def test_a_hold_goes_on_and_off_and_retention_stays(store: ObjectStore) -> None:
    _, version_id = upload(store, KEY, b"evidence", protection=Protection(SOON))
    for held in (True, True, False, False, True):
        for _ in range(2):
            store.protect(KEY, version_id, Protection(held=held))
            assert store.state(KEY, version_id).protection == Protection(SOON, held=held)


@protecting
def test_a_moment_between_two_seconds_is_protected_too(store: ObjectStore) -> None:
    """A store that keeps whole seconds must not cut off what was promised."""
    until = SOON + timedelta(microseconds=1)
    _, version_id = upload(store, KEY, b"evidence", protection=Protection(until))
    kept = store.state(KEY, version_id).protection.retain_until
    assert kept is not None
    assert until <= kept <= SOON + timedelta(seconds=1)
    later = LATER + timedelta(microseconds=999_999)
    store.protect(KEY, version_id, Protection(later))
    kept = store.state(KEY, version_id).protection.retain_until
    assert kept is not None
    assert later <= kept <= LATER + timedelta(seconds=1)


@protecting
def test_a_moment_that_is_over_is_no_obstacle(store: ObjectStore) -> None:
    _, version_id = upload(store, KEY, b"evidence")
    store.protect(KEY, version_id, Protection(NOW - timedelta(days=1), held=True))
    assert store.state(KEY, version_id).protection.held


@protecting
def test_of_racing_extensions_the_longest_wins(backend: Backend) -> None:
    _, version_id = upload(backend.connect(), KEY, b"evidence", protection=Protection(SOON))
    barrier = Barrier(WRITERS)

    def protect(number: int) -> None:
        client = backend.connect()
        barrier.wait()
        for turn in range(5):
            until = SOON + timedelta(minutes=(number * 7 + turn * 5) % 31)
            client.protect(KEY, version_id, Protection(until))

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(protect, range(WRITERS)))
    longest = max((number * 7 + turn * 5) % 31 for number in range(WRITERS) for turn in range(5))
    kept = backend.connect().state(KEY, version_id).protection
    assert kept == Protection(SOON + timedelta(minutes=longest))


@protecting
def test_a_refused_upload_changes_no_protection(store: ObjectStore) -> None:
    _, version_id = upload(store, KEY, b"first", protection=Protection(SOON, held=True))
    made = store.upload(KEY, size=6, protection=Protection(held=False))
    made.write(b"second")
    made.finish()
    with pytest.raises(ObjectConflictError):
        made.publish()
    made.abort()
    assert store.state(KEY, version_id).protection == Protection(SOON, held=True)


@locking
@pytest.mark.parametrize("protection", _PROTECTIONS)
def test_what_is_protected_cannot_be_removed(
    backend: Backend, store: ObjectStore, protection: Protection
) -> None:
    _, version_id = upload(store, KEY, b"evidence", protection=protection)
    assert version_id
    insider = backend.insider
    yields = protection == Protection(SOON)  # governance mode, to a special permission
    assert not insider.remove(KEY, version_id)
    insider.mark(KEY)
    assert not insider.remove(KEY, version_id)
    assert insider.remove(KEY, version_id, bypass=True) == yields
    assert store.exists(KEY) == (not yields)


@locking
def test_a_released_hold_frees_what_nothing_else_protects(
    backend: Backend, store: ObjectStore
) -> None:
    _, version_id = upload(store, KEY, b"evidence", protection=Protection(held=True))
    assert version_id
    assert not backend.insider.remove(KEY, version_id, bypass=True)
    store.protect(KEY, version_id, Protection(held=False))
    assert backend.insider.remove(KEY, version_id)
    assert not store.exists(KEY)


@locking
def test_chains_and_log_are_locked_by_their_own_put_and_what_changes_is_not(
    store: ObjectStore,
) -> None:
    locked = ["chains/vault/00000000.json", "log/checkpoints/000000000001", "log/tile/0/000"]
    unlocked = ["log/tile/0/000.p/5", "log/tile/entries/000.p/5"]
    for key in (*locked, *unlocked):
        store.put_once(key, b"once")
    store.put_latest("log/checkpoint", b"note")
    for key in locked:
        protection = store.state(key, None).protection
        assert protection.retain_until is not None
        assert protection.retain_until > NOW
    for key in (*unlocked, "log/checkpoint"):
        assert store.state(key, None).protection == UNPROTECTED


# Versions: an insider lays things over what is written once


@versioned
def test_each_version_is_read_by_its_id(backend: Backend, store: ObjectStore) -> None:
    _, first = upload(store, KEY, b"first", size=5)
    second = backend.insider.lay(KEY, b"second!")
    assert first
    assert first != second
    for version_id, data in ((first, b"first"), (second, b"second!")):
        assert store.get(KEY, version_id=version_id) == data
        assert b"".join(store.read(KEY, version_id=version_id, offset=2, length=2)) == data[2:4]
        assert store.state(KEY, version_id).size == len(data)
    assert store.get(KEY) == b"second!"
    with pytest.raises(NotFoundError):
        store.get(KEY, version_id=first[:-1] + ("0" if first[-1] != "0" else "1"))


@versioned
def test_what_lies_over_a_version_is_told_and_hides_nothing(
    backend: Backend, store: ObjectStore
) -> None:
    data = sample(backend.part_size + 1)
    _, first = upload(store, KEY, data, size=len(data))
    assert store.state(KEY, first).covered_by is None
    second = backend.insider.lay(KEY, b"other")
    assert store.state(KEY, first).covered_by == second
    assert store.state(KEY, second).covered_by is None
    backend.insider.mark(KEY)
    for version_id in (first, second):
        assert store.state(KEY, version_id).covered_by == "a delete marker"
    assert store.get(KEY, version_id=first) == data
    assert store.state(KEY, first).size == len(data)
    assert store.exists(KEY)
    assert list(store.keys("artifacts/")) == [KEY]


@versioned
def test_versions_are_listed_the_oldest_first_and_markers_are_among_them(
    backend: Backend, store: ObjectStore
) -> None:
    _, first = upload(store, KEY, b"1")
    laid = [first, *(backend.insider.lay(KEY, b"x" * size) for size in range(2, 14))]
    store.put_once("artifacts/another", b"alone")
    backend.insider.mark(KEY)
    found = [each for each in store.versions("artifacts/") if each.key == KEY]
    versions = [each for each in found if not each.marker]
    assert [(each.version_id, each.size) for each in versions] == [
        (version_id, size) for size, version_id in enumerate(laid, 1)
    ]
    assert [(each.marker, each.newest) for each in found if each.newest] == [(True, True)]
    assert sum(each.marker for each in found) == 1
    assert list(store.versions(KEY)) == found
    keys = [each.key for each in store.versions("artifacts/")]
    assert keys == sorted(keys, key=str.encode)
    assert store.get(KEY) == b"x" * 13, "under a marker, the newest of the versions"
    assert store.state(KEY, None).version_id == laid[-1]


@versioned
def test_a_marker_hides_nothing(backend: Backend, store: ObjectStore) -> None:
    _, version_id = upload(store, KEY, b"evidence")
    for _ in range(3):
        backend.insider.mark(KEY)
    assert store.exists(KEY)
    assert store.get(KEY) == b"evidence"
    assert b"".join(store.read(KEY, offset=4)) == b"ence"
    assert list(store.keys("")) == [KEY]
    assert store.state(KEY, None).version_id == version_id
    assert store.state(KEY, None).covered_by == "a delete marker"


@locking
@pytest.mark.parametrize("version", ["named", "the newest"])
def test_what_lies_under_a_marker_can_be_protected(
    backend: Backend, store: ObjectStore, version: str
) -> None:
    _, version_id = upload(store, KEY, b"evidence")
    assert version_id
    backend.insider.mark(KEY)
    store.protect(KEY, version_id if version == "named" else None, Protection(SOON, held=True))
    assert store.state(KEY, version_id).protection == Protection(SOON, held=True)
    assert not backend.insider.remove(KEY, version_id)


@locking
def test_the_version_named_is_protected_and_no_other(backend: Backend, store: ObjectStore) -> None:
    _, first = upload(store, KEY, b"evidence")
    second = backend.insider.lay(KEY, b"other")
    store.protect(KEY, first, Protection(SOON))
    assert store.state(KEY, first).protection == Protection(SOON)
    assert store.state(KEY, second).protection == UNPROTECTED


@versioned
def test_a_marker_alone_is_no_object(backend: Backend, store: ObjectStore) -> None:
    only = backend.insider.lay(KEY, b"destroyed")
    backend.insider.mark(KEY)
    assert backend.insider.remove(KEY, only)
    assert not store.exists(KEY)
    assert list(store.keys("artifacts/")) == []
    assert [each.marker for each in store.versions(KEY)] == [True]
    for look in (store.get, lambda key: store.state(key, None)):
        with pytest.raises(NotFoundError):
            look(KEY)
    store.put_once(KEY, b"first")
    assert store.get(KEY) == b"first"


@versioned
def test_what_was_destroyed_is_gone_and_not_its_neighbours(
    backend: Backend, store: ObjectStore
) -> None:
    _, first = upload(store, KEY, b"first")
    second = backend.insider.lay(KEY, b"second")
    assert first
    assert backend.insider.remove(KEY, first)
    for look in (
        lambda: store.state(KEY, first),
        lambda: store.get(KEY, version_id=first),
        lambda: list(store.read(KEY, version_id=first, length=0)),
        lambda: store.protect(KEY, first, UNPROTECTED),
    ):
        with pytest.raises(NotFoundError):
            look()
    assert store.get(KEY, version_id=second) == b"second"


@versioned
@pytest.mark.parametrize("above", ["a marker", "a version", "a version and a marker"])
def test_written_once_means_the_first_version_whatever_lies_over_it(
    backend: Backend, store: ObjectStore, above: str
) -> None:
    """A marker reopens the key for a conditional write: other bytes must not win by it."""
    key = "log/checkpoints/000000000001"
    store.put_once(key, b"first")
    first = store.state(key, None).version_id
    if "version" in above:
        backend.insider.lay(key, b"laid over")
    if "marker" in above:
        backend.insider.mark(key)
    for _ in range(2):  # nor may a second attempt find the first one's bytes
        for other in (b"second", b"laid over"):
            with pytest.raises(ObjectConflictError):
                store.put_once(key, other)
    for _ in range(2):
        store.put_once(key, b"first")
    assert store.get(key, version_id=first) == b"first"


@versioned
def test_longer_keys_are_other_keys(backend: Backend, store: ObjectStore) -> None:
    """`000` and `000.p/5` share a prefix, which is all that a list can be asked for."""
    longer = [f"log/tile/0/000.p/{width}" for width in range(1, 15)]
    for key in longer:
        store.put_once(key, key.encode())
    assert not store.exists("log/tile/0/000")
    with pytest.raises(NotFoundError):
        store.get("log/tile/0/000")
    backend.insider.mark("log/tile/0/000")
    with pytest.raises(NotFoundError):
        store.get("log/tile/0/000")
    store.put_once("log/tile/0/000", b"full")
    assert store.exists("log/tile/0/000")
    assert store.get("log/tile/0/000") == b"full"
    with pytest.raises(ObjectConflictError):
        store.put_once("log/tile/0/000", b"other")
    assert sorted(longer) == sorted(set(store.keys("log/")) - {"log/tile/0/000"})
