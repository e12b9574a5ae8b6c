"""The tables. Times are integer microseconds since 1970 UTC; keys are surrogate integers that are never reused."""

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    false,
    text,
    true,
)
from sqlalchemy.types import TypeEngine

from app.entities import BARE_ITEM, ITEM_FIELDS, MAX_URL_LENGTH, ItemField, ItemFieldKind

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

# SQLite gives 64-bit row ids only to INTEGER PRIMARY KEY, and reuses deleted ones without AUTOINCREMENT.
SurrogateKey = BigInteger().with_variant(Integer(), "sqlite")

# The table keeps its first name; one row, made by the migration.
instance = Table(
    "installation",
    metadata,
    Column("id", Integer, CheckConstraint("id = 1", name="single"), primary_key=True, autoincrement=False),
    Column("database_id", Text, nullable=False),
    Column("token_key", LargeBinary, nullable=False),
    Column("scale_minimum", Double, nullable=False),
    Column("scale_maximum", Double, nullable=False),
    Column("scale_step", Double),
    Column("is_scale_declared", Boolean, nullable=False, server_default=false()),
    Column("recipe", JSON(none_as_null=True)),  # NULL: the default
    Column(
        "value_kind",
        Text,
        CheckConstraint("value_kind IN ('stars', 'binary', 'pairs', 'amounts')", name="value_kind"),
        nullable=False,
        server_default=text("'stars'"),
    ),
    Column("generation", Text, nullable=False, server_default=text("''")),  # see `generation.py`
)

counters = Table(
    "counters",  # see `counters.py`
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", BigInteger, nullable=False),
)

users = Table(
    "users",
    metadata,
    Column("user_key", SurrogateKey, primary_key=True, autoincrement=True),
    Column("user_id", Text, nullable=False, unique=True),
    Column("version", BigInteger, nullable=False, server_default=text("0")),  # changes of this user's ratings so far
    Column("profile_version", BigInteger, nullable=False, server_default=text("0")),  # of the attributes and events
    Column("country", Text),
    Column("attributes", JSON, nullable=False, server_default=text("'{}'")),
    # Was there when a run published, which could not judge so small a profile; see `trends.py`.
    Column("is_unjudged", Boolean, nullable=False, server_default=false()),
    # Some rating or event came through the API, where the caller says when it happened.
    Column("is_direct", Boolean, nullable=False, server_default=false()),
    CheckConstraint("length(user_id) BETWEEN 1 AND 128", name="id"),
    sqlite_autoincrement=True,
)

redirects = Table(
    "redirects",  # see `redirects.py`
    metadata,
    Column("user_id", Text, primary_key=True),  # of a guest that was merged
    Column("user_key", BigInteger, nullable=False, index=True),  # of the user
    Column("merged_at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

kept_answers = Table(
    "kept_answers",  # see `kept_answers.py`
    metadata,
    Column("request_key", Text, primary_key=True),
    Column("fingerprint", Text, nullable=False),
    Column("status", Integer, nullable=False),
    Column("body", LargeBinary),  # compressed; NULL: no longer there
    Column("user_id", Text),  # whom the body names; empty: maybe any user
    Column("kept_at", BigInteger, nullable=False, index=True),
    sqlite_with_rowid=False,
)
# For the deletion of a user. Most answers name none.
_NAMES_A_USER = text("user_id IS NOT NULL")
Index(
    "ix_kept_answers_user_id",
    kept_answers.c.user_id,
    sqlite_where=_NAMES_A_USER,
    postgresql_where=_NAMES_A_USER,
)

_TYPES: dict[ItemFieldKind, type[TypeEngine[Any]]] = {
    "text": Text,
    "url": Text,
    "id": Text,
    "texts": JSON,
    "integer": Integer,
    "number": Double,
    "flag": Boolean,
    "time": BigInteger,
    "attributes": JSON,
}
_EMPTY: dict[ItemFieldKind, str] = {"texts": "'[]'", "attributes": "'{}'"}


def _item_column(name: str, declared: ItemField, default: object) -> Column[Any]:
    """The column of one field. One whose bare value is not None is NOT NULL, so a bare item needs a server default."""
    max_length = MAX_URL_LENGTH if declared.kind == "url" else declared.max_length
    checks = []
    if declared.kind in {"text", "url"} and max_length and declared.limits_stored:
        checks.append(CheckConstraint(f"length({name}) <= {max_length}", name=name))
    if default is None:
        return Column(name, _TYPES[declared.kind], *checks)
    literal = (true() if default else false()) if declared.kind == "flag" else text(_EMPTY[declared.kind])
    return Column(name, _TYPES[declared.kind], *checks, nullable=False, server_default=literal)


items = Table(
    "items",
    metadata,
    Column("item_key", SurrogateKey, primary_key=True, autoincrement=True),
    Column("item_id", Text, nullable=False, unique=True),
    Column("version", BigInteger, nullable=False, index=True),  # catalogue version of the last change
    Column("title_folded", Text),  # for search: `folded`, since the databases fold differently
    # Known from ratings and events alone: no caller has put it, and no import of items has named it.
    Column("is_bare", Boolean, nullable=False, server_default=true()),
    # Deleted, and inserted again by a late rating or event; see `deleted_items.py`.
    Column("is_deleted", Boolean, nullable=False, server_default=false()),
    *(_item_column(name, declared, getattr(BARE_ITEM, name)) for name, declared in ITEM_FIELDS.items()),
    CheckConstraint("length(item_id) BETWEEN 1 AND 128", name="id"),
    sqlite_autoincrement=True,
)

deleted_items = Table(
    "deleted_items",  # running processes read here which items to drop
    metadata,
    Column("item_key", BigInteger, primary_key=True, autoincrement=False),
    Column("version", BigInteger, nullable=False, index=True),
    # NULL: the item was put again, or was deleted before migration 0008.
    Column("item_id", Text, index=True),
)

ratings = Table(
    "ratings",  # clustered by user: a user's history is one range read
    metadata,
    Column("user_key", BigInteger, primary_key=True, autoincrement=False),
    Column("item_key", BigInteger, primary_key=True, autoincrement=False),
    Column("value", Double, CheckConstraint("value > -1e300 AND value < 1e300", name="finite")),  # NULL: a tombstone
    Column("rated_at", BigInteger),  # NULL: not known, older than any known time; a tombstone's deletion time
    sqlite_with_rowid=False,
)
# Partial: the purge reads tombstones alone, and no index on times slows down the write of a rating.
Index(
    "ix_ratings_tombstones",
    ratings.c.rated_at,
    sqlite_where=ratings.c.value.is_(None),
    postgresql_where=ratings.c.value.is_(None),
)

event_types = Table(
    "event_types",
    metadata,
    Column("type_key", SurrogateKey, primary_key=True, autoincrement=True),
    Column("name", Text, nullable=False, unique=True),
    Column("weight", Double, CheckConstraint("weight > -1e300 AND weight < 1e300", name="finite"), nullable=False),
    Column("is_exposure", Boolean, nullable=False),
    Column("is_consumption", Boolean, nullable=False),
    sqlite_autoincrement=True,
)

events = Table(
    "events",  # each event of a user once, by its id; `interactions` holds the sums of them
    metadata,
    Column("event_id", Text, CheckConstraint("length(event_id) BETWEEN 1 AND 128", name="id"), primary_key=True),
    Column("type_key", BigInteger, nullable=False),
    Column("user_key", BigInteger, primary_key=True, autoincrement=False),
    Column("item_key", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("portion", Double, CheckConstraint("portion BETWEEN 0 AND 1", name="portion")),
    Column("placement", Text),  # this and the next one: of the list that the event answers
    Column("snapshot_version", BigInteger),
    Column("position", BigInteger, CheckConstraint("position >= 0", name="position")),  # of the item in that list
    sqlite_with_rowid=False,
)
# A user's events by time, newest first, for their pages.
Index("ix_events_user_key", events.c.user_key, events.c.at)
# Those of an item, for its deletion, and of a user with it, for trends.
Index("ix_events_item_key", events.c.item_key, events.c.user_key, events.c.at)

deleted_events = Table(
    "deleted_events",  # tombstones, proof against a late replay
    metadata,
    Column("event_id", Text, primary_key=True),
    Column("deleted_at", BigInteger, nullable=False, index=True),
    # 0: deleted before migration 0015, when the user was not kept; the event may be of any.
    Column("user_key", BigInteger, primary_key=True, autoincrement=False, index=True),
    sqlite_with_rowid=False,
)
# All events by time, for the pages of `GET /events`.
Index("ix_events_at", events.c.at, events.c.event_id)

interactions = Table(
    "interactions",  # clustered by user, as ratings are; sums of events in any order
    metadata,
    Column("user_key", BigInteger, primary_key=True, autoincrement=False),
    Column("item_key", BigInteger, primary_key=True, autoincrement=False),
    Column("type_key", BigInteger, primary_key=True, autoincrement=False),
    Column("count", BigInteger, nullable=False),
    Column("first_at", BigInteger, nullable=False),
    Column("last_at", BigInteger, nullable=False),
    Column("portion", Double, CheckConstraint("portion BETWEEN 0 AND 1", name="portion")),  # the largest; NULL: all
    sqlite_with_rowid=False,
)

placements = Table(
    "placements",
    metadata,
    Column("name", Text, primary_key=True),
    Column("settings", JSON, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
)

placement_versions = Table(
    "placement_versions",  # what each change of a placement left
    metadata,
    Column("name", Text, primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("settings", JSON(none_as_null=True)),  # NULL: deleted
    Column("changed_at", BigInteger, nullable=False),
    Column("changed_by", Text),
    sqlite_with_rowid=False,
)

trends = Table(
    "trends",  # `trends.py` has the formula of `heat`
    metadata,
    Column("country", Text, primary_key=True),  # '': all countries
    Column("item_key", BigInteger, primary_key=True, autoincrement=False),
    Column("heat", Double, CheckConstraint("heat > -1e300 AND heat < 1e300", name="finite"), nullable=False),
    Column("n_terms", BigInteger, nullable=False, server_default=text("0")),
    Column("peak", Double),  # the highest heat since it was counted from scratch; NULL: it never fell
    sqlite_with_rowid=False,
)
# The top of a country is read from the end of this index.
Index("ix_trends_country", trends.c.country, trends.c.heat)

training_jobs = Table(
    "training_jobs",  # the queue of the workers
    metadata,
    Column("job_key", SurrogateKey, primary_key=True, autoincrement=True),
    Column("job_id", Text, nullable=False, unique=True),
    Column(
        "state",
        Text,
        CheckConstraint("state IN ('queued', 'running', 'succeeded', 'rejected', 'failed', 'cancelled')", name="state"),
        nullable=False,
        index=True,
    ),
    Column("trigger", Text, nullable=False),
    Column("recipe", JSON(none_as_null=True)),
    Column("seed", BigInteger),
    Column("accept", Boolean, nullable=False, server_default=false()),
    Column("reason", Text),
    Column("advice", Text),
    Column("stage", Text),
    Column("progress", Double, nullable=False, server_default=text("0")),
    Column("snapshot_version", BigInteger),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("fencing_token", BigInteger),
    Column("worker_id", Text),
    Column("lease_until", BigInteger),
    Column("lease_seconds", Double),
    Column("created_at", BigInteger, nullable=False),
    Column("started_at", BigInteger),
    Column("finished_at", BigInteger),
    Column("cancel_requested_at", BigInteger),
    sqlite_autoincrement=True,
)

run_logs = Table(
    "run_logs",  # see `run_logs.py`
    metadata,
    Column("job_key", BigInteger, primary_key=True, autoincrement=False),
    Column("document", JSON, nullable=False),
)

snapshots = Table(
    "snapshots",
    metadata,
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("path", Text, nullable=False),  # relative to the data folder
    Column("card", JSON, nullable=False),
    Column("digest", Text),  # SHA-256 of the manifest, which holds those of all other files
    Column("created_at", BigInteger, nullable=False),
    Column("is_live", Boolean, nullable=False, server_default=false()),
    Column("is_pinned", Boolean, nullable=False, server_default=false()),
)
# The database itself guarantees that at most one snapshot is live.
Index(
    "uq_snapshots_is_live",
    snapshots.c.is_live,
    unique=True,
    sqlite_where=text("is_live"),
    postgresql_where=text("is_live"),
)

former_snapshots = Table(
    "former_snapshots",  # figures of deleted ones; see `former_snapshots.py`
    metadata,
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("card", JSON, nullable=False),  # of which only the figures are kept
    Column("created_at", BigInteger, nullable=False),
    Column("deleted_at", BigInteger, nullable=False),
    Column("cause", Text, CheckConstraint("cause IN ('retention', 'erasure')", name="cause"), nullable=False),
)

erasures = Table(
    "erasures",  # see `erasures.py`; nothing here names the user
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),  # the value of the counter `erasures`
    Column("erasure_id", Text, nullable=False, unique=True),
    Column("salt", Text, nullable=False),
    Column("user_hash", Text, nullable=False),
    Column("fingerprint", Text, nullable=False),  # of the user and of each merged guest, with blanks between
    Column("requested_at", BigInteger, nullable=False),
    Column("due_at", BigInteger, nullable=False),
    Column("completed_at", BigInteger),  # NULL: pending
    Column("removed", JSON, nullable=False),
    Column("removed_snapshots", JSON, nullable=False, server_default=text("'[]'")),
    Column("snapshot_version", BigInteger),
    Column("backups", JSON, nullable=False, server_default=text("'[]'")),
)
Index(
    "ix_erasures_pending",
    erasures.c.number,
    sqlite_where=erasures.c.completed_at.is_(None),
    postgresql_where=erasures.c.completed_at.is_(None),
)

backups = Table(
    "backups",  # made by `reckon backup`: copies that still hold users who were erased later
    metadata,
    Column("made_at", BigInteger, primary_key=True, autoincrement=False),
    Column("file", Text, nullable=False),  # its name; where it lies is the operator's affair
)

quarantine = Table(
    "quarantine",  # users whom training leaves out, see `quarantine.py`
    metadata,
    Column("user_key", BigInteger, primary_key=True, autoincrement=False),
    Column("item_key", BigInteger, nullable=False),  # what the profile pushes
    Column("found_at", BigInteger, nullable=False),
    Column("released_at", BigInteger),  # NULL: in quarantine
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("key_id", Text, primary_key=True),
    Column("digest", LargeBinary, nullable=False, unique=True),
    Column("kind", Text, CheckConstraint("kind IN ('secret', 'browser')", name="kind"), nullable=False),
    Column("scopes", JSON, nullable=False),
    Column("origins", JSON, nullable=False),
    Column("note", Text, nullable=False),
    Column("rate_limit", Text),
    Column("tenant", Text),  # NULL: the main catalogue
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Column("revoked_at", BigInteger),
    Column("last_used_at", BigInteger),
)

tenants = Table(
    "tenants",  # filled in the main database alone, see `tenants.py`
    metadata,
    Column("name", Text, primary_key=True),
    Column(
        "state",
        Text,
        CheckConstraint("state IN ('creating', 'active', 'suspended', 'deleting')", name="state"),
        nullable=False,
    ),
    Column("created_at", BigInteger, nullable=False),
)

audit_log = Table(
    "audit_log",
    metadata,
    Column("entry_key", SurrogateKey, primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    sqlite_autoincrement=True,
)

processes = Table(
    "processes",  # of the whole service, in the main database alone; see `processes.py`
    metadata,
    Column("process_id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("pid", BigInteger, nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Column("beat_at", BigInteger, nullable=False),
    Column("version", Text, nullable=False),
    Column("snapshot_version", BigInteger),
    Column("activity", JSON, nullable=False),
)

arrivals = Table(
    "arrivals",  # this one and the next: see `arrivals.py`
    metadata,
    Column("hour", BigInteger, primary_key=True, autoincrement=False),  # the time at which it begins
    Column("kind", Text, primary_key=True),
    Column("n", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

totals = Table(
    "totals",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("n", BigInteger, nullable=False),
    Column("counted_at", BigInteger, nullable=False),
)

imports = Table(
    "imports",  # this one and the next: see `imports.py`
    metadata,
    Column("import_key", SurrogateKey, primary_key=True, autoincrement=True),
    Column("import_id", Text, nullable=False, unique=True),
    Column("file", Text, nullable=False),  # its name without the folder
    Column(
        "state",
        Text,
        CheckConstraint("state IN ('running', 'succeeded', 'failed', 'interrupted')", name="state"),
        nullable=False,
    ),
    Column("started_at", BigInteger, nullable=False),
    Column("reported_at", BigInteger, nullable=False),  # the last sign of life while it runs
    Column("finished_at", BigInteger),
    Column("counts", JSON, nullable=False),
    Column("reason", Text),
    Column("upload_id", Text),  # this and the next one: NULL where it was not begun in the console
    Column("upload_options", Text),
    Column("progress", Double),  # from 0 to 1; NULL: not known
    sqlite_autoincrement=True,
)

rejected_rows = Table(
    "rejected_rows",  # texts of users, and so deleted with any of them
    metadata,
    Column("import_key", BigInteger, primary_key=True, autoincrement=False),
    Column("number", BigInteger, primary_key=True, autoincrement=False),  # in the order of rejection, from 1
    Column("file", Text, nullable=False),
    Column("line", BigInteger, nullable=False),
    Column("field", Text),
    Column("reason", Text, nullable=False),
    Column("text", Text, CheckConstraint("length(text) <= 2000", name="text"), nullable=False),
    Column("rejected_at", BigInteger, nullable=False, index=True),
    sqlite_with_rowid=False,
)
