"""What takes two people, through a server: asked for, shown, approved and refused there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from vault.access import Permission
from vault.export import Target
from vault.http.client.connection import LONG_PATIENCE, Connection, quoted
from vault.http.client.exports import check_asked
from vault.http.client.grants import read_grant
from vault.http.client.people import fields_json
from verify.attestation import AttestationType, Value
from verify.grant import Grant, GrantedRole
from verify.instant import format_instant
from verify.profile import Profile
from verify.strictjson import Object


class RemoteRequests:
    """The requests of a served vault, as the server tells them."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def list(self) -> Sequence[Object]:
        """One's own, and those on what one may read, the oldest first."""
        return list(self._connection.pages("/v1/requests"))

    def show(self, request_id: str) -> Object:
        """One of them, as it stands now."""
        return self._connection.get_json(_path(request_id))

    def approve(self, request_id: str) -> Object:
        """Say yes to what another asked for; gives it as done. Raises what the server says."""
        # Done once however often it is approved, so that it may be asked again.
        path = f"{_path(request_id)}/approval"
        return self._connection.post(path, repeatable=True, patience=LONG_PATIENCE)

    def refuse(self, request_id: str, reason: str) -> Object:
        """Say no to it, or take one's own back."""
        return self._connection.post(f"{_path(request_id)}/refusal", {"reason": reason})

    def only_asks_for_exports(self, incident: str) -> bool:
        """Whether one may not export an incident alone, but ask for it."""
        found = self._connection.get_json("/v1/whoami", chain=incident).get("permissions")
        permitted = found if isinstance(found, list) else []
        return Permission.REQUEST_EXPORT in permitted and Permission.EXPORT not in permitted

    def ask_for_export(
        self,
        incident: str,
        target: Target,
        *,
        profile: Profile,
        purpose: str,
        recipient: str | None,
        withheld: Mapping[str, str],
    ) -> Object:
        """Ask for what `Exporter.export` makes; nothing is written yet."""
        check_asked(target, profile)
        body: Object = {"purpose": purpose, "withhold": dict(withheld)}
        if recipient is not None:
            body["recipient"] = recipient
        return self._connection.post(f"/v1/incidents/{quoted(incident)}/exports/requests", body)

    def ask_for_grant(
        self,
        person: str,
        role: GrantedRole,
        chains: Sequence[str],
        *,
        reason: str,
        valid_from: datetime | None,
        valid_to: datetime | None,
    ) -> Object | Grant:
        """Ask that a person hold a role: the request, or the grant by which they do so already."""
        body: Object = {
            "chains": list(chains),
            "person": person,
            "reason": reason,
            "role": role.value,
        }
        if valid_from is not None:
            body["from"] = format_instant(valid_from)
        if valid_to is not None:
            body["to"] = format_instant(valid_to)
        answer = self._connection.post("/v1/grants", body)
        return answer if "grant" not in answer else read_grant(answer["grant"], "/v1/grants")

    def ask_for_release(
        self, chain: str, matter: str, reason: str, exhibits: Sequence[str]
    ) -> Object:
        """Ask that a matter's hold on an incident or a stream be released."""
        body: Object = {"exhibits": list(exhibits), "matter": matter, "reason": reason}
        return self._connection.post(f"/v1/chains/{quoted(chain)}/holds/releases", body)

    def ask_for_waiver(
        self,
        incident: str,
        conditions: Sequence[str],
        *,
        reason: str,
        owner: str,
        exhibits: Sequence[str],
        valid_to: datetime,
        valid_from: datetime | None,
        scope: Sequence[str],
        compensating: Sequence[str],
    ) -> Object:
        """Ask for what `Waivers.grant` seals; where no beginning is named, approval is it."""
        body: Object = {
            "compensating": list(compensating),
            "conditions": list(conditions),
            "exhibits": list(exhibits),
            "owner": owner,
            "reason": reason,
            "scope": list(scope),
            "until": format_instant(valid_to),
        }
        if valid_from is not None:
            body["from"] = format_instant(valid_from)
        return self._connection.post(f"/v1/incidents/{quoted(incident)}/waivers", body)

    def ask_for_attestation(
        self,
        incident: str,
        type_: AttestationType,
        fields: Mapping[str, Value],
        *,
        exhibits: Sequence[str],
        statement: str | None,
    ) -> Object:
        """Ask for an attestation of a type that takes a second person."""
        body: Object = {
            "exhibits": list(exhibits),
            "fields": fields_json(fields),
            "type": type_.value,
        }
        if statement is not None:
            body["statement"] = statement
        return self._connection.post(f"/v1/incidents/{quoted(incident)}/attestations", body)


def _path(request_id: str) -> str:
    return f"/v1/requests/{quoted(request_id)}"
