"""Signed notes: published examples, and every way in which a key or a note may be bent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from flipping import flipped_bits
from hypothesis import given, settings
from hypothesis import strategies as st

from verify.digest import b64
from verify.errors import EvidenceError, MalformedError, SignatureError, UnsupportedError
from verify.note import (
    MAX_NOTE_SIZE,
    MAX_SIGNATURES,
    Note,
    SignatureLine,
    VerifierKey,
    check_name,
    check_signature,
    key_id,
    parse,
    sign,
)

VECTORS = Path(__file__).parents[1] / "vectors"
*EXAMPLES, BAD = json.loads((VECTORS / "note" / "signed_note_examples.json").read_bytes())
WITNESS_VKEY = (VECTORS / "generated" / "witness.vkey").read_text("ascii").strip()
GOOD_VKEYS = [each["vkey"] for each in EXAMPLES]
WYCHEPROOF = [
    (bytes.fromhex(group["publicKey"]["pk"]), test)
    for group in json.loads((VECTORS / "wycheproof" / "ed25519_test.json").read_bytes())[
        "testGroups"
    ]
    for test in group["tests"]
]

PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = PRIVATE.public_key().public_bytes_raw()
KEY = VerifierKey("log.example/a", PUBLIC)
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(32))
OTHER_KEY = VerifierKey("log.example/b", OTHER.public_key().public_bytes_raw())
TEXT = "one\ntwo\n"


def signed(text: str = TEXT) -> Note:
    return sign(text, KEY.name, KEY.public, PRIVATE.sign)


def is_utf_8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda each: each["source"])
def test_a_published_note_is_read_written_and_believed(example: dict[str, Any]) -> None:
    data = example["note"].encode()
    key = VerifierKey.parse(example["vkey"])
    note = parse(data)
    assert str(note).encode() == data
    check_signature(note, key)
    assert note.signatures[0].name == key.name
    assert note.signatures[0].key_id == key.key_id


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda each: each["source"])
def test_a_published_note_is_not_believed_under_another_key(example: dict[str, Any]) -> None:
    note = parse(example["note"].encode())
    good = VerifierKey.parse(example["vkey"])
    for key in (KEY, VerifierKey(good.name, KEY.public), VerifierKey(KEY.name, good.public)):
        with pytest.raises(SignatureError, match="no signature by"):
            check_signature(note, key)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda each: each["source"])
def test_a_flipped_bit_in_a_signed_note_is_refused(example: dict[str, Any]) -> None:
    data = example["note"].encode()
    key = VerifierKey.parse(example["vkey"])
    check_signature(parse(data), key)
    for changed in flipped_bits(data):
        with pytest.raises((MalformedError, SignatureError)):
            check_signature(parse(changed), key)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda each: each["source"])
def test_a_note_cut_short_is_refused(example: dict[str, Any]) -> None:
    data = example["note"].encode()
    for length in range(len(data)):
        with pytest.raises(MalformedError):
            parse(data[:length])


@pytest.mark.parametrize("vkey", GOOD_VKEYS)
def test_a_published_key_is_read_and_written(vkey: str) -> None:
    key = VerifierKey.parse(vkey)
    assert str(key) == vkey
    assert key.key_id == key_id(key.name, key.public)
    assert VerifierKey.parse(str(key)) == key


@pytest.mark.parametrize("vkey", BAD["bad_vkeys"])
def test_a_published_bad_key_is_refused(vkey: str) -> None:
    with pytest.raises((MalformedError, UnsupportedError)):
        VerifierKey.parse(vkey)


@pytest.mark.parametrize("vkey", GOOD_VKEYS)
def test_every_proper_substring_of_a_key_is_refused(vkey: str) -> None:
    spans = [(i, j) for i in range(len(vkey) + 1) for j in range(i, len(vkey) + 1)]
    for start, end in spans:
        if (start, end) != (0, len(vkey)):
            with pytest.raises((MalformedError, UnsupportedError)):
                VerifierKey.parse(vkey[start:end])


@pytest.mark.parametrize("vkey", GOOD_VKEYS)
def test_a_key_with_one_byte_raised_by_one_is_refused(vkey: str) -> None:
    for i, char in enumerate(vkey):
        with pytest.raises((MalformedError, UnsupportedError)):
            VerifierKey.parse(vkey[:i] + chr(ord(char) + 1) + vkey[i + 1 :])


@pytest.mark.parametrize("vkey", GOOD_VKEYS)
def test_a_key_with_its_id_in_capitals_or_with_added_text_is_refused(vkey: str) -> None:
    name, identifier, encoded = vkey.split("+", 2)
    for wrong in (
        f"{name}+{identifier.upper()}+{encoded}",
        f"{name}+0{identifier}+{encoded}",
        f"{name}+{identifier}+{encoded}\n",
        f" {vkey}",
        f"{vkey} ",
        f"{vkey}+",
        f"{vkey}====",
    ):
        assert wrong != vkey
        with pytest.raises(MalformedError):
            VerifierKey.parse(wrong)


def test_a_key_of_another_type_is_unsupported_though_its_id_is_true() -> None:
    with pytest.raises(UnsupportedError, match="0x04 is not Ed25519"):
        VerifierKey.parse(WITNESS_VKEY)


@pytest.mark.parametrize("length", [0, 1, 31, 33, 64])
def test_a_key_of_another_length_is_refused_though_its_id_is_true(length: int) -> None:
    vkey = str(VerifierKey("log.example/a", b"\x01" * length))
    with pytest.raises(MalformedError, match="an Ed25519 key is 32 bytes"):
        VerifierKey.parse(vkey)


@settings(deadline=None, max_examples=150)
@given(st.text(st.characters(), max_size=40) | st.from_regex(r"\w+\+[0-9a-f]{8}\+AQ\S*"))
def test_no_text_makes_key_parsing_fail_in_an_unforeseen_way(text: str) -> None:
    try:
        key = VerifierKey.parse(text)
    except EvidenceError:
        return
    assert str(key) == text


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a b",
        "a+b",
        "+",
        "a\n",
        "\ta",
        "a\u00a0b",
        "a\u0085b",
        "a\u2003b",
        "a\u2028b",
        "a\u3000b",
        "a\x00b",
        "a\x1bb",
        "a\ud800b",
        "\udcff",
    ],
    ids=ascii,
)
def test_a_name_that_may_not_name_a_key_is_refused_wherever_it_stands(name: str) -> None:
    with pytest.raises(MalformedError):
        check_name(name)
    with pytest.raises(MalformedError):
        VerifierKey.parse(f"{name}+00000000+{b64(bytes([1]) + PUBLIC)}")
    with pytest.raises(MalformedError):
        sign(TEXT, name, PUBLIC, PRIVATE.sign)
    with pytest.raises(MalformedError):
        parse(f"{TEXT}\n\u2014 {name} {b64(bytes(68))}\n".encode("utf-8", "surrogatepass"))


@pytest.mark.parametrize("name", ["a", "log.example/a-b_c", "\u00e9t\u00e9", "a=b", "\u2014"])
def test_a_name_that_may_name_a_key_is_carried_through(name: str) -> None:
    key = VerifierKey(name, PUBLIC)
    assert VerifierKey.parse(str(key)) == key
    note = parse(str(sign(TEXT, name, PUBLIC, PRIVATE.sign)).encode())
    check_signature(note, key)


@pytest.mark.parametrize("text", ["", "one", "one\ntwo", "one\n "])
def test_a_text_that_does_not_end_in_a_newline_is_not_signed(text: str) -> None:
    with pytest.raises(MalformedError, match="ends in a newline"):
        sign(text, KEY.name, KEY.public, PRIVATE.sign)


def test_the_text_ends_at_the_last_blank_line() -> None:
    text = "one\n\n\u2014 log.example/z AAAAAAA=\n\ntwo\n\n"
    note = parse(str(signed(text)).encode())
    assert note.text == text
    assert len(note.signatures) == 1
    check_signature(note, KEY)


TAIL = str(signed().signatures[0]).encode()
LINE = TAIL.rstrip(b"\n")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"\n\n",
        b"one\n",
        b"one\n\n",
        b"one\n\n\n",
        TAIL,
        b"\n" + TAIL,
        b"one\n" + TAIL,  # no blank line
        b"one\n\n" + LINE,  # no last newline
        b"one\n\n" + TAIL + b"\n",  # a blank line at the end
        b"one\n\n" + TAIL + b" \n",
        b"one\n\n" + LINE + "\u2028".encode() + TAIL,  # a line ends in a newline, nothing else
        b"one\n\n" + LINE + "\u0085".encode() + TAIL,
        b"one\n\n" + TAIL + b"trailing\n",
        b"one\r\n\n" + TAIL,
        b"one\n\n" + LINE + b"\r\n",
        b"on\x00e\n\n" + TAIL,
        b"on\te\n\n" + TAIL,
        b"on\x1fe\n\n" + TAIL,
        b"on\xffe\n\n" + TAIL,
        b"on\xed\xa0\x80e\n\n" + TAIL,
        b"one\n\n" + TAIL.replace("\u2014".encode(), b"-"),
        b"one\n\n" + TAIL.replace("\u2014".encode(), "\u2013".encode()),
        b"one\n\n" + TAIL.replace("\u2014 ".encode(), "\u2014".encode()),
        b"one\n\n" + TAIL.replace("\u2014 ".encode(), "\u2014  ".encode()),
        b"one\n\n " + TAIL,
        b"one\n\n" + LINE + b" \n",
        b"one\n\n" + LINE + b" AAAA\n",
        "one\n\n\u2014 name\n".encode(),
        "one\n\n\u2014 name \n".encode(),
        "one\n\n\u2014 name AAAAAA==\n".encode(),  # a key id without a signature
        "one\n\n\u2014 name AAAAAAB=\n".encode(),  # stray low bits
        "one\n\n\u2014 name AAAAAAA\n".encode(),  # no padding
        "one\n\n\u2014 name AA-_AAA=\n".encode(),
    ],
    ids=repr,
)
def test_bytes_that_are_no_note_are_refused(data: bytes) -> None:
    with pytest.raises(MalformedError):
        parse(data)


def test_a_note_has_at_most_a_hundred_signatures() -> None:
    line = SignatureLine("name", b"\x00" * 4, b"\x01")
    full = Note(TEXT, (line,) * MAX_SIGNATURES)
    assert parse(str(full).encode()) == full
    with pytest.raises(MalformedError, match="at most 100 signatures"):
        parse(str(Note(TEXT, (line,) * (MAX_SIGNATURES + 1))).encode())


def test_a_note_has_at_most_a_mebibyte() -> None:
    room = MAX_NOTE_SIZE - len(str(signed("\n")).encode())
    full = str(signed("x" * room + "\n")).encode()
    assert len(full) == MAX_NOTE_SIZE
    check_signature(parse(full), KEY)
    with pytest.raises(MalformedError, match="at most 1,048,576 bytes"):
        parse(b"x" + full)


TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.just("\n"), max_size=40)
NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"]), min_size=1, max_size=8)
LINES = st.builds(
    SignatureLine,
    NAMES.filter(lambda name: "+" not in name),
    st.binary(min_size=4, max_size=4),
    st.binary(min_size=1, max_size=80),
)


@settings(deadline=None, max_examples=150)
@given(TEXTS, st.lists(LINES, min_size=1, max_size=3))
def test_a_note_is_read_back_as_it_was_written(text: str, lines: list[SignatureLine]) -> None:
    note = Note(text + "\n", tuple(lines))
    assert parse(str(note).encode()) == note


@settings(deadline=None, max_examples=150)
@given(st.text(alphabet="ab\n\u2014 A=\x0b\u2028+", max_size=30), st.booleans())
def test_a_note_that_is_read_is_written_as_the_same_bytes(text: str, with_line: bool) -> None:
    data = (text + ("\n" + TAIL.decode() if with_line else "")).encode()
    try:
        note = parse(data)
    except MalformedError:
        return
    assert str(note).encode() == data


def test_lines_by_unknown_keys_are_ignored() -> None:
    (line,) = signed().signatures
    stranger = SignatureLine("stranger", b"\x01\x02\x03\x04", b"whatever")
    namesake = SignatureLine(KEY.name, b"\x01\x02\x03\x04", bytes(64))
    same_id = SignatureLine("stranger", KEY.key_id, bytes(64))
    for lines in ((stranger, line), (line, namesake), (same_id, namesake, line, stranger)):
        check_signature(parse(str(Note(TEXT, lines)).encode()), KEY)
    with pytest.raises(SignatureError, match="no signature by"):
        check_signature(Note(TEXT, (stranger, namesake, same_id)), KEY)


def test_each_of_two_signers_is_found_by_their_own_key() -> None:
    (first,) = signed().signatures
    (second,) = sign(TEXT, OTHER_KEY.name, OTHER_KEY.public, OTHER.sign).signatures
    note = parse(str(Note(TEXT, (first, second))).encode())
    check_signature(note, KEY)
    check_signature(note, OTHER_KEY)
    swapped = Note(
        TEXT,
        (
            SignatureLine(KEY.name, KEY.key_id, second.signature),
            SignatureLine(OTHER_KEY.name, OTHER_KEY.key_id, first.signature),
        ),
    )
    for key in (KEY, OTHER_KEY):
        with pytest.raises(SignatureError, match="does not verify"):
            check_signature(swapped, key)


def test_a_bad_line_of_a_known_key_condemns_the_note_beside_a_good_one() -> None:
    (good,) = signed().signatures
    (bad,) = signed("other\n").signatures
    check_signature(Note(TEXT, (good, good)), KEY)
    for lines in ((good, bad), (bad, good), (good, bad, good)):
        with pytest.raises(SignatureError, match="does not verify"):
            check_signature(Note(TEXT, lines), KEY)


@pytest.mark.parametrize("length", [1, 32, 63, 65, 128])
def test_a_signature_of_another_length_is_refused(length: int) -> None:
    (line,) = signed().signatures
    signature = (line.signature * 2)[:length]
    with pytest.raises(SignatureError, match="does not verify"):
        check_signature(Note(TEXT, (SignatureLine(KEY.name, KEY.key_id, signature),)), KEY)


def test_a_signature_covers_the_text_with_its_last_newline() -> None:
    note = signed()
    PRIVATE.public_key().verify(note.signatures[0].signature, b"one\ntwo\n")
    bare = PRIVATE.sign(b"one\ntwo")
    with pytest.raises(SignatureError):
        check_signature(Note(TEXT, (SignatureLine(KEY.name, KEY.key_id, bare),)), KEY)


@pytest.mark.parametrize(
    ("public", "test"),
    [(public, test) for public, test in WYCHEPROOF if is_utf_8(bytes.fromhex(test["msg"]))],
    ids=lambda each: str(each["tcId"]) if isinstance(each, dict) else "",
)
def test_a_wycheproof_signature_is_judged_as_published(public: bytes, test: dict[str, Any]) -> None:
    key = VerifierKey("wycheproof", public)
    line = SignatureLine(key.name, key.key_id, bytes.fromhex(test["sig"]))
    note = Note(bytes.fromhex(test["msg"]).decode("utf-8"), (line,))
    if test["result"] == "invalid":
        with pytest.raises(SignatureError, match="does not verify"):
            check_signature(note, key)
    elif test["result"] == "valid":
        check_signature(note, key)


def test_the_wycheproof_messages_that_no_note_can_carry_are_judged_as_published() -> None:
    """Not UTF-8, so no text: the primitive that `check_signature` calls is asked directly."""
    rest = [each for each in WYCHEPROOF if not is_utf_8(bytes.fromhex(each[1]["msg"]))]
    assert (len(WYCHEPROOF), len(rest)) == (151, 67)
    for public, test in rest:
        signature, message = bytes.fromhex(test["sig"]), bytes.fromhex(test["msg"])
        key = Ed25519PublicKey.from_public_bytes(public)
        if test["result"] == "valid":
            key.verify(signature, message)
        else:
            with pytest.raises(InvalidSignature):
                key.verify(signature, message)
