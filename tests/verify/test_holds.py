"""Holds, extensions and locks on an incident's chain, and what stands on the vault's own."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from chain_story import ADA, INCIDENT, START, Story, exhibit_subject, manifest_of
from hypothesis import given
from hypothesis import strategies as st

from verify.approval import ATTESTED
from verify.errors import ChainError, EvidenceError, MalformedError, UnsupportedError
from verify.incident import Incident, check_vault_link
from verify.retention import BUILT_IN
from verify.statement import (
    ON_VAULT_CHAIN,
    Link,
    Sweep,
    Type,
    chain_subject,
)
from verify.strictjson import Object

SWEEP = Sweep("bytes", START, 7, 0, 0, 0, ()).to_json()


def held_for(matter: str = "M-1", **changes: Any) -> Object:
    return {"event": "set", "matter": matter, "ordered_by": None, "reason": "sued", **changes}


def released_of(matter: str = "M-1", by: str = "Grace", **changes: Any) -> Object:
    approval = {"authenticated": ATTESTED, "person": by}
    return {"approved_by": approval, "event": "released", "exhibits": ["EV-0001"],
            "matter": matter, "reason": "settled", **changes}  # fmt: skip


def extended_to(until: str) -> Object:
    return {"event": "extended", "reason": "a clock runs", "until": until}


@pytest.fixture
def story() -> Story:
    return Story()


# -- holds ---------------------------------------------------------------------------------------


def test_a_hold_binds_what_comes_later_too(story: Story) -> None:
    story.hold(held_for(ordered_by="Legal"))
    incident = story.capture()
    assert list(incident.exhibits) == ["EV-0001", "EV-0002"]
    (hold,) = incident.live_holds
    assert (hold.matter, hold.sequence, hold.actor) == ("M-1", 2, ADA)
    assert hold.recorded_at == START + timedelta(minutes=2)
    assert (hold.set_by.reason, hold.set_by.ordered_by) == ("sued", "Legal")
    assert hold.released_by is None


def test_one_matter_holds_an_incident_once(story: Story) -> None:
    story.hold(held_for())
    with pytest.raises(ChainError, match="link 3: the matter 'M-1' holds this incident already"):
        story.hold(held_for())
    assert story.matters() == ["M-1"]


def test_matters_are_told_apart_character_by_character(story: Story) -> None:
    for matter in ("M-1", "m-1", "M-1 ", "M\u20111"):
        story.hold(held_for(matter))
    assert story.matters() == ["M-1", "m-1", "M-1 ", "M\u20111"]
    story.hold(released_of("M-1 "))
    assert story.matters() == ["M-1", "m-1", "M\u20111"]


def test_an_incident_is_held_while_one_hold_lives(story: Story) -> None:
    story.hold(held_for("A"))
    story.hold(held_for("B"))
    story.hold(released_of("A"))
    assert story.matters() == ["B"]
    story.hold(released_of("B"))
    assert story.matters() == []
    assert [hold.released_sequence for hold in story.incident.holds] == [4, 5]


def test_a_release_says_who_asked_and_who_is_said_to_have_approved(story: Story) -> None:
    story.hold(held_for())
    bob = replace(ADA, id="bob@lab", claimed=None)
    (hold,) = story.hold(released_of(by="Grace Hopper"), actor=bob).holds
    assert hold.released_by is not None
    assert hold.released_by.approval is not None
    assert hold.released_by.approval.person == "Grace Hopper"
    assert hold.released_by.approval.authenticated == "attested"
    assert (hold.actor, hold.released_actor) == (ADA, bob)
    assert hold.released_at == START + timedelta(minutes=3)


@pytest.mark.parametrize("matter", ["M-2", "m-1", " M-1"])
def test_what_no_matter_holds_cannot_be_released(story: Story, matter: str) -> None:
    story.hold(held_for())
    with pytest.raises(ChainError, match=r"no matter .* holds this incident"):
        story.hold(released_of(matter))
    assert story.matters() == ["M-1"]


def test_a_release_does_not_count_twice(story: Story) -> None:
    story.hold(held_for())
    story.hold(released_of())
    with pytest.raises(ChainError, match="no matter 'M-1' holds this incident"):
        story.hold(released_of())


def test_a_released_matter_may_be_set_again(story: Story) -> None:
    for body in (held_for(), released_of(), held_for(reason="sued again")):
        story.hold(body)
    assert story.matters() == ["M-1"]
    first, second = story.incident.holds
    assert first.released_sequence == 3
    assert (second.sequence, second.released_by, second.set_by.reason) == (4, None, "sued again")
    first, second = story.hold(released_of()).holds
    assert first.released_sequence == 3
    assert second.released_sequence == 5


@pytest.mark.parametrize("by", ["ada", "ADA@lab", " Ada @ elsewhere", "ada lovelace", "\u00c1da"])
def test_who_asks_does_not_approve(story: Story, by: str) -> None:
    story.hold(held_for())
    with pytest.raises(MalformedError, match="asks and approves; it takes a second person"):
        story.hold(released_of(by=by))
    assert story.matters() == ["M-1"]


def test_who_set_a_hold_may_approve_what_another_asks(story: Story) -> None:
    story.hold(held_for())
    story.hold(released_of(by="Ada"), actor=replace(ADA, id="bob@lab", claimed=None))
    assert story.matters() == []


@pytest.mark.parametrize("exhibits", [["EV-0002"], ["EV-0001", "EV-0009"], ["../EV-0001"]])
def test_what_shows_an_approval_is_on_the_chain_already(story: Story, exhibits: list[str]) -> None:
    story.hold(held_for())
    with pytest.raises(ChainError, match="there is no exhibit"):
        story.hold(released_of(exhibits=exhibits))
    assert story.matters() == ["M-1"]


def test_the_subjects_of_a_hold_are_what_its_body_speaks_of(story: Story) -> None:
    wrong = "its subjects are not what its body speaks of"
    shown = exhibit_subject("EV-0001")
    with pytest.raises(ChainError, match=wrong):
        Story().hold(held_for(), subject=(shown,))
    with pytest.raises(ChainError, match=wrong):
        Story().hold(extended_to("2040-01-01T00:00:00Z"), subject=(shown,))
    story.hold(held_for())
    for subject in (
        (chain_subject(INCIDENT),),
        (shown, chain_subject(INCIDENT)),
        (replace(shown, sha256="00" * 32),),
    ):
        with pytest.raises(ChainError, match=wrong):
            replace_story(story).hold(released_of(), subject=subject)
    story.hold(released_of())


def replace_story(story: Story) -> Story:
    """A story of its own that has come as far."""
    other = Story()
    for hold in story.incident.holds:
        other.hold(held_for(hold.matter))
    return other


def test_a_hold_does_not_stand_between_the_parts_of_a_capture(story: Story) -> None:
    story.capture(part=1, of=2)
    with pytest.raises(ChainError, match="a capture in parts was not finished"):
        story.hold(held_for())


@given(
    st.lists(st.tuples(st.sampled_from(["set", "released"]), st.sampled_from("ABC")), max_size=12)
)
def test_the_holds_are_those_of_a_naive_count(said: list[tuple[str, str]]) -> None:
    story, live, ever = Story(), set[str](), 0
    for event, matter in said:
        allowed = (matter in live) == (event == "released")
        try:
            story.hold(held_for(matter) if event == "set" else released_of(matter))
        except ChainError:
            assert not allowed
            continue
        assert allowed
        live ^= {matter}
        ever += event == "set"
        assert set(story.matters()) == live
        assert len(story.matters()) == len(live)
        assert len(story.incident.holds) == ever


# -- extensions, and the lock that a seal asks for -----------------------------------------------


def test_retention_is_extended_and_never_shortened(story: Story) -> None:
    incident = story.hold(extended_to("2040-01-01T00:00:00Z"))
    assert incident.retained_until == datetime(2040, 1, 1, tzinfo=UTC)
    assert incident.retained_sequence == 2
    for until in ("2040-01-01T00:00:00Z", "2039-12-31T23:59:59.999Z", "2020-01-01T00:00:00Z"):
        with pytest.raises(ChainError, match="only ever extended"):
            story.hold(extended_to(until))
    incident = story.hold(extended_to("2040-01-01T00:00:00.001Z"))
    assert incident.retained_sequence == 3
    assert incident.live_holds == []


def test_no_extension_outlasts_what_a_store_can_promise(story: Story) -> None:
    for until in ("2126-02-06T09:02:00.001Z", "9999-12-31T23:59:59Z"):
        with pytest.raises(ChainError, match="at most 36,500 days"):
            story.hold(extended_to(until))
    story.hold(extended_to("2126-02-06T09:02:00Z"))


def sealed(story: Story, **changes: Any) -> Incident:
    return story.say(Type.SEAL, {"exhibits": 1, "reason": None, **changes})


def test_holds_and_extensions_may_follow_a_seal(story: Story) -> None:
    story.hold(held_for("A"))
    sealed(story)
    story.hold(held_for("B"))
    story.hold(released_of("A"))
    incident = story.hold(extended_to("2040-01-01T00:00:00Z"))
    assert story.matters() == ["B"]
    assert incident.sealed
    assert incident.retained_until is not None


def test_a_seal_may_ask_for_a_lock_that_nobody_lifts(story: Story) -> None:
    assert not sealed(Story()).compliance
    incident = sealed(story, lock="compliance")
    assert incident.compliance
    story.say(Type.INCIDENT, {"event": "reopened", "reason": "more"})
    sealed(story)
    assert incident.compliance, "no later seal takes it back"


@pytest.mark.parametrize("lock", ["governance", "COMPLIANCE", "", None, True, ["compliance"]])
def test_a_seal_asks_for_compliance_or_for_nothing(story: Story, lock: object) -> None:
    with pytest.raises(MalformedError, match=r"compliance|expected text"):
        sealed(story, lock=lock)
    assert not story.incident.sealed


# -- which type on which chain -------------------------------------------------------------------


@pytest.mark.parametrize("kind", sorted(ON_VAULT_CHAIN))
def test_what_belongs_to_the_vault_is_refused_on_an_incident(story: Story, kind: Type) -> None:
    for body in (SWEEP, BUILT_IN.to_json(), {}):
        with pytest.raises(ChainError, match=f"a {kind} belongs on the chain vault"):
            story.say(kind, body)


def on_vault(kind: Type, body: Object, *, chain: str = "vault", **changes: Any) -> None:
    check_vault_link(manifest_of(kind, body, Link(chain, 0, None), **changes))


def test_policies_and_sweeps_stand_on_the_vaults_chain() -> None:
    on_vault(Type.POLICY, BUILT_IN.to_json())
    on_vault(Type.SWEEP, SWEEP)


@pytest.mark.parametrize("kind", sorted(set(Type) - ON_VAULT_CHAIN))
def test_what_belongs_to_an_incident_is_refused_on_the_vaults_chain(kind: Type) -> None:
    with pytest.raises(ChainError, match=f"a {kind} has no place on the chain vault"):
        on_vault(kind, held_for())


@pytest.mark.parametrize("chain", [INCIDENT, "stream:agents"])
def test_a_policy_on_another_chain_binds_nobody(chain: str) -> None:
    with pytest.raises(ChainError, match="not the vault's own chain"):
        on_vault(Type.POLICY, BUILT_IN.to_json(), chain=chain)


def test_a_key_event_of_another_sort_is_not_judged() -> None:
    with pytest.raises(UnsupportedError, match="'rotated' is not known here"):
        on_vault(Type.KEY, {"event": "rotated"})


def test_another_policy_than_retention_is_not_judged() -> None:
    with pytest.raises(UnsupportedError, match="not 'profiles'"):
        on_vault(Type.POLICY, {"policy": "profiles"})


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (Type.SWEEP, {}),
        (Type.SWEEP, BUILT_IN.to_json()),
        (Type.SWEEP, {**SWEEP, "checked": -1}),
        (Type.POLICY, SWEEP),
        (Type.GRANT, SWEEP),
        (Type.POLICY, {"policy": "retention", "rules": []}),
        (Type.POLICY, {"policy": "retention", "rules": [{"days": 1, "kind": None,
                                                         "severity": None}]}),
    ],
)  # fmt: skip
def test_a_body_that_does_not_read_is_refused(kind: Type, body: Object) -> None:
    with pytest.raises(MalformedError):
        on_vault(kind, body)


def test_the_vaults_links_speak_of_its_chain_alone() -> None:
    for subject in (
        (chain_subject(INCIDENT),),
        (chain_subject("vault"), chain_subject(INCIDENT)),
        (replace(chain_subject("vault"), sha256="00" * 32),),
    ):
        with pytest.raises(ChainError, match="its subjects are not what its body speaks of"):
            on_vault(Type.SWEEP, SWEEP, subject=subject)


def test_an_incident_is_no_fold_over_the_vaults_chain() -> None:
    with pytest.raises(EvidenceError, match="no incident's chain"):
        Incident("vault").apply(manifest_of(Type.SWEEP, SWEEP, Link("vault", 0, None)))
