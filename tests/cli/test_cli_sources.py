"""Evidence in a git repository and in a bucket, sealed with what its place says of it."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cli_support import SAMPLES, Evault, run


def git(folder: Path, *words: str) -> str:
    names = {"GIT_AUTHOR_NAME": "Ada", "GIT_COMMITTER_NAME": "Ada", "GIT_CONFIG_GLOBAL": os.devnull}
    names |= {"GIT_AUTHOR_EMAIL": "a@example.org", "GIT_COMMITTER_EMAIL": "a@example.org"}
    done = subprocess.run(
        ["git", "-C", str(folder), *words],
        env=os.environ | names, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return done.stdout.strip()


@pytest.fixture
def repository(evault: Evault) -> Path:
    folder = evault.folder / "repo"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    for text in ("one\n", "two\n"):
        (folder / "file.txt").write_text(text)
        git(folder, "add", ".")
        git(folder, "commit", "-q", "-m", text.strip())
    return folder


def sealed(evault: Evault) -> dict[str, bytes]:
    found = {}
    for item in run("evidence", "list", "--json").json["items"]:
        target = evault.folder / f"got-{item['exhibit']}"
        evault("evidence", "get", item["exhibit"], "--purpose", "look", "-o", target)
        found[item["name"].rpartition("/")[2]] = target.read_bytes()
    return found


def test_a_revision_is_sealed_so_that_its_hashes_recompute(
    evault: Evault, case: str, repository: Path
) -> None:
    commit = git(repository, "rev-parse", "HEAD~1")
    said = evault.answer("ingest", "ingest", case, "--git", repository, "--rev", "HEAD~1")
    assert [item["name"] for item in said["items"]] == [
        f"repo@{commit[:12]}/{name}" for name in ("commit", "tree", "bundle")
    ]
    tree = git(repository, "rev-parse", f"{commit}^{{tree}}")
    assert said["items"][1]["summary"] == f"1 file of the tree {tree[:12]}"
    found = sealed(evault)
    header = f"commit {len(found['commit'])}\0".encode()
    assert hashlib.sha1(header + found["commit"]).hexdigest() == commit
    assert found["tree"].endswith(b"\tfile.txt\0")
    clone = evault.folder / "clone"
    bundle = evault.file("c.bundle", found["bundle"])
    git(evault.folder, "clone", "-q", "-b", "evidence", str(bundle), str(clone))
    assert git(clone, "rev-parse", "HEAD") == commit
    assert (clone / "file.txt").read_text() == "one\n"
    git(clone, "fsck", "--strict")
    evault.sound()


def test_a_replacement_does_not_stand_in_for_a_commit(
    evault: Evault, case: str, repository: Path
) -> None:
    commit = git(repository, "rev-parse", "HEAD")
    git(repository, "replace", commit, git(repository, "rev-parse", "HEAD~1"))
    evault("ingest", "--git", repository)
    found = sealed(evault)
    header = f"commit {len(found['commit'])}\0".encode()
    assert hashlib.sha1(header + found["commit"]).hexdigest() == commit


@pytest.mark.parametrize("revision", ["absent", "--help", "-o", "HEAD:file.txt", ""])
def test_what_is_no_commit_seals_nothing(
    evault: Evault, case: str, repository: Path, revision: str
) -> None:
    before = evault.link(case)
    assert "nothing sealed" in evault.refused("ingest", "--git", repository, f"--rev={revision}")
    assert "nothing sealed" in evault.refused("ingest", "--git", evault.folder / "none")
    assert evault.link(case) == before


def test_git_that_fails_on_the_way_is_told(evault: Evault, case: str, repository: Path) -> None:
    blob = git(repository, "rev-parse", "HEAD~1:file.txt")
    (repository / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    said = evault.answer("ingest", "ingest", "--git", repository, code=1)
    assert [item["name"].rpartition("/")[2] for item in said["items"]] == ["commit", "tree"]
    assert said["not_kept"][0]["detail"].startswith("git: ")


def test_objects_are_sealed_with_their_metadata_and_version(
    evault: Evault, case: str, trail_bucket: Any
) -> None:
    paths = sorted((SAMPLES / "cloudtrail").glob("218007301253*"))
    versions = {}
    for path in paths:
        put = trail_bucket.put_object(
            Bucket="trail-bucket", Key=f"AWSLogs/x/{path.name}", Body=path.read_bytes(),
            Metadata={"signature": "00ff", "signature-algorithm": "SHA256withRSA"},
        )  # fmt: skip
        versions[path.name] = put["VersionId"]
    trail_bucket.put_object(Bucket="trail-bucket", Key="AWSLogs/x/", Body=b"")
    trail_bucket.put_object(Bucket="trail-bucket", Key="elsewhere", Body=b"x")
    said = evault.answer("ingest", "ingest", case, "s3://trail-bucket/AWSLogs/x")
    assert [item["name"] for item in said["items"]] == [
        f"trail-bucket/x/{path.name}" for path in paths
    ]
    for item, path in zip(said["items"], paths, strict=True):
        assert item["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert item["path"] == f"s3://trail-bucket/AWSLogs/x/{path.name}"
        assert item["format"] == "CloudTrail"
        assert f"s3 version id {versions[path.name]}" in item["remarks"]
        assert "s3 metadata signature=00ff" in item["remarks"]
    again = evault("ingest", case, "s3://trail-bucket/AWSLogs/x")
    assert "sealed before" in again.out
    assert "s3 etag" not in again.out
    evault.sound()


def test_what_a_bucket_refuses_seals_nothing(evault: Evault, case: str, trail_bucket: Any) -> None:
    before = evault.link(case)
    for url in ("s3://absent-bucket/x", "s3://UPPER/x", "s3://"):
        assert "s3://" in evault.refused("ingest", case, url)
    assert "there is nothing in" in evault.refused("ingest", case, "s3://trail-bucket/none")
    assert evault.link(case) == before


def test_an_object_that_changes_after_listing_is_not_taken(trail_bucket: Any) -> None:
    from ingest.source import SourceUnreadableError
    from ingest.sources.s3 import S3Source

    trail_bucket.put_object(Bucket="trail-bucket", Key="a", Body=b"one")
    source = S3Source("s3://trail-bucket/")
    [found] = source.survey()
    trail_bucket.put_object(Bucket="trail-bucket", Key="a", Body=b"two")
    with pytest.raises(SourceUnreadableError, match="while it was read"):
        source.open(found)
