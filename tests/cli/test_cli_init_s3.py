"""A vault whose record is in a bucket, and whose index is in PostgreSQL."""

from __future__ import annotations

import json
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import boto3
import pytest
import sqlalchemy as sa
from cli_bucket import Bucket
from cli_served import serving_home
from cli_support import DEMO, Evault, run
from moto import mock_aws
from servers.faulty import network
from servers.postgres import OWNER, SERVICE, PostgresServer
from sqlalchemy.exc import ProgrammingError

from cli.config import CONCURRENCY, PART_MIB, S3Config, read_config, s3_config
from vault.adapters import s3 as adapter
from vault.adapters.s3_check import Ability
from vault.ports import LockMode

DECLARE = (
    "incident", "declare", "--title", "T", "--severity", "sev1", "--tier", "1", "--system", "s",
    "--detected-at", "-5m",
)  # fmt: skip


def test_a_life_in_a_bucket(empty: Evault, bucket: Bucket) -> None:
    made = empty("init", *bucket.options, "--part-size", 5)
    told = " ".join(made.out.split())
    place = f"{bucket.url} at {bucket.place.endpoint_url}"
    assert f"Its record is in {place}, with versioning and Object Lock (governance)" in told
    assert "17 of 17 trials passed there (evault store check)" in made.out
    assert f"  {bucket.url}" in made.out.split("Back up")[1], "the bucket is what to back up"
    assert not (empty.home / "store").exists()
    incident = empty.declare()
    large = empty.file("large.bin", bytes(range(256)) * 45_000)  # 11.5 MB: three parts
    said = empty.answer("ingest", "ingest", large, DEMO / "agent")
    assert said["counts"]["items"] == 4
    report = empty.answer("verify", "verify")
    assert (report["verdict"], report["depth"]) == ("passed", "checksums")
    assert f"kept in {bucket.url}, with versioning and Object Lock (governance)" in report["notes"]
    assert "attested_by_store" in empty("verify").out
    assert empty.answer("verify", "verify", "--depth", "bytes")["depth"] == "bytes"
    swept = empty.answer("sweep", "sweep")
    assert (swept["verdict"], swept["unclaimed"], swept["unfinished"]) == ("passed", [], [])
    assert swept["depth"] == "checksums"
    assert swept["counts"]["objects"] == swept["counts"]["checked"] == 2
    empty("export", "-o", "case.zip", "--purpose", "counsel")
    assert empty.answer("verify", "verify", "case.zip")["verdict"] == "passed"
    assert empty("evidence", "get", "EV-0001", "-o", "-").raw == large.read_bytes()
    before = record(bucket)
    empty("log", "rebuild")
    assert record(bucket) == before, "it adds nothing to the record"
    assert empty.answer("log-audit", "log", "audit")["verdict"] == "passed"
    assert empty.answer("sweep", "sweep", "--depth", "bytes")["verdict"] == "passed"
    assert f"{incident}  " in empty("incident", "show").out


def record(bucket: Bucket) -> set[str]:
    """All versions of all that is written once."""
    return {
        each["VersionId"]
        for each in bucket.versions()
        if not each["Key"].endswith("log/checkpoint") and ".p/" not in each["Key"]
    }


@pytest.mark.slow
def test_everything_but_what_must_change_is_locked_from_its_first_moment(
    on_s3: Evault, bucket: Bucket
) -> None:
    on_s3.declare()
    on_s3("ingest", DEMO / "agent")
    on_s3("ingest", on_s3.file("large.bin", bytes(11 << 20)))
    on_s3("checklist", "--seal")
    now = datetime.now(UTC)
    unlocked = set()
    for version in bucket.versions():
        key = version["Key"].removeprefix(f"{bucket.place.prefix}/")
        head = bucket.client.head_object(**bucket.where(version))
        if head.get("ObjectLockMode") is None:
            unlocked.add(key)
        else:
            assert head["ObjectLockMode"] == "GOVERNANCE"
            assert head["ObjectLockRetainUntilDate"] > now + timedelta(days=7 * 365)
    assert "log/checkpoint" in unlocked
    assert all(key == "log/checkpoint" or ".p/" in key for key in unlocked)


@pytest.mark.slow
def test_compliance_is_asked_for_and_binds_whoever_asks(empty: Evault, bucket: Bucket) -> None:
    empty("init", *bucket.options, "--lock", "compliance")
    incident = empty.declare()
    empty("ingest", DEMO / "agent")
    for head in bucket.heads("artifacts/"):
        assert head["ObjectLockMode"] == "COMPLIANCE"
    [version] = bucket.versions("artifacts/")
    with pytest.raises(bucket.client.exceptions.ClientError, match="AccessDenied"):
        bucket.client.delete_object(**bucket.where(version), BypassGovernanceRetention=True)
    assert "locked in compliance mode" in empty("retention", "show", incident).out
    empty.sound()


@pytest.mark.slow
def test_closing_with_compliance_turns_the_locks(on_s3: Evault, bucket: Bucket) -> None:
    incident = on_s3.declare()
    on_s3("ingest", DEMO / "agent")
    assert [head["ObjectLockMode"] for head in bucket.heads("artifacts/")] == ["GOVERNANCE"]
    said = on_s3("incident", "close", "--compliance")
    assert "1 object locked in compliance mode: nobody can remove them before" in " ".join(
        said.out.split()
    )
    assert [head["ObjectLockMode"] for head in bucket.heads("artifacts/")] == ["COMPLIANCE"]
    shown = " ".join(on_s3("custody", incident).out.split())
    assert "sealed with 3 exhibits, locked in compliance mode" in shown
    shown = on_s3.answer("incident-show", "incident", "show", incident)
    assert shown["lock"] == "compliance"
    on_s3.sound()


@pytest.mark.parametrize("through", ["home", "server"])
def test_closing_with_compliance_is_refused_whole_by_who_may_not_turn_locks(
    empty: Evault, bucket: Bucket, through: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with network(str(bucket.place.endpoint_url)) as net:
        empty("init", "--store", bucket.url, "--endpoint-url", net.endpoint)
        incident = empty.declare()
        empty("ingest", DEMO / "agent")
        words = ("incident", "close", incident, "--compliance")
        with ExitStack() as served:
            if through == "server":
                url, token = served.enter_context(serving_home(empty.home))
                monkeypatch.setenv("EVAULT_URL", url)
                monkeypatch.setenv("EVAULT_TOKEN", token)
            net.fail("PutObjectRetention", performed=False, status=403, times=100)
            said = run(*words)
            assert said.code == 2
            told = " ".join(said.err.split())
            assert told.count("evault: ") == 1
            for part in ("is not closed, and nothing was sealed", "s3:BypassGovernanceRetention",
                         "without compliance mode"):  # fmt: skip
                assert part in told
            net.faults.clear()
            monkeypatch.delenv("EVAULT_URL", raising=False)
            assert empty.link() == 1, "declared, captured, and nothing since"
            assert [head["ObjectLockMode"] for head in bucket.heads("artifacts/")] == ["GOVERNANCE"]
            if through == "server":
                monkeypatch.setenv("EVAULT_URL", url)
            assert run(*words).code == 0
            monkeypatch.delenv("EVAULT_URL", raising=False)
        assert [head["ObjectLockMode"] for head in bucket.heads("artifacts/")] == ["COMPLIANCE"]
        empty.sound()


def test_a_bucket_that_falls_short_is_refused_and_nothing_is_made(
    empty: Evault, plain_bucket: Bucket
) -> None:
    place = plain_bucket.fresh()
    message = empty.refused("init", *place.options)
    assert (
        f"{place.url} was not found fit to keep evidence; it lacks versioning and Object Lock"
        in (message)
    )
    for word in ("versions ", "legal hold ", "FAILED", "evault store check --store", "unlocked"):
        assert word in message
    assert "write once" not in message, "what works is not complained of"
    assert not empty.home.exists()
    assert place.versions() == []
    assert empty.problem("init", *place.options)["code"] == "refused"


@pytest.mark.slow
def test_a_bucket_that_was_accepted_all_the_same_is_told_of_in_every_report(
    empty: Evault, plain_bucket: Bucket
) -> None:
    place = plain_bucket.fresh()
    words = (
        f"{place.url}, accepted without versioning and Object Lock: whoever may write to the "
        "bucket can remove evidence from it"
    )
    made = empty("init", *place.options, "--accept-unlocked")
    assert " ".join(words.split(",")[1].split()) in " ".join(made.out.split())
    incident = empty.declare()
    empty("ingest", DEMO / "agent")
    for report in (
        empty.answer("verify", "verify"),
        empty.answer("log-audit", "log", "audit"),
    ):
        assert report["verdict"] == "passed"
        assert f"kept in {words}" in report["notes"]
    assert empty.answer("sweep", "sweep")["store"] == words
    for command in (
        ("hold", "set", "--matter", "M", "--reason", "r"),
        ("hold", "list"),
        ("retention", "show", incident),
        ("retention", "extend", "--until", "2099-01-01T00:00Z", "--reason", "r"),
        ("sweep", "--depth", "bytes"),
    ):
        assert words in " ".join(empty(*command).out.split()), command
    assert "locked in" not in empty("retention", "show", incident).out
    shown = empty.answer("retention-show", "retention", "show", incident)
    assert shown["drift"] == [], "what locks nothing has no locks that could drift"


@pytest.mark.slow
def test_a_server_without_locks_and_checksums_is_accepted_as_such(empty: Evault) -> None:
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket="moto-bucket", ObjectLockEnabledForBucket=True)
        client.close()
        store = ("--store", "s3://moto-bucket/p", "--region", "us-east-1")
        assert "it lacks Object Lock and checksums" in empty.refused("init", *store)
        said = empty.answer("init", "init", *store, "--accept-unlocked")
    assert said["store"]["lacks"] == ["Object Lock", "checksums"]
    known = read_config(empty.home).store
    assert known is not None
    assert (known.locks, known.versions) == (False, True)
    assert known.words == (
        "s3://moto-bucket/p, accepted without Object Lock and checksums: whoever may write to the "
        "bucket can remove evidence from it; it does not check, or cannot say, what arrived"
    )


@pytest.mark.slow
def test_a_store_without_checksums_is_read_instead_of_asked(on_s3: Evault) -> None:
    on_s3.declare()
    on_s3("ingest", DEMO / "agent")
    assert on_s3.answer("verify", "verify")["depth"] == "checksums"
    path = on_s3.home / "evault.json"
    config = json.loads(path.read_bytes())
    config["store"]["lacks"] = ["checksums"]
    path.write_text(json.dumps(config))
    report = on_s3.answer("verify", "verify")
    assert (report["verdict"], report["depth"]) == ("passed", "bytes")
    assert "accepted without checksums" in report["notes"][-1]
    assert on_s3.answer("sweep", "sweep")["depth"] == "bytes"


@pytest.mark.slow
def test_a_prefix_that_holds_a_record_is_refused(on_s3: Evault, bucket: Bucket) -> None:
    on_s3.declare()
    before = [each["VersionId"] for each in bucket.versions("log/")]
    other = on_s3.folder / "other"
    said = run("--home", other, "init", *bucket.options)
    assert said.code == 2
    assert f"{bucket.url} holds the record of a vault already; name another prefix" in said.err
    assert not (other / "evault.json").exists()
    assert [each["VersionId"] for each in bucket.versions("log/")] == before


def test_init_again_changes_nothing_and_the_store_cannot_change(
    on_s3: Evault, bucket: Bucket
) -> None:
    before = (on_s3.home / "evault.json").read_bytes()
    said = on_s3("init", *bucket.options)
    assert said.out == f"There is a vault in {on_s3.home} already; nothing was changed.\n"
    assert bucket.versions() == [], "and nothing was tried"
    message = on_s3.refused("init", "--store", f"{bucket.url}/other")
    assert f"keeps its record in {bucket.url}, with" in message
    assert "its store cannot change" in message
    message = on_s3.refused("init", "--database", "postgresql://u@h/d")
    assert f"keeps its index in {on_s3.home / 'index.sqlite'}; it cannot change" in message
    assert (on_s3.home / "evault.json").read_bytes() == before


def test_the_answer_to_json_tells_what_was_tried(empty: Evault, bucket: Bucket) -> None:
    said = empty.answer("init", "init", *bucket.options)
    assert said["store"] == {
        "kind": "s3", "lacks": [], "lock": "governance", "url": bucket.url,
    }  # fmt: skip
    assert said["database"] is None
    assert {each["outcome"] for each in said["findings"]} == {"passed"}
    [left] = said["left"]
    assert left["key"].startswith("check/")
    again = empty.answer("init", "init")
    assert (again["created"], again["findings"], again["left"]) == (False, [], [])


def test_what_was_asked_for_is_kept_and_read_back(empty: Evault, bucket: Bucket) -> None:
    options = ("--part-size", 7, "--concurrency", 3, "--region", "eu-central-1")
    empty("init", *bucket.options, *options)
    known = read_config(empty.home).store
    assert known == s3_config(
        bucket.url, endpoint_url=bucket.place.endpoint_url, region="eu-central-1", part_mib=7,
        concurrency=3,
    )  # fmt: skip
    assert known.part_size == 7 << 20


def test_what_init_takes_for_usual_is_what_the_adapter_does() -> None:
    assert PART_MIB << 20 == adapter.DEFAULT_PART_SIZE
    assert CONCURRENCY == adapter.DEFAULT_CONCURRENCY


@pytest.mark.parametrize(
    ("lacks", "told"),
    [
        ((), "s3://b/p, with versioning and Object Lock (governance)"),
        (
            ("checksums",),
            "s3://b/p, accepted without checksums: it does not check, or cannot say, what arrived",
        ),
        (
            ("versioning", "Object Lock", "conditional writes"),
            "s3://b/p, accepted without versioning, Object Lock and conditional writes: whoever "
            "may write to the bucket can remove evidence from it; it lets two writers write over "
            "each other",
        ),
    ],
)
def test_the_words_for_a_store_name_all_that_it_lacks(lacks: tuple[str, ...], told: str) -> None:
    config = S3Config(
        "b", "p", None, None, 1, 1, None, LockMode.GOVERNANCE,
        "Object Lock" not in lacks, "versioning" not in lacks, lacks,
    )  # fmt: skip
    assert config.words == told
    assert set(lacks) <= {each.value for each in Ability}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--lock", "compliance"), "--lock speaks of a bucket; it belongs to --store"),
        (("--accept-unlocked",), "--accept-unlocked speaks of a bucket"),
        (("--part-size", 16), "--part-size speaks of a bucket"),
        (("--endpoint-url", "http://h"), "--endpoint-url speaks of a bucket"),
        (
            ("--store", "file:///x"),
            "is not like s3://bucket/prefix; without it the store is a folder",
        ),
        (("--store", "s3://bucket/p", "--part-size", 4), "'--part-size'"),
        (("--store", "s3://bucket/p", "--lock", "soft"), "'--lock'"),
        (("--database-owner", "postgresql://o@h/d"), "belongs to --database; give both"),
        (("--database", "sqlite:///x"), "is not like postgresql://user@host/name"),
        (("--database", "postgresql://u:hunter2@h/d"), "has a password in it"),
        (("--database", "postgresql://u@h/d?password=hunter2"), "has a password in it"),
        (("--database", "postgresql://u:hunter2@[h/d"), "is not like"),
    ],
)
def test_what_makes_no_sense_is_refused(empty: Evault, words: tuple[str, ...], told: str) -> None:
    message = empty.refused("init", *words)
    assert told in message
    assert "hunter2" not in message, "a password is not repeated"
    if "password" in told:
        for remedy in ("PGPASSWORD", "~/.pgpass", "EVAULT_DATABASE"):
            assert remedy in message
    assert not empty.home.exists()


@pytest.mark.slow
def test_an_index_in_postgresql_belongs_to_another_and_cannot_be_altered(
    empty: Evault, bucket: Bucket, postgres_server: PostgresServer
) -> None:
    name = postgres_server.database()
    url, owner = postgres_server.url(name, SERVICE), postgres_server.url(name, OWNER)
    made = empty("init", *bucket.options, "--database", url, "--database-owner", owner)
    assert f"Its index is in {url}" in made.out
    assert "may add log entries and checkpoints there, not alter or remove any" in made.out
    config = json.loads((empty.home / "evault.json").read_bytes())
    assert config["database"] == url
    assert OWNER not in json.dumps(config), "the owner's URL is not kept"
    assert not (empty.home / "index.sqlite").exists()
    incident = empty.declare()
    empty("ingest", DEMO / "agent")
    empty("hold", "set", "--matter", "M", "--reason", "r")
    empty.sound()
    assert empty.answer("sweep", "sweep")["verdict"] == "passed"
    token = empty.answer("token-add", "token", "add", "ada@example.org")["token"]
    assert empty.answer("token-list", "token", "list")["items"] == [token]
    assert not (empty.home / "access.sqlite").exists()
    engine = sa.create_engine(sa.make_url(url).set(drivername="postgresql+psycopg"))
    schema = next(n for n in sa.inspect(engine).get_schema_names() if n.startswith("evault_0"))
    for table in ("log_entry", "publication"):
        with engine.connect() as connection:
            found = connection.execute(sa.text(f"SELECT count(*) FROM {schema}.{table}")).scalar()
            assert found, "there is something to remove"
            with pytest.raises(ProgrammingError, match="permission denied"):
                connection.execute(sa.text(f"DELETE FROM {schema}.{table}"))
    engine.dispose()
    assert "M (link 2)" in empty("retention", "show", incident).out


def test_who_owns_the_tables_is_told_that_he_could_alter_them(
    empty: Evault, postgres_server: PostgresServer
) -> None:
    url = postgres_server.url(postgres_server.database(), OWNER)
    made = empty("init", "--database", url)
    told = " ".join(made.out.split())
    assert "its user owns the tables, and could alter log entries" in told
    assert f"(the rest of {url} need not be saved: evault log rebuild makes it anew)" in told
    assert empty.answer("init", "init")["database"] == url
    run(*DECLARE)
    empty.sound()
