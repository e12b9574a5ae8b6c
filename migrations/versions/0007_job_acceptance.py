"""Whether a job publishes against the gate, and what to do about the reason for which a job ended."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("training_jobs", sa.Column("accept", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("training_jobs", sa.Column("advice", sa.Text))
