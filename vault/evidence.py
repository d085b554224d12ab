"""Reading evidence back out of the store: nothing is given before its digest has been checked."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from vault import layout
from vault.ports import ObjectStore, Sighting, Version
from verify.chain import Manifest
from verify.description import parse_description
from verify.digest import sha256_hex
from verify.errors import DigestMismatchError, MalformedError
from verify.incident import Exhibit
from verify.statement import Described, Item, Pack, Place, Type, parse_capture

MAX_SIDE_DOCUMENT = 64 << 20
PACK_PART_SIZE = 64 << 20
"""Where packs are cut into parts (FORMAT.md §4.1)."""

_AHEAD_PIECE = 16 << 20
_AHEAD = 4
"""A large object is read in so many slices at once, of this size."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One object version in the store that a chain claims, with what it holds."""

    key: str
    version_id: str | None
    size: int
    sha256: str
    part_size: int
    parts: tuple[str, ...]
    exhibits: tuple[str, ...]
    """The exhibits whose content lies in it."""


def fingerprint(*, path: str, system: str | None, source: str | None, sha256: str) -> str:
    """What two looks at one thing share: path, source and digest."""
    return sha256_hex("\0".join((path, system or "", source or "", sha256)).encode())


def content(
    store: ObjectStore,
    item: Item,
    packs: tuple[Pack, ...],
    *,
    start: int = 0,
    stop: int | None = None,
) -> Iterator[bytes]:
    """An item's bytes from `start` up to `stop`, each given only after its part was checked.

    Parts are read whole, whatever is asked of them. Raises `DigestMismatchError` at the first part
    that is not what was sealed, `NotFoundError`.
    """
    stop = item.size if stop is None else stop
    whole = start == 0 and stop == item.size
    first = start // item.stored.part_size
    position = first * item.stored.part_size
    for piece in _parts(store, item, packs, None if whole else range(first, _last(item, stop))):
        begin, end = max(start - position, 0), min(stop - position, len(piece))
        position += len(piece)
        if begin < end:
            yield piece if end - begin == len(piece) else piece[begin:end]


def _last(item: Item, stop: int) -> int:
    """The number of the part behind the one that holds the last byte before `stop`."""
    return -(-stop // item.stored.part_size)


def _parts(
    store: ObjectStore, item: Item, packs: tuple[Pack, ...], wanted: range | None
) -> Iterator[bytes]:
    """The bytes of some parts, or, for None, of all that lies at the item's place."""
    stored = item.stored
    expected = stored.parts or (stored.sha256,)
    place = item.place
    if wanted is None:
        pieces = read_place(store, place, packs)
    else:
        expected = expected[wanted.start : wanted.stop]
        offset = wanted.start * stored.part_size
        length = min(wanted.stop * stored.part_size, stored.size) - offset
        pieces = read_place(store, place, packs, offset=offset, length=length)
    part = _Part()
    sealed = iter(expected)
    for piece in pieces:
        view = memoryview(piece)
        while view:
            taken = view[: stored.part_size - part.size]
            part.add(bytes(taken))
            view = view[len(taken) :]
            if part.size == stored.part_size:
                yield from part.take(item.exhibit, next(sealed, "nothing"))
    if part.size or not stored.size:
        yield from part.take(item.exhibit, next(sealed, "nothing"))
    if next(sealed, None) is not None:
        raise DigestMismatchError(item.exhibit, sealed=stored.sha256, found="fewer bytes")


def side_document(
    store: ObjectStore, described: Described, packs: tuple[Pack, ...], *, what: str
) -> bytes:
    """A description, report or list, checked. Raises `DigestMismatchError`, `NotFoundError`."""
    if described.size > MAX_SIDE_DOCUMENT:
        raise MalformedError(f"{what}: {described.size:,} bytes is over the limit")
    data = b"".join(read_place(store, described.place, packs))
    found = sha256_hex(data)
    if found != described.sha256:
        raise DigestMismatchError(what, sealed=described.sha256, found=found)
    return data


def descriptions(
    store: ObjectStore, items: Iterable[Item], packs: tuple[Pack, ...]
) -> Iterator[tuple[Item, bytes]]:
    """The descriptions of one manifest's items, each checked; one read where they lie together."""
    waiting = list(items)
    spans: dict[int, tuple[int, int]] = {}
    for item in waiting:
        place = item.description.place
        if place.pack is not None:
            start, end = spans.get(place.pack, (place.offset, place.offset))
            spans[place.pack] = (min(start, place.offset), max(end, place.offset + place.length))
    loaded: dict[int, bytes] = {}
    for number, (start, end) in spans.items():
        if end - start <= MAX_SIDE_DOCUMENT:
            span = Place(pack=number, offset=start, length=end - start)
            loaded[number] = b"".join(read_place(store, span, packs))
    for item in waiting:
        described = item.description
        place = described.place
        if place.pack in loaded:
            start = place.offset - spans[place.pack][0]
            data = loaded[place.pack][start : start + place.length]
            found = sha256_hex(data)
            if found != described.sha256:
                raise DigestMismatchError(
                    f"description of {item.exhibit}", sealed=described.sha256, found=found
                )
        else:
            data = side_document(store, described, packs, what=f"description of {item.exhibit}")
        yield item, data


def sightings(store: ObjectStore, manifest: Manifest) -> tuple[Sighting, ...]:
    """What a manifest's items look like to a second look; empty for other statements."""
    if manifest.statement.type != Type.CAPTURE:
        return ()
    capture = parse_capture(manifest.statement.body, where=manifest.name)
    return tuple(
        Sighting(
            fingerprint(
                path=parse_description(data, where=item.exhibit).path,
                system=capture.system,
                source=capture.source,
                sha256=item.sha256,
            ),
            item.exhibit,
        )
        for item, data in descriptions(store, capture.items, capture.packs)
    )


def read_place(
    store: ObjectStore,
    place: Place,
    packs: tuple[Pack, ...],
    *,
    offset: int = 0,
    length: int | None = None,
) -> Iterator[bytes]:
    """The bytes at a place, or a slice of them, unchecked: for those who check them."""
    if place.pack is None:
        if place.key is None:
            raise MalformedError("a place names neither an object nor a pack")
        return store.read(place.key, version_id=place.version_id, offset=offset, length=length)
    pack = packs[place.pack]
    return store.read(
        pack.key,
        version_id=pack.version_id,
        offset=place.offset + offset,
        length=place.length - offset if length is None else length,
    )


def objects_of(exhibit: Exhibit) -> Iterator[StoredObject]:
    """The objects that hold an exhibit's content and its description."""
    item = exhibit.item
    for place, names in ((item.place, (item.exhibit,)), (item.description.place, ())):
        yield object_at(place, exhibit, names)


def object_at(place: Place, exhibit: Exhibit, names: tuple[str, ...] = ()) -> StoredObject:
    """The object in which a place of an exhibit lies."""
    if place.pack is not None:
        pack = exhibit.packs[place.pack]
        return StoredObject(
            pack.key, pack.version_id, pack.size, pack.sha256, PACK_PART_SIZE, pack.parts, names
        )
    if place.key is None:
        raise MalformedError("a place names neither an object nor a pack")
    if place == exhibit.item.place:
        stored = exhibit.item.stored
        return StoredObject(
            place.key, place.version_id, stored.size, stored.sha256, stored.part_size,
            stored.parts, names,
        )  # fmt: skip
    described = exhibit.item.description
    return StoredObject(
        place.key, place.version_id, described.size, described.sha256, PACK_PART_SIZE, (), names
    )


def choose(store: ObjectStore, key: str, accept: Callable[[bytes], bool]) -> bytes:
    """The bytes under a key that is written once: the version that `accept` demands.

    Whoever may write to a bucket can lay other versions over any key; what is below stays locked.
    Where none is acceptable, the newest comes back, for whoever judges it. Raises `NotFoundError`.
    """
    newest = store.get(key)
    if not store.traits.versions or accept(newest):
        return newest
    for version in store.versions(key):
        if version.key == key and not version.marker:
            data = store.get(key, version_id=version.version_id)
            if accept(data):
                return data
    return newest


def strays(versions: Iterable[Version]) -> Iterator[tuple[str, str]]:
    """Keys that are written once and hold more than one version, or lie under a delete marker."""
    counted: dict[str, list[int]] = {}
    for version in versions:
        if layout.is_locked(version.key):
            counted.setdefault(version.key, [0, 0])[version.marker] += 1
    for key, (several, markers) in counted.items():
        if markers:
            yield key, "a delete marker was laid over it; it is still there, and was read"
        if several > 1:
            yield key, f"was written {several} times; another version lies over the first"


def read_whole(store: ObjectStore, stored: StoredObject) -> Iterator[bytes]:
    """An object's bytes in order, unchecked; several slices at once where that is worth it."""
    workers = min(_AHEAD, store.traits.parallel)
    if workers == 1 or stored.size <= _AHEAD_PIECE:
        yield from store.read(stored.key, version_id=stored.version_id)
        return

    def slice_at(offset: int) -> bytes:
        return b"".join(
            store.read(
                stored.key,
                version_id=stored.version_id,
                offset=offset,
                length=min(_AHEAD_PIECE, stored.size - offset),
            )
        )

    with ThreadPoolExecutor(workers, "read-ahead") as pool:
        waiting: deque[Future[bytes]] = deque()
        for offset in range(0, stored.size, _AHEAD_PIECE):
            waiting.append(pool.submit(slice_at, offset))
            if len(waiting) > workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
        # What lies beyond the size that was sealed was never sealed.
        yield from store.read(stored.key, version_id=stored.version_id, offset=stored.size)


class _Part:
    """The bytes of one part, held back until they are checked."""

    def __init__(self) -> None:
        self.size = 0
        self._pieces: list[bytes] = []
        self._hash = hashlib.sha256()

    def add(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._hash.update(piece)
        self.size += len(piece)

    def take(self, what: str, sealed: str) -> list[bytes]:
        found = self._hash.hexdigest()
        if found != sealed:
            raise DigestMismatchError(what, sealed=sealed, found=found)
        pieces, self._pieces, self.size, self._hash = self._pieces, [], 0, hashlib.sha256()
        return pieces
