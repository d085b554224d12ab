"""GCP audit logs: a plain reading of the entries gives the same facts; what false means is kept."""

from __future__ import annotations

import json
from typing import Any

from damage import read
from samples import DATA

from ingest.parsers import Confidence
from ingest.parsers.gcp_audit import NO_DATA_ACCESS, GcpAuditParser
from verify.facts import Activity, Decision, Facts, Model, Permission

SAMPLES = DATA / "gcp-audit"
NDJSON = "gcp_logging.jsonl"
DENIED = "google.storage.objects.get-notInSameVPC.json"
GENERATE = "google.cloud.aiplatform.v1beta1.PredictionService.GenerateContent.json"


def sample(name: str) -> bytes:
    return (SAMPLES / name).read_bytes()


def entries() -> list[dict[str, Any]]:
    return [json.loads(line) for line in sample(NDJSON).splitlines()]


def facts_of(*payloads: dict[str, Any], **members: Any) -> Facts:
    lines = []
    for number, payload in enumerate(payloads):
        entry = {
            "insertId": f"i{number}",
            "logName": "projects/p/logs/cloudaudit.googleapis.com%2Factivity",
            "timestamp": f"2026-03-01T00:00:{number:02}Z",
            "protoPayload": {
                "@type": "type.googleapis.com/google.cloud.audit.AuditLog",
                "serviceName": "iam.googleapis.com",
                "methodName": "m",
            }
            | payload,
        }
        lines.append(json.dumps(entry | members))
    return read("\n".join(lines).encode()).facts


def test_facts_are_what_the_entries_say() -> None:
    every = entries()
    audit = [each["protoPayload"] for each in every if "protoPayload" in each]
    reading = read(sample(NDJSON), NDJSON)
    facts = reading.facts
    assert (reading.format_label, reading.kinds) == ("GCP audit log", ("access_log",))
    assert (facts.records, facts.bad_records, len(audit)) == (11, 0, 9)
    times = sorted(each["timestamp"] for each in every)
    assert (facts.raw_first, facts.raw_last) == (times[0], times[-1])
    assert (facts.first, facts.clock, facts.precision) == (
        "2021-10-19T02:04:00.272384Z",
        "zoned",
        "ns",
    )
    acting = {each["authenticationInfo"]["principalEmail"] for each in audit}
    behind = {
        each["firstPartyPrincipal"]["principalEmail"]
        for payload in audit
        for each in payload["authenticationInfo"].get("serviceAccountDelegationInfo", ())
        if "firstPartyPrincipal" in each
    }
    assert behind
    assert set(facts.principals) == acting | behind
    assert {each.principal for each in facts.activities} == acting
    assert sum(each.count for each in facts.activities) == len(audit)
    assert set(facts.actions) == {
        f"{each['serviceName'].split('.')[0]}:{each['methodName']}" for each in audit
    }
    assert {(each.permission, each.principal, each.granted) for each in facts.permissions} == {
        (
            check["permission"],
            each["authenticationInfo"]["principalEmail"],
            # the one refused call says nothing of `granted`
            "granted" if check.get("granted") else "denied",
        )
        for each in audit
        for check in each.get("authorizationInfo", ())
    }
    assert facts.accounts == ("fake-project", "ketchup")
    assert facts.not_captured == (NO_DATA_ACCESS,)
    assert "2 records of a log that is no audit log" in facts.problems


def test_a_long_operation_is_decided_on_once() -> None:
    every = entries()
    ends = [
        each
        for each in every
        if each.get("operation", {}).get("last") and not each["operation"].get("first")
    ]
    audit = sum("protoPayload" in each for each in every)
    facts = read(sample(NDJSON)).facts
    assert len(ends) == 3
    assert facts.decisions == (Decision("allowed", audit - len(ends) - 1), Decision("denied", 1))
    begun = {each["operation"]["id"] for each in every if each.get("operation", {}).get("first")}
    ended = {each["operation"]["id"] for each in ends}
    assert len(begun - ended) == 1
    assert "1 operation whose end is not here" in facts.problems
    backwards = b"\n".join(reversed(sample(NDJSON).splitlines()))
    assert read(backwards).facts == facts
    failed = facts_of(
        {},
        {"status": {"code": 3}, "methodName": "n"},
        operation={"id": "o", "last": True},
    )
    assert failed.decisions == (Decision("failed", 1),)


def test_a_refusal_by_a_perimeter_names_the_object() -> None:
    reading = read(sample(DENIED), DENIED)
    facts = reading.facts
    assert reading.summary == "1 event, no principals, 21:51:50.071173Z, 1 denied"
    assert facts.decisions == (Decision("denied", 1),)
    assert facts.datasets == ("gs://protected-bucket", "gs://protected-bucket/private.txt")
    assert (facts.accounts, facts.principals) == (("1234",), ())
    assert facts.problems == ("1 event without a principal",)


def test_a_call_to_vertex_names_model_and_permission() -> None:
    facts = read(sample(GENERATE), GENERATE).facts
    resource = (
        "projects/my-project/locations/us-central1/publishers/google/models/gemini-1.0-pro-001"
    )
    assert facts.models == (Model("gemini-1.0-pro-001", 1, 0, "exact"),)
    assert facts.permissions == (
        Permission("aiplatform.endpoints.predict", "test-user@example.com", resource, "granted"),
    )
    at = "2024-02-22T04:55:11.116811Z"
    assert facts.activities == (Activity("test-user@example.com", at, at, 1),)
    assert facts.not_captured == ()


def test_a_check_that_does_not_say_is_refused_only_if_the_call_was() -> None:
    info = {"authenticationInfo": {"principalEmail": "a@b"}}

    def check(**members: Any) -> dict[str, Any]:
        return {"authorizationInfo": [{"resource": "r", **members}]}

    facts = facts_of(
        {**info, **check(permission="p.granted", granted=True)},
        {**info, **check(permission="p.false", granted=False)},
        {**info, **check(permission="p.silent")},
        {**info, **check(permission="p.refused"), "status": {"code": 7, "message": "no"}},
        {**info, **check(permission="p.unsigned"), "status": {"code": 16}},
        {**info, **check(permission=7, granted=True)},
        {**info, "authorizationInfo": [7, None, {}], "status": {"code": 5}},
    )
    assert [(each.permission, each.granted) for each in facts.permissions] == [
        ("p.false", "denied"),
        ("p.granted", "granted"),
        ("p.refused", "denied"),
        ("p.silent", "unknown"),
        ("p.unsigned", "denied"),
    ]
    assert facts.decisions == (Decision("allowed", 4), Decision("denied", 2), Decision("failed", 1))


def test_roles_that_were_added_are_permissions_of_the_member() -> None:
    facts = facts_of(
        {
            "methodName": "SetIamPolicy",
            "resourceName": "projects/1234",
            "serviceData": {
                "policyDelta": {
                    "bindingDeltas": [
                        {"action": "ADD", "role": "roles/owner", "member": "user:a@b"},
                        {"action": "REMOVE", "role": "roles/viewer", "member": "user:a@b"},
                        {"action": "ADD", "role": ["x"], "member": "user:a@b"},
                    ]
                }
            },
        }
    )
    assert facts.permissions == (Permission("roles/owner", "user:a@b", "projects/1234", "granted"),)


def test_datasets_have_one_spelling() -> None:
    facts = facts_of(
        {"resourceName": "projects/_/buckets/b/objects/a/b c.txt"},
        {"resourceName": "projects/_/buckets/only"},
        {"resourceName": "projects/p/datasets/d/tables/t"},
        {"resourceName": "projects/p/secrets/s/versions/3"},
        {"resourceName": "projects/p/zones/z/instances/i"},
        {"resourceName": ["no"], "metadata": {"resourceNames": "no"}},
    )
    assert facts.datasets == (
        "bigquery:p.d",
        "bigquery:p.d/t",
        "gs://b",
        "gs://b/a/b c.txt",
        "gs://only",
        "secretmanager:p/s",
    )


def test_every_wrapping_gives_the_same_facts() -> None:
    every = entries()
    plain = read(sample(NDJSON)).facts
    for form in (
        json.dumps(every),
        json.dumps(every, indent=2),
        json.dumps({"entries": every, "nextPageToken": "x"}),
        "\n".join(json.dumps(each, indent=1) for each in every),
        "\n".join(json.dumps([each]) for each in every),
    ):
        assert read(form.encode()).facts == plain


def test_duplicates_need_id_and_time() -> None:
    same = facts_of({}, {}, insertId="x", timestamp="2026-03-01T00:00:00Z")
    assert "1 duplicate record" in same.problems
    assert "1 duplicate record" not in facts_of({}, {}, insertId="x").problems
    silent = facts_of({"authenticationInfo": {"principalEmail": "a"}}, timestamp="yesterday")
    assert silent.problems == ("1 time that cannot be read",)


def test_the_account_is_the_project_or_what_the_log_belongs_to() -> None:
    for log, accounts in (
        ("projects/p/logs/cloudaudit.googleapis.com%2Factivity", ("p",)),
        ("organizations/123/logs/cloudaudit.googleapis.com%2Fdata_access", ("organizations/123",)),
        ("no container", ()),
    ):
        assert facts_of({}, logName=log).accounts == accounts


def test_only_audit_logs_are_taken_for_them() -> None:
    detect = GcpAuditParser().detect
    assert detect(sample(NDJSON), "x.png") is Confidence.CERTAIN
    assert detect(sample(GENERATE)[:900], "x") is Confidence.LIKELY
    plain = b'{"insertId":"1","logName":"projects/p/logs/app","textPayload":"x","timestamp":"t"}'
    assert detect(plain, "x") is Confidence.NONE
    text = b'a note on "protoPayload" and google.cloud.audit.AuditLog'
    assert detect(text, "x") is Confidence.NONE


def test_calls_that_come_again_count_again() -> None:
    """What is looked at once, because it comes again and again, must not be counted once."""
    call = {
        "serviceName": "aiplatform.googleapis.com",
        "methodName": "Predict",
        "resourceName": "projects/p/locations/l/publishers/google/models/gemini-1.0-pro-001",
    }
    facts = facts_of(call, call, call | {"methodName": "Other"}, call | {"resourceName": [1]})
    assert facts.models == (Model("gemini-1.0-pro-001", 3, 0, "exact"),)
    assert facts.actions == ("aiplatform:Other", "aiplatform:Predict")
    assert facts.decisions == (Decision("allowed", 4),)
