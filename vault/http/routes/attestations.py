"""Attestations: what people say they did, saw or decided. Who asks is who says it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse, Response

from vault.access import Permission
from vault.attestations import values_of
from vault.completeness import ON_CHECKLIST, answers_of, check_on_checklist, report_of
from vault.documents import attested_json
from vault.http import guard
from vault.http.answers import REQUEST, tells
from vault.http.bodies import AttestationBody
from vault.http.guard import asking, needs
from vault.http.routes.requests import accepted
from vault.http.served import Asking, Service
from vault.http.two_persons import ATTESTATION
from verify.attestation import RULES, attestation_body


def attestation_routes(service: Service) -> APIRouter:
    """`/v1/incidents/{incident}/attestations`."""
    router = guard.router(
        service, "/v1/incidents/{incident}/attestations", tags=["what people say"]
    )

    @router.post("", status_code=201)
    @needs(Permission.ATTEST)
    @tells("attest#/oneOf/0", other={202: ("It waits for a second person.", REQUEST)})
    def attest(
        incident: str, body: AttestationBody, asked: Annotated[Asking, Depends(asking)]
    ) -> Response:
        """Record what somebody did, saw or decided: the vault knows only what it is told.

        202 with a request where the type takes a second person's approval.
        """
        vault = asked.vault
        fields, exhibits = values_of(body.type, body.fields), list(dict.fromkeys(body.exhibits))
        if RULES[body.type].second_person:
            said = {
                "exhibits": exhibits,
                "fields": dict(body.fields),
                "statement": body.statement,
                "type": body.type.value,
            }
            why = body.statement or str(fields.get("reason") or body.type.value)
            return accepted(service, asked, ATTESTATION, incident, said, why)
        attestation_body(body.type, fields, exhibits=tuple(exhibits), statement=body.statement)
        notes: list[str] = []
        if body.type in ON_CHECKLIST:
            chain = vault.incidents.read(incident)
            report = report_of(vault.incidents, chain, service.profile, vault.clock())
            notes = check_on_checklist(body.type, fields, answers_of(report))
        sealed = vault.attestations.attest(
            incident, body.type, fields, exhibits=exhibits, statement=body.statement
        )
        told = [*notes, *sealed.notes]
        return JSONResponse(attested_json(incident, sealed.attestation, told, sealed.receipt), 201)

    return router
