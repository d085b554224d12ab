"""A served vault for every test of the service."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from case_served import INCIDENT, STREAM, Case, serving_copy
from cli_support import run
from serving import People, Site, listening
from signed_in import Served

from cli.compose import open_vault
from cli.serving import service_of
from cli.settings import read_settings
from cli.storage import open_access
from cli.vault import Vault, now
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


@pytest.fixture
def served(lived: Path, tmp_path: Path) -> Iterator[Served]:
    """A home in which something happened, served to who signs in with its own tokens."""
    shutil.copytree(lived, tmp_path / "lived")
    opened = open_vault(read_settings({}, tmp_path / "lived"))
    store = open_access(opened.home, opened.config)
    try:
        found = Served(opened, store)
        with listening(create_app(found.service)) as url:
            found.site = Site(url, found.site.people)
            yield found
    finally:
        store.close()
        opened.close()


@pytest.fixture(scope="session")
def lived(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which an incident has two exhibits, and a stream one item; to be copied."""
    folder = tmp_path_factory.mktemp("lived")
    home = folder / "home"
    shutil.copytree(made, home)
    for name, text in (("alert.txt", "alert 7\n"), ("ticket.txt", "OPS-1\n"), ("web.txt", "GET /")):
        (folder / name).write_text(text)
    for words in (
        ("incident", "declare", "--title", "Mail went out", "--severity", "sev2", "--tier", "3",
         "--system", "mail-agent", "--detected-at", "-2h", "--declared-at", "-110m"),
        ("ingest", INCIDENT, folder / "alert.txt", folder / "ticket.txt"),
        ("ingest", STREAM, folder / "web.txt"),
    ):  # fmt: skip
        said = run("--home", home, *words)
        assert said.code == 0, said.err
    return home


@pytest.fixture
def case(lived: Path, tmp_path: Path, people: People) -> Iterator[Case]:
    """That home, served."""
    shutil.copytree(lived, tmp_path / "lived")
    with serving_copy(tmp_path / "lived", people) as found:
        yield found


@pytest.fixture
def place_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Temporary files of this test alone; other tests run beside it."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
