"""Captures: many contents, with what is said of them, in one body and as one deposit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import anyio
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse, Response

from vault.access import Permission
from vault.capture import check_open
from vault.delivery import check_sender
from vault.http import guard
from vault.http.answers import RECEIVED, TAKES, tells
from vault.http.captures import receive
from vault.http.guard import asking, needs
from vault.http.incoming import AT_ONCE, Incoming
from vault.http.served import Asking, Service
from verify.facts import Facts
from verify.strictjson import Object


def capture_routes(service: Service) -> APIRouter:
    """`/v1/chains/{chain}/captures`."""
    router = guard.router(service, "/v1/chains", tags=["evidence"])
    limiter = anyio.CapacityLimiter(AT_ONCE)

    @router.post("/{chain}/captures", status_code=201)
    @needs(Permission.INGEST)
    @tells(RECEIVED, also={200: "It was sealed before, or held nothing to claim."})
    async def capture(
        chain: str, request: Request, asked: Annotated[Asking, Depends(asking)]
    ) -> Response:
        """Send a capture as `vault/http/CAPTURE.md` has it; all of it is kept, or nothing.

        201 with its receipts once it is kept; 200 where this deposit was sealed before.
        """

        def facts(data: bytes, name: str) -> Facts:
            return service.intake.describe(data, name).facts

        def take(pieces: Iterator[bytes]) -> Response:
            received = receive(asked.vault, chain, pieces, facts)
            receipts = [receipt.to_json() for receipt in received.receipts]
            new = bool(receipts) and not receipts[0]["repeated"]
            return JSONResponse(
                {"incident": chain, "items": received.items, "receipts": receipts},
                201 if new else 200,
            )

        return await Incoming(request).read(take, limiter)

    @router.get("/{chain}/captures")
    @needs(Permission.INGEST)
    @tells(TAKES, refuses=(409,))
    def takes(
        chain: str,
        asked: Annotated[Asking, Depends(asking)],
        key: Annotated[
            str | None, Query(max_length=80, description="The id of a collector's key (base64).")
        ] = None,
    ) -> Object:
        """Whether a capture would be taken now, before it is made; a collection signed by that key.

        What is there is not told; where it would be refused, the problem is that of sending it.
        """
        check_open(asked.vault.incidents.to_add_to(chain))
        return {"chain": chain, "collector": key and check_sender(asked.vault, key)}

    return router
