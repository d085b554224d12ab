"""Tokens: what a text must be to authenticate anyone, and who ever sees it."""

from __future__ import annotations

import base64
import copy
import json
import logging
import pickle
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.adapters.access import SqlAccessStore, access_file
from vault.errors import (
    ConflictError,
    NotFoundError,
    RefusedError,
    UnauthenticatedError,
    UnavailableError,
)
from vault.ports import IdentityKind, Token
from vault.tokens import Issued, Tokens
from verify.errors import EvidenceError, MalformedError

ADA = "ada@example.org"
START = datetime(2026, 3, 2, 9, 0, 30, tzinfo=UTC)
DAY = timedelta(days=1)


@dataclass
class Clock:
    now: datetime = START

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlAccessStore]:
    opened = access_file(tmp_path / "access.sqlite")
    yield opened
    opened.close()


@pytest.fixture
def tokens(store: SqlAccessStore, clock: Clock) -> Tokens:
    return Tokens(store=store, clock=clock)


# -- the text --------------------------------------------------------------------------------------


def test_a_token_has_the_form_that_scanners_look_for(tokens: Tokens) -> None:
    issued = tokens.issue(ADA)
    match = re.fullmatch(
        r"evt_([0-9a-hjkmnp-tv-z]{12})_([A-Za-z0-9_-]{43})", issued.secret.reveal()
    )
    assert match is not None
    assert match[1] == issued.token.id
    held = base64.urlsafe_b64decode(match[2] + "=")
    assert len(held) == 32
    assert zlib.crc32(match[1].encode() + held[:28]) == int.from_bytes(held[28:], "big")


def test_what_is_kept_is_a_digest(tokens: Tokens, tmp_path: Path) -> None:
    issued = tokens.issue(ADA)
    secret = issued.secret.reveal()[17:]
    assert issued.token.secret_sha256 == sha256(secret.encode()).hexdigest()
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert issued.token.secret_sha256.encode() in kept
    assert secret.encode() not in kept
    assert base64.urlsafe_b64decode(secret + "=")[:28] not in kept


def test_nothing_but_asking_for_it_shows_the_secret(
    tokens: Tokens, caplog: pytest.LogCaptureFixture
) -> None:
    issued = tokens.issue(ADA)
    secret = issued.secret.reveal()
    logging.getLogger("test").warning("%s %r %s", issued, issued.secret, {"token": issued})
    shown = [repr(issued), str(issued), f"{issued.secret}", f"{[issued.secret]}", caplog.text]
    assert not any(secret[-43:] in each for each in shown)
    with pytest.raises(TypeError):
        pickle.dumps(issued.secret)
    with pytest.raises(TypeError):
        json.dumps(issued.secret)
    with pytest.raises(TypeError):
        copy.deepcopy(issued)


def test_no_two_tokens_are_alike(tokens: Tokens) -> None:
    made = [tokens.issue(ADA) for _ in range(50)]
    assert len({each.token.id for each in made}) == 50
    assert len({each.secret.reveal()[17:] for each in made}) == 50


def flipped(text: str, place: int) -> str:
    return text[:place] + ("A" if text[place] != "A" else "B") + text[place + 1 :]


def test_every_slip_is_caught_before_anything_is_looked_up(
    tokens: Tokens, store: SqlAccessStore
) -> None:
    """By the checksum; so it must not need the database."""
    text = tokens.issue(ADA).secret.reveal()
    blind = Tokens(store=Unreachable(), clock=Clock())
    wrong = [flipped(text, place) for place in range(len(text))]
    wrong += [text[:-1], f"{text}A", f" {text}", f"{text}\n", text[4:], text.upper(), "", "evt_"]
    wrong += [text.replace("evt_", "evt-"), f"{text[:16]}__{text[18:]}", "e" * 100_000, "ü" * 60]
    for each in wrong:
        with pytest.raises(UnauthenticatedError, match="this is no token"):
            blind.check(each)
    with pytest.raises(UnavailableError):
        blind.check(text)
    assert tokens.check(text).identity == ADA


class Unreachable(SqlAccessStore):
    """A database that is away."""

    def __init__(self) -> None:
        pass

    def token(self, token_id: str) -> Token | None:
        raise UnavailableError("away")


@given(st.text() | st.from_regex(r"evt_[0-9a-z]{12}_[A-Za-z0-9_-]{43}", fullmatch=True))
def test_any_text_is_no_token(text: str) -> None:
    with pytest.raises(UnauthenticatedError):
        Tokens(store=Unreachable(), clock=Clock()).check(text)


def made_up(token_id: str, random: bytes) -> str:
    """A token with a right checksum, as anyone can make it."""
    tail = zlib.crc32(token_id.encode() + random).to_bytes(4, "big")
    return f"evt_{token_id}_{base64.urlsafe_b64encode(random + tail).decode().rstrip('=')}"


def test_a_made_up_secret_and_a_made_up_id_are_refused_alike(tokens: Tokens) -> None:
    known = tokens.issue(ADA).token.id
    said = set()
    for each in (made_up(known, b"x" * 28), made_up("000000000000", b"x" * 28)):
        with pytest.raises(UnauthenticatedError) as caught:
            tokens.check(each)
        said.add(str(caught.value))
    assert said == {"this token is not valid; ask for another: evault token add"}


def test_one_tokens_secret_is_no_other_ones(tokens: Tokens) -> None:
    one, other = tokens.issue(ADA), tokens.issue("grace@example.org")
    mixed = f"evt_{other.token.id}_{one.secret.reveal()[17:]}"
    with pytest.raises(UnauthenticatedError):
        tokens.check(mixed)


# -- whom, where, how long -------------------------------------------------------------------------


def test_a_token_is_valid_from_now_until_its_end(tokens: Tokens, clock: Clock) -> None:
    issued = tokens.issue(ADA, expires=START + DAY)
    text = issued.secret.reveal()
    clock.now = START + DAY - timedelta(milliseconds=1)
    assert tokens.check(text).id == issued.token.id
    clock.now = START + DAY
    with pytest.raises(UnauthenticatedError, match=r"expired 2026-03-03T09:00:30Z"):
        tokens.check(text)


@pytest.mark.parametrize("expires", [START, START - DAY, START + timedelta(days=366, seconds=1)])
def test_an_end_is_to_come_and_within_a_year(tokens: Tokens, expires: datetime) -> None:
    with pytest.raises(RefusedError):
        tokens.issue(ADA, expires=expires)
    assert tokens.list() == []


def test_without_an_end_a_token_lives_for_ninety_days(tokens: Tokens) -> None:
    assert tokens.issue(ADA).token.expires == START + 90 * DAY


def test_a_revoked_token_is_refused_at_once_and_for_good(tokens: Tokens, clock: Clock) -> None:
    issued = tokens.issue(ADA)
    clock.now = START + DAY
    assert tokens.revoke(issued.token.id).revoked == START + DAY
    for moment in (START + DAY, START):  # the clock may fall
        clock.now = moment
        with pytest.raises(UnauthenticatedError, match="was revoked"):
            tokens.check(issued.secret.reveal())
    clock.now = START + 2 * DAY
    assert tokens.revoke(issued.token.id).revoked == START + DAY


@pytest.mark.parametrize(
    ("identity", "kind", "chains"),
    [
        ("", IdentityKind.PERSON, ()),
        ("  ", IdentityKind.PERSON, ()),
        (" ada", IdentityKind.PERSON, ()),
        ("ada\n", IdentityKind.PERSON, ()),
        ("x" * 513, IdentityKind.PERSON, ()),
        ("agent:mailer", IdentityKind.PERSON, ()),
        ("collector:edge-1", IdentityKind.PERSON, ()),
        (ADA, IdentityKind.PERSON, ("INC-1",)),
        (ADA, IdentityKind.PERSON, ("*",)),
        (ADA, IdentityKind.PERSON, tuple(f"stream:s{n}" for n in range(101))),
        ("collector:edge-1", IdentityKind.COLLECTOR, ()),
        ("edge-1", IdentityKind.COLLECTOR, ("stream:x",)),
        ("collector:", IdentityKind.COLLECTOR, ("stream:x",)),
        ("collector:Edge 1", IdentityKind.COLLECTOR, ("stream:x",)),
        ("collector:edge-1", IdentityKind.COLLECTOR, ("vault",)),
        (ADA, IdentityKind.COLLECTOR, ("stream:x",)),
    ],
)
def test_whom_no_token_is_made_for(
    tokens: Tokens, identity: str, kind: IdentityKind, chains: tuple[str, ...]
) -> None:
    with pytest.raises(MalformedError):
        tokens.issue(identity, kind=kind, chains=chains)
    assert tokens.list() == []


def test_a_collectors_token_names_its_chains(tokens: Tokens) -> None:
    issued = tokens.issue(
        "collector:edge-1", kind=IdentityKind.COLLECTOR, chains=["stream:x", "INC-2026-0001"] * 2
    )
    found = tokens.check(issued.secret.reveal())
    assert (found.kind, found.chains) == ("collector", ("stream:x", "INC-2026-0001"))


def test_the_last_use_is_noted_by_the_minute(tokens: Tokens, clock: Clock) -> None:
    issued = tokens.issue(ADA)
    assert tokens.get(issued.token.id).last_used is None
    for seconds, minute in ((0, 0), (29, 0), (30, 1), (0, 1)):
        clock.now = START + timedelta(seconds=seconds)
        tokens.check(issued.secret.reveal())
        assert tokens.get(issued.token.id).last_used == datetime(2026, 3, 2, 9, minute, tzinfo=UTC)


class NotesNothing(SqlAccessStore):
    """A database that can be read, and not be written."""

    def use_token(self, token_id: str, minute: datetime) -> None:
        raise UnavailableError("the disk is full")


def test_who_may_sign_in_does_not_hang_on_a_note(tokens: Tokens, tmp_path: Path) -> None:
    issued = tokens.issue(ADA)
    full = access_file(tmp_path / "access.sqlite")
    full.__class__ = NotesNothing
    assert Tokens(store=full, clock=Clock()).check(issued.secret.reveal()).identity == ADA
    full.close()


# -- rotation --------------------------------------------------------------------------------------


def check(tokens: Tokens, issued: Issued) -> bool:
    try:
        return tokens.check(issued.secret.reveal()).id == issued.token.id
    except UnauthenticatedError:
        return False


def test_after_a_rotation_both_are_valid_for_the_overlap(tokens: Tokens, clock: Clock) -> None:
    old = tokens.issue(ADA, chains=["INC-2026-0001"], name="laptop", expires=START + 9 * DAY)
    clock.now = START + DAY
    new, left = tokens.rotate(old.token.id, overlap=timedelta(hours=2))
    assert (new.token.identity, new.token.chains, new.token.name) == (
        ADA, ("INC-2026-0001",), "laptop"
    )  # fmt: skip
    assert new.token.id != old.token.id
    assert new.token.expires == START + 91 * DAY
    assert left.expires == START + DAY + timedelta(hours=2)
    seen = []
    for hours in (0, 1.999, 2):
        clock.now = START + DAY + timedelta(hours=hours)
        seen.append((check(tokens, old), check(tokens, new)))
    assert seen == [(True, True), (True, True), (False, True)]


def test_an_overlap_never_prolongs(tokens: Tokens) -> None:
    old = tokens.issue(ADA, expires=START + timedelta(hours=1))
    _, left = tokens.rotate(old.token.id, overlap=DAY)
    assert left.expires == START + timedelta(hours=1)


def test_without_overlap_the_old_one_ends_at_once(tokens: Tokens) -> None:
    old = tokens.issue(ADA)
    new, left = tokens.rotate(old.token.id, overlap=timedelta(0))
    assert left.revoked == START
    assert (check(tokens, old), check(tokens, new)) == (False, True)


def test_what_is_not_valid_is_not_rotated(tokens: Tokens, clock: Clock) -> None:
    revoked, expired = tokens.issue(ADA), tokens.issue(ADA, expires=START + DAY)
    tokens.revoke(revoked.token.id)
    clock.now = START + DAY
    for each in (revoked, expired):
        with pytest.raises(RefusedError, match="not valid any more"):
            tokens.rotate(each.token.id)
    with pytest.raises(RefusedError):
        tokens.rotate(tokens.issue(ADA).token.id, overlap=timedelta(seconds=-1))
    assert len(tokens.list()) == 3


def test_all_tokens_of_one_identity_are_revoked_together(tokens: Tokens) -> None:
    mine = [tokens.issue(ADA), tokens.issue(ADA)]
    other = tokens.issue("grace@example.org")
    tokens.revoke(mine[0].token.id)
    assert [each.id for each in tokens.revoke_all(ADA)] == [mine[1].token.id]
    assert [check(tokens, each) for each in (*mine, other)] == [False, False, True]


def test_a_token_that_is_not_there_is_not_repeated(tokens: Tokens) -> None:
    """What was given may be the secret of another."""
    for text in ("evt_secret-of-mine", "000000000000", made_up("000000000000", b"y" * 28)):
        with pytest.raises(NotFoundError) as caught:
            tokens.revoke(text)
        assert text not in str(caught.value)
    issued = tokens.issue(ADA)
    assert tokens.get(issued.secret.reveal()).id == issued.token.id


class Crowded(SqlAccessStore):
    """Every id is taken."""

    def __init__(self) -> None:
        pass

    def add_token(self, token: Token) -> None:
        raise ConflictError("taken")


def test_a_token_that_is_not_kept_is_not_shown() -> None:
    with pytest.raises(EvidenceError):
        Tokens(store=Crowded(), clock=Clock()).issue(ADA)


def test_a_kept_token_that_was_tampered_with_does_not_open(
    tokens: Tokens, store: SqlAccessStore, tmp_path: Path
) -> None:
    issued = tokens.issue(ADA)
    other = access_file(tmp_path / "other.sqlite")
    other.add_token(replace(issued.token, secret_sha256=""))
    with pytest.raises(UnauthenticatedError):
        Tokens(store=other, clock=Clock()).check(issued.secret.reveal())
    other.close()
