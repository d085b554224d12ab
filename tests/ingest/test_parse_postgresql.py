"""PostgreSQL logs: audit records in each form, statements over lines, and who was refused."""

from __future__ import annotations

import csv
import io
import json

import pytest
from damage import read
from samples import DATA

from ingest.parsers import Confidence
from ingest.parsers.postgresql import (
    NO_PARAMETERS,
    NO_STATEMENTS,
    NO_TIMES,
    NO_USERS,
    PostgresqlParser,
)
from verify.facts import Activity, Decision, Facts

CSV = DATA / "pgaudit" / "pgaudit.csv"
PLAIN = DATA / "pgaudit" / "postgresql.log"
AT = "2026-03-01 10:00:00.5 UTC"


def line(message: str, level: str = "LOG", prefix: str = f"{AT} [7] app@shop ") -> str:
    return f"{prefix}{level}:  {message}"


def audit(statement: str, kind: str = "READ", rest: str = "<none>", name: str = "") -> str:
    quoted = io.StringIO()
    csv.writer(quoted, csv.excel, quoting=csv.QUOTE_ALL, lineterminator="").writerow([statement])
    object_type = "TABLE" if name else ""
    return f"AUDIT: SESSION,1,1,{kind},SELECT,{object_type},{name},{quoted.getvalue()},{rest}"


def facts_of(*lines: str) -> Facts:
    return read("\n".join(lines).encode()).facts


def test_a_csvlog_is_read() -> None:
    rows = list(csv.reader(io.StringIO(CSV.read_text())))
    reading = read(CSV.read_bytes())
    facts = reading.facts
    assert (reading.format_label, reading.kinds) == ("PostgreSQL log with pgAudit", ("access_log",))
    assert (facts.format, facts.records, facts.bad_records) == ("pgaudit", 2, 0)
    assert (facts.raw_first, facts.raw_last) == (rows[0][0], rows[1][0])
    first, last = "2021-07-02T14:07:11.043Z", "2021-07-02T14:07:11.062Z"
    assert facts.activities == (Activity("postgres", first, last, 2),)
    assert facts.sessions == (rows[0][5], rows[1][5])
    assert facts.actions == ("READ:SELECT",)
    assert (facts.problems, facts.not_captured) == ((), ())


def test_a_server_log_without_audit_says_so() -> None:
    reading = read(PLAIN.read_bytes())
    facts = reading.facts
    assert (reading.format_label, facts.format) == ("PostgreSQL log", "postgresql")
    lines = PLAIN.read_text().splitlines()
    # DETAIL and what is indented belong to the line before
    own = [each for each in lines if each[:1].isdigit() and "DETAIL:" not in each]
    assert facts.records == len(own) == 18
    assert facts.decisions == (Decision("denied", 2),)
    assert facts.principals == ("postgres", "user")
    assert facts.not_captured == (NO_STATEMENTS,)
    # AEST is a zone on several continents
    assert (facts.clock, facts.problems) == ("mixed", ("1 time without a zone",))
    assert (facts.first, facts.last) == ("2022-04-12T00:16:05.526Z", "2022-04-12T00:25:37.732Z")


def test_statements_over_several_lines_are_one_record() -> None:
    statement = 'SELECT "a, b"\n  FROM t\n WHERE x = \'"\'; -- 2026-03-01 not a line'
    facts = facts_of(
        line(audit(statement, name="public.t")),
        line(audit("SELECT 1")),
        line("duration: 1 ms"),
        "\tcontinued",
    )
    assert (facts.records, facts.bad_records, facts.problems) == (3, 0, ())
    assert facts.datasets == ("postgresql:public.t",)
    assert facts.principals == ("app",)


def test_a_statement_that_breaks_off_costs_itself_alone() -> None:
    whole = line(audit("SELECT\n1"))
    cut = whole[: whole.index("\n") + 1]
    data = f"{line(audit('SELECT 0'))}\n{cut}{line(audit('SELECT 2'))}\n{cut}".encode()
    facts = read(data).facts
    assert (facts.records, facts.bad_records) == (2, 2)
    assert facts.bad_offsets == (data.index(cut.encode()), data.rindex(cut.encode()))
    assert facts.problems == ("2 bad records: an audit record that breaks off",)


@pytest.mark.parametrize(
    ("prefix", "user", "instant"),
    [
        (f"{AT} [7] app@shop ", "app", "2026-03-01T10:00:00.500Z"),
        ("2026-03-01 10:00:00 UTC:10.0.0.9(5432):app@shop:[7]:", "app", "2026-03-01T10:00:00Z"),
        ("2026-03-01 10:00:00+02 [7] user=app,db=shop,app=x ", "app", "2026-03-01T08:00:00Z"),
        ("2026-03-01 10:00:00 CST [7] app@shop ", "app", None),
        ("2026-03-01 10:00:00.123456 GMT [7] ", None, "2026-03-01T10:00:00.123456Z"),
    ],
)
def test_prefixes_name_time_and_user(prefix: str, user: str | None, instant: str | None) -> None:
    facts = facts_of(line(audit("SELECT 1"), prefix=prefix))
    assert facts.principals == ((user,) if user else ())
    assert facts.first == instant
    assert (NO_USERS in facts.not_captured) is (user is None)
    assert facts.clock == ("zoned" if instant else "unzoned")


def test_what_psql_prints_has_no_times() -> None:
    logged = "<previously logged>"
    facts = facts_of(
        "SET pgaudit.log_client = ON;",
        'NOTICE:  AUDIT: SESSION,1,1,DDL,CREATE TABLE,TABLE,public.t,"CREATE TABLE t',
        '(id int)",<not logged>',
        " id ",
        "----",
        "(0 rows)",
        f"WARNING:  AUDIT: OBJECT,1,1,READ,SELECT,VIEW,public.v,{logged},{logged}",
        "ERROR:  permission denied for table t",
    )
    assert (facts.format, facts.records, facts.bad_records) == ("pgaudit", 3, 0)
    assert facts.datasets == ("postgresql:public.t", "postgresql:public.v")
    assert facts.not_captured == (NO_PARAMETERS, NO_TIMES, NO_USERS)
    assert facts.decisions == (Decision("denied", 1),)


def test_refusals_name_the_user() -> None:
    facts = facts_of(
        line('password authentication failed for user "eve"', "FATAL", f"{AT} [7] "),
        line(
            'no pg_hba.conf entry for host "10.0.0.9", user "mallory", database "x"',
            "FATAL",
            f"{AT} [7] ",
        ),
        line("permission denied for table t", "ERROR"),
        line('relation "x" does not exist', "ERROR"),
        line("SELECT * FROM x", "STATEMENT"),
    )
    assert facts.principals == ("app", "eve", "mallory")
    assert facts.decisions == (Decision("denied", 3), Decision("failed", 1))
    assert facts.records == 4


def test_json_of_the_operator_and_of_the_server_are_read() -> None:
    record = {
        "log_time": "2021-07-27 14:01:47.881 UTC",
        "user_name": "postgres",
        "session_id": "610011cb.cb",
        "error_severity": "LOG",
        "sql_state_code": "00000",
        "audit": {
            "audit_type": "SESSION",
            "class": "READ",
            "command": "SELECT",
            "object_type": "TABLE",
            "object_name": "public.t",
            "statement": "SELECT 1",
            "parameter": "<none>",
        },
    }
    wrapped = {"level": "info", "ts": 1627394507.88, "logger": "pgaudit", "record": record}
    other = {"level": "info", "ts": 1627394508.5, "logger": "wal-archive", "msg": "archived"}
    failed = {
        "level": "info",
        "logger": "postgres",
        "record": record
        | {"audit": None, "error_severity": "ERROR", "sql_state_code": "42501", "message": "x"},
    }
    server = {
        "timestamp": "2021-07-27 14:02:00.001 UTC",
        "log_time": "2021-07-27 14:02:00.001 UTC",
        "user": "app",
        "session_id": "x",
        "error_severity": "LOG",
        "message": audit("SELECT\n2"),
    }
    facts = facts_of(*(json.dumps(each) for each in (wrapped, other, failed, server)))
    assert (facts.format, facts.records, facts.bad_records) == ("pgaudit", 4, 0)
    assert facts.principals == ("app", "postgres")
    assert facts.datasets == ("postgresql:public.t",)
    assert facts.decisions == (Decision("denied", 1),)
    assert (facts.first, facts.last) == ("2021-07-27T14:01:47.881Z", "2021-07-27T14:02:00.001Z")


def test_hostile_logs_cost_linear_time() -> None:
    start = line('AUDIT: SESSION,1,1,READ,SELECT,,,"')
    good = [line(audit("SELECT 1"))] * 20
    facts = facts_of(*good, start, *(["x" * 100] * 30_000), *good)
    assert (facts.records, facts.bad_records) == (40, 1)
    facts = facts_of(*good, *([start] * 5_000))
    assert (facts.records, facts.bad_records) == (20, 5_000)
    wide = line("LOG:  " * 100_000)
    assert facts_of(wide, wide).records == 2


def test_only_such_logs_are_taken_for_them() -> None:
    detect = PostgresqlParser().detect
    assert detect(CSV.read_bytes(), "x.png") is Confidence.CERTAIN
    assert detect(PLAIN.read_bytes(), "x") is Confidence.CERTAIN
    note = b"A record looks like\n\n    AUDIT: SESSION,1,1,READ,SELECT,,,SELECT 1,<none>\n"
    assert detect(note * 3, "pgaudit.log") is Confidence.NONE
    other = b"2026-03-01 10:00:00,123 INFO app: LOG started\n" * 9
    assert detect(other, "postgresql.log") is Confidence.NONE
    assert detect(b'{"logger":"app","level":"info","msg":"x"}\n', "x") is Confidence.NONE
