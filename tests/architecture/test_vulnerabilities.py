"""What CI says of vulnerabilities: what could not be looked up is never called free of any."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / ".ci" / "vulnerabilities.py"
SOUND = {"name": "a", "version": "1", "vulns": []}
WEAK = {
    "name": "b",
    "version": "2",
    "vulns": [
        {"id": "PYSEC-2026-1", "fix_versions": ["2.1", "3.0"]},
        {"id": "GHSA-x", "fix_versions": []},
    ],
}
UNKNOWN = {"name": "c", "skip_reason": "Dependency not found on PyPI and could not be audited"}


@pytest.mark.parametrize(
    ("packages", "found", "lines"),
    [
        ([SOUND], 0, ["vulnerabilities: 0 in 1 packages"]),
        (
            [SOUND, WEAK, UNKNOWN], 2,
            [
                "b 2: PYSEC-2026-1; mended in 2.1, 3.0",
                "b 2: GHSA-x; mended in no version yet",
                "vulnerabilities: 2 in 2 packages; 1 NOT CHECKED, the database does not know them",
            ],
        ),
        ([UNKNOWN], 0, ["vulnerabilities: NOT CHECKED, the database knew none of 1 packages"]),
    ],
)  # fmt: skip
def test_what_was_not_looked_up_is_said(
    packages: list[dict[str, Any]], found: int, lines: list[str]
) -> None:
    spec = importlib.util.spec_from_file_location("vulnerabilities", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.told(packages) == (lines, found)
