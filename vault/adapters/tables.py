"""The tables of the SQL index. `vault/migrations` makes them; a test holds the two together.

What was logged and what was published is only ever added to: the service's own role may not alter
or remove it (`database.GRANTS`), and a logged manifest cannot go while its log entry stands.
"""

from __future__ import annotations

import sqlalchemy as sa

COMMITTED, STORED, LOGGED = 0, 1, 2
"""States of a manifest: in the index alone; in the store too; at its index in the log."""

metadata = sa.MetaData()

chain = sa.Table(
    "chain",
    metadata,
    sa.Column("id", sa.String(80), primary_key=True),
    sa.Column("sequence", sa.BigInteger, nullable=False),
    sa.Column("leaf", sa.String(64), nullable=True),
    sa.Column("exhibits", sa.BigInteger, nullable=False),
    sa.Column("sealed", sa.Boolean, nullable=False),
    sa.Column("seen_size", sa.BigInteger, nullable=False),
    sa.Column("seen_root", sa.String(64), nullable=False),
    sa.Column("guarded", sa.BigInteger, nullable=False),
)

manifest = sa.Table(
    "manifest",
    metadata,
    sa.Column(
        "commit_order",
        sa.BigInteger().with_variant(sa.Integer, "sqlite"),
        primary_key=True,
        autoincrement=True,
    ),
    sa.Column("chain", sa.String(80), nullable=False),
    sa.Column("sequence", sa.BigInteger, nullable=False),
    sa.Column("deposit", sa.String(128), nullable=False),
    sa.Column("type", sa.String(32), nullable=False),
    sa.Column("content", sa.String(64), nullable=False),
    sa.Column("leaf", sa.LargeBinary, nullable=False),
    sa.Column("leaf_hash", sa.LargeBinary(32), nullable=False),
    sa.Column("envelope", sa.LargeBinary, nullable=False),
    sa.Column("state", sa.SmallInteger, nullable=False),
    sa.Column("owes", sa.Boolean, nullable=False),
    sa.UniqueConstraint("chain", "sequence", name="manifest_sequence"),
    sa.UniqueConstraint("chain", "deposit", name="manifest_deposit"),
    sa.UniqueConstraint("leaf_hash", name="manifest_leaf_hash"),
)
_PENDING = manifest.c.state < LOGGED
sa.Index(
    "manifest_pending",
    manifest.c.commit_order,
    sqlite_where=_PENDING,
    postgresql_where=_PENDING,
)
sa.Index(
    "manifest_owing",
    manifest.c.chain,
    manifest.c.sequence,
    sqlite_where=manifest.c.owes,
    postgresql_where=manifest.c.owes,
)

log_entry = sa.Table(
    "log_entry",
    metadata,
    sa.Column("log_index", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column(
        "leaf_hash",
        sa.LargeBinary(32),
        sa.ForeignKey("manifest.leaf_hash", name="log_entry_manifest"),
        nullable=False,
    ),
    sa.UniqueConstraint("leaf_hash", name="log_entry_leaf_hash"),
)

sighting = sa.Table(
    "sighting",
    metadata,
    sa.Column("chain", sa.String(80), primary_key=True),
    sa.Column("fingerprint", sa.String(64), primary_key=True),
    sa.Column("sequence", sa.BigInteger, primary_key=True),
    sa.Column("exhibit", sa.String(16), primary_key=True),
)

artifact = sa.Table(
    "artifact",
    metadata,
    sa.Column("sha256", sa.LargeBinary(32), primary_key=True),
    sa.Column("chain", sa.String(80), primary_key=True),
    sa.Column("exhibit", sa.String(16), primary_key=True),
    sa.Column("sequence", sa.BigInteger, nullable=False),
)
sa.Index("artifact_link", artifact.c.chain, artifact.c.sequence)

tree = sa.Table(
    "tree",
    metadata,
    sa.Column("one", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("root", sa.LargeBinary(32), nullable=False),
    sa.Column("published", sa.BigInteger, nullable=False),
)

subtree = sa.Table(
    "subtree",
    metadata,
    sa.Column("level", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("root", sa.LargeBinary(32), nullable=False),
)

publication = sa.Table(
    "publication",
    metadata,
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("root", sa.LargeBinary(32), nullable=False),
    sa.Column("note", sa.LargeBinary, nullable=False),
)
sa.Index("publication_size", publication.c.size)
