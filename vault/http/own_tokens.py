"""The tokens that whoever asks may see, make and end: those of their own identity.

Nobody makes a token of another person here: who made it could act as that person. A token that is
limited to chains sees and makes only such as are limited to these, or fewer: by no way around does
it come to more than it was given. A collector's token ends, and does not renew itself: it lies on a
host that nobody watches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

from vault.access import Access, Permission, not_seen
from vault.errors import NotPermittedError, RefusedError
from vault.opened import Vault
from vault.ports import IdentityKind, Token
from vault.tokens import Issued, Tokens, is_valid, no_such_token
from verify.errors import EvidenceError

AT_ONCE = 100
"""Tokens of one identity that may be valid at once, before another is made here."""
A_DAY = 100
"""Tokens of one identity that are made here within a day: nothing of them is ever removed."""

Judge = Callable[[], None]
"""Raises unless who asks may still ask."""


class OwnTokens:
    """The tokens of one vault, for one who asks."""

    def __init__(self, tokens: Tokens, access: Access, vault: Vault) -> None:
        self._tokens = tokens
        self._access = access
        self._identity = access.identity
        self._vault = vault

    def list(self) -> Sequence[Token]:
        """One's own, and, for who lets collectors in, those of collectors; the oldest first."""
        everyone = Permission.ADMIT in self._access.permissions(None)
        found = self._tokens.list(None if everyone else self._identity.id)
        return [each for each in found if self._sees(each)]

    def issue(
        self, chains: Sequence[str], name: str, expires: datetime | None, *, still: Judge
    ) -> Issued:
        """Make a token of one's own.

        Raises `NotPermittedError` for a collector, and for more than one's own token is for;
        `NotFoundError` for an incident that one does not see; and as `Tokens.issue`.
        """
        if self._identity.kind != IdentityKind.PERSON:
            raise self._no_collector()
        limit = self._identity.chains
        if limit is not None and (not chains or not set(chains) <= set(limit)):
            raise NotPermittedError(
                f"your token is limited to {', '.join(limit)}, and makes only tokens that are "
                "limited to these, or fewer; name those that the new one is for",
                permission="",
            )
        for each in chains:
            if each.startswith("INC-") and not self._is_seen(each):
                raise not_seen(each, self._identity.id)
        self._check_count()
        issued = self._tokens.issue(self._identity.id, chains=chains, name=name, expires=expires)
        self._stands(issued, still)
        return issued

    def rotate(
        self, token_id: str, overlap: timedelta, expires: datetime | None, *, still: Judge
    ) -> tuple[Issued, Token]:
        """Make a token in the place of one of one's own.

        Raises `NotFoundError` for one that one does not see, `NotPermittedError` for a collector's,
        and as `Tokens.rotate`.
        """
        old = self._seen(token_id)
        if self._identity.kind != IdentityKind.PERSON:
            raise self._no_collector()
        if old.identity != self._identity.id:
            raise NotPermittedError(
                f"{old.id} is a token of {old.identity}, and a new one is for nobody else; give "
                "it another by: evault collector add NAME --key FILE INCIDENT|STREAM, and revoke "
                "this one",
                permission="",
            )
        self._check_count()
        issued, left = self._tokens.rotate(old.id, overlap=overlap, expires=expires)
        if old.id != self._identity.token:  # of one's own it was looked at already
            self._stands(issued, still)
        return issued, left

    def revoke(self, token_id: str) -> Token:
        """End a token of one's own, or, for who lets collectors in, of a collector.

        Raises `NotFoundError`, `NotPermittedError`.
        """
        token = self._seen(token_id)
        if self._identity.kind != IdentityKind.PERSON:
            raise self._no_collector()
        return self._tokens.revoke(token.id)

    def _stands(self, issued: Issued, still: Judge) -> None:
        """Whoever took what was asked with away meanwhile takes what was made by it along."""
        try:
            still()
        except EvidenceError:
            with suppress(EvidenceError):
                self._tokens.revoke(issued.token.id)
            raise

    def _sees(self, token: Token) -> bool:
        identity = self._identity
        if token.identity != identity.id or token.kind != identity.kind:
            return token.kind == IdentityKind.COLLECTOR and (
                Permission.ADMIT in self._access.permissions(None)
            )
        limit = identity.chains
        return limit is None or (bool(token.chains) and set(token.chains) <= set(limit))

    def _seen(self, token_id: str) -> Token:
        token = self._tokens.get(token_id)
        if not self._sees(token):
            raise no_such_token()
        return token

    def _is_seen(self, incident: str) -> bool:
        return (
            bool(self._access.permissions(incident))
            and self._vault.index.head(incident) is not None
        )

    def _check_count(self) -> None:
        now = self._vault.clock()
        own = self._tokens.list(self._identity.id)
        if sum(is_valid(each, now) for each in own) >= AT_ONCE:
            raise RefusedError(
                f"{AT_ONCE} tokens of {self._identity.id} are valid; revoke those that nobody uses"
            )
        if sum(now - each.created < timedelta(days=1) for each in own) >= A_DAY:
            raise RefusedError(
                f"{A_DAY} tokens of {self._identity.id} were made within a day; make the next "
                "tomorrow, or where the vault's home is"
            )

    def _no_collector(self) -> NotPermittedError:
        return NotPermittedError(
            f"{self._identity.id} is a collector, whose token ends and does not renew itself; who "
            "lets collectors in gives it another, or ends one: evault collector add NAME --key "
            "FILE INCIDENT|STREAM, evault token revoke ID",
            permission="",
        )
