"""Incidents and streams of a served vault: read and folded here, changed there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, cast

from vault.access import Permission, not_seen
from vault.deposit import Door, Receipt
from vault.errors import NotFoundError, RefusedError, StaleHeadError
from vault.http.client.connection import Connection, quoted
from vault.http.client.receipts import receipt_of
from vault.http.client.record import Elsewhere, RemoteIndex, RemoteStore
from vault.incidents import Chain, Incidents, nothing_of
from vault.ports import Clock, Index, ObjectStore
from verify.approval import same_person
from verify.chain import Manifest
from verify.declaration import INCIDENT_FIELDS, SCOPE_FIELDS, Change, check_value, declared_body
from verify.digest import sha256_hex
from verify.errors import DigestMismatchError, EvidenceError, MalformedError
from verify.incident import Incident
from verify.instant import format_instant
from verify.response import parse_role, parse_update
from verify.statement import (
    Actor,
    Described,
    Item,
    Type,
    check_chain_id,
    is_stream,
    parse_assessment,
    parse_capture,
)
from verify.strictjson import Fields, Object
from verify.trust import Trust

_ATTEMPTS = 5
_WHO = "/v1/whoami"


class RemoteIncidents(Incidents):
    """The incidents of one served vault."""

    def __init__(
        self,
        *,
        connection: Connection,
        store: RemoteStore,
        index: RemoteIndex,
        trust: Trust,
        clock: Clock,
        actor: Actor,
    ) -> None:
        """The incidents, as `actor` sees them, who signed in."""
        super().__init__(
            store=cast("ObjectStore", store),
            index=cast("Index", index),
            door=cast("Door", Elsewhere()),
            clock=clock,
            key=trust.keys[0],
        )
        self._keys = tuple(trust.keys)
        self._actor = actor
        self.closing: dict[str, Fields] = {}
        """What the server said it locked as it closed an incident, by its id."""
        self._remote = index
        self._connection = connection
        self._trust = trust

    def _going_on(self, chain_id: str) -> tuple[Chain, Iterator[tuple[Manifest, int | None]]]:
        return nothing_of(chain_id), self._remote.links(chain_id)

    def description_bytes(self, chain: Chain) -> Iterator[tuple[str, bytes]]:
        """Exhibit and description bytes of all exhibits, in order, each checked."""
        items = [item for manifest in chain.manifests for item in _items(manifest)]
        return self._described(chain, items, start=0)

    def described_by(self, chain: Chain, sequence: int) -> Iterator[tuple[str, bytes]]:
        """Exhibit and description bytes of the items of one capture, in order, each checked."""
        return self._described(chain, _items(chain.manifests[sequence]), start=sequence)

    def description_attempts(self, chain: Chain) -> Iterator[tuple[str, bytes | EvidenceError]]:
        """The same, or why one cannot be read; here the first that cannot be read ends it."""
        yield from self.description_bytes(chain)

    def _described(
        self, chain: Chain, items: Sequence[Item], *, start: int
    ) -> Iterator[tuple[str, bytes]]:
        path = f"/v1/chains/{quoted(chain.state.id)}/descriptions"
        told = self._connection.pages(path, start=start) if items else iter(())
        for item in items:
            reader = Fields(next(told, {}), path)
            name = reader.text("exhibit")
            data = reader.text("description", limit=64 << 20).encode()
            what = f"description of {item.exhibit}"
            if name != item.exhibit:
                raise MalformedError(f"{what}: the server sent that of {name}")
            _check(data, item.description, what)
            yield name, data

    def bound_document(self, chain: Chain, sequence: int) -> bytes:
        """What a link binds beside itself, checked: a report, or a collection's envelope."""
        manifest = chain.manifests[sequence]
        if manifest.statement.type == Type.ASSESSMENT:
            return self.sealed_report(manifest)
        exhibit = self._collection_of(chain, sequence)
        if exhibit is None:
            raise NotFoundError(f"{manifest.name} binds no document")
        data = self._document(manifest)
        found = sha256_hex(data)
        if found != exhibit.item.sha256:
            name = exhibit.item.exhibit
            raise DigestMismatchError(name, sealed=exhibit.item.sha256, found=found)
        return data

    def sealed_report(self, manifest: Manifest) -> bytes:
        """The report that an assessment sealed, checked."""
        report = parse_assessment(manifest.statement.body, where=manifest.name).report
        data = self._document(manifest)
        _check(data, report, "completeness report")
        return data

    def _document(self, manifest: Manifest) -> bytes:
        link = manifest.statement.link
        path = f"/v1/chains/{quoted(link.chain)}/manifests/{link.sequence}/document"
        return self._connection.get(path).data

    def absent(self, chain_id: str) -> NotFoundError:
        """Hidden and absent are told alike."""
        return not_seen(chain_id, self._actor.id)

    def may_close(self, incident_id: str) -> bool:
        """Whether whoever signed in may, by what the server says of them now."""
        found = self._connection.get_json(_WHO, chain=incident_id)
        return Permission.DECLARE in Fields(found, _WHO).texts("permissions")

    def _none_open(self) -> str:
        """As who signed in sees it: there may be others, and not everybody declares one."""
        told = "there is no open incident that you may see"
        if Permission.DECLARE in Fields(self._connection.get_json(_WHO), _WHO).texts("permissions"):
            return f"{told}; declare one with: evault incident declare --help"
        return f"{told}, and your roles declare none; name one that is sealed, or ask for a grant"

    def declare(self, values: Mapping[str, Any]) -> tuple[str, Receipt]:
        """Declare an incident under the next free number of the year (UTC)."""
        declared_body(dict(values))  # said here as it is said where the vault's home is
        answer = self._connection.post("/v1/incidents", values)
        name = str(answer.get("incident"))
        if is_stream(check_chain_id(name)):
            raise MalformedError(f"the server declared {name}, which is no incident")
        return name, receipt_of(answer, self._trust, chain=name)

    def change(
        self,
        incident_id: str,
        event: str,
        new: Callable[[Incident], Mapping[str, Any]],
        *,
        reason: str | None,
    ) -> tuple[list[Change], Receipt | None]:
        """Amend an incident or its scope, against the very state that was read."""
        path = f"{_at(incident_id)}/{'amendments' if event == 'amended' else 'scope'}"
        known = INCIDENT_FIELDS if event == "amended" else SCOPE_FIELDS
        for _ in range(_ATTEMPTS):
            incident = self.read(incident_id).incident
            current = incident.fields if event == "amended" else incident.scope
            values = {
                name: value for name, value in new(incident).items() if current.get(name) != value
            }
            for name, value in values.items():
                if name not in known:
                    raise RefusedError(f"{event} has no field {name!r}")
                check_value(name, value, where=incident_id)
            if not values:
                return [], None
            changes = [Change(name, current.get(name), value) for name, value in values.items()]
            said = values if reason is None else {**values, "reason": reason}
            try:
                answer = self._connection.post(
                    path, said, headers={"If-Match": f'"{incident.leaf}"'}
                )
            except StaleHeadError:
                continue
            return changes, receipt_of(answer, self._trust, chain=incident_id)
        raise StaleHeadError(f"others keep changing {incident_id}; run the command again")

    def assign(self, incident_id: str, role: str, person: str, at: datetime) -> Receipt:
        """Give a free role to a person, or offer them one that another holds."""
        return self._role(incident_id, "assigned", role, person, at)

    def accept(self, incident_id: str, role: str, person: str, at: datetime) -> Receipt:
        """Say yes to one's own role; to another's only who may declare says that they did."""
        if not same_person(person, self._actor.id):
            return self._role(incident_id, "accepted", role, person, at)
        path = f"roles/{quoted(role)}/acceptance"
        return self._stated(incident_id, path, {"at": format_instant(at)})

    def _role(
        self,
        incident_id: str,
        event: str,
        role: str,
        person: str,
        at: datetime,
        *,
        own: bool = False,
    ) -> Receipt:
        del own  # the server knows who signed in
        body = {"at": format_instant(at), "event": event, "person": person, "role": role}
        parse_role(Fields(body, incident_id))
        return self._stated(incident_id, "roles", body)

    def update(
        self,
        incident_id: str,
        *,
        at: datetime,
        containment: str,
        next_steps: str,
        note: str | None = None,
        channel: str | None = None,
        names: Sequence[str] = (),
    ) -> Receipt:
        """Record what everyone was told: how far it is contained, and what comes next."""
        body: Object = {
            "at": format_instant(at),
            "channel": channel,
            "containment": containment,
            "exhibits": list(names),
            "next_steps": next_steps,
            "note": note,
        }
        parse_update(Fields(body | {"event": "updated"}, incident_id), recorded_at=at, sequence=0)
        return self._stated(incident_id, "updates", body)

    def enter_phase(
        self, incident_id: str, phase: str, at: datetime, names: Sequence[str]
    ) -> Receipt:
        """Record that a phase was entered, and the exhibits that show it."""
        body = {"at": format_instant(at), "exhibits": list(names), "phase": phase}
        return self._stated(incident_id, "phases", body)

    def close(self, incident_id: str, reason: str | None, *, compliance: bool = False) -> Receipt:
        """Seal the incident; the server locks its evidence where that is asked for."""
        body: Object = {"compliance": compliance, "reason": reason}
        answer = self._connection.post(f"{_at(incident_id)}/closing", body)
        if compliance:
            self.closing[incident_id] = Fields(answer.get("locked"), "what was locked")
        return receipt_of(answer, self._trust, chain=incident_id)

    def reopen(self, incident_id: str, reason: str) -> Receipt:
        """Reopen a sealed incident."""
        return self._stated(incident_id, "reopening", {"reason": reason})

    def custody(
        self, incident_id: str, event: str, names: Sequence[str], details: Mapping[str, Any]
    ) -> Receipt:
        """Seal a custody statement about exhibits: withdrawn, classified.

        One that says that something was viewed is the server's, which gives the bytes.
        """
        kinds = {"withdrawn": "withdrawals", "classified": "classifications"}
        if event not in kinds:
            raise RefusedError(f"{event} is stated by the server, where it happens")
        self.exhibits_named(self.read(incident_id), names)
        body = {key: value for key, value in details.items() if value is not None}
        path = f"/v1/chains/{quoted(incident_id)}/evidence/{kinds[event]}"
        answer = self._connection.post(path, {**body, "exhibits": list(names)})
        return receipt_of(answer, self._trust, chain=incident_id)

    def _stated(self, incident_id: str, what: str, body: Object) -> Receipt:
        answer = self._connection.post(f"{_at(incident_id)}/{what}", body)
        return receipt_of(answer, self._trust, chain=incident_id)


def _at(incident_id: str) -> str:
    return f"/v1/incidents/{quoted(incident_id)}"


def _items(manifest: Manifest) -> tuple[Item, ...]:
    if manifest.statement.type != Type.CAPTURE:
        return ()
    return parse_capture(manifest.statement.body, where=manifest.name).items


def _check(data: bytes, described: Described, what: str) -> None:
    found = sha256_hex(data)
    if found != described.sha256:
        raise DigestMismatchError(what, sealed=described.sha256, found=found)
