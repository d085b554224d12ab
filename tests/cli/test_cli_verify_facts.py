"""`evault verify BUNDLE --facts`: signed facts come out of the bytes again, or it is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli_support import DEMO, SAMPLES, Evault, run

from cli.commands import verify as command
from ingest.parsers import BUILT_IN, with_third_parties
from verify.recompute import ReadFacts


@pytest.fixture
def bundle(evault: Evault, case: str) -> Path:
    evault.file("words.txt", b"one\ntwo\n")
    evault.file("empty", b"")
    evault("ingest", case, DEMO / "agent", SAMPLES / "cloudtrail", "words.txt", "empty")
    evault("capture", "--", "true")
    path = evault.folder / "case.zip"
    evault("export", "-o", path, "--purpose", "p")
    return path


def facts_findings(report: Any) -> list[tuple[str, str, str]]:
    return [
        (each["subject"], each["outcome"], each["detail"])
        for each in report["findings"]
        if each["step"] == "facts"
    ]


def test_signed_facts_come_out_of_the_bytes_again(evault: Evault, bundle: Path) -> None:
    said = evault.answer("verify", "verify", bundle, "--facts")
    assert said["verdict"] == "passed"
    count = run("evidence", "list", "--json").json["counts"]["items"]
    assert facts_findings(said) == [
        ("", "passed", f"{count} recomputed from their bytes to the signed ones")
    ]
    assert "facts" in said["required"]
    assert facts_findings(evault.answer("verify", "verify", bundle)) == []


def altered(change: Callable[[Any], Any]) -> Callable[[], ReadFacts]:
    """A reader whose facts are changed: as if the vault had signed others."""
    original = command._facts_reader

    def make() -> ReadFacts:
        read = original()
        return lambda stream, name: change(read(stream, name))

    return make


def test_facts_that_the_bytes_do_not_give_fail(
    evault: Evault, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    def more(facts: Any) -> Any:
        return replace(facts, records=facts.records + 1) if facts.parser == "text" else facts

    monkeypatch.setattr(command, "_facts_reader", altered(more))
    said = evault.answer("verify", "verify", bundle, "--facts", code=1)
    assert said["verdict"] == "failed"
    [(subject, outcome, detail)] = facts_findings(said)
    assert outcome == "failed"
    assert detail == "signed facts differ from recomputed ones in records"
    assert subject.startswith("EV-")


def test_what_another_version_made_is_superseded(
    evault: Evault, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Later(type(next(each for each in BUILT_IN if each.name == "text"))):  # type: ignore[misc]
        version = 99

    newer = tuple(Later() if each.name == "text" else each for each in with_third_parties([]))
    monkeypatch.setattr(command, "parsers", lambda: newer)
    said = evault.answer("verify", "verify", bundle, "--facts", code=2)
    assert said["verdict"] == "inconclusive"
    [(_, outcome, detail)] = facts_findings(said)
    assert outcome == "not_checked"
    assert "1 superseded: made by text 1, here text 99" in detail


def test_withheld_exhibits_are_not_recomputed(evault: Evault, bundle: Path) -> None:
    other = evault.folder / "other.zip"
    evault("export", "-o", other, "--purpose", "p", "--withhold", "EV-0001=law")
    said = evault.answer("verify", "verify", other, "--facts", code=2)
    [(_, outcome, detail)] = facts_findings(said)
    assert outcome == "not_checked"
    assert detail.endswith("; 1 withheld")


def test_only_a_bundle_is_read_anew(evault: Evault, case: str) -> None:
    assert "is for bundles" in evault.refused("verify", case, "--facts")


def test_a_compressed_bundle_gives_the_same(evault: Evault, bundle: Path) -> None:
    packed = evault.folder / "packed.zip"
    evault("export", "-o", packed, "--purpose", "p", "--compress")
    assert json.dumps(facts_findings(evault.answer("verify", "verify", packed, "--facts"))) == (
        json.dumps(facts_findings(evault.answer("verify", "verify", bundle, "--facts")))
    )
