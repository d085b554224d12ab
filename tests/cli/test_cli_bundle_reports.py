"""The reports of a bundle: the timeline, and what changed since the report sealed before."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest
from cli_support import DEMO, Evault, run

SECRET = "the-salary-of-mallory"


def report(bundle: Path, name: str) -> bytes:
    with zipfile.ZipFile(bundle) as archive:
        (path,) = [each for each in archive.namelist() if each.endswith(f"/data/report/{name}")]
        return archive.read(path)


def exported(evault: Evault, name: str, *more: object) -> tuple[Path, Any]:
    path = evault.folder / name
    return path, evault.answer("export", "export", "-o", path, "--purpose", "p", *more)


def changed(bundle: Path) -> str:
    page = report(bundle, "completeness.html").decode()
    (section,) = [each for each in page.split("<section") if "<h2>What changed" in each]
    return section


def test_a_bundle_has_the_timeline_that_the_chain_before_the_export_tells(
    evault: Evault, case: str
) -> None:
    evault("ingest", DEMO / "cloudtrail")
    evault("incident", "phase", "contained", "--at", "2023-07-10T12:50Z")
    bundle, made = exported(evault, "a.zip")
    told = json.loads(report(bundle, "timeline.json"))
    whole = run("timeline", "--json").json
    assert told == {
        "incident": case,
        "lines": [each for each in whole["items"] if each["sequence"] < made["sequence"]],
        "unplaced": whole["unplaced"],
        "version": 1,
    }
    rows = list(csv.reader(io.StringIO(report(bundle, "timeline.csv").decode(), newline="")))
    assert len(rows) == 1 + len(told["lines"]) + len(told["unplaced"])
    page = report(bundle, "timeline.html").decode()
    assert f"links 0 to {made['sequence'] - 1} of the chain, and nothing after" in page
    assert '2023-07-10</span> <span class="once">12:50:00' in page


def test_the_export_binds_the_timeline_by_digest(evault: Evault, case: str) -> None:
    bundle, made = exported(evault, "a.zip")
    with zipfile.ZipFile(bundle) as archive:
        link = json.loads(archive.read(f"{case}/data/chain/{made['sequence']:08d}.json"))
    body = json.loads(base64.b64decode(link["payload"]))["predicate"]["body"]
    sealed = {each["path"]: (each["sha256"], each["size"]) for each in body["files"]}
    for name in ("timeline.csv", "timeline.html", "timeline.json"):
        data = report(bundle, name)
        assert sealed[f"report/{name}"] == (hashlib.sha256(data).hexdigest(), len(data))
    said = evault("verify", bundle)
    assert re.search(r"pages +11 of 11 as the export sealed them +passed", said.out)


def test_of_what_is_withheld_or_withdrawn_the_timeline_tells_nothing_of_its_description(
    evault: Evault, case: str
) -> None:
    line = '192.0.2.3 - - [10/Jul/2023:12:%02d:00 +0000] "GET / HTTP/1.1" 200 694\n'
    for number, name in enumerate((f"{SECRET}.log", f"{SECRET}-2.log", "open.log")):
        evault.file(name, line % (10 + number) + line % (20 + number))
        evault("ingest", name)
    evault("evidence", "withdraw", "EV-0002", "--reason", "another case")
    bundle, _ = exported(evault, "a.zip", "--withhold", "EV-0001=privileged")
    told = json.loads(report(bundle, "timeline.json"))
    beside = {each["exhibit"]: each["reason"] for each in told["unplaced"]}
    for name in ("EV-0001", "EV-0002"):
        assert beside[name] == "withheld, and its description and times with it"
    assert [each["exhibits"] for each in told["lines"] if each["event"] == "observed"] == [
        ["EV-0003"]
    ]
    for name in ("timeline.json", "timeline.csv", "timeline.html", "completeness.html"):
        data = report(bundle, name)
        assert SECRET.encode() not in data, name
        if name.startswith("timeline"):
            assert b"12:10:00" not in data
            assert b"12:11:00" not in data
            assert b"12:12:00" in data


def test_the_completeness_page_tells_what_changed_since_the_report_sealed_before(
    evault: Evault, case: str
) -> None:
    first, _ = exported(evault, "a.zip")
    assert "No report about this incident was sealed before." in changed(first)
    evault("incident", "amend", "--tier", "3", "--reason", "decided")
    # Link 1 is the first export's own report, link 2 the export, link 3 the amendment.
    second, _ = exported(evault, "b.zip")
    told = changed(second)
    assert "What changed since the report of link 1" in told
    assert "C1.tier" in told
    evault("checklist", "--seal")
    third, _ = exported(evault, "c.zip")
    assert "What changed since the report of link 6" in changed(third)
    assert "Nothing that the report tells." in changed(third)


@pytest.mark.slow
def test_it_is_written_again_byte_for_byte_after_the_chain_went_on(
    evault: Evault, case: str
) -> None:
    evault("ingest", DEMO / "agent")
    evault("checklist", "--seal")
    evault("incident", "amend", "--tier", "3", "--reason", "decided")
    bundle, made = exported(evault, "a.zip")
    evault("ingest", DEMO / "cloudtrail")
    evault("evidence", "withdraw", "EV-0001", "--reason", "wrong")
    evault("checklist", "--seal")
    exported(evault, "b.zip")
    again = evault.folder / "again.zip"
    evault("export", "-o", again, "--at", made["sequence"])
    assert again.read_bytes() == bundle.read_bytes()
    evault("verify", again)


def sealed_report(evault: Evault) -> Path:
    """Seal a report; the object of the store that is it."""
    before = {path for path in evault.home.rglob("*") if path.is_file()}
    evault("checklist", "--seal")
    (made,) = [
        path
        for path in evault.home.rglob("*")
        if path.is_file() and path not in before and b'"contradictions"' in path.read_bytes()
    ]
    made.chmod(0o600)
    return made


def test_a_bundle_whose_earlier_report_is_lost_is_not_written_again_as_another(
    evault: Evault, case: str
) -> None:
    lost = sealed_report(evault)
    bundle, made = exported(evault, "a.zip")
    kept = lost.read_bytes()
    lost.write_bytes(kept.replace(b"sev1", b"sev4"))
    message = evault.refused("export", "-o", "again.zip", "--at", made["sequence"])
    assert (
        "tells what changed since the report of link 1, and of that it is not compared" in message
    )
    assert not (evault.folder / "again.zip").exists()
    lost.write_bytes(kept)
    evault("export", "-o", "again.zip", "--at", made["sequence"])
    assert (evault.folder / "again.zip").read_bytes() == bundle.read_bytes()


def test_a_report_that_cannot_be_read_is_told_and_stops_no_export(
    evault: Evault, case: str
) -> None:
    lost = sealed_report(evault)
    lost.write_bytes(lost.read_bytes().replace(b"sev1", b"sev4"))
    bundle, made = exported(evault, "a.zip")
    told = changed(bundle)
    assert "What changed since the report of link 1" in told
    assert "It is not compared: another engine made it, or it could not be read" in told
    assert str(lost.name) not in told, "nothing of the vault's own places"
    evault("export", "-o", "again.zip", "--at", made["sequence"])
    assert (evault.folder / "again.zip").read_bytes() == bundle.read_bytes()
