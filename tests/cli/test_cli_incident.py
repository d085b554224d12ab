"""Declaring an incident and saying what happens in it: words, times, and who may be left out."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cli_support import Evault, run

WORDS = ("incident", "declare", "--title", "T", "--severity", "sev2", "--system", "aws")


def declare(evault: Evault, *more: str, tier: str = "2") -> str:
    return " ".join(evault(*WORDS, "--tier", tier, *more).out.split())


def test_declared_at_once_is_on_time_because_the_vaults_clock_says_so(evault: Evault) -> None:
    assert declare(evault, "--detected-at", "-12m").endswith(
        "Tier 2. Declared 12 min after detection, limit 15: on time."
    )


def test_declared_after_the_limit_is_late(evault: Evault) -> None:
    said = declare(evault, "--detected-at", "-20m")
    assert said.endswith("Declared 20 min after detection, limit 15: late.")


def test_a_claim_sealed_after_the_limit_is_unproven_and_says_how_late_it_was_sealed(
    evault: Evault,
) -> None:
    said = declare(evault, "--detected-at", "-3h", "--declared-at", "-170m")
    assert said.endswith(
        "Declared 10 min after detection, limit 15: unproven (claimed; sealed 2 h 50 min later)."
    )


def test_declared_before_detected_is_told_as_what_it_is(evault: Evault) -> None:
    said = declare(evault, "--detected-at", "-1h", "--declared-at", "-2h")
    assert said.endswith("Declared before it was detected: one of the two times is wrong.")


def test_an_unknown_tier_is_tier_4_until_someone_decides(evault: Evault) -> None:
    said = declare(evault, "--detected-at", "now", tier="unknown")
    assert "  " not in said
    assert "Tier 4 until someone decides." in said
    assert "sev2, Tier 4 until someone decides" in evault("incident", "show").out
    assert run("incident", "show", "--json").json["declared"]["tier"] == "unknown"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("2023-07-10T12:30Z", "2023-07-10T12:30:00Z"),
        ("2023-07-10T12:30:05Z", "2023-07-10T12:30:05Z"),
        ("2023-07-10T12:30:05.25Z", "2023-07-10T12:30:05.250Z"),
        ("2023-07-10T14:30+02:00", "2023-07-10T12:30:00Z"),
        ("2023-07-09T23:30:00-13:00", "2023-07-10T12:30:00Z"),
        ("2023-07-10 12:30z", "2023-07-10T12:30:00Z"),
    ],
)
def test_times_are_rfc_3339_with_a_zone_and_kept_in_utc(
    evault: Evault, given: str, kept: str
) -> None:
    declare(evault, "--detected-at", given)
    assert run("incident", "show", "--json").json["declared"]["detected_at"] == kept


@pytest.mark.parametrize(
    ("given", "ago"),
    [("now", 0), ("-90s", 90), ("-12m", 720), ("-3h", 10_800), ("-2d", 172_800)],
)
def test_times_may_be_relative(evault: Evault, given: str, ago: int) -> None:
    declare(evault, "--detected-at", given)
    detected = run("incident", "show", "--json").json["declared"]["detected_at"]
    expected = datetime.now(UTC) - timedelta(seconds=ago)
    assert abs(datetime.fromisoformat(detected) - expected) < timedelta(seconds=30)


@pytest.mark.parametrize(
    ("given", "remedy"),
    [
        ("2023-07-10T12:30", "write 2023-07-10T12:30Z if it is UTC, or add an offset like +02:00"),
        ("2023-07-10 12:30:05", "write 2023-07-10T12:30:05Z if it is UTC"),
        ("yesterday", "write it like 2026-01-31T09:30Z; now and -12m are understood too"),
        ("2023-02-30T12:30Z", "'2023-02-30T12:30Z' is not a time: day is out of range for month"),
        ("2023-07-10T25:30Z", "is not a time"),
        ("12:30Z", "is not a time"),
        ("-12", "is not a time"),
    ],
)
def test_a_time_without_a_zone_or_meaning_is_refused_with_the_corrected_text(
    evault: Evault, given: str, remedy: str
) -> None:
    assert remedy in evault.refused(*WORDS, "--tier", "1", "--detected-at", given)
    assert evault.answer("incident-list", "incident", "list")["items"] == []


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("--tier", "7", "'7' is not one of '1', '2', '3', '4', 'unknown'"),
        ("--severity", "sev9", "'sev9' is not one of 'sev1', 'sev2', 'sev3', 'sev4'"),
        ("--trigger", "boredom", "'boredom' is not one of"),
        ("--title", " ", "'--title'"),
        ("--title", "x" * 1001, "title: expected 1 to 1,000 characters"),
    ],
)
def test_a_wrong_value_is_refused_by_name(
    evault: Evault, option: str, value: str, told: str
) -> None:
    words = [*WORDS, "--tier", "1", "--detected-at", "now", option, value]
    message = evault.refused(*words)
    assert told in message
    assert "Value error" not in message


def test_a_missing_option_is_named_and_the_help_is_pointed_to(evault: Evault) -> None:
    message = evault.refused("incident", "declare", "--title", "T")
    assert message.startswith("evault: Missing option '--severity'")
    assert "see: evault incident declare --help" in message


def test_amend_shows_and_seals_old_and_new(evault: Evault, case: str) -> None:
    said = evault(
        "incident", "amend", case, "--reason", "read the logs", "--severity", "sev3", "--tier", "2",
        "--title", "Mail and files went out", "--trigger", "egress", "--system", "aws",
        "--detected-at", "2023-07-10T12:20Z", "--declared-at", "2023-07-10T12:40Z",
    )  # fmt: skip
    assert said.lines == [
        f"{case}  amended (chain link 1, log entry 1)",
        "  title        Mail went out -> Mail and files went out",
        "  severity     sev1 -> sev3",
        "  tier         unknown -> 2",
        "  systems      mail-agent, aws -> aws",
        "  trigger      unknown -> egress",
        "  detected_at  2023-07-10T12:30:00Z -> 2023-07-10T12:20:00Z",
        "  declared_at  2023-07-10T12:41:00Z -> 2023-07-10T12:40:00Z",
    ]
    assert "severity sev1 -> sev3, tier unknown -> 2" in " ".join(evault("custody").out.split())
    assert '"read the logs"' in evault("custody").out
    again = evault("incident", "amend", "--reason", "again", "--severity", "sev3")
    assert again.out == f"{case}  nothing to change; nothing sealed\n"
    evault.sound()


def test_amend_needs_something_to_change_and_a_reason(evault: Evault, case: str) -> None:
    assert "nothing to change was named; see: evault incident amend --help" in evault.refused(
        "incident", "amend", "--reason", "r"
    )
    assert "Missing option '--reason'" in evault.refused("incident", "amend", "--tier", "1")
    assert "'--reason'" in evault.refused("incident", "amend", "--tier", "1", "--reason", " ")
    assert evault.link() == 0


def test_a_scope_grows_and_says_what_it_was(evault: Evault, case: str) -> None:
    evault("incident", "scope", "--run", "r1", "--ticket", "OPS-1")
    said = evault("incident", "scope", "--run", "r2", "--run", "r1", "--ticket", "OPS-2")
    assert said.lines == [
        f"{case}  scoped (chain link 2, log entry 2)",
        "  ticket  OPS-1 -> OPS-2",
        "  runs    r1 -> r1, r2",
    ]
    first = evault("incident", "scope", "--exposure", "suspected")
    assert first.lines == [
        f"{case}  scoped (chain link 3, log entry 3)",
        "  exposure  not stated -> suspected",
    ]
    assert "exposure not stated -> suspected" in evault("custody").out
    shown = evault("incident", "show").out
    assert re.search(r"runs +r1, r2", shown)
    assert "--from must be before --to" in evault.refused(
        "incident", "scope", "--from", "now", "--to", "-1h"
    )


def test_assign_and_phase_are_acknowledged_with_their_place(evault: Evault, case: str) -> None:
    evault.file("a")
    evault("ingest", "a")
    said = evault("incident", "assign", "incident-commander", "Ada Lovelace", "--at", "-5m")
    assert said.out == f"{case}  incident_commander is Ada Lovelace (chain link 2, log entry 2)\n"
    said = evault(
        "incident", "phase", "contained", "--at", "2023-07-10T13:00Z",
        "--exhibit", "EV-0001", "--exhibit", "EV-0001",
    )  # fmt: skip
    assert said.lines == [
        f"{case}  contained at 2023-07-10T13:00:00Z, shown by EV-0001 (chain link",
        "               3, log entry 3)",
    ]
    shown = evault("incident", "show").out
    assert re.search(r"incident_commander +Ada Lovelace", shown)
    assert re.search(r"window +2023-07-09T12:30:00Z to 2023-07-10T13:00:00Z", shown)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("assign", "captain", "Ada"), "'captain' is no role; the roles are incident_commander,"),
        (("assign", "comms_lead", "Ada", "Lovelace"), "expected [INCIDENT] ROLE PERSON; quote"),
        (("assign", "comms_lead"), "expected [INCIDENT] ROLE PERSON"),
        (("assign", "comms_lead", " "), "expected a few words, not nothing"),
        (("phase", "done"), "'done' is no phase; the phases are triaged, contained,"),
        (("phase", "contained", "--exhibit", "EV-0009"), "has no exhibit EV-0009"),
    ],
)
def test_words_that_are_none_are_refused_with_those_that_are(
    evault: Evault, case: str, words: tuple[str, ...], told: str
) -> None:
    assert told in evault.refused("incident", *words)
    assert evault.link() == 0


def test_the_incident_may_be_left_out_while_one_is_open_and_is_then_said(
    evault: Evault, case: str
) -> None:
    evault.file("a")
    for words in (
        ("incident", "show"), ("ingest", "a"), ("evidence", "list"),
        ("evidence", "show", "EV-0001"), ("checklist",), ("custody",), ("verify",),
        ("log", "proof"),
        ("incident", "assign", "comms_lead", "Ada"), ("incident", "phase", "triaged"),
        ("evidence", "classify", "EV-0001", "--kind", "ticket"),
        ("export", "-o", "b.zip", "--purpose", "p"),
    ):  # fmt: skip
        said = evault(*words)
        assert said.err == f"{case}, the one open incident:\n", words
    assert evault("incident", "close").err.startswith(f"{case}, the one open incident:\n")
    assert evault("incident", "show", case).err == ""


def test_when_none_is_open_it_says_so(evault: Evault) -> None:
    assert "there is no open incident; declare one with: evault incident declare" in evault.refused(
        "custody"
    )


def test_when_several_are_open_they_are_listed_and_one_must_be_named(
    evault: Evault, case: str
) -> None:
    other = evault.declare()
    evault.file("a")
    for words in (("incident", "show"), ("ingest", "a"), ("checklist",), ("custody", "EV-0001")):
        message = evault.refused(*words)
        assert f"several incidents are open ({case}, {other}); name one" in message
    evault("incident", "close", other)
    assert evault("custody").err.startswith(case)


@pytest.mark.parametrize("given", ["INC-26-1", "inc-2026-0001", "INC-2026-1", "INC-2026-0001x"])
@pytest.mark.parametrize(
    "words", [("incident", "show"), ("custody",), ("verify",), ("checklist",), ("ingest",)]
)
def test_a_malformed_incident_id_is_refused_as_such(
    evault: Evault, case: str, words: tuple[str, ...], given: str
) -> None:
    evault.file("a")
    more = ("a",) if words == ("ingest",) else ()
    message = evault.refused(*words, given, *more)
    assert f"{given!r} is no incident id like INC-2026-0001" in message


def test_an_unknown_incident_is_refused_with_where_to_look(evault: Evault, case: str) -> None:
    for words in (
        ("incident", "show"),
        ("checklist",),
        ("custody",),
        ("verify",),
        ("evidence", "list"),
    ):
        assert (
            "there is no incident INC-2020-0404; list them with: evault incident list"
            in evault.refused(*words, "INC-2020-0404")
        )


def test_close_seals_and_reopen_opens_again(evault: Evault, case: str) -> None:
    evault.file("a")
    evault("ingest", "a")
    assert f"{case}  closed and sealed (chain link 2" in evault("incident", "close", case).out
    assert re.search(r"^INC-\S+  sev1  tier 4  closed  1 exhibit  Mail went out$",
                     evault("incident", "list").out, re.MULTILINE)  # fmt: skip
    for words in (
        ("ingest", case, "a", "--again"), ("incident", "assign", case, "comms_lead", "Ada"),
        ("incident", "amend", case, "--tier", "1", "--reason", "r"), ("incident", "close", case),
        ("incident", "phase", case, "recovered"),
    ):  # fmt: skip
        message = evault.refused(*words)
        assert f"to add to it, run: evault incident reopen {case} --reason TEXT" in message
    assert evault.link(case) == 2
    evault("evidence", "get", case, "EV-0001", "--purpose", "look", "-o", "out")
    evault("checklist", case)
    evault("export", case, "-o", "b.zip", "--purpose", "p")
    reopened = evault("incident", "reopen", case, "--reason", "more came")
    assert reopened.out.startswith(f"{case}  reopened (chain link ")
    assert f"{case} is not closed" in evault.refused("incident", "reopen", case, "--reason", "r")
    assert "EV-0002" in evault("ingest", case, "a", "--again").out
    evault.sound()


def test_show_tells_the_window_of_the_scope_once(evault: Evault, case: str) -> None:
    start, end = "2026-02-01T08:00:00Z", "2026-02-02T09:30:00Z"
    evault("incident", "scope", "--from", start, "--to", end, "--run", "r1")
    told = evault("incident", "show", case).out
    assert f"{start} to {end}" in told
    assert (told.count(start), told.count(end)) == (1, 1)
    assert "r1" in told


def test_the_list_shows_where_each_stands(evault: Evault) -> None:
    first = evault.declare()
    second = declare(evault, "--detected-at", "now").split()[0]
    evault("incident", "phase", first, "contained")
    assert evault("incident", "list").lines == [
        f"{first}  sev1  tier 4  contained  0 exhibits  Mail went out",
        f"{second}  sev2  tier 2  declared   0 exhibits  T",
    ]


def numbers(items: list[Any]) -> list[str]:
    return [item["incident"] for item in items]


def test_incidents_are_numbered_within_the_year(evault: Evault) -> None:
    year = datetime.now(UTC).year
    for _ in range(3):
        declare(evault, "--detected-at", "now")
    listed = numbers(run("incident", "list", "--json").json["items"])
    assert listed == [f"INC-{year}-{number:04d}" for number in (1, 2, 3)]


def test_that_there_is_no_detector_can_be_stated_and_is_no_gap_then(
    evault: Evault, case: str
) -> None:
    def c4() -> str:
        items = evault.answer("checklist", "checklist")["items"]
        return str(next(each["state"] for each in items if each["id"] == "C4"))

    assert c4() == "partial"
    assert "leave out --detector" in evault.refused(
        "incident", "scope", "--no-detectors", "--detector", "dlp-1"
    )
    said = evault("incident", "scope", "--no-detectors")
    assert "not stated -> none, as stated" in said.out
    assert run("incident", "show", "--json").json["scope"]["detectors"] == []
    assert c4() == "not_applicable"
    evault("incident", "scope", "--detector", "dlp-1")
    assert run("incident", "show", "--json").json["scope"]["detectors"] == ["dlp-1"]
    assert c4() == "missing"


def test_who_is_not_on_a_chain_is_told_who_is(evault: Evault, case: str) -> None:
    said = evault("custody", case, "--person", "nobody@x.org")
    (actor,) = {row["actor"] for row in evault.answer("custody", "custody", case)["items"]}
    told = " ".join(said.out.split())
    assert told.startswith(f"Nothing on {case} is by nobody@x.org; on it are ")
    assert told.partition("on it are ")[2] in actor
    empty = evault.answer("custody", "custody", case, "--person", "nobody@x.org")
    assert empty["items"] == []
