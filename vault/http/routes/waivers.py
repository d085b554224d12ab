"""Waivers: conditions of the checklist that need not hold for a time."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse, Response

from vault.access import Permission
from vault.documents import waived_json, waivers_json
from vault.http import guard
from vault.http.answers import REQUEST, tells
from vault.http.bodies import ReasonBody, WaiverBody
from vault.http.guard import asking, needs
from vault.http.routes.requests import accepted
from vault.http.served import Asking, Service
from vault.http.two_persons import WAIVER
from verify.instant import format_instant, read_given_instant


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

    @router.post("", status_code=202)
    @needs(Permission.REQUEST_WAIVER)
    @tells(REQUEST)
    def waive(
        incident: str, body: WaiverBody, asked: Annotated[Asking, Depends(asking)]
    ) -> Response:
        """Ask for a waiver; it begins once a second person approved the request, and it ends.

        What is contradicted cannot be waived.
        """
        begins = None if body.start is None else read_given_instant(body.start)
        said = {
            "compensating": list(dict.fromkeys(body.compensating)),
            "conditions": list(dict.fromkeys(body.conditions)),
            "exhibits": list(dict.fromkeys(body.exhibits)),
            "owner": body.owner,
            "scope": list(dict.fromkeys(body.scope)),
            "valid_from": None if begins is None else format_instant(begins),
            "valid_to": format_instant(read_given_instant(body.until)),
        }
        return accepted(service, asked, WAIVER, incident, said, body.reason)

    @router.post("/{waiver}/revocation", status_code=201)
    @needs(Permission.APPROVE_WAIVER)
    @tells("waive#/oneOf/0")
    def revoke(
        incident: str, waiver: str, body: ReasonBody, asked: Annotated[Asking, Depends(asking)]
    ) -> Response:
        """Revoke a waiver; it stays on the chain, and counts no more."""
        vault = asked.vault
        revoked, receipt = vault.waivers.revoke(incident, waiver, body.reason)
        return JSONResponse(waived_json(incident, revoked, [], receipt, vault.clock()), 201)

    return router
