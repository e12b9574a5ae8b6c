"""Bring a database to this version's tables, and tell whether it is there. The steps stand in `migrations/`."""

from enum import Enum
from pathlib import Path

import sqlalchemy as sa

from app.errors import ReckonError
from app.store.database import Database, open_database

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
    """Read without Alembic, which takes a quarter of a second to import: every process asks this at its start."""
    known = sorted(path.name.partition("_")[0] for path in (MIGRATIONS / "versions").glob("*.py"))
    with database.reading() as connection:
        if not sa.inspect(connection).has_table("alembic_version"):
            return Schema.MISSING
        revision = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
    if revision is None:
        return Schema.MISSING
    if revision == known[-1]:
        return Schema.CURRENT
    return Schema.OLDER if revision in known else Schema.NEWER


def migrate(url: str, data_dir: Path) -> None:
    """Create or upgrade the tables; does nothing when they are current. Safe to run from several processes at once.

    Raises `SchemaError` for a database of a newer version: nothing is changed.
    """
    import alembic.command  # noqa: PLC0415  see `schema_of`
    from alembic.config import Config  # noqa: PLC0415  see `schema_of`

    database = open_database(url, data_dir)
    try:
        if schema_of(database) is Schema.NEWER:
            raise SchemaError("the database was made by a newer version of Reckon: install that version")
        with database.writing() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(sa.text("SELECT pg_advisory_xact_lock(7032)"))  # one migrates, the others wait
            config = Config(attributes={"connection": connection})
            config.set_main_option("script_location", str(MIGRATIONS))
            alembic.command.upgrade(config, "head")
    finally:
        database.close()
