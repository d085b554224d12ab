"""Connections before and between requests: how long one may say nothing whole, and how many.

What is in a request is bounded by `vault.http.limits`; here nobody asked for anything yet. Given to
uvicorn as its HTTP protocol.
"""

from __future__ import annotations

from asyncio import BaseTransport, TimerHandle, Transport
from typing import Any, ClassVar, cast

from starlette.types import Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class BoundedConnection(HttpToolsProtocol):
    """A connection that is closed unless the whole head of a request comes in time.

    So is one whose answer nobody takes: as long as it is not sent, its request is at work.

    Between requests uvicorn's own limit counts, until a byte comes. Where a process has all the
    connections that it takes, the one that has said nothing for longest gives way to a new one; if
    all are at work, the new one is closed.
    """

    head_seconds: ClassVar[float] = 20.0
    """From the first byte, or from the connection's beginning, until a head is whole; also how long
    the rest of a body goes on to be read once its request was answered."""
    taking_seconds: ClassVar[float] = 120.0
    """How long an answer that waits to be sent may stand still; who takes bytes slowly has them."""
    most: ClassVar[int] = 768
    """Connections of one process; a system often allows it 1,024 open files."""

    head: ClassVar[int] = 64 << 10
    """Bytes of a head; what is read with its last ones may be more."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._head_due: TimerHandle | None = None
        self._taking_due: TimerHandle | None = None
        self._at_work: Any = None
        self._silent_since = 0.0
        self._in_head = False
        self._head_size = 0

    def connection_made(self, transport: BaseTransport) -> None:
        """Begin, and wait for a head; or close what there is too much of."""
        super().connection_made(cast("Transport", transport))
        self._silent_since = self.loop.time()
        if len(self.connections) > self.most:
            others = (each for each in self.connections if isinstance(each, BoundedConnection))
            waiting = [each for each in others if each is not self and each.is_waiting]
            gives_way = min(waiting, key=lambda each: each._silent_since, default=self)
            self.connections.discard(gives_way)
            gives_way.transport.abort()
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """End; nothing is waited for any more."""
        self._stop_waiting()
        self._is_taken()
        if self._at_work is not None:  # uvicorn tells the last that was sent, which may wait behind
            self._at_work.disconnected = True
            self._at_work.message_event.set()
        super().connection_lost(exc)

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._at_work = cycle

        async def told(scope: Scope, receive: Receive, send: Send) -> None:
            async def sent(message: Message) -> None:
                if self.transport.is_closing():  # nobody is there, and it is no defect of ours
                    cycle.disconnected = True
                await send(message)

            await app(scope, receive, sent)

        super()._start_asgi_task(cycle, cast("Any", told))

    def pause_writing(self) -> None:
        """Wait until more of an answer can be sent, but not for ever."""
        super().pause_writing()
        if self._taking_due is None:
            self._taking_due = self.loop.call_later(self.taking_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """Send on."""
        self._is_taken()
        super().resume_writing()

    def data_received(self, data: bytes) -> None:
        """Read on; what comes while no request is at work has to become a head in time."""
        super().data_received(data)
        if self._in_head:
            self._head_size += len(data)
            if self._head_size > self.head:
                self.send_400_response("The head of this request is too large.")
        if self.is_waiting:
            self._await_head()

    def on_message_begin(self) -> None:
        """A head begins."""
        self._in_head, self._head_size = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """A head is whole: what follows is bounded by the application."""
        self._in_head = False
        self._stop_waiting()
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """A request was answered: from now on the connection waits."""
        self._silent_since = self.loop.time()
        super().on_response_complete()

    @property
    def is_waiting(self) -> bool:
        """Whether no request of it is at work."""
        return self.cycle is None or self.cycle.response_complete

    def _await_head(self) -> None:
        if self._head_due is None and not self.transport.is_closing():
            self._head_due = self.loop.call_later(self.head_seconds, self.transport.abort)

    def _is_taken(self) -> None:
        if self._taking_due is not None:
            self._taking_due.cancel()
            self._taking_due = None

    def _stop_waiting(self) -> None:
        if self._head_due is not None:
            self._head_due.cancel()
            self._head_due = None
