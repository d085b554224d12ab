"""Requests: what one person asked for, and a second one approves. Who they are, the vault knows."""

from __future__ import annotations

from itertools import islice
from typing import Annotated

from fastapi import APIRouter, Depends, Path
from fastapi.responses import JSONResponse, Response

from vault.access import Permission
from vault.documents import request_json
from vault.http import guard
from vault.http.answers import REQUEST, a_page_of, tells
from vault.http.bodies import ReasonBody
from vault.http.guard import AUTHENTICATED, asking, needs
from vault.http.pages import Cursor, Limit, begin_after, page, size_of
from vault.http.served import Asking, Service
from vault.http.two_persons import DEEDS
from vault.ports import Request
from vault.requests import no_such_request
from verify.strictjson import Object

RequestId = Annotated[str, Path(max_length=1_000, description="A ULID.")]


def request_routes(service: Service) -> APIRouter:
    """`/v1/requests…`."""
    router = guard.router(service, "/v1/requests", tags=["requests"])

    @router.get("")
    @needs(AUTHENTICATED)
    @tells(a_page_of(REQUEST))
    def requests(
        asked: Annotated[Asking, Depends(asking)], limit: Limit = None, cursor: Cursor = None
    ) -> Response:
        """Your own requests, and those on what you may read, the oldest first."""
        size, after = size_of(limit, service.limits.page), begin_after(cursor) or ""
        seen = (each for each in service.requests.list(after=after) if _sees(asked, each))
        found = list(islice(seen, size + 1))
        more = len(found) > size
        items = [request_json(each) for each in found[:size]]
        return JSONResponse(page(items, found[size - 1].id if more else None))

    @router.get("/{request_id}")
    @needs(AUTHENTICATED)
    @tells(REQUEST)
    def show(request_id: RequestId, asked: Annotated[Asking, Depends(asking)]) -> Response:
        """A request as it stands now."""
        return JSONResponse(request_json(_seen(service, asked, request_id)))

    @router.post("/{request_id}/approval")
    @needs(AUTHENTICATED)
    @tells(REQUEST, refuses=(403,))
    def approve(request_id: RequestId, asked: Annotated[Asking, Depends(asking)]) -> Response:
        """Say yes to what another asked for; it is done at once, and names you both.

        Repeated for a request that is done, it gives it again.
        """
        found = _seen(service, asked, request_id)
        asked.access.check(DEEDS[found.kind].approve, found.chain)
        return JSONResponse(request_json(service.requests.approve(found.id, asked.identity.actor)))

    @router.post("/{request_id}/refusal")
    @needs(AUTHENTICATED)
    @tells(REQUEST, refuses=(403,))
    def refuse(
        request_id: RequestId, body: ReasonBody, asked: Annotated[Asking, Depends(asking)]
    ) -> Response:
        """Say no to it; who asked takes it back so."""
        found = _seen(service, asked, request_id)
        if found.requester != asked.identity.id:
            asked.access.check(DEEDS[found.kind].approve, found.chain)
        refused = service.requests.refuse(found.id, asked.identity.actor, body.reason)
        return JSONResponse(request_json(refused))

    return router


def accepted(
    service: Service, asked: Asking, kind: str, chain: str, said: Object, reason: str
) -> Response:
    """Ask for something in the name of who asks; the answer to a route that takes two people.

    What the same person asked for already, and nobody answered yet, is told and not doubled.
    """
    who = asked.identity.actor
    waits = service.requests.waiting(kind, chain, said, requester=who, reason=reason)
    if waits is not None:
        told = {**request_json(waits), "repeated": True}
        return JSONResponse(told, 202, {"Location": f"/v1/requests/{waits.id}"})
    found = service.requests.ask(kind, chain, said, requester=who, reason=reason)
    return JSONResponse(request_json(found), 202, {"Location": f"/v1/requests/{found.id}"})


def _sees(asked: Asking, request: Request) -> bool:
    """Whether it is one's own, or on what one may read."""
    within = asked.access.permissions(request.chain)
    if request.requester == asked.identity.id:
        return asked.identity.chains is None or request.chain in asked.identity.chains
    return Permission.READ_CHAIN in within


def _seen(service: Service, asked: Asking, request_id: str) -> Request:
    """A request that one may see; another looks like one that is not there."""
    found = service.requests.get(request_id)
    if not _sees(asked, found):
        raise no_such_request(request_id)
    return found
