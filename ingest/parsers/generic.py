"""What can be said of any file: empty, JSON, text or unknown binary. Claims nothing more."""

from __future__ import annotations

import codecs
from typing import BinaryIO

from ingest.parsers.bounded import counted
from ingest.parsers.parser import Confidence, Reading
from ingest.parsers.records import RecordReader, shape_of
from verify.facts import Facts

_CHUNK = 256 << 10


class EmptyParser:
    """Zero bytes: an item all the same, for instance the answer of a query that found nothing."""

    name = "empty"
    version = 1
    kinds = ("other",)
    whole = False

    def detect(self, head: bytes, name: str) -> Confidence:
        """Certain where there is nothing."""
        del name
        return Confidence.NONE if head else Confidence.CERTAIN

    def read(self, stream: BinaryIO, name: str) -> Reading:
        """Say that the item is empty."""
        del stream, name
        return Reading(Facts(self.name, self.version, "empty"), self.kinds, "empty", "empty")


class JsonParser:
    """JSON of no known format: how many records there are, and which do not parse.

    Records are the values of a top-level list, else the documents of the file, usually one a line.
    """

    name = "json"
    version = 1
    kinds = ("other",)
    whole = True

    def detect(self, head: bytes, name: str) -> Confidence:
        """Likely where the first bytes are JSON as far as they go."""
        del name
        return Confidence.LIKELY if shape_of(head) else Confidence.NONE

    def read(self, stream: BinaryIO, name: str) -> Reading:
        """Count the records."""
        del name
        reader = RecordReader.of_any_shape(stream)
        records = sum(1 for _ in reader)
        facts = Facts(
            self.name,
            self.version,
            "json",
            records=records,
            bad_records=reader.bad,
            bad_offsets=tuple(reader.bad_offsets),
            problems=reader.problems(),
        )
        summary = counted(records, "record")
        if reader.bad:
            summary += f", {reader.bad:,} bad"
        return Reading(facts, self.kinds, "JSON", summary)


class TextParser:
    """UTF-8 text: how many lines it has. Records are lines."""

    name = "text"
    version = 1
    kinds = ("other",)
    whole = True

    def detect(self, head: bytes, name: str) -> Confidence:
        """Weak where the first bytes are UTF-8 without NUL: text is what nothing else claims."""
        del name
        if not head or b"\0" in head:
            return Confidence.NONE
        try:
            # Not final: the last character may be cut where the head ends.
            codecs.getincrementaldecoder("utf-8")().decode(head)
        except UnicodeDecodeError:
            return Confidence.NONE
        return Confidence.WEAK

    def read(self, stream: BinaryIO, name: str) -> Reading:
        """Count the lines; a last line without a line feed counts."""
        del name
        decoder = codecs.getincrementaldecoder("utf-8")()
        lines = seen = 0
        ended = b"\n"
        problems: list[str] = []
        while True:
            chunk = stream.read(_CHUNK)
            if not problems:
                held = len(decoder.getstate()[0])
                try:
                    decoder.decode(chunk, final=not chunk)
                except UnicodeDecodeError as error:
                    problems.append(f"not UTF-8 from byte {seen - held + error.start}")
            if not chunk:
                break
            lines += chunk.count(b"\n")
            seen += len(chunk)
            ended = chunk[-1:]
        if ended != b"\n":
            lines += 1
        facts = Facts(self.name, self.version, "text", records=lines, problems=tuple(problems))
        return Reading(facts, self.kinds, "text", counted(lines, "line"))


class BinaryParser:
    """Anything else. It looks at nothing, so that a memory dump costs nothing."""

    name = "binary"
    version = 1
    kinds = ("other",)
    whole = False

    def detect(self, head: bytes, name: str) -> Confidence:
        """Weak, always: the last resort."""
        del head, name
        return Confidence.WEAK

    def read(self, stream: BinaryIO, name: str) -> Reading:
        """Say that nothing is known."""
        del stream, name
        facts = Facts(self.name, self.version, "binary")
        return Reading(facts, self.kinds, "binary", "unknown binary")


PARSERS = (EmptyParser(), JsonParser(), TextParser(), BinaryParser())
