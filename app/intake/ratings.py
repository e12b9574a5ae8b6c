"""Blocks become ratings: whole columns at once, and row by row only where a block holds a bad row."""

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from app.entities import IncomingRatings, RatingScale
from app.errors import InvalidInputError
from app.intake.blocks import Block, Column, RejectedRow
from app.intake.value_cache import ValueCache
from app.intake.values import read_id, read_rating, read_time

FUTURE_TOLERANCE_MICROSECONDS = 5 * 60 * 1_000_000
_FINEST_SECONDS = 10**11


@dataclass(frozen=True, slots=True)
class ReadRatings:
    """The ratings of one block, and its rows that are set aside."""

    ratings: IncomingRatings
    rejected: list[RejectedRow]


class RatingReader:
    """Turns blocks with the columns user_id, item_id, value and maybe rated_at into ratings.

    `now`: microseconds UTC; what claims to be rated more than 5 minutes later is rejected.
    """

    def __init__(self, now: int) -> None:
        self._latest = now + FUTURE_TOLERANCE_MICROSECONDS
        self._user_ids = ValueCache(partial(read_id, field="user_id"), frozenset({str, int}))
        self._item_ids = ValueCache(partial(read_id, field="item_id"), frozenset({str, int}))
        self._values = ValueCache(read_rating, frozenset({str, int, float}))

    def read(self, block: Block, scale: RatingScale | None = None) -> ReadRatings:
        """The ratings of `block`; with a `scale`, rows off it are rejected too."""
        rejected = list(block.rejected)
        try:
            rows, ratings = list(range(len(block))), self._all_at_once(block)
        except InvalidInputError:
            rows, ratings = self._row_by_row(block, rejected)
        is_future = ratings.rated_at > self._latest
        is_off = np.zeros(len(ratings), dtype=np.bool_) if scale is None else ~scale.contains(ratings.value)
        bad = is_future | is_off
        if bad.any():
            for index in np.flatnonzero(bad).tolist():
                reason = "rated_at: lies in the future" if is_future[index] else f"value: not on the scale {scale}"
                rejected.append(block.reject(rows[index], reason))
            ratings = _only(ratings, ~bad)
        return ReadRatings(ratings, rejected)

    def values(self, block: Block) -> NDArray[np.float64]:
        """What was rated, in rows good or bad: the first pass of an import, which detects the scale."""
        column = block.column("value")
        try:
            return np.fromiter(self._values.of(column), np.float64, count=len(column))
        except InvalidInputError:
            return np.array([value for value in map(self._value_or_none, column) if value is not None])

    def _value_or_none(self, value: object) -> float | None:
        try:
            return self._values.of_one(value)
        except InvalidInputError:
            return None

    def _all_at_once(self, block: Block) -> IncomingRatings:
        return IncomingRatings(
            user_id=list(self._user_ids.of(block.column("user_id"))),
            item_id=list(self._item_ids.of(block.column("item_id"))),
            value=np.fromiter(self._values.of(block.column("value")), np.float64, count=len(block)),
            rated_at=_times(block.column("rated_at")),
        )

    def _row_by_row(self, block: Block, rejected: list[RejectedRow]) -> tuple[list[int], IncomingRatings]:
        """The good rows' indices and ratings; the others are added to `rejected`."""
        columns = [block.column(name) for name in ("user_id", "item_id", "value", "rated_at")]
        rows, user_ids, item_ids, values, times = [], [], [], [], []
        for index, (user_id, item_id, value, time) in enumerate(zip(*columns, strict=True)):
            try:
                row = (
                    self._user_ids.of_one(user_id),
                    self._item_ids.of_one(item_id),
                    self._values.of_one(value),
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
    """`read_time` of each; epoch seconds, the common case, in one sweep."""
    if set(map(type, column)) == {str}:
        joined = "".join(column)
        if joined.isascii() and joined.isdigit():
            try:
                seconds = np.fromiter(map(int, column), np.int64, count=len(column))
            except (ValueError, OverflowError):  # an empty field among them, or more digits than an epoch has
                seconds = np.empty(0, np.int64)
            if len(seconds) and int(seconds.max()) < _FINEST_SECONDS:
                return seconds * 1_000_000
    return np.fromiter(map(read_time, column), np.int64, count=len(column))


def _only(ratings: IncomingRatings, kept: NDArray[np.bool_]) -> IncomingRatings:
    rows = np.flatnonzero(kept)
    return IncomingRatings(
        user_id=[ratings.user_id[row] for row in rows],
        item_id=[ratings.item_id[row] for row in rows],
        value=ratings.value[rows],
        rated_at=ratings.rated_at[rows],
    )
