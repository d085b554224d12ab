"""Bringing a window of a stream into an incident: items are restated, bytes are shared.

(1) have everything kept that is committed, and choose; then, alone with what protects the
incident's evidence and all shared objects: (2) lay on the stream's objects what the incident needs
of them; (3) say on the stream's chain where its items go, so that whoever changes its protection
counts the incident too; (4) only then claim them on the incident's chain. Whoever dies in between
leaves more protected than is needed, and a stream that says so; the same command again goes on from
there. What the incident has already, from whichever window, is not taken a second time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from vault.deposit import Door, Draft, Receipt
from vault.errors import RefusedError, StaleHeadError, UnavailableError
from vault.evidence import fingerprint
from vault.incidents import Chain, Incidents, subjects_of
from vault.ports import ChainHead, Clock, Sighting
from vault.retention import Guard, Retention
from vault.ulid import new_ulid
from vault.window import Chosen, Window, claimed, names_of
from verify.coverage import Interval
from verify.description import parse_description
from verify.errors import EvidenceError
from verify.incident import Exhibit, Incident
from verify.instant import format_instant
from verify.statement import (
    MAX_ITEMS,
    Capture,
    Described,
    Item,
    Origin,
    Pack,
    Place,
    Subject,
    Type,
    exhibit_name,
    parse_capture,
)
from verify.strictjson import Object, dumps

Progress = Callable[[int, int], None]
"""Called with how many of a stream's links were read, of how many."""

_PAYLOAD_BUDGET = 6 << 20
"""Of the limit of 8 MiB: what is counted are items, subjects and packs."""
_SUBJECT_SIZE = 130
_ATTEMPTS = 5


@dataclass(slots=True)
class Preserved:
    """What a window came to in an incident."""

    window: Window
    new: list[tuple[str, Chosen]] = field(default_factory=list)
    """Exhibit and item, in the order of the incident's exhibits."""
    already: list[tuple[str, str]] = field(default_factory=list)
    """Exhibit and item of what the incident had before, withdrawn or not."""
    gone: list[str] = field(default_factory=list)
    """Items whose bytes the store has no more: they cannot be claimed."""
    classified: list[str] = field(default_factory=list)
    """Items new here whose kinds were changed in the stream; they are restated as captured."""
    receipts: list[Receipt] = field(default_factory=list)


@dataclass(slots=True)
class _Part:
    """What becomes one link: items of one system and source, and the packs that they lie in."""

    system: str | None
    source: str | None
    chosen: list[Chosen] = field(default_factory=list)
    packs: dict[Pack, int] = field(default_factory=dict)
    payload: int = 0


class Preserver:
    """Brings windows of one vault's streams into its incidents."""

    def __init__(
        self, *, door: Door, incidents: Incidents, retention: Retention, clock: Clock
    ) -> None:
        self._door = door
        self._incidents = incidents
        self._retention = retention
        self._clock = clock

    def preserve(
        self,
        incident_id: str,
        stream_id: str,
        start: datetime,
        end: datetime,
        *,
        collector: Object,
        progress: Progress = lambda _done, _of: None,
    ) -> Preserved:
        """Bring in what overlaps a window, ends included; says also what the window lacks.

        Raises `NotFoundError`, `RefusedError` for a closed incident, and as `Door.deposit`.
        """
        check_open(self._incidents.read(incident_id).incident)
        # What is said to be there already is a promise, and what is cited must be in the log.
        self._door.settle()
        stream = self._incidents.read(stream_id)
        if None in stream.indices:
            raise UnavailableError(f"{stream_id} is not in the log yet; run the command again")
        result = Preserved(self._look(stream, start, end, progress))
        if not result.window.chosen:
            return result
        with self._retention.alone(incident_id):
            for _ in range(_ATTEMPTS):
                try:
                    self._bring(incident_id, stream, result, collector)
                    return result
                except StaleHeadError:
                    continue  # what the incident's evidence needs has changed
        raise StaleHeadError(f"others keep changing {incident_id}; run the command again")

    def _look(self, stream: Chain, start: datetime, end: datetime, progress: Progress) -> Window:
        """Step 1: every item of the stream is held against the window."""
        window = Window(_milliseconds(start), _milliseconds(end))
        sequence = -1
        for name, data in self._incidents.description_attempts(stream):
            exhibit = stream.state.exhibits[name]
            if isinstance(data, EvidenceError):
                window.unreadable.append(name)
                continue
            window.add(exhibit, parse_description(data, where=f"description of {name}"))
            if exhibit.sequence != sequence:
                sequence = exhibit.sequence
                progress(sequence + 1, len(stream.manifests))
        cited = {each.exhibit.sequence for each in window.chosen}
        for manifest in stream.manifests:
            statement = manifest.statement
            if statement.type != Type.CAPTURE:
                continue
            window.captures.append(statement.recorded_at)
            if statement.link.sequence in cited or window.holds(statement.recorded_at):
                capture = parse_capture(statement.body, where=manifest.name)
                window.not_captured += capture.not_captured
        return window

    def _bring(self, incident_id: str, stream: Chain, result: Preserved, collector: Object) -> None:
        """Steps 2 to 4, for whoever is alone with it."""
        guard = self._retention.guard(incident_id)
        incident = self._incidents.read(incident_id).incident
        check_open(incident)
        there = restated(incident, stream.state.id)
        chosen = result.window.chosen
        result.already = [(there[name], name) for name in names_of(chosen) if name in there]
        wanted = [each for each in chosen if each.exhibit.item.exhibit not in there]
        # Read anew, now that nobody else brings anything in: others may have, since it was chosen
        # from, and what they hold must stay held.
        shared = self._incidents.read(stream.state.id)
        gone = self._retention.cover(guard, shared, names_of(wanted))
        result.gone = sorted(gone)
        wanted = [each for each in wanted if each.exhibit.item.exhibit not in gone]
        if not wanted:
            return
        self._announce(incident_id, stream, wanted, result.window)
        result.receipts, result.new = self._claim(
            incident_id, stream, wanted, guard, result.window, collector
        )
        result.classified = [
            each.exhibit.item.exhibit
            for each in wanted
            if set(each.exhibit.kinds) != set(each.exhibit.item.kinds)
        ]

    def _announce(
        self, incident_id: str, stream: Chain, wanted: Sequence[Chosen], window: Window
    ) -> None:
        """Say on the stream's chain where its items go; once for each."""
        known = self._incidents.read(stream.state.id).stream.preserved.get(incident_id, ())
        exhibits = [each.exhibit for each in wanted if each.exhibit.item.exhibit not in known]
        for start in range(0, len(exhibits), MAX_ITEMS):
            some = exhibits[start : start + MAX_ITEMS]
            body: Object = {
                "event": "preserved",
                "exhibits": [each.item.exhibit for each in some],
                "from": format_instant(window.start),
                "incident": incident_id,
                "to": format_instant(window.end),
            }
            self._incidents.state(stream.state.id, Type.CUSTODY, body, subject=subjects_of(some))

    def _claim(
        self,
        incident_id: str,
        stream: Chain,
        wanted: Sequence[Chosen],
        guard: Guard,
        window: Window,
        collector: Object,
    ) -> tuple[list[Receipt], list[tuple[str, Chosen]]]:
        """Step 4: one link for each system and source, in one transaction."""
        parts = list(_parts(wanted))
        deposit = f"preserve-{new_ulid(self._clock())}"
        deposits = [
            deposit if len(parts) == 1 else f"{deposit}/{number}"
            for number in range(1, len(parts) + 1)
        ]
        method = (
            f"preserved from {stream.state.id}, {format_instant(window.start)} to "
            f"{format_instant(window.end)}"
        )
        named: list[tuple[str, Chosen]] = []

        def build(head: ChainHead) -> list[Draft]:
            if head.guarded > guard.at:
                raise StaleHeadError(f"{incident_id} came to need other protection")
            named.clear()
            drafts = []
            for number, (part, each) in enumerate(zip(parts, deposits, strict=True), start=1):
                items = []
                for chosen in part.chosen:
                    name = exhibit_name(head.exhibits + len(named) + 1, chain=incident_id)
                    items.append(_restate(name, chosen.exhibit, part.packs, stream))
                    named.append((name, chosen))
                body = Capture(
                    system=part.system,
                    source=part.source,
                    method=method,
                    collector=collector,
                    capture_id=deposit,
                    part=number,
                    of=len(parts),
                    items=tuple(items),
                    packs=tuple(part.packs),
                    not_captured=0,
                    not_captured_list=None,
                )
                subject = tuple(Subject(item.exhibit, item.sha256) for item in items)
                seen_as = tuple(_sightings(part, items))
                drafts.append(Draft(Type.CAPTURE, body.to_json(), each, subject, seen_as))
            return drafts

        return self._door.deposit(incident_id, deposits, build), named


def check_open(incident: Incident) -> None:
    """Raise `RefusedError` for a closed incident."""
    if incident.sealed:
        raise RefusedError(
            f"{incident.id} is closed and sealed; to add to it, run: "
            f"evault incident reopen {incident.id} --reason TEXT"
        )


def restated(incident: Incident, stream: str) -> dict[str, str]:
    """The incident's exhibit for each item of a stream that it has already."""
    return {
        exhibit.item.origin.exhibit: name
        for name, exhibit in incident.exhibits.items()
        if exhibit.item.origin and exhibit.item.origin.chain == stream
    }


def _parts(wanted: Iterable[Chosen]) -> Iterator[_Part]:
    """The links that these items become: a link has one system and source, and its limits."""
    opened: dict[tuple[str | None, str | None], list[_Part]] = {}
    for each in wanted:
        key = (each.exhibit.system, each.exhibit.source)
        parts = opened.setdefault(key, [_Part(*key)])
        cost = _SUBJECT_SIZE + 300 + len(dumps(each.exhibit.item.to_json()))
        packs = dict.fromkeys(_packs_of(each.exhibit))
        cost += sum(len(dumps(pack.to_json())) for pack in packs if pack not in parts[-1].packs)
        part = parts[-1]
        if part.chosen and (len(part.chosen) >= MAX_ITEMS or part.payload + cost > _PAYLOAD_BUDGET):
            part = _Part(*key)
            parts.append(part)
        part.chosen.append(each)
        part.payload += cost
        for pack in packs:
            part.packs.setdefault(pack, len(part.packs))
    for parts in opened.values():
        yield from parts


def _packs_of(exhibit: Exhibit) -> Iterator[Pack]:
    for place in (exhibit.item.place, exhibit.item.description.place):
        if place.pack is not None:
            yield exhibit.packs[place.pack]


def _restate(name: str, exhibit: Exhibit, packs: dict[Pack, int], stream: Chain) -> Item:
    """An item of a stream as an incident claims it: the same, under a number of its own."""
    item = exhibit.item

    def placed(place: Place) -> Place:
        if place.pack is None:
            return place
        number = packs[exhibit.packs[place.pack]]
        return Place(pack=number, offset=place.offset, length=place.length)

    described = item.description
    return Item(
        exhibit=name,
        kinds=item.kinds,
        sha256=item.sha256,
        size=item.size,
        stored=item.stored,
        place=placed(item.place),
        description=Described(described.sha256, described.size, placed(described.place)),
        origin=Origin(
            stream.state.id,
            exhibit.sequence,
            stream.manifests[exhibit.sequence].leaf,
            item.exhibit,
        ),
    )


def _sightings(part: _Part, items: Sequence[Item]) -> Iterator[Sighting]:
    for chosen, item in zip(part.chosen, items, strict=True):
        seen_as = fingerprint(
            path=chosen.description.path,
            system=part.system,
            source=part.source,
            sha256=item.sha256,
        )
        yield Sighting(seen_as, item.exhibit)


def _milliseconds(moment: datetime) -> datetime:
    """As it is sealed."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def claimed_by(incidents: Incidents, chain: Chain) -> Interval | None:
    """From the first to the last time that any item of a chain claims; None if none does."""
    claims = [
        interval
        for name, data in incidents.description_attempts(chain)
        if isinstance(data, bytes)
        for interval in claimed(parse_description(data, where=name).facts)
    ]
    if not claims:
        return None
    return min(start for start, _ in claims), max(end for _, end in claims)
