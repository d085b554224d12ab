"""Clients of a served vault, all at once, who keep account of what they were promised.

Whoever is not answered, or is told to come back, sends the same again, as a client that means it
does: a deposit under its id, an export byte for byte. Every other answer than success is an error.
"""

from __future__ import annotations

import hashlib
import json
import random
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import urllib3
from cli_support import run
from crash.world import World
from exports import PROTOBUF, span_ids, spans
from servers.evault import EvaultServer, let_in
from serving import Heard

from cli.compose import open_vault
from cli.settings import read_settings
from vault.deposit import Receipt
from vault.evidence import content
from vault.opened import Vault
from verify.checkpoint import parse_tlog_proof
from verify.statement import Type

UPLOADERS, EXPORTERS = 3, 2
STREAM = "stream:agents"
SIZE = 10_000
BROKEN = "broken"
AGAIN = frozenset({429, 503})
DECLARED = {
    "title": "Mail went out", "severity": "sev2", "tier": "3", "trigger": "egress",
    "systems": ["mail-agent"], "detected_at": "2026-03-01T09:00:00Z",
}  # fmt: skip


@dataclass(frozen=True)
class Sent:
    """A content that was acknowledged."""

    chain: str
    exhibit: str
    sha256: str
    receipt: Receipt


@dataclass
class Account:
    """What happened, and what was promised; each list has one writer or a lock of Python's own."""

    answers: Counter[tuple[str, int | str]] = field(default_factory=Counter)
    receipts: list[Receipt] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)
    exported: list[bytes] = field(default_factory=list)
    checked: int = 0
    read: int = 0
    errors: list[str] = field(default_factory=list)


class Load:
    """A handful of clients, each a thread, who ask any of the servers; a context."""

    def __init__(self, home: Path, servers: list[EvaultServer], seed: int) -> None:
        self._urls = [each.url for each in servers]
        people = {f"uploader-{n}": "forensics_lead" for n in range(UPLOADERS)}
        people |= {"reader": "forensics_lead", "checker": "auditor", "ada": "incident_commander"}
        self._who = let_in(home, people, {f"edge-{n}": STREAM for n in range(EXPORTERS)})
        self._seed = seed
        self._done = threading.Event()
        self._abandoned = threading.Event()
        self._incidents: list[str] = []
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self.account = Account()

    def __enter__(self) -> Load:
        clients: list[tuple[str, Callable[[_Client], None]]] = [
            *((f"uploader-{n}", _Client.upload) for n in range(UPLOADERS)),
            *((f"edge-{n}", _Client.export) for n in range(EXPORTERS)),
            ("ada", _Client.state),
            ("checker", _Client.check),
            ("reader", _Client.read),
        ]
        self._declare(_Client(self, "ada"))
        for name, work in clients:
            thread = threading.Thread(target=self._go_on, args=(name, work), name=name)
            thread.start()
            self._threads.append(thread)
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        """Let everyone get what they are at acknowledged, unless the test has failed already."""
        self._done.set()
        if kind is not None:
            self._abandoned.set()  # perhaps no server is left that would acknowledge anything
        for each in self._threads:
            each.join()

    def check_alive(self) -> None:
        """Fail at once where a client has failed."""
        assert not self.account.errors, self.account.errors[0]

    def _go_on(self, name: str, work: Callable[[_Client], None]) -> None:
        client = _Client(self, name)
        try:
            while not self._done.is_set():
                work(client)
        except BaseException:  # noqa: BLE001 — told by the test
            self.account.errors.append(f"{name}: {traceback.format_exc()}")

    def _declare(self, client: _Client) -> None:
        heard = client.once("declare", "POST", "/v1/incidents", DECLARED)
        while heard is None and not self._incidents:
            heard = client.once("declare", "POST", "/v1/incidents", DECLARED)
        if heard is not None:
            client.promised(heard)
            with self._lock:
                self._incidents = [*self._incidents, heard.json["incident"]][-3:]


class _Client:
    """One person or collector."""

    def __init__(self, load: Load, name: str) -> None:
        self._load = load
        self._account = load.account
        self._name = name
        self._rng = random.Random(f"{load._seed} {name}")
        self._pool = urllib3.PoolManager(retries=False)
        self._turn = 0

    # What they do, again and again

    def upload(self) -> None:
        """Ten kilobytes onto one of the newest incidents."""
        self._turn += 1
        chain = self._rng.choice(self._load._incidents)
        data = self._rng.randbytes(SIZE)
        path = f"/v1/incidents/{chain}/evidence?name=part-{self._turn}.bin"
        headers = {"Idempotency-Key": f"{self._name}/{self._turn}"}
        heard = self._until_kept("upload", path, data, headers)
        receipt = self.promised(heard)
        (item,) = heard.json["items"]
        digest = hashlib.sha256(data).hexdigest()
        assert item["sha256"] == digest
        sent = Sent(chain, item["exhibit"], digest, receipt)
        if self._rng.random() < 0.1:  # an answer that got lost on the way
            again = self._until_kept("upload", path, data, headers)
            assert (again.status, again.json["items"][0]["exhibit"]) == (200, sent.exhibit)
        self._account.sent.append(sent)

    def export(self) -> None:
        """An OTLP export of some four kilobytes."""
        self._turn += 1
        first = (int(self._name.removeprefix("edge-")) + 1) * 10_000_000 + self._turn * 100
        data = spans(*range(first, first + self._rng.randrange(40, 80)))
        self._until_kept("export", "/v1/traces", data, {"Content-Type": PROTOBUF})
        self._account.exported.append(data)

    def state(self) -> None:
        """A statement onto an incident; now and then a new one. No retry: it has no id."""
        self._turn += 1
        if self._turn % 25 == 0:
            self._load._declare(self)
            return
        chain = self._rng.choice(self._load._incidents)
        body = {"containment": "partly_contained", "next_steps": f"step {self._turn}"}
        heard = self.once("state", "POST", f"/v1/incidents/{chain}/updates", body)
        if heard is not None:
            self.promised(heard)
        time.sleep(self._rng.uniform(0, 0.2))

    def check(self) -> None:
        """That what was promised is in the log and known, by what any server says now."""
        if not self._account.sent:
            time.sleep(0.05)
            return
        receipt = self._rng.choice(self._account.receipts)
        path = f"/v1/chains/{receipt.chain}/manifests/{receipt.sequence}"
        proof = self.once("prove", "GET", f"{path}/proof")
        if proof is not None:
            found = parse_tlog_proof(proof.data)
            assert found.index == receipt.index
            found.check(bytes.fromhex(receipt.leaf_hash))
        sent = self._rng.choice(self._account.sent)
        heard = self.once("verify", "POST", "/v1/verify", {"digest": sent.sha256})
        if heard is not None:
            (item,) = heard.json["items"]
            assert (item["chain"], item["exhibit"], item["leaf_hash"]) == (
                sent.chain, sent.exhibit, sent.receipt.leaf_hash,
            )  # fmt: skip
            self._account.checked += 1

    def read(self) -> None:
        """A content that was sent, byte for byte."""
        if not self._account.sent:
            time.sleep(0.05)
            return
        sent = self._rng.choice(self._account.sent[-200:])
        path = f"/v1/incidents/{sent.chain}/evidence/{sent.exhibit}/content?purpose=look"
        heard = self.once("read", "GET", path)
        if heard is not None:
            assert hashlib.sha256(heard.data).hexdigest() == sent.sha256
            self._account.read += 1

    # How they ask

    def once(self, what: str, method: str, path: str, body: Any = None) -> Heard | None:
        """One request; None where it brought nothing, or nobody knows what it brought."""
        heard = self._ask(what, method, path, body, {})
        if heard is None or heard.status in AGAIN:
            time.sleep(self._rng.uniform(0.05, 0.3))
            return None
        return heard

    def promised(self, heard: Heard) -> Receipt:
        """Keep a receipt."""
        told = dict(heard.json["receipt"])
        assert told.pop("state") == "kept"
        receipt = Receipt(**told)
        self._account.receipts.append(receipt)
        return receipt

    def _until_kept(self, what: str, path: str, data: bytes, headers: Mapping[str, str]) -> Heard:
        """Send the same until it is acknowledged."""
        while not self._load._abandoned.is_set():
            heard = self._ask(what, "POST", path, data, headers)
            if heard is not None and heard.status not in AGAIN:
                return heard
            time.sleep(self._rng.uniform(0.05, 0.3))
        raise RuntimeError("the test has failed elsewhere")

    def _ask(
        self, what: str, method: str, path: str, body: Any, headers: Mapping[str, str]
    ) -> Heard | None:
        sent = {**self._load._who[self._name], **headers}
        if body is not None and not isinstance(body, bytes):
            body, sent["Content-Type"] = json.dumps(body).encode(), "application/json"
        url = self._rng.choice(self._load._urls)
        try:
            answer = self._pool.request(
                method, f"{url}{path}", body=body, headers=sent, timeout=200
            )
        except urllib3.exceptions.ReadTimeoutError:
            raise
        except urllib3.exceptions.HTTPError:
            self._account.answers[what, BROKEN] += 1
            return None
        heard = Heard(answer.status, answer.headers, answer.data)
        self._account.answers[what, heard.status] += 1
        assert heard.status // 100 == 2 or heard.status in AGAIN, (path, heard.status, heard.data)
        return heard


# What must hold afterwards


def check(home: Path, account: Account) -> None:
    """Nothing acknowledged is lost, nothing doubled, no gap, no fork; all of it audits clean.

    Servers have stopped. Every client got its last content acknowledged, so that what is sealed is
    exactly what was promised.
    """
    assert not account.errors, account.errors[0]
    audited = run("--home", home, "log", "audit")
    assert audited.code == 0, audited.out
    world = World(home, promised=account.receipts)
    world.check()
    vault = open_vault(read_settings({}, home))
    try:
        rows = [row for chain in vault.index.chains("") for row in vault.index.rows(chain)]
        deposits = Counter((row.chain, row.deposit) for row in rows)
        assert set(deposits.values()) == {1}, deposits.most_common(3)
        assert sorted(row.index for row in rows if row.index is not None) == list(range(len(rows)))
        held = {(row.chain, row.sequence): row for row in rows}
        for receipt in account.receipts:
            row = held[receipt.chain, receipt.sequence]
            assert (row.leaf_hash.hex(), row.deposit, row.index) == (
                receipt.leaf_hash, receipt.deposit, receipt.index,
            )  # fmt: skip
        sealed = Counter(
            (chain, exhibit, digest)
            for chain in vault.index.chains("INC-")
            for exhibit, digest, _ in _contents(vault, chain)
        )
        assert sealed == Counter((each.chain, each.exhibit, each.sha256) for each in account.sent)
        assert len({digest for _, _, digest in sealed}) == len(sealed), "a content was doubled"
        exports = Counter(data for _, _, data in _contents(vault, STREAM))
        assert exports == Counter(account.exported)
        assert set(Counter(n for data in exports for n in span_ids(data)).values()) == {1}
        for each in account.sent:
            exhibits = vault.incidents.read(each.chain).state.exhibits
            assert exhibits[each.exhibit].sequence == each.receipt.sequence
        assert all(row.type == Type.CAPTURE.value for row in rows if row.chain == STREAM)
    finally:
        vault.close()


def _contents(vault: Vault, chain: str) -> Iterator[tuple[str, str, bytes]]:
    """Every exhibit of a chain: its name, its digest as read from the store, its bytes."""
    for name, exhibit in vault.incidents.read(chain).state.exhibits.items():
        data = b"".join(content(vault.store, exhibit.item, exhibit.packs))
        yield name, hashlib.sha256(data).hexdigest(), data


def told(account: Account) -> str:
    """What happened, for whoever reads the test's output."""
    counts = ", ".join(
        f"{what} {status}: {count}"
        for (what, status), count in sorted(account.answers.items(), key=str)
    )
    return f"{len(account.receipts)} receipts; {counts}"
