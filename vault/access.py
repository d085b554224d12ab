"""Who may do what: the roles of the runbook, their permissions, and how a request is judged. Pure.

Deny by default. A role is granted to a person, for named chains or for all, for a time, by a signed
statement on the vault's own chain (`verify.grant`). A token may narrow what its bearer may do, and
never widens it. A collector holds no role: it appends to the chains that its token names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from vault.errors import NotFoundError, NotPermittedError
from verify.statement import VAULT_CHAIN, Actor, is_stream


class Permission(StrEnum):
    """What a route may ask for. One that names two persons is asked for by one of them each."""

    INGEST = "ingest"
    """Add evidence."""
    READ_CONTENT = "read_content"
    """See or take out the bytes of evidence; each reading is sealed."""
    READ_CHAIN = "read_chain"
    """See manifests, custody, descriptions and facts: what is sealed about evidence."""
    VERIFY = "verify"
    """Audit, look up digests, prove."""
    ASSESS = "assess"
    """Compute and seal completeness reports."""
    ATTEST = "attest"
    """State what was done: acknowledgements, freezes, rollbacks, findings."""
    UPDATE = "update"
    """Post the hourly update."""
    DECLARE = "declare"
    """Declare, amend, scope, assign roles, enter phases, close, reopen."""
    CORRECT = "correct"
    """Withdraw and classify exhibits."""
    PRESERVE = "preserve"
    """Bring what a stream holds into an incident."""
    SET_HOLD = "set_hold"
    REQUEST_RELEASE = "request_release"
    APPROVE_RELEASE = "approve_release"
    EXTEND_RETENTION = "extend_retention"
    REQUEST_WAIVER = "request_waiver"
    APPROVE_WAIVER = "approve_waiver"
    EXPORT = "export"
    """Take out a whole bundle, on one's own."""
    REQUEST_EXPORT = "request_export"
    """Ask for one, that another approves."""
    APPROVE_EXPORT = "approve_export"
    SWEEP = "sweep"
    """Have everything that is claimed looked at in the store, and seal what was found."""
    ADMIT = "admit"
    """Let collectors in, and take their keys back."""
    GRANT = "grant"
    """Grant roles, asked for by one and approved by another; take them back alone."""
    APPROVE_GRANT = "approve_grant"


class VaultRole(StrEnum):
    """The roles that a grant may give."""

    FORENSICS_LEAD = "forensics_lead"
    INCIDENT_COMMANDER = "incident_commander"
    POSTMORTEM_AUTHOR = "postmortem_author"
    LEGAL = "legal"
    GOVERNANCE_STEWARD = "governance_steward"
    COMMS_LEAD = "comms_lead"
    REMEDIATION_LEAD = "remediation_lead"
    AUDITOR = "auditor"
    PLATFORM_ADMIN = "platform_admin"


_READERS = frozenset({Permission.READ_CHAIN, Permission.VERIFY, Permission.ASSESS})

ROLES: Mapping[VaultRole, frozenset[Permission]] = {
    VaultRole.FORENSICS_LEAD: _READERS
    | {
        Permission.INGEST,
        Permission.READ_CONTENT,
        Permission.ATTEST,
        Permission.CORRECT,
        Permission.PRESERVE,
        Permission.SET_HOLD,
        Permission.EXTEND_RETENTION,
        Permission.REQUEST_WAIVER,
        Permission.EXPORT,
        Permission.SWEEP,
    },
    VaultRole.INCIDENT_COMMANDER: _READERS
    | {
        Permission.INGEST,
        Permission.READ_CONTENT,
        Permission.ATTEST,
        Permission.UPDATE,
        Permission.DECLARE,
        Permission.PRESERVE,
        Permission.REQUEST_WAIVER,
        # Until evidence can be redacted: with a purpose, which every export states.
        Permission.EXPORT,
    },
    VaultRole.POSTMORTEM_AUTHOR: _READERS
    | {
        Permission.ATTEST,
        Permission.REQUEST_WAIVER,
        Permission.EXPORT,  # until evidence can be redacted, as the commander may
    },
    VaultRole.LEGAL: _READERS
    | {
        Permission.INGEST,
        Permission.READ_CONTENT,
        Permission.ATTEST,
        Permission.SET_HOLD,
        Permission.REQUEST_RELEASE,
        Permission.APPROVE_RELEASE,
        Permission.EXTEND_RETENTION,
        Permission.APPROVE_WAIVER,
        Permission.EXPORT,
        Permission.APPROVE_EXPORT,
    },
    VaultRole.GOVERNANCE_STEWARD: _READERS
    | {
        Permission.INGEST,
        Permission.ATTEST,
        Permission.REQUEST_RELEASE,
        Permission.APPROVE_RELEASE,
        Permission.EXTEND_RETENTION,
        Permission.APPROVE_WAIVER,
        Permission.REQUEST_EXPORT,
        Permission.APPROVE_EXPORT,
        Permission.SWEEP,
        Permission.ADMIT,
        Permission.GRANT,
        Permission.APPROVE_GRANT,
    },
    VaultRole.COMMS_LEAD: frozenset({Permission.READ_CHAIN, Permission.UPDATE}),
    VaultRole.REMEDIATION_LEAD: frozenset(
        {Permission.READ_CHAIN, Permission.INGEST, Permission.ATTEST}
    ),
    VaultRole.AUDITOR: _READERS | {Permission.REQUEST_EXPORT, Permission.SWEEP},
    VaultRole.PLATFORM_ADMIN: frozenset({Permission.ADMIT, Permission.GRANT}),
}
"""The one table. Legal, forensics lead, commander and postmortem author export alone; steward and
auditor with a second person, who is legal or another steward. Nobody approves what they asked for,
whatever they hold."""

DEEDS: Mapping[Permission, str] = {
    Permission.INGEST: "add evidence",
    Permission.READ_CONTENT: "read the bytes of evidence",
    Permission.READ_CHAIN: "read what is sealed about evidence",
    Permission.VERIFY: "verify",
    Permission.ASSESS: "assess completeness",
    Permission.ATTEST: "attest",
    Permission.UPDATE: "post updates",
    Permission.DECLARE: "declare incidents, or state what becomes of them",
    Permission.CORRECT: "withdraw or classify evidence",
    Permission.PRESERVE: "preserve what a stream holds",
    Permission.SET_HOLD: "set a hold",
    Permission.REQUEST_RELEASE: "ask for a hold's release",
    Permission.APPROVE_RELEASE: "approve a hold's release",
    Permission.EXTEND_RETENTION: "extend retention",
    Permission.REQUEST_WAIVER: "ask for a waiver",
    Permission.APPROVE_WAIVER: "approve a waiver, or end one",
    Permission.EXPORT: "export alone",
    Permission.REQUEST_EXPORT: "ask for an export",
    Permission.APPROVE_EXPORT: "approve an export",
    Permission.SWEEP: "sweep",
    Permission.ADMIT: "let collectors in, or end them",
    Permission.GRANT: "grant roles, or take them back",
    Permission.APPROVE_GRANT: "approve a grant",
}
"""What a permission is for, as it is told to who has it not: they `may not …`."""

COLLECTOR = frozenset({Permission.INGEST})
"""What a collector may do, on the chains that its token names: append, and read nothing."""

EVERYWHERE = "*"
"""All chains, also those to come."""

WHOLE_VAULT = frozenset(
    {
        Permission.ADMIT,
        Permission.GRANT,
        Permission.APPROVE_GRANT,
        Permission.SWEEP,
        Permission.DECLARE,
    }
)
"""What concerns no one chain asks, of these, for a grant on all of them: who is steward of one
incident lets nobody into the others, and who commands one declares no other."""

_ON_VAULT_CHAIN = WHOLE_VAULT | {Permission.READ_CHAIN, Permission.VERIFY}
"""What a grant on all chains gives on the vault's own: it takes no evidence, and has no holds. It
names people, and the incidents of their grants, and so no other grant shows it."""


@dataclass(frozen=True, slots=True)
class Grant:
    """A role given to a person, for chains and for a time."""

    person: str
    role: VaultRole
    chains: tuple[str, ...]
    """Ids of chains, or `EVERYWHERE`."""
    valid_from: datetime
    valid_to: datetime | None

    def covers(self, chain: str | None, at: datetime) -> bool:
        """Whether it is for this chain, at that time; both ends count (FORMAT.md §4.14).

        None and the vault's own chain: any grant's.
        """
        if at < self.valid_from or (self.valid_to is not None and at > self.valid_to):
            return False
        if chain is None or chain == VAULT_CHAIN or EVERYWHERE in self.chains:
            return True
        return chain in self.chains


@dataclass(frozen=True, slots=True)
class Identity:
    """Who is asking, as the vault authenticated them."""

    id: str
    kind: str
    """`person` or `collector`."""
    authenticated: str
    """`token` or `oidc`: how."""
    token: str | None = None
    """The id of the token, never its secret."""
    chains: tuple[str, ...] | None = None
    """The chains that the token is limited to; None for no limit but the grants."""
    address: str = ""
    """Where the request came from."""
    expires: datetime | None = None
    """When a token of the vault's own ends; of a provider's, that is told to nobody here."""

    @property
    def actor(self) -> Actor:
        """The actor of what they state."""
        return Actor(id=self.id, kind=self.kind, authenticated=self.authenticated, claimed=None)


class Access:
    """The judgement about one identity, by the grants that are live."""

    def __init__(self, identity: Identity, grants: Iterable[Grant], *, at: datetime) -> None:
        """Judge `identity` by grants of theirs, at a moment."""
        self.identity = identity
        self._at = at
        self._grants: Sequence[Grant] = (
            [each for each in grants if each.person == identity.id]
            if identity.kind == "person"
            else ()
        )

    def permissions(self, chain: str | None) -> frozenset[Permission]:
        """What the identity may do on a chain, or, for None, on some chain.

        The vault's own chain, and `WHOLE_VAULT` for None, take a grant on all chains.
        """
        if chain is not None and not self._within_token(chain):
            return frozenset()
        if self.identity.kind == "collector":
            return frozenset() if chain == VAULT_CHAIN else COLLECTOR
        found: frozenset[Permission] = frozenset()
        whole = chain is not None and chain != VAULT_CHAIN
        for each in self._grants:
            if each.covers(chain, self._at):
                all_of_it = whole or (EVERYWHERE in each.chains and self.identity.chains is None)
                if all_of_it:
                    found |= ROLES[each.role]
                elif chain is None and self._meets_token(each):
                    found |= ROLES[each.role] - WHOLE_VAULT
        return found & _ON_VAULT_CHAIN if chain == VAULT_CHAIN else found

    def roles(self, chain: str | None) -> list[VaultRole]:
        """The roles that are held for a chain, or, for None, for any that the token is for.

        Those on the vault's own chain, which any grant covers, are told as for None.
        """
        if chain is not None and not self._within_token(chain):
            return []
        one = chain not in (None, VAULT_CHAIN)
        return sorted(
            {
                each.role
                for each in self._grants
                if each.covers(chain, self._at) and (one or self._meets_token(each))
            }
        )

    def held(self) -> list[Grant]:
        """The grants that count now, of each the chains that the token is for too."""
        limit = self.identity.chains
        return [
            each
            if limit is None
            else replace(
                each,
                chains=limit
                if EVERYWHERE in each.chains
                else tuple(chain for chain in each.chains if chain in limit),
            )
            for each in self._grants
            if each.covers(None, self._at) and self._meets_token(each)
        ]

    def check(self, permission: Permission, chain: str | None, *, deed: str | None = None) -> None:
        """Raise unless it is permitted; `chain` is None for what concerns no one chain.

        `deed` is what was to be done, where the permission is for more than that.
        Raises `NotPermittedError` where the identity has another right on the chain, and
        `NotFoundError` where it has none: absent and forbidden look alike.
        """
        found = self.permissions(chain)
        if permission in found:
            return
        if chain is not None and chain != VAULT_CHAIN and not found:
            raise not_seen(chain, self.identity.id)
        if self.identity.kind == "collector":
            told = deed or DEEDS[permission]
            raise self._appends_only(permission, told, None if chain == VAULT_CHAIN else chain)
        held = ", ".join(self.roles(chain)) or "none"
        everywhere = chain in (None, VAULT_CHAIN)
        raise NotPermittedError(
            f"{self.identity.id} may not {deed or DEEDS[permission]} "
            f"{'in all of the vault' if everywhere else f'on {chain}'} (roles held: {held}). "
            f"Who may: {_held_by(permission)}. To get such a role, "
            f"{'on every chain' if everywhere else f'on {chain}'}, ask a "
            f"{_held_by(Permission.GRANT)}; another {_held_by(Permission.APPROVE_GRANT)} approves "
            "it",
            permission=permission.value,
            chain=None if chain == VAULT_CHAIN else chain,
        )

    def check_lists(self) -> None:
        """Raise `NotPermittedError` for a collector: an empty list would say that none is there."""
        if self.identity.kind == "collector":
            raise self._appends_only(Permission.READ_CHAIN, DEEDS[Permission.READ_CHAIN], None)

    def _appends_only(
        self, permission: Permission, deed: str, chain: str | None
    ) -> NotPermittedError:
        return NotPermittedError(
            f"{self.identity.id} is a collector, which appends to the chains that its token "
            f"names and may not {deed}; no grant changes that. "
            "Use a person's token",
            permission=permission.value,
            chain=chain,
        )

    def _meets_token(self, grant: Grant) -> bool:
        """Whether a grant is for a chain that the token is for too."""
        limit = self.identity.chains
        return (
            limit is None or EVERYWHERE in grant.chains or not set(grant.chains).isdisjoint(limit)
        )

    def _within_token(self, chain: str) -> bool:
        limit = self.identity.chains
        return limit is None or chain == VAULT_CHAIN or chain in limit


def not_seen(chain: str, person: str) -> NotFoundError:
    """What is told of a chain that one may not see, and of one that is not there: the same.

    Whoever is sure that there is one must neither doubt it nor declare it a second time.
    """
    what = "stream" if is_stream(chain) else "incident"
    anew = "" if is_stream(chain) else ", and do not declare it anew"
    return NotFoundError(
        f"there is no {what} {chain[:80]} that {person} may see: if it exists, no role of theirs, "
        f"or not this token, is for it. Ask a {_held_by(Permission.GRANT)} for a role on it{anew}"
    )


def _held_by(permission: Permission) -> str:
    """The roles that have a permission: `legal or governance_steward`."""
    return " or ".join(role.value for role, held in ROLES.items() if permission in held)
