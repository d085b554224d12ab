"""`evault serve` in processes of its own: started, killed as by a power cut, stopped."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import urllib3

from cli.compose import open_vault
from cli.settings import read_settings
from cli.storage import open_access
from cli.vault import now
from vault.ports import IdentityKind
from vault.tokens import Tokens
from verify.grant import EVERY_CHAIN, GrantedRole

ROOT = Path(__file__).parents[2]
_START = 120.0


@dataclass
class EvaultServer:
    """One server of a home, with its workers."""

    home: Path
    port: int
    workers: int = 1
    _running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        """What it and its workers said, since the first start."""
        return self.home.parent / f"server-{self.port}.log"

    def start(self) -> None:
        """Start it, and wait until it is ready."""
        words = ["--home", str(self.home), "serve", "--port", str(self.port)]
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "cli", *words, "--workers", str(self.workers)],
                stdout=log,
                stderr=log,
                cwd=ROOT,
                start_new_session=True,  # so that it and its workers can be killed together
            )
        self._running.append(process)
        pool = urllib3.PoolManager(retries=False)
        until = time.monotonic() + _START
        while time.monotonic() < until and process.poll() is None:
            try:
                if pool.request("GET", f"{self.url}/readyz", timeout=10).status == 200:
                    return
            except urllib3.exceptions.HTTPError:
                pass
            time.sleep(0.05)
        raise RuntimeError(f"the server did not start: {self.log.read_text()[-2000:]}")

    def kill(self) -> None:
        """End it and all of its workers at once, as when the machine loses power."""
        process = self._running.pop()
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        while not _is_free(self.port):  # the last worker may take a moment to be gone
            time.sleep(0.01)

    def kill_worker(self, rng: random.Random) -> None:
        """End one of its processes that serve; another takes its place."""
        os.kill(rng.choice(_children(self._running[-1].pid)), signal.SIGKILL)

    def stop(self) -> None:
        """End it as an operator does: requests at work are finished. None may be left."""
        process = self._running.pop()
        process.terminate()
        try:
            code = process.wait(90)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
        assert code == 0, self.log.read_text()[-2000:]

    def tell(self) -> None:
        """Tell it to stop, and wait until it takes no more connections."""
        self._running[-1].terminate()
        while _listens(self.port):
            time.sleep(0.01)

    @property
    def listens(self) -> bool:
        """Whether somebody takes connections there."""
        return _listens(self.port)

    def ended(self) -> int:
        """Wait until it has ended; the exit code."""
        return self._running.pop().wait(90)

    def kill_parent(self) -> list[int]:
        """End the process that started the workers, alone; these."""
        process = self._running.pop()
        workers = _children(process.pid)
        process.kill()
        process.wait()
        return workers

    def end(self) -> None:
        """Kill it if it still runs."""
        if self._running:
            self.kill()

    @property
    def memory(self) -> float:
        """The peak resident memory of the process that took most, in MB."""
        return max(map(_peak, self._processes))

    def forget_peak(self) -> None:
        """Have `memory` be the peak from now on."""
        for each in self._processes:
            Path(f"/proc/{each}/clear_refs").write_text("5")

    @property
    def _processes(self) -> list[int]:
        pid = self._running[-1].pid
        return [pid, *_children(pid)]


def free_port() -> int:
    """A port where nobody listens."""
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        port: int = place.getsockname()[1]
        return port


def let_in(
    home: Path, people: Mapping[str, str], collectors: Mapping[str, str]
) -> dict[str, dict[str, str]]:
    """Tokens, as `evault token add` and `evault grant add` give them: the headers of each name.

    `people` have a role on every chain; `collectors` append to one.
    """
    headers = {}
    vault = open_vault(read_settings({}, home))
    access = open_access(home, vault.config)
    try:
        tokens = Tokens(store=access, clock=now)
        for name, role in people.items():
            vault.grants.grant(name, GrantedRole(role), [EVERY_CHAIN], reason="a test")
            headers[name] = tokens.issue(name).secret.reveal()
        for name, chain in collectors.items():
            issued = tokens.issue(f"collector:{name}", kind=IdentityKind.COLLECTOR, chains=[chain])
            headers[name] = issued.secret.reveal()
    finally:
        access.close()
        vault.close()
    return {name: {"Authorization": f"Bearer {secret}"} for name, secret in headers.items()}


def _is_free(port: int) -> bool:
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _listens(port: int) -> bool:
    with socket.socket() as trial:
        return trial.connect_ex(("127.0.0.1", port)) == 0


def _children(pid: int) -> list[int]:
    """The workers of a server, of which Python's own helper is none; empty for a single process."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [
        each
        for each in map(int, found)
        if b"spawn_main" in Path(f"/proc/{each}/cmdline").read_bytes()
    ]


def _peak(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (line,) = (each for each in lines if each.startswith("VmHWM:"))
    return int(line.split()[1]) / 1000
