"""Several sources as one: what each of them holds, in their order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ingest.source import Found, Reader, Source


class JoinedSource:
    """`Source` over sources; what was found is opened where it was found."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = sources
        self._where: dict[int, tuple[Found, Source]] = {}

    def survey(self) -> Iterator[Found]:
        """Everything, nothing twice within one source."""
        for source in self._sources:
            for found in source.survey():
                self._where[id(found)] = (found, source)  # kept, so that its id stays its own
                yield found

    def open(self, found: Found) -> Reader:
        """Open it at its own source."""
        return self._where[id(found)][1].open(found)
