"""Grants: who holds which role, on which chains."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse, Response

from vault.access import Permission
from vault.documents import granted_json, grants_json
from vault.grants import within
from vault.http import guard
from vault.http.answers import REQUEST, ref, tells
from vault.http.bodies import GrantBody, RevocationBody
from vault.http.granting import check_others_grant
from vault.http.guard import AUTHENTICATED, asking, needs, still_admitted
from vault.http.routes.requests import accepted
from vault.http.served import Asking, Service
from vault.http.two_persons import GRANT
from verify.grant import Grant
from verify.instant import format_instant, read_given_instant
from verify.statement import VAULT_CHAIN


def grant_routes(service: Service) -> APIRouter:
    """`/v1/grants…`."""
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

    @router.post("", status_code=202)
    @needs(Permission.GRANT)
    @tells(
        REQUEST,
        other={200: ("They hold it so already; nothing is asked for.", ref("grant-add#/oneOf/0"))},
        refuses=(404,),
    )
    def grant(body: GrantBody, asked: Annotated[Asking, Depends(asking)]) -> Response:
        """Ask that a person hold a role; once a second person approved the request, they do.

        Neither of you two is that person, under whatever spelling. What an incident is about holds
        no role.
        """
        vault = asked.vault
        begins = None if body.start is None else read_given_instant(body.start)
        ends = None if body.to is None else read_given_instant(body.to)
        if begins is None:
            held = vault.grants.held(body.person, body.role, body.chains, ends)
            if held is not None:
                return JSONResponse(granted_json(held, None, vault.clock()))
        said = {
            "chains": list(dict.fromkeys(body.chains)),
            "person": body.person,
            "role": body.role.value,
            "valid_from": None if begins is None else format_instant(begins),
            "valid_to": None if ends is None else format_instant(ends),
        }
        return accepted(service, asked, GRANT, VAULT_CHAIN, said, body.reason)

    @router.post("/revocations", status_code=201)
    @needs(Permission.GRANT)
    @tells("grant-revoke", refuses=(404,))
    def revoke(
        body: RevocationBody,
        asked: Annotated[Asking, Depends(asking)],
        still: Annotated[Callable[[], None], Depends(still_admitted)],
    ) -> Response:
        """Take a role back, at once.

        Not from the last two people of whom one may ask for a grant and the other approve it.
        """
        vault = asked.vault

        def allowed(before: Sequence[Grant], after: Sequence[Grant]) -> None:
            still()  # of two who revoke each other, one does
            check_others_grant(before, after, vault.clock())

        gone, receipt = vault.grants.revoke(
            body.person, body.role, body.chains, reason=body.reason, allowed=allowed
        )
        told = {
            "chains": list(gone),
            "person": body.person,
            "receipt": receipt.to_json(),
            "role": body.role.value,
        }
        return JSONResponse(told, 201)

    return router
