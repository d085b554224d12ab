"""What follows from chains: checklists, sealed reports, status, timelines and figures."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from fastapi.responses import JSONResponse, Response

from vault.access import Permission
from vault.completeness import changes_since_sealed, report_of, seal_report
from vault.documents import checklist_json, metrics_json, statuses_json, timeline_json
from vault.http import guard
from vault.http.answers import tells
from vault.http.guard import AUTHENTICATED, asking, needs
from vault.http.served import Asking, Service
from vault.metrics import figures_of, measure
from vault.status import status_of
from vault.timeline import timeline_of
from verify.errors import MalformedError
from verify.instant import read_given_instant

Moment = Annotated[
    str | None,
    Query(max_length=40, description="RFC 3339 with a zone.", examples=["2026-03-01T09:30:00Z"]),
]
Sequence = Annotated[
    int | None, Query(ge=0, lt=1 << 31, description="Judge by what links 0 to this one said.")
]


def report_routes(service: Service) -> APIRouter:
    """`…/checklist`, `…/assessments`, `…/status`, `…/timeline`, `/v1/metrics`."""
    router = guard.router(service, "/v1", tags=["reports"])

    @router.get("/incidents/{incident}/checklist")
    @needs(Permission.ASSESS)
    @tells("checklist")
    def checklist(
        incident: str,
        asked: Annotated[Asking, Depends(asking)],
        as_of: Moment = None,
        at_sequence: Sequence = None,
    ) -> Response:
        """Evidence and duties held against the runbook's checklist; nothing is sealed."""
        vault = asked.vault
        chain = vault.incidents.read(incident, up_to=at_sequence)
        moment = vault.clock() if as_of is None else read_given_instant(as_of)
        report = report_of(vault.incidents, chain, service.profile, moment)
        changes = changes_since_sealed(vault.incidents, chain, report)
        return JSONResponse(checklist_json(incident, report, changes, None))

    @router.post("/incidents/{incident}/assessments", status_code=201)
    @needs(Permission.ASSESS)
    @tells("checklist")
    def assess(incident: str, asked: Annotated[Asking, Depends(asking)]) -> Response:
        """Judge an incident as it stands now, and seal the report onto its chain."""
        vault = asked.vault
        chain, moment = vault.incidents.read(incident), vault.clock()
        report = report_of(vault.incidents, chain, service.profile, moment)
        changes = changes_since_sealed(vault.incidents, chain, report)
        receipt = seal_report(
            incidents=vault.incidents,
            store=vault.store,
            clock=vault.clock,
            chain=chain,
            profile=service.profile,
            report=report,
            as_of=moment,
            protection=vault.retention.guard(chain.incident.id).needs(()),
        )
        return JSONResponse(checklist_json(incident, report, changes, receipt), 201)

    @router.get("/incidents/{incident}/status")
    @needs(Permission.READ_CHAIN)
    @tells("status")
    def status(incident: str, asked: Annotated[Asking, Depends(asking)]) -> Response:
        """Where an incident stands: its phase, its clocks, what is owed by whom."""
        vault = asked.vault
        chain = vault.incidents.read(incident)
        report = report_of(vault.incidents, chain, service.profile, vault.clock())
        return JSONResponse(statuses_json([status_of(chain.incident, report)]))

    @router.get("/incidents/{incident}/timeline")
    @needs(Permission.READ_CHAIN)
    @tells("timeline")
    def timeline(incident: str, asked: Annotated[Asking, Depends(asking)]) -> Response:
        """What people stated, what exhibits cover, and what was received, on one axis."""
        incidents = asked.vault.incidents
        chain = incidents.read(incident)
        drawn = timeline_of(chain.manifests, chain.incident, incidents.descriptions(chain))
        return JSONResponse(timeline_json(chain.incident, drawn))

    @router.get("/metrics")
    @needs(AUTHENTICATED)
    @tells("metrics", refuses=(403,))
    def metrics(
        asked: Annotated[Asking, Depends(asking)],
        from_: Annotated[Moment, Query(alias="from")] = None,
        to: Moment = None,
    ) -> Response:
        """Figures over the incidents that you may read, declared from one time on and before one.

        What is still open is left out and counted; what the chains do not hold is not known.
        """
        asked.access.check_lists()
        vault = asked.vault
        start = None if from_ is None else read_given_instant(from_)
        end = None if to is None else read_given_instant(to)
        if start and end and start >= end:
            raise MalformedError("from must be before to")
        names = asked.readable("INC-")
        as_of = vault.clock()
        measured, unreadable = measure(
            vault.incidents, names, service.profile, as_of=as_of, start=start, end=end
        )
        return JSONResponse(
            metrics_json(
                figures_of(measured),
                unreadable,
                incidents=len(measured),
                profile=service.profile,
                as_of=as_of,
                start=start,
                end=end,
            )
        )

    return router
