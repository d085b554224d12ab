"""Sweeps: everything that any chain claims, looked at in the store."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path
from fastapi.responses import JSONResponse, Response

from vault.access import Permission
from vault.documents import sweeps_json
from vault.http import guard
from vault.http.answers import SWEEPING, tells
from vault.http.bodies import SweepBody
from vault.http.guard import asking, needs
from vault.http.served import Asking, Service

SweepId = Annotated[str, Path(max_length=64)]


def sweep_routes(service: Service) -> APIRouter:
    """`/v1/sweeps`."""
    router = guard.router(service, "/v1/sweeps", tags=["upkeep"])

    @router.get("")
    @needs(Permission.SWEEP)
    @tells("sweep#/oneOf/1")
    def sweeps(asked: Annotated[Asking, Depends(asking)]) -> Response:
        """The sweeps that were sealed, the oldest first."""
        return JSONResponse(sweeps_json(asked.vault.sweeper.earlier()))

    @router.post("", status_code=202)
    @needs(Permission.SWEEP)
    @tells(SWEEPING)
    def sweep(body: SweepBody, asked: Annotated[Asking, Depends(asking)]) -> Response:
        """Begin to look over all evidence; what was found is sealed at the end.

        It takes as long as the vault is large; its Location tells how it stands. One runs at a
        time.
        """
        vault = asked.vault
        depth = body.depth or ("checksums" if vault.store.traits.checksums else "bytes")
        begun = service.sweeps.begin(vault, depth, service.store_words)
        where = {"Location": f"/v1/sweeps/{begun.noted.id}"}
        return JSONResponse(begun.to_json(), 202, where)

    @router.get("/{sweep_id}")
    @needs(Permission.SWEEP)
    @tells(SWEEPING)
    def look(sweep_id: SweepId, asked: Annotated[Asking, Depends(asking)]) -> Response:
        """How a sweep that was begun here stands: running, done, failed or lost with its server.

        Done is what the chain has, with its receipt; `result` is null where what was found beside
        went with the server that looked.
        """
        return JSONResponse(service.sweeps.look(asked.vault, sweep_id).to_json())

    return router
