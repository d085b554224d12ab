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

SERVED = frozenset(
    f"test_cli_{each}"
    for each in (
        "attest", "capture", "checklist", "closing", "collector", "evidence", "hold",
        "hostile_files", "incident", "ingest", "metrics", "response", "retention", "sources",
        "spool", "status", "streams", "sweep", "timeline", "trails", "waive",
    )
)  # fmt: skip
"""Modules whose tests run against a served vault too: in the soak, `REPRESENTATIVE` ones in CI.

The others are about a home's own files (bad_input, init_s3, settings, store), do otherwise through
a server, as tests/http shows (grant, token), are about other files than a vault's (bundle_reports,
inspect, profile, render, verify_facts), about the help, or, like handover and schemas, run in homes
of their own.
"""

REPRESENTATIVE = frozenset(
    {
        "test_amend_shows_and_seals_old_and_new",
        "test_the_incident_may_be_left_out_while_one_is_open_and_is_then_said",
        "test_bytes_that_were_changed_in_a_folder_are_named_with_both_digests",
        "test_a_wrong_value_is_refused_by_name",
        "test_assign_and_phase_are_acknowledged_with_their_place",
        "test_every_sample_is_sealed_as_it_is",
        "test_a_deposit_repeated_with_other_content_is_refused",
        "test_two_processes_that_ingest_at_once_both_succeed",
        "test_ctrl_c_leaves_nothing_claimed",
        "test_a_command_is_sealed_with_its_output_and_how_it_ended",
        "test_withdraw_keeps_the_exhibit_and_takes_it_out_of_the_count",
        "test_classify_changes_what_counts_and_keeps_what_the_parser_said",
        "test_get_to_standard_output_gives_the_bytes_alone",
        "test_looking_seals_nothing_and_seal_seals",
        "test_what_changed_since_the_last_sealed_report_is_told",
        "test_many_at_once_leave_a_chain_that_reads_and_a_store_that_agrees",
        "test_a_removed_collector_is_refused_at_delivery",
        "test_a_collector_is_let_in_with_a_token_for_what_is_named",
        "test_what_makes_no_sense_lets_nobody_in",
        "test_two_spools_of_one_key_that_told_two_stories_are_refused",
        "test_a_spool_delivers_to_a_stream_also_to_one_that_it_begins",
        "test_a_stream_needs_no_incident_and_takes_what_is_new",
    }
)

_APPROVED = "a second person approves with a token of their own"
_POLICY = "a retention policy is set, and locks are laid anew, where the home is"
_BEHIND = "what is done to the home's files under a running server is told in the server's words"
_READ = "a reading through a server names its address, and several may ride on one statement"
_SEEN = "a server tells of what one may see, and not that there is nothing else"

APART = {
    "test_an_approval_is_called_attested_and_never_authenticated": _APPROVED,
    "test_an_approval_that_nothing_shows_is_refused": _APPROVED,
    "test_the_examples_are_commands_that_work": _APPROVED,
    "test_what_is_said_is_what_is_sealed": _APPROVED,
    "test_who_attests_does_not_approve": _APPROVED,
    "test_a_waiver_is_told_in_the_same_words_in_every_view": _APPROVED,
    "test_what_is_open_is_told_on_standard_error_before_it_is_sealed_all_the_same": _APPROVED,
    "test_a_closed_incident_can_be_held_and_released": _APPROVED,
    "test_it_is_never_called_authenticated": _APPROVED,
    "test_live_holds_are_shown_where_the_incident_is": _APPROVED,
    "test_the_chain_and_the_pages_tell_it": _APPROVED,
    "test_what_a_matter_is_called_cannot_write_to_the_terminal": _APPROVED,
    "test_what_makes_no_sense_is_refused_and_seals_nothing": _APPROVED,
    "test_a_waiver_is_revoked_once_and_stays_on_record": _APPROVED,
    "test_a_waiver_is_sealed_as_it_was_asked_for": _APPROVED,
    "test_an_end_may_be_said_from_now": _APPROVED,
    "test_many_at_once_are_numbered_without_gaps": _APPROVED,
    "test_nothing_is_waived_in_a_closed_incident": _APPROVED,
    "test_the_approval_is_called_attested_and_never_authenticated": _APPROVED,
    "test_the_list_tells_live_ended_revoked_and_to_come": _APPROVED,
    "test_what_a_waiver_does_not_do_is_told": _APPROVED,
    "test_what_cannot_be_waived_so_is_refused_and_nothing_is_sealed": _APPROVED,
    "test_who_asks_is_who_runs_the_command_unless_another_is_named": _APPROVED,
    "test_a_classification_extends_and_another_takes_nothing_back": _POLICY,
    "test_a_folder_notes_what_a_bucket_would_enforce": _POLICY,
    "test_a_longer_policy_extends_what_is_kept_already": _POLICY,
    "test_a_policy_and_a_severity_that_were_never_in_force_together_promise_nothing": _POLICY,
    "test_a_shorter_policy_binds_only_what_comes_after_it": _POLICY,
    "test_the_printed_policy_can_be_edited_and_sealed": _POLICY,
    "test_bytes_that_were_altered_in_the_store_do_not_leave_it": _BEHIND,
    "test_an_incident_that_cannot_be_read_is_told_and_makes_the_exit_code_2": _BEHIND,
    "test_a_collectors_life": _BEHIND,
    "test_a_vault_that_took_it_and_was_not_heard_gives_the_first_receipt": _BEHIND,
    "test_whatever_of_the_vault_is_gone_the_evidence_is_kept": _BEHIND,
    "test_without_a_vault_the_incident_must_be_named": _BEHIND,
    "test_a_store_that_is_gone_is_not_swept_clean": _BEHIND,
    "test_an_actor_who_takes_over_is_named_and_long_words_fit": _READ,
    "test_custody_shows_the_day_and_the_actor_where_they_change": _READ,
    "test_get_gives_the_bytes_and_records_the_reading_first": _READ,
    "test_without_an_open_incident_it_says_so_and_succeeds": _SEEN,
}
"""Tests in those modules that do not apply, each with the reason."""


def is_served(metafunc: pytest.Metafunc) -> list[pytest.MarkDecorator] | None:
    """The marks of a test's second run, against a server; None where it has none."""
    module = metafunc.module.__name__.rpartition(".")[2]
    name = metafunc.function.__name__
    if module not in SERVED or name in APART:
        return None
    return [pytest.mark.slow if name in REPRESENTATIVE else pytest.mark.soak]


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

    from cli.compose import open_vault
    from cli.serving import service_of
    from cli.settings import read_settings
    from cli.vault import now
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
