"""An incident's chain in a few lines: links as a reader of a chain has them, and a fold of them."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from verify.chain import Manifest
from verify.digest import sha256_hex
from verify.envelope import Envelope, ManifestKey
from verify.incident import Incident
from verify.statement import (
    MIN_PART_SIZE,
    SEEN_NOTHING,
    Actor,
    Capture,
    Described,
    Item,
    Link,
    Place,
    Statement,
    Stored,
    Subject,
    Type,
    chain_subject,
)
from verify.strictjson import Object

KEY = ManifestKey(
    ec.derive_private_key(1, ec.SECP256R1())
    .public_key()
    .public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
)
ADA = Actor("ada@lab", "person", "uid 1000, local", "Ada Lovelace")
INCIDENT = "INC-2026-0001"
START = datetime(2026, 3, 2, 9, tzinfo=UTC)
DECLARED: Object = {
    "declared_at": "2026-03-02T09:00:00Z",
    "detected_at": "2026-03-02T09:00:00Z",
    "event": "declared",
    "severity": "sev1",
    "systems": ["crm"],
    "tier": "3",
    "title": "Mail went out",
    "trigger": "egress",
}


def exhibit_subject(name: str) -> Subject:
    return Subject(name, sha256_hex(name.encode()))


def manifest_of(kind: Type, body: Object, link: Link, **changes: Any) -> Manifest:
    """A link as a reader of a chain has it; its signature is of no interest here."""
    lists = (body.get(name) for name in ("exhibits", "compensating"))
    listed = [each for names in lists if isinstance(names, list) for each in names]
    named = dict.fromkeys(each for each in listed if isinstance(each, str))
    subject = tuple(map(exhibit_subject, named))
    statement = Statement(
        type=kind,
        subject=subject or (chain_subject(link.chain),),
        log="log.example",
        link=link,
        deposit=f"d-{link.sequence}",
        actor=ADA,
        recorded_at=START + timedelta(minutes=link.sequence),
        salt="00" * 32,
        seen=SEEN_NOTHING,
        body=body,
    )
    leaf = sha256_hex(f"{link.chain} {link.sequence}".encode())
    return Manifest(Envelope(b"{}", "", b""), replace(statement, **changes), KEY, leaf)


@dataclass
class Story:
    """An incident with one exhibit, and what is said of it next."""

    incident: Incident = field(default_factory=lambda: Incident(INCIDENT))

    def __post_init__(self) -> None:
        self.say(Type.INCIDENT, DECLARED)
        self.capture()

    def say(self, kind: Type, body: Object, **changes: Any) -> Incident:
        sequence = self.incident.sequence + 1
        link = Link(INCIDENT, sequence, self.incident.leaf or None)
        as_it_was, next_ = deepcopy(self.incident), self.incident.continued()
        try:
            next_.apply(manifest_of(kind, body, link, **changes))
        finally:
            # Whoever goes on from a state, or fails to, changes nothing of it.
            assert self.incident == as_it_was
        self.incident = next_
        return self.incident

    def hold(self, body: Object, **changes: Any) -> Incident:
        return self.say(Type.HOLD, body, **changes)

    def capture(self, part: int = 1, of: int = 1) -> Incident:
        name = f"EV-{len(self.incident.exhibits) + 1:04d}"
        digest = exhibit_subject(name).sha256
        place = Place(key="artifacts/01KB0000000000000000000000")
        stored = Stored("identity", digest, 1, MIN_PART_SIZE, ())
        described = Described(digest, 1, place)
        item = Item(name, ("approval",), digest, 1, stored, place, described)
        body = Capture(None, None, "by hand", {}, "c", part, of, (item,), (), 0, None).to_json()
        return self.say(Type.CAPTURE, body, subject=(exhibit_subject(name),))

    def matters(self) -> list[str]:
        return [hold.matter for hold in self.incident.live_holds]
