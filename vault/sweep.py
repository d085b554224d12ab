"""Looking over every object of the vault: what is claimed and gone, altered, covered, unclaimed.

At depth checksums the store is asked (`attested_by_store`); at depth bytes everything is read
again. The result is sealed on the vault's chain: a machine's check, not a reading. Chains and log
are looked over by `vault.log_audit`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime

from vault import layout
from vault.custody import actor_text
from vault.deposit import Door, Draft, Receipt
from vault.errors import NotFoundError
from vault.evidence import StoredObject, read_whole
from vault.incidents import Incidents
from vault.log import open_row
from vault.ports import Clock, Index, ObjectStore, Protection, Version
from vault.record import attest
from vault.retention import VAULT_CHAIN, Retention, Sense, compare
from vault.ulid import new_ulid, ulid_time
from verify.envelope import ManifestKey
from verify.errors import EvidenceError
from verify.instant import format_instant
from verify.report import Finding, Outcome
from verify.statement import MAX_SWEEP_FINDINGS, Sweep, Type, parse_sweep
from verify.strictjson import Object
from verify.trust import Step

Progress = Callable[[int], None]
"""Called with the number of bytes just read, or of objects just asked for."""
Announce = Callable[[int, int], None]
"""Called once with how many objects there are, and how many bytes."""

_BATCH = 500
_TEMPORARY = "tmp/"


@dataclass(slots=True)
class Swept:
    """What a sweep found."""

    depth: str
    started_at: datetime
    objects: int = 0
    size: int = 0
    findings: list[Finding] = field(default_factory=list)
    """What failed or could not be checked; the subject is an exhibit or a key."""
    contents: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Which exhibits lie in each object, by key."""
    unclaimed: list[Version] = field(default_factory=list)
    """Objects below `artifacts/` that no statement claims: uploads that died, or are going on."""
    receipt: Receipt | None = None

    @property
    def failed(self) -> list[Finding]:
        """What is not as sealed, or not protected as the chains demand."""
        return [each for each in self.findings if each.outcome == Outcome.FAILED]

    @property
    def not_checked(self) -> list[Finding]:
        """What could not be judged."""
        return [each for each in self.findings if each.outcome == Outcome.NOT_CHECKED]

    @property
    def checked(self) -> int:
        """How many objects were looked at, and found as they must be."""
        if any(not each.subject for each in self.findings):
            return 0  # nothing could be looked at as was asked
        return max(0, self.objects - len({each.subject for each in self.findings}))

    def to_statement(self) -> Sweep:
        """The body of the `sweep` statement."""
        return Sweep(
            depth=self.depth,
            started_at=self.started_at,
            checked=self.checked,
            failed=len(self.failed),
            not_checked=len(self.not_checked),
            unclaimed=len(self.unclaimed),
            # What failed comes first, whatever the limit cuts (FORMAT.md §4.9).
            findings=tuple(
                (each.subject, each.detail) for each in (*self.failed, *self.not_checked)
            )[:MAX_SWEEP_FINDINGS],
        )


@dataclass(frozen=True, slots=True)
class EarlierSweep:
    """A sweep as it stands on the vault's chain."""

    sequence: int
    recorded_at: datetime
    actor: str
    sweep: Sweep


class Sweeper:
    """Sweeps one vault."""

    def __init__(
        self,
        *,
        store: ObjectStore,
        index: Index,
        door: Door,
        incidents: Incidents,
        retention: Retention,
        clock: Clock,
        key: ManifestKey,
    ) -> None:
        self._store = store
        self._index = index
        self._door = door
        self._incidents = incidents
        self._retention = retention
        self._clock = clock
        self._keys: tuple[ManifestKey, ...] = (key,)

    def claimed(self) -> dict[tuple[str, str | None], tuple[StoredObject, Protection]]:
        """Every object that any chain claims, with the protection that it must have."""
        found: dict[tuple[str, str | None], tuple[StoredObject, Protection]] = {}
        for chain in self._incidents.evidence_chains():
            for stored, protection in self._retention.wanted(self._incidents.read(chain)):
                names = tuple(f"{chain} {exhibit}" for exhibit in stored.exhibits)
                place = (stored.key, stored.version_id)
                if place in found:  # an incident's and a stream's; what protects it is the same
                    names = (*found[place][0].exhibits, *names)
                found[place] = replace(stored, exhibits=names), protection
        return found

    def sweep(
        self,
        depth: str,
        *,
        announce: Announce = lambda _objects, _size: None,
        progress: Progress = lambda _: None,
        name: str | None = None,
    ) -> Swept:
        """Look over every object, and seal what was found, once under a name of its own.

        Raises as `Door.deposit`, and what `progress` raises.
        """
        swept = Swept(depth, self._clock())
        # Listed first: what is claimed by the time the claims are read is no orphan.
        there = list(self._store.versions(layout.ARTIFACTS))
        claimed = self.claimed()
        wanted = list(claimed.values())
        swept.objects = len(wanted)
        swept.size = sum(stored.size for stored, _ in wanted)
        swept.contents = {stored.key: stored.exhibits for stored, _ in wanted}
        swept.unclaimed = list(_unclaimed(there, {key for key, _ in claimed}, swept.started_at))
        announce(swept.objects, swept.size)
        asked = progress if depth == "checksums" else lambda _: None
        if self._store.traits.kind != "directory":
            for batch in _batches(wanted):
                swept.findings += attest(self._store, batch, checksums=depth == "checksums")
                asked(len(batch))
        else:
            if depth == "checksums":
                detail = "a folder keeps no digests of its own; use --depth bytes"
                swept.findings.append(Finding(Step.EVIDENCE, "", Outcome.NOT_CHECKED, detail))
            swept.findings += self._noted(wanted)
        if depth == "bytes":
            swept.findings += self._read_again([stored for stored, _ in wanted], progress)
        swept.receipt = self._seal(swept, name or new_ulid(self._clock()))
        return swept

    def earlier(self) -> list[EarlierSweep]:
        """The sweeps that were sealed, the oldest first."""
        found = []
        for row in self._index.rows(VAULT_CHAIN):
            if row.type == Type.SWEEP:
                where = f"{VAULT_CHAIN} link {row.sequence}"
                statement = open_row(row, self._keys).statement
                found.append(
                    EarlierSweep(
                        row.sequence,
                        statement.recorded_at,
                        actor_text(statement.actor),
                        parse_sweep(statement.body, where=where),
                    )
                )
        return found

    def unfinished(self, before: datetime) -> list[Object]:
        """Uploads that were begun before a moment, and not finished, as JSON objects."""
        listed = getattr(self._store, "unfinished", None)
        if listed is None:
            # A folder's uploads wait below tmp/; how old they are it does not say.
            return [
                {"key": each.key, "started_at": None, "upload_id": None}
                for each in self._store.versions(_TEMPORARY)
            ]
        return [
            {
                "key": key,
                "started_at": format_instant(started.replace(microsecond=0)),
                "upload_id": upload,
            }
            for key, upload, started in listed()
            if started < before
        ]

    def _noted(self, wanted: Sequence[tuple[StoredObject, Protection]]) -> Iterator[Finding]:
        """What a folder has of each object, and notes of its protection, without reading it."""
        for stored, protection in wanted:
            name = _named(stored)
            try:
                state = self._store.state(stored.key, stored.version_id)
            except NotFoundError:
                yield Finding(Step.EVIDENCE, name, Outcome.FAILED, f"{stored.key} is gone")
                continue
            except EvidenceError as error:
                yield Finding(Step.STORE, name, Outcome.NOT_CHECKED, str(error))
                continue
            for sense, words in compare(state.protection, protection):
                outcome = Outcome.FAILED if sense == Sense.LACKS else Outcome.NOT_CHECKED
                yield Finding(Step.STORE, name, outcome, words)

    def _read_again(self, objects: list[StoredObject], progress: Progress) -> Iterator[Finding]:
        def read(stored: StoredObject) -> Finding | None:
            digest, size = hashlib.sha256(), 0
            name = _named(stored)
            try:
                for piece in read_whole(self._store, stored):
                    digest.update(piece)
                    size += len(piece)
                    progress(len(piece))
            except NotFoundError:
                return None  # said by whoever asked the store
            except EvidenceError as error:
                return Finding(Step.EVIDENCE, name, Outcome.NOT_CHECKED, str(error))
            if digest.hexdigest() == stored.sha256:
                return None
            detail = (
                f"sealed as {stored.sha256}\nread as   {digest.hexdigest()}"
                if size == stored.size
                else f"sealed with {stored.size:,} bytes, read {size:,}"
            )
            return Finding(Step.EVIDENCE, name, Outcome.FAILED, detail)

        with ThreadPoolExecutor(max(2, self._store.traits.parallel // 2)) as pool:
            for finding in pool.map(read, objects):
                if finding is not None:
                    yield finding

    def _seal(self, swept: Swept, name: str) -> Receipt:
        deposit = f"sweep-{name}"
        draft = Draft(Type.SWEEP, swept.to_statement().to_json(), deposit)
        return self._door.deposit(VAULT_CHAIN, [deposit], lambda _: [draft])[0]


def _unclaimed(
    there: Iterable[Version], claimed: Collection[str], started_at: datetime
) -> Iterator[Version]:
    for version in there:
        # What lies over a claimed key is a finding of its own; what came since is no orphan.
        if version.marker or version.key in claimed:
            continue
        made = ulid_time(version.key.removeprefix(layout.ARTIFACTS))
        if made is None or made < started_at:
            yield version


def _batches(
    wanted: Sequence[tuple[StoredObject, Protection]],
) -> Iterator[Sequence[tuple[StoredObject, Protection]]]:
    for start in range(0, len(wanted), _BATCH):
        yield wanted[start : start + _BATCH]


def _named(stored: StoredObject) -> str:
    return stored.exhibits[0] if len(stored.exhibits) == 1 else stored.key
