"""What takes two people here: who may ask for it, who may approve it, and how it is then done.

It is sealed in the name of who asked, and names who approved. The vault authenticated both; nothing
that is sent names either.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from vault.access import Access, Grant, Identity, Permission
from vault.attestations import values_of
from vault.completeness import (
    ON_CHECKLIST,
    answers_of,
    check_on_checklist,
    check_waivable,
    report_of,
)
from vault.documents import (
    attested_json,
    exported_json,
    granted_json,
    hold_released_json,
    waived_json,
)
from vault.errors import NotFoundError, RefusedError
from vault.export import Target
from vault.grants import UnderInvestigationError
from vault.opened import Vault
from vault.ports import Request
from vault.requests import Kind
from vault.waivers import Wanted, notes_on
from verify.approval import TOKEN, Approval, same_person
from verify.attestation import AttestationType, attestation_body
from verify.errors import MalformedError
from verify.grant import GrantedRole
from verify.instant import parse_instant
from verify.profile import Profile
from verify.statement import Actor
from verify.strictjson import Object

HOLD_RELEASE = "hold_release"
WAIVER = "waiver"
ATTESTATION = "attestation"
EXPORT = "export"
GRANT = "grant"

WRITTEN = "evault-export-"
"""What the name of a folder begins with in which a bundle is written."""


def deposit_of(request: Request) -> str:
    """Under which id it is done, so that it is done once; no sender may choose such an id."""
    return f"request-{request.id}"


@dataclass(frozen=True, slots=True)
class Deed:
    """Something that takes two people."""

    ask: Permission
    approve: Permission
    check: Callable[[Vault, Request, Profile], None]
    """Raises where it could not be done as things stand."""
    do: Callable[[Vault, Request, Profile], Object]
    """Does it in a vault in which who asked acts; gives the document of what was done."""
    second: Callable[[Request, Actor], None] = lambda _request, _approver: None
    """Raises where somebody may not approve it whatever they hold."""
    deposit: Callable[[Request], str] = deposit_of
    """Under which id it is done."""


def kind(
    deed: Deed,
    acting_as: Callable[[Actor], Vault],
    grants: Callable[[], Sequence[Grant]],
    profile: Profile,
) -> Kind:
    """How the requests of one vault have something done."""

    def vault_of(request: Request) -> Vault:
        return acting_as(asker_of(request).actor)

    def check(request: Request) -> None:
        vault = vault_of(request)
        # Who asked may have lost the role since.
        access = Access(asker_of(request), grants(), at=vault.clock())
        access.check(deed.ask, request.chain)
        if not vault.incidents.receipt_of(request.chain, deed.deposit(request)):
            check_stands(vault, request)
        try:
            deed.check(vault, request, profile)
        except UnderInvestigationError as error:
            if Permission.READ_CHAIN in access.permissions(error.incident):
                raise
            # Which incident that is, is told to who may read there.
            raise RefusedError(
                f"an incident is about {request.parameters['person']}, who holds no role on it, or "
                "none at all; ask those who read the incidents"
            ) from error

    def check_stands(vault: Vault, request: Request) -> None:
        if vault.clock() >= request.expires:
            raise RefusedError(
                f"request {request.id} was approved, and could not be done within a day; ask anew"
            )
        if request.approver is None:
            return
        # So may who approved it, before it came to be done.
        person, how = _approver(request)
        access = Access(Identity(person, "person", how), grants(), at=vault.clock())
        if deed.approve not in access.permissions(request.chain):
            raise RefusedError(
                f"{person} approved request {request.id}, and may do so no more; ask anew"
            )

    def do(request: Request) -> Object:
        return deed.do(vault_of(request), request, profile)

    return Kind(check, do, deed.second)


def asker_of(request: Request) -> Identity:
    """Who asked."""
    return Identity(request.requester, "person", request.requester_authenticated)


def _approver(request: Request) -> tuple[str, str]:
    """Who approved, and how the vault knew them."""
    assert request.approver is not None
    return request.approver, request.approver_authenticated or TOKEN


def _moment(value: object, name: str) -> datetime | None:
    return None if value is None else parse_instant(value, where=name)


def _check_release(vault: Vault, request: Request, _profile: Profile) -> None:
    if vault.incidents.receipt_of(request.chain, deposit_of(request)):
        return
    chain = vault.incidents.read(request.chain)
    matter = request.parameters["matter"]
    live = [hold.matter for hold in chain.state.live_holds]
    if matter not in live:
        named = ", ".join(live) or "none"
        raise NotFoundError(f"no matter {matter!r} holds {request.chain}; those that do: {named}")
    vault.incidents.exhibits_named(chain, request.parameters["exhibits"])


def _release(vault: Vault, request: Request, _profile: Profile) -> Object:
    person, how = _approver(request)
    matter = request.parameters["matter"]
    receipt, done = vault.retention.release_hold(
        request.chain,
        matter,
        request.reason,
        person,
        request.parameters["exhibits"],
        authenticated=how,
        deposit=deposit_of(request),
    )
    state = vault.incidents.read(request.chain).state
    return hold_released_json(state, matter, done, receipt)


def _check_waiver(vault: Vault, request: Request, profile: Profile) -> None:
    if vault.incidents.receipt_of(request.chain, deposit_of(request)):
        return  # it is done, and is only told again
    chain = vault.incidents.read(request.chain)
    if chain.incident.sealed:
        raise RefusedError(f"{request.chain} is closed; a waiver may not follow its seal")
    said = request.parameters
    vault.incidents.exhibits_named(chain, [*said["exhibits"], *said["compensating"]])
    check_waivable(said["conditions"], report_of(vault.incidents, chain, profile, vault.clock()))
    end = _moment(said["valid_to"], "until")
    assert end is not None
    if end <= vault.clock() or end <= (_moment(said["valid_from"], "from") or vault.clock()):
        raise RefusedError("a waiver ends in time to come, and after it begins; name a later end")


def _waive(vault: Vault, request: Request, profile: Profile) -> Object:
    person, how = _approver(request)
    said = request.parameters
    end = _moment(said["valid_to"], "until")
    assert end is not None
    chain = vault.incidents.read(request.chain)
    report = report_of(vault.incidents, chain, profile, vault.clock())
    waiver, receipt = vault.waivers.grant(
        request.chain,
        Wanted(
            conditions=said["conditions"],
            reason=request.reason,
            owner=said["owner"],
            approved_by=person,
            exhibits=said["exhibits"],
            valid_to=end,
            valid_from=_moment(said["valid_from"], "from"),
            scope=said["scope"],
            compensating=said["compensating"],
            authenticated=how,
            deposit=deposit_of(request),
        ),
    )
    incident = vault.incidents.read(request.chain).incident
    notes = notes_on(waiver, incident, answers_of(report, checks=False))
    return waived_json(request.chain, waiver, notes, receipt, vault.clock())


def _attestation_notes(vault: Vault, request: Request, profile: Profile) -> list[str]:
    type_ = AttestationType(request.parameters["type"])
    if type_ not in ON_CHECKLIST:
        return []
    chain = vault.incidents.read(request.chain)
    report = report_of(vault.incidents, chain, profile, vault.clock())
    fields = values_of(type_, request.parameters["fields"])
    return check_on_checklist(type_, fields, answers_of(report))


def _check_attestation(vault: Vault, request: Request, profile: Profile) -> None:
    if vault.incidents.receipt_of(request.chain, deposit_of(request)):
        return
    chain = vault.incidents.read(request.chain)
    if chain.incident.sealed:
        raise RefusedError(f"{request.chain} is closed; nothing is attested after its seal")
    said = request.parameters
    type_ = AttestationType(said["type"])
    body = attestation_body(
        type_,
        values_of(type_, said["fields"]),
        exhibits=tuple(said["exhibits"]),
        statement=said["statement"],
        approval=Approval(request.approver or "a second person", TOKEN),
    )
    vault.incidents.exhibits_named(chain, body["exhibits"])
    _attestation_notes(vault, request, profile)


def _attest(vault: Vault, request: Request, profile: Profile) -> Object:
    person, how = _approver(request)
    said = request.parameters
    type_ = AttestationType(said["type"])
    notes = _attestation_notes(vault, request, profile)
    sealed = vault.attestations.attest(
        request.chain,
        type_,
        values_of(type_, said["fields"]),
        exhibits=said["exhibits"],
        statement=said["statement"],
        approved_by=person,
        authenticated=how,
        deposit=deposit_of(request),
    )
    told = [*notes, *sealed.notes]
    return attested_json(request.chain, sealed.attestation, told, sealed.receipt)


def _check_export(vault: Vault, request: Request, _profile: Profile) -> None:
    if vault.incidents.receipt_of(request.chain, request.id):
        return
    withheld = request.parameters["withhold"]
    vault.incidents.exhibits_named(vault.incidents.read(request.chain), list(withheld))
    for exhibit, reason in withheld.items():
        if not reason.strip():
            raise MalformedError(f"say why {exhibit} is withheld; the reason is sealed")


def _export(vault: Vault, request: Request, profile: Profile) -> Object:
    person, how = _approver(request)
    # The bundle is written once, so that what cannot be written is not called exported; who asked
    # fetches it as it is made anew.
    with tempfile.TemporaryDirectory(prefix=WRITTEN) as folder:
        made = vault.exporter.export(
            request.chain,
            Target(Path(folder) / "bundle.zip"),
            profile=profile,
            purpose=request.reason,
            recipient=request.parameters["recipient"],
            withheld=request.parameters["withhold"],
            approval=Approval(person, how),
            deposit=request.id,
        )
    return exported_json(request.chain, made)


def _check_grant(vault: Vault, request: Request, _profile: Profile) -> None:
    if vault.incidents.receipt_of(request.chain, deposit_of(request)):
        return
    said = request.parameters
    _check_not_oneself(said["person"], request.requester, "asks for")
    vault.grants.planned(
        said["person"],
        GrantedRole(said["role"]),
        said["chains"],
        reason=request.reason,
        valid_from=_beginning(vault, request),
        valid_to=_moment(said["valid_to"], "to"),
    )


def _not_for_oneself(request: Request, approver: Actor) -> None:
    _check_not_oneself(request.parameters["person"], approver.id, "approves")


def _check_not_oneself(holder: str, person: str, does: str) -> None:
    if same_person(holder, person):
        raise RefusedError(
            f"{person} {does} a role that {holder} is to hold; nobody gives one to themselves"
        )


def _beginning(vault: Vault, request: Request) -> datetime | None:
    """From when it counts: as was asked, but nothing counts before it was approved."""
    begins = _moment(request.parameters["valid_from"], "from")
    late = request.approver is not None and begins is not None and begins <= vault.clock()
    return None if late else begins


def _grant(vault: Vault, request: Request, _profile: Profile) -> Object:
    said = request.parameters
    grant, receipt = vault.grants.grant(
        said["person"],
        GrantedRole(said["role"]),
        said["chains"],
        reason=request.reason,
        valid_from=_beginning(vault, request),
        valid_to=_moment(said["valid_to"], "to"),
        approval=Approval(*_approver(request)),
        deposit=deposit_of(request),
    )
    return granted_json(grant, receipt, vault.clock())


DEEDS: Mapping[str, Deed] = {
    HOLD_RELEASE: Deed(
        Permission.REQUEST_RELEASE, Permission.APPROVE_RELEASE, _check_release, _release
    ),
    WAIVER: Deed(Permission.REQUEST_WAIVER, Permission.APPROVE_WAIVER, _check_waiver, _waive),
    # That something of the checklist does not apply takes who may waive it.
    ATTESTATION: Deed(Permission.ATTEST, Permission.APPROVE_WAIVER, _check_attestation, _attest),
    GRANT: Deed(
        Permission.GRANT, Permission.APPROVE_GRANT, _check_grant, _grant, second=_not_for_oneself
    ),
    EXPORT: Deed(
        Permission.REQUEST_EXPORT,
        Permission.APPROVE_EXPORT,
        _check_export,
        _export,
        deposit=lambda request: request.id,
    ),
}
"""What takes two people, by the name of its requests."""
