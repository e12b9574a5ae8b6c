import pickle
import sqlite3
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from scipy import io as matlab

from app.errors import InvalidInputError
from app.intake.layouts import recognise

ROWS = [("u", "i", 4)]


def write_sqlite(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE ratings (user)")


def write_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps(ROWS))


def write_npy(path: Path) -> None:
    np.save(path, np.ones(3))


def write_mat(path: Path) -> None:
    matlab.savemat(path, {"ratings": np.ones(3)})


def write_ods(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        archive.writestr("content.xml", "<x/>")


@pytest.mark.parametrize(
    ("name", "write", "message"),
    [
        ("a.sqlite", write_sqlite, "a.sqlite is a SQLite database: export a table first \\(sqlite3 -csv"),
        ("a.pkl", write_pickle, "is a pickle, which could run any code: write it from Python as"),
        ("a.npy", write_npy, "is a NumPy array: write it from Python"),
        ("a.mat", write_mat, "is a MATLAB file: write it from MATLAB"),
        ("a.ods", write_ods, "is a document, but no .xlsx workbook: save its table as .xlsx or .csv first"),
    ],
)
def test_written_by_their_programs(tmp_path: Path, name: str, write: Callable[[Path], None], message: str) -> None:
    write(tmp_path / name)
    for path in (tmp_path / name, tmp_path):
        with pytest.raises(InvalidInputError, match=message):
            recognise(path)


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
            r"is an old workbook \(\.xls\), or one with a password: save its table as",
        ),
        (b"\x89HDF\r\n\x1a\n", "is an HDF5 file"),
        (b"RDX3\nX\n", "is an R data file"),
        (b"X\n\0\0\0\x03", "is an R data file"),
        (b"ARROW1\0\0", "is an Arrow file"),
        (b"PAR1\x15\x04", r"is a Parquet file without the suffix \.parquet: rename it"),
        (b"%PDF-1.7", "is a PDF document"),
        (b"<!DOCTYPE HTML><table>", "is an HTML page"),
        (b"<?xml version='1.0'?><Workbook>", "is an XML file"),
    ],
)
def test_first_bytes(tmp_path: Path, head: bytes, message: str) -> None:
    path = tmp_path / "ratings.xls"
    path.write_bytes(head + b"\n0123456789")
    with pytest.raises(InvalidInputError, match=message):
        recognise(path)
