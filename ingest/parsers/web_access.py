"""Web server access logs, common and combined (Apache, nginx): requests, their users and answers.

A line is `host ident user [time] "request" status bytes`, in the combined form with referer and
user agent behind, and before it may stand the virtual host. Lines in the wild have quotes inside
the request, no closing quote behind the agent, bytes that are no text, `-` for anything.

- `principals` are users that the server knows by name; addresses are no principals.
- `actions` are methods. `decisions` follow the status.
- A line whose request has no end is a bad record.
"""

from __future__ import annotations

import re
from typing import BinaryIO

from ingest.parsers.access import Requests, of_status, summary
from ingest.parsers.bounded import Distinct, counted
from ingest.parsers.lines import LineReader, recognised
from ingest.parsers.parser import Confidence, Reading
from ingest.parsers.times import Time

NO_USERS = "users"
NO_AGENTS = "referers and user agents"

_TIME = re.compile(r" \[(\d\d/[A-Za-z]{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\] ", re.ASCII)
_ANSWER = re.compile(r'" (\d{3}|-) (\d{1,19}|-)(?= |\Z)', re.ASCII)
_VIRTUAL_HOST = re.compile(r"[A-Za-z0-9_.-]{1,253}:\d{1,5}", re.ASCII)
_METHOD = re.compile(r"[A-Z][A-Z-]{1,19}(?= )", re.ASCII)
_HEAD = 4096


class WebAccessParser:
    """Reads common, combined and virtual host log lines, also mixed."""

    name = "web-access"
    version = 1
    kinds = ("access_log",)
    whole = True

    def detect(self, head: bytes, name: str) -> Confidence:
        """Certain where lines have time, request and status in their places."""
        del name
        return recognised(head, _Line.of) if b'] "' in head else Confidence.NONE

    def read(self, stream: BinaryIO, name: str) -> Reading:
        """Read every line."""
        del name
        reader = LineReader(stream)
        log = _Log()
        for offset, text in reader:
            line = _Line.of(text)
            if line is None:
                reader.note_bad(offset, "not a line of an access log")
            else:
                log.take(line)
        return log.reading(self, reader)


class _Line:
    """The parts of one line that facts tell."""

    __slots__ = ("combined", "method", "status", "time", "user", "virtual_host")

    def __init__(self) -> None:
        self.combined = False
        self.method = ""
        self.status: int | None = None
        self.time = ""
        self.user = ""
        self.virtual_host: str | None = None

    @classmethod
    def of(cls, text: str) -> _Line | None:
        """The line; None if it is none. Looks for each part once, so that it takes linear time."""
        time = _TIME.search(text, 0, _HEAD)
        if time is None or text[time.end() : time.end() + 1] != '"':
            return None
        answer = _ANSWER.search(text, time.end() + 1)
        names = text[: time.start()].split(" ", 3)
        if answer is None or len(names) < 3:
            return None
        line = cls()
        if len(names) > 3 and _VIRTUAL_HOST.fullmatch(names[0]):
            line.virtual_host = names[0]
            names = names[1:]
        line.user = " ".join(names[2:])
        line.time = time[1]
        method = _METHOD.match(text, time.end() + 1)
        line.method = method[0] if method else "(other)"
        line.status = None if answer[1] == "-" else int(answer[1])
        line.combined = '"' in text[answer.end() : answer.end() + 2]
        return line


class _Log:
    def __init__(self) -> None:
        self._requests = Requests()
        self._hosts = Distinct()
        self._last: tuple[str, Time | None] = ("", None)
        self._users = self._combined = False

    def take(self, line: _Line) -> None:
        """Take one line."""
        requests = self._requests
        requests.records += 1
        if line.time != self._last[0]:  # requests of one second lie together
            self._last = line.time, requests.time(line.time)
        if line.user not in ("", "-", '""'):
            self._users = True
            requests.acted(requests.actor(line.user), self._last[1])
        requests.add("actions", line.method)
        requests.decision(of_status(line.status))
        self._combined |= line.combined
        if line.virtual_host:
            self._hosts.add(line.virtual_host)

    def reading(self, parser: WebAccessParser, reader: LineReader) -> Reading:
        """What all this says of the item."""
        requests = self._requests
        if requests.records and not self._users:
            requests.add("not_captured", NO_USERS)
        if requests.records and not self._combined:
            requests.add("not_captured", NO_AGENTS)
        facts = requests.facts(parser, damage=reader)
        hosts = len(self._hosts.sorted())
        told = counted(hosts, "virtual host") if hosts else ""
        return Reading(facts, parser.kinds, "web access log", summary(facts, "request", told))


PARSERS = (WebAccessParser(),)
