"""Zip and tar read through: what lies in them, and every trap that an archive can be."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import time
import tracemalloc
import zipfile
import zlib

import pytest
from damage import check, read
from samples import DATA, MEMBERS, tarred, zipped

from ingest.parsers import BUILT_IN, agentdojo, archives, with_third_parties

RUN = MEMBERS["d/run.json"]
EVENTS = {
    path.name: path.read_bytes() for path in sorted((DATA / "cloudtrail").glob("218007301253*"))
}
PACKERS = {
    "zip": zipped,
    "stored": lambda members: zipped(members, zipfile.ZIP_STORED),
    "pax": tarred,
    "gnu": lambda members: tarred(members, tarfile.GNU_FORMAT),
    "ustar": lambda members: tarred(members, tarfile.USTAR_FORMAT),
}
each_packer = pytest.mark.parametrize("packer", PACKERS.values(), ids=PACKERS)


@each_packer
def test_members_are_read_as_they_would_be_alone(packer) -> None:  # type: ignore[no-untyped-def]
    alone = [read(data, name).facts for name, data in EVENTS.items()]
    inside = check(packer({**EVENTS, "README": b"words\n"}))
    assert inside.kinds == ("access_log",)
    assert inside.facts.records == sum(facts.records for facts in alone)
    assert inside.facts.first == min(facts.first or "" for facts in alone)
    assert inside.facts.last == max(facts.last or "" for facts in alone)
    assert set(inside.facts.principals) == {name for f in alone for name in f.principals}
    assert inside.summary == f"{len(EVENTS) + 1} members: {len(EVENTS)} CloudTrail, 1 text"


@each_packer
def test_long_names_and_gzip_in_archives_are_seen_through(packer) -> None:  # type: ignore[no-untyped-def]
    long = "/".join(["folder"] * 12) + "/é.json.gz" if packer is not PACKERS["ustar"] else "x.gz"
    inside = check(packer({long: gzip.compress(RUN)}))
    assert inside.facts.records == read(RUN).facts.records
    assert inside.kinds == read(RUN).kinds
    assert not inside.facts.problems


def test_a_zip_written_to_a_pipe_has_its_sizes_behind_its_members() -> None:
    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.data = b""

        def writable(self) -> bool:
            return True

        def write(self, data) -> int:  # type: ignore[no-untyped-def]
            self.data += bytes(data)
            return len(data)

    for wide in (False, True):
        pipe = Pipe()
        with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:  # type: ignore[arg-type]
            for name in ("a.json", "b.json"):
                with archive.open(name, "w", force_zip64=wide) as member:
                    member.write(RUN)
        inside = check(pipe.data)
        assert inside.facts.records == 2 * read(RUN).facts.records
        assert inside.facts.problems == ()


def test_an_empty_archive_and_one_of_folders_hold_nothing() -> None:
    for data in (zipped({}), zipped({"d/": b""})):
        inside = check(data)
        assert (inside.facts.parser, inside.facts.records, inside.facts.problems) == ("zip", 0, ())
        assert inside.kinds == ("other",)


# -- traps -----------------------------------------------------------------------------------------


def problems(data: bytes) -> tuple[str, ...]:
    started = time.monotonic()
    reading = check(data)
    assert time.monotonic() - started < 30
    return reading.facts.problems


def bomb(size: int) -> bytes:
    """A zip of one member of so many zeros, made without them in memory."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = bytes(1 << 20)
    packed = b"".join(packer.compress(block) for _ in range(size >> 20)) + packer.flush()
    crc = 0
    header = struct.pack("<HHHHHIIIHH", 20, 0, 8, 0, 0, crc, len(packed), size, 1, 0)
    return b"PK\x03\x04" + header + b"z" + packed


@pytest.mark.slow
def test_a_bomb_is_read_until_its_ratio_tells() -> None:
    data = bomb(300 << 20)
    tracemalloc.start()
    try:
        found = problems(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(found) == 1
    assert "times its size" in found[0]
    assert peak < 64 << 20


@pytest.mark.slow
def test_a_bomb_inside_another_or_in_gzip_tells_too() -> None:
    inner = bomb(100 << 20)
    for data in (
        zipped({"inner.zip": inner}),
        tarred({"inner.zip": inner}),
        zipped({"z.gz": gzip.compress(b"line\n" * (20 << 20))}),
        zipped({f"{number}.gz": gzip.compress(b"line\n" * (4 << 20)) for number in range(9)}),
    ):
        assert any("times its size" in each for each in problems(data))


def test_an_archive_that_holds_itself_over_and_over_is_read_to_a_depth() -> None:
    data = RUN
    for depth in range(1, 7):
        data = zipped({"x": data}) if depth % 2 else tarred({"x": data})
        inside = check(data)
        if depth <= archives.MOST_DEPTH:
            assert inside.facts.records == read(RUN).facts.records
            assert inside.facts.problems == ()
        else:
            assert inside.facts.records == 0
            [told] = inside.facts.problems
            assert told.endswith("an archive more than 3 deep, not read")


@pytest.mark.slow
def test_too_many_members_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    data = zipped({str(number): b"" for number in range(archives.MOST_MEMBERS + 5)})
    inside = check(data)
    assert inside.facts.problems == ("too many members; the rest was not read",)


@each_packer
def test_names_that_lead_out_are_told_and_lead_nowhere(packer) -> None:  # type: ignore[no-untyped-def]
    inside = check(packer({"../../etc/passwd": b"x\n", "/abs": b"x\n", "ok..txt": b"x\n"}))
    assert inside.facts.problems == ("2 names leading out of the archive: ../../etc/passwd",)
    assert inside.facts.records == 3


def test_encrypted_members_are_told_and_the_rest_is_read() -> None:
    data = bytearray(zipped({"secret": RUN, "run.json": RUN}))
    data[6] |= 1
    assert check(bytes(data)).facts.problems == ("secret: encrypted, not read",)
    assert check(bytes(data)).facts.records == read(RUN).facts.records
    data[6] |= 8
    data[18:26] = bytes(8)
    assert set(problems(bytes(data))) == {
        "secret: encrypted, not read",
        "what follows a member of unknown length was not read",
    }


def test_other_methods_are_told_and_the_rest_is_read() -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a", RUN, zipfile.ZIP_LZMA)
        archive.writestr("b", RUN, zipfile.ZIP_DEFLATED)
    inside = check(packed.getvalue())
    assert inside.facts.problems == ("a: packed by method 14, not read",)
    assert inside.facts.records == read(RUN).facts.records


@each_packer
def test_a_truncated_archive_says_so_once(packer) -> None:  # type: ignore[no-untyped-def]
    data = packer(EVENTS)
    for part in range(1, 20):
        inside = check(data[: len(data) * part // 20])
        if inside.facts.parser in ("zip", "tar"):
            told = [each for each in inside.facts.problems if "cut off" in each or "ends" in each]
            assert told


def test_a_directory_that_lists_other_members_is_told() -> None:
    data = zipped({"shown.txt": b"x\n"})
    where = data.rindex(b"shown.txt")
    assert problems(data[:where] + b"other.txt" + data[where + 9 :]) == (
        "its directory lists other members than it holds",
    )
    [twice] = problems(data.replace(b"shown.txt", b"shown.txt") + b"behind")
    assert twice == "other bytes follow its end; they were not read"


def test_bytes_that_are_not_those_that_were_packed_are_told() -> None:
    data = bytearray(zipped({"a.txt": b"some words\n"}, zipfile.ZIP_STORED))
    data[data.index(b"some")] ^= 1
    assert problems(bytes(data)) == ("a.txt: its bytes are not those that were packed",)


def test_one_problem_of_many_members_is_told_once() -> None:
    broken = RUN[: len(RUN) // 2]
    inside = check(zipped({f"{number}.json": broken for number in range(100)}))
    assert all(each.startswith("100 members, 0.json first: ") for each in inside.facts.problems)


def test_a_tar_with_a_lying_size_or_header_does_not_hang() -> None:
    data = bytearray(tarred({"a": b"x"}, tarfile.USTAR_FORMAT))
    data[124:136] = b"\x80" + b"\xff" * 11
    data[148:156] = b" " * 8
    data[148:156] = f"{sum(data[:512]):06o}\0 ".encode()
    assert problems(bytes(data)) == ("cut off",)
    data = bytearray(tarred({"é" * 300: b"x"}))
    data[124:136] = b"77777777777\0"
    data[148:156] = b" " * 8
    data[148:156] = f"{sum(data[:512]):06o}\0 ".encode()
    [told] = problems(bytes(data))
    assert told.startswith("a header of 8589934591 bytes")


def test_the_version_rises_with_that_of_any_parser_of_members() -> None:
    versions = {parser.name: parser.version for parser in BUILT_IN}
    inner = sum(version for name, version in versions.items() if name not in ("zip", "tar"))
    assert versions["zip"] == versions["tar"] == archives.VERSION + inner


def test_parsers_of_others_read_members_too() -> None:
    class Odd(agentdojo.AgentDojoParser):
        name = "odd"
        version = 7

    known = with_third_parties([Odd()])
    [zip_parser] = [parser for parser in known if parser.name == "zip"]
    assert zip_parser.version == 7 + next(p.version for p in BUILT_IN if p.name == "zip")


@pytest.mark.slow
def test_many_members_cost_no_memory() -> None:
    data = zipped({f"{number:04}.json": next(iter(EVENTS.values())) for number in range(600)})
    tracemalloc.start()
    try:
        inside = check(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert inside.facts.records == 600 * read(next(iter(EVENTS.values()))).facts.records
    assert peak < 16 << 20
