"""Databases as earlier releases left them, for tests of migrations."""

from collections.abc import Callable

from app.entities import ITEM_FIELDS

FIELDS_BEFORE_DETAILS = {
    "title",
    "categories",
    "year",
    "attributes",
    "is_available",
    "available_until",
    "created_by",
    "added_at",
}
UNDO = {
    "0004": [f"ALTER TABLE items DROP COLUMN {name}" for name in ITEM_FIELDS if name not in FIELDS_BEFORE_DETAILS],
    "0005": ["ALTER TABLE installation DROP COLUMN value_kind"],
    "0006": ["ALTER TABLE items DROP COLUMN is_bare"],
    "0007": ["ALTER TABLE training_jobs DROP COLUMN accept", "ALTER TABLE training_jobs DROP COLUMN advice"],
    "0008": [
        "ALTER TABLE items DROP COLUMN is_deleted",
        "DROP INDEX ix_deleted_items_item_id",
        "ALTER TABLE deleted_items DROP COLUMN item_id",
        "ALTER TABLE trends DROP COLUMN n_terms",
        "ALTER TABLE trends DROP COLUMN peak",
        "DROP TABLE redirects",
        "DROP TABLE deleted_events",
    ],
    "0009": ["ALTER TABLE installation DROP COLUMN generation", "DROP INDEX ix_events_at"],
    "0010": [],
    "0011": ["ALTER TABLE events DROP COLUMN position"],
    "0012": ["DROP TABLE kept_answers"],
    "0013": ["ALTER TABLE training_jobs DROP COLUMN lease_seconds", "ALTER TABLE snapshots DROP COLUMN digest"],
    "0014": ["DROP TABLE api_keys", "DROP TABLE audit_log", "DELETE FROM counters WHERE name = 'keys'"],
    "0015": [
        "DROP TABLE erasures",
        "DROP TABLE backups",
        "DELETE FROM counters WHERE name = 'erasures'",
        "DROP INDEX ix_deleted_events_user_key",
        "ALTER TABLE deleted_events DROP COLUMN user_key",
    ],
    "0016": ["DROP TABLE quarantine"],
    "0017": ["DROP TABLE tenants"],
    "0018": ["DELETE FROM counters WHERE name = 'judged_users'"],
    "0019": [
        "ALTER TABLE events RENAME TO later_events",
        """CREATE TABLE events (
            event_id TEXT PRIMARY KEY, type_key BIGINT NOT NULL, user_key BIGINT NOT NULL, item_key BIGINT NOT NULL,
            at BIGINT NOT NULL, portion FLOAT, placement TEXT, snapshot_version BIGINT, position BIGINT
        )""",
        """INSERT INTO events SELECT event_id, type_key, user_key, item_key, at, portion, placement, snapshot_version,
            position FROM later_events""",
        "DROP TABLE later_events",
        "CREATE INDEX ix_events_user_key ON events (user_key, at)",
        "CREATE INDEX ix_events_item_key ON events (item_key, user_key, at)",
        "CREATE INDEX ix_events_at ON events (at, event_id)",
        "ALTER TABLE deleted_events RENAME TO later_events",
        "CREATE TABLE deleted_events (event_id TEXT PRIMARY KEY, deleted_at BIGINT NOT NULL, user_key BIGINT)",
        "INSERT INTO deleted_events SELECT event_id, deleted_at, NULLIF(user_key, 0) FROM later_events",
        "DROP TABLE later_events",
        "CREATE INDEX ix_deleted_events_user_key ON deleted_events (user_key)",
        "CREATE INDEX ix_deleted_events_deleted_at ON deleted_events (deleted_at)",
    ],
    "0020": ["ALTER TABLE training_jobs DROP COLUMN cancel_requested_at"],
    "0021": ["DROP TABLE placement_versions"],
    "0022": ["DROP TABLE processes"],
    "0023": ["DROP TABLE arrivals", "DROP TABLE totals"],
    "0024": ["DROP TABLE imports", "DROP TABLE rejected_rows"],
    "0025": ["ALTER TABLE users DROP COLUMN is_unjudged", "ALTER TABLE users DROP COLUMN is_direct"],
    "0026": ["DROP TABLE run_logs"],
    "0027": ["DROP TABLE former_snapshots"],
    "0028": [f"ALTER TABLE imports DROP COLUMN {name}" for name in ("upload_id", "upload_options", "progress")],
}
"""Revision -> what takes its migration back; the statements are those of both databases."""


def take_back(execute: Callable[[str], object], until: str) -> None:
    """Make the tables those of revision `until`."""
    for revision in sorted(UNDO, reverse=True):
        if revision > until:
            for statement in UNDO[revision]:
                execute(statement)
    execute(f"UPDATE alembic_version SET version_num = '{until}'")  # noqa: S608  a literal of the test
