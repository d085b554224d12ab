"""Store and index with a moment at which something happens: the k-th write call.

A call that fails either has no effect or was persisted anyway; a process that dies does nothing
afterwards, not even its cleaning up. The wrappers only count and delegate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TypeVar

from vault.errors import UnavailableError
from vault.ports import (
    UNPROTECTED,
    ChainHead,
    Claim,
    Entry,
    Index,
    LogState,
    NewManifest,
    ObjectState,
    ObjectStore,
    Protection,
    Publication,
    Row,
    StoreTraits,
    Upload,
    Version,
)
from verify.merkle import TreeHead
from verify.statement import Stored

T = TypeVar("T")


class Killed(BaseException):
    """The process is dead; no handler of the code under test may know better."""


@dataclass
class Moment:
    """The k-th write call, before or after its effect, and what happens there."""

    at: int = 0
    """1 for the first write call; 0 for never."""
    act: Callable[[], None] = lambda: None
    after: bool = False
    on: str = ""
    """Or the first call whose name starts like this."""
    count: int = 0
    happened: str = ""
    """The call at which it happened; empty if it did not."""
    done: str = ""
    """The last call that had its effect."""
    dead: bool = False
    uploads: list[Upload] = field(default_factory=list)

    def write(self, name: str, effect: Callable[[], T]) -> T:
        """One write call."""
        self.look()
        self.count += 1
        now = self.count == self.at
        if self.on and not self.happened and name.startswith(self.on):
            now = True
        if now:
            self.happened = f"{'after' if self.after else 'before'} call {self.count}, {name}"
        if now and not self.after:
            self.act()
        result = effect()
        self.done = name
        if now and self.after:
            self.act()
        return result

    def look(self) -> None:
        """Any call at all: the dead make none."""
        if self.dead:
            raise Killed

    def kill(self) -> None:
        """As `act`: the process dies here."""
        self.dead = True
        raise Killed


def fail() -> None:
    """As `act`: the call fails, and the process lives to handle it."""
    raise UnavailableError("the plug was pulled")


class MomentStore:
    """An `ObjectStore` that knows its moment."""

    def __init__(self, inner: ObjectStore, moment: Moment) -> None:
        self._inner = inner
        self._moment = moment

    @property
    def traits(self) -> StoreTraits:
        return self._inner.traits

    def upload(
        self, key: str, *, size: int | None, protection: Protection = UNPROTECTED
    ) -> MomentUpload:
        def begin() -> Upload:
            made = self._inner.upload(key, size=size, protection=protection)
            self._moment.uploads.append(made)
            return made

        return MomentUpload(self._moment.write(f"upload {key}", begin), key, self._moment)

    def put_once(self, key: str, data: bytes) -> None:
        self._moment.write(f"put_once {key}", lambda: self._inner.put_once(key, data))

    def put_latest(self, key: str, data: bytes) -> None:
        self._moment.write(f"put_latest {key}", lambda: self._inner.put_latest(key, data))

    def get(self, key: str, *, version_id: str | None = None) -> bytes:
        self._moment.look()
        return self._inner.get(key, version_id=version_id)

    def read(
        self, key: str, *, version_id: str | None = None, offset: int = 0, length: int | None = None
    ) -> Iterator[bytes]:
        self._moment.look()
        return self._inner.read(key, version_id=version_id, offset=offset, length=length)

    def exists(self, key: str) -> bool:
        self._moment.look()
        return self._inner.exists(key)

    def keys(self, prefix: str) -> Iterator[str]:
        self._moment.look()
        return self._inner.keys(prefix)

    def versions(self, prefix: str) -> Iterator[Version]:
        self._moment.look()
        return self._inner.versions(prefix)

    def state(self, key: str, version_id: str | None) -> ObjectState:
        self._moment.look()
        return self._inner.state(key, version_id)

    def protect(self, key: str, version_id: str | None, protection: Protection) -> None:
        self._moment.write(
            f"protect {key}", lambda: self._inner.protect(key, version_id, protection)
        )


class MomentUpload:
    """An `Upload` that knows its moment."""

    def __init__(self, inner: Upload, key: str, moment: Moment) -> None:
        self._inner = inner
        self._key = key
        self._moment = moment

    def write(self, data: bytes) -> None:
        self._moment.write(f"write to {self._key}", lambda: self._inner.write(data))

    def finish(self) -> Stored:
        return self._moment.write(f"finish {self._key}", self._inner.finish)

    def publish(self) -> str | None:
        return self._moment.write(f"publish {self._key}", self._inner.publish)

    def abort(self) -> None:
        self._moment.look()
        self._inner.abort()


class MomentIndex:
    """An `Index` that knows its moment."""

    def __init__(self, inner: Index, moment: Moment) -> None:
        self._inner = inner
        self._moment = moment

    def append(
        self,
        chain: str,
        deposits: Sequence[str],
        build: Callable[[ChainHead], Sequence[NewManifest]],
    ) -> tuple[list[Row], bool]:
        name = f"append {', '.join(deposits)} to {chain}"
        return self._moment.write(name, lambda: self._inner.append(chain, deposits, build))

    def mark_stored(self, rows: Sequence[Row]) -> None:
        self._moment.write("mark_stored", lambda: self._inner.mark_stored(rows))

    def drop_from(self, row: Row, head: ChainHead | None) -> bool:
        return self._moment.write("drop_from", lambda: self._inner.drop_from(row, head))

    def adopt(self, chain: str, manifests: Sequence[NewManifest]) -> None:
        self._moment.write("adopt", lambda: self._inner.adopt(chain, manifests))

    def assign(self) -> int:
        return self._moment.write("assign", self._inner.assign)

    def place(self, leaf_hashes: Sequence[bytes], *, start: int) -> int:
        return self._moment.write("place", lambda: self._inner.place(leaf_hashes, start=start))

    def advance(self, older: TreeHead, newer: TreeHead) -> bool:
        return self._moment.write("advance", lambda: self._inner.advance(older, newer))

    def add_subtree(self, level: int, number: int, root: bytes) -> None:
        self._moment.write("add_subtree", lambda: self._inner.add_subtree(level, number, root))

    def add_publication(self, publication: Publication) -> Publication:
        name = f"add_publication {publication.number}"
        return self._moment.write(name, lambda: self._inner.add_publication(publication))

    def head(self, chain: str) -> ChainHead | None:
        self._moment.look()
        return self._inner.head(chain)

    def rows(self, chain: str, *, start: int = 0) -> Iterator[Row]:
        self._moment.look()
        return self._inner.rows(chain, start=start)

    def chains(self, prefix: str) -> list[str]:
        self._moment.look()
        return self._inner.chains(prefix)

    def sightings(
        self, chain: str, *, before: int | None = None, among: Sequence[str] | None = None
    ) -> dict[str, tuple[str, int]]:
        self._moment.look()
        return self._inner.sightings(chain, before=before, among=among)

    def claims(self, sha256: str) -> list[Claim]:
        self._moment.look()
        return self._inner.claims(sha256)

    def unstored(self, chains: Sequence[str] | None = None) -> list[Row]:
        self._moment.look()
        return self._inner.unstored(chains)

    def is_covered(self, leaf_hashes: Sequence[bytes]) -> bool:
        self._moment.look()
        return self._inner.is_covered(leaf_hashes)

    def mark_published(self, number: int) -> None:
        self._moment.write("mark_published", lambda: self._inner.mark_published(number))

    def owing(self) -> list[tuple[str, int]]:
        self._moment.look()
        return self._inner.owing()

    def paid(self, chain: str, sequence: int) -> None:
        self._moment.write("paid", lambda: self._inner.paid(chain, sequence))

    def alone(self, what: str, *, patience: float) -> AbstractContextManager[bool]:
        self._moment.look()
        return self._inner.alone(what, patience=patience)

    def wait(self, what: str, *, patience: float) -> None:
        self._moment.look()
        self._inner.wait(what, patience=patience)

    def log_state(self) -> LogState:
        self._moment.look()
        return self._inner.log_state()

    def entries(self, start: int, end: int) -> list[Entry]:
        self._moment.look()
        return self._inner.entries(start, end)

    def leaf_hashes(self, start: int, end: int) -> list[bytes]:
        self._moment.look()
        return self._inner.leaf_hashes(start, end)

    def subtrees(self, level: int, start: int, end: int) -> list[bytes]:
        self._moment.look()
        return self._inner.subtrees(level, start, end)

    def publication(self, number: int) -> Publication | None:
        self._moment.look()
        return self._inner.publication(number)

    def first_publication_covering(self, size: int) -> Publication | None:
        self._moment.look()
        return self._inner.first_publication_covering(size)
