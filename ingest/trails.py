"""CloudTrail's own proof, over all that a source gives: digests, their chain, the logs they list.

A source is watched while its contents pass: of digests the bytes are kept, of log files the hash,
so that what is judged is what was read, and nothing is read twice. Items inside archives are not
looked at. What the source says of an object (`s3 metadata signature=…`) is its digest's signature.

The verdict is three words. *failed*: something is not what was delivered. *verified*: every digest
is signed by a key that was given, follows the one before it, and every log file is there as it was
delivered, and no other. *unverified* is all else, with the reasons: a key that was not given proves
nothing, and says nothing against anybody. What came before the first digest is never vouched for.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING

from ingest.parsers import HEAD_SIZE, Confidence
from ingest.parsers.bounded import counted
from ingest.parsers.families import KNOWN
from ingest.parsers.gunzip import Unpacked, is_gzip, unpack_head
from ingest.parsers.trail_names import DIGEST_LIMIT, LOG_NAME
from ingest.source import Found, Reader, Source, SourceUnreadableError

if TYPE_CHECKING:
    from ingest.parsers.digest_chain import Checked, Stored

FAILED, UNVERIFIED, VERIFIED = "failed", "unverified", "verified"

_DIGEST = next(parser for parser in KNOWN if parser.name == "cloudtrail-digest")
_OBJECT = re.compile(r"s3://([^/]+)/(.*?)(?:\?versionId=[^?]*)?", re.DOTALL)
_SIGNATURE = "s3 metadata signature="
_PIECE = 256 << 10
_GLANCE = 4 << 10


@dataclass(frozen=True, slots=True)
class Proof:
    """What the digests of a source prove of its logs, and the word for it, with the reasons."""

    verdict: str
    reasons: tuple[str, ...]
    digests: int
    checked: Checked


@dataclass(slots=True)
class _Kept:
    """A digest's bytes as they lie, or the hash of a log file's unpacked ones."""

    name: str
    path: str
    data: bytes
    sha256: str | None
    signature: str | None = None


@dataclass(slots=True)
class WatchedSource:
    """`Source` that passes on another, and remembers what its digests are checked with."""

    source: Source
    _kept: list[_Kept] = field(default_factory=list)

    def survey(self) -> Iterator[Found]:
        """What the other source finds."""
        return self.source.survey()

    def open(self, found: Found) -> Reader:
        """Open it at the other source."""
        return _WatchedReader(self.source.open(found), found, self._kept)

    def proof(self, keys: Mapping[str, bytes]) -> Proof | None:
        """What the digests read so far prove, by these public keys; None where there are none."""
        digests = sum(each.sha256 is None for each in self._kept)
        if not digests:
            return None
        # Most commands meet no digest, and need no cryptography of its kind.
        from ingest.parsers.digest_chain import check_chain  # noqa: PLC0415

        return _judged(check_chain(map(_stored, self._kept), keys), digests, keys=bool(keys))


def _stored(kept: _Kept) -> Stored:
    from ingest.parsers.digest_chain import Stored  # noqa: PLC0415

    place = _OBJECT.fullmatch(kept.path)
    bucket, key = place.groups() if place else (None, None)
    content = io.BytesIO(kept.data)
    return Stored(kept.name, content, bucket, key, kept.signature, kept.sha256)


def _judged(checked: Checked, digests: int, *, keys: bool) -> Proof:
    counts = Counter((each.name, each.result) for each in checked.verdicts)
    failed = [f"{each.name} {each.subject}" for each in checked.verdicts if each.result == "failed"]
    if failed:
        return Proof(FAILED, tuple(failed), digests, checked)
    reasons = []
    if unproven := counts["digest signature", "unknown"]:
        lacking = "its key or its signature is not here" if keys else "no public keys were given"
        reasons.append(f"{counted(unproven, 'digest')} without proof: {lacking}")
    if absent := counts["log file", "unknown"]:
        reasons.append(f"{counted(absent, 'log file')} listed, and not here")
    for name in ("digest signature", "previous digest", "log file"):
        if malformed := counts[name, "inconclusive"]:
            reasons.append(f"{counted(malformed, name)} that proves nothing: malformed")
    if checked.gaps:
        reasons.append(f"{counted(len(checked.gaps), 'gap')} between digests")
    if checked.unlisted:
        reasons.append(f"{counted(len(checked.unlisted), 'log file')} that no digest lists")
    reasons += checked.problems
    return Proof(UNVERIFIED if reasons else VERIFIED, tuple(reasons), digests, checked)


class _WatchedReader:
    """`Reader` of one content; once it was read to its end, what it was is remembered."""

    def __init__(self, reader: Reader, found: Found, kept: list[_Kept]) -> None:
        self._reader = reader
        self._found = found
        self._kept = kept
        self._new: _Kept | None = None
        self._hash = hashlib.sha256()

    @property
    def size(self) -> int | None:
        """The other reader's."""
        return self._reader.size

    def pieces(self) -> Iterator[bytes]:
        """The other reader's pieces."""
        source = iter(self._reader.pieces())
        first: list[bytes] = []
        while sum(map(len, first)) < HEAD_SIZE and (piece := next(source, None)) is not None:
            first.append(piece)
        head = b"".join(first)[:HEAD_SIZE]
        pieces = chain(first, source)
        if _is_digest(head, self._found.name):
            return self._kept_whole(pieces, self._digest)
        if not LOG_NAME.search(_object_name(self._found)):
            return pieces
        if is_gzip(head):
            return self._kept_whole(pieces, self._packed_log)
        return self._hashed(pieces)

    def settle(self, sha256: str) -> tuple[str, ...]:
        """The other reader's remarks; the content counts from here on."""
        remarks = self._reader.settle(sha256)
        if self._new is not None:
            told = (each for each in remarks if each.startswith(_SIGNATURE))
            self._new.signature = next((each[len(_SIGNATURE) :] for each in told), None)
            self._kept.append(self._new)
            self._new = None
        return remarks

    def close(self) -> None:
        """Let go of it; who only looks at a content does not settle it, which is done here."""
        if self._new is not None:
            with suppress(SourceUnreadableError):  # it changed, and counts for nothing
                self.settle(self._hash.hexdigest())
        self._reader.close()

    def _kept_whole(
        self, pieces: Iterable[bytes], remember: Callable[[bytes], None]
    ) -> Iterator[bytes]:
        data = bytearray()
        for piece in pieces:
            self._hash.update(piece)
            if len(data) <= DIGEST_LIMIT:
                data += piece
            yield piece
        remember(bytes(data))

    def _hashed(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            self._hash.update(piece)
            yield piece
        self._remember(b"", self._hash.hexdigest())

    def _digest(self, data: bytes) -> None:
        self._remember(data, None)

    def _packed_log(self, data: bytes) -> None:
        digest = hashlib.sha256()
        unpacked = io.BufferedReader(Unpacked(io.BytesIO(data)), _PIECE)
        while piece := unpacked.read(_PIECE):
            digest.update(piece)
        if len(data) <= DIGEST_LIMIT:
            self._remember(b"", digest.hexdigest())

    def _remember(self, data: bytes, sha256: str | None) -> None:
        self._new = _Kept(_object_name(self._found), self._found.path, data, sha256)


def _is_digest(head: bytes, name: str) -> bool:
    # Asked of every file that passes: most are none at a glance. Digests begin with their own keys.
    glance = unpack_head(head, _GLANCE) if is_gzip(head) else head[:_GLANCE]
    if not glance or b"digest" not in glance:
        return False
    unpacked = unpack_head(head, HEAD_SIZE) if is_gzip(head) else head
    return _DIGEST.detect(unpacked or b"", name) is not Confidence.NONE


def _object_name(found: Found) -> str:
    """The last part of an object's key; else of the name, which also a version has."""
    place = _OBJECT.fullmatch(found.path)
    return (place[2] if place else found.name).rpartition("/")[2]
