"""What an incident took over from streams: that it restates items as the cited manifests have them.

An incident restates an item of a stream in full, so that its own chain needs nothing else. The
manifest that claimed the item first is cited beside it, with its place in the log: that is when the
vault had it. Nothing is claimed of the stream beyond the manifests cited. FORMAT.md §9.6. No I/O.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from verify.chain import Manifest
from verify.errors import ChainError
from verify.incident import ChainState, Exhibit
from verify.statement import Capture, Item, Pack, Place, Type, parse_capture
from verify.strictjson import Object


@dataclass(frozen=True, slots=True, order=True)
class Citation:
    """A stream's manifest that an incident cites, by its place."""

    chain: str
    sequence: int

    @property
    def name(self) -> str:
        """How reports name it: `stream:web link 3`."""
        return f"{self.chain} link {self.sequence}"


def citations(state: ChainState) -> dict[Citation, list[Exhibit]]:
    """The manifests that a chain cites, in order, each with the exhibits that it is cited for."""
    cited: dict[Citation, list[Exhibit]] = {}
    for exhibit in state.exhibits.values():
        origin = exhibit.item.origin
        if origin is not None:
            cited.setdefault(Citation(origin.chain, origin.sequence), []).append(exhibit)
    return dict(sorted(cited.items()))


def check_cited(citation: Citation, manifest: Manifest, *, log: str) -> Capture:
    """The capture in a cited manifest. Raises `ChainError` unless it is the one cited.

    Its signature is not looked at here, nor its place in the log.
    """
    statement = manifest.statement
    found = Citation(statement.link.chain, statement.link.sequence)
    if found != citation:
        raise ChainError(f"is {found.name}")
    if statement.log != log:
        raise ChainError(f"was made for log {statement.log}, not {log}")
    if statement.type != Type.CAPTURE:
        raise ChainError(f"is no capture but a {statement.type.value}")
    return parse_capture(statement.body, where=citation.name)


def check_restated(
    exhibit: Exhibit, manifest: Manifest, capture: Capture, items: Mapping[str, Item]
) -> None:
    """Raise `ChainError` unless an exhibit is the cited item, in everything but number and name.

    `items` are those of the capture, by name: one look-up for each of many exhibits.
    """
    origin = exhibit.item.origin
    assert origin is not None
    if origin.leaf != manifest.leaf:
        raise ChainError(
            f"cites {origin.chain} link {origin.sequence} as {origin.leaf}, "
            f"which is {manifest.leaf}"
        )
    item = items.get(origin.exhibit)
    if item is None:
        raise ChainError(f"cites {origin.exhibit}, which link {origin.sequence} does not have")
    stated = _plain(exhibit.item, exhibit.packs, exhibit.system, exhibit.source)
    cited = _plain(item, capture.packs, capture.system, capture.source)
    differing = [name for name in cited if stated[name] != cited[name]]
    if differing:
        raise ChainError(
            f"is not {origin.exhibit} of {origin.chain} link {origin.sequence} as sealed there: "
            f"{', '.join(differing)} differ"
        )


def _plain(
    item: Item, packs: Sequence[Pack], system: str | None, source: str | None
) -> Mapping[str, object]:
    """Everything that is restated; places without the number that a pack has in its manifest."""
    return {
        "description": (item.description.sha256, item.description.size),
        "description.location": _located(item.description.place, packs),
        "kinds": item.kinds,
        "location": _located(item.place, packs),
        "sha256": item.sha256,
        "size": item.size,
        "source": source,
        "stored": item.stored,
        "system": system,
    }


def _located(place: Place, packs: Sequence[Pack]) -> Object:
    if place.pack is None:
        return place.to_json()
    located = place.to_json() | packs[place.pack].to_json()
    del located["pack"]
    return located
