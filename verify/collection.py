"""Collections: what a collector signs where it cannot reach a vault, and how its key is known.

A collection has no place on a chain and no log entry: a collector off-line knows neither. It names
the spool that it was sealed in, its number there, and the one before. When it is delivered, its
envelope becomes an exhibit of the capture that takes in its items. A collector's key is trusted for
this type alone; here nothing else is read, and nowhere else is this. No I/O.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from verify import strictjson
from verify.digest import b64, check_hex, sha256_hex, unb64
from verify.envelope import Envelope, ManifestKey, check_envelope, parse_envelope
from verify.errors import MalformedError, SignatureError, UnsupportedError
from verify.instant import format_instant, parse_instant
from verify.statement import (
    PREDICATE,
    STATEMENT,
    VAULT_CHAIN,
    Kind,
    Subject,
    chain_subject,
    check_chain_id,
    check_kinds,
    check_spool,
    read_subjects,
)
from verify.strictjson import Fields, Object, exactly

TYPE = "collection"
MAX_COLLECTED = 30_000
"""Items of one collection; a capture takes them in as several links."""
MAX_COLLECTION = 16 << 20

_PREDICATE_TYPE = PREDICATE.format(TYPE)
_OUTER = frozenset({"_type", "predicateType", "subject", "predicate"})
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}\Z")


def public_key_of(data: bytes, *, where: str) -> ManifestKey:
    """A collector's public key: PEM, or base64 of its SubjectPublicKeyInfo in DER.

    Raises `MalformedError`, also for a private key, which is then not to be used any more.
    """
    if b"PRIVATE KEY" in data:
        raise MalformedError(
            f"{where} is a private key, which must not leave its collector; give collector.pub"
        )
    if b"-----BEGIN" not in data:
        try:
            return ManifestKey(unb64(data.decode("ascii", "replace").strip(), where=where))
        except MalformedError as error:
            raise MalformedError(f"{where} is no public key in PEM, nor base64 of one") from error
    try:
        public = serialization.load_pem_public_key(data)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise MalformedError(f"{where} is no public key in PEM") from error
    if not isinstance(public, ec.EllipticCurvePublicKey) or public.curve.name != "secp256r1":
        raise MalformedError(f"{where} is no ECDSA key on P-256; a collector's key is one")
    return ManifestKey(
        public.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )


@dataclass(frozen=True, slots=True)
class CollectedDocument:
    """A description, or the list of what was not captured: digest and size in bytes."""

    sha256: str
    size: int

    def to_json(self) -> Object:
        """The JSON object."""
        return {"sha256": self.sha256, "size": self.size}


@dataclass(frozen=True, slots=True)
class CollectedItem:
    """One sighting of some bytes, as the collector took it."""

    sha256: str
    size: int
    kinds: tuple[str, ...]
    description: CollectedDocument

    def to_json(self) -> Object:
        """The JSON object."""
        return {
            "description": self.description.to_json(),
            "kinds": list(self.kinds),
            "sha256": self.sha256,
            "size": self.size,
        }


@dataclass(frozen=True, slots=True)
class Collection:
    """A collector's statement: these items, for that chain, in this place of this spool."""

    spool: str
    number: int
    """From 1, without gaps."""
    previous: str | None
    """Digest of the envelope numbered one less; None for number 1."""
    destination: str
    """The chain that it is meant for: the same collection on another one is no evidence there."""
    actor: str
    """Who collected, by the collector's word."""
    claimed_name: str | None
    collected_at: datetime
    """The collector's clock when it signed; it may fall."""
    salt: str
    collector: Object
    system: str | None
    source: str | None
    method: str
    items: tuple[CollectedItem, ...]
    not_captured: int
    not_captured_list: CollectedDocument | None

    @property
    def deposit(self) -> str:
        """The deposit id under which it is delivered: a retry returns the first receipt."""
        return deposit_of(self.spool, self.number)

    def encode(self) -> bytes:
        """The bytes to sign (RFC 8785). Raises `MalformedError` above the limits."""
        listed = self.not_captured_list
        payload = strictjson.dumps(
            {
                "_type": STATEMENT,
                "predicateType": _PREDICATE_TYPE,
                "subject": [
                    {"digest": {"sha256": each.sha256}, "name": each.name}
                    for each in _subjects(self.items, self.destination)
                ],
                "predicate": {
                    "actor": {"claimed_name": self.claimed_name, "id": self.actor},
                    "collected_at": format_instant(self.collected_at),
                    "collector": self.collector,
                    "destination": self.destination,
                    "items": [item.to_json() for item in self.items],
                    "method": self.method,
                    "not_captured": {
                        "count": self.not_captured,
                        "description": listed.to_json() if listed else None,
                    },
                    "salt": self.salt,
                    "source": {"name": self.source, "system": self.system},
                    "spool": {
                        "id": self.spool,
                        "number": self.number,
                        "previous": self.previous,
                    },
                },
            }
        )
        if len(payload) > MAX_COLLECTION or len(self.items) > MAX_COLLECTED:
            raise MalformedError(
                f"a collection of {len(self.items):,} items is over the limit of "
                f"{MAX_COLLECTED:,} items and {MAX_COLLECTION:,} bytes"
            )
        return payload


@dataclass(frozen=True, slots=True)
class Signed:
    """A collection whose signature verified, with the envelope's bytes and the key that made it."""

    collection: Collection
    data: bytes
    key: ManifestKey

    @property
    def sha256(self) -> str:
        """Digest of the envelope: what the next collection of the spool names."""
        return sha256_hex(self.data)


def open_collection(data: bytes, keys: tuple[ManifestKey, ...], *, where: str) -> Signed:
    """Read an envelope that one of `keys` signed.

    Raises `SignatureError` if none did, or it signed for another's spool, `MalformedError`,
    `UnsupportedError`.
    """
    envelope: Envelope = parse_envelope(data, where=where)
    key = check_envelope(envelope, keys)
    collection = parse_collection(envelope.payload, where=where)
    if collection.spool != spool_id(key):
        raise SignatureError(f"{where}: another key's spool is named")
    return Signed(collection, data, key)


def spool_id(key: ManifestKey) -> str:
    """The id of the one spool that a collector's key signs for: nobody can take another's."""
    return sha256_hex(key.spki)[:16]


def signer_of(data: bytes, *, where: str) -> str:
    """The key id that an envelope names: nobody's word yet. Raises `MalformedError`."""
    return parse_envelope(data, where=where).key_id


def parse_collection(payload: bytes, *, where: str) -> Collection:
    """Read a signed payload strictly. Raises `MalformedError`, `UnsupportedError`."""
    outer = exactly(
        strictjson.loads(payload, where=where, limit=MAX_COLLECTION), _OUTER, where=where
    )
    if (outer["_type"], outer["predicateType"]) != (STATEMENT, _PREDICATE_TYPE):
        raise UnsupportedError(f"{where}: not a collection of this version")
    body = Fields(outer["predicate"], where)
    actor, source, spool = body.object("actor"), body.object("source"), body.object("spool")
    missing = body.object("not_captured")
    listed = missing.raw("description")
    collector = body.raw("collector")
    if not isinstance(collector, dict):
        raise MalformedError(f"{where}.collector: expected a JSON object")
    previous = spool.raw("previous")
    collection = Collection(
        spool=check_spool(spool.text("id", limit=16), where=where),
        number=spool.count("number"),
        previous=None if previous is None else check_hex(previous, where=f"{where}.previous"),
        destination=check_destination(body.text("destination", limit=80)),
        actor=actor.text("id", limit=512),
        claimed_name=actor.text_or_none("claimed_name"),
        collected_at=parse_instant(body.raw("collected_at"), where=f"{where}.collected_at"),
        salt=check_hex(body.raw("salt"), where=f"{where}.salt"),
        collector=collector,
        system=source.text_or_none("system"),
        source=source.text_or_none("name"),
        method=body.text("method"),
        items=tuple(
            _item(Fields(each, f"{where}.items"))
            for each in body.entries("items", limit=MAX_COLLECTED)
        ),
        not_captured=missing.count("count"),
        not_captured_list=None if listed is None else _document(missing.object("description")),
    )
    for part in (actor, source, spool, missing, body):
        part.done()
    if collection.number < 1 or (collection.number == 1) != (previous is None):
        raise MalformedError(f"{where}: number 1, and only number 1, has no previous")
    if (collection.not_captured == 0) != (listed is None):
        raise MalformedError(f"{where}.not_captured: a list, and only where something is missing")
    subjects = read_subjects(outer["subject"], limit=MAX_COLLECTED, where=where)
    if subjects != _subjects(collection.items, collection.destination):
        raise MalformedError(f"{where}: subjects and items differ")
    return collection


def check_destination(text: str) -> str:
    """Return `text` if evidence may be meant for that chain; else raise `MalformedError`."""
    if check_chain_id(text) == VAULT_CHAIN:
        raise MalformedError("the vault's own chain takes no evidence")
    return text


def deposit_of(spool: str, number: int) -> str:
    """`spool-<id>-<number>`: one deposit id for one entry, for ever."""
    return f"spool-{spool}-{number}"


def _subjects(items: tuple[CollectedItem, ...], destination: str) -> tuple[Subject, ...]:
    named = tuple(Subject(f"item-{n}", item.sha256) for n, item in enumerate(items, start=1))
    return named or (chain_subject(destination),)


def _item(reader: Fields) -> CollectedItem:
    item = CollectedItem(
        sha256=check_hex(reader.raw("sha256"), where=reader.where),
        size=reader.count("size"),
        kinds=check_kinds(reader.texts("kinds", limit=len(Kind)), where=reader.where),
        description=_document(reader.object("description")),
    )
    reader.done()
    return item


def _document(reader: Fields) -> CollectedDocument:
    document = CollectedDocument(
        check_hex(reader.raw("sha256"), where=reader.where), reader.count("size")
    )
    reader.done()
    return document


@dataclass(frozen=True, slots=True)
class KeyEvent:
    """The body of a `key` statement on the vault's own chain: a collector came, or went."""

    event: str
    name: str
    """What this vault calls the collector."""
    key: ManifestKey
    reason: str | None = None

    def to_json(self) -> Object:
        """The JSON object."""
        body: Object = {"event": self.event, "name": self.name, "spki": b64(self.key.spki)}
        return body | ({"reason": self.reason} if self.event == REMOVED else {})


ADDED = "collector_added"
REMOVED = "collector_removed"


def parse_key_event(body: object, *, where: str) -> KeyEvent:
    """Read the body of a `key` strictly.

    Raises `MalformedError`, or `UnsupportedError` for keys of another sort.
    """
    reader = Fields(body, where)
    event = reader.text("event", limit=64)
    if event not in (ADDED, REMOVED):
        raise UnsupportedError(f"{where}: the key event {event[:64]!r} is not known here")
    read = KeyEvent(
        event=event,
        name=check_collector_name(reader.text("name", limit=63)),
        key=ManifestKey(unb64(reader.raw("spki"), where=f"{where}.spki")),
        reason=reader.text("reason") if event == REMOVED else None,
    )
    reader.done()
    return read


def check_collector_name(text: str) -> str:
    """Return `text` if it may name a collector; else raise `MalformedError`."""
    if not _NAME.match(text):
        raise MalformedError(
            f"{text[:70]!r} is no name for a collector: 1 to 63 of a-z, 0-9 and -, not first a -"
        )
    return text
