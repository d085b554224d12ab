"""OTLP JSON: the carrier. Spans and logs of every shape, and what damage costs."""

from __future__ import annotations

import base64
import gzip
import io
import json
from pathlib import Path
from typing import Any

import pytest
from made_otlp import START, TRACE, attribute, logs, record, span, traces

from ingest.parsers import HEAD_SIZE, Confidence, Reading, choose, read_facts
from ingest.parsers.otlp_json import OtlpJsonParser
from ingest.parsers.records import RECORD_LIMIT
from verify.facts import Facts, ToolUse

SAMPLES = Path(__file__).parents[1] / "data" / "otlp-json"


def read(data: bytes, name: str = "traces.json") -> Reading:
    return read_facts(io.BytesIO(data), head=data[:HEAD_SIZE], name=name)


def sample(name: str) -> bytes:
    return (SAMPLES / name).read_bytes()


def facts_of(*spans: object) -> Facts:
    return read(json.dumps(traces(*spans)).encode()).facts


# The samples: what is asserted was read in the files.


def test_a_trace_says_when_where_and_whose_parent_is_missing() -> None:
    reading = read(sample("trace.json"))
    facts = reading.facts
    assert (facts.parser, facts.format, facts.records) == ("otlp-json", "otlp-json", 1)
    assert (facts.first, facts.last) == ("2018-12-13T14:51:00Z", "2018-12-13T14:51:01Z")
    assert (facts.raw_first, facts.raw_last) == ("1544712660000000000", "1544712661000000000")
    assert (facts.clock, facts.time_unit, facts.precision) == ("zoned", "ns", "ns")
    assert facts.traces == ("5b8efff798038103d269b633813fc60c",)
    assert (facts.spans, facts.unresolved_parents) == (1, 1)
    assert facts.platforms == ("my.service",)
    assert facts.runs == facts.models == facts.tools == facts.problems == facts.not_captured == ()
    assert reading.kinds == ("other",)
    assert reading.format_label == "OTLP JSON traces"
    assert reading.summary == "1 span; nothing of models or tools"


def test_logs_say_when_and_of_which_trace() -> None:
    reading = read(sample("logs.json"))
    facts = reading.facts
    assert (facts.records, facts.spans) == (1, 0)
    assert (facts.first, facts.last) == ("2018-12-13T14:51:00.300Z",) * 2
    assert facts.traces == ("5b8efff798038103d269b633813fc60c",)
    assert facts.actions == ()
    assert reading.kinds == ("other",)
    assert reading.format_label == "OTLP JSON logs"


def test_an_event_is_named() -> None:
    facts = read(sample("events.json")).facts
    assert facts.actions == ("browser.page_view",)
    assert (facts.records, facts.traces) == (1, ())


# The shapes.


def test_one_request_a_line_and_all_other_shapes_read_alike() -> None:
    requests = [traces(span(1), span(2)), logs(record({"a": 1})), traces(span(3))]
    compact = [json.dumps(each, separators=(",", ":")) for each in requests]
    files = {
        "lines": "\n".join(compact) + "\n",
        "one after another": "".join(compact),
        "pretty": "\n".join(json.dumps(each, indent=2) for each in requests),
        "a list": json.dumps(requests),
    }
    readings = {shape: read(text.encode()) for shape, text in files.items()}
    assert readings["lines"].facts.records == 4
    assert readings["lines"].facts.spans == 3
    assert readings["lines"].format_label == "OTLP JSON traces and logs"
    assert all(reading == readings["lines"] for reading in readings.values())
    packed = read(gzip.compress(files["lines"].encode()), "traces.json.gz")
    assert packed.facts == readings["lines"].facts


def test_a_first_request_longer_than_the_head_is_still_known() -> None:
    many = [span(number, {"text": "x" * 200}) for number in range(1, 400)]
    data = json.dumps(traces(*many)).encode()
    assert len(data) > 2 * HEAD_SIZE
    assert OtlpJsonParser().detect(data[:HEAD_SIZE], "x") is Confidence.LIKELY
    facts = read(data + b"\n" + json.dumps(traces(span(400))).encode()).facts
    assert (facts.records, facts.spans, facts.unresolved_parents) == (400, 400, 0)
    assert facts.bad_records == 0


def test_only_otlp_is_taken_for_it() -> None:
    detect = OtlpJsonParser().detect
    assert detect(sample("trace.json"), "x.bin") is Confidence.CERTAIN
    assert detect(b'{"resourceSpans":[]}', "x") is Confidence.CERTAIN
    assert detect(b'{"a":{"resourceSpans":[{"scopeSpans":[]}]}}', "trace.json") is Confidence.NONE
    assert detect(b'{"a":"\\"resourceSpans\\":["}', "trace.json") is Confidence.NONE
    assert detect(b'"resourceSpans":[ is a key', "trace.json") is Confidence.NONE
    assert choose(b'{"resource":{"attributes":[]}}', "trace.json").name == "json"


def test_an_empty_request_has_nothing() -> None:
    reading = read(b'{"resourceSpans":[]}\n')
    assert (reading.facts.records, reading.kinds) == (0, ("other",))
    assert reading.summary == "no spans, no log records"
    assert reading.facts.problems == reading.facts.not_captured == ()


def test_older_names_of_scopes_are_known() -> None:
    library = {"instrumentationLibrary": {"name": "x"}, "spans": [span(1)]}
    request = {"resourceSpans": [{"instrumentationLibrarySpans": [library]}]}
    assert read(json.dumps(request).encode()).facts.spans == 1


def test_metrics_are_counted_and_not_read() -> None:
    metrics = {"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"name": "a"}, {"name": "b"}]}]}]}
    data = json.dumps(traces(span(1))) + "\n" + json.dumps(metrics)
    facts = read(data.encode()).facts
    assert (facts.records, facts.bad_records) == (1, 0)
    assert facts.problems == ("2 metrics not read",)


# Numbers, words, ids.


@pytest.mark.parametrize("write", [str, int])
def test_64_bit_integers_are_texts_or_numbers_and_never_pass_through_a_float(write: Any) -> None:
    start = 1_763_423_912_171_758_991  # a float would end in 9,104
    facts = facts_of(span(1, startTimeUnixNano=write(start), endTimeUnixNano=write(start + 1)))
    assert facts.raw_first == "1763423912171758991"
    assert facts.raw_last == "1763423912171758992"
    assert facts.first == "2025-11-17T23:58:32.171758Z"
    assert facts.problems == ()


def test_a_time_that_is_none_is_counted_and_zero_is_not_set() -> None:
    odd = span(1, startTimeUnixNano="soon", endTimeUnixNano=[1])
    facts = facts_of(odd, span(2, startTimeUnixNano="0", endTimeUnixNano=str(START)))
    assert facts.problems == ("2 times that cannot be read",)
    assert facts.first == facts.last == "2023-11-14T22:13:20Z"


def test_a_log_record_without_its_time_has_the_time_it_was_observed() -> None:
    seen = record({}, timeUnixNano="0", observedTimeUnixNano=str(START + 10**9))
    both = record({}, observedTimeUnixNano=str(START + 3600 * 10**9))
    facts = read(json.dumps(logs(seen, both)).encode()).facts
    assert (facts.first, facts.last) == ("2023-11-14T22:13:20Z", "2023-11-14T22:13:21Z")


def test_enumerations_are_numbers_and_some_write_words() -> None:
    for code in (2, "STATUS_CODE_ERROR"):
        facts = facts_of(span(1, status={"code": code}), span(2, status={"code": 1}))
        assert facts.problems == ("1 span ended in an error",)


def test_ids_are_hexadecimal_in_any_case_and_base64_is_read_as_what_it_means() -> None:
    upper = span(2, traceId=TRACE.upper(), spanId="ABCDEF0000000002")
    parent = span(1, spanId="abcdef0000000001")
    child = span(3, parentSpanId="abcdef0000000002")
    facts = facts_of(parent, upper | {"parentSpanId": "ABCDEF0000000001"}, child)
    assert (facts.spans, facts.unresolved_parents) == (3, 0)
    assert facts.traces == (TRACE,)

    def encoded(text: str) -> str:
        return base64.b64encode(bytes.fromhex(text)).decode()

    wrong = span(4, traceId=encoded(TRACE), spanId=encoded("abcdef0000000004"))
    facts = facts_of(wrong | {"parentSpanId": encoded("abcdef0000000003")})
    assert facts.traces == (TRACE,)
    assert facts.unresolved_parents == 1


def test_zeros_are_no_parent_and_no_trace() -> None:
    facts = facts_of(span(1, parentSpanId="0" * 16, traceId="0" * 32))
    assert (facts.unresolved_parents, facts.traces) == (0, ())


def test_a_span_without_an_end_is_unfinished_until_it_is_written_again() -> None:
    begun = {"endTimeUnixNano": "0"}
    facts = facts_of(span(1, **begun), span(2, **begun), span(3))
    assert facts.problems == ("2 spans without an end",)
    facts = facts_of(span(1, **begun), span(2, **begun), span(1))
    assert "1 span without an end" in facts.problems
    assert "1 duplicate record" in facts.problems
    assert facts.spans == 2


def test_what_was_dropped_is_told() -> None:
    facts = facts_of(span(1, droppedAttributesCount=3), span(2, droppedEventsCount=1))
    assert facts.problems == ("2 spans of which something was dropped",)


def test_attributes_of_every_type_are_flattened() -> None:
    body = {"message": {"content": [{"text": "hello"}]}, "index": 0, "flag": True, "rate": 0.5}
    reading = read(json.dumps(logs(record({"event.name": "gen_ai.choice"}, body))).encode())
    assert reading.kinds == ("prompt", "tool_trace")
    huge = {"key": "gen_ai.request.max_tokens", "value": {"intValue": "9" * 400}}
    assert facts_of(span(1, attributes=[huge])).problems == ()


def test_unknown_members_are_passed_over() -> None:
    odd = span(1, futureField={"x": [1]}, attributes=[attribute("a", 1) | {"futureField": 2}])
    facts = read(json.dumps(traces(odd) | {"futureField": [1, 2]}).encode()).facts
    assert (facts.records, facts.problems) == (1, ())


# Hostile values.


@pytest.mark.parametrize("value", [None, 7, -1.5, "x", [], {}, True, [[]], {"a": {"b": []}}])
def test_a_value_of_any_type_anywhere_raises_nothing(value: object) -> None:
    for key in span(1):
        read(json.dumps(traces(span(1, **{key: value}), span(2))).encode())
        read(json.dumps(logs(record({"event.name": "gen_ai.choice"}, **{key: value}))).encode())
    for key in ("gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.tool.definitions"):
        entry = {"key": key, "value": value}
        operation = attribute("gen_ai.operation.name", "chat")
        facts_of(span(1, attributes=[operation, entry, value]), value)
        odd = {"key": value, "value": {"stringValue": "x"}}
        facts_of(span(1, attributes=[operation, odd, {"key": "k", "value": value}]))
    for key in ("resource", "scopeSpans"):
        request = traces(span(1))
        request["resourceSpans"][0][key] = value
        read(json.dumps(request).encode())
    read(json.dumps({"resourceSpans": [value, *traces(span(1))["resourceSpans"]]}).encode())


def test_what_is_no_span_is_a_bad_record_at_the_offset_of_its_resource() -> None:
    data = json.dumps(traces("junk", {"no": "id"}, span(1))).encode()
    facts = read(data).facts
    assert (facts.records, facts.bad_records) == (1, 2)
    assert facts.bad_offsets == (0, 0)
    assert facts.problems == ("2 bad records: not of OTLP",)
    data = b" " * 9 + json.dumps(traces("junk"), indent=1).encode()
    assert read(data).facts.bad_offsets == (data.index(b"{", data.index(b"[")),)


# Damage.


def test_a_damaged_span_costs_itself_only() -> None:
    data = json.dumps(traces(*(span(number) for number in range(1, 9))), indent=1).encode()
    at = data.index(b'"span 5"')
    broken = data[:at] + b"\x00" + data[at + 1 :]
    facts = read(broken).facts
    assert facts.spans == 7
    assert facts.bad_records >= 1
    assert facts.bad_offsets[0] == broken.index(b"{", broken.index(b"["))
    assert any("not JSON" in problem for problem in facts.problems)


def test_a_request_cut_off_gives_the_spans_that_are_there() -> None:
    data = json.dumps(traces(*(span(number) for number in range(1, 9))), indent=1).encode()
    facts = read(data[: data.index(b'"span 5"')]).facts
    assert facts.spans == 4
    assert facts.bad_records == 2  # the resource, and the span in it
    assert "2 bad records: cut off at the end of the file" in facts.problems


def test_a_bad_line_is_one_bad_record() -> None:
    lines = [json.dumps(traces(span(number))).encode() for number in (1, 2, 3)]
    facts = read(b"\n".join([lines[0], lines[1][:-40], lines[2]])).facts
    assert (facts.records, facts.bad_records) == (2, 1)
    assert facts.bad_offsets == (len(lines[0]) + 1,)


def test_a_resource_too_large_to_hold_is_read_span_by_span() -> None:
    text = "x" * (1 << 20)
    many = [span(number, {"text": text}) for number in range(1, (RECORD_LIMIT >> 20) + 4)]
    data = json.dumps(traces(*many, resource={"service.name": "large"})).encode()
    facts = read(data).facts
    assert (facts.spans, facts.unresolved_parents) == (len(many), 0)
    assert "1 bad record: longer than 16 MiB, and so not read" in facts.problems


def test_calls_survive_the_carrier() -> None:
    tool = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "send_email"}
    facts = facts_of(span(1, tool), span(2, tool, endTimeUnixNano=0))
    assert facts.tools == (ToolUse("send_email", 2, 1),)
    assert (facts.unfinished_calls, facts.last_tool) == (1, "send_email")
