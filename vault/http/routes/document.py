"""The API told as an OpenAPI document."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from vault.http import guard
from vault.http.answers import tells
from vault.http.guard import AUTHENTICATED, needs
from vault.http.served import Service
from verify.strictjson import Object


def document_routes(service: Service, document: Callable[[], Object]) -> APIRouter:
    """`/v1/openapi.json`."""
    router = guard.router(service, "/v1/openapi.json", tags=["service"])

    @router.get("")
    @needs(AUTHENTICATED)
    @tells({"type": "object"})
    def openapi() -> Response:
        """This document."""
        return JSONResponse(document())

    return router
