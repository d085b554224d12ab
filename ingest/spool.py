"""The spool: where a collector keeps what it sealed while the vault is out of reach.

    spool.json        its id and its limit
    key.pem           the collector's key; collector.pub is the half for the vault
    head.json         the last number that was given, and the digest of its envelope
    entries/<n>/      one sealed collection: collection.json, contents, descriptions
    receipts/<n>.json what the vault said of entry n, or why it was set aside; kept for ever
    set-aside/<n>/    what was left of an entry that a person took out of the queue
    incoming/         what is being written, and what is being removed; swept
    sealing, delivering   locks

An entry is written in `incoming/`, synced, and moved to its number in one step: it is whole or not
there. Numbers have no gaps, are given under a lock, and never again; each collection names the
digest of the one before. An entry goes only when its receipt is on the disk.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ingest.collector_key import CollectorKey, create_key, load_key
from ingest.durable import Files
from ingest.entry import (
    COLLECTION,
    Entry,
    SpoolDamagedError,
    SpoolError,
    SpoolUnavailableError,
    open_entry,
)
from verify import strictjson
from verify.collection import spool_id
from verify.digest import EMPTY, check_hex, sha256_hex
from verify.errors import EvidenceError
from verify.instant import format_instant
from verify.statement import check_spool
from verify.strictjson import Fields, Object

CONFIG = "spool.json"
KEY = "key.pem"
PUBLIC_KEY = "collector.pub"
HEAD = "head.json"
ENTRIES = "entries"
RECEIPTS = "receipts"
SET_ASIDE = "set-aside"
INCOMING = "incoming"
SEALING = "sealing"
DELIVERING = "delivering"

_FOLDERS = (ENTRIES, RECEIPTS, SET_ASIDE, INCOMING)
_NUMBER = re.compile(r"[0-9]{8}\Z")
_MAX_RECEIPT = 64 << 20

Told = Callable[[str], None]
"""Called with words for a person who waits."""


class SpoolFullError(SpoolError):
    """The spool has no room for this; nothing of it was kept."""

    code = "spool_full"


@dataclass(frozen=True, slots=True)
class Head:
    """The last number that was given, 0 at first, and the digest of that envelope."""

    number: int
    sha256: str | None


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of an entry that is not in the queue any more."""

    number: int
    sha256: str | None
    """Digest of its envelope; None where nobody can tell any more."""
    state: str
    """`kept` by the vault, or `set_aside` by a person."""
    destination: str | None
    receipts: tuple[Object, ...]
    reason: str | None

    @property
    def kept(self) -> bool:
        """Whether a vault has it."""
        return self.state == "kept"


def create_spool(root: Path, *, limit: int, files: Files | None = None) -> Spool:
    """Make a spool in a folder that is new or empty; `limit` is in bytes.

    A spool that an interrupted call left half made is finished. Raises `SpoolError`.
    """
    files = files or Files()
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        if (root / CONFIG).exists():
            raise SpoolError(f"{root} is a spool already; see: evault spool status {root}")
        ours = {
            *_FOLDERS,
            KEY,
            PUBLIC_KEY,
            SEALING,
            *(f".{n}.new" for n in (KEY, PUBLIC_KEY, CONFIG)),
        }
        foreign = sorted({entry.name for entry in root.iterdir()} - ours)
        if foreign:
            raise SpoolError(f"{root} holds other things ({foreign[0]}); name a new folder")
        with _locked(root / SEALING):
            if (root / CONFIG).exists():  # by another process, in between
                return Spool(root, files=files)
            for name in _FOLDERS:
                if not (root / name).is_dir():
                    files.make_folder(root / name)
            if not ((root / KEY).exists() and (root / PUBLIC_KEY).exists()):
                create_key(root / KEY, root / PUBLIC_KEY, files)
            id_ = spool_id(load_key(root / KEY).public)
            config: Object = {"id": id_, "limit": limit, "version": 1}
            # Written last: a folder with a configuration is a whole spool.
            files.replace(root / CONFIG, strictjson.dumps(config) + b"\n")
            files.sync_folder(root.absolute().parent)
    except OSError as error:
        raise SpoolUnavailableError(
            f"cannot make a spool in {root}: {error.strerror}; name another folder"
        ) from error
    return Spool(root, files=files)


class Spool:
    """One spool, opened. Several processes may use it: they wait for one another."""

    def __init__(
        self,
        root: Path,
        *,
        files: Files | None = None,
        told: Told = lambda _: None,
        named: bool = True,
    ) -> None:
        """Open a spool; `named` unless commands find it by themselves.

        Raises `SpoolError`, `KeyUnusableError`.
        """
        self.root = root
        self._named = named
        self.files = files or Files()
        self._told = told
        try:
            data = (root / CONFIG).read_bytes()
        except OSError as error:
            raise SpoolError(
                f"there is no spool in {root} ({error.strerror}); make one with: "
                f"evault spool init {root}"
            ) from error
        try:
            reader = Fields(strictjson.loads(data, where=CONFIG), CONFIG)
            known = reader.count("version") == 1
            self.id = check_spool(reader.text("id"), where=CONFIG)
            self.limit = reader.count("limit")
            reader.done()
        except EvidenceError as error:
            raise SpoolDamagedError(
                f"{root / CONFIG} is damaged: {error}; restore it from your backup"
            ) from error
        if not known:
            raise SpoolError(f"{root / CONFIG} is of a later evault")
        self.key: CollectorKey = load_key(root / KEY)
        if self.id != spool_id(self.key.public):
            raise SpoolDamagedError(
                f"{root / KEY} is not the key of the spool {self.id} in {root / CONFIG}; restore "
                "both from one backup"
            )

    @property
    def title(self) -> str:
        """What it is called where somebody reads of it."""
        return str(self.root) if self._named else "this collector's spool"

    def command(self, action: str, *words: object) -> str:
        """A command about this spool, as a shell takes it."""
        place = [shlex.quote(str(self.root))] if self._named else []
        return " ".join(["evault spool", action, *place, *map(str, words)])

    # -- sealing ---------------------------------------------------------------------------------

    @contextmanager
    def alone(self) -> Iterator[None]:
        """One process at a time gives numbers. Others wait, and are told."""
        with self._readable("use"), _locked(self.root / SEALING, self._told):
            yield

    def new_folder(self) -> tuple[Path, int]:
        """A folder to write an entry in, and a descriptor that keeps others from sweeping it."""
        with self.alone():
            self.sweep()
            path = self.root / INCOMING / secrets.token_hex(8)
            self.files.make_folder(path)
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            return path, descriptor

    def sweep(self) -> None:
        """Remove what dead processes left: half-written entries, and those that are delivered."""
        for path in sorted((self.root / INCOMING).iterdir()):
            if _is_dead(path):
                self.files.remove(path)
        for number in self._numbers(ENTRIES) & self._numbers(RECEIPTS):
            self._drop(number)

    def used(self) -> int:
        """Bytes of everything that waits, or is being written."""
        total = 0
        for name in (ENTRIES, INCOMING):
            for folder, _, names in os.walk(self.root / name):
                for each in names:
                    with suppress(FileNotFoundError):  # delivered, or given up, meanwhile
                        total += (Path(folder) / each).stat().st_size
        return total

    def check_room(self, more: int = 0) -> int:
        """How many bytes there is room for. Raises `SpoolFullError` if `more` are too many."""
        used = self.used()
        if used + more > self.limit:
            waiting = len(self.waiting())
            raise SpoolFullError(
                f"the spool {self.root} is full: {used + more:,} bytes would be in it, its limit "
                f"is {self.limit:,}; nothing of this was kept. {waiting:,} "
                f"{'entry waits' if waiting == 1 else 'entries wait'}: deliver with "
                f"{self.command('deliver')}, or raise the limit with "
                f"{self.command('limit', 'SIZE')}"
            )
        return self.limit - used

    def set_limit(self, limit: int) -> None:
        """Change how much the spool may hold; never below what it holds."""
        with self.alone():
            if self.used() > limit:
                raise SpoolFullError(
                    f"the spool {self.root} holds {self.used():,} bytes, more than {limit:,}; "
                    f"deliver first: {self.command('deliver')}"
                )
            config: Object = {"id": self.id, "limit": limit, "version": 1}
            self.files.replace(self.root / CONFIG, strictjson.dumps(config) + b"\n")
            self.limit = limit

    def head(self) -> Head:
        """The last number given, and its digest. Raises `SpoolDamagedError`.

        It is looked up where `head.json` says, and then followed: whoever was killed between an
        entry and the head left the head behind.
        """
        head = self._head_file()
        # What stands there is the better witness of its own digest, if it is whole.
        head = Head(head.number, self._standing(head.number) or head.sha256)
        last = max(head.number, *self._numbers(ENTRIES), *self._numbers(RECEIPTS), 0)
        for number in range(head.number + 1, last + 1):
            head = Head(number, self._follow(number, head.sha256))
        return head

    def publish(self, folder: Path, number: int, sha256: str) -> None:
        """Give a synced folder its number: from here on it is an entry. Under `alone` only."""
        target = self._entry(number)
        self.files.rename(folder, target)
        try:
            self.files.sync_folder(target.parent)
        except OSError:
            # Nothing was acknowledged; what is on the disk is not known. So it goes, if it can.
            with suppress(OSError):
                self.files.rename(target, folder)
                self.files.sync_folder(target.parent)
            raise
        # The entry is safe. The head only tells of a last entry that vanished, and is followed
        # from wherever it stands; to fail here would deny what is kept.
        with suppress(OSError):
            self._write_head(Head(number, sha256))

    # -- delivering ------------------------------------------------------------------------------

    @contextmanager
    def delivery(self) -> Iterator[None]:
        """One process at a time delivers. Others wait, and are told."""
        with self._readable("use"), _locked(self.root / DELIVERING, self._told):
            yield

    def waiting(self) -> list[int]:
        """The numbers that were given and are not settled, in order; damaged or not."""
        settled = self._numbers(RECEIPTS)
        last = max(self._head_file().number, *self._numbers(ENTRIES), 0)
        return [number for number in range(1, last + 1) if number not in settled]

    def next_entry(self) -> Entry | None:
        """The entry to be delivered next, None if none waits.

        Raises `SpoolDamagedError` if it is not there, not whole, or does not continue the last.
        """
        waiting = self.waiting()
        return self.entry(waiting[0]) if waiting else None

    def entry(self, number: int) -> Entry:
        """An entry that waits, with its envelope, sizes and place checked; not its contents."""
        with self._readable("read"):
            try:
                return self._checked(number)
            except SpoolDamagedError as error:
                raise SpoolDamagedError(f"{error}; {self.remedy(number)}") from error

    def _checked(self, number: int) -> Entry:
        path = self._entry(number)
        if not path.is_dir():
            raise SpoolDamagedError(f"entry {number} of {self.root} was acknowledged, and is gone")
        entry = open_entry(path, self.key.public)
        place = entry.collection
        if (place.spool, place.number) != (self.id, number):
            raise SpoolDamagedError(f"{path} holds entry {place.number} of spool {place.spool}")
        previous = self._previous(number)
        if previous is not None and place.previous != previous:
            raise SpoolDamagedError(
                f"{path} does not continue entry {number - 1}: one of them was exchanged"
            )
        return entry

    def settle(self, entry: Entry, receipts: tuple[Object, ...], at: datetime) -> None:
        """Keep the vault's receipts; then, and only then, let the entry go."""
        try:
            self._write_settled(
                entry.number, entry.sha256, "kept", entry.collection.destination, receipts, None, at
            )
            self._drop(entry.number)
        except OSError as error:
            raise SpoolUnavailableError(
                f"the vault keeps entry {entry.number}, but {self.root} cannot be written: "
                f"{error.strerror or error}; mend that, and deliver again: nothing is doubled"
            ) from error

    def set_aside(self, number: int, reason: str, at: datetime) -> bool:
        """Take an entry out of the queue, for a reason; False if nothing of it was there.

        What is left of it is moved, not removed. Raises `SpoolError`.
        """
        with self.delivery(), self.alone(), self._readable("write"):
            if number not in self.waiting():
                settled = self._numbers(RECEIPTS)
                what = (
                    "was delivered or set aside already" if number in settled else "does not exist"
                )
                raise SpoolError(f"entry {number} of {self.root} {what}")
            path = self._entry(number)
            there, known = path.is_dir(), self._known(number)
            if there:
                target = self.root / SET_ASIDE / path.name
                if target.exists():
                    target = target.with_name(f"{path.name}-{secrets.token_hex(4)}")
                self.files.rename(path, target)
                self.files.sync_folder(target.parent)
            self._write_settled(number, known, "set_aside", None, (), reason, at)
            return there

    def settled(self, number: int) -> Settled | None:
        """What became of an entry. Raises `SpoolDamagedError`."""
        path = self._receipt(number)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        try:
            reader = Fields(strictjson.loads(data, where=path.name, limit=_MAX_RECEIPT), path.name)
            sha256 = reader.raw("collection")
            settled = Settled(
                number=reader.count("number"),
                sha256=None if sha256 is None else check_hex(sha256, where=path.name),
                state=reader.text("state", limit=20),
                destination=reader.text_or_none("destination"),
                receipts=tuple(reader.entries("receipts")),
                reason=reader.text_or_none("reason"),
            )
            reader.text("at", limit=40)
            reader.done()
        except EvidenceError as error:
            raise SpoolDamagedError(f"{path} is damaged: {error}; {self.remedy(number)}") from error
        if settled.number != number:
            raise SpoolDamagedError(f"{path} is of entry {settled.number}; {self.remedy(number)}")
        return settled

    def counts(self) -> tuple[int, int]:
        """How many entries a vault keeps, and how many were set aside."""
        kept = aside = 0
        for number in sorted(self._numbers(RECEIPTS)):
            settled = self.settled(number)
            kept += settled is not None and settled.kept
            aside += settled is not None and not settled.kept
        return kept, aside

    # -- files -----------------------------------------------------------------------------------

    def _entry(self, number: int) -> Path:
        return self.root / ENTRIES / f"{number:08d}"

    def _receipt(self, number: int) -> Path:
        return self.root / RECEIPTS / f"{number:08d}.json"

    def _numbers(self, name: str) -> set[int]:
        stems = (path.name.removesuffix(".json") for path in (self.root / name).iterdir())
        return {int(stem) for stem in stems if _NUMBER.match(stem)}

    def _drop(self, number: int) -> None:
        """Move a settled entry away in one step, so that no half-removed one is ever met."""
        away = self.root / INCOMING / f"done-{secrets.token_hex(8)}"
        try:
            self.files.rename(self._entry(number), away)
        except FileNotFoundError:
            return  # swept by another process meanwhile
        self.files.sync_folder(self.root / ENTRIES)
        self.files.remove(away)

    def _standing(self, number: int) -> str | None:
        with suppress(SpoolError):
            settled = self.settled(number)
            return settled.sha256 if settled else self.entry(number).sha256
        return None

    def _follow(self, number: int, before: str | None) -> str | None:
        """The digest of an entry behind the head. Raises `SpoolDamagedError`."""
        settled = self.settled(number)
        if settled is not None:
            return settled.sha256
        entry = self.entry(number)
        if entry.collection.previous != before:
            raise SpoolDamagedError(
                f"entry {number} of {self.root} continues another entry {number - 1} than {HEAD} "
                f"knows: was one of them restored from a copy? {self.remedy(number)}"
            )
        return entry.sha256

    def _previous(self, number: int) -> str | None:
        """The digest that an entry has to name; None for the first, or where nobody knows."""
        settled = self.settled(number - 1) if number > 1 else None
        if settled or number == 1:
            return settled.sha256 if settled else None
        return self._digest_of(number - 1)

    def _known(self, number: int) -> str:
        """The digest of an envelope that may be lost: by the head, or by the next entry.

        For one that nobody ever acknowledged it is that of what lies there.
        """
        head = self._head_file()
        if head.number == number and head.sha256:
            return head.sha256
        with suppress(SpoolError):
            following = open_entry(self._entry(number + 1), self.key.public).collection.previous
            if following:
                return following
        return self._digest_of(number) or EMPTY

    def _digest_of(self, number: int) -> str | None:
        try:
            return sha256_hex((self._entry(number) / COLLECTION).read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _head_file(self) -> Head:
        path = self.root / HEAD
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return Head(0, None)
        try:
            reader = Fields(strictjson.loads(data, where=HEAD), HEAD)
            sha256 = reader.raw("sha256")
            head = Head(
                reader.count("number"), None if sha256 is None else check_hex(sha256, where=HEAD)
            )
            reader.done()
        except EvidenceError as error:
            raise SpoolDamagedError(
                f"{path} is damaged: {error}; remove it: it is made anew from the entries"
            ) from error
        return head

    def _write_head(self, head: Head) -> None:
        value: Object = {"number": head.number, "sha256": head.sha256}
        self.files.replace(self.root / HEAD, strictjson.dumps(value) + b"\n")

    def _write_settled(
        self,
        number: int,
        sha256: str | None,
        state: str,
        destination: str | None,
        receipts: tuple[Object, ...],
        reason: str | None,
        at: datetime,
    ) -> None:
        value: Object = {
            "at": format_instant(at),
            "collection": sha256,
            "destination": destination,
            "number": number,
            "reason": reason,
            "receipts": list(receipts),
            "state": state,
        }
        self.files.replace(self._receipt(number), strictjson.dumps(value) + b"\n")

    def remedy(self, number: int) -> str:
        """What to do about an entry that is not what was sealed, in words."""
        return (
            "nothing behind it is delivered, and nothing is removed. Restore it from a copy; or "
            f"go on without it:\n{self.command('set-aside', number, '--reason TEXT')}"
        )

    @contextmanager
    def _readable(self, what: str) -> Iterator[None]:
        """Troubles of the file system in words."""
        try:
            yield
        except OSError as error:
            raise unavailable(self.root, what, error) from error


def unavailable(root: Path, what: str, error: OSError) -> SpoolUnavailableError:
    """A trouble of the file system in words, with what to do."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return SpoolUnavailableError(
            f"the disk of the spool {root} is full ({error.strerror}); nothing of this was kept. "
            f"Free some space, or deliver: evault spool deliver {root}"
        )
    return SpoolUnavailableError(
        f"cannot {what} the spool {root}: {error.strerror or error}; mend that, and run the "
        "command again"
    )


@contextmanager
def _locked(path: Path, told: Told = lambda _: None) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            told(f"another process is {path.name} in {path.parent}: waiting for it")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _is_dead(path: Path) -> bool:
    """Whether nobody writes there any more."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True
