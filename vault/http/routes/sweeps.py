"""Sweeps: everything that any chain claims, looked at in the store."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse, Response

from vault.access import Permission
from vault.documents import sweeps_json, swept_json
from vault.errors import ConflictError
from vault.http import guard
from vault.http.answers import tells
from vault.http.bodies import SweepBody
from vault.http.guard import asking, needs
from vault.http.served import Asking, Service


def sweep_routes(service: Service) -> APIRouter:
    """`/v1/sweeps`."""
    router = guard.router(service, "/v1/sweeps", tags=["upkeep"])

    @router.get("")
    @needs(Permission.SWEEP)
    @tells("sweep#/oneOf/1")
    def sweeps(asked: Annotated[Asking, Depends(asking)]) -> Response:
        """The sweeps that were sealed, the oldest first."""
        return JSONResponse(sweeps_json(asked.vault.sweeper.earlier()))

    @router.post("", status_code=201)
    @needs(Permission.SWEEP)
    @tells("sweep#/oneOf/0")
    def sweep(body: SweepBody, asked: Annotated[Asking, Depends(asking)]) -> Response:
        """Look over all evidence, and seal what was found; what failed is told in the verdict.

        It takes as long as the vault is large, and goes on if you stop waiting: the result then
        stands among the sweeps. One runs at a time.
        """
        vault = asked.vault
        depth = body.depth or ("checksums" if vault.store.traits.checksums else "bytes")
        with vault.index.alone("sweep", patience=0) as alone:
            if not alone:
                raise ConflictError("a sweep is going on; its result will stand in /v1/sweeps")
            swept = vault.sweeper.sweep(depth)
        unfinished = vault.sweeper.unfinished(swept.started_at)
        return JSONResponse(swept_json(swept, unfinished, service.store_words), 201)

    return router
