"""Grants: who holds which role, by the letter of FORMAT.md §4.14; no vault is needed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from chain_story import manifest_of
from hypothesis import given
from hypothesis import strategies as st

from verify.errors import ChainError, EvidenceError, MalformedError, UnsupportedError
from verify.grant import GrantedRole, GrantEvent, GrantRoll, parse_grant
from verify.incident import check_vault_link
from verify.statement import Actor, Link, Type
from verify.strictjson import Object, dumps, loads

START = datetime(2026, 3, 2, 9, tzinfo=UTC)
LATER = START + timedelta(days=7)
GIVEN: Object = {
    "chains": ["INC-2026-0001", "stream:web"],
    "event": "granted",
    "person": "ada@example.org",
    "reason": "on call",
    "role": "forensics_lead",
    "valid_from": "2026-03-02T09:00:00Z",
    "valid_to": "2026-03-09T09:00:00Z",
}
TAKEN: Object = {
    "chains": ["INC-2026-0001"],
    "event": "revoked",
    "person": "ada@example.org",
    "reason": "left",
    "role": "forensics_lead",
}


def without(body: Object, *names: str) -> Object:
    return {name: value for name, value in body.items() if name not in names}


# -- one statement ---------------------------------------------------------------------------------


def test_the_roles_are_those_of_the_access_model_and_no_other() -> None:
    assert set(GrantedRole) == {
        "forensics_lead", "incident_commander", "postmortem_author", "legal",
        "governance_steward", "comms_lead", "remediation_lead", "auditor", "platform_admin",
    }  # fmt: skip


def test_a_grant_reads() -> None:
    read = parse_grant(GIVEN, where="it")
    assert read == GrantEvent(
        "granted", "ada@example.org", GrantedRole.FORENSICS_LEAD,
        ("INC-2026-0001", "stream:web"), "on call", START, LATER,
    )  # fmt: skip
    assert parse_grant(GIVEN | {"valid_to": None}, where="it").valid_to is None
    assert parse_grant(GIVEN | {"chains": ["*"]}, where="it").chains == ("*",)
    taken = parse_grant(TAKEN, where="it")
    assert (taken.valid_from, taken.valid_to) == (None, None)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"chains": []}, "at least one"),
        ({"chains": ["INC-2026-0001", "INC-2026-0001"]}, "none twice"),
        ({"chains": ["*", "INC-2026-0001"]}, "stands alone"),
        ({"chains": ["INC-2026-1"]}, "no chain id"),
        ({"chains": ["**"]}, "no chain id"),
        ({"chains": "*"}, "expected a list"),
        ({"chains": [1]}, "list of texts"),
        ({"chains": [f"INC-2026-{n:04}" for n in range(1_001)]}, "at most 1,000"),
        ({"person": ""}, "says nothing"),
        ({"person": " \u2003"}, "says nothing"),
        ({"person": "x" * 513}, "at most 512"),
        ({"person": " ada@example.org"}, "white space"),
        ({"person": "ada@example.org\n"}, "white space"),
        ({"person": "ada\u0000"}, "control characters"),
        ({"person": "ada\u009b31m"}, "control characters"),
        ({"person": "agent:mailer"}, "only people hold roles"),
        ({"person": "AGENT:mailer"}, "only people hold roles"),
        ({"person": "Collector:edge-1"}, "only people hold roles"),
        ({"person": None}, "expected text"),
        ({"reason": " "}, "says nothing"),
        ({"valid_to": "2026-03-02T09:00:00Z"}, "not after it starts"),
        ({"valid_to": "2026-03-01T09:00:00Z"}, "not after it starts"),
        ({"valid_from": None}, "expected a UTC time"),
        ({"valid_from": "2026-03-02T09:00Z"}, "expected a UTC time"),
        ({"role": None}, "expected text"),
        ({"event": 1}, "expected text"),
        ({"scope": []}, "unknown field 'scope'"),
    ],
)
def test_a_bad_grant_is_refused_with_the_place(change: Object, says: str) -> None:
    with pytest.raises(MalformedError, match=says):
        parse_grant(GIVEN | change, where="it")


@pytest.mark.parametrize("name", GIVEN)
def test_a_grant_without_one_of_its_fields_is_refused(name: str) -> None:
    with pytest.raises(MalformedError, match=f"'{name}' is missing"):
        parse_grant(without(GIVEN, name), where="it")


@pytest.mark.parametrize("name", ["valid_from", "valid_to"])
def test_a_revocation_has_no_times(name: str) -> None:
    with pytest.raises(MalformedError, match=f"unknown field '{name}'"):
        parse_grant(TAKEN | {name: GIVEN[name]}, where="it")


@pytest.mark.parametrize("person", ["agents@example.org", "ada:agent", "agent", "https://a#b"])
def test_only_the_beginning_of_an_id_names_an_agent(person: str) -> None:
    assert parse_grant(GIVEN | {"person": person}, where="it").person == person


@pytest.mark.parametrize(
    "change",
    [
        {"role": "supreme_leader"},
        {"role": "Forensics_Lead"},
        {"event": "suspended"},
        {"event": "suspended", "until": "2026-03-02T09:00:00Z"},
        {"role": "redactor", "level": 3},
    ],
)
def test_what_a_later_version_grants_is_told_not_guessed(change: Object) -> None:
    with pytest.raises(UnsupportedError, match="not known here"):
        parse_grant(GIVEN | change, where="it")


INSTANTS = st.datetimes(
    min_value=datetime(2000, 1, 1),  # noqa: DTZ001
    max_value=datetime(2100, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
).map(lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000))
PEOPLE = (
    st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=512)
    .map(str.strip)
    .filter(lambda name: name and name.partition(":")[0].lower() not in ("agent", "collector"))
)
CHAIN_IDS = st.from_regex(
    r"(INC-[0-9]{4}-[0-9]{4,8}|stream:[a-z0-9][a-z0-9-]{0,62}|vault)", fullmatch=True
)
CHAINS = st.just(("*",)) | st.lists(CHAIN_IDS, min_size=1, max_size=5, unique=True).map(tuple)
REASONS = st.text(st.characters(exclude_categories=("Cs",)), min_size=1).filter(
    lambda text: bool(text.strip())
)


@st.composite
def events(draw: st.DrawFn) -> GrantEvent:
    gives = draw(st.booleans())
    begins, ends = sorted(draw(st.lists(INSTANTS, min_size=2, max_size=2, unique=True)))
    return GrantEvent(
        "granted" if gives else "revoked",
        draw(PEOPLE),
        draw(st.sampled_from(GrantedRole)),
        draw(CHAINS),
        draw(REASONS),
        begins if gives else None,
        ends if gives and draw(st.booleans()) else None,
    )


@given(events())
def test_what_is_written_reads_back(event: GrantEvent) -> None:
    written = loads(dumps(event.to_json()), where="it")
    assert parse_grant(written, where="it") == event


# -- the fold --------------------------------------------------------------------------------------


def rolled(*bodies: Object) -> GrantRoll:
    roll = GrantRoll()
    for sequence, body in enumerate(bodies):
        take(roll, sequence, body)
    return roll


def take(roll: GrantRoll, sequence: int, body: Object) -> None:
    roll.take(body, recorded_at=START, sequence=sequence, where=f"vault link {sequence}")


def held(roll: GrantRoll, at: datetime = START) -> list[tuple[str, str, tuple[str, ...]]]:
    return [(each.person, each.role, each.chains) for each in roll.grants if each.live_at(at)]


def test_a_revocation_takes_the_chains_that_it_names() -> None:
    roll = rolled(GIVEN, TAKEN)
    assert held(roll) == [("ada@example.org", "forensics_lead", ("stream:web",))]
    grant = roll.grants[0]
    assert (grant.given, grant.revoked_sequence) == (("INC-2026-0001", "stream:web"), 1)
    assert grant.covers("stream:web")
    assert not grant.covers("INC-2026-0001")


def test_a_revocation_reaches_every_grant_before_it_and_none_after() -> None:
    assert held(rolled(GIVEN, GIVEN, TAKEN)) == [
        ("ada@example.org", "forensics_lead", ("stream:web",))
    ] * 2  # fmt: skip
    again = GIVEN | {"chains": ["INC-2026-0001"]}
    assert held(rolled(again, TAKEN, again)) == [
        ("ada@example.org", "forensics_lead", ("INC-2026-0001",))
    ]


@pytest.mark.parametrize(
    "before",
    [
        [],
        [GIVEN, TAKEN],
        [GIVEN | {"person": "Ada@example.org"}],
        [GIVEN | {"role": "legal"}],
        [GIVEN | {"chains": ["stream:web"]}],
        [GIVEN | {"chains": ["*"]}],
    ],
)
def test_a_revocation_needs_a_live_grant(before: list[Object]) -> None:
    roll = rolled(*before)
    with pytest.raises(ChainError, match="does not hold the role forensics_lead for INC-2026-0001"):
        take(roll, 9, TAKEN)


def test_a_revocation_that_is_refused_takes_nothing() -> None:
    roll = rolled(GIVEN)
    with pytest.raises(ChainError):
        take(roll, 1, TAKEN | {"chains": ["INC-2026-0001", "INC-2026-0009"]})
    assert held(roll)[0][2] == ("INC-2026-0001", "stream:web")


def test_all_chains_are_revoked_by_their_star() -> None:
    everywhere = GIVEN | {"chains": ["*"]}
    assert rolled(everywhere).grants[0].covers("INC-2030-9999")
    assert held(rolled(everywhere, TAKEN | {"chains": ["*"]})) == []


def test_both_ends_of_a_grant_count() -> None:
    roll, tick = rolled(GIVEN), timedelta(milliseconds=1)
    assert [bool(held(roll, at)) for at in (START - tick, START, LATER, LATER + tick)] == [
        False, True, True, False
    ]  # fmt: skip


def test_a_clock_that_falls_brings_nothing_back() -> None:
    roll = rolled(GIVEN)
    roll.take(
        TAKEN | {"chains": GIVEN["chains"]}, recorded_at=LATER, sequence=1, where="vault link 1"
    )
    assert held(roll, START) == []


def test_a_role_of_a_later_version_neither_gives_nor_takes() -> None:
    roll = rolled(GIVEN)
    for sequence, body in enumerate((GIVEN, TAKEN), start=1):
        with pytest.raises(UnsupportedError):
            take(roll, sequence, body | {"role": "redactor"})
    assert held(roll) == [("ada@example.org", "forensics_lead", ("INC-2026-0001", "stream:web"))]
    assert roll.unknown == [1, 2]


def test_an_event_of_a_later_version_leaves_a_person_nothing() -> None:
    """It may have taken the grant away; to go on as if it had not would be a guess."""
    roll = rolled(GIVEN, GIVEN | {"person": "grace@example.org"})
    with pytest.raises(UnsupportedError):
        take(roll, 2, GIVEN | {"event": "suspended"})
    assert [person for person, _, _ in held(roll)] == ["grace@example.org"]
    with pytest.raises(UnsupportedError):
        take(roll, 3, {"event": "emptied", "role": "legal"})
    assert held(roll) == []
    take(roll, 4, GIVEN)
    assert [person for person, _, _ in held(roll)] == ["ada@example.org"]


def test_a_revocation_after_a_link_that_nobody_read_is_not_judged() -> None:
    roll = rolled()
    roll.skip(0)
    with pytest.raises(UnsupportedError, match="may stand in link 0"):
        take(roll, 1, TAKEN)


# -- on the vault's chain --------------------------------------------------------------------------


def on_vault(body: Object, roll: GrantRoll | None = None, **changes: Any) -> None:
    check_vault_link(manifest_of(Type.GRANT, body, Link("vault", 0, None), **changes), roll)


def test_a_grant_stands_on_the_vaults_chain() -> None:
    on_vault(GIVEN)
    on_vault(TAKEN)  # by itself it reads; what it follows is for who read the links before
    with pytest.raises(ChainError, match="does not hold"):
        on_vault(TAKEN, GrantRoll())
    roll = GrantRoll()
    on_vault(GIVEN, roll)
    on_vault(TAKEN, roll)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["granted"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted(GIVEN)), inner)
    ),
)


@given(ANYTHING)
def test_nothing_but_an_error_of_ours_comes_of_any_body(body: Any) -> None:
    with pytest.raises(EvidenceError):
        GrantRoll().take(body, recorded_at=START, sequence=0, where="it")


# -- by two who signed in --------------------------------------------------------------------------

APPROVED: Object = GIVEN | {"approval": {"authenticated": "token", "person": "gus@example.org"}}


def test_an_approval_reads_and_is_kept() -> None:
    read = parse_grant(APPROVED, where="it")
    assert read.approval is not None
    assert (read.approval.person, read.approval.authenticated) == ("gus@example.org", "token")
    assert read.to_json() == APPROVED
    roll = GrantRoll()
    asker = Actor(id="lea@example.org", kind="person", authenticated="oidc", claimed=None)
    roll.take(APPROVED, recorded_at=START, sequence=0, where="it", actor=asker)
    assert roll.grants[0].approved_by == "gus@example.org"


@pytest.mark.parametrize(
    ("asker", "how", "approval", "holder"),
    [
        ("lea@example.org", "token", None, "ada@example.org"),
        ("lea@example.org", "oidc", None, "ada@example.org"),
        ("lea@example.org", "token", "lea@example.org", "ada@example.org"),
        ("lea@example.org", "token", "LEA", "ada@example.org"),
        ("lea@example.org", "token", "gus@example.org", "lea@example.org"),
        ("lea@example.org", "token", "gus@example.org", "Lea"),
        ("lea@example.org", "token", "gus@example.org", "gus@example.org"),
        ("lea@example.org", "token", "gus@example.org", "GUS@other.example"),
        ("ada@laptop", "uid 1000, local", "gus@example.org", "cleo@example.org"),
    ],
)
def test_nobody_who_signed_in_gives_a_role_alone_or_to_themselves(
    asker: str, how: str, approval: str | None, holder: str
) -> None:
    """FORMAT.md §4.14: actor, `approval.person` and `person` are three, by name key."""
    body = GIVEN | {"person": holder}
    if approval is not None:
        body |= {"approval": {"authenticated": "token", "person": approval}}
    actor = Actor(id=asker, kind="person", authenticated=how, claimed=None)
    roll = GrantRoll()
    with pytest.raises(MalformedError):
        roll.take(body, recorded_at=START, sequence=0, where="it", actor=actor)
    assert roll.grants == []


def test_an_approval_by_somebodys_word_or_of_a_revocation_is_none() -> None:
    with pytest.raises(UnsupportedError, match="token"):
        parse_grant(
            GIVEN | {"approval": {"authenticated": "attested", "person": "gus"}}, where="it"
        )
    with pytest.raises(MalformedError):
        parse_grant(TAKEN | {"approval": APPROVED["approval"]}, where="it")


def test_who_signed_in_takes_a_role_back_alone() -> None:
    owner = Actor(id="ada@laptop", kind="person", authenticated="uid 1000, local", claimed=None)
    lea = Actor(id="lea@example.org", kind="person", authenticated="token", claimed=None)
    roll = GrantRoll()
    roll.take(GIVEN, recorded_at=START, sequence=0, where="it", actor=owner)
    roll.take(TAKEN, recorded_at=START, sequence=1, where="it", actor=lea)
    assert roll.grants[0].chains == ("stream:web",)
