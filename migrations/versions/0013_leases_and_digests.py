"""How long the lease of a running job is, and the digests of snapshots."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.add_column("training_jobs", sa.Column("lease_seconds", sa.Double))
    op.add_column("snapshots", sa.Column("digest", sa.Text))
