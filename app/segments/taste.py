"""The segment `taste`: whether a user chooses an item, whatever rating follows; score x_u . y_i.

Every rating is an observation of a choice, and so is an item with positive events. The weight of an
observation grows with the rating, which improves lists more than any other setting (nDCG@10 on ml-latest-small 0.124,
and 0.094 where all observations count alike).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from app.algorithms.progress import ProgressCallback, Stage
from app.algorithms.rating_matrix import RatingMatrix
from app.algorithms.taste_vectors import TasteFoldIn
from app.segments.base import (
    AUTO,
    DenseFold,
    Float32Array,
    Layout,
    LearnedSegment,
    Observations,
    Segment,
    SegmentRecipe,
    UserPart,
    Validation,
)

UNOBSERVED_WEIGHTS = (0.03, 0.1, 0.3, 1.0, 3.0)
PRESSURES = tuple(0.003 * 2.0**step for step in range(-5, 6))
"""unobserved_weight x regularization, see `_TasteSearch`."""


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

    def observation_weights(self, values: NDArray[np.floating]) -> NDArray[np.float64]:
        return self.regression.weighting.of_user(values)


class TasteSegment(Segment):
    """Learned by implicit ALS; `auto` searches its two most important hyperparameters by nDCG@10."""

    name = "taste"
    algorithms = ("als_implicit", AUTO)
    default_algorithm = AUTO
    algorithm_without_data = "als_implicit"
    starting_weight = 0.5
    anchors_weights = True
    layouts: ClassVar[Mapping[str, Layout]] = {"gram": (np.dtype(np.float64), ("n_taste_columns", "n_taste_columns"))}

    def _fit(
        self, recipe: SegmentRecipe, ratings: RatingMatrix, rng: np.random.Generator, progress: ProgressCallback
    ) -> LearnedSegment:
        """y_i and x_u, every user folded in against the final item side."""
        from app.algorithms.by_name import make_taste_learner  # noqa: PLC0415  see `Segment`

        vectors = make_taste_learner(recipe.algorithm, recipe.hyperparameters).fit(ratings, rng, progress)
        return LearnedSegment(
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
        n_ratings: int,
        rng: np.random.Generator,
        progress: ProgressCallback,
    ) -> tuple[LearnedSegment, str]:
        search = _TasteSearch(self, validation, rng, progress)
        ndcg, learned = search.run()
        settings = learned.recipe.hyperparameters
        shown = ", ".join(f"{name} {settings[name]:.3g}" for name in ("unobserved_weight", "regularization"))
        return learned, f"taste by als_implicit: {shown}, nDCG@10 {ndcg:.4f}, the best of {len(search.tried)} tried"

    def likeness(self, columns: slice) -> slice:
        return columns

    def item_trust(self, counts: NDArray[np.int64]) -> NDArray[np.float64]:
        # n^0 weighs every item of the catalogue alike, most of which are never chosen; a new item mapped like them
        # would reach no list. n^1 weighs items as users choose them. Higher powers recommend more new items; at 2/3
        # they are recommended at little loss of nDCG.
        return counts.astype(np.float64) ** (2 / 3)


class _TasteSearch:
    """A line search over two grids; `tried`: the nDCG@10 and the fit by their places on the grids.

    `unobserved_weight` is the weight of an item that was not chosen. Its product with `regularization`, the pressure,
    is the penalty that keeps vectors small. The best pressure hardly depends on the weight, so the two are searched one
    after the other, each by steps up and down for as long as nDCG@10 rises: about 10 fits instead of the 55 of the
    grid.
    """

    def __init__(
        self, segment: TasteSegment, validation: Validation, rng: np.random.Generator, progress: ProgressCallback
    ) -> None:
        self._segment = segment
        self._validation = validation
        self._seed = int(rng.integers(2**63))  # every fit starts alike, so that only the settings differ
        self._stage = Stage.from_progress(progress)
        self.tried: dict[tuple[int, int], tuple[float, LearnedSegment]] = {}

    def run(self) -> tuple[float, LearnedSegment]:
        """The nDCG@10 of the best taste alone, and that taste."""
        # Both start in the middle of their grids.
        weight, pressure = UNOBSERVED_WEIGHTS.index(0.3), PRESSURES.index(0.003)
        pressure = _climb(lambda place: self._ndcg(weight, place), pressure)
        weight = _climb(lambda place: self._ndcg(place, pressure), weight)
        pressure = _climb(lambda place: self._ndcg(weight, place), pressure)
        return self.tried[weight, pressure]

    def _ndcg(self, weight: int, pressure: int) -> float:
        """-inf beyond the grids."""
        # The climbs visit some points twice, and a fit is the expensive part.
        if not (0 <= weight < len(UNOBSERVED_WEIGHTS) and 0 <= pressure < len(PRESSURES)):
            return -np.inf
        if (weight, pressure) not in self.tried:
            self.tried[weight, pressure] = self._try(UNOBSERVED_WEIGHTS[weight], PRESSURES[pressure])
        return self.tried[weight, pressure][0]

    def _try(self, unobserved_weight: float, pressure: float) -> tuple[float, LearnedSegment]:
        # The pressure is the product of both, so the regularization is the quotient.
        settings = {"unobserved_weight": unobserved_weight, "regularization": pressure / unobserved_weight}
        recipe, rng = self._segment.complete("als_implicit", settings), np.random.default_rng(self._seed)
        # How many fits there will be is not known beforehand; each closes a fifth of what is left.
        n = len(self.tried) + 1
        with self._stage.part(f"als_implicit {n}", 1 - 0.8**n, **settings) as candidate:
            learned = self._segment.fit(recipe, self._validation.train, rng, candidate)
            ndcg = self._validation.ndcg(learned.user_part, learned.item_part)
            candidate.note(ndcg_at_10=round(ndcg, 4))
        return ndcg, learned


def _climb(height: Callable[[int], float], start: int) -> int:
    """The highest place of a curve with one maximum, reached from `start` by single steps."""
    best = start
    for step in (-1, 1):
        while height(best + step) > height(best):
            best += step
    return best
