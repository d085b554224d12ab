"""Every command says what it takes; the program says where to begin."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from cli_support import SCHEMAS, run
from typer.main import get_command

import cli
from cli.main import build

ANSWERS = {
    "attest": "attest",
    "capture": "capture",
    "checklist": "checklist",
    "collector add": "collector-add",
    "collector list": "collector-list",
    "collector remove": "collector-remove",
    "custody": "custody",
    "evidence classify": "evidence-correct",
    "evidence get": "evidence-get",
    "evidence list": "evidence-list",
    "evidence show": "evidence-show",
    "evidence withdraw": "evidence-correct",
    "export": "export",
    "grant add": "grant-add",
    "grant list": "grant-list",
    "grant revoke": "grant-revoke",
    "hold list": "hold-list",
    "hold release": "hold-release",
    "hold set": "hold-set",
    "incident amend": "incident-change",
    "incident assign": "incident-act",
    "incident close": "incident-close",
    "incident declare": "incident-declare",
    "incident list": "incident-list",
    "incident phase": "incident-act",
    "incident reopen": "incident-act",
    "incident scope": "incident-change",
    "incident show": "incident-show",
    "incident update": "incident-act",
    "ingest": "ingest",
    "init": "init",
    "inspect": "inspect",
    "log audit": "log-audit",
    "log checkpoint": "log-checkpoint",
    "log proof": "log-proof",
    "log rebuild": "log-rebuild",
    "preserve": "preserve",
    "profile check": "profile",
    "profile compile": "profile",
    "metrics": "metrics",
    "request approve": "request",
    "request list": "request-list",
    "request refuse": "request",
    "request show": "request",
    "retention apply": "retention-apply",
    "retention extend": "retention-extend",
    "retention policy": "retention-policy",
    "retention show": "retention-show",
    "spool deliver": "spool-deliver",
    "spool init": "spool-init",
    "spool limit": "spool-limit",
    "spool set-aside": "spool-set-aside",
    "spool status": "spool-status",
    "status": "status",
    "store check": "store-check",
    "stream list": "stream-list",
    "stream show": "stream-show",
    "sweep": "sweep",
    "timeline": "timeline",
    "token add": "token-add",
    "token list": "token-list",
    "token revoke": "token-revoke",
    "token rotate": "token-rotate",
    "trust": "trust",
    "verify": "verify",
    "waive grant": "waive",
    "waive list": "waive-list",
    "waive revoke": "waive",
    "whoami": "whoami",
}
PARTS = {
    "audit-report",
    "collector",
    "exhibit",
    "grant",
    "incident",
    "problem",
    "receipt",
    "spooled",
    "terms",
    "token",
}


def commands(group: object = None, name: str = "") -> Iterator[tuple[str, typer.core.TyperCommand]]:
    group = group or get_command(build())
    for word, command in group.commands.items():  # type: ignore[attr-defined]
        if hasattr(command, "commands"):
            yield from commands(command, f"{name}{word} ")
        else:
            yield f"{name}{word}", command


COMMANDS = dict(commands())


def test_the_package_under_test_is_the_product() -> None:
    assert Path(cli.__file__).name == "__init__.py"
    assert (Path(cli.__file__).parent / "main.py").is_file()


@pytest.mark.parametrize("name", COMMANDS)
def test_help_names_and_explains_every_argument(name: str) -> None:
    said = run(*name.split(), "--help")
    assert said.code == 0
    shown = " ".join(said.out.split())
    assert (COMMANDS[name].help or "").split("\n")[0] in shown
    for parameter in COMMANDS[name].params:
        assert parameter.help, f"{name}: {parameter.name} has no help"  # type: ignore[attr-defined]
        words = parameter.opts if parameter.param_type_name == "option" else [parameter.metavar]
        for word in words:
            assert str(word) in shown, f"{name} --help does not show {word}"


def test_every_command_that_answers_json_has_a_schema_and_no_schema_is_left_over() -> None:
    answering = {name for name, command in COMMANDS.items() if "as_json" in
                 {parameter.name for parameter in command.params}}  # fmt: skip
    assert answering == set(ANSWERS)
    assert {path.stem for path in SCHEMAS.glob("*.json")} == set(ANSWERS.values()) | PARTS


def test_only_the_demo_and_the_server_answer_no_json() -> None:
    assert set(COMMANDS) - set(ANSWERS) == {"demo", "serve"}


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("incident",),
        ("evidence",),
        ("hold",),
        ("waive",),
        ("retention",),
        ("store",),
        ("stream",),
        ("log",),
        ("spool",),
        ("collector",),
        ("grant",),
        ("token",),
    ],
)
def test_without_a_command_the_help_is_shown_as_it_is(words: tuple[str, ...]) -> None:
    said = run(*words)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith(f"Usage: {' '.join(('evault', *words))} ")


def test_the_help_tells_exit_codes_and_where_to_start() -> None:
    shown = " ".join(run("--help").out.split())
    assert "Start with: evault init" in shown
    assert "0 done or verified, 1 the evidence failed or something could not be kept" in shown


def test_the_version_needs_no_vault() -> None:
    said = run("--version")
    assert said.code == 0
    assert said.out.startswith("evault 0.")
