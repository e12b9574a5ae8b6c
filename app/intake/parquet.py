"""Reads Parquet files as blocks. Importing this module needs pyarrow, which the extra `parquet` installs."""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from app.errors import InvalidInputError
from app.intake.blocks import ROWS_PER_BLOCK, Block
from app.intake.columns import Naming
from app.intake.files import InputFile


def field_names(file: InputFile) -> list[str]:
    """Return the names of the columns; raises `InvalidInputError` where the file is not valid Parquet."""
    with _open(file) as parquet:
        return list(parquet.schema_arrow.names)


def read_parquet(file: InputFile, naming: Naming) -> Iterator[Block]:
    """Yield blocks with the columns of the file, translated by `naming`.

    The line of a row is its number, counted from 1. Raises `InvalidInputError` where the file is damaged.
    """
    row = 1
    file.counter.bytes_read = 0
    with _open(file) as parquet:
        names = naming.of(parquet.schema_arrow.names)
        batches = parquet.iter_batches(batch_size=ROWS_PER_BLOCK)
        while True:
            try:
                batch = next(batches, None)
            except (pa.ArrowException, OSError) as error:
                raise _damaged(file, error) from error
            if batch is None:
                return
            columns = {names[name]: _values(batch.column(name)) for name in batch.schema.names}
            yield Block(file.display_name, columns, range(row, row + batch.num_rows))
            row += batch.num_rows
            # pyarrow reads the file by itself, so the bytes read are estimated from the share of rows.
            file.counter.bytes_read = file.size * row // parquet.metadata.num_rows


def _values(column: Any) -> list[Any]:
    """Return the values of a column as Python objects: times to the microsecond, decimals as floats."""
    kind = column.type
    # Python's datetime has no nanoseconds; without the cast pyarrow would return objects of pandas or fail.
    if pa.types.is_timestamp(kind):
        column = column.cast(pa.timestamp("us", tz=kind.tz), safe=False)
    elif pa.types.is_decimal(kind):
        column = column.cast(pa.float64())
    values: list[Any] = column.to_pylist()
    return values


def _open(file: InputFile) -> Any:
    """Return a `pyarrow.parquet.ParquetFile`."""
    # Parquet keeps its index at the end of the file, and a stream from an archive cannot seek there cheaply.
    if file.path is None:
        raise InvalidInputError(
            f"{file.display_name} is in an archive: unpack Parquet files before the import", field="path"
        )
    try:
        return pq.ParquetFile(file.path)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(file, error) from error


def _damaged(file: InputFile, error: Exception) -> InvalidInputError:
    return InvalidInputError(f"{file.display_name} is damaged, cut short or not Parquet: {error}", field="path")
