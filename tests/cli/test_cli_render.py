"""Lines fold between words, at the terminal's width within bounds; names break at their seams."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from cli_support import Evault
from hypothesis import given
from hypothesis import strategies as st

import cli
from cli.render import NARROW, labelled, line_width, prose


@given(st.text(alphabet="abc /:_-.é\n\x1b\u202e", max_size=400), st.integers(0, 60))
def test_nothing_is_lost_and_only_words_without_a_seam_stand_out(text: str, indent: int) -> None:
    lines = prose("x" * indent, text)
    shown = "".join(line[indent:] for line in lines)
    spelt = "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )
    assert shown.replace(" ", "") == spelt.replace(" ", "")
    assert all(line[:indent].strip() in ("", "x" * indent) for line in lines)
    for line in lines:
        if len(line) > NARROW:
            assert len(line[indent:].split()) == 1, "a word that is too long stands alone"


def test_a_name_goes_on_behind_its_best_seam_and_never_within_a_word() -> None:
    name = "workspace/user_task_0/" + "a-b_" * 10 + "/" + "c" * 30
    lines = prose("", f"see {name} twice")
    assert lines == ["see " + name[:63], "c" * 30 + " twice"]
    assert prose("", "d" * 200) == ["d" * 200], "what has no seam is not broken"


def test_labels_stand_beside_what_is_said_of_them() -> None:
    assert labelled([("a", "one"), ("long", "word " * 20)]) == [
        "  a     one",
        "  long  " + "word " * 13 + "word",
        "        word word word word word word",
    ]


def test_in_a_pipe_lines_are_80_wide() -> None:
    assert line_width() == 80


@pytest.mark.parametrize(("columns", "width"), [(60, 80), (80, 80), (100, 100), (200, 120)])
def test_on_a_terminal_lines_are_as_wide_as_it_is_within_80_and_120(
    evault: Evault, case: str, columns: int, width: int
) -> None:
    evault("incident", "amend", "--title", "word " * 100, "--reason", "r")
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {key: each for key, each in os.environ.items() if key != "COLUMNS"}
    with subprocess.Popen(
        [sys.executable, "-m", "cli", "incident", "show", case],
        cwd=Path(cli.__file__).parent.parent, env=environment, stdout=follower,
    ) as process:  # fmt: skip
        os.close(follower)
        said = b""
        while True:
            try:
                piece = os.read(leader, 1 << 16)
            except OSError:  # the other end is closed
                break
            if not piece:
                break
            said += piece
    os.close(leader)
    assert process.returncode == 0
    longest = max(len(line) for line in said.decode().splitlines() if "head" not in line)
    # A line ends with a word of four letters and a space less than its width.
    assert width - 5 <= longest <= width
