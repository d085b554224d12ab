"""Spans and runtime logs of ADOT in CloudWatch: read by eye, and anew from the same files."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from ingest.parsers import HEAD_SIZE, Confidence, Reading, read_facts
from ingest.parsers.otel_cloudwatch import CloudWatchParser
from verify.facts import Activity, Config, Model, ToolUse

SAMPLES = Path(__file__).parents[1] / "data" / "otel-genai-cloudwatch"
SPANS = (SAMPLES / "spans.json").read_bytes()
LOGS = (SAMPLES / "runtime_logs.json").read_bytes()
SESSION = "cc8a8e69-8bed-4e5f-9a06-9a58550fd713"
RUNTIME = (
    "arn:aws:bedrock-agentcore:us-east-1:123456789012:runtime/test_eval_1-Ux9OE986P4"
    "/runtime-endpoint/DEFAULT:DEFAULT"
)
MODEL = "us.anthropic.claude-3-7-sonnet-20250219-v1:0"


def read(data: bytes) -> Reading:
    return read_facts(io.BytesIO(data), head=data[:HEAD_SIZE], name="x")


def inner(data: bytes) -> list[dict[str, Any]]:
    return [each["raw_otel_json"] for each in json.loads(data)]


def test_spans_have_models_and_keys_and_no_prompts() -> None:
    spans = inner(SPANS)
    reading = read(SPANS)
    facts = reading.facts
    ids = {span["spanId"] for span in spans}
    assert (facts.records, facts.spans) == (24, 24)
    assert facts.unresolved_parents == sum(span["parentSpanId"] not in ids for span in spans)
    assert facts.traces == facts.runs == tuple(sorted({span["traceId"] for span in spans}))
    assert facts.raw_first == str(min(span["startTimeUnixNano"] for span in spans))
    assert facts.raw_last == "1763423917517663228"
    assert facts.last == "2025-11-17T23:58:37.517663Z"
    assert (facts.clock, facts.time_unit, facts.precision) == ("zoned", "ns", "ns")
    requests = sum("gen_ai.request.model" in span["attributes"] for span in spans)
    assert facts.models == (Model(MODEL, requests, 0, "floating"),)
    assert facts.sessions == (SESSION,)
    assert facts.accounts == ("123456789012",)
    assert facts.platforms == ("aws", "aws.bedrock", "strands-agents", "test_eval_1.DEFAULT")
    assert facts.tools == ()
    assert facts.configs == (
        Config("agent", "Strands Agents"),
        Config("runtime", RUNTIME),
        Config("tool", "code_interpreter"),
    )
    assert facts.not_captured == ("message content", "returned model")
    assert reading.kinds == ("tool_trace",)
    assert reading.format_label == "OpenTelemetry spans, CloudWatch"
    assert reading.summary == "24 spans, no tool calls; prompts not captured"


def test_requests_to_aws_name_the_key_they_were_signed_with() -> None:
    signed = [
        span["startTimeUnixNano"]
        for span in inner(SPANS)
        if span["attributes"].get("aws.auth.account.access_key")
    ]
    facts = read(SPANS).facts
    assert facts.principals == ("aws-access-key:ASIA2UC3CYLEZ4QN7R24",)
    (activity,) = facts.activities
    assert activity.count == len(signed)
    assert isinstance(activity, Activity)
    assert "Bedrock AgentCore:CreateEvent" in facts.actions
    assert "chat" in facts.actions


def test_runtime_logs_hold_the_prompts_and_join_by_trace() -> None:
    logs = inner(LOGS)
    reading = read(LOGS)
    facts = reading.facts
    called: dict[str, str] = {}
    answered = set()
    for log in logs:
        body, name = log.get("body"), log.get("attributes", {}).get("event.name")
        for block in body.get("content", []) if name == "gen_ai.assistant.message" else ():
            if "toolUse" in block:
                called[block["toolUse"]["toolUseId"]] = block["toolUse"]["name"]
        if name == "gen_ai.tool.message":
            answered.add(body["id"])
    assert called
    assert (facts.records, facts.spans) == (15, 0)
    done = called.keys() & answered
    assert facts.tools == (ToolUse("code_interpreter", len(done), 0),)
    assert set(called.values()) == {"code_interpreter"}
    assert facts.traces == ("691bb6a875f4b80435ad36816864e7c2",)
    assert set(facts.traces) <= set(read(SPANS).facts.traces)
    assert facts.sessions == (SESSION,)
    assert reading.kinds == ("prompt", "tool_trace")
    assert facts.not_captured == ()
    assert (facts.clock, facts.time_unit) == ("zoned", "mixed")
    assert facts.first == "2025-11-17T23:58:33.428007Z"
    assert facts.raw_first == str(min(log["timeUnixNano"] for log in logs if "body" in log))


def test_the_time_of_the_wrapping_has_no_zone_and_is_not_used() -> None:
    assert read(SPANS).facts.problems == ("24 CloudWatch times without a zone, not used",)
    later = json.loads(SPANS)
    for each in later:
        each["timestamp"] = "2031-01-01 00:00:00.000"
    assert read(json.dumps(later).encode()).facts == read(SPANS).facts


def test_every_wrapping_gives_the_same_facts() -> None:
    spans = inner(SPANS)
    texts = [json.dumps(span) for span in spans]
    bare = read(json.dumps(spans).encode()).facts
    assert bare.problems == ()
    exported = [
        {
            "timestamp": 1763423917517,
            "message": text,
            "ingestionTime": 1763423920000,
            "eventId": "1",
        }
        for text in texts
    ]
    insights = [{"@timestamp": "2025-11-17 23:58:37.517", "@message": text} for text in texts]
    for data in (
        "\n".join(texts),
        json.dumps({"events": exported, "searchedLogStreams": []}),
        json.dumps({"events": exported}, indent=4),
        "\n".join(json.dumps(each) for each in exported),
    ):
        assert read(data.encode()).facts == bare
    facts = read(json.dumps(insights).encode()).facts
    assert facts.problems == ("24 CloudWatch times without a zone, not used",)
    assert facts.activities == bare.activities


def test_lines_of_the_application_count_as_log_records() -> None:
    (line,) = [each for each in inner(LOGS) if "logger" in each]
    assert line["timestamp"] == "2025-11-17T23:58:37.517Z"
    facts = read(json.dumps([*json.loads(LOGS), {"message": "no JSON"}, 7]).encode()).facts
    assert (facts.records, facts.bad_records) == (16, 1)
    assert facts.problems[0] == "1 bad record: not a span or log record"


def test_a_span_without_an_end_and_a_failed_one() -> None:
    spans = inner(SPANS)
    spans[0]["endTimeUnixNano"] = None
    spans[1]["status"] = {"code": "ERROR"}
    assert read(json.dumps(spans).encode()).facts.problems == (
        "1 span ended in an error",
        "1 span without an end",
    )


@pytest.mark.parametrize("value", [None, 7, "x", [], {}, True, [{}], {"a": [1]}])
def test_a_value_of_any_type_anywhere_raises_nothing(value: object) -> None:
    for data in (SPANS, LOGS):
        first = json.loads(data)[0]
        for key in first["raw_otel_json"]:
            changed = first | {"raw_otel_json": first["raw_otel_json"] | {key: value}}
            read(json.dumps([first, changed, first | {"raw_otel_json": value}]).encode())


def test_only_adot_is_taken_for_it() -> None:
    detect = CloudWatchParser().detect
    assert detect(SPANS, "x.bin") is Confidence.CERTAIN
    assert detect(LOGS, "x") is Confidence.CERTAIN
    assert detect(SPANS[:200] + b"\x00" + SPANS[201:], "x") is not Confidence.NONE
    otlp = b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"startTimeUnixNano":1}]}]}]}'
    assert detect(otlp, "x") is Confidence.NONE
    assert detect(b'{"events":[{"message":"startTimeUnixNano\\":1"}]}', "x") is Confidence.NONE
