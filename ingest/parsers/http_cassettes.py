"""VCR cassettes: HTTP requests and their answers as test suites record them, in YAML or JSON.

What goes to model providers in them is read as `provider_messages` reads it, whichever client sent
it. Bodies may be texts, JSON in YAML (`parsed_body`), gzip in Base64, or server-sent events. Times
are those of the answers' `Date`. `platforms` are the hosts, `accounts` OpenAI's organisations.

A cassette in YAML is read one interaction at a time: they start at the first column, so that
damage costs the interaction that it is in. Aliases are not followed.
"""

from __future__ import annotations

import base64
import binascii
import io
import re
import zlib
from collections.abc import Iterator
from itertools import islice
from types import ModuleType
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from ingest.parsers.bounded import counted
from ingest.parsers.library import library, unread
from ingest.parsers.lines import LineReader
from ingest.parsers.parser import HEAD_SIZE, Confidence, Reading
from ingest.parsers.provider_messages import KINDS, LABELS, Payloads
from ingest.parsers.records import (
    MAX_DEPTH,
    RECORD_LIMIT,
    TOO_DEEP,
    TOO_LARGE,
    RecordReader,
    Replayed,
    Shape,
    parse_embedded,
    read_fully,
    shape_of,
)
from ingest.parsers.server_events import EVENTS, event_data

_LIST = ("interactions",)
_YAML = re.compile(
    rb"(?:\xef\xbb\xbf)?(?:#[^\n]*\n|---\s*\n|version:[^\n]*\n){0,64}interactions:\s"
)
_FIRST_YAML = re.compile(rb"\n- +(?:request|response):\s")
_BODY_KEYS = ("string", "text", "base64_string")
_LABEL = "VCR cassette"
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")
_PACKED = 16 + zlib.MAX_WBITS


class CassetteParser:
    """Reads a cassette; interactions that are not with a model provider are counted only."""

    name = "vcr-cassette"
    version = 1
    kinds = KINDS
    whole = True

    def detect(self, head: bytes, name: str) -> Confidence:
        """Certain where a list of interactions opens, and its first has a request."""
        del name
        if _YAML.match(head) and _FIRST_YAML.search(head):
            return Confidence.CERTAIN
        if b'"interactions"' not in head or shape_of(head, keys=_LIST) is not Shape.KEYED:
            return Confidence.NONE
        reader = RecordReader(io.BytesIO(head), shape=Shape.KEYED, keys=_LIST)
        first = [value for _, value in islice(reader, 1)]
        found = any(map(_is_interaction, first))
        return Confidence.CERTAIN if found else Confidence.NONE

    def read(self, stream: BinaryIO, name: str) -> Reading:
        """Read every interaction; what is none is a bad record."""
        del name
        head = read_fully(stream, HEAD_SIZE)
        source = Replayed(head, stream)
        tally = _Tally()
        reader: LineReader | RecordReader
        if not _YAML.match(head):
            reader = RecordReader(source, shape=Shape.KEYED, keys=_LIST, resumes_at=_is_interaction)
            for offset, value in reader:
                tally.take(value, offset, reader)
            return tally.reading(self, reader)
        yaml = library("yaml")
        if yaml is None:
            return unread(self, self.name, _LABEL, ("other",))
        reader = LineReader.verbatim(source)
        for offset, text in _interactions(reader):
            try:
                value = _composed(yaml, text)
            except yaml.YAMLError:
                reader.note_bad(offset, "not YAML")
            else:
                tally.take(value, offset, reader)
        return tally.reading(self, reader)


def _is_interaction(value: object) -> bool:
    if not isinstance(value, dict) or not isinstance(request := value.get("request"), dict):
        return False
    return "uri" in request or "url" in request


class _Tally:
    """What the interactions taken so far add up to."""

    def __init__(self) -> None:
        self.payloads = Payloads()
        self.others = 0

    def take(self, value: Any, offset: int, damage: LineReader | RecordReader) -> None:
        """Take an interaction."""
        if not _is_interaction(value):
            damage.note_bad(offset, "no interaction")
            return
        gathered = self.payloads.gathered
        gathered.record()
        request, response = value["request"], value.get("response")
        gathered.add("platforms", _host(request.get("uri", request.get("url"))))
        taken = [self.payloads.take(body) for body in _bodies(request)]
        if isinstance(response, dict):
            taken += [self._take_answer(body) for body in _bodies(response)]
            for name, values in _headers(response):
                if name == "date":
                    gathered.time(values)
                elif name == "openai-organization":
                    gathered.add("accounts", values)
        if not any(taken):
            self.others += 1

    def _take_answer(self, body: object) -> bool:
        if self.payloads.take(body):
            return True
        if isinstance(body, dict) and isinstance(body.get("error"), dict):
            self.payloads.failed(body)
        return False

    def reading(self, parser: CassetteParser, damage: LineReader | RecordReader) -> Reading:
        """The reading of these interactions."""
        payloads = self.payloads
        if payloads.apis:
            payloads.note_missing()
        elif payloads.gathered.clock.quality == "none":
            payloads.gathered.add("not_captured", "times")
        apis = " and ".join(LABELS[api] for api in sorted(payloads.apis))
        told = counted(payloads.gathered.records, "interaction")
        if payloads.apis:
            told += f": {payloads.told()}"
        if self.others:
            told += f"; {self.others:,} with no model"
        facts = payloads.gathered.facts(parser, parser.name, damage)
        return Reading(facts, payloads.kinds(), f"{_LABEL}, {apis}" if apis else _LABEL, told)


def _host(uri: object) -> str | None:
    if not isinstance(uri, str):
        return None
    try:
        return urlsplit(uri).hostname
    except ValueError:
        return None


def _headers(message: dict[str, Any]) -> Iterator[tuple[str, object]]:
    """The headers, in lower case, each with its first value."""
    headers = message.get("headers")
    for name, values in headers.items() if isinstance(headers, dict) else ():
        value = values[0] if isinstance(values, list) and values else values
        if isinstance(name, str):
            yield name.lower(), value


def _bodies(message: dict[str, Any]) -> Iterator[object]:
    """The JSON of a body; of server-sent events, each."""
    if (parsed := message.get("parsed_body")) is not None:
        yield parsed
        return
    body = message.get("body")
    if isinstance(body, dict):
        inner = next((body[key] for key in _BODY_KEYS if body.get(key) is not None), None)
        if inner is None:
            yield body
            return
        body = inner
    if isinstance(body, str):
        body = _unpacked(body)
        value = parse_embedded(body)
        if value is not None:
            yield value
        elif EVENTS.match(body[:4096].encode("utf-8", "surrogateescape")):
            lines = LineReader.verbatim(io.BytesIO(body.encode("utf-8", "surrogateescape")))
            for _, text in event_data(lines):
                yield parse_embedded(text)


def _unpacked(text: str) -> str:
    """The text of a body that may be gzip in Base64, as far as it can be unpacked."""
    if not text.lstrip().startswith("H4sI"):
        return text
    try:
        packed = base64.b64decode(text)
        return zlib.decompressobj(_PACKED).decompress(packed, RECORD_LIMIT).decode("utf-8")
    except (binascii.Error, zlib.error, ValueError):
        return text


# YAML, an interaction at a time.


def _interactions(lines: LineReader) -> Iterator[tuple[int, str]]:
    """Each interaction's text, with its offset: from '- ' in the first column to the next."""
    parts: list[str] = []
    start = size = 0
    for offset, line in lines:
        ends = line[:1] not in (" ", "\t", "")
        if parts and ends:
            if size <= RECORD_LIMIT:
                yield start, "\n".join(parts)
            parts, size = [], 0
        if ends and line.startswith("- "):
            start = offset
        if parts or (ends and line.startswith("- ")):
            size += len(line) + 1
            if size <= RECORD_LIMIT:
                parts.append(line)
            elif parts[0]:
                lines.note_bad(start, TOO_LARGE)
                parts = [""]
    if parts and size <= RECORD_LIMIT:
        yield start, "\n".join(parts)


def _composed(yaml: ModuleType, text: str) -> Any:
    """The first entry of a list in YAML: lists, dicts and texts. Raises `yaml.YAMLError`.

    Events come one by one and nothing calls itself, so that nesting costs no stack.
    """
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    root: list[Any] = []
    stack: list[Any] = [root]
    names: list[str | None] = [None]
    for event in yaml.parse(_printable(text), Loader=loader):
        kind = type(event).__name__
        if kind in ("SequenceEndEvent", "MappingEndEvent"):
            stack.pop()
            names.pop()
            continue
        if kind == "ScalarEvent":
            value: Any = event.value
            if event.implicit[0] and value in ("", "~", "null"):
                value = None
        elif kind in ("SequenceStartEvent", "MappingStartEvent"):
            value = [] if kind == "SequenceStartEvent" else {}
        elif kind == "AliasEvent":
            value = None
        else:
            continue
        above = stack[-1]
        if isinstance(above, list):
            above.append(value)
        elif names[-1] is None:
            names[-1] = value if isinstance(value, str) else ""
        else:
            above[names[-1]] = value
            names[-1] = None
        if isinstance(value, (list, dict)):
            if len(stack) > MAX_DEPTH:
                raise yaml.YAMLError(TOO_DEEP)
            stack.append(value)
            names.append(None)
    first = root[0] if root and isinstance(root[0], list) and root[0] else None
    return first[0] if first else None


def _printable(text: str) -> str:
    """The text without characters that YAML forbids: they may come from the other side."""
    return _FORBIDDEN.sub("\ufffd", text)


PARSERS = (CassetteParser(),)
