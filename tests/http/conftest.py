"""A served vault for every test of the service."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cli_support import run
from serving import People, Site, listening

from cli.compose import Vault, now, open_vault
from cli.serving import service_of
from cli.settings import read_settings
from vault.http.app import create_app


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new home, to be copied."""
    home = tmp_path_factory.mktemp("made") / "home"
    assert run("--home", home, "init").code == 0
    return home


@pytest.fixture
def vault(made: Path, tmp_path: Path) -> Iterator[Vault]:
    """An opened vault in which nothing happened yet."""
    shutil.copytree(made, tmp_path / "home")
    opened = open_vault(read_settings({}, tmp_path / "home"))
    yield opened
    opened.close()


@pytest.fixture
def people() -> People:
    """Nobody yet."""
    return People(now())


@pytest.fixture
def site(vault: Vault, people: People) -> Iterator[Site]:
    """That vault, served to them."""
    service = replace(service_of(vault), authenticator=people, grants=lambda: tuple(people.grants))
    with listening(create_app(service)) as url:
        yield Site(url, people)
