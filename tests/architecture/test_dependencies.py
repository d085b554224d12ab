"""What the product stands on: each package pinned with its hash, none under a licence that binds.

Whoever installs it takes on these licences; a GPL among them would be theirs to bear.
"""

from __future__ import annotations

import importlib.metadata
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
BINDING = re.compile(r"(?<!L)(?<!Lesser )\b(AGPL|GPL|GNU (Affero )?General Public)", re.IGNORECASE)


def product() -> dict[str, importlib.metadata.Distribution]:
    """All that the product needs, with all its extras but the developers'."""
    wanted = [*PROJECT["dependencies"]]
    for name, extra in PROJECT["optional-dependencies"].items():
        wanted += extra if name != "dev" else []
    found: dict[str, importlib.metadata.Distribution] = {}
    waiting = [Requirement(each) for each in wanted]
    while waiting:
        each = waiting.pop()
        name = canonicalize_name(each.name)
        if name in found:
            continue
        found[name] = importlib.metadata.distribution(name)
        waiting += needed(found[name], each.extras)
    return found


def needed(
    distribution: importlib.metadata.Distribution, extras: set[str]
) -> Iterator[Requirement]:
    for text in distribution.requires or ():
        requirement = Requirement(text)
        worlds = [{"extra": extra} for extra in (*extras, "")]
        if requirement.marker is None or any(map(requirement.marker.evaluate, worlds)):
            yield requirement


@pytest.fixture(scope="module")
def installed() -> dict[str, importlib.metadata.Distribution]:
    return product()


def test_no_package_of_the_product_is_under_the_gpl(
    installed: dict[str, importlib.metadata.Distribution],
) -> None:
    assert {"fastapi", "cryptography", "boto3", "starlette"} <= installed.keys()
    bound = {}
    for name, distribution in installed.items():
        told = distribution.metadata
        said = [told.get("License-Expression") or "", (told.get("License") or "")[:200]]
        said += [each for each in told.get_all("Classifier") or () if each.startswith("License")]
        assert any(said), f"{name} states no licence"
        if any(BINDING.search(each) and "Lesser" not in each for each in said):
            bound[name] = said
    assert bound == {}


def test_every_package_of_the_product_is_pinned_with_a_hash(
    installed: dict[str, importlib.metadata.Distribution],
) -> None:
    text = (ROOT / "constraints.txt").read_text()
    pinned = re.findall(r"^([a-z0-9.-]+)==(\S+) \\\n    --hash=sha256:[0-9a-f]{64}", text, re.M)
    versions = dict(pinned)
    assert {name: versions.get(name) for name in installed} == {
        name: distribution.version for name, distribution in installed.items()
    }
