"""Retention, holds and collectors of a served vault: told by its chains, seen to by the server."""

from __future__ import annotations

from typing import cast

from vault.collectors import Collector, Collectors
from vault.deposit import Door, Receipt
from vault.http.client.connection import Connection, quoted
from vault.http.client.receipts import receipt_of
from vault.http.client.record import Elsewhere, RemoteIndex, RemoteStore
from vault.incidents import Incidents
from vault.ports import Clock, Index, LockMode, ObjectStore
from vault.retention import Retention
from verify.digest import b64
from verify.envelope import ManifestKey
from verify.statement import VAULT_CHAIN
from verify.trust import Trust


class RemoteRetention(Retention):
    """The retention of a served vault's evidence, and the holds on it."""

    def __init__(
        self,
        connection: Connection,
        trust: Trust,
        store: RemoteStore,
        index: RemoteIndex,
        incidents: Incidents,
        clock: Clock,
    ) -> None:
        super().__init__(
            store=cast("ObjectStore", store),
            index=cast("Index", index),
            door=cast("Door", Elsewhere()),
            incidents=incidents,
            clock=clock,
            key=trust.keys[0],
            mode=LockMode.GOVERNANCE,
        )
        self._keys = tuple(trust.keys)
        self._connection = connection
        self._trust = trust

    def settle(self) -> None:
        """Nothing: what is owed to stored evidence the server sees to."""


class RemoteCollectors(Collectors):
    """The collectors of a served vault."""

    def __init__(
        self, connection: Connection, trust: Trust, index: RemoteIndex, clock: Clock
    ) -> None:
        super().__init__(
            index=cast("Index", index),
            door=cast("Door", Elsewhere()),
            clock=clock,
            key=trust.keys[0],
        )
        self._keys = tuple(trust.keys)
        self._connection = connection
        self._trust = trust

    def add(self, name: str, key: ManifestKey) -> tuple[Collector, Receipt | None]:
        """Have a collector let in; no receipt if it is in already under this name and key."""
        body = {"key": b64(key.spki), "name": name}
        answer = self._connection.post("/v1/collectors", body)
        receipt = None
        if answer.get("receipt") is not None:
            receipt = receipt_of(answer, self._trust, chain=VAULT_CHAIN)
        return self.named(name), receipt

    def remove(self, name: str, reason: str) -> tuple[Collector, Receipt]:
        """Have nothing more taken from a collector."""
        collector = self.named(name)
        path = f"/v1/collectors/{quoted(name)}/removal"
        answer = self._connection.post(path, {"reason": reason})
        return collector, receipt_of(answer, self._trust, chain=VAULT_CHAIN)
