"""The audit log: one line of JSON for each request, whatever became of it.

It stands beside the chain, and takes its place nowhere: it tells of requests that are no evidence.
It never holds a token, a query, a body, or a header that was sent.
"""

from __future__ import annotations

import json
import logging
import secrets
import time
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vault.http.guard import chain_of
from vault.ports import Clock
from verify.instant import format_instant

LOGGER = "evault.audit"
_log = logging.getLogger(LOGGER)
_LONGEST = 200


class AuditLogMiddleware:
    """Logs each request at its end, and names it to who asked (`X-Request-Id`)."""

    def __init__(self, app: ASGIApp, *, clock: Clock) -> None:
        self._app = app
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and log what was answered."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = secrets.token_hex(8)
        scope.setdefault("state", {})["request_id"] = request
        at, started = format_instant(self._clock()), time.perf_counter()
        status, sent, received, whole = 0, 0, 0, False

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            return message

        async def watched(message: Message) -> None:
            nonlocal status, sent, whole
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message.get("headers", ()),
                    (b"x-request-id", request.encode()),
                ]
            await send(message)
            sent += len(message.get("body", b""))
            whole = message["type"] == "http.response.body" and not message.get("more_body")

        try:
            await self._app(scope, counted, watched)
        finally:
            line = {
                "at": at,
                "bytes_received": received,
                "bytes_sent": sent,
                "complete": whole,
                "duration_ms": round((time.perf_counter() - started) * 1000, 1),
                "method": str(scope["method"])[:_LONGEST],
                "request": request,
                "status": status or 500,
                **_known_of(scope),
            }
            _log.info("%s", json.dumps(line, sort_keys=True))


def _known_of(scope: Scope) -> dict[str, Any]:
    """Who asked, for which route, and about which chain; null for what was not found out."""
    identity = scope["state"].get("identity")
    route = scope.get("route")
    chain = chain_of(scope.get("path_params") or {})
    return {
        "chain": None if chain is None else chain[:_LONGEST],
        "identity": None if identity is None else identity.id,
        "route": getattr(route, "path", None),
        "token": None if identity is None else identity.token,
    }
