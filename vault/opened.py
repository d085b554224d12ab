"""An opened vault: all its services, acting for one person, on a foundation that all share."""

from __future__ import annotations

from dataclasses import dataclass, field

from vault.attestations import Attestations
from vault.capture import Captures
from vault.collectors import Collectors
from vault.completeness import Assessments
from vault.contents import Contents
from vault.deposit import Door
from vault.export import Exporter
from vault.grants import Grants, KnownGrants
from vault.incidents import Incidents, KnownChains
from vault.log import Log
from vault.lookup import Lookup
from vault.ports import Clock, Index, LockMode, ObjectStore, Signer
from vault.preserve import Preserver
from vault.readings import Readings
from vault.record import StoreRecord
from vault.retention import KnownPolicies, Retention
from vault.sweep import Sweeper
from vault.waivers import Waivers
from verify.envelope import ManifestKey
from verify.statement import Actor
from verify.trust import Trust


@dataclass(frozen=True, slots=True)
class Foundation:
    """What everyone who uses one vault shares, also at the same time in several threads."""

    store: ObjectStore
    index: Index
    log: Log
    signer: Signer
    """The manifest key."""
    trust: Trust
    clock: Clock
    version: str
    """Of evault, as exports state it."""
    mode: LockMode
    """How firmly evidence is locked from its first moment on."""
    known: KnownChains
    """Chains that were read before, verified."""
    granted: KnownGrants
    """Grants that were read before, verified."""
    policies: KnownPolicies = field(default_factory=KnownPolicies)
    """Policies of retention that were read before, verified."""


@dataclass(frozen=True, slots=True)
class Vault:
    """Everything that a command or a request needs of an opened vault."""

    foundation: Foundation
    door: Door
    incidents: Incidents
    captures: Captures
    contents: Contents
    assessments: Assessments
    attestations: Attestations
    waivers: Waivers
    exporter: Exporter
    retention: Retention
    preserver: Preserver
    sweeper: Sweeper
    collectors: Collectors
    grants: Grants
    readings: Readings
    lookup: Lookup

    @property
    def store(self) -> ObjectStore:
        """Where the record lies."""
        return self.foundation.store

    @property
    def index(self) -> Index:
        """Where it is looked up."""
        return self.foundation.index

    @property
    def log(self) -> Log:
        """The one log."""
        return self.foundation.log

    @property
    def trust(self) -> Trust:
        """Whom to believe about this vault."""
        return self.foundation.trust

    @property
    def clock(self) -> Clock:
        """The vault's clock."""
        return self.foundation.clock

    def record(self, chain: str, depth: str | None = None) -> StoreRecord:
        """A chain as the store holds it, to be audited. Raises `NotFoundError`.

        Without a depth it is what the store makes worth while: its own checksums, else the bytes.
        """
        return StoreRecord(
            store=self.store,
            index=self.index,
            log=self.log,
            incidents=self.incidents,
            retention=self.retention,
            chain=chain,
            depth=depth or ("checksums" if self.store.traits.checksums else "bytes"),
        )

    def acting_as(self, actor: Actor) -> Vault:
        """The same vault, in which another one acts."""
        return assemble(self.foundation, actor)


def assemble(foundation: Foundation, actor: Actor) -> Vault:
    """The services of a vault, in which one actor acts."""
    store, index, clock = foundation.store, foundation.index, foundation.clock
    key = ManifestKey(foundation.signer.public)
    door = Door(index=index, log=foundation.log, signer=foundation.signer, clock=clock, actor=actor)
    incidents = Incidents(
        store=store, index=index, door=door, clock=clock, key=key, known=foundation.known
    )
    retention = Retention(
        store=store,
        index=index,
        door=door,
        incidents=incidents,
        clock=clock,
        key=key,
        mode=foundation.mode,
        known=foundation.policies,
    )
    return Vault(
        foundation=foundation,
        door=door,
        incidents=incidents,
        contents=Contents(incidents=incidents, store=store),
        assessments=Assessments(incidents=incidents, store=store, clock=clock, retention=retention),
        captures=Captures(
            store=store,
            index=index,
            door=door,
            clock=clock,
            incidents=incidents,
            retention=retention,
        ),
        attestations=Attestations(incidents=incidents, actor=actor),
        waivers=Waivers(incidents=incidents, actor=actor, clock=clock),
        exporter=Exporter(
            incidents=incidents,
            store=store,
            log=foundation.log,
            clock=clock,
            trust=foundation.trust,
            version=foundation.version,
            guard=retention.guard,
        ),
        retention=retention,
        preserver=Preserver(door=door, incidents=incidents, retention=retention, clock=clock),
        sweeper=Sweeper(
            store=store,
            index=index,
            door=door,
            incidents=incidents,
            retention=retention,
            clock=clock,
            key=key,
        ),
        collectors=Collectors(index=index, door=door, clock=clock, key=key),
        grants=Grants(
            index=index,
            door=door,
            incidents=incidents,
            clock=clock,
            key=key,
            known=foundation.granted,
        ),
        readings=Readings(incidents=incidents, index=index, door=door, clock=clock),
        lookup=Lookup(incidents=incidents, index=index, log=foundation.log),
    )
