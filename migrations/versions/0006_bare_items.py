"""Which items are bare: known from ratings and events alone, neither put nor imported."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("items", sa.Column("is_bare", sa.Boolean, nullable=False, server_default=sa.true()))
    # Of items stored so far, it is not known whether they were put: those with a value in any field count as put.
    op.execute(
        "UPDATE items SET is_bare = false"
        " WHERE coalesce(title, description, url, image_url, created_by) IS NOT NULL"
        " OR coalesce(year, available_until, added_at) IS NOT NULL OR NOT is_available"
        " OR CAST(categories AS TEXT) <> '[]' OR CAST(attributes AS TEXT) <> '{}'"
    )
