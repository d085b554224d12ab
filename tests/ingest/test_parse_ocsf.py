"""OCSF: findings, checks and activity by class; the unit of times by the size of the number."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from samples import DATA

from ingest.parsers import HEAD_SIZE, Confidence, Reading, read_facts
from ingest.parsers.ocsf import NOT_MILLISECONDS, OcsfParser
from verify.facts import Activity, Decision, Detector, Facts, Model, Validation

SAMPLES = sorted((DATA / "ocsf").glob("*.json"))


def read(data: bytes, name: str = "events") -> Reading:
    return read_facts(io.BytesIO(data), head=data[:HEAD_SIZE], name=name)


def event(**members: Any) -> dict[str, Any]:
    return {
        "class_uid": 6003,
        "category_uid": 6,
        "class_name": "API Activity",
        "activity_id": 1,
        "type_uid": 600301,
        "severity_id": 1,
        "time": 1679072879000,
        "metadata": {"version": "1.1.0", "product": {"name": "CloudTrail"}},
        "actor": {"user": {"uid": "AROA:x", "uuid": "arn:aws:sts::1:assumed-role/r/s"}},
        "api": {"operation": "CreateUser", "service": {"name": "iam.amazonaws.com"}},
        "status_id": 1,
    } | members


def facts_of(*events: object) -> Facts:
    return read("\n".join(map(json.dumps, events)).encode()).facts


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_findings_of_prowler_are_checks_with_times_in_seconds(path: Any) -> None:
    events = json.loads(path.read_text())
    reading = read(path.read_bytes(), path.name)
    facts = reading.facts
    failed = [each for each in events if each["status_code"] == "FAIL"]
    results = {"PASS": "passed", "FAIL": "failed", "MANUAL": "inconclusive"}
    assert reading.format_label == "OCSF"
    assert reading.kinds == ("guardrail_alert", "validation")
    assert (facts.records, facts.bad_records) == (len(events), 0)
    assert (facts.time_unit, facts.problems) == ("s", (NOT_MILLISECONDS,))
    assert facts.raw_first == str(min(each["time"] for each in events))
    assert {(each.name, each.result) for each in facts.validations} == {
        (each["metadata"]["event_code"], results[each["status_code"]]) for each in events
    }
    assert {(each.label, each.severity, each.severity_norm) for each in facts.findings} == {
        (each["metadata"]["event_code"], each["severity"], each["severity"].lower())
        for each in failed
    }
    product = events[0]["metadata"]["product"]
    assert facts.detectors == (Detector(product["name"], product["version"]),)
    # time_dt has no zone and is an hour ahead of time
    assert facts.first is not None
    assert facts.first.startswith("2025-02-14T13:27:")
    assert events[0]["time_dt"].startswith("2025-02-14T14:27:")


def test_activity_names_principal_role_and_call() -> None:
    role = "arn:aws:iam::1:role/Admin"
    reading = read(
        json.dumps(
            event(
                actor={
                    "session": {"issuer": role},
                    "user": {"uuid": "arn:aws:sts::1:assumed-role/Admin/a", "account_uid": "1"},
                },
                cloud={"provider": "AWS", "account": {"uid": "2"}},
            )
        ).encode()
    )
    facts = reading.facts
    at = "2023-03-17T17:07:59Z"
    assert reading.kinds == ("access_log",)
    assert facts.activities == (Activity("arn:aws:sts::1:assumed-role/Admin/a", at, at, 1),)
    assert (facts.scopes, facts.accounts, facts.platforms) == ((role,), ("1", "2"), ("aws",))
    assert facts.actions == ("iam:CreateUser",)
    assert facts.decisions == (Decision("allowed", 1),)
    assert (facts.time_unit, facts.problems) == ("ms", ())


def test_kinds_and_decisions_follow_the_class() -> None:
    finding = {"finding_info": {"title": "found"}, "category_uid": 2}
    for members, kinds in (
        ({"class_uid": 2006, **finding}, ("dlp_finding",)),
        ({"class_uid": 2004, **finding}, ("guardrail_alert",)),
        ({"class_uid": 2003, "status_code": "PASS", **finding}, ("validation",)),
        ({"class_uid": 3002, "category_uid": 3, "user": {"name": "u"}}, ("access_log",)),
        ({"class_uid": 5001, "category_uid": 5}, ("other",)),
    ):
        assert read(json.dumps(event(**members)).encode()).kinds == kinds
    facts = facts_of(
        event(status_id=2, status_detail="AccessDenied"),
        event(status_id=2),
        event(status_id=0),
        event(disposition_id=2),
        event(status_id="1", api={"response": {"error": "UnauthorizedOperation"}}),
    )
    assert facts.decisions == (
        Decision("denied", 2),
        Decision("failed", 1),
        Decision("unknown", 2),
    )


@pytest.mark.parametrize(
    ("moment", "unit", "instant"),
    [
        (1739539623, "s", "2025-02-14T13:27:03Z"),
        (1739539623913, "ms", "2025-02-14T13:27:03.913Z"),
        (1739539623913874, "us", "2025-02-14T13:27:03.913874Z"),
        (1739539623913874123, "ns", "2025-02-14T13:27:03.913874Z"),
    ],
)
def test_the_size_of_the_number_tells_the_unit(moment: int, unit: str, instant: str) -> None:
    facts = facts_of(event(time=moment))
    assert (facts.time_unit, facts.first, facts.raw_first) == (unit, instant, str(moment))
    assert (NOT_MILLISECONDS in facts.problems) is (unit != "ms")
    zoneless = event(time_dt="2025-02-14T14:27:03.913874")
    del zoneless["time"]
    assert facts_of(zoneless).clock == "unzoned"


def test_a_list_in_any_wrapping_and_a_bucket_that_was_found() -> None:
    events = [event(metadata={"version": "1", "uid": f"{number}"}) for number in range(3)]
    plain = facts_of(*events)
    for form in (json.dumps(events), json.dumps(events, indent=2), json.dumps([events])):
        assert read(form.encode()).facts.records == plain.records == 3
    assert facts_of(events[0], events[0]).problems == ("1 duplicate record",)
    found = event(
        class_uid=2006,
        category_uid=2,
        finding_info={"title": "card numbers"},
        resources=[{"uid": "arn:aws:s3:::b/k"}, 7, {"name": "x"}],
        severity_id=4,
        status="New",
    )
    facts = facts_of(found)
    assert facts.datasets == ("s3://b/k",)
    [finding] = facts.findings
    assert (finding.label, finding.severity, finding.severity_norm, finding.disposition) == (
        "card numbers",
        "4",
        "high",
        "New",
    )


def test_agents_and_hostile_values() -> None:
    facts = facts_of(event(ai_model={"name": "gpt-4o"}))
    assert facts.models == (Model("gpt-4o", 1, 0, "floating"),)
    hostile: list[object] = [[], {}, 7, None, "x" * 5000, True, [[]], -1]
    events = [
        event(**{key: value}) for key in event() if key != "class_uid" for value in hostile
    ] + [
        event(class_uid=2004, category_uid=2, status_code="FAIL", resources=value)
        for value in hostile
    ]
    facts = facts_of(event(), *events, 7, {"class_uid": "x"})
    assert facts.parser == "ocsf"
    assert facts.records + facts.bad_records == len(events) + 3


def test_a_check_without_a_name_is_told_all_the_same() -> None:
    bare = event(class_uid=2004, category_uid=2, status_code="FAIL", class_name="Detection Finding")
    facts = facts_of(bare)
    at = "2023-03-17T17:07:59Z"
    assert facts.validations == (Validation("Detection Finding", "failed", at),)


def test_only_ocsf_is_taken_for_it() -> None:
    detect = OcsfParser().detect
    assert detect(SAMPLES[0].read_bytes(), "x.png") is Confidence.CERTAIN
    assert detect(b'{"class_uid": 1, "metadata": {}, "activity_id": 1}', "x") is Confidence.NONE
    assert detect(b'{"class_uid": "1", "category_uid": 1, "type_uid": 1}', "x") is Confidence.NONE
