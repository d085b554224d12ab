"""What a stranger runs: the program itself, with no vault, its exit codes and its words."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from attacks.bundle_surgery import Bag, Case, Keys, checkpoint_of, filler_leaf

from cli.main import execute
from verify.bundle import link_path
from verify.merkle import TreeHead
from verify.note import VerifierKey

ROOT = Path(__file__).parents[2]
ATTACKED = "data/evidence/EV-0001/attacked.json"


def verify(
    *words: str | Path, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """`python -m verify …`; whatever it meets, it never shows a stack trace."""
    done = subprocess.run(
        [sys.executable, "-m", "verify", *map(str, words)],
        cwd=ROOT,
        env=os.environ | (environment or {}),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert "Traceback" not in done.stdout + done.stderr
    return done


def test_a_true_bundle_is_passed_with_0(case: Case) -> None:
    done = verify(case.second, "--trust", case.trust)
    assert (done.returncode, done.stderr) == (0, "")
    assert "PASSED: everything trust.json requires" in done.stdout
    assert "exit 0" in done.stdout


@pytest.mark.slow
def test_two_audits_agree_to_the_byte(case: Case) -> None:
    one, other = (verify(case.second, "--trust", case.trust, "--json") for _ in range(2))
    assert one.stdout == other.stdout
    assert json.loads(one.stdout) == case.audit(case.second).to_json()


def test_altered_evidence_is_failed_with_1(case: Case, bag: Bag, altered: Path) -> None:
    done = verify(bag.flip(ATTACKED, 9).mend().write(altered), "--trust", case.trust)
    assert (done.returncode, done.stderr) == (1, "")
    assert "EV-0001 attacked.json" in done.stdout
    assert "FAILED: 1 of 3 exhibits is not what was sealed; 2 are intact" in done.stdout
    assert "PASSED" not in done.stdout


def test_a_bundle_without_a_trust_file_is_inconclusive_with_2(case: Case) -> None:
    done = verify(case.second)
    assert (done.returncode, done.stderr) == (2, "")
    assert done.stdout.startswith("SELF-ASSERTED")
    assert "PASSED" not in done.stdout


def test_what_is_no_bundle_is_failed_with_1(case: Case, altered: Path) -> None:
    altered.write_bytes(b"PK\x05\x06")
    done = verify(altered, "--trust", case.trust, "--json")
    assert done.returncode == 1
    (finding,) = json.loads(done.stdout)["findings"]
    assert (finding["step"], finding["outcome"]) == ("package", "failed")


@pytest.mark.parametrize("words", [["nothing-here.zip"], ["--head", "1"], ["--trust"]])
def test_a_question_that_cannot_be_answered_is_2(words: list[str]) -> None:
    done = verify(*words)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr != ""


def test_a_trust_file_that_does_not_parse_is_2_and_a_problem(case: Case, tmp_path: Path) -> None:
    broken = tmp_path / "trust.json"
    broken.write_bytes(b'{"version":1,"version":1}')
    done = verify(case.second, "--trust", broken, "--json")
    assert (done.returncode, done.stdout) == (2, "")
    problem = json.loads(done.stderr)
    assert problem["code"] == "malformed"
    assert "duplicate key 'version'" in problem["detail"]


@pytest.mark.slow
def test_an_earlier_end_is_failed_with_1(case: Case) -> None:
    assert verify(case.first, "--trust", case.trust, "--head", "7").returncode == 0
    done = verify(case.first, "--trust", case.trust, "--head", "10")
    assert done.returncode == 1
    assert "ends at link 7, before link 10" in done.stdout


def test_a_split_view_is_failed_with_1(case: Case, bag: Bag, altered: Path) -> None:
    history = case.history(bag)
    history.body(1)["changes"][0]["new"] = ["somebody-else@example.org"]
    fork = history.seal(since=1).write(altered)
    assert verify(fork, "--trust", case.trust).returncode == 0
    done = verify(fork, "--trust", case.trust, "--seen", case.given("capture-1.json"))
    assert done.returncode == 1
    assert "link 2: split view: capture-1.json has link 2" in done.stdout


def test_names_in_a_bundle_cannot_drive_a_terminal(
    case: Case, bag: Bag, altered: Path, tmp_path: Path
) -> None:
    """Text of the vault's, here an origin, reaches the terminal spelled out."""
    name = "evil\u202e\u009b31mlog"
    keys = Keys(case.keys.manifest, case.keys.log, name)
    history = case.history(bag, keys)
    history.relog([case.log[index] for index in history.indices])
    done = verify(bag.mend().write(altered), "--trust", case.trust)
    assert done.returncode == 1
    assert "evil\\u202e\\x9b31mlog" in done.stdout
    assert not set(done.stdout) & {"\u202e", "\u009b", "\x1b"}
    checkpoint = tmp_path / "seen"
    checkpoint.write_bytes(bag.files["data/proof/checkpoint"])
    assert VerifierKey(name, keys.log_key.public).name == name
    done = verify(case.second, "--trust", case.trust, "--seen", checkpoint)
    assert done.returncode == 2
    assert not set(done.stderr) & {"\u202e", "\u009b", "\x1b"}


def test_two_signed_roots_are_shown_on_a_terminal_that_knows_ascii_only(
    case: Case, tmp_path: Path
) -> None:
    """The signed notes that prove a split view hold a dash that such a terminal cannot show."""
    size, _ = checkpoint_of(case.second)
    theirs = tmp_path / "checkpoint"
    theirs.write_bytes(case.keys.checkpoint(TreeHead(size, filler_leaf(1))))
    words = (case.second, "--trust", case.trust, "--seen", theirs)
    done = verify(*words, environment={"PYTHONIOENCODING": "ascii"})
    assert (done.returncode, done.stderr) == (1, "")
    assert f"two signed checkpoints of size {size} have different roots" in done.stdout
    assert f"\\u2014 {case.keys.origin} " in done.stdout


def test_a_reader_who_leaves_early_does_not_turn_passed_into_failed(case: Case) -> None:
    """`python -m verify … | head -1`: the exit code is about the evidence."""
    with subprocess.Popen(
        [sys.executable, "-m", "verify", str(case.second), "--trust", str(case.trust)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        said = process.stderr.read()
        assert (process.wait(), said) == (0, "")


def test_the_vaults_own_command_says_the_same(
    case: Case, bag: Bag, altered: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bag.files[link_path(4)] = bag.files[link_path(3)]
    path = bag.mend().write(altered)
    code = execute(["--home", str(case.home), "verify", str(path), "--json"])
    said = json.loads(capsys.readouterr().out)
    assert code == 1
    assert said["findings"] == case.audit(path).to_json()["findings"]


def test_an_export_written_again_is_the_same_to_the_byte(
    case: Case, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for link, bundle in ((7, case.first), (10, case.second)):
        again = tmp_path / f"{link}.zip"
        words = ["export", case.incident, "--at", str(link), "-o", str(again)]
        assert execute(["--home", str(case.home), *words]) == 0
        assert again.read_bytes() == bundle.read_bytes()
    capsys.readouterr()


def test_an_export_is_not_written_again_from_a_link_that_is_none(
    case: Case, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["export", case.incident, "--at", "8", "-o", str(tmp_path / "none.zip")]
    assert execute(["--home", str(case.home), *words]) != 0
    assert "is no export" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
