"""Reads Parquet files as blocks. This needs pyarrow, which the extra `parquet` installs."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from app.errors import InvalidInputError
from app.intake.blocks import ROWS_PER_BLOCK, Block, RawTable
from app.intake.files.extras import import_extra
from app.intake.files.listing import InputFile
from app.intake.hints import FileHints

_SUFFIXES = (".parquet", ".pq")


def open_parquet(file: InputFile, _siblings: Mapping[str, InputFile], _hints: FileHints) -> RawTable | None:
    """Open a file with the suffix of Parquet; see `registry.Open`."""
    if not file.name.endswith(_SUFFIXES):
        return None
    with _opened(file) as parquet:
        names = list(parquet.schema_arrow.names)
    return RawTable(file, names, partial(read_parquet, file))


def read_parquet(file: InputFile) -> Iterator[Block]:
    """Yield blocks with the columns of the file.

    The line of a row is its number, counted from 1. Raises `InvalidInputError` where the file is damaged.
    """
    pa = _pyarrow("pyarrow")
    row = 1
    with _opened(file) as parquet:
        batches = parquet.iter_batches(batch_size=ROWS_PER_BLOCK)
        while True:
            try:
                batch = next(batches, None)
            except (pa.ArrowException, OSError) as error:
                raise _damaged(file, error) from error
            if batch is None:
                return
            columns = {name: _values(batch.column(name)) for name in batch.schema.names}
            yield Block(file.display_name, columns, range(row, row + batch.num_rows))
            row += batch.num_rows
            # pyarrow reads the file by itself, so the bytes read are estimated from the share of rows.
            file.counter.bytes_read = file.size * row // parquet.metadata.num_rows


def _values(column: Any) -> list[Any]:
    """Return the values of a column as Python objects: times to the microsecond, decimals as floats."""
    pa, kind = _pyarrow("pyarrow"), column.type
    # Python's datetime has no nanoseconds; without the cast pyarrow would return objects of pandas or fail.
    if pa.types.is_timestamp(kind):
        column = column.cast(pa.timestamp("us", tz=kind.tz), safe=False)
    elif pa.types.is_decimal(kind):
        column = column.cast(pa.float64())
    values: list[Any] = column.to_pylist()
    return values


@contextmanager
def _opened(file: InputFile) -> Iterator[Any]:
    """Open a `pyarrow.parquet.ParquetFile`, which keeps its index at the end of the file."""
    pa = _pyarrow("pyarrow")
    with file.open_at_any_position() as stream:
        try:
            parquet = _pyarrow("pyarrow.parquet").ParquetFile(stream)
        except (pa.ArrowException, OSError) as error:
            raise _damaged(file, error) from error
        with parquet:
            yield parquet


def _pyarrow(module: str) -> Any:
    # pyarrow is an optional extra and slow to import, so it is imported when a Parquet file is read.
    return import_extra(module, "parquet", "Parquet")


def _damaged(file: InputFile, error: Exception) -> InvalidInputError:
    return InvalidInputError(f"{file.display_name} is damaged, cut short or not Parquet: {error}", field="path")
