"""Grants: who holds which role, on which chains."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse, Response

from vault.access import Permission
from vault.documents import grants_json
from vault.grants import within
from vault.http import guard
from vault.http.answers import tells
from vault.http.guard import AUTHENTICATED, asking, needs
from vault.http.served import Asking, Service


def grant_routes(service: Service) -> APIRouter:
    """`/v1/grants`."""
    router = guard.router(service, "/v1/grants", tags=["upkeep"])

    @router.get("")
    @needs(AUTHENTICATED)
    @tells("grant-list")
    def grants(asked: Annotated[Asking, Depends(asking)]) -> Response:
        """Every grant that was ever given, for who grants; for others their own.

        By a token that is limited to chains, only what is for those.
        """
        book, identity = asked.vault.grants, asked.identity
        all_ = Permission.GRANT in asked.access.permissions(None)
        person = identity.id if identity.kind == "person" else ""
        found = book.all() if all_ else book.of(person)
        if identity.chains is not None:
            found = [part for each in found if (part := within(each, identity.chains)) is not None]
        later = book.not_understood() if all_ else ()
        return JSONResponse(grants_json(found, later, asked.vault.clock()))

    return router
