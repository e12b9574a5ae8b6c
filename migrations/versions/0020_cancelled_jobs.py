"""Training jobs that an operator cancels: their state, and since when a running one is to end."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"

SURROGATE_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TABLE = "training_jobs"
CHECK = "ck_training_jobs_state"
STATES = "state IN ('queued', 'running', 'succeeded', 'rejected', 'failed', 'cancelled')"
KEPT = (
    "job_key, job_id, state, trigger, recipe, seed, accept, reason, advice, stage, progress, snapshot_version,"
    " attempts, fencing_token, worker_id, lease_until, lease_seconds, created_at, started_at, finished_at"
)


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        _make_anew()
        return
    op.add_column(TABLE, sa.Column("cancel_requested_at", sa.BigInteger))
    op.drop_constraint(CHECK, TABLE, type_="check")
    op.create_check_constraint(CHECK, TABLE, STATES)


def _make_anew() -> None:
    """SQLite changes no constraint of a table."""
    op.create_table(
        f"new_{TABLE}",
        sa.Column("job_key", SURROGATE_KEY, primary_key=True, autoincrement=True),
        sa.Column("job_id", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("trigger", sa.Text, nullable=False),
        sa.Column("recipe", sa.JSON),
        sa.Column("seed", sa.BigInteger),
        sa.Column("accept", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("reason", sa.Text),
        sa.Column("advice", sa.Text),
        sa.Column("stage", sa.Text),
        sa.Column("progress", sa.Double, nullable=False, server_default=sa.text("0")),
        sa.Column("snapshot_version", sa.BigInteger),
        sa.Column("attempts", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("fencing_token", sa.BigInteger),
        sa.Column("worker_id", sa.Text),
        sa.Column("lease_until", sa.BigInteger),
        sa.Column("lease_seconds", sa.Double),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("started_at", sa.BigInteger),
        sa.Column("finished_at", sa.BigInteger),
        sa.Column("cancel_requested_at", sa.BigInteger),
        sa.UniqueConstraint("job_id", name="uq_training_jobs_job_id"),
        sa.CheckConstraint(STATES, name=CHECK),
        sqlite_autoincrement=True,
    )
    op.execute(f"INSERT INTO new_{TABLE} ({KEPT}) SELECT {KEPT} FROM {TABLE}")  # noqa: S608  names of ours
    op.drop_table(TABLE)
    op.rename_table(f"new_{TABLE}", TABLE)
    op.create_index("ix_training_jobs_state", TABLE, ["state"])
