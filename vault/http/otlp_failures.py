"""Failures of OTLP/HTTP: what is a problem elsewhere is a `google.rpc.Status` here, as specified.

An ASGI layer around the application, so that whatever turns a request away (the guard, the limits,
the framework) is heard by exporters in the encoding that they sent.
"""

from __future__ import annotations

import json
import logging
import re
from contextlib import suppress
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vault.http.limits import TELEMETRY
from vault.http.otlp import Encoding, encoding_of, failure
from vault.http.problems import RETRY_AFTER

_OURS = re.compile(rb"retry-after|www-authenticate|allow", re.IGNORECASE)

_NO_METRICS = (
    "metrics are no evidence that is kept here; tell the agent not to send them: "
    "OTEL_METRICS_EXPORTER=none"
)

_log = logging.getLogger("evault.http")


class OtlpFailuresMiddleware:
    """Says failures of the OTLP routes in OTLP's own words.

    A 500 is a 503 there: exporters throw away what a 500 refuses, and nothing is wrong with it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and its answer back."""
        # What is read there are the figures about incidents.
        at = (scope.get("method"), scope.get("path"))
        if scope["type"] == "http" and at == ("POST", "/v1/metrics"):
            named = Headers(scope=scope).get("content-type", "")
            told = failure(_NO_METRICS, encoding_of(named) or Encoding.JSON, bad_data=False)
            media = (encoding_of(named) or Encoding.JSON).value
            await Response(told, HTTPStatus.NOT_FOUND, media_type=media)(scope, receive, send)
            return
        if scope["type"] != "http" or not TELEMETRY.match(scope["path"]):
            await self._app(scope, receive, send)
            return
        named = Headers(scope=scope).get("content-type", "")
        answer = _Answer(send)
        try:
            await self._app(scope, receive, answer.take)
        except ClientDisconnect:
            return  # nobody is there to be told, and nothing of it was kept
        except Exception as error:
            if answer.passed:
                raise
            _log.error("%s %s", scope["method"], scope["path"], exc_info=error)
            answer.failed(HTTPStatus.INTERNAL_SERVER_ERROR)
        if answer.status:
            await answer.told(encoding_of(named) or Encoding.JSON)(scope, receive, send)


class _Answer:
    """An answer on its way: passed on as it is, or kept if it is a failure."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._headers: list[tuple[bytes, bytes]] = []
        self._body = b""
        self.status = 0
        """The status of a failure, 0 while there is none."""
        self.passed = False
        """Whether something was passed on."""

    async def take(self, message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] >= HTTPStatus.BAD_REQUEST:
            self.failed(message["status"])
            self._headers = [each for each in message["headers"] if _OURS.fullmatch(each[0])]
        elif self.status:
            self._body += message.get("body", b"")
        else:
            self.passed = True
            await self._send(message)

    def failed(self, status: int) -> None:
        self.status, self._headers, self._body = status, [], b""

    def told(self, encoding: Encoding) -> Response:
        status, message = self.status, HTTPStatus(self.status).phrase
        with suppress(ValueError, KeyError, TypeError):
            message = str(json.loads(self._body)["detail"])
        if status == HTTPStatus.INTERNAL_SERVER_ERROR:
            status = HTTPStatus.SERVICE_UNAVAILABLE
            message = "the vault cannot seal this now; nothing was acknowledged, send it again"
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in self._headers}
        if status in (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS):
            headers.setdefault("retry-after", str(RETRY_AFTER))
        bad_data = status == HTTPStatus.BAD_REQUEST
        content = failure(message, encoding, bad_data=bad_data)
        return Response(content, status, headers, media_type=encoding.value)
