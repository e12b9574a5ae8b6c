"""Events and what they amount to, their types, placements, and what is trending."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

SURROGATE_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
# name, weight, is_exposure, is_consumption
EVENT_TYPES = (
    ("shown", 0.0, True, False),
    ("clicked", 1.0, False, False),
    ("liked", 2.0, False, False),
    ("disliked", -2.0, False, False),
    ("watched", 2.0, False, True),
    ("bought", 3.0, False, True),
)


def upgrade() -> None:
    op.add_column("users", sa.Column("profile_version", sa.BigInteger, nullable=False, server_default=sa.text("0")))
    # 0 means that nothing but ratings is known of a user.
    op.execute("UPDATE users SET profile_version = 1 WHERE country IS NOT NULL OR CAST(attributes AS TEXT) <> '{}'")
    create_event_types()
    create_events()
    create_placements()
    create_trends()


def create_event_types() -> None:
    event_types = op.create_table(
        "event_types",
        sa.Column("type_key", SURROGATE_KEY, primary_key=True, autoincrement=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("weight", sa.Double, nullable=False),
        sa.Column("is_exposure", sa.Boolean, nullable=False),
        sa.Column("is_consumption", sa.Boolean, nullable=False),
        sa.UniqueConstraint("name", name="uq_event_types_name"),
        sa.CheckConstraint("weight > -1e300 AND weight < 1e300", name="ck_event_types_finite"),
        sqlite_autoincrement=True,
    )
    names = ("name", "weight", "is_exposure", "is_consumption")
    op.bulk_insert(event_types, [dict(zip(names, row, strict=True)) for row in EVENT_TYPES])


def create_events() -> None:
    op.create_table(
        "events",
        sa.Column("event_id", sa.Text, primary_key=True),
        sa.Column("type_key", sa.BigInteger, nullable=False),
        sa.Column("user_key", sa.BigInteger, nullable=False),
        sa.Column("item_key", sa.BigInteger, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("portion", sa.Double),
        sa.Column("placement", sa.Text),
        sa.Column("snapshot_version", sa.BigInteger),
        sa.CheckConstraint("length(event_id) BETWEEN 1 AND 128", name="ck_events_id"),
        sa.CheckConstraint("portion BETWEEN 0 AND 1", name="ck_events_portion"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_events_user_key", "events", ["user_key", "at"])
    op.create_index("ix_events_item_key", "events", ["item_key"])
    op.create_table(
        "interactions",
        sa.Column("user_key", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("item_key", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("type_key", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("count", sa.BigInteger, nullable=False),
        sa.Column("first_at", sa.BigInteger, nullable=False),
        sa.Column("last_at", sa.BigInteger, nullable=False),
        sa.Column("portion", sa.Double),
        sa.CheckConstraint("portion BETWEEN 0 AND 1", name="ck_interactions_portion"),
        sqlite_with_rowid=False,
    )


def create_placements() -> None:
    op.create_table(
        "placements",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("settings", sa.JSON, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
    )
    counters = sa.table("counters", sa.column("name", sa.Text), sa.column("value", sa.BigInteger))
    op.bulk_insert(counters, [{"name": "placements", "value": 0}])


def create_trends() -> None:
    op.create_table(
        "trends",
        sa.Column("country", sa.Text, primary_key=True),
        sa.Column("item_key", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("heat", sa.Double, nullable=False),
        sa.CheckConstraint("heat > -1e300 AND heat < 1e300", name="ck_trends_finite"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_trends_country", "trends", ["country", "heat"])
