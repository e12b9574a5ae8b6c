"""At which place of a list the item of an event stood."""

from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    # In SQL: SQLite takes a CHECK with a new column, and Alembic's operation for it adds the two one by one.
    op.execute("ALTER TABLE events ADD COLUMN position BIGINT CONSTRAINT ck_events_position CHECK (position >= 0)")
