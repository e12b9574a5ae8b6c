"""Profiles that training leaves out, because they were made to push an item, and those that an operator released."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    op.create_table(
        "quarantine",
        sa.Column("user_key", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("item_key", sa.BigInteger, nullable=False),
        sa.Column("found_at", sa.BigInteger, nullable=False),
        sa.Column("released_at", sa.BigInteger),
    )
