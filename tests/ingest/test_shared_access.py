"""Every real access log is recognised as what it is: the copied samples, and all where they lie."""

from __future__ import annotations

import gzip
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from samples import DATA

from ingest.parsers import HEAD_SIZE, Reading, read_facts

SHARED = Path(__file__).parents[3] / "shared" / "data"
FOLDERS = {
    "cloudtrail": "cloudtrail",
    "cloudtrail-jsonl": "cloudtrail",
    "cloudtrail-zoneless": "cloudtrail",
    "cloudtrail-digest": "cloudtrail-digest",
    "s3-access": "s3-access",
    "gcp-audit": "gcp-audit",
    "k8s-audit": "k8s-audit",
    "azure-activity": "azure-activity",
    "entra-signin": "entra-signin",
    "o365-audit": "o365-audit",
    "web-access": "web-access",
    "auditd": "auditd",
    "pgaudit": "postgresql",
    "ocsf": "ocsf",
}
NONE_BAD = {"audit-rhel7.log": 1}
"""How many bad lines a file has, if any: `type=UNKNOWN[1329] msg=?`."""


def files() -> list[Path]:
    """The samples, and every shared file where those are."""
    return sorted(
        path
        for root in (DATA, SHARED)
        for folder in FOLDERS
        for path in root.glob(f"{folder}/*")
        if path.is_file() and not path.name.startswith(("SOURCE", "LICENSE"))
    )


def read(path: Path) -> Reading:
    data = path.read_bytes()
    return read_facts(io.BytesIO(data), head=data[:HEAD_SIZE], name=path.name)


def of(*parsers: str) -> Any:
    """The files of these parsers."""
    paths = [path for path in files() if FOLDERS[path.parent.name] in parsers]
    return pytest.mark.parametrize(
        "path", paths, ids=lambda path: f"{path.parent.name}/{path.name}"
    )


def records_of(path: Path) -> list[dict[str, Any]]:
    """The records of a JSON file, in the plainest way."""
    data = path.read_bytes()
    text = (gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data).decode()
    try:
        document = json.loads(text)
    except json.JSONDecodeError:
        document = [json.loads(line) for line in text.splitlines()]
    if isinstance(document, list):
        return document
    for key in ("Records", "records"):
        if key in document:
            return list(document[key])
    return [document]


@of(*set(FOLDERS.values()))
def test_a_real_log_is_recognised_as_what_it_is(path: Path) -> None:
    reading = read(path)
    facts = reading.facts
    assert facts.parser == FOLDERS[path.parent.name]
    assert facts.bad_records == NONE_BAD.get(path.name, 0)
    assert facts.capped == ()
    assert facts.records or reading.kinds == ("nil_return",)


@of("cloudtrail")
def test_cloudtrail_says_who_did_what_when(path: Path) -> None:
    events = [
        json.loads(each["CloudTrailEvent"]) if "CloudTrailEvent" in each else each
        for each in records_of(path)
    ]
    facts = read(path).facts
    assert facts.records == len(events)
    times = sorted(each["eventTime"] for each in events)
    assert (facts.raw_first, facts.raw_last) == (times[0], times[-1])
    assert facts.clock == ("zoned" if times[0].endswith("Z") else "unzoned")
    arns = {each["userIdentity"].get("arn") for each in events} - {None}
    assert set(facts.principals) == arns
    errors = sum("errorCode" in each for each in events)
    assert sum(each.count for each in facts.decisions if each.decision != "allowed") == errors
    refused = sum(
        bool(re.search("AccessDenied|Unauthorized", each.get("errorCode", ""))) for each in events
    )
    assert sum(each.count for each in facts.decisions if each.decision == "denied") == refused


@of("gcp-audit", "k8s-audit", "azure-activity", "entra-signin", "o365-audit", "ocsf")
def test_records_and_ends_are_those_of_the_file(path: Path) -> None:
    records = records_of(path)
    facts = read(path).facts
    assert facts.records == len(records)
    key = {
        "gcp-audit": "timestamp",
        "k8s-audit": "requestReceivedTimestamp",
        "o365-audit": "CreationTime",
        "ocsf": "time",
    }.get(facts.parser)
    if key is not None:
        times = sorted(str(each[key]) for each in records)
        assert (facts.raw_first, facts.raw_last) == (times[0], times[-1])
    assert facts.clock == "zoned"


@of("s3-access", "web-access", "auditd")
def test_records_are_the_lines_of_the_file(path: Path) -> None:
    lines = path.read_text().splitlines()
    facts = read(path).facts
    assert facts.records + facts.bad_records == len(lines)


@of("postgresql")
def test_audit_records_are_told_from_a_plain_log(path: Path) -> None:
    audits = len(re.findall(r"AUDIT: (?:SESSION|OBJECT)", path.read_text()))
    reading = read(path)
    assert reading.facts.format == ("pgaudit" if audits else "postgresql")
    if audits:
        assert f"{audits} audit record" in reading.summary


@of("cloudtrail-digest")
def test_a_digest_covers_its_interval(path: Path) -> None:
    document = json.loads(path.read_text())
    facts = read(path).facts
    [covered] = facts.coverage
    assert (covered.start, covered.end) == (
        document["digestStartTime"],
        document["digestEndTime"],
    )
    assert facts.records == len(document["logFiles"])
