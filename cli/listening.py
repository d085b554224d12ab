"""Listening until told to stop: work is finished within bounds, and no worker outlives its parent.

What was acknowledged is kept, whenever a process ends: ending at once is the same as a crash, and
is what a second signal asks for.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from socket import socket
from types import FrameType

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

GRACE_SECONDS = 20
"""How long requests at work may go on once the server was told to stop."""
_END_SECONDS = 15
"""How long, after that, what the process itself has to finish may take."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM)

_log = logging.getLogger("evault.serve")


def listen(config: uvicorn.Config) -> None:
    """Serve until SIGTERM or SIGINT, in one process or several; returns if all ended in order."""
    if config.workers > 1:
        Workers(config, [config.bind_socket()]).run()
        return
    server = Alone(config)
    config.load_app()
    server.run()
    if not server.started:
        sys.exit(STARTUP_FAILURE)


def end_with_parent() -> None:
    """Have this process stop, in order, once the server that started it as a worker is gone."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        _log.error("the server's parent process is gone; this worker stops")
        _end_after(GRACE_SECONDS + _END_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True, name="end with parent").start()


class Alone(uvicorn.Server):
    """A server in this process. Told once, it stops in order; told twice, at once."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take a signal."""
        if self.should_exit:
            os._exit(128 + sig)
        _end_after(GRACE_SECONDS + _END_SECONDS)
        super().handle_exit(sig, frame)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take signals meanwhile, and raise none at the end: being told to stop is no failure."""
        before = {each: signal.signal(each, self.handle_exit) for each in _SIGNALS}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)


class Workers(Multiprocess):
    """Several processes that serve, and this one, which starts and ends them."""

    def __init__(self, config: uvicorn.Config, sockets: list[socket]) -> None:
        """Workers to be, with the sockets that they listen at."""
        super().__init__(config, sockets)
        self._told = False
        for each in _SIGNALS:
            signal.signal(each, self._tell)

    def terminate_all(self) -> None:
        """Have them stop; who connects from now on is refused, and not left waiting."""
        super().terminate_all()
        for each in self.sockets:
            each.close()

    def _tell(self, sig: int, _frame: FrameType | None) -> None:
        if self._told:
            self._kill()
            os._exit(128 + sig)
        self._told = True
        _end_after(GRACE_SECONDS + 2 * _END_SECONDS, self._kill)
        self.signal_queue.append(sig)

    def _kill(self) -> None:
        for each in self.processes:
            each.process.kill()


def _end_after(seconds: float, first: Callable[[], None] = lambda: None) -> None:
    """End this process then, if it has not ended by itself."""

    def end() -> None:
        _log.error("this did not end by itself within %d s; it is ended now", seconds)
        first()
        os._exit(1)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
