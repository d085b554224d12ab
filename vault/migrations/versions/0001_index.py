"""The first version of the index."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make all tables, and the tree of nothing."""
    op.create_table(
        "chain",
        sa.Column("id", sa.String(80), primary_key=True),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("leaf", sa.String(64), nullable=True),
        sa.Column("exhibits", sa.BigInteger, nullable=False),
        sa.Column("sealed", sa.Boolean, nullable=False),
        sa.Column("seen_size", sa.BigInteger, nullable=False),
        sa.Column("seen_root", sa.String(64), nullable=False),
        sa.Column("guarded", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "manifest",
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
    pending, owing = sa.text("state < 2"), sa.text("owes")
    op.create_index(
        "manifest_pending",
        "manifest",
        ["commit_order"],
        sqlite_where=pending,
        postgresql_where=pending,
    )
    op.create_index(
        "manifest_owing",
        "manifest",
        ["chain", "sequence"],
        sqlite_where=owing,
        postgresql_where=owing,
    )
    op.create_table(
        "log_entry",
        sa.Column("log_index", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column(
            "leaf_hash",
            sa.LargeBinary(32),
            sa.ForeignKey("manifest.leaf_hash", name="log_entry_manifest"),
            nullable=False,
        ),
        sa.UniqueConstraint("leaf_hash", name="log_entry_leaf_hash"),
    )
    op.create_table(
        "sighting",
        sa.Column("chain", sa.String(80), primary_key=True),
        sa.Column("fingerprint", sa.String(64), primary_key=True),
        sa.Column("sequence", sa.BigInteger, primary_key=True),
        sa.Column("exhibit", sa.String(16), primary_key=True),
    )
    tree = op.create_table(
        "tree",
        sa.Column("one", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("root", sa.LargeBinary(32), nullable=False),
        sa.Column("published", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "subtree",
        sa.Column("level", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("root", sa.LargeBinary(32), nullable=False),
    )
    op.create_table(
        "publication",
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("root", sa.LargeBinary(32), nullable=False),
        sa.Column("note", sa.LargeBinary, nullable=False),
    )
    op.create_index("publication_size", "publication", ["size"])
    # RFC 6962: the root of an empty tree is the digest of nothing.
    empty = bytes.fromhex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    op.bulk_insert(tree, [{"one": 1, "size": 0, "root": empty, "published": 0}])
