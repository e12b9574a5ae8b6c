"""Refuses formats that Reckon does not read, with what to do instead.

They are recognised by their first bytes. The last format of the registry would refuse them too, as broken text.
"""

from collections.abc import Mapping

from app.errors import InvalidInputError
from app.intake.blocks import RawTable
from app.intake.files.listing import InputFile
from app.intake.hints import FileHints

_FROM_PYTHON = "write it from Python as a CSV or Parquet file first"
_FROM_SPREADSHEET = "save its table as .xlsx or .csv first"
_FROM_R = "write it from R as a CSV file first"
_PICKLE = "a pickle, which could run any code"
_PAGE = "an HTML page"

# The first bytes of each format in lower case, what it is, and what to do.
_FORMATS = (
    (b"sqlite format 3\0", "a SQLite database", "export a table first (sqlite3 -csv -header FILE 'SELECT ...')"),
    (b"\xd0\xcf\x11\xe0", "an old workbook (.xls), or one with a password", _FROM_SPREADSHEET),
    (b"pk\x03\x04", "a document, but no .xlsx workbook", _FROM_SPREADSHEET),
    *((bytes([0x80, version]), _PICKLE, _FROM_PYTHON) for version in range(2, 6)),
    (b"\x93numpy", "a NumPy array", _FROM_PYTHON),
    (b"\x89hdf\r\n\x1a\n", "an HDF5 file", _FROM_PYTHON),
    (b"arrow1\0\0", "an Arrow file", _FROM_PYTHON),
    (b"fea1", "a Feather file", _FROM_PYTHON),
    (b"obj\x01", "an Avro file", _FROM_PYTHON),
    (b"par1\x15", "a Parquet file without the suffix .parquet", "rename it"),
    (b"matlab ", "a MATLAB file", "write it from MATLAB as a CSV file first"),
    (b"rdx2\n", "an R data file", _FROM_R),
    (b"rdx3\n", "an R data file", _FROM_R),
    (b"x\n\0\0\0", "an R data file", _FROM_R),
    (b"<stata_dta>", "a Stata file", "export it as a CSV file first"),
    (b"%pdf-", "a PDF document", "copy its table to a CSV file first"),
    (b"<!doctype html", _PAGE, _FROM_SPREADSHEET),
    (b"<html", _PAGE, _FROM_SPREADSHEET),
    (b"<table", _PAGE, _FROM_SPREADSHEET),
    (b"<?xml", "an XML file", _FROM_SPREADSHEET),
)
_N_BYTES = max(len(magic) for magic, _, _ in _FORMATS)


def refuse_foreign(file: InputFile, _siblings: Mapping[str, InputFile], _hints: FileHints) -> RawTable | None:
    """Raise `InvalidInputError` for a file of a format that Reckon does not read; see `registry.Open`."""
    with file.open() as stream:
        head = stream.read(_N_BYTES).lower()
    for magic, what, advice in _FORMATS:
        if head.startswith(magic):
            raise InvalidInputError(f"{file.display_name} is {what}: {advice}", field="path")
    return None
