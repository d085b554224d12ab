"""Microsoft: every spelling gives the same facts, and no zone is made up without saying so."""

from __future__ import annotations

import json
import random
from typing import Any

from damage import read
from samples import DATA

from ingest.parsers import Confidence
from ingest.parsers.microsoft import (
    NO_DATA_EVENTS,
    READ_AS_UTC,
    AzureActivityParser,
    EntraSignInParser,
    OfficeAuditParser,
)
from verify.facts import Activity, Decision, Facts, Permission

SDK = DATA / "azure-activity" / "azure_activity_log.jsonl"
HUB = DATA / "azure-activity" / "valid_1.json"
SIGN_IN = DATA / "entra-signin" / "sign-ins-log-schema.json"
OFFICE = DATA / "o365-audit" / "microsoft_audit_log.jsonl"


def lines(*records: object) -> bytes:
    return "\n".join(json.dumps(each) for each in records).encode()


# Azure Activity.


def test_activity_of_the_sdk_is_read() -> None:
    records = [json.loads(line) for line in SDK.read_text().splitlines()]
    reading = read(SDK.read_bytes(), SDK.name)
    facts = reading.facts
    assert (reading.format_label, reading.kinds) == ("Azure Activity log", ("access_log",))
    assert (facts.records, facts.bad_records, facts.problems) == (4, 0, ())
    times = sorted(each["event_timestamp"] for each in records)
    assert (facts.raw_first, facts.raw_last) == (times[0], times[-1])
    assert set(facts.principals) == {each["caller"] for each in records}
    assert set(facts.actions) == {each["authorization"]["action"] for each in records}
    assert set(facts.scopes) == {each["authorization"]["scope"] for each in records}
    assert facts.accounts == (records[0]["subscription_id"],)
    # nothing has ended: each is "Started" or "Accepted"
    assert {each["status"]["value"] for each in records} <= {"Started", "Accepted"}
    assert facts.decisions == ()
    assert {each.granted for each in facts.permissions} == {"unknown"}
    assert facts.not_captured == (NO_DATA_EVENTS,)


def test_activity_of_an_event_hub_names_caller_and_role() -> None:
    facts = read(HUB.read_bytes()).facts
    scope = "/subscriptions/11111111-1111-1111-1111-111111111111"
    whole = f"{scope}/providers/microsoft.insights/diagnosticSettings/example-collect-sample-logs"
    at = "2025-04-15T10:16:32.987344Z"
    assert facts.activities == (Activity("user@example.com", at, at, 1),)
    assert (facts.raw_first, facts.precision) == ("2025-04-15T10:16:32.9873441Z", "ns")
    assert facts.permissions == (
        Permission("Owner", "user@example.com", scope, "granted"),
        Permission("microsoft.insights/diagnosticSettings/write", "user@example.com", whole),
    )
    assert facts.scopes == (scope, whole)
    assert facts.accounts == (scope.rpartition("/")[2],)


def test_activity_is_the_same_in_each_spelling() -> None:
    records = [json.loads(line) for line in SDK.read_text().splitlines()]

    def camel(key: str) -> str:
        first, *rest = key.split("_")
        return first + "".join(each.capitalize() for each in rest)

    rest = [
        {
            camel(key): {"value": value["value"], "localizedValue": value["localized_value"]}
            if isinstance(value, dict) and "localized_value" in value
            else value
            for key, value in each.items()
        }
        for each in records
    ]
    plain = read(SDK.read_bytes()).facts
    for form in (
        lines(*rest),
        json.dumps({"value": rest, "nextLink": "x"}).encode(),
        json.dumps({"records": rest}, indent=2).encode(),
        json.dumps(records).encode(),
    ):
        assert read(form).facts == plain


def test_only_ends_of_operations_are_decided_on() -> None:
    start = json.loads(HUB.read_text())["records"][0]
    said = (
        ("Start", "Started."),
        ("Accept", "Accepted.Created"),
        ("Success", "Succeeded.OK"),
        ("Failure", "Failed.Conflict"),
        ("Failure", "Failed.Forbidden"),
        ("Failure", "Unauthorized.401"),
    )
    facts = read(
        lines(*(start | {"resultType": one, "resultSignature": other} for one, other in said))
    ).facts
    assert facts.decisions == (Decision("allowed", 1), Decision("denied", 2), Decision("failed", 1))
    assert {
        each.granted for each in facts.permissions if each.permission.startswith("microsoft")
    } == {"granted", "denied", "unknown"}
    vault = start | {
        "resourceId": "/SUBSCRIPTIONS/X/RESOURCEGROUPS/G/PROVIDERS/MICROSOFT.KEYVAULT/VAULTS/V/K"
    }
    assert read(lines(vault)).facts.datasets == ("azure:microsoft.keyvault/vaults/v",)


def test_other_logs_of_azure_are_no_activity() -> None:
    detect = AzureActivityParser().detect
    assert detect(SDK.read_bytes(), "x.png") is Confidence.CERTAIN
    other = {
        "time": "2025-01-01T00:00:00Z",
        "resourceId": "/SUBSCRIPTIONS/X",
        "operationName": "ApplicationGatewayAccess",
        "category": "ApplicationGatewayAccessLog",
        "correlationId": "x",
        "identity": {"claim": {}},
    }
    assert detect(lines({"records": [other]}), "x") is Confidence.NONE
    assert detect(SIGN_IN.read_bytes(), "x") is Confidence.NONE


# Entra sign-ins.


def sign_in(**details: Any) -> dict[str, Any]:
    outer = {key: details.pop(key) for key in ("time", "tenantId") if key in details}
    properties = {"id": json.dumps(details), "userPrincipalName": "u@x", **details}
    return {"category": "SignInLogs", "properties": properties, **outer}


def test_a_sign_in_is_read() -> None:
    reading = read(SIGN_IN.read_bytes())
    facts = reading.facts
    assert (reading.format_label, reading.kinds) == ("Entra sign-in log", ("access_log",))
    assert facts.principals == ("<USER PRINCIPAL NAME>",)
    assert facts.accounts == ("<TENANT ID>",)
    assert facts.scopes == ("Office 365 SharePoint Online",)
    # 50140 interrupts, to ask whether to stay signed in
    assert facts.decisions == (Decision("asked", 1),)
    assert (facts.first, facts.precision, facts.clock) == (
        "2019-03-12T16:02:15.552213Z",
        "ns",
        "zoned",
    )


def test_all_known_spellings_of_times() -> None:
    spellings = {
        "01/09/2007 09:41:00": None,
        "1/9/2007 09:41:00": None,
        "01/09/2007 09:41:00 AM": None,
        "1/9/2007 9:41:00 AM": None,
        "1/9/2007 10:41:00 AM +01:00": None,
        "2007-01-09T09:41:00": None,
        "2007-01-09T09:41:00.22Z": "2007-01-09T09:41:00.220Z",
        "2007-01-09T09:41:00.6816663Z": "2007-01-09T09:41:00.681666Z",
        "2007-01-09T09:41:00.535404056Z": "2007-01-09T09:41:00.535404Z",
        "2007-01-09T09:41:00.992099+00:00": "2007-01-09T09:41:00.992099Z",
        "2007-01-09T11:41:00+02:00": "2007-01-09T09:41:00Z",
        "11/14/2025 1:48:53 AM": None,
    }
    for text, instant in spellings.items():
        facts = read(lines({"time": text, "category": "SignInLogs"})).facts
        assert (facts.parser, facts.records) == ("entra-signin", 1)
        assert facts.clock == ("zoned" if instant else "unzoned")
        assert (facts.first, facts.raw_first) == (instant, text)
    together = read(lines(*({"time": text, "category": "SignInLogs"} for text in spellings))).facts
    assert together.clock == "mixed"
    assert (together.first, together.last) == (
        "2007-01-09T09:41:00Z",
        "2007-01-09T09:41:00.992099Z",
    )
    assert set(together.problems) == {
        "12 sign-ins without a principal",
        "2 times without a zone",
        "5 times whose day and month could be swapped",
    }


def test_the_time_of_the_sign_in_is_preferred_where_it_names_an_instant() -> None:
    late, early = "2026-07-10T20:03:31Z", "2026-07-10T20:01:51Z"
    for time, created, raw in (
        (late, early, early),
        (late, "7/10/2026 8:01:51 PM", late),
        ("7/10/2026 8:03:31 PM", "2026-07-10T20:01:51", "2026-07-10T20:01:51"),
        (late, None, late),
    ):
        facts = read(lines(sign_in(time=time, createdDateTime=created))).facts
        assert facts.raw_first == raw


def test_what_a_sign_in_came_to() -> None:
    records = [
        sign_in(status={"errorCode": 0}, conditionalAccessStatus="success"),
        sign_in(status={"errorCode": 0}, conditionalAccessStatus="failure"),
        sign_in(status={"errorCode": 50126}),
        sign_in(status={"errorCode": 50074}),
        sign_in(status={"errorCode": "53003"}),
        sign_in(status={}),
        sign_in(status="?"),
        {"category": "ManagedIdentitySignInLogs", "resultType": "0", "identity": "mi"},
        {"Category": "ServicePrincipalSignInLogs", "CreatedDateTime": "2025-07-01T10:45:17.5Z"},
    ]
    facts = read(lines(*records)).facts
    assert facts.decisions == (
        Decision("allowed", 2),
        Decision("asked", 1),
        Decision("denied", 3),
        Decision("unknown", 3),
    )
    assert facts.actions == (
        "ManagedIdentitySignInLogs",
        "ServicePrincipalSignInLogs",
        "SignInLogs",
    )
    assert facts.principals == ("mi", "u@x")
    assert facts.last == "2025-07-01T10:45:17.500Z"


def test_sign_ins_of_graph_are_read() -> None:
    record = {
        "id": "66ea54eb-6301-4ee5-be62-ff5a759b0100",
        "createdDateTime": "2020-03-13T19:15:41.6195833Z",
        "userPrincipalName": "testaccount1@contoso.com",
        "appId": "de8bc8b5-d9f9-48b1-a8ad-b748da725064",
        "conditionalAccessStatus": "notApplied",
        "resourceDisplayName": "Microsoft Graph",
        "status": {"errorCode": 0},
    }
    facts = read(json.dumps({"@odata.context": "x", "value": [record, record]}).encode()).facts
    assert (facts.parser, facts.records) == ("entra-signin", 2)
    assert facts.principals == ("testaccount1@contoso.com",)
    assert facts.scopes == ("Microsoft Graph",)
    assert facts.problems == ("1 duplicate record",)
    assert EntraSignInParser().detect(OFFICE.read_bytes(), "x") is Confidence.NONE


# Microsoft 365.


def test_office_is_read_as_utc_and_says_so() -> None:
    records = [json.loads(line) for line in OFFICE.read_text().splitlines()]
    reading = read(OFFICE.read_bytes())
    facts = reading.facts
    assert (reading.format_label, reading.kinds) == ("Microsoft 365 audit log", ("access_log",))
    times = sorted(each["CreationTime"] for each in records)
    assert (facts.raw_first, facts.raw_last) == (times[0], times[-1])
    assert (facts.first, facts.last) == (f"{times[0]}Z", f"{times[-1]}Z")
    assert facts.problems == (READ_AS_UTC,)
    assert set(facts.principals) == {each["UserId"] for each in records}
    assert set(facts.actions) == {f"{each['Workload']}:{each['Operation']}" for each in records}
    assert facts.accounts == ("5a0f38c6-710b-4503-92c0-3a9f6e00f726",)
    # "True" three times, "Success" once
    assert facts.decisions == (Decision("allowed", 4),)


def test_office_wrapped_and_zoned_and_hostile() -> None:
    records = [json.loads(line) for line in OFFICE.read_text().splitlines()]
    wrapped = [
        {"RecordType": "x", "CreationDate": "2022", "AuditData": json.dumps(each)}
        for each in records
    ]
    assert read(json.dumps(wrapped).encode()).facts == read(OFFICE.read_bytes()).facts
    zoned = records[0] | {"CreationTime": "2022-05-07T12:55:53Z"}
    assert read(lines(zoned)).facts.problems == ()
    shared = records[0] | {
        "Workload": "SharePoint",
        "Operation": "FileDownloaded",
        "ObjectId": "https://x.sharepoint.com/a b.docx",
        "ResultStatus": None,
    }
    facts = read(lines(shared, records[0] | {"Operation": "UserLoginFailed"})).facts
    assert facts.datasets == ("https://x.sharepoint.com/a b.docx",)
    assert facts.decisions == (Decision("denied", 1), Decision("unknown", 1))
    broken = {"RecordType": "x", "AuditData": '{"CreationTime": broken'}
    assert read(lines(records[0], broken)).facts.records == 2
    assert OfficeAuditParser().detect(SDK.read_bytes(), "x") is Confidence.NONE


def test_values_of_the_wrong_type_say_nothing() -> None:
    hostile: list[object] = [[], {}, 7, None, "x" * 5000, True, [[]], {"value": []}, 1.5, -1]
    rng = random.Random(5)
    for path in (SDK, SIGN_IN, OFFICE):
        whole = path.read_text()
        first = json.loads(whole if path is SIGN_IN else whole.splitlines()[0])
        records = []
        for _ in range(150):
            made = json.loads(json.dumps(first))
            place = made
            if path is SIGN_IN and rng.random() < 0.6:
                place = made["properties"]
            for key in rng.sample(sorted(place), 3):
                place[key] = rng.choice(hostile)
            records.append(made)
        facts = read(lines(first, *records)).facts
        assert facts.parser != "json"
        assert facts.records + facts.bad_records == 151
        shuffled: list[Any] = records[:]
        rng.shuffle(shuffled)
        again: Facts = read(lines(first, *shuffled)).facts
        assert again.decisions == facts.decisions
        assert again.activities == facts.activities
