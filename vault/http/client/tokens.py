"""Tokens of one's own, through a server: it makes them, and shows each secret once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from vault.errors import RefusedError
from vault.http.client.connection import Connection, quoted
from vault.http.client.moments import moment, moment_or_none
from vault.ports import IdentityKind, Token
from vault.tokens import COLLECTOR, OVERLAP, Issued, Secret, id_of, is_id, no_such_token
from verify.errors import MalformedError
from verify.instant import format_instant
from verify.strictjson import Fields, Object

_PATH = "/v1/tokens"


class RemoteTokens:
    """The tokens that who signed in may see; as `vault.tokens.Tokens` gives them."""

    def __init__(self, connection: Connection, who: str) -> None:
        """`who` is the identity that signed in."""
        self._connection = connection
        self._who = who

    def issue(
        self,
        identity: str,
        *,
        kind: IdentityKind = IdentityKind.PERSON,
        chains: Sequence[str] = (),
        name: str = "",
        expires: datetime | None = None,
    ) -> Issued:
        """Have a token of one's own made. Raises `RefusedError` for anybody else's."""
        if kind == IdentityKind.COLLECTOR:
            raise RefusedError(
                "through a server a collector gets its token as it is let in: evault collector add "
                f"{identity.removeprefix(COLLECTOR)} --key FILE INCIDENT|STREAM. One that has no "
                "key, as for telemetry, gets it where the vault's home is"
            )
        if identity != self._who:
            raise RefusedError(
                f"through a server you make tokens of your own, {self._who}; one of {identity} is "
                "made where the vault's home is, for whoever makes it could act as them"
            )
        body: Object = {"chains": list(chains), "name": name}
        return read_issued(self._connection.post(_PATH, _ending(body, expires)), _PATH)

    def rotate(
        self, token_id: str, *, overlap: timedelta = OVERLAP, expires: datetime | None = None
    ) -> tuple[Issued, Token]:
        """Have a token made in the place of one of one's own."""
        body: Object = {"overlap_seconds": int(overlap.total_seconds())}
        path = f"{_path(token_id)}/rotation"
        answer = self._connection.post(path, _ending(body, expires))
        return read_issued(answer, path), read_token(answer.get("old"), path)

    def revoke(self, token_id: str) -> Token:
        """Have a token end, at once."""
        path = f"{_path(token_id)}/removal"
        # Twice is as once, so that it may be asked again.
        return read_token(self._connection.post(path, repeatable=True).get("token"), path)

    def revoke_all(self, identity: str) -> Sequence[Token]:
        """Nobody's tokens are ended all at once here. Raises `RefusedError`."""
        raise RefusedError(
            f"all tokens of {identity} are revoked where the vault's home is; through a server, "
            "one by one: evault token revoke ID"
        )

    def list(self, identity: str | None = None) -> Sequence[Token]:
        """Those that one may see, or of these one identity's, the oldest first."""
        items = Fields(self._connection.get_json(_PATH), _PATH).entries("items")
        found = [read_token(each, _PATH) for each in items]
        return [each for each in found if identity in (None, each.identity)]


def read_issued(answer: Object, where: str) -> Issued:
    """A token that was just made, and its secret."""
    return Issued(
        read_token(answer.get("token"), where), Secret(Fields(answer, where).text("secret"))
    )


def read_token(value: object, where: str) -> Token:
    """A token as a server tells it. Raises `MalformedError`."""
    reader = Fields(value, where)

    kind = reader.text("kind")
    if kind not in frozenset(IdentityKind):
        raise MalformedError(f"{where}: {kind!r} is no kind of identity")
    return Token(
        id=reader.text("id"),
        secret_sha256="",
        identity=reader.text("identity"),
        kind=IdentityKind(kind),
        chains=tuple(reader.texts("chains")),
        name=reader.text("name"),
        created=moment(reader, "created"),
        expires=moment(reader, "expires"),
        revoked=moment_or_none(reader, "revoked"),
        last_used=moment_or_none(reader, "last_used"),
    )


def _path(text: str) -> str:
    """Where a token is; the id alone, for a path stands in logs. Raises `NotFoundError`."""
    token_id = id_of(text)
    if not is_id(token_id):
        raise no_such_token()
    return f"{_PATH}/{quoted(token_id)}"


def _ending(body: Object, expires: datetime | None) -> Object:
    return body if expires is None else {**body, "expires": format_instant(expires)}
