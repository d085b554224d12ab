"""A capture that goes into a spool: bytes are written at once, the claim is made at the end.

Satisfies `ingest.sink.Sink`. Before `commit` nothing is an entry, and `abort` leaves nothing.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime

from ingest.entry import COLLECTION, CONTENTS, DESCRIPTIONS, Entry, SpoolError
from ingest.spool import Spool, unavailable
from verify import strictjson
from verify.collection import (
    MAX_COLLECTED,
    CollectedDocument,
    CollectedItem,
    Collection,
    check_destination,
)
from verify.description import Description
from verify.digest import sha256_hex
from verify.statement import Actor
from verify.strictjson import Object

_LOOK_EVERY = 16 << 20
"""Other processes fill the spool too: how much is written between two looks at the limit."""


@dataclass(slots=True)
class Spooled:
    """Bytes in the spool that nobody claims yet."""

    sha256: str
    size: int
    offset: int


class SpoolCapture:
    """Evidence being captured into a spool, for one chain of a vault that is out of reach."""

    def __init__(
        self,
        spool: Spool,
        *,
        destination: str,
        clock: Callable[[], datetime],
        actor: Actor,
        system: str | None,
        source: str | None,
        method: str,
        collector: Object,
    ) -> None:
        """Open a capture. Raises `SpoolFullError`, `SpoolUnavailableError`."""
        self._spool = spool
        self._files = spool.files
        self._destination = check_destination(destination)
        self._clock = clock
        self._actor = actor
        self._system = system
        self._source = source
        self._method = method
        self._collector = collector
        self._items: list[CollectedItem] = []
        self._missing: list[Object] = []
        self._size = 0
        self._open: list[int] = []
        with self._readable():
            self._room = min(spool.check_room(), _LOOK_EVERY)
            self._path, self._alive = spool.new_folder()
            self._open.append(self._alive)
            try:
                self._contents = self._create(CONTENTS)
                self._descriptions = self._create(DESCRIPTIONS)
            except BaseException:
                self.abort()
                raise

    def keep(self, pieces: Iterable[bytes], *, size: int | None) -> Spooled:
        """Write a content behind the others. Raises `SpoolFullError` before it would not fit."""
        start = self._size
        digest = hashlib.sha256()
        with self._readable():
            self._make_room(size or 0)
            try:
                for piece in pieces:
                    self._make_room(len(piece))
                    self._files.write(self._contents, piece)
                    digest.update(piece)
                    self._size += len(piece)
                    self._room -= len(piece)
            except BaseException:
                self._cut(start)
                raise
        return Spooled(digest.hexdigest(), self._size - start, start)

    def discard(self, kept: Spooled) -> None:
        """Let go of the bytes written last."""
        if kept.offset + kept.size != self._size:
            raise SpoolError("only what was kept last can be let go of")
        with self._readable():
            self._cut(kept.offset)

    def already(self, kept: Spooled, *, path: str) -> str | None:
        """Never: what the vault has is not known here, and every sighting is one of its own."""
        del kept, path
        return None

    def claim(self, kept: Spooled, *, kinds: Sequence[str], description: Description) -> None:
        """Make an item of kept bytes."""
        if len(self._items) == MAX_COLLECTED:
            raise SpoolError(
                f"a spool takes {MAX_COLLECTED:,} files at a time; nothing of this was kept. "
                "Name fewer at once"
            )
        data = description.encode()
        with self._readable():
            self._files.write(self._descriptions, data)
        document = CollectedDocument(sha256_hex(data), len(data))
        self._items.append(CollectedItem(kept.sha256, kept.size, tuple(kinds), document))

    def missing(self, name: str, reason: str, detail: str) -> None:
        """Note something that was met and could not be kept."""
        self._missing.append({"detail": detail, "name": name, "reason": reason})

    def commit(self) -> Entry:
        """Seal everything as the next entry; when this returns, no power cut can lose it.

        Raises `SpoolFullError`, `SpoolDamagedError`, `SpoolUnavailableError`: then nothing is kept.
        """
        with self._readable():
            try:
                listed = self._list()
                for descriptor in (self._contents, self._descriptions):
                    self._files.sync(descriptor)
                with self._spool.alone():
                    return self._seal(listed)
            finally:
                self._close()
                self._remove()

    def abort(self) -> None:
        """Leave nothing behind."""
        self._close()
        with suppress(OSError):
            self._remove()

    def _seal(self, listed: CollectedDocument | None) -> Entry:
        """Under the lock: number, sign, publish."""
        head = self._spool.head()
        collection = Collection(
            spool=self._spool.id,
            number=head.number + 1,
            previous=head.sha256,
            destination=self._destination,
            actor=self._actor.id,
            claimed_name=self._actor.claimed,
            collected_at=self._clock(),
            salt=secrets.token_hex(32),
            collector=self._collector,
            system=self._system,
            source=self._source,
            method=self._method,
            items=tuple(self._items),
            not_captured=len(self._missing),
            not_captured_list=listed,
        )
        data = self._spool.key.seal(collection.encode()).encode()
        descriptor = self._create(COLLECTION)
        self._files.write(descriptor, data)
        self._files.sync(descriptor)
        self._files.sync_folder(self._path)
        self._spool.check_room()
        self._spool.publish(self._path, collection.number, sha256_hex(data))
        return self._spool.entry(collection.number)

    def _make_room(self, size: int) -> None:
        """Look at the limit where what is coming might not fit any more."""
        if size > self._room:
            self._room = min(self._spool.check_room(size), size + _LOOK_EVERY)

    def _list(self) -> CollectedDocument | None:
        if not self._missing:
            return None
        data = strictjson.dumps(self._missing)
        self._files.write(self._descriptions, data)
        return CollectedDocument(sha256_hex(data), len(data))

    def _create(self, name: str) -> int:
        descriptor = self._files.create(self._path / name)
        self._open.append(descriptor)
        return descriptor

    def _cut(self, size: int) -> None:
        self._files.cut(self._contents, size)
        self._size = size

    def _close(self) -> None:
        while self._open:
            os.close(self._open.pop())

    def _remove(self) -> None:
        """What was not published goes; what was has another name by now."""
        self._files.remove(self._path)

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise unavailable(self._spool.root, "write to", error) from error
