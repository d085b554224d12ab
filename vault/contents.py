"""Taking an exhibit's bytes out of the vault: the reading is kept before the first of them."""

from __future__ import annotations

from collections.abc import Iterator

from vault.deposit import Receipt
from vault.evidence import content
from vault.incidents import Incidents
from vault.ports import ObjectStore


class Contents:
    """The contents of one vault's exhibits."""

    def __init__(self, *, incidents: Incidents, store: ObjectStore) -> None:
        self._incidents = incidents
        self._store = store

    def take_out(
        self, chain_id: str, name: str, purpose: str | None
    ) -> tuple[Receipt, Iterator[bytes]]:
        """The receipt of the statement that it is read, and the bytes, each part checked first.

        Raises `NotFoundError`, and as `Door.deposit`; the bytes raise `DigestMismatchError`.
        """
        chain = self._incidents.read(chain_id)
        (exhibit,) = self._incidents.exhibits_named(chain, [name])
        receipt = self._incidents.custody(chain_id, "viewed", [name], {"purpose": purpose})
        return receipt, content(self._store, exhibit.item, exhibit.packs)
