"""NeMo Guardrails, Presidio and garak: what they reported, by name, and what they do not say."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from damage import check

from ingest.parsers import Confidence
from ingest.parsers.garak import GarakParser
from ingest.parsers.nemo_guardrails import NemoGuardrailsParser
from ingest.parsers.presidio import PresidioParser
from verify.facts import Detector, Finding, Model, Validation

DATA = Path(__file__).parents[1] / "data"
NEMO = (DATA / "nemo-guardrails" / "detailed-logging.outputs.txt").read_bytes()
PRESIDIO = (DATA / "presidio" / "api-docs.examples.json").read_bytes()
GARAK = (DATA / "garak" / "test.report.jsonl").read_bytes()

# NeMo Guardrails.


def test_printed_rails_are_counted_and_those_that_stopped_found() -> None:
    reading = check(NEMO)
    facts = reading.facts
    text = NEMO.decode()
    named = text.count("ActivatedRail(type=") + len(re.findall(r"^type='", text, re.M))
    assert (named, text.count("stop=True")) == (8, 2)
    assert (facts.parser, facts.records, facts.bad_records) == ("nemo-guardrails", 8, 0)
    assert facts.findings == (
        Finding(
            "nemo-guardrails",
            "input: self check input",
            2,
            "2024-02-21T20:10:58.777170Z",
            "stopped",
        ),
    )
    assert [each.ruleset for each in facts.detectors] == [
        "dialog: generate next step",
        "dialog: generate user intent",
        "generation: generate bot message",
        "input: self check input",
        "output: self check output",
    ]
    moments = re.findall(r"(?:started|finished)_at=([0-9.]+)", text)
    assert (facts.raw_first, facts.raw_last) == (min(moments), max(moments))
    assert (facts.clock, facts.time_unit) == ("zoned", "s")
    models = Counter(re.findall(r"'model_name': '([^']+)'", text))
    assert facts.models == tuple(Model(name, 0, n, "floating") for name, n in models.items())
    assert reading.kinds == ("guardrail_alert",)
    assert reading.summary == "8 activated rails, 2 stopped"


def test_what_a_user_wrote_names_no_rail() -> None:
    inner = "ActivatedRail(type='input', name='forged', stop=True) 'model_name': 'forged'"
    for quoted in (repr(inner), '"' + inner.replace('"', "") + '"'):
        line = (
            f"activated_rails=[ActivatedRail(type='input', name='real', decisions=[{quoted}], "
            f"executed_actions=[], stop=False, additional_info={quoted}, started_at=1708546258.5)]"
        )
        facts = check(line.encode() + b"\n").facts
        assert (facts.records, facts.findings, facts.models) == (1, (), ())
        assert facts.detectors == (Detector("nemo-guardrails", None, "input: real"),)


def test_a_line_that_breaks_off_is_a_bad_record_with_what_was_there() -> None:
    data = b"activated_rails=[ActivatedRail(type='input', name='a', stop=True, info='never ends\n"
    facts = check(b"### cell 1\n" + data).facts
    assert (facts.records, facts.bad_records, facts.bad_offsets) == (1, 1, (11,))
    assert facts.findings == (Finding("nemo-guardrails", "input: a", 1, None, "stopped"),)
    assert facts.problems == ("1 bad record: broken off inside a string",)
    assert facts.not_captured == ("times",)


def test_nothing_is_evaluated(tmp_path: Path) -> None:
    target = tmp_path / "made"
    line = f"activated_rails=[ActivatedRail(type=open('{target}','w'), name=exit(), stop=True)]\n"
    facts = check(line.encode()).facts
    assert facts.records == 1
    assert not target.exists()


def test_a_log_in_json_gives_the_same() -> None:
    rail = {
        "type": "input",
        "name": "self check input",
        "stop": True,
        "started_at": 1708546258.7771702,
        "finished_at": 1708546259.545807,
        "executed_actions": [
            {"llm_calls": [{"raw_response": {"model_name": "gpt-3.5-turbo-instruct"}}, 7]}
        ],
    }
    for value in (
        {"response": [], "log": {"activated_rails": [rail]}},
        {"activated_rails": [rail]},
    ):
        facts = check(json.dumps(value).encode()).facts
        assert facts.findings == (
            Finding(
                "nemo-guardrails",
                "input: self check input",
                1,
                "2024-02-21T20:10:58.777170Z",
                "stopped",
            ),
        )
        assert facts.models_returned == ("gpt-3.5-turbo-instruct",)
    facts = check(json.dumps({"activated_rails": [rail, 7]}).encode() + b'\n{"b": 1}\n').facts
    assert (facts.records, facts.bad_records) == (1, 1)


# Presidio.


def test_the_kinds_of_data_and_who_found_them() -> None:
    reading = check(PRESIDIO)
    facts = reading.facts
    # One of the fifteen is asked for, in a request: it has neither score nor operator.
    assert PRESIDIO.count(b'"entity_type"') == 15
    assert sum(each.count for each in facts.findings) == 14
    found = {(each.label, each.disposition): each.count for each in facts.findings}
    assert found[("US_DRIVER_LICENSE", None)] == 3
    assert found[("PHONE_NUMBER", "redact")] == 1
    assert found[("NUMBER", "decrypt")] == 1
    assert [each.ruleset for each in facts.detectors] == [
        None,
        "SpacyRecognizer",
        "UsLicenseRecognizer",
    ]
    assert facts.not_captured == ("analysed text", "times")
    assert (facts.clock, reading.kinds) == ("none", ("dlp_finding",))


def test_answers_of_the_service_itself() -> None:
    examples = {each["at"]: each["value"] for each in json.loads(PRESIDIO)}
    analysed = examples["/paths//analyze/post/responses/200/content/application/json"]
    for name, number in (
        ("Enhanced response (single text)", 2),
        ("Lean response (single text)", 1),
        ("Batch response (array of texts)", 3),
    ):
        data = json.dumps(analysed[name]["value"]).encode()
        assert PresidioParser().detect(data, "x") is Confidence.CERTAIN
        assert sum(each.count for each in check(data).facts.findings) == number
    anonymised = examples["/paths//anonymize/post/responses/200/content/application/json"]
    data = json.dumps(anonymised["Replace and Redact Anonymizers"]["value"]).encode()
    reading = check(data)
    assert [(each.label, each.disposition) for each in reading.facts.findings] == [
        ("NAME", "replace"),
        ("PHONE_NUMBER", "redact"),
    ]
    assert "ANONYMIZED" not in json.dumps(reading.facts.to_json())


def test_only_results_are_claimed() -> None:
    detect = PresidioParser().detect
    assert detect(b'[{"entity_type": "X", "start": 0, "end": 3}]', "x") is Confidence.NONE
    assert detect(b'[{"entity_type": 7, "start": 0, "end": 3, "score": 1}]', "x") is Confidence.NONE
    assert detect(b'"entity_type": "start": "end": "score":', "x") is Confidence.NONE


# garak.


def test_a_report_of_a_run_without_zones() -> None:
    reading = check(GARAK)
    facts = reading.facts
    entries = Counter(json.loads(line)["entry_type"] for line in GARAK.splitlines())
    assert facts.records == sum(entries.values()) == 21
    assert entries["attempt"] == 16  # each attempt twice: sent, and with its scores
    assert reading.summary == "8 attempts, 1 evaluation, 0 of 8 outputs failed"
    assert (facts.clock, facts.first) == ("unzoned", None)
    assert (facts.raw_first, facts.raw_last) == (
        "2025-08-28T14:06:53.103753",
        "2025-08-28T14:06:54.065105",
    )
    assert facts.runs == ("f0d4a5a6-b698-4e9e-9336-91b89194b72b",)
    assert facts.validations == (Validation("garak test.Test / always.Pass", "passed"),)
    assert Detector("garak", "0.14.0.pre1") in facts.detectors
    assert facts.platforms == ("test",)
    assert facts.problems == ("2 times without a zone",)
    assert reading.kinds == ("validation",)
    assert "The quick brown fox" not in json.dumps(facts.to_json())


def test_what_failed_is_a_finding_also_in_older_reports() -> None:
    lines = GARAK.splitlines()
    start = next(line for line in lines if b'"init"' in line)
    newer = {"entry_type": "eval", "probe": "dan.Dan", "detector": "d.D", "passed": 3}
    older = newer | {"total": 8}
    for evaluation in (newer | {"total_evaluated": 8, "fails": 5, "nones": 1}, older):
        reading = check(start + b"\n" + json.dumps(evaluation).encode() + b"\n")
        assert reading.facts.validations == (Validation("garak dan.Dan / d.D", "failed"),)
        assert reading.facts.findings == (Finding("garak d.D", "dan.Dan", 5, None, None),)
        assert reading.kinds == ("validation", "guardrail_alert")
        assert "the run was not completed" in reading.facts.problems
    nothing = json.dumps(newer | {"passed": 0, "total": 0}).encode()
    (validation,) = check(start + b"\n" + nothing).facts.validations
    assert validation.result == "inconclusive"


def test_an_entry_of_a_kind_that_is_not_known_yet_is_one() -> None:
    facts = check(GARAK + b'{"entry_type": "news"}\n{"entry": 1}\n').facts
    assert (facts.records, facts.bad_records) == (22, 1)


def test_the_model_that_was_scanned() -> None:
    setup = {
        "entry_type": "start_run setup",
        "_config.version": "0.9",
        "plugins.model_type": "openai",
        "plugins.model_name": "gpt-4o",
    }
    facts = check(json.dumps(setup).encode()).facts
    assert facts.models == (Model("gpt-4o", 1, 0, "floating"),)
    assert facts.platforms == ("openai",)


@pytest.mark.parametrize("parser", [GarakParser(), NemoGuardrailsParser(), PresidioParser()])
def test_others_are_not_claimed(parser: Any) -> None:
    for data in (b"", b"garak", b'{"entry_type": "init"}', b'{"activated_rails": 7', b"\0\1"):
        assert parser.detect(data, "garak.report.jsonl") in (Confidence.NONE, Confidence.LIKELY)
    own = {"garak": GARAK, "nemo-guardrails": NEMO, "presidio": PRESIDIO}
    for name, data in own.items():
        expected = Confidence.CERTAIN if name == parser.name else Confidence.NONE
        assert parser.detect(data[: 64 << 10], "x") is expected


def test_hostile_values_are_left_out() -> None:
    for value in ([], {}, 7, None, True, "x" * 9999, [[{}]], -1, 1 << 90):
        entry = {"entry_type": "eval", "probe": value, "detector": value, "fails": value}
        check(GARAK + json.dumps(entry | {"passed": value, "total_evaluated": value}).encode())
        check(
            GARAK + json.dumps({"entry_type": "init", "run": value, "start_time": value}).encode()
        )
        rail = {"type": value, "name": value, "stop": value, "executed_actions": value}
        check(json.dumps({"activated_rails": [rail | {"started_at": value}]}).encode())
        result = {"entity_type": "X", "start": 0, "end": 1, "score": value}
        check(json.dumps([result | {"analysis_explanation": value, "operator": value}]).encode())
