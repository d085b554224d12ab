"""OTLP as protobuf: requests as they go over the wire, or as a Collector files them. No I/O.

A file is one request, several one after another (which is the same as one), or several with their
lengths before them: a varint, as the specification has it, or four bytes, as the Collector's file
exporter writes. Traces and logs look alike but for their records: a span begins with its ids, a log
record with its time. A record is decoded at a time, wherever it lies, so that memory stays flat; no
library is needed, which could only decode a whole request, and none of it after damage.

A damaged record costs only itself, as long as its length still fits. Where lengths do not fit,
whatever lies behind is searched for spans and log records by the shape of their beginning; their
resource is then not known.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import Any, BinaryIO, Literal

from ingest.parsers.agent_traces import KINDS, Tally
from ingest.parsers.parser import HEAD_SIZE, Confidence, Reading
from ingest.parsers.records import (
    CUT_OFF,
    RECORD_LIMIT,
    RESUME_ALLOWANCE,
    TOO_LARGE,
    ByteSource,
    Replayed,
    read_fully,
)
from ingest.parsers.span_attributes import Attributes, Event, LogRecord, Span
from ingest.parsers.wire import (
    Wire,
    WireDamage,
    WireEnd,
    WireError,
    double,
    fields_of,
    fixed64,
    signed,
    text,
    varint,
)

Framing = Literal["none", "fixed", "varint"]

_DEEPEST = 32
_FIRST = 0x0A  # field 1, a message
_SECOND = 0x12  # field 2, a message
_MOST_KEY = 10_000 << 3
_LARGEST = 1 << 40
_RECORD = re.compile(
    rb"\x12[\x80-\xff]{0,3}[\x00-\x7f](?:\n\x10[\x00-\xff]{16}\x12\x08|\x09[\x00-\xff]{7}[\x01-\x3f])"
)
_LONGEST_START = 32
_NO_RECORD = "no span or log record"
_MISFIT = "lengths that do not fit"
_CUT = "ends before its last message is complete"


class OtlpProtobufParser:
    """Reads traces and logs of OTLP in protobuf."""

    name = "otlp-protobuf"
    version = 1
    kinds = KINDS
    whole = True

    def detect(self, head: bytes, name: str) -> Confidence:
        """Certain where a span or log record decodes; likely where one begins, or damage is met."""
        del name
        return max(_looks_like(head, framing) for framing in _FRAMINGS)

    def read(self, stream: BinaryIO, name: str) -> Reading:
        """Read every span and log record."""
        del name
        head = read_fully(stream, HEAD_SIZE)
        framing = max(_FRAMINGS, key=lambda framing: _looks_like(head, framing))
        walk = _Walk(Replayed(head, stream), framing)
        tally = walk.tally
        for _ in walk.records():
            pass
        kinds = [word for word, count in (("traces", tally.spans), ("logs", tally.logs)) if count]
        return tally.reading(self, f"OTLP protobuf {' and '.join(kinds)}".rstrip(), walk.damage)


_FRAMINGS: tuple[Framing, ...] = ("none", "fixed", "varint")


def _looks_like(head: bytes, framing: Framing) -> Confidence:
    wire = Wire(io.BytesIO(head))
    try:
        _end_of_frame(wire, framing)
    except (WireError, WireEnd):
        return Confidence.NONE
    if wire.peek(1) != b"\n":
        return Confidence.NONE
    walk = _Walk(io.BytesIO(head), framing)
    for whole in walk.records():
        if whole:
            return Confidence.LIKELY if walk.damage.bad else Confidence.CERTAIN
        return Confidence.LIKELY
    return Confidence.NONE


def _end_of_frame(wire: Wire, framing: Framing) -> int | None:
    """Take what stands before a request; where the request ends, if that is said."""
    if framing == "none":
        return None
    length = int.from_bytes(wire.take(4), "big") if framing == "fixed" else wire.varint()
    if not 0 < length < _LARGEST:
        raise WireError
    return wire.position + length


class _Walk:
    """Walks through requests and takes their records."""

    def __init__(self, stream: ByteSource, framing: Framing) -> None:
        self._wire = Wire(stream)
        self._framing = framing
        self._scope: str | None = None
        self._allowance = RESUME_ALLOWANCE
        self.tally = Tally()
        self.damage = WireDamage()

    def records(self) -> Iterator[bool]:
        """Take all records: true for each, false for one that the stream ends in."""
        wire = self._wire
        try:
            while not wire.at_end:
                yield from self._message(_end_of_frame(wire, self._framing), self._resource, None)
        except WireEnd:
            self.damage.note(_CUT)
        except WireError:
            self.damage.note_bad(wire.position, _MISFIT)
            self.damage.note(f"from byte {wire.position} on, records were searched for")
            yield from self._search()

    def _message(self, end: int | None, first: Any, second: Any) -> Iterator[bool]:
        """Walk through a message whose fields 1 and 2 are messages, and skip all others."""
        wire = self._wire
        last = wire.position + _LARGEST if end is None else end
        while wire.position < last and not wire.at_end:
            wire.ahead(_LONGEST_START)
            begin = wire.position
            key = wire.varint()
            if not 8 <= key <= _MOST_KEY or (end is None and key != _FIRST):
                raise WireError
            take = first if key == _FIRST else second if key == _SECOND else None
            if take is None:
                wire.skip_field(key & 7, last)
                continue
            offset = wire.position
            size = wire.varint()
            if wire.position + size > last:
                # A record may start right here, in what another length cut short.
                wire.back(wire.position - begin)
                raise WireError
            yield from take(offset, wire.position + size)
        if end is not None and wire.position < end:
            raise WireEnd

    def _resource(self, offset: int, end: int) -> Iterator[bool]:
        del offset
        yield from self._message(end, self._named_resource, self._scoped)

    def _scoped(self, offset: int, end: int) -> Iterator[bool]:
        del offset
        self._scope = None
        yield from self._message(end, self._named_scope, self._record)

    def _named_resource(self, offset: int, end: int) -> Iterator[bool]:
        data = self._whole(offset, end)
        try:
            if data is not None:
                self.tally.resource(_attributes(data, 0, len(data), 0x0A))
        except WireError:
            self.damage.note_bad(offset, "a resource that is damaged")
        yield from ()

    def _named_scope(self, offset: int, end: int) -> Iterator[bool]:
        data = self._whole(offset, end)
        try:
            for key, start, stop in fields_of(data or b""):
                if key == 0x0A:
                    self._scope = text(data or b"", start, stop)
        except WireError:
            self.damage.note_bad(offset, "a scope that is damaged")
        yield from ()

    def _whole(self, offset: int, end: int) -> bytes | None:
        """The bytes up to `end`; None if they are too many. Raises `WireEnd`."""
        size = end - self._wire.position
        if size > RECORD_LIMIT:
            self.damage.note_bad(offset, TOO_LARGE)
            self._wire.skip(size)
            return None
        return self._wire.take(size)

    def _record(self, offset: int, end: int) -> Iterator[bool]:
        begins = self._wire.peek(_LONGEST_START)
        try:
            data = self._whole(offset, end)
        except WireEnd:
            self.damage.note_bad(offset, CUT_OFF)
            if _RECORD.match(b"\x12\x00" + begins):
                yield False
            raise
        if data is not None:
            try:
                self._take(data)
            except WireError:
                self.damage.note_bad(offset, _NO_RECORD)
                if _RECORD.search(data, 1):
                    # Its length swallowed the start of others: it is no longer to be trusted.
                    self._wire.back(len(data))
                    raise
            else:
                yield True

    def _search(self) -> Iterator[bool]:
        """Take whatever record is found in the rest of the stream."""
        wire = self._wire
        while size := wire.ahead(1 << 20):
            window = wire.peek(size)
            match = _RECORD.search(window)
            if match is None:
                last = size < 1 << 20
                wire.skip(size if last else size - _LONGEST_START)
                continue
            wire.skip(match.start() + 1)
            offset = wire.position
            length, following = varint(window, match.start() + 1, len(window))
            prefix = following - match.start() - 1
            found = wire.peek(prefix + length) if length <= RECORD_LIMIT else b""
            if len(found) < prefix + length:
                continue
            try:
                self._take(found[prefix:])
            except WireError:
                self.damage.note_bad(offset, _NO_RECORD)
                self._allowance -= length
                if self._allowance < 0:
                    self.damage.note(f"too much damage: stopped at byte {offset}")
                    return
            else:
                wire.skip(prefix + length)
                yield True

    # Records.

    def _take(self, data: bytes) -> None:
        """Take a span or log record. Raises `WireError`, and has then taken nothing."""
        if data[:1] == b"\n":
            self._take_span(data)
        else:
            self._take_log(data)

    def _take_span(self, data: bytes) -> None:
        ids: dict[int, str] = {}
        times: dict[int, int] = {}
        attributes: Attributes = {}
        events: list[tuple[str | None, int, Attributes]] = []
        name = None
        kind = code = dropped = 0
        for key, start, end in fields_of(data):
            if key in _SPAN_IDS:
                if end - start not in _SPAN_IDS[key]:
                    raise WireError
                ids[key] = data[start:end].hex()
            elif key == 0x2A:
                name = text(data, start, end)
            elif key == 0x30:
                kind = start
            elif key in (0x39, 0x41):
                times[key] = fixed64(data, start)
            elif key == 0x4A:
                _add_pair(attributes, data, start, end, 0)
            elif key == 0x5A:
                events.append(_event(data, start, end))
            elif key == 0x7A:
                code = next((at for each, at, _ in fields_of(data, start, end) if each == 0x18), 0)
            elif key in (0x50, 0x60):
                dropped += start
            elif key >> 3 in _SPAN_FIELDS and key not in _SPAN_OTHERS:
                raise WireError
        if 0x0A not in ids or 0x12 not in ids:
            raise WireError
        self.tally.span(
            Span(
                _id(ids[0x0A]),
                _id(ids[0x12]),
                _id(ids.get(0x22, "")),
                name,
                self._time(times.get(0x39, 0)),
                self._time(times.get(0x41, 0)),
                times.get(0x41, 0) != 0,
                attributes,
                code == 2,
                kind == 2,
                self._scope,
                [*self._events(events)],
            )
        )
        self._count_dropped("span", dropped)

    def _events(self, events: list[tuple[str | None, int, Attributes]]) -> Iterator[Event]:
        for name, moment, attributes in events:
            yield name, self._time(moment), attributes

    def _take_log(self, data: bytes) -> None:
        attributes: Attributes = {}
        event = observed = dropped = 0
        trace = ""
        body = name = None
        for key, start, end in fields_of(data):
            if key == 0x09:
                event = fixed64(data, start)
            elif key == 0x59:
                observed = fixed64(data, start)
            elif key == 0x2A:
                body = _any_value(data, start, end, 0)
            elif key == 0x32:
                _add_pair(attributes, data, start, end, 0)
            elif key == 0x38:
                dropped = start
            elif key == 0x4A and end - start in (0, 16):
                trace = data[start:end].hex()
            elif key == 0x62:
                name = text(data, start, end)
            elif key >> 3 in _LOG_FIELDS and key not in _LOG_OTHERS:
                raise WireError
        self.tally.log(
            LogRecord(
                _id(trace),
                self._time(event or observed),
                name or attributes.get("event.name"),
                attributes,
                body,
                self._scope,
            )
        )
        self._count_dropped("log record", dropped)

    def _time(self, nanoseconds: int) -> int | None:
        return self.tally.moment(nanoseconds)

    def _count_dropped(self, noun: str, dropped: int) -> None:
        if dropped:
            self.tally.gathered.count_problem(noun, "of which something was dropped")


# Fields by their keys on the wire: what a record may hold, and what of it is passed over.
_SPAN_IDS = {0x0A: (16,), 0x12: (8,), 0x22: (0, 8)}
_SPAN_FIELDS = frozenset((*range(1, 17),))
_SPAN_OTHERS = frozenset((0x1A, 0x6A, 0x70, 0x85))
_LOG_FIELDS = frozenset((*range(1, 13),))
_LOG_OTHERS = frozenset((0x10, 0x1A, 0x45, 0x52))


def _id(identity: str) -> str | None:
    return identity if identity.strip("0") else None


def _event(data: bytes, start: int, end: int) -> tuple[str | None, int, Attributes]:
    moment, name = 0, None
    attributes: Attributes = {}
    for key, at, stop in fields_of(data, start, end):
        if key == 0x09:
            moment = fixed64(data, at)
        elif key == 0x12:
            name = text(data, at, stop)
        elif key == 0x1A:
            _add_pair(attributes, data, at, stop, 0)
    return name, moment, attributes


def _attributes(data: bytes, start: int, end: int, field: int) -> Attributes:
    attributes: Attributes = {}
    for key, at, stop in fields_of(data, start, end):
        if key == field:
            _add_pair(attributes, data, at, stop, 0)
    return attributes


def _add_pair(attributes: Attributes, data: bytes, start: int, end: int, depth: int) -> None:
    name = ""
    value: Any = None
    for key, at, stop in fields_of(data, start, end):
        if key == 0x0A:
            name = text(data, at, stop)
        elif key == 0x12:
            value = _any_value(data, at, stop, depth)
    attributes[name] = value


def _any_value(data: bytes, start: int, end: int, depth: int) -> Any:
    """The plain value of an AnyValue; bytes are left out. Raises `WireError`."""
    if depth > _DEEPEST:
        raise WireError
    value: Any = None
    for key, at, stop in fields_of(data, start, end):
        if key == 0x0A:
            value = text(data, at, stop)
        elif key == 0x10:
            value = bool(at)
        elif key == 0x18:
            value = signed(at)
        elif key == 0x21:
            value = double(data, at)
        elif key == 0x2A:
            value = [
                _any_value(data, inner, its_end, depth + 1)
                for each, inner, its_end in fields_of(data, at, stop)
                if each == 0x0A
            ]
        elif key == 0x32:
            value = {}
            for each, inner, its_end in fields_of(data, at, stop):
                if each == 0x0A:
                    _add_pair(value, data, inner, its_end, depth + 1)
    return value


PARSERS = (OtlpProtobufParser(),)
