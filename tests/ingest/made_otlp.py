"""OTLP JSON made for tests: what no licensed sample shows."""

from __future__ import annotations

from typing import Any

TRACE = "5b8efff798038103d269b633813fc60c"
START = 1_700_000_000_000_000_000
"""2023-11-14T22:13:20Z"""


def attribute(key: str, value: object) -> dict[str, Any]:
    return {"key": key, "value": any_value(value)}


def any_value(value: object) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, dict):
        pairs = [attribute(key, inner) for key, inner in value.items()]
        return {"kvlistValue": {"values": pairs}}
    if isinstance(value, list):
        return {"arrayValue": {"values": [any_value(each) for each in value]}}
    return {"stringValue": value}


def span(number: int, about: dict[str, object] | None = None, **more: Any) -> dict[str, Any]:
    """A span, a second long, whose parent is the one before."""
    return {
        "traceId": TRACE,
        "spanId": f"{number:016x}",
        "parentSpanId": f"{number - 1:016x}" if number > 1 else "",
        "name": f"span {number}",
        "kind": 1,
        "startTimeUnixNano": str(START + number * 10**9),
        "endTimeUnixNano": str(START + (number + 1) * 10**9),
        "attributes": [attribute(key, value) for key, value in (about or {}).items()],
        "status": {},
    } | more


def record(about: dict[str, object], said: object = None, **more: Any) -> dict[str, Any]:
    return {
        "timeUnixNano": str(START),
        "traceId": TRACE,
        "spanId": f"{1:016x}",
        "attributes": [attribute(key, value) for key, value in about.items()],
        "body": any_value(said),
    } | more


def traces(*spans: object, resource: dict[str, object] | None = None) -> dict[str, Any]:
    about = [attribute(key, value) for key, value in (resource or {}).items()]
    scopes = [{"scope": {"name": "library"}, "spans": [*spans]}]
    return {"resourceSpans": [{"resource": {"attributes": about}, "scopeSpans": scopes}]}


def logs(*records: object) -> dict[str, Any]:
    return {"resourceLogs": [{"resource": {}, "scopeLogs": [{"logRecords": [*records]}]}]}
