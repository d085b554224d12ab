"""Tokens: those of one's own, and, for who lets collectors in, those of collectors."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Path
from fastapi.responses import JSONResponse, Response

from vault.documents import issued_json, token_json, tokens_json
from vault.http import guard
from vault.http.answers import tells
from vault.http.bodies import RotationBody, TokenBody
from vault.http.guard import AUTHENTICATED, asking, needs, still_admitted
from vault.http.own_tokens import Judge, OwnTokens
from vault.http.served import Asking, Service
from verify.instant import read_given_instant

TokenId = Annotated[
    str, Path(pattern="^[0-9a-hjkmnp-tv-z]{12}$", description="A token's id, never its secret.")
]


def token_routes(service: Service) -> APIRouter:
    """`/v1/tokens…`."""
    router = guard.router(service, "/v1/tokens", tags=["upkeep"])

    def own(asked: Asking) -> OwnTokens:
        return OwnTokens(service.tokens, asked.access, asked.vault)

    @router.get("")
    @needs(AUTHENTICATED)
    @tells("token-list")
    def tokens(asked: Annotated[Asking, Depends(asking)]) -> Response:
        """Your own tokens, without their secrets; and collectors', for who lets collectors in.

        By a token that is limited to chains, those that are limited to these or fewer.
        """
        return JSONResponse(tokens_json(own(asked).list(), asked.vault.clock()))

    @router.post("", status_code=201)
    @needs(AUTHENTICATED)
    @tells("token-add", refuses=(403, 404))
    def issue(
        body: TokenBody,
        asked: Annotated[Asking, Depends(asking)],
        still: Annotated[Judge, Depends(still_admitted)],
    ) -> Response:
        """Make a token of your own; its secret is in this answer, and nowhere else.

        By a token that is limited to chains, one that is limited to these or fewer.
        """
        issued = own(asked).issue(body.chains, body.name, _end(body.expires), still=still)
        return JSONResponse(issued_json(issued, asked.vault.clock()), 201)

    @router.post("/{token_id}/rotation", status_code=201)
    @needs(AUTHENTICATED)
    @tells("token-rotate", refuses=(403,))
    def rotate(
        token_id: TokenId,
        body: RotationBody,
        asked: Annotated[Asking, Depends(asking)],
        still: Annotated[Judge, Depends(still_admitted)],
    ) -> Response:
        """Make a token in the place of one of your own, which ends after an overlap."""
        overlap = timedelta(seconds=body.overlap_seconds)
        issued, old = own(asked).rotate(token_id, overlap, _end(body.expires), still=still)
        moment = asked.vault.clock()
        told = {**issued_json(issued, moment), "old": token_json(old, moment)}
        return JSONResponse(told, 201)

    @router.post("/{token_id}/removal")
    @needs(AUTHENTICATED)
    @tells("token-revoke#/oneOf/0", refuses=(403,))
    def revoke(token_id: TokenId, asked: Annotated[Asking, Depends(asking)]) -> Response:
        """Have a token be valid no more, at once: one of your own, or, if you may, a collector's.

        Repeating it changes nothing.
        """
        token = own(asked).revoke(token_id)
        return JSONResponse({"token": token_json(token, asked.vault.clock())})

    return router


def _end(expires: str | None) -> datetime | None:
    return None if expires is None else read_given_instant(expires)
