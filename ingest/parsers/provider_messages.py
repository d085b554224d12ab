"""What goes to model providers and comes back: OpenAI Chat Completions and Responses, Anthropic.

Read are requests, responses and streams, as JSON, one a line, one after another, or as server-sent
events; also inside a member `request`, `response`, `arguments` or `body`, as clients log them. A
stream's parts make one answer: its model, its tool calls and its results are counted once, by their
ids.

- `models`: `requested` counts requests; `returned` counts answers, by the provider's own word. A
  fingerprint of OpenAI's backend is a `model` in `configs`, with the fingerprint as its version.
- times: OpenAI's answers have one, in seconds; requests and all of Anthropic have none.
- `unfinished_calls`: a tool's result comes with the next request, so that an answer read alone
  leaves its calls unfinished.
- `findings`: answers that the provider's content filter stopped.

Of `fast-agent`, an agent that records its traffic with models, its notes on a run and its own form
of a message are read too.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from itertools import islice
from typing import Any, BinaryIO

from ingest.parsers.bounded import counted, said
from ingest.parsers.conversation import Conversation, Once
from ingest.parsers.gathering import Damage, Gathered
from ingest.parsers.lines import LineReader
from ingest.parsers.parser import HEAD_SIZE, Confidence, Parser, Reading
from ingest.parsers.reach import first_records
from ingest.parsers.records import (
    NOT_JSON,
    RecordReader,
    Replayed,
    Shape,
    parse_embedded,
    read_fully,
    shape_of,
)
from ingest.parsers.server_events import EVENTS, event_data
from ingest.parsers.times import Time
from verify.facts import Config

CHAT, RESPONSES, MESSAGES = "openai-chat", "openai-responses", "anthropic-messages"
LABELS = {
    CHAT: "OpenAI Chat Completions",
    RESPONSES: "OpenAI Responses",
    MESSAGES: "Anthropic Messages",
}
KINDS = ("prompt", "tool_trace", "guardrail_alert", "approval", "other")

_WRAPPERS = ("request", "response", "arguments", "body")
_WRAPPER_TIMES = ("captured_at", "timestamp")
_FIRST_RECORDS = 4
_RESPONSES_ONLY = frozenset(
    (
        "include",
        "instructions",
        "max_output_tokens",
        "parallel_tool_calls",
        "previous_response_id",
        "reasoning",
        "store",
        "stream",
        "text",
        "tools",
    )
)
_MARKS = tuple(re.compile(rb'"' + key + rb'"\s*:\s*' + after) for key, after in (
    (b"model", rb'"'), (b"role", rb'"'),
))  # fmt: skip
_ANY = (
    b'"chat.completion',
    b'"content_block',
    b'"input"',
    b'"message_',
    b'"messages"',
    b'"response',
    b'"stop_reason"',
)
_LISTS = ("messages", "input", "output", "choices", "content")
_ANTHROPIC_EVENTS = {
    "message_start": "message",
    "content_block_start": "content_block",
    "content_block_delta": "delta",
    "content_block_stop": "index",
    "message_delta": "delta",
    "message_stop": "type",
}
_ANTHROPIC_ANSWER = frozenset(("role", "model", "content", "stop_reason"))
_RESPONSES_EVENT = frozenset(
    ("response", "item", "item_id", "output_index", "sequence_number", "content_index")
)
_HELPERS = ("text", "thinking", "signature", "input_json", "citation")
"""Events that Anthropic's SDKs add to a stream; they repeat its parts."""


class ProviderParser:
    """Reads requests to model providers, their answers, and streams of answers."""

    name = "provider-messages"
    version = 1
    kinds = KINDS
    whole = True

    def detect(self, head: bytes, name: str) -> Confidence:
        """Certain where one of the first records is such a payload; likely where one is cut off."""
        del name
        if EVENTS.match(head):
            events = (
                parse_embedded(text)
                for _, text in event_data(LineReader.verbatim(io.BytesIO(head)))
            )
            found = any(api_of(value) for value in islice(events, _FIRST_RECORDS))
            return Confidence.CERTAIN if found else Confidence.NONE
        if not any(mark in head for mark in _ANY) or shape_of(head) is None:
            return Confidence.NONE
        first = first_records(head, most=_FIRST_RECORDS)
        if any(api_of(inner) for value in first for inner in unwrapped(value)):
            return Confidence.CERTAIN
        keyed = not first and shape_of(head, keys=_LISTS) is Shape.KEYED
        likely = keyed and all(mark.search(head) for mark in _MARKS)
        return Confidence.LIKELY if likely else Confidence.NONE

    def read(self, stream: BinaryIO, name: str) -> Reading:
        """Read every payload; what is none, and holds none, is a bad record."""
        del name
        payloads = Payloads()
        head = read_fully(stream, HEAD_SIZE)
        source = Replayed(head, stream)
        reader: LineReader | RecordReader
        if EVENTS.match(head):
            reader = LineReader.verbatim(source)
            for offset, text in event_data(reader):
                value = parse_embedded(text)
                if value is None:
                    reader.note_bad(offset, NOT_JSON)
                else:
                    payloads.take_record(value, offset, reader)
        else:
            reader = RecordReader.of_any_shape(source)
            for offset, value in reader:
                payloads.take_record(value, offset, reader)
        return payloads.reading(self, reader)


# What a payload is.


def api_of(value: object) -> str | None:
    """The API that a value is a request to, an answer of, or an event of; None if it is none."""
    if not isinstance(value, dict):
        return None
    kind = value.get("object")
    if kind in ("chat.completion", "chat.completion.chunk"):
        return CHAT
    if kind == "response" and "output" in value:
        return RESPONSES
    kind = value.get("type")
    if isinstance(kind, str):
        if kind.startswith("response.") and _RESPONSES_EVENT & value.keys():
            return RESPONSES
        if kind in _ANTHROPIC_EVENTS and _ANTHROPIC_EVENTS[kind] in value:
            return MESSAGES
        if kind == "message" and value.keys() >= _ANTHROPIC_ANSWER:
            return MESSAGES
    return _asked_of(value)


def _asked_of(value: dict[str, Any]) -> str | None:
    """The API that a value is a request to."""
    if isinstance(messages := value.get("messages"), list):
        if not any(isinstance(each, dict) and "role" in each for each in messages):
            return None
        if "anthropic_version" in value:
            return MESSAGES
        if not isinstance(value.get("model"), str):
            return None
        return MESSAGES if _is_anthropic(value, messages) else CHAT
    asked = value.get("input")
    if not isinstance(value.get("model"), str) or not isinstance(asked, (str, list)):
        return None
    items = asked if isinstance(asked, list) else ()
    if any(isinstance(each, dict) and ("role" in each or "type" in each) for each in items):
        return RESPONSES
    return RESPONSES if isinstance(asked, str) and _RESPONSES_ONLY & value.keys() else None


def _is_anthropic(value: dict[str, Any], messages: list[Any]) -> bool:
    """What only Anthropic's requests have; else, that it is a Claude with its obligatory limit."""
    tools = value.get("tools")
    if isinstance(tools, list) and tools:
        return any(isinstance(each, dict) and "function" not in each for each in tools)
    if "system" in value:
        return True
    for message in messages:
        if isinstance(message, dict):
            if message.get("role") not in ("user", "assistant"):
                return False
            content = message.get("content")
            for block in content if isinstance(content, list) else ():
                if isinstance(block, dict) and block.get("type") in ("tool_use", "tool_result"):
                    return True
    return "max_tokens" in value and "claude" in value["model"]


def unwrapped(value: object) -> Iterator[object]:
    """A value, if it is a payload; else the members of it that may be."""
    if isinstance(value, dict) and api_of(value) is None:
        for key in _WRAPPERS:
            inner = value.get(key)
            inner = parse_embedded(inner) if isinstance(inner, str) else inner
            if isinstance(inner, dict) and api_of(inner) is None and "body" in inner:
                inner = inner["body"]
            yield inner
    else:
        yield value


class Payloads:
    """What the payloads taken so far add up to."""

    def __init__(self) -> None:
        self.gathered = Gathered()
        self.talk = Conversation(self.gathered)
        self.apis: set[str] = set()
        self.requests = 0
        self.answers = 0
        self.events = 0
        self.filtered = 0
        self._known = Once(self.gathered)
        self._finished = Once(self.gathered)

    def take_record(self, value: object, offset: int, damage: RecordReader | LineReader) -> None:
        """Take a record; what is no payload, and holds none, is a bad one."""
        taken = [self.take(inner) for inner in unwrapped(value)]
        if any(taken):
            self.gathered.record()
            if isinstance(value, dict) and api_of(value) is None:
                for key in _WRAPPER_TIMES:
                    self.gathered.time(value.get(key))
        elif not self._helps(value):
            damage.note_bad(offset, "no request, answer or event")

    def _helps(self, value: object) -> bool:
        """Whether a value is a part of a stream without content of its own."""
        if not isinstance(value, dict):
            return False
        if value.get("type") == "error" or isinstance(value.get("error"), dict):
            self.failed(value)
        elif value.get("type") != "ping" and not (
            value.get("type") in _HELPERS and MESSAGES in self.apis
        ):
            return False
        self.gathered.record()
        return True

    def take(self, value: object) -> bool:
        """Take a payload, if it is one."""
        api = api_of(value)
        if api is None or not isinstance(value, dict):
            return False
        self.apis.add(api)
        self.talk.begin()
        if "messages" in value or "input" in value:
            self._request(value)
        elif api == CHAT:
            self._chat(value)
        elif api == RESPONSES:
            self._response(value)
        else:
            self._anthropic(value)
        return True

    def failed(self, value: dict[str, Any]) -> None:
        """An error instead of an answer."""
        error = value.get("error")
        kind = (error.get("type") or error.get("code")) if isinstance(error, dict) else None
        self.gathered.problem(f"the provider answered with an error: {said(kind) or 'unnamed'}")

    def _request(self, value: dict[str, Any]) -> None:
        self.requests += 1
        self.gathered.model(requested=value.get("model"))
        for message in _list(value.get("messages")):
            self.talk.message(message)
        for item in _list(value.get("input")):
            self.talk.item(item)
        if any(isinstance(value.get(key), str) for key in ("input", "instructions", "system")):
            self.talk.spoken = True
        conversation = value.get("conversation")
        self.gathered.add(
            "sessions", conversation.get("id") if isinstance(conversation, dict) else conversation
        )

    def _answer(self, identity: object, model: object) -> None:
        """An answer, or a part of one, that may name its model; later parts repeat it."""
        if self._known.new("answer", identity):
            self.answers += 1
        if said(model) and self._known.new("model", identity, model):
            self.gathered.model(returned=model)

    def _chat(self, value: dict[str, Any]) -> None:
        identity, model = value.get("id"), value.get("model")
        self._answer(identity, model)
        self.events += value.get("object") == "chat.completion.chunk"
        time = self.gathered.time(value.get("created"), "s")
        if fingerprint := said(value.get("system_fingerprint")):
            self.gathered.keep(Config("model", said(model) or "", fingerprint))
        for choice in _list(value.get("choices")):
            if isinstance(choice, dict):
                for key in ("message", "delta"):
                    self.talk.message(choice.get(key), time)
                if choice.get("finish_reason") == "content_filter":
                    self._filter(identity, model, time)

    def _response(self, value: dict[str, Any]) -> None:
        if value.get("object") != "response":
            self.events += 1
            self.talk.item(value.get("item"))
            value = value["response"] if isinstance(value.get("response"), dict) else {}
        if not value:
            return
        identity, model = value.get("id"), value.get("model")
        self._answer(identity, model)
        time = self.gathered.time(value.get("created_at"), "s")
        for item in _list(value.get("output")):
            self.talk.item(item, time)
        details = value.get("incomplete_details")
        if isinstance(details, dict) and details.get("reason") == "content_filter":
            self._filter(identity, model, time)
        if isinstance(value.get("error"), dict):
            self.failed(value)

    def _anthropic(self, value: dict[str, Any]) -> None:
        kind = value["type"]
        if kind != "message":
            self.events += 1
        message = value if kind == "message" else value.get("message")
        if isinstance(message, dict):
            self._answer(message.get("id"), message.get("model"))
            self.talk.message(message)
        self.talk.block(value.get("content_block"))
        if kind == "content_block_delta":
            self.talk.spoken = True

    def _filter(self, identity: object, model: object, time: Time | None) -> None:
        if self._finished.new(identity):
            self.filtered += 1
            self.gathered.finding(
                "content filter", "content_filter", time=time, disposition="stopped"
            )

    # What it comes to.

    def kinds(self) -> tuple[str, ...]:
        """What the payloads have shown."""
        shown = (
            ("prompt", self.talk.spoken),
            ("tool_trace", bool(self.talk.calls or self.talk.results)),
            ("guardrail_alert", bool(self.filtered)),
            ("approval", bool(self.talk.approvals)),
        )
        return tuple(kind for kind, there in shown if there) or ("other",)

    def note_missing(self) -> None:
        """Say what requests and answers could have told, and these do not."""
        add = self.gathered.add
        if self.gathered.clock.quality == "none":
            add("not_captured", "times")
        if self.requests and not self.answers:
            add("not_captured", "returned model")
        if self.answers and not self.requests:
            add("not_captured", "requests")
        if self.talk.calls and not self.talk.results:
            add("not_captured", "tool results")

    def form(self, otherwise: str) -> str:
        """The name of the format: the API, if it is one."""
        return next(iter(self.apis)) if len(self.apis) == 1 else otherwise

    def told(self) -> str:
        """The counts, in one line."""
        parts = [counted(self.requests, "request")] if self.requests else []
        if self.answers:
            answers = counted(self.answers, "answer")
            parts.append(
                f"{answers} in {counted(self.events, 'event')}" if self.events else answers
            )
        if self.talk.calls:
            parts.append(counted(self.talk.calls, "tool call"))
        return ", ".join(parts) or "no requests or answers"

    def reading(self, parser: Parser, damage: Damage) -> Reading:
        """The reading of these payloads."""
        self.note_missing()
        form = self.form(parser.name)
        label = LABELS.get(form, "requests to model providers")
        if self.events:
            label += ", stream"
        elif self.requests and not self.answers:
            label += ", request"
        elif self.answers and not self.requests:
            label += ", answer"
        return Reading(self.gathered.facts(parser, form, damage), self.kinds(), label, self.told())


# The notes of one client.


class FastAgentParser:
    """Reads what `fast-agent` notes beside its traffic: on a run (`meta`), and messages.

    Its notes name the model as the user did and as it was asked for; the former is a `model alias`
    in `configs`, with the latter as its version.
    """

    name = "fast-agent"
    version = 1
    kinds = ("prompt", "tool_trace", "model_config", "other")
    whole = True

    def detect(self, head: bytes, name: str) -> Confidence:
        """Certain where the first record is a note or a message."""
        del name
        if b'"fast' not in head or shape_of(head) is None:
            return Confidence.NONE
        first = first_records(head, most=1)
        return Confidence.CERTAIN if any(map(_is_fast_agents, first)) else Confidence.NONE

    def read(self, stream: BinaryIO, name: str) -> Reading:
        """Read notes and messages."""
        del name
        gathered = Gathered()
        talk = Conversation(gathered)
        reader = RecordReader.of_any_shape(stream)
        kinds = set()
        for offset, value in reader:
            if not _is_fast_agents(value):
                reader.note_bad(offset, "no note and no message of fast-agent")
                continue
            gathered.record()
            if "fast_agent_llm_trace" in value:
                kinds.add("model_config")
                _take_note(gathered, value)
            else:
                _take_fast_agent_message(gathered, talk, value)
        kinds |= {"tool_trace"} if talk.calls else set()
        kinds |= {"prompt"} if talk.spoken else set()
        if gathered.clock.quality == "none":
            gathered.add("not_captured", "times")
        gathered.add("not_captured", "returned model")
        facts = gathered.facts(self, damage=reader)
        calls = f", {counted(talk.calls, 'tool call')}" if talk.calls else ""
        told = f"{counted(gathered.records, 'record')}{calls}"
        shown = tuple(kind for kind in self.kinds if kind in kinds) or ("other",)
        return Reading(facts, shown, "fast-agent", told)


def _is_fast_agents(value: object) -> bool:
    if not isinstance(value, dict):
        return False
    channels = value.get("channels")
    named = isinstance(channels, dict) and any(key.startswith("fast-agent-") for key in channels)
    return "fast_agent_llm_trace" in value or ("role" in value and named)


def _take_note(gathered: Gathered, note: dict[str, Any]) -> None:
    alias, model = said(note.get("requested_model")), said(note.get("resolved_model"))
    gathered.model(requested=model or alias)
    if alias and alias != model:
        gathered.keep(Config("model alias", alias, model))
    gathered.time(note.get("started_at"))
    gathered.time(note.get("completed_at"))
    gathered.add("platforms", note.get("provider"))


def _take_fast_agent_message(
    gathered: Gathered, talk: Conversation, message: dict[str, Any]
) -> None:
    talk.message({"role": message.get("role"), "content": message.get("content")})
    calls, results = message.get("tool_calls"), message.get("tool_results")
    for identity, call in calls.items() if isinstance(calls, dict) else ():
        params = call.get("params") if isinstance(call, dict) else None
        talk.call(params.get("name") if isinstance(params, dict) else None, identity)
    for identity in results if isinstance(results, dict) else ():
        talk.result(identity)
    for part in _list(message["channels"].get("fast-agent-usage")):
        text = part.get("text") if isinstance(part, dict) else None
        usage = parse_embedded(text) if isinstance(text, str) else None
        turn = usage.get("turn") if isinstance(usage, dict) else None
        if isinstance(turn, dict):
            gathered.model(requested=turn.get("model"))
            gathered.time(turn.get("timestamp"), "s")


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


PARSERS = (ProviderParser(), FastAgentParser())
