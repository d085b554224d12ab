"""The application: routes behind a guard, errors as problems, and nothing else.

Built by `cli.serving` from a `Service`; importing this module does nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool

from vault.http import guard, problems
from vault.http.audit_log import AuditLogMiddleware
from vault.http.gathering import Gatherer
from vault.http.limits import LimitsMiddleware
from vault.http.openapi import describe
from vault.http.otlp_failures import OtlpFailuresMiddleware
from vault.http.routes import (
    attestations,
    captures,
    chains,
    collectors,
    custody,
    document,
    evidence,
    exports,
    grants,
    health,
    incidents,
    log,
    reports,
    requests,
    retention,
    streams,
    sweeps,
    telemetry,
    tokens,
    verify,
    waivers,
)
from vault.http.served import Service

_DESCRIPTION = """
Evidence of AI-agent incidents: kept under hash-chained, signed manifests, and provable without
trust in this server. What it gives as stored bytes (manifests, checkpoints, tiles, proofs) is meant
to be checked by who asks: see `verify/FORMAT.md`.
"""


def create_app(service: Service, close: Callable[[], None] = lambda: None) -> FastAPI:
    """The application; `close` is called at its end.

    Raises `TypeError` where a route declares no permission.
    """
    gatherer = Gatherer(service.vault, service.gathering, service.intake.host)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        await run_in_threadpool(gatherer.close)
        await run_in_threadpool(service.sweeps.close)
        await run_in_threadpool(service.refusals.close)
        await run_in_threadpool(close)

    app = FastAPI(
        title="Evidence vault",
        version=service.vault.foundation.version,
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        # To where it would send on is the Host that was sent, and http behind a proxy.
        redirect_slashes=False,
        lifespan=lifespan,
    )
    problems.install(app)
    for routes in (
        health.health_routes,
        log.log_routes,
        chains.chain_routes,
        incidents.incident_routes,
        captures.capture_routes,
        evidence.incident_evidence_routes,
        evidence.chain_evidence_routes,
        attestations.attestation_routes,
        waivers.waiver_routes,
        reports.report_routes,
        custody.incident_custody_routes,
        custody.chain_custody_routes,
        retention.incident_retention_routes,
        retention.chain_retention_routes,
        retention.policy_routes,
        streams.stream_routes,
        sweeps.sweep_routes,
        collectors.collector_routes,
        grants.grant_routes,
        tokens.token_routes,
        requests.request_routes,
        verify.verify_routes,
        exports.export_routes,
    ):
        guard.include(app, routes(service))
    guard.include(app, telemetry.telemetry_routes(service, gatherer))
    described = cache(lambda: describe(app, service.schemas))
    guard.include(app, document.document_routes(service, described))
    guard.routes_of(app)
    app.add_middleware(LimitsMiddleware, limits=service.limits)
    app.add_middleware(OtlpFailuresMiddleware)
    app.add_middleware(AuditLogMiddleware, clock=service.vault.clock)
    return app
