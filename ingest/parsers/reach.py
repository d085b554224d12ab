"""Reaching into records whose shape nobody promises. No I/O.

What is not there, or is of another type than the path expects, is None or nothing.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import islice
from typing import Any

from ingest.parsers.bounded import said
from ingest.parsers.records import RecordReader


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


def first_records(head: bytes, *, keys: tuple[str, ...] = (), most: int = 4) -> list[Any]:
    """The first JSON records that lie whole in the first bytes of an item."""
    reader = RecordReader.of_any_shape(io.BytesIO(head), keys=keys)
    return [value for _, value in islice(reader, most)]
