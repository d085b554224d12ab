"""Microsoft Presidio: which kinds of personal data an analyzer found, and what became of them.

Answers of the analyzer are lists of results (`entity_type`, `start`, `end`, `score`), or for a
batch of texts lists of such lists; answers of the anonymizer list `items` with an `operator`. They
are found wherever they lie in a record, for instance in the examples of the API's documentation.

There is neither time nor text: offsets count code points of a text that is somewhere else. What
replaced the data (`text` of an item) stays out of the facts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from ingest.parsers.bounded import counted
from ingest.parsers.gathering import Gathered
from ingest.parsers.parser import Confidence, Reading
from ingest.parsers.reach import first_records, reach, word
from ingest.parsers.records import RecordReader, shape_of
from verify.facts import Detector

_MARKS = tuple(re.compile(rb'"' + key + rb'"\s*:') for key in (b"entity_type", b"start", b"end"))
_MORE = re.compile(rb'"(?:score|operator)"\s*:')
_DETECTOR = "presidio"


class PresidioParser:
    """Reads answers of the analyzer and the anonymizer."""

    name = "presidio"
    version = 1
    kinds = ("dlp_finding",)
    whole = True

    def detect(self, head: bytes, name: str) -> Confidence:
        """Certain where one of the first records holds a result."""
        del name
        if not all(mark.search(head) for mark in _MARKS) or not _MORE.search(head):
            return Confidence.NONE
        if shape_of(head) is None:
            return Confidence.NONE
        first = first_records(head)
        if any(True for value in first for _ in _results(value)):
            return Confidence.CERTAIN
        return Confidence.NONE if first else Confidence.LIKELY

    def read(self, stream: BinaryIO, name: str) -> Reading:
        """Read every result; a record is what holds some."""
        del name
        reader = RecordReader.of_any_shape(stream, resumes_at=_is_result)
        gathered = Gathered()
        found = 0
        for _, value in reader:
            results = list(_results(value))
            gathered.record()
            for result in results:
                found += 1
                detector = _recognizer(result)
                gathered.keep(Detector(_DETECTOR, None, detector))
                label, operator = result["entity_type"], result.get("operator")
                gathered.finding(_DETECTOR, label, disposition=operator)
        gathered.add("not_captured", "analysed text", "times")
        told = f"{counted(found, 'result')}, no times"
        return Reading(gathered.facts(self, damage=reader), self.kinds, "Presidio", told)


def _is_result(value: Any) -> bool:
    if not isinstance(value, dict) or not isinstance(value.get("entity_type"), str):
        return False
    placed = all(isinstance(value.get(key), int) for key in ("start", "end"))
    return placed and ("score" in value or "operator" in value)


def _results(value: Any) -> Iterator[dict[str, Any]]:
    """The results in a record; records nest no deeper than their reader allows."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if _is_result(each):
            yield each
        elif isinstance(each, dict):
            waiting += each.values()
        elif isinstance(each, list):
            waiting += each


def _recognizer(result: dict[str, Any]) -> str | None:
    named = reach(result, "analysis_explanation", "recognizer")
    return word(named or reach(result, "recognition_metadata", "recognizer_name")) or None


PARSERS = (PresidioParser(),)
