"""The public keys of one identity provider, as it publishes them; fetched from nowhere else.

Where to fetch is settled by the configured issuer: its discovery document (OpenID Connect
Discovery 1.0 §4) names `jwks_uri`. Nothing in a token ever names an address. Keys are kept for an
hour; a key id that is not among them is looked for anew, at most once a minute, whoever asks.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

import urllib3
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey, import_key
from urllib3.exceptions import HTTPError

from vault.errors import UnavailableError
from verify.errors import MalformedError

Fetch = Callable[[str], bytes]
"""Gives the bytes behind a URL. Raises `UnavailableError`."""
PublicKey = RSAKey | ECKey | OKPKey

MAX_DOCUMENT = 1 << 20
MAX_KEYS = 100
FRESH_SECONDS = 3_600.0
"""For how long keys are used before they are fetched again: so long does a key that was withdrawn
still open."""
STALE_SECONDS = 24 * 3_600.0
"""For how long they are used while the provider cannot be reached."""
PAUSE_SECONDS = 60.0
"""Between two attempts to fetch."""
MIN_RSA_BITS = 2_048

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_WELL_KNOWN = "/.well-known/openid-configuration"
_TIMEOUT = urllib3.Timeout(connect=5.0, read=5.0)
_WHOLE_SECONDS = 15.0


def check_url(url: str, *, what: str) -> str:
    """Return a URL that may be fetched: `https`, or on this host `http`.

    Raises `MalformedError`.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.username or parts.password or parts.fragment:
        raise MalformedError(f"{what}: {url[:200]!r} is no address like https://idp.example.org")
    if parts.scheme != "https" and not (parts.scheme == "http" and host in _LOOPBACK):
        raise MalformedError(f"{what}: {url[:200]!r} is not https")
    return url


def fetch(url: str) -> bytes:
    """The bytes behind a URL: no redirects, no more than 1 MiB. Raises `UnavailableError`."""
    until = time.monotonic() + _WHOLE_SECONDS
    with urllib3.PoolManager(num_pools=1, retries=False, cert_reqs="CERT_REQUIRED") as pool:
        try:
            response = pool.request(
                "GET",
                url,
                headers={"Accept": "application/json", "Accept-Encoding": "identity"},
                redirect=False,
                preload_content=False,
                decode_content=False,
                timeout=_TIMEOUT,
            )
            if response.status != 200:
                raise UnavailableError(f"{url} answers {response.status}")
            data = b""
            while piece := response.read1(65_536):
                data += piece
                if len(data) > MAX_DOCUMENT or time.monotonic() > until:
                    raise UnavailableError(f"{url} sends too much, or too slowly")
            return data
        except HTTPError as error:
            raise UnavailableError(f"{url} cannot be read: {type(error).__name__}") from error


@dataclass(frozen=True, slots=True)
class _Known:
    keys: Mapping[str | None, tuple[PublicKey, ...]]
    """By key id; None for those without one."""
    at: float


class IssuerKeys:
    """The keys that one issuer signs tokens with."""

    def __init__(
        self, issuer: str, *, fetch: Fetch = fetch, ticks: Callable[[], float] = time.monotonic
    ) -> None:
        """Keys of `issuer`, none fetched yet. `ticks` are seconds that never fall.

        Raises `MalformedError` for an issuer that is no address.
        """
        self.issuer = check_url(issuer, what="the issuer")
        self._fetch = fetch
        self._ticks = ticks
        self._known: _Known | None = None
        self._tried: float | None = None
        self._trouble = ""
        self._lock = Lock()

    def named(self, key_id: str | None) -> tuple[PublicKey, ...]:
        """The keys of that id, or, for None, all; empty if the provider has no such.

        Raises `UnavailableError` where it cannot be asked.
        """
        known = self._known
        if known is None or not self._is_fresh(known) or not _found(known, key_id):
            known = self._renewed(key_id)
        return _found(known, key_id)

    def _renewed(self, key_id: str | None) -> _Known:
        """The keys after an attempt to fetch them, if it is time for one."""
        with self._lock:
            known, now = self._known, self._ticks()
            if known and self._is_fresh(known) and _found(known, key_id):
                return known  # another thread was first
            if self._tried is None or now - self._tried >= PAUSE_SECONDS:
                self._tried = now
                try:
                    known = self._known = _Known(self._read(), now)
                except (UnavailableError, MalformedError) as error:
                    self._trouble = str(error)
            if known is None or now - known.at > STALE_SECONDS:
                raise UnavailableError(
                    f"the identity provider {self.issuer} cannot be asked for its keys: "
                    f"{self._trouble}"
                )
            return known

    def _is_fresh(self, known: _Known) -> bool:
        return self._ticks() - known.at <= FRESH_SECONDS

    def _read(self) -> Mapping[str | None, tuple[PublicKey, ...]]:
        """Discovery, then the keys. Raises `UnavailableError`, `MalformedError`."""
        address = self.issuer.rstrip("/") + _WELL_KNOWN
        document = _object(self._fetch(address), address)
        if document.get("issuer") != self.issuer:
            # Discovery §4.3: else one provider could stand for another.
            raise MalformedError(f"{address} speaks for another issuer than {self.issuer}")
        where = document.get("jwks_uri")
        if not isinstance(where, str):
            raise MalformedError(f"{address} names no jwks_uri")
        check_url(where, what=f"jwks_uri of {address}")
        if urlsplit(where).scheme != "https" and urlsplit(self.issuer).scheme == "https":
            raise MalformedError(f"{address} names keys that are not behind https")
        listed = _object(self._fetch(where), where).get("keys")
        if not isinstance(listed, list) or len(listed) > MAX_KEYS:
            raise MalformedError(f"{where} lists no keys, or more than {MAX_KEYS}")
        found: dict[str | None, tuple[PublicKey, ...]] = {}
        for each in listed:
            key = _public_key(each)
            if key is not None:
                found[key.kid] = (*found.get(key.kid, ()), key)
        return found


def _found(known: _Known, key_id: str | None) -> tuple[PublicKey, ...]:
    if key_id is None:
        return tuple(key for keys in known.keys.values() for key in keys)
    return known.keys.get(key_id, ())


def _object(data: bytes, where: str) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise MalformedError(f"{where} is no JSON") from error
    if not isinstance(value, dict):
        raise MalformedError(f"{where} is no JSON object")
    return value


def _public_key(value: object) -> PublicKey | None:
    """A key that tokens may be signed with; None for what is of another use, or too weak.

    A provider may publish keys of sorts that are not known here: they are no fault, and no key.
    """
    if not isinstance(value, dict) or value.get("use", "sig") != "sig":
        return None
    operations, kid = value.get("key_ops"), value.get("kid")
    if operations is not None and (not isinstance(operations, list) or "verify" not in operations):
        return None
    if kid is not None and not isinstance(kid, str):
        return None
    public = {
        name: value[name] for name in ("kty", "kid", "alg", "crv", "x", "y", "n", "e")
        if isinstance(value.get(name), str)
    }  # fmt: skip
    # Never a symmetric one: whoever reads the published keys could sign with it.
    if public.get("kty") not in ("RSA", "EC", "OKP"):
        return None
    try:
        if public["kty"] == "RSA" and _bits(public["n"]) < MIN_RSA_BITS:
            return None
        key = import_key(public)
    except (JoseError, ValueError, KeyError, TypeError):
        return None
    return key if isinstance(key, (RSAKey, ECKey, OKPKey)) else None


def _bits(modulus: str) -> int:
    """The length of an RSA modulus in base64url (RFC 7518 §6.3.1)."""
    padded = modulus + "=" * (-len(modulus) % 4)
    return int.from_bytes(base64.urlsafe_b64decode(padded), "big").bit_length()
