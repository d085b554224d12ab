"""The judgement about who asks: deny by default, and nothing is had beyond what was granted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from vault.access import (
    EVERYWHERE,
    ROLES,
    WHOLE_VAULT,
    Access,
    Grant,
    Identity,
    Permission,
    VaultRole,
)
from vault.errors import NotFoundError, NotPermittedError
from verify.statement import VAULT_CHAIN

NOW = datetime(2026, 3, 1, 9, tzinfo=UTC)
ADA = Identity("ada", "person", "token")
ONE, OTHER = "INC-2026-0001", "INC-2026-0002"


def granted(
    role: VaultRole, *chains: str, begin: int = -60, end: int | None = None, who: str = "ada"
) -> Grant:
    until = None if end is None else NOW + timedelta(minutes=end)
    return Grant(who, role, chains, NOW + timedelta(minutes=begin), until)


def access(*grants: Grant, identity: Identity = ADA) -> Access:
    return Access(identity, grants, at=NOW)


@pytest.mark.parametrize("permission", Permission)
def test_without_a_grant_nothing_is_permitted(permission: Permission) -> None:
    for chain in (None, VAULT_CHAIN, ONE):
        assert permission not in access().permissions(chain)


@pytest.mark.parametrize("role", VaultRole)
def test_a_role_in_one_incident_moves_nothing_of_the_whole_vault(role: VaultRole) -> None:
    judged = access(granted(role, ONE))
    assert judged.permissions(ONE) == ROLES[role]
    assert judged.permissions(OTHER) == frozenset()
    for chain in (None, VAULT_CHAIN):
        assert not judged.permissions(chain) & WHOLE_VAULT


@pytest.mark.parametrize("role", VaultRole)
def test_a_narrow_token_moves_nothing_of_the_whole_vault(role: VaultRole) -> None:
    narrow = Identity("ada", "person", "token", chains=(ONE,))
    judged = access(granted(role, EVERYWHERE), identity=narrow)
    assert judged.permissions(OTHER) == frozenset()
    assert not judged.permissions(None) & WHOLE_VAULT


@pytest.mark.parametrize(
    "grant",
    [
        granted(VaultRole.LEGAL, ONE, begin=1),
        granted(VaultRole.LEGAL, ONE, end=-1),
        granted(VaultRole.LEGAL, ONE, who="otto"),
        granted(VaultRole.LEGAL, ONE, who="ADA"),
        granted(VaultRole.LEGAL, "INC-2026-00011"),
    ],
    ids=["not yet", "no more", "another's", "another spelling", "a longer id"],
)
def test_what_does_not_cover_gives_nothing(grant: Grant) -> None:
    assert access(grant).permissions(ONE) == frozenset()


def test_absent_and_forbidden_are_told_apart_only_to_whom_sees_the_chain() -> None:
    judged = access(granted(VaultRole.COMMS_LEAD, ONE))
    with pytest.raises(NotPermittedError):
        judged.check(Permission.EXPORT, ONE)
    with pytest.raises(NotFoundError):
        judged.check(Permission.EXPORT, OTHER)


def test_nobody_is_told_to_grant_a_collector_a_role() -> None:
    collector = Identity("collector:web", "collector", "token", chains=(ONE,))
    for chain in (ONE, None):
        with pytest.raises(NotPermittedError) as raised:
            access(identity=collector).check(Permission.READ_CHAIN, chain)
        assert "collector:web is a collector, which appends" in str(raised.value)
        assert "evault grant add" not in str(raised.value)


def test_a_collector_appends_to_its_chains_and_holds_no_role() -> None:
    collector = Identity("collector:web", "collector", "token", chains=("stream:web",))
    judged = access(granted(VaultRole.LEGAL, EVERYWHERE, who="collector:web"), identity=collector)
    assert judged.permissions("stream:web") == {Permission.INGEST}
    assert judged.permissions(ONE) == frozenset()
    assert judged.roles(None) == []


def test_a_token_for_one_chain_and_a_grant_for_another_come_to_nothing() -> None:
    narrow = Identity("ada", "person", "token", chains=(ONE,))
    assert access(granted(VaultRole.LEGAL, OTHER), identity=narrow).permissions(None) == frozenset()
    assert Permission.VERIFY in access(
        granted(VaultRole.LEGAL, OTHER, ONE), identity=narrow
    ).permissions(None)
