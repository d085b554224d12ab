"""API tokens: made, looked up, rotated, revoked. A secret is shown once, and kept by nobody here.

A token is `evt_<id>_<secret>`: 12 characters of Crockford's base 32 that name it, and 43 of
base64url that hold 28 random bytes and a CRC-32 over id and bytes. The checksum protects nothing:
it tells a mistyped token from one that is not valid, and tells scanners for leaked secrets tokens
from other text. What is kept is the SHA-256 of the secret: 224 random bits need no slow hash.

A token says who asks, and may narrow what they do to some chains. What they may do, grants say.
"""

from __future__ import annotations

import base64
import hmac
import re
import secrets
import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from vault.errors import (
    ConflictError,
    NotFoundError,
    RefusedError,
    UnauthenticatedError,
    UnavailableError,
)
from vault.ports import AccessStore, Clock, IdentityKind, Token
from verify.approval import MAX_PERSON
from verify.collection import check_collector_name
from verify.digest import sha256_hex
from verify.errors import MalformedError
from verify.grant import check_holder
from verify.instant import format_instant
from verify.statement import VAULT_CHAIN, check_chain_id

LIFE = timedelta(days=90)
"""How long a token is valid, unless another end is asked for."""
LONGEST = timedelta(days=366)
OVERLAP = timedelta(hours=24)
"""How long a rotated token goes on being valid, unless another time is asked for."""
COLLECTOR = "collector:"
"""How the identities of collectors begin, so that none is ever a person's."""
MAX_NAME = 200
MAX_CHAINS = 100

_TOKEN = re.compile(r"evt_([0-9a-hjkmnp-tv-z]{12})_([A-Za-z0-9_-]{43})\Z")
_ID = re.compile(r"[0-9a-hjkmnp-tv-z]{12}\Z")
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_RANDOM = 28
_UNKNOWN = "this token is not valid; ask for another: evault token add"


class Secret:
    """A token's text on its way to its holder: nothing that prints, logs or compares shows it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text, for the one time that it is shown."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(…)"

    def __reduce__(self) -> str:
        raise TypeError("a secret is written nowhere")


@dataclass(frozen=True, slots=True)
class Issued:
    """A token that was just made."""

    token: Token
    secret: Secret


class Tokens:
    """The tokens of one vault."""

    def __init__(self, *, store: AccessStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def issue(
        self,
        identity: str,
        *,
        kind: IdentityKind = IdentityKind.PERSON,
        chains: Sequence[str] = (),
        name: str = "",
        expires: datetime | None = None,
    ) -> Issued:
        """Make a token for a person, or, by `collector:NAME`, for a collector.

        Raises as `planned`, and `UnavailableError`.
        """
        return self.make(
            planned(
                identity, kind=kind, chains=chains, name=name, expires=expires, at=self._clock()
            )
        )

    def make(self, plan: Token) -> Issued:
        """Make a token that was `planned`. Raises `UnavailableError`: then there is none."""
        for _ in range(3):
            token_id = "".join(secrets.choice(_ALPHABET) for _ in range(12))
            secret = _secret(token_id, secrets.token_bytes(_RANDOM))
            made = replace(plan, id=token_id, secret_sha256=sha256_hex(secret.encode()))
            with suppress(ConflictError):  # by chance, once in 2^60
                self._store.add_token(made)
                return Issued(made, Secret(f"evt_{token_id}_{secret}"))
        raise UnavailableError("no new id could be found for a token; run the command again")

    def check(self, text: str) -> Token:
        """The token that a text is, if it is valid now; notes that it was used.

        Raises `UnauthenticatedError`, which tells no more than the holder of the secret may know;
        `UnavailableError`.
        """
        parsed = _TOKEN.match(text)
        token_id, secret = parsed.groups() if parsed else ("", "")
        if not parsed or _secret(token_id, _decoded(secret)[:_RANDOM]) != secret:
            raise UnauthenticatedError("this is no token; was it copied whole? It begins with evt_")
        token = self._store.token(token_id)
        # Compared also where there is none: how long it takes tells nobody which ids there are.
        kept = token.secret_sha256 if token else sha256_hex(b"")
        same = hmac.compare_digest(kept, sha256_hex(secret.encode()))
        if token is None or not same:
            raise UnauthenticatedError(_UNKNOWN)
        now = self._clock()
        if token.revoked is not None:
            raise UnauthenticatedError(f"token {token.id} was revoked; ask for another")
        if now >= token.expires:
            raise UnauthenticatedError(
                f"token {token.id} expired {format_instant(token.expires)}; ask for another"
            )
        minute = now.replace(second=0, microsecond=0)
        if token.last_used is None or token.last_used < minute:
            with suppress(UnavailableError):  # who may ask does not hang on this note
                self._store.use_token(token.id, minute)
        return token

    def rotate(
        self, token_id: str, *, overlap: timedelta = OVERLAP, expires: datetime | None = None
    ) -> tuple[Issued, Token]:
        """Make a token in another's place; the old one stays valid for the overlap, and no longer.

        Gives the new one, and the old as it stands. Raises `NotFoundError`; `RefusedError` for one
        that is not valid any more.
        """
        now = self._clock()
        old = self.get(token_id)
        if not is_valid(old, now):
            raise RefusedError(f"token {old.id} is not valid any more; make one anew")
        if overlap < timedelta(0):
            raise RefusedError("an overlap is a time to come, or 0h for none")
        end = _end(expires, now)
        # The new one first: who dies in between has two, and not none.
        issued = self.make(replace(old, created=now, expires=end, revoked=None, last_used=None))
        if self.get(old.id).revoked is not None:
            # By whoever takes all of this holder's: a copy must not be left of what they ended.
            self._store.revoke_token(issued.token.id, now)
            raise RefusedError(f"token {old.id} was revoked meanwhile; make one anew")
        if overlap:
            self._store.shorten_token(old.id, now + overlap)
        else:
            self._store.revoke_token(old.id, now)
        return issued, self.get(old.id)

    def revoke(self, token_id: str) -> Token:
        """Have a token be valid no more, at once; repeating it changes nothing.

        Raises `NotFoundError`.
        """
        self._store.revoke_token(self.get(token_id).id, self._clock())
        return self.get(token_id)

    def revoke_all(self, identity: str) -> list[Token]:
        """Revoke every token of one identity that is valid now; gives those.

        None is left, also of those that are made meanwhile by one of them: whoever makes one looks
        afterwards whether theirs still stands.
        """
        now = self._clock()
        gone: list[Token] = []
        while valid := [each for each in self.list(identity) if is_valid(each, now)]:
            gone += [self.revoke(each.id) for each in valid]
        return gone

    def get(self, token_id: str) -> Token:
        """A token by its id, or by the whole text of it. Raises `NotFoundError`."""
        token = self._store.token(id_of(token_id))
        if token is None:
            raise no_such_token()
        return token

    def list(self, identity: str | None = None) -> list[Token]:
        """All tokens, or one identity's, the oldest first."""
        return self._store.tokens(identity)


def planned(
    identity: str,
    *,
    kind: IdentityKind = IdentityKind.PERSON,
    chains: Sequence[str] = (),
    name: str = "",
    expires: datetime | None = None,
    at: datetime,
) -> Token:
    """A token that `Tokens.make` may make at a moment: all of it but id and secret.

    `chains` limits it to those; a collector's names at least one. `expires` None is 90 days
    from then. Raises `MalformedError`, `RefusedError` for an end that is none.
    """
    if kind == IdentityKind.COLLECTOR:
        check_collector_name(identity.removeprefix(COLLECTOR))
        if not identity.startswith(COLLECTOR) or not chains:
            raise MalformedError("a collector's token names the chains that it may append to")
    elif not identity.strip() or len(identity) > MAX_PERSON:
        raise MalformedError(f"expected an identity of 1 to {MAX_PERSON} characters")
    else:
        check_holder(identity, where="the identity")
    limits = tuple(dict.fromkeys(check_chain_id(each) for each in chains))
    if len(limits) > MAX_CHAINS:
        raise MalformedError(f"a token is limited to at most {MAX_CHAINS} chains, or to none")
    if kind == IdentityKind.COLLECTOR and VAULT_CHAIN in limits:
        raise MalformedError("the vault's own chain takes no evidence")
    if len(name) > MAX_NAME or not name.isprintable():
        raise MalformedError(f"what a token is for is said in at most {MAX_NAME} characters")
    return Token(
        id="",
        secret_sha256="",
        identity=identity,
        kind=kind,
        chains=limits,
        name=name,
        created=at,
        expires=_end(expires, at),
    )


def id_of(text: str) -> str:
    """The id of a token that is named by it, or by the whole of the token."""
    parsed = _TOKEN.match(text)
    return parsed.group(1) if parsed else text


def is_id(text: str) -> bool:
    """Whether a text may be the id of a token: no secret is."""
    return _ID.match(text) is not None


def no_such_token() -> NotFoundError:
    """What is said of a token that is not there; not what was given, which may be a secret."""
    return NotFoundError("there is no such token; list them with: evault token list")


def is_valid(token: Token, at: datetime) -> bool:
    """Whether a token authenticates its holder at a moment."""
    return token.revoked is None and at < token.expires


def _end(expires: datetime | None, now: datetime) -> datetime:
    end = expires or now + LIFE
    if end <= now:
        raise RefusedError(f"{format_instant(end)} is past; name a moment to come")
    if end - now > LONGEST:
        raise RefusedError(
            f"a token is valid for at most {LONGEST.days} days; it is rotated: evault token rotate"
        )
    return end


def _secret(token_id: str, random: bytes) -> str:
    """43 characters: the random bytes, and the checksum over id and bytes."""
    checksum = zlib.crc32(token_id.encode() + random).to_bytes(4, "big")
    return base64.urlsafe_b64encode(random + checksum).decode().rstrip("=")


def _decoded(secret: str) -> bytes:
    """What 43 characters of base64url hold; they were checked to be such."""
    return base64.urlsafe_b64decode(f"{secret}=") if secret else b""
