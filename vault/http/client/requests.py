"""What takes two people, through a server: asked for, shown, approved and refused there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vault.access import Permission
from vault.export import Target
from vault.http.client.connection import Connection, quoted
from vault.http.client.exports import PATIENCE, check_asked
from verify.profile import Profile
from verify.strictjson import Object


class RemoteRequests:
    """The requests of a served vault, as the server tells them."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def list(self) -> Sequence[Object]:
        """One's own, and those on what one may read, the oldest first."""
        return list(self._connection.pages("/v1/requests"))

    def approve(self, request_id: str) -> Object:
        """Say yes to what another asked for; gives it as done. Raises what the server says."""
        # Done once however often it is approved, so that it may be asked again.
        path = f"{_path(request_id)}/approval"
        return self._connection.post(path, repeatable=True, patience=PATIENCE)

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


def _path(request_id: str) -> str:
    return f"/v1/requests/{quoted(request_id)}"
