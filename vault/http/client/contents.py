"""Exhibits and bundles out of a served vault: as they come, and nothing unchecked is given on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import cast

from vault.contents import Contents
from vault.deposit import Receipt
from vault.errors import RefusedError
from vault.evidence import content
from vault.http.client.connection import Connection, quoted
from vault.http.client.receipts import read_receipt
from vault.http.client.record import Elsewhere
from vault.incidents import Chain, Incidents
from vault.ports import ObjectStore
from verify.errors import ProofError
from verify.statement import Actor, Type
from verify.trust import Trust


class RemoteContents(Contents):
    """The contents of a served vault's exhibits."""

    def __init__(
        self, connection: Connection, trust: Trust, incidents: Incidents, actor: Actor
    ) -> None:
        super().__init__(incidents=incidents, store=cast("ObjectStore", Elsewhere()))
        self._connection = connection
        self._trust = trust
        self._actor = actor

    def take_out(
        self, chain_id: str, name: str, purpose: str | None
    ) -> tuple[Receipt, Iterator[bytes]]:
        """The receipt of the reading's statement, and the bytes, each part checked first.

        Readings for one purpose within a quarter of an hour ride on one statement.
        """
        if purpose is None:
            raise RefusedError("a server gives no evidence without a reason; name it: --purpose")
        (exhibit,) = self._incidents.exhibits_named(self._incidents.read(chain_id), [name])
        path = f"/v1/chains/{quoted(chain_id)}/evidence/{quoted(name)}/content"
        opened = ExitStack()
        try:
            _, pieces = opened.enter_context(self._connection.stream(path, purpose=purpose))
            receipt = self._reading(chain_id, name, purpose)
        except BaseException:
            opened.close()
            raise
        arriving = cast("ObjectStore", _Arriving(pieces))

        def checked() -> Iterator[bytes]:
            with opened:
                yield from content(arriving, exhibit.item, exhibit.packs)

        return receipt, checked()

    def _reading(self, chain_id: str, name: str, purpose: str) -> Receipt:
        """The receipt of the newest statement that says so. Raises `ProofError` if none does."""
        chain = self._incidents.read(chain_id)
        sequence = _newest_reading(chain, name, purpose, self._actor)
        if sequence is None:
            raise ProofError(f"the server gives {name} out, and {chain_id} does not say so")
        path = f"/v1/chains/{quoted(chain_id)}/manifests/{sequence}/receipt"
        receipt = read_receipt(self._connection.get_json(path), self._trust, chain=chain_id)
        if receipt.leaf_hash != chain.manifests[sequence].leaf:
            raise ProofError(f"the receipt is for another link than {sequence} of {chain_id}")
        return receipt


def _newest_reading(chain: Chain, name: str, purpose: str, actor: Actor) -> int | None:
    for manifest in reversed(chain.manifests):
        statement = manifest.statement
        body = statement.body
        if (
            statement.type == Type.CUSTODY
            and body.get("event") == "viewed"
            and body.get("exhibits") == [name]
            and body.get("purpose") == purpose
            and (statement.actor.id, statement.actor.kind) == (actor.id, actor.kind)
        ):
            return statement.link.sequence
    return None


class _Arriving:
    """One content on its way, where `vault.evidence.content` reads from a store."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)

    def read(
        self, key: str, *, version_id: str | None = None, offset: int = 0, length: int | None = None
    ) -> Iterator[bytes]:
        """Its bytes, wherever they lie there."""
        del key, version_id, offset, length
        return self._pieces
