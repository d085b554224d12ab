"""Limits before anything is read: how many requests at once, how large and how slow a body may be.

An ASGI layer around the application. A route that streams its body declares so by its path's
marker in `STREAMED`; all others are cut off at `Limits.body`.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections import Counter
from contextlib import AbstractAsyncContextManager, nullcontext
from weakref import WeakValueDictionary

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vault.errors import UnavailableError
from vault.http.pace import Flow
from vault.http.problems import (
    TooLargeError,
    TooManyRequestsError,
    TooSlowError,
    response_of,
)
from vault.http.served import Limits
from verify.errors import EvidenceError

STREAMED = re.compile(
    r"/v1/(incidents/[^/]+/evidence|chains/[^/]+/(evidence|captures)|verify/[a-z]+)\Z"
)
"""Paths whose bodies are evidence: of any size, and as long as they keep coming."""

TELEMETRY = re.compile(r"/v1/(traces|logs)\Z")
"""Paths of OTLP/HTTP: read whole, with a limit of their own; many wait, and do little else."""

HEALTH = ("/healthz", "/readyz")

_STRANGERS = b""
_MOST_KNOWN = 10_000
_WATCHING = 4
"""Requests for the state of the process that are answered at once; others wait for their turn."""


class LimitsMiddleware:
    """Turns away what is too much, too large or too slow, with a problem that says so."""

    def __init__(self, app: ASGIApp, *, limits: Limits) -> None:
        self._app = app
        self._limits = limits
        self._at_work = {False: 0, True: 0}
        """Requests at work: of telemetry, and all others."""
        self._at_work_of: Counter[tuple[bool, bytes]] = Counter()
        """Each of the two, by who asks; of all who are strangers together."""
        self._let_in: dict[bytes, bytes] = {}
        """Who was let in, by the digest of what they showed, the last ones last."""
        self._watching = asyncio.Semaphore(_WATCHING)
        self._turns: WeakValueDictionary[bytes, asyncio.Semaphore] = WeakValueDictionary()
        """Turns to stream a body, of each who has requests at work."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"]
        # Whoever watches over the process is answered whatever others do, and takes no place of
        # theirs: who floods these keeps but others who do waiting.
        if path in HEALTH:
            async with self._watching:
                await self._limited(scope, receive, send)
            return
        telemetry = TELEMETRY.match(path) is not None
        shown = _shown(scope)
        # Whoever makes tokens up is one stranger, however many they make up.
        one = self._let_in.get(shown, _STRANGERS)

        def let_in(identity: str) -> None:
            """Count it as theirs. Raises `TooManyRequestsError`."""
            nonlocal one
            who = identity.encode()
            self._let_in.pop(shown, None)
            self._let_in[shown] = who
            if len(self._let_in) > _MOST_KNOWN:
                del self._let_in[next(iter(self._let_in))]
            if who == one:
                return
            if full := self._full_of_one(telemetry, who):
                raise _too_many(full)
            self._count(telemetry, one, -1)
            one = who
            self._count(telemetry, one, 1)

        scope.setdefault("state", {})["let_in"] = let_in
        if full := self._full(telemetry, one):
            await response_of(_too_many(full), path)(scope, receive, send)
            return
        self._at_work[telemetry] += 1
        self._count(telemetry, one, 1)
        try:
            async with self._turn(scope, shown):
                await self._limited(scope, receive, send)
        finally:
            self._at_work[telemetry] -= 1
            self._count(telemetry, one, -1)

    def _count(self, telemetry: bool, one: bytes, change: int) -> None:
        self._at_work_of[telemetry, one] += change
        if not self._at_work_of[telemetry, one]:
            del self._at_work_of[telemetry, one]

    def _turn(self, scope: Scope, shown: bytes) -> AbstractAsyncContextManager[None]:
        """Where a body is streamed: waits until others of the same sender leave it a turn."""
        if not _streams(scope):
            return nullcontext()
        turn = self._turns.get(shown)
        if turn is None:
            turn = self._turns[shown] = asyncio.Semaphore(self._limits.streams_of_one)
        return turn

    def _full(self, telemetry: bool, one: bytes) -> str:
        """What there is too much of already, in words; nothing if there is room."""
        limits = self._limits
        if self._at_work[telemetry] >= (limits.exports if telemetry else limits.concurrent):
            return f"{self._at_work[telemetry]} requests"
        return self._full_of_one(telemetry, one)

    def _full_of_one(self, telemetry: bool, one: bytes) -> str:
        limits, of_one = self._limits, self._at_work_of[telemetry, one]
        if of_one >= (limits.exports_of_one if telemetry else limits.concurrent_of_one):
            return f"{of_one} requests of one sender, or of those that are not known,"
        return ""

    async def _limited(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        streamed = _streams(scope)
        most = self._limits.export if TELEMETRY.match(path) else self._limits.body
        limit = None if streamed else most
        patience = self._limits.idle_seconds if streamed else self._limits.body_seconds
        flow = Flow(self._limits.least_rate, self._limits.rate_seconds) if streamed else None
        size, begun, whole = 0, False, False
        end: float | None = None
        """Until when a body that is read whole has to be there."""
        failure: EvidenceError | None = None

        async def bounded() -> Message:
            nonlocal size, failure, end, whole
            if begun or whole:  # nothing is to come any more: what is waited for is the line's end
                return await receive()
            since = asyncio.get_running_loop().time()
            if end is None or streamed:
                end = since + patience
            try:
                async with asyncio.timeout_at(end):
                    message = await receive()
            except TimeoutError:
                slow = "nothing came for" if streamed else "a body here has to be whole within"
                failure = TooSlowError(f"{slow} {patience:g} s; nothing was kept of it")
                raise failure from None
            whole = not message.get("more_body", False)
            came = len(message.get("body", b""))
            size += came
            waited = asyncio.get_running_loop().time() - since
            if flow is not None and flow.too_slow(waited, came) and not whole:
                failure = TooSlowError(self._too_slow())
                raise failure
            if limit is not None and size > limit:
                failure = TooLargeError(f"a body here is {limit:,} bytes at most")
                raise failure
            return message

        async def watched(message: Message) -> None:
            nonlocal begun
            begun = True
            # What the framework makes of a body that broke off is not what is the matter.
            if failure is None:
                await send(message)

        try:
            await self._app(scope, bounded, watched)
        except (TooLargeError, TooSlowError):
            pass
        except (
            asyncio.CancelledError
        ):  # the server was told to stop, and its patience is at its end
            if begun:
                raise
            failure = UnavailableError(
                "this server stops, and cannot say whether this was kept; send it again: under the "
                "same Idempotency-Key or deposit id it is kept once"
            )
        if failure is not None:
            await response_of(failure, path)(scope, receive, send)

    def _too_slow(self) -> str:
        least, seconds = self._limits.least_rate, self._limits.rate_seconds
        return (
            f"this came at less than {least:,.0f} bytes a second, over {seconds:g} s; nothing was "
            "kept of it. Send it in smaller parts, or over a faster line; whoever runs the server "
            "may ask for less (EVAULT_LEAST_RATE)"
        )


def _too_many(what: str) -> TooManyRequestsError:
    return TooManyRequestsError(f"{what} are at work here; come back in a moment")


def _streams(scope: Scope) -> bool:
    return scope["method"] == "POST" and STREAMED.match(scope["path"]) is not None


def _shown(scope: Scope) -> bytes:
    """What tells one from another before anybody is asked who they are; no secret is kept."""
    shown = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
    return hashlib.sha256(shown).digest()
