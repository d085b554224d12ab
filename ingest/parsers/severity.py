"""Severities of many scales on one: the source's own word stands beside it in the facts. No I/O."""

from __future__ import annotations

import re
from typing import Literal

Scale = Literal[
    "words", "asff", "cvss", "guardduty", "macie", "ocsf", "pagerduty", "sarif",
    "servicenow_priority", "servicenow_severity",
]  # fmt: skip
"""What a bare number or word means; `words` takes what means the same nearly everywhere."""

_WORDS = {
    **dict.fromkeys(("critical", "fatal", "emergency", "alert", "blocker", "highest"), "critical"),
    **dict.fromkeys(("high", "major", "severe", "error", "err", "crit"), "high"),
    **dict.fromkeys(("medium", "moderate", "warning", "warn", "normal"), "medium"),
    **dict.fromkeys(("low", "minor", "lowest", "trivial"), "low"),
    **dict.fromkeys(("info", "informational", "information", "notice", "none", "debug"), "info"),
}
_WORDS["crit"] = "critical"
_RANKS = {"0": "critical", "1": "critical", "2": "high", "3": "medium", "4": "low", "5": "info"}
_RANKED = re.compile(r"(?:sev|severity|p|priority)[\s_-]?([0-5])", re.ASCII)
_STEPS: dict[str, tuple[tuple[float, str], ...]] = {
    "asff": ((1, "info"), (40, "low"), (70, "medium"), (90, "high"), (101, "critical")),
    "cvss": ((0.1, "info"), (4, "low"), (7, "medium"), (9, "high"), (10.1, "critical")),
    "guardduty": ((1, "unknown"), (4, "low"), (7, "medium"), (9, "high"), (10.1, "critical")),
}
_EXACT: dict[str, dict[str, str]] = {
    "macie": {"1": "low", "2": "medium", "3": "high"},
    "ocsf": {"1": "info", "2": "low", "3": "medium", "4": "high", "5": "critical", "6": "critical"},
    "pagerduty": {"high": "high", "low": "low"},
    "sarif": {"none": "info", "note": "low", "warning": "medium", "error": "high"},
    "servicenow_priority": {"1": "critical", "2": "high", "3": "medium", "4": "low", "5": "info"},
    "servicenow_severity": {"1": "high", "2": "medium", "3": "low"},
}


def normalised(value: object, scale: Scale = "words") -> str:
    """The severity in the words of `verify.facts.SEVERITIES`; `unknown` if the scale has none."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return "unknown"
    text = str(value).strip().lower()
    if scale in _STEPS:
        return _stepped(text, scale)
    if scale in _EXACT:
        # "1 - High" and "3.0" are how exports write 1 and 3.
        number = re.match(r"\d+(?=\.0+\Z|\s-|\Z)", text)
        return _EXACT[scale].get(number[0] if number else text, _WORDS.get(text, "unknown"))
    if ranked := _RANKED.fullmatch(text):
        return _RANKS[ranked[1]]
    return _WORDS.get(text, "unknown")


def _stepped(text: str, scale: str) -> str:
    if not re.fullmatch(r"\d{1,3}(\.\d{1,9})?", text, re.ASCII):
        return _WORDS.get(text, "unknown")
    number = float(text)
    return next((word for below, word in _STEPS[scale] if number < below), "unknown")
