"""The tenants of the deployment. The table is filled in the main database alone."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    states = "state IN ('creating', 'active', 'suspended', 'deleting')"
    op.create_table(
        "tenants",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("state", sa.Text, sa.CheckConstraint(states, name="ck_tenants_state"), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
    )
