"""YAML documents out of a byte stream, one at a time, as plain data. Constructs no objects, ever.

Only the events of PyYAML's safe loader are used; what they mean is decided here, in the core schema
of YAML 1.2 and less: keys are texts (`on:` stays 'on'), and plain values are null, true, false,
whole numbers that are written as such, or texts. A version of 1.10 thus stays '1.10'. Binary values
are bytes. Tags build nothing; unknown ones are counted.

Hostile input costs little: documents are cut apart at their `---` lines before they are parsed, so
that a bad one is one bad record with its offset; a document that is too long or too deep, refers to
itself, or grows beyond `MOST_NODES` by its aliases is a bad record too. All work is linear.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from ingest.parsers.bounded import counted
from ingest.parsers.library import library
from ingest.parsers.parser import HEAD_SIZE
from ingest.parsers.records import (
    CHUNK_SIZE,
    MAX_DEPTH,
    TOO_DEEP,
    ByteSource,
    RecordReader,
    Replayed,
    read_fully,
    shape_of,
)
from verify.facts import CAP

DOCUMENT_LIMIT = 8 << 20
"""The longest document, in bytes; a longer one is a bad record."""

TOTAL_LIMIT = 32 << 20
"""How much of a file is read: YAML is slow, and configurations are short."""

MOST_DOCUMENTS = 100_000
"""How many documents of a file are read."""

MOST_NODES = 500_000
"""How many values a document may have, each counted as often as aliases repeat it."""

NOT_YAML = "not YAML"
TOO_LONG = f"longer than {DOCUMENT_LIMIT >> 20} MiB"
TOO_MANY = f"more than {MOST_NODES:,} values, aliases counted"
BAD_ALIAS = "an alias of itself, or of nothing"

_SEPARATOR = re.compile(rb"^---(?=[ \t\r\n])", re.M)
_DIRECTIVES = re.compile(rb"(?:^(?:\.\.\.[ \t]*\r?$|%[^\n]*|#[^\n]*|[ \t\r]*)(?:\n|\Z))*\Z", re.M)
_TRAILING = re.compile(rb"^%[^\n]*\n", re.M)
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,17})", re.ASCII)
_PLAIN: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_TAG = "tag:yaml.org,2002:"
_BINARY = f"{_TAG}binary"
_HARMLESS = frozenset(
    (
        None,
        "!",
        *(f"{_TAG}{name}" for name in ("str", "map", "seq", "null", "bool", "int", "float")),
    )
)
_MARK = b"\xef\xbb\xbf"
_UNSET = object()


def yaml_library() -> ModuleType | None:
    """PyYAML with its parser in C, the only one that is fast and alike everywhere; else None."""
    yaml = library("yaml")
    return yaml if yaml is not None and hasattr(yaml, "CSafeLoader") else None


def is_json(head: bytes) -> bool:
    """Whether the first bytes open a JSON object or list; YAML in that style is read as JSON."""
    return shape_of(head) is not None


def open_documents(
    stream: ByteSource, *, keys: tuple[str, ...] = (), keep: tuple[str, ...] = ()
) -> RecordReader | YamlReader | None:
    """A reader for a file of JSON or YAML, whichever it is; None if a library is missing."""
    head = read_fully(stream, HEAD_SIZE)
    source = Replayed(head, stream)
    if is_json(head):
        return RecordReader.of_any_shape(source, keys=keys, keep=keep)
    yaml = yaml_library()
    return None if yaml is None else YamlReader(source, yaml)


class YamlReader:
    """Iterates over `(byte offset, value)` of the documents of one stream, once.

    Empty documents are left out. Like `records.RecordReader` it has `bad`, `bad_offsets` and
    `problems()`.
    """

    def __init__(self, stream: ByteSource, yaml: ModuleType) -> None:
        self._stream = stream
        self._yaml = yaml
        self._reasons: Counter[str] = Counter()
        self._notes: list[str] = []
        self._tags = 0
        self.bad = 0
        self.bad_offsets: list[int] = []

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        for number, (offset, piece) in enumerate(self._pieces()):
            if number >= MOST_DOCUMENTS:
                self._notes.append(f"only the first {MOST_DOCUMENTS:,} documents were read")
                return
            if piece is None:
                self.note_bad(offset, TOO_LONG)
                continue
            try:
                for value in self._documents(piece):
                    if value is not None:
                        yield offset, value
            except _RefusedError as refusal:
                self.note_bad(offset, str(refusal))

    def note_bad(self, offset: int, reason: str) -> None:
        """Count a document as bad; parsers call it for values that are no records of theirs."""
        self.bad += 1
        self._reasons[reason] += 1
        if len(self.bad_offsets) < CAP:
            self.bad_offsets.append(offset)

    def problems(self) -> tuple[str, ...]:
        """What was wrong, in words for people; the same for the same bytes."""
        reasons = [
            f"{counted(number, 'bad record')}: {reason}"
            for reason, number in sorted(self._reasons.items())
        ]
        if self._tags:
            reasons.append(f"{counted(self._tags, 'value')} with a tag of its own: read as plain")
        return (*reasons, *self._notes)

    def _pieces(self) -> Iterator[tuple[int, bytes | None]]:
        """The stretches between `---` lines with their offsets; None for one that is too long."""
        buffer, offset, searched = b"", 0, 0
        dropped = 0  # how much of the document at hand was let go, because it is too long
        seen, last, ended = 0, b"\n", False
        while not ended:
            wanted = min(max(CHUNK_SIZE, len(buffer)), TOTAL_LIMIT - seen)
            data = read_fully(self._stream, wanted) if wanted else b""
            ended = not data
            if not seen and data.startswith(_MARK):
                offset = seen = len(_MARK)
                data = data[len(_MARK) :]
            seen += len(data)
            last = data[-1:] or last
            buffer += data
            start = 0
            while match := _SEPARATOR.search(buffer, max(searched, start + 1)):
                end = match.start()
                length = dropped + end - start
                yield offset, None if length > DOCUMENT_LIMIT else buffer[start:end]
                offset, start, dropped = offset + length, end, 0
            buffer = buffer[start:]
            searched = max(len(buffer) - 4, 0)  # what a separator that is cut here begins with
            if dropped + len(buffer) > DOCUMENT_LIMIT:
                dropped += searched
                buffer, searched = buffer[searched:], 0
        if seen >= TOTAL_LIMIT and self._stream.read(1):
            self._notes.append(f"only the first {TOTAL_LIMIT >> 20} MiB were read")
        elif last != b"\n":
            self._notes.append("the last line has no end: the file may be cut off")
        yield offset, None if dropped else buffer

    def _documents(self, piece: bytes) -> Iterator[Any]:
        """The documents of one piece, of which there is more than one only after a `...` line."""
        if _DIRECTIVES.match(piece):
            return
        yaml = self._yaml
        events = yaml.parse(
            _TRAILING.sub(b"", piece) if b"\n%" in piece else piece, yaml.CSafeLoader
        )
        try:
            for event in events:
                if isinstance(event, yaml.DocumentStartEvent):
                    yield self._compose(events)
        except (yaml.YAMLError, ValueError, RecursionError):
            raise _RefusedError(NOT_YAML) from None

    def _compose(self, events: Iterator[Any]) -> Any:
        """The value of the document that has just begun."""
        yaml = self._yaml
        anchors: dict[str, _Known] = {}
        stack: list[_Open] = []
        root: Any = None
        for event in events:
            kind, text = event.__class__, None
            if kind is yaml.ScalarEvent:
                known, text, anchor = _Known(self._scalar(event)), event.value, event.anchor
            elif kind is yaml.AliasEvent:
                anchor = None
                if event.anchor not in anchors:
                    raise _RefusedError(BAD_ALIAS)
                known = anchors[event.anchor]
            elif kind is yaml.MappingStartEvent or kind is yaml.SequenceStartEvent:
                self._tags += event.tag not in _HARMLESS
                value: Any = {} if kind is yaml.MappingStartEvent else []
                stack.append(_Open(value, event.anchor))
                if len(stack) > MAX_DEPTH:
                    raise _RefusedError(TOO_DEEP)
                continue
            elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
                closed = stack.pop()
                known, anchor = closed.close(), closed.anchor
            else:
                return root
            if anchor:
                anchors[anchor] = known
            if not stack:
                root = known.value
            elif len(stack) + known.depth > MAX_DEPTH:
                raise _RefusedError(TOO_DEEP)
            else:
                stack[-1].add(known, text, plain=kind is yaml.ScalarEvent and event.implicit[0])
        return root

    def _scalar(self, event: Any) -> Any:
        text: str = event.value
        if event.tag == _BINARY:
            try:
                return base64.b64decode(text)
            except (binascii.Error, ValueError):
                return text
        if event.tag not in _HARMLESS:
            self._tags += 1
        if not event.implicit[0]:
            return text
        if text in _PLAIN:
            return _PLAIN[text]
        return int(text) if _NUMBER.fullmatch(text) else text


class _RefusedError(Exception):
    """A document that is not read, and why."""


@dataclass(slots=True)
class _Known:
    """A value, how many values it holds with aliases written out, and how deep these nest."""

    value: Any
    weight: int = 1
    depth: int = 0


@dataclass(slots=True)
class _Open:
    """A mapping or sequence whose end has not come yet."""

    value: Any
    anchor: str | None
    weight: int = 1
    depth: int = 0
    key: Any = _UNSET
    merged: list[dict[str, Any]] = field(default_factory=list)

    def add(self, known: _Known, text: str | None, *, plain: bool) -> None:
        """Take the next key or value."""
        self.weight += known.weight
        self.depth = max(self.depth, known.depth + 1)
        if self.weight > MOST_NODES:
            raise _RefusedError(TOO_MANY)
        if isinstance(self.value, list):
            self.value.append(known.value)
        elif self.key is _UNSET:
            self.key = None if text == "<<" and plain else "(not a text)" if text is None else text
        else:
            if self.key is None:
                each = known.value if isinstance(known.value, list) else [known.value]
                self.merged += [one for one in each if isinstance(one, dict)]
            else:
                self.value[self.key] = known.value
            self.key = _UNSET

    def close(self) -> _Known:
        """The value, now that all is there; what it says itself goes before what it merges."""
        for mapping in self.merged:
            for key, value in mapping.items():
                self.value.setdefault(key, value)
        return _Known(self.value, self.weight, self.depth)
