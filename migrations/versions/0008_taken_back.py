"""Deleted items and events stay deleted, trends forget, and merged guests lead to their users.

What arrives for a deleted item makes an item that stays deleted. The sums of trends hold how many terms they have, so
that terms can be taken out; `reckon migrate` counts them again after the last step.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column("items", sa.Column("is_deleted", sa.Boolean, nullable=False, server_default=sa.false()))
    # Of items deleted so far, only the keys are known.
    op.add_column("deleted_items", sa.Column("item_id", sa.Text))
    op.create_index("ix_deleted_items_item_id", "deleted_items", ["item_id"])
    op.add_column("trends", sa.Column("n_terms", sa.BigInteger, nullable=False, server_default=sa.text("0")))
    op.add_column("trends", sa.Column("peak", sa.Double))
    # With the user and the time, which trends read; the deletion of an item reads the same index by its first column.
    op.drop_index("ix_events_item_key", "events")
    op.create_index("ix_events_item_key", "events", ["item_key", "user_key", "at"])
    op.create_table(
        "redirects",
        sa.Column("user_id", sa.Text, primary_key=True),
        sa.Column("user_key", sa.BigInteger, nullable=False),
        sa.Column("merged_at", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_redirects_user_key", "redirects", ["user_key"])
    op.create_table(
        "deleted_events",
        sa.Column("event_id", sa.Text, primary_key=True),
        sa.Column("deleted_at", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_deleted_events_deleted_at", "deleted_events", ["deleted_at"])
