"""Custody: who did what, link by link; and corrections, which are links like all others.

The same routes stand below `/v1/incidents/{incident}` and, for streams too, `/v1/chains/{chain}`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query
from fastapi.responses import JSONResponse, Response

from vault.access import Permission
from vault.custody import custody_rows
from vault.documents import custody_json
from vault.http import guard, owed
from vault.http.answers import tells
from vault.http.bodies import ClassificationBody, WithdrawalBody
from vault.http.guard import asking, needs
from vault.http.served import Asking, Service
from vault.opened import Vault
from verify.strictjson import Object

OfExhibit = Annotated[
    str | None, Query(max_length=16, description="Only the links that concern this exhibit.")
]
OfPerson = Annotated[
    str | None,
    Query(max_length=1_000, description="Only what this person did, tried to, or approved."),
]


def incident_custody_routes(service: Service) -> APIRouter:
    """`/v1/incidents/{incident}/custody`, and corrections of its exhibits."""
    return _routes(service, "/v1/incidents", "incident", "^INC-")


def chain_custody_routes(service: Service) -> APIRouter:
    """`/v1/chains/{chain}/custody`, and corrections of its exhibits."""
    return _routes(service, "/v1/chains", "chain", None)


def _routes(service: Service, prefix: str, parameter: str, pattern: str | None) -> APIRouter:
    router = guard.router(service, f"{prefix}/{{{parameter}}}", tags=["custody"])
    named: Any = Path(alias=parameter, pattern=pattern)

    @router.get("/custody")
    @needs(Permission.READ_CHAIN)
    @tells("custody")
    def custody(
        asked: Annotated[Asking, Depends(asking)],
        chain: str = named,
        exhibit: OfExhibit = None,
        person: OfPerson = None,
    ) -> Response:
        """Who did what, link by link: declared, captured, read, exported, closed."""
        read = asked.vault.incidents.read(chain)
        rows = custody_rows(read.manifests, read.indices)
        if exhibit is not None:
            asked.vault.incidents.exhibits_named(read, [exhibit])
            rows = [row for row in rows if exhibit in row.exhibits]
        if person is not None:
            rows = [row for row in rows if person in row.people]
        return JSONResponse(custody_json(chain, rows))

    @router.post("/evidence/withdrawals", status_code=201)
    @needs(Permission.CORRECT)
    @tells("evidence-correct")
    def withdraw(
        body: WithdrawalBody,
        asked: Annotated[Asking, Depends(asking)],
        chain: str = named,
    ) -> Response:
        """Say that exhibits were sealed by mistake; they stay, and no longer count.

        One statement: all of them, or none.
        """
        return _corrected(asked.vault, chain, "withdrawn", body.exhibits, {"reason": body.reason})

    @router.post("/evidence/classifications", status_code=201)
    @needs(Permission.CORRECT)
    @tells("evidence-correct")
    def classify(
        body: ClassificationBody,
        asked: Annotated[Asking, Depends(asking)],
        chain: str = named,
    ) -> Response:
        """Say what exhibits are evidence of; what the parser said stays on the chain.

        One statement: all of them, or none.
        """
        kinds = [each.value for each in dict.fromkeys(body.kinds)]
        details = {"kinds": kinds, "reason": body.reason}
        return _corrected(asked.vault, chain, "classified", body.exhibits, details)

    return router


def _corrected(
    vault: Vault, chain: str, event: str, exhibits: Sequence[str], details: Object
) -> Response:
    receipt = vault.incidents.custody(chain, event, list(dict.fromkeys(exhibits)), details)
    if event == "classified":  # kinds decide how long it is kept
        owed.settle(vault, chain)
    return JSONResponse({"incident": chain, "receipt": receipt.to_json()}, 201)
