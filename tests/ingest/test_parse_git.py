"""Git: every id computed anew and held against what Git computed; damage is never whole."""

from __future__ import annotations

import hashlib
import os
import subprocess
import zlib
from pathlib import Path

import pytest
from damage import check
from made_git import (
    BUNDLE,
    COMMIT,
    COMMIT_ID,
    OTHER,
    OTHER_ID,
    PACK,
    SAMPLES,
    TREE,
    TREE_ID,
    bundle,
    by_id,
    by_place,
    difference,
    entry,
    loose,
    object_id,
    pack,
    plain,
    varint,
)

from ingest.parsers import Confidence, git_packs
from ingest.parsers.git_objects import GitParser
from verify.facts import Activity, Config, Verdict

COMMITS = sorted(SAMPLES.glob("*.commit"))
LISTING = (SAMPLES / f"{COMMIT_ID}.ls-tree.txt").read_bytes()
AUTHOR = "renovate[bot] <29139614+renovate[bot]@users.noreply.github.com>"


# Raw objects.


@pytest.mark.parametrize("path", COMMITS, ids=lambda path: path.stem[:12])
def test_a_commit_is_the_one_that_its_name_says(path: Path) -> None:
    name, data = path.name, path.read_bytes()
    facts = check(data, name).facts
    identifier = name.removesuffix(".commit")
    assert hashlib.sha1(b"commit %d\0" % len(data) + data).hexdigest() == identifier
    assert Verdict("git object id", "passed", identifier) in facts.verdicts
    assert Verdict("commit signature, not checked", "inconclusive", identifier) in facts.verdicts
    assert facts.problems == ()


def test_both_times_of_a_commit_are_kept_as_written() -> None:
    reading = check(COMMIT, f"{COMMIT_ID}.commit")
    facts = reading.facts
    moment = "2026-07-21T12:22:11Z"
    assert facts.activities == (
        Activity("GitHub <noreply@github.com>", moment, moment, 1),
        Activity(AUTHOR, moment, moment, 1),
    )
    assert (facts.raw_first, facts.time_unit, facts.precision) == ("1784636531 +0200", "s", "s")
    assert facts.configs == (Config("commit", COMMIT_ID[:12], COMMIT_ID, TREE_ID),)
    assert reading.kinds == ("config_snapshot",)
    assert reading.summary == (
        f"commit {COMMIT_ID[:12]}, signed, written {moment}, committed {moment}"
    )
    rebased = COMMIT.replace(b"1784636531 +0200\ncommitter", b"1784000000 -0700\ncommitter")
    facts = check(rebased, "x").facts
    assert (facts.raw_first, facts.raw_last) == ("1784000000 -0700", "1784636531 +0200")
    times = {each.principal: each.first for each in facts.activities}
    assert times[AUTHOR] == "2026-07-14T03:33:20Z"
    assert times["GitHub <noreply@github.com>"] == moment


def test_who_wrote_and_committed_at_once_acted_once() -> None:
    text = b"tree " + TREE_ID.encode() + b"\nauthor A <a@b> 1 +0000\ncommitter A <a@b> 1 +0000\n\nx"
    facts = check(text).facts
    (activity,) = facts.activities
    assert (activity.principal, activity.count) == ("A <a@b>", 1)
    assert facts.verdicts == ()


def test_a_commit_that_was_changed_is_not_what_its_name_says() -> None:
    changed = COMMIT.replace(b"update actions", b"remove actions")
    facts = check(changed, f"{COMMIT_ID}.commit").facts
    assert Verdict("git object id", "failed", COMMIT_ID) in facts.verdicts
    assert facts.problems == (f"named {COMMIT_ID}, but its id is {object_id('commit', changed)}",)
    returns = check(COMMIT.replace(b"\n", b"\r\n"), f"{COMMIT_ID}.commit").facts
    assert returns.parser == "text"


def test_a_tree_is_the_one_of_its_commit() -> None:
    facts = check(TREE, f"{COMMIT_ID}.tree.bin").facts
    assert facts.configs == (Config("tree", TREE_ID[:12], None, TREE_ID),)
    assert COMMIT.startswith(f"tree {TREE_ID}\n".encode())
    assert check(TREE, f"{TREE_ID}.tree").facts.verdicts == (
        Verdict("git object id", "passed", TREE_ID),
    )
    assert check(TREE[:-1]).facts.parser == "binary"


def test_a_repository_with_sha_256_is_recognised_by_its_ids() -> None:
    tree = hashlib.sha256(b"tree 0\0").hexdigest()
    text = f"tree {tree}\nauthor A <a@b> 1 +0000\ncommitter A <a@b> 1 +0000\n\nx\n".encode()
    identifier = object_id("commit", text, "sha256")
    facts = check(text, identifier).facts
    assert facts.configs == (Config("commit", identifier[:12], identifier, tree),)
    assert facts.verdicts == (Verdict("git object id", "passed", identifier),)
    entries = b"100644 a\0" + bytes(32) + b"40000 b\0" + bytes(32)
    (config,) = check(entries).facts.configs
    assert config.digest == object_id("tree", entries, "sha256")


def test_a_tag_names_what_it_is_for() -> None:
    text = (
        f"object {COMMIT_ID}\ntype commit\ntag v1\ntagger A <a@b> 1784636531 +0200\n\nv1\n"
        "-----BEGIN PGP SIGNATURE-----\n"
    ).encode()
    facts = check(text).facts
    identifier = object_id("tag", text)
    assert facts.configs == (Config("tag", "v1", COMMIT_ID, identifier),)
    assert facts.verdicts == (Verdict("tag signature, not checked", "inconclusive", identifier),)


# Listings.


def test_the_tree_of_a_listing_is_built_anew() -> None:
    reading = check(LISTING, f"{COMMIT_ID}.ls-tree.txt")
    assert reading.facts.records == LISTING.count(b"\n") == 60
    assert reading.facts.configs == (Config("tree", "of all that is listed", None, TREE_ID),)
    assert reading.summary == f"60 files of the tree {TREE_ID[:12]}"
    shuffled = b"".join(sorted(LISTING.splitlines(keepends=True), reverse=True))
    assert check(shuffled).facts.configs == reading.facts.configs


def test_a_listing_that_is_not_whole_builds_no_tree() -> None:
    for data in (
        LISTING[:-1],
        LISTING + b"not an entry\n",
        LISTING + LISTING.splitlines(keepends=True)[0],
        LISTING.replace(b"100644 blob", b"040000 tree", 1),
    ):
        reading = check(data)
        assert reading.facts.configs == ()
        assert reading.summary.endswith("its tree cannot be built from this")


def test_quoted_paths_are_bytes() -> None:
    def tree_of(*names: bytes) -> str:
        content = b"".join(b"100644 %b\0%b" % (name, bytes(20)) for name in names)
        return object_id("tree", content)

    for quoted, name in (
        (b'"caf\\303\\251"', "café".encode()),
        (b'"a\\tb\\"c\\\\"', b'a\tb"c\\'),
        (b"plain name", b"plain name"),
        ("ü".encode(), "ü".encode()),
    ):
        line = b"100644 blob " + b"0" * 40 + b"\t" + quoted + b"\n"
        (config,) = check(line).facts.configs
        assert config.digest == tree_of(name)
    bad = b"100644 blob " + b"0" * 40 + b'\t"\\9"\n'
    assert check(bad).facts.bad_records == 1


def git(folder: Path, *words: str) -> bytes:
    names = {
        f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    }
    names |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    done = subprocess.run(
        ["git", "-C", str(folder), *words], env=os.environ | names, check=True, capture_output=True
    )
    return done.stdout


FILES = {
    "one": (b"a.txt",),
    "two": (b"a.txt", b"b.txt"),
    "folders": (b"a.b", b"a/x", b"a/y/z", b"a0", b"b/c/d/e"),
    "unusual": (b"line\nfeed", b"tab\there", b'"quoted"', b"caf\xc3\xa9", b"\xff\xfe", b"d\ne/f\r"),
    "posing": (b"x\n100644 blob " + b"0" * 40 + b"\ty", b'"a\\n"'),
    "many": tuple(b"%03d/%04d" % (number % 40, number) for number in range(3000)),
}


@pytest.mark.slow
@pytest.mark.parametrize("object_format", ["sha1", "sha256"])
@pytest.mark.parametrize("which", FILES)
def test_what_git_lists_builds_the_tree_that_git_made(
    tmp_path: Path, which: str, object_format: str
) -> None:
    git(tmp_path, "init", "-q", f"--object-format={object_format}")
    for name in FILES[which]:
        path = tmp_path / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name)
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "all")
    tree = git(tmp_path, "rev-parse", "HEAD^{tree}").decode().strip()
    number = len(FILES[which])
    files = "1 file" if number == 1 else f"{number:,} files"
    for words in (["-r"], ["-r", "-l"], ["-r", "-t", "-l"]):
        for end in ([], ["-z"]):
            listing = git(tmp_path, "ls-tree", *words, *end, "HEAD")
            assert GitParser().detect(listing[: 64 << 10], "") is Confidence.CERTAIN
            reading = check(listing, "repo@0123/tree")
            assert reading.summary == f"{files} of the tree {tree[:12]}", (words, end)
            assert reading.facts.configs == (Config("tree", "of all that is listed", None, tree),)
            assert reading.facts.problems == ()
            cut = check(listing[:-1])
            assert cut.facts.configs == ()
            assert "may be cut off" in " ".join(cut.facts.problems)


def test_a_folder_that_is_listed_with_another_id_is_told(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    for name in ("a/x", "a/y", "b"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "all")
    for end in (b"\n", b"\0"):
        listing = git(tmp_path, "ls-tree", "-r", "-t", *(["-z"] if end == b"\0" else []), "HEAD")
        left_out = b"".join(
            entry + end for entry in listing.split(end)[:-1] if not entry.endswith(b"a/y")
        )
        assert check(listing).facts.configs
        shallow = git(tmp_path, "ls-tree", *(["-z"] if end == b"\0" else []), "HEAD")
        for data, files in ((left_out, 2), (shallow, 1)):
            reading = check(data)
            assert reading.facts.configs == ()
            counted = "1 file" if files == 1 else f"{files} files"
            assert reading.summary == f"{counted}; its tree cannot be built from this"
            assert "1 folder whose id is not that of what is listed in it" in reading.facts.problems


def test_folders_sort_as_if_they_ended_in_a_slash() -> None:
    zeros, blank = bytes(20), b"0" * 40
    lines = b"".join(
        b"100644 blob " + blank + b"\t" + path + b"\n" for path in (b"a/x", b"a.b", b"a0")
    )
    inner = bytes.fromhex(object_id("tree", b"100644 x\0" + zeros))
    content = b"100644 a.b\0" + zeros + b"40000 a\0" + inner + b"100644 a0\0" + zeros
    (config,) = check(lines).facts.configs
    assert config.digest == object_id("tree", content)


# Loose objects.


@pytest.mark.parametrize(
    ("kind", "content", "identifier"),
    [
        ("commit", COMMIT, COMMIT_ID),
        ("tree", TREE, TREE_ID),
        ("blob", b"", "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"),
    ],
)
def test_a_loose_object_hashes_to_where_it_lies(kind: str, content: bytes, identifier: str) -> None:
    data = loose(kind, content)
    for name in (f".git/objects/{identifier[:2]}/{identifier[2:]}", identifier):
        facts = check(data, name).facts
        assert Verdict("git object id", "passed", identifier) in facts.verdicts
    facts = check(data, f"objects/00/{identifier[2:]}").facts
    if kind != "tree":
        assert Verdict("git object id", "failed", f"00{identifier[2:]}") in facts.verdicts


def test_a_loose_object_is_whole_or_bad() -> None:
    data = loose("blob", b"x" * 100_000)
    assert check(data[:-2]).facts.problems == ("1 bad record: cut off at the end of the file",)
    assert check(data + b"more").facts.problems == ("bytes behind the object",)
    for size, reason in ((99_999, "longer than it says"), (100_001, "shorter than it says")):
        lying = zlib.compress(b"blob %d\0" % size + b"x" * 100_000)
        assert check(lying).facts.problems == (f"1 bad record: {reason}",)
    broken = bytearray(data)
    broken[-1] ^= 1
    assert check(bytes(broken)).facts.problems == ("1 bad record: cannot be unpacked",)


def test_a_bomb_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(git_packs, "BUDGET", 1 << 20)
    bomb = loose("blob", bytes(8 << 20))
    assert check(bomb).facts.problems == (f"1 bad record: {git_packs.TOO_MUCH}",)
    bombs = pack(plain("blob", bytes(8 << 20)))
    assert check(bombs).facts.problems == (f"1 bad record: {git_packs.TOO_MUCH}",)
    # Small differences that build much: they stay without an id, the rest is read.
    base = bytes(600_000)
    growing = difference(base, 0xFFFF, b"")
    many = pack(plain("blob", base), *(by_id(object_id("blob", base), growing) for _ in range(50)))
    facts = check(many).facts
    assert (facts.records, facts.bad_records) == (51, 0)
    assert "built from others" in facts.problems[0]


# Packs and bundles.


def test_objects_of_a_pack_are_identified_also_where_they_are_differences() -> None:
    facts = check(PACK).facts
    changed = OTHER[:48] + b"changed\n"
    assert changed.startswith(b"tree a7be459601ced94be90a5eaa4c18369f614f9599\n")
    commits = {each.version: each.digest for each in facts.configs}
    assert commits == {
        COMMIT_ID: TREE_ID,
        OTHER_ID: "a7be459601ced94be90a5eaa4c18369f614f9599",
        object_id("commit", changed): "a7be459601ced94be90a5eaa4c18369f614f9599",
    }
    assert (facts.records, facts.bad_records, facts.problems) == (5, 0, ())
    assert Verdict("git pack checksum", "passed") in facts.verdicts


def test_a_pack_whose_checksum_is_wrong_is_told() -> None:
    broken = PACK[:-1] + bytes((PACK[-1] ^ 1,))
    facts = check(broken).facts
    assert Verdict("git pack checksum", "failed") in facts.verdicts
    assert facts.records == 5
    cut = check(PACK[:-5]).facts
    assert cut.problems == ("1 bad record: cut off at the end of the file",)
    assert not any(each.name == "git pack checksum" for each in cut.verdicts)


def test_a_pack_that_breaks_gives_what_was_before() -> None:
    first = len(plain("commit", COMMIT))
    broken = bytearray(PACK)
    broken[12 + first + 10] ^= 0xFF
    facts = check(bytes(broken)).facts
    assert (facts.records, facts.bad_records, facts.bad_offsets) == (1, 1, (12 + first,))
    assert facts.configs[0].version == COMMIT_ID


def test_differences_to_what_is_not_there_are_counted() -> None:
    thin = pack(plain("commit", COMMIT), by_id("0" * 40, difference(TREE, 5, b"x")))
    reading = check(thin)
    assert reading.facts.records == 2
    assert reading.facts.problems == (
        "1 object built from others that are not at hand: no id computed",
    )
    for delta in (
        b"",
        varint(9) + varint(1) + b"\x01x",
        varint(len(TREE)) + varint(3) + b"\x00",
        varint(len(TREE)) + varint(3) + b"\x91\xff",
        varint(len(TREE)) + varint(9) + b"\x05x",
    ):
        facts = check(pack(plain("tree", TREE), by_id(TREE_ID, delta))).facts
        assert "no id computed" in facts.problems[0]
    far = pack(plain("tree", TREE), by_place(9999, difference(TREE, 5, b"x")))
    assert "no id computed" in check(far).facts.problems[0]


def test_objects_are_as_long_as_they_say() -> None:
    lying = entry(1, len(COMMIT) + 1) + zlib.compress(COMMIT)
    assert check(pack(lying)).facts.problems[0] == "1 bad record: not as long as it says"
    for kind in (0, 5):
        reserved = entry(kind, 1) + zlib.compress(b"x")
        assert check(pack(reserved)).facts.problems[0] == "1 bad record: no type of an object"
    endless = bytes((0x90,)) + b"\xff" * 20
    assert check(pack(endless)).facts.problems[0] == "1 bad record: no size of an object"
    place = entry(6, 1) + b"\xff" * 20
    assert check(pack(place)).facts.problems[0] == "1 bad record: no place of an object"


def test_what_is_held_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, most in (("HELD_TOTAL", len(COMMIT) + 10), ("MOST_HELD", 2)):
        with monkeypatch.context() as limits:
            limits.setattr(git_packs, name, most)
            facts = check(PACK).facts
        assert facts.records == 5
        assert "built from others" in facts.problems[0]
    monkeypatch.setattr(git_packs, "HELD_TOTAL", len(COMMIT) + 10)
    facts = check(PACK).facts
    assert facts.problems == ("1 object built from others that are not at hand: no id computed",)
    assert (facts.records, facts.bad_records) == (5, 0)


def test_a_bundle_holds_what_its_refs_name() -> None:
    reading = check(BUNDLE)
    facts = reading.facts
    assert Config("commit", "refs/heads/main", COMMIT_ID) in facts.configs
    assert Config("commit", "HEAD", OTHER_ID) in facts.configs
    assert Verdict("git bundle holds what its refs name", "passed") in facts.verdicts
    assert Verdict("git pack checksum", "passed") in facts.verdicts
    assert reading.summary == "2 refs, 5 objects, 3 commits, 2 signed"
    assert reading.format_label == "Git bundle"
    lacking = bundle({"refs/heads/main": COMMIT_ID}, pack(plain("commit", OTHER)))
    assert Verdict("git bundle holds what its refs name", "failed") in check(lacking).facts.verdicts
    thin = bundle({"refs/heads/main": "1" * 40}, pack(plain("commit", OTHER)), needs=("2" * 40,))
    facts = check(thin).facts
    assert Verdict("git bundle holds what its refs name", "inconclusive") in facts.verdicts
    assert facts.problems == ("it builds on 1 commit that it does not hold",)


def test_a_bundle_says_how_its_ids_are_made() -> None:
    packed = pack(plain("blob", b"x"), algorithm="sha256")
    identifier = object_id("blob", b"x", "sha256")
    data = (
        b"# v3 git bundle\n@object-format=sha256\n" + identifier.encode() + b" refs/x\n\n" + packed
    )
    facts = check(data).facts
    assert facts.verdicts == (
        Verdict("git bundle holds what its refs name", "passed"),
        Verdict("git pack checksum", "passed"),
    )
    alone = check(packed)
    assert alone.facts.problems == ("a pack of a repository with SHA-256: ids are not computed",)
    assert alone.facts.verdicts == ()


def test_a_header_that_does_not_end_is_a_bad_record() -> None:
    assert check(BUNDLE[:40]).facts.bad_records == 1
    assert check(b"# v2 git bundle\n\nnothing").facts.problems[0].startswith("1 bad record")


def test_only_git_is_claimed() -> None:
    detect = GitParser().detect
    for data in (COMMIT, TREE, LISTING, PACK, BUNDLE, loose("blob", b"x")):
        assert detect(data[: 64 << 10], "x") is Confidence.CERTAIN
    for data in (
        b"",
        b"PACK",
        b"PACK\0\0\0\x07" + bytes(99),
        zlib.compress(b"hello"),
        b"tree of life\nauthor x\n",
        b"100644 a\0short",
        b"100644 blob zz\tx\n",
        b"# v9 git bundle\n",
    ):
        assert detect(data, "x.pack") is Confidence.NONE
