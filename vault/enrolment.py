"""Enrolling a collector: its key is let in by a signed statement, then it gets a token.

In that order: a token of a collector that no statement let in would be nobody's. The token is for
the chains that are named; without one the collector delivers where the vault's home is. Whoever did
not hear the answer asks again: the key is in already, and another token is made, for no secret is
kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from vault.collectors import Collector, Collectors
from vault.deposit import Receipt
from vault.errors import NotFoundError, RefusedError, UnavailableError
from vault.ports import Clock, IdentityKind, Index, Token
from vault.tokens import COLLECTOR, Issued, Tokens, is_valid, planned
from verify.envelope import ManifestKey
from verify.errors import EvidenceError
from verify.trust import Trust

A_DAY = 100
"""Tokens of one collector that are made within a day: nothing of them is ever removed."""


@dataclass(frozen=True, slots=True)
class Enrolled:
    """A collector that may deliver, and the token that was made for it."""

    collector: Collector
    receipt: Receipt | None
    """None where it might already."""
    trust: Trust
    """The trust file, which lists its key."""
    issued: Issued | None = None
    others: tuple[str, ...] = ()
    """The ids of its other tokens that are valid still."""


def enrol(
    collectors: Collectors,
    name: str,
    key: ManifestKey,
    *,
    index: Index,
    clock: Clock,
    list_key: Callable[[ManifestKey], Trust],
    tokens: Tokens | None = None,
    chains: Sequence[str] = (),
    expires: datetime | None = None,
    still: Callable[[], None] = lambda: None,
) -> Enrolled:
    """Let a collector in, and, for some chains, make a token for it by `tokens`.

    `list_key` has the trust file list its key; `still` raises where who asks may not any more.
    Raises, before anything is sealed, `MalformedError`, `NotFoundError` for an incident that is
    not there, `RefusedError`; afterwards `UnavailableError`, which says what is left to do.
    """
    plan = _planned(name, chains, expires, index, clock()) if chains else None
    if plan is not None and tokens is not None:
        _check_count(tokens, plan)
    collector, receipt = collectors.add(name, key)
    trust = list_key(key)
    if plan is None:
        return Enrolled(collector, receipt, trust)
    assert tokens is not None
    try:
        now = clock()
        others = [each.id for each in tokens.list(plan.identity) if is_valid(each, now)]
        issued = tokens.make(plan)
    except EvidenceError as error:
        raise UnavailableError(
            f"{name} is let in (chain vault link {collector.sequence}), but has no token: {error}. "
            "Then run the same command again"
        ) from error
    try:
        still()
        _check_in(collectors, name, key)
    except EvidenceError:
        with suppress(EvidenceError):
            tokens.revoke(issued.token.id)
        raise
    return Enrolled(collector, receipt, trust, issued, tuple(others))


def _planned(
    name: str, chains: Sequence[str], expires: datetime | None, index: Index, at: datetime
) -> Token:
    plan = planned(
        f"{COLLECTOR}{name}",
        kind=IdentityKind.COLLECTOR,
        chains=chains,
        expires=expires,
        at=at,
    )
    for each in plan.chains:
        if each.startswith("INC-") and index.head(each) is None:
            raise NotFoundError(
                f"there is no incident {each}; list them with: evault incident list"
            )
    return plan


def _check_count(tokens: Tokens, plan: Token) -> None:
    made = [each.created for each in tokens.list(plan.identity)]
    if sum(plan.created - each < timedelta(days=1) for each in made) >= A_DAY:
        raise RefusedError(
            f"{A_DAY} tokens of {plan.identity} were made within a day; make the next tomorrow"
        )


def _check_in(collectors: Collectors, name: str, key: ManifestKey) -> None:
    """Whoever removed it meanwhile revoked the tokens that they saw: not this one."""
    for each in collectors.all():
        if each.key.spki == key.spki and each.name == name and each.removed is None:
            return
    raise RefusedError(f"{name} was removed meanwhile; it has no token")
