"""garak: reports of the LLM vulnerability scanner, one entry a line. The scores are its own.

`eval` says, for a probe and a detector, how many outputs were evaluated and how many failed: a
validation, and where some failed a finding with that count. `init` and `completion` carry times
without a zone, so that they name no instant. `attempt` holds the prompts that the scanner sent, not
those of an incident, and stands in the report twice: when it was sent, and with its scores.
"""

from __future__ import annotations

import re
from typing import Any, BinaryIO

from ingest.parsers.bounded import counted, said
from ingest.parsers.gathering import Gathered
from ingest.parsers.parser import Confidence, Reading
from ingest.parsers.reach import first_records, word
from ingest.parsers.records import RecordReader, shape_of
from verify.facts import Detector, Validation

_MARK = re.compile(rb'"entry_type"\s*:\s*"(?:start_run setup|init|attempt|eval|completion|digest)"')
_ENTRIES = frozenset(("start_run setup", "init", "attempt", "eval", "completion", "digest"))
_OURS = re.compile(rb'"(?:garak_version|probe_classname|_config\.version)"|garak')
_DONE = 2


class GarakParser:
    """Reads a report."""

    name = "garak"
    version = 1
    kinds = ("validation", "guardrail_alert")
    whole = True

    def detect(self, head: bytes, name: str) -> Confidence:
        """Certain where the first records are entries of a report."""
        del name
        if not _MARK.search(head) or not _OURS.search(head) or shape_of(head) is None:
            return Confidence.NONE
        first = first_records(head)
        known = [value for value in first if _is_entry(value) and value["entry_type"] in _ENTRIES]
        if first and len(known) == len(first):
            return Confidence.CERTAIN
        return Confidence.LIKELY if known or not first else Confidence.NONE

    def read(self, stream: BinaryIO, name: str) -> Reading:
        """Read every entry; what is none counts as a bad record."""
        del name
        reader = RecordReader.of_any_shape(stream, resumes_at=_is_entry)
        gathered = Gathered()
        report = _Report(gathered)
        for offset, value in reader:
            if _is_entry(value):
                gathered.record()
                report.take(value)
            else:
                reader.note_bad(offset, "not an entry of a report")
        kinds = self.kinds if report.failed else self.kinds[:1]
        gathered.keep(Detector("garak", report.version))
        if not report.ended:
            gathered.problem("the run was not completed")
        told = (
            f"{counted(report.attempts, 'attempt')}, {counted(report.evaluations, 'evaluation')}, "
            f"{report.failed:,} of {counted(report.evaluated, 'output')} failed"
        )
        return Reading(gathered.facts(self, damage=reader), kinds, "garak report", told)


def _is_entry(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("entry_type"), str)


class _Report:
    """What the entries taken so far say."""

    def __init__(self, gathered: Gathered) -> None:
        self._gathered = gathered
        self.version: str | None = None
        self.attempts = 0
        self.evaluations = 0
        self.evaluated = 0
        self.failed = 0
        self.ended = False

    def take(self, entry: dict[str, Any]) -> None:
        """Take one entry."""
        gathered, kind = self._gathered, entry["entry_type"]
        if kind == "init":
            self.version = said(entry.get("garak_version"))
            gathered.time(entry.get("start_time"))
            gathered.add("runs", entry.get("run"))
        elif kind == "start_run setup":
            name = entry.get("plugins.target_name") or entry.get("plugins.model_name")
            gathered.model(requested=name)
            target = entry.get("plugins.target_type") or entry.get("plugins.model_type")
            gathered.add("platforms", target)
        elif kind == "completion":
            self.ended = True
            gathered.time(entry.get("end_time"))
        elif kind == "attempt":
            self.attempts += entry.get("status") == _DONE
        elif kind == "eval":
            self._take_evaluation(entry)

    def _take_evaluation(self, entry: dict[str, Any]) -> None:
        probe, detector = word(entry.get("probe")), word(entry.get("detector"))
        # Older reports have `total` where newer ones count what could not be evaluated too.
        total = _count(entry.get("total_evaluated", entry.get("total")))
        failed = _count(entry.get("fails", total - _count(entry.get("passed"))))
        self.evaluations += 1
        self.evaluated += total
        self.failed += failed
        result = "inconclusive" if not total else "failed" if failed else "passed"
        name = f"garak {probe} / {detector}"
        self._gathered.keep(Detector(f"garak {detector}", self.version))
        self._gathered.keep(Validation(name, result))
        if failed:
            self._gathered.finding(f"garak {detector}", probe, count=failed)


def _count(value: object) -> int:
    sound = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 40
    return value if sound and isinstance(value, int) else 0


PARSERS = (GarakParser(),)
