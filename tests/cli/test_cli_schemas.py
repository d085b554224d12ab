"""Every answer to --json has the shape that `cli/schemas` promises, on success and on errors."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from cli_support import DEMO, SAMPLES, SCHEMAS, Evault, check, run, validator

import cli
from vault.ports import LockMode
from verify.attestation import AttestationType
from verify.declaration import Exposure, Severity, Tier, Trigger, YesNo
from verify.grant import GrantedRole
from verify.response import Containment, Phase, Role
from verify.statement import Kind
from verify.trust import Step

NAMES = sorted(path.stem for path in SCHEMAS.glob("*.json"))
TOP_LEVEL = {
    "incident": lambda value: isinstance(value, str) or value is None,
    "items": lambda value: isinstance(value, list),
    "receipt": lambda value: isinstance(value, dict) or value is None,
    "verdict": lambda value: isinstance(value, str),
    "findings": lambda value: isinstance(value, list),
    "counts": lambda value: isinstance(value, dict),
}


@pytest.mark.parametrize("name", NAMES)
def test_a_schema_is_itself_sound_and_speaks_to_programmers(name: str) -> None:
    schema = json.loads((SCHEMAS / f"{name}.json").read_bytes())
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["title"]
    assert schema["description"]


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"terms", "incident"}))
def test_a_schema_is_closed(name: str) -> None:
    with pytest.raises(jsonschema.ValidationError):
        validator(name).validate({})
    schema = json.loads((SCHEMAS / f"{name}.json").read_bytes())
    while "$ref" in schema and "unevaluatedProperties" not in schema:
        schema = json.loads((SCHEMAS / schema["$ref"]).read_bytes())
    for each in schema.get("oneOf", [schema]):
        closed = each.get("additionalProperties", each.get("unevaluatedProperties"))
        assert closed is False


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("kind", Kind), ("step", Step), ("severity", Severity), ("tier", Tier), ("role", Role),
        ("trigger", Trigger), ("phase", Phase), ("exposure", Exposure), ("yes_no", YesNo),
        ("lock_mode", LockMode), ("containment", Containment),
        ("attestation_type", AttestationType), ("granted_role", GrantedRole),
    ],
)  # fmt: skip
def test_the_words_of_a_schema_are_those_of_the_format(name: str, words: Any) -> None:
    terms = json.loads((SCHEMAS / "terms.json").read_bytes())["$defs"]
    assert terms[name]["enum"] == [str(word) for word in words]


@pytest.mark.slow
def test_every_command_answers_in_its_shape(empty: Evault) -> None:
    """One life of an incident, every answer of it held against its schema."""
    answers: list[Any] = []

    def answer(schema: str, *words: object, code: int = 0) -> Any:
        said = empty.answer(schema, *words, code=code)
        answers.append(said)
        return said

    assert answer("init", "init")["created"] is True
    assert answer("init", "init")["created"] is False
    answer("trust", "trust")
    answer("trust", "trust", "--sigstore")
    assert answer("incident-list", "incident", "list")["items"] == []
    declared = answer(
        "incident-declare", "incident", "declare", "--title", "T", "--severity", "sev2",
        "--tier", "unknown", "--system", "aws", "--detected-at", "-12m", "--trigger", "egress",
    )  # fmt: skip
    name = declared["incident"]
    assert declared["governing_tier"] == "4"
    answer("incident-change", "incident", "amend", name, "--tier", "3", "--reason", "decided")
    nothing = answer("incident-change", "incident", "amend", "--tier", "3", "--reason", "again")
    assert (nothing["changes"], nothing["receipt"]) == ([], None)
    answer(
        "incident-change", "incident", "scope", "--run", "r1", "--principal", "p", "--ticket", "X",
        "--from", "-2d", "--to", "now", "--exposure", "suspected", "--customer-impact", "no",
        "--channel", "#c", "--detector", "d", "--source", "s", "--cause", "k",
        "--recurrence-of", "INC-2025-0001",
    )  # fmt: skip
    answer("incident-act", "incident", "assign", "comms-lead", "Ada")
    folder = empty.folder / "in"
    folder.mkdir()
    (folder / "link").symlink_to("nowhere")
    (folder / "a.txt").write_text("x\n")
    sealed = answer("ingest", "ingest", name, DEMO / "agent", SAMPLES / "cloudtrail", folder)
    assert sealed["counts"]["items"] == len(sealed["items"]) == 9
    assert sealed["links"] == [{"name": "in/link", "target": "nowhere"}]
    again = answer("ingest", "ingest", DEMO / "agent")
    assert (again["counts"]["already"], again["receipt"]) == (3, None)
    answer("incident-act", "incident", "phase", "contained", "--exhibit", "EV-0001")
    listed = answer("evidence-list", "evidence", "list")
    assert listed["items"] == sealed["items"]
    assert answer("evidence-show", "evidence", "show", "EV-0004")["items"] == [listed["items"][3]]
    answer("evidence-get", "evidence", "get", "EV-0001", "-o", empty.folder / "out")
    answer("evidence-correct", "evidence", "classify", "EV-0009", "--kind", "ticket")
    answer("evidence-correct", "evidence", "withdraw", "EV-0009", "--reason", "wrong case")
    answer("incident-act", "incident", "assign", "comms-lead", "Bob")
    answer("incident-act", "incident", "assign", "comms-lead", "Bob", "--accept")
    answer("incident-act", "incident", "update", "--containment", "contained", "--next", "watch")
    asked = answer("attest", "attest", "freeze", code=2)
    assert (asked["receipt"], asked["second_person"]) == (None, False)
    frozen = answer("attest", "attest", "freeze", "at=-5m", "systems=aws", "systems=mail-agent")
    assert frozen["attestation"]["fields"]["systems"] == ["aws", "mail-agent"]
    granted = answer(
        "waive", "waive", "grant", "C2.models", "--reason", "r", "--owner", "o", "--until", "+2w",
        "--approved-by", "Grace", "--exhibit", "EV-0001", "--compensating", "EV-0002",
    )  # fmt: skip
    assert (granted["waiver"]["waiver"], granted["waiver"]["state"]) == ("W-0001", "live")
    assert answer("waive-list", "waive", "list")["counts"] == {"live": 1, "waivers": 1}
    assert answer("waive", "waive", "revoke", "W-0001", "--reason", "r")["waiver"]["state"] == (
        "revoked"
    )
    shown = answer("incident-show", "incident", "show")
    assert [len(shown[name]) for name in ("assignments", "attestations", "updates", "waivers")] == [
        2, 1, 1, 1
    ]  # fmt: skip
    assert answer("checklist", "checklist")["receipt"] is None
    assert answer("checklist", "checklist", "--seal")["receipt"]["state"] == "kept"
    answer("checklist", "checklist", "--require", "complete", code=1)
    answer("custody", "custody")
    answer("custody", "custody", "EV-0001")
    assert answer("timeline", "timeline")["counts"]["unplaced"] == 4
    assert answer("status", "status")["items"][0]["roles"][1]["person"] == "Bob"
    assert answer("metrics", "metrics")["counts"] == {"incidents": 1, "unreadable": 0}
    page = empty.folder / "timeline.html"
    assert answer("timeline", "timeline", "--html", page)["output"] == str(page)
    bundle = empty.folder / "case.zip"
    made = answer("export", "export", "-o", bundle, "--purpose", "p", "--withhold", "EV-0002=law")
    again = answer("export", "export", "-o", empty.folder / "b.zip", "--at", made["sequence"])
    assert (again["sha256"], again["receipt"]) == (made["sha256"], None)
    answer("retention-extend", "retention", "extend", "--until", "2099-01-01T00:00Z",
           "--reason", "r")  # fmt: skip
    answer("hold-set", "hold", "set", "--matter", "M", "--reason", "r", "--ordered-by", "Legal")
    answer("hold-release", "hold", "release", "--matter", "M", "--reason", "r",
           "--approved-by", "Grace", "--exhibit", "EV-0001")  # fmt: skip
    assert answer("hold-list", "hold", "list")["counts"]["released"] == 1
    assert answer("retention-show", "retention", "show")["incident"] is None
    assert answer("retention-show", "retention", "show", name)["incident"] == name
    answer("retention-apply", "retention", "apply")
    policy = empty.file("policy.json", json.dumps(answer("retention-policy", "retention", "policy"))
                        .replace("365", "366"))  # fmt: skip
    assert answer("retention-policy", "retention", "policy", policy)["receipt"]["chain"] == "vault"
    assert answer("sweep", "sweep")["verdict"] == "passed"
    assert answer("sweep", "sweep", "--list")["items"]
    assert answer("store-check", "store", "check")["kind"] == "directory"
    assert answer("verify", "verify")["verdict"] == "passed"
    assert answer("verify", "verify", bundle)["verdict"] == "passed"
    answer("verify", "verify", "--depth", "structure", code=2)
    answer("log-checkpoint", "log", "checkpoint")
    answer("log-proof", "log", "proof")
    answer("log-proof", "log", "proof", "--sigstore")
    answer("log-proof", "log", "proof", "--from", "1")
    assert answer("log-audit", "log", "audit")["incident"] is None
    answer("log-rebuild", "log", "rebuild")
    closed = answer("incident-close", "incident", "close")
    assert closed["open"]["gaps"]
    answer("incident-act", "incident", "reopen", name, "--reason", "more came")
    answer("incident-show", "incident", "show")
    answer("incident-list", "incident", "list")
    for each in answers:
        for field in TOP_LEVEL.keys() & each.keys():
            assert TOP_LEVEL[field](each[field]), f"{field} of {sorted(each)}"


def test_what_could_not_be_kept_is_in_the_answer_and_makes_the_exit_code_1(
    evault: Evault, case: str
) -> None:
    os.mkfifo(evault.folder / "pipe")
    evault.file("a")
    said = evault.answer("ingest", "ingest", case, ".", code=1)
    assert said["counts"] == {"already": 0, "bytes": 14, "items": 1, "links": 0, "not_kept": 1}
    assert said["not_kept"] == [{"detail": "a named pipe", "name": "work/pipe"}]


def test_the_offline_verifier_answers_in_the_same_shape(evault: Evault, case: str) -> None:
    evault.file("a")
    evault("ingest", "a")
    evault("export", "-o", "case.zip", "--purpose", "p")
    root = Path(cli.__file__).parent.parent

    def verify(*words: object) -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, "-m", "verify", *map(str, words), "--json"]
        return subprocess.run(command, cwd=root, capture_output=True, check=False)

    bundle = evault.folder / "case.zip"
    trusted = verify(bundle, "--trust", evault.home / "trust.json", "--checklist")
    assert (trusted.returncode, trusted.stderr) == (0, b"")
    check("verify", json.loads(trusted.stdout))
    alone = verify(bundle)
    assert alone.returncode == 2
    check("verify", json.loads(alone.stdout))
    broken = evault.file("broken.zip", b"PK\x05\x06")
    opened = verify(broken, "--trust", evault.home / "trust.json")
    assert opened.returncode == 1
    check("verify", json.loads(opened.stdout))
    absent = verify(evault.folder / "absent.zip")
    assert (absent.returncode, absent.stdout) == (2, b"")
    check("problem", json.loads(absent.stderr))


ERRORS: list[tuple[str, tuple[str, ...]]] = [
    ("not_found", ("incident", "show", "INC-2020-0009")),
    ("usage", ("incident", "show", "INC-20-9")),
    ("usage", ("incident", "declare", "--title", "T")),
    ("usage", ("incident", "amend", "--reason", "r")),
    ("usage", ("incident", "amend", "--reason", "r", "--tier", "7")),
    ("usage", ("incident", "scope", "--from", "2026-01-01T00:00")),
    ("usage", ("incident", "assign", "captain", "Ada")),
    ("usage", ("incident", "phase", "celebrated")),
    ("refused", ("incident", "reopen", "INC-2026-0001", "--reason", "r")),
    ("usage", ("ingest", "absent")),
    ("malformed", ("ingest", ".", "--kind", "gossip")),
    ("not_found", ("evidence", "show", "EV-0404")),
    ("not_found", ("evidence", "get", "EV-0404")),
    ("not_found", ("evidence", "withdraw", "EV-0404", "--reason", "r")),
    ("malformed", ("evidence", "classify", "EV-0001", "--kind", "gossip")),
    ("not_found", ("custody", "EV-0404")),
    ("usage", ("timeline", "--csv", "--html", "x.html")),
    ("not_found", ("status", "INC-2020-0009")),
    ("usage", ("status", "EV-0001")),
    ("usage", ("metrics", "--from", "2026-01-01T00:00")),
    ("usage", ("timeline", "--html", "nowhere/x.html")),
    ("not_found", ("timeline", "INC-2020-0009")),
    ("usage", ("checklist", "--require", "everything")),
    ("usage", ("verify", "absent.zip")),
    ("usage", ("verify", "--trust", "absent.json")),
    ("usage", ("verify", "--seen", "absent.json")),
    ("usage", ("verify", "--depth", "soul")),
    ("usage", ("export", "-o", "x.zip")),
    ("usage", ("export", "-o", "nowhere/x.zip", "--purpose", "p")),
    ("refused", ("export", "-o", "x.zip", "--at", "0")),
    ("usage", ("hold", "set", "--matter", "M")),
    (
        "not_found",
        (
            "hold",
            "release",
            "--matter",
            "M",
            "--reason",
            "r",
            "--approved-by",
            "Grace",
            "--exhibit",
            "EV-0001",
        ),
    ),
    ("not_found", ("hold", "list", "INC-2020-0009")),
    ("refused", ("retention", "extend", "--until", "2020-01-01T00:00Z", "--reason", "r")),
    ("usage", ("retention", "policy", "absent.json")),
    ("not_found", ("retention", "show", "INC-2020-0009")),
    ("usage", ("sweep", "--depth", "structure")),
    ("usage", ("store", "check", "--endpoint-url", "http://h")),
    ("usage", ("store", "check", "--store", "bucket")),
    ("usage", ("init", "--database", "postgresql://u:p@h/d")),
    ("not_found", ("log", "proof", "--link", "99")),
    ("usage", ("log", "proof", "--from", "99")),
    ("usage", ("log", "audit", "--since", "absent")),
    ("usage", ("--nonsense",)),
    ("usage", ("nonsense",)),
]


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A vault with an incident and an exhibit, for commands that change nothing."""
    home = tmp_path_factory.mktemp("sealed") / "home"
    evault = Evault(home, home.parent)
    file = evault.file("a")
    for words in (("init",), ("ingest", file)):
        if words[0] == "ingest":
            declared = run(
                "--home", home, "incident", "declare", "--title", "T", "--severity", "sev1",
                "--tier", "1", "--system", "s", "--detected-at", "now",
            )  # fmt: skip
            assert declared.code == 0, declared.err
        evault("--home", home, *words)
    return home


@pytest.mark.parametrize(("code", "words"), ERRORS, ids=[" ".join(words) for _, words in ERRORS])
def test_an_error_is_one_problem_object_on_standard_error(
    sealed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, words: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EVAULT_HOME", str(sealed))
    evault = Evault(sealed, tmp_path)
    name = run("incident", "list", "--json").json["items"][0]["incident"]
    words = tuple(name if word == "INC-2026-0001" else word for word in words)
    before = evault.link(name)
    assert evault.problem(*words)["code"] == code
    assert evault.link(name) == before, "an error seals nothing"
    message = evault.refused(*words)
    assert len(message.rstrip("\n").split("\n")) == 1
