"""A SQLite file that cannot be opened or written to: what is said of it."""

import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa

from app.errors import UnavailableError
from app.store import migrate
from app.store.database import open_database


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UnavailableError, match="cannot be made: Not a directory; RECKON_DATA_DIR"):
        open_database("", tmp_path / "file" / "below")


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
