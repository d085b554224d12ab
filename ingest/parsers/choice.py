"""Choosing the parser of an item by its content, among those of this package and of others.

A parser of somebody else's goes through the same door as those of this package.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import BinaryIO

from ingest.parsers import archives, generic, reading
from ingest.parsers.families import BUILT_IN, KNOWN
from ingest.parsers.parser import Confidence, Parser, Reading
from ingest.parsers.reading import FAILED

__all__ = ["FAILED", "GROUP", "choose", "read_facts", "recognise", "with_third_parties"]

GROUP = "evault.parsers"
"""The entry point group in which another package names its parsers, an instance of each."""


def with_third_parties(others: Iterable[Parser]) -> tuple[Parser, ...]:
    """The parsers of this package and others, in order of preference; `others` by their names.

    A known format is read by this package's own parser where both are equally sure, and others
    come before archives and the generic ones. A parser whose name is taken is left out.
    """
    taken = {parser.name for parser in BUILT_IN}
    added: list[Parser] = []
    for parser in sorted(others, key=lambda parser: parser.name):
        if parser.name not in taken:
            taken.add(parser.name)
            added.append(parser)
    plain = (*KNOWN, *added, *generic.PARSERS)
    return (*KNOWN, *added, *archives.over(plain), *generic.PARSERS)


def choose(head: bytes, name: str, parsers: Sequence[Parser] = BUILT_IN) -> Parser:
    """The parser for an item, given its first bytes as they are (`HEAD_SIZE`, or all) and its name.

    Its attribute `whole` says whether `read_facts` will read the item beyond `head`.
    """
    return recognise(head, name, parsers)[0]


def recognise(
    head: bytes, name: str, parsers: Sequence[Parser] = BUILT_IN
) -> tuple[Parser, Confidence]:
    """The parser that `choose` gives, and how sure it is."""
    return reading.recognise(head, name, parsers)


def read_facts(
    stream: BinaryIO, *, head: bytes, name: str, parsers: Sequence[Parser] = BUILT_IN
) -> Reading:
    """Read an item's facts.

    `stream` stands at the item's first byte; `head` is those same first bytes (`HEAD_SIZE`, or all
    if there are fewer). Where the chosen parser wants no more than the head, the stream is not
    touched. Raises only what reading the stream raises.
    """
    return reading.read_with(parsers, stream, head=head, name=name)
