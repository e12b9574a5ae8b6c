"""A SQLite file that cannot be opened or written to: what is said of it."""

import asyncio
import shutil
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

import pytest
import sqlalchemy as sa

from app.errors import StorageUnavailableError, UnavailableError
from app.store import migrate
from app.store.database import open_database
from app.store.dialect import PointRead
from app.store.sqlite_files import DatabaseDamagedError
from app.store.write_lock import WriteLock


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UnavailableError, match="cannot be made: Not a directory; RECKON_DATA_DIR"):
        open_database("", tmp_path / "file" / "below")


def test_folder_of_a_url_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UnavailableError, match=r"cannot open the database at .*: Not a directory"):
        open_database(f"sqlite:///{tmp_path}/file/below/reckon.db", tmp_path)


def test_folder_that_is_gone(tmp_path: Path) -> None:
    """Before the file was ever opened: nothing can say how much room there is."""
    database = open_database("", tmp_path / "data")
    shutil.rmtree(tmp_path / "data")
    with (
        pytest.raises(UnavailableError, match="the disk of the database cannot be read: No such file"),
        database.writing(),
    ):
        pass
    database.close()


def test_folder_in_place_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "reckon.db").mkdir()
    with pytest.raises(UnavailableError, match="the database file cannot be opened"):
        migrate("", tmp_path)


def test_read_only_file(tmp_path: Path) -> None:
    migrate("", tmp_path)
    database = open_database("", tmp_path)
    # The mode of the file would not hinder root, so the connection itself is read-only.
    connection = sqlite3.connect(f"file:{tmp_path / 'reckon.db'}?mode=ro", uri=True)
    try:
        with pytest.raises(sqlite3.OperationalError) as caught:
            connection.execute("DELETE FROM ratings")
    finally:
        connection.close()
    error = database.dialect.expected(caught.value)
    assert isinstance(error, UnavailableError)
    assert error.detail == "the database file cannot be written to"
    with database.reading() as reading:
        assert reading.execute(sa.text("SELECT count(*) FROM ratings")).scalar_one() == 0
    database.close()


def test_locked_by_another_program(tmp_path: Path) -> None:
    """The wait for it is shorter than that for writers of Reckon, so that both end in time."""
    migrate("", tmp_path)
    database = open_database("", tmp_path, wait_seconds=0.1)
    with closing(sqlite3.connect(tmp_path / "reckon.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(UnavailableError, match="locked by another program"), database.writing():
            pass
    with database.writing() as connection:
        (milliseconds,) = connection.exec_driver_sql("PRAGMA busy_timeout").one()
        assert milliseconds <= 100
    database.close()


def test_locked_against_readers(tmp_path: Path) -> None:
    """As by a tool that wants the file for itself. Readers are told so, and that answers may do without it."""
    migrate("", tmp_path)
    database = open_database("", tmp_path, wait_seconds=0.1)
    with closing(sqlite3.connect(tmp_path / "reckon.db", isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StorageUnavailableError, match="locked by another program"):
            database.hot_row("SELECT name FROM counters WHERE name = ?", "catalogue")
    assert database.hot_row("SELECT name FROM counters WHERE name = ?", "catalogue") == ("catalogue",)
    database.close()


def test_no_database(tmp_path: Path) -> None:
    """No read leaves its connection open."""
    file = tmp_path / "reckon.db"
    file.write_bytes(b"no database at all, but long enough to be looked at " * 9)
    database = open_database("", tmp_path)
    for _ in range(3):
        with pytest.raises(DatabaseDamagedError):
            database.hot_row("SELECT name FROM counters WHERE name = ?", "catalogue")
    descriptors = [each.resolve() for each in Path("/proc/self/fd").iterdir()]
    assert descriptors.count(file) == 0
    database.close()


def test_error_amid_a_long_read(tmp_path: Path) -> None:
    """Of rows so many that a thread reads them; it is that of the caller on the event loop."""
    rows = (
        "WITH RECURSIVE n (i) AS (SELECT ? UNION ALL SELECT i + 1 FROM n WHERE i < 3000)"
        " SELECT iif(i < 2000, i, abs(i - i - 9223372036854775807 - 1)) AS i FROM n"
    )
    read = PointRead(rows, int, ("i",))
    migrate("", tmp_path)
    database = open_database("", tmp_path)
    with pytest.raises(StorageUnavailableError):
        asyncio.run(database.dialect.read_columns(read, 1, list))
    assert database.hot_row("SELECT name FROM counters WHERE name = ?", "catalogue") == ("catalogue",)
    database.close()


@pytest.mark.parametrize("way", ["statement", "cursor"])
def test_connection_opened_while_read_only(tmp_path: Path, way: str) -> None:
    """It could only read for ever; the next writer gets another one. Many rows are written by the driver's cursor."""
    migrate("", tmp_path)
    database = open_database("", tmp_path)
    # As it does for a file that was read-only, the connection stays so.
    with database.reading() as connection:
        connection.exec_driver_sql("PRAGMA query_only = ON")

    def write() -> None:
        with database.writing() as connection:
            if way == "statement":
                connection.exec_driver_sql("DELETE FROM ratings")
            else:
                connection.connection.cursor().execute("DELETE FROM ratings")

    with pytest.raises(UnavailableError, match="cannot be written to"):
        write()
    write()
    database.close()


@pytest.mark.parametrize("code", ["CORRUPT", "CORRUPT_INDEX", "NOTADB"])
def test_damage(tmp_path: Path, code: str) -> None:
    """Also by the codes that tell more."""
    error = sqlite3.DatabaseError()
    error.sqlite_errorcode = getattr(sqlite3, f"SQLITE_{code}")
    database = open_database("", tmp_path)
    expected = database.dialect.expected(error)
    assert isinstance(expected, DatabaseDamagedError)
    assert "reckon restore" in expected.detail
    database.close()


def test_lock_is_held_until_the_commit(tmp_path: Path) -> None:
    """A commit may checkpoint, which must not happen beside another writer: see `write_lock.py`."""
    migrate("", tmp_path)
    database = open_database("", tmp_path)
    lock = WriteLock(tmp_path / "reckon.db.lock", wait_seconds=0)
    held: list[bool] = []

    def try_lock(_connection: object) -> None:
        with suppress(UnavailableError), lock.held():
            held.append(False)
            return
        held.append(True)

    sa.event.listen(database.dialect.engine, "commit", try_lock)
    with database.writing() as connection:
        connection.exec_driver_sql("DELETE FROM ratings")
    assert held == [True]
    database.close()
    lock.close()
