"""OTLP protobuf: the facts are those of the same request as JSON; framings, and damage.

Requests are encoded by `opentelemetry-proto`, which the parser does not use.
"""

from __future__ import annotations

import base64
import io
import json
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import given, settings
from hypothesis import strategies as st
from made_otlp import START, TRACE, logs, record, span, traces
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from ingest.parsers import HEAD_SIZE, Confidence, Reading, choose, read_facts
from ingest.parsers.otlp_protobuf import OtlpProtobufParser
from ingest.parsers.records import RECORD_LIMIT
from ingest.parsers.wire import Wire, WireEnd, WireError, fields_of, varint
from verify.facts import Facts, ToolUse

DATA = Path(__file__).parents[1] / "data"
SAMPLE = (DATA / "otlp-protobuf" / "trace.binpb").read_bytes()
CHAT = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o"}
TOOL = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search"}
ASKED = '[{"role":"assistant","parts":[{"type":"tool_call","id":"c","name":"search"}]}]'


def read(data: bytes, name: str = "x") -> Reading:
    return read_facts(io.BytesIO(data), head=data[:HEAD_SIZE], name=name)


def facts_of(data: bytes) -> Facts:
    return read(data).facts


def encoded(request: dict[str, Any]) -> bytes:
    """The request in protobuf: ids are Base64 in the JSON that the library reads."""

    def based(value: Any) -> Any:
        if isinstance(value, list):
            return [based(each) for each in value]
        if not isinstance(value, dict):
            return value
        return {
            key: base64.b64encode(bytes.fromhex(inner)).decode()
            if key in ("traceId", "spanId", "parentSpanId")
            else based(inner)
            for key, inner in value.items()
        }

    kind = ExportTraceServiceRequest if "resourceSpans" in request else ExportLogsServiceRequest
    return bytes(json_format.ParseDict(based(request), kind()).SerializeToString())


def as_json(data: bytes, name: str = "x") -> Facts:
    """The facts of JSON, under the name of protobuf."""
    facts = facts_of(data)
    assert facts.parser == "otlp-json"
    return replace(facts, parser="otlp-protobuf", format="otlp-protobuf")


def many(count: int, **more: Any) -> dict[str, Any]:
    return traces(*(span(number, TOOL, **more) for number in range(1, count + 1)))


# The facts.


def test_the_sample_says_what_its_json_says() -> None:
    facts = facts_of(SAMPLE)
    assert facts == as_json((DATA / "otlp-json" / "trace.json").read_bytes())
    assert facts.traces == ("5b8efff798038103d269b633813fc60c",)
    assert (facts.first, facts.last) == ("2018-12-13T14:51:00Z", "2018-12-13T14:51:01Z")
    assert (facts.spans, facts.unresolved_parents) == (1, 1)
    assert read(SAMPLE).format_label == "OTLP protobuf traces"


@pytest.mark.parametrize("name", ["trace.json", "logs.json", "events.json"])
def test_any_request_says_what_its_json_says(name: str) -> None:
    data = (DATA / "otlp-json" / name).read_bytes()
    assert facts_of(encoded(json.loads(data))) == as_json(data)


DUMPS = sorted(
    path for name in ("openinference", "otel-genai-spans") for path in (DATA / name).glob("*.json")
)


@pytest.mark.parametrize("path", DUMPS, ids=lambda path: path.name[:20])
def test_traces_of_agents_say_what_their_json_says(path: Path) -> None:
    spans = [
        span(
            number,
            each["attributes"],
            traceId=each["trace_id"],
            spanId=each["span_id"],
            parentSpanId=each["parent_span_id"] or "",
            name=each["name"],
        )
        for number, each in enumerate(json.loads(path.read_bytes()), 1)
    ]
    request = traces(*spans, resource={"service.name": "agent"})
    facts = facts_of(encoded(request))
    assert facts == as_json(json.dumps(request).encode())
    assert facts.tools
    assert facts.models


def test_logs_of_agents_say_what_their_json_says() -> None:
    body = {"content": [{"toolUse": {"toolUseId": "c", "name": "search"}}], "n": -1, "f": 0.5}
    request = logs(
        record({"event.name": "gen_ai.choice"}, {"message": body, "index": 0}),
        record(
            {"gen_ai.system": "x"}, {"id": "c", "content": "y"}, eventName="gen_ai.tool.message"
        ),
        record({}, "plain", timeUnixNano="0", observedTimeUnixNano=str(START)),
    )
    facts = facts_of(encoded(request))
    assert facts == as_json(json.dumps(request).encode())
    assert facts.tools == (ToolUse("search", 1, 0),)


VALUES = st.recursive(
    st.text(max_size=8) | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(-9, 9),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)
NAMES = st.sampled_from((*CHAT, *TOOL, "gen_ai.output.messages", "session.id", "error.type", "x"))
SPANS = st.builds(
    lambda number, about, begun, ended, code: span(
        number,
        about,
        startTimeUnixNano=str(begun),
        endTimeUnixNano=str(ended),
        status={"code": code},
    ),
    st.integers(1, 4),
    st.dictionaries(NAMES, VALUES, max_size=4),
    st.sampled_from((0, START, START + 7)),
    st.sampled_from((0, START + 9)),
    st.sampled_from((0, 1, 2)),
)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.lists(SPANS, min_size=1, max_size=4))
def test_whatever_is_in_a_span_reads_alike(spans: list[dict[str, Any]]) -> None:
    request = traces(*spans)
    assert facts_of(encoded(request)) == as_json(json.dumps(request).encode())


# Framings.


def test_requests_one_after_another_are_one_request() -> None:
    both = encoded(traces(span(1))) + encoded(traces(span(2))) + encoded(logs(record({})))
    facts = facts_of(both)
    assert (facts.records, facts.spans, facts.unresolved_parents) == (3, 2, 0)
    assert facts.problems == ()
    assert read(both).format_label == "OTLP protobuf traces and logs"


@pytest.mark.parametrize("size", [1, 40])
def test_requests_behind_their_lengths_read_alike(size: int) -> None:
    requests = [encoded(many(size)), encoded(logs(record({}))), encoded(traces(span(size + 1)))]
    plain = facts_of(b"".join(requests))
    assert plain.records == size + 2
    fixed = b"".join(struct.pack(">I", len(each)) + each for each in requests)
    assert facts_of(fixed) == plain
    varints = b"".join(delimiter(len(each)) + each for each in requests)
    assert facts_of(varints) == plain


def delimiter(length: int) -> bytes:
    written = bytearray()
    while length > 0x7F:
        written.append(length & 0x7F | 0x80)
        length >>= 7
    return bytes((*written, length))


def test_a_request_longer_than_the_head_is_known_by_its_first_record() -> None:
    data = encoded(traces(*(span(number, {"x": "y" * 999}) for number in range(1, 200))))
    assert len(data) > 2 * HEAD_SIZE
    assert OtlpProtobufParser().detect(data[:HEAD_SIZE], "x") is Confidence.CERTAIN
    assert facts_of(data).spans == 199
    one = encoded(traces(span(1, {"x": "y" * (2 * HEAD_SIZE)})))
    assert OtlpProtobufParser().detect(one[:HEAD_SIZE], "x") is Confidence.LIKELY
    assert facts_of(one).spans == 1


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"\n\n\n\n",
        b"\n{some text}\n with a line",
        b"\x0a\x00",
        b"\x00\x00\x00\x05\ntext",
        b"\x05\ntext",
        b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x7fELF" + bytes(64),
        bytes(range(256)) * 4,
        b"\x0a\x10" + bytes(16) + b"\x12\x08" + bytes(8),
    ],
    ids=range(11),
)
def test_only_otlp_is_taken_for_it(data: bytes) -> None:
    assert OtlpProtobufParser().detect(data, "trace.binpb") is Confidence.NONE


def test_metrics_are_not_taken_for_traces() -> None:
    from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData

    metric = {"name": "a.metric.16chars", "description": "8 chars!", "sum": {"dataPoints": [{}]}}
    request = {"resourceMetrics": [{"scopeMetrics": [{"metrics": [metric]}]}]}
    data = json_format.ParseDict(request, MetricsData()).SerializeToString()
    assert choose(data, "x").name == "binary"


# Damage.


def test_a_damaged_record_costs_itself_only() -> None:
    data = bytearray(encoded(many(5)))
    at = data.index(b"span 3") + 2
    data[at] = 0xFF  # no UTF-8
    facts = facts_of(bytes(data))
    assert (facts.spans, facts.bad_records) == (4, 1)
    assert facts.problems == ("1 bad record: no span or log record",)
    start = facts.bad_offsets[0]
    assert data[start - 1] == 0x12
    assert start < at < start + 80


def test_a_damaged_length_costs_no_more_than_its_record() -> None:
    whole = encoded(many(9))
    for number in range(2, 9):
        ids = whole.index(bytes.fromhex(TRACE) + b"\x12\x08" + bytes.fromhex(f"{number:016x}")) - 2
        assert whole[ids - 3] == 0x12
        for at, bit in ((ids - 2, 1), (ids - 2, 0x20), (ids - 1, 1), (ids - 1, 2)):
            broken = bytearray(whole)
            broken[at] ^= bit
            facts = facts_of(bytes(broken))
            assert facts.bad_records
            assert facts.spans >= 8


def test_a_damaged_length_of_the_request_is_searched_through() -> None:
    data = encoded(many(9))
    for broken, found in (
        (b"\x0a\x05" + data[2:], 9),
        (data[:30] + b"\xff\xff" + data[30:], 8),  # in the ids of the first span
        (data[:4] + b"\x00" + data[4:], 9),
    ):
        facts = facts_of(broken)
        assert facts.parser == "otlp-protobuf"
        assert facts.spans == found
        assert any("records were searched for" in problem for problem in facts.problems)
        assert facts.bad_records >= 1


def test_a_request_cut_off_gives_the_records_that_are_there() -> None:
    data = encoded(many(9))
    facts = facts_of(data[: data.index(b"span 6")])
    assert (facts.spans, facts.bad_records) == (5, 1)
    assert facts.problems == (
        "1 bad record: cut off at the end of the file",
        "ends before its last message is complete",
    )
    # Cut between two records, only the length of what holds them tells.
    edge = data.index(bytes.fromhex(f"{6:016x}"), 60) - 22
    facts = facts_of(data[:edge])
    assert (facts.spans, facts.bad_records) == (5, 0)
    assert facts.problems == ("ends before its last message is complete",)


def test_a_record_too_large_to_hold_is_passed_over() -> None:
    large = span(2, {"x": "y" * (RECORD_LIMIT + 1)})
    facts = facts_of(encoded(traces(span(1), large, span(3))))
    assert (facts.spans, facts.bad_records) == (2, 1)
    assert "1 bad record: longer than 16 MiB, and so not read" in facts.problems


def test_values_nested_too_deep_are_a_bad_record() -> None:
    value: Any = "x"
    for _ in range(40):
        value = [value]
    facts = facts_of(encoded(traces(span(1), span(2, {"deep": value}))))
    assert (facts.spans, facts.bad_records) == (1, 1)


def test_a_search_that_finds_only_junk_ends() -> None:
    junk = b"\x12\xff\x7f\x0a\x10" + bytes(16) + b"\x12\x08" + bytes(8)
    data = encoded(many(2)) + b"\xff" + junk * 40_000
    facts = facts_of(data)
    assert facts.spans == 2
    assert facts.bad_records > 1000
    assert facts.problems[-1].startswith("too much damage: stopped at byte ")


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=60), st.integers(0, 200), st.integers(0, 40))
def test_any_bytes_anywhere_raise_nothing(junk: bytes, at: int, skip: int) -> None:
    data = encoded(many(3))
    facts = facts_of(data[:at] + junk + data[at + skip :])
    assert Facts.from_json(facts.to_json(), where="facts") == facts


# The wire.


def test_varints_and_fields_that_are_wrong() -> None:
    assert varint(b"\x96\x01", 0, 2) == (150, 2)
    for data in (b"", b"\x80", b"\xff" * 11):
        with pytest.raises(WireError):
            varint(data, 0, len(data))
    for data in (b"\x0a\x05abc", b"\x0b", b"\x0c", b"\x00\x01", b"\x09abc", b"\x0d\x00"):
        with pytest.raises(WireError):
            list(fields_of(data))
    assert list(fields_of(b"\x08\x96\x01\x12\x01a")) == [(8, 150, 3), (0x12, 5, 6)]


def test_a_wire_moves_over_any_stream() -> None:
    wire = Wire(io.BytesIO(bytes(range(1, 201)) * 5000))
    assert wire.peek(3) == b"\x01\x02\x03"
    wire.skip(600_001)
    assert (wire.position, wire.take(2)) == (600_001, b"\x02\x03")
    assert wire.varint() == 4
    with pytest.raises(WireEnd):
        wire.skip(1_000_000)
    assert wire.at_end
    with pytest.raises(WireEnd):
        wire.varint()
    with pytest.raises(WireError):
        Wire(io.BytesIO(b"\xff" * 20)).varint()
    for kind in (3, 4, 6, 7):
        with pytest.raises(WireError):
            wire.skip_field(kind, 1 << 40)


def test_memory_stays_flat() -> None:
    import tracemalloc

    class Endless(io.RawIOBase):
        """A hundred requests of a megabyte each."""

        def __init__(self) -> None:
            self._request = encoded(traces(*(span(n, {"x": "y" * 9999}) for n in range(1, 100))))
            self._left = io.BytesIO(self._request)
            self._requests = 40

        def read(self, size: int = -1, /) -> bytes:
            data = self._left.read(size)
            if not data and self._requests:
                self._requests -= 1
                self._left = io.BytesIO(self._request)
                data = self._left.read(size)
            return data

    stream = Endless()
    tracemalloc.start()
    facts = OtlpProtobufParser().read(stream, "x").facts  # type: ignore[arg-type]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert facts.records == 41 * 99
    assert facts.traces == (TRACE,)
    assert peak < 8 << 20
