"""Inputs that once broke a parser break none any more; `make soak` looks for others."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from damage import check
from samples import DATA, samples

CRASHES = DATA / "crashes"
FOUND = sorted(path for path in CRASHES.iterdir() if path.name != "SOURCE.md")
SECONDS = int(os.environ.get("EVAULT_FUZZ_SECONDS", "900"))


def test_what_once_broke_a_parser_gives_facts() -> None:
    for path in FOUND:  # none, as long as nothing was found
        check(path.read_bytes(), "file")


@pytest.mark.soak
@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="needs atheris")
def test_no_input_breaks_a_parser(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for number, (parser, _, data) in enumerate(samples()):
        (corpus / f"{parser}-{number}").write_bytes(data[: 16 << 10])
    for path in FOUND:
        shutil.copy(path, corpus)
    done = subprocess.run(
        [
            sys.executable, Path(__file__).with_name("fuzz_parsers.py"), corpus,
            f"-artifact_prefix={tmp_path}/", f"-max_total_time={SECONDS}", "-max_len=20000",
            "-timeout=30", "-rss_limit_mb=4096", "-print_final_stats=1",
        ],
        capture_output=True,
        check=False,
    )  # fmt: skip
    text = done.stderr.decode(errors="replace")
    for path in (each for each in tmp_path.iterdir() if each.is_file()):
        shutil.copy(path, CRASHES)  # kept, so that it is tried from now on
    assert done.returncode == 0, text[-4000:]
    assert "number_of_executed_units" in text
