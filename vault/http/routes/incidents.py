"""Incidents: declared, read, amended, scoped, and what people say of their course."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header
from fastapi.responses import JSONResponse, Response

from vault.access import Permission
from vault.completeness import left_open
from vault.documents import incident_json
from vault.http import guard, owed
from vault.http.answers import CLOSED, a_page_of, ref, tells
from vault.http.bodies import (
    AcceptanceBody,
    AmendBody,
    CloseBody,
    DeclareBody,
    PhaseBody,
    ReasonBody,
    RoleBody,
    ScopeBody,
    UpdateBody,
    named,
)
from vault.http.guard import AUTHENTICATED, asking, needs
from vault.http.pages import Cursor, Limit, begin_after, page, size_of
from vault.http.problems import PreconditionError
from vault.http.served import Asking, Service
from vault.opened import Vault
from verify.incident import Incident
from verify.instant import format_instant, read_given_instant
from verify.response import Role
from verify.strictjson import Object

IfMatch = Annotated[
    str | None, Header(alias="If-Match", description="The ETag of the state that you read.")
]


def incident_routes(service: Service) -> APIRouter:
    """`/v1/incidents/…`."""
    router = guard.router(service, "/v1/incidents", tags=["incidents"])

    @router.get("")
    @needs(AUTHENTICATED)
    @tells(a_page_of(ref("incident-show")), refuses=(403,))
    def incidents(
        asked: Annotated[Asking, Depends(asking)], limit: Limit = None, cursor: Cursor = None
    ) -> Response:
        """The incidents that you may see, oldest number first."""
        asked.access.check_lists()
        size, after = size_of(limit, service.limits.page), begin_after(cursor) or ""
        names = asked.readable("INC-", after=after)
        moment = asked.vault.clock()
        items = [
            incident_json(asked.vault.incidents.read(each).incident, moment)
            for each in names[:size]
        ]
        return JSONResponse(page(items, names[size - 1] if len(names) > size else None))

    @router.post("", status_code=201)
    @needs(Permission.DECLARE, to="declare an incident")
    @tells("incident-declare")
    def declare(body: DeclareBody, asked: Annotated[Asking, Depends(asking)]) -> Response:
        """Declare an incident; the runbook allows 15 minutes from detection."""
        vault = asked.vault
        values: dict[str, Any] = {
            **body.model_dump(mode="json"),
            "declared_at": format_instant(_moment(body.declared_at, vault)),
            "detected_at": format_instant(_moment(body.detected_at, vault)),
            "systems": list(dict.fromkeys(body.systems)),
        }
        name, receipt = vault.incidents.declare(values)
        answer = _shown(vault, name, receipt.to_json(), status=201)
        answer.headers["Location"] = f"/v1/incidents/{name}"
        return answer

    @router.get("/{incident}")
    @needs(Permission.READ_CHAIN)
    @tells("incident-show")
    def show(incident: str, asked: Annotated[Asking, Depends(asking)]) -> Response:
        """An incident as its chain tells it; its ETag is the leaf hash of the chain's head."""
        return _shown(asked.vault, incident, None)

    @router.post("/{incident}/amendments", status_code=201)
    @needs(Permission.DECLARE, to="amend an incident")
    @tells("incident-change", also={200: "Nothing would change; nothing was sealed."})
    def amend(
        incident: str,
        body: AmendBody,
        asked: Annotated[Asking, Depends(asking)],
        if_match: IfMatch = None,
    ) -> Response:
        """Correct what was declared; the old value stays on the chain beside the new."""
        return _change(asked, incident, "amended", named(body, "reason"), body.reason, if_match)

    @router.post("/{incident}/scope", status_code=201)
    @needs(Permission.DECLARE, to="state the scope")
    @tells("incident-change", also={200: "Nothing would change; nothing was sealed."})
    def scope(
        incident: str,
        body: ScopeBody,
        asked: Annotated[Asking, Depends(asking)],
        if_match: IfMatch = None,
    ) -> Response:
        """State what the incident covers; without a scope completeness cannot be judged."""
        return _change(asked, incident, "scoped", named(body, "reason"), body.reason, if_match)

    @router.post("/{incident}/phases", status_code=201)
    @needs(Permission.DECLARE, to="state phases")
    @tells("incident-act")
    def phase(
        incident: str, body: PhaseBody, asked: Annotated[Asking, Depends(asking)]
    ) -> Response:
        """Say that a phase of the response was reached."""
        receipt = asked.vault.incidents.enter_phase(
            incident,
            body.phase,
            _moment(body.at, asked.vault),
            list(dict.fromkeys(body.exhibits)),
        )
        return _sealed(incident, receipt.to_json())

    @router.post("/{incident}/roles", status_code=201)
    @needs(Permission.DECLARE, to="assign roles")
    @tells("incident-act")
    def role(incident: str, body: RoleBody, asked: Annotated[Asking, Depends(asking)]) -> Response:
        """Assign one of the runbook's five roles, or say that a person accepts it."""
        incidents = asked.vault.incidents
        state = incidents.accept if body.event == "accepted" else incidents.assign
        receipt = state(incident, body.role, body.person, _moment(body.at, asked.vault))
        return _sealed(incident, receipt.to_json())

    @router.post("/{incident}/roles/{role}/acceptance", status_code=201)
    @needs(Permission.READ_CHAIN)
    @tells("incident-act")
    def accept(
        incident: str, role: Role, body: AcceptanceBody, asked: Annotated[Asking, Depends(asking)]
    ) -> Response:
        """Say yes to a role that you were given or offered: nobody else's, whatever is sent."""
        at = _moment(body.at, asked.vault)
        receipt = asked.vault.incidents.accept_own(incident, role, asked.identity.id, at)
        return _sealed(incident, receipt.to_json())

    @router.post("/{incident}/updates", status_code=201)
    @needs(Permission.UPDATE)
    @tells("incident-act")
    def update(
        incident: str, body: UpdateBody, asked: Annotated[Asking, Depends(asking)]
    ) -> Response:
        """Record what everyone was told: how far it is contained, and what comes next."""
        receipt = asked.vault.incidents.update(
            incident,
            at=_moment(body.at, asked.vault),
            containment=body.containment,
            next_steps=body.next_steps,
            note=body.note,
            channel=body.channel,
            names=list(dict.fromkeys(body.exhibits)),
        )
        return _sealed(incident, receipt.to_json())

    @router.post("/{incident}/closing", status_code=201)
    @needs(Permission.DECLARE, to="close an incident")
    @tells(CLOSED)
    def close(
        incident: str, body: CloseBody, asked: Annotated[Asking, Depends(asking)]
    ) -> Response:
        """Close and seal an incident; afterwards only reading, holds and exports are recorded.

        What is still open is told, and stops nothing.
        """
        vault = asked.vault
        chain = vault.incidents.read(incident)
        left = left_open(vault.incidents, chain, service.profile, vault.clock())
        if body.compliance and not chain.incident.sealed:
            vault.retention.check_compliance(incident)
        receipt = vault.incidents.close(incident, body.reason, compliance=body.compliance)
        laid = vault.retention.apply(incident) if body.compliance else None
        return _sealed(
            incident,
            receipt.to_json(),
            open=left,
            locked=None if laid is None else {"gone": len(laid.gone), "objects": laid.objects},
        )

    @router.post("/{incident}/reopening", status_code=201)
    @needs(Permission.DECLARE, to="reopen an incident")
    @tells("incident-act")
    def reopen(
        incident: str, body: ReasonBody, asked: Annotated[Asking, Depends(asking)]
    ) -> Response:
        """Reopen a closed incident."""
        receipt = asked.vault.incidents.reopen(incident, body.reason)
        return _sealed(incident, receipt.to_json())

    return router


def _moment(given: str | None, vault: Vault) -> datetime:
    """A time as it was given, else now."""
    return vault.clock() if given is None else read_given_instant(given)


def _shown(vault: Vault, name: str, receipt: Object | None, status: int = 200) -> JSONResponse:
    incident = vault.incidents.read(name).incident
    told = incident_json(incident, vault.clock())
    return JSONResponse(
        told if receipt is None else {**told, "receipt": receipt},
        status,
        {"ETag": f'"{incident.leaf}"'},
    )


def _sealed(name: str, receipt: Object, **more: object) -> JSONResponse:
    return JSONResponse({"incident": name, "receipt": receipt, **more}, 201)


def _change(
    asked: Asking,
    name: str,
    event: str,
    values: Object,
    reason: str | None,
    if_match: str | None,
) -> JSONResponse:
    def new(incident: Incident) -> Object:
        if if_match is not None and if_match.strip().strip('"') != incident.leaf:
            raise PreconditionError(
                f"{name} is not as you read it any more: its head is {incident.leaf}; read it again"
            )
        return values

    changes, receipt = asked.vault.incidents.change(name, event, new, reason=reason)
    if any(each.name == "severity" for each in changes):  # it decides how long all is kept
        owed.settle(asked.vault, name)
    return JSONResponse(
        {
            "changes": [each.to_json() for each in changes],
            "incident": name,
            "receipt": receipt.to_json() if receipt else None,
        },
        201 if receipt else 200,
    )
