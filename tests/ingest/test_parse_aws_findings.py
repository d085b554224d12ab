"""Macie, GuardDuty and Security Hub: what was found, where, how severe, and what is no evidence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from damage import check

from ingest.parsers import Confidence, Reading
from ingest.parsers.aws_findings import AsffParser, GuardDutyParser, MacieParser
from verify.facts import Detector, Finding, Validation

DATA = Path(__file__).parents[1] / "data"
MACIE = (DATA / "macie" / "get_findings_JsonResult_example.json").read_bytes()
GUARDDUTY = (DATA / "guardduty" / "get_finding_details_JsonResult_example.json").read_bytes()
ASFF = (DATA / "securityhub-asff" / "event-securityhub-iamkey-finding-action.json").read_bytes()


def read(value: Any) -> Reading:
    return check(json.dumps(value).encode())


def macie(**members: Any) -> dict[str, Any]:
    return json.loads(MACIE)[0]["EntityResult"] | members


def guardduty(**members: Any) -> dict[str, Any]:
    return json.loads(GUARDDUTY)["Findings"][0] | members


def asff(**members: Any) -> dict[str, Any]:
    return json.loads(ASFF)["detail"]["findings"][0] | members


def camel(value: Any) -> Any:
    """As EventBridge spells it."""
    if isinstance(value, dict):
        return {key[:1].lower() + key[1:]: camel(each) for key, each in value.items()}
    return [camel(each) for each in value] if isinstance(value, list) else value


def pascal(value: Any) -> Any:
    if isinstance(value, dict):
        return {key[:1].upper() + key[1:]: pascal(each) for key, each in value.items()}
    return [pascal(each) for each in value] if isinstance(value, list) else value


def event(kind: str, source: str, detail: Any) -> dict[str, Any]:
    """EventBridge's wrapper."""
    return {
        "version": "0",
        "id": "25a1be76-1141-cb5d-be5c-bbaa5461e626",
        "detail-type": kind,
        "source": source,
        "account": "582302349248",
        "time": "2020-10-26T14:00:00Z",
        "region": "us-east-1",
        "resources": [],
        "detail": detail,
    }


# Macie.

NAMED = Finding("macie", "PERSONAL_INFORMATION:NAME", 1, "2020-10-26T13:47:03.127Z", None)
PERSONAL = Finding(
    "macie", "SensitiveData:S3Object/Personal", 1, "2020-10-26T13:47:03.127Z", None, "Low", "low"
)


def test_macie_says_which_data_lies_where() -> None:
    reading = check(MACIE)
    facts = reading.facts
    assert (facts.parser, facts.records, facts.bad_records) == ("macie", 1, 0)
    assert facts.findings == (NAMED, PERSONAL)
    assert facts.datasets == ("s3://testsiemplify2/Full name.xlsx",)
    assert facts.accounts == ("582302349248",)
    assert facts.detectors == (Detector("macie", None, "988fe294c68806b532b89fb843c0d953"),)
    assert facts.raw_first == "2020-10-26 13:47:03.127000+00:00"
    assert (facts.clock, facts.first) == ("zoned", "2020-10-26T13:47:03.127Z")
    assert reading.kinds == ("dlp_finding",)
    assert reading.summary == "1 finding"


def test_a_sample_of_macies_is_rejected_as_evidence() -> None:
    reading = read([macie(sample=True)])
    assert reading.facts.findings == reading.facts.datasets == ()
    assert reading.facts.records == 1
    assert reading.kinds == ("other",)
    assert reading.facts.problems == (
        "1 finding that the service made up as a sample: no evidence",
    )
    assert reading.summary == "0 findings, 1 sample not taken as evidence"
    both = read([macie(sample=True), macie()])
    assert both.facts.findings == (NAMED, PERSONAL)
    assert both.kinds == ("dlp_finding",)


@pytest.mark.parametrize(
    "value",
    [
        macie(),
        [macie()],
        {"findings": [macie()]},
        pascal(macie()),
        {"Findings": [pascal(macie())]},
        event("Macie Finding", "aws.macie", macie()),
    ],
    ids=["bare", "list", "api", "pascal", "api-pascal", "eventbridge"],
)
def test_macie_reads_alike_in_every_wrapping(value: Any) -> None:
    facts = read(value).facts
    assert (facts.parser, facts.records, facts.bad_records) == ("macie", 1, 0)
    assert facts.findings == (NAMED, PERSONAL)
    assert facts.datasets == ("s3://testsiemplify2/Full name.xlsx",)
    assert facts.last == ("2020-10-26T14:00:00Z" if "detail" in value else PERSONAL.at)


def test_a_policy_finding_is_no_dlp() -> None:
    value = macie(type="Policy:IAMUser/S3BucketPublic", severity={"score": 3})
    value["resourcesAffected"].pop("s3Object")
    value.pop("classificationDetails")
    reading = read(value)
    assert reading.kinds == ("guardrail_alert",)
    (finding,) = reading.facts.findings
    assert (finding.severity, finding.severity_norm) == ("3", "high")
    assert reading.facts.datasets == ("s3://testsiemplify2",)


def test_archived_is_a_disposition_and_counts_are_kept() -> None:
    value = macie(archived=True)
    result = value["classificationDetails"]["result"]
    result["sensitiveData"][0]["detections"][0]["count"] = 17
    result["customDataIdentifiers"] = {"detections": [{"name": "Employee number", "count": 2}]}
    findings = {each.label: each for each in read(value).facts.findings}
    assert findings["PERSONAL_INFORMATION:NAME"].count == 17
    assert findings["CUSTOM:Employee number"].count == 2
    assert {each.disposition for each in findings.values()} == {"archived"}


# GuardDuty.

BRUTE_FORCE = Finding(
    "guardduty",
    "UnauthorizedAccess:EC2/RDPBruteForce",
    1,
    "2020-10-06T05:19:50.794Z",
    None,
    "2",
    "low",
)


@pytest.mark.parametrize(
    "value",
    [
        guardduty(),
        {"Findings": [guardduty()]},
        camel(guardduty()),
        event("GuardDuty Finding", "aws.guardduty", camel(guardduty())),
    ],
    ids=["bare", "api", "export", "eventbridge"],
)
def test_guardduty_reads_alike_in_either_spelling(value: Any) -> None:
    reading = read(value)
    facts = reading.facts
    assert (facts.parser, facts.records) == ("guardduty", 1)
    assert facts.findings == (BRUTE_FORCE,)
    assert facts.detectors == (Detector("guardduty", None, "26b8d318c596f5eb942b4c146870944f"),)
    assert facts.first == "2020-10-06T05:10:58Z"
    assert facts.accounts == ("582302349248",)
    assert facts.principals == ()
    assert reading.kinds == ("guardrail_alert",)


def test_guardduty_as_it_was_exported() -> None:
    reading = check(GUARDDUTY)
    assert reading.facts.findings == (BRUTE_FORCE,)
    assert (reading.facts.first, reading.facts.last) == (
        "2020-10-06T05:10:58Z",
        "2020-10-06T06:01:46.380Z",
    )


@pytest.mark.parametrize(
    ("given", "said", "norm"),
    [
        (2, "2", "low"),
        (5.3, "5.3", "medium"),
        (8, "8", "high"),
        (9.5, "9.5", "critical"),
        ("x", "x", "unknown"),
    ],
)
def test_numbers_are_normalised_on_the_services_own_scale(given: Any, said: str, norm: str) -> None:
    (finding,) = read(guardduty(Severity=given)).facts.findings
    assert (finding.severity, finding.severity_norm) == (said, norm)


def test_samples_of_guardduty_are_rejected() -> None:
    titled = guardduty(Title="[SAMPLE] Unusual")
    marked = guardduty()
    marked["Service"] = marked["Service"] | {"AdditionalInfo": {"Sample": True}}
    for value in (titled, marked, camel(marked)):
        assert read(value).facts.findings == ()
        assert read(value).kinds == ("other",)


def test_a_bucket_is_a_dataset() -> None:
    value = guardduty()
    value["Resource"]["S3BucketDetails"] = [{"Name": "customer-data", "Arn": "arn:aws:s3:::x"}]
    assert read(value).facts.datasets == ("s3://customer-data",)


# Security Hub.

LOGIN = "Unusual Behaviors/User/UnauthorizedAccess:IAMUser-ConsoleLogin"


def test_asff_out_of_eventbridge() -> None:
    reading = check(ASFF)
    facts = reading.facts
    assert (facts.parser, facts.records) == ("securityhub-asff", 1)
    assert facts.findings == (
        Finding("GuardDuty", LOGIN, 1, "2019-06-12T15:34:50.346Z", "NEW", "50", "medium"),
    )
    fields = asff()["ProductFields"]
    assert fields["aws/securityhub/SeverityLabel"] == "MEDIUM"  # what AWS itself makes of 50
    assert facts.detectors[0].ruleset == asff()["GeneratorId"]
    assert (facts.first, facts.last) == ("2019-06-12T15:11:20Z", "2019-07-11T17:52:40Z")
    assert facts.accounts == ("644160558196",)
    assert reading.kinds == ("guardrail_alert",)
    assert reading.format_label == "AWS Security Hub (ASFF)"


def test_a_label_goes_before_a_number() -> None:
    (finding,) = read(asff(Severity={"Label": "HIGH", "Normalized": 50})).facts.findings
    assert (finding.severity, finding.severity_norm) == ("HIGH", "high")
    (finding,) = read(asff(Severity={"Normalized": 0})).facts.findings
    assert (finding.severity, finding.severity_norm) == ("0", "info")


def test_a_control_is_a_validation_and_one_that_passed_no_finding() -> None:
    passed = read(asff(Compliance={"Status": "PASSED"}, GeneratorId="cis/1.4"))
    at = "2019-06-12T15:34:50.346Z"
    assert passed.facts.validations == (Validation("cis/1.4", "passed", at),)
    assert passed.facts.findings == ()
    assert passed.kinds == ("validation",)
    failed = read(asff(Compliance={"Status": "FAILED"}, GeneratorId="cis/1.4"))
    assert failed.facts.validations == (Validation("cis/1.4", "failed", at),)
    assert len(failed.facts.findings) == 1
    assert failed.kinds == ("guardrail_alert", "validation")


def test_where_the_work_on_a_finding_stands() -> None:
    suppressed = read(asff(Workflow={"Status": "SUPPRESSED"})).facts.findings[0]
    assert suppressed.disposition == "SUPPRESSED"
    archived = read(asff(RecordState="ARCHIVED")).facts.findings[0]
    assert archived.disposition == "ARCHIVED"


def test_sensitive_data_by_way_of_security_hub_is_dlp() -> None:
    value = asff(
        Types=["Sensitive Data Identifications/PII/SensitiveData:S3Object-Personal"],
        Resources=[{"Type": "AwsS3Object", "Id": "arn:aws:s3:::bucket/key.csv"}],
    )
    reading = read(value)
    assert reading.kinds == ("dlp_finding",)
    assert reading.facts.datasets == ("s3://bucket/key.csv",)


# All.


@pytest.mark.parametrize("data", [MACIE, GUARDDUTY, ASFF], ids=["macie", "guardduty", "asff"])
def test_only_their_own_are_claimed(data: bytes) -> None:
    detect = [
        parser.detect(data, "x") for parser in (MacieParser(), GuardDutyParser(), AsffParser())
    ]
    assert detect.count(Confidence.CERTAIN) == 1
    assert detect.count(Confidence.NONE) == 2


def test_a_record_of_another_kind_is_a_bad_one() -> None:
    facts = read([macie(), {"type": "SensitiveData:S3Object/Personal"}, 7, macie(type=3)]).facts
    assert (facts.records, facts.bad_records) == (1, 3)
    assert facts.problems == ("3 bad records: not a finding of Amazon Macie",)


def test_hostile_values_are_left_out() -> None:
    hostile: tuple[Any, ...] = ([], {}, 7, None, True, "x" * 9999, {"a": [{}]})
    for key in macie():
        for value in hostile:
            read([macie(), macie(**{key: value})])
    for key in guardduty():
        for value in hostile:
            read([guardduty(), guardduty(**{key: value})])
    for key in asff():
        for value in hostile:
            read([asff(), asff(**{key: value})])
