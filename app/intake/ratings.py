"""Converts blocks to ratings: by whole columns, and row by row only where a block has a bad row."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from app.entities import IncomingRatings, RatingScale
from app.errors import InvalidInputError
from app.intake.blocks import Block, Column, RejectedRow
from app.intake.cells.values import ValueCache, read_id, read_number, read_rating, read_time

FUTURE_TOLERANCE_MICROSECONDS = 5 * 60 * 1_000_000
"""How far a time may lie after the clock of this machine, because clocks differ."""

SET_SCALE = "reckon scale set MIN:MAX"
"""The command that widens the scale, for messages."""

# Epoch numbers below this are seconds; see `read_time`.
_SECONDS_LIMIT = 10**11


UNKNOWN_ITEM_FAULT = "there is no such item, and unknown items are refused (RECKON_UNKNOWN_ITEMS=reject)"

_NO_VALUES = np.empty(0)
_NO_RATINGS = IncomingRatings([], [], np.empty(0), np.empty(0, np.int64))


@dataclass(frozen=True, slots=True)
class ReadRatings:
    """The n ratings of one block, and what became of its other rows.

    `ratings`: in the order of the block.
    `rejected`: rows with an error.
    `rows`: the n indices of the ratings in the block, which give the line of a rating that is rejected later.
    `off_scale`: value and line of the rejected rows whose value is not on the scale.
    `n_set_aside`: number of rows without a rating, whose value stands for a missing one.
    """

    ratings: IncomingRatings
    rejected: list[RejectedRow]
    rows: Sequence[int]
    off_scale: list[tuple[float, int]] = field(default_factory=list)
    n_set_aside: int = 0


class RatingReader:
    """Converts blocks with the columns user_id, item_id and value to ratings.

    The column rated_at is optional; a missing time becomes `UNKNOWN_TIME`. The column value may be missing where pairs
    are stored and where there is no scale; the value is then 1. A flag is the value 1 or 0, and rejected where the
    scale has other ends.

    `now`: microseconds since 1970 UTC; ratings more than 5 minutes later are rejected.
    `missing`: texts that stand for a missing rating; a number stands for all of its spellings.
    """

    def __init__(self, now: int, missing: frozenset[str] = frozenset()) -> None:
        self._latest = now + FUTURE_TOLERANCE_MICROSECONDS
        self._missing = frozenset(map(_number_or_text, missing))
        self._user_ids = ValueCache(partial(read_id, field="user_id"), frozenset({str, int}))
        self._item_ids = ValueCache(partial(read_id, field="item_id"), frozenset({str, int}))
        self._values = ValueCache(read_rating, frozenset({str, int, float}))

    def read(
        self, block: Block, scale: RatingScale | None = None, stand_ins: NDArray[np.float64] = _NO_VALUES
    ) -> ReadRatings:
        """Convert the rows of `block`, reject the bad ones, and set aside those with a value that stands for none.

        `scale`: ratings that are not on it are rejected; None accepts all.
        `stand_ins`: values off the scale that stand for a missing rating, beside the `missing` of this reader.
        """
        present = self._rows_with_value(block)
        n_set_aside = len(block) - len(present)
        block = block.select(present) if n_set_aside else block
        rejected = list(block.rejected)
        if "value" not in block.columns:
            if scale is not None and scale.kind != "pairs":
                reason = f"value: is missing, and only pairs have none; values here are {scale.kind} ({scale})"
                rejected += [block.reject(index, reason) for index in range(len(block))]
                return ReadRatings(_NO_RATINGS, rejected, [])
            block = with_ones(block)
        # Most blocks have no bad row. The error does not say which rows are bad, so one of them costs a second pass.
        try:
            ratings = self._by_column(block)
            rows: Sequence[int] = range(len(block))
        except InvalidInputError:
            rows, ratings = self._row_by_row(block, rejected)
        is_future = ratings.rated_at > self._latest
        is_off_scale = np.zeros(len(ratings), dtype=np.bool_) if scale is None else ~scale.contains(ratings.value)
        is_flag = _are_flags(block, rows, scale)
        is_bad = is_future | is_off_scale | is_flag
        off_scale = []
        if is_bad.any():
            is_stand_in = is_off_scale & np.isin(ratings.value, stand_ins)
            n_set_aside += int(np.count_nonzero(is_stand_in))
            off_scale_reason = "" if scale is None else _off_scale_reason(scale)
            for index in np.flatnonzero(is_bad & ~is_stand_in).tolist():
                fault = f"value: is no grade, and values here are {scale}" if is_flag[index] else off_scale_reason
                reason = "rated_at: is more than 5 minutes in the future" if is_future[index] else fault
                rejected.append(block.reject(rows[index], reason))
                if is_off_scale[index] and not is_flag[index]:
                    off_scale.append((float(ratings.value[index]), block.lines[rows[index]]))
            kept = np.flatnonzero(~is_bad).tolist()
            ratings, rows = ratings.part(kept), [rows[place] for place in kept]
        if scale is not None:
            ratings = replace(ratings, value=scale.stored(ratings.value))
        return ReadRatings(ratings, rejected, [present[row] for row in rows], off_scale, n_set_aside)

    def values(self, block: Block) -> NDArray[np.float64]:
        """Return the (m,) valid rating values of `block`, also those of rows that are bad otherwise.

        The first pass of an import detects the scale from these values.
        """
        column = block.column("value") if "value" in block.columns else [1.0] * len(block)
        column = [column[row] for row in self._rows_with_value(block)] if self._missing else column
        try:
            return np.fromiter(self._values.convert_column(column), np.float64, count=len(column))
        except InvalidInputError:
            return np.array([value for value in map(self._value_or_none, column) if value is not None])

    def _rows_with_value(self, block: Block) -> Sequence[int]:
        """Return the rows whose value is none of `missing`."""
        if not self._missing or "value" not in block.columns:
            return range(len(block))
        return [row for row, value in enumerate(block.column("value")) if not self._is_missing(value)]

    def _is_missing(self, value: object) -> bool:
        if isinstance(value, str):
            return _number_or_text(value) in self._missing
        # A flag equals 1 or 0 and is no number.
        return type(value) in {int, float} and value in self._missing

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


def _off_scale_reason(scale: RatingScale) -> str:
    how = f"; `{SET_SCALE}` changes it" if scale.is_graded else ""
    return f"value: {scale.fault}{how}"


def _number_or_text(text: str) -> float | str:
    """The number that a text spells, as `0.0` and `0` spell the same one, or the text itself without blanks around."""
    try:
        return read_number(text, "missing")
    except InvalidInputError:
        return text.strip()


def _are_flags(block: Block, rows: Sequence[int], scale: RatingScale | None) -> NDArray[np.bool_]:
    """Which of the given rows of a block have a flag as value, although `scale` has other ends than 0 and 1."""
    column = block.column("value")
    takes_flags = scale is None or scale.kind == "pairs" or (scale.minimum, scale.maximum) == (0, 1)
    if takes_flags or bool not in set(map(type, column)):
        return np.zeros(len(rows), dtype=np.bool_)
    return np.array([isinstance(column[row], bool) for row in rows], dtype=np.bool_)


def with_ones(block: Block) -> Block:
    """`block`, with the value 1 in every row if it has no column of values."""
    return block if "value" in block.columns else replace(block, columns={**block.columns, "value": [1.0] * len(block)})


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
