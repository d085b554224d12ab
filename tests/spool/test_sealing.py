"""Sealing into a spool: what was acknowledged is never lost, what was not is never half there."""

from __future__ import annotations

import base64
import errno
import hashlib
import itertools
import json
import multiprocessing
import os
import resource
import shutil
import signal
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from spool.world import (
    ACTOR,
    INCIDENT,
    START,
    FailingFiles,
    Killed,
    MemoryVault,
    clock,
    fill,
    new_spool,
)

from ingest.collector_key import KeyUnusableError, read_public_key
from ingest.delivery import deliver
from ingest.entry import SpoolError, SpoolUnavailableError
from ingest.spool import Spool, SpoolFullError, create_spool
from ingest.spool_capture import SpoolCapture
from verify.collection import MAX_COLLECTED
from verify.errors import MalformedError

CONTENTS = (b"first\n", b"", b"third" * 1_000)


def sealed(root: Path) -> dict[str, list[bytes]]:
    """Everything that can be delivered, by deposit id."""
    vault = MemoryVault()
    result = deliver(Spool(root), vault, clock=clock)
    assert result.stopped is None
    assert result.waiting == 0
    return vault.sealed


def test_what_was_sealed_comes_out_again_byte_for_byte(tmp_path: Path) -> None:
    spool = new_spool(tmp_path / "s")
    fill(spool, *CONTENTS)
    entry = fill(spool, b"later", missing=2)
    assert entry.number == 2
    assert [missed.name for missed in entry.missed()] == ["lost-0", "lost-1"]
    assert sealed(spool.root) == {
        f"spool-{spool.id}-1": list(CONTENTS),
        f"spool-{spool.id}-2": [b"later"],
    }


def test_an_envelope_is_signed_by_the_spools_key_as_openssl_checks_it(tmp_path: Path) -> None:
    spool = new_spool(tmp_path / "s")
    entry = fill(spool, b"x")
    envelope = json.loads(entry.data)
    payload = base64.b64decode(envelope["payload"])
    kind = envelope["payloadType"]
    # DSSE 1.0.2: the pre-authentication encoding.
    signed = b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(payload), payload)
    (tmp_path / "signed").write_bytes(signed)
    (tmp_path / "sig").write_bytes(base64.b64decode(envelope["signatures"][0]["sig"]))
    said = subprocess.run(
        ["openssl", "dgst", "-sha256", "-verify", spool.root / "collector.pub", "-signature",
         tmp_path / "sig", tmp_path / "signed"],
        capture_output=True, check=False,
    )  # fmt: skip
    assert said.stdout == b"Verified OK\n", said.stderr
    predicate = json.loads(payload)["predicate"]
    assert predicate["spool"] == {"id": spool.id, "number": 1, "previous": None}
    assert predicate["destination"] == INCIDENT
    assert predicate["items"][0]["sha256"] == hashlib.sha256(b"x").hexdigest()


def test_each_entry_names_the_digest_of_the_one_before(tmp_path: Path) -> None:
    spool = new_spool(tmp_path / "s")
    entries = [fill(spool, b"%d" % number) for number in range(4)]
    for before, after in itertools.pairwise(entries):
        envelope = (before.path / "collection.json").read_bytes()
        assert after.collection.previous == hashlib.sha256(envelope).hexdigest()
    assert [entry.number for entry in entries] == [1, 2, 3, 4]


def test_numbers_go_on_after_everything_was_delivered(tmp_path: Path) -> None:
    spool = new_spool(tmp_path / "s")
    last = fill(spool, b"1").sha256
    sealed(spool.root)
    entry = fill(Spool(spool.root), b"2")
    assert (entry.number, entry.collection.previous) == (2, last)
    (spool.root / "head.json").unlink()  # it is made anew from receipts and entries
    assert fill(Spool(spool.root), b"3").number == 3


def test_a_clock_that_steps_back_changes_no_order(tmp_path: Path) -> None:
    spool = new_spool(tmp_path / "s")
    fill(spool, b"1", at=START)
    entry = fill(spool, b"2", at=START - timedelta(days=400))
    assert (entry.number, entry.collection.collected_at) == (2, START - timedelta(days=400))
    assert list(sealed(spool.root)) == [f"spool-{spool.id}-1", f"spool-{spool.id}-2"]


def test_files_are_their_owners_alone(tmp_path: Path) -> None:
    spool = new_spool(tmp_path / "s")
    fill(spool, b"secret")
    for path in (spool.root, *spool.root.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_a_key_that_others_may_read_is_not_used(tmp_path: Path) -> None:
    root = new_spool(tmp_path / "s").root
    (root / "key.pem").chmod(0o640)
    with pytest.raises(KeyUnusableError, match=r"mode 0640.*chmod 600"):
        Spool(root)


def test_the_private_half_is_not_taken_for_the_public_one(tmp_path: Path) -> None:
    root = new_spool(tmp_path / "s").root
    assert read_public_key(root / "collector.pub").spki == Spool(root).key.public.spki
    with pytest.raises(MalformedError, match="must not leave its collector"):
        read_public_key(root / "key.pem")


def test_a_spools_id_is_its_keys_and_goes_with_no_other(tmp_path: Path) -> None:
    spool, other = new_spool(tmp_path / "s"), new_spool(tmp_path / "o")
    der = subprocess.run(
        ["openssl", "pkey", "-pubin", "-in", spool.root / "collector.pub", "-outform", "DER"],
        capture_output=True, check=True,
    ).stdout  # fmt: skip
    assert spool.id == hashlib.sha256(der).hexdigest()[:16]
    shutil.copy(other.root / "spool.json", spool.root / "spool.json")
    with pytest.raises(SpoolError, match="is not the key of the spool"):
        Spool(spool.root)


def test_a_spool_is_not_made_over_anything(tmp_path: Path) -> None:
    root = new_spool(tmp_path / "s").root
    key = (root / "key.pem").read_bytes()
    with pytest.raises(SpoolError, match="is a spool already"):
        create_spool(root, limit=1)
    assert (root / "key.pem").read_bytes() == key
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("years of work")
    with pytest.raises(SpoolError, match=r"holds other things \(thesis.txt\)"):
        create_spool(tmp_path / "other", limit=1)
    with pytest.raises(SpoolError, match=r"there is no spool in .*evault spool init"):
        Spool(tmp_path / "nowhere")


# -- the bound -------------------------------------------------------------------------------------


def entries(root: Path) -> list[str]:
    return sorted(path.name for path in (root / "entries").iterdir())


def test_a_full_spool_refuses_and_names_size_limit_and_remedy(tmp_path: Path) -> None:
    spool = new_spool(tmp_path / "s", limit=20_000)
    fill(spool, b"a" * 15_000)
    before = spool.used()
    with pytest.raises(SpoolFullError) as refused:
        fill(spool, b"b" * 10_000)
    said = str(refused.value)
    assert "its limit is 20,000" in said
    assert f"{before + 10_000:,} bytes would be in it" in said
    assert f"evault spool deliver {spool.root}" in said
    assert f"evault spool limit {spool.root}" in said
    assert (entries(spool.root), spool.used()) == (["00000001"], before), "nothing half-written"
    sealed(spool.root)
    assert fill(spool, b"b" * 10_000).number == 2, "and after a delivery there is room again"


def test_a_stream_of_unknown_length_stops_at_the_limit(tmp_path: Path) -> None:
    spool = new_spool(tmp_path / "s", limit=1 << 20)
    capture = SpoolCapture(
        spool, destination=INCIDENT, clock=clock, actor=ACTOR, system=None, source=None,
        method="m", collector={},
    )  # fmt: skip
    written = 0

    def endless() -> Iterator[bytes]:
        nonlocal written
        while True:
            written += 4_096
            yield b"z" * 4_096

    with pytest.raises(SpoolFullError):
        capture.keep(endless(), size=None)
    assert written <= (1 << 20) + 4_096
    capture.abort()
    assert spool.used() == 0


def test_what_is_signed_counts_too(tmp_path: Path) -> None:
    """A collection of empty files has no contents, and still takes room."""
    spool = new_spool(tmp_path / "s", limit=3_000)
    with pytest.raises(SpoolFullError):
        fill(spool, *[b""] * 20)
    assert (entries(spool.root), spool.used()) == ([], 0)


def test_a_limit_below_what_is_there_is_refused(tmp_path: Path) -> None:
    spool = new_spool(tmp_path / "s")
    fill(spool, b"a" * 5_000)
    with pytest.raises(SpoolFullError, match="more than 1,000"):
        spool.set_limit(1_000)
    spool.set_limit(50_000)
    assert Spool(spool.root).limit == 50_000


@pytest.mark.slow
def test_more_files_than_a_collection_may_hold_are_refused_whole(tmp_path: Path) -> None:
    spool = new_spool(tmp_path / "s", limit=1 << 30)
    with pytest.raises(SpoolError, match=f"takes {MAX_COLLECTED:,} files at a time"):
        fill(spool, *[b""] * (MAX_COLLECTED + 1))
    assert (entries(spool.root), spool.used()) == ([], 0)


# -- faults ----------------------------------------------------------------------------------------


def count_of_changes(root: Path) -> int:
    spool = new_spool(root / "counted")
    spool.files = FailingFiles()
    fill(spool, *CONTENTS, missing=1)
    return len(spool.files.calls)


@pytest.mark.slow
@pytest.mark.parametrize("done", [False, True], ids=["not done", "done all the same"])
@pytest.mark.parametrize("gone", [False, True], ids=["one fault", "disk gone"])
@pytest.mark.parametrize("killed", [False, True], ids=["error", "killed"])
def test_whatever_fails_the_spool_is_whole(
    tmp_path: Path, done: bool, gone: bool, killed: bool
) -> None:
    """Every change of the disk fails in turn: it did not happen, or it did and nobody was told.

    What was acknowledged before is there, what is sealed afterwards follows it, and the entry in
    between is there whole, or not at all. If sealing said nothing was wrong, it is there.
    """
    changes = count_of_changes(tmp_path)
    assert changes > 15
    for at in range(changes):
        root = tmp_path / f"s{at}"
        spool = new_spool(root)
        before = fill(spool, b"before")
        error: type[BaseException] = Killed if killed else OSError
        spool.files = FailingFiles(
            at=at,
            done=done,
            after=gone or killed,
            error=lambda error=error: error(errno.EIO, "the disk failed"),  # type: ignore[misc]
        )
        acknowledged = None
        try:
            acknowledged = fill(spool, *CONTENTS, missing=1)
        except Killed:
            assert killed
        except SpoolUnavailableError:
            assert not killed
        later = fill(Spool(root), b"later")
        vault = sealed(root)
        prefix = f"spool-{spool.id}-"
        assert vault[f"{prefix}1"] == [b"before"]
        assert vault[f"{prefix}{later.number}"] == [b"later"]
        assert later.number in (2, 3)
        if later.number == 3:
            assert vault[f"{prefix}2"] == list(CONTENTS)
        else:
            assert acknowledged is None, f"acknowledged, and lost: change {at}"
            assert later.collection.previous == before.sha256
        assert list((root / "incoming").iterdir()) == []


def test_a_failed_sync_of_the_names_is_no_acknowledgement(tmp_path: Path) -> None:
    """The entry was moved to its number, but nobody can tell whether that is on the disk."""
    spool = new_spool(tmp_path / "s")
    spool.files = counted = FailingFiles()
    fill(spool, b"1")
    moved = counted.calls.index("rename")
    assert counted.calls[moved + 1] == "sync_folder"
    other = new_spool(tmp_path / "t")
    other.files = FailingFiles(at=moved + 1, after=False)
    with pytest.raises(SpoolUnavailableError):
        fill(other, b"1")
    assert entries(other.root) == []


def test_a_full_disk_is_said_to_be_full(tmp_path: Path) -> None:
    spool = new_spool(tmp_path / "s")
    fill(spool, b"kept")
    spool.files = FailingFiles(
        at=5, after=False, error=lambda: OSError(errno.ENOSPC, "No space left on device")
    )
    with pytest.raises(SpoolUnavailableError, match=r"disk of the spool .* is full"):
        fill(spool, b"x" * 100)
    assert entries(spool.root) == ["00000001"]
    assert list((spool.root / "incoming").iterdir()) == []


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """The kernel itself refuses larger files: EFBIG, after it wrote what fits."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)


def test_a_write_that_the_kernel_cuts_short_leaves_nothing(tmp_path: Path) -> None:
    spool = new_spool(tmp_path / "s")
    fill(spool, b"kept")
    with largest_file(50_000), pytest.raises(SpoolUnavailableError, match="nothing of this"):
        fill(spool, b"x" * 60_000)
    assert fill(spool, b"after").number == 2
    assert sealed(spool.root)[f"spool-{spool.id}-2"] == [b"after"]


def test_what_a_dead_process_left_is_swept_and_what_a_live_one_writes_is_not(
    tmp_path: Path,
) -> None:
    spool = new_spool(tmp_path / "s")
    path, descriptor = spool.new_folder()
    (path / "contents").write_bytes(b"being written")
    dead = spool.root / "incoming" / "dead"
    dead.mkdir()
    (dead / "contents").write_bytes(b"half")
    fill(spool, b"1")
    assert [each.name for each in (spool.root / "incoming").iterdir()] == [path.name]
    os.close(descriptor)  # as its death would
    fill(spool, b"2")
    assert list((spool.root / "incoming").iterdir()) == []


def _fill_many(root: Path, who: int, count: int) -> None:
    spool = Spool(root)
    for number in range(count):
        fill(spool, f"{who}-{number}".encode())


def test_several_processes_share_the_numbers(tmp_path: Path) -> None:
    spool = new_spool(tmp_path / "s", limit=8 << 20)
    spawn = multiprocessing.get_context("fork")
    workers = [spawn.Process(target=_fill_many, args=(spool.root, who, 8)) for who in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 4
    found = sealed(spool.root)
    assert list(found) == [f"spool-{spool.id}-{number}" for number in range(1, 33)]
    told = sorted(content.decode() for (content,) in found.values())
    assert told == sorted(f"{who}-{number}" for who in range(4) for number in range(8))


def test_a_spool_is_a_folder_that_can_be_moved(tmp_path: Path) -> None:
    spool = new_spool(tmp_path / "s")
    fill(spool, b"1")
    shutil.move(spool.root, tmp_path / "moved")
    assert fill(Spool(tmp_path / "moved"), b"2").number == 2


@pytest.mark.parametrize("done", [False, True], ids=["not done", "done all the same"])
def test_an_interrupted_init_is_finished_by_the_next(tmp_path: Path, done: bool) -> None:
    counted = FailingFiles()
    create_spool(tmp_path / "counted", limit=1, files=counted)
    for at in range(len(counted.calls)):
        root = tmp_path / f"s{at}"
        with pytest.raises(SpoolUnavailableError):
            create_spool(root, limit=1 << 20, files=FailingFiles(at=at, done=done))
        if (root / "spool.json").exists():  # written last: then it is whole
            with pytest.raises(SpoolError, match="is a spool already"):
                create_spool(root, limit=1 << 20)
        else:
            create_spool(root, limit=1 << 20)
        fill(Spool(root), b"x")
        assert Spool(root).key.public.spki == read_public_key(root / "collector.pub").spki
