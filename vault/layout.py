"""Every object key of the store. No I/O. DESIGN: FORMAT.md §Store."""

from __future__ import annotations

from verify.statement import check_chain_id

CHECKPOINT = "log/checkpoint"
TILES = "log/tile/"
PUBLICATIONS = "log/checkpoints/"
ARTIFACTS = "artifacts/"
CHAINS = "chains/"
TILE_WIDTH = 256


def artifact(ulid: str) -> str:
    """The key of an object with evidence in it: one large item, or a pack."""
    return f"{ARTIFACTS}{ulid}"


def chain_prefix(chain: str) -> str:
    """The prefix of a chain's manifests."""
    check_chain_id(chain)
    if chain == "vault":
        return f"{CHAINS}vault/"
    if chain.startswith("stream:"):
        return f"{CHAINS}stream/{chain.removeprefix('stream:')}/"
    return f"{CHAINS}incident/{chain}/"


def chain_of(prefix: str) -> str:
    """The chain id for `chains/<kind>/<name>` or `chains/vault`: the inverse of `chain_prefix`."""
    parts = prefix.removeprefix(CHAINS).strip("/").split("/")
    if parts == ["vault"]:
        return "vault"
    if len(parts) == 2 and parts[0] == "stream":
        return check_chain_id(f"stream:{parts[1]}")
    return check_chain_id(parts[-1])


def manifest(chain: str, sequence: int) -> str:
    """The key of one manifest."""
    return f"{chain_prefix(chain)}{sequence:08d}.json"


def publication(number: int) -> str:
    """The key of a published checkpoint; numbers run from 1 without gaps."""
    return f"{PUBLICATIONS}{number:012d}"


def tile(level: int, number: int, width: int = TILE_WIDTH) -> str:
    """The key of a hash tile (C2SP tlog-tiles); `width` below 256 is a partial tile."""
    return f"{TILES}{level}/{_tile_number(number)}{_partial(width)}"


def entry_bundle(number: int, width: int = TILE_WIDTH) -> str:
    """The key of an entry bundle (C2SP tlog-tiles)."""
    return f"{TILES}entries/{_tile_number(number)}{_partial(width)}"


def _tile_number(number: int) -> str:
    text = f"{number % 1000:03d}"
    number //= 1000
    while number:
        text = f"x{number % 1000:03d}/{text}"
        number //= 1000
    return text


def _partial(width: int) -> str:
    return "" if width == TILE_WIDTH else f".p/{width}"


def is_locked(key: str) -> bool:
    """Whether an object under this key is retained from its first moment on (FORMAT.md §10).

    Everything is, but for what must change or go: `log/checkpoint` and partial tiles.
    """
    return key != CHECKPOINT and ".p/" not in key


def is_fence(key: str) -> bool:
    """Whether who writes this key first has the right to go on: the numbers of checkpoints.

    Two who sign one log meet there, and only there must a write that came second never succeed;
    a link or a tile that lies over another is told by the audit.
    """
    return key.startswith(PUBLICATIONS)
