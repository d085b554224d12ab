"""Events of Anthropic's managed agents: what an agent did, was allowed to, and was asked about.

Read are captures of a client, one `[method, payload]` a line (a session as created, events sent,
events streamed), and the events alone, one a line or as the list that the API gives.

- `approvals`: a tool call that the agent's policy holds up (`evaluated_permission: "ask"`) is
  `requested` by the agent, and `approved` or `rejected` by `user.tool_confirmation`; `reference`
  is the event id of the call. Who the user was, the events do not say. A confirmation is there
  twice, as sent and as streamed; the time is that of the stream.
- `permissions`: for each tool or set of tools its policy: `always_allow` is granted, `always_ask`
  is not known until asked, a tool that is switched off is denied.
- `decisions`: `evaluated_permission`, of each tool call once.
- `models`: the session names the agent's model; events do not say which model answered.
- `configs`: the agent with its version, and its system prompt by digest.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterator
from itertools import islice
from typing import Any, BinaryIO

from ingest.parsers.bounded import counted, said
from ingest.parsers.conversation import Conversation, Once
from ingest.parsers.gathering import Gathered
from ingest.parsers.parser import HEAD_SIZE, Confidence, Reading
from ingest.parsers.records import RecordReader, Replayed, Shape, read_fully, shape_of
from ingest.parsers.times import Time
from verify.facts import Config, Permission

_LIST = ("data",)
_FIRST_RECORDS = 4
_METHOD = re.compile(r"(?:[a-z]+\.)*sessions\.[a-z_.]+", re.ASCII)
_EVENT = re.compile(r"(?:agent|session|span|user|system)\.[a-z_]+", re.ASCII)
_MARK = re.compile(rb'"(?:[a-z]+\.)*sessions\.[a-z_.]+"|"(?:agent|session|span|user)\.[a-z_]+"')
_CAPTURE = re.compile(rb'(?:\xef\xbb\xbf)?\s*\[\s*"')
_MOST_OPEN = 10_000
_DECISIONS = {"allow": "allowed", "ask": "asked", "deny": "denied"}
_STATES = {"allow": "approved", "deny": "rejected"}
_GRANTS = {"always_allow": "granted", "always_deny": "denied"}


class ManagedAgentParser:
    """Reads a capture or a list of events; several sessions in one file too."""

    name = "anthropic-managed-agent-events"
    version = 1
    kinds = ("prompt", "tool_trace", "approval", "model_config", "permission_grant", "other")
    whole = True

    def detect(self, head: bytes, name: str) -> Confidence:
        """Certain where one of the first records is an event, or a call that deals with them."""
        del name
        if not _MARK.search(head) or shape_of(head, keys=_LIST) is None:
            return Confidence.NONE
        reader = _reader(io.BytesIO(head))
        first = [value for _, value in islice(reader, _FIRST_RECORDS)]
        if any(_is_call(value) or _is_event(value) for value in first):
            return Confidence.CERTAIN
        return Confidence.NONE

    def read(self, stream: BinaryIO, name: str) -> Reading:
        """Read every record; what is neither call nor event is a bad one."""
        del name
        reader = _reader(stream)
        tally = _Tally()
        for offset, value in reader:
            if _is_event(value):
                tally.gathered.record(value.get("id"))
                tally.take(value)
            elif _is_call(value):
                tally.gathered.record(_event_id(value[1]))
                tally.take_call(value[1])
            elif _is_session(value):
                tally.gathered.record()
                tally.take_session(value)
            else:
                reader.note_bad(offset, "no event of an agent")
        return tally.reading(self, reader)


def _reader(stream: BinaryIO) -> RecordReader:
    """A reader of records; a capture's line is a list, so that one line looks like a whole file."""
    head = read_fully(stream, HEAD_SIZE)
    source = Replayed(head, stream)
    if _CAPTURE.match(head):
        return RecordReader(source, shape=Shape.LINES)
    return RecordReader.of_any_shape(source, keys=_LIST, resumes_at=_is_event)


def _is_call(value: object) -> bool:
    """A line of a capture."""
    if not isinstance(value, list) or len(value) != 2 or not isinstance(value[0], str):
        return False
    return bool(_METHOD.fullmatch(value[0])) and isinstance(value[1], (dict, list))


def _is_event(value: object) -> bool:
    if not isinstance(value, dict) or not isinstance(kind := value.get("type"), str):
        return False
    stamped = "processed_at" in value or str(value.get("id")).startswith("sevt_")
    return stamped and bool(_EVENT.fullmatch(kind))


def _is_session(value: object) -> bool:
    return isinstance(value, dict) and value.get("type") == "session" and "agent" in value


def _event_id(payload: object) -> object:
    """The id of a streamed event; other payloads may come again, as they are."""
    return payload.get("id") if _is_event(payload) and isinstance(payload, dict) else None


class _Tally:
    """What the events taken so far add up to."""

    def __init__(self) -> None:
        self.gathered = Gathered()
        self.talk = Conversation(self.gathered)
        self.requests = 0
        self.asked = 0
        self.configured = False
        self.permitted = False
        self._agent: str | None = None
        self._seen = Once(self.gathered)
        self._tools: dict[str, str] = {}  # calls that a person was asked about, and their tools
        self._answers: dict[str, tuple[str, Time | None]] = {}

    def take_call(self, payload: Any) -> None:
        """Take what a call of the API was given or gave."""
        if _is_event(payload):
            self.take(payload)
        elif _is_session(payload):
            self.take_session(payload)
        else:
            for each in _sent(payload):
                if isinstance(each, str):
                    self.gathered.add("sessions", each)
                else:
                    self.take(each)

    def take_session(self, session: dict[str, Any]) -> None:
        """Take a session with its agent, as created or asked for."""
        gathered = self.gathered
        gathered.add("sessions", session.get("id"))
        gathered.time(session.get("created_at"))
        if isinstance(agent := session.get("agent"), dict):
            self._take_agent(agent)

    def _take_agent(self, agent: dict[str, Any]) -> None:
        gathered = self.gathered
        name = self._agent = said(agent.get("name")) or said(agent.get("id"))
        model = agent.get("model")
        self.configured = True
        gathered.model(requested=model.get("id") if isinstance(model, dict) else model)
        gathered.keep(Config("agent", name or "", said(agent.get("version"))))
        if isinstance(system := agent.get("system"), str) and system:
            digest = hashlib.sha256(system.encode("utf-8", "surrogatepass")).hexdigest()
            gathered.keep(Config("prompt", name or "system", digest=f"sha256:{digest}"))
        for server in _list(agent.get("mcp_servers")):
            if isinstance(server, dict):
                gathered.keep(Config("mcp server", said(server.get("name")) or ""))
        for tool in _list(agent.get("tools")):
            if isinstance(tool, dict):
                self._take_policies(tool)

    def _take_policies(self, tools: dict[str, Any]) -> None:
        names = (tools.get(key) for key in ("mcp_server_name", "name", "type"))
        resource = next((name for name in map(said, names) if name), None)
        default = tools.get("default_config")
        self._permit(default, resource)
        for config in _list(tools.get("configs")):
            if isinstance(config, dict) and (name := said(config.get("name"))):
                self._permit({**(default if isinstance(default, dict) else {}), **config},
                             f"{resource}/{name}")  # fmt: skip

    def _permit(self, config: object, resource: str | None) -> None:
        if not isinstance(config, dict):
            return
        policy = config.get("permission_policy")
        kind = said(policy.get("type")) if isinstance(policy, dict) else None
        off = config.get("enabled") is False
        if kind or off:
            self.permitted = True
            granted = "denied" if off else _GRANTS.get(kind or "", "unknown")
            self.gathered.keep(Permission(kind or "enabled", self._agent, resource, granted))

    def take(self, event: Any) -> None:
        """Take an event; sent ones have no id and no time, and come again in the stream."""
        if not isinstance(event, dict) or not isinstance(kind := event.get("type"), str):
            return
        self.talk.begin()
        time = self.gathered.time(event.get("processed_at"))
        self._agent = said(event.get("agent_name")) or self._agent
        self.gathered.add("runs", event.get("session_thread_id"))
        if event.get("content") and kind in ("user.message", "agent.message", "system.message"):
            self.talk.spoken = True
        if kind.endswith("tool_use"):
            self._take_use(event, time)
        elif kind.endswith("tool_result"):
            keys = ("tool_use_id", "mcp_tool_use_id", "custom_tool_use_id")
            self.talk.result(next((event[key] for key in keys if event.get(key)), None))
        elif kind == "user.tool_confirmation":
            self._take_answer(event, time)
        elif kind == "span.model_request_start":
            self.requests += 1
        elif kind == "session.error":
            error = event.get("error")
            what = said(error.get("type")) if isinstance(error, dict) else None
            self.gathered.problem(f"the session had an error: {what or 'unnamed'}")

    def _take_use(self, event: dict[str, Any], time: Time | None) -> None:
        identity, permission = said(event.get("id")), event.get("evaluated_permission")
        self.talk.call(event.get("name"), identity, time)
        if not isinstance(permission, str) or not self._seen.new(identity):
            return
        if permission in _DECISIONS:
            self.gathered.decision(_DECISIONS[permission])
        if permission == "ask":
            self.asked += 1
            tool = said(event.get("name")) or "tool call"
            self.talk.approval(tool, "requested", identity, requester=self._agent, at=_text(time))
            if identity and len(self._tools) < _MOST_OPEN:
                self._tools[identity] = tool

    def _take_answer(self, event: dict[str, Any], time: Time | None) -> None:
        """Keep the answer with the better time, until it is known what it is an answer to."""
        identity, result = said(event.get("tool_use_id")), event.get("result")
        state = _STATES.get(result) if isinstance(result, str) else None
        if identity is None or state is None:
            return
        known = self._answers.get(identity)
        if known is not None and known[0] != state:
            self.gathered.problem("a tool call was both allowed and denied")
        if known is None or (known[1] is None and time is not None):
            if known is None and len(self._answers) >= _MOST_OPEN:
                self.gathered.problem(f"only the first {_MOST_OPEN:,} confirmations were followed")
                return
            self._answers[identity] = state, time

    def reading(self, parser: ManagedAgentParser, damage: RecordReader) -> Reading:
        """The reading of these events."""
        for identity, (state, time) in self._answers.items():
            tool = self._tools.get(identity, "tool call")
            self.talk.approval(tool, state, identity, at=_text(time))
        if not self.configured:
            self.gathered.add("not_captured", "requested model", "permissions")
        self.gathered.add("not_captured", "returned model")
        shown = (
            ("prompt", self.talk.spoken),
            ("tool_trace", bool(self.talk.calls)),
            ("approval", bool(self.talk.approvals)),
            ("model_config", self.configured),
            ("permission_grant", self.permitted),
        )
        parts = [counted(self.requests, "model request"), counted(self.talk.calls, "tool call")]
        if self.asked or self._answers:
            rejected = sum(state == "rejected" for state, _ in self._answers.values())
            parts.append(f"{self.asked:,} held for approval, {rejected:,} rejected")
        return Reading(
            self.gathered.facts(parser, damage=damage),
            tuple(kind for kind, there in shown if there) or ("other",),
            "Anthropic managed agent events",
            ", ".join(parts),
        )


def _sent(payload: object) -> Iterator[Any]:
    """The session id and the events of a call that sends some."""
    if isinstance(payload, list):
        for part in payload:
            yield from (part,) if isinstance(part, str) else _sent(part)
    elif isinstance(payload, dict):
        for key in ("events", "data"):
            for each in _list(payload.get(key)):
                if isinstance(each, dict):
                    yield each


def _text(time: Time | None) -> str | None:
    return time.text if time else None


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


PARSERS = (ManagedAgentParser(),)
