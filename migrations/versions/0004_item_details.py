"""What people are shown of an item: a description, and the addresses of its page and picture."""

from alembic import op

revision = "0004"
down_revision = "0003"

MAX_LENGTHS = {"description": 10_000, "url": 2_048, "image_url": 2_048}


def upgrade() -> None:
    for name, max_length in MAX_LENGTHS.items():
        # In SQL: SQLite takes a CHECK with a new column, and Alembic's operation for it adds the two one by one.
        check = f"CONSTRAINT ck_items_{name} CHECK (length({name}) <= {max_length})"
        op.execute(f"ALTER TABLE items ADD COLUMN {name} TEXT {check}")
