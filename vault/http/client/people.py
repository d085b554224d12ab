"""What people state through a server: attestations and waivers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from vault.attestations import Attestations, Attested, notes_on
from vault.completeness import Assessments
from vault.deposit import Receipt
from vault.errors import RefusedError, StaleHeadError
from vault.http.client.connection import Connection, quoted
from vault.http.client.receipts import receipt_of
from vault.incidents import Chain, Incidents
from vault.ports import Clock
from vault.waivers import Waivers, Wanted
from verify.approval import ATTESTED
from verify.attestation import AttestationType, Value
from verify.errors import VerificationError
from verify.instant import format_instant
from verify.profile import Profile
from verify.statement import Actor, parse_assessment
from verify.strictjson import Object
from verify.trust import Trust
from verify.waiver import Waiver


class RemoteAttestations(Attestations):
    """The attestations of a served vault's incidents, made by whom the token names."""

    def __init__(
        self, connection: Connection, trust: Trust, incidents: Incidents, actor: Actor
    ) -> None:
        super().__init__(incidents=incidents, actor=actor)
        self._connection = connection
        self._trust = trust

    def attest(
        self,
        incident_id: str,
        type_: AttestationType,
        fields: Mapping[str, Value],
        *,
        exhibits: Sequence[str] = (),
        statement: str | None = None,
        approved_by: str | None = None,
        authenticated: str = ATTESTED,
        deposit: str | None = None,
    ) -> Attested:
        """Have an attestation sealed. Raises as the server does; nobody approves by another."""
        if approved_by is not None:
            raise no_other_person("--approved-by")
        body: Object = {
            "exhibits": list(exhibits),
            "fields": fields_json(fields),
            "type": type_.value,
        }
        if statement is not None:
            body["statement"] = statement
        path = f"/v1/incidents/{quoted(incident_id)}/attestations"
        receipt = receipt_of(self._connection.post(path, body), self._trust, chain=incident_id)
        incident = self._incidents.read(incident_id, up_to=receipt.sequence).incident
        sealed = incident.attestations[-1]
        return Attested(sealed, receipt, tuple(notes_on(sealed, incident)))


class RemoteWaivers(Waivers):
    """The waivers of a served vault's incidents."""

    def __init__(
        self,
        connection: Connection,
        trust: Trust,
        incidents: Incidents,
        actor: Actor,
        clock: Clock,
    ) -> None:
        super().__init__(incidents=incidents, actor=actor, clock=clock)
        self._connection = connection
        self._trust = trust

    def grant(self, incident_id: str, wanted: Wanted) -> tuple[Waiver, Receipt]:
        """Nobody grants one here by saying that another approved it. Raises `RefusedError`."""
        raise no_other_person("--approved-by")

    def revoke(self, incident_id: str, waiver_id: str, reason: str) -> tuple[Waiver, Receipt]:
        """Have it sealed that a waiver counts no more."""
        path = f"/v1/incidents/{quoted(incident_id)}/waivers/{quoted(waiver_id)}/revocation"
        answer = self._connection.post(path, {"reason": reason})
        receipt = receipt_of(answer, self._trust, chain=incident_id)
        sealed = self._incidents.read(incident_id, up_to=receipt.sequence).incident
        return sealed.waivers[waiver_id], receipt


def no_other_person(option: str) -> RefusedError:
    """Through a server a second person is one who shows a token of their own."""
    return RefusedError(
        f"{option} names another person, whom a server takes nobody's word for; leave it out: a "
        "second person approves with: evault request approve ID"
    )


def fields_json(fields: Mapping[str, Value]) -> Object:
    """An attestation's fields as a server takes them."""
    return {name: _plain(value) for name, value in fields.items()}


def _plain(value: Value) -> object:
    if isinstance(value, datetime):
        return format_instant(value)
    return value if isinstance(value, str) else list(value)


class RemoteAssessments(Assessments):
    """Completeness reports sealed onto the chains of a served vault, which judges by its own."""

    def __init__(
        self, connection: Connection, trust: Trust, incidents: Incidents, profile: str
    ) -> None:
        """`profile` is the digest of the one profile that a server seals reports by."""
        self._connection = connection
        self._trust = trust
        self._incidents = incidents
        self._profile = profile

    def seal(self, chain: Chain, profile: Profile, report: Object, as_of: datetime) -> Receipt:
        """Have the server judge the chain's head as it stands, and seal its report.

        Raises `StaleHeadError` if the chain has grown meanwhile, and `VerificationError` where the
        server sealed another verdict than the one found here.
        """
        if profile.sha256 != self._profile:
            raise RefusedError(
                "a server seals reports by the runbook's profile alone; seal one by another "
                "profile where the vault's home is"
            )
        name = chain.incident.id
        path = f"/v1/incidents/{quoted(name)}/assessments"
        receipt = receipt_of(self._connection.post(path), self._trust, chain=name)
        manifest = self._incidents.read(name, up_to=receipt.sequence).manifests[-1]
        sealed = parse_assessment(manifest.statement.body, where=manifest.name)
        if sealed.head_leaf != chain.incident.leaf:
            raise StaleHeadError(
                f"{name} had grown to link {sealed.head_sequence} when its report was sealed as "
                f"link {receipt.sequence}; look at it: evault checklist {name}"
            )
        if sealed.verdict != report["verdict"]:
            raise VerificationError(
                f"the server sealed the verdict {sealed.verdict} as link {receipt.sequence}; the "
                f"chain, judged here, is {report['verdict']}"
            )
        return receipt
