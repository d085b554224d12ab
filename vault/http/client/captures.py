"""Capturing into a served vault: bytes stream from where they are read straight into a request.

A piece at a time is in memory, and nothing is written here on their way but the beginning of what
comes as slowly as its source makes it: a command's output, standard input. A capture that is larger
than one request may hold goes on in the next, under a deposit id of its own.
"""

from __future__ import annotations

import queue
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import cache, partial

from vault.capture import Captures, Capturing, Kept, check_open, link_of
from vault.deposit import Receipt
from vault.errors import ConflictError
from vault.evidence import fingerprint
from vault.http.client.connection import Connection, quoted
from vault.http.client.receipts import read_receipt
from vault.http.frames import (
    CUT_DESCRIBED,
    MAGIC,
    Digested,
    FrameKind,
    Head,
    SentList,
    content_frames,
    dropped_frame,
    framed,
    item_frame,
    missed_frame,
)
from vault.incidents import Chain, Incidents, last_turn
from vault.ports import Clock
from vault.ulid import new_ulid
from verify.description import Description, parse_description
from verify.errors import EvidenceError, ProofError
from verify.statement import Delivered, Type, parse_capture
from verify.strictjson import Object
from verify.trust import Trust

CONTENT_TYPE = "application/vnd.evidence-vault.capture"
_QUEUED = 8
"""Frames that wait to be sent: each a piece at most."""
_GATHERED = 256 << 10
"""Bytes of small frames that are sent at once."""
_AHEAD = 256 << 20
"""Bytes of what has no known size that are read before the first is sent, on disk."""
_PIECE = 1 << 20
_LOOK = 0.2
"""Seconds after which is looked whether the request that is waited for still goes on."""


class RemoteCaptures(Captures):
    """Captures onto the chains of a served vault."""

    def __init__(
        self, connection: Connection, trust: Trust, incidents: Incidents, clock: Clock
    ) -> None:
        self._connection = connection
        self._trust = trust
        self._incidents = incidents
        self._clock = clock

    def sending(self, chain_id: str) -> Sending:
        """Begin a request whose frames the caller makes; `receipts` reads its answer."""
        return Sending(self._connection, chain_id)

    def check_taken(self, chain_id: str, key_id: str) -> None:
        """Raise what the server would refuse a collection by, that this key signs for a chain."""
        self._connection.get(f"/v1/chains/{quoted(chain_id)}/captures", key=key_id)

    def receipts(self, answer: Object, chain_id: str) -> list[Receipt]:
        """The receipts in an answer, each checked."""
        return read_receipts(answer, self._trust, chain=chain_id)

    def open(
        self,
        chain_id: str,
        *,
        deposit: str | None,
        system: str | None,
        source: str | None,
        method: str,
        collector: Object,
        pack: bool = True,
        delivered: Callable[[str], Delivered] | None = None,
    ) -> Capturing:
        """Begin one; nothing is sent before there is something to send."""
        assert delivered is None, "collections are sent as they were signed"
        chain = self._incidents.to_add_to(chain_id)
        check_open(chain, deposit)
        repeated = link_of(chain, deposit)
        before = chain if repeated is None else self._incidents.before(chain, repeated)
        head = Head(
            deposit=deposit or f"ingest-{new_ulid(self._clock())}",
            method=method,
            source=source,
            system=system,
            collector=collector,
            pack=pack,
        )
        return RemoteCapture(self._connection, self._trust, self._incidents, before, head)


class RemoteCapture:
    """One capture on its way; satisfies `ingest.sink.Sink`."""

    def __init__(
        self,
        connection: Connection,
        trust: Trust,
        incidents: Incidents,
        before: Chain,
        head: Head,
    ) -> None:
        """`before` is the chain as it stood before the first attempt of this deposit."""
        self._connection = connection
        self._trust = trust
        self._incidents = incidents
        self._before = before
        self._chain = before.state.id
        self._head = head
        self._turned_at = cache(partial(last_turn, before))
        self._sightings: dict[str, tuple[str, int]] | None = None
        self._sending: Sending | None = None
        self._sent = SentList()
        self._digest = Digested()
        self._receipts: list[Receipt] = []
        self._requests = 0

    def keep(self, pieces: Iterable[bytes], *, size: int | None) -> Kept:
        """Send a content while it is read; it is claimed, or let go of, before the next."""
        if self._sent.is_full or self._sent.described >= CUT_DESCRIBED:
            self._finish()
        # A server waits for no body that drips; what is not made yet must not hold one up.
        pieces = _read_ahead(pieces) if size is None else pieces
        sending = self._begun()
        self._digest = Digested()
        try:
            for frame in content_frames(pieces, size, self._digest):
                sending.put(frame)
        except EvidenceError:
            if sending.failure is None:  # it is the source that failed: the capture goes on
                sending.put(dropped_frame(self._digest))
            raise
        return Kept(self._digest.sha256, self._digest.size, None)

    def discard(self, kept: Kept) -> None:
        """Let go of the content that was sent last."""
        del kept
        self._begun().put(dropped_frame(self._digest))

    def already(self, kept: Kept, *, path: str) -> str | None:
        """The exhibit that is this same sighting: path, source and digest, and nothing since."""
        if self._sightings is None:
            self._sightings = dict(self._read_sightings())
        seen_as = fingerprint(
            path=path, system=self._head.system, source=self._head.source, sha256=kept.sha256
        )
        exhibit, sequence = self._sightings.get(seen_as, (None, -1))
        return exhibit if sequence >= self._turned_at() else None

    def claim(self, kept: Kept, *, kinds: Sequence[str], description: Description) -> None:
        """Make an item of the content that was sent last."""
        data = description.encode()
        self._sent.add(sha256=kept.sha256, size=kept.size, kinds=kinds, description=data)
        self._begun().put(item_frame(self._digest, kinds, data))

    def missing(self, name: str, reason: str, detail: str) -> None:
        """Note something that was met and could not be kept."""
        self._begun().put(missed_frame(name, reason, detail))
        self._sent.missed.append({"detail": detail, "name": name, "reason": reason})

    def commit(self) -> list[Receipt]:
        """Have everything claimed; the receipts of all its links, in order."""
        self._finish()
        return self._receipts

    def abort(self) -> None:
        """Break the request off, so that nothing of it is left there."""
        if self._sending is not None:
            self._sending.abort()
            self._sending = None

    def _begun(self) -> Sending:
        if self._sending is None:
            self._requests += 1
            deposit = self._head.deposit
            if self._requests > 1:
                deposit = f"{deposit}.{self._requests}"
            head = Head(
                deposit=deposit,
                method=self._head.method,
                source=self._head.source,
                system=self._head.system,
                collector=self._head.collector,
                pack=self._head.pack,
            )
            self._sending = Sending(self._connection, self._chain)
            self._sending.put(MAGIC + framed(FrameKind.HEAD, head.encode()))
        return self._sending

    def _finish(self) -> None:
        sending, sent = self._sending, self._sent
        if sending is None:
            return
        sending.put(framed(FrameKind.LIST, sent.encode()))
        answer = sending.finish()
        self._sending, self._sent = None, SentList()
        receipts = read_receipts(answer, self._trust, chain=self._chain)
        if receipts:
            self._check_sealed(receipts, sent)
        self._receipts += receipts

    def _check_sealed(self, receipts: Sequence[Receipt], sent: SentList) -> None:
        """What was sealed is what was sent, by the chain itself. Raises `ProofError`."""
        chain = self._incidents.read(self._chain, up_to=receipts[-1].sequence)
        sealed = []
        for receipt in receipts:
            manifest = chain.manifests[receipt.sequence]
            if manifest.leaf != receipt.leaf_hash or manifest.statement.type != Type.CAPTURE:
                raise ProofError(f"{manifest.name} is not what its receipt was given for")
            items = parse_capture(manifest.statement.body, where=manifest.name).items
            sealed += [(item.sha256, item.size, item.kinds) for item in items]
        if receipts[0].repeated:  # descriptions have new salts, what they describe is the same
            return
        if sealed != [(item.sha256, item.size, item.kinds) for item in sent.items]:
            raise ProofError(
                f"the server gave receipts for {self._chain} that are not for what was sent; "
                "keep what you sent, and ask who runs the vault"
            )

    def _read_sightings(self) -> Iterator[tuple[str, tuple[str, int]]]:
        exhibits = self._before.state.exhibits
        for name, data in self._incidents.description_bytes(self._before):
            exhibit = exhibits[name]
            seen_as = fingerprint(
                path=parse_description(data, where=name).path,
                system=exhibit.system,
                source=exhibit.source,
                sha256=exhibit.item.sha256,
            )
            yield seen_as, (name, exhibit.sequence)


def _read_ahead(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same pieces, once they are at their end or have come to `_AHEAD` bytes."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 — closed once all of it was given out
    rest = iter(pieces)
    try:
        for piece in rest:
            file.write(piece)
            if file.tell() >= _AHEAD:
                break
        file.seek(0)
    except BaseException:
        file.close()
        raise

    def given() -> Iterator[bytes]:
        with file:
            while piece := file.read(_PIECE):
                yield piece
        yield from rest

    return given()


def read_receipts(answer: Object, trust: Trust, *, chain: str) -> list[Receipt]:
    """The receipts in an answer, each checked."""
    found = answer.get("receipts")
    if not isinstance(found, list):
        raise ProofError("the server's answer has no receipts")
    return [read_receipt(each, trust, chain=chain) for each in found]


class _AbortedError(ConflictError):
    """The capture is given up here: the request must not come to its end."""


class Sending:
    """A request whose body is made on one thread and sent by another."""

    def __init__(self, connection: Connection, chain: str) -> None:
        self._connection = connection
        self._path = f"/v1/chains/{quoted(chain)}/captures"
        self._frames: queue.Queue[bytes | None] = queue.Queue(_QUEUED)
        self._aborted = threading.Event()
        self._ended = threading.Event()
        self._answer: Object | None = None
        self.failure: BaseException | None = None
        """Why the request failed, once it has."""
        self._thread = threading.Thread(target=self._send, name="sending", daemon=True)
        self._thread.start()

    def put(self, frame: bytes) -> None:
        """Send a frame. Raises why the request failed, if it has."""
        self._offer(frame)

    def finish(self) -> Object:
        """End the body; the server's answer. Raises what the server says."""
        self._offer(None)
        self._thread.join()
        if self.failure is not None:
            raise self.failure
        assert self._answer is not None
        return self._answer

    def abort(self) -> None:
        """Break it off."""
        self._aborted.set()
        with suppress(queue.Full):
            self._frames.put_nowait(None)
        self._thread.join()

    def _offer(self, frame: bytes | None) -> None:
        while True:
            if self._ended.is_set():
                if self.failure is not None:
                    raise self.failure
                return
            with suppress(queue.Full):
                self._frames.put(frame, timeout=_LOOK)
                return

    def _send(self) -> None:
        try:
            headers = {"Content-Type": CONTENT_TYPE}
            self._answer = self._connection.send(self._path, self._body(), headers=headers)
        except BaseException as error:  # noqa: BLE001 — raised again on the thread that captures
            self.failure = error
        finally:
            self._ended.set()

    def _body(self) -> Iterator[bytes]:
        ended = False
        while not ended:
            gathered, size = [], 0
            frame = self._frames.get()
            while frame is not None:
                gathered.append(frame)
                size += len(frame)
                if size >= _GATHERED:
                    break
                try:
                    frame = self._frames.get_nowait()
                except queue.Empty:
                    break
            else:
                ended = True
            if self._aborted.is_set():
                raise _AbortedError("given up")
            if gathered:
                yield b"".join(gathered)
