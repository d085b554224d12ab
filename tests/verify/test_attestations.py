"""Attestations on a chain: closed fields, cited exhibits, a second person that is only attested."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from attestation_examples import AT, FULL, LATER, OPTIONAL
from chain_story import ADA, START, Story

from verify.approval import Approval
from verify.attestation import (
    MAX_FIELD,
    MAX_LISTED,
    Attestation,
    AttestationType,
    attestation_body,
    cited,
)
from verify.errors import ChainError, MalformedError, UnsupportedError
from verify.statement import Type, chain_subject
from verify.strictjson import Object

GRACE = {"authenticated": "attested", "person": "Grace Hopper"}


def body_of(kind: str, fields: Object | None = None, **changes: Any) -> Object:
    fields = FULL[kind] if fields is None else fields
    approved = GRACE if kind == "not_applicable" else None
    return {"approved_by": approved, "attestation": kind, "exhibits": ["EV-0001"],
            "fields": fields, "statement": None, **changes}  # fmt: skip


def attested(story: Story, body: Object, **changes: Any) -> Attestation:
    return story.say(Type.ATTESTATION, body, **changes).attestations[-1]


@pytest.fixture
def story() -> Story:
    return Story()


def test_the_examples_cover_every_type() -> None:
    assert FULL.keys() == OPTIONAL.keys() == {kind.value for kind in AttestationType}


@pytest.mark.parametrize("kind", FULL)
def test_an_attestation_is_read_as_it_was_made(story: Story, kind: str) -> None:
    read = attested(story, body_of(kind, statement="as I saw it"))
    assert read.type == kind
    assert read.fields.keys() == FULL[kind].keys()
    for name, value in FULL[kind].items():
        if name.endswith("_at") or name in ("at", "from", "to", "effective_from"):
            assert read.fields[name] == datetime.fromisoformat(value)
        else:
            assert read.fields[name] == (tuple(value) if isinstance(value, list) else value)
    assert (read.exhibits, read.statement, read.actor) == (("EV-0001",), "as I saw it", ADA)
    assert (read.sequence, read.recorded_at) == (2, story.incident.recorded_at)


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in FULL for name in FULL[kind]])
def test_a_field_may_be_left_out_only_if_the_page_says_so(
    story: Story, kind: str, name: str
) -> None:
    fields = {each: value for each, value in FULL[kind].items() if each != name}
    if name in OPTIONAL[kind]:
        assert name not in attested(story, body_of(kind, fields)).fields
        return
    with pytest.raises(MalformedError, match=f"link 2.body.fields: field '{name}' is missing"):
        attested(story, body_of(kind, fields))


@pytest.mark.parametrize("kind", FULL)
def test_an_unknown_field_is_refused_with_those_that_are_known(story: Story, kind: str) -> None:
    with pytest.raises(MalformedError, match="has no field 'colour'; it has ") as said:
        attested(story, body_of(kind, {**FULL[kind], "colour": "red"}))
    for name in FULL[kind]:
        assert name in str(said.value).partition("; it has ")[2]
    assert story.incident.attestations == []


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in FULL for name in FULL[kind]])
@pytest.mark.parametrize("wrong", [None, "", "  ", 7, True, [], [""], {}, "\u2003", ["x", "x"]])
def test_no_field_takes_nothing_or_another_shape(
    story: Story, kind: str, name: str, wrong: Any
) -> None:
    with pytest.raises(MalformedError, match=rf"\.fields\.{name}"):
        attested(story, body_of(kind, {**FULL[kind], name: wrong}))


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in FULL for name in FULL[kind]])
def test_lists_are_lists_and_texts_are_texts(story: Story, kind: str, name: str) -> None:
    value = FULL[kind][name]
    other = value[0] if isinstance(value, list) else [value]
    with pytest.raises(MalformedError, match=rf"\.fields\.{name}"):
        attested(story, body_of(kind, {**FULL[kind], name: other}))


@pytest.mark.parametrize(
    ("kind", "changes", "told"),
    [
        ("rollback", {"result": "passed"}, "'passed' is none of succeeded, failed"),
        ("validation", {"result": "ok"}, "'ok' is none of passed, failed"),
        ("validation", {"checks": ["tests"]}, "'tests' is none of targeted_tests, dry_run, slo"),
        ("slo_check", {"checks": ["dry_run"]}, "none of slo, data_integrity, user_path"),
        ("re_enable", {"monitoring": "YES"}, "'YES' is none of yes, no"),
        ("logging", {"enhanced": "yes"}, "'yes' is none of on, off"),
        ("alignment", {"document": "runbook"}, "none of constitution, rulebook"),
        ("nil_return", {"kinds": ["log"]}, "'log' is none of ticket, prompt"),
        ("not_applicable", {"item": "C5.actions"}, "names no item like C5"),
        ("not_applicable", {"item": "*"}, "names no item like C5"),
        ("finding", {"conflict": "C2"}, "names no condition like C2.models"),
        ("finding", {"conflict": "C2.*"}, "a whole item or a wildcard is none"),
        ("finding", {"believed": "the vendor"}, "is no exhibit like EV-0001"),
        ("finding", {"believed": "statement"}, "is believed and disbelieved"),
        ("finding", {"disbelieved": ["EV-0001"]}, "EV-0001 is believed and disbelieved"),
        ("permissions_revalidated", {"document": "permission-tiers.md"}, "is no exhibit like"),
        ("permissions_revalidated", {"document": "AB" * 32}, "is no exhibit like EV-0001"),
        ("acknowledgement", {"alert": "EV-0000"}, "is no exhibit like EV-0001"),
        ("rollback", {"started_at": "2026-03-02T09:20:00.001Z"}, "ended_at .* is before started"),
        ("validation", {"ended_at": AT}, "ended_at .* is before at 2026-03-02T09:20:00Z"),
        ("page", {"acknowledged_at": AT}, "acknowledged_at .* is before delivered_at"),
        ("notice", {"accepted_at": AT}, "accepted_at .* is before delivered_at"),
        ("nil_return", {"from": "2026-03-02T09:20:00.001Z"}, "to .* is before from"),
        ("freeze", {"at": "2026-03-02T09:10"}, "expected a UTC time like"),
        ("freeze", {"at": "2026-03-02T10:10:00+01:00"}, "expected a UTC time like"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    story: Story, kind: str, changes: Object, told: str
) -> None:
    with pytest.raises(MalformedError, match=told):
        attested(story, body_of(kind, {**FULL[kind], **changes}))


def test_times_that_are_equal_are_in_order(story: Story) -> None:
    assert attested(story, body_of("rollback", {**FULL["rollback"], "started_at": LATER}))
    assert attested(story, body_of("nil_return", {**FULL["nil_return"], "from": LATER}))


def test_order_is_held_over_a_time_that_is_left_out(story: Story) -> None:
    fields = {"at": LATER, "team": "sre", "acknowledged_at": AT}
    with pytest.raises(MalformedError, match=r"acknowledged_at .* is before at"):
        attested(story, body_of("page", fields))


def test_a_freeze_says_what_is_frozen(story: Story) -> None:
    with pytest.raises(MalformedError, match="freeze names systems or principals"):
        attested(story, body_of("freeze", {"at": AT}))


def test_texts_and_lists_are_bounded(story: Story) -> None:
    fields = FULL["isolation"]
    assert attested(story, body_of("isolation", {**fields, "targets": ["x" * MAX_FIELD]}))
    many = [str(number) for number in range(MAX_LISTED)]
    assert attested(story, body_of("isolation", {**fields, "targets": many}))
    for wrong in (["x" * (MAX_FIELD + 1)], [*many, "more"]):
        with pytest.raises(MalformedError, match="targets"):
            attested(story, body_of("isolation", {**fields, "targets": wrong}))
    assert attested(story, body_of("alignment", {**FULL["alignment"], "deviation": "x" * 1_000}))
    with pytest.raises(MalformedError, match="deviation: expected text of at most 1000"):
        attested(story, body_of("alignment", {**FULL["alignment"], "deviation": "x" * 1_001}))


@pytest.mark.parametrize("kind", ["freezing", "FREEZE", "", "incident"])
def test_an_unknown_type_is_refused_with_those_that_are_known(story: Story, kind: str) -> None:
    with pytest.raises(MalformedError, match="is none of acknowledgement, freeze, kill_switch"):
        attested(story, body_of("freeze", attestation=kind))


# -- exhibits ------------------------------------------------------------------------------------


def test_exhibits_are_on_the_chain_already(story: Story) -> None:
    with pytest.raises(ChainError, match="there is no exhibit EV-0002 on this chain yet"):
        attested(story, body_of("freeze", exhibits=["EV-0002"]))
    story.capture()
    assert attested(story, body_of("freeze", exhibits=["EV-0002"])).exhibits == ("EV-0002",)


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("acknowledgement", {}),
        ("permissions_revalidated", {}),
        ("postmortem_published", {}),
        ("finding", {}),
        ("finding", {"believed": "statement", "disbelieved": ["EV-0001"]}),
    ],
)
def test_an_exhibit_in_a_field_is_among_the_exhibits(
    story: Story, kind: str, changes: Object
) -> None:
    fields = {**FULL[kind], **changes}
    assert cited(AttestationType(kind), attested(story, body_of(kind, fields)).fields) == [
        "EV-0001"
    ]
    with pytest.raises(MalformedError, match="a field names EV-0001, which exhibits does not list"):
        attested(story, body_of(kind, fields, exhibits=[]))


def test_a_document_that_is_no_exhibit_stands_by_its_digest(story: Story) -> None:
    fields = {**FULL["permissions_revalidated"], "document": "ab" * 32}
    read = attested(story, body_of("permissions_revalidated", fields, exhibits=[]))
    assert (read.fields["document"], read.exhibits) == ("ab" * 32, ())


def test_an_exhibit_is_named_once(story: Story) -> None:
    with pytest.raises(MalformedError, match="exhibits: expected 0 or more different ones"):
        attested(story, body_of("freeze", exhibits=["EV-0001", "EV-0001"]))


def test_the_subjects_are_the_exhibits(story: Story) -> None:
    with pytest.raises(ChainError, match="its subjects are not what its body speaks of"):
        attested(story, body_of("freeze"), subject=(chain_subject(story.incident.id),))


# -- the second person -----------------------------------------------------------------------------


def test_an_approval_is_attested_by_an_exhibit(story: Story) -> None:
    read = attested(story, body_of("freeze", approved_by=GRACE))
    assert read.approval == Approval("Grace Hopper", "attested")
    with pytest.raises(MalformedError, match="an attested approval names the exhibit that shows"):
        attested(story, body_of("freeze", approved_by=GRACE, exhibits=[]))


@pytest.mark.parametrize("how", ["token", "oidc"])
def test_who_signed_in_needs_no_exhibit(story: Story, how: str) -> None:
    body = body_of("freeze", approved_by={**GRACE, "authenticated": how}, exhibits=[])
    signed_in = replace(ADA, authenticated="token")
    assert attested(story, body, actor=signed_in).approval == Approval("Grace Hopper", how)


@pytest.mark.parametrize("how", ["uid 1000, local", "attested", ""])
def test_nobody_is_said_to_be_authenticated_by_who_was_not(story: Story, how: str) -> None:
    body = body_of("freeze", approved_by={**GRACE, "authenticated": "oidc"})
    with pytest.raises(MalformedError, match="by a vault that did not authenticate ada@lab"):
        attested(story, body, actor=replace(ADA, authenticated=how))


@pytest.mark.parametrize("how", ["password", "Token", "saml", ""])
def test_an_approval_known_in_another_way_is_told_not_guessed(story: Story, how: str) -> None:
    body = body_of("freeze", approved_by={**GRACE, "authenticated": how})
    with pytest.raises(UnsupportedError, match="known here as attested, oidc, token"):
        attested(story, body)


@pytest.mark.parametrize("person", ["ada", "ADA@elsewhere", " Ada Lovelace", "\u00c1da"])
def test_who_attests_does_not_approve(story: Story, person: str) -> None:
    approved = {**GRACE, "person": person}
    with pytest.raises(MalformedError, match="it takes a second person"):
        attested(story, body_of("freeze", approved_by=approved))
    bob = replace(ADA, id="bob@lab", claimed=None)
    assert attested(story, body_of("freeze", approved_by=approved), actor=bob)


def test_what_does_not_apply_takes_a_second_person(story: Story) -> None:
    with pytest.raises(MalformedError, match="not_applicable takes a second person's approval"):
        attested(story, body_of("not_applicable", approved_by=None))


def test_who_approves_for_themselves_is_told_as_it_is(story: Story) -> None:
    fields = {**FULL["approval"], "requester": "Grace"}
    assert attested(story, body_of("approval", fields)).fields["requester"] == "Grace"
    fields = {**FULL["postmortem_published"], "reviewer": "Ada"}
    assert attested(story, body_of("postmortem_published", fields)).fields["reviewer"] == "Ada"


# -- what the fold makes of them -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "name"),
    [("freeze", "at"), ("rollback", "ended_at"), ("approval", "approved_at"), ("page", "at")],
)
def test_an_attestation_has_the_claimed_time_of_the_act(story: Story, kind: str, name: str) -> None:
    assert attested(story, body_of(kind)).at == datetime.fromisoformat(FULL[kind][name])


@pytest.mark.parametrize("kind", ["nil_return", "not_applicable", "applies", "finding"])
def test_what_has_no_time_says_none(story: Story, kind: str) -> None:
    assert attested(story, body_of(kind)).at is None


def test_attestations_stand_in_order_and_nothing_is_taken_back(story: Story) -> None:
    for kind in FULL:
        attested(story, body_of(kind))
    assert [each.type for each in story.incident.attestations] == list(FULL)
    assert [each.sequence for each in story.incident.attestations] == list(range(2, 2 + len(FULL)))


def test_no_attestation_follows_a_seal(story: Story) -> None:
    story.say(Type.SEAL, {"exhibits": 1, "reason": None})
    with pytest.raises(ChainError, match="a attestation may not follow the seal"):
        attested(story, body_of("postmortem_published"))


@pytest.mark.parametrize("name", ["approved_by", "attestation", "exhibits", "fields", "statement"])
def test_the_body_is_closed(story: Story, name: str) -> None:
    body = body_of("freeze")
    with pytest.raises(MalformedError, match="unknown field 'at'"):
        attested(story, {**body, "at": AT})
    with pytest.raises(MalformedError, match=f"field '{name}' is missing"):
        attested(story, {each: value for each, value in body.items() if each != name})


def test_a_statement_that_says_nothing_is_none(story: Story) -> None:
    with pytest.raises(MalformedError, match="statement: says nothing"):
        attested(story, body_of("freeze", statement=" \n"))


@pytest.mark.parametrize("kind", FULL)
def test_a_body_that_is_written_is_read_again(story: Story, kind: str) -> None:
    first = attested(story, body_of(kind))
    body = attestation_body(
        first.type, first.fields, statement="again", approval=Approval("Grace", "attested"),
        exhibits=("EV-0001",),
    )  # fmt: skip
    again = attested(story, body)
    assert (again.type, again.fields) == (first.type, first.fields)
    assert (again.statement, again.exhibits) == ("again", ("EV-0001",))


def test_what_could_not_be_read_is_not_written() -> None:
    fields = {"at": START, "systems": ()}
    with pytest.raises(MalformedError, match="systems: expected 1 or more different ones"):
        attestation_body(AttestationType.KILL_SWITCH, fields)
    with pytest.raises(MalformedError, match="names the exhibit that shows it"):
        attestation_body(
            AttestationType.KILL_SWITCH,
            {"at": datetime(2026, 3, 2, tzinfo=UTC), "systems": ("crm",)},
            approval=Approval("Grace", "attested"),
        )
