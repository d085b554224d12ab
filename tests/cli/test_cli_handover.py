"""Handing over and checking: export, verify, trust, and the log's own commands."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path

import pytest
from cli_support import DEMO, Evault, run, unprivileged

from verify.__main__ import main
from verify.checkpoint import open_checkpoint, parse_consistency_proof, parse_tlog_proof
from verify.trust import Trust, parse_trust


@pytest.fixture
def full(evault: Evault, case: str) -> str:
    """An incident with three exhibits; its id."""
    evault("ingest", DEMO / "agent")
    return case


def trusted(evault: Evault) -> Trust:
    return parse_trust(evault("trust").raw, where="trust.json")


# -- export ----------------------------------------------------------------------------------------


def test_export_says_what_it_wrote_and_to_hand_over_trust_apart(evault: Evault, full: str) -> None:
    said = evault("export", "-o", "case.zip", "--purpose", "outside counsel")
    size = Path("case.zip").stat().st_size
    answer = re.fullmatch(
        rf"case\.zip  3 exhibits, ([\d.]+) kB: links 0-3 of {full}\n"
        r"SHA-256 [0-9a-f]{64}\nHand over evault trust by another way than the bundle\.\n",
        said.out,
    )
    assert answer
    assert float(answer[1]) == pytest.approx(size / 1000, abs=1)
    evault.sound()


def test_the_same_link_again_gives_the_same_bytes(evault: Evault, full: str) -> None:
    evault(
        "export", "-o", "one.zip", "--purpose", "p", "--recipient", "r", "--withhold", "EV-0002=x"
    )
    evault("incident", "assign", "comms_lead", "Ada")
    evault("evidence", "withdraw", "EV-0001", "--reason", "w")
    evault("export", "-o", "other.zip", "--purpose", "p")
    before = evault.link()
    evault("export", "-o", "two.zip", "--at", "3")
    assert Path("one.zip").read_bytes() == Path("two.zip").read_bytes()
    assert evault.link() == before, "what was sealed is not sealed again"


def test_withheld_exhibits_are_named_with_their_reason_and_not_in_the_bundle(
    evault: Evault, full: str
) -> None:
    said = evault("export", "-o", "case.zip", "--purpose", "p", "--withhold", "EV-0002=privileged")
    assert "2 exhibits, 1 withheld, " in said.out
    with zipfile.ZipFile("case.zip") as bundle:
        names = "\n".join(bundle.namelist())
    assert "/evidence/EV-0001/" in names
    assert "EV-0002" not in names
    shown = evault("verify", "case.zip")
    assert re.search(r"evidence +2 of 2 digests recomputed; 1 withheld, by signed", shown.out)


def test_an_export_names_what_it_leaves_out_why_and_by_whom(evault: Evault, full: str) -> None:
    evault("evidence", "withdraw", "EV-0001", "EV-0003", "--reason", "taken twice")
    words = ("export", "--purpose", "p", "--withhold", "EV-0002=privileged")
    said = evault(*words, "-o", "case.zip")
    who = evault("custody", "--json").json["items"][-1]["actor"]
    assert "0 exhibits, 1 withheld, 2 withdrawn, " in said.out
    told = " ".join(said.out.split())
    assert f'Withheld: EV-0002 "privileged", by {who}, link 4' in told
    assert f'Withdrawn, and so left out: EV-0001, EV-0003 "taken twice", by {who}, link 2' in told
    again = evault("export", "--at", "4", "-o", "again.zip", "--json").json
    assert again["counts"] == {"included": 0, "withdrawn": 2, "withheld": 1}
    assert again["withheld"] == [
        {"actor": who, "exhibit": "EV-0002", "reason": "privileged", "sequence": 4}
    ]
    assert [(each["exhibit"], each["sequence"]) for each in again["withdrawn"]] == [
        ("EV-0001", 2), ("EV-0003", 2)
    ]  # fmt: skip


def test_compressing_makes_a_smaller_bundle_that_verifies(evault: Evault, full: str) -> None:
    evault("export", "-o", "a.zip", "--purpose", "p")
    evault("export", "-o", "b.zip", "--purpose", "p", "--compress")
    assert Path("b.zip").stat().st_size < Path("a.zip").stat().st_size
    evault("verify", "b.zip")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("-o", "x.zip"), "say what the bundle is for: --purpose TEXT"),
        (("-o", "x.zip", "--purpose", " "), "'--purpose'"),
        (("--purpose", "p"), "Missing option '-o'"),
        (("-o", "-", "--purpose", "p"), "a bundle is written to a file, not to standard output"),
        (("-o", "no/x.zip", "--purpose", "p"), "there is no folder no; make it, or name another"),
        (("-o", "taken", "--purpose", "p"), "taken is there already; name another file with -o"),
        (("-o", "taken", "--at", "3"), "taken is there already; name another file with -o"),
        (("-o", "x.zip", "--purpose", "p", "--withhold", "EV-0002"), "takes EV-0001=REASON, not"),
        (("-o", "x.zip", "--purpose", "p", "--withhold", "EV-0002="), "takes EV-0001=REASON, not"),
        (("-o", "x.zip", "--purpose", "p", "--withhold", "EV-0009=x"), "has no exhibit EV-0009"),
        (("-o", "x.zip", "--at", "1"), "is no export but capture; see: evault custody"),
        (("-o", "x.zip", "--at", "9"), "has no link 9; its last is 1"),
        (("-o", "x.zip", "--at", "1", "--purpose", "p"), "it takes no other words"),
    ],
)
def test_what_cannot_be_exported_is_refused_before_anything_is_sealed(
    evault: Evault, full: str, words: tuple[str, ...], told: str
) -> None:
    evault.file("taken", "mine")
    assert told in evault.refused("export", *words)
    assert evault.link() == 1
    assert [path.name for path in evault.folder.iterdir()] == ["taken"]
    assert Path("taken").read_text() == "mine"


def test_an_export_to_a_folder_without_permission_is_refused_before_anything_is_sealed(
    reachable: tuple[Evault, str],
) -> None:
    evault, _ = reachable
    locked = evault.folder / "locked"
    locked.mkdir(mode=0o500)
    with unprivileged(evault.home.parent):
        message = evault.refused("export", "-o", locked / "x.zip", "--purpose", "p")
        assert f"cannot write to {locked}; name another place with -o" in message
        assert evault.link() == 0


# -- verify ----------------------------------------------------------------------------------------


def test_an_incident_that_passes_says_what_it_rests_on(evault: Evault, full: str) -> None:
    shown = evault("verify").out
    for line in (
        r"signatures +2 of 2 by the key in the trust file +passed",
        r"chain +links 0-1 unbroken +passed",
        r"log +2 of 2 included in a signed tree of 2, in order +passed",
        r"evidence +3 of 3 digests recomputed +passed",
        r"time +no time authority: times are the vault's own word +not checked",
        r"PASSED: everything trust\.json requires +exit 0",
        r"  Depth bytes: the evidence was read again\.",
        r"  Judged by this vault's own trust file; a stranger needs it from you\.",
    ):
        assert re.search(rf"(?m)^{line}$", shown), line


def test_a_bundle_that_passes_is_complete_to_its_export(evault: Evault, full: str) -> None:
    evault("export", "-o", "case.zip", "--purpose", "p")
    shown = evault("verify", "case.zip").out
    assert re.search(r"package +every file listed, none besides +passed", shown)
    assert "Complete to link 3, when exported (" in shown
    assert "never" not in shown


def test_an_altered_exhibit_fails_by_name_and_the_others_are_intact(
    evault: Evault, full: str
) -> None:
    [pack] = (evault.home / "store" / "artifacts").iterdir()
    pack.chmod(0o600)
    data = bytearray(pack.read_bytes())
    data[10] ^= 1
    pack.write_bytes(data)
    said = run("verify")
    assert said.code == 1
    assert re.search(r"(?m)^evidence +EV-0001 1-attacked\.json +FAILED$", said.out)
    assert "FAILED: 1 of 3 exhibits is not what was sealed; 2 are intact" in said.out
    assert "Depth" not in said.out
    other = evault("verify", "EV-0002")
    assert re.search(r"evidence +1 of 1 digests recomputed", other.out)


def test_structure_alone_does_not_pass_for_evidence(evault: Evault, full: str) -> None:
    said = run("verify", "--depth", "structure")
    assert said.code == 2
    assert re.search(r"evidence +not read again at depth structure +not checked", said.out)
    assert "INCONCLUSIVE: not checked: evidence" in said.out
    assert "Depth structure: no evidence was read again." in said.out


def test_a_bundle_without_an_outside_trust_file_is_self_asserted(
    evault: Evault, full: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    evault("export", "-o", "case.zip", "--purpose", "p")
    monkeypatch.setenv("EVAULT_HOME", str(tmp_path / "elsewhere"))
    said = run("verify", "case.zip")
    assert said.code == 2
    assert said.lines[0] == "SELF-ASSERTED: judged by the bundle's own copy of its keys"
    evault.file("trust.json", (evault.home / "trust.json").read_bytes())
    assert run("verify", "case.zip", "--trust", "trust.json").code == 0


def test_another_vaults_trust_file_fails_it(
    evault: Evault, full: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    evault("export", "-o", "case.zip", "--purpose", "p")
    monkeypatch.setenv("EVAULT_HOME", str(tmp_path / "elsewhere"))
    evault("init")
    said = run("verify", "case.zip")
    assert said.code == 1
    assert re.search(r"(?m)^signatures +link 0: signed by a key that the trust file", said.out)


def test_seen_and_head_hold_it_against_what_was_known(evault: Evault, full: str) -> None:
    receipt = evault.file(
        "receipt.json", run("incident", "assign", "comms_lead", "A", "--json").raw
    )
    checkpoint = evault.file("checkpoint", evault("log", "checkpoint").raw)
    evault("export", "-o", "case.zip", "--purpose", "p")
    proof = evault.file("proof", evault("log", "proof", "--from", "3").raw)
    said = evault("verify", "case.zip", "--seen", receipt, "--seen", checkpoint, "--seen", proof)
    assert re.search(r"seen +agrees with everything given +passed", said.out)
    lacking = run("verify", "case.zip", "--seen", checkpoint)
    assert re.search(r"evault log proof\s+not checked\s+--from 3 --to 5", lacking.out)
    assert run("verify", "case.zip", "--head", "9").code == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("absent.zip",), "absent.zip is neither an incident like INC-2026-0001 nor a bundle here"),
        (("--trust", "absent.json"), "cannot read absent.json: No such file or directory"),
        (("--seen", "absent.json"), "cannot read absent.json: No such file or directory"),
        (("taken", "EV-0001"), "a bundle is verified whole; name no exhibits"),
        (("taken", "--depth", "structure"), "a bundle is always read whole"),
        (("--depth", "soul"), "--depth is structure, checksums or bytes, not 'soul'"),
        (("--trust", "taken"), "taken: not JSON"),
        (("EV-0009",), "has no exhibit EV-0009"),
    ],
)
def test_a_question_that_cannot_be_asked_is_refused(
    evault: Evault, full: str, words: tuple[str, ...], told: str
) -> None:
    evault.file("taken", "mine")
    assert told in evault.refused("verify", *words)


def test_a_file_that_is_no_bundle_is_not_judged_and_it_is_said_whether_it_is_known(
    evault: Evault, full: str, capfd: pytest.CaptureFixture[str]
) -> None:
    evault.file("taken", "mine")
    for words in (("--trust", evault.home / "trust.json"), ()):
        told = evault.refused("verify", "taken", *words)
        assert "taken is no bundle" in told
        assert "No incident or stream here has its bytes" in told
    evault("ingest", full, "taken")
    exhibit = run("evidence", "list", full, "--json").json["items"][-1]["exhibit"]
    assert f"sealed as {full} {exhibit}" in evault.refused("verify", "taken")
    assert main(["taken"]) == 2
    assert "taken is no bundle" in capfd.readouterr().err


@pytest.mark.parametrize("size", [1, 2, 40, 5_000])
def test_what_is_left_of_a_bundle_fails(evault: Evault, full: str, size: int) -> None:
    evault("export", "-o", "case.zip", "--purpose", "p")
    whole = (evault.folder / "case.zip").read_bytes()
    for left in (whole[: size + 1], b"\0" * size + whole[size:]):
        evault.file("left.zip", left)
        said = run("verify", "left.zip")
        assert (said.code, "FAILED: package" in said.out) == (1, True)


def test_what_is_no_trust_file_is_named_as_such(
    evault: Evault, full: str, capfd: pytest.CaptureFixture[str]
) -> None:
    evault("export", "-o", "case.zip", "--purpose", "p")
    evault.file("large.zip", b"PK" + bytes(2 << 20))
    for trust, told in (("large.zip", "no trust file"), ("absent.json", "cannot read absent.json")):
        assert told in evault.refused("verify", "case.zip", "--trust", trust)
        assert main(["case.zip", "--trust", trust]) == 2
        err = capfd.readouterr().err
        assert told in err
        assert "Errno" not in err


# -- trust and log ---------------------------------------------------------------------------------


def test_trust_prints_the_trust_file_byte_for_byte(evault: Evault, case: str) -> None:
    said = evault("trust")
    assert said.raw == (evault.home / "trust.json").read_bytes()
    answer = run("trust", "--json").json
    assert parse_trust(said.raw, where="trust").sha256 == answer["sha256"]
    assert json.loads(evault("trust", "--sigstore").out)["tlogs"]


def test_the_checkpoint_is_signed_by_the_logs_key(evault: Evault, full: str) -> None:
    newest = open_checkpoint(evault("log", "checkpoint").raw, trusted(evault).log)
    assert newest.head.size == 2


def test_an_empty_log_has_no_checkpoint_and_says_so(evault: Evault) -> None:
    assert "the log is empty: nothing has been sealed yet" in evault.refused("log", "checkpoint")
    evault("log", "audit")


def test_a_proof_leads_from_a_link_to_the_signed_root(evault: Evault, full: str) -> None:
    from verify.merkle import check_inclusion

    for link, entry in ((0, 0), (1, 1)):
        proof = parse_tlog_proof(evault("log", "proof", "--link", link).raw)
        signed = open_checkpoint(str(proof.checkpoint).encode(), trusted(evault).log)
        row = run("custody", "--json").json["items"][link]
        assert proof.index == entry == row["log_index"]
        check_inclusion(
            list(proof.path),
            index=proof.index,
            leaf=bytes.fromhex(row["leaf_hash"]),
            head=signed.head,
        )


def test_a_consistency_proof_leads_from_an_older_to_a_newer_root(evault: Evault, full: str) -> None:
    older = open_checkpoint(evault("log", "checkpoint").raw, trusted(evault).log)
    evault("incident", "assign", "comms_lead", "Ada")
    evault("incident", "assign", "comms_lead", "Bob")
    proof = parse_consistency_proof(evault("log", "proof", "--from", 2, "--to", 4).raw)
    proof.check(older.head)
    assert proof.newer.head.size == 4


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("proof", "--link", "9"), "has links 0 to 1, not 9"),
        (("proof", "--link", "-1"), "has links 0 to 1, not -1"),
        (("proof", "--from", "9"), "--from is a size from 1 to 2, not 9"),
        (("proof", "--from", "0"), "--from is a size from 1 to 2, not 0"),
        (("proof", "--from", "1", "--to", "9"), "no checkpoint of size 9 was ever published"),
        (("proof", "--to", "2"), "--to belongs to --from; give both"),
        (("proof", "--from", "1", "--link", "0"), "--from speaks of the whole log"),
        (("audit", "--since", "absent"), "cannot read absent: No such file or directory"),
        (("audit", "--since", "taken"), "taken is no checkpoint of this log ("),
    ],
)
def test_what_the_log_cannot_show_is_refused(
    evault: Evault, full: str, words: tuple[str, ...], told: str
) -> None:
    evault.file("taken", "mine\n")
    assert told in evault.refused("log", *words)


def test_the_audit_holds_the_log_against_an_earlier_checkpoint(evault: Evault, full: str) -> None:
    earlier = evault.file("earlier", evault("log", "checkpoint").raw)
    evault("incident", "assign", "comms_lead", "Ada")
    said = evault("log", "audit", "--since", earlier)
    assert re.search(r"seen +today's log extends the given checkpoint of 2 +passed", said.out)
    assert "The log holds 3 entries, as published in this store" in said.out


def test_the_audit_finds_a_manifest_that_is_gone(evault: Evault, full: str) -> None:
    (evault.home / "store" / "chains" / "incident" / full / "00000001.json").unlink()
    said = run("log", "audit")
    assert said.code == 1
    assert re.search(r"log +entry 1: has no manifest in the store +FAILED", said.out)


def test_rebuild_makes_the_index_anew_and_puts_the_old_one_aside(evault: Evault, full: str) -> None:
    before = run("incident", "show", "--json").json
    said = evault("log", "rebuild")
    assert said.lines[0] == "The index was made anew: 2 log entries on 1 chain."
    old = Path(said.lines[1].removeprefix("The old one was put aside as "))
    assert old.is_file()
    assert run("incident", "show", "--json").json == before
    assert evault("ingest", DEMO / "agent").lines[0] == "Nothing new: nothing was sealed."
    evault.sound()
