"""Whom to believe: the trust file, which comes from outside the bundle. No I/O.

    {"version": 1, "origin": …, "log": <vkey>, "manifest_keys": [{"spki", "from", "to"}],
     "collector_keys": [<SPKI>], "witness_policy": null, "timestamp_certificates": [],
     "required": ["package", "signatures", "chain", "log", "evidence", "pages"]}

A manifest key is valid for log indices from ≤ i < to; a null `to` is open.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from verify import strictjson
from verify.digest import b64, sha256_hex, unb64
from verify.envelope import ManifestKey
from verify.errors import MalformedError, UnsupportedError
from verify.note import VerifierKey
from verify.strictjson import Fields, Object

_MAX_TRUST = 1 << 20
MAX_KEYS = 1_000


class Step(StrEnum):
    """The numbered steps of an audit, in their order."""

    PACKAGE = "package"
    SIGNATURES = "signatures"
    CHAIN = "chain"
    LOG = "log"
    EVIDENCE = "evidence"
    PAGES = "pages"
    CHECKLIST = "checklist"
    FACTS = "facts"
    SEEN = "seen"
    WITNESS = "witness"
    TIME = "time"
    STORE = "store"
    COLLECTION = "collection"


DEFAULT_REQUIRED = (
    Step.PACKAGE,
    Step.SIGNATURES,
    Step.CHAIN,
    Step.LOG,
    Step.EVIDENCE,
    Step.PAGES,
)


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """A manifest key and the log indices for which it may sign."""

    key: ManifestKey
    start: int
    end: int | None

    def covers(self, index: int) -> bool:
        """Whether a statement at this log index may be signed by this key."""
        return self.start <= index and (self.end is None or index < self.end)


@dataclass(frozen=True, slots=True)
class Trust:
    """A parsed trust file."""

    origin: str
    log: VerifierKey
    manifest_keys: tuple[TrustedKey, ...]
    collector_keys: tuple[ManifestKey, ...]
    witness_policy: str | None
    timestamp_certificates: tuple[bytes, ...]
    required: tuple[Step, ...]
    data: bytes

    @property
    def keys(self) -> Sequence[ManifestKey]:
        """The keys that may sign statements on a chain."""
        return [trusted.key for trusted in self.manifest_keys]

    @property
    def sha256(self) -> str:
        """Digest of the trust file's bytes."""
        return sha256_hex(self.data)

    @property
    def lasting(self) -> Sequence[str]:
        """Its log's name and key, and the ids of the keys that sign statements, in words.

        What a person compares: the digest of the file changes with each collector that is let in.
        """
        return [f"log  {self.log}", *(f"key  {each.key_id}" for each in self.keys)]

    def covers(self, key: ManifestKey, index: int) -> bool:
        """Whether `key` may sign the statement at log index `index`."""
        return any(each.key.spki == key.spki and each.covers(index) for each in self.manifest_keys)


def parse_trust(data: bytes, *, where: str) -> Trust:
    """Read a trust file strictly. Raises `MalformedError` or `UnsupportedError`."""
    reader = Fields(strictjson.loads(data, where=where, limit=_MAX_TRUST), where)
    if reader.count("version") != 1:
        raise UnsupportedError(f"{where}: this is not version 1 of a trust file")
    log = VerifierKey.parse(reader.text("log"))
    required = reader.texts("required", limit=len(Step))
    if not set(required) <= set(Step):
        raise MalformedError(f"{where}.required: the steps are {', '.join(Step)}")
    trust = Trust(
        origin=reader.text("origin", limit=512),
        log=log,
        manifest_keys=tuple(
            _trusted(Fields(each, f"{where}.manifest_keys"))
            for each in reader.entries("manifest_keys", limit=MAX_KEYS)
        ),
        collector_keys=tuple(
            ManifestKey(unb64(each, where=f"{where}.collector_keys"))
            for each in reader.texts("collector_keys", limit=MAX_KEYS)
        ),
        witness_policy=reader.text_or_none("witness_policy"),
        timestamp_certificates=tuple(
            unb64(each, where=f"{where}.timestamp_certificates")
            for each in reader.texts("timestamp_certificates", limit=MAX_KEYS)
        ),
        required=tuple(step for step in Step if step in required),
        data=data,
    )
    reader.done()
    if trust.origin != log.name:
        raise MalformedError(f"{where}: the log's key is named {log.name}, not {trust.origin}")
    if not trust.manifest_keys:
        raise MalformedError(f"{where}: lists no manifest key")
    collectors = {key.spki for key in trust.collector_keys}
    if any(each.key.spki in collectors for each in trust.manifest_keys):
        raise MalformedError(f"{where}: one key is both a manifest key and a collector's")
    return trust


def read_trust(path: Path) -> Trust:
    """Read a trust file from where it lies. Raises as `parse_trust` does, and `OSError`."""
    with path.open("rb") as file:
        data = file.read(_MAX_TRUST + 1)
    if not data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        raise MalformedError(
            f"{path.name}: not JSON, and so no trust file; whoever runs the vault has it: "
            "evault trust"
        )
    return parse_trust(data, where=path.name)


def format_trust(*, log: VerifierKey, manifest_keys: Sequence[ManifestKey]) -> bytes:
    """The trust file of a new vault: its log, its keys without limits, the default steps."""
    value: Object = {
        "collector_keys": [],
        "log": str(log),
        "manifest_keys": [{"from": 0, "spki": b64(key.spki), "to": None} for key in manifest_keys],
        "origin": log.name,
        "required": [step.value for step in DEFAULT_REQUIRED],
        "timestamp_certificates": [],
        "version": 1,
        "witness_policy": None,
    }
    return strictjson.dumps(value) + b"\n"


def with_collector(trust: Trust, key: ManifestKey) -> bytes:
    """The trust file that lists one collector's key more, at the end; else as it was.

    A key that is listed already changes nothing. Raises `MalformedError` for a manifest key, and
    where it lists as many as a trust file may: one more, and nobody could read it.
    """
    if any(each.spki == key.spki for each in trust.keys):
        raise MalformedError("that key signs this vault's own statements; no collector may have it")
    if any(each.spki == key.spki for each in trust.collector_keys):
        return trust.data
    if len(trust.collector_keys) >= MAX_KEYS:
        raise MalformedError(f"a trust file lists at most {MAX_KEYS:,} collectors' keys")
    value: Object = strictjson.loads(trust.data, where="trust file", limit=1 << 20)
    value["collector_keys"] = [*value["collector_keys"], b64(key.spki)]
    return strictjson.dumps(value) + b"\n"


def _trusted(reader: Fields) -> TrustedKey:
    end = None if reader.raw("to") is None else reader.count("to")
    trusted = TrustedKey(
        ManifestKey(unb64(reader.raw("spki"), where=reader.where)), reader.count("from"), end
    )
    reader.done()
    return trusted
