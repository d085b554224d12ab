"""Who shows a bearer token: one of the vault's own, or one of its identity provider."""

from __future__ import annotations

from vault.access import Identity
from vault.errors import UnauthenticatedError
from vault.http.served import Authenticator
from vault.tokens import Tokens
from verify.approval import TOKEN

_OWN = "evt_"
"""How the vault's own tokens begin; no JSON Web Token does."""


class Bearers:
    """Knows people and collectors by their tokens. An `Authenticator`."""

    def __init__(self, tokens: Tokens, provider: Authenticator | None = None) -> None:
        """Know those of `tokens`, and, where there is one, those of an identity provider."""
        self._tokens = tokens
        self._provider = provider

    def identify(self, bearer: str, address: str) -> Identity:
        """Who shows this, from that address. Raises `UnauthenticatedError`, `UnavailableError`."""
        if bearer.startswith(_OWN):
            token = self._tokens.check(bearer)
            return Identity(
                id=token.identity,
                kind=token.kind.value,
                authenticated=TOKEN,
                token=token.id,
                chains=token.chains or None,
                address=address,
                expires=token.expires,
            )
        if self._provider is None:
            raise UnauthenticatedError("this is no token of this vault; they begin with evt_")
        return self._provider.identify(bearer, address)
