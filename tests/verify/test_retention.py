"""Retention and holds: the longest rule wins, nothing is shortened, a second person is another."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verify.approval import ATTESTED, MAX_PERSON, Approval, check_second_person
from verify.declaration import Severity
from verify.errors import ChainError, EvidenceError, MalformedError, UnsupportedError
from verify.retention import (
    BUILT_IN,
    FLOOR_DAYS,
    LOG_FLOOR_DAYS,
    LOG_KINDS,
    MAX_DAYS,
    MAX_MATTER,
    MAX_RULES,
    HoldEvent,
    RetentionPolicy,
    Rule,
    check_extension,
    floor_of,
    parse_hold,
    parse_policy,
    retained_until,
)
from verify.statement import MAX_SWEEP_FINDINGS, Actor, Kind, Sweep, parse_sweep
from verify.strictjson import Object, dumps, loads

KINDS = st.sets(st.sampled_from(list(Kind)), min_size=1, max_size=4)
SEVERITIES = st.sampled_from([None, *Severity])
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
WORDS = TEXT.map(lambda text: f"x{text}")
COUNT = st.integers(0, 2**53 - 1)
MOMENTS = st.datetimes(
    datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)  # noqa: DTZ001
)  # fmt: skip
INSTANTS = MOMENTS.map(lambda at: at.replace(microsecond=at.microsecond // 1000 * 1000))


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    kind = draw(st.none() | st.sampled_from([each.value for each in Kind]))
    severity = draw(st.none() | st.sampled_from([each.value for each in Severity]))
    floor = floor_of(() if kind is None else (kind,))
    return Rule(kind, severity, draw(st.integers(floor, MAX_DAYS)))


POLICIES = st.lists(
    rules(), min_size=1, max_size=8, unique_by=lambda rule: (rule.kind, rule.severity)
).map(lambda found: RetentionPolicy(tuple(found)))


def read_policy(body: object) -> RetentionPolicy:
    return parse_policy(body, where="policy", severities=Severity)


def read_hold(body: object) -> HoldEvent:
    return parse_hold(body, where="hold")


# -- the policy ------------------------------------------------------------------------------------


@given(POLICIES, KINDS, SEVERITIES)
def test_an_item_is_kept_for_the_longest_rule_that_fits_it(
    policy: RetentionPolicy, kinds: set[Kind], severity: Severity | None
) -> None:
    days = policy.days(kinds, severity)
    fitting = [
        rule.days
        for rule in policy.rules
        if (rule.kind is None or rule.kind in kinds)
        and (rule.severity is None or rule.severity == severity)
    ]
    floors = [LOG_FLOOR_DAYS if kind in LOG_KINDS else FLOOR_DAYS for kind in kinds]
    assert days in fitting + floors
    assert all(days >= each for each in fitting + floors)


@pytest.mark.slow
@given(POLICIES, KINDS, SEVERITIES, rules())
def test_one_more_rule_or_kind_never_shortens(
    policy: RetentionPolicy, kinds: set[Kind], severity: Severity | None, rule: Rule
) -> None:
    more = RetentionPolicy((*policy.rules, rule))
    assert more.days(kinds, severity) >= policy.days(kinds, severity)
    for kind in Kind:
        assert policy.days({*kinds, kind}, severity) >= policy.days(kinds, severity)


@given(POLICIES)
def test_the_order_of_rules_means_nothing(policy: RetentionPolicy) -> None:
    turned = RetentionPolicy(policy.rules[::-1])
    for kind in Kind:
        assert turned.days([kind], "sev2") == policy.days([kind], "sev2")


def test_the_built_in_policy_is_one_that_could_be_sealed() -> None:
    assert read_policy(BUILT_IN.to_json()) == BUILT_IN
    days = {severity: BUILT_IN.days([Kind.OTHER], severity) for severity in Severity}
    assert days == {"sev1": 2557, "sev2": 1096, "sev3": 365, "sev4": 365}


@given(POLICIES)
def test_a_policy_is_read_as_it_was_written(policy: RetentionPolicy) -> None:
    assert read_policy(loads(dumps(policy.to_json()), where="policy")) == policy


def test_a_log_is_kept_for_six_months_by_any_policy() -> None:
    shortest = RetentionPolicy((Rule(None, None, FLOOR_DAYS),))
    assert read_policy(shortest.to_json()) == shortest
    for kind in Kind:
        assert shortest.days([kind], None) == (184 if kind in LOG_KINDS else 30)
    assert shortest.days([Kind.OTHER, Kind.ACCESS_LOG], "sev1") == 184


def rule_of(**changes: Any) -> Object:
    rule = {"days": 400, "kind": "ticket", "severity": "sev1", **changes}
    return {"policy": "retention", "rules": [rule]}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ([], "expected a JSON object"),
        ({"policy": "retention"}, "'rules' is missing"),
        ({"rules": []}, "'policy' is missing"),
        ({"policy": "retention", "rules": []}, "at least one rule"),
        ({"policy": "retention", "rules": {}}, "expected a list"),
        ({"policy": "retention", "rules": [1]}, "expected a JSON object"),
        ({**rule_of(), "from": "2026-01-01T00:00:00Z"}, "unknown field 'from'"),
        (rule_of(stranger=1), "unknown field 'stranger'"),
        (rule_of(kind="Ticket"), "no kind of evidence"),
        (rule_of(kind=""), "no kind of evidence"),
        (rule_of(severity="sev5"), "is no severity"),
        (rule_of(severity="SEV1"), "is no severity"),
        (rule_of(days=FLOOR_DAYS - 1), "from 30 to 36,500"),
        (rule_of(days=MAX_DAYS + 1), "from 30 to 36,500"),
        (rule_of(days=0), "from 30 to 36,500"),
        (rule_of(days=-1), "whole number"),
        (rule_of(days=True), "whole number"),
        (rule_of(days="400"), "whole number"),
        (rule_of(kind="access_log", days=LOG_FLOOR_DAYS - 1), "from 184 to 36,500"),
        (rule_of(kind=None, days=FLOOR_DAYS - 1), "from 30 to 36,500"),
        ({"policy": "retention", "rules": rule_of()["rules"] * 2}, "one kind and severity"),
        ({"policy": "retention", "rules": rule_of()["rules"] * (MAX_RULES + 1)}, "at most 200"),
    ],
)
def test_a_malformed_policy_is_refused(body: object, reason: str) -> None:
    with pytest.raises(MalformedError, match=reason):
        read_policy(body)


def test_a_rule_at_its_bounds_is_accepted() -> None:
    for days in (FLOOR_DAYS, MAX_DAYS):
        assert read_policy(rule_of(days=days)).rules[0].days == days
    assert read_policy(rule_of(kind="prompt", days=LOG_FLOOR_DAYS)).rules[0].days == 184


def test_another_policy_is_of_a_later_version_and_not_malformed() -> None:
    with pytest.raises(UnsupportedError, match="not 'profiles'"):
        read_policy({"policy": "profiles", "whatever": 1})


# -- until when ------------------------------------------------------------------------------------


@given(MOMENTS, st.integers(FLOOR_DAYS, MAX_DAYS), st.none() | MOMENTS)
def test_no_promise_is_shortened_by_rounding_or_by_an_extension(
    received: datetime, days: int, extended: datetime | None
) -> None:
    until = retained_until(received, days, extended)
    promised = max(filter(None, [received + timedelta(days=days), extended]))
    assert promised <= until < promised + timedelta(seconds=1)
    assert until.microsecond == 0
    assert retained_until(received, days + 1, extended) >= until


@pytest.mark.slow
@given(MOMENTS, st.lists(INSTANTS, max_size=6))
def test_retention_is_only_ever_extended(now: datetime, wanted: list[datetime]) -> None:
    known: datetime | None = None
    for until in wanted:
        before = known
        try:
            check_extension(until, known=known, recorded_at=now, where="it")
        except ChainError:
            refused = (before is not None and until <= before) or (
                until > now + timedelta(days=MAX_DAYS)
            )
            assert refused, "refused without need"
        else:
            known = until
        assert known is None or before is None or known >= before
    assert known is None or known - now <= timedelta(days=MAX_DAYS)


def test_an_extension_of_a_hundred_years_is_the_longest() -> None:
    now = datetime(2026, 3, 2, tzinfo=UTC)
    longest = now + timedelta(days=MAX_DAYS)
    check_extension(longest, known=None, recorded_at=now, where="it")
    with pytest.raises(ChainError, match="at most 36,500 days"):
        check_extension(
            longest + timedelta(milliseconds=1), known=None, recorded_at=now, where="it"
        )
    # No arithmetic on either date leaves the calendar.
    for at in (datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)):
        check_extension(at, known=None, recorded_at=at, where="it")


# -- holds -----------------------------------------------------------------------------------------

SETS = st.builds(
    HoldEvent, st.just("set"), WORDS, WORDS, st.none() | WORDS, st.none(), st.just(()), st.none()
)
RELEASES = st.builds(
    HoldEvent,
    st.just("released"),
    WORDS,
    WORDS,
    st.none(),
    st.builds(Approval, WORDS, st.just(ATTESTED)),
    st.lists(st.sampled_from(["EV-0001", "EV-0002"]), min_size=1, unique=True).map(tuple),
    st.none(),
)
EXTENSIONS = st.builds(
    HoldEvent, st.just("extended"), st.none(), WORDS, st.none(), st.none(), st.just(()), INSTANTS
)

SET: Object = {"event": "set", "matter": "M-1", "ordered_by": None, "reason": "sued"}
RELEASED: Object = {
    "approved_by": {"authenticated": "attested", "person": "Grace"},
    "event": "released",
    "exhibits": ["EV-0001"],
    "matter": "M-1",
    "reason": "settled",
}
EXTENDED: Object = {"event": "extended", "reason": "a clock runs", "until": "2040-01-01T00:00:00Z"}


@given(SETS | RELEASES | EXTENSIONS)
def test_a_hold_is_read_as_it_was_written(event: HoldEvent) -> None:
    assert read_hold(loads(dumps(event.to_json()), where="hold")) == event


@pytest.mark.parametrize("body", [SET, RELEASED, EXTENDED])
def test_a_hold_has_the_fields_of_its_event_and_no_others(body: Object) -> None:
    read_hold(body)
    for name in body:
        with pytest.raises(MalformedError, match="is missing"):
            read_hold({each: body[each] for each in body if each != name})
    for name in {*SET, *RELEASED, *EXTENDED} - set(body):
        with pytest.raises(MalformedError, match=f"unknown field '{name}'"):
            read_hold({**body, name: {**SET, **RELEASED, **EXTENDED}[name]})


def approved(**changes: Any) -> Object:
    return {**RELEASED, "approved_by": {**RELEASED["approved_by"], **changes}}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (None, "expected a JSON object"),
        ({**SET, "event": "lifted"}, "unknown event 'lifted'"),
        ({**SET, "event": ["set"]}, "expected text"),
        ({**SET, "matter": ""}, "says nothing"),
        ({**SET, "matter": " \t\u2003"}, "says nothing"),
        ({**SET, "matter": None}, "expected text"),
        ({**SET, "matter": "m" * (MAX_MATTER + 1)}, "at most 200"),
        ({**SET, "reason": ""}, "says nothing"),
        ({**SET, "reason": ["sued"]}, "expected text"),
        ({**SET, "ordered_by": " "}, "says nothing"),
        ({**SET, "ordered_by": "x" * (MAX_PERSON + 1)}, "at most 512"),
        ({**SET, "ordered_by": 1}, "expected text"),
        ({**RELEASED, "exhibits": []}, "names the exhibit that shows it"),
        ({**RELEASED, "exhibits": "EV-0001"}, "expected a list"),
        ({**RELEASED, "exhibits": [1]}, "list of texts"),
        ({**RELEASED, "approved_by": None}, "expected a JSON object"),
        ({**RELEASED, "approved_by": "Grace"}, "expected a JSON object"),
        (approved(person=""), "says nothing"),
        (approved(person="x" * (MAX_PERSON + 1)), "at most 512"),
        (approved(stranger=1), "unknown field 'stranger'"),
        ({**RELEASED, "reason": "\n"}, "says nothing"),
        ({**EXTENDED, "until": "2040-01-01"}, "expected a UTC time"),
        ({**EXTENDED, "until": None}, "expected a UTC time"),
        ({**EXTENDED, "until": "2040-02-30T00:00:00Z"}, "is not a time"),
    ],
)
def test_a_malformed_hold_is_refused(body: object, reason: str) -> None:
    with pytest.raises(MalformedError, match=reason):
        read_hold(body)


@pytest.mark.parametrize("claim", ["authenticated", "Attested", "attested ", "", "saml", "Token"])
def test_an_approval_known_in_another_way_is_not_judged(claim: str) -> None:
    """A later version may know more of a second person; this one never says that it does."""
    with pytest.raises(UnsupportedError, match="known here as attested, oidc, token"):
        read_hold(approved(authenticated=claim))


@pytest.mark.parametrize("how", ["token", "oidc"])
def test_who_signed_in_to_approve_needs_no_exhibit(how: str) -> None:
    read = read_hold({**approved(authenticated=how), "exhibits": []})
    assert read.approval == Approval(RELEASED["approved_by"]["person"], how)
    assert read.exhibits == ()
    with pytest.raises(MalformedError, match="names the exhibit that shows it"):
        read_hold({**approved(), "exhibits": []})


# -- the second person -----------------------------------------------------------------------------

ADA = Actor("ada@lab", "person", "uid 1000, local", "Ada Lovelace")


def refuses(person: str, actor: Actor = ADA) -> bool:
    try:
        check_second_person(actor, Approval(person, ATTESTED), where="release")
    except MalformedError:
        return True
    return False


@pytest.mark.parametrize(
    "person",
    [
        "ada@lab",
        "ada",
        "ADA",
        " ada ",
        "ada@elsewhere.example",
        "Ada@LAB",
        "ada @ lab",
        "a d a",
        "a.d.a",
        "\u00c1da",
        "\uff41\uff44\uff41",
        "ada\u200b",
        "ada\u00a0",
        "@ada",
        "Ada Lovelace",
        "ada lovelace",
        "ADA  LOVELACE",
        "ada.lovelace@lab",
        "Ada-Lovelace",
    ],
)
def test_nobody_approves_for_themselves_in_another_spelling(person: str) -> None:
    assert refuses(person)


@pytest.mark.parametrize("person", ["...", "@", " @ ", "\u0301", "\u200b", "!?"])
def test_an_approval_names_somebody(person: str) -> None:
    assert refuses(person)


@pytest.mark.parametrize(
    "person",
    ["Grace", "grace@lab", "Adam", "lovelace@lab", "\u4e16", "\u10d0\u10d3\u10d0"],
)
def test_another_person_may_approve(person: str) -> None:
    assert not refuses(person)


def test_an_actor_without_a_claimed_name_is_known_by_the_id() -> None:
    actor = Actor("root@lab", "person", "uid 0, local", None)
    assert refuses("Root", actor)
    assert not refuses("Ada", actor)


@given(
    st.text("abcxyz\u00e4\u00e9\u00f1\u00f8\u00df0189 .-_", max_size=8).map(
        lambda text: f"a{text}"
    ),
    st.sampled_from(["", "@host", "@Other.Example", " "]),
)
def test_every_spelling_of_a_name_is_one_person(name: str, host: str) -> None:
    actor = Actor(f"{name}@lab", "person", "local", None)
    for spelled in (name, name.upper(), name.swapcase(), name.replace(" ", ""), f" .{name}-"):
        assert refuses(f"{spelled}{host}", actor), spelled
    assert not refuses(f"{name}q{host}", actor)


# -- sweeps ----------------------------------------------------------------------------------------

SWEEPS = st.builds(
    lambda depth, at, checked, findings, failed, unclaimed: Sweep(
        depth=depth,
        started_at=at,
        checked=checked,
        failed=min(failed, len(findings)),
        not_checked=len(findings) - min(failed, len(findings)),
        unclaimed=unclaimed,
        findings=tuple(findings),
    ),
    st.sampled_from(["checksums", "bytes"]),
    INSTANTS,
    COUNT,
    st.lists(st.tuples(TEXT, TEXT), max_size=4),
    st.integers(0, 4),
    COUNT,
)
SWEEP: Object = Sweep(
    "bytes", datetime(2026, 3, 2, tzinfo=UTC), 7, 1, 1, 0, (("EV-0001", "other"), ("k", "no"))
).to_json()


@given(SWEEPS)
def test_a_sweep_is_read_as_it_was_written(sweep: Sweep) -> None:
    assert parse_sweep(loads(dumps(sweep.to_json()), where="sweep"), where="sweep") == sweep


def test_a_sweep_lists_the_first_thousand_findings_of_any_number() -> None:
    body = {**SWEEP, "failed": 5_000, "findings": SWEEP["findings"][:1] * MAX_SWEEP_FINDINGS}
    assert len(parse_sweep(body, where="sweep").findings) == 1_000


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"depth": "structure"}, "depth checksums or bytes"),
        ({"depth": "none"}, "depth checksums or bytes"),
        ({"depth": None}, "expected text"),
        ({"started_at": "yesterday"}, "expected a UTC time"),
        ({"checked": -1}, "whole number"),
        ({"failed": True}, "whole number"),
        ({"not_checked": "1"}, "whole number"),
        ({"unclaimed": None}, "whole number"),
        ({"failed": 0}, "lists other findings than it counts"),
        ({"not_checked": 2}, "lists other findings than it counts"),
        ({"findings": []}, "lists other findings than it counts"),
        ({"findings": SWEEP["findings"] * 501}, "at most 1,000"),
        ({"findings": [{"key": "k"}, {"key": "k", "detail": "d"}]}, "'detail' is missing"),
        ({"findings": [{"key": "k", "detail": "d", "outcome": "x"}] * 2}, "unknown field"),
        ({"findings": [["k", "d"], ["k", "d"]]}, "expected a JSON object"),
        ({"stranger": 1}, "unknown field 'stranger'"),
    ],
)
def test_a_malformed_sweep_is_refused(changes: Object, reason: str) -> None:
    with pytest.raises(MalformedError, match=reason):
        parse_sweep({**SWEEP, **changes}, where="sweep")


@given(st.sampled_from([SET, RELEASED, EXTENDED, SWEEP, BUILT_IN.to_json()]), st.data())
def test_no_shape_of_a_field_is_an_error_of_ours(body: Object, data: st.DataObject) -> None:
    """Whatever stands in a field is read or refused, and never a fault of the parser."""
    strange = st.none() | st.booleans() | COUNT | TEXT | st.lists(TEXT, max_size=2)
    name = data.draw(st.sampled_from(sorted(body)))
    value = data.draw(strange | st.dictionaries(TEXT, strange, max_size=2))
    for read in (read_hold, read_policy, lambda body: parse_sweep(body, where="sweep")):
        with suppress(EvidenceError):
            read({**body, name: value})
