"""A vault of its own for every test of the command line."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from cli_bucket import Bucket
from cli_served import ELSEWHERE, ServedEvault, is_served, serving_home
from cli_support import Evault, run
from moto import mock_aws
from servers.s3 import S3Bucket, S3Server, make_bucket

from vault.adapters.s3 import S3Place


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new home, to be copied: most tests are not about `init`."""
    home = tmp_path_factory.mktemp("made") / "home"
    assert run("--home", home, "init").code == 0
    return home


@pytest.fixture(scope="session")
def declared(made: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A home with one open incident, to be copied."""
    home = tmp_path_factory.mktemp("declared") / "home"
    shutil.copytree(made, home)
    before = os.environ.get("EVAULT_HOME")
    os.environ["EVAULT_HOME"] = str(home)
    try:
        return home, Evault(home, home.parent).declare()
    finally:
        if before is None:
            del os.environ["EVAULT_HOME"]
        else:
            os.environ["EVAULT_HOME"] = before


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Evault]:
    """No vault yet; the working folder is empty. What a test leaves is large, and not kept."""
    folder = tmp_path / "work"
    folder.mkdir()
    for name in ("EVAULT_ACTOR", "EVAULT_DEBUG", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("EVAULT_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(folder)
    yield Evault(tmp_path / "home", folder)
    shutil.rmtree(tmp_path, ignore_errors=True)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what applies to it against a served vault as well."""
    if "where" in metafunc.fixturenames:
        marks = is_served(metafunc)
        places = [pytest.param("here")]
        if marks is not None:
            places.append(pytest.param("served", marks=marks))
        metafunc.parametrize("where", places, ids=lambda place: "" if place == "here" else place)


@pytest.fixture
def where() -> str:
    """At home, where nobody says otherwise: a fixture that asks for a vault while a test runs."""
    return "here"


@pytest.fixture
def evault(
    where: str,
    empty: Evault,
    made: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Evault]:
    """A vault in which nothing happened yet; here, or served by a server that commands ask."""
    if where == "here":
        if not empty.home.exists():
            shutil.copytree(made, empty.home)
        yield empty
        return
    declared = "case" in request.fixturenames
    source = request.getfixturevalue("declared")[0] if declared else made
    shutil.copytree(source, empty.home)
    with serving_home(empty.home) as (url, token):
        monkeypatch.setenv("XDG_DATA_HOME", str(empty.home.parent / "data"))
        monkeypatch.setenv("EVAULT_URL", url)
        monkeypatch.setenv("EVAULT_TOKEN", token)
        assert run("trust").code == 0  # pins the trust file, and says so: once
        yield ServedEvault(empty.home, empty.folder)


@pytest.fixture
def case(evault: Evault, declared: tuple[Path, str]) -> str:
    """A vault with one open incident; its id."""
    home, incident = declared
    if ELSEWHERE in os.environ:
        return incident
    shutil.rmtree(evault.home)
    shutil.copytree(home, evault.home)
    return incident


@pytest.fixture
def reachable(
    declared: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Evault, str]]:
    """The same, in a folder that an account without privileges can reach; see `unprivileged`."""
    top = Path(tempfile.mkdtemp(prefix="evault-"))
    top.chmod(0o755)
    folder = top / "work"
    folder.mkdir()
    shutil.copytree(declared[0], top / "home")
    monkeypatch.setenv("EVAULT_HOME", str(top / "home"))
    monkeypatch.chdir(folder)
    try:
        yield Evault(top / "home", folder), declared[1]
    finally:
        monkeypatch.undo()
        for path in (top, *top.rglob("*")):
            if path.is_dir() and not path.is_symlink():
                path.chmod(0o700)
        shutil.rmtree(top)


@pytest.fixture(scope="session")
def locked_bucket(s3_server: S3Server) -> Iterator[Bucket]:
    """A bucket with Object Lock."""
    made = make_bucket(s3_server)
    client = made.client
    yield Bucket(made, client, S3Place(made.name, "p0", s3_server.endpoint))
    client.close()


@pytest.fixture
def bucket(locked_bucket: Bucket) -> Bucket:
    """A prefix of its own in a bucket with Object Lock."""
    return locked_bucket.fresh()


@pytest.fixture(scope="session")
def plain_bucket(s3_server: S3Server) -> Iterator[Bucket]:
    """A bucket without versions and locks."""
    made = S3Bucket(s3_server, "without-locks")
    client = made.client
    client.create_bucket(Bucket=made.name)
    yield Bucket(made, client, S3Place(made.name, "p0", s3_server.endpoint))
    client.close()


@pytest.fixture(scope="session")
def made_on_s3(locked_bucket: Bucket, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new home whose store is in a bucket, to be copied."""
    home = tmp_path_factory.mktemp("made-on-s3") / "home"
    said = run("--home", home, "init", *locked_bucket.options, "--part-size", 5)
    assert said.code == 0, said.err
    return home


@pytest.fixture
def on_s3(empty: Evault, bucket: Bucket, made_on_s3: Path) -> Evault:
    """A vault in which nothing happened yet, under a prefix of its own in the bucket."""
    shutil.copytree(made_on_s3, empty.home)
    path = empty.home / "evault.json"
    config = json.loads(path.read_bytes())
    config["store"]["prefix"] = bucket.place.prefix
    path.write_bytes(json.dumps(config).encode())
    return empty


@pytest.fixture
def trail_bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A client of a bucket with versioning, in memory: what `ingest s3://` reads from."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket="trail-bucket")
        client.put_bucket_versioning(
            Bucket="trail-bucket", VersioningConfiguration={"Status": "Enabled"}
        )
        yield client
