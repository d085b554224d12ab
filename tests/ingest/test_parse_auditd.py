"""Linux audit logs: events by serial, names behind numbers and hexadecimal, what was refused."""

from __future__ import annotations

import re

from damage import read
from samples import DATA

from ingest.parsers import Confidence
from ingest.parsers.auditd import AuditdParser
from verify.facts import Decision, Facts

SAMPLES = DATA / "auditd"


def facts_of(*lines: str) -> Facts:
    return read("\n".join(lines).encode()).facts


def line(kind: str, rest: str, serial: int = 1) -> str:
    return f"type={kind} msg=audit(1481077308.360:{serial}): {rest}"


def test_lines_and_events_are_counted_apart() -> None:
    data = (SAMPLES / "audit-rhel7.log").read_bytes()
    text = data.decode()
    ids = re.findall(r"msg=audit\((\d+\.\d+):(\d+)\)", text)
    reading = read(data)
    facts = reading.facts
    assert (reading.format_label, reading.kinds) == ("Linux audit log", ("access_log",))
    assert facts.records == len(ids) == 49
    # type=UNKNOWN[1329] msg=?
    assert (facts.bad_records, facts.bad_offsets) == (1, (text.index("type=UNKNOWN[1329]"),))
    assert f"{len(set(ids))} events" in reading.summary
    assert (facts.raw_first, facts.raw_last) == (":".join(min(ids)), ":".join(max(ids)))
    assert (facts.clock, facts.time_unit, facts.precision) == ("zoned", "s", "ms")
    assert facts.first == "2016-12-07T02:16:23.819Z"  # 1481076983.819
    assert set(re.findall(r"type=([A-Z_]+) msg=audit", text)) <= set(facts.actions)
    assert {"exec auditctl", "exec cat", "exec grep", "exec jq"} <= set(facts.actions)
    assert facts.datasets == ("file:/sbin/auditctl",)
    assert facts.sessions == ("1", "2", "3", "762", "790")


def test_users_are_those_who_logged_in() -> None:
    facts = read((SAMPLES / "audit-ubuntu16.log").read_bytes()).facts
    # acct=28696E76616C6964207573657229, with auid unset
    assert bytes.fromhex("28696E76616C6964207573657229") == b"(invalid user)"
    assert facts.principals == ("(invalid user)", "auid=1001")
    # a login that failed, one that did not, and what AppArmor stopped
    assert facts.decisions == (Decision("allowed", 1), Decision("denied", 2))
    assert facts.sessions == ("36",)
    facts = facts_of(
        line("SYSCALL", 'success=yes auid=1000 uid=0 ses=5 \x1dAUID="frodo" UID="root"'),
        line("SYSCALL", 'success=yes auid=4294967295 uid=33 ses=4294967295 AUID="unset"'),
        line("SYSCALL", "success=yes auid=-1 uid=-1"),
        line("USER_ACCT", 'uid=0 auid=4294967295 msg=\'op=x acct="sam" exe="/a" res=success\''),
    )
    assert facts.principals == ("frodo", "sam", "uid=33")
    assert facts.sessions == ("5",)


def test_lines_of_one_event_may_lie_anywhere() -> None:
    data = (SAMPLES / "test3.log").read_bytes()
    reading = read(data)
    ids = re.findall(r"msg=audit\(([^)]*)\)", data.decode())
    assert "17 lines" in reading.summary
    assert f"{len(set(ids))} events" in reading.summary
    backwards = b"\n".join(reversed(data.splitlines()))
    assert read(backwards).facts == reading.facts
    # seven system calls succeeded, a group was added, seccomp killed one process
    assert reading.facts.decisions == (Decision("allowed", 8), Decision("denied", 1))


def test_what_was_denied_and_what_failed() -> None:
    facts = facts_of(
        line("SYSCALL", "success=no exit=-13 auid=1"),
        line("SYSCALL", "success=no exit=-1 auid=1", 2),
        line("SYSCALL", "success=no exit=-2 auid=1", 3),
        line("USER_AUTH", "auid=1 msg='op=PAM acct=\"a\" res=failed'", 4),
        line("CRED_ACQ", "auid=1 msg='op=PAM acct=\"a\" res=failed'", 5),
        line("SERVICE_START", "auid=1 msg='unit=x res=failed'", 6),
        line("AVC", "avc:  denied  { read } for pid=1 scontext=a tcontext=b tclass=file", 7),
        line("AVC", 'apparmor="ALLOWED" operation="open"', 8),
        line("CONFIG_CHANGE", "auid=1 res=1", 9),
        line("PROCTITLE", "proctitle=2F62696E2F7368", 10),
    )
    assert facts.decisions == (Decision("allowed", 1), Decision("denied", 5), Decision("failed", 2))


def test_arguments_and_paths_in_hexadecimal_are_read() -> None:
    facts = facts_of(
        line("EXECVE", "argc=2 a0=2F746D702F6120622E7368 a1=2D78"),
        line("PATH", "item=0 name=2F746D702F6120620A22 nametype=CREATE", 2),
        line("PATH", 'item=0 name="/etc/passwd" nametype=NORMAL', 3),
        line("PATH", "item=0 name=(null) nametype=PARENT", 4),
    )
    assert "exec /tmp/a b.sh" in facts.actions
    assert facts.datasets == ("file:/etc/passwd", 'file:/tmp/a b\n"')


def test_hostile_lines_cost_little_and_say_nothing() -> None:
    hostile = (
        line("SYSCALL", "a=" * 400_000),
        line("SYSCALL", '"=x' * 300_000),
        line("EXECVE", f"a0={'FF' * 20_000}"),
        line("USER_LOGIN", f"acct={'00' * 50} auid=4294967295"),
        "type=SYSCALL msg=audit(99999999999999.1:1): x",
        "type=SYSCALL msg=audit(999999999999.1:1): x",
    )
    facts = facts_of(*hostile)
    assert (facts.records, facts.bad_records) == (5, 1)
    assert facts.problems == (
        "1 bad record: not a line of an audit log",
        "1 time that cannot be read",
    )


def test_only_audit_logs_are_taken_for_them() -> None:
    detect = AuditdParser().detect
    assert detect((SAMPLES / "test3.log").read_bytes(), "x.png") is Confidence.CERTAIN
    node = b"node=web1 type=LOGIN msg=audit(1481077043.057:414): pid=1298 uid=0"
    assert detect(node, "x") is Confidence.CERTAIN
    assert detect(b"type=x msg=audit()\n" * 5, "audit.log") is Confidence.NONE
