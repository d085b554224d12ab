"""RFC 6962 hash trees: hashing, proofs, and one proof for many leaves. No I/O.

Sizes and indices are leaf counts and leaf positions. Hashes are 32 raw bytes; every function
refuses others, because an empty root would otherwise pass as the hash of an empty leaf's tree.
"""

from __future__ import annotations

import hashlib
import itertools
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from verify.errors import MalformedError, ProofError

HASH_SIZE = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()

RangeHash = Callable[[int, int], bytes]
"""Gives the root of the leaves [start, end)."""


@dataclass(frozen=True, slots=True)
class TreeHead:
    """The size of a tree and its root."""

    size: int
    root: bytes

    def __post_init__(self) -> None:
        if len(self.root) != HASH_SIZE:
            raise MalformedError("a tree root is 32 bytes")
        if self.size < 0 or (self.size == 0 and self.root != EMPTY_ROOT):
            raise MalformedError("an empty tree has the root SHA-256 of nothing")


EMPTY_HEAD = TreeHead(0, EMPTY_ROOT)


def leaf_hash(leaf: bytes) -> bytes:
    """RFC 6962 §2.1: 0x00 keeps a leaf from posing as a node."""
    return hashlib.sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """RFC 6962 §2.1: 0x01 keeps a node from posing as a leaf."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def split(size: int) -> int:
    """The largest power of two smaller than `size` (RFC 6962 §2.1); `size` is at least 2."""
    return 1 << ((size - 1).bit_length() - 1)


def root_of(hashes: Sequence[bytes]) -> bytes:
    """The root of a tree given its leaf hashes."""
    if not hashes:
        return EMPTY_ROOT
    _check_hashes(hashes)
    level = list(hashes)
    while len(level) > 1:
        # What has no sibling goes up as it is, so that the left subtrees are full ones.
        alone = level[len(level) & ~1 :]
        level = [node_hash(*pair) for pair in zip(level[::2], level[1::2], strict=False)] + alone
    return level[0]


class Frontier:
    """The right edge of a growing tree: append leaf hashes, ask for the root at any size."""

    def __init__(self) -> None:
        self.size = 0
        self._stack: list[bytes] = []  # roots of full subtrees, largest first

    def append(self, leaf: bytes) -> None:
        """Add one leaf hash at the right."""
        _check_hashes([leaf])
        size = self.size
        while size & 1:
            leaf = node_hash(self._stack.pop(), leaf)
            size >>= 1
        self._stack.append(leaf)
        self.size += 1

    def root(self) -> bytes:
        """The root of all leaves so far."""
        if not self._stack:
            return EMPTY_ROOT
        result = self._stack[-1]
        for subtree in reversed(self._stack[:-1]):
            result = node_hash(subtree, result)
        return result

    def head(self) -> TreeHead:
        """Size and root so far."""
        return TreeHead(self.size, self.root())


def inclusion_path(index: int, size: int, range_hash: RangeHash) -> list[bytes]:
    """The audit path of a leaf (RFC 6962 §2.1.1), leaf's sibling first."""
    if not 0 <= index < size:
        raise ProofError(f"index {index} is not in a tree of {size}")
    path: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + split(end - start)
        if index < middle:
            path.append(range_hash(middle, end))
            end = middle
        else:
            path.append(range_hash(start, middle))
            start = middle
    return path[::-1]


def check_inclusion(path: Sequence[bytes], *, leaf: bytes, index: int, head: TreeHead) -> None:
    """RFC 9162 §2.1.3.2. Raises `ProofError` unless leaf hash `leaf` is at `index` under `head`."""
    _check_hashes([*path, leaf])
    if not 0 <= index < head.size:
        raise ProofError(f"index {index} is not in a tree of {head.size}")
    fn, sn, result = index, head.size - 1, leaf
    for sibling in path:
        if sn == 0:
            raise ProofError("inclusion proof is too long")
        if fn & 1 or fn == sn:
            result = node_hash(sibling, result)
            while fn and not fn & 1:
                fn >>= 1
                sn >>= 1
        else:
            result = node_hash(result, sibling)
        fn >>= 1
        sn >>= 1
    if sn != 0 or result != head.root:
        raise ProofError(f"inclusion proof of leaf {index} does not lead to the root")


def consistency_path(older: int, newer: int, range_hash: RangeHash) -> list[bytes]:
    """Proof that the tree of `older` leaves is a prefix of that of `newer` (RFC 6962 §2.1.2)."""
    if not 0 < older <= newer:
        raise ProofError(f"no consistency proof from {older} to {newer}")
    path: list[bytes] = []
    start, end, whole = 0, newer, True
    while older != end:
        middle = start + split(end - start)
        if older <= middle:
            path.append(range_hash(middle, end))
            end = middle
        else:
            path.append(range_hash(start, middle))
            start = middle
            whole = False
    if not whole:
        path.append(range_hash(start, end))
    return path[::-1]


def check_consistency(path: Sequence[bytes], *, older: TreeHead, newer: TreeHead) -> None:
    """RFC 9162 §2.1.4.2. Raises `ProofError` unless `newer` extends `older`; both hold leaves."""
    _check_hashes(path)
    if not 0 < older.size <= newer.size:
        raise ProofError(f"no consistency proof from {older.size} to {newer.size}")
    if older.size == newer.size:
        if path or older.root != newer.root:
            raise ProofError("two heads of one size have different roots")
        return
    if not path:
        raise ProofError("consistency proof is empty")
    hashes = list(path)
    if older.size & (older.size - 1) == 0:
        hashes.insert(0, older.root)
    fn, sn = older.size - 1, newer.size - 1
    while fn & 1:
        fn >>= 1
        sn >>= 1
    older_root = newer_root = hashes[0]
    for each in hashes[1:]:
        if sn == 0:
            raise ProofError("consistency proof is too long")
        if fn & 1 or fn == sn:
            older_root = node_hash(each, older_root)
            newer_root = node_hash(each, newer_root)
            while fn and not fn & 1:
                fn >>= 1
                sn >>= 1
        else:
            newer_root = node_hash(newer_root, each)
        fn >>= 1
        sn >>= 1
    if sn != 0 or older_root != older.root or newer_root != newer.root:
        raise ProofError(f"the tree of {newer.size} does not extend the tree of {older.size}")


def multi_inclusion_hashes(indices: Sequence[int], size: int, range_hash: RangeHash) -> list[bytes]:
    """One proof for many leaves: the roots of the largest subtrees that hold none of them.

    `indices` rise strictly. The order is that of the recursion in `multi_inclusion_root`.
    """
    hashes: list[bytes] = []
    _walk(
        indices,
        size,
        leaf=lambda _: b"",
        other=lambda start, end: _note(hashes, range_hash, start, end),
    )
    return hashes


def check_multi_inclusion(
    hashes: Sequence[bytes], *, leaves: Sequence[tuple[int, bytes]], head: TreeHead
) -> None:
    """Check many leaves at once: `leaves` are (index, leaf hash), indices strictly rising.

    The tree is walked as RFC 6962 §2.1 builds it, left before right; where a subtree holds none
    of the leaves, the next hash of the proof stands in for it. All hashes must be used. Raises
    `ProofError` unless the result is the root.
    """
    _check_hashes(hashes)
    _check_hashes([leaf for _, leaf in leaves])
    given = iter(hashes)
    by_index = dict(leaves)

    def stand_in(_start: int, _end: int) -> bytes:
        try:
            return next(given)
        except StopIteration:
            raise ProofError("inclusion proof is too short") from None

    root = _walk(
        [index for index, _ in leaves], head.size, leaf=by_index.__getitem__, other=stand_in
    )
    if next(given, None) is not None:
        raise ProofError("inclusion proof is too long")
    if root != head.root:
        raise ProofError("the listed leaves do not lead to the root")


def _note(hashes: list[bytes], range_hash: RangeHash, start: int, end: int) -> bytes:
    hashes.append(range_hash(start, end))
    return hashes[-1]


def _walk(
    indices: Sequence[int],
    size: int,
    *,
    leaf: Callable[[int], bytes],
    other: RangeHash,
) -> bytes:
    if not indices or indices[0] < 0 or indices[-1] >= size:
        raise ProofError(f"leaf indices must lie in a tree of {size}")
    if any(left >= right for left, right in itertools.pairwise(indices)):
        raise ProofError("leaf indices must rise")

    def visit(start: int, end: int, first: int, last: int) -> bytes:
        if first == last:
            return other(start, end)
        if end - start == 1:
            return leaf(start)
        middle = start + split(end - start)
        cut = bisect_left(indices, middle, first, last)
        return node_hash(visit(start, middle, first, cut), visit(middle, end, cut, last))

    return visit(0, size, 0, len(indices))


def _check_hashes(hashes: Sequence[bytes]) -> None:
    for each in hashes:
        if len(each) != HASH_SIZE:
            raise ProofError("a hash in the proof is not 32 bytes")
