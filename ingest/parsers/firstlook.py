"""One look at an item's first bytes, for all parsers of this package: which of them need be asked.

A format's signs are what its detector insists on, and never more: where they are absent it would
say `Confidence.NONE`. So a parser whose signs are absent is neither asked nor imported, and what is
chosen is what asking all would choose. `tests/ingest/test_parse_firstlook.py` compares the two.

A sign is bytes. In quotes it is a word that stands in quotes as it is, once escaped or not, which
costs a look into a set; without them, or with one, it may stand anywhere, which costs a search.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib import import_module
from typing import BinaryIO

from ingest.parsers.parser import Confidence, Parser, Reading
from ingest.parsers.records import OPENING, shape_of

# What no reading of the first bytes takes for other than JSON, however damaged it is further on.
_SURELY_JSON = re.compile(rb'(?:\xef\xbb\xbf)?[ \t\r\n]*(?:\{[ \t\r\n]*"|\[[ \t\r\n]*[{\[])')

Groups = tuple[tuple[bytes, ...], ...]
"""Groups of signs, of each of which one must be there."""


class FirstLook:
    """What the first bytes of an item are, found out once and only as far as it is asked for."""

    def __init__(self, head: bytes) -> None:
        self.head = head
        self.opens_json = OPENING.match(head) is not None

    @cached_property
    def is_text(self) -> bool:
        """Whether it is no JSON, though it may open like it."""
        if not self.opens_json:
            return True
        return not _SURELY_JSON.match(self.head) and shape_of(self.head) is None

    @cached_property
    def words(self) -> frozenset[bytes]:
        """All that stands between two quotes, escaped or not; between strings, too."""
        return frozenset(self.head.replace(b'\\"', b'"').split(b'"'))

    def has(self, groups: Groups) -> bool:
        """Whether of each group one sign is there."""
        return all(any(map(self._has, group)) for group in groups)

    def _has(self, sign: bytes) -> bool:
        if sign[0] == sign[-1] == 0x22:
            return sign[1:-1] in self.words
        return sign in self.head


@lru_cache(maxsize=2)
def first_look(head: bytes) -> FirstLook:
    """The look at a head; several parsers share it."""
    return FirstLook(head)


@dataclass(frozen=True, slots=True)
class Signs:
    """What must be there for a detector to say anything but `Confidence.NONE`.

    `json` counts where the bytes are JSON, `text` where they are not, `either` always; None where
    the format never looks like that, and no groups where nothing is insisted on.
    """

    json: Groups | None = None
    text: Groups | None = None
    either: Groups | None = None
    start: re.Pattern[bytes] | None = None
    """How the first bytes must be, in every case."""

    def in_(self, look: FirstLook) -> bool:
        """Whether the signs are there."""
        if self.start is not None and not self.start.match(look.head):
            return False
        return (
            (self.either is not None and look.has(self.either))
            or (self.json is not None and look.opens_json and look.has(self.json))
            or (self.text is not None and look.is_text and look.has(self.text))
        )


class Deferred:
    """A parser of this package whose module is imported when its signs are met, or it is asked."""

    def __init__(self, name: str, module: str, signs: Signs) -> None:
        self.name = name
        self.module = module
        self.signs = signs

    @cached_property
    def parser(self) -> Parser:
        """The parser itself."""
        parsers: tuple[Parser, ...] = import_module(f"ingest.parsers.{self.module}").PARSERS
        return next(parser for parser in parsers if parser.name == self.name)

    @property
    def version(self) -> int:
        """The parser's."""
        return self.parser.version

    @property
    def kinds(self) -> tuple[str, ...]:
        """The parser's."""
        return self.parser.kinds

    @property
    def whole(self) -> bool:
        """The parser's."""
        return self.parser.whole

    def detect(self, head: bytes, name: str) -> Confidence:
        """What the parser says, if its signs are there."""
        if not self.signs.in_(first_look(head)):
            return Confidence.NONE
        return self.parser.detect(head, name)

    def read(self, stream: BinaryIO, name: str) -> Reading:
        """What the parser reads."""
        return self.parser.read(stream, name)
