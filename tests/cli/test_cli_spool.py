"""A collector whose vault goes away and comes back: what it says, and what becomes of evidence."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cli_support import DEMO, Evault, check, run
from spool.world import fill

from ingest.spool import Spool


@pytest.fixture
def spool(evault: Evault, case: str) -> Path:
    """A spool whose collector the vault knows; the vault has one open incident."""
    path = evault.folder / "spool"
    evault("spool", "init", path)
    evault("collector", "add", "edge-1", "--key", path / "collector.pub")
    return path


@contextmanager
def gone(evault: Evault, what: str = "store") -> Iterator[None]:
    """The vault's store, or all of it, is not there."""
    path = evault.home / what if what else evault.home
    aside = path.with_name(f"{path.name}.aside")
    path.rename(aside)
    try:
        yield
    finally:
        aside.rename(path)


def entries(spool: Path) -> list[str]:
    return sorted(path.name for path in (spool / "entries").iterdir())


def test_a_collectors_life(evault: Evault, spool: Path, case: str) -> None:
    """Everything that can be said on the way, each answer held against its schema."""
    evault.file("a.log", "one\n")
    made = evault.answer("spool-init", "spool", "init", evault.folder / "other", "--limit", "1MiB")
    assert made["limit"] == 1 << 20
    assert evault.answer("spool-limit", "spool", "limit", spool, "20MB")["limit"] == 20_000_000
    sealed = evault.answer("ingest", "ingest", case, "a.log", "--spool", spool)
    assert (sealed["state"], sealed["spool"]["number"], sealed["spool"]["reason"]) == (
        "sealed", 1, None,
    )  # fmt: skip
    assert [item["name"] for item in sealed["items"]][1:] == ["a.log"]
    with gone(evault):
        spooled = evault.answer("ingest", "ingest", case, "a.log", "--spool", spool, code=1)
        assert (spooled["state"], spooled["receipt"], spooled["items"]) == ("spooled", None, [])
        assert [item["sha256"] for item in spooled["spool"]["items"]] == [
            hashlib.sha256(b"one\n").hexdigest()
        ]
        assert "is gone" in spooled["spool"]["reason"]
        said = run("capture", case, "--json", "--spool", spool, "--", "echo", "hi")
        check("capture", told := said.json)
        assert (told["state"], told["exit_code"]) == ("spooled", 0)
        status = evault.answer("spool-status", "spool", "status", spool)
        assert status["counts"] == {"damaged": 0, "delivered": 1, "set_aside": 0, "waiting": 2}
        assert evault.problem("spool", "deliver", spool)["code"] == "unavailable"
    delivered = evault.answer("spool-deliver", "spool", "deliver", spool)
    assert [item["number"] for item in delivered["items"]] == [2, 3]
    assert delivered["counts"] == {"delivered": 2, "waiting": 0}
    listed = evault.answer("collector-list", "collector", "list")
    assert [each["name"] for each in listed["items"]] == ["edge-1"]
    again = evault.answer(
        "collector-add", "collector", "add", "edge-1", "--key", spool / "collector.pub"
    )
    assert again["receipt"] is None
    taken = evault.answer(
        "collector-remove", "collector", "remove", "edge-1", "--reason", "host lost"
    )
    assert taken["collector"]["removed"] == "host lost"
    evault.sound()


def test_spooled_is_said_plainly_and_is_not_done(evault: Evault, spool: Path, case: str) -> None:
    evault.file("a.log", "one\n")
    with gone(evault):
        said = run("ingest", case, "a.log", "--spool", spool)
    assert said.code == 1
    assert said.lines[0] == (f"SPOOLED, not sealed: 1 file, 4 B, for {case}: entry 1 of {spool}")
    text = " ".join(said.out.split())
    assert "no vault has it" in text
    assert f"run: evault spool deliver {spool}" in text
    assert evault.link() == 0, "nothing reached the vault"


@pytest.mark.parametrize("what", ["store", "index.sqlite", ""])
def test_whatever_of_the_vault_is_gone_the_evidence_is_kept(
    evault: Evault, spool: Path, case: str, what: str
) -> None:
    """The store, the index, the whole home: then it is a host without a vault."""
    evault.file("a.log", "one\n")
    with gone(evault, what):
        assert run("ingest", case, "a.log", "--spool", spool).code == 1
        assert entries(spool) == ["00000001"]
        said = run("ingest", case, "a.log")
        assert said.code == 2, "without a spool it is an error, as ever"
    evault("spool", "deliver", spool)
    assert (entries(spool), evault.link()) == ([], 1)


# -- what must not spool ---------------------------------------------------------------------------


def refused_and_not_spooled(evault: Evault, spool: Path, *words: object) -> str:
    evault.file("a.log", "one\n")
    said = run(*words, "--spool", spool)
    assert (said.code, said.raw) == (2, b"")
    assert entries(spool) == []
    assert json.loads(run("spool", "status", spool, "--json").raw)["used"] == 0
    return said.err


def test_a_vault_that_refuses_is_heard(evault: Evault, spool: Path, case: str) -> None:
    evault("incident", "close")
    said = refused_and_not_spooled(evault, spool, "ingest", case, "a.log")
    assert "is closed and sealed" in said
    said = refused_and_not_spooled(evault, spool, "ingest", "INC-2026-0777", "a.log")
    assert "there is no incident INC-2026-0777" in said


def test_an_unknown_collector_is_refused_with_the_remedy(evault: Evault, case: str) -> None:
    path = evault.folder / "s"
    evault("spool", "init", path)
    said = refused_and_not_spooled(evault, path, "ingest", case, "a.log")
    assert "evault collector add NAME --key collector.pub" in said


def test_a_command_is_not_run_for_a_vault_that_would_refuse(evault: Evault, case: str) -> None:
    path = evault.folder / "s"
    evault("spool", "init", path)
    said = run("capture", case, "--spool", path, "--", "touch", "ran")
    assert said.code == 2
    assert not (evault.folder / "ran").exists()


def test_a_removed_collector_is_refused_at_delivery(evault: Evault, spool: Path, case: str) -> None:
    evault.file("a.log", "one\n")
    with gone(evault):
        run("ingest", case, "a.log", "--spool", spool)
    evault("collector", "remove", "edge-1", "--reason", "host broken into")
    said = run("spool", "deliver", spool)
    assert said.code == 1
    assert "takes nothing more from the collector edge-1: host broken into" in said.out
    assert (entries(spool), evault.link()) == (["00000001"], 0)
    key = spool / "collector.pub"
    assert "was taken back from edge-1" in evault.refused("collector", "add", "x", "--key", key)


def test_without_a_vault_the_incident_must_be_named(evault: Evault, spool: Path, case: str) -> None:
    evault.file("a.log", "one\n")
    evault("ingest", "a.log", "--spool", spool)  # with one, the only open incident is meant
    with gone(evault):
        said = run("ingest", "a.log", "--spool", spool)
    assert (said.code, entries(spool)) == (2, [])
    assert "nobody can tell which incident is meant; name it" in said.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("spool", "init", "s", "--limit", "ten"), "'ten' is no size like 500MB"),
        (("spool", "init", "s", "--limit", "0"), "'0' is no size"),
        (("spool", "status", "nowhere"), "there is no spool in nowhere"),
        (("spool", "deliver", "nowhere"), "make one with: evault spool init nowhere"),
        (("collector", "add", "Edge", "--key", "a.log"), "a.log is no public key in PEM"),
        (("collector", "add", "e", "--key", "nowhere"), "cannot read nowhere"),
        (("collector", "add", "e", "--key", "spool/key.pem"), "must not leave its collector"),
        (("collector", "add", "Ed ge", "--key", "spool/collector.pub"), "no name for a collector"),
        (("collector", "remove", "nobody", "--reason", "r"), "there is no collector nobody"),
        (("ingest", "a.log", "--spool", "spool", "--deposit", "x"), "--deposit goes without"),
        (("ingest", "a.log", "--spool", "spool", "--no-pack"), "--no-pack goes without"),
    ],
)
def test_bad_usage_is_told_with_its_remedy(
    evault: Evault, spool: Path, words: tuple[str, ...], told: str
) -> None:
    evault.file("a.log", "one\n")
    assert told in evault.refused(*words)


def test_the_vaults_own_key_is_no_collectors(evault: Evault, case: str) -> None:
    from cryptography.hazmat.primitives import serialization as pem

    private = pem.load_pem_private_key((evault.home / "keys/manifest.pem").read_bytes(), None)
    public = private.public_key().public_bytes(
        pem.Encoding.PEM, pem.PublicFormat.SubjectPublicKeyInfo
    )
    path = evault.file("manifest.pub", public)
    said = evault.refused("collector", "add", "me", "--key", path)
    assert "signs this vault's own statements" in said


# -- exactly once ----------------------------------------------------------------------------------


def waiting(evault: Evault, spool: Path, case: str, count: int = 1) -> None:
    with gone(evault):
        for number in range(count):
            path = evault.file(f"{number}.log", f"line {number}\n")
            assert run("ingest", case, path, "--spool", spool).code == 1


def test_a_vault_that_took_it_and_was_not_heard_gives_the_first_receipt(
    evault: Evault, spool: Path, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting(evault, spool, case)
    shutil.copytree(spool, evault.folder / "before")
    first = evault.answer("spool-deliver", "spool", "deliver", spool)
    exhibits = evault("evidence", "list", "--json").json["items"]
    # The spool died before it wrote the receipt; the index is lost; and somebody else delivers.
    evault("log", "rebuild")
    monkeypatch.setenv("EVAULT_ACTOR", "Somebody Else")
    again = evault.answer("spool-deliver", "spool", "deliver", evault.folder / "before")
    (one,), (two,) = first["items"][0]["receipts"], again["items"][0]["receipts"]
    assert (one["repeated"], two["repeated"]) == (False, True)
    assert (one["leaf_hash"], one["index"]) == (two["leaf_hash"], two["index"])
    assert evault("evidence", "list", "--json").json["items"] == exhibits
    evault.sound()


def test_two_spools_of_one_key_that_told_two_stories_are_refused(
    evault: Evault, spool: Path, case: str
) -> None:
    """A spool restored from an old copy gives a number twice; the vault takes it once."""
    copy = evault.folder / "copy"
    shutil.copytree(spool, copy)
    waiting(evault, spool, case)
    evault("spool", "deliver", spool)
    waiting(evault, copy, case, count=2)
    said = run("spool", "deliver", copy)
    assert said.code == 1
    assert "has another entry 1 of spool" in said.out
    evault.sound()


def test_delivery_is_in_order_over_several_incidents(
    evault: Evault, spool: Path, case: str
) -> None:
    other = evault.declare()
    a, b = evault.file("a", "a\n"), evault.file("b", "b\n")
    with gone(evault):
        for name, path in ((case, a), (other, b), (case, b)):
            run("ingest", name, path, "--spool", spool)
    evault("incident", "close", other)
    said = run("spool", "deliver", spool)
    assert said.code == 1
    assert f"REFUSED: entry 2, for {other}" in said.out
    assert f"\n  evault spool set-aside {spool} 2 --reason TEXT\n" in said.out
    assert entries(spool) == ["00000002"], "what is for another incident passes it"
    assert f"evault incident reopen {other}" in " ".join(said.out.split())
    evault("spool", "set-aside", spool, 2, "--reason", "closed for good")
    evault("spool", "deliver", spool)
    assert (evault.link(case), evault.link(other)) == (2, 1)
    notes = run("verify", case, "--json").json["notes"]
    id_ = json.loads((spool / "spool.json").read_bytes())["id"]
    told = (
        f"of spool {id_}, entries 2 are not on this chain: for other chains, delivered or not, or "
        "set aside"
    )
    assert told in notes
    evault.sound()


def test_ingest_waits_behind_an_entry_that_cannot_be_delivered(
    evault: Evault, spool: Path, case: str
) -> None:
    waiting(evault, spool, case)
    contents = spool / "entries" / "00000001" / "contents"
    contents.write_bytes(b"LINE 0\n")
    said = evault.answer("ingest", "ingest", case, evault.file("b"), "--spool", spool, code=1)
    assert (said["state"], said["spool"]["number"]) == ("spooled", 2)
    assert "entry 1 comes first" in said["spool"]["reason"]
    told = run("spool", "deliver", spool)
    digests = [hashlib.sha256(data).hexdigest() for data in (b"line 0\n", b"LINE 0\n")]
    assert f"  sealed {digests[0]}\n  found  {digests[1]}\n" in told.out
    assert f"evault spool set-aside {spool} 1" in " ".join(told.out.split())
    status = evault("spool", "status", spool)
    assert "2 entries wait" in status.out
    evault("spool", "set-aside", spool, 1, "--reason", "bad sector")
    evault("spool", "deliver", spool)
    assert evault.link() == 1


def test_a_full_spool_says_so_and_keeps_what_it_has(evault: Evault, spool: Path, case: str) -> None:
    evault("spool", "limit", spool, "9kB")
    waiting(evault, spool, case)
    path = evault.file("large", b"x" * 20_000)
    with gone(evault):
        problem = evault.problem("ingest", case, path, "--spool", spool)
        said = run("capture", case, "--spool", spool, "--", "touch", "ran")
    assert problem["code"] == "spool_full"
    assert (said.code, (evault.folder / "ran").exists()) == (2, False), "and asks nothing for it"
    assert entries(spool) == ["00000001"]


# -- what a verifier makes of it -------------------------------------------------------------------


def test_times_stay_apart_and_the_bundle_verifies_elsewhere(
    evault: Evault, spool: Path, case: str
) -> None:
    waiting(evault, spool, case, count=2)
    collected = json.loads(run("spool", "status", spool, "--json").raw)["items"]
    evault("spool", "deliver", spool)
    items = evault("evidence", "list", "--json").json["items"]
    assert [item["format"] for item in items] == ["collection", "text"] * 2
    for item, entry in zip(items[::2], collected, strict=True):
        assert item["captured_at"] == entry["collected_at"]
        assert item["sha256"] == entry["sha256"]
        assert item["captured_at"] < item["received_at"]
    old = evault.home / "trust.json"
    trust = evault.file("trust.json", old.read_bytes())
    evault("export", "-o", "case.zip", "--purpose", "p")
    said = evault("verify", "case.zip", "--facts", "--trust", trust).out
    assert "collection  2 of 2 taken in as collectors signed them" in said
    # Who was not told of the collector's key: neither failed nor fine.
    value = json.loads(trust.read_bytes())
    value["collector_keys"] = []
    trust.write_text(json.dumps(value))
    report = run("verify", "case.zip", "--trust", trust, "--json").json
    (finding,) = [each for each in report["findings"] if each["step"] == "collection"]
    assert (finding["outcome"], report["verdict"]) == ("not_checked", "passed")
    assert "2 of 2 unverified" in finding["detail"]
    value["required"].append("collection")
    trust.write_text(json.dumps(value))
    assert run("verify", "case.zip", "--trust", trust, "--json").json["verdict"] == "inconclusive"


def test_custody_names_the_spool(evault: Evault, spool: Path, case: str) -> None:
    waiting(evault, spool, case)
    evault("spool", "deliver", spool)
    id_ = json.loads((spool / "spool.json").read_bytes())["id"]
    shown = " ".join(evault("custody").out.split())
    assert f"EV-0001..0002; collected before, entry 1 of spool {id_}" in shown


def test_a_large_collection_comes_out_the_same(evault: Evault, spool: Path, case: str) -> None:
    """Contents above the size of a pack, a folder of real files, a link that is not followed."""
    folder = evault.folder / "in"
    shutil.copytree(DEMO / "cloudtrail", folder / "cloudtrail")
    (folder / "large.bin").write_bytes(bytes(range(256)) * 8_192)
    (folder / "link").symlink_to("nowhere")
    with gone(evault):
        run("ingest", case, folder, "--spool", spool)
    evault("spool", "deliver", spool)
    direct = evault.declare()
    evault("ingest", direct, folder)
    delivered, plain = (
        evault("evidence", "list", name, "--json").json["items"] for name in (case, direct)
    )
    same = ("sha256", "size", "kinds", "name", "path", "facts", "format", "summary")
    assert [[each[key] for key in same] for each in delivered[1:]] == [
        [each[key] for key in same] for each in plain
    ]
    assert "1 not captured" in evault("custody", case).out
    evault.sound()


@pytest.mark.slow
def test_a_bucket_takes_deliveries_as_a_folder_does(on_s3: Evault) -> None:
    """At the depth of checksums nothing is read, so a signature over it is not checked."""
    case = on_s3.declare()
    spool = on_s3.folder / "spool"
    on_s3("spool", "init", spool)
    on_s3("collector", "add", "edge-1", "--key", spool / "collector.pub")
    large = on_s3.file("b", b"b" * 2_000_000)
    said = on_s3("ingest", case, on_s3.file("a"), large, "--spool", spool)
    assert "sealed through the spool: chain link 1" in said.out
    assert "collection  not read at depth checksums" in on_s3("verify", case).out
    assert "1 of 1 taken in as collectors signed" in on_s3("verify", case, "--depth", "bytes").out


@pytest.mark.soak
def test_more_items_than_a_link_may_hold_are_delivered_as_several(
    evault: Evault, spool: Path, case: str
) -> None:
    """The envelope comes on top of the items: 10,000 of them are two links."""
    entry = fill(Spool(spool), *[b""] * 10_000, destination=case, missing=1)
    shutil.copytree(spool, evault.folder / "copy")
    first, again = (
        evault.answer("spool-deliver", "spool", "deliver", path)["items"][0]["receipts"]
        for path in (spool, evault.folder / "copy")
    )
    deposit = entry.collection.deposit
    assert [each["deposit"] for each in first] == [f"{deposit}/1", f"{deposit}/2"]
    assert [each["leaf_hash"] for each in again] == [each["leaf_hash"] for each in first]
    assert [each["sequence"] for each in first] == [1, 2]
    said = evault("verify", case).out
    assert "10001 of 10001 digests" in said.replace(",", "")
    assert "collection  1 of 1 taken in as collectors signed them" in said


def test_a_spool_delivers_to_a_stream_also_to_one_that_it_begins(
    evault: Evault, spool: Path
) -> None:
    evault.file("a.log", "one\n")
    with gone(evault):
        assert run("ingest", "stream:edge", "a.log", "--spool", spool).code == 1
    delivered = evault.answer("spool-deliver", "spool", "deliver", spool)
    assert [item["number"] for item in delivered["items"]] == [1]
    evault.file("b.log", "two\n")
    sealed = evault.answer("ingest", "ingest", "stream:edge", "b.log", "--spool", spool)
    assert [item["exhibit"] for item in sealed["items"]] == ["ST-0003", "ST-0004"]
    evault("verify", "stream:edge")
