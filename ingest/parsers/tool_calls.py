"""Tool calls that a trace shows from several sides, each counted once. No I/O.

A model asks for a call in its answer, a span runs it, the next request repeats it with its result,
and MCP adds a span on each side of the wire; some of these carry the call's id and some do not. So:

- What carries an id is one call for each id, whichever sides show it.
- What carries none is told apart by its span. In one trace, a span without id is taken for a call
  of the same tool that was asked for with one; an MCP span for a call that is there already.
- A call that only the history of a conversation shows counts if its result is there too.
- A call is finished if its span ended or its result is there.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Literal

from ingest.parsers.bounded import said
from ingest.parsers.gathering import Gathered, digest_of
from ingest.parsers.times import Time

MOST_CALLS = 250_000
"""How many calls of one item are told apart, and how many traces and tools."""

Side = Literal["tool", "mcp_client", "mcp_server"]

_SPAN, _CLIENT, _SERVER, _ENDED, _ASKED, _ANSWERED, _HISTORY, _NAMED = (1 << n for n in range(8))
_RUN = _SPAN | _CLIENT | _SERVER
_SIDES: dict[str, int] = {"tool": _SPAN, "mcp_client": _CLIENT, "mcp_server": _SERVER}
_UNNAMED = "(unnamed)"


class ToolCalls:
    """Collects what shows a call, and hands the calls to `Gathered` at the end."""

    def __init__(self, most: int = MOST_CALLS) -> None:
        self._most = most
        self._tools: dict[str, int] = {_UNNAMED: 0}
        self._traces: dict[str, int] = {"": 0}
        # What is known of a call: how surely its trace, the trace, the tool, the flags.
        self._known: dict[bytes, tuple[int, int, int, int]] = {}
        self._asked_without_id: Counter[tuple[int, int]] = Counter()
        self._answered_without_id: dict[tuple[int, int], int] = {}
        self._last: tuple[int, str] | None = None
        self.overflowed = False

    def span(
        self,
        tool: object,
        *,
        trace: str | None,
        span: object,
        identity: object = None,
        ended: bool,
        time: Time | None = None,
        side: Side = "tool",
    ) -> None:
        """A span runs a tool, or one end of MCP does."""
        flags = _SIDES[side] | (_ENDED if ended else 0)
        call = said(identity)
        key = f"id {call}" if call else f"span {trace}/{said(span) or len(self._known)}"
        self._add(key, tool, trace, flags | (_NAMED if call else 0))
        self._came(tool, time)

    def asked(
        self, tool: object, *, trace: str | None, identity: object, time: Time | None = None
    ) -> None:
        """A model asks for a call."""
        if call := said(identity):
            self._add(f"id {call}", tool, trace, _ASKED | _NAMED)
        else:
            self._asked_without_id[self._place(tool, trace)] += 1
        self._came(tool, time)

    def repeated(self, tool: object, *, trace: str | None, identity: object) -> None:
        """The history of a conversation shows a call."""
        if call := said(identity):
            self._add(f"id {call}", tool, trace, _HISTORY | _NAMED)

    def answered(self, identity: object, *, trace: str | None) -> None:
        """The result of a call is there."""
        if call := said(identity):
            self._add(f"id {call}", None, trace, _ANSWERED | _NAMED)

    def answered_without_id(self, tool: object, *, trace: str | None, count: int) -> None:
        """A conversation so far holds so many results of a tool whose calls have no ids."""
        place = self._place(tool, trace)
        self._answered_without_id[place] = max(count, self._answered_without_id.get(place, 0))

    def hand_over(self, gathered: Gathered) -> tuple[int, int]:
        """Give the calls to the facts; how many there are, and how many results answer none."""
        strays = 0
        total = 0
        groups: defaultdict[tuple[int, int], _Group] = defaultdict(_Group)
        for _, trace, tool, flags in self._known.values():
            if flags & _NAMED and not flags & (_RUN | _ASKED | _HISTORY):
                strays += 1
            else:
                groups[trace, tool].add(flags)
        for place, count in self._asked_without_id.items():
            groups[place].asked_without_id = count
            groups[place].answered_without_id = self._answered_without_id.get(place, 0)
        names = {number: name for name, number in self._tools.items()}
        for (_, tool), group in groups.items():
            calls, finished = group.count()
            for number in range(calls):
                identity = f"{total + number}"
                gathered.call(names[tool], identity)
                if number < finished:
                    gathered.result(identity)
            total += calls
        gathered.last_tool = self._last[1] if self._last else gathered.last_tool
        if strays:
            gathered.count_problem("tool result", "without a call", strays)
        if self.overflowed:
            gathered.problem("more tool calls than are told apart; the counts are too low")
        return total, strays

    def _add(self, key: str, tool: object, trace: str | None, flags: int) -> None:
        digest = digest_of(key)
        known = self._known.get(digest)
        if known is None and len(self._known) >= self._most:
            self.overflowed = True
            return
        place, number = self._place(tool, trace)
        sureness = 3 if flags & _RUN else 2 if flags & _ASKED else 1 if flags & _HISTORY else 0
        if known is not None:
            # The history of a conversation may stand in a later trace than the call itself.
            if sureness > known[0]:
                number = number or known[2]
            else:
                sureness, place = known[0], known[1]
                number = known[2] or number
            flags |= known[3]
        self._known[digest] = (sureness, place, number, flags)

    def _place(self, tool: object, trace: str | None) -> tuple[int, int]:
        return (
            self._number(self._traces, trace) if trace else 0,
            self._number(self._tools, said(tool) or _UNNAMED),
        )

    def _number(self, numbers: dict[str, int], name: str) -> int:
        number = numbers.get(name)
        if number is None:
            if len(numbers) >= self._most:
                self.overflowed = True
                return 0
            number = numbers[name] = len(numbers)
        return number

    def _came(self, tool: object, time: Time | None) -> None:
        if time is not None:
            at = (time.nanoseconds, said(tool) or _UNNAMED)
            if self._last is None or at > self._last:
                self._last = at


class _Group:
    """The calls of one tool in one trace, from all sides."""

    def __init__(self) -> None:
        self.asked_without_id = 0
        self.answered_without_id = 0
        # Each: how many, and how many of these are finished.
        self._run_by_id = [0, 0]
        self._asked_by_id = [0, 0]
        self._run = [0, 0]
        self._client = [0, 0]
        self._server = [0, 0]

    def add(self, flags: int) -> None:
        """Add one call, or one span without a call's id."""
        finished = bool(flags & (_ENDED | _ANSWERED))
        if not flags & _NAMED:
            side = self._run if flags & _SPAN else self._client if flags & _CLIENT else self._server
        elif flags & _RUN:
            side = self._run_by_id
        elif flags & _ASKED or finished:
            side = self._asked_by_id
        else:
            return
        side[0] += 1
        side[1] += finished

    def count(self) -> tuple[int, int]:
        """How many calls there are, and how many of these are finished."""
        asked, run = self._asked_by_id, self._run
        without = (
            self.asked_without_id,
            min(self.asked_without_id, self.answered_without_id),
        )
        sides = (self._client, self._server)
        calls = max(
            self._run_by_id[0] + max(asked[0] + without[0], run[0]), *(side[0] for side in sides)
        )
        finished = max(
            self._run_by_id[1] + max(asked[1] + without[1], run[1]), *(side[1] for side in sides)
        )
        return calls, min(calls, finished)
