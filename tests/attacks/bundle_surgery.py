"""Surgery on real bundles: take one apart, change it, mend all that its changer can mend.

An outsider can mend a bag's checksums (`Bag.mend`). Someone with the vault's own keys can besides
sign every link, the log and the checkpoint anew (`History.seal`), so that nothing is wrong with a
bundle but the one thing that a test is about.
"""

from __future__ import annotations

import hashlib
import json
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)

from verify import note as notes
from verify.__main__ import audit_bundle
from verify.bundle import (
    CHECKPOINT,
    INCLUSION,
    format_bag_manifest,
    format_inclusion,
    link_path,
    parse_inclusion,
)
from verify.checkpoint import checkpoint_text, parse_checkpoint
from verify.digest import b64, sha256_hex
from verify.envelope import Envelope, ManifestKey, leaf_hash_of, pae, parse_envelope
from verify.merkle import TreeHead, multi_inclusion_hashes, root_of
from verify.note import VerifierKey
from verify.report import Report
from verify.statement import chain_subject
from verify.strictjson import dumps
from verify.trust import format_trust

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
CHAIN = "data/chain/"

Payload = dict[str, Any]


@dataclass
class Bag:
    """A bundle taken apart: its base folder, and every file below it."""

    base: str
    files: dict[str, bytes]

    @classmethod
    def of(cls, path: Path) -> Bag:
        """Read a bundle as any zip program would."""
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            base = names[0].split("/")[0] + "/"
            return cls(base, {name.removeprefix(base): archive.read(name) for name in names})

    def links(self) -> list[str]:
        """The paths of the chain's links, in order."""
        return sorted(path for path in self.files if path.startswith(CHAIN))

    def edit(self, path: str, old: bytes, new: bytes) -> Bag:
        """Replace bytes that are there exactly once."""
        assert self.files[path].count(old) == 1, (path, old, self.files[path].count(old))
        self.files[path] = self.files[path].replace(old, new)
        return self

    def flip(self, path: str, position: int) -> Bag:
        """Change one bit of a file."""
        data = bytearray(self.files[path])
        data[position] ^= 0x01
        self.files[path] = bytes(data)
        return self

    def swap(self, one: str, other: str) -> Bag:
        """Exchange the contents of two files."""
        self.files[one], self.files[other] = self.files[other], self.files[one]
        return self

    def move(self, old: str, new: str) -> Bag:
        """Rename a file."""
        self.files[new] = self.files.pop(old)
        return self

    def mend(self) -> Bag:
        """Make oxum, manifest and tag manifest fit the files, as whoever alters a bundle would."""
        payload = {path: data for path, data in self.files.items() if path.startswith("data/")}
        oxum = f"Payload-Oxum: {sum(map(len, payload.values()))}.{len(payload)}\n"
        info = self.files["bag-info.txt"].decode().splitlines(keepends=True)
        self.files["bag-info.txt"] = "".join(
            oxum if line.startswith("Payload-Oxum") else line for line in info
        ).encode()
        self.files["manifest-sha256.txt"] = format_bag_manifest(
            {path: sha256_hex(data) for path, data in payload.items()}
        )
        return self.mend_tags()

    def mend_tags(self) -> Bag:
        """Make the tag manifest fit the tag files."""
        self.files["tagmanifest-sha256.txt"] = format_bag_manifest(
            {
                path: sha256_hex(data)
                for path, data in self.files.items()
                if not path.startswith("data/") and path != "tagmanifest-sha256.txt"
            }
        )
        return self

    def write(self, path: Path, *, method: int = zipfile.ZIP_STORED) -> Path:
        """Zip it again, sorted."""
        with zipfile.ZipFile(path, "w", method) as archive:
            for name in sorted(self.files):
                archive.writestr(self.base + name, self.files[name])
        return path

    def unpack(self, folder: Path) -> Path:
        """Write it as a folder."""
        for name, data in self.files.items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        return folder


def failures(report: Report) -> list[tuple[str, str]]:
    """Step and subject of everything that failed."""
    return [(finding.step.value, finding.subject) for finding in report.failures()]


def detail(report: Report, step: str, subject: str) -> str:
    """What a report says of one failed subject."""
    (found,) = [
        finding.detail
        for finding in report.failures()
        if (finding.step.value, finding.subject) == (step, subject)
    ]
    return found


@dataclass(frozen=True)
class Keys:
    """A manifest key and a log key, with the log's name: all that a vault signs with."""

    manifest: ec.EllipticCurvePrivateKey
    log: ed25519.Ed25519PrivateKey
    origin: str

    @classmethod
    def of_home(cls, home: Path, origin: str) -> Keys:
        """A vault's own keys, in the hands of its owner or of a thief."""
        manifest, log = (
            serialization.load_pem_private_key((home / "keys" / name).read_bytes(), None)
            for name in ("manifest.pem", "log.pem")
        )
        assert isinstance(manifest, ec.EllipticCurvePrivateKey)
        assert isinstance(log, ed25519.Ed25519PrivateKey)
        return cls(manifest, log, origin)

    @classmethod
    def made_up(cls, origin: str) -> Keys:
        """Somebody else's keys, under any log name they like."""
        return cls(
            ec.generate_private_key(ec.SECP256R1()), ed25519.Ed25519PrivateKey.generate(), origin
        )

    @property
    def manifest_key(self) -> ManifestKey:
        """The public half of the manifest key."""
        return ManifestKey(spki_of(self.manifest))

    @property
    def log_key(self) -> VerifierKey:
        """The public half of the log key."""
        return VerifierKey(self.origin, self.log.public_key().public_bytes_raw())

    def trust(self) -> bytes:
        """A trust file that believes these keys."""
        return format_trust(log=self.log_key, manifest_keys=[self.manifest_key])

    def checkpoint(self, head: TreeHead) -> bytes:
        """A signed checkpoint."""
        public = self.log.public_key().public_bytes_raw()
        text = checkpoint_text(self.origin, head)
        return str(notes.sign(text, self.origin, public, self.log.sign)).encode()


def spki_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    """The DER SubjectPublicKeyInfo of a key."""
    return key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def sign_payload(payload: bytes, key: ec.EllipticCurvePrivateKey) -> Envelope:
    """A sound envelope over any payload."""
    signature = key.sign(pae(payload), ec.ECDSA(hashes.SHA256()))
    return Envelope(payload, ManifestKey(spki_of(key)).key_id, signature)


def malleated(link: bytes) -> bytes:
    """The same statement under the other valid signature, (r, n-s)."""
    envelope = parse_envelope(link, where="link")
    r, s = decode_dss_signature(envelope.signature)
    twin = encode_dss_signature(r, P256_ORDER - s)
    return Envelope(envelope.payload, envelope.key_id, twin).encode()


@dataclass
class History:
    """A bundle's chain opened for rewriting, together with the log that it stands in."""

    bag: Bag
    log: Sequence[bytes]
    """The leaf hashes of the whole log."""
    keys: Keys
    payloads: list[Payload] = field(default_factory=list)
    indices: list[int] = field(default_factory=list)
    size: int = 0
    signers: dict[int, ec.EllipticCurvePrivateKey] = field(default_factory=dict)
    """Links that somebody else signs."""

    def __post_init__(self) -> None:
        paths = self.bag.links()
        envelopes = [parse_envelope(self.bag.files[path], where=path) for path in paths]
        self.payloads = [json.loads(envelope.payload) for envelope in envelopes]
        self.size, self.indices, _ = parse_inclusion(self.bag.files[INCLUSION])
        self._old = [self.log[index].hex() for index in self.indices]

    def body(self, link: int) -> Payload:
        """The body of a link's statement, to be changed in place."""
        body: Payload = self.payloads[link]["predicate"]["body"]
        return body

    def predicate(self, link: int) -> Payload:
        """The predicate of a link's statement, to be changed in place."""
        predicate: Payload = self.payloads[link]["predicate"]
        return predicate

    def state(self, link: int, kind: str, body: Payload) -> None:
        """Make a link another statement, with the subjects that its body speaks of."""
        items = {item["exhibit"]: item for at in (2, 3) for item in self.body(at)["items"]}
        lists = [body.get(name) for name in ("exhibits", "compensating")]
        named = dict.fromkeys(each for names in lists if isinstance(names, list) for each in names)
        chain = chain_subject(self.predicate(0)["chain"]["id"])
        self.payloads[link]["predicateType"] = f"urn:evidence-vault:{kind}:v1"
        self.predicate(link)["body"] = json.loads(json.dumps(body))
        self.payloads[link]["subject"] = [
            {"digest": {"sha256": items[name]["sha256"]}, "name": name}
            for name in named
            if name in items
        ] or [{"digest": {"sha256": chain.sha256}, "name": chain.name}]

    def seal(
        self, bend: Mapping[int, Callable[[bytes], bytes]] | None = None, *, since: int = 0
    ) -> Bag:
        """Sign the links from `since` on, the log and the checkpoint anew, and mend the bag.

        `bend` changes the bytes of a link's payload after they were serialised and before they
        are signed. What names an earlier link by its leaf is made to name the new one.
        """
        renamed: dict[str, str] = {}
        leaves = [self.log[index] for index in self.indices[:since]]
        for link, each in enumerate(self.payloads[since:], since):
            payload = _renamed(each, renamed)
            payload["predicate"]["chain"]["previous"] = leaves[-1].hex() if leaves else None
            data = dumps(payload) if link not in (bend or {}) else b""
            if bend and link in bend:
                data = bend[link](dumps(payload))
            key = self.signers.get(link, self.keys.manifest)
            envelope = sign_payload(data, key)
            leaves.append(leaf_hash_of(envelope, spki_of(key)))
            if link < len(self._old):
                renamed[self._old[link]] = leaves[-1].hex()
            self.bag.files[link_path(link)] = envelope.encode()
        self.relog(leaves)
        return self.bag.mend()

    def relog(self, leaves: Sequence[bytes]) -> None:
        """Put these leaves at the chain's indices, and prove them under a new checkpoint."""
        tree = list(self.log[: self.size])
        for index, leaf in zip(self.indices, leaves, strict=True):
            tree[index] = leaf
        head = TreeHead(len(tree), root_of(tree))
        self.bag.files[CHECKPOINT] = self.keys.checkpoint(head)
        self.bag.files[INCLUSION] = inclusion_of(tree, self.indices)


def inclusion_of(tree: Sequence[bytes], indices: Sequence[int]) -> bytes:
    """`proof/inclusion.json` for some leaves of a tree."""
    proof = multi_inclusion_hashes(indices, len(tree), lambda start, end: root_of(tree[start:end]))
    return format_inclusion(
        size=len(tree), indices=list(indices), hashes=[b64(each) for each in proof]
    )


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    """A deep copy in which every old leaf hash is the new one."""
    if isinstance(value, dict):
        return {key: _renamed(each, names) for key, each in value.items()}
    if isinstance(value, list):
        return [_renamed(each, names) for each in value]
    return names.get(value, value) if isinstance(value, str) else value


@dataclass(frozen=True)
class Case:
    """One vault with one true story, and everything that was handed out of it.

    Links of the incident: 0 declared, 1 scoped, 2 capture EV-0001/2, 3 capture EV-0003/4, 4 phase,
    5 EV-0002 withdrawn, 6 assessment, 7 first export, 8 capture EV-0005, 9 assessment, 10 second
    export, which withholds EV-0002 and EV-0003. Another incident's links lie between in the log.
    """

    folder: Path
    incident: str
    other_incident: str
    keys: Keys
    log: tuple[bytes, ...]
    """The leaf hashes of the whole log."""

    @property
    def home(self) -> Path:
        """The vault's home."""
        return self.folder / "home"

    @property
    def trust(self) -> Path:
        """Its trust file, as handed over beforehand."""
        return self.home / "trust.json"

    @property
    def first(self) -> Path:
        """The first export: links 0-7."""
        return self.folder / "first.zip"

    @property
    def second(self) -> Path:
        """The second export: links 0-10, two exhibits withheld."""
        return self.folder / "second.zip"

    @property
    def other(self) -> Path:
        """An export of the other incident."""
        return self.folder / "other.zip"

    def given(self, name: str) -> Path:
        """A document that was handed out: a receipt, a checkpoint, a proof."""
        return self.folder / name

    def history(self, bag: Bag, keys: Keys | None = None) -> History:
        """A bag's chain, to be rewritten with the vault's own keys or with others."""
        return History(bag, self.log, keys or self.keys)

    def audit(self, path: Path, **options: Any) -> Report:
        """The audit of a bundle under the vault's trust file."""
        return audit_bundle(path, trust_file=self.trust, **options)


def checkpoint_of(path: Path) -> tuple[int, str]:
    """Size and root of the checkpoint in a bundle."""
    checkpoint = parse_checkpoint(Bag.of(path).files[CHECKPOINT])
    return checkpoint.head.size, checkpoint.head.root.hex()


def filler_leaf(number: int) -> bytes:
    """A leaf hash of nothing in particular."""
    return hashlib.sha256(b"leaf %d" % number).digest()


Surgery = Callable[[Bag], object]
"""Something done to a bag."""

# -- zip files, byte by byte ----------------------------------------------------------------------

LOCAL = struct.Struct("<4s5H3L2H")
CENTRAL = struct.Struct("<4s6H3L5H2L")
END = struct.Struct("<4s4H2LH")
END_64 = struct.Struct("<4sQ2H2L4Q")
LOCATOR_64 = struct.Struct("<4sLQL")


@dataclass
class Member:
    """One entry of a zip file, every field of both its headers free to be wrong.

    What is None is as it should be.
    """

    name: str | bytes
    data: bytes = b""
    method: int = zipfile.ZIP_STORED
    flags: int = 0
    attributes: int = 0o100644 << 16
    extra: bytes = b""
    comment: bytes = b""
    version: int = 20
    before: bytes = b""
    """Bytes that stand before the local header."""
    behind: bytes = b""
    """Bytes that stand behind the data, as a data descriptor does."""
    packed: bytes | None = None
    """The data as it lies in the file."""
    crc: int | None = None
    size: int | None = None
    packed_size: int | None = None
    local_name: bytes | None = None
    local_method: int | None = None
    local_flags: int | None = None
    local_crc: int | None = None
    local_size: int | None = None
    local_packed_size: int | None = None
    local_extra: bytes | None = None
    offset: int | None = None
    hidden: bool = False
    """Absent from the central directory."""

    def lie(self) -> bytes:
        """The bytes between the headers."""
        if self.packed is not None:
            return self.packed
        if self.method == zipfile.ZIP_DEFLATED:
            return deflated(self.data)
        return self.data

    def encoded(self) -> bytes:
        """The name's bytes."""
        return self.name if isinstance(self.name, bytes) else self.name.encode()

    def local(self) -> bytes:
        """The local header."""
        name = _given(self.local_name, self.encoded())
        extra = _given(self.local_extra, self.extra)
        return (
            LOCAL.pack(
                b"PK\x03\x04",
                self.version,
                _given(self.local_flags, self.flags),
                _given(self.local_method, self.method),
                0,
                0x5821,
                _given(self.local_crc, _given(self.crc, zlib.crc32(self.data))),
                _given(self.local_packed_size, _given(self.packed_size, len(self.lie()))),
                _given(self.local_size, _given(self.size, len(self.data))),
                len(name),
                len(extra),
            )
            + name
            + extra
        )

    def central(self, offset: int) -> bytes:
        """The header in the central directory."""
        name = self.encoded()
        return (
            CENTRAL.pack(
                b"PK\x01\x02",
                0x0300 | self.version,
                self.version,
                self.flags,
                self.method,
                0,
                0x5821,
                _given(self.crc, zlib.crc32(self.data)),
                _given(self.packed_size, len(self.lie())),
                _given(self.size, len(self.data)),
                len(name),
                len(self.extra),
                len(self.comment),
                0,
                0,
                self.attributes,
                _given(self.offset, offset),
            )
            + name
            + self.extra
            + self.comment
        )


@dataclass
class Zip:
    """A zip file, written by hand."""

    members: list[Member]
    prefix: bytes = b""
    before_directory: bytes = b""
    before_end: bytes = b""
    comment: bytes = b""
    trailer: bytes = b""
    count: int | None = None
    directory_size: int | None = None
    directory_offset: int | None = None

    @classmethod
    def of(cls, bag: Bag) -> Zip:
        """A bag as our own exporter zips it: stored and sorted."""
        return cls([Member(bag.base + path, bag.files[path]) for path in sorted(bag.files)])

    def member(self, ending: str) -> Member:
        """The one member whose name ends so."""
        (found,) = [each for each in self.members if each.encoded().endswith(ending.encode())]
        return found

    def encode(self) -> bytes:
        """The file's bytes."""
        out = bytearray(self.prefix)
        directory = bytearray()
        shown = 0
        for each in self.members:
            out += each.before
            if not each.hidden:
                directory += each.central(len(out))
                shown += 1
            out += each.local() + each.lie() + each.behind
        out += self.before_directory
        offset = len(out)
        out += directory + self.before_end
        count = _given(self.count, shown)
        out += END.pack(
            b"PK\x05\x06",
            0,
            0,
            count,
            count,
            _given(self.directory_size, len(directory)),
            _given(self.directory_offset, offset),
            len(self.comment),
        )
        return bytes(out + self.comment + self.trailer)

    def write(self, path: Path) -> Path:
        """Write the file."""
        path.write_bytes(self.encode())
        return path


def deflated(data: bytes) -> bytes:
    """A raw deflate stream."""
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


def zip64_extra(*values: int) -> bytes:
    """The ZIP64 extra field."""
    return struct.pack(f"<HH{len(values)}Q", 1, 8 * len(values), *values)


def unicode_path(header_name: bytes, shown_name: bytes) -> bytes:
    """The extra field by which Info-ZIP, 7-Zip and others replace the name in the header."""
    return struct.pack("<HHBL", 0x7075, 5 + len(shown_name), 1, zlib.crc32(header_name)) + (
        shown_name
    )


def _given(value: Any, usual: Any) -> Any:
    return usual if value is None else value
