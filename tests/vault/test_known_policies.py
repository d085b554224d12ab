"""A policy of retention that another process sealed binds this one from its next look on."""

from __future__ import annotations

from pathlib import Path

from cli_support import run

from cli.compose import open_vault
from cli.settings import read_settings
from verify.retention import BUILT_IN, RetentionPolicy, Rule


def test_a_policy_that_was_read_before_is_not_taken_for_the_one_in_force(tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert run("--home", home, "init").code == 0
    settings = read_settings({}, home)
    here, elsewhere = open_vault(settings), open_vault(settings)
    try:
        asked = here.acting_as(here.door.actor)  # as each request has it
        assert asked.retention.policy() == (BUILT_IN, None)
        for number, days in enumerate((3_000, 4_000)):
            policy = RetentionPolicy((Rule(None, None, days),))
            elsewhere.retention.set_policy(policy)
            assert asked.retention.policy() == (policy, number)
            assert [each.policy for each in here.retention.policies()][-1] == policy
            assert len(here.retention.policies()) == number + 2
    finally:
        here.close()
        elsewhere.close()
