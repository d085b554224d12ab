"""What the SQL index asks and changes, each statement prepared; `sql` says what for."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from vault.adapters.prepared import Prepared
from vault.adapters.tables import (
    COMMITTED,
    LOGGED,
    artifact,
    chain,
    log_entry,
    manifest,
    publication,
    sighting,
    subtree,
    tree,
)

PAGE = 500

HEAD_COLUMNS = ("exhibits", "guarded", "leaf", "sealed", "seen_root", "seen_size", "sequence")
MANIFEST_COLUMNS = (
    "chain", "content", "deposit", "envelope", "leaf", "leaf_hash", "owes", "sequence", "state",
    "type",
)  # fmt: skip

_value = sa.bindparam
_WITH_INDEX = manifest.outerjoin(log_entry, log_entry.c.leaf_hash == manifest.c.leaf_hash)
_ROW = sa.select(
    manifest.c.chain,
    manifest.c.sequence,
    manifest.c.deposit,
    manifest.c.type,
    manifest.c.content,
    manifest.c.leaf_hash,
    manifest.c.envelope,
    manifest.c.state,
    log_entry.c.log_index,
).select_from(_WITH_INDEX)
_ON_CHAIN = manifest.c.chain == _value("on_chain")
_PENDING = manifest.c.state < LOGGED

# Chains

HEAD = Prepared(sa.select(chain).where(chain.c.id == _value("on_chain")))
LOCKED_HEAD = Prepared(sa.select(chain).where(chain.c.id == _value("on_chain")).with_for_update())
SET_HEAD = Prepared(chain.update().where(chain.c.id == _value("on_chain")), columns=HEAD_COLUMNS)
ROWS = Prepared(
    _ROW.where(_ON_CHAIN, manifest.c.sequence >= _value("start"))
    .order_by(manifest.c.sequence)
    .limit(PAGE)
)
CLAIMS = Prepared(
    sa.select(artifact.c.chain, artifact.c.sequence, artifact.c.exhibit)
    .where(artifact.c.sha256 == _value("digest"))
    .order_by(artifact.c.chain, artifact.c.sequence, artifact.c.exhibit)
)
ADD_MANIFEST = Prepared(manifest.insert().inline(), columns=MANIFEST_COLUMNS)
ADD_SIGHTING = Prepared(
    sighting.insert().inline(), columns=("chain", "exhibit", "fingerprint", "sequence")
)
ADD_ARTIFACT = Prepared(
    artifact.insert().inline(), columns=("chain", "exhibit", "sequence", "sha256")
)
MARK_STORED = Prepared(
    manifest.update().where(manifest.c.leaf_hash == _value("hash"), manifest.c.state == COMMITTED),
    columns=("state",),
)

# The log

LOCKED_TREE = Prepared(sa.select(tree.c.size).with_for_update())
LOG_END = Prepared(
    sa.select((sa.func.coalesce(sa.func.max(log_entry.c.log_index), -1) + 1).label("end"))
)
WAITING = Prepared(
    sa.select(manifest.c.chain, manifest.c.leaf_hash, manifest.c.state)
    .where(_PENDING)
    .order_by(manifest.c.commit_order)
)
ADD_ENTRY = Prepared(log_entry.insert().inline(), columns=("leaf_hash", "log_index"))
MARK_LOGGED = Prepared(
    manifest.update().where(manifest.c.leaf_hash == _value("hash")), columns=("state",)
)
_last = publication.alias("last")
# By its key: however many there are, one is read.
_LAST = publication.c.number == sa.select(sa.func.max(_last.c.number)).scalar_subquery()
LOG_STATE = Prepared(
    sa.select(tree.c.size, tree.c.root, tree.c.published, publication.c.number,
              publication.c.size.label("covered"), publication.c.root.label("covered_root"),
              publication.c.note)
    .select_from(tree.outerjoin(publication, _LAST))
)  # fmt: skip
ADVANCE = Prepared(
    tree.update().where(tree.c.size == _value("older_size"), tree.c.root == _value("older_root")),
    columns=("root", "size"),
)
ENTRIES = Prepared(
    sa.select(manifest.c.leaf, log_entry.c.leaf_hash)
    .select_from(log_entry.join(manifest))
    .where(log_entry.c.log_index >= _value("start"), log_entry.c.log_index < _value("stop"))
    .order_by(log_entry.c.log_index)
)
LEAF_HASHES = Prepared(
    sa.select(log_entry.c.leaf_hash)
    .where(log_entry.c.log_index >= _value("start"), log_entry.c.log_index < _value("stop"))
    .order_by(log_entry.c.log_index)
)
SUBTREES = Prepared(
    sa.select(subtree.c.root)
    .where(
        subtree.c.level == _value("on_level"),
        subtree.c.number >= _value("start"),
        subtree.c.number < _value("stop"),
    )
    .order_by(subtree.c.number)
)
PUBLICATION = Prepared(sa.select(publication).where(publication.c.number == _value("numbered")))
FIRST_COVERING = Prepared(
    sa.select(publication)
    .where(publication.c.size >= _value("least"))
    .order_by(publication.c.number)
    .limit(1)
)
MARK_PUBLISHED = Prepared(
    tree.update().where(tree.c.published < _value("number")).values(published=_value("number"))
)

# What stored objects are owed

OWING = Prepared(
    sa.select(manifest.c.chain, manifest.c.sequence)
    .where(manifest.c.owes)
    .order_by(manifest.c.chain, manifest.c.sequence)
)
PAID = Prepared(
    manifest.update().where(manifest.c.owes, _ON_CHAIN, manifest.c.sequence <= _value("up_to")),
    columns=("owes",),
)


def _once(table: sa.Table) -> Prepared:
    """An insert that changes nothing where its key is there."""

    def of(dialect: str) -> sa.Insert:
        # Each dialect has an insert of its own, and importing the other's costs every command.
        module = importlib.import_module(f"sqlalchemy.dialects.{dialect}")
        insert: sa.Insert = module.insert(table).inline().on_conflict_do_nothing()
        return insert

    return Prepared(of, columns=[each.name for each in table.columns])


BEGIN_CHAIN = _once(chain)
ADD_SUBTREE = _once(subtree)
ADD_PUBLICATION = _once(publication)


def named(values: Sequence[Any]) -> Mapping[str, Any]:
    """Several values of one statement of those below."""
    return {f"one_{number}": value for number, value in enumerate(values)}


def _among(count: int) -> list[sa.BindParameter[Any]]:
    return [_value(f"one_{number}") for number in range(count)]


@lru_cache(64)
def rows_deposited(count: int) -> Prepared:
    """The links of a chain that have one of so many deposit ids."""
    return Prepared(
        _ROW.where(_ON_CHAIN, manifest.c.deposit.in_(_among(count))).order_by(manifest.c.sequence)
    )


@lru_cache(64)
def unstored(count: int | None) -> Prepared:
    """Committed manifests, of so many chains or of all."""
    query = _ROW.where(_PENDING, manifest.c.state == COMMITTED).order_by(manifest.c.commit_order)
    if count is not None:
        query = query.where(manifest.c.chain.in_(_among(count)))
    return Prepared(query)


@lru_cache(64)
def covered(count: int) -> Prepared:
    """How many of so many leaves the newest publication that is in the store covers."""
    size = (
        sa.select(publication.c.size)
        .join(tree, tree.c.published == publication.c.number)
        .scalar_subquery()
    )
    return Prepared(
        sa.select(sa.func.count().label("found"))
        .select_from(log_entry)
        .where(log_entry.c.leaf_hash.in_(_among(count)), log_entry.c.log_index < size)
    )


@lru_cache(64)
def sightings(count: int | None, *, before: bool) -> Prepared:
    """A chain's sightings in order: of so many fingerprints or all, before a link or at all."""
    query = sa.select(sighting).where(sighting.c.chain == _value("on_chain"))
    if count is not None:
        query = query.where(sighting.c.fingerprint.in_(_among(count)))
    if before:
        query = query.where(sighting.c.sequence < _value("before"))
    return Prepared(query.order_by(sighting.c.sequence))
