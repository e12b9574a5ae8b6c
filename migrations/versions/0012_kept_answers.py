"""Answers to requests with an Idempotency-Key, kept for requests that are sent again."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.create_table(
        "kept_answers",
        sa.Column("request_key", sa.Text, primary_key=True),
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("body", sa.LargeBinary),
        sa.Column("user_id", sa.Text),
        sa.Column("kept_at", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_kept_answers_kept_at", "kept_answers", ["kept_at"])
    names_a_user = sa.text("user_id IS NOT NULL")
    op.create_index(
        "ix_kept_answers_user_id",
        "kept_answers",
        ["user_id"],
        sqlite_where=names_a_user,
        postgresql_where=names_a_user,
    )
