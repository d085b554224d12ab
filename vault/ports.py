"""What the vault needs from the world, and nothing more. Adapters satisfy these by shape."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from verify.merkle import TreeHead
from verify.statement import Seen, Stored
from verify.strictjson import Object

Clock = Callable[[], datetime]
"""Gives the present moment, with a zone."""


class LockMode(StrEnum):
    """How firmly retention binds: governance yields to a special permission, compliance to nobody.

    The terms of S3 Object Lock. The later one is the firmer.
    """

    GOVERNANCE = "governance"
    COMPLIANCE = "compliance"


@dataclass(frozen=True, slots=True)
class Protection:
    """What keeps one object version in being: retention, and a legal hold beside it."""

    retain_until: datetime | None = None
    mode: LockMode = LockMode.GOVERNANCE
    held: bool = False


UNPROTECTED = Protection()


def extended(known: Protection, wanted: Protection) -> Protection:
    """The protection of an object that was `known`, once `wanted` is added: never less."""
    dates = [each for each in (known.retain_until, wanted.retain_until) if each]
    retained = known.retain_until is not None
    firm = (retained and known.mode == LockMode.COMPLIANCE) or (
        wanted.retain_until is not None and wanted.mode == LockMode.COMPLIANCE
    )
    mode = LockMode.COMPLIANCE if firm else LockMode.GOVERNANCE
    return Protection(max(dates, default=None), mode, wanted.held)


def together(one: Protection, other: Protection) -> Protection:
    """The protection of an object that two claim: what either needs, and held while either is."""
    return extended(one, Protection(other.retain_until, other.mode, one.held or other.held))


@dataclass(frozen=True, slots=True)
class ObjectState:
    """What a store says of one object without reading its bytes: a claim of the store's own."""

    version_id: str | None
    size: int
    sha256: str | None
    """The digest of the whole object that the store recorded (hex), None where it has none."""
    composite: tuple[str, int] | None
    """SHA-256 over the raw digests of the parts (hex), and their number, where it has that."""
    protection: Protection
    covered_by: str | None = None
    """What lies over the version asked for: a newer version's id, or `a delete marker`."""


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a key, or a delete marker over it."""

    key: str
    version_id: str | None
    marker: bool
    newest: bool
    size: int


@dataclass(frozen=True, slots=True)
class StoreTraits:
    """What a store can do; reports say so where it cannot."""

    kind: str
    """`directory` or `s3`."""
    locks: bool
    """Whether the store itself refuses to remove what is protected, also to its owner."""
    versions: bool
    checksums: bool
    """Whether it keeps a SHA-256 of its own of each object."""
    parallel: int = 1
    """How many calls at once are worth it."""


class Upload(Protocol):
    """One object on its way into the store. Nothing is visible before `publish`."""

    def write(self, data: bytes) -> None:
        """Add bytes. Raises `UnavailableError`."""

    def finish(self) -> Stored:
        """Give the digests; no more may be written."""

    def publish(self) -> str | None:
        """Make the finished object durable and visible under its key; its version id, if any."""

    def abort(self) -> None:
        """Leave nothing behind. Allowed at any time before `publish`, and then without effect."""


class ObjectStore(Protocol):
    """A durable map from key to bytes that never silently overwrites.

    A write is durable once its call returns. All methods raise `UnavailableError` when the store
    cannot be used, and `NotFoundError` for a key that is not there. Where the store has versions,
    a key whose newest version is a delete marker *is* there: markers never hide anything.
    """

    @property
    def traits(self) -> StoreTraits:
        """What the store can do."""

    def upload(self, key: str, *, size: int | None, protection: Protection = UNPROTECTED) -> Upload:
        """Begin an object under a fresh key, protected from its first moment on.

        `size` is a hint, None for unknown.
        """

    def put_once(self, key: str, data: bytes) -> None:
        """Write a key once. Identical bytes succeed, others raise `ObjectConflictError`.

        Retention is the store's own for what `layout.is_locked` names: chains and log. Where a
        delete marker lies over a key, others than the first bytes are refused for
        `layout.is_fence`; elsewhere they may become another version.
        """

    def put_latest(self, key: str, data: bytes) -> None:
        """Replace a key's bytes as a whole; for `log/checkpoint` alone."""

    def get(self, key: str, *, version_id: str | None = None) -> bytes:
        """The whole object, for small ones; its newest version unless one is named."""

    def read(
        self, key: str, *, version_id: str | None = None, offset: int = 0, length: int | None = None
    ) -> Iterator[bytes]:
        """The bytes of an object, or of a slice, in pieces of at most a few MiB."""

    def exists(self, key: str) -> bool:
        """Whether the key is there."""

    def keys(self, prefix: str) -> Iterator[str]:
        """All keys below a prefix, in bytewise order."""

    def versions(self, prefix: str) -> Iterator[Version]:
        """All versions and delete markers of all keys below a prefix; by key, the oldest first.

        A prefix may be a whole key.
        """

    def state(self, key: str, version_id: str | None) -> ObjectState:
        """What the store says of one version without reading it. Raises `NotFoundError`."""

    def protect(self, key: str, version_id: str | None, protection: Protection) -> None:
        """Protect one version: retention and mode are only ever extended, the hold is set so.

        Whatever the version has beyond `protection` stays. Raises `NotFoundError`.
        """


class Signer(Protocol):
    """A private key, wherever it lives."""

    @property
    def public(self) -> bytes:
        """The public half: SPKI DER for P-256, 32 raw bytes for Ed25519."""

    def sign(self, message: bytes) -> bytes:
        """Sign: DER ECDSA over SHA-256 for P-256, 64 raw bytes for Ed25519."""


@dataclass(frozen=True, slots=True)
class ChainHead:
    """Where a chain stands: its last link, how many exhibits it numbered, whether it is sealed."""

    sequence: int
    leaf: str | None
    exhibits: int
    sealed: bool
    seen: Seen
    guarded: int = -1
    """The last link that changed how evidence on the chain must be protected, -1 for none."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """An exhibit as seen at one path of one source: what makes a second look add nothing."""

    fingerprint: str
    exhibit: str


@dataclass(frozen=True, slots=True)
class Claim:
    """An exhibit, and the link that first claims it."""

    chain: str
    sequence: int
    exhibit: str


@dataclass(frozen=True, slots=True)
class NewManifest:
    """A signed manifest about to be committed, with what the index keeps of it."""

    sequence: int
    deposit: str
    type: str
    content: str
    leaf: bytes
    leaf_hash: bytes
    envelope: bytes
    head: ChainHead
    """The chain's head once this manifest is its last link."""
    sightings: tuple[Sighting, ...] = ()
    items: tuple[tuple[str, str], ...] = ()
    """Exhibit and SHA-256 of the content of each item that it claims."""
    owes: bool = False
    """Whether something is to be done to stored objects once this is kept: see `Index.owing`."""


@dataclass(frozen=True, slots=True)
class Row:
    """A manifest in the index. `index` is its place in the log, None until it has one."""

    chain: str
    sequence: int
    deposit: str
    type: str
    content: str
    leaf_hash: bytes
    envelope: bytes
    stored: bool
    index: int | None


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of the log."""

    leaf: bytes
    leaf_hash: bytes


@dataclass(frozen=True, slots=True)
class Publication:
    """A signed checkpoint and its number."""

    number: int
    head: TreeHead
    note: bytes


@dataclass(frozen=True, slots=True)
class LogState:
    """How far the log is, at one moment."""

    tree: TreeHead
    """Size and root of what is integrated."""
    last: Publication | None
    """The publication with the highest number."""
    published: int
    """The highest number of a publication that was noted to be in the store, 0 for none."""


class Index(Protocol):
    """A rebuildable index with transactions. Raises `UnavailableError`, `IndexDamagedError`."""

    def append(
        self,
        chain: str,
        deposits: Sequence[str],
        build: Callable[[ChainHead], Sequence[NewManifest]],
    ) -> tuple[list[Row], bool]:
        """Commit manifests at the head of a chain, in one transaction: the commit point.

        The head is locked, `build` signs against it. If one of the deposit ids is on the chain
        already nothing is built, and its rows come back with False.
        """

    def head(self, chain: str) -> ChainHead | None:
        """A chain's head, None if the chain is empty."""

    def rows(self, chain: str, *, start: int = 0) -> Iterator[Row]:
        """A chain's manifests in order."""

    def chains(self, prefix: str) -> list[str]:
        """The ids of all chains that start with a prefix, sorted."""

    def claims(self, sha256: str) -> list[Claim]:
        """Every exhibit whose content has this digest, on any chain; in order."""

    def sightings(
        self, chain: str, *, before: int | None = None, among: Sequence[str] | None = None
    ) -> dict[str, tuple[str, int]]:
        """All fingerprints of a chain, each with exhibit and sequence of its newest sighting.

        With `before`, as the chain was before that link; with `among`, of these fingerprints only,
        which are few, however many the chain has.
        """

    def unstored(self, chains: Sequence[str] | None = None) -> list[Row]:
        """Committed manifests that the store may not hold yet, of all or some chains.

        In commit order.
        """

    def mark_stored(self, rows: Sequence[Row]) -> None:
        """Note that the store holds these manifests."""

    def drop_from(self, row: Row, head: ChainHead | None) -> bool:
        """Drop an unlogged manifest and all that follow it: they were never acknowledged.

        `head` is the head of what remains. False if the manifest does not stand there any more,
        or has an index: then nothing was dropped.
        """

    def adopt(self, chain: str, manifests: Sequence[NewManifest]) -> None:
        """Take in manifests that the store holds and the index does not; those it has stay.

        Raises `StaleHeadError` where the chain goes on otherwise, or not so far.
        """

    def assign(self) -> int:
        """Give log indices to stored manifests, contiguously and in chain order; the new end."""

    def place(self, leaf_hashes: Sequence[bytes], *, start: int) -> int:
        """Give manifests the indices that the store's record gives them; the new end."""

    def log_state(self) -> LogState:
        """What is integrated and published, at one moment."""

    def advance(self, older: TreeHead, newer: TreeHead) -> bool:
        """Compare-and-swap size and root; False if another was first."""

    def is_covered(self, leaf_hashes: Sequence[bytes]) -> bool:
        """Whether the newest publication noted to be in the store covers all of these leaves."""

    def entries(self, start: int, end: int) -> list[Entry]:
        """Log entries [start, end)."""

    def leaf_hashes(self, start: int, end: int) -> list[bytes]:
        """Leaf hashes [start, end)."""

    def subtrees(self, level: int, start: int, end: int) -> list[bytes]:
        """Roots of the full subtrees of 256^level leaves numbered [start, end)."""

    def add_subtree(self, level: int, number: int, root: bytes) -> None:
        """Keep the root of a full subtree; repeating it changes nothing."""

    def publication(self, number: int) -> Publication | None:
        """One publication."""

    def first_publication_covering(self, size: int) -> Publication | None:
        """The first publication whose tree holds at least `size` leaves."""

    def add_publication(self, publication: Publication) -> Publication:
        """Commit a publication under its number; the one that was first wins, and comes back."""

    def mark_published(self, number: int) -> None:
        """Note that the store holds the publications up to this number."""

    def owing(self) -> list[tuple[str, int]]:
        """Chain and sequence of each link whose effect on stored objects is not done yet."""

    def paid(self, chain: str, sequence: int) -> None:
        """Note that the effects of a chain's links are done, up to one."""

    def alone(self, what: str, *, patience: float) -> AbstractContextManager[bool]:
        """Keep other processes and threads out of `what`; False if not within `patience` seconds.

        The holder's death ends it. It is not a transaction, and may be held around I/O; what must
        be right whatever happens does not rest on it alone.
        """

    def wait(self, what: str, *, patience: float) -> None:
        """Wait until nobody is alone with `what`, or for `patience` seconds."""


class IdentityKind(StrEnum):
    """What stands behind a token."""

    PERSON = "person"
    COLLECTOR = "collector"


@dataclass(frozen=True, slots=True)
class Token:
    """An API token as it is kept: never its secret."""

    id: str
    secret_sha256: str
    """Of the part that only its holder knows (hex)."""
    identity: str
    """Whom it authenticates: `ada@example.org`, `collector:edge-1`."""
    kind: IdentityKind
    chains: tuple[str, ...]
    """The chains that it is limited to; empty for no limit but that of the holder's grants."""
    name: str
    """What it is for, in words."""
    created: datetime
    expires: datetime
    revoked: datetime | None = None
    last_used: datetime | None = None
    """To the minute."""


class RequestState(StrEnum):
    """What became of a request that takes two people."""

    PENDING = "pending"
    APPROVED = "approved"
    """A second person said yes; it is being done, or still to be done."""
    REFUSED = "refused"
    EXPIRED = "expired"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Request:
    """What one person asked for, and a second one approves before it is done."""

    id: str
    """Also the deposit id of what is sealed when it is done: that happens once."""
    kind: str
    chain: str
    parameters: Object
    requester: str
    requester_authenticated: str
    """How the vault knew the requester: `token` or `oidc`."""
    reason: str
    created: datetime
    expires: datetime
    state: RequestState = RequestState.PENDING
    approver: str | None = None
    """Who approved or refused it."""
    approver_authenticated: str | None = None
    claimed: datetime | None = None
    """Since when somebody is doing it; None while nobody is."""
    result: Object | None = None
    """What came of it: of a failure or a refusal, the reason."""


class AccessStore(Protocol):
    """Tokens and requests: what the record does not hold, and a rebuild does not bring back.

    A write is durable once its call returns. Nothing is ever removed. Raises `UnavailableError`.
    """

    def add_token(self, token: Token) -> None:
        """Keep a new token. Raises `ConflictError` where its id is taken."""

    def token(self, token_id: str) -> Token | None:
        """One token."""

    def tokens(self, identity: str | None = None) -> list[Token]:
        """All tokens, or one identity's, the oldest first."""

    def revoke_token(self, token_id: str, at: datetime) -> bool:
        """Note that a token is valid no more; False if there is none, or it was revoked before."""

    def shorten_token(self, token_id: str, expires: datetime) -> bool:
        """Have a token expire sooner; never later. False if there is none that this shortens."""

    def use_token(self, token_id: str, minute: datetime) -> None:
        """Note when a token was used last; an earlier minute changes nothing."""

    def add_request(self, request: Request) -> None:
        """Keep a new request. Raises `ConflictError` where its id is taken."""

    def request(self, request_id: str) -> Request | None:
        """One request."""

    def requests(
        self, chain: str | None = None, *, after: str = "", limit: int | None = None
    ) -> list[Request]:
        """All requests, or those about one chain, the oldest first: by their ids.

        Only those after an id, and at most `limit`.
        """

    def asked_since(self, requester: str, request_id: str) -> int:
        """How many requests of one person have this id or a later one."""

    def change_request(self, known: Request, changed: Request) -> bool:
        """Compare-and-swap: state, approver, claim and result, where the request is as `known`.

        False where state or claim are others by now: then nothing was changed.
        """
