"""Wiring of a vault that is served elsewhere: the same commands, through its API."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import cast

from cli.config import HomeConfig
from cli.settings import ServerSettings, Settings, version
from cli.vault import Vault, now
from ingest.entry import Entry
from vault.deposit import Receipt
from vault.enrolment import Enrolled
from vault.errors import NotFoundError, UnavailableError
from vault.http.client.audited import RemoteRecord
from vault.http.client.captures import RemoteCaptures
from vault.http.client.connection import Connection, Server, check_server
from vault.http.client.opened import connected
from vault.http.client.protection import RemoteCollectors
from vault.http.client.record import RemoteIndex, RemoteLog
from vault.http.client.requests import RemoteRequests
from vault.http.client.tokens import RemoteTokens
from vault.http.client.trust import check_before_token, given_trust, pinned_trust
from vault.http.frames import (
    MAGIC,
    Digested,
    FrameKind,
    Head,
    content_frames,
    framed,
    item_frame,
    missed_frame,
)
from vault.record import StoreRecord
from verify.envelope import ManifestKey
from verify.errors import MalformedError
from verify.strictjson import Fields, Object
from verify.trust import Trust

_TOKEN_FILE_LIMIT = 1 << 16


def open_remote(settings: Settings) -> Vault:
    """The vault that a server serves, as commands use it.

    Raises `UnavailableError` where it is out of reach, and what the server says.
    """
    connection = _connect(settings)
    try:
        try:
            trust = _trust_of(settings, connection)
            served = connected(connection, trust, clock=now)
        except NotFoundError as error:  # what is asked for first, every vault has
            raise MalformedError(
                f"EVAULT_URL {connection.server.url} is not where the server's root is; name it "
                "without more of a path, like https://vault.example.org"
            ) from error
        parts = {each.name: getattr(served.vault, each.name) for each in fields(served.vault)}
        config = HomeConfig(trust.origin, served=served.words)
        return ServedVault(
            **parts,
            home=settings.home,
            config=config,
            appends_only=served.who.kind == "collector",
            signed_in=served.who.id,
        )
    except BaseException:
        connection.close()
        raise


@dataclass(frozen=True, slots=True)
class ServedVault(Vault):
    """A vault that is served elsewhere."""

    @property
    def requests(self) -> RemoteRequests:
        """What its people ask for, and approve."""
        return RemoteRequests(self.connection)

    @property
    def tokens(self) -> RemoteTokens:
        """Those of who signed in."""
        assert self.signed_in is not None
        return RemoteTokens(self.connection, self.signed_in)

    @property
    def connection(self) -> Connection:
        """The connection by which it is asked."""
        index = cast("object", self.index)
        assert isinstance(index, RemoteIndex)
        return index.connection

    def record(self, chain: str, depth: str | None = None) -> StoreRecord:
        """A chain as the server gives it, to be audited here."""
        index, log = cast("object", self.index), cast("object", self.log)
        assert isinstance(index, RemoteIndex)
        assert isinstance(log, RemoteLog)
        return RemoteRecord(
            connection=index.connection,
            index=index,
            log=log,
            incidents=self.incidents,
            chain=chain,
            depth=depth or ("checksums" if self.store.traits.checksums else "bytes"),
        )


def enrol_there(
    vault: Vault, name: str, key: ManifestKey, chains: Sequence[str], expires: datetime | None
) -> Enrolled:
    """Have a server let a collector in."""
    assert isinstance(vault.collectors, RemoteCollectors)
    return vault.collectors.enrol(name, key, chains, expires)


def check_taken_there(vault: Vault, chain: str, key_id: str) -> None:
    """Raise what a server would refuse a collection by, before anything is spooled for it."""
    assert isinstance(vault.captures, RemoteCaptures)
    vault.captures.check_taken(chain, key_id)


def who_signed_in(vault: Vault) -> Object:
    """Who a server takes whoever signed in for, and what they hold there.

    Raises `MalformedError` for an answer that does not tell it.
    """
    assert isinstance(vault, ServedVault)
    where = "/v1/whoami"
    reader = Fields(vault.connection.get_json(where), where)
    grants: list[Object] = []
    for entry in reader.entries("grants"):
        each = Fields(entry, f"{where}.grants")
        grants.append(
            {
                "chains": each.texts("chains"),
                "from": each.text("from"),
                "role": each.text("role"),
                "to": each.text_or_none("to"),
            }
        )
    return {
        "authenticated": reader.text("authenticated"),
        "chains": None if reader.raw("chains") is None else reader.texts("chains"),
        "expires": reader.text_or_none("expires"),
        "grants": grants,
        "id": reader.text("id"),
        "kind": reader.text("kind"),
        "token": reader.text_or_none("token"),
    }


def _trust_of(settings: Settings, connection: Connection) -> Trust:
    """Whom to believe: the file that was named, else the server's, pinned at first use."""
    assert settings.server is not None
    if settings.server.trust is not None:
        trust = given_trust(settings.server.trust)
        check_before_token(connection, trust)
        return trust
    return pinned_trust(connection, settings.home, lambda told: print(told, file=sys.stderr))


def trust_now(settings: Settings) -> Trust:
    """The trust file as the server shows it now, pinned without a word: what it adds was asked for.

    Raises what the server says, and `UnavailableError`.
    """
    assert settings.server is not None
    connection = _connect(settings)
    try:
        if settings.server.trust is not None:
            return given_trust(settings.server.trust)
        return pinned_trust(connection, settings.home, lambda _: None)
    finally:
        connection.close()


def _connect(settings: Settings) -> Connection:
    assert settings.server is not None
    return Connection(_server_of(settings.server), user_agent=f"evault/{version()}")


def _server_of(settings: ServerSettings) -> Server:
    """The server and its token. Raises `MalformedError`, `UnavailableError`."""
    token = settings.token
    if not token and settings.token_file is not None:
        try:
            with settings.token_file.open("rb") as file:
                token = file.read(_TOKEN_FILE_LIMIT).decode("utf-8", "replace").strip()
        except OSError as error:
            raise UnavailableError(
                f"cannot read EVAULT_TOKEN_FILE {settings.token_file}: {error.strerror}"
            ) from error
    return check_server(settings.url, token.strip(), insecure=settings.insecure)


class RemoteDestination:
    """Has a server seal what a spool delivers; satisfies `cli.delivery.SpoolDestination`."""

    def __init__(self, vault: Vault, *, progress: Callable[[int], None] = lambda _: None) -> None:
        assert isinstance(vault.captures, RemoteCaptures)
        self._captures = vault.captures
        self._progress = progress
        self.receipts: dict[int, list[Receipt]] = {}

    def deliver(self, entry: Entry) -> tuple[Object, ...]:
        """Send an entry as it was signed. Raises `SpoolDamagedError`, and what the server says."""
        chain = entry.collection.destination
        sending = self._captures.sending(chain)
        try:
            for frame in _frames(entry, self._progress):
                sending.put(frame)
            answer = sending.finish()
        except BaseException:
            sending.abort()
            raise
        receipts = self._captures.receipts(answer, chain)
        self.receipts[entry.number] = receipts
        return tuple(receipt.to_json() for receipt in receipts)


def _frames(entry: Entry, progress: Callable[[int], None]) -> Iterator[bytes]:
    collection = entry.collection
    head = Head(
        deposit=None,
        method=collection.method,
        source=collection.source,
        system=collection.system,
        collector=collection.collector,
        pack=True,
    )
    yield MAGIC + framed(FrameKind.HEAD, head.encode())
    yield framed(FrameKind.SIGNED, entry.data)
    for number, (item, description) in enumerate(entry.items()):
        digest = Digested()
        yield from content_frames(entry.content(number), item.size, digest)
        entry.check_content(number, digest.sha256)
        yield item_frame(digest, item.kinds, description.encode())
        progress(item.size)
    for missed in entry.missed():
        yield missed_frame(missed.name, missed.reason, missed.detail)
    yield framed(FrameKind.LIST)
