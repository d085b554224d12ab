"""Holds and retention: how long evidence is kept, for whom, and whether the store's locks agree.

The same routes stand below `/v1/incidents/{incident}` and, for streams too, `/v1/chains/{chain}`.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path
from fastapi.responses import JSONResponse, Response

from vault.access import Permission
from vault.documents import (
    NOTHING_KEPT,
    extended_json,
    hold_set_json,
    holds_json,
    kept_json,
    policy_json,
)
from vault.http import guard
from vault.http.answers import REQUEST, tells
from vault.http.bodies import ExtensionBody, HoldBody, ReleaseBody
from vault.http.guard import AUTHENTICATED, asking, needs
from vault.http.routes.requests import accepted
from vault.http.served import Asking, Service
from vault.http.two_persons import HOLD_RELEASE
from verify.instant import read_given_instant


def incident_retention_routes(service: Service) -> APIRouter:
    """`/v1/incidents/{incident}/holds…` and `…/retention…`."""
    return _routes(service, "/v1/incidents", "incident", "^INC-")


def chain_retention_routes(service: Service) -> APIRouter:
    """`/v1/chains/{chain}/holds…` and `…/retention…`."""
    return _routes(service, "/v1/chains", "chain", None)


def policy_routes(service: Service) -> APIRouter:
    """`/v1/retention`."""
    router = guard.router(service, "/v1/retention", tags=["retention"])

    @router.get("")
    @needs(AUTHENTICATED)
    @tells("retention-show")
    def policy(asked: Annotated[Asking, Depends(asking)]) -> Response:
        """The retention policy in force."""
        return JSONResponse({**NOTHING_KEPT, **policy_json(*asked.vault.retention.policy())})

    return router


def _routes(service: Service, prefix: str, parameter: str, pattern: str | None) -> APIRouter:
    router = guard.router(service, f"{prefix}/{{{parameter}}}", tags=["retention"])
    named: Any = Path(alias=parameter, pattern=pattern)

    @router.get("/holds")
    @needs(Permission.READ_CHAIN)
    @tells("hold-list")
    def holds(asked: Annotated[Asking, Depends(asking)], chain: str = named) -> Response:
        """Live and released holds, and whether the store's own locks agree with them."""
        read = asked.vault.incidents.read(chain)
        retention = asked.vault.retention
        found = len(retention.wanted(read)), list(retention.drift(read))
        return JSONResponse(holds_json([read.state], {chain: found}))

    @router.post("/holds", status_code=201)
    @needs(Permission.SET_HOLD)
    @tells("hold-set")
    def hold(
        body: HoldBody, asked: Annotated[Asking, Depends(asking)], chain: str = named
    ) -> Response:
        """Lay a matter's hold on all evidence of a chain, also on what is still to come."""
        vault = asked.vault
        receipt, laid = vault.retention.set_hold(chain, body.matter, body.reason, body.ordered_by)
        exhibits = len(vault.incidents.read(chain).state.exhibits)
        return JSONResponse(hold_set_json(chain, body.matter, exhibits, laid, receipt), 201)

    @router.post("/holds/releases", status_code=202)
    @needs(Permission.REQUEST_RELEASE)
    @tells(REQUEST)
    def release(
        body: ReleaseBody, asked: Annotated[Asking, Depends(asking)], chain: str = named
    ) -> Response:
        """Ask for the release of a matter's hold; a second person approves the request."""
        said = {"exhibits": list(dict.fromkeys(body.exhibits)), "matter": body.matter}
        return accepted(service, asked, HOLD_RELEASE, chain, said, body.reason)

    @router.get("/retention")
    @needs(Permission.READ_CHAIN)
    @tells("retention-show")
    def kept(asked: Annotated[Asking, Depends(asking)], chain: str = named) -> Response:
        """Until when evidence is kept, by what, and whether the store's own locks say so too."""
        retention = asked.vault.retention
        read = asked.vault.incidents.read(chain)
        mode, drift = retention.mode_of(read.state), retention.drift(read)
        told = kept_json(read.state, retention.kept(read), mode, drift)
        return JSONResponse({**told, **policy_json(*retention.policy())})

    @router.post("/retention/extensions", status_code=201)
    @needs(Permission.EXTEND_RETENTION)
    @tells("retention-extend")
    def extend(
        body: ExtensionBody, asked: Annotated[Asking, Depends(asking)], chain: str = named
    ) -> Response:
        """Keep all evidence of a chain at least until a moment; this is never taken back."""
        until = read_given_instant(body.until)
        receipt, laid = asked.vault.retention.extend(chain, until, body.reason)
        return JSONResponse(extended_json(chain, until, laid, receipt), 201)

    return router
