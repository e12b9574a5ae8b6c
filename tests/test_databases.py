"""Tests on Postgres use the same databases one after the other: what one did, the next does not find."""

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.support.databases import MigratedDatabases


def content(url: str) -> Any:
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        asked = sa.inspect(connection)
        tables = sorted(asked.get_table_names())
        found = {table: sorted(map(repr, connection.exec_driver_sql(f"SELECT * FROM {table}"))) for table in tables}  # noqa: S608  names of our own
        parts = asked.get_columns, asked.get_indexes, asked.get_check_constraints
        schema = {table: [sorted(map(repr, part(table))) for part in parts] for table in tables}
        key = connection.scalar(sa.text("SELECT nextval(pg_get_serial_sequence('users', 'user_key'))"))
    engine.dispose()
    return found, schema, key


@pytest.mark.parametrize(
    "change",
    [
        "INSERT INTO users (user_id) VALUES ('ann')",
        "DELETE FROM installation",
        "UPDATE counters SET value = 7",
        "ALTER TABLE users ADD COLUMN note text",
        "CREATE INDEX by_country ON users (country)",
        "ALTER TABLE users ADD CONSTRAINT no_user CHECK (user_id = '')",
        "CREATE TABLE notes (note text)",
        "DROP TABLE placements",
        "ALTER DATABASE {database} SET default_transaction_read_only = on",
    ],
)
def test_left_as_found(databases: MigratedDatabases, tmp_path: Path, change: str) -> None:
    with databases.fresh("postgres", tmp_path) as url:
        before = content(url)
        engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql(change.format(database=engine.url.database))
    engine.dispose()  # only now: a test that fails may leave connections open as well
    with databases.fresh("postgres", tmp_path) as url:
        assert content(url) == before
