"""OTLP/HTTP on the wire: what a request carries, and how it is answered. Pure.

Specification: OTLP 1.10, "OTLP/HTTP". A body is what a protobuf library, or for JSON the rules of
the specification, can decode; what it says is not judged: unknown fields, odd ids and the records
of another signal are kept like everything else, since a refusal makes the sender throw them away.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from verify.errors import MalformedError

MAX_SERVICE = 200
"""Characters of a service's name that can be a source; a longer one is not taken for a name."""

_BAD_REQUEST = "type.googleapis.com/google.rpc.BadRequest"
_MADE_UP = "unknown_service"


class Signal(StrEnum):
    """What a request is about, as its path names it."""

    TRACES = "traces"
    LOGS = "logs"


class Encoding(StrEnum):
    """How requests and their answers are written, as a media type."""

    PROTOBUF = "application/x-protobuf"
    JSON = "application/json"

    @property
    def suffix(self) -> str:
        """The ending of a file of such bytes."""
        return "pb" if self is Encoding.PROTOBUF else "json"


@dataclass(frozen=True, slots=True)
class Export:
    """What a request was found to carry."""

    empty: bool
    """Whether it says nothing at all: no resource, and no field that is unknown."""
    service: str | None
    """The `service.name` of all its resources; None where they differ, or none is named."""


def encoding_of(content_type: str) -> Encoding | None:
    """The encoding that a Content-Type names, None for any other type."""
    essence = content_type.partition(";")[0].strip().lower()
    return next((each for each in Encoding if each == essence), None)


def read_export(data: bytes, signal: Signal, encoding: Encoding) -> Export:
    """Decode a request. Raises `MalformedError`."""
    if encoding is Encoding.JSON:
        return _read_json(data, signal)
    return _read_protobuf(data, signal)


def success(encoding: Encoding) -> bytes:
    """An `Export…ServiceResponse` that says: all of it. `partial_success` must then be unset."""
    return b"{}" if encoding is Encoding.JSON else b""


def failure(message: str, encoding: Encoding, *, bad_data: bool) -> bytes:
    """A `google.rpc.Status` with that message; for bad data with a `BadRequest` in its details."""
    if encoding is Encoding.JSON:
        status: dict[str, Any] = {"message": message}
        if bad_data:
            violation = {"description": message}
            status["details"] = [{"@type": _BAD_REQUEST, "fieldViolations": [violation]}]
        return json.dumps(status).encode()
    encoded = _field(2, message.encode())
    if bad_data:
        violated = _field(1, _field(2, message.encode()))
        encoded += _field(3, _field(1, _BAD_REQUEST.encode()) + _field(2, violated))
    return encoded


def _field(number: int, data: bytes) -> bytes:
    """A field of the protobuf wire format whose value is bytes, a text or a message."""
    return bytes([number << 3 | 2]) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _read_protobuf(data: bytes, signal: Signal) -> Export:
    request = ExportTraceServiceRequest() if signal is Signal.TRACES else ExportLogsServiceRequest()
    try:
        request.ParseFromString(data)
    except DecodeError as error:
        name = request.DESCRIPTOR.name
        raise MalformedError(f"body: no {name} in protobuf ({error})") from error
    resources = (
        request.resource_spans
        if isinstance(request, ExportTraceServiceRequest)
        else request.resource_logs
    )
    names = {
        pair.value.string_value
        for each in resources
        for pair in each.resource.attributes
        if pair.key == "service.name"
    }
    return Export(empty=not data, service=_service(names))


def _read_json(data: bytes, signal: Signal) -> Export:
    try:
        request = json.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise MalformedError(f"body: no JSON in UTF-8 ({error})") from error
    if not isinstance(request, dict):
        raise MalformedError("body: expected a JSON object")
    outer, middle, inner = (
        ("resourceSpans", "scopeSpans", "spans")
        if signal is Signal.TRACES
        else ("resourceLogs", "scopeLogs", "logRecords")
    )
    names: set[str] = set()
    for where, resource in _objects(request, outer, "body"):
        names |= _names(resource.get("resource"))
        for inside, scope in _objects(resource, middle, where):
            for _ in _objects(scope, inner, inside):
                pass
    says = any(value not in (None, []) for value in request.values())
    return Export(empty=not says, service=_service(names))


def _objects(value: dict[str, Any], name: str, where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects of a repeated field, which may be absent or null. Raises `MalformedError`."""
    entries = value.get(name)
    if entries is None:
        return
    if not isinstance(entries, list):
        raise MalformedError(f"{where}.{name}: expected a list")
    for number, entry in enumerate(entries):
        place = f"{where}.{name}[{number}]"
        if not isinstance(entry, dict):
            raise MalformedError(f"{place}: expected an object")
        yield place, entry


def _names(resource: object) -> set[str]:
    attributes = resource.get("attributes") if isinstance(resource, dict) else None
    found = set()
    for each in attributes if isinstance(attributes, list) else ():
        if isinstance(each, dict) and each.get("key") == "service.name":
            value = each.get("value")
            name = value.get("stringValue") if isinstance(value, dict) else None
            if isinstance(name, str):
                found.add(name)
    return found


def _service(names: set[str]) -> str | None:
    """The one name that all resources bear, unless it is unusable or was made up by a library."""
    if len(names) != 1:
        return None
    (name,) = names
    usable = name.isprintable() and 0 < len(name) <= MAX_SERVICE
    return name if usable and not name.startswith(_MADE_UP) else None
