"""The ids of events, and those of deleted ones, are unique among the events of a user."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"

KEY = ("event_id", "user_key")


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        _make_events_anew()
        _make_deleted_events_anew()
        return
    # Of events that were deleted before migration 0015, the user is not known: 0 stands for any.
    op.execute("UPDATE deleted_events SET user_key = 0 WHERE user_key IS NULL")
    for table in ("events", "deleted_events"):
        name = sa.inspect(op.get_bind()).get_pk_constraint(table)["name"]
        op.drop_constraint(str(name), table, type_="primary")
        op.create_primary_key(name, table, list(KEY))


def _make_events_anew() -> None:
    """SQLite changes no primary key of a table."""
    columns: list[sa.Column[Any]] = [
        sa.Column("event_id", sa.Text, primary_key=True),
        sa.Column("type_key", sa.BigInteger, nullable=False),
        sa.Column("user_key", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("item_key", sa.BigInteger, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("portion", sa.Double),
        sa.Column("placement", sa.Text),
        sa.Column("snapshot_version", sa.BigInteger),
        sa.Column("position", sa.BigInteger),
    ]
    checks = [
        sa.CheckConstraint("length(event_id) BETWEEN 1 AND 128", name="ck_events_id"),
        sa.CheckConstraint("portion BETWEEN 0 AND 1", name="ck_events_portion"),
        sa.CheckConstraint("position >= 0", name="ck_events_position"),
    ]
    _make_anew("events", columns, checks)
    op.create_index("ix_events_user_key", "events", ["user_key", "at"])
    op.create_index("ix_events_item_key", "events", ["item_key", "user_key", "at"])
    op.create_index("ix_events_at", "events", ["at", "event_id"])


def _make_deleted_events_anew() -> None:
    op.execute("UPDATE deleted_events SET user_key = 0 WHERE user_key IS NULL")
    columns: list[sa.Column[Any]] = [
        sa.Column("event_id", sa.Text, primary_key=True),
        sa.Column("deleted_at", sa.BigInteger, nullable=False),
        sa.Column("user_key", sa.BigInteger, primary_key=True, autoincrement=False),
    ]
    _make_anew("deleted_events", columns)
    op.create_index("ix_deleted_events_deleted_at", "deleted_events", ["deleted_at"])
    op.create_index("ix_deleted_events_user_key", "deleted_events", ["user_key"])


def _make_anew(table: str, columns: Sequence[sa.Column[Any]], checks: Sequence[sa.CheckConstraint] = ()) -> None:
    names = ", ".join(column.name for column in columns)
    op.create_table(f"new_{table}", *columns, *checks, sa.PrimaryKeyConstraint(*KEY), sqlite_with_rowid=False)
    op.execute(f"INSERT INTO new_{table} ({names}) SELECT {names} FROM {table}")  # noqa: S608  names of ours
    op.drop_table(table)
    op.rename_table(f"new_{table}", table)
