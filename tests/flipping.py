"""Damage of one bit, at every place."""

from __future__ import annotations

from collections.abc import Iterator


def flipped_bits(data: bytes) -> Iterator[bytes]:
    """The same bytes, each time with one other bit turned."""
    for bit in range(8 * len(data)):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        yield bytes(changed)
