"""JSON records out of a byte stream, one at a time: flat memory, and damage is counted, not raised.

Four shapes hold records: a list, a list under a key of an object, lines (NDJSON), and values one
after another. A window slides over the stream and each record is decoded where it lies, so that a
file of any size costs a few megabytes and each record comes with its true byte offset.

Damage: a bad line is one bad record. A bad record inside a list has no certain end, so reading goes
on only where the caller can recognise a record (`resumes_at`), else it stops and says where. What
happens never depends on how the stream cuts its reads. No input costs more than linear time:
looking for a place to resume draws on a fixed allowance, and too many bad lines end the reading.

Lenient where it does no harm: NaN and infinities are read, duplicate keys keep the last value, and
an integer of more than 4,300 digits comes back as its text.
"""

from __future__ import annotations

import codecs
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from enum import Enum
from functools import lru_cache
from json import JSONDecodeError
from typing import Any, Protocol, Self

from ingest.parsers.bounded import clip, counted
from ingest.parsers.library import library
from ingest.parsers.parser import HEAD_SIZE
from verify.facts import CAP

CHUNK_SIZE = 64 << 10
"""How many bytes are read at a time."""

RECORD_LIMIT = 16 << 20
"""The longest record, in characters; a longer one is a bad record."""

MAX_DEPTH = 200
"""How deep a record may nest. Far below the interpreter's own limit, which is not a constant."""

RESUME_ALLOWANCE = 64 << 20
"""How many characters one reader may look at a second time while it recovers from damage."""

MOST_BAD_LINES = 100_000
"""After how many bad lines a file is given up: refusing a line costs more than reading one."""

NOT_JSON = "not JSON"
CUT_OFF = "cut off at the end of the file"
TOO_LARGE = f"longer than {RECORD_LIMIT >> 20} MiB, and so not read"
TOO_DEEP = f"nested deeper than {MAX_DEPTH} levels"
NOT_UTF8 = "not UTF-8"

_MARGIN = 16  # the longest token that an error can point at the start of: -Infinity, \ud800\udc00
_NEVER_DEEP = 2 * MAX_DEPTH
_OPENINGS = (b"{", b"[")
_COMPACT = 1 << 20
_ATTEMPT = 256  # the least that a failed attempt draws from the allowance, whatever it looked at
_FAILURE = 4096  # a failure in the window also pays for JSONDecodeError counting lines there
OPENING = re.compile(rb"(?:\xef\xbb\xbf)?[ \t\r\n]*[{\[]")
_SPACE = re.compile(r"[ \t\r\n]*")
_ESCAPED = re.compile("[\udc80-\udcff]")
_PARTIAL = re.compile(r"\s*(-|tr?u?|fa?l?s?|nu?l?|Na?|[.eE][+-]?|u[0-9a-fA-F]{0,3})?\s*\Z")
_NEXT_VALUE = re.compile(r"\n(?=[{\[])")
_BYTE_ORDER_MARK = "\ufeff"


def _digits(text: str) -> int | str:
    return int(text) if len(text) < 640 else text  # no interpreter refuses fewer digits


_decode = json.JSONDecoder().raw_decode
_decode_huge_integers = json.JSONDecoder(parse_int=_digits).raw_decode


class ByteSource(Protocol):
    """All that is asked of a stream: bytes in order, an empty read at the end."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes."""
        ...


def read_fully(stream: ByteSource, size: int) -> bytes:
    """Read `size` bytes, or all there are: what is found must not depend on short reads."""
    data = stream.read(size)
    if not data or len(data) == size:
        return data or b""
    parts = [data]
    missing = size - len(data)
    while missing > 0 and (data := stream.read(missing)):
        parts.append(data)
        missing -= len(data)
    return b"".join(parts)


class Shape(Enum):
    """How records lie in a file."""

    LIST = "a list"
    KEYED = "a list under a key"
    LINES = "one record a line"
    SEQUENCE = "values one after another"


@lru_cache(maxsize=64)
def shape_of(head: bytes, *, keys: tuple[str, ...] = ()) -> Shape | None:
    """The shape that the first bytes of a file suggest; None if they do not look like JSON.

    `KEYED` is found only where the list starts within `head`. Scalars are no records: a file of
    numbers or bare words is text. Parsers all ask this of one head, so answers are remembered.
    """
    if not OPENING.match(head):
        return None
    if keys and any(name in keys for name in _lists_in(head)):
        return Shape.KEYED
    return _shape_without_keys(head)


@lru_cache(maxsize=2)
def _shape_without_keys(head: bytes) -> Shape | None:
    text, start = _opened(head)
    opening = text[start]
    try:
        _, end = _decode(text, start)
    except (JSONDecodeError, RecursionError) as error:
        unfinished = isinstance(error, RecursionError) or _wants_more(error, text)
        return _shape_of_unread(text, start, unfinished=unfinished)
    except ValueError:
        return _shape_of_unread(text, start, unfinished=True)
    next_value = _after_space(text, end)
    following = text[next_value : next_value + 1]
    if opening == "[" and following not in ("{", "["):
        # "[1] see below" is text; a list of records with something behind it is a damaged list.
        holds_records = text[_after_space(text, start + 1) :][:1] in ("{", "[")
        return Shape.LIST if holds_records or not following else None
    one_a_line = "\n" not in text[start:end] and (not following or "\n" in text[end:next_value])
    return Shape.LINES if one_a_line else Shape.SEQUENCE


def _opened(head: bytes) -> tuple[str, int]:
    """The head as text, and where its first object or list opens."""
    text = head.decode("utf-8", "surrogateescape").removeprefix(_BYTE_ORDER_MARK)
    return text, _after_space(text, 0)


def _shape_of_unread(text: str, start: int, *, unfinished: bool) -> Shape | None:
    if text[start] == "[":
        opens_record = text[_after_space(text, start + 1) :][:1] in ("{", "[")
        if unfinished or opens_record:
            return Shape.LIST
    lines = text.split("\n", 64)
    if any(line[:1] in ("{", "[") and _is_container(line) for line in lines[:64]):
        return Shape.LINES
    opens_object = text[start] == "{" and text[_after_space(text, start + 1) :][:1] == '"'
    return Shape.SEQUENCE if unfinished or opens_object else None


def _is_container(line: str) -> bool:
    try:
        _, end = _decode(line, 0)
    except (ValueError, RecursionError):
        return False
    return not line[end:].strip()


class _ListsIn:
    """Iterates, again and again, over the members of the object at the head that open a list.

    Each is looked for once, and not before it is asked for: the list that a parser knows is often
    the first member, and all there is.
    """

    def __init__(self, head: bytes) -> None:
        self._known: list[str] = []
        self._rest = _lists(head)

    def __iter__(self) -> Iterator[str]:
        yield from self._known
        for name in self._rest:
            self._known.append(name)
            yield name


_lists_in = lru_cache(maxsize=2)(_ListsIn)


def _lists(head: bytes) -> Iterator[str]:
    """The members of the object at the head that open a list, as far as it can be read."""
    text, position = _opened(head)
    if text[position] != "{":
        return
    while True:
        try:
            key, position = _decode(text, _after_space(text, position + 1))
            position = _after_space(text, position)
            if text[position : position + 1] != ":":
                break
            position = _after_space(text, position + 1)
            if isinstance(key, str) and text[position : position + 1] == "[":
                yield key
            _, position = _decode(text, position)
        except (ValueError, RecursionError):
            break
        position = _after_space(text, position)
        if text[position : position + 1] != ",":
            break


def parse_embedded(text: str) -> Any:
    """The JSON value that a text inside a record holds; None if it holds none that is readable."""
    try:
        value, end = _whole_value(text, _after_space(text, 0))
    except _DamageError:
        return None
    return value if _after_space(text, end) == len(text) else None


class RecordReader:
    """Iterates over `(byte offset, value)` of the records of one stream, once.

    `keys` name the top-level members that hold the lists of shape `KEYED`; `keep` names members
    beside them whose scalar values go to `documents`: one dict for each top-level object, of the
    first `CAP + 1`. `resumes_at` says whether a JSON object is one of the records, which lets
    reading go on after damage. `begins` is the offset of the stream's first byte. A line too long
    to be a record is read list by list where it has any of `keys`. After the iteration `bad`,
    `bad_offsets` (the first `CAP`) and `problems()` tell what was met.
    """

    def __init__(
        self,
        stream: ByteSource,
        *,
        shape: Shape,
        keys: tuple[str, ...] = (),
        keep: tuple[str, ...] = (),
        resumes_at: Callable[[Any], bool] | None = None,
        chunk_size: int = CHUNK_SIZE,
        begins: int = 0,
    ) -> None:
        self._stream = stream
        self._chunk_size = chunk_size
        self._window = _Window(stream, chunk_size, begins)
        self._shape = shape
        self._keys = keys
        self._keep = keep
        self._resumes_at = resumes_at
        self._allowance = RESUME_ALLOWANCE
        self._reasons: Counter[str] = Counter()
        self._notes: list[str] = []
        self._stopped = False
        self.bad = 0
        self.bad_offsets: list[int] = []
        self.documents: list[dict[str, object]] = []

    @classmethod
    def of_any_shape(
        cls,
        stream: ByteSource,
        *,
        keys: tuple[str, ...] = (),
        keep: tuple[str, ...] = (),
        resumes_at: Callable[[Any], bool] | None = None,
    ) -> Self:
        """A reader whose shape is what the first `HEAD_SIZE` bytes suggest."""
        head = read_fully(stream, HEAD_SIZE)
        shape = shape_of(head, keys=keys) or Shape.SEQUENCE
        return cls(Replayed(head, stream), shape=shape, keys=keys, keep=keep, resumes_at=resumes_at)

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        if self._shape is Shape.LINES:
            return self._lines()
        if self._shape is Shape.SEQUENCE:
            return self._sequence()
        return self._documents()

    def problems(self) -> tuple[str, ...]:
        """What was wrong, in words for people; the same for the same bytes."""
        reasons = [
            f"{counted(number, 'bad record')}: {reason}"
            for reason, number in sorted(self._reasons.items())
        ]
        return (*reasons, *self._notes)

    def note_bad(self, offset: int, reason: str) -> None:
        """Count a record as bad; parsers call it for values that are no records of theirs."""
        self.bad += 1
        self._reasons[reason] += 1
        if len(self.bad_offsets) < CAP:
            self.bad_offsets.append(offset)

    # The shapes.

    def _documents(self) -> Iterator[tuple[int, Any]]:
        """Top-level lists and objects; several in one file are read one after another."""
        window = self._window
        while not self._stopped and (opening := window.peek()):
            if opening == "[":
                yield from self._list()
            elif opening == "{" and self._keys:
                yield from self._object()
            elif self._recover(_DamageError(NOT_JSON)):
                yield from self._list(resumed=True)

    def _object(self) -> Iterator[tuple[int, Any]]:
        window = self._window
        kept: dict[str, object] = {}
        if len(self.documents) <= CAP:
            self.documents.append(kept)
        separator = "{"
        while not self._stopped:
            try:
                self._expect(separator)
                if separator == "{" and window.peek() == "}":
                    window.position += 1
                    return
                name = self._member_name()
                if window.peek() == "[" and name in self._keys:
                    yield from self._list()
                else:
                    value, window.position = self._value()
                    if name in self._keep:
                        kept[name] = _scalar(value)
            except _DamageError as damage:
                if self._recover(damage) and damage.end is None:
                    yield from self._list(resumed=True)
            separator = ","
            if window.peek() == "}":
                window.position += 1
                return
            if not window.peek():
                self._note_early_end()
                return

    def _member_name(self) -> str:
        if self._window.peek() != '"':
            raise self._unexpected()
        name, self._window.position = self._value()
        self._expect(":")
        return str(name)

    def _expect(self, character: str) -> None:
        """Move past the one character that may stand here. Raises `_DamageError`."""
        if self._window.peek() != character:
            raise self._unexpected()
        self._window.position += 1

    def _unexpected(self) -> _DamageError:
        return _DamageError(NOT_JSON if self._window.peek() else CUT_OFF, skip=0)

    def _list(self, *, resumed: bool = False) -> Iterator[tuple[int, Any]]:
        """The values of the list that opens here, or that reading has just resumed in."""
        window = self._window
        if not resumed:
            window.position += 1
            if window.peek() == "]":
                window.position += 1
                return
        while True:
            try:
                if not window.peek():
                    self._note_early_end()
                    return
                value, end = self._value()
                yield window.offset(window.position), value
                window.position = end
                following = window.peek()
                if following == ",":
                    window.position += 1
                elif following == "]":
                    window.position += 1
                    return
                elif following:
                    raise self._unexpected()
            except _DamageError as damage:
                if not self._recover(damage):
                    return
                # A record whose end is known was skipped; what separates it from the next was not.
                if damage.end is not None and window.peek() == ",":
                    window.position += 1
                elif damage.end is not None and window.peek() == "]":
                    window.position += 1
                    return

    def _lines(self) -> Iterator[tuple[int, Any]]:
        lines = _Lines(self._stream, self._chunk_size)
        decode, refusals = _line_decoder()
        refused = 0
        for line in lines:
            offset = lines.offset
            if isinstance(line, _LongLine):
                before = self.bad
                yield from self._long_line(line, offset)
                refused += self.bad - before
            else:
                if line.startswith(_OPENINGS):
                    try:
                        value = decode(line)
                    except refusals:
                        pass  # what exactly is wrong is found out below
                    else:
                        if len(line) <= _NEVER_DEEP or not _is_deep_line(line, value):
                            yield offset, value
                            continue
                for found, value in _values_of_line(line):
                    if not isinstance(value, _DamageError):
                        yield offset + found, value
                        continue
                    refused += 1
                    cut_off = lines.at_end and value.reason == NOT_JSON
                    self.note_bad(offset + found, CUT_OFF if cut_off else value.reason)
            if refused >= MOST_BAD_LINES:
                self._note(f"too much damage: stopped at byte {lines.next_offset}")
                return

    def _long_line(self, line: _LongLine, offset: int) -> Iterator[tuple[int, Any]]:
        """What lies in lists of a line that is too long to be one record; else it is a bad one."""
        found = False
        if self._keys:
            inner = type(self)(
                line, shape=Shape.KEYED, keys=self._keys, resumes_at=self._resumes_at, begins=offset
            )
            for each in inner:
                found = True
                yield each
            found = found or inner.bad > 0
            self._reasons += inner._reasons
            self.bad += inner.bad
            self.bad_offsets += inner.bad_offsets[: CAP - len(self.bad_offsets)]
            for note in inner._notes:
                self._note(f"{note}, until the end of its line")
        if not found:
            self.note_bad(offset, TOO_LARGE)

    def _sequence(self) -> Iterator[tuple[int, Any]]:
        window = self._window
        while window.peek():
            try:
                value, end = self._value()
            except _DamageError as damage:
                if not self._recover(damage):
                    return
                continue
            yield window.offset(window.position), value
            window.position = end

    # One value.

    def _value(self) -> tuple[Any, int]:
        """Decode the value at the window's position; it and its end. Raises `_DamageError`."""
        window = self._window
        decode = _decode
        while True:
            try:
                value, end = decode(window.text, window.position)
            except JSONDecodeError as error:
                cost = _FAILURE + error.pos - window.position
                if not _wants_more(error, window.text):
                    raise _DamageError(NOT_JSON, cost=cost) from None
                if window.ended:
                    reason = CUT_OFF if _is_cut(error, window.text) else NOT_JSON
                    raise _DamageError(reason, cost=cost) from None
                if len(window.text) - window.position > RECORD_LIMIT:
                    raise _DamageError(TOO_LARGE, cost=RECORD_LIMIT) from None
                window.grow()
                continue
            except RecursionError:
                raise _DamageError(TOO_DEEP, cost=RECORD_LIMIT) from None
            except ValueError:
                decode = _decode_huge_integers
                continue
            text, start = window.text, window.position
            # 12 may be the start of 123, and 1.5e+ of 1.5e+7.
            at_edge = end > len(text) - _MARGIN and not window.ended
            if not at_edge or isinstance(value, (dict, list)) or end - start > RECORD_LIMIT:
                break
            window.grow()
        if end - start > RECORD_LIMIT:
            raise _DamageError(TOO_LARGE, cost=RECORD_LIMIT)
        if _is_deep(text, start, end, value):
            raise _DamageError(TOO_DEEP, cost=RECORD_LIMIT)
        if window.damaged and _ESCAPED.search(text, start, end):
            raise _DamageError(NOT_UTF8, end=end)
        return value, end

    # After damage.

    def _recover(self, damage: _DamageError) -> bool:
        """Count the damage at the window's position and move on; False if there is no way on."""
        window = self._window
        offset = window.offset(window.position)
        self.note_bad(offset, damage.reason)
        if damage.end is not None:
            window.position = damage.end
            return True
        self._allowance -= damage.cost
        if self._shape is Shape.SEQUENCE:
            found = self._allowance >= 0 and self._find_next_line()
        else:
            window.position += damage.skip
            found = self._allowance >= 0 and self._find_record()
        self._stopped = not found
        if self._allowance < 0:
            self._note(f"too much damage: stopped at byte {offset}")
        elif not found and self._shape is not Shape.SEQUENCE and damage.reason != CUT_OFF:
            self._note(f"damaged: stopped at byte {offset}")
        return found

    def _find_next_line(self) -> bool:
        """Move to the next line that opens an object or list at its first character."""
        window = self._window
        while True:
            match = _NEXT_VALUE.search(window.text, window.position)
            if match:
                window.position = match.end()
                window.compact()
                return True
            if window.ended:
                return False
            # The line feed may be the last character, and what it precedes not read yet.
            window.position = max(window.position, len(window.text) - 1)
            window.grow()

    def _find_record(self) -> bool:
        """Move to the next object that `resumes_at` takes for a record."""
        window = self._window
        if self._resumes_at is None:
            return False
        while True:
            found = window.text.find("{", window.position)
            if found < 0:
                if window.ended:
                    return False
                window.position = len(window.text)
                window.grow()
                continue
            window.position = found
            window.compact()
            cost, is_record = self._attempt()
            if is_record:
                return True
            self._allowance -= cost
            if self._allowance < 0:
                return False
            window.position += 1

    def _attempt(self) -> tuple[int, bool]:
        """Try to read a record at the window's position: what it cost, and whether it is one.

        Works on slices, because an error counts the lines of all the text it is given.
        """
        window = self._window
        assert self._resumes_at is not None
        size = 4096
        decode = _decode
        while True:
            piece = window.text[window.position : window.position + size]
            try:
                value, end = decode(piece, 0)
            except JSONDecodeError as error:
                if not _wants_more(error, piece):
                    return _ATTEMPT + error.pos, False
                if len(piece) > RECORD_LIMIT:
                    return RECORD_LIMIT, False
                if len(piece) == size:
                    size *= 4
                elif window.ended:
                    return _ATTEMPT + len(piece), False
                else:
                    window.grow()
                continue
            except RecursionError:
                return RECORD_LIMIT, False
            except ValueError:
                decode = _decode_huge_integers
                continue
            if end > RECORD_LIMIT or _is_deep(piece, 0, end, value):
                return RECORD_LIMIT, False
            return _ATTEMPT + end, self._resumes_at(value)

    def _note_early_end(self) -> None:
        if not self._stopped and not self._reasons[CUT_OFF]:
            self._note("ends before its list is closed")

    def _note(self, what: str) -> None:
        if what not in self._notes and len(self._notes) < CAP:
            self._notes.append(what)


class _DamageError(Exception):
    """A record that cannot be used: why, what finding out cost, and its end where that is sure.

    `skip` is how far to move before looking for the next record: past the first character of a bad
    value, but not past what stands where a separator should.
    """

    def __init__(
        self, reason: str, *, cost: int = _FAILURE, end: int | None = None, skip: int = 1
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.cost = cost
        self.end = end
        self.skip = skip


class Replayed:
    """A stream from its start, although its head was read already. It has no I/O of its own."""

    def __init__(self, head: bytes, stream: ByteSource) -> None:
        self._head = memoryview(head)
        self._stream = stream

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; those of the head come first, and alone."""
        if not self._head:
            return self._stream.read(size)
        data = bytes(self._head[:size])
        self._head = self._head[size:]
        return data


class _Window:
    """A sliding stretch of a byte stream as text, which knows the byte offset of its characters.

    Bytes that are not UTF-8 become lone surrogates U+DC80 to U+DCFF, one each, so that offsets
    stay exact; `damaged` says that there may be such.
    """

    def __init__(self, stream: ByteSource, chunk_size: int, begins: int) -> None:
        self._stream = stream
        self._chunk_size = chunk_size
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._mark = 0  # a character of the window, and the byte it starts at
        self._mark_offset = begins
        self._fresh = True
        self.text = ""
        self.position = 0
        self.ended = False
        self.damaged = False

    def offset(self, position: int) -> int:
        """The byte offset in the stream of a character of the window."""
        if self.text.isascii():
            moved = position - self._mark
        elif position >= self._mark:
            moved = _encoded_length(self.text[self._mark : position])
        else:
            moved = -_encoded_length(self.text[position : self._mark])
        self._mark = position
        self._mark_offset += moved
        return self._mark_offset

    def peek(self) -> str:
        """Move past white space; the character there, or '' at the end of the stream."""
        while True:
            here = self.text[self.position : self.position + 1]
            if here > " ":
                return here
            self.position = _after_space(self.text, self.position)
            if self.position < len(self.text):
                return self.text[self.position]
            if self.ended:
                return ""
            self.grow()

    def grow(self) -> None:
        """Drop what lies before the position, and read on: a chunk, or as much as is left here."""
        self.compact(at_least=0)
        # Doubling keeps re-reading a long record linear; past the longest there is no need.
        needed = min(len(self.text), RECORD_LIMIT + 1 - len(self.text))
        data = read_fully(self._stream, max(self._chunk_size, needed))
        self.ended = not data
        more = self._decoder.decode(data, final=self.ended)
        if self._fresh and more:
            self._fresh = False
            if more.startswith(_BYTE_ORDER_MARK):
                more = more[1:]
                self._mark_offset += 3
        # What is left here is short beside what was read, unless one record is being gathered.
        self.text += more
        self.damaged = not _is_utf8(self.text)

    def compact(self, at_least: int = _COMPACT) -> None:
        """Drop what lies before the position, if it is more than `at_least`."""
        if self.position > at_least:
            self.offset(self.position)
            self.text = self.text[self.position :]
            self.position = self._mark = 0


class _LongLine:
    """A line longer than a record may be, as a stream of its own that ends where the line does."""

    def __init__(self, begun: bytes, stream: ByteSource, chunk_size: int) -> None:
        self._piece = memoryview(begun)
        self._stream = stream
        self._chunk_size = chunk_size
        self._ended = False
        self.length = len(begun)
        self.behind: bytes | None = None
        """What was read of the lines behind it; None where there is none."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes of the line."""
        if not self._piece and not self._ended:
            data = read_fully(self._stream, self._chunk_size)
            piece, line_feed, behind = data.partition(b"\n")
            self._ended = bool(line_feed) or not data
            self.behind = behind if line_feed else None
            self._piece = memoryview(piece)
            self.length += len(piece)
        data = bytes(self._piece[:size])
        self._piece = self._piece[size:]
        return data

    def pass_over(self) -> None:
        """Read past its end."""
        while not self._ended:
            self._piece = memoryview(b"")
            self.read(0)


class _Lines:
    """The lines of a byte stream without line feeds; one longer than a record may be as a stream.

    `offset` is where the line at hand begins, `next_offset` where the one behind it does; `at_end`
    says that the stream ends where the line does.
    """

    def __init__(self, stream: ByteSource, chunk_size: int) -> None:
        self._stream = stream
        self._chunk_size = max(chunk_size, len(codecs.BOM_UTF8))
        self.offset = 0
        self.next_offset = 0
        self.at_end = False

    def __iter__(self) -> Iterator[bytes | _LongLine]:
        rest = read_fully(self._stream, self._chunk_size)
        if rest.startswith(codecs.BOM_UTF8):
            rest = rest[len(codecs.BOM_UTF8) :]
            self.next_offset = len(codecs.BOM_UTF8)
        while True:
            *lines, rest = rest.split(b"\n")
            for line in lines:
                self.offset = self.next_offset
                self.next_offset += len(line) + 1
                yield line if len(line) <= RECORD_LIMIT else self._long(line, io.BytesIO())
            if len(rest) > RECORD_LIMIT:
                self.offset = self.next_offset
                long = self._long(rest, self._stream)
                yield long
                long.pass_over()
                self.next_offset += long.length + (long.behind is not None)
                rest = long.behind or b""
            # Doubling keeps gathering a long line linear; past the longest there is no need.
            needed = min(len(rest), RECORD_LIMIT + 1 - len(rest))
            more = read_fully(self._stream, max(self._chunk_size, needed))
            if not more:
                break
            rest += more
        *lines, rest = rest.split(b"\n")
        for line in lines:
            self.offset = self.next_offset
            self.next_offset += len(line) + 1
            yield line
        if rest:
            self.offset = self.next_offset
            self.next_offset += len(rest)
            self.at_end = True
            yield rest

    def _long(self, begun: bytes, stream: ByteSource) -> _LongLine:
        return _LongLine(begun, stream, self._chunk_size)


def _line_decoder() -> tuple[Callable[[bytes], Any], tuple[type[Exception], ...]]:
    """What decodes a line that is one JSON value, and what it raises for all others.

    Where `msgspec` is installed it does so in a third of the time. What it refuses, NaN and lone
    surrogates among it, the standard library then decides, so that both find the same.
    """
    if msgspec := library("msgspec"):
        return msgspec.json.Decoder().decode, (
            msgspec.MsgspecError,
            ValueError,
            RecursionError,
        )
    return _only_value, (ValueError, RecursionError)


def _only_value(line: bytes) -> Any:
    text = line.decode()
    value, end = _decode(text)
    if end != len(text) and _after_space(text, end) != len(text):
        raise JSONDecodeError(NOT_JSON, text, end)
    return value


def _is_deep_line(line: bytes, value: object) -> bool:
    return line.count(b"{") + line.count(b"[") > MAX_DEPTH and _nests_deeper(value)


def _values_of_line(line: bytes) -> Iterator[tuple[int, Any]]:
    """The values of a line, each with the byte it starts at; a `_DamageError` is the last."""
    text = line.decode("utf-8", "surrogateescape")
    position = _after_space(text, 0)
    start = len(text[:position].encode("utf-8", "surrogateescape"))
    while position < len(text):
        try:
            value, end = _whole_value(text, position)
        except _DamageError as damage:
            yield start, damage
            return
        if _ESCAPED.search(text, position, end):
            value = _DamageError(NOT_UTF8)
        yield start, value
        following = _after_space(text, end)
        start += len(text[position:following].encode("utf-8", "surrogateescape"))
        position = following


def _whole_value(line: str, start: int) -> tuple[Any, int]:
    """One value of a line, and its end. Raises `_DamageError`."""
    decode = _decode
    while True:
        try:
            value, end = decode(line, start)
        except JSONDecodeError:
            raise _DamageError(NOT_JSON) from None
        except RecursionError:
            raise _DamageError(TOO_DEEP) from None
        except ValueError:
            decode = _decode_huge_integers
            continue
        if _is_deep(line, start, end, value):
            raise _DamageError(TOO_DEEP)
        return value, end


def _wants_more(error: JSONDecodeError | ValueError | RecursionError, text: str) -> bool:
    """Whether the error may be there only because the text goes on beyond what was read.

    An unterminated string is reported at its start, everything else near where the text ends.
    """
    return isinstance(error, JSONDecodeError) and (
        error.msg.startswith("Unterminated string") or error.pos > len(text) - _MARGIN
    )


def _is_cut(error: JSONDecodeError, text: str) -> bool:
    """Whether the error, in text that goes on no further, is that it goes on no further."""
    return error.msg.startswith("Unterminated string") or bool(_PARTIAL.match(text, error.pos))


def _is_deep(text: str, start: int, end: int, value: object) -> bool:
    """Whether the value nests deeper than `MAX_DEPTH`; nearly always known from a count."""
    if end - start <= _NEVER_DEEP:
        return False
    if text.count("{", start, end) + text.count("[", start, end) <= MAX_DEPTH:
        return False
    return _nests_deeper(value)


def _nests_deeper(value: object) -> bool:
    if not isinstance(value, (dict, list)):
        return False
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for each in level
            for child in (each.values() if isinstance(each, dict) else each)
            if isinstance(child, (dict, list))
        ]
        if not level:
            return False
    return True


def _scalar(value: object) -> object:
    """What is kept of a member beside the records: small, and never a structure."""
    if isinstance(value, str):
        return clip(value)
    return value if value is None or isinstance(value, (bool, int, float)) else None


def _after_space(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position


def _is_utf8(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _encoded_length(text: str) -> int:
    return len(text.encode("utf-8", "surrogateescape"))
