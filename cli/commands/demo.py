"""`evault demo`: one story on real input, from a declared incident to an attacked bundle.

Every command shown is run as shown, in a process of its own; nothing is sent anywhere.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import textwrap
import zipfile
from collections.abc import Sequence
from pathlib import Path

import typer

import verify
from cli.render import WIDTH
from cli.session import UsageError, settings_of
from verify.bundle import format_bag_manifest
from verify.digest import sha256_hex

MARKER = "DEMO"
DATA = Path(__file__).parent.parent / "demo_data"
EXHIBIT = "data/evidence/EV-0001/1-attacked.json"
RECIPIENT = b"mark.black-2134@gmail.com"
SEND_EMAIL_ARGUMENTS = b'"recipients": [\n                            "'

_INTRODUCTION = (
    "Two unrelated public data sets (MIT), told as one exercise: an AgentDojo mail agent hijacked "
    "by a calendar entry, and Invictus' CloudTrail of an attack on AWS. Runs in {home}/, sends "
    "nothing out."
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("demo")(demo)


def demo(context: typer.Context) -> None:
    """Seal a real attack, see what is missing, hand it over, prove it, and attack the proof.

    Its vault is left in --home, or in .demo, to look around in.
    """
    root = context.find_root()
    home = root.params.get("home") or Path(".demo")
    settings_of(context)
    _make_room(home)
    stage = _Stage(home.resolve(), shown_home=str(home))
    print("\n".join(textwrap.wrap(_INTRODUCTION.format(home=home), WIDTH)))
    stage.quietly("init")
    (home / MARKER).write_text("made by: evault demo\n")
    incident = _declare_and_seal(stage)
    _what_is_missing(stage, incident)
    handover = home.resolve() / "handover"
    handover.mkdir()
    _hand_over(stage, incident, handover)
    _prove(stage, handover)
    _attack(stage, handover)
    print(f"\nLook around: evault --home {home} incident show {incident}")
    print("The argument: verify/audit.py")


class _Stage:
    """Runs commands and shows them as a person would have typed them."""

    def __init__(self, home: Path, *, shown_home: str) -> None:
        self.home = home
        self.shown_home = shown_home
        self._environment = {
            key: value for key, value in os.environ.items() if not key.startswith("EVAULT_")
        }

    def quietly(self, *words: str) -> str:
        """Run evault without showing it; returns its output."""
        return self._run([sys.executable, "-m", "cli", "--home", str(self.home), *words], DATA, {0})

    def evault(self, *words: str, folder: Path = DATA, shown: str | None = None) -> str:
        """Run and show an evault command; returns its output."""
        self.show(shown or f"evault {_typed(words)}")
        command = [sys.executable, "-m", "cli", "--home", str(self.home), *words]
        output = self._run(command, folder, {0})
        print(output, end="", flush=True)
        return output

    def run(self, command: Sequence[str], folder: Path, *, codes: set[int], shown: str) -> None:
        """Run and show any other command, which must end with one of these exit codes."""
        self.show(shown)
        print(self._run(command, folder, codes), end="", flush=True)

    def show(self, line: str) -> None:
        """A command as typed, folded with backslashes where it is long."""
        words = shlex.split(line)
        lines = textwrap.wrap(line, WIDTH - 4, break_long_words=False, break_on_hyphens=False)
        if len(lines) > 1 and not {"&&", ";"} & set(words):
            lines = _fold_options(line)
        print("$ " + " \\\n    ".join(lines), flush=True)

    def _run(self, command: Sequence[str], folder: Path, codes: set[int]) -> str:
        done = subprocess.run(  # noqa: S603 — our own words, no shell
            command,
            cwd=folder,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode not in codes:
            raise UsageError(
                f"the demo could not go on: {shlex.join(command)} ended with "
                f"{done.returncode}: {done.stderr.strip() or done.stdout.strip()}"
            )
        return done.stdout


def _make_room(home: Path) -> None:
    """Start anew over an earlier demo; never over anything else."""
    if not home.exists() or not any(home.iterdir()):
        return
    if not (home / MARKER).is_file():
        raise UsageError(
            f"{home} holds something that is no demo; name another with: evault --home DIR demo"
        )
    shutil.rmtree(home)


def _declare_and_seal(stage: _Stage) -> str:
    print("\n1  Declare, and seal what you have")
    output = stage.evault(
        "incident", "declare",
        "--title", "Mail agent sent a private message out", "--severity", "sev1",
        "--tier", "unknown", "--system", "mail-agent", "--system", "aws", "--trigger", "egress",
        "--detected-at", "2023-07-10T12:30Z", "--declared-at", "2023-07-10T12:41Z",
    )  # fmt: skip
    incident = output.split()[0]
    stage.evault("ingest", incident, "agent", "cloudtrail")
    # The exercise ends when the mended agent was tried, and with it the window of interest.
    stage.evault(
        "incident", "phase", incident, "contained", "--at", "2023-07-10T12:51Z",
        "--exhibit", "EV-0003",
    )  # fmt: skip
    return incident


def _what_is_missing(stage: _Stage, incident: str) -> None:
    print("\n2  What is still missing")
    stage.evault("checklist", incident)


def _hand_over(stage: _Stage, incident: str, handover: Path) -> None:
    print("\n3  Hand over")
    export = ["export", incident, "-o", "case.zip", "--purpose", "outside counsel"]
    shown = f"evault {_typed(export)}; evault trust > trust.json"
    stage.evault(*export, folder=handover, shown=shown)
    (handover / "trust.json").write_text(stage.quietly("trust"))
    stage.evault("custody", incident)


def _prove(stage: _Stage, handover: Path) -> None:
    print("\n4  Prove it in an empty folder: verify/, case.zip, trust.json; no vault")
    source = Path(verify.__file__).parent
    ignored = shutil.ignore_patterns("__pycache__", "py.typed")
    shutil.copytree(source, handover / "verify", ignore=ignored)
    _verify(stage, handover, "case.zip", code=0)


def _attack(stage: _Stage, handover: Path) -> None:
    print(
        "\n5  Attack it: in a copy, send_email's mark.black-2134 becomes -2135; "
        "the bag's checksums are mended"
    )
    bag = _altered_copy(handover)
    if shutil.which("sha256sum"):
        stage.run(
            ["sh", "-c", 'sha256sum -c --quiet manifest-sha256.txt && echo "sha256sum: OK"'],
            bag,
            codes={0},
            shown='sha256sum -c --quiet manifest-sha256.txt && echo "sha256sum: OK"',
        )
    _verify(stage, handover, "altered.zip", code=1)


def _verify(stage: _Stage, handover: Path, name: str, *, code: int) -> None:
    words = ["-m", "verify", name, "--trust", "trust.json"]
    stage.run([sys.executable, *words], handover, codes={code}, shown=f"python {shlex.join(words)}")


def _altered_copy(handover: Path) -> Path:
    """Unpack the bundle, change one byte of an exhibit, mend the bag, zip it again."""
    folder = handover / "altered"
    with zipfile.ZipFile(handover / "case.zip") as archive:
        archive.extractall(folder)
    bag = next(folder.iterdir())
    exhibit = bag / EXHIBIT
    data = exhibit.read_bytes()
    altered = data.replace(
        SEND_EMAIL_ARGUMENTS + RECIPIENT,
        SEND_EMAIL_ARGUMENTS + RECIPIENT.replace(b"2134", b"2135"),
    )
    if altered == data:
        raise UsageError(f"the demo's {EXHIBIT} is not as shipped; install evault anew")
    exhibit.write_bytes(altered)
    files = {path.relative_to(bag).as_posix(): path for path in bag.rglob("*") if path.is_file()}
    payload = {name: sha256_hex(path.read_bytes()) for name, path in files.items() if "/" in name}
    (bag / "manifest-sha256.txt").write_bytes(format_bag_manifest(payload))
    tags = {
        name: sha256_hex((bag / name).read_bytes())
        for name in ("bag-info.txt", "bagit.txt", "manifest-sha256.txt")
    }
    (bag / "tagmanifest-sha256.txt").write_bytes(format_bag_manifest(tags))
    with zipfile.ZipFile(handover / "altered.zip", "w") as archive:
        for path in sorted(bag.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder).as_posix())
    return bag


def _typed(words: Sequence[str]) -> str:
    """Words as a person types them: double quotes around what has spaces."""
    return " ".join(f'"{word}"' if " " in word else word for word in words)


def _fold_options(line: str) -> list[str]:
    """Fold a long command before an option, never between an option and its value."""
    lines = [""]
    pieces = line.replace(" --", "\n--").split("\n")
    for piece in pieces:
        glue = " " if lines[-1] else ""
        if lines[-1] and len(lines[-1]) + len(glue) + len(piece) > WIDTH - 8:
            lines.append("")
            glue = ""
        lines[-1] += glue + piece
    return lines
