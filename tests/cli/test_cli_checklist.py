"""The checklist's counts and next steps, and the chain of custody as rows."""

from __future__ import annotations

import re
import shlex
from datetime import UTC, datetime

import pytest
from cli_support import DEMO, Evault, run


def test_it_counts_with_denominators_and_says_what_vanishes_first(
    evault: Evault, case: str
) -> None:
    evault("ingest", DEMO / "agent", DEMO / "cloudtrail")
    lines = evault("checklist").lines
    assert lines[0] == "Evidence: 0 of 6 satisfied, 3 partial, 3 missing"
    assert [line[:2] for line in lines if re.match(r"C\d ", line)] == [f"C{n}" for n in range(1, 7)]
    told = " ".join(lines[-3:-1]).replace("\\", "").split()
    assert " ".join(told) == (
        f"Next (vanishes first): evault ingest {case} FILE --kind access_log --system mail-agent"
    )
    assert re.fullmatch(r"\d+ more steps: evault checklist --explain", lines[-1])
    assert all(len(line) <= 80 for line in lines)


def test_what_is_missing_says_why_and_names_break_at_their_seams_alone(
    evault: Evault, case: str
) -> None:
    evault("ingest", DEMO / "agent")
    evault("incident", "scope", "--run", "r1")
    lines = evault("checklist").lines
    report = run("checklist", "--json").json
    missing = {each["id"]: each["reason"] for each in report["items"] if each["state"] == "missing"}
    assert {"C5", "K1"} <= set(missing)
    assert all(missing.values())
    for id_, reason in missing.items():
        start = next(i for i, line in enumerate(lines) if line.startswith(f"{id_} "))
        end = next(i for i in range(start + 1, len(lines)) if not lines[i].startswith("    "))
        assert " ".join(" ".join(lines[start + 1 : end]).split()) == reason
    # The demo's runs have names of 78 characters.
    run_ = "workspace/user_task_0/injection_task_3/important_instructions/gpt-4o-2024-05-13,"
    at = next(i for i, line in enumerate(lines) if line.strip().startswith("workspace/user"))
    assert lines[at].endswith("/")
    assert lines[at].strip() + lines[at + 1].strip() == run_


def test_a_waiver_is_told_in_the_same_words_in_every_view(evault: Evault, case: str) -> None:
    evault("ingest", DEMO / "agent")
    evault(
        "waive", "grant", "C2.models", "C2.times", "--reason", "r", "--owner", "o",
        "--approved-by", "Grace", "--exhibit", "EV-0001", "--until", "2999-01-01T00:00Z",
        "--scope", "aws",
    )  # fmt: skip
    evault(
        "waive", "grant", "C2.models", "--reason", "r", "--owner", "o",
        "--approved-by", "Grace", "--exhibit", "EV-0001", "--until", "2999-01-01T00:00Z",
    )  # fmt: skip
    ends = "waived until 2999-01-01T00:00:00Z, approved by Grace (attested)"
    scoped, whole = f"C2.models, C2.times for aws {ends}", f"C2.models {ends}"
    evault("checklist", "--html", "c.html")
    page = (evault.folder / "c.html").read_text()
    for words in (("status",), ("incident", "show"), ("custody",), ("waive", "list")):
        told = " ".join(evault(*words).out.split())
        assert scoped in told, words
        assert whole in told, words
    plain, explained = (
        " ".join(evault("checklist", *more).out.split()) for more in ((), ("--explain",))
    )
    for told in (plain, explained, page):
        assert scoped in told
        # Under the item, or under the condition, that it covers, and among the waivers.
        assert told.count(whole) >= 2
    assert f"W-0002, live: {whole}; no item counts as waived by it" in plain
    assert page.count(whole) == 3, "by item, by condition, and among the waivers"


def test_coverage_says_of_each_system_how_long_it_is_silent(evault: Evault, case: str) -> None:
    evault("ingest", DEMO / "cloudtrail")
    evault("incident", "phase", "contained", "--at", "2023-07-10T12:58Z")
    bars = {each["name"]: each for each in run("checklist", "--json").json["report"]["coverage"]}
    told = " ".join(evault("checklist").out.split())
    # A day before the detection at 12:30 to the containment: 24 h 28 min, of which the log of aws
    # speaks from 11:42:18 to 12:37:50 but for five minutes.
    assert "system mail-agent [........................] silent throughout, 24 h 28 min" in told
    seconds = sum(each["seconds"] for each in bars["aws"]["gaps"])
    assert seconds // 60 == 23 * 60 + 37
    assert "silent for 23 h 37 min: 3 gaps, the longest 23 h 12 min" in told
    evault("checklist", "--html", "c.html")
    page = (evault.folder / "c.html").read_text()
    assert "throughout: 24 h 28 min" in page
    assert re.search(r"<strong>23 h 37 min( \d+ s)?</strong> in 3 silences:", page)


def test_nothing_sealed_is_nothing_satisfied(evault: Evault, case: str) -> None:
    assert evault("checklist").lines[0] == "Evidence: 0 of 6 satisfied, 1 partial, 5 missing"


def test_explain_shows_every_condition_and_every_step(evault: Evault, case: str) -> None:
    evault("ingest", DEMO / "agent")
    report = run("checklist", "--json").json
    shown = evault("checklist", "--explain").out
    told = " ".join(shown.replace("\\\n", " ").split())
    cited = 0
    for item in report["items"]:
        for condition in (*item["conditions"], *item["checks"]):
            assert f"{condition['answer']:<8} {condition['id']} " in shown
            reason = f"{condition['asks']}: {condition['detail']}"
            assert (reason if condition["detail"] else condition["asks"]) in told
            if condition["answer"] != "pass":
                assert f"{condition['asks']}: " in told, "no outcome without a reason"
            cited += bool(condition["exhibits"] or condition["links"])
    assert shown.count("  cites ") == cited > 5
    assert "cites EV-0001..0003 (3)" in shown
    for step in report["report"]["next"]:
        assert shlex.join(step["command"]) in told
    assert "more step" not in shown


def test_gaps_are_an_exit_code_only_where_they_are_asked_for(evault: Evault, case: str) -> None:
    assert run("checklist").code == 0
    assert run("checklist", "--require", "complete").code == 1
    assert "--require knows only: complete, not 'all'" in evault.refused(
        "checklist", "--require", "all"
    )


def test_looking_seals_nothing_and_seal_seals(evault: Evault, case: str) -> None:
    evault("checklist")
    assert evault.link() == 0
    said = evault("checklist", "--seal")
    assert said.lines[-1] == "Sealed as chain link 1, log entry 1"
    assert re.search(r"assessed +0 of 6 satisfied", evault("custody").out)
    evault.sound()


def test_custody_shows_the_day_and_the_actor_where_they_change(evault: Evault, case: str) -> None:
    evault.file("a")
    evault("ingest", "a")
    evault("incident", "assign", "comms_lead", "Ada")
    evault("evidence", "get", "EV-0001", "--purpose", "look", "-o", "-")
    evault("export", "-o", "b.zip", "--purpose", "counsel", "--recipient", "Lovelace LLP")
    lines = evault("custody").lines
    day = f"{datetime.now(UTC):%Y-%m-%d}"
    assert re.fullmatch(r"\S+@\S+ \(uid \d+, local\)", lines[0])
    assert day in lines[1]
    assert sum(day in line for line in lines) == 1
    assert sum("(uid " in line for line in lines) == 1
    told = [re.split(r"\d\d:\d\d:\d\dZ  ", line)[1].strip() for line in lines[1:]]
    assert [re.sub(" +", " ", each) for each in told] == [
        "declared sev1, tier unknown",
        "captured EV-0001",
        "assigned comms_lead to Ada",
        'viewed EV-0001 "look"',
        "assessed 0 of 6 satisfied",
        'exported EV-0001 "counsel" to Lovelace LLP',
    ]


def test_custody_of_an_exhibit_shows_only_its_links(evault: Evault, case: str) -> None:
    evault.file("a")
    evault.file("b", "other\n")
    evault("ingest", "a")
    evault("ingest", "b")
    evault("evidence", "get", "EV-0002", "--purpose", "look", "-o", "-")
    rows = run("custody", "EV-0002", "--json").json["items"]
    assert [(row["sequence"], row["event"]) for row in rows] == [(2, "captured"), (3, "viewed")]
    assert len(evault("custody", case, "EV-0001").lines) == 2, "the actor, and the link"


@pytest.mark.parametrize("words", [("EV-0001", "EV-0002"), ("what", "is", "this")])
def test_custody_takes_one_exhibit(evault: Evault, case: str, words: tuple[str, ...]) -> None:
    assert "expected [INCIDENT] [EXHIBIT]" in evault.refused("custody", *words)


def test_coverage_is_drawn_and_a_silence_never_vanishes_in_it(evault: Evault, case: str) -> None:
    evault("ingest", DEMO / "cloudtrail")
    evault("incident", "phase", "contained", "--at", "2023-07-10T12:58Z")
    lines = evault("checklist").lines
    bars = [line for line in lines if re.match(r"  system ", line)]
    assert [line.split()[1] for line in bars] == ["mail-agent", "aws"]
    assert re.search(r"\[\.{24}\]  silent throughout", bars[0])
    # A day before the detection is asked for; the demo's log starts 48 minutes before it.
    # In 24 slots of 61 minutes: records from 11:42:18 to 12:37:50, in slots 22 and 23.
    assert re.search(r"\[\.{22}\+\+\]  silent for ", bars[1])
    explained = evault("checklist", "--explain").lines
    assert "      silent 2023-07-10T12:37:50Z to 2023-07-10T12:58:00Z" in explained


def test_breached_and_unproven_clocks_are_told_apart(evault: Evault, case: str) -> None:
    out = evault("checklist").out
    assert re.search(r"^Unproven: Declared$", out, re.MULTILINE), "claimed in time, recorded late"
    assert re.search(r"^Breached: .*Postmortem published", out, re.MULTILINE | re.DOTALL)


def test_what_changed_since_the_last_sealed_report_is_told(evault: Evault, case: str) -> None:
    first = evault.answer("checklist", "checklist", "--seal")
    assert first["changes"] is None
    same = evault("checklist")
    assert "Since the report of link 1: nothing changed" in same.out
    evault("incident", "amend", "--tier", "3", "--reason", "decided")
    shown = evault.answer("checklist", "checklist")
    assert (shown["changes"]["sequence"], shown["changes"]["head_sequence"]) == (1, 0)
    changed = {each["id"]: each["after"] for each in shown["changes"]["items"]}
    assert changed["C1.tier"] == "pass"
    assert "answered otherwise" in evault("checklist").out
    # What was known at link 0 knew no sealed report.
    assert evault.answer("checklist", "checklist", "--at-sequence", "0")["changes"] is None


def test_a_sealed_report_that_cannot_be_read_is_told_and_stops_nothing(
    evault: Evault, case: str
) -> None:
    before = {path for path in evault.home.rglob("*") if path.is_file()}
    evault("checklist", "--seal")
    made = [
        path
        for path in evault.home.rglob("*")
        if path.is_file() and path not in before and b'"contradictions"' in path.read_bytes()
    ]
    assert len(made) == 1
    made[0].chmod(0o600)
    made[0].write_bytes(made[0].read_bytes().replace(b"sev1", b"sev4"))
    shown = evault.answer("checklist", "checklist")
    assert "it is not compared: " in shown["changes"]["unreadable"]
    assert shown["changes"]["items"] == []
    assert "not compared" in evault("checklist").out


def test_the_report_is_written_as_a_page_and_never_over_another(evault: Evault, case: str) -> None:
    said = evault("checklist", "--html", "c.html")
    assert said.lines == [f"c.html  {evault('checklist').lines[0]}"]
    page = (evault.folder / "c.html").read_bytes()
    assert page.endswith(b"</html>\n")
    assert b"<script" not in page
    assert "c.html is there already" in evault.refused("checklist", "--html", "c.html", "--seal")
    assert evault.link() == 0, "nothing was sealed either"
    assert evault.answer("checklist", "checklist", "--html", "d.html")["output"] == "d.html"


def test_as_of_moves_the_clock_and_at_sequence_the_knowledge(evault: Evault, case: str) -> None:
    evault("incident", "amend", "--tier", "3", "--reason", "decided")

    def report(*words: object) -> dict[str, object]:
        return evault.answer("checklist", "checklist", *words)["report"]  # type: ignore[no-any-return]

    early = report("--as-of", "2023-07-10T12:45Z")
    assert (early["head"]["sequence"], early["incident"]["tier_stated"]) == (1, "3")  # type: ignore[index]
    clocks = {each["id"]: each["timeliness"] for each in early["clocks"]}  # type: ignore[attr-defined]
    assert (clocks["contain"], clocks["declare"]) == ("pending", "unproven")
    known = report("--at-sequence", "0")
    assert (known["head"]["sequence"], known["incident"]["tier_stated"]) == (0, "unknown")  # type: ignore[index]


def test_an_actor_who_takes_over_is_named_and_long_words_fit(
    evault: Evault, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    evault("incident", "amend", "--title", "word " * 40, "--reason", "it was longer")
    monkeypatch.setenv("EVAULT_ACTOR", "Ada Lovelace")
    evault("incident", "update", "--containment", "contained", "--next", "watch " * 30)
    monkeypatch.delenv("EVAULT_ACTOR")
    evault("incident", "phase", "contained")
    lines = evault("custody").lines
    actors = [line for line in lines if not line.startswith(" ")]
    assert [line.count("Ada Lovelace") for line in actors] == [0, 1, 0]
    links = [int(line.split()[0]) for line in lines if re.match(r" +\d+  ", line)]
    assert links == [0, 1, 2, 3]
    for words in (("custody",), ("incident", "show"), ("checklist", "--explain"), ("status",)):
        assert max(map(len, evault(*words).lines[:-1])) <= 80, words
