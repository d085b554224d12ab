"""What is read of a served vault: chains, log and documents, as ports of the vault have it.

What comes in is believed where it is checked: manifests by `vault.incidents` (signatures, links),
documents by the digests that manifests name, checkpoints and proofs here, under the log's key. Of
what only a store or an index can do nothing is here: it is done where they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from vault import layout
from vault.errors import NotFoundError, RefusedError
from vault.http.client.connection import Connection, quoted
from vault.layout import TILE_WIDTH
from vault.log import Nodes
from vault.ports import ChainHead, Publication, Row, StoreTraits
from verify.chain import LinkChecker, Manifest, open_manifest
from verify.checkpoint import (
    Checkpoint,
    ConsistencyProof,
    TlogProof,
    open_checkpoint,
    parse_consistency_proof,
    parse_tlog_proof,
)
from verify.digest import check_hex
from verify.errors import MalformedError, ProofError, SignatureError
from verify.merkle import HASH_SIZE, multi_inclusion_hashes
from verify.note import VerifierKey
from verify.statement import SEEN_NOTHING, check_chain_id
from verify.strictjson import Fields
from verify.trust import Trust


class Elsewhere:
    """A port of which only a part can be used through a server."""

    def __getattr__(self, name: str) -> object:
        """Refuse what is not here. Raises `RefusedError`."""
        if name.startswith("_") or name in ("close", "unfinished"):
            raise AttributeError(name)
        raise RefusedError(
            "this is done where the vault's home is, not through a server; run it there"
        )


class RemoteIndex(Elsewhere):
    """The reading part of `vault.ports.Index`."""

    def __init__(self, connection: Connection, trust: Trust) -> None:
        self.connection = connection
        self._trust = trust
        self._heads: dict[str, ChainHead] = {}
        self._writes = -1

    def close(self) -> None:
        """Let go of the connection."""
        self.connection.close()

    def head(self, chain: str) -> ChainHead | None:
        """A chain's head, None if the chain is empty, or none that may be seen."""
        check_chain_id(chain)
        if chain in self._known():
            return self._heads[chain]
        try:
            found = self.connection.get_json(f"/v1/chains/{quoted(chain)}")
        except NotFoundError:
            return None
        head = _head(Fields(found, f"head of {chain}"), chain)
        self._heads[chain] = head
        return head

    def rows(self, chain: str, *, start: int = 0) -> Iterator[Row]:
        """A chain's manifests in order, checked as `links` does."""
        for manifest, index in self.links(chain, start=start):
            statement = manifest.statement
            yield Row(
                chain=chain,
                sequence=statement.link.sequence,
                deposit=statement.deposit,
                type=statement.type.value,
                content="",
                leaf_hash=bytes.fromhex(manifest.leaf),
                envelope=manifest.envelope.encode(),
                stored=True,
                index=index,
            )

    def links(self, chain: str, *, start: int = 0) -> Iterator[tuple[Manifest, int | None]]:
        """A chain's manifests in order, and each one's index in the log, by the server's word.

        Signatures are checked, and from the first link on that each continues the one before. So a
        server can leave out the end of a chain, and nothing else.
        """
        checker = LinkChecker(chain=chain, log=self._trust.origin)
        keys = tuple(self._trust.keys)
        for sequence, data, index in self.unchecked(chain, start=start):
            where = f"{chain} link {sequence}"
            manifest = open_manifest(data, keys, where=where)
            if index is not None and not self._trust.covers(manifest.key, index):
                raise SignatureError(f"{where}: its key was not valid at log entry {index}")
            if start == 0:
                checker.take(manifest)
            yield manifest, index

    def unchecked(self, chain: str, *, start: int = 0) -> Iterator[tuple[int, bytes, int | None]]:
        """Sequence, envelope and index in the log of a chain's links, for whoever checks them."""
        path = f"/v1/chains/{quoted(chain)}/manifests"
        try:
            for item in self.connection.pages(path, start=start):
                reader = Fields(item, path)
                index = None if reader.raw("index") is None else reader.count("index")
                data = reader.text("envelope", limit=32 << 20).encode()
                yield reader.count("sequence"), data, index
        except NotFoundError:
            return

    def chains(self, prefix: str) -> list[str]:
        """The ids of all chains that start with a prefix, and that may be seen; sorted."""
        heads = self._known()
        for item in self.connection.pages("/v1/chains"):
            reader = Fields(item, "/v1/chains")
            name = check_chain_id(reader.text("chain"))
            heads[name] = _head(reader, name)
        return sorted(name for name in heads if name.startswith(prefix))

    def _known(self) -> dict[str, ChainHead]:
        """Heads are as they were before anything was written through this connection."""
        if self._writes != self.connection.writes:
            self._writes = self.connection.writes
            self._heads = {}
        return self._heads


def _head(reader: Fields, chain: str) -> ChainHead:
    leaf = check_hex(reader.raw("leaf_hash"), where=f"head of {chain}")
    return ChainHead(
        sequence=reader.count("sequence"),
        leaf=leaf,
        exhibits=0,
        sealed=reader.raw("sealed") is True,
        seen=SEEN_NOTHING,
    )


class Tiles:
    """The log's hash tiles (C2SP tlog-tiles) at one tree size; satisfies `vault.log.TreeHashes`."""

    def __init__(self, connection: Connection, size: int) -> None:
        self._connection = connection
        self._size = size

    def leaf_hashes(self, start: int, end: int) -> list[bytes]:
        """Leaf hashes [start, end), as far as the tree goes."""
        return self.subtrees(0, start, end)

    def subtrees(self, level: int, start: int, end: int) -> list[bytes]:
        """Roots of the full subtrees of 256^level leaves numbered [start, end), likewise."""
        end = min(end, self._size >> (8 * level))
        hashes: list[bytes] = []
        while start < end:
            number = start // TILE_WIDTH
            first = number * TILE_WIDTH
            last = min(end, first + TILE_WIDTH)
            hashes += self._tile(level, number)[start - first : last - first]
            start = last
        return hashes

    def _tile(self, level: int, number: int) -> list[bytes]:
        width = min(TILE_WIDTH, (self._size >> (8 * level)) - number * TILE_WIDTH)
        key = layout.tile(level, number, width)
        try:
            data = self._connection.get(f"/v1/{key}").data
        except NotFoundError:  # it is full by now, and a partial one need not stay
            data = self._connection.get(f"/v1/{layout.tile(level, number)}").data
        if len(data) < width * HASH_SIZE or len(data) % HASH_SIZE:
            raise MalformedError(f"{key}: {len(data):,} bytes are no tile of {width} hashes")
        return [data[at : at + HASH_SIZE] for at in range(0, len(data), HASH_SIZE)]


class RemoteLog(Elsewhere):
    """The log as outsiders see it; what it gives is checked under its key."""

    def __init__(self, connection: Connection, trust: Trust) -> None:
        self._connection = connection
        self._proofs: dict[int, TlogProof] = {}
        self.origin = trust.origin
        self.verifier: VerifierKey = trust.log

    def newest(self) -> Checkpoint:
        """The newest published checkpoint."""
        return open_checkpoint(self._connection.get("/v1/log/checkpoint").data, self.verifier)

    def covering(self, index: int) -> Publication:
        """The checkpoint under which the server proves an entry; its number is not told."""
        checkpoint = self._proof(index).checkpoint
        return Publication(0, checkpoint.head, str(checkpoint).encode())

    def inclusion(self, index: int, publication: Publication) -> TlogProof:
        """The proof that an entry is under that checkpoint; whoever has the leaf checks it."""
        proof = self._proof(index)
        if str(proof.checkpoint).encode() != publication.note:
            raise ProofError(f"the server proves log entry {index} under another checkpoint")
        return proof

    def multi_inclusion(self, indices: Sequence[int], size: int) -> list[bytes]:
        """One proof for many entries in the tree of `size`, from the log's tiles."""
        nodes = Nodes(Tiles(self._connection, size))
        return multi_inclusion_hashes(indices, size, nodes.range_hash)

    def consistency(self, older: int, newer: int | None = None) -> ConsistencyProof:
        """The proof that the tree at one size extends that at another."""
        answer = self._connection.get("/v1/log/consistency", older=older, newer=newer)
        proof = parse_consistency_proof(answer.data)
        open_checkpoint(str(proof.newer).encode(), self.verifier)
        return proof

    def _proof(self, index: int) -> TlogProof:
        if index not in self._proofs:
            proof = parse_tlog_proof(self._connection.get("/v1/log/proof", index=index).data)
            open_checkpoint(str(proof.checkpoint).encode(), self.verifier)
            if proof.index != index:
                raise ProofError(f"the server proves log entry {proof.index}, not {index}")
            self._proofs[index] = proof
        return self._proofs[index]


class RemoteStore(Elsewhere):
    """What a server says of its store; its objects are not read through it."""

    def __init__(self, traits: StoreTraits) -> None:
        self.traits = traits
