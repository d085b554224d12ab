"""Envelopes and their leaf: published signatures, one form of bytes, and a leaf that covers all."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)
from flipping import flipped_bits
from hypothesis import given, settings
from hypothesis import strategies as st

from verify import strictjson
from verify.digest import b64
from verify.envelope import (
    MAX_PAYLOAD,
    PAYLOAD_TYPE,
    Envelope,
    ManifestKey,
    check_envelope,
    leaf_hash_of,
    leaf_of,
    pae,
    parse_envelope,
)
from verify.errors import MalformedError, SignatureError
from verify.merkle import leaf_hash

VECTORS = Path(__file__).parents[1] / "vectors"
DSSE = json.loads((VECTORS / "dsse" / "dsse_v1_vector.json").read_bytes())
WYCHEPROOF = [
    (bytes.fromhex(group["publicKeyDer"]), test)
    for group in json.loads(
        (VECTORS / "wycheproof" / "ecdsa_secp256r1_sha256_test.json").read_bytes()
    )["testGroups"]
    for test in group["tests"]
]
GENERATED = json.loads((VECTORS / "generated" / "envelope.dsse.json").read_bytes())
LEAF = (VECTORS / "generated" / "leaf.json").read_bytes()

# The order of P-256: (r, s) and (r, ORDER - s) verify alike.
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def spki_of(public: Any, point: PublicFormat = PublicFormat.SubjectPublicKeyInfo) -> bytes:
    return public.public_bytes(Encoding.DER, point)


MANIFEST_PUB = (VECTORS / "generated" / "manifest.pub").read_bytes()
SPKI = spki_of(load_pem_public_key(MANIFEST_PUB))
KEY = ManifestKey(SPKI)
(_SIGNATURE,) = GENERATED["signatures"]
ENVELOPE = Envelope(
    base64.b64decode(GENERATED["payload"]),
    _SIGNATURE["keyid"],
    base64.b64decode(_SIGNATURE["sig"]),
)
BYTES = ENVELOPE.encode()

PRIVATE = ec.derive_private_key(7, ec.SECP256R1())
OWN = ManifestKey(spki_of(PRIVATE.public_key()))


def seal(payload: bytes, key_id: str = OWN.key_id) -> Envelope:
    return Envelope(payload, key_id, PRIVATE.sign(pae(payload), ec.ECDSA(hashes.SHA256())))


# --- Pre-authentication encoding ----------------------------------------------------------------


def test_the_published_encoding_is_reproduced() -> None:
    encoded = pae(DSSE["payload_utf8"].encode(), DSSE["payloadType"])
    assert encoded == DSSE["pae_utf8"].encode()


def test_lengths_count_bytes_and_our_own_type_is_the_default() -> None:
    assert pae("\u00e9".encode(), "t\u00e9") == b"DSSEv1 3 t\xc3\xa9 2 \xc3\xa9"
    assert pae(b"") == b"DSSEv1 28 application/vnd.in-toto+json 0 "
    assert (
        pae(b"{}") == pae(b"{}", PAYLOAD_TYPE) == b"DSSEv1 28 " + PAYLOAD_TYPE.encode() + b" 2 {}"
    )


def published_key() -> ManifestKey:
    point = ec.EllipticCurvePublicNumbers(
        int(DSSE["key"]["x"]), int(DSSE["key"]["y"]), ec.SECP256R1()
    )
    return ManifestKey(spki_of(point.public_key()))


def test_the_published_signature_verifies_over_the_encoding() -> None:
    raw = base64.b64decode(DSSE["envelope"]["signatures"][0]["sig"])
    assert len(raw) == 64
    der = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    message = pae(DSSE["payload_utf8"].encode(), DSSE["payloadType"])
    published_key().check(der, message)
    with pytest.raises(SignatureError):
        published_key().check(raw, message)  # r || s is another encoding, and refused
    with pytest.raises(SignatureError):
        published_key().check(der, DSSE["payload_utf8"].encode())
    with pytest.raises(SignatureError):
        KEY.check(der, message)


def test_an_envelope_of_another_payload_type_is_refused() -> None:
    with pytest.raises(MalformedError, match="not a canonical DSSE envelope"):
        parse_envelope(strictjson.dumps(DSSE["envelope"]), where="vector")


# --- The generated envelope and its leaf --------------------------------------------------------


def test_the_generated_envelope_is_reproduced_byte_for_byte() -> None:
    assert strictjson.dumps(GENERATED) == BYTES
    assert parse_envelope(BYTES, where="here") == ENVELOPE
    assert check_envelope(ENVELOPE, [KEY]) is KEY


def test_the_generated_leaf_is_reproduced_byte_for_byte() -> None:
    assert leaf_of(ENVELOPE, SPKI) == LEAF
    assert leaf_hash_of(ENVELOPE, SPKI) == leaf_hash(LEAF)
    assert strictjson.dumps(strictjson.loads(LEAF, where="leaf")) == LEAF


def test_a_flipped_bit_in_an_envelope_is_refused() -> None:
    check_envelope(parse_envelope(BYTES, where="here"), [KEY])
    for changed in flipped_bits(BYTES):
        with pytest.raises((MalformedError, SignatureError)):
            check_envelope(parse_envelope(changed, where="here"), [KEY])


def test_a_flipped_bit_that_is_read_changes_the_leaf_or_the_key_id() -> None:
    """What the signature check would catch, the log would also show."""
    original = leaf_hash_of(ENVELOPE, SPKI)
    read = 0
    for changed in flipped_bits(BYTES):
        try:
            envelope = parse_envelope(changed, where="here")
        except MalformedError:
            continue
        read += 1
        if envelope.key_id == ENVELOPE.key_id:
            assert leaf_hash_of(envelope, SPKI) != original
    assert read > 1000


def test_a_malleated_signature_still_verifies_and_changes_the_leaf() -> None:
    r, s = decode_dss_signature(ENVELOPE.signature)
    mirrored = Envelope(ENVELOPE.payload, ENVELOPE.key_id, encode_dss_signature(r, ORDER - s))
    assert check_envelope(mirrored, [KEY]) is KEY
    assert mirrored.encode() != BYTES
    assert leaf_hash_of(mirrored, SPKI) != leaf_hash_of(ENVELOPE, SPKI)


def test_the_leaf_covers_payload_signature_and_key() -> None:
    changed = [
        leaf_hash_of(Envelope(ENVELOPE.payload + b" ", KEY.key_id, ENVELOPE.signature), SPKI),
        leaf_hash_of(Envelope(ENVELOPE.payload, KEY.key_id, ENVELOPE.signature + b"\0"), SPKI),
        leaf_hash_of(ENVELOPE, OWN.spki),
    ]
    assert len({leaf_hash_of(ENVELOPE, SPKI), *changed}) == 4


def test_the_generated_key_id_is_the_digest_of_the_key() -> None:
    assert ENVELOPE.key_id == KEY.key_id
    assert KEY.spki == SPKI


# --- Canonical bytes ----------------------------------------------------------------------------


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=60), st.binary(max_size=40), st.binary(max_size=80))
def test_an_envelope_is_read_back_as_it_was_written(
    payload: bytes, key_id: bytes, signature: bytes
) -> None:
    envelope = Envelope(payload, b64(key_id), signature)
    data = envelope.encode()
    assert parse_envelope(data, where="here") == envelope
    assert parse_envelope(data, where="here").encode() == data
    assert data == strictjson.dumps(
        {
            "payload": b64(payload),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{"keyid": b64(key_id), "sig": b64(signature)}],
        }
    )


GOOD = (
    b'{"payload":"e30=","payloadType":"application/vnd.in-toto+json",'
    b'"signatures":[{"keyid":"a2V5","sig":"c2ln"}]}'
)
SIGNATURE = b'{"keyid":"a2V5","sig":"c2ln"}'


def test_the_table_of_refused_spellings_starts_from_a_good_one() -> None:
    assert parse_envelope(GOOD, where="here") == Envelope(b"{}", "a2V5", b"sig")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (GOOD, b""),
        (GOOD, b"{}"),
        (GOOD, b"[" + GOOD + b"]"),
        (GOOD, GOOD + b"\n"),
        (GOOD, GOOD + b" "),
        (GOOD, b" " + GOOD),
        (GOOD, b"\xef\xbb\xbf" + GOOD),
        (GOOD, GOOD + GOOD),
        (GOOD, GOOD[:-1]),
        (b'":', b'": '),
        (b"e30=", b"e30"),
        (b"e30=", b"e31="),  # stray low bits
        (b"e30=", b"e30=\\n"),
        (b"e30=", b"e3\\u0030="),
        (b"e30=", b"-_8="),
        (b"e30=", b"e30=e30="),
        (b"e30=", b"\xc3\xa9"),
        (b"c2ln", b"c2l"),
        (b"c2ln", b"c2lu=="),
        (b"a2V5", b"a2V5\\u0020"),
        (b"a2V5", b'","sig":"'),
        (b"in-toto+json", b"in-toto"),
        (b"in-toto+json", b"in-totoojson"),
        (b"application/", b"application\\/"),
        (b"vnd.", b"vndx"),
        (b'"payload":"e30=",', b""),
        (b'"payload":"e30=",', b'"payload":"e30=","payload":"e30=",'),
        (b'"keyid":"a2V5",', b""),
        (SIGNATURE, b""),
        (SIGNATURE, SIGNATURE + b"," + SIGNATURE),
        (SIGNATURE, b'{"sig":"c2ln","keyid":"a2V5"}'),
        (SIGNATURE, b'{"keyid":"a2V5","sig":"c2ln","cert":""}'),
        (b'"signatures"', b'"extra":1,"signatures"'),
        (b'"e30="', b"null"),
    ],
    ids=repr,
)
def test_another_spelling_of_an_envelope_is_refused(old: bytes, new: bytes) -> None:
    changed = GOOD.replace(old, new, 1)
    assert changed != GOOD
    with pytest.raises(MalformedError, match=r"\Asomewhere"):
        parse_envelope(changed, where="somewhere")


def test_an_envelope_over_the_size_limit_is_refused() -> None:
    with pytest.raises(MalformedError, match="over the limit"):
        parse_envelope(GOOD + b" " * (MAX_PAYLOAD * 3 // 2), where="here")


def test_the_largest_payload_fits_in_an_envelope() -> None:
    envelope = Envelope(bytes(MAX_PAYLOAD), OWN.key_id, bytes(72))
    assert parse_envelope(envelope.encode(), where="here") == envelope


# --- Whom an envelope is believed from ----------------------------------------------------------


def test_the_key_that_signed_is_found_among_many() -> None:
    envelope = seal(b"{}")
    assert check_envelope(envelope, [KEY, OWN]) is OWN
    assert check_envelope(envelope, iter([OWN, KEY])) is OWN
    for keys in ([], [KEY]):
        with pytest.raises(SignatureError, match="does not list"):
            check_envelope(envelope, keys)


def test_a_key_id_that_names_another_key_gains_no_belief() -> None:
    with pytest.raises(SignatureError, match="does not verify"):
        check_envelope(seal(b"{}", key_id=KEY.key_id), [OWN, KEY])
    for key_id in ("", "a2V5", OWN.key_id.lower()):
        with pytest.raises(SignatureError, match="does not list"):
            check_envelope(seal(b"{}", key_id=key_id), [OWN, KEY])


def test_a_signature_over_the_bare_payload_is_refused() -> None:
    bare = PRIVATE.sign(b"{}", ec.ECDSA(hashes.SHA256()))
    other_type = PRIVATE.sign(pae(b"{}", "text/plain"), ec.ECDSA(hashes.SHA256()))
    other_hash = PRIVATE.sign(pae(b"{}"), ec.ECDSA(hashes.SHA384()))
    for signature in (bare, other_type, other_hash, b"", b"0"):
        with pytest.raises(SignatureError, match="does not verify"):
            check_envelope(Envelope(b"{}", OWN.key_id, signature), [OWN])


@pytest.mark.parametrize(
    ("spki", "test"),
    WYCHEPROOF,
    ids=lambda each: str(each["tcId"]) if isinstance(each, dict) else "",
)
def test_a_wycheproof_signature_is_judged_as_published(spki: bytes, test: dict[str, Any]) -> None:
    key = ManifestKey(spki)
    signature, message = bytes.fromhex(test["sig"]), bytes.fromhex(test["msg"])
    if test["result"] == "invalid":
        with pytest.raises(SignatureError, match="does not verify"):
            key.check(signature, message)
    elif test["result"] == "valid":
        key.check(signature, message)


def test_the_wycheproof_table_is_whole() -> None:
    results = [test["result"] for _, test in WYCHEPROOF]
    assert (results.count("valid"), results.count("invalid"), len(results)) == (174, 310, 484)


# --- Manifest keys ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spki", "why"),
    [
        (b"", "is a DER SubjectPublicKeyInfo"),
        (b"\x30\x00", "is a DER SubjectPublicKeyInfo"),
        (MANIFEST_PUB, "is a DER SubjectPublicKeyInfo"),
        (SPKI[:-1], "is a DER SubjectPublicKeyInfo"),
        (SPKI + b"\x00", "is a DER SubjectPublicKeyInfo"),
        (SPKI[26:], "is a DER SubjectPublicKeyInfo"),  # the bare point
        (SPKI[:27] + bytes(64), "is a DER SubjectPublicKeyInfo"),  # a point off the curve
        (spki_of(ec.derive_private_key(7, ec.SECP384R1()).public_key()), "on P-256"),
        (spki_of(ec.derive_private_key(7, ec.SECP256K1()).public_key()), "on P-256"),
        (
            spki_of(ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key()),
            "on P-256",
        ),
        (spki_of(rsa.RSAPublicNumbers(65537, (1 << 2047) + 1).public_key()), "on P-256"),
    ],
    ids=lambda each: each if isinstance(each, str) else each[:12].hex(),
)
def test_a_key_that_is_no_p_256_key_in_der_is_refused(spki: bytes, why: str) -> None:
    with pytest.raises(MalformedError, match=why):
        ManifestKey(spki)


def test_a_compressed_point_is_refused_as_a_second_spelling_of_a_key() -> None:
    point = PRIVATE.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    compressed = bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200") + point
    with pytest.raises(MalformedError, match="uncompressed"):
        ManifestKey(compressed)


def test_a_flipped_bit_in_a_key_is_refused() -> None:
    """Every other point is off the curve; every other algorithm is not ours, or not known."""
    for changed in flipped_bits(SPKI):
        with pytest.raises(MalformedError):
            ManifestKey(changed)
