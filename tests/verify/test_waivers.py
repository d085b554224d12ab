"""Waivers on a chain: named conditions, a second person, an end, a revocation that counts once."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from chain_story import ADA, START, Story, exhibit_subject

from verify.approval import Approval
from verify.errors import ChainError, MalformedError, UnsupportedError
from verify.statement import Type
from verify.strictjson import Object
from verify.waiver import Waiver, waiver_name


def granted(number: int = 1, **changes: Any) -> Object:
    return {
        "approved_by": {"authenticated": "attested", "person": "Grace"},
        "compensating": [],
        "conditions": ["C2.models", "C4.disposition"],
        "event": "granted",
        "exhibits": ["EV-0001"],
        "owner": "Head of Platform",
        "reason": "the provider keeps no versions",
        "requester": "Linus",
        "scope": ["crm"],
        "valid_from": "2026-03-02T09:00:00Z",
        "valid_to": "2026-04-02T09:00:00Z",
        "waiver": f"W-{number:04d}",
        **changes,
    }


def revoked(number: int = 1, **changes: Any) -> Object:
    return {"event": "revoked", "reason": "answered", "waiver": f"W-{number:04d}", **changes}


def waive(story: Story, body: Object, **changes: Any) -> dict[str, Waiver]:
    return story.say(Type.WAIVER, body, **changes).waivers


@pytest.fixture
def story() -> Story:
    return Story()


def test_a_waiver_is_read_as_it_was_granted(story: Story) -> None:
    story.capture()
    (waiver,) = waive(story, granted(compensating=["EV-0002", "EV-0001"])).values()
    assert (waiver.id, waiver.conditions) == ("W-0001", ("C2.models", "C4.disposition"))
    assert waiver.reason == "the provider keeps no versions"
    assert (waiver.owner, waiver.requester) == ("Head of Platform", "Linus")
    assert waiver.approval == Approval("Grace", "attested")
    assert (waiver.exhibits, waiver.compensating) == (("EV-0001",), ("EV-0002", "EV-0001"))
    assert waiver.scope == ("crm",)
    assert waiver.valid_from == datetime(2026, 3, 2, 9, tzinfo=UTC)
    assert waiver.valid_to == datetime(2026, 4, 2, 9, tzinfo=UTC)
    assert (waiver.sequence, waiver.recorded_at) == (3, START + timedelta(minutes=3))
    assert (waiver.revoked_at, waiver.revoked_reason, waiver.revoked_sequence) == (None,) * 3
    assert waiver.to_json() == granted(compensating=["EV-0002", "EV-0001"])


@pytest.mark.parametrize("named", [("EV-0001",), ("EV-0002", "EV-0001"), ("EV-0001", "EV-0003")])
def test_the_subjects_are_both_sorts_of_exhibits_each_once(
    story: Story, named: tuple[str, ...]
) -> None:
    story.capture()
    body = granted(compensating=["EV-0002", "EV-0001"])
    with pytest.raises(ChainError, match="its subjects are not what its body speaks of"):
        waive(story, body, subject=tuple(map(exhibit_subject, named)))


@pytest.mark.parametrize(
    "condition",
    ["*", "C2", "C2.*", "*.models", "C2.", ".models", "C2.models.x", "C2 models", "c2.Models",
     "C2.models\n", "", "C2.mod*", "all", "C2/models"],
)  # fmt: skip
def test_only_single_conditions_can_be_waived(story: Story, condition: str) -> None:
    with pytest.raises(MalformedError, match=r"names no condition like C2\.models|1 to 1,000"):
        waive(story, granted(conditions=["C4.disposition", condition]))
    assert story.incident.waivers == {}


@pytest.mark.parametrize("conditions", [[], ["C2.models", "C2.models"], "C2.models", None])
def test_conditions_are_a_list_of_different_ones(story: Story, conditions: Any) -> None:
    with pytest.raises(MalformedError, match="conditions: expected"):
        waive(story, granted(conditions=conditions))


@pytest.mark.parametrize(
    ("person", "requester"),
    [("Linus", "Linus"), ("linus@corp", "Linus"), (" L\u00ednus", "Linus"), ("ada", "Linus"),
     ("Ada Lovelace", "Linus"), ("Grace", "GRACE@home")],
)  # fmt: skip
def test_who_asks_or_records_does_not_approve(story: Story, person: str, requester: str) -> None:
    approval = {"authenticated": "attested", "person": person}
    with pytest.raises(MalformedError, match="it takes a second person"):
        waive(story, granted(approved_by=approval, requester=requester))


def test_an_approval_of_nobody_is_none(story: Story) -> None:
    with pytest.raises(MalformedError, match="names nobody"):
        waive(story, granted(approved_by={"authenticated": "attested", "person": "???"}))
    with pytest.raises(MalformedError, match="expected a JSON object"):
        waive(story, granted(approved_by=None))


@pytest.mark.parametrize("how", ["token", "oidc"])
def test_who_signed_in_to_approve_needs_no_exhibit(story: Story, how: str) -> None:
    body = granted(exhibits=[], approved_by={"authenticated": how, "person": "Grace"})
    with pytest.raises(MalformedError, match="by a vault that did not authenticate ada@lab"):
        waive(story, body)
    signed_in = replace(ADA, authenticated="oidc", claimed=None)
    with pytest.raises(MalformedError, match="it takes a second person"):
        waive(story, granted(exhibits=[], approved_by={"authenticated": how, "person": "ADA@x"}),
              actor=signed_in)  # fmt: skip
    with pytest.raises(MalformedError, match="it takes a second person"):
        waive(story, granted(exhibits=[], approved_by={"authenticated": how, "person": "Linus"}),
              actor=signed_in)  # fmt: skip
    (waiver,) = waive(story, body, actor=signed_in).values()
    assert (waiver.approval, waiver.exhibits) == (Approval("Grace", how), ())


def test_the_second_person_is_attested_by_an_exhibit_or_signed_in(story: Story) -> None:
    with pytest.raises(UnsupportedError, match="known here as attested, oidc, token"):
        waive(story, granted(approved_by={"authenticated": "sso", "person": "Grace"}))
    with pytest.raises(MalformedError, match="names the exhibit that shows it"):
        waive(story, granted(exhibits=[], compensating=["EV-0001"]))


@pytest.mark.parametrize("end", ["2026-03-02T09:00:00Z", "2026-03-02T08:59:59.999Z"])
def test_a_waiver_ends_after_it_starts(story: Story, end: str) -> None:
    with pytest.raises(MalformedError, match="not after it starts 2026-03-02T09:00:00Z"):
        waive(story, granted(valid_to=end))


@pytest.mark.parametrize("name", ["exhibits", "compensating"])
def test_its_exhibits_are_on_the_chain_already(story: Story, name: str) -> None:
    with pytest.raises(ChainError, match="there is no exhibit EV-0002 on this chain yet"):
        waive(story, granted(**{name: ["EV-0002"]}))


def test_waivers_are_numbered_without_gaps_and_never_again(story: Story) -> None:
    for wrong in (0, 2):
        with pytest.raises(ChainError, match=f"expected waiver W-0001, found W-000{wrong}"):
            waive(story, granted(wrong))
    waive(story, granted())
    waive(story, revoked())
    with pytest.raises(ChainError, match="expected waiver W-0002, found W-0001"):
        waive(story, granted())
    assert list(waive(story, granted(2))) == ["W-0001", "W-0002"]
    assert waiver_name(12_345) == "W-12345"


def test_a_revocation_says_when_and_why(story: Story) -> None:
    waive(story, granted())
    bob = replace(ADA, id="bob@lab", claimed=None)
    waiver = waive(story, revoked(), actor=bob)["W-0001"]
    assert waiver.revoked_at == START + timedelta(minutes=3)
    assert (waiver.revoked_reason, waiver.revoked_sequence) == ("answered", 3)


def test_a_waiver_is_revoked_once(story: Story) -> None:
    waive(story, granted())
    waive(story, revoked())
    with pytest.raises(ChainError, match="waiver W-0001 is revoked already"):
        waive(story, revoked(reason="and again"))
    assert story.incident.waivers["W-0001"].revoked_reason == "answered"


@pytest.mark.parametrize("number", [0, 2])
def test_what_was_not_granted_cannot_be_revoked(story: Story, number: int) -> None:
    waive(story, granted())
    with pytest.raises(ChainError, match=f"no waiver W-000{number} was granted on this chain"):
        waive(story, revoked(number))


def test_a_waiver_counts_from_start_to_end_unless_it_is_revoked(story: Story) -> None:
    waiver = waive(story, granted())["W-0001"]
    tick = timedelta(milliseconds=1)
    for moment, live in (
        (waiver.valid_from - tick, False),
        (waiver.valid_from, True),
        (waiver.valid_to, True),
        (waiver.valid_to + tick, False),
    ):
        assert waiver.live_at(moment) == live
    waiver = waive(story, revoked())["W-0001"]
    assert waiver.live_at(START + timedelta(minutes=3) - tick)
    assert not waiver.live_at(START + timedelta(minutes=3))


@pytest.mark.parametrize(
    ("name", "wrong"),
    [("reason", " "), ("owner", ""), ("requester", "\t"), ("scope", ["crm", "crm"]),
     ("scope", [" "]), ("scope", "crm"), ("owner", "x" * 513), ("valid_to", "2026-04-02"),
     ("waiver", 1), ("event", "waived")],
)  # fmt: skip
def test_other_bodies_are_refused(story: Story, name: str, wrong: Any) -> None:
    with pytest.raises(MalformedError):
        waive(story, granted(**{name: wrong}))
    assert waive(story, granted(scope=[]))["W-0001"].scope == ()


def test_the_bodies_are_closed(story: Story) -> None:
    with pytest.raises(MalformedError, match="unknown field 'items'"):
        waive(story, granted(items=["C2"]))
    waive(story, granted())
    with pytest.raises(MalformedError, match="unknown field 'owner'"):
        waive(story, revoked(owner="Head of Platform"))
    with pytest.raises(MalformedError, match="reason: says nothing"):
        waive(story, revoked(reason="  "))


def test_no_waiver_follows_a_seal(story: Story) -> None:
    waive(story, granted())
    story.say(Type.SEAL, {"exhibits": 1, "reason": None})
    for body in (granted(2), revoked()):
        with pytest.raises(ChainError, match="a waiver may not follow the seal"):
            waive(story, body)
