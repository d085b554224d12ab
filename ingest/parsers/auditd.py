"""Linux audit logs (auditd): what processes did, and which login they go back to.

A line is `type=… msg=audit(<seconds>.<ms>:<serial>): …`; lines of one event share time and serial,
and those of several events are mixed, so nothing is made of their order. Events can be lost.
Behind a 0x1D stand the names of numbers (`AUID="frodo"`), where the daemon was told to add them.

- `records` are lines; the summary tells events.
- `principals` are login users: `auid`, which stays the same through su and sudo, by its name if
  that is there. Where it is unset (4294967295), the account of a login, else the process's `uid`.
- `sessions` are `ses`, if set.
- `decisions`: `success` and `res` of the lines that have one. A failed authentication, a system
  call that ended in EPERM or EACCES, and what AppArmor, SELinux or seccomp stopped were `denied`.
- `actions` are the types of lines, and `exec <command>`.
- `datasets` are the files named by PATH lines: `file:<path>`.
- Values in hexadecimal (`acct=28696E…`) are those with spaces or quotes in them; they are decoded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO

from ingest.parsers.access import Datasets, Requests, summary
from ingest.parsers.bounded import counted
from ingest.parsers.gathering import Ids
from ingest.parsers.lines import LineReader, recognised
from ingest.parsers.parser import Confidence, Reading

UNSET = ("4294967295", "-1", "unset", "?", "")
"""How a user or session that is not set is written."""

_LINE = re.compile(
    r"(?:node=(?P<node>\S{1,253}) )?type=(?P<type>[A-Z0-9_]{1,40}(?:\[\d{1,5}\])?) "
    r"msg=audit\((?P<time>\d{1,12}\.\d{1,9}):(?P<serial>\d{1,20})\):? ?",
    re.ASCII,
)
_FIELD = re.compile(
    r"""(?:^|[ '\x1d,{(])([A-Za-z][A-Za-z0-9_-]{0,40})=("[^"]{0,4096}"|[^\s'"\x1d]{0,8192})"""
)
_HEXADECIMAL = re.compile(r"(?:[0-9A-F]{2}){2,}", re.ASCII)
_ENCODED = frozenset(("acct", "name", "exe", "comm", "cwd", "cmd", "proctitle", "a0"))
_AUTHENTICATION = ("USER_AUTH", "USER_LOGIN", "USER_ACCT", "USER_ERR", "CRED_", "GRP_AUTH")
_NOT_PERMITTED = ("-1", "-13", "EPERM", "EACCES")
_LONGEST = 64 << 10


class AuditdParser:
    """Reads the log of the Linux audit daemon, raw or enriched."""

    name = "auditd"
    version = 1
    kinds = ("access_log",)
    whole = True

    def detect(self, head: bytes, name: str) -> Confidence:
        """Certain where lines begin with type, time and serial of an audit record."""
        del name
        return recognised(head, _LINE.match) if b"msg=audit(" in head else Confidence.NONE

    def read(self, stream: BinaryIO, name: str) -> Reading:
        """Read every line."""
        del name
        reader = LineReader(stream)
        log = _Log()
        for offset, text in reader:
            line = _LINE.match(text)
            if line is None:
                reader.note_bad(offset, "not a line of an audit log")
            else:
                log.take(line, text[line.end() : line.end() + _LONGEST])
        return log.reading(self, reader)


class _Log:
    def __init__(self) -> None:
        self._requests = Requests()
        self._datasets = Datasets()
        self._events = Ids()

    def take(self, line: re.Match[str], text: str) -> None:
        """Take one line; `text` is what stands behind its serial."""
        requests = self._requests
        requests.records += 1
        self._events.add(f"{line['node']} {line['time']}:{line['serial']}")
        kind = line["type"]
        fields = dict(_fields(text))
        actor = requests.actor(_principal(fields))
        requests.acted(actor, requests.time(f"{line['time']}:{line['serial']}", "s"))
        requests.add("actions", kind)
        if fields.get("ses", "") not in UNSET:
            requests.add("sessions", fields["ses"])
        if kind == "EXECVE" and (command := fields.get("a0")):
            requests.add("actions", f"exec {command}")
        elif kind == "PATH" and (path := fields.get("name")) not in (None, "", "(null)"):
            self._datasets.add(f"file:{path}")
        decision = _decided(kind, fields)
        if decision is not None:
            requests.decision(decision)

    def reading(self, parser: AuditdParser, reader: LineReader) -> Reading:
        """What all this says of the item."""
        requests = self._requests
        requests.add("platforms", "linux")
        facts = self._datasets.into(requests.facts(parser, damage=reader))
        events = facts.records - self._events.duplicates()
        told = "" if self._events.full else counted(events, "event")
        return Reading(facts, parser.kinds, "Linux audit log", summary(facts, "line", told))


def _fields(text: str) -> Iterator[tuple[str, str]]:
    """The fields of a line, decoded; also those inside `msg='…'`."""
    for match in _FIELD.finditer(text):
        name, value = match[1], match[2]
        if value.startswith('"'):
            yield name, value[1:-1]
        elif name in _ENCODED and _HEXADECIMAL.fullmatch(value):
            yield name, bytes.fromhex(value).split(b"\0")[0].decode("utf-8", "replace")
        else:
            yield name, value


def _principal(fields: dict[str, str]) -> str | None:
    name = fields.get("AUID", "")
    if name not in UNSET:
        return name
    login = fields.get("auid", "")
    if login not in UNSET:
        return f"auid={login}"
    for each in ("acct", "UID"):
        if fields.get(each, "") not in UNSET:
            return fields[each]
    user = fields.get("uid", "")
    return None if user in UNSET else f"uid={user}"


def _decided(kind: str, fields: dict[str, str]) -> str | None:
    """What became of it; None for lines that do not say."""
    if kind == "SECCOMP" or fields.get("apparmor") == "DENIED":
        return "denied"
    if kind in ("AVC", "USER_AVC") and "apparmor" not in fields:
        return "denied" if "tclass" in fields else None
    said = fields.get("success", fields.get("res"))
    if said in ("yes", "success", "1"):
        return "allowed"
    if said not in ("no", "failed", "0"):
        return None
    if kind.startswith(_AUTHENTICATION) or fields.get("exit") in _NOT_PERMITTED:
        return "denied"
    return "failed"


PARSERS = (AuditdParser(),)
