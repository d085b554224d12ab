"""The reference `ObjectStore`: a dictionary. What it does is what every adapter must do."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Lock

from vault import layout
from vault.errors import NotFoundError, ObjectConflictError, UnavailableError
from vault.hashing import PartedHash
from vault.ports import (
    UNPROTECTED,
    LockMode,
    ObjectState,
    Protection,
    StoreTraits,
    Version,
    extended,
)
from verify.statement import Stored

PIECE = 1 << 20
RECORD_DAYS = 10


@dataclass
class Kept:
    """One version of a key; without bytes a delete marker."""

    version_id: str
    data: bytes | None
    parts: tuple[str, ...] = ()
    protection: Protection = UNPROTECTED


class Memory:
    """What several clients share: every version, and the uploads that are not ended."""

    def __init__(self) -> None:
        self.kept: dict[str, list[Kept]] = {}
        """The versions and markers of each key, the oldest first."""
        self.uploads: set[MemoryUpload] = set()
        self.lock = Lock()
        self._count = 0

    def add(
        self,
        key: str,
        data: bytes | None,
        parts: tuple[str, ...] = (),
        protection: Protection = UNPROTECTED,
    ) -> str:
        """Lay a version, or a marker, over whatever the key has."""
        self._count += 1
        made = Kept(f"version-{self._count}", data, parts, protection)
        self.kept.setdefault(key, []).append(made)
        return made.version_id

    def remove(self, key: str, version_id: str, *, bypass: bool) -> bool:
        """Remove one version for good; False where its protection forbids it."""
        for each in self.kept[key]:
            if each.version_id == version_id:
                lock = each.protection
                locked = lock.retain_until is not None and lock.retain_until > datetime.now(UTC)
                if lock.held or (locked and not (bypass and lock.mode == LockMode.GOVERNANCE)):
                    return False
                self.kept[key].remove(each)
                return True
        raise KeyError(version_id)

    def versions_of(self, key: str) -> list[Kept]:
        """The versions of a key that hold bytes, the oldest first."""
        return [each for each in self.kept.get(key, ()) if each.data is not None]


class MemoryStore:
    """`ObjectStore` over a `Memory`."""

    traits = StoreTraits("memory", locks=True, versions=True, checksums=True)

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def upload(
        self, key: str, *, size: int | None, protection: Protection = UNPROTECTED
    ) -> MemoryUpload:
        return MemoryUpload(self._memory, key, size, protection)

    def put_once(self, key: str, data: bytes) -> None:
        until = datetime.now(UTC) + timedelta(days=RECORD_DAYS)
        protection = Protection(until) if layout.is_locked(key) else UNPROTECTED
        with self._memory.lock:
            found = self._memory.versions_of(key)
            if not found:
                self._memory.add(key, bytes(data), protection=protection)
            elif found[0].data != data:
                raise ObjectConflictError(key)

    def put_latest(self, key: str, data: bytes) -> None:
        with self._memory.lock:
            self._memory.add(key, bytes(data))

    def get(self, key: str, *, version_id: str | None = None) -> bytes:
        return self._version(key, version_id).data or b""

    def read(
        self, key: str, *, version_id: str | None = None, offset: int = 0, length: int | None = None
    ) -> Iterator[bytes]:
        data = self.get(key, version_id=version_id)
        end = len(data) if length is None else min(len(data), offset + length)
        for start in range(offset, end, PIECE):
            yield data[start : min(start + PIECE, end)]

    def exists(self, key: str) -> bool:
        return bool(self._memory.versions_of(key))

    def keys(self, prefix: str) -> Iterator[str]:
        found = [key for key in list(self._memory.kept) if key.startswith(prefix)]
        yield from (key for key in sorted(found, key=str.encode) if self.exists(key))

    def versions(self, prefix: str) -> Iterator[Version]:
        for key in sorted(self._memory.kept, key=str.encode):
            if key.startswith(prefix):
                for each in (kept := list(self._memory.kept[key])):
                    marker, size = each.data is None, len(each.data or b"")
                    yield Version(key, each.version_id, marker, each is kept[-1], size)

    def state(self, key: str, version_id: str | None) -> ObjectState:
        found = self._version(key, version_id)
        newest = self._memory.kept[key][-1]
        covered_by = None
        if newest is not found:
            covered_by = "a delete marker" if newest.data is None else newest.version_id
        data, sha256, composite = found.data or b"", None, None
        if found.parts:
            digests = b"".join(bytes.fromhex(each) for each in found.parts)
            composite = hashlib.sha256(digests).hexdigest(), len(found.parts)
        else:
            sha256 = hashlib.sha256(data).hexdigest()
        return ObjectState(
            found.version_id, len(data), sha256, composite, found.protection, covered_by
        )

    def protect(self, key: str, version_id: str | None, protection: Protection) -> None:
        with self._memory.lock:
            found = self._version(key, version_id)
            found.protection = extended(found.protection, protection)

    def _version(self, key: str, version_id: str | None) -> Kept:
        """The version named, or the newest: markers never hide anything."""
        for each in reversed(self._memory.versions_of(key)):
            if version_id in (None, each.version_id):
                return each
        raise NotFoundError(f"the store has no {key}")


class MemoryUpload:
    """`Upload` into a `MemoryStore`."""

    def __init__(self, memory: Memory, key: str, size: int | None, protection: Protection) -> None:
        self._memory = memory
        self._key = key
        self._protection = protection
        self._pieces: list[bytes] = []
        self._hash = PartedHash(size)
        self._stored: Stored | None = None
        memory.uploads.add(self)

    def write(self, data: bytes) -> None:
        if self._stored:
            raise UnavailableError("this upload is finished")
        self._hash.update(data)
        self._pieces.append(bytes(data))

    def finish(self) -> Stored:
        self._stored = self._hash.result()
        return self._stored

    def publish(self) -> str | None:
        assert self._stored
        with self._memory.lock:
            if self._memory.versions_of(self._key):
                raise ObjectConflictError(self._key)
            data = b"".join(self._pieces)
            version_id = self._memory.add(self._key, data, self._stored.parts, self._protection)
        self._memory.uploads.discard(self)
        return version_id

    def abort(self) -> None:
        self._hash.close()
        self._memory.uploads.discard(self)
