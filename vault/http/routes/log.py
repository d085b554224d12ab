"""The log as C2SP tlog-tiles has it, for everyone: tiles, entry bundles, checkpoints, proofs.

Leaves are digests of salted statements, signatures and keys: they tell nothing about evidence, so
that witnesses and monitors need no token.
"""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import PlainTextResponse, Response

from vault import layout
from vault.errors import NotFoundError
from vault.http import guard
from vault.http.answers import BYTES, STORED, TEXT, tells
from vault.http.guard import PUBLIC, needs
from vault.http.served import Service

_TILE = re.compile(r"(entries|[0-9]|[1-5][0-9])/(x[0-9]{3}/)*[0-9]{3}(\.p/[1-9][0-9]{0,2})?\Z")
_MOST = (1 << 63) - 1
"""Beyond it no database counts entries, and their number is one more than the last one's index."""
_FOREVER = "public, max-age=31536000, immutable"
_BRIEFLY = "public, max-age=2"


def log_routes(service: Service) -> APIRouter:
    """`/v1/log/…`."""
    router = guard.router(service, "/v1/log", tags=["log"])
    vault = service.vault

    @router.get("/checkpoint", response_class=PlainTextResponse)
    @needs(PUBLIC)
    @tells(media=TEXT)
    def checkpoint() -> Response:
        """The newest published checkpoint: a C2SP signed note."""
        return _note(str(vault.log.newest()).encode(), _BRIEFLY)

    @router.get("/checkpoints/{number}", response_class=Response)
    @needs(PUBLIC)
    @tells(STORED)
    def published(number: int) -> Response:
        """A checkpoint by its number, as stored, with the leaf hashes added since the last."""
        if number < 1:
            raise NotFoundError("checkpoints are numbered from 1")
        return Response(
            vault.log.published(number).encode(),
            media_type="application/json",
            headers={"Cache-Control": _FOREVER},
        )

    @router.get("/tile/{path:path}", response_class=Response)
    @needs(PUBLIC)
    @tells(media=BYTES)
    def tile(path: str) -> Response:
        """A tile or an entry bundle, as stored."""
        if not _TILE.match(path):
            raise NotFoundError(f"tile/{path} is no tile; see c2sp.org/tlog-tiles")
        data = vault.store.get(f"{layout.TILES}{path}")
        return Response(
            data,
            media_type="application/octet-stream",
            headers={"Cache-Control": _FOREVER},
        )

    @router.get("/proof", response_class=PlainTextResponse)
    @needs(PUBLIC)
    @tells(media=TEXT)
    def inclusion(index: Annotated[int, Query(ge=0, lt=_MOST)]) -> Response:
        """The C2SP tlog-proof of a log entry, under the first checkpoint that covers it."""
        proof = vault.log.inclusion(index, vault.log.covering(index))
        return _note(str(proof).encode(), _FOREVER)

    @router.get("/consistency", response_class=PlainTextResponse)
    @needs(PUBLIC)
    @tells(media=TEXT)
    def consistency(
        older: Annotated[int, Query(ge=1, lt=_MOST)],
        newer: Annotated[int | None, Query(ge=1, lt=_MOST)] = None,
    ) -> Response:
        """The proof that the tree at one size extends that at another."""
        return _note(str(vault.log.consistency(older, newer)).encode(), _BRIEFLY)

    return router


def _note(data: bytes, cache: str) -> Response:
    return Response(data, media_type="text/plain; charset=utf-8", headers={"Cache-Control": cache})
