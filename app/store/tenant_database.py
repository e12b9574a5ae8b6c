"""Makes and removes the place of a tenant's database: a schema of Postgres; for SQLite, a file in the data folder."""

import shutil
from pathlib import Path

import sqlalchemy as sa

from app.errors import UnavailableError
from app.store.database import Database


def make_schema(main: Database, schema: str) -> None:
    """`main`: the main database, in which the schema is. Does nothing for SQLite: a file is made when it is opened."""
    if not main.dialect.is_a_file:
        with main.writing() as connection:
            connection.execute(sa.schema.CreateSchema(schema, if_not_exists=True))


def remove_database(main: Database, schema: str, data_dir: Path) -> None:
    """Remove the schema, and the data folder with all that is in it: the file of SQLite, snapshots, rejected rows."""
    if not main.dialect.is_a_file:
        with main.writing() as connection:
            connection.execute(sa.schema.DropSchema(schema, cascade=True, if_exists=True))
    if data_dir.exists():
        try:
            shutil.rmtree(data_dir)
        except OSError as error:
            raise UnavailableError(f"cannot remove {error.filename or data_dir}: {error.strerror}") from None
