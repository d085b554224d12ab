"""Scenarios built from real samples: what they are called does not count, what they show does."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
from telling import START, Telling, answered, condition_of, time

from ingest.parsers import HEAD_SIZE, read_facts

DATA = Path(__file__).parents[2] / "data"
CLOUDTRAIL = "cloudtrail/218007301253_CloudTrail_us-east-1_20230710T1225Z_4iD2boYSOwmb6sWd.json"
BERT_JAN = "arn:aws:iam::123837392027:user/bert-jan"
LANGFUSE_RUN = "097f1d8982fa909b8cffb14a166ec272"
AGENTDOJO_RUN = "workspace/user_task_0/injection_task_3/important_instructions/gpt-4o-2024-05-13"


def at(text: str) -> str:
    """A time of a sample, as an instant."""
    return time((datetime.fromisoformat(text) - START).total_seconds() / 60)


def seal(tell: Telling, name: str, sample: str, recorded: float, *kinds: str, system: str = "crm"
         ) -> None:  # fmt: skip
    """Put a sample in the place of an exhibit, with the facts that its parser reads."""
    data = (DATA / sample).read_bytes()
    reading = read_facts(io.BytesIO(data), head=data[:HEAD_SIZE], name=Path(sample).name)
    tell.exhibit(name, recorded, *(kinds or reading.kinds), facts=reading.facts, system=system)


def agentdojo(tell: Telling) -> None:
    tell.rescope(runs=[AGENTDOJO_RUN])
    seal(tell, "trace", "agentdojo/attacked.json", 13)


def langfuse(tell: Telling) -> None:
    tell.rescope(runs=[LANGFUSE_RUN])
    seal(tell, "trace", "langfuse/claude-agent-2025-12-22.trace.json", 13)


def deployment(tell: Telling) -> None:
    tell.drop("rollback")
    seal(tell, "deploy", "github-webhooks/deployment_status__payload.json", 20)


def posture_scan(tell: Telling) -> None:
    tell.drop("validation")
    seal(tell, "scan", "ocsf/example_output_aws.ocsf.json", 24, "validation")


def cloudtrail(tell: Telling) -> None:
    tell.rescope(principals=[BERT_JAN])
    seal(tell, "log", CLOUDTRAIL, 26)


def frozen_too_late(tell: Telling) -> None:
    cloudtrail(tell)
    tell.change("freeze", at=at("2023-07-10T12:20:00Z"), principals=[BERT_JAN], systems=None)


def frozen_in_time(tell: Telling) -> None:
    cloudtrail(tell)
    tell.change("freeze", at=at("2023-07-10T12:24:28Z"), principals=[BERT_JAN], systems=None)


def pagerduty(severity: str) -> Callable[[Telling], None]:
    def change(tell: Telling) -> None:
        tell.change("declared", severity=severity)
        seal(tell, "ticket", "pagerduty/GetIncidentById_JsonResult_example.json", 7)

    return change


def bedrock(tell: Telling) -> None:
    tell.rescope(detectors=["274u1upxm897"])
    seal(tell, "alert", "bedrock-guardrail/apply_guardrail_intervened.response.json", 7.1)


def guardduty(tell: Telling) -> None:
    tell.rescope(detectors=["guardduty"])
    tell.change("declared", detected_at=at("2020-10-06T05:19:00Z"))
    seal(tell, "alert", "guardduty/get_finding_details_JsonResult_example.json", 7.1)


def guardrail_that_passed(tell: Telling) -> None:
    tell.rescope(detectors=["no_secrets", "trip"])
    seal(tell, "alert", "openai-agents-trace/trace.jsonl", 7.1, "guardrail_alert")


@pytest.mark.parametrize(
    ("change", "decides", "answer", "detail"),
    [
        (agentdojo, "C2.runs", "pass", ""),
        (agentdojo, "C2.times", "fail", "no times"),
        (agentdojo, "C2.models", "fail", "model named, not confirmed"),
        (langfuse, "C2.times", "pass", ""),
        (langfuse, "C2.models", "fail", "model named, not confirmed"),
        (deployment, "C5.action", "fail", "EV-0006 shows nothing going back"),
        (posture_scan, "C5.validated", "fail", "RB-1: not validated"),
        (cloudtrail, "C3.systems", "fail", "crm: no data events, part of the window"),
        (cloudtrail, "C3.principals", "pass", ""),
        (frozen_too_late, "C3.frozen", "conflict", "active after the freeze: EV-0006"),
        (frozen_too_late, "K1.silent", "conflict", "active after the freeze: EV-0006"),
        (frozen_in_time, "C3.frozen", "pass", ""),
        (pagerduty("sev1"), "C1.severity", "conflict", "severity sev1 here, another in EV-0001"),
        (pagerduty("sev2"), "C1.severity", "pass", ""),
        (bedrock, "C4.times", "fail", "EV-0002: "),
        (bedrock, "C4.dispositions", "pass", ""),
        (guardduty, "C1.detection", "pass", ""),
        (guardduty, "C4.dispositions", "fail", "EV-0002: 1 hit without disposition"),
        (guardrail_that_passed, "C4.detectors", "pass", ""),
    ],
)
def test_a_real_sample_shows_what_it_shows(
    change: Callable[[Telling], None], decides: str, answer: str, detail: str
) -> None:
    tell = answered()
    change(tell)
    found = condition_of(tell.report(), decides)
    assert (found["answer"], found["detail"][: len(detail)]) == (answer, detail)


def test_the_log_of_an_attack_names_bystanders_and_they_are_told() -> None:
    tell = answered()
    cloudtrail(tell)
    outside = tell.report()["outside_scope"]
    assert [(each["what"], each["name"].rsplit("/", 1)[-1]) for each in outside] == [
        ("principal", "stratus-red-team-nmfalu-gfjyeaypjt")
    ]
