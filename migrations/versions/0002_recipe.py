"""The recipe that the service learns by; NULL for the default."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("installation", sa.Column("recipe", sa.JSON(none_as_null=True)))
