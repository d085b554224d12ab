"""What the routes stand on: one vault, who may use it, and what others bring in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from vault.access import Access, Grant, Identity
from vault.http.intake import Intake
from vault.http.pace import Pace
from vault.opened import Vault, assemble
from verify.envelope import ManifestKey
from verify.profile import Profile
from verify.statement import Actor
from verify.trust import Trust


class Authenticator(Protocol):
    """Knows who a bearer is."""

    def identify(self, bearer: str, address: str) -> Identity:
        """Who shows this bearer token, from that address. Raises `UnauthenticatedError`."""


class TrustFile(Protocol):
    """The vault's own trust file, as it stands now; other processes write it too."""

    def now(self) -> Trust:
        """What it says. Raises `UnavailableError`."""

    def list_collector(self, key: ManifestKey) -> Trust:
        """What it says once it lists a collector's key. Raises `UnavailableError`."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one request, one identity and one process may take."""

    body: int = 1 << 20
    """Bytes of a body that is read whole."""
    page: int = 500
    """Items of a page at most."""
    body_seconds: float = 30.0
    """Seconds for a body that is read whole to come in."""
    idle_seconds: float = 60.0
    """Seconds between two pieces of a body that is streamed."""
    requests_a_minute: int = 1_200
    """Of one identity."""
    concurrent: int = 64
    """Requests at work at once in one process; more are told to come back."""


@dataclass(frozen=True, slots=True)
class Service:
    """Everything that routes need; composed by `cli.serving`."""

    vault: Vault
    authenticator: Authenticator
    grants: Callable[[], Sequence[Grant]]
    """The grants that stand on the vault's chain now."""
    profile: Profile
    """The checklist that incidents are judged by."""
    intake: Intake
    """Reads what is sent as evidence, and seals it."""
    trust_file: TrustFile
    host: str
    """The name of this host, as captures state it."""
    store_words: str
    """How well the store keeps what it holds, in words."""
    limits: Limits = field(default_factory=Limits)
    pace: Pace = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "pace", Pace(self.limits.requests_a_minute))

    def acting_as(self, actor: Actor) -> Vault:
        """The vault in which another one acts, with the trust file as it stands now."""
        foundation = replace(self.vault.foundation, trust=self.trust_file.now())
        return assemble(foundation, actor)


@dataclass(frozen=True, slots=True)
class Asking:
    """A request that was let in: who asks, what they may, and the vault in which they act."""

    access: Access
    vault: Vault

    @property
    def identity(self) -> Identity:
        """Who asks."""
        return self.access.identity
