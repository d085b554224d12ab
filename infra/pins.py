"""Print the part of a pip constraints file that is about some packages: versions and hashes.

    python infra/pins.py constraints.txt infra/packages.txt > requirements.txt

Needs nothing but Python, as it runs before anything is installed. Fails where a package has no pin.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path


def pins(constraints: str) -> Iterator[tuple[str, str]]:
    """Each package's name, and its lines: the pin with its hashes, without comments."""
    name, lines = "", list[str]()
    for line in constraints.splitlines():
        if line.lstrip().startswith("#"):
            continue
        if not line.startswith(" "):
            if name:
                yield name, "\n".join(lines)
            name, lines = line.partition("==")[0], []
        lines.append(line)
    if name:
        yield name, "\n".join(lines)


def wanted(packages: str) -> list[str]:
    """The names in a list of packages, one a line."""
    return [line for line in packages.splitlines() if line and not line.startswith("#")]


def main(constraints: str, packages: str) -> int:
    """Print the pins; 2 where one is missing."""
    found = dict(pins(Path(constraints).read_text()))
    names = wanted(Path(packages).read_text())
    if missing := [name for name in names if name not in found]:
        print(f"{constraints} has no pin of {', '.join(missing)}", file=sys.stderr)
        return 2
    print("\n".join(found[name] for name in names))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
