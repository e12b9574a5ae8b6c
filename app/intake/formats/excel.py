"""Reads workbooks of Excel (.xlsx, .xlsm) as blocks. This needs openpyxl, which the extra `excel` installs.

The first sheet that holds a table is read. Rows above the header, such as a title, are skipped.
"""

import io
import warnings
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import partial
from itertools import islice
from typing import Any

from app.errors import InvalidInputError
from app.intake.blocks import ROWS_PER_BLOCK, Block, RawTable
from app.intake.column_names.columns import Kind, kind_of
from app.intake.files.extras import import_extra
from app.intake.files.listing import InputFile
from app.intake.files.sources import ALWAYS_ALLOWED_BYTES, MAX_RATIO
from app.intake.formats.matrix import RATING_NAMES, SAMPLE_ROWS, Matrix, matrix_of
from app.intake.hints import FileHints

_ZIP = b"PK\x03\x04"
_WORKBOOK = "xl/workbook.xml"
# Rows that are searched for the header.
_MAX_ROWS_ABOVE = 50
# What a formula shows where it has no result.
_ERRORS = frozenset({"#N/A", "#DIV/0!", "#REF!", "#VALUE!", "#NAME?", "#NUM!", "#NULL!"})

Row = list[Any]


@dataclass(frozen=True, slots=True)
class _Sheet:
    """A sheet that holds a table.

    `place`, `title`: of the sheet in the workbook.
    `n_above`: number of rows above the table.
    `columns`: places of the columns of the table.
    `rows`: the first rows of the table, cut to its columns.
    """

    place: int
    title: str
    n_above: int
    columns: list[int]
    rows: list[Row]


def open_excel(file: InputFile, _siblings: Mapping[str, InputFile], hints: FileHints) -> RawTable | None:
    """Open a workbook of Excel; see `registry.Open`. Raises `InvalidInputError` where no sheet holds a table."""
    with file.open() as stream:
        if stream.read(len(_ZIP)) != _ZIP:
            return None
    if not _is_workbook(file):
        return None
    with _opened(file) as workbook:
        sheets = [sheet for place in range(len(workbook.worksheets)) if (sheet := _sheet(workbook, place)) is not None]
    unknown: list[RawTable] = []
    errors: list[InvalidInputError] = []
    for sheet in sheets:
        note = _note(file, sheet, sheets)
        try:
            table = _table(file, sheet, note, hints)
        except InvalidInputError as error:
            errors.append(error)
            continue
        if table.kind is not None or kind_of(hints.columns.naming.of(table.names).values()) is not None:
            return table
        unknown.append(table)
    if errors:
        raise errors[0]
    if not unknown:
        raise InvalidInputError(f"{file.display_name} has no sheet with a table", field="path")
    # What its columns lack is explained where columns are recognised.
    return unknown[0]


def _is_workbook(file: InputFile) -> bool:
    """Whether a zip file is a workbook; raises `InvalidInputError` where it unpacks to far more than its size."""
    with file.open_at_any_position() as stream:
        try:
            with zipfile.ZipFile(stream) as archive:
                infos = archive.infolist()
        except zipfile.BadZipFile as error:
            raise InvalidInputError(f"{file.display_name} is damaged or cut short: {error}", field="path") from error
        n_packed = stream.seek(0, io.SEEK_END)
    # zipfile reads no more than these sizes, so they can be trusted.
    n_bytes = sum(info.file_size for info in infos)
    if n_bytes > max(ALWAYS_ALLOWED_BYTES, MAX_RATIO * n_packed):
        raise InvalidInputError(f"{file.display_name} was refused as a possible zip bomb", field="path")
    return any(info.filename == _WORKBOOK for info in infos)


@contextmanager
def _opened(file: InputFile) -> Iterator[Any]:
    """Open an `openpyxl.Workbook`.

    Raises `InvalidInputError`, also from within the `with` block, where the file is damaged.
    """
    # openpyxl is an optional extra and slow to import, so it is imported when a workbook is read.
    openpyxl = import_extra("openpyxl", "excel", "Excel")
    workbook = None
    # openpyxl reads the parts of a workbook in any order.
    with file.open_at_any_position() as stream:
        try:
            # openpyxl warns of styles and other parts that have no influence on the cells.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                # A sheet is streamed row by row; formulas show the results that Excel stored.
                workbook = openpyxl.load_workbook(stream, read_only=True, data_only=True)
            yield workbook
        except (InvalidInputError, GeneratorExit):
            raise
        # For a damaged part openpyxl raises what its parsers do: KeyError, ValueError, ParseError and others.
        except Exception as error:
            message = f"{file.display_name} is damaged or not a workbook: {error!r}"
            raise InvalidInputError(message, field="path") from error
        finally:
            if workbook is not None:
                workbook.close()


def _sheet(workbook: Any, place: int) -> _Sheet | None:
    """Return a visible sheet with a table; None for any other sheet."""
    sheet = workbook.worksheets[place]
    if sheet.sheet_state != "visible":
        return None
    rows = list(islice(_rows(sheet), _MAX_ROWS_ABOVE + SAMPLE_ROWS))
    n_filled = [sum(cell is not None for cell in row) for row in rows]
    most = max(n_filled[:_MAX_ROWS_ABOVE], default=0)
    # A title or a date above a table fills fewer cells than its header.
    n_above = next((number for number, count in enumerate(n_filled) if count > max(1, most / 2)), None)
    if n_above is None:
        return None
    table = rows[n_above:]
    width = max(map(len, table))
    columns = [column for column in range(width) if any(column < len(row) and row[column] is not None for row in table)]
    return _Sheet(place, sheet.title, n_above, columns, [_cut(row, columns) for row in table])


def _rows(sheet: Any, n_columns: int | None = None) -> Iterator[Row]:
    """Yield the rows of a sheet, cut to `n_columns`, because one cell far to the right makes every row as long."""
    for row in sheet.iter_rows(max_col=n_columns, values_only=True):
        yield [_cell(cell) for cell in row]


def _cell(value: Any) -> Any:
    """Return a cell as JSON or Parquet would hold it: a whole number as an integer; None where it is empty."""
    # Excel has no integers, and the ids 1 and 1.0 would be different.
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str):
        value = value.strip()
        return None if not value or value in _ERRORS else value
    # Durations and times of day have no meaning of their own here.
    return value if value is None or isinstance(value, bool | int | float | date) else str(value)


def _cut(row: Row, columns: Sequence[int]) -> Row:
    return [row[column] if column < len(row) else None for column in columns]


def _note(file: InputFile, sheet: _Sheet, sheets: Sequence[_Sheet]) -> tuple[str, ...]:
    others = [repr(other.title) for other in sheets if other is not sheet]
    if not others:
        return ()
    note = f"{file.display_name}: only the sheet {sheet.title!r} was read; save {', '.join(others)} as other files"
    return (note,)


def _table(file: InputFile, sheet: _Sheet, note: tuple[str, ...], hints: FileHints) -> RawTable:
    if hints.columns.names:
        return _in_given_order(file, sheet, note, hints.columns.names)
    matrix = matrix_of(sheet.rows, hints, file.display_name)
    if matrix is not None:
        blocks = partial(_read_matrix, file, sheet, matrix)
        notes = (*note, f"{file.display_name}: {matrix.note}")
        return RawTable(file, RATING_NAMES, blocks, Kind.RATINGS, notes=notes)
    names = ["" if cell is None else str(cell) for cell in sheet.rows[0]]
    repeated = next((name for name in names if name and names.count(name) > 1), None)
    if repeated is not None:
        raise InvalidInputError(f"{file.display_name} has two columns named {repeated!r}", field="path")
    return RawTable(file, names, partial(_read, file, sheet, names, has_header=True), notes=note)


def _in_given_order(file: InputFile, sheet: _Sheet, note: tuple[str, ...], names: list[str]) -> RawTable:
    if len(sheet.columns) != len(names):
        raise InvalidInputError(
            f"{file.display_name} has {len(sheet.columns)} columns, but --columns names {len(names)}"
            " (write - for a column to leave out)",
            field="columns",
        )
    # A row of ratings holds numbers, and a header holds texts.
    has_header = all(cell is None or isinstance(cell, str) for cell in sheet.rows[0])
    blocks = partial(_read, file, sheet, names, has_header=has_header)
    return RawTable(file, names, blocks, kind_of(names), notes=note)


def _read(file: InputFile, sheet: _Sheet, names: Sequence[str], *, has_header: bool) -> Iterator[Block]:
    for lines, rows in _blocks_of_rows(file, sheet, has_header=has_header):
        columns = zip(*rows, strict=True)
        yield Block(file.display_name, dict(zip(names, columns, strict=True)), lines)


def _read_matrix(file: InputFile, sheet: _Sheet, matrix: Matrix) -> Iterator[Block]:
    for lines, rows in _blocks_of_rows(file, sheet, has_header=matrix.has_header):
        yield from matrix.ratings(file.display_name, rows, lines).parts()


def _blocks_of_rows(file: InputFile, sheet: _Sheet, *, has_header: bool) -> Iterator[tuple[list[int], list[Row]]]:
    """Yield the numbers of rows and the rows of the table, in blocks; empty rows are skipped."""
    with _opened(file) as workbook:
        source = workbook.worksheets[sheet.place]
        # The whole file was read at once, so the progress display follows the share of rows.
        n_rows = max(1, source.max_row or 1)
        file.counter.bytes_read = 0
        numbered = enumerate(_rows(source, sheet.columns[-1] + 1), start=1)
        filled = _filled(islice(numbered, sheet.n_above + has_header, None), sheet.columns)
        while block := list(islice(filled, ROWS_PER_BLOCK)):
            lines = [line for line, _ in block]
            yield lines, [row for _, row in block]
            file.counter.bytes_read = file.size * min(lines[-1], n_rows) // n_rows


def _filled(numbered: Iterable[tuple[int, Row]], columns: Sequence[int]) -> Iterator[tuple[int, Row]]:
    for line, row in numbered:
        cut = _cut(row, columns)
        if any(cell is not None for cell in cut):
            yield line, cut
