"""What only S3 can get wrong: parts, lost answers, broken connections, memory, locks, errors."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import count, repeat
from pathlib import Path
from threading import Barrier
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from botocore.exceptions import ClientError
from moto import mock_aws
from servers.faulty import Network, network
from servers.s3 import S3Bucket, send_bytes

from vault.adapters.s3 import MIN_PART_SIZE, S3Place, S3Store, S3Upload, connect
from vault.errors import NotFoundError, ObjectConflictError, UnavailableError
from vault.ports import UNPROTECTED, LockMode, Protection, Version
from verify.statement import MAX_PARTS

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ROOT = Path(__file__).parents[2]
KEY = "artifacts/01ARZ3NDEKTSV4RRFFQ69G5FAV"
SOON = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
PART = MIN_PART_SIZE
WRITERS = 32
_NUMBERS = count(1)


class Connect(Protocol):
    def __call__(self, net: Network | None = None, **more: Any) -> S3Store:
        """A store below this test's prefix, asked through a network if one is given."""


@pytest.fixture
def place(s3_bucket: S3Bucket) -> S3Place:
    endpoint = s3_bucket.server.endpoint
    return S3Place(s3_bucket.name, f"s3-{next(_NUMBERS)}", endpoint, part_size=PART)


@pytest.fixture
def open_store(place: S3Place) -> Iterator[Connect]:
    with ExitStack() as opened:

        def made(net: Network | None = None, **more: Any) -> S3Store:
            where = replace(place, endpoint_url=net.endpoint) if net else place
            store = store_at(replace(where, **more.pop("place", {})), **more)
            opened.callback(store.close)
            return store

        yield made


def store_at(place: S3Place, *, timeout: float = 60, attempts: int = 3, **more: Any) -> S3Store:
    made: dict[str, Any] = {
        "clock": lambda: datetime.now(UTC),
        "locks": True,
        "versions": True,
        "mode": LockMode.GOVERNANCE,
        "record_days": 1,
    }
    client = client_at(place.endpoint_url, timeout, attempts)
    return S3Store(place, client, **{**made, **more})


@cache
def client_at(endpoint: str, timeout: float, attempts: int) -> S3Client:
    """Made once: it takes a third of a second."""
    return connect(S3Place("any", endpoint_url=endpoint), timeout=timeout, attempts=attempts)


@pytest.fixture
def store(open_store: Connect) -> Iterator[S3Store]:
    made = open_store()
    yield made
    assert made.unfinished() == []


@pytest.fixture(scope="module")
def proxy(s3_bucket: S3Bucket) -> Iterator[Network]:
    with network(s3_bucket.server.endpoint) as made:
        yield made


@pytest.fixture
def net(proxy: Network) -> Network:
    """A network without faults, so far."""
    for noted in (proxy.calls, proxy.headers, proxy.faults):
        noted.clear()
    return proxy


def sample(size: int) -> bytes:
    return (bytes(range(255)) * (size // 255 + 1))[:size]


def fill(
    store: S3Store, data: bytes, size: int | None, protection: Protection = UNPROTECTED
) -> S3Upload:
    made = store.upload(KEY, size=size, protection=protection)
    for at in range(0, len(data), 1 << 20):
        made.write(data[at : at + (1 << 20)])
    return made


def cut(data: bytes, size: int = PART) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def checksum(data: bytes) -> str:
    return b64encode(hashlib.sha256(data).digest()).decode()


# Digests on their way


def test_each_part_carries_its_own_digest_under_the_signature(
    net: Network, open_store: Connect
) -> None:
    data = sample(2 * PART + 1)
    made = fill(open_store(net), data, len(data))
    stored = made.finish()
    version_id = made.publish()
    sent = [headers for operation, headers in net.headers if operation == "UploadPart"]
    assert sorted(each["x-amz-checksum-sha256"] for each in sent) == sorted(
        map(checksum, cut(data))
    )
    assert all("x-amz-checksum-sha256" in each["authorization"] for each in sent)
    assert stored.parts == tuple(hashlib.sha256(part).hexdigest() for part in cut(data))
    digests = b"".join(hashlib.sha256(part).digest() for part in cut(data))
    composite = hashlib.sha256(digests).hexdigest(), 3
    assert open_store().state(KEY, version_id).composite == composite


def test_what_is_put_whole_carries_the_digest_of_the_whole(
    net: Network, open_store: Connect
) -> None:
    store = open_store(net)
    store.put_once("chains/vault/00000000.json", b"{}")
    store.put_latest("log/checkpoint", b"note")
    made = fill(store, b"evidence", 8)
    made.finish()
    made.publish()
    sent = [headers for operation, headers in net.headers if operation == "PutObject"]
    assert [each["x-amz-checksum-sha256"] for each in sent] == [
        checksum(data) for data in (b"{}", b"note", b"evidence")
    ]
    assert all("x-amz-checksum-sha256" in each["authorization"] for each in sent)
    assert [each.get("if-none-match") for each in sent] == ["*", None, "*"]
    assert not any("expect" in each for each in sent), "which would cost a turn for every put"


def test_a_part_that_arrives_garbled_is_refused_and_the_upload_given_up(
    net: Network, open_store: Connect
) -> None:
    data = sample(3 * PART)
    net.fail("UploadPart", garble=True)
    with pytest.raises(UnavailableError, match="what arrived is not what was sent"):
        capture(open_store(net), data)
    assert open_store().unfinished() == []
    assert not open_store().exists(KEY)


def test_an_object_that_arrives_garbled_is_refused(net: Network, open_store: Connect) -> None:
    store = open_store(net)
    net.fail("PutObject", garble=True, times=3)
    for put in (
        lambda: store.put_once("chains/vault/00000000.json", b"{}"),
        lambda: store.put_latest("log/checkpoint", b"note"),
        lambda: capture(store, b"evidence"),
    ):
        with pytest.raises(UnavailableError, match="what arrived is not what was sent"):
            put()
    assert list(store.keys("")) == []


def capture(store: S3Store, data: bytes, protection: Protection = UNPROTECTED) -> str | None:
    """What a capture does: all or nothing."""
    made = store.upload(KEY, size=len(data), protection=protection)
    try:
        for at in range(0, len(data), 1 << 20):
            made.write(data[at : at + (1 << 20)])
        made.finish()
        return made.publish()
    except BaseException:
        made.abort()
        raise


# Parts


def test_parts_are_doubled_until_ten_thousand_suffice(net: Network, open_store: Connect) -> None:
    data = sample(4 * PART + 1)
    made = fill(open_store(net), data, PART * MAX_PARTS + 1)
    stored = made.finish()
    made.publish()
    assert stored.part_size == 2 * PART
    assert stored.parts == tuple(hashlib.sha256(part).hexdigest() for part in cut(data, 2 * PART))
    assert net.calls.count("UploadPart") == 3
    assert open_store().get(KEY) == data


def test_more_than_ten_thousand_parts_are_refused_before_they_are_sent(
    net: Network, open_store: Connect
) -> None:
    """A file that grew while it was read: the server would refuse it only after hours."""
    made = open_store(net, place={"part_size": 1000}).upload(KEY, size=7)
    with pytest.raises(UnavailableError, match="give its size beforehand"):
        made.write(bytes(1000 * MAX_PARTS + 1))
    made.abort()
    assert net.calls == []


def test_what_fits_one_part_and_has_no_room_to_wait_is_an_upload_of_one_part(
    store: S3Store,
) -> None:
    """Without that, a folder of small files would be held in memory until its commit."""
    made = []
    for number in range(9):  # 36 MiB
        upload = store.upload(f"artifacts/{number}", size=4 << 20)
        upload.write(bytes([number]) * (4 << 20))
        made.append((upload, upload.finish()))
    assert store.memory.held <= 32 << 20
    versions = [upload.publish() for upload, _ in made]
    digest = hashlib.sha256(bytes([8]) * (4 << 20)).digest()
    assert made[8][1].sha256 == digest.hex()
    assert made[8][1].parts == ()
    assert store.state("artifacts/7", versions[7]).composite is None
    assert store.state("artifacts/8", versions[8]).composite == (
        hashlib.sha256(digest).hexdigest(),
        1,
    )
    assert store.memory.held == 0


# Many at once


@pytest.mark.slow
def test_of_many_uploads_to_one_key_one_wins(store: S3Store) -> None:
    barrier = Barrier(WRITERS)

    def put(number: int) -> bytes | None:
        data = b"writer %d" % number
        made = fill(store, data, len(data))
        made.finish()
        barrier.wait()
        try:
            made.publish()
        except ObjectConflictError:
            made.abort()
            return None
        return data

    with ThreadPoolExecutor(WRITERS) as pool:
        won = [each for each in pool.map(put, range(WRITERS)) if each]
    assert won == [store.get(KEY)]
    assert len(list(store.versions(KEY))) == 1


def test_an_upload_in_parts_never_replaces_an_object(store: S3Store) -> None:
    first = capture(store, sample(PART + 1))
    with pytest.raises(ObjectConflictError):
        capture(store, b"x" * (PART + 1))
    assert [each.version_id for each in store.versions("")] == [first]


def test_of_many_writers_of_one_key_one_wins(store: S3Store) -> None:
    barrier = Barrier(WRITERS)

    def put(number: int) -> bytes | None:
        data = b"writer %d" % number
        barrier.wait()
        try:
            store.put_once("log/checkpoints/000000000001", data)
        except ObjectConflictError:
            return None
        return data

    with ThreadPoolExecutor(WRITERS) as pool:
        won = [each for each in pool.map(put, range(WRITERS)) if each]
    assert won == [store.get("log/checkpoints/000000000001")]
    assert len(list(store.versions("log/"))) == 1


@pytest.mark.parametrize("concurrency", [1, 2])
def test_uploads_never_wait_for_one_another_for_ever(open_store: Connect, concurrency: int) -> None:
    """With one thread and hardly any memory they take turns, in whatever order they are fed."""
    store = open_store(memory=1, place={"concurrency": concurrency})
    size, piece = 2 * PART + 1, sample(1 << 20)

    def put(number: int) -> None:
        made = [store.upload(f"artifacts/{number}-{each}", size=size) for each in range(2)]
        for _ in range(size >> 20):
            for each in made:
                each.write(piece)
        for each in reversed(made):
            each.write(b"x")
            assert each.finish().sha256 == hashlib.sha256(piece * 10 + b"x").hexdigest()
        for each in made:
            each.publish()

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(put, range(3)))
    assert len(list(store.keys("artifacts/"))) == 6
    assert store.unfinished() == []


# Lists


@pytest.mark.slow
def test_a_list_goes_on_after_a_thousand(
    s3_bucket: S3Bucket, place: S3Place, store: S3Store
) -> None:
    keys = [f"artifacts/{number:04d}" for number in range(1005)]
    client = s3_bucket.client
    where: dict[str, Any] = {"Bucket": place.bucket}
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: client.put_object(**where, Key=f"{place.prefix}/{key}"), keys))
    for number in (0, 999, 1000):
        client.delete_object(**where, Key=f"{place.prefix}/{keys[number]}")
    assert list(store.keys("artifacts/")) == keys
    found = list(store.versions("artifacts/"))
    assert len(found) == len(keys) + 3
    assert [each.key for each in found] == sorted(each.key for each in found)


@pytest.mark.slow
def test_a_key_with_many_versions_and_markers_is_found(
    s3_bucket: S3Bucket, place: S3Place, store: S3Store
) -> None:
    """More markers than are listed at a time lie over the only version."""
    store.put_once("log/tile/0/000", b"full")
    for number in range(12):
        store.put_once(f"log/tile/0/000.p/{number}", b"partial")
        s3_bucket.client.delete_object(Bucket=place.bucket, Key=f"{place.prefix}/log/tile/0/000")
    assert store.exists("log/tile/0/000")
    assert store.get("log/tile/0/000") == b"full"


# Giving up


def _begun(_made: S3Upload) -> None:
    pass


def _one_part_full(made: S3Upload) -> None:
    made.write(sample(PART))


def _a_part_sent(made: S3Upload) -> None:
    made.write(sample(PART + 1))


def _many_parts_on_their_way(made: S3Upload) -> None:
    made.write(sample(7 * PART + 1))


def _finished(made: S3Upload) -> None:
    made.write(sample(2 * PART + 1))
    made.finish()


@pytest.mark.parametrize(
    "stage", [_begun, _one_part_full, _a_part_sent, _many_parts_on_their_way, _finished]
)
def test_whatever_is_given_up_leaves_nothing(
    store: S3Store, stage: Callable[[S3Upload], None]
) -> None:
    made = store.upload(KEY, size=20 * PART)
    stage(made)
    made.abort()
    made.abort()
    assert store.unfinished() == []
    assert list(store.versions("")) == []
    assert store.memory.held == 0


@pytest.mark.slow
def test_a_writer_that_is_killed_leaves_an_unfinished_upload_and_no_object(
    place: S3Place, store: S3Store
) -> None:
    program = f"""
import sys
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "tests")!r}]
from contracts.test_s3_store import KEY, S3Place, sample, store_at
store = store_at({place!r})
made = store.upload(KEY, size=None)
made.write(sample((64 << 20) + 1))
made._tags[0].result()
print("sent", flush=True)
sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout
        assert writer.stdout.readline() == "sent\n"
        writer.send_signal(signal.SIGKILL)
        writer.wait()
    ((key, upload, started),) = store.unfinished()
    assert key == KEY
    assert abs(started - datetime.now(UTC)) < timedelta(minutes=2)
    assert not store.exists(KEY)
    assert list(store.versions("")) == []
    store.abort_parts(KEY, [upload])


# Lost answers: the call was carried out, or not, and nobody knows

LOST: dict[str, dict[str, Any]] = {
    "broken, carried out": {"performed": True},
    "broken, not carried out": {"performed": False},
    "broken again and again": {"performed": True, "times": 2},
    "500, carried out": {"performed": True, "status": 500},
    "503, not carried out": {"performed": False, "status": 503},
    "503 again and again": {"performed": False, "status": 503, "times": 2},
}
CONDITIONAL: dict[str, dict[str, Any]] = {
    "409, not carried out": {"performed": False, "status": 409},
    "409, carried out": {"performed": True, "status": 409},
    "412, carried out": {"performed": True, "status": 412},
    "412, not carried out": {"performed": False, "status": 412},
    "409 twice": {"performed": False, "status": 409, "times": 2},
}


def lost(**faults: dict[str, Any]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("fault", faults.values(), ids=faults)


@pytest.mark.slow
@lost(**LOST, **CONDITIONAL)
def test_a_put_whose_answer_is_lost_is_there_once(
    net: Network, open_store: Connect, fault: dict[str, Any]
) -> None:
    store = open_store(net)
    net.fail("PutObject", **fault)
    store.put_once("log/checkpoints/000000000001", b"one")
    (version,) = store.versions("log/")
    assert store.get(version.key, version_id=version.version_id) == b"one"
    with pytest.raises(ObjectConflictError):
        store.put_once("log/checkpoints/000000000001", b"other")


@lost(**LOST, **CONDITIONAL)
def test_a_small_upload_whose_answer_is_lost_is_there_once(
    net: Network, open_store: Connect, fault: dict[str, Any]
) -> None:
    store = open_store(net)
    net.fail("PutObject", **fault)
    version_id = capture(store, b"evidence", Protection(SOON, held=True))
    assert list(store.versions("")) == [Version(KEY, version_id, False, True, 8)]
    assert store.state(KEY, version_id).protection == Protection(SOON, held=True)


@pytest.mark.slow
@lost(**LOST, **CONDITIONAL)
def test_parts_that_are_completed_and_whose_answer_is_lost_are_there_once(
    net: Network, open_store: Connect, fault: dict[str, Any]
) -> None:
    store, data = open_store(net), sample(PART + 1)
    net.fail("CompleteMultipartUpload", **fault)
    version_id = capture(store, data, Protection(SOON))
    assert list(store.versions("")) == [Version(KEY, version_id, False, True, len(data))]
    assert store.get(KEY, version_id=version_id) == data
    assert store.state(KEY, version_id).protection == Protection(SOON)
    assert store.unfinished() == []


@pytest.mark.parametrize("operation", ["UploadPart", "CreateMultipartUpload"])
@lost(**LOST)
def test_an_upload_goes_on_after_a_lost_answer_and_leaves_nothing_else(
    net: Network, open_store: Connect, fault: dict[str, Any], operation: str
) -> None:
    store, data = open_store(net), sample(2 * PART + 1)
    net.fail(operation, **fault)
    version_id = capture(store, data)
    assert store.get(KEY, version_id=version_id) == data
    assert store.unfinished() == []


@pytest.mark.slow
@pytest.mark.parametrize("operation", ["PutObjectRetention", "PutObjectLegalHold"])
@lost(**LOST)
def test_protection_goes_on_after_a_lost_answer(
    net: Network, open_store: Connect, fault: dict[str, Any], operation: str
) -> None:
    store = open_store(net)
    version_id = capture(store, b"evidence")
    net.fail(operation, **fault)
    store.protect(KEY, version_id, Protection(SOON, held=True))
    assert store.state(KEY, version_id).protection == Protection(SOON, held=True)


@pytest.mark.slow
def test_a_completion_that_times_out_is_looked_up(net: Network, open_store: Connect) -> None:
    store = open_store(net, timeout=1)
    data = sample(PART + 1)
    net.fail("CompleteMultipartUpload", hang=True, times=3)
    version_id = capture(store, data)
    assert list(store.versions("")) == [Version(KEY, version_id, False, True, len(data))]


@pytest.mark.slow
@pytest.mark.parametrize(
    "operation", ["CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload", "PutObject"]
)
@pytest.mark.parametrize("status", [503, None])
@pytest.mark.parametrize("performed", [False, True])
def test_a_server_that_stays_down_is_said_and_nothing_is_left(
    net: Network, open_store: Connect, operation: str, status: int | None, performed: bool
) -> None:
    store = open_store(net)
    data = b"evidence" if operation == "PutObject" else sample(3 * PART)
    # It was carried out, and can be looked up: that is no failure.
    found = performed and operation == "CompleteMultipartUpload"
    net.fail(operation, performed=performed, status=status, times=100)
    if found:
        capture(store, data)
    else:
        with pytest.raises(UnavailableError) as refused:
            capture(store, data)
        assert ("slow down" if status else "run the command again") in str(refused.value)
    net.faults.clear()
    assert store.unfinished() == []
    # A put that was carried out, though nobody knows, is an orphan, which `sweep` lists.
    assert store.exists(KEY) == (found or (performed and operation == "PutObject"))
    assert store.memory.held == 0


@pytest.mark.slow
def test_a_writer_stops_at_the_first_part_that_fails(net: Network, open_store: Connect) -> None:
    store = open_store(net)
    net.fail("UploadPart", performed=False, status=412, times=100)
    made = store.upload(KEY, size=1 << 40)
    data = sample(1 << 20)
    with pytest.raises(UnavailableError):
        list(map(made.write, repeat(data, 1000)))
    made.abort()
    assert net.calls.count("UploadPart") < 100
    assert store.unfinished() == []


# Reading


@pytest.mark.parametrize("ranged", [(0, None), (5, None), (7, 3 << 20)])
def test_a_read_goes_on_where_the_connection_broke(
    net: Network, open_store: Connect, ranged: tuple[int, int | None]
) -> None:
    data = sample(4 << 20)
    store = open_store(net)
    capture(store, data)
    offset, length = ranged
    net.fail("GetObject", cut=(1 << 20) + 17, times=2)
    net.fail("GetObject", performed=False)
    end = None if length is None else offset + length
    assert b"".join(store.read(KEY, offset=offset, length=length)) == data[offset:end]
    net.fail("GetObject", cut=100)
    assert store.get(KEY) == data


def test_a_read_that_goes_on_reads_the_same_version(
    net: Network, s3_bucket: S3Bucket, place: S3Place, open_store: Connect
) -> None:
    data = sample(3 << 20)
    store = open_store(net)
    capture(store, data)
    net.fail("GetObject", cut=(1 << 20) + 17)
    pieces = store.read(KEY)
    read = next(pieces)
    s3_bucket.client.put_object(
        Bucket=place.bucket, Key=f"{place.prefix}/{KEY}", Body=b"x" * len(data)
    )
    assert read + b"".join(pieces) == data


@pytest.mark.slow
def test_a_read_that_makes_no_way_is_given_up(net: Network, open_store: Connect) -> None:
    store = open_store(net)
    capture(store, sample(3 << 20))
    net.fail("GetObject", cut=0, times=100)
    with pytest.raises(UnavailableError, match="run the command again"):
        store.get(KEY)
    net.faults.clear()
    net.fail("GetObject", cut=300_000, times=100)  # each time further: that is slow, and enough
    assert store.get(KEY) == sample(3 << 20)


# Memory


@pytest.mark.slow
@pytest.mark.parametrize("known", [True, False])
def test_memory_stays_flat_whatever_the_size(place: S3Place, known: bool) -> None:
    size = 320 << 20
    program = f"""
import sys
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "tests")!r}]
from contracts.test_s3_store import KEY, Path, S3Place, replace, store_at
store = store_at(replace({place!r}, part_size=16 << 20))
made = store.upload(KEY, size={size if known else None})
for number in range({size >> 20}):
    made.write(bytes([number % 256]) * (1 << 20))
made.finish()
made.publish()
store.close()
print(Path("/proc/self/status").read_text())
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    peak = int(done.stdout.partition("VmHWM:")[2].split()[0]) * 1024
    assert peak < 300_000_000


# Locks, against those who may do more than the vault


@contextmanager
def refused() -> Iterator[None]:
    with pytest.raises(ClientError) as found:
        yield
    assert found.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


@pytest.mark.slow
@pytest.mark.parametrize("parts", [0, 1])
def test_compliance_yields_to_nobody_and_governance_to_a_bypass(
    s3_bucket: S3Bucket, place: S3Place, store: S3Store, parts: int
) -> None:
    data = sample(parts * PART + 1)
    version_id = capture(store, data, Protection(SOON))
    where: Any = {"Bucket": place.bucket, "Key": f"{place.prefix}/{KEY}", "VersionId": version_id}
    client, shorter = s3_bucket.client, SOON - timedelta(hours=1)

    def shorten(mode: Any, *, bypass: bool) -> None:
        client.put_object_retention(
            **where,
            Retention={"Mode": mode, "RetainUntilDate": shorter},
            BypassGovernanceRetention=bypass,
        )

    with refused():
        shorten("GOVERNANCE", bypass=False)
    with refused():
        client.delete_object(**where)
    shorten("GOVERNANCE", bypass=True)
    assert store.state(KEY, version_id).protection == Protection(shorter), "drift can be seen"
    store.protect(KEY, version_id, Protection(SOON, LockMode.COMPLIANCE))
    for bypass in (False, True):
        for mode in ("GOVERNANCE", "COMPLIANCE"):
            with refused():
                shorten(mode, bypass=bypass)
        with refused():
            client.delete_object(**where, BypassGovernanceRetention=bypass)
    assert store.state(KEY, version_id).protection == Protection(SOON, LockMode.COMPLIANCE)
    assert store.get(KEY) == data


def test_a_store_in_compliance_mode_locks_everything_so(
    open_store: Connect,
) -> None:
    store = open_store(mode=LockMode.COMPLIANCE)
    version_id = capture(store, b"evidence", Protection(SOON))
    store.put_once("chains/vault/00000000.json", b"{}")
    assert store.state(KEY, version_id).protection.mode == LockMode.COMPLIANCE
    assert store.state("chains/vault/00000000.json", None).protection.mode == LockMode.COMPLIANCE


def test_bytes_destroyed_past_the_lock_are_missed_by_every_look(
    s3_bucket: S3Bucket, place: S3Place, store: S3Store
) -> None:
    version_id = capture(store, sample(PART + 1), Protection(SOON, LockMode.COMPLIANCE, held=True))
    assert version_id
    s3_bucket.destroy(f"{place.prefix}/{KEY}", version_id)
    assert not store.exists(KEY)
    assert list(store.versions("")) == []
    for look in (store.get, lambda key: store.get(key, version_id=version_id)):
        with pytest.raises(NotFoundError):
            look(KEY)
    for asked in (version_id, None):
        with pytest.raises(NotFoundError):
            store.state(KEY, asked)


@pytest.mark.parametrize("size", [9, PART + 1])
def test_bytes_changed_past_the_lock_are_told_by_the_bytes_alone(
    s3_bucket: S3Bucket, place: S3Place, store: S3Store, size: int
) -> None:
    """The store's own word stays what it was: it attests, and verifies nothing."""
    data = sample(size)
    version_id = capture(store, data, Protection(SOON, LockMode.COMPLIANCE))
    assert version_id
    before = store.state(KEY, version_id)
    s3_bucket.alter(f"{place.prefix}/{KEY}", version_id)
    assert store.state(KEY, version_id) == before
    assert store.get(KEY, version_id=version_id) == bytes([data[0] ^ 1]) + data[1:]


# Buckets that can do less, and prefixes


def test_a_bucket_without_versions_or_locks_is_used_as_far_as_it_goes(
    s3_bucket: S3Bucket, place: S3Place, open_store: Connect
) -> None:
    plain = f"{place.bucket}-plain"
    s3_bucket.client.create_bucket(Bucket=plain)
    store = open_store(place={"bucket": plain}, locks=False, versions=False)
    data = sample(PART + 1)
    assert capture(store, data, Protection(SOON, held=True)) is None
    store.put_once("chains/vault/00000000.json", b"{}")
    store.put_once("chains/vault/00000000.json", b"{}")
    with pytest.raises(ObjectConflictError):
        store.put_once("chains/vault/00000000.json", b"other")
    for number in range(3):
        store.put_latest("log/checkpoint", b"note %d" % number)
    assert list(store.versions("")) == [
        Version(KEY, None, False, True, len(data)),
        Version("chains/vault/00000000.json", None, False, True, 2),
        Version("log/checkpoint", None, False, True, 6),
    ]
    assert store.get("log/checkpoint") == b"note 2"
    assert store.exists(KEY)
    assert not store.exists("artifacts")
    store.protect(KEY, None, Protection(SOON))
    state = store.state(KEY, None)
    assert (state.version_id, state.covered_by, state.protection) == (None, None, UNPROTECTED)
    assert store.unfinished() == []


def test_a_prefix_keeps_to_itself(open_store: Connect) -> None:
    outer, inner, longer = (
        open_store(place={"prefix": prefix}) for prefix in ("a/pre", "a/prefix", "a/prefix-0")
    )
    capture(inner, b"evidence")
    capture(longer, b"other")
    made = fill(longer, sample(PART + 1), None)
    made.finish()
    assert list(outer.keys("")) == []
    assert list(inner.keys("")) == [KEY]
    assert inner.get(KEY) == b"evidence"
    assert inner.unfinished() == []
    made.abort()


def test_a_key_of_the_key_management_service_encrypts_every_object() -> None:
    place = S3Place("bucket", region="us-east-1", part_size=PART, kms_key="alias/evidence")
    with mock_aws():
        client = connect(place)
        client.create_bucket(Bucket="bucket")
        send_bytes(client)
        store = S3Store(
            place, client, clock=lambda: datetime.now(UTC), record_days=1, locks=False,
            versions=False, mode=LockMode.GOVERNANCE,
        )  # fmt: skip
        store.put_once("chains/vault/00000000.json", b"{}")
        store.put_latest("log/checkpoint", b"note")
        capture(store, sample(PART + 1))
        made = store.upload("artifacts/small", size=8)
        made.write(b"evidence")
        made.finish()
        made.publish()
        found = list(store.keys(""))
        assert len(found) == 4
        for key in found:
            head = client.head_object(Bucket="bucket", Key=key)
            assert head["ServerSideEncryption"] == "aws:kms"
            assert head["SSEKMSKeyId"] == "alias/evidence"
        store.close()


# Errors that say what to do


@pytest.fixture
def environment(
    s3_bucket: S3Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> pytest.MonkeyPatch:
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    return monkeypatch


READS: tuple[Callable[[S3Store], object], ...] = (
    lambda store: store.exists(KEY),
    lambda store: list(store.keys("artifacts/")),
    lambda store: store.get(KEY),
    lambda store: store.unfinished(),
)
WRITES: tuple[Callable[[S3Store], object], ...] = (
    lambda store: store.put_once(KEY, b"evidence"),
    lambda store: capture(store, b"evidence"),
    lambda store: capture(store, sample(PART + 1)),
)


def told(place: S3Place, *uses: Callable[[S3Store], object]) -> str:
    """The one thing that is said whatever a store at a place is used for."""
    client_at.cache_clear()  # credentials are looked for when a client is made
    messages = set()
    try:
        store = store_at(place, attempts=1)
        for use in uses:
            with pytest.raises(UnavailableError) as error:
                use(store)
            messages.add(str(error.value).partition(": ")[2])
        store.close()
    except UnavailableError as refused:
        messages.add(str(refused).partition(": ")[2])
    client_at.cache_clear()
    (message,) = messages
    return message


def test_no_credentials(place: S3Place, environment: pytest.MonkeyPatch) -> None:
    environment.delenv("AWS_ACCESS_KEY_ID")
    environment.delenv("AWS_SECRET_ACCESS_KEY")
    assert "set AWS_PROFILE, or AWS_ACCESS_KEY_ID" in told(place, *READS, *WRITES)


def test_half_of_the_credentials(place: S3Place, environment: pytest.MonkeyPatch) -> None:
    environment.delenv("AWS_SECRET_ACCESS_KEY")
    assert "set AWS_PROFILE, or AWS_ACCESS_KEY_ID" in told(place, *READS, *WRITES)


def test_an_unknown_access_key(place: S3Place, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("AWS_ACCESS_KEY_ID", "nobody")
    assert (
        told(place, *READS, *WRITES) == "the access key is not known there; check the credentials"
    )


def test_a_wrong_secret(place: S3Place, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("AWS_SECRET_ACCESS_KEY", "guessed")
    assert told(place, *READS, *WRITES) == "the secret key is wrong; check the credentials"


def test_a_profile_that_is_not_there(place: S3Place, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("AWS_PROFILE", "production")
    assert "check AWS_PROFILE" in told(place, *READS, *WRITES)


def test_a_missing_bucket(place: S3Place) -> None:
    message = told(replace(place, bucket="no-such-bucket"), *READS)
    assert message == "there is no such bucket; make it with Object Lock first"


@pytest.mark.slow
def test_a_missing_bucket_is_no_missing_object(place: S3Place, open_store: Connect) -> None:
    """HEAD does not tell them apart; to say that all evidence is gone would be a false alarm."""
    store = open_store(place={"bucket": "no-such-bucket"})
    for look in (
        lambda: store.state(KEY, None),
        lambda: store.state(KEY, "6714a0"),
        lambda: store.protect(KEY, "6714a0", Protection(SOON)),
    ):
        with pytest.raises(UnavailableError, match="no such bucket"):
            look()


@pytest.mark.slow
def test_nobody_at_the_endpoint(place: S3Place) -> None:
    nobody = replace(place, endpoint_url="http://127.0.0.1:9")
    for use in (*READS, *WRITES):
        message = told(nobody, use)
        assert message.startswith("nothing answers at http://127.0.0.1:9/")
        assert message.endswith("is the server up, and the address right?")


@pytest.mark.parametrize("endpoint", ["127.0.0.1:9", "nonsense", "http://"])
def test_an_endpoint_that_is_none(place: S3Place, endpoint: str) -> None:
    assert "https://HOST:PORT" in told(replace(place, endpoint_url=endpoint), *READS, *WRITES)
