"""The sums of the amounts of each pair of user and item: `reckon import --sum`."""

from collections.abc import Iterator

import numpy as np

from app.entities import MAX_AMOUNT, IncomingRatings


class PairSums:
    """Adds amounts up by pair; each pair keeps its newest time."""

    def __init__(self) -> None:
        self._places: dict[tuple[str, str], int] = {}
        self._sums: list[float] = []
        self._times: list[int] = []
        self._n_rows: list[int] = []

    def __len__(self) -> int:
        return len(self._sums)

    def add(self, ratings: IncomingRatings) -> None:
        pairs = zip(ratings.user_id, ratings.item_id, strict=True)
        for pair, value, time in zip(pairs, ratings.value.tolist(), ratings.rated_at.tolist(), strict=True):
            place = self._places.setdefault(pair, len(self._sums))
            if place == len(self._sums):
                self._sums.append(value)
                self._times.append(time)
                self._n_rows.append(1)
            else:
                # Two valid amounts may add up to one that is not.
                self._sums[place] = min(self._sums[place] + value, MAX_AMOUNT)
                self._times[place] = max(self._times[place], time)
                self._n_rows[place] += 1

    def chunks(self, size: int) -> Iterator[tuple[IncomingRatings, list[int]]]:
        """Yield up to `size` sums at a time, in the order in which the pairs first appeared.

        With them comes the number of rows in each sum.
        """
        pairs = list(self._places)
        for start in range(0, len(pairs), size):
            part = slice(start, start + size)
            summed = IncomingRatings(
                user_id=[user_id for user_id, _ in pairs[part]],
                item_id=[item_id for _, item_id in pairs[part]],
                value=np.array(self._sums[part], np.float64),
                rated_at=np.array(self._times[part], np.int64),
            )
            yield summed, self._n_rows[part]
