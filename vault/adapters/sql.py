"""The index in SQL, through SQLAlchemy Core. It may be deleted and rebuilt from the store.

What must not be raced for is decided under a row lock, or by a unique key: a chain's head, the next
index of the log (under the tree's row), the number of a publication.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import sqlalchemy as sa

from vault.adapters import statements as ask
from vault.adapters.database import Database
from vault.adapters.tables import COMMITTED, LOGGED, STORED
from vault.adapters.tables import artifact as _artifact
from vault.adapters.tables import chain as _chain
from vault.adapters.tables import log_entry as _log_entry
from vault.adapters.tables import manifest as _manifest
from vault.adapters.tables import sighting as _sighting
from vault.errors import (
    DepositConflictError,
    IndexDamagedError,
    StaleHeadError,
    UnavailableError,
)
from vault.ports import ChainHead, Claim, Entry, LogState, NewManifest, Publication, Row
from verify.merkle import TreeHead
from verify.statement import SEEN_NOTHING, Seen

_PAGE = ask.PAGE
_EMPTY_CHAIN = ChainHead(-1, None, 0, False, SEEN_NOTHING)


class SqlIndex:
    """`Index` on SQLite or PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def close(self) -> None:
        """Let go of all connections."""
        self._database.close()

    def append(
        self,
        chain: str,
        deposits: Sequence[str],
        build: Callable[[ChainHead], Sequence[NewManifest]],
    ) -> tuple[list[Row], bool]:
        """Commit manifests at a chain's head; the commit point of the write path."""
        with self._database.write() as connection:
            head = _lock_head(connection, chain)
            known = ask.rows_deposited(len(deposits)).rows(
                connection, on_chain=chain, **ask.named(deposits)
            )
            if known:
                if len(known) != len(deposits):
                    raise DepositConflictError(
                        f"deposit {known[0].deposit} is on {chain} already, in part or with other "
                        "content; choose another deposit id"
                    )
                return [_row(each) for each in known], False
            manifests = build(head)
            _insert(connection, chain, manifests, state=COMMITTED)
            return [_new_row(chain, each) for each in manifests], True

    def head(self, chain: str) -> ChainHead | None:
        """A chain's head, None if the chain is empty."""
        with self._database.read() as connection:
            return _head(ask.HEAD.first(connection, on_chain=chain))

    def rows(self, chain: str, *, start: int = 0) -> Iterator[Row]:
        """A chain's manifests in order, read page by page."""
        while True:
            with self._database.read() as connection:
                page = ask.ROWS.rows(connection, on_chain=chain, start=start)
            for each in page:
                yield _row(each)
            if len(page) < _PAGE:
                return
            start = page[-1].sequence + 1

    def chains(self, prefix: str) -> list[str]:
        """The ids of all chains that start with a prefix, sorted."""
        with self._database.read() as connection:
            ids = connection.execute(
                sa.select(_chain.c.id).where(_chain.c.id.startswith(prefix, autoescape=True))
            ).scalars()
            return sorted(ids)

    def claims(self, sha256: str) -> list[Claim]:
        """Every exhibit that is these bytes, on any chain; in order."""
        with self._database.read() as connection:
            return [
                Claim(*each) for each in ask.CLAIMS.rows(connection, digest=bytes.fromhex(sha256))
            ]

    def sightings(
        self, chain: str, *, before: int | None = None, among: Sequence[str] | None = None
    ) -> dict[str, tuple[str, int]]:
        """All fingerprints of a chain, each with exhibit and sequence of its newest sighting."""
        if among is not None and not among:
            return {}
        query = ask.sightings(None if among is None else len(among), before=before is not None)
        values = {"on_chain": chain, "before": before, **ask.named(among or ())}
        with self._database.read() as connection:
            return {
                each.fingerprint: (each.exhibit, each.sequence)
                for each in query.rows(connection, **values)
            }

    def unstored(self, chains: Sequence[str] | None = None) -> list[Row]:
        """Committed manifests that the store may not hold yet, in commit order."""
        if chains is not None and not chains:
            return []
        query = ask.unstored(None if chains is None else len(chains))
        with self._database.read() as connection:
            return [_row(each) for each in query.rows(connection, **ask.named(chains or ()))]

    def mark_stored(self, rows: Sequence[Row]) -> None:
        """Note that the store holds these manifests."""
        if not rows:
            return
        with self._database.write() if len(rows) > 1 else self._database.change() as connection:
            # Row by row, in commit order, as `assign` does: two who meet never wait crosswise.
            ask.MARK_STORED.change_each(
                connection, [{"hash": row.leaf_hash, "state": STORED} for row in rows]
            )

    def drop_from(self, row: Row, head: ChainHead | None) -> bool:
        """Drop an unlogged manifest and all that follow it; `head` is what remains."""
        with self._database.write() as connection:
            _lock_tree(connection)  # else it might be given an index in between
            connection.execute(
                sa.select(_chain.c.id).where(_chain.c.id == row.chain).with_for_update()
            )
            # Another process may have dropped it since, and logged what stands there now.
            if not connection.execute(
                sa.select(_manifest.c.sequence)
                .outerjoin(_log_entry, _log_entry.c.leaf_hash == _manifest.c.leaf_hash)
                .where(_manifest.c.leaf_hash == row.leaf_hash, _log_entry.c.log_index.is_(None))
            ).first():
                return False
            for table in (_manifest, _sighting, _artifact):
                connection.execute(
                    table.delete().where(
                        table.c.chain == row.chain, table.c.sequence >= row.sequence
                    )
                )
            if head is None:
                connection.execute(_chain.delete().where(_chain.c.id == row.chain))
            else:
                _set_head(connection, row.chain, head)
        return True

    def adopt(self, chain: str, manifests: Sequence[NewManifest]) -> None:
        """Take in manifests that the store holds and the index does not."""
        with self._database.write() as connection:
            end = _lock_head(connection, chain).sequence + 1
            known = {
                each.sequence: each.leaf_hash
                for each in connection.execute(
                    sa.select(_manifest.c.sequence, _manifest.c.leaf_hash).where(
                        _manifest.c.chain == chain, _manifest.c.sequence >= manifests[0].sequence
                    )
                )
            }
            new = [each for each in manifests if known.get(each.sequence) != each.leaf_hash]
            if [each.sequence for each in new] != list(range(end, end + len(new))):
                raise StaleHeadError(f"{chain} has grown otherwise; run the command again")
            if new:
                _insert(connection, chain, new, state=STORED)

    def assign(self) -> int:
        """Give log indices to stored manifests: contiguous, and in sequence within a chain."""
        with self._database.write() as connection:
            _lock_tree(connection)
            end = _log_end(connection)
            waiting = ask.WAITING.rows(connection)
            # A link whose predecessor is not in the store yet waits for it: no holes in a chain.
            blocked: set[str] = set()
            ready = []
            for each in waiting:
                if each.state != STORED:
                    blocked.add(each.chain)
                elif each.chain not in blocked:
                    ready.append(each.leaf_hash)
            _log(connection, ready, start=end)
            return end + len(ready)

    def place(self, leaf_hashes: Sequence[bytes], *, start: int) -> int:
        """Give logged manifests the indices that the store's record gives them: for a rebuild."""
        with self._database.write() as connection:
            _lock_tree(connection)
            for at in range(0, len(leaf_hashes), _PAGE):
                page = leaf_hashes[at : at + _PAGE]
                known = set(
                    connection.execute(
                        sa.select(_manifest.c.leaf_hash).where(_manifest.c.leaf_hash.in_(page))
                    ).scalars()
                )
                for offset, each in enumerate(page):
                    if each not in known:
                        raise UnavailableError(
                            "no manifest in the store has the leaf at log index "
                            f"{start + at + offset}; run: evault log audit"
                        )
                _log(connection, page, start=start + at)
        return start + len(leaf_hashes)

    def log_state(self) -> LogState:
        """What is integrated and published."""
        with self._database.read() as connection:
            row = ask.LOG_STATE.first(connection)
        if row is None:
            raise IndexDamagedError("the index has no tree; run: evault log rebuild")
        last = None
        if row.number is not None:
            last = Publication(row.number, TreeHead(row.covered, row.covered_root), row.note)
        return LogState(TreeHead(row.size, row.root), last, row.published)

    def advance(self, older: TreeHead, newer: TreeHead) -> bool:
        """Compare-and-swap size and root; False if another was first."""
        with self._database.change() as connection:
            done = ask.ADVANCE.change(
                connection,
                older_root=older.root,
                older_size=older.size,
                root=newer.root,
                size=newer.size,
            )
            return done == 1

    def is_covered(self, leaf_hashes: Sequence[bytes]) -> bool:
        """Whether the newest publication noted to be in the store covers all of these leaves."""
        wanted = sorted(set(leaf_hashes))
        if not wanted:
            return True
        with self._database.read() as connection:
            row = ask.covered(len(wanted)).first(connection, **ask.named(wanted))
        return row is not None and row.found == len(wanted)

    def entries(self, start: int, end: int) -> list[Entry]:
        """Log entries [start, end)."""
        with self._database.read() as connection:
            return [
                Entry(each.leaf, each.leaf_hash)
                for each in ask.ENTRIES.rows(connection, start=start, stop=end)
            ]

    def leaf_hashes(self, start: int, end: int) -> list[bytes]:
        """Leaf hashes [start, end)."""
        with self._database.read() as connection:
            found = ask.LEAF_HASHES.rows(connection, start=start, stop=end)
        return [each.leaf_hash for each in found]

    def subtrees(self, level: int, start: int, end: int) -> list[bytes]:
        """Roots of the full subtrees of 256^level leaves numbered [start, end)."""
        with self._database.read() as connection:
            found = ask.SUBTREES.rows(connection, on_level=level, start=start, stop=end)
        return [each.root for each in found]

    def add_subtree(self, level: int, number: int, root: bytes) -> None:
        """Keep the root of a full subtree; repeating it changes nothing."""
        with self._database.change() as connection:
            ask.ADD_SUBTREE.change(connection, level=level, number=number, root=root)

    def publication(self, number: int) -> Publication | None:
        """One publication."""
        with self._database.read() as connection:
            return _published(ask.PUBLICATION.first(connection, numbered=number))

    def first_publication_covering(self, size: int) -> Publication | None:
        """The first publication whose tree holds at least `size` leaves."""
        with self._database.read() as connection:
            return _published(ask.FIRST_COVERING.first(connection, least=size))

    def add_publication(self, publication: Publication) -> Publication:
        """Commit a publication under its number; the one that was first wins, and comes back."""
        with self._database.change() as connection:
            added = ask.ADD_PUBLICATION.change(
                connection,
                note=publication.note,
                number=publication.number,
                root=publication.head.root,
                size=publication.head.size,
            )
        if added == 1:
            return publication
        first = self.publication(publication.number)
        if first is None:
            raise UnavailableError("the index went back while it was written; run it again")
        return first

    def mark_published(self, number: int) -> None:
        """Note that the store holds the publications up to this number."""
        with self._database.change() as connection:
            ask.MARK_PUBLISHED.change(connection, number=number)

    def owing(self) -> list[tuple[str, int]]:
        """Chain and sequence of each link whose effect on stored objects is not done yet."""
        with self._database.read() as connection:
            return [(each.chain, each.sequence) for each in ask.OWING.rows(connection)]

    def paid(self, chain: str, sequence: int) -> None:
        """Note that the effects of a chain's links are done, up to one."""
        with self._database.change() as connection:
            ask.PAID.change(connection, on_chain=chain, up_to=sequence, owes=False)

    def alone(self, what: str, *, patience: float) -> AbstractContextManager[bool]:
        """Keep other processes and threads out of `what`; False if not within `patience`."""
        found: AbstractContextManager[bool] = self._database.alone(what, patience)
        return found

    def wait(self, what: str, *, patience: float) -> None:
        """Wait until nobody is alone with `what`, or for `patience` seconds."""
        self._database.wait(what, patience)


def _lock_head(connection: sa.Connection, chain: str) -> ChainHead:
    """A chain's head; nobody else changes the chain before this transaction ends."""
    head = _head(ask.LOCKED_HEAD.first(connection, on_chain=chain))
    if head is None:
        # Who begins a chain makes its row first; another who does so waits here for the first.
        ask.BEGIN_CHAIN.change(connection, id=chain, **_head_values(_EMPTY_CHAIN))
        head = _head(ask.LOCKED_HEAD.first(connection, on_chain=chain))
    return head or _EMPTY_CHAIN


def _lock_tree(connection: sa.Connection) -> None:
    """Nobody else gives an index before this transaction ends."""
    ask.LOCKED_TREE.first(connection)


def _log_end(connection: sa.Connection) -> int:
    (row,) = ask.LOG_END.rows(connection)
    return int(row.end)


def _log(connection: sa.Connection, leaf_hashes: Sequence[bytes], *, start: int) -> None:
    ask.ADD_ENTRY.change_each(
        connection,
        [{"leaf_hash": each, "log_index": index} for index, each in enumerate(leaf_hashes, start)],
    )
    ask.MARK_LOGGED.change_each(
        connection, [{"hash": each, "state": LOGGED} for each in leaf_hashes]
    )


def _insert(
    connection: sa.Connection, chain: str, manifests: Sequence[NewManifest], *, state: int
) -> None:
    ask.ADD_MANIFEST.change_each(
        connection,
        [
            {
                "chain": chain,
                "content": each.content,
                "deposit": each.deposit,
                "envelope": each.envelope,
                "leaf": each.leaf,
                "leaf_hash": each.leaf_hash,
                "owes": each.owes,
                "sequence": each.sequence,
                "state": state,
                "type": each.type,
            }
            for each in manifests
        ],
    )
    ask.ADD_SIGHTING.change_each(
        connection,
        [
            {
                "chain": chain,
                "exhibit": sighting.exhibit,
                "fingerprint": sighting.fingerprint,
                "sequence": each.sequence,
            }
            for each in manifests
            for sighting in each.sightings
        ],
    )
    ask.ADD_ARTIFACT.change_each(
        connection,
        [
            {
                "chain": chain,
                "exhibit": exhibit,
                "sequence": each.sequence,
                "sha256": bytes.fromhex(sha256),
            }
            for each in manifests
            for exhibit, sha256 in each.items
        ],
    )
    _set_head(connection, chain, manifests[-1].head)


def _head(row: Any) -> ChainHead | None:
    if row is None or row.sequence < 0:
        return None
    return ChainHead(
        row.sequence,
        row.leaf,
        row.exhibits,
        bool(row.sealed),
        Seen(row.seen_size, row.seen_root),
        row.guarded,
    )


def _set_head(connection: sa.Connection, chain: str, head: ChainHead) -> None:
    ask.SET_HEAD.change(connection, on_chain=chain, **_head_values(head))


def _head_values(head: ChainHead) -> Mapping[str, Any]:
    return {
        "exhibits": head.exhibits,
        "guarded": head.guarded,
        "leaf": head.leaf,
        "sealed": head.sealed,
        "seen_root": head.seen.root,
        "seen_size": head.seen.size,
        "sequence": head.sequence,
    }


def _published(row: Any) -> Publication | None:
    return row and Publication(row.number, TreeHead(row.size, row.root), row.note)


def _new_row(chain: str, each: NewManifest) -> Row:
    return Row(
        chain,
        each.sequence,
        each.deposit,
        each.type,
        each.content,
        each.leaf_hash,
        each.envelope,
        stored=False,
        index=None,
    )


def _row(row: Any) -> Row:
    return Row(
        row.chain,
        row.sequence,
        row.deposit,
        row.type,
        row.content,
        row.leaf_hash,
        row.envelope,
        stored=row.state >= STORED,
        index=row.log_index,
    )
