"""Reaching into records whose shape nobody promises. No I/O.

What is not there, or is of another type than the path expects, is None or nothing.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import islice
from typing import Any

from ingest.parsers.bounded import said
from ingest.parsers.parser import Confidence
from ingest.parsers.records import RecordReader, Shape, shape_of


def reach(value: Any, *path: str | int) -> Any:
    """What lies at the end of a path of keys and places; None if the path breaks off."""
    for step in path:
        if isinstance(step, str):
            if not isinstance(value, dict):
                return None
            value = value.get(step)
        elif isinstance(value, list) and len(value) > step:
            value = value[step]
        else:
            return None
    return value


def objects(value: Any) -> Iterator[dict[str, Any]]:
    """The objects of a list; of a single object itself; none of anything else."""
    for each in value if isinstance(value, list) else (value,):
        if isinstance(each, dict):
            yield each


def texts(value: Any) -> Iterator[str]:
    """The texts of a list, or a single one."""
    for each in value if isinstance(value, list) else (value,):
        if isinstance(each, str) and each:
            yield each


def word(value: object) -> str:
    """A value as `bounded.said` has it, '' where it says nothing: what a fact must not lack."""
    return said(value) or ""


def first_records(
    head: bytes,
    *,
    keys: tuple[str, ...] = (),
    most: int = 4,
    resumes_at: Callable[[Any], bool] | None = None,
) -> list[Any]:
    """The first JSON records that lie whole in the first bytes of an item, read as `RecordReader`.

    Many parsers ask this of one head, so that what was read is remembered: leave it as it is.
    """
    # Where records are not under a key, keys change nothing.
    single = shape_of(head, keys=keys) in (Shape.LINES, Shape.SEQUENCE)
    read = _first_records(head, () if single else keys)
    values = read.first(most)
    if len(values) == most or resumes_at is None or not read.reader.bad:
        return values
    reader = RecordReader.of_any_shape(io.BytesIO(head), keys=keys, resumes_at=resumes_at)
    return [value for _, value in islice(reader, most)]


def surest(first: Sequence[Any], is_record: Callable[[Any], bool]) -> Confidence:
    """How sure a parser is whose marks are there: certain where one of the first is a record.

    Likely where none could be read: the first is too long, or damaged.
    """
    if any(map(is_record, first)):
        return Confidence.CERTAIN
    return Confidence.NONE if first else Confidence.LIKELY


def has_marks(head: bytes, marks: re.Pattern[bytes], enough: int) -> bool:
    """Whether the first group of `marks` finds so many different words; no further is looked."""
    found: set[bytes] = set()
    for match in marks.finditer(head):
        found.add(match[1])
        if len(found) >= enough:
            return True
    return False


class _FirstRecords:
    """The records of a head, each read when it is first asked for."""

    def __init__(self, head: bytes, keys: tuple[str, ...]) -> None:
        self.reader = RecordReader.of_any_shape(io.BytesIO(head), keys=keys)
        self._rest = iter(self.reader)
        self._known: list[Any] = []

    def first(self, most: int) -> list[Any]:
        """The first ones, or all there are."""
        missing = max(most - len(self._known), 0)
        self._known += (value for _, value in islice(self._rest, missing))
        return self._known[:most]


@lru_cache(maxsize=2)
def _first_records(head: bytes, keys: tuple[str, ...]) -> _FirstRecords:
    return _FirstRecords(head, keys)
