"""Exports on an incident's chain: who approved that a bundle leaves, and what approves nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from chain_story import ADA, INCIDENT, START, Story

from verify.approval import Approval
from verify.errors import MalformedError, UnsupportedError
from verify.export import Export, parse_export
from verify.statement import Assessment, Described, Place, Subject, Type

ASKED = replace(ADA, id="ada@example.org", authenticated="oidc", claimed=None)
HEX = "ab" * 32
REPORT = Described(HEX, 1, Place(key=f"artifacts/{'0' * 26}"))


def export_of(**changes: Any) -> Export:
    made = Export(
        scope="incident", purpose="production", recipient=None, as_of=START,
        included=("EV-0001",), withheld=(), files=(), trust_sha256=HEX, assessment=2, evault="0.1",
    )  # fmt: skip
    return replace(made, **changes)


@pytest.fixture
def story() -> Story:
    """An incident that was assessed, and may be exported."""
    told = Story()
    head = told.incident.leaf
    assessment = Assessment(
        report=REPORT, profile_name="p", profile_version=1, profile_sha256=HEX, head_sequence=1,
        head_leaf=head, as_of=START, verdict="incomplete", satisfied=0, of=7,
    )  # fmt: skip
    told.say(Type.ASSESSMENT, assessment.to_json(), subject=(Subject(f"{INCIDENT}/1", head),))
    return told


def exported(story: Story, approval: Any = None, **changes: Any) -> None:
    body = export_of().to_json()
    if approval is not None:
        body["approval"] = approval
    subject = (Subject(f"{INCIDENT}/2", story.incident.leaf),)
    story.say(Type.EXPORT, body, subject=subject, **changes)


def test_an_export_says_who_approved_it_or_nothing_of_that() -> None:
    alone = export_of()
    assert "approval" not in alone.to_json()
    assert parse_export(alone.to_json(), where="it") == alone
    approved = export_of(approval=Approval("gus@example.org", "oidc"))
    assert approved.to_json()["approval"] == {
        "authenticated": "oidc", "person": "gus@example.org"
    }  # fmt: skip
    assert parse_export(approved.to_json(), where="it") == approved


@pytest.mark.parametrize(
    ("approval", "error"),
    [
        (None, MalformedError),
        ("gus", MalformedError),
        ({}, MalformedError),
        ({"person": "gus"}, MalformedError),
        ({"authenticated": "token"}, MalformedError),
        ({"authenticated": "token", "person": " "}, MalformedError),
        ({"authenticated": "token", "person": "x" * 513}, MalformedError),
        ({"authenticated": "token", "person": "gus", "at": "now"}, MalformedError),
        # That somebody is said to have approved nothing shows here.
        ({"authenticated": "attested", "person": "gus"}, UnsupportedError),
        ({"authenticated": "passkey", "person": "gus"}, UnsupportedError),
    ],
)
def test_an_approval_is_read_strictly(approval: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        parse_export(export_of().to_json() | {"approval": approval}, where="it")


def test_the_chain_knows_which_exports_two_people_made(story: Story) -> None:
    exported(story, {"authenticated": "token", "person": "gus"}, actor=ASKED)
    assert (story.incident.last_export, story.incident.approved_exports) == (3, [3])


def test_an_export_of_one_person_is_no_approved_one(story: Story) -> None:
    exported(story)
    assert (story.incident.last_export, story.incident.approved_exports) == (3, [])


@pytest.mark.parametrize("name", ["ada@example.org", "ADA@elsewhere", " ada ", "Áda."])
def test_nobody_approves_their_own_export(story: Story, name: str) -> None:
    with pytest.raises(MalformedError, match="takes a second person"):
        exported(story, {"authenticated": "token", "person": name}, actor=ASKED)
    assert story.incident.last_export is None


def test_who_signed_in_nowhere_has_no_authenticated_approver(story: Story) -> None:
    with pytest.raises(MalformedError, match="did not authenticate"):
        exported(story, {"authenticated": "token", "person": "gus"})
    assert story.incident.approved_exports == []
