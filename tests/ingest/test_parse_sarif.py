"""SARIF: levels that nobody wrote down, waivers, and what a log does not say."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from damage import check

from ingest.parsers import Confidence, Reading
from ingest.parsers.sarif import SarifParser
from verify.facts import Approval, Config, Detector, Finding

SAMPLES = Path(__file__).parents[1] / "data" / "sarif"
SUPPRESSED = (SAMPLES / "Suppressions.sarif").read_bytes()
NOTIFIED = (SAMPLES / "Notifications.sarif").read_bytes()
VALID = (SAMPLES / "valid-sarif.sarif").read_bytes()


def log(*runs: Any, **members: Any) -> bytes:
    return json.dumps({"version": "2.1.0", "runs": runs} | members).encode()


def run(*results: Any, rules: Any = (), **members: Any) -> dict[str, Any]:
    tool = {"driver": {"name": "t", "version": "1", "rules": list(rules)}}
    return {"tool": tool, "results": list(results)} | members


def read(*results: Any, rules: Any = (), **members: Any) -> Reading:
    return check(log(run(*results, rules=rules, **members)))


def level(*results: Any, rules: Any = (), **members: Any) -> str | None:
    (finding,) = read(*results, rules=rules, **members).facts.findings
    return finding.severity


def test_two_tools_and_the_levels_of_their_rules() -> None:
    reading = check(VALID)
    facts = reading.facts
    assert (facts.parser, facts.records, facts.bad_records) == ("sarif", 2, 0)
    assert facts.detectors == (
        Detector("CodeQL command-line toolchain", "2.0.0"),
        Detector("LGTM.com", "1.24.0-SNAPSHOT"),
    )
    runs = json.loads(VALID)["runs"]
    assert not any("level" in result for each in runs for result in each["results"])
    assert facts.findings == (
        Finding(
            "CodeQL command-line toolchain",
            "js/inconsistent-use-of-new",
            1,
            None,
            None,
            "note",
            "low",
        ),
        Finding(
            "CodeQL command-line toolchain",
            "js/unused-local-variable",
            1,
            None,
            None,
            "note",
            "low",
        ),
        Finding("LGTM.com", "js/unused-local-variable", 1, None, None, "note", "low"),
    )
    assert facts.not_captured == ("times",)
    assert reading.kinds == ("guardrail_alert",)
    assert reading.summary == "2 runs, 3 results"


def test_suppressions_are_waivers_and_by_what_status() -> None:
    reading = check(SUPPRESSED)
    facts = reading.facts
    # The texts of the sample say, result by result, which are hidden and why.
    assert [(each.disposition, each.count) for each in facts.findings] == [
        (None, 2),
        ("suppressed", 5),
        ("suppression under review", 2),
    ]
    assert {each.severity for each in facts.findings} == {"warning"}
    assert facts.approvals == (
        Approval("suppress SarifSamples TUT1001", "approved"),
        Approval("suppress SarifSamples TUT1001", "rejected"),
        Approval("suppress SarifSamples TUT1001", "requested"),
    )
    assert reading.kinds == ("guardrail_alert", "approval")
    assert reading.summary == "1 run, 9 results, 5 suppressed"


def test_what_a_tool_says_of_itself_is_no_finding() -> None:
    facts = check(NOTIFIED).facts
    assert facts.findings == ()
    assert facts.problems == (
        "1 invocation that did not succeed",
        "2 notifications of the tool about itself",
    )


def test_the_default_level_is_warning() -> None:
    assert level({"ruleId": "a"}) == "warning"
    assert level({"ruleId": "a"}, rules=[{"id": "a"}]) == "warning"
    assert level({"ruleId": "a", "level": "error"}) == "error"
    assert level({"ruleId": "a", "kind": "review"}) == "none"


def test_a_rule_is_found_by_index_name_or_extension() -> None:
    rules = [
        {"id": "a", "defaultConfiguration": {"level": "error"}},
        {"id": "b", "defaultConfiguration": {"level": "note"}},
    ]
    assert level({"ruleId": "b"}, rules=rules) == "note"
    assert level({"ruleIndex": 0}, rules=rules) == "error"
    assert level({"rule": {"index": 1}}, rules=rules) == "note"
    (finding,) = read({"ruleIndex": 0}, rules=rules).facts.findings
    assert finding.label == "a"
    extended = run({"rule": {"index": 0, "toolComponent": {"index": 0}}}, rules=rules)
    extended["tool"]["extensions"] = [
        {
            "name": "pack",
            "version": "7",
            "rules": [{"id": "x", "defaultConfiguration": {"level": "none"}}],
        }
    ]
    facts = check(log(extended)).facts
    assert [(each.label, each.severity) for each in facts.findings] == [("x", "none")]
    assert facts.detectors == (Detector("pack", "7"), Detector("t", "1"))
    for index in (9, -1, True, "0", None, {}):
        assert level({"ruleId": "b", "ruleIndex": index}, rules=rules) in ("note", "warning")


def test_what_passed_or_does_not_apply_is_no_finding() -> None:
    reading = read({"ruleId": "a", "kind": "pass"}, {"ruleId": "a", "kind": "notApplicable"})
    assert reading.facts.findings == ()


def test_times_are_those_of_invocations() -> None:
    invocation = {"startTimeUtc": "2026-01-31T09:30:00Z", "endTimeUtc": "2026-01-31T09:31:00.5Z"}
    facts = read({"ruleId": "a"}, invocations=[invocation]).facts
    assert (facts.first, facts.last) == ("2026-01-31T09:30:00Z", "2026-01-31T09:31:00.500Z")
    assert facts.findings[0].at == "2026-01-31T09:31:00.500Z"
    assert facts.not_captured == ()
    twice = read({"ruleId": "a"}, invocations=[invocation, invocation]).facts
    assert twice.findings[0].at is None


def test_a_run_without_results_scanned_nothing() -> None:
    nothing = run()
    del nothing["results"]
    facts = check(log(nothing)).facts
    assert facts.problems == ("1 run without results: nothing was scanned",)
    assert check(log(run())).facts.problems == ()


def test_what_was_scanned_and_which_run_it_was() -> None:
    facts = read(
        versionControlProvenance=[{"repositoryUri": "https://x/r", "revisionId": "abc"}],
        automationDetails={"id": "nightly/1", "guid": "6d5a5e5c"},
    ).facts
    assert facts.configs == (Config("commit", "https://x/r", "abc"),)
    assert facts.runs == ("6d5a5e5c", "nightly/1")


def test_a_waiver_names_what_it_is_for() -> None:
    result = {
        "ruleId": "a",
        "suppressions": [{"kind": "external", "status": "accepted", "justification": "fine"}],
        "locations": [
            {"physicalLocation": {"artifactLocation": {"uri": "x.py"}, "region": {"startLine": 7}}}
        ],
    }
    (approval,) = read(result).facts.approvals
    assert (approval.subject, approval.state, approval.reference) == (
        "suppress t a",
        "approved",
        "x.py:7",
    )
    (approval,) = read(
        result | {"partialFingerprints": {"b/v1": "f2", "a/v1": "f1"}}
    ).facts.approvals
    assert approval.reference == "f1"


def test_a_byte_order_mark_and_a_schema_change_nothing() -> None:
    assert check(b"\xef\xbb\xbf" + VALID) == check(VALID)
    schema = "https://json.schemastore.org/sarif-2.1.0.json"
    assert check(log(run({"ruleId": "a"}), **{"$schema": schema})).facts.parser == "sarif"


def test_a_bad_run_is_counted_and_the_next_is_read() -> None:
    facts = check(log(run({"ruleId": "a"}), {"tool": 7}, "x", run({"ruleId": "b"}))).facts
    assert (facts.records, facts.bad_records) == (2, 2)
    assert [each.label for each in facts.findings] == ["a", "b"]


def test_many_rules_and_results_cost_no_more_than_they_are() -> None:
    rules = [{"id": f"r{number}"} for number in range(3000)]
    results = [{"ruleId": f"r{number}"} for number in range(3000)]
    facts = read(*results, rules=rules).facts
    assert (len(facts.findings), facts.capped) == (200, ("findings",))
    assert Counter(each.severity for each in facts.findings) == {"warning": 200}


@pytest.mark.parametrize("key", ["ruleId", "level", "suppressions", "locations", "kind", "rule"])
def test_hostile_values_are_left_out(key: str) -> None:
    for value in ([], {}, 7, None, True, "x" * 9999, [None, {"status": []}], [{"status": {}}]):
        read({"ruleId": "a", key: value}, rules=[{"id": ["x"]}, 7])


def test_only_sarif_is_claimed() -> None:
    detect = SarifParser().detect
    assert detect(VALID, "x") is Confidence.CERTAIN
    assert detect(VALID[:600], "x") is Confidence.CERTAIN
    assert detect(b'{"version": "2.1.0", "runs": []}', "x.sarif") is Confidence.NONE
    assert (
        detect(b'{"version": "1.0.0", "runs": [{"tool": {"driver": 1}}]}', "x") is Confidence.NONE
    )
