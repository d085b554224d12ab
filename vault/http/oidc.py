"""Bearer tokens of an identity provider: JSON Web Tokens that it signed, checked here.

In order: (1) size and form; (2) the algorithm is one of those configured, whatever the token says;
(3) the key is one that the issuer publishes, of the kind that the algorithm takes; (4) the
signature; (5) issuer, audience, times and subject; (6) who that is. Only (6) believes the provider.
RFC 7515, 7519, 8725, 9068; OpenID Connect Core 1.0.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey

from vault.access import Identity
from vault.errors import UnauthenticatedError
from vault.http.issuer_keys import PublicKey, check_url
from vault.ports import Clock
from verify.approval import MAX_PERSON, OIDC
from verify.errors import MalformedError
from verify.grant import check_holder

MAX_TOKEN = 16_384
LEEWAY = timedelta(seconds=60)
"""How far the provider's clock and ours may differ."""
EMAIL = "email"
"""The claim that names people, unless another is configured: taken only where it was verified."""

_JWT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\Z")
_ADDRESS = re.compile(r"[^@\s:/#?]+@[^@\s:/#?]+\Z")
_TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt", "application/jwt"})
_TAKES: Mapping[str, tuple[type[PublicKey], str | None]] = {
    "RS256": (RSAKey, None),
    "PS256": (RSAKey, None),
    "ES256": (ECKey, "P-256"),
    "EdDSA": (OKPKey, "Ed25519"),
}
"""Each algorithm that can be configured, with the kind of key and the curve that it takes."""


class Keys(Protocol):
    """Where an issuer's keys come from."""

    issuer: str

    def named(self, key_id: str | None) -> tuple[PublicKey, ...]:
        """The keys of that id, or, for None, all. Raises `UnavailableError`."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What tokens must say: fixed by configuration, never by a token."""

    issuer: str
    audience: str
    """What the provider calls this vault."""
    algorithms: Collection[str] = field(default=("RS256", "PS256", "ES256", "EdDSA"))
    claim: str = EMAIL
    """The claim that is a person's identity here; without it `issuer#subject` is."""

    def __post_init__(self) -> None:
        """Raises `MalformedError` for what no token can be held against."""
        check_url(self.issuer, what="the issuer")
        unknown = sorted(set(self.algorithms) - set(_TAKES))
        if unknown or not self.algorithms:
            raise MalformedError(f"the algorithms known here are {', '.join(_TAKES)}")
        if not self.audience.strip():
            raise MalformedError("an audience is what the provider calls this vault: it is needed")
        if self.claim != self.claim.strip() or not self.claim:
            raise MalformedError("name the claim that says who somebody is, such as email")


class Oidc:
    """Knows people by the tokens that one identity provider gave them."""

    def __init__(self, expected: Expected, keys: Keys, *, clock: Clock) -> None:
        if keys.issuer != expected.issuer:
            raise MalformedError("the keys are those of another issuer")
        self._expected = expected
        self._keys = keys
        self._clock = clock
        known = ["Ed25519" if each == "EdDSA" else each for each in expected.algorithms]
        self._registry = _Registry(algorithms=known, strict_check_header=False)

    def identify(self, bearer: str, address: str) -> Identity:
        """Who shows this token, from that address.

        Raises `UnauthenticatedError`; `UnavailableError` where the provider's keys cannot be had.
        """
        claims = self._claims(bearer)
        return Identity(id=self._person(claims), kind="person", authenticated=OIDC, address=address)

    def _claims(self, bearer: str) -> dict[str, Any]:
        """Steps 1 to 5."""
        if len(bearer) > MAX_TOKEN or not _JWT.match(bearer):
            raise UnauthenticatedError("this is no token that this vault knows")
        try:
            unproven = jws.extract_compact(bearer.encode(), registry=self._registry)
            header = unproven.headers()
            algorithm, key_id = header.get("alg"), header.get("kid")
            if not isinstance(algorithm, str) or algorithm not in self._expected.algorithms:
                raise UnauthenticatedError("this token is signed in a way that is not taken here")
            if "crit" in header or str(header.get("typ", "JWT")).lower() not in _TYPES:
                raise UnauthenticatedError("this token is of a sort that is not taken here")
            if key_id is not None and not isinstance(key_id, str):
                raise UnauthenticatedError("this token names its key in a way that is none")
            key = self._key(algorithm, key_id)
            proven = jws.deserialize_compact(bearer, key, registry=self._registry)
            claims = json.loads(proven.payload)
        except (JoseError, ValueError, RecursionError) as error:
            raise UnauthenticatedError("this token's signature does not hold") from error
        if not isinstance(claims, dict):
            raise UnauthenticatedError("this token claims nothing")
        self._check(claims)
        return claims

    def _key(self, algorithm: str, key_id: str | None) -> PublicKey:
        """Step 3: the one key that may have signed this."""
        kind, curve = _TAKES[algorithm]
        fitting = [
            key
            for key in self._keys.named(key_id)
            if isinstance(key, kind)
            and (curve is None or getattr(key, "curve_name", None) == curve)
            and key.alg in (None, algorithm, "Ed25519" if algorithm == "EdDSA" else algorithm)
        ]
        if len(fitting) != 1:
            raise UnauthenticatedError("this token is signed with no key of its issuer")
        return fitting[0]

    def _check(self, claims: Mapping[str, Any]) -> None:
        """Step 5."""
        expected = self._expected
        if claims.get("iss") != expected.issuer:
            raise UnauthenticatedError(f"this token is not from {expected.issuer}")
        audiences = claims.get("aud")
        if isinstance(audiences, str):
            audiences = [audiences]
        if not isinstance(audiences, list) or expected.audience not in audiences:
            raise UnauthenticatedError(f"this token is not for {expected.audience}")
        now, leeway = self._clock().timestamp(), LEEWAY.total_seconds()
        expires = _seconds(claims, "exp")
        if expires is None or now >= expires + leeway:
            raise UnauthenticatedError("this token has expired; sign in anew")
        for name in ("nbf", "iat"):
            begins = _seconds(claims, name)
            if begins is not None and now < begins - leeway:
                raise UnauthenticatedError("this token is not valid yet; are the clocks right?")
        subject = claims.get("sub")
        if not isinstance(subject, str) or not 0 < len(subject) <= 255:
            raise UnauthenticatedError("this token names no subject")

    def _person(self, claims: Mapping[str, Any]) -> str:
        """Step 6."""
        claim = self._expected.claim
        named = claims.get(claim)
        if claim == EMAIL:
            # A verified address alone, of plain form: it must never read like `issuer#subject`.
            verified = claims.get("email_verified") is True
            taken = verified and isinstance(named, str) and bool(_ADDRESS.match(named))
        else:
            taken = isinstance(named, str) and bool(named.strip())
        identity = str(named) if taken else f"{claims['iss']}#{claims['sub']}"
        try:
            check_holder(identity, where="this token")
        except MalformedError as error:
            raise UnauthenticatedError("this token names nobody who may sign in here") from error
        if len(identity) > MAX_PERSON:
            raise UnauthenticatedError("this token names somebody at too great a length")
        return identity


class _Registry(jws.JWSRegistry):
    """The algorithms that were configured, and headers with the certificates that some carry."""

    max_header_length = 8_192

    def get_alg(self, name: str) -> Any:
        """The algorithm of a name; RFC 9864 calls EdDSA by the one curve that is taken here."""
        return super().get_alg("Ed25519" if name == "EdDSA" else name)


def _seconds(claims: Mapping[str, Any], name: str) -> float | None:
    """A NumericDate (RFC 7519 §2), None where there is none. Raises `UnauthenticatedError`."""
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1e12:
        raise UnauthenticatedError(f"this token's {name} is no time")
    return float(value)
