"""Bedrock guardrails: what was found, what became of it, and what the bodies do not say."""

from __future__ import annotations

import base64
import io
import json
import struct
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest
import yaml
from damage import check

from ingest.parsers import Confidence, Reading, choose
from ingest.parsers.bedrock_guardrail import BedrockGuardrailParser
from ingest.parsers.eventstream import MessageReader, is_event_stream
from verify.facts import Config, Decision, Detector, Finding, Model

SAMPLES = Path(__file__).parents[1] / "data" / "bedrock-guardrail"
APPLIED = "apply_guardrail_intervened.response.json"
CONVERSED = "converse_guardrail_masked.cassette.yaml"
AGENT = "agent_guardrail_trace.events.jsonl"
AGENT_RECORDED = "agent_guardrail_trace.cassette.yaml"


def sample(name: str) -> bytes:
    return (SAMPLES / name).read_bytes()


def read(value: Any) -> Reading:
    return check(json.dumps(value).encode())


def applied(**members: Any) -> dict[str, Any]:
    return json.loads(sample(APPLIED)) | members


def recorded_body(name: str) -> Any:
    return yaml.safe_load(sample(name))["interactions"][0]["response"]["body"]["string"]


def test_a_filter_that_found_nothing_is_no_finding() -> None:
    facts = check(sample(APPLIED)).facts
    rows = applied()["assessments"][0]["contentPolicy"]["filters"]
    assert [row["detected"] for row in rows] == [False] * 6
    assert facts.findings == (
        Finding("274u1upxm897", "pii:EMAIL", 1, None, "BLOCKED"),
        Finding("274u1upxm897", "topic:InvestmentObjectives", 1, None, "BLOCKED"),
    )
    assert facts.detectors == (Detector("274u1upxm897", "1"),)
    assert facts.configs == (Config("guardrail", "274u1upxm897", "1"),)
    assert facts.accounts == ("503561449716",)
    assert facts.decisions == (Decision("denied", 1),)


def test_a_body_has_no_time_and_says_so() -> None:
    reading = check(sample(APPLIED))
    assert (reading.facts.clock, reading.facts.first) == ("none", None)
    assert reading.facts.not_captured == ("times",)
    assert reading.summary == "1 report, 1 intervened, 2 findings, no times"
    assert reading.kinds == ("guardrail_alert", "dlp_finding")


def test_the_matched_data_stays_out_of_the_facts() -> None:
    for name in (APPLIED, CONVERSED):
        reading = check(sample(name))
        told = json.dumps(reading.facts.to_json()) + reading.summary
        for secret in ("abc@pqrt.com", "Italy", "Rome", "Japan", "Tokyo"):
            assert secret not in told


def test_intervened_may_mean_masked_which_is_allowed() -> None:
    body = json.loads(recorded_body(CONVERSED))
    assert body["stopReason"] == "guardrail_intervened"
    facts = read(body).facts
    assert facts.decisions == (Decision("allowed", 1),)
    assert facts.findings == (Finding("5zwrmdlsra2e", "pii:ADDRESS", 4, None, "ANONYMIZED"),)
    assert facts.not_captured == ("guardrail version", "times")
    assert facts.problems == ("a trace holds the model's answer before masking",)


def test_a_recorded_exchange_adds_time_version_and_model() -> None:
    facts = check(sample(CONVERSED)).facts
    assert (facts.clock, facts.first, facts.raw_first) == (
        "zoned",
        "2025-08-19T08:04:28Z",
        "Tue, 19 Aug 2025 08:04:28 GMT",
    )
    assert facts.findings[0].at == "2025-08-19T08:04:28Z"
    assert facts.detectors == (Detector("5zwrmdlsra2e", "DRAFT"),)
    assert facts.configs == (Config("guardrail", "5zwrmdlsra2e", "DRAFT"),)
    assert facts.models == (Model("amazon.titan-text-express-v1", 1, 0, "floating"),)
    assert facts.runs == ("61fd75b2-bd4a-48ea-95cf-d84d111be9ca",)
    assert "guardrail version DRAFT: it can change without a new version" in facts.problems


def test_draft_is_said_wherever_it_stands() -> None:
    value = applied()
    value["assessments"][0]["appliedGuardrailDetails"]["guardrailVersion"] = "DRAFT"
    assert read(value).facts.problems == (
        "guardrail version DRAFT: it can change without a new version",
    )


@pytest.mark.parametrize("name", [AGENT, AGENT_RECORDED])
def test_an_agents_trace_has_a_time_and_another_spelling(name: str) -> None:
    reading = check(sample(name))
    facts = reading.facts
    assert b'"action":"INTERVENED"' in sample(AGENT)
    assert facts.findings == (
        Finding(
            "Bedrock guardrail",
            "content:PROMPT_ATTACK",
            1,
            "2025-08-13T23:20:58.141453Z",
            "BLOCKED",
        ),
    )
    assert (facts.records, facts.bad_records) == (2, 0)
    assert (facts.raw_last, facts.precision) == ("2025-08-13T23:20:58.141453390Z", "ns")
    assert facts.first == "2025-08-13T23:20:57.867773Z"
    assert facts.decisions == (Decision("denied", 1),)
    assert facts.sessions == ("12345680",)
    assert facts.traces == ("b7971198-1d51-48a0-82ec-6bd478210c33-guardrail-pre-0",)
    assert facts.configs == (Config("agent", "DWWNQI7RYU", "4"),)
    assert facts.accounts == ("183295444654",)
    assert reading.kinds == ("guardrail_alert",)


def test_the_event_stream_itself_gives_the_same() -> None:
    wire = recorded_body(AGENT_RECORDED)
    assert isinstance(wire, bytes)
    assert is_event_stream(wire)
    assert check(wire).facts == check(sample(AGENT)).facts
    messages = [message for _, message in MessageReader(io.BytesIO(wire))]
    assert [message.headers[":event-type"] for message in messages] == ["trace", "chunk"]
    assert [json.loads(message.payload) for message in messages] == [
        json.loads(line) for line in sample(AGENT).splitlines()
    ]


def test_a_message_whose_crc_is_wrong_is_a_bad_record() -> None:
    wire = recorded_body(AGENT_RECORDED)
    second = struct.unpack(">I", wire[:4])[0]
    broken = bytearray(wire)
    broken[second + 120] ^= 1
    facts = check(bytes(broken)).facts
    assert (facts.records, facts.bad_records, facts.bad_offsets) == (1, 1, (second,))
    assert facts.problems == ("1 bad record: its CRC is wrong",)
    broken = bytearray(wire)
    broken[second + 1] ^= 1
    assert check(bytes(broken)).facts.problems == ("1 bad record: no prelude of a message",)
    assert check(wire[:-1]).facts.problems == ("1 bad record: cut off at the end of the file",)


def message(payload: bytes, headers: bytes = b"") -> bytes:
    start = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    data = start + struct.pack(">I", zlib.crc32(start)) + headers + payload
    return data + struct.pack(">I", zlib.crc32(data))


def test_headers_of_all_types_are_passed_over() -> None:
    headers = (
        b"\x01a\x00\x01b\x01\x01c\x02\x07\x01d\x03\x00\x01\x01e\x04\x00\x00\x00\x01"
        b"\x01f\x05" + bytes(8) + b"\x01g\x06\x00\x02xx\x01h\x07\x00\x02hi\x01i\x08" + bytes(8)
    ) + (b"\x01j\x09" + bytes(16) + b"\x01k\x07\x00\x01k")
    ((_, found),) = MessageReader(io.BytesIO(message(b"{}", headers)))
    assert (found.headers, found.payload) == ({"h": "hi", "k": "k"}, b"{}")
    ((_, found),) = MessageReader(io.BytesIO(message(b"{}", b"\x01a\x63\x01h\x07\x00\x02hi")))
    assert found.headers == {}


def test_a_streamed_answer_is_decided_by_its_trace() -> None:
    body = json.loads(recorded_body(CONVERSED))
    stop = {"stopReason": body["stopReason"], "p": "abc"}
    metadata = {"trace": body["trace"], "usage": {}}
    wire = b"".join(
        message(json.dumps(each).encode())
        for each in ({"role": "assistant"}, {"contentBlockIndex": 0, "delta": {}}, stop, metadata)
    )
    facts = check(wire).facts
    assert (facts.records, facts.bad_records) == (4, 0)
    assert facts.decisions == (Decision("allowed", 1),)
    assert sum(finding.count for finding in facts.findings) == 4
    cut = message(json.dumps({"trace": {"guardrail": {}}}).encode()) + message(
        json.dumps(stop).encode()
    )
    assert check(cut).facts.decisions == (Decision("allowed", 1), Decision("unknown", 1))


def test_invoke_model_has_a_spelling_of_its_own() -> None:
    rows = [{"name": "Account Number", "regex": "x", "match": "1234561666", "action": "ANONYMIZED"}]
    value = {
        "results": [],
        "amazon-bedrock-guardrailAction": "INTERVENED",
        "amazon-bedrock-trace": {
            "guardrail": {
                "input": {"g1": {"topicPolicy": {"topics": []}}},
                "outputs": [{"g1": {"sensitiveInformationPolicy": {"regexes": rows}}}],
            }
        },
    }
    facts = read(value).facts
    assert facts.findings == (Finding("g1", "regex:Account Number", 1, None, "ANONYMIZED"),)
    assert facts.decisions == (Decision("allowed", 1),)
    chunk = {"bytes": base64.b64encode(json.dumps(value).encode()).decode()}
    wire = message(json.dumps(chunk).encode(), b"\x09guardrail\x00")
    assert check(wire).facts.findings == facts.findings


def test_nothing_found_is_a_report_too() -> None:
    reading = read(applied(action="NONE", assessments=[], actionReason="No action."))
    assert reading.facts.decisions == (Decision("allowed", 1),)
    assert reading.facts.findings == ()
    assert reading.kinds == ("guardrail_alert",)


@pytest.mark.parametrize(
    ("detected", "action", "found"),
    [(True, "NONE", 1), (False, "BLOCKED", 0), (None, "BLOCKED", 1), (None, "NONE", 0)],
)
def test_detected_decides_and_where_it_is_left_out_the_action(
    detected: bool | None, action: str, found: int
) -> None:
    row = {"type": "HATE", "action": action} | ({} if detected is None else {"detected": detected})
    facts = read(applied(assessments=[{"contentPolicy": {"filters": [row]}}])).facts
    assert len(facts.findings) == found


def test_hostile_values_are_left_out() -> None:
    facts = read(
        applied(
            action=["x"],
            assessments=[7, {"contentPolicy": 5}, {"topicPolicy": {"topics": {"name": ["x"]}}}],
        )
    )
    assert facts.facts.parser == "json"
    rows = [{"action": "BLOCKED", "name": "x" * 9999}, {"action": {"a": 1}, "name": 7}, "junk"]
    value = applied(assessments=[{"topicPolicy": {"topics": rows}}, None], actionReason=3)
    labels = [finding.label for finding in read(value).facts.findings]
    assert labels[0] == "topic:7"
    assert len(labels[1]) == 300


def test_a_record_of_another_kind_is_a_bad_one() -> None:
    data = sample(APPLIED) + b'\n{"other": 1}\n[7]\n'
    facts = check(data).facts
    assert (facts.records, facts.bad_records) == (1, 2)
    assert facts.problems == ("2 bad records: not a guardrail's report",)


def test_an_exchange_without_a_guardrail_is_counted() -> None:
    other = b"- request: {uri: https://x, body: guardrail}\n  response: {body: {string: hello}}\n"
    facts = check(
        sample(AGENT_RECORDED).replace(b"interactions:\n", b"interactions:\n" + other)
    ).facts
    assert facts.bad_records == 1
    assert facts.problems[0] == "1 bad record: an exchange without a guardrail's report"


def test_only_guardrails_are_claimed() -> None:
    detect = BedrockGuardrailParser().detect
    assert detect(sample(APPLIED), "x") is Confidence.CERTAIN
    assert detect(sample(APPLIED)[:900], "x") is Confidence.LIKELY
    assert detect(b'{"action": "x", "assessments": []}', "guardrail.json") is Confidence.NONE
    assert detect(b'{"a": "guardrailCoverage"}\n{"b": 1}', "x") is Confidence.NONE
    plain = sample(AGENT_RECORDED).replace(b"bedrock", b"sagemaker")
    assert detect(plain, "x") is Confidence.NONE
    assert detect(message(b'{"bytes": "x"}'), "x") is Confidence.NONE
    assert choose(sample(CONVERSED), "x").name == "bedrock-guardrail"


def test_without_the_library_a_cassette_is_recognised_and_not_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    reading = check(sample(CONVERSED))
    assert (reading.facts.parser, reading.facts.version) == ("bedrock-guardrail", 0)
    assert reading.facts.problems == ("not read: needs evidence-vault[formats]",)
