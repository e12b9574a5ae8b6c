"""Ratings of any number by a seeded law, as Parquet files in bounded memory: what a lake holds.

    users    lognormal numbers of ratings         items    Zipf-Mandelbrot popularity within each genre
    taste    each user has three genres, a favourite among them; four ratings in five are of these
    values   1 to 5: the genre's place in the taste, the quality of the item, and noise
    times    a file for each period, all users in each, rows in random order

A pair may come up again in a later period, as in any log of ratings: the newest one counts.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROWS_PER_FILE = 4_000_000
ROWS_PER_GROUP = 1 << 20
N_GENRES = 40
SPREAD = 1.0
"""Of the logarithm of the number of ratings of a user."""

EXPONENT, OFFSET = 1.0, 20.0
"""p(rank) ~ 1 / (rank + OFFSET)^EXPONENT, of the items of a genre."""

REPEATED = 0.05
"""About the share of rows whose pair comes up again, which are generated on top."""

FIRST_AT, SPAN = 1_600_000_000_000_000, 94_608_000_000_000
"""Microseconds: three years."""


@dataclass(frozen=True)
class Law:
    """`n_ratings`: about so many distinct pairs."""

    n_ratings: int
    n_users: int
    n_items: int
    seed: int = 0

    @property
    def n_rows(self) -> int:
        return int(self.n_ratings * (1 + REPEATED))

    @property
    def n_files(self) -> int:
        return max(1, -(-self.n_rows // ROWS_PER_FILE))

    def write(self, folder: Path) -> None:
        """One file for each period. Memory: some bytes for each user, and the rows of one file."""
        import pyarrow as pa  # noqa: PLC0415  an extra
        import pyarrow.parquet as pq  # noqa: PLC0415  as above

        folder.mkdir(parents=True, exist_ok=True)
        people, goods = self._people(), self._quality()
        names = pa.array([f"item-{row:07d}" for row in range(self.n_items)])
        for period in range(self.n_files):
            users, items, values, times = self._period(period, people, goods)
            columns: dict[str, Any] = {
                "user_id": users.astype(np.int64),
                "item_id": pa.DictionaryArray.from_arrays(pa.array(items), names),
                "rating": values,
                "rated_at": pa.array(times, pa.timestamp("us")),
            }
            pq.write_table(pa.table(columns), folder / f"part-{period:05d}.parquet", row_group_size=ROWS_PER_GROUP)

    def _people(self) -> tuple[NDArray[np.float64], NDArray[np.int8]]:
        """How much each user rates, and the genres that each likes, the favourite first."""
        rng = np.random.default_rng([self.seed, 0])
        activity = np.exp(SPREAD * rng.standard_normal(self.n_users))
        genres = rng.integers(0, N_GENRES, (self.n_users, 3), dtype=np.int8)
        return np.cumsum(activity / activity.sum()), genres

    def _quality(self) -> NDArray[np.float32]:
        return 0.4 * np.random.default_rng([self.seed, 1]).standard_normal(self.n_items, np.float32)

    def _period(
        self, period: int, people: tuple[NDArray[np.float64], NDArray[np.int8]], goods: NDArray[np.float32]
    ) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32], NDArray[np.int64]]:
        rng, (shares, genres) = np.random.default_rng([self.seed, 2, period]), people
        n = self.n_rows // self.n_files + (period < self.n_rows % self.n_files)
        users = np.searchsorted(shares, rng.random(n)).clip(max=self.n_users - 1).astype(np.int32)
        # The favourite genre in half of all cases, the others in 0.3 of them, any genre in the rest.
        place = np.searchsorted([0.5, 0.65, 0.8], rng.random(n), side="right")
        liked = place < 3
        genre = np.where(liked, genres[users, np.minimum(place, 2)], rng.integers(0, N_GENRES, n, dtype=np.int8))
        n_each = max(self.n_items // N_GENRES, 1)
        # The inverse of the integral of 1 / (rank + OFFSET), which suits the exponent 1.
        rank = (OFFSET * ((n_each + OFFSET) / OFFSET) ** rng.random(n) - OFFSET).astype(np.int32).clip(max=n_each - 1)
        items = np.minimum(rank * N_GENRES + genre, self.n_items - 1).astype(np.int32)
        raw = 3.0 + np.where(place == 0, 1.0, np.where(liked, 0.6, -0.3)) + goods[items]
        values = np.clip(np.rint(raw + 0.7 * rng.standard_normal(n, np.float32)), 1, 5).astype(np.float32)
        first = FIRST_AT + SPAN * period // self.n_files
        return users, items, values, first + rng.integers(0, SPAN // self.n_files, n)
