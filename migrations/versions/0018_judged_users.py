"""The highest key of the users whom a training run has judged. Trends are counted again by the new rule."""

from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    op.execute("INSERT INTO counters (name, value) VALUES ('judged_users', 0)")
