"""An object store in a directory: one file an object, written once, read-only afterwards.

Bytes go to `tmp/`, are synced, and are linked to their key, which fails if the key exists; then
the folder is synced. The file system cannot stop its owner from changing a file: reports say so.
Retention and holds are kept beside the objects, below `locks/`; nothing here removes an object, so
they bind this program, and nobody else.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import stat
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

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
from verify.errors import MalformedError
from verify.instant import format_instant, parse_instant
from verify.statement import Stored
from verify.strictjson import Fields, dumps, loads

_PIECE = 4 << 20
_SYNC_EVERY = 64 << 20
_TEMPORARY = "tmp/"
_LOCKS = "locks/"


class DirectoryStore:
    """`ObjectStore` below a folder, which must exist."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._synced: set[Path] = set()

    @property
    def traits(self) -> StoreTraits:
        """A folder locks nothing, has no versions, and keeps no digests."""
        return StoreTraits("directory", locks=False, versions=False, checksums=False)

    def upload(
        self, key: str, *, size: int | None, protection: Protection = UNPROTECTED
    ) -> DirectoryUpload:
        """Begin an object under a fresh key."""
        return DirectoryUpload(self, key, size, protection)

    def put_once(self, key: str, data: bytes) -> None:
        """Write a key once; identical bytes succeed."""
        temporary = self.write_temporary(data)
        try:
            self.link(temporary, key)
        except ObjectConflictError:
            if self.get(key) != data:
                raise
            # Whoever linked it may have died before the folder was synced.
            with _readable_errors(f"write {key}"):
                _sync_folder(self._path(key).parent)
        finally:
            with suppress(OSError):
                temporary.unlink()

    def put_latest(self, key: str, data: bytes) -> None:
        """Replace a key's bytes as a whole."""
        temporary = self.write_temporary(data)
        target = self._path(key)
        try:
            with _readable_errors(f"write {key}"):
                self._folder(target.parent)
                temporary.replace(target)
                _sync_folder(target.parent)
        finally:
            with suppress(OSError):
                temporary.unlink()

    def get(self, key: str, *, version_id: str | None = None) -> bytes:
        """The whole object."""
        return b"".join(self.read(key, version_id=version_id))

    def read(
        self, key: str, *, version_id: str | None = None, offset: int = 0, length: int | None = None
    ) -> Iterator[bytes]:
        """The bytes of an object or of a slice. A directory has no versions to choose from."""
        with _readable_errors(f"read {key}"), self._path(key).open("rb", buffering=0) as file:
            os.lseek(file.fileno(), offset, os.SEEK_SET)
            left = length
            while left is None or left > 0:
                piece = file.read(_PIECE if left is None else min(_PIECE, left))
                if not piece:
                    break
                if left is not None:
                    left -= len(piece)
                yield piece

    def exists(self, key: str) -> bool:
        """Whether the key is there."""
        # Not Path.is_file: newer Pythons answer False where looking is not permitted, and a store
        # taken for empty would be written anew.
        with _readable_errors(f"look for {key}"):
            try:
                return stat.S_ISREG(os.stat(self._path(key)).st_mode)  # noqa: PTH116
            except (FileNotFoundError, NotADirectoryError):
                return False

    def keys(self, prefix: str) -> Iterator[str]:
        """All keys below a prefix that ends in a slash, in bytewise order."""
        with _readable_errors(f"list {prefix}"):
            try:
                with os.scandir(self._path(prefix)) as found:
                    # A folder sorts as its keys do: `a-b/1` comes before `a/1`.
                    names = [
                        f"{each.name}/" if each.is_dir(follow_symlinks=False) else each.name
                        for each in found
                    ]
                    if not prefix:
                        names = [name for name in names if name not in (_TEMPORARY, _LOCKS)]
            except FileNotFoundError:
                return
        for name in sorted(names, key=os.fsencode):
            if name.endswith("/"):
                yield from self.keys(prefix + name)
            else:
                yield prefix + name

    def versions(self, prefix: str) -> Iterator[Version]:
        """The files below a prefix, or the one that it names; each is its only version."""
        keys = iter([prefix]) if prefix and not prefix.endswith("/") else self.keys(prefix)
        for key in keys:
            if self.exists(key):
                with _readable_errors(f"look at {key}"):
                    size = self._path(key).stat().st_size
                yield Version(key, None, marker=False, newest=True, size=size)

    def state(self, key: str, version_id: str | None) -> ObjectState:
        """Size, and the protection kept beside it; a folder has no digests of its own."""
        if not self.exists(key):
            raise NotFoundError(f"cannot look at {key}: the store has no such object")
        with _readable_errors(f"look at {key}"):
            size = self._path(key).stat().st_size
        return ObjectState(version_id, size, None, None, self._protection(key))

    def protect(self, key: str, version_id: str | None, protection: Protection) -> None:
        """Keep the protection beside the object."""
        known = self.state(key, version_id).protection
        if extended(known, protection) == known:
            return
        with self._alone():
            known = self.state(key, version_id).protection
            self._note_protection(key, extended(known, protection))

    def link_protected(self, temporary: Path, key: str, protection: Protection) -> None:
        """Give a synced file its key, protected from its first moment on; as `link` raises."""
        if self.exists(key):  # its protection is not ours to write over
            raise ObjectConflictError(key)
        if protection != UNPROTECTED:
            self._note_protection(key, protection)
        try:
            self.link(temporary, key)
        except BaseException:
            with suppress(OSError):
                self._path(f"{_LOCKS}{key}").unlink()
            raise

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other processes and threads from noting protection; the holder's death ends it."""
        with _readable_errors("write to the store"):
            self._folder(self._root / _LOCKS)
            # A file, and open for writing: NFS locks nothing else.
            path = self._root / _LOCKS / ".lock"
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            with _readable_errors("write to the store"):
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _note_protection(self, key: str, protection: Protection) -> None:
        until = protection.retain_until
        if until:  # noted in milliseconds; cut off, it would be less than was asked
            until += timedelta(microseconds=-until.microsecond % 1000)
        noted = {
            "held": protection.held,
            "mode": protection.mode.value,
            "retain_until": format_instant(until) if until else None,
        }
        self.put_latest(f"{_LOCKS}{key}", dumps(noted))

    def _protection(self, key: str) -> Protection:
        where = f"{_LOCKS}{key}"
        if not self.exists(where):
            return UNPROTECTED
        try:
            reader = Fields(loads(self.get(where), where=where), where)
            until = reader.raw("retain_until")
            return Protection(
                None if until is None else parse_instant(until, where=where),
                LockMode(reader.text("mode")),
                reader.raw("held") is True,
            )
        except (MalformedError, ValueError) as error:
            raise UnavailableError(f"{where} in the store is damaged ({error})") from error

    def open_temporary(self) -> tuple[int, Path]:
        """A new file in `tmp/`: its descriptor and path."""
        with _readable_errors("write to the store"):
            folder = self._root / _TEMPORARY
            self._folder(folder)
            path = folder / secrets.token_hex(16)
            return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o400), path

    def write_temporary(self, data: bytes) -> Path:
        """Bytes in a synced file in `tmp/`."""
        descriptor, path = self.open_temporary()
        try:
            with _readable_errors("write to the store"):
                _write_all(descriptor, data)
                os.fsync(descriptor)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        finally:
            os.close(descriptor)
        return path

    def link(self, temporary: Path, key: str) -> None:
        """Give a synced file its key. Raises `ObjectConflictError` if the key exists."""
        target = self._path(key)
        with _readable_errors(f"write {key}"):
            self._folder(target.parent)
            try:
                os.link(temporary, target)
            except FileExistsError:
                raise ObjectConflictError(key) from None
            _sync_folder(target.parent)

    def _path(self, key: str) -> Path:
        return self._root / key

    def _folder(self, folder: Path) -> None:
        """Make a folder and its parents durable; the root is never made: it may be a mount."""
        if folder in self._synced:
            return
        if folder == self._root:
            if not folder.is_dir():
                raise UnavailableError(
                    f"the store {folder} is gone; mount it, or restore it from your backup"
                )
        else:
            self._folder(folder.parent)
            with suppress(FileExistsError):
                folder.mkdir(mode=0o700)
            # Also where it was there: whoever made it may have died before the sync.
            _sync_folder(folder.parent)
        self._synced.add(folder)


class DirectoryUpload:
    """`Upload` into a `DirectoryStore`."""

    def __init__(
        self, store: DirectoryStore, key: str, size: int | None, protection: Protection
    ) -> None:
        self._store = store
        self._protection = protection
        self._key = key
        self._descriptor, self._path = store.open_temporary()
        self._hash = PartedHash(size)
        self._open = True
        self._unsynced = 0
        self._syncer: ThreadPoolExecutor | None = None
        self._syncs: list[Future[None]] = []

    def write(self, data: bytes) -> None:
        """Add bytes."""
        self._hash.update(data)
        with _readable_errors("write to the store"):
            _write_all(self._descriptor, data)
            self._unsynced += len(data)
            if self._unsynced >= _SYNC_EVERY:
                # Keep the disk busy while the next bytes are hashed, so the final sync is short.
                self._syncer = self._syncer or ThreadPoolExecutor(1, "fdatasync")
                self._syncs.append(self._syncer.submit(os.fdatasync, self._descriptor))
                self._unsynced = 0

    def finish(self) -> Stored:
        """Sync the bytes and give their digests."""
        with _readable_errors("write to the store"):
            self._settle_syncs()
            for sync in self._syncs:
                sync.result()
            os.fsync(self._descriptor)
        os.close(self._descriptor)
        self._open = False
        return self._hash.result()

    def publish(self) -> str | None:
        """Link the file to its key; directories have no version ids."""
        self._store.link_protected(self._path, self._key, self._protection)
        self._path.unlink(missing_ok=True)
        return None

    def abort(self) -> None:
        """Remove the file."""
        self._settle_syncs()
        if self._open:
            os.close(self._descriptor)
            self._open = False
        self._hash.close()
        self._path.unlink(missing_ok=True)

    def _settle_syncs(self) -> None:
        if self._syncer:
            self._syncer.shutdown()
            self._syncer = None


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _readable_errors(action: str) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise NotFoundError(f"cannot {action}: the store has no {error.filename}") from error
    except OSError as error:
        remedy = {
            errno.ENOSPC: "the disk is full; free some space and run the command again",
            errno.EDQUOT: "the disk quota is used up; raise it and run the command again",
            errno.EFBIG: "a limit on file sizes is reached (ulimit -f); raise it and run it again",
            errno.EROFS: "the file system is read-only; mount it writable, or use another --home",
            errno.EACCES: "permission denied; the vault's home must belong to you",
            errno.EPERM: "not permitted; the vault's home must belong to you",
        }.get(error.errno or 0, error.strerror or str(error))
        raise UnavailableError(
            f"cannot {action}: {remedy} ({error.filename or 'store'})"
        ) from error
