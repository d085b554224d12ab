"""Git's own containers, made in plain lines from real objects: loose objects, packs, bundles."""

from __future__ import annotations

import hashlib
import zlib
from pathlib import Path

SAMPLES = Path(__file__).parents[1] / "data" / "git-objects"
COMMIT_ID = "704d4d2e89c71a04f99ac34ee476f9df07c1dde3"
TREE_ID = "dc3328c49dd80101b0fc44a6816a4ad5ba12083f"
COMMIT = (SAMPLES / f"{COMMIT_ID}.commit").read_bytes()
TREE = (SAMPLES / f"{COMMIT_ID}.tree.bin").read_bytes()
OTHER_ID = "ac2c4b5d1f3a6079de62f9afec860158ecc8af09"
OTHER = (SAMPLES / f"{OTHER_ID}.commit").read_bytes()
KINDS = {"commit": 1, "tree": 2, "blob": 3, "tag": 4}


def object_id(kind: str, content: bytes, algorithm: str = "sha1") -> str:
    header = f"{kind} {len(content)}\0".encode()
    return hashlib.new(algorithm, header + content).hexdigest()


def loose(kind: str, content: bytes) -> bytes:
    return zlib.compress(f"{kind} {len(content)}\0".encode() + content)


def plain(kind: str, content: bytes) -> bytes:
    return entry(KINDS[kind], len(content)) + zlib.compress(content)


def entry(kind: int, size: int) -> bytes:
    """Type and size of a pack's entry."""
    byte, size = kind << 4 | size & 15, size >> 4
    out = bytearray()
    while size:
        out.append(byte | 0x80)
        byte, size = size & 0x7F, size >> 7
    out.append(byte)
    return bytes(out)


def varint(size: int) -> bytes:
    out = bytearray()
    while size > 0x7F:
        out.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes((*out, size))


def difference(base: bytes, head: int, added: bytes) -> bytes:
    """Instructions: the first `head` bytes of the base, then what is added."""
    copy = bytes((0x80 | 0x10 | 0x20, head & 0xFF, head >> 8))
    added_parts = [added[at : at + 127] for at in range(0, len(added), 127)]
    inserts = b"".join(bytes((len(part),)) + part for part in added_parts)
    return varint(len(base)) + varint(head + len(added)) + copy + inserts


def by_place(distance: int, delta: bytes) -> bytes:
    """An entry that differs from the one that stands so many bytes before it."""
    place = [distance & 0x7F]
    while distance := distance >> 7:
        distance -= 1
        place.append(distance & 0x7F | 0x80)
    return entry(6, len(delta)) + bytes(reversed(place)) + zlib.compress(delta)


def by_id(identifier: str, delta: bytes) -> bytes:
    """An entry that differs from the object with this id."""
    return entry(7, len(delta)) + bytes.fromhex(identifier) + zlib.compress(delta)


def pack(*entries: bytes, algorithm: str = "sha1") -> bytes:
    body = b"PACK" + (2).to_bytes(4, "big") + len(entries).to_bytes(4, "big") + b"".join(entries)
    return body + hashlib.new(algorithm, body).digest()


def bundle(refs: dict[str, str], packed: bytes, *, needs: tuple[str, ...] = ()) -> bytes:
    lines = [f"-{each} what it builds on\n" for each in needs]
    lines += [f"{identifier} {name}\n" for name, identifier in refs.items()]
    return b"# v2 git bundle\n" + "".join(lines).encode() + b"\n" + packed


PACK = pack(
    plain("commit", COMMIT),
    plain("tree", TREE),
    plain("commit", OTHER),
    by_place(len(plain("commit", OTHER)), difference(OTHER, 48, b"changed\n")),
    by_id(TREE_ID, difference(TREE, 0x200, TREE[0x200:])),
)
BUNDLE = bundle({"refs/heads/main": COMMIT_ID, "HEAD": OTHER_ID}, PACK)
