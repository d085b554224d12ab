"""One entry of a spool: a sealed collection with its bytes, read back with every digest checked.

collection.json   the envelope that the collector signed
contents          the items' bytes, one behind the other, in the order of the collection
descriptions      the items' descriptions likewise, then the list of what was not captured
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from verify import strictjson
from verify.collection import CollectedDocument, CollectedItem, Collection, open_collection
from verify.description import Description, parse_description
from verify.digest import sha256_hex
from verify.envelope import ManifestKey
from verify.errors import EvidenceError, SignatureError
from verify.strictjson import Fields

COLLECTION = "collection.json"
CONTENTS = "contents"
DESCRIPTIONS = "descriptions"

_PIECE = 1 << 20
_MAX_ENVELOPE = 24 << 20
_MAX_LIST = 64 << 20


class SpoolError(EvidenceError):
    """The spool cannot do what was asked."""

    code = "spool"


class SpoolUnavailableError(SpoolError):
    """The spool's folder cannot be read or written now."""

    code = "spool_unavailable"


class SpoolDamagedError(SpoolError):
    """Something in the spool is not what was sealed there."""

    code = "spool_damaged"


@dataclass(frozen=True, slots=True)
class Missed:
    """Something that the collector met and could not take."""

    name: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry whose envelope was verified, and whose files have the signed sizes."""

    path: Path
    collection: Collection
    data: bytes
    """The envelope's bytes, as they were signed."""
    offsets: tuple[int, ...]
    """Where each item's bytes begin in `contents`."""

    @property
    def number(self) -> int:
        """Its place in the spool."""
        return self.collection.number

    @property
    def sha256(self) -> str:
        """Digest of the envelope."""
        return sha256_hex(self.data)

    @property
    def size(self) -> int:
        """Bytes of all contents."""
        return sum(item.size for item in self.collection.items)

    def items(self) -> Iterator[tuple[CollectedItem, Description]]:
        """The items in order, each with its description, checked. Raises `SpoolDamagedError`."""
        with (self.path / DESCRIPTIONS).open("rb") as file:
            for number, item in enumerate(self.collection.items, start=1):
                what = f"the description of item {number}"
                data = self._document(file, item.description, what)
                try:
                    description = parse_description(data, where=what)
                except EvidenceError as error:
                    raise SpoolDamagedError(f"{self.path / DESCRIPTIONS}: {error}") from error
                if description.encode() != data:
                    raise SpoolDamagedError(f"{self.path / DESCRIPTIONS}: {what} is not canonical")
                yield item, description

    def content(self, number: int) -> Iterator[bytes]:
        """The bytes of an item, by its place from 0; the reader checks their digest at the end."""
        left = self.collection.items[number].size
        with (self.path / CONTENTS).open("rb", buffering=0) as file:
            file.seek(self.offsets[number])
            while left:
                piece = file.read(min(left, _PIECE))
                if not piece:
                    raise SpoolDamagedError(f"{self.path / CONTENTS} ends within item {number + 1}")
                left -= len(piece)
                yield piece

    def missed(self) -> list[Missed]:
        """What was met and not captured. Raises `SpoolDamagedError`."""
        listed = self.collection.not_captured_list
        if listed is None:
            return []
        what = "the list of what was not captured"
        with (self.path / DESCRIPTIONS).open("rb") as file:
            file.seek(sum(item.description.size for item in self.collection.items))
            data = self._document(file, listed, what)
        missed = []
        try:
            values = strictjson.loads(data, where=what, limit=_MAX_LIST)
            for each in values if isinstance(values, list) else ():
                reader = Fields(each, what)
                missed.append(
                    Missed(reader.text("name"), reader.text("reason"), reader.text("detail"))
                )
                reader.done()
        except EvidenceError as error:
            raise SpoolDamagedError(f"{self.path / DESCRIPTIONS}: {error}") from error
        if len(missed) != self.collection.not_captured or strictjson.dumps(values) != data:
            raise SpoolDamagedError(f"{self.path / DESCRIPTIONS}: {what} is not as it has to be")
        return missed

    def check_content(self, number: int, sha256: str) -> None:
        """Raise `SpoolDamagedError` unless a content had the signed digest."""
        signed = self.collection.items[number].sha256
        if sha256 != signed:
            raise SpoolDamagedError(
                f"{self.path / CONTENTS}: item {number + 1} is not what was sealed\n"
                f"sealed {signed}\nfound  {sha256}"
            )

    def _document(self, file: BinaryIO, signed: CollectedDocument, what: str) -> bytes:
        data = file.read(signed.size)
        if sha256_hex(data) != signed.sha256:
            raise SpoolDamagedError(f"{self.path / DESCRIPTIONS}: {what} is not what was sealed")
        return data


def open_entry(path: Path, key: ManifestKey) -> Entry:
    """Read an entry's envelope, and hold it against the spool's key and the sizes of its files.

    Raises `SpoolDamagedError`, `OSError`.
    """
    try:
        data = _envelope(path / COLLECTION)
        sizes = [(path / name).stat().st_size for name in (CONTENTS, DESCRIPTIONS)]
    except (FileNotFoundError, NotADirectoryError) as error:
        raise SpoolDamagedError(f"{error.filename} is gone") from error
    try:
        signed = open_collection(data, (key,), where=COLLECTION)
    except EvidenceError as error:
        detail = str(error).removeprefix(f"{COLLECTION}: ")
        if isinstance(error, SignatureError) and "trust file" in detail:
            detail = "signed by another key than this spool's"
        raise SpoolDamagedError(f"{path / COLLECTION} is not what was sealed: {detail}") from error
    collection = signed.collection
    listed = collection.not_captured_list
    expected = [
        sum(item.size for item in collection.items),
        sum(item.description.size for item in collection.items) + (listed.size if listed else 0),
    ]
    for name, size, wanted in zip((CONTENTS, DESCRIPTIONS), sizes, expected, strict=True):
        if size != wanted:
            raise SpoolDamagedError(f"{path / name} has {size:,} bytes, sealed were {wanted:,}")
    offsets = itertools.accumulate((item.size for item in collection.items), initial=0)
    return Entry(path, collection, data, tuple(offsets))


def _envelope(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(_MAX_ENVELOPE + 1)
    if len(data) > _MAX_ENVELOPE:
        raise SpoolDamagedError(f"{path} is larger than any envelope")
    return data
