"""Collectors: whose collections this vault takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse, Response

from vault.access import Permission
from vault.documents import collector_json, collectors_json, enrolled_json
from vault.enrolment import enrol
from vault.http import guard
from vault.http.answers import tells
from vault.http.bodies import CollectorBody, ReasonBody
from vault.http.guard import asking, needs, still_admitted
from vault.http.served import Asking, Service
from vault.tokens import COLLECTOR
from verify.collection import public_key_of
from verify.errors import MalformedError
from verify.instant import read_given_instant


def collector_routes(service: Service) -> APIRouter:
    """`/v1/collectors…`."""
    router = guard.router(service, "/v1/collectors", tags=["upkeep"])

    @router.get("")
    @needs(Permission.ADMIT)
    @tells("collector-list")
    def collectors(asked: Annotated[Asking, Depends(asking)]) -> Response:
        """The collectors that were ever let in."""
        return JSONResponse(collectors_json(asked.vault.collectors.all(), asked.vault.trust))

    @router.post("", status_code=201)
    @needs(Permission.ADMIT)
    @tells("collector-add", also={200: "It was in already; nothing was sealed."}, refuses=(404,))
    def add(
        body: CollectorBody,
        asked: Annotated[Asking, Depends(asking)],
        still: Annotated[Callable[[], None], Depends(still_admitted)],
    ) -> Response:
        """Let a collector in: its key may sign collections, and nothing else.

        With chains it gets a token that appends to these alone; the secret is in this answer, and
        nowhere else. 200 if it was in already under this name and key: then the token is another.
        """
        if body.expires is not None and not body.chains:
            raise MalformedError("expires is of a token: name in chains what it may append to")
        enrolled = enrol(
            asked.vault.collectors,
            body.name,
            public_key_of(body.key.encode(), where="key"),
            index=asked.vault.index,
            clock=asked.vault.clock,
            list_key=service.trust_file.list_collector,
            tokens=service.tokens,
            chains=body.chains,
            expires=None if body.expires is None else read_given_instant(body.expires),
            still=still,
        )
        told = enrolled_json(enrolled, asked.vault.clock())
        return JSONResponse(told, 201 if enrolled.receipt else 200)

    @router.post("/{name}/removal", status_code=201)
    @needs(Permission.ADMIT)
    @tells("collector-remove")
    def remove(name: str, body: ReasonBody, asked: Annotated[Asking, Depends(asking)]) -> Response:
        """Take nothing more from a collector, by key or token; what it delivered stays evidence."""
        collector, receipt = asked.vault.collectors.remove(name, body.reason)
        tokens = service.tokens.revoke_all(f"{COLLECTOR}{name}")
        removed = replace(collector, removed=body.reason)
        told = {
            "collector": collector_json(removed, asked.vault.trust),
            "receipt": receipt.to_json(),
            "tokens": [each.id for each in tokens],
        }
        return JSONResponse(told, 201)

    return router
