"""Erasures of users and their receipts, the backups that were made, and whose deleted events the tombstones are of."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    op.create_table(
        "erasures",
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("erasure_id", sa.Text, nullable=False),
        sa.Column("salt", sa.Text, nullable=False),
        sa.Column("user_hash", sa.Text, nullable=False),
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.Column("requested_at", sa.BigInteger, nullable=False),
        sa.Column("due_at", sa.BigInteger, nullable=False),
        sa.Column("completed_at", sa.BigInteger),
        sa.Column("removed", sa.JSON, nullable=False),
        sa.Column("removed_snapshots", sa.JSON, nullable=False, server_default=sa.text("'[]'")),
        sa.Column("snapshot_version", sa.BigInteger),
        sa.Column("backups", sa.JSON, nullable=False, server_default=sa.text("'[]'")),
        sa.UniqueConstraint("erasure_id", name="uq_erasures_erasure_id"),
    )
    is_pending = sa.text("completed_at IS NULL")
    op.create_index("ix_erasures_pending", "erasures", ["number"], sqlite_where=is_pending, postgresql_where=is_pending)
    op.create_table(
        "backups",
        sa.Column("made_at", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("file", sa.Text, nullable=False),
    )
    counters = sa.table("counters", sa.column("name", sa.Text), sa.column("value", sa.BigInteger))
    op.bulk_insert(counters, [{"name": "erasures", "value": 0}])
    # Of events deleted so far, the user is not known; their tombstones expire within 30 days.
    op.add_column("deleted_events", sa.Column("user_key", sa.BigInteger))
    op.create_index("ix_deleted_events_user_key", "deleted_events", ["user_key"])
