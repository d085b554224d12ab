"""Server-sent events in a text: how a stream of them starts, and their data. No I/O."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ingest.parsers.lines import LineReader
from ingest.parsers.records import RECORD_LIMIT, TOO_LARGE

EVENTS = re.compile(
    rb"(?:\xef\xbb\xbf)?(?::[^\n]*\n|\r?\n){0,64}(?:event|data|id|retry):[^\n]{1,256}", re.ASCII
)
"""How a stream of server-sent events starts."""


def event_data(lines: LineReader) -> Iterator[tuple[int, str]]:
    """The data of server-sent events, each with the offset of its first line; `[DONE]` is none."""
    parts: list[str] = []
    start = size = 0
    for offset, line in lines:
        if line.startswith("data:"):
            start = start if parts else offset
            parts.append(line[len("data:") :].removeprefix(" "))
            size += len(line)
        if parts and (not line or size > RECORD_LIMIT):
            if size > RECORD_LIMIT:
                lines.note_bad(start, TOO_LARGE)
            elif parts != ["[DONE]"]:
                yield start, "\n".join(parts)
            parts, size = [], 0
    if parts and parts != ["[DONE]"]:
        yield start, "\n".join(parts)
