"""SARIF 2.1: what a static analysis, or any other scanner, reported. Judges nothing.

A record is a run: one tool, its rules, its results. A run longer than a record may be is a bad one.

- The level of a result without one is that of its rule, and `warning` where the rule has none; the
  rule is named by `ruleId`, by its index, or by its index in an extension. Results that say that
  something passed, or does not apply, are no findings.
- A suppression is a waiver: accepted, also where no status is given (SARIF 3.35), under review, or
  rejected. SARIF does not say who gave it, nor when. A result counts as suppressed if one of its
  suppressions is accepted.
- Only invocations carry times. A finding has one if its run had one invocation that ended.
- A run without a `results` list says that nothing was scanned, not that nothing was found.
"""

from __future__ import annotations

import re
from typing import Any, BinaryIO

from ingest.parsers.bounded import counted, said
from ingest.parsers.gathering import Gathered
from ingest.parsers.parser import Confidence, Reading
from ingest.parsers.reach import objects, reach, word
from ingest.parsers.records import RecordReader, Shape, shape_of
from ingest.parsers.times import Time
from verify.facts import Approval, Config, Detector

_KEYS = ("runs",)
_SCHEMA = re.compile(rb'"\$schema"\s*:\s*"[^"]{0,300}sarif[^"]{0,100}"', re.I)
_VERSION = re.compile(rb'"version"\s*:\s*"2\.\d')
_TOOL = re.compile(rb'"driver"\s*:')
_NO_FINDING = ("pass", "notApplicable")
_STATES = {"accepted": "approved", "underReview": "requested", "rejected": "rejected"}


class SarifParser:
    """Reads a log of runs."""

    name = "sarif"
    version = 1
    kinds = ("guardrail_alert", "approval")
    whole = True

    def detect(self, head: bytes, name: str) -> Confidence:
        """Certain where runs open at the top level, and the schema or a tool's driver is named."""
        del name
        if not _VERSION.search(head) or not (_SCHEMA.search(head) or _TOOL.search(head)):
            return Confidence.NONE
        if shape_of(head, keys=_KEYS) is Shape.KEYED:
            return Confidence.CERTAIN
        return Confidence.LIKELY if _SCHEMA.search(head) and b'"runs"' in head else Confidence.NONE

    def read(self, stream: BinaryIO, name: str) -> Reading:
        """Read the runs; what is no run counts as a bad record."""
        del name
        reader = RecordReader(
            stream, shape=Shape.KEYED, keys=_KEYS, keep=("version",), resumes_at=_is_run
        )
        log = _Log()
        for offset, value in reader:
            if _is_run(value):
                log.take(value)
            else:
                reader.note_bad(offset, "not a run")
        gathered = log.gathered
        if gathered.records and gathered.clock.quality == "none":
            gathered.add("not_captured", "times")
        parts = [counted(gathered.records, "run"), counted(log.results, "result")]
        if log.suppressed:
            parts.append(f"{log.suppressed:,} suppressed")
        kinds = self.kinds if log.waived else self.kinds[:1]
        return Reading(gathered.facts(self, damage=reader), kinds, "SARIF", ", ".join(parts))


def _is_run(value: Any) -> bool:
    return isinstance(reach(value, "tool", "driver"), dict)


class _Log:
    """What the runs taken so far say."""

    def __init__(self) -> None:
        self.gathered = Gathered()
        self.results = 0
        self.suppressed = 0
        self.waived = False

    def take(self, run: dict[str, Any]) -> None:
        """Take one run."""
        gathered = self.gathered
        gathered.record()
        tool = word(reach(run, "tool", "driver", "name")) or "(unnamed)"
        driver, extensions = reach(run, "tool", "driver"), reach(run, "tool", "extensions")
        for part in (driver, *objects(extensions)):
            version = part.get("semanticVersion") or part.get("version")
            gathered.keep(Detector(word(part.get("name")) or "(unnamed)", said(version)))
        for key in ("id", "guid"):
            gathered.add("runs", reach(run, "automationDetails", key))
        for source in objects(run.get("versionControlProvenance")):
            repository, revision = source.get("repositoryUri"), source.get("revisionId")
            gathered.keep(Config("commit", word(repository), said(revision)))
        ended = self._take_invocations(run.get("invocations"))
        results = run.get("results")
        if not isinstance(results, list):
            gathered.count_problem("run", "without results: nothing was scanned")
        rules = _Rules(run)
        for result in objects(results):
            if result.get("kind") not in _NO_FINDING:
                self._take_result(tool, rules.of(result), result, ended)

    def _take_invocations(self, invocations: Any) -> Time | None:
        """The end of the one invocation, if there was one."""
        ends: list[Time | None] = []
        for invocation in objects(invocations):
            self.gathered.time(invocation.get("startTimeUtc"))
            ends.append(self.gathered.time(invocation.get("endTimeUtc")))
            if invocation.get("executionSuccessful") is False:
                self.gathered.count_problem("invocation", "that did not succeed")
            for key in ("toolExecutionNotifications", "toolConfigurationNotifications"):
                number = sum(1 for _ in objects(invocation.get(key)))
                self.gathered.count_problem("notification", "of the tool about itself", number)
        return ends[0] if len(ends) == 1 else None

    def _take_result(
        self, tool: str, rule: Any, result: dict[str, Any], ended: Time | None
    ) -> None:
        self.results += 1
        label = word(reach(result, "ruleId") or reach(result, "rule", "id") or reach(rule, "id"))
        level = result.get("level") or _default_level(result, rule)
        states = [
            _STATES.get(str(each.get("status", "accepted")), "requested")
            for each in objects(result.get("suppressions"))
        ]
        disposition = said(result.get("baselineState"))
        if "approved" in states:
            self.suppressed += 1
            disposition = "suppressed"
        elif "requested" in states:
            disposition = "suppression under review"
        self.gathered.finding(
            tool, label, time=ended, disposition=disposition, severity=level, scale="sarif"
        )
        for state in states:
            self.waived = True
            self.gathered.keep(
                Approval(f"suppress {tool} {label}", state, reference=said(_place(result)))
            )


class _Rules:
    """The rules of a run's tool."""

    def __init__(self, run: dict[str, Any]) -> None:
        self._tool = run.get("tool")
        self._named: dict[str, dict[str, Any]] = {}
        for rule in objects(reach(self._tool, "driver", "rules")):
            self._named.setdefault(word(rule.get("id")), rule)

    def of(self, result: dict[str, Any]) -> Any:
        """The rule of a result: of the driver, or of the extension it points to."""
        holder = reach(self._tool, "driver")
        extension = reach(result, "rule", "toolComponent", "index")
        if _is_index(extension):
            holder = reach(self._tool, "extensions", extension)
        index = result.get("ruleIndex", reach(result, "rule", "index"))
        if _is_index(index):
            return reach(holder, "rules", index)
        return self._named.get(word(result.get("ruleId") or reach(result, "rule", "id")))


def _is_index(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _default_level(result: dict[str, Any], rule: Any) -> str:
    """The level of a result that gives none (SARIF 3.27.10)."""
    if result.get("kind", "fail") != "fail":
        return "none"
    level = reach(rule, "defaultConfiguration", "level")
    return level if isinstance(level, str) and level else "warning"


def _place(result: dict[str, Any]) -> str | None:
    """What tells a result from others of its rule: a fingerprint, else where it is."""
    for key in ("fingerprints", "partialFingerprints"):
        prints = result.get(key)
        if isinstance(prints, dict) and prints:
            return word(prints[min(prints)])
    place = reach(result, "locations", 0, "physicalLocation")
    uri, line = reach(place, "artifactLocation", "uri"), reach(place, "region", "startLine")
    return f"{word(uri)}:{word(line)}" if word(uri) else None


PARSERS = (SarifParser(),)
