"""Web access logs: lines as they are found, with what servers let through."""

from __future__ import annotations

from datetime import UTC, datetime

from damage import read
from samples import DATA

from ingest.parsers import Confidence
from ingest.parsers.web_access import NO_AGENTS, NO_USERS, WebAccessParser
from verify.facts import Activity, Decision

SAMPLE = DATA / "web-access" / "apache_access.log"
START = '10.0.0.1 - - [13/Jan/2016:19:31:16 +0000] "'


def test_every_line_of_the_sample_is_read_also_the_odd_ones() -> None:
    data = SAMPLE.read_bytes()
    lines = data.decode().splitlines()
    reading = read(data)
    facts = reading.facts
    assert (reading.format_label, reading.kinds) == ("web access log", ("access_log",))
    assert (facts.records, facts.bad_records) == (len(lines), 0) == (15, 0)
    times = [
        datetime.strptime(line.split("[")[1].split("]")[0], "%d/%b/%Y:%H:%M:%S %z")
        for line in lines
    ]
    assert facts.first == min(times).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert facts.last == max(times).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    # the last line alone has a user, two have no closing quote or one too many
    at = "2019-11-16T07:46:42Z"
    assert facts.activities == (Activity("pyllyukko@EXAMPLE.COM", at, at, 1),)
    assert facts.principals == ("pyllyukko@EXAMPLE.COM",)
    assert facts.decisions == (Decision("allowed", 13), Decision("failed", 2))
    assert facts.not_captured == ()
    assert reading.summary == (
        "15 requests, 1 principal, 2015-05-17T10:05:14Z to 2021-04-25T06:15:33Z, 2 virtual hosts"
    )


def test_what_stands_in_requests_hides_nothing() -> None:
    lines = [
        START + 'GET / HTTP/1.1" 200 12',
        START + '" 400 0',
        START + '-" 408 -',
        START + '\\x16\\x03\\x01" 400 226 "-" "-"',
        START + 'GET /?q="><script> HTTP/1.0" 403 1 "-" "agent \\"x\\" unclosed',
        START + 'POST /a" HTTP/1.1" 500 7',
        START + 'PROPFIND / HTTP/1.1" - -',
        START + 'GET / HTTP/1.1" 200 1 "ref',
    ]
    facts = read("\n".join(lines).encode()).facts
    assert (facts.records, facts.bad_records) == (len(lines), 0)
    assert facts.actions == ("(other)", "GET", "POST", "PROPFIND")
    assert facts.decisions == (
        Decision("allowed", 2),
        Decision("denied", 1),
        Decision("failed", 4),
        Decision("unknown", 1),
    )


def test_bytes_that_are_no_text_stay_in_their_line() -> None:
    data = (
        b'10.0.0.1 - \xff\xfe [13/Jan/2016:19:31:16 +0000] "GET /\x80\x81 HTTP/1.1" 200 1\n'
        b'10.0.0.1 - u [13/Jan/2016:19:31:17 +0000] "\x16\x03\x01\x00" 400 1\n'
    )
    facts = read(data).facts
    assert (facts.records, facts.bad_records) == (2, 0)
    assert facts.principals == ("u", "\ufffd\ufffd")


def test_users_may_have_spaces_and_hosts_colons() -> None:
    lines = [
        '::1 - John Doe [13/Jan/2016:19:31:16 +0000] "GET / HTTP/1.1" 200 1',
        'a.example:443 2001:db8::1 - Jane Q Doe [13/Jan/2016:19:31:16 +0200] "GET /" 401 1',
        '10.0.0.1 - "" [13/Jan/2016:19:31:16 +0000] "GET / HTTP/1.1" 200 1',
    ]
    reading = read("\n".join(lines).encode())
    assert reading.facts.principals == ("Jane Q Doe", "John Doe")
    assert reading.facts.raw_first == "13/Jan/2016:19:31:16 +0200"
    assert reading.summary.endswith("1 virtual host, 1 denied")


def test_what_a_log_lacks_is_told_and_bad_lines_are_counted() -> None:
    good = START + 'GET / HTTP/1.1" 200 12'
    data = f"{good}\nno line\n{good[:60]}\n{good}\n{START}GET / no end\n".encode()
    facts = read(data).facts
    assert facts.not_captured == (NO_AGENTS, NO_USERS)
    assert (facts.records, facts.bad_records) == (2, 3)
    second = len(good) + 1
    assert facts.bad_offsets[:2] == (second, second + len("no line\n"))
    assert facts.problems == ("3 bad records: not a line of an access log",)
    odd = good.replace("13/Jan", "31/Feb")
    assert read(f"{odd}\n{good}".encode()).facts.problems == ("1 time that cannot be read",)


def test_hostile_lines_cost_linear_time() -> None:
    stamp = ' [13/Jan/2016:19:31:16 +0000] "'
    for hostile in ("x - -" + stamp * 20_000, START + 'a" 2' * 200_000, START + '"' * 900_000):
        facts = read(f'{START}GET / HTTP/1.1" 200 1\n{hostile}\n'.encode()).facts
        assert (facts.records, facts.bad_records) == (1, 1)
    long = START + "a" * (2 << 20)
    facts = read(f'{START}GET / HTTP/1.1" 200 1\n{long}\n{START}x" 200 1\n'.encode()).facts
    assert (facts.records, facts.bad_records) == (2, 1)
    assert facts.problems == ("1 bad record: longer than 1 MiB",)


def test_only_access_logs_are_taken_for_them() -> None:
    detect = WebAccessParser().detect
    assert detect(SAMPLE.read_bytes(), "x.png") is Confidence.CERTAIN
    s3 = b'79a5 b [06/Feb/2019:00:00:38 +0000] 192.0.2.3 - R REST.GET.KEY - "GET / HTTP/1.1" 200 -'
    assert detect(s3, "access.log") is Confidence.NONE
    text = b"see the log:\n\n" + b"words\n" * 9 + START.encode() + b'GET /" 200 1\nend\n'
    assert detect(text, "access.log") is Confidence.NONE
