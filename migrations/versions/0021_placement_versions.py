"""The versions of placements. What is stored is the first version of each."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    op.create_table(
        "placement_versions",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("settings", sa.JSON),
        sa.Column("changed_at", sa.BigInteger, nullable=False),
        sa.Column("changed_by", sa.Text),
        sqlite_with_rowid=False,
    )
    op.execute(
        "INSERT INTO placement_versions (name, number, settings, changed_at)"
        " SELECT name, 1, settings, updated_at FROM placements"
    )
