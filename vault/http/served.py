"""What the routes stand on: one vault, who may use it, and what others bring in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from vault.access import Access, Grant, Identity, Permission
from vault.http import two_persons
from vault.http.intake import Intake
from vault.http.pace import Pace
from vault.http.sweeping import Sweeps
from vault.opened import Vault, assemble
from vault.ports import AccessStore
from vault.refusals import Refusals
from vault.requests import Requests
from vault.tokens import Tokens
from verify.envelope import ManifestKey
from verify.profile import Profile
from verify.statement import Actor
from verify.strictjson import Object
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
    bundle: int = 4 << 30
    """Bytes of a bundle that is sent to be verified."""
    page: int = 500
    """Items of a page at most."""
    body_seconds: float = 30.0
    """Seconds for a body that is read whole to come in."""
    idle_seconds: float = 60.0
    """Seconds between two pieces of a body that is streamed."""
    least_rate: float = 16 << 10
    """Bytes a second that a streamed body comes at, on average over any `rate_seconds`; 0: any."""
    rate_seconds: float = 60.0
    """Seconds of waiting for a body over which its rate is taken; the first of them are free."""
    streams_of_one: int = 6
    """Bodies that one token streams at once in one process; further ones wait for their turn."""
    requests_a_minute: int = 1_200
    """Of one identity."""
    concurrent: int = 64
    """Requests at work at once in one process; more are told to come back."""
    concurrent_of_one: int = 24
    """Of these, by one identity, or by all that are not known here yet: the others have room
    whatever one does."""
    export: int = 20 << 20
    """Bytes of an OTLP export, also once it is unpacked; the specification recommends 20 MiB."""
    exports: int = 256
    """OTLP exports at work at once in one process, beside `concurrent`: they mostly wait."""
    exports_of_one: int = 128
    """Of these, by one collector, or by all that are not known here yet."""


@dataclass(frozen=True, slots=True)
class Gathering:
    """When OTLP exports that wait for one chain are sealed, and how many may wait."""

    seconds: float = 0.2
    """At least so long after one batch was taken the next one is; whoever comes later than that
    waits for nobody."""
    size: int = 8 << 20
    """Bytes that are sealed without waiting for more."""
    count: int = 500
    """Exports that are sealed without waiting for more; a capture has no more of them."""
    memory: int = 64 << 20
    """Bytes of bodies in one process, of requests that come in or wait; beyond, 429."""


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
    access: AccessStore
    """Where tokens are known, and requests wait for a second person."""
    trust_file: TrustFile
    store_words: str
    """How well the store keeps what it holds, in words."""
    schemas: Mapping[str, Object]
    """The JSON Schemas of the documents that it answers with, by name."""
    limits: Limits = field(default_factory=Limits)
    gathering: Gathering = field(default_factory=Gathering)
    pace: Pace = field(init=False)
    tokens: Tokens = field(init=False)
    requests: Requests = field(init=False)
    """What one person asked for and a second one approves."""
    sweeps: Sweeps = field(init=False)
    refusals: Refusals = field(init=False)
    """What is refused to people who are known; the vault itself states it."""

    def __post_init__(self) -> None:
        clock = self.vault.clock
        kinds = {
            name: two_persons.kind(each, self.acting_as, self.grants, self.profile)
            for name, each in two_persons.DEEDS.items()
        }
        object.__setattr__(self, "pace", Pace(self.limits.requests_a_minute))
        object.__setattr__(self, "tokens", Tokens(store=self.access, clock=clock))
        object.__setattr__(self, "requests", Requests(store=self.access, clock=clock, kinds=kinds))
        object.__setattr__(self, "sweeps", Sweeps(self.access))
        refusals = Refusals(incidents=self.vault.incidents, clock=clock)
        object.__setattr__(self, "refusals", refusals)

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

    def readable(self, prefix: str, *, after: str = "") -> list[str]:
        """The ids of the chains that start with a prefix and that they may read, sorted.

        None of them is, or stands before, `after`.
        """
        return [
            each
            for each in self.vault.index.chains(prefix)
            if each > after and Permission.READ_CHAIN in self.access.permissions(each)
        ]
