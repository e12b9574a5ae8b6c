"""The first tables: ratings, items, users, training jobs, snapshots, and the installation's own row."""

import secrets
import uuid

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

SURROGATE_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
COUNTERS = ("catalogue", "snapshot", "fencing", "erased")


def upgrade() -> None:
    create_installation()
    create_catalogue()
    create_ratings()
    create_training()


def create_installation() -> None:
    installation = op.create_table(
        "installation",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("database_id", sa.Text, nullable=False),
        sa.Column("token_key", sa.LargeBinary, nullable=False),
        sa.Column("scale_minimum", sa.Double, nullable=False),
        sa.Column("scale_maximum", sa.Double, nullable=False),
        sa.Column("scale_step", sa.Double),
        sa.Column("is_scale_declared", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.CheckConstraint("id = 1", name="ck_installation_single"),
    )
    counters = op.create_table(
        "counters",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("value", sa.BigInteger, nullable=False),
    )
    row = {"id": 1, "database_id": uuid.uuid4().hex, "token_key": secrets.token_bytes(32)}
    op.bulk_insert(installation, [{**row, "scale_minimum": 1.0, "scale_maximum": 5.0, "scale_step": None}])
    op.bulk_insert(counters, [{"name": name, "value": 0} for name in COUNTERS])


def create_catalogue() -> None:
    op.create_table(
        "users",
        sa.Column("user_key", SURROGATE_KEY, primary_key=True, autoincrement=True),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False, server_default=sa.text("0")),
        sa.Column("country", sa.Text),
        sa.Column("attributes", sa.JSON, nullable=False, server_default=sa.text("'{}'")),
        sa.UniqueConstraint("user_id", name="uq_users_user_id"),
        sa.CheckConstraint("length(user_id) BETWEEN 1 AND 128", name="ck_users_id"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "items",
        sa.Column("item_key", SURROGATE_KEY, primary_key=True, autoincrement=True),
        sa.Column("item_id", sa.Text, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("title", sa.Text),
        sa.Column("title_folded", sa.Text),
        sa.Column("categories", sa.JSON, nullable=False, server_default=sa.text("'[]'")),
        sa.Column("year", sa.Integer),
        sa.Column("attributes", sa.JSON, nullable=False, server_default=sa.text("'{}'")),
        sa.Column("is_available", sa.Boolean, nullable=False, server_default=sa.true()),
        sa.Column("available_until", sa.BigInteger),
        sa.Column("created_by", sa.Text),
        sa.Column("added_at", sa.BigInteger),
        sa.UniqueConstraint("item_id", name="uq_items_item_id"),
        sa.CheckConstraint("length(item_id) BETWEEN 1 AND 128", name="ck_items_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_items_version", "items", ["version"])
    op.create_table(
        "deleted_items",
        sa.Column("item_key", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("version", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_deleted_items_version", "deleted_items", ["version"])


def create_ratings() -> None:
    op.create_table(
        "ratings",
        sa.Column("user_key", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("item_key", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("value", sa.Double),
        sa.Column("rated_at", sa.BigInteger),
        sa.CheckConstraint("value > -1e300 AND value < 1e300", name="ck_ratings_finite"),
        sqlite_with_rowid=False,
    )
    is_tombstone = sa.text("value IS NULL")
    op.create_index(
        "ix_ratings_tombstones", "ratings", ["rated_at"], sqlite_where=is_tombstone, postgresql_where=is_tombstone
    )


def create_training() -> None:
    op.create_table(
        "training_jobs",
        sa.Column("job_key", SURROGATE_KEY, primary_key=True, autoincrement=True),
        sa.Column("job_id", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("trigger", sa.Text, nullable=False),
        sa.Column("recipe", sa.JSON),
        sa.Column("seed", sa.BigInteger),
        sa.Column("reason", sa.Text),
        sa.Column("stage", sa.Text),
        sa.Column("progress", sa.Double, nullable=False, server_default=sa.text("0")),
        sa.Column("snapshot_version", sa.BigInteger),
        sa.Column("attempts", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("fencing_token", sa.BigInteger),
        sa.Column("worker_id", sa.Text),
        sa.Column("lease_until", sa.BigInteger),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("started_at", sa.BigInteger),
        sa.Column("finished_at", sa.BigInteger),
        sa.UniqueConstraint("job_id", name="uq_training_jobs_job_id"),
        sa.CheckConstraint(
            "state IN ('queued', 'running', 'succeeded', 'rejected', 'failed')", name="ck_training_jobs_state"
        ),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_training_jobs_state", "training_jobs", ["state"])
    op.create_table(
        "snapshots",
        sa.Column("version", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("card", sa.JSON, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("is_live", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("is_pinned", sa.Boolean, nullable=False, server_default=sa.false()),
    )
    op.create_index(
        "uq_snapshots_is_live",
        "snapshots",
        ["is_live"],
        unique=True,
        sqlite_where=sa.text("is_live"),
        postgresql_where=sa.text("is_live"),
    )
