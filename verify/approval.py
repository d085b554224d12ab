"""A second person's yes, and what keeps people from giving it to themselves. No I/O.

An approval that a vault without accounts records is *attested*: the word of who asked, and an
exhibit that is said to show it. Nobody authenticated the second person. Where people sign in, the
vault authenticated both, and says how: *token* or *oidc*. Either is the vault's word.
FORMAT.md §4.7.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from verify.errors import MalformedError, UnsupportedError
from verify.statement import Actor
from verify.strictjson import Fields, Object

MAX_PERSON = 512
ATTESTED = "attested"
"""How a vault knows of an approval that it has only the word of who asked for, and an exhibit."""

TOKEN = "token"  # noqa: S105 — a word, no secret
OIDC = "oidc"
AUTHENTICATED = frozenset({TOKEN, OIDC})
"""How a vault knows who signed in to it: by a token of its own, or by an identity provider."""

_category = unicodedata.ucd_3_2_0.category


@dataclass(frozen=True, slots=True)
class Approval:
    """A second person's yes: who, and how the vault knew."""

    person: str
    authenticated: str
    """`attested`: by the word of who asked, and by the exhibit that is named beside it. `token` and
    `oidc`: the second person signed in to the vault, and said yes there."""

    @property
    def attested(self) -> bool:
        """Whether nobody authenticated the second person: then an exhibit has to show their yes."""
        return self.authenticated == ATTESTED

    @property
    def words(self) -> str:
        """How the vault knew: `attested`, or `authenticated by the vault: token`."""
        return known_by(self.authenticated)

    def to_json(self) -> Object:
        """The JSON object."""
        return {"authenticated": self.authenticated, "person": self.person}


def known_by(authenticated: str) -> str:
    """How a vault knew of an approval, in words for people."""
    if authenticated == ATTESTED:
        return ATTESTED
    return f"authenticated by the vault: {authenticated}"


def parse_approval(reader: Fields) -> Approval:
    """Read an approval strictly.

    Raises `MalformedError`, or `UnsupportedError` for one that was given in a way unknown here.
    """
    approval = Approval(words_of(reader, "person", limit=MAX_PERSON), reader.text("authenticated"))
    reader.done()
    if not approval.attested and approval.authenticated not in AUTHENTICATED:
        known = ", ".join((ATTESTED, *sorted(AUTHENTICATED)))
        raise UnsupportedError(f"{reader.where}: an approval is known here as {known}")
    return approval


def check_shown(approval: Approval, exhibits: Sequence[str], *, where: str) -> None:
    """An exhibit shows an approval that nobody authenticated. Raises `MalformedError`."""
    if approval.attested and not exhibits:
        raise MalformedError(f"{where}: an attested approval names the exhibit that shows it")


def words_of(reader: Fields, name: str, *, limit: int = 65_536) -> str:
    """A text that says something. Raises `MalformedError` for one of white space alone."""
    text = reader.text(name, limit=limit)
    if not text.strip():
        raise MalformedError(f"{reader.where}.{name}: says nothing")
    return text


def check_second_person(
    actor: Actor, approval: Approval, *, where: str, requester: str | None = None
) -> None:
    """Who approves is not who asks, in whatever spelling (FORMAT.md §4.7). Raises `MalformedError`.

    Who asks is the actor of the statement, and the requester that it names besides.

    Where the vault authenticated who approves, it authenticated who asks as well. It keeps people
    from approving for themselves. Against a vault that names people as it likes it proves nothing.
    """
    if not approval.attested and actor.authenticated not in AUTHENTICATED:
        raise MalformedError(
            f"{where}: {approval.person} is said to be authenticated, by a vault that did not "
            f"authenticate {actor.id}"
        )
    asking = {name_key(actor.id), name_key(actor.claimed or ""), name_key(requester or "")}
    approving = name_key(approval.person)
    if not approving:
        raise MalformedError(f"{where}: {approval.person!r} names nobody")
    if approving in asking:
        raise MalformedError(
            f"{where}: {approval.person} asks and approves; it takes a second person"
        )


def same_person(one: str, other: str) -> bool:
    """Whether two names are one, in whatever spelling."""
    return one == other or name_key(one) == name_key(other) != ""


def name_key(name: str) -> str:
    """What is left of a name without host, case, spaces, accents and signs: `Ada@lab` is `ada`."""
    return _letters(name.partition("@")[0]) or _letters(name)


def _letters(text: str) -> str:
    # What Unicode 3.2 did not assign stands as it is: no two Pythons must differ about a name.
    plain = "".join(
        each if _category(each) == "Cn" else unicodedata.normalize("NFKD", each).casefold()
        for each in text
    )
    return "".join(each for each in plain if _category(each)[0] in "LN" or _category(each) == "Cn")
