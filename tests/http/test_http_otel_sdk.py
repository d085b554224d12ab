"""The stock OpenTelemetry exporters, unchanged: endpoint and headers are all that they are told."""

from __future__ import annotations

import random
import shutil
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
import urllib3
from cli_support import run
from exports import STREAM, Item, sealed, sent, spans
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from otlp_server import ServerProcess, people
from servers.postgres import PostgresServer
from servers.s3 import S3Bucket
from serving import Site

from cli.compose import open_vault
from cli.settings import read_settings
from cli.vault import Vault
from verify.statement import parse_capture

RESOURCE = Resource({"service.name": "mail-agent", "service.version": "1.4.2"})
LINES = "log line "


class Watched(requests.Session):
    """A session that notes what went over the wire, and what was acknowledged."""

    def __init__(self) -> None:
        super().__init__()
        self.acknowledged: list[bytes] = []

    def post(self, url: Any, data: Any = None, *args: Any, **more: Any) -> Any:
        return self.request("POST", url, *args, data=data, **more)

    def request(self, *args: Any, **more: Any) -> Any:
        answer = super().request(*args, **more)
        if answer.status_code == 200:
            self.acknowledged.append(more["data"])
        return answer


class Agent:
    """An agent with spans and logs, as the documentation of the SDK sets one up."""

    def __init__(self, batch: int = 512, delay: float = 5_000) -> None:
        self.sessions = Watched(), Watched()
        self.spans: set[bytes] = set()
        self.lines: list[str] = []
        self._tracing = TracerProvider(resource=RESOURCE, shutdown_on_exit=False)
        self._tracing.add_span_processor(
            BatchSpanProcessor(
                OTLPSpanExporter(session=self.sessions[0]),
                max_queue_size=100_000,
                schedule_delay_millis=delay,
                max_export_batch_size=batch,
            )
        )
        self._logging = LoggerProvider(resource=RESOURCE, shutdown_on_exit=False)
        self._logging.add_log_record_processor(
            BatchLogRecordProcessor(
                OTLPLogExporter(session=self.sessions[1]),
                max_queue_size=100_000,
                schedule_delay_millis=delay,
                max_export_batch_size=batch,
            )
        )
        self._tracer = self._tracing.get_tracer("agent")
        self._logger = self._logging.get_logger("agent")

    def work(self) -> None:
        """Ask a model, call a tool, say so in the log."""
        with self._tracer.start_as_current_span("invoke_agent mail") as whole:
            whole.set_attribute("gen_ai.operation.name", "invoke_agent")
            with self._tracer.start_as_current_span("chat claims-7b") as chat:
                chat.set_attribute("gen_ai.operation.name", "chat")
                chat.set_attribute("gen_ai.request.model", "claims-7b")
                chat.set_attribute("gen_ai.response.model", "claims-7b-2026-03")
            with self._tracer.start_as_current_span("execute_tool send_email") as tool:
                tool.set_attribute("gen_ai.operation.name", "execute_tool")
                tool.set_attribute("gen_ai.tool.name", "send_email")
                tool.set_attribute("gen_ai.tool.call.id", f"call-{len(self.spans)}")
                line = f"{LINES}{len(self.lines)}"
                self._logger.emit(timestamp=time.time_ns(), body=line)
        self.lines.append(line)
        for each in (whole, chat, tool):
            self.spans.add(each.get_span_context().span_id.to_bytes(8, "big"))

    def finish(self) -> None:
        """Send the rest, however long it takes."""
        assert self._tracing.force_flush(300_000)
        assert self._logging.force_flush(300_000)
        self._tracing.shutdown()
        self._logging.shutdown()

    @property
    def acknowledged(self) -> list[bytes]:
        return [each for session in self.sessions for each in session.acknowledged]


def spans_in(items: list[Item]) -> Counter[bytes]:
    """How often each span is in what was sealed."""
    return Counter(
        span.span_id
        for each in items
        if each.description.path.endswith("/v1/traces")
        for about in ExportTraceServiceRequest.FromString(each.data).resource_spans
        for scope in about.scope_spans
        for span in scope.spans
    )


def lines_in(items: list[Item]) -> Counter[str]:
    """How often each line of the log is in what was sealed."""
    return Counter(
        record.body.string_value
        for each in items
        if each.description.path.endswith("/v1/logs")
        for about in ExportLogsServiceRequest.FromString(each.data).resource_logs
        for scope in about.scope_logs
        for record in scope.log_records
    )


def sealed_at(server: ServerProcess) -> list[Item]:
    """What a server's home holds, once it has stopped."""
    vault = open_vault(read_settings({}, server.home))
    try:
        return sealed(vault)
    finally:
        vault.close()


def told(url: str, authorization: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tell exporters what the README says, and to have patience."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
    headers = f"Authorization={authorization.replace(' ', '%20')}"
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", headers)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "120")


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_what_stock_exporters_send_is_kept_and_read(
    site: Site, vault: Vault, monkeypatch: pytest.MonkeyPatch, compression: str
) -> None:
    told(site.url, site.people.collector("edge-1", STREAM)["Authorization"], monkeypatch)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", compression)
    agent = Agent()
    for _ in range(5):
        agent.work()
    agent.finish()
    items = sealed(vault)
    assert spans_in(items) == dict.fromkeys(agent.spans, 1)
    assert lines_in(items) == dict.fromkeys(agent.lines, 1)
    if compression == "none":
        assert sorted(agent.acknowledged) == sorted(each.data for each in items)
    traces = next(each for each in items if each.description.path.endswith("/v1/traces"))
    facts = traces.description.facts
    assert facts.models_requested == ("claims-7b",)
    assert facts.models_returned == ("claims-7b-2026-03",)
    assert [(tool.name, tool.calls) for tool in facts.tools] == [("send_email", 5)]
    assert facts.platforms == ("mail-agent",)
    assert "tool_trace" in traces.exhibit.item.kinds
    bodies = [each.statement.body for each in vault.incidents.read(STREAM).manifests]
    assert {parse_capture(each, where="").source for each in bodies} == {"mail-agent"}


@pytest.fixture
def server(made: Path, tmp_path: Path) -> Iterator[ServerProcess]:
    """A server of a new home, not started."""
    shutil.copytree(made, tmp_path / "home")
    with not_started(tmp_path / "home") as server:
        yield server


@contextmanager
def not_started(home: Path) -> Iterator[ServerProcess]:
    """A server of a home; what is left running of it is ended."""
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        port = place.getsockname()[1]
    server = ServerProcess(home, port)
    try:
        yield server
    finally:
        for each in server.running:
            each.kill()
            each.wait()


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_server_that_dies_at_the_commit_has_promised_nothing(
    server: ServerProcess, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """The exporter hears nothing, sends again, and it is there once."""
    told(server.url, people()[1]["Authorization"], monkeypatch)
    server.start(moment)
    agent = Agent()
    agent.work()
    sending = threading.Thread(target=agent.finish)
    sending.start()
    server.wait_for_its_death()
    assert agent.acknowledged == []
    server.start()
    sending.join()
    server.stop()
    items = sealed_at(server)
    assert spans_in(items) == dict.fromkeys(agent.spans, 1)
    assert lines_in(items) == dict.fromkeys(agent.lines, 1)
    assert len(items) == 2


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kills", [3, pytest.param(30, marks=pytest.mark.soak)])
def test_a_server_killed_again_and_again_loses_and_doubles_nothing(
    server: ServerProcess,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    kills: int,
) -> None:
    """The exporters go on all the while, and retry: six times, with growing pauses."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    told(server.url, people()[1]["Authorization"], monkeypatch)
    server.start()
    agent = Agent(batch=32, delay=20)
    done = threading.Event()

    def works() -> None:
        while not done.wait(0.02):
            agent.work()

    working = threading.Thread(target=works)
    working.start()
    try:
        for _ in range(kills):
            time.sleep(rng.uniform(0.3, 1.5))
            server.kill()
            server.start()
        time.sleep(1)
    finally:
        done.set()
        working.join()
    agent.finish()
    server.stop()
    assert len(agent.spans) > 100
    items = sealed_at(server)
    bodies = [each.data for each in items]
    assert len(set(bodies)) == len(bodies), "a retry was sealed twice"
    assert set(agent.acknowledged) <= set(bodies), "what was acknowledged is gone"
    found, lines = spans_in(items), lines_in(items)
    assert set(found.values()) == set(lines.values()) == {1}
    gave_up = any("Failed to export" in each.message for each in caplog.records)
    assert kills > 3 or not gave_up
    if not gave_up:
        assert (set(found), set(lines)) == (agent.spans, set(agent.lines))
    said = run("--home", server.home, "verify", STREAM)
    assert said.code == 0, said.out


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_two_hosts_of_one_vault_seal_once_what_is_sent_to_both(
    s3_bucket: S3Bucket, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    """On real servers; every other request is sent to both at once, and one host dies meanwhile."""
    home = tmp_path / "home"
    store = ("--store", f"s3://{s3_bucket.name}/otlp", "--endpoint-url", s3_bucket.server.endpoint)
    database = postgres_server.url(postgres_server.database())
    made = run("--home", home, "init", *store, "--database", database)
    assert made.code == 0, made.err
    shutil.copytree(home, tmp_path / "copy")
    who = sent(people()[1])
    pool = urllib3.PoolManager(retries=False, maxsize=20)
    acknowledged: set[bytes] = set()

    def send(url: str, body: bytes) -> None:
        try:
            answer = pool.request("POST", f"{url}/v1/traces", body=body, headers=who)
        except urllib3.exceptions.HTTPError:
            return  # it was killed: nothing was promised
        assert answer.status == 200, answer.data
        acknowledged.add(body)

    with not_started(home) as one, not_started(tmp_path / "copy") as other:
        one.start()
        other.start()
        bodies = [spans(number) for number in range(60)]
        with ThreadPoolExecutor(12) as sending:
            for number, body in enumerate(bodies):
                sending.submit(send, one.url, body)
                if number % 2:
                    sending.submit(send, other.url, body)
                if number == 40:
                    time.sleep(0.5)
                    one.kill()
        one.start()
        for body in bodies:  # as exporters do that have heard nothing, and as some that have
            send(one.url, body)
        one.stop()
        other.stop()
        items = sealed_at(one)
    assert acknowledged == set(bodies)
    assert sorted(each.data for each in items) == sorted(bodies)
    said = run("--home", home, "verify", STREAM)
    assert said.code == 0, said.out
