"""CloudTrail: every wrapping gives the facts that a plain reading of the same events gives."""

from __future__ import annotations

import gzip
import io
import json
from collections import Counter
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.parsers import HEAD_SIZE, Confidence, Reading, read_facts
from ingest.parsers.cloudtrail import CloudTrailParser
from ingest.parsers.gathering import Ids
from ingest.parsers.times import Silences
from verify.facts import CAP, Decision, Facts, Model, Permission

SAMPLES = Path(__file__).parents[1] / "data" / "cloudtrail"
TRAIL = sorted(path.name for path in SAMPLES.glob("218007301253_*.json"))
GZIPPED = "111111111111_CloudTrail_eu-central-1_20171211T1505Z_A6kvhMoVeCsc7v8U.json.gz"
LOOKUP = "aws_cloudtrail.jsonl"
NO_DATA_EVENTS = "S3 object reads (no data events)"


def read(data: bytes, name: str = "events") -> Reading:
    return read_facts(io.BytesIO(data), head=data[:HEAD_SIZE], name=name)


def sample(name: str) -> bytes:
    return (SAMPLES / name).read_bytes()


def facts_of(*events: object) -> Facts:
    return read(json.dumps({"Records": events}).encode()).facts


def event(**members: Any) -> dict[str, Any]:
    return {
        "eventVersion": "1.08",
        "eventTime": "2026-03-01T00:00:00Z",
        "eventSource": "s3.amazonaws.com",
        "eventName": "ListBuckets",
        "awsRegion": "eu-west-1",
    } | members


def seconds(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


def utc(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def check(facts: Facts, events: list[dict[str, Any]]) -> None:
    """Facts that are easy to recompute, recomputed."""
    times = sorted(seconds(each["eventTime"]) for each in events)
    silences = [(a, b) for a, b in pairwise(times) if b - a >= 60]
    assert (facts.parser, facts.version, facts.format) == ("cloudtrail", 2, "cloudtrail")
    assert (facts.records, facts.bad_records) == (len(events), 0)
    assert (facts.clock, facts.first, facts.last) == ("zoned", utc(times[0]), utc(times[-1]))
    assert (facts.raw_first, facts.raw_last) == (facts.first, facts.last)
    assert (facts.time_unit, facts.precision) == ("text", "s")
    acted: dict[str, list[int]] = {}
    for each in events:
        if arn := each["userIdentity"].get("arn"):
            acted.setdefault(arn, []).append(seconds(each["eventTime"]))
    assert [(each.principal, each.first, each.last, each.count) for each in facts.activities] == [
        (arn, utc(min(when)), utc(max(when)), len(when)) for arn, when in sorted(acted.items())
    ]
    assert set(facts.scopes) == {
        each["userIdentity"].get("sessionContext", {}).get("sessionIssuer", {}).get("arn")
        for each in events
    } - {None}
    decided = {each.decision: each.count for each in facts.decisions}
    assert sum(decided.values()) == len(events)
    assert decided.get("allowed", 0) == sum("errorCode" not in each for each in events)
    assert [(seconds(gap.start), seconds(gap.end)) for gap in facts.gaps] == silences
    assert all(gap.seconds == seconds(gap.end) - seconds(gap.start) for gap in facts.gaps)
    assert set(facts.principals) == {each["userIdentity"].get("arn") for each in events} - {None}
    assert set(facts.actions) == {
        each["eventSource"].split(".")[0] + ":" + each["eventName"] for each in events
    }
    assert facts.platforms == ("aws",)
    assert facts.not_captured == (NO_DATA_EVENTS,)
    assert facts.capped == ()


@pytest.mark.parametrize("name", TRAIL)
def test_facts_are_what_the_file_says(name: str) -> None:
    events = json.loads(sample(name))["Records"]
    reading = read(sample(name), name)
    check(reading.facts, events)
    assert reading.kinds == ("access_log",)
    assert reading.format_label == "CloudTrail"
    assert reading.facts.accounts == ("123837392027",)
    assert reading.facts.problems == (
        "account 218007301253 in the file name, 123837392027 in the records",
    )


def test_the_summary_is_one_short_line() -> None:
    summaries = [read(sample(name), name).summary for name in TRAIL]
    assert summaries == [
        "19 events, 3 principals, 12:00:24Z-12:04:57Z",
        "12 events, 2 principals, 12:19:38Z-12:24:28Z",
        "5 events, 1 principal, 12:22:35Z-12:26:38Z",
    ]
    for events, summary in (
        ([event()], "1 event, no principals, 00:00:00Z"),
        (
            [event(), event(eventTime="2026-03-02T00:00:00Z")],
            "2 events, no principals, 2026-03-01T00:00:00Z to 2026-03-02T00:00:00Z",
        ),
        ([event(eventTime=None)], "1 event, no principals, no times"),
    ):
        assert read(json.dumps(events).encode()).summary == summary


def test_every_wrapping_gives_the_same_facts() -> None:
    name = TRAIL[0]
    events = json.loads(sample(name))["Records"]
    lines = [json.dumps(each).encode() for each in events]
    lookups = [
        {"EventId": each["eventID"], "EventName": "?", "CloudTrailEvent": json.dumps(each)}
        for each in events
    ]
    bridge = [
        {"version": "0", "detail-type": "AWS API Call via CloudTrail", "detail": each}
        for each in events
    ]
    logs = [
        {"id": f"{number}", "timestamp": 1, "message": json.dumps(each)}
        for number, each in enumerate(events)
    ]
    forms = {
        "CloudWatch subscription": json.dumps(
            {"messageType": "DATA_MESSAGE", "owner": "1", "logEvents": logs}
        ).encode(),
        "CloudWatch filter": json.dumps({"events": logs, "searchedLogStreams": []}).encode(),
        "CloudWatch lines": "\n".join(map(json.dumps, logs)).encode(),
        "pretty": json.dumps({"Records": events}, indent=2).encode(),
        "behind other members": json.dumps({"a": [{}], "Records": events, "b": 1}).encode(),
        "list": json.dumps(events).encode(),
        "NDJSON": b"\n".join(lines),
        "CRLF": b"\r\n".join(lines) + b"\r\n",
        "BOM": b"\xef\xbb\xbf" + sample(name),
        "concatenated": b"".join(lines),
        "pretty and concatenated": "\n".join(
            json.dumps(each, indent=1) for each in events
        ).encode(),
        "deliveries, one after another": b"".join(b'{"Records":[%s]}' % line for line in lines),
        "deliveries, one a line": b"\n".join(b'{"Records":[%s]}' % line for line in lines),
        "lists, one a line": b"\n".join(b"[%s]" % line for line in lines),
        "LookupEvents": json.dumps({"Events": lookups}).encode(),
        "LookupEvents as NDJSON": "\n".join(map(json.dumps, lookups)).encode(),
        "EventBridge": "\n".join(map(json.dumps, bridge)).encode(),
    }
    for form, data in forms.items():
        reading = read(data, name)
        assert reading.facts == read(sample(name), name).facts, form
        packed = read(gzip.compress(data), f"{name}.gz")
        assert packed.facts == reading.facts, form
        assert packed.format_label == "CloudTrail, gzip"


def test_a_gzip_file_is_read_as_delivered() -> None:
    reading = read(sample(GZIPPED), GZIPPED)
    events = json.loads(gzip.decompress(sample(GZIPPED)))["Records"]
    assert reading.format_label == "CloudTrail, gzip"
    check(reading.facts, events)
    assert reading.facts.accounts == ("111111111111",)
    assert reading.facts.problems == ()


def test_answers_of_lookup_events_are_unwrapped() -> None:
    outer = [json.loads(line) for line in sample(LOOKUP).splitlines()]
    events = [json.loads(each["CloudTrailEvent"]) for each in outer]
    check(read(sample(LOOKUP), LOOKUP).facts, events)


def test_a_principal_is_the_arn_as_logged_and_a_service_is_none() -> None:
    role = "arn:aws:sts::123456789012:assumed-role/role"
    identities: list[Any] = [
        {"type": "AssumedRole", "arn": f"{role}/i-1", "accountId": "123456789012"},
        {"type": "AssumedRole", "arn": f"{role}/i-2"},
        {"type": "AWSService", "invokedBy": "rds.amazonaws.com"},
        {"invokedBy": "ec2.amazonaws.com", "accountId": "123456789012"},
        {"type": "AWSAccount", "principalId": "AIDAEXAMPLE:x", "accountId": "999999999999"},
        {"type": "AWSAccount", "principalId": "", "accountId": "ANONYMOUS_PRINCIPAL"},
        {"type": "SAMLUser", "principalId": "idp:jane", "userName": "jane"},
        {"type": "IAMUser", "userName": "no-arn", "accountId": 42},
        {"type": ["?"], "arn": {}},
        "nobody",
        None,
    ]
    facts = facts_of(*(event(userIdentity=each) for each in identities))
    assert facts.principals == (
        "AWSAccount:AIDAEXAMPLE:x",
        "AWSAccount:ANONYMOUS_PRINCIPAL",
        "SAMLUser:idp:jane",
        f"{role}/i-1",
        f"{role}/i-2",
    )
    assert facts.accounts == ("000000000042", "123456789012", "999999999999")
    assert facts.problems == ("2 events without a principal's ARN",)


def test_datasets_have_one_spelling_whether_named_or_given_as_arn() -> None:
    arn = "arn:aws:{}:eu-west-1:123456789012:{}"

    def call(source: str, name: str, resources: list[str], /, **parameters: Any) -> dict[str, Any]:
        return event(
            eventSource=f"{source}.amazonaws.com",
            eventName=name,
            requestParameters=parameters,
            resources=[{"ARN": each, "type": "?"} for each in resources],
        )

    facts = facts_of(
        call(
            "s3", "GetObject", ["arn:aws:s3:::b", "arn:aws:s3:::b/k/1"], bucketName="b", key="k/1"
        ),
        call("s3", "CopyObject", [], bucketName="c", key="k", **{"x-amz-copy-source": "/b/k/2"}),
        call("secretsmanager", "GetSecretValue", [], secretId="name"),
        call(
            "secretsmanager",
            "GetSecretValue",
            [],
            secretId=arn.format("secretsmanager", "secret:name-a1B2c3"),
        ),
        call("secretsmanager", "CreateSecret", [], name="new", secretIdList=["many", 7]),
        call("ssm", "GetParameter", [arn.format("ssm", "parameter/p/q")], name="/p/q"),
        call("ssm", "GetParameters", [], names=["plain", None], path="/tree"),
        call("ssm", "DescribeDocument", [], name="a document"),
        call("rds", "CopyDBSnapshot", [arn.format("rds", "snapshot:s")], dBInstanceIdentifier="d"),
        call("kms", "Decrypt", [arn.format("kms", "key/1")], keyId="1"),
        event(requestParameters="text", resources={"ARN": "arn:aws:s3:::no"}),
        event(
            requestParameters={"bucketName": ["x"], "key": 1}, resources=["arn", {"ARN": "arn:x"}]
        ),
    )
    assert facts.datasets == (
        "rds:db:d",
        "rds:snapshot:s",
        "s3://b",
        "s3://b/k/1",
        "s3://b/k/2",
        "s3://c",
        "s3://c/k",
        "secretsmanager:many",
        "secretsmanager:name",
        "secretsmanager:new",
        "ssm:/p/q",
        "ssm:/plain",
        "ssm:/tree",
    )


def test_names_are_kept_before_keys_where_not_all_have_room() -> None:
    events = [
        event(
            eventName="GetObject", requestParameters={"bucketName": f"b{n % 3}", "key": f"{n:04}"}
        )
        for n in range(CAP * 3)
    ]
    facts = facts_of(*events)
    assert len(facts.datasets) == CAP
    assert {"s3://b0", "s3://b1", "s3://b2", "s3://b0/0000"} <= set(facts.datasets)
    assert facts.capped == ("datasets",)
    assert facts_of(*reversed(events)).datasets == facts.datasets


def test_capped_lists_say_so_and_do_not_depend_on_order() -> None:
    events = [
        event(
            eventName=f"Name{number:04}",
            userIdentity={"type": "IAMUser", "arn": f"arn:{number:04}" + "x" * 400},
            recipientAccountId=f"{number:012}",
            eventTime=utc(number * 100 + number),
        )
        for number in range(CAP + 30)
    ]
    forward = facts_of(*events)
    backward = facts_of(*reversed(events))
    assert forward == backward
    assert forward.capped == ("accounts", "actions", "activities", "gaps", "principals")
    assert len(forward.gaps) == len(forward.principals) == CAP
    assert all(len(each) == 300 for each in forward.principals)
    assert read(json.dumps(events).encode()).summary == (
        "230 events, more than 200 principals, 00:00:00Z-06:25:29Z"
    )
    assert Facts.from_json(forward.to_json(), where="facts") == forward


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(0, 20_000) | st.integers(-(10**9), 10**10), min_size=1, max_size=40))
def test_gaps_are_the_silences_between_sorted_times(moments: list[int]) -> None:
    times = Silences()
    for moment in moments:
        times.add(*divmod(moment, 60))
    ordered = sorted(moments)
    expected = [(utc(a), utc(b), b - a) for a, b in pairwise(ordered) if b - a >= 60]
    gaps, capped = times.gaps()
    assert [(gap.start, gap.end, gap.seconds) for gap in gaps] == expected
    assert not capped
    assert times.ends() == (ordered[0], ordered[-1])


def test_the_longest_gaps_are_kept() -> None:
    moment, events = 0, []
    for number in range(CAP + 10):
        moment += 1000 - number
        events.append(event(eventTime=utc(moment)))
    facts = facts_of(*events)
    assert len(facts.gaps) == CAP
    assert min(gap.seconds for gap in facts.gaps) == 1000 - CAP
    assert list(facts.gaps) == sorted(facts.gaps, key=lambda gap: gap.start)
    assert facts.capped == ("gaps",)


def test_past_the_room_for_minutes_there_are_ends_but_no_gaps() -> None:
    times = Silences(most_minutes=3)
    for hour in (5, 3, 9, 1, 7):
        times.add(hour * 60, 0)
    assert times.ends() == (3600, 9 * 3600)
    assert times.gaps() == ((), True)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-03-01T10:00:00Z", "2026-03-01T10:00:00Z"),
        ("2026-03-01T10:00:00.999Z", "2026-03-01T10:00:00.999Z"),
        ("2026-03-01T10:00Z", "2026-03-01T10:00:00Z"),
        ("2026-03-01 12:30:00+02:30", "2026-03-01T10:00:00Z"),
        ("2026-03-01T08:00:00-0200", "2026-03-01T10:00:00Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z"),
    ],
)
def test_times_are_read_in_any_zone(text: str, moment: str) -> None:
    facts = facts_of(event(eventTime=text))
    assert (facts.clock, facts.first, facts.last, facts.problems) == ("zoned", moment, moment, ())


@pytest.mark.parametrize(
    "text",
    [
        "2026-02-30T10:00:00Z",
        "2026-03-01T24:00:00Z",
        "2026-03-01T10:00:61Z",
        "2026-03-01T10:00:00Zulu",
        "2026-03-01T10:00: 1Z",
        "٢٠٢٦-03-01T10:00:00Z",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-23:59",
        "20260301T100000Z",
        "",
        None,
        ["2026-03-01T10:00:00Z"],
    ],
)
def test_what_is_no_time_is_counted(text: object) -> None:
    problem = "1 time that cannot be read" if text else "1 event without a time"
    for events in ([event(eventTime=text)], [event(), event(eventTime=text)]):
        facts = facts_of(*events)
        assert facts.problems == (problem,)
        assert facts.clock == ("zoned" if len(events) > 1 else "none")


def test_a_time_without_a_zone_is_no_instant() -> None:
    facts = facts_of(event(eventTime="2026-03-01T10:00:00"))
    assert (facts.clock, facts.first) == ("unzoned", None)
    assert facts.problems == ("1 time without a zone",)
    assert facts_of(event(eventTime="2026-03-01T10:00:00"), event()).clock == "mixed"
    assert facts_of({**event(eventTime=0), "@timestamp": "x"}).clock == "none"
    bare = event()
    bare["@timestamp"] = bare.pop("eventTime")
    assert facts_of(bare).clock == "zoned"


def test_decisions_and_permissions_are_what_the_error_says() -> None:
    who = {"type": "IAMUser", "arn": "arn:aws:iam::1:user/a"}

    def failed(code: str, message: str = "") -> dict[str, Any]:
        return event(userIdentity=who, errorCode=code, errorMessage=message)

    facts = facts_of(
        event(),
        event(errorCode=""),
        event(eventName="ConsoleLogin", responseElements={"ConsoleLogin": "Failure"}),
        event(eventName="ConsoleLogin", responseElements={"ConsoleLogin": "Success"}),
        failed("ThrottlingException", "Rate exceeded"),
        failed("Client.InvalidVpcID.NotFound"),
        failed("Client.UnauthorizedOperation", "Encoded authorization failure message: ywUZ"),
        failed(
            "AccessDenied",
            "User: arn:aws:iam::1:user/a is not authorized to perform: sts:AssumeRole on resource: "
            "arn:aws:iam::1:role/b because no identity-based policy allows it",
        ),
        failed("AccessDenied", "IAM user access not activated"),
        failed("VpceAccessDenied"),
        failed("KMS.NotAuthorizedException"),
    )
    assert facts.decisions == (Decision("allowed", 3), Decision("denied", 6), Decision("failed", 2))
    assert facts.permissions == (
        Permission("s3:ListBuckets", who["arn"], None, "denied"),
        Permission("sts:AssumeRole", who["arn"], "arn:aws:iam::1:role/b", "denied"),
    )


def test_what_iam_was_told_to_grant_is_a_permission() -> None:
    def call(name: str, read_only: object = False, /, **parameters: Any) -> dict[str, Any]:
        more: dict[str, Any] = {"eventSource": "iam.amazonaws.com", "readOnly": read_only}
        return event(eventName=name, requestParameters=parameters, **more)

    admin = "arn:aws:iam::aws:policy/AdministratorAccess"
    facts = facts_of(
        call("AttachRolePolicy", roleName="r", policyArn=admin),
        call("PutUserPolicy", userName="u", policyName="inline", policyDocument="{}"),
        call("AddUserToGroup", userName="u", groupName="g"),
        call("AttachUserPolicy", userName=["u"], policyArn=admin),
        call("DetachRolePolicy", roleName="other", policyArn=admin),
        call("AttachGroupPolicy", groupName="g", policyArn=admin) | {"errorCode": "NoSuchEntity"},
    )
    assert facts.permissions == (
        Permission(admin, "role/r", None, "granted"),
        Permission("g", "user/u", None, "granted"),
        Permission("inline", "user/u", None, "granted"),
    )


def test_copies_of_logstash_keep_the_time_under_another_name() -> None:
    events = json.loads(sample(TRAIL[0]))["Records"]
    copies = [
        {"@timestamp": each["eventTime"], "@version": "1", "type": "cloudtrail"}
        | {key: value for key, value in each.items() if key not in ("eventTime", "type")}
        for each in events
    ]
    data = "\n".join(map(json.dumps, copies)).encode()
    assert read(data, TRAIL[0]).facts == read(sample(TRAIL[0]), TRAIL[0]).facts
    zoneless = {**event(), "eventTime": "2025-03-26 16:43:57.000000000"}
    facts = facts_of(zoneless)
    assert (facts.clock, facts.precision, facts.raw_first) == (
        "unzoned",
        "ns",
        "2025-03-26 16:43:57.000000000",
    )


def test_bedrock_names_the_model_that_was_asked_for() -> None:
    model = "anthropic.claude-3-5-sonnet-20241022-v2:0"
    facts = facts_of(
        event(
            eventSource="bedrock.amazonaws.com",
            eventName="InvokeModel",
            requestParameters={"modelId": model},
        ),
        event(
            eventSource="bedrock-agent-runtime.amazonaws.com",
            eventName="Retrieve",
            requestParameters={"knowledgeBaseId": "KB12345678"},
        ),
        event(
            eventSource="dynamodb.amazonaws.com",
            eventName="GetItem",
            requestParameters={"tableName": "orders"},
        ),
    )
    assert facts.models == (Model(model, 1, 0, "exact"),)
    assert facts.datasets == ("bedrock:knowledge-base/KB12345678", "dynamodb:orders")


def test_duplicates_are_counted_by_event_id() -> None:
    identities = ["a", "b", "a", "a", "\ud800", "\ud800", 7, 7, None]
    facts = facts_of(*(event(eventID=each) for each in identities))
    assert (facts.records, facts.problems) == (9, ("3 duplicate records",))


def test_past_the_room_for_ids_duplicates_are_not_denied() -> None:
    ids = Ids(most=3)
    for each in "abada":
        ids.add(each)
    assert (ids.duplicates(), ids.full) == (1, True)


@pytest.mark.parametrize("mark", [{"eventCategory": "Data"}, {"managementEvent": False}])
def test_with_a_data_event_object_reads_are_captured(mark: dict[str, Any]) -> None:
    assert facts_of(event(), event(**mark)).not_captured == ()
    assert facts_of(event(), event(managementEvent=True)).not_captured == (NO_DATA_EVENTS,)


def test_the_account_in_the_file_name_is_compared() -> None:
    data = json.dumps([event(recipientAccountId="123456789012")]).encode()
    for name, problem in (
        ("123456789012_CloudTrail_x.json", ()),
        ("9123456789012_CloudTrail_x.json", ()),
        ("111122223333_CloudTrail/x.json", ()),
        (
            "a/111122223333_CloudTrail_x.json",
            ("account 111122223333 in the file name, 123456789012 in the records",),
        ),
    ):
        assert read(data, name).facts.problems == problem
    several = json.dumps([event(recipientAccountId=f"{n:012}") for n in range(5)]).encode()
    assert read(several, "111122223333_CloudTrail_x.json").facts.problems == (
        "account 111122223333 in the file name, "
        "000000000000, 000000000001, 000000000002 and 2 more in the records",
    )


def test_what_is_no_event_is_a_bad_record() -> None:
    events: list[Any] = [event(), 7, {"a": 1}, event(), {"CloudTrailEvent": "{"}, [event()]]
    data = json.dumps({"Records": events}).encode()
    facts = read(data).facts
    assert (facts.records, facts.bad_records) == (3, 3)
    assert facts.problems == ("3 bad records: not a CloudTrail event",)
    assert [data[offset : offset + 2] for offset in facts.bad_offsets] == [b"7,", b'{"', b'{"']
    deep = "[" * 5000
    assert read(json.dumps([event(), {"CloudTrailEvent": deep}]).encode()).facts.bad_records == 1


def test_a_damaged_event_costs_itself_alone() -> None:
    name = TRAIL[0]
    data = sample(name)
    place = data.index(b'"eventTime"', 5000)
    facts = read(data[:place] + b"\x00" + data[place + 1 :], name).facts
    whole = read(data, name).facts
    assert (facts.records, facts.bad_records) == (whole.records - 1, 1)
    assert facts.bad_offsets == (data.rindex(b'{"eventVersion"', 0, place),)


def test_only_cloudtrail_is_taken_for_it() -> None:
    detect = CloudTrailParser().detect
    assert detect(sample(TRAIL[0])[:HEAD_SIZE], "x.png") is Confidence.CERTAIN
    assert detect(sample(TRAIL[0])[:700], "x") is Confidence.LIKELY
    notification = {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "us-east-1",
        "eventTime": "1970-01-01T00:00:00.000Z",
        "eventName": "ObjectCreated:Put",
        "userIdentity": {"principalId": "x"},
    }
    data = json.dumps({"Records": [notification]}).encode()
    assert detect(data, "x") is Confidence.NONE
    assert read(data).facts.format == "json"
    assert detect(b'{"eventName":"click","eventTime":1}\n', "x") is Confidence.NONE
    text = b"a text on eventVersion, eventName, eventSource, eventTime and eventID"
    assert detect(text, "218007301253_CloudTrail_x.json") is Confidence.NONE


def test_every_list_of_the_sample_is_sorted_and_counted_once() -> None:
    for name in TRAIL:
        facts = read(sample(name), name).facts
        for values in (facts.principals, facts.datasets, facts.actions, facts.accounts):
            assert list(values) == sorted(values)
            assert max(Counter(values).values(), default=1) == 1
