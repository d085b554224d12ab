"""What can be wrong with the vault, its disk, its keys and its clock: one message, nothing lost."""

from __future__ import annotations

import os
import random
import resource
import shutil
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cli_support import NOBODY, TIMES, Evault, run, unprivileged

import cli
from cli.compose import open_vault
from cli.settings import read_settings
from vault.adapters.pem import load_manifest_key
from vault.deposit import Door, Draft
from verify.instant import format_instant
from verify.statement import Type

COMMANDS = [
    ("incident", "list"), ("incident", "show"), ("incident", "declare", "--title", "T",
    "--severity", "sev1", "--tier", "1", "--system", "s", *TIMES), ("ingest", "a"),
    ("evidence", "list"), ("checklist",), ("custody",), ("verify",), ("trust",),
    ("export", "-o", "x.zip", "--purpose", "p"), ("log", "checkpoint"), ("log", "audit"),
    ("log", "rebuild"),
]  # fmt: skip
NAMES = [" ".join(words[:2]) for words in COMMANDS]


# -- the home --------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [words for words in COMMANDS if words != ("trust",)],
                         ids=[name for name in NAMES if name != "trust"])  # fmt: skip
def test_no_vault_yet_says_where_it_looked_and_what_to_run(
    empty: Evault, words: tuple[str, ...]
) -> None:
    empty.file("a")
    message = empty.refused(*words)
    assert message == (
        f"evault: there is no vault in {empty.home}; make one with: evault init\n"
        "(or name another home with --home or EVAULT_HOME)\n"
    )
    assert not empty.home.exists()


def test_where_home_was_named_the_remedy_names_it_too(empty: Evault, tmp_path: Path) -> None:
    other = tmp_path / "my vault"
    message = empty.refused("--home", other, "incident", "list")
    assert f"make one with: evault --home '{other}' init" in message


def test_a_read_only_home_is_named_with_a_remedy_and_loses_nothing(
    reachable: tuple[Evault, str],
) -> None:
    evault, case = reachable
    evault.file("a")
    everything = [evault.home, *(path for path in evault.home.rglob("*") if path.is_dir())]
    with unprivileged(evault.home.parent):
        for path in everything:
            path.chmod(0o500)
        for words in (("ingest", case, "a"), ("incident", "assign", case, "comms_lead", "Ada")):
            message = evault.refused(*words)
            assert "cannot be written" in message or "is read-only" in message
            assert "make it writable, or copy the vault's home and name the copy" in message
        assert "make it writable" in evault.refused("log", "rebuild")
        evault("log", "audit")
        for path in everything:
            path.chmod(0o700)
        assert evault.link(case) == 0
        evault("ingest", case, "a")
        evault.sound()


def test_a_home_that_cannot_be_made_is_named(reachable: tuple[Evault, str]) -> None:
    evault, _ = reachable
    locked = evault.folder / "locked"
    locked.mkdir(mode=0o500)
    with unprivileged(evault.home.parent):
        message = evault.refused("--home", locked / "home", "init")
    assert f"cannot make a vault in {locked / 'home'}: Permission denied; choose another" in message
    assert not list(locked.iterdir())


def test_a_home_of_someone_else_is_named(reachable: tuple[Evault, str]) -> None:
    evault, _ = reachable
    if os.getuid() != 0:
        evault.home.chmod(0)
    with unprivileged(evault.folder):
        message = evault.refused("incident", "list")
    assert f"cannot look into {evault.home}: Permission denied; it must belong to you" in message


def test_a_home_that_is_a_file_is_named(empty: Evault) -> None:
    empty.home.write_text("mine")
    assert f"there is no vault in {empty.home}" in empty.refused("incident", "list")
    assert f"cannot make a vault in {empty.home}: File exists" in empty.refused("init")
    assert empty.home.read_text() == "mine"


# -- the disk --------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("limit", [1 << 10, 64 << 10, 1 << 20])
def test_a_full_disk_is_named_and_nothing_is_lost(evault: Evault, case: str, limit: int) -> None:
    """Every write beyond a size fails: for the index first, then for the store."""
    evault.file("small")
    evault("ingest", "small")
    large = evault.file("large", random.Random(1).randbytes(3 << 20))

    def restrict() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    said = evault.process("ingest", case, large, preexec_fn=restrict)
    message = said.stderr.decode()
    assert (said.returncode, said.stdout) == (2, b""), message
    assert message.count("\n") == 1
    assert "disk is full" in message or "limit on file sizes is reached" in message
    assert "run it again" in message
    assert evault.link() == 1
    assert not list((evault.home / "store" / "tmp").iterdir())
    evault.sound()
    assert "EV-0002" in evault("ingest", "large").out
    evault.sound()


def test_a_full_disk_for_the_answer_is_no_defect(evault: Evault, case: str) -> None:
    with Path("/dev/full").open("wb") as full:
        said = subprocess.run(
            [sys.executable, "-m", "cli", "trust"],
            cwd=Path(cli.__file__).parent.parent, stdout=full, stderr=subprocess.PIPE, check=False,
        )  # fmt: skip
    assert said.returncode == 2
    told = said.stderr.decode().splitlines()
    assert told[-1].startswith("evault: No space left on device")
    assert [each.split()[0] for each in told[:-1]] == ["log", "key"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "code"),
    [(("custody",), 0), (("checklist", "--require", "complete"), 1),
     (("evidence", "get", "EV-0001", "--purpose", "p", "-o", "-"), 0)],
)  # fmt: skip
def test_a_reader_that_leaves_early_does_not_change_the_exit_code(
    evault: Evault, case: str, words: tuple[str, ...], code: int
) -> None:
    evault("ingest", evault.file("a"))
    reading, writing = os.pipe()
    os.close(reading)
    try:
        root = Path(cli.__file__).parent.parent
        command = [sys.executable, "-m", "cli", *words]
        said = subprocess.run(
            command, cwd=root, stdout=writing, stderr=subprocess.PIPE, check=False
        )
    finally:
        os.close(writing)
    assert said.returncode == code
    assert said.stderr.decode() in ("", f"{case}, the one open incident:\n")


def test_a_store_that_is_gone_or_emptied_is_not_begun_anew(evault: Evault, case: str) -> None:
    evault.file("a")
    evault("ingest", "a")
    store, aside = evault.home / "store", evault.home.parent / "aside"
    store.rename(aside)
    for words in (("incident", "show"), ("ingest", "a"), ("log", "audit"), ("log", "rebuild")):
        assert f"the store {store} is gone; mount it, or restore it" in evault.refused(*words)
    store.mkdir()  # an empty mount point
    for words in (("incident", "show"), ("incident", "assign", "comms_lead", "Ada")):
        message = evault.refused(*words)
        assert f"the store {store} holds nothing of the 2 log entries" in message
        assert "mount it, or restore it from your backup" in message
    assert not list(store.iterdir()), "nothing was signed onto an empty store"
    store.rmdir()
    aside.rename(store)
    evault.sound()


# -- the index -------------------------------------------------------------------------------------


def garbage(index: Path) -> None:
    index.write_bytes(random.Random(1).randbytes(9_000))


def scrambled(index: Path) -> None:
    data = bytearray(index.read_bytes())
    data[4096:] = random.Random(1).randbytes(len(data) - 4096)
    index.write_bytes(data)


def truncated(index: Path) -> None:
    index.write_bytes(index.read_bytes()[:5_000])


def emptied(index: Path) -> None:
    index.write_bytes(b"")


def removed(index: Path) -> None:
    index.unlink()


def another(index: Path) -> None:
    index.unlink()
    connection = sqlite3.connect(index)
    connection.execute("CREATE TABLE holidays (day TEXT)")
    connection.commit()
    connection.close()


@pytest.mark.parametrize("harm", [garbage, scrambled, truncated, emptied, removed, another])
def test_a_corrupt_index_says_rebuild_and_rebuild_works(
    evault: Evault, case: str, harm: object
) -> None:
    evault.file("a")
    evault("ingest", "a")
    before = run("incident", "show", case, "--json").json
    harm(evault.home / "index.sqlite")  # type: ignore[operator]
    for words in (("incident", "show", case), ("ingest", case, "a"), ("verify", case)):
        message = evault.refused(*words)
        assert message.rstrip().endswith("run: evault log rebuild"), message
    evault("log", "audit")
    evault("log", "rebuild")
    assert run("incident", "show", case, "--json").json == before
    evault.sound()


def test_an_index_that_was_put_back_is_noticed_before_anything_is_signed(
    evault: Evault, case: str
) -> None:
    index = evault.home / "index.sqlite"
    shutil.copy(index, evault.folder / "earlier")
    evault.file("a")
    evault("ingest", "a")
    shutil.copy(evault.folder / "earlier", index)
    message = evault.refused("incident", "assign", case, "comms_lead", "Ada")
    assert "run: evault log rebuild" in message.replace("Run:", "run:")
    evault("log", "rebuild")
    assert evault.link() == 1
    evault("incident", "assign", case, "comms_lead", "Ada")
    evault.sound()


# -- keys and trust --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["log.pem", "manifest.pem"])
@pytest.mark.parametrize("harm", ["missing", "foreign", "swapped", "nonsense"])
def test_a_key_that_is_not_the_vaults_is_named_with_where_to_get_it(
    evault: Evault, case: str, made: Path, tmp_path: Path, name: str, harm: str
) -> None:
    key = evault.home / "keys" / name
    kept = key.read_bytes()
    key.unlink()
    if harm == "foreign":
        other = tmp_path / "other"
        evault("--home", other, "init")
        shutil.copy(other / "keys" / name, key)
    elif harm == "swapped":
        swapped = {"log.pem": "manifest.pem", "manifest.pem": "log.pem"}[name]
        shutil.copy(made / "keys" / swapped, key)
    elif harm == "nonsense":
        key.write_text("not a key")
    message = evault.refused("incident", "assign", case, "comms_lead", "Ada")
    assert str(key) in message
    assert "restore" in message
    assert "PRIVATE KEY" not in message
    key.write_bytes(kept)
    assert evault.link() == 0
    evault.sound()


@pytest.mark.parametrize("data", [None, b"", b"{", b"{}", b'{"version":2}', b"\xff\xfe", b"[]"])
def test_a_damaged_trust_file_is_named_with_where_to_get_it(
    evault: Evault, case: str, data: bytes | None
) -> None:
    file = evault.home / "trust.json"
    kept = file.read_bytes()
    file.unlink()
    if data is not None:
        file.write_bytes(data)
    for words in (("incident", "show"), ("trust",), ("log", "audit"), ("verify", case)):
        message = evault.refused(*words)
        assert str(file) in message
        assert "restore it from your backup" in message
    file.write_bytes(kept)
    evault.sound()


# -- the clock -------------------------------------------------------------------------------------


def test_a_clock_that_steps_back_is_recorded_as_it_is_and_fails_nothing(
    evault: Evault, case: str
) -> None:
    settings = read_settings(os.environ, None)
    vault = open_vault(settings)
    try:
        back = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=2)
        door = Door(
            index=vault.index,
            log=vault.log,
            signer=load_manifest_key(evault.home / "keys" / "manifest.pem"),
            clock=lambda: back,
            actor=settings.actor,
        )
        at = format_instant(back)
        body = {"at": at, "event": "assigned", "person": "Ada", "role": "comms_lead"}
        [receipt] = door.deposit(case, ["back"], lambda _: [Draft(Type.INCIDENT, body, "back")])
    finally:
        vault.close()
    assert receipt.sequence == 1
    first, second = run("custody", "--json").json["items"]
    assert second["recorded_at"] == format_instant(back) < first["recorded_at"]
    evault("incident", "assign", "forensics_lead", "Bob")
    evault("export", "-o", "case.zip", "--purpose", "p")
    evault("verify", "case.zip")
    evault.sound()


# -- the words -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("incident", "list", "--colour"), "No such option: --colour"),
        (("--colour",), "No such option: --colour"),
        (("celebrate",), "No such command 'celebrate'"),
        (("incident", "show", "a", "b"), "unexpected extra argument"),
        (("ingest", "absent"), "absent: No such file or directory; nothing sealed"),
        (("ingest", "a", "absent"), "absent: No such file or directory; nothing sealed"),
        (("ingest",), "Missing argument '[INCIDENT] PATH...'"),
        (("log", "proof", "--link", "three"), "Invalid value for '--link'"),
        (("export", "--at", "three", "-o", "x"), "Invalid value for '--at'"),
    ],
)
def test_bad_usage_names_the_word_and_points_to_the_help(
    evault: Evault, case: str, words: tuple[str, ...], told: str
) -> None:
    evault.file("a")
    message = evault.refused(*words)
    assert told in message
    assert message.count("\n") == 1
    assert "--help" in message or "nothing sealed" in message
    assert evault.link() == 0
    evault.sound()


def test_text_that_is_not_utf_8_is_refused(evault: Evault, case: str) -> None:
    wrong = os.fsdecode(b"caf\xe9")
    for words in (
        ("incident", "amend", "--title", wrong, "--reason", "r"),
        ("incident", "assign", "comms_lead", wrong),
        ("export", "-o", "x.zip", "--purpose", wrong),
    ):
        assert "is not valid UTF-8" in evault.refused(*words)
    assert "surrogate" in evault.refused("incident", "scope", "--run", wrong)
    assert evault.link() == 0
    evault.sound()


def test_what_a_person_writes_cannot_write_to_the_terminal(evault: Evault) -> None:
    bad = "\x1b]0;owned\x07\u202etxt\r\nINC-9999-9999  forged"
    evault(
        "incident", "declare", "--title", bad, "--severity", "sev1", "--tier", "1",
        "--system", bad, "--detected-at", "now",
    )  # fmt: skip
    evault.file("a")
    evault("ingest", "a", "--system", bad, "--source", bad)
    assert "\x1b" not in evault.refused("custody", bad) + evault.refused("ingest", bad)
    for words in (
        ("incident", "show"), ("incident", "list"), ("evidence", "show", "EV-0001"),
        ("incident", "assign", "comms_lead", bad), ("custody",), ("checklist", "--explain"),
        ("incident", "amend", "--title", f"{bad}!", "--reason", bad),
    ):  # fmt: skip
        shown = evault(*words).out
        assert not {"\x1b", "\x07", "\u202e", "\r"} & set(shown), words
        forged = [line for line in shown.splitlines() if line.startswith("INC-9999-9999")]
        assert not forged, words


def test_nobody_is_an_account_here() -> None:
    """`unprivileged` must take away what root may do, or the tests above prove nothing."""
    assert os.getuid() in (0, os.geteuid())
    with unprivileged():
        assert os.getuid() != 0
        assert os.getuid() in (NOBODY, os.geteuid())
    assert os.getuid() == os.geteuid()
