"""Telemetry over HTTP: exports a second and their latency, beside the same server's /healthz.

A server with a folder store and SQLite, in a process of its own; 1, 8 and 32 connections post
exports of 100 spans, each distinct, for EVAULT_BENCH_SECONDS (default 10). A lone sender waits for
the gathering interval (200 ms); more connections share its captures, and its fsyncs. The second
half is told beside the first: what a capture costs must not grow with its chain.
"""

from __future__ import annotations

import http.client
import os
import secrets
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "http"))

from exports import PROTOBUF, TRACE, sent, spans
from measuring import ROOM, evault
from otlp_server import ServerProcess, people

SECONDS = float(os.environ.get("EVAULT_BENCH_SECONDS", "10"))
CONNECTIONS = (1, 8, 32)
SPANS = 100
PORT = 18_470


def measure() -> None:
    """Print two lines for each number of connections."""
    home = ROOM / "otlp"
    shutil.rmtree(home, ignore_errors=True)
    evault(home, "init")
    server = ServerProcess(home, PORT)
    server.start()
    try:
        body = spans(*range(1, SPANS + 1))
        headers = sent(people()[1], PROTOBUF)

        def export(line: http.client.HTTPConnection) -> int:
            line.request(
                "POST", "/v1/traces", body.replace(TRACE, secrets.token_bytes(16)), headers
            )
            return _status(line)

        def health(line: http.client.HTTPConnection) -> int:
            line.request("GET", "/healthz")
            return _status(line)

        print(f"an export: {SPANS} spans, {len(body) / 1000:.1f} kB")
        for count in CONNECTIONS:
            _tell(f"/v1/traces, {count:>2} connections", _load(export, count), SPANS)
            _tell(f"/healthz,   {count:>2} connections", _load(health, count), 0)
        print(f"  memory of the server: {_memory(server.running[-1]):.0f} MB at most")
    finally:
        server.stop()
        shutil.rmtree(home, ignore_errors=True)


def _status(line: http.client.HTTPConnection) -> int:
    answer = line.getresponse()
    answer.read()
    return answer.status


def _load(
    ask: Callable[[http.client.HTTPConnection], int], count: int
) -> list[tuple[float, float]]:
    """When each request that was answered with 200 ended, and how long it took."""
    done: list[tuple[float, float]] = []
    refused: list[int] = []
    started = time.perf_counter()

    def work() -> None:
        line = http.client.HTTPConnection("127.0.0.1", PORT)
        while (begun := time.perf_counter()) < started + SECONDS:
            status = ask(line)
            ended = time.perf_counter()
            if status == 200:
                done.append((ended - started, ended - begun))
            else:
                refused.append(status)
        line.close()

    threads = [threading.Thread(target=work) for _ in range(count)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    if refused:
        raise SystemExit(f"{len(refused)} requests were refused, with {set(refused)}")
    return sorted(done)


def _tell(what: str, done: list[tuple[float, float]], of: int) -> None:
    taken = sorted(each for _, each in done)
    p50, p99 = (taken[min(len(taken) - 1, int(len(taken) * part))] for part in (0.5, 0.99))
    halves = [
        statistics.median(each for at, each in done if (at > SECONDS / 2) == late) * 1000
        for late in (False, True)
    ]
    rate = len(done) / SECONDS
    spans_told = f", {rate * of:>7,.0f} spans/s" if of else ""
    print(
        f"  {what}: {rate:>7,.1f}/s{spans_told}, p50 {p50 * 1000:6.1f} ms, p99 {p99 * 1000:6.1f} ms"
        f" (halves {halves[0]:.1f}, {halves[1]:.1f})",
        flush=True,
    )


def _memory(process: subprocess.Popen[bytes]) -> float:
    """The peak resident memory of a running process, in MB."""
    for row in Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if row.startswith("VmHWM:"):
            return int(row.split()[1]) / 1000
    return 0.0


if __name__ == "__main__":
    measure()
