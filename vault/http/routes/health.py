"""Whether the process lives, whether it can work, and who is asking."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from fastapi.responses import JSONResponse, Response

from vault.http import guard
from vault.http.answers import ABOUT, ALIVE, READY, STORED, WHOAMI, tells
from vault.http.guard import AUTHENTICATED, PUBLIC, asking, needs
from vault.http.problems import response_of
from vault.http.served import Asking, Service
from verify.errors import EvidenceError
from verify.instant import format_instant
from verify.strictjson import Object


def health_routes(service: Service) -> APIRouter:
    """`/healthz`, `/readyz`, `/v1/whoami`, `/v1/vault`, `/v1/trust`."""
    router = guard.router(service, tags=["service"])

    @router.get("/healthz")
    @needs(PUBLIC)
    @tells(ALIVE)
    def health() -> Object:
        """The process answers."""
        return {"status": "alive"}

    @router.get("/readyz", responses={503: {"description": "Store or index cannot be used now."}})
    @needs(PUBLIC)
    @tells(READY)
    def ready() -> Response:
        """Store, index and log key agree, and can be used now."""
        try:
            seen = service.vault.log.check_record()
        except EvidenceError as error:
            return response_of(error, "/readyz")
        return JSONResponse({"log_size": seen.size, "status": "ready"})

    @router.get("/v1/whoami")
    @needs(AUTHENTICATED)
    @tells(WHOAMI)
    def whoami(
        asked: Annotated[Asking, Depends(asking)],
        chain: Annotated[
            str | None, Query(max_length=80, description="On this incident or stream alone.")
        ] = None,
    ) -> Object:
        """Who the vault takes you for, your roles, and what they permit on a chain, or on some.

        `grants` are all that count now, as far as the token is for their chains.
        """
        identity = asked.identity
        return {
            "authenticated": identity.authenticated,
            "chains": None if identity.chains is None else list(identity.chains),
            "expires": None if identity.expires is None else format_instant(identity.expires),
            "grants": [
                {
                    "chains": list(each.chains),
                    "from": format_instant(each.valid_from),
                    "role": each.role.value,
                    "to": None if each.valid_to is None else format_instant(each.valid_to),
                }
                for each in asked.access.held()
            ],
            "id": identity.id,
            "kind": identity.kind,
            "permissions": sorted(asked.access.permissions(chain)),
            "roles": asked.access.roles(chain),
            "token": identity.token,
        }

    @router.get("/v1/vault")
    @needs(AUTHENTICATED)
    @tells(ABOUT)
    def about() -> Object:
        """Which vault this is, and how its store keeps what it holds."""
        traits = service.vault.store.traits
        return {
            "origin": service.vault.trust.origin,
            "store": {
                "checksums": traits.checksums,
                "kind": traits.kind,
                "locks": traits.locks,
                "versions": traits.versions,
                "words": service.store_words,
            },
            "version": service.vault.foundation.version,
        }

    @router.get("/v1/trust", response_class=Response)
    @needs(PUBLIC)
    @tells(STORED)
    def trust() -> Response:
        """The vault's own trust file, as stored. It proves nothing unless it came another way.

        Public keys alone, for everyone: whoever has a token looks whom it would be shown to first.
        """
        data = service.trust_file.now().data
        # A collector that was let in just now is in it.
        return Response(data, media_type="application/json", headers={"Cache-Control": "no-cache"})

    return router
