"""What a home remembers of its vault in `evault.json`: origin, store and index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vault.errors import UnavailableError
from vault.ports import LockMode
from verify import strictjson
from verify.errors import EvidenceError
from verify.strictjson import Fields, Object

CONFIG = "evault.json"
RECORD_DAYS = 10 * 365 + 2
"""For how long chains and log are retained: longer than any evidence, which they outlive."""
PART_MIB = 8
CONCURRENCY = 8

_WITHOUT = {
    "versioning": "whoever may write to the bucket can remove evidence from it",
    "Object Lock": "whoever may write to the bucket can remove evidence from it",
    "conditional writes": "it lets two writers write over each other",
    "checksums": "it does not check, or cannot say, what arrived",
}
"""What follows where a bucket was accepted without it; by the names of `s3_check.Ability`."""


@dataclass(frozen=True, slots=True)
class S3Config:
    """A store in a bucket, and what the bucket was found to be able to do."""

    bucket: str
    prefix: str
    endpoint_url: str | None
    region: str | None
    part_size: int
    concurrency: int
    kms_key: str | None
    lock: LockMode
    locks: bool
    """False where the bucket was accepted without Object Lock: every report says so."""
    versions: bool
    lacks: tuple[str, ...] = ()
    """All that did not work there when it was accepted."""

    @property
    def url(self) -> str:
        """`s3://bucket/prefix`."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    @property
    def words(self) -> str:
        """How well the store keeps what it holds, for reports."""
        missing = list(self.lacks)
        for name, there in (("Object Lock", self.locks), ("versioning", self.versions)):
            if not there and name not in missing:
                missing.insert(0, name)
        if not missing:
            return f"{self.url}, with versioning and Object Lock ({self.lock.value})"
        risks = dict.fromkeys(_WITHOUT[name] for name in missing if name in _WITHOUT)
        return f"{self.url}, accepted without {and_text(missing)}: {'; '.join(risks)}"

    def to_json(self) -> Object:
        """The JSON object."""
        return {
            "bucket": self.bucket,
            "concurrency": self.concurrency,
            "endpoint_url": self.endpoint_url,
            "kind": "s3",
            "kms_key": self.kms_key,
            "lacks": list(self.lacks),
            "lock": self.lock.value,
            "locks": self.locks,
            "part_size": self.part_size,
            "prefix": self.prefix,
            "region": self.region,
            "versions": self.versions,
        }


@dataclass(frozen=True, slots=True)
class HomeConfig:
    """A home's configuration; no store is the folder in the home, no database the file there."""

    origin: str
    store: S3Config | None = None
    database: str | None = None
    served: str | None = None
    """How the server of a vault elsewhere says that its store keeps what it holds."""

    @property
    def store_words(self) -> str:
        """How well the store keeps what it holds, for reports."""
        if self.served is not None:
            return self.served
        if self.store:
            return self.store.words
        return "a folder, which cannot be locked against its owner"

    def encode(self) -> bytes:
        """The file's bytes."""
        store: Object = self.store.to_json() if self.store else {"kind": "directory"}
        value: Object = {"origin": self.origin, "store": store, "version": 1}
        if self.database:
            value["database"] = self.database
        return strictjson.dumps(value) + b"\n"


def read_config(home: Path, *, database: str | None = None) -> HomeConfig:
    """Read `evault.json` strictly; `database` overrides the one named there.

    Raises `UnavailableError`, `EvidenceError`.
    """
    path = home / CONFIG
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UnavailableError(f"cannot read {path}: {error.strerror}") from error
    reader = Fields(strictjson.loads(data, where=str(path)), CONFIG)
    if reader.count("version") != 1:
        raise EvidenceError(f"{path} is of a later evault")
    store = reader.object("store")
    kind = store.text("kind")
    if kind not in ("directory", "s3"):
        raise EvidenceError(f"{path}: {kind!r} is no kind of store; it is directory or s3")
    own = reader.text("database") if reader.has("database") else None
    config = HomeConfig(
        origin=reader.text("origin"),
        store=_s3(store) if kind == "s3" else None,
        database=database or own,
    )
    store.done()
    reader.done()
    return config


def _s3(store: Fields) -> S3Config:
    return S3Config(
        bucket=store.text("bucket"),
        prefix=store.text("prefix"),
        endpoint_url=store.text_or_none("endpoint_url"),
        region=store.text_or_none("region"),
        part_size=store.count("part_size"),
        concurrency=store.count("concurrency"),
        kms_key=store.text_or_none("kms_key"),
        lock=LockMode(store.text("lock")),
        locks=store.raw("locks") is True,
        versions=store.raw("versions") is True,
        lacks=tuple(store.texts("lacks")) if store.has("lacks") else (),
    )


def s3_config(
    url: str,
    *,
    endpoint_url: str | None = None,
    region: str | None = None,
    part_mib: int = PART_MIB,
    concurrency: int = CONCURRENCY,
    kms_key: str | None = None,
    lock: LockMode = LockMode.GOVERNANCE,
) -> S3Config:
    """A store as it was named; `url` is `s3://bucket/prefix`, checked before."""
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    return S3Config(
        bucket=bucket,
        prefix=prefix.strip("/"),
        endpoint_url=endpoint_url,
        region=region,
        part_size=part_mib << 20,
        concurrency=concurrency,
        kms_key=kms_key,
        lock=lock,
        locks=True,
        versions=True,
    )


def and_text(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last
