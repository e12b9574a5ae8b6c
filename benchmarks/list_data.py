"""The questions of the group `lists`: data sets, what is known of them, and what is asked for."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.algorithms.rating_matrix import RatingMatrix
from app.cli.rated_data import load_rated_data
from app.entities import RatingScale
from app.evaluation.splits import held_out_by, keep_newest
from app.intake.scales.scale import detect_scale
from app.intake.scales.value_counts import ValueCounts

DATA = Path(__file__).parents[2] / "shared" / "data"

Mask = NDArray[np.bool_]
Split = Callable[[RatingMatrix, int], list[Mask]]
"""Ratings and a seed -> one mask (n,) for each list that is asked for, oldest first; what no mask holds is trained on.

Each list is asked for with the histories of training and of all masks before its own.
"""


def newest_fifth(ratings: RatingMatrix, seed: int) -> list[Mask]:
    return held_out_by("user-time:0.2", ratings, seed)


def last_item(ratings: RatingMatrix, seed: int) -> list[Mask]:
    return held_out_by("leave-one-out", ratings, seed)


def last_five(ratings: RatingMatrix, _seed: int) -> list[Mask]:
    """The last five items of every user with more than five, one after the other."""
    order = np.lexsort((np.arange(len(ratings)), ratings.times, ratings.user_rows))
    from_end = np.empty(len(ratings), np.int64)
    from_end[order] = np.cumsum(ratings.user_counts)[ratings.user_rows[order]] - 1 - np.arange(len(ratings))
    has_more = ratings.user_counts[ratings.user_rows] > 5
    return [has_more & (from_end == age) for age in (4, 3, 2, 1, 0)]


def random_fifth(ratings: RatingMatrix, seed: int) -> list[Mask]:
    """Of each user's rows by a uniform draw in file order, all but the first floor(0.8 n); one row alone is kept."""
    drawn = np.random.default_rng(seed).random(len(ratings))
    order = np.lexsort((drawn, ratings.user_rows))
    counts = ratings.user_counts
    place = np.empty(len(ratings), np.int64)
    place[order] = np.arange(len(ratings)) - (np.cumsum(counts) - counts)[ratings.user_rows[order]]
    n_learned = np.maximum(np.floor(0.8 * counts + 1e-9).astype(np.int64), 1)
    return [place >= n_learned[ratings.user_rows]]


@dataclass(frozen=True)
class Asked:
    """One list for each user: with which `history`, and which items then `followed`."""

    history: RatingMatrix
    followed: RatingMatrix


@dataclass(frozen=True)
class Question:
    """A data set and what is asked of it.

    `liked_from`: relevant are held-out items with at least this value; None where every pair counts.
    `n_seeds`: how often what has chance in it is fitted; the lists of a user count as their mean.
    `reach`: the figure to reach, as the table shows it.
    """

    ratings: RatingMatrix
    split: Split
    liked_from: float | None = None
    n_seeds: int = 1
    reach: str = ""

    @property
    def relevant_from(self) -> float:
        return -np.inf if self.liked_from is None else self.liked_from

    @property
    def scale(self) -> RatingScale:
        """As the first import detects it."""
        return detect_scale(ValueCounts.of([self.ratings.values.astype(np.float64)])).scale

    def parts(self, seed: int = 0) -> tuple[RatingMatrix, list[Asked]]:
        """What is trained on, and the lists that are asked for after it. The first history is what is trained on."""
        masks = self.split(self.ratings, seed)
        is_known = ~np.any(masks, axis=0)
        train = self.ratings.subset(is_known)
        asked, history = [], train
        for mask in masks:
            asked.append(Asked(history, self.ratings.subset(mask)))
            is_known = is_known | mask
            history = self.ratings.subset(is_known)
        return train, asked

    def inside(self) -> "Question":
        """The same question about the training part, to tune with."""
        return replace(self, ratings=self.parts()[0])


def question(
    users: NDArray[np.integer],
    items: NDArray[np.integer],
    values: NDArray[np.floating] | None,
    times: NDArray[np.int64] | None,
    split: Split,
    *,
    liked_from: float | None = None,
    n_seeds: int = 1,
    reach: str = "",
) -> Question:
    """The newest of each pair; `values` are 1 and `times` unknown where they are None."""
    kept = keep_newest(users, items, np.zeros(len(users), np.int64) if times is None else times)
    users, items = (np.unique(rows[kept], return_inverse=True)[1] for rows in (users, items))
    shape = (int(users.max()) + 1, int(items.max()) + 1)
    numbers = np.ones(len(kept)) if values is None else values[kept]
    ratings = RatingMatrix(*shape, users, items, numbers, None if times is None else times[kept])
    return Question(ratings, split, liked_from, n_seeds, reach)


@cache
def films() -> RatingMatrix:
    return load_rated_data(DATA / "ml-latest-small").ratings.with_features(None)


def film_lists(split: Split, n_seeds: int = 1, reach: str = "", liked_from: float | None = 4.0) -> Question:
    return Question(films(), split, liked_from, n_seeds, reach)


def film_likes() -> Question:
    """Ratings of at least 4 as pairs without values and times."""
    liked = films().subset(films().values >= 4)
    return question(liked.user_rows, liked.item_rows, None, None, random_fifth)


@cache
def games() -> NDArray[np.int64]:
    """(n, 2) user and item ids, in file order."""
    return np.loadtxt(DATA / "steam" / "game_purchase.dat", skiprows=1, usecols=(0, 1), dtype=np.int64)


def game_lists(least: int = 1, n_seeds: int = 1, reach: str = "") -> Question:
    """`least`: purchases of a user who is kept."""
    users, items = games().T
    kept = np.bincount(users)[users] >= least
    return question(users[kept], items[kept], None, None, random_fifth, n_seeds=n_seeds, reach=reach)


@cache
def toys() -> NDArray[np.int64]:
    """(n, 3) user, item and place in the user's history."""
    return np.array(list(_toy_rows()))


def _toy_rows() -> Iterator[tuple[int, int, int]]:
    for line in (DATA / "toys" / "toys.txt").read_text().splitlines():
        user, *items = map(int, line.split())
        yield from ((user, item, place) for place, item in enumerate(items))


def toy_lists(split: Split, n_seeds: int = 1, reach: str = "", share: float = 1.0) -> Question:
    """`share`: of the users who are kept, drawn at random."""
    users, items, places = toys().T
    kept = np.random.default_rng(0).random(int(users.max()) + 1)[users] < share
    return question(users[kept], items[kept], None, places[kept], split, n_seeds=n_seeds, reach=reach)


REAL: dict[str, Callable[[], Question]] = {
    "films-newest-fifth": lambda: film_lists(newest_fifth, 3, ">= 0.135"),
    # What comes next is whatever was rated next, liked or not.
    "films-next": lambda: film_lists(last_five, 3, ">= 1.7 x EASE, interval above 1.3", liked_from=None),
    "films-next-liked": lambda: film_lists(last_five),
    "steam": lambda: game_lists(n_seeds=3, reach=">= 1.00 x EASE"),
    "toys": lambda: toy_lists(last_item, 3, "nDCG >= 0.060, hit rate >= 0.095"),
    "films-last": lambda: film_lists(last_item, liked_from=None),
    "films-likes": film_likes,
    "toys-newest-fifth": lambda: toy_lists(newest_fifth),
    "toys-quarter": lambda: toy_lists(last_item, share=0.25),
    "steam-20": lambda: game_lists(20),
}
