"""NeMo Guardrails: which rails were activated and which of them stopped the exchange.

Read is the `log` of a generation, as JSON, or as Python prints it (`activated_rails=[ActivatedRail(
type='input', …, stop=True, …)]`), which is what logs and notebooks hold. The printed form is never
evaluated: strings are skipped whole, so that what a user wrote inside one names no rail. A line
that breaks off inside a string is read up to there, and says so.

A record is an activated rail. One that stopped the exchange is a finding; its kind (`input`,
`output`, …) stands before its name. Times are those of rails and their model calls, in seconds.
"""

from __future__ import annotations

import re
from typing import Any, BinaryIO

from ingest.parsers.bounded import counted
from ingest.parsers.gathering import Damage, Gathered
from ingest.parsers.lines import LineReader
from ingest.parsers.parser import HEAD_SIZE, Confidence, Reading
from ingest.parsers.reach import first_records, objects, reach, word
from ingest.parsers.records import RecordReader, Replayed, read_fully, shape_of
from ingest.parsers.times import Time
from verify.facts import Detector

_PRINTED = re.compile(
    rb"activated_rails=\[|ActivatedRail\(type=|ExecutedAction\(action_name=|GenerationLog\("
    rb"|'triggered_(?:input|output)_rail':"
)
_PRINTED_LINE = re.compile(_PRINTED.pattern.decode())
_MARKS = (b"activated_rails", b"ActivatedRail(", b"ExecutedAction(", b"GenerationLog(", b"_rail':")
_TOKEN = re.compile(
    r"""(?P<text>"[^"\\]*(?:\\.[^"\\]*)*"|'[^'\\]*(?:\\.[^'\\]*)*')"""
    r"|(?P<open>[A-Za-z_]\w*\()|(?P<close>\))|(?P<key>[A-Za-z_]\w*)=(?!=)"
    r"|(?P<number>-?\d+(?:\.\d+)?(?:e-?\d+)?)|(?P<word>[A-Za-z_]\w*)|(?P<cut>[\"'])",
    re.ASCII | re.DOTALL,
)
_RAIL = "ActivatedRail"
_MODEL = "'model_name'"
_DETECTOR = "nemo-guardrails"
_CUT = "broken off inside a string"


class NemoGuardrailsParser:
    """Reads logs of generations."""

    name = "nemo-guardrails"
    version = 1
    kinds = ("guardrail_alert",)
    whole = True

    def detect(self, head: bytes, name: str) -> Confidence:
        """Certain where a log is printed, or one of the first records holds one."""
        del name
        if not any(mark in head for mark in _MARKS):
            return Confidence.NONE
        if shape_of(head) is None:
            return Confidence.CERTAIN if _PRINTED.search(head) else Confidence.NONE
        if b'"activated_rails"' not in head:
            return Confidence.NONE
        first = first_records(head)
        if any(_rails(value) is not None for value in first):
            return Confidence.CERTAIN
        return Confidence.NONE if first else Confidence.LIKELY

    def read(self, stream: BinaryIO, name: str) -> Reading:
        """Read every rail."""
        del name
        head = read_fully(stream, HEAD_SIZE)
        source = Replayed(head, stream)
        seen = _Seen()
        damage: Damage
        if shape_of(head) is None:
            damage = lines = LineReader.verbatim(source)
            for offset, line in lines:
                if _PRINTED_LINE.search(line) and not seen.take_line(line):
                    lines.note_bad(offset, _CUT)
        else:
            damage = records = RecordReader.of_any_shape(source)
            for offset, value in records:
                rails = _rails(value)
                if rails is None:
                    records.note_bad(offset, "no log of activated rails")
                for rail in objects(rails):
                    seen.take(rail)
        gathered = seen.gathered
        if gathered.records and gathered.clock.quality == "none":
            gathered.add("not_captured", "times")
        told = f"{counted(gathered.records, 'activated rail')}, {seen.stopped:,} stopped"
        return Reading(gathered.facts(self, damage=damage), self.kinds, "NeMo Guardrails", told)


def _rails(value: Any) -> Any:
    """The activated rails of a generation, or of its log alone."""
    rails = reach(value, "log", "activated_rails")
    return rails if isinstance(rails, list) else reach(value, "activated_rails")


class _Seen:
    """What the rails taken so far say."""

    def __init__(self) -> None:
        self.gathered = Gathered()
        self.stopped = 0

    def take(self, rail: dict[str, Any]) -> None:
        """Take a rail, and the times and models of what it ran."""
        gathered = self.gathered
        started = gathered.time(rail.get("started_at"), "s")
        gathered.time(rail.get("finished_at"), "s")
        for action in objects(rail.get("executed_actions")):
            for call in objects(action.get("llm_calls")):
                gathered.model(returned=reach(call, "raw_response", "model_name"))
        self._rail(rail.get("type"), rail.get("name"), rail.get("stop") is True, started)

    def take_line(self, line: str) -> bool:
        """Take a printed line; False if it breaks off inside a string."""
        printed = _Printed(self.gathered)
        whole = printed.read(line)
        for kind, name, stop, started in printed.rails:
            self._rail(kind, name, stop, started)
        return whole

    def _rail(self, kind: object, name: object, stop: bool, started: Time | None) -> None:
        self.gathered.record()
        self.gathered.keep(Detector(_DETECTOR, None, f"{word(kind)}: {word(name)}"))
        if stop:
            self.stopped += 1
            label = f"{word(kind)}: {word(name)}"
            self.gathered.finding(_DETECTOR, label, time=started, disposition="stopped")


class _Printed:
    """Reads one line as Python prints objects: calls with named values, strings, numbers."""

    def __init__(self, gathered: Gathered) -> None:
        self._gathered = gathered
        self.rails: list[tuple[str, str, bool, Time | None]] = []

    def read(self, line: str) -> bool:
        """Collect the line's rails; False if it breaks off inside a string."""
        # Each open call with its values so far; outside of all, a single rail may be printed.
        calls: list[tuple[str, dict[str, Any]]] = [("", {})]
        key = before = ""
        position = 0
        while token := _TOKEN.search(line, position):
            position = token.end()
            kind = token.lastgroup
            if before == _MODEL and kind == "text":
                self._gathered.model(returned=token[0].strip("'\""))
            before = token[0]
            values = calls[-1][1]
            if kind == "cut":
                self._close(calls)
                return False
            if kind == "open":
                calls.append((token["open"][:-1], {}))
            elif kind == "close":
                if len(calls) > 1:
                    self._rail(*calls.pop())
            elif kind == "key":
                key = token["key"]
                continue
            elif key and kind is not None:
                values.setdefault(key, token[kind].strip("'\"") if kind == "text" else token[kind])
                if key in ("started_at", "finished_at") and kind == "number":
                    time = self._gathered.time(token["number"], "s")
                    values.setdefault(f"{key} time", time)
            key = ""
        self._close(calls)
        return True

    def _close(self, calls: list[tuple[str, dict[str, Any]]]) -> None:
        """What is left open at the end of a line, and the rail that a line may be."""
        for name, values in calls[1:]:
            self._rail(name, values)
        top = calls[0][1]
        if {"type", "name", "stop", "executed_actions"} <= top.keys() | {"executed_actions"}:
            self._rail(_RAIL, top)

    def _rail(self, name: str, values: dict[str, Any]) -> None:
        if name == _RAIL:
            stop = values.get("stop") == "True"
            started = values.get("started_at time")
            self.rails.append((values.get("type", ""), values.get("name", ""), stop, started))


PARSERS = (NemoGuardrailsParser(),)
