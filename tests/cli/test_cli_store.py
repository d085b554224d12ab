"""`evault store check`: every way in which a server can fall short is found by trying it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from cli_bucket import Bucket
from cli_support import Evault, run
from moto import mock_aws
from servers.faulty import network
from servers.s3 import S3Server

from cli.commands.store import unencrypted
from vault.adapters.s3 import S3Place, connect
from vault.adapters.s3_check import BucketCheck, BucketReport
from vault.ulid import new_ulid
from verify.report import Outcome, Verdict

NAMES = [
    "clock", "no default lock", "versions", "delete marker", "listing", "ranges", "write once",
    "write once (parts)", "two writers", "checksum", "checksum (parts)", "checksum kept",
    "unfinished uploads", "governance lock", "compliance lock", "locks (parts)", "legal hold",
]  # fmt: skip
LOCKS = ["governance lock", "compliance lock", "locks (parts)", "legal hold"]
SHORT = timedelta(seconds=20)


def clock() -> datetime:
    return datetime.now(UTC)


@contextmanager
def checking(
    place: S3Place,
    prepare: Callable[[Any], None] = lambda _: None,
    *,
    lock_for: timedelta = SHORT,
    at: Callable[[], datetime] = clock,
) -> Iterator[BucketCheck]:
    """A check whose client meets another server than the one that is there."""
    client = connect(place)
    prepare(client)
    check = BucketCheck(place, client, clock=at, lock_for=lock_for)
    try:
        yield check
    finally:
        check.close()


def outcomes(report: BucketReport) -> dict[str, str]:
    assert [each.probe.name for each in report.tried] == NAMES
    return {
        each.probe.name: each.outcome.value
        for each in report.tried
        if each.outcome != Outcome.PASSED
    }


def unsent(*headers: str) -> Callable[[Any], None]:
    """The server is never told of these headers: it behaves as one that ignores them."""

    def prepare(client: Any) -> None:
        def strip(request: Any, **_: Any) -> None:
            for name in list(request.headers):
                if name.lower().startswith(headers):
                    del request.headers[name]

        client.meta.events.register("before-sign.s3", strip)

    return prepare


def answered(operation: str, status: int, code: str) -> Callable[[Any], None]:
    """The server answers every call of an operation so."""

    def prepare(client: Any) -> None:
        def answer(**_: Any) -> Any:
            error = {"Code": code, "Message": "so it was decided"}
            parsed = {"Error": error, "ResponseMetadata": {"HTTPStatusCode": status}}
            return AWSResponse("", status, {}, None), parsed

        client.meta.events.register(f"before-call.s3.{operation}", answer)

    return prepare


def test_a_bucket_with_object_lock_passes_everything(bucket: Bucket) -> None:
    with checking(bucket.place) as check:
        report = check.run()
        assert outcomes(report) == {}
        assert (report.verdict, report.lacks) == (Verdict.PASSED, ())
        advice = {each.probe.name: each.advice for each in report.tried if each.advice}
        assert list(advice) == ["governance lock"]
        assert "s3:BypassGovernanceRetention" in advice["governance lock"]
        # What nobody may remove is all that is left, and it is below the scratch prefix.
        [left] = check.remove()
        assert left.key.endswith("/compliance")
        assert [each["Key"] for each in bucket.versions()] == [f"{bucket.place.prefix}/{left.key}"]
        assert bucket.versions("check/")


@pytest.mark.slow
def test_what_was_locked_is_removed_when_its_lock_has_ended(bucket: Bucket) -> None:
    with checking(bucket.place, lock_for=timedelta(seconds=4)) as check:
        check.run()
        assert check.remove()
        assert check.locked_until is not None
        while clock() < check.locked_until + timedelta(seconds=10) and check.remove():
            time.sleep(0.5)
        assert check.remove() == []
        assert bucket.versions() == []


@pytest.mark.slow
def test_the_next_check_removes_what_the_last_one_left(bucket: Bucket) -> None:
    def later() -> datetime:
        return clock() + timedelta(seconds=35)

    with checking(bucket.place, lock_for=timedelta(seconds=4)) as first:
        first.run()
        [left] = first.remove()
        assert first.locked_until is not None
        ends = first.locked_until
    # A check that was killed may also leave holds, markers and uploads behind.
    old = f"{bucket.place.prefix}/check/{new_ulid(clock() - timedelta(days=1))}"
    bucket.client.put_object(
        Bucket=bucket.name, Key=f"{old}/hold", Body=b"x", ObjectLockLegalHoldStatus="ON"
    )
    bucket.client.put_object(Bucket=bucket.name, Key=f"{old}/marker", Body=b"x")
    bucket.client.delete_object(Bucket=bucket.name, Key=f"{old}/marker")
    bucket.client.create_multipart_upload(Bucket=bucket.name, Key=f"{old}/upload")
    kept = f"{bucket.place.prefix}/check/{new_ulid(later())}/of-another-check"
    bucket.client.put_object(Bucket=bucket.name, Key=kept, Body=b"going on now")
    while clock() < ends + timedelta(seconds=1):
        time.sleep(0.5)
    with checking(bucket.place, at=later) as second:
        second.run()
        mine = {f"{bucket.place.prefix}/{each.key}" for each in second.remove()}
    found = {each["Key"] for each in bucket.versions()}
    assert found == mine | {kept}, "what is old is gone, another check's own is not"
    assert f"{bucket.place.prefix}/{left.key}" not in found
    uploads = bucket.client.list_multipart_uploads(
        Bucket=bucket.name, Prefix=f"{bucket.place.prefix}/"
    )
    assert "Uploads" not in uploads


def test_a_bucket_without_versions_and_locks_fails_in_both(plain_bucket: Bucket) -> None:
    place = plain_bucket.fresh()
    with checking(place.place) as check:
        report = check.run()
    assert set(outcomes(report)) == {"versions", "delete marker", "listing", *LOCKS}
    assert report.verdict == Verdict.FAILED
    assert report.lacks == ("versioning", "Object Lock")
    assert place.versions() == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("headers", "failing", "lacks"),
    [
        (
            ("if-none-match",),
            {"write once", "write once (parts)", "two writers"},
            "conditional writes",
        ),
        (
            ("x-amz-checksum", "x-amz-sdk-checksum"),
            {"checksum", "checksum (parts)", "checksum kept"},
            "checksums",
        ),
        (("x-amz-object-lock",), set(LOCKS), "Object Lock"),
        (("x-amz-object-lock-legal-hold",), {"locks (parts)", "legal hold"}, "Object Lock"),
        (("range",), {"ranges"}, "plain reading and writing"),
    ],
    ids=["no conditions", "no checksums", "no locks", "no holds", "no ranges"],
)
def test_a_server_that_ignores_what_it_is_asked_is_found_out(
    bucket: Bucket, headers: tuple[str, ...], failing: set[str], lacks: str
) -> None:
    with checking(bucket.place, unsent(*headers)) as check:
        report = check.run()
    assert outcomes(report) == dict.fromkeys((n for n in NAMES if n in failing), "failed")
    assert report.lacks == (lacks,)
    for each in report.tried:
        if each.outcome == Outcome.FAILED:
            assert each.detail
            assert each.remedy
            assert each.probe.risk


@pytest.mark.slow
@pytest.mark.parametrize(
    ("operation", "probe"),
    [
        ("PutObjectRetention", "compliance lock"),
        ("PutObjectLegalHold", "legal hold"),
        ("ListMultipartUploads", "unfinished uploads"),
    ],
)
def test_a_right_that_is_missing_is_named(bucket: Bucket, operation: str, probe: str) -> None:
    with checking(bucket.place, answered(operation, 403, "AccessDenied")) as check:
        report = check.run()
        [told] = [each for each in report.tried if each.probe.name == probe]
        assert told.outcome == Outcome.FAILED
        assert told.detail == f"{operation}: 403 AccessDenied (so it was decided)"
        assert f"s3:{operation.replace('ListMultipartUploads', 'ListBucketMultipart')}" in (
            told.remedy
        )


def test_who_may_not_delete_cannot_show_that_a_lock_refuses_it(bucket: Bucket) -> None:
    with checking(bucket.place, answered("DeleteObject", 403, "AccessDenied")) as check:
        report = check.run()
        assert outcomes(report) == dict.fromkeys(["delete marker", *LOCKS], "not_checked")
        assert report.verdict == Verdict.INCONCLUSIVE
        assert report.lacks == ("versioning", "Object Lock"), "what was not shown is not there"
        for each in report.tried:
            if each.outcome == Outcome.NOT_CHECKED:
                assert "s3:DeleteObjectVersion" in each.remedy


def test_a_server_that_fails_has_refused_nothing(bucket: Bucket) -> None:
    """A lock is not shown by an error that would also meet what is not locked."""
    with checking(bucket.place, answered("DeleteObject", 503, "SlowDown")) as check:
        report = check.run()
        assert outcomes(report) == dict.fromkeys(["delete marker", *LOCKS], "not_checked")


def test_a_default_retention_is_found_before_anything_is_locked_by_it(s3_server: S3Server) -> None:
    place = S3Place("with-a-default", "p", s3_server.endpoint)
    client = connect(place)
    client.create_bucket(Bucket=place.bucket, ObjectLockEnabledForBucket=True)
    client.put_object_lock_configuration(
        Bucket=place.bucket,
        ObjectLockConfiguration={
            "ObjectLockEnabled": "Enabled",
            "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}},
        },
    )
    with checking(place) as check:
        report = check.run()
    found = outcomes(report)
    assert found.pop("no default lock") == "failed"
    assert found == dict.fromkeys(NAMES[2:], "not_checked")
    assert "versions" in found
    listed = client.list_object_versions(Bucket=place.bucket)
    assert "Versions" not in listed, "nothing was put that would stay for a day"
    # Who may not read the configuration learns it from the first object.
    prepare = answered("GetObjectLockConfiguration", 403, "AccessDenied")
    with checking(place, prepare) as check:
        report = check.run()
        assert outcomes(report)["no default lock"] == "failed"
        assert check.remove() == [], "it was governance, and these credentials may lift it"
    client.close()


@pytest.mark.slow
@pytest.mark.parametrize(("ahead", "word"), [(3_600, "behind"), (-3_600, "ahead of")])
def test_a_clock_that_is_wrong_is_told_and_keeps_no_lock_longer(
    bucket: Bucket, ahead: int, word: str
) -> None:
    with checking(bucket.place, at=lambda: clock() + timedelta(seconds=ahead)) as check:
        report = check.run()
        assert outcomes(report) == {"clock": "failed"}
        [told] = [each for each in report.tried if each.outcome == Outcome.FAILED]
        assert word in told.detail
        assert report.lacks == (), "a clock can be set; the bucket lacks nothing"
        until = bucket.heads("check/")[0]["ObjectLockRetainUntilDate"]
        assert until < clock() + SHORT + timedelta(seconds=10)


def test_moto_is_caught() -> None:
    """It accepts wrong checksums, shortens COMPLIANCE, and does not lock what came in parts."""
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket="moto-bucket", ObjectLockEnabledForBucket=True)
        said = run("store", "check", "--store", "s3://moto-bucket/p", "--no-wait", "--json")
        client.close()
    assert said.code == 1
    found = {each["name"]: each["outcome"] for each in said.json["findings"]}
    for name in ("checksum", "checksum (parts)", "compliance lock", "locks (parts)"):
        assert found[name] == "failed"
    assert said.json["lacks"] == ["Object Lock", "checksums"]


@pytest.mark.slow
def test_the_command_tells_each_probe_and_what_is_left(empty: Evault, bucket: Bucket) -> None:
    said = empty("store", "check", *bucket.options, "--no-wait")
    head, *rows = said.lines
    assert (
        head == f"{bucket.url} at {bucket.place.endpoint_url}, tried on scratch keys below check/"
    )
    for name in NAMES:
        [row] = [line for line in rows if line.startswith(f"{name:<20}")]
        assert row.endswith("  passed")
    [verdict] = [line for line in rows if line.startswith("PASSED")]
    assert verdict == f"{'PASSED: all 17; evault can rely on this bucket':<66}exit 0"
    assert "1 scratch object (check/" in said.out
    assert "the next check removes what is left." in " ".join(said.out.split())
    assert max(len(line) for line in said.lines[1:]) <= 92
    assert not empty.home.exists(), "it needs no vault"


@pytest.mark.slow
def test_the_command_waits_for_its_locks_and_removes_what_they_held(
    empty: Evault, bucket: Bucket
) -> None:
    said = empty.answer("store-check", "store", "check", *bucket.options)
    assert (said["verdict"], said["left"], said["locked_until"]) == ("passed", [], None)
    assert bucket.versions() == []


def test_what_does_not_work_is_told_with_what_follows_and_what_to_do(
    empty: Evault, plain_bucket: Bucket
) -> None:
    said = run("store", "check", *plain_bucket.fresh().options)
    assert said.code == 1
    place = said.lines.index(
        f"{'versions':<20}{'a second write to a key keeps the first version':<58}FAILED"
    )
    assert said.lines[place + 1 : place + 3] == [
        f"{'':<20}The bucket gives no version ids: versioning is off.",
        f"{'':<20}Whoever may write can destroy evidence by writing over it.",
    ]
    told = " ".join(said.out.split())
    assert "FAILED: not to be relied on for versioning and Object Lock" in told
    assert "What to do: versions, delete marker, listing, governance lock" in told
    assert "aws s3api create-bucket" in told
    assert said.lines[-1] == "The scratch objects were removed."


@pytest.mark.slow
def test_a_vault_checks_its_own_bucket(on_s3: Evault, bucket: Bucket) -> None:
    said = on_s3.answer("store-check", "store", "check", "--no-wait")
    assert (said["store"], said["kind"], said["verdict"]) == (bucket.url, "s3", "passed")
    [left] = said["left"]
    assert f"{bucket.place.prefix}/{left['key']}" == bucket.versions("check/")[0]["Key"]
    on_s3.declare()
    on_s3.sound()


def test_a_folder_is_said_to_be_weaker(evault: Evault) -> None:
    said = evault("store", "check")
    assert said.lines[0] == f"{evault.home / 'store'}, a folder"
    assert "WEAKER than a bucket with Object Lock" in said.out
    answer = evault.answer("store-check", "store", "check")
    assert (answer["kind"], answer["verdict"], answer["lacks"]) == ("directory", "passed", [])
    assert {each["name"]: each["outcome"] for each in answer["findings"]} == {
        "write once": "passed", "versions": "weaker", "locks and holds": "weaker",
        "checksums": "weaker",
    }  # fmt: skip


@pytest.mark.slow
def test_nothing_there_is_said_without_a_trace(empty: Evault, bucket: Bucket) -> None:
    endpoint = ("--endpoint-url", str(bucket.place.endpoint_url))
    message = empty.refused("store", "check", "--store", "s3://no-such-bucket/p", *endpoint)
    assert "there is no bucket no-such-bucket; make it with Object Lock" in message
    message = empty.refused(
        "store", "check", "--store", bucket.url, "--endpoint-url", "http://127.0.0.1:1"
    )
    assert "nothing answers at" in message
    assert "there is no vault in" in empty.refused("store", "check")


def test_a_server_that_dies_in_the_middle_makes_no_verdict(empty: Evault, bucket: Bucket) -> None:
    with network(str(bucket.place.endpoint_url)) as between:
        between.fail("CreateMultipartUpload", performed=False, times=1_000)
        message = empty.refused(
            "store", "check", "--store", bucket.url, "--endpoint-url", between.endpoint
        )
    assert "cannot check" in message


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--store", "bucket"), "'bucket' is not like s3://bucket/prefix"),
        (("--store", "s3://b"), "'s3://b' is not like s3://bucket/prefix"),
        (("--store", "s3://bucket/a//b"), "the prefix 'a//b' has parts that are empty"),
        (("--store", "s3://bucket/a/../b"), "has a part that other programs resolve"),
        (("--store", "s3://bucket/é"), "other characters than letters"),
        (("--store", "s3://bucket/p", "--endpoint-url", "ftp://h"), "is not like https://s3"),
        (("--store", "s3://bucket/p", "--endpoint-url", "http://h:port"), "is not like https://s3"),
        (("--store", "s3://bucket/p", "--endpoint-url", "http://me:word@h"), "has credentials"),
        (("--endpoint-url", "http://h"), "belong to --store; give both"),
    ],
)
def test_what_makes_no_sense_is_refused(evault: Evault, words: tuple[str, ...], told: str) -> None:
    message = evault.refused("store", "check", *words)
    assert told in message
    assert "word" not in message.replace("words", "")


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        (None, False),
        ("https://s3.example.org", False),
        ("http://127.0.0.1:8333", False),
        ("http://localhost:8333", False),
        ("http://[::1]:8333", False),
        ("http://s3.example.org", True),
        ("http://127.example.org", True),
        ("http://localhost.example.org", True),
    ],
)
def test_evidence_that_would_cross_a_network_in_clear_is_known(
    endpoint: str | None, expected: bool
) -> None:
    assert unencrypted(endpoint) is expected
