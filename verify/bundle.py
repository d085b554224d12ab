"""Bundles: a BagIt 1.0 bag, zipped or unpacked, read with limits and without trust.

Nothing here believes anything: it says which files there are, how long they claim to be, and what
their digests are. A bundle that two programs could read differently is refused: duplicate names,
names that differ only in case, local headers unlike central ones, gaps, overlaps, links.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import struct
import threading
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Protocol, cast

from verify.digest import READ_SIZE, digest_stream, sha256_hex
from verify.errors import MalformedError
from verify.statement import STREAM
from verify.strictjson import Fields, Object, dumps, loads

MAX_FILES = 1_000_000
MAX_DOCUMENT = 64 << 20
MAX_BAG_MANIFEST = 512 << 20
TAG_FILES = ("bag-info.txt", "bagit.txt", "manifest-sha256.txt", "tagmanifest-sha256.txt")
BAGIT = b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"
DATA = "data/"
CHAIN = "data/chain/"
EVIDENCE = "data/evidence/"
DESCRIPTIONS = "data/descriptions/"
CHECKPOINT = "data/proof/checkpoint"
INCLUSION = "data/proof/inclusion.json"
STREAMS = "data/streams/"
STREAM_INCLUSION = "data/proof/streams.json"
TRUST = "data/trust/trust.json"
PROFILE = "data/profile.json"
COMPLETENESS = "data/report/completeness.json"
VERIFY = "data/VERIFY.md"

_PATH = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*\Z")
_UNSAFE_IN_BASE = '\\:*?"<>|'
_MANIFEST_LINE = re.compile(r"([0-9a-f]{64})  (\S+)\Z")
_LOCAL = struct.Struct("<4s5H3L2H")
_END = struct.Struct("<4s4H2LH")
_END_OF_ZIP = b"PK\x05\x06"
_END_REACH = _END.size + 0xFFFF
"""How far before its end a zip's last record begins at most: a comment may follow it."""
_END_64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR_64 = struct.Struct("<4sLQL")
_ENCRYPTED = 0x2041
_STREAMED = 0x0008  # sizes and CRC follow the data instead of standing in the local header
_FLAGS = _STREAMED | 0x0806  # UTF-8 names, and how hard a deflater tried
_DESCRIPTORS = ("<LLL", "<4sLLL", "<LQQ", "<4sLQQ")  # without and with signature, 32 and 64 bits
_UNICODE_PATH = 0x7075  # an extra field with another name, which some programs show instead
_DOS_FOLDER = 0x10
_EMPTY_DEFLATED = b"\x03\x00"


class _Container(Protocol):
    """Where a bundle's files lie."""

    def sizes(self) -> dict[str, int]:
        """Every file and the size it claims."""

    def open(self, path: str) -> BinaryIO:
        """The bytes of a file."""

    def close(self) -> None:
        """Let go of it."""


class Bundle:
    """An opened bundle. `files` maps each path below the bag's base to its claimed size."""

    def __init__(self, container: _Container) -> None:
        self._container = container
        self._digests: dict[str, str] = {}
        self._lock = threading.Lock()
        names = container.sizes()
        base = _base_of(names)
        self._base = base
        self.files: Mapping[str, int] = {
            name.removeprefix(base): size for name, size in sorted(names.items())
        }

    def __enter__(self) -> Bundle:
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()

    def read(self, path: str, *, limit: int = MAX_DOCUMENT) -> bytes:
        """A whole document of at most `limit` bytes. Raises `MalformedError`."""
        size = self.files.get(path)
        if size is None:
            raise MalformedError(f"{path} is absent")
        if size > limit:
            raise MalformedError(f"{path}: {size:,} bytes; the limit is {limit:,}")
        with _readable(path), self._container.open(self._base + path) as file:
            data = file.read(size + 1)
        if len(data) != size:
            raise MalformedError(f"{path}: is not as long as it claims")
        with self._lock:
            self._digests.setdefault(path, sha256_hex(data))
        return data

    @contextmanager
    def opened(self, path: str) -> Iterator[BinaryIO]:
        """A file to be read in order; what is wrong with it raises `MalformedError`."""
        if path not in self.files:
            raise MalformedError(f"{path} is absent")
        with _readable(path), self._container.open(self._base + path) as file:
            yield file

    def digest(self, path: str) -> str:
        """SHA-256 of a file, computed once. Raises `MalformedError`."""
        known = self.known_digest(path)
        if known is not None:
            return known
        if path not in self.files:
            raise MalformedError(f"{path} is absent")
        with _readable(path), self._container.open(self._base + path) as file:
            found, size = digest_stream(file)
        if size != self.files[path]:
            raise MalformedError(f"{path}: is not as long as it claims")
        with self._lock:
            self._digests[path] = found
        return found

    def known_digest(self, path: str) -> str | None:
        """SHA-256 of a file that was read to its end already, else None."""
        with self._lock:
            return self._digests.get(path)

    def below(self, folder: str) -> Iterator[str]:
        """The paths below a folder, in order."""
        return (path for path in self.files if path.startswith(folder))


def open_bundle(path: Path) -> Bundle:
    """Open a zip or a folder. Raises `MalformedError`, or `OSError` if the path cannot be read."""
    container: _Container = _Folder(path) if path.is_dir() else _Zip(path)
    try:
        return Bundle(container)
    except BaseException:
        container.close()
        raise


def check_is_bundle(path: Path) -> None:
    """Raise `MalformedError` for a file that is something else, so that nothing of it is judged.

    A zip that was cut off or damaged begins or ends as one still, and is judged: it fails. So does
    an empty file, which may be all that is left of one.
    """
    if path.is_dir():
        return
    with path.open("rb") as file:
        begins = file.read(2)
        file.seek(max(file.seek(0, os.SEEK_END) - _END_REACH, 0))
        ends = _END_OF_ZIP in file.read()
    if not b"PK".startswith(begins) and not ends:
        raise MalformedError(f"{path.name} is no bundle: it is neither a zip nor a folder")


def link_path(sequence: int) -> str:
    """The path of a manifest."""
    return f"{CHAIN}{sequence:08d}.json"


def cited_path(chain: str, sequence: int) -> str:
    """The path of a stream's manifest that the bundle's chain cites."""
    return f"{STREAMS}{chain.removeprefix(STREAM)}/{sequence:08d}.json"


def parse_bag_manifest(data: bytes, *, where: str) -> dict[str, str]:
    """Read a BagIt manifest strictly: path to digest. Raises `MalformedError`."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedError(f"{where}: not UTF-8") from error
    if text and not text.endswith("\n"):
        raise MalformedError(f"{where}: the last line has no end")
    listed: dict[str, str] = {}
    for line in text.split("\n")[:-1]:
        match = _MANIFEST_LINE.match(line)
        if not match or match.group(2) in listed:
            raise MalformedError(f"{where}: a line is not '<sha256>  <path>', or repeats a path")
        listed[match.group(2)] = match.group(1)
    return listed


def read_bag_manifest(bundle: Bundle, name: str) -> dict[str, str]:
    """A bag manifest of an opened bundle. Raises `MalformedError`."""
    return parse_bag_manifest(bundle.read(name, limit=MAX_BAG_MANIFEST), where=name)


def format_bag_manifest(digests: Mapping[str, str]) -> bytes:
    """A BagIt manifest, sorted by path."""
    return "".join(f"{digests[path]}  {path}\n" for path in sorted(digests)).encode()


def bag_info(*, incident: str, day: str, payload: Iterable[int]) -> bytes:
    """The only `bag-info.txt` that a bundle may carry; `payload` gives the sizes below data/."""
    sizes = list(payload)
    return (
        f"Bagging-Date: {day}\n"
        f"External-Identifier: {incident}\n"
        f"Payload-Oxum: {sum(sizes)}.{len(sizes)}\n"
    ).encode()


def format_inclusion(*, size: int, indices: list[int], hashes: list[str]) -> bytes:
    """`proof/inclusion.json`: every link's log index, and one proof for all of them."""
    value: Object = {"hashes": hashes, "indices": indices, "size": size, "version": 1}
    return dumps(value)


def parse_inclusion(data: bytes, *, where: str = INCLUSION) -> tuple[int, list[int], list[str]]:
    """Read `proof/inclusion.json` strictly: size, indices, hashes. Raises `MalformedError`.

    `proof/streams.json` has the same form; its indices are those of the stream manifests that
    the chain cites, by stream and sequence.
    """
    reader = Fields(loads(data, where=where, limit=MAX_DOCUMENT), where)
    version, size = reader.count("version"), reader.count("size")
    indices = reader.entries("indices", limit=MAX_FILES)
    hashes = reader.texts("hashes", limit=MAX_FILES * 2)
    reader.done()
    if version != 1:
        raise MalformedError(f"{where}: unknown version {version}")
    if not all(isinstance(each, int) and not isinstance(each, bool) for each in indices):
        raise MalformedError(f"{where}: indices are whole numbers")
    if format_inclusion(size=size, indices=indices, hashes=hashes) != data:
        raise MalformedError(f"{where}: not in canonical form")
    return size, indices, hashes


def _base_of(names: Mapping[str, int]) -> str:
    """The bag's base folder: none, or one that holds everything."""
    if not names:
        raise MalformedError("the bundle is empty")
    if "bagit.txt" in names:
        base = ""
    else:
        base = next(iter(names)).split("/")[0] + "/"
        if f"{base}bagit.txt" not in names or not all(name.startswith(base) for name in names):
            raise MalformedError("this is not one BagIt bag: there is no bagit.txt at its base")
        if base in ("/", "./", "../") or not base.isprintable() or set(base) & set(_UNSAFE_IN_BASE):
            raise MalformedError(f"the bag's base folder has an unsafe name: {base[:120]!r}")
    folded: dict[str, str] = {}
    for name in names:
        path = name.removeprefix(base)
        if len(path) > 255 or not _PATH.match(path):
            raise MalformedError(f"the bundle holds a file with an unsafe name: {name[:120]!r}")
        if folded.setdefault(path.casefold(), path) != path:
            raise MalformedError(f"two files differ only in case: {path}")
    return base


class _Folder:
    """An unpacked bag."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def sizes(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for folder, folders, files in os.walk(self._root):
            for name in (*folders, *files):
                path = Path(folder) / name
                mode = path.lstat().st_mode
                if stat.S_ISLNK(mode) or not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                    raise MalformedError(f"{path} is a link or a special file")
            if not folders and not files and Path(folder) != self._root:
                raise MalformedError(f"the folder {folder} holds no file")
            for name in files:
                path = Path(folder) / name
                found[path.relative_to(self._root).as_posix()] = path.stat().st_size
            if len(found) > MAX_FILES:
                raise MalformedError(f"more than {MAX_FILES:,} files")
        return found

    def open(self, path: str) -> BinaryIO:
        return (self._root / path).open("rb")

    def close(self) -> None:
        pass


class _Zip:
    """A zipped bag, read through its central directory after that was held against the rest."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        try:
            self._entries = self._read_directory()
        except BaseException:
            self._file.close()
            raise

    def sizes(self) -> dict[str, int]:
        return {name: info.file_size for name, (info, _) in self._entries.items()}

    def open(self, path: str) -> BinaryIO:
        info, start = self._entries[path]
        if info.compress_type == zipfile.ZIP_STORED:
            return cast("BinaryIO", _Slice(self._file.fileno(), start, info.file_size))
        return cast("BinaryIO", self._zip.open(info))

    def close(self) -> None:
        self._file.close()

    def _read_directory(self) -> dict[str, tuple[zipfile.ZipInfo, int]]:
        try:
            self._zip = zipfile.ZipFile(self._file)
            infos = self._zip.infolist()
        except (
            zipfile.BadZipFile,
            NotImplementedError,
            UnicodeError,
            ValueError,
            OverflowError,
            struct.error,
            EOFError,
            OSError,
        ) as error:
            raise MalformedError(f"this is not an intact zip file: {error}") from error
        if len(infos) > MAX_FILES:
            raise MalformedError(f"the zip holds more than {MAX_FILES:,} files")
        self._check_end(len(infos))
        entries: dict[str, tuple[zipfile.ZipInfo, int]] = {}
        folders: list[str] = []
        position = 0
        for info in sorted(infos, key=lambda each: each.header_offset):
            start, end = self._check_entry(info, position)
            position = end
            if info.is_dir():
                folders.append(info.filename)
                continue
            if info.filename in entries:
                raise MalformedError(f"the zip holds {info.filename!r} twice")
            entries[info.filename] = (info, start)
        if self._zip.start_dir != position:
            raise MalformedError("the zip has bytes that belong to no file")
        _check_folders(folders, entries)
        return entries

    def _check_end(self, count: int) -> None:
        """The file ends with records that name this one directory, whichever a reader believes."""
        size = os.fstat(self._file.fileno()).st_size
        magic, *end, comment = _END.unpack(self._tail(size, _END.size))
        locator = self._tail(size - _END.size, _LOCATOR_64.size)
        is_64 = locator.startswith(b"PK\x06\x07")
        at = size - _END.size - (_LOCATOR_64.size + _END_64.size if is_64 else 0)
        true = [0, 0, count, count, at - self._zip.start_dir, self._zip.start_dir]
        elsewhere = [0xFFFF] * 4 + [0xFFFFFFFF] * 2  # in ZIP64: see the larger record
        sound = (magic, comment) == (_END_OF_ZIP, 0) and all(
            given == each or (is_64 and given == other)
            for given, each, other in zip(end, true, elsewhere, strict=True)
        )
        if is_64:
            magic, length, _, _, *end = _END_64.unpack(self._tail(at + _END_64.size, _END_64.size))
            sound = sound and (magic, length) == (b"PK\x06\x06", _END_64.size - 12)
            sound = sound and end == true and _LOCATOR_64.unpack(locator)[1:] == (0, at, 1)
        if not sound:
            raise MalformedError("the zip does not end as it should: comment, or other bytes")

    def _tail(self, end: int, length: int) -> bytes:
        """The `length` bytes before an offset, zeros where the file has none."""
        start = max(end - length, 0)
        return os.pread(self._file.fileno(), end - start, start).rjust(length, b"\0")

    def _check_entry(self, info: zipfile.ZipInfo, position: int) -> tuple[int, int]:
        """Hold the local header against the central one; return where the data starts and ends."""
        name = info.orig_filename
        if info.header_offset != position:
            raise MalformedError(f"the zip has overlapping or hidden bytes before {name!r}")
        _check_central(info)
        header = os.pread(self._file.fileno(), _LOCAL.size, info.header_offset)
        if len(header) != _LOCAL.size or header[:4] != b"PK\x03\x04":
            raise MalformedError(f"the zip has no local header for {name!r}")
        _, _, flags, method, _, _, crc, packed, size, name_size, extra_size = _LOCAL.unpack(header)
        offset = info.header_offset + _LOCAL.size
        tail = os.pread(self._file.fileno(), name_size + extra_size, offset)
        if (flags, method) != (info.flag_bits, info.compress_type):
            raise MalformedError(f"local and central header differ for {name!r}")
        encoding = "utf-8" if flags & 0x800 else "cp437"
        if tail[:name_size] != name.encode(encoding):
            raise MalformedError(f"local and central header differ for {name!r}")
        if _UNICODE_PATH in _extra_fields(tail[name_size:]):
            raise MalformedError(f"{name!r} bears two names")
        start = offset + name_size + extra_size
        end = start + info.compress_size
        given = (crc, *_zip64(tail[name_size:], packed, size))
        true = (info.CRC, info.compress_size, info.file_size)
        if flags & _STREAMED and all(map(_zero_or, given, true)):
            end += self._descriptor_size(info, end)
        elif given != true:
            raise MalformedError(f"local and central header differ for {name!r}")
        return start, end

    def _descriptor_size(self, info: zipfile.ZipInfo, at: int) -> int:
        """Where sizes follow the data they must be those of the directory (APPNOTE 4.3.9)."""
        found = os.pread(self._file.fileno(), 28, at)
        sizes = (info.CRC, info.compress_size, info.file_size)
        for form in _DESCRIPTORS:
            values = (b"PK\x07\x08", *sizes) if "s" in form else sizes
            with suppress(struct.error):  # sizes that do not fit 32 bits
                descriptor = struct.pack(form, *values)
                if found.startswith(descriptor) and found[len(descriptor) :].startswith(b"PK"):
                    return len(descriptor)
        raise MalformedError(f"the sizes behind {info.orig_filename!r} are not the directory's")


def _check_folders(folders: Iterable[str], files: Iterable[str]) -> None:
    """A folder of its own says something that nobody signed, or lies outside the bag."""
    filled: set[str] = set()
    for name in files if folders else ():
        filled.update(name[: at + 1] for at, char in enumerate(name) if char == "/")
    for name in folders:
        if name not in filled:
            raise MalformedError(f"the zip's folder {name!r} holds no file")


def _check_central(info: zipfile.ZipInfo) -> None:
    """What the directory says of an entry must mean one thing to every program."""
    name = info.orig_filename
    if info.filename != name or _UNICODE_PATH in _extra_fields(info.extra):
        raise MalformedError(f"{name!r} bears two names")
    if info.comment:
        raise MalformedError(f"{name!r} carries a comment")
    if info.flag_bits & _ENCRYPTED:
        raise MalformedError(f"{name!r} is encrypted")
    if info.flag_bits & ~_FLAGS or info.compress_type not in (
        zipfile.ZIP_STORED,
        zipfile.ZIP_DEFLATED,
    ):
        raise MalformedError(f"{name!r} is packed by a method that is not accepted")
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFDIR if info.is_dir() else stat.S_IFREG) or (
        info.external_attr & _DOS_FOLDER and not info.is_dir()
    ):
        raise MalformedError(f"{name!r} is neither file nor folder, but a link or something else")
    if info.is_dir() and (info.file_size or info.compress_size > len(_EMPTY_DEFLATED)):
        raise MalformedError(f"the zip has a folder with content: {name!r}")
    if info.compress_type == zipfile.ZIP_STORED and info.compress_size != info.file_size:
        raise MalformedError(f"{name!r} is stored, and claims two sizes")


def _zero_or(given: int, true: int) -> bool:
    return given in (0, true)


def _extra_fields(extra: bytes) -> set[int]:
    """The identifiers of an entry's extra fields (APPNOTE 4.5)."""
    found = set()
    while len(extra) >= 4:
        identifier, length = struct.unpack("<HH", extra[:4])
        found.add(identifier)
        extra = extra[4 + length :]
    return found


class _Slice:
    """A stored entry's bytes, read straight from the file so that threads do not share a place."""

    def __init__(self, descriptor: int, start: int, size: int) -> None:
        self._descriptor = descriptor
        self._position = start
        self._end = start + size

    def __enter__(self) -> _Slice:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def read(self, size: int = READ_SIZE) -> bytes:
        wanted = min(size, self._end - self._position)
        if wanted <= 0:
            return b""
        data = os.pread(self._descriptor, wanted, self._position)
        self._position += len(data)
        return data


def _zip64(extra: bytes, packed: int, size: int) -> tuple[int, int]:
    """Sizes of 0xFFFFFFFF stand in the ZIP64 extra field, size first (APPNOTE 4.5.3)."""
    if 0xFFFFFFFF not in (packed, size):
        return packed, size
    while len(extra) >= 4:
        identifier, length = struct.unpack("<HH", extra[:4])
        if identifier == 1 and length >= 16 and len(extra) >= 20:
            size, packed = struct.unpack("<QQ", extra[4:20])
            break
        extra = extra[4 + length :]
    return packed, size


@contextmanager
def _readable(path: str) -> Iterator[None]:
    """Turn what zip and file reading raise into one honest error."""
    try:
        yield
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        raise MalformedError(f"{path} cannot be read: {error}") from error


def hash_of(pieces: Iterable[bytes]) -> tuple[str, int]:
    """SHA-256 and size of a stream of pieces."""
    hasher, size = hashlib.sha256(), 0
    for piece in pieces:
        hasher.update(piece)
        size += len(piece)
    return hasher.hexdigest(), size
