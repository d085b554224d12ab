"""Statements: what is signed, sealed and chained. in-toto Statement v1 with our predicates. No I/O.

A statement is serialised once; the bytes that were signed are the bytes that are kept and
verified. This module reads those bytes strictly and writes them canonically (RFC 8785).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from verify import strictjson
from verify.digest import EMPTY, check_hex, sha256_hex
from verify.errors import MalformedError, UnsupportedError
from verify.instant import format_instant, parse_instant
from verify.strictjson import Fields, Object, count_of, exactly, text_of

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "urn:evidence-vault:{}:v1"
MAX_ITEMS = 10_000
MAX_PAYLOAD = 8 << 20
MAX_PARTS = 10_000
MIN_PART_SIZE = 64 << 20

_CHAIN = re.compile(r"(INC-[0-9]{4}-[0-9]{4,8}|stream:[a-z0-9][a-z0-9-]{0,62}|vault)\Z")
_EXHIBIT = re.compile(r"(EV|ST)-([0-9]{4}|[1-9][0-9]{4,8})\Z")
_ARTIFACT = re.compile(r"artifacts/[0-9A-HJKMNP-TV-Z]{26}\Z")
_DEPOSIT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}\Z")
_SPOOL = re.compile(r"[0-9a-f]{16}\Z")


class Type(StrEnum):
    """What a statement on a chain is about."""

    INCIDENT = "incident"
    CAPTURE = "capture"
    CUSTODY = "custody"
    HOLD = "hold"
    WAIVER = "waiver"
    ATTESTATION = "attestation"
    ASSESSMENT = "assessment"
    EXPORT = "export"
    SEAL = "seal"
    DISPOSAL = "disposal"
    KEY = "key"
    POLICY = "policy"
    GRANT = "grant"
    SWEEP = "sweep"


STREAM = "stream:"
"""How the ids of streams begin: chains for what is captured before there is an incident."""
ON_STREAM = frozenset({Type.CAPTURE, Type.CUSTODY, Type.HOLD})
"""What may stand on a stream's chain."""
VAULT_CHAIN = "vault"
ON_VAULT_CHAIN = frozenset({Type.KEY, Type.POLICY, Type.GRANT, Type.SWEEP})
"""What belongs to no one incident: it stands on the vault's own chain, and nothing else does."""


class Kind(StrEnum):
    """What an item is evidence of; an item may have several."""

    TICKET = "ticket"
    PROMPT = "prompt"
    TOOL_TRACE = "tool_trace"
    MODEL_CONFIG = "model_config"
    CONFIG_SNAPSHOT = "config_snapshot"
    ACCESS_LOG = "access_log"
    PERMISSION_GRANT = "permission_grant"
    GUARDRAIL_ALERT = "guardrail_alert"
    DLP_FINDING = "dlp_finding"
    ROLLBACK = "rollback"
    VALIDATION = "validation"
    APPROVAL = "approval"
    COMMUNICATION = "communication"
    VOLATILE = "volatile"
    REFERENCE = "reference"
    POSTMORTEM = "postmortem"
    NIL_RETURN = "nil_return"
    OTHER = "other"


_TYPES = {PREDICATE.format(each.value): each for each in Type}
_OUTER = frozenset({"_type", "predicateType", "subject", "predicate"})
_FIELDS = frozenset(
    {"actor", "body", "chain", "checkpoint_seen", "deposit", "log", "recorded_at", "salt"}
)
_SUBJECT = frozenset({"digest", "name"})
_DIGEST = frozenset({"sha256"})
_CHAIN_FIELDS = frozenset({"id", "previous", "sequence"})
_ACTOR = frozenset({"authenticated", "claimed_name", "id", "kind"})
_SEEN = frozenset({"root", "size"})
_KINDS = frozenset(Kind)


@dataclass(frozen=True, slots=True)
class Link:
    """A statement's place: chain id, sequence from 0, leaf hash (hex) of the predecessor."""

    chain: str
    sequence: int
    previous: str | None


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acted, by the vault's word: id, kind, how authenticated, and the name claimed."""

    id: str
    kind: str
    authenticated: str
    claimed: str | None

    def to_json(self) -> Object:
        """The JSON object."""
        return {
            "authenticated": self.authenticated,
            "claimed_name": self.claimed,
            "id": self.id,
            "kind": self.kind,
        }


@dataclass(frozen=True, slots=True)
class Seen:
    """The newest checkpoint known when the statement was made: leaf count and root (hex)."""

    size: int
    root: str


SEEN_NOTHING = Seen(0, EMPTY)


@dataclass(frozen=True, slots=True)
class Subject:
    """An in-toto subject: an exhibit, a manifest, or the chain itself."""

    name: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Statement:
    """One signed statement, read from its bytes."""

    type: Type
    subject: tuple[Subject, ...]
    log: str
    link: Link
    deposit: str
    actor: Actor
    recorded_at: datetime
    salt: str
    seen: Seen
    body: Object

    def encode(self) -> bytes:
        """The bytes to sign (RFC 8785). Raises `MalformedError` above the size limit."""
        payload = strictjson.dumps(
            {
                "_type": STATEMENT,
                "predicateType": PREDICATE.format(self.type.value),
                "subject": [
                    {"digest": {"sha256": each.sha256}, "name": each.name} for each in self.subject
                ],
                "predicate": {
                    "actor": self.actor.to_json(),
                    "body": self.body,
                    "chain": {
                        "id": self.link.chain,
                        "previous": self.link.previous,
                        "sequence": self.link.sequence,
                    },
                    "checkpoint_seen": {"root": self.seen.root, "size": self.seen.size},
                    "deposit": self.deposit,
                    "log": self.log,
                    "recorded_at": format_instant(self.recorded_at),
                    "salt": self.salt,
                },
            }
        )
        if len(payload) > MAX_PAYLOAD:
            raise MalformedError(
                f"a statement of {len(payload):,} bytes is over the limit of {MAX_PAYLOAD:,}"
            )
        return payload


def parse_statement(payload: bytes, *, where: str) -> Statement:
    """Read a signed payload strictly.

    Raises `MalformedError`, or `UnsupportedError` for an unknown predicate type or version.
    """
    outer = exactly(strictjson.loads(payload, where=where, limit=MAX_PAYLOAD), _OUTER, where=where)
    if outer["_type"] != STATEMENT:
        raise UnsupportedError(f"{where}: not an in-toto Statement v1")
    kind = _TYPES.get(text_of(outer["predicateType"], limit=200, where=f"{where}.predicateType"))
    if kind is None:
        raise UnsupportedError(f"{where}: unknown statement type {outer['predicateType']!r}")
    subject = read_subjects(outer["subject"], limit=MAX_ITEMS, where=where)
    predicate = exactly(outer["predicate"], _FIELDS, where=f"{where}.predicate")
    seen = exactly(predicate["checkpoint_seen"], _SEEN, where=f"{where}.checkpoint_seen")
    body = predicate["body"]
    if not isinstance(body, dict):
        raise MalformedError(f"{where}.body: expected a JSON object")
    return Statement(
        type=kind,
        subject=subject,
        log=text_of(predicate["log"], limit=512, where=f"{where}.log"),
        link=_link(predicate["chain"], f"{where}.chain"),
        deposit=check_deposit(text_of(predicate["deposit"], limit=128, where=f"{where}.deposit")),
        actor=_actor(predicate["actor"], f"{where}.actor"),
        recorded_at=parse_instant(predicate["recorded_at"], where=f"{where}.recorded_at"),
        salt=check_hex(predicate["salt"], where=f"{where}.salt"),
        seen=Seen(
            count_of(seen["size"], where=f"{where}.checkpoint_seen"),
            check_hex(seen["root"], where=f"{where}.checkpoint_seen"),
        ),
        body=body,
    )


def read_subjects(value: object, *, limit: int, where: str) -> tuple[Subject, ...]:
    """The subjects of a statement, 1 to `limit`, no two of one name. Raises `MalformedError`."""
    if not isinstance(value, list) or not 0 < len(value) <= limit:
        raise MalformedError(f"{where}.subject: expected a list of 1 to {limit:,}")
    subjects = tuple([_subject(each, f"{where}.subject") for each in value])
    if len({each.name for each in subjects}) != len(subjects):
        raise MalformedError(f"{where}: two subjects have one name")
    return subjects


def check_spool(text: str, *, where: str) -> str:
    """Return `text` if it is the id of a spool: 16 lowercase hex digits; else `MalformedError`."""
    if not _SPOOL.match(text):
        raise MalformedError(f"{where}: expected the id of a spool as 16 lowercase hex digits")
    return text


def check_chain_id(text: str) -> str:
    """Return `text` if it is a chain id; else raise `MalformedError`."""
    if not is_chain_id(text):
        raise MalformedError(f"{text!r} is no chain id: INC-2026-0001, stream:NAME or vault")
    return text


def is_chain_id(text: str) -> bool:
    """Whether `text` is a chain id."""
    return _CHAIN.match(text) is not None


def check_deposit(text: str) -> str:
    """Return `text` if it is a deposit id; else raise `MalformedError`."""
    if not _DEPOSIT.match(text):
        raise MalformedError(
            f"{text[:40]!r} is no deposit id: 1 to 128 letters, digits and ._:/- are allowed"
        )
    return text


def is_stream(chain: str) -> bool:
    """Whether a chain id names a stream."""
    return chain.startswith(STREAM)


def exhibit_name(number: int, *, chain: str) -> str:
    """EV-0001 for 1, ST-0001 in a stream; numbered from 1 within a chain, and never reused.

    The letters tell what nobody has to remember: an item of a stream is no incident's exhibit.
    """
    return f"{'ST' if is_stream(chain) else 'EV'}-{number:04d}"


def exhibit_number(name: str, *, where: str) -> int:
    """1 for EV-0001 and for ST-0001. Raises `MalformedError`."""
    match = _EXHIBIT.match(name)
    if not match or int(match.group(2)) == 0:
        raise MalformedError(f"{where}: {name!r} is no exhibit like EV-0001")
    return int(match.group(2))


def chain_subject(chain: str) -> Subject:
    """The subject of a statement that concerns no exhibit: the digest of the chain's id."""
    return Subject(chain, sha256_hex(chain.encode()))


@dataclass(frozen=True, slots=True)
class Place:
    """Where bytes were first put: an object of their own, or a slice of a pack of this manifest."""

    key: str | None = None
    version_id: str | None = None
    pack: int | None = None
    offset: int = 0
    length: int = 0

    def to_json(self) -> Object:
        """The JSON object, in one of its two forms."""
        if self.pack is None:
            return {"key": self.key, "version_id": self.version_id}
        return {"length": self.length, "offset": self.offset, "pack": self.pack}


@dataclass(frozen=True, slots=True)
class Stored:
    """An object's bytes: encoding, digest, size, and the digests of its parts if it has several."""

    encoding: str
    sha256: str
    size: int
    part_size: int
    parts: tuple[str, ...]

    def to_json(self) -> Object:
        """The JSON object."""
        return {
            "encoding": self.encoding,
            "part_size": self.part_size,
            "parts": list(self.parts),
            "sha256": self.sha256,
            "size": self.size,
        }


@dataclass(frozen=True, slots=True)
class Described:
    """A description (or another side document): digest, size, place."""

    sha256: str
    size: int
    place: Place

    def to_json(self) -> Object:
        """The JSON object."""
        return {"location": self.place.to_json(), "sha256": self.sha256, "size": self.size}


@dataclass(frozen=True, slots=True)
class Origin:
    """Which item of a stream an incident's item restates; `from` in JSON."""

    chain: str
    sequence: int
    leaf: str
    """The leaf hash (hex) of the stream's manifest that claimed it first."""
    exhibit: str
    """Its name there: ST-0001."""

    def to_json(self) -> Object:
        """The JSON object."""
        return {
            "chain": self.chain,
            "exhibit": self.exhibit,
            "leaf_hash": self.leaf,
            "sequence": self.sequence,
        }


@dataclass(frozen=True, slots=True)
class Item:
    """One sighting of some bytes: an exhibit."""

    exhibit: str
    kinds: tuple[str, ...]
    sha256: str
    size: int
    stored: Stored
    place: Place
    description: Described
    origin: Origin | None = None
    """The stream's item that this restates, in full; None for what was captured here."""

    def to_json(self) -> Object:
        """The JSON object."""
        value: Object = {
            "description": self.description.to_json(),
            "exhibit": self.exhibit,
            "kinds": list(self.kinds),
            "location": self.place.to_json(),
            "sha256": self.sha256,
            "size": self.size,
            "stored": self.stored.to_json(),
        }
        if self.origin is not None:
            value["from"] = self.origin.to_json()
        return value


@dataclass(frozen=True, slots=True)
class Pack:
    """An object that holds the small items and the descriptions of one manifest."""

    key: str
    version_id: str | None
    size: int
    sha256: str
    parts: tuple[str, ...]

    def to_json(self) -> Object:
        """The JSON object."""
        return {
            "key": self.key,
            "parts": list(self.parts),
            "sha256": self.sha256,
            "size": self.size,
            "version_id": self.version_id,
        }


@dataclass(frozen=True, slots=True)
class Delivered:
    """Which collection a capture delivers: the exhibit that is its envelope, and its place."""

    exhibit: str
    spool: str
    number: int
    previous: str | None
    """Digest of the envelope numbered one less; None for number 1."""

    def to_json(self) -> Object:
        """The JSON object."""
        return {
            "exhibit": self.exhibit,
            "number": self.number,
            "previous": self.previous,
            "spool": self.spool,
        }


@dataclass(frozen=True, slots=True)
class Capture:
    """The body of a `capture`."""

    system: str | None
    source: str | None
    method: str
    collector: Object
    capture_id: str
    part: int
    of: int
    items: tuple[Item, ...]
    packs: tuple[Pack, ...]
    not_captured: int
    not_captured_list: Described | None
    delivered: Delivered | None = None
    """Only where a collector sealed it first, in a spool."""

    def to_json(self) -> Object:
        """The JSON object."""
        listed = self.not_captured_list
        delivered = {"collection": self.delivered.to_json()} if self.delivered else {}
        return delivered | {
            "capture": {"id": self.capture_id, "of": self.of, "part": self.part},
            "collector": self.collector,
            "items": [item.to_json() for item in self.items],
            "method": self.method,
            "not_captured": {
                "count": self.not_captured,
                "description": listed.to_json() if listed else None,
            },
            "packs": [pack.to_json() for pack in self.packs],
            "source": {"name": self.source, "system": self.system},
        }


def parse_capture(body: object, *, where: str) -> Capture:
    """Read the body of a `capture` strictly. Raises `MalformedError`."""
    reader = Fields(body, where)
    capture = reader.object("capture")
    source = reader.object("source")
    missing = reader.object("not_captured")
    packs = tuple(
        _pack(Fields(each, f"{where}.packs")) for each in reader.entries("packs", limit=MAX_ITEMS)
    )
    listed = missing.raw("description")
    collector = reader.raw("collector")
    if not isinstance(collector, dict):
        raise MalformedError(f"{where}.collector: expected a JSON object")
    result = Capture(
        system=source.text_or_none("system"),
        source=source.text_or_none("name"),
        method=reader.text("method"),
        collector=collector,
        capture_id=capture.text("id"),
        part=capture.count("part"),
        of=capture.count("of"),
        items=tuple(
            parse_item(Fields(each, f"{where}.items"), packs)
            for each in reader.entries("items", limit=MAX_ITEMS)
        ),
        packs=packs,
        not_captured=missing.count("count"),
        not_captured_list=None
        if listed is None
        else _described(missing.object("description"), packs),
        delivered=_delivered(reader.object("collection")) if reader.has("collection") else None,
    )
    for part in (capture, source, missing, reader):
        part.done()
    if not 1 <= result.part <= result.of:
        raise MalformedError(f"{where}.capture: part {result.part} of {result.of}")
    return result


def parse_item(reader: Fields, packs: Sequence[Pack]) -> Item:
    """Read one item; `packs` are those of its manifest. Raises `MalformedError`."""
    where = reader.where
    exhibit = reader.text("exhibit")
    exhibit_number(exhibit, where=where)
    stored = _stored(reader.object("stored"))
    item = Item(
        exhibit=exhibit,
        kinds=check_kinds(reader.texts("kinds", limit=len(Kind)), where=where),
        sha256=check_hex(reader.raw("sha256"), where=f"{where} {exhibit}"),
        size=reader.count("size"),
        stored=stored,
        place=_place(reader.object("location"), packs),
        description=_described(reader.object("description"), packs),
        origin=_origin(reader.object("from")) if reader.has("from") else None,
    )
    reader.done()
    if stored.encoding == "identity" and (stored.sha256, stored.size) != (item.sha256, item.size):
        raise MalformedError(f"{where} {exhibit}: content and stored bytes differ, unencoded")
    if item.place.pack is not None and item.place.length != stored.size:
        raise MalformedError(f"{where} {exhibit}: slice and stored size differ")
    return item


def check_artifact(key: str, *, where: str) -> str:
    """Return `key` if it may name an object with evidence in it: `artifacts/<ULID>`.

    A store joins keys to its own root; a statement must not point elsewhere.
    """
    if not _ARTIFACT.match(key):
        raise MalformedError(f"{where}: {key[:60]!r} is no key of an artifact")
    return key


def check_kinds(texts: Sequence[str], *, where: str) -> tuple[str, ...]:
    """Return the kinds of an item: at least one, known, none twice."""
    kinds = tuple(check_kind(text) for text in texts)
    if not kinds or len(set(kinds)) != len(kinds):
        raise MalformedError(f"{where}: expected at least one kind, none twice")
    return kinds


def check_kind(text: str) -> str:
    """Return `text` if it is a kind of evidence; else raise `MalformedError` that lists them."""
    if text not in _KINDS:
        raise MalformedError(f"{text!r} is no kind of evidence; known: {', '.join(Kind)}")
    return text


@dataclass(frozen=True, slots=True)
class Assessment:
    """The body of an `assessment`: which report, by which profile, about which head, as of when."""

    report: Described
    profile_name: str
    profile_version: int
    profile_sha256: str
    head_sequence: int
    head_leaf: str
    as_of: datetime
    verdict: str
    satisfied: int
    of: int

    def to_json(self) -> Object:
        """The JSON object."""
        return {
            "as_of": format_instant(self.as_of),
            "counts": {"evidence": {"of": self.of, "satisfied": self.satisfied}},
            "head": {"leaf_hash": self.head_leaf, "sequence": self.head_sequence},
            "profile": {
                "name": self.profile_name,
                "sha256": self.profile_sha256,
                "version": self.profile_version,
            },
            "report": self.report.to_json(),
            "verdict": self.verdict,
        }


def parse_assessment(body: object, *, where: str) -> Assessment:
    """Read the body of an `assessment` strictly. Raises `MalformedError`."""
    reader = Fields(body, where)
    profile, head, counts = (reader.object(each) for each in ("profile", "head", "counts"))
    evidence = counts.object("evidence")
    assessment = Assessment(
        report=_described(reader.object("report"), ()),
        profile_name=profile.text("name"),
        profile_version=profile.count("version"),
        profile_sha256=check_hex(profile.raw("sha256"), where=f"{where}.profile"),
        head_sequence=head.count("sequence"),
        head_leaf=check_hex(head.raw("leaf_hash"), where=f"{where}.head"),
        as_of=parse_instant(reader.raw("as_of"), where=f"{where}.as_of"),
        verdict=reader.text("verdict"),
        satisfied=evidence.count("satisfied"),
        of=evidence.count("of"),
    )
    for part in (profile, head, evidence, counts, reader):
        part.done()
    return assessment


@dataclass(frozen=True, slots=True)
class Sweep:
    """The body of a `sweep`: what a machine found when it looked at every object of the vault."""

    depth: str
    """`bytes`: all was read again. `checksums`: attested by the store, and not read."""
    started_at: datetime
    checked: int
    """Objects of which there was nothing to say."""
    failed: int
    """Findings that something is not as sealed, or not protected as the chains demand."""
    not_checked: int
    """Findings that something could not be judged."""
    unclaimed: int
    """Objects that no statement claims."""
    findings: tuple[tuple[str, str], ...]
    """Key and detail of each finding, the first 1,000; those that failed come first."""

    def to_json(self) -> Object:
        """The JSON object."""
        return {
            "checked": self.checked,
            "depth": self.depth,
            "failed": self.failed,
            "findings": [{"detail": detail, "key": key} for key, detail in self.findings],
            "not_checked": self.not_checked,
            "started_at": format_instant(self.started_at),
            "unclaimed": self.unclaimed,
        }


MAX_SWEEP_FINDINGS = 1_000
DEPTHS = ("structure", "checksums", "bytes")
"""How far evidence is looked at: not at all, by the store's word, or read again."""


def parse_sweep(body: object, *, where: str) -> Sweep:
    """Read the body of a `sweep` strictly. Raises `MalformedError`."""
    reader = Fields(body, where)
    findings = []
    for each in reader.entries("findings", limit=MAX_SWEEP_FINDINGS):
        finding = Fields(each, f"{where}.findings")
        findings.append((finding.text("key"), finding.text("detail")))
        finding.done()
    sweep = Sweep(
        depth=reader.text("depth"),
        started_at=parse_instant(reader.raw("started_at"), where=f"{where}.started_at"),
        checked=reader.count("checked"),
        failed=reader.count("failed"),
        not_checked=reader.count("not_checked"),
        unclaimed=reader.count("unclaimed"),
        findings=tuple(findings),
    )
    reader.done()
    if sweep.depth not in DEPTHS[1:]:
        raise MalformedError(f"{where}: a sweep has the depth checksums or bytes")
    if len(sweep.findings) != min(sweep.failed + sweep.not_checked, MAX_SWEEP_FINDINGS):
        raise MalformedError(f"{where}: lists other findings than it counts")
    return sweep


def _subject(value: object, where: str) -> Subject:
    subject = exactly(value, _SUBJECT, where=where)
    digest = exactly(subject["digest"], _DIGEST, where=f"{where}.digest")
    return Subject(
        text_of(subject["name"], limit=512, where=f"{where}.name"),
        check_hex(digest["sha256"], where=where),
    )


def _link(value: object, where: str) -> Link:
    link = exactly(value, _CHAIN_FIELDS, where=where)
    previous, sequence = link["previous"], count_of(link["sequence"], where=f"{where}.sequence")
    if (sequence == 0) != (previous is None):
        raise MalformedError(f"{where}: link 0, and only link 0, has no previous")
    return Link(
        check_chain_id(text_of(link["id"], limit=80, where=f"{where}.id")),
        sequence,
        None if previous is None else check_hex(previous, where=f"{where}.previous"),
    )


def _actor(value: object, where: str) -> Actor:
    actor = exactly(value, _ACTOR, where=where)
    claimed = actor["claimed_name"]
    return Actor(
        text_of(actor["id"], limit=512, where=f"{where}.id"),
        text_of(actor["kind"], limit=64, where=f"{where}.kind"),
        text_of(actor["authenticated"], limit=512, where=f"{where}.authenticated"),
        None if claimed is None else text_of(claimed, limit=512, where=f"{where}.claimed_name"),
    )


def _origin(reader: Fields) -> Origin:
    origin = Origin(
        reader.text("chain", limit=80),
        reader.count("sequence"),
        check_hex(reader.raw("leaf_hash"), where=reader.where),
        reader.text("exhibit"),
    )
    reader.done()
    exhibit_number(origin.exhibit, where=reader.where)
    if not is_stream(check_chain_id(origin.chain)) or not origin.exhibit.startswith("ST-"):
        raise MalformedError(f"{reader.where}: only an item of a stream, like ST-0001, is restated")
    return origin


def _stored(reader: Fields) -> Stored:
    stored = Stored(
        reader.text("encoding", limit=64),
        check_hex(reader.raw("sha256"), where=reader.where),
        reader.count("size"),
        reader.count("part_size"),
        tuple(
            check_hex(each, where=f"{reader.where}.parts")
            for each in reader.entries("parts", limit=MAX_PARTS)
        ),
    )
    reader.done()
    if stored.encoding != "identity":
        raise UnsupportedError(f"{reader.where}: unknown encoding {stored.encoding!r}")
    if stored.part_size < 1:
        raise MalformedError(f"{reader.where}: part_size is at least 1")
    expected = -(-stored.size // stored.part_size)
    if len(stored.parts) != (expected if expected > 1 else 0):
        raise MalformedError(f"{reader.where}: {len(stored.parts)} parts do not fit the size")
    return stored


def _delivered(reader: Fields) -> Delivered:
    previous = reader.raw("previous")
    delivered = Delivered(
        exhibit=reader.text("exhibit", limit=20),
        spool=check_spool(reader.text("spool", limit=16), where=reader.where),
        number=reader.count("number"),
        previous=None if previous is None else check_hex(previous, where=reader.where),
    )
    reader.done()
    exhibit_number(delivered.exhibit, where=reader.where)
    if delivered.number < 1 or (delivered.number == 1) != (previous is None):
        raise MalformedError(f"{reader.where}: number 1, and only number 1, has no previous")
    return delivered


def _described(reader: Fields, packs: Sequence[Pack]) -> Described:
    described = Described(
        check_hex(reader.raw("sha256"), where=reader.where),
        reader.count("size"),
        _place(reader.object("location"), packs),
    )
    reader.done()
    if described.place.pack is not None and described.place.length != described.size:
        raise MalformedError(f"{reader.where}: slice and size differ")
    return described


def _place(reader: Fields, packs: Sequence[Pack]) -> Place:
    if not reader.has("pack"):
        place = Place(
            key=check_artifact(reader.text("key", limit=1_024), where=reader.where),
            version_id=reader.text_or_none("version_id"),
        )
        reader.done()
        return place
    place = Place(
        pack=reader.count("pack"), offset=reader.count("offset"), length=reader.count("length")
    )
    reader.done()
    if place.pack is None or place.pack >= len(packs):
        raise MalformedError(f"{reader.where}: there is no pack {place.pack}")
    if place.offset + place.length > packs[place.pack].size:
        raise MalformedError(f"{reader.where}: the slice ends behind its pack")
    return place


def _pack(reader: Fields) -> Pack:
    pack = Pack(
        check_artifact(reader.text("key", limit=1_024), where=reader.where),
        reader.text_or_none("version_id"),
        reader.count("size"),
        check_hex(reader.raw("sha256"), where=reader.where),
        tuple(
            check_hex(each, where=f"{reader.where}.parts")
            for each in reader.entries("parts", limit=MAX_PARTS)
        ),
    )
    reader.done()
    return pack
