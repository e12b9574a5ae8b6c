"""Users whose profiles are too small to be judged, and those who rate or act through the API themselves."""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"


def upgrade() -> None:
    for name in ("is_unjudged", "is_direct"):
        op.add_column("users", sa.Column(name, sa.Boolean, nullable=False, server_default=sa.false()))
