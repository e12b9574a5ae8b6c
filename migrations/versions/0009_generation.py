"""The generation of a database, which a restore renews, and all events by time."""

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.add_column("installation", sa.Column("generation", sa.Text, nullable=False, server_default=""))
    op.execute(sa.text("UPDATE installation SET generation = :random").bindparams(random=secrets.token_hex(8)))
    op.create_index("ix_events_at", "events", ["at", "event_id"])
