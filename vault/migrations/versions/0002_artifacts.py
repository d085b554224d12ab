"""Where each artifact is claimed: digests are looked up across all chains."""

from __future__ import annotations

import base64
import json

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table, and fill it from the captures that the index holds."""
    artifact = op.create_table(
        "artifact",
        sa.Column("sha256", sa.LargeBinary(32), primary_key=True),
        sa.Column("chain", sa.String(80), primary_key=True),
        sa.Column("exhibit", sa.String(16), primary_key=True),
        sa.Column("sequence", sa.BigInteger, nullable=False),
    )
    op.create_index("artifact_link", "artifact", ["chain", "sequence"])
    connection = op.get_bind()
    captures = sa.text(
        "SELECT commit_order, chain, sequence, envelope FROM manifest "
        "WHERE type = 'capture' AND commit_order > :last ORDER BY commit_order LIMIT 1"
    )
    last = -1
    while (row := connection.execute(captures, {"last": last}).first()) is not None:
        last = row.commit_order
        statement = json.loads(base64.b64decode(json.loads(row.envelope)["payload"]))
        claims = [
            {
                "chain": row.chain,
                "exhibit": item["exhibit"],
                "sequence": row.sequence,
                "sha256": bytes.fromhex(item["sha256"]),
            }
            for item in statement["predicate"]["body"]["items"]
        ]
        if claims:
            op.bulk_insert(artifact, claims)
    if connection.dialect.name == "postgresql":
        _grant(connection)


def _grant(connection: sa.Connection) -> None:
    """Whoever may use the index may use this table: rights on tables came before it."""
    known = sa.text(
        "SELECT DISTINCT grantee FROM information_schema.role_table_grants "
        "WHERE table_schema = current_schema() AND table_name = 'sighting' "
        "AND grantee NOT IN (current_user, 'PUBLIC')"
    )
    for role in list(connection.execute(known).scalars()):
        quoted = connection.dialect.identifier_preparer.quote(role)
        op.execute(f"GRANT SELECT, INSERT, DELETE ON artifact TO {quoted}")
