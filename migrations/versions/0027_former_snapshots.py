"""Figures of snapshots that were deleted."""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"

CAUSES = "cause IN ('retention', 'erasure')"


def upgrade() -> None:
    op.create_table(
        "former_snapshots",
        sa.Column("version", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("card", sa.JSON, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("deleted_at", sa.BigInteger, nullable=False),
        sa.Column("cause", sa.Text, sa.CheckConstraint(CAUSES, name="ck_former_snapshots_cause"), nullable=False),
    )
