"""The vault of the command line: one that is open, and the home that it was opened from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from cli.config import HomeConfig
from vault import opened
from vault.ports import Index, ObjectStore

if TYPE_CHECKING:
    from vault.http.client.requests import RemoteRequests
    from vault.http.client.tokens import RemoteTokens


def now() -> datetime:
    """The clock: the present moment in UTC, to the millisecond."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


@dataclass(frozen=True, slots=True)
class Vault(opened.Vault):
    """An opened vault, and the home that it was opened from."""

    home: Path
    config: HomeConfig
    appends_only: bool = False
    """Whether whoever opened it is a collector, to whom a server shows nothing."""

    signed_in: str | None = None
    """Who signed in to a server; None in a home, where nobody does."""

    @property
    def requests(self) -> RemoteRequests | None:
        """What takes two people who sign in to a server; None in a home."""
        return None

    @property
    def tokens(self) -> RemoteTokens | None:
        """The tokens that who signed in to a server may see; None in a home, which has them all."""
        return None

    def close(self) -> None:
        """Let go of it."""
        let_go(self.index)
        let_go(self.store)


def let_go(port: ObjectStore | Index) -> None:
    """Let go of the threads and connections of a store or an index, where it has any."""
    close = getattr(port, "close", None)
    if close is not None:
        close()
