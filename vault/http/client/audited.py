"""A served vault's chain as a record under audit.

Links, log, descriptions and collections are checked here, from what the server sent. Whether the
bytes of the evidence are those that were sealed, and still protected, only the server can look up:
what it found is told beside the rest, as its word.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence

from vault.http.client.connection import LONG_PATIENCE, Connection, quoted
from vault.http.client.record import RemoteIndex, RemoteLog
from vault.incidents import Incidents
from vault.record import StoreRecord
from verify.digest import b64
from verify.errors import EvidenceError, MalformedError
from verify.incident import Exhibit
from verify.preserved import Citation
from verify.report import Finding, Outcome
from verify.strictjson import Fields, Object
from verify.trust import Step


class RemoteRecord(StoreRecord):
    """One incident's or stream's chain as a server gives it; satisfies `verify.audit.Record`."""

    def __init__(
        self,
        *,
        connection: Connection,
        index: RemoteIndex,
        log: RemoteLog,
        incidents: Incidents,
        chain: str,
        depth: str,
    ) -> None:
        self.depth = depth
        self._connection = connection
        self._remote = index
        self._served = log
        self._incidents = incidents
        self._chain = chain
        self._links = list(index.unchecked(chain))
        if not self._links:
            raise incidents.absent(chain)
        self._lock = threading.Lock()
        self._described: dict[str, bytes] | None = None
        self._lost: EvidenceError | None = None

    @property
    def head(self) -> int:
        """The last link that the server gave."""
        return self._links[-1][0]

    def links(self) -> Iterator[tuple[int, bytes]]:
        """Sequence and bytes of every manifest, as the server sent them."""
        yield from ((sequence, data) for sequence, data, _ in self._links)

    def checkpoint(self) -> bytes:
        """The checkpoint under which the server proves the last link."""
        return self._served.covering(self._last()).note

    def inclusion(self) -> tuple[int, list[int], list[str]]:
        """One proof for all links, from the log's public tiles."""
        size = self._served.covering(self._last()).head.size
        indices = [index for _, _, index in self._links if index is not None]
        return size, indices, [b64(each) for each in self._served.multi_inclusion(indices, size)]

    def cited(self, citation: Citation) -> bytes:
        """A stream's manifest, as the server sent it."""
        for sequence, data, _ in self._remote.unchecked(citation.chain, start=citation.sequence):
            if sequence == citation.sequence:
                return data
        raise MalformedError(f"the server gives no {citation.name}")

    def cited_inclusion(self, cited: Sequence[Citation]) -> tuple[int, list[int], list[str]]:
        """One proof for all manifests cited."""
        size = self._served.covering(self._last()).head.size
        indices = [
            index
            for each in cited
            for sequence, _, index in self._remote.unchecked(each.chain, start=each.sequence)
            if sequence == each.sequence and index is not None
        ]
        hashes = self._served.multi_inclusion(sorted(indices), size)
        return size, indices, [b64(each) for each in hashes]

    def content(self, exhibit: Exhibit) -> str:
        """The digest that was sealed: where the server read another, `attested` says so."""
        return exhibit.item.sha256

    def description(self, exhibit: Exhibit) -> bytes:
        """An exhibit's description, as the server sent it."""
        with self._lock:
            if self._described is None:
                self._described = dict(self._all_descriptions())
        data = self._described.get(exhibit.item.exhibit)
        if data is None:
            raise self._lost or MalformedError("the server gives no description of it")
        return data

    def _all_descriptions(self) -> Iterator[tuple[str, bytes]]:
        """All that the server gives; what ends them is told of each that did not come."""
        path = f"/v1/chains/{quoted(self._chain)}/descriptions"
        try:
            for item in self._connection.pages(path):
                reader = Fields(item, path)
                yield reader.text("exhibit"), reader.text("description", limit=64 << 20).encode()
        except EvidenceError as error:
            self._lost = error

    def document(self, exhibit: Exhibit) -> bytes:
        """The envelope of a collection: no other exhibit is read as a document."""
        return self._incidents.bound_document(self._incidents.read(self._chain), exhibit.sequence)

    def attested(self, exhibits: Sequence[Exhibit]) -> Iterable[Finding]:
        """What the server found as it looked at the bytes and locks of its store."""
        names = [each.item.exhibit for each in exhibits]
        body: Object = {"depth": self.depth, "incident": self._chain}
        known = len(self._incidents.read(self._chain).state.exhibits)
        if len(names) < known:
            body |= {"exhibits": names}
        answer = self._connection.post("/v1/verify", body, repeatable=True, patience=LONG_PATIENCE)
        where = "the server's audit"
        told = [Fields(each, where) for each in Fields(answer, where).entries("findings")]
        for reader in told:
            finding = read_finding(reader)
            if finding.step == Step.STORE or (
                finding.step == Step.EVIDENCE and finding.outcome != Outcome.PASSED
            ):
                yield finding

    def _last(self) -> int:
        last = self._links[-1][2]
        if last is None:
            raise MalformedError("the last link is not in the log yet")
        return last


def read_finding(reader: Fields) -> Finding:
    """A finding as a server tells it. Raises `MalformedError`."""
    return Finding(
        Step(reader.text("step")),
        reader.text("subject"),
        Outcome(reader.text("outcome")),
        reader.text("detail"),
    )
