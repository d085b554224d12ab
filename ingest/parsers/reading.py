"""Reading an item with that one of some parsers which its bytes ask for. Refuses nothing.

Gzip is seen through here, so that no parser knows of it: facts, and the byte offsets in them, are
those of the unpacked bytes, and `format_label` and `problems` say that there was gzip. A gzip file
inside a gzip file is unknown binary.

Whatever a parser raises costs its facts, never the evidence.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import PurePath
from typing import BinaryIO

from ingest.parsers.bounded import clip, within_limit
from ingest.parsers.firstlook import Deferred, first_look
from ingest.parsers.gunzip import Unpacked, is_gzip, unpack_head
from ingest.parsers.parser import HEAD_SIZE, Confidence, Parser, Reading
from ingest.parsers.records import ByteSource
from verify.errors import EvidenceError, MalformedError
from verify.facts import CAP, Facts, check_times
from verify.statement import check_kind

FAILED = "the parser failed"


def recognise(head: bytes, name: str, parsers: Sequence[Parser]) -> tuple[Parser, Confidence]:
    """The parser for an item, given its first bytes as they are, and how sure it is.

    `head` is the first `HEAD_SIZE` bytes, or all; among equally sure parsers the earlier reads.
    """
    return _recognised(head, name, tuple(parsers))


@lru_cache(maxsize=2)  # the same item is asked about when it is chosen, and when it is read
def _recognised(head: bytes, name: str, parsers: tuple[Parser, ...]) -> tuple[Parser, Confidence]:
    unpacked, name = _see_through(head, name)
    inner = head[:HEAD_SIZE] if unpacked is None else unpacked
    best, most = parsers[-1], Confidence.NONE
    look = first_look(inner)
    for parser in parsers:
        if isinstance(parser, Deferred) and not parser.signs.in_(look):
            continue
        sure = _confidence(parser, inner, name)
        if sure > most:
            best, most = parser, sure
        if sure is Confidence.CERTAIN:
            break  # none can be surer, and among equally sure ones the earlier reads
    return best, most


def read_with(
    parsers: Sequence[Parser],
    stream: BinaryIO,
    *,
    head: bytes,
    name: str,
    gunzip: Callable[[ByteSource], Unpacked] = Unpacked,
) -> Reading:
    """Read an item's facts.

    `stream` stands at the item's first byte; `head` is those same first bytes (`HEAD_SIZE`, or all
    if there are fewer). Where the chosen parser wants no more than the head, the stream is not
    touched. Raises only what reading the stream raises.
    """
    parser, _ = recognise(head, name, parsers)
    unpacked, name = _see_through(head, name)
    if unpacked is None:
        return _read(parser, stream if parser.whole else io.BytesIO(head), name)
    gzip = gunzip(stream)
    source = io.BufferedReader(gzip, HEAD_SIZE) if parser.whole else io.BytesIO(unpacked)
    reading = _read(parser, source, name)
    problems = (*gzip.problems, *reading.facts.problems)
    if reading.facts.bad_offsets:
        problems = (*problems, "gzip: the offsets of bad records count unpacked bytes")
    facts = replace(reading.facts, problems=problems[:CAP])
    return replace(reading, facts=facts, format_label=f"{reading.format_label}, gzip")


def _confidence(parser: Parser, head: bytes, name: str) -> Confidence:
    try:
        return Confidence(parser.detect(head, name))
    except Exception:  # noqa: BLE001 — whoever cannot say is not sure
        return Confidence.NONE


def _read(parser: Parser, stream: BinaryIO, name: str) -> Reading:
    try:
        return _sound(parser.read(stream, name))
    except (OSError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 — evidence is kept whatever its parser does
        detail = str(error) if isinstance(error, EvidenceError) else type(error).__name__
        facts = Facts(
            clip(parser.name),
            parser.version,
            "unknown",
            problems=(clip(f"{FAILED}: {detail}"),),
        )
        return Reading(facts, ("other",), f"unread ({clip(parser.name)} failed)", "not read")


def _sound(reading: Reading) -> Reading:
    """The reading with facts that a verifier will read back as they are. Raises if it has none."""
    facts = within_limit(reading.facts)
    if Facts.from_json(facts.to_json(), where="facts") != facts:
        raise MalformedError("its facts are not read back as they were")
    check_times(facts, where="facts")
    kinds = tuple(check_kind(kind) for kind in reading.kinds)
    return Reading(facts, kinds, clip(reading.format_label), clip(reading.summary))


def _see_through(head: bytes, name: str) -> tuple[bytes | None, str]:
    """The first unpacked bytes and the name without '.gz'; None, and the name as it is."""
    unpacked = unpack_head(head, HEAD_SIZE) if is_gzip(head) else None
    if unpacked is None:
        return None, name
    return unpacked, name[: -len(".gz")] if PurePath(name).suffix.lower() == ".gz" else name
