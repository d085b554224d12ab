"""Verification: what is known of a digest or a file, and audits of chains and of bundles.

An audit that failed is an answer, not an error: 200, with the verdict `failed`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import anyio
import anyio.to_thread
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse, Response
from starlette.concurrency import run_in_threadpool

from vault.access import Permission
from vault.documents import known_json
from vault.http import guard
from vault.http.answers import AUDITED, KNOWN_FILE, VERIFIED, tells
from vault.http.bodies import VerifyBody
from vault.http.guard import AUTHENTICATED, asking, needs
from vault.http.incoming import Incoming
from vault.http.problems import TooLargeError
from vault.http.served import Asking, Service
from verify.__main__ import audit_bundle_by
from verify.audit import audit
from verify.bundle import hash_of
from verify.strictjson import Object
from verify.trust import Trust

_AT_ONCE = 8
"""Files and bundles that are verified at once in one process, and chains that are audited: others
wait, on no thread that other requests need."""

_HEAD = Query(ge=0, lt=1 << 53, description="Fail a bundle that ends before this link.")


def verify_routes(service: Service) -> APIRouter:
    """`/v1/verify…`."""
    router = guard.router(service, "/v1/verify", tags=["verification"])
    limiter, auditing = anyio.CapacityLimiter(_AT_ONCE), anyio.CapacityLimiter(_AT_ONCE)
    limits = service.limits

    @router.post("")
    @needs(AUTHENTICATED)
    @tells(VERIFIED, refuses=(403, 404))
    async def verify(body: VerifyBody, asked: Annotated[Asking, Depends(asking)]) -> Response:
        """What is known of a digest, or the audit of an incident or stream, by this server.

        Of a digest you are told what lies on chains that you may verify; what was never sealed and
        what you may not see are both `unknown`.
        """
        if body.digest is not None:
            told = await run_in_threadpool(_known, asked, body.digest)
        else:
            told = await anyio.to_thread.run_sync(_audited, asked, body, limiter=auditing)
        return JSONResponse(told)

    @router.post("/file")
    @needs(AUTHENTICATED)
    @tells(KNOWN_FILE, refuses=(413, 422))
    async def file(request: Request, asked: Annotated[Asking, Depends(asking)]) -> Response:
        """What is known of a file, sent as the body itself; it is hashed, and not kept."""

        def look(pieces: Iterator[bytes]) -> Response:
            sha256, size = hash_of(pieces)
            return JSONResponse({**_known(asked, sha256), "size": size})

        return await Incoming(request).read(look, limiter)

    @router.post("/bundle")
    @needs(Permission.VERIFY)
    @tells(AUDITED, refuses=(413, 422))
    async def bundle(
        request: Request,
        asked: Annotated[Asking, Depends(asking)],
        head: Annotated[int | None, _HEAD] = None,
        checklist: Annotated[
            bool, Query(description="Compute the completeness report anew as well.")
        ] = False,
    ) -> Response:
        """The audit of a bundle, sent as the body itself, by this server's trust; it is not kept.

        Whoever doubts this server runs `python -m verify BUNDLE --trust FILE` instead.
        """
        body = Incoming(request)
        if body.size is not None and body.size > limits.bundle:
            raise _too_large(limits.bundle)
        trust = asked.vault.trust

        def judge(pieces: Iterator[bytes]) -> Response:
            with tempfile.TemporaryDirectory(prefix="evault-verify-") as folder:
                path = Path(folder) / "bundle.zip"
                size = 0
                with path.open("wb") as kept:
                    for piece in pieces:
                        size += len(piece)
                        if size > limits.bundle:
                            raise _too_large(limits.bundle)
                        kept.write(piece)
                report = audit_bundle_by(path, trust=trust, head=head, checklist=checklist)
            return JSONResponse({**report.to_json(), "trust": _told(trust)})

        return await body.read(judge, limiter)

    def _known(asked: Asking, digest: str) -> Object:
        def may_see(chain: str) -> bool:
            return Permission.VERIFY in asked.access.permissions(chain)

        known = asked.vault.lookup.known(digest, may_see, most=limits.page)
        return {**known_json(known), "trust": _told(asked.vault.trust)}

    return router


def _audited(asked: Asking, body: VerifyBody) -> Object:
    chain = body.incident
    assert chain is not None
    asked.access.check(Permission.VERIFY, chain)
    vault = asked.vault
    if body.exhibits:
        vault.incidents.exhibits_named(vault.incidents.read(chain), body.exhibits)
    record = vault.record(chain, body.depth)
    report = audit(
        record,
        vault.trust,
        trusted=True,
        head=max(record.head, body.head or 0),
        exhibits=body.exhibits or None,
    )
    return {**report.to_json(), "trust": _told(vault.trust)}


def _told(trust: Trust) -> Object:
    """Whose trust was used: a verdict is worth no more than that."""
    return {"origin": trust.origin, "sha256": trust.sha256, "whose": "server"}


def _too_large(limit: int) -> TooLargeError:
    return TooLargeError(
        f"a bundle here is {limit:,} bytes at most; verify a larger one where it lies: "
        "python -m verify BUNDLE --trust FILE"
    )
