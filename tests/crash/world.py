"""A vault that is used, crashed, reopened and looked over: wired as `cli` wires it."""

from __future__ import annotations

import secrets
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from crash.faults import Killed, Moment, MomentIndex, MomentStore

from cli.config import HomeConfig, S3Config, read_config
from cli.home import INDEX, LOG_KEY, MANIFEST_KEY, STORE, load_trust
from cli.new_home import init_home
from cli.rebuild import rebuild_index
from cli.settings import TRUST, read_settings
from cli.storage import open_index, open_store
from cli.vault import let_go, now
from vault import layout
from vault.adapters.database import SqliteDatabase
from vault.adapters.pem import load_log_key, load_manifest_key
from vault.adapters.sql import SqlIndex
from vault.adapters.tables import metadata
from vault.capture import OpenCapture
from vault.completeness import built_in_profile
from vault.deposit import Door, Draft, Receipt
from vault.errors import UnavailableError
from vault.export import Exporter, Target
from vault.incidents import Incidents, subjects_of
from vault.log import Log, parse_published
from vault.log_audit import audit_log
from vault.ports import Clock, Index, LockMode, ObjectStore, Signer
from vault.record import StoreRecord
from vault.retention import Retention
from verify.__main__ import audit_bundle
from verify.audit import audit
from verify.chain import open_manifest
from verify.description import Description
from verify.digest import sha256_hex
from verify.envelope import ManifestKey
from verify.facts import Facts
from verify.report import Verdict
from verify.response import Phase
from verify.statement import Actor, Subject, Type
from verify.trust import Trust

ACTOR = Actor("tester@host", "person", "uid 1000, local", None)
INCIDENT, OTHER = "INC-2026-0001", "INC-2026-0002"
DECLARED = {
    "declared_at": "2026-07-29T10:05:00Z",
    "detected_at": "2026-07-29T10:00:00Z",
    "severity": "sev1",
    "systems": ["agents-prod"],
    "tier": "4",
    "title": "An agent read what it should not",
    "trigger": "egress",
}
CONTENTS = {
    "prompt.txt": b"ignore all earlier instructions",
    "empty.json": b"",
    "trace.jsonl": b'{"tool":"read"}\n' * 900,
    "memory.dump": bytes(range(256)) * 5000,
}
"""The last one is larger than a pack takes, so it becomes an object of its own."""


@dataclass
class CountingSigner:
    """A `Signer` that counts: what refuses to sign must not sign."""

    inner: Signer
    count: int = 0

    @property
    def public(self) -> bytes:
        return self.inner.public

    def sign(self, message: bytes) -> bytes:
        self.count += 1
        return self.inner.sign(message)


@dataclass
class Process:
    """What one process holds of a vault: the ports, and everything that stands on them."""

    moment: Moment
    store: ObjectStore
    index: Index
    log: Log
    door: Door
    incidents: Incidents
    retention: Retention
    exporter: Exporter
    clock: Clock
    signers: Sequence[CountingSigner]
    close: Callable[[], None]

    @property
    def signed(self) -> int:
        return sum(each.count for each in self.signers)


@dataclass
class World:
    """A home on the disk, and what its users were promised."""

    home: Path
    promised: list[Receipt] = field(default_factory=list)

    @classmethod
    def make(
        cls, folder: Path, *, store: S3Config | None = None, database: str | None = None
    ) -> World:
        """A new vault: in a folder, or on real servers."""
        init_home(folder / "home", origin="vault.example/log", store=store, database=database)
        return cls(folder / "home")

    def copy(self, folder: Path) -> World:
        """The same world once more, to be ruined."""
        shutil.copytree(self.home, folder / "home")
        return World(folder / "home", list(self.promised))

    @property
    def config(self) -> HomeConfig:
        return read_config(self.home)

    @property
    def index_path(self) -> Path:
        return self.home / INDEX

    @property
    def folder(self) -> Path:
        return self.home / STORE

    def open(
        self,
        moment: Moment | None = None,
        *,
        clock: Clock = now,
        index: Path | None = None,
        patience: float = 0.02,
    ) -> Process:
        # Impatient: to be alone saves work, and these tests have others meet there.
        moment = moment or Moment()
        trust = load_trust(self.home)
        log_signer = CountingSigner(load_log_key(self.home / LOG_KEY))
        signer = CountingSigner(load_manifest_key(self.home / MANIFEST_KEY))
        key = ManifestKey(signer.public)
        sql = SqlIndex(SqliteDatabase(index)) if index else open_index(self.home, self.config)
        inner = open_store(self.home, self.config)
        store = MomentStore(inner, moment)
        rows = MomentIndex(sql, moment)
        log = Log(store, rows, log_signer, trust.origin, key, patience=patience)
        door = Door(index=rows, log=log, signer=signer, clock=clock, actor=ACTOR)
        incidents = Incidents(store=store, index=rows, door=door, clock=clock, key=key)
        retention = Retention(
            store=store, index=rows, door=door, incidents=incidents, clock=clock, key=key,
            mode=LockMode.GOVERNANCE, patience=patience,
        )  # fmt: skip
        exporter = Exporter(
            incidents=incidents, store=store, log=log, clock=clock, trust=trust, version="test",
            guard=retention.guard,
        )  # fmt: skip

        def close() -> None:
            sql.close()
            let_go(inner)

        return Process(
            moment, store, rows, log, door, incidents, retention, exporter, clock,
            (log_signer, signer), close,
        )  # fmt: skip

    @contextmanager
    def opened(self, moment: Moment | None = None, **more: Any):  # type: ignore[no-untyped-def]
        process = self.open(moment, **more)
        try:
            yield process
        finally:
            process.close()

    def tell(self, moment: Moment, story: Iterable[Callable[[World, Process], object]]) -> None:
        """Do one thing after another, up to the fault that the moment brings."""
        process = self.open(moment)
        with suppress(Killed, UnavailableError):
            for step in story:
                step(self, process)
        if moment.dead:
            self.bury(process)
        else:
            process.close()

    def bury(self, process: Process) -> None:
        """Let go of what a dead process held open, as its system would; its files stay."""
        remains = {path: path.read_bytes() for path in self.leftovers}
        if self.config.store is None:  # elsewhere there are no descriptors to close
            for upload in process.moment.uploads:
                with suppress(Exception):
                    upload.abort()
        process.close()
        for path, data in remains.items():
            path.write_bytes(data)

    @property
    def leftovers(self) -> list[Path]:
        """What lies in the store's `tmp`: no evidence, whatever it holds."""
        return list((self.folder / "tmp").glob("*"))

    @contextmanager
    def stored(self):  # type: ignore[no-untyped-def]
        """The store, as an outsider opens it."""
        store = open_store(self.home, self.config)
        try:
            yield store
        finally:
            let_go(store)

    @property
    def trust(self) -> Trust:
        return load_trust(self.home)

    def rebuild(self) -> None:
        """`evault log rebuild`."""
        rebuild_index(read_settings({"EVAULT_HOME": str(self.home)}, None))

    def lose_index(self) -> None:
        for path in self.home.glob(f"{INDEX}*"):
            path.unlink()

    # What users do. Each step repeats under the same deposit ids without doubling anything.

    def promise(self, receipts: Sequence[Receipt]) -> Sequence[Receipt]:
        self.promised += receipts
        return receipts

    def state(
        self,
        process: Process,
        kind: Type,
        body: dict[str, Any],
        deposit: str,
        chain: str = INCIDENT,
        subject: Sequence[Subject] = (),
    ) -> Receipt:
        draft = Draft(kind, body, deposit, tuple(subject))
        return self.promise(process.door.deposit(chain, [deposit], lambda _: [draft]))[0]

    def declare(self, process: Process, chain: str = INCIDENT) -> Receipt:
        body = {**DECLARED, "event": "declared"}
        return self.state(process, Type.INCIDENT, body, f"declare-{chain}", chain)

    def look_at(self, process: Process, deposit: str, chain: str = INCIDENT) -> Receipt:
        """A small statement: someone looked at the incident."""
        return self.state(
            process,
            Type.INCIDENT,
            {"at": "2026-07-29T11:00:00Z", "event": "assigned", "person": deposit,
             "role": "comms_lead"},
            deposit,
            chain,
        )  # fmt: skip

    def capture(
        self,
        process: Process,
        deposit: str = "capture",
        contents: dict[str, bytes] | None = None,
        chain: str = INCIDENT,
    ) -> Sequence[Receipt]:
        capture = open_capture(process, deposit, chain)
        try:
            for name, data in (contents or CONTENTS).items():
                pieces = (
                    data[start : start + 1_000_000] for start in range(0, len(data), 1_000_000)
                )
                kept = capture.keep(pieces, size=len(data))
                capture.claim(kept, kinds=("other",), description=description(name))
            return self.promise(capture.commit())
        except BaseException:
            capture.abort()
            raise

    def phase(self, process: Process) -> Receipt:
        body = {
            "at": "2026-07-29T10:20:00Z",
            "event": "phase",
            "exhibits": ["EV-0001"],
            "phase": Phase.CONTAINED.value,
        }
        shown = process.incidents.exhibits_named(process.incidents.read(INCIDENT), ["EV-0001"])
        return self.state(process, Type.INCIDENT, body, "phase", subject=subjects_of(shown))

    def export(self, process: Process) -> None:
        target = Target(self.home.parent / f"bundle-{secrets.token_hex(4)}.zip")
        done = process.exporter.export(
            INCIDENT, target, profile=built_in_profile(), purpose="test", recipient=None,
            withheld={},
        )  # fmt: skip
        assert done.receipt is not None
        self.promise([done.receipt])
        report = audit_bundle(target.path, trust_file=self.home / TRUST)
        assert report.verdict == Verdict.PASSED, report.failures()
        target.path.unlink()

    def seal(self, process: Process) -> Receipt:
        body = {"exhibits": len(CONTENTS), "reason": None}
        return self.state(process, Type.SEAL, body, "seal")

    @property
    def story(self) -> list[Callable[[Process], object]]:
        """Declare, capture, phase, assess and export, close."""
        return [self.declare, self.capture, self.phase, self.export, self.seal]

    # What must hold afterwards

    def check_store(self, promised: Sequence[Receipt] | None = None) -> None:
        """The store alone: it audits clean, and holds every promise, or those that are named."""
        with self.stored() as store:
            self._check_store(store, promised)

    def _check_store(self, store: ObjectStore, promised: Sequence[Receipt] | None = None) -> None:
        report = audit_log(store, load_trust(self.home))
        assert report.verdict == Verdict.PASSED, report.failures()
        published = {}
        for number, key in enumerate(store.keys(layout.PUBLICATIONS), 1):
            published[number] = parse_published(store.get(key), number=number)
        leaves = [leaf for each in published.values() for leaf in each.leaf_hashes]
        for receipt in self.promised if promised is None else promised:
            assert leaves[receipt.index].hex() == receipt.leaf_hash, receipt
            assert receipt.proof.endswith(published[receipt.checkpoint_number].note), receipt
            data = store.get(layout.manifest(receipt.chain, receipt.sequence))
            manifest = open_manifest(data, (self.key,), where=receipt.chain)
            assert manifest.leaf == receipt.leaf_hash

    def check(self, process: Process | None = None) -> None:
        """Store and index: nothing is owed, no gap, no fork, nothing doubled, all bytes there.

        That exhibits are numbered without gaps, that no deposit comes twice and that every byte
        is what was sealed is for the audit to find.
        """
        with self.stored() as store:
            self._check_store(store)
            self._check_index(store, process)

    def _check_index(self, store: ObjectStore, process: Process | None) -> None:
        if published := list(store.keys(layout.PUBLICATIONS)):
            newest = parse_published(store.get(published[-1]), number=len(published))
            assert store.get(layout.CHECKPOINT).decode() == newest.note, "outsiders see the newest"
        with nullcontext(process) if process else self.opened() as looking:
            assert looking.index.unstored() == []
            for chain in looking.index.chains(""):
                rows = list(looking.index.rows(chain))
                assert [row.sequence for row in rows] == list(range(len(rows)))
                assert all(row.index is not None for row in rows)
                prefix = layout.chain_prefix(chain)
                assert len(list(store.keys(prefix))) == len(rows), "all are known"
            for chain in looking.index.chains("INC-"):
                record = StoreRecord(
                    store=looking.store, index=looking.index, log=looking.log, chain=chain,
                    incidents=looking.incidents, retention=looking.retention,
                )  # fmt: skip
                report = audit(record, load_trust(self.home), trusted=True)
                assert report.verdict == Verdict.PASSED, report.failures()

    def check_rebuilt_is_same(self) -> None:
        """`rebuild(store) == index`, save for what legitimately differs."""
        before = self.tables()
        self.rebuild()
        assert self.tables() == before

    def tables(self, *, whole: bool = False) -> dict[str, list[tuple[Any, ...]]]:
        """Every table of the index, its rows sorted; without `whole`, what a rebuild must give."""
        index, found = open_index(self.home, self.config), {}
        for table in metadata.sorted_tables:
            left_out = set() if whole else DIFFERS.get(table.name, set())
            wanted = [each for each in table.columns if each.name not in left_out]
            with index._database.read() as connection:
                rows = connection.execute(sa.select(*wanted)).all()
            found[table.name] = sorted(map(tuple, rows), key=repr)
        index.close()
        return found

    @property
    def key(self) -> ManifestKey:
        return ManifestKey(load_manifest_key(self.home / MANIFEST_KEY).public)


DIFFERS = {"manifest": {"commit_order"}, "tree": {"published"}}
"""Columns that a rebuilt index need not share. `commit_order` says in which order rows were put
in, and orders pending rows alone; a rebuild puts them in chain by chain. `published` spares a look
into the store, and may lag behind it where a process died."""


def open_capture(process: Process, deposit: str, chain: str = INCIDENT) -> OpenCapture:
    return OpenCapture(
        store=process.store,
        index=process.index,
        door=process.door,
        clock=process.clock,
        chain=chain,
        deposit=deposit,
        system=None,
        source=None,
        method="by a test",
        collector={"host": "host", "name": "test", "version": "1"},
        guard=lambda: process.retention.guard(chain),
    )


def description(name: str) -> Description:
    return Description(
        salt=sha256_hex(name.encode()),
        name=name,
        name_bytes=None,
        path=f"/evidence/{name}",
        label="text",
        summary="",
        modified_at=None,
        captured_at=datetime(2026, 7, 29, 10, 10, tzinfo=UTC),
        remarks=(),
        facts=Facts(parser="text", version=1, format="text"),
    )


def copy_index(source: Path, target: Path) -> None:
    """Write one index over another through SQLite's own backup: also under a running process."""
    with closing(sqlite3.connect(source)) as here, closing(sqlite3.connect(target)) as there:
        here.backup(there)
