"""The index in SQL, through SQLAlchemy Core. It may be deleted and rebuilt from the store.

What must not be raced for is decided under a row lock, or by a unique key: a chain's head, the next
index of the log (under the tree's row), the number of a publication.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import sqlalchemy as sa

from vault.adapters.database import Database
from vault.adapters.tables import (
    COMMITTED,
    LOGGED,
    STORED,
)
from vault.adapters.tables import (
    artifact as _artifact,
)
from vault.adapters.tables import (
    chain as _chain,
)
from vault.adapters.tables import (
    log_entry as _log_entry,
)
from vault.adapters.tables import (
    manifest as _manifest,
)
from vault.adapters.tables import (
    publication as _publication,
)
from vault.adapters.tables import (
    sighting as _sighting,
)
from vault.adapters.tables import (
    subtree as _subtree,
)
from vault.adapters.tables import (
    tree as _tree,
)
from vault.errors import DepositConflictError, StaleHeadError, UnavailableError
from vault.ports import ChainHead, Claim, Entry, NewManifest, Publication, Row
from verify.merkle import TreeHead
from verify.statement import SEEN_NOTHING, Seen

_PAGE = 500
_EMPTY_CHAIN = ChainHead(-1, None, 0, False, SEEN_NOTHING)

_ROW = (
    _manifest.c.chain,
    _manifest.c.sequence,
    _manifest.c.deposit,
    _manifest.c.type,
    _manifest.c.content,
    _manifest.c.leaf_hash,
    _manifest.c.envelope,
    _manifest.c.state,
    _log_entry.c.log_index,
)
_ROWS = _manifest.outerjoin(_log_entry, _log_entry.c.leaf_hash == _manifest.c.leaf_hash)
_BY_LEAF = (
    _manifest.update()
    .where(_manifest.c.leaf_hash == sa.bindparam("hash"))
    .values(state=sa.bindparam("becomes"))
)


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
            known = connection.execute(
                sa.select(*_ROW)
                .select_from(_ROWS)
                .where(_manifest.c.chain == chain, _manifest.c.deposit.in_(deposits))
                .order_by(_manifest.c.sequence)
            ).all()
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
            return _head(connection, sa.select(_chain).where(_chain.c.id == chain))

    def rows(self, chain: str, *, start: int = 0) -> Iterator[Row]:
        """A chain's manifests in order, read page by page."""
        while True:
            with self._database.read() as connection:
                page = connection.execute(
                    sa.select(*_ROW)
                    .select_from(_ROWS)
                    .where(_manifest.c.chain == chain, _manifest.c.sequence >= start)
                    .order_by(_manifest.c.sequence)
                    .limit(_PAGE)
                ).all()
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
        query = sa.select(_artifact.c.chain, _artifact.c.sequence, _artifact.c.exhibit).where(
            _artifact.c.sha256 == bytes.fromhex(sha256)
        )
        order = _artifact.c.chain, _artifact.c.sequence, _artifact.c.exhibit
        with self._database.read() as connection:
            return [Claim(*each) for each in connection.execute(query.order_by(*order))]

    def sightings(
        self, chain: str, *, before: int | None = None, among: Sequence[str] | None = None
    ) -> dict[str, tuple[str, int]]:
        """All fingerprints of a chain, each with exhibit and sequence of its newest sighting."""
        query = sa.select(_sighting).where(_sighting.c.chain == chain)
        if among is not None:
            query = query.where(_sighting.c.fingerprint.in_(among))
        if before is not None:
            query = query.where(_sighting.c.sequence < before)
        with self._database.read() as connection:
            return {
                each.fingerprint: (each.exhibit, each.sequence)
                for each in connection.execute(query.order_by(_sighting.c.sequence))
            }

    def unstored(self, chains: Sequence[str] | None = None) -> list[Row]:
        """Committed manifests that the store may not hold yet, in commit order."""
        query = sa.select(*_ROW).select_from(_ROWS).where(_manifest.c.state < LOGGED)
        query = query.where(_manifest.c.state == COMMITTED).order_by(_manifest.c.commit_order)
        if chains is not None:
            query = query.where(_manifest.c.chain.in_(chains))
        with self._database.read() as connection:
            return [_row(each) for each in connection.execute(query)]

    def mark_stored(self, rows: Sequence[Row]) -> None:
        """Note that the store holds these manifests."""
        if not rows:
            return
        with self._database.write() if len(rows) > 1 else self._database.change() as connection:
            # Row by row, in commit order, as `assign` does: two who meet never wait crosswise.
            connection.execute(
                _BY_LEAF.where(_manifest.c.state == COMMITTED),
                [{"becomes": STORED, "hash": row.leaf_hash} for row in rows],
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
                .select_from(_ROWS)
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
            waiting = connection.execute(
                sa.select(_manifest.c.chain, _manifest.c.leaf_hash, _manifest.c.state)
                .where(_manifest.c.state < LOGGED)
                .order_by(_manifest.c.commit_order)
            ).all()
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

    def tree(self) -> TreeHead:
        """Size and root of what is integrated."""
        with self._database.read() as connection:
            row = connection.execute(sa.select(_tree.c.size, _tree.c.root)).one()
        return TreeHead(row.size, row.root)

    def advance(self, older: TreeHead, newer: TreeHead) -> bool:
        """Compare-and-swap size and root; False if another was first."""
        with self._database.change() as connection:
            done = connection.execute(
                _tree.update()
                .where(_tree.c.size == older.size, _tree.c.root == older.root)
                .values(size=newer.size, root=newer.root)
            )
            return bool(done.rowcount == 1)

    def is_covered(self, leaf_hashes: Sequence[bytes]) -> bool:
        """Whether the newest publication noted to be in the store covers all of these leaves."""
        size = (
            sa.select(_publication.c.size)
            .join(_tree, _tree.c.published == _publication.c.number)
            .scalar_subquery()
        )
        query = sa.select(sa.func.count()).select_from(_log_entry)
        wanted = set(leaf_hashes)
        with self._database.read() as connection:
            count = connection.execute(
                query.where(_log_entry.c.leaf_hash.in_(wanted), _log_entry.c.log_index < size)
            ).scalar()
        return bool(count == len(wanted))

    def entries(self, start: int, end: int) -> list[Entry]:
        """Log entries [start, end)."""
        with self._database.read() as connection:
            return [
                Entry(each.leaf, each.leaf_hash)
                for each in connection.execute(
                    sa.select(_manifest.c.leaf, _log_entry.c.leaf_hash)
                    .select_from(_log_entry.join(_manifest))
                    .where(_log_entry.c.log_index >= start, _log_entry.c.log_index < end)
                    .order_by(_log_entry.c.log_index)
                )
            ]

    def leaf_hashes(self, start: int, end: int) -> list[bytes]:
        """Leaf hashes [start, end)."""
        with self._database.read() as connection:
            return list(
                connection.execute(
                    sa.select(_log_entry.c.leaf_hash)
                    .where(_log_entry.c.log_index >= start, _log_entry.c.log_index < end)
                    .order_by(_log_entry.c.log_index)
                ).scalars()
            )

    def subtrees(self, level: int, start: int, end: int) -> list[bytes]:
        """Roots of the full subtrees of 256^level leaves numbered [start, end)."""
        with self._database.read() as connection:
            return list(
                connection.execute(
                    sa.select(_subtree.c.root)
                    .where(
                        _subtree.c.level == level,
                        _subtree.c.number >= start,
                        _subtree.c.number < end,
                    )
                    .order_by(_subtree.c.number)
                ).scalars()
            )

    def add_subtree(self, level: int, number: int, root: bytes) -> None:
        """Keep the root of a full subtree; repeating it changes nothing."""
        with self._database.change() as connection:
            _insert_once(connection, _subtree, level=level, number=number, root=root)

    def last_publication(self) -> Publication | None:
        """The publication with the highest number."""
        return self._publication(sa.true(), _publication.c.number.desc())

    def publication(self, number: int) -> Publication | None:
        """One publication."""
        return self._publication(_publication.c.number == number, _publication.c.number)

    def first_publication_covering(self, size: int) -> Publication | None:
        """The first publication whose tree holds at least `size` leaves."""
        return self._publication(_publication.c.size >= size, _publication.c.number)

    def add_publication(self, publication: Publication) -> Publication:
        """Commit a publication under its number; the one that was first wins, and comes back."""
        with self._database.change() as connection:
            _insert_once(
                connection,
                _publication,
                number=publication.number,
                size=publication.head.size,
                root=publication.head.root,
                note=publication.note,
            )
        first = self.publication(publication.number)
        if first is None:
            raise UnavailableError("the index went back while it was written; run it again")
        return first

    def published(self) -> int:
        """The highest number of a publication that was noted to be in the store, 0 for none."""
        with self._database.read() as connection:
            return int(connection.execute(sa.select(_tree.c.published)).scalar_one())

    def mark_published(self, number: int) -> None:
        """Note that the store holds the publications up to this number."""
        with self._database.change() as connection:
            connection.execute(
                _tree.update().where(_tree.c.published < number).values(published=number)
            )

    def owing(self) -> list[tuple[str, int]]:
        """Chain and sequence of each link whose effect on stored objects is not done yet."""
        with self._database.read() as connection:
            return [
                (each.chain, each.sequence)
                for each in connection.execute(
                    sa.select(_manifest.c.chain, _manifest.c.sequence)
                    .where(_manifest.c.owes)
                    .order_by(_manifest.c.chain, _manifest.c.sequence)
                )
            ]

    def paid(self, chain: str, sequence: int) -> None:
        """Note that the effects of a chain's links are done, up to one."""
        with self._database.change() as connection:
            connection.execute(
                _manifest.update()
                .where(
                    _manifest.c.owes, _manifest.c.chain == chain, _manifest.c.sequence <= sequence
                )
                .values(owes=False)
            )

    def alone(self, what: str, *, patience: float) -> AbstractContextManager[bool]:
        """Keep other processes and threads out of `what`; False if not within `patience`."""
        found: AbstractContextManager[bool] = self._database.alone(what, patience)
        return found

    def wait(self, what: str, *, patience: float) -> None:
        """Wait until nobody is alone with `what`, or for `patience` seconds."""
        self._database.wait(what, patience)

    def _publication(
        self, condition: sa.ColumnElement[bool], order: sa.ColumnElement[Any]
    ) -> Publication | None:
        with self._database.read() as connection:
            row = connection.execute(
                sa.select(_publication).where(condition).order_by(order).limit(1)
            ).first()
        return None if row is None else _published(row)


def _lock_head(connection: sa.Connection, chain: str) -> ChainHead:
    """A chain's head; nobody else changes the chain before this transaction ends."""
    query = sa.select(_chain).where(_chain.c.id == chain).with_for_update()
    head = _head(connection, query)
    if head is None:
        # Who begins a chain makes its row first; another who does so waits here for the first.
        _insert_once(connection, _chain, id=chain, **_head_values(_EMPTY_CHAIN))
        head = _head(connection, query)
    return head or _EMPTY_CHAIN


def _lock_tree(connection: sa.Connection) -> None:
    """Nobody else gives an index before this transaction ends."""
    connection.execute(sa.select(_tree.c.size).with_for_update())


def _log_end(connection: sa.Connection) -> int:
    last = sa.func.coalesce(sa.func.max(_log_entry.c.log_index), -1)
    return int(connection.execute(sa.select(last)).scalar_one()) + 1


def _log(connection: sa.Connection, leaf_hashes: Sequence[bytes], *, start: int) -> None:
    if not leaf_hashes:
        return
    connection.execute(
        _log_entry.insert(),
        [{"leaf_hash": each, "log_index": index} for index, each in enumerate(leaf_hashes, start)],
    )
    connection.execute(_BY_LEAF, [{"becomes": LOGGED, "hash": each} for each in leaf_hashes])


def _insert(
    connection: sa.Connection, chain: str, manifests: Sequence[NewManifest], *, state: int
) -> None:
    connection.execute(
        _manifest.insert(),
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
    seen = [
        {
            "chain": chain,
            "exhibit": sighting.exhibit,
            "fingerprint": sighting.fingerprint,
            "sequence": each.sequence,
        }
        for each in manifests
        for sighting in each.sightings
    ]
    if seen:
        connection.execute(_sighting.insert(), seen)
    claimed = [
        {
            "chain": chain,
            "exhibit": exhibit,
            "sequence": each.sequence,
            "sha256": bytes.fromhex(sha256),
        }
        for each in manifests
        for exhibit, sha256 in each.items
    ]
    if claimed:
        connection.execute(_artifact.insert(), claimed)
    _set_head(connection, chain, manifests[-1].head)


def _insert_once(connection: sa.Connection, table: sa.Table, **values: object) -> None:
    """Insert a row, unless its key is there."""
    # Each dialect has an insert of its own, and importing the other's costs every command.
    dialect = importlib.import_module(f"sqlalchemy.dialects.{connection.dialect.name}")
    connection.execute(dialect.insert(table).values(**values).on_conflict_do_nothing())


def _head(connection: sa.Connection, query: sa.Select[Any]) -> ChainHead | None:
    row = connection.execute(query).first()
    if row is None or row.sequence < 0:
        return None
    return ChainHead(
        row.sequence,
        row.leaf,
        row.exhibits,
        row.sealed,
        Seen(row.seen_size, row.seen_root),
        row.guarded,
    )


def _set_head(connection: sa.Connection, chain: str, head: ChainHead) -> None:
    connection.execute(_chain.update().where(_chain.c.id == chain).values(**_head_values(head)))


def _head_values(head: ChainHead) -> dict[str, Any]:
    return {
        "exhibits": head.exhibits,
        "guarded": head.guarded,
        "leaf": head.leaf,
        "sealed": head.sealed,
        "seen_root": head.seen.root,
        "seen_size": head.seen.size,
        "sequence": head.sequence,
    }


def _published(row: Any) -> Publication:
    return Publication(row.number, TreeHead(row.size, row.root), row.note)


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
