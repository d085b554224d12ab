"""Files that resist: unreadable, special, oddly named, or changing while they are read."""

from __future__ import annotations

import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from cli_support import Evault, run, unprivileged

MEBIBYTE = 1 << 20

NAMES = [
    b"line\nbreak", b"carriage\rreturn", b"tab\there", b"\x1b[2J\x1b[31mred", b"bell\x07",
    "right-to-left\u202etxt.exe".encode(), "zero\u200bwidth".encode(), b"latin-\xe9-1", b"\xff\xfe",
    b"x" * 255, "é".encode() * 127, b" ", b"-o", b"--json", b"..evault", b"quote'\"`$(id)", b"\\",
    "\U0001f4a9".encode(), "e\u0301".encode(), b"EV-0001", b"INC-2026-0001", b"con.txt ",
]  # fmt: skip


def shows_nothing_raw(text: str) -> bool:
    return all(char.isprintable() or char == "\n" for char in text)


# -- names -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES, ids=[repr(name[:20])[2:-1] for name in NAMES])
def test_a_name_is_sealed_as_it_is_and_shown_escaped(
    evault: Evault, case: str, name: bytes
) -> None:
    folder = evault.folder / "from" / "d"
    folder.mkdir(parents=True)
    Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_bytes(b"evidence\n")
    sealed = evault("ingest", case, folder)
    for said in (sealed, evault("evidence", "list"), evault("evidence", "show", "EV-0001")):
        assert shows_nothing_raw(said.out + said.err)
    assert len(evault("evidence", "list").lines) == 1
    item = run("evidence", "list", "--json").json["items"][0]
    assert item["name"] == f"d/{name.decode('utf-8', 'replace')}"
    got = evault("evidence", "get", "EV-0001", "--purpose", "look")
    assert shows_nothing_raw(got.out)
    [made] = [path for path in evault.folder.iterdir() if path.name != "from"]
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,100}", made.name)
    assert made.read_bytes() == b"evidence\n"


def test_all_names_at_once_make_a_bundle_that_verifies(evault: Evault, case: str) -> None:
    folder = evault.folder / "d"
    folder.mkdir()
    for number, name in enumerate(NAMES):
        path = Path(os.fsdecode(os.fsencode(folder) + b"/" + name))
        path.write_bytes(b"%d\n" % number)
    said = evault("ingest", case, "d")
    assert said.lines[0].startswith(f"{len(NAMES)} files, ")
    assert shows_nothing_raw(said.out)
    assert len(run("evidence", "list", "--json").json["items"]) == len(NAMES)
    evault("export", "-o", "case.zip", "--purpose", "p")
    assert shows_nothing_raw(evault("verify", "case.zip").out)
    evault.sound()


def test_a_link_cannot_write_to_the_terminal(evault: Evault, case: str) -> None:
    (evault.folder / "l\x1b[2J").symlink_to("to\x1b[31m\nEV-0001  forged")
    said = evault("ingest", ".")
    assert shows_nothing_raw(said.out)
    assert "link, not followed: work/l\\x1b[2J -> to\\x1b[31m\\nEV-0001  forged" in said.out


def test_content_cannot_write_to_the_terminal(evault: Evault, case: str) -> None:
    bad = "\\u001b[31mroot\\u202e\\nEV-9999"
    records = [
        {"eventVersion": "1.08", "eventTime": "2023-07-10T12:00:00Z", "eventName": "X",
         "eventSource": "s3.amazonaws.com", "awsRegion": "r", "userIdentity": {"arn": "ARN"}},
    ]  # fmt: skip
    import json

    evault.file(
        "t.json", json.dumps({"Records": records}).replace("ARN", bad).replace('"X"', f'"{bad}"')
    )
    evault.file(
        "run.json",
        (Path(__file__).parents[1] / "data" / "agentdojo" / "attacked.json")
        .read_text()
        .replace("send_email", bad),
    )
    for words in (("ingest", "t.json", "run.json"), ("evidence", "list"),
                  ("evidence", "show", "EV-0001"), ("evidence", "show", "EV-0002"),
                  ("checklist", "--explain"), ("custody",)):  # fmt: skip
        said = evault(*words)
        assert shows_nothing_raw(said.out), words
        assert not [line for line in said.lines if line.startswith("EV-9999")]


# -- special files ---------------------------------------------------------------------------------


@contextmanager
def special(folder: Path) -> Iterator[dict[str, str]]:
    """A folder with everything that is no file; name and what it is."""
    os.mkfifo(folder / "pipe")
    listening = socket.socket(socket.AF_UNIX)
    here = Path.cwd()
    os.chdir(folder)  # a socket's path is short
    try:
        listening.bind("socket")
    finally:
        os.chdir(here)
    try:
        yield {"pipe": "a named pipe", "socket": "a socket"}
    finally:
        listening.close()


@pytest.mark.timeout(20)
def test_special_files_are_never_opened_and_the_rest_is_sealed(evault: Evault, case: str) -> None:
    folder = evault.folder / "d"
    folder.mkdir()
    (folder / "file").write_text("x\n")
    with special(folder) as found:
        said = run("ingest", "d")
        assert said.code == 1
        for name, what in found.items():
            assert f"NOT KEPT: d/{name}: {what}" in said.out
    assert "2 files could not be kept; sealed as not captured. The rest is kept." in said.out
    assert "EV-0001  file  text" in said.out
    assert "captured  EV-0001; 2 not captured" in evault("custody").out
    evault.sound()


@pytest.mark.timeout(20)
@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null"])
def test_a_device_is_never_opened(evault: Evault, case: str, device: str) -> None:
    said = run("ingest", device)
    assert said.code == 1
    assert f"NOT KEPT: {device[5:]}: a character device" in said.out


def test_a_loop_of_links_is_recorded_and_not_walked(evault: Evault, case: str) -> None:
    folder = evault.folder / "d"
    folder.mkdir()
    (folder / "a").symlink_to("b")
    (folder / "b").symlink_to("a")
    (folder / "self").symlink_to("self")
    (folder / "up").symlink_to("..")
    (folder / "file").write_text("x\n")
    answer = run("ingest", "d", "--json").json
    assert [item["name"] for item in answer["items"]] == ["d/file"]
    assert answer["links"] == [
        {"name": "d/a", "target": "b"}, {"name": "d/b", "target": "a"},
        {"name": "d/self", "target": "self"}, {"name": "d/up", "target": ".."},
    ]  # fmt: skip
    evault("ingest", "d/self")
    evault.sound()


# -- what cannot be read ---------------------------------------------------------------------------


def test_an_unreadable_file_is_listed_and_the_rest_is_sealed(
    reachable: tuple[Evault, str],
) -> None:
    evault, case = reachable
    evault.file("d/open", "x\n")
    evault.file("d/shut", "y\n").chmod(0)
    shut = evault.folder / "d" / "shut-folder"
    shut.mkdir(mode=0)
    with unprivileged(evault.home.parent):
        said = run("ingest", "d")
        assert said.code == 1
        assert "EV-0001  open  text" in said.out
        assert "NOT KEPT: d/shut: Permission denied" in said.out
        assert "NOT KEPT: d/shut-folder: Permission denied" in said.out
        answer = evault.answer("ingest", "ingest", case, "d", code=1)
        assert [each["name"] for each in answer["not_kept"]] == ["d/shut", "d/shut-folder"]
        assert run("incident", "show", "--json").json["counts"]["not_captured"] == 4
        evault.sound()


def test_a_path_that_does_not_exist_seals_nothing_of_the_others(evault: Evault, case: str) -> None:
    evault.file("a")
    message = evault.refused("ingest", "a", "b")
    assert message == "evault: b: No such file or directory; nothing sealed\n"
    assert evault.link() == 0


def test_an_empty_file_is_evidence(evault: Evault, case: str) -> None:
    evault.file("empty", b"")
    said = evault("ingest", "empty")
    assert "1 file, 0 B, sealed" in said.lines[0]
    assert "EV-0001: empty, 0 bytes." in said.out
    assert evault("evidence", "get", "EV-0001", "--purpose", "look", "-o", "-").raw == b""
    evault("export", "-o", "case.zip", "--purpose", "p")
    evault("verify", "case.zip")


@pytest.mark.parametrize("start", [b"x", b'{"a":"', b'[{"a":"'])
def test_a_very_long_line_is_sealed(evault: Evault, case: str, start: bytes) -> None:
    path = evault.file("long.json", start + b"y" * (50 * MEBIBYTE))
    evault("ingest", path)
    item = run("evidence", "show", "EV-0001", "--json").json["items"][0]
    assert item["size"] == path.stat().st_size
    assert len(item["summary"]) < 300
    evault.sound()


def test_a_time_that_no_calendar_holds_is_no_obstacle(evault: Evault, case: str) -> None:
    path = evault.file("old")
    for moment in (-(2**36), 2**40):
        os.utime(path, (moment, moment))
        evault("ingest", path, "--again")
    evault.sound()


# -- what changes while it is read -----------------------------------------------------------------


@contextmanager
def meddling(evault: Evault, path: Path, meddle: Callable[[Path], None]) -> Iterator[None]:
    """Meddle with a file from the moment when its first bytes were copied, until the block ends."""
    done = threading.Event()
    temporary = evault.home / "store" / "tmp"

    def is_being_read() -> bool:
        with suppress(OSError):
            return any(each.stat().st_size for each in temporary.iterdir())
        return False

    def watch() -> None:
        while not done.is_set() and not is_being_read():
            time.sleep(0.0005)
        while not done.is_set():
            meddle(path)
            time.sleep(0.002)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@pytest.fixture
def moving(evault: Evault, case: str) -> Path:
    """A file that takes a while to read, beside one that does not change."""
    path = evault.file("d/moving", b"")
    with path.open("wb") as file:
        file.truncate(64 * MEBIBYTE)
    evault.file("d/still")
    return path


def test_a_file_that_grows_is_sealed_to_the_length_read_and_says_so(
    evault: Evault, moving: Path
) -> None:
    def grow(path: Path) -> None:
        with path.open("ab") as file:
            file.write(b"more")

    with meddling(evault, moving, grow):
        said = evault("ingest", "d")
    size = 64 * MEBIBYTE
    told = " ".join(said.out.split())
    remark = re.search(r"EV-0001: grew from ([\d,]+) to ([\d,]+) bytes while it was read;", told)
    assert remark, said.out
    assert f"sealed to the first {remark[1]}" in told
    item = run("evidence", "show", "EV-0001", "--json").json["items"][0]
    assert item["size"] == int(remark[1].replace(",", "")) == size
    assert len(item["remarks"]) == 1
    evault.sound()


def test_a_file_that_changes_within_is_refused(evault: Evault, moving: Path) -> None:
    count = iter(range(1_000_000))

    def change(path: Path) -> None:
        with path.open("r+b") as file:
            file.write(b"%08d" % next(count))

    with meddling(evault, moving, change):
        said = run("ingest", "d")
    assert said.code == 1
    assert "NOT KEPT: d/moving: changed while it was read" in said.out
    assert "EV-0001  still" in said.out
    assert not list((evault.home / "store" / "tmp").iterdir())
    evault.sound()


def test_a_file_that_is_cut_is_refused(evault: Evault, moving: Path) -> None:
    with meddling(evault, moving, lambda path: os.truncate(path, 10)):
        said = run("ingest", "d")
    assert said.code == 1
    assert "NOT KEPT: d/moving: became shorter while it was read" in said.out
    assert "EV-0001  still" in said.out
    evault.sound()


def test_a_file_that_is_replaced_by_a_pipe_does_not_hang(evault: Evault, moving: Path) -> None:
    """Between the survey and the reading: the first file read gives the moment."""
    later = evault.file("d/other", b"x")

    def replace(_: Path) -> None:
        if later.is_file():
            later.unlink()
            os.mkfifo(later)

    with meddling(evault, moving, replace):
        said = run("ingest", "d")
    assert said.code == 1
    assert "NOT KEPT: d/other: is no regular file any more" in said.out
    evault.sound()
