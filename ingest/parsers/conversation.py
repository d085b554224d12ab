"""Messages to and from models, as OpenAI and Anthropic write them: their tool calls. No I/O.

A request repeats the whole conversation before it, a stream repeats itself as a whole when it
ends, and logs write one message in several lines. So each call and each result counts once, by its
id. But ids are not unique: agents give one to several calls. What comes twice within one telling (a
request, a line, a list) is two calls, and the second of one telling is the second of another.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from ingest.parsers.bounded import said
from ingest.parsers.gathering import Gathered, digest_of
from ingest.parsers.times import Time
from verify.facts import Approval

MOST_KNOWN = 200_000
"""How many ids are remembered, so that what comes again is not counted again."""

_HOSTED = frozenset(
    (
        "code_interpreter_call",
        "file_search_call",
        "image_generation_call",
        "mcp_call",
        "web_search_call",
    )
)
"""Calls of Responses that the provider runs itself, so that the item holds the answer too."""

_SPEAKERS = ("system", "developer", "user", "assistant", "model")


class Once:
    """Which texts came before; when there are too many, every further one is taken for new."""

    def __init__(self, gathered: Gathered, most: int = MOST_KNOWN) -> None:
        self._gathered = gathered
        self._most = most
        self._seen: set[bytes] = set()

    def new(self, *parts: object) -> bool:
        """Whether these parts, as one, come for the first time."""
        digest = digest_of("\0".join(map(str, parts)))
        if digest in self._seen:
            return False
        if len(self._seen) < self._most:
            self._seen.add(digest)
        else:
            self._gathered.problem(f"only the first {self._most:,} ids were told apart")
        return True


class Conversation:
    """Hands the tool calls of messages to `Gathered`, each once, and knows what it has seen.

    `scope` keeps apart what may use the same ids: runs, sessions, servers.
    """

    def __init__(self, gathered: Gathered) -> None:
        self._gathered = gathered
        self._calls = Once(gathered)
        self._results = Once(gathered)
        self._told: Counter[str] = Counter()
        self.scope = ""
        self.spoken = False
        """Whether any message has content."""
        self.calls = 0
        self.results = 0
        self.approvals = 0

    def begin(self) -> None:
        """From here on things are told anew: what was told before may come again."""
        self._told.clear()

    def call(self, tool: object, identity: object = None, time: Time | None = None) -> None:
        """A tool was called."""
        key = self._key(identity)
        if key is None or self._is_new(self._calls, "call", key):
            self.calls += 1
            self._gathered.call(tool, key, time)

    def result(self, identity: object = None, tool: object = None) -> None:
        """A call was answered."""
        key = self._key(identity)
        if key is None or self._is_new(self._results, "result", key):
            self.results += 1
            self._gathered.result(key, tool)

    def message(self, message: object, time: Time | None = None) -> None:
        """Take a message: of Chat Completions, of Anthropic, or a message item of Responses."""
        if not isinstance(message, dict):
            return
        role, content = message.get("role"), message.get("content")
        if role in _SPEAKERS and content:
            self.spoken = True
        if role == "tool":
            self.result(message.get("tool_call_id"), message.get("name"))
        elif role == "function":
            self.result(None, message.get("name"))
        for block in content if isinstance(content, list) else ():
            self.block(block, time)
        for call in _list(message.get("tool_calls")):
            self._tool_call(call, time)
        if isinstance(legacy := message.get("function_call"), dict) and legacy.get("name"):
            self.call(legacy["name"], None, time)

    def block(self, block: object, time: Time | None = None) -> None:
        """Take a block of an Anthropic message; a server's own tools end in the same message."""
        if not isinstance(block, dict) or not isinstance(kind := block.get("type"), str):
            return
        if kind == "tool_use" or kind.endswith("_tool_use"):
            self.call(block.get("name"), block.get("id"), time)
        elif kind == "tool_result" or kind.endswith("_tool_result"):
            self.result(block.get("tool_use_id"))

    def item(self, item: object, time: Time | None = None) -> None:
        """Take an item of the input or output of Responses."""
        if not isinstance(item, dict):
            return
        kind = item.get("type")
        if kind in (None, "message"):
            self.message(item, time)
        elif not isinstance(kind, str):
            return
        elif kind.endswith("_call_output"):
            self.result(item.get("call_id"))
        elif kind.endswith("_call"):
            self._item_call(kind, item, time)
        elif kind == "mcp_approval_request":
            self.approval(item.get("name"), "requested", item.get("id"))
        elif kind == "mcp_approval_response" and isinstance(item.get("approve"), bool):
            state = "approved" if item["approve"] else "rejected"
            self.approval("MCP tool call", state, item.get("approval_request_id"))

    def approval(self, subject: object, state: str, reference: object, **more: Any) -> None:
        """A person was asked about a tool call, or answered; `reference` is the call's id."""
        self.approvals += 1
        self._gathered.keep(
            Approval(said(subject) or "tool call", state, reference=said(reference), **more)
        )

    def _tool_call(self, call: object, time: Time | None) -> None:
        """A call of Chat Completions; in a stream only its first part has id and name."""
        if not isinstance(call, dict):
            return
        function = call.get("function", call.get("custom"))
        name = function.get("name") if isinstance(function, dict) else None
        if call.get("id") is not None or name:
            self.call(name, call.get("id"), time)

    def _item_call(self, kind: str, item: dict[str, Any], time: Time | None) -> None:
        tool = item.get("name") or kind.removesuffix("_call")
        if kind not in _HOSTED:
            self.call(tool, item.get("call_id", item.get("id")), time)
            return
        self.call(tool, item.get("id"), time)
        if item.get("status") in ("completed", "failed", "incomplete") or item.get("output"):
            self.result(item.get("id"), tool)

    def _is_new(self, known: Once, what: str, key: str) -> bool:
        told = f"{what} {key}"
        self._told[told] += 1
        return known.new(key, self._told[told])

    def _key(self, identity: object) -> str | None:
        name = said(identity)
        return None if name is None else f"{self.scope}/{name}"


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
