"""Claude Code: its session files, and the stream that programs drive it with (Claude Agent SDK).

A session file has one JSON object a line.

- One message of the API takes several lines, which share `message.id` and each repeat its usage:
  its model and its tokens count once; tokens grow from line to line, and the last word counts.
- `spans` are the lines that have a `uuid`; `parentUuid` links them, and `unresolved_parents` says
  how many lines lead on from one that is not in the file. A line that stands for a compacted past
  leads on from `logicalParentUuid`.
- Subagents write lines of their own (`isSidechain`), since 2.0 into files of their own: where a
  file calls them and has no such line, their messages are not captured.
- `summary` and other lines of bookkeeping have no time and name no session.
- `configs`: version, working directory, branch, permission mode. `datasets` are the files that
  tools were given by `file_path`. `approvals`: the tool calls that the user refused; what was
  allowed leaves no trace.

The stream has events of `type` `system`, `assistant`, `user`, `result` and `control_…`, one a line
or as a recording with directions. In it permissions are asked for and given or refused, and the
first event names the model as asked for. It has no times.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from ingest.parsers.bounded import counted, said
from ingest.parsers.conversation import MOST_KNOWN, Conversation, Once
from ingest.parsers.gathering import Gathered
from ingest.parsers.parser import Confidence, Reading
from ingest.parsers.reach import first_records
from ingest.parsers.records import RecordReader, shape_of
from ingest.parsers.times import Time
from verify.facts import Config

SESSION, STREAM = "claude-code", "claude-agent-sdk"
LABELS = {SESSION: "Claude Code session", STREAM: "Claude Agent SDK stream"}

_FIRST_RECORDS = 8
_MARKS = tuple(
    re.compile(rb'"' + key + rb'"\s*:') for key in (b"parentUuid", b"isSidechain", b"sessionId")
)
_ANY = (b'"sessionId"', b'"leafUuid"', b'"session_id"', b'"parent_tool_use_id"', b'"control_')
_LINE_KEYS = frozenset(("sessionId", "parentUuid", "leafUuid", "messageId", "permissionMode"))
_EVENT_TYPES = frozenset(
    (
        "assistant",
        "control_cancel_request",
        "control_request",
        "control_response",
        "rate_limit_event",
        "result",
        "stream_event",
        "system",
        "user",
    )
)
_SPAWNING = ("Task", "Agent")
_LOCAL = "<synthetic>"
"""In place of a model's name: Claude Code wrote the message itself."""

_REFUSED = "User rejected tool use"
_STATES = {"allow": "approved", "deny": "rejected"}
_MOST_OPEN = 10_000


class ClaudeCodeParser:
    """Reads session files and streams."""

    name = SESSION
    version = 1
    kinds = ("prompt", "tool_trace", "approval", "other")
    whole = True

    def detect(self, head: bytes, name: str) -> Confidence:
        """Certain where one of the first records is a line; likely where the first is too long."""
        del name
        if not any(mark in head for mark in _ANY) or shape_of(head) is None:
            return Confidence.NONE
        first = first_records(head, most=_FIRST_RECORDS)
        if any(_is_sure(each) for value in first for each in _unwrapped(value)):
            return Confidence.CERTAIN
        likely = not first and all(mark.search(head) for mark in _MARKS)
        return Confidence.LIKELY if likely else Confidence.NONE

    def read(self, stream: BinaryIO, name: str) -> Reading:
        """Read every line; what is none is a bad record."""
        del name
        reader = RecordReader.of_any_shape(stream)
        tally = _Tally()
        for offset, value in reader:
            if isinstance(value, dict) and isinstance(about := value.get("metadata"), dict):
                tally.note_version(about.get("cli_version"))
            for each in _unwrapped(value):
                if _is_line(each):
                    tally.take_line(each)
                elif _is_event(each):
                    tally.take_event(each)
                else:
                    reader.note_bad(offset, "no line of a session")
        return tally.reading(self, reader)


def _unwrapped(value: Any) -> Iterator[Any]:
    """The events of a recording; else the value itself."""
    messages = value.get("messages") if isinstance(value, dict) else None
    if isinstance(messages, list) and "type" not in value:
        for each in messages:
            inner = each.get("message") if isinstance(each, dict) and "direction" in each else each
            yield inner
    else:
        yield value


def _is_line(value: object) -> bool:
    if not isinstance(value, dict) or not isinstance(value.get("type"), str):
        return False
    return not _LINE_KEYS.isdisjoint(value) and "session_id" not in value


def _is_event(value: object) -> bool:
    kind = value.get("type") if isinstance(value, dict) else None
    return isinstance(kind, str) and kind in _EVENT_TYPES


def _is_sure(value: object) -> bool:
    """Whether nothing else looks like this."""
    if not isinstance(value, dict):
        return False
    if _is_line(value):
        return "leafUuid" in value or ("uuid" in value and "sessionId" in value)
    if not _is_event(value):
        return False
    if value["type"].startswith("control_"):
        return "request_id" in value or isinstance(value.get("response"), dict)
    if value["type"] in ("assistant", "user"):
        return isinstance(value.get("message"), dict) and "parent_tool_use_id" in value
    return "session_id" in value


class _Tally:
    """What the lines taken so far add up to."""

    def __init__(self) -> None:
        self.gathered = Gathered()
        self.talk = Conversation(self.gathered)
        self.lines = 0
        self.events = 0
        self.sidechain = 0
        self.spawned = 0
        self._configured: tuple[object, ...] = ()
        self._messages = Once(self.gathered)
        self._tokens: dict[str, int] = {}
        self._tools: dict[str, str] = {}
        self._asked: dict[str, tuple[str, str | None]] = {}

    def note_version(self, version: object) -> None:
        """The version of Claude Code."""
        if text := said(version):
            self.gathered.keep(Config("software", "claude-code", text))

    # A session file.

    def take_line(self, line: dict[str, Any]) -> None:
        """Take a line of a session file."""
        gathered = self.gathered
        self.lines += 1
        gathered.record(line.get("uuid"))
        time = gathered.time(line.get("timestamp"))
        gathered.add("sessions", line.get("sessionId"))
        self._configs(*map(line.get, ("version", "cwd", "permissionMode", "gitBranch")))
        if said(line.get("uuid")):
            if "timestamp" not in line:
                gathered.count_problem("line", "without a time")
            parent = line.get("parentUuid") or line.get("logicalParentUuid")
            gathered.span(None, line["uuid"], parent)
        self.sidechain += line.get("isSidechain") is True
        if isinstance(message := line.get("message"), dict):
            self._message(message, time)
            refused = line.get("toolUseResult") == _REFUSED or "toolDenialKind" in line
            if refused and line.get("toolDenialKind", "user-rejected") == "user-rejected":
                self._refused(message, time)

    def _configs(
        self, version: object, directory: object, mode: object, branch: object = None
    ) -> None:
        configs = version, directory, mode, branch
        if configs != self._configured:  # nearly every line has those of the line before
            self._configured = configs
            self.note_version(version)
            self.gathered.keep(
                Config("branch", said(branch) or ""),
                Config("directory", said(directory) or ""),
                Config("permission mode", said(mode) or ""),
            )

    def _message(self, message: dict[str, Any], time: Time | None) -> None:
        identity, model = said(message.get("id")), message.get("model")
        if model != _LOCAL and (identity is None or self._messages.new(identity)):
            self.gathered.model(returned=model)
        usage = message.get("usage")
        tokens = usage.get("output_tokens") if isinstance(usage, dict) else None
        if type(tokens) is int and 0 <= tokens < 1 << 53 and len(self._tokens) < MOST_KNOWN:
            name = identity or f"#{len(self._tokens)}"
            self._tokens[name] = max(tokens, self._tokens.get(name, 0))
        self.talk.begin()
        self.talk.message(message, time)
        content = message.get("content")
        for block in content if isinstance(content, list) else ():
            if isinstance(block, dict) and block.get("type") == "tool_use":
                self._tool(block)

    def _tool(self, block: dict[str, Any]) -> None:
        identity, tool = said(block.get("id")), said(block.get("name"))
        self.spawned += tool in _SPAWNING
        if identity and tool and len(self._tools) < _MOST_OPEN:
            self._tools[identity] = tool
        if isinstance(given := block.get("input"), dict):
            for key in ("file_path", "notebook_path"):
                if path := said(given.get(key)):
                    self.gathered.add("datasets", f"file:{path}")

    def _refused(self, message: dict[str, Any], time: Time | None) -> None:
        """The user refused a tool call. Only the line says so: a tool can write what it likes."""
        content = message.get("content")
        for block in content if isinstance(content, list) else ():
            if isinstance(block, dict) and block.get("type") == "tool_result":
                identity = said(block.get("tool_use_id"))
                self._answered(identity, "rejected", time)

    def _answered(self, identity: str | None, state: str, time: Time | None = None) -> None:
        tool = self._tools.get(identity or "", "tool call")
        self.talk.approval(tool, state, identity, at=time.text if time else None)

    # A stream.

    def take_event(self, event: dict[str, Any]) -> None:
        """Take an event of a stream."""
        gathered = self.gathered
        self.events += 1
        gathered.record(event.get("uuid"))
        gathered.time(event.get("timestamp"))
        gathered.add("sessions", event.get("session_id"))
        kind = event["type"]
        if kind in ("assistant", "user") and isinstance(message := event.get("message"), dict):
            self.sidechain += event.get("parent_tool_use_id") is not None
            self._message(message, None)
        elif kind == "system" and event.get("subtype") == "init":
            gathered.model(requested=event.get("model"))
            version = event.get("claude_code_version")
            self._configs(version, event.get("cwd"), event.get("permissionMode"))
            for server in _list(event.get("mcp_servers")):
                if isinstance(server, dict):
                    gathered.keep(Config("mcp server", said(server.get("name")) or ""))
        elif kind == "result":
            for denied in _list(event.get("permission_denials")):
                if isinstance(denied, dict):
                    gathered.decision("denied")
        elif kind == "control_request":
            self._control_request(event)
        elif kind == "control_response":
            self._control_response(event)

    def _control_request(self, event: dict[str, Any]) -> None:
        request = event.get("request")
        if not isinstance(request, dict) or request.get("subtype") != "can_use_tool":
            return
        tool = said(request.get("tool_name")) or "tool call"
        name, reference = said(event.get("request_id")), said(request.get("tool_use_id"))
        self.talk.approval(tool, "requested", reference or name)
        self.gathered.decision("asked")
        if name and len(self._asked) < _MOST_OPEN:
            self._asked[name] = tool, reference

    def _control_response(self, event: dict[str, Any]) -> None:
        outer = event.get("response")
        if not isinstance(outer, dict) or not isinstance(outer.get("response"), dict):
            return
        name, behavior = said(outer.get("request_id")), outer["response"].get("behavior")
        asked = self._asked.pop(name or "", None)
        state = _STATES.get(behavior) if isinstance(behavior, str) else None
        if asked and state:
            self.talk.approval(asked[0], state, asked[1] or name)

    # What it comes to.

    def reading(self, parser: ClaudeCodeParser, damage: RecordReader) -> Reading:
        """The reading of these lines."""
        form = STREAM if self.events > self.lines else SESSION
        add = self.gathered.add
        if self.gathered.clock.quality == "none":
            add("not_captured", "times")
        if form == SESSION:
            add("not_captured", "requested model")
        if self.spawned and not self.sidechain:
            add("not_captured", "messages of subagents")
        facts = self.gathered.facts(parser, form, damage)
        shown = (
            ("prompt", self.talk.spoken),
            ("tool_trace", bool(self.talk.calls)),
            ("approval", bool(self.talk.approvals)),
        )
        parts = [
            counted(self.lines or self.events, "line" if self.lines else "event"),
            counted(self.talk.calls, "tool call"),
        ]
        if 0 < len(self._tokens) < MOST_KNOWN:
            parts.append(counted(sum(self._tokens.values()), "output token"))
        if self.sidechain:
            parts.append(f"{self.sidechain:,} of subagents")
        kinds = tuple(kind for kind, there in shown if there) or ("other",)
        return Reading(facts, kinds, LABELS[form], ", ".join(parts))


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


PARSERS = (ClaudeCodeParser(),)
