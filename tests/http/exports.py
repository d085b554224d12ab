"""OTLP exports for tests, and what was sealed of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from serving import Heard

from vault import evidence
from vault.opened import Vault
from verify.description import Description
from verify.incident import Exhibit
from verify.statement import parse_capture

PROTOBUF = "application/x-protobuf"
JSON = "application/json"
STREAM = "stream:agents"
TRACE = bytes.fromhex("5b8efff798038103d269b633813fc60c")
START = 1_700_000_000_000_000_000
"""2023-11-14T22:13:20Z"""


@dataclass(frozen=True)
class Item:
    """One sealed item."""

    exhibit: Exhibit
    description: Description
    data: bytes


def sealed(vault: Vault, chain: str = STREAM) -> list[Item]:
    """Everything on a chain, its bytes checked; empty where there is no chain."""
    if vault.index.head(chain) is None:
        return []
    found = vault.incidents.read(chain)
    described = vault.incidents.descriptions(found)
    return [
        Item(
            each,
            described[name],
            b"".join(evidence.content(vault.store, each.item, each.packs)),
        )
        for name, each in found.state.exhibits.items()
    ]


def captures(vault: Vault, chain: str = STREAM) -> int:
    """How many captures a chain has; all of its links must be such."""
    manifests = vault.incidents.read(chain).manifests
    for each in manifests:
        parse_capture(each.statement.body, where=each.name)
    return len(manifests)


def spans(*numbers: int, service: str | None = "mail-agent") -> bytes:
    """An ExportTraceServiceRequest with spans of these numbers."""
    request = ExportTraceServiceRequest()
    about = request.resource_spans.add()
    if service is not None:
        pair = about.resource.attributes.add(key="service.name")
        pair.value.string_value = service
    scope = about.scope_spans.add()
    for number in numbers:
        scope.spans.add(
            trace_id=TRACE,
            span_id=number.to_bytes(8, "big"),
            name=f"span {number}",
            start_time_unix_nano=START + number * 10**9,
            end_time_unix_nano=START + (number + 1) * 10**9,
        )
    return request.SerializeToString()


def span_ids(data: bytes) -> list[int]:
    """The numbers of the spans in a request."""
    request = ExportTraceServiceRequest.FromString(data)
    return [
        int.from_bytes(span.span_id, "big")
        for about in request.resource_spans
        for scope in about.scope_spans
        for span in scope.spans
    ]


def status_in(heard: Heard) -> Status:
    """The status that a protobuf answer holds, as a library of others reads it."""
    assert heard.headers["Content-Type"] == PROTOBUF
    return Status.FromString(heard.data)


def sent(who: Mapping[str, str], kind: str = PROTOBUF, **more: str) -> dict[str, str]:
    """The headers of an export."""
    named = {name.replace("_", "-"): value for name, value in more.items()}
    return {**who, "Content-Type": kind, **named}
