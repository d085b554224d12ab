"""An audit of a store: what its word is worth at each depth, and what it never stands for."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from verify.audit import BundleRecord, audit
from verify.bundle import open_bundle
from verify.errors import EvidenceError, MalformedError
from verify.incident import Exhibit
from verify.report import Finding, Outcome, Report, Verdict, render
from verify.trust import Step, parse_trust

GOLDEN = Path(__file__).parents[1] / "golden" / "worked-example"
TRUST = parse_trust((GOLDEN / "trust.json").read_bytes(), where="trust.json")
ASKED = Finding(Step.STORE, "", Outcome.PASSED, "2 objects are locked as the chain demands")


class Store:
    """A store that holds the worked example, and says of it what a test wants."""

    def __init__(
        self, bundle: BundleRecord, said: Sequence[Finding | EvidenceError], depth: str
    ) -> None:
        self.depth = depth
        self.said = said
        self.asked: list[str] = []
        self.reads = 0
        self._bundle = bundle

    def links(self) -> Iterator[tuple[int, bytes | EvidenceError]]:
        return self._bundle.links()

    def checkpoint(self) -> bytes:
        return self._bundle.checkpoint()

    def inclusion(self) -> tuple[int, list[int], list[str]]:
        return self._bundle.inclusion()

    def content(self, exhibit: Exhibit) -> str:
        self.reads += 1
        return self._bundle.content(exhibit)

    def description(self, exhibit: Exhibit) -> bytes:
        self.reads += 1
        return self._bundle.description(exhibit)

    def attested(self, exhibits: Sequence[Exhibit]) -> Iterable[Finding]:
        self.asked += [exhibit.item.exhibit for exhibit in exhibits]
        for each in self.said:
            if isinstance(each, EvidenceError):
                raise each
            yield each


def audited(
    *said: Finding | EvidenceError,
    depth: str = "checksums",
    require: Sequence[Step] = (),
    exhibits: Sequence[str] | None = None,
) -> tuple[Report, Store]:
    trust = replace(TRUST, required=(*TRUST.required, *require))
    with open_bundle(GOLDEN / "bundle.zip") as bundle:
        store = Store(BundleRecord(bundle), said, depth)
        return audit(store, trust, trusted=True, exhibits=exhibits), store


def told(report: Report, step: Step) -> list[tuple[str, Outcome]]:
    return [(each.detail, each.outcome) for each in report.findings if each.step == step]


def test_at_depth_checksums_nothing_is_read_and_nothing_is_called_verified() -> None:
    report, store = audited(ASKED)
    assert store.reads == 0
    assert store.asked == ["EV-0001", "EV-0002"]
    assert told(report, Step.EVIDENCE) == [("2 of 2 exhibits attested_by_store", Outcome.PASSED)]
    assert (report.verdict, report.depth) == (Verdict.PASSED, "checksums")
    shown = render(report, trust="trust.json")
    assert "attested_by_store" in shown
    assert "recomputed" not in shown
    assert "verified" not in shown


def test_at_depth_bytes_everything_is_read_whatever_the_store_says() -> None:
    report, store = audited(ASKED, depth="bytes")
    assert store.reads == 4
    assert told(report, Step.EVIDENCE) == [("2 of 2 digests recomputed", Outcome.PASSED)]
    assert report.depth == "bytes"


def test_at_depth_structure_the_store_is_not_asked() -> None:
    report, store = audited(ASKED, depth="structure")
    assert (store.asked, store.reads) == ([], 0)
    assert report.outcome_of(Step.EVIDENCE) == Outcome.NOT_CHECKED
    assert report.outcome_of(Step.STORE) == Outcome.NOT_CHECKED
    assert report.verdict == Verdict.INCONCLUSIVE


@pytest.mark.parametrize("depth", ["checksums", "bytes"])
@pytest.mark.parametrize("step", [Step.EVIDENCE, Step.STORE])
def test_what_the_store_denies_fails(depth: str, step: Step) -> None:
    denied = Finding(step, "EV-0001", Outcome.FAILED, "a delete marker lies over it")
    report, _ = audited(denied, depth=depth)
    assert report.failures() == [denied]
    assert (report.verdict, report.exit_code) == (Verdict.FAILED, 1)


def test_what_the_store_does_not_know_is_not_passed() -> None:
    unknown = Finding(Step.EVIDENCE, "EV-0001", Outcome.NOT_CHECKED, "it has no digest")
    report, _ = audited(unknown, ASKED)
    assert report.outcome_of(Step.EVIDENCE) == Outcome.NOT_CHECKED
    assert (report.verdict, report.exit_code) == (Verdict.INCONCLUSIVE, 2)


def test_a_store_that_cannot_be_asked_has_attested_nothing() -> None:
    report, _ = audited(ASKED, MalformedError("the answer does not parse"))
    assert told(report, Step.EVIDENCE) == [
        ("the store cannot be asked: the answer does not parse", Outcome.NOT_CHECKED)
    ]
    assert report.verdict == Verdict.INCONCLUSIVE


def test_bytes_that_were_read_need_no_word_of_the_store() -> None:
    refused = MalformedError("the answer does not parse")
    report, _ = audited(refused, depth="bytes")
    assert report.outcome_of(Step.EVIDENCE) == Outcome.PASSED
    assert report.outcome_of(Step.STORE) == Outcome.NOT_CHECKED
    assert report.verdict == Verdict.PASSED
    required, _ = audited(refused, depth="bytes", require=[Step.STORE])
    assert required.verdict == Verdict.INCONCLUSIVE


def test_a_required_store_step_passes_by_the_stores_word_alone() -> None:
    assert audited(ASKED, require=[Step.STORE])[0].verdict == Verdict.PASSED
    assert audited(require=[Step.STORE])[0].verdict == Verdict.INCONCLUSIVE


def test_only_the_exhibits_that_are_asked_for_are_asked_of_the_store() -> None:
    report, store = audited(ASKED, exhibits=["EV-0002"])
    assert store.asked == ["EV-0002"]
    assert report.exhibits == 1


def test_a_report_says_how_far_it_looked() -> None:
    for depth in ("checksums", "bytes", "structure"):
        report, _ = audited(ASKED, depth=depth)
        assert json.loads(json.dumps(report.to_json()))["depth"] == depth
