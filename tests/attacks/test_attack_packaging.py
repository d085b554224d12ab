"""The one who packs: bags and zips that two programs would read differently, or that swell."""

from __future__ import annotations

import os
import struct
import subprocess
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from attacks.bundle_surgery import (
    END_64,
    LOCATOR_64,
    Bag,
    Case,
    Member,
    Zip,
    deflated,
    detail,
    failures,
    unicode_path,
    zip64_extra,
)

from verify.bundle import CHECKPOINT, INCLUSION, link_path
from verify.digest import sha256_hex
from verify.errors import MalformedError
from verify.report import Verdict

ATTACKED = "data/evidence/EV-0001/attacked.json"
WHOLE = ("package", "")
FOLDER = 0o040755 << 16 | 0x10


@pytest.fixture
def packed(bag: Bag) -> Zip:
    return Zip.of(bag)


def refused(case: Case, packed: Zip, altered: Path, reason: str) -> None:
    report = case.audit(packed.write(altered))
    assert failures(report) == [WHOLE]
    assert reason in detail(report, "package", "")
    assert (report.verdict, report.exit_code) == (Verdict.FAILED, 1)


# -- the bag --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "data/VERIFY.md",
        "data/profile.json",
        "data/report/completeness.html",
        "data/report/completeness.json",
        "data/report/custody.csv",
        "data/report/custody.html",
        "data/report/custody.json",
        "data/report/timeline.csv",
        "data/report/timeline.html",
        "data/report/timeline.json",
        "data/trust/trust.json",
    ],
)
def test_an_edited_page_is_reported(case: Case, bag: Bag, altered: Path, path: str) -> None:
    for edited in (bag.files[path] + b"\n", bag.files[path][:-1] + b" ", b""):
        bag.files[path] = edited
        report = case.audit(bag.mend().write(altered))
        assert failures(report) == [("pages", path)]
        assert detail(report, "pages", path) == "is not what the export sealed"
        assert report.exit_code == 1
    del bag.files[path]
    report = case.audit(bag.mend().write(altered))
    assert failures(report) == [("pages", path)]
    assert detail(report, "pages", path) == "is absent"


def test_a_page_that_two_statements_bind_differently_is_reported(
    case: Case, bag: Bag, altered: Path
) -> None:
    """The export, signed anew, binds another completeness report than the assessment did."""
    report_path = "data/report/completeness.json"
    bag.files[report_path] = bag.files[report_path].replace(b'"missing"', b'"waived"')
    history = case.history(bag)
    for file in history.body(10)["files"]:
        if file["path"] == "report/completeness.json":
            data = bag.files[report_path]
            file |= {"sha256": sha256_hex(data), "size": len(data)}
    report = case.audit(history.seal(since=10).write(altered))
    assert failures(report) == [("pages", report_path)]
    assert detail(report, "pages", report_path) == "two statements name two different digests"


@pytest.mark.parametrize("path", ["fetch.txt", "README.txt", "manifest-md5.txt", "meta/x.xml"])
def test_an_extra_tag_file_is_reported(case: Case, bag: Bag, altered: Path, path: str) -> None:
    bag.files[path] = b"http://example.org/x 12 data/evidence/EV-0009/x\n"
    report = case.audit(bag.mend().write(altered))
    assert ("package", path) in failures(report)
    assert {finding.detail for finding in report.failures() if finding.subject == path} == {
        "does not belong in the bag",
        "is listed in tagmanifest-sha256.txt, and absent",
    }
    assert report.exit_code == 1


@pytest.mark.parametrize("path", ["bag-info.txt", "manifest-sha256.txt", "tagmanifest-sha256.txt"])
def test_a_missing_tag_file_is_reported(case: Case, bag: Bag, altered: Path, path: str) -> None:
    del bag.files[path]
    if path != "tagmanifest-sha256.txt":
        bag.mend_tags()
    report = case.audit(bag.write(altered))
    assert ("package", path) in failures(report)
    assert "is absent" in {finding.detail for finding in report.failures()}
    assert {finding.step.value for finding in report.failures()} == {"package"}


TAG_EDITS = [
    ("manifest-sha256.txt", lambda data: b"\xef\xbb\xbf" + data, "a line is not"),
    ("manifest-sha256.txt", lambda data: data.replace(b"\n", b"\r\n"), "a line is not"),
    ("manifest-sha256.txt", lambda data: data.replace(b"  data", b" *data"), "a line is not"),
    ("manifest-sha256.txt", lambda data: data.upper(), "a line is not"),
    ("manifest-sha256.txt", lambda data: data[:-1], "the last line has no end"),
    ("manifest-sha256.txt", lambda data: data + b"\n", "a line is not"),
    ("manifest-sha256.txt", lambda data: data + data.split(b"\n")[0] + b"\n", "repeats a path"),
    ("manifest-sha256.txt", lambda data: data + b"\xff\n", "not UTF-8"),
    ("manifest-sha256.txt", lambda _: b"", "is not listed in manifest-sha256.txt"),
    (
        "manifest-sha256.txt",
        lambda data: data + b"0" * 64 + b"  data/evidence/EV-0009/x\n",
        "is listed in manifest-sha256.txt, and absent",
    ),
    (
        "manifest-sha256.txt",
        lambda data: data.replace(data[:64], b"0" * 64, 1),
        "is not as manifest-sha256.txt lists it",
    ),
    ("bagit.txt", lambda data: data.replace(b"1.0", b"0.97"), "another version or encoding"),
    ("bagit.txt", lambda data: data.replace(b"UTF-8", b"UTF-16"), "another version or encoding"),
    ("bagit.txt", lambda data: b"\xef\xbb\xbf" + data, "another version or encoding"),
    ("bag-info.txt", lambda data: data + b"Contact-Name: Nobody\n", "does not describe this bag"),
    ("bag-info.txt", lambda data: data.replace(b"INC-", b"INX-"), "does not describe this bag"),
    ("bag-info.txt", lambda data: data.replace(b"Date: 2", b"Date: 1"), "does not describe"),
    ("bag-info.txt", lambda data: data.replace(b"Oxum: ", b"Oxum: 1"), "does not describe"),
    ("bag-info.txt", lambda data: data.replace(b"\n", b"\r\n"), "does not describe this bag"),
]


@pytest.mark.parametrize(("path", "change", "reason"), TAG_EDITS)
def test_an_edited_tag_file_is_reported_though_the_tag_manifest_fits(
    case: Case,
    bag: Bag,
    altered: Path,
    path: str,
    change: Callable[[bytes], bytes],
    reason: str,
) -> None:
    bag.files[path] = change(bag.files[path])
    report = case.audit(bag.mend_tags().write(altered))
    assert {finding.step.value for finding in report.failures()} == {"package"}
    assert any(reason in finding.detail for finding in report.failures())
    assert report.exit_code == 1


@pytest.mark.parametrize("path", ["bag-info.txt", "bagit.txt", "manifest-sha256.txt"])
def test_an_edited_tag_file_is_not_as_the_tag_manifest_lists_it(
    case: Case, bag: Bag, altered: Path, path: str
) -> None:
    report = case.audit(bag.flip(path, 3).write(altered))
    assert ("package", path) in failures(report)
    assert "is not as tagmanifest-sha256.txt lists it" in {
        finding.detail for finding in report.failures()
    }


def test_an_edited_tag_manifest_is_reported(case: Case, bag: Bag, altered: Path) -> None:
    report = case.audit(bag.flip("tagmanifest-sha256.txt", 3).write(altered))
    assert failures(report)
    assert {finding.step.value for finding in report.failures()} == {"package"}


# -- what must pass -------------------------------------------------------------------------------


def no_base(bag: Bag) -> Zip:
    bag.base = ""
    return Zip.of(bag)


def another_base(bag: Bag) -> Zip:
    bag.base = "INC-2026-0001 (copy 2)/"
    return Zip.of(bag)


def deflated_backwards(bag: Bag) -> Zip:
    packed = Zip.of(bag)
    packed.members.reverse()
    for each in packed.members:
        each.method = zipfile.ZIP_DEFLATED
    return packed


def with_folders(bag: Bag) -> Zip:
    packed = Zip.of(bag)
    folders = {
        name[: position + 1]
        for name in (str(each.name) for each in packed.members)
        for position, char in enumerate(name)
        if char == "/"
    }
    packed.members[:0] = [Member(name, attributes=FOLDER) for name in sorted(folders)]
    return packed


def streamed(bag: Bag, form: str, method: int) -> Zip:
    """Sizes follow the data, as programs write that cannot seek; four forms are in use."""
    packed = Zip.of(bag)
    for each in packed.members:
        each.method = method
        each.flags = 0x0008
        each.local_crc = each.local_packed_size = 0
        each.local_size = len(each.data) if "size known" in form else 0
        each.behind = (b"PK\x07\x08" if "signed" in form else b"") + struct.pack(
            "<LQQ" if "64" in form else "<LLL",
            zlib.crc32(each.data),
            len(each.lie()),
            len(each.data),
        )
    return packed


def timed(bag: Bag) -> Zip:
    """The extra fields that Info-ZIP writes: times and owner."""
    packed = Zip.of(bag)
    for each in packed.members:
        each.extra = b"UT\x05\x00\x03\x00\x00\x00\x60ux\x0b\x00\x01\x04\x00\x00\x00\x00\x04" + (
            bytes(4)
        )
        each.local_extra = b"UT\x09\x00\x03" + bytes(8)
    return packed


def with_utf8_flag(bag: Bag) -> Zip:
    packed = Zip.of(bag)
    for each in packed.members:
        each.flags = 0x0800
    return packed


REZIPPED = {
    "no base folder": no_base,
    "another base folder": another_base,
    "deflated, another order": deflated_backwards,
    "with directory entries": with_folders,
    "streamed": lambda bag: streamed(bag, "", zipfile.ZIP_DEFLATED),
    "streamed, signed": lambda bag: streamed(bag, "signed", zipfile.ZIP_DEFLATED),
    "streamed, 64 bits": lambda bag: streamed(bag, "64", zipfile.ZIP_DEFLATED),
    "streamed, signed, 64 bits": lambda bag: streamed(bag, "signed 64", zipfile.ZIP_DEFLATED),
    "streamed, size known": lambda bag: streamed(bag, "signed, size known", zipfile.ZIP_DEFLATED),
    "streamed, stored": lambda bag: streamed(bag, "signed", zipfile.ZIP_STORED),
    "with times and owners": timed,
    "with names said to be UTF-8": with_utf8_flag,
}


@pytest.mark.parametrize("form", REZIPPED)
def test_a_bag_zipped_again_passes(case: Case, bag: Bag, altered: Path, form: str) -> None:
    report = case.audit(REZIPPED[form](bag).write(altered))
    assert failures(report) == []
    assert (report.verdict, report.exhibits, report.links) == (Verdict.PASSED, 3, 11)


def test_a_bag_zipped_again_by_info_zip_passes(case: Case, bag: Bag, altered: Path) -> None:
    folder = bag.unpack(altered.parent / "unpacked" / "case")
    try:
        subprocess.run(["zip", "-q", "-r", altered, "case"], cwd=folder.parent, check=True)
    except FileNotFoundError:
        pytest.skip("there is no zip here")
    assert case.audit(altered).verdict == Verdict.PASSED


@pytest.mark.parametrize("base", ["", "INC/"])
def test_an_unpacked_bag_passes(case: Case, bag: Bag, tmp_path: Path, base: str) -> None:
    bag.unpack(tmp_path / "bag" / base)
    assert case.audit(tmp_path / "bag").verdict == Verdict.PASSED


def test_a_bag_with_its_manifests_in_another_order_passes(
    case: Case, bag: Bag, altered: Path
) -> None:
    """BagIt gives no order; the lines are the same."""
    lines = bag.files["manifest-sha256.txt"].splitlines(keepends=True)
    bag.files["manifest-sha256.txt"] = b"".join(reversed(lines))
    assert case.audit(bag.mend_tags().write(altered)).verdict == Verdict.PASSED


def zip64(packed: Zip) -> bytes:
    """The same file with ZIP64 end records, as a very large one has them."""
    data = packed.encode()
    end = data[-22:]
    count, size, offset = len(packed.members), *struct.unpack("<2L", end[12:20])
    start = len(data) - 22
    return (
        data[:start]
        + END_64.pack(b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, size, offset)
        + LOCATOR_64.pack(b"PK\x06\x07", 0, start, 1)
        + end[:8]
        + b"\xff" * 12
        + end[20:]
    )


def test_a_bag_with_zip64_end_records_passes(case: Case, packed: Zip, altered: Path) -> None:
    altered.write_bytes(zip64(packed))
    assert case.audit(altered).verdict == Verdict.PASSED


# -- zips that two programs would read differently ------------------------------------------------


def twice(packed: Zip) -> None:
    packed.members.append(Member(packed.members[5].name, b"another"))


def twice_the_same(packed: Zip) -> None:
    packed.members.append(Member(packed.members[5].name, packed.members[5].data))


def other_case(packed: Zip) -> None:
    name = str(packed.member("VERIFY.md").name)
    packed.members.append(Member(name.replace("VERIFY", "Verify"), b"another"))


def other_local_name(packed: Zip) -> None:
    member = packed.member("attacked.json")
    member.local_name = member.encoded().replace(b"attacked", b"acquittd")


def other_local_size(packed: Zip) -> None:
    packed.member("attacked.json").local_size = 5


def other_local_packed_size(packed: Zip) -> None:
    packed.member("attacked.json").local_packed_size = 5


def other_local_crc(packed: Zip) -> None:
    packed.member("attacked.json").local_crc = 5


def other_local_method(packed: Zip) -> None:
    packed.member("attacked.json").local_method = zipfile.ZIP_DEFLATED


def other_local_flags(packed: Zip) -> None:
    packed.member("attacked.json").local_flags = 0x0800


def central_name_in_utf8_local_name_not(packed: Zip) -> None:
    member = packed.member("attacked.json")
    member.name = member.encoded().replace(b"attacked", "\u6539\u3056\u3093".encode())
    member.flags, member.local_flags = 0x0800, 0


def name_that_is_no_utf8(packed: Zip) -> None:
    member = packed.member("attacked.json")
    member.name, member.flags = member.encoded().replace(b"attacked", b"\xff\xfe"), 0x0800


def name_cut_by_nul(packed: Zip) -> None:
    member = packed.member("attacked.json")
    member.name = member.encoded() + b"\x00.exe"


def name_for_other_programs(packed: Zip) -> None:
    """Info-ZIP and 7-Zip would exchange the two files; Python's zipfile would not."""
    one, other = packed.member("attacked.json"), packed.member("access.json")
    one.extra = unicode_path(one.encoded(), other.encoded())
    other.extra = unicode_path(other.encoded(), one.encoded())


def name_for_other_programs_in_the_local_header(packed: Zip) -> None:
    one = packed.member("attacked.json")
    one.local_extra = unicode_path(one.encoded(), b"INC/data/evidence/EV-0001/other.json")


def bytes_before(packed: Zip) -> None:
    packed.prefix = b"#!/bin/sh\n"


def program_before(packed: Zip) -> None:
    packed.prefix = b"MZ" + bytes(4_096)


def bytes_between(packed: Zip) -> None:
    packed.member("attacked.json").before = b"hidden"


def many_bytes_between(packed: Zip) -> None:
    packed.member("attacked.json").before = bytes(200)


def bytes_before_the_directory(packed: Zip) -> None:
    packed.before_directory = b"hidden"


def bytes_before_the_end(packed: Zip) -> None:
    packed.before_end = b"hidden"


def bytes_at_the_end(packed: Zip) -> None:
    packed.trailer = b"hidden"


def many_bytes_at_the_end(packed: Zip) -> None:
    packed.trailer = bytes(60_000)


def comment(packed: Zip) -> None:
    packed.comment = b"read me first"


def comment_on_a_file(packed: Zip) -> None:
    packed.member("attacked.json").comment = b"not authentic"


def hidden_file(packed: Zip) -> None:
    packed.members.insert(3, Member("INC/data/hidden", b"hidden", hidden=True))


def false_descriptor(packed: Zip) -> None:
    """A reader that streams would take the sizes behind the data."""
    member = packed.member("attacked.json")
    member.flags = 0x0008
    member.local_crc = member.local_size = member.local_packed_size = 0
    member.behind = b"PK\x07\x08" + struct.pack("<LLL", 1, 2, 3)


def false_local_size_beside_a_descriptor(packed: Zip) -> None:
    member = packed.member("attacked.json")
    member.flags, member.local_crc, member.local_packed_size, member.local_size = 0x0008, 0, 0, 5
    member.behind = b"PK\x07\x08" + struct.pack(
        "<LLL", zlib.crc32(member.data), len(member.data), len(member.data)
    )


def no_descriptor(packed: Zip) -> None:
    member = packed.member("attacked.json")
    member.flags = 0x0008
    member.local_crc = member.local_size = member.local_packed_size = 0


def descriptor_unannounced(packed: Zip) -> None:
    member = packed.member("attacked.json")
    member.behind = struct.pack(
        "<4sLLL", b"PK\x07\x08", zlib.crc32(member.data), len(member.data), len(member.data)
    )


def fewer_counted(packed: Zip) -> None:
    packed.count = 3


def directory_said_to_be_smaller(packed: Zip) -> None:
    packed.directory_size = 100


def directory_said_to_be_elsewhere(packed: Zip) -> None:
    packed.directory_offset = 100


def two_entries_one_place(packed: Zip) -> None:
    packed.members.append(Member("INC/data/again", packed.members[0].data, offset=0, hidden=False))


def overlapping(packed: Zip) -> None:
    packed.member("attacked.json").packed_size = len(packed.member("attacked.json").data) + 50
    packed.member("attacked.json").size = packed.member("attacked.json").packed_size


def encrypted(packed: Zip) -> None:
    packed.member("attacked.json").flags = 0x0001


def strongly_encrypted(packed: Zip) -> None:
    packed.member("attacked.json").flags = 0x0041


def masked(packed: Zip) -> None:
    packed.member("attacked.json").flags = 0x2000


def patched(packed: Zip) -> None:
    packed.member("attacked.json").flags = 0x0020


def bzipped(packed: Zip) -> None:
    packed.member("attacked.json").method = zipfile.ZIP_BZIP2


def shrunk(packed: Zip) -> None:
    packed.member("attacked.json").method = 1


def of_a_later_version(packed: Zip) -> None:
    packed.member("attacked.json").version = 200


def stored_with_two_sizes(packed: Zip) -> None:
    packed.member("attacked.json").size = 2**31


def symlink(packed: Zip) -> None:
    packed.member("attacked.json").attributes = 0o120777 << 16


def device(packed: Zip) -> None:
    packed.member("attacked.json").attributes = 0o060644 << 16


def pipe(packed: Zip) -> None:
    packed.member("attacked.json").attributes = 0o010644 << 16


def folder_to_some(packed: Zip) -> None:
    """7-Zip makes a folder of it, others a file."""
    packed.member("attacked.json").attributes = FOLDER


def folder_to_others(packed: Zip) -> None:
    packed.member("attacked.json").attributes = 0x10


def folder_with_content(packed: Zip) -> None:
    packed.members.append(Member("INC/data/evidence/", b"hidden", attributes=FOLDER))


def folder_with_packed_content(packed: Zip) -> None:
    packed.members.append(
        Member(
            "INC/data/evidence/",
            packed=b"hidden",
            method=zipfile.ZIP_DEFLATED,
            attributes=FOLDER,
        )
    )


def folder_outside(packed: Zip) -> None:
    packed.members.append(Member("../../somewhere/", attributes=FOLDER))


def folder_at_the_root(packed: Zip) -> None:
    packed.members.append(Member("/etc/evault/", attributes=FOLDER))


def folder_with_a_message(packed: Zip) -> None:
    base = packed.members[0].encoded().split(b"/")[0].decode()
    name = f"{base}/data/evidence/EV-0099-destroyed-by-the-defendant/"
    packed.members.append(Member(name, attributes=FOLDER))


def folder_named_as_a_file(packed: Zip) -> None:
    name = str(packed.member("VERIFY.md").name) + "/"
    packed.members.append(Member(name, attributes=FOLDER))


def renamed(change: Callable[[str], str]) -> Callable[[Zip], None]:
    def act(packed: Zip) -> None:
        for each in packed.members:
            each.name, each.flags = change(str(each.name)), 0x0800

    return act


def one_renamed(name: str) -> Callable[[Zip], None]:
    def act(packed: Zip) -> None:
        packed.member("attacked.json").name = name

    return act


def only(count: int) -> Callable[[Zip], None]:
    def act(packed: Zip) -> None:
        del packed.members[count:]

    return act


AMBIGUOUS: list[tuple[Callable[[Zip], None], str]] = [
    (twice, "twice"),
    (twice_the_same, "twice"),
    (other_case, "two files differ only in case"),
    (other_local_name, "local and central header differ"),
    (other_local_size, "local and central header differ"),
    (other_local_packed_size, "local and central header differ"),
    (other_local_crc, "local and central header differ"),
    (other_local_method, "local and central header differ"),
    (other_local_flags, "local and central header differ"),
    (central_name_in_utf8_local_name_not, "local and central header differ"),
    (name_that_is_no_utf8, "not an intact zip file"),
    (name_cut_by_nul, "two names"),
    (name_for_other_programs, "two names"),
    (name_for_other_programs_in_the_local_header, "two names"),
    (bytes_before, "bytes before"),
    (program_before, "bytes before"),
    (bytes_between, "bytes before"),
    (many_bytes_between, "bytes before"),
    (bytes_before_the_directory, "bytes that belong to no file"),
    (bytes_before_the_end, "not an intact zip file"),
    (bytes_at_the_end, "does not end as it should"),
    (many_bytes_at_the_end, "does not end as it should"),
    (comment, "comment"),
    (comment_on_a_file, "comment"),
    (hidden_file, "bytes before"),
    (false_descriptor, "sizes behind"),
    (false_local_size_beside_a_descriptor, "local and central header differ"),
    (no_descriptor, "sizes behind"),
    (descriptor_unannounced, "bytes before"),
    (fewer_counted, "does not end as it should"),
    (directory_said_to_be_smaller, "zip"),
    (directory_said_to_be_elsewhere, "does not end as it should"),
    (two_entries_one_place, "bytes before"),
    (overlapping, "bytes before"),
    (encrypted, "encrypted"),
    (strongly_encrypted, "encrypted"),
    (masked, "encrypted"),
    (patched, "not accepted"),
    (bzipped, "not accepted"),
    (shrunk, "not accepted"),
    (of_a_later_version, "not an intact zip file"),
    (stored_with_two_sizes, "claims two sizes"),
    (symlink, "neither file nor folder"),
    (device, "neither file nor folder"),
    (pipe, "neither file nor folder"),
    (folder_to_some, "neither file nor folder"),
    (folder_to_others, "neither file nor folder"),
    (folder_with_content, "folder with content"),
    (folder_with_packed_content, "folder with content"),
    (folder_outside, "holds no file"),
    (folder_at_the_root, "holds no file"),
    (folder_with_a_message, "holds no file"),
    (folder_named_as_a_file, "holds no file"),
    (renamed(lambda name: "../" + name.split("/", 1)[1]), "unsafe name"),
    (renamed(lambda name: "./" + name.split("/", 1)[1]), "unsafe name"),
    (renamed(lambda name: "/" + name.split("/", 1)[1]), "unsafe name"),
    (renamed(lambda name: "C:\\evidence/" + name.split("/", 1)[1]), "unsafe name"),
    (renamed(lambda name: "\u202egab/" + name.split("/", 1)[1]), "unsafe name"),
    (renamed(lambda name: name.replace("/", "\\")), "bagit.txt"),
    (renamed(lambda name: "a/" + name), "bagit.txt"),
    (one_renamed("INC/../../../../tmp/attacked.json"), "bagit.txt"),
    (one_renamed("/data/attacked.json"), "bagit.txt"),
    (only(0), "empty"),
    (only(1), "bagit.txt"),
]


@pytest.mark.parametrize(("change", "reason"), AMBIGUOUS)
def test_a_zip_that_two_programs_could_read_differently_is_refused(
    case: Case, packed: Zip, altered: Path, change: Callable[[Zip], None], reason: str
) -> None:
    change(packed)
    refused(case, packed, altered, reason)


@pytest.mark.parametrize(
    "name",
    [
        "data/evidence/EV-0001/../../../../x",
        "data//evidence/x",
        "data/./x",
        "data/.hidden",
        "data/evidence/EV-0001/a\\b",
        "data/evidence/EV-0001/a:b",
        "data/evidence/EV-0001/a b",
        "data/evidence/EV-0001/a\nb",
        "data/evidence/EV-0001/\u202excod.exe",
        "data/" + "x" * 300,
        "data/evidence/EV-0001/" + "\u0391.json",
    ],
)
def test_a_file_with_an_unsafe_name_is_refused(
    case: Case, bag: Bag, altered: Path, name: str
) -> None:
    packed = Zip.of(bag)
    packed.members.append(Member(bag.base + name, b"x", flags=0x0800))
    refused(case, packed, altered, "unsafe name")


def test_two_directories_for_two_programs_are_refused(
    case: Case, packed: Zip, altered: Path
) -> None:
    """One program believes the ZIP64 records, another the old one: each shows its own files."""
    data = zip64(packed)
    count = len(packed.members) - 1
    for at, value in ((-22 + 8, count), (-22 + 10, count)):
        data = data[: len(data) + at] + struct.pack("<H", value) + data[len(data) + at + 2 :]
    altered.write_bytes(data)
    report = case.audit(altered)
    assert failures(report) == [WHOLE]
    assert "does not end as it should" in detail(report, "package", "")
    offset = 40
    data = zip64(packed)
    altered.write_bytes(data[:-6] + struct.pack("<L", offset) + data[-2:])
    report = case.audit(altered)
    assert failures(report) == [WHOLE]
    assert "does not end as it should" in detail(report, "package", "")


# -- zips that swell ------------------------------------------------------------------------------

ABSURD = [2**33, 2**60, 2**63 - 1, 2**64 - 1]


def swollen(member: Member, size: int) -> None:
    """Claim a size, and lay a tripwire: whoever starts to unpack it meets no deflate stream."""
    member.method = zipfile.ZIP_DEFLATED
    member.packed = b"\xff" * 500
    member.size = 0xFFFFFFFF
    member.packed_size = 0xFFFFFFFF
    member.extra = zip64_extra(size, 500)


@pytest.mark.parametrize("size", ABSURD)
def test_an_exhibit_of_a_wrong_vast_size_is_not_unpacked(
    case: Case, bag: Bag, altered: Path, size: int
) -> None:
    packed = Zip.of(bag)
    swollen(packed.member("attacked.json"), size)
    report = case.audit(packed.write(altered))
    assert set(failures(report)) == {
        ("evidence", "EV-0001 attacked.json"),
        ("package", "bag-info.txt"),
    }
    assert detail(report, "evidence", "EV-0001 attacked.json") == (
        f"sealed with 7,789 bytes, found {size:,}"
    )
    assert "cannot be read" not in " ".join(finding.detail for finding in report.failures())


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("data/VERIFY.md", ("pages", "data/VERIFY.md")),
        ("data/report/custody.csv", ("pages", "data/report/custody.csv")),
        ("data/trust/trust.json", ("pages", "data/trust/trust.json")),
        ("data/descriptions/EV-0001.json", ("evidence", "EV-0001 description")),
        (link_path(4), ("signatures", "link 4")),
        (CHECKPOINT, ("log", "")),
        (INCLUSION, ("log", "")),
        ("bag-info.txt", ("package", "bag-info.txt")),
        ("bagit.txt", ("package", "bagit.txt")),
        ("manifest-sha256.txt", ("package", "manifest-sha256.txt")),
        ("tagmanifest-sha256.txt", ("package", "tagmanifest-sha256.txt")),
    ],
)
def test_no_file_of_a_vast_size_is_unpacked(
    case: Case, bag: Bag, altered: Path, path: str, expected: tuple[str, str]
) -> None:
    packed = Zip.of(bag)
    swollen(packed.member(f"/{path}"), 2**50)
    report = case.audit(packed.write(altered))
    assert expected in failures(report)
    assert "cannot be read" not in " ".join(finding.detail for finding in report.failures())
    assert report.exit_code == 1


def test_a_planted_file_of_a_vast_size_is_not_unpacked(case: Case, bag: Bag, altered: Path) -> None:
    packed = Zip.of(bag)
    bomb = Member(bag.base + "data/evidence/EV-0009/bomb")
    swollen(bomb, 2**50)
    packed.members.append(bomb)
    report = case.audit(packed.write(altered))
    assert ("package", "data/evidence/EV-0009/bomb") in failures(report)
    assert "cannot be read" not in " ".join(finding.detail for finding in report.failures())


def test_an_exhibit_that_swells_past_the_size_it_claims_is_cut_off(
    case: Case, bag: Bag, altered: Path
) -> None:
    """The claim is what was sealed; 64 MiB lie behind it, of which nothing is read on."""
    packed = Zip.of(bag)
    member = packed.member("attacked.json")
    member.method, member.packed = zipfile.ZIP_DEFLATED, deflated(bytes(64 << 20))
    report = case.audit(packed.write(altered))
    assert failures(report) == [("evidence", "EV-0001 attacked.json")]
    assert detail(report, "evidence", "EV-0001 attacked.json").startswith(
        "data/evidence/EV-0001/attacked.json cannot be read"
    )


def test_a_stored_file_cannot_claim_more_than_there_is(
    case: Case, packed: Zip, altered: Path
) -> None:
    member = packed.member("attacked.json")
    member.size = member.packed_size = 0xFFFFFFFF
    member.extra = zip64_extra(2**60, 2**60)
    refused(case, packed, altered, "bytes before")


@pytest.mark.parametrize("path", [link_path(4), "data/report/custody.html", ATTACKED, CHECKPOINT])
def test_a_damaged_deflate_stream_is_a_finding_not_an_error(
    case: Case, bag: Bag, altered: Path, path: str
) -> None:
    """Exit code 1 and the file's name, not 2: the evidence failed, the question was answered."""
    packed = Zip.of(bag)
    member = packed.member(path)
    member.method = zipfile.ZIP_DEFLATED
    stream = bytearray(deflated(member.data))
    stream[len(stream) // 2] ^= 0xFF
    member.packed = bytes(stream)
    report = case.audit(packed.write(altered))
    step, subject = {
        link_path(4): ("signatures", "link 4"),
        "data/report/custody.html": ("pages", "data/report/custody.html"),
        ATTACKED: ("evidence", "EV-0001 attacked.json"),
        CHECKPOINT: ("log", ""),
    }[path]
    assert (step, subject) in failures(report)
    assert detail(report, step, subject).startswith(f"{path} cannot be read")
    assert report.links == 11
    assert report.exit_code == 1


def test_a_million_links_are_counted_not_trusted(case: Case, bag: Bag, altered: Path) -> None:
    """A link numbered far out does not make the audit count up to it."""
    bag.files["data/chain/99999999.json"] = bag.files[link_path(10)]
    report = case.audit(bag.mend().write(altered))
    gaps = [f.subject for f in report.failures() if f.detail == "is absent"]
    assert gaps == ["link 11", "link 12", "link 13"]
    assert report.exit_code == 1


@pytest.mark.parametrize("path", ["data/profile.json", "data/descriptions/EV-0001.json", INCLUSION])
@pytest.mark.parametrize("filling", [b"[" * 100_000, b'{"a":' * 100_000, b"[" * 50 + b"]" * 50])
def test_deep_nesting_is_refused(
    case: Case, bag: Bag, altered: Path, path: str, filling: bytes
) -> None:
    bag.files[path] = filling
    report = case.audit(bag.mend().write(altered), checklist=True)
    expected = {
        "data/profile.json": ("pages", "data/profile.json"),
        "data/descriptions/EV-0001.json": ("evidence", "EV-0001 description"),
        INCLUSION: ("log", ""),
    }[path]
    assert expected in failures(report)
    assert report.exit_code == 1


# -- cut, empty, foreign --------------------------------------------------------------------------


@pytest.mark.parametrize("part", range(40))
def test_a_truncated_bundle_is_refused(case: Case, altered: Path, part: int) -> None:
    data = case.second.read_bytes()
    altered.write_bytes(data[: len(data) * part // 40])
    report = case.audit(altered)
    assert failures(report) == [WHOLE]
    assert "not an intact zip file" in detail(report, "package", "")
    assert report.exit_code == 1


@pytest.mark.parametrize("cut", [1, 2, 3, 21, 22, 23])
def test_a_bundle_short_of_its_last_bytes_is_refused(case: Case, altered: Path, cut: int) -> None:
    altered.write_bytes(case.second.read_bytes()[:-cut])
    assert failures(case.audit(altered)) == [WHOLE]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK",
        b"PK\x03\x04",
        b"PK\x05\x06" + bytes(18),
        b"PK\x05\x06" + b"\xff" * 16 + bytes(2),
        b"PK\x05\x06" + b"\xff" * 18,
        b"PK\x06\x06"
        + b"\xff" * 52
        + b"PK\x06\x07"
        + bytes(16)
        + b"PK\x05\x06"
        + b"\xff" * 16
        + bytes(2),
    ],
)
def test_what_is_no_bundle_is_refused(case: Case, altered: Path, data: bytes) -> None:
    altered.write_bytes(data)
    report = case.audit(altered)
    assert failures(report) == [WHOLE]
    assert report.exit_code == 1


@pytest.mark.parametrize("data", [b"%PDF-1.7", b"\x1f\x8b" + bytes(100), bytes(1_000), b"{}"])
def test_what_never_was_a_bundle_is_not_judged(case: Case, altered: Path, data: bytes) -> None:
    altered.write_bytes(data)
    with pytest.raises(MalformedError, match="is no bundle"):
        case.audit(altered)


def test_an_empty_folder_is_refused(case: Case, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    report = case.audit(tmp_path / "empty")
    assert failures(report) == [WHOLE]
    assert detail(report, "package", "") == "the bundle is empty"


def linked(folder: Path) -> None:
    (folder / ATTACKED).unlink()
    (folder / ATTACKED).symlink_to("../../../../elsewhere")


def folder_linked(folder: Path) -> None:
    (folder / "data/evidence/EV-0001").rename(folder / "data/elsewhere")
    (folder / "data/evidence/EV-0001").symlink_to(folder / "data/elsewhere")


def piped(folder: Path) -> None:
    (folder / ATTACKED).unlink()
    os.mkfifo(folder / ATTACKED)


@pytest.mark.parametrize("change", [linked, folder_linked, piped])
def test_a_link_or_special_file_in_a_folder_is_refused(
    case: Case, bag: Bag, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    folder = bag.unpack(tmp_path / "bag")
    change(folder)
    report = case.audit(folder)
    assert failures(report) == [WHOLE]
    assert "is a link or a special file" in detail(report, "package", "")


def test_an_empty_folder_in_an_unpacked_bag_is_refused(
    case: Case, bag: Bag, tmp_path: Path
) -> None:
    folder = bag.unpack(tmp_path / "bag")
    (folder / "data/evidence/EV-0099-destroyed-by-the-defendant").mkdir()
    report = case.audit(folder)
    assert failures(report) == [WHOLE]
    assert "holds no file" in detail(report, "package", "")


def test_a_stray_file_in_an_unpacked_bag_is_reported(case: Case, bag: Bag, tmp_path: Path) -> None:
    folder = bag.unpack(tmp_path / "bag")
    (folder / "notes.txt").write_text("mine")
    assert failures(case.audit(folder)) == [("package", "notes.txt")]
