"""Retention: the policy, what it gives each exhibit, and that it is only ever extended."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cli_bucket import Bucket
from cli_support import DEMO, Evault, run
from servers.faulty import network

from verify.retention import BUILT_IN, FLOOR_DAYS, LOG_FLOOR_DAYS, LOG_KINDS
from verify.statement import Kind

BUILT_IN_DAYS = {"sev1": 7 * 365 + 2, "sev2": 3 * 365 + 1, "sev3": 365, "sev4": 365}


def policy_file(evault: Evault, *rules: tuple[int, str | None, str | None]) -> Path:
    listed = [{"days": days, "kind": kind, "severity": severity} for days, kind, severity in rules]
    text = json.dumps({"policy": "retention", "rules": listed}, indent=1)
    return evault.file("policy.json", text)


def declare(evault: Evault, severity: str) -> str:
    said = evault(
        "incident", "declare", "--title", "T", "--severity", severity, "--tier", "1",
        "--system", "s", "--detected-at", "-5m",
    )  # fmt: skip
    return said.out.split()[0]


def days(evault: Evault, incident: str) -> list[int]:
    """For how many days each exhibit is kept, by the chain; the store agrees."""
    shown = evault.answer("retention-show", "retention", "show", incident)
    assert shown["drift"] == []
    exhibits = run("evidence", "list", incident, "--json").json["items"]
    found = []
    for kept, exhibit in zip(shown["items"], exhibits, strict=True):
        assert kept["exhibit"] == exhibit["exhibit"]
        received = datetime.fromisoformat(exhibit["received_at"])
        found.append((datetime.fromisoformat(kept["until"]) - received).days)
    return found


def test_without_a_policy_the_built_in_one_is_shown_with_its_floors(evault: Evault) -> None:
    said = evault("retention", "show")
    assert said.lines[0].startswith("The built-in policy is in force; to change it:")
    assert [line.split()[:5] for line in said.lines[2:5:2]] == [
        ["sev1", "sev2", "sev3", "sev4", "floor"],
        ["dlp_finding,", "nil_return"],
    ]
    assert said.lines[3].split()[:5] == ["2,557", "1,096", "365", "365", "184"]
    assert said.lines[5].split() == ["2,557", "1,096", "365", "365", "30", "every", "other", "kind"]
    answer = evault.answer("retention-show", "retention", "show")
    assert answer["sequence"] is answer["incident"] is answer["mode"] is None
    assert answer["rules"] == BUILT_IN.to_json()["rules"]
    assert answer["floors"] == {
        kind.value: LOG_FLOOR_DAYS if kind in LOG_KINDS else FLOOR_DAYS for kind in Kind
    }


@pytest.mark.parametrize("severity", ["sev1", "sev2", "sev3", "sev4"])
def test_evidence_is_kept_by_severity_from_when_it_was_received(
    evault: Evault, severity: str
) -> None:
    incident = declare(evault, severity)
    evault("ingest", DEMO / "agent")
    assert days(evault, incident) == [BUILT_IN_DAYS[severity]] * 3
    kept = evault.answer("evidence-show", "evidence", "show", "EV-0001")["kept"]
    shown = evault.answer("retention-show", "retention", "show", incident)["items"][0]
    assert kept["until"] == shown["until"]
    assert f"kept       until {kept['until']} at least" in evault("evidence", "show", "EV-0001").out


def test_the_printed_policy_can_be_edited_and_sealed(evault: Evault) -> None:
    evault.file("plain.json", evault("retention", "policy").raw)
    evault.file("answer.json", evault("retention", "policy", "--json").raw)
    for name in ("plain.json", "answer.json"):
        said = evault("retention", "policy", name)
        assert said.out == "This is the policy in force; nothing sealed.\n"
    text = (evault.folder / "answer.json").read_text().replace('"days": 365', '"days": 500')
    evault.file("longer.json", text)
    said = evault.answer("retention-policy", "retention", "policy", "longer.json")
    assert said["receipt"]["chain"] == "vault"
    assert said["sequence"] == said["receipt"]["sequence"] == 0
    shown = evault("retention", "show")
    assert shown.lines[0] == "In force by link 0 of the vault's chain"
    assert shown.lines[-1].split()[:4] == ["2,557", "1,096", "500", "500"]
    evault.file("again.json", evault("retention", "policy").raw)
    said = evault.answer("retention-policy", "retention", "policy", "again.json")
    assert said["receipt"] is None, "what was sealed reads as it was written"
    evault("log", "rebuild")
    assert evault("retention", "show").lines == shown.lines
    evault.sound()


@pytest.mark.parametrize("kind", [None, "prompt"])
def test_a_longer_policy_extends_what_is_kept_already(evault: Evault, kind: str | None) -> None:
    incident = declare(evault, "sev3")
    evault("ingest", DEMO / "agent")
    evault("ingest", evault.file("note.txt", "a note\n"))
    assert days(evault, incident) == [365] * 4
    said = evault.answer(
        "retention-policy", "retention", "policy", policy_file(evault, (400, kind, None))
    )
    assert (said["counts"], said["gone"]) == ({"objects": 2}, [])
    assert days(evault, incident) == [400] * 3 + [400 if kind is None else 365]
    evault.sound()


def test_a_shorter_policy_binds_only_what_comes_after_it(evault: Evault) -> None:
    incident = declare(evault, "sev3")
    evault("ingest", DEMO / "agent" / "1-attacked.json")
    evault("retention", "policy", policy_file(evault, (200, None, None)))
    evault("ingest", DEMO / "agent" / "2-baseline.json")
    assert days(evault, incident) == [365, 200]
    evault("retention", "policy", policy_file(evault, (250, None, None)))
    assert days(evault, incident) == [365, 250]
    evault.sound()


def test_a_severity_that_falls_takes_nothing_back(evault: Evault) -> None:
    incident = declare(evault, "sev2")
    evault("ingest", DEMO / "agent" / "1-attacked.json")
    evault("incident", "amend", "--severity", "sev4", "--reason", "less than thought")
    evault("ingest", DEMO / "agent" / "2-baseline.json")
    assert days(evault, incident) == [BUILT_IN_DAYS["sev2"], BUILT_IN_DAYS["sev4"]]
    evault("incident", "amend", "--severity", "sev1", "--reason", "more than thought")
    assert days(evault, incident) == [BUILT_IN_DAYS["sev1"]] * 2
    evault.sound()


def test_a_policy_and_a_severity_that_were_never_in_force_together_promise_nothing(
    evault: Evault,
) -> None:
    incident = declare(evault, "sev4")
    evault("ingest", DEMO / "agent" / "1-attacked.json")
    evault("retention", "policy", policy_file(evault, (300, None, None)))
    evault("incident", "amend", "--severity", "sev1", "--reason", "r")
    assert days(evault, incident) == [365], "sev1 was worth 7 years under the other policy alone"
    evault.sound()


def test_a_classification_extends_and_another_takes_nothing_back(evault: Evault) -> None:
    incident = declare(evault, "sev4")
    evault("retention", "policy", policy_file(evault, (40, None, None), (900, "ticket", None)))
    evault("ingest", evault.file("note.txt", "a note\n"))
    assert days(evault, incident) == [40]
    evault("evidence", "classify", "EV-0001", "--kind", "ticket")
    assert days(evault, incident) == [900]
    evault("evidence", "classify", "EV-0001", "--kind", "other")
    assert days(evault, incident) == [900]
    evault.sound()


@pytest.mark.slow
def test_extending_moves_every_exhibit_also_those_to_come_and_in_the_store(
    on_s3: Evault, bucket: Bucket
) -> None:
    incident = on_s3.declare()
    on_s3("ingest", DEMO / "agent")
    until = (datetime.now(UTC) + timedelta(days=20 * 365)).replace(microsecond=0)
    text = until.strftime("%Y-%m-%dT%H:%M:%SZ")
    said = on_s3.answer(
        "retention-extend", "retention", "extend", "--until", text, "--reason", "the board"
    )
    assert (said["until"], said["counts"], said["gone"]) == (text, {"objects": 1}, [])
    on_s3("ingest", on_s3.file("later.txt", "later\n"))
    assert all(head["ObjectLockRetainUntilDate"] >= until for head in bucket.heads("artifacts/"))
    shown = on_s3.answer("retention-show", "retention", "show", incident)
    assert {item["until"] for item in shown["items"]} == {text}
    assert shown["retained_until"] == text
    assert shown["drift"] == []
    assert f"extended by statement to {text}" in on_s3("retention", "show", incident).out
    assert on_s3.answer("incident-show", "incident", "show")["retained_until"] == text
    assert (
        f"kept      until {until:%Y-%m-%d}, locked in governance mode"
        in on_s3("incident", "show").out
    )
    told = [row["detail"] for row in run("custody", "--json").json["items"]]
    assert told[2] == f'all exhibits, until {text} at least "the board"'
    assert "retention is only ever extended" in on_s3.refused(
        "retention", "extend", "--until", text, "--reason", "again"
    )
    on_s3.sound()


@pytest.mark.slow
def test_a_lock_that_was_shortened_behind_our_back_is_found_and_laid_anew(
    on_s3: Evault, bucket: Bucket
) -> None:
    incident = on_s3.declare()
    on_s3("ingest", DEMO / "agent")
    [version] = bucket.versions("artifacts/")
    soon = datetime.now(UTC) + timedelta(days=1)
    bucket.client.put_object_retention(
        **bucket.where(version),
        Retention={"Mode": "GOVERNANCE", "RetainUntilDate": soon},
        BypassGovernanceRetention=True,
    )
    said = run("retention", "show", incident)
    assert said.code == 1
    assert "is retained until" in " ".join(said.out.split())
    [drift] = on_s3.answer("retention-show", "retention", "show", incident, code=1)["drift"]
    assert drift["exhibits"] == ["EV-0001", "EV-0002", "EV-0003"]
    assert drift["sense"] == "lacks"
    assert run("sweep").code == 1
    on_s3("retention", "apply")
    assert on_s3.answer("retention-show", "retention", "show", incident)["drift"] == []
    on_s3.sound()


@pytest.mark.slow
def test_what_a_vault_stores_beside_exhibits_is_kept_as_they_are(
    on_s3: Evault, bucket: Bucket
) -> None:
    """A list of what was not captured, a sealed report: they are evidence of the response."""
    on_s3.declare()
    (on_s3.folder / "link").symlink_to("nowhere")
    on_s3("ingest", ".")
    on_s3("checklist", "--seal")
    on_s3("hold", "set", "--matter", "M", "--reason", "r")
    heads = bucket.heads("artifacts/")
    assert len(heads) == 2
    assert all(head["ObjectLockLegalHoldStatus"] == "ON" for head in heads)
    assert all(head["ObjectLockMode"] == "GOVERNANCE" for head in heads)
    assert on_s3.answer("sweep", "sweep")["unclaimed"] == []


@pytest.mark.slow
def test_what_the_store_cannot_follow_at_once_is_owed_and_done_by_the_next_command(
    on_s3: Evault, bucket: Bucket
) -> None:
    incident = declare(on_s3, "sev4")
    on_s3("ingest", DEMO / "agent")
    home = on_s3.home / "evault.json"
    direct = home.read_bytes()
    with network(str(bucket.place.endpoint_url)) as between:
        home.write_bytes(direct.replace(str(bucket.place.endpoint_url).encode(),
                                        between.endpoint.encode()))  # fmt: skip
        for words in (
            ("incident", "amend", "--severity", "sev1", "--reason", "r"),
            ("evidence", "classify", "EV-0001", "--kind", "ticket"),
        ):
            between.faults.clear()
            between.fail("PutObjectRetention", performed=False, status=412, times=100)
            said = run(*words)
            assert said.code == 1
            assert "OWED: the store's locks do not follow yet" in said.out
            assert "amended" in said.out or "classified" in said.out, "and what was sealed is told"
    home.write_bytes(direct)
    assert days(on_s3, incident) == [BUILT_IN_DAYS["sev1"]] * 3
    on_s3.sound()


LINES = """{
  "policy": "retention",
  "rules": [
    {"days": 400, "kind": null, "severity": null},
    {"days": 183, "kind": "access_log", "severity": null}
  ]
}
"""


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (LINES, "policy.json line 5: 183 days for access_log; from 184 to 36,500 are allowed"),
        (LINES.replace("400", "29"), "policy.json line 4: 29 days for every kind; from 30 to"),
        (LINES.replace("183", "36501"), "line 5: 36501 days for access_log; from 184 to 36,500"),
        (LINES.replace("access_log", "gossip"), "policy.json line 5: 'gossip' is no kind"),
        (LINES.replace('"severity": null}\n', '"severity": "sev9"}\n'), "line 5: 'sev9' is no sev"),
        (LINES.replace('"days": 183', '"dais": 183'), "line 5"),
        (LINES.replace("183,", "183.5,"), "number 183.5 is not an integer"),
        ('{"policy": "retention", "rules": []}', "at least one rule"),
        ('{"policy": "waivers", "rules": []}', "the policies known here are retention"),
        ('{"policy": "retention"}', "field 'rules' is missing"),
        ('{"policy": "retention", "rules": 7}', "expected a list"),
        ('{"policy": "retention", "rules": [7]}', "line 1: expected a JSON object"),
        ("{", "not JSON"),
        ("[]", "expected a JSON object"),
    ],
)
def test_a_policy_that_cannot_be_is_refused_with_its_line(
    evault: Evault, text: str, told: str
) -> None:
    evault.file("policy.json", text)
    message = evault.refused("retention", "policy", "policy.json")
    assert told in message
    assert "nothing sealed. The policy in force is a pattern: evault retention policy >" in message
    assert evault.answer("retention-show", "retention", "show")["sequence"] is None


def test_rules_are_found_on_their_lines_however_they_are_written(evault: Evault) -> None:
    rules: list[Any] = [{"days": 400, "kind": None, "severity": None}] * 3
    rules[2] = {"days": 1, "kind": None, "severity": None}
    for text, line in (
        (json.dumps({"policy": "retention", "rules": rules}), 1),
        (json.dumps({"rules": rules, "policy": "retention"}, indent=2), 13),
        ('{"policy":"retention","rules"\n:\n[' + ",\n\n".join(map(json.dumps, rules)) + "]}", 7),
    ):
        evault.file("policy.json", text)
        assert f"policy.json line {line}: 1 days" in evault.refused(
            "retention", "policy", "policy.json"
        )


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("extend", "--reason", "r"), "Missing option '--until'"),
        (("extend", "--until", "2099-01-01T00:00Z"), "Missing option '--reason'"),
        (("extend", "--until", "2020-01-01T00:00Z", "--reason", "r"), "is past; name a moment"),
        (("extend", "--until", "now", "--reason", "r"), "is past; name a moment"),
        (("extend", "--until", "9999-01-01T00:00Z", "--reason", "r"), "within the next 36,500"),
        (("extend", "--until", "2099-01-01", "--reason", "r"), "2099-01-01"),
        (("extend", "--until", "2099-01-01T00:00", "--reason", "r"), "zone"),
        (("show", "INC-20-9"), "is no incident id like INC-2026-0001"),
        (("show", "everything"), "is no incident id like INC-2026-0001"),
        (("show", "INC-2020-0009"), "there is no incident INC-2020-0009"),
        (("apply", "INC-2020-0009"), "there is no incident INC-2020-0009"),
        (("policy", "absent.json"), "cannot read absent.json: No such file or directory"),
    ],
)
def test_what_makes_no_sense_is_refused_and_seals_nothing(
    evault: Evault, case: str, words: tuple[str, ...], told: str
) -> None:
    assert told in evault.refused("retention", *words)
    assert evault.link() == 0


def test_a_folder_notes_what_a_bucket_would_enforce(evault: Evault, case: str) -> None:
    evault("ingest", DEMO / "agent")
    [noted] = (evault.home / "store" / "locks" / "artifacts").iterdir()
    before = json.loads(noted.read_bytes())
    noted.chmod(0o600)
    noted.write_text(json.dumps({**before, "retain_until": "2024-01-01T00:00:00Z"}))
    said = run("retention", "show", case)
    assert said.code == 1
    assert "is retained until 2024-01-01T00:00:00Z" in " ".join(said.out.split())
    assert "this binds evault alone: kept in a folder" in " ".join(said.out.split())
    evault("retention", "apply")
    assert json.loads(noted.read_bytes())["retain_until"] >= "2033"
    assert evault.answer("retention-show", "retention", "show", case)["drift"] == []
