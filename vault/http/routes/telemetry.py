"""Telemetry as agents send it: OTLP/HTTP traces and logs, each request's exact bytes an item.

Failures are told as `vault.http.otlp_failures` has it.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from fastapi.requests import Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from vault.access import Permission
from vault.errors import ConflictError, NotFoundError, NotPermittedError, UnavailableError
from vault.http import guard
from vault.http.answers import tells
from vault.http.encodings import gunzip, is_gzip
from vault.http.gathering import Gatherer, Received, Room, Sealed
from vault.http.guard import AUTHENTICATED, asking, needs
from vault.http.otlp import Encoding, Signal, encoding_of, read_export, success
from vault.http.problems import UnsupportedMediaError
from vault.http.served import Asking, Service
from verify.digest import sha256_hex
from verify.errors import MalformedError
from verify.statement import VAULT_CHAIN, check_chain_id

CHAIN = "Evault-Chain"
"""The request's header that chooses among the chains of a token; the answer's that names it."""
LINK = "Evault-Link"
"""The answer's header: the link of the chain that has the request's bytes."""

_READ_AT_ONCE = 2
"""Bodies that are unpacked and decoded at once; more would wait for each other all the same."""

_ABOUT: dict[str, Any] = {
    "openapi_extra": {
        "parameters": [
            {
                "description": "Which chain; needed where the token is for several.",
                "in": "header",
                "name": CHAIN,
                "required": False,
                "schema": {"type": "string"},
            }
        ],
        "requestBody": {
            "content": {
                Encoding.JSON.value: {"schema": {"type": "object"}},
                Encoding.PROTOBUF.value: {"schema": {"format": "binary", "type": "string"}},
            },
            "required": True,
        },
    },
    "response_class": Response,
    "responses": {
        200: {"description": "Kept, under a link that has its receipt. Nothing is kept in part."},
        400: {"description": "It cannot be decoded; a google.rpc.Status. Do not send it again."},
        413: {"description": "Over the limit, as sent or unpacked. Do not send it again."},
        415: {"description": "Neither protobuf nor JSON, or in a coding that is not gzip."},
        429: {"description": "Too much at once; send it again after Retry-After."},
        503: {"description": "It cannot be sealed now; send it again after Retry-After."},
    },
}


def telemetry_routes(service: Service, gatherer: Gatherer) -> APIRouter:
    """`/v1/traces`, `/v1/logs`."""
    router = guard.router(service, "/v1", tags=["telemetry"])
    desk = _Desk(service, gatherer)

    @router.post("/traces", **_ABOUT)
    @needs(AUTHENTICATED)
    @tells(problems=False, refuses=(403, 404))
    async def traces(request: Request, asked: Annotated[Asking, Depends(asking)]) -> Response:
        """Keep an ExportTraceServiceRequest, for a collector, on the chain of its token."""
        return await desk.take(request, asked, Signal.TRACES)

    @router.post("/logs", **_ABOUT)
    @needs(AUTHENTICATED)
    @tells(problems=False, refuses=(403, 404))
    async def logs(request: Request, asked: Annotated[Asking, Depends(asking)]) -> Response:
        """Keep an ExportLogsServiceRequest, for a collector, on the chain of its token."""
        return await desk.take(request, asked, Signal.LOGS)

    return router


class _Desk:
    """Where exports come in: read and described, then handed to the gatherer."""

    def __init__(self, service: Service, gatherer: Gatherer) -> None:
        self._service = service
        self._gatherer = gatherer
        self._reading = asyncio.Semaphore(_READ_AT_ONCE)
        self._numbers = itertools.count(1)

    async def take(self, request: Request, asked: Asking, signal: Signal) -> Response:
        """Answer one request."""
        encoding = encoding_of(request.headers.get("content-type", ""))
        if encoding is None:
            raise UnsupportedMediaError(
                f"Content-Type: OTLP/HTTP is {Encoding.PROTOBUF.value} or {Encoding.JSON.value}"
            )
        packed = is_gzip(request.headers.get("content-encoding", ""))
        chain = _chain_for(asked, request.headers.get(CHAIN))
        headers = {CHAIN: chain}
        with self._gatherer.room() as room:
            pieces = []
            async for piece in request.stream():
                room.take(len(piece))
                pieces.append(piece)
            async with self._reading:
                received = await run_in_threadpool(
                    self._read, pieces, room, packed, encoding, signal, chain, asked
                )
            if received is not None:
                headers[LINK] = str((await self._sealed(received)).sequence)
        return Response(success(encoding), headers=headers, media_type=encoding.value)

    def _read(
        self,
        pieces: list[bytes],
        room: Room,
        packed: bool,
        encoding: Encoding,
        signal: Signal,
        chain: str,
        asked: Asking,
    ) -> Received | None:
        """What came in, decoded and described; None if it carries nothing."""
        moment = self._service.vault.clock()
        remarks: tuple[str, ...] = ()
        if packed:
            remarks = (_as_sent(pieces),)
            data = gunzip(pieces, limit=self._service.limits.export, grown=room.take)
            room.give(sum(map(len, pieces)))
        else:
            data = b"".join(pieces)
        pieces.clear()
        export = read_export(data, signal, encoding)
        if export.empty:
            return None
        if export.other is not None:
            remarks += (f"sent to /v1/{signal}, and carries {export.other}",)
        name = _name(export.other or signal, encoding, moment, next(self._numbers))
        identity = asked.identity
        return Received(
            chain=chain,
            actor=identity.actor,
            path=f"{identity.id} /v1/{signal}",
            name=name,
            data=data,
            sha256=sha256_hex(data),
            source=export.service,
            described=self._service.intake.describe(data, name),
            remarks=remarks,
            received_at=moment,
        )

    async def _sealed(self, received: Received) -> Sealed:
        try:
            return await asyncio.wrap_future(self._gatherer.hand_over(received))
        except ConflictError as error:
            # Who lost a race sends again; exporters throw away what a 409 refuses.
            raise UnavailableError(str(error)) from error


def _chain_for(asked: Asking, named: str | None) -> str:
    """The chain that a request is for. Raises as `Access.check`, and `MalformedError`."""
    identity = asked.identity
    if identity.kind != "collector":
        raise NotPermittedError(
            f"{identity.id} is a person; telemetry takes the token of a collector: "
            "evault token add --collector NAME --chain CHAIN",
            permission=Permission.INGEST.value,
        )
    chains = identity.chains or ()
    if named is None and len(chains) != 1:
        of = f"is for {', '.join(chains)}" if chains else "is bound to none"
        raise MalformedError(f"{CHAIN}: say which chain; the token of {identity.id} {of}")
    chain = check_chain_id(chains[0] if named is None else named)
    if chain == VAULT_CHAIN:
        raise NotFoundError(f"{VAULT_CHAIN}: evidence belongs to an incident or a stream")
    asked.access.check(Permission.INGEST, chain)
    return chain


def _name(signal: str, encoding: Encoding, moment: datetime, number: int) -> str:
    at = f"{moment:%Y%m%dT%H%M%S}.{moment.microsecond // 1000:03d}Z"
    return f"otlp-{signal}-{at}-{number}.{encoding.suffix}"


def _as_sent(pieces: Sequence[bytes]) -> str:
    sent = b"".join(pieces)
    return f"sent as gzip: {len(sent):,} bytes, SHA-256 {sha256_hex(sent)}"
