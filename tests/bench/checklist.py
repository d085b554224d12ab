"""The checklist over very many exhibits, in one process: what a report costs as a chain grows.

A chain of captures, 100 items each, is folded and judged at an eighth, a quarter, a half and all of
EVAULT_BENCH_REPORT_ITEMS (default 100000). Linear cost is the goal: the seconds for each thousand
items stay as they are (CPU time). Signatures are not checked here, and descriptions are in memory.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from chain_story import INCIDENT, manifest_of
from telling import DEFAULT, Telling, answered, facts, moment, span
from telling import time as instant

from verify.checklist import assess, encode_report
from verify.description import Description
from verify.digest import sha256_hex
from verify.facts import Activity, Decision, Facts
from verify.incident import Incident
from verify.statement import (
    MIN_PART_SIZE,
    Capture,
    Described,
    Item,
    Link,
    Place,
    Stored,
    Subject,
    Type,
)

ITEMS = int(os.environ.get("EVAULT_BENCH_REPORT_ITEMS", "100000"))
IN_ONE = 100


def measure() -> None:
    """Print a line for each size."""
    for part in (8, 4, 2, 1):
        items = ITEMS // part
        incident, described, folded = _incident(items)
        started = time.process_time()
        report = encode_report(assess(DEFAULT, incident, described, as_of=moment(5_000)))
        judged = time.process_time() - started
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"report over {items:>7,} items, {incident.sequence + 1:>5,} links: "
            f"fold {folded:5.2f} s, judge {judged:5.2f} s ({judged / items * 1e6:5.1f} ms a "
            f"thousand), {len(report) / 1000:,.0f} kB; process {memory:,.0f} MB"
        )


def _incident(items: int) -> tuple[Incident, dict[str, Description], float]:
    """The answered incident, with access logs of a minute each behind it."""
    tell: Telling = answered()
    incident, described, _ = tell.fold()
    starts = range(0, items, IN_ONE)
    captures = [_capture(len(described) + n, min(IN_ONE, items - n)) for n in starts]
    started = time.process_time()
    for capture, subject in captures:
        link = Link(INCIDENT, incident.sequence + 1, incident.leaf)
        incident.apply(manifest_of(Type.CAPTURE, capture.to_json(), link, subject=subject))
    folded = time.process_time() - started
    sample = next(iter(described.values()))
    for number, name in enumerate(incident.exhibits):
        if name not in described:
            described[name] = replace(sample, name=name, facts=_facts(number))
    return incident, described, folded


def _capture(before: int, count: int) -> tuple[Capture, tuple[Subject, ...]]:
    place = Place(key="artifacts/01KB0000000000000000000000")
    found = []
    for number in range(before + 1, before + count + 1):
        name = f"EV-{number:04d}"
        digest = sha256_hex(name.encode())
        stored = Stored("identity", digest, 1, MIN_PART_SIZE, ())
        kinds = ("access_log", "tool_trace")[number % 2 : number % 2 + 1]
        found.append(Item(name, kinds, digest, 1, stored, place, Described(digest, 1, place)))
    capture = Capture("crm", None, "files", {}, f"c{before}", 1, 1, tuple(found), (), 0, None)
    return capture, tuple(Subject(item.exhibit, item.sha256) for item in found)


def _facts(number: int) -> Facts:
    start = -(number % 1_400) - 2
    return facts(
        **span(start, start + 1),
        principals=("agent@crm", f"user-{number % 500}"),
        activities=(Activity("agent@crm", instant(start), instant(start + 1), 3),),
        datasets=("s3://crm/customers",),
        actions=("GetObject",),
        decisions=(Decision("allowed", 3),),
        scopes=("eu-west-1",),
        runs=("run-7",),
    )


if __name__ == "__main__":
    measure()
