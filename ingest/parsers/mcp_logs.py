"""Logs in which hosts of MCP write their traffic with servers, as Claude Desktop does. No I/O.

A line starts with a time in UTC, then server and level in brackets, in either order: logs of one
server have `[server] [info]`, the host's own log has `[info] [server]`, or no server. The rest is a
message (`Message from client: {…}`) or what happened to the connection. Between such lines stands
what the server wrote itself, with times of its own clock, without zone: that is no record.

Messages may go on over several lines, be followed by `{ metadata: undefined }`, or be cut off. An
answer that is cut off is a bad record, but one that came: its id says to which request.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ingest.parsers.lines import LineReader
from ingest.parsers.records import CUT_OFF, NOT_JSON, RECORD_LIMIT, TOO_LARGE, parse_embedded

_LEVELS = frozenset(("debug", "error", "info", "trace", "warn", "warning"))
_ENTRY = re.compile(
    r"\s{0,40}(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)) "
    r"(?:\[([^\]\n]{1,200})\] )?\[([^\]\n]{1,200})\] (.*)",
    re.ASCII | re.DOTALL,
)
_FILE = re.compile(r"==> .{0,400}?(?:mcp-server-([^/\\]{1,200})|mcp)\.log <==\s*", re.DOTALL)
_MESSAGE = re.compile(r"Message from (client|server):\s?", re.ASCII)
_OF_MCP = re.compile(
    r"Message from (?:client|server):|Server (?:started and connected|transport closed"
    r"|disconnected)|Initializing server|Attempting to connect to MCP server"
    r"|Connected to MCP server"
)
_ANY = re.compile(rb"Message from (?:client|server):|(?:MCP|Initializing) server|\] Server ")
_CUT_ANSWER = re.compile(
    r'\s*\{\s*"jsonrpc"\s*:\s*"2\.0"\s*,\s*"id"\s*:\s*(\d{1,18}|"[^"\\]{1,200}")\s*,'
    r'\s*"(?:result|error)"',
    re.ASCII,
)
_SUFFIX = "{ metadata: "
_MOST_TRIES = 16
_ENOUGH = 3


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of a log, with what follows it: a message from `sender`, or an event in words."""

    offset: int
    time: str
    server: str
    sender: str | None
    message: Any
    words: str


def is_log(head: bytes) -> int:
    """How surely a text is such a log: 2 if it starts as one, 1 if it has several messages."""
    if not _ANY.search(head):
        return 0
    messages = 0
    first: bool | None = None
    for line in head.decode("utf-8", "replace").removeprefix("\ufeff").split("\n")[:2000]:
        if not line.strip() or _FILE.fullmatch(line):
            continue
        entry = _ENTRY.match(line)
        known = entry is not None and _OF_MCP.match(entry[4]) is not None
        first = known if first is None else first
        messages += known
    return 2 if first else 1 if messages >= _ENOUGH else 0


class LogReader:
    """Iterates over the entries of a log, once. Afterwards `output` counts the servers' lines."""

    def __init__(self, lines: LineReader) -> None:
        self._lines = lines
        self.output = 0

    def __iter__(self) -> Iterator[Entry]:
        file_server = ""
        open_message: _Open | None = None
        for offset, line in self._lines:
            found = _ENTRY.match(line)
            named = _FILE.fullmatch(line) if line.startswith("==> ") else None
            if open_message is not None and not (found or named or line.startswith("```")):
                open_message.add(line)
                if line.startswith("}") and (entry := open_message.tried()):
                    yield entry
                    open_message = None
                continue
            if open_message is not None:
                yield from self._closed(open_message)
                open_message = None
            if named:
                file_server = named[1] or ""
            elif found:
                open_message = _Open(offset, found, file_server)
                if entry := open_message.tried():
                    yield entry
                    open_message = None
            elif line.strip() and not line.startswith(("```", "#")):
                self.output += 1
        if open_message is not None:
            yield from self._closed(open_message, ended=True)

    def _closed(self, entry: _Open, *, ended: bool = False) -> Iterator[Entry]:
        """What can be said of a message that is not whole."""
        reason = TOO_LARGE if entry.size > RECORD_LIMIT else CUT_OFF if ended else NOT_JSON
        self._lines.note_bad(entry.offset, reason)
        if answer := _CUT_ANSWER.match(entry.parts[0]):
            yield entry.closed({"jsonrpc": "2.0", "id": parse_embedded(answer[1]), "result": None})


class _Open:
    """An entry whose message may go on in the next lines."""

    def __init__(self, offset: int, found: re.Match[str], file_server: str) -> None:
        time, one, other, rest = found.groups()
        if one is not None and one.lower() in _LEVELS and other.lower() not in _LEVELS:
            one = other
        self.offset = offset
        self._time = time
        self._server = one or file_server
        message = _MESSAGE.match(rest)
        self._sender = message[1] if message else None
        self._words = "" if message else rest
        self.parts = [rest[message.end() :]] if message else []
        self.size = len(rest)
        self._tries = 0

    def add(self, line: str) -> None:
        """Take a further line."""
        self.size += len(line) + 1
        if self.size <= RECORD_LIMIT:
            self.parts.append(line)

    def tried(self) -> Entry | None:
        """The entry, if it is whole."""
        if self._sender is None:
            return self.closed(None)
        self._tries += 1
        if self._tries > _MOST_TRIES or self.size > RECORD_LIMIT:
            return None
        value = _parsed("\n".join(self.parts))
        if value is None and self.parts[0].strip() == "{":  # a brace too many: seen in the wild
            value = _parsed("\n".join(self.parts[1:]))
        return None if value is None else self.closed(value)

    def closed(self, message: Any) -> Entry:
        """The entry with this message."""
        return Entry(self.offset, self._time, self._server, self._sender, message, self._words)


def _parsed(text: str) -> Any:
    """The JSON of a message, without what the logger added."""
    text = text.rstrip()
    added = text.rfind(_SUFFIX, len(text) - 1000 if len(text) > 1000 else 0)
    if added > 0 and text.endswith("}") and (value := parse_embedded(text[:added])) is not None:
        return value
    return parse_embedded(text) if text else None
