"""Parquet as blocks. Importing this module needs pyarrow, the extra `parquet`."""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from app.errors import InvalidInputError
from app.intake.blocks import ROWS_PER_BLOCK, Block
from app.intake.columns import Naming
from app.intake.files import InputFile


def field_names(file: InputFile) -> list[str]:
    with _opened(file) as parquet:
        return list(parquet.schema_arrow.names)


def read_parquet(file: InputFile, naming: Naming) -> Iterator[Block]:
    """Blocks with the file's columns as `naming` calls them; rows are counted from 1 where text files have lines."""
    row = 1
    file.meter.bytes_read = 0
    with _opened(file) as parquet:
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
            yield Block(file.shown, columns, range(row, row + batch.num_rows))
            row += batch.num_rows
            file.meter.bytes_read = file.size * row // parquet.metadata.num_rows


def _values(column: Any) -> list[Any]:
    """Python values; times to the microsecond, decimals as floats."""
    kind = column.type
    if pa.types.is_timestamp(kind):
        column = column.cast(pa.timestamp("us", tz=kind.tz), safe=False)
    elif pa.types.is_decimal(kind):
        column = column.cast(pa.float64())
    values: list[Any] = column.to_pylist()
    return values


def _opened(file: InputFile) -> Any:
    """A `pyarrow.parquet.ParquetFile`."""
    if file.path is None:
        raise InvalidInputError(f"{file.shown}: Parquet is read from a file of its own, unpacked", field="path")
    try:
        return pq.ParquetFile(file.path)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(file, error) from error


def _damaged(file: InputFile, error: Exception) -> InvalidInputError:
    return InvalidInputError(f"{file.shown} is damaged, cut short or no Parquet: {error}", field="path")
