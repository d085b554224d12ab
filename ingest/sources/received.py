"""One content that another party sends, piece by piece, as it comes."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

from ingest.source import Found, Reader


class ReceivedSource:
    """`Source` over the pieces of one content. What ends them early is raised to who collects."""

    def __init__(self, pieces: Iterator[bytes], *, name: str, size: int | None) -> None:
        """A source; `size` is what the sender announced, None for unknown."""
        self._pieces = pieces
        self._size = size
        self._found = Found(name=name, name_bytes=None, path=name, size=size or 0, modified_at=None)

    def survey(self) -> Iterator[Found]:
        """The one content."""
        yield self._found

    def open(self, found: Found) -> Reader:
        """Begin to receive; only once."""
        del found
        return ReceivedReader(self._pieces, self._size)


class ReceivedReader:
    """`Reader` of pieces; of one whose size nobody announced, a single piece tells it."""

    def __init__(self, pieces: Iterator[bytes], size: int | None) -> None:
        self._first: list[bytes] = []
        self._rest = pieces
        self.size = size
        if size is None:
            self._first = list(itertools.islice(pieces, 2))
            if len(self._first) < 2:
                self.size = sum(len(each) for each in self._first)

    def pieces(self) -> Iterable[bytes]:
        """The bytes, once, as they come."""
        first, self._first = self._first, []
        return itertools.chain(first, self._rest)

    def settle(self, sha256: str) -> tuple[str, ...]:
        """What was sent cannot be looked at again."""
        del sha256
        return ()

    def close(self) -> None:
        """The pieces belong to whoever gave them."""
