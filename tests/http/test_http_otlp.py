"""OTLP/HTTP: exports are kept byte for byte, once, and refused as the specification says."""

from __future__ import annotations

import gzip
import hashlib
import random
import socket
import threading
import time
import tracemalloc
import zlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from exports import (
    JSON,
    PROTOBUF,
    STREAM,
    TRACE,
    captures,
    sealed,
    sent,
    span_ids,
    spans,
    status_in,
)
from google.rpc.error_details_pb2 import BadRequest
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from serving import Heard, People, Site, listening

from cli.intake import ServerIntake
from cli.serving import service_of
from cli.vault import Vault
from vault.access import VaultRole
from vault.errors import RecordError, UnavailableError
from vault.http import gathering
from vault.http.app import create_app
from vault.http.gathering import Gatherer, Received
from vault.http.otlp import Encoding, Signal, read_export
from vault.http.problems import TooLargeError
from vault.http.served import Gathering, Limits
from verify.errors import MalformedError
from verify.retention import RetentionPolicy, Rule
from verify.statement import Actor, parse_capture

EXAMPLES = Path(__file__).parent.parent / "data" / "otlp-json"
SEED = random.randrange(1 << 32)


@pytest.fixture
def edge(people: People) -> Mapping[str, str]:
    """A collector for one stream."""
    return people.collector("edge-1", STREAM)


@contextmanager
def served(vault: Vault, people: People, **changed: Any) -> Iterator[Site]:
    """The vault under other limits."""
    service = replace(service_of(vault), authenticator=people, grants=lambda: (), **changed)
    with listening(create_app(service)) as url:
        yield Site(url, people)


# What is kept


def test_the_examples_of_the_specification_are_kept_as_they_were_sent(
    site: Site, vault: Vault, edge: Mapping[str, str]
) -> None:
    for name in ("trace", "logs", "events"):
        body = (EXAMPLES / f"{name}.json").read_bytes()
        path = "/v1/traces" if name == "trace" else "/v1/logs"
        heard = site.post(path, sent(edge, f"{JSON}; charset=utf-8"), body)
        assert (heard.status, heard.json) == (200, {}), heard.data
        assert heard.headers["Content-Type"] == JSON
        item = sealed(vault)[-1]
        assert item.data == body
        assert heard.headers["Evault-Chain"] == STREAM
        assert int(heard.headers["Evault-Link"]) == item.exhibit.sequence
        assert item.description.name.endswith(".json")
    state = vault.incidents.read(STREAM)
    first = state.manifests[0].statement
    capture = parse_capture(first.body, where="")
    assert (capture.source, capture.method) == ("my.service", "OTLP/HTTP received")
    actor = first.actor
    assert (actor.id, actor.kind, actor.authenticated) == ("edge-1", "collector", "token")


def test_a_protobuf_export_is_kept_as_it_was_sent(
    site: Site, vault: Vault, edge: Mapping[str, str]
) -> None:
    body = spans(1, 2)
    heard = site.post("/v1/traces", sent(edge), body)
    assert (heard.status, heard.data, heard.headers["Content-Type"]) == (200, b"", PROTOBUF)
    (item,) = sealed(vault)
    assert item.data == body
    assert item.description.facts.spans == 2
    assert item.description.facts.parser == "otlp-protobuf"
    assert item.description.remarks == ()


def test_of_gzip_the_content_is_kept_and_the_rest_described(
    site: Site, vault: Vault, edge: Mapping[str, str]
) -> None:
    """Also where it is in several members."""
    body = spans(*range(100))
    packed = gzip.compress(body[:1000]) + gzip.compress(body[1000:])
    assert site.post("/v1/traces", sent(edge, Content_Encoding="gzip"), packed).status == 200
    (item,) = sealed(vault)
    assert item.data == body
    (remark,) = item.description.remarks
    assert remark == (
        f"sent as gzip: {len(packed):,} bytes, SHA-256 {hashlib.sha256(packed).hexdigest()}"
    )


def test_what_was_sent_to_another_path_is_kept_and_named_as_what_it_is(
    site: Site, vault: Vault, edge: Mapping[str, str]
) -> None:
    log = LogRecord(time_unix_nano=1, body=AnyValue(string_value="x"))
    logs = ExportLogsServiceRequest(
        resource_logs=[ResourceLogs(scope_logs=[ScopeLogs(log_records=[log])])]
    ).SerializeToString()
    examples = {name: (EXAMPLES / f"{name}.json").read_bytes() for name in ("trace", "logs")}
    for path, kind, body, what in (
        ("/v1/traces", JSON, examples["logs"], "logs"),
        ("/v1/logs", JSON, examples["trace"], "traces"),
        ("/v1/traces", PROTOBUF, logs, "logs"),
        ("/v1/logs", PROTOBUF, spans(1), "traces"),
        ("/v1/logs", JSON, b'{"resourceMetrics": [ {}]}', "metrics"),
    ):
        assert site.post(path, sent(edge, kind), body).status == 200
        item = sealed(vault)[-1]
        assert item.data == body
        assert item.description.name.startswith(f"otlp-{what}-")
        assert item.description.remarks == (f"sent to {path}, and carries {what}",)
    for path, kind, body in (("/v1/logs", PROTOBUF, logs), ("/v1/traces", PROTOBUF, spans(2))):
        assert site.post(path, sent(edge, kind), body + b"").status == 200
        assert not [each for each in sealed(vault)[-1].description.remarks if "carries" in each]


@pytest.mark.parametrize("kind", [JSON, PROTOBUF])
def test_metrics_are_not_taken_and_the_remedy_is_said(
    site: Site, vault: Vault, edge: Mapping[str, str], kind: str
) -> None:
    heard = site.post("/v1/metrics", sent(edge, kind), b"{}")
    assert (heard.status, heard.headers["Content-Type"]) == (404, kind)
    told = heard.json["message"] if kind == JSON else status_in(heard).message
    assert "OTEL_METRICS_EXPORTER=none" in told
    figures = "/v1/metrics?from=2020-01-01T00:00:00Z"  # about incidents
    assert site.get(figures, site.people.add("ada", VaultRole.AUDITOR)).status == 200
    read = site.get(figures, edge)
    assert (read.status, "OTEL" in read.data.decode()) == (403, False)
    assert sealed(vault) == []


def test_nothing_is_sealed_of_an_export_that_carries_nothing(
    site: Site, vault: Vault, edge: Mapping[str, str]
) -> None:
    assert site.post("/v1/traces", sent(edge), b"").status == 200
    for body in (b"{}", b'{"resourceSpans": []}', b'{"resourceSpans": null}'):
        assert site.post("/v1/traces", sent(edge, JSON), body).status == 200
    assert sealed(vault) == []


def test_what_is_not_known_is_kept_all_the_same(
    site: Site, vault: Vault, edge: Mapping[str, str]
) -> None:
    """A receiver ignores fields that it does not know, and a vault must not: they are evidence."""
    later = b'{"resourceSpans":[],"resourceNews":[{"x":1}]}'
    other_signal = (EXAMPLES / "logs.json").read_bytes()
    for body in (later, other_signal):
        assert site.post("/v1/traces", sent(edge, JSON), body).status == 200
    unknown_field = b"\x7a\x03new"
    assert site.post("/v1/traces", sent(edge), unknown_field).status == 200
    assert [each.data for each in sealed(vault)] == [later, other_signal, unknown_field]


def test_an_export_larger_than_a_pack_takes_is_kept(
    site: Site, vault: Vault, edge: Mapping[str, str]
) -> None:
    body = spans(*range(1, 40_000))
    assert len(body) > 1 << 20
    assert site.post("/v1/traces", sent(edge), body).status == 200
    assert [each.data for each in sealed(vault)] == [body]


def test_the_source_is_the_one_service_that_all_resources_name(
    site: Site, vault: Vault, edge: Mapping[str, str]
) -> None:
    two = spans(1, service="mail-agent") + spans(2, service="search-agent")  # merges, by protobuf
    for body in (
        spans(3, service="mail-agent"),
        two,
        spans(4, service="unknown_service:python"),
        spans(5, service="x" * 70_000),
        spans(6, service=None),
    ):
        assert site.post("/v1/traces", sent(edge), body).status == 200
    sources = [
        parse_capture(each.statement.body, where="").source
        for each in vault.incidents.read(STREAM).manifests
    ]
    assert sources == ["mail-agent", None, None, None, None]


# Once


def test_the_same_bytes_again_are_a_retry(
    site: Site, vault: Vault, edge: Mapping[str, str]
) -> None:
    body = spans(1)
    first = site.post("/v1/traces", sent(edge), body)
    again = site.post("/v1/traces", sent(edge, Content_Encoding="gzip"), gzip.compress(body))
    assert (first.status, again.status) == (200, 200)
    assert first.headers["Evault-Link"] == again.headers["Evault-Link"]
    other = site.people.collector("edge-2", STREAM)
    assert site.post("/v1/traces", sent(other), body).headers["Evault-Link"] == "1"
    assert [each.data for each in sealed(vault)] == [body] * 2


def test_the_same_bytes_at_once_are_sealed_once(
    site: Site, vault: Vault, edge: Mapping[str, str]
) -> None:
    body = spans(1)
    with ThreadPoolExecutor(8) as pool:
        heard = list(pool.map(lambda _: site.post("/v1/traces", sent(edge), body), range(8)))
    assert {each.status for each in heard} == {200}
    assert {each.headers["Evault-Link"] for each in heard} == {"0"}
    assert len(sealed(vault)) == 1


def test_two_servers_of_one_vault_seal_the_same_bytes_once(
    vault: Vault, people: People, edge: Mapping[str, str]
) -> None:
    """A sender loses patience with one, and asks the other while the first still works."""
    body = spans(1)
    service = replace(service_of(vault), authenticator=people, grants=lambda: ())
    apps = create_app(service), create_app(service)
    with listening(apps[0]) as one, listening(apps[1]) as other:
        sites = [Site(one, people), Site(other, people)] * 3
        # Each builds its routes at its first request, in a way that two in one process must not.
        for site in sites[:2]:
            assert site.post("/v1/traces", sent(edge), b"").status == 200
        with ThreadPoolExecutor(6) as pool:
            heard = list(pool.map(lambda site: site.post("/v1/traces", sent(edge), body), sites))
    assert {each.status for each in heard} == {200}
    assert len(sealed(vault)) == 1


def test_after_a_day_the_same_bytes_are_sealed_anew(
    vault: Vault, people: People, edge: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    body = spans(1)
    with served(vault, people) as site:
        site.post("/v1/traces", sent(edge), body)
        monkeypatch.setattr(gathering, "AGAIN", timedelta(0))
        heard = site.post("/v1/traces", sent(edge), body)
    assert heard.headers["Evault-Link"] == "1"
    assert len(sealed(vault)) == 2


def test_what_arrives_together_is_one_capture(
    vault: Vault, people: People, edge: Mapping[str, str]
) -> None:
    bodies = [spans(number) for number in range(20)]
    with (
        served(vault, people, gathering=Gathering(seconds=60, count=len(bodies))) as site,
        ThreadPoolExecutor(len(bodies)) as pool,
    ):
        # Who comes to a chain at rest waits for nobody; those who follow wait for one another.
        assert site.post("/v1/traces", sent(edge), spans(99)).headers["Evault-Link"] == "0"
        heard = list(pool.map(lambda body: site.post("/v1/traces", sent(edge), body), bodies))
    assert {(each.status, each.headers["Evault-Link"]) for each in heard} == {(200, "1")}
    assert captures(vault) == 2
    assert sorted(span_ids(each.data)[0] for each in sealed(vault)) == [*range(20), 99]


@pytest.mark.slow
def test_collectors_and_services_are_never_mixed_in_one_capture(
    vault: Vault, people: People
) -> None:
    senders = [people.collector(f"edge-{number}", STREAM) for number in range(3)]
    wanted = {(f"edge-{n}", service) for n in range(3) for service in ("mail", "search")}
    with (
        served(vault, people, gathering=Gathering(seconds=0.5)) as site,
        ThreadPoolExecutor(12) as pool,
    ):
        jobs = [
            pool.submit(site.post, "/v1/traces", sent(who), spans(10 * n + m, service=service))
            for n, who in enumerate(senders)
            for m, service in enumerate(("mail", "search"))
        ]
        assert {each.result().status for each in jobs} == {200}
    found = [
        (each.statement.actor.id, parse_capture(each.statement.body, where="").source)
        for each in vault.incidents.read(STREAM).manifests
    ]
    assert (len(found), set(found)) == (6, wanted)


# Who may, and where to


def test_a_token_for_several_chains_takes_a_header(site: Site, vault: Vault) -> None:
    who = site.people.collector("edge-1", "stream:a", "stream:b")
    silent = site.post("/v1/traces", sent(who), spans(1))
    assert silent.status == 400
    assert "stream:a, stream:b" in status_in(silent).message
    heard = site.post("/v1/traces", sent(who, Evault_Chain="stream:b"), spans(1))
    assert (heard.status, heard.headers["Evault-Chain"]) == (200, "stream:b")
    assert vault.index.chains("stream:") == ["stream:b"]


@pytest.mark.parametrize("chain", ["stream:other", "INC-2026-0001", "vault", "../x", ""])
def test_no_header_leads_out_of_the_token(
    site: Site, vault: Vault, edge: Mapping[str, str], chain: str
) -> None:
    before = vault.index.chains("")
    heard = site.post("/v1/traces", sent(edge, Evault_Chain=chain), spans(1))
    assert heard.status in (400, 404)
    assert vault.index.chains("") == before


def test_people_and_strangers_are_turned_away_in_otlp_words(site: Site) -> None:
    lead = site.people.add("fay", VaultRole.FORENSICS_LEAD)
    person = site.post("/v1/traces", sent(lead, Evault_Chain=STREAM), spans(1))
    stranger = site.post("/v1/traces", sent({}), spans(1))
    assert (person.status, stranger.status) == (403, 401)
    assert "collector" in status_in(person).message
    assert status_in(stranger).message
    assert stranger.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_closed_incident_takes_nothing_and_one_that_is_open_does(
    site: Site, vault: Vault
) -> None:
    commander = site.people.add("ida", VaultRole.INCIDENT_COMMANDER)
    declared = {
        "detected_at": "2026-03-01T09:00:00Z",
        "severity": "sev1",
        "systems": ["mail-agent"],
        "tier": "unknown",
        "title": "Mail went out",
    }
    incident = site.post("/v1/incidents", commander, declared).json["incident"]
    who = site.people.collector("edge-1", incident)
    assert site.post("/v1/traces", sent(who), spans(1)).status == 200
    assert site.post(f"/v1/incidents/{incident}/closing", commander, {}).status == 201
    heard = site.post("/v1/traces", sent(who), spans(2))
    assert heard.status == 409
    assert "reopen" in status_in(heard).message
    assert [each.data for each in sealed(vault, incident)] == [spans(1)]


# What is refused


def bad_data(heard: Heard) -> str:
    """What a BadRequest in the answer says."""
    if heard.headers["Content-Type"] == JSON:
        (detail,) = heard.json["details"]
        assert detail["@type"] == "type.googleapis.com/google.rpc.BadRequest"
        (violation,) = detail["fieldViolations"]
        return str(violation["description"])
    found = BadRequest()
    (packed,) = status_in(heard).details
    assert packed.Unpack(found)
    return found.field_violations[0].description


@pytest.mark.parametrize(
    "body",
    [
        b"\x0a\x05abc",
        b"\x0a",
        b"\xff" * 20,
        b'{"resourceSpans":[]}',
    ],
)
def test_malformed_protobuf_is_bad_data(
    site: Site, vault: Vault, edge: Mapping[str, str], body: bytes
) -> None:
    heard = site.post("/v1/traces", sent(edge), body)
    assert heard.status == 400
    assert "ExportTraceServiceRequest" in bad_data(heard) == status_in(heard).message
    assert sealed(vault) == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b'"x"',
        b"\xff{}",
        b"\xef\xbb\xbf{}",
        '{"resourceSpans":[]}'.encode("utf-16"),
        b'{"resourceSpans":7}',
        b'{"resourceSpans":[7]}',
        b'{"resourceSpans":[{"scopeSpans":{}}]}',
        b'{"resourceSpans":[{"scopeSpans":[{"spans":["x"]}]}]}',
        b'{"resourceSpans":' + b"[" * 100_000,
        b'{"x":NaN}',
    ],
    ids=range(13),
)
def test_malformed_json_is_bad_data(
    site: Site, vault: Vault, edge: Mapping[str, str], body: bytes
) -> None:
    heard = site.post("/v1/traces", sent(edge, JSON), body)
    assert heard.status == 400
    assert bad_data(heard) == heard.json["message"]
    assert heard.json["message"].startswith("body")
    assert sealed(vault) == []


@pytest.mark.parametrize(
    "body",
    [b"", b"no gzip", gzip.compress(b"x" * 100)[:-9], gzip.compress(b"") + b"rest"],
    ids=["nothing", "other bytes", "cut off", "with more behind"],
)
def test_gzip_that_is_none_is_bad_data(
    site: Site, vault: Vault, edge: Mapping[str, str], body: bytes
) -> None:
    heard = site.post("/v1/traces", sent(edge, Content_Encoding="gzip"), body)
    assert heard.status == 400
    assert "gzip" in bad_data(heard)
    assert sealed(vault) == []


def test_other_types_and_codings_are_not_taken(site: Site, edge: Mapping[str, str]) -> None:
    zipped = site.post("/v1/traces", sent(edge, Content_Encoding="deflate"), zlib.compress(b""))
    assert zipped.status == 415
    assert "gzip" in status_in(zipped).message
    twice = site.post("/v1/traces", sent(edge, Content_Encoding="gzip, gzip"), b"")
    assert twice.status == 415
    for kind in ("text/plain", "application/grpc", "application/x-protobuf2"):
        heard = site.post("/v1/traces", sent(edge, kind), b"")
        assert (heard.status, heard.headers["Content-Type"]) == (415, JSON)
        assert PROTOBUF in heard.json["message"]


def test_other_methods_are_refused_in_otlp_words(site: Site, edge: Mapping[str, str]) -> None:
    heard = site.get("/v1/traces", sent(edge))
    assert (heard.status, heard.headers["Allow"]) == (405, "POST")
    assert status_in(heard).message


def test_bodies_are_limited_as_sent_and_as_unpacked(
    vault: Vault, people: People, edge: Mapping[str, str]
) -> None:
    body = spans(*range(1, 100))
    with served(vault, people, limits=Limits(export=len(body))) as site:
        assert site.post("/v1/traces", sent(edge), body).status == 200
        large = site.post("/v1/traces", sent(edge), body + b"\x7a\x01x")
        packed = gzip.compress(body + b"\x7a\x01x")
        bomb = site.post("/v1/traces", sent(edge, Content_Encoding="gzip"), packed)
        small = gzip.compress(body)
        fits = site.post("/v1/traces", sent(edge, Content_Encoding="gzip"), small)
    assert (large.status, bomb.status, fits.status) == (413, 413, 200)
    assert f"{len(body):,}" in status_in(large).message
    assert f"{len(body):,}" in status_in(bomb).message
    assert len(sealed(vault)) == 1


def test_a_bomb_is_not_unpacked_beyond_the_limit(
    vault: Vault, people: People, edge: Mapping[str, str]
) -> None:
    """What it may take is what `memory` has, and is given back."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join([packer.compress(bytes(1 << 20)) for _ in range(64)] + [packer.flush()])
    assert len(bomb) < 1 << 17
    limits, memory = Limits(export=8 << 20), Gathering(memory=10 << 20)
    with served(vault, people, limits=limits, gathering=memory) as site:
        for _ in range(3):
            heard = site.post("/v1/traces", sent(edge, Content_Encoding="gzip"), bomb)
            assert heard.status == 413
        assert site.post("/v1/traces", sent(edge), spans(1)).status == 200


def field(number: int, data: bytes) -> bytes:
    """A field of the wire format; its length in the four bytes that it may take."""
    size = len(data)
    length = bytes([size >> shift & 0x7F | (0x80 if shift < 21 else 0) for shift in (0, 7, 14, 21)])
    return bytes([number << 3 | 2]) + length + data


FEW = 4 << 20


@pytest.mark.slow
@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        (Encoding.PROTOBUF, b"\x0a\x00" * FEW),
        (Encoding.PROTOBUF, field(1, b"\x12\x00" * FEW)),
        (Encoding.PROTOBUF, field(1, field(2, b"\x12\x00" * FEW))),
        (Encoding.PROTOBUF, field(1, field(1, b"\x0a\x00" * FEW))),
        (Encoding.JSON, b'{"resourceSpans":[' + b"{}," * FEW + b"{}]}"),
        (
            Encoding.JSON,
            b'{"resourceSpans":[{"scopeSpans":[{"spans":[' + b"{}," * FEW + b"{}]}]}]}",
        ),
    ],
    ids=["resources", "scopes", "spans", "attributes", "resources in JSON", "scopes in JSON"],
)
def test_many_small_parts_take_no_memory_that_is_many_times_their_size(
    encoding: Encoding, body: bytes
) -> None:
    """A library would make an object of each: 1.7 GB of the third."""
    tracemalloc.start()
    try:
        with pytest.raises(TooLargeError, match="500,000 parts"):
            read_export(body, Signal.TRACES, encoding)
        assert tracemalloc.get_traced_memory()[1] < len(body)
    finally:
        tracemalloc.stop()


def test_objects_of_no_known_member_take_no_memory() -> None:
    body = b'{"x":[' + b"[]," * FEW + b"[]]}"
    tracemalloc.start()
    try:
        assert not read_export(body, Signal.TRACES, Encoding.JSON).empty
        assert tracemalloc.get_traced_memory()[1] < len(body)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("count", [0, 1, 127, 128, 5_000])
def test_what_a_library_writes_is_read_to_its_records(count: int) -> None:
    """And every cut of it is refused, but where whole requests end."""
    body = spans(*range(count))
    assert read_export(body, Signal.TRACES, Encoding.PROTOBUF).service == "mail-agent"
    for cut in {1, 2, 3, 10, len(body) // 2, len(body) - 1}:
        with pytest.raises(MalformedError):
            read_export(body[:cut], Signal.TRACES, Encoding.PROTOBUF)


def test_a_damaged_record_is_kept_and_its_facts_say_so(
    site: Site, vault: Vault, edge: Mapping[str, str]
) -> None:
    """To refuse the request would be to lose the others."""
    body = bytearray(spans(1, 2, 3))
    at = body.index(TRACE) - 1
    body[at] = 0x7F  # the length of the first span's trace id
    assert site.post("/v1/traces", sent(edge), bytes(body)).status == 200
    (item,) = sealed(vault)
    assert item.data == bytes(body)
    assert (item.description.facts.spans, item.description.facts.bad_records) == (2, 1)


# Trouble


@contextmanager
def held_up(vault: Vault) -> Iterator[None]:
    """While another process seals onto the stream, nothing here can."""
    with vault.index.alone(f"gather {STREAM}", patience=0) as alone:
        assert alone
        yield


def wait_until_handed_over() -> None:
    """Until an export is with the gatherer."""
    while f"gather {STREAM}" not in {each.name for each in threading.enumerate()}:
        time.sleep(0.005)


def test_over_its_memory_a_server_asks_to_come_back(
    vault: Vault, people: People, edge: Mapping[str, str]
) -> None:
    body = spans(*range(1, 500))
    with (
        served(vault, people, gathering=Gathering(memory=len(body) + 10)) as site,
        ThreadPoolExecutor(1) as pool,
    ):
        with held_up(vault):
            first = pool.submit(site.post, "/v1/traces", sent(edge), body)
            wait_until_handed_over()
            refused = site.post("/v1/traces", sent(edge), spans(1))
            assert refused.status == 429
            assert int(refused.headers["Retry-After"]) > 0
            assert "again" in status_in(refused).message
            packed = site.post(
                "/v1/traces", sent(edge, Content_Encoding="gzip"), gzip.compress(bytes(500))[:9]
            )
            assert packed.status == 400, "what fits is looked at"
        assert first.result().status == 200
        assert site.post("/v1/traces", sent(edge), spans(1)).status == 200
    assert [each.data for each in sealed(vault)] == [body, spans(1)]


def test_more_requests_than_may_wait_are_told_to_come_back(
    vault: Vault, people: People, edge: Mapping[str, str]
) -> None:
    with (
        served(vault, people, limits=Limits(exports=1)) as site,
        ThreadPoolExecutor(1) as pool,
    ):
        with held_up(vault):
            first = pool.submit(site.post, "/v1/traces", sent(edge), spans(1))
            wait_until_handed_over()
            refused = site.post("/v1/traces", sent(edge), spans(2))
            assert (refused.status, status_in(refused).message != "") == (429, True)
            assert int(refused.headers["Retry-After"]) > 0
            assert site.get("/v1/incidents").status == 401, "others are let in all the same"
        assert first.result().status == 200
    assert [each.data for each in sealed(vault)] == [spans(1)]


class Troubled:
    """A door that a vault's errors come out of, for as long as they last."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.lock = threading.Lock()

    def __call__(self) -> None:
        with self.lock:
            if self.errors:
                raise self.errors.pop(0)


@pytest.mark.parametrize(
    "error",
    [UnavailableError("the store is gone"), RecordError("two histories"), ZeroDivisionError()],
)
def test_what_cannot_be_sealed_now_is_to_be_sent_again(
    vault: Vault,
    people: People,
    edge: Mapping[str, str],
    error: Exception,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Exporters send again after a 503, and throw away what any other 5xx or a 409 refuses."""
    trouble = Troubled(error)
    original = gathering.OpenCapture.commit

    def commit(self: Any) -> Any:
        trouble()
        return original(self)

    monkeypatch.setattr(gathering.OpenCapture, "commit", commit)
    with served(vault, people) as site:
        heard = site.post("/v1/traces", sent(edge), spans(1))
        assert heard.status == 503
        assert int(heard.headers["Retry-After"]) > 0
        assert status_in(heard).message
        assert sealed(vault) == []
        assert site.post("/v1/traces", sent(edge), spans(1)).status == 200
    assert len(sealed(vault)) == 1


def test_what_was_sealed_before_the_trouble_is_found_by_the_retry(
    vault: Vault, people: People, edge: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    trouble = Troubled(UnavailableError("the line went dead"))
    original = gathering.OpenCapture.commit

    def commit(self: Any) -> Any:
        receipts = original(self)
        trouble()
        return receipts

    monkeypatch.setattr(gathering.OpenCapture, "commit", commit)
    with served(vault, people) as site:
        assert site.post("/v1/traces", sent(edge), spans(1)).status == 503
        again = site.post("/v1/traces", sent(edge), spans(1))
    assert (again.status, again.headers["Evault-Link"]) == (200, "0")
    assert len(sealed(vault)) == 1


LONGER = RetentionPolicy((Rule(None, None, 3_000),))


def check_protected(vault: Vault, *, held: bool) -> None:
    """Everything on the stream is protected as the chains demand by now."""
    wanted = vault.retention.wanted(vault.incidents.read(STREAM))
    assert wanted
    for stored, demanded in wanted:
        protection = vault.store.state(stored.key, stored.version_id).protection
        assert demanded.retain_until
        assert demanded.retain_until > vault.clock() + timedelta(days=2_999)
        assert protection.retain_until
        assert protection.retain_until >= demanded.retain_until
        assert protection.held == demanded.held == held


def test_what_evidence_needs_is_never_out_of_date(
    site: Site, vault: Vault, edge: Mapping[str, str]
) -> None:
    """It is not read from the whole chain each time; but a hold or a policy is heard of."""
    changes = (
        lambda: vault.retention.set_hold(STREAM, "Doe v. Acme", "litigation", "Counsel"),
        lambda: vault.retention.set_policy(LONGER),
        lambda: None,
    )
    for number, change in enumerate(changes):
        assert site.post("/v1/traces", sent(edge), spans(number)).status == 200
        change()
    check_protected(vault, held=True)


def test_a_policy_that_comes_into_force_while_bytes_come_in_binds_them(
    site: Site, vault: Vault, edge: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    original = gathering.OpenCapture.claim

    def claim(self: Any, kept: Any, **more: Any) -> None:
        original(self, kept, **more)
        vault.retention.set_policy(LONGER)

    monkeypatch.setattr(gathering.OpenCapture, "claim", claim)
    assert site.post("/v1/traces", sent(edge), spans(1)).status == 200
    check_protected(vault, held=False)


def test_one_export_that_cannot_be_sealed_keeps_no_others_out(
    vault: Vault, people: People, edge: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    original = gathering.OpenCapture.claim

    def claim(self: Any, kept: Any, **more: Any) -> None:
        if kept.sha256 == hashlib.sha256(spans(3)).hexdigest():
            raise ZeroDivisionError
        original(self, kept, **more)

    monkeypatch.setattr(gathering.OpenCapture, "claim", claim)
    with (
        served(vault, people, gathering=Gathering(seconds=60, count=5)) as site,
        ThreadPoolExecutor(5) as pool,
    ):
        assert site.post("/v1/traces", sent(edge), spans(9)).status == 200
        heard = list(
            pool.map(lambda number: site.post("/v1/traces", sent(edge), spans(number)), range(5))
        )
    assert [each.status for each in heard] == [200, 200, 200, 503, 200]
    assert sorted(span_ids(each.data)[0] for each in sealed(vault)) == [0, 1, 2, 4, 9]


def test_a_gatherer_that_is_closed_seals_what_waits_and_takes_no_more(vault: Vault) -> None:
    gatherer = Gatherer(vault, Gathering(seconds=600), "host")
    assert gatherer.hand_over(received(vault, spans(9))).result().sequence == 0
    answers = [gatherer.hand_over(received(vault, spans(number))) for number in range(3)]
    assert not any(each.done() for each in answers)
    gatherer.close()
    assert {each.result(timeout=0).sequence for each in answers} == {1}
    assert len(sealed(vault)) == 4
    with pytest.raises(UnavailableError):
        gatherer.hand_over(received(vault, spans(4)))


def received(vault: Vault, data: bytes) -> Received:
    return Received(
        chain=STREAM,
        actor=Actor("edge-1", "collector", "token", None),
        path="edge-1 /v1/traces",
        name="x.pb",
        data=data,
        sha256=hashlib.sha256(data).hexdigest(),
        source=None,
        described=ServerIntake("host").describe(data, "x.pb"),
        remarks=(),
        received_at=vault.clock(),
    )


def test_a_body_that_breaks_off_leaves_nothing(
    site: Site, vault: Vault, edge: Mapping[str, str]
) -> None:
    host, port = site.url.removeprefix("http://").split(":")
    for _ in range(3):
        with socket.create_connection((host, int(port))) as line:
            line.sendall(
                b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n"
                b"Content-Type: application/x-protobuf\r\n"
                b"Authorization: " + edge["Authorization"].encode() + b"\r\n\r\n" + spans(1)
            )
    assert site.post("/v1/traces", sent(edge), spans(2)).status == 200
    assert [each.data for each in sealed(vault)] == [spans(2)]


def test_random_bytes_are_never_a_defect(site: Site, vault: Vault, edge: Mapping[str, str]) -> None:
    """Whatever comes, it is kept whole or refused as bad data, and what was told is true."""
    print(f"seed {SEED}")
    rng = random.Random(SEED)
    kept = []
    seeds = [spans(1, 2), *((EXAMPLES / name).read_bytes() for name in ("trace.json", "logs.json"))]
    jobs = []
    for _ in range(150):
        body = bytearray(rng.choice([rng.randbytes(rng.randrange(200)), *seeds]))
        for _ in range(rng.randrange(6)):
            if body:
                body[rng.randrange(len(body))] = rng.randrange(256)
        raw = bytes(body[: rng.randrange(len(body) + 1)] if rng.random() < 0.2 else body)
        packed = rng.random() < 0.2
        on_wire = gzip.compress(raw) if packed and rng.random() < 0.8 else raw
        headers = sent(edge, rng.choice((PROTOBUF, JSON)))
        if packed:
            headers["Content-Encoding"] = "gzip"
        jobs.append((rng.choice(("/v1/traces", "/v1/logs")), headers, on_wire, raw))
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda job: site.post(*job[:3]), jobs))
    for (_, headers, on_wire, raw), heard in zip(jobs, answers, strict=True):
        assert heard.status in (200, 400), (heard.status, on_wire)
        if heard.status == 200 and "Evault-Link" in heard.headers:
            kept.append(raw)
        if heard.status == 400:
            told = (
                heard.json["message"]
                if headers["Content-Type"] == JSON
                else Status.FromString(heard.data).message
            )
            assert told
    assert {each.data for each in sealed(vault)} == set(kept)
