"""Makes the worked example of `verify/FORMAT.md`: `python tests/golden/make_worked_example.py`.

A vault in a temporary folder, with test-only keys that anybody can derive, fixed salts and fixed
times, tells one small story; everything that came of it goes to `worked-example/`. What was made
is committed, and must verify for ever: do not run this again to make a failing test pass, only to
make the example of a new version of the format, in a folder of its own.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from vault import layout
from vault.adapters.database import SqliteDatabase
from vault.adapters.directory import DirectoryStore
from vault.adapters.pem import Ed25519Signer
from vault.adapters.sql import SqlIndex
from vault.capture import OpenCapture
from vault.completeness import built_in_profile
from vault.deposit import Door, Receipt
from vault.export import Exporter, Target
from vault.incidents import Incidents
from vault.log import Log
from vault.ports import LockMode
from vault.retention import Retention
from verify.description import Description
from verify.envelope import ManifestKey, leaf_of, pae, parse_envelope
from verify.facts import Facts, Finding, ToolUse
from verify.merkle import leaf_hash, node_hash
from verify.note import VerifierKey
from verify.statement import Actor, Type
from verify.trust import format_trust, parse_trust

GOLDEN = Path(__file__).parent / "worked-example"
ORIGIN = "log.example/worked-example"
INCIDENT = "INC-2026-0001"
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

TRACE = b"""\
{"run": "run-7", "calls": [
  {"tool": "read_calendar", "result": "1 entry"},
  {"tool": "send_email", "to": "stranger@example.org", "result": "sent"}
]}
"""
ALERT = b"""\
{"detector": "dlp-1", "at": "2026-03-02T09:12:40Z", "rule": "customer list", "action": "logged"}
"""


def derived(what: str) -> bytes:
    """32 bytes that anybody can make again: keys and salts of the example."""
    return hashlib.sha256(f"evidence-vault worked example: {what}".encode()).digest()


def manifest_key() -> ec.EllipticCurvePrivateKey:
    """The P-256 key; its scalar is the derived number modulo n-1, plus 1."""
    scalar = int.from_bytes(derived("manifest key"), "big") % (P256_ORDER - 1) + 1
    return ec.derive_private_key(scalar, ec.SECP256R1())


def log_key() -> ed25519.Ed25519PrivateKey:
    """The Ed25519 key; its seed is the derived bytes."""
    return ed25519.Ed25519PrivateKey.from_private_bytes(derived("log key"))


class DeterministicSigner:
    """`Signer` with a P-256 key whose nonces are those of RFC 6979."""

    def __init__(self, private: ec.EllipticCurvePrivateKey) -> None:
        self._private = private
        self.public = private.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def sign(self, message: bytes) -> bytes:
        """DER ECDSA over SHA-256."""
        return self._private.sign(message, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))


class Moment:
    """A clock that stands still until it is set; what is random depends on it alone."""

    def __init__(self) -> None:
        self.now = datetime.fromisoformat("2026-03-02T09:00:00Z")
        self._salts = 0
        self._drawn = 0

    def set(self, text: str) -> None:
        """Set the clock."""
        self.now = datetime.fromisoformat(text)
        self._drawn = 0

    def __call__(self) -> datetime:
        return self.now

    @contextmanager
    def instead_of_chance(self) -> Iterator[None]:
        """Salts and ULIDs as they are derived here."""
        true_hex = secrets.token_hex
        with (
            patch.object(
                secrets, "token_hex", lambda size: self._salt() if size == 32 else true_hex(size)
            ),
            patch.object(secrets, "randbits", self._bits),
        ):
            yield

    def _salt(self) -> str:
        self._salts += 1
        return derived(f"salt {self._salts}").hex()

    def _bits(self, count: int) -> int:
        self._drawn += 1
        drawn = derived(f"{self.now.isoformat()} {self._drawn}")
        return int.from_bytes(drawn, "big") >> (256 - count)


@dataclass
class Story:
    """The example's vault."""

    clock: Moment
    store: DirectoryStore
    index: SqlIndex
    log: Log
    door: Door
    incidents: Incidents
    exporter: Exporter
    retention: Retention
    trust: bytes

    @classmethod
    def begin(cls, folder: Path) -> Story:
        """Put a vault together in an empty folder."""
        clock = Moment()
        signer, log_signer = DeterministicSigner(manifest_key()), Ed25519Signer(log_key())
        key = ManifestKey(signer.public)
        trust = format_trust(log=VerifierKey(ORIGIN, log_signer.public), manifest_keys=[key])
        (folder / "store").mkdir()
        store = DirectoryStore(folder / "store")
        index = SqlIndex(SqliteDatabase(folder / "index.sqlite", create=True))
        log = Log(store, index, log_signer, ORIGIN, key)
        actor = Actor("ada@lab.example", "person", "uid 1000, local", "Ada")
        door = Door(index=index, log=log, signer=signer, clock=clock, actor=actor)
        incidents = Incidents(store=store, index=index, door=door, clock=clock, key=key)
        exporter = Exporter(
            incidents=incidents,
            store=store,
            log=log,
            clock=clock,
            trust=parse_trust(trust, where="trust.json"),
            version="0.1.0",
        )
        retention = Retention(
            store=store,
            index=index,
            door=door,
            incidents=incidents,
            clock=clock,
            key=key,
            mode=LockMode.GOVERNANCE,
        )
        return cls(clock, store, index, log, door, incidents, exporter, retention, trust)

    def declare(self) -> Receipt:
        """Link 0, log index 0."""
        self.clock.set("2026-03-02T09:21:07.250Z")
        _, receipt = self.incidents.declare(
            {
                "declared_at": "2026-03-02T09:20:00Z",
                "detected_at": "2026-03-02T09:13:00Z",
                "severity": "sev2",
                "systems": ["mail-agent"],
                "tier": "3",
                "title": "Mail agent sent a customer list out",
                "trigger": "egress",
            }
        )
        return receipt

    def another_matter(self) -> None:
        """Log indices 1 to 3: entries that the bundle says nothing about."""
        self.clock.set("2026-03-02T09:22:00Z")
        other, _ = self.incidents.declare(
            {
                "declared_at": "2026-03-02T09:21:30Z",
                "detected_at": "2026-03-02T09:00:00Z",
                "severity": "sev4",
                "systems": ["crm"],
                "tier": "unknown",
                "title": "Another matter",
                "trigger": "unknown",
            }
        )
        self.clock.set("2026-03-02T09:23:00Z")
        self.incidents.assign(other, "incident_commander", "Grace", self.clock())
        self.clock.set("2026-03-02T09:24:00Z")
        self.incidents.state(
            other, Type.INCIDENT, {"at": "2026-03-02T09:23:30Z", "event": "phase",
                                   "exhibits": [], "phase": "triaged"}
        )  # fmt: skip

    def capture(self) -> Receipt:
        """Link 1, log index 4: two exhibits."""
        self.clock.set("2026-03-02T09:30:00Z")
        capture = OpenCapture(
            store=self.store,
            index=self.index,
            door=self.door,
            clock=self.clock,
            chain=INCIDENT,
            deposit="worked-example",
            system="mail-agent",
            source=None,
            method="typed by hand",
            collector={"host": "lab.example", "name": "worked example", "version": "1"},
            guard=partial(self.retention.guard, INCIDENT),
        )
        captured = datetime.fromisoformat("2026-03-02T09:29:58Z")
        for number, (name, content, kinds, label, summary, facts) in enumerate(_exhibits(), 1):
            kept = capture.keep([content], size=len(content))
            description = Description(
                salt=derived(f"description {number}").hex(),
                name=name,
                name_bytes=None,
                path=f"/evidence/{name}",
                label=label,
                summary=summary,
                modified_at=datetime.fromisoformat("2026-03-02T09:14:00Z"),
                captured_at=captured,
                remarks=(),
                facts=facts,
            )
            capture.claim(kept, kinds=kinds, description=description)
        return capture.commit()[0]

    def export(self, path: Path) -> None:
        """Links 2 and 3, log indices 5 and 6: the assessment, and the export that closes it."""
        self.clock.set("2026-03-02T10:00:00Z")
        self.exporter.export(
            INCIDENT,
            Target(path),
            profile=built_in_profile(),
            purpose="the worked example of FORMAT.md",
            recipient=None,
            withheld={},
        )


def _exhibits() -> list[tuple[str, bytes, tuple[str, ...], str, str, Facts]]:
    return [
        (
            "trace.json",
            TRACE,
            ("prompt", "tool_trace"),
            "JSON",
            "2 tool calls, the last one send_email",
            Facts(
                "worked example",
                1,
                "json",
                records=2,
                runs=("run-7",),
                tools=(ToolUse("read_calendar", 1, 0), ToolUse("send_email", 1, 0)),
                last_tool="send_email",
                not_captured=("times",),
            ),
        ),
        (
            "DLP alert (1).json",
            ALERT,
            ("dlp_finding",),
            "JSON",
            "1 finding",
            Facts(
                "worked example",
                1,
                "json",
                records=1,
                clock="zoned",
                first="2026-03-02T09:12:40Z",
                last="2026-03-02T09:12:40Z",
                findings=(Finding("dlp-1", "customer list", 1, "2026-03-02T09:12:40Z", "logged"),),
            ),
        ),
    ]


def make(target: Path) -> None:
    """Write the bundle, the trust file, what else is handed out, and every value on the way."""
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        story = Story.begin(Path(folder))
        try:
            with story.clock.instead_of_chance():
                story.declare()
                story.another_matter()
                receipt = story.capture()
                story.export(target / "bundle.zip")
            _write(target, story, receipt)
        finally:
            story.index.close()


def _write(target: Path, story: Story, receipt: Receipt) -> None:
    store = story.store
    publication = layout.publication(receipt.checkpoint_number)
    files = {
        "trust.json": story.trust,
        "receipt.json": json.dumps(receipt.to_json(), indent=1, sort_keys=True).encode() + b"\n",
        "consistency-5-7.txt": str(story.log.consistency(5, 7)).encode(),
        "published-5.json": store.get(publication),
        "tile-0-000.p-7": store.get(layout.tile(0, 0, 7)),
        "entries-000.p-7": store.get(layout.entry_bundle(0, 7)),
    }
    for name, data in files.items():
        (target / name).write_bytes(data)
    values = json.dumps(_values(target, store.get(layout.tile(0, 0, 7))), indent=1, sort_keys=True)
    (target / "values.json").write_text(values + "\n")


def _values(target: Path, tile: bytes) -> dict[str, Any]:
    signer = DeterministicSigner(manifest_key())
    log = VerifierKey(ORIGIN, Ed25519Signer(log_key()).public)
    leaves = [tile[start : start + 32] for start in range(0, len(tile), 32)]
    with zipfile.ZipFile(target / "bundle.zip") as archive:
        base = f"{INCIDENT}/data/"
        names = [name for name in archive.namelist() if name.startswith(f"{base}chain/")]
        links = [_link(archive.read(name), signer.public) for name in sorted(names)]
        proof = json.loads(archive.read(f"{base}proof/inclusion.json"))
        checkpoint = archive.read(f"{base}proof/checkpoint").decode()
    for link, index in zip(links, proof["indices"], strict=True):
        link["index"] = index
    return {
        "checkpoint": checkpoint,
        "exhibits": {
            "EV-0001": hashlib.sha256(TRACE).hexdigest(),
            "EV-0002": hashlib.sha256(ALERT).hexdigest(),
        },
        "keys": {
            "log_public": log.public.hex(),
            "log_seed": derived("log key").hex(),
            "manifest_key_id": ManifestKey(signer.public).key_id,
            "manifest_scalar": f"{manifest_key().private_numbers().private_value:064x}",
            "manifest_spki": base64.b64encode(signer.public).decode(),
            "vkey": str(log),
        },
        "links": links,
        "log": {"leaf_hashes": [each.hex() for each in leaves], "nodes": _nodes(leaves)},
        "proof": proof,
    }


def _link(data: bytes, spki: bytes) -> dict[str, Any]:
    envelope = parse_envelope(data, where="link")
    leaf = leaf_of(envelope, spki)
    return {
        "envelope": data.decode(),
        "leaf": leaf.decode(),
        "leaf_hash": leaf_hash(leaf).hex(),
        "pae_sha256": hashlib.sha256(pae(envelope.payload)).hexdigest(),
        "payload": envelope.payload.decode(),
        "signature": base64.b64encode(envelope.signature).decode(),
    }


def _nodes(leaves: list[bytes]) -> dict[str, str]:
    """The nodes of the tree of seven, by the leaves below each: `0-3` is [0, 4)."""
    zero, two, four = (node_hash(leaves[n], leaves[n + 1]) for n in (0, 2, 4))
    left, right = node_hash(zero, two), node_hash(four, leaves[6])
    named = {
        "0-1": zero,
        "2-3": two,
        "4-5": four,
        "0-3": left,
        "4-6": right,
        "0-6": node_hash(left, right),
    }
    return {name: node.hex() for name, node in named.items()}


if __name__ == "__main__":
    make(GOLDEN)
