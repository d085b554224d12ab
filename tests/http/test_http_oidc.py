"""OIDC bearer tokens: what a provider's token must be, and whose keys are believed."""

from __future__ import annotations

import base64
import contextlib
import gzip
import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils
from hypothesis import given, settings
from hypothesis import strategies as st

from vault.access import Identity
from vault.errors import UnauthenticatedError, UnavailableError
from vault.http.issuer_keys import MAX_DOCUMENT, IssuerKeys, check_url, fetch
from vault.http.oidc import Expected, Oidc
from verify.errors import MalformedError

ISSUER = "https://idp.example.org/realm"
DISCOVERY = f"{ISSUER}/.well-known/openid-configuration"
JWKS = "https://keys.example.org/jwks"
NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
AT = int(NOW.timestamp())
CLAIMS: dict[str, Any] = {
    "iss": ISSUER, "aud": "evault", "sub": "u-1", "exp": AT + 300, "iat": AT, "nbf": AT,
    "email": "ada@example.org", "email_verified": True,
}  # fmt: skip

RSA = rsa.generate_private_key(65_537, 2_048)
OTHER_RSA = rsa.generate_private_key(65_537, 2_048)
WEAK_RSA = rsa.generate_private_key(65_537, 1_024)
P256 = ec.generate_private_key(ec.SECP256R1())
P384 = ec.generate_private_key(ec.SECP384R1())
ED = ed25519.Ed25519PrivateKey.generate()


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def integer(value: int, size: int | None = None) -> str:
    return b64(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))


def jwk(key: Any, kid: str | None, **more: Any) -> dict[str, Any]:
    """A public key as a provider publishes it (RFC 7517, 7518 §6, 8037), by hand."""
    found: dict[str, Any] = {"kid": kid, "use": "sig", **more} if kid else dict(more)
    if isinstance(key, rsa.RSAPrivateKey):
        numbers = key.public_key().public_numbers()
        return {"kty": "RSA", "n": integer(numbers.n), "e": integer(numbers.e)} | found
    if isinstance(key, ec.EllipticCurvePrivateKey):
        point, size = key.public_key().public_numbers(), (key.key_size + 7) // 8
        curve = {256: "P-256", 384: "P-384"}[key.key_size]
        return {"kty": "EC", "crv": curve, "x": integer(point.x, size), "y": integer(point.y, size)
                } | found  # fmt: skip
    raw = key.public_key().public_bytes_raw()
    return {"kty": "OKP", "crv": "Ed25519", "x": b64(raw)} | found


def signed(key: Any, header: dict[str, Any], claims: object) -> str:
    """A compact JWS (RFC 7515, 7518 §3), by hand: the library under test has no part in it."""
    body = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    text = f"{b64(json.dumps(header).encode())}.{b64(body)}"
    data = text.encode()
    algorithm = header.get("alg")
    if algorithm == "none":
        return f"{text}."
    if isinstance(key, bytes):
        made = hmac.digest(key, data, hashlib.sha256)
    elif algorithm == "PS256":
        pss = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
        made = key.sign(data, pss, hashes.SHA256())
    elif isinstance(key, rsa.RSAPrivateKey):
        made = key.sign(data, padding.PKCS1v15(), hashes.SHA256())
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        r, s = utils.decode_dss_signature(key.sign(data, ec.ECDSA(hashes.SHA256())))
        size = (key.key_size + 7) // 8
        made = r.to_bytes(size, "big") + s.to_bytes(size, "big")
    else:
        made = key.sign(data)
    return f"{text}.{b64(made)}"


@dataclass
class Provider:
    """What a provider serves, and who asked for it."""

    keys: list[Any] = field(default_factory=lambda: [
        jwk(RSA, "r1"), jwk(P256, "e1"), jwk(ED, "d1"), jwk(P384, "e2"),
        jwk(WEAK_RSA, "weak"), jwk(OTHER_RSA, "enc", use="enc"), jwk(OTHER_RSA, "ps", alg="PS256"),
        {"kty": "oct", "k": b64(b"s" * 32), "kid": "h1", "use": "sig"},
        {"kty": "XYZ", "kid": "new"}, "no key at all", {"kty": "RSA", "kid": "broken", "n": "!"},
    ])  # fmt: skip
    discovery: dict[str, Any] = field(default_factory=lambda: {"issuer": ISSUER, "jwks_uri": JWKS})
    asked: list[str] = field(default_factory=list)
    down: bool = False
    ticks: float = 1_000.0

    def fetch(self, url: str) -> bytes:
        self.asked.append(url)
        if self.down:
            raise UnavailableError(f"{url} cannot be read")
        if url == DISCOVERY:
            return json.dumps(self.discovery).encode()
        assert url == JWKS, f"nobody may ask for {url}"
        return json.dumps({"keys": self.keys}).encode()

    def issuer_keys(self) -> IssuerKeys:
        return IssuerKeys(ISSUER, fetch=self.fetch, ticks=lambda: self.ticks)


@pytest.fixture
def provider() -> Provider:
    return Provider()


def oidc(provider: Provider, *, now: datetime = NOW, **changes: Any) -> Oidc:
    expected = replace(Expected(ISSUER, "evault"), **changes)
    return Oidc(expected, provider.issuer_keys(), clock=lambda: now)


def token(**changes: Any) -> str:
    claims = {name: value for name, value in {**CLAIMS, **changes}.items() if value is not ...}
    return signed(RSA, {"alg": "RS256", "kid": "r1", "typ": "JWT"}, claims)


# -- whom it names ---------------------------------------------------------------------------------


def test_a_token_of_the_provider_says_who_it_is(provider: Provider) -> None:
    assert oidc(provider).identify(token(), "10.0.0.7") == Identity(
        "ada@example.org", "person", "oidc", token=None, chains=None, address="10.0.0.7"
    )
    assert provider.asked == [DISCOVERY, JWKS]


@pytest.mark.parametrize(
    ("key", "algorithm", "kid"),
    [(RSA, "RS256", "r1"), (RSA, "PS256", "r1"), (P256, "ES256", "e1"), (ED, "EdDSA", "d1"),
     (OTHER_RSA, "PS256", "ps")],
)  # fmt: skip
def test_each_algorithm_that_is_configured_is_taken(
    provider: Provider, key: Any, algorithm: str, kid: str
) -> None:
    text = signed(key, {"alg": algorithm, "kid": kid}, CLAIMS)
    assert oidc(provider).identify(text, "").id == "ada@example.org"
    others = [each for each in ("RS256", "PS256", "ES256", "EdDSA") if each != algorithm]
    with pytest.raises(UnauthenticatedError, match="not taken here"):
        oidc(provider, algorithms=others).identify(text, "")


@pytest.mark.parametrize(
    ("changes", "claim", "identity"),
    [
        ({}, "email", "ada@example.org"),
        ({"email_verified": False}, "email", f"{ISSUER}#u-1"),
        ({"email_verified": ...}, "email", f"{ISSUER}#u-1"),
        ({"email_verified": "true"}, "email", f"{ISSUER}#u-1"),
        ({"email_verified": 1}, "email", f"{ISSUER}#u-1"),
        ({"email": ...}, "email", f"{ISSUER}#u-1"),
        ({"email": ["ada@example.org"]}, "email", f"{ISSUER}#u-1"),
        ({"email": "https://idp.example.org/realm#u-2"}, "email", f"{ISSUER}#u-1"),
        ({"email": f"{ISSUER}#x@y"}, "email", f"{ISSUER}#u-1"),
        ({"email": "ada@example.org\n"}, "email", f"{ISSUER}#u-1"),
        ({"email": "collector:edge@x"}, "email", f"{ISSUER}#u-1"),
        ({"preferred_username": "ada"}, "preferred_username", "ada"),
        ({"preferred_username": 7}, "preferred_username", f"{ISSUER}#u-1"),
        ({"preferred_username": " "}, "preferred_username", f"{ISSUER}#u-1"),
        ({}, "preferred_username", f"{ISSUER}#u-1"),
        ({}, "sub", "u-1"),
    ],
)
def test_who_somebody_is(
    provider: Provider, changes: dict[str, Any], claim: str, identity: str
) -> None:
    assert oidc(provider, claim=claim).identify(token(**changes), "").id == identity


@pytest.mark.parametrize("name", ["agent:mailer", "Agent:mailer", "collector:edge-1", "ada\x00",
                                  " ada", "x" * 600])  # fmt: skip
def test_a_name_that_is_no_persons_does_not_sign_in(provider: Provider, name: str) -> None:
    with pytest.raises(UnauthenticatedError):
        oidc(provider, claim="name").identify(token(name=name), "")


# -- what it claims --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://evil.example.org"}, {"iss": f"{ISSUER}/"}, {"iss": ...}, {"iss": [ISSUER]},
        {"aud": "other"}, {"aud": ...}, {"aud": []}, {"aud": ["a", "b"]}, {"aud": {"evault": 1}},
        {"aud": "evault2"}, {"aud": None}, {"aud": [["evault"]]},
        {"exp": ...}, {"exp": None}, {"exp": AT - 60}, {"exp": "9999999999"}, {"exp": True},
        {"exp": -1}, {"exp": 1e300}, {"exp": float("nan")}, {"exp": float("inf")},
        {"nbf": AT + 61}, {"nbf": "now"}, {"iat": AT + 61}, {"iat": []},
        {"sub": ...}, {"sub": ""}, {"sub": 7}, {"sub": "x" * 256},
    ],
)  # fmt: skip
def test_a_token_with_wrong_claims_is_refused(provider: Provider, changes: dict[str, Any]) -> None:
    with pytest.raises(UnauthenticatedError):
        oidc(provider).identify(token(**changes), "")


@pytest.mark.parametrize(
    "changes",
    [{"exp": AT - 59}, {"nbf": AT + 60, "iat": AT + 60}, {"nbf": ..., "iat": ...},
     {"aud": ["other", "evault"]}, {"exp": AT + 0.5}],
)  # fmt: skip
def test_clocks_may_differ_by_a_minute(provider: Provider, changes: dict[str, Any]) -> None:
    assert oidc(provider).identify(token(**changes), "").id == "ada@example.org"


def test_a_token_ends(provider: Provider) -> None:
    text = token()
    for late, valid in ((359, True), (360, False), (86_400, False)):
        known = oidc(provider, now=NOW + timedelta(seconds=late))
        if valid:
            known.identify(text, "")
        else:
            with pytest.raises(UnauthenticatedError, match="expired"):
                known.identify(text, "")


@pytest.mark.parametrize("body", [b"[]", b"null", b'"x"', b"{", b"\xff", b"", b"[" * 20_000])
def test_what_is_signed_and_claims_nothing_is_refused(provider: Provider, body: bytes) -> None:
    text = signed(RSA, {"alg": "RS256", "kid": "r1"}, body)
    with pytest.raises(UnauthenticatedError):
        oidc(provider).identify(text, "")


# -- who signed it ---------------------------------------------------------------------------------


def public_pem() -> bytes:
    return RSA.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


EVIL = "https://evil.example.org/jwks"
FORGERIES: dict[str, Callable[[], str]] = {
    "by nobody": lambda: signed(None, {"alg": "none", "kid": "r1"}, CLAIMS),
    "by nobody, in capitals": lambda: signed(None, {"alg": "none"}, CLAIMS) + "x",
    "with the public key as a secret": lambda: signed(
        public_pem(), {"alg": "HS256", "kid": "r1"}, CLAIMS
    ),
    "with a published secret": lambda: signed(b"s" * 32, {"alg": "HS256", "kid": "h1"}, CLAIMS),
    "by another key under a known name": lambda: signed(
        OTHER_RSA, {"alg": "RS256", "kid": "r1"}, CLAIMS
    ),
    "by a key that nobody knows": lambda: signed(OTHER_RSA, {"alg": "RS256", "kid": "x"}, CLAIMS),
    "by a key for encryption": lambda: signed(OTHER_RSA, {"alg": "RS256", "kid": "enc"}, CLAIMS),
    "by a key for another algorithm": lambda: signed(
        OTHER_RSA, {"alg": "RS256", "kid": "ps"}, CLAIMS
    ),
    "by a weak key": lambda: signed(WEAK_RSA, {"alg": "RS256", "kid": "weak"}, CLAIMS),
    "on another curve": lambda: signed(P384, {"alg": "ES256", "kid": "e2"}, CLAIMS),
    "by a key of another kind": lambda: signed(P256, {"alg": "RS256", "kid": "e1"}, CLAIMS),
    "by an algorithm nobody knows": lambda: signed(RSA, {"alg": "RS1", "kid": "r1"}, CLAIMS),
    "by no algorithm": lambda: signed(RSA, {"kid": "r1"}, CLAIMS),
    "by a list of algorithms": lambda: signed(RSA, {"alg": ["RS256"], "kid": "r1"}, CLAIMS),
    "with a key of its own": lambda: signed(
        OTHER_RSA, {"alg": "RS256", "jwk": jwk(OTHER_RSA, None)}, CLAIMS
    ),
    "with a key of its own under a known name": lambda: signed(
        OTHER_RSA, {"alg": "RS256", "kid": "r1", "jwk": jwk(OTHER_RSA, "r1")}, CLAIMS
    ),
    "with an address for its key": lambda: signed(
        OTHER_RSA, {"alg": "RS256", "kid": "y", "jku": EVIL, "x5u": EVIL}, CLAIMS
    ),
    "without naming its key, where several fit": lambda: signed(RSA, {"alg": "PS256"}, CLAIMS),
    "with a name that is none": lambda: signed(RSA, {"alg": "RS256", "kid": ["r1"]}, CLAIMS),
    "with critical extensions": lambda: signed(
        RSA, {"alg": "RS256", "kid": "r1", "crit": ["b64"], "b64": False}, CLAIMS
    ),
    "as a token for logging out": lambda: signed(
        RSA, {"alg": "RS256", "kid": "r1", "typ": "logout+jwt"}, CLAIMS
    ),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_token_is_refused_and_nobody_else_is_asked(provider: Provider, name: str) -> None:
    with pytest.raises(UnauthenticatedError):
        oidc(provider).identify(FORGERIES[name](), "")
    assert set(provider.asked) <= {DISCOVERY, JWKS}


def test_any_changed_character_is_refused(provider: Provider) -> None:
    text, known = token(), oidc(provider)
    assert known.identify(text, "")
    for place in range(0, len(text), 7):
        for other in ("A", "B", "."):
            changed = text[:place] + other + text[place + 1 :]
            if changed != text and not _same_bytes(changed, text):
                with pytest.raises(UnauthenticatedError):
                    known.identify(changed, "")


def _same_bytes(one: str, other: str) -> bool:
    """The last character of a part may have bits that mean nothing."""

    def parts(text: str) -> list[bytes]:
        return [base64.urlsafe_b64decode(each + "=" * (-len(each) % 4)) for each in text.split(".")]

    try:
        return parts(one) == parts(other)
    except ValueError:
        return False


@settings(max_examples=200)
@given(st.text() | st.from_regex(r"[\w-]{1,30}\.[\w-]{1,30}\.[\w-]{0,30}", fullmatch=True))
def test_any_text_is_no_token(text: str) -> None:
    provider = Provider()
    with pytest.raises(UnauthenticatedError):
        oidc(provider).identify(text, "")
    assert set(provider.asked) <= {DISCOVERY, JWKS}


def test_what_is_too_long_is_not_read(provider: Provider) -> None:
    for text in ("a" * 20_000, f"{token()}{'A' * 16_384}", token(padding="x" * 16_384)):
        with pytest.raises(UnauthenticatedError, match="no token"):
            oidc(provider).identify(text, "")
    assert provider.asked == []


def test_the_one_key_of_a_provider_need_not_be_named() -> None:
    provider = Provider(keys=[jwk(RSA, None)])
    assert oidc(provider).identify(signed(RSA, {"alg": "RS256"}, CLAIMS), "").id
    with pytest.raises(UnauthenticatedError):
        oidc(provider).identify(signed(OTHER_RSA, {"alg": "RS256"}, CLAIMS), "")
    twice = Provider(keys=[jwk(RSA, "same"), jwk(OTHER_RSA, "same")])
    with pytest.raises(UnauthenticatedError, match="no key of its issuer"):
        oidc(twice).identify(signed(RSA, {"alg": "RS256", "kid": "same"}, CLAIMS), "")


# -- the keys --------------------------------------------------------------------------------------


def test_keys_are_fetched_once_and_again_after_an_hour(provider: Provider) -> None:
    known = oidc(provider)
    for _ in range(5):
        known.identify(token(), "")
    assert len(provider.asked) == 2
    provider.keys = [jwk(OTHER_RSA, "r2")]
    provider.ticks += 3_600
    known.identify(token(), "")
    provider.ticks += 1
    with pytest.raises(UnauthenticatedError):
        known.identify(token(), "")
    assert len(provider.asked) == 4
    assert known.identify(signed(OTHER_RSA, {"alg": "RS256", "kid": "r2"}, CLAIMS), "").id


def test_an_unknown_key_is_looked_for_at_most_once_a_minute(provider: Provider) -> None:
    known = oidc(provider)
    known.identify(token(), "")
    provider.keys = [*provider.keys, jwk(OTHER_RSA, "r2")]
    new = signed(OTHER_RSA, {"alg": "RS256", "kid": "r2"}, CLAIMS)
    provider.ticks += 59
    for number in range(100):
        unknown = signed(OTHER_RSA, {"alg": "RS256", "kid": f"x{number}"}, CLAIMS)
        for text in (unknown, new):
            with pytest.raises(UnauthenticatedError):
                known.identify(text, "")
    assert len(provider.asked) == 2
    provider.ticks += 1
    assert known.identify(new, "").id == "ada@example.org"
    assert len(provider.asked) == 4
    with pytest.raises(UnauthenticatedError):
        known.identify(unknown, "")
    assert len(provider.asked) == 4


def test_while_the_provider_is_away_known_keys_hold_for_a_day(provider: Provider) -> None:
    known = oidc(provider)
    known.identify(token(), "")
    provider.down = True
    provider.ticks += 24 * 3_600
    assert known.identify(token(), "").id
    provider.ticks += 1
    with pytest.raises(UnavailableError, match=r"idp\.example\.org/realm cannot be asked"):
        known.identify(token(), "")
    provider.down = False
    provider.ticks += 60
    assert known.identify(token(), "").id


def test_a_provider_that_was_never_reached_lets_nobody_in(provider: Provider) -> None:
    provider.down = True
    known = oidc(provider)
    for _ in range(3):
        with pytest.raises(UnavailableError):
            known.identify(token(), "")
    assert len(provider.asked) == 1


@pytest.mark.parametrize(
    "discovery",
    [
        {"issuer": "https://evil.example.org", "jwks_uri": JWKS},
        {"issuer": f"{ISSUER}/", "jwks_uri": JWKS},
        {"jwks_uri": JWKS},
        {"issuer": ISSUER},
        {"issuer": ISSUER, "jwks_uri": 7},
        {"issuer": ISSUER, "jwks_uri": "http://keys.example.org/jwks"},
        {"issuer": ISSUER, "jwks_uri": "http://127.0.0.1:1/jwks"},
        {"issuer": ISSUER, "jwks_uri": "file:///etc/passwd"},
        {"issuer": ISSUER, "jwks_uri": "https://user:pw@keys.example.org/jwks"},
        {"issuer": ISSUER, "jwks_uri": "https://[::1"},
    ],
)
def test_a_discovery_that_does_not_fit_is_not_believed(
    provider: Provider, discovery: dict[str, Any]
) -> None:
    provider.discovery = discovery
    with pytest.raises(UnavailableError):
        oidc(provider).identify(token(), "")
    assert provider.asked == [DISCOVERY]


@pytest.mark.parametrize("served", [b"", b"[]", b"{", b"null", b'{"keys": {}}', b'{"keys": 1}',
                                    b'{"keys": [%s]}' % b",".join([b"{}"] * 101),
                                    b"[" * 100_000])  # fmt: skip
def test_what_is_no_key_set_is_not_believed(provider: Provider, served: bytes) -> None:
    keys = IssuerKeys(
        ISSUER,
        fetch=lambda url: served if url == JWKS else provider.fetch(url),
        ticks=lambda: provider.ticks,
    )
    with pytest.raises(UnavailableError):
        Oidc(Expected(ISSUER, "evault"), keys, clock=lambda: NOW).identify(token(), "")
    assert len(served) < MAX_DOCUMENT


# -- the configuration -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    ["http://idp.example.org", "ftp://idp.example.org", "idp.example.org", "https://", "",
     "https://u:p@idp.example.org", "https://idp.example.org/#x", "http://127.0.0.1.evil.org",
     "http://localhost.evil.org", "https://idp.example.org:x"],
)  # fmt: skip
def test_an_issuer_is_https_or_on_this_host(url: str) -> None:
    with pytest.raises(MalformedError):
        check_url(url, what="the issuer")
    with pytest.raises(MalformedError):
        Expected(url, "evault")


@pytest.mark.parametrize("url", ["https://idp.example.org/realms/x", "http://127.0.0.1:8080",
                                 "http://localhost:1/x", "http://[::1]:1"])  # fmt: skip
def test_addresses_that_may_be_fetched(url: str) -> None:
    assert check_url(url, what="the issuer") == url


@pytest.mark.parametrize(
    "changes",
    [{"algorithms": ["none"]}, {"algorithms": ["RS256", "HS256"]}, {"algorithms": []},
     {"algorithms": ["RS1"]}, {"audience": " "}, {"claim": ""}, {"claim": " email"}],
)  # fmt: skip
def test_a_configuration_that_would_let_anyone_in_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(MalformedError):
        replace(Expected(ISSUER, "evault"), **changes)


def test_the_keys_of_one_issuer_open_nothing_for_another(provider: Provider) -> None:
    with pytest.raises(MalformedError, match="another issuer"):
        Oidc(
            Expected("https://other.example.org", "evault"), provider.issuer_keys(),
            clock=lambda: NOW,
        )  # fmt: skip


# -- fetching --------------------------------------------------------------------------------------


class Serving(BaseHTTPRequestHandler):
    """A server that is asked for what a provider never serves."""

    def do_GET(self) -> None:
        status, body, more = ANSWERS[self.path]
        self.send_response(status)
        for name, value in more.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(OSError):  # the client has seen enough
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


ANSWERS: dict[str, tuple[int, bytes, dict[str, str]]] = {
    "/small": (200, b"{}", {}),
    "/limit": (200, b" " * MAX_DOCUMENT, {}),
    "/large": (200, b" " * (MAX_DOCUMENT + 1), {}),
    "/bomb": (200, gzip.compress(b" " * 50_000_000), {"Content-Encoding": "gzip"}),
    "/moved": (302, b"", {"Location": "/small"}),
    "/none": (404, b"{}", {}),
    "/fault": (500, b"{}", {}),
    "/created": (201, b"{}", {}),
}


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Serving) as listening:
        thread = Thread(target=listening.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.server_address[1]}"
        finally:
            listening.shutdown()
            thread.join()


def test_a_document_of_a_mebibyte_is_read_and_no_larger_one(server: str) -> None:
    assert fetch(f"{server}/small") == b"{}"
    assert len(fetch(f"{server}/limit")) == MAX_DOCUMENT
    with pytest.raises(UnavailableError, match="too much"):
        fetch(f"{server}/large")


def test_what_was_compressed_unasked_is_not_unpacked(server: str) -> None:
    assert len(fetch(f"{server}/bomb")) < MAX_DOCUMENT


@pytest.mark.parametrize("path", ["/moved", "/none", "/fault", "/created"])
def test_nothing_but_the_document_itself_is_an_answer(server: str, path: str) -> None:
    with pytest.raises(UnavailableError, match=f"answers {ANSWERS[path][0]}"):
        fetch(f"{server}{path}")


def test_where_nobody_listens_is_told_without_detail() -> None:
    with pytest.raises(UnavailableError, match=r"127\.0\.0\.1:9/x cannot be read"):
        fetch("http://127.0.0.1:9/x")
