"""Legal holds: set at once, inherited, released by two persons, and the same in the store."""

from __future__ import annotations

import getpass
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli_bucket import Bucket
from cli_support import DEMO, Evault, run

Held = Callable[[], list[bool]]
"""Whether each object with evidence in it is on hold, as the store itself has it."""


@pytest.fixture(params=["folder", "bucket"])
def held(request: pytest.FixtureRequest) -> tuple[Evault, str, Held]:
    """A vault with an incident, on either store; its id; and how the store is looked at."""
    if request.param == "folder":
        evault: Evault = request.getfixturevalue("evault")
        incident: str = request.getfixturevalue("case")
        return evault, incident, lambda: held_in_folder(evault.home / "store")
    on_s3: Evault = request.getfixturevalue("on_s3")
    bucket: Bucket = request.getfixturevalue("bucket")
    return on_s3, on_s3.declare(), lambda: held_in_bucket(bucket)


def held_in_folder(store: Path) -> list[bool]:
    found = []
    for path in sorted((store / "artifacts").iterdir()):
        noted = store / "locks" / "artifacts" / path.name
        found.append(noted.exists() and json.loads(noted.read_bytes())["held"])
    return found


def held_in_bucket(bucket: Bucket) -> list[bool]:
    heads = bucket.heads("artifacts/")
    return [head.get("ObjectLockLegalHoldStatus") == "ON" for head in heads]


def set_(evault: Evault, matter: str, *more: str) -> Any:
    return evault.answer("hold-set", "hold", "set", "--matter", matter, "--reason", "r", *more)


def release(matter: str, *more: str) -> tuple[str, ...]:
    return (
        "hold", "release", "--matter", matter, "--reason", "settled", "--approved-by",
        "Grace Hopper", "--exhibit", "EV-0001", *more,
    )  # fmt: skip


@pytest.mark.slow
def test_a_hold_lies_on_all_there_is_and_on_what_comes_later(
    held: tuple[Evault, str, Held],
) -> None:
    evault, incident, state = held
    evault("ingest", DEMO / "agent")
    evault("ingest", evault.file("large.bin", bytes(2 << 20)))
    assert state() == [False, False, False], "a pack, a large file, and its description"
    said = set_(evault, "Smith v. Acme")
    assert said["counts"] == {"exhibits": 4, "objects": 3}
    assert (said["receipt"]["sequence"], said["gone"]) == (3, [])
    assert state() == [True, True, True]
    evault("ingest", evault.file("later.txt", "came later\n"))
    assert state() == [True, True, True, True]
    evault("export", "-o", "case.zip", "--purpose", "p")
    assert all(state()), "reports too"
    assert evault.answer("hold-list", "hold", "list", incident)["items"][0]["drift"] == []
    evault.sound()


@pytest.mark.slow
def test_a_hold_stays_while_one_matter_needs_it(held: tuple[Evault, str, Held]) -> None:
    evault, incident, state = held
    evault("ingest", DEMO / "agent")
    set_(evault, "first")
    set_(evault, "second")
    said = evault.answer("hold-release", *release("first"))
    assert (said["live"], said["counts"]) == (
        ["second"],
        {"released": 0, "still_held": 1},
    )
    assert said["approval"] == "attested"
    assert state() == [True]
    said = evault.answer("hold-release", *release("second"))
    assert (said["live"], said["counts"]) == ([], {"released": 1, "still_held": 0})
    assert state() == [False]
    [item] = evault.answer("hold-list", "hold", "list", incident)["items"]
    assert [hold["live"] for hold in item["holds"]] == [False, False]
    assert item["drift"] == []
    set_(evault, "first")
    assert state() == [True], "a matter may come back"
    evault.sound()


def test_the_chain_and_the_pages_tell_it(evault: Evault, case: str) -> None:
    evault("ingest", DEMO / "agent")
    evault("hold", "set", "--matter", "Smith v. Acme", "--reason", "a letter came",
           "--ordered-by", "General Counsel")  # fmt: skip
    said = evault(*release("Smith v. Acme"))
    told = " ".join(said.out.split())
    assert f"{case} released for Smith v. Acme (chain link 3, log entry 3)" in told
    assert "approved by Grace Hopper, as you attest by EV-0001; evault authenticated nobody" in told
    assert "no matter holds it any more: 1 object released; what is retained stays retained" in told
    rows = [row["detail"] for row in run("custody", "--json").json["items"]]
    assert rows[2:] == [
        'for Smith v. Acme, ordered by General Counsel "a letter came"',
        'for Smith v. Acme, approved by Grace Hopper (attested), shown by EV-0001 "settled"',
    ]
    events = [row["event"] for row in run("custody", "EV-0001", "--json").json["items"]]
    assert events == ["captured", "hold released"], "an exhibit's links name what it showed"
    evault.sound()


def test_it_is_never_called_authenticated(evault: Evault, case: str) -> None:
    evault("ingest", DEMO / "agent")
    set_(evault, "M")
    evault(*release("M"))
    for said in (evault("hold", "list"), evault("custody"), evault("hold", "list", "--json")):
        assert "attested" in said.out
        assert "authenticated by" not in said.out
    [hold] = run("hold", "list", "--json").json["items"][0]["holds"]
    assert hold["approved_by"] == {"authenticated": "attested", "person": "Grace Hopper"}


def test_live_holds_are_shown_where_the_incident_is(evault: Evault, case: str) -> None:
    evault("ingest", DEMO / "agent")
    assert "on hold" not in evault("incident", "show").out
    set_(evault, "Smith v. Acme")
    assert "  on hold   for Smith v. Acme (link 2)" in evault("incident", "show").lines
    assert evault("evidence", "show", "EV-0001").lines[-1].split("  ")[1] == "on hold"
    shown = evault.answer("incident-show", "incident", "show")
    assert [hold["matter"] for hold in shown["holds"]] == ["Smith v. Acme"]
    assert evault.answer("evidence-show", "evidence", "show", "EV-0001")["kept"]["held"] is True
    said = evault("ingest", evault.file("more.txt", "more\n"))
    assert "On hold, as all of this incident: for Smith v. Acme" in said.out
    evault(*release("Smith v. Acme"))
    assert "on hold" not in evault("incident", "show").out


def test_a_closed_incident_can_be_held_and_released(evault: Evault, case: str) -> None:
    evault("ingest", DEMO / "agent")
    evault("incident", "close")
    evault("hold", "set", case, "--matter", "M", "--reason", "r")
    evault("hold", "release", case, *release("M")[2:])
    evault.sound()


def test_all_incidents_are_listed_or_one(evault: Evault, case: str) -> None:
    assert evault("hold", "list").out == (
        "No matter ever held anything here; see: evault hold set --help\n"
    )
    assert f"No matter ever held {case}" in evault("hold", "list", case).out
    other = evault.declare()
    evault("hold", "set", case, "--matter", "A", "--reason", "r")
    evault("hold", "set", other, "--matter", "A", "--reason", "r")
    evault("hold", "set", other, "--matter", "B", "--reason", "r")
    said = evault.answer("hold-list", "hold", "list")
    assert said["counts"] == {"live": 3, "matters": 2, "released": 0}
    assert [item["incident"] for item in said["items"]] == [case, other]
    said = evault.answer("hold-list", "hold", "list", other)
    assert [hold["matter"] for hold in said["items"][0]["holds"]] == ["A", "B"]


@pytest.mark.slow
def test_what_was_lifted_behind_our_back_is_found_and_laid_anew(
    on_s3: Evault, bucket: Bucket
) -> None:
    incident = on_s3.declare()
    on_s3("ingest", "--no-pack", DEMO / "agent")
    set_(on_s3, "M")
    lifted = bucket.versions("artifacts/")[0]
    bucket.client.put_object_legal_hold(**bucket.where(lifted), LegalHold={"Status": "OFF"})
    said = run("hold", "list")
    assert said.code == 1
    told = " ".join(said.out.split())
    key = lifted["Key"].removeprefix(f"{bucket.place.prefix}/")
    assert f"THE STORE LACKS what the chain demands: {key} " in told
    assert "is not on hold in the store, although a hold lives on the chain" in told
    assert "evault retention apply" in told
    [drift] = on_s3.answer("hold-list", "hold", "list", incident, code=1)["items"][0]["drift"]
    assert (drift["sense"], drift["key"], drift["version_id"]) == (
        "lacks", key, lifted["VersionId"],
    )  # fmt: skip
    assert run("verify").code == 1, "and verify says so too"
    assert on_s3.answer("retention-apply", "retention", "apply")["gone"] == []
    assert held_in_bucket(bucket) == [True] * 4
    assert "the store agrees" in on_s3("hold", "list").out
    on_s3.sound()


@pytest.mark.slow
def test_more_than_is_demanded_is_told_and_is_no_failure(on_s3: Evault, bucket: Bucket) -> None:
    on_s3.declare()
    on_s3("ingest", DEMO / "agent")
    set_(on_s3, "M")
    on_s3(*release("M"))
    [version] = bucket.versions("artifacts/")
    bucket.client.put_object_legal_hold(**bucket.where(version), LegalHold={"Status": "ON"})
    said = on_s3("hold", "list")
    assert "The store has more than the chain demands:" in said.out
    assert "although no hold lives on the chain" in " ".join(said.out.split())


@pytest.mark.slow
def test_a_hold_is_laid_on_the_rest_while_someone_destroys_evidence(
    on_s3: Evault, bucket: Bucket
) -> None:
    on_s3.declare()
    on_s3("ingest", "--no-pack", DEMO / "agent")
    victim = bucket.versions("artifacts/")[1]
    bucket.insider.destroy(victim["Key"], victim["VersionId"])
    said = on_s3.answer("hold-set", "hold", "set", "--matter", "M", "--reason", "r", code=1)
    assert said["counts"] == {"exhibits": 3, "objects": 3}
    assert [each["version_id"] for each in said["gone"]] == [victim["VersionId"]]
    assert said["receipt"]["state"] == "kept"
    there = [each for each in bucket.versions("artifacts/") if each["Key"] != victim["Key"]]
    for version in there:
        head = bucket.client.head_object(**bucket.where(version))
        assert head["ObjectLockLegalHoldStatus"] == "ON"
    shown = run("hold", "list")
    assert shown.code == 1
    assert "is gone from the store" in " ".join(shown.out.split())
    text = on_s3.process("retention", "apply", env=None)
    assert text.returncode == 1
    assert b"GONE from the store, where nothing can protect it any more" in text.stdout


@pytest.mark.slow
def test_a_store_that_cannot_be_asked_gives_no_answer(on_s3: Evault) -> None:
    on_s3.declare()
    on_s3("ingest", DEMO / "agent")
    set_(on_s3, "M")
    config = json.loads((on_s3.home / "evault.json").read_bytes())
    config["store"]["endpoint_url"] = "http://127.0.0.1:1"
    (on_s3.home / "evault.json").write_text(json.dumps(config))
    said = run("hold", "list")
    assert said.code == 2
    assert "nothing answers at" in said.out + said.err


@pytest.mark.slow
def test_many_at_once_leave_a_chain_that_reads_and_a_store_that_agrees(
    evault: Evault, case: str
) -> None:
    """Two setting the same matter, and others: one wins, none breaks the chain."""
    evault("ingest", DEMO / "agent")
    codes: list[int] = []

    def set_one(number: int) -> None:
        matter = f"M{number % 3}"
        done = evault.process("hold", "set", case, "--matter", matter, "--reason", "r")
        codes.append(done.returncode)

    threads = [threading.Thread(target=set_one, args=(number,)) for number in range(6)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(codes) == [0, 0, 0, 2, 2, 2]
    said = evault.answer("hold-list", "hold", "list")
    assert sorted(hold["matter"] for hold in said["items"][0]["holds"]) == ["M0", "M1", "M2"]
    assert said["items"][0]["drift"] == []
    evault.sound()


ME = getpass.getuser()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("set", "--matter", "live", "--reason", "r"), "the matter 'live' holds"),
        (("set", "--matter", "M"), "Missing option '--reason'"),
        (("set", "--reason", "r"), "Missing option '--matter'"),
        (("set", "--matter", " ", "--reason", "r"), "'--matter'"),
        (("set", "--matter", "x" * 201, "--reason", "r"), "at most 200 characters"),
        (("set", "--matter", "M", "--reason", "r", "--ordered-by", ""), "'--ordered-by'"),
        (("set", "INC-20-9", "--matter", "M", "--reason", "r"), "is no incident id like"),
        (("release", "--matter", "live", "--reason", "r"), "Missing option '--approved-by'"),
        (
            ("release", "--matter", "live", "--reason", "r", "--approved-by", "Grace"),
            "Missing option '--exhibit'",
        ),
        (release("other")[1:], "no matter 'other' holds"),
        ((*release("live")[1:], "--exhibit", "EV-0404"), "has no exhibit EV-0404; list them with"),
        (
            (*release("live")[1:7], ME, "--exhibit", "EV-0001"),
            "asks and approves; it takes a second person",
        ),
        (
            (*release("live")[1:7], f" {ME.upper()} ", "--exhibit", "EV-0001"),
            "asks and approves; it takes a second person",
        ),
        (("list", "INC-20-9"), "is no incident id like"),
        (("list", "INC-2020-0009"), "there is no incident INC-2020-0009; list them with"),
    ],
)
def test_what_makes_no_sense_is_refused_and_seals_nothing(
    evault: Evault, case: str, words: tuple[str, ...], told: str
) -> None:
    evault("ingest", DEMO / "agent")
    set_(evault, "live")
    assert told in evault.refused("hold", *words)
    assert evault.link() == 2
    assert held_in_folder(evault.home / "store") == [True]


def test_what_a_matter_is_called_cannot_write_to_the_terminal(evault: Evault, case: str) -> None:
    evault("ingest", DEMO / "agent")
    evil = "\x1b[31mred\n\u202egnirts"
    for command in (
        ("hold", "set", "--matter", evil, "--reason", evil, "--ordered-by", evil),
        ("hold", "list"),
        ("incident", "show"),
        ("retention", "show", case),
        ("custody",),
        ("evidence", "show", "EV-0001"),
        (*release(evil)[:6], "--approved-by", evil, "--exhibit", "EV-0001"),
        ("hold", "list"),
    ):
        said = run(*command)
        assert said.code == 0, said.err
        assert "\x1b" not in said.out
        assert "\u202e" not in said.out
        assert "\\x1b[31mred\\n\\u202egnirts" in "".join(said.out.split("\n")).replace("  ", "")


def test_a_folder_says_that_it_binds_evault_alone(evault: Evault, case: str) -> None:
    said = evault("hold", "set", "--matter", "M", "--reason", "r")
    told = " ".join(said.out.split())
    assert "this binds evault alone: kept in a folder, which cannot be locked against" in told
    assert "binds evault alone" in " ".join(evault("hold", "list").out.split())
