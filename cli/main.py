"""`evault`: the entry point. It reads settings once, runs a command, and turns errors into words.

Exit codes: 0 done or verified · 1 the evidence failed, or something met could not be kept, or only
a spool has it · 2 could not be checked, or bad usage · 3 only asked for: a second person has to
approve it · 130 interrupted.
"""

from __future__ import annotations

import importlib
import io
import json
import os
import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Optional

import typer
from typer.main import get_command

from cli.plainhelp import use_plain_help
from cli.session import let_go_of_output
from cli.settings import read_settings, version
from verify.errors import DigestMismatchError, EvidenceError
from verify.report import printable

INTERRUPTED = 130
_INTERRUPTED_TEXT = "interrupted; nothing half-made was claimed"

# Typer carries its own copy of click and exports only leaves of its exception tree; the root of
# all complaints about usage is the base of the base of BadParameter.
_Complaint: type[Exception] = typer.BadParameter.__mro__[2]

COMMANDS = {
    "init": "init", "trust": "init", "incident": "incident", "inspect": "inspect",
    "ingest": "ingest", "capture": "capture", "stream": "stream", "preserve": "preserve",
    "evidence": "evidence", "attest": "attest", "checklist": "checklist", "waive": "waive",
    "status": "status", "timeline": "timeline", "custody": "custody", "hold": "hold",
    "retention": "retention", "verify": "verify", "sweep": "sweep", "export": "export",
    "metrics": "metrics", "profile": "profile", "log": "log", "store": "store", "spool": "spool",
    "collector": "collector", "grant": "grant", "token": "token", "request": "request",
    "whoami": "whoami", "demo": "demo", "serve": "serve",
}  # fmt: skip
"""Each command's module, in the order of the help. A module is imported when its command runs:
importing all of them took longer than most commands."""


def _show_version(asked: bool) -> None:
    if asked:
        print(f"evault {version()}")
        raise typer.Exit


def main(
    context: typer.Context,
    home: Annotated[
        Optional[Path],  # noqa: UP045 — read at run time by typer
        typer.Option(
            "--home",
            metavar="DIR",
            help="The vault's home; else EVAULT_HOME, else evault in your data folder.",
        ),
    ] = None,
    _version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", is_eager=True, callback=_show_version),
    ] = False,
) -> None:
    """An evidence vault for AI-agent incidents."""
    context.obj = read_settings(os.environ, home)


def build(command: str | None = None) -> typer.Typer:
    """The program: with one command alone, or, for None or a word that is none, with all."""
    app = typer.Typer(
        name="evault",
        help="An evidence vault for AI-agent incidents: seal what you have, see what is missing, "
        "hand over a bundle that proves itself.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        epilog="Start with: evault init, then evault incident declare --help. "
        "Exit codes: 0 done or verified, 1 the evidence failed or something could not be kept, "
        "2 could not be checked or bad usage, 3 only asked for: another person has to approve it.",
    )
    app.callback()(main)
    wanted = [COMMANDS[command]] if command in COMMANDS else COMMANDS.values()
    for name in dict.fromkeys(wanted):
        importlib.import_module(f"cli.commands.{name}").register(app)
    use_plain_help(app)
    return app


def run(arguments: Sequence[str] | None = None) -> None:
    """The console script: never a stack trace, always an exit code."""
    for output in (sys.stdout, sys.stderr):
        if isinstance(output, io.TextIOWrapper):
            # Proofs and trust files are UTF-8 wherever they are printed.
            output.reconfigure(encoding="utf-8", errors="backslashreplace")
    sys.exit(execute(list(sys.argv[1:] if arguments is None else arguments)))


def execute(arguments: list[str]) -> int:
    """Run one command; returns its exit code."""
    # What stands behind "--" is a command's own.
    as_json = "--json" in arguments[: [*arguments, "--"].index("--")]
    try:
        program = _program(_command_of(arguments))
        code = program(arguments, prog_name="evault", standalone_mode=False)
    except _Complaint as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # its message is the help itself
            print(error, file=sys.stderr)
            return 2
        return _complain("usage", _usage_text(error), as_json)
    except DigestMismatchError as error:
        text = f"{error}\nThis is not what was sealed; see what else is not: evault verify"
        return _complain(error.code, text, as_json, 1)
    except EvidenceError as error:
        return _complain(error.code, str(error), as_json)
    except (KeyboardInterrupt, typer.Abort):
        return _complain("interrupted", _INTERRUPTED_TEXT, as_json, INTERRUPTED)
    except (BrokenPipeError, SystemExit):  # typer's own way with a closed pipe is to exit
        let_go_of_output()
        return 0
    except OSError as error:
        let_go_of_output()
        where = f" ({error.filename})" if error.filename else ""
        text = f"{error.strerror or error}{where}; mend that, and run the command again"
        return _complain("unavailable", text, as_json)
    except Exception as error:
        if os.environ.get("EVAULT_DEBUG"):
            raise
        text = f"{type(error).__name__}: {error}"
        return _complain(
            "internal",
            f"a defect in evault, not in your evidence ({text}); nothing half-written was "
            "acknowledged. Set EVAULT_DEBUG=1 to see where.",
            as_json,
        )
    if code == INTERRUPTED:  # typer has its own way with Ctrl-C
        return _complain("interrupted", _INTERRUPTED_TEXT, as_json, INTERRUPTED)
    return code if isinstance(code, int) else 0


@cache
def _program(command: str | None) -> Callable[..., object]:
    return get_command(build(command))


def _command_of(arguments: Sequence[str]) -> str | None:
    """The command that is asked for; None where it is none, so that all of them must be known."""
    rest = list(arguments)
    while rest and rest[0].startswith("--home"):
        rest = rest[1 if "=" in rest[0] else 2 :]
    return rest[0] if rest and rest[0] in COMMANDS else None


def _usage_text(error: Exception) -> str:
    context = getattr(error, "ctx", None)
    hint = f"; see: {context.command_path} --help" if context else ""
    message = getattr(error, "format_message", lambda: str(error))()
    message = " ".join(message.replace("Value error, ", "").split())
    if "option: --home" in message:
        message = "--home stands before the command: evault --home DIR COMMAND"
    return f"{message.rstrip('.')}{hint}"


def _complain(code: str, message: str, as_json: bool, exit_code: int = 2) -> int:
    if as_json:
        print(json.dumps({"code": code, "detail": message}), file=sys.stderr)
    else:
        for line in f"evault: {message}".split("\n"):
            print(printable(line), file=sys.stderr)
    return exit_code
