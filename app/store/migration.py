"""Migrates a database to the tables of this version, and compares the two. The steps are in `migrations/`."""

from enum import Enum
from pathlib import Path

import sqlalchemy as sa

from app.errors import ReckonError
from app.store.database import Database, open_database
from app.store.trends import recount_all

MIGRATIONS = Path(__file__).parents[2] / "migrations"
"""The files in `versions/` are named REVISION_what.py, and revisions sort by name."""


class Schema(Enum):
    """How a database's tables compare with this version's; the value completes "the database is ..."."""

    MISSING = "empty"
    OLDER = "of an older version"
    CURRENT = "current"
    NEWER = "of a newer version"


class SchemaError(ReckonError):
    """The database's tables are not those of this version of Reckon."""

    type = "schema-mismatch"
    title = "The database does not fit this version"
    status = 503


def schema_of(database: Database) -> Schema:
    """Compares revisions without Alembic: every process calls this at its start, and the import takes 250 ms."""
    # The revisions in the folder, instead of Alembic's script directory: file names are enough to compare.
    known = _revisions()
    with database.reading() as connection:
        if not sa.inspect(connection).has_table("alembic_version"):
            return Schema.MISSING
        revision = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
    # The table without a row is left behind by `alembic downgrade base`.
    if revision is None:
        return Schema.MISSING
    if revision == known[-1]:
        return Schema.CURRENT
    return Schema.OLDER if revision in known else Schema.NEWER


def _revisions() -> list[str]:
    return sorted(path.name.partition("_")[0] for path in (MIGRATIONS / "versions").glob("*.py"))


def migrate(url: str, data_dir: Path) -> str | None:
    """Creates or upgrades the tables; does nothing when they are current. Several processes may run it at once.

    Returns the new revision; None if the tables were current.

    Raises `SchemaError`, and changes nothing, for a database of a newer version.
    """
    database = open_database(url, data_dir)
    try:
        return upgrade(database)
    finally:
        database.close()


def upgrade(database: Database) -> str | None:
    """As `migrate`, for a database that is open; in a block of `Database.joined`, a part of its transaction."""
    import alembic.command  # noqa: PLC0415  see `schema_of`
    from alembic.config import Config  # noqa: PLC0415  see `schema_of`

    if schema_of(database) is Schema.NEWER:
        raise SchemaError("the database was made by a newer version of Reckon: install that version")
    with database.writing() as connection:
        if connection.dialect.name == "postgresql":
            # One process migrates; the others wait here, then find the tables current.
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(7032)"))
        # `migrations/env.py` runs on this connection, so that the write lock and the transaction cover all steps.
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(MIGRATIONS))
        before = schema_of(database)
        alembic.command.upgrade(config, "head")
        if before is Schema.OLDER:
            # Trends follow from ratings and events; the rule may have changed with the version.
            recount_all(database, connection)
    return None if before is Schema.CURRENT else _revisions()[-1]
