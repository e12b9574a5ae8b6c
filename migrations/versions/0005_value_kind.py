"""What the values of ratings are: stars, binary, pairs or amounts. All values stored so far are stars."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    # In SQL: SQLite takes a CHECK with a new column, and Alembic's operation for it adds the two one by one.
    check = "CONSTRAINT ck_installation_value_kind CHECK (value_kind IN ('stars', 'binary', 'pairs', 'amounts'))"
    op.execute(f"ALTER TABLE installation ADD COLUMN value_kind TEXT DEFAULT 'stars' NOT NULL {check}")
