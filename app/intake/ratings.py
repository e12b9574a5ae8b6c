"""Converts blocks to ratings: by whole columns, and row by row only where a block has a bad row."""

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from app.entities import IncomingRatings, RatingScale
from app.errors import InvalidInputError
from app.intake.blocks import Block, Column, RejectedRow
from app.intake.values import ValueCache, read_id, read_rating, read_time

FUTURE_TOLERANCE_MICROSECONDS = 5 * 60 * 1_000_000
"""How far a time may lie after the clock of this machine, because clocks differ."""

# Epoch numbers below this are seconds; see `read_time`.
_SECONDS_LIMIT = 10**11


@dataclass(frozen=True, slots=True)
class ReadRatings:
    """The ratings of one block in its order, and the rows of the block that are rejected."""

    ratings: IncomingRatings
    rejected: list[RejectedRow]


class RatingReader:
    """Converts blocks with the columns user_id, item_id and value to ratings.

    The column rated_at is optional; a missing time becomes `UNKNOWN_TIME`.

    `now`: microseconds since 1970 UTC; ratings more than 5 minutes later are rejected.
    """

    def __init__(self, now: int) -> None:
        self._latest = now + FUTURE_TOLERANCE_MICROSECONDS
        self._user_ids = ValueCache(partial(read_id, field="user_id"), frozenset({str, int}))
        self._item_ids = ValueCache(partial(read_id, field="item_id"), frozenset({str, int}))
        self._values = ValueCache(read_rating, frozenset({str, int, float}))

    def read(self, block: Block, scale: RatingScale | None = None) -> ReadRatings:
        """Convert the rows of `block` and reject the bad ones, with a `scale` also those whose value is not on it."""
        rejected = list(block.rejected)
        # `rows` holds the index in the block of each rating, which gives the line number of a row rejected later.
        # Most blocks have no bad row. The error does not say which rows are bad, so one of them costs a second pass.
        try:
            rows, ratings = list(range(len(block))), self._by_column(block)
        except InvalidInputError:
            rows, ratings = self._row_by_row(block, rejected)
        is_future = ratings.rated_at > self._latest
        is_off_scale = np.zeros(len(ratings), dtype=np.bool_) if scale is None else ~scale.contains(ratings.value)
        is_bad = is_future | is_off_scale
        if is_bad.any():
            off_scale = f"value: is not on the rating scale {scale}"
            for index in np.flatnonzero(is_bad).tolist():
                reason = "rated_at: is more than 5 minutes in the future" if is_future[index] else off_scale
                rejected.append(block.reject(rows[index], reason))
            ratings = _select(ratings, ~is_bad)
        return ReadRatings(ratings, rejected)

    def values(self, block: Block) -> NDArray[np.float64]:
        """Return the (m,) valid rating values of `block`, also those of rows that are bad otherwise.

        The first pass of an import detects the scale from these values.
        """
        column = block.column("value")
        try:
            return np.fromiter(self._values.convert_column(column), np.float64, count=len(column))
        except InvalidInputError:
            return np.array([value for value in map(self._value_or_none, column) if value is not None])

    def _value_or_none(self, value: object) -> float | None:
        try:
            return self._values.convert_value(value)
        except InvalidInputError:
            return None

    def _by_column(self, block: Block) -> IncomingRatings:
        return IncomingRatings(
            user_id=list(self._user_ids.convert_column(block.column("user_id"))),
            item_id=list(self._item_ids.convert_column(block.column("item_id"))),
            value=np.fromiter(self._values.convert_column(block.column("value")), np.float64, count=len(block)),
            rated_at=_times(block.column("rated_at")),
        )

    def _row_by_row(self, block: Block, rejected: list[RejectedRow]) -> tuple[list[int], IncomingRatings]:
        """Return the indices and the ratings of the good rows; the others are added to `rejected`."""
        columns = [block.column(name) for name in ("user_id", "item_id", "value", "rated_at")]
        rows, user_ids, item_ids, values, times = [], [], [], [], []
        for index, (user_id, item_id, value, time) in enumerate(zip(*columns, strict=True)):
            try:
                row = (
                    self._user_ids.convert_value(user_id),
                    self._item_ids.convert_value(item_id),
                    self._values.convert_value(value),
                    read_time(time),
                )
            except InvalidInputError as error:
                rejected.append(block.reject(index, f"{error.field}: {error}"))
                continue
            rows.append(index)
            user_ids.append(row[0])
            item_ids.append(row[1])
            values.append(row[2])
            times.append(row[3])
        return rows, IncomingRatings(user_ids, item_ids, np.array(values, np.float64), np.array(times, np.int64))


def _times(column: Column) -> NDArray[np.int64]:
    """Convert each value as `read_time` does."""
    # The common case, a column of epoch seconds as text, is recognised by one test of the joined column.
    if set(map(type, column)) == {str}:
        joined = "".join(column)
        if joined.isascii() and joined.isdigit():
            try:
                seconds = np.fromiter(map(int, column), np.int64, count=len(column))
            # A field may still be empty, or have too many digits for 64 bits.
            except (ValueError, OverflowError):
                seconds = np.empty(0, np.int64)
            if len(seconds) and int(seconds.max()) < _SECONDS_LIMIT:
                return seconds * 1_000_000
    return np.fromiter(map(read_time, column), np.int64, count=len(column))


def _select(ratings: IncomingRatings, is_kept: NDArray[np.bool_]) -> IncomingRatings:
    rows = np.flatnonzero(is_kept)
    return IncomingRatings(
        user_id=[ratings.user_id[row] for row in rows],
        item_id=[ratings.item_id[row] for row in rows],
        value=ratings.value[rows],
        rated_at=ratings.rated_at[rows],
    )
