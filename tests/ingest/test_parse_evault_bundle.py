"""Bundles of our own: audited under their own keys, and what was changed in them is told."""

from __future__ import annotations

import base64
import io
import json
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from damage import check
from samples import MADE, zipped

from ingest.parsers import Confidence, evault_bundle, read_facts
from ingest.parsers.evault_bundle import EvaultBundleParser
from verify.__main__ import audit_bundle
from verify.digest import sha256_hex
from verify.facts import Config, Verdict

WORKED = Path(__file__).parents[1] / "golden" / "worked-example"
BUNDLE = (WORKED / "bundle.zip").read_bytes()
INCIDENT = "INC-2026-0001"
STEPS = ("chain", "evidence", "log", "package", "pages", "signatures")


def members(data: bytes = BUNDLE) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_verdict_is_that_of_an_audit_under_its_own_keys() -> None:
    reading = check(BUNDLE)
    facts = reading.facts
    report = audit_bundle(WORKED / "bundle.zip", trust_file=None)
    assert report.verdict.value == "inconclusive"
    assert facts.verdicts == (
        Verdict("audit", "inconclusive", INCIDENT),
        *(Verdict(f"audit: {step}", "passed", INCIDENT) for step in STEPS),
    )
    assert (facts.records, facts.runs) == (report.links, (INCIDENT,))
    trust = (WORKED / "trust.json").read_bytes()
    origin = json.loads(trust)["origin"]
    assert facts.configs == (Config("trust", origin, None, sha256_hex(trust)),)
    assert facts.problems == (
        "judged by its own copy of the keys: compare the trust file's digest",
    )
    assert reading.kinds == ("reference",)
    assert reading.summary == f"{INCIDENT}: 4 links, 2 exhibits; nothing failed"


def test_its_times_are_those_of_its_links() -> None:
    facts = check(BUNDLE).facts
    recorded = []
    for name, data in members().items():
        if "/data/chain/" in name:
            payload = base64.b64decode(json.loads(data)["payload"])
            recorded.append(json.loads(payload)["predicate"]["recorded_at"])
    assert len(recorded) == 4
    assert (facts.clock, facts.raw_first, facts.raw_last) == (
        "zoned",
        min(recorded),
        max(recorded),
    )


def test_packed_harder_it_says_the_same() -> None:
    deflated = MADE["evault-bundle"]["bundle.zip"]
    assert len(deflated) < len(BUNDLE)
    assert check(deflated) == check(BUNDLE)


def test_an_exhibit_that_was_changed_is_named() -> None:
    changed = members()
    (name,) = (each for each in changed if each.endswith("EV-0001/trace.json"))
    changed[name] = changed[name].replace(b"a", b"b", 1)
    reading = check(zipped(changed))
    assert Verdict("audit", "failed", INCIDENT) in reading.facts.verdicts
    assert Verdict("audit: evidence", "failed", "EV-0001 trace.json") in reading.facts.verdicts
    assert Verdict("audit: signatures", "passed", INCIDENT) in reading.facts.verdicts
    assert "failed: " in reading.summary
    assert "evidence" in reading.summary


def test_a_link_that_was_changed_or_taken_away_is_named() -> None:
    changed = members()
    (name,) = (each for each in changed if each.endswith("chain/00000001.json"))
    del changed[name]
    facts = check(zipped(changed)).facts
    assert Verdict("audit", "failed", INCIDENT) in facts.verdicts
    assert Verdict("audit: chain", "failed", "link 1") in facts.verdicts
    assert facts.records == 3


def test_what_is_no_intact_bundle_failed() -> None:
    for data in (BUNDLE[:60_000], BUNDLE[:-1], BUNDLE + b"x"):
        reading = check(data)
        assert reading.facts.parser == "evault-bundle"
        assert reading.facts.verdicts == (Verdict("audit", "failed"),)
        assert reading.facts.problems == ("not an intact bundle, or without a trust file",)
    lacking = members()
    del lacking[f"{INCIDENT}/data/trust/trust.json"]
    assert check(zipped(lacking)).facts.verdicts == (Verdict("audit", "failed"),)


def test_a_bundle_is_audited_up_to_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evault_bundle, "MOST", 70_000)
    reading = check(BUNDLE)
    assert reading.facts.verdicts == (Verdict("audit", "inconclusive"),)
    monkeypatch.setattr(evault_bundle, "RATIO", 1)
    packed = MADE["evault-bundle"]["bundle.zip"]
    monkeypatch.setattr(evault_bundle, "MOST", len(packed))
    assert check(packed).facts.problems == ("unpacks to far more than it is: not audited",)


def test_the_copy_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert check(BUNDLE).facts.records == 4
    assert check(BUNDLE[:60_000]).facts.records == 0
    assert list(tmp_path.iterdir()) == []


class FullDisk:
    """A file on a disk that has no room."""

    name = "/nowhere"

    def __enter__(self) -> FullDisk:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def write(self, _data: bytes) -> int:
        raise OSError(28, "No space left on device")


def test_without_room_for_a_copy_nothing_is_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: Any) -> FullDisk:
        return FullDisk()

    monkeypatch.setattr(tempfile, "NamedTemporaryFile", full)
    reading = check(BUNDLE)
    assert (reading.facts.version, reading.facts.verdicts) == (0, ())
    assert reading.facts.problems == ("not audited: No space left on device",)


def test_an_error_of_the_stream_passes_through() -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() > 9000:
                raise OSError(5, "Input/output error")
            return super().read(9001 if size is None else min(size, 9001))

    with pytest.raises(OSError, match="Input/output error"):
        read_facts(Broken(BUNDLE), head=BUNDLE[: 64 << 10], name="b.zip")


def test_only_bundles_are_claimed() -> None:
    detect = EvaultBundleParser().detect
    assert detect(BUNDLE[: 64 << 10], "x") is Confidence.CERTAIN
    other = zipped({"bag/bagit.txt": b"x", "bag/data/photo.jpg": b"y"})
    assert detect(other, "bundle.zip") is Confidence.NONE
    assert check(other).facts.parser == "zip"
    assert detect(b"PK\x03\x04", "x") is Confidence.NONE
