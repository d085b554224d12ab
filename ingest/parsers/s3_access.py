"""S3 server access logs: every request to a bucket that was logged, also the unsigned. Best effort.

One line is one request, of 17 fields at first and 26 today; more may come, so those behind are
taken as they are. `-` says that there is none. AWS delivers these logs hours late and without
promise: a request that is not in them may have been made all the same, so there are no `gaps`.

- `principals` are requesters: an ARN, or the canonical id of an account; `(unsigned)` is whoever
  sent no credentials.
- `accounts` are the bucket's owner (a canonical id) and the account of a requester's ARN.
- `datasets` are `s3://bucket[/key]`. Keys are logged URL-encoded, and decoded here.
- `actions` are operations as logged: `REST.GET.OBJECT`, `BATCH.DELETE.OBJECT`. A copy is logged
  twice, as `REST.COPY.OBJECT_GET` of its source and `REST.COPY.OBJECT` of its target.
- `decisions` follow the HTTP status and the error code.
- `scopes` are the access points that requests came through.
"""

from __future__ import annotations

import re
from typing import BinaryIO
from urllib.parse import unquote

from ingest.parsers.access import Actor, Datasets, Requests, of_status, summary
from ingest.parsers.lines import LineReader, recognised
from ingest.parsers.parser import Confidence, Reading
from ingest.parsers.times import Time

UNSIGNED = "(unsigned)"
UNDELIVERED = "requests whose delivery failed (best effort)"

_FEWEST_FIELDS = 17
_BEGINNING = re.compile(
    r"(?P<owner>[0-9a-f]{4,64}|-) (?P<bucket>[^\s/]{1,255}) \[(?P<time>[^\]]{20,32})\] (?P<ip>\S+) "
    r"(?P<requester>\S+) (?P<request>\S+) (?P<operation>[A-Z0-9]+\.[A-Za-z0-9._]+) (?P<key>\S+) ",
    re.ASCII,
)
_STATUS, _ERROR, _ACCESS_POINT = 1, 2, 16  # of the fields behind the key
_DENIED = frozenset(
    (
        "AccessDenied",
        "AccountProblem",
        "AllAccessDisabled",
        "ExpiredToken",
        "InvalidAccessKeyId",
        "InvalidToken",
        "SignatureDoesNotMatch",
    )
)


class S3AccessParser:
    """Reads the lines of server access logs, of one bucket or many."""

    name = "s3-access"
    version = 1
    kinds = ("access_log",)
    whole = True

    def detect(self, head: bytes, name: str) -> Confidence:
        """Certain where lines begin with owner, bucket, time, address, requester and operation."""
        del name
        return recognised(head, _BEGINNING.match) if b"] " in head else Confidence.NONE

    def read(self, stream: BinaryIO, name: str) -> Reading:
        """Read every line."""
        del name
        reader = LineReader(stream)
        log = _Log()
        for offset, line in reader:
            match = _BEGINNING.match(line)
            fields = fields_of(line[match.end() :]) if match else []
            if match is None:
                reader.note_bad(offset, "not a line of an S3 access log")
            elif len(fields) + 8 < _FEWEST_FIELDS:
                reader.note_bad(offset, "fewer fields than an S3 access log has")
            else:
                log.take(match, fields)
        return log.reading(self, reader)


class _Log:
    def __init__(self) -> None:
        self._requests = Requests()
        self._datasets = Datasets()
        self._times: tuple[str, Time | None] = ("", None)

    def take(self, match: re.Match[str], fields: list[str]) -> None:
        """Take one line; `fields` are those behind the key."""
        requests = self._requests
        requests.record(f"{match['request']} {match['operation']} {match['key']}")
        requester = match["requester"]
        actor = requests.actor(UNSIGNED if requester == "-" else requester)
        self._happened(match["time"], actor)
        if match["owner"] != "-":
            requests.add("accounts", match["owner"])
        if requester.startswith("arn:"):
            requests.add("accounts", *requester.split(":", 5)[4:5])
        requests.add("actions", match["operation"])
        key = match["key"]
        bucket = match["bucket"]
        if bucket != "-":
            self._datasets.add(f"s3://{bucket}", None if key == "-" else unquote(key))
        requests.decision(_decided(fields[_STATUS], fields[_ERROR]))
        if len(fields) > _ACCESS_POINT and fields[_ACCESS_POINT].startswith("arn:"):
            requests.add("scopes", fields[_ACCESS_POINT])

    def _happened(self, text: str, actor: Actor | None) -> None:
        # Requests of one second are many, and lie together.
        if text == self._times[0]:
            time = self._times[1]
        else:
            time = self._requests.time(text)
            self._times = (text, time) if time is not None and time.zoned else ("", None)
        self._requests.acted(actor, time)

    def reading(self, parser: S3AccessParser, reader: LineReader) -> Reading:
        """What all this says of the item."""
        self._requests.add("platforms", "aws")
        self._requests.add("not_captured", UNDELIVERED)
        facts = self._datasets.into(self._requests.facts(parser, damage=reader))
        return Reading(facts, parser.kinds, "S3 access log", summary(facts, "request"))


def fields_of(text: str) -> list[str]:
    """The fields, which spaces part but for those in quotes; nothing escapes a quote inside."""
    fields = []
    position = 0
    closing = True
    while position < len(text):
        if closing and text[position] == '"':
            end = text.find('" ', position + 1)
            if end < 0 and text.endswith('"') and position + 1 < len(text):
                end = len(text) - 1
            if end >= 0:
                fields.append(text[position : end + 1])
                position = end + 2
                continue
            closing = False  # nor does any quote behind this one
        end = text.find(" ", position)
        end = len(text) if end < 0 else end
        fields.append(text[position:end])
        position = end + 1
    return fields


def _decided(status: str, error: str) -> str:
    if error in _DENIED:
        return "denied"
    if len(status) != 3 or not status.isdecimal() or not status.isascii():
        return "unknown" if error == "-" else "failed"
    return of_status(int(status))


PARSERS = (S3AccessParser(),)
