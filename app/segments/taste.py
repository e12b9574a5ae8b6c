"""The segment `taste`: whether a user chooses an item, whatever rating follows; score x_u . y_i.

A liked rating and an item with positive events are choices, and a low rating is a dislike; one in between is neither,
which ranks as well as a weak choice and does not take what was hardly liked for a taste. The
weight of a choice grows with the rating, which improves lists more than any other setting (nDCG@10 on ml-latest-small
0.124, and 0.094 where all observations count alike). `taste_vectors.py` defines both.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from app.algorithms.progress import ProgressCallback, Stage
from app.algorithms.rating_matrix import RatingMatrix
from app.algorithms.taste_vectors import TasteFoldIn, TasteVectors
from app.segments.base import AUTO, Float32Array, Layout, Observations, SegmentDivergedError, SegmentRecipe, Validation
from app.segments.dense import DenseFold, DenseSegment, LearnedDenseSegment, UserPart

UNOBSERVED_SHARES = (2.0, 6.0, 20.0, 60.0, 200.0)
PENALTY_SHARES = tuple(0.15 * 2.0**step for step in range(-5, 6))
"""As of `ImplicitALS.balanced`, with its defaults in the middle; see `_TasteSearch`."""


@dataclass(frozen=True)
class TasteFold(DenseFold):
    """Folds observations in by a weighted ridge regression over all items, see `TasteFoldIn`."""

    regression: TasteFoldIn
    state: Mapping[str, float]

    @property
    def numbers(self) -> dict[str, float]:
        return dict(self.state)

    @property
    def arrays(self) -> Mapping[str, NDArray[Any]]:
        return {"gram": self.regression.gram}

    def select(self, observed: Observations) -> tuple[NDArray[np.integer], NDArray[np.floating]]:
        """The ratings, and positive items with the lowest rating that is liked."""
        positive_rows = observed.positive_rows
        if not len(positive_rows):
            return observed.item_rows, observed.values
        # An event has no rating; the lowest liked one claims least, whatever the scale.
        counts_as = self.regression.weighting.positive(observed.liked_from)
        values = np.append(observed.values, np.full(len(positive_rows), counts_as))
        return np.concatenate([observed.item_rows, positive_rows]), values

    def fold_in(
        self,
        columns: Float32Array,
        values: NDArray[np.floating],
        item_rows: NDArray[np.integer],
        features: sparse.csr_array | None = None,
    ) -> UserPart:
        return UserPart(self.regression.taste(columns, values))

    def influences(
        self, columns: Float32Array, values: NDArray[np.floating], shown: Float32Array
    ) -> NDArray[np.float64]:
        """(n, m), the share of each observation in x_u . y_i; the shares add up to it."""
        return self.regression.influences(columns, values, shown)


class TasteSegment(DenseSegment):
    """Learned by implicit ALS; `auto` searches its two most important hyperparameters by nDCG@10."""

    name = "taste"
    algorithms = ("als_implicit", AUTO)
    default_algorithm = AUTO
    algorithm_without_data = "als_implicit"
    starting_weight = 0.5
    anchors_weights = True
    reads_events = True
    layouts: ClassVar[Mapping[str, Layout]] = {"gram": (np.dtype(np.float64), ("n_taste_columns", "n_taste_columns"))}

    def _fit(
        self, recipe: SegmentRecipe, ratings: RatingMatrix, rng: np.random.Generator, progress: ProgressCallback
    ) -> LearnedDenseSegment:
        """y_i and x_u, every user folded in against the final item side."""
        from app.algorithms.by_name import make_taste_learner

        return self.learned(
            recipe, make_taste_learner(recipe.algorithm, recipe.hyperparameters).fit(ratings, rng, progress)
        )

    def learned(self, recipe: SegmentRecipe, vectors: TasteVectors) -> LearnedDenseSegment:
        """The segment of vectors that were learned elsewhere."""
        return LearnedDenseSegment(
            recipe=recipe,
            item_part=vectors.item_factors,
            user_part=vectors.user_factors,
            unrated_item=np.zeros(vectors.item_factors.shape[1], np.float32),
            fold=TasteFold(TasteFoldIn(vectors.gram, vectors.weighting, vectors.penalty), vectors.numbers),
        )

    def _open(self, numbers: Mapping[str, float], arrays: Mapping[str, NDArray[Any]]) -> TasteFold:
        return TasteFold(TasteFoldIn.from_state(numbers, arrays["gram"]), numbers)

    def choose(
        self,
        validation: Validation,
        ratings: RatingMatrix,
        rng: np.random.Generator,
        progress: ProgressCallback,
        allowed: Collection[str] | None = None,
    ) -> tuple[LearnedDenseSegment, str]:
        search = _TasteSearch(self, validation, rng, progress)
        ndcg, learned = search.run()
        if learned is None:
            raise SegmentDivergedError(search.dropped[0])
        settings = learned.recipe.hyperparameters
        shown = ", ".join(f"{name} {settings[name]:.3g}" for name in ("unobserved_weight", "regularization"))
        figures = f"nDCG@10 {ndcg:.4f}, the best of {len(search.tried)} tried"
        return learned, "; ".join(
            [f"taste by als_implicit: {shown}, {figures}", *(f"dropped, {why}" for why in search.dropped)]
        )

    def likeness(self, columns: slice) -> slice:
        return columns

    def item_trust(self, counts: NDArray[np.int64]) -> NDArray[np.float64]:
        # n^0 weighs every item of the catalogue alike, most of which are never chosen; a new item mapped like them
        # would reach no list. n^1 weighs items as users choose them. Higher powers recommend more new items; at 2/3
        # they are recommended at little loss of nDCG.
        return counts.astype(np.float64) ** (2 / 3)


class _TasteSearch:
    """A line search over two grids.

    `tried`: the nDCG@10 and the fit by their places on the grids; -inf and None where the fit diverged. `dropped`: why,
    for each of those.

    The grids are of the shares of `ImplicitALS.balanced`, because the best `unobserved_weight` and `regularization`
    differ by orders of magnitude with the density of the data, the best shares by small factors. The best share of the
    penalty hardly depends on the other, so the two are searched one after the other, each by steps up and down for as
    long as nDCG@10 rises: about 10 fits instead of the 55 of the grid.
    """

    def __init__(
        self, segment: TasteSegment, validation: Validation, rng: np.random.Generator, progress: ProgressCallback
    ) -> None:
        self._segment = segment
        self._validation = validation
        self._seed = int(rng.integers(2**63))  # every fit starts alike, so that only the settings differ
        self._stage = Stage.from_progress(progress)
        self.tried: dict[tuple[int, int], tuple[float, LearnedDenseSegment | None]] = {}
        self.dropped: list[str] = []

    def run(self) -> tuple[float, LearnedDenseSegment | None]:
        """The nDCG@10 of the best taste alone, and that taste; -inf and None where all fits diverged."""
        # Both start in the middle of their grids, at the defaults of the learner.
        unobserved, penalty = len(UNOBSERVED_SHARES) // 2, len(PENALTY_SHARES) // 2
        penalty = _climb(lambda place: self._ndcg(unobserved, place), penalty)
        unobserved = _climb(lambda place: self._ndcg(place, penalty), unobserved)
        penalty = _climb(lambda place: self._ndcg(unobserved, place), penalty)
        return self.tried[unobserved, penalty]

    def _ndcg(self, unobserved: int, penalty: int) -> float:
        """-inf beyond the grids."""
        # The climbs visit some points twice, and a fit is the expensive part.
        if not (0 <= unobserved < len(UNOBSERVED_SHARES) and 0 <= penalty < len(PENALTY_SHARES)):
            return -np.inf
        if (unobserved, penalty) not in self.tried:
            self.tried[unobserved, penalty] = self._try(UNOBSERVED_SHARES[unobserved], PENALTY_SHARES[penalty])
        return self.tried[unobserved, penalty][0]

    def _try(self, unobserved_share: float, penalty_share: float) -> tuple[float, LearnedDenseSegment | None]:
        from app.algorithms.als_implicit import ImplicitALS

        balanced = ImplicitALS().balanced(self._validation.train, unobserved_share, penalty_share)
        settings = dict(zip(("unobserved_weight", "regularization"), balanced, strict=True))
        recipe, rng = self._segment.complete("als_implicit", settings), np.random.default_rng(self._seed)
        # How many fits there will be is not known beforehand; each closes a fifth of what is left.
        n = len(self.tried) + 1
        with self._stage.part(f"als_implicit {n}", 1 - 0.8**n, **settings) as candidate:
            try:
                learned = self._segment.fit(recipe, self._validation.train, rng, candidate)
            except SegmentDivergedError as error:
                self.dropped.append(str(error))
                candidate.decide(f"dropped, {error}")
                return -np.inf, None
            ndcg = self._validation.ndcg(learned.scores)
            candidate.note(ndcg_at_10=round(ndcg, 4))
        return ndcg, learned


def _climb(height: Callable[[int], float], start: int) -> int:
    """The highest place of a curve with one maximum, reached from `start` by single steps."""
    best = start
    for step in (-1, 1):
        while height(best + step) > height(best):
            best += step
    return best
