"""Reads ratings as columns from Parquet files, to learn from them without importing them.

    user_id   text or whole numbers          item_id    likewise
    rating    a number; absent: pairs        rated_at   a timestamp or microseconds since 1970; absent: no times

The files lie in a folder or a bucket, see `source_files.py`. They are read in batches of rows, so that memory depends
neither on their number nor on their size. A row that cannot be learned from is left out and counted by reason; a file
that is damaged or has other columns ends the run.

This needs pyarrow, which the extra `parquet` installs.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.entities import UNKNOWN_TIME
from app.errors import InvalidInputError
from app.training.source_files import SourceFiles, find_files

USER, ITEM, RATING, TIME = "user_id", "item_id", "rating", "rated_at"

ROWS_PER_BATCH = 1 << 20

BUFFER_BYTES = 4 << 20
"""Of a column that is read: without it, pyarrow reads the column of a whole row group at once."""

NEEDED = (
    f"needed: {USER} and {ITEM}, each text or whole numbers; {RATING}, a number, may be left out for mere pairs, and"
    f" {TIME}, a timestamp or whole microseconds since 1970, where times are not known"
)

MANY_FILES, SMALL_BYTES = 1_000, 256 << 10
"""With more files that are smaller on average, opening them takes longer than reading them."""

EARLIEST, LATEST = -62_135_596_800_000_000, 253_402_300_799_999_999
"""Microseconds of the years 1 to 9999, which all clients can show."""

NO_ID, NO_RATING, NOT_FINITE, NO_SUCH_TIME = (
    f"{USER} or {ITEM} is null",
    f"{RATING} is null",
    f"{RATING} is not a finite number",
    f"{TIME} lies outside the years 1 to 9999",
)
"""Why rows are left out while they are read; others are found later, once ids and the scale are known."""


class ColumnBatch(NamedTuple):
    """Some rows, n of which can be used so far.

    `users`, `items`: the ids of each row, as a dictionary: (n,) int32 places, and the distinct ids as a
    `pyarrow.Array` of large strings, which may hold ids that no row has.
    `values`: (n,) float64, finite; None where the file has no ratings. `times`: (n,) int64 microseconds UTC,
    `UNKNOWN_TIME` where unknown; None where the file has no times.
    `first_row`: the number of rows of the file before it. `file`: its path below the folder.
    """

    users: tuple[NDArray[np.int32], Any]
    items: tuple[NDArray[np.int32], Any]
    values: NDArray[np.float64] | None
    times: NDArray[np.int64] | None
    file: str
    first_row: int

    def __len__(self) -> int:
        return len(self.users[0])


@dataclass
class SkippedRows:
    """How many rows were left out, by reason."""

    by_reason: Counter[str] = field(default_factory=Counter)

    def add(self, reason: str, n: int) -> None:
        if n:
            self.by_reason[reason] += n

    @property
    def n(self) -> int:
        return self.by_reason.total()

    def __str__(self) -> str:
        """Empty where there are none."""
        return "; ".join(f"{n:,} rows left out: {reason}" for reason, n in self.by_reason.most_common())


@dataclass(frozen=True)
class ColumnFiles:
    """Parquet files of ratings, with the columns of the first of them.

    `has_ratings`, `has_times`: every file must have the same columns.
    """

    files: SourceFiles
    has_ratings: bool
    has_times: bool

    @classmethod
    def find(cls, source: str) -> "ColumnFiles":
        """Those that `source` names, see `find_files`.

        Raises as `find_files`, and `InvalidInputError` unless the first of them has the columns that are needed.
        """
        files = find_files(source)
        with _opened(files, files.names[0]) as parquet:
            columns = check_columns(parquet.schema_arrow, files.shown(files.names[0]))
        return cls(files, RATING in columns, TIME in columns)

    @property
    def names(self) -> tuple[str, ...]:
        """In the order in which they are read."""
        return self.files.names

    @property
    def columns(self) -> list[str]:
        return [USER, ITEM, *([RATING] if self.has_ratings else []), *([TIME] if self.has_times else [])]

    @cached_property
    def remark(self) -> str | None:
        """A sentence where reading will be slow; None otherwise."""
        n, mean = len(self.names), self.files.n_bytes // len(self.names)
        if n < MANY_FILES or mean >= SMALL_BYTES:
            return None
        return (
            f"{n:,} files of {mean >> 10:,} KiB on average: most of the time is spent on opening them;"
            " files of 128 MiB or more are read much faster"
        )

    def batches(self, left_out: SkippedRows, rows: int = ROWS_PER_BATCH) -> Iterator[ColumnBatch]:
        """All rows, up to `rows` at a time; those that cannot be used are left out and counted in `left_out`.

        Raises `InvalidInputError` for a file that is damaged or has other columns than the first one, and
        `ObjectStorageError`.
        """
        for name in self.names:
            yield from self._batches_of(name, left_out, rows)

    def ratings(self, rows: int = ROWS_PER_BATCH) -> Iterator[NDArray[np.float64]]:
        """The finite ratings alone, to detect their scale. Nothing where there are none. Raises as `batches`."""
        if not self.has_ratings:
            return
        for name in self.names:
            for batch, _ in _batches(name, [RATING], rows, self):
                values = _floats(batch.column(RATING))
                yield values[np.isfinite(values)]

    def _batches_of(self, name: str, left_out: SkippedRows, rows: int) -> Iterator[ColumnBatch]:
        pc = _pyarrow("pyarrow.compute")
        for batch, first_row in _batches(name, self.columns, rows, self):
            users, items = batch.column(USER), batch.column(ITEM)
            is_used = np.ones(batch.num_rows, np.bool_)
            values, times = None, None
            if self.has_ratings:
                column = batch.column(RATING)
                values = _floats(column)
                is_finite = np.isfinite(values)
                is_null = _nulls(column)
                left_out.add(NO_RATING, int(np.count_nonzero(is_null)))
                left_out.add(NOT_FINITE, int(np.count_nonzero(~is_finite & ~is_null)))
                is_used &= is_finite
            if self.has_times:
                times = _microseconds(batch.column(TIME))
                is_known = times != UNKNOWN_TIME
                is_off = is_used & is_known & ((times < EARLIEST) | (times > LATEST))
                left_out.add(NO_SUCH_TIME, int(np.count_nonzero(is_off)))
                is_used &= ~is_off
            if users.null_count or items.null_count:
                lacks_id = is_used & (_nulls(users) | _nulls(items))
                left_out.add(NO_ID, int(np.count_nonzero(lacks_id)))
                is_used &= ~lacks_id
            if not is_used.all():
                mask = _pyarrow("pyarrow").array(is_used)
                users, items = pc.filter(users, mask), pc.filter(items, mask)
                values = None if values is None else values[is_used]
                times = None if times is None else times[is_used]
            yield ColumnBatch(_dictionary(users), _dictionary(items), values, times, name, first_row)


def check_columns(schema: Any, file: str) -> dict[str, Any]:
    """Name -> type of those of the columns that are read, of a `pyarrow.Schema`.

    Raises `InvalidInputError`, which says what `file` has and what is needed.
    """
    found = ", ".join(f"{each.name} ({each.type})" for each in list(schema)[:20]) or "none"
    if len(schema.names) > 20:  # noqa: PLR2004  the first ones tell what kind of file it is
        found += f" and {len(schema.names) - 20} more"
    wanted = {name: schema.names.count(name) for name in (USER, ITEM, RATING, TIME)}
    if missing := [name for name in (USER, ITEM) if not wanted[name]]:
        raise InvalidInputError(
            f"{file} has no column {' and no '.join(missing)}; found: {found}; {NEEDED}", field="from"
        )
    if twice := [name for name, n in wanted.items() if n > 1]:
        raise InvalidInputError(f"{file} has more than one column {twice[0]}; found: {found}", field="from")
    columns = {name: schema.field(name).type for name, n in wanted.items() if n}
    for name, kind in columns.items():
        if not _is_valid(name, kind):
            raise InvalidInputError(f"{file} has a column {name} of type {kind}; {NEEDED}", field="from")
    return columns


def _is_valid(name: str, kind: Any) -> bool:
    types = _pyarrow("pyarrow").types
    if types.is_dictionary(kind):
        kind = kind.value_type
    tests = [types.is_timestamp, types.is_int64, types.is_uint32, types.is_int32]
    if name in (USER, ITEM):
        tests = [types.is_string, types.is_large_string, types.is_string_view, types.is_integer]
    elif name == RATING:
        tests = [types.is_floating, types.is_integer, types.is_decimal]
    return any(test(kind) for test in tests)


def _batches(name: str, columns: list[str], rows: int, like: ColumnFiles) -> Iterator[tuple[Any, int]]:
    """Batches of rows, each with the number of rows of the file before it."""
    pa = _pyarrow("pyarrow")
    path = like.files.shown(name)
    with _opened(like.files, name) as parquet:
        found = check_columns(parquet.schema_arrow, path)
        if (RATING in found, TIME in found) != (like.has_ratings, like.has_times):
            first = like.files.shown(like.names[0])
            raise InvalidInputError(
                f"{path} has the columns {', '.join(found)}, and {first} {', '.join(like.columns)}: all files of a"
                " folder must have the same ones",
                field="from",
            )
        batches, n = parquet.iter_batches(batch_size=rows, columns=columns), 0
        while True:
            try:
                batch = next(batches, None)
            except (pa.ArrowException, OSError) as error:
                raise _damaged(path, error) from error
            if batch is None:
                return
            yield batch, n
            n += batch.num_rows


def _opened(files: SourceFiles, name: str) -> Any:
    pa = _pyarrow("pyarrow")
    try:
        return _pyarrow("pyarrow.parquet").ParquetFile(files.open(name), buffer_size=BUFFER_BYTES, pre_buffer=False)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(files.shown(name), error) from error


def _dictionary(column: Any) -> tuple[NDArray[np.int32], Any]:
    """Places and distinct texts of a column without nulls."""
    pa = _pyarrow("pyarrow")
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    places = column.indices.to_numpy(zero_copy_only=False).astype(np.int32, copy=False)
    texts = column.dictionary
    if not pa.types.is_large_string(texts.type):
        # Whole numbers become their decimal digits, as in every other import.
        texts = texts.cast(pa.string()).cast(pa.large_string())
    return places, texts


def _floats(column: Any) -> NDArray[np.float64]:
    """(n,) NaN for nulls."""
    pa = _pyarrow("pyarrow")
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    column = column.cast(pa.float64(), safe=False)
    values: NDArray[np.float64] = column.to_numpy(zero_copy_only=False)
    return values


def _microseconds(column: Any) -> NDArray[np.int64]:
    """(n,) `UNKNOWN_TIME` for nulls."""
    pa = _pyarrow("pyarrow")
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    per_unit = 1
    if pa.types.is_timestamp(column.type):
        if column.type.unit == "ns":
            column = column.cast(pa.timestamp("us", tz=column.type.tz), safe=False)
        per_unit = {"s": 1_000_000, "ms": 1_000}.get(column.type.unit, 1)
    column = column.cast(pa.int64())
    if column.null_count:
        column = column.fill_null(int(UNKNOWN_TIME))
    times: NDArray[np.int64] = column.to_numpy(zero_copy_only=False)
    if per_unit == 1:
        return times
    # Times beyond the years that are allowed stay beyond them, where a product would wrap around.
    products = np.clip(times, EARLIEST // per_unit - 1, LATEST // per_unit + 1) * per_unit
    return np.where(times == UNKNOWN_TIME, UNKNOWN_TIME, products)


def _nulls(column: Any) -> NDArray[np.bool_]:
    is_null: NDArray[np.bool_] = column.is_null().to_numpy(zero_copy_only=False)
    return is_null


def _pyarrow(module: str) -> Any:
    # pyarrow is an optional extra and slow to import, so it is imported when a Parquet file is read.
    try:
        return import_module(module)
    except ImportError as error:
        raise InvalidInputError("Parquet needs pyarrow: pip install 'reckon[parquet]'", field="from") from error


def _damaged(path: str, error: Exception) -> InvalidInputError:
    return InvalidInputError(f"{path} is damaged, cut short or not Parquet: {error}", field="from")
