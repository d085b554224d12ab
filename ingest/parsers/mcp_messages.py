"""Messages of the Model Context Protocol: JSON-RPC between a host and its servers of tools.

Read are messages as JSON (one, a list, one a line, server-sent events), logs that hold them
(`mcp_logs`), and a single part of a message, such as the examples of its specification: that part
is recognised only where a file has nothing else, and says little.

- Ids start again with each connection, and both sides count their own: a call and its result share
  the connection, the side that asked, and the id, of which 0 is one. What has no id is no request.
- `tools` are `tools/call`; an error is an answer too. A request that was cancelled stays open.
- `datasets` are the URIs of resources that were read; what a list offers was not read.
- `configs`: client, server and protocol, from `initialize` or from the `_meta` of a request.
- `approvals`: what a server asked the person at the host (`elicitation/create`), by its message,
  and how that was answered; `reference` is the request's id. Who answered is not said.
- The protocol has no times. A log's are those at the start of its lines.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, BinaryIO

from ingest.parsers.bounded import counted, said
from ingest.parsers.conversation import Conversation, Once
from ingest.parsers.gathering import Damage, Gathered
from ingest.parsers.lines import LineReader
from ingest.parsers.mcp_logs import Entry, LogReader, is_log
from ingest.parsers.parser import HEAD_SIZE, Confidence, Parser, Reading
from ingest.parsers.reach import first_records
from ingest.parsers.records import (
    NOT_JSON,
    RecordReader,
    Replayed,
    parse_embedded,
    read_fully,
    shape_of,
)
from ingest.parsers.server_events import EVENTS, event_data
from ingest.parsers.times import Time
from verify.facts import Config

KINDS = ("tool_trace", "access_log", "approval", "prompt")

_MARK = re.compile(rb'"jsonrpc"\s*:\s*"2\.0"')
_FIRST_RECORDS = 4
_MOST_OPEN = 20_000
_META = "io.modelcontextprotocol/"
_ANSWERS = {"accept": "approved", "decline": "rejected", "cancel": "dismissed"}
_READING = ("resources/read", "resources/subscribe")
_ASKED_OF_CLIENT = frozenset(("elicitation/create", "roots/list", "sampling/createMessage"))
_METHODS = re.compile(
    r"(?:completion|elicitation|logging|notifications|prompts|resources|roots|sampling|server|tasks"
    r"|tools)/[A-Za-z_/]{1,60}|initialize|ping",
    re.ASCII,
)


class McpParser:
    """Reads messages, logs that hold them, and lone parts of messages."""

    name = "mcp-jsonrpc"
    version = 1
    kinds = (*KINDS, "other")
    whole = True

    def detect(self, head: bytes, name: str) -> Confidence:
        """Certain of messages of this protocol, likely of other JSON-RPC and of mere parts."""
        del name
        if log := is_log(head):
            return Confidence.CERTAIN if log > 1 else Confidence.LIKELY
        if not EVENTS.match(head) and not _may_be(head):
            return Confidence.NONE
        values = [value for value in _first_values(head) if value is not None]
        messages = [each for value in values for each in _messages(value)]
        if any(_is_sure(each) for each in messages):
            return Confidence.CERTAIN
        if any(map(is_message, messages)):
            return Confidence.LIKELY
        if len(values) == 1 and part_of(values[0]):
            return Confidence.LIKELY
        marked = not values and _MARK.search(head) and shape_of(head)
        return Confidence.LIKELY if marked else Confidence.NONE

    def read(self, stream: BinaryIO, name: str) -> Reading:
        """Read every message; what is none is a bad record, unless it is the item's only part."""
        del name
        head = read_fully(stream, HEAD_SIZE)
        source = Replayed(head, stream)
        traffic = Traffic()
        reader: LineReader | RecordReader
        if is_log(head):
            reader = LineReader.verbatim(source)
            entries = LogReader(reader)
            for entry in entries:
                traffic.take_entry(entry)
            return traffic.reading(self, reader, "mcp-log", entries.output)
        if EVENTS.match(head):
            reader = LineReader.verbatim(source)
            for offset, text in event_data(reader):
                value = parse_embedded(text)
                if value is None:
                    reader.note_bad(offset, NOT_JSON)
                else:
                    self._take(traffic, offset, value, reader)
        else:
            reader = RecordReader.of_any_shape(source)
            for offset, value in reader:
                self._take(traffic, offset, value, reader)
        return traffic.reading(self, reader)

    def _take(
        self, traffic: Traffic, offset: int, value: object, damage: LineReader | RecordReader
    ) -> None:
        for message in _messages(value):
            if is_message(message):
                traffic.gathered.record()
                traffic.take(message)
            elif part := part_of(message):
                traffic.take_part(part, message)
            else:
                damage.note_bad(offset, "no message")


def _may_be(head: bytes) -> bool:
    """Whether the bytes have the words of a message, or all the keys of a part."""
    return _MARK.search(head) is not None or any(
        all(f'"{key}"'.encode() in head for key in needed) for _, needed, _ in _PARTS
    )


def _first_values(head: bytes) -> list[Any]:
    if EVENTS.match(head):
        events = event_data(LineReader.verbatim(io.BytesIO(head)))
        return [parse_embedded(text) for _, text in islice(events, _FIRST_RECORDS)]
    if shape_of(head) is None:
        return []
    return first_records(head, most=_FIRST_RECORDS)


def _messages(value: object) -> Iterator[Any]:
    """The messages of a batch; else the value itself."""
    if isinstance(value, list) and value:
        yield from value
    else:
        yield value


def is_message(value: object) -> bool:
    """Whether a value is a request, a notification or an answer."""
    if not isinstance(value, dict) or value.get("jsonrpc") != "2.0":
        return False
    if "method" in value:
        return isinstance(value["method"], str)
    return "id" in value and ("result" in value or "error" in value)


def _is_sure(value: object) -> bool:
    """Whether a message is of this protocol, not of another that is made of JSON-RPC."""
    if not is_message(value) or not isinstance(value, dict):
        return False
    if "method" in value:
        return bool(_METHODS.fullmatch(value["method"]))
    result = value.get("result")
    if not isinstance(result, dict):
        error = value.get("error")
        data = error.get("data") if isinstance(error, dict) else None
        return isinstance(data, dict) and "requiredCapabilities" in data
    return bool(part_of(result)) or any(
        key in result
        for key in ("protocolVersion", "tools", "resources", "prompts", "contents", "resultType")
    )


_PARTS: tuple[tuple[str, frozenset[str], frozenset[str]], ...] = tuple(
    (name, frozenset(needed.split()), frozenset(f"{needed} {more}".split()))
    for name, needed, more in (
        ("tool result", "content", "isError structuredContent resultType _meta"),
        ("tool call", "name arguments _meta", "task"),
        ("error", "code message", "data"),
        ("sampling request", "messages maxTokens",
         "modelPreferences systemPrompt includeContext temperature stopSequences metadata tools "
         "toolChoice _meta task"),
        ("sampling result", "role content model", "stopReason _meta"),
        ("question", "message requestedSchema", "mode _meta task"),
        ("question", "message url mode", "elicitationId _meta task"),
        ("answer", "action", "content _meta"),
        ("log message", "level data", "logger _meta"),
        ("progress", "progressToken progress", "total message _meta"),
    )
)  # fmt: skip
_LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")


def part_of(value: object) -> str | None:
    """Which part of a message a value is, if it has the keys of one, and no others."""
    if not isinstance(value, dict):
        return None
    keys = value.keys()
    for name, needed, allowed in _PARTS:
        if needed <= keys <= allowed and _PART_HOLDS[name](value):
            return name
    return None


def _blocks(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(each, dict) and isinstance(each.get("type"), str) for each in value
    )


_PART_HOLDS: dict[str, Callable[[dict[str, Any]], bool]] = {
    "tool result": lambda value: _blocks(value["content"]) and len(value) > 1,
    "tool call": lambda value: any(key.startswith(_META) for key in _dict(value["_meta"])),
    "error": lambda value: type(value["code"]) is int and -32800 <= value["code"] <= -32000,
    "sampling request": lambda value: type(value["maxTokens"]) is int,
    "sampling result": lambda value: isinstance(value["content"], dict),
    "question": lambda value: isinstance(value["message"], str),
    "answer": lambda value: str(value["action"]) in _ANSWERS,
    "log message": lambda value: value["level"] in _LEVELS,
    "progress": lambda value: type(value["progress"]) in (int, float),
}


class Traffic:
    """What the messages taken so far add up to."""

    def __init__(self) -> None:
        self.gathered = Gathered()
        self.talk = Conversation(self.gathered)
        self.messages = 0
        self.failed = 0
        self.cancelled = 0
        self.copies = 0
        self.read = False
        self.parts: set[str] = set()
        self._new = Once(self.gathered)
        self._used = Once(self.gathered)
        self._connections: dict[str, int] = {}
        self._open: dict[tuple[str, str], str] = {}  # requests that wait, and their methods
        self._asked: dict[tuple[str, str], str] = {}  # questions that wait, and their words

    def take_entry(self, entry: Entry) -> None:
        """Take an entry of a log. Two logs of one host, read as one, have each entry twice."""
        self.gathered.record()
        time = self.gathered.time(entry.time)
        if entry.sender is None:
            known = self._new.new(entry.server, entry.time, entry.words[:100])
            if known and entry.words.startswith("Initializing server"):
                self._reconnect(entry.server)
            elif known and entry.words.startswith("Server transport closed unexpectedly"):
                self.gathered.count_problem("connection", "that ended unexpectedly")
            return
        if not is_message(entry.message):
            self.gathered.count_problem("message", "outside the protocol")
            return
        message = entry.message
        identity, method = said(message.get("id")), message.get("method")
        if identity and not self._new.new(entry.server, entry.time, entry.sender, identity, method):
            self.copies += 1
        else:
            self.take(message, connection=entry.server, sender=entry.sender, time=time)

    def take(
        self,
        message: dict[str, Any],
        *,
        connection: str = "",
        sender: str | None = None,
        time: Time | None = None,
    ) -> None:
        """Take a message; who sent it is known from logs, else told by its method or result."""
        self.messages += 1
        self.talk.begin()
        identity = said(message.get("id"))
        params, method = _dict(message.get("params")), message.get("method")
        if not isinstance(method, str):
            self._answer(message, connection, sender, time)
        elif identity is None:
            self.cancelled += method == "notifications/cancelled"
        else:
            self._request(method, params, identity, (connection, sender, time))
        self._take_about(params)
        for key, answer in _dict(params.get("inputResponses")).items():
            self._answered(connection, f"?{key}", key, _dict(answer), time)

    def _request(
        self,
        method: str,
        params: dict[str, Any],
        identity: str,
        where: tuple[str, str | None, Time | None],
    ) -> None:
        connection, sender, time = where
        side = sender or ("server" if method in _ASKED_OF_CLIENT else "client")
        if method == "initialize":
            self._reconnect(connection)
        scope = self._scope(connection, side)
        if not self._used.new(scope, identity):  # an id comes again only in another connection
            self._reconnect(connection)
            scope = self._scope(connection, side)
            self._used.new(scope, identity)
        if len(self._open) < _MOST_OPEN:
            self._open[scope, identity] = method
        if method == "tools/call":
            self.talk.scope = scope
            self.talk.call(params.get("name"), identity, time)
        elif method in _READING:
            self.read = True
            self.gathered.add("datasets", params.get("uri"))
        elif method == "sampling/createMessage":
            self.talk.spoken = True
        elif method == "elicitation/create":
            self._question(scope, identity, identity, params, time)

    def _answer(
        self, message: dict[str, Any], connection: str, sender: str | None, time: Time | None
    ) -> None:
        result, identity = message.get("result"), said(message.get("id"))
        holds = _dict(result)
        asked_by = {"client": "server", "server": "client"}.get(sender or "")
        if asked_by is None:
            asked_by = "server" if {"action", "role", "roots"} & holds.keys() else "client"
        scope = self._scope(connection, asked_by)
        method = self._open.pop((scope, identity or ""), None)
        self.failed += "error" in message or holds.get("isError") is True
        if method == "tools/call" or (method is None and _blocks(holds.get("content"))):
            self.talk.scope = scope
            self.talk.result(identity)
        if "action" in holds:
            self._answered(scope, identity or "", identity, holds, time)
        if "model" in holds and "role" in holds:
            self.talk.spoken = True
            self.gathered.model(returned=holds["model"])
        for content in _list(holds.get("contents")):
            self.read = True
            self.gathered.add("datasets", _dict(content).get("uri"))
        self._take_about(holds)
        for key, request in _dict(holds.get("inputRequests")).items():
            if _dict(request).get("method") == "elicitation/create":
                self._question(connection, f"?{key}", key, _dict(request.get("params")), time)

    def _question(
        self, scope: str, key: str, reference: str, params: dict[str, Any], time: Time | None
    ) -> None:
        """A server asks the person at the host."""
        words = said(params.get("message")) or said(params.get("url")) or "question"
        self.talk.approval(words, "requested", reference, at=time.text if time else None)
        if len(self._asked) < _MOST_OPEN:
            self._asked[scope, key] = words

    def _answered(
        self,
        scope: str,
        key: str,
        reference: str | None,
        answer: dict[str, Any],
        time: Time | None,
    ) -> None:
        action = answer.get("action")
        if isinstance(action, str) and action in _ANSWERS:
            words = self._asked.pop((scope, key), "question")
            at = time.text if time else None
            self.talk.approval(words, _ANSWERS[action], reference, at=at)

    def _take_about(self, holds: dict[str, Any]) -> None:
        """Who speaks, and which protocol."""
        about = {**holds, **{
            key.removeprefix(_META): value
            for key, value in _dict(holds.get("_meta")).items()
            if key.startswith(_META)
        }}  # fmt: skip
        for key, kind in (("clientInfo", "mcp client"), ("serverInfo", "mcp server")):
            info = _dict(about.get(key))
            if name := said(info.get("name")):
                self.gathered.keep(Config(kind, name, said(info.get("version"))))
        if version := said(about.get("protocolVersion")):
            self.gathered.keep(Config("protocol", "mcp", version))

    def _reconnect(self, connection: str) -> None:
        if connection in self._connections or len(self._connections) < _MOST_OPEN:
            self._connections[connection] = self._connections.get(connection, 0) + 1

    def _scope(self, connection: str, side: str) -> str:
        return f"{connection}#{self._connections.get(connection, 0)}/{side}"

    def take_part(self, part: str, value: dict[str, Any]) -> None:
        """Take a part of a message, of which nothing else is there."""
        self.gathered.record()
        self.parts.add(part)
        if part == "tool call":
            self.talk.call(value.get("name"))
            self._take_about(value)
        elif part == "question":
            self._question("", "", "", value, None)
        elif part == "answer":
            self._answered("", "", None, value, None)
        elif part == "sampling result":
            self.gathered.model(returned=value.get("model"))

    # What it comes to.

    def reading(
        self, parser: Parser, damage: Damage, form: str | None = None, output: int = 0
    ) -> Reading:
        """The reading of these messages."""
        if self.gathered.clock.quality == "none":
            self.gathered.add("not_captured", "times")
        if self.talk.calls and not self.talk.results:
            self.gathered.add("not_captured", "tool results")
        if self.copies:
            self.gathered.count_problem("message", "in two logs", self.copies)
        if self.cancelled:
            self.gathered.count_problem("request", "cancelled", self.cancelled)
        facts = self.gathered.facts(parser, form, damage)
        shown = (
            ("tool_trace", self.messages or self.parts & {"tool call", "tool result"}),
            ("access_log", self.read),
            ("approval", self.talk.approvals),
            ("prompt", self.talk.spoken or self.parts & {"sampling request", "sampling result"}),
        )
        kinds = tuple(kind for kind, there in shown if there) or ("other",)
        if self.parts and not self.messages:
            parts = " and ".join(sorted(self.parts))
            return Reading(facts, kinds, "MCP, part of a message", f"{parts}; no message around it")
        parts_told = [counted(self.messages, "message"), counted(self.talk.calls, "tool call")]
        if self.failed:
            parts_told.append(f"{self.failed:,} failed")
        if output:
            parts_told.append(f"{counted(output, 'line')} of other output")
        label = "MCP log" if form else "MCP messages"
        return Reading(facts, kinds, label, ", ".join(parts_told))


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


PARSERS = (McpParser(),)
