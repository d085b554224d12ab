"""What a vault knows of some bytes, by their digest, with the proof of each sighting.

The index only says where to look: what is told was read from the chain, and verified.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vault.incidents import Chain, Incidents
from vault.log import Log
from vault.ports import Claim, Index
from verify.checkpoint import TlogProof
from verify.incident import Exhibit


@dataclass(frozen=True, slots=True)
class Sighted:
    """One exhibit that is the bytes asked for, and what proves that it was sealed, and when."""

    chain: str
    exhibit: Exhibit
    envelope: bytes
    """The manifest that claims it, as stored."""
    leaf_hash: str
    index: int | None
    """Its place in the log, None until it has one; so for the proof."""
    proof: TlogProof | None


@dataclass(frozen=True, slots=True)
class Known:
    """The answer about one digest."""

    sha256: str
    sightings: Sequence[Sighted]
    count: int
    """How many there are; `sightings` may be cut short."""


class Lookup:
    """Answers about digests, from one vault."""

    def __init__(self, *, incidents: Incidents, index: Index, log: Log) -> None:
        self._incidents = incidents
        self._index = index
        self._log = log

    def known(self, sha256: str, may_see: Callable[[str], bool], *, most: int) -> Known:
        """What is known of a digest on the chains that `may_see` admits; `most` sightings at most.

        What lies on other chains is found, and dropped before anything of it is read: so it looks
        like what was never sealed.
        """
        admitted: dict[str, bool] = {}

        def admits(chain: str) -> bool:
            if chain not in admitted:
                admitted[chain] = may_see(chain)
            return admitted[chain]

        found = [claim for claim in self._index.claims(sha256) if admits(claim.chain)]
        read: dict[str, Chain] = {}
        sightings = []
        for claim in found[:most]:
            if claim.chain not in read:
                read[claim.chain] = self._incidents.read(claim.chain)
            sighted = self._sighted(read[claim.chain], claim, sha256)
            if sighted is not None:
                sightings.append(sighted)
        left_out = len(found[most:])
        return Known(sha256, sightings, len(sightings) + left_out)

    def _sighted(self, chain: Chain, claim: Claim, sha256: str) -> Sighted | None:
        exhibit = chain.state.exhibits.get(claim.exhibit)
        if exhibit is None or exhibit.item.sha256 != sha256:
            return None  # an index that was altered makes no sighting
        manifest = chain.manifests[exhibit.sequence]
        index = chain.indices[exhibit.sequence]
        proof = None
        if index is not None:
            proof = self._log.inclusion(index, self._log.covering(index))
        return Sighted(
            claim.chain, exhibit, manifest.envelope.encode(), manifest.leaf, index, proof
        )
