"""Whatever a body holds, it is read or refused in words; the state stays as it was if refused."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from attestation_examples import FULL
from chain_story import Story
from hypothesis import given, settings
from hypothesis import strategies as st

from verify.errors import EvidenceError
from verify.statement import Type
from verify.strictjson import Object

WORDS = st.one_of(
    st.text(max_size=6),
    st.sampled_from(["EV-0001", "EV-0002", "C2.models", "statement", "yes", "2026-03-02T09:10:00Z",
                     "W-0001", "granted", "revoked", "freeze", "attested", "Ada", "Grace"]),
)  # fmt: skip
JUNK = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-3, 3), WORDS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(WORDS, inner, max_size=3)),
    max_leaves=6,
)


def bodies() -> dict[str, tuple[Type, Object]]:
    approval = {"authenticated": "attested", "person": "Grace"}
    found: dict[str, tuple[Type, Object]] = {
        kind: (
            Type.ATTESTATION,
            {"approved_by": approval, "attestation": kind, "exhibits": ["EV-0001"],
             "fields": fields, "statement": None},
        )
        for kind, fields in FULL.items()
    }  # fmt: skip
    found["granted"] = (
        Type.WAIVER,
        {"approved_by": approval, "compensating": [], "conditions": ["C2.models"],
         "event": "granted", "exhibits": ["EV-0001"], "owner": "o", "reason": "r",
         "requester": "Linus", "scope": [], "valid_from": "2026-03-02T09:00:00Z",
         "valid_to": "2026-04-02T09:00:00Z", "waiver": "W-0001"},
    )  # fmt: skip
    found["updated"] = (
        Type.INCIDENT,
        {"at": "2026-03-02T10:00:00Z", "channel": None, "containment": "contained",
         "event": "updated", "exhibits": [], "next_steps": "n", "note": None},
    )  # fmt: skip
    found["assigned"] = (
        Type.INCIDENT,
        {"at": "2026-03-02T10:00:00Z", "event": "assigned", "person": "Ada",
         "role": "comms_lead"},
    )  # fmt: skip
    found["offered"] = (Type.INCIDENT, {**found["assigned"][1], "event": "offered"})
    return found


BODIES = bodies()


def paths(value: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [way] if way else []
    if isinstance(value, dict):
        for name, child in value.items():
            found += paths(child, (*way, name))
    if isinstance(value, list):
        for number, child in enumerate(value):
            found += paths(child, (*way, number))
    return found


@pytest.mark.parametrize("name", BODIES)
def test_the_bodies_are_sound_to_begin_with(name: str) -> None:
    story = Story()
    kind, body = BODIES[name]
    before = len(story.incident.attestations), len(story.incident.waivers)
    story.say(kind, body)
    after = story.incident
    told = (len(after.attestations), len(after.waivers), len(after.updates), len(after.assignments))
    assert sum(told) == sum(before) + 1


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(st.sampled_from(sorted(BODIES)), st.data(), JUNK)
def test_junk_is_refused_in_words_and_leaves_nothing(
    name: str, data: st.DataObject, junk: Any
) -> None:
    story = Story()
    kind, body = copy.deepcopy(BODIES[name])
    *way, last = data.draw(st.sampled_from(paths(body)))
    where: Any = body
    for step in way:
        where = where[step]
    where[last] = junk
    before = copy.deepcopy(story.incident)
    said = ""
    try:
        story.say(kind, body)
    except EvidenceError as error:
        said = str(error)
    if said:
        assert said.startswith(f"{story.incident.id} link 2")
        assert story.incident == before
    else:
        assert story.incident.sequence == 2
