"""Profiles: YAML compiled to strict JSON, mistakes with their line, extension, commands."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from cli_support import Evault, run
from typer.main import get_command

import cli
from cli.main import build
from cli.profile_source import compile_profile
from vault.completeness import built_in_profile
from verify.__main__ import audit_bundle
from verify.attestation import RULES, AttestationType
from verify.errors import MalformedError
from verify.profile import Profile, parse_profile
from verify.report import Outcome
from verify.trust import Step

SOURCE = Path(cli.__file__).parent / "profiles" / "agent-incident-runbook.yaml"
BUILT_IN = built_in_profile()
TEXT = SOURCE.read_text()


def compiled(text: str) -> Profile:
    return compile_profile(text.encode(), BUILT_IN, where="ours.yaml")


def refused(text: str) -> str:
    with pytest.raises(MalformedError) as error:
        compiled(text)
    return str(error.value)


def test_the_built_in_profile_is_its_source_compiled() -> None:
    assert compiled(TEXT).data == BUILT_IN.data
    assert parse_profile(compiled(TEXT).data).sha256 == BUILT_IN.sha256


def test_it_carries_the_runbook_whole() -> None:
    assert [item.id for item in BUILT_IN.evidence] == ["C1", "C2", "C3", "C4", "C5", "C6"]
    assert [item.id for item in BUILT_IN.duties] == [
        "K1", "K2", "K3", "K4", "P3", "P4", "X1", "X2", "X3", "X4"]  # fmt: skip
    limits = {clock.id: (clock.after, clock.seconds) for clock in BUILT_IN.clocks}
    assert limits["declare"] == limits["freeze"] == limits["roles"] == ("detected_at", 15 * 60)
    assert limits["contain"] == ("declared_at", 30 * 60)
    assert limits["updates"][1] == 60 * 60
    assert limits["postmortem"] == ("declared_at", 72 * 3600)


def test_comments_and_order_of_keys_do_not_change_its_digest() -> None:
    lines = [f"{line}  # x" if line.endswith(":") else line for line in TEXT.split("\n")]
    assert compiled("\n".join(["# another", *lines])).data == BUILT_IN.data


@pytest.mark.parametrize("step", [each for item in BUILT_IN.items for each in item.conditions])
def test_every_next_step_is_a_command_that_exists(step: object) -> None:
    words = list(step.next)  # type: ignore[attr-defined]
    if not words:
        return
    command = get_command(build())
    assert words.pop(0) == "evault"
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    known = {option for each in command.params for option in each.opts}
    assert {word for word in words if word.startswith("--")} <= known | {"--"}
    if command.name != "attest":
        return
    assert words[0] == "{incident}"
    rule = RULES[AttestationType(words[1])]
    given = dict(word.split("=", 1) for word in words[2:])
    assert given.keys() <= set(rule.names)
    assert {each.name for each in rule.fields if each.required} <= given.keys()
    for each in rule.fields:
        if each.choices and each.name in given:
            assert set(given[each.name].split(",")) <= {*each.choices, "governance_steward"}


# -- mistakes --------------------------------------------------------------------------------------


def line_of(text: str, part: str) -> int:
    return text[: text.index(part)].count("\n") + 1


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("test: times_known", "test: times_knwon", "there is no test 'times_knwon' here; known: "),
        ("test: times_known", "test: __import__", "there is no test '__import__'"),
        ("role: incident_commander", "role: boss", "'boss' is none of incident_commander, "),
        ("kinds: [permission_grant]", "kinds: [permission]", "'permission' is no kind of evidence"),
        ("stages: 2", "stages: two", "expected a whole number"),
        ("stages: 2", "stages: 2.5", "'2.5' is neither a text, a whole number, true nor false"),
        ("stages: 2", "stages: yes", "'yes' is neither a text"),
        ("phase: contained", "phase: done", "'done' is none of triaged, contained"),
        ("after: recovered_at", "after: noon", "'noon' is none of detected_at, declared_at"),
        ("    title: contain\n", "    titel: contain\n", "field 'title' is missing"),
        ("        check: dry_run\n", "        check: dry_run\n        cheque: 1\n",
         "unknown field 'cheque'"),
        ("  - id: P4", "  - id: P3", "two items have the id 'P3'"),
        ("format: 2", "format: 1", "not of format 2"),
        ("applies: on_trigger\n    trigger: {asks: Data was exposed, test: exposure_confirmed}",
         "applies: on_trigger", "on_trigger needs a trigger"),
        ("owner: comms_lead\n    applies", "owner: comms_lead\n    owner: comms_lead\n    applies",
         "'owner' stands here twice"),
        ("evidence:\n", "evidence: [\n", "not YAML: "),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_line(old: str, new: str, told: str) -> None:
    assert old in TEXT
    text = TEXT.replace(old, new, 1)
    said = refused(text)
    assert told in said
    line = int(re.match(r"ours\.yaml, line (\d+): ", said)[1])  # type: ignore[index]
    if not old.startswith(("  - id", "evidence")):  # two ids, and an end that is missing
        assert abs(line - line_of(TEXT, old)) <= 5, said


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (TEXT, "owner: x\nduties: []\n",
         "line 1: fields 'format', 'name', 'version', 'clocks', 'evidence' are missing; "
         "unknown field 'owner'"),
        ("    title: contain\n    owner: ", "    titel: contain\n    ower: ",
         "fields 'title', 'owner' are missing; unknown fields 'ower', 'titel'"),
        ("        asks: There is an incident commander\n        test: role_held\n"
         "        role: incident_commander\n",
         "        ask: There is an incident commander\n        test: role_held\n        rule: x\n",
         "fields 'asks', 'role' are missing; unknown fields 'ask', 'rule'"),
        ("asks: The tier is decided\n        test: ", "ask: The tier is decided\n        tset: ",
         "fields 'test', 'asks' are missing; unknown fields 'ask', 'tset'"),
        ("after: recovered_at", "later: recovered_at, since: now",
         "field 'after' is missing; unknown fields 'later', 'since'"),
    ],
)  # fmt: skip
def test_all_that_is_missing_or_unknown_in_one_place_is_named_at_once(
    old: str, new: str, told: str
) -> None:
    assert old in TEXT
    assert told in refused(TEXT.replace(old, new, 1))


def test_the_line_is_that_of_the_value_itself() -> None:
    text = TEXT.replace("stages: 2", "stages: two", 1)
    assert refused(text).startswith(f"ours.yaml, line {line_of(text, 'stages: two')}: ")


@pytest.mark.parametrize("text", ["", "- a\n", "just text\n", "\x00", "a: &a [*a]\n"])
def test_what_is_no_profile_is_refused_in_words(text: str) -> None:
    assert refused(text).startswith("ours.yaml")


def test_anchors_cannot_blow_it_up() -> None:
    text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 8)
    )
    assert "too long" in refused(text)


# -- extending -------------------------------------------------------------------------------------

OURS = """\
extends: agent-incident-runbook
name: our-runbook
version: 3
remove: [K4.playbook, postmortem-after-recovery]
clocks:
  - {id: contain, limit_seconds: 900}
evidence:
  - id: C3
    conditions:
      - id: systems
        silence_seconds: 60
duties:
  - id: L1
    title: tell the regulator
    owner: comms_lead
    conditions:
      - id: authority
        asks: The authority was told
        test: notified
        audience: authority
        accepted: true
        missing: authority not told
"""


def test_an_organisation_extends_the_built_in_profile() -> None:
    ours = compiled(OURS)
    assert (ours.name, ours.version) == ("our-runbook", 3)
    assert ours.items[-1].id == "L1"
    assert "K4.playbook" in BUILT_IN.conditions
    assert "K4.playbook" not in ours.conditions
    seconds = {clock.id: clock.seconds for clock in ours.clocks}
    assert seconds["contain"] == 900
    assert "postmortem-after-recovery" not in seconds
    (c3,) = [item for item in ours.items if item.id == "C3"]
    (systems,) = [each for each in c3.conditions if each.id == "C3.systems"]
    assert systems.parameters["silence_seconds"] == 60
    assert systems.asks == "Every affected system has a log over the whole window"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            "extends: agent-incident-runbook",
            "extends: other",
            "line 1: there is no profile 'other'",
        ),
        ("name: our-runbook\n", "", "line 1: give it a name of its own"),
        ("[K4.playbook,", "[K4.plabyook,", "line 4: there is nothing called 'K4.plabyook'"),
        ("silence_seconds: 60", "silence_seconds: x", "line 11: "),
        ("audience: authority", "audience: police", "line 20: "),
        ("duties:", "dutys:", "line 12: unknown field 'dutys'"),
        ("  - id: C3", "  - di: C3", "line 8: expected an entry with an id"),
    ],
)
def test_a_mistake_in_an_extension_has_its_own_line(old: str, new: str, told: str) -> None:
    assert told in refused(OURS.replace(old, new, 1))


# -- commands --------------------------------------------------------------------------------------


def test_check_and_compile(empty: Evault) -> None:
    empty.file("ours.yaml", OURS)
    said = empty.answer("profile", "profile", "check", "ours.yaml")
    assert (said["name"], said["counts"]["duties"], said["output"]) == ("our-runbook", 11, None)
    said = empty.answer("profile", "profile", "compile", "ours.yaml", "-o", "ours.json")
    assert said["output"] == "ours.json"
    again = empty.answer("profile", "profile", "check", "ours.json")
    assert again["sha256"] == said["sha256"]
    assert "ours.json" in empty.refused("profile", "compile", "ours.yaml", "-o", "ours.json")
    empty.file("bad.yaml", OURS.replace("authority\n", "police\n"))
    assert "bad.yaml, line 20" in empty.refused("profile", "check", "bad.yaml")


def test_checklist_and_export_take_another_profile_and_name_it(evault: Evault, case: str) -> None:
    evault.file("ours.yaml", OURS)
    report = run("checklist", "--profile", "ours.yaml", "--json").json["report"]
    assert report["profile"]["name"] == "our-runbook"
    assert report["counts"]["duties"]["of"] == 11
    assert run("checklist", "--json").json["report"]["profile"]["name"] == BUILT_IN.name
    evault.file("a")
    evault("ingest", "a")
    evault("export", "-o", "b.zip", "--purpose", "x", "--profile", "ours.yaml")
    trust = run("trust").out
    evault.file("trust.json", trust)
    bundle, trusted = evault.folder / "b.zip", evault.folder / "trust.json"
    audited = audit_bundle(bundle, trust_file=trusted, checklist=True)
    assert audited.outcome_of(Step.CHECKLIST) == Outcome.PASSED
    sequence = json.loads(evault("custody", "--json").out)["items"][-1]["sequence"]
    evault("export", "-o", "c.zip", "--at", sequence, "--profile", "ours.yaml")
    assert (evault.folder / "b.zip").read_bytes() == (evault.folder / "c.zip").read_bytes()
    assert "--profile" in evault.refused("export", "-o", "d.zip", "--at", sequence)


def test_as_of_moves_the_clock_and_at_sequence_what_is_known(evault: Evault, case: str) -> None:
    evault("incident", "assign", "incident_commander", "Grace")
    now = run("checklist", "--json").json["report"]
    then = run("checklist", "--at-sequence", "0", "--json").json["report"]
    assert (then["head"]["sequence"], now["head"]["sequence"]) == (0, 1)
    told = {each["id"]: each["answer"] for each in then["evidence"][0]["conditions"]}
    assert told["C1.commander"] == "fail"
    later = run("checklist", "--as-of", "2999-01-01T00:00Z", "--json").json["report"]
    assert {each["timeliness"] for each in later["clocks"]} >= {"breached"}
    assert later["evidence"] == now["evidence"]
    assert "takes no --as-of" in evault.refused("checklist", "--seal", "--as-of", "now")
    assert "has no link 9" in evault.refused("checklist", "--at-sequence", "9")


@pytest.mark.slow
def test_compiled_profiles_are_read_without_yaml(empty: Evault) -> None:
    empty.file("ours.json", compiled(OURS).data)
    empty.file("ours.yaml", OURS)
    code = (
        "import sys; sys.modules['yaml'] = None; from cli.main import execute; "
        "sys.exit(execute(sys.argv[1:]))"
    )
    for name, expected in (("ours.json", 0), ("ours.yaml", 2)):
        done = subprocess.run(
            [sys.executable, "-c", code, "profile", "check", name],
            cwd=empty.folder, capture_output=True, text=True, check=False,
            env={"PYTHONPATH": str(Path(cli.__file__).parents[1])},
        )  # fmt: skip
        assert done.returncode == expected, done.stderr
        assert ("evidence-vault[formats]" in done.stderr) == bool(expected)
