"""A vault served by a process of its own, to be killed: `otlp_server.py HOME PORT [MOMENT]`.

With `before` or `after` it kills itself just before or after its first commit of a capture.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import urllib3
import uvicorn
from exports import STREAM
from serving import People

from cli.compose import open_vault
from cli.serving import service_of
from cli.settings import read_settings
from cli.vault import now
from vault.capture import OpenCapture
from vault.deposit import Receipt
from vault.http import gathering
from vault.http.app import create_app


def people() -> tuple[People, Mapping[str, str]]:
    """One collector, and the headers that it sends; the same in every process."""
    known = People(now())
    return known, known.collector("edge-1", STREAM)


@dataclass
class ServerProcess:
    """The server of a home, which can be killed and started again."""

    home: Path
    port: int
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, *dies: str) -> None:
        """Start it, and wait until it answers."""
        words = [sys.executable, __file__, str(self.home), str(self.port), *dies]
        path = f"{Path(__file__).parent}:{Path(__file__).parent.parent}"
        self.running.append(subprocess.Popen(words, env={**os.environ, "PYTHONPATH": path}))
        pool = urllib3.PoolManager(retries=False)
        while True:
            assert self.running[-1].poll() is None, "the server did not start"
            try:
                pool.request("GET", f"{self.url}/healthz")
            except urllib3.exceptions.HTTPError:
                time.sleep(0.02)
            else:
                return

    def wait_for_its_death(self) -> None:
        """Wait until it has killed itself."""
        assert self.running.pop().wait(60) == -signal.SIGKILL

    def kill(self) -> None:
        """End it as a power cut does."""
        last = self.running.pop()
        last.kill()
        last.wait()

    def stop(self) -> None:
        """End it as an operator does."""
        last = self.running.pop()
        last.terminate()
        assert (
            last.wait(60) == -signal.SIGTERM
        )  # as uvicorn ends: it finishes, then lets it through


def die_at(moment: str) -> None:
    """Have this process die at its first commit."""
    original = gathering.OpenCapture.commit

    def commit(capture: OpenCapture) -> list[Receipt]:
        if moment == "after":
            original(capture)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError

    gathering.OpenCapture.commit = commit  # type: ignore[method-assign]


def main(home: str, port: str, moment: str = "") -> None:
    """Serve a home."""
    if moment:
        die_at(moment)
    vault = open_vault(read_settings({}, Path(home)))
    known = service_of(vault)
    service = replace(
        known,
        authenticator=people()[0],
        grants=lambda: (),
        limits=replace(known.limits, requests_a_minute=1_000_000),
    )
    uvicorn.run(
        create_app(service, close=vault.close),
        host="127.0.0.1",
        port=int(port),
        http="httptools",
        loop="uvloop",
        lifespan="on",
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=20,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
