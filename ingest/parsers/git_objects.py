"""Git: commits, tags, trees, packs and bundles; every object id is computed anew from the bytes.

| form | what it is |
|---|---|
| loose | type, size, NUL and content under zlib, as in `.git/objects` |
| raw | the content of a commit, tag or tree alone, as `git cat-file` prints it |
| listing | `git ls-tree -r`, also with `-t`, `-l`, `-z`: its tree is built anew, its id computed |
| pack | many objects, some as differences to others; the checksum at its end is checked |
| bundle | a header of refs, then a pack |

- An id that a file's name or a bundle's ref states is a verdict: passed if it is the computed one.
- A commit has two times, by its author's clock and its committer's, both claims; both are kept, and
  neither is when it was pushed. Names are kept as written.
- A signature is there or not; it is not checked here (`inconclusive`).
- A raw file of a repository with SHA-256 is recognised by the length of the ids in it, a bundle by
  its header. A pack alone does not say; it is read as SHA-1 unless its checksum shows otherwise.

Objects that differ from one which is not in the pack, or no longer in memory, stay without an id;
they are counted.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from ingest.parsers.bounded import clip, counted
from ingest.parsers.gathering import Gathered
from ingest.parsers.git_packs import HELD, TOO_MUCH, Allowance, PackDamage, PackReader
from ingest.parsers.lines import LineReader
from ingest.parsers.parser import HEAD_SIZE, Confidence, Reading
from ingest.parsers.records import CHUNK_SIZE, CUT_OFF, ByteSource, Replayed, read_fully
from ingest.parsers.times import Time, read_time
from verify.facts import CAP, Config, Verdict

CONTENT_LIMIT = 16 << 20
"""The longest raw object that is read."""

HEADER_LIMIT = 4 << 20
"""The longest header of a bundle."""

MOST_ENTRIES = 100_000
"""How many entries a listing may have for its tree to be built."""

_HEX = rb"(?:[0-9a-f]{40}|[0-9a-f]{64})"
_RAW_COMMIT = re.compile(rb"tree (" + _HEX + rb")\n(?:parent " + _HEX + rb"\n)*author [^\n]+\n")
_RAW_TAG = re.compile(rb"object (" + _HEX + rb")\ntype [a-z]+\ntag [^\n]+\n")
_RAW_TREE = re.compile(rb"(?:40000|100(?:644|755|664)|120000|160000) [^/\0]{1,4096}\0", re.DOTALL)
_LOOSE = re.compile(rb"(commit|tree|blob|tag) (0|[1-9]\d{0,18})\0")
_LISTING = re.compile(
    r"(?P<mode>[0-7]{6}) (?P<kind>blob|commit|tree) (?P<id>[0-9a-f]{40}|[0-9a-f]{64})"
    r"(?:\s+(?P<size>\d+|-))?\t(?P<path>.+)",
    re.ASCII | re.DOTALL,
)
_ENTRY = re.compile(rb"[0-7]{6} (?:blob|commit|tree) " + _HEX)
_BUNDLE = re.compile(rb"# v([23]) git bundle\n")
_PACK = b"PACK"
_HEAD_LINE = re.compile(r"(-)?([0-9a-f]{40}|[0-9a-f]{64})(?: (.*))?", re.ASCII)
_PERSON = re.compile(rb"(.*?) (-?\d{1,19}) ([+-]\d{4})", re.DOTALL)
_NAMED = re.compile(r"(?<![0-9a-f])([0-9a-f]{64}|[0-9a-f]{40})(?![0-9a-f])", re.ASCII)
_OBJECT_FOLDER = re.compile(r"(?:^|/)([0-9a-f]{2})/([0-9a-f]{38}|[0-9a-f]{62})$", re.ASCII)
_ZLIB = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")
_HASHES = {40: "sha1", 64: "sha256"}


class GitParser:
    """Reads Git's objects in any of their forms."""

    name = "git"
    version = 2
    kinds = ("config_snapshot",)
    whole = True

    def detect(self, head: bytes, name: str) -> Confidence:
        """Certain where the first bytes are those of one of the forms."""
        del name
        return Confidence.NONE if _form(head) is None else Confidence.CERTAIN

    def read(self, stream: BinaryIO, name: str) -> Reading:
        """Read the objects."""
        head = read_fully(stream, HEAD_SIZE)
        source = Replayed(head, stream)
        form = _form(head) or "raw"
        seen = _Seen(name)
        if form == "listing":
            by_nul = _ends_in_nul(head)
            watched = _Watched(source)
            lines = (LineReader.ended_by_nul if by_nul else LineReader.verbatim)(watched)
            told = seen.take_listing(lines, watched, by_nul=by_nul)
            return Reading(seen.gathered.facts(self, damage=lines), self.kinds, "Git tree", told)
        damage = PackDamage()
        if form == "bundle":
            told = seen.take_bundle(source, damage)
        elif form == "pack":
            told = seen.take_pack(source, damage)
        elif form == "loose":
            told = seen.take_loose(source, damage)
        else:
            told = seen.take_raw(source, damage)
        label = "Git bundle" if form == "bundle" else "Git pack" if form == "pack" else "Git object"
        return Reading(seen.gathered.facts(self, damage=damage), self.kinds, label, told)


def _form(head: bytes) -> str | None:
    if _BUNDLE.match(head):
        return "bundle"
    if head.startswith(_PACK):
        return "pack" if head[4:8] in (b"\0\0\0\x02", b"\0\0\0\x03") else None
    if head.startswith(_ZLIB):
        return "loose" if _LOOSE.match(_inflated(head, 64)) else None
    if _RAW_COMMIT.match(head) or _RAW_TAG.match(head):
        return "raw"
    # An entry of `ls-tree -z` begins as one of a tree does, and is followed by no bare id.
    if _RAW_TREE.match(head) and any(_tree_entries(head, size) for size in (20, 32)):
        return "raw"
    end = b"\0" if _ends_in_nul(head) else b"\n"
    first = head[:4096].split(end, 1)[0].decode("utf-8", "replace").removesuffix("\r")
    return "listing" if _LISTING.fullmatch(first.removeprefix("\ufeff")) else None


def _ends_in_nul(head: bytes) -> bool:
    """Whether the entries of a listing end in NUL (`-z`), where a name may hold a line feed.

    Without `-z` Git writes no NUL: one that stands there is damage, and no entry follows it.
    """
    nul, line = head.find(b"\0"), head.find(b"\n")
    if nul < 0:
        return False
    return line < 0 or nul < line or nul + 1 == len(head) or bool(_ENTRY.match(head, nul + 1))


def _inflated(data: bytes, size: int) -> bytes:
    try:
        return zlib.decompressobj().decompress(data, size)
    except zlib.error:
        return b""


def _tree_entries(content: bytes, size: int) -> list[tuple[bytes, bytes, bytes]]:
    """The entries of a tree whose ids have so many bytes; none if it is no such tree.

    A last entry that is cut off is left out.
    """
    entries: list[tuple[bytes, bytes, bytes]] = []
    position = 0
    while position < len(content):
        end = content.find(b"\0", position)
        if end < 0 or end + 1 + size > len(content):
            return entries if entries and len(content) >= HEAD_SIZE else []
        mode, _, path = content[position:end].partition(b" ")
        if not path or not re.fullmatch(rb"[1-7][0-7]{4,5}", mode):
            return []
        entries.append((mode, path, content[end + 1 : end + 1 + size]))
        position = end + 1 + size
    return entries


@dataclass(slots=True)
class _Seen:
    """What the objects taken so far say."""

    name: str
    gathered: Gathered = field(default_factory=Gathered)
    told_of: frozenset[str] | None = None
    """Which commits the facts name; None for all."""
    commits: int = 0
    signed: int = 0

    def take_raw(self, stream: ByteSource, damage: PackDamage) -> str:
        """The content of one object."""
        content = read_fully(stream, CONTENT_LIMIT + 1)
        if len(content) > CONTENT_LIMIT:
            damage.note_bad(0, f"longer than {CONTENT_LIMIT >> 20} MiB")
            return "not read"
        kind = "commit" if _RAW_COMMIT.match(content) else "tag"
        named = self._named_id()
        if match := _RAW_COMMIT.match(content) or _RAW_TAG.match(content):
            algorithm = _HASHES[len(match[1])]
        else:
            kind = "tree"
            sizes = [size for size in (20, 32) if _tree_entries(content, size)]
            algorithm = "sha256" if sizes == [32] else "sha1"
            if not sizes:
                damage.note_bad(0, "cut off or damaged")
        identifier = _object_id(algorithm, kind, content)
        self._judge(kind, identifier, named)
        return self.take(kind, identifier, content)

    def take_loose(self, stream: ByteSource, damage: PackDamage) -> str:
        """An object as it lies in a repository: inflated, and hashed as it comes."""
        loose = _Loose(stream)
        try:
            loose.read()
        except zlib.error:
            damage.note_bad(0, "cannot be unpacked")
            return "damaged object"
        if loose.reason:
            damage.note_bad(0, loose.reason)
            return "damaged object"
        if loose.followed:
            self.gathered.problem("bytes behind the object")
        named = self._named_id()
        identifier = loose.identifiers[_HASHES[len(named)] if named else "sha1"]
        self._judge(loose.kind, identifier, named)
        return self.take(loose.kind, identifier, loose.content)

    def take_listing(self, lines: LineReader, watched: _Watched, *, by_nul: bool) -> str:
        """A listing of a tree with all that is below it."""
        tree, complete = _Folder(), True
        number = files = 0
        for offset, line in lines:
            entry = _LISTING.fullmatch(line)
            path = _path_of(entry, quoted=not by_nul) if entry else None
            if entry is None or path is None:
                lines.note_bad(offset, "not an entry of a tree")
                continue
            number += 1
            self.gathered.record()
            is_folder = entry["kind"] == "tree"
            files += not is_folder
            mode, own = entry["mode"].lstrip("0").encode(), bytes.fromhex(entry["id"])
            if number > MOST_ENTRIES:
                complete = False
            elif not tree.add(path.split(b"/"), None if is_folder else mode, own):
                complete = False
                self.gathered.count_problem("path", "that is listed twice, or names no file")
        self.gathered.add("not_captured", "times")
        if watched.last != (b"\0" if by_nul else b"\n"):
            last = "entry" if by_nul else "line"
            self.gathered.problem(f"the last {last} has no end: the listing may be cut off")
            complete = False
        if not complete or lines.bad or not number:
            return f"{counted(files, 'file')}; its tree cannot be built from this"
        identifier, unlike = tree.identifier(_HASHES[2 * tree.id_size])
        if unlike:
            what = "whose id is not that of what is listed in it"
            self.gathered.count_problem("folder", what, unlike)
            return f"{counted(files, 'file')}; its tree cannot be built from this"
        self.gathered.keep(Config("tree", "of all that is listed", None, identifier))
        return f"{counted(files, 'file')} of the tree {identifier[:12]}"

    def take_bundle(self, stream: ByteSource, damage: PackDamage) -> str:
        """The header of a bundle, and its pack."""
        header = _BundleHeader(stream)
        refs = header.read()
        for name, identifier in refs[:CAP]:
            self.gathered.keep(Config("commit", name, identifier))
        if header.needs:
            needed = counted(len(header.needs), "commit")
            self.gathered.problem(f"it builds on {needed} that it does not hold")
        if header.rest is None:
            damage.note_bad(0, "its header does not end")
            return f"{counted(len(refs), 'ref')}, no pack"
        absent = {identifier for _, identifier in refs}
        self.told_of = frozenset(absent)
        reader = PackReader(header.rest, damage, header.algorithm, alone=False)
        told = self._take_objects(reader, absent)
        unsure = reader.unresolved or damage.bad or header.needs
        result = "passed" if not absent else "inconclusive" if unsure else "failed"
        self.gathered.keep(Verdict("git bundle holds what its refs name", result))
        return f"{counted(len(refs), 'ref')}, {told}"

    def take_pack(self, stream: ByteSource, damage: PackDamage) -> str:
        """The objects of a pack."""
        reader = PackReader(stream, damage, "sha1", alone=True)
        told = self._take_objects(reader, set())
        if reader.is_sha256:
            self.gathered = Gathered()
            self.gathered.records = reader.objects
            self.gathered.problem("a pack of a repository with SHA-256: ids are not computed")
            return counted(reader.objects, "object")
        return told

    def _take_objects(self, reader: PackReader, absent: set[str]) -> str:
        """Take all objects; ids of those that come are taken from `absent`."""
        for kind, identifier, content in reader:
            absent.discard(identifier)
            self.take(kind, identifier, content, among_others=True)
        if reader.unresolved:
            what = "built from others that are not at hand: no id computed"
            self.gathered.count_problem("object", what, reader.unresolved)
        if reader.checksum is not None:
            result = "passed" if reader.checksum else "failed"
            self.gathered.keep(Verdict("git pack checksum", result))
        told = f"{counted(reader.objects, 'object')}, {counted(self.commits, 'commit')}"
        return f"{told}, {self.signed:,} signed" if self.commits else told

    def take(
        self, kind: str, identifier: str, content: bytes, *, among_others: bool = False
    ) -> str:
        """One object; a line about it. A difference to an unknown one is only counted."""
        self.gathered.record()
        if kind == "commit":
            return self._take_commit(identifier, content)
        if kind == "tag":
            self._person(content, b"tagger", None)
            self._signature("tag", identifier, b"-----BEGIN " in content)
            tag = _header(content, b"tag")
            self.gathered.keep(Config("tag", tag, _header(content, b"object"), identifier))
            return f"tag {tag}"
        if kind == "tree" and not among_others:
            self.gathered.keep(Config("tree", identifier[:12], None, identifier))
            entries = _tree_entries(content, len(identifier) // 2)
            return f"tree {identifier[:12]}, {counted(len(entries), 'name')}"
        return f"{kind} {identifier[:12]}"

    def _take_commit(self, identifier: str, content: bytes) -> str:
        self.commits += 1
        author = self._person(content, b"author", None)
        committer = self._person(content, b"committer", author)
        headers = content.partition(b"\n\n")[0]
        signed = b"\ngpgsig " in headers or b"\ngpgsig-sha256 " in headers
        self.signed += signed
        if self.told_of is None or identifier in self.told_of:
            tree = _header(content, b"tree")
            self.gathered.keep(Config("commit", identifier[:12], identifier, tree))
            self._signature("commit", identifier, signed)
        told = f"commit {identifier[:12]}, {'signed' if signed else 'not signed'}"
        for what, person in (("written", author), ("committed", committer)):
            if person is not None and person[1] is not None:
                told += f", {what} {person[1].text}"
        return told

    def _signature(self, kind: str, identifier: str, signed: bool) -> None:
        if signed:
            named = Verdict(f"{kind} signature, not checked", "inconclusive", identifier)
            self.gathered.keep(named)

    def _person(
        self, content: bytes, role: bytes, known: tuple[str, Time | None] | None
    ) -> tuple[str, Time | None] | None:
        """Who wrote or committed, and when by their own clock; who did both at once acted once."""
        match = _PERSON.fullmatch(_header_bytes(content, role))
        if match is None:
            return None
        time = read_time(int(match[2]), "s")
        if time is not None:
            time = time._replace(raw=f"{match[2].decode()} {match[3].decode()}")
            self.gathered.time(time)
        person = (match[1].decode("utf-8", "replace"), time)
        if person != known:
            self.gathered.activity(*person)
        return person

    def _named_id(self) -> str | None:
        """The id that the file's name states."""
        path = self.name.replace("\\", "/")
        if folder := _OBJECT_FOLDER.search(path):
            return folder[1] + folder[2]
        named = _NAMED.findall(path.rpartition("/")[2])
        return named[0] if len(named) == 1 else None

    def _judge(self, kind: str, identifier: str, named: str | None) -> None:
        if named is None:
            return
        same = named == identifier
        # A tree may lie under the id of the commit that it belongs to.
        if same or kind != "tree":
            result = "passed" if same else "failed"
            self.gathered.keep(Verdict("git object id", result, named))
        if not same and kind != "tree":
            self.gathered.problem(f"named {named}, but its id is {identifier}")


def _object_id(algorithm: str, kind: str, content: bytes) -> str:
    header = f"{kind} {len(content)}\0".encode()
    return hashlib.new(algorithm, header + content, usedforsecurity=False).hexdigest()


class _Loose:
    """A loose object: unpacked and hashed as it comes; kept if it is short and no blob."""

    def __init__(self, stream: ByteSource) -> None:
        self._stream = stream
        self._hashers = {
            name: hashlib.new(name, usedforsecurity=False) for name in _HASHES.values()
        }
        self.kind = ""
        self.content = b""
        self.reason: str | None = None
        self.followed = False

    @property
    def identifiers(self) -> dict[str, str]:
        """The id by each algorithm."""
        return {name: hasher.hexdigest() for name, hasher in self._hashers.items()}

    def read(self) -> None:
        """Read it to its end; `reason` says why it is none. Raises `zlib.error`."""
        inflater: Any = zlib.decompressobj()
        allowance = Allowance()
        start, total, size = b"", 0, -1
        while not inflater.eof and (data := read_fully(self._stream, CHUNK_SIZE)):
            allowance.read(len(data))
            while data and not inflater.eof:
                piece = inflater.decompress(data, CHUNK_SIZE)
                data = inflater.unconsumed_tail
                for hasher in self._hashers.values():
                    hasher.update(piece)
                if size < 0:
                    start += piece
                    match = _LOOSE.match(start)
                    if match is None:
                        continue
                    self.kind, size = match[1].decode(), int(match[2])
                    piece = start[match.end() :]
                total += len(piece)
                if self.kind != "blob" and total <= HELD:
                    self.content += piece
                if total > size or not allowance.spend(len(piece)):
                    self.reason = "longer than it says" if total > size else TOO_MUCH
                    return
        if not inflater.eof:
            self.reason = CUT_OFF
        elif total != size:
            self.reason = "shorter than it says"
        self.followed = bool(inflater.unused_data or self._stream.read(1))


def _header_bytes(content: bytes, name: bytes) -> bytes:
    headers = content.partition(b"\n\n")[0]
    match = re.search(rb"(?:\A|\n)" + name + rb" ([^\n]*)", headers)
    return match[1] if match else b""


def _header(content: bytes, name: bytes) -> str:
    return clip(_header_bytes(content, name).decode("utf-8", "replace"))


def _path_of(entry: re.Match[str], *, quoted: bool) -> bytes | None:
    """The path of an entry as bytes; None if the entry is none."""
    if (entry["kind"] == "tree") != (entry["mode"] == "040000"):
        return None
    path = entry["path"]
    return _unquoted(path) if quoted else path.encode("utf-8", "surrogateescape")


def _unquoted(path: str) -> bytes | None:
    """A path as bytes; Git quotes those with unusual characters as C does."""
    if not path.startswith('"'):
        return path.encode("utf-8", "surrogateescape")
    if not re.fullmatch(r'"(?:[^"\\]|\\[abtnvfr"\\]|\\[0-3][0-7]{2})*"', path, re.ASCII):
        return None
    plain = path[1:-1].encode("utf-8", "surrogateescape")
    letters = {ord(a): b for a, b in zip('abtnvfr"\\', b'\a\b\t\n\v\f\r"\\', strict=True)}
    return re.sub(
        rb'\\([0-3][0-7]{2}|[abtnvfr"\\])',
        lambda match: bytes([int(match[1], 8) if len(match[1]) == 3 else letters[match[1][0]]]),
        plain,
    )


class _Folder:
    """A tree that is built from the paths of a listing."""

    def __init__(self) -> None:
        self._files: dict[bytes, tuple[bytes, bytes]] = {}
        self._folders: dict[bytes, _Folder] = {}
        self._listed: bytes | None = None
        """The id that the listing gives for this tree itself (`-t`)."""
        self.id_size = 20

    def add(self, path: list[bytes], mode: bytes | None, identifier: bytes) -> bool:
        """Add a file, or a folder, which has no mode; False if it cannot be where it says."""
        folder = self
        self.id_size = len(identifier)
        for step in path[:-1] if mode else path:
            if not step or step in folder._files:
                return False
            folder = folder._folders.setdefault(step, _Folder())
        if mode is None:
            if folder._listed is not None:
                return False
            folder._listed = identifier
            return True
        name = path[-1]
        if not name or name in folder._files or name in folder._folders:
            return False
        folder._files[name] = (mode, identifier)
        return True

    def identifier(self, algorithm: str) -> tuple[str, int]:
        """The id of this tree, and how many of the folders in it are listed with another id."""
        # Deepest first, without recursion: paths may have thousands of steps.
        order: list[_Folder] = [self]
        for folder in order:
            order += folder._folders.values()
        hashes: dict[int, bytes] = {}
        unlike = 0
        for folder in reversed(order):
            # Git sorts folders as if their names ended in a slash.
            entries = [(name, mode, own) for name, (mode, own) in folder._files.items()]
            entries += [(name, b"40000", hashes[id(f)]) for name, f in folder._folders.items()]
            entries.sort(key=lambda each: each[0] + (b"/" if each[1] == b"40000" else b""))
            content = b"".join(b"%b %b\0%b" % (mode, name, own) for name, mode, own in entries)
            hashes[id(folder)] = bytes.fromhex(_object_id(algorithm, "tree", content))
            unlike += folder._listed not in (None, hashes[id(folder)])
        return hashes[id(self)].hex(), unlike


class _Watched:
    """A stream that remembers its last byte."""

    def __init__(self, stream: ByteSource) -> None:
        self._stream = stream
        self.last = b""

    def read(self, size: int, /) -> bytes:
        """What the stream gives."""
        data = self._stream.read(size)
        self.last = data[-1:] or self.last
        return data


class _BundleHeader:
    """The lines before a bundle's pack."""

    def __init__(self, stream: ByteSource) -> None:
        self._stream = stream
        self.algorithm = "sha1"
        self.needs: list[str] = []
        self.rest: ByteSource | None = None

    def read(self) -> list[tuple[str, str]]:
        """The refs, by name, with the ids they stand for."""
        data = b""
        while b"\n\n" not in data and len(data) < HEADER_LIMIT:
            more = read_fully(self._stream, max(HEAD_SIZE, len(data)))
            if not more:
                break
            data += more
        header, ended, rest = data.partition(b"\n\n")
        if ended:
            self.rest = Replayed(rest, self._stream)
        refs: list[tuple[str, str]] = []
        for line in header.decode("utf-8", "replace").split("\n")[1:]:
            if line.startswith("@object-format="):
                self.algorithm = "sha256" if line.endswith("=sha256") else "sha1"
            elif match := _HEAD_LINE.fullmatch(line):
                if match[1]:
                    self.needs.append(match[2])
                elif match[3]:
                    refs.append((match[3], match[2]))
        return refs


PARSERS = (GitParser(),)
