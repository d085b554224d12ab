"""Waivers: conditions of the checklist that need not hold for a time."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse, Response

from vault.access import Permission
from vault.documents import waived_json, waivers_json
from vault.http import guard
from vault.http.answers import tells
from vault.http.bodies import ReasonBody
from vault.http.guard import asking, needs
from vault.http.service import Asking, Service


def waiver_routes(service: Service) -> APIRouter:
    """`/v1/incidents/{incident}/waivers…`."""
    router = guard.router(service, "/v1/incidents/{incident}/waivers", tags=["what people say"])

    @router.get("")
    @needs(Permission.READ_CHAIN)
    @tells("waive-list")
    def waivers(incident: str, asked: Annotated[Asking, Depends(asking)]) -> Response:
        """All waivers of an incident: live, still to come, ended and revoked."""
        found = asked.vault.incidents.read(incident).incident.waivers.values()
        pairs = [(incident, each) for each in found]
        return JSONResponse(waivers_json(pairs, asked.vault.clock()))

    @router.post("/{waiver}/revocation", status_code=201)
    @needs(Permission.APPROVE_WAIVER)
    @tells("waive")
    def revoke(
        incident: str, waiver: str, body: ReasonBody, asked: Annotated[Asking, Depends(asking)]
    ) -> Response:
        """Revoke a waiver; it stays on the chain, and counts no more."""
        vault = asked.vault
        revoked, receipt = vault.waivers.revoke(incident, waiver, body.reason)
        return JSONResponse(waived_json(incident, revoked, [], receipt, vault.clock()), 201)

    return router
