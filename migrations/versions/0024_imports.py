"""Imports, and the rows that they rejected."""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"

STATES = "state IN ('running', 'succeeded', 'failed', 'interrupted')"


def upgrade() -> None:
    op.create_table(
        "imports",
        sa.Column(
            "import_key", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=True
        ),
        sa.Column("import_id", sa.Text, nullable=False),
        sa.Column("file", sa.Text, nullable=False),
        sa.Column("state", sa.Text, sa.CheckConstraint(STATES, name="ck_imports_state"), nullable=False),
        sa.Column("started_at", sa.BigInteger, nullable=False),
        sa.Column("reported_at", sa.BigInteger, nullable=False),
        sa.Column("finished_at", sa.BigInteger),
        sa.Column("counts", sa.JSON, nullable=False),
        sa.Column("reason", sa.Text),
        sa.UniqueConstraint("import_id", name="uq_imports_import_id"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "rejected_rows",
        sa.Column("import_key", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("file", sa.Text, nullable=False),
        sa.Column("line", sa.BigInteger, nullable=False),
        sa.Column("field", sa.Text),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column(
            "text", sa.Text, sa.CheckConstraint("length(text) <= 2000", name="ck_rejected_rows_text"), nullable=False
        ),
        sa.Column("rejected_at", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_rejected_rows_rejected_at", "rejected_rows", ["rejected_at"])
