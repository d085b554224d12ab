"""`evault attest`: every type, its fields and its mistakes; what is sealed is what was said."""

from __future__ import annotations

import getpass
import shlex
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from attestation_examples import FULL, OPTIONAL
from cli_support import Evault, run

from cli.commands.attest import EXAMPLES
from verify.attestation import RULES, AttestationType

ME = getpass.getuser()
SECOND = ("--approved-by", "Grace Hopper", "--exhibit", "EV-0001")


@pytest.fixture
def shown(evault: Evault, case: str) -> str:
    """An incident with one exhibit."""
    evault.file("approval.txt", "Grace: yes\n")
    evault("ingest", "approval.txt")
    return case


def words_of(kind: str) -> list[str]:
    """A type's fields as a person types them: lists once by commas, once by repetition."""
    words: list[str] = []
    for number, (name, value) in enumerate(FULL[kind].items()):
        if not isinstance(value, list):
            words.append(f"{name}={value}")
        elif number % 2:
            words.append(f"{name}={','.join(value)}")
        else:
            words += [f"{name}={each}" for each in value]
    return words


def attest(evault: Evault, *words: object) -> Any:
    return evault.answer("attest", "attest", *words)


def links(evault: Evault) -> list[Any]:
    return list(run("custody", "--json").json["items"])


# -- what is sealed --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", FULL)
def test_what_is_said_is_what_is_sealed(evault: Evault, shown: str, kind: str) -> None:
    said = attest(evault, kind, *words_of(kind), *SECOND, "--statement", "as I saw it")
    assert said["incident"] == shown
    assert said["attestation"]["fields"] == FULL[kind]
    assert said["attestation"]["attestation"] == kind
    assert said["attestation"]["approved_by"] == {
        "authenticated": "attested",
        "person": "Grace Hopper",
    }
    assert said["attestation"]["exhibits"] == ["EV-0001"]
    assert said["attestation"]["statement"] == "as I saw it"
    assert said["attestation"]["sequence"] == said["receipt"]["sequence"] == 2
    (kept,) = run("incident", "show", "--json").json["attestations"]
    assert kept == said["attestation"]
    row = links(evault)[-1]
    assert (row["event"], row["exhibits"]) == ("attested", ["EV-0001"])
    assert row["detail"].startswith(kind.replace("_", " "))
    assert "approved by Grace Hopper (attested); shown by EV-0001" in row["detail"]
    evault.sound()


@pytest.mark.parametrize("kind", EXAMPLES)
def test_the_examples_are_commands_that_work(evault: Evault, kind: AttestationType) -> None:
    evault.declare()
    for number in range(31):
        evault.file(f"in/{number}", f"{number}\n")
    evault("ingest", "in")
    said = attest(evault, kind, *shlex.split(EXAMPLES[kind]))
    assert said["attestation"]["attestation"] == kind


def test_every_type_has_an_example_and_every_required_field_stands_in_it() -> None:
    assert list(EXAMPLES) == list(AttestationType) == [AttestationType(each) for each in FULL]
    for kind, rule in RULES.items():
        given = {word.partition("=")[0] for word in shlex.split(EXAMPLES[kind])}
        assert {field.name for field in rule.fields if field.required} <= given
        assert {field.name for field in rule.fields if not field.required} == set(OPTIONAL[kind])


def test_words_may_be_written_as_people_write_them(evault: Evault, shown: str) -> None:
    said = attest(
        evault, shown, "Slo-Check", "AT=2026-03-02 10:10+01:00", "checks=SLO, user-path",
        "Checks=slo", "result=Failed", "systems= mail-agent ,aws,",
    )  # fmt: skip
    assert said["attestation"]["fields"] == {
        "at": "2026-03-02T09:10:00Z",
        "checks": ["slo", "user_path"],
        "result": "failed",
        "systems": ["mail-agent", "aws"],
    }
    said = attest(evault, "page", "at=-3m", "team=SRE")
    assert said["attestation"]["fields"]["team"] == "sre"
    said = attest(evault, "page", "at=-3m", "team=Data Platform, EMEA")
    assert said["attestation"]["fields"]["team"] == "Data Platform, EMEA"
    said = attest(evault, "nil_return", "kinds=dlp-finding", "from=-2d", "to=now", "query=a=b,c")
    assert said["attestation"]["fields"]["query"] == "a=b,c"


@pytest.mark.parametrize(("given", "ago"), [("now", 0), ("-90s", 90), ("-12m", 720)])
def test_times_may_be_relative(evault: Evault, case: str, given: str, ago: int) -> None:
    said = attest(evault, "logging", f"at={given}", "enhanced=on")
    expected = datetime.now(UTC) - timedelta(seconds=ago)
    at = datetime.fromisoformat(said["attestation"]["fields"]["at"])
    assert abs(at - expected) < timedelta(seconds=30)


def test_an_exhibit_in_a_field_need_not_be_named_twice(evault: Evault, shown: str) -> None:
    said = attest(evault, "acknowledgement", "at=now", "person=Ada", "alert=EV-0001")
    assert said["attestation"]["exhibits"] == ["EV-0001"]


def test_with_one_open_incident_its_id_may_be_left_out_and_is_said(
    evault: Evault, case: str
) -> None:
    said = evault("attest", "freeze", "at=now", "systems=aws")
    assert said.err == f"{case}, the one open incident:\n"
    other = evault.declare()
    assert "several incidents are open" in evault.refused("attest", "freeze", "at=now", "systems=x")
    said = attest(evault, other, "freeze", "at=now", "systems=aws")
    assert said["incident"] == other


# -- the second person -----------------------------------------------------------------------------


def test_an_approval_is_called_attested_and_never_authenticated(evault: Evault, shown: str) -> None:
    said = evault("attest", "not-applicable", "item=C5", "reason=nothing changed", *SECOND)
    shown_text = " ".join(said.out.split())
    assert (
        "approved by Grace Hopper, as you attest by EV-0001; evault authenticated nobody but"
        in (shown_text)
    )
    told = " ".join(evault("verify").out.split())
    assert "who approved a waiver or an attestation (link 2) is the word of who recorded it" in told


@pytest.mark.parametrize("person", [ME, f"{ME.upper()}@elsewhere", f" {ME} "])
def test_who_attests_does_not_approve(evault: Evault, shown: str, person: str) -> None:
    message = evault.refused(
        "attest", "not_applicable", "item=C5", "reason=r", "--approved-by", person,
        "--exhibit", "EV-0001",
    )  # fmt: skip
    assert "asks and approves; it takes a second person" in message
    assert evault.link() == 1


def test_an_approval_that_nothing_shows_is_refused(evault: Evault, shown: str) -> None:
    message = evault.refused("attest", "freeze", "at=now", "systems=aws", "--approved-by", "Grace")
    assert "nothing shows that Grace approved; seal the message" in message
    message = evault.refused("attest", "not_applicable", "item=C5", "reason=r")
    assert "not_applicable takes a second person: --approved-by PERSON --exhibit EV" in message
    assert evault.link() == 1


# -- mistakes --------------------------------------------------------------------------------------

FREEZE = "for example: evault attest freeze at=-10m systems=mail-agent principals=svc-mail"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("freeze", "at=now", "system=aws"), "has no field 'system'; did you mean systems? it has"),
        (("freeze", "at=now", "colour=red"), "no field 'colour'; it has at, systems, principals;"),
        (("freeze", "systems=aws"), "freeze needs at=;"),
        (("freeze", "at=now"), "freeze needs systems= or principals=;"),
        (("freeze", "at=10:00", "systems=aws"), "at: '10:00' is not a time"),
        (("freeze", "at=2026-03-02T10:00", "systems=a"), "write 2026-03-02T10:00Z if it is UTC"),
        (("freeze", "at=now", "at=-5m", "systems=a"), "at is given 2 times, and takes one value"),
        (("freeze", "at=now", "systems="), "expected a few words, not nothing"),
        (("freeze", "at=now", "systems=,"), "systems: expected 1 or more different ones"),
        (("freeze", "at=now", "mail-agent"), "'mail-agent' is not KEY=VALUE;"),
    ],
)
def test_a_mistake_names_the_key_the_known_keys_and_an_example(
    evault: Evault, shown: str, words: tuple[str, ...], told: str
) -> None:
    message = evault.refused("attest", *words)
    assert told in message
    assert FREEZE in message or "not nothing" in message
    assert evault.link() == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "name what is attested: acknowledgement, freeze, kill_switch"),
        (("freez", "at=now"), "'freez' is no attestation; did you mean freeze? there are"),
        (("at=now", "freeze"), "the type stands before the fields: evault attest TYPE at=now"),
        (("rollback", "result=passed"), "rollback needs action=, started_at=, ended_at=, target="),
        (
            ("validation", "at=now", "checks=all", "result=passed"),
            "'all' is none of targeted_tests, dry_run, slo, data_integrity, user_path, rollback",
        ),
        (
            ("rollback", "action=RB-1", "started_at=-5m", "ended_at=-6m", "target=x",
             "result=failed"),
            "is before started_at",
        ),
        (("acknowledgement", "at=now", "person=Ada", "alert=EV-1"), "'EV-1' is no exhibit like"),
        (("acknowledgement", "at=now", "person=A", "alert=EV-0009"), "has no exhibit EV-0009;"),
        (("freeze", "at=now", "systems=a", "--exhibit", "EV-0009"), "has no exhibit EV-0009;"),
        (("freeze", "at=now", "systems=a", "--statement", " "), "'--statement'"),
        (("freeze", "at=now", "systems=a", "--statement", "x" * 65_537), "at most 65,536"),
        (("freeze", "at=now", "systems=" + "x" * 1_001), "texts of 1 to 1,000 characters"),
        (("finding", "conflict=C2", "believed=EV-0001", "reason=r"), "a whole item or a wildcard"),
        (("finding", "conflict=C2.modles", "believed=EV-0001", "reason=r"),
         "the checklist has no condition 'C2.modles'; it has C2.trace, "),
        (("finding", "conflict=C2.models", "believed=EV-0001", "disbelieved=EV-0001", "reason=r"),
         "EV-0001 is believed and disbelieved"),
        (("not_applicable", "item=C9", "reason=r", *SECOND), "'C9' is no item; there are C1, C2"),
        (("INC-20-1", "freeze", "at=now", "systems=a"), "is no incident id like INC-2026-0001"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_and_nothing_is_sealed(
    evault: Evault, shown: str, words: tuple[str, ...], told: str
) -> None:
    assert told in evault.refused("attest", *words)
    assert evault.problem("attest", *words)["code"]
    assert evault.link() == 1


@pytest.mark.parametrize("kind", FULL)
def test_without_fields_the_type_is_explained_and_nothing_sealed(evault: Evault, kind: str) -> None:
    """No vault is needed to ask."""
    said = run("attest", kind)
    assert (said.code, said.err) == (2, "")
    assert "Nothing was sealed" in said.lines[0]
    for name in FULL[kind]:
        (row,) = [line for line in said.lines if line.startswith(f"{name}= ")]
        assert ("may be left out" in row) == (name in OPTIONAL[kind])
    assert said.lines[-1] == f"For example: evault attest {kind} {EXAMPLES[AttestationType(kind)]}"
    data = evault.answer("attest", "attest", kind, code=2)
    assert [each["name"] for each in data["fields"]] == [f.name for f in RULES[data["type"]].fields]


def test_the_help_names_every_type() -> None:
    shown_text = " ".join(run("attest", "--help").out.split())
    for kind, rule in RULES.items():
        assert f"{kind} {rule.meaning}" in shown_text


def test_nothing_is_attested_in_a_closed_incident(evault: Evault, case: str) -> None:
    evault("incident", "close", "--reason", "done")
    words = ("attest", case, "freeze", "at=now", "systems=aws")
    assert f"evault incident reopen {case} --reason TEXT" in evault.refused(*words)
    evault("incident", "reopen", case, "--reason", "more")
    evault(*words)


# -- what is worth a look --------------------------------------------------------------------------


def notes(evault: Evault, *words: object) -> list[str]:
    return list(attest(evault, *words)["notes"])


@pytest.mark.slow
def test_what_is_odd_is_sealed_as_it_was_said_and_told(evault: Evault, shown: str) -> None:
    assert notes(evault, "freeze", "at=-5m", "systems=aws") == []
    assert notes(evault, "freeze", "at=2999-01-01T00:00Z", "systems=aws,erp", "principals=svc") == [
        "2999-01-01T00:00:00Z lies after this vault's clock; what has not happened yet shows "
        "nothing until then.",
        f"erp is none of the systems of {shown}.",
        f"svc is none of the scope's principals of {shown}.",
    ]
    asked = ("approval", "of=RB-1", "approver=Ada", "role=x", "approved_at=-5m")
    assert notes(evault, *asked, "requester=Bob") == []
    assert notes(evault, *asked, "requester=ada@lab") == [
        "Ada asked for what they approved; another person's approval counts."
    ]
    published = ("postmortem-published", "at=-5m", "exhibit=EV-0001", "author=Ada")
    assert notes(evault, *published, "reviewer=ADA") == [
        "ADA reviewed what they wrote; another person's review counts."
    ]
    assert notes(evault, "page", "at=-5m", "team=Security team") == [
        "Security team: profiles know the team sre, security."
    ]
    assert notes(evault, "page", "at=-5m", "team=sre") == []
    tested = ("validation", "at=-5m", "checks=dry_run", "result=passed")
    assert notes(evault, *tested, "action=RB-9") == [f"no rollback RB-9 is attested on {shown}."]
    assert notes(evault, "kill_switch", "at=2001-01-01T00:00Z", "systems=aws") == [
        f"2001-01-01T00:00:00Z lies before the stated detection of {shown}."
    ]
    evault("evidence", "withdraw", "EV-0001", "--reason", "wrong case")
    assert notes(evault, *published, "reviewer=Bob") == ["EV-0001 was withdrawn; it shows nothing."]
    assert notes(evault, "finding", "conflict=C2.models", "believed=statement", "reason=r") == [
        "C2.models is not contradicted as it stands; the finding closes nothing now.",
        "no exhibit shows why statements are believed; it settles nothing so.",
    ]
    evault.sound()


def test_hostile_words_reach_no_terminal_raw(evault: Evault, case: str) -> None:
    evault("attest", "freeze", "at=now", "systems=\x1b[31mred", "--statement", "a\nb\u202e")
    for words in (("incident", "show"), ("custody",)):
        assert "\x1b" not in run(*words).out
        assert "\u202e" not in run(*words).out
