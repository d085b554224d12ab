"""Looks every pinned package up among the known vulnerabilities; says what it could not look up.

1 for a package that has one; 0 otherwise, also where no database was reached: that is said, and is
no finding either way.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

CONSTRAINTS = Path(__file__).parents[1] / "constraints.txt"
SECONDS = 300


def main() -> int:
    """Look, and tell."""
    words = ["--no-deps", "--disable-pip", "--format", "json", "--progress-spinner", "off"]
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(CONSTRAINTS), *words]
    try:
        done = subprocess.run(  # noqa: S603
            command, capture_output=True, text=True, timeout=SECONDS, check=False
        )
        packages = json.loads(done.stdout)["dependencies"]
    except subprocess.TimeoutExpired:
        print(f"vulnerabilities: NOT CHECKED, no answer within {SECONDS} s")
        return 0
    except (json.JSONDecodeError, KeyError):
        said = (done.stderr.strip() or "nothing was said").splitlines()[-1]
        print(f"vulnerabilities: NOT CHECKED, no database was reached ({said})")
        return 0
    lines, found = told(packages)
    print(*lines, sep="\n")
    return 1 if found else 0


def told(packages: list[dict[str, Any]]) -> tuple[list[str], int]:
    """What was found, in words, and how many vulnerabilities that are."""
    known = [each for each in packages if "skip_reason" not in each]
    lines = [
        f"{each['name']} {each['version']}: {weak['id']}; mended in "
        f"{', '.join(weak['fix_versions']) or 'no version yet'}"
        for each in known
        for weak in each["vulns"]
    ]
    found, unknown = len(lines), len(packages) - len(known)
    if not known:
        lines.append(f"vulnerabilities: NOT CHECKED, the database knew none of {unknown} packages")
    else:
        more = f"; {unknown} NOT CHECKED, the database does not know them" if unknown else ""
        lines.append(f"vulnerabilities: {found} in {len(known)} packages{more}")
    return lines, found


if __name__ == "__main__":
    sys.exit(main())
