"""How far an import is, and the upload that it came from."""

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"


def upgrade() -> None:
    op.add_column("imports", sa.Column("upload_id", sa.Text))
    op.add_column("imports", sa.Column("upload_options", sa.Text))
    op.add_column("imports", sa.Column("progress", sa.Double))
