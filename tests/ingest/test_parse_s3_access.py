"""S3 access logs: each line read independently, by its quotes and spaces, gives the same facts."""

from __future__ import annotations

import shlex

import pytest
from damage import read
from samples import DATA

from ingest.parsers import Confidence
from ingest.parsers.s3_access import UNDELIVERED, UNSIGNED, S3AccessParser, fields_of
from verify.facts import Activity, Decision, Facts

SAMPLES = DATA / "s3-access"
OWNER = "79a59df900b949e55d96a1e698fbacedfd6e09d98eacf8f8d5218e7cd47ef2be"
TIME = "06/Feb/2019:00:00:38 +0000"


def line(
    *,
    owner: str = OWNER,
    time: str = TIME,
    requester: str = "-",
    request: str = "R1",
    operation: str = "REST.GET.OBJECT",
    key: str = "-",
    status: str = "200",
    error: str = "-",
    rest: str = '113 - 7 - "-" "S3Console/0.4" -',
) -> str:
    return (
        f"{owner} bucket [{time}] 192.0.2.3 {requester} {request} {operation} {key} "
        f'"GET /x HTTP/1.1" {status} {error} {rest}'
    )


def facts_of(*lines: str) -> Facts:
    return read("\n".join(lines).encode()).facts


def test_facts_are_what_the_lines_say() -> None:
    data = (SAMPLES / "valid_log_multi.log").read_bytes()
    rows = [shlex.split(each) for each in data.decode().splitlines()]
    reading = read(data)
    facts = reading.facts
    assert (reading.format_label, reading.kinds) == ("S3 access log", ("access_log",))
    assert reading.summary == "3 requests, 1 principal, 00:00:38Z"
    assert (facts.records, facts.bad_records, facts.problems) == (len(rows), 0, ())
    # the time is two of shlex's words
    assert facts.actions == tuple(sorted(row[7] for row in rows))
    assert facts.principals == facts.accounts == (OWNER,)
    assert facts.datasets == ("s3://amzn-s3-demo-bucket1",)
    assert (facts.first, facts.last) == ("2019-02-06T00:00:38Z",) * 2
    assert (facts.raw_first, facts.clock, facts.precision) == (TIME, "zoned", "s")
    assert facts.activities == (Activity(OWNER, "2019-02-06T00:00:38Z", "2019-02-06T00:00:38Z", 3),)
    # two of 200, one of 404
    assert facts.decisions == (Decision("allowed", 2), Decision("failed", 1))
    assert facts.scopes == ("arn:aws:s3:us-west-1:123456789012:accesspoint/example-AP",)
    assert facts.not_captured == (UNDELIVERED,)


def test_fields_that_come_later_are_no_damage() -> None:
    data = (SAMPLES / "too_many_values.log").read_bytes()
    facts = read(data).facts
    assert (facts.records, facts.bad_records) == (1, 0)
    assert facts.scopes == ("arn:aws:s3:us-west-1:123456789012:accesspoint/example-AP",)


@pytest.mark.parametrize("number", [17, 18, 24, 26])
def test_logs_of_all_ages_are_read(number: int) -> None:
    later = "- hostid= SigV4 ECDHE AuthHeader bucket.s3.amazonaws.com TLSV1.2 - Yes"
    rest = f'113 - 7 - "-" "S3Console/0.4" {later}'
    fields = fields_of(line(rest=rest))
    assert len(fields) == 26 + 1  # the time is two
    short = " ".join(fields[: number + 1])
    assert facts_of(short).records == 1
    if number == 17:
        cut = read(" ".join(fields[:number]).encode() + b"\n" + line().encode()).facts
        assert (cut.records, cut.bad_records) == (1, 1)
        assert cut.problems == ("1 bad record: fewer fields than an S3 access log has",)


def test_what_has_no_value_says_nothing() -> None:
    facts = facts_of(line(), line(status="-", error="-", request="R2"))
    assert facts.principals == (UNSIGNED,)
    assert facts.datasets == ("s3://bucket",)
    assert facts.decisions == (Decision("allowed", 1), Decision("unknown", 1))


def test_keys_are_decoded_and_quotes_in_agents_survive() -> None:
    facts = facts_of(
        line(key="a/b%20c%C3%A9%2B.txt", rest='1 1 7 - "-" "a "quoted" agent" -'),
        line(key="%00%1B%5B31m", request="R2"),
    )
    assert facts.bad_records == 0
    assert facts.datasets == ("s3://bucket", "s3://bucket/\x00\x1b[31m", "s3://bucket/a/b cé+.txt")


def test_requesters_and_refusals() -> None:
    role = "arn:aws:sts::123456789012:assumed-role/r/s"
    facts = facts_of(
        line(requester=role, status="403", error="AccessDenied"),
        line(requester=role, status="301", request="R2"),
        line(requester="svc:s3.amazonaws.com", status="500", error="InternalError", request="R3"),
        line(status="401", request="R4"),
        line(status="400", error="ExpiredToken", request="R5"),
    )
    assert facts.principals == (UNSIGNED, role, "svc:s3.amazonaws.com")
    assert facts.accounts == ("123456789012", OWNER)
    assert facts.decisions == (Decision("allowed", 1), Decision("denied", 3), Decision("failed", 1))
    assert (
        read(line(status="403").encode()).summary == "1 request, 1 principal, 00:00:38Z, 1 denied"
    )


def test_the_two_lines_of_a_copy_are_two_requests_and_a_repeated_line_is_a_duplicate() -> None:
    source = line(operation="REST.COPY.OBJECT_GET", key="a", request="R9")
    target = line(operation="REST.COPY.OBJECT", key="b", request="R9")
    facts = facts_of(source, target, target)
    assert (facts.records, facts.problems) == (3, ("1 duplicate record",))
    assert facts.actions == ("REST.COPY.OBJECT", "REST.COPY.OBJECT_GET")


def test_bad_lines_are_counted_with_their_offsets() -> None:
    good = line()
    data = f"{good}\n\nnonsense\n{good[:160]}\n{good}".encode()
    facts = read(data).facts
    assert (facts.records, facts.bad_records) == (2, 2)
    assert facts.bad_offsets == (len(good) + 2, len(good) + 2 + len("nonsense\n"))
    late = facts_of(line(time="31/Feb/2019:00:00:38 +0000"))
    assert (late.records, late.problems) == (1, ("1 time that cannot be read",))


def test_hostile_lines_cost_linear_time() -> None:
    hostile = f"{good_start()} " + '"a ' * 300_000
    assert facts_of(hostile, line()).records == 2
    assert fields_of('"a "b"c" d"e f') == ['"a "b"c"', 'd"e', "f"]
    assert fields_of('"a b') == ['"a', "b"]


def good_start() -> str:
    return f"{OWNER} bucket [{TIME}] 192.0.2.3 - R1 REST.GET.OBJECT -"


def test_only_such_lines_are_taken_for_it() -> None:
    detect = S3AccessParser().detect
    assert detect(line().encode(), "x.png") is Confidence.CERTAIN
    assert detect(
        b"79a5 mybucket [12/May/2014:07:54:01 +0000] 10.0.1.2 - 7ACC REST.GET.OBJECT a ", "x"
    )
    web = b'192.168.0.2 - - [13/Jan/2016:19:31:19 +0000] "GET / HTTP/1.1" 200 694'
    assert detect(web, "x") is Confidence.NONE
    text = b"A line of an access log:\n\n" + b"words\n" * 9 + line().encode() + b"\nmore\n"
    assert detect(text, "x.log") is Confidence.NONE
