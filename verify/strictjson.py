"""JSON without surprises: one reading for every text, one text for every value. No I/O.

Reading refuses what `json.loads` lets through: duplicate keys, NaN and infinities, fractions,
integers beyond 2^53-1 or written as -0, lone surrogates, invalid UTF-8, deep nesting.
Writing gives RFC 8785 bytes. Our documents hold no fractions and only ASCII keys, and there RFC
8785 is "sorted keys, no white space, UTF-8".
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NoReturn, TypeAlias

from verify.errors import MalformedError

Json: TypeAlias = "bool | int | str | Sequence[Json] | Mapping[str, Json] | None"
Object: TypeAlias = dict[str, Any]

MAX_SAFE_INTEGER = 2**53 - 1
MAX_SIZE = 16 << 20
MAX_DEPTH = 64

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def loads(data: bytes, *, where: str, limit: int = MAX_SIZE) -> Any:
    """Parse one JSON document strictly; `where` names it in errors. Raises `MalformedError`."""
    if len(data) > limit:
        raise MalformedError(f"{where}: {len(data):,} bytes of JSON; the limit is {limit:,}")
    if data.startswith(b"\xef\xbb\xbf"):
        raise MalformedError(f"{where}: starts with a byte order mark")
    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_object,
            parse_float=_no_fraction,
            parse_int=_integer,
            parse_constant=_no_constant,
        )
        if _SURROGATE.search(data):
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except MalformedError as error:
        raise MalformedError(f"{where}: {error}") from error
    except RecursionError as error:
        raise MalformedError(f"{where}: nested too deeply") from error
    except UnicodeError as error:
        raise MalformedError(f"{where}: not valid UTF-8 text") from error
    except ValueError as error:
        raise MalformedError(f"{where}: not JSON: {error}") from error
    # The C parser nests as deep as the interpreter lets it; consumers recurse, so bound it here.
    if data.count(b"[") + data.count(b"{") > MAX_DEPTH and _deeper(value, MAX_DEPTH):
        raise MalformedError(f"{where}: nested deeper than {MAX_DEPTH} levels")
    return value


def load_object(data: bytes, *, where: str, limit: int = MAX_SIZE) -> Object:
    """Parse one JSON object strictly. Raises `MalformedError`."""
    value = loads(data, where=where, limit=limit)
    if not isinstance(value, dict):
        raise MalformedError(f"{where}: expected a JSON object")
    return value


def dumps(value: Json) -> bytes:
    """Serialise as RFC 8785 (JCS). Raises `MalformedError` for what our documents never hold."""
    _check(value, depth=0)
    return json.dumps(
        value, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")
    ).encode("utf-8")


def _object(pairs: list[tuple[str, Any]]) -> Object:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise MalformedError(f"duplicate key {key!r}")
            seen.add(key)
    return result


def _integer(text: str) -> int:
    if len(text) > 17 or text == "-0":
        raise MalformedError(f"integer {text[:24]} is out of range or not canonical")
    value = int(text)
    if abs(value) > MAX_SAFE_INTEGER:
        raise MalformedError(f"integer {text} is beyond 2^53-1")
    return value


def _no_fraction(text: str) -> NoReturn:
    raise MalformedError(f"number {text[:24]} is not an integer")


def _no_constant(text: str) -> NoReturn:
    raise MalformedError(f"{text} is not JSON")


def _deeper(value: Any, levels: int) -> bool:
    """Whether containers are nested in more than so many levels, asked level by level."""
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(levels):
        level = [
            child
            for each in level
            for child in (each.values() if isinstance(each, dict) else each)
            if isinstance(child, (dict, list))
        ]
        if not level:
            return False
    return bool(level)


def _check(value: Json, *, depth: int) -> None:
    if depth == MAX_DEPTH and isinstance(value, (dict, list, tuple)):
        raise MalformedError(f"nested deeper than {MAX_DEPTH} levels")
    if value is None or isinstance(value, bool):
        return
    if isinstance(value, str):
        if value.isascii():
            return
        try:
            value.encode("utf-8")
        except UnicodeEncodeError as error:
            raise MalformedError("text holds a lone surrogate") from error
    elif isinstance(value, int):
        if abs(value) > MAX_SAFE_INTEGER:
            raise MalformedError("an integer is beyond 2^53-1")
    elif isinstance(value, dict):
        for key, child in value.items():
            if not isinstance(key, str) or not key.isascii():
                raise MalformedError(f"key {key!r} is not ASCII text")
            _check(child, depth=depth + 1)
    elif isinstance(value, (list, tuple)):
        for child in value:
            _check(child, depth=depth + 1)
    else:
        raise MalformedError(f"{type(value).__name__} has no place in our JSON")


def exactly(value: object, names: frozenset[str], *, where: str) -> Object:
    """Return `value` if it is an object with exactly these fields; else raise `MalformedError`.

    For the few shapes that stand in every link, where `Fields` would cost more than the signature.
    """
    if not isinstance(value, dict):
        raise MalformedError(f"{where}: expected a JSON object")
    if value.keys() != names:
        for name in sorted(names - value.keys()):
            raise MalformedError(f"{where}: field {name!r} is missing")
        raise MalformedError(f"{where}: unknown field {sorted(value.keys() - names)[0]!r}")
    return value


def text_of(value: object, *, limit: int, where: str) -> str:
    """Return `value` if it is a string of at most `limit` characters."""
    if not isinstance(value, str) or len(value) > limit:
        raise MalformedError(f"{where}: expected text of at most {limit:,} characters")
    return value


def count_of(value: object, *, where: str) -> int:
    """Return `value` if it is an integer that is not negative."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise MalformedError(f"{where}: expected a whole number of 0 or more")
    return value


class Fields:
    """A JSON object being read field by field, with errors that name the place.

    Reading is total: `done()` refuses fields that nobody asked for, so a document of a later
    version is never half understood.
    """

    def __init__(self, value: object, where: str) -> None:
        if not isinstance(value, dict):
            raise MalformedError(f"{where}: expected a JSON object")
        self._value = value
        self._taken: set[str] = set()
        self.where = where

    def raw(self, name: str) -> Any:
        """The field as parsed; it must be present."""
        if name not in self._value:
            raise MalformedError(f"{self.where}: field {name!r} is missing")
        self._taken.add(name)
        return self._value[name]

    def has(self, name: str) -> bool:
        """Whether the field is present."""
        return name in self._value

    def text(self, name: str, *, limit: int = 65_536) -> str:
        """A string of at most `limit` characters."""
        value = self.raw(name)
        if not isinstance(value, str) or len(value) > limit:
            raise MalformedError(
                f"{self.where}.{name}: expected text of at most {limit} characters"
            )
        return value

    def text_or_none(self, name: str) -> str | None:
        """A string, or null."""
        return None if self.raw(name) is None else self.text(name)

    def count(self, name: str) -> int:
        """An integer that is not negative."""
        return count_of(self.raw(name), where=f"{self.where}.{name}")

    def entries(self, name: str, *, limit: int = 100_000) -> list[Any]:
        """A list of at most `limit` entries."""
        value = self.raw(name)
        if not isinstance(value, list) or len(value) > limit:
            raise MalformedError(f"{self.where}.{name}: expected a list of at most {limit:,}")
        return value

    def texts(self, name: str, *, limit: int = 100_000) -> list[str]:
        """A list of strings."""
        values = self.entries(name, limit=limit)
        if not all(isinstance(value, str) for value in values):
            raise MalformedError(f"{self.where}.{name}: expected a list of texts")
        return values

    def object(self, name: str) -> Fields:
        """A nested object."""
        return Fields(self.raw(name), f"{self.where}.{name}")

    def expect(self, needed: Sequence[str], others: Collection[str] = ()) -> None:
        """Refuse an object that lacks a field or has one besides these, and name all of them.

        For what people write: who reads field by field names one at a time.
        """
        missing = [name for name in needed if name not in self._value]
        unknown = sorted(self._value.keys() - {*needed, *others})
        told = []
        if missing:
            told.append(f"{_fields(missing)} {'are' if len(missing) > 1 else 'is'} missing")
        if unknown:
            told.append(f"unknown {_fields(unknown)}")
        if told:
            raise MalformedError(f"{self.where}: {'; '.join(told)}")

    def done(self) -> None:
        """Refuse fields that were not read."""
        if len(self._taken) != len(self._value):
            extra = sorted(set(self._value) - self._taken)
            raise MalformedError(f"{self.where}: unknown field {extra[0]!r}")


def _fields(names: Sequence[str]) -> str:
    return f"field{'s' if len(names) > 1 else ''} {', '.join(map(repr, names))}"
