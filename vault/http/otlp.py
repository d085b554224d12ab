"""OTLP/HTTP on the wire: what a request carries, and how it is answered. Pure.

Specification: OTLP 1.10, "OTLP/HTTP". A body is refused where it is no message of that encoding.
What it says is not judged: unknown fields, odd ids, damaged records and those of another signal are
kept like everything else, since a refusal makes the sender throw them away; what is plainly of
another signal is not named after the path that it was sent to. It is read without
making objects of it: a library's would take eighty times the memory of a body made to that end.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec
from msgspec import Raw, Struct

from vault.http.problems import TooLargeError
from verify.errors import MalformedError

MAX_SERVICE = 200
"""Characters of a service's name that can be a source; a longer one is not taken for a name."""

MAX_PARTS = 500_000
"""Fields that are walked through in one export in protobuf: resources, what describes them, scopes,
records. In JSON, a quarter of the objects. More than 20 MiB of real telemetry have."""

_FIRST, _SECOND = 0x0A, 0x12
"""Keys on the wire of the fields 1 and 2 that hold a message or a text."""
_FIXED = {1: 8, 5: 4}
_BEGINS = {0x09: "logs", 0x0A: "traces"}
"""How records begin: a LogRecord with its time (fixed64), a Span with its trace id (bytes)."""
_BAD_REQUEST = "type.googleapis.com/google.rpc.BadRequest"
_EMPTY = 1_000
"""Bytes that an export which carries nothing has at most; a longer one is kept unread."""
_MADE_UP = "unknown_service"
_PIECE = 1 << 20


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
    other: str | None = None
    """Which other signal it plainly carries than its path names, None for none."""


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
    """Walk down to the records, whose fields are left to those who read facts."""
    names: set[str | None] = set()
    begins: set[str | None] = set()
    walk = _Walk(data)
    try:
        for _, about, until in walk.fields(0, len(data), _FIRST):
            for key, start, end in walk.fields(about, until, _FIRST, _SECOND):
                if key == _FIRST:
                    for _, *place in walk.fields(start, end, _FIRST):
                        names |= walk.service_name(*place)
                else:
                    for _, record, to in walk.fields(start, end, _SECOND):
                        begins.add(_BEGINS.get(data[record]) if record < to else None)
    except _WireError as error:
        what = {Signal.TRACES: "ExportTraceServiceRequest", Signal.LOGS: "ExportLogsServiceRequest"}
        raise MalformedError(f"body: no {what[signal]} in protobuf ({error})") from error
    other = begins.pop() if len(begins) == 1 else None
    return Export(not data, _service(names), None if other == signal else other)


def _check_parts(parts: int) -> None:
    if parts > MAX_PARTS:
        raise TooLargeError(f"an export here has {MAX_PARTS:,} parts at most; send it in several")


class _WireError(Exception):
    """These bytes are no message of the protobuf wire format."""


class _Walk:
    """Walks through messages of the protobuf wire format, for `MAX_PARTS` fields at most."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._parts = 0

    def fields(self, start: int, end: int, *wanted: int) -> Iterator[tuple[int, int, int]]:
        """The fields of a message that have one of these keys, and where their values lie.

        Raises `_WireError` where the fields do not fill the message exactly, `TooLargeError`.
        """
        data = self._data
        while start < end:
            self._parts += 1
            _check_parts(self._parts)
            at = start
            key, start = _read_varint(data, start, end)
            kind = key & 7
            if kind == 2:
                size, start = _read_varint(data, start, end)
                stop = start + size
            elif kind == 0:
                stop = _read_varint(data, start, end)[1]
            elif kind in _FIXED:
                stop = start + _FIXED[kind]
            else:
                raise _WireError(f"byte {at}: a field of kind {kind}")
            if not 8 <= key < 1 << 32 or stop > end:
                raise _WireError(f"byte {at}: a field that does not fit")
            if key in wanted:
                yield key, start, stop
            start = stop

    def service_name(self, start: int, end: int) -> set[str | None]:
        """The text of an attribute that is `service.name`; nothing of any other."""
        pair = {key: (at, to) for key, at, to in self.fields(start, end, _FIRST, _SECOND)}
        at, to = pair.get(_FIRST, (0, 0))
        if self._data[at:to] != b"service.name":
            return set()
        name = None
        for _, at, to in self.fields(*pair.get(_SECOND, (0, 0)), _FIRST):
            name = self._data[at:to].decode("utf-8", "replace")
        return {name}


def _read_varint(data: bytes, start: int, end: int) -> tuple[int, int]:
    """A number, and where it ends."""
    value = shift = 0
    for at in range(start, min(end, start + 10)):
        byte = data[at]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at + 1
        shift += 7
    raise _WireError(f"byte {start}: a number without an end")


# What is read of a request in JSON; all else is passed over without an object being made of it.


class _Pair(Struct, gc=False):
    key: str = ""
    value: Raw = Raw()


class _About(Struct, gc=False):
    attributes: list[_Pair] | None = None


class _Record(Struct, gc=False):
    pass


class _Spans(Struct, gc=False):
    spans: list[_Record] | None = None


class _Logs(Struct, gc=False, rename="camel"):
    log_records: list[_Record] | None = None


class _Signals(Struct, gc=False, rename="camel"):
    resource_spans: Raw = Raw()
    resource_logs: Raw = Raw()
    resource_metrics: Raw = Raw()


class _ResourceSpans(Struct, gc=False, rename="camel"):
    resource: _About | None = None
    scope_spans: list[_Spans] | None = None


class _ResourceLogs(Struct, gc=False, rename="camel"):
    resource: _About | None = None
    scope_logs: list[_Logs] | None = None


class _Traces(Struct, gc=False, rename="camel"):
    resource_spans: list[_ResourceSpans] | None = None

    @property
    def resources(self) -> Sequence[_ResourceSpans]:
        return self.resource_spans or ()


class _LogsRequest(Struct, gc=False, rename="camel"):
    resource_logs: list[_ResourceLogs] | None = None

    @property
    def resources(self) -> Sequence[_ResourceLogs]:
        return self.resource_logs or ()


def _read_json(data: bytes, signal: Signal) -> Export:
    wanted: type[_Traces | _LogsRequest] = _Traces if signal is Signal.TRACES else _LogsRequest
    _check_parts(data.count(b"{") // 4)
    try:
        _check_utf8(data)
        resources = msgspec.json.decode(data, type=wanted).resources
        names = {
            _text(pair.value)
            for each in resources
            for pair in (each.resource.attributes or () if each.resource else ())
            if pair.key == "service.name"
        }
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedError(f"body: no OTLP/JSON of {signal} ({error})") from error
    empty = not resources and len(data) <= _EMPTY and not _says(json.loads(data))
    other = None if resources else _other_signal(data)
    return Export(empty, _service(names), other)


def _other_signal(data: bytes) -> str | None:
    found = msgspec.json.decode(data, type=_Signals)
    named = {"traces": found.resource_spans, "logs": found.resource_logs,
             "metrics": found.resource_metrics}  # fmt: skip
    return next((name for name, value in named.items() if _is_some(bytes(value))), None)


def _is_some(value: bytes) -> bool:
    """Whether a value in JSON is a list with a member."""
    return value[:1] == b"[" and value[1:65].lstrip(b" \t\r\n")[:1] == b"{"


def _check_utf8(data: bytes) -> None:
    """Raise `UnicodeDecodeError` unless it is UTF-8, also in the strings that are passed over."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    for start in range(0, len(data), _PIECE):
        decoder.decode(data[start : start + _PIECE])
    decoder.decode(b"", final=True)


def _says(request: dict[str, Any]) -> bool:
    """Whether a request has any member that is not empty, known or not."""
    return any(value not in (None, []) for value in request.values())


def _text(value: Raw) -> str | None:
    """The text that an AnyValue holds, None if it holds another value."""
    try:
        return msgspec.json.decode(value, type=_Text).string_value
    except msgspec.DecodeError:
        return None


class _Text(Struct, rename="camel"):
    string_value: str | None = None


def _service(names: set[str | None]) -> str | None:
    """The one name that all resources bear, unless it is unusable or was made up by a library."""
    name = names.pop() if len(names) == 1 else None
    usable = name is not None and name.isprintable() and 0 < len(name) <= MAX_SERVICE
    return name if name and usable and not name.startswith(_MADE_UP) else None
