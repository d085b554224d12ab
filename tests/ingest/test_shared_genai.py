"""Every real trace at hand is recognised as what it is: the copied samples, and all shared data.

The shared data lie beside the repository where they exist; the copied samples are always there.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from damage import read

ROOT = Path(__file__).parents[2]
FORMATS = (
    "langfuse",
    "langsmith",
    "openinference",
    "otel-genai-cloudwatch",
    "otel-genai-spans",
    "otlp-json",
    "otlp-protobuf",
)
PATHS = sorted(
    path
    for folder in (ROOT / "tests" / "data", ROOT.parent / "shared" / "data")
    for name in FORMATS
    for path in (folder / name).glob("*")
    if path.name != "SOURCE.md"
)


def identities(value: Any) -> set[str]:
    """All ids of traces that a document mentions, wherever it does."""
    if isinstance(value, list):
        return {found for each in value for found in identities(each)}
    if not isinstance(value, dict):
        return set()
    own = {value[key] for key in ("traceId", "trace_id") if isinstance(value.get(key), str)}
    return own | {found for each in value.values() for found in identities(each)}


@pytest.mark.parametrize(
    "path",
    PATHS,
    ids=lambda path: f"{path.parent.parent.parent.name}-{path.parent.name}-{path.stem}",
)
def test_a_file_is_recognised_as_what_it_is(path: Path) -> None:
    data = path.read_bytes()
    reading = read(data, path.name)
    facts = reading.facts
    assert facts.parser == facts.format == path.parent.name
    assert facts.records > 0
    assert facts.bad_records == 0
    assert facts.capped == ()
    assert facts.clock == "zoned"
    assert facts.first is not None
    assert facts.last is not None
    assert "2018-12-13" <= facts.first <= facts.last < "2027"
    if path.suffix == ".json":
        expected = {found.lower() for found in identities(json.loads(data))}
        assert set(facts.traces) == expected
    assert read(data, "another.bin") == reading
    assert read(gzip.compress(data), "x.gz").facts == facts


def test_the_two_files_of_one_session_join() -> None:
    folder = ROOT / "tests" / "data" / "otel-genai-cloudwatch"
    spans = read((folder / "spans.json").read_bytes()).facts
    logs = read((folder / "runtime_logs.json").read_bytes()).facts
    assert set(logs.traces) < set(spans.traces)
    assert logs.sessions == spans.sessions
    assert "message content" in spans.not_captured
    assert "message content" not in logs.not_captured
