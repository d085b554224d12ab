"""The demo tells its story, and the README shows what it prints."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder it ran in, and what it printed."""
    folder = tmp_path_factory.mktemp("demo")
    return folder, run(folder).stdout


def run(folder: Path, home: str = ".demo") -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "cli", "--home", home, "demo"]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)


def without_chance(text: str) -> str:
    """Times, durations, digests and the account differ from run to run; the story does not."""
    text = re.sub(r"\b[0-9a-f]{64}\b", "DIGEST", text)
    text = re.sub(r"(?m)^( +[0-9])  +(2\d{3}-\d\d-\d\d )?\d\d:\d\d:\d\dZ  ", r"\1  TIME  ", text)
    text = re.sub(r"(?m)^\S+@\S+ \(uid \d+, local\)$", "ACTOR", text)
    text = re.sub(r"2\d{3}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z by", "TIME by", text)
    text = re.sub(r"sealed in \d+\.\d s", "sealed in N s", text)
    text = re.sub(r"(the longest|silent for|throughout,) [\d,]+ days", r"\1 N days", text)
    return re.sub(r"INC-2\d{3}-|sealed [\d,]+ days", "N", text)


def test_the_readme_shows_what_the_demo_prints(demo: tuple[Path, str]) -> None:
    readme = (ROOT / "README.md").read_text()
    shown = readme.split("$ make demo\n", 1)[1].split("```", 1)[0]
    assert without_chance(shown) == without_chance(demo[1])


@pytest.mark.slow
def test_the_demo_leaves_a_vault_that_audits_clean(demo: tuple[Path, str]) -> None:
    for words in (["verify"], ["log", "audit"]):
        done = subprocess.run(
            [sys.executable, "-m", "cli", "--home", demo[0] / ".demo", *words],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_the_demo_starts_anew_over_itself_and_never_over_anything_else(
    demo: tuple[Path, str],
) -> None:
    assert run(demo[0]).returncode == 0
    other = demo[0] / "other"
    other.mkdir()
    (other / "precious.txt").write_text("mine")
    refused = run(demo[0], "other")
    assert refused.returncode == 2
    assert "holds something that is no demo" in refused.stderr
    assert (other / "precious.txt").read_text() == "mine"
