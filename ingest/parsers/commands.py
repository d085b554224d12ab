"""Records of commands that `evault capture` ran: what was asked, when, and what it came to.

`coverage` is the time that the query asked about, where that was said; `first` and `last` are when
the command started and ended. A run that ended well and wrote nothing is a `nil_return`. The output
is an item of its own.
"""

from __future__ import annotations

import re
from typing import Any, BinaryIO

from ingest.parsers.bounded import clip, counted
from ingest.parsers.gathering import Gathered
from ingest.parsers.parser import Confidence, Reading
from ingest.parsers.records import RecordReader, Shape, shape_of
from ingest.parsers.times import read_time
from verify.facts import Config, Covered

_MARK = re.compile(rb'"evault_command"\s*:\s*1\b')
_ARGV = re.compile(rb'"argv"\s*:\s*\[')


class CommandParser:
    """Reads the record of one run."""

    name = "command"
    version = 1
    kinds = ("nil_return", "other")
    whole = True

    def detect(self, head: bytes, name: str) -> Confidence:
        """Certain where both keys are there."""
        del name
        marked = _MARK.search(head) and _ARGV.search(head)
        return Confidence.CERTAIN if marked and shape_of(head) else Confidence.NONE

    def read(self, stream: BinaryIO, name: str) -> Reading:
        """Read the record."""
        del name
        reader = RecordReader(stream, shape=Shape.SEQUENCE)
        facts = Gathered()
        runs: list[dict[str, Any]] = []
        for offset, value in reader:
            if isinstance(value, dict) and isinstance(value.get("argv"), list) and not runs:
                facts.record()
                runs.append(value)
                _take(facts, value)
            else:
                reader.note_bad(offset, "not the record of a run")
        run = runs[0] if runs else {}
        nil = run.get("exit_code") == 0 and _size(run, "stdout") == 0
        kinds = ("nil_return",) if nil and not reader.bad else ("other",)
        return Reading(facts.facts(self, damage=reader), kinds, "command", _summary(run))


def _take(facts: Gathered, run: dict[str, Any]) -> None:
    facts.time(run.get("started_at"))
    facts.time(run.get("ended_at"))
    facts.add("actions", _words(run))
    query, program = run.get("query"), run.get("program")
    query = query if isinstance(query, dict) else {}
    facts.add("scopes", query.get("source"))
    facts.add("platforms", query.get("system"))
    start, end = read_time(query.get("from")), read_time(query.get("to"))
    if start and end and start.text and end.text:
        facts.keep(Covered(start.text, end.text, query.get("source")))
    if isinstance(program, dict):
        facts.keep(Config("program", str(program.get("path")), None, program.get("sha256")))
    if run.get("signal"):
        facts.problem(clip(f"ended by {run['signal']}"))
    elif run.get("exit_code") != 0:
        facts.problem(clip(f"exit code {run.get('exit_code')}"))


def _words(run: dict[str, Any]) -> str:
    argv = run.get("argv")
    return clip(" ".join(str(word) for word in argv[:100])) if isinstance(argv, list) else ""


def _size(run: dict[str, Any], name: str) -> object:
    part = run.get(name)
    return part.get("size") if isinstance(part, dict) else None


def _summary(run: dict[str, Any]) -> str:
    if not run:
        return "not read"
    size = _size(run, "stdout")
    wrote = "wrote nothing"
    if isinstance(size, int) and not isinstance(size, bool) and 0 < size < 10**18:
        wrote = f"wrote {counted(size, 'byte')}"
    ended = run.get("signal") or f"exit code {run.get('exit_code')}"
    return clip(f"{clip(_words(run))[:120]}: {ended}, {wrote}")


PARSERS = (CommandParser(),)
