"""What is found out about a database from outside of a service; `tests/cli/test_doctor.py` asks by the command."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from app.store import migrate
from app.store.checkup import Finding, check_database
from app.store.database import Database, open_database

on_postgres = pytest.mark.parametrize("database_url", ["postgres"], indirect=True)


@pytest.fixture
def database(database_url: str, tmp_path: Path) -> Iterator[Database]:
    opened = open_database(database_url, tmp_path)
    yield opened
    opened.close()


def found(database: Database) -> dict[str, Finding]:
    return {each.check: each for each in check_database(database)}


@pytest.mark.parametrize(
    ("revision", "detail", "advice"),
    [("0001", "of an older version", "run `reckon migrate`"), ("9999", "of a newer version", "install the version")],
)
def test_tables_of_another_version(database: Database, revision: str, detail: str, advice: str) -> None:
    with database.writing() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})
    tables = found(database)["tables"]
    assert (tables.state, tables.detail) == ("problem", f"the database is {detail}")
    assert tables.advice.startswith(advice)


def execute(file: Path, *statements: str) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def test_row_missing_from_an_index(tmp_path: Path) -> None:
    """Everything can be read, and some of it is wrong."""
    migrate("", tmp_path)
    file = tmp_path / "reckon.db"
    execute(
        file,
        "PRAGMA writable_schema = ON",
        "CREATE TABLE aside AS SELECT * FROM sqlite_master WHERE name = 'ix_deleted_items_item_id'",
        "DELETE FROM sqlite_master WHERE name = 'ix_deleted_items_item_id'",
    )
    execute(file, "INSERT INTO deleted_items (item_key, item_id, version) VALUES (1, 'x', 1)")
    execute(file, "PRAGMA writable_schema = ON", "INSERT INTO sqlite_master SELECT * FROM aside", "DROP TABLE aside")
    database = open_database("", tmp_path)
    findings = found(database)
    assert (findings["tables"].state, findings["integrity"].state) == ("ok", "problem")
    assert "missing from index ix_deleted_items_item_id" in findings["integrity"].detail
    assert "reckon restore" in findings["integrity"].advice
    database.close()


def test_modes(tmp_path: Path) -> None:
    """A folder for all, as that of temporary files, is safe if each may remove no files but one's own."""
    folder = tmp_path / "data"
    migrate("", folder)
    states = []
    for folder_mode, file_mode in ((0o700, 0o600), (0o700, 0o640), (0o777, 0o600), (0o1777, 0o600)):
        folder.chmod(folder_mode)
        (folder / "reckon.db").chmod(file_mode)
        database = open_database("", folder)
        states.append(found(database)["permissions"].state)
        database.close()
    assert states == ["ok", "warning", "problem", "ok"]


@pytest.mark.parametrize(("version", "detail"), [((3, 51, 3), ""), ((3, 40, 1), "has the WAL-reset race")])
def test_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: tuple[int, int, int], detail: str) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", version)
    migrate("", tmp_path)
    database = open_database("", tmp_path)
    library = found(database)["SQLite"]
    assert library.state == "ok"
    assert library.detail.startswith(sqlite3.sqlite_version)
    assert (detail in library.detail, library.detail == sqlite3.sqlite_version) == (True, not detail)
    database.close()


def test_unreadable(tmp_path: Path) -> None:
    (tmp_path / "reckon.db").write_bytes(b"no database at all, but long enough to be looked at " * 9)
    database = open_database("", tmp_path)
    (finding,) = check_database(database)
    assert (finding.check, finding.state) == ("database", "problem")
    database.close()


def pretend(database: Database, *functions: str) -> None:
    """Put functions of a test before those of the server."""
    with database.writing() as connection:
        for function in functions:
            connection.exec_driver_sql(f"CREATE FUNCTION public.{function} LANGUAGE sql")
        name = connection.exec_driver_sql("SELECT current_database()").scalar_one()
        connection.exec_driver_sql(f"ALTER DATABASE {name} SET search_path = public, pg_catalog")
    database.dialect.engine.dispose()


@on_postgres
@pytest.mark.parametrize(
    ("is_standby", "is_durable", "state", "detail"),
    [
        (True, True, "problem", "a standby: it takes no writes"),
        (False, False, "warning", "may lose acknowledged writes"),
        (False, True, "ok", ""),
    ],
)
def test_server(database: Database, is_standby: bool, is_durable: bool, state: str, detail: str) -> None:
    synchronous = "on" if is_durable else "off"
    pretend(
        database,
        f"pg_is_in_recovery() RETURNS bool AS $$ SELECT {is_standby} $$",
        "current_setting(text) RETURNS text AS $$ SELECT CASE $1 WHEN 'fsync' THEN 'on'"
        f" WHEN 'synchronous_commit' THEN '{synchronous}' ELSE pg_catalog.current_setting($1) END $$",
    )
    server = found(database)["Postgres"]
    assert server.state == state
    assert detail in server.detail
    assert bool(server.advice) == (state != "ok")
