"""The demo's exercise and its true report: what each item comes to, and why.

Two data sets that nobody collected for an incident: so little is satisfied, and what is said of it
must be borne out by them. The reasons stand beside the answers.
"""

from __future__ import annotations

import json
import zipfile

import pytest
from demo.test_demo import run

from verify.strictjson import Object

# State, timeliness, and every condition that passes. As of the export, years after the exercise.
EXPECTED = {
    # Declared by hand: the trigger is stated; no ticket, and no alert has a time.
    "C1": ("partial", None, {"C1.trigger"}),
    # AgentDojo's runs are whole (each call has a result), but have no times, and name the model
    # that was asked for, not the one that answered. No configuration, no registered run.
    "C2": ("partial", None, {"C2.trace", "C2.calls", "C2.parents", "C2.whole"}),
    # CloudTrail names who, what, on which data, where and with what outcome; but it has no data
    # events, covers an hour of a day, and says nothing of the mail agent.
    "C3": ("partial", None, {"C3.log", "C3.rows"}),
    # EV-0003: a detector of prompt injections withheld three results, at no stated time.
    "C4": ("partial", None, {"C4.dispositions"}),
    "C5": ("missing", None, set()),
    # Four clocks wait for their event: that there is no deviation cannot be said.
    "C6": ("missing", None, set()),
    # Nobody froze, assigned, told or published anything, and every limit has run out.
    "K1": ("missing", "breached", set()),
    # Contained 10 minutes after the declaration, by a claim of years later; the run of the mended
    # agent shows it. Nothing was thrown, rolled back or isolated.
    "K2": ("partial", "unproven", {"K2.contained", "K2.volatile"}),
    "K3": ("missing", "breached", set()),
    "K4": ("missing", "breached", set()),
    "P3": ("missing", None, set()),
    "P4": ("missing", None, set()),
    # In time by claim alone: whether SRE and Security had to be paged is not known.
    "X1": ("partial", None, set()),
    # Whether data was exposed, nobody said: never "not applicable".
    "X2": ("partial", None, set()),
    # The tier is unknown: it governs as Tier 4, and nobody stated it.
    "X3": ("missing", None, set()),
    "X4": ("missing", None, set()),
}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Object:
    folder = tmp_path_factory.mktemp("demo")
    run(folder)
    with zipfile.ZipFile(folder / ".demo" / "handover" / "case.zip") as bundle:
        (name,) = [each for each in bundle.namelist() if each.endswith("report/completeness.json")]
        found: Object = json.loads(bundle.read(name))
    return found


def test_each_item_comes_to_what_the_data_bear_out(report: Object) -> None:
    told = {
        item["id"]: (
            item["state"],
            item["timeliness"],
            {each["id"] for each in item["conditions"] if each["answer"] == "pass"},
        )
        for item in (*report["evidence"], *report["duties"])
    }
    assert told == EXPECTED
    assert (report["verdict"], report["contradictions"]) == ("incomplete", [])


def test_its_clocks_tell_a_claim_from_a_proof(report: Object) -> None:
    told = {each["id"]: (each["timeliness"], each["seconds"]) for each in report["clocks"]}
    # Claimed for 11 minutes after detection, sealed years later: nothing proves it.
    assert told.pop("declare") == ("unproven", 11 * 60)
    assert told.pop("contain") == ("unproven", 10 * 60)
    assert {timely for timely, _ in told.values()} == {"breached"}


def test_its_gaps_are_told_as_intervals(report: Object) -> None:
    bars = {each["name"]: each for each in report["coverage"]}
    assert bars["mail-agent"]["intervals"] == []
    first, second = bars["aws"]["gaps"][:2]
    assert first == {
        "from": "2023-07-09T12:30:00Z",
        "seconds": 83_538,
        "to": "2023-07-10T11:42:18Z",
    }
    assert second["seconds"] == 301, "the demo calls it the longest silence: 5 min 1 s"


def test_its_window_ends_when_it_was_contained_and_not_today(report: Object) -> None:
    assert report["window"] == {"from": "2023-07-09T12:30:00Z", "to": "2023-07-10T12:51:00Z"}


def test_what_the_log_names_and_nobody_registered_is_told(report: Object) -> None:
    outside = {each["name"].rsplit("/", 1)[-1] for each in report["outside_scope"]}
    assert {"bert-jan", "benjamin"} <= outside
    assert report["unregistered"] == ["detectors", "principals", "runs", "sources"]
