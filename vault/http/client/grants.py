"""Grants of a served vault: told by its own chain, or, to who may not read that, by the server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import cast

from vault.deposit import Door, Receipt
from vault.errors import NotPermittedError, RefusedError
from vault.grants import Grants
from vault.http.client.connection import Connection
from vault.http.client.moments import moment, moment_or_none
from vault.http.client.receipts import receipt_of
from vault.http.client.record import Elsewhere, RemoteIndex
from vault.incidents import Incidents
from vault.ports import Clock, Index
from verify.approval import Approval
from verify.errors import MalformedError
from verify.grant import Grant, GrantedRole, GrantRoll
from verify.statement import VAULT_CHAIN
from verify.strictjson import Fields, Object
from verify.trust import Trust

_PATH = "/v1/grants"


class RemoteGrants(Grants):
    """The grants of a served vault."""

    def __init__(
        self,
        connection: Connection,
        trust: Trust,
        index: RemoteIndex,
        incidents: Incidents,
        clock: Clock,
    ) -> None:
        super().__init__(
            index=cast("Index", index),
            door=cast("Door", Elsewhere()),
            incidents=incidents,
            clock=clock,
            key=trust.keys[0],
        )
        self._keys = tuple(trust.keys)
        self._connection = connection
        self._trust = trust

    def grant(
        self,
        person: str,
        role: GrantedRole,
        chains: Sequence[str],
        *,
        reason: str,
        valid_from: datetime | None = None,
        valid_to: datetime | None = None,
        approval: Approval | None = None,
        deposit: str | None = None,
    ) -> tuple[Grant, Receipt | None]:
        """Nobody gives a role here alone. Raises `RefusedError`."""
        raise RefusedError("through a server a role is asked for, and a second person approves it")

    def revoke(
        self,
        person: str,
        role: GrantedRole,
        chains: Sequence[str] | None,
        *,
        reason: str,
        allowed: Callable[[Sequence[Grant], Sequence[Grant]], None] = lambda _before, _after: None,
    ) -> tuple[tuple[str, ...], Receipt]:
        """Have a role taken back; the server judges whether that may be."""
        del allowed
        body: Object = {"person": person, "reason": reason, "role": role.value}
        if chains is not None:
            body["chains"] = list(chains)
        path = f"{_PATH}/revocations"
        answer = self._connection.post(path, body)
        receipt = receipt_of(answer, self._trust, chain=VAULT_CHAIN)
        return tuple(Fields(answer, path).texts("chains")), receipt

    def _roll(self) -> GrantRoll:
        try:
            return super()._roll()
        except NotPermittedError:  # who holds a role for some chains, or lets people in alone
            told = Fields(self._connection.get_json(_PATH), _PATH)
            roll = GrantRoll()
            roll.grants = [read_grant(each, _PATH) for each in told.entries("items")]
            roll.unknown = [each for each in told.entries("not_understood") if type(each) is int]
            return roll


def read_grant(value: object, where: str) -> Grant:
    """A grant as a server tells it. Raises `MalformedError`."""
    reader = Fields(value, where)

    role = reader.text("role")
    if role not in frozenset(GrantedRole):
        raise MalformedError(f"{where}: the role {role!r} is not known here")
    revoked = reader.raw("revoked_sequence")
    return Grant(
        person=reader.text("person"),
        role=GrantedRole(role),
        chains=tuple(reader.texts("chains")),
        valid_from=moment(reader, "valid_from"),
        valid_to=moment_or_none(reader, "valid_to"),
        reason=reader.text("reason"),
        recorded_at=moment(reader, "recorded_at"),
        sequence=reader.count("sequence"),
        given=tuple(reader.texts("given")),
        revoked_at=moment_or_none(reader, "revoked_at"),
        revoked_reason=reader.text_or_none("revoked_reason"),
        revoked_sequence=None if revoked is None else reader.count("revoked_sequence"),
        approved_by=reader.text_or_none("approved_by"),
        doubtful=reader.text("state") == "in_doubt",
    )
