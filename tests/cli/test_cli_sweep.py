"""`evault sweep`: all evidence of the vault looked over, and the result sealed."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cli_bucket import Bucket
from cli_support import DEMO, Evault, run

from cli.compose import open_vault
from cli.settings import read_settings
from vault.adapters.pem import load_manifest_key
from vault.ports import ObjectStore, Version
from vault.sweep import Sweeper
from vault.ulid import new_ulid
from verify.envelope import ManifestKey


def flip(path: Path) -> None:
    path.chmod(0o600)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.fixture
def filled(evault: Evault) -> Evault:
    """Two incidents; a pack, a large file with its description, and a pack of the second."""
    first = evault.declare()
    evault("ingest", first, DEMO / "agent")
    evault("ingest", first, evault.file("large.bin", secrets.token_bytes(3 << 20)))
    second = evault.declare()
    evault("ingest", second, evault.file("note.txt", "a note\n"))
    return evault


def objects(evault: Evault) -> list[Path]:
    return sorted((evault.home / "store" / "artifacts").iterdir())


def test_all_incidents_are_read_again_and_the_result_is_sealed(filled: Evault) -> None:
    said = filled.answer("sweep", "sweep")
    assert said["counts"] == {
        "bytes": sum(path.stat().st_size for path in objects(filled)), "checked": 4, "failed": 0,
        "not_checked": 0, "objects": 4, "unclaimed": 0, "unfinished": 0,
    }  # fmt: skip
    assert (said["depth"], said["verdict"], said["findings"]) == ("bytes", "passed", [])
    assert (said["receipt"]["chain"], said["receipt"]["sequence"]) == ("vault", 0)
    text = filled("sweep")
    assert text.lines[0].startswith("4 of 4 objects (")
    assert text.lines[0].endswith(" MB) read again and as sealed")
    assert text.lines[1] == "Sealed as link 1 of the vault's chain, log entry 6; depth bytes"
    assert text.lines[2] == "Kept in a folder, which cannot be locked against its owner"
    filled.sound()


def test_earlier_sweeps_are_listed_and_listing_looks_at_nothing(filled: Evault) -> None:
    assert filled("sweep", "--list").out == ("No sweep was sealed yet; see: evault sweep --help\n")
    filled("sweep")
    flip(objects(filled)[0])
    assert run("sweep").code == 1
    said = filled.answer("sweep", "sweep", "--list")
    assert [(each["sequence"], each["checked"], each["failed"]) for each in said["items"]] == [
        (0, 4, 0), (1, 3, 1),
    ]  # fmt: skip
    assert said["counts"] == {"sweeps": 2}
    assert [line.split()[0] for line in filled("sweep", "--list").lines] == ["0", "1"]
    assert filled.answer("sweep", "sweep", "--list")["counts"] == {"sweeps": 2}


def test_bytes_that_were_changed_in_a_folder_are_named_with_both_digests(filled: Evault) -> None:
    pack, large, *_ = objects(filled)
    flip(pack)
    flip(large)
    said = filled.answer("sweep", "sweep", code=1)
    assert said["verdict"] == "failed"
    assert {each["subject"] for each in said["findings"]} == {
        f"artifacts/{pack.name}", "INC-2026-0001 EV-0004",
    }  # fmt: skip
    assert all("sealed as " in each["detail"] for each in said["findings"])
    text = run("sweep")
    assert text.code == 1
    assert "NOT AS SEALED: 2 findings" in text.lines
    assert f"artifacts/{pack.name} (INC-2026-0001 EV-0001..0003): sealed as" in " ".join(
        text.out.split()
    )
    assert run("verify", "INC-2026-0001").code == 1
    assert run("verify", "INC-2026-0002").code == 0


def test_what_is_gone_from_a_folder_is_found_at_either_depth(filled: Evault) -> None:
    gone = objects(filled)[1]
    gone.unlink()
    for depth in ("bytes", "checksums"):
        said = filled.answer("sweep", "sweep", "--depth", depth, code=1)
        [told] = [each for each in said["findings"] if each["outcome"] == "failed"]
        assert told["detail"] == f"artifacts/{gone.name} is gone"
        assert told["subject"] == "INC-2026-0001 EV-0004"


def test_a_folder_has_no_digests_that_could_be_asked_for(filled: Evault) -> None:
    said = filled.answer("sweep", "sweep", "--depth", "checksums", code=2)
    assert (said["verdict"], said["counts"]["checked"]) == ("inconclusive", 0)
    [told] = said["findings"]
    assert told["detail"] == "a folder keeps no digests of its own; use --depth bytes"
    text = run("sweep", "--depth", "checksums")
    assert text.lines[0].startswith("0 of 4 objects (")
    assert "Not checked: 1 finding" in text.lines


def test_a_protection_that_was_taken_away_in_a_folder_is_found(filled: Evault) -> None:
    noted = filled.home / "store" / "locks" / "artifacts" / objects(filled)[0].name
    noted.unlink()
    said = filled.answer("sweep", "sweep", code=1)
    [told] = said["findings"]
    assert (told["step"], told["outcome"]) == ("store", "failed")
    assert "is retained until no date at all" in told["detail"]


def test_what_no_statement_claims_is_listed_unless_it_came_during_the_sweep(
    filled: Evault,
) -> None:
    store = filled.home / "store" / "artifacts"
    orphan = store / new_ulid(datetime.now(UTC) - timedelta(days=2))
    orphan.write_bytes(b"died before it was sealed")
    coming = store / new_ulid(datetime.now(UTC) + timedelta(hours=1))
    coming.write_bytes(b"a capture that began after the sweep did")
    (filled.home / "store" / "tmp" / "half").write_bytes(b"half an upload")
    said = filled.answer("sweep", "sweep")
    assert said["unclaimed"] == [
        {"key": f"artifacts/{orphan.name}", "size": 25, "version_id": None}
    ]
    assert said["unfinished"] == [{"key": "tmp/half", "started_at": None, "upload_id": None}]
    text = filled("sweep")
    told = " ".join(text.out.split())
    assert "Claimed by no statement: 1 object, 25 B: captures that died" in told
    assert orphan.name in told
    assert "1 upload begun and not finished" in told
    assert orphan.exists(), "it removes nothing"


class Busy:
    """A store in which something happens whenever someone lists it."""

    def __init__(self, store: ObjectStore, during: Callable[[], object]) -> None:
        self._store = store
        self._during = during

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def versions(self, prefix: str) -> Iterator[Version]:
        self._during()
        return self._store.versions(prefix)


def test_what_is_sealed_while_the_store_is_listed_is_no_orphan(filled: Evault) -> None:
    vault = open_vault(read_settings(os.environ, filled.home))
    note = filled.file("late.txt", "sealed just now\n")
    key = ManifestKey(load_manifest_key(filled.home / "keys" / "manifest.pem").public)
    try:
        sweeper = Sweeper(
            store=Busy(vault.store, lambda: filled("ingest", "INC-2026-0001", note)),
            index=vault.index,
            door=vault.door,
            incidents=vault.incidents,
            retention=vault.retention,
            # A clock that goes ahead, so that nothing passes for having come since.
            clock=lambda: datetime.now(UTC) + timedelta(hours=1),
            key=key,
        )
        swept = sweeper.sweep("bytes")
    finally:
        vault.close()
    assert (swept.unclaimed, swept.findings, swept.objects) == ([], [], 5)


@pytest.fixture
def in_bucket(on_s3: Evault) -> Evault:
    """An incident in a bucket: three exhibits with an object each, and their descriptions."""
    on_s3.declare()
    on_s3("ingest", "--no-pack", DEMO / "agent")
    return on_s3


def by_key(bucket: Bucket) -> list[Any]:
    """The objects with evidence; the last is the pack of the descriptions."""
    return sorted(bucket.versions("artifacts/"), key=lambda each: str(each["Key"]))


def test_a_bucket_is_asked_at_depth_checksums_by_default(in_bucket: Evault) -> None:
    said = in_bucket.answer("sweep", "sweep")
    assert (said["depth"], said["counts"]["checked"], said["verdict"]) == ("checksums", 4, "passed")
    assert "attested_by_store as sealed; no bytes were read" in in_bucket("sweep").out
    again = in_bucket.answer("sweep", "sweep", "--depth", "bytes")
    assert (again["counts"]["checked"], again["verdict"]) == (4, "passed")


def test_the_insider_who_alters_bytes_is_noticed_by_reading_alone(
    in_bucket: Evault, bucket: Bucket
) -> None:
    victim = by_key(bucket)[0]
    bucket.insider.alter(victim["Key"], victim["VersionId"])
    assert in_bucket.answer("sweep", "sweep")["verdict"] == "passed", "the store says its own word"
    said = in_bucket.answer("sweep", "sweep", "--depth", "bytes", code=1)
    [told] = said["findings"]
    assert told["subject"].startswith("INC-2026-0001 EV-000")
    assert "read as " in told["detail"]


def test_the_insider_who_destroys_is_noticed_by_asking(in_bucket: Evault, bucket: Bucket) -> None:
    victim = by_key(bucket)[0]
    bucket.insider.destroy(victim["Key"], victim["VersionId"])
    for depth in ("checksums", "bytes"):
        said = in_bucket.answer("sweep", "sweep", "--depth", depth, code=1)
        [told] = [each for each in said["findings"] if each["outcome"] == "failed"]
        assert victim["VersionId"] in told["detail"]
        assert said["counts"]["checked"] == 3


@pytest.mark.parametrize("how", ["marker", "version"])
def test_what_was_laid_over_evidence_is_an_alarm_and_not_a_loss(
    in_bucket: Evault, bucket: Bucket, how: str
) -> None:
    victim = by_key(bucket)[0]
    if how == "marker":
        bucket.client.delete_object(Bucket=bucket.name, Key=victim["Key"])
    else:
        bucket.client.put_object(Bucket=bucket.name, Key=victim["Key"], Body=b"another")
    said = in_bucket.answer("sweep", "sweep", "--depth", "bytes", code=1)
    [told] = said["findings"]
    assert "lies over the version sealed in" in told["detail"]
    assert "an alarm" in told["detail"]
    assert said["unclaimed"] == []
    name = told["subject"].split()[1]
    assert in_bucket("evidence", "get", name, "-o", "-").raw, "the evidence can still be read"


@pytest.mark.slow
def test_uploads_that_died_in_a_bucket_are_listed_with_what_to_do(
    in_bucket: Evault, bucket: Bucket
) -> None:
    orphan = f"artifacts/{new_ulid(datetime.now(UTC) - timedelta(days=2))}"
    key = f"{bucket.place.prefix}/{orphan}"
    bucket.client.put_object(Bucket=bucket.name, Key=key, Body=b"orphan")
    begun = bucket.client.create_multipart_upload(Bucket=bucket.name, Key=f"{key}X")
    said = in_bucket.answer("sweep", "sweep")
    assert [(each["key"], each["size"]) for each in said["unclaimed"]] == [(orphan, 6)]
    assert [each["upload_id"] for each in said["unfinished"]] == [begun["UploadId"]]
    told = " ".join(in_bucket("sweep").out.split())
    assert "may be removed once their locks have ended." in told
    assert "AbortIncompleteMultipartUpload" in told
    bucket.client.abort_multipart_upload(
        Bucket=bucket.name, Key=f"{key}X", UploadId=begun["UploadId"]
    )
    assert in_bucket.answer("sweep", "sweep")["unfinished"] == []


def test_a_sweep_of_a_vault_without_evidence_is_sealed_too(evault: Evault) -> None:
    said = evault.answer("sweep", "sweep")
    assert (said["counts"]["objects"], said["verdict"]) == (0, "passed")
    evault.sound()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--depth", "structure"), "--depth is checksums or bytes, not 'structure'"),
        (("--depth", "soul"), "--depth is checksums or bytes, not 'soul'"),
        (("--list", "--depth", "bytes"), "--list looks at nothing; it takes no --depth"),
        (("INC-2026-0001",), "unexpected extra argument"),
    ],
)
def test_what_makes_no_sense_is_refused(evault: Evault, words: tuple[str, ...], told: str) -> None:
    assert told in evault.refused("sweep", *words)
    assert evault.answer("sweep", "sweep", "--list")["counts"] == {"sweeps": 0}


def test_a_store_that_is_gone_is_not_swept_clean(filled: Evault) -> None:
    filled("sweep")
    shutil.move(filled.home / "store", filled.home / "elsewhere")
    assert "is gone; mount it, or restore it from your backup" in filled.refused("sweep")
    assert json.loads((filled.home / "evault.json").read_bytes())["version"] == 1
