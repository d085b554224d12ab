"""A home served over HTTP to commands of this process, and which of their tests apply."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from cli_support import Evault, Said

ELSEWHERE = "EVAULT_URL"

SERVED: dict[str, str] = {
    "test_cli_incident": "",
    "test_cli_status": "",
    "test_cli_timeline": "",
    "test_cli_metrics": "",
    "test_cli_checklist": "slow",
    "test_cli_response": "",
    "test_cli_attest": "slow",
    "test_cli_ingest": "",
    "test_cli_capture": "slow",
    "test_cli_evidence": "slow",
    "test_cli_spool": "slow",
    "test_cli_retention": "slow",
    "test_cli_hold": "slow",
    "test_cli_streams": "slow",
    "test_cli_sweep": "slow",
    "test_cli_waive": "slow",
    "test_cli_sources": "slow",
    "test_cli_closing": "slow",
    "test_cli_bad_input": "slow",
    "test_cli_hostile_files": "slow",
    "test_cli_trails": "slow",
}
"""Modules whose tests run against a served vault too, some only with the slow ones."""

APART: dict[str, str] = {}
"""Tests in those modules that do not apply, each with the reason."""


def is_served(metafunc: pytest.Metafunc) -> list[pytest.MarkDecorator] | None:
    """The marks of a test's second run, against a server; None where it has none."""
    module = metafunc.module.__name__.rpartition(".")[2]
    if module not in SERVED or metafunc.function.__name__ in APART:
        return None
    return [pytest.mark.slow] if SERVED[module] == "slow" else []


AT_HOME = (("log", "audit"), ("log", "rebuild"), ("init",), ("store",))
"""Commands that a server refuses: whoever runs the vault runs them."""


class ServedEvault(Evault):
    """Commands against a server; what is done where the home is, is done there."""

    def __call__(self, *words: object) -> Said:
        """A command that succeeds."""
        if any(tuple(map(str, words[: len(each)])) == each for each in AT_HOME):
            with at_home():
                return super().__call__(*words)
        return super().__call__(*words)

    def sound(self) -> None:
        """The log and every incident still audit clean, where the home is."""
        with at_home():
            super().sound()


@contextmanager
def at_home() -> Iterator[None]:
    """Commands in the vault's own home."""
    url = os.environ.pop(ELSEWHERE, None)
    try:
        yield
    finally:
        if url is not None:
            os.environ[ELSEWHERE] = url


@contextmanager
def serving_home(home: Path) -> Iterator[tuple[str, str]]:
    """A home behind a real server in this process: its URL, and a token with all roles."""
    from serving import People, listening

    from cli.compose import now, open_vault
    from cli.serving import service_of
    from cli.settings import read_settings
    from vault.access import VaultRole
    from vault.http.app import create_app

    people = People(now())
    who = people.add("tester@server", *VaultRole)
    vault = open_vault(read_settings({}, home))
    try:
        service = replace(
            service_of(vault), authenticator=people, grants=lambda: tuple(people.grants)
        )
        with listening(create_app(service)) as url:
            yield url, who["Authorization"].removeprefix("Bearer ")
    finally:
        vault.close()
