"""Collections that stay small whatever the input: what keeps facts capped and repeatable. No I/O.

The result never depends on the order in which texts arrive, nor on Python's hash seed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Generic, TypeVar

from verify.facts import CAP, TEXT_CAP, Facts
from verify.strictjson import dumps

FACTS_LIMIT = 256 << 10
"""How many bytes of JSON an item's facts take at most, whatever its lists hold."""

_SURROGATE = re.compile("[\ud800-\udfff]")


def clip(text: str) -> str:
    """The text as facts hold it: at most `TEXT_CAP` characters, and encodable as UTF-8.

    A longer text ends in '…'. Half of a surrogate pair, which JSON can spell and UTF-8 cannot,
    becomes U+FFFD.
    """
    if len(text) > TEXT_CAP:
        text = text[: TEXT_CAP - 1] + "…"
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


def said(value: object) -> str | None:
    """A value of a record as a clipped text: texts and whole numbers; None for all else."""
    if isinstance(value, str):
        return clip(value) if value else None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value) if abs(value) < 10**30 else None
    return None


def counted(number: int, noun: str) -> str:
    """A number with its noun: '1 event', '2,900 events'."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


class Distinct:
    """The distinct texts that were added, clipped; only the `cap` smallest where there are more."""

    def __init__(self, cap: int = CAP) -> None:
        self._cap = cap
        self._kept: set[str] = set()
        self._ceiling: str | None = None
        self.overflowed = False

    def add(self, text: str) -> None:
        """Add one text."""
        if text in self._kept:
            return
        text = clip(text)
        if self._ceiling is not None and text > self._ceiling:
            return
        self._kept.add(text)
        # Pruning only at twice the cap keeps adding cheap; what is pruned can never come back,
        # because `cap` smaller texts are known.
        if len(self._kept) >= 2 * self._cap:
            self._prune()

    def sorted(self) -> tuple[str, ...]:
        """What was kept, in code point order."""
        if len(self._kept) > self._cap:
            self._prune()
        return tuple(sorted(self._kept))

    def _prune(self) -> None:
        kept = sorted(self._kept)[: self._cap]
        self._kept = set(kept)
        self._ceiling = kept[-1]
        self.overflowed = True


Key = tuple[str | None, ...]
V = TypeVar("V")


class Ranked(Generic[V]):
    """A value for each key that was added; only the `cap` smallest keys where there are more.

    `merge` joins the values of one key; it must not depend on their order.
    """

    def __init__(self, merge: Callable[[V, V], V], cap: int = CAP) -> None:
        self._merge = merge
        self._cap = cap
        self._kept: dict[Key, V] = {}
        self._ceiling: tuple[str, ...] | None = None
        self.overflowed = False

    def add(self, key: Key, value: V) -> None:
        """Add a value."""
        known = self._kept.get(key)
        if known is not None:
            self._kept[key] = self._merge(known, value)
            return
        if self._ceiling is not None and _rank(key) > self._ceiling:
            return
        self._kept[key] = value
        if len(self._kept) >= 2 * self._cap:
            self._prune()

    def sorted(self) -> list[tuple[Key, V]]:
        """What was kept, in code point order; an absent part comes before every text."""
        if len(self._kept) > self._cap:
            self._prune()
        return sorted(self._kept.items(), key=lambda item: _rank(item[0]))

    def _prune(self) -> None:
        kept = sorted(self._kept.items(), key=lambda item: _rank(item[0]))[: self._cap]
        self._kept = dict(kept)
        self._ceiling = _rank(kept[-1][0])
        self.overflowed = True


def _rank(key: Key) -> tuple[str, ...]:
    return tuple("" if part is None else f"+{part}" for part in key)


def within_limit(facts: Facts, limit: int = FACTS_LIMIT) -> Facts:
    """The facts, with their largest lists halved until all fits; `capped` names these."""
    plain = facts.to_json()
    if len(dumps(plain)) <= limit:
        return facts
    sizes = {name: len(dumps(value)) for name, value in plain.items()}
    total = sum(sizes.values())
    if total <= limit:
        return facts
    cut: dict[str, Any] = {}
    names = set(facts.capped)
    while total > limit:
        name = max((size, name) for name, size in sizes.items() if name != "capped")[1]
        entries = cut.get(name, getattr(facts, name))
        cut[name] = entries[: len(entries) // 2]
        names.add(name)
        shorter = len(dumps(replace(facts, **{name: cut[name]}).to_json().get(name, [])))
        total -= sizes[name] - shorter
        sizes[name] = shorter
    return replace(facts, **cut, capped=tuple(sorted(names)))


def capped(names: Iterable[tuple[str, Distinct]]) -> tuple[str, ...]:
    """The names of the lists that met more texts than they keep. Ask after `sorted`."""
    return tuple(sorted(name for name, texts in names if texts.overflowed))


class Damage:
    """The bad records that a reader met: how many, where the first `CAP` began, and why."""

    def __init__(self) -> None:
        self._reasons: Counter[str] = Counter()
        self.bad = 0
        self.bad_offsets: list[int] = []

    def note_bad(self, offset: int, reason: str) -> None:
        """Count a record as bad."""
        self.bad += 1
        self._reasons[reason] += 1
        if len(self.bad_offsets) < CAP:
            self.bad_offsets.append(offset)

    def problems(self) -> tuple[str, ...]:
        """What was wrong, in words for people; the same for the same bytes."""
        return tuple(
            f"{counted(number, 'bad record')}: {reason}"
            for reason, number in sorted(self._reasons.items())
        )
