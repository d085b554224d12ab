"""A served vault with all its services, as commands use one that is opened here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from vault.completeness import built_in_profile
from vault.deposit import Door
from vault.grants import KnownGrants
from vault.http.client.captures import RemoteCaptures
from vault.http.client.connection import Connection
from vault.http.client.contents import RemoteContents
from vault.http.client.exports import RemoteExporter
from vault.http.client.grants import RemoteGrants
from vault.http.client.incidents import RemoteIncidents
from vault.http.client.people import RemoteAssessments, RemoteAttestations, RemoteWaivers
from vault.http.client.preserve import RemotePreserver
from vault.http.client.protection import RemoteCollectors, RemoteRetention, RemoteSweeper
from vault.http.client.record import Elsewhere, RemoteIndex, RemoteLog, RemoteStore
from vault.incidents import KnownChains
from vault.log import Log
from vault.lookup import Lookup
from vault.opened import Foundation, Vault
from vault.ports import Clock, Index, LockMode, ObjectStore, Signer, StoreTraits
from vault.readings import Readings
from verify.errors import VerificationError
from verify.statement import Actor
from verify.strictjson import Fields
from verify.trust import Trust


@dataclass(frozen=True, slots=True)
class Served:
    """A served vault, and how its store keeps what it holds, by the server's word."""

    vault: Vault
    words: str
    who: Actor
    """Who signed in."""


def connected(connection: Connection, trust: Trust, *, clock: Clock) -> Served:
    """The vault at the other end. Raises what the server says, and `UnavailableError`."""
    about = Fields(connection.get_json("/v1/vault"), "/v1/vault")
    told = about.object("store")
    if about.text("origin") != trust.origin:
        raise VerificationError(
            f"{connection.server.url} serves the vault of log {about.text('origin')}; the trust "
            f"file is for {trust.origin}"
        )
    traits = StoreTraits(
        kind=told.text("kind"),
        locks=told.raw("locks") is True,
        versions=told.raw("versions") is True,
        checksums=told.raw("checksums") is True,
    )
    who = Fields(connection.get_json("/v1/whoami"), "/v1/whoami")
    actor = Actor(
        id=who.text("id"),
        kind=who.text("kind"),
        authenticated=who.text("authenticated"),
        claimed=None,
    )
    store, index = RemoteStore(traits), RemoteIndex(connection, trust)
    log = RemoteLog(connection, trust)
    incidents = RemoteIncidents(
        connection=connection, store=store, index=index, trust=trust, clock=clock, actor=actor
    )
    retention = RemoteRetention(
        connection, trust, store, index, incidents, clock, incidents.closing
    )
    foundation = Foundation(
        store=cast("ObjectStore", store),
        index=cast("Index", index),
        log=cast("Log", log),
        signer=cast("Signer", Elsewhere()),
        trust=trust,
        clock=clock,
        version=about.text("version"),
        mode=LockMode.GOVERNANCE,
        known=KnownChains(),
        granted=KnownGrants(),
    )
    vault = Vault(
        foundation=foundation,
        door=cast("Door", Elsewhere()),
        incidents=incidents,
        contents=RemoteContents(connection, trust, incidents, actor),
        assessments=RemoteAssessments(
            connection, trust, incidents, profile=built_in_profile().sha256
        ),
        lookup=cast("Lookup", Elsewhere()),
        readings=cast("Readings", Elsewhere()),
        grants=RemoteGrants(connection, trust, index, incidents, clock),
        captures=RemoteCaptures(connection, trust, incidents, clock),
        attestations=RemoteAttestations(connection, trust, incidents, actor),
        waivers=RemoteWaivers(connection, trust, incidents, actor, clock),
        exporter=RemoteExporter(connection, trust, incidents, clock, about.text("version")),
        retention=retention,
        preserver=RemotePreserver(connection, trust, incidents, retention, clock),
        sweeper=RemoteSweeper(connection, trust, index, incidents, retention, clock),
        collectors=RemoteCollectors(connection, trust, index, clock),
    )
    return Served(vault, told.text("words"), actor)
