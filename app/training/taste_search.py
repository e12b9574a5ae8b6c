"""How the taste is learned: a line search for what matters most, by the lists that come of it.

Two settings decide, and where their best values lie depends on the data: `unobserved_weight`, how much not choosing an
item says, and `regularization`. Their product is the pressure that holds every vector small; around the best lists it
stays nearly the same whatever the other is, so the two are searched one after the other, each by steps up and down as
long as the lists improve.
"""

from collections.abc import Callable

import numpy as np

from app.algorithms.progress import ProgressCallback
from app.training.fit import fit_segment
from app.training.learned import LearnedSegment
from app.training.recipe import TASTE, complete
from app.training.validation_split import ValidationSplit

ALGORITHM = "als_implicit"
UNOBSERVED_WEIGHTS = (0.03, 0.1, 0.3, 1.0, 3.0)
PRESSURES = tuple(0.003 * 2.0**step for step in range(-5, 6))
"""unobserved_weight x regularization."""


class TasteSearch:
    """Fits, each tried once, by their places on the two grids."""

    def __init__(self, inner: ValidationSplit, rng: np.random.Generator, progress: ProgressCallback) -> None:
        self._inner = inner
        self._seed = int(rng.integers(2**63))  # the same start for all, so that only the settings differ
        self._tell = progress
        self.tried: dict[tuple[int, int], tuple[float, LearnedSegment]] = {}

    def run(self) -> tuple[float, LearnedSegment]:
        """The nDCG@10 of the best taste alone, and that taste."""
        weight, pressure = UNOBSERVED_WEIGHTS.index(0.3), PRESSURES.index(0.003)
        pressure = _climb(lambda place: self._ndcg(weight, place), pressure)
        weight = _climb(lambda place: self._ndcg(place, pressure), weight)
        pressure = _climb(lambda place: self._ndcg(weight, place), pressure)
        return self.tried[weight, pressure]

    def _ndcg(self, weight: int, pressure: int) -> float:
        """-inf beyond the grids."""
        if not (0 <= weight < len(UNOBSERVED_WEIGHTS) and 0 <= pressure < len(PRESSURES)):
            return -np.inf
        if (weight, pressure) not in self.tried:
            self.tried[weight, pressure] = self._try(UNOBSERVED_WEIGHTS[weight], PRESSURES[pressure])
            self._tell(1 - 0.8 ** len(self.tried), "taste")
        return self.tried[weight, pressure][0]

    def _try(self, unobserved_weight: float, pressure: float) -> tuple[float, LearnedSegment]:
        settings = {"unobserved_weight": unobserved_weight, "regularization": pressure / unobserved_weight}
        rng = np.random.default_rng(self._seed)
        learned = fit_segment(complete(TASTE, ALGORITHM, settings), self._inner.train, rng)
        ranking = self._inner.rank(lambda users: learned.user_part[users] @ learned.item_part.T)
        return float(ranking.ndcg.mean()), learned


def _climb(height: Callable[[int], float], start: int) -> int:
    """The top of a curve that has one: up the side that rises."""
    best = start
    for step in (-1, 1):
        while height(best + step) > height(best):
            best += step
    return best


def search_taste(
    inner: ValidationSplit, _n_ratings: int, rng: np.random.Generator, progress: ProgressCallback
) -> tuple[LearnedSegment, str]:
    """The segment learned from `inner.train`, and how it was found."""
    search = TasteSearch(inner, rng, progress)
    ndcg, learned = search.run()
    settings = learned.recipe.hyperparameters
    shown = ", ".join(f"{name} {settings[name]:.3g}" for name in ("unobserved_weight", "regularization"))
    return learned, f"taste by {ALGORITHM}: {shown}, nDCG@10 {ndcg:.4f}, the best of {len(search.tried)} tried"
